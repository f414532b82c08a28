"""The calls under way to an account, by their correlation ids. Pure: the present time is an argument.

A call ends exactly once: by its response, its time limit, the end of its link, or the end of whoever called.
Whoever removes it from :class:`Calls` ends it; a call that is not there has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from lgtwist.hub.interfaces import IAccountLink

#: Called with a response without ``echo``, and whether it is the last one of the call.
ReceiveResponse = Callable[[bytes, bool], None]


class Call(Protocol):
    """One action under way to an account.

    :ivar action: the name that is sent.
    :ivar call_id: the correlation id, unique since the start; 0 before it is added to :class:`Calls`.
    :ivar deadline: when it ends without a response, in seconds of the clock that ``now`` comes from.
    :ivar link: the link that it was sent on.
    :ivar flow_token: what :meth:`IAccountLink.send` returned.
    """

    action: str
    call_id: int
    deadline: float
    link: IAccountLink | None
    flow_token: Any

    @property
    def caller(self) -> str:
        """The name of the bot that it is made for; empty for lgtwist itself."""

    def receive(self, response: bytes, last: bool, /) -> None:
        """Receive a response.

        :param response: one JSON object without ``echo``.
        :param last: whether it is the last one of the call.
        """

    def break_off(self, response: bytes, cut: bool, /) -> None:
        """End with a reset of the connection that waits for the response; see ``Account.break_off``."""


class InternalCall(msgspec.Struct, eq=False):
    """A call that lgtwist makes itself.

    :ivar receive: called with each response.
    :ivar caller: the name of the bot that it is made for; empty for lgtwist itself.
    """

    action: str
    receive: ReceiveResponse
    call_id: int = 0
    deadline: float = 0.0
    link: IAccountLink | None = None
    flow_token: Any = None
    caller: str = ""

    def break_off(self, response: bytes, _cut: bool) -> None:
        """Receive the response: no connection waits for it."""
        self.receive(response, True)


class Calls:
    """The calls under way to one account, in the order of their deadlines.

    :param limit: seconds that a response may take.
    :param last_id: correlation ids begin after this number. A random one keeps responses to calls of an
        earlier run of lgtwist from matching calls of this one.
    """

    def __init__(self, limit: float, last_id: int = 0) -> None:
        self.limit = limit
        self._last_id = last_id
        self._open: dict[int, Call] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, call: Call, now: float) -> int:
        """Add a call and set its correlation id and deadline; return the id."""
        call_id = self._last_id = self._last_id + 1
        call.call_id = call_id
        call.deadline = now + self.limit
        self._open[call_id] = call
        return call_id

    def change_limit(self, limit: float, now: float) -> None:
        """Replace the limit; calls whose deadline is later than it allows from now on get an earlier one."""
        self.limit = limit
        for call in self._open.values():
            call.deadline = min(call.deadline, now + limit)

    def get(self, call_id: int) -> Call | None:
        """Return a call; None if there is none with this correlation id."""
        return self._open.get(call_id)

    def pop(self, call_id: int) -> Call | None:
        """Remove and return a call; None if there is none with this correlation id."""
        return self._open.pop(call_id, None)

    def renew(self, call: Call, now: float) -> None:
        """Add a call again, after a response that was not the last one; its time limit begins anew."""
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
        """Return the earliest deadline, in seconds of the clock of ``now``; None if there are no calls."""
        for call in self._open.values():
            return call.deadline
        return None
