"""Backups: what is left out, what is said about it, and what becomes of one that fails."""

from __future__ import annotations

import errno
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.accounts.milky.block_store import BlockStore
from lgtwist.app import backup as backup_module
from lgtwist.app.backup import (
    Backups,
    ZipContents,
    back_up_stopped,
    backup_name,
    blank_secrets,
    remove_unfinished,
    write_zip,
)
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.console.interfaces import BackupFile, CannotBackUp
from lgtwist.milky.blocks import BlockTable
from lgtwist.milky.keys import GROUP, MessageKey
from lgtwist.runtime.sqlite_copies import copy_resting_database
from lgtwist.sandbox.account import SandboxAccount
from tests.console.test_api import OURS, TOKEN, ConsoleTestCase
from tests.journal.memory_store import InlineWorker
from tests.web.site_case import Peer

SOURCE = '''\
# The operator's: admin_token = "old-one-1234"
[server]
admin_token = "the-admins"   # keep it
endpoints = ["tcp:8081:interface=127.0.0.1"]

[[accounts]]
type = "http"
self_id = 1
url = "http://user:pass-word@example.org/?access_token=in-the-url&x=1"
secret = 'single"quoted'
[[bots]]
name = "a"
"access_token" = """long
one"""
# access_token = "commented"
[[bots]]
name = "b"
access_token_file = "b.token"
headers = { access_token = "in\\u002da-table" }
'''
SECRETS = (
    "old-one-1234", "the-admins", "pass-word", "in-the-url", 'single"quoted', "long", "commented",
    "in-a-table", "u002da", "file-token",
)  # fmt: skip


class BlankingTests(SynchronousTestCase):
    def test_nothing_secret_is_left(self) -> None:
        text = blank_secrets(SOURCE, {"file-token", "the-admins"})
        assert text is not None
        for secret in SECRETS:
            self.assertNotIn(secret, text)
        first, _line, rest = text.partition("\n")
        self.assertIn("left out", first)
        for line in ("   # keep it", 'name = "a"', 'access_token_file = "b.token"', '# access_token = ""'):
            self.assertIn(line, rest)
        read = msgspec.toml.decode(text)
        self.assertEqual(read["server"]["admin_token"], "")
        self.assertEqual(read["accounts"][0]["url"], "http://example.org/?access_token=&x=1")

    def test_other_line_ends(self) -> None:
        text = blank_secrets('a = 1\r\n[server]\r\nadmin_token = "x"\r\n', ())
        assert text is not None
        self.assertEqual(text.count("\n"), text.count("\r\n"))

    def test_without_secrets_it_stays_as_it_is(self) -> None:
        self.assertEqual(blank_secrets("a = 1\n", ()), "a = 1\n")

    def test_a_key_that_is_written_strangely(self) -> None:
        source = '[server]\n"admin\\u005ftoken" = "esc\\u0061ped"\n'
        text = blank_secrets(source, ())
        assert text is not None
        self.assertTrue(text.endswith('[server]\n"admin\\u005ftoken" = ""\n'), text)

    def test_what_the_console_hides_is_left_out(self) -> None:
        for source in (
            '[server]\nadmin_token = "%"\nx = \n',
            'x = """\n[server]\nadmin_token = "%"\n',
            "[server]\nadmin_token = %\n",
            "# the token: %\n# ONEBOT_ACCESS_TOKEN=%\n",
            '[[alerts]]\nurl = "https://example.org/%.send"\n',
            'headers = ["Authorization: Bearer %"]\n',
        ):
            text = blank_secrets(source.replace("%", "pLaNtEd-s3cret"), ())
            assert text is not None
            self.assertNotIn("pLaNtEd-s3cret", text)

    def test_a_value_that_stands_elsewhere(self) -> None:
        source = '[server]\nadmin_token = "the-token"\n# it was "the-token", not the-tokens\n'
        text = blank_secrets(source, ())
        assert text is not None
        self.assertIn('# it was "", not the-tokens', text)


class ZipTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def write(self, contents: ZipContents, file: BinaryIO | None = None, **more: Any) -> zipfile.ZipFile:
        file = io.BytesIO() if file is None else file
        self.missing = write_zip(file, contents, data_dir=Path("/data"), secrets=False, now=0.0, **more)
        file.seek(0)
        return zipfile.ZipFile(file)

    def test_contents(self) -> None:
        (self.folder / "copies").mkdir()
        (self.folder / "copies" / "journal.sqlite").write_bytes(b"j" * 1_000_000)
        (self.folder / "key").write_text("key")
        os.mkfifo(self.folder / "pipe")
        files = {f"backup-files/{name}": self.folder / name for name in ("key", "pipe", "missing")}
        contents = ZipContents(self.folder / "copies", {"lgtwist.toml": b"a = 1"}, files, ["a note"])
        made = self.write(contents)
        self.assertEqual(made.testzip(), None)
        self.assertEqual(len(self.missing), 2)
        self.assertEqual(
            made.namelist(), ["journal.sqlite", "backup-files/key", "lgtwist.toml", "README.txt"]
        )
        self.assertEqual(made.read("journal.sqlite"), b"j" * 1_000_000)
        self.assertEqual({info.external_attr >> 16 & 0o777 for info in made.infolist()}, {0o600})
        read_me = made.read("README.txt").decode()
        for said in (
            "a note", "journal.sqlite: /data/journal.sqlite", "backup-files/pipe is missing",
            "backup-files/missing is missing", "Stop lgtwist", "停止 lgtwist",
        ):  # fmt: skip
            self.assertIn(said, read_me)
        self.assertEqual(list((self.folder / "copies").iterdir()), [])

    def test_it_can_be_given_up(self) -> None:
        def check() -> None:
            raise KeyError("enough")

        with self.assertRaises(KeyError):
            self.write(ZipContents(None, {"lgtwist.toml": b"a = 1"}, {}, []), check=check)

    def test_names(self) -> None:
        self.assertRegex(backup_name(0.0), r"\Algtwist-backup-19[67]\d-[0-9T-]+-\d.*\.zip\Z")

    def test_what_a_crash_left(self) -> None:
        for name in ("backup-0123456789abcdef", "backup-of-mine"):
            (self.folder / name).mkdir()
            (self.folder / name / "zip").write_text("x")
        (self.folder / "backup-0000000000000000").symlink_to(self.folder / "backup-of-mine")
        remove_unfinished(self.folder)
        self.assertEqual(
            sorted(path.name for path in self.folder.iterdir()),
            ["backup-0000000000000000", "backup-of-mine"],
        )
        self.assertTrue((self.folder / "backup-of-mine" / "zip").exists())


def copy_world(account: Any, folder: Path) -> Deferred[None]:
    """What the thread of a world does, at once."""
    path = account._stored.path
    return maybeDeferred(copy_resting_database, path, folder / path.name)


