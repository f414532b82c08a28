"""Folders and disks that cannot be used, at the start and while it runs: one line each, with the remedy.

Root may do everything: the service gives up that right, by ``setpriv``. Full and read-only disks are mounted
in a mount namespace of the service's own, by ``unshare``.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration.commands import RunTestCase, answers
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE
from tests.processes import ChildProcess, wait_until
from tests.rounds import ROUNDS

LGTWIST = (sys.executable, "-m", "lgtwist.command")
#: Of all rights of root without those over other people's files.
AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--")
NOBODY = 65534
TOKEN = "bot-token-0123456789"
EVERYTHING = f"""
[[accounts]]
type = "sandbox"
self_id = 10001
[[accounts]]
type = "milky"
self_id = 10002
url = "http://127.0.0.1:9"
[[bots]]
name = "bot"
access_token = "{TOKEN}"
delivery = "at-least-once"
"""
#: The files of data_dir without which nothing starts.
FILES = ("lock", "journal.sqlite", "sandbox-10001.sqlite", "admin_token", "milky-10002.sqlite")


def can_mount() -> bool:
    """Whether a mount namespace and a small disk in it can be had here."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=16k", "none", "/mnt"]
    return shutil.which("unshare") is not None and not subprocess.run(command, capture_output=True).returncode


class AtTheStart(RunTestCase):
    """It does not start, and one line says why and what to do."""

    program = LGTWIST

    def setUp(self) -> None:
        super().setUp()
        self.config = self.write(EVERYTHING)
        self.data.mkdir(mode=0o700)

    def as_anybody(self) -> None:
        if os.geteuid():
            raise SkipTest("only root can give files to others")
        if shutil.which("setpriv") is None:
            raise SkipTest("there is no setpriv")
        self.program = (*AS_ANYBODY, *LGTWIST)

    def mounted(self, command: str) -> None:
        """Let the program run where a command has mounted something."""
        if not can_mount():
            raise SkipTest("nothing can be mounted here")
        self.program = ("unshare", "-m", "sh", "-c", f'{command}; exec "$@"', "sh", *LGTWIST)

    def line(self, *words: str) -> str:
        line = self.refused_in_one_line("run", "--config", self.config)
        for word in words:
            self.assertIn(word, line)
        self.assertFalse(answers(self.port))
        return line

    def test_owner_of_the_folder(self) -> None:
        """Of another user, closed or open to read: path, our uid, theirs, and the command."""
        self.as_anybody()
        os.chown(self.data, NOBODY, NOBODY)
        for mode in (0o700, 0o755):
            self.data.chmod(mode)
            self.line(
                f"data_dir {self.data}", "for uid 0", f"uid {NOBODY} (mode {mode:04o})", f"-R 0 {self.data}"
            )

    def test_owner_of_a_file(self) -> None:
        """Of one file that another user made: the same, by its name; ``lgtwist backup`` says it too."""
        self.as_anybody()
        for name in FILES if ROUNDS > 1 else FILES[:2]:
            path = self.data / name
            path.write_bytes(b"")
            path.chmod(0o600)
            os.chown(path, NOBODY, NOBODY)
            self.line(name, f"uid {NOBODY} (mode 0600)", "for uid 0", f"chown -R 0 {self.data}")
            if name == "lock":
                backup = self.refused_in_one_line("backup", "--config", self.config)
                self.assertIn(f"chown -R 0 {self.data}", backup)
                self.assertNotIn("running", backup)
            path.unlink()

    def test_owner_of_what_is_read(self) -> None:
        """Of the configuration, and of a file that it names."""
        self.as_anybody()
        self.config.chmod(0o600)
        os.chown(self.config, NOBODY, NOBODY)
        self.line(f"{self.config}: cannot be read: Permission denied for uid 0", f"uid {NOBODY} (mode 0600)")
        os.chown(self.config, 0, 0)
        secret = self.folder / "secret"
        secret.write_text("s" * 32)
        secret.chmod(0o600)
        os.chown(secret, NOBODY, NOBODY)
        self.config = self.write(server='admin_token_file = "secret"')
        self.line("server.admin_token_file: ", f"{secret} cannot be read: Permission denied for uid 0")

    def test_missing_in_a_folder_of_others(self) -> None:
        """A data_dir that cannot be made: what is to be made, and for whom."""
        self.as_anybody()
        self.data.rmdir()
        self.write(EVERYTHING)
        os.chown(self.folder, NOBODY, NOBODY)
        self.addCleanup(os.chown, self.folder, 0, 0)
        self.line(f"data_dir {self.data}", f"{self.folder} belongs to uid {NOBODY}", f"mkdir -p {self.data}")

    def test_folder_for_a_file(self) -> None:
        """A folder where a file must be, as Docker makes it."""
        more = "journal.sqlite-wal", "sandbox-10001.sqlite-wal", "journal.sqlite.new"
        for name in (*FILES, *more) if ROUNDS > 1 else (FILES[2], more[0]):
            shutil.rmtree(self.data)
            (self.data / name).mkdir(parents=True)
            self.line(name.removesuffix(".new"), "it is a folder, not a file; remove it")
        self.config.unlink()
        self.config.mkdir()
        self.assertIn("it is a folder", self.refused_in_one_line("check", "--config", self.config))

    def test_file_for_the_folder(self) -> None:
        """A file where data_dir must be, or a folder above it."""
        self.data.rmdir()
        self.data.write_text("")
        self.line(f"data_dir {self.data}", "it is a file, not a folder")

    def test_read_only(self) -> None:
        """A read-only disk, also for ``run --init`` and ``backup``: how it is mounted otherwise."""
        self.mounted(f"mount --bind {self.folder} {self.folder} && mount -o remount,bind,ro {self.folder}")
        self.line(f"data_dir {self.data}", "its disk is mounted read-only")
        for command in (
            ["run", "--init", "--config", self.folder / "new.toml"],
            ["backup", "--config", self.config, "--output", self.folder / "x.zip"],
        ):
            self.assertIn("its disk is mounted read-only", self.refused_in_one_line(*command))

    def test_full(self) -> None:
        """A disk without room for what is made at the first start."""
        for size in ("4k", "16k", "64k") if ROUNDS > 1 else ("16k",):
            self.mounted(f"mount -t tmpfs -o size={size} none {self.data}")
            self.line(str(self.data), "the disk is full; make room on it")


