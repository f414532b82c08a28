"""JSON of every kind, good and bad (section K of the catalogue of faults, L-71 and L-72)."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.integration.faulty import (
    FaultTestCase,
    numbered,
    numbers,
)
from tests.integration.rawclient import (
    TEXT,
    RawClient,
)
from tests.rounds import SOCKET_ROUNDS


class Json(FaultTestCase):
    """What stands in a frame that should be an action."""

    def answer_to(self, bot: RawClient, sent: bytes) -> tuple[dict[str, Any], bytes]:
        """The next frame, which must be a response: as JSON and as it came."""
        bot.send(sent)
        opcode, payload = bot.frame()
        self.assertEqual(opcode, TEXT)
        # A Python client would have to do so too, with an echo of its own of 5,000 digits.
        answer = json.loads(payload, parse_int=lambda digits: int(digits) if len(digits) < 4000 else digits)
        return dict(answer), payload

    def test_L71_garbage_is_answered(self) -> None:
        """Whatever is no action is answered 1400, with its echo where there is one; the connection stays."""
        bot = self.bot()
        nameless = (
            b"{", b"", b"[]", b"1", b"null", b'"x"', b"true", b"}", b"[", b" ", b"\t\n", b"\x00", b"nul",
            b"{}", b'{"action":5}', b'{"action":null}', b'{"action":""}', b'{"action":[]}', b'{"action":{}}',
            b'{"params":{}}', b'{"action":"get_status","params":[1]}', b'{"action":"get_status","params":1}',
            b'{"action":"get_status","params":"x"}', b'{"action":"get_status"',
            b'{"action":"get_status"}}', b'{"action":"get_status"} {}', b"{'action':'get_status'}",
            b'{"action":"get_status",}', b'{action:"get_status"}', b'{"action":"get_status"}//',
            b"\xef\xbb\xbf{}", b'{"a":\x01}', b'{"action":"\n"', b'["action","get_status"]',
            "你好".encode(), b"\xf0\x9f\x98\x80", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000,
        )  # fmt: skip
        for sent in nameless:
            answer, _raw = self.answer_to(bot, sent)
            self.assertEqual((answer["status"], answer["retcode"]), ("failed", 1400), sent[:60])
            self.assertEqual(answer["data"], None)
            self.assertTrue(answer["message"])
            self.assertNotIn("echo", answer)
        for sent in (
            b'{"action":5,"echo":"e1"}', b'{"echo":"e1"}', b'{"action":null,"echo":"e1"}',
            b'{"echo":"e1","action":"get_status"', b'{"echo":"e1","action":}', b'{"action":"x","echo":"e1",}',
            b'{"echo":"e1","params":{"a":}}', b'{"action":"get_status","params":[1],"echo":"e1"}',
            b'{"echo" : "e1" , "action":"get_status" "params":{}}',
            b'{"echo":"e1","params":' + b"[" * 100_000, b'{"action":"' + b"x" * 200_000 + b'","echo":"e1"',
        ):  # fmt: skip
            answer, _raw = self.answer_to(bot, sent)
            self.assertEqual(answer["retcode"], 1400, sent[:60])
            self.assertEqual(answer.get("echo"), "e1", sent[:60])
        self.assertEqual(bot.ask("get_status")["retcode"], 0)

    def test_unknown_action_is_1404(self) -> None:
        """What is an action, but none that there is, is 1404 with its echo."""
        bot = self.bot()
        for name in (
            "no_such_action",
            "GET_STATUS",
            "get_status ",
            "get_status/",
            "__class__",
            "你好",
            "x" * 9999,
        ):
            bot.call(name, {"n": 1})
            answer = bot.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (1404, {"n": 1}), name[:30])

    def test_L72_echo_comes_back_as_it_was(self) -> None:
        """An echo of any JSON type comes back just as it was sent, in good answers and in bad ones."""
        bot = self.bot()
        echoes = (
            '"text"', '""', '"你好 😀"', r'"\u4f60\n\"\\\/"', "0", "-0", "1", "-1", "9007199254740993",
            "18446744073709551615", "18446744073709551616", "9" * 300, "1.0", "0.1", "1e5",
            "1E+400", "-1e-400",
            "true", "false", "null", "[]", "{}", '[1,[2,{"a":null}]]', '{"seq":7}', '{"seq": 7 , "a":[ ]}',
            '{"echo":"inner","action":"x"}', '{"a":1,"a":2}', r'"\ud83d"',
            r'"\ud83d\ude00"', '"' + "e" * 100_000 + '"',
        )  # fmt: skip
        for echo in echoes:
            for head, retcode in (
                ('"action":"get_login_info"', 0),
                ('"action":"no_such"', 1404),
                ('"action":7', 1400),
                ('"action":"get_stranger_info","params":{"user_id":"x"}', 1400),
            ):
                for sent in (f'{{{head},"echo":{echo}}}', f'{{ "echo" :\t{echo} ,{head}}}'):
                    answer, raw = self.answer_to(bot, sent.encode())
                    self.assertEqual(answer["retcode"], retcode, sent[:80])
                    self.assertIn("echo", answer)
                    self.assertTrue(
                        raw.endswith(f'"echo":{echo}}}'.encode()), f"{raw[-80:]!r} for {sent[:80]}"
                    )
        self.assertNotIn("echo", self.answer_to(bot, b'{"action":"get_status"}')[0])
        twice, _raw = self.answer_to(bot, b'{"echo":1,"action":"x","action":"get_status","echo":2}')
        self.assertEqual(twice["retcode"], 0, "of equal keys the last counts")
        self.assertEqual(twice["echo"], 2, "of equal keys the last counts")

    def test_L72_events_have_no_echo(self) -> None:
        """An event never carries an ``echo``, even where the account's own had one."""
        bot = self.bot()
        self.service.inject({"echo": 5, **numbered(1), "echo2": 1})
        event = bot.message()
        self.assertEqual(event["n"], 1)
        self.assertNotIn("echo", event)
        self.assertEqual(event["echo2"], 1)

    def test_K_python_traps(self) -> None:
        """Deep nesting, huge numbers, NaN and lone surrogates, anywhere in an action, are just answered."""
        bot = self.bot()
        traps = {
            "deep": "[" * 100_000 + "]" * 100_000,
            "deep objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
            "5,000 digits": "9" * 5000,
            "NaN": "NaN",
            "Infinity": "-Infinity",
            "1e400": "1e400",
            "a lone surrogate": r'"\ud83d"',
            "a lone low surrogate": r'"\udc00x"',
        }
        lenient = ("5,000 digits", "1e400", "a lone surrogate", "a lone low surrogate")
        for name, trap in traps.items():
            answer, _raw = self.answer_to(bot, f'{{"action":{trap},"echo":"k"}}'.encode())
            self.assertIn(answer["retcode"], (1400, 1404))
            self.assertEqual(answer.get("echo"), "k")
            for params in (trap, f'{{"x":{trap}}}', f'{{"user_id":{trap},"message":{trap}}}'):
                action = f'{{"action":"send_private_msg","params":{params},"echo":"k"}}'
                answer, _raw = self.answer_to(bot, action.encode())
                self.assertEqual(answer["status"], "failed", params[:60])
                self.assertEqual(answer["retcode"], 1400, params[:60])
                self.assertEqual(answer.get("echo"), "k", params[:60])
            answer, raw = self.answer_to(bot, f'{{"action":"get_status","echo":{trap}}}'.encode())
            if name in lenient:
                self.assertEqual(answer["retcode"], 0)
                self.assertTrue(raw.endswith(f'"echo":{trap}}}'.encode()))
            else:
                self.assertIn(answer["retcode"], (0, 1400))
            self.assertIsNone(re.search(rb"NaN|Infinity", raw.partition(b'"message"')[0]))
        surrogate = b'{"action":"send_private_msg","params":{"user_id":20001,"message":"\\ud83d"}}'
        answer, _raw = self.answer_to(bot, surrogate)
        self.assertIn(answer["retcode"], (0, 1400))
        self.assertEqual(self.service.http("/sandbox/10001/transcript")[0], 200)
        self.assertEqual(bot.ask("get_status")["retcode"], 0)
        self.assert_unharmed()

    def test_an_action_among_garbage(self) -> None:
        """Good actions between bad frames are each answered, in order, once."""
        bot = self.bot()
        for number in range(200 * SOCKET_ROUNDS):
            bot.send((b"{", b"[]", b'{"action":0}', b"\x00")[number % 4])
            bot.call("get_login_info", number)
        for number in range(200 * SOCKET_ROUNDS):
            self.assertEqual(bot.response()["retcode"], 1400)
            answer = bot.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (0, number))
        self.service.inject(numbered(3))
        self.assertEqual(numbers(bot, lambda n: n == 3), [3])
