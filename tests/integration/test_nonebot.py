"""A real NoneBot2 program, attached by forward WebSocket, in conversation with people of the sandbox."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase
from tests.processes import ChildProcess

PROGRAM = Path(__file__).parent / "bots" / "nonebot_echo.py"
ALICE, CAROL = 20001, 20003
GROUP = 30001

MISSING = [name for name in ("nonebot", "websockets") if importlib.util.find_spec(name) is None]


class NoneBot(ChildProcess):
    """The program as a child process."""

    name = "NoneBot"
    program = PROGRAM

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        super().__init__(folder)
        self.settings = settings
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ONEBOT_", "NONEBOT_")) and name not in ("DRIVER", "ENVIRONMENT")
        }
        self.spawn(
            [sys.executable, str(self.program)],
            {**clean, "DRIVER": "~websockets", "LOG_LEVEL": "INFO", **self.settings},
        )

    def times_connected(self) -> int:
        """How often it has said that the account is there."""
        return self.log().count("Bot 10001 connected")

    def wait_connected(self, times: int) -> None:
        wait_until(
            f"NoneBot says {times} times that it is connected", lambda: self.times_connected() >= times
        )


class Pair:
    """A service and a NoneBot2 that is attached to it."""

    def __init__(self, folder: Path, toml: str, settings: dict[str, str]) -> None:
        self.service = Service(folder / "service", toml)
        self.bot: NoneBot | None = None
        try:
            urls = f'["{self.service.url()}"]'
            self.bot = NoneBot(folder / "nonebot", {"ONEBOT_WS_URLS": urls, **settings})
            self.bot.wait_connected(1)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End both."""
        if self.bot is not None:
            self.bot.end()
        self.service.clean_up()


class NoneBotTestCase(SharedTestCase):
    """Tests that share one service and one NoneBot2, which each test leaves running and attached."""

    toml = ""
    settings: ClassVar[dict[str, str]] = {}

    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"

    def start_shared(self, folder: Path) -> Pair:
        return Pair(folder, self.toml, self.settings)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.bot: NoneBot = self.shared.bot
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())

    def said_before(self) -> int:
        """The number of the newest message."""
        _status, world = self.service.http("/sandbox/10001")
        return int(world["last_message_id"])

    def heard(self, after: int, number: int = 1) -> list[dict[str, Any]]:
        """What the bot said after a message: waits until it has said so much, and no more than that."""

        def answers() -> list[dict[str, Any]]:
            found = [m for m in self.service.transcript(after, wait=1) if m["from_bot"]]
            return found if len(found) >= number else []

        found = wait_until(f"the bot says {number} messages", answers)
        self.assertEqual(len(found), number)
        return found

    def converse(self, words: str) -> None:
        """Alice says something, and the bot says it back to her, once."""
        asked = self.service.say(ALICE, f"/echo {words}")
        (answer,) = self.heard(asked)
        self.assertEqual(answer["raw_message"], words)
        self.assertEqual((answer["message_type"], answer["peer_id"]), ("private", ALICE))


