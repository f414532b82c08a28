"""Why a file or a folder cannot be used: with the user, the path, and what to do about it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from lgtwist.runtime.platform import free_bytes, is_mounted_read_only, user_id

#: A disk with fewer bytes free is full: SQLite, for one, asks for more at once.
FULL_BELOW = 65_536
#: What SQLite says where a file or the disk is the reason.
_DISK_WORDS = ("unable to open", "readonly database", "disk I/O error")
#: Errors that every file in a folder meets.
_OF_FOLDERS = (errno.ENOENT, errno.ENOTDIR, errno.EROFS, errno.ENOSPC)
#: Files that container engines make.
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def has_container_mark(root: Path = Path("/")) -> bool:
    """Return whether this is a container of Docker or Podman, by the files that they make.

    :param root: below which these files are.
    """
    return any((root / mark.relative_to("/")).exists() for mark in _CONTAINER_MARKS)


def why_not_usable(error: Exception, path: Path, within: Path | None = None) -> str:
    """Return why a file or a folder cannot be made, read or written, and what to do; no sentence of its own.

    :param error: an ``OSError``, or one of SQLite, which does not tell what the system said: then the path is
        looked at.
    :param path: what cannot be used.
    :param within: the folder of ours in which it is, all of which must belong to our user; None for none.
    """
    if isinstance(error, OSError):
        number, said = error.errno, error.strerror or str(error)
    else:
        number, said = writing_error(path), str(error)
    if number in (errno.EACCES, errno.EPERM):
        return _not_permitted(path, within, said)
    if number == errno.EROFS:
        return (
            "its disk is mounted read-only; mount it for writing (a container: without :ro; systemd: "
            "StateDirectory= or ReadWritePaths=)"
        )
    if number == errno.ENOSPC:
        return "the disk is full; make room on it"
    if number == errno.EDQUOT:
        return "the disk quota is used up; make room"
    if number == errno.ENOENT:
        missing = _uppermost(lambda one: not os.path.lexists(one), path)
        if missing is not None and missing != path:
            return f"the folder {missing} is not there; make it, or mount it"
    if number == errno.EISDIR:
        return "it is a folder, not a file; remove it (Docker makes a folder where a mounted file is missing)"
    if number in (errno.ENOTDIR, errno.EEXIST):
        file = _uppermost(lambda one: one.exists() and not one.is_dir(), path)
        if file is not None:
            return f"{'it' if file == path else file} is a file, not a folder"
    return said


def why_database_fails(error: Exception, path: Path) -> str:
    """Return why SQLite cannot use a file, and what to do; no sentence of its own.

    SQLite has few words for what the disk does: then the file, and those that it keeps beside, are looked at.

    :param error: of SQLite, or an ``OSError``.
    :param path: of the database, in a folder of ours.
    """
    if isinstance(error, OSError):
        return why_not_usable(error, path, path.parent)
    said = str(error)
    if "disk is full" in said:
        return why_not_usable(OSError(errno.ENOSPC, said), path)
    if any(words in said for words in _DISK_WORDS):
        for ending in ("", "-wal", "-shm", "-journal"):
            one = path.with_name(f"{path.name}{ending}")
            number = writing_error(one)
            if number is not None:
                why = why_not_usable(OSError(number, os.strerror(number)), one, path.parent)
                return why if one == path or number in _OF_FOLDERS else f"{one.name}: {why}"
    return said


def writing_error(path: Path, *, alone: bool = False) -> int | None:
    """Return the number of the error that writing a file would meet, as far as it can be seen; else None.

    :param alone: whether no other files are made beside it, as SQLite makes them.
    """
    folder = path.parent
    try:
        if path.is_dir():
            return errno.EISDIR
        if not folder.is_dir():
            return errno.ENOTDIR if folder.exists() else errno.ENOENT
        there = path.exists()
        if is_mounted_read_only(path if there else folder):
            return errno.EROFS
        if there and not os.access(path, os.W_OK):
            return errno.EACCES
        if not os.access(folder, os.X_OK) or not ((there and alone) or os.access(folder, os.W_OK)):
            return errno.EACCES
        if free_bytes(folder) < FULL_BELOW:
            return errno.ENOSPC
    except OSError as error:
        return error.errno
    return None


def _uppermost(is_it: Callable[[Path], bool], path: Path) -> Path | None:
    """Return the uppermost of a path and its parents for which a function returns True; None for none."""
    for one in (*reversed(path.parents), path):
        try:
            if is_it(one):
                return one
        except OSError:
            continue
    return None


def _not_permitted(path: Path, within: Path | None, said: str) -> str:
    user = user_id()
    if user is None:
        return said
    closed = _uppermost(lambda one: one.is_dir() and not os.access(one, os.X_OK), path)
    if closed is not None and closed != path and closed not in (within, path.parent):
        return f"uid {user} may not enter {closed}; choose another place, or let that user in"
    folder = path.parent
    blocked = path if os.path.lexists(path) else folder
    if blocked == path and os.path.isfile(path) and os.access(path, os.R_OK | os.W_OK):
        blocked = folder  # the file may be written; not so what belongs beside it
    while not os.path.exists(blocked) and blocked != blocked.parent:
        blocked = blocked.parent
    try:
        status = blocked.stat()
    except OSError:
        return f"{said} for uid {user}"
    if status.st_uid == user:
        return f"{said} for uid {user}: chmod u+rw{'x' if stat.S_ISDIR(status.st_mode) else ''} {blocked}"
    if within is None:
        remedy = f"chown {user} {blocked}"
    elif os.path.exists(within):
        remedy = f"chown -R {user} {within}"
    else:
        remedy = f"mkdir -p {within} && chown {user} {within}"
    if has_container_mark():
        remedy = f"what is mounted there must belong to uid {user} (on the host: {remedy}, by its path there)"
    owned = "it" if blocked == path else str(blocked)
    mode = stat.S_IMODE(status.st_mode)
    return f"{said} for uid {user}: {owned} belongs to uid {status.st_uid} (mode {mode:04o}); {remedy}"
