"""Every reader of JSON with what programs really write: nothing raises, and the meaning is kept."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot import rawjson
from lgtwist.onebot.action import read_action
from lgtwist.onebot.event import BadEvent, Place, place_of, read_event, read_frame, read_id, repair_frame
from lgtwist.onebot.message import MessageFormat, convert_event, convert_response, from_cq, to_cq
from lgtwist.onebot.responses import (
    read_response_head,
    response_data,
    response_from_body,
    with_echo,
    without_echo,
)
from lgtwist.sandbox.params import Params
from tests.onebot.strategies import (
    IDS,
    TEXTS,
    VALUES,
    Program,
    meaning,
    programs,
    without_surrogates,
)
from tests.rounds import quick

MEMBERS = st.dictionaries(TEXTS, VALUES, max_size=3)
SEGMENTS = st.lists(
    st.builds(lambda text: {"type": "text", "data": {"text": text}}, TEXTS)
    | st.builds(lambda text: {"type": "image", "data": {"file": text, "url": None}}, TEXTS),
    max_size=4,
)


def received(raw: bytes) -> tuple[bytes, bytes | None, Any]:
    """Return a frame of an implementation as a link reads it, its echo and its event."""
    try:
        return (raw, *read_frame(raw))
    except BadEvent as refusal:
        raw = repair_frame(raw, refusal)
        return (raw, *read_frame(raw))


def read(text: bytes) -> Any:
    """Return what a bot reads: the text must be JSON."""
    return json.loads(text.decode(), parse_constant=float)


class ProgramTests(SynchronousTestCase):
    @given(programs(constants=False), TEXTS.filter(bool), MEMBERS, VALUES)
    @quick
    def test_actions(self, program: Program, action: str, params: dict[str, Any], echo: Any) -> None:
        """An action is read, and what is passed on of it is JSON that means the same."""
        text = program.write({"action": action, "params": params, "echo": echo})
        request = read_action(text)
        expected = meaning(text)
        self.assertEqual(request.action, action)
        self.assertEqual(read(request.params), expected["params"] or {})
        assert request.echo is not None
        self.assertEqual(read(request.echo), expected["echo"])

    @given(programs(), VALUES, TEXTS, st.sampled_from(["ok", "failed", "async"]))
    @quick
    def test_responses(self, program: Program, data: Any, reason: str, status: str) -> None:
        """A response reaches its call, with the same data, and its reason is read."""
        sent = {"status": status, "retcode": program.field(7), "data": data, "message": reason, "echo": "12"}
        text = program.write(sent)
        raw, echo, event = received(text)
        assert echo is not None
        self.assertEqual((read_id(echo), event), (12, None))
        left = without_echo(raw, echo)
        expected = meaning(text)
        del expected["echo"]
        self.assertEqual(read(left), expected)
        self.assertEqual(read(with_echo(left, b"[1]")), {**expected, "echo": [1]})
        head = read_response_head(left)
        self.assertEqual(head, (status, 7, reason))
        self.assertEqual(response_from_body(text.strip()) or b"", left.strip())
        response_data(left).decode()

    @given(programs(), TEXTS)
    @quick
    def test_login_info(self, program: Program, nickname: str) -> None:
        """The account's number is read whatever its nickname is."""
        text = program.write({"retcode": 0, "data": {"nickname": nickname, "user_id": "10001"}, "echo": "1"})
        raw, echo, _event = received(text)
        data = read(response_data(without_echo(raw, echo or b"")))
        self.assertEqual(data, {"user_id": "10001", "nickname": without_surrogates(nickname)})

    @given(programs(), MEMBERS, IDS, SEGMENTS)
    @quick
    def test_events(self, program: Program, members: dict[str, Any], group_id: int, message: Any) -> None:
        """An event is read, its group and its message in each format; all else means the same."""
        sent = {**members, "post_type": "message", "group_id": str(group_id), "user_id": "7"}
        for given_format, value in (("array", message), ("string", to_cq(message))):
            text = program.write({**sent, "message": value, "message_format": given_format})
            event = read_event(text, repair=True)
            expected = meaning(text)
            self.assertEqual(read(event.raw), expected)
            self.assertEqual(place_of(event), Place(group_id, 7))
            as_text = read(convert_event(event.raw, MessageFormat.STRING))
            as_array = read(convert_event(event.raw, MessageFormat.ARRAY))
            written = expected.pop("message")
            del expected["message_format"]
            string = to_cq(read_segments(written)) if isinstance(written, list) else written
            array = from_cq(written) if isinstance(written, str) else written
            self.assertEqual(as_text, {**expected, "message": string, "message_format": "string"})
            self.assertEqual(as_array, {**expected, "message": array, "message_format": "array"})
            response = b'{"data":%b}' % event.raw
            got = read(convert_response(response, MessageFormat.STRING))["data"]
            self.assertEqual((got["message"], got["message_format"]), (string, "string"))

    @given(programs(), IDS, st.booleans(), TEXTS)
    @quick
    def test_params_of_the_sandbox(self, program: Program, number: int, flag: bool, text: str) -> None:
        """Numbers and booleans are read from strings, null is not given; half an emoji becomes U+FFFD."""
        given = {"n": program.field(number), "b": program.field(flag), "t": text}
        params = Params(program.write(program.fields(given, ("n", "b", "t", "group_id", "approve"))))
        self.assertEqual(params.integer("n"), number)
        self.assertIs(params.boolean("b"), flag)
        self.assertEqual(params.text("t"), without_surrogates(text))
        self.assertIs(params.boolean("approve", True), True)
        self.assertIsNone(params.optional_number("group_id"))
        params.text("t").encode()

    @given(programs(), VALUES)
    @quick
    def test_values(self, program: Program, value: Any) -> None:
        """What lgtwist reads for itself has no surrogates, so that it can be written again."""
        text = program.write(value)
        self.assertEqual(rawjson.repair(rawjson.repair(text)), rawjson.repair(text))
        read(json.dumps(rawjson.decode_value(text), ensure_ascii=False).encode())


