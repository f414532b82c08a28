"""How long to wait before dialling again. Pure: randomness comes in."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from lgtwist.config.section import Section
from lgtwist.config.values import duration

#: Doubling ends here, long after every sensible maximum.
_MOST_DOUBLINGS = 30
#: Gaps are longer than the exponential ones by up to this share, so that many do not dial together.
_JITTER = 0.2


class Backoff:
    """Exponential gaps from ``shortest`` to ``longest`` seconds, with jitter, for ever.

    :param uniform: gives a random number between two others.
    """

    def __init__(self, shortest: float, longest: float, uniform: Callable[[float, float], float]) -> None:
        self._shortest = shortest
        self._longest = max(shortest, longest)
        self._uniform = uniform
        self._failures = self._failures_before = 0

    def next_delay(self) -> float:
        """Seconds until the next attempt."""
        gap = min(self._longest, self._shortest * 2.0 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        top = min(self._longest, gap * (1 + _JITTER))
        return max(self._shortest, self._uniform(top / (1 + _JITTER), top))

    def reset(self) -> None:
        """A WebSocket was opened: the next gap is the shortest."""
        self._failures_before, self._failures = self._failures, 0

    def unreset(self) -> None:
        """What was opened was only opened to refuse us: the gaps go on where they were."""
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
    shortest = gaps.take("min", duration(0.05, 86400), "1s")
    longest = gaps.take("max", duration(0.05, 86400), "60s")
    gaps.finish()
    if shortest is not None and longest is not None and shortest > longest:
        gaps.wrong("max", "expected a time that is not shorter than min")
    return ReconnectSettings(shortest or 1.0, longest or 60.0)
