"""How many connections there may be, how long a handshake may take, how often a token may be wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.web.connection_limits import ConnectionLimits, CountedConnection
from tests.rounds import quick


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
        """Each one from accept to its end, once."""
        counted = [self.opened() for _ in range(3)]
        self.assertEqual(self.limits.open_connections, 3)
        counted[0].closed()
        counted[0].closed()
        self.assertEqual(self.limits.open_connections, 2)
        self.assertIsNone(self.limits.own(counted[0], "a"))
        self.assertIsNone(counted[0].owner, "a closed one counts for nobody")

    def opened(self) -> CountedConnection:
        counted = self.limits.connection_opened(Handshake())
        assert counted is not None
        return counted

    def test_a_share(self) -> None:
        """One owner has a quarter of the connections and at least 8; another one has its own."""
        for connections, share in ((3, 8), (32, 8), (60, 15), (10_000, 2_500)):
            self.limits.limits = Limits(connections=connections)
            self.assertEqual(self.limits.share, share)
        self.limits.limits = Limits(connections=40)
        mine = [self.opened() for _ in range(11)]
        whys = [self.limits.own(counted, "a") for counted in mine]
        self.assertEqual(whys[:10], [None] * 10)
        self.assertIn("has 10 connections, its share of limits.connections", str(whys[10]))
        self.assertIsNone(self.limits.own(mine[3], "a"), "it counts for its owner already")
        self.assertIsNone(self.limits.own(mine[10], "b"))
        self.assertIsNone(self.limits.own(mine[0], "b"), "it shows another token now")
        self.assertIsNone(self.limits.own(self.opened(), "a"))
        self.assertIsNotNone(self.limits.own(self.opened(), "a"))
        mine[5].closed()
        self.assertIsNone(self.limits.own(self.opened(), "a"))

    def test_all_shares_together(self) -> None:
        """All owners together have no more than the limit."""
        for number in range(3):
            self.assertIsNone(self.limits.own(self.opened(), number))
        self.assertIn("limits.connections", str(self.limits.own(self.opened(), 4)))

    def test_unowned_make_room(self) -> None:
        """Those without an owner use what is left and 64 more; the one that was answered longest ago goes."""
        strangers = [Handshake() for _ in range(67)]
        counted = [self.limits.connection_opened(stranger) for stranger in strangers]
        self.assertEqual(sum(stranger.ended for stranger in strangers), 0)
        assert counted[0] is not None
        assert counted[1] is not None
        self.limits.answered(counted[0])
        self.assertIsNone(self.limits.own(counted[1], "a"))
        self.opened()
        self.assertEqual([stranger.ended for stranger in strangers[:4]], [0, 0, 1, 0])
        self.assertEqual(self.limits.open_connections, 67)
        self.assertEqual(self.limits.counters.turned_away, 1)

    def test_no_room_at_all(self) -> None:
        """Where nobody can go, a connection is dropped."""
        self.limits.limits = Limits(connections=100)
        for number in range(100):
            self.limits.own(self.opened(), number)
        self.limits.limits = Limits(connections=1)
        self.assertIsNone(self.limits.connection_opened(Handshake()))
        self.assertEqual(self.limits.counters.turned_away, 1)

    @quick
    @given(st.lists(st.tuples(st.sampled_from(["open", "own", "close", "answered"]), st.integers(0, 9))))
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """The numbers are right whatever happens, and zero when all are closed."""
        limits = ConnectionLimits(Limits(connections=4), Clock())
        counted: list[CountedConnection] = []
        for step, number in steps:
            if step == "open":
                opened = limits.connection_opened(Handshake())
                counted += [] if opened is None else [opened]
            elif counted:
                one = counted[number % len(counted)]
                if step == "own":
                    limits.own(one, number % 3)
                elif step == "close":
                    one.closed()
                else:
                    limits.answered(one)
            self.assertEqual(limits.open_connections, sum(one.is_open for one in counted))
            self.assertLessEqual(sum(one.owner is not None for one in counted), 4)
        for one in counted:
            one.closed()
        self.assertEqual((limits.open_connections, limits._all_owned, limits._owned), (0, 0, {}))
        self.assertEqual(limits._unowned, {})

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
