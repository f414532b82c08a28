"""Actions and their responses, as lazy views over raw bytes (OneBot 11, ``communication/ws.md``).

``params``, ``data`` and ``echo`` are never decoded and encoded again: they pass as the bytes that came.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot import rawjson
from lgtwist.onebot.errors import BadRequest

#: No implementation's action has a longer name (characters).
MAX_ACTION_LENGTH = 200


class ActionRequest(msgspec.Struct, frozen=True, gc=False):
    """One action as a bot sent it.

    :ivar action: the name, suffixes and all.
    :ivar params: the parameters, one JSON object.
    :ivar echo: the JSON value to give back, or None where none was sent.
    """

    action: str
    params: bytes
    echo: bytes | None


class _LenientActionHead(msgspec.Struct):
    action: Raw | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    echo: Raw | UnsetType = UNSET


class _ActionHead(msgspec.Struct, gc=False):
    action: str = ""
    params: Raw = Raw(b"{}")
    echo: Raw | UnsetType = UNSET


_decode_lenient_head = msgspec.json.Decoder(_LenientActionHead).decode
_decode_action = msgspec.json.Decoder(_ActionHead).decode


def read_action(payload: bytes, checked: bool = False) -> ActionRequest:
    """The action in ``payload``, which is one whole message.

    :param checked: whether it is known to be valid UTF-8.
    :raises BadRequest: if it is none; the error carries the ``echo`` where that can be read.
    """
    if not checked:
        # msgspec passes what it skips unseen, and would pass bytes that break a link all bots share.
        try:
            payload.decode()
        except UnicodeDecodeError:
            raise BadRequest("the message is not UTF-8", rawjson.find_echo(payload)) from None
    try:
        action_head = _decode_action(payload)
    except rawjson.DECODE_ERRORS:
        pass
    else:
        params_raw = bytes(action_head.params)
        if action_head.action and params_raw[:1] == b"{":
            return ActionRequest(
                action_head.action, params_raw, None if action_head.echo is UNSET else bytes(action_head.echo)
            )
    action: Raw | str | UnsetType
    params: Raw | str | UnsetType
    echo: Raw | str | UnsetType
    try:
        head = _decode_lenient_head(payload)
        action, params, echo = head.action, head.params, head.echo
    except rawjson.DECODE_ERRORS:
        action, params, echo = _read_members_leniently(payload)
    echo_raw = None if echo is UNSET else rawjson.to_bytes(echo)
    if action is UNSET:
        raise BadRequest('"action" is missing', echo_raw)
    name = rawjson.read_string(rawjson.to_bytes(action))
    if not name:
        raise BadRequest('"action" must be a string that is not empty', echo_raw)
    params_raw = b"{}" if params is UNSET else rawjson.to_bytes(params)
    if params_raw[:1] != b"{":
        if params_raw != b"null":
            raise BadRequest('"params" must be an object', echo_raw)
        params_raw = b"{}"
    return ActionRequest(name, params_raw, echo_raw)


#: Bots use the same few names again and again.
_encode_name = lru_cache(1024)(rawjson.encode_string)


def _read_members_leniently(
    payload: bytes,
) -> tuple[str | UnsetType, str | UnsetType, str | UnsetType]:
    try:
        members = rawjson.read_members(payload.decode())
    except RecursionError:
        echo = rawjson.find_echo(payload)
        raise BadRequest("the message is nested too deeply", echo) from None
    except rawjson.DECODE_ERRORS as error:
        sentence = "the message is empty" if not payload else f"the message is not JSON: {error}"
        if str(error) == "not an object":
            sentence = "the message is not a JSON object"
        raise BadRequest(sentence, rawjson.find_echo(payload)) from None
    return members.get("action", UNSET), members.get("params", UNSET), members.get("echo", UNSET)


class _KindHead(msgspec.Struct):
    action: Raw | UnsetType = UNSET
    retcode: Raw | UnsetType = UNSET
    post_type: Raw | UnsetType = UNSET


def is_from_implementation(payload: bytes) -> bool:
    """Whether what is no action is an answer or an event: then an implementation sent it, not a bot."""
    try:
        head = msgspec.json.decode(payload, type=_KindHead)
    except rawjson.DECODE_ERRORS:
        return False
    return head.action is UNSET and not (head.retcode is UNSET and head.post_type is UNSET)


def encode_action(action: str, params: bytes, echo: bytes) -> bytes:
    """An action as it is sent to an implementation (``communication/ws.md``).

    :param params: one JSON object.
    :param echo: one JSON value.
    """
    return b'{"action":%b,"params":%b,"echo":%b}' % (_encode_name(action), params, echo)


_SUFFIXES = ("_async", "_rate_limited")


def split_suffix(action: str) -> tuple[str, str]:
    """The action's own name and its suffix (``"_async"``, ``"_rate_limited"`` or ``""``).

    OneBot 11, ``api/README.md``. Only one suffix is taken off: what is below must not have another.
    """
    for suffix in _SUFFIXES:
        if action.endswith(suffix) and len(action) > len(suffix):
            return action[: -len(suffix)], suffix
    return action, ""
