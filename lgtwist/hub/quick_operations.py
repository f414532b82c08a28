"""Quick operations (OneBot 11, ``event/README.md`` and ``api/hidden.md``) as ordinary actions.

lgtwist carries them out itself, since implementations differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from attrs import frozen
from msgspec import Raw
from twisted.internet.defer import Deferred

from lgtwist.onebot import responses
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.rawjson import DECODE_ERRORS, decode_leniently, decode_value, encode_string, to_bytes
from lgtwist.onebot.values import read_boolean, read_integer, read_text

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
    post_type: Raw = Raw(b"null")
    message_type: Raw = Raw(b"null")
    request_type: Raw = Raw(b"null")
    sub_type: Raw = Raw(b"null")
    user_id: Raw = Raw(b"null")
    group_id: Raw = Raw(b"null")
    message_id: Raw = Raw(b"null")
    flag: Raw = Raw(b"null")
    anonymous: Raw = Raw(b"null")


class _Operation(msgspec.Struct):
    reply: Raw = Raw(b"null")
    auto_escape: Raw = Raw(b"null")
    at_sender: Raw = Raw(b"null")
    delete: Raw = Raw(b"null")
    kick: Raw = Raw(b"null")
    ban: Raw = Raw(b"null")
    ban_duration: Raw = Raw(b"null")
    approve: Raw = Raw(b"null")
    remark: Raw = Raw(b"null")
    reason: Raw = Raw(b"null")


class _QuickOperationParams(msgspec.Struct):
    context: Raw = Raw(b"null")
    operation: Raw = Raw(b"null")


_decode_params = msgspec.json.Decoder(_QuickOperationParams).decode
_decode_context = msgspec.json.Decoder(_Context).decode
_decode_operation = msgspec.json.Decoder(_Operation).decode

#: Seconds of a ban whose ``ban_duration`` is not given (OneBot 11, ``event/message.md``).
_DEFAULT_BAN = 1800
#: Bytes that a number or a boolean may have, as JSON.
_MAX_SCALAR = 64
#: Values, as JSON, of a member that is not given.
_NOT_GIVEN = re.compile(rb'null|""|\[[ \t\n\r]*\]|\{[ \t\n\r]*\}')


@frozen
class QuickOperation:
    """The actions that a quick operation stands for.

    :ivar steps: pairs of an action's name and its ``params`` (one JSON object), in order.
    :ivar refusal: says which field cannot be read, or is missing, so that it was left out; None if there is
        none.
    """

    steps: tuple[tuple[str, bytes], ...]
    refusal: BadRequest | None = None

    async def run(self, perform_step: PerformStep) -> bytes:
        """Carry out all steps, one after the other, also after one has failed.

        :returns: one response without ``echo``: ok, or failed because of the first field that cannot be read,
            or else with the retcode and the name of the first step that failed.
        """
        first_failure = None if self.refusal is None else responses.from_error(self.refusal)
        for action, params in self.steps:
            outcome = responses.read_response_head(await perform_step(action, params))
            if outcome.status == "failed" and first_failure is None:
                reason = outcome.reason or f"retcode {outcome.retcode}"
                first_failure = responses.failed(outcome.retcode, f"{action}: {reason}")
        return first_failure or responses.ok()


def read_quick_operation(params: bytes) -> QuickOperation:
    """Read the ``params`` of ``.handle_quick_operation``.

    :param params: one JSON object with ``context`` (the event) and ``operation``.
    :raises BadRequest: if they are invalid; the sentence names the parameter. A field of the operation that
        cannot be read is left out: see :class:`QuickOperation`.
    """
    try:
        read = decode_leniently(_decode_params, params)
    except DECODE_ERRORS as error:
        raise BadRequest(f"params: {error}") from None
    return read_operation(to_bytes(read.context), to_bytes(read.operation))


def read_operation(event: bytes, answer: bytes) -> QuickOperation:
    """Read a quick operation, or an answer to a post: both are the same (OneBot 11, ``event/README.md``).

    Every field may be null, which is "not given"; numbers and booleans may be strings.

    :param event: what it refers to, as JSON.
    :param answer: the quick operation, as JSON.
    :raises BadRequest: if one is not an object.
    """
    context = _decode_object(_decode_context, event, "context")
    if _NOT_GIVEN.fullmatch(answer):
        return QuickOperation(())
    operation = _Fields(_decode_object(_decode_operation, answer, "operation"))
    post_type = _text(context.post_type)
    if not post_type:
        raise BadRequest("context.post_type is missing")
    steps: list[_Step] = []
    if post_type == "message":
        steps = _message_steps(context, operation)
    elif post_type == "request":
        steps = _request_steps(context, operation)
    encoded = tuple((action, msgspec.json.encode(params)) for action, params in steps)
    return QuickOperation(encoded, operation.refusal)


_Decoded = TypeVar("_Decoded")
#: An action's name, and its parameters.
_Step = tuple[str, dict[str, Any]]


def _decode_object(decode: Callable[[bytes | bytearray], _Decoded], text: bytes, name: str) -> _Decoded:
    """Decode one of the two objects.

    :raises BadRequest: if it is none.
    """
    if _NOT_GIVEN.fullmatch(text):
        raise BadRequest(f"{name} is missing")
    try:
        return decode_leniently(decode, text)
    except DECODE_ERRORS as error:
        raise BadRequest(f"{name}: {error}") from None


class _Fields:
    """Reads the fields of an operation; one that cannot be read has its default.

    :ivar refusal: of the first that cannot be read, or of a step that cannot be done; None if there is none.
    """

    def __init__(self, operation: _Operation) -> None:
        self._operation = operation
        self.refusal: BadRequest | None = None

    def raw(self, name: str) -> bytes:
        """Return a field's JSON value; empty if it is not given."""
        value = to_bytes(getattr(self._operation, name))
        return b"" if _NOT_GIVEN.fullmatch(value) else value

    def refuse(self, name: str, expected: str) -> None:
        """Note that a field cannot be read."""
        if self.refusal is None:
            self.refusal = BadRequest(f"operation.{name}: expected {expected}")

    def miss(self, name: str) -> None:
        """Note that a number of the event is missing that a step needs."""
        if self.refusal is None:
            self.refusal = BadRequest(f"context.{name} is missing")

    def boolean(self, name: str, default: bool | None = False) -> bool | None:
        """Return a boolean."""
        raw = self.raw(name)
        if not raw:
            return default
        value = read_boolean(_scalar(raw))
        if value is None:
            self.refuse(name, "a boolean")
            return default
        return value

    def text(self, name: str) -> str:
        """Return a string; empty if it is not given."""
        raw = self.raw(name)
        value = (_text(raw) if raw[:1] == b'"' else read_text(_scalar(raw))) if raw else ""
        if value is None:
            self.refuse(name, "a string")
        return value or ""

    def reply(self) -> Raw | None:
        """Return the reply: a string, or an array or a segment; None if there is none."""
        raw = self.raw("reply")
        if raw[:1] in (b'"', b"[", b"{"):
            return Raw(raw)
        text = read_text(_scalar(raw)) if raw else ""
        if text is None:
            self.refuse("reply", "a message")
        return Raw(encode_string(text)) if text else None


