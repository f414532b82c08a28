"""Whether the wall clock can be believed. Pure: both clocks come in.

A wall clock is set: by hand; by NTP after a boot, where the hardware's clock is in local time or has no
battery; for a moment to a wrong date. A monotonic clock is not. As long as both keep step nobody has set the
one.
"""

from __future__ import annotations

from collections.abc import Callable

#: Seconds for which the wall clock must have kept step before anything is deleted by it.
STEADY_AFTER = 600.0
#: Seconds by which it may be off at once without having been set.
_TOLERANCE = 1.0
#: How much faster or slower than the monotonic clock it may go. NTP corrects by 500 ppm at most.
_DRIFT = 0.001


class WallClock:
    """Compares the wall clock with a monotonic one.

    Linux's monotonic clock stands still while the machine sleeps: after that the wall clock has gone forward,
    as if it had been set. That errs on the safe side: for a while nothing is deleted by it.

    :param wall: returns seconds since the epoch.
    :param monotonic: returns seconds of a clock that nobody sets.
    :param was_set: called with the seconds by which it was set, negative for back, each time.
    """

    def __init__(
        self,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        was_set: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._was_set = was_set
        self._checked_at = self._in_step_since = monotonic()
        self._difference = wall() - self._checked_at  # follows what NTP corrects slowly, and no faster

    def check(self) -> float:
        """Compare the clocks, and return what the wall clock says. Call this every few seconds."""
        now, wall = self._monotonic(), self._wall()
        step = wall - now - self._difference
        drift = _DRIFT * max(0.0, now - self._checked_at)
        self._checked_at = now
        if abs(step) > _TOLERANCE + drift:
            self._difference += step
            self._in_step_since = now
            self._was_set(step)
        else:
            self._difference += max(-drift, min(drift, step))
        return wall

    @property
    def steady_for(self) -> float:
        """For how many seconds it has kept step, as of the last :meth:`check`."""
        return self._checked_at - self._in_step_since

    def steady(self) -> float | None:
        """Return seconds since the epoch; None where it has not kept step for long enough yet."""
        wall = self.check()
        return wall if self.steady_for >= STEADY_AFTER else None
