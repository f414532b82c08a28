"""What a file was when it was looked at, to see later whether it has changed."""

from __future__ import annotations

from pathlib import Path

#: Changes of any of it are a change of the file. None: it is not there, or cannot be looked at.
Stamp = tuple[int, int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """Return what a file is now, without reading it; a symbolic link is followed."""
    try:
        status = path.stat()
    except OSError:
        return None
    # The time of the last change of the inode: of a copy that keeps the time of its original, of a chmod.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
