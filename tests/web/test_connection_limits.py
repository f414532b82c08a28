"""How many may come in, how long they may knock, how often they may fail."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.web.connection_limits import Gate


class Knocker:
    def __init__(self) -> None:
        self.gone = 0

    def give_up(self) -> None:
        self.gone += 1


class GateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gate = Gate(Limits(connections=3, handshakes=5, failed_handshakes=2), self.clock)

    def test_connections_are_counted(self) -> None:
        """Beyond the limit the gate is full, far beyond nobody is let in; who leaves makes room, once."""
        leaves = [self.gate.enter() for _ in range(3)]
        self.assertFalse(self.gate.full)
        surplus = self.gate.enter()
        assert surplus is not None
        self.assertTrue(self.gate.full)
        surplus()
        surplus()
        self.assertEqual(self.gate.inside, 3)
        while self.gate.enter() is not None:
            pass
        self.assertEqual(self.gate.counters.turned_away, 1)
        assert all(leaves)

    def test_a_deadline_from_the_first_moment(self) -> None:
        """T20: each one has handshake_timeout from its own arrival, whatever it sends meanwhile."""
        first, second, quick = Knocker(), Knocker(), Knocker()
        self.gate.knock(first)
        self.gate.knock(quick)
        self.clock.advance(3)
        self.gate.knock(second)
        self.gate.answered(quick)
        self.clock.advance(2)
        self.assertEqual((first.gone, second.gone, quick.gone), (1, 0, 0))
        self.clock.advance(3)
        self.assertEqual((first.gone, second.gone), (1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_many_at_once(self) -> None:
        """The oldest unfinished one goes for a new one: the fast get in, however many are slow."""
        slow = [Knocker() for _ in range(7)]
        for knocker in slow:
            self.gate.knock(knocker)
        self.assertEqual([knocker.gone for knocker in slow], [1, 1, 0, 0, 0, 0, 0])

    def test_failures(self) -> None:
        """Only failures are counted, by address, and forgotten after a minute; never for loopback."""
        observer = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.assertEqual([self.gate.refused("10.0.0.1", "x") for _ in range(4)], [False, False, True, True])
        self.assertFalse(self.gate.refused("10.0.0.2", "x"))
        self.assertEqual([self.gate.refused("127.0.0.2", "x") for _ in range(4)], [False] * 4)
        self.assertEqual(len(observer), 3)  # type: ignore[arg-type]
        self.clock.advance(61)
        self.assertFalse(self.gate.refused("10.0.0.1", "x"))

    def test_stopping(self) -> None:
        """Who still knocks is shown out, and no timer is left."""
        knocker = Knocker()
        self.gate.knock(knocker)
        self.gate.stop()
        self.assertEqual((knocker.gone, self.clock.getDelayedCalls()), (1, []))
