"""The connection contract, in memory."""

from __future__ import annotations

import struct
from typing import Any

from autobahn.exception import Disconnected, PayloadExceededError
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.websocket.client import ClientConnection
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.factory import Outcome
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase, PhaseError, may_follow
from lgtwist.websocket.server import ServerConnection
from tests.integration.rawclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, handshake
from tests.pair import DiallingPair, Pair, Peer, RecordingHandler
from tests.rounds import quick


class ConnectionTestCase(SynchronousTestCase):
    """Tests of one contract: what holds where a peer dialled holds where we did."""

    pair_of: type[Pair] = Pair


class PhaseTests(ConnectionTestCase):
    def setUp(self) -> None:
        self.pair = self.pair_of()

    def test_begins_connecting_and_sends_nothing(self) -> None:
        """Before the handshake nothing can be sent, and trying says so."""
        peer = self.pair.connect()
        self.pair.turn()
        before = peer.transport.taken  # our own handshake, where it is ours
        self.assertIs(peer.connection.phase, Phase.CONNECTING)
        self.assertIs(self.successResultOf(self.pair.factory.send(peer.connection, b"{}")), Outcome.NOT_OPEN)
        self.pair.factory.offer(peer.connection, server_frame(b"{}"))
        self.pair.turn()
        self.assertEqual(peer.transport.taken, before)

    def test_a_whole_life(self) -> None:
        """CONNECTING, OPEN, CLOSING, CLOSED: handshake, close frame, its answer, the end."""
        peer = self.pair.connect().open()
        self.assertIs(peer.connection.phase, Phase.OPEN)
        self.assertEqual(
            self.successResultOf(self.pair.factory.send(peer.connection, b"hi")), Outcome.WRITTEN
        )
        self.assertEqual(peer.texts(), [b"hi"])
        self.pair.factory.close(peer.connection, 1001, "bye")
        self.assertIs(peer.connection.phase, Phase.CLOSING)
        self.assertEqual(peer.frames(), [(CLOSE, struct.pack("!H", 1001) + b"bye")])
        peer.close(1001)
        self.pair.turn()
        self.assertIs(peer.connection.phase, Phase.CLOSED)
        self.assertEqual(len(peer.handler.named("closed")), 1)
        self.assertFalse(peer.transport.aborted, "a reset would take the close frame from the peer")

    def test_close_is_answered_with_its_code(self) -> None:
        """A peer's close frame is answered at once, with its code, and TCP ends."""
        for code in (1000, 1001, 1011, 3000, 4999, None):
            peer = self.pair.connect().open()
            peer.close(code)
            expected = b"" if code is None else struct.pack("!H", code)
            self.assertEqual(peer.frames(), [(CLOSE, expected)])
            self.assertIs(peer.connection.phase, Phase.CLOSED)

    def test_close_codes_that_must_not_be_sent(self) -> None:
        """A close frame with a code that must not be on the wire is a protocol error, 1002."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535):
            peer = self.pair.connect().open()
            peer.close(code)
            [(opcode, payload)] = peer.frames()
            self.assertEqual((opcode, payload[:2]), (CLOSE, struct.pack("!H", 1002)), code)

    def test_L07_nothing_after_close(self) -> None:
        """After the first close frame, of either side, no data frame is sent."""
        for end in ("peer", "us"):
            peer = self.pair.connect().open()
            self.pair.factory.offer(peer.connection, server_frame(b"waiting"))
            if end == "peer":
                peer.close()
            else:
                self.pair.factory.close(peer.connection, 1001, "")
            self.pair.factory.offer(peer.connection, server_frame(b"late"))
            self.pair.factory.respond(peer.connection, server_frame(b"late"))
            self.pair.factory.send(peer.connection, b"late")
            self.assertEqual([opcode for opcode, _ in peer.frames()], [CLOSE], end)

    def test_responses_are_written_before_our_close(self) -> None:
        """What must not be lost goes out before our close frame; events do not matter any more."""
        peer = self.pair.connect().open()
        self.pair.factory.respond(peer.connection, server_frame(b"answer"))
        self.pair.factory.offer(peer.connection, server_frame(b"event"))
        self.pair.factory.close(peer.connection, 1001, "")
        self.assertEqual(peer.frames(), [(TEXT, b"answer"), (CLOSE, struct.pack("!H", 1001))])

    def test_unanswered_close_ends_after_close_timeout(self) -> None:
        """A peer that never answers our close frame is dropped after close_timeout, not before."""
        peer = self.pair.connect().open()
        self.pair.factory.close(peer.connection, 1001, "")
        self.pair.advance(1.9)
        self.assertIs(peer.connection.phase, Phase.CLOSING)
        self.pair.advance(0.2)
        self.assertIs(peer.connection.phase, Phase.CLOSED)
        self.assertTrue(peer.transport.aborted)

    def test_a_peer_that_closes_and_does_not_read(self) -> None:
        """Our answer to a close frame does not wait for ever for a peer that reads nothing."""
        peer = self.pair.connect().open()
        peer.transport.reading = False
        self.pair.factory.offer(peer.connection, server_frame(b"x" * 100_000))
        self.pair.turn()
        peer.close()
        self.pair.advance(1.9)
        self.assertIs(peer.connection.phase, Phase.CLOSING)
        self.pair.advance(0.2)
        self.assertIs(peer.connection.phase, Phase.CLOSED)

    def test_closed_comes_without_opened(self) -> None:
        """A connection that never shook hands ends too, once, and leaves nothing."""
        peer = self.pair.connect()
        peer.lose()
        peer.lose()
        self.assertEqual([call[0] for call in peer.handler.calls], ["closed"])
        self.assertEqual(self.pair.factory.connections, set())
        self.assertEqual(self.pair.clock.getDelayedCalls(), [])

    def test_close_all_waits_for_all_together(self) -> None:
        """Closing many peers that never answer takes close_timeout once, not once for each."""
        for _ in range(20):
            self.pair.connect().open()
        gone = self.pair.factory.close_all(1001, "stop")
        self.assertNoResult(gone)
        self.pair.advance(2.1, step=0.1)
        self.successResultOf(gone)
        self.assertEqual(self.pair.clock.getDelayedCalls(), [])

    def test_phases_only_go_forward(self) -> None:
        """Each later phase may be entered, no earlier one, and none twice."""
        for earlier in Phase:
            for later in Phase:
                self.assertEqual(may_follow(earlier, later), later.value > earlier.value)
                connection = self.pair.connect().connection
                if earlier is not Phase.CONNECTING:
                    connection.enter(earlier)
                if later > earlier:
                    connection.enter(later)
                    self.assertIs(connection.phase, later)
                else:
                    self.assertRaises(PhaseError, connection.enter, later)
                    self.assertIs(connection.phase, earlier)

    def test_an_opening_that_comes_too_late(self) -> None:
        """A second opening is logged as a failure of ours and drops the connection."""
        peer = self.pair.connect().open()
        peer.connection.onOpen()
        self.pair.turn()
        self.assertIs(peer.connection.phase, Phase.CLOSED)
        self.assertEqual(len(peer.handler.named("opened")), 1)
        [failure] = self.flushLoggedErrors(PhaseError)
        self.assertEqual(str(failure.value), "OPEN cannot follow OPEN")


#: What may happen to a connection, in any order.
HAPPENINGS = (
    "open", "send", "respond", "offer", "close", "abort", "fail", "peer_close", "peer_text", "peer_ping",
    "peer_pong", "peer_garbage", "lost", "pause", "writable", "wait", "turn", "sweep", "stop_reading",
)  # fmt: skip


class AnyOrderTests(ConnectionTestCase):
    """Whatever happens, in whatever order."""

    def happen(self, pair: Pair, peer: Peer, what: str) -> None:
        connection, factory = peer.connection, pair.factory
        if what == "open" and connection.phase is Phase.CONNECTING:
            peer.shake_hands()
        elif what == "send":
            self.successResultOf(factory.send(connection, b"sent"))
        elif what == "respond":
            factory.respond(connection, server_frame(b"response"))
        elif what == "offer":
            factory.offer(connection, server_frame(b"event" * 5000))
        elif what == "close":
            factory.close(connection, 1001, "why" * 100)
        elif what == "abort":
            factory.abort(connection, "because")
        elif what == "fail":
            factory.fail(connection, 1002, "broke")
        elif what.startswith("peer_"):
            if connection.phase is Phase.CONNECTING:
                return
            frames = {
                "peer_close": pair.frame(struct.pack("!H", 1000), CLOSE),
                "peer_text": pair.frame(b"{}"),
                "peer_ping": pair.frame(b"p", PING),
                "peer_pong": pair.frame(b"1", PONG),
                "peer_garbage": b"\xff\xff\xff\xff",
            }
            peer.bytes(frames[what])
        elif what == "lost":
            peer.lose()
        elif what == "pause":
            connection.pauseProducing()
        elif what == "writable":
            connection.resumeProducing()
        elif what == "wait":
            pair.clock.advance(1.0)
        elif what == "sweep":
            factory.sweep()
        elif what == "stop_reading":
            peer.transport.reading = False
        elif what == "turn":
            pair.turn()

    @quick
    @given(st.lists(st.sampled_from(HAPPENINGS), max_size=30))
    def test_any_order(self, happenings: list[str]) -> None:
        """Phases only go forward, CLOSED comes exactly once, nothing raises, nothing is left behind."""
        pair = self.pair_of(send_buffer=65_536)
        peer = pair.connect()
        phases = [peer.connection.phase]
        for what in happenings:
            self.happen(pair, peer, what)
            phases.append(peer.connection.phase)
        peer.lose()
        pair.turn()
        self.assertEqual(phases, sorted(phases))
        self.assertIs(peer.connection.phase, Phase.CLOSED)
        self.assertEqual(len(peer.handler.named("closed")), 1)
        self.assertLessEqual(len(peer.handler.named("opened")), 1)
        self.assertEqual(peer.handler.calls[-1][0], "closed")
        self.assertEqual(pair.factory.connections, set())
        self.assertFalse(peer.connection.outbox)
        self.assertEqual(pair.factory.counters.callback_failures, 0)
        pair.clock.advance(0)
        self.assertEqual(pair.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_every_callback_in_every_phase(self) -> None:
        """Each of Twisted's and Autobahn's callbacks, in each phase: none raises."""
        callbacks: dict[str, tuple[Any, ...]] = {
            "onMessageBegin": (False,),
            "onMessageFrameBegin": (3,),
            "onMessageFrameData": (b"abc",),
            "onMessageFrameEnd": (),
            "onMessageEnd": (),
            "onPing": (b"x",),
            "onPong": (b"x",),
            "onClose": (True, 1000, "x"),
            "pauseProducing": (),
            "resumeProducing": (),
            "stopProducing": (),
            "dataReceived": (b"",),
            "connectionLost": (Failure(ConnectionDone()),),
        }
        for name, arguments in callbacks.items():
            for phase in Phase:
                pair = self.pair_of()
                peer = pair.connect()
                if phase >= Phase.OPEN:
                    peer.open()
                if phase is Phase.CLOSING:
                    pair.factory.close(peer.connection, 1001, "")
                elif phase is Phase.CLOSED:
                    peer.lose()
                self.assertIs(peer.connection.phase, phase)
                getattr(peer.connection, name)(*arguments)
                self.assertGreaterEqual(peer.connection.phase, phase, name)
                self.assertEqual(pair.factory.counters.callback_failures, 0, (name, phase))


class SendFailureTests(ConnectionTestCase):
    """Whatever a send raises ends with that one connection."""

    def test_each_thing_that_sendMessage_can_raise(self) -> None:
        """Autobahn's, the socket's and anybody's exceptions: an outcome, a counter, one dropped peer."""
        for error in (
            Disconnected("Attempt to send on a closed protocol"),
            AssertionError("type"),
            PayloadExceededError("too large"),
            OSError(32, "Broken pipe"),
            ConnectionResetError(104, "reset"),
            AttributeError("'NoneType' object has no attribute 'write'"),
            RuntimeError("disposed"),
            Exception("anything"),
        ):
            pair = self.pair_of()
            peer, other = pair.connect().open(), pair.connect().open()

            def refuse(*_args: Any, error: Exception = error) -> None:
                raise error

            self.patch(peer.connection, "sendMessage", refuse)
            sent = self.successResultOf(pair.factory.send(peer.connection, b"x"))
            self.assertIs(sent, Outcome.FAILED)
            self.assertEqual(pair.factory.counters.send_failures, 1)
            pair.turn()
            self.assertIs(peer.connection.phase, Phase.CLOSED)
            self.assertIs(self.successResultOf(pair.factory.send(other.connection, b"y")), Outcome.WRITTEN)
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_events_for_several_over_a_broken_transport(self) -> None:
        """L-15: one peer whose transport raises costs the others nothing."""
        pair = self.pair_of()
        peers = [pair.connect().open() for _ in range(3)]
        peers[0].transport.fails_with = OSError(9, "Bad file descriptor")
        for number in range(100):
            for peer in peers:
                pair.factory.offer(peer.connection, server_frame(b"%d" % number))
        pair.turn()
        expected = [b"%d" % number for number in range(100)]
        for peer in peers[1:]:
            self.assertEqual(peer.texts(), expected)
        self.assertIs(peers[0].connection.phase, Phase.CLOSED)

    def test_a_handler_that_raises(self) -> None:
        """A failure of ours in one connection's callback ends that connection, logged, and no other."""
        for broken in ("opened", "received", "closed"):
            pair = self.pair_of()
            other = pair.connect().open()
            handler = RecordingHandler()

            def fail(*_args: Any) -> None:
                raise ZeroDivisionError

            setattr(handler, broken, fail)
            peer = pair.connect(handler)
            peer.shake_hands()
            peer.send("{}")
            peer.lose()
            pair.turn()
            self.assertIs(peer.connection.phase, Phase.CLOSED)
            self.assertEqual(pair.factory.connections, {other.connection}, broken)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ReadingTests(ConnectionTestCase):
    def setUp(self) -> None:
        self.pair = self.pair_of(max_message=1000)
        self.peer = self.pair.connect().open()

    def received(self) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.peer.handler.named("received")]

    def test_messages_whole_and_in_pieces(self) -> None:
        """L-22: fragments, byte by byte, pings in between, code points split: the message is whole."""
        text = "你好, \N{GRINNING FACE}" * 10
        data = text.encode()
        stream = b""
        for place in range(len(data)):
            stream += self.pair.frame(
                data[place : place + 1], TEXT if place == 0 else CONTINUATION, fin=False
            )
            stream += self.pair.frame(b"%d" % place, PING)
        stream += self.pair.frame(b"", CONTINUATION)
        for place in range(0, len(stream), 7):
            self.peer.bytes(stream[place : place + 7])
        self.assertEqual(self.received(), [(data, False)])
        pongs = [payload for opcode, payload in self.peer.frames() if opcode == PONG]
        self.assertEqual(pongs, [b"%d" % place for place in range(len(data))])

    def test_sizes_around_the_limit(self) -> None:
        """A message of the limit passes, one byte more is closed with 1009 and not heard."""
        self.peer.send(b"x" * 1000)
        self.assertEqual(len(self.received()), 1)
        self.peer.send(b"x" * 1001)
        [(opcode, payload)] = self.peer.frames()
        self.assertEqual((opcode, payload[:2]), (CLOSE, struct.pack("!H", 1009)))
        self.assertEqual(len(self.received()), 1)
        self.assertTrue(self.peer.transport.write_closed)

    def test_L25_endless_fragments(self) -> None:
        """An endless message is closed with 1009 at the limit, and what still comes is thrown away."""
        self.peer.send(b"x" * 600, fin=False)
        self.peer.send(b"x" * 600, CONTINUATION, fin=False)
        self.assertEqual(self.peer.frames()[0][1][:2], struct.pack("!H", 1009))
        for _ in range(1000):
            self.peer.bytes(self.pair.frame(b"x" * 600, CONTINUATION, fin=False))
        self.assertLess(len(self.peer.connection.data), 1000)

    def test_a_frame_that_only_announces_its_size(self) -> None:
        """A header that announces too much is enough: nothing is waited for, nothing allocated."""
        self.peer.bytes(bytes([0x81, self.pair.kind.mask_bit | 127]) + struct.pack("!Q", 2**62) + b"abcd")
        self.assertEqual(self.peer.frames()[0][1][:2], struct.pack("!H", 1009))

    def test_protocol_errors(self) -> None:
        """Each breach of RFC 6455 is closed with 1002."""
        breaches = {
            "wrong about the mask": self.pair.frame(b"{}", mask=not self.pair.kind.masks),
            "reserved bit": self.pair.frame(b"{}", rsv=4),
            "reserved opcode": self.pair.frame(b"{}", 3),
            "reserved control opcode": self.pair.frame(b"", 11),
            "long ping": self.pair.frame(b"x" * 126, PING),
            "fragmented ping": self.pair.frame(b"x", PING, fin=False),
            "continuation of nothing": self.pair.frame(b"x", CONTINUATION),
            "close of one byte": self.pair.frame(b"x", CLOSE),
            "length not minimal": bytes([0x81, self.pair.kind.mask_bit | 126]) + b"\x00\x05abcdxxxxx",
        }
        for name, frame in breaches.items():
            peer = self.pair.connect().open()
            peer.bytes(frame)
            [(opcode, payload)] = peer.frames()
            self.assertEqual((opcode, payload[:2]), (CLOSE, struct.pack("!H", 1002)), name)
            self.assertEqual(peer.handler.named("received"), [], name)

    def test_an_answer_before_a_breach(self) -> None:
        """What was asked before a breach is answered before the close frame, in one read or in two."""

        class Answering(RecordingHandler):
            def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
                connection.factory.respond(connection, connection.encode(payload))

        asked, breach = self.pair.frame(b"asked"), self.pair.frame(b"", CONTINUATION)
        for reads in ([asked + breach], [asked, breach]):
            peer = self.pair.connect(Answering()).open()
            for data in reads:
                peer.bytes(data)
            answer, close = peer.frames()
            self.assertEqual(answer, (TEXT, b"asked"))
            self.assertEqual((close[0], close[1][:2]), (CLOSE, struct.pack("!H", 1002)))

    def test_L26_text_and_binary(self) -> None:
        """Binary is handed on as it is; text that is not UTF-8 is closed with 1007."""
        self.peer.send(b"\xff\xfe", BINARY)
        self.assertEqual(self.received(), [(b"\xff\xfe", True)])
        self.peer.send(b"{\xff}")
        self.assertEqual(self.peer.frames()[0][1][:2], struct.pack("!H", 1007))

    def test_one_pong_with_the_same_payload(self) -> None:
        """Each ping gets exactly one pong."""
        self.peer.send(b"abc", PING)
        self.assertEqual(self.peer.frames(), [(PONG, b"abc")])


