"""Real bot frameworks, each attached in each way that it offers, in conversation with people of the sandbox.

All are attached to one service at once, each to an account of its own, for starting them is what takes time.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import SkipTest

from attrs import field, frozen

from tests.frameworks.frameworks import Framework, not_available
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase
from tests.processes import free_port

ALICE = 20001
#: A person waits no longer for an answer (seconds).
SOON = 5.0
LIMITS = '[limits]\nheartbeat_interval = "1s"\n'

_numbers = itertools.count(1)


@frozen(eq=False)
class Way:
    """A framework and how it is attached.

    :ivar self_id: the account that it has for itself.
    :ivar env: its settings; ``{http}``, ``{ws}`` and ``{root}`` are its account's URLs without and with an
        ending slash, ``{token}`` its token.
    :ivar toml: lines of its ``[[bots]]``; ``{port}`` is where it listens.
    :ivar quick: whether "quick X" is answered by a quick operation.
    """

    name: str
    program: str
    self_id: int
    env: dict[str, str]
    toml: str = ""
    quick: bool = False
    port: int = field(factory=free_port)

    @property
    def token(self) -> str:
        return f"token-of-{self.self_id}"

    def block(self) -> str:
        """The TOML of its account and its bot."""
        lines = self.toml.format(port=self.port)
        return (
            f'[[accounts]]\ntype = "sandbox"\nself_id = {self.self_id}\n[[bots]]\nname = "{self.name}"\n'
            f'accounts = [{self.self_id}]\naccess_token = "{self.token}"\n{lines}\n'
        )

    def settings(self, service: Service) -> dict[str, str]:
        """Its environment."""
        base = f"127.0.0.1:{service.port}/{self.self_id}"
        known = {"HTTP": f"http://{base}", "WS": f"ws://{base}", "TOKEN": self.token}
        env = {"PORT": str(self.port), "SELF_ID": str(self.self_id)}
        for name, value in self.env.items():
            for key, text in known.items():
                value = value.replace(f"<{key}>", text)
            env[name] = value
        return env


REVERSE = 'connection = "reverse-websocket"\nreconnect = {{ min = "200ms", max = "1s" }}\n'
POST = 'connection = "http-post"\ntimeout = "3s"\nsecret = "s"\n'
ONEBOT_WS = REVERSE + 'url = "ws://127.0.0.1:{port}/onebot/v11/ws"\n'
KOISHI = {
    "REPAIR": "1",
    "TOKEN": "<TOKEN>",
    "RETRY_INTERVAL": "200",
    "RETRY_LAZY": "500",
    "RETRY_TIMES": "99",
}
ARRAY = 'message_format = "array"\n'

WAYS = (
    Way(
        "nonebot-reverse-fastapi",
        "nonebot",
        10001,
        {"DRIVER": "~fastapi", "ONEBOT_ACCESS_TOKEN": "<TOKEN>"},
        ONEBOT_WS,
    ),
    Way(
        "nonebot-reverse-quart",
        "nonebot",
        10002,
        {"DRIVER": "~quart", "ONEBOT_ACCESS_TOKEN": "<TOKEN>"},
        ONEBOT_WS,
    ),
    Way(
        "aiocqhttp-reverse",
        "aiocqhttp",
        10003,
        {"ACCESS_TOKEN": "<TOKEN>"},
        REVERSE + 'url = "ws://127.0.0.1:{port}/ws"\n',
        quick=True,
    ),
    Way(
        "aiocqhttp-reverse-pair",
        "aiocqhttp",
        10004,
        {"ACCESS_TOKEN": "<TOKEN>"},
        REVERSE
        + 'api_url = "ws://127.0.0.1:{port}/ws/api"\nevent_url = "ws://127.0.0.1:{port}/ws/event"\n'
        + ARRAY,
        quick=True,
    ),
    Way(
        "koishi-reverse",
        "koishi",
        10005,
        {"PROTOCOL": "ws-reverse", **KOISHI},
        REVERSE + 'url = "ws://127.0.0.1:{port}/onebot"\n' + ARRAY,
    ),
    Way("koishi-forward", "koishi", 10006, {"PROTOCOL": "ws", "ENDPOINT": "<WS>", **KOISHI}, ARRAY),
    Way(
        "koishi-http",
        "koishi",
        10007,
        {"PROTOCOL": "http", "ENDPOINT": "<HTTP>", "SECRET": "s", **KOISHI},
        POST + 'url = "http://127.0.0.1:{port}/onebot"\n' + ARRAY,
    ),
    Way(
        "nonebot-webhook",
        "nonebot",
        10008,
        {
            "DRIVER": "~fastapi+~httpx",
            "ONEBOT_ACCESS_TOKEN": "<TOKEN>",
            "ONEBOT_SECRET": "s",
            "ONEBOT_API_ROOTS": json.dumps({"10008": "<HTTP>/"}),
        },
        POST + 'url = "http://127.0.0.1:{port}/onebot/v11/http"\n',
    ),
    Way(
        "aiocqhttp-webhook",
        "aiocqhttp",
        10009,
        {"ACCESS_TOKEN": "<TOKEN>", "SECRET": "s", "API_ROOT": "<HTTP>/"},
        POST + 'url = "http://127.0.0.1:{port}/"\n',
        quick=True,
    ),
    Way(
        "napcat-ts-forward",
        "napcat-ts",
        10010,
        {
            "URL": "<WS>",
            "ACCESS_TOKEN": "<TOKEN>",
            "RECONNECT_DELAY": "200",
            "RECONNECT_ATTEMPTS": "99",
        },
        ARRAY,
        quick=True,
    ),
)


class Everybody:
    """One service, and every framework that can be had here.

    :ivar missing: why the others cannot.
    """

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder / "service", "".join(way.block() for way in WAYS) + LIMITS)
        self.frameworks: dict[Way, Framework] = {}
        self.missing: dict[str, str] = {}
        try:
            for way in WAYS:
                try:
                    env = way.settings(self.service)
                    self.frameworks[way] = Framework(way.program, folder / way.name, env)
                except SkipTest as skipped:
                    self.missing[way.name] = str(skipped)
            for framework in self.frameworks.values():
                framework.wait_ready()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all."""
        for framework in self.frameworks.values():
            framework.end()
        self.service.clean_up()


