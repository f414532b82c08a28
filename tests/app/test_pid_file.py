"""Pid files that outlived their processes, and the lock that tells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.data_dir import DataDir
from lgtwist.app.pid_file import is_stale
from lgtwist.tap import Options
from tests.processes import wait_until


class Processes(SynchronousTestCase):
    """Another process, for as long as the test."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.path = self.folder / "twistd.pid"

    def process(self, *more: str) -> int:
        """The number of a process that has these words on its command line."""
        wait = "import sys; sys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-c", wait, *more], stdin=subprocess.PIPE)
        self.addCleanup(process.communicate)
        command = Path(f"/proc/{process.pid}/cmdline")
        wait_until("it has its command line", command.read_bytes)
        return process.pid

    def ended(self) -> int:
        """The number of a process that has ended."""
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        return process.pid


class Stale(Processes):
    """What a pid file says of its process."""

    def stale(self, content: object) -> bool:
        self.path.write_text(str(content))
        return is_stale(self.path)

    def test_no_running_twistd(self) -> None:
        """Nobody has the number, another program has it, we have it, or the file is empty."""
        others = self.process(), self.process("/srv/lgtwist/bot.py")
        for content in (self.ended(), *others, os.getpid(), f" {self.ended()}\n", ""):
            self.assertTrue(self.stale(content), content)

    def test_running_twistd(self) -> None:
        """One that calls itself twistd may have written the file; what holds no number is not twistd's."""
        for content in (self.process("twistd"), self.process("lgtwist"), "my notes"):
            self.assertFalse(self.stale(content), content)

    def test_no_file(self) -> None:
        """A file that cannot be read is left to twistd."""
        self.assertFalse(is_stale(self.folder / "missing"))


class Lock(Processes):
    """The lock on ``data_dir``."""

    def test_free(self) -> None:
        """It is free where nobody has it, or it was never made; asking makes nothing and takes nothing."""
        mine, again = DataDir(str(self.folder / "data")), DataDir(str(self.folder / "data"))
        self.assertTrue(again.is_free())
        self.assertFalse((self.folder / "data").exists())
        mine.lock()
        self.assertFalse(again.is_free())
        mine.unlock()
        self.assertTrue(again.is_free())
        mine.lock()
        mine.unlock()


class Plugin(Processes):
    """What the plugin does about twistd's pid file."""

    def look(self, *, nodaemon: bool) -> str:
        """Parse the plugin's options; what twistd's pid file is called then."""
        config = self.folder / "a.toml"
        config.write_text(f'data_dir = "{self.folder / "data"}"\n')
        options = Options()
        options.parent = usage.Options()
        options.parent.update(pidfile=str(self.path), nodaemon=nodaemon)
        options.parseOptions(["--config", str(config)])
        return str(options.parent["pidfile"])

    def test_stale(self) -> None:
        """A stale file is removed, in the foreground and in the background."""
        for nodaemon in (True, False):
            self.path.write_text(str(self.process()))
            self.assertEqual(self.look(nodaemon=nodaemon), str(self.path))
            self.assertFalse(self.path.exists())

    def test_another_service(self) -> None:
        """The file of a running twistd stays; in the foreground we do without one."""
        self.path.write_text(str(self.process("twistd")))
        self.assertEqual(self.look(nodaemon=True), "")
        self.assertEqual(self.look(nodaemon=False), str(self.path))
        self.assertTrue(self.path.exists())

    def test_our_service_runs(self) -> None:
        """Where the lock is held, nothing is touched."""
        running = DataDir(str(self.folder / "data"))
        running.lock()
        self.addCleanup(running.unlock)
        self.path.write_text(str(self.ended()))
        self.assertEqual(self.look(nodaemon=True), str(self.path))
        self.assertTrue(self.path.exists())
