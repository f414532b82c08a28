"""The fake server as a child process, as tests use it. Everything here blocks: a test needs no reactor."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.processes import PATIENCE, ROOT, ChildProcess, free_port, inherited_environment, wait_until

#: Talks to 127.0.0.1, whatever the environment says of proxies.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class FakeMilky(ChildProcess):
    """A server of Milky on a free port of 127.0.0.1, with a small world behind it.

    It has the account 10001, its friends 20001 and 20002, and the groups 30001 (owner 20003, members 20001
    and 20002) and 30002 (owner 20001), in which the account is an administrator. Histories, calls and
    violations survive a kill; what else happened to the world does not.

    :param folder: where its log is.
    :param prefix: before ``/api`` and ``/event``.
    :param world: other people and groups: see ``tests.milky.fake_server.populate``.
    :param switches: see ``tests.milky.fake_server.SWITCHES``; they are set again after a restart.
    """

    name = "the fake server of Milky"

    def __init__(
        self,
        folder: Path,
        *,
        prefix: str = "",
        self_id: int = 10001,
        world: dict[str, Any] | None = None,
        start: bool = True,
        **switches: Any,
    ) -> None:
        super().__init__(folder, "milky.log")
        self.port = free_port()
        self.self_id, self.prefix = self_id, prefix
        self._world, self._switches = world or {}, switches
        self._journal = self.folder / "milky.jsonl"
        if start:
            self.start()

    @property
    def url(self) -> str:
        """The ``url`` of an account: with the prefix, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        command = [
            *(sys.executable, "-m", "tests.milky.fake_server", "--port", str(self.port)),
            *("--prefix", self.prefix, "--self-id", str(self.self_id)),
            *("--switches", json.dumps(self._switches), "--world", json.dumps(self._world)),
            *("--journal", str(self._journal)),
        ]
        self.spawn(command, {**inherited_environment(), "PYTHONPATH": str(ROOT)})
        self.wait_up("answers", self._answers)

    def _answers(self) -> bool:
        try:
            self.control("streams")
        except OSError:
            return False
        return True

    def control(self, name: str, /, **params: Any) -> Any:
        """Call one of its ``control_`` methods; what it returns."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/control/{name}", json.dumps(params).encode()
        )
        try:
            with _OPENER.open(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                raise AssertionError(f"{name}: {refused.read().decode()}") from None

    def switch(self, **switches: Any) -> None:
        """Set switches."""
        self._switches.update(switches)
        self.control("switches", **switches)

    def switch_at_start(self, **switches: Any) -> None:
        """Set switches when it is started the next time."""
        self._switches.update(switches)

    def do(self, method: str, /, **params: Any) -> Any:
        """Call a method of ``tests.milky.world.World``: something happens."""
        return self.control("do", method=method, **params)

    def say(
        self, scene: str, peer_id: int, segments: Any, sender_id: int | None = None, **more: Any
    ) -> dict[str, Any]:
        """Somebody says something; the message."""
        made = self.do("say", scene=scene, peer_id=peer_id, segments=segments, sender_id=sender_id, **more)
        return dict(made)

    def call(self, api: str, /, **params: Any) -> tuple[int, Any]:
        """Call an API, as a client does; the HTTP status and the answer, None if it is empty."""
        headers = {"Content-Type": "application/json"}
        if token := self._switches.get("token"):
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"{self.url}/api/{api}", json.dumps(params).encode(), headers)
        try:
            with _OPENER.open(request, timeout=PATIENCE) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                status, body = refused.code, refused.read()
        return status, json.loads(body) if body else None

    def calls(self, *apis: str) -> list[dict[str, Any]]:
        """What was called, in order: ``api params began ended answer``; only some APIs if they are named."""
        return [one for one in self.control("calls") if not apis or one["api"] in apis]

    def violations(self) -> list[str]:
        """Where somebody broke Milky's rules, sentence by sentence."""
        return list(self.control("violations"))

    def world(self) -> dict[str, Any]:
        """What there is: see ``tests.milky.fake_server.FakeServer.control_world``."""
        return dict(self.control("world"))

    def history(self, scene: str, peer_id: int) -> list[Any]:
        """The messages of a conversation; None for each that was recalled."""
        return list(self.world()["histories"].get(f"{scene}/{peer_id}", []))

    def streams(self) -> list[dict[str, Any]]:
        """Who listens to events: ``kind pings sent``."""
        return list(self.control("streams"))

    def wait_stream(self, count: int = 1) -> None:
        """Wait until so many listen to events."""
        self.wait_for("has its streams", lambda: len(self.streams()) == count)

    def wait_call(self, api: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until an API was called and answered so often; these calls."""
        return self.wait_for(
            f"gets {count} calls of {api}",
            lambda: calls if len(calls := [one for one in self.calls(api) if one["ended"]]) >= count else [],
        )

    def wait_for(self, what: str, ready: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Wait until something is true."""
        return wait_until(f"{self.name} {what}", ready, patience)

    def broken_rules(self) -> list[str]:
        """All violations, of its former lives too, whether it runs or not."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return [value for kind, value in map(json.loads, lines) if kind == "violation"]

    def finish(self) -> None:
        """End it.

        :raises AssertionError: somebody broke Milky's rules, or it failed itself.
        """
        self.kill()
        if rules := self.broken_rules():
            raise AssertionError(f"Milky's rules were broken {len(rules)} times:\n" + "\n".join(rules[:20]))
        if "Traceback" in self.log():
            raise AssertionError(self.log())
