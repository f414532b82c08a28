"""Why a file cannot be used: the sentence names user and remedy."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime import file_trouble
from lgtwist.runtime.file_trouble import has_container_mark, why_database_fails, why_not_usable, writing_error


class FileTroubleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.file = self.folder / "data" / "file"
        self.patch(file_trouble, "has_container_mark", lambda: self.container)
        self.patch(file_trouble, "user_id", lambda: self.user)
        self.container, self.user = False, 10001
        self.owner = self.folder.stat().st_uid

    def why(self, number: int, path: Path | None = None, within: Path | None = None) -> str:
        return why_not_usable(OSError(number, os.strerror(number)), path or self.file, within)

    def test_other_owner(self) -> None:
        """Who we are, whose it is, and the command that changes it; in a container, where to give it."""
        data = self.file.parent
        data.mkdir()
        data.chmod(0o755)
        said = self.why(errno.EACCES, within=data)
        self.assertEqual(
            said,
            f"Permission denied for uid 10001: {data} belongs to uid {self.owner} (mode 0755); "
            f"chown -R 10001 {data}",
        )
        self.container = True
        said = self.why(errno.EACCES, within=data)
        self.assertIn("what is mounted there must belong to uid 10001 (on the host: chown -R 10001", said)
        self.user = self.owner
        self.assertIn(f"chmod u+rwx {data}", self.why(errno.EACCES, within=data))

    def test_missing_folder_of_ours(self) -> None:
        """A data directory that cannot be made is not to be given to anybody before it is there."""
        data = self.file.parent
        self.assertIn(f"mkdir -p {data} && chown 10001 {data}", self.why(errno.EACCES, data, data))

    def test_no_recursion_elsewhere(self) -> None:
        """Nobody is told to change all that is in a folder that is not ours alone."""
        self.assertNotIn("-R", self.why(errno.EACCES, self.folder / "log"))

    def test_others(self) -> None:
        """A full disk, a read-only one, a missing folder, a folder or a file in the wrong place."""
        self.assertEqual(self.why(errno.ENOSPC), "the disk is full; make room on it")
        self.assertIn("mounted read-only", self.why(errno.EROFS))
        self.assertEqual(
            self.why(errno.ENOENT), f"the folder {self.file.parent} is not there; make it, or mount it"
        )
        self.assertIn("it is a folder, not a file", self.why(errno.EISDIR))
        self.file.parent.write_text("x")
        self.assertEqual(self.why(errno.ENOTDIR), f"{self.file.parent} is a file, not a folder")
        self.assertEqual(self.why(errno.EEXIST, self.file.parent), "it is a file, not a folder")
        self.assertEqual(self.why(errno.EIO), "Input/output error")

    def test_sqlite(self) -> None:
        """What SQLite does not say is looked for; what has nothing to do with files stays as it is."""
        error = sqlite3.OperationalError("unable to open database file")
        self.assertIn("is not there; make it", why_database_fails(error, self.file))
        self.file.parent.mkdir()
        self.file.write_text("")
        wal = self.file.with_name("file-wal")
        wal.mkdir()
        self.assertTrue(why_database_fails(error, self.file).startswith("file-wal: it is a folder"))
        wal.rmdir()
        self.assertEqual(why_database_fails(error, self.file), "unable to open database file")
        self.patch(file_trouble, "free_bytes", lambda _folder: 100)
        said = why_database_fails(sqlite3.OperationalError("disk I/O error"), self.file)
        self.assertEqual(said, "the disk is full; make room on it")
        said = why_database_fails(sqlite3.OperationalError("no such table: x"), self.file)
        self.assertEqual(said, "no such table: x")

    def test_alone(self) -> None:
        """A file may be written in a folder where no other can be made; SQLite's may not."""
        self.file.parent.mkdir()
        self.file.write_text("")
        self.patch(os, "access", lambda path, mode: not (path == self.file.parent and mode & os.W_OK))
        self.assertIsNone(writing_error(self.file, alone=True))
        self.assertEqual(writing_error(self.file), errno.EACCES)

    def test_containers(self) -> None:
        """Docker and Podman are known by the files that they make."""
        self.assertFalse(has_container_mark(self.folder))
        (self.folder / "run").mkdir()
        (self.folder / "run" / ".containerenv").write_text("")
        self.assertTrue(has_container_mark(self.folder))
