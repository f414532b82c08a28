"""The link of the console that is printed at the first start, and where its token is and is not."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.request

from tests.integration.commands import RunTestCase, answers, gone
from tests.integration.running import wait_until
from tests.processes import TWISTD, ChildProcess
from tests.rounds import combination

LGTWIST = (sys.executable, "-m", "lgtwist.command")
_LINK = re.compile(r"^Console: (http://127\.0\.0\.1:\d+/console/)#token=([\w-]{43,})$", re.MULTILINE)


class LinkTests(RunTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.config = self.write()
        self.token_path = self.data / "admin_token"
        self.logfile = self.folder / "twistd.log"

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(LANG="C.UTF-8", LC_ALL="C.UTF-8", **more)

    def start(self, *command: object) -> ChildProcess:
        """Start it in the foreground; what it prints is its ``log``."""
        service = ChildProcess(self.folder, "printed")
        service.log_path.unlink(missing_ok=True)
        service.spawn([*map(str, command)], self.environment())
        self.addCleanup(service.end)
        service.wait_up("listens", lambda: answers(self.port))
        return service

    def state(self, token: str) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/console/api/state", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            json.load(answer)
            return int(answer.status)

    def first_and_second(self, *command: object) -> None:
        """The first start prints the link, once; the second one does not, and its log names the file."""
        service = self.start(*command)
        wait_until("the link is printed", lambda: _LINK.search(service.log()))
        [(base, token)] = _LINK.findall(service.log())
        self.assertEqual(base, f"http://127.0.0.1:{self.port}/console/")
        self.assertEqual(self.state(token), 200)
        self.assertEqual(self.token_path.read_text().strip(), token)
        self.assertEqual(self.token_path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(service.log().count(token), 1)
        self.assertEqual(service.stop(), 0)
        printed = self.run_to_end_of("token", "--config", self.config)
        self.assertEqual(printed, f"{base}#token={token}\n")
        again = self.start(*command)
        self.assertEqual(self.state(token), 200)
        log = wait_until("it names the file", lambda: self.both(again, f"in {self.token_path}"))
        self.assertIn(f"console: {base}", log)
        again.stop()
        self.assertNotIn(token, self.both(again))
        if self.logfile.exists():
            self.assertNotIn(token, self.logfile.read_text())

    def both(self, service: ChildProcess, part: str = "") -> str:
        """What is printed and logged, if a part is in it."""
        logged = self.logfile.read_text() if self.logfile.exists() else ""
        both = service.log() + logged
        return both if part in both else ""

    def run_to_end_of(self, *args: object) -> str:
        self.program = LGTWIST
        ended = self.run_to_end(*args)
        self.assertEqual(ended.returncode, 0, ended)
        return ended.stdout

    @combination
    def test_twistd_to_the_terminal(self) -> None:
        self.first_and_second(*TWISTD, "-n", "--pidfile=", "lgtwist", "--config", self.config)

    def test_twistd_with_a_log_file(self) -> None:
        """The log file never has it."""
        self.first_and_second(
            *TWISTD, "-n", "--pidfile=", "--logfile", self.logfile, "lgtwist", "--config", self.config
        )
        self.assertIn("starting on", self.logfile.read_text())

    def test_lgtwist_run(self) -> None:
        self.first_and_second(*LGTWIST, "run", "--config", self.config)

    def test_daemonised(self) -> None:
        """No token is printed nor logged; the log names the file."""
        pidfile = self.folder / "pid"
        ended = self.run_to_end(
            "--pidfile", pidfile, "--logfile", self.logfile, "lgtwist", "--config", self.config
        )
        self.assertEqual(ended.returncode, 0, ended)
        pid = int(wait_until("it has a pid", lambda: pidfile.exists() and pidfile.read_text()))
        try:
            wait_until("it listens", lambda: answers(self.port))
            wait_until("it names the file", lambda: f"in {self.token_path}" in self.logfile.read_text())
            token = self.token_path.read_text().strip()
            for text in (ended.stdout, ended.stderr, self.logfile.read_text()):
                self.assertNotIn(token, text)
                self.assertNotIn("#token", text)
            self.assertEqual(self.state(token), 200)
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_until("it is gone", lambda: gone(pid))

    def test_a_file_that_is_no_token(self) -> None:
        """One line that names it, and exit status 1."""
        self.data.mkdir(parents=True)
        for content in (b"\xff\xfe\x00garbage", b"two\nlines\n", b"a\x00b"):
            self.token_path.write_bytes(content)
            line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", self.config)
            self.assertIn(str(self.token_path), line)
            self.assertEqual(self.token_path.read_bytes(), content)
        self.token_path.unlink()
        self.token_path.mkdir()
        self.assertIn(str(self.token_path), self.refused_both_ways(self.config))

    def test_a_configured_token_makes_no_file(self) -> None:
        self.config = self.write(server='admin_token = "a-configured-token"')
        service = self.start(*TWISTD, "-n", "--pidfile=", "lgtwist", "--config", self.config)
        wait_until("it says where", lambda: "admin_token of [server]" in service.log())
        service.stop()
        self.assertFalse(self.token_path.exists())
        self.assertNotIn("#token", service.log())
        self.assertNotIn("a-configured-token", service.log())

    def test_nobody_else_may_read_it(self) -> None:
        """A file that others could read is closed to them; an empty one is made anew."""
        self.data.mkdir(parents=True)
        self.token_path.write_text("a-token-of-mine-that-is-long\n")
        self.token_path.chmod(0o644)
        service = self.start(*LGTWIST, "run", "--config", self.config)
        self.assertEqual(self.state("a-token-of-mine-that-is-long"), 200)
        self.assertEqual(self.token_path.stat().st_mode & 0o777, 0o600)
        service.stop()
        self.token_path.write_text("\n")
        service = self.start(*LGTWIST, "run", "--config", self.config)
        wait_until("the link is printed", lambda: _LINK.search(service.log()))
        service.stop()
        self.assertGreater(len(self.token_path.read_text()), 40)
