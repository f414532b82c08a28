"""Actions and their responses, as lazy views over raw bytes (OneBot 11, ``communication/ws.md``).

``params``, ``data`` and ``echo`` are never decoded and encoded again: they pass as the bytes that came.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot import rawjson
from lgtwist.onebot.errors import BadRequest, OneBotError

#: No implementation's action has a longer name (characters).
LONGEST_ACTION = 200


class ActionRequest(msgspec.Struct, frozen=True, gc=False):
    """One action as a bot sent it.

    :ivar action: the name, suffixes and all.
    :ivar params: the parameters, one JSON object.
    :ivar echo: the JSON value to give back, or None where none was sent.
    """

    action: str
    params: bytes
    echo: bytes | None


class _Head(msgspec.Struct):
    action: Raw | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    echo: Raw | UnsetType = UNSET


class _Usual(msgspec.Struct, gc=False):
    action: str = ""
    params: Raw = Raw(b"{}")
    echo: Raw | UnsetType = UNSET


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_usual = msgspec.json.Decoder(_Usual).decode


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
        usual = _decode_usual(payload)
    except rawjson.UNREADABLE:
        pass
    else:
        params_raw = bytes(usual.params)
        if usual.action and params_raw[:1] == b"{":
            return ActionRequest(usual.action, params_raw, None if usual.echo is UNSET else bytes(usual.echo))
    action: Raw | str | UnsetType
    params: Raw | str | UnsetType
    echo: Raw | str | UnsetType
    try:
        head = _decode_head(payload)
        action, params, echo = head.action, head.params, head.echo
    except rawjson.UNREADABLE:
        action, params, echo = _read_forgivingly(payload)
    echo_raw = None if echo is UNSET else rawjson.raw(echo)
    if action is UNSET:
        raise BadRequest('"action" is missing', echo_raw)
    name = rawjson.string(rawjson.raw(action))
    if not name:
        raise BadRequest('"action" must be a string that is not empty', echo_raw)
    params_raw = b"{}" if params is UNSET else rawjson.raw(params)
    if params_raw[:1] != b"{":
        if params_raw != b"null":
            raise BadRequest('"params" must be an object', echo_raw)
        params_raw = b"{}"
    return ActionRequest(name, params_raw, echo_raw)


#: Bots use the same few names again and again.
_quote_name = lru_cache(1024)(rawjson.quote)


def _read_forgivingly(
    payload: bytes,
) -> tuple[str | UnsetType, str | UnsetType, str | UnsetType]:
    try:
        found = rawjson.members(payload.decode())
    except RecursionError:
        echo = rawjson.find_echo(payload)
        raise BadRequest("the message is nested too deeply", echo) from None
    except rawjson.UNREADABLE as error:
        sentence = "the message is empty" if not payload else f"the message is not JSON: {error}"
        if str(error) == "not an object":
            sentence = "the message is not a JSON object"
        raise BadRequest(sentence, rawjson.find_echo(payload)) from None
    return found.get("action", UNSET), found.get("params", UNSET), found.get("echo", UNSET)


class _OtherHead(msgspec.Struct):
    action: Raw | UnsetType = UNSET
    retcode: Raw | UnsetType = UNSET
    post_type: Raw | UnsetType = UNSET


def is_of_an_implementation(payload: bytes) -> bool:
    """Whether what is no action is an answer or an event: then an implementation sent it, not a bot."""
    try:
        head = msgspec.json.decode(payload, type=_OtherHead)
    except rawjson.UNREADABLE:
        return False
    return head.action is UNSET and not (head.retcode is UNSET and head.post_type is UNSET)


def encode_action(action: str, params: bytes, echo: bytes) -> bytes:
    """An action as it is sent to an implementation (``communication/ws.md``).

    :param params: one JSON object.
    :param echo: one JSON value.
    """
    return b'{"action":%b,"params":%b,"echo":%b}' % (_quote_name(action), params, echo)


def ok(data: bytes = b"null") -> bytes:
    """The response of an action that was done, without its echo."""
    return b'{"status":"ok","retcode":0,"data":' + data + b',"message":"","wording":""}'


#: The response of an action that was accepted and goes on alone (``_async``, ``_rate_limited``).
ACCEPTED = b'{"status":"async","retcode":1,"data":null,"message":"","wording":""}'


def failed(retcode: int, sentence: str) -> bytes:
    """The response of an action that failed, without its echo."""
    words = rawjson.quote(sentence)
    return b'{"status":"failed","retcode":%d,"data":null,"message":%b,"wording":%b}' % (
        retcode,
        words,
        words,
    )


def failure(error: OneBotError) -> bytes:
    """The response that tells of ``error``, without its echo."""
    return failed(error.retcode, error.sentence)


def with_echo(response: bytes, echo: bytes | None) -> bytes:
    """``response``, a JSON object that has members and no ``echo``, with the bot's own ``echo`` put in.

    Where the bot sent none, none goes back.
    """
    return response if echo is None else response[:-1] + b',"echo":' + echo + b"}"


#: How implementations write their ``echo``, and what stands behind it (NapCat: the kind of the answer).
_ECHO_AND_BEHIND = (
    (b',"echo":', b',"stream":"normal-action"}'),
    (b', "echo": ', b"}"),
)


def without_echo(response: bytes, echo: bytes) -> bytes:
    """An implementation's ``response`` without its ``echo``, ready for :func:`with_echo`.

    :param response: one JSON object whose ``echo`` is this value.
    """
    tail = b',"echo":%b}' % echo
    # A text that ends so, and has the word nowhere else, ends with the member and no string's end.
    if response.endswith(tail) and response.count(b'"echo"') == 1:
        return response[: -len(tail)] + b"}"
    response = response.strip(b" \t\n\r")
    for key, rest in _ECHO_AND_BEHIND:
        tail = key + echo + rest
        # A text that ends so, and has the word nowhere before, ends with the member and no string's end.
        if response.endswith(tail) and response.find(b'"echo"') == len(response) - len(tail) + key.index(
            b'"'
        ):
            return response[: -len(tail)] + rest
    try:
        kept = msgspec.json.decode(response, type=dict[str, Raw])
    except rawjson.UNREADABLE:  # what only the forgiving reader takes
        return rawjson.cut(response.decode(), "echo").encode()
    kept.pop("echo", None)
    return msgspec.json.encode(kept)


class _ResponseHead(msgspec.Struct):
    retcode: Raw
    echo: Raw | UnsetType = UNSET


def as_response(body: bytes) -> bytes | None:
    """The body of an HTTP answer as a response, without ``echo``; None if it is no action response."""
    try:
        body.decode()
        head = msgspec.json.decode(body, type=_ResponseHead)
        return body.strip(b" \t\n\r") if head.echo is UNSET else without_echo(body, bytes(head.echo))
    except rawjson.UNREADABLE:
        return None


#: The actions of NapCat that answer with several frames for one ``echo``.
STREAM_ACTIONS = frozenset(
    {
        "download_file_stream",
        "download_file_record_stream",
        "download_file_image_stream",
        "test_download_stream",
    }
)


class _StreamData(msgspec.Struct):
    type: Any = None


class _DataHead(msgspec.Struct):
    data: Raw | UnsetType = UNSET


def is_stream_part(response: bytes) -> bool:
    """Whether more frames follow this answer to one of :data:`STREAM_ACTIONS`."""
    try:
        return bool(msgspec.json.decode(response_data(response), type=_StreamData).type == "stream")
    except rawjson.UNREADABLE:
        return False


def response_data(response: bytes) -> bytes:
    """The raw ``data`` of a response; ``null`` if it has none that can be read."""
    try:
        data = msgspec.json.decode(response, type=_DataHead).data
    except rawjson.UNREADABLE:
        return b"null"
    return b"null" if data is UNSET else bytes(data)


class Outcome(NamedTuple):
    """What a response says of itself, the data unread.

    :ivar reason: why it failed, in the implementation's words; empty where it gives none.
    """

    status: str
    retcode: int
    reason: str


class _OutcomeHead(msgspec.Struct):
    status: Any = ""
    retcode: Any = 0
    message: Any = ""
    wording: Any = ""
    msg: Any = ""


_decode_outcome = msgspec.json.Decoder(_OutcomeHead).decode


def read_outcome(response: bytes) -> Outcome:
    """Whether a response, of us or of an implementation, tells of success.

    What cannot be read is a failure with retcode 1500.
    """
    try:
        head = _decode_outcome(response)
    except rawjson.UNREADABLE:
        return Outcome("failed", 1500, "an answer that could not be read")
    words = [word for word in (head.message, head.wording, head.msg) if isinstance(word, str) and word]
    retcode = head.retcode if isinstance(head.retcode, int) else 1500
    status = head.status if isinstance(head.status, str) else ""
    return Outcome(status, retcode, words[0] if words else "")


_SUFFIXES = ("_async", "_rate_limited")


def split_suffix(action: str) -> tuple[str, str]:
    """The action's own name and its suffix (``"_async"``, ``"_rate_limited"`` or ``""``).

    OneBot 11, ``api/README.md``. Only one suffix is taken off: what is below must not have another.
    """
    for suffix in _SUFFIXES:
        if action.endswith(suffix) and len(action) > len(suffix):
            return action[: -len(suffix)], suffix
    return action, ""
