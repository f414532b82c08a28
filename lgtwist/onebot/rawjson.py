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

from lgtwist.onebot.bounds import MAX_BACKSLASHES, MAX_DECODED_VALUES, MAX_SURROGATES, has_too_many_values

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
#: An escape of an ASCII letter, which nobody needs.
_ESCAPED_LETTER = re.compile(rb"\\u00(?:[46][1-9a-fA-F]|[57][0-9aA])")
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


def decode_leniently(decode: Callable[[bytes | bytearray], _Head], text: bytes) -> _Head:
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


def mark_lone_surrogates(text: bytes) -> bytearray | None:
    """Return a text with the byte FF in place of the backslash of each lone surrogate escape.

    :param text: valid UTF-8.
    :returns: None if it has none.
    :raises ValueError: if it has more than ``MAX_SURROGATES`` escapes of code units from D000 on, or more
        than ``MAX_BACKSLASHES`` backslashes.
    """
    if len(text) > MAX_BACKSLASHES and text.count(b"\\") > MAX_BACKSLASHES:
        raise ValueError(f"more than {MAX_BACKSLASHES} backslashes, one of them perhaps of a lone surrogate")
    lone: list[int] = []
    at, seen = 0, 0
    lower, upper = text.find(b"\\ud"), text.find(b"\\uD")
    while lower >= 0 or upper >= 0:
        start = min(lower, upper) if lower >= 0 and upper >= 0 else max(lower, upper)
        seen += 1
        if seen > MAX_SURROGATES:
            raise ValueError(f"more than {MAX_SURROGATES} surrogate escapes, one of them perhaps alone")
        found = _SURROGATES.match(text, start)
        end = start + 3 if found is None else found.end()
        if start > at and text[start - 1] == 0x5C and _is_escaped(text, at, start):
            found, end = None, start + 3
        if found is not None and end - start == 6:
            lone.append(start)
        at = end
        if 0 <= lower < at:
            lower = text.find(b"\\ud", at)
        if 0 <= upper < at:
            upper = text.find(b"\\uD", at)
    if not lone:
        return None
    marked = bytearray(text)
    for start in lone:
        marked[start] = 0xFF
    return marked


#: An even number of backslashes.
_BACKSLASHES = b"\\" * 4096


def _is_escaped(text: bytes, begin: int, at: int) -> bool:
    """Return whether the backslash at an index is escaped: there is an odd number of them before it.

    :param begin: where counting ends: what stands before is no backslash, or another escape.
    """
    length = len(_BACKSLASHES)
    while at - length >= begin and text[at - length : at] == _BACKSLASHES:
        at -= length
    before = text[max(begin, at - length) : at]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def to_bytes(value: Raw) -> bytes:
    """Return the bytes of a raw value, without the marks of :func:`mark_lone_surrogates`."""
    return bytes(value).replace(_MARK, b"\\")


def member(text: bytes, name: str) -> bytes:
    """Return the value of a JSON object's top-level member, as it stands there; empty if it has none.

    :param text: valid UTF-8.
    :param name: of ASCII letters.
    :raises ValueError: if it is not one JSON object; ``RecursionError`` if it is nested too deeply.
    """
    return to_bytes(getattr(decode_leniently(_member_decoder(name), text), name))


def remove_key(text: bytes, name: str, value: bytes) -> bytes:
    """Return a JSON object without its top-level members called ``name``, and otherwise the same values.

    :param text: one JSON object, valid UTF-8.
    :param name: of ASCII letters.
    :param value: the last of their values, as it stands in ``text``: see :func:`member`.
    :raises ValueError: if it has more than ``MAX_DECODED_VALUES`` values, and the member is not easily found.
    """
    key = b'"%b"' % name.encode()
    starts = _find_keys(text, key)
    if len(starts) == 1 and not _ESCAPED_LETTER.search(text):  # no other key is written "\\u0065cho"
        end = _end_of_member(text, starts[0] + len(key), value)
        if end:
            return _cut_member(text, starts[0], end)
    if not has_too_many_values(text):
        return _remove_from_members(text, name)
    for start in (text.find(key), text.rfind(key)):
        end = _end_of_member(text, start + len(key), value)
        first = _skip_space(text, _skip_space(text, 0) + 1) == start
        if end and (first or _skip_space(text, _skip_space(text, end) + 1) == len(text)):
            return _cut_member(text, start, end)
    raise ValueError(f"more than {MAX_DECODED_VALUES} values, and {name} is not the first or the last member")


def _find_keys(text: bytes, key: bytes) -> list[int]:
    """Return where a string is a key in a JSON text, in any object, at most twice of 1000 occurrences."""
    starts: list[int] = []
    at = text.find(key)
    for _ in range(1_000):
        if at < 0 or len(starts) == 2:
            return starts
        behind = at + len(key)
        if text[(colon := _skip_space(text, behind)) : colon + 1] == b":":
            starts.append(at)
        at = text.find(key, behind)
    return [*starts, at]  # perhaps no key, but it is not known that there is only one


def _end_of_member(text: bytes, at: int, value: bytes) -> int:
    """Return the index behind a member, if it has that value; 0 if not.

    :param at: the index behind its key.
    """
    colon = _skip_space(text, at)
    start = _skip_space(text, colon + 1)
    end = start + len(value)
    behind = _skip_space(text, end)
    found = text[colon : colon + 1] == b":" and text.startswith(value, start)
    return end if found and text[behind : behind + 1] in (b",", b"}") else 0


def _cut_member(text: bytes, start: int, end: int) -> bytes:
    """Return a text without the member between two indices, its comma, and the white space behind that."""
    behind = _skip_space(text, end)
    if text[behind : behind + 1] == b",":
        return text[:start] + text[_skip_space(text, behind + 1) :]
    before = text[:start].rstrip(_SPACE)  # it is the last one: the comma before it is cut, if there is one
    return before.removesuffix(b",") + text[end:]


def _skip_space(text: bytes, at: int) -> int:
    """Return the index of the first byte from ``at`` on that is not white space."""
    if text[at : at + 1] not in (b" ", b"\t", b"\n", b"\r"):
        return at
    match = _BLANK.match(text, at)
    return match.end() if match else at


@lru_cache(8)
def _member_decoder(name: str) -> Callable[[bytes | bytearray], Any]:
    """Return a function that decodes a struct whose only member is a ``Raw`` called ``name``."""
    return msgspec.json.Decoder(msgspec.defstruct("_Member", [(name, Raw, Raw(b""))])).decode


def _remove_from_members(text: bytes, name: str) -> bytes:
    """Return a JSON object without its members called ``name``; white space and equal keys are dropped.

    :raises ValueError: if it cannot be read, or has more than ``MAX_DECODED_VALUES`` values.
    """
    if has_too_many_values(text):
        raise ValueError(f"more than {MAX_DECODED_VALUES} values, and a repeated or inner {name}")
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
