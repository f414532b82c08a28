"""Implementations that answer oddly, send garbage, or break the protocol: one answer to each action."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.implementations.account import GARBAGE
from tests.integration.accounts import FORWARD, HTTP, JSON, REVERSE, Bot, WorldTestCase
from tests.integration.running import wait_until

KINDS = {21001: FORWARD, 21002: REVERSE, 21003: HTTP, 21004: FORWARD}
LINKS = (21001, 21002)
LIMITS = 'heartbeat_interval = "150ms"\naction_timeout = "700ms"\nmax_message = "128KiB"\n'


class MisbehaviourTests(WorldTestCase):
    strict = True
    accounts = [
        {"self_id": 21001, "transport": FORWARD, "dialect": "llbot", "heartbeat_ms": 60_000},
        {
            "self_id": 21002,
            "transport": REVERSE,
            "dialect": "napcat",
            "reconnect_ms": 50,
            "heartbeat_ms": 60_000,
        },
        {"self_id": 21003, "transport": HTTP, "heartbeat_ms": 200},
        {"self_id": 21004, "transport": FORWARD, "end": "/api", "heartbeat_ms": 200},
    ]
    limits = LIMITS

    def setUp(self) -> None:
        super().setUp()
        self.world.wait_online(*KINDS)

    def _mode(self, self_id: int, mode: str, action: str = "echo_params", **args: Any) -> None:
        self.control(self_id, "answers", action=action, mode=mode, times=1, **args)

    def _check(self, self_id: int, mode: str, retcode: int, **args: Any) -> dict[str, Any]:
        """One action in this mode, its one answer, and a good call after it."""
        bot = self.bot(self_id)
        self._mode(self_id, mode, **args)
        bot.call("echo_params", mode, n=1)
        answer = bot.response()
        self.assertEqual((answer["echo"], answer["retcode"]), (mode, retcode), (self_id, mode, answer))
        self._works(self_id, bot)
        return answer

    def _works(self, self_id: int, bot: Bot) -> None:
        """The link, or its successor, works; what comes next is the next answer, not a second one."""
        self.world.wait_online(self_id)
        bot.call("echo_params", "next", n=2)
        answer = bot.response()
        self.assertEqual((answer["echo"], answer["data"]), ("next", {"n": 2}))

    def _strays(self, self_id: int) -> float:
        return self.world.metric("lgtwist_stray_answers_total", account=self_id)

    def test_answers_twice(self) -> None:
        """L-72: aiocqhttp's receive loop dies of a second answer."""
        for self_id in LINKS:
            before = self._strays(self_id)
            self._check(self_id, "twice", 0)
            self.assertEqual(self._strays(self_id), before + 1)
        self._check(21003, "twice", 0)

    def test_echo_comes_back_as_another_type(self) -> None:
        for self_id in LINKS:
            for mode in ("echo_as_number", "echo_as_float", "no_retcode"):
                self.assertEqual(self._check(self_id, mode, 0)["data"], {"n": 1})

    def test_answers_late_and_garbage_first(self) -> None:
        for self_id in KINDS:
            self._check(self_id, "late", 0, seconds=0.2)
        for self_id in (*LINKS, 21004):
            self._check(self_id, "garbage_then_normal", 0)

    def test_answers_that_reach_nobody(self) -> None:
        """No ``echo``, another's, or no answer at all: 1504 after the limit."""
        modes = {"other_echo": "get_group_list", "no_echo": "get_msg", "never": "echo_params"}
        bots = {self_id: self.bot(self_id) for self_id in LINKS}
        for self_id, bot in bots.items():
            for mode, action in modes.items():
                self._mode(self_id, mode, action)
                bot.call(action, mode)
        for self_id, bot in bots.items():
            answers = {(one["echo"], one["retcode"]) for one in (bot.response() for _ in modes)}
            self.assertEqual(answers, {(mode, 1504) for mode in modes})
            self._works(self_id, bot)
        bot = self.bot(21003)
        self._mode(21003, "never")
        self.assertEqual(bot.retcode("echo_params"), 1504)
        self._works(21003, bot)

    def test_another_bots_echo(self) -> None:
        """An answer with another echo must not end another bot's call."""
        waiting, asking = self.bot(21001), self.bot(21001)
        waiting.call("sleep_ms", 987_654_321, ms=300)
        self._mode(21001, "other_echo")
        asking.call("echo_params", 987_654_321)
        answer = waiting.response()
        self.assertEqual((answer["echo"], answer["data"]), (987_654_321, {"slept": 300}))
        self.assertEqual(asking.response()["retcode"], 1504)

    def test_L05_link_breaks_on_an_action(self) -> None:
        """1502 at once, for the others in flight too; the successor works."""
        for mode in ("drop_mid_answer", "rst_on_action", "close_on_action"):
            for self_id in KINDS:
                other = self.bot(self_id)
                if self_id != 21003:
                    other.call("sleep_ms", "other", ms=600)
                    self.world.wait_received(self_id, "sleep_ms")
                self._check(self_id, mode, 1502)
                if self_id != 21003:
                    answer = other.response()
                    self.assertEqual((answer["echo"], answer["retcode"]), ("other", 1502))
                self.implementation.control(self_id, "forget")

    def test_http_sends_nothing_twice(self) -> None:
        """An HTTP client that tries again behind our back would send a message twice."""
        for mode in ("rst_on_action", "close_on_action", "drop_mid_answer"):
            self.implementation.control(21003, "forget")
            self._mode(21003, mode, "send_msg")
            status, answer = self.service.http("/21003/send_msg", {"message": "x"}, JSON)
            self.assertEqual((status, answer["retcode"]), (200, 1502), answer)
            self.assertEqual(len(self.implementation.received(21003, "send_msg")), 1)
            self.world.wait_online(21003)

    def test_http_answers_garbage(self) -> None:
        """What is no response is 1500, said once; it never hangs."""
        for which, garbage in enumerate(GARBAGE):
            self._mode(21003, "garbage_then_normal", which=which)
            status, answer = self.service.http("/21003/echo_params", {}, JSON)
            wanted = 0 if '"retcode":0' in garbage else 1500  # an echo of NaN does not matter
            self.assertEqual((status, answer["retcode"]), (200, wanted), (garbage[:80], answer))
        status, answer = self.service.http("/21003/big", {"bytes": 200_000}, JSON)
        self.assertEqual((status, answer["retcode"]), (200, 1500), answer)
        self.world.wait_online(21003)
        self._works(21003, self.bot(21003))

    def _links(self, self_id: int) -> int:
        return int(self.implementation.state(self_id)["connections_ever"])

    def test_garbage_costs_one_line(self) -> None:
        """All bots share the link: it stays."""
        for self_id in (*LINKS, 21004):
            before, bot = self._links(self_id), self.bot(self_id)
            for _ in range(3):
                self.control(self_id, "garbage")
                for junk in (b"\xff\xfe", b"\x00", b'{"post_type":"message","x":"\xff"}', b""):
                    self.control(self_id, "send_binary", base64=base64.b64encode(junk).decode())
                self._works(self_id, bot)
            self.assertEqual(self._links(self_id), before)
            told = self.world.lines(str(self_id), "malformed frame was dropped")
            links = self.implementation.state(self_id)["connections"]
            self.assertTrue(1 <= len(told) <= before * len(links), told)
            self.assertTrue(all(len(line) < 2048 for line in told))
            self.assert_good(self_id, bot)

    def test_frames_that_look_like_both(self) -> None:
        """With a ``retcode`` and somebody's echo a response, else with a ``post_type`` an event."""
        for self_id in LINKS:
            bot = self.bot(self_id)
            both = {"post_type": "message", "retcode": 0, "status": "ok", "echo": "0", "self_id": self_id}
            self.control(self_id, "send_text", raw=json.dumps(both))
            event = json.loads(bot.event_text())
            self.assertEqual(event, {key: both[key] for key in both if key != "echo"})
            before = self._strays(self_id)
            self.control(self_id, "send_text", raw='{"status":"ok","retcode":0,"data":1,"echo":"0"}')
            wait_until("it is counted", lambda one=self_id, b=before: self._strays(one) == b + 1)
            self._works(self_id, bot)

    def test_what_is_nearly_json(self) -> None:
        """A byte order mark, NaN and control characters are repaired: bots get JSON. Half an emoji stays."""
        for self_id in LINKS:
            bot = self.bot(self_id)
            head = f'{{"post_type":"message","self_id":{self_id}'
            for sent, received in (
                (f'\ufeff{head},"n":NaN}}', f'{head},"n":null}}'),
                (f'{head},\n"t":"a\nb\x01"}}', f'{head},\n"t":"a\\nb\\u0001"}}'),
                (f'{head},"t":"\\ud83d"}}', f'{head},"t":"\\ud83d"}}'),
            ):
                self.control(self_id, "send_text", raw=sent)
                self.assertEqual(bot.event_text().decode(), received)
            self._works(self_id, bot)

    def test_broken_protocol(self) -> None:
        """L-26, L-25: 1007, 1009 and 1002 end the link, with one line each; it is made anew."""
        breaches: list[tuple[int, str, dict[str, Any]]] = [
            (1007, "send_frame", {"base64": base64.b64encode(b'{"a":"\xff"}').decode()}),
            (1009, "huge", {"bytes": 140_000}),
            (1002, "send_frame", {"rsv": 4, "text": "{}"}),
            (1002, "send_frame", {"opcode": 5, "text": "{}"}),
        ]
        for self_id in LINKS:
            bot = self.bot(self_id)
            for code, command, args in breaches:
                before = self._links(self_id)
                bot.call("sleep_ms", code, ms=10_000)
                self.world.wait_received(self_id, "sleep_ms")
                self.control(self_id, command, **args)
                answer = bot.response()
                self.assertEqual((answer["echo"], answer["retcode"]), (code, 1502))
                wait_until("the link is made anew", lambda one=self_id, b=before: self._links(one) > b)
                self.world.wait_online(self_id)
                self.assertEqual(self.implementation.state(self_id)["close_codes"][-1], code)
                wait_until(
                    "one line tells", lambda one=self_id, c=code: self.world.lines(f"account {one}", str(c))
                )
                self.implementation.control(self_id, "forget")
            self.assert_good(self_id, bot)

    def test_largest_message(self) -> None:
        """What is not over the limit passes, event and answer."""
        for self_id in KINDS:
            bot = self.bot(self_id)
            self.control(self_id, "huge", bytes=131_072)
            self.assertEqual(len(bot.event_text()), 131_072)
            self.assertEqual(len(bot.ask("big", bytes=130_000)["data"]["blob"]), 130_000)

    def test_frames_in_pieces(self) -> None:
        """L-22: fragments, a code point cut in two, and a ping between them."""
        for self_id in LINKS:
            bot = self.bot(self_id)
            text = f'{{"post_type":"message","self_id":{self_id},"text":"试一试"}}'
            raw = text.encode()
            cuts = [raw[:20], raw[20:50], raw[50:-6], raw[-6:]]
            for number, piece in enumerate(cuts):
                self.control(
                    self_id,
                    "send_frame",
                    opcode=0 if number else 1,
                    fin=number == len(cuts) - 1,
                    base64=base64.b64encode(piece).decode(),
                )
                if number == 1:
                    self.control(self_id, "ping", text="between")
            self.assertEqual(bot.event_text(), raw)

    def test_flood_while_calls_are_answered(self) -> None:
        """L-05, L-20: events in order and whole, each answer once."""
        for self_id in LINKS:
            bot = self.bot(self_id)
            self.control(self_id, "flood", count=2000)
            for number in range(50):
                bot.call("echo_params", number, n=number)
            numbers, echoes = [], []
            while len(numbers) < 2000 or len(echoes) < 50:
                message = bot.message()
                if "retcode" in message:
                    self.assertEqual(message["data"], {"n": message["echo"]})
                    echoes.append(message["echo"])
                elif message["post_type"] == "message":
                    numbers.append(message["n"])
            self.assertEqual(sorted(echoes), list(range(50)))
            self.assertEqual(numbers, list(range(numbers[0], numbers[0] + 2000)))
