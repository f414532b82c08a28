"""How many connections there may be, how long a handshake may take, how often a token may be wrong."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.web.connection_limits import ConnectionLimits


class Handshake:
    def __init__(self) -> None:
        self.ended = 0

    def abort(self) -> None:
        self.ended += 1


class ConnectionLimitsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = ConnectionLimits(Limits(connections=3, handshakes=5, failed_handshakes=2), self.clock)

    def test_connections_are_counted(self) -> None:
        """Beyond the limit it is exceeded, far beyond none is taken; one that is over makes room, once."""
        closed = [self.limits.connection_opened() for _ in range(3)]
        self.assertFalse(self.limits.exceeded)
        surplus = self.limits.connection_opened()
        assert surplus is not None
        self.assertTrue(self.limits.exceeded)
        surplus()
        surplus()
        self.assertEqual(self.limits.open_connections, 3)
        while self.limits.connection_opened() is not None:
            pass
        self.assertEqual(self.limits.counters.turned_away, 1)
        assert all(closed)

    def test_a_deadline_from_the_first_moment(self) -> None:
        """T20: each one has handshake_timeout from its own arrival, whatever it sends meanwhile."""
        first, second, quick = Handshake(), Handshake(), Handshake()
        self.limits.handshake_begun(first)
        self.limits.handshake_begun(quick)
        self.clock.advance(3)
        self.limits.handshake_begun(second)
        self.limits.handshake_ended(quick)
        self.clock.advance(2)
        self.assertEqual(first.ended, 1)
        self.assertEqual(second.ended, 0)
        self.assertEqual(quick.ended, 0)
        self.clock.advance(3)
        self.assertEqual(first.ended, 1)
        self.assertEqual(second.ended, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_many_at_once(self) -> None:
        """The oldest unfinished one is ended for a new one: slow ones keep no quick one out."""
        slow = [Handshake() for _ in range(7)]
        for handshake in slow:
            self.limits.handshake_begun(handshake)
        self.assertEqual([handshake.ended for handshake in slow], [1, 1, 0, 0, 0, 0, 0])

    def test_failures(self) -> None:
        """Only failures are counted, by address, and forgotten after a minute; never for loopback."""
        observer = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.assertEqual(
            [self.limits.authentication_failed("10.0.0.1", "x") for _ in range(4)], [False, False, True, True]
        )
        self.assertFalse(self.limits.authentication_failed("10.0.0.2", "x"))
        self.assertEqual([self.limits.authentication_failed("127.0.0.2", "x") for _ in range(4)], [False] * 4)
        self.assertEqual(len(observer), 3)  # type: ignore[arg-type]
        self.clock.advance(61)
        self.assertFalse(self.limits.authentication_failed("10.0.0.1", "x"))

    def test_stopping(self) -> None:
        """A handshake that is under way is ended, and no timer is left."""
        handshake = Handshake()
        self.limits.handshake_begun(handshake)
        self.limits.stop()
        self.assertEqual(handshake.ended, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
