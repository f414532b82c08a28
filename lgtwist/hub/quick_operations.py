"""What lgtwist does itself for every kind of account, since implementations differ.

``_rate_limited`` (OneBot 11, ``api/README.md``) and quick operations (``event/README.md`` and
``api/hidden.md``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from attrs import frozen
from msgspec import UNSET, Raw, UnsetType
from twisted.internet.defer import Deferred

from lgtwist.onebot import responses
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.rawjson import DECODE_ERRORS

HANDLE_QUICK_OPERATION = ".handle_quick_operation"


Asks = Callable[[str, bytes], "Deferred[bytes]"]


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
    auto_escape: Any = False
    at_sender: Any = True
    delete: Any = False
    kick: Any = False
    ban: Any = False
    ban_duration: Any = 30 * 60
    approve: bool | None = None
    remark: str = ""
    reason: str = ""


class _Params(msgspec.Struct):
    context: _Context
    operation: _Operation


_decode_params = msgspec.json.Decoder(_Params).decode


@frozen
class QuickOperation:
    """The actions that a quick operation stands for, in order.

    :ivar steps: pairs of an action and its ``params``.
    """

    steps: tuple[tuple[str, bytes], ...]

    async def run(self, ask: Asks) -> bytes:
        """Do all steps, one after the other, whatever becomes of each.

        :returns: one response: ok, or that of the first step that failed, the step named.
        """
        first_failure: bytes | None = None
        for action, params in self.steps:
            outcome = responses.read_response_head(await ask(action, params))
            if outcome.status == "failed" and first_failure is None:
                reason = outcome.reason or f"retcode {outcome.retcode}"
                first_failure = responses.failed(outcome.retcode, f"{action}: {reason}")
        return first_failure or responses.ok()


def quick_operation(params: bytes) -> QuickOperation:
    """Read the ``params`` of ``.handle_quick_operation``.

    :raises BadRequest: if they are none; the sentence names the parameter.
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
        escape = _truth(operation.auto_escape, "auto_escape")
        if in_group and not anonymous and _truth(operation.at_sender, "at_sender"):
            message, escape = _with_at(context, message, escape), False
        target = (
            {"group_id": _need(context, "group_id")} if in_group else {"user_id": _need(context, "user_id")}
        )
        action = "send_group_msg" if in_group else "send_private_msg"
        steps.append((action, {**target, "message": message, "auto_escape": escape}))
    if in_group:
        group_id = _need(context, "group_id")
        if _truth(operation.delete, "delete"):
            steps.append(("delete_msg", {"message_id": _need(context, "message_id")}))
        if _truth(operation.kick, "kick") and not anonymous:
            user_id = _need(context, "user_id")
            steps.append(("set_group_kick", {"group_id": group_id, "user_id": user_id}))
        if _truth(operation.ban, "ban"):
            duration = operation.ban_duration
            if anonymous:
                who = {"anonymous": context.anonymous}
                steps.append(("set_group_anonymous_ban", {"group_id": group_id, **who, "duration": duration}))
            else:
                user_id = _need(context, "user_id")
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
    params: dict[str, Any] = {"flag": _need(context, "flag"), "approve": operation.approve}
    if context.request_type == "group":
        params["sub_type"] = context.sub_type
        if not operation.approve:
            params["reason"] = operation.reason
        return [("set_group_add_request", msgspec.json.encode(params))]
    if operation.approve:
        params["remark"] = operation.remark
    return [("set_friend_add_request", msgspec.json.encode(params))]


def _with_at(context: _Context, reply: Raw, escape: bool) -> Any:
    """The reply with its addressee in front, in the format in which it was given."""
    user_id = bytes(_need(context, "user_id")).decode().strip('"')
    try:
        message = msgspec.json.decode(reply)
    except DECODE_ERRORS as error:
        raise BadRequest(f"operation.reply: {error}") from None
    at = {"type": "at", "data": {"qq": user_id}}
    space = {"type": "text", "data": {"text": " "}}
    if isinstance(message, str):
        if escape:
            return [at, {"type": "text", "data": {"text": " " + message}}]
        return f"[CQ:at,qq={user_id}] {message}"
    return [at, space, *(message if isinstance(message, list) else [message])]


def _need(context: _Context, name: str) -> Raw:
    value = getattr(context, name)
    if value is UNSET:
        raise BadRequest(f"context.{name} is missing")
    assert isinstance(value, Raw)
    return value


def _truth(value: Any, name: str) -> bool:
    """A boolean as frameworks send it."""
    if value in (True, 1, "true", "True", "1", "yes"):
        return True
    if value in (False, 0, None, "", "false", "False", "0", "no"):
        return False
    raise BadRequest(f"operation.{name}: expected a boolean")
