"""The restart that is asked for in the console, with real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.integration.commands import RunTestCase, gone
from tests.processes import PATIENCE, TWISTD, wait_until
from tests.rounds import combination

TOKEN = "restart-test-token-0123456789"
RUN = (sys.executable, "-m", "lgtwist.command", "run")


class RestartTests(RunTestCase):
    def begin(self, *command: object, **environment: str) -> subprocess.Popen[bytes]:
        self.write(server=f'admin_token = "{TOKEN}"', name="lgtwist.toml")
        with (self.folder / "out").open("ab") as out:
            process = subprocess.Popen(
                [str(one) for one in command],
                cwd=self.folder,
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self.addCleanup(self.end, process)
        wait_until("it serves", lambda: self.started() > 0)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait(PATIENCE)

    def ask(self, method: str, path: str, value: Any = None, **headers: str) -> tuple[int, Any, str]:
        """The status, the answer and the cookie that it sets."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        named = {name.replace("_", "-"): one for name, one in headers.items()}
        connection.request(method, path, None if value is None else json.dumps(value), named)
        answer = connection.getresponse()
        body = answer.read()
        cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        connection.close()
        return answer.status, json.loads(body), cookie

    def started(self, **headers: str) -> float:
        """When it was started; 0 while nobody answers."""
        headers = headers or {"Authorization": f"Bearer {TOKEN}"}
        with contextlib.suppress(OSError, ValueError):
            status, state, _cookie = self.ask("GET", "/console/api/state", **headers)
            return float(state["started"]) if status == 200 else 0.0
        return 0.0

    def restart(self, **headers: str) -> str:
        headers = headers or {"Authorization": f"Bearer {TOKEN}"}
        status, answer, _cookie = self.ask("POST", "/console/api/restart", {}, **headers)
        self.assertEqual(status, 200, answer)
        return str(answer["how"])

    def test_by_itself(self) -> None:
        """The same process comes back with its data and port, and the page is still logged in."""
        process = self.begin(*RUN)
        _status, _answer, cookie = self.ask("POST", "/console/api/login", {"token": TOKEN})
        say = {"user_id": 20001, "message": "kept"}
        self.ask("POST", "/sandbox/10001/say", say, Authorization=f"Bearer {TOKEN}")
        before = self.started()
        self.assertEqual(self.restart(Cookie=cookie, X_Lgtwist_Console="1"), "exec")
        wait_until("it is back", lambda: self.started(Cookie=cookie) > before)
        self.assertIsNone(process.poll())
        path = "/sandbox/10001/transcript"
        _status, transcript, _cookie = self.ask("GET", path, Authorization=f"Bearer {TOKEN}")
        self.assertIn("kept", str(transcript))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_by_systemd(self) -> None:
        process = self.begin(*RUN, INVOCATION_ID="0123456789abcdef")
        self.assertEqual(self.restart(), "supervisor")
        self.assertEqual(process.wait(PATIENCE), 75)
        again = self.begin(*RUN, INVOCATION_ID="0123456789abcdef")  # the lock is free
        again.send_signal(signal.SIGTERM)
        self.assertEqual(again.wait(PATIENCE), 0)

    @combination
    def test_an_application_file(self) -> None:
        """With twistd's own pid file, which names the process that comes back."""
        (self.folder / "x.tac").write_text(
            "from lgtwist.tap import make_application\napplication = make_application()\n"
        )
        process = self.begin(*TWISTD, "-ny", "x.tac")
        before = self.started()
        self.assertEqual(self.restart(), "exec")
        wait_until("it is back", lambda: self.started() > before)
        self.assertEqual(int((self.folder / "twistd.pid").read_text()), process.pid)

    def test_a_daemon(self) -> None:
        pid_file = self.folder / "run" / "pid"
        pid_file.parent.mkdir()
        self.begin(*TWISTD, "--pidfile=run/pid", "--logfile=log", "lgtwist")
        before, old = self.started(), self.pid(pid_file)
        self.addCleanup(lambda: os.kill(self.pid(pid_file), signal.SIGKILL))
        self.assertEqual(self.restart(), "exec")
        wait_until("it is back", lambda: self.started() > before)
        new = self.pid(pid_file)
        self.assertNotEqual(new, old)
        self.assertTrue(gone(old))
        self.assertFalse(gone(new))

    def pid(self, path: Path) -> int:
        return int(wait_until("there is a pid file", lambda: path.exists() and path.read_text()))
