"""The journal as the hub sees it: group commits, one at a time, and the newest events in memory.

Everything here runs in the reactor thread; what may block is done by two workers, one that writes and one
that reads. Whatever is appended while a commit is under way is the next one.

While commits succeed nothing is lost: an account that sends faster than the disk writes is paused
(:class:`~lgtwist.journal.backpressure.Backpressure`). While they *fail* (the disk is full or broken, or
nothing was written for :data:`_STALLED_AFTER` seconds) no account is paused, for that might last for ever:
events wait up to :attr:`JournalLimits.waiting`, and what is beyond is counted as lost. A file that another
program has locked is no failure before that time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from math import inf
from pathlib import Path
from typing import TypeVar

import msgspec
from attrs import Factory, define, evolve, frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.refused_event import RefusedEvent
from lgtwist.journal.backpressure import Backpressure
from lgtwist.journal.commit_queue import CommitQueue
from lgtwist.journal.commit_times import CommitTimes
from lgtwist.journal.losses import Losses
from lgtwist.journal.store import (
    MAX_REFUSED,
    Contents,
    IStore,
    JournalBusy,
    JournalError,
    Pair,
    RunAges,
    Trimmed,
)
from lgtwist.journal.tail import Tail
from lgtwist.journal.worker import Worker, Workers
from lgtwist.runtime.logs import Logger, LogThrottles

#: Seconds until a cursor that moved is written, at the latest.
_SAVE_AFTER = 1.0
#: Seconds until what failed is tried again.
_RETRY_AFTER = 1.0
#: Seconds until that where another program has locked the file: the store has waited for it already.
_RETRY_LOCKED_AFTER = 0.1
#: Seconds without a commit after which accounts are not paused any more, as if the disk had failed.
_STALLED_AFTER = 60.0
#: Seconds that closing takes at most, however much is still written.
_LONGEST_CLOSE = 30.0
#: Seconds that a backup waits until what waits for the disk is written.
_FLUSH_PATIENCE = 1.0
#: Accounts whose pauses are logged per minute, one line for each.
_LOGGED_PAUSES = 100
#: Events in a commit after which the next one waits for half of the time that this one took, so that what the
#: bots' progress brings goes into it: half as many commits for the same events.
_MANY_EVENTS = 16
#: Seconds that it waits then, at most.
_PAUSE = 0.0005
#: Seconds that events linger which wait already when a smaller commit ends: each commit costs the reactor,
#: and with it the bots that are live, some tenths of a millisecond.
_LINGER = 0.001
#: Seconds that a timer may be early and is right on time, for want of digits.
_NO_TIME = 1e-6
#: Seconds between two looks at age and size.
_TRIM_INTERVAL = 5.0
#: Seconds between two notes that the configuration still names its bots.
_TOUCH_INTERVAL = 3600.0
#: Bytes that are kept of an event that a bot refused.
_REFUSED_BYTES = 65_536


_Result = TypeVar("_Result")

#: What may fail, in the log's words.
_WRITING, _CURSORS, _RETENTION, _OPENING = "writing", "writing cursors", "retention", "opening"


class _Phase(Enum):
    """How far a journal is in its life."""

    CLOSED = auto()  # not open yet, or no more
    OPENING = auto()
    OPEN = auto()


#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_IS_OPEN = _Phase.OPEN


@frozen
class JournalLimits:
    """What the journal keeps.

    :ivar retention: seconds.
    :ivar max_size: bytes on disk.
    :ivar waiting: bytes that may wait for the disk; beyond, an account that has more than its share is paused
        while commits succeed, and events are lost while they fail.
    :ivar tail: bytes of the newest events that are kept in memory.
    :ivar page: bytes that are read at once.
    """

    retention: float = 7 * 86400.0
    max_size: int = 1 << 30
    waiting: int = 64 << 20
    tail: int = 16 << 20
    page: int = 256 << 10


@define
class JournalCounters:
    """What happened, since the start."""

    commits: int = 0
    commit_seconds: float = 0.0  # from handing over to being durable
    slowest_commit: float = 0.0
    events: int = 0  # made durable
    failures: int = 0  # commits that failed
    expired: int = 0  # events that retention took


@define
class _Due:
    """What is to be done when, beside committing. Times in seconds of the clock.

    :ivar retry_at: after a failure nothing is done before that.
    :ivar locked_until: nor before that, even where somebody waits for a flush: the file was locked.
    :ivar pause_until: nor after a commit, so that more events go into the next.
    :ivar touch_first: which pairs are named is to be written before anything is committed.
    :ivar make_room: retention is to look at once, for something could not be written.
    :ivar next_trim: when retention looks next.
    :ivar next_touch: when it is noted next which pairs are named.
    :ivar saved_at: when cursors were written last.
    :ivar was_other: something else than a commit was done last; now a commit comes first.
    """

    retry_at: float = 0.0
    locked_until: float = 0.0
    pause_until: float = 0.0
    touch_first: bool = False
    make_room: bool = False
    next_trim: float = 0.0
    next_touch: float = 0.0
    saved_at: float = 0.0
    was_other: bool = False


@define
class _Unsaved:
    """What is to be written beside the events.

    :ivar put_back: pairs whose watermarks may be before those that are written.
    :ivar since: when the oldest of it came, in seconds; None if there is nothing.
    """

    watermarks: dict[Pair, Watermark] = Factory(dict)
    refused: list[RefusedEvent] = Factory(list)
    put_back: set[Pair] = Factory(set)
    since: float | None = None


class _Alarm:
    """A timer that is only ever moved forward.

    :param then: is called when it goes off.
    """

    def __init__(self, clock: IReactorTime, then: Callable[[], None]) -> None:
        self._clock = clock
        self._then = then
        self._timer: IDelayedCall | None = None
        self._at = 0.0

    def within(self, delay: float) -> None:
        """Go off within a delay in seconds, or earlier if that was asked for."""
        at = self._clock.seconds() + delay
        if self._timer is not None:
            if self._at <= at:
                return
            self._timer.cancel()
        self._at = at
        self._timer = self._clock.callLater(delay, self._go_off)

    def _go_off(self) -> None:
        self._timer = None
        self._then()

    def stop(self) -> None:
        """Do not go off."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@implementer(IJournal)
