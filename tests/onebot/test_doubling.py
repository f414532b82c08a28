"""Every reader of what a peer sends, with inputs that double up to ``max_message``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.bots.http_api import _json_object, _read_urlencoded
from lgtwist.bots.javascript_json import json_stringify
from lgtwist.hub.permissions import EventPermissions
from lgtwist.hub.quick_operations import read_quick_operation
from lgtwist.onebot import rawjson, responses
from lgtwist.onebot.action import is_from_implementation, read_action
from lgtwist.onebot.bounds import MAX_FORM
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.event import (
    BadEvent,
    Event,
    mark_replayed,
    read_event,
    read_frame,
    read_heartbeat,
    read_online,
)
from lgtwist.onebot.message import (
    MessageFormat,
    convert_event,
    convert_response,
    from_cq,
)
from tests.onebot.doubling import best_time, growth, peak_memory
from tests.rounds import ROUNDS, SLOWNESS

#: Inputs are smaller where not in CI: those of the first test, and those that double.
_SHIFT, _SIZES_SHIFT = (0, 0) if ROUNDS > 1 else (3, 2)
MAX_MESSAGE = 32 << 20
SIZES = [MAX_MESSAGE >> _SIZES_SHIFT >> shift for shift in (3, 2, 1, 0)]
#: Bytes of each of the inputs that each reader reads, and seconds that it may take. What is over a bound
#: takes some 30 ms on a machine of 2024, whatever its size; all else is below 10 ms.
SMALL = 1 << 20 >> _SHIFT
LONGEST = 0.25 * SLOWNESS

Make = Callable[[int], bytes]


def repeated(unit: str, head: str = "", tail: str = "") -> Make:
    """Return a function that makes texts of one unit, between a head and a tail."""
    raw, first, last = unit.encode(), head.encode(), tail.encode()
    return lambda size: first + raw * ((size - len(first) - len(last)) // len(raw)) + last


def distinct(head: str, tail: str) -> Make:
    """Return a function that makes an object with many different keys."""
    return lambda size: (head + "".join(f'"{n}":0,' for n in range(size // 12)) + tail).encode()


#: What fills a JSON object: its first members, and its last ones.
HEAD = '{"action":"send_msg","post_type":"message","retcode":0,"message_type":"group","message":'
TAIL = ',"echo":"5","self_id":1}'
INNER = '{"status":"ok","data":{"messages":[{"message":'
#: Values, written into a message, into a member that nobody reads, and into params.
VALUES: dict[str, tuple[str, str, str]] = {
    "base64": ('"', "QUJD", '"'),
    "text codes": ('"', "[CQ:text,text=aaaaaaaaaaaaaaa]", '"'),
    "codes": ('"', "[CQ:a]", '"'),
    "codes and texts": ('"', "b[CQ:a,b=c]", '"'),
    "code heads": ('"', "[CQ:", '"'),
    "unclosed codes": ('"', "[CQ:a,", '"'),
    "brackets": ('"', "[", '"'),
    "ampersands": ('"', "&", '"'),
    "escaped ampersands": ('"', "&amp;", '"'),
    "one code with commas": ('"[CQ:a', ",", ']"'),
    "nodes": ('"', "[CQ:node,content=&#91;CQ:a&#93;]", '"'),
    "newlines": ('"', "\\n", '"'),
    "raw newlines": ('"', "\n", '"'),
    "constants": ("[", "NaN,", "-Infinity]"),
    "escapes and a raw newline": ('"\n', "\\u4f60", '"'),
    "surrogate pairs": ('"\\ud800', "\\ud83d\\ude00", '"'),
    "lone surrogates": ('"', "\\ud800", '"'),
    "backslashes": ('"', "\\\\", '"'),
    "backslashes and a surrogate": ('"\\ud800', "\\\\", '"'),
    "segments": ("[", '{"type":"a","data":{}},', '{"type":"a","data":{}}]'),
    "texts": ("[", '{"type":"text","data":{"text":"&"}},', '{"type":"a","data":{}}]'),
    "strings": ("[", '"[CQ:a]",', '"a"]'),
    "text of ampersands": ('[{"type":"text","data":{"text":"', "&", '"}}]'),
    "value of commas": ('[{"type":"a","data":{"b":"', ",", '"}}]'),
    "data": ('[{"type":"a","data":{', '"":"",', '"a":""}}]'),
    "keyboard": ('[{"type":"keyboard","data":{"content":[', "0,", "0]}}]"),
    "keyboard code": ('"[CQ:keyboard,content=&#91;', "0&#44;", '0&#93;]"'),
    "arrays": ("[", "[],", "0]"),
    "objects": ("[", "{},", "0]"),
    "numbers": ("[", "0,", "0]"),
    "floats": ("[", "1.5,", "0]"),
    "digits": ("", "1", ""),
    "fraction": ("0.", "1", ""),
    "members": ("{", '"":0,', '"a":0}'),
    "nested": ("[" * 900, "", "]" * 900),
    "forward": (
        '[{"type":"node","data":{"content":[',
        '{"type":"text","data":{"text":"&"}},',
        '{"type":"a","data":{}}]}}]',
    ),
}


def inputs() -> dict[str, Make]:
    """Return all inputs by their names."""
    made: dict[str, Make] = {}
    for name, (head, unit, tail) in VALUES.items():
        unit = unit or " "
        made[name] = repeated(unit, HEAD + head, tail + TAIL)
        made[f"{name}, and a lone surrogate"] = repeated(
            unit, f'{{"x":"\\ud800",{HEAD[1:]}{head}', tail + TAIL
        )
        made[f"{name} in data"] = repeated(unit, INNER + head, tail + '}]},"retcode":0,"echo":"5"}')
    for first, last in (
        ("{", TAIL[1:]),
        ('{"x":"\\ud800",', TAIL[1:]),
        ('{"echo":1,', '"post_type":"a",' + TAIL[1:]),
    ):
        made[f"members behind {first}"] = repeated('"":0,', first, last)
        made[f"different members behind {first}"] = distinct(first, last)
        made[f"echoes behind {first}"] = repeated('"echo":"5",', first, '"retcode":0,"post_type":"a"}')
        made[f"inner echoes behind {first}"] = repeated('{"echo":"5"},', first + '"a":[', "0]" + TAIL)
        made[f"replayed behind {first}"] = repeated('"replayed":1,', first, '"post_type":"a"}')
    made["spaces"] = repeated(" ", '{"post_type":"a"', TAIL)
    made["spaces before the echo"] = repeated(" ", '{"post_type":"a",', TAIL[1:])
    made["malformed"] = repeated('"echo":"', '{"x":', "")
    made["malformed echoes"] = repeated('"echo":[0,0', "{", "")
    made["malformed numbers"] = repeated('"echo":' + "[0," * 40, "{", "")
    made["not UTF-8"] = lambda size: b"\xff" * size
    made["open arrays"] = repeated("[", '{"a":')
    made["type of arrays"] = repeated("[],", '{"data":{"type":[', '0]},"retcode":0}')
    made["words of arrays"] = repeated("[],", '{"retcode":0,"message":[', "0]}")
    made["status of arrays"] = repeated("[],", '{"post_type":"a","status":[', '0],"interval":5}')
    made["online of arrays"] = repeated("[],", '{"online":[', "0]}")
    for name in ("at_sender", "ban_duration", "reply", "delete"):
        made[f"operation's {name}"] = repeated("[],", f'{{"ban":true,"reply":"a","{name}":[', "0]}")
    return made


FORMS: dict[str, Make] = {
    "escapes": repeated("%41", "a="),
    "escapes and letters": repeated("%41a", "a="),
    "base64": repeated("QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD%2B", "a="),
    "stray": repeated("%", "a="),
    "pluses": repeated("+", "a="),
    "backslashes": repeated("\\", "a="),
    "fields": repeated("a&"),
    "empty fields": repeated("&"),
    "UTF-8": repeated("%e4%bd%a0", "a="),
}


def operation_of(answer: bytes) -> None:
    event = b'{"post_type":"message","message_type":"group","group_id":1,"user_id":2,"message_id":3}'
    read_quick_operation(b'{"context":%b,"operation":%b}' % (event, answer))


def echo_of(raw: bytes) -> None:
    responses.without_echo(raw, b'"5"')


def passes(raw: bytes) -> None:
    permissions, event = EventPermissions(None, frozenset([1]), None), Event(raw, "message")
    for _bot in range(20):
        permissions.passes(event)


#: Each reader of ours, by its name.
READERS: dict[str, Callable[[bytes], object]] = {
    "read_action": read_action,
    "is_from_implementation": is_from_implementation,
    "read_frame": read_frame,
    "read_event": read_event,
    "read_heartbeat": read_heartbeat,
    "read_online": read_online,
    "mark_replayed": mark_replayed,
    "without_echo": echo_of,
    "response_from_body": responses.response_from_body,
    "read_response_head": responses.read_response_head,
    "is_stream_part": responses.is_stream_part,
    "find_echo": rawjson.find_echo,
    "repair": rawjson.repair,
    "to an array": lambda raw: convert_event(raw, MessageFormat.ARRAY),
    "to a string": lambda raw: convert_event(raw, MessageFormat.STRING),
    "response to an array": lambda raw: convert_response(raw, MessageFormat.ARRAY),
    "response to a string": lambda raw: convert_response(raw, MessageFormat.STRING),
    "from_cq": lambda raw: from_cq(raw.decode("utf-8", "replace")),
    "json_stringify": json_stringify,
    "quick operation": operation_of,
    "JSON body": _json_object,
    "passes": passes,
}
REFUSALS = (*rawjson.DECODE_ERRORS, BadRequest, BadEvent)


def quietly(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Return a reader that refuses by returning."""

    def run(raw: bytes) -> None:
        with contextlib.suppress(*REFUSALS):
            read(raw)

    return run


