"""Slots for actions that take long: each caller has its own, so that none waits for another. Pure."""

from __future__ import annotations

from collections import deque

from attrs import Factory, define
from twisted.internet.defer import Deferred, succeed


@define
class _Caller:
    """One caller with actions under way.

    :ivar taken: how many slots it has.
    :ivar waiting: fire when a slot is free, the oldest first.
    """

    taken: int = 0
    waiting: deque[Deferred[None]] = Factory(deque)


class CallerSlots:
    """Limits how many actions of each caller are done at once; the next ones wait for their turn.

    :param per_caller: slots of each caller.
    """

    def __init__(self, per_caller: int) -> None:
        self._per_caller = per_caller
        self._callers: dict[str | None, _Caller] = {}

    def acquire(self, caller: str | None) -> Deferred[None]:
        """Take a slot, to be released with :meth:`release`.

        :returns: fires when there is one; may be cancelled before.
        """
        mine = self._callers.setdefault(caller, _Caller())
        if mine.taken < self._per_caller:
            mine.taken += 1
            return succeed(None)
        waiter: Deferred[None] = Deferred(mine.waiting.remove)
        mine.waiting.append(waiter)
        return waiter

    def release(self, caller: str | None) -> None:
        """Free a slot: the action that has waited longest for it gets it."""
        mine = self._callers[caller]
        if mine.waiting:
            mine.waiting.popleft().callback(None)
            return
        mine.taken -= 1
        if not mine.taken:
            del self._callers[caller]