class Journal:
    """What must not be lost, until every bot has it.

    :param store: where it is written.
    :param make_worker: makes a worker of a name; one writes, another reads.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param steady_wall_clock: returns seconds since the epoch, or None while the wall clock may be wrong:
        then nothing of former runs is deleted for its age. By default it is never wrong.
    :param when_turn_ends: calls what it is given once, when all that came at once was appended.
    :ivar used: bytes that are used on disk, when looked at last.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStore,
        make_worker: Callable[[str], Worker],
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        *,
        limits: JournalLimits = JournalLimits(),
        steady_wall_clock: Callable[[], float | None] | None = None,
        when_turn_ends: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._when_turn_ends = when_turn_ends or (lambda then: clock.callLater(0, then) and None)
        self.counters = JournalCounters()
        self.used = 0
        self._store = store
        self._workers = Workers(make_worker)
        self._clock = clock
        self._wall_clock = wall_clock
        self._steady_wall_clock = steady_wall_clock or wall_clock
        self._limits = limits
        # its life
        self._phase = _Phase.CLOSED
        self._closing = False
        self._opening: Deferred[None] | None = None  # fires when the attempt under way is over
        self._open_again: IDelayedCall | None = None
        self._when_open: list[Callable[[], None]] = []
        self._troubles: dict[str, str] = {}
        self._pairs: set[Pair] = set()  # that the configuration names
        self._delisted: dict[Pair, float] = {}  # since when it does not any more, in this run
        # what is durable, and who hears of it
        self._contents = Contents()
        self._inherited: Position = 0  # what is up to it was written in former runs
        self._commit_times = CommitTimes()
        self._newest = 0  # what the wall clock said at the newest commit, in milliseconds
        self._tail = Tail(limits.tail, 0)
        self._durable: deque[Batch] = deque()  # not yet observed
        self._observers: list[Callable[[Batch], None]] = []
        self._retention_observers: list[Callable[[], None]] = []
        # what is not yet
        self._queue = CommitQueue()
        self._backpressure = Backpressure(limits.waiting)
        self._check_above = self._backpressure.check_above
        self._lose_above: float = inf  # bytes in the queue; finite while commits fail
        self._pause_log = LogThrottles(clock, _LOGGED_PAUSES)
        self._unsaved = _Unsaved()
        self._saving = _Unsaved()  # what is being written
        self._last_refused = 0  # the largest id that was given to a refused event
        self._losses = Losses()
        self._flushed: list[Deferred[None]] = []
        # one thing after the other
        self._busy = False
        self._turn_scheduled = False
        self._due = _Due()
        self._alarm = _Alarm(clock, self._go_on)
        self._progress_at = clock.seconds()  # when something was written last, or began to be waited for
        self._stall_alarm = _Alarm(clock, self._check_stalled)

    # -- life

    def configure(self, retention: float, max_size: int) -> None:
        """Take other limits, from the next step of retention on.

        :param retention: seconds.
        :param max_size: bytes on the disk.
        """
        self._limits = evolve(self._limits, retention=retention, max_size=max_size)

    def start(self, pairs: Iterable[Pair] = ()) -> None:
        """Open the store; while that fails, try it again each second until :meth:`close` is called.

        What is appended before it is open is written afterwards.

        :param pairs: the bots and their accounts that the configuration names.
        """
        self._open_again = None
        self.open(pairs).addErrback(self._opening_failed)

    def open(self, pairs: Iterable[Pair] = ()) -> Deferred[None]:
        """Open the store, or fail.

        :param pairs: the bots and their accounts that the configuration names.
        :returns: fires when it can be read; fails with JournalError.
        """
        self._pairs.update(pairs)
        named, now = frozenset(self._pairs), self._now()
        self._workers.start()
        self._phase = _Phase.OPENING
        over = self._opening = Deferred()
        written = self._workers.writer.do(lambda: self._store.open_writing(named, now))
        opened = written.addCallback(self._has)
        opened.addCallback(lambda _none: self._workers.reader.do(self._store.open_reading))
        opened.addCallbacks(lambda _none: self._is_open(named), self._not_opened)

        def ended(result: Failure | None) -> Failure | None:
            self._opening = None
            over.callback(None)
            return result

        return opened.addBoth(ended)

    def _opening_failed(self, failure: Failure) -> None:
        if not failure.check(JournalError):
            self._log.failure("the journal cannot be opened", failure)
        if not self._closing:
            self._open_again = self._clock.callLater(_RETRY_AFTER, self.start)

    def _not_opened(self, failure: Failure) -> Failure:
        self._phase = _Phase.CLOSED
        if _OPENING not in self._troubles:
            self._log.error("journal: opening failed: {reason}; it is tried again", reason=failure.value)
        self._troubles[_OPENING] = str(failure.value)
        if not failure.check(JournalBusy):
            self._begin_losing()
        return failure

    def _has(self, contents: Contents) -> None:
        self._contents = contents
        self._inherited, self._newest = contents.end, contents.newest
        self._commit_times.note(contents.end, self._clock.seconds())  # all of it, at the latest
        self._tail = Tail(self._limits.tail, contents.end)

    def _is_open(self, named: frozenset[Pair]) -> None:
        """Begin to write.

        :param named: the pairs that the store was opened with; others may have come and gone since.
        """
        if self._phase is not _Phase.OPENING:
            return  # given up meanwhile
        self._phase = _IS_OPEN
        for pair in self._pairs - named:
            self._begin_at_end(pair)
        before = self._contents.last_refused
        self._last_refused += before
        unsaved = self._unsaved.refused
        unsaved[:] = [msgspec.structs.replace(one, id=one.id + before) for one in unsaved]
        self._due.touch_first = self._contents.untouched or self._pairs != named
        self._troubles.clear()
        self._end_losing()
        self._due.next_touch = self._clock.seconds() + _TOUCH_INTERVAL
        if self._contents.backup_made is not None:
            self._log_restored(self._contents.backup_made)
        self._when_open, waiting = [], self._when_open
        if not self._closing:
            for callback in waiting:
                self._call(callback)
        self._go_on()

    def _log_restored(self, made: int) -> None:
        """Log once what is not known after a backup was restored.

        :param made: when it was made; milliseconds since the epoch.
        """
        self._log.warn(
            "journal: this is a backup of {made}: at-least-once bots go on where they were then. Events that "
            "came after it are lost; what bots have confirmed after it may come to them again",
            made=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(made / 1000)),
        )
        self._contents.backup_made = None

        def failed(failure: Failure) -> None:
            self._log.warn("journal: the next start will say so again: {reason}", reason=failure.value)

        self._workers.writer.do(self._store.forget_backup).addErrback(failed)

    def back_up(self, target: Path, check: Callable[[], object]) -> Deferred[None]:
        """Copy everything into a new file, with what waits for the disk; commits go on meanwhile.

        :param check: called between two steps, in a thread; what it raises ends the copy.
        :returns: fires when it is copied; fails with JournalError, or what ``check`` raised.
        """
        if self._phase is not _IS_OPEN or self._closing:
            return fail(JournalError(f"the journal is not open{f': {self.trouble}' if self.trouble else ''}"))
        writer, now = self._workers.writer, self._now()

        def between() -> None:
            check()
            writer.run_waiting()

        # While events come without a pause it is never done: what was appended before is
        # written after a moment.
        written = self.flush().addTimeout(_FLUSH_PATIENCE, self._clock, lambda _late, _seconds: None)
        return written.addCallback(lambda _none: writer.do(lambda: self._store.back_up(target, now, between)))

    def when_open(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once it is open; at once if it is."""
        if self._phase is _IS_OPEN:
            self._call(callback)
        else:
            self._when_open.append(callback)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:
            self._log.failure("journal: what waited until it is open failed")

    def close(self, within: float | None = None) -> Deferred[None]:
        """Write what waits, if the disk takes it, and close; open no more.

        :param within: seconds without anything being written; then a disk that does not even answer, or a
            file that another program has locked, is left alone. So it is after :data:`_LONGEST_CLOSE` seconds
            altogether. None for no bound.
        """
        self._closing = True
        if self._open_again is not None:
            self._open_again.cancel()
            self._open_again = None
        closed: Deferred[None] = succeed(None) if self._opening is None else self._opening
        closed.addCallback(lambda _none: self._close())
        if within is not None:
            self._bound_closing(closed, within)
        return closed

    def _bound_closing(self, closed: Deferred[None], within: float) -> None:
        clock = self._clock
        begun = self._progress_at = clock.seconds()
        timer: IDelayedCall

        def check() -> None:
            nonlocal timer
            left = min(self._progress_at + within, begun + _LONGEST_CLOSE) - clock.seconds()
            if left > _NO_TIME:
                timer = clock.callLater(left, check)
            else:
                closed.cancel()

        timer = clock.callLater(within, check)

        def ended(result: Failure | None) -> Failure | None:
            if timer.active():
                timer.cancel()
            if isinstance(result, Failure) and result.check(CancelledError):
                self._abort(within)
                return None
            return result

        closed.addBoth(ended)

    def _close(self) -> Deferred[None]:
        if self._phase is not _IS_OPEN:
            self._stall_alarm.stop()
            self._lose_waiting()
            return self._workers.stop()
        return self.flush().addCallback(lambda _none: self._end())

    def _abort(self, within: float) -> None:
        if self._clock.seconds() - self._progress_at < within - _NO_TIME:
            self._log.error("journal: closing has taken {seconds:g} s", seconds=_LONGEST_CLOSE)
        elif self.trouble:
            self._log.error(
                "journal: {reason}, for {seconds:g} s while closing", reason=self.trouble, seconds=within
            )
        else:
            self._log.error("journal: the disk has not answered for {seconds:g} s", seconds=within)
        self._phase = _Phase.CLOSED
        self._stop_alarms()
        self._lose_waiting()

    def _stop_alarms(self) -> None:
        self._alarm.stop()
        self._stall_alarm.stop()

    def _end(self) -> Deferred[None]:
        self._lose_waiting()
        self._phase = _Phase.CLOSED
        self._stop_alarms()
        # The last connection that is closed puts the write-ahead log into the file: it must be able to write.
        ended = self._workers.reader.do(self._store.close_reading)
        ended.addCallback(lambda _none: self._workers.writer.do(self._store.close_writing))
        return ended.addCallback(lambda _none: self._workers.stop())

    def flush(self) -> Deferred[None]:
        """Write everything that waits.

        :returns: fires when it is durable, or when the disk does not take it.
        """
        flushed: Deferred[None] = Deferred()
        self._flushed.append(flushed)
        self._go_on()
        return flushed

    # -- what the hub asks

    def end(self, account: int) -> Position:
        """Return the end of what is durable: one for all accounts, for they share a line of positions."""
        return self._contents.end

    def trimmed_to(self, account: int) -> Position:
        """Return the position up to which retention has deleted everything, of every account."""
        return self._contents.trimmed_to

    @property
    def trouble(self) -> str:
        """Why nothing can be written; empty while all is well."""
        kinds = (_WRITING, _CURSORS, _OPENING)
        return next((self._troubles[what] for what in kinds if what in self._troubles), "")

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""
        return self._queue.size

    @property
    def lost(self) -> dict[int, int]:
        """Events that could not be kept, by account, since the start."""
        return self._losses.totals

    def total(self, account: int) -> int:
        """Return how many events of an account were ever written."""
        return self._contents.totals.get(account, 0)

    def expired(self, account: int) -> int:
        """Return how many of these retention has deleted."""
        return self._contents.expired.get(account, 0)

    def inherited(self, account: int) -> Position:
        """Return up to which position events are of former runs, of every account."""
        return self._inherited

    def committed_before(self, account: int, age: float) -> Position:
        """Return up to which position events were committed some seconds ago, or earlier."""
        return self._commit_times.end_before(self._clock.seconds() - age)

    def clock_was_set(self) -> None:
        """Note by the new time which pairs are named, for later runs go by that."""
        self._due.next_touch = self._clock.seconds()
        if self._phase is _IS_OPEN:
            self._alarm.within(0.0)

    def observe(self, observer: Callable[[Batch], None]) -> None:
        """Call ``observer`` for all that is appended, in order, once it is durable."""
        self._observers.append(observer)

    def observe_retention(self, observer: Callable[[], None]) -> None:
        """Call ``observer`` each time that retention has deleted events."""
        self._retention_observers.append(observer)

    def enlist(self, bot: str, account: int) -> None:
        """Keep a cursor for a bot and one of its accounts from now on."""
        pair = (bot, account)
        if pair not in self._pairs:
            self._pairs.add(pair)
            self._delisted.pop(pair, None)
            if self._phase is _IS_OPEN:
                self._begin_at_end(pair)
                self._schedule_touch()

    def delist(self, bot: str, account: int) -> None:
        """Keep a cursor only as long as events are kept."""
        pair = (bot, account)
        if pair in self._pairs:
            self._pairs.remove(pair)
            self._delisted[pair] = self._clock.seconds()
            if self._phase is _IS_OPEN:
                self._schedule_touch()

    def _begin_at_end(self, pair: Pair) -> None:
        """Give a pair that has no cursor one at the end of what is durable."""
        contents = self._contents
        if pair not in contents.watermarks and pair not in self._unsaved.watermarks:
            contents.watermarks[pair] = Watermark(contents.end, self.total(pair[1]), 0)

    def _schedule_touch(self) -> None:
        self._due.touch_first = True
        self._alarm.within(0.0)

    def watermark(self, bot: str, account: int) -> Watermark:
        """Return how far a bot has come."""
        pair = (bot, account)
        return self._unsaved.watermarks.get(pair) or self._contents.watermarks.get(pair) or Watermark()

    def confirm(self, bot: str, account: int, watermark: Watermark) -> None:
        """Note that a bot has come so far."""
        self._unsaved.watermarks[bot, account] = watermark
        self._schedule_save()

    def put_back(self, bot: str, account: int, watermark: Watermark) -> None:
        """Note that a bot is to have again what is behind a watermark, though it had come further."""
        self._unsaved.put_back.add((bot, account))
        self.confirm(bot, account, watermark)

    def refused(self, bot: str, batch: Batch, reason: str) -> None:
        """Keep the one event of a batch in the list of those that a bot refused."""
        payload = batch.payloads[0]
        refused = self._unsaved.refused
        self._last_refused += 1
        refused.append(
            RefusedEvent(
                self._last_refused,
                bot,
                batch.account,
                batch.first,
                batch.times[0],
                self._now(),
                reason,
                len(payload),
                payload[:_REFUSED_BYTES],
            )
        )
        del refused[:-MAX_REFUSED]
        self._schedule_save()

    def list_refused(self, most: int) -> Deferred[list[RefusedEvent]]:
        """Return the newest refused events, the newest first; those that are not written yet too."""
        waiting = [*self._saving.refused, *self._unsaved.refused]
        store = self._store

        def listed(written: list[RefusedEvent]) -> list[RefusedEvent]:
            found = {one.id: one for one in (*written, *waiting)}
            return [found[number] for number in sorted(found, reverse=True)[:most]]

        return self._when_readable(lambda: store.list_refused(most)).addCallback(listed)

    def find_refused(self, number: int) -> Deferred[RefusedEvent | None]:
        """Return a refused event with its first bytes; None if there is none of that id."""
        waiting = {one.id: one for one in (*self._saving.refused, *self._unsaved.refused)}
        store = self._store
        return self._when_readable(lambda: waiting.get(number) or store.find_refused(number))

    def drop_refused(self, number: int | None = None) -> Deferred[int]:
        """Delete one refused event, or all; return how many there were."""
        if self._phase is not _IS_OPEN:
            return fail(self._why_closed())
        dropped: set[int] = set()
        for waiting in (self._saving.refused, self._unsaved.refused):
            dropped.update(one.id for one in waiting if number in (None, one.id))
            waiting[:] = [one for one in waiting if one.id not in dropped]
        store, upto = self._store, self._last_refused
        # Behind the job that writes what is dropped, if there is one.
        written = self._workers.writer.do(lambda: store.drop_refused(upto, number))
        return written.addCallback(lambda ids: len(dropped.union(ids)))

    def _when_readable(self, job: Callable[[], _Result]) -> Deferred[_Result]:
        """Do something in the thread that reads; fail with JournalError while the journal is not open."""
        if self._phase is not _IS_OPEN:
            return fail(self._why_closed())
        return self._workers.reader.do(job)

    def _why_closed(self) -> JournalError:
        return JournalError(self.trouble or "the journal is not open")

    def _schedule_save(self) -> None:
        if self._unsaved.since is None:
            self._unsaved.since = self._clock.seconds()
            self._alarm.within(_SAVE_AFTER)

    def append(self, account: int, payloads: list[bytes]) -> None:
        """Take in events, to be made durable with what else comes in this turn of the reactor."""
        now = self._now()
        queue = self._queue
        if queue.size > self._lose_above:
            self._losses.add(account, len(payloads), now, now)
            return
        queue.add(account, now, payloads)
        if queue.size > self._check_above:
            self._check_share(account)
        if not self._busy and not self._turn_scheduled:
            self._turn_scheduled = True
            self._when_turn_ends(self._turn_ends)

    @property
    def paused(self) -> dict[int, str]:
        """The accounts that are paused, each with the reason."""
        return self._backpressure.paused

    @property
    def pauses(self) -> int:
        """How many times an account was paused, since the start."""
        return self._backpressure.pauses

    def observe_pauses(self, observer: Callable[[int, str], None]) -> None:
        """Call ``observer`` when an account is paused, with the reason, or resumed."""
        self._backpressure.observe(observer)

    def pause_reason(self, account: int) -> str:
        """Return why an account is paused; empty if it is not."""
        return self._backpressure.paused.get(account, "")

    def _check_share(self, account: int) -> None:
        """Pause an account that has more than its share of what waits, unless commits fail."""
        if self._lose_above is not inf:
            return
        if not self._backpressure.paused:
            self._progress_at = self._clock.seconds()
        queue = self._queue
        if self._backpressure.added(account, queue.sizes[account], queue.size):
            self._stall_alarm.within(_STALLED_AFTER)
            if self._pause_log.should_log(str(account)):
                self._log.info(
                    "journal: account {account} sends faster than the disk writes; it is paused again and "
                    "again: {reason}",
                    account=account,
                    reason=self.pause_reason(account),
                )

    def _check_stalled(self) -> None:
        """Resume the paused accounts if nothing was written for too long, as if the disk had failed."""
        if not self._backpressure.paused:
            return
        left = self._progress_at + _STALLED_AFTER - self._clock.seconds()
        if left > _NO_TIME:
            self._stall_alarm.within(left)
            return
        self._log.error(
            "journal: nothing was written for {seconds:g} s{why}; {waits}",
            seconds=_STALLED_AFTER,
            why=f" ({self.trouble})" if self.trouble else "",
            waits=self._what_waits(),
        )
        self._troubles.setdefault(_WRITING, f"nothing was written for {_STALLED_AFTER:g} s")
        self._begin_losing()

    def _what_waits(self) -> str:
        return (
            f"live bots go on; events wait in memory, up to {self._limits.waiting >> 20} MiB, and what "
            "is beyond is lost for at-least-once bots"
        )

    def _begin_losing(self) -> None:
        """Pause no account from now on, for commits fail: a bound takes the place of that."""
        self._lose_above = self._limits.waiting
        self._backpressure.resume_all()

    def _end_losing(self) -> None:
        """Pause accounts again where need be, for something was written."""
        if self._lose_above is not inf:
            self._lose_above = inf
            for account in tuple(self._queue.sizes):
                self._check_share(account)

    def _turn_ends(self) -> None:
        """Commit together what was appended in one turn of the reactor."""
        self._turn_scheduled = False
        self._go_on()

    def tail(self, account: int, after: Position) -> Batch | None:
        """Return the next events behind a position, from memory."""
        return self._tail.after(account, after)

    def read(self, account: int, after: Position) -> Deferred[Page]:
        """Read the next events behind a position from the disk.

        What is cancelled is not read: who asks again and again does not make the others wait.
        """
        store, upto, size = self._store, self._contents.end, self._limits.page
        asked: Deferred[Page] | None = None

        def job() -> Page:
            if asked is not None and asked.called:
                return Page([], after)
            return store.read(account, after, upto, size)

        asked = self._workers.reader.do(job)
        return asked

    def read_one(self, account: int, position: Position) -> Deferred[Batch | None]:
        """Return the event at a position; None if it is not there any more."""
        if self._phase is not _IS_OPEN:
            return fail(self._why_closed())
        if not self._contents.trimmed_to < position <= self._contents.end:
            return succeed(None)

        def found(page: Page) -> Batch | None:
            for batch in page.batches[:1]:
                if batch.first == position:
                    return batch.part(0, 1)
            return None

        return self.read(account, position - 1).addCallback(found)

    def _lose_waiting(self) -> None:
        """Count what waits as lost, for nothing more will be written."""
        for account, times in self._queue.drop_all():
            self._losses.add(account, len(times), min(times), max(times))
        self._losses.log()

    # -- one thing after the other

    def _now(self) -> int:
        return int(self._wall_clock() * 1000)

    def _go_on(self) -> None:
        """Do the next thing that is to be done, if nothing is under way."""
        if self._busy or self._phase is not _IS_OPEN:
            return
        now = self._clock.seconds()
        due = self._due
        until = due.locked_until if self._flushed else max(due.locked_until, due.retry_at, due.pause_until)
        if until - now > _NO_TIME:
            self._alarm.within(until - now)
            return
        job = self._next_job(now)
        if job is not None:
            job()
        elif self._flushed:
            self._answer_flushed()
        else:
            at = min(due.next_trim, due.next_touch)
            if self._unsaved.since is not None:
                at = min(at, self._unsaved.since + _SAVE_AFTER)
            self._alarm.within(max(0.001, at - now))

    def _next_job(self, now: float) -> Callable[[], None] | None:
        """Return what to do next: a commit, but between two commits what else is due, however much waits."""
        due, unsaved = self._due, self._unsaved
        if due.touch_first and not due.make_room:
            return self._touch  # before events that a crash would make a new bot begin behind
        other = None
        if due.make_room:
            other = self._trim
        elif unsaved.since is not None and now - unsaved.since >= _SAVE_AFTER * 0.99:
            other = self._save
        elif self._flushed:
            other = self._save if unsaved.since is not None and not self._queue else None
        elif now >= due.next_trim:
            # What bots have does not expire for them: watermarks first.
            other = self._save if unsaved.watermarks and due.saved_at < due.next_trim else self._trim
        elif now >= due.next_touch:
            other = self._touch
        if self._queue and (other is None or due.was_other):
            due.was_other = False
            return self._commit
        due.was_other = other is not None
        return other

    def _do(
        self,
        what: str,
        job: Callable[[], _Result],
        done: Callable[[_Result], None],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._busy = True

        def ended(result: _Result | Failure) -> None:
            self._busy = False
            if isinstance(result, Failure):
                failed()
                self._failed(result, what)
            else:
                if what != _RETENTION:  # which writes only where something is too old
                    self._progress_at = self._clock.seconds()
                if self._troubles.pop(what, None) is not None:
                    self._log.info("journal: {what} goes on", what=what)
                done(result)
            self._go_on()

        def ours(failure: Failure) -> None:
            self._log.failure("journal: what follows {what} failed", failure, what=what)

        self._workers.writer.do(job).addBoth(ended).addErrback(ours)

    def _failed(self, failure: Failure, what: str) -> None:
        self.counters.failures += 1
        reason = str(failure.value) if failure.check(JournalError) else repr(failure.value)
        is_locked = failure.check(JournalBusy) is not None
        if what not in self._troubles:
            self._log.error(
                "journal: {what} failed: {reason}; it is tried again{waits}",
                what=what,
                reason=reason,
                waits=f"; {self._what_waits()}" if what == _WRITING and not is_locked else "",
            )
        self._troubles[what] = reason
        if is_locked:
            self._due.make_room = False  # that would not help
            self._due.locked_until = self._clock.seconds() + _RETRY_LOCKED_AFTER
            return
        if what != _RETENTION:
            self._due.retry_at = self._clock.seconds() + _RETRY_AFTER
        self._answer_flushed()
        if what != _RETENTION:
            self._begin_losing()

    def _answer_flushed(self) -> None:
        self._flushed, flushed = [], self._flushed
        for one in flushed:
            one.callback(None)

    def _commit(self) -> None:
        contents = self._contents
        # By a clock that may be wrong no event is older than those before it.
        not_before = contents.newest if self._steady_wall_clock() is None else 0
        packed = self._store.pack(self._queue.begin(contents.end, contents.totals), not_before)
        begun = self._clock.seconds()

        def failed() -> None:
            self._due.make_room = True  # retention may be able to

        def done(_none: None) -> None:
            now = self._clock.seconds()
            self._committed(now - begun, now, not_before)

        self._do(_WRITING, lambda: self._store.append(packed), done, failed)

    def _committed(self, took: float, now: float, not_before: int) -> None:
        batches = self._queue.done()
        if not batches:  # given up, and counted as lost: nobody is left to tell
            return
        self._end_losing()
        counters, contents = self.counters, self._contents
        counters.commits += 1
        counters.commit_seconds += took
        counters.slowest_commit = max(counters.slowest_commit, took)
        contents.end = batches[-1].last
        self._newest = batches[-1].times[-1]
        contents.newest = max(not_before, self._newest)
        self._commit_times.note(contents.end, now)
        for batch in batches:
            contents.totals[batch.account] = batch.before + len(batch)
            counters.events += len(batch)
            self._tail.add(batch)
        if self._unsaved.since is None:
            self._unsaved.since = self._clock.seconds()
        if self._losses and self._queue.size < self._limits.waiting // 2:
            self._losses.log()
        self._durable.extend(batches)
        full = self._queue.has_full
        if full:
            self._go_on()  # the next commit is under way while the bots get these
        while self._durable:
            batch = self._durable.popleft()
            for observer in self._observers:
                try:
                    observer(batch)
                except Exception:
                    self._log.failure("journal: an observer failed")
        if not full:
            many = batches[-1].last - batches[0].first + 1 >= _MANY_EVENTS
            pause = min(_PAUSE, took / 2) if many else _LINGER if self._queue.has_waiting else 0.0
            self._due.pause_until = self._clock.seconds() + pause
        if self._backpressure.paused:
            self._backpressure.freed(self._queue.sizes, self._queue.size)

    def _save(self) -> None:
        saving, self._unsaved = self._unsaved, _Unsaved()
        self._saving = saving
        contents = self._contents
        contents.watermarks.update(saving.watermarks)
        self._due.saved_at = self._clock.seconds()
        totals, end = dict(contents.totals), contents.end
        refused, put_back = tuple(saving.refused), frozenset(saving.put_back)

        def failed() -> None:
            newer = self._unsaved
            self._saving = _Unsaved()
            self._unsaved = _Unsaved(
                {**saving.watermarks, **newer.watermarks},
                [*saving.refused, *newer.refused],
                saving.put_back | newer.put_back,
                self._clock.seconds(),
            )
            self._due.make_room = True

        def done(_none: None) -> None:
            self._saving = _Unsaved()

        self._do(
            _CURSORS,
            lambda: self._store.save(totals, end, saving.watermarks, refused, put_back),
            done,
            failed,
        )

    def _trim(self) -> None:
        self._due.make_room = False
        self._due.next_trim = self._clock.seconds() + _TRIM_INTERVAL
        older_than, ages, size = self._older_than(), self._run_ages(), self._limits.max_size
        self._do(_RETENTION, lambda: self._store.trim(older_than, size, ages), self._trimmed)

    def _older_than(self) -> int:
        """Return before which time what was written in former runs is too old; 0 where that is not known."""
        now = self._steady_wall_clock()
        if now is None or now * 1000 < self._newest:
            return 0
        return int((now - self._limits.retention) * 1000)

    def _run_ages(self) -> RunAges:
        """Return what is too old, and what is not, by the clock of this run."""
        before = self._clock.seconds() - self._limits.retention
        old = frozenset(pair for pair, at in self._delisted.items() if at < before)
        return RunAges(
            self._inherited,
            self._commit_times.end_before(before),
            frozenset(self._delisted.keys() - old),
            old,
        )

    def _trimmed(self, trimmed: Trimmed) -> None:
        self.used = trimmed.used
        for pair in trimmed.forgotten:
            if pair not in self._pairs:
                self._delisted.pop(pair, None)
                self._contents.watermarks.pop(pair, None)
                self._unsaved.watermarks.pop(pair, None)
        if trimmed.more:
            self._due.next_trim = self._clock.seconds()
        if trimmed.upto > self._contents.trimmed_to:
            for account, expired in trimmed.expired.items():
                self.counters.expired += expired - self.expired(account)
                self._contents.expired[account] = expired
            self._contents.trimmed_to = trimmed.upto
            for observer in self._retention_observers:
                try:
                    observer()
                except Exception:
                    self._log.failure("journal: an observer failed")

    def _touch(self) -> None:
        """Write which pairs the configuration names, and the cursors of those that are new."""
        first, self._due.touch_first = self._due.touch_first, False
        self._due.next_touch = self._clock.seconds() + _TOUCH_INTERVAL
        named, now = {pair: self.watermark(*pair) for pair in self._pairs}, self._now()

        def failed() -> None:
            if first:
                self._due.touch_first = self._due.make_room = True

        what = _CURSORS if first else "noting the bots"
        self._do(what, lambda: self._store.touch(named, now), lambda _none: None, failed)
