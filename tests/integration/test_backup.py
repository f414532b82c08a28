"""Backups of a real service: while it works, by the command, without it, and what a restored one does."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

from lgtwist.journal.chunk import Chunk, unpack
from tests.integration.at_least_once import Bot, at_least_once, bearer, lines
from tests.integration.running import PATIENCE, ROOT, Service, ServiceTestCase, wait_until

TOKEN = "backup-admin-token-0123456789"
BOTS = """
[[accounts]]
self_id = 10001
type = "sandbox"
world = "world.json"
""" + at_least_once("ledger", token=True)


class BackupTestCase(ServiceTestCase):
    toml = BOTS
    server = f'admin_token = "{TOKEN}"'

    def start_service(self, toml: str | None = None, server: str | None = None) -> Service:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        world = folder / "world.json"
        world.write_text(
            json.dumps(
                {"self_id": 10001, "people": [{"user_id": 20001, "nickname": "Alice", "friend": True}]}
            )
        )
        given = (self.toml if toml is None else toml).replace('"world.json"', f'"{world}"')
        service = Service(folder, given, self.server if server is None else server)
        self.addCleanup(self._end, service)
        return service

    @property
    def data(self) -> Path:
        return self.service.folder / "data"

    def inject(self, first: int, last: int) -> None:
        for number in range(first, last):
            event = {"post_type": "notice", "notice_type": "test", "time": 1, "self_id": 10001, "n": number}
            status, answer = self.admin("POST", "/sandbox/10001/event", event)
            self.assertEqual(status, 200, answer)

    def say(self, text: str) -> None:
        status, answer = self.admin("POST", "/sandbox/10001/say", {"user_id": 20001, "message": text})
        self.assertEqual(status, 200, answer)

    def admin(self, method: str, path: str, value: Any = None, token: str = TOKEN) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=PATIENCE)
        try:
            body = None if value is None else json.dumps(value)
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def backup(self) -> zipfile.ZipFile:
        status, body = self.admin("GET", "/console/api/backup")
        self.assertEqual(status, 200, body)
        return zipfile.ZipFile(io.BytesIO(body))

    def command(self, *args: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lgtwist.command", "backup", "-c", str(self.service.config_path),
             *map(str, args)],
            cwd=self.service.folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def numbers_in(self, backup: zipfile.ZipFile) -> list[int]:
        """The numbers of the events in the journal of a backup, which must be whole."""
        path = Path(self.mktemp()).absolute()
        path.write_bytes(backup.read("journal.sqlite"))
        connection = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
        try:
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            columns = "first, last, newest, runs, times, lengths, payload, checksum"
            rows = connection.execute(f"SELECT {columns} FROM chunk ORDER BY first").fetchall()
        finally:
            connection.close()
        return [
            json.loads(payload)["n"]
            for row in rows
            for batch in unpack(Chunk(*row))
            for payload in batch.payloads
            if b'"n"' in payload
        ]

    def litter(self) -> list[str]:
        return [path.name for path in self.data.iterdir() if path.name.startswith("backup")]


class RunningTests(BackupTestCase):
    def bot(self) -> Bot:
        bot = Bot(self.service, headers=bearer("ledger"))
        self.addCleanup(bot.end)
        wait_until("the bot is there", lambda: bot.connected)
        return bot

    def has_all(self) -> bool:
        _status, text = self.admin("GET", "/metrics")
        [line] = [line for line in text.splitlines() if line.startswith(b"lgtwist_bot_backlog_events{")]
        return line.endswith(b" 0.0")

    def position(self) -> int:
        uri = f"{(self.data / 'journal.sqlite').as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True)
        try:
            return int(connection.execute("SELECT max(position) FROM cursor").fetchone()[0])
        finally:
            connection.close()

    def test_restored(self) -> None:
        """At-least-once goes on from the backup's cursors, and the world is that of the backup."""
        bot = self.bot()
        self.inject(0, 10)
        self.say("before")
        wait_until("all came", lambda: bot.newest == 9 and self.has_all())
        wait_until("cursors are written", lambda: self.position() >= 11)
        bot.end()
        self.inject(10, 13)  # nobody is there to get them
        backup = self.backup()
        self.assertEqual(self.numbers_in(backup), list(range(13)))
        bot = self.bot()
        self.inject(13, 15)
        self.say("after")
        wait_until("more came", lambda: bot.newest == 14 and self.has_all())
        bot.end()
        self.service.kill()

        shutil.rmtree(self.data)
        self.data.mkdir(mode=0o700)
        backup.extractall(self.data)
        began = len(self.service.log())
        self.service.start()
        wait_until("it is said", lambda: lines(self.service.log()[began:], "this is a backup of"))
        [line] = lines(self.service.log()[began:], "this is a backup of")
        self.assertIn("Events that came after it are lost", line)
        again = self.bot()
        self.inject(15, 18)
        wait_until("new events come", lambda: again.newest == 17)
        self.assertEqual(again.seen, [10, 11, 12, 15, 16, 17])
        _status, transcript = self.admin("GET", "/sandbox/10001/transcript")
        self.assertIn(b"before", transcript)
        self.assertNotIn(b"after", transcript)

        # It is said once. What a crash left of another backup is removed.
        again.end()
        self.service.kill()
        (self.data / "backup-0123456789abcdef").mkdir()
        (self.data / "backup-0123456789abcdef" / "zip").write_bytes(b"x")
        (self.data / "backup-of-mine").mkdir()
        began = len(self.service.log())
        self.service.start()
        self.backup()  # the journal is open
        self.assertEqual(lines(self.service.log()[began:], "this is a backup of"), [])
        self.assertEqual(self.litter(), ["backup-of-mine"])

    def test_under_load(self) -> None:
        """It ends while events come, all that came before is in it, and the service answers meanwhile.

        Clients that go away, or read nothing, cost nobody anything.
        """
        for slow in (True, True, False, False, False):
            one = self.service.connect()
            self.addCleanup(one.close)
            one.sendall(
                b"GET /console/api/backup HTTP/1.1\r\nHost: localhost\r\n"
                b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
            )
            if slow:
                one.recv(1)
            else:
                one.close()
        stop, sent, late = threading.Event(), [-1], [0.0]

        def load() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=PATIENCE)
            while not stop.is_set():
                event = {"post_type": "notice", "notice_type": "x", "time": 1, "self_id": 10001,
                         "n": sent[0] + 1, "padding": "x" * 20_000}  # fmt: skip
                headers = {"Authorization": f"Bearer {TOKEN}"}
                watch = self.service.stopwatch()
                connection.request("POST", "/sandbox/10001/event", json.dumps(event), headers)
                connection.getresponse().read()
                late[0] = max(late[0], watch.seconds())
                sent[0] += 1
            connection.close()

        thread = threading.Thread(target=load)
        thread.start()
        try:
            wait_until("there is a journal", lambda: sent[0] > 200)
            for _time in range(2):
                before = sent[0]
                numbers = self.numbers_in(self.backup())
                self.assertEqual(numbers, list(range(len(numbers))))  # none is missing, in order
                self.assertGreaterEqual(len(numbers), before - 50)
        finally:
            stop.set()
            thread.join()
        self.assertLess(late[0], 2.0)
        wait_until("nothing is left", lambda: self.litter() == [])


