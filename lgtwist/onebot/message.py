"""Messages as arrays of segments and as strings with CQ codes, and conversion between them (``message/``).

A string cannot hold everything: numbers and booleans become strings, null values are dropped, and
adjacent texts are joined. Everything else is the same after a conversion there and back.

A message is converted part by part: what is odd in it does not keep the rest from being converted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot.bounds import (
    COUNTERS,
    MAX_CONVERTED,
    MAX_DECODED_VALUES,
    MAX_ESCAPE_SEQUENCES,
    MAX_GROWN,
    MAX_MESSAGE_DEPTH,
    MAX_NESTING,
    MAX_PAIRS,
    MAX_SEGMENTS,
    MAX_TEXT,
    has_too_many_values,
)
from lgtwist.onebot.errors import BadRequest, OverBound
from lgtwist.onebot.rawjson import DECODE_ERRORS, decode_long_numbers, encode_string, hide_surrogates
from lgtwist.onebot.values import read_boolean, read_text

#: One message segment: ``{"type": ..., "data": {...}}`` (``message/array.md``).
Segment = dict[str, Any]


class MessageFormat(Enum):
    """The format of messages: as they came, as arrays of segments, or as strings with CQ codes.

    In it a bot gets messages of implementations, and an implementation messages of bots.
    """

    AS_IS = "as-is"
    ARRAY = "array"
    STRING = "string"


#: Segment type and key of values that are messages; in a string they are decoded again.
_MESSAGE_FIELDS = {("node", "content")}
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


def to_cq(message: Iterable[Segment], limit: int = MAX_TEXT) -> str:
    """Return an array of segments as a string with CQ codes.

    Messages inside it are codes down to ``MAX_MESSAGE_DEPTH``, and JSON below, for each level escapes
    everything once more.

    :param limit: characters that it may have.
    :raises OverBound: if it would have more, or if messages inside it have more than ``MAX_TEXT`` together.
    """
    return _CqWriter(limit).write(message, 0)


class _CqWriter:
    """Writes one message as a string with CQ codes.

    :param limit: characters that it may have.
    """

    __slots__ = ("_inner", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inner = 0  # characters of the messages inside it

    def write(self, message: Iterable[Segment], depth: int) -> str:
        """Return a message as a string.

        :param depth: how many messages it is inside of.
        :raises OverBound: see :func:`to_cq`.
        """
        codes: list[str] = []
        length = 0
        for segment in message:
            code = self._segment(segment, depth)
            length += len(code)
            if length > self._limit:
                raise self._too_long()
            codes.append(code)
        return "".join(codes)

    def _too_long(self) -> OverBound:
        return OverBound(f"the message has more than {self._limit} characters as a string with CQ codes")

    def _segment(self, segment: Segment, depth: int) -> str:
        kind, data = segment["type"], segment.get("data") or {}
        if kind == "text":
            text = data.get("text")
            return "" if text is None else self._escape(self._value(kind, "text", text, depth), False)
        pairs: list[str] = []
        length = 0
        for key, value in data.items():
            if value is not None:
                pair = f",{self._escape(key)}={self._escape(self._value(kind, key, value, depth))}"
                length += len(pair)
                if length > self._limit:
                    raise self._too_long()
                pairs.append(pair)
        return f"[CQ:{self._escape(kind)}{''.join(pairs)}]"

    def _escape(self, text: str, in_code: bool = True) -> str:
        if len(text) > _LONG:  # count first: the escaped text may be five times as long
            escaped = sum(map(text.count, "&[],")) if in_code else sum(map(text.count, "&[]"))
            if len(text) + 4 * escaped > self._limit:
                raise self._too_long()
        return escape(text, in_code)

    def _value(self, kind: str, key: str, value: Any, depth: int) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Raw):  # a number that Python or C cannot hold
            return bytes(value).decode()
        if (kind, key) in _MESSAGE_FIELDS and depth < MAX_MESSAGE_DEPTH and is_message(value):
            text = self.write(as_segments(value), depth + 1)
            self._inner += len(text)
            if self._inner > MAX_TEXT:
                raise OverBound(f"messages inside the message have more than {MAX_TEXT} characters")
            return text
        return str(value) if isinstance(value, (int, float)) else msgspec.json.encode(value).decode()


#: Characters from which on a text is measured before it is escaped.
_LONG = 65_536


def is_message(value: Any) -> bool:
    """Return whether a decoded JSON value is a message that is no string.

    It is a segment, or an array that is empty or has a segment; what else the array has is not looked at.
    """
    if isinstance(value, list):
        return not value or any(map(_is_segment, value))
    return _is_segment(value)


def _is_segment(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def as_segments(value: Any) -> list[Segment]:
    """Return a message of an implementation that is no string as segments, whatever is odd in it.

    Strings and numbers among the segments are texts, and so is a ``text`` without ``data`` beside its own
    ``text``. Data that is no object is empty. What else is no segment is left out.

    :param value: a decoded JSON value: an array, or one segment.
    """
    message: list[Segment] = []
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            kind, data = part.get("type"), part.get("data")
            if not isinstance(kind, str):  # text is all that it can be
                text = read_text(data.get("text")) if isinstance(data, dict) else None
                if text is not None:
                    message.append(text_segment(text))
            elif isinstance(data, dict):
                message.append(part)
            else:
                text = read_text(data) or read_text(part.get("text")) if kind == "text" else None
                message.append({"type": kind, "data": {} if text is None else {"text": text}})
        else:
            text = bytes(part).decode() if isinstance(part, Raw) else read_text(part)
            if text is not None:
                message.append(text_segment(text))
    return message


def from_cq(text: str) -> list[Segment]:
    """Return a string with CQ codes as an array of segments; a malformed code is text.

    Messages inside it are read down to ``MAX_MESSAGE_DEPTH``, and stay strings below, for each level reads
    everything once more.

    :raises OverBound: if it has more than ``MAX_SEGMENTS`` segments or codes, or ``MAX_DECODED_VALUES``
        pairs.
    """
    return MessageReader().read_cq(text, 0)


class MessageReader:
    """Reads messages that belong together: the bounds count for all of them.

    :param name: what they are called in errors.
    """

    __slots__ = ("_codes", "_inner", "_name", "_segments", "_values")

    def __init__(self, name: str = "the message") -> None:
        self._name = name
        self._segments = self._codes = self._values = self._inner = 0

    def count_segments(self, number: int) -> None:
        """Count segments.

        :raises OverBound: if there are more than ``MAX_SEGMENTS``.
        """
        self._segments += number
        if self._segments > MAX_SEGMENTS:
            raise OverBound(f"{self._name} has more than {MAX_SEGMENTS} segments")

    def _count_codes(self, number: int) -> None:
        self._codes += number
        if self._codes > MAX_SEGMENTS:
            raise OverBound(f"{self._name} has more than {MAX_SEGMENTS} CQ codes")

    def _count_values(self, number: int) -> None:
        self._values += number
        if self._values > MAX_DECODED_VALUES:
            raise OverBound(f"{self._name} has more than {MAX_DECODED_VALUES} values in its segments")

    def read_cq(self, text: str, depth: int) -> list[Segment]:
        """Return a string with CQ codes as segments.

        :param depth: how many messages it is inside of.
        :raises OverBound: see :func:`from_cq`.
        """
        if len(text) > MAX_ESCAPE_SEQUENCES and text.count("&") > MAX_ESCAPE_SEQUENCES:
            raise OverBound(f"{self._name} has more than {MAX_ESCAPE_SEQUENCES} escapes (&...;)")
        pieces = text.split("[CQ:", MAX_SEGMENTS + 1)
        if len(pieces) == 1:
            return [text_segment(unescape(text))] if text else []
        self._count_codes(len(pieces) - 1)
        message: list[Segment] = []
        texts: list[str] = []  # parts of the text segment that is being read
        raw = [pieces[0]]  # parts of the string that are text, still escaped
        for piece in pieces[1:]:
            end = piece.find("]")
            code = piece[:end]
            if end <= 0 or code[0] == "," or "[" in code or code.count(",") > MAX_PAIRS:
                raw += ("[CQ:", piece)  # it is no code
                continue
            texts.append(unescape("".join(raw)))
            raw = [piece[end + 1 :]]
            segment = self._read_code(code, depth)
            if segment["type"] == "text":
                texts.append(str(segment["data"].get("text", "")))
                continue
            if before := "".join(texts):
                message.append(text_segment(before))
            texts.clear()
            message.append(segment)
        texts.append(unescape("".join(raw)))
        if behind := "".join(texts):
            message.append(text_segment(behind))
        self.count_segments(len(message))
        return message

    def _read_code(self, code: str, depth: int) -> Segment:
        name, *pairs = code.split(",")
        self._count_values(len(pairs))
        kind = unescape(name)
        data: dict[str, Any] = {}
        for pair in pairs:
            key, _separator, value = pair.partition("=")
            key = unescape(key)
            data[key] = self._read_value(kind, key, unescape(value), depth)
        return {"type": kind, "data": data}

    def _read_value(self, kind: str, key: str, value: str, depth: int) -> Any:
        if (kind, key) in _MESSAGE_FIELDS:
            if depth >= MAX_MESSAGE_DEPTH:
                return value
            self._inner += len(value)
            if self._inner > MAX_TEXT:
                raise OverBound(f"messages inside {self._name} have more than {MAX_TEXT} characters")
            return self.read_cq(value, depth + 1)
        if (kind, key) in _OBJECT_FIELDS and value[:1] in ("{", "["):
            raw = value.encode()
            self._count_values(raw.count(b",") + raw.count(b"[") + raw.count(b"{"))
            try:
                return msgspec.json.decode(raw)
            except DECODE_ERRORS:
                return value
        return value

    def read(self, value: Any, path: str, auto_escape: bool = False) -> list[Segment]:
        """Return a message as segments; see :func:`read_message`."""
        self._name = path
        if isinstance(value, str):
            if not auto_escape:
                return self.read_cq(value, 0)
            self.count_segments(1)
            return [text_segment(value)] if value else []
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.count_segments(1)
            return [text_segment(str(value))]
        parts = [value] if isinstance(value, dict) else value
        if not isinstance(parts, list):
            raise BadRequest(f"{path}: expected a string or an array of segments")
        self.count_segments(0 if len(parts) <= MAX_SEGMENTS else len(parts))
        self.count_segments(sum(not isinstance(part, str) for part in parts))
        message: list[Segment] = []
        for number, part in enumerate(parts):
            if part is None:
                continue
            if isinstance(part, str):
                message += self.read(part, path, auto_escape)
                continue
            kind = part.get("type") if isinstance(part, dict) else None
            data = (part.get("data") or {}) if isinstance(part, dict) else None
            if not isinstance(kind, str) or not kind or not isinstance(data, dict):
                raise BadRequest(f'{path}[{number}]: expected {{"type": ..., "data": {{...}}}}')
            if _is_nested_too_deeply(data):
                raise OverBound(f"{path}[{number}].data is nested deeper than {MAX_NESTING} levels")
            message.append({"type": kind, "data": data})
        return message


def _is_nested_too_deeply(data: dict[str, Any]) -> bool:
    """Return whether decoded data has more than ``MAX_NESTING`` levels of arrays and objects."""
    level: list[Any] = [data]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def read_message(value: Any, path: str, auto_escape: bool = False) -> list[Segment]:
    """Return a message as segments; it may be a string, a number, one segment, or an array of these.

    :param value: the decoded JSON value.
    :param path: the parameter's name, for the error.
    :param auto_escape: whether a string is plain text, without CQ codes.
    :raises BadRequest: if it is not a message, or over a bound (:class:`OverBound`); the sentence names
        ``path``.
    """
    return MessageReader().read(value, path, auto_escape)


# -- events and responses, in the format that a bot asked for


class _MessageHead(msgspec.Struct):
    message: Raw | UnsetType = UNSET


_decode_message_head = msgspec.json.Decoder(_MessageHead).decode
_decode_raw_members = msgspec.json.Decoder(dict[str, Raw]).decode

#: The actions whose responses hold messages.
MESSAGE_ACTIONS = frozenset(
    {
        "get_msg",
        "get_forward_msg",
        "get_group_msg_history",
        "get_friend_msg_history",
        "get_essence_msg_list",
        "get_recent_contact",
    }
)


def convert_event(raw: bytes, wanted: MessageFormat) -> bytes:
    """Return an event in the wanted format; the same bytes where there is nothing to convert.

    A ``message_format`` beside the message says the format afterwards. The same bytes also where it is over
    a bound, or would grow too much; that is counted.
    """
    if wanted is MessageFormat.AS_IS:
        return raw
    try:
        return _convert_event(raw, wanted)
    except (*DECODE_ERRORS, OverBound) as error:
        return _convert_hidden(_convert_event, raw, wanted, error)


def convert_response(raw: bytes, wanted: MessageFormat) -> bytes:
    """Return a response of one of :data:`MESSAGE_ACTIONS` with its messages in the wanted format.

    A ``message_format`` beside one of them says the format afterwards. The same bytes where it is over a
    bound, or would grow too much; that is counted.
    """
    if wanted is MessageFormat.AS_IS:
        return raw
    try:
        return _convert_response(raw, wanted)
    except (*DECODE_ERRORS, OverBound) as error:
        return _convert_hidden(_convert_response, raw, wanted, error)


def _convert_hidden(
    convert: Callable[[bytes, MessageFormat], bytes], raw: bytes, wanted: MessageFormat, error: Exception
) -> bytes:
    """Convert an event or a response that has lone surrogates; they stay escapes, as they came.

    :param error: what converting it as it is has raised.
    :returns: the same bytes if it cannot be converted.
    """
    try:
        if not isinstance(error, msgspec.DecodeError):
            raise error
        hidden, mark = hide_surrogates(raw)
        converted = convert(hidden, wanted)
        return raw if converted is hidden else converted.replace(mark, b"\\")
    except OverBound:
        COUNTERS.unconverted += 1
        return raw
    except DECODE_ERRORS:  # what cannot be converted is passed on unchanged
        return raw


def _convert_event(raw: bytes, wanted: MessageFormat) -> bytes:
    """Return an event in the wanted format; the same object where there is nothing to convert.

    :raises ValueError: if it cannot be read; :class:`OverBound` if it is over a bound.
    """
    head = _decode_message_head(raw).message
    if head is UNSET:
        return raw
    message = bytes(head)
    if not _needs_conversion(message, wanted):
        return raw
    _check_bounds(raw)
    members = _decode_raw_members(raw)
    limit = len(message) + MAX_GROWN
    decoded = _decode(message)
    result = _Conversion(wanted, limit).message(decoded, isinstance(decoded, list))
    if result is decoded:  # an object that is no segment
        return raw
    converted = _encode_json(result)
    if len(converted) > limit:
        raise OverBound(f"the message would grow to more than {limit} bytes")
    members["message"] = Raw(converted)
    if "message_format" in members:
        members["message_format"] = Raw(encode_string(wanted.value))
    return msgspec.json.encode(members)


def _convert_response(raw: bytes, wanted: MessageFormat) -> bytes:
    """Return a response with its messages in the wanted format.

    :raises ValueError: if it cannot be read; :class:`OverBound` if it is over a bound.
    """
    _check_bounds(raw)
    members = _decode_raw_members(raw)
    if "data" not in members:
        return raw
    data = bytes(members["data"])
    limit = len(data) + MAX_GROWN
    converted = _encode_json(_Conversion(wanted, limit).nested(_decode(data)))
    if len(converted) > limit:
        raise OverBound(f"the messages would grow to more than {limit} bytes")
    members["data"] = Raw(converted)
    return msgspec.json.encode(members)


def _decode(text: bytes) -> Any:
    """Decode a JSON value; numbers that Python or C cannot hold are ``Raw``, and are encoded as they came."""
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError:
        return decode_long_numbers(text, lambda digits: Raw(digits.encode()))


def _check_bounds(raw: bytes) -> None:
    if len(raw) > MAX_CONVERTED:
        raise OverBound(f"it has more than {MAX_CONVERTED} bytes")
    if has_too_many_values(raw):
        raise OverBound(f"it has more than {MAX_DECODED_VALUES} values")


def _needs_conversion(message: bytes, wanted: MessageFormat) -> bool:
    return message[:1] in ((b'"', b"{") if wanted is MessageFormat.ARRAY else (b"[", b"{"))


def _encode_json(value: Any) -> bytes:
    return encode_string(value) if isinstance(value, str) else msgspec.json.encode(value)


class _Conversion:
    """Converts the messages of one event or response; the bounds count for all of them.

    :param limit: characters that the strings may have together.
    """

    def __init__(self, wanted: MessageFormat, limit: int) -> None:
        self._to_array = wanted is MessageFormat.ARRAY
        self._reader = MessageReader()
        self._left = limit

    def message(self, message: Any, known: bool = False) -> Any:
        """Return a decoded message in the wanted format; anything else unchanged, the same object.

        :param known: whether it is a message, so that an array is one without any segment too.
        :raises OverBound: if it is over a bound.
        """
        if self._to_array:
            if isinstance(message, str):
                return self._reader.read_cq(message, 0)
            return as_segments(message) if _is_segment(message) else message
        if not known and not is_message(message):
            return message
        self._reader.count_segments(len(message))
        text = to_cq(as_segments(message), self._left)
        self._left -= len(text)
        return text

    def sent(self, message: Any, auto_escape: bool) -> Any:
        """Return the decoded message of a bot in the wanted format; the same object if it has that already.

        :param auto_escape: whether strings are plain text, without CQ codes.
        :raises BadRequest: if it is no message, or over a bound.
        """
        if message is None:
            return message
        if self._to_array and isinstance(message, list) and all(map(_is_segment, message)):
            if any(part["type"] == "node" for part in message):
                nodes = self.sent_nodes(message)
                return message if nodes == message else nodes
            return message
        segments = self._reader.read(message, "message", auto_escape)
        if self._to_array:
            return self.sent_nodes(segments)
        text = to_cq(segments, self._left)
        self._left -= len(text)
        return text

    def sent_nodes(self, nodes: Any) -> Any:
        """Return decoded nodes of a bot with their contents in the wanted format; other segments unchanged.

        :raises OverBound: if they are over a bound.
        """
        if isinstance(nodes, list):
            return [self.sent_nodes(node) for node in nodes]
        return self._node(nodes) if _is_segment(nodes) and nodes["type"] == "node" else nodes

    def nested(self, data: Any) -> Any:
        """Return decoded data with every ``message`` and ``content`` in the wanted format.

        The nodes of a forwarded message are an array in every format; only their contents are converted.

        :raises OverBound: if they are over a bound.
        """
        if isinstance(data, list):
            return [self.nested(item) for item in data]
        if not isinstance(data, dict):
            return data
        converted: dict[str, Any] = {}
        changed = False
        for key, value in data.items():
            if isinstance(value, list) and _are_nodes(value):
                converted[key] = [self._node(node) for node in value]
            elif key in ("message", "content") and (isinstance(value, str) or is_message(value)):
                converted[key] = self.message(value)
                changed = changed or converted[key] is not value
            elif isinstance(value, (list, dict)):
                converted[key] = self.nested(value)
            else:
                converted[key] = value
        if changed and "message_format" in converted:
            converted["message_format"] = "array" if self._to_array else "string"
        return converted

    def _node(self, node: Any) -> Any:
        """Return a node with its content in the wanted format; anything else unchanged."""
        if not _is_segment(node):
            return node
        return {**node, "data": self.nested(node.get("data"))}


def _are_nodes(value: list[Any]) -> bool:
    """Return whether an array is one of nodes, at least one; what is no segment in it does not count."""
    segments = [part for part in value if _is_segment(part)]
    return bool(segments) and all(part["type"] == "node" for part in segments)


# -- actions, in the format that an implementation takes


class _SentMessages(msgspec.Struct):
    message: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    auto_escape: Raw | UnsetType = UNSET


_decode_sent_messages = msgspec.json.Decoder(_SentMessages).decode

#: The actions whose ``message`` is a message, or whose ``messages`` are nodes; the others are extensions.
SEND_ACTIONS = frozenset(
    {
        "send_msg",
        "send_private_msg",
        "send_group_msg",
        "send_forward_msg",
        "send_private_forward_msg",
        "send_group_forward_msg",
        "upload_forward_msg",
        "send_guild_channel_msg",
    }
)


def convert_params(params: bytes, wanted: MessageFormat) -> bytes:
    """Return the parameters of one of :data:`SEND_ACTIONS` with their messages in the wanted format.

    Nothing else of them changes, but for ``auto_escape``: it is false beside a message that was converted.
    The same bytes where nothing is to be converted, or a message cannot be; also where it is over a bound,
    which is counted.

    :param params: one JSON object.
    """
    if wanted is MessageFormat.AS_IS:
        return params
    try:
        return _convert_params(params, wanted)
    except OverBound:
        COUNTERS.unconverted += 1
        return params
    except BadRequest:  # it is no message: the implementation says so
        return params
    except DECODE_ERRORS as error:
        try:
            return _convert_hidden(_convert_params, params, wanted, error)
        except BadRequest:
            return params


def _convert_params(params: bytes, wanted: MessageFormat) -> bytes:
    """Return parameters with their messages in the wanted format; the same object if nothing changes.

    :raises ValueError: if they cannot be read; :class:`BadRequest` if a message is none, or over a bound.
    """
    head = _decode_sent_messages(params)
    message = b"" if head.message is UNSET else bytes(head.message)
    nodes = b"" if head.messages is UNSET else bytes(head.messages)
    escaped = head.auto_escape is not UNSET and _is_true(bytes(head.auto_escape))
    plain = message[:1] == b'"' and wanted is MessageFormat.STRING and not escaped
    if (not message or plain) and nodes[:1] not in (b"[", b"{"):
        return params
    _check_bounds(params)
    limit = len(message) + len(nodes) + MAX_GROWN
    conversion = _Conversion(wanted, limit)
    changed: dict[str, Raw] = {}
    if message and not plain:
        decoded = _decode(message)
        result = conversion.sent(decoded, escaped)
        if result is not decoded:
            changed["message"] = Raw(_encode_json(result))
            if head.auto_escape is not UNSET:
                changed["auto_escape"] = Raw(b"false")
    if nodes[:1] in (b"[", b"{"):
        decoded = _decode(nodes)
        result = conversion.sent_nodes(decoded)
        if result != decoded:
            changed["messages"] = Raw(msgspec.json.encode(result))
    if not changed:
        return params
    if sum(len(bytes(value)) for value in changed.values()) > limit:
        raise OverBound(f"the message would grow to more than {limit} bytes")
    return msgspec.json.encode({**_decode_raw_members(params), **changed})


def _is_true(raw: bytes) -> bool:
    """Return whether a JSON value is true, as :func:`read_boolean` reads it."""
    return len(raw) <= _MAX_BOOLEAN and bool(read_boolean(_decode(raw)))


#: Bytes that a boolean may have, as JSON.
_MAX_BOOLEAN = 64
