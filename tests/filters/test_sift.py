"""Filters in LLBot's grammar judge as sift does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters.mistakes import FilterMistake
from lgtwist.filters.sift import compile_sift
from lgtwist.filters.subject import EventSubject, Predicate, subject_of
from lgtwist.onebot.event import Event, read_event

HERE = Path(__file__).parent
SCRIPT = HERE / "make_sift_table.mjs"
TABLE = HERE / "sift_table.json"

#: Filters of the table that sift reads and that are mistakes here: JavaScript that is run, and what one of
#: sift's three builds throws at and another, which made the table, does not.
MISTAKES_ONLY_HERE: list[Any] = [
    {"$where": "this.v"},
    {"v": {"$where": "true"}},
    {"v": {"$mod": 5}},
    {"v": {"$mod": {}}},
]


def event_of(members: dict[str, Any]) -> Event:
    """Return an event with these members."""
    return read_event(json.dumps(members, ensure_ascii=False).encode())


def reads(value: Any) -> Predicate | list[FilterMistake]:
    """Return a compiled filter, or what is wrong with it."""
    mistakes: list[FilterMistake] = []
    judge = compile_sift(value, mistakes)
    return mistakes or judge


def passes(value: Any, members: dict[str, Any]) -> bool:
    """Return whether an event with these members passes a filter without a mistake."""
    judge = reads(value)
    assert not isinstance(judge, list), judge
    return judge(subject_of(event_of(members)))


class TheTable(SynchronousTestCase):
    """``sift_table.json``, made by sift itself."""

    def groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = json.loads(TABLE.read_text("utf-8"))["groups"]
        return groups

    def test_it_is_what_the_script_made(self) -> None:
        """Neither the script nor the table was edited without the other."""
        first, rest = TABLE.read_text("utf-8").split("\n", 1)
        checksum = hashlib.sha256(SCRIPT.read_bytes() + rest.encode()).hexdigest()
        self.assertEqual(first, f'{{"checksum": "{checksum}",', "run make_sift_table.mjs")

    def test_it_is_large(self) -> None:
        """There are more than 120 filters that nobody wrote at random, on several events each."""
        count = sum(len(group["cases"]) for group in self.groups() if "at random" not in group["name"])
        self.assertGreater(count, 300)

    def test_each_case(self) -> None:
        """Every filter judges every event as sift does; what sift throws at is a mistake."""
        self.maxDiff = None
        wrong = []
        for group in self.groups():
            events = [event_of({"post_type": "message", **one}) for one in group["events"]]
            for case in group["cases"]:
                found = reads(case["filter"])
                if isinstance(found, list):
                    if "throws" not in case["results"] and case["filter"] not in MISTAKES_ONLY_HERE:
                        wrong.append((case["filter"], str(found)))
                elif (judged := [found(subject_of(event)) for event in events]) != case["results"]:
                    wrong.append((case["filter"], f"{judged}, not {case['results']}"))
        self.assertEqual(wrong, [])

    def test_what_are_mistakes_only_here(self) -> None:
        """They are mistakes, and in the table."""
        filters = [case["filter"] for group in self.groups() for case in group["cases"]]
        for value in MISTAKES_ONLY_HERE:
            self.assertIsInstance(reads(value), list, value)
            self.assertIn(value, filters)


class Mistakes(SynchronousTestCase):
    def assert_mistakes(self, value: Any, *expected: tuple[str, str]) -> None:
        """Check that a filter has these mistakes: a path, and a part of the sentence."""
        found = reads(value)
        assert isinstance(found, list), value
        self.assertEqual([mistake.path for mistake in found], [path for path, _part in expected])
        for mistake, (_path, part) in zip(found, expected, strict=True):
            self.assertIn(part, mistake.sentence)

    def test_where_they_are(self) -> None:
        """A mistake says its place with the filter's own words."""
        self.assert_mistakes({"$or": [{}, {"group_id": {"$inn": [1]}}]}, ("$or[1].group_id.$inn", "$inn"))
        self.assert_mistakes({"sender.role": {"$in": [1, {"$gt": 5}]}}, ("sender.role.$in[1]", "value"))
        self.assert_mistakes(
            {"message": {"$elemMatch": {"type": {"$regex": "("}}}}, ("message.$elemMatch.type.$regex", "")
        )
        self.assert_mistakes({"a": {"$not": {"$and": []}}}, ("a.$not.$and", "at least one"))
        self.assert_mistakes({"a": {"$gt": 1, "b": 2}}, ("a.b", '"a.b"'))
        self.assert_mistakes({"a": {"$regex": "x", "$options": "z"}}, ("a.$options", "i, m and s"))

    def test_all_are_told(self) -> None:
        """One does not hide the others."""
        self.assert_mistakes(
            {"a": {"$type": "int"}, "$nope": 1, "$nor": [{"b": {"$all": 5}}, {"c": {"$mod": None}}]},
            ("a.$type", "string, number, bool, array, null"),
            ("$nope", "there is no operator $nope"),
            ("$nor[0].b.$all", "list"),
            ("$nor[1].c.$mod", "two numbers"),
        )

    def test_no_javascript(self) -> None:
        """``$where`` is told why."""
        self.assert_mistakes({"$where": "this.x"}, ("$where", "JavaScript"))
        self.assert_mistakes({"a": {"$where": "1"}}, ("a.$where", "JavaScript"))

    def test_groups_around_fields(self) -> None:
        """``$or`` does not stand below a field."""
        self.assert_mistakes({"a": {"$or": [{"$eq": 1}]}}, ("a.$or", "around the fields"))

    def test_options_alone(self) -> None:
        """``$options`` without ``$regex``, with which sift lets everything pass, is a mistake."""
        self.assert_mistakes(
            {"a": {"regex": "x", "$options": "i"}}, ("a.regex", "not both"), ("a.$options", "$regex")
        )
        self.assert_mistakes({"a": {"$options": "i"}}, ("a.$options", "$regex"))

    def test_no_object(self) -> None:
        """A filter is an object."""
        for value in ([], [{}], 5, "x", None, True):
            self.assert_mistakes(value, ("", "object"))

    def test_flags_of_javascript(self) -> None:
        """``g`` is accepted, since it changes nothing; ``y`` and ``u`` would."""
        self.assertTrue(passes({"a": {"$regex": "B", "$options": "gi"}}, {"post_type": "x", "a": "ab"}))
        for flags in ("y", "u", "v", "gg"):
            self.assert_mistakes({"a": {"$regex": "b", "$options": flags}}, ("a.$options", ""))


