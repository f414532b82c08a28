"""The journal's store on disk: SQLite with a write-ahead log, one row for each group commit.

A row for each event would release Python's lock, and wait for it again, at each of them, which is
slowest when the reactor is busiest. One connection writes and checkpoints, in one thread; another only
reads, in another thread. (SQLite before 3.51.3 can damage a file that two connections write or checkpoint
at once, and Debian's is older.) That no second process does is seen to by the lock on ``data_dir``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from zope.interface import implementer

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.refused_event import POST_TYPE_WITHIN, RefusedEvent
from lgtwist.journal.chunk import Chunk, Damaged, pack, read_runs, unpack
from lgtwist.journal.store import (
    MAX_REFUSED,
    TIMES_ALONE,
    Contents,
    IStore,
    JournalBusy,
    JournalDamaged,
    JournalError,
    Pair,
    RunAges,
    Trimmed,
)
from lgtwist.runtime.file_trouble import why_database_fails, why_not_usable
from lgtwist.runtime.platform import O_CLOEXEC, reserve
from lgtwist.runtime.private_files import create_private
from lgtwist.runtime.sqlite_copies import copy_database

_Result = TypeVar("_Result")

#: The version of the tables that this code reads and writes.
VERSION = 1
_APPLICATION = 0x6C677477  # "lgtw"
_SQLITE_HEAD = b"SQLite format 3\0"
#: Kept free on the disk, so that old events can be forgotten when it is full: SQLite writes to do that.
_BALLAST = 8 << 20
#: One step of retention forgets so many chunks, or chunks of so many bytes.
_STEP_CHUNKS = 64
#: Chunks that were read are remembered up to this size (bytes).
_DECODED = 8 << 20
#: Of the file, in bytes: a chunk is written in half as many pieces as with SQLite's usual 4096.
_PAGE = 8192
_STEP_BYTES = 16 << 20
#: Seconds that SQLite waits where another program has locked the file; then the journal tries it again. A
#: thread that waits cannot be stopped.
_LOCK_PATIENCE = 1.0

#: The table that only a backup has, until it is opened for the first time.
_BACKUP_TABLE = "backup"

_CHUNK_COLUMNS = "first, last, newest, runs, times, lengths, payload, checksum"
_REFUSED_COLUMNS = "id, bot, account, position, time, skipped, reason, size"


def _is_locked(error: Exception) -> bool:
    """Return whether another program has locked the file (SQLITE_BUSY)."""
    # Python 3.10 has no sqlite_errorcode.
    return isinstance(error, sqlite3.OperationalError) and "is locked" in str(error)


def _failure(error: Exception, path: Path) -> JournalError:
    """Return what to raise for what SQLite says about a file."""
    if _is_locked(error):
        return JournalBusy(f"{path} is locked by another program")
    return JournalError(f"{path}: {why_database_fails(error, path)}")


def open_for_reading(path: Path, options: str = "mode=ro") -> sqlite3.Connection:
    """Return a connection that cannot write.

    :param options: of a SQLite URI.
    :raises JournalError: if there is nothing that can be read.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{options}",
            timeout=_LOCK_PATIENCE,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only=ON")
        connection.execute("SELECT saved_to FROM state").fetchone()
    except sqlite3.Error as error:
        raise _failure(error, path) from None
    return connection


