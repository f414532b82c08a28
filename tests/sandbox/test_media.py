"""The stored files of a sandbox: what may be read, and how it is kept."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.errors import OneBotError
from lgtwist.sandbox.files import media as media_module
from lgtwist.sandbox.files.links import LinkCheck
from lgtwist.sandbox.files.media import MAX_REFERENCE, MediaStore, StoredFile
from lgtwist.sandbox.files.slots import CallerSlots

LIMIT = 1 << 20


class MediaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.data = self.folder / "data"
        self.data.mkdir(parents=True)
        self.private: list[Path] = []
        self.media = MediaStore(
            self.data / "sandbox-1-media",
            self.data,
            limit=lambda: LIMIT,
            fetch=lambda url: succeed(url.encode()),
            base_url=lambda: "http://127.0.0.1:8081/sandbox/1",
            run_in_thread=maybeDeferred,
            private_files=lambda: self.private,
            public_path="/sandbox/1",
        )

    def store(self, reference: str) -> StoredFile:
        stored: StoredFile = self.successResultOf(Deferred.fromCoroutine(self.media.store(reference, "file")))
        return stored

    def refusal(self, reference: str) -> str:
        failed = Deferred.fromCoroutine(self.media.store(reference, "file"))
        return str(self.failureResultOf(failed, OneBotError).value)

    def file(self, name: str, words: str = "secret") -> Path:
        path = self.data / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(words)
        return path

    def test_private_files(self) -> None:
        """A private file is refused by whatever name or link; another one in the same folder is not."""
        token, free = self.file("inner/token"), self.file("inner/picture")
        self.private = [token, self.data / "missing"]
        os.link(token, self.data / "hard")
        (self.data / "soft").symlink_to(token)
        (self.data / "door").symlink_to(self.data / "inner")
        for name in ("inner/token", "hard", "soft", "door/token", "inner/../hard"):
            self.assertIn("lgtwist's own", self.refusal(f"file://{self.data / name}"), name)
        for name in ("inner/picture", "door/picture"):
            self.assertEqual(self.store(f"file://{self.data / name}").path.read_text(), "secret")
        self.assertTrue(free.exists())

    def test_files_of_lgtwist(self) -> None:
        """Its files in data_dir are private, the made token too, and links to them, and their inner files."""
        names = (
            "sandbox-2.sqlite",
            "milky-2.sqlite",
            "journal.sqlite",
            "journal.sqlite-wal",
            "lock",
            "admin_token",
        )
        for name in names:
            path = self.file(name)
            os.link(path, self.data / f"hard-{name}")
            for one in (name, f"hard-{name}"):
                self.assertIn("lgtwist's own", self.refusal(f"file://{self.data / one}"), one)
        inner = self.file("sandbox-2-media/x")
        os.link(inner, self.data / "hard-inner")
        for one in (inner, self.data / "hard-inner"):
            self.assertIn("lgtwist's own", self.refusal(f"file://{one}"))

    def test_no_plain_files(self) -> None:
        """A folder, a pipe and what is outside are refused, and nothing waits for the pipe."""
        os.mkfifo(self.data / "pipe")
        outside = self.folder / "outside"
        outside.write_text("x")
        (self.data / "out").symlink_to(outside)
        for name in ("pipe", ".", "out", "../outside", "nothing"):
            self.assertIn("data_dir", self.refusal(f"file://{self.data / name}"), name)

    def test_modes(self) -> None:
        """What is kept is for our user alone, whatever the umask."""
        before = os.umask(0)
        try:
            stored = self.store("base64://QUFB")
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(stored.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(stored.path.parent.stat().st_mode), 0o700)

    def test_its_own_url(self) -> None:
        """The URL of a stored file is that file, and is not fetched."""
        stored = self.store("base64://QUFB")
        self.assertEqual(self.store(stored.url).file, stored.file)
        self.assertNotEqual(self.store("http://example.org/media/" + stored.file).file, stored.file)

    def test_base64(self) -> None:
        """Any length is decoded as a whole; padding stands at the end only."""
        for size in (1, 2, 3, 196_607, 196_608, 196_609, LIMIT):
            data = os.urandom(size)
            stored = self.store("base64://" + base64.b64encode(data).decode())
            self.assertEqual(stored.path.read_bytes(), data, str(size))
        stretch = base64.b64encode(b"x" * 196_607).decode()
        for wrong in (stretch + "QUFB", "QUFBQ", "Q=QU", "QU!FB", "大大大大", "====", "QQ==\nQQ=="):
            self.assertIn("base64", self.refusal(f"base64://{wrong}"), wrong[-10:])

    def test_forgiving_base64(self) -> None:
        """Line breaks, blanks, the other alphabet and missing padding are taken, anywhere in a long text."""
        data = bytes(range(256)) * 1030 + b"x"
        usual, other = base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()
        lines = base64.encodebytes(data).decode()
        for written in (usual, other, lines, lines.replace("\n", "\r\n "), usual.rstrip("="), f" {other}\n"):
            for scheme in ("base64://", "BASE64://", "data:;base64,", "data:image/png;base64,"):
                self.assertEqual(self.store(scheme + written).path.read_bytes(), data)

    def test_data_urls(self) -> None:
        """A data: URL is its content, whatever its type says; without a comma it is none."""
        self.assertEqual(self.store("data:text/plain,a%20b").path.read_bytes(), b"a b")
        self.assertEqual(
            self.store("data:x/y;base64,QUFB%3D%3D".replace("QUFB", "QQ")).path.read_bytes(), b"A"
        )
        for wrong in ("data:", "data:image/png;base64", "data:,", "data:;base64,!"):
            self.assertIn("file: ", self.refusal(wrong))
        self.assertIn("larger", self.refusal("data:," + "x" * (LIMIT + 1)))

    def test_paths(self) -> None:
        """A path alone names the same file as file://; one of Windows, or a relative one, is refused."""
        path = self.file("a b.txt")
        for named in (
            f"{path}",
            f"file://{path}",
            f"file://localhost{path}",
            f"file:{path}",
            f"FILE://{path}",
        ):
            stored = self.store(named)
            self.assertEqual((stored.path.read_text(), stored.name), ("secret", "a b.txt"))
        for windows in ("C:\\a.png", "c:/a.png", "file:///C:/a.png", "file://C:\\a.png", "\\\\host\\a.png"):
            self.assertIn("path of Windows", self.refusal(windows))
        for relative in ("a.png", "./a.png", "data/a.png"):
            self.assertIn("expected", self.refusal(relative))

    def test_media_dirs(self) -> None:
        """Files below media_dirs may be named, but for private ones, by whatever link; a refusal names it."""
        pictures, token = self.folder / "pictures", self.file("token")
        (pictures / "inner").mkdir(parents=True)
        (pictures / "inner" / "x.png").write_text("x")
        (self.folder / "outside").write_text("x")
        os.link(token, pictures / "hard")
        (pictures / "soft").symlink_to(token)
        (pictures / "out").symlink_to(self.folder / "outside")
        self.assertIn("media_dirs", self.refusal(f"file://{pictures}/inner/x.png"))
        self.assertIn("media_dirs", self.refusal("/nowhere/x.png"))
        self.media.media_dirs = (str(pictures),)
        self.assertEqual(self.store(f"{pictures}/inner/x.png").name, "x.png")
        self.private = [token]
        for name in ("hard", "soft", "out", "../outside", "", "inner"):
            self.assertIn("media_dirs", self.refusal(f"{pictures}/{name}"), name)
        self.media.media_dirs = (str(self.folder), "/proc")  # data_dir is below the first
        world = self.file("sandbox-2.sqlite")
        for path in (world, token, "/proc/self/environ"):
            self.assertIn("lgtwist's own", self.refusal(str(path)))
        self.assertEqual(self.store(str(self.file("free"))).name, "free")

    def test_links_that_are_of_no_use(self) -> None:
        """A bot on another machine that gets loopback's links is logged, once; those here are not."""
        bots = [
            ("here", "127.0.0.1:5"),
            ("here too", "[::1]:5"),
            ("dialled", "ws://localhost:1/x"),
            ("local", "unix socket"),
        ]
        self.media.on_link = LinkCheck(1, lambda: bots).check
        self.store("base64://QUFB")
        bots += [("container", "172.17.0.2:5"), ("far", "ws://bot.example.org/")]
        with capturedLogs() as captured:
            for _ in range(2):
                self.store("base64://QUFB")
        lines = [formatEvent(event) for event in captured]
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("container at 172.17.0.2:5", lines[0])
        self.assertIn("public_url", lines[0])
        self.media.public_url = "http://10.0.0.1:8081"
        with capturedLogs() as captured:
            self.store("base64://QUFB")
        self.assertEqual(list(captured), [])

    def test_public_url(self) -> None:
        """Links have public_url as their base; those of before are still the stored files."""
        before = self.store("base64://QUFB")
        self.media.public_url = "https://bots.example.org/x"
        after = self.media.find(before.file)
        assert after is not None
        self.assertEqual(after.url, f"https://bots.example.org/x/sandbox/1/media/{before.file}")
        for link in (before.url, after.url):
            self.assertEqual(self.store(link).file, before.file)
        self.assertIn(str(LIMIT), self.refusal("base64://" + "QUFB" * LIMIT))

    def test_long_references(self) -> None:
        """A web address or path of megabytes is refused before it is looked at."""
        for scheme in ("http", "file", "ftp"):
            reason: Any = self.refusal(f"{scheme}://" + "%41" * (1 << 20))
            self.assertIn(str(MAX_REFERENCE), reason)


