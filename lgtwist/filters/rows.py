"""Filters as rows of a field, an operator and a value, as forms show them, and filters made of rows. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from lgtwist.filters.document import Node, parse_document
from lgtwist.filters.mistakes import path_to
from lgtwist.filters.reading import EventFilter, Grammar

#: Rows of a filter, and values of one list, above which it is not shown as rows.
MAX_FILTER_ROWS, MAX_ROW_VALUES = 100, 500
#: The largest whole number that JavaScript, which shows the rows, keeps exactly.
_MAX_EXACT = 2**53 - 1
#: Characters of a filter on one line; a longer one is written on several.
_LONGEST_LINE = 100

#: How each operator is written, from the outside inwards; nothing for the value alone.
_WRITTEN: Mapping[Grammar, Mapping[str, tuple[str, ...]]] = {
    Grammar.LLBOT: {
        "equal": (),
        "not_equal": ("$ne",),
        "in": ("$in",),
        "not_in": ("$nin",),
        "regex": ("$regex",),
        "not_regex": ("$not", "$regex"),
        "greater": ("$gt",),
        "at_least": ("$gte",),
        "less": ("$lt",),
        "at_most": ("$lte",),
    },
    Grammar.GO_CQHTTP: {
        "equal": (),
        "not_equal": (".neq",),
        "in": (".in",),
        "not_in": (".not", ".in"),
        "regex": (".regex",),
        "not_regex": (".not", ".regex"),
        "contains": (".contains",),
    },
    Grammar.EITHER: {"equal": ()},
}
#: The operators of rows that each grammar has.
ROW_OPERATORS: Mapping[Grammar, tuple[str, ...]] = {
    grammar: tuple(operators) for grammar, operators in _WRITTEN.items()
}
_READ = {
    grammar: {
        **{path: name for name, path in operators.items()},
        ("$eq" if grammar is Grammar.LLBOT else ".eq",): "equal",
    }
    for grammar, operators in _WRITTEN.items()
}
_LIST_OPERATORS = frozenset(("in", "not_in"))
_TEXT_OPERATORS = frozenset(("regex", "not_regex", "contains"))
#: A path whose parts may be written one inside the other.
_PLAIN_PATH = re.compile(r"\w+(\.\w+)*", re.ASCII)

#: A path that makes a filter without operators one of LLBot: it looks into each segment.
_LLBOTS_PATH = re.compile(r"message\.\D")


class NotAsRows(ValueError):
    """A filter cannot be shown as rows, or rows cannot be made a filter.

    :ivar code: why: ``operator`` (rows do not have it), ``value`` (rows do not show it), ``nested`` (an
        alternative within another, or two sets of them), ``empty`` (a group without a condition), ``many``.
    :ivar path: where in the filter, as in ``$or[1].group_id.$in``.
    :ivar what: the operator; empty where none is meant.
    """

    def __init__(self, code: str, path: str = "", what: str = "") -> None:
        super().__init__(": ".join(filter(None, (path, code, what))))
        self.code = code
        self.path = path
        self.what = what


@frozen
class FilterRow:
    """One condition.

    :ivar path: the member of the event, with dots.
    :ivar operator: one of :data:`ROW_OPERATORS`.
    :ivar value: text, a whole number or a boolean; a tuple of these for ``in`` and ``not_in``.
    """

    path: str
    operator: str
    value: Any


@frozen
class FilterRows:
    """A filter: all of some rows hold and, where there are alternatives, all rows of one of them.

    :ivar every: the rows that must hold.
    :ivar alternatives: groups of rows, none of them empty.
    """

    every: tuple[FilterRow, ...] = ()
    alternatives: tuple[tuple[FilterRow, ...], ...] = ()


# -- a filter as rows


def rows_of(event_filter: EventFilter) -> FilterRows:
    """Return a filter as rows that mean the same.

    :raises NotAsRows: if rows cannot say it.
    """
    found = _Reader(event_filter.grammar).read(parse_document(event_filter.source))
    if len(found.every) + sum(map(len, found.alternatives)) > MAX_FILTER_ROWS:
        raise NotAsRows("many")
    return found


class _Reader:
    """Reads a decoded filter of one grammar."""

    def __init__(self, grammar: Grammar) -> None:
        self._is_llbot = grammar is Grammar.LLBOT
        self._operators = _READ[grammar]
        self._sigil = "$" if self._is_llbot else "."
        self._groups: list[tuple[FilterRow, ...]] | None = None

    def read(self, document: Node) -> FilterRows:
        every = self._conjunction(document, "", may_have_groups=True)
        return FilterRows(tuple(every), tuple(self._groups or ()))

    def _members(self, node: Node, path: str) -> list[tuple[str, Node]]:
        if not node.is_object():
            raise NotAsRows("value", path)
        # In JavaScript the last of several equal keys counts; in go-cqhttp's grammar each does.
        return list(dict(node.value).items()) if self._is_llbot else list(node.value)

    def _conjunction(self, node: Node, path: str, *, may_have_groups: bool) -> list[FilterRow]:
        rows: list[FilterRow] = []
        for key, inner in self._members(node, path):
            where = path_to(path, key)
            if key == f"{self._sigil}and":
                parts = [(where, inner)]
                if self._is_llbot:
                    parts = [(f"{where}[{index}]", one) for index, one in enumerate(_list(inner, where))]
                for part_path, part in parts:
                    if not self._members(part, part_path):
                        raise NotAsRows("empty", part_path)
                    rows += self._conjunction(part, part_path, may_have_groups=may_have_groups)
            elif key == f"{self._sigil}or":
                if not may_have_groups or self._groups is not None:
                    raise NotAsRows("nested", where)
                self._groups = self._read_groups(_list(inner, where), where)
            elif not key or key.startswith(self._sigil):
                raise NotAsRows("operator", where, key)
            else:
                rows += self._conditions(key, inner, where)
        return rows

    def _read_groups(self, nodes: list[Node], path: str) -> list[tuple[FilterRow, ...]]:
        if not nodes:  # without any, nothing passes
            raise NotAsRows("empty", path)
        groups = []
        for index, node in enumerate(nodes):
            where = f"{path}[{index}]"
            group = self._conjunction(node, where, may_have_groups=False)
            if not group:
                raise NotAsRows("empty", where)
            groups.append(tuple(group))
        return groups

    def _conditions(self, field: str, node: Node, path: str) -> Iterator[FilterRow]:
        if not _is_unicode(field):
            raise NotAsRows("value", path)
        if not node.is_object():
            yield FilterRow(field, "equal", _value_of(node, path))
            return
        members = self._members(node, path)
        if not members:
            raise NotAsRows("empty", path)
        if self._is_llbot and len(members) > 1 and field.partition(".")[0] == "message":
            # Of an array each element is looked at with all of them.
            raise NotAsRows("nested", path)
        for key, inner in members:
            where = path_to(path, key)
            if not key.startswith(self._sigil):
                joined = f"{field}.{key}"
                if self._is_llbot or not _PLAIN_PATH.fullmatch(joined) or field == "message":
                    raise NotAsRows("value", where)
                yield from self._conditions(joined, inner, where)
                continue
            operators: tuple[str, ...] = (key,)
            if key == f"{self._sigil}not":
                inside = self._members(inner, where)
                if len(inside) != 1:
                    raise NotAsRows("operator", where, key)
                operators, inner = (key, inside[0][0]), inside[0][1]
            operator = self._operators.get(operators)
            if operator is None:
                raise NotAsRows("operator", where, " ".join(operators))
            yield FilterRow(field, operator, _row_value(operator, inner, where))


def _list(node: Node, path: str) -> list[Node]:
    if node.is_object() or not isinstance(node.value, list):
        raise NotAsRows("value", path)
    return node.value


def _row_value(operator: str, node: Node, path: str) -> Any:
    if operator in _LIST_OPERATORS:
        nodes = _list(node, path)
        if len(nodes) > MAX_ROW_VALUES:
            raise NotAsRows("many", path)
        return tuple(_value_of(one, f"{path}[{index}]") for index, one in enumerate(nodes))
    if operator in _TEXT_OPERATORS and not isinstance(node.value, str):
        raise NotAsRows("value", path)
    return _value_of(node, path)


def _value_of(node: Node, path: str) -> str | int | bool:
    """Return the value of a row that a JSON value is.

    A number that is written in another way than JavaScript writes it is none: as text it is another one.

    :raises NotAsRows: if it is none.
    """
    value = _checked_value(node.value, path)
    if not isinstance(value, (str, bool)) and str(value) != node.source:
        raise NotAsRows("value", path)
    return value


def _checked_value(value: Any, path: str) -> str | int | bool:
    """Return a value that a row may have: text, a whole number that JavaScript keeps exactly, or a boolean.

    :raises NotAsRows: if it is none.
    """
    is_number = isinstance(value, int) and abs(value) <= _MAX_EXACT
    if not is_number and not (isinstance(value, str) and _is_unicode(value)):
        raise NotAsRows("value", path)
    return value  # type: ignore[no-any-return]


def _is_unicode(text: str) -> bool:
    """Return whether a text is without lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# -- rows as a filter


