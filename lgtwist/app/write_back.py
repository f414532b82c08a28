"""Changes of single keys, applied to a configuration's text without touching anything else. Pure.

The text is edited where the key stands: every other line, every comment, the order and the line ends stay as
they are. What comes out is read again and compared with what was meant; where that differs, nothing is done.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from attrs import frozen

from lgtwist.config.toml_places import KeyPath, Places, TableHeader, TomlValue, places_of

#: The arrays of tables whose members are named by a key of theirs.
_NAMED_BY = {"bots": "name", "accounts": "self_id"}
_BARE = re.compile(r"[A-Za-z0-9_-]+")
#: Pairs of equal lines of two texts that are compared.
_MOST_PAIRS = 200_000
#: Parts of the path of an edit, and keys of a table in one.
_MOST_PARTS, _MOST_KEYS = 30, 200
#: What an edit may do.
OPERATIONS = ("set", "unset", "add", "remove")


class CannotEdit(Exception):
    """A change that cannot be made; the argument is one sentence."""


@frozen
class Edit:
    """One change.

    :ivar operation: ``set`` and ``unset`` a key; ``add`` a table to an array of tables; ``remove`` one.
    :ivar path: keys; a bot is named by its name and an account by its number: ``["bots", "nonebot", "url"]``.
        Of ``add`` the path of the array.
    :ivar value: the value to set, or the table to add: what TOML may have.
    """

    operation: str
    path: tuple[Any, ...]
    value: Any = None


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with changes.

    :param text: TOML.
    :raises CannotEdit: if the text is no TOML, there is no such key or table, or it cannot be done safely.
    """
    for edit in edits:
        text = _apply(text, edit)
    return text


def decode_toml(text: str) -> dict[str, Any]:
    """Return the values of a TOML text.

    :raises CannotEdit: if it is no TOML.
    """
    try:
        return msgspec.toml.decode(text)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CannotEdit(f"the file is no TOML as it stands: {error}") from None


def _apply(text: str, edit: Edit) -> str:
    if edit.operation not in OPERATIONS:
        raise CannotEdit(f'expected one of {", ".join(OPERATIONS)} as "op"')
    is_path = 0 < len(edit.path) <= _MOST_PARTS and all(isinstance(part, (str, int)) for part in edit.path)
    if not is_path or any(isinstance(part, int) and part < 0 for part in edit.path):
        raise CannotEdit(f"expected a list of up to {_MOST_PARTS} keys as the path")
    _check_value(edit)
    before = decode_toml(text)
    path = _numbered(before, edit.path)
    wanted = _intended(before, edit.operation, path, edit.value)
    editor = _Editor(text)
    if edit.operation == "set":
        after = editor.set(path, edit.value)
    elif edit.operation == "add":
        after = editor.add(path, edit.value)
    else:
        after = editor.unset(path)
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        after = re.sub("(?<!\r)\n", "\r\n", after)  # of a string on several lines
    try:
        got = decode_toml(after)
        right = _same(got, wanted)
        if not right and edit.operation in ("unset", "remove"):
            right = _same(got, _without_empty(wanted, path))
    except CannotEdit:
        right = False
    if not right:
        raise CannotEdit("the file is written in a way in which this cannot be changed safely; edit its text")
    return after


