"""Reading the members of a JSON object without decoding their values.

Values stay the bytes that came. ``msgspec`` refuses lone surrogate escapes, which RFC 8259 allows:
:func:`decode_leniently` lets it skip them. All functions take a time that is proportional to the text, with
few steps of Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Raw

from lgtwist.onebot.bounds import MAX_SURROGATES, MAX_VALUES, has_too_many_values

_Head = TypeVar("_Head")

#: What decoding a peer's text may raise; any other exception is a mistake of ours.
DECODE_ERRORS = (ValueError, RecursionError, MemoryError)

_SPACE = b" \t\n\r"
_BLANK = re.compile(rb"[ \t\n\r]*")
_ECHO = re.compile(rb'"echo"[ \t\n\r]*:[ \t\n\r]*')
#: Bytes at each end of a malformed text that are searched for an ``echo``, and bytes that its value may have.
_ECHO_SEARCH_LENGTH = 65_536
_ECHO_LENGTH = 4_096
#: The escapes of a surrogate pair, or of one surrogate. The first backslash may be an escaped one.
_SURROGATES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
#: Stands for the backslash of a lone surrogate escape: UTF-8 has no such byte, and msgspec skips it.
_MARK = b"\xff"


class _Nothing(msgspec.Struct):
    """Any JSON object; its members are skipped."""


_decode_nothing = msgspec.json.Decoder(_Nothing).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


def is_object(text: bytes) -> bool:
    """Return whether a text is one JSON object that msgspec reads. Strings that it has are not checked."""
    try:
        _decode_nothing(text)
    except DECODE_ERRORS:
        return False
    return True


def check_object(text: bytes) -> None:
    """Check that a text is one JSON object, also with lone surrogate escapes.

    :param text: valid UTF-8.
    :raises ValueError: if it is not; ``RecursionError`` if it is nested too deeply.
    """
    decode_leniently(_decode_nothing, text)


def decode_leniently(decode: Callable[[bytes], _Head], text: bytes) -> _Head:
    """Decode a text, also one with lone surrogate escapes.

    :param decode: of a msgspec decoder of a struct, whose values are all ``Raw``. They must be read by
        :func:`to_bytes`.
    :param text: valid UTF-8.
    :raises ValueError: if it cannot be decoded; ``RecursionError`` if it is nested too deeply.
    """
    try:
        return decode(text)
    except msgspec.ValidationError:
        raise ValueError("not an object") from None
    except ValueError:
        marked = mark_lone_surrogates(text)
        if marked is None:
            raise
    try:
        return decode(marked)
    except msgspec.ValidationError:
        raise ValueError("not an object") from None


def mark_lone_surrogates(text: bytes) -> bytes | None:
    """Return a text with the byte FF in place of the backslash of each lone surrogate escape.

    :param text: valid UTF-8.
    :returns: None if it has none.
    :raises ValueError: if it has more than ``MAX_SURROGATES`` escapes of surrogates, lone or in pairs.
    """
    lone: list[int] = []
    at, seen = 0, 0
    while (found := _SURROGATES.search(text, at)) is not None:
        seen += 1
        if seen > MAX_SURROGATES:
            raise ValueError(f"more than {MAX_SURROGATES} surrogate escapes, one of them perhaps alone")
        start, end = found.span()
        if start > at and text[start - 1] == 0x5C:
            before = text[at:start]
            if (len(before) - len(before.rstrip(b"\\"))) % 2:  # the backslash itself is escaped
                at = start + 6
                continue
        if end - start == 6:
            lone.append(start)
        at = end
    if not lone:
        return None
    marked = bytearray(text)
    for start in lone:
        marked[start] = 0xFF
    return bytes(marked)


def to_bytes(value: Raw) -> bytes:
    """Return the bytes of a raw value, without the marks of :func:`mark_lone_surrogates`."""
    return bytes(value).replace(_MARK, b"\\")


def remove_key(text: bytes, name: str) -> bytes:
    """Return a JSON object without its top-level members called ``name``, and otherwise the same values.

    :param text: one JSON object, valid UTF-8.
    :param name: of ASCII letters.
    :raises ValueError: if ``text`` is not one JSON object, or if it has more than ``MAX_VALUES`` values and
        the member is not easily found; ``RecursionError`` if it is nested too deeply.
    """
    key = b'"%b"' % name.encode()
    decode = _member_decoder(name)
    value = to_bytes(getattr(decode_leniently(decode, text), name))
    if not value:
        return text
    if text.count(key) == 1:
        remaining = cut_member(text, text.index(key), key, value)
        # It may have been a member of an inner object, while the key of ours is written with escapes.
        if remaining is not None and not bytes(getattr(decode_leniently(decode, remaining), name)):
            return remaining
    return _remove_from_members(text, name)


@lru_cache(8)
def _member_decoder(name: str) -> Callable[[bytes], Any]:
    """Return a function that decodes a struct whose only member is a ``Raw`` called ``name``."""
    return msgspec.json.Decoder(msgspec.defstruct("_Member", [(name, Raw, Raw(b""))])).decode


def cut_member(text: bytes, start: int, key: bytes, value: bytes) -> bytes | None:
    """Return a text without the member that begins at ``start``, with its comma and white space around it.

    :param text: valid JSON.
    :param key: the member's key, in quotes.
    :param value: its value.
    :returns: None if there is no such member.
    """
    at = _skip_space(text, start + len(key))
    if text[at : at + 1] != b":":
        return None
    at = _skip_space(text, at + 1)
    end = at + len(value)
    if not text.startswith(value, at):
        return None
    at = _skip_space(text, end)
    if text[at : at + 1] == b",":
        if _before(text, start) not in b"{,":
            return None
        return text[:start] + text[_skip_space(text, at + 1) :]
    if text[at : at + 1] != b"}":
        return None
    if (before := _before(text, start)) == b",":
        while text[start - 1 : start] != b",":
            start -= 1
        return text[: start - 1] + text[end:]
    return text[:start] + text[end:] if before == b"{" else None


def _skip_space(text: bytes, at: int) -> int:
    """Return the index of the first byte from ``at`` on that is not white space."""
    if text[at : at + 1] not in (b" ", b"\t", b"\n", b"\r"):
        return at
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _before(text: bytes, at: int) -> bytes:
    """Return the last byte before ``at`` that is not white space; empty if there is none."""
    if text[at - 1 : at] not in (b" ", b"\t", b"\n", b"\r"):
        return text[at - 1 : at]
    return text[:at].rstrip(_SPACE)[-1:]


def _remove_from_members(text: bytes, name: str) -> bytes:
    """Return a JSON object without its members called ``name``; white space and equal keys are dropped.

    :raises ValueError: if it cannot be read, or has more than ``MAX_VALUES`` values.
    """
    if has_too_many_values(text):
        raise ValueError(f"more than {MAX_VALUES} values, and a repeated or inner {name}")
    mark = b""
    try:
        members = _decode_members(text)
    except ValueError:
        marked = mark_lone_surrogates(text)
        free = (chr(code).encode() for code in range(0xFDD0, 0xFDF0))  # characters that nobody sends
        mark = next((one for one in free if one not in text), b"")
        if marked is None or not mark:
            raise
        members = _decode_members(marked.replace(_MARK, mark))  # keys must be UTF-8
    members.pop(name, None)
    encoded = msgspec.json.encode(members)
    return encoded.replace(mark, b"\\") if mark else encoded


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Numbers are checked but not converted: int() of 5,000 digits raises, and the value is not needed.
_checker: Any = json.JSONDecoder(
    parse_int=lambda _digits: 0, parse_float=lambda _digits: 0.0, parse_constant=_reject_constant
)


def find_echo(payload: bytes) -> bytes | None:
    """Return the JSON value of ``echo`` in a text that is not JSON as a whole, or None.

    The last ``"echo":`` with a whole JSON value of at most 4096 bytes behind it counts. Of a long text only
    both ends are searched. The value is valid JSON in UTF-8.
    """
    length = _ECHO_SEARCH_LENGTH
    parts = [payload] if len(payload) <= 2 * length else [payload[-length:], payload[:length]]
    for part in parts:
        for match in reversed(list(_ECHO.finditer(part))[-16:]):
            text = part[match.end() : match.end() + _ECHO_LENGTH].decode("utf-8", "replace")
            try:
                end = _checker.scan_once(text, 0)[1]
            except (StopIteration, *DECODE_ERRORS):
                continue
            value = text[:end]
            cut_off = end == len(text) and match.end() + _ECHO_LENGTH < len(part)  # of a number
            if "\ufffd" not in value and not cut_off:
                return value.encode()
    return None


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