class Numbers(SynchronousTestCase):
    def test_64_bits(self) -> None:
        """Whole numbers are compared exactly, where JavaScript takes two neighbours for one."""
        event = {"post_type": "message", "group_id": 2**53 + 1}
        self.assertTrue(passes({"group_id": 2**53 + 1}, event))
        self.assertFalse(passes({"group_id": 2**53}, event))
        self.assertFalse(passes({"group_id": {"$in": [2**53, 2**53 + 2]}}, event))
        self.assertTrue(passes({"group_id": {"$gt": 2**53}}, event))
        self.assertTrue(passes({"group_id": {"$mod": [2, 1]}}, event))
        self.assertFalse(passes({"group_id": {"$ne": 2**64 - 1}}, {"post_type": "x", "group_id": 2**64 - 1}))

    def test_types(self) -> None:
        """1 is 1.0, and neither ``true`` nor ``"1"``."""
        for value, expected in ((1, True), (1.0, True), (True, False), ("1", False)):
            self.assertIs(passes({"a": 1}, {"post_type": "x", "a": value}), expected)
            self.assertIs(passes({"a": {"$in": [1, "x"]}}, {"post_type": "x", "a": value}), expected)
            self.assertIs(passes({"a": {"$in": [1]}}, {"post_type": "x", "a": [value]}), expected)
            self.assertIs(passes({"a": {"b": [1]}}, {"post_type": "x", "a": {"b": [value]}}), expected)


