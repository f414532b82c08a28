"""Messages as segments and as strings with CQ codes, converted both ways."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.errors import BadRequest, OverBound
from lgtwist.onebot.message import (
    MessageFormat,
    convert_event,
    convert_response,
    escape,
    from_cq,
    read_message,
    to_cq,
    unescape,
)
from tests.rounds import SLOWNESS, quick

#: Table 4.6 of the dialects: every type of segment that the implementations know, as they send it.
SEGMENTS: list[dict[str, Any]] = [
    {"type": "text", "data": {"text": "plain, [brackets] & more"}},
    {"type": "face", "data": {"id": "123"}},
    {
        "type": "image",
        "data": {"file": "a.jpg", "type": "flash", "url": "http://x/?a=1&b=[2],c", "cache": "0"},
    },
    {"type": "record", "data": {"file": "1.mp3", "magic": "1"}},
    {"type": "video", "data": {"file": "http://baidu.com/1.mp4"}},
    {"type": "at", "data": {"qq": "10001000"}},
    {"type": "at", "data": {"qq": "all"}},
    {"type": "rps", "data": {}},
    {"type": "dice", "data": {"result": "3"}},
    {"type": "shake", "data": {}},
    {"type": "poke", "data": {"type": "126", "id": "2003"}},
    {"type": "anonymous", "data": {"ignore": "1"}},
    {"type": "share", "data": {"url": "http://baidu.com", "title": "百度"}},
    {"type": "contact", "data": {"type": "qq", "id": "10001000"}},
    {"type": "location", "data": {"lat": "39.8969426", "lon": "116.3109099", "title": "x"}},
    {"type": "music", "data": {"type": "custom", "url": "http://x", "audio": "http://y", "title": "音乐"}},
    {"type": "reply", "data": {"id": "123456"}},
    {"type": "forward", "data": {"id": "123456"}},
    {"type": "node", "data": {"id": "123456"}},
    {
        "type": "node",
        "data": {
            "user_id": "10001000",
            "nickname": "某人",
            "content": [
                {"type": "face", "data": {"id": "123"}},
                {"type": "text", "data": {"text": "哈喽,[~] & co"}},
                {"type": "node", "data": {"content": [{"type": "text", "data": {"text": "in, [inner]"}}]}},
            ],
        },
    },
    {"type": "xml", "data": {"data": "<?xml version='1.0'?><a b=\"[c]\">,&amp;</a>"}},
    {"type": "json", "data": {"data": '{"app": ["x", 1], "y": "&#44;"}'}},
    {"type": "mface", "data": {"emoji_package_id": "1", "emoji_id": "a", "key": "k", "summary": "[笑]"}},
    {"type": "markdown", "data": {"content": '{"content":"# hi\\n[a](b)"}'}},
    {"type": "keyboard", "data": {"content": {"rows": [{"buttons": [{"id": "1"}]}]}}},
    {"type": "longmsg", "data": {"id": "x"}},
    {"type": "file", "data": {"file": "a.txt", "name": "a, b.txt", "file_id": "/x"}},
    {"type": "redbag", "data": {"title": "恭喜发财"}},
    {"type": "cardimage", "data": {"file": "x", "minwidth": "400"}},
    {"type": "tts", "data": {"text": "hi, [you]"}},
    {"type": "miniapp", "data": {"data": "{}"}},
    {"type": "onlinefile", "data": {"msgId": "1", "fileName": "x"}},
    {"type": "flashtransfer", "data": {"fileSetId": "1"}},
]

WORDS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("[],&=#;CQ:49 "), max_size=12)
KEYS = st.text("abcXYZ_019", min_size=1, max_size=6)
CODES = st.fixed_dictionaries(
    {
        "type": st.text("abcxyz-_.09", min_size=1, max_size=6).filter(
            lambda t: t not in ("text", "node", "keyboard", "markdown")
        ),
        "data": st.dictionaries(KEYS, WORDS, max_size=3),
    }
)
TEXTS = WORDS.filter(bool).map(lambda text: {"type": "text", "data": {"text": text}})


def no_adjacent_texts(message: list[dict[str, Any]]) -> bool:
    return not any(a["type"] == b["type"] == "text" for a, b in zip(message, message[1:], strict=False))


class CqTests(SynchronousTestCase):
    def test_every_segment_there_and_back(self) -> None:
        """Each type of segment is the same after a conversion there and back, alone and among others."""
        for segment in SEGMENTS:
            self.assertEqual(from_cq(to_cq([segment])), [segment])
        self.assertEqual(from_cq(to_cq(SEGMENTS)), SEGMENTS)

    def test_examples_of_the_standard(self) -> None:
        """Escapes are those of OneBot 11: & [ ] in text, and the comma inside a code."""
        self.assertEqual(escape("- & [ ] ,"), "- &amp; &#91; &#93; ,")
        self.assertEqual(escape("- & [ ] ,", True), "- &amp; &#91; &#93; &#44;")
        self.assertEqual(
            to_cq([{"type": "share", "data": {"title": "震惊,小伙睡觉前居然..."}}]),
            "[CQ:share,title=震惊&#44;小伙睡觉前居然...]",
        )
        self.assertEqual(
            from_cq("[CQ:face,id=178]看看我刚拍的照片[CQ:image,file=123.jpg]"),
            [
                {"type": "face", "data": {"id": "178"}},
                {"type": "text", "data": {"text": "看看我刚拍的照片"}},
                {"type": "image", "data": {"file": "123.jpg"}},
            ],
        )
        self.assertEqual(from_cq("[CQ:image,file=a==]")[0]["data"], {"file": "a=="})

    def test_what_cq_codes_cannot_say(self) -> None:
        """Numbers and booleans become strings, null is dropped, adjacent texts are joined."""
        message = [{"type": "at", "data": {"qq": 1, "a": True, "b": False, "c": None, "d": 1.5}}]
        self.assertEqual(
            from_cq(to_cq(message))[0]["data"], {"qq": "1", "a": "true", "b": "false", "d": "1.5"}
        )
        texts = [{"type": "text", "data": {"text": "a"}}, {"type": "text", "data": {"text": "b"}}]
        self.assertEqual(from_cq(to_cq(texts)), [{"type": "text", "data": {"text": "ab"}}])

    def test_what_only_looks_like_a_code(self) -> None:
        """Brackets that are not a code, and codes without an end, are text."""
        for text in (
            "[",
            "]",
            "[CQ]",
            "[CQ:",
            "[CQ:]",
            "[CQ:face",
            "[cq:face,id=1]",
            "[CQ:a[CQ:b",
            "&",
            "&#91",
        ):
            self.assertEqual(from_cq(text), [{"type": "text", "data": {"text": text}}], text)
        self.assertEqual(from_cq(""), [])
        self.assertEqual(from_cq("[CQ:a,,b]")[0], {"type": "a", "data": {"": "", "b": ""}})

    @quick
    @given(st.lists(CODES | TEXTS, max_size=6).filter(no_adjacent_texts))
    def test_any_message_there_and_back(self, message: list[dict[str, Any]]) -> None:
        """Texts and string values of any content are not changed by a conversion."""
        self.assertEqual(from_cq(to_cq(message)), message)

    @quick
    @given(WORDS | st.text("[CQ:a,b=]&#", max_size=40))
    def test_any_string(self, text: str) -> None:
        """Any string is a message, and the same after a conversion to a string and back."""
        message = from_cq(text)
        self.assertEqual(from_cq(to_cq(message)), message)
        self.assertEqual(unescape(escape(text, True)), text)

    def test_long_strings_take_linear_time(self) -> None:
        """Hostile strings are read in linear time."""
        for piece in ("[CQ:", "[CQ:a,", "[CQ:a,b=", "[", "&amp;", "[CQ:a]"):
            started = time.process_time()
            with contextlib.suppress(OverBound):
                from_cq(piece * (500_000 // len(piece)))
            self.assertLess(time.process_time() - started, 2.0 * SLOWNESS, piece)

    def test_deep_nesting_takes_no_longer(self) -> None:
        """Nested messages are read down to a limit; below it they stay strings."""
        text = "x" * 200_000
        for _ in range(300):
            text = "[CQ:node,content=" + escape(text, True)[:200_000] + "]"
        started = time.process_time()
        from_cq(text)
        self.assertLess(time.process_time() - started, 2.0 * SLOWNESS)


class ReadTests(SynchronousTestCase):
    def test_as_frameworks_send_them(self) -> None:
        """A message may be a string, an array, one segment, strings in an array, or a number."""
        face = {"type": "face", "data": {"id": "1"}}
        text = {"type": "text", "data": {"text": "[CQ:face,id=1]"}}
        self.assertEqual(read_message("[CQ:face,id=1]", "m"), [face])
        self.assertEqual(read_message("[CQ:face,id=1]", "m", auto_escape=True), [text])
        self.assertEqual(read_message([face], "m", auto_escape=True), [face])
        self.assertEqual(read_message(face, "m"), [face])
        self.assertEqual(read_message(["a", face], "m"), [{"type": "text", "data": {"text": "a"}}, face])
        self.assertEqual(read_message(5, "m"), [{"type": "text", "data": {"text": "5"}}])
        self.assertEqual(read_message([{"type": "rps"}], "m"), [{"type": "rps", "data": {}}])
        for wrong in (None, True, [1], [{"type": 1}], [{"data": {}}], [{"type": "a", "data": 1}], {"a": 1}):
            with self.assertRaises(BadRequest):
                read_message(wrong, "m")


class ConvertTests(SynchronousTestCase):
    ARRAY = [{"type": "text", "data": {"text": "a,b"}}, {"type": "face", "data": {"id": "1"}}]
    STRING = "a,b[CQ:face,id=1]"

    def event(self, message: Any) -> bytes:
        return json.dumps(
            {"post_type": "message", "message": message, "raw_message": self.STRING, "n": 1.5}
        ).encode()

    def test_events(self) -> None:
        """An event is converted where its format differs, else unchanged; raw_message is unchanged."""
        for message, wanted, expected in (
            (self.ARRAY, MessageFormat.STRING, self.STRING),
            (self.STRING, MessageFormat.ARRAY, self.ARRAY),
        ):
            converted = json.loads(convert_event(self.event(message), wanted))
            self.assertEqual((converted["message"], converted["raw_message"]), (expected, self.STRING))
            self.assertEqual(list(converted), ["post_type", "message", "raw_message", "n"])
        for raw, wanted in (
            (self.event(self.ARRAY), MessageFormat.ARRAY),
            (self.event(self.STRING), MessageFormat.STRING),
            (self.event(self.ARRAY), MessageFormat.AS_IS),
            (b'{"post_type" : "notice"}', MessageFormat.STRING),
            (b'{"post_type" : "message", "message" : 5}', MessageFormat.STRING),
        ):
            self.assertEqual(json.loads(convert_event(raw, wanted)), json.loads(raw))
        same = self.event(self.ARRAY)
        self.assertIs(convert_event(same, MessageFormat.ARRAY), same)

    def test_a_lone_surrogate_in_a_message(self) -> None:
        """A message with a lone surrogate is converted."""
        raw = b'{"post_type":"message","message":[{"type":"text","data":{"text":"\\ud83d"}}]}'
        json.loads(convert_event(raw, MessageFormat.STRING))

    def test_responses(self) -> None:
        """Responses of each action with messages are converted to each format and back."""
        shapes: list[Any] = [
            lambda m: {"message_id": 1, "message": m, "raw_message": "x"},
            lambda m: {"messages": [{"message": m}, {"message": m, "sender": {"user_id": 1}}]},
            lambda m: {"message": [{"type": "node", "data": {"user_id": "1", "content": m}}]},
            lambda m: {"messages": [{"content": m, "sender": {}}]},
            lambda m: [{"content": m, "message_id": 1}],
        ]
        for shape in shapes:
            array = json.dumps({"status": "ok", "retcode": 0, "data": shape(self.ARRAY)}).encode()
            string = json.dumps({"status": "ok", "retcode": 0, "data": shape(self.STRING)}).encode()
            self.assertEqual(json.loads(convert_response(array, MessageFormat.STRING)), json.loads(string))
            self.assertEqual(json.loads(convert_response(string, MessageFormat.ARRAY)), json.loads(array))
            self.assertIs(convert_response(array, MessageFormat.AS_IS), array)


class BoundTests(SynchronousTestCase):
    def test_messages_in_messages(self) -> None:
        """The string of nested messages grows only linearly with their size."""
        message: list[Any] = [{"type": "text", "data": {"text": "&[," * 10_000}}]
        for _ in range(90):
            message = [{"type": "node", "data": {"content": message}}]
        began = time.process_time()
        text = to_cq(message)
        self.assertLess((len(text), time.process_time() - began), (3_000_000, 1.0 * SLOWNESS))
        from_cq(text)

    def test_a_code_with_a_million_commas(self) -> None:
        """It is text, and uses little memory."""
        text = "[CQ:a" + "," * 1_000_000 + "]"
        tracemalloc.start()
        try:
            self.assertEqual(from_cq(text), [{"type": "text", "data": {"text": text}}])
            self.assertLess(tracemalloc.get_traced_memory()[1], 20_000_000)
        finally:
            tracemalloc.stop()
