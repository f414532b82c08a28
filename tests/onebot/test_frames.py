"""Frames of implementations: responses and events distinguished, echoes removed, dialects recognised."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot import rawjson
from lgtwist.onebot.dialect import Dialect, means_unknown_action, recognise_dialect, signs_with_token
from lgtwist.onebot.event import BadEvent, read_event, read_frame, read_heartbeat
from lgtwist.onebot.responses import (
    is_stream_part,
    read_response_head,
    response_from_body,
    with_echo,
    without_echo,
)
from tests.rounds import quick

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just('","echo":"5"}'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("echo"), inner),
    max_leaves=10,
)
MEMBERS = st.dictionaries(st.text() | st.sampled_from(["data", "stream", 'x"echo"']), VALUES, max_size=6)


class EchoTests(SynchronousTestCase):
    @given(MEMBERS, st.integers(0, 6), st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
    @quick
    def test_removed_and_appended(self, members: dict[str, Any], place: int, separators: Any) -> None:
        """An echo is removed wherever and however it is written; all else is unchanged; ours is appended."""
        members.pop("echo", None)
        items = list(members.items())
        items.insert(place, ("echo", "5"))
        raw = json.dumps(dict([*items, ("retcode", 0)]), separators=separators).encode() + b"\n"
        left = without_echo(raw, b'"5"')
        self.assertEqual(json.loads(left), {**members, "retcode": 0})
        self.assertEqual(json.loads(with_echo(left, b"[1]")), {**members, "retcode": 0, "echo": [1]})
        self.assertEqual(json.loads(rawjson.remove_key(raw, "echo", b'"5"')), {**members, "retcode": 0})

    def test_twice(self) -> None:
        """Of two echoes both are removed."""
        for raw in (b'{"echo":"x","retcode":0,"echo":"5"}', b'{"retcode":0,"echo":"x","echo":"5"}'):
            self.assertEqual(json.loads(without_echo(raw, b'"5"')), {"retcode": 0})

    def test_what_msgspec_refuses(self) -> None:
        """An echo is also removed where a key has a lone surrogate, and from deeply nested objects."""
        raw = b'{"echo":"5","retcode":0,"\\ud800":1}'
        self.assertNotIn(b"echo", without_echo(raw, b'"5"'))
        for depth in range(900, 1100, 7):
            deep = b'{"post_type":"message","echo":1,"x":' + b"[" * depth + b"]" * depth + b"}"
            with contextlib.suppress(BadEvent):
                self.assertNotIn(b"echo", read_event(deep).raw)

    def test_other_members_are_unchanged(self) -> None:
        """The text of all other members is unchanged."""
        for raw, left in (
            ('{ "a" : 1.50 , "echo":2, "b":"\\u00e9" }', '{ "a" : 1.50 , "b":"\\u00e9" }'),
            ('{"echo":{"echo":1},"a":1}', '{"a":1}'),
            ('{"a":1 , "echo":2 }', '{"a":1  }'),
            ('{"echo":1}', "{}"),
        ):
            value = rawjson.member(raw.encode(), "echo")
            remaining = rawjson.remove_key(raw.encode(), "echo", value)
            self.assertEqual(json.loads(remaining), json.loads(left))
            self.assertNotIn(b'"echo"', remaining)


class FrameTests(SynchronousTestCase):
    def test_answers_and_events(self) -> None:
        """A frame with retcode and echo may be a response, one with post_type an event; or both."""
        answer, event = read_frame(b'{"retcode":0,"echo":"5"}')
        self.assertEqual((answer, event), (b'"5"', None))
        answer, event = read_frame(b'{"post_type":"notice","notice_type":"x","self_id":"7","echo":"5"}')
        self.assertIsNone(answer)
        assert event is not None
        self.assertEqual((event.detail, event.self_id, b"echo" in event.raw), ("x", 7, False))
        answer, event = read_frame(b'{"post_type":"notice","retcode":0,"echo":1}')
        self.assertTrue(answer and event)
        self.assertEqual(read_frame(b"{}"), (None, None))
        self.assertEqual(read_frame(b'{"post_type":5,"retcode":null}'), (None, None))

    def test_whose_event(self) -> None:
        """A self_id that is not a number is 0; a missing one is None."""
        for value, self_id in (
            (b"7", 7),
            (b'"7"', 7),
            (b"null", None),
            (b"7.5", 0),
            (b'"7x"', 0),
            (b"true", 0),
        ):
            self.assertEqual(read_event(b'{"post_type":"x","self_id":%b}' % value).self_id, self_id)

    def test_odd_ones(self) -> None:
        """Events with wrong types and lone surrogates are read; what is not an object is rejected."""
        for raw in (
            b'{"post_type":"notice","notice_type":5,"self_id":null,"x":"\\ud83d"}',
            b'{"post_type":"notice","notice_type":null,"meta_event_type":[]}',
        ):
            self.assertEqual(read_event(raw).post_type, "notice")
        for raw in (
            b"",
            b"[]",
            b"5",
            b"nonsense",
            b"{",
            b'{"a":NaN}',
            b'{"a":"\n"}',
            b"[" * 100_000,
            b'{"a":1}x',
        ):
            self.assertRaises(BadEvent, read_frame, raw)

    @given(st.binary() | st.text().map(str.encode) | MEMBERS.map(lambda m: json.dumps(m).encode()))
    @quick
    def test_anything(self, raw: bytes) -> None:
        """Any bytes are a response, an event, neither, or rejected with BadEvent."""
        try:
            raw.decode()
            read_frame(raw)
        except (BadEvent, UnicodeDecodeError):
            pass
        read_response_head(raw)
        response_from_body(raw)
        read_heartbeat(raw) if raw[:1] == b"{" else None
        is_stream_part(raw)

    def test_heartbeats(self) -> None:
        """Interval and online are read where they are those of OneBot 11; else they are unknown."""
        for raw, online, interval in (
            (b'{"status":{"online":true},"interval":5000}', True, 5.0),
            (b'{"status":{"online":false},"interval":0}', False, 0.0),
            (b'{"status":{"online":1},"interval":"5000"}', None, 0.0),
            (b'{"status":[],"interval":-5}', None, 0.0),
            (b'{"interval":1e300}', None, 0.0),
            (b'{"interval":true}', None, 0.0),
        ):
            self.assertEqual(read_heartbeat(raw), (online, interval))


class DialectTests(SynchronousTestCase):
    def test_unknown_actions(self) -> None:
        """Each implementation's response to an unknown action is recognised, and told from other failures."""
        for app_name, response, unknown in (
            ("NapCat.Onebot", {"retcode": 1404, "message": "不支持的API x"}, True),
            ("NapCat.Onebot", {"retcode": 200, "message": "不支持的Api x"}, True),
            ("NapCat.Onebot", {"retcode": 200, "message": "消息不存在"}, False),
            ("Lagrange.OneBot", {"retcode": 404}, True),
            ("Lagrange.OneBot", {"retcode": 200}, False),
            ("go-cqhttp", {"retcode": 404, "msg": "API_NOT_FOUND"}, True),
            ("LLOneBot", {"retcode": 404, "message": "x API 不存在"}, True),
            ("another", {"retcode": 404}, False),
            ("another", {"retcode": 1404}, True),
        ):
            outcome = read_response_head(json.dumps({"status": "failed", **response}).encode())
            self.assertEqual(
                means_unknown_action(recognise_dialect(app_name), outcome), unknown, (app_name, response)
            )
        self.assertTrue(signs_with_token(Dialect.NAPCAT))
        self.assertFalse(signs_with_token(Dialect.LAGRANGE))
