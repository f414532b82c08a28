"""The bot of ``echo_bot.py``, started for a sandbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lgtwist.testing import SandboxProcess

ECHO_BOT = Path(__file__).with_name("echo_bot.py")


class EchoBot:
    """A bot as a child process, attached to a service."""

    name = "bot"

    def __init__(self, process: SandboxProcess, folder: Path) -> None:
        self._process, self._log = process, folder / "bot.log"
        with self._log.open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, str(ECHO_BOT), process.ws_url, process.access_token],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        process.attach(self)

    def log(self, after: int = 0) -> str:
        return self._log.read_bytes()[after:].decode()

    def log_size(self) -> int:
        return self._log.stat().st_size

    def ended(self) -> str | None:
        status = self.child.poll()
        return None if status is None else f"ended with status {status}"

    def end(self) -> None:
        self._process.detach(self)
        self.child.kill()
        self.child.wait()