def read_segments(message: list[Any]) -> list[Any]:
    """Return segments whose data was written as an empty array with empty data."""
    return [{**part, "data": part["data"] or {}} for part in message]


class LongNumberTests(SynchronousTestCase):
    def test_numbers_of_5000_digits(self) -> None:
        """A number that nobody can hold does not keep a message from being converted, nor an action out."""
        for number in (b"9" * 5000, b"-1e400"):
            event = b'{"post_type":"message","n":%b,"message":[{"type":"x","data":{"n":%b}}]}' % (
                number,
                number,
            )
            converted = convert_event(read_event(event).raw, MessageFormat.STRING)
            self.assertIn(b'"n":%b' % number, converted)
            self.assertIn(b"[CQ:x,n=%b]" % number, converted)
            response = b'{"data":{"n":%b,"message":"a"}}' % number
            self.assertEqual(
                convert_response(response, MessageFormat.ARRAY),
                b'{"data":{"n":%b,"message":[{"type":"text","data":{"text":"a"}}]}}' % number,
            )
            self.assertEqual(Params(b'{"n":%b,"text":"a"}' % number).text("text"), "a")

    def test_with_a_lone_surrogate(self) -> None:
        """In either order: what is read can be encoded again."""
        for text in (b'["\\ud83d",1e400]', b'[1e400,"\\ud83d"]'):
            self.assertEqual(sorted(rawjson.decode_value(text)), ["1e400", "\ufffd"])


