"""When events were committed, by the monotonic clock of this run. Pure: the present time is an argument."""

from __future__ import annotations

from bisect import bisect_right

from lgtwist.delivery.batch import Position

#: Seconds of commits that share one entry, at least.
_FINEST = 0.1
#: Part of their age by which entries may lie apart: those of a week ago by an hour and a half.
_COARSE = 0.01
#: Entries from which on those that lie closer together than that are dropped.
_MOST_ENTRIES = 4096


class CommitTimes:
    """Up to which position events are how old.

    It takes the memory of a few thousand numbers, however many commits there were. Ages are never too large,
    and too small by a hundredth at most.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._ends: list[Position] = []  # at each of these times everything up to here was committed
        self._slot_began = 0.0
        self._thin_at = _MOST_ENTRIES

    def note(self, end: Position, now: float) -> None:
        """Note that everything up to a position is committed by now."""
        if self._times and now - self._slot_began < _FINEST:
            self._times[-1], self._ends[-1] = now, end
            return
        self._slot_began = now
        self._times.append(now)
        self._ends.append(end)
        if len(self._times) >= self._thin_at:
            self._thin(now)

    def end_before(self, time: float) -> Position:
        """Return up to which position everything was committed at a time or before; 0 if nothing was."""
        found = bisect_right(self._times, time)
        return self._ends[found - 1] if found else 0

    def _thin(self, now: float) -> None:
        """Drop entries, so that those that are left lie apart by a part of their age."""
        times, ends = self._times, self._ends
        new_times, new_ends = [times[-1]], [ends[-1]]
        for index in range(len(times) - 2, -1, -1):
            if new_times[-1] - times[index] >= _COARSE * (now - times[index]):
                new_times.append(times[index])
                new_ends.append(ends[index])
        self._times, self._ends = new_times[::-1], new_ends[::-1]
        self._thin_at = len(self._times) + _MOST_ENTRIES