class Frameworks(SharedTestCase):
    """Tests that leave the service and all frameworks running and attached."""

    timeout = 120

    def start_shared(self, folder: Path) -> Everybody:
        return Everybody(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.frameworks: dict[Way, Framework] = self.shared.frameworks
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())

    # -- in conversation

    def answers(self, way: Way, words: str, patience: float) -> list[str]:
        """What the bot says to Alice when she has said something: all until the first answer came."""
        asked = self.service.say(ALICE, words, self_id=way.self_id)
        deadline = time.monotonic() + patience
        while not (found := self.said(way, asked)) and time.monotonic() < deadline:
            self.service.transcript(asked, wait=1, self_id=way.self_id)
        return found

    def said(self, way: Way, after: int) -> list[str]:
        messages = self.service.transcript(after, self_id=way.self_id)
        for message in messages:
            if message["from_bot"]:
                self.assertEqual(message["peer_id"], ALICE)
        return [message["raw_message"] for message in messages if message["from_bot"]]

    def attached(self, way: Way) -> None:
        """Wait until a word of Alice is answered. Those that nobody was there to hear are lost (``live``)."""

        def answered() -> bool:
            word = f"{next(_numbers)}"
            return f"pong {word}" in self.answers(way, f"ping {word}", 1.0)

        wait_until("it answers", answered, 30.0)

    def converse(self, way: Way) -> None:
        """Each thing that Alice says is answered soon and once; what it calls is answered too."""
        questions = [("ping 你好 😀 <&> [x]", "pong 你好 😀 <&> [x]"), ("whoami", "lgtwist")]
        if way.quick:
            questions.append(("quick 一 & <2>", "quick 一 & <2>"))
        for words, answer in questions:
            unescaped = [{"type": "text", "data": {"text": words}}]
            asked = self.service.say(ALICE, unescaped, self_id=way.self_id)
            wait_until(f"an answer to {words!r}", lambda: self.said(way, asked), SOON)  # noqa: B023
            (said,) = self.said(way, asked)
            for escape, text in (("&#91;", "["), ("&#93;", "]"), ("&amp;", "&")):
                said = said.replace(escape, text)
            self.assertEqual(said, answer)

    def with_each(self, check: Callable[[Way], None]) -> None:
        """Check all of them at once; every one that fails is named."""

        def checked(way: Way) -> str:
            try:
                check(way)
            except Exception as error:
                return f"{way.name}: {type(error).__name__}: {error}\n{self.frameworks[way].log()[-1500:]}"
            return ""

        with ThreadPoolExecutor(len(WAYS)) as pool:
            troubles = [trouble for trouble in pool.map(checked, self.frameworks) if trouble]
        if troubles:
            self.fail("\n\n".join(troubles))
        for name, reason in self.shared.missing.items():
            not_available(f"all but {name}: {reason}")

    def test_conversation(self) -> None:
        """An event goes in, and a reply, the answer to a call, and a quick operation come out."""
        self.with_each(self.attached)
        self.with_each(self.converse)

    def test_framework_killed(self) -> None:
        """The framework dies outright, time and again, and works again each time."""
        self.with_each(self.attached)
        for framework in self.frameworks.values():
            framework.kill()
        for framework in self.frameworks.values():
            framework.start()
        self.with_each(lambda way: self.frameworks[way].wait_ready())
        self.with_each(self.attached)
        self.with_each(self.converse)

    def test_service_killed(self) -> None:
        """The service dies outright and starts again: every framework is back without being touched."""
        self.with_each(self.attached)
        pids = {way.name: framework.pid for way, framework in self.frameworks.items()}
        self.service.kill()
        self.service.start()
        self.with_each(self.attached)
        self.with_each(self.converse)
        self.assertTrue(all(framework.alive() for framework in self.frameworks.values()))
        self.assertEqual(pids, {way.name: framework.pid for way, framework in self.frameworks.items()})