class BackPressureTests(ConnectionTestCase):
    def setUp(self) -> None:
        self.pair = self.pair_of(send_buffer=10_000)
        self.peer = self.pair.connect().open()
        self.peer.transport.reading = False

    def offer(self, number: int, size: int = 1000) -> None:
        self.pair.factory.offer(self.peer.connection, server_frame((b"%d " % number).ljust(size)))
        self.pair.turn()

    def numbers(self) -> list[int]:
        return [int(text) for text in self.peer.texts()]

    def test_L19_the_oldest_events_go(self) -> None:
        """A peer that does not read keeps the newest events up to send_buffer; the drop is told."""
        for number in range(1000):
            self.offer(number)
        self.assertLess(self.peer.transport.waiting, 80_000)
        self.peer.transport.reading = True
        seen = self.numbers()
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(seen[-9:], list(range(991, 1000)))
        dropped = sum(call[1] for call in self.peer.handler.named("dropped"))
        self.assertEqual(dropped + len(seen), 1000)
        self.assertEqual(self.peer.handler.calls[-1], ("caught_up",))

    def test_a_message_larger_than_the_buffer(self) -> None:
        """An event larger than send_buffer is sent all the same, and takes no smaller one with it."""
        for number in range(70):
            self.offer(number)
        self.offer(70, 50_000)
        self.offer(71)
        self.peer.transport.reading = True
        self.assertEqual(self.numbers(), list(range(72)))

    def test_responses_are_never_dropped_and_stop_the_reading(self) -> None:
        """Over send_buffer of responses we read no more of the peer; when it reads, all are there."""

        class Answering(RecordingHandler):
            def __init__(self, pair: Pair) -> None:
                super().__init__()
                self.pair = pair

            def received(self, connection: ServerConnection, payload: bytes, binary: bool) -> None:
                super().received(connection, payload, binary)
                self.pair.factory.respond(connection, server_frame(payload.ljust(1000)))

        peer = self.pair.connect(Answering(self.pair)).open()
        peer.transport.reading = False
        for number in range(300):
            peer.bytes(self.pair.frame(b"%d" % number))
            self.pair.turn()
        self.assertTrue(peer.transport.paused)
        heard = len(peer.handler.named("received"))
        self.assertLess(heard, 90)
        peer.transport.reading = True
        answers = []
        for _ in range(50):
            answers += [int(text) for text in peer.texts()]
        self.assertEqual(answers, list(range(300)))
        self.assertFalse(peer.transport.paused)

    def test_pings_of_a_peer_that_does_not_read(self) -> None:
        """A flood of pings is not answered into a full buffer; the newest is, once there is room."""
        for number in range(80):
            self.offer(number)
        waiting = self.peer.transport.waiting
        for number in range(10_000):
            self.peer.bytes(self.pair.frame(b"%d" % number, PING))
        self.assertEqual(self.peer.transport.waiting, waiting)
        self.peer.transport.reading = True
        self.assertEqual([p for o, p in self.peer.frames() if o == PONG], [b"9999"])

    def test_one_write_for_many_events(self) -> None:
        """What is published within one turn is written with one call."""
        peer = self.pair.connect().open()
        writes = []
        self.patch(peer.transport, "write", writes.append)
        for _ in range(64):
            self.pair.factory.offer(peer.connection, server_frame(b"x"))
        self.assertEqual(writes, [])
        self.pair.clock.advance(0)
        self.assertEqual(writes, [server_frame(b"x") * 64])