class Conversation(NoneBotTestCase):
    """Without a token, on this machine."""

    def test_private(self) -> None:
        """A person says something to the bot's account, and NoneBot2 answers that person."""
        self.converse("你好 😀 &amp; [CQ:face,id=1] &#91;")

    def test_segments(self) -> None:
        """What is no text reaches the program and comes back as it was."""
        message = [
            {"type": "text", "data": {"text": "/echo look: "}},
            {"type": "face", "data": {"id": "178"}},
            {"type": "image", "data": {"file": "base64://iVBORw0KGgo="}},
        ]
        asked = self.service.say(ALICE, message)
        (answer,) = self.heard(asked)
        parts = answer["message"]
        self.assertEqual([part["type"] for part in parts], ["text", "face", "image"])
        self.assertEqual(parts[0]["data"]["text"], "look: ")
        self.assertEqual(parts[1]["data"], {"id": "178"})
        (said,) = [m for m in self.service.transcript(asked - 1) if m["message_id"] == asked]
        self.assertEqual(parts[2]["data"]["url"], said["message"][2]["data"]["url"])

    def test_group(self) -> None:
        """In the group the bot answers with what it asked the account for: everybody who is in it."""
        asked = self.service.say(ALICE, "/members", group_id=GROUP)
        (answer,) = self.heard(asked)
        self.assertEqual((answer["message_type"], answer["group_id"]), ("group", GROUP))
        self.assertEqual(answer["message"][0], {"type": "at", "data": {"qq": str(ALICE)}})
        text = "".join(p["data"]["text"] for p in answer["message"] if p["type"] == "text")
        self.assertEqual(text.strip(), "4 members: Alice, lgtwist, Bob, Carol")

    def test_mentioned(self) -> None:
        """An @ of the account in the group is an @ of the bot; the same words without it are not for it."""
        self.service.say(ALICE, "/echo nobody answers", group_id=GROUP)
        at = {"type": "at", "data": {"qq": "10001"}}
        said = self.service.say(ALICE, [at, {"type": "text", "data": {"text": " /echo me"}}], group_id=GROUP)
        (answer,) = self.heard(said)
        self.assertEqual(answer["raw_message"].strip(), "me")

    def test_order(self) -> None:
        """What the bot says one after the other arrives in that order, each once."""
        asked = self.service.say(ALICE, "/many")
        found = self.heard(asked, 20)
        self.assertEqual([m["raw_message"] for m in found], [f"number {n}" for n in range(20)])

    def test_friend_request(self) -> None:
        """Carol asks to be a friend, and is one when NoneBot2 has approved."""
        before = self.said_before()
        status, _answer = self.service.http("/sandbox/10001/ask", {"user_id": CAROL, "comment": "swordfish"})
        self.assertEqual(status, 200)
        (answer,) = self.heard(before)
        self.assertEqual((answer["raw_message"], answer["peer_id"]), ("welcome", CAROL))
        _status, world = self.service.http("/sandbox/10001")
        carol = next(p for p in world["people"] if p["user_id"] == CAROL)
        self.assertEqual((carol["friend"], carol["remark"]), (True, "knows the word"))
        self.assertEqual(world["requests"], [])

    def test_broken_links(self) -> None:
        """The link breaks in the middle of an answer: the bot is back by itself, and said it once."""
        connected = self.bot.times_connected()
        fault = {"kind": "break", "action": "send_*", "part": "half", "times": 1}
        _status, fault = self.service.http("/sandbox/10001/faults", fault)
        self.converse("in the middle")
        _status, actions = self.service.http("/sandbox/10001/actions?after=0")
        self.assertEqual([one["fault"] for one in actions["entries"] if "fault" in one], [fault["id"]])
        self.bot.wait_connected(connected + 1)
        self.converse("after that")
        fail = {"kind": "fail", "action": "send_*", "retcode": 1200, "times": 1}
        self.service.http("/sandbox/10001/faults", fail)
        self.service.say(ALICE, "/echo lost")
        self.converse("after a failure")

    def test_service_killed(self) -> None:
        """The service dies outright and starts again: the bot is back by itself, and all was kept."""
        self.converse("before the crash")
        before = self.service.transcript()
        connected = self.bot.times_connected()
        self.service.kill()
        self.service.start()
        self.assertEqual(self.service.transcript(), before)
        self.bot.wait_connected(connected + 1)
        self.converse("after the crash")
        self.assertEqual(self.service.transcript()[: len(before)], before)

    def test_bot_killed(self) -> None:
        """The program dies outright and starts again: it is answered as before, and nobody else notices."""
        self.converse("before its crash")
        connected = self.bot.times_connected()
        self.bot.end()
        self.service.say(ALICE, "/echo nobody hears this")
        self.bot.start()
        self.bot.wait_connected(connected + 1)
        self.converse("after its crash")


class WithToken(NoneBotTestCase):
    """With an ``access_token`` in ``[[bots]]`` and ONEBOT_ACCESS_TOKEN in the program."""

    toml = '[[bots]]\nname = "nonebot"\naccess_token = "k3y-of-the-bot"\n'
    settings: ClassVar[dict[str, str]] = {"ONEBOT_ACCESS_TOKEN": "k3y-of-the-bot"}

    def test_conversation(self) -> None:
        """With the token that both know the bot answers; its account is who it says it is."""
        self.converse("hello")
        asked = self.service.say(ALICE, "/whoami")
        (answer,) = self.heard(asked)
        self.assertEqual(answer["raw_message"], "lgtwist (10001)")

    def test_wrong_token(self) -> None:
        """A program with another token does not get in; both logs say why, and neither shows a token."""
        url = {"ONEBOT_WS_URLS": f'["{self.service.url()}"]', "ONEBOT_ACCESS_TOKEN": "s0me-other"}
        stranger = NoneBot(Path(self.mktemp()).absolute(), url)
        self.addCleanup(stranger.end)
        wait_until("the stranger is told 403", lambda: "403" in stranger.log())
        wait_until("the log says so", lambda: "token is wrong" in self.service.log())
        self.assertEqual(stranger.times_connected(), 0)
        self.assertNotIn("s0me-other", self.service.log())
        self.assertNotIn("k3y-of-the-bot", self.service.log())
        self.converse("still here")
