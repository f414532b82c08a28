"""Reading faults, and the JSON of them and of the log of actions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.rawjson import DECODE_ERRORS, decode_value
from lgtwist.onebot.responses import read_response_head
from lgtwist.sandbox.action_log import OK_HEAD, ActionEntry, ActionLog
from lgtwist.sandbox.bounds import MAX_ANSWER
from lgtwist.sandbox.faults import MEMBERS, Fault, Faults
from lgtwist.sandbox.params import Params

#: Seconds that a fault may delay, how often one may be applied, and characters of its words and names.
MAX_DELAY_SECONDS, MAX_TIMES, MAX_WORDS, MAX_NAME_PATTERN = 600.0, 1_000_000, 1000, 100
_PARTS = ("none", "half")
#: Bytes that an entry is counted as beside its parameters and its response.
_ACTION_BYTES = 300


def read_fault(params: Params) -> Fault:
    """Read the fault that is to be set.

    :raises BadRequest: if a member is missing, wrong, or of another kind of fault.
    """
    kind = params.text("kind")
    members = MEMBERS.get(kind)
    if members is None:
        raise BadRequest(f"{params.path('kind')}: expected {', '.join(MEMBERS)}")
    for name in params.names():
        if name != "kind" and name not in members:
            raise BadRequest(f"{params.path(name)}: a fault of the kind {kind} has {', '.join(members)}")
    fault = Fault(kind=kind, carried_out=kind == "break")
    if "action" in members:
        fault.action = params.text("action", "*", longest=MAX_NAME_PATTERN)
        fault.bot = params.text("bot", "", longest=MAX_NAME_PATTERN)
    if "retcode" in members:
        fault.retcode = params.integer("retcode", fault.retcode)
        if fault.retcode in (0, 1):
            raise BadRequest(f"{params.path('retcode')}: 0 and 1 say that the action succeeded")
    if kind == "fail":
        fault.message = params.text("message", "the sandbox account was told to fail", longest=MAX_WORDS)
    if kind == "offline":
        fault.reason = params.text("reason", "the sandbox account was told to be offline", longest=MAX_WORDS)
        fault.down = params.boolean("down", False)
    if kind == "break":
        fault.part = params.choice("part", _PARTS, "none")
    if "carried_out" in members:
        fault.carried_out = params.boolean("carried_out", fault.carried_out)
    if "seconds" in members:
        fault.seconds = _read_seconds(params)
    if "times" in members and params.has("times"):
        fault.times = params.integer("times")
        if not 1 <= fault.times <= MAX_TIMES:
            raise BadRequest(f"{params.path('times')}: expected a number from 1 to {MAX_TIMES}")
    return fault


def _read_seconds(params: Params) -> float:
    value = params.value("seconds")
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if isinstance(value, bool) or not 0.0 < seconds <= MAX_DELAY_SECONDS:
        raise BadRequest(f"{params.path('seconds')}: expected a number above 0, up to {MAX_DELAY_SECONDS:g}")
    return seconds


def find_faults(faults: Faults, params: Params) -> tuple[list[Fault], Callable[[Fault], bool]]:
    """Return the faults that are to be cleared, and what tells whether a fault is one of them.

    The function tells it of those too whose times are used up.

    :raises BadRequest: if there is no such kind, or another member.
    """
    for name in params.names():
        if name not in ("id", "kind"):
            raise BadRequest(f"{params.path(name)}: expected id or kind")
    fault_id = params.integer("id") if params.has("id") else None
    kind = params.choice("kind", tuple(MEMBERS)) if params.has("kind") else None

    def chosen(fault: Fault) -> bool:
        return fault_id in (None, fault.id) and kind in (None, fault.kind)

    return list(filter(chosen, faults.all())), chosen


def faults_json(faults: Faults) -> dict[str, Any]:
    """Return the JSON object of the faults that are set."""
    return {"online": faults.offline is None, "faults": [fault.as_json() for fault in faults.all()]}


def action_json(entry: ActionEntry) -> bytes:
    """Return the JSON of an entry of the log of actions."""
    shown: dict[str, Any] = {
        "seq": entry.seq,
        "time": int(entry.time),
        "bot": entry.bot,
        "action": entry.action,
        "params": None,
    }
    if not entry.params:
        shown["params_size"] = entry.size
    else:
        try:
            shown["params"] = decode_value(entry.params)
        except DECODE_ERRORS:  # it was refused for that
            shown["params"] = entry.params.decode("utf-8", "replace")
    shown |= {"status": None, "retcode": None, "message": ""}
    if entry.response:
        shown |= _read_outcome(entry.response)
    if entry.fault:
        shown["fault"] = entry.fault
    try:
        return msgspec.json.encode(shown)
    except DECODE_ERRORS:  # a value that JSON has not
        return msgspec.json.encode({**shown, "params": None, "params_size": entry.size})


def _read_outcome(response: bytes) -> dict[str, Any]:
    """Return ``status``, ``retcode`` and ``message`` of what an entry has of a response."""
    if response is OK_HEAD:
        return {"status": "ok", "retcode": 0}
    head = read_response_head(response)
    return {"status": head.status, "retcode": head.retcode, "message": head.reason}


def actions_json(log: ActionLog, after: int) -> Iterator[bytes]:
    """Return the parts of the JSON of the actions after ``after``, as many as one answer may have.

    ``last`` is the sequence number of the last one in the answer, and ``more`` is true where there are newer
    ones. Which entries it has is settled at once.
    """
    missed = log.has_missed(after)
    portion: list[ActionEntry] = []
    last, total = log.last_seq, 0
    for entry in log.entries_after(after):
        total += _ACTION_BYTES + len(entry.params) + len(entry.response)
        if portion and total > MAX_ANSWER:
            last = portion[-1].seq
            break
        portion.append(entry)
    return _logged_action_parts(portion, last, missed, last < log.last_seq)


def _logged_action_parts(portion: list[ActionEntry], last: int, missed: bool, more: bool) -> Iterator[bytes]:
    yield b'{"last":%d,"missed":%b,"entries":[' % (last, b"true" if missed else b"false")
    for number, entry in enumerate(portion):
        if number:
            yield b","
        yield action_json(entry)
    yield b'],"more":true}' if more else b"]}"
