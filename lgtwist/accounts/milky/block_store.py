"""The message ids of one account, kept in a file: :class:`~lgtwist.accounts.milky.block_file.BlockFile`.

One connection writes, in a thread of its own. A new block is committed before one of its ids leaves the
process; which messages were delivered is written twice a second. While the file cannot be written, ids are
given out all the same, and their blocks are written when it can be written again. If it never can, those ids
stand for nothing after a restart: the file keeps a range of numbers for each run, behind which the next run
begins, so that none is given to another conversation. Where the file may be an old copy, a run begins far
away from its numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from lgtwist.accounts.milky.block_file import BlockFile, BlockFileDamaged, BlockFileError, OpenedBlocks
from lgtwist.hub.edges import CannotPrepare
from lgtwist.journal.sqlite import set_aside
from lgtwist.journal.store import JournalError
from lgtwist.journal.worker import ThreadWorker, Worker
from lgtwist.milky.blocks import BlockRow, BlockTable
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.tasks import log_failures

#: Seconds between two writes of what was seen, and between two attempts while the file cannot be written.
_INTERVAL = 0.5
#: Rows whose write or deletion failed, that one write has: they are collected in the reactor's thread.
_WRITTEN_AGAIN = 2_000
#: Seconds that a commit may take; then ids are given out without it.
_SLOWEST_COMMIT = 10.0
#: Seconds that :meth:`BlockStore.stop` takes at most.
_LONGEST_STOP = 5.0


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
        rows, _new = self._take_rows(self.table.ahead(), None)
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

    def _take_rows(
        self, ahead: list[BlockRow], most: int | None = _WRITTEN_AGAIN
    ) -> tuple[list[BlockRow], bool]:
        """Return the rows that are to be written, and whether new blocks are among them.

        :param ahead: blocks that were made ahead: they are written too, and nothing waits for them.
        :param most: of those whose write failed; None for all.
        """
        table = self.table
        for number in table.take_removed():
            if number in self._unwritten:
                del self._unwritten[number]
            else:
                self._undeleted[number] = None
        new = table.take_unsaved()
        rows = {row.number: row for row in (*ahead, *new)}
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
        rows, self._writes_new_blocks = self._take_rows(ahead)
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
