"""What a bot notices when its account's implementation dies, comes back, or does not answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.integration.accounts import (
    FORWARD,
    HTTP,
    JSON,
    LIMITS,
    REVERSE,
    HandshakeRefused,
    RawClient,
    WorldTestCase,
)
from tests.integration.running import wait_until

KINDS = {20701: FORWARD, 20702: REVERSE, 20703: HTTP, 20704: FORWARD, 20705: REVERSE}


def _account(self_id: int, **more: Any) -> dict[str, Any]:
    return {
        "self_id": self_id,
        "transport": KINDS[self_id],
        "heartbeat_ms": 200,
        "reconnect_ms": 50,
        "redial": "timer",
        **more,
    }


ACCOUNTS = [
    _account(20701, dialect="napcat"),
    _account(20702, dialect="lagrange"),
    _account(20703),
    _account(20704, end="/event"),
    _account(20705, split=True),
]


class OutageTests(WorldTestCase):
    accounts = ACCOUNTS
    limits = LIMITS.replace("1500ms", "1s")

    def setUp(self) -> None:
        super().setUp()
        if not self.implementation.alive():
            self.implementation.start()
        self.world.wait_online(*KINDS)

    def test_L36_killed_and_back(self) -> None:
        """Links stay, heartbeats and ``get_status`` tell the truth, the rest is 1501 until it is back."""
        bots = {self_id: self.bot(self_id) for self_id in KINDS}
        for bot in bots.values():
            bot.heartbeat(online=True)
        self.implementation.kill()
        for self_id, bot in bots.items():
            bot.heartbeat(online=False)
            answer = bot.ask("get_status")
            self.assertEqual((answer["status"], answer["retcode"]), ("ok", 0))
            self.assertEqual(answer["data"], {"online": False, "good": False})
            self.assertEqual(bot.ask("get_login_info")["data"]["user_id"], self_id)
            self.assertEqual(bot.ask("get_login_info")["data"]["nickname"], f"测试 <{self_id}>")
            for action in ("get_group_list", "send_msg_async", "send_msg_rate_limited", "send_msg"):
                self.assertEqual(bot.retcode(action), 1501, action)
            status, answer = self.service.http(f"/{self_id}/get_group_list", {})
            self.assertEqual((status, answer["retcode"]), (200, 1501))
            self.assertFalse(self.world.status(self_id)["online"])
        self.implementation.start()
        for self_id, bot in bots.items():
            bot.heartbeat(online=True)
            self.assert_good(self_id, bot)
        self.assertEqual(self.implementation.violations(), {})

    def test_in_flight_when_killed(self) -> None:
        """What was sent ends as 1502, once each, long before its time limit."""
        bots = {self_id: self.bot(self_id) for self_id in KINDS}
        for self_id, bot in bots.items():
            for number in range(3):
                bot.call("sleep_ms", f"{number}", ms=60_000)
            self.world.wait_received(self_id, "sleep_ms", 3)
        self.implementation.kill()
        began = time.monotonic()
        for self_id, bot in bots.items():
            answers = [bot.response() for _ in range(3)]
            self.assertEqual({one["retcode"] for one in answers}, {1502}, self_id)
            self.assertEqual(sorted(one["echo"] for one in answers), ["0", "1", "2"])
        self.assertLess(time.monotonic() - began, 5)
        for bot in bots.values():
            answer = bot.ask("get_status")  # no second answer came before this one
            self.assertEqual(answer["echo"], "asked")

    def test_never_answered(self) -> None:
        """L-8 of the family: 1504 after the limit; the late answer reaches nobody, and is counted."""
        before = {}
        bots = {self_id: self.bot(self_id) for self_id in KINDS}
        for self_id in KINDS:
            self.control(self_id, "answers", action="echo_params", mode="late", seconds=1.3, times=1)
            before[self_id] = self.world.metric("lgtwist_stray_answers_total", account=self_id)
        began = time.monotonic()
        for bot in bots.values():
            bot.call("echo_params", "late")
        for self_id, bot in bots.items():
            self.assertEqual(bot.response()["retcode"], 1504, self_id)
            self.assertGreater(time.monotonic() - began, 0.75)
        for self_id, bot in bots.items():
            if KINDS[self_id] != HTTP:  # there the request itself was given up
                wait_until(
                    "the late answer is counted",
                    lambda one=self_id: (
                        self.world.metric("lgtwist_stray_answers_total", account=one) == before[one] + 1
                    ),
                )
            self.assertEqual(bot.ask("echo_params", n=2)["data"], {"n": 2})

    def test_one_that_answers_nothing_hurts_no_other(self) -> None:
        self.control(20701, "answers", action="echo_params", mode="never")
        silent, other = self.bot(20701), self.bot(20702)
        for number in range(50):
            silent.call("echo_params", number)
        for number in range(50):
            self.assertEqual(other.ask("echo_params", n=number)["data"], {"n": number})
        answers = [silent.response() for _ in range(50)]
        self.assertEqual({one["retcode"] for one in answers}, {1504})
        self.assertEqual(sorted(one["echo"] for one in answers), list(range(50)))
        self.control(20701, "answers", action="echo_params", mode="normal")
        self.assert_good(20701, silent)

    def test_bots_with_the_same_echo(self) -> None:
        """L-20b: each gets its own answer, none gets another's."""
        for self_id in (20701, 20702, 20703):
            bots = [self.bot(self_id) for _ in range(5)]
            for number, bot in enumerate(bots):
                bot.call("sleep_ms", 1, ms=100 - 20 * number)
                bot.call("echo_params", 1, n=number)
            for number, bot in enumerate(bots):
                data = [bot.response() for _ in range(2)]
                self.assertEqual([one["echo"] for one in data], [1, 1])
                self.assertIn({"n": number}, [one["data"] for one in data])
                self.assertIn({"slept": 100 - 20 * number}, [one["data"] for one in data])

    def test_a_bot_that_vanishes(self) -> None:
        """L-01: its calls go with it; the answers that still come are strays; nobody else notices."""
        for self_id in (20701, 20702, 20703):
            gone, other = self.bot(self_id), self.bot(self_id)
            for number in range(20):
                gone.call("sleep_ms", number, ms=100)
            self.world.wait_received(self_id, "sleep_ms", 20)
            gone.reset()
            self.assert_good(self_id, other)
            wait_until(
                "nothing is in flight",
                lambda one=self_id: self.world.metric("lgtwist_calls_in_flight", account=one) == 0,
            )

    def test_gentle_restart(self) -> None:
        """L-12: a Close of the implementation, of whatever code, is no reason to stay away."""
        for self_id in (20701, 20702, 20704, 20705):
            for code in (1000, 1001, 1011, 4000, None):
                before = self.implementation.state(self_id)["connections_ever"]
                self.control(self_id, "close", code=code)
                number = 1 if self_id < 20704 else 2
                wait_until(
                    f"{self_id} is dialled again after {code}",
                    lambda one=self_id, n=before + number: (
                        self.implementation.state(one)["connections_ever"] >= n
                    ),
                )
                self.world.wait_online(self_id)
        for self_id in (20701, 20702):
            closes = self.implementation.state(self_id)["closes"]
            self.assertEqual([one["code"] for one in closes[-5:]], [1000, 1001, 1011, 4000, 1005])
            self.assertEqual(self.implementation.state(self_id)["violations"], [])