def _scalar(raw: bytes) -> Any:
    """Return a number, a boolean or a short string; an empty array, which is none of these, for all else."""
    if len(raw) > _MAX_SCALAR or raw[:1] in (b"[", b"{"):
        return []
    try:
        return decode_value(raw)
    except DECODE_ERRORS:
        return []


def _text(raw: bytes | Raw) -> str:
    """Return a JSON string, U+FFFD in place of lone surrogates; empty if it is another value."""
    value = to_bytes(raw) if isinstance(raw, Raw) else raw
    if value[:1] != b'"':
        return ""
    text = decode_value(value)
    assert isinstance(text, str)
    return text


def _message_steps(context: _Context, operation: _Fields) -> list[_Step]:
    in_group = _text(context.message_type) == "group"
    anonymous = to_bytes(context.anonymous)
    if _NOT_GIVEN.fullmatch(anonymous) or anonymous in (b"false", b"0"):
        anonymous = b""
    steps = [_reply_step(context, operation, in_group, bool(anonymous))]
    if in_group and operation.boolean("delete"):
        steps.append(_step("delete_msg", operation, context, ("message_id",)))
    if in_group and operation.boolean("kick") and not anonymous:
        steps.append(_step("set_group_kick", operation, context, ("group_id", "user_id")))
    if in_group and operation.boolean("ban"):
        steps.append(_ban_step(context, operation, Raw(anonymous) if anonymous else None))
    return [step for step in steps if step is not None]


