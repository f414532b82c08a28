"""Bytes handed to the kernel at once: in order, once, and only where nothing waits."""

from __future__ import annotations

import random
import socket
import struct
from pathlib import Path

from twisted.internet import ssl
from twisted.internet.testing import StringTransport

from lgtwist.net.twisted_private import send_now
from tests.net.ends import (
    MEGABYTE,
    PATIENCE,
    Ends,
    Listener,
    Producer,
    SocketsTestCase,
    certificate,
    come,
    reactor,
    turn,
)
from tests.pair import Pair
from tests.rounds import SOCKET_ROUNDS


class SendNowTests(SocketsTestCase):
    async def test_without_the_reactor(self) -> None:
        """What the kernel takes is with the peer before the reactor's turn, and Twisted keeps nothing."""
        listener = Listener()
        peer = await self.connect(listener)
        self.assertEqual(send_now(listener.transport, b"hello"), 5)
        self.assertEqual(send_now(listener.transport, b" world"), 6)
        peer.socket.settimeout(PATIENCE)
        self.assertEqual(peer.socket.recv(11, socket.MSG_WAITALL), b"hello world")
        self.assertEqual(self.kept(listener.transport), 0)
        self.assertNotIn(listener.transport, reactor.getWriters())

    async def test_what_we_dialled(self) -> None:
        """The same for a connection that we dialled."""
        theirs, ours = Listener(), Listener()
        port = reactor.listenTCP(0, Ends(theirs), interface="127.0.0.1")
        self.addCleanup(port.stopListening)

        reactor.connectTCP("127.0.0.1", port.getHost().port, Ends(ours))
        await come(lambda: ours.transport is not None and theirs.transport is not None)
        self.assertEqual(send_now(ours.transport, b"hello"), 5)
        await come(lambda: theirs.heard == b"hello")
        ours.transport.loseConnection()
        await self.over(ours.lost)
        await self.over(theirs.lost)
        for end in (ours, theirs):  # one was ended, the other lost
            self.assertEqual(send_now(end.transport, b"late"), 0)

    async def test_a_full_kernel_buffer(self) -> None:
        """The kernel takes a part, then nothing; what is left goes through Twisted, in order."""
        listener = Listener()
        peer = await self.connect(listener)
        whole = random.randbytes(12 * MEGABYTE)
        self.assertEqual(send_now(listener.transport, whole), 0, "so large a write is left to Twisted")
        sent = part = send_now(listener.transport, whole[:MEGABYTE])
        self.assertGreater(sent, 0)
        while part == MEGABYTE:
            part = send_now(listener.transport, whole[sent : sent + MEGABYTE])
            sent += part
        self.assertLess(sent, len(whole))
        more = send_now(listener.transport, whole[sent : sent + MEGABYTE])
        self.assertLess(sent + more, len(whole))
        listener.transport.write(whole[sent + more :])
        self.assertEqual(send_now(listener.transport, b"before its time"), 0)
        self.assertTrue(await peer.until(len(whole)) == whole)
        await come(lambda: send_now(listener.transport, b"!"))  # Twisted has to see first that all is gone
        self.assertEqual((await peer.until(len(whole) + 1))[-1:], b"!")

    async def test_not_before_what_waits(self) -> None:
        """While Twisted keeps anything, even a byte, nothing overtakes it."""
        listener = Listener()
        peer = await self.connect(listener)
        listener.transport.write(b"1")
        self.assertEqual(send_now(listener.transport, b"2"), 0)
        listener.transport.write(b"2")
        self.assertEqual(await peer.until(2), b"12")
        filled = self.fill(listener.transport)
        listener.transport.write(b"3")
        await turn()  # Twisted tries, and has it in its other buffer then
        self.assertEqual(send_now(listener.transport, b"4"), 0)
        listener.transport.writeSequence([b"4", b"5"])
        self.assertEqual(send_now(listener.transport, b"6"), 0)
        self.assertTrue((await peer.until(len(filled) + 5)) == b"12" + filled + b"345")

    async def test_a_peer_that_resets(self) -> None:
        """A reset is no exception: Twisted finds it out, and ends."""
        for fill in (False, True):
            listener = Listener()
            peer = await self.connect(listener)
            if fill:
                self.fill(listener.transport)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.socket.close()
            for _ in range(3):  # the first may tell of the reset, the others of the pipe
                self.assertEqual(send_now(listener.transport, b"x"), 0)
            self.assertIsNone(listener.transport.write(b"x"))
            await self.over(listener.lost)
            self.assertEqual(send_now(listener.transport, b"x"), 0)

    async def end(self, how: str) -> None:
        for waits in (b"", b"waits "):
            listener = Listener()
            peer = await self.connect(listener)
            self.assertEqual(send_now(listener.transport, b"sent "), 5)
            if waits:
                listener.transport.write(waits)
            getattr(listener.transport, how)()
            late = send_now(listener.transport, b"late")
            read = await peer.to_the_end()
            late += send_now(listener.transport, b"late")
            if how != "abortConnection":  # whose reset may take all from the peer
                self.assertEqual(read, b"sent " + waits)
            self.assertNotIn(b"late", read)
            listener.transport.loseConnection()
            peer.socket.close()
            await self.over(listener.lost)
            late += send_now(listener.transport, b"late")
            self.assertEqual(late, 0)

    async def test_nothing_after_the_end(self) -> None:
        """After loseConnection nothing more is sent, with or without something that waits."""
        await self.end("loseConnection")

    async def test_nothing_after_the_end_of_writing(self) -> None:
        """Nor after our end of it was closed."""
        await self.end("loseWriteConnection")

    async def test_nothing_after_an_abort(self) -> None:
        """Nor after it was dropped, before the reactor has done that."""
        await self.end("abortConnection")

    async def test_a_producer_is_paused_and_resumed(self) -> None:
        """Twisted's pause and resume are those of what it keeps, before and after direct sends."""
        listener = Listener()
        peer = await self.connect(listener)
        producer = Producer()
        listener.transport.registerProducer(producer, True)
        expected = 0
        for number in range(1, 4):
            expected += len(self.fill(listener.transport))
            self.assertEqual(producer.told, ["pause", "resume"] * (number - 1))
            listener.transport.write(b"x" * 10_000)  # less than its buffer: no pause
            self.assertEqual(producer.told, ["pause", "resume"] * (number - 1))
            listener.transport.write(b"x" * 100_000)
            self.assertIn("pause", producer.told[2 * number - 2 :])
            self.assertEqual(send_now(listener.transport, b"x"), 0)
            expected += 110_000
            await peer.until(expected)
            await come(lambda: producer.told[-1] == "resume")
            self.assertEqual(producer.told, ["pause", "resume"] * number)
        listener.transport.unregisterProducer()

    async def test_sent_from_within_a_resume(self) -> None:
        """What a producer sends at the moment of its being resumed comes behind all before it."""
        listener = Listener()
        peer = await self.connect(listener)
        sent = self.fill(listener.transport)

        class Sending(Producer):
            pieces = 0

            def resumeProducing(self) -> None:
                super().resumeProducing()
                while self.told[-1] == "resume" and self.pieces < 50:
                    self.pieces += 1
                    piece = b"%9d " % self.pieces * 30_000
                    taken = send_now(listener.transport, piece)
                    listener.transport.write(piece[taken:])

        producer = Sending()
        listener.transport.registerProducer(producer, True)
        listener.transport.write(b"x" * 100_000)
        expected = sent + b"x" * 100_000 + b"".join(b"%9d " % n * 30_000 for n in range(1, 51))
        self.assertTrue(await peer.until(len(expected), 300_000) == expected)
        listener.transport.unregisterProducer()

    async def test_in_order_over_ten_megabytes(self) -> None:
        """Direct sends and Twisted's writes, of all sizes, to a slow reader: every byte, in its place."""
        for _round in range(SOCKET_ROUNDS):
            await self.ten_megabytes(random.randrange(1 << 32))

    async def ten_megabytes(self, seed: int) -> None:
        chance = random.Random(seed)
        listener = Listener()
        peer = await self.connect(listener)
        whole = random.randbytes(10 * MEGABYTE)
        at = direct = through = 0
        while at < len(whole):
            size = min(chance.choice((1, 100, 5000, 70_000, 300_000)), len(whole) - at)
            piece = whole[at : at + size]
            at += size
            sent = send_now(listener.transport, piece) if chance.random() < 0.8 else 0
            direct += sent
            through += size - sent
            if sent < size:
                listener.transport.write(piece[sent:])
            if chance.random() < 0.6:
                peer.some(chance.choice((1, 1000, 200_000, 600_000)))
            if chance.random() < 0.5:
                await turn()
            if chance.random() < 0.1:
                await come(lambda: peer.some(MEGABYTE) and not self.kept(listener.transport))
        self.assertTrue(await peer.until(len(whole)) == whole, f"seed {seed}")
        self.assertGreater(direct, 50_000, f"seed {seed}")
        self.assertGreater(through, 50_000, f"seed {seed}")


