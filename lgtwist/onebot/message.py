"""Messages as arrays of segments and as strings with CQ codes, and conversion between them (``message/``).

A string cannot hold everything: numbers and booleans become strings, null values are dropped, and
adjacent texts are joined. Everything else is the same after a conversion there and back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.rawjson import DECODE_ERRORS, encode_string

#: One message segment: ``{"type": ..., "data": {...}}`` (``message/array.md``).
Segment = dict[str, Any]


class MessageFormat(Enum):
    """The format in which a bot gets messages: as the implementation sent them, as arrays, or as strings."""

    AS_IS = "as-is"
    ARRAY = "array"
    STRING = "string"


_CQ_CODE = re.compile(r"\[CQ:([^,\[\]]+)((?:,[^\[\]]*)?)\]")
#: Key-value pairs that a CQ code may have; a code with more is text.
_MAX_PAIRS = 1000

#: Segment type and key of values that are messages; in a string they are decoded again.
_MESSAGE_FIELDS = {("node", "content")}
#: Levels of messages inside messages that are converted.
_MAX_DEPTH = 8
#: Segment type and key of values that are JSON objects; in a string they are decoded again.
_OBJECT_FIELDS = {("keyboard", "content"), ("markdown", "keyboard")}


def escape(text: str, in_code: bool = False) -> str:
    """Return text escaped for a string with CQ codes (``message/string.md``).

    :param in_code: whether it stands inside a code, where commas are escaped too.
    """
    text = text.replace("&", "&amp;").replace("[", "&#91;").replace("]", "&#93;")
    return text.replace(",", "&#44;") if in_code else text


def unescape(text: str) -> str:
    """Return text without the escapes of :func:`escape`."""
    if "&" not in text:
        return text
    return text.replace("&#44;", ",").replace("&#91;", "[").replace("&#93;", "]").replace("&amp;", "&")


def text_segment(text: str) -> Segment:
    """Return the segment of plain text."""
    return {"type": "text", "data": {"text": text}}


def to_cq(message: Iterable[Segment], depth: int = 0) -> str:
    """Return an array of segments as a string with CQ codes.

    :param depth: how many messages it is nested in. Nested messages are codes down to ``_MAX_DEPTH``, and
        JSON below, for each level escapes everything once more.
    """
    return "".join(_encode_segment(segment, depth) for segment in message)


def _encode_segment(segment: Segment, depth: int) -> str:
    kind, data = segment["type"], segment.get("data") or {}
    if kind == "text":
        return escape(_encode_value(kind, "text", data.get("text", ""), depth))
    pairs = [
        f",{escape(key, True)}={escape(_encode_value(kind, key, value, depth), True)}"
        for key, value in data.items()
        if value is not None
    ]
    return f"[CQ:{escape(kind, True)}{''.join(pairs)}]"


def _encode_value(kind: str, key: str, value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if (kind, key) in _MESSAGE_FIELDS and depth < _MAX_DEPTH and is_message(value):
        return to_cq(value, depth + 1)
    return str(value) if isinstance(value, (int, float)) else msgspec.json.encode(value).decode()


def is_message(value: Any) -> bool:
    """Return whether a decoded JSON value is an array of segments."""
    return isinstance(value, list) and all(
        isinstance(part, dict) and isinstance(part.get("type"), str) and isinstance(part.get("data"), dict)
        for part in value
    )


def from_cq(text: str, depth: int = 0) -> list[Segment]:
    """Return a string with CQ codes as an array of segments; a malformed code is text.

    :param depth: how many messages it is nested in. Nested messages are read down to ``_MAX_DEPTH``, and
        stay strings below, for each level reads everything once more.
    """
    message: list[Segment] = []
    position = 0
    for code in _CQ_CODE.finditer(text):
        if code[2].count(",") > _MAX_PAIRS:
            continue
        _add_text(message, text[position : code.start()])
        position = code.end()
        kind = unescape(code[1])
        data: dict[str, Any] = {}
        for pair in code[2].split(",")[1:]:
            key, _separator, value = pair.partition("=")
            data[unescape(key)] = _decode_value(kind, unescape(key), unescape(value), depth)
        if kind == "text":
            _add_text(message, escape(str(data.get("text", ""))))
        else:
            message.append({"type": kind, "data": data})
    _add_text(message, text[position:])
    return message


def _decode_value(kind: str, key: str, value: str, depth: int) -> Any:
    if (kind, key) in _MESSAGE_FIELDS:
        return from_cq(value, depth + 1) if depth < _MAX_DEPTH else value
    if (kind, key) in _OBJECT_FIELDS and value[:1] in "{[":
        try:
            return msgspec.json.decode(value)
        except DECODE_ERRORS:
            return value
    return value


def _add_text(message: list[Segment], escaped: str) -> None:
    text = unescape(escaped)
    if not text:
        return
    if message and message[-1]["type"] == "text":
        message[-1]["data"]["text"] += text
    else:
        message.append(text_segment(text))


def read_message(value: Any, path: str, auto_escape: bool = False) -> list[Segment]:
    """Return a message as segments; it may be a string, a number, one segment, or an array of these.

    :param value: the decoded JSON value.
    :param path: the parameter's name, for the error.
    :param auto_escape: whether a string is plain text, without CQ codes.
    :raises BadRequest: if it is not a message; the sentence names ``path``.
    """
    if isinstance(value, str):
        if auto_escape:
            return [text_segment(value)] if value else []
        return from_cq(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [text_segment(str(value))]
    parts = [value] if isinstance(value, dict) else value
    if not isinstance(parts, list):
        raise BadRequest(f"{path}: expected a string or an array of segments")
    message: list[Segment] = []
    for number, part in enumerate(parts):
        if isinstance(part, str):
            message += read_message(part, path, auto_escape)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        data = (part.get("data") or {}) if isinstance(part, dict) else None
        if not isinstance(kind, str) or not kind or not isinstance(data, dict):
            raise BadRequest(f'{path}[{number}]: expected {{"type": ..., "data": {{...}}}}')
        message.append({"type": kind, "data": data})
    return message


# -- events and responses, in the format that a bot asked for


class _MessageHead(msgspec.Struct):
    message: Raw | UnsetType = UNSET


_decode_message_head = msgspec.json.Decoder(_MessageHead).decode

#: The actions whose responses hold messages.
MESSAGE_ACTIONS = frozenset(
    {
        "get_msg",
        "get_forward_msg",
        "get_group_msg_history",
        "get_friend_msg_history",
        "get_essence_msg_list",
    }
)


def convert_event(raw: bytes, wanted: MessageFormat) -> bytes:
    """Return an event in the wanted format; the same bytes where there is nothing to convert."""
    if wanted is MessageFormat.AS_IS:
        return raw
    try:
        message = _decode_message_head(raw).message
        if message is UNSET or not _needs_conversion(bytes(message), wanted):
            return raw
        members = msgspec.json.decode(raw, type=dict[str, Raw])
        members["message"] = Raw(_encode_json(_convert_message(msgspec.json.decode(message), wanted)))
        return msgspec.json.encode(members)
    except DECODE_ERRORS:  # a message that cannot be converted is passed on unchanged
        return raw


def convert_response(raw: bytes, wanted: MessageFormat) -> bytes:
    """Return a response of one of :data:`MESSAGE_ACTIONS` with its messages in the wanted format."""
    if wanted is MessageFormat.AS_IS:
        return raw
    try:
        members = msgspec.json.decode(raw, type=dict[str, Raw])
        if "data" not in members:
            return raw
        data = msgspec.json.decode(members["data"])
        members["data"] = Raw(_encode_json(_convert_nested(data, wanted)))
        return msgspec.json.encode(members)
    except DECODE_ERRORS:
        return raw


def _needs_conversion(message: bytes, wanted: MessageFormat) -> bool:
    return message[:1] == (b'"' if wanted is MessageFormat.ARRAY else b"[")


def _encode_json(value: Any) -> bytes:
    return encode_string(value) if isinstance(value, str) else msgspec.json.encode(value)


def _convert_message(message: Any, wanted: MessageFormat) -> Any:
    if wanted is MessageFormat.ARRAY and isinstance(message, str):
        return from_cq(message)
    if wanted is MessageFormat.STRING and is_message(message):
        return to_cq(message)
    return message


def _convert_nested(data: Any, wanted: MessageFormat) -> Any:
    """Return decoded data with every ``message`` and ``content`` in the wanted format.

    The nodes of a forwarded message are an array in every format; only their contents are converted.
    """
    if isinstance(data, list):
        return [_convert_nested(item, wanted) for item in data]
    if not isinstance(data, dict):
        return data
    converted = {}
    for key, value in data.items():
        nodes = is_message(value) and bool(value) and all(part["type"] == "node" for part in value)
        if nodes:
            converted[key] = [{**n, "data": _convert_nested(n["data"], wanted)} for n in value]
        elif key in ("message", "content"):
            converted[key] = _convert_message(value, wanted)
        else:
            converted[key] = _convert_nested(value, wanted)
    return converted
