"""Starts lgtwist as on a system without what POSIX has: run in a child process, before anything of ours.

Twisted's modules are imported first: what they do on Windows is theirs. Then the modules cannot be imported
any more, the names are taken from ``os``, ``signal`` and ``socket``, and the rest of Python is told.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
NAMES: dict[ModuleType, tuple[str, ...]] = {
    os: (
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "O_DSYNC"),
        *("ST_RDONLY", "chown", "fchmod", "fchown", "fork", "forkpty", "fstatvfs", "getegid", "geteuid"),
        *("getgid", "getgroups", "getloadavg", "getpgid", "getsid", "getuid", "killpg", "lchown"),
        *("mkfifo", "nice", "posix_fadvise", "posix_fallocate", "pread", "preadv", "pwrite", "pwritev"),
        *("sendfile", "setsid", "setuid", "setgid", "statvfs", "sysconf", "uname", "wait"),
    ),
    signal: ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGPIPE", "SIGUSR1", "SIGUSR2", "alarm", "pause"),
    socket: ("AF_UNIX",),
}


def stand_in_for_msvcrt() -> ModuleType:
    """The part of the module that lgtwist uses."""
    import fcntl

    made: Any = ModuleType("msvcrt")
    made.LK_NBLCK = 2

    def locking(descriptor: int, mode: int, size: int) -> None:
        assert (mode, size, os.lseek(descriptor, 0, os.SEEK_CUR)) == (2, 1, 0)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    made.locking = locking
    return made


class Blocker(importlib.abc.MetaPathFinder):
    """Finds none of :data:`MODULES`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname in MODULES:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def take_posix_away() -> None:
    """Let this process look like one on Windows, as far as modules and names go."""
    from twisted.internet import selectreactor

    selectreactor.install()
    import twisted.web.client
    from twisted.application import app, internet, service, strports
    from twisted.internet import endpoints, ssl, threads
    from twisted.mail import smtp  # imports the reactor
    from twisted.web import http, server

    assert all((twisted, app, internet, service, strports, endpoints, ssl, threads, http, server, smtp))
    assert "twisted.internet.reactor" in sys.modules

    usage = shutil.disk_usage("/")  # it would use os.statvfs
    shutil.disk_usage = lambda _path: usage
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    os.supports_dir_fd = set()
    sys.modules["msvcrt"] = stand_in_for_msvcrt()
    for module, names in NAMES.items():
        for name in names:
            vars(module).pop(name, None)
    sys.meta_path.insert(0, Blocker())
    for name in MODULES:
        sys.modules.pop(name, None)


if __name__ == "__main__":
    assert not [name for name in sys.modules if name.startswith("lgtwist")]
    take_posix_away()
    from lgtwist.command import main

    main()
