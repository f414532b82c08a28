"""lgtwist's commands as processes: to their end, or until they serve."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.rawclient import RawClient
from tests.processes import PATIENCE, ROOT, TWISTD, ChildProcess, free_port


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits for its parent has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except OSError:
        return False
    return True


def lifecycle_from(url: str) -> dict[str, object]:
    """What comes first on a WebSocket URL, as it was printed."""
    found = re.fullmatch(r"ws://127\.0\.0\.1:(\d+)(/\S*)", url)
    assert found is not None, url
    with RawClient(None, found[2], port=int(found[1])) as bot:
        return dict(bot.message())


class RunTestCase(SynchronousTestCase):
    """Runs a program in an empty folder: twistd, unless a subclass names another."""

    program: tuple[str, ...] = TWISTD

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.data = self.folder / "data"
        self.log_path = self.folder / "log"

    def write(self, more: str = "", server: str = "", name: str = "lgtwist.conf") -> Path:
        """A configuration on the test's own port."""
        path = self.folder / name
        path.write_text(
            f'data_dir = "{self.data}"\n[server]\n'
            f'endpoints = ["tcp:{self.port}:interface=127.0.0.1"]\n{server}\n{more}\n'
        )
        return path

    def environment(self, **more: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LGTWIST_")}
        return {**clean, "PYTHONPATH": str(ROOT), **more}

    def run_to_end(self, *args: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it until it ends by itself."""
        return subprocess.run(
            [*self.program, *map(str, args)],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def run_on(self, *args: object, port: int | None = None, **environment: str) -> ChildProcess:
        """Run it in the foreground until the test ends it; it listens when this returns."""
        service = ChildProcess(self.folder)
        service.spawn([*self.program, *map(str, args)], self.environment(**environment))

        def end() -> None:
            service.end()
            self.assertNotIn("Traceback", self.log())

        self.addCleanup(end)
        service.wait_up(
            "listens", lambda: answers(port or self.port) and "To attach a NoneBot2" in self.log()
        )
        return service

    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def refused(self, *args: object, **environment: str) -> list[str]:
        """It ends with status 1, says why on stderr alone, and shows neither traceback nor help."""
        ended = self.run_to_end(*args, **environment)
        self.assertEqual(ended.returncode, 1, ended)
        self.assertEqual(ended.stdout, "")
        for bad in ("Traceback", "Usage", "--help", "Options:"):
            self.assertNotIn(bad, ended.stderr)
        return ended.stderr.splitlines()

    def refused_in_one_line(self, *args: object, **environment: str) -> str:
        """The same, with one line."""
        lines = self.refused(*args, **environment)
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def refused_both_ways(self, config: Path) -> str:
        """The same in the foreground and when daemonising, where no pid file may stay behind."""
        line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
        pid, log = self.folder / "refused.pid", self.folder / "refused.log"
        daemon = self.refused_in_one_line("--pidfile", pid, "--logfile", log, "lgtwist", "--config", config)
        self.assertEqual(daemon, line)
        self.assertFalse(pid.exists())
        return line
