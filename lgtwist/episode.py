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
