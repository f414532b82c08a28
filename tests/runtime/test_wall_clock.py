"""Whether the wall clock can be believed: two clocks that a test moves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime.wall_clock import STEADY_AFTER, WallClock

HOUR = 3600.0
MONTH = 30 * 24 * HOUR


class Clocks:
    """A wall clock and a monotonic one, and what was said about them."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.monotonic = 1000.0
        self.wall = 1_700_000_000.0 + ahead
        self.steps: list[float] = []
        self.watch = WallClock(lambda: self.wall, lambda: self.monotonic, self.steps.append)

    def advance(self, seconds: float, rate: float = 1.0, every: float = 5.0) -> None:
        """Let time pass; the wall clock goes at a rate of its own."""
        end = self.monotonic + seconds
        while self.monotonic < end:
            passed = min(every, end - self.monotonic)
            self.monotonic += passed
            self.wall += passed * rate
            self.watch.check()

    @property
    def steady(self) -> bool:
        return self.watch.steady() is not None


class WallClockTests(SynchronousTestCase):
    def test_ten_minutes(self) -> None:
        """It is believed after ten minutes of this run, not before; then it is what it says."""
        clocks = Clocks()
        clocks.advance(STEADY_AFTER - 1)
        self.assertFalse(clocks.steady)
        clocks.advance(1)
        self.assertEqual(clocks.watch.steady(), clocks.wall)
        self.assertEqual(clocks.steps, [])

    def test_a_month_forward_for_a_moment(self) -> None:
        """It is not believed from the first reading on, and not for ten minutes after it is right again."""
        clocks = Clocks()
        clocks.advance(HOUR)
        clocks.wall += MONTH
        self.assertFalse(clocks.steady)
        clocks.advance(20)
        clocks.wall -= MONTH
        clocks.advance(STEADY_AFTER)
        self.assertFalse(clocks.steady)
        clocks.advance(5)
        self.assertTrue(clocks.steady)
        self.assertEqual([round(step) for step in clocks.steps], [MONTH, -MONTH])

    def test_local_time_at_boot(self) -> None:
        """Eight hours ahead until NTP comes after a minute: one step, and ten minutes from then on."""
        clocks = Clocks(ahead=8 * HOUR)
        clocks.advance(60)
        self.assertFalse(clocks.steady)
        clocks.wall -= 8 * HOUR
        clocks.advance(STEADY_AFTER)
        self.assertFalse(clocks.steady)
        clocks.advance(5)
        self.assertTrue(clocks.steady)
        self.assertEqual([round(step) for step in clocks.steps], [-8 * HOUR])

    def test_set_back(self) -> None:
        """Set back, it has to keep step anew."""
        clocks = Clocks()
        clocks.advance(HOUR)
        clocks.wall -= HOUR
        self.assertFalse(clocks.steady)
        self.assertEqual([round(step) for step in clocks.steps], [-HOUR])

    def test_slow_drift(self) -> None:
        """What NTP corrects slowly (500 ppm) is no step, for days, whichever way and however rarely asked."""
        for rate in (1.0005, 0.9995):
            for every in (5.0, 900.0):
                clocks = Clocks()
                clocks.advance(3 * 24 * HOUR, rate, every)
                self.assertEqual(clocks.steps, [])
                self.assertTrue(clocks.steady)

    def test_many_small_steps(self) -> None:
        """A clock that is set by less than a second again and again is not believed."""
        clocks = Clocks()
        for _ in range(300):
            clocks.advance(5)
            clocks.wall += 0.9
        self.assertFalse(clocks.steady)
        self.assertTrue(clocks.steps)

    def test_the_machine_slept(self) -> None:
        """Linux's monotonic clock stood still: that looks like a step, and is one."""
        clocks = Clocks()
        clocks.advance(HOUR)
        clocks.wall += 9 * HOUR
        self.assertFalse(clocks.steady)
        clocks.advance(STEADY_AFTER + 5)
        self.assertTrue(clocks.steady)
        self.assertEqual([round(step) for step in clocks.steps], [9 * HOUR])
