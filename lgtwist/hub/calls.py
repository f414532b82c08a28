"""Which response belongs to which call. Pure: time comes in, nothing goes out.

A call has exactly one end: its response, its time limit, the end of its link, or the end of whoever asked.
Whoever removes it from the table :class:`Calls` ends it; what is not in the table cannot end again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from lgtwist.hub.interfaces import IAccountLink

#: Takes a response without ``echo``, and whether it is the last one of the call.
ReceiveResponse = Callable[[bytes, bool], None]


class Call(Protocol):
    """One action under way to an account.

    :ivar action: the name that is sent.
    :ivar call_id: the correlation id, never used twice in a run; 0 before it is in the table.
    :ivar deadline: when it ends without a response, in seconds of the table's clock.
    :ivar link: what it was sent on.
    :ivar flow_token: what :meth:`IAccountLink.send` returned.
    """

    action: str
    call_id: int
    deadline: float
    link: IAccountLink | None
    flow_token: Any

    def receive(self, response: bytes, last: bool, /) -> None:
        """Take a response without ``echo``, and whether it is the last one."""


class InternalCall(msgspec.Struct, eq=False):
    """A call of lgtwist itself: its responses go to a function."""

    action: str
    receive: ReceiveResponse
    call_id: int = 0
    deadline: float = 0.0
    link: IAccountLink | None = None
    flow_token: Any = None


class Calls:
    """The calls under way to one account, in the order of their deadlines.

    :param limit: seconds that a response may take.
    :param last_id: correlation ids count on from here. Where responses may outlive a run of lgtwist, a
        random number keeps them apart from those of the next run.
    """

    def __init__(self, limit: float, last_id: int = 0) -> None:
        self.limit = limit
        self._last_id = last_id
        self._open: dict[int, Call] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, call: Call, now: float) -> int:
        """Put a call into the table and give it a correlation id and a deadline; return the id."""
        call_id = self._last_id = self._last_id + 1
        call.call_id = call_id
        call.deadline = now + self.limit
        self._open[call_id] = call
        return call_id

    def change_limit(self, limit: float, now: float) -> None:
        """Take another limit; calls that have more time left than that have that much from now on."""
        self.limit = limit
        for call in self._open.values():
            call.deadline = min(call.deadline, now + limit)

    def pop(self, call_id: int) -> Call | None:
        """Remove and return a call; None if it is not there (its response came late, twice, or unasked)."""
        return self._open.pop(call_id, None)

    def renew(self, call: Call, now: float) -> None:
        """Put a call back whose response was a part of a stream; its time limit begins anew."""
        call.deadline = now + self.limit
        self._open[call.call_id] = call

    def discard(self, call: Call) -> bool:
        """Remove a call; return whether it was still there."""
        return self._open.pop(call.call_id, None) is not None

    def pop_expired(self, now: float) -> list[Call]:
        """Remove and return the calls whose deadline has passed."""
        over = []
        for call in self._open.values():
            if call.deadline > now:
                break
            over.append(call)
        for call in over:
            del self._open[call.call_id]
        return over

    def pop_all(self) -> list[Call]:
        """Remove and return every call."""
        self._open, ended = {}, self._open
        return list(ended.values())

    def next_deadline(self) -> float | None:
        """Return when :meth:`pop_expired` has something to do next, in seconds; None if never."""
        for call in self._open.values():
            return call.deadline
        return None
