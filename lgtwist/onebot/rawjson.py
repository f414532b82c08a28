"""Reading the members of a JSON object without decoding their values.

Values stay the bytes that came. All functions take a time that is proportional to the text, with few steps
of Python.

What is forgiven, once msgspec has refused a text:

* lone surrogate escapes (of U+D83D, say), which RFC 8259, 8.2, allows. They are passed on as they came: see
  :func:`decode_leniently`, and :func:`hide_surrogates` for what is decoded and encoded again. What lgtwist
  reads for itself has U+FFFD in their place: :func:`decode_value`;
* numbers that Python or C cannot hold (5000 digits, ``1e400``), which are JSON too:
  :func:`decode_value`, :func:`decode_long_numbers`;
* a byte order mark at the beginning, control characters in strings and, from implementations,
  ``NaN`` and ``Infinity``. They are no JSON, and not passed on: :func:`repair` makes JSON of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Raw

from lgtwist.onebot.bounds import (
    MAX_BACKSLASHES,
    MAX_DECODED_VALUES,
    MAX_REPAIRS,
    MAX_SURROGATES,
    has_too_many_values,
)

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


#: The same, with the code unit behind it.
_MARKED = re.compile(rb"\xffu[0-9a-fA-F]{4}")
_REPLACEMENT = "\ufffd".encode()
_BOM = b"\xef\xbb\xbf"
_CONTROLS = bytes(range(0x20))
_CONTROL = re.compile(rb"[\x00-\x1f]")
_CONTROL_ESCAPES = [msgspec.json.encode(chr(code))[1:-1] for code in range(0x20)]
#: Values that no JSON text has, and that Python and others write and read (ECMA-262: their names).
_CONSTANT = re.compile(rb"-?(?:NaN|Infinity)")


class _Nothing(msgspec.Struct):
    """Any JSON object; its members are skipped."""


_decode_nothing = msgspec.json.Decoder(_Nothing).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


def check_object(text: bytes) -> None:
    """Check that a text is one JSON object, also with lone surrogate escapes.

    :param text: valid UTF-8.
    :raises ValueError: if it is not; ``RecursionError`` if it is nested too deeply.
    """
    decode_leniently(_decode_nothing, text)


def decode_leniently(decode: Callable[[bytes | bytearray], _Head], text: bytes) -> _Head:
    """Decode a text, also one with lone surrogate escapes.

    What is no JSON is refused: see :func:`repair`.

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


def hide_surrogates(text: bytes) -> tuple[bytes, bytes]:
    """Return a text that msgspec decodes and encodes, and what stands in it for a lone surrogate's backslash.

    Once that is encoded again, replace the second by a backslash.

    :param text: valid UTF-8.
    :raises ValueError: if it has no lone surrogates, too many (see :func:`mark_lone_surrogates`), or all of
        the characters that could stand for them.
    """
    marked = mark_lone_surrogates(text)
    free = (chr(code).encode() for code in range(0xFDD0, 0xFDF0))  # characters that nobody sends
    mark = next((one for one in free if one not in text), b"")
    if marked is None or not mark:
        raise ValueError("it has no lone surrogate, or every character that could stand for one")
    return bytes(marked.replace(_MARK, mark)), mark


def repair(text: bytes, constants: bool = True) -> bytes:
    """Return a text with JSON in place of what JSON forbids and programs write all the same.

    A byte order mark at the beginning is removed. Control characters in strings become their escapes,
    ``NaN``, ``Infinity`` and ``-Infinity`` become null. Whether the rest is JSON is not checked.

    :param text: valid UTF-8.
    :param constants: whether ``NaN`` and the infinities are replaced.
    :returns: the same object if there is nothing of these.
    :raises ValueError: if it has more than ``MAX_REPAIRS`` control characters in strings, more than
        ``MAX_BACKSLASHES`` backslashes, or about ``MAX_DECODED_VALUES`` strings.
    """
    if text.startswith(_BOM):
        text = text[len(_BOM) :]
    constants = constants and (b"NaN" in text or b"Infinity" in text)
    if not constants and len(text.translate(None, _CONTROLS)) == len(text):
        return text
    if text.count(b"\\") > MAX_BACKSLASHES:
        raise ValueError(f"more than {MAX_BACKSLASHES} backslashes, and what is not JSON")
    if text.count(b'"') > 4 * MAX_DECODED_VALUES:
        raise ValueError(f"more than {4 * MAX_DECODED_VALUES} quotation marks, and what is not JSON")
    # Every second part between quotation marks is a string.
    parts = text.replace(b"\\\\", b"__").replace(b'\\"', b"__").split(b'"')
    repairs = at = 0
    changed = False
    for number, part in enumerate(parts):
        end = at + len(part)
        parts[number] = piece = text[at:end]
        at = end + 1
        if number % 2 == 0:
            if constants and (b"N" in piece or b"I" in piece):
                parts[number], count = _CONSTANT.subn(b"null", piece)
                changed = changed or count > 0
        elif controls := len(piece) - len(piece.translate(None, _CONTROLS)):
            changed = True
            repairs += controls
            if repairs > MAX_REPAIRS:
                raise ValueError(f"more than {MAX_REPAIRS} control characters in strings")
            parts[number] = _CONTROL.sub(lambda found: _CONTROL_ESCAPES[found[0][0]], piece)
    return b'"'.join(parts) if changed else text


def decode_value(text: bytes) -> Any:
    """Decode a JSON value that lgtwist reads for itself, and does not pass on.

    Lone surrogates become U+FFFD, and numbers that are too large become strings.

    :param text: valid UTF-8; the caller bounds its values.
    :raises ValueError: if it is no JSON; ``RecursionError`` if it is nested too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except ValueError as error:
        if not isinstance(error, msgspec.ValidationError):
            text = replace_surrogates(repair(text))
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError:  # a large number; what stands behind it was not looked at
        return decode_long_numbers(replace_surrogates(text), str)


def replace_surrogates(text: bytes) -> bytes:
    """Return a JSON text with U+FFFD in place of lone surrogate escapes.

    :param text: valid UTF-8.
    :raises ValueError: see :func:`mark_lone_surrogates`.
    """
    marked = mark_lone_surrogates(text)
    return text if marked is None else _MARKED.sub(_REPLACEMENT, marked)


#: Digits of a whole number that every Python converts.
_CONVERTED_DIGITS = 4_000


def decode_long_numbers(text: bytes, make: Callable[[str], Any]) -> Any:
    """Decode JSON with numbers that Python or C cannot hold, such as those of 5000 digits.

    :param text: valid UTF-8, with at most ``MAX_DECODED_VALUES`` values.
    :param make: makes a value of such a number, as it stands in the text.
    :raises ValueError: if it is no JSON, or has more values; ``RecursionError`` if it is nested too deeply.
    """
    if has_too_many_values(text):
        raise ValueError(f"more than {MAX_DECODED_VALUES} values, and a number that is too large")

    def read_whole(digits: str) -> Any:
        return int(digits) if len(digits) <= _CONVERTED_DIGITS else make(digits)

    def read_fraction(digits: str) -> Any:
        value = float(digits)
        return make(digits) if value in (math.inf, -math.inf) else value

    decoder = json.JSONDecoder(
        parse_int=read_whole, parse_float=read_fraction, parse_constant=_reject_constant
    )
    return decoder.decode(text.decode())


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
        hidden, mark = hide_surrogates(text)  # keys must be UTF-8
        members = _decode_members(hidden)
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
