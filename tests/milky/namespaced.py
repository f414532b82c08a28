"""Yogurt, a real implementation of Milky, and lgtwist in a network namespace that has loopback only.

Yogurt never logs in there, and reaches nobody. It comes by ``npm ci`` outside of the checkout, as the Node
programs of :mod:`tests.frameworks` do: it is GPL-3.0, and no part of ours.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.frameworks.frameworks import node_modules, not_available
from tests.integration.running import Service
from tests.processes import PATIENCE, ChildProcess, free_port, inherited_environment, wait_until

PACKAGE = Path(__file__).parent / "yogurt"
#: The number of the account that it would log in with.
SELF_ID = 1234567890

#: Sends one request inside, as its first argument says in JSON, and prints the answer as JSON.
_REQUEST = """
import http.client, json, sys
port, method, path, headers, body, keep = json.loads(sys.argv[1])
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
connection.request(method, path, body, headers)
answer = connection.getresponse()
text = "" if keep else answer.read().decode("utf-8", "replace")
print(json.dumps([answer.status, dict(answer.getheaders()), text]))
"""


class Namespace(ChildProcess):
    """A network namespace, for as long as a process sleeps in it.

    :raise SkipTest: such a namespace is not allowed here.
    :raise AssertionError: instead, where LGTWIST_TEST_REQUIRE_ALL=1.
    """

    name = "the network namespace"

    def __init__(self, folder: Path) -> None:
        if missing := [one for one in ("unshare", "nsenter", "ip") if shutil.which(one) is None]:
            not_available(f"not installed: {', '.join(missing)}")
        super().__init__(folder, "namespace.log")
        command = ["unshare", "-rn", "sh", "-c", "ip link set lo up && echo UP && exec sleep 600"]
        self.spawn(command, inherited_environment())
        wait_until("the network namespace is up", lambda: "UP" in self.log() or not self.alive())
        if not self.alive():
            not_available(f"a network namespace is not allowed here: {self.log().strip()}")

    def inside(self, *command: str) -> list[str]:
        """Return the command that runs another one inside."""
        return ["nsenter", "-t", str(self.pid), "-U", "-n", "--preserve-credentials", *command]

    def request(
        self,
        port: int,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: str | None = None,
        *,
        keep: bool = False,
    ) -> tuple[int, dict[str, str], str]:
        """Send one HTTP request inside; status, headers and text of its answer.

        :param keep: whether to read the head only: the answer does not end.
        :raises OSError: it cannot be sent.
        """
        given = json.dumps([port, method, path, headers or {}, body, keep])
        ended = subprocess.run(
            self.inside(sys.executable, "-c", _REQUEST, given),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if ended.returncode:
            raise OSError(ended.stderr[-200:])
        status, told, text = json.loads(ended.stdout)
        return status, told, text


class InsideService(Service):
    """lgtwist in a namespace; see :class:`tests.integration.running.Service`."""

    def __init__(self, namespace: Namespace, folder: Path, toml: str) -> None:
        self._namespace = namespace
        super().__init__(folder, toml)

    def spawn(self, command: Any, env: dict[str, str], *given: Any, **named: Any) -> None:
        """Start a command inside."""
        super().spawn(self._namespace.inside(*command), env, *given, **named)

    def _listens(self) -> bool:
        if f" starting on {self.port}\n" not in self.log()[self._log_began :]:
            return False
        try:
            self.http("/healthz")
        except OSError:
            return False
        return True

    def http(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Send one HTTP request inside; the status, and the body as JSON or else text."""
        data = None if body is None else json.dumps(body)
        method = "GET" if body is None else "POST"
        status, _headers, text = self._namespace.request(self.port, method, path, headers, data)
        self.answers.append(text)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text


class YogurtProgram(ChildProcess):
    """Yogurt in a namespace: its port is open, and it is not logged in.

    :ivar token: what it wants to be shown.
    """

    name = "Yogurt"
    token = "of-yogurt"

    def __init__(self, namespace: Namespace, folder: Path, *, prefix: str = "") -> None:
        super().__init__(folder)
        self._namespace = namespace
        packages = node_modules(PACKAGE)
        self._program = packages / "@acidify" / "yogurt-linux-x64" / "yogurt.kexe"
        if not self._program.exists():
            not_available("Yogurt is for Linux on x64")
        self.port = free_port()
        http: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "accessToken": self.token}
        if prefix:
            http["prefix"] = prefix
        protocol = {"uin": SELF_ID, "os": "Linux", "version": "39038", "signApiUrl": "http://127.0.0.1:9/x"}
        milky = {"http": http, "reportSelfMessage": True}
        settings = {"configVersion": 3, "protocol": protocol, "milky": milky}
        (self.folder / "config.json").write_text(json.dumps(settings))
        self.start()

    @property
    def url(self) -> str:
        """The ``url`` of an account."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers: with HTTP 500 in its first moments.

        It is ended by SIGKILL only, and cannot be started again at once: it has no SO_REUSEADDR.
        """
        env = {**inherited_environment(), "HOME": str(self.folder)}
        self.spawn(self._namespace.inside(str(self._program)), env)
        self.wait_up("answers", self._answers)

    def _answers(self) -> bool:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            return self.request("POST", "/api/get_login_info", headers, "{}")[0] == 200
        except OSError:
            return False

    def request(self, method: str, path: str, *given: Any, **named: Any) -> tuple[int, dict[str, str], str]:
        """Send one HTTP request; see :meth:`Namespace.request`."""
        return self._namespace.request(self.port, method, path, *given, **named)