class EncryptedTests(SocketsTestCase):
    """TLS as Twisted makes it, whoever dialled."""

    async def ends(self) -> tuple[Listener, Listener]:
        """The end that was dialled, and the one that dialled."""
        theirs, ours = Listener(), Listener()
        port = reactor.listenSSL(0, Ends(theirs), certificate(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        reactor.connectSSL("127.0.0.1", port.getHost().port, Ends(ours), ssl.CertificateOptions(verify=False))
        await come(lambda: ours.transport is not None and theirs.transport is not None)
        return theirs, ours

    async def test_at_once(self) -> None:
        """Not before the handshake is done; then it is with the kernel before the reactor's turn ends."""
        ends = await self.ends()
        self.assertEqual(send_now(ends[1].transport, b"early"), 0)
        await come(lambda: all(end.transport._handshakeDone for end in ends))
        for _ in range(3):
            await turn()  # what the handshake leaves behind is sent
        for end, other in (ends, ends[::-1]):
            self.assertEqual(send_now(end.transport, b"hello"), 5)
            below = end.transport.transport
            self.assertFalse(below.dataBuffer or below._tempDataBuffer)
            await come(lambda other=other: other.heard)
            self.assertEqual(other.heard, b"hello")
        ends[0].transport.write(b" this")
        self.assertEqual(send_now(ends[0].transport, b" waits"), 0, "something waits before it")
        ends[0].transport.loseConnection()
        self.assertEqual(send_now(ends[0].transport, b"late"), 0)
        for end in ends:
            await self.over(end.lost)
        self.assertEqual(ends[1].heard, b"hello this")

    async def test_aborted(self) -> None:
        """After the end nothing is taken."""
        ends = await self.ends()
        await come(lambda: all(end.transport._handshakeDone for end in ends))
        ends[0].transport.abortConnection()
        self.assertEqual(send_now(ends[0].transport, b"late"), 0)
        for end in ends:
            await self.over(end.lost)
            self.assertEqual(send_now(end.transport, b"late"), 0)

    async def test_in_turns_with_write(self) -> None:
        """Whatever goes which way to whatever reader: all of it comes, in order, and nothing else."""
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        end, other = await self.ends()
        await come(lambda: end.transport._handshakeDone)
        producer = Producer()
        end.transport.registerProducer(producer, True)
        whole, pieces = bytearray(), 0
        while len(whole) < 6 * MEGABYTE:
            pieces += 1
            if not pieces % 20:  # chance alone may leave hardly a moment at which nothing waits
                other.transport.resumeProducing()
                await come(lambda: len(other.heard) == len(whole))  # noqa: B023
                piece = chance.randbytes(4096)
                self.assertEqual(send_now(end.transport, piece), len(piece), f"seed {seed}: nothing waits")
                whole += piece
            piece = chance.randbytes(chance.choice([1, 100, 4096, 4097, 100_000]))
            sent = send_now(end.transport, piece) if chance.random() < 0.8 else 0
            if sent < len(piece):
                end.transport.write(piece[sent:])
            whole += piece
            if chance.random() < 0.1:
                other.transport.pauseProducing()
            elif chance.random() < 0.2:
                other.transport.resumeProducing()
                await turn()
        other.transport.resumeProducing()
        await come(lambda: len(other.heard) >= len(whole))
        self.assertTrue(other.heard == whole, f"seed {seed}")
        self.assertEqual(producer.told.count("stop"), 0, f"seed {seed}")
        end.transport.unregisterProducer()
        end.transport.loseConnection()
        await self.over(end.lost)
        await self.over(other.lost)


class LeftAloneTests(SocketsTestCase):
    """Whatever is not TCP or TLS as Twisted makes it."""

    async def test_tls_begun_later(self) -> None:
        """TLS that was begun on a plain transport: its type is still that of plain TCP."""
        listener = Listener()
        peer = await self.connect(listener)
        self.assertEqual(send_now(listener.transport, b"plain"), 5)
        listener.transport.startTLS(certificate())
        self.assertEqual(send_now(listener.transport, b"secret"), 0)
        listener.transport.abortConnection()
        read = await peer.to_the_end()
        self.assertNotIn(b"secret", read)
        await self.over(listener.lost)

    async def test_unix_sockets(self) -> None:
        """They are not TCP."""
        listener = Listener()
        path = Path(self.mktemp()).name
        port = reactor.listenUNIX(path, Ends(listener))
        self.addCleanup(port.stopListening)
        handle = socket.socket(socket.AF_UNIX)
        self.addCleanup(handle.close)
        handle.connect(path)
        await come(lambda: listener.transport is not None)
        self.assertEqual(send_now(listener.transport, b"x"), 0)
        listener.transport.loseConnection()
        await self.over(listener.lost)

    def test_what_is_none(self) -> None:
        """Transports of tests, nothing at all, and what looks like Twisted's."""
        from twisted.internet import tcp

        class Derived(tcp.Server):
            def __init__(self) -> None:
                """As a transport that is somebody else's."""

        for transport in (StringTransport(), Pair().connect().transport, None, object(), Derived()):
            self.assertEqual(send_now(transport, b"x"), 0)
