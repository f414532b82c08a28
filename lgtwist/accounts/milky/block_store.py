"""The file that message ids are in: SQLite, with a row for each block of :mod:`lgtwist.milky.blocks`.

One connection writes, in a thread of its own. A new block is committed before one of its ids leaves the
process; which messages were delivered is written twice a second. While the file cannot be written, ids are
given out all the same, and their blocks are written when it can be written again. If it never can, those ids
stand for nothing after a restart: the file keeps a range of numbers for each run, behind which the next run
begins, so that none is given to another conversation.

A copy that :meth:`BlockStore.back_up` made may be older than ids that bots have, and so may a file that was
put there by others than us, or was not written for an hour: a run begins far away from its numbers.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from lgtwist.hub.edges import CannotPrepare
from lgtwist.journal.sqlite import mark_as_backup, set_aside
from lgtwist.journal.store import JournalError
from lgtwist.journal.worker import ThreadWorker, Worker
from lgtwist.milky.blocks import BlockRow, BlockTable
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.private_files import close_to_others, create_private
from lgtwist.runtime.sqlite_copies import copy_database
from lgtwist.runtime.tasks import log_failures

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
#: Seconds between two writes of what was seen, and between two attempts while the file cannot be written.
_INTERVAL = 0.5
#: Rows whose write or deletion failed, that one write has: they are collected in the reactor's thread.
_WRITTEN_AGAIN = 2_000
#: Seconds that a commit may take; then ids are given out without it.
_SLOWEST_COMMIT = 10.0
#: Seconds that :meth:`BlockStore.stop` takes at most.
_LONGEST_STOP = 5.0
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
            _sync_names(self.path.parent)
        except OSError as error:
            raise BlockFileError(f"{self.path} cannot be made: {error.strerror}") from None
        except sqlite3.Error as error:
            raise BlockFileError(f"{self.path} cannot be made: {error}") from None
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
        if "disk is full" in said or ("disk I/O error" in said and _is_full(self.path.parent)):
            return BlockFileError(f"{self.path} cannot be written: the disk is full")
        if "is locked" in said:
            return BlockFileError(f"{self.path} is locked by another program")
        # An OperationalError is of the disk or of other programs, but for tables that are missing.
        if isinstance(error, sqlite3.OperationalError) and not said.startswith("no such"):
            return BlockFileError(f"{self.path} cannot be used: {said}")
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


def _is_full(folder: Path) -> bool:
    """Return whether the disk of a folder has no room for a page."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 65_536


