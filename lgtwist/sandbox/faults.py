"""The faults that are set for a sandbox account, and which of them applies to an action or an event. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from lgtwist.hub.permissions import ActionPermissions
from lgtwist.onebot import responses
from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.action_log import OK_HEAD

#: Faults that may be set at a time.
MAX_FAULTS = 100

#: The members of each kind of fault, beside ``id``, ``kind``, ``applied`` and ``left``.
MEMBERS: dict[str, tuple[str, ...]] = {
    "offline": ("reason", "down", "retcode"),
    "fail": ("action", "bot", "retcode", "message", "carried_out", "times"),
    "break": ("action", "bot", "part", "carried_out", "times"),
    "delay": ("action", "bot", "seconds", "times"),
    "drop_events": ("times",),
    "duplicate_events": ("times",),
    "delay_events": ("seconds", "times"),
}
_EVENT_KINDS = ("drop_events", "duplicate_events", "delay_events")
#: Actions that an implementation answers by itself, logged in or not.
_ANSWERED_OFFLINE = frozenset(
    ("get_status", "get_login_info", "get_version_info", "can_send_image", "can_send_record")
)


class Fault(msgspec.Struct, eq=False, kw_only=True):
    """One fault.

    :ivar kind: one of :data:`MEMBERS`; which of the other attributes count depends on it.
    :ivar action: a pattern of names, in which ``*`` stands for any characters.
    :ivar bot: the name of the only bot that it is for; empty for all.
    :ivar retcode: of the failed response.
    :ivar message: its words.
    :ivar reason: why the account is offline.
    :ivar down: whether the implementation is gone, not only logged out.
    :ivar carried_out: whether the action is carried out all the same.
    :ivar part: what is sent of the response before the connection is reset: ``none`` or ``half``.
    :ivar seconds: how late the response or event comes.
    :ivar times: how often it is applied; None for until it is cleared.
    :ivar applied: how often it was applied.
    """

    kind: str
    id: int = 0
    action: str = "*"
    bot: str = ""
    retcode: int = 1200
    message: str = ""
    reason: str = ""
    down: bool = False
    carried_out: bool = False
    part: str = "none"
    seconds: float = 0.0
    times: int | None = None
    applied: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of it."""
        members = {name: getattr(self, name) for name in MEMBERS[self.kind]}
        left = None if self.times is None else self.times - self.applied
        return {"id": self.id, "kind": self.kind, **members, "applied": self.applied, "left": left}


class Applied(NamedTuple):
    """The faults that apply to one action.

    :ivar decisive: the ``fail``, ``break`` or ``offline``; None for none.
    :ivar delay: the ``delay``; None for none.
    """

    decisive: Fault | None
    delay: Fault | None

    @property
    def is_skipped(self) -> bool:
        """Whether the action is not carried out."""
        return self.decisive is not None and not self.decisive.carried_out

    @property
    def breaks(self) -> bool:
        """Whether the connection that asked is reset in place of the response."""
        return self.decisive is not None and self.decisive.kind == "break"

    @property
    def fault_id(self) -> int:
        """The ``id`` that the log of actions has: of the decisive fault, or else of the delay."""
        fault = self.decisive or self.delay
        return 0 if fault is None else fault.id

    def response(self) -> bytes:
        """Return the response to an action that is not carried out."""
        fault = self.decisive
        assert fault is not None
        if fault.kind == "break":
            return responses.ok()
        if fault.kind == "offline":
            return responses.failed(fault.retcode, f"the account is offline: {fault.reason}")
        return responses.failed(fault.retcode, fault.message)

    def falsified(self, response: bytes) -> bytes:
        """Return the response to an action that was carried out.

        :param response: the world's own; returned as it is where that is a failure.
        """
        fault = self.decisive
        if fault is None or fault.kind != "fail" or not response.startswith(OK_HEAD):
            return response
        return responses.failed(fault.retcode, fault.message)


class Faults:
    """The faults that are set, the oldest first.

    :ivar on_actions: whether any may apply to an action.
    :ivar on_events: whether any may apply to an event.
    :ivar offline: the fault by which the account is offline or down; None if it is neither.
    """

    def __init__(self) -> None:
        self.on_actions = self.on_events = False
        self.offline: Fault | None = None
        self._set: dict[int, tuple[Fault, ActionPermissions]] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._set)

    def all(self) -> list[Fault]:
        """Return them, the oldest first."""
        return [fault for fault, _names in self._set.values()]

    def add(self, fault: Fault) -> None:
        """Add a fault and set its ``id``; an ``offline`` replaces the one that is set.

        :raises BadRequest: if there are :data:`MAX_FAULTS` already.
        """
        if len(self._set) >= MAX_FAULTS:
            raise BadRequest(f"more than {MAX_FAULTS} faults; POST clear_faults ends them")
        if fault.kind == "offline" and self.offline is not None:
            del self._set[self.offline.id]
        self._last_id += 1
        fault.id = self._last_id
        self._set[fault.id] = fault, ActionPermissions([fault.action])
        self._update()

    def remove(self, faults: list[Fault]) -> None:
        """Remove faults; those that are not set are ignored."""
        for fault in faults:
            self._set.pop(fault.id, None)
        self._update()

    def _update(self) -> None:
        faults = self.all()
        self.offline = next((fault for fault in faults if fault.kind == "offline"), None)
        self.on_actions = any(fault.kind not in _EVENT_KINDS for fault in faults)
        self.on_events = self.offline is not None or any(fault.kind in _EVENT_KINDS for fault in faults)

    def _count(self, fault: Fault) -> None:
        """Count that a fault is applied; remove it if that was the last time."""
        fault.applied += 1
        if fault.times is not None and fault.applied >= fault.times:
            self.remove([fault])

    def apply_to_action(self, action: str, bot: str) -> Applied | None:
        """Return the faults that apply to an action, and count them as applied; None for none.

        :param bot: the name of the bot that called it.
        """
        if self.offline is not None:
            if action in _ANSWERED_OFFLINE:
                return None
            self._count(self.offline)
            return Applied(self.offline, None)
        decisive: Fault | None = None
        delay: Fault | None = None
        for fault, names in self._set.values():
            if fault.kind in _EVENT_KINDS or fault.bot not in ("", bot):
                continue
            if not (fault.action == "*" or names.allows(action)):
                continue
            if fault.kind == "delay":
                delay = delay or fault
            else:
                decisive = decisive or fault
        for fault_applied in (decisive, delay):
            if fault_applied is not None:
                self._count(fault_applied)
        return None if decisive is delay is None else Applied(decisive, delay)

    def apply_to_event(self) -> Fault | None:
        """Return the fault that applies to an event, and count it as applied; None for none."""
        for fault, _names in self._set.values():
            if fault.kind in _EVENT_KINDS:
                self._count(fault)
                return fault
        return None
