"""A failure costs one connection, one counter, and at most one log line."""

from __future__ import annotations

from typing import Any

from autobahn.exception import Disconnected, PayloadExceededError
from twisted.logger import LogLevel, globalLogPublisher

from lgtwist.websocket.factory import Outcome
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase
from tests.pair import DiallingPair, RecordingHandler
from tests.websocket.contract import ConnectionTestCase


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


class DialledSendFailureTests(SendFailureTests):
    pair_of = DiallingPair


class DialledQuietTests(QuietTests):
    pair_of = DiallingPair
