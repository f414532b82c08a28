"""Messages as a platform keeps them: values are strings, texts have a text, nodes have a content. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from lgtwist.onebot.bounds import MAX_MESSAGE_DEPTH
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import MessageReader, Segment, read_message
from lgtwist.onebot.values import is_given, read_integer, read_text
from lgtwist.sandbox.bounds import MAX_FORWARD, CheckedMessage, check_message

#: The value without which a segment of a type cannot be sent (``message/segment.md``).
_REQUIRED_VALUES = {"text": "text", "at": "qq", "face": "id", "forward": "id", "json": "data", "xml": "data"}
#: Segment type and key of values that stay JSON objects.
_OBJECT_VALUES = {("keyboard", "content"), ("markdown", "keyboard")}


def is_forward(message: list[Segment]) -> bool:
    """Return whether a message consists of nodes: it is sent as one forwarded message."""
    return bool(message) and message[0]["type"] == "node"


def read_sent_message(value: Any, path: str, auto_escape: bool = False) -> CheckedMessage:
    """Return a message that a bot or a person sends; empty texts in it are left out.

    :param value: the decoded JSON value: see :func:`read_message`.
    :param path: the parameter's name, for errors.
    :returns: its segments, with strings as values.
    :raises BadRequest: if it is not a message, cannot be kept (see :func:`check_message`), or has a segment
        that no platform can send.
    """
    message = read_message(value, path, auto_escape)
    if any(segment["type"] == "node" for segment in message):
        return read_nodes(message, path)
    check_message(message, path)
    return CheckedMessage(as_sent(message, path))


def as_sent(message: list[Segment], path: str) -> list[Segment]:
    """Return the segments of a message with strings as values, without null values and empty texts.

    :param path: the parameter's name, for errors.
    :raises BadRequest: if a segment lacks the value without which it cannot be sent.
    """
    sent: list[Segment] = []
    for number, segment in enumerate(message):
        kind, data = segment["type"], segment["data"]
        if not all(type(value) is str for value in data.values()):
            data = {
                key: _as_string(kind, key, value, f"{path}[{number}].data.{key}")
                for key, value in data.items()
                if value is not None
            }
            segment = {"type": kind, "data": data}
        required = _REQUIRED_VALUES.get(kind)
        if required is not None and not data.get(required):
            if required not in data:
                raise BadRequest(f"{path}[{number}].data.{required} is missing")
            if kind == "text":
                continue
            raise BadRequest(f"{path}[{number}].data.{required}: it is empty")
        if kind == "reply" and not (data.get("id") or data.get("text")):  # go-cqhttp's own reply has a text
            raise BadRequest(f"{path}[{number}].data.id is missing")
        sent.append(segment)
    return sent


def _as_string(kind: str, key: str, value: Any, path: str) -> Any:
    """Return a segment's value as the string that it is on the platform."""
    if isinstance(value, str) or (kind, key) in _OBJECT_VALUES:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    text = read_text(value)
    if text is not None:
        return text
    if kind == key == "text":
        raise BadRequest(f"{path}: expected a string")
    return msgspec.json.encode(value).decode()


def read_nodes(value: Any, path: str) -> CheckedMessage:
    """Return the nodes of a forwarded message, at least one, as they can be kept.

    The content of each is an array of segments, or of nodes. A node that names a message by its ``id`` has
    no content. ``time`` is a string of digits where it is given: seconds since the epoch.

    :param value: the decoded JSON value: an array of nodes, one node, or a string with CQ codes.
    :param path: the parameter's name, for errors.
    :raises BadRequest: if these are no nodes, one of them is empty, or they cannot be kept.
    """
    reader = MessageReader()  # its bounds count for the contents of all nodes
    nodes = reader.read(value, path)
    if not nodes:
        raise BadRequest(f"{path}: there is no node")
    check_message(nodes, path, MAX_FORWARD)
    nodes = _read_nodes(reader, nodes, path, 1)
    check_message(nodes, path, MAX_FORWARD)
    return CheckedMessage(nodes, "")


def _read_nodes(reader: MessageReader, nodes: list[Segment], path: str, depth: int) -> list[Segment]:
    """Return nodes with their contents read.

    :param depth: how many forwarded messages they are inside of, with their own.
    """
    if depth > MAX_MESSAGE_DEPTH:
        raise BadRequest(f"{path}: nodes nested deeper than {MAX_MESSAGE_DEPTH} levels")
    read: list[Segment] = []
    for number, node in enumerate(nodes):
        where = f"{path}[{number}]"
        if node["type"] != "node":
            raise BadRequest(f"{where}: expected a node; nodes cannot stand beside other segments")
        data = {key: member for key, member in node["data"].items() if member is not None}
        if is_given(data.get("time")):
            time = read_integer(data["time"])
            if time is None or time < 0:
                raise BadRequest(f"{where}.data.time: expected seconds since the epoch")
            data["time"] = str(time)
        else:
            data.pop("time", None)
        content = data.pop("content", None)
        if is_given(content) or not is_given(data.get("id")):
            data["content"] = _read_content(reader, content, f"{where}.data.content", depth)
        read.append({"type": "node", "data": data})
    return read


def _read_content(reader: MessageReader, content: Any, path: str, depth: int) -> list[Segment]:
    """Return the content of a node: segments or nodes, at least one."""
    if content is None:
        raise BadRequest(f"{path} is missing")
    message = reader.read(content, path)
    if any(segment["type"] == "node" for segment in message):
        return _read_nodes(reader, message, path, depth + 1)
    message = as_sent(message, path)
    if not message:
        raise BadRequest(f"{path}: it is empty")
    return message
