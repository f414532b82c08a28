"""Responses of actions, as JSON bytes (OneBot 11, ``communication/ws.md``).

``data`` and ``echo`` are not decoded and encoded again; their bytes are passed on unchanged.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot import rawjson
from lgtwist.onebot.bounds import MAX_DECODED_VALUES
from lgtwist.onebot.errors import OneBotError
from lgtwist.onebot.values import read_integer


def ok(data: bytes = b"null") -> bytes:
    """Return the response of an action that succeeded, without ``echo``.

    :param data: one JSON value.
    """
    return b'{"status":"ok","retcode":0,"data":' + data + b',"message":"","wording":""}'


#: The response of an action that was accepted and runs without another response (``_async``,
#: ``_rate_limited``).
ACCEPTED = b'{"status":"async","retcode":1,"data":null,"message":"","wording":""}'


def failed(retcode: int, sentence: str) -> bytes:
    """Return the response of an action that failed, without ``echo``.

    :param sentence: what the bot reads as ``message`` and ``wording``.
    """
    message = rawjson.encode_string(sentence)
    return b'{"status":"failed","retcode":%d,"data":null,"message":%b,"wording":%b}' % (
        retcode,
        message,
        message,
    )


def from_error(error: OneBotError) -> bytes:
    """Return the failed response with an error's retcode and sentence, without ``echo``."""
    return failed(error.retcode, error.sentence)


def with_echo(response: bytes, echo: bytes | None) -> bytes:
    """Return a response with the bot's own ``echo`` appended.

    :param response: a JSON object that has members and no ``echo``, and ends with its brace.
    :param echo: one JSON value; None to return the response unchanged.
    """
    if echo is None:
        return response
    if len(response) > _LARGE_RESPONSE:
        return _join(response, 1, b',"echo":', echo, b"}")
    return response[:-1] + b',"echo":' + echo + b"}"


#: Bytes that :func:`first_part` returns at most: over TLS they are sent at once, with a head before them.
_FIRST_PART = 2048


