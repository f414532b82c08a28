"""A sandbox service in memory, for tests of what waits for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lgtwist.testing.control import SandboxError
from lgtwist.testing.people import Sandbox

WORLD = {
    "self_id": 10001,
    "people": [
        {"user_id": 10001, "nickname": "lgtwist"},
        {"user_id": 20001, "nickname": "Alice"},
        {"user_id": 20002, "nickname": "Bob"},
    ],
    "groups": [{"group_id": 30001, "group_name": "Playground", "members": []}],
}


class FakeClient:
    """Answers as the service does. A wait ends at once, after what ``arriving`` brings next has arrived.

    :ivar arriving: functions that are called one by one when somebody waits.
    :ivar requests: the POSTs and PUTs.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.arriving: list[Callable[[], object]] = []
        self.requests: list[tuple[str, Any]] = []
        self.connections = {"bot": 1}
        self.last_message_id = 0
        self.alive = True

    # -- what happens

    def say(
        self, text: str, *, user_id: int = 10001, group_id: int | None = None, peer_id: int = 20001
    ) -> int:
        """Add a message, of the bot by default."""
        self.last_message_id += 1
        chat = {"peer_id": peer_id} if group_id is None else {"group_id": group_id}
        message = {
            "message_id": self.last_message_id,
            "time": 1_700_000_000,
            "message_type": "private" if group_id is None else "group",
            "user_id": user_id,
            "from_bot": user_id == 10001,
            "message": [{"type": "text", "data": {"text": text}}],
            "raw_message": text,
            "recalled": False,
            **chat,
        }
        self.messages.append(message)
        return self.last_message_id

    def call(self, name: str, status: str | None = "ok", retcode: int = 0, **params: object) -> None:
        """Add an action."""
        entry = {"seq": 100 + len(self.calls), "time": 1_700_000_000, "bot": "bot", "action": name}
        entry |= {"params": params, "status": status, "retcode": retcode, "message": ""}
        self.calls.append(entry)

    # -- SandboxClient

    def overview(self) -> dict[str, Any]:
        if not self.alive:
            raise SandboxError("lgtwist does not answer")
        return {**WORLD, "last_message_id": self.last_message_id}

    def transcript(self, after: int = 0, wait: float = 0.0) -> dict[str, Any]:
        found = self._since(self.messages, "message_id", after, wait)
        return {"last_message_id": self.last_message_id, "messages": found}

    def actions(self, after: int | None = None, wait: float = 0.0) -> dict[str, Any]:
        last = 99 + len(self.calls)
        found = self._since(self.calls, "seq", last if after is None else after, wait)
        return {"last": last, "missed": False, "entries": found}

    def _since(
        self, all_of: list[dict[str, Any]], name: str, after: int, wait: float
    ) -> list[dict[str, Any]]:
        found = [one for one in all_of if one[name] > after]
        if wait and not found and self.arriving:
            self.arriving.pop(0)()
            found = [one for one in all_of if one[name] > after]
        return found

    def connected_bots(self) -> dict[str, int]:
        return self.connections

    def put(self, path: str, body: bytes) -> Any:
        self.requests.append((path, json.loads(body)))
        self.messages = []
        return {}

    def post(self, path: str, body: Any = None) -> Any:
        given = {name: value for name, value in (body or {}).items() if value is not None}
        self.requests.append((path, given))
        if path == "say":
            message = given["message"]
            text = message if isinstance(message, str) else "(segments)"
            user_id = given["user_id"]
            return {
                "message_id": self.say(text, user_id=user_id, group_id=given.get("group_id"), peer_id=user_id)
            }
        return {"flag": "a flag"}

    def store(self, content: bytes, name: str = "") -> str:
        return f"stored-{name or len(content)}"


class FakeBot:
    """A bot under test."""

    name = "bot"

    def __init__(self) -> None:
        self.lines = "before the test\n"
        self.end: str | None = None

    def log(self, after: int = 0) -> str:
        return self.lines[after:]

    def log_size(self) -> int:
        return len(self.lines)

    def ended(self) -> str | None:
        return self.end


class FakeProcess:
    """A service under test."""

    self_ids = (10001,)
    bot_names = ("bot",)
    ws_url = "ws://127.0.0.1:1/"
    log_ready = 0

    def __init__(self) -> None:
        self.fake = FakeClient()
        self.attached: list[FakeBot] = []
        self.posts = False
        self.number = 50_000

    @property
    def alive(self) -> bool:
        return self.fake.alive

    def client(self, _self_id: int) -> FakeClient:
        return self.fake

    def first_world(self, _self_id: int) -> bytes:
        return json.dumps(WORLD).encode()

    def posts_to(self, _bot: str) -> bool:
        return self.posts

    def log_size(self) -> int:
        return 0

    def log(self, _after: int = 0) -> str:
        return "a line of lgtwist\n"

    def note_message_number(self, _self_id: int, _number: int) -> None:
        """The numbers of a fake go on."""

    def unused_number(self) -> int:
        self.number += 1
        return self.number


def fake_sandbox(within: float = 0.0) -> tuple[Sandbox, FakeClient, FakeProcess]:
    """Return a sandbox, whose expectations do not wait, and what it speaks to."""
    process = FakeProcess()
    sandbox = Sandbox(process, within=within)  # type: ignore[arg-type]
    process.fake.requests.clear()
    return sandbox, process.fake, process
