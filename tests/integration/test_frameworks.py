"""Real bot frameworks, each attached in each way that it offers, in conversation with people of the sandbox.

All are attached to one service at once, each to an account of its own, for starting them is what takes time.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.frameworks.frameworks import Framework
from tests.integration.attached import ALICE, AttachedTestCase, Way
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase

#: A person waits no longer for an answer (seconds).
SOON = 5.0
LIMITS = '[limits]\nheartbeat_interval = "1s"\n'

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


class Frameworks(AttachedTestCase):
    """Tests that leave the service and all frameworks running and attached."""

    ways = WAYS
    toml = LIMITS

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
