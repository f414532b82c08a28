"""The ways of systems that are not POSIX ones, tried on one that is."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime import platform


class PlatformTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def without(self, module: Any, *names: str) -> None:
        for name in names:
            value = getattr(module, name)
            self.addCleanup(setattr, module, name, value)
            delattr(module, name)

    def opened(self, name: str) -> int:
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def test_room(self) -> None:
        """A file gets its room, by writing where there is no other way."""
        for name in ("a", "b"):
            platform.reserve(self.opened(name), 3_000_001)
            self.assertEqual((self.folder / name).stat().st_size, 3_000_001)
            if name == "a":
                self.without(os, "posix_fallocate")

    def test_free_bytes(self) -> None:
        """What is free is told, by the standard library where it must be."""
        self.assertGreater(platform.free_bytes(self.folder), 0)
        self.patch(shutil, "disk_usage", lambda _path: SimpleNamespace(free=7))
        self.without(os, "statvfs")
        self.assertEqual(platform.free_bytes(self.folder), 7)
        self.assertFalse(platform.is_mounted_read_only(self.folder))

    def test_locks(self) -> None:
        """A second one cannot lock; those that share can; Windows' way asks for one byte at the beginning."""
        first, second = self.opened("lock"), self.opened("lock")
        platform.lock_file(first, shared=True)
        platform.lock_file(second, shared=True)
        with self.assertRaises(OSError):
            platform.lock_file(second)
        asked = []
        windows = SimpleNamespace(LK_NBLCK=2, locking=lambda *what: asked.append(what))
        self.patch(platform, "fcntl", None)
        self.patch(platform, "msvcrt", windows)
        os.write(first, b"more")
        platform.lock_file(first)
        self.assertEqual((asked, os.lseek(first, 0, os.SEEK_CUR)), ([(first, 2, 1)], 0))

    def test_below(self) -> None:
        """A file below a folder is opened, and no link is followed, either way."""
        (self.folder / "in").mkdir()
        (self.folder / "in" / "file").write_text("x")
        (self.folder / "link").symlink_to(self.folder / "in")
        (self.folder / "in" / "file_link").symlink_to(self.folder / "in" / "file")
        for way in range(2):
            descriptor = platform.open_below(self.folder, ("in", "file"))
            self.assertEqual(os.read(descriptor, 10), b"x")
            os.close(descriptor)
            for parts in (("link", "file"), ("in", "file_link"), ("in", "none")):
                with self.assertRaises(OSError):
                    platform.open_below(self.folder, parts)
            if way == 0:
                self.patch(os, "supports_dir_fd", set())

    def test_users(self) -> None:
        """Where users have no numbers, files belong to everybody."""
        status = self.folder.stat()
        self.assertEqual(platform.user_id(), os.geteuid())
        self.assertTrue(platform.belongs_to_us(status))
        self.without(os, "geteuid", "getegid", "fchmod", "fchown")
        self.assertIsNone(platform.user_id())
        self.assertTrue(platform.belongs_to_us(status) and platform.may_give_to(12345))
        platform.set_mode(self.opened("x"), 0o600)
        platform.set_owner(self.opened("x"), status)

    def test_folders(self) -> None:
        """A disk that cannot sync folders is no failure, another error is; Windows is not asked."""
        numbers = [errno.EINVAL, errno.EIO]

        def sync(_descriptor: int) -> None:
            raise OSError(numbers.pop(0), "x")

        self.patch(os, "fsync", sync)
        platform.sync_folder(self.folder)
        with self.assertRaises(OSError):
            platform.sync_folder(self.folder)
        self.patch(platform, "O_DIRECTORY", 0)
        platform.sync_folder(self.folder)

    def test_limits_and_sockets(self) -> None:
        """Without limits there are none; without Unix sockets an error says so."""
        self.assertGreater(platform.open_files_limit(), 0)
        self.patch(platform, "resource", None)
        self.assertEqual(platform.raise_open_files_limit(), float("inf"))
        platform.unix_socket().close()
        self.without(socket, "AF_UNIX")
        with self.assertRaises(OSError):
            platform.unix_socket()

    def test_the_signal_for_a_new_log(self) -> None:
        """It ends nothing before somebody handles it; a handler that is there stays."""
        before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        platform.outlive_new_log_signal()
        self.assertIs(signal.getsignal(signal.SIGUSR1), signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, print)
        platform.outlive_new_log_signal()
        self.assertIs(signal.getsignal(signal.SIGUSR1), print)
        self.patch(platform, "SIGUSR1", None)
        platform.outlive_new_log_signal()

    def test_processes(self) -> None:
        """On Windows no signal is sent to find out whether a process is there: 0 is Ctrl-C."""
        self.assertTrue(platform.process_exists(os.getpid()))
        self.assertFalse(platform.process_exists(2**22 + 1))
        self.patch(platform.os, "name", "nt")
        self.patch(os, "kill", lambda *_what: self.fail("a signal was sent"))
        self.assertTrue(platform.process_exists(2**22 + 1))
