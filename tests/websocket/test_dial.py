"""Dialling: gaps, what counts as a failure, openings that go wrong, frames with masks."""

from __future__ import annotations

from typing import Any

import msgspec
from autobahn.websocket.xormasker import create_xor_masker
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.net.backoff import Backoff
from lgtwist.websocket.client import ClientFactory
from lgtwist.websocket.dial import Dialler, DialState, RefusalWatch, target
from lgtwist.websocket.framing import client_frame
from lgtwist.websocket.phase import Phase
from tests.pair import DiallingPair, RecordingHandler, Transport, answer
from tests.rounds import quick


def middle(low: float, high: float) -> float:
    """A random number that is none."""
    return (low + high) / 2


class BackoffTests(SynchronousTestCase):
    def test_gaps_grow_and_begin_anew(self) -> None:
        """They double up to the longest, and begin anew only when told."""
        backoff = Backoff(1, 16, lambda low, _high: low)
        gaps = [backoff.next_delay() for _ in range(8)]
        self.assertEqual([round(gap) for gap in gaps[:5]], [1, 2, 4, 8, 13])
        self.assertEqual(gaps[5:], [gaps[4]] * 3)
        backoff.reset()
        self.assertEqual(round(backoff.next_delay()), 1)
        backoff.reset()
        backoff.unreset()
        self.assertEqual(round(backoff.next_delay()), 2)

    @given(st.floats(0.05, 100), st.floats(1, 1000), st.integers(0, 200))
    @quick
    def test_bounds(self, shortest: float, factor: float, failures: int) -> None:
        """No gap is shorter than the shortest, or longer than the longest, whatever the randomness."""
        for uniform in (min, max, middle):
            backoff = Backoff(shortest, shortest * factor, uniform)
            for _ in range(failures):
                backoff.next_delay()
            gap = backoff.next_delay()
            self.assertGreaterEqual(gap, shortest)
            self.assertLessEqual(gap, max(shortest, shortest * factor) + 1e-9)


