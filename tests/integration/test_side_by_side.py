"""One account, and many bots of all kinds at once: each is served as if it were alone."""

from __future__ import annotations

import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

from tests.frameworks.frameworks import Framework
from tests.integration.faulty import Injector, numbered, quiet
from tests.integration.listening_bots import Receiver
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, Service, wait_until
from tests.integration.shared import SharedTestCase
from tests.integration.webhooks import metric
from tests.processes import free_port

ALICE, BOB = 20001, 20002
#: Nobody waits longer for an answer, whatever becomes of the other bots (seconds).
SOON = 2.0

TOML = """
[[bots]]
name = "nonebot-forward"
access_token = "nf"
[[bots]]
name = "nonebot-reverse"
connection = "reverse-websocket"
url = "ws://127.0.0.1:{nonebot}/onebot/v11/ws"
access_token = "nr"
{gaps}
[[bots]]
name = "aiocqhttp"
connection = "reverse-websocket"
url = "ws://127.0.0.1:{aiocqhttp}/ws"
access_token = "ar"
{gaps}
[[bots]]
name = "koishi"
connection = "reverse-websocket"
url = "ws://127.0.0.1:{koishi}/onebot"
access_token = "kr"
message_format = "array"
{gaps}
[[bots]]
name = "hook"
connection = "http-post"
url = "http://127.0.0.1:{hook}/"
access_token = "h"
[[bots]]
name = "raw"
access_token = "raw"
[[bots]]
name = "stalled"
access_token = "stalled"
"""
FRAMEWORKS = ("nonebot-forward", "nonebot-reverse", "aiocqhttp", "koishi")

_numbers = itertools.count(1)


def quick(event: dict[str, Any]) -> Any:
    """What the webhook's receiver answers: "webhook X" to "ping X"."""
    word, _space, rest = str(event.get("raw_message", "")).partition(" ")
    return {"reply": f"webhook {rest}"} if word == "ping" else None


class Company:
    """One service, four frameworks and a receiver of webhooks."""

    def __init__(self, folder: Path) -> None:
        ports = {name: free_port() for name in ("nonebot", "aiocqhttp", "koishi")}
        self.receiver = Receiver()
        self.receiver.quick = quick
        self.frameworks: dict[str, Framework] = {}
        gaps = 'reconnect = { min = "200ms", max = "1s" }'
        toml = TOML.format(**ports, hook=self.receiver.port, gaps=gaps)
        self.service = Service(folder / "service", toml + quiet("1s", send_buffer="1MiB"))
        try:
            env = {"LOG_LEVEL": "ERROR", "ONEBOT_ACCESS_TOKEN": "nf", "DRIVER": "~fastapi+~websockets"}
            env["ONEBOT_WS_URLS"] = json.dumps([self.service.url()])
            self._begin("nonebot-forward", "nonebot", folder, env, free_port())
            env = {"LOG_LEVEL": "ERROR", "ONEBOT_ACCESS_TOKEN": "nr", "DRIVER": "~fastapi"}
            self._begin("nonebot-reverse", "nonebot", folder, env, ports["nonebot"])
            self._begin("aiocqhttp", "aiocqhttp", folder, {"ACCESS_TOKEN": "ar"}, ports["aiocqhttp"])
            env = {"PROTOCOL": "ws-reverse", "SELF_ID": "10001"}
            self._begin("koishi", "koishi", folder, env, ports["koishi"])
            for framework in self.frameworks.values():
                framework.wait_ready()
                framework.wait_line("CONNECTED 10001")
        except BaseException:
            self.end()
            raise

    def _begin(self, name: str, program: str, folder: Path, env: dict[str, str], port: int) -> None:
        self.frameworks[name] = Framework(program, folder / name, {**env, "PORT": str(port)})

    def end(self) -> None:
        """End all."""
        for framework in self.frameworks.values():
            framework.end()
        self.service.clean_up()
        self.receiver.end()


class Crasher:
    """Kills a framework and starts it again each second; a context manager."""

    def __init__(self, framework: Framework) -> None:
        self.times = 0
        self._framework = framework
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._framework.kill()
            self._framework.start()
            self.times += 1
            self._ending.wait(1.0)

    def __enter__(self) -> Crasher:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ending.set()
        self._thread.join(PATIENCE)


