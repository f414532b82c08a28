"""The SQLite file that message ids are in, with a row for each block of :mod:`lgtwist.milky.blocks`.

A copy that :meth:`BlockFile.copy_to` made may be older than ids that bots have, and so may a file that was
put there by others than us, or was not written for an hour: :class:`OpenedBlocks` says so.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from lgtwist.hub.edges import CannotPrepare
from lgtwist.journal.sqlite import mark_as_backup
from lgtwist.milky.blocks import BlockRow
from lgtwist.runtime.file_trouble import why_database_fails
from lgtwist.runtime.platform import sync_folder
from lgtwist.runtime.private_files import close_to_others, create_private
from lgtwist.runtime.sqlite_copies import copy_database

#: SQLite's ``user_version`` of the files that this version reads and writes, and their ``application_id``.
_BLOCKS_VERSION = 1
_BLOCKS_APPLICATION = 0x6C676D69  # "lgmi"
_BLOCKS_SCHEMA = f"""
PRAGMA application_id = {_BLOCKS_APPLICATION};
PRAGMA user_version = {_BLOCKS_VERSION};
CREATE TABLE block (
    number INTEGER PRIMARY KEY,
    scene INTEGER NOT NULL,      -- 0 friend, 1 group, 2 temp, 3 without sequence numbers
    peer INTEGER NOT NULL,
    part INTEGER NOT NULL,       -- sequence numbers divided by 1024
    seen INTEGER NOT NULL,       -- when a message was delivered last: milliseconds since the epoch
    delivered BLOB NOT NULL      -- bit n: message part * 1024 + n was delivered; no zero bytes at the end
);
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    account INTEGER NOT NULL,    -- self_id
    number INTEGER NOT NULL,     -- where the next run takes numbers from; 0: from a random place
    writes INTEGER NOT NULL,     -- how often the file was written
    written INTEGER NOT NULL     -- when: milliseconds since the epoch
);
"""
#: Seconds that another program may lock the file before the start is refused, and while it is written.
_START_PATIENCE, _WRITE_LOCKED_PATIENCE = 5.0, 1.0
#: Milliseconds without a write after which a file may be an old copy, and between our last write and the time
#: at which the file system says that it was changed.
_TRUSTED_AGE, _TRUSTED_CHANGE = 3_600_000, 1_000


class BlockFileError(CannotPrepare):
    """The file cannot be used; the argument is a sentence that names it."""


class BlockFileDamaged(BlockFileError):
    """The file is not as it was written."""


@frozen
class OpenedBlocks:
    """What is known of a file when it was opened.

    :ivar number: where the next run takes numbers from; 0 for a random place.
    :ivar may_be_old: whether a later run than that which wrote it may have given out ids.
    :ivar is_new: whether it was made just now.
    :ivar rows: its rows, where they may be others than those that were read or written before; else None.
    """

    number: int
    may_be_old: bool
    is_new: bool
    rows: list[BlockRow] | None = None


class BlockFile:
    """The SQLite file of one account. All of it may block.

    :param path: the file; it is made where it is missing.
    :param self_id: the account.
    """

    def __init__(self, path: Path, self_id: int) -> None:
        self.path = path
        self._self_id = self_id
        self._connection: sqlite3.Connection | None = None
        self._writes = -1  # how often it was written when it was as we know it
        self._was_open = False

    def read(self, load: Callable[[Iterable[BlockRow]], int]) -> int:
        """Read all rows, without changing anything; make the file if it is missing.

        :param load: takes the rows, and returns how many of them it left out.
        :returns: what ``load`` returned.
        :raises BlockFileDamaged: if the file is damaged; some rows may have been read.
        :raises BlockFileError: if it cannot be used.
        """
        self._make_if_missing()
        uri = f"{self.path.absolute().as_uri()}?mode="
        try:
            try:
                return self._read(f"{uri}ro", "NORMAL", load)
            except sqlite3.OperationalError as error:
                if not any(words in str(error) for words in ("disk I/O error", "unable to open")):
                    raise
            # On a full disk there is no room for -shm, which SQLite can do without if it is alone.
            return self._read(f"{uri}rw", "EXCLUSIVE", load)
        except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            raise self._failure(error) from None

    def _read(self, uri: str, locking_mode: str, load: Callable[[Iterable[BlockRow]], int]) -> int:
        connection = sqlite3.connect(uri, timeout=_START_PATIENCE, uri=True, isolation_level=None)
        try:
            connection.execute(f"PRAGMA locking_mode={locking_mode}").fetchall()
            connection.execute("BEGIN")  # the rows are of the same moment as the counter
            self._check(connection)
            self._writes = connection.execute("SELECT writes FROM state").fetchone()[0]
            return load(_rows(connection))
        finally:
            connection.close()

    def open(self, now: int) -> OpenedBlocks:
        """Open the file for writing; make it if it is missing.

        :param now: milliseconds since the epoch.
        :raises BlockFileError: if that cannot be done.
        """
        is_new = self._make_if_missing()
        changed = _changed_at(self.path)
        try:
            connection = sqlite3.connect(
                self.path, timeout=_WRITE_LOCKED_PATIENCE, isolation_level=None, check_same_thread=False
            )
            try:
                self._check(connection)
                for pragma in ("journal_mode=WAL", "wal_autocheckpoint=1000"):
                    connection.execute(f"PRAGMA {pragma}").fetchall()
                number, writes, written = connection.execute(
                    "SELECT number, writes, written FROM state"
                ).fetchone()
                backup = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'backup'").fetchone()
                is_known = writes == self._writes
                rows = None if is_known else list(_rows(connection))
                may_be_old = not (is_known and self._was_open) and (
                    backup is not None
                    or not 0 <= now - written <= _TRUSTED_AGE
                    or changed > written + _TRUSTED_CHANGE
                )
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            raise self._failure(error) from None
        self._connection, self._writes, self._was_open = connection, writes, True
        return OpenedBlocks(number, may_be_old, is_new, rows)

    @property
    def is_open(self) -> bool:
        """Whether it is open for writing."""
        return self._connection is not None

    def write(
        self,
        rows: Iterable[BlockRow],
        number: int,
        now: int,
        *,
        durable: bool,
        removed: Iterable[int] = (),
    ) -> None:
        """Write rows in one transaction, in place of those of the same numbers.

        :param removed: numbers whose rows are deleted before.
        :param number: where the next run takes numbers from.
        :param now: milliseconds since the epoch.
        :param durable: whether a power failure may not undo it.
        :raises BlockFileError: if that cannot be done; then nothing is written.
        """
        connection = self._connection
        if connection is None:
            raise BlockFileError(f"{self.path} is not open")
        try:
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("DROP TABLE IF EXISTS backup")
                connection.executemany("DELETE FROM block WHERE number = ?", ((one,) for one in removed))
                connection.executemany("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?, ?)", rows)
                connection.execute(
                    "UPDATE state SET number = ?, writes = writes + 1, written = ?", (number, now)
                )
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            if not _may_pass(error):  # perhaps it can be opened again
                self.close()
            raise self._failure(error) from None
        self._writes += 1

    def copy_to(self, target: Path, now: int, between: Callable[[], object]) -> None:
        """Copy everything into a new file, which is marked as a backup.

        :param now: milliseconds since the epoch.
        :param between: called between two steps; what it raises ends the copy.
        :raises BlockFileError: if that cannot be done.
        """
        if self._connection is None:
            raise BlockFileError(f"{self.path} is not open")
        try:
            copy_database(self._connection, target, between)
            mark_as_backup(target, now)
        except (sqlite3.Error, OSError) as error:
            raise BlockFileError(f"{self.path} cannot be copied: {error}") from None

    def close(self) -> None:
        """Close it, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _make_if_missing(self) -> bool:
        """Make a file without rows, if there is none; it appears at once or not at all.

        :returns: whether it was made.
        :raises BlockFileError: if that cannot be done.
        """
        try:
            if self.path.exists():
                for ending in ("", "-wal", "-shm"):
                    close_to_others(self.path.with_name(f"{self.path.name}{ending}"))
                return False
            new = self.path.with_name(f"{self.path.name}.new")
            new.unlink(missing_ok=True)
            os.close(create_private(new))  # before SQLite makes it for everybody
            for ending in ("-wal", "-shm"):  # of a file that is gone: SQLite would take it for this one's
                self.path.with_name(f"{self.path.name}{ending}").unlink(missing_ok=True)
            connection = sqlite3.connect(new, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(f"BEGIN;{_BLOCKS_SCHEMA}COMMIT;")
                connection.execute("INSERT INTO state VALUES (1, ?, 0, 0, 0)", (self._self_id,))
            finally:
                connection.close()
            new.rename(self.path)
            sync_folder(self.path.parent)
        except (OSError, sqlite3.Error) as error:
            raise BlockFileError(
                f"{self.path} cannot be made: {why_database_fails(error, self.path)}"
            ) from None
        self._writes = 0
        return True

    def _check(self, connection: sqlite3.Connection) -> None:
        """Look whether the file is one of this version and account.

        :raises BlockFileError: if it is not.
        :raises sqlite3.Error: if it cannot be read.
        """
        application, version, tables = (
            connection.execute(query).fetchone()[0]
            for query in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        if not application and not tables:
            raise BlockFileDamaged(f"{self.path} is damaged: it is empty")
        if application != _BLOCKS_APPLICATION:
            raise BlockFileError(f"{self.path} is not lgtwist's, but another program's database")
        if version > _BLOCKS_VERSION:
            raise BlockFileError(
                f"{self.path} was written by a newer lgtwist (schema {version}; this one knows "
                f"{_BLOCKS_VERSION})"
            )
        account = connection.execute("SELECT account FROM state").fetchone()[0]
        if account != self._self_id:
            raise BlockFileError(f"{self.path} is not of account {self._self_id}, but of {account}")

    def _failure(self, error: Exception) -> BlockFileError:
        """Return what to raise for what SQLite says."""
        said = str(error)
        if "is locked" in said:
            return BlockFileError(f"{self.path} is locked by another program")
        # An OperationalError is of the disk or of other programs, but for tables that are missing.
        if isinstance(error, sqlite3.OperationalError) and not said.startswith("no such"):
            return BlockFileError(f"{self.path} cannot be used: {why_database_fails(error, self.path)}")
        return BlockFileDamaged(f"{self.path} is damaged: {said}")


def _rows(connection: sqlite3.Connection) -> Iterable[BlockRow]:
    return map(BlockRow._make, connection.execute("SELECT * FROM block"))


def _changed_at(path: Path) -> int:
    """Return when a file, or its write-ahead log, was changed last: milliseconds since the epoch.

    Unlike the time of its contents, it cannot be set by programs that unpack or copy files.
    """
    found = 0.0
    for ending in ("", "-wal"):
        with suppress(OSError):
            found = max(found, path.with_name(f"{path.name}{ending}").stat().st_ctime)
    return int(found * 1000)


def _may_pass(error: sqlite3.Error) -> bool:
    """Return whether the same connection may be able to write later."""
    return "is locked" in str(error) or "disk is full" in str(error)
