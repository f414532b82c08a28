"""Segments of Milky as those of OneBot 11: each row, whatever is odd in them, and bounds."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky.incoming import MOST_INCOMING, to_onebot
from lgtwist.milky.keys import Conversation, MessageKey
from lgtwist.onebot.message import as_segments, to_cq
from tests.milky.fake_context import CountedIds
from tests.milky.schema import check_part

GROUP = Conversation("group", 10_002_000)

#: Each incoming segment of Milky, and what bots get.
ROWS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "text", "data": {"text": "你好"}}, {"type": "text", "data": {"text": "你好"}}),
    (
        {"type": "mention", "data": {"user_id": 10_003_000, "name": "Ann"}},
        {"type": "at", "data": {"qq": "10003000", "name": "Ann"}},
    ),
    ({"type": "mention_all", "data": {}}, {"type": "at", "data": {"qq": "all"}}),
    ({"type": "face", "data": {"face_id": "14", "is_large": False}}, {"type": "face", "data": {"id": "14"}}),
    (
        {"type": "face", "data": {"face_id": "14", "is_large": True}},
        {"type": "face", "data": {"id": "14", "is_large": True}},
    ),
    (
        {
            "type": "image",
            "data": {
                "resource_id": "EhQx",
                "temp_url": "https://multimedia.nt.qq.com.cn/download?a=1",
                "width": 10,
                "height": 20,
                "summary": "[动画表情]",
                "sub_type": "sticker",
            },
        },
        {
            "type": "image",
            "data": {
                "file": "EhQx",
                "url": "https://multimedia.nt.qq.com.cn/download?a=1",
                "summary": "[动画表情]",
                "subType": 1,
            },
        },
    ),
    (
        {"type": "record", "data": {"resource_id": "EhQr", "temp_url": "http://127.0.0.1/r", "duration": 3}},
        {"type": "record", "data": {"file": "EhQr", "url": "http://127.0.0.1/r"}},
    ),
    (
        {
            "type": "video",
            "data": {
                "resource_id": "EhQv",
                "temp_url": "http://127.0.0.1/v",
                "width": 1,
                "height": 2,
                "duration": 3,
            },
        },
        {"type": "video", "data": {"file": "EhQv", "url": "http://127.0.0.1/v"}},
    ),
    (
        {
            "type": "file",
            "data": {"file_id": "/f1", "file_name": "a.zip", "file_size": 12, "file_hash": "abc"},
        },
        {
            "type": "file",
            "data": {
                "file": "a.zip",
                "name": "a.zip",
                "file_id": "/f1",
                "file_size": "12",
                "file_hash": "abc",
            },
        },
    ),
    (
        {
            "type": "forward",
            "data": {"forward_id": "res1", "title": "t", "preview": ["a: b"], "summary": "s"},
        },
        {"type": "forward", "data": {"id": "res1"}},
    ),
    (
        {
            "type": "market_face",
            "data": {
                "url": "https://gxh.vip.qq.com/x.gif",
                "emoji_package_id": 231,
                "emoji_id": "e1",
                "key": "k1",
                "summary": "[好]",
            },
        },
        {
            "type": "mface",
            "data": {
                "emoji_package_id": 231,
                "emoji_id": "e1",
                "key": "k1",
                "summary": "[好]",
                "url": "https://gxh.vip.qq.com/x.gif",
            },
        },
    ),
    (
        {"type": "light_app", "data": {"app_name": "com.x", "json_payload": '{"app":"com.x"}'}},
        {"type": "json", "data": {"data": '{"app":"com.x"}'}},
    ),
    (
        {"type": "xml", "data": {"service_id": 60, "xml_payload": "<msg/>"}},
        {"type": "xml", "data": {"data": "<msg/>"}},
    ),
    ({"type": "markdown", "data": {"content": "# a"}}, {"type": "markdown", "data": {"content": "# a"}}),
]


class IncomingTests(SynchronousTestCase):
    def test_each_row(self) -> None:
        """Each segment that Milky has becomes what the table says; the input is Milky's."""
        for milky, onebot in ROWS:
            check_part("IncomingSegment", milky)
            self.assertEqual(to_onebot([milky], GROUP, CountedIds()), [onebot])

    def test_reply_names_the_message_and_comes_first(self) -> None:
        """A reply has the id of the message in this conversation, as a string, and stands in front."""
        ids = CountedIds()
        reply = {
            "type": "reply",
            "data": {"message_seq": 77, "sender_id": 10_003_000, "time": 1, "segments": []},
        }
        check_part("IncomingSegment", reply)
        message = to_onebot([{"type": "text", "data": {"text": "a"}}, reply], GROUP, ids)
        number = ids.id_of(MessageKey("group", GROUP.peer_id, 77))
        self.assertEqual(message[0], {"type": "reply", "data": {"id": str(number)}})
        self.assertEqual([segment["type"] for segment in message], ["reply", "text"])

    def test_reply_inside_a_forward_is_left_out(self) -> None:
        """Nothing says which conversation its number counts."""
        reply = {"type": "reply", "data": {"message_seq": 77}}
        self.assertEqual(to_onebot([reply], None, CountedIds()), [])

    def test_fields_of_milky_1_0(self) -> None:
        """What came with 1.1 to 1.3 may be missing."""
        old = [
            {"type": "mention", "data": {"user_id": 10_003_000}},
            {"type": "face", "data": {"face_id": "1"}},
            {"type": "market_face", "data": {"url": "http://127.0.0.1/m"}},
            {"type": "forward", "data": {"forward_id": "f"}},
        ]
        message = to_onebot(old, GROUP, CountedIds())
        self.assertEqual(message[0]["data"], {"qq": "10003000"})
        self.assertEqual(message[2]["data"]["emoji_id"], "")
        self.assertEqual(message[3]["data"], {"id": "f"})

    def test_unknown_segments_are_texts_and_counted(self) -> None:
        """A type that is not known becomes a text that names it; the callback gets it."""
        seen: list[str] = []
        message = to_onebot(
            [
                {"type": "hologram", "data": {}},
                {"type": 7},
                "x",
                None,
                {"type": "reply", "data": {}},
                {"type": "mention", "data": {"name": "Ann"}},
            ],
            GROUP,
            CountedIds(),
            seen.append,
        )
        self.assertEqual(message[0]["data"]["text"], "[unsupported segment: hologram]")
        self.assertEqual(seen, ["hologram", "7", "", "", "reply"])
        self.assertEqual(message[-1]["data"]["text"], "@Ann")

    def test_url_as_resource_id(self) -> None:
        """A resource_id that is a URL is the URL, where there is no other."""
        data = {"resource_id": "http://127.0.0.1/m.png"}
        (image,) = to_onebot([{"type": "image", "data": data}], GROUP, CountedIds())
        self.assertEqual(image["data"]["url"], "http://127.0.0.1/m.png")

    def test_too_many_segments_are_shortened(self) -> None:
        """Beyond the bound one text says how many there were."""
        many = [{"type": "text", "data": {"text": "a"}}] * (MOST_INCOMING + 5)
        message = to_onebot(many, GROUP, CountedIds())
        self.assertEqual(len(message), MOST_INCOMING)
        self.assertEqual(message[-1]["data"]["text"], "[6 more segments of 2005]")

    def test_many_replies_are_left_out(self) -> None:
        """Beyond eight replies the others are counted only, for each may need a block of ids."""
        seen: list[str] = []
        many = [{"type": "reply", "data": {"message_seq": number}} for number in range(1, 21)]
        message = to_onebot(many, GROUP, CountedIds(), seen.append)
        self.assertEqual((len(message), len(seen)), (8, 12))

    def test_no_list(self) -> None:
        """Anything but a list has no segments."""
        for odd in (None, {}, "text", 5, {"type": "text", "data": {"text": "a"}}):
            self.assertEqual(to_onebot(odd, GROUP, CountedIds()), [])


_KINDS = [milky["type"] for milky, _onebot in ROWS] + ["reply", "unknown", ""]
_KEYS = sorted({key for milky, _onebot in ROWS for key in milky["data"]} | {"message_seq"})
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


class OddSegmentTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            _JSON
            | st.fixed_dictionaries(
                {"type": st.sampled_from(_KINDS) | _JSON},
                optional={"data": st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=6) | _JSON},
            ),
            max_size=4,
        )
    )
    def test_anything_becomes_a_message(self, segments: list[Any]) -> None:
        """Whatever the implementation sends, a message with values comes out that is JSON and a CQ string."""
        message = to_onebot(segments, GROUP, CountedIds(), lambda kind: self.assertLessEqual(len(kind), 64))
        msgspec.json.encode(message)
        to_cq(message)
        self.assertEqual(as_segments(message), message)
        for segment in message:
            self.assertNotIn(None, segment["data"].values())
