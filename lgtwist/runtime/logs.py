"""Log lines: one for what happens many times, and a peer's own words in them."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Episode:
    """Tells the first time from those that follow it soon.

    :param quiet: seconds without a next time that end an episode.
    """

    def __init__(self, clock: IReactorTime, quiet: float = 60.0) -> None:
        self._clock = clock
        self._quiet = quiet
        self._last: float | None = None

    def begins(self) -> bool:
        """It happened; whether that begins a new episode."""
        now = self._clock.seconds()
        last, self._last = self._last, now
        return last is None or now - last > self._quiet


class Episodes:
    """The same for many things at once, of which a peer may have invented most.

    :param most: how many are told apart in an episode; what is beyond them begins none.
    :param quiet: seconds without a next time that end an episode, and seconds after which all are forgotten.
    """

    def __init__(self, clock: IReactorTime, most: int, quiet: float = 60.0) -> None:
        self._clock = clock
        self._most = most
        self._quiet = quiet
        self._begun = clock.seconds()
        self._known: dict[str, Episode] = {}

    def begins(self, what: str) -> bool:
        """It happened; whether that begins a new episode of it."""
        known = self._known.get(what)
        if known is None:
            now = self._clock.seconds()
            if len(self._known) >= self._most:
                if now - self._begun < self._quiet:
                    return False
                self._known.clear()
            if not self._known:
                self._begun = now
            known = self._known[what] = Episode(self._clock, self._quiet)
        return known.begins()


class News:
    """Lines about what comes and goes: as many as one reads, each new reason, and one for the rest.

    :param left_out: called with how many were left out, at the end of each period in which some were.
    :param most: lines in a period; and reasons that are told apart in it.
    :param period: seconds.
    """

    def __init__(
        self, clock: IReactorTime, left_out: Callable[[int], None], most: int = 1000, period: float = 30.0
    ) -> None:
        self._clock = clock
        self._tell_left_out = left_out
        self._most = most
        self._period = period
        self._ends_at = 0.0
        self._left = most
        self._left_out = 0
        self._reasons: set[str] = set()
        self._end: IDelayedCall | None = None

    def is_news(self, reason: str = "") -> bool:
        """It happened; whether it is worth a line of its own."""
        now = self._clock.seconds()
        if self._end is None and not 0 < self._ends_at - now <= self._period:  # a clock may be set back
            self._ends_at = now + self._period
            self._begin()
        news = self._left > 0
        if news:
            self._left -= 1
        if reason and reason not in self._reasons and len(self._reasons) < self._most:
            self._reasons.add(reason)
            return True
        if not news:
            self._left_out += 1
            if self._end is None:
                self._end = self._clock.callLater(self._ends_at - now, self._period_ended)
        return news

    def _begin(self) -> None:
        self._left, self._left_out = self._most, 0
        self._reasons.clear()

    def _period_ended(self) -> None:
        self._end, left_out = None, self._left_out
        self._begin()
        self._tell_left_out(left_out)

    def stop(self) -> None:
        """Tell now what was left out: nothing comes any more."""
        if self._end is not None:
            self._end.cancel()
            self._period_ended()


def printable(text: str) -> str:
    """``text``, safe for a log or an answer: no control characters, at most 200 characters."""
    if text.isprintable():
        return text[:200]
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:200])