def _sync_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    :raises OSError: if that cannot be done.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BlockStore:
    """Message ids of one account, in a table that is stored in a file.

    :param data_dir: the folder of the file, ``milky-{self_id}.sqlite``.
    :param self_id: the account.
    :param reactor: the clock, and ``callFromThread``.
    :param wall_clock: returns seconds since the epoch.
    :param make_worker: makes what writes, from its name; by default a thread.
    :param table: the table; by default an empty one.
    :ivar path: the file.
    :ivar table: the ids.
    """

    _log = Logger()

    def __init__(
        self,
        data_dir: Path,
        self_id: int,
        reactor: Any,
        wall_clock: Callable[[], float] = time.time,
        *,
        make_worker: Callable[[str], Worker] | None = None,
        table: BlockTable | None = None,
    ) -> None:
        self.path = data_dir / f"milky-{self_id}.sqlite"
        self.table = BlockTable(now=wall_clock) if table is None else table
        self._self_id = self_id
        self._file = BlockFile(self.path, self_id)
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._make_worker = make_worker or (
            lambda name: ThreadWorker(name, lambda *call: reactor.callFromThread(*call))
        )
        self._worker: Worker | None = None
        self._ticks = LoopingCall(log_failures("storing message ids", self._tick))
        self._ticks.clock = reactor
        self._trouble: str | None = None  # why ids are given out before their blocks are stored
        self._is_busy = False  # whether the thread writes or opens the file
        self._writes_new_blocks = False
        self._waiting_for_running: list[Deferred[None]] = []
        self._waiting_for_next: list[Deferred[None]] = []
        self._waiting_for_idle: list[Deferred[None]] = []
        self._unwritten: dict[int, None] = {}  # numbers of blocks whose write failed
        self._undeleted: dict[int, None] = {}  # numbers of blocks that are removed, and may be in the file
        #: What was seen, as it was at the last tick, and as it was at the one before: that is written.
        self._seen_lately: list[BlockRow] = []
        self._seen_before: dict[int, BlockRow] = {}
        self._flush_call: IDelayedCall | None = None
        self._stopping = False

    @property
    def trouble(self) -> str | None:
        """Why ids are given out that may stand for nothing after a restart; None where all is well."""
        return self._trouble

    # -- start and stop

    def prepare(self) -> None:
        """Read the file, or make one. A damaged one is set aside.

        It does not stay open: SQLite does not survive a fork. May be called in a thread.

        :raises CannotPrepare: if the file cannot be used.
        """
        try:
            left_out = self._file.read(self.table.load)
        except BlockFileDamaged as error:
            try:
                aside = set_aside(self.path, time.strftime("%Y%m%dT%H%M%S"))
            except JournalError as failed:
                raise CannotPrepare(str(failed)) from None
            self._log.error(
                "{error}; it was set aside as {aside}, and the message ids in it stand for nothing now",
                error=error,
                aside=aside,
            )
            self.table.clear()
            left_out = self._file.read(self.table.load)
        if left_out:
            self._log.error("{path}: {rows} damaged rows are left out", path=self.path, rows=left_out)

    def start(self) -> None:
        """Open the file again, and begin to write it. If that fails, it is tried again and again."""
        self._worker = self._make_worker(f"milky-blocks {self._self_id}")
        try:
            opened = self._file.open(self._now())
            if opened.rows and not self.table.has_unsaved:  # another edge has written since
                self.table.clear()
            self._opened(opened)
            self._reserve()
        except BlockFileError as error:
            self._has_failed(str(error))
        self._ticks.start(_INTERVAL, now=False)

    def _opened(self, opened: OpenedBlocks) -> None:
        """Begin to take numbers where the file says."""
        if opened.rows is not None:
            self.table.load(opened.rows)
        if opened.is_new:  # the one that was read is gone
            self._unwritten.update(dict.fromkeys(self.table.numbers()))
        if opened.number:
            self.table.begin_at(opened.number)
            if opened.may_be_old:
                self.table.begin_far_away()

    def _reserve(self) -> None:
        """Let the file keep numbers for this run.

        :raises BlockFileError: if it cannot be written.
        """
        upto = self.table.reservation()
        self._file.write([], upto, self._now(), durable=True)
        self.table.set_reserved(upto)

    def stop(self) -> Deferred[None]:
        """Write what waits, and close the file.

        :returns: fires when that is done, a few seconds later at most. Never fails.
        """
        worker, self._worker = self._worker, None
        if worker is None:
            return succeed(None)
        self._stopping = True
        self._ticks.stop()
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush_call = None
        stopped = Deferred.fromCoroutine(self._stop(worker)).addTimeout(_LONGEST_STOP, self._reactor)

        def ended(failure: Failure) -> None:
            if failure.check(CancelledError, DeferredTimeout):
                self._log.error("{path}: the last message ids were not written in time", path=self.path)
            else:
                self._log.failure("{path} could not be closed", failure, path=self.path)

        return stopped.addErrback(ended).addBoth(lambda _none: self._release())

    async def _stop(self, worker: Worker) -> None:
        if self._is_busy:
            idle: Deferred[None] = Deferred()
            self._waiting_for_idle.append(idle)
            await idle
        self._note_seen()
        self._note_seen()
        rows, _new = self._take_rows(None)
        number, now, removed = self.table.next_number, self._now(), list(self._undeleted)

        def finish() -> None:
            try:
                if self._file.is_open:
                    self._file.write(rows, number, now, durable=True, removed=removed)
            finally:
                self._file.close()

        try:
            await worker.do(finish)
        except BlockFileError as error:
            self._trouble = str(error)
            self._log.error("{error}; the last message ids were not stored", error=error)
        finally:
            ended = worker.stop()
        await ended

    # -- what is committed

    def committed(self) -> Deferred[None] | None:
        """Return None if each block that was given out is in the file, or cannot be written now.

        :returns: else what fires, and never fails, when all that were given out until now are.
        """
        if self.table.has_unsaved:
            if self._worker is None:
                return None
            if self._trouble is not None:
                self._unwritten.update((row.number, None) for row in self.table.take_unsaved())
                return None
            if self._flush_call is None and not self._is_busy:
                self._flush_call = self._reactor.callLater(0, self._flush)
            return _waiter(self._waiting_for_next)
        if self._writes_new_blocks and self._trouble is None:
            return _waiter(self._waiting_for_running)
        if self.table.has_ahead and self._flush_call is None and self._may_write:
            self._flush_call = self._reactor.callLater(0, self._flush)
        return None

    @property
    def _may_write(self) -> bool:
        return not self._is_busy and self._trouble is None and self._worker is not None

    def _flush(self) -> None:
        self._flush_call = None
        if (self._waiting_for_next or self.table.has_ahead) and not self._is_busy:
            self._write()

    def _take_rows(self, most: int | None = _WRITTEN_AGAIN) -> tuple[list[BlockRow], bool]:
        """Return the rows that are to be written, and whether new blocks are among them.

        Those that were made ahead are written too; nothing waits for them.

        :param most: of those whose write failed; None for all.
        """
        table = self.table
        for number in table.take_removed():
            if number in self._unwritten:
                del self._unwritten[number]
            else:
                self._undeleted[number] = None
        new = table.take_unsaved()
        rows = {row.number: row for row in (*table.ahead(), *new)}
        unwritten = list(islice(self._unwritten, most))
        seen, self._seen_before = self._seen_before, {}
        for number, row in seen.items():
            if number not in rows and table.stands_for(row):
                rows[number] = row
        for number in unwritten:
            del self._unwritten[number]
            if number not in rows:
                with suppress(KeyError):
                    rows[number] = table.row_of(number)
        for number in rows:  # in use again
            self._undeleted.pop(number, None)
        return list(rows.values()), bool(new or unwritten)

    def _write(self) -> None:
        """Write what waits, in one transaction."""
        worker = self._worker
        if worker is None:
            return
        self._waiting_for_running += self._waiting_for_next
        self._waiting_for_next = []
        ahead = self.table.ahead()
        rows, self._writes_new_blocks = self._take_rows()
        upto, now, durable = self.table.reservation(), self._now(), self._writes_new_blocks or bool(ahead)
        removed = list(islice(self._undeleted, _WRITTEN_AGAIN))

        def written(_none: None) -> None:
            for number in removed:
                self._undeleted.pop(number, None)
            self._written(upto, ahead)

        self._begin_job(
            worker.do(lambda: self._file.write(rows, upto, now, durable=durable, removed=removed)),
            written,
            rows,
        )

    def _begin_job(
        self, job: Deferred[Any], succeeded: Callable[[Any], None], rows: Iterable[BlockRow] = ()
    ) -> None:
        """Wait for the thread.

        :param job: what it does.
        :param succeeded: called with the result.
        :param rows: what is to be written later if it fails.
        """
        self._is_busy = True
        slow = self._reactor.callLater(_SLOWEST_COMMIT, self._is_slow)

        def ended(result: Any) -> None:
            if slow.active():
                slow.cancel()
            self._is_busy = self._writes_new_blocks = False
            if isinstance(result, Failure):
                self._unwritten.update((row.number, None) for row in rows)
                self._has_failed(result.getErrorMessage())
                if not result.check(BlockFileError):
                    self._log.failure("{path}: writing failed", result, path=self.path)
            else:
                succeeded(result)
            if not self._is_busy:
                _fire(self._waiting_for_idle)

        job.addBoth(ended)

    def _written(self, upto: int, ahead: Iterable[BlockRow]) -> None:
        self.table.set_reserved(upto)
        self.table.ahead_stored(ahead)
        if self._trouble is not None and not self._unwritten:
            self._trouble = None
            self._log.info("{path} is written again: all message ids are stored", path=self.path)
        _fire(self._waiting_for_running)
        if self._waiting_for_next or self._unwritten:  # what began to wait meanwhile, together
            self._write()

    def _is_slow(self) -> None:
        self._has_failed(f"{self.path} is not written: the disk does not answer")

    def _has_failed(self, reason: str) -> None:
        """Give ids out all the same, from now on until the file can be written."""
        if self._trouble is None and not self._stopping:
            self._log.error(
                "{reason}; ids of messages in new conversations may stand for nothing after a restart",
                reason=reason,
            )
        self._trouble = reason
        self._release()

    def _release(self) -> None:
        """Let nothing wait any more."""
        _fire(self._waiting_for_running)
        _fire(self._waiting_for_next)

    def _note_seen(self) -> None:
        """Let what was seen until the last tick be written, and what was seen since at the next one.

        What a message says is in the journal by then: after a crash in between it is fetched again.
        """
        self._seen_before.update((row.number, row) for row in self._seen_lately)
        self._seen_lately = self.table.take_changed()

    def _tick(self) -> None:
        """Write what was seen until the last tick, and what could not be written before."""
        worker = self._worker
        if worker is None:
            return
        self._note_seen()
        if self._is_busy:
            return
        if not self._file.is_open:
            now = self._now()
            self._begin_job(worker.do(lambda: self._file.open(now)), self._opened_late)
        elif self._trouble or self._unwritten or self._seen_before or self.table.has_unsaved:
            self._write()

    def _opened_late(self, opened: OpenedBlocks) -> None:
        self._opened(opened)
        self._write()

    def _now(self) -> int:
        return int(self._wall_clock() * 1000)

    # -- backups

    def back_up(self, folder: Path) -> Deferred[None]:
        """Copy the file into a folder, under its own name, with all blocks that were committed.

        :returns: fires when it is copied; fails with :class:`BlockFileError`.
        """
        worker = self._worker
        if worker is None:
            return fail(BlockFileError(f"account {self._self_id} does not run"))
        if not self._is_busy:
            if not self._file.is_open:
                return fail(BlockFileError(self._trouble or f"{self.path} is not open"))
            self._write()
        target, now = folder / self.path.name, self._now()

        def check() -> None:
            if self._stopping:
                raise BlockFileError("lgtwist stops")

        return worker.do(lambda: self._file.copy_to(target, now, check))


def _waiter(waiting: list[Deferred[None]]) -> Deferred[None]:
    """Return a new Deferred, which is put into a list."""
    waiter: Deferred[None] = Deferred()
    waiting.append(waiter)
    return waiter


def _fire(waiting: list[Deferred[None]]) -> None:
    """Fire all Deferreds of a list, and empty it."""
    fired = waiting[:]
    waiting.clear()
    for waiter in fired:
        if not waiter.called:
            waiter.callback(None)


__all__ = ["BlockFile", "BlockFileDamaged", "BlockFileError", "BlockStore", "OpenedBlocks"]
