"""The file of a world: SQLite, with one table that has one row per record."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from lgtwist.hub.edges import CannotPrepare
from lgtwist.runtime.file_trouble import why_database_fails
from lgtwist.runtime.private_files import close_to_others, create_private
from lgtwist.runtime.sqlite_copies import copy_database
from lgtwist.sandbox.world.model import RECORD_TYPES, Message, Record

#: SQLite's ``user_version`` of the files that this version reads and writes.
_SCHEMA_VERSION = 1


class StoreError(CannotPrepare):
    """The file cannot be used; the argument is a sentence that names it."""


class WorldStore:
    """The SQLite file of one world.

    It is opened with ``synchronous=NORMAL``: commits survive the end of the process, but a power cut may
    undo the last ones. Nobody but our user may open it; ``-wal`` and ``-shm`` get its mode from SQLite.

    :param path: the file, created where it is missing; ``":memory:"`` for none.
    :param patience: seconds to wait for another program that has locked it.
    :raises StoreError: if it cannot be opened, is another program's, or of another version of lgtwist.
    """

    def __init__(self, path: Path | str, patience: float = 5.0) -> None:
        self._file = sqlite3.connect(":memory:")
        try:
            if path != ":memory:":
                _make_private(Path(path))
                self._file.close()
                self._file = sqlite3.connect(path, timeout=patience, isolation_level=None)
            self._file.execute("BEGIN")  # both as of one moment: another process may be making the file
            version = self._file.execute("PRAGMA user_version").fetchone()[0]
            tables = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            self._file.execute("COMMIT")
            if version not in (0, _SCHEMA_VERSION) or (version == 0 and tables):
                raise StoreError(f"{path} is not a sandbox of this version of lgtwist")
            self._file.execute("PRAGMA synchronous=NORMAL")
            if version == 0:  # not at each start: it writes, which it cannot while another program does
                self._file.execute("PRAGMA journal_mode=WAL")
                self._file.execute("BEGIN IMMEDIATE")  # a table without a version would be refused for ever
                self._file.execute(
                    "CREATE TABLE IF NOT EXISTS record "
                    "(kind TEXT, key TEXT, body BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
                )
                self._file.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
                self._file.execute("COMMIT")
        except OSError as error:
            self._file.close()
            raise StoreError(f"{path} cannot be used: {why_database_fails(error, Path(path))}") from None
        except sqlite3.Error as error:
            self._file.close()
            why = str(error) if is_locked(error) else why_database_fails(error, Path(path))
            raise StoreError(f"{path} cannot be used: {why}") from None
        except StoreError:
            self._file.close()
            raise
        self._path = path

    def records(self) -> Iterator[Record]:
        """Yield all records but those that are nested too deeply; messages come last, in their order.

        :raises StoreError: if a record cannot be read.
        """
        messages: list[Message] = []
        try:
            for kind, body in self._file.execute("SELECT kind, body FROM record"):
                try:
                    record = msgspec.json.decode(body, type=RECORD_TYPES[kind])
                except RecursionError:  # of an earlier version, which kept what nobody could read again
                    continue
                if isinstance(record, Message):
                    messages.append(record)
                else:
                    yield record
        except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self._path} is damaged: {error}") from None
        yield from sorted(messages, key=lambda message: message.message_id)

    def write(self, changes: Mapping[tuple[str, str], Record | bytes | None]) -> None:
        """Write changes in one transaction.

        :param changes: records by type and key, encoded or not; None deletes a record.
        :raises sqlite3.Error: if they cannot be written; the file is unchanged then.
        """
        removed = [key for key, record in changes.items() if record is None]
        changed = [
            (*key, record if isinstance(record, bytes) else msgspec.json.encode(record))
            for key, record in changes.items()
            if record is not None
        ]
        self._file.execute("BEGIN IMMEDIATE")
        try:
            self._file.executemany("DELETE FROM record WHERE kind=? AND key=?", removed)
            self._file.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", changed)
            self._file.execute("COMMIT")
        except sqlite3.Error:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            raise

    def copy_to(self, target: Path) -> None:
        """Copy everything into a new file.

        :raises StoreError: if it cannot be copied.
        """
        try:
            copy_database(self._file, target)
        except (sqlite3.Error, OSError) as error:
            why = why_database_fails(error, target)
            raise StoreError(f"{self._path} cannot be copied: {why}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _make_private(path: Path) -> None:
    """Make a file that only our user may open, or take the permissions of others from the one that is there.

    :raises OSError: if it cannot be made.
    """
    try:
        os.close(create_private(path))
    except FileExistsError:
        for ending in ("", "-wal", "-shm"):
            close_to_others(path.with_name(path.name + ending))


def is_locked(error: Exception) -> bool:
    """Return whether an error of :class:`WorldStore` says that another program has locked the file."""
    return isinstance(error, (sqlite3.Error, StoreError)) and str(error).endswith("is locked")
