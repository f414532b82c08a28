"""Reading the top level of a JSON object without decoding what is inside it.

Values stay the bytes that came. :func:`members` is the slow, forgiving reader behind the fast
``msgspec`` structs of this package: it takes what ``msgspec`` refuses but RFC 8259 allows (lone
surrogate escapes), and from text that is broken it still brings out the ``echo``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn

import msgspec

#: What a decoder may raise for a text a peer has made; nothing else is theirs.
DECODE_ERRORS = (ValueError, RecursionError, MemoryError)

_SPACE = re.compile(r"[ \t\n\r]*")
_ECHO = re.compile(r'"echo"[ \t\n\r]*:[ \t\n\r]*')
#: An echo that is looked for in broken text is only looked for this far from either end (characters).
_ECHO_SEARCH_LENGTH = 65_536


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Numbers are only checked: int() of 5,000 digits raises, and nobody wants the value.
_checker: Any = json.JSONDecoder(
    parse_int=lambda _digits: 0, parse_float=lambda _digits: 0.0, parse_constant=_reject_constant
)


def _value_end(text: str, start: int) -> int:
    """The index behind the JSON value at ``start``.

    :raises ValueError: if there is no value; ``RecursionError`` if it is nested too deeply.
    """
    try:
        return int(_checker.scan_once(text, start)[1])
    except StopIteration as stop:
        raise ValueError(f"expected a value at character {start}") from stop


def _skip_space(text: str, index: int) -> int:
    match = _SPACE.match(text, index)
    return match.end() if match else index


def _spans(text: str) -> Iterator[tuple[str, int, int, int]]:
    """The members of the JSON object ``text``: the key, where it begins, and its value's two ends.

    :raises ValueError: if ``text`` is not one JSON object; ``RecursionError`` if nested too deeply.
    """
    index = _skip_space(text, 0)
    if text[index : index + 1] != "{":
        raise ValueError("not an object")
    index = _skip_space(text, index + 1)
    if text[index : index + 1] == "}":
        index += 1
    else:
        while True:
            if text[index : index + 1] != '"':
                raise ValueError(f"expected a key at character {index}")
            key_start = index
            key, index = scanstring(text, index + 1, True)
            index = _skip_space(text, index)
            if text[index : index + 1] != ":":
                raise ValueError(f"expected ':' at character {index}")
            index = _skip_space(text, index + 1)
            end = _value_end(text, index)
            yield key, key_start, index, end
            index = _skip_space(text, end)
            separator = text[index : index + 1]
            index += 1
            if separator == "}":
                break
            if separator != ",":
                raise ValueError(f"expected ',' or '}}' at character {index - 1}")
            index = _skip_space(text, index)
    if _skip_space(text, index) != len(text):
        raise ValueError("characters behind the object")


def read_members(text: str) -> dict[str, str]:
    """The members of the JSON object ``text``, values as their own text; of equal keys the last counts.

    :raises ValueError: if ``text`` is not one JSON object; ``RecursionError`` if nested too deeply.
    """
    return {key: text[start:end] for key, _key_start, start, end in _spans(text)}


def remove_member(text: str, name: str) -> str:
    """The JSON object ``text`` without its members called ``name``; all else stays as it is.

    :raises ValueError: if ``text`` is not one JSON object; ``RecursionError`` if nested too deeply.
    """
    remaining: list[str] = []
    spans = list(_spans(text))
    for number, (key, key_start, _start, end) in enumerate(spans):
        if key != name:
            # A member keeps the white space behind it and what separates it from the next one.
            next_start = spans[number + 1][1] if number + 1 < len(spans) else end
            remaining.append(text[key_start:next_start])
    if len(remaining) == len(spans):
        return text
    first, last = spans[0][1], spans[-1][3]
    if spans[-1][0] == name and remaining:
        remaining[-1] = remaining[-1].rstrip(" \t\n\r").removesuffix(",")
    return text[:first] + "".join(remaining) + text[last:]


def find_echo(payload: bytes) -> bytes | None:
    """The value of ``echo`` in a text that could not be read as a whole, or None.

    The last ``"echo":`` with a whole JSON value behind it counts; only the two ends of a long text are
    searched. The answer is valid UTF-8 and valid JSON.
    """
    text = payload.decode("utf-8", "replace")
    parts = (
        [text]
        if len(text) <= 2 * _ECHO_SEARCH_LENGTH
        else [text[-_ECHO_SEARCH_LENGTH:], text[:_ECHO_SEARCH_LENGTH]]
    )
    for part in parts:
        for match in reversed(list(_ECHO.finditer(part))[-16:]):
            try:
                end = _value_end(part, match.end())
            except DECODE_ERRORS:
                continue
            value = part[match.end() : end]
            if "\ufffd" not in value:
                return value.encode()
    return None


def to_bytes(value: msgspec.Raw | str) -> bytes:
    """The bytes of a raw value, however it was read."""
    return value.encode() if isinstance(value, str) else bytes(value)


def encode_string(text: str) -> bytes:
    """``text`` as a JSON string."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:  # a lone surrogate: only ASCII can say it
        return json.dumps(text).encode()


def read_string(value: bytes | str) -> str:
    """The JSON string in ``value``; empty if it is something else."""
    if value[:1] not in (b'"', '"'):
        return ""
    try:
        return msgspec.json.decode(value, type=str)
    except DECODE_ERRORS:  # a lone surrogate
        return str(json.loads(value))