class LivenessTests(ConnectionTestCase):
    """A peer is dead after ping_timeout of silence, if it answered pings before; else it is not."""

    def setUp(self) -> None:
        self.pair = self.pair_of()
        self.peer = self.pair.connect().open()

    def test_pings_come_in_their_interval(self) -> None:
        """One ping each ping_interval."""
        self.pair.advance(46)
        self.assertEqual([o for o, _ in self.peer.frames()].count(PING), 3)

    def test_who_never_answered_pings_lives(self) -> None:
        """Silence alone is no death: there are implementations that never answer pings."""
        self.pair.advance(600)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_who_answered_and_falls_silent_dies(self) -> None:
        """A silent peer that answered pings before is dropped after ping_timeout, and no other."""
        other = self.pair.connect().open()
        self.pair.advance(16)
        self.peer.pong_all()
        for _ in range(59):
            self.pair.advance(1)
            other.pong_all()
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        for _ in range(3):
            self.pair.advance(1)
            other.pong_all()
        self.assertIs(self.peer.connection.phase, Phase.CLOSED)
        self.assertIs(other.connection.phase, Phase.OPEN)
        self.assertEqual(self.pair.factory.counters.dead_peers, 1)

    def test_any_byte_is_a_sign_of_life(self) -> None:
        """A peer in the middle of a large upload is alive, whatever it does with pings."""
        self.pair.advance(16)
        self.peer.pong_all()
        self.peer.bytes(bytes([0x81, self.pair.kind.mask_bit | 127]) + struct.pack("!Q", 1_000_000) + b"abcd")
        for _ in range(200):
            self.pair.advance(1)
            self.peer.bytes(b"x")
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_pongs_that_confirm_nothing(self) -> None:
        """Unsolicited and made-up pongs do not make a peer one that answers pings."""
        for payload in (b"", b"1", b"99", b"-1", b"x", b"\xff", b"9" * 100):
            self.peer.send(payload, PONG)
        self.pair.advance(200)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_time_in_which_we_do_not_read_does_not_count(self) -> None:
        """While we hold a peer back, its silence is ours."""
        self.pair.advance(16)
        self.peer.pong_all()
        self.peer.transport.reading = False
        for _ in range(60):
            self.pair.factory.respond(self.peer.connection, server_frame(b"x" * 100_000))
        self.assertTrue(self.peer.transport.paused)
        self.pair.advance(300)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        self.peer.transport.reading = True
        self.pair.advance(58)
        self.assertFalse(self.peer.transport.paused)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        self.pair.advance(4)
        self.assertIs(self.peer.connection.phase, Phase.CLOSED)

    def test_a_process_that_stood_still(self) -> None:
        """After the whole process stood still the first sweep kills nobody."""
        self.pair.advance(16)
        self.peer.pong_all()
        self.pair.clock.advance(3600)
        self.pair.factory.sweep()
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_how_often_it_is_looked(self) -> None:
        """Sweeps are a second apart, and closer where the limits are short."""
        self.assertEqual(Limits().sweep_interval, 1.0)
        self.assertLess(Limits(ping_interval=0.2, ping_timeout=0.5).sweep_interval, 0.03)