def _same(one: Any, other: Any) -> bool:
    """Return whether two values of TOML are equal, their types too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _check_value(edit: Edit) -> None:
    if edit.operation == "add" and not isinstance(edit.value, dict):
        raise CannotEdit('expected a table as the "value" to add')
    if edit.operation in ("set", "add"):
        _check_toml(edit.value, 0)


def _check_toml(value: Any, depth: int) -> None:
    """Check that TOML has such a value.

    :raises CannotEdit: if it has not.
    """
    if depth > 20:
        raise CannotEdit("the value is nested too deeply")
    if isinstance(value, dict):
        if len(value) > _MOST_KEYS:  # each is written on its own
            raise CannotEdit(f"a table has at most {_MOST_KEYS} keys here")
        for key, one in value.items():
            if not isinstance(key, str):
                raise CannotEdit("a key is no text")
            _check_toml(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _check_toml(one, depth + 1)
    elif isinstance(value, bool) or (isinstance(value, str) and _is_text(value)):
        return
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise CannotEdit("the number is too large for TOML")
    elif not isinstance(value, float) or value != value or value in (float("inf"), float("-inf")):
        raise CannotEdit("TOML has no such value")


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _numbered(values: Mapping[str, Any], path: Sequence[Any]) -> KeyPath:
    """Return a path whose bots and accounts are named by their places in the array.

    :raises CannotEdit: if there is no such bot or account.
    """
    first = path[0]
    if len(path) < 2 or first not in _NAMED_BY:
        return tuple(path)
    members, key = values.get(first), _NAMED_BY[first]
    for number, member in enumerate(members if isinstance(members, list) else []):
        if isinstance(member, dict) and key in member and str(member[key]) == str(path[1]):
            return (first, number, *path[2:])
    raise CannotEdit(f'there is no {key} "{str(path[1])[:50]}" in [[{first}]]')


def _intended(before: Any, operation: str, path: KeyPath, value: Any) -> Any:
    """Return what the text is to say afterwards."""
    after = copy.deepcopy(before)
    table = after
    for number, part in enumerate(path[:-1]):
        if isinstance(part, int):
            if not isinstance(table, list) or part >= len(table):
                raise CannotEdit(f"there is no {'.'.join(map(str, path[: number + 1]))}")
            table = table[part]
        elif isinstance(table, dict):
            if operation in ("unset", "remove") and part not in table:
                raise CannotEdit(f"there is no {'.'.join(map(str, path[: number + 1]))}")
            table = table.setdefault(part, {})
        else:
            raise CannotEdit(f"{'.'.join(map(str, path[:number]))} is no table")
    last = path[-1]
    if operation in ("unset", "remove"):
        is_element = isinstance(table, list) and isinstance(last, int) and last < len(table)
        if not (last in table if isinstance(table, dict) else is_element):
            raise CannotEdit(f"there is no {'.'.join(map(str, path))}")
        del table[last]
        if isinstance(last, int) and not table:  # the last one of an array of tables
            _forget_empty(after, path[:-1])
        return after
    if not isinstance(table, dict) or not isinstance(last, str):
        raise CannotEdit(f"{'.'.join(map(str, path[:-1]))} is no table")
    if operation == "add":
        array = table.setdefault(last, [])
        if not isinstance(array, list):
            raise CannotEdit(f"{last} is no array of tables")
        array.append(value)
    else:
        table[last] = value
    return after


def _without_empty(values: Any, path: KeyPath) -> Any:
    """Return values without the tables along a path that have become empty: some are only there by a key."""
    if len(path) < 2:
        return values
    first = path[0]
    if isinstance(values, list) and isinstance(first, int) and first < len(values):
        return [*values[:first], _without_empty(values[first], path[1:]), *values[first + 1 :]]
    if not isinstance(values, dict) or first not in values:
        return values
    inner = _without_empty(values[first], path[1:])
    without = {key: one for key, one in values.items() if key != first}
    return without if inner == {} else {**without, first: inner}


def _forget_empty(values: Any, path: KeyPath) -> None:
    for part in path[:-1]:
        values = values[part]
    del values[path[-1]]


# -- the text


class _Editor:
    """Makes one change of a text.

    :param text: TOML.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._places: Places = places_of(text)
        first = text.find("\n")
        self._end = "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"

    # -- where things stand

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        """Return where the next line begins."""
        end = self._text.find("\n", at)
        return len(self._text) if end < 0 else end + 1

    def _line(self, start: int) -> str:
        return self._text[start : self._line_end(start)].strip()

    def _entry(self, path: KeyPath) -> TomlValue | None:
        return next((one for one in self._places.entries if one.path == path), None)

    def _headers(self, path: KeyPath) -> list[tuple[int, TableHeader]]:
        """Return the headers of a table and of those in it, with their numbers."""
        found = enumerate(self._places.headers)
        return [(number, one) for number, one in found if number and one.path[: len(path)] == path]

    def _body(self, number: int) -> list[TomlValue]:
        """Return the keys that stand below a header, in their order."""
        return [one for one in self._places.entries if one.header == number and not one.inline]

    def _last_line_end(self, number: int) -> int:
        """Return the end of the line of the last key below a header; of the header, where there is none."""
        body = self._body(number)
        if body:
            return self._line_end(body[-1].value_end)
        return self._line_end(self._places.headers[number].end) if number else 0

    def _leading_comment(self, start: int) -> int:
        """Return where the comment right above a line begins; the line itself where there is none."""
        while start:
            above = self._line_start(start - 1)
            if not self._line(above).startswith("#") or not self._is_comment(above):
                break
            start = above
        return start

    def _is_comment(self, line: int) -> bool:
        at = line + len(self._text[line:]) - len(self._text[line:].lstrip(" \t"))
        return any(start == at for start, _end in self._places.comments)

    def _segment_end(self, number: int) -> int:
        """Return where what belongs to a header ends: its keys, and the comments right behind them.

        Comments right above the next header belong to that one.
        """
        end = own = self._last_line_end(number)
        while end < len(self._text) and self._line(end).startswith("#"):
            end = self._line_end(end)
        following = self._places.headers[number + 1 : number + 2]
        if following and end > own and end == self._line_start(following[0].start):
            return own
        return end

    # -- changes

    def set(self, path: KeyPath, value: Any) -> str:
        entry = self._entry(path)
        if entry is not None and not (isinstance(value, dict) and entry.kind == "table"):
            return self._replace_value(entry, value)
        if isinstance(value, dict) and (entry is not None or self._is_written_in_parts(path)):
            return self._set_table(path, value)
        if entry is None and self._is_written_in_parts(path):
            return _Editor(self.unset(path)).insert(path, value)
        return self.insert(path, value)

    def _is_written_in_parts(self, path: KeyPath) -> bool:
        """Return whether a table has a header, or dotted keys."""
        length = len(path)
        return bool(self._headers(path)) or any(
            one.path[:length] == path and len(one.path) > length for one in self._places.entries
        )

    def _set_table(self, path: KeyPath, value: dict[str, Any]) -> str:
        """Change the members of a table one by one, so that the others stay."""
        present = _at(decode_toml(self._text), path)
        text = self._text
        if not isinstance(present, dict):
            entry = self._entry(path)
            assert entry is not None
            return self._replace_value(entry, value)
        for key in present:
            if key not in value:
                text = _Editor(text).unset((*path, key))
        for key, one in value.items():
            if key not in present or not _same(present[key], one):
                text = _Editor(text).set((*path, key), one)
        if not value and not _Editor(text)._is_known(path):  # its dotted keys were all there was of it
            text = _Editor(text).insert(path, {})
        return text

    def _replace_value(self, entry: TomlValue, value: Any) -> str:
        text, start = self._text, entry.value_start
        old = text[start : entry.value_end]
        comments = [text[a:b] for a, b in self._places.comments if start <= a < entry.value_end]
        if isinstance(value, list) and entry.kind == "array":
            by_element = self._replace_elements(entry, value)
            if by_element is not None:
                return by_element
        new = _written(value, quote="'" if old.startswith("'") and not old.startswith("'''") else '"')
        if isinstance(value, list) and "\n" in old and value:
            new = _on_lines(value, self._end)
        text = text[:start] + new + text[entry.value_end :]
        line = self._line_start(entry.start)
        indent = re.match(r"[ \t]*", text[line:])
        above = "".join(f"{indent[0] if indent else ''}{comment}{self._end}" for comment in comments)
        return text[:line] + above + text[line:]

    def _replace_elements(self, entry: TomlValue, value: list[Any]) -> str | None:
        """Change an array element by element, so that the lines and comments of the others stay.

        :returns: None where it cannot be done.
        """
        text = self._text
        depth = len(entry.path) + 1
        elements = [
            one
            for one in self._places.entries
            if len(one.path) == depth and one.path[:-1] == entry.path and one.keys == 0
        ]
        if not elements or not value:
            return None
        old = [_written(one) for one in _at(decode_toml(text), entry.path)]
        new = [_written(one) for one in value]
        changes = difflib.SequenceMatcher(None, old, new, autojunk=False)
        for what, first, last, new_first, new_last in reversed(changes.get_opcodes()):
            if what == "equal":
                continue
            added = new[new_first:new_last]
            while added and first < last:
                last -= 1
                one = elements[last]
                text = text[: one.value_start] + added.pop() + text[one.value_end :]
                if first == last and added:
                    text = (
                        text[: one.value_start] + "".join(f"{x}, " for x in added) + text[one.value_start :]
                    )
                    added = []
            for one in reversed(elements[first:last]):
                text = _without_element(text, one.value_start, one.value_end)
            if added and first:
                at = elements[first - 1].value_end
                text = text[:at] + "".join(f", {x}" for x in added) + text[at:]
            elif added:
                at = elements[0].value_start
                text = text[:at] + "".join(f"{x}, " for x in added) + text[at:]
        try:
            return text if _same(_at(decode_toml(text), entry.path), value) else None
        except CannotEdit:
            return None

    def insert(self, path: KeyPath, value: Any) -> str:
        """Add a key that is not there."""
        table, key = path[:-1], path[-1]
        around = self._entry(table) if table else None
        if around is not None:
            if around.kind != "table":
                raise CannotEdit(f"{'.'.join(map(str, table))} is no table")
            return self._insert_inline(around, str(key), value)
        number = next((number for number, one in enumerate(self._places.headers) if one.path == table), None)
        if number is not None:
            return self._insert_line(number, f"{_toml_key(key)} = {_written(value)}")
        siblings = [
            one
            for one in self._places.entries
            if one.keys > 1 and one.path[: len(table)] == table and len(one.path) - one.keys < len(table)
        ]
        if siblings:  # the table is written by dotted keys
            last = siblings[-1]
            names = [*last.path[len(last.path) - last.keys : len(table)], key]
            line = f"{'.'.join(map(_toml_key, names))} = {_written(value)}"
            if last.inline:
                raise CannotEdit("the table is written by dotted keys in an inline table; edit the text")
            at = self._line_end(last.value_end)
            return self._put_line(at, line, last.start)
        if any(isinstance(part, int) for part in table):  # a new table of a bot or an account
            return self.insert(table, {str(key): value})
        if len(table) == 1 or not self._is_known(table[:-1]):
            return self._append(f"[{'.'.join(map(_toml_key, table))}]", {str(key): value})
        return self.insert(table, {str(key): value})

    def _is_known(self, path: KeyPath) -> bool:
        return self._entry(path) is not None or self._is_written_in_parts(path)

    def _insert_line(self, number: int, line: str) -> str:
        body = self._body(number)
        if number == 0 and not body:
            return self._put_on_top(line)
        at = self._last_line_end(number)
        return self._put_line(at, line, body[-1].start if body else self._places.headers[number].start)

    def _put_on_top(self, line: str) -> str:
        """Add the first key that belongs to no table: above the first table and its comment."""
        headers = self._places.headers[1:]
        if not headers:
            return self._put_line(len(self._text), line, None)
        at = self._leading_comment(self._line_start(headers[0].start))
        return f"{self._text[:at]}{line}{self._end}{self._end}{self._text[at:]}"

    def _put_line(self, at: int, line: str, like: int | None) -> str:
        """Add a line.

        :param at: where a line begins, or the end of the text.
        :param like: where something stands whose indentation it gets.
        """
        text, indent = self._text, ""
        if like is not None:
            start = self._line_start(like)
            indent = self._text[start:like] if not self._text[start:like].strip() else ""
        before = self._end if at and text[at - 1 : at] != "\n" else ""
        return f"{text[:at]}{before}{indent}{line}{self._end}{text[at:]}"

    def _insert_inline(self, table: TomlValue, key: str, value: Any) -> str:
        text = self._text
        inner_end = table.value_end - 1
        at = table.value_start + len(text[table.value_start : inner_end].rstrip())
        empty = not text[table.value_start + 1 : inner_end].strip()
        added = f"{_toml_key(key)} = {_written(value)}"
        if empty:
            return f"{text[: table.value_start]}{{ {added} }}{text[table.value_end :]}"
        return f"{text[:at]}, {added}{text[at:]}"

    def add(self, path: KeyPath, value: dict[str, Any]) -> str:
        """Add a table to an array of tables."""
        entry = self._entry(path)
        text = self._text
        if entry is not None:
            if entry.kind != "array":
                raise CannotEdit(f"{'.'.join(map(str, path))} is no array of tables")
            inner = text[entry.value_start + 1 : entry.value_end - 1]
            elements = [one for one in self._places.entries if one.path[:-1] == path and one.keys == 0]
            if not elements:
                new = f"[{_written(value)}{inner.strip(' ')}]"
                return f"{text[: entry.value_start]}{new}{text[entry.value_end :]}"
            at = elements[-1].value_end
            return f"{text[:at]}, {_written(value)}{text[at:]}"
        block = f"[[{'.'.join(map(_toml_key, path))}]]"
        own = self._headers(path)
        if not own or own[-1][0] == len(self._places.headers) - 1:
            return self._append(block, value)
        at = self._segment_end(own[-1][0])
        lines = self._end.join([block, *_table_lines(value)])
        before = self._end if text[at - 1 : at] == "\n" else self._end * 2
        after = "" if self._line(at) == "" else self._end
        return f"{text[:at]}{before}{lines}{self._end}{after}{text[at:]}"

    def _append(self, header: str, value: dict[str, Any]) -> str:
        text, end = self._text, self._end
        before = "" if not text or text.endswith(("\n\n", "\n\r\n")) else end
        if text and not text.endswith("\n"):
            before = end * 2
        return f"{text}{before}{end.join([header, *_table_lines(value)])}{end}"

    def unset(self, path: KeyPath) -> str:
        """Take out a key, or a table with all that is in it."""
        entry = self._entry(path)
        if entry is not None and entry.keys:
            return self._without_key(entry)
        if entry is not None:
            text = _without_element(self._text, entry.value_start, entry.value_end)
            if isinstance(path[-1], int) and _at(decode_toml(text), path[:-1]) == []:
                array = self._entry(path[:-1])
                return self._without_key(array) if array is not None and array.keys else text
            return text
        text = self._text
        pieces = [self._piece(number) for number, _header in self._headers(path)]
        length = len(path)
        pieces += [
            self._lines_of(one)
            for one in self._places.entries
            if one.path[:length] == path and not one.inline and len(one.path) - one.keys < length
        ]
        for start, end in sorted(pieces, reverse=True):
            text = text[:start] + text[end:]
        return text

    def _piece(self, number: int) -> tuple[int, int]:
        """Return where a table begins and ends, its own comments included."""
        header = self._places.headers[number]
        start = self._leading_comment(self._line_start(header.start))
        end = self._segment_end(number)
        blanks = end
        while blanks < len(self._text) and not self._line(blanks):
            blanks = self._line_end(blanks)
        if blanks < len(self._text) or start == 0:
            end = blanks
        return start, end

    def _lines_of(self, entry: TomlValue) -> tuple[int, int]:
        return self._line_start(entry.start), self._line_end(entry.value_end)

    def _without_key(self, entry: TomlValue) -> str:
        text = self._text
        if not entry.inline:
            start, end = self._lines_of(entry)
            return text[:start] + text[end:]
        return _without_element(text, entry.start, entry.value_end)