def first_part(data: bytes) -> bytes:
    """Return the first half of a frame or body, at most 2 KiB, which is sent before a connection is reset."""
    return data[: min(len(data) // 2, _FIRST_PART)]


#: Bytes from which on a response is copied only once.
_LARGE_RESPONSE = 65_536


def _join(response: bytes, cut: int, *parts: bytes) -> bytes:
    """Return a response without its last ``cut`` bytes, and with some parts behind it."""
    return b"".join((memoryview(response)[:-cut], *parts))


#: How implementations write the key of ``echo``, and what they write behind its value (NapCat: ``stream``).
_ECHO_FORMS = (
    (b',"echo":', b',"stream":"normal-action"}'),
    (b', "echo": ', b"}"),
)


def without_echo(response: bytes, echo: bytes) -> bytes:
    """Return an implementation's response without its ``echo``, ready for :func:`with_echo`.

    :param response: one JSON object.
    :param echo: the value of its ``echo``, as the bytes that stand in the response.
    :raises ValueError: if it has more than ``MAX_DECODED_VALUES`` values, and the member is not easily found;
        ``RecursionError`` if it is nested too deeply.
    """
    tail = b',"echo":%b}' % echo
    # If "echo" occurs only there, the ending is the member and not the end of a string.
    if response.endswith(tail) and response.count(b'"echo"') == 1:
        if len(response) > _LARGE_RESPONSE:
            return _join(response, len(tail), b"}")
        return response[: -len(tail)] + b"}"
    response = response.strip(b" \t\n\r")
    for key, ending in _ECHO_FORMS:
        tail = key + echo + ending
        # If "echo" does not occur before, the ending is the member and not the end of a string.
        if response.endswith(tail) and response.find(b'"echo"') == len(response) - len(tail) + key.index(
            b'"'
        ):
            if len(response) > _LARGE_RESPONSE:
                return _join(response, len(tail), ending)
            return response[: -len(tail)] + ending
    if len(response) <= MAX_DECODED_VALUES:
        try:
            remaining = msgspec.json.decode(response, type=dict[str, Raw])
        except ValueError:  # it has a lone surrogate
            pass
        else:
            remaining.pop("echo", None)
            return msgspec.json.encode(remaining)
    return rawjson.remove_key(response, "echo", echo)


class _BodyHead(msgspec.Struct):
    retcode: Raw | UnsetType = UNSET
    echo: Raw | UnsetType = UNSET


_decode_body_head = msgspec.json.Decoder(_BodyHead).decode


def response_from_body(body: bytes) -> bytes | None:
    """Return the response in an HTTP body, without ``echo``; None if the body is not a response.

    A response is a JSON object in UTF-8 that has a ``retcode``. What is not JSON in it is repaired.
    """
    try:
        body.decode()
        try:
            head = rawjson.decode_leniently(_decode_body_head, body)
        except ValueError:
            repaired = rawjson.repair(body)
            if repaired is body:
                return None
            body = repaired
            head = rawjson.decode_leniently(_decode_body_head, body)
        if head.retcode is UNSET:
            return None
        return (
            body.strip(b" \t\n\r") if head.echo is UNSET else without_echo(body, rawjson.to_bytes(head.echo))
        )
    except rawjson.DECODE_ERRORS:
        return None


#: The actions of NapCat whose response consists of several frames with the same ``echo``.
STREAM_ACTIONS = frozenset(
    {
        "download_file_stream",
        "download_file_record_stream",
        "download_file_image_stream",
        "test_download_stream",
    }
)


class _StreamData(msgspec.Struct):
    type: Raw = Raw(b"null")


class _DataHead(msgspec.Struct):
    data: Raw | UnsetType = UNSET


def is_stream_part(response: bytes) -> bool:
    """Return whether more frames follow this response to one of :data:`STREAM_ACTIONS`."""
    try:
        data = msgspec.json.decode(response_data(response), type=_StreamData)
    except rawjson.DECODE_ERRORS:
        return False
    return rawjson.read_string(bytes(data.type)) == "stream"


_decode_data_head = msgspec.json.Decoder(_DataHead).decode


def response_data(response: bytes) -> bytes:
    """Return the JSON value of a response's ``data``; ``null`` if it has none or cannot be read.

    Lone surrogates in it become U+FFFD, since lgtwist itself reads it.
    """
    try:
        data = _decode_data_head(response).data
    except rawjson.DECODE_ERRORS:
        try:
            data = _decode_data_head(rawjson.replace_surrogates(rawjson.repair(response))).data
        except rawjson.DECODE_ERRORS:
            return b"null"
    return b"null" if data is UNSET else bytes(data)


class ResponseHead(NamedTuple):
    """The members of a response that tell whether the action succeeded.

    :ivar status: ``ok``, ``async`` or ``failed``; empty where the response has none.
    :ivar retcode: 0 for success; 1500 where it cannot be read.
    :ivar reason: the first of ``message``, ``wording`` and ``msg`` that is not empty; empty if all are.
    """

    status: str
    retcode: int
    reason: str


class _RawResponseHead(msgspec.Struct):
    status: Raw = Raw(b'""')
    retcode: Raw = Raw(b"null")
    message: Raw = Raw(b'""')
    wording: Raw = Raw(b'""')
    msg: Raw = Raw(b'""')


_decode_response_head = msgspec.json.Decoder(_RawResponseHead).decode
#: A retcode that is a whole number.
_RETCODE = re.compile(rb"-?[0-9]{1,18}")


def read_response_head(response: bytes) -> ResponseHead:
    """Read whether a response reports success; its ``data`` is not decoded.

    A response that cannot be read gives ``failed`` with retcode 1500, and so does one with neither a
    ``retcode`` nor a ``status``. Where one of the two is missing the other says it.
    """
    try:
        try:
            head = rawjson.decode_leniently(_decode_response_head, response)
        except ValueError:
            head = rawjson.decode_leniently(_decode_response_head, rawjson.repair(response))
    except rawjson.DECODE_ERRORS:
        return ResponseHead("failed", 1500, "an answer that could not be read")
    status, message, wording, msg = (
        rawjson.read_string(rawjson.to_bytes(value))
        for value in (head.status, head.message, head.wording, head.msg)
    )
    retcode = bytes(head.retcode)
    if retcode == b"null":  # it has none
        known = _RETCODES.get(status.strip().lower())
        if known is None:
            return ResponseHead("failed", 1500, message or wording or msg or NO_VERDICT)
        return ResponseHead(*known, message or wording or msg)
    number = int(retcode) if _RETCODE.fullmatch(retcode) else _read_retcode(retcode)
    return ResponseHead(status, number, message or wording or msg)


def _read_retcode(text: bytes) -> int:
    """Return a retcode that is a string or a float; 1500 if it is no whole number."""
    try:
        number = read_integer(msgspec.json.decode(text)) if len(text) <= _MAX_RETCODE else None
    except rawjson.DECODE_ERRORS:
        number = None
    return 1500 if number is None else number


#: Bytes that a retcode may have, as JSON.
_MAX_RETCODE = 32


#: What is said of an answer that does not tell whether the action succeeded.
NO_VERDICT = "the implementation's answer has neither a retcode nor a status"
#: The values of ``status``, and the retcodes that they mean where a response has none.
_RETCODES = {"ok": ("ok", 0), "async": ("async", 1), "failed": ("failed", 1500)}


def complete(response: bytes) -> bytes:
    """Return a response that has no ``retcode`` with one: by its ``status``, else ``failed`` and 1500.

    :param response: one JSON object without ``retcode`` and ``echo``, valid UTF-8.
    :raises ValueError: if it cannot be read; ``RecursionError`` if it is nested too deeply.
    """
    head = read_response_head(response)
    sentence = rawjson.encode_string(head.reason)
    members = {"status": b'"%b"' % head.status.encode(), "message": sentence, "wording": sentence}
    added = [b'"retcode":%d' % head.retcode]
    for name, value in members.items():
        present = rawjson.member(response, name)
        if rawjson.read_string(present) in ("", "null") or name == "status":
            response = rawjson.remove_key(response, name, present) if present else response
            added.append(b'"%b":%b' % (name.encode(), value))
    if not rawjson.member(response, "data"):
        added.append(b'"data":null')
    response = response.strip(b" \t\n\r")
    if response[1:-1].strip(b" \t\n\r"):
        added.insert(0, response[1:-1])
    return b"{" + b",".join(added) + b"}"


def incomplete_response(text: bytes) -> tuple[bytes, bytes] | None:
    """Return the ``echo`` of a response without ``retcode`` (empty if it has none), and that, completed.

    :param text: one JSON object, valid UTF-8.
    :returns: None if it is no such response: it has a ``retcode``, or none of ``echo``, ``data``, ``status``.
    """
    try:
        text = rawjson.repair(text)
        head = rawjson.decode_leniently(_decode_incomplete_head, text)
        if head.retcode is not UNSET or head.echo is head.data is head.status is UNSET:
            return None
        echo = b"" if head.echo is UNSET else rawjson.to_bytes(head.echo)
        return echo, complete(without_echo(text, echo) if echo else text)
    except rawjson.DECODE_ERRORS:
        return None


class _IncompleteHead(msgspec.Struct):
    retcode: Raw | UnsetType = UNSET
    echo: Raw | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    status: Raw | UnsetType = UNSET


_decode_incomplete_head = msgspec.json.Decoder(_IncompleteHead).decode
