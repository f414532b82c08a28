"""Which answer belongs to whom. Pure: time comes in, nothing goes out.

A call has exactly one end: its answer, its time limit, the end of its link, or its asker's. Whoever
takes it out of this table ends it; what is not in it any more cannot end again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from lgtwist.hub.interfaces import IAccountLink

#: Takes a response without echo, and whether it is the last one of the call.
Answered = Callable[[bytes, bool], None]


class Call(Protocol):
    """One action under way to an account.

    :ivar action: the name that is sent.
    :ivar call_id: the correlation id, never used twice in a run; 0 before it begins.
    :ivar deadline: when it ends without an answer, in seconds of the table's clock.
    :ivar link: what it was sent on.
    :ivar mark: what it waits under in the link's memory; None if it does not.
    """

    action: str
    call_id: int
    deadline: float
    link: IAccountLink | None
    mark: Any

    def answered(self, response: bytes, last: bool, /) -> None:
        """Take what the call ends with: a response without echo, and whether it is the last one."""


class Question(msgspec.Struct, eq=False):
    """A call whose answers go to a function."""

    action: str
    answered: Answered
    call_id: int = 0
    deadline: float = 0.0
    link: IAccountLink | None = None
    mark: Any = None


class Calls:
    """The calls under way to one account, oldest deadline first.

    :param limit: seconds that an answer may take.
    :param last_id: the correlation ids count on from here. Where answers may outlive a run of lgtwist,
        a random number keeps them apart from those of the next.
    """

    def __init__(self, limit: float, last_id: int = 0) -> None:
        self._limit = limit
        self._last_id = last_id
        self._open: dict[int, Call] = {}  # in the order of the deadlines, for all have the same limit

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, call: Call, now: float) -> int:
        """A call begins; its correlation id."""
        call_id = self._last_id = self._last_id + 1
        call.call_id = call_id
        call.deadline = now + self._limit
        self._open[call_id] = call
        return call_id

    def answer(self, call_id: int) -> Call | None:
        """The call that ends with this answer; None if there is none (late, twice, never asked)."""
        return self._open.pop(call_id, None)

    def renew(self, call: Call, now: float) -> None:
        """It was a part of the answer: the call is not over, and its time limit begins anew."""
        call.deadline = now + self._limit
        self._open[call.call_id] = call

    def forget(self, call: Call) -> bool:
        """Whether the call was still open; it is not any more."""
        return self._open.pop(call.call_id, None) is not None

    def expire(self, now: float) -> list[Call]:
        """Take out the calls whose time is over."""
        over = []
        for call in self._open.values():
            if call.deadline > now:
                break
            over.append(call)
        for call in over:
            del self._open[call.call_id]
        return over

    def end_all(self) -> list[Call]:
        """Take out every call: their link is gone."""
        self._open, ended = {}, self._open
        return list(ended.values())

    def next_deadline(self) -> float | None:
        """When :meth:`expire` has something to do next; None if never."""
        for call in self._open.values():
            return call.deadline
        return None