class NamesTests(SynchronousTestCase):
    def test_our_names_are_not_autobahns(self) -> None:
        """None of our own attributes has a name that Autobahn uses (T2)."""
        factory = WebSocketServerFactory(reactor=MemoryReactorClock())
        theirs = WebSocketServerProtocol()
        theirs.factory = factory
        pair = Pair()
        ours = pair.connect().open().connection
        plain = pair.connect()
        base = WebSocketServerProtocol()
        base.factory = pair.factory
        base.makeConnection(plain.transport)
        base.dataReceived(handshake())
        own = set(vars(ours)) - set(vars(base))
        expected = {
            "phase", "handler", "outbox", "assembly", "liveness", "_deadline", "pending_pong", "end_reason",
            "write_paused", "read_paused", "discarding_input", "bytes_seen", "message_seen", "flush_pending",
            "being_read", "ping_acks", "flushed_at", "partial_frame",
        }  # fmt: skip
        self.assertEqual(own, expected)
        taken = set(dir(WebSocketServerProtocol)) | set(vars(base))
        self.assertEqual(own & taken, set())
        both = {
            name
            for kind in (*ServerConnection.__mro__, *ClientConnection.__mro__)
            if kind.__module__.startswith("lgtwist")
            for name in vars(kind)
        }
        added = {name for name in both if not name.startswith("__")}
        overridden = {name for name in added if name in taken}
        self.assertEqual(
            added - overridden,
            {
                "autobahn_made", "autobahn_open", "autobahn_read", "autobahn_lost", "answer_handshake",
                "configured", "protocol_broken",
                "encode", "encode_ping", "masks", "onConnecting",
                "enter", "note_end", "set_deadline", "_deadline_missed", "cancel_deadline", "release",
                "begin_liveness", "check_liveness", "discard_input",
                "schedule_flush", "expect_flush", "flush", "write_resumed",
                "pause_reading", "unpause_reading", "read_buffered", "read", "read_whole",
                "answer_ping", "pong_received", "message_received",
                "pauseProducing", "resumeProducing", "stopProducing",
            },
        )  # fmt: skip