def check(path: Path) -> None:
    """Look whether a file that is there is a journal of this version, without changing it.

    :raises JournalError: if it is not.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        why = why_not_usable(error, path, path.parent)
        raise JournalError(f"{path} cannot be read: {why}") from None
    if not head.startswith(_SQLITE_HEAD) or len(head) < 100:
        raise JournalDamaged(f"{path} is damaged, or no journal: it does not begin as a SQLite file does")
    page_size = int.from_bytes(head[16:18], "big")
    page_size = 65_536 if page_size == 1 else page_size
    application = int.from_bytes(head[68:72], "big")
    if application != _APPLICATION:
        raise JournalError(f"{path} is no journal of lgtwist, but another program's database")
    version = int.from_bytes(head[60:64], "big")
    if version > VERSION:
        raise JournalError(
            f"{path} was written by a newer lgtwist (schema {version}; this one knows {VERSION})"
        )
    wal = path.with_name(f"{path.name}-wal")
    if int.from_bytes(head[28:32], "big") * page_size > size and not (wal.exists() and wal.stat().st_size):
        raise JournalDamaged(f"{path} is damaged: it is shorter than it says")


def mark_as_backup(path: Path, now: int) -> None:
    """Let a copy of a journal say that it is a backup.

    :param now: milliseconds since the epoch.
    :raises sqlite3.Error: if it cannot be written.
    """
    copy = sqlite3.connect(path, isolation_level=None)
    try:
        copy.execute(f"CREATE TABLE IF NOT EXISTS {_BACKUP_TABLE} (made INTEGER NOT NULL)")
        copy.execute(f"INSERT INTO {_BACKUP_TABLE} VALUES (?)", (now,))  # noqa: S608
    finally:
        copy.close()


def set_aside(path: Path, suffix: str) -> Path:
    """Rename a file, and what belongs to it, so that a new one can be made.

    :returns: where it is now.
    :raises JournalError: if it cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.damaged-{suffix}")
    try:
        for ending in ("-wal", "-shm", ""):
            one = path.with_name(f"{path.name}{ending}")
            if one.exists():
                one.rename(aside.with_name(f"{aside.name}{ending}"))
    except OSError as error:
        why = why_not_usable(error, path, path.parent)
        raise JournalError(f"{path} cannot be set aside: {why}") from None
    return aside