class Messages(SynchronousTestCase):
    """``message`` is the same in each of its forms."""

    SEGMENTS: ClassVar[list[Any]] = [
        {"type": "at", "data": {"qq": "10001"}},
        {"type": "text", "data": {"text": " /hi & you"}},
    ]
    CQ = "[CQ:at,qq=10001] /hi &amp; you"

    def judge(self, value: Any) -> bool:
        """Return whether the message passes; in each form it is the same."""
        found = {
            passes(value, {"post_type": "message", "message": message})
            for message in (self.SEGMENTS, self.CQ)
        }
        self.assertEqual(len(found), 1, value)
        return found.pop()

    def test_segments(self) -> None:
        """Paths and ``$elemMatch`` see segments, also in a string with CQ codes."""
        for value, expected in (
            ({"message.type": "at"}, True),
            ({"message.type": "image"}, False),
            ({"message.type": {"$ne": "at"}}, False),
            ({"message.type": {"$nin": ["image", "record"]}}, True),
            ({"message.0.data.qq": "10001"}, True),
            ({"message.1.data.text": {"$regex": "^ /"}}, True),
            ({"message.length": 2}, True),
            ({"message": {"$size": 2}}, True),
            ({"message": {"$elemMatch": {"type": "at", "data.qq": "10001"}}}, True),
            ({"message": {"$elemMatch": {"type": "at", "data.qq": {"$in": ["1", "all"]}}}}, False),
            ({"message": {"$not": {"$elemMatch": {"type": "at"}}}}, False),
            ({"message": {"type": "at", "data": {"qq": "10001"}}}, True),
            ({"message": self.SEGMENTS}, True),
            ({"message": {"$type": "array"}}, True),
            ({"message": {"$exists": False}}, False),
        ):
            self.assertIs(self.judge(value), expected, value)

    def test_strings(self) -> None:
        """A condition on ``message`` alone sees the string too, also where segments came."""
        for value, expected in (
            ({"message": {"$regex": "^\\[CQ:at,qq=10001\\]"}}, True),
            ({"message": {"$regex": "^/"}}, False),
            ({"message": {"$not": {"$regex": "^/"}}}, True),
            ({"message": {"$not": {"$regex": "hi"}}}, False),
            ({"message": self.CQ}, True),
            ({"message": {"$ne": self.CQ}}, False),
            ({"message": {"$ne": "x"}}, True),
            ({"message": {"$in": ["x", self.CQ]}}, True),
            ({"message": {"$nin": ["x", None]}}, True),
            ({"message": {"$nin": ["x", self.CQ, None]}}, False),
            ({"message": {"$gt": "["}}, True),
            ({"message": {"$type": "string"}}, True),
            ({"message": {"$regex": "hi", "$size": 2}}, True),
            ({"message": {"$regex": "hi", "$elemMatch": {"type": "image"}}}, False),
        ):
            self.assertIs(self.judge(value), expected, value)

    def test_a_message_of_one_segment(self) -> None:
        """A segment that stands alone is an array of one."""
        event = {"post_type": "message", "message": {"type": "text", "data": {"text": "a"}}}
        self.assertTrue(passes({"message.0.data.text": "a", "message": {"$size": 1, "$regex": "^a$"}}, event))

    def test_no_message(self) -> None:
        """What is no message is seen as it is, and what is not there as missing."""
        for event in ({"post_type": "notice"}, {"post_type": "notice", "message": None}):
            self.assertTrue(passes({"message": None}, event))
            self.assertTrue(passes({"message": {"$ne": "x"}, "message.type": {"$ne": "at"}}, event))
            self.assertFalse(passes({"message": {"$regex": ""}}, event))
            self.assertFalse(passes({"message": {"$elemMatch": {}}}, event))
            self.assertFalse(passes({"message.type": {"$exists": True}}, event))
        number = {"post_type": "notice", "message": 5}
        self.assertTrue(passes({"message": 5}, number))
        self.assertTrue(passes({"message": {"$nin": ["5"]}}, number))
        self.assertFalse(passes({"message": {"$regex": "5"}}, number))

    def test_of_other_events(self) -> None:
        """``message`` of another event is a member as any other, such as what a bot_offline says."""
        offline = {"post_type": "notice", "message": "kicked"}
        for value, expected in (
            ({"message": "kicked"}, True),
            ({"message": {"$regex": "^kick"}}, True),
            ({"message": {"$type": "array"}}, False),
            ({"message": {"$size": 1}}, False),
            ({"message.type": {"$exists": True}}, False),
            ({"message.type": {"$ne": "text"}}, True),
            ({"message.data.text": {"$regex": "kick"}}, False),
            ({"message": {"$elemMatch": {"type": "text"}}}, False),
        ):
            self.assertIs(passes(value, offline), expected, value)
        array = {"post_type": "notice", "message": [{"type": "text", "data": {"text": "a", "b": [1]}}]}
        self.assertTrue(passes({"message.type": "text", "message.data.b": 1}, array))
        self.assertFalse(passes({"message": {"$regex": "a"}}, array))

    def test_long_texts(self) -> None:
        """What stands behind 65536 characters is not searched."""
        for text, expected in (("a" * 65_535 + "b", True), ("a" * 65_536 + "b", False)):
            event = {"post_type": "message", "message": text, "raw_message": text, "other": [text]}
            for name in ("message", "raw_message", "other", "message.data.text"):
                self.assertIs(passes({name: {"$regex": "b"}}, event), expected, name)

    def test_many_long_texts(self) -> None:
        """Of all strings of one event a pattern searches 256 Ki characters, and of the next one as many."""
        judge = reads({"message.data.text": {"$regex": "b"}})
        assert not isinstance(judge, list)
        for count, expected in ((3, True), (4, False), (3, True), (9, False)):
            parts = [{"type": "text", "data": {"text": "a" * 65_536}}] * count
            event = {"post_type": "message", "message": [*parts, {"type": "text", "data": {"text": "b"}}]}
            self.assertIs(judge(subject_of(event_of(event))), expected, count)