def _step(
    action: str, operation: _Fields, context: _Context, names: tuple[str, ...], **more: Any
) -> _Step | None:
    """Return a step with some of the event's numbers; None if one of them is not given."""
    params: dict[str, Any] = {}
    for name in names:
        value = _event_number(context, name)
        if value is None:
            operation.miss(name)
            return None
        params[name] = value
    return action, {**params, **more}


def _reply_step(context: _Context, operation: _Fields, in_group: bool, anonymous: bool) -> _Step | None:
    message = operation.reply()
    if message is None:
        return None
    escape = bool(operation.boolean("auto_escape"))
    if in_group and not anonymous and operation.boolean("at_sender", True):
        sender = _event_number(context, "user_id")
        if sender is None:
            operation.miss("user_id")
        else:
            message, escape = _with_at(sender, message, escape), False
    action, target = ("send_group_msg", "group_id") if in_group else ("send_private_msg", "user_id")
    return _step(action, operation, context, (target,), message=message, auto_escape=escape)


def _ban_step(context: _Context, operation: _Fields, anonymous: Raw | None) -> _Step | None:
    raw = operation.raw("ban_duration")
    duration = read_integer(_scalar(raw)) if raw else _DEFAULT_BAN
    if duration is None:
        operation.refuse("ban_duration", "a number of seconds")
        return None
    if anonymous is not None:
        more = {"anonymous": anonymous, "duration": duration}
        return _step("set_group_anonymous_ban", operation, context, ("group_id",), **more)
    return _step("set_group_ban", operation, context, ("group_id", "user_id"), duration=duration)


def _request_steps(context: _Context, operation: _Fields) -> list[_Step]:
    approve = operation.boolean("approve", None)
    if approve is None:
        return []
    if _text(context.request_type) == "group":
        more: dict[str, Any] = {"approve": approve, "sub_type": _text(context.sub_type)}
        if not approve:
            more["reason"] = operation.text("reason")
        step = _step("set_group_add_request", operation, context, ("flag",), **more)
    else:
        more = {"approve": True, "remark": operation.text("remark")} if approve else {"approve": False}
        step = _step("set_friend_add_request", operation, context, ("flag",), **more)
    return [] if step is None else [step]


def _with_at(user_id: Raw, reply: Raw, escape: bool) -> Raw:
    """Return the reply with an at of the event's sender in front, in the format that the reply has.

    The reply is not decoded.
    """
    who = bytes(user_id).decode().strip('"')
    message = bytes(reply)
    at = msgspec.json.encode({"type": "at", "data": {"qq": who}})
    if message[:1] == b'"':
        if escape:
            return Raw(b'[%b,{"type":"text","data":{"text":" %b}}]' % (at, message[1:]))
        return Raw(msgspec.json.encode(f"[CQ:at,qq={who}] ")[:-1] + message[1:])
    space = b'{"type":"text","data":{"text":" "}}'
    if message[:1] != b"[":
        return Raw(b"[%b,%b,%b]" % (at, space, message))
    return Raw(b"[%b,%b,%b" % (at, space, message[1:]))


def _event_number(context: _Context, name: str) -> Raw | None:
    """Return a number of the event, or its flag, as it stands there; None if it is not given.

    A float without fraction becomes a whole number.
    """
    raw = to_bytes(getattr(context, name))
    if _NOT_GIVEN.fullmatch(raw) or (raw in (b"0", b'"0"') and name in ("group_id", "user_id")):
        return None
    if raw[:1] != b'"' and len(raw) <= _MAX_SCALAR and not raw.isdigit():
        value = read_integer(_scalar(raw))
        return Raw(raw if value is None else b"%d" % value)
    return Raw(raw)