class OneBotTwoServices(SharedTestCase):
    """NoneBot2 answers 403 to a second connection of an account while it has the first."""

    def start_shared(self, folder: Path) -> Framework:
        return Framework("nonebot", folder / "nonebot", {"DRIVER": "~fastapi"})

    def test_taking_over(self) -> None:
        """The second to come is refused, says so in one line, and takes over when the first has died."""
        framework: Framework = self.shared
        framework.wait_ready()
        toml = (
            '[[bots]]\nname = "nonebot"\nconnection = "reverse-websocket"\n'
            f'url = "{framework.url("/onebot/v11/ws")}"\nreconnect = {{ min = "100ms", max = "1s" }}\n'
        )
        folder = Path(self.mktemp()).absolute()
        first = Service(folder / "first", toml)
        self.addCleanup(first.clean_up)
        framework.wait_line("CONNECTED 10001")
        second = Service(folder / "second", toml)
        self.addCleanup(second.clean_up)

        def refused() -> list[str]:
            return [line for line in second.log().splitlines() if "HTTP 403" in line]

        wait_until("it is said", refused)
        wait_until("it is tried again", lambda: framework.log().count("403") >= 3)
        (line,) = refused()
        self.assertIn("still holds a connection of this account", line)
        asked = first.say(ALICE, "ping first")
        wait_until("the first is answered", lambda: "pong first" in str(first.transcript(asked)))
        self.assertEqual(framework.count("DISCONNECTED 10001"), 0)
        first.kill()
        framework.wait_line("CONNECTED 10001", 2)
        asked = second.say(ALICE, "ping second")
        wait_until("the second is answered", lambda: "pong second" in str(second.transcript(asked)))
        self.assertEqual(len(refused()), 1)
        for service in (first, second):
            self.assertNotIn("Traceback", service.log())
