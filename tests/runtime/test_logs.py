"""Which of many occurrences are logged, and what of a peer's text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime.logs import FlapLog, LogThrottle, LogThrottles, printable
from tests.rounds import quick


class LogThrottleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_the_first_of_many(self) -> None:
        """Those that follow soon are not logged, however long it goes on; after a quiet minute one is."""
        throttle = LogThrottle(self.clock)
        self.assertTrue(throttle.should_log())
        for _ in range(10):
            self.clock.advance(59.0)
            self.assertFalse(throttle.should_log())
        self.clock.advance(61.0)
        self.assertTrue(throttle.should_log())

    def test_each_key(self) -> None:
        """Keys are throttled apart, so many of them; further ones wait until all are cleared."""
        throttles = LogThrottles(self.clock, 2)
        logged = [throttles.should_log(key) for key in ("a", "b", "a", "c")]
        self.assertEqual(logged, [True, True, False, False])
        self.clock.advance(60.0)
        self.assertTrue(throttles.should_log("c"))
        self.assertTrue(throttles.should_log("a"))
        self.assertFalse(throttles.should_log("b"))

    def test_printable(self) -> None:
        """No control characters, and no more than 200."""
        self.assertEqual(printable("a\nb\x1b[31m"), "a\ufffdb\ufffd[31m")
        self.assertEqual(printable("x" * 300), "x" * 200)
        self.assertEqual(printable("\n" * 300), "\ufffd" * 200)


class FlapLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.left_out: list[int] = []
        self.flaps = FlapLog(self.clock, self.left_out.append, most=3, period=10.0)

    def happens(self, times: int) -> int:
        """How many of so many occurrences are logged."""
        return sum(self.flaps.should_log() for _ in range(times))

    def test_few_are_all_logged(self) -> None:
        """As many as one reads: each has its line, in each period anew, and no timer waits."""
        for _ in range(5):
            self.assertEqual(self.happens(3), 3)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.clock.advance(10.0)
        self.assertEqual(self.left_out, [])

    def test_many_are_one_line(self) -> None:
        """Those beyond are reported at the end of the period that the first one began, with their number."""
        self.happens(1)
        self.clock.advance(4.0)
        self.assertEqual(self.happens(100), 2)
        self.clock.advance(5.9)
        self.assertEqual(self.left_out, [])
        self.clock.advance(0.1)
        self.assertEqual(self.left_out, [98])
        self.assertEqual(self.happens(4), 3)
        self.clock.advance(10.0)
        self.assertEqual(self.left_out, [98, 1])

    def test_the_end(self) -> None:
        """At the end the rest is reported at once, and nothing waits."""
        self.happens(5)
        self.flaps.stop()
        self.flaps.stop()
        self.assertEqual(self.left_out, [2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_clock_that_is_set_back(self) -> None:
        """It silences nobody for longer than a period."""
        self.clock.advance(3600.0)
        self.happens(3)
        self.clock.rightNow -= 3600.0
        self.assertEqual(self.happens(3), 3)

    def test_times_that_are_rounded(self) -> None:
        """A period is one whatever the clock says: 6.85 + 10 - 6.85 is more than 10."""
        self.clock.advance(6.85)
        self.assertGreater(self.clock.seconds() + 10.0 - self.clock.seconds(), 10.0)
        self.assertEqual(self.happens(100), 3)
        self.clock.advance(10.0)
        self.assertEqual(self.left_out, [97])

    def test_new_reasons(self) -> None:
        """A reason that was not logged in this period is logged, however many others were, up to ``most``."""
        self.happens(100)
        logged = [
            self.flaps.should_log(reason) for reason in ("lost", "lost", "silent", "lost", "x", "y", "z")
        ]
        self.assertEqual(logged, [True, False, True, False, True, False, False])
        self.clock.advance(10.0)
        self.assertEqual(self.left_out, [97 + 4])
        self.assertEqual(self.flaps.should_log("lost"), True)

    @quick
    @given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", *"abcdef"]), st.floats(0, 15))))
    def test_nothing_is_forgotten(self, steps: list[tuple[int, str, float]]) -> None:
        """Whenever it happens: what is logged and what is left out is all that happened."""
        self.setUp()
        logged = happened = 0
        for times, reason, seconds in steps:
            logged += sum(self.flaps.should_log(reason) for _ in range(times))
            happened += times
            self.clock.advance(seconds)
        self.flaps.stop()
        self.assertEqual(logged + sum(self.left_out), happened)
        self.assertLessEqual(logged, 6 * (self.clock.seconds() // 10 + 1))
