"""Deferreds that fire when something happens next. Pure."""

from __future__ import annotations

from twisted.internet.defer import Deferred


class Waiters:
    """The callers that wait for the next time something happens."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []

    def __bool__(self) -> bool:
        """Return whether anybody waits."""
        return bool(self._waiting)

    def when_notified(self) -> Deferred[None]:
        """Return a Deferred that fires at the next :meth:`notify`; it may be cancelled."""
        waiter: Deferred[None] = Deferred(self._forget)
        self._waiting.append(waiter)
        return waiter

    def _forget(self, waiter: Deferred[None]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def notify(self) -> None:
        """Call back all that wait now."""
        self._waiting, waiters = [], self._waiting
        for waiter in waiters:
            if not waiter.called:  # cancelled by one before it
                waiter.callback(None)