class SlotsTests(SynchronousTestCase):
    def test_each_caller_has_its_own(self) -> None:
        """Who has taken all of its slots waits for itself only, in order; who gives up waits no more."""
        slots = CallerSlots(2)
        for caller in ("a", "b"):
            for _ in range(2):
                self.successResultOf(slots.acquire(caller))
        waiting = [slots.acquire("a") for _ in range(3)]
        waiting[0].addErrback(lambda _cancelled: None).cancel()
        slots.release("b")
        self.assertFalse(waiting[1].called)
        slots.release("a")
        self.assertTrue(waiting[1].called)
        self.assertFalse(waiting[2].called)
        slots.release("a")
        for caller in ("a", "a", "b"):
            slots.release(caller)
        self.assertEqual(slots._callers, {})


class AgeTests(SynchronousTestCase):
    """Which stored files are the oldest, and which are new: the wall clock does not say."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def new_run(self) -> MediaStore:
        return MediaStore(
            self.folder / "sandbox-1-media",
            self.folder,
            limit=lambda: LIMIT,
            fetch=lambda url: succeed(url.encode()),
            base_url=lambda: "http://127.0.0.1:8081/sandbox/1",
            run_in_thread=maybeDeferred,
            seconds=self.clock.seconds,
        )

    def store(self, media: MediaStore, word: str, at: float) -> str:
        """Store a file while the wall clock says something; return its name."""
        stored = self.successResultOf(Deferred.fromCoroutine(media.store(f"http://example/{word}", "file")))
        os.utime(stored.path, (at, at))
        return str(stored.file)

    def clean(self, media: MediaStore) -> list[str]:
        self.successResultOf(Deferred.fromCoroutine(media.remove_unused(())))
        return sorted(path.name for path in (self.folder / "sandbox-1-media").iterdir())

    def test_unused(self) -> None:
        """A file is new for five minutes of this run, whatever its time says; so is one of a former run."""
        before = self.store(self.new_run(), "before", 0)
        media = self.new_run()
        now = self.store(media, "now", 0)
        self.assertEqual(self.clean(media), sorted([before, now]))
        self.clock.advance(200)
        new = self.store(media, "new", 0)
        self.clock.advance(150)
        self.assertEqual(self.clean(media), [new])

    def test_the_oldest_go(self) -> None:
        """Those of former runs first, though they were written by a clock that was ahead."""
        self.patch(media_module, "MAX_FILES", 3)
        ahead = self.store(self.new_run(), "ahead", 4e9)
        self.clock.advance(1)
        media = self.new_run()
        kept = []
        for number in range(3):
            kept.append(self.store(media, f"{number}", 4e9 - number))
            self.clock.advance(1)
        self.clock.advance(400)
        self.assertNotIn(ahead, os.listdir(self.folder / "sandbox-1-media"))
        self.store(media, "last", 1)
        self.assertNotIn(kept[0], os.listdir(self.folder / "sandbox-1-media"))
