"""The simulator as a child process, for tests that block."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.processes import PATIENCE, ROOT, ChildProcess, free_port


class Implementation(ChildProcess):
    """One simulator process with its accounts; the ports stay the same over restarts.

    :param folder: where its log is.
    :param accounts: as in the simulator's configuration; ``port`` is filled in where it is needed and lacks.
    :param start: whether to start it at once.
    """

    name = "the simulator"

    def __init__(self, folder: Path, accounts: list[dict[str, Any]], start: bool = True) -> None:
        self.control_port = free_port()
        super().__init__(folder, f"implementation-{self.control_port}.log")
        self.accounts = [dict(account) for account in accounts]
        for account in self.accounts:
            if account.get("transport", "forward-websocket") != "reverse-websocket":
                account.setdefault("port", free_port())
        if start:
            self.start()

    def port(self, self_id: int) -> int:
        """Where an account listens."""
        return int(next(one["port"] for one in self.accounts if one["self_id"] == self_id))

    def start(self) -> None:
        """Start it, and wait until everything listens."""
        assert not self.alive(), "it runs already"
        config = {"control_port": self.control_port, "accounts": self.accounts}
        before = self.log().count("ready\n")
        self.spawn(
            [sys.executable, "-m", "tests.implementations.simulator", json.dumps(config)],
            {**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
        )
        self.wait_up("is ready", lambda: self.log().count("ready\n") > before)

    def restart(self, gently: bool = False) -> None:
        """End it and start it again, on the same ports, with empty records."""
        if gently:
            self.stop()
        else:
            self.kill()
        self.start()

    def _ask(self, path: str, body: bytes | None) -> Any:
        url = f"http://127.0.0.1:{self.control_port}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=PATIENCE) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                raise AssertionError(f"{path}: {refused.read().decode()}") from None

    def control(self, self_id: int | str, command: str, **args: Any) -> dict[str, Any]:
        """Command one account, or ``"all"``."""
        answer: dict[str, Any] = self._ask(f"/{self_id}/{command}", json.dumps(args).encode())
        return answer

    def state(self, self_id: int | str, after: int = 0) -> dict[str, Any]:
        """What an account has seen and done; of ``received`` only what came after the first ``after``."""
        answer: dict[str, Any] = self._ask(f"/{self_id}?after={after}", None)
        return answer

    def received(self, self_id: int, action: str | None = None) -> list[dict[str, Any]]:
        """The actions that an account was given, all or those of one name."""
        return [one for one in self.state(self_id)["received"] if action in (None, one["action"])]

    def violations(self) -> dict[str, list[str]]:
        """What correct peers do not do, by account; empty when there was nothing."""
        states = self.state("all").items()
        return {self_id: state["violations"] for self_id, state in states if state["violations"]}
