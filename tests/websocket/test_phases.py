"""The phases of a connection: how it opens, closes, ends, and what is said of it."""

from __future__ import annotations

import struct

from lgtwist.websocket.factory import Outcome
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase, PhaseError, may_follow
from tests.integration.rawclient import CLOSE, TEXT
from tests.pair import DiallingPair
from tests.websocket.contract import ConnectionTestCase


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
            self.assertEqual(peer.close_code(), 1002, code)

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


class ShutdownTests(ConnectionTestCase):
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


class DialledPhaseTests(PhaseTests):
    pair_of = DiallingPair


class DialledShutdownTests(ShutdownTests):
    pair_of = DiallingPair
