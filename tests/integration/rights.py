"""What the tests of rights share: one service, with bots of every kind that have rights or none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.integration.accounts import World
from tests.integration.listening_bots import EMPTY, Listener, Peer, Receiver
from tests.integration.rawclient import RawClient
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase

ALICE, BOB, CAROL, GROUP, OTHER_GROUP = 20001, 20002, 20003, 30001, 30002
SANDBOX, SIMULATED = 10001, 10002
LEASH = 'allow = ["send_*", "get_*"], deny = ["send_like", "get_cookies", "get_*_secret"], rate = "20/min"'
EVENTS = f'events = {{ post_type = ["message", "notice"], group_id = [{GROUP}], user_id = [{ALICE}] }}'
TOML = """
[[accounts]]
type = "sandbox"
self_id = 10001
[[bots]]
name = "free"
access_token = "free"
[[bots]]
name = "leash"
access_token = "leash"
actions = {{ {leash} }}
[[bots]]
name = "crowd"
access_token = "crowd"
actions = {{ {leash} }}
[[bots]]
name = "noisy"
access_token = "noisy"
actions = {{ {leash} }}
[[bots]]
name = "metered"
access_token = "metered"
actions = {{ deny = ["set_*"], rate = "20/min" }}
[[bots]]
name = "ears"
access_token = "ears"
{events}
[[bots]]
name = "groups"
access_token = "groups"
events = {{ group_id = [{group}] }}
[[bots]]
name = "deaf"
access_token = "deaf"
events = {{ post_type = [] }}
[[bots]]
name = "dialled"
access_token = "dialled"
connection = "reverse-websocket"
url = "{dialled}"
accounts = [10001]
actions = {{ {leash} }}
{events}
[[bots]]
name = "hook"
access_token = "hook"
connection = "http-post"
url = "{hook}"
accounts = [10001]
actions = {{ {leash} }}
{events}
[[bots]]
name = "slow-hook"
access_token = "slow-hook"
connection = "http-post"
url = "{slow_hook}"
accounts = [10001]
actions = {{ rate = "2/min" }}
"""
KICK = {"group_id": GROUP, "user_id": CAROL}
MAY_GO_UP = re.compile(r"(send|get)_\w+|can_send_\w+")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def group_message(user_id: int, word: str, group_id: Any = GROUP) -> dict[str, Any]:
    return {
        "post_type": "message", "message_type": "group", "sub_type": "normal", "group_id": group_id,
        "user_id": user_id, "message_id": 1, "message": word, "raw_message": word, "word": word,
    }  # fmt: skip


class Leashed:
    """One service with a sandbox and a simulated account, and bots of every kind with rights."""

    def __init__(self, folder: Path) -> None:
        self.listener, self.receiver, self.slow = Listener(), Receiver(), Receiver()
        try:
            toml = TOML.format(
                leash=LEASH,
                events=EVENTS,
                group=GROUP,
                dialled=self.listener.url(),
                hook=self.receiver.url("/hook"),
                slow_hook=self.slow.url("/slow"),
            )
            accounts = [{"self_id": SIMULATED}]
            self.world = World(folder, accounts, 'heartbeat_interval = "100ms"\n', toml)
        except BaseException:
            self._end_bots()
            raise
        self.peer: Peer | None = None
        wait_until("the simulated account is up", self._simulated_is_up)

    def _simulated_is_up(self) -> bool:
        _status, answer = self.world.service.http(f"/{SIMULATED}/get_status", headers=bearer("free"))
        return answer["retcode"] == 0 and bool(answer["data"]["online"])

    def _end_bots(self) -> None:
        for bot in (self.listener, self.receiver, self.slow):
            bot.end()

    def end(self) -> None:
        """End all."""
        self._end_bots()
        self.world.end()


def members(group: dict[str, Any]) -> set[int]:
    """The numbers of a group's members, as the overview shows them."""
    found = group["members"]
    return {int(one if isinstance(one, (int, str)) else one["user_id"]) for one in found}


class RightsTestCase(SharedTestCase):
    """The leash of ``docs/rights.md``: may read and send, 20 a minute, changes nothing."""

    def start_shared(self, folder: Path) -> Leashed:
        return Leashed(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.world.service
        self.receiver: Receiver = self.shared.receiver
        self._log_began = len(self.service.log())
        self._before = self.overview()
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        self.receiver.quick = lambda _event: None
        self.receiver.usual = EMPTY
        self.assertTrue(self.service.alive())
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())

    # -- what can be seen from outside

    def new_log(self) -> str:
        return self.service.log()[self._log_began :]

    def overview(self) -> Any:
        """People, groups, requests: all that an action could change, but messages."""
        status, world = self.service.http(f"/sandbox/{SANDBOX}")
        self.assertEqual(status, 200)
        world.pop("last_message_id")
        for group in world["groups"]:
            for member in group["members"] if isinstance(group["members"], list) else []:
                member.pop("last_sent_time", None)
        return world

    def assert_nothing_done(self) -> None:
        """The sandbox is as before, and the implementation was given nothing but what is allowed."""
        after = self.overview()
        self.assertEqual(after["people"], self._before["people"])
        self.assertEqual(after["requests"], self._before["requests"])
        for before, now in zip(self._before["groups"], after["groups"], strict=True):
            self.assertEqual(members(now), members(before))
        for one in self.shared.world.implementation.received(SIMULATED):
            self.assertRegex(one["action"], MAY_GO_UP)
            self.assertTrue(MAY_GO_UP.fullmatch(one["action"]), one)

    def dial(self, name: str, path: str = f"/{SANDBOX}") -> RawClient:
        client = RawClient(self.service, path, bearer(name))
        self.addCleanup(client.socket.close)
        return client

    def transcript(self, after: int) -> list[Any]:
        return [one for one in self.service.transcript(after) if one["user_id"] == SANDBOX]

    def last(self) -> int:
        return max((one["message_id"] for one in self.service.transcript()), default=0)

    def peer(self) -> Peer:
        """The link to the bot that is dialled; it stays over tests."""
        if self.shared.peer is None:
            self.shared.peer = self.shared.listener.next()
        return self.shared.peer
