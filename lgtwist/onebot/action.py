"""Actions as bots and implementations send them (OneBot 11, ``communication/ws.md``).

``params`` and ``echo`` are not decoded and encoded again; their bytes are passed on unchanged.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot import rawjson
from lgtwist.onebot.errors import BadRequest

#: Characters that the name of an action may have; no implementation has a longer one.
MAX_ACTION_LENGTH = 200


class ActionRequest(msgspec.Struct, frozen=True, gc=False):
    """An action as a bot sent it.

    :ivar action: the action's name, with its suffix if it has one.
    :ivar params: the parameters, one JSON object.
    :ivar echo: the JSON value to put into the response; None where the bot sent none.
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
    """Read one action; ``params`` that are missing, null, ``[]`` or ``""`` become an empty object.

    PHP writes an empty object as ``[]``. A byte order mark and control characters in strings are forgiven.

    :param payload: one whole message: a text or binary frame, or an HTTP body.
    :param checked: whether ``payload`` is already known to be valid UTF-8.
    :raises BadRequest: if it is not an action; the error has the ``echo`` where that could be read.
    """
    if not checked:
        # msgspec does not check what it skips. Invalid UTF-8 would end the link that all bots share.
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
    return _read_action_leniently(payload)


def _read_action_leniently(payload: bytes) -> ActionRequest:
    """Read an action with lone surrogates, without ``params``, or that :func:`rawjson.repair` makes JSON of.

    Say what is wrong with anything else; also with ``NaN``, which stands for no value that could be passed
    on.

    :param payload: valid UTF-8.
    :raises BadRequest: see :func:`read_action`.
    """
    try:
        head = _decode_repaired_head(payload)
    except RecursionError:
        echo = rawjson.find_echo(payload)
        raise BadRequest("the message is nested too deeply", echo) from None
    except rawjson.DECODE_ERRORS as error:
        sentence = "the message is empty" if not payload else f"the message is not JSON: {error}"
        if str(error) == "not an object":
            sentence = "the message is not a JSON object"
        raise BadRequest(sentence, rawjson.find_echo(payload)) from None
    echo = None if head.echo is UNSET else rawjson.to_bytes(head.echo)
    if head.action is UNSET:
        raise BadRequest('"action" is missing', echo)
    name = rawjson.read_string(rawjson.to_bytes(head.action))
    if not name:
        raise BadRequest('"action" must be a string that is not empty', echo)
    params = b"{}" if head.params is UNSET else rawjson.to_bytes(head.params)
    if params[:1] != b"{":
        if not NO_PARAMS.fullmatch(params):
            raise BadRequest('"params" must be an object', echo)
        params = b"{}"
    return ActionRequest(name, params, echo)


#: What programs send as ``params`` when there are none.
NO_PARAMS = re.compile(rb'null|""|\[[ \t\n\r]*\]')


def _decode_repaired_head(payload: bytes) -> _LenientActionHead:
    """Return the head of an action; if it is not JSON, that of what is made of it.

    :param payload: valid UTF-8.
    :raises ValueError: if it cannot be decoded; ``RecursionError`` if it is nested too deeply.
    """
    try:
        return rawjson.decode_leniently(_decode_lenient_head, payload)
    except ValueError:
        repaired = rawjson.repair(payload, constants=False)
        if repaired is payload:
            raise
    return rawjson.decode_leniently(_decode_lenient_head, repaired)


#: Cached, since bots use few different names.
_encode_name = lru_cache(1024)(rawjson.encode_string)


class _KindHead(msgspec.Struct):
    action: Raw | UnsetType = UNSET
    retcode: Raw | UnsetType = UNSET
    post_type: Raw | UnsetType = UNSET


_decode_kind = msgspec.json.Decoder(_KindHead).decode


def is_from_implementation(payload: bytes) -> bool:
    """Return whether a message that is not an action looks like a response or an event.

    A bot does not send those, so the peer is an implementation that connected to the wrong port.

    :param payload: one whole message, of any content.
    """
    if b'"retcode"' not in payload and b'"post_type"' not in payload:
        return False
    try:
        head = rawjson.decode_leniently(_decode_kind, rawjson.repair(payload))
    except rawjson.DECODE_ERRORS:
        return False
    return head.action is UNSET and not (head.retcode is UNSET and head.post_type is UNSET)


def encode_action(action: str, params: bytes, echo: bytes) -> bytes:
    """Return an action as it is sent to an implementation (``communication/ws.md``).

    :param params: one JSON object.
    :param echo: one JSON value.
    """
    return b'{"action":%b,"params":%b,"echo":%b}' % (_encode_name(action), params, echo)


#: The suffixes of asynchronous and of rate-limited calls (OneBot 11, ``api/README.md``).
_SUFFIXES = ("_async", "_rate_limited")


def split_suffix(action: str) -> tuple[str, str]:
    """Split an action's name into its base name and its suffix (OneBot 11, ``api/README.md``).

    Only one suffix is removed, even if the base name ends with another. A name that is nothing but a suffix
    is a base name.

    :returns: the base name, and ``"_async"``, ``"_rate_limited"`` or ``""``.
    """
    for suffix in _SUFFIXES:
        if action.endswith(suffix) and len(action) > len(suffix):
            return action[: -len(suffix)], suffix
    return action, ""
