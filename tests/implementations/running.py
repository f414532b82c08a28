"""The simulator as a child process, for tests that block."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.integration.running import PATIENCE, ROOT, wait_until

_given: set[int] = set()


def quiet_port() -> int:
    """A free port below those that the kernel gives to outgoing connections.

    Whoever dials a port of that range while nobody listens there may be connected to himself.
    """
    while True:
        port = random.randrange(15_000, 30_000)
        if port in _given:
            continue
        with socket.socket() as asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                asking.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


class Implementation:
    """One simulator process with its accounts; the ports stay the same over restarts.

    :param folder: where its log is.
    :param accounts: as in the simulator's configuration; ``port`` is filled in where it is needed and lacks.
    :param start: whether to start it at once.
    """

    def __init__(self, folder: Path, accounts: list[dict[str, Any]], start: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.control_port = quiet_port()
        self.accounts = [dict(account) for account in accounts]
        for account in self.accounts:
            if account.get("transport", "forward-websocket") != "reverse-websocket":
                account.setdefault("port", quiet_port())
        self.log_path = folder / f"implementation-{self.control_port}.log"
        self.process: subprocess.Popen[bytes] | None = None
        if start:
            self.start()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def port(self, self_id: int) -> int:
        """Where an account listens."""
        return int(next(one["port"] for one in self.accounts if one["self_id"] == self_id))

    def start(self) -> None:
        """Start it, and wait until everything listens."""
        assert not self.alive(), "it runs already"
        config = {"control_port": self.control_port, "accounts": self.accounts}
        before = self.log().count("ready\n")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.implementations.simulator", json.dumps(config)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        def up() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the simulator ended at once:\n{self.log()}")
            return self.log().count("ready\n") > before

        wait_until("the simulator is ready", up)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        """What it wrote; a traceback in it is a fault of the simulator."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def _signal(self, number: int) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(number)
            self.process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: it ends as its dialects do."""
        self._signal(signal.SIGTERM)

    def restart(self, gently: bool = False) -> None:
        """End it and start it again, on the same ports, with empty records."""
        if gently:
            self.stop()
        else:
            self.kill()
        self.start()

    def clean_up(self) -> None:
        """End it, however."""
        self.kill()

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
