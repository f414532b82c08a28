"""Reading the members of a JSON object without decoding their values.

Values stay the bytes that came. :func:`read_members` is slow and lenient: it is used after ``msgspec``
has refused a text, since it accepts what RFC 8259 allows beside (lone surrogate escapes).
:func:`find_echo` finds the ``echo`` even in a text that is not JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn

import msgspec

#: What decoding a peer's text may raise; any other exception is a mistake of ours.
DECODE_ERRORS = (ValueError, RecursionError, MemoryError)

_SPACE = re.compile(r"[ \t\n\r]*")
_ECHO = re.compile(r'"echo"[ \t\n\r]*:[ \t\n\r]*')
#: Characters at each end of a malformed text that are searched for an ``echo``.
_ECHO_SEARCH_LENGTH = 65_536


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Numbers are checked but not converted: int() of 5,000 digits raises, and the value is not needed.
_checker: Any = json.JSONDecoder(
    parse_int=lambda _digits: 0, parse_float=lambda _digits: 0.0, parse_constant=_reject_constant
)


def _value_end(text: str, start: int) -> int:
    """Return the index behind the JSON value at ``start``.

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
    """Yield the members of a JSON object: key, index of the key, index of the value, index behind the value.

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
    """Return the members of a JSON object, each value as its JSON text; the last of equal keys counts.

    :raises ValueError: if ``text`` is not one JSON object; ``RecursionError`` if nested too deeply.
    """
    return {key: text[start:end] for key, _key_start, start, end in _spans(text)}


def remove_key(text: str, name: str) -> str:
    """Return a JSON object without its top-level members called ``name``, and otherwise unchanged.

    :raises ValueError: if ``text`` is not one JSON object; ``RecursionError`` if nested too deeply.
    """
    remaining: list[str] = []
    spans = list(_spans(text))
    for number, (key, key_start, _start, end) in enumerate(spans):
        if key != name:
            # A member's text includes the white space and the comma behind it.
            next_start = spans[number + 1][1] if number + 1 < len(spans) else end
            remaining.append(text[key_start:next_start])
    if len(remaining) == len(spans):
        return text
    first, last = spans[0][1], spans[-1][3]
    if spans[-1][0] == name and remaining:
        remaining[-1] = remaining[-1].rstrip(" \t\n\r").removesuffix(",")
    return text[:first] + "".join(remaining) + text[last:]


def find_echo(payload: bytes) -> bytes | None:
    """Return the JSON value of ``echo`` in a text that is not JSON as a whole, or None.

    The last ``"echo":`` with a whole JSON value behind it counts. Of a long text only both ends are
    searched. The value is valid JSON in UTF-8.
    """
    text = payload.decode("utf-8", "replace")
    length = _ECHO_SEARCH_LENGTH
    parts = [text] if len(text) <= 2 * length else [text[-length:], text[:length]]
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
    """Return the bytes of a raw value, which is ``Raw`` from msgspec and text from :func:`read_members`."""
    return value.encode() if isinstance(value, str) else bytes(value)


def encode_string(text: str) -> bytes:
    """Return ``text`` as a JSON string."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:  # a lone surrogate, which only an ASCII escape can represent
        return json.dumps(text).encode()


def read_string(value: bytes | str) -> str:
    """Return the text of a JSON string; empty if ``value`` is another JSON value."""
    if value[:1] not in (b'"', '"'):
        return ""
    try:
        return msgspec.json.decode(value, type=str)
    except DECODE_ERRORS:  # a lone surrogate
        return str(json.loads(value))