class OddPartTests(SynchronousTestCase):
    def test_part_by_part(self) -> None:
        """What is odd in a message is text or left out, and the rest is converted."""
        for message, expected in (
            ([None, {"type": "face", "data": {"id": 1}}, 5, "a[b", True, []], "[CQ:face,id=1]5a&#91;b"),
            ([{"type": "text"}, {"type": "rps"}, {"type": "dice", "data": None}], "[CQ:rps][CQ:dice]"),
            ([{"type": "rps", "data": []}, {"type": "text", "data": "x"}], "[CQ:rps]x"),
            ([{"type": "text", "text": "x"}, {"type": "text", "data": {"text": None}}], "x"),
            (
                [
                    {"type": 5, "data": {"text": "x"}},
                    {"type": None},
                    {},
                    {"type": "rps"},
                    {"data": {"a": 1}},
                    "y",
                ],
                "x[CQ:rps]y",
            ),
            ({"type": "face", "data": {"id": 1}}, "[CQ:face,id=1]"),
        ):
            for wrap, convert in (
                (lambda m: {"message": m, "message_format": "array"}, convert_event),
                (lambda m: {"data": {"message": m, "message_format": "array"}}, convert_response),
            ):
                got = read(convert(json.dumps(wrap(message)).encode(), MessageFormat.STRING))
                got = got.get("data", got)
                self.assertEqual((got["message"], got["message_format"]), (expected, "string"), message)

    def test_one_segment(self) -> None:
        """A segment that is not in an array is put into one."""
        segment = {"type": "face", "data": {"id": "1"}}
        got = read(convert_event(json.dumps({"message": segment}).encode(), MessageFormat.ARRAY))
        self.assertEqual(got, {"message": [segment]})

    def test_what_was_not_changed(self) -> None:
        """An event whose message has the wanted format already is passed on byte for byte."""
        for raw, wanted in (
            (b'{"message": [null, 1], "message_format": "array"}', MessageFormat.ARRAY),
            (b'{"message": "\\ud83d", "message_format": "string"}', MessageFormat.STRING),
            (b'{"message": null, "message_format": "string"}', MessageFormat.ARRAY),
            (b'{"message": {"a": 1}, "message_format": "string"}', MessageFormat.ARRAY),
        ):
            self.assertIs(convert_event(raw, wanted), raw)

    def test_nodes(self) -> None:
        """An odd node does not keep the contents of the others from being converted."""
        face = [{"type": "face", "data": {"id": "1"}}]
        nodes = [None, {"type": "node", "data": {"content": face, "message_format": "array"}}, {"a": 1}]
        data = {"message": nodes, "messages": [{"content": [*face, None]}, None]}
        got = read(convert_response(json.dumps({"data": data}).encode(), MessageFormat.STRING))["data"]
        node = {"type": "node", "data": {"content": "[CQ:face,id=1]", "message_format": "string"}}
        self.assertEqual(got["message"], [None, node, {"a": 1}])
        self.assertEqual(got["messages"], [{"content": "[CQ:face,id=1]"}, None])


class RepairTests(SynchronousTestCase):
    def test_only_what_json_forbids(self) -> None:
        """NaN and control characters are replaced where JSON forbids them; a right text is not copied."""
        for text, repaired in (
            (b'\xef\xbb\xbf{"a": 1}', b'{"a": 1}'),
            (b'{"NaN":NaN,"a":[-Infinity,Infinity],"b":"-Infinity\\"NaN"}',
             b'{"NaN":null,"a":[null,null],"b":"-Infinity\\"NaN"}'),
            (b'{\n"a\tb":\t"\x00\r\n\\\\","b":"\\\\\\"\n"}',
             b'{\n"a\\tb":\t"\\u0000\\r\\n\\\\","b":"\\\\\\"\\n"}'),
        ):  # fmt: skip
            self.assertEqual(rawjson.repair(text), repaired)
            read(repaired)
        for text in (b'{"a":1}', b'{\n\t"a": "NaN" }', b'{"a":"\\ud83d\\n"}', b"", b"{"):
            self.assertIs(rawjson.repair(text), text)
        self.assertEqual(rawjson.repair(b'{"a":NaN,"b":"\n"}', constants=False), b'{"a":NaN,"b":"\\n"}')

    def test_bounds(self) -> None:
        """What takes long is refused."""
        for text in (b'"%b"' % (b"\n" * 60_000), b'"",' * 210_000 + b"\nNaN", b'"%b\n' % (b"\\" * 6_000_001)):
            self.assertRaises(ValueError, rawjson.repair, text)
