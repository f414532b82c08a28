"""What one message may cost: each bound with its sentence, and what real programs send below them."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.bots.http_api import _read_urlencoded
from lgtwist.bots.javascript_json import json_stringify
from lgtwist.onebot import bounds, rawjson
from lgtwist.onebot.action import read_action
from lgtwist.onebot.errors import BadRequest, OverBound
from lgtwist.onebot.event import Event, place_of, read_event, read_frame
from lgtwist.onebot.message import (
    MessageFormat,
    MessageReader,
    convert_event,
    convert_response,
    from_cq,
    read_message,
    to_cq,
)
from lgtwist.onebot.responses import read_response_head, response_from_body, without_echo
from lgtwist.sandbox.params import Params

IMAGE = "base64://" + "iVBORw0KGgoAAAANSUhEUgAA" * ((14 << 20) // 24)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "data": {"text": words}}


def event_of(message: Any, **more: Any) -> bytes:
    return json.dumps({"post_type": "message", "message": message, **more}, ensure_ascii=False).encode()


class MessageBoundTests(SynchronousTestCase):
    def refused(self, value: Any, words: str) -> None:
        """The sentence names the parameter and the bound."""
        with self.assertRaises(OverBound) as caught:
            read_message(value, "params.message")
        self.assertEqual(caught.exception.retcode, 1400)
        self.assertEqual(caught.exception.sentence, f"params.message{words}")

    def test_segments_and_codes(self) -> None:
        """A message has 10000 segments at most, as an array and as a string."""
        face = {"type": "face", "data": {"id": "1"}}
        self.assertEqual(len(read_message([face] * 10_000, "m")), 10_000)
        self.assertEqual(len(read_message("[CQ:face,id=1]" * 10_000, "m")), 10_000)
        self.assertEqual(len(read_message(["[CQ:face,id=1]"] * 10_000, "m")), 10_000)
        self.refused([face] * 10_001, " has more than 10000 segments")
        self.refused(["a"] * 10_001, " has more than 10000 segments")
        self.refused("[CQ:a]" * 10_001, " has more than 10000 CQ codes")
        self.refused("b[CQ:a]" * 6_000, " has more than 10000 segments")
        self.refused("[CQ:text,text=a]" * 10_001, " has more than 10000 CQ codes")

    def test_messages_inside_messages_count(self) -> None:
        """Also over several messages that one reader reads."""
        node = "[CQ:node,content=" + "&#91;CQ:a&#93;" * 100 + "]"
        self.assertEqual(len(read_message(node * 90, "m")), 90)
        self.refused(node * 100, " has more than 10000 CQ codes")
        reader = MessageReader("m")
        reader.read("[CQ:a]" * 6_000, "m")
        with self.assertRaises(OverBound):
            reader.read("[CQ:a]" * 6_000, "m")

    def test_pairs_and_escapes(self) -> None:
        """A message has 100000 pairs in its codes, and 500000 escapes, at most."""
        code = "[CQ:a" + ",b=1" * 1_000 + "]"
        self.assertEqual(len(from_cq(code * 100)), 100)
        self.refused(code * 101, " has more than 100000 values in its segments")
        keyboard = "[CQ:keyboard,content=&#91;" + "1&#44;" * 60_000 + "1&#93;]"
        self.assertEqual(len(from_cq(keyboard)[0]["data"]["content"]), 60_001)
        self.refused(keyboard * 2, " has more than 100000 values in its segments")
        self.refused("&amp;" * 500_001, " has more than 500000 escapes (&...;)")

    def test_nesting(self) -> None:
        """The data of a segment has 100 levels at most."""
        value: Any = "a"
        for _ in range(99):
            value = [value]
        segment = {"type": "x", "data": {"y": value}}
        self.assertEqual(read_message([segment], "m"), [segment])
        self.refused([{"type": "x", "data": {"y": [value]}}], "[0].data is nested deeper than 100 levels")
        for depth in range(800, 1_000, 13):
            deep: Any = {}
            for _ in range(depth):
                deep = {"a": deep}
            self.refused({"type": "x", "data": deep}, "[0].data is nested deeper than 100 levels")

    def test_strings_that_grow(self) -> None:
        """A string that is made from segments has a bound; it is found before the string is made."""
        for message in (
            [text("&" * 7_000_000)],
            [text("[" * 3_500_000)] * 2,
            [{"type": "a", "data": {"b": "," * 7_000_000}}],
            [{"type": "a", "data": dict.fromkeys("abcdefghij", "," * 700000)}],
            [{"type": "node", "data": {"content": [text("&" * 4_000_000)]}}],
        ):
            with self.assertRaises(OverBound) as caught:
                to_cq(message)
            self.assertIn("33554432 characters", caught.exception.sentence)
        with self.assertRaises(OverBound):
            to_cq([text("abc"), text("de")], 4)
        self.assertEqual(to_cq([text("abc"), text("d")], 4), "abcd")

    def test_text_codes_are_joined(self) -> None:
        """Texts and codes that are texts make one segment; what is no code is text."""
        self.assertEqual(
            from_cq("a&amp;[CQ:text,text=b&#44;[]c[CQ:text][CQ:text,text=d][CQ:,]e"),
            [text("a&[CQ:text,text=b,[]cd[CQ:,]e")],
        )
        self.assertEqual(from_cq("[CQ:text,text=&amp;#44;]"), [text("&#44;")])


class ConversionBoundTests(SynchronousTestCase):
    def unconverted(self, raw: bytes, wanted: MessageFormat) -> None:
        """It is passed on as it came, and counted."""
        for convert in (convert_event, convert_response):
            given = raw if convert is convert_event else b'{"retcode":0,"data":%b}' % raw
            before = bounds.COUNTERS.unconverted
            self.assertTrue(convert(given, wanted) is given)
            self.assertEqual(bounds.COUNTERS.unconverted, before + 1)

    def test_what_is_over_a_bound(self) -> None:
        """Too many segments, codes or values, too large, or grown too much."""
        array, string = MessageFormat.ARRAY, MessageFormat.STRING
        self.unconverted(event_of("[CQ:a]" * 10_001), array)
        self.unconverted(event_of([{"type": "a", "data": {}}] * 10_001), string)
        self.unconverted(event_of("a", x=[0] * 100_000), array)
        self.unconverted(event_of("a" * (16 << 20)), array)
        self.unconverted(event_of([text("&" * 300_000)]), string)
        self.unconverted(event_of([text("&" * 4_000_000)]), string)

    def test_the_messages_of_a_response_count_together(self) -> None:
        """A history of 1000 messages is converted; one with too many codes is not."""
        sender = {"user_id": 5, "nickname": "n", "card": "", "role": "member", "level": "1"}
        message = {
            "message": "a[CQ:at,qq=5] 你好[CQ:face,id=1]",
            "message_id": 1,
            "time": 5,
            "sender": sender,
        }
        history = {"status": "ok", "retcode": 0, "data": {"messages": [message] * 1_000}}
        raw = json.dumps(history).encode()
        converted = json.loads(convert_response(raw, MessageFormat.ARRAY))
        self.assertEqual(len(converted["data"]["messages"][999]["message"]), 4)
        self.assertEqual(
            json.loads(convert_response(json.dumps(converted).encode(), MessageFormat.STRING)), history
        )
        message["message"] = "[CQ:at,qq=5]" * 20
        raw = json.dumps(history).encode()
        before = bounds.COUNTERS.unconverted
        self.assertTrue(convert_response(raw, MessageFormat.ARRAY) is raw)
        self.assertEqual(bounds.COUNTERS.unconverted, before + 1)

    def test_what_programs_send(self) -> None:
        """A picture of 10 MiB in the message, and a forwarded bundle of hundreds, are converted both ways."""
        picture = [text("look, [this]"), {"type": "image", "data": {"file": IMAGE}}]
        node = {"type": "node", "data": {"user_id": "1", "nickname": "你", "content": [text("hi & bye")]}}
        for message in (picture, [node] * 500, [{"type": "node", "data": {"content": picture}}]):
            raw = event_of(message)
            there = convert_event(raw, MessageFormat.STRING)
            self.assertIsInstance(json.loads(there)["message"], str)
            back = convert_event(there, MessageFormat.ARRAY)
            self.assertTrue(json.loads(back) == json.loads(raw))

    def test_javascript(self) -> None:
        """An event with too many values, or numbers of fractions, is posted as it came."""
        for body, changed in (
            (b'{"a": [' + b"1.50," * 9_999 + b"1.5]}", True),
            (b'{"a": [' + b"1.50," * 10_000 + b"1.5]}", False),
            (b'{"a": [' + b"1," * 100_000 + b"1]}", False),
            (b'{"a": "' + b"a" * (16 << 20) + b'"}', False),
            (b'{"a": "\\uD800", "b":"\\ud83d\\ude00"}', True),
        ):
            before = bounds.COUNTERS.unconverted
            self.assertEqual(json_stringify(body) != body, changed, body[:20])
            self.assertEqual(bounds.COUNTERS.unconverted, before + (not changed))
        self.assertEqual(json_stringify(b'{"a": "x\\uD800"}'), b'{"a":"x\\ud800"}')


class LoneSurrogateTests(SynchronousTestCase):
    def test_where_they_are(self) -> None:
        """Each lone escape is marked, no pair, and nothing behind an escaped backslash."""
        for raw, marked in (
            (rb'"\ud83d\ude00"', None),
            (rb'"\uD83D\uDE00\u4f60\ud7ff"', None),
            (rb'"\\ud800"', None),
            (rb'"\\\\ud800 \\ud800\\udc00"', None),
            (rb'"\ud800"', rb'"?ud800"'),
            (rb'"\\\ud800"', rb'"\\?ud800"'),
            (rb'"\\ud800\udc00"', rb'"\\ud800?udc00"'),
            (rb'"\udc00\ud800"', rb'"?udc00?ud800"'),
            (rb'"\ud800\ud83d\ude00"', rb'"?ud800\ud83d\ude00"'),
            (rb'"\uD800\ude0"', rb'"?uD800\ude0"'),
            (rb'"\ud8"', None),
            (b'"' + b"\\\\" * 5_000 + rb'\ud800"', b'"' + b"\\\\" * 5_000 + rb'?ud800"'),
            (b'"' + b"\\\\" * 5_000 + rb'\\ud800"', None),
        ):
            found = rawjson.mark_lone_surrogates(raw)
            self.assertEqual(None if found is None else bytes(found).replace(b"\xff", b"?"), marked, raw[:40])

    def test_bounds(self) -> None:
        """50000 escapes of surrogates, and 6000000 backslashes."""
        for value, words in (
            ("\\ud83d\\ude00" * 50_001, "more than 50000 surrogate escapes, one of them perhaps alone"),
            ("\\n" * 6_000_001, "more than 6000000 backslashes, one of them perhaps of a lone surrogate"),
        ):
            with self.assertRaises(BadRequest) as caught:
                read_action(b'{"action":"a","params":{"x":"%b\\ud800"},"echo":7}' % value.encode())
            self.assertEqual(caught.exception.sentence, f"the message is not JSON: {words}")
            self.assertEqual(caught.exception.echo, b"7")
            self.assertEqual(read_action(b'{"action":"a","params":{"x":"%b"}}' % value.encode()).action, "a")

    def test_a_large_answer_reaches_its_bot(self) -> None:
        """A file of 20 MiB with a lone surrogate in its name, and a list of ten thousand members."""
        file = b'{"name":"a\\uD83D.png","base64":"%b"}' % (b"QUJD" * (5 << 20))
        member = b'{"user_id":1,"card":"\\ud83d","title":"\\u0007\\u0060","a":[1,2,3],"b":0,"c":0,"d":0}'
        named = b'{"nickname":"echo","card":"echo"}'
        for data in (file, b"[%b]" % b",".join([member] * 20_000 + [named] * 400)):
            for raw in (
                b'{"status":"ok","retcode":0,"data":%b,"echo":"12"}' % data,
                b'{"echo": "12", "status":"ok","retcode":0,"data":%b}' % data,
                b'{"status":"ok","retcode":0,"data":%b, "echo" : "12" } ' % data,
                b'{"status":"ok","retcode":0,"data":%b,"echo":"12","stream":"normal-action"}' % data,
            ):
                echo, event = read_frame(raw)
                self.assertEqual((echo, event), (b'"12"', None))
                left = without_echo(raw, b'"12"')
                self.assertNotIn(b'"12"', left)
                self.assertIn(data, left)
                self.assertEqual(left.strip()[-1:], b"}")
                self.assertEqual(read_response_head(left)[:2], ("ok", 0))
                self.assertEqual(response_from_body(raw), left.strip())

    def test_an_echo_in_the_middle_of_very_many_values(self) -> None:
        """It is removed where it is the only one; an inner one and very many values are too much."""
        many = b"[" + b"0," * 100_000 + b"0]"
        self.assertEqual(without_echo(b'{"a":%b,"echo":"1","b":2}' % many, b'"1"'), b'{"a":%b,"b":2}' % many)
        with self.assertRaises(ValueError) as caught:
            without_echo(b'{"a":%b,"echo":"1","b":{"echo":2}}' % many, b'"1"')
        self.assertIn("more than 100000 values", str(caught.exception))

    def test_keys_with_surrogates(self) -> None:
        """An event's echo is removed though keys and values have them, and other echoes are inside."""
        event = read_event(b'{"post_type":"message","\\ud800":{"echo":1},"x":"\\udc00\\\\","\\u0065cho":5}')
        self.assertEqual(event.raw, b'{"post_type":"message","\\ud800":{"echo":1},"x":"\\udc00\\\\"}')


