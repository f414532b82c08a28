"""Responses of actions, as raw JSON bytes (OneBot 11, ``communication/ws.md``).

``data`` and ``echo`` are never decoded and encoded again: they pass as the bytes that came.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot import rawjson
from lgtwist.onebot.errors import OneBotError


def ok(data: bytes = b"null") -> bytes:
    """The response of an action that was done, without its echo."""
    return b'{"status":"ok","retcode":0,"data":' + data + b',"message":"","wording":""}'


#: The response of an action that was accepted and goes on alone (``_async``, ``_rate_limited``).
ACCEPTED = b'{"status":"async","retcode":1,"data":null,"message":"","wording":""}'


def failed(retcode: int, sentence: str) -> bytes:
    """The response of an action that failed, without its echo."""
    message = rawjson.encode_string(sentence)
    return b'{"status":"failed","retcode":%d,"data":null,"message":%b,"wording":%b}' % (
        retcode,
        message,
        message,
    )


def from_error(error: OneBotError) -> bytes:
    """The response that tells of ``error``, without its echo."""
    return failed(error.retcode, error.sentence)


def with_echo(response: bytes, echo: bytes | None) -> bytes:
    """``response``, a JSON object that has members and no ``echo``, with the bot's own ``echo`` put in.

    Where the bot sent none, none goes back.
    """
    return response if echo is None else response[:-1] + b',"echo":' + echo + b"}"


#: How implementations write their ``echo``, and what stands behind it (NapCat: the kind of the answer).
_ECHO_FORMS = (
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
    for key, ending in _ECHO_FORMS:
        tail = key + echo + ending
        # A text that ends so, and has the word nowhere before, ends with the member and no string's end.
        if response.endswith(tail) and response.find(b'"echo"') == len(response) - len(tail) + key.index(
            b'"'
        ):
            return response[: -len(tail)] + ending
    try:
        remaining = msgspec.json.decode(response, type=dict[str, Raw])
    except rawjson.DECODE_ERRORS:  # what only the forgiving reader takes
        return rawjson.remove_member(response.decode(), "echo").encode()
    remaining.pop("echo", None)
    return msgspec.json.encode(remaining)


class _BodyHead(msgspec.Struct):
    retcode: Raw
    echo: Raw | UnsetType = UNSET


def response_from_body(body: bytes) -> bytes | None:
    """The body of an HTTP answer as a response, without ``echo``; None if it is no action response."""
    try:
        body.decode()
        head = msgspec.json.decode(body, type=_BodyHead)
        return body.strip(b" \t\n\r") if head.echo is UNSET else without_echo(body, bytes(head.echo))
    except rawjson.DECODE_ERRORS:
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
    except rawjson.DECODE_ERRORS:
        return False


def response_data(response: bytes) -> bytes:
    """The raw ``data`` of a response; ``null`` if it has none that can be read."""
    try:
        data = msgspec.json.decode(response, type=_DataHead).data
    except rawjson.DECODE_ERRORS:
        return b"null"
    return b"null" if data is UNSET else bytes(data)


class ResponseHead(NamedTuple):
    """What a response says of itself, the data unread.

    :ivar reason: why it failed, in the implementation's words; empty where it gives none.
    """

    status: str
    retcode: int
    reason: str


class _RawResponseHead(msgspec.Struct):
    status: Any = ""
    retcode: Any = 0
    message: Any = ""
    wording: Any = ""
    msg: Any = ""


_decode_response_head = msgspec.json.Decoder(_RawResponseHead).decode


def read_response_head(response: bytes) -> ResponseHead:
    """Whether a response, of us or of an implementation, tells of success.

    What cannot be read is a failure with retcode 1500.
    """
    try:
        head = _decode_response_head(response)
    except rawjson.DECODE_ERRORS:
        return ResponseHead("failed", 1500, "an answer that could not be read")
    reasons = [word for word in (head.message, head.wording, head.msg) if isinstance(word, str) and word]
    retcode = head.retcode if isinstance(head.retcode, int) else 1500
    status = head.status if isinstance(head.status, str) else ""
    return ResponseHead(status, retcode, reasons[0] if reasons else "")
