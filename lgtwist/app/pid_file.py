"""twistd's pid files, which may outlive their processes. The truth is the lock on ``data_dir``."""

from __future__ import annotations

import os
from pathlib import Path

from lgtwist.runtime.platform import process_exists


def is_stale(path: Path) -> bool:
    """Return whether a pid file names no running twistd, as far as this machine can say.

    A number that no process has, our own (as in a container, where each first process is 1), and one that
    another kind of program has by now name none.

    :param path: a file that is there.
    """
    try:
        number = int(path.read_bytes())
    except OSError:
        return False
    except ValueError:  # cut off by a crash, or not written by twistd
        return path.stat().st_size == 0
    if number == os.getpid():
        return True
    try:
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return not process_exists(number)
    # Without folders: any program may lie in one that is called lgtwist.
    words = [argument.rpartition(b"/")[2] for argument in command.split(b"\0")]
    return not any(b"twistd" in word or b"lgtwist" in word for word in words)
