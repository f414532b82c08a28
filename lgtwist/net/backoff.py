"""How long to wait before the next attempt. Pure: the random source is an argument."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from lgtwist.config.section import Section
from lgtwist.config.values import duration

#: A bound for the exponent, beyond every sensible ``longest``: a float overflows at 1024.
_MOST_DOUBLINGS = 30
#: A gap is longer than the exponential one by up to this share, so that many diallers do not dial together.
_JITTER = 0.2


class Backoff:
    """Exponential gaps with jitter, without an end.

    :param shortest: seconds of the first gap, and of the first one after :meth:`reset`.
    :param longest: seconds that no gap exceeds.
    :param uniform: returns a random number between its two arguments.
    """

    def __init__(self, shortest: float, longest: float, uniform: Callable[[float, float], float]) -> None:
        self._shortest = shortest
        self._longest = max(shortest, longest)
        self._uniform = uniform
        self._failures = self._failures_before = 0

    def next_delay(self) -> float:
        """Count a failed attempt; return the seconds until the next one."""
        gap = min(self._longest, self._shortest * 2.0 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        top = min(self._longest, gap * (1 + _JITTER))
        return max(self._shortest, self._uniform(top / (1 + _JITTER), top))

    def reset(self) -> None:
        """Begin anew: the next gap is the shortest."""
        self._failures_before, self._failures = self._failures, 0

    def unreset(self) -> None:
        """Take the last :meth:`reset` back: the gaps go on where they were before it."""
        self._failures = max(self._failures, self._failures_before)


@frozen
class ReconnectSettings:
    """``reconnect = {min, max}``: the gaps between attempts, in seconds."""

    shortest: float = 1.0
    longest: float = 60.0

    def backoff(self, uniform: Callable[[float, float], float]) -> Backoff:
        """Make a back-off with these gaps.

        :param uniform: gives a random number between two others.
        """
        return Backoff(self.shortest, self.longest, uniform)


def read_reconnect(section: Section) -> ReconnectSettings:
    """Read ``reconnect``; mistakes are collected in the section."""
    gaps = section.section("reconnect")
    shortest = gaps.read("min", duration(0.05, 86400), "1s")
    longest = gaps.read("max", duration(0.05, 86400), "60s")
    gaps.finish()
    if shortest is not None and longest is not None and shortest > longest:
        gaps.add_problem("max", "expected a time that is not shorter than min")
    return ReconnectSettings(shortest or 1.0, longest or 60.0)
