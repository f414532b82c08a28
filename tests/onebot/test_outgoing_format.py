"""The messages of bots' actions, in the format that an implementation takes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot import bounds
from lgtwist.onebot.message import MessageFormat, convert_params, from_cq
from tests.rounds import quick

ARRAY, STRING = MessageFormat.ARRAY, MessageFormat.STRING
AT: dict[str, Any] = {"type": "at", "data": {"qq": "1"}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "data": {"text": words}}


def node(content: Any) -> dict[str, Any]:
    return {"type": "node", "data": {"user_id": "1", "nickname": "a", "content": content}}


def converted(wanted: MessageFormat, **params: Any) -> Any:
    return json.loads(convert_params(json.dumps(params).encode(), wanted))


class ConvertParamsTests(SynchronousTestCase):
    def assert_same(self, wanted: MessageFormat, raw: bytes) -> None:
        self.assertIs(convert_params(raw, wanted), raw)

    def test_to_an_array(self) -> None:
        cases: list[tuple[Any, Any]] = [
            ("你好[CQ:at,qq=1]&#91;", [text("你好"), AT, text("[")]),
            (AT, [AT]),
            (123, [text("123")]),
            (["a", AT], [text("a"), AT]),
        ]
        for message, expected in cases:
            self.assertEqual(
                converted(ARRAY, group_id=7, message=message), {"group_id": 7, "message": expected}
            )

    def test_to_a_string(self) -> None:
        cases: list[tuple[Any, str]] = [
            ([text("a[b"), AT], "a&#91;b[CQ:at,qq=1]"),
            (AT, "[CQ:at,qq=1]"),
            (123, "123"),
            (["a[CQ:at,qq=1]", text("&")], "a[CQ:at,qq=1]&amp;"),
        ]
        for message, expected in cases:
            self.assertEqual(converted(STRING, message=message), {"message": expected})

    def test_plain_text(self) -> None:
        """``auto_escape`` is true in any way that programs write it, and false afterwards."""
        for true in (True, "true", 1):
            given_ = {"message": "[CQ:at,qq=1]", "auto_escape": true}
            self.assertEqual(
                converted(ARRAY, **given_), {"message": [text("[CQ:at,qq=1]")], "auto_escape": False}
            )
            self.assertEqual(
                converted(STRING, **given_), {"message": "&#91;CQ:at,qq=1&#93;", "auto_escape": False}
            )
            self.assertEqual(
                converted(STRING, message=[AT], auto_escape=true),
                {"message": "[CQ:at,qq=1]", "auto_escape": False},
            )

    def test_what_has_the_format_already(self) -> None:
        self.assert_same(ARRAY, b'{"message": [ {"type":"at","data":{"qq":1}, "x":1} ], "auto_escape":true}')
        self.assert_same(STRING, b'{"message" : "a[CQ:at,qq=1]", "auto_escape":false}')
        self.assert_same(ARRAY, b'{"group_id" : 1}')
        self.assert_same(MessageFormat.AS_IS, b'{"message":"a"}')

    def test_other_parameters_stay_as_they_came(self) -> None:
        raw = b'{"group_id": 12345678901234567890,"message":"a","x":{"b": 1.0e+2, "a":"\\u6d4b"}}'
        expected = (
            b'{"group_id":12345678901234567890,"message":[{"type":"text","data":{"text":"a"}}],'
            b'"x":{"b": 1.0e+2, "a":"\\u6d4b"}}'
        )
        self.assertEqual(convert_params(raw, ARRAY), expected)

    def test_nodes(self) -> None:
        for name in ("messages", "message"):
            self.assertEqual(
                converted(ARRAY, **{name: [node("a[CQ:at,qq=1]"), node([node("b")])]})[name],
                [node([text("a"), AT]), node([node([text("b")])])],
            )
        self.assertEqual(
            converted(STRING, messages=[node([text("a"), AT]), node([node([text("b")])])])["messages"],
            [node("a[CQ:at,qq=1]"), node([node("b")])],
        )
        self.assert_same(STRING, b'{"messages": [{"type":"node","data":{"id":"1"}}]}')
        self.assertEqual(
            converted(STRING, message=[node([AT])])["message"],
            "[CQ:node,user_id=1,nickname=a,content=&#91;CQ:at&#44;qq=1&#93;]",
        )

    def test_what_is_no_message(self) -> None:
        for raw in (b'{"message":null}', b'{"message":true}', b'{"message":[1,{"x":1}]}', b'{"message":{}}'):
            self.assert_same(ARRAY, raw)
            self.assert_same(STRING, raw)

    def test_over_a_bound(self) -> None:
        before = bounds.COUNTERS.unconverted
        codes = "[CQ:a]" * (bounds.MAX_SEGMENTS + 1)
        self.assert_same(ARRAY, json.dumps({"message": codes}).encode())
        self.assert_same(STRING, json.dumps({"message": [AT] * (bounds.MAX_SEGMENTS + 1)}).encode())
        self.assertEqual(bounds.COUNTERS.unconverted, before + 2)

    def test_half_an_emoji(self) -> None:
        raw = b'{"group_id":1,"message":"a\\ud83d[CQ:at,qq=1]"}'
        got = convert_params(raw, ARRAY)
        self.assertIn(b'{"text":"a\\ud83d"}', got)
        self.assertEqual(json.loads(got)["message"][1], AT)

    @given(st.text(st.sampled_from("a[]CQ:,=&#91;測")), st.booleans())
    @quick
    def test_there_and_back(self, message: str, auto_escape: bool) -> None:
        array = converted(ARRAY, message=message, auto_escape=auto_escape)["message"]
        self.assertEqual(array, ([text(message)] if message else []) if auto_escape else from_cq(message))
        string = converted(STRING, message=array)["message"]
        self.assertEqual(from_cq(string), array)
