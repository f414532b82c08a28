"""Quick operations (OneBot 11, ``event/README.md`` and ``api/hidden.md``) as ordinary actions.

lgtwist carries them out itself, since implementations differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import frozen
from msgspec import UNSET, Raw, UnsetType
from twisted.internet.defer import Deferred

from lgtwist.onebot import responses
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.rawjson import DECODE_ERRORS

#: The action that carries out a quick operation (OneBot 11, ``api/hidden.md``).
HANDLE_QUICK_OPERATION = ".handle_quick_operation"


#: The actions that quick operations consist of.
STEP_ACTIONS = (
    "send_private_msg",
    "send_group_msg",
    "delete_msg",
    "set_group_kick",
    "set_group_ban",
    "set_group_anonymous_ban",
    "set_friend_add_request",
    "set_group_add_request",
)

#: Carries out an action with its ``params``; fires with the response without ``echo``.
PerformStep = Callable[[str, bytes], "Deferred[bytes]"]


class _Context(msgspec.Struct):
    post_type: str
    message_type: str = ""
    request_type: str = ""
    sub_type: str = ""
    user_id: Raw | UnsetType = UNSET
    group_id: Raw | UnsetType = UNSET
    message_id: Raw | UnsetType = UNSET
    flag: Raw | UnsetType = UNSET
    anonymous: Raw | UnsetType = UNSET


class _Operation(msgspec.Struct):
    reply: Raw | UnsetType = UNSET
    auto_escape: Raw = Raw(b"false")
    at_sender: Raw = Raw(b"true")
    delete: Raw = Raw(b"false")
    kick: Raw = Raw(b"false")
    ban: Raw = Raw(b"false")
    ban_duration: Raw = Raw(b"1800")
    approve: bool | None = None
    remark: str = ""
    reason: str = ""


class _QuickOperationParams(msgspec.Struct):
    context: _Context
    operation: _Operation


_decode_params = msgspec.json.Decoder(_QuickOperationParams).decode


@frozen
class QuickOperation:
    """The actions that a quick operation stands for.

    :ivar steps: pairs of an action's name and its ``params`` (one JSON object), in order.
    """

    steps: tuple[tuple[str, bytes], ...]

    async def run(self, perform_step: PerformStep) -> bytes:
        """Carry out all steps, one after the other, also after one has failed.

        :returns: one response without ``echo``: ok, or failed with the retcode and the name of the first step
            that failed.
        """
        first_failure: bytes | None = None
        for action, params in self.steps:
            outcome = responses.read_response_head(await perform_step(action, params))
            if outcome.status == "failed" and first_failure is None:
                reason = outcome.reason or f"retcode {outcome.retcode}"
                first_failure = responses.failed(outcome.retcode, f"{action}: {reason}")
        return first_failure or responses.ok()


def read_quick_operation(params: bytes) -> QuickOperation:
    """Read the ``params`` of ``.handle_quick_operation``.

    :param params: one JSON object with ``context`` (the event) and ``operation``.
    :raises BadRequest: if they are invalid; the sentence names the parameter.
    """
    try:
        read = _decode_params(params)
    except DECODE_ERRORS as error:
        raise BadRequest(f"params: {error}") from None
    context, operation = read.context, read.operation
    if context.post_type == "message":
        return QuickOperation(tuple(_message_steps(context, operation)))
    if context.post_type == "request":
        return QuickOperation(tuple(_request_steps(context, operation)))
    return QuickOperation(())


def _message_steps(context: _Context, operation: _Operation) -> list[tuple[str, bytes]]:
    steps: list[tuple[str, dict[str, Any]]] = []
    in_group = context.message_type == "group"
    anonymous = context.anonymous is not UNSET and bytes(context.anonymous) != b"null"
    if operation.reply is not UNSET and bytes(operation.reply) not in (b"null", b'""', b"[]"):
        message: Any = operation.reply
        escape = _boolean(operation.auto_escape, "auto_escape")
        if in_group and not anonymous and _boolean(operation.at_sender, "at_sender"):
            message, escape = _with_at(context, message, escape), False
        target = (
            {"group_id": _required(context, "group_id")}
            if in_group
            else {"user_id": _required(context, "user_id")}
        )
        action = "send_group_msg" if in_group else "send_private_msg"
        steps.append((action, {**target, "message": message, "auto_escape": escape}))
    if in_group:
        group_id = _required(context, "group_id")
        if _boolean(operation.delete, "delete"):
            steps.append(("delete_msg", {"message_id": _required(context, "message_id")}))
        if _boolean(operation.kick, "kick") and not anonymous:
            user_id = _required(context, "user_id")
            steps.append(("set_group_kick", {"group_id": group_id, "user_id": user_id}))
        if _boolean(operation.ban, "ban"):
            duration = operation.ban_duration
            if anonymous:
                who = {"anonymous": context.anonymous}
                steps.append(("set_group_anonymous_ban", {"group_id": group_id, **who, "duration": duration}))
            else:
                user_id = _required(context, "user_id")
                steps.append(
                    (
                        "set_group_ban",
                        {"group_id": group_id, "user_id": user_id, "duration": duration},
                    )
                )
    return [(action, msgspec.json.encode(params)) for action, params in steps]


def _request_steps(context: _Context, operation: _Operation) -> list[tuple[str, bytes]]:
    if operation.approve is None:
        return []
    params: dict[str, Any] = {"flag": _required(context, "flag"), "approve": operation.approve}
    if context.request_type == "group":
        params["sub_type"] = context.sub_type
        if not operation.approve:
            params["reason"] = operation.reason
        return [("set_group_add_request", msgspec.json.encode(params))]
    if operation.approve:
        params["remark"] = operation.remark
    return [("set_friend_add_request", msgspec.json.encode(params))]


def _with_at(context: _Context, reply: Raw, escape: bool) -> Raw:
    """Return the reply with an at of the event's sender in front, in the format that the reply has.

    The reply is not decoded.
    """
    user_id = bytes(_required(context, "user_id")).decode().strip('"')
    message = bytes(reply)
    at = msgspec.json.encode({"type": "at", "data": {"qq": user_id}})
    if message[:1] == b'"':
        if escape:
            return Raw(b'[%b,{"type":"text","data":{"text":" %b}}]' % (at, message[1:]))
        return Raw(msgspec.json.encode(f"[CQ:at,qq={user_id}] ")[:-1] + message[1:])
    space = b'{"type":"text","data":{"text":" "}}'
    if message[:1] != b"[":
        return Raw(b"[%b,%b,%b]" % (at, space, message))
    comma = b"" if _EMPTY_ARRAY.fullmatch(message) else b","
    return Raw(b"[%b,%b%b%b" % (at, space, comma, message[1:]))


_EMPTY_ARRAY = re.compile(rb"\[[ \t\n\r]*\]")


def _required(context: _Context, name: str) -> Raw:
    value = getattr(context, name)
    if value is UNSET:
        raise BadRequest(f"context.{name} is missing")
    assert isinstance(value, Raw)
    return value


#: Bytes of a boolean, as JSON.
_MAX_BOOLEAN = 16


def _boolean(raw: Raw, name: str) -> bool:
    """Read a boolean, in one of the forms that frameworks send.

    :raises BadRequest: if it is none.
    """
    text = bytes(raw)
    value: Any = msgspec.json.decode(text) if len(text) <= _MAX_BOOLEAN else text
    if value in (True, 1, "true", "True", "1", "yes"):
        return True
    if value in (False, 0, None, "", "false", "False", "0", "no"):
        return False
    raise BadRequest(f"operation.{name}: expected a boolean")
