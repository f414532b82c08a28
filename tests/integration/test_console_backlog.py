"""Backlog and refused events over the console: a real NoneBot2, and a webhook bot that refuses."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from tests.integration.at_least_once import at_least_once, lines, skipped
from tests.integration.faulty import quiet
from tests.integration.listening_bots import EMPTY, Receiver, respond
from tests.integration.running import PATIENCE, Service, wait_until
from tests.integration.test_nonebot import ALICE, NoneBot, NoneBotTestCase, Pair

TOKEN = "console-token-of-this-test"


class OwnService(Service):
    """Asked with the admin token."""

    def http(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return super().http(path, body, {"Authorization": f"Bearer {TOKEN}", **(headers or {})})

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the console's interface, which must be answered with 200."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/console/api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {TOKEN}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())


class BacklogPair(Pair):
    """The service, NoneBot2, and the receiver of the webhook bot."""

    def __init__(self, folder: Path) -> None:
        self.receiver = Receiver()
        hook = ('connection = "http-post"', f'url = "{self.receiver.url()}"')
        toml = quiet() + at_least_once("nonebot") + at_least_once("hook", *hook, token=True)
        self.bot = None
        self.service: OwnService = OwnService(folder / "service", toml, f'admin_token = "{TOKEN}"')
        try:
            urls = f'["{self.service.url()}"]'
            self.bot = NoneBot(folder / "nonebot", {"ONEBOT_WS_URLS": urls})
            self.bot.wait_connected(1)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        super().end()
        self.receiver.end()


class ConsoleBacklog(NoneBotTestCase):
    service: OwnService

    def start_shared(self, folder: Path) -> BacklogPair:
        return BacklogPair(folder)

    def row(self, bot: str) -> dict[str, Any]:
        """The row of a bot."""
        [found] = [one for one in self.service.api("GET", "backlog")["rows"] if one["bot"] == bot]
        return dict(found)

    def test_a_refused_event(self) -> None:
        """It is looked at, delivered again before and after the bot is mended, and dropped."""
        receiver: Receiver = self.shared.receiver
        receiver.usual = lambda sock: (respond(413) if b"poison" in receiver.posts[-1].raw else EMPTY)(sock)
        secret = {"word": "poison", "access_token": "0123456789abc"}
        self.service.inject({"post_type": "notice", "notice_type": "test", **secret})
        self.converse("nobody else waits")
        listed = lambda: self.service.api("GET", "backlog")["refused"]  # noqa: E731
        [refused] = wait_until("it is refused", listed)
        self.assertEqual((refused["bot"], refused["account"], refused["reason"]), ("hook", 10001, "HTTP 413"))
        self.assertEqual(refused["post_type"], "notice")
        wait_until("what follows is taken", lambda: not self.row("hook")["backlog"])
        path = f"refused/{refused['id']}"
        answer = self.service.api("GET", path)
        self.assertEqual((answer["complete"], answer["event"]["word"]), (True, "poison"))
        self.assertNotIn("0123456789abc", json.dumps(answer))
        posts = len(receiver.posts)
        answer = self.service.api("POST", path, {})
        self.assertEqual(answer, {"outcome": "refused", "reason": "HTTP 413"})
        self.converse("not one at a time")
        receiver.usual = EMPTY
        self.assertEqual(self.service.api("POST", path, {})["outcome"], "confirmed")
        again = [post for post in receiver.posts[posts:] if b"poison" in post.raw]
        self.assertEqual(len(again), 2)
        self.assertEqual(skipped(self.service, "refused", "hook"), 1)
        self.assertEqual(self.service.api("DELETE", path), {"dropped": 1})
        self.assertEqual(listed(), [])
        self.assertEqual(len(lines(self.service.log(), "console: ", "hook")), 2)

    def test_skip_and_undo(self) -> None:
        """What NoneBot2 missed does not come after a skip, and comes after it is undone."""
        self.converse("before")
        for undone in (False, True):
            wait_until("all is confirmed", lambda: not self.row("nonebot")["backlog"])
            connected = self.bot.times_connected()
            self.bot.end()
            wait_until("it is gone", lambda: not self.row("nonebot")["connected"])
            missed = self.service.say(ALICE, "/echo missed")
            wait_until("it is in the journal", lambda: self.row("nonebot")["backlog"])
            pair = {"bot": "nonebot", "account": 10001}
            answer = self.service.api("POST", "backlog/skip", {**pair, "name": "nonebot"})
            self.assertEqual(answer, {"skipped": 1, "undo": True})
            self.assertTrue(self.row("nonebot")["can_undo"])
            if undone:
                self.service.api("POST", "backlog/undo", pair)
            self.bot.start()
            self.bot.wait_connected(connected + 1)
            if undone:
                self.assertEqual(self.heard(missed)[0]["raw_message"], "missed")
            else:
                self.converse("the newest")
                said = [m["raw_message"] for m in self.service.transcript(missed) if m["from_bot"]]
                self.assertEqual(said, ["the newest"])
        self.assertEqual(skipped(self.service, "console", "nonebot"), 2)
