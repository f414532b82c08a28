"""One log line for what happens many times."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime


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