class WhileItRuns(RunTestCase):
    """A disk that is full for a while: calls and live events go on, and afterwards everything does."""

    def setUp(self) -> None:
        super().setUp()
        if not can_mount():
            raise SkipTest("nothing can be mounted here")

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": "Bearer admin-token-0123456789"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    def says(self, message: object) -> int:
        return self.ask("sandbox/10001/say", {"user_id": 20001, "message": message})[0]

    def lines(self, word: str) -> list[str]:
        return [line for line in self.log().splitlines() if word in line]

    def wait_for(self, word: str) -> None:
        wait_until(word, partial(self.lines, word))

    def test_full_and_free_again(self) -> None:
        """Journal, world, media, backup and log: one line when it begins and one when it is over."""
        self.data.mkdir()
        config = self.write(EVERYTHING, 'admin_token = "admin-token-0123456789"')
        log = self.data / "log"
        service = ChildProcess(self.folder)
        self.addCleanup(service.end)
        mount = f'mount -t tmpfs -o size=12m none {self.data}; exec "$@"'
        command = [*LGTWIST, "run", "--config", str(config), "--log-file", str(log)]
        service.spawn(["unshare", "-m", "sh", "-c", mount, "sh", *command], self.environment())
        service.wait_up("listens", lambda: answers(self.port))
        # The disk is not ours to see but by the process.
        disk = Path(f"/proc/{service.pid}/root{self.data}")
        printed, self.log_path = self.log_path, disk / "log"
        self.addCleanup(setattr, self, "log_path", printed)
        picture = [{"type": "image", "data": {"file": f"base64://{base64.b64encode(bytes(5000)).decode()}"}}]
        with RawClient(None, "/10001", port=self.port, headers={"Authorization": f"Bearer {TOKEN}"}) as bot:
            bot.message()
            self.assertEqual((self.says("first"), self.says(picture)), (200, 200))
            self.fill(disk)
            for _number in range(3):
                self.assertEqual(self.says("x" * 3000), 200)
                bot.call("send_private_msg", user_id=20001, message="y")
                self.assertEqual(bot.response()["status"], "ok")
            self.assertEqual(self.says(picture), 400)
            self.assertEqual(self.ask("console/api/backup")[0], 507)
            wait_until("it is told", lambda: "the log cannot be written" in printed.read_text())
            (disk / "fill").unlink()
            (disk / "console_generation").mkdir()
            self.assertEqual(self.ask("console/api/logout", {"everywhere": True})[0], 200)
            self.wait_until_written(service)
            self.assertEqual(self.says(picture), 200)
        text = self.log()
        self.assertIn("entries are missing here", text)
        for again in ("journal: writing goes on", "is written again", "files are stored again"):
            self.wait_for(again)
            self.assertEqual(len(self.lines(again)), 1, again)
        self.assertIn("console_generation: cannot be written: it is a folder", text)
        self.assertNotIn("Traceback", text + printed.read_text())
        told = [one for one in printed.read_text().splitlines() if "the log cannot be written" in one]
        self.assertEqual(len(told), 1, told)
        self.assertIn("the disk is full; make room on it", told[0])
        self.assertEqual(service.stop(), 0)

    def fill(self, disk: Path) -> None:
        """Leave no room, not even in what is kept free for the journal, or in the log's last page."""
        (disk / "journal.sqlite.ballast").unlink(missing_ok=True)
        with (disk / "fill").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def wait_until_written(self, service: ChildProcess) -> None:
        """Wait until the journal says that it goes on."""
        self.wait_for("journal: writing goes on")
        self.wait_for("is written again")
