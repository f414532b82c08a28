"""The log's file: its end, a rename by others, a disk that is full, without a service."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime import log_file
from lgtwist.runtime.log_file import LogFile, LogStream


class LogFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.path = self.folder / "log"
        self.told: list[str] = []
        self.full = False
        self.now = 0.0
        self.patch(log_file.time, "monotonic", lambda: self.now)

    def make(self, size: int = 1000, files: int = 5, path: Path | None = None) -> LogFile:
        made = LogFile(path or self.path, size=size, files=files, tell=self.told.append)
        self.addCleanup(made.close)
        return made

    def fill_disk(self) -> None:
        """From now on each write is refused behind three bytes, until ``full`` is False."""
        write, self.full = os.write, True

        def refuse(descriptor: int, data: bytes) -> int:
            if self.full and len(data) > 3:
                return write(descriptor, data[:3])
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data)

        self.patch(log_file.os, "write", refuse)

    def refuse_all(self) -> None:
        def refuse(_descriptor: int, _data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(log_file.os, "write", refuse)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_end(self) -> None:
        """However much is written, five files are kept, hardly larger than they may be: the newest lines."""
        log = self.make(size=100)
        (self.folder / "log.old").write_text("not ours")
        for number in range(200):
            log.write(f"line {number}\n")
        self.assertEqual(self.names(), ["log", "log.1", "log.2", "log.3", "log.4", "log.old"])
        files = [self.folder / name for name in ("log.4", "log.3", "log.2", "log.1", "log")]
        self.assertTrue(all(100 <= path.stat().st_size < 120 for path in files[:-1]))
        lines = "".join(path.read_text() for path in files).splitlines()
        self.assertEqual(lines, [f"line {number}" for number in range(200 - len(lines), 200)])
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_an_empty_one_stays(self) -> None:
        """A signal again and again, on a full disk, does not push the old lines out."""
        log = self.make()
        log.write("old\n")
        log.renew()
        for _number in range(6):
            self.assertIn("is empty", str(log.renew()))
        self.assertEqual(self.names(), ["log", "log.1"])
        self.assertEqual((self.folder / "log.1").read_text(), "old\n")
        log.write("new\n")
        log.renew()
        self.assertEqual((self.folder / "log.1").read_text(), "new\n")

    def test_more_than_there_may_be(self) -> None:
        """What an earlier version left behind without end is removed; the mode of the files stays."""
        for number in range(1, 31):
            (self.folder / f"log.{number}").write_text("old")
        (self.folder / "log.1").chmod(0o640)
        log = self.make()
        log.write("x\n")
        log.renew()
        self.assertEqual(self.names(), ["log", "log.1", "log.2", "log.3", "log.4"])
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)

    def test_renamed_by_others(self) -> None:
        """A file that logrotate has renamed or removed is left alone; the log goes on at its path."""
        log = self.make()
        log.write("one\n")
        self.path.rename(self.folder / "log-20260101")
        log.write("two\n")
        self.assertIn("goes on here", log.renew() or "")
        log.write("three\n")
        self.path.unlink()
        self.path.write_text("made by logrotate\n")
        log.renew()
        log.write("four\n")
        self.assertEqual(self.names(), ["log", "log-20260101"])
        self.assertEqual((self.folder / "log-20260101").read_text(), "one\ntwo\n")
        self.assertEqual(self.path.read_text(), "made by logrotate\nfour\n")

    def test_cut_to_nothing_by_others(self) -> None:
        """After logrotate's ``copytruncate`` the next line is at the beginning."""
        log = self.make()
        log.write("one\n")
        os.truncate(self.path, 0)
        log.write("two\n")
        self.assertEqual(self.path.read_text(), "two\n")

    def test_full_disk(self) -> None:
        """What cannot be written is left out and told once; then the log says how many lines are missing."""
        log = self.make()
        log.write("before\n")
        self.fill_disk()
        for _number in range(5):
            log.write("lost\n")
        self.assertEqual(len(self.told), 1)
        self.assertIn(str(self.path), self.told[0])
        self.assertIn("the disk is full; make room on it", self.told[0])
        self.full = False
        log.write("after\n")
        log.write("more\n")
        lines = self.path.read_text().splitlines()
        self.assertEqual((lines[0], lines[-2:]), ("before", ["after", "more"]))
        self.assertEqual([line for line in lines if "5 entries are missing here" in line], lines[-3:-2])

    def test_full_again_and_again(self) -> None:
        """It is told once a minute at most."""
        log = self.make()
        self.fill_disk()
        for number in range(300):
            self.now, self.full = float(number), number % 2 == 0
            log.write("line\n")
        self.assertEqual(len(self.told), 5)

    def test_read_only_folder(self) -> None:
        """A log that cannot be renamed goes on, and is tried again after as much as before."""
        tries: list[object] = []

        def refuse(*what: object) -> Path:
            tries.append(what)
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(Path, "replace", refuse)
        log = self.make(size=100)
        for _number in range(35):
            log.write("123456789\n")
        self.assertEqual((self.path.stat().st_size, len(tries)), (350, 3))
        self.assertIsNone(log.renew())
        self.assertEqual(self.told, [])

    def test_device(self) -> None:
        """A device is never renamed, however much is written to it."""
        log = self.make(size=10, path=Path(os.devnull))
        for _number in range(10):
            log.write("123456789\n")
        self.assertIn("opened again", log.renew() or "")
        self.assertFalse(os.path.lexists(f"{os.devnull}.1"))

    def test_link(self) -> None:
        """Where the path is a symbolic link, the file that it leads to is renamed."""
        target = self.folder / "target"
        target.write_text("")
        self.path.symlink_to(target)
        log = self.make(size=10)
        for _number in range(3):
            log.write("123456789\n")
        self.assertEqual(self.names(), ["log", "target", "target.1", "target.2"])

    def test_pipe_without_reader(self) -> None:
        """A pipe whose reader has gone raises nothing; it is told once."""
        reading, writing = os.pipe()
        stream = LogStream(writing, "stdout", "ascii", self.told.append)
        stream.write("caf\xe9\n")
        self.assertEqual(os.read(reading, 100), b"caf\\xe9\n")
        os.close(reading)
        for _number in range(3):
            stream.write("line\n")
        os.close(writing)
        self.assertEqual(len(self.told), 1)
        self.assertIn("stdout", self.told[0])

    def test_cannot_be_opened(self) -> None:
        """A folder in its place is an error for who wants to open it."""
        self.path.mkdir()
        with self.assertRaises(IsADirectoryError):
            LogFile(self.path)