class FrameTests(SynchronousTestCase):
    @given(st.sampled_from([0, 1, 3, 4, 125, 126, 65_535, 65_536, 65_537, 200_003]), st.binary(max_size=9))
    @quick
    def test_masked(self, length: int, seed: bytes) -> None:
        """What Autobahn's own masker takes off is what was put in."""
        payload = ((seed or b"x") * (length // max(1, len(seed)) + 1))[:length]
        frame = client_frame(payload)
        head = 2 if length < 126 else 4 if length < 65_536 else 10
        self.assertEqual(frame[1] & 0x80, 0x80)
        key, masked = frame[head : head + 4], frame[head + 4 :]
        self.assertEqual(create_xor_masker(key, length).process(masked), payload)


class OpeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = DiallingPair(handshake_timeout=5.0)
        self.peer = self.pair.connect()

    def ended(self) -> str:
        """Why the opening failed, as the dialling side was told."""
        self.pair.turn()
        self.assertIs(self.peer.connection.phase, Phase.CLOSED)
        [(what, reason)] = self.peer.caller.calls
        self.assertEqual(what, "failed")
        self.assertEqual(self.peer.handler.named("opened"), [])
        self.assertEqual(len(self.peer.handler.named("closed")), 1)
        self.assertEqual(self.pair.clock.getDelayedCalls(), [])
        return str(reason)

    def test_what_is_asked(self) -> None:
        """Path and query, Host, and our headers are in the handshake."""
        asked = self.peer.request()
        for line in (b"GET /x?y=1 HTTP/1.1\r\n", b"Host: 127.0.0.1:8080\r\n", b"Authorization: Bearer T\r\n"):
            self.assertIn(line, asked)
        self.assertNotIn(b"Sec-WebSocket-Extensions", asked)

    def test_refusals(self) -> None:
        """A refusal is told with its status."""
        for status in ("401 Unauthorized", "403 Forbidden", "301 Moved", "500 Oops", "200 OK"):
            self.setUp()
            self.peer.bytes(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello".encode())
            self.assertEqual(self.ended(), f"refused with HTTP {status}")

    def test_a_refusal_that_says_our_token(self) -> None:
        """The peer may know it, and nobody else."""
        self.peer.connection.request.headers["Authorization"] = "Bearer long-token"
        self.peer.bytes(b"HTTP/1.1 403 bad long-token\r\n\r\n")
        self.assertEqual(self.ended(), "refused with HTTP 403 bad ***")

    def test_a_close_frame_that_says_our_token(self) -> None:
        self.peer.connection.request.headers["Authorization"] = "Bearer long-token"
        self.peer.bytes(self.peer.answer() + b"\x88\x10\x03\xf0bad long-token")
        self.pair.turn()
        ends = [one for one in self.peer.handler.calls if one[0] in ("closing", "closed")]
        self.assertTrue(ends)
        self.assertIn("bad ***", str(ends))
        self.assertNotIn("long-token", str(ends))

    def test_no_answers(self) -> None:
        """What is no answer to a handshake ends it, whatever it is, without a traceback."""
        for odd in (
            b"\xff\xfe\r\n\r\n",
            b"\r\n\r\n",
            b"HTTP/1.1 101 \xff\r\nUpgrade: websocket\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"x" * 70_000,
            self.peer.answer().replace(b"Accept: ", b"Accept: x"),
            self.peer.answer("Sec-WebSocket-Extensions: permessage-deflate"),
            self.peer.answer("Sec-WebSocket-Protocol: chat"),
        ):
            self.setUp()
            self.peer.bytes(odd)
            self.ended()

    def test_silence(self) -> None:
        """Who answers nothing, or a byte now and then, has handshake_timeout in all."""
        for _ in range(4):
            self.pair.clock.advance(1)
            self.peer.bytes(b"H")
        self.pair.clock.advance(1.1)
        self.assertIn("within 5 s", self.ended())

    def test_glued(self) -> None:
        """Frames in the same bytes as the answer are heard."""
        self.peer.bytes(self.peer.answer() + self.pair.frame(b"{}"))
        self.assertEqual(self.peer.handler.named("received"), [("received", b"{}", False)])
        self.assertEqual(self.peer.caller.calls, [("connected",)])


class RefusalWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.refusals: list[tuple[str, bool]] = []
        self.watch = RefusalWatch(self.clock, lambda reason, logged: self.refusals.append((reason, logged)))

    def test_closed_at_once(self) -> None:
        """1008 within five seconds is a refusal; its words are made printable."""
        self.watch.opened()
        self.clock.advance(4.9)
        self.watch.closed(1008, "bad\ntoken")
        self.assertEqual(self.refusals, [("refused with close code 1008: bad\ufffdtoken", False)])
        self.assertTrue(self.watch.decided)

    def test_other_ends(self) -> None:
        """Later, with another code or none, or before it was opened, it is none."""
        for seconds, code in ((5.0, 1008), (0.0, 1000), (0.0, 1011), (0.0, None)):
            self.setUp()
            self.watch.opened()
            self.clock.advance(seconds)
            self.watch.closed(code, "x")
            self.assertEqual(self.refusals, [], (seconds, code))
            self.assertFalse(self.watch.decided)
        self.setUp()
        self.watch.closed(1008, "x")
        self.assertEqual(self.refusals, [])

    def test_of_use(self) -> None:
        """Who sent something useful before has let us in."""
        self.watch.opened()
        self.watch.useful = True
        self.assertTrue(self.watch.decided)
        self.watch.closed(1008, "x")
        self.assertEqual(self.refusals, [])

    def test_refused_by_a_message(self) -> None:
        """It is reported at once, and not again for the close code that follows."""
        for logged in (False, True):
            self.setUp()
            self.watch.opened()
            self.watch.refused("refused with retcode 1403", logged)
            self.assertTrue(self.watch.decided)
            self.watch.closed(1008, "x")
            self.assertEqual(self.refusals, [("refused with retcode 1403", logged)])


def dial_state(**changed: Any) -> DialState:
    """The state of a dialler that has not dialled yet, but for what is given."""
    values: dict[str, Any] = {
        "attempts": 0,
        "opened": 0,
        "connected": False,
        "next_attempt_in": None,
        "last_reason": "",
    }
    return DialState(**{**values, **changed})


class DiallerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.factory = ClientFactory(Limits(), self.reactor, "lgtwist/test")
        to = target("ws://127.0.0.1:8080/x?access_token=SECRET", {})
        self.dialler = Dialler(
            self.reactor,
            self.factory,
            to,
            name="account 1",
            backoff=Backoff(1, 60, lambda low, _: low),
            make_handler=RecordingHandler,
        )
        self.warnings: list[Any] = []
        self.patch(self.dialler, "_log", self)

    def warn(self, _format: str, **fields: Any) -> None:
        """Stands for the log."""
        self.warnings.append(fields)

    def accept(self) -> Any:
        """The newest attempt gets TCP."""
        _host, _port, factory, _timeout, _bind = self.reactor.tcpClients[-1]
        protocol = factory.buildProtocol(None)
        transport = Transport(protocol)
        protocol.makeConnection(transport)
        return protocol

    def open(self) -> Any:
        """The newest attempt becomes a WebSocket."""
        protocol = self.accept()
        protocol.transport.drain()
        protocol.dataReceived(answer(protocol.transport.taken))
        return protocol

    def refuse_tcp(self) -> None:
        _host, _port, factory, _timeout, _bind = self.reactor.tcpClients[-1]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.reactor.advance(0.5)  # Twisted's endpoint looks for more addresses for so long

    def gap(self) -> float:
        """Seconds until the next attempt."""
        before, start = len(self.reactor.tcpClients), self.reactor.seconds()
        while len(self.reactor.tcpClients) == before:
            self.reactor.advance(0.05)
            assert self.reactor.seconds() - start < 100, "it has given up"
        return self.reactor.seconds() - start

    def test_refused_handshakes_grow_the_gaps(self) -> None:
        """T6, L-40: TCP that is accepted and a handshake that is refused is a failure; one line for many."""
        self.dialler.startService()
        gaps = []
        for _ in range(4):
            protocol = self.accept()
            protocol.dataReceived(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            protocol.connectionLost(Failure(ConnectionDone()))
            gaps.append(self.gap())
        for grown, gap in zip((1, 2, 4, 8), gaps, strict=True):
            self.assertTrue(grown <= gap <= grown * 1.2 + 0.1, gaps)
        self.refuse_tcp()
        self.assertEqual(
            [w["reason"][:21] for w in self.warnings], ["refused with HTTP 403", "connection was refuse"]
        )
        self.assertNotIn("SECRET", repr(self.warnings))

    def test_refused_after_opening(self) -> None:
        """A link that is opened only to refuse us is one line, however often, and the gaps go on growing."""
        self.dialler.startService()
        gaps = []
        for _ in range(4):
            protocol = self.open()
            self.dialler.refuse("refused with retcode 1403", False)
            protocol.connectionLost(Failure(ConnectionDone()))
            gaps.append(self.gap())
        self.assertEqual(len(self.warnings), 1)
        self.assertGreater(gaps[3], 2 * gaps[1])

    def test_openings_that_do_not_last(self) -> None:
        """After some of them the log says so once; one that lasts is news again."""
        self.dialler.startService()
        for number in range(8):
            protocol = self.open()
            protocol.connectionLost(Failure(ConnectionDone()))
            self.assertIs(self.dialler.flaps, number >= 4)
            self.gap()
        self.assertEqual(len(self.warnings), 1)
        protocol = self.open()
        self.reactor.advance(6)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(self.dialler.flaps)

    def test_the_next_attempt(self) -> None:
        """When it dials next is known while it waits, and only then."""
        self.assertIsNone(self.dialler.next_attempt_at)
        self.dialler.startService()
        self.assertIsNone(self.dialler.next_attempt_at)
        self.refuse_tcp()
        at = self.dialler.next_attempt_at
        assert at is not None
        self.gap()
        self.assertAlmostEqual(at, self.reactor.seconds(), delta=0.06)
        self.assertIsNone(self.dialler.next_attempt_at)
        self.open()
        self.assertIsNone(self.dialler.next_attempt_at)
        self.assertEqual(self.dialler.attempts, 2)
        self.assertEqual(self.dialler.opened, 1)

    def test_no_next_attempt_after_the_end(self) -> None:
        """A retired or stopped dialler has none, also when its connection ends later."""
        for end in ("retire", "stopService"):
            self.setUp()
            self.dialler.startService()
            self.refuse_tcp()
            getattr(self.dialler, end)()
            self.assertIsNone(self.dialler.next_attempt_at, end)
        self.setUp()
        self.dialler.startService()
        protocol = self.open()
        self.dialler.retire()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIsNone(self.dialler.next_attempt_at)

    def test_the_last_reason(self) -> None:
        """Why the last attempt failed, or the peer refused us, without control characters; none once open."""
        self.assertEqual(self.dialler.last_reason, "")
        self.dialler.startService()
        self.refuse_tcp()
        self.assertEqual(self.dialler.last_reason, "connection was refused by other side")
        self.gap()
        self.open()
        self.assertEqual(self.dialler.last_reason, "")
        self.dialler.refuse("no\nway", True)
        self.assertEqual(self.dialler.last_reason, "no\ufffdway")
        self.assertEqual(len(self.warnings), 1)

    def test_state(self) -> None:
        """What is seen of it: a URL without its query, and seconds from now until it dials next."""
        shown = "ws://127.0.0.1:8080/x"
        self.assertEqual(self.dialler.state(), dial_state(target=shown))
        self.dialler.startService()
        self.assertEqual(self.dialler.state(), dial_state(target=shown, attempts=1))
        self.refuse_tcp()
        state = self.dialler.state()
        refused = "connection was refused by other side"
        waits = state.next_attempt_in
        assert waits is not None
        wanted = dial_state(target=shown, attempts=1, next_attempt_in=waits, last_reason=refused)
        self.assertEqual((state, 0.0 < waits <= 1.2), (wanted, True))
        self.reactor.advance(waits / 2)
        self.assertAlmostEqual(self.dialler.state().next_attempt_in or 0.0, waits / 2)
        self.gap()
        protocol = self.open()
        connected = dial_state(target=shown, attempts=2, opened=1, connected=True)
        self.assertEqual(self.dialler.state(), connected)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(self.dialler.state().connected)
        self.assertNotIn(b"SECRET", msgspec.json.encode(self.dialler.state()))

    def test_retiring(self) -> None:
        """A retired dialler dials no more, gives up what is under way, and keeps what is open."""
        self.dialler.startService()
        protocol = self.accept()
        self.dialler.retire()
        self.assertTrue(protocol.transport.disconnecting)
        self.setUp()
        self.dialler.startService()
        protocol = self.open()
        self.dialler.retire()
        self.assertFalse(protocol.transport.disconnecting)

    def test_stop_is_final(self) -> None:
        """Nothing is dialled after the end, whatever was under way; no call is left."""
        for step in ("dialling", "waiting", "connected"):
            self.setUp()
            self.dialler.startService()
            if step == "waiting":
                self.refuse_tcp()
            elif step == "connected":
                protocol = self.accept()
            attempts = self.dialler.attempts
            stopped = self.dialler.stopService()
            if step == "connected":
                protocol.connectionLost(Failure(ConnectionDone()))
            self.reactor.advance(1000)
            self.assertEqual(self.dialler.attempts, attempts)
            self.successResultOf(stopped)
            self.assertEqual(self.reactor.getDelayedCalls(), [], step)

    def test_addresses(self) -> None:
        """Ports by scheme, IPv6 in brackets, and no query where people read."""
        for url, host, port, shown in (
            ("ws://x", "x", 80, "ws://x:80/"),
            ("wss://x/a?b=c", "x", 443, "wss://x:443/a"),
            ("ws://[::1]:99/", "[::1]", 99, "ws://[::1]:99/"),
        ):
            to = target(url, {})
            self.assertEqual(to.request.host, host)
            self.assertEqual(to.request.port, port)
            self.assertEqual(to.shown, shown)
        self.assertRaises(ValueError, target, "http://x/", {})
