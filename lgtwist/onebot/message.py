"""Messages: arrays of segments and strings with CQ codes, both ways (OneBot 11, ``message/``).

What CQ codes cannot say is lost on the way to a string: numbers and booleans become strings, null
goes, adjacent texts are one. Everything else comes back as it was.
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
    """In which form a bot gets messages."""

    AS_IS = "as-is"
    ARRAY = "array"
    STRING = "string"


_CQ_CODE = re.compile(r"\[CQ:([^,\[\]]+)((?:,[^\[\]]*)?)\]")
#: A code with more pairs than that is text.
_MAX_PAIRS = 1000

#: Values that are messages or objects themselves, and so must not stay strings on the way back.
_MESSAGE_FIELDS = {("node", "content")}
_MAX_DEPTH = 8
_OBJECT_FIELDS = {("keyboard", "content"), ("markdown", "keyboard")}


def escape(text: str, in_code: bool = False) -> str:
    """Text as it stands outside, or as a value inside, of a CQ code (``message/string.md``)."""
    text = text.replace("&", "&amp;").replace("[", "&#91;").replace("]", "&#93;")
    return text.replace(",", "&#44;") if in_code else text


def unescape(text: str) -> str:
    """The opposite of :func:`escape`, of either kind."""
    if "&" not in text:
        return text
    return text.replace("&#44;", ",").replace("&#91;", "[").replace("&#93;", "]").replace("&amp;", "&")


def text_segment(text: str) -> Segment:
    """Plain text."""
    return {"type": "text", "data": {"text": text}}


def to_cq(message: Iterable[Segment], depth: int = 0) -> str:
    """A message as a string with CQ codes.

    Messages inside messages are codes too, but not below ``_DEEPEST``: each level escapes all again.
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
    """Whether a value is an array of segments."""
    return isinstance(value, list) and all(
        isinstance(part, dict) and isinstance(part.get("type"), str) and isinstance(part.get("data"), dict)
        for part in value
    )


def from_cq(text: str, depth: int = 0) -> list[Segment]:
    """A string with CQ codes as segments. What only looks like a code is text.

    Messages inside messages are read too, but not below ``_DEEPEST``: each level reads all again.
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
    """A message as segments, in whichever form somebody sends it: string, array, one segment, number.

    :param path: where it stands, for the error.
    :param auto_escape: whether a string is plain text, without CQ codes.
    :raises BadRequest: naming ``path``.
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
    """An event in the wanted format; the very bytes where there is nothing to convert."""
    if wanted is MessageFormat.AS_IS:
        return raw
    try:
        message = _decode_message_head(raw).message
        if message is UNSET or not _needs_conversion(bytes(message), wanted):
            return raw
        members = msgspec.json.decode(raw, type=dict[str, Raw])
        members["message"] = Raw(_encode_json(_convert_message(msgspec.json.decode(message), wanted)))
        return msgspec.json.encode(members)
    except DECODE_ERRORS:  # an odd message passes as it came
        return raw


def convert_response(raw: bytes, wanted: MessageFormat) -> bytes:
    """A response of one of :data:`MESSAGE_ACTIONS`, its messages in the wanted format."""
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
    """Messages wherever the responses hold them: under ``message`` and ``content``.

    The nodes of a forwarded message are an array in every format; what they contain is a message.
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
