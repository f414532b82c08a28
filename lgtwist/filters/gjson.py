"""Paths of gjson, as far as filters in go-cqhttp's grammar have them: names, indexes, ``#`` and one query.

=======================  ==================================================================================
``sender.role``          a member of a member
``message.0.type``       an element of an array, from 0 on
``message.#``            the number of elements
``message.#.type``       an array of what each element has there
``message.#(k=="v").x``  of the first element whose ``k`` is equal to ``v``
=======================  ==================================================================================

Where an object has equal keys, the last counts, as everywhere in lgtwist; gjson takes the first.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec
from attrs import frozen
from msgspec import Raw

from lgtwist.onebot import rawjson


class BadPath(ValueError):
    """A path cannot be used; the argument is a sentence that says why."""


@frozen
class Query:
    """``#(path=="value")``: the first element of an array where that holds.

    Strings are compared with the value, numbers with the number that it is (0 if it is none).

    :ivar path: inside the element.
    """

    path: tuple[str, ...]
    value: str
    number: float


#: A step of a path: a name or an index; ``#``; or a query.
Step = str | Query

#: Names inside each other that a path may have.
MAX_STEPS = 32

#: The parts of a query; each matches always, so that none is tried at several places.
_QUERY_PATH = re.compile(r"""#[(\[]\s*([^"()\[\]=!<>%\s]*)\s*""")
_QUERY_OPERATOR = re.compile(r"([=!<>%]*)\s*")
_QUERY_VALUE = re.compile(r""""(?:[^"\\]|\\.)*"|[^"()\[\]\s]*""", re.DOTALL)
_QUERY_END = re.compile(r"\s*\)")
_GO_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_EXPECTED_QUERY = 'expected a query as #(key=="value")'


def parse_path(text: str) -> tuple[Step, ...]:
    """Return the steps of a path.

    :raises BadPath: if it is empty, or has something of gjson that filters do not have.
    """
    steps: list[Step] = []
    rest = text
    while True:
        step, rest, behind = _first_step(rest)
        steps.append(step)
        if len(steps) > MAX_STEPS:
            raise BadPath(f"a path has at most {MAX_STEPS} parts")
        if not behind:
            break
    if sum(isinstance(step, Query) for step in steps) > 1:
        raise BadPath("a path has at most one query #(...)")
    return tuple(steps)


def _first_step(text: str) -> tuple[Step, str, bool]:
    """Return the first step of a path, what stands behind its dot, and whether there is a dot."""
    if text.startswith(("#(", "#[")):
        step: Step
        step, rest = _read_query(text)
        if rest.startswith("#"):
            raise BadPath("#(...)#, all elements, is not possible; #(...) is the first one")
        if rest and not rest.startswith("."):
            raise BadPath("expected a dot behind #(...)" if not rest.startswith("|") else _PIPE)
        return step, rest[1:], bool(rest)
    name, dot, rest = text.partition(".")
    _check_name(name)
    return name, rest, bool(dot)


_PIPE = "gjson's pipe | is not possible; write a dot"


def _check_name(name: str) -> None:
    """Check a part of a path that is no query.

    :raises BadPath: if it is not a name, an index or ``#``.
    """
    if not name:
        raise BadPath("a part of the path is empty")
    if name == "#":
        return
    if name[0] in "@!":
        raise BadPath(f"gjson's modifiers and literals ({name[0]}...) are not possible")
    if name[0] in "{[":
        raise BadPath(f"gjson's multipaths ({name[0]}...) are not possible")
    for sign, sentence in (
        ("|", _PIPE),
        ("*", "gjson's wildcard * is not possible"),
        ("?", "gjson's wildcard ? is not possible"),
        ("\\", "gjson's escapes with \\ are not possible"),
        ("#", "# stands alone between dots, or before a query (...)"),
    ):
        if sign in name:
            raise BadPath(sentence)


def _read_query(text: str) -> tuple[Query, str]:
    """Return the query that a path begins with, and what stands behind it."""
    path = _QUERY_PATH.match(text)
    assert path is not None
    operator = _QUERY_OPERATOR.match(text, path.end())
    assert operator is not None
    value = _QUERY_VALUE.match(text, operator.end())
    assert value is not None
    end = _QUERY_END.match(text, value.end())
    if end is None or text[1] == "[":
        raise BadPath(_EXPECTED_QUERY)
    return _make_query(path[1], operator[1], value[0]), text[end.end() :]