def filter_of(rows: FilterRows, grammar: Grammar) -> str:
    """Return the filter that rows mean, as JSON; groups without rows are left out.

    :param grammar: to write it in.
    :raises NotAsRows: if the grammar does not have one of the operators, or a row cannot be written.
    """
    if grammar is Grammar.EITHER and any(row.operator != "equal" for row in _all_rows(rows)):
        grammar = Grammar.LLBOT
    groups = [_conjunction_of(group, grammar) for group in rows.alternatives if group]
    written = _conjunction_of(rows.every, grammar)
    if groups:
        written[".or" if grammar is Grammar.GO_CQHTTP else "$or"] = groups
    elif grammar is Grammar.LLBOT and all(row.operator == "equal" for row in rows.every):
        # Without any operator it would be read as go-cqhttp's.
        written = {path: value if path == "$and" else {"$eq": value} for path, value in written.items()}
    text = json.dumps(written, ensure_ascii=False)
    return text if len(text) <= _LONGEST_LINE else json.dumps(written, ensure_ascii=False, indent=2)


def _all_rows(rows: FilterRows) -> Iterator[FilterRow]:
    yield from rows.every
    for group in rows.alternatives:
        yield from group


def _conjunction_of(rows: Sequence[FilterRow], grammar: Grammar) -> dict[str, Any]:
    """Return rows as an object; a field that is there twice makes nested ones of it, in the same order."""
    paths = [row.path for row in rows]
    if len(set(paths)) == len(paths):
        return {row.path: _condition_of(row, grammar) for row in rows}
    if grammar is not Grammar.GO_CQHTTP:
        return {"$and": [{row.path: _condition_of(row, grammar)} for row in rows]}
    written: dict[str, Any] = {}
    for index, row in enumerate(rows):
        if row.path in written:
            written[".and"] = _conjunction_of(rows[index:], grammar)
            break
        written[row.path] = _condition_of(row, grammar)
    return written


