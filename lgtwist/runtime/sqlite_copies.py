"""Consistent copies of SQLite files that are in use."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from lgtwist.runtime.private_files import create_private

#: Pages that are copied in one step; between two steps others may use the connection.
_PAGES = 128
#: Seconds between two attempts while another program has locked the file.
_LOCKED_RETRY_SECONDS = 0.05


def copy_database(
    source: sqlite3.Connection, target: Path, between: Callable[[], object] = lambda: None
) -> None:
    """Copy what a connection sees into a new file, for our user alone.

    What is written by the same connection meanwhile is in the copy. Where *another* connection writes, SQLite
    begins again at each of its commits: so the connection must be the one that writes.

    :param between: called after each step, in this thread; it may write by the connection. What it raises
        ends the copy.
    :raises sqlite3.Error: if it cannot be copied.
    :raises OSError: if the new file cannot be made.
    """
    os.close(create_private(target))
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            copy.execute(f"PRAGMA {pragma}").fetchall()
        source.backup(copy, pages=_PAGES, progress=lambda *_step: between(), sleep=_LOCKED_RETRY_SECONDS)
    finally:
        copy.close()


def copy_resting_database(source: Path, target: Path, between: Callable[[], object] = lambda: None) -> None:
    """Copy a file that nobody writes; nothing of it is changed.

    :param between: as of :func:`copy_database`.
    :raises sqlite3.Error: if it cannot be copied.
    :raises OSError: if the new file cannot be made.
    """
    has_log = source.with_name(f"{source.name}-wal").exists()
    uri = f"{source.absolute().as_uri()}?{'mode=ro' if has_log else 'immutable=1'}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        copy_database(connection, target, between)
    finally:
        connection.close()


__all__ = ["copy_database", "copy_resting_database"]