@implementer(IStore)
class SqliteStore:
    """A journal in a file.

    :param path: the file; its neighbours ``-wal``, ``-shm`` and ``.ballast`` are ours too.
    :param full: whether a commit waits for the disk (``synchronous=FULL``); without it a power cut may
        lose the last second or so.
    """

    def __init__(self, path: Path, full: bool = True) -> None:
        self._path = path
        self._ballast = path.with_name(f"{path.name}.ballast")
        self._full = full
        self._pairs: frozenset[Pair] = frozenset()
        self._oldest_readable: Position = 0  # what is before lies in a damaged part of the table
        self._writing: sqlite3.Connection | None = None
        self._is_backing_up = False
        self._reading: sqlite3.Connection | None = None
        self._decoded: dict[Position, list[Batch]] = {}
        self._decoded_size = 0  # bytes

    # -- writing

    def open_writing(self, pairs: Iterable[Pair], now: int) -> Contents:
        """Open, or make, the file.

        :raises JournalError: if it is not a journal of this version, or damaged.
        """
        self.close_writing()
        if self._path.exists():
            check(self._path)
        else:
            self._create()
        try:
            return self._open_writing(pairs, now)
        except sqlite3.OperationalError as error:
            if _is_locked(error):
                raise _failure(error, self._path) from None
            # Perhaps there is no room for what SQLite keeps beside the file.
            with suppress(OSError):
                self._ballast.unlink(missing_ok=True)
        try:
            return self._open_writing(pairs, now)
        except sqlite3.OperationalError as error:
            why = why_database_fails(error, self._path)
            raise JournalError(f"{self._path} cannot be used: {why}") from None

    def _open_writing(self, pairs: Iterable[Pair], now: int) -> Contents:
        """Open the file for writing; the caller tries a second time.

        :raises sqlite3.OperationalError: if it cannot be had now.
        :raises JournalDamaged: if what must be read cannot be.
        """
        contents = self._contents()
        try:
            self._writing = self._connect()
            self._enlist(contents, set(pairs), now)
        except sqlite3.OperationalError:
            self.close_writing()
            raise
        except sqlite3.DatabaseError as error:
            self.close_writing()
            raise JournalDamaged(f"{self._path} is damaged: {error}") from None
        self._reserve()
        return contents

    def _create(self) -> None:
        """Make a file with tables and no rows; it appears at once or not at all."""
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.unlink(missing_ok=True)
            os.close(create_private(new))  # before SQLite makes it for everybody, and its -wal like it
            connection = sqlite3.connect(new, isolation_level=None)
            try:
                connection.execute(f"PRAGMA page_size={_PAGE}")
                connection.execute("PRAGMA journal_mode=WAL")
                schema = files("lgtwist.journal").joinpath(f"schema_{VERSION}.sql").read_text("utf-8")
                connection.executescript(f"BEGIN;{schema};COMMIT;")
            finally:
                connection.close()
            new.rename(self._path)
        except (sqlite3.Error, OSError) as error:
            why = why_database_fails(error, self._path)
            raise JournalError(f"{self._path} cannot be made: {why}") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_LOCK_PATIENCE, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={'FULL' if self._full else 'NORMAL'}",
            "secure_delete=OFF",
            "wal_autocheckpoint=1000",
            f"journal_size_limit={64 << 20}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    def _contents(self) -> Contents:
        """Read what is in the file, in a way that leaves a damaged one, and its write-ahead log, as it is.

        :raises sqlite3.OperationalError: if it cannot be read now.
        :raises JournalDamaged: if it cannot be read at all.
        """
        shared = self._path.with_name(f"{self._path.name}-shm")
        was_there = shared.exists()
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        reading = sqlite3.connect(uri, timeout=_LOCK_PATIENCE, uri=True, isolation_level=None)
        try:
            return self._read_contents(reading)
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, Damaged, TypeError) as error:
            reading.close()
            if not was_there:
                shared.unlink(missing_ok=True)
            raise JournalDamaged(f"{self._path} is damaged: {error}") from None
        finally:
            reading.close()

    def _read_contents(self, reading: sqlite3.Connection) -> Contents:
        execute = reading.execute
        saved_to, trimmed_to = execute("SELECT saved_to, trimmed_to FROM state").fetchone()
        contents = Contents(max(saved_to, trimmed_to), trimmed_to)
        for account, total, trimmed in execute("SELECT account, total, trimmed FROM account"):
            contents.totals[account] = total
            contents.expired[account] = trimmed
        newer = execute(
            f"SELECT {_CHUNK_COLUMNS} FROM chunk WHERE first > ? ORDER BY first",  # noqa: S608
            (saved_to,),
        )
        for row in newer:
            chunk = Chunk(*row)
            try:
                runs = [(batch.account, len(batch), batch.before) for batch in unpack(chunk)]
            except Damaged:
                runs = _plausible_runs(chunk, contents)
            for account, events, before in runs:
                contents.totals[account] = before + events
        found = execute(
            "SELECT max(last), max(newest) FROM (SELECT last, newest FROM chunk ORDER BY first DESC LIMIT 1)"
        ).fetchone()
        contents.end = max(contents.end, found[0] or 0)
        contents.newest = found[1] or 0
        contents.last_refused = execute("SELECT max(id) FROM refused").fetchone()[0] or 0
        for bot, account, position, ordinal, time in execute(
            "SELECT bot, account, position, ordinal, time FROM cursor"
        ):
            contents.watermarks[bot, account] = Watermark(position, ordinal, time)
        if execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_BACKUP_TABLE,)).fetchone():
            contents.backup_made = execute(f"SELECT max(made) FROM {_BACKUP_TABLE}").fetchone()[0]  # noqa: S608
        return contents

    def _enlist(self, contents: Contents, pairs: set[Pair], now: int) -> None:
        """Note that the configuration names these; those that it never named begin at the end."""
        for bot, account in pairs - contents.watermarks.keys():
            contents.watermarks[bot, account] = Watermark(contents.end, contents.totals.get(account, 0), 0)
        self._pairs = frozenset(pairs)
        try:
            self._touch({pair: contents.watermarks[pair] for pair in pairs}, now)
        except sqlite3.OperationalError:  # a full disk, or a locked file, is no reason not to start
            contents.untouched = True

    def _touch(self, named: dict[Pair, Watermark], now: int) -> None:
        rows = [(*pair, *_row(watermark), now) for pair, watermark in named.items()]
        left = [(now, *pair) for pair in self._pairs - named.keys()]

        def work() -> None:
            many = self._connected().executemany
            many(
                "INSERT INTO cursor VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET seen = excluded.seen",
                rows,
            )
            many("UPDATE cursor SET seen = ? WHERE bot = ? AND account = ?", left)

        self._transaction(work)
        self._pairs = frozenset(named)

    def _connected(self) -> sqlite3.Connection:
        if self._writing is None:
            raise JournalError("it is closed")
        return self._writing

    def _transaction(self, work: Callable[[], _Result]) -> _Result:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def pack(self, batches: list[Batch], not_before: int = 0) -> tuple[Any, ...]:
        """Return the row of a chunk."""
        return msgspec.structs.astuple(pack(batches, not_before))

    def append(self, row: tuple[Any, ...]) -> None:
        """Write a chunk: one statement, which is one transaction."""
        try:
            self._connected().execute("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise _failure(error, self._path) from None

    def save(
        self,
        totals: dict[int, int],
        upto: Position,
        watermarks: dict[Pair, Watermark],
        refused: Sequence[RefusedEvent],
        put_back: Collection[Pair] = (),
    ) -> None:
        """Write what has changed beside the chunks."""
        execute, many = self._connected().execute, self._connected().executemany
        returning = [(*pair, *_row(watermarks[pair])) for pair in put_back if pair in watermarks]

        def work() -> None:
            many(
                "INSERT INTO account VALUES (?, ?, 0)"
                " ON CONFLICT DO UPDATE SET total = max(total, excluded.total)",
                totals.items(),
            )
            execute("UPDATE state SET saved_to = max(saved_to, ?)", (upto,))
            many(
                "INSERT INTO cursor VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET"
                " position = excluded.position, ordinal = excluded.ordinal, time = excluded.time"
                " WHERE position < excluded.position OR ordinal < excluded.ordinal",
                [(*pair, *_row(watermark)) for pair, watermark in watermarks.items()],
            )
            many(
                "INSERT INTO cursor VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET"
                " position = excluded.position, ordinal = excluded.ordinal, time = excluded.time",
                returning,
            )
            if refused:
                many(
                    "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [msgspec.structs.astuple(one) for one in refused],
                )
                execute(
                    "DELETE FROM refused WHERE id <"
                    " (SELECT id FROM refused ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (MAX_REFUSED - 1,),
                )

        try:
            self._transaction(work)
        except sqlite3.Error as error:
            raise _failure(error, self._path) from None

    def drop_refused(self, upto: int, only: int | None) -> list[int]:
        """Delete refused events; return the ids of those that were there."""
        execute, which = self._connected().execute, "FROM refused WHERE id <= ?1 AND (?2 IS NULL OR id = ?2)"

        def work() -> list[int]:
            found = [row[0] for row in execute(f"SELECT id {which}", (upto, only))]
            execute(f"DELETE {which}", (upto, only))
            return found

        try:
            return self._transaction(work)
        except sqlite3.Error as error:
            raise _failure(error, self._path) from None

    def trim(self, older_than: int, max_size: int, ages: RunAges = TIMES_ALONE) -> Trimmed:
        """One step of retention. On a full disk the ballast makes room for it."""
        try:
            trimmed = self._trim(older_than, max_size, ages)
            self._reserve()
            return trimmed
        except sqlite3.OperationalError as error:
            if _is_locked(error):
                raise _failure(error, self._path) from None
            self._ballast.unlink(missing_ok=True)
        except (sqlite3.Error, Damaged) as error:
            raise _failure(error, self._path) from None
        try:
            return self._trim(older_than, max_size, ages)
        except (sqlite3.Error, Damaged) as error:
            raise _failure(error, self._path) from None
        finally:
            self._reserve()

    def _used(self) -> int:
        execute = self._connected().execute
        pages, free, size = (
            execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _trim(self, older_than: int, max_size: int, ages: RunAges) -> Trimmed:
        execute, many = self._connected().execute, self._connected().executemany
        excess = self._used() - max_size
        going: dict[int, int] = {}
        begin = upto = size = number = 0
        more = False
        for first, last, newest, runs, length in self._oldest():
            is_old = last <= ages.old_upto or (last <= ages.inherited and newest < older_than)
            if not is_old and size >= excess:
                break
            if number >= _STEP_CHUNKS or size >= _STEP_BYTES:
                more = True
                break
            with suppress(Damaged):  # it goes all the same
                for account, events, before in read_runs(runs):
                    going[account] = before + events
            begin = begin or first
            upto, size, number = last, size + length + len(runs) + 12 * (last - first + 1), number + 1
        unseen = set(execute("SELECT bot, account FROM cursor WHERE seen < ?", (older_than,))) - ages.young
        unseen = (unseen | ages.old) - self._pairs

        def work() -> None:
            many("DELETE FROM cursor WHERE bot = ? AND account = ?", unseen)
            if upto:
                execute("DELETE FROM chunk WHERE first BETWEEN ? AND ?", (begin, upto))
                execute("UPDATE state SET trimmed_to = ?", (upto,))
                many(
                    "INSERT INTO account VALUES (?1, ?2, ?2)"
                    " ON CONFLICT DO UPDATE SET trimmed = ?2, total = max(total, ?2)",
                    going.items(),
                )

        if upto or unseen:
            self._transaction(work)
        trimmed_to = execute("SELECT trimmed_to FROM state").fetchone()[0]
        return Trimmed(trimmed_to, going, more, self._used(), tuple(unseen))

    def _oldest(self) -> list[Any]:
        """Return the oldest chunks that can be read, without their events."""
        connection = self._connected()

        def rows() -> list[Any]:
            return connection.execute(
                "SELECT first, last, newest, runs, length(payload) FROM chunk"
                " WHERE first >= ? ORDER BY first LIMIT ?",
                (self._oldest_readable, _STEP_CHUNKS + 1),
            ).fetchall()

        try:
            return rows()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            found = _next_readable(connection, self._oldest_readable)
            if found is None:
                raise
            self._oldest_readable = found
            return rows()

    def touch(self, named: dict[Pair, Watermark], now: int) -> None:
        """Note which pairs the configuration names from now on."""
        try:
            self._touch(named, now)
        except sqlite3.Error as error:
            raise _failure(error, self._path) from None

    def _reserve(self) -> None:
        """Keep some of the disk free, if it is not full already."""
        if self._ballast.exists():
            return
        try:
            ballast = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | O_CLOEXEC, 0o600)
            try:
                reserve(ballast, _BALLAST)
            finally:
                os.close(ballast)
        except OSError:
            with suppress(OSError):
                self._ballast.unlink(missing_ok=True)

    def back_up(self, target: Path, now: int, between: Callable[[], object]) -> None:
        """Copy everything into a new file, by the connection that writes."""
        self._is_backing_up = True
        try:
            copy_database(self._connected(), target, between)
            mark_as_backup(target, now)
        except sqlite3.Error as error:
            raise JournalError(f"the copy of the journal: {why_database_fails(error, target)}") from None
        finally:
            self._is_backing_up = False

    def forget_backup(self) -> None:
        """Drop the table that a backup has."""
        try:
            self._connected().execute(f"DROP TABLE IF EXISTS {_BACKUP_TABLE}")
        except sqlite3.Error as error:
            raise _failure(error, self._path) from None

    def close_writing(self) -> None:
        """Close the connection that writes."""
        if self._is_backing_up:
            raise JournalError("a backup is under way")
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    # -- reading

    def open_reading(self) -> None:
        """Open the connection that reads."""
        self._reading = open_for_reading(self._path)

    def close_reading(self) -> None:
        """Close the connection that reads."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _connected_for_reading(self) -> sqlite3.Connection:
        if self._reading is None:
            raise JournalError("it is closed")
        return self._reading

    def list_refused(self, most: int) -> list[RefusedEvent]:
        """Return the newest refused events, each with the beginning of its payload."""
        try:
            rows = self._connected_for_reading().execute(
                f"SELECT {_REFUSED_COLUMNS}, substr(payload, 1, ?)"  # noqa: S608
                " FROM refused ORDER BY id DESC LIMIT ?",
                (POST_TYPE_WITHIN, most),
            )
            return [RefusedEvent(*row) for row in rows]
        except sqlite3.Error as error:
            raise _failure(error, self._path) from None

    def find_refused(self, number: int) -> RefusedEvent | None:
        """Return a refused event; None if there is none of that id."""
        try:
            row = (
                self._connected_for_reading()
                .execute(
                    f"SELECT {_REFUSED_COLUMNS}, payload FROM refused WHERE id = ?",  # noqa: S608
                    (number,),
                )
                .fetchone()
            )
        except sqlite3.Error as error:
            raise _failure(error, self._path) from None
        return None if row is None else RefusedEvent(*row)

    def read(self, account: int, after: Position, upto: Position, max_bytes: int) -> Page:
        """Return the next events of an account. What is damaged is passed over."""
        reading = self._connected_for_reading()
        try:
            begin: Position | None = after + 1
            while begin is not None and begin <= upto:
                try:
                    return self._read(reading, account, after, begin, upto, max_bytes)
                except sqlite3.OperationalError:
                    raise
                except sqlite3.DatabaseError:
                    begin = _next_readable(reading, begin)
        except sqlite3.OperationalError as error:
            raise _failure(error, self._path) from None
        return Page([], max(after, upto))

    def _read(
        self,
        reading: sqlite3.Connection,
        account: int,
        after: Position,
        begin: Position,
        upto: Position,
        max_bytes: int,
    ) -> Page:
        """Return the next events of an account, looked for from the position ``begin`` on.

        :raises sqlite3.DatabaseError: if the table is damaged at the first chunk that is looked at.
        """
        batches: list[Batch] = []
        trimmed_to = reading.execute("SELECT trimmed_to FROM state").fetchone()[0]
        size, reached = 0, begin - 1
        for first, last, runs, length in _heads(reading, begin):
            reached = max(reached, last)
            if _may_hold(runs, account):
                for batch in self._batches(reading, first):
                    if batch.account == account and batch.last > after:
                        batches.append(batch.after(after))
                size += length
                if size >= max_bytes:
                    break
        if reached < begin:
            reached = max(after, upto)  # nothing is there
        return Page(batches, reached, trimmed_to)

    def _batches(self, reading: sqlite3.Connection, first: Position) -> list[Batch]:
        """Return what is in a chunk, nothing if it is damaged. The last few are remembered.

        :raises sqlite3.OperationalError: if it cannot be read now.
        """
        found = self._decoded.get(first)
        if found is None:
            try:
                row = reading.execute(
                    f"SELECT {_CHUNK_COLUMNS} FROM chunk WHERE first = ?",  # noqa: S608
                    (first,),
                ).fetchone()
                found = [] if row is None else unpack(Chunk(*row))
            except sqlite3.OperationalError:
                raise
            except (sqlite3.DatabaseError, Damaged):
                found = []
            self._decoded[first] = found
            self._decoded_size += _size(found)
            while len(self._decoded) > 1 and self._decoded_size > _DECODED:
                self._decoded_size -= _size(self._decoded.pop(next(iter(self._decoded))))
        return found


def _heads(reading: sqlite3.Connection, begin: Position) -> Iterator[tuple[int, int, bytes, int]]:
    """Up to 256 chunks from the one that a position lies in, without their events, as they are wanted.

    Fewer, before what is damaged.

    :raises sqlite3.DatabaseError: if the first is.
    """
    rows = reading.execute(
        "SELECT first, last, runs, length(payload) FROM chunk WHERE first >="
        " coalesce((SELECT max(first) FROM chunk WHERE first <= ?1), 0)"
        " AND last >= ?1 ORDER BY first LIMIT 256",
        (begin,),
    )
    found = False
    try:
        for row in rows:
            found = True
            yield row
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        if not found:
            raise


def _size(batches: list[Batch]) -> int:
    return sum(batch.size() for batch in batches)


def _plausible_runs(chunk: Chunk, contents: Contents) -> list[tuple[int, int, int]]:
    """Return what a damaged chunk says is in it, if that continues the chunk before; else nothing."""
    try:
        runs = read_runs(chunk.runs)
    except (Damaged, TypeError):
        return []
    fits = sum(events for _account, events, _before in runs) == chunk.last - chunk.first + 1
    if fits and all(before == contents.totals.get(account, 0) for account, _events, before in runs):
        return runs
    return []


def _may_hold(runs: bytes, account: int) -> bool:
    """Whether a chunk may hold events of an account."""
    try:
        return any(run[0] == account for run in read_runs(runs))
    except (Damaged, TypeError):
        return True  # the checksum will tell


def _next_readable(connection: sqlite3.Connection, bad: Position) -> Position | None:
    """Return the first position behind a damaged part of the table; None if nothing there is readable.

    :param bad: it cannot be read from here.
    """
    nothing = 1 << 62

    def begins(position: Position) -> Position | None:
        """Where the next chunk begins; None if that cannot be read."""
        try:
            row = connection.execute(
                "SELECT first, last, runs, length(payload) FROM chunk"
                " WHERE first >= ? ORDER BY first LIMIT 1",
                (position,),
            ).fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return None
        return nothing if row is None else int(row[0])

    step = 1
    while (good := begins(bad + step)) is None:
        bad, step = bad + step, step * 2
    high = bad + step
    while high - bad > 1:
        middle = (bad + high) // 2
        found = begins(middle)
        if found is None:
            bad = middle
        else:
            high, good = middle, found
    return None if good == nothing else good


def _row(watermark: Watermark) -> tuple[int, int, int]:
    return watermark.position, watermark.ordinal, watermark.time
