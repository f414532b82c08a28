"""Write a file anew in one step, with a backup of the old one: after a failure the old one is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path

from attrs import frozen

from lgtwist.runtime.platform import (
    O_CLOEXEC,
    O_NOFOLLOW,
    belongs_to_us,
    is_mounted_read_only,
    may_give_to,
    set_mode,
    set_owner,
    sync_folder,
    user_id,
)

#: How many backups are kept.
_BACKUPS = 5


class CannotWrite(Exception):
    """A file cannot be written; nothing was changed.

    :ivar code: why, in lower case and with underscores.
    :ivar path: what cannot be written.
    :ivar detail: what the operating system says; empty where it was not asked.
    """

    def __init__(self, code: str, path: Path, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.path = path
        self.detail = detail

    @property
    def sentence(self) -> str:
        """Why, in a sentence."""
        template = _CANNOT_WRITE.get(self.code, _CANNOT_WRITE["cannot_be_written"])
        uid = "" if user_id() is None else f" (uid {user_id()})"
        return template.format(path=self.path, folder=self.path.parent, detail=self.detail, uid=uid)


_CANNOT_WRITE = {
    "not_a_file": "{path} is no regular file",
    "mounted_alone": "{path} is mounted by itself, as into a container, so that no new file can take its "
    "place; mount its folder",
    "read_only_disk": "{path} is on a file system that is mounted read-only",
    "read_only_file": "{path} may not be written by this user{uid}",
    "read_only_folder": "{folder} may not be written by this user{uid}",
    "another_owner": "{path} belongs to another user, to whom a new file cannot be given",
    "no_space": "there is no space left for {path}",
    "cannot_be_written": "{path} cannot be written: {detail}",
}
_BY_NUMBER = {
    errno.EROFS: "read_only_disk",
    errno.EBUSY: "mounted_alone",
    errno.EXDEV: "mounted_alone",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EACCES: "read_only_folder",
    errno.EPERM: "read_only_folder",
}


class ChangedMeanwhile(Exception):
    """A file is not what it was; nothing was changed."""


@frozen
class Written:
    """What was done.

    :ivar backup: the name of the backup; None where there was no file before.
    """

    backup: str | None


def why_not_writable(path: Path) -> CannotWrite | None:
    """Return why a file cannot be written anew, or made, as far as it can be seen; None if it can.

    :param path: of the file, which may be missing; a symbolic link is followed.
    """
    path = Path(os.path.realpath(path))
    try:
        status = path.stat()
    except FileNotFoundError:
        status = None
    except OSError as error:
        return CannotWrite("cannot_be_written", path, error.strerror or "")
    if status is not None and not stat.S_ISREG(status.st_mode):
        return CannotWrite("not_a_file", path)
    if is_mounted_read_only(path.parent):
        return CannotWrite("read_only_disk", path)
    if _is_mounted_alone(path):
        return CannotWrite("mounted_alone", path)
    if status is not None and not os.access(path, os.W_OK):
        return CannotWrite("read_only_file", path)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return CannotWrite("read_only_folder", path)
    if status is not None and not may_give_to(status.st_uid):
        return CannotWrite("another_owner", path)
    return None


def _is_mounted_alone(path: Path) -> bool:
    """Return whether a file is a mount of its own, as ``docker run -v ./a.toml:/a.toml`` makes it."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    name = (
        str(path).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")
    )
    return any(line.split(" ")[4:5] == [name] for line in lines)


def replace_file(path: Path, new: bytes, old: bytes | None, stamp: str) -> Written:
    """Write a file anew: a backup of the old one, then a new one in its place, with its mode and owner.

    :param path: of the file; where it is a symbolic link, what it leads to is written anew.
    :param old: what it holds now; None where it is to be made.
    :param stamp: the time, for the name of the backup.
    :raises CannotWrite: if it cannot be written; then it is as it was, and nothing else is left.
    :raises FileExistsError: if it is to be made, and is there.
    :raises ChangedMeanwhile: if it does not hold ``old`` when the new one is to take its place.
    """
    path = Path(os.path.realpath(path))
    found = why_not_writable(path)
    if found is not None:
        raise found
    made: list[Path] = []
    try:
        if old is None:
            made.append(path)
            try:
                _write_new(path, new, None)
            except FileExistsError:
                made.clear()
                raise
            sync_folder(path.parent)
            return Written(None)
        status = path.stat()
        backup = _backup_name(path, stamp)
        made.append(backup)
        _write_new(backup, old, status, mode=0o600)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        made.append(temporary)
        _write_new(temporary, new, status, mode=stat.S_IMODE(status.st_mode))
        if not _has_bytes(path, old):  # to write the others to the disk took a while
            raise ChangedMeanwhile
        os.replace(temporary, path)
        made.clear()
    except ChangedMeanwhile:
        _remove(made)
        raise
    except FileExistsError:
        raise
    except OSError as error:
        _remove(made)
        code = _BY_NUMBER.get(error.errno or 0, "cannot_be_written")
        raise CannotWrite(code, path, error.strerror or "") from None
    with contextlib.suppress(OSError):  # it is there; only a power cut now could bring the old one back
        sync_folder(path.parent)
    _forget_old(path)
    return Written(backup.name)


def _has_bytes(path: Path, content: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(content) + 1) == content


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def backups_of(path: Path) -> list[str]:
    """Return the names of the backups of a file, the newest first."""
    path = Path(os.path.realpath(path))
    name = re.compile(rf"{re.escape(path.name)}\.bak-\d{{8}}T\d{{6}}(-\d{{2}})?")
    try:
        return sorted((one for one in os.listdir(path.parent) if name.fullmatch(one)), reverse=True)
    except OSError:
        return []


def _backup_name(path: Path, stamp: str) -> Path:
    name, number = path.with_name(f"{path.name}.bak-{stamp}"), 1
    while os.path.lexists(name):
        number += 1
        name = path.with_name(f"{path.name}.bak-{stamp}-{number:02}")
    return name


def _forget_old(path: Path) -> None:
    for name in backups_of(path)[_BACKUPS:]:
        with contextlib.suppress(OSError):
            path.with_name(name).unlink()


def _write_new(path: Path, content: bytes, like: os.stat_result | None, mode: int = 0o600) -> None:
    """Make a file, to the disk.

    :param like: whose owner it gets; None for our own.
    :raises FileExistsError: if it is there.
    :raises OSError: if it cannot be written; a part of it may be there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_NOFOLLOW | O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    with open(descriptor, "wb") as file:
        if like is not None and not belongs_to_us(like):
            set_owner(descriptor, like)
        set_mode(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