def _without_element(text: str, start: int, end: int) -> str:
    """Take a member out of an array or inline table, with one comma, and its line if that is empty then."""
    after = re.match(r"\s*,", text[end:])
    before = re.search(r",[ \t]*\Z", text[:start])
    if after is not None:
        end += after.end()
        blanks = re.match(r"[ \t]*", text[end:])
        end += len(blanks[0]) if blanks else 0
    elif before is not None:
        start = before.start()
    else:
        comma = re.search(r",(\s*)\Z", text[:start])
        if comma is not None:
            text = text[: comma.start()] + text[comma.start() + 1 :]
            start, end = start - 1, end - 1
    line = text.rfind("\n", 0, start) + 1
    rest = re.match(r"[ \t]*\r?\n", text[end:])
    if line and not text[line:start].strip() and rest is not None:
        return text[:line] + text[end + rest.end() :]
    return text[:start] + text[end:]


def _at(values: Any, path: KeyPath) -> Any:
    for part in path:
        values = values[part]
    return values


def _toml_key(key: Any) -> str:
    return str(key) if _BARE.fullmatch(str(key)) else _toml_string(str(key))


def _toml_string(text: str, quote: str = '"') -> str:
    if "'" not in text and (quote == "'" or '"' in text):
        if text.isprintable():
            return f"'{text}'"
        if "\n" in text and text.replace("\n", "").isprintable():
            return f"'''\n{text}'''"
    # A JSON string is one of TOML; but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _written(value: Any, quote: str = '"') -> str:
    """Return a value in TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _toml_string(value, quote)
    if isinstance(value, dict):
        inner = ", ".join(f"{_toml_key(key)} = {_written(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, float):
        return repr(value)
    return str(value)


def _on_lines(value: list[Any], end: str) -> str:
    inner = "".join(f"    {_written(one)},{end}" for one in value)
    return f"[{end}{inner}]"


def _table_lines(table: dict[str, Any]) -> list[str]:
    """Return the lines of a table, without its header."""
    return [f"{_toml_key(key)} = {_written(one)}" for key, one in table.items()]


# -- texts that were edited by hand


def difference(old: str, new: str) -> list[dict[str, str]]:
    """Return how two texts differ, line by line: ``{"kind": "same" | "old" | "new", "text": ...}``.

    Line ends do not count.
    """
    before, after = _text_lines(old), _text_lines(new)
    found: list[dict[str, str]] = []
    first = new_first = 0
    for start, new_start, length in _equal_lines(before, after):
        found += [{"kind": "old", "text": line} for line in before[first:start]]
        found += [{"kind": "new", "text": line} for line in after[new_first:new_start]]
        first, new_first = start + length, new_start + length
        found += [{"kind": "same", "text": line} for line in before[start:first]]
    return found


def _equal_lines(before: list[str], after: list[str]) -> list[tuple[int, int, int]]:
    """Return which lines are equal: where they begin in both texts, and how many; at the end none do.

    Where so much is equal to so much else that a comparison would take long, it takes what is equal at the
    beginning and at the end.
    """
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    most = shorter - head
    tail = next((at for at in range(most) if before[-1 - at] != after[-1 - at]), most)
    end, new_end = len(before) - tail, len(after) - tail
    found = [(0, 0, head)]
    counts = Counter(after[head:new_end])
    if sum(counts[line] for line in before[head:end]) <= _MOST_PAIRS:
        matcher = difflib.SequenceMatcher(None, before[head:end], after[head:new_end], autojunk=False)
        found += [(one.a + head, one.b + head, one.size) for one in matcher.get_matching_blocks()]
    found += [(end, new_end, tail), (len(before), len(after), 0)]
    return found


def _text_lines(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def with_line_ends(old: str, new: str) -> str:
    """Return a text with the line ends of an older one: browsers' text fields turn CRLF into LF.

    Lines that both have keep theirs; new ones get the most frequent. A text that has some CR keeps its own.
    """
    if "\r" in new or "\r\n" not in old:
        return new
    before, after = old.split("\n"), new.split("\n")
    plain = [line.removesuffix("\r") for line in before]
    usual = "\r" if sum(line.endswith("\r") for line in before) * 2 >= len(before) - 1 else ""
    ends = [usual] * len(after)
    for start, new_start, length in _equal_lines(plain, after):
        for number in range(length):
            ends[new_start + number] = "\r" if before[start + number].endswith("\r") else ""
    ends[-1] = ""  # behind it there is no line end
    return "\n".join(line + end for line, end in zip(after, ends, strict=True))
