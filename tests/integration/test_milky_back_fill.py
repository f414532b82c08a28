"""Back-fill with real processes: a fake implementation, lgtwist that is killed, and two bots behind it."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.at_least_once import Bot, at_least_once, bearer, metric
from tests.integration.rawclient import CLOSE, PING, PONG, TEXT, Ended, RawClient
from tests.integration.running import Service, ServiceTestCase, wait_until
from tests.milky.fake import FakeMilky
from tests.rounds import combination

FRIEND, GROUP = 20_001, 30_001
PATIENCE = 20.0
#: What was delivered is written once a second.
WRITTEN = 1.3


class Reader(Bot):
    """A bot that remembers messages: where, the sequence number, and whether it is marked as late."""

    def _read(self, client: RawClient, life: list[Any]) -> None:
        opcode, payload = client.frame()
        if opcode == TEXT:
            event = json.loads(payload)
            if event["post_type"] == "message":
                where = "group" if "group_id" in event else "friend"
                life.append((where, event["message_seq"], event.get("replayed")))
        elif opcode == PING:
            client.send(payload, PONG)
        elif opcode == CLOSE:
            raise Ended("closed")

    def seqs(self, where: str) -> list[int]:
        return [seq for scene, seq, _late in self.seen if scene == where]

    def marks(self, where: str) -> dict[int, Any]:
        return {seq: late for scene, seq, late in self.seen if scene == where}


class BackFillTests(ServiceTestCase):
    if importlib.util.find_spec("aiohttp") is None:
        skip = "aiohttp is not installed"

    def setUp(self) -> None:
        """Nothing yet: each test has its own configuration."""

    def start(self, event_stream: str, habit: str) -> None:
        folder = Path(self.mktemp()).absolute()
        self.fake = FakeMilky(folder, token="of-milky", habit=habit, report_self=True)
        self.addCleanup(self.fake.end)
        account = (
            '[[accounts]]\ntype = "milky"\nself_id = 10001\naccess_token = "of-milky"\n'
            f'url = "{self.fake.url}"\nevent_stream = "{event_stream}"\n'
            'reconnect = { min = "50ms", max = "100ms" }\n'
        )
        live = '[[bots]]\nname = "live"\naccess_token = "of-live"\n'
        self.service: Service = self.start_service(
            "\n".join([account, live, at_least_once("alo", "replay = { mark = true }", token=True)])
        )
        self.live, self.certain = (
            Reader(self.service, headers=bearer(name), key=lambda event: event) for name in ("live", "alo")
        )
        for bot in (self.live, self.certain):
            self.addCleanup(bot.end)
        self.fake.wait_stream()
        wait_until("both bots are there", lambda: self.live.connected and self.certain.connected, PATIENCE)

    def say(self, times: int = 1, scene: str = "group") -> list[int]:
        """A person says something, some times; the sequence numbers."""
        peer_id = GROUP if scene == "group" else FRIEND
        return [
            int(self.fake.say(scene, peer_id, f"message {number}", FRIEND)["message_seq"])
            for number in range(times)
        ]

    def wait_bots(self, what: str, ready: Callable[[Reader], bool], *bots: Reader) -> None:
        for bot in bots or (self.live, self.certain):
            try:
                wait_until(what, lambda bot=bot: ready(bot), PATIENCE)  # type: ignore[misc]
            except AssertionError as error:
                raise AssertionError(f"{error}: {bot.seen}\n{self.service.log()}") from None

    def check(self, event_stream: str, habit: str) -> None:
        self.start(event_stream, habit)
        group, friend = self.say(3), self.say(2, "friend")
        self.wait_bots("all come", lambda bot: bot.seqs("group") == group and bot.seqs("friend") == friend)
        # the stream breaks
        self.fake.switch(streams_open=False)
        self.fake.wait_stream(0)
        missed, missed_of_friend = self.say(70), self.say(5, "friend")
        self.fake.switch(streams_open=True)
        self.fake.wait_stream()
        group += missed + self.say(2)
        friend += missed_of_friend
        self.wait_bots("all come", lambda bot: bot.seqs("group") == group and bot.seqs("friend") == friend)
        marks = self.certain.marks("group")
        self.assertEqual([seq for seq in group if marks[seq]], missed)
        self.assertEqual(set(self.live.marks("group").values()), {None})
        self.assertEqual(metric(self.service, "milky_back_filled_events_total", account=10001), 75)
        # lgtwist is killed
        time.sleep(WRITTEN)
        self.service.kill()
        group += self.say(10)
        self.service.start()
        self.fake.wait_stream()
        group += self.say(2)
        self.wait_bots("all come", lambda bot: bot.seqs("group") == group, self.certain)
        self.assertEqual(self.certain.seqs("friend"), friend)
        self.fake.finish()

    def test_llbot_server_sent_events(self) -> None:
        """LLBot, with server-sent events."""
        self.check("sse", "llbot")

    @combination
    def test_lagrange_websocket(self) -> None:
        """Lagrange, which answers histories in its own way, with a WebSocket."""
        self.check("websocket", "lagrange")
