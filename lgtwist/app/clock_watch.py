"""Say that somebody set the wall clock, or that the machine slept."""

from __future__ import annotations

from collections.abc import Callable

from lgtwist.runtime.logs import Logger
from lgtwist.runtime.wall_clock import STEADY_AFTER, WallClock


class ClockWatch:
    """Compares the wall clock with one that is never set.

    :param wall_clock: seconds since the epoch.
    :param clock: returns seconds of a clock that is never set.
    :param was_set: called after it was logged that the wall clock was set.
    """

    _log = Logger()

    def __init__(
        self, wall_clock: Callable[[], float], clock: Callable[[], float], was_set: Callable[[], None]
    ) -> None:
        self._was_set = was_set
        watch = WallClock(wall_clock, clock, self._clock_was_set)
        self.check = watch.check
        self.steady = watch.steady

    def _clock_was_set(self, seconds: float) -> None:
        self._log.warn(
            "the clock was set {way} by {seconds:.0f} s (or the machine slept). Beats and time limits go on; "
            "events of former runs are not deleted for their age before it has been right for "
            "{minutes:.0f} minutes",
            way="back" if seconds < 0 else "forward",
            seconds=abs(seconds),
            minutes=STEADY_AFTER / 60,
        )
        self._was_set()