class QuietTests(ConnectionTestCase):
    def test_a_breach_is_not_a_flood_of_lines(self) -> None:
        """What peers do wrong does not fill the log: Autobahn's own lines about it are off."""
        seen: list[Any] = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        pair = self.pair_of()
        for _ in range(10):
            peer = pair.connect().open()
            peer.bytes(b"\xff\xff\xff\xff")
            peer.lose()
        loud = [event for event in seen if event.get("log_level", LogLevel.debug) >= LogLevel.info]
        self.assertEqual(loud, [])


class LateTests(ConnectionTestCase):
    def test_what_opens_while_we_stop(self) -> None:
        """It is closed at once, and stopping does not wait for ever."""
        pair = self.pair_of()
        slow, late = pair.connect().open(), pair.connect()
        gone = pair.factory.close_all(1001, "lgtwist stops")
        late.open()
        self.assertEqual(late.handler.named("opened"), [])
        late.close(1001)
        pair.advance(3)
        self.successResultOf(gone)
        self.assertIs(late.connection.phase, Phase.CLOSED)
        self.assertIs(slow.connection.phase, Phase.CLOSED)

    def test_closing_is_told(self) -> None:
        """Who stands behind a connection knows at once that nothing can be sent any more."""
        pair = self.pair_of()
        peer = pair.connect().open()
        peer.close(1011)
        self.assertEqual([call[1] for call in peer.handler.named("closing")], [1011])

    def test_time_in_which_we_did_not_read(self) -> None:
        """A stall of ours is not the peer's silence, however short its heartbeats are."""
        pair = self.pair_of()
        peer = pair.connect().open()
        peer.connection.liveness.expect_heartbeats(0.5)
        for _ in range(20):
            pair.clock.advance(2.2)  # we are busy; what the peer sent waits in the kernel
            pair.factory.sweep()
            peer.send(b"{}")
            pair.turn()
        self.assertIs(peer.connection.phase, Phase.OPEN)
        pair.advance(4)
        self.assertIs(peer.connection.phase, Phase.CLOSED)