class PostTypes(SynchronousTestCase):
    def test_messages_of_the_account(self) -> None:
        """``message_sent`` is ``message`` too, and can be told from it all the same."""
        sent = {"post_type": "message_sent", "user_id": 1}
        for value, expected in (
            ({"post_type": "message"}, True),
            ({"post_type": "message_sent"}, True),
            ({"post_type": {"$in": ["message", "notice"]}}, True),
            ({"post_type": {"$ne": "message_sent"}}, False),
            ({"post_type": {"$nin": ["message"]}}, False),
            ({"post_type": {"$not": {"$regex": "_sent$"}}}, False),
            ({"post_type": "notice"}, False),
        ):
            self.assertIs(passes(value, sent), expected, value)
        self.assertTrue(passes({"post_type": {"$ne": "message_sent"}}, {"post_type": "message"}))
        self.assertFalse(passes({"post_type": "message_sent"}, {"post_type": "message"}))


class Decoding(SynchronousTestCase):
    def test_nothing_is_decoded_that_is_not_asked_for(self) -> None:
        """Once a cheap condition fails the message is not looked at, in whichever order they are written."""
        asked: list[str] = []

        class Watched(EventSubject):
            def member(self, name: str) -> Any:
                asked.append(name)
                return super().member(name)

        event = event_of({"post_type": "message", "group_id": 1, "message": "x", "raw_message": "x"})
        for value in (
            {"message": {"$regex": "x"}, "group_id": 2},
            {"$and": [{"message.type": "text", "raw_message": "x"}, {"group_id": 2}]},
            {"$not": {"$or": [{"message": {"$elemMatch": {"type": "text"}}}, {"group_id": 1}]}},
        ):
            judge = reads(value)
            assert not isinstance(judge, list)
            asked.clear()
            self.assertFalse(judge(Watched(event)))
            self.assertEqual(asked, ["group_id"], value)


