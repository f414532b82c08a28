"""The JSON of a filter: with every member of equal keys, and with the text of each value."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from attrs import frozen

#: Characters that a filter may have.
MAX_FILTER = 262_144
#: Objects and arrays inside each other that it may have.
MAX_FILTER_DEPTH = 32

_raw_decode = json.JSONDecoder().raw_decode

_JSON_SPACE = re.compile(r"[ \t\n\r]*")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
#: What is said of a character that JSON does not have where it stands.
_HINTS = {
    "\\": "a backslash is written twice in JSON, as in \\\\d",
    "'": "JSON has \" in place of '",
    "/": "JSON has no comments",
    "\n": 'a line break in a string is written \\n; or " is missing',
    "\r": 'a line break in a string is written \\n; or " is missing',
    "\t": "a tab in a string is written \\t",
    **{wide: f"write {ascii}" for wide, ascii in zip("“”‘’：，、｛｝［］", '"""":,,{}[]', strict=True)},
}
#: Digits of a whole number that every Python converts.
_MAX_FILTER_DIGITS = 4_000


@frozen
class Node:
    """One JSON value of a filter.

    :ivar value: a string, number, boolean or None; :class:`Members` of an object, a list of an array.
    :ivar source: its text.
    """

    value: Any
    source: str

    def is_object(self) -> bool:
        """Return whether it is an object."""
        return isinstance(self.value, Members)

    def is_array(self) -> bool:
        """Return whether it is an array."""
        return isinstance(self.value, list) and not isinstance(self.value, Members)

    def plain(self) -> Any:
        """Return it as Python has JSON; of equal keys the last counts."""
        if isinstance(self.value, Members):
            return {key: node.plain() for key, node in self.value}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


class Members(list[tuple[str, Node]]):
    """The members of an object, in their order, with those whose keys are equal."""


class NotJson(ValueError):
    """A text is not JSON, or not within the bounds; the argument is a sentence, with the place."""


def parse_document(text: str) -> Node:
    """Return the JSON value of a text.

    :raises NotJson: if it is none, has more than :data:`MAX_FILTER` characters, or more than
        :data:`MAX_FILTER_DEPTH` objects and arrays inside each other.
    """
    if len(text) > MAX_FILTER:
        raise NotJson(f"it has {len(text)} characters; at most {MAX_FILTER} are accepted")
    return _DocumentParser(text.removeprefix("\ufeff")).document()


class _DocumentParser:
    """Parses JSON (RFC 8259).

    :param text: what is parsed.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def document(self) -> Node:
        """Return the value that the text is."""
        self._skip_space()
        if self._at == len(self._text):
            raise NotJson("it is empty; expected a JSON object, such as {}")
        node = self._node()
        self._skip_space()
        if self._at < len(self._text):
            raise self._expected("the end")
        return node

    def _expected(self, what: str, at: int | None = None) -> NotJson:
        at = self._at if at is None else at
        line = self._text.count("\n", 0, at) + 1
        column = at - (self._text.rfind("\n", 0, at) + 1) + 1
        sign = self._text[at : at + 1]
        hint = _HINTS.get(sign)
        if sign and sign in "}]" and self._text[:at].rstrip().endswith(","):
            hint = "no comma stands behind the last one"
        return NotJson(
            f"it is not JSON: expected {what} at line {line}, column {column}" + (f"; {hint}" if hint else "")
        )

    def _skip_space(self) -> None:
        found = _JSON_SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _node(self) -> Node:
        start = self._at
        sign = self._text[start : start + 1]
        if sign == "{" or sign == "[":
            self._depth += 1
            if self._depth > MAX_FILTER_DEPTH:
                raise NotJson(f"it has more than {MAX_FILTER_DEPTH} objects and arrays inside each other")
            self._at += 1
            value: Any = self._members() if sign == "{" else self._elements()
            self._depth -= 1
        elif sign == '"':
            value = self._string()
        elif number := _JSON_NUMBER.match(self._text, start):
            self._at = number.end()
            value = _read_filter_number(number)
        else:
            for word, constant in _WORDS.items():
                if self._text.startswith(word, start):
                    self._at += len(word)
                    value = constant
                    break
            else:
                raise self._expected("a value")
        return Node(value, self._text[start : self._at])

    def _string(self) -> str:
        try:
            value, self._at = _raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise self._expected("the rest of a string", error.pos) from None
        return str(value)

    def _members(self) -> Members:
        members = Members()
        self._skip_space()
        if self._text[self._at : self._at + 1] == "}":
            self._at += 1
            return members
        while True:
            if self._text[self._at : self._at + 1] != '"':
                raise self._expected("a key in double quotes")
            key = self._string()
            self._skip_space()
            if self._text[self._at : self._at + 1] != ":":
                raise self._expected("a colon")
            self._at += 1
            self._skip_space()
            members.append((key, self._node()))
            if self._ends("}"):
                return members

    def _elements(self) -> list[Node]:
        elements: list[Node] = []
        self._skip_space()
        if self._text[self._at : self._at + 1] == "]":
            self._at += 1
            return elements
        while True:
            elements.append(self._node())
            if self._ends("]"):
                return elements

    def _ends(self, closing: str) -> bool:
        """Return whether an object or array ends here, or goes on behind the comma."""
        self._skip_space()
        sign = self._text[self._at : self._at + 1]
        if sign not in (",", closing):
            raise self._expected(f"a comma or {closing}")
        self._at += 1
        if sign == ",":
            self._skip_space()
        return sign == closing


def _read_filter_number(found: re.Match[str]) -> int | float:
    digits = found[0]
    if found[1] is None and found[2] is None:
        if len(digits) > _MAX_FILTER_DIGITS:
            return -math.inf if digits[0] == "-" else math.inf
        return int(digits)
    return float(digits)