class DialledLateTests(LateTests):
    pair_of = DiallingPair


class DialledPhaseTests(PhaseTests):
    pair_of = DiallingPair


class DialledAnyOrderTests(AnyOrderTests):
    pair_of = DiallingPair


class DialledSendFailureTests(SendFailureTests):
    pair_of = DiallingPair


class DialledReadingTests(ReadingTests):
    pair_of = DiallingPair


class DialledBackPressureTests(BackPressureTests):
    pair_of = DiallingPair


class DialledLivenessTests(LivenessTests):
    pair_of = DiallingPair


class DialledQuietTests(QuietTests):
    pair_of = DiallingPair


#: What may come from a peer in the same bytes as its handshake.
_GLUED = {
    "ping": [(b"hi", PING, {})],
    "text": [(b'{"a":1}', TEXT, {})],
    "fragments around a ping": [(b"a", TEXT, {"fin": False}), (b"hi", PING, {}), (b"b", CONTINUATION, {})],
    "close": [(struct.pack("!H", 1000), CLOSE, {})],
    "breach": [(b"x", TEXT, {"rsv": 4})],
    "no text": [(b"\xff", TEXT, {})],
}


class GreetingTests(SynchronousTestCase):
    """The answer to a handshake is written when the reactor's turn ends; nothing is written before it."""

    @quick
    @given(
        st.lists(st.sampled_from(list(_GLUED)), max_size=5),
        st.lists(st.sampled_from(["respond", "offer", "put now", "send", "ping", "close"]), max_size=3),
        st.sampled_from([0, 100_000]),
        st.sampled_from([1, 4 << 20]),
    )
    def test_nothing_comes_before_it(
        self, glued: list[str], said: list[str], before: int, send_buffer: int
    ) -> None:
        """Whatever a peer sends behind it, whatever is sent to it at once, however much is unread before."""
        pair = Pair(send_buffer=send_buffer)
        factory = pair.factory

        class Talkative(RecordingHandler):
            def opened(self, connection: Connection) -> None:
                if before:
                    connection.pauseProducing()  # as Twisted's TLS says at once where something waits
                for what in said:
                    if what == "respond":
                        factory.respond(connection, server_frame(b"{}"))
                    elif what == "offer":
                        factory.offer(connection, server_frame(b"{}"))
                    elif what == "put now":
                        factory.put_now(connection, server_frame(b"{}"))
                    elif what == "send":
                        factory.send(connection, b"{}")
                    elif what == "ping":
                        factory.ping(connection)
                    else:
                        factory.close(connection, 1001, "stops")

            def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
                factory.respond(connection, server_frame(b"answer"))

        peer = pair.connect(Talkative())
        peer.transport.reading = not before
        peer.transport.write(b"." * before)  # the answers to earlier requests
        peer.shake_hands()
        for frame in (frame for name in glued for frame in _GLUED[name]):
            peer.send(frame[0], frame[1], **frame[2])
        pair.turn()
        peer.transport.reading = True
        pair.turn()
        head = peer.transport.taken[before:]
        self.assertEqual(head[:13], b"HTTP/1.1 101 ")
        self.assertEqual(head.count(b"HTTP/1.1 101 "), 1)
        if before:
            return  # what waits for a slow peer is not waited for when the connection ends
        answers = 0
        for name in glued:
            if name in ("close", "breach", "no text") or "close" in said:
                break
            answers += name in ("text", "fragments around a ping")
        self.assertEqual(head.count(b"answer"), answers)