class ServiceTests(ConsoleTestCase):
    """The service makes one, in memory but for its folder."""

    def setUp(self) -> None:
        super().setUp()
        self.data = Path(self.service.config.data_dir)
        self.held: list[tuple[Any, Deferred[Any]]] | None = None
        self.patch(self.service.backups, "_in_thread", self.in_thread)
        self.patch(SandboxAccount, "back_up", copy_world)
        config = self.data.absolute().with_name("lgtwist.toml")
        config.write_text(f'data_dir = "{self.data}"\n{self.toml}')
        self.service.backups.file = ConfigurationFile(str(config), self.data)

    def in_thread(self, call: Any) -> Deferred[Any]:
        if self.held is None:
            return maybeDeferred(call)
        waiting: Deferred[Any] = Deferred()
        self.held.append((call, waiting))
        return waiting

    def go_on(self) -> None:
        """The thread does what it was asked for, and is held no more."""
        held, self.held = self.held or [], None
        for call, waiting in held:
            maybeDeferred(call).chainDeferred(waiting)

    def answered(self, peer: Peer) -> Peer:
        """Let an answer come that is sent in pieces."""
        while peer.transport.taken != peer.read():
            pass
        return peer

    def zip_of(self, peer: Peer) -> zipfile.ZipFile:
        self.assertEqual(self.answered(peer).status(), 200, peer.body())
        return zipfile.ZipFile(io.BytesIO(peer.read().partition(b"\r\n\r\n")[2]))

    def litter(self) -> list[str]:
        return [path.name for path in self.data.iterdir() if path.name.startswith("backup")]

    def test_without_secrets(self) -> None:
        peer = self.bearer("backup?secrets=0")
        made = self.zip_of(peer)
        self.assertIn("content-type: application/zip", peer.headers())
        self.assertIn('attachment; filename="lgtwist-backup-2023-', peer.headers())
        self.assertEqual(made.namelist(), ["sandbox-10001.sqlite", "lgtwist.toml", "README.txt"])
        self.assertFalse(any(TOKEN.encode() in made.read(name) for name in made.namelist()))
        self.assertEqual(self.litter(), [])

    def test_with_secrets(self) -> None:
        self.service._data_dir.save_session_generation(3)
        made = self.zip_of(self.bearer("backup", "POST", {"secrets": True, "token": TOKEN}))
        self.assertIn(TOKEN.encode(), made.read("lgtwist.toml"))
        self.assertEqual(made.read("console_generation"), b"3\n")

    def milky_ids(self, folder: Path) -> BlockStore:
        """The message ids of an account that is not configured, from a folder."""
        worker = InlineWorker()
        store = BlockStore(
            folder,
            10002,
            self.clock,
            make_worker=lambda _name: worker,
            table=BlockTable(reserved=2),
        )
        store.prepare()
        store.start()
        return store

    def test_message_ids(self) -> None:
        """Restored, ids from before the backup are known; those from after it stand for nothing ever."""
        store = self.milky_ids(self.data)
        before = store.table.id_of(MessageKey(GROUP, 20001, 5))
        self.successResultOf(store.stop())
        backups = [self.zip_of(self.bearer("backup?secrets=0"))]
        file = self.service.backups.file
        assert file is not None
        stopped = io.BytesIO()
        back_up_stopped(stopped, file, self.service.config, secrets=False, now=1_790_000_000.0)
        backups.append(zipfile.ZipFile(stopped))
        store = self.milky_ids(self.data)
        after = [store.table.id_of(MessageKey(GROUP, 20100 + number, 5)) for number in range(10)]
        self.successResultOf(store.stop())
        for made in backups:
            folder = Path(self.mktemp())
            made.extract("milky-10002.sqlite", folder)
            restored = self.milky_ids(folder)
            for number in range(10):
                restored.table.id_of(MessageKey(GROUP, 20200 + number, 5))
            self.assertEqual(restored.table.key_of(before), MessageKey(GROUP, 20001, 5))
            self.assertEqual({restored.table.key_of(number) for number in after}, {None})
            self.successResultOf(restored.stop())

    def test_the_token_is_asked_for_again(self) -> None:
        for value in ({"secrets": True}, {"secrets": True, "token": ""}, {"secrets": True, "token": 1}):
            peer = self.bearer("backup", "POST", value)
            self.assertEqual((peer.status(), self.code(peer)), (403, "confirm_token"))
        peer = self.bearer("backup?secrets=1")
        self.assertEqual((peer.status(), self.code(peer)), (403, "confirm_token"))
        peer = self.bearer("backup", "POST", {"secrets": True, "token": "wrong"})
        self.assertEqual((peer.status(), self.code(peer)), (403, "wrong_token"))
        peer = self.bearer("backup", "POST", {"secrets": "yes"})
        self.assertEqual((peer.status(), self.code(peer)), (400, "bad_request"))
        self.assertEqual(self.bearer("backup", "HEAD").status(), 405)
        self.assertEqual(self.litter(), [])

    def test_wrong_tokens_count_as_in_a_login(self) -> None:
        for _time in range(10):
            self.assertEqual(self.bearer("backup", "POST", {"secrets": True, "token": "no"}).status(), 403)
        late = self.bearer("backup", "POST", {"secrets": True, "token": "no"})
        self.assertEqual(late.read(), b"")
        right = self.bearer("backup", "POST", {"secrets": True, "token": TOKEN})
        self.zip_of(right)
        self.clock.advance(2.1)
        self.assertEqual(late.status(), 403)

    def test_strangers_and_other_sites(self) -> None:
        self.assertEqual(self.api("backup").status(), 401)
        self.assertEqual(self.api("backup", "POST", {}).status(), 401)
        cookie = self.cookie()
        peer = self.api("backup", Cookie=cookie, Sec_Fetch_Site="cross-site")
        self.assertEqual((peer.status(), self.code(peer)), (403, "foreign_origin"))
        peer = self.api("backup", "POST", {}, Cookie=cookie)
        self.assertEqual((peer.status(), self.code(peer)), (403, "foreign_origin"))
        self.zip_of(self.api("backup", "POST", {"secrets": False}, Cookie=cookie, **OURS))

    def test_it_is_sent_as_it_is_read(self) -> None:
        """What a client does not read stays in the file."""
        big = os.urandom(2_000_000)
        (self.data / "admin_token").write_bytes(big)
        peer = self.bearer("backup", "POST", {"secrets": True, "token": TOKEN})
        self.clock.advance(0)
        self.assertGreater(peer.transport.waiting, 0)
        self.assertLess(peer.transport.waiting, 500_000)
        self.assertEqual(self.zip_of(peer).read("admin_token"), big)

    def test_a_disk_that_cannot_be_read(self) -> None:
        """The download ends, and is not taken for a whole one; another backup can be made."""

        class Broken(io.BytesIO):
            def read(self, _size: int | None = -1) -> bytes:
                raise OSError(errno.EIO, "Input/output error")

        def broken(name: str, file: BinaryIO, size: int) -> BackupFile:
            file.close()
            return BackupFile(name, Broken(), size)

        self.patch(backup_module, "BackupFile", broken)
        peer = self.bearer("backup")
        self.clock.advance(0)
        self.assertTrue(peer.transport.aborted)
        [file] = self.service.backups._waiting
        self.assertTrue(file.closed)

    def test_one_at_a_time(self) -> None:
        self.held = []
        first = self.bearer("backup")
        second = self.bearer("backup")
        self.assertEqual((second.status(), self.code(second)), (409, "backup_running"))
        self.go_on()
        self.zip_of(first)
        self.zip_of(self.bearer("backup"))

    def test_a_client_that_goes_away(self) -> None:
        self.held = []
        self.bearer("backup").lose()
        self.go_on()
        self.assertIsNone(self.service.backups._wanted)
        self.assertEqual(self.litter(), [])

    def test_full_disks(self) -> None:
        def full(*_arguments: Any, **_more: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(backup_module, "write_zip", full)
        peer = self.answered(self.bearer("backup"))
        self.assertEqual((peer.status(), self.code(peer)), (507, "no_space"))
        self.assertEqual(self.litter(), [])
        self.patch(backup_module, "_STAYS_FREE", 1 << 60)
        peer = self.bearer("backup")
        self.assertEqual((peer.status(), self.code(peer)), (507, "no_space"))
        self.assertIn("are free", json.loads(peer.body())["error"]["sentence"])

    def test_a_mistake_of_ours(self) -> None:
        def broken(*_arguments: Any, **_more: Any) -> None:
            raise KeyError("oh")

        self.patch(backup_module, "write_zip", broken)
        peer = self.answered(self.bearer("backup"))
        self.assertEqual((peer.status(), self.code(peer)), (500, "backup_failed"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.litter(), [])

    def test_downloads_that_do_not_go_on(self) -> None:
        backups: Backups = self.service.backups
        for _time in range(3):
            made: Deferred[Any] = backups.make(False, "here")
            file = self.successResultOf(made).file
            self.addCleanup(file.close)
        self.failureResultOf(backups.make(False, "here"), CannotBackUp)
        file.close()
        again = backups.make(False, "here")
        self.successResultOf(again).file.close()

    def test_the_service_stops_meanwhile(self) -> None:
        self.held = []
        made = self.service.backups.make(False, "here")
        self.service._stopping = True
        stopped = self.service.backups.stop()
        self.assertNoResult(stopped)
        self.go_on()
        self.successResultOf(stopped)
        self.assertEqual(self.failureResultOf(made, CannotBackUp).value.code, "stopping")
        self.failureResultOf(self.service.backups.make(False, "here"), CannotBackUp)