class SideBySide(SharedTestCase):
    """Tests that leave everybody attached."""

    timeout = 120

    def start_shared(self, folder: Path) -> Company:
        return Company(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.frameworks: dict[str, Framework] = self.shared.frameworks
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())

    def raw_bot(self, name: str, **more: Any) -> RawClient:
        bot = RawClient(self.service, headers={"Authorization": f"Bearer {name}"}, **more)
        self.addCleanup(bot.socket.close)
        self.assertEqual(bot.message()["sub_type"], "connect")
        return bot

    def ask(self, words: str, answers: dict[str, int], patience: float = SOON) -> list[str]:
        """Alice says something; what she is answered, once each answer was given so many times, or more."""
        asked = self.service.say(ALICE, words)
        found: list[str] = []

        def all_there() -> bool:
            found[:] = [m["raw_message"] for m in self.service.transcript(asked) if m["from_bot"]]
            return all(found.count(answer) >= number for answer, number in answers.items())

        try:
            wait_until("", all_there, patience)
        except AssertionError:
            actions = {name: self.actions(name) for name in FRAMEWORKS}
            self.fail(f"{words!r} was answered {found}, not {answers}, within {patience:g} s; {actions}")
        return found

    def actions(self, bot: str) -> float:
        """How many actions a bot has asked for."""
        return metric(self.service, "actions_total", bot=bot)

    def assert_all_answer(self, patience: float = SOON) -> None:
        """All four and the webhook answer, each once."""
        before = {name: self.actions(name) for name in FRAMEWORKS}
        number = next(_numbers)
        found = self.ask(f"ping {number}", {f"pong {number}": 4, f"webhook {number}": 1}, patience)
        self.assertEqual(sorted(found), [f"pong {number}"] * 4 + [f"webhook {number}"])
        asked = {name: self.actions(name) - before[name] for name in FRAMEWORKS}
        self.assertEqual(asked, dict.fromkeys(FRAMEWORKS, 1))

    def test_all_answer(self) -> None:
        """Each event goes to all five, and each answers once."""
        for _n in range(10):
            self.assert_all_answer()

    def test_echo(self) -> None:
        """All number their calls alike, and each gets its own answers, while all the others ask too."""
        one, two = self.raw_bot("raw"), self.raw_bot("stalled")
        echoes = [1, "1", {"seq": 1}, 9007199254740993, None, [1]]
        for _round in range(5):
            asked = self.service.say(ALICE, "whoami")
            for bot, user_id in ((one, ALICE), (two, BOB)):
                for echo in echoes:
                    text = {"action": "get_stranger_info", "params": {"user_id": user_id}, "echo": echo}
                    bot.send(json.dumps(text))
            for bot, user_id, name in ((one, ALICE, "Alice"), (two, BOB, "Bob")):
                got = [bot.response() for _echo in echoes]
                self.assertEqual([answer["echo"] for answer in got], echoes)
                for answer in got:
                    self.assertEqual((answer["data"]["user_id"], answer["data"]["nickname"]), (user_id, name))

            def answers() -> list[str]:
                return [m["raw_message"] for m in self.service.transcript(asked) if m["from_bot"]]  # noqa: B023

            wait_until("all four say who they are", lambda: len(answers()) >= 4, SOON)
            self.assertEqual(answers(), ["lgtwist"] * 4)

    def test_stalled_and_crashing(self) -> None:
        """One bot reads nothing, one dies every second: the others answer as ever."""
        healthy = [name for name in FRAMEWORKS if name != "aiocqhttp"]
        raw = self.raw_bot("raw")
        stalled = self.raw_bot("stalled", receive_buffer=4096)
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        sent = 0
        while "stalled: " not in self._slow_lines():
            injector.publish(*(numbered(sent + n, 50_000) for n in range(10)))
            sent += 10
            self.assertEqual(raw.event(n=sent - 1)["who"], 0)
            self.assertLess(sent, 2000)
        self.assert_all_answer(PATIENCE)  # they have read all that
        before = {name: self.actions(name) for name in healthy}
        asked = 0
        with Crasher(self.frameworks["aiocqhttp"]) as crasher:
            until = time.monotonic() + 5.0
            while time.monotonic() < until:
                number = next(_numbers)
                found = self.ask(f"ping {number}", {f"pong {number}": 3, f"webhook {number}": 1})
                self.assertEqual(found.count(f"webhook {number}"), 1)
                asked += 1
                self.assertEqual(raw.event(raw_message=f"ping {number}")["user_id"], ALICE)
                self.assertEqual(raw.ask("get_login_info")["data"]["user_id"], 10001)
        self.assertGreaterEqual(crasher.times, 4)
        wait_until(
            "each of the healthy has answered everything",
            lambda: all(self.actions(name) - before[name] == asked for name in healthy),
            SOON,
        )
        self.assertNotIn("nonebot", self._slow_lines())
        framework = self.frameworks["aiocqhttp"]
        framework.wait_ready()
        wait_until(
            "it is back", lambda: metric(self.service, "bot_connections", bot="aiocqhttp") == 1, PATIENCE
        )
        self.assert_all_answer(PATIENCE)
        for name in healthy:
            self.assertTrue(self.frameworks[name].alive(), name)
        stalled.reset()

    def _slow_lines(self) -> str:
        return "\n".join(line for line in self.service.log().splitlines() if "reads too slowly" in line)
