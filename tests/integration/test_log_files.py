"""The log of a real service: ``--log-file``, SIGUSR1 however it was started, logrotate, a full disk."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tests.integration.commands import RunTestCase, answers
from tests.integration.running import PATIENCE, ROOT
from tests.processes import TWISTD, ChildProcess, wait_until
from tests.rounds import ROUNDS, combination

LGTWIST = (sys.executable, "-m", "lgtwist.command")
NOTHING_TO_DO = "SIGUSR1: there is nothing to do"


class LogFiles(RunTestCase):
    """Each test starts a service, and asks it for a new log."""

    def start(self, *args: object, program: tuple[str, ...] = TWISTD) -> ChildProcess:
        """It listens when this returns; what it prints is in :meth:`log`."""
        service = ChildProcess(self.folder)
        self.addCleanup(service.end)
        service.spawn([*program, *map(str, args)], self.environment(LGTWIST_CONFIG=str(self.write())))
        service.wait_up("listens", lambda: answers(self.port))
        return service

    def new_log(self, pid: int) -> None:
        os.kill(pid, signal.SIGUSR1)

    def has(self, path: Path, words: str) -> bool:
        return path.exists() and words in path.read_text()

    def is_renewed_by_both(self, path: Path, pid: int) -> None:
        """Alone it renames the file; where logrotate has done that it opens the path, and leaves the rest."""
        first = path.with_name(f"{path.name}.1")
        wait_until("the start", lambda: self.has(path, "To attach a NoneBot2"))
        self.new_log(pid)
        wait_until("a new log", lambda: self.has(path, "the log goes on in a new file"))
        self.assertIn("To attach a NoneBot2", first.read_text())
        moved = path.with_name("moved-by-logrotate")
        path.rename(moved)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o640))  # as logrotate's "create"
        before = first.read_bytes(), moved.read_bytes()
        self.new_log(pid)
        wait_until("a new log", lambda: self.has(path, "the log goes on here"))
        self.assertEqual((first.read_bytes(), moved.read_bytes()), before)
        self.assertEqual(path.stat().st_mode & 0o777, 0o640)
        self.assertTrue(answers(self.port))

    def ends_well(self, service: ChildProcess) -> None:
        self.assertEqual(service.stop(), 0)
        self.assertNotIn("Traceback", self.log())

    def test_lgtwist_run(self) -> None:
        """``lgtwist run --log-file`` writes there and nothing to stdout; the file is private."""
        service = self.start("run", "--log-file", "mine.log", program=LGTWIST)
        path = self.folder / "mine.log"
        self.is_renewed_by_both(path, service.pid)
        self.ends_well(service)
        self.assertNotIn("lgtwist.app.service", self.log())

    def test_stdout(self) -> None:
        """On stdout one line says that there is nothing to do: ``lgtwist run``, ``twistd -n``, a .tac."""
        ways: list[tuple[tuple[str, ...], list[object]]] = [
            (LGTWIST, ["run"]),
            (TWISTD, ["-n", "--pidfile=", "--logfile=-", "-y", ROOT / "lgtwist.tac"]),
            (TWISTD, ["-n", "--pidfile=", "lgtwist"]),
        ]
        for program, args in ways if ROUNDS > 1 else ways[:2]:
            self.log_path.unlink(missing_ok=True)
            service = self.start(*args, program=program)
            for _number in range(3):
                self.new_log(service.pid)
            wait_until("a line", lambda: NOTHING_TO_DO in self.log())
            self.assertTrue(answers(self.port))
            self.ends_well(service)

    @combination
    def test_twistd_in_the_foreground(self) -> None:
        """``twistd -n --logfile``, with the plugin."""
        service = self.start("-n", "--pidfile=", "--logfile=here.log", "lgtwist")
        self.is_renewed_by_both(self.folder / "here.log", service.pid)
        self.ends_well(service)

    @combination
    def test_application_file(self) -> None:
        """``twistd -y lgtwist.tac --logfile``."""
        service = self.start("-n", "--pidfile=", "--logfile=here.log", "-y", ROOT / "lgtwist.tac")
        self.is_renewed_by_both(self.folder / "here.log", service.pid)
        self.ends_well(service)

    def test_syslog(self) -> None:
        """``twistd --syslog``: Twisted itself would let the signal end the process."""
        service = self.start("-n", "--pidfile=", "--syslog", "lgtwist")
        self.new_log(service.pid)
        time.sleep(0.2)  # nothing can be waited for: the line is in the system's log
        self.assertTrue(service.alive() and answers(self.port))
        self.ends_well(service)

    def test_daemon(self) -> None:
        """A daemon's twistd.log, whose other files have an end now."""
        for number in range(1, 12):
            (self.folder / f"twistd.log.{number}").write_text("of an earlier version")
        ended = self.run_to_end("lgtwist", "--config", self.write())
        self.assertEqual(ended.returncode, 0, ended)
        pid = int((self.folder / "twistd.pid").read_text())
        try:
            wait_until("it listens", lambda: answers(self.port))
            self.is_renewed_by_both(self.folder / "twistd.log", pid)
            self.assertEqual(len(list(self.folder.glob("twistd.log*"))), 5)
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_until("the daemon has gone", lambda: not (self.folder / "twistd.pid").exists(), PATIENCE)

    def test_full_disk(self) -> None:
        """A log that cannot be written stops nothing; one line on stderr says so: twistd's, ours, stdout."""
        ways: list[tuple[tuple[str, ...], list[str]]] = [
            (LGTWIST, ["run", "--log-file", "/dev/full"]),
            (TWISTD, ["-n", "--pidfile=", "--logfile=/dev/full", "lgtwist"]),
            (("sh", "-c", 'exec "$@" >/dev/full', "sh", *LGTWIST), ["run"]),
            (("sh", "-c", 'exec "$@" >/dev/full', "sh", *TWISTD), ["-n", "--pidfile=", "lgtwist"]),
        ]
        for program, args in ways if ROUNDS > 1 else ways[1:3]:
            self.log_path.unlink(missing_ok=True)
            service = self.start(*args, program=program)
            self.new_log(service.pid)
            self.assertEqual(service.stop(), 0, self.log())
            lines = [line for line in self.log().splitlines() if "the log cannot be written" in line]
            self.assertEqual(len(lines), 1, self.log())
            self.assertNotIn("Traceback", self.log())
            self.assertNotIn("Exception", self.log())

    def test_cannot_be_opened(self) -> None:
        """At the start it is one line that names the file, with status 1."""
        config = self.write()
        (self.folder / "folder").mkdir()
        for name, words in (("folder", "it is a folder"), ("no/log", "is not there; make it")):
            line = self.refused_in_one_line("-n", "--pidfile=", "--logfile", name, "lgtwist", "-c", config)
            self.assertIn(words, line)
            self.assertIn(name, line)
            self.program, before = LGTWIST, self.program
            line = self.refused_in_one_line("run", "--log-file", name, "--config", config)
            self.program = before
            self.assertIn(f"lgtwist: {name}: the log cannot be written: ", line)
            self.assertIn(words, line)
        line = self.refused_in_one_line("-n", "--pidfile", "no/pid", "lgtwist", "-c", config)
        self.assertIn("no/pid: the pid file cannot be written: ", line)
        self.assertFalse((self.folder / "no").exists())
