"""What waits while the journal takes no more events of a sandbox. Pure."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, succeed


class PausableWork:
    """Holds back what may cause events while these are paused, and lets it go on in order.

    :ivar is_paused: whether events are paused.
    """

    def __init__(self) -> None:
        self.is_paused = False
        self._waiting: deque[Deferred[None]] = deque()

    def __len__(self) -> int:
        """Return how much waits."""
        return len(self._waiting)

    def when_resumed(self) -> Deferred[None]:
        """Return a Deferred that fires when events are not paused; at once if they are not.

        Who cancels it does not wait any more.
        """
        if not self.is_paused:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._forget)
        self._waiting.append(waiting)
        return waiting

    def _forget(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def pause(self) -> None:
        """Let nothing go on from now on."""
        self.is_paused = True

    def resume(self) -> None:
        """Let go on what waits, the longest first, until events are paused again."""
        self.is_paused = False
        while self._waiting and not self.is_paused:
            self._waiting.popleft().callback(None)