def _make_query(path: str, operator: str, value: str) -> Query:
    if operator != "==":
        what = f"the query's operator {operator[:8]} is not possible" if operator else _EXPECTED_QUERY
        raise BadPath(what if not operator else f"{what}; {_EXPECTED_QUERY}")
    names = path.split(".")
    for name in names:
        _check_name(name)
        if name == "#":
            raise BadPath("# is not possible inside a query")
    if value.startswith('"'):
        try:
            value = json.loads(value, strict=False)
        except ValueError:
            raise BadPath("the value of the query is no JSON string") from None
    elif not value:
        raise BadPath(_EXPECTED_QUERY)
    if value.startswith("~"):
        raise BadPath("gjson's ~true and ~false are not possible")
    return Query(tuple(names), value, _parse_float(value))


def _parse_float(text: str) -> float:
    """Return what Go's ``strconv.ParseFloat`` does; 0 where it fails."""
    if _GO_NUMBER.fullmatch(text):
        return float(text)
    word = text.lower().lstrip("+")
    if word in ("inf", "infinity"):
        return math.inf
    return -math.inf if word in ("-inf", "-infinity") else 0.0


# -- values

_decode_raw_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_raw_array = msgspec.json.Decoder(list[Raw]).decode


def get_value(raw: bytes, steps: tuple[Step, ...]) -> bytes:
    """Return the JSON text of a value inside another; empty if there is none.

    :param raw: a JSON text, valid UTF-8, without white space around it.
    """
    for number, step in enumerate(steps):
        sign = raw[:1]
        try:
            if sign == b"{":
                if not isinstance(step, str):
                    return b""
                value = rawjson.decode_leniently(_decode_raw_object, raw).get(step)
                if value is None:
                    return b""
                raw = rawjson.to_bytes(value)
            elif sign == b"[":
                elements = rawjson.decode_leniently(_decode_raw_array, raw)
                if step == "#":
                    return _count_or_collect(elements, steps[number + 1 :])
                found = _first_of(elements, step)
                if found is None:
                    return b""
                raw = found
            else:
                return b""
        except rawjson.DECODE_ERRORS:
            return b""
    return raw


def _count_or_collect(elements: list[Raw], steps: tuple[Step, ...]) -> bytes:
    """Return what ``#`` is: the number of elements, or an array of what they have at a path."""
    if not steps:
        return str(len(elements)).encode()
    found = (get_value(rawjson.to_bytes(element), steps) for element in elements)
    return b"[" + b",".join(value for value in found if value) + b"]"


def _first_of(elements: list[Raw], step: Step) -> bytes | None:
    """Return the element at an index, or the first that a query is about; None if there is none."""
    if isinstance(step, str):
        if not (step.isascii() and step.isdigit()) or len(step) > 18:
            return None
        index = int(step)
        return rawjson.to_bytes(elements[index]) if index < len(elements) else None
    for element in elements:
        raw = rawjson.to_bytes(element)
        if raw[:1] in (b"{", b"[") and _is_equal(get_value(raw, step.path), step):
            return raw
    return None


def _is_equal(raw: bytes, query: Query) -> bool:
    sign = raw[:1]
    if sign in (b"", b"n", b"{", b"["):
        return False
    if sign in (b'"', b"t", b"f"):
        return to_string(raw) == query.value
    return float(raw) == query.number


def to_string(raw: bytes) -> str:
    """Return a JSON value as gjson's ``String()`` does.

    Objects and arrays are their texts, whole numbers too; other numbers are written without an exponent. Null
    is the empty string, and so is what is missing.

    :param raw: a JSON text, valid UTF-8, without white space around it; empty for a missing value.
    """
    sign = raw[:1]
    if sign == b'"':
        try:
            value: Any = rawjson.decode_value(raw)
        except rawjson.DECODE_ERRORS:
            return ""
        return value if isinstance(value, str) else ""
    if sign in (b"", b"n"):
        return ""
    if sign in (b"{", b"[", b"t", b"f") or raw.removeprefix(b"-").isdigit():
        return raw.decode("utf-8", "replace")
    return _format_float(float(raw))


def _format_float(number: float) -> str:
    """Return a number as Go's ``strconv.FormatFloat(number, 'f', -1, 64)`` does."""
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    digits, _, exponent = repr(number).partition("e")
    if exponent:
        negative = digits.startswith("-")
        whole, _, fraction = digits.lstrip("-").partition(".")
        point = len(whole) + int(exponent)
        figures = whole + ("" if fraction == "0" else fraction)
        if point <= 0:
            digits = "0." + "0" * -point + figures
        else:
            digits = figures.ljust(point, "0")
            digits = f"{digits[:point]}.{digits[point:]}"
        digits = f"-{digits}" if negative else digits
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