class RestartTests(WorldTestCase):
    accounts = ACCOUNTS

    def test_L03_twenty_restarts(self) -> None:
        """Complaint 1: up after each of twenty, never two links at once, and no call without its answer."""
        self.world.wait_online(*KINDS)
        bots = {self_id: self.bot(self_id) for self_id in KINDS}
        for number in range(20):
            for bot in bots.values():
                bot.call("sleep_ms", number, ms=60_000)
                bot.call("echo_params", number)
            if number % 4 == 3:  # killed outright
                self.implementation.restart()
            else:
                for self_id in (20701, 20702, 20704, 20705):
                    self.control(self_id, "rst" if number % 2 else "close")
            for self_id in KINDS:
                self.world.wait_online(self_id)
                for role, most in self.implementation.state(self_id)["max_concurrent"].items():
                    self.assertEqual(most, 1, (self_id, role, number))
        for self_id, bot in bots.items():
            answers = [bot.response() for _ in range(40)]
            self.assertEqual(sorted(one["echo"] for one in answers), sorted([*range(20)] * 2), self_id)
            self.assertLessEqual({one["retcode"] for one in answers}, {0, 1502, 1504, 1501}, self_id)
            self.assert_good(self_id, bot)
        self.assertEqual(self.implementation.violations(), {})
        self.assertTrue(self.service.alive())


class BeforeTests(WorldTestCase):
    """Nothing is there yet."""

    accounts = ACCOUNTS[:3]
    starts = False

    def test_before_it_was_ever_up(self) -> None:
        """Bots take "connected" for "ready": until then handshakes wait, then get 503; actions 1501."""

        def refusal(path: str) -> HandshakeRefused | None:
            try:
                RawClient(self.service, path)
            except HandshakeRefused as refused:
                return refused
            return None

        paths = [f"/{self_id}{end}" for self_id in (20701, 20702, 20703) for end in ("", "/api", "/event")]
        with ThreadPoolExecutor(len(paths)) as threads:  # each waits for its account
            for refused in threads.map(refusal, paths):
                assert refused is not None
                self.assertEqual(refused.status, 503)
                self.assertIn("retry-after: 3", refused.head.lower())
        for self_id in (20701, 20702, 20703):
            for action in ("send_msg", "get_login_info", "send_msg_async", "no_such_action"):
                status, answer = self.service.http(f"/{self_id}/{action}", {"message": "x"}, JSON)
                self.assertEqual((status, answer["retcode"]), (200, 1501), action)
            status, answer = self.service.http(f"/{self_id}/get_status")
            self.assertEqual((status, answer["status"], answer["retcode"]), (200, "ok", 0))
            self.assertEqual(answer["data"], {"online": False, "good": False})
        wait_until("it was told once", lambda: self.world.lines("20701", "cannot connect"))
        began = self.world.metric("lgtwist_dial_attempts_total", account=20701)
        wait_until(
            "it is dialled again and again",
            lambda: self.world.metric("lgtwist_dial_attempts_total", account=20701) >= began + 2,
        )
        self.assertEqual(len(self.world.lines("20701", "cannot connect")), 1)
        self.assertEqual(len(self.world.lines("20703", "cannot reach")), 1)

        def dial() -> RawClient:
            while True:
                try:
                    return RawClient(self.service, "/20701")
                except HandshakeRefused as refused:  # a busy machine starts more slowly than it waits
                    self.assertEqual(refused.status, 503)

        with ThreadPoolExecutor(1) as thread:  # one that waits is upgraded when its account comes up
            opened = thread.submit(dial)
            self.implementation.start()
            with opened.result() as bot:
                self.assertEqual(bot.message()["sub_type"], "connect")
        self.world.wait_online(20701, 20702, 20703)
        for self_id in (20701, 20702, 20703):
            self.assert_good(self_id)
        self.assertEqual(self.implementation.violations(), {})