class FormBoundTests(SynchronousTestCase):
    def refused(self, form: bytes) -> str:
        with self.assertRaises(BadRequest) as caught:
            _read_urlencoded(form)
        return caught.exception.sentence

    def test_bounds(self) -> None:
        """16 MiB, 500000 escapes and 1000 fields; JSON is named for more."""
        more = "; send large parameters as application/json"
        self.assertEqual(self.refused(b"a=" + b"b" * (16 << 20)), "a form may have 16777216 bytes" + more)
        escapes = "a form may have 500000 percent escapes and backslashes" + more
        self.assertEqual(self.refused(b"a=" + b"%41" * 500_001), escapes)
        self.assertEqual(self.refused(b"a&" * 1_000), "a form may have 1000 fields" + more)

    def test_what_programs_send(self) -> None:
        """A picture of 10 MiB as a form; Chinese; signs that are no escapes."""
        picture = ("QUJDQUJDQUJDQUJDQUJDQUJDQUJD%2BUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD%2F" * 220_000).encode()
        params = _read_urlencoded(b"file=" + picture)
        self.assertEqual(params["file"].encode(), picture.replace(b"%2B", b"+").replace(b"%2F", b"/"))
        form = b"a=%e4%bd%a0+b%2Bc&b=100%&c=%zz\\x41\\u0041&d=1&d=2&e=%25%32%35"
        self.assertEqual(
            _read_urlencoded(form),
            {"a": "你 b+c", "b": "100%", "c": "%zz\\x41\\u0041", "d": "2", "e": "%25"},
        )
        self.assertIn("the parameters are not urlencoded UTF-8", self.refused(b"a=%ff"))


class PlaceTests(SynchronousTestCase):
    def test_read_once(self) -> None:
        """The place of an event is read once, for however many bots it is asked."""
        event = Event(b'{"group_id":1,"user_id":"2"}', "message")
        self.assertEqual(place_of(event), (1, 2))
        self.assertIs(place_of(event), place_of(event))


class NodesTests(SynchronousTestCase):
    def test_contents_count_together(self) -> None:
        """The contents of all nodes of a forwarded message have 10000 segments together."""
        for number, content in ((2, "[CQ:a]" * 1_000), (200, [{"type": "a", "data": {}}] * 20)):
            node = {"type": "node", "data": {"content": content}}
            nodes = Params(json.dumps({"messages": [node] * number}).encode()).nodes()
            self.assertEqual(len(nodes[-1]["data"]["content"]), len(content) // (6 if number == 2 else 1))
        node["data"]["content"] = "[CQ:a]" * 1_000
        with self.assertRaises(OverBound) as caught:
            Params(json.dumps({"messages": [node] * 11}).encode()).nodes()
        self.assertEqual(
            caught.exception.sentence, "params.messages[9].data.content has more than 10000 segments"
        )
