"""Where the keys, values and comments of a TOML text stand. Pure.

Texts that are no TOML are read as far as they can be: people ask for places while they type.
"""

from __future__ import annotations

import re

from attrs import define, field, frozen

#: Where a value stands: keys and, of elements of arrays, numbers from 0 on.
KeyPath = tuple["str | int", ...]

_BARE_KEY = re.compile(r"[^\s=\[\]{}#,.\"':]+")
_TOML_BLANKS = re.compile(r"[ \t]*")
_TOML_SPACE = re.compile(r"[ \t\r\n]*")
_TO_LINE_END = re.compile(r"[^\r\n]*(?:\r(?!\n)[^\r\n]*)*")
_BARE_VALUE = re.compile(r"[^#\r\n]*")
_BARE_ELEMENT = re.compile(r"[^,\]}#\r\n]*")
_TOML_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|\s*\n\s*|.)", re.DOTALL)
_TOML_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}
_TOML_BASIC = re.compile(r'"(?:[^"\\\r\n]|\\[^\r\n])*"?')
_TOML_LITERAL = re.compile(r"'[^'\r\n]*'?")
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*("{3,5}|\Z)', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*('{3,5}|\Z)", re.DOTALL)
#: How deep arrays and inline tables are looked into.
_DEEPEST_VALUE = 50


@frozen
class TableHeader:
    """The line that begins a table; the first one stands for the top of the file, and has no line.

    :ivar path: of the table.
    :ivar start: of its brackets.
    :ivar end: behind them.
    """

    path: KeyPath
    start: int
    end: int


@frozen(kw_only=True)
class TomlValue:
    """A key with its value, or an element of an array.

    :ivar path: of the value.
    :ivar keys: how many parts of the path are written at this place; 0 for an element.
    :ivar start: of the key; of an element, of its value.
    :ivar value_start: of the value.
    :ivar value_end: behind the value.
    :ivar kind: ``string``, ``array``, ``table`` (an inline one) or ``bare`` (a number and the like).
    :ivar header: the number of the header that it stands below.
    :ivar inline: whether it stands in an array or an inline table.
    """

    path: KeyPath
    keys: int
    start: int
    value_start: int
    value_end: int
    kind: str
    header: int
    inline: bool


@define
class Places:
    """The parts of a text.

    :ivar text: the text.
    :ivar headers: of its tables; the first one stands for the top of the file.
    :ivar entries: its keys with their values, and the elements of arrays.
    :ivar comments: where comments begin, and where they end.
    :ivar junk: the same of what is no TOML.
    """

    text: str
    headers: list[TableHeader] = field(factory=list)
    entries: list[TomlValue] = field(factory=list)
    comments: list[tuple[int, int]] = field(factory=list)
    junk: list[tuple[int, int]] = field(factory=list)
    _starts: dict[str, int] | None = field(default=None, init=False)  # by path in the form of find()

    def place(self, offset: int) -> tuple[int, int]:
        """Return the line and the column of an offset, both from 1 on."""
        before = self.text[:offset]
        return before.count("\n") + 1, offset - before.rfind("\n")

    def find(self, path: str) -> int | None:
        """Return where a key stands, by its path in the form of :class:`~lgtwist.config.section.Problem`.

        :returns: the offset of its value; that of the nearest table or array around it, if it is not there;
            None if that is the file as a whole.
        """
        if self._starts is None:
            self._starts = {path_text(header.path): header.start for header in reversed(self.headers[1:])}
            for entry in self.entries:
                self._starts[path_text(entry.path)] = entry.value_start
        starts = self._starts
        while path:
            if path in starts:
                return starts[path]
            path = re.sub(r"(^|\.)[^.\[\]]*$|\[\d+\]$", "", path) if path[-1] != "." else path[:-1]
        return None


def path_text(path: KeyPath) -> str:
    """Return a path in the form of :class:`~lgtwist.config.section.Problem`: ``bots[1].url``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def decode_string(literal: str) -> str:
    """Return the text that a string of TOML stands for; of a damaged one, as far as it can be read."""
    if literal.startswith('"""'):
        return _unescaped(re.sub(r'^"""\r?\n?', "", literal).removesuffix('"""'))
    if literal.startswith("'''"):
        return re.sub(r"^'''\r?\n?", "", literal).removesuffix("'''")
    inner = literal[1:-1] if len(literal) > 1 and literal[-1] == literal[0] else literal[1:]
    return inner if literal.startswith("'") else _unescaped(inner)


