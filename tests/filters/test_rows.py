"""Filters as rows: what rows say means the same as the filter, and they come back as they were."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters.mistakes import BadFilter
from lgtwist.filters.reading import Grammar, read_filter
from lgtwist.filters.rows import (
    MAX_FILTER_ROWS,
    MAX_ROW_VALUES,
    ROW_OPERATORS,
    FilterRow,
    FilterRows,
    NotAsRows,
    filter_of,
    read_rows,
    rows_json,
    rows_of,
)
from lgtwist.onebot.event import Event, read_event
from tests.rounds import quick

GRAMMARS = st.sampled_from([Grammar.LLBOT, Grammar.GO_CQHTTP])
PATHS = st.sampled_from(
    [
        "post_type",
        "message_type",
        "group_id",
        "user_id",
        "raw_message",
        "sender.role",
        "message.0.type",
        "x.y",
    ]
)
TEXTS = st.sampled_from(["", "message", "group", "owner", "/x", "1", "2", "true", "a b", "你好", '"', "a.b"])
SCALARS = st.one_of(TEXTS, st.sampled_from([0, 1, 2, -5, 2**53 - 1]), st.booleans())
LISTS = st.lists(SCALARS, max_size=4).map(tuple)
PATTERNS = st.sampled_from(["", "^/", "x$", "(?:a|b)+", "\\s", "[/#]"])

SAMPLES: list[dict[str, Any]] = [
    {},
    {
        "message_type": "group",
        "group_id": 1,
        "user_id": 2,
        "raw_message": "/x",
        "sender": {"role": "owner"},
    },
    {"message_type": "private", "user_id": 1, "raw_message": "a b", "sender": {}},
    {"message_type": "group", "group_id": 2, "user_id": 1, "raw_message": '你好 "', "sender": {"role": 1}},
    {"post_type": "notice", "notice_type": "x", "group_id": 1, "user_id": 2**53 - 1, "x": {"y": True}},
    {"post_type": "notice", "group_id": [1, 2], "user_id": ["1", True, [2]], "x": {"y": [[1], -5, "/x"]}},
    {"post_type": "notice", "x": [{"y": 1}, {"y": "/x"}], "sender": [{"role": "owner"}, {"role": 2}]},
    {"post_type": "notice", "group_id": "1", "user_id": None, "raw_message": 1, "x": {"y": "true"}},
    {
        "message_type": "group",
        "group_id": 0,
        "user_id": -5,
        "raw_message": "",
        "x": {"y": 1},
        "message": [{"type": "at", "data": {"qq": "1"}}, {"type": "text", "data": {"text": "x"}}],
    },
]


def sample_events() -> list[Event]:
    return [
        read_event(json.dumps({"post_type": "message", "self_id": 1, "time": 1, **one}).encode())
        for one in SAMPLES
    ]


EVENTS = sample_events()


def verdicts(text: str) -> list[bool]:
    """Which of the samples pass."""
    passes = read_filter(text).passes
    return [passes(event) for event in EVENTS]


@st.composite
def some_row(draw: Any, grammar: Grammar) -> FilterRow:
    operator = draw(st.sampled_from(ROW_OPERATORS[grammar]))
    own = {"in": LISTS, "not_in": LISTS, "regex": PATTERNS, "not_regex": PATTERNS, "contains": TEXTS}
    values = own.get(operator, SCALARS)
    return FilterRow(draw(PATHS), operator, draw(values))


@st.composite
def some_rows(draw: Any, grammar: Grammar) -> FilterRows:
    row = some_row(grammar)
    every = draw(st.lists(row, max_size=4))
    alternatives = draw(st.lists(st.lists(row, min_size=1, max_size=3).map(tuple), max_size=3))
    return FilterRows(tuple(every), tuple(alternatives))


GRAMMAR_AND_ROWS = GRAMMARS.flatmap(lambda grammar: st.tuples(st.just(grammar), some_rows(grammar)))


@st.composite
def conditions(draw: Any, grammar: Grammar, depth: int = 2, alternatives: bool = True) -> dict[str, Any]:
    """A filter that is written in another way than rows are, but for some of which there are rows."""
    sigil = "$" if grammar is Grammar.LLBOT else "."
    found: dict[str, Any] = {}
    for _member in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["row", "row", "plain", "eq", "several", "and", "or"]))
        path = draw(PATHS)
        if kind == "row":
            row = draw(some_row(grammar))
            found[row.path] = json.loads(filter_of(FilterRows((row,)), grammar))[row.path]
        elif kind == "plain":
            found[path] = draw(SCALARS)
        elif kind == "eq":
            found[path] = {f"{sigil}eq": draw(SCALARS)}
        elif kind == "several":
            unequal = "$ne" if sigil == "$" else ".neq"
            found[path] = {f"{sigil}in": list(draw(LISTS)), unequal: draw(SCALARS)}
        elif depth and kind == "and":
            inner = draw(conditions(grammar, depth - 1, alternatives))
            found[f"{sigil}and"] = [inner] if sigil == "$" else inner
        elif depth and kind == "or":
            inner = conditions(grammar, depth - 1, False)
            found[f"{sigil}or"] = draw(st.lists(inner, min_size=1, max_size=3))
    return found


GRAMMAR_AND_FILTER = GRAMMARS.flatmap(lambda grammar: st.tuples(st.just(grammar), conditions(grammar)))


class RowTests(SynchronousTestCase):
    def rows(self, text: str) -> FilterRows:
        return rows_of(read_filter(text))

    def why(self, text: str) -> tuple[str, str]:
        found = self.assertRaises(NotAsRows, self.rows, text)
        return found.code, found.path

    @quick
    @given(GRAMMAR_AND_ROWS)
    def test_rows_come_back(self, drawn: tuple[Grammar, FilterRows]) -> None:
        """What is made of rows is read as the same rows, as JSON too."""
        grammar, rows = drawn
        text = filter_of(rows, grammar)
        found = read_filter(text)
        self.assertIn(found.grammar, (grammar, Grammar.EITHER))
        self.assertEqual(rows_of(found), rows)
        self.assertEqual(filter_of(rows_of(found), grammar), text)
        again = read_rows(json.loads(json.dumps(rows_json(rows))))
        self.assertEqual(filter_of(again, grammar), text)

    @quick
    @given(GRAMMAR_AND_ROWS)
    def test_all_of_the_rows_and_one_group(self, drawn: tuple[Grammar, FilterRows]) -> None:
        """A filter of rows passes what each row alone, and each row of one group, passes."""
        grammar, rows = drawn

        def all_of(several: tuple[FilterRow, ...]) -> list[bool]:
            alone = [verdicts(_alone(row, grammar)) for row in several]
            return [all(each) for each in zip(*alone, strict=True)] if alone else [True] * len(EVENTS)

        expected = all_of(rows.every)
        if rows.alternatives:
            groups = zip(*map(all_of, rows.alternatives), strict=True)
            expected = [both and any(one) for both, one in zip(expected, groups, strict=True)]
        text = filter_of(rows, grammar)
        if read_filter(text).grammar is not Grammar.EITHER:
            self.assertEqual(verdicts(text), expected)

    @quick
    @given(GRAMMAR_AND_FILTER)
    def test_filters_mean_what_their_rows_mean(self, drawn: tuple[Grammar, dict[str, Any]]) -> None:
        """Where a filter has rows, the filter that is made of them passes the same events."""
        _grammar, value = drawn
        text = json.dumps(value)
        try:
            found = read_filter(text)
            rows = rows_of(found)
        except (NotAsRows, BadFilter):
            return
        again = filter_of(rows, found.grammar)
        self.assertEqual(verdicts(again), verdicts(text), (text, again))

    def test_users_filters(self) -> None:
        """Filters from the documentation of both, as their users paste them."""
        self.assertEqual(
            self.rows('{"raw_message": {".regex": "^!!"}}'),
            FilterRows((FilterRow("raw_message", "regex", "^!!"),)),
        )
        self.assertEqual(
            self.rows(
                '{".or": [{"message_type": "private"}, '
                '{"group_id": {".in": [123]}, "sender": {"role": {".neq": "member"}}}]}'
            ),
            FilterRows(
                (),
                (
                    (FilterRow("message_type", "equal", "private"),),
                    (FilterRow("group_id", "in", (123,)), FilterRow("sender.role", "not_equal", "member")),
                ),
            ),
        )
        self.assertEqual(
            self.rows(
                '{"$and": [{"group_id": {"$nin": [1, 2]}}, {"user_id": {"$gt": 5}}], "post_type": "message"}'
            ),
            FilterRows(
                (
                    FilterRow("group_id", "not_in", (1, 2)),
                    FilterRow("user_id", "greater", 5),
                    FilterRow("post_type", "equal", "message"),
                )
            ),
        )
        self.assertEqual(self.rows("{}"), FilterRows())

    def test_equal_keys_of_go_cqhttp_both_count(self) -> None:
        text = '{"user_id": {".neq": 1}, "user_id": {".neq": 2}}'
        rows = self.rows(text)
        self.assertEqual([row.value for row in rows.every], [1, 2])
        self.assertEqual(
            json.loads(filter_of(rows, Grammar.GO_CQHTTP)),
            {"user_id": {".neq": 1}, ".and": {"user_id": {".neq": 2}}},
        )

    def test_what_rows_cannot_say(self) -> None:
        """The reason and the place."""
        for text, code, path in (
            ('{"a": {"$exists": true}}', "operator", "a.$exists"),
            ('{"a": {"$regex": "x", "$options": "i"}}', "operator", "a.$options"),
            ('{"$nor": [{"a": 1}]}', "operator", "$nor"),
            ('{"a": {"$not": {"$gt": 1}}}', "operator", "a.$not"),
            ('{"a": {"$in": [1, null]}}', "value", "a.$in[1]"),
            ('{"a": {"$gt": 1.5}}', "value", "a.$gt"),
            ('{"a": {"$gt": 9007199254740993}}', "value", "a.$gt"),
            ('{"$or": [{"$or": [{"a": 1}]}]}', "nested", "$or[0].$or"),
            ('{"$or": [{"a": 1}], "$and": [{"$or": [{"b": 1}]}]}', "nested", "$and[0].$or"),
            ('{"$or": [{"a": 1}, {}]}', "empty", "$or[1]"),
            ('{"message.type": {"$ne": "at", "$regex": "x"}}', "nested", "message.type"),
            ('{".not": {"a": 1}}', "operator", "..not"),
            ('{"a": {".in": "abc"}}', "value", "a..in"),
            ('{".or": []}', "empty", "..or"),
            ('{"a": {".eq": [1]}}', "value", "a..eq"),
            ('{"a": {".eq": 1e3}}', "value", "a..eq"),
        ):
            found_code, found_path = self.why(text)
            self.assertEqual((found_code, found_path.lstrip(".")), (code, path.lstrip(".")), text)

    def test_bounds(self) -> None:
        many = {f"f{number}": {"$gt": 1} for number in range(MAX_FILTER_ROWS + 1)}
        self.assertEqual(self.why(json.dumps(many)), ("many", ""))
        long = {"a": {"$in": list(range(MAX_ROW_VALUES + 1))}}
        self.assertEqual(self.why(json.dumps(long)), ("many", "a.$in"))
        rows = {"all": [{"field": "a", "operator": "equal", "value": 1}] * (MAX_FILTER_ROWS + 1)}
        self.assertRaises(NotAsRows, read_rows, rows)

    def test_operators_that_a_grammar_does_not_have(self) -> None:
        for grammar, operator in ((Grammar.GO_CQHTTP, "greater"), (Grammar.LLBOT, "contains")):
            self.assertRaises(NotAsRows, filter_of, FilterRows((FilterRow("a", operator, 1),)), grammar)

    def test_a_grammar_is_chosen_where_there_is_none(self) -> None:
        """Rows without operators mean the same in both; others are written as LLBot's."""
        rows = FilterRows((FilterRow("a", "equal", 1),))
        self.assertEqual(filter_of(rows, Grammar.EITHER), '{"a": 1}')
        rows = FilterRows((FilterRow("a", "in", (1,)),))
        self.assertEqual(filter_of(rows, Grammar.EITHER), '{"a": {"$in": [1]}}')
        rows = FilterRows((), ((FilterRow("a", "equal", 1),),))
        self.assertEqual(filter_of(rows, Grammar.EITHER), '{"$or": [{"a": 1}]}')

    def test_long_ones_are_on_several_lines(self) -> None:
        rows = FilterRows(tuple(FilterRow(f"field_{number}", "in", (1, 2)) for number in range(5)))
        self.assertIn("\n", filter_of(rows, Grammar.LLBOT))

    def test_a_path_that_is_no_name(self) -> None:
        for path in ("", ".or", "$or", "\ud800"):
            for grammar in (Grammar.GO_CQHTTP, Grammar.LLBOT):
                self.assertRaises(NotAsRows, filter_of, FilterRows((FilterRow(path, "equal", 1),)), grammar)


def _alone(row: FilterRow, grammar: Grammar) -> str:
    """A filter of one row, with an operator, so that its grammar shows."""
    if row.operator != "equal":
        return filter_of(FilterRows((row,)), grammar)
    operator = "$eq" if grammar is Grammar.LLBOT else ".eq"
    return json.dumps({row.path: {operator: row.value}})
