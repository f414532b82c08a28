"""Our connections over real sockets, with a peer that does as it likes."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections.abc import Callable

from twisted.internet.defer import Deferred

from lgtwist.config.limits import Limits
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase
from lgtwist.websocket.server import ServerFactory
from tests.integration.rawclient import CLOSE, handshake, masked_frame
from tests.net.ends import (
    MEGABYTE,
    PATIENCE,
    Reader,
    SocketsTestCase,
    come,
    reactor,
    turn,
)
from tests.pair import RecordingHandler, together


class Answering(RecordingHandler):
    """Answers each message with what it asks for."""

    def __init__(self, answer: Callable[[Connection, bytes], None]) -> None:
        super().__init__()
        self._answer = answer
        self.over: Deferred[None] = Deferred()

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        super().received(connection, payload, binary)
        self._answer(connection, payload)

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        super().closed(connection, code, reason)
        self.over.callback(None)


class ConnectionTests(SocketsTestCase):
    """The whole of it: our connections over real sockets, with a peer that does as it likes."""

    def setUp(self) -> None:
        self.factory = ServerFactory(Limits(send_buffer=300_000), reactor)

    async def open(self, answer: Callable[[Connection, bytes], None]) -> tuple[Connection, Reader]:
        """A connection that is open, and its peer."""
        connection = self.factory.make(Answering(answer))
        connection.transport = None
        peer = await self.connect(connection)
        peer.socket.send(handshake())
        await come(lambda: connection.phase is Phase.OPEN)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            try:
                head += peer.socket.recv(1)
            except BlockingIOError:
                await turn()
        return connection, peer

    async def end(self, connection: Connection, peer: Reader) -> None:
        peer.socket.close()
        assert isinstance(connection.handler, Answering)
        connection.handler.over.addTimeout(PATIENCE, reactor)
        await connection.handler.over

    async def test_answers_to_a_peer_that_reads_slowly(self) -> None:
        """10 MB of answers and more: none is lost, none overtakes; we do not read meanwhile, and then do."""

        def answer(connection: Connection, payload: bytes) -> None:
            self.factory.respond(connection, server_frame(payload.ljust(20_000)))

        connection, peer = await self.open(answer)
        questions = b"".join(masked_frame(b"%d" % number) for number in range(600))
        while questions:
            with contextlib.suppress(BlockingIOError):
                questions = questions[peer.socket.send(questions[:500]) :]
            await turn()
        await come(lambda: connection.read_paused and connection.write_paused)
        expected = b"".join(server_frame((b"%d" % number).ljust(20_000)) for number in range(600))
        chance = random.Random(1)
        while len(peer.pieces) < 300:
            peer.some(chance.choice((1, 100, 30_000)))
            await turn()
        self.assertTrue(await peer.until(len(expected)) == expected)
        await turn(0.05)
        self.assertFalse(connection.read_paused or connection.write_paused or connection.outbox)
        peer.socket.send(masked_frame(b"still there?"))
        more = await peer.until(len(expected) + 20_004)
        self.assertTrue(more[len(expected) :] == server_frame(b"still there?".ljust(20_000)))
        await self.end(connection, peer)

    async def test_everything_that_writes(self) -> None:
        """Answers, events, bursts, pongs and what Autobahn sends itself, in the order of their making."""

        def answer(connection: Connection, payload: bytes) -> None:
            """Nothing."""

        chance = random.Random(2)
        connection, peer = await self.open(answer)
        frames: list[bytes] = []
        for number in range(3000):
            payload = (b"%d " % number).ljust(chance.choice((10, 300, 4000, 9000)))
            frame = server_frame(payload)
            kind = chance.randrange(4)
            if connection.write_paused or connection.outbox.event_bytes > 100_000:
                peer.some(200_000)
                await turn()
            if kind == 0:
                self.factory.respond(connection, frame)
            elif kind == 1:
                self.factory.offer(connection, frame)
            elif kind == 2:
                self.factory.offer_all(connection, *together(frame, server_frame(b"x")))
                frame += server_frame(b"x")
            else:
                self.factory.send(connection, payload)
            frames.append(frame)
            if chance.random() < 0.05:
                await turn()
        made = b"".join(frames)
        self.assertTrue(await peer.until(len(made)) == made)
        self.assertGreater(len(made), 8 * MEGABYTE)
        self.assertEqual(connection.handler.named("dropped"), [])  # type: ignore[attr-defined]
        await self.end(connection, peer)

    async def test_nothing_behind_the_close_frame(self) -> None:
        """Our close frame is the last thing that is sent, though all that waits comes before it."""
        connection, peer = await self.open(lambda connection, payload: None)
        answers = [server_frame(b"%d" % number * 40_000) for number in range(10, 20)]
        for frame in answers:
            self.factory.respond(connection, frame)
        self.factory.close(connection, 1001, "bye")
        for late in (self.factory.respond, self.factory.offer):
            late(connection, server_frame(b"late"))
        self.factory.offer_all(connection, *together(server_frame(b"late")))
        self.factory.send(connection, b"late")
        expected = b"".join(answers) + b"\x88\x05\x03\xe9bye"
        self.assertTrue(await peer.until(len(expected)) == expected)
        peer.socket.send(masked_frame(struct.pack("!H", 1001), CLOSE))
        self.assertTrue(await peer.to_the_end() == expected)
        self.assertTrue(connection.wasClean)
        await self.end(connection, peer)

    async def test_aborted(self) -> None:
        """After an abort nothing is handed to the kernel, of what waited or comes."""
        connection, peer = await self.open(lambda connection, payload: None)
        self.factory.respond(connection, server_frame(b"waits"))
        self.factory.abort(connection, "enough")
        self.factory.respond(connection, server_frame(b"late"))
        connection.flush()
        self.factory.offer_all(connection, *together(server_frame(b"late")))
        self.assertEqual(await peer.to_the_end(), b"")
        await self.end(connection, peer)

    async def test_reset_in_the_middle_of_answers(self) -> None:
        """A peer that goes while it is answered costs its own connection, without a word of an error."""

        def answer(connection: Connection, payload: bytes) -> None:
            self.factory.respond(connection, server_frame(payload.ljust(20_000)))

        connection, peer = await self.open(answer)
        other, other_peer = await self.open(answer)
        peer.socket.send(b"".join(masked_frame(b"%d" % number) for number in range(100)))
        await turn(0.02)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.end(connection, peer)
        self.assertEqual(self.factory.counters.send_failures, 0)
        self.assertEqual(self.factory.counters.callback_failures, 0)
        other_peer.socket.send(masked_frame(b"1"))
        self.assertEqual(len(await other_peer.until(20_004)), 20_004)
        await self.end(other, other_peer)