class CommandTests(BackupTestCase):
    def refused(self, *args: object) -> str:
        """It ends with status 1 and one line; that line."""
        refused = self.command(*args)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        [line] = refused.stderr.splitlines()
        return line

    def made(self, *args: object) -> str:
        """It succeeds; what it says."""
        made = self.command(*args)
        self.assertEqual((made.returncode, made.stderr), (0, ""))
        [line] = made.stdout.splitlines()
        return line

    def test_the_command(self) -> None:
        self.inject(0, 3)
        line = self.made("--output", "mine.zip")
        self.assertRegex(line, r"\Amine\.zip: [0-9.]+ [kM]B, without secrets, made by the running service\Z")
        path = self.service.folder / "mine.zip"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        with zipfile.ZipFile(path) as backup:
            self.assertEqual(self.numbers_in(backup), [0, 1, 2])
            names = backup.namelist()
            for secret in (TOKEN, "of-ledger"):
                self.assertFalse(any(secret.encode() in backup.read(name) for name in names))
        own = ["README.txt", "journal.sqlite", "lgtwist.toml", "sandbox-10001.sqlite"]
        self.assertEqual(sorted(names), own)
        before = path.read_bytes()
        line = self.refused("--output", "mine.zip")
        self.assertEqual(line, "mine.zip: is there already, and stays as it is")
        self.assertEqual(path.read_bytes(), before)

        self.made("--secrets")
        [path] = self.service.folder.glob("lgtwist-backup-*.zip")
        with zipfile.ZipFile(path) as backup:
            self.assertIn(TOKEN.encode(), backup.read("lgtwist.toml"))
            self.assertIn("backup-files/1-world.json", backup.namelist())

        source = self.service.config_path.read_text()
        self.service.config_path.write_text(source.replace(TOKEN, "a-token-that-is-not-taken-yet"))
        self.assertIn("the token is wrong", self.refused("--output", "none.zip"))
        self.assertFalse((self.service.folder / "none.zip").exists())
        self.service.config_path.write_text(source)

        self.service.kill()  # its write-ahead logs are still there
        for secrets in ((), ("--secrets",)):
            line = self.made("--output", f"own{len(secrets)}.zip", *secrets)
            self.assertIn("copied, for no service runs", line)
            with zipfile.ZipFile(self.service.folder / f"own{len(secrets)}.zip") as backup:
                self.assertEqual(self.numbers_in(backup), [0, 1, 2])
                self.assertEqual(TOKEN.encode() in backup.read("lgtwist.toml"), bool(secrets))
        self.assertEqual(self.litter(), [])


__all__ = ["CommandTests", "RunningTests"]
