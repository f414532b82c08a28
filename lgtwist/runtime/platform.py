"""What POSIX systems and Windows do in different ways. No other module uses what one of them lacks.

A test holds that no other module imports ``fcntl``, ``resource`` and the like, or names what ``os``,
``signal`` and ``socket`` have on POSIX systems only. Windows is best effort: no machine of ours runs it.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
resource: ModuleType | None
msvcrt: ModuleType | None
try:
    import fcntl
except ImportError:
    fcntl = None
try:
    import resource
except ImportError:
    resource = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

#: Flags of ``os.open``; 0 where the system has none. Python's files are not inherited anyway (PEP 446).
O_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
O_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
O_NOCTTY: int = getattr(os, "O_NOCTTY", 0)
O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
O_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)

#: Signals that ask for a reload and for a new log file; None where there is none.
SIGHUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
SIGUSR1: signal.Signals | None = getattr(signal, "SIGUSR1", None)

#: Whether a file that is open may get another name.
RENAMES_OPEN_FILES: bool = os.name != "nt"
#: Bytes that are written at once where a file cannot be given its room without writing.
_ZEROS = 1 << 20


# -- users


def outlive_new_log_signal() -> None:
    """Ignore SIGUSR1, which asks for a new log, until a handler is set: by default it ends the process."""
    if SIGUSR1 is not None and signal.getsignal(SIGUSR1) is signal.SIG_DFL:
        signal.signal(SIGUSR1, signal.SIG_IGN)


def user_id() -> int | None:
    """Return the number of the user whose rights this process has; None where users have no numbers."""
    found = getattr(os, "geteuid", None)
    return None if found is None else int(found())


def may_give_to(owner: int) -> bool:
    """Return whether this process may make a file that belongs to a user.

    :param owner: the number of the user; 0 where users have no numbers.
    """
    return user_id() in (None, 0, owner)


def belongs_to_us(status: os.stat_result) -> bool:
    """Return whether new files of this process have the owner and the group of a file."""
    group = getattr(os, "getegid", None)
    return group is None or (status.st_uid, status.st_gid) == (user_id(), group())


# -- files


def lock_file(descriptor: int, *, shared: bool = False) -> None:
    """Lock an open file until it is closed, or the process ends.

    :param shared: whether others may lock it at the same time, if they share it too. Windows cannot do that.
    :raises OSError: if another process has locked it.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    elif msvcrt is not None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # of a byte that need not be there


def set_mode(descriptor: int, mode: int) -> None:
    """Set the permission bits of an open file; do nothing where there are none."""
    change = getattr(os, "fchmod", None)
    if change is not None:
        change(descriptor, mode)


def set_owner(descriptor: int, like: os.stat_result) -> None:
    """Give an open file the owner and the group of another one; do nothing where files have none.

    :raises OSError: if this user may not.
    """
    change = getattr(os, "fchown", None)
    if change is not None:
        change(descriptor, like.st_uid, like.st_gid)


def reserve(descriptor: int, size: int) -> None:
    """Give a file room on its disk: it is at least so many bytes long afterwards.

    :param descriptor: open for writing; the file is empty.
    :raises OSError: if there is not so much room.
    """
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        allocate(descriptor, 0, size)
        return
    while size > 0:
        size -= os.write(descriptor, bytes(min(size, _ZEROS)))


def free_bytes(folder: Path) -> int:
    """Return how many bytes are free for our user on the disk of a folder.

    :raises OSError: if it cannot be known.
    """
    ask = getattr(os, "statvfs", None)
    if ask is None:
        return shutil.disk_usage(folder).free
    found = ask(folder)
    return int(found.f_bavail * found.f_frsize)


def is_mounted_read_only(folder: Path) -> bool:
    """Return whether the disk of a folder is mounted read-only, as far as this can be seen."""
    ask = getattr(os, "statvfs", None)
    if ask is None:
        return False
    try:
        return bool(ask(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; do nothing where folders cannot be opened.

    :raises OSError: if that cannot be done.
    """
    if not O_DIRECTORY:
        return
    descriptor = os.open(folder, os.O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks do not know how
            raise
    finally:
        os.close(descriptor)


def open_below(folder: Path, parts: tuple[str, ...]) -> int:
    """Open a file below a folder for reading, without following a symbolic link on the way.

    :param parts: of the path, relative to the folder.
    :returns: the descriptor.
    :raises OSError: if it cannot be opened, or a part is a symbolic link.
    """
    if not O_DIRECTORY or not O_NOFOLLOW or os.open not in os.supports_dir_fd:
        return _open_looked_at(folder, parts)
    flags = os.O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
    at = os.open(folder, os.O_RDONLY | O_CLOEXEC | O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, flags | O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(parts[-1], flags, dir_fd=at)
    finally:
        os.close(at)


def _open_looked_at(folder: Path, parts: tuple[str, ...]) -> int:
    """Do the same by paths: whoever may make links there could make one meanwhile."""
    path = folder
    for part in parts:
        path /= part
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))


# -- processes and sockets


def raise_open_files_limit() -> float:
    """Raise the limit of open files, and so of connections, as far as the system lets this process.

    :returns: how many files it may open then.
    """
    if resource is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            with suppress(OSError, ValueError):  # macOS says "unlimited", and does not mean it
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return open_files_limit()


def open_files_limit() -> float:
    """Return how many files it may open; infinity where that is not known."""
    if resource is None:
        return math.inf
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else float(soft)


def resident_memory() -> int | None:
    """Return the bytes of this process that are in memory; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def process_exists(number: int) -> bool:
    """Return whether there is a process with a number; True where that cannot be known."""
    if os.name != "posix":  # to Windows, signal 0 is Ctrl-C
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def unix_socket() -> socket.socket:
    """Return a new UNIX socket.

    :raises OSError: if the system has none.
    """
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this system has no Unix sockets")
    return socket.socket(family)
