from __future__ import annotations

import gc
import json
import weakref
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters.subject import MISSING, SEARCHED_LENGTH, EventSubject, subject_of
from lgtwist.onebot.bounds import MAX_DECODED_VALUES, MAX_SEGMENTS
from lgtwist.onebot.event import Event, read_event
from tests.rounds import quick

#: Any JSON value, small.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
#: What may stand as the ``message`` of an odd event.
MESSAGES = (
    JSON
    | st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["text", "at", "reply", "node"]) | JSON,
                "data": st.fixed_dictionaries({}, optional={"text": JSON, "qq": JSON, "content": JSON})
                | JSON,
            },
        ),
        max_size=3,
    )
    | st.sampled_from(["[CQ:at,qq=1]", "[CQ:", "a&#91;", "[CQ:node,content=[CQ:at]]"])
)


def subject(members: str) -> EventSubject:
    """The subject of a message event with these members, a part of a JSON text."""
    return subject_of(read_event(('{"post_type":"message",' + members + "}").encode()))


class MemberTests(SynchronousTestCase):
    def test_values(self) -> None:
        """A member has its JSON and its value; one that is not there is missing."""
        found = subject('"a": 1.0 ,"b":{ "c" : null },"d":null')
        self.assertEqual(found.raw_member("a"), b"1.0")
        self.assertEqual(found.raw_member("b"), b'{ "c" : null }')
        self.assertEqual((found.member("a"), found.member("b")), (1.0, {"c": None}))
        self.assertIsNone(found.member("d"))
        self.assertIs(found.member("e"), MISSING)
        self.assertFalse(MISSING)
        self.assertEqual(found.raw_member("e"), b"")

    def test_each_event_has_one(self) -> None:
        """All bots share it, and a value is decoded once."""
        event = read_event(b'{"post_type":"notice","a":{"b":1}}')
        self.assertIs(subject_of(event), subject_of(event))
        self.assertIs(subject_of(event).member("a"), subject_of(event).member("a"))

    def test_no_cycle(self) -> None:
        """It ends with its event, without the collector: events are not looked at by that."""
        event = read_event(b'{"post_type":"message","message":"a"}')
        held = subject_of(event)
        held.cq(), held.text(), held.raw_segments()
        self.assertFalse(any(isinstance(one, Event) for one in gc.get_referents(held)))
        self.assertRaises(TypeError, weakref.ref, event)  # else the test could ask it directly

    def test_message_sent_is_message(self) -> None:
        found = subject_of(read_event(b'{"post_type":"message_sent","self_id":5}'))
        self.assertEqual((found.post_type, found.self_id), ("message", 5))
        self.assertEqual(subject_of(read_event(b'{"post_type":"request"}')).post_type, "request")

    def test_equal_keys(self) -> None:
        """The last counts, as for routing."""
        found = subject('"group_id":1,"group_id":2,"message":"a","message":"b"')
        self.assertEqual((found.member("group_id"), found.cq()), (2, "b"))

    def test_lone_surrogates(self) -> None:
        """They are U+FFFD in what is decoded, and as they came in the JSON."""
        found = subject('"a":"x\\ud83d","message":[{"type":"text","data":{"text":"\\udc00!"}}]')
        self.assertEqual(found.member("a"), "x\ufffd")
        self.assertEqual(found.raw_member("a"), b'"x\\ud83d"')
        self.assertEqual((found.cq(), found.text()), ("\ufffd!", "\ufffd!"))

    def test_numbers_that_are_too_large(self) -> None:
        found = subject('"a":1e999,"b":' + "9" * 5000)
        self.assertEqual(found.member("a"), "1e999")
        self.assertEqual(found.member("b"), "9" * 5000)

    def test_too_many_values(self) -> None:
        """They count as missing, and so does a message with them."""
        many = "[" + "0," * MAX_DECODED_VALUES + "0]"
        found = subject(f'"a":{many},"message":{many},"b":1,"c":"{many}"')
        self.assertIs(found.member("a"), MISSING)
        self.assertEqual((found.cq(), found.segments(), found.raw_segments()), ("", [], b"[]"))
        self.assertEqual(found.member("b"), 1)
        self.assertEqual(found.member("c"), many)

    def test_what_cannot_be_read_is_missing(self) -> None:
        """Of an event that nobody has checked, too."""
        for raw in (b"", b"{", b"[]", b'{"a":}', b"\xff", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"):
            found = subject_of(Event(raw, "message"))
            self.assertIs(found.member("a"), MISSING)
            self.assertEqual((found.segments(), found.cq(), found.text()), ([], "", ""))

    def test_deep_message(self) -> None:
        deep = '[{"type":"a","data":{"b":' + "[" * 900 + "]" * 900 + "}}]"
        self.assertIsInstance(subject(f'"message":{deep}').cq(), str)


class MessageTests(SynchronousTestCase):
    AT = {"type": "at", "data": {"qq": "5"}}
    TEXT = {"type": "text", "data": {"text": " a,[b]"}}

    def test_both_forms(self) -> None:
        """Segments and CQ codes are the same, whichever form the message has."""
        for message in ([self.AT, self.TEXT], "[CQ:at,qq=5] a,&#91;b&#93;"):
            found = subject(f'"message":{json.dumps(message)}')
            self.assertEqual(found.segments(), [self.AT, self.TEXT])
            self.assertEqual(json.loads(found.raw_segments()), [self.AT, self.TEXT])
            self.assertEqual(found.cq(), "[CQ:at,qq=5] a,&#91;b&#93;")
            self.assertEqual(found.text(), "a,[b]")

    def test_one_segment(self) -> None:
        """A message may be one segment, which is no array."""
        found = subject(f'"message":{json.dumps(self.AT)}')
        self.assertEqual((found.segments(), found.cq()), ([self.AT], "[CQ:at,qq=5]"))
        self.assertEqual(json.loads(found.raw_segments()), [self.AT])

    def test_the_bytes_of_segments(self) -> None:
        """An array of segments is seen as it came; what is odd in it is put right."""
        self.assertEqual(
            subject('"message":[ {"type":"at","data":{"qq":5.0}} ]').raw_segments(),
            b'[ {"type":"at","data":{"qq":5.0}} ]',
        )
        odd = subject('"message":[{"type":"at"}]')
        self.assertEqual(json.loads(odd.raw_segments()), [{"type": "at", "data": {}}])
        odd = subject('"message":["a",{"type":"at","data":null},7,null]')
        self.assertEqual(
            json.loads(odd.raw_segments()),
            [
                {"type": "text", "data": {"text": "a"}},
                {"type": "at", "data": {}},
                {"type": "text", "data": {"text": "7"}},
            ],
        )

    def test_no_message(self) -> None:
        for members in (
            '"a":1',
            '"message":null',
            '"message":5',
            '"message":{}',
            '"message":[]',
            '"message":[5]',
        ):
            found = subject(members)
            self.assertEqual((found.segments(), found.cq(), found.text()), ([], "", ""), members)
            self.assertEqual(found.raw_segments(), b"[]", members)

    def test_of_other_events(self) -> None:
        """``message`` of another event is no message: what a bot_offline says has no segments."""
        for message in ('"kicked"', '[{"type":"at","data":{"qq":"5"}}]'):
            members = f'{{"post_type":"notice","message":{message}}}'
            self.assertEqual(subject_of(read_event(members.encode())).segments(), [], message)

    def test_text(self) -> None:
        """It begins behind replies, mentions and blanks; numbers are text."""
        for message, text in [
            ("[CQ:reply,id=1][CQ:at,qq=5] /ping ", "/ping "),
            ("[CQ:at,qq=5]\u3000\n[CQ:at,qq=6] #x", "#x"),
            ("a[CQ:at,qq=5]b", "ab"),
            ("[CQ:image,file=x]", ""),
            ([{"type": "text", "data": {"text": 5}}], "5"),
            ([{"type": "text"}, {"type": "text", "data": {"text": ["a"]}}], ""),
        ]:
            self.assertEqual(subject(f'"message":{json.dumps(message)}').text(), text)

    def test_long_messages_are_cut(self) -> None:
        for message in ("a" * 200_000, [{"type": "text", "data": {"text": "a" * 200_000}}]):
            found = subject(f'"message":{json.dumps(message)}')
            self.assertEqual((len(found.cq()), len(found.text())), (SEARCHED_LENGTH, SEARCHED_LENGTH))

    def test_too_many_codes(self) -> None:
        """The string is searched all the same; segments there are none."""
        found = subject(f'"message":"{"[CQ:face,id=1]" * (MAX_SEGMENTS + 1)}"')
        self.assertEqual((found.segments(), found.text()), ([], ""))
        self.assertTrue(found.cq().startswith("[CQ:face,id=1]["))

    @quick
    @given(MESSAGES)
    def test_never_raises(self, message: Any) -> None:
        """Whatever stands as the message, it can be asked for everything."""
        found = subject(f'"message":{json.dumps(message)}')
        self.assertIsInstance(found.cq(), str)
        self.assertIsInstance(found.text(), str)
        self.assertIsInstance(json.loads(found.raw_segments()), list)
        for segment in found.segments():
            self.assertIsInstance(segment["type"], str)
