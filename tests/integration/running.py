"""The real service as a child process, for tests that talk to it over real sockets.

Everything here blocks: the service has a process of its own, and the test needs no reactor.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import PATIENCE, ROOT, TWISTD, ChildProcess, Stopwatch, free_port, wait_until

__all__ = ["PATIENCE", "ROOT", "Service", "ServiceTestCase", "wait_until"]


class Service(ChildProcess):
    """One lgtwist, started by ``twistd -n lgtwist --config``, in a folder of its own.

    :param folder: where its configuration, data and log are.
    :param toml: the configuration without ``[server]``, which is made here: the port is a free one.
    :param server: more lines for ``[server]``.
    """

    name = "the service"

    def __init__(self, folder: Path, toml: str = "", server: str = "") -> None:
        super().__init__(folder)
        self.port = free_port()
        self.config_path = self.folder / "lgtwist.toml"
        self.config_path.write_text(
            f'data_dir = "{self.folder / "data"}"\n[server]\n'
            f'endpoints = ["tcp:{self.port}:interface=127.0.0.1"]\n{server}\n{toml}\n'
        )
        self.answers: list[str] = []
        self.start()

    def start(self) -> None:
        """Start it, or start it again, and wait until it listens and answers."""
        self._log_began = len(self.log())
        self.spawn(
            [*TWISTD, "-n", "--pidfile=", "lgtwist", "--config", str(self.config_path)],
            {**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.wait_up("listens", self._listens)

    def _listens(self) -> bool:
        if f" starting on {self.port}\n" not in self.log()[self._log_began :]:
            return False  # if somebody answers there, it is not this one
        try:
            with self.connect():
                return True
        except OSError:
            return False

    def connect(self, source: str | None = None) -> socket.socket:
        """A TCP connection to it."""
        address = None if source is None else (source, 0)
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE, source_address=address)

    def url(self, path: str = "/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def http(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """One HTTP request; the status, and the body as JSON or else text."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                status, text = refused.code, refused.read().decode()
        self.answers.append(text)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def say(self, user_id: int, message: Any, group_id: int | None = None, self_id: int = 10001) -> int:
        """A person of the sandbox says something; the number of the message."""
        body = {"user_id": user_id, "message": message}
        if group_id is not None:
            body["group_id"] = group_id
        status, answer = self.http(f"/sandbox/{self_id}/say", body)
        assert status == 200, answer
        return int(answer["message_id"])

    def inject(self, event: dict[str, Any], self_id: int = 10001) -> None:
        """Any event, as if it came from the sandbox account."""
        status, answer = self.http(f"/sandbox/{self_id}/event", event)
        assert status == 200, answer

    def transcript(self, after: int = 0, wait: int = 0, self_id: int = 10001) -> list[dict[str, Any]]:
        """What was said in the sandbox after a message; waits up to ``wait`` seconds for something."""
        _status, answer = self.http(f"/sandbox/{self_id}/transcript?after={after}&wait={wait}")
        return list(answer["messages"])

    def secrets(self) -> set[str]:
        """The tokens and secrets of its configuration that cannot be taken for another word of it."""
        source = self.config_path.read_text("utf-8")
        found = set(
            re.findall(r'^\s*(?:access_token|admin_token|secret)\s*=\s*"([^"]+)"', source, re.MULTILINE)
        )
        return {secret for secret in found if len(secret) > 5 and source.count(secret) == 1}

    def open_files(self) -> int:
        """How many file descriptors it has."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        """Its resident memory in bytes."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def cpu_seconds(self) -> float:
        """The processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stopwatch(self) -> Stopwatch:
        """A watch for limits of time on what it does for us, however loaded the machine is."""
        return Stopwatch(self.pid)

    def ready(self) -> bool:
        """Return whether it says that every account is up."""
        try:
            return self.http("/readyz")[0] == 200
        except OSError:
            return False

    def clean_up(self) -> None:
        """End it, however: SIGTERM, and SIGKILL after 10 s."""
        if self.alive():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(signal.SIGTERM, 10)
        super().end()


class ServiceTestCase(SynchronousTestCase):
    """A test with one real service; its log must stay free of tracebacks whatever is done to it."""

    #: The configuration without ``[server]``, and more lines for that.
    toml = ""
    server = ""

    def setUp(self) -> None:
        self.service = self.start_service()

    def start_service(self, toml: str | None = None, server: str | None = None) -> Service:
        """One more service."""
        service = Service(
            Path(self.mktemp()).absolute(),
            self.toml if toml is None else toml,
            self.server if server is None else server,
        )
        self.addCleanup(self._end, service)
        return service

    def _end(self, service: Service) -> None:
        service.clean_up()
        log = service.log()
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, log)
        said = [log, *service.answers]
        for secret in service.secrets():  # whatever the test was about
            self.assertFalse(any(secret in text for text in said), "a token was logged or told")