def _unescaped(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        what = found[1]
        if what[0] in "uUx" and len(what) > 1:
            number = int(what[1:], 16)
            return chr(number) if number < 0x110000 else ""
        return _TOML_ESCAPED.get(what, "" if what.isspace() else what)

    return _TOML_ESCAPE.sub(character, text)


def places_of(text: str) -> Places:
    """Return the parts of a text."""
    return _Scanner(text).scan()


class _Scanner:
    """Finds the parts of a text, once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found = Places(text, [TableHeader((), 0, 0)])
        self._counts: dict[KeyPath, int] = {}

    def scan(self) -> Places:
        text = self._text
        while True:
            self._skip(_TOML_SPACE)
            if self._at >= len(text):
                return self._found
            if text[self._at] == "#":
                self._comment()
            elif text[self._at] == "[":
                self._header()
            elif not self._key_and_value(self._found.headers[-1].path, inline=False):
                self._rest_is_junk()
            else:
                self._end_of_line()

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return found[0]

    def _comment(self) -> None:
        start = self._at
        self._skip(_TO_LINE_END)
        self._found.comments.append((start, self._at))

    def _rest_is_junk(self) -> None:
        start = self._at
        self._skip(_TO_LINE_END)
        if self._at == start:  # of no use, but nothing may be looked at for ever
            self._at += 1
        self._found.junk.append((start, self._at))

    def _end_of_line(self) -> None:
        self._skip(_TOML_BLANKS)
        if self._text[self._at : self._at + 1] == "#":
            self._comment()
        elif self._text[self._at : self._at + 1] not in ("", "\n", "\r"):
            self._rest_is_junk()

    def _keys(self) -> list[str]:
        """Read a dotted key; return its parts, ``[]`` where there is none."""
        parts: list[str] = []
        while True:
            self._skip(_TOML_BLANKS)
            here = self._text[self._at : self._at + 1]
            if here in ('"', "'"):
                literal = self._skip(_TOML_BASIC if here == '"' else _TOML_LITERAL)
                parts.append(decode_string(literal))
            else:
                found = _BARE_KEY.match(self._text, self._at)
                if found is None:
                    return parts
                parts.append(found[0])
                self._at = found.end()
            self._skip(_TOML_BLANKS)
            if self._text[self._at : self._at + 1] != ".":
                return parts
            self._at += 1

    def _header(self) -> None:
        start = self._at
        array = self._text.startswith("[[", start)
        self._at += 2 if array else 1
        keys = self._keys()
        closing = "]]" if array else "]"
        if not keys or not self._text.startswith(closing, self._at):
            self._rest_of_junk_line(start)
            return
        self._at += len(closing)
        path: KeyPath = (*self._resolved(keys[:-1]), keys[-1])
        if array:
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            path += (number,)
        elif path in self._counts:
            path += (self._counts[path] - 1,)
        self._found.headers.append(TableHeader(path, start, self._at))
        self._end_of_line()

    def _rest_of_junk_line(self, start: int) -> None:
        self._skip(_TO_LINE_END)
        self._found.junk.append((start, self._at))

    def _resolved(self, keys: list[str]) -> KeyPath:
        path: KeyPath = ()
        for key in keys:
            path += (key,)
            if path in self._counts:
                path += (self._counts[path] - 1,)
        return path

    def _key_and_value(self, table: KeyPath, *, inline: bool, depth: int = 0) -> bool:
        """Read ``key = value``; return whether it is one. If not, nothing is read."""
        start = self._at
        keys = self._keys()
        if not keys or self._text[self._at : self._at + 1] != "=":
            self._at = start
            return False
        self._at += 1
        self._skip(_TOML_BLANKS)
        path: KeyPath = (*table, *keys)
        self._value(path, len(keys), start, inline=inline, depth=depth)
        return True

    def _value(self, path: KeyPath, keys: int, start: int, *, inline: bool, depth: int) -> None:
        begin, text = self._at, self._text
        number = len(self._found.entries)
        header = len(self._found.headers) - 1
        here = text[begin : begin + 1]
        if here in ('"', "'"):
            kind = "string"
            long = text.startswith(here * 3, begin)
            if here == '"':
                self._skip(_LONG_BASIC if long else _TOML_BASIC)
            else:
                self._skip(_LONG_LITERAL if long else _TOML_LITERAL)
        elif here in ("[", "{") and depth < _DEEPEST_VALUE:
            kind = "array" if here == "[" else "table"
            self._at += 1
            self._elements(path, "]" if here == "[" else "}", depth)
        else:
            kind = "bare"
            self._skip(_BARE_ELEMENT if inline else _BARE_VALUE)
            self._at = begin + len(text[begin : self._at].rstrip(" \t"))
        entry = TomlValue(
            path=path,
            keys=keys,
            start=start,
            value_start=begin,
            value_end=self._at,
            kind=kind,
            header=header,
            inline=inline,
        )
        self._found.entries.insert(number, entry)

    def _elements(self, path: KeyPath, closing: str, depth: int) -> None:
        number = 0
        while True:
            self._skip(_TOML_SPACE)
            here = self._text[self._at : self._at + 1]
            if here == closing or not here:
                self._at += len(here)
                return
            if here == "#":
                self._comment()
            elif here == ",":
                self._at += 1
            elif closing == "}":
                if not self._key_and_value(path, inline=True, depth=depth + 1):
                    self._rest_is_junk()
                    return
            elif here == "}":
                self._rest_is_junk()
                return
            else:
                self._value((*path, number), 0, self._at, inline=True, depth=depth + 1)
                number += 1
