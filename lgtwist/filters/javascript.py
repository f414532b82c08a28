"""How JavaScript compares and converts JSON values (ECMA-262, 7.1 and 7.2).

Whole numbers are compared exactly: JavaScript rounds those above 2**53.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from lgtwist.filters.subject import MISSING

#: What ECMA-262 calls white space and line terminators.
_WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_OTHER_BASES = {"0x": 16, "0o": 8, "0b": 2}
_BASED = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+")
#: Digits of a text that become a whole number exactly in JavaScript too.
_EXACT_DIGITS = 15


def is_nothing(value: Any) -> bool:
    """Return whether a value is null or undefined, which is :data:`~lgtwist.filters.subject.MISSING`."""
    return value is None or value is MISSING


def is_number(value: Any) -> bool:
    """Return whether a value is a number; true and false are none."""
    return type(value) is int or type(value) is float


def is_truthy(value: Any) -> bool:
    """Return what ``Boolean(value)`` is: empty arrays and objects are true."""
    return isinstance(value, (list, dict)) or bool(value)


def type_of(value: Any) -> str:
    """Return what ``typeof`` is, with null for undefined."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "object"


def are_equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal for sift: the same types, all the way down; null equals undefined.

    As in sift, an object with a member that is null equals one that has another member in its place.
    """
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)
            and all(are_equal(a, b) for a, b in zip(one, other, strict=True))
        )
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and len(one) == len(other)
            and all(are_equal(value, other.get(key, MISSING)) for key, value in one.items())
        )
    if is_nothing(one):
        return is_nothing(other)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def equality_with(value: Any) -> Callable[[Any], bool]:
    """Return a function that tells whether its argument equals a value."""
    if is_nothing(value):
        return is_nothing
    if isinstance(value, bool):
        return lambda other: other is value
    if isinstance(value, str):
        return lambda other: other == value
    if isinstance(value, (int, float)):
        return lambda other: other == value and type(other) is not bool
    return lambda other: are_equal(value, other)


def membership_in(values: list[Any]) -> Callable[[Any], bool]:
    """Return a function that tells whether its argument equals one of some values."""
    texts = frozenset(value for value in values if isinstance(value, str))
    numbers = frozenset(value for value in values if is_number(value))
    if len(texts) == len(values):
        return lambda other: type(other) is str and other in texts
    if len(numbers) == len(values):
        return lambda other: (type(other) is int or type(other) is float) and other in numbers
    rest = [equality_with(v) for v in values if not isinstance(v, str) and not is_number(v)]

    def is_in(other: Any) -> bool:
        if type(other) is str:
            return other in texts
        if type(other) is int or type(other) is float:
            return other in numbers
        return any(test(other) for test in rest)

    return is_in


def is_less(one: Any, other: Any, *, or_equal: bool) -> bool:
    """Return what ``one < other`` is, or ``one <= other``."""
    a, b = _to_primitive(one), _to_primitive(other)
    if isinstance(a, str) and isinstance(b, str):
        if not (a.isascii() or b.isascii()):  # UTF-16 code units have another order than code points
            a, b = (text.encode("utf-16-be", "surrogatepass") for text in (a, b))
        return bool(a <= b if or_equal else a < b)
    a, b = to_number(a), to_number(b)
    return bool(a <= b if or_equal else a < b)


def _to_primitive(value: Any) -> Any:
    return to_text(value) if isinstance(value, (list, dict)) else value


def to_text(value: Any) -> str:
    """Return what ``String(value)`` is."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join("" if is_nothing(part) else to_text(part) for part in value)
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _number_to_text(value)
    return "undefined" if value is MISSING else "null"


def _number_to_text(value: int | float) -> str:
    if isinstance(value, int):
        if abs(value) <= 2**53:
            return str(value)
        try:
            value = float(value)
        except OverflowError:
            value = math.inf if value > 0 else -math.inf
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value.is_integer() and abs(value) < 1e21:
        return str(int(Decimal(repr(value))))  # the shortest digits, then zeros
    if 1e-7 <= abs(value) < 1e-4:
        return format(Decimal(repr(value)), "f")
    return re.sub(r"e-0+", "e-", repr(value))


def to_number(value: Any) -> int | float:
    """Return what ``Number(value)`` is."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (str, list, dict)):
        return _text_to_number(to_text(value))
    return math.nan if value is MISSING else 0


def _text_to_number(text: str) -> int | float:
    text = text.strip(_WHITE_SPACE)
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) <= _EXACT_DIGITS:
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _BASED.fullmatch(text):
        try:
            return float(int(text, _OTHER_BASES[text[:2].lower()]))
        except OverflowError:
            return math.inf
    return {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}.get(text, math.nan)


def remainder(one: Any, other: Any) -> int | float:
    """Return what ``one % other`` is; its sign is that of ``one``."""
    a, b = to_number(one), to_number(other)
    if isinstance(a, int) and isinstance(b, int):
        return math.nan if b == 0 else abs(a) % abs(b) * (-1 if a < 0 else 1)
    try:
        return math.fmod(a, b)
    except (ValueError, OverflowError):  # by 0, or of an infinity
        return math.nan


@lru_cache(256)
def is_index_like(key: str) -> bool:
    """Return whether a key of a path is a number, as ``Number(key)`` reads it."""
    return not math.isnan(_text_to_number(key))


@lru_cache(256)
def _index_of(key: str) -> int:
    """Return the index that a property's name stands for; -1 if it is none: ``00`` is not."""
    if key.isascii() and key.isdigit() and len(key) <= _EXACT_DIGITS and str(int(key)) == key:
        return int(key)
    return -1


def own_property(value: Any, key: str) -> Any:
    """Return ``value[key]``: a member, an element, a code unit of a string, or ``length``.

    :returns: ``MISSING`` where there is none. Methods count as missing.
    """
    if isinstance(value, dict):
        return value.get(key, MISSING)
    if isinstance(value, list):
        if key == "length":
            return len(value)
        index = _index_of(key)
        return value[index] if 0 <= index < len(value) else MISSING
    if isinstance(value, str):
        if value.isascii():
            index = _index_of(key)
            return len(value) if key == "length" else value[index] if 0 <= index < len(value) else MISSING
        units = value.encode("utf-16-be", "surrogatepass")
        if key == "length":
            return len(units) // 2
        index = _index_of(key)
        return (
            chr(int.from_bytes(units[2 * index : 2 * index + 2], "big"))
            if (0 <= index < len(units) // 2)
            else MISSING
        )
    return MISSING


def has_own(value: Any, key: str | int) -> bool:
    """Return whether a value has a property of its own.

    :param key: a whole number only for an array.
    """
    if isinstance(key, int):
        return isinstance(value, list) and 0 <= key < len(value)
    return own_property(value, key) is not MISSING
