"""Bounds of what one action may bring into a world, and of what one answer may take out of it. Pure.

Each bound is checked before a loop of ours depends on it; a refusal is a :class:`BadRequest` that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import Segment
from lgtwist.onebot.params import MAX_VALUES

#: Levels of arrays and objects in a message that is kept. JSON may have about 1000; a history or an event
#: has some around it.
MAX_DEPTH = 32
#: Characters of a message that are escaped in a string with CQ codes, each time it is nested once more.
MAX_ESCAPES = 200_000
#: Characters that a forwarded message may have, with those of the messages that it names.
MAX_FORWARD = 32 << 20
#: Bytes of messages, as they are in memory, that one answer may have; one message is always in it.
MAX_ANSWER = 8 << 20
#: Bytes from which on a message is large: encoded in a thread, or part by part.
LARGE = 1 << 20
#: Bytes from which on parameters are read in a thread.
LARGE_PARAMS = 1 << 17

#: Characters of a string that are encoded at once.
_ENCODED_AT_ONCE = 1 << 20
#: Bytes that each value beyond a text segment is counted as, for Python's objects.
_VALUE_BYTES = 200


class CheckedMessage(list[Segment]):
    """A message that :func:`check_message` has accepted, with what was made of it.

    :ivar raw_message: the string with CQ codes; None where it was not made yet, empty for the nodes of a
        forwarded message.
    """

    def __init__(self, message: Iterable[Segment], raw_message: str | None = None) -> None:
        super().__init__(message)
        self.raw_message = raw_message


def check_message(message: list[Segment], path: str, longest: int | None = None) -> None:
    """Check that a message can be kept, and read again by everybody.

    :param path: the parameter's name, for the error.
    :param longest: characters that the strings of a forwarded message may have together; None for a message
        of which a string with CQ codes is made.
    :raises BadRequest: if it is nested too deeply, has too many values or characters, or too many that are
        escaped.
    """
    values = characters = 0
    deep: list[tuple[str, int]] = []
    waiting: list[tuple[Any, int]] = [(message, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            characters += len(value)
            deep.append((value, max(1, depth // 3)))  # a segment's data is at 3, its content's data at 6
            continue
        if not isinstance(value, (list, dict)):
            continue
        if depth > MAX_DEPTH:
            raise BadRequest(f"{path}: nested deeper than {MAX_DEPTH} levels")
        values += len(value)
        if values > MAX_VALUES:
            raise BadRequest(f"{path}: more than {MAX_VALUES} values")
        if isinstance(value, dict):
            waiting += [(key, depth) for key in value]
            value = value.values()
        waiting += [(item, depth + 1) for item in value]
    if longest is not None:
        if characters > longest:
            raise BadRequest(f"{path}: more than {longest} characters")
    elif characters * max((times for _text, times in deep), default=0) > MAX_ESCAPES:
        escaped = sum(times * sum(map(text.count, "&[],")) for text, times in deep)
        if escaped > MAX_ESCAPES:
            raise BadRequest(f"{path}: more than {MAX_ESCAPES} characters to be escaped")


def is_too_deep(message: list[Segment]) -> bool:
    """Return whether a message is nested deeper than :data:`MAX_DEPTH` levels."""
    level: list[Any] = [message]
    for _depth in range(MAX_DEPTH):
        level = [
            item
            for value in level
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, (list, dict))
        ]
        if not level:
            return False
    return True


def memory_of(message: list[Segment], raw_message: str = "") -> int:
    """Return about how many bytes a message takes in memory.

    :param raw_message: its string with CQ codes; of a plain text the same object as that in the segment.
    """
    total, values = _bytes_of(raw_message), -4
    waiting: list[Any] = [message]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            total += 0 if value is raw_message or len(value) < 64 else _bytes_of(value)
        elif isinstance(value, (list, dict)):
            values += len(value)
            waiting += value.values() if isinstance(value, dict) else value
    return total + _VALUE_BYTES * max(0, values)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else sys.getsizeof(text)


def json_parts(value: Any) -> Iterator[bytes]:
    """Yield a value's JSON in parts; to encode one of them takes a few ms at most."""
    if isinstance(value, dict) and value:
        yield b"{"
        for number, (key, member) in enumerate(value.items()):
            yield (b"," if number else b"") + msgspec.json.encode(key) + b":"
            yield from json_parts(member)
        yield b"}"
    elif isinstance(value, list) and value:
        yield b"["
        for number, item in enumerate(value):
            if number:
                yield b","
            yield from json_parts(item)
        yield b"]"
    elif isinstance(value, str) and len(value) > _ENCODED_AT_ONCE:
        yield b'"'
        for start in range(0, len(value), _ENCODED_AT_ONCE):
            yield msgspec.json.encode(value[start : start + _ENCODED_AT_ONCE])[1:-1]
        yield b'"'
    else:
        yield msgspec.json.encode(value)
