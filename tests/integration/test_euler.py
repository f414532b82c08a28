"""euler-onebot as the implementation, its QQ side stubbed, and a bot on nekomoe on the other side.

Only where LGTWIST_TEST_ROUNDS is set (CI).
"""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import Any

from tests.frameworks.frameworks import Framework
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase
from tests.rounds import combination

ALICE, GROUP = 20001, 30001
#: One that lgtwist shows a token to, and one that it does not: euler-onebot reads none.
WITH_TOKEN, WITHOUT = 10031, 10032

TOML = """[[accounts]]
type = "forward-websocket"
self_id = {self_id}
url = "ws://127.0.0.1:{port}/"
reconnect = {{ min = "100ms", max = "500ms" }}
outgoing_format = "array"
{token}
"""
BOTS = """[[bots]]
name = "nekomoe"
connection = "reverse-websocket"
url = "ws://127.0.0.1:{port}/onebot/v11/ws"
reconnect = {{ min = "100ms", max = "500ms" }}
access_token = "token-of-the-bot"
delivery = "at-least-once"

[limits]
action_timeout = "2s"
"""

_numbers = itertools.count(1)


class Euler(Framework):
    """One account of QQ."""

    def __init__(self, folder: Path, self_id: int) -> None:
        self.self_id = self_id
        super().__init__("euler", folder, {"SELF_ID": str(self_id)})

    def say(self, text: str, group: int | None = None) -> None:
        """Alice says something in QQ."""
        message = {"user_id": ALICE, "text": text} | ({} if group is None else {"group_id": group})
        with (self.folder / "inbox").open("a", encoding="utf-8") as inbox:
            inbox.write(json.dumps(message) + "\n")

    def sent(self) -> list[list[Any]]:
        """What it has sent to QQ, in all its lives: where, the number, the elements."""
        outbox = self.folder / "outbox"
        text = outbox.read_text("utf-8") if outbox.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def wait_sent(self, *expected: Any) -> None:
        """Wait until it has sent this."""
        wait_until(f"QQ gets {expected}", lambda: list(expected) in self.sent())


class Everybody:
    """A service between two implementations, and a bot for both."""

    def __init__(self, folder: Path) -> None:
        self.children: list[Framework | Service] = []
        try:
            self.eulers = [Euler(folder / f"euler-{number}", number) for number in (WITH_TOKEN, WITHOUT)]
            self.children += self.eulers
            for euler in self.eulers:
                euler.wait_ready()
            blocks = [
                TOML.format(
                    self_id=euler.self_id,
                    port=euler.port,
                    token='access_token = "token-of-euler"' if euler.self_id == WITH_TOKEN else "",
                )
                for euler in self.eulers
            ]
            self.bot = Framework("nekomoe", folder / "nekomoe", {"ACCESS_TOKEN": "token-of-the-bot"})
            self.children.append(self.bot)
            self.bot.wait_ready()
            bots = BOTS.format(port=self.bot.port)
            self.service = Service(folder / "service", "".join(blocks) + bots)
            self.children.append(self.service)
            wait_until("both accounts are up", self.service.ready)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all."""
        for child in reversed(self.children):
            child.end()


@combination
class EulerOneBot(SharedTestCase):
    """Tests that leave all running and attached."""

    timeout = 60

    def start_shared(self, folder: Path) -> Everybody:
        return Everybody(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.eulers: list[Euler] = self.shared.eulers
        self.bot: Framework = self.shared.bot
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())

    def converse(self) -> None:
        """What Alice says, to the account and in a group, is answered there."""
        for euler in self.eulers:
            for group in (None, GROUP):
                word = f"你好 {next(_numbers)}"
                euler.say(f"ping {word}", group)
                where = ("friend", ALICE) if group is None else ("group", GROUP)
                euler.wait_sent(*where, [["Text", f"pong {word}"]])

    def call(self, action: str, params: dict[str, Any], self_id: int = WITH_TOKEN) -> tuple[int, Any]:
        """One action over the HTTP API."""
        return self.service.http(
            f"/{self_id}/{action}",
            json.dumps(params).encode(),
            {"Authorization": "Bearer token-of-the-bot", "Content-Type": "application/json"},
        )

    def test_conversation(self) -> None:
        """Lgtwist showed one of them a token, and the other none."""
        self.converse()

    def test_segments(self) -> None:
        """A reply with an at and an image, as text with CQ codes; the image needs its ``summary``."""
        self.converse()
        for target, where in (({"user_id": ALICE}, "friend"), ({"group_id": GROUP}, "group")):
            word = f"look {next(_numbers)}"
            _status, first = self.call("send_msg", {**target, "message": f"before {word}"})
            self.assertEqual(first["retcode"], 0, first)
            message = (
                f"[CQ:reply,id={first['data']['message_id']}][CQ:at,qq={ALICE}]{word}"
                "[CQ:image,file=base64://iVBORw0KGgo=,summary=image]"
            )
            _status, answer = self.call("send_msg", {**target, "message": message})
            self.assertEqual(answer["retcode"], 0, answer)
            (number,) = target.values()
            elements = [["Quote", ""], ["At", "@Alice"], ["Text", word], ["Image", "[image]"]]
            self.eulers[0].wait_sent(where, number, elements)

    def test_unread(self) -> None:
        """What it does not read, an image without ``summary``, it does not answer: 1504, in the log too."""
        image = "[CQ:image,file=base64://iVBORw0KGgo=]"
        _status, answer = self.call("send_msg", {"user_id": ALICE, "message": image})
        self.assertEqual(answer["retcode"], 1504, answer)
        line = f"account {WITH_TOKEN}: no answer to send_msg"
        wait_until("the log says so", lambda: line in self.service.log())

    def test_login_info(self) -> None:
        """It has no ``get_login_info``; bots get one."""
        _status, answer = self.call("get_login_info", {})
        self.assertEqual(answer["data"]["user_id"], WITH_TOKEN, answer)

    def test_service_killed(self) -> None:
        self.converse()
        self.service.kill()
        self.back_by_itself()

    def test_service_stopped(self) -> None:
        self.converse()
        self.service.stop(signal.SIGTERM)
        self.back_by_itself()

    def back_by_itself(self) -> None:
        """Start the service again: all are back, and none has been started anew."""
        self.service.start()
        wait_until("both accounts are up again", self.service.ready)
        self.converse()
        self.assertTrue(all(child.alive() for child in [*self.eulers, self.bot]))

    def test_bot_killed(self) -> None:
        """What is said in QQ while the bot is dead is answered when it is back."""
        self.converse()
        self.bot.kill()
        words = [f"meanwhile {next(_numbers)}" for _ in range(5)]
        for euler in self.eulers:
            for word in words:
                euler.say(f"ping {word}", GROUP)
        self.bot.start()
        for euler in self.eulers:
            for word in words:
                euler.wait_sent("group", GROUP, [["Text", f"pong {word}"]])

    def test_implementation_killed(self) -> None:
        """It dies outright and starts again."""
        self.converse()
        for euler in self.eulers:
            euler.kill()
            (euler.folder / "inbox").unlink()
            euler.start()
        for euler in self.eulers:
            euler.wait_ready()
        wait_until("both accounts are up again", self.service.ready)
        self.converse()
