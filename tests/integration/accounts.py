"""Real accounts for tests: the simulator of implementations, and the service configured to match."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from tests.implementations.running import Implementation
from tests.integration.rawclient import CLOSE, PING, PONG, TEXT, Ended, HandshakeRefused, RawClient
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase

FORWARD, REVERSE, HTTP = "forward-websocket", "reverse-websocket", "http"
#: Of an HTTP request whose body is JSON.
JSON = {"Content-Type": "application/json"}
#: Beats often enough to be waited for, and gives up soon.
LIMITS = 'heartbeat_interval = "150ms"\naction_timeout = "1500ms"\nping_interval = "200ms"\n'


class Bot(RawClient):
    """A bot on one account that can be asked for exact bytes."""

    def __init__(self, service: Service, self_id: int, end: str = "", **more: Any) -> None:
        self.deadline = time.monotonic() + 30
        super().__init__(service, f"/{self_id}{end}", **more)

    def frame(self) -> tuple[int, bytes]:
        """The next frame; heartbeats that come for ever must not keep a test waiting for ever."""
        if time.monotonic() > self.deadline:
            raise AssertionError("what the bot waits for does not come")
        return super().frame()

    def text(self) -> bytes:
        """The next text frame as it is; pings on the way are answered."""
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                return payload
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == CLOSE:
                raise Ended(f"closed with {payload!r}")

    def event_text(self) -> bytes:
        """The next event that is no meta event."""
        while True:
            text = self.text()
            message = json.loads(text)
            if message.get("post_type", "meta_event") != "meta_event":
                return text

    def answer_text(self) -> bytes:
        """The next response."""
        while True:
            text = self.text()
            if "retcode" in json.loads(text):
                return text

    def heartbeat(self, online: bool) -> dict[str, Any]:
        """The next heartbeat that says so."""
        while True:
            beat = self.event(meta_event_type="heartbeat")
            if beat["status"]["online"] is online:
                assert beat["status"]["good"] is online, beat
                return beat

    def retcode(self, action: str, **params: Any) -> int:
        """What becomes of an action."""
        return int(self.ask(action, **params)["retcode"])


class World:
    """One simulator, and one service whose accounts it plays.

    :param accounts: as the simulator takes them; ``configured`` are more lines for the account's TOML,
        ``our_token`` and ``our_secret`` are what the service knows, else the same as the simulator's, and
        ``end`` is the path of a forward URL.
    :param limits: lines of ``[limits]``.
    :param start: whether to start the simulator.
    """

    def __init__(
        self,
        folder: Path,
        accounts: list[dict[str, Any]],
        limits: str = LIMITS,
        toml: str = "",
        start: bool = True,
    ) -> None:
        own = ("configured", "our_token", "our_secret", "end")
        played = [{key: one[key] for key in one if key not in own} for one in accounts]
        self.implementation = Implementation(folder / "implementation", played, start=False)
        blocks = [
            self._toml(one, actual)
            for one, actual in zip(accounts, self.implementation.accounts, strict=True)
        ]
        self.service = Service(folder / "service", "\n".join([*blocks, f"[limits]\n{limits}", toml]))
        base = f"http://127.0.0.1:{self.service.port}/onebot/v11"
        for account in self.implementation.accounts:
            if account.get("transport") == REVERSE:
                account["url"] = base.replace("http", "ws", 1)
            elif account.get("transport") == HTTP:
                account["post_url"] = f"{base}/post"
        if start:
            self.implementation.start()

    def _toml(self, one: dict[str, Any], actual: dict[str, Any]) -> str:
        kind = one.get("transport", FORWARD)
        lines = ["[[accounts]]", f'type = "{kind}"', f"self_id = {one['self_id']}"]
        token, secret = one.get("our_token", one.get("token")), one.get("our_secret", one.get("secret"))
        if token:
            lines.append(f'access_token = "{token}"')
        if secret and kind == HTTP:
            lines.append(f'secret = "{secret}"')
        if kind == FORWARD:
            lines.append(f'url = "ws://127.0.0.1:{actual["port"]}{one.get("end", "/")}"')
            lines.append('reconnect = { min = "100ms", max = "1s" }')
        elif kind == HTTP:
            lines.append(f'url = "http://127.0.0.1:{actual["port"]}/"')
        return "\n".join([*lines, one.get("configured", "")])

    def end(self) -> None:
        """End both; harmless when called twice."""
        self.service.clean_up()
        self.implementation.end()

    # What users see

    def status(self, self_id: int) -> dict[str, Any]:
        """The data of ``get_status``, over HTTP."""
        status, answer = self.service.http(f"/{self_id}/get_status", {})
        assert status == 200, answer
        return dict(answer["data"])

    def online(self, self_id: int) -> bool:
        """Whether it is; a link that breaks under the question is none."""
        _status, answer = self.service.http(f"/{self_id}/get_status", {})
        return answer["retcode"] == 0 and bool(answer["data"]["online"])

    def wait_online(self, *self_ids: int, online: bool = True) -> None:
        for self_id in self_ids:
            wait_until(f"{self_id} has online={online}", lambda one=self_id: self.online(one) is online)

    def metric(self, name: str, **labels: Any) -> float:
        """One series of ``/metrics``."""
        _status, text = self.service.http("/metrics")
        for line in str(text).splitlines():
            found = re.match(rf"{name}(?:\{{(.*)\}})? (\S+)$", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                return float(found[2])
        raise AssertionError(f"no metric {name} with {labels}")

    def lines(self, *parts: str) -> list[str]:
        """The log lines that have all these parts."""
        return [line for line in self.service.log().splitlines() if all(part in line for part in parts)]

    def connected(self, self_id: int) -> int:
        return int(self.implementation.state(self_id)["connected"])

    def wait_received(self, self_id: int, action: str, number: int = 1) -> None:
        """Until the implementation was given so many actions of that name."""
        wait_until(
            f"{self_id} is given {action}",
            lambda: len(self.implementation.received(self_id, action)) >= number,
        )


class WorldTestCase(SharedTestCase):
    """Tests that share one world; neither log may hold a traceback.

    :cvar strict: after each test, the simulator may have seen nothing that a correct peer does not do.
    """

    accounts: list[dict[str, Any]] = []
    limits = LIMITS
    toml = ""
    starts = True
    strict = False

    def start_shared(self, folder: Path) -> World:
        return World(folder, self.accounts, self.limits, self.toml, self.starts)

    def setUp(self) -> None:
        super().setUp()
        self.world: World = self.shared
        self.service, self.implementation = self.world.service, self.world.implementation
        self.addCleanup(self._look_at_logs)

    def _look_at_logs(self) -> None:
        for log in (self.service.log(), self.implementation.log()):
            for bad in ("Traceback", "Unhandled"):
                self.assertNotIn(bad, log)
        if self.strict:
            self.assertEqual(self.implementation.violations(), {})

    def bot(self, self_id: int, end: str = "") -> Bot:
        """A bot that is there, closed when the test is over."""
        bot = Bot(self.service, self_id, end)
        self.addCleanup(bot.socket.close)
        return bot

    def control(self, self_id: int, command: str, **args: Any) -> dict[str, Any]:
        return self.implementation.control(self_id, command, **args)

    def say(self, self_id: int, word: str) -> bytes:
        """The account's implementation publishes one message with this word; the exact bytes."""
        message = {"post_type": "message", "message_type": "group", "word": word, "self_id": self_id}
        text = json.dumps(message, separators=(", ", ": "), ensure_ascii=False)
        self.assertTrue(self.control(self_id, "event", raw=text)["sent"])
        return text.encode()

    def assert_good(self, self_id: int, bot: Bot | None = None) -> None:
        """The account works, both ways."""
        self.world.wait_online(self_id)
        bot = bot or self.bot(self_id)
        self.assertEqual(bot.ask("echo_params", word="词")["data"], {"word": "词"})
        text = self.say(self_id, f"for {self.id()}")
        self.assertEqual(bot.event_text(), text)


__all__ = [
    "FORWARD",
    "HTTP",
    "JSON",
    "LIMITS",
    "REVERSE",
    "Bot",
    "HandshakeRefused",
    "RawClient",
    "World",
    "WorldTestCase",
]
