"""Files and folders that nobody but our user may open, whatever the umask is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lgtwist.runtime.platform import O_CLOEXEC, O_NOFOLLOW, set_mode

#: The permission bits of the group and of others.
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def create_private(path: Path | str) -> int:
    """Make a file with mode 0600.

    :returns: the descriptor of the file, open for writing.
    :raises FileExistsError: if there is one.
    :raises OSError: if it cannot be made.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    set_mode(file, 0o600)  # a umask may also take bits of the owner
    return file


def make_private_folder(path: Path) -> None:
    """Make a folder with mode 0700, and those of its parents that are missing; do nothing if it is there.

    :raises OSError: if one cannot be made, or is no folder.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)  # raises where it is no folder


def close_to_others(path: Path) -> None:
    """Take the permissions of the group and of others from a file of ours; do nothing if there is none."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & OTHERS:
            path.chmod(mode & ~OTHERS)
    except OSError:  # it is not there, or another user's
        return