#: What filters are made of, right and wrong.
names = st.sampled_from(
    [
        "post_type",
        "message",
        "message.type",
        "message.0.data.text",
        "message.data",
        "raw_message",
        "a",
        "a.b",
        "a.0.b",
        "$eq",
        "",
    ]
)
operators = st.sampled_from(
    "$eq $ne $in $nin $gt $gte $lt $lte $regex $options $exists $type $mod $size $all $elemMatch".split()
    + "$and $or $nor $not $where $x".split()
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["a", "(", "i", "string"]),
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "data", "b", "qq", "text", "0"]), inner, max_size=3)
    ),
)
filters = st.dictionaries(
    names | operators,
    st.recursive(
        json_values,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(operators | names, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=3,
)
events = st.fixed_dictionaries(
    {"post_type": st.sampled_from(["message", "notice", "message_sent"])},
    optional={"message": json_values, "raw_message": json_values, "a": json_values},
)


class AnyFilterAndEvent(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(filters, st.lists(events, min_size=1, max_size=3))
    def test_mistakes_or_a_judgement(self, value: dict[str, Any], members: list[dict[str, Any]]) -> None:
        """A filter has mistakes, or says yes or no to every event, and the same when it is asked again."""
        judge = reads(value)
        if isinstance(judge, list):
            self.assertTrue(all(mistake.sentence for mistake in judge))
            return
        found = [judge(subject_of(event_of(one))) for one in members]
        self.assertTrue(all(type(one) is bool for one in found))
        self.assertEqual([judge(subject_of(event_of(one))) for one in reversed(members)], found[::-1])

    def test_arrays_in_arrays(self) -> None:
        """Seventeen inside each other do not pass, whatever is asked; they take no time."""
        for depth, passing in ((16, True), (17, False), (900, False)):
            event = read_event(b'{"post_type":"message","a":' + b"[" * depth + b"5" + b"]" * depth + b"}")
            for value, expected in (
                ({"a": 5}, True),
                ({"a": {"$not": {"$not": {"$not": 6}}}}, True),
                ({"$nor": [{"a": 6}]}, True),
            ):
                judge = reads(value)
                assert not isinstance(judge, list)
                self.assertIs(judge(subject_of(event)), passing and expected, (depth, value))

    def test_events_that_are_hard_to_read(self) -> None:
        """Nested deeply, numbers that are too large, no UTF-16: nothing raises."""
        judges = [
            reads(value)
            for value in (
                {"a": 5},
                {"$nor": [{"a": 5}]},
                {"a": {"$elemMatch": {"$gt": []}}},
                {"$eq": 5},
                {"a.b": {"$mod": [7, 1]}},
                {"a": {"$gte": "\U0001f600"}},
                {"message.type": "text"},
                {"a": {"$gt": [1]}},
            )
        ]
        for raw in (
            b'{"post_type":"message","a":' + b"[" * 900 + b"]" * 900 + b"}",
            b'{"post_type":"message","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"post_type":"message","a":' + b'{"b":' * 900 + b"1" + b"}" * 900 + b"}",
            b'{"post_type":"message","a":1e400}',
            b'{"post_type":"message","a":{"b":' + b"9" * 5000 + b"}}",
            b'{"post_type":"message","a":{"b":[' + b"9" * 4000 + b",-1e308]}}",
            b'{"post_type":"message","a":["\\ud83d"],"message":"\\ud83d"}',
            b'{"post_type":"message","message":[[[]],{"type":5},{"type":"text","data":[]}]}',
        ):
            try:
                event = read_event(raw)
            except ValueError:
                continue
            for judge in judges:
                assert not isinstance(judge, list)
                self.assertIsInstance(judge(subject_of(event)), bool)