def _condition_of(row: FilterRow, grammar: Grammar) -> Any:
    operators = _WRITTEN[grammar].get(row.operator)
    if operators is None:
        raise NotAsRows("operator", row.path, row.operator)
    if not row.path or row.path.startswith((".", "$")) or not _is_unicode(row.path):
        raise NotAsRows("value", row.path.encode(errors="replace").decode())
    if grammar is Grammar.GO_CQHTTP and row.operator == "equal" and _LLBOTS_PATH.match(row.path):
        operators = (".eq",)  # without an operator it would be a filter of LLBot
    value = row.value
    if row.operator in _LIST_OPERATORS:
        if not isinstance(value, (list, tuple)) or len(value) > MAX_ROW_VALUES:
            raise NotAsRows("value", row.path)
        value = [_checked_value(one, row.path) for one in value]
    elif row.operator in _TEXT_OPERATORS and not isinstance(value, str):
        raise NotAsRows("value", row.path)
    else:
        value = _checked_value(value, row.path)
    for operator in reversed(operators):
        value = {operator: value}
    return value


# -- rows as JSON


def rows_json(rows: FilterRows) -> dict[str, Any]:
    """Return rows as JSON: ``{"all": [row, ...], "any": [[row, ...], ...]}``.

    A row is ``{"field", "operator", "value"}``.
    """
    return {"all": _rows_list(rows.every), "any": [_rows_list(group) for group in rows.alternatives]}


def _rows_list(rows: Iterable[FilterRow]) -> list[dict[str, Any]]:
    return [{"field": row.path, "operator": row.operator, "value": row.value} for row in rows]


def read_rows(value: Any) -> FilterRows:
    """Return the rows that :func:`rows_json` returned; their values are checked when they are written.

    :raises NotAsRows: if it is something else.
    """
    if not isinstance(value, dict):
        raise NotAsRows("value")
    groups = value.get("any", [])
    if not isinstance(groups, list):
        raise NotAsRows("value", "any")
    every = _read_row_list(value.get("all", []))
    alternatives = tuple(_read_row_list(group) for group in groups)
    if len(every) + sum(map(len, alternatives)) > MAX_FILTER_ROWS or len(groups) > MAX_FILTER_ROWS:
        raise NotAsRows("many")
    return FilterRows(every, alternatives)


def _read_row_list(given: Any) -> tuple[FilterRow, ...]:
    rows = []
    for one in given if isinstance(given, list) else [None]:
        match one:
            case {"field": str(path), "operator": str(operator), "value": value}:
                rows.append(FilterRow(path, operator, value))
            case _:
                raise NotAsRows("value")
    return tuple(rows)