class DoublingTests(SynchronousTestCase):
    def test_each_reader_with_each_input(self) -> None:
        """None takes long for a megabyte; its slowest input takes twice as long for twice the bytes."""
        too_long: list[str] = []
        slowest: dict[str, tuple[float, str]] = dict.fromkeys(READERS, (0.0, ""))
        makers = inputs()
        for name, make in makers.items():
            raw = make(SMALL)
            for reader, read in READERS.items():
                took = best_time(lambda read=read, raw=raw: quietly(read)(raw), enough=0.02)  # type: ignore[misc]
                slowest[reader] = max(slowest[reader], (took, name))
                if took > LONGEST:
                    too_long.append(f"{reader}, {name}: {took:.3f} s")
        self.assertEqual(too_long, [])
        for reader, (_took, name) in slowest.items():
            grown = list(growth(quietly(READERS[reader]), makers[name], SIZES))
            self.assertEqual(grown, [], f"{reader}, {name}")

    def test_forms(self) -> None:
        """The same for forms."""
        for name, make in FORMS.items():
            grown = list(
                growth(quietly(_read_urlencoded), make, [MAX_FORM >> shift for shift in (4, 3, 2, 1, 0)])
            )
            self.assertEqual(grown, [], name)

    def test_memory(self) -> None:
        """No reader takes more than a few times the bytes of its input, and what the counts allow."""
        size = 2 << 20
        makers = inputs()
        names = (
            "base64",
            "text codes",
            "codes",
            "arrays",
            "members",
            "segments",
            "lone surrogates",
            "newlines",
        )
        different = [name for name in makers if name.startswith("different")]
        for name in [*names, *(f"{name} in data" for name in names), *different]:
            raw = makers[name](size)
            for reader, read in READERS.items():
                peak = peak_memory(lambda read=read, raw=raw: quietly(read)(raw))  # type: ignore[misc]
                self.assertLess(peak, 6 * size + (24 << 20), f"{reader}, {name}")
        for name, make in FORMS.items():
            raw = make(size)
            peak = peak_memory(lambda raw=raw: quietly(_read_urlencoded)(raw))  # type: ignore[misc]
            self.assertLess(peak, 4 * size, f"form, {name}")
