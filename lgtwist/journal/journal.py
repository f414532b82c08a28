"""The journal as the hub sees it: group commits, one at a time, and the newest events in memory.

Everything here runs in the reactor thread; what may block is done by two workers, one that writes and one
that reads. Whatever is appended while a commit is under way is the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import TypeVar

from attrs import define, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.interfaces import IJournal
from lgtwist.journal.chunk import CHUNK_BYTES, Group
from lgtwist.journal.store import Contents, IStore, JournalError, Pair, Refusal, Trimmed
from lgtwist.journal.tail import Tail
from lgtwist.journal.worker import Worker

#: Marks are written so many seconds after they moved, at the latest.
_SAVE_AFTER = 1.0
#: What failed is tried again after so many seconds.
_RETRY_AFTER = 1.0
#: After a commit of so many events the next one waits as long as half of it took, at most so many seconds:
#: what the bots' progress brings goes into it. Half as many commits for the same events.
_MANY = 16
_PAUSE = 0.0005
#: After a commit of fewer, what waits already lingers for so many seconds: each commit costs the
#: reactor, and with it the bots that are live, some tenths of a millisecond.
_LINGER = 0.001
#: A timer that goes off so many seconds too early, for want of digits, is right on time.
_NO_TIME = 1e-6
#: Seconds between two looks at age and size.
_TRIM_INTERVAL = 5.0
#: And between two notes that the configuration still names its bots.
_TOUCH_INTERVAL = 3600.0
#: Of an event that a bot refused so many bytes are kept.
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
_OPEN = _Phase.OPEN


@frozen
class JournalLimits:
    """What the journal keeps.

    :ivar retention: seconds.
    :ivar max_size: bytes on disk.
    :ivar waiting: bytes that may wait for the disk.
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
class _Lost:
    """Events of one account that could not be kept, in one episode. Milliseconds since the epoch."""

    first: int
    last: int
    events: int = 0


@implementer(IJournal)
class Journal:
    """What must not be lost, until every bot has it.

    :param store: where it is written.
    :param make_worker: makes a worker of a name; one writes, another reads.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param when_turn_ends: calls what it is given once, when all that came at once was appended.
    :ivar lost: events that could not be kept, by account, since the start.
    :ivar used: bytes that are used on disk, when looked at last.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStore,
        make_worker: Callable[[str], Worker],
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        limits: JournalLimits = JournalLimits(),
        when_turn_ends: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._when_turn_ends = when_turn_ends or (lambda then: clock.callLater(0, then) and None)
        self.counters = JournalCounters()
        self.lost: dict[int, int] = {}
        self.used = 0
        self._store = store
        self._make_worker = make_worker
        self._troubles: dict[str, str] = {}
        self._clock = clock
        self._wall_clock = wall_clock
        self._limits = limits
        self._pairs: set[Pair] = set()  # that the configuration names
        self._phase = _Phase.CLOSED
        self._has_workers = self._closing = False
        self._opening: Deferred[None] | None = None  # fires when the attempt under way is over
        self._open_again: IDelayedCall | None = None
        self._when_open: list[Callable[[], None]] = []
        self._observers: list[Callable[[Batch], None]] = []
        self._retention_observers: list[Callable[[], None]] = []
        self._groups: deque[Group] = deque()  # the last takes what comes
        self._waiting = 0
        self._durable: deque[Batch] = deque()
        self._committing: tuple[Group, list[Batch]] | None = None
        self._busy = False
        self._turn_scheduled = self._make_room = self._was_other = self._touch_first = False
        self._retry_at = self._turn_at = self._saved_at = self._pause_until = 0.0
        self._turn: IDelayedCall | None = None
        self._contents = Contents()
        self._tail = Tail(limits.tail, 0)
        self._watermarks: dict[Pair, Watermark] = {}
        self._refused: list[Refusal] = []
        self._unsaved_since: float | None = None
        self._next_trim = self._next_touch = 0.0
        self._losing: dict[int, _Lost] = {}
        self._flushed: list[Deferred[None]] = []

    # -- life

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
        if not self._has_workers:
            self._writer, self._reader = map(self._make_worker, ("journal-writer", "journal-reader"))
            self._has_workers = True
        self._phase = _Phase.OPENING
        over = self._opening = Deferred()
        written = self._writer.do(lambda: self._store.open_writing(named, now))
        opened = written.addCallback(lambda contents: self._has(contents, named))
        opened.addCallback(lambda _none: self._reader.do(self._store.open_reading))
        opened.addCallbacks(lambda _none: self._is_open(), self._not_opened)

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
        return failure

    def _has(self, contents: Contents, named: frozenset[Pair]) -> None:
        self._contents = contents
        for pair in self._pairs - named:
            self._begin_at_end(pair)
        self._touch_first = contents.untouched or self._pairs != named
        self._tail = Tail(self._limits.tail, contents.end)

    def _is_open(self) -> None:
        if self._phase is not _Phase.OPENING:
            return  # given up meanwhile
        self._phase = _OPEN
        self._troubles.clear()
        self._next_touch = self._clock.seconds() + _TOUCH_INTERVAL
        self._when_open, waiting = [], self._when_open
        if not self._closing:
            for callback in waiting:
                self._call(callback)
        self._go_on()

    def when_open(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once it is open; at once if it is."""
        if self._phase is _OPEN:
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

        :param within: seconds; then a disk that does not even answer is left alone. None for no bound.
        """
        self._closing = True
        if self._open_again is not None:
            self._open_again.cancel()
            self._open_again = None
        closed: Deferred[None] = succeed(None) if self._opening is None else self._opening
        closed.addCallback(lambda _none: self._close())
        if within is not None:
            closed.addTimeout(within, self._clock, self._give_up)
        return closed

    def _close(self) -> Deferred[None]:
        if self._phase is not _OPEN:
            self._lose_waiting()
            return self._stop_workers()
        return self.flush().addCallback(lambda _none: self._end())

    def _give_up(self, _cancelled: object, seconds: float) -> None:
        self._log.error("journal: the disk has not answered for {seconds:g} s", seconds=seconds)
        self._phase = _Phase.CLOSED
        self._stop_timer()
        self._lose_waiting()

    def _end(self) -> Deferred[None]:
        self._lose_waiting()
        self._phase = _Phase.CLOSED
        self._stop_timer()
        # The last connection that is closed puts the write-ahead log into the file: it must be able to write.
        ended = self._reader.do(self._store.close_reading)
        ended.addCallback(lambda _none: self._writer.do(self._store.close_writing))
        return ended.addCallback(lambda _none: self._stop_workers())

    def _stop_workers(self) -> Deferred[None]:
        if not self._has_workers:
            return succeed(None)
        self._has_workers = False
        stopped = self._writer.stop()
        return stopped.addCallback(lambda _none: self._reader.stop())

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
        return self._waiting

    def total(self, account: int) -> int:
        """How many events of an account were ever written."""
        return self._contents.totals.get(account, 0)

    def expired(self, account: int) -> int:
        """How many of these are gone."""
        return self._contents.expired.get(account, 0)

    def observe(self, observer: Callable[[Batch], None]) -> None:
        """Call ``observer`` for all that is appended, in order, once it is durable."""
        self._observers.append(observer)

    def observe_retention(self, observer: Callable[[], None]) -> None:
        """Call ``observer`` when old events went."""
        self._retention_observers.append(observer)

    def enlist(self, bot: str, account: int) -> None:
        """Keep a cursor for a bot and one of its accounts from now on."""
        pair = (bot, account)
        if pair not in self._pairs:
            self._pairs.add(pair)
            if self._phase is _OPEN:
                self._begin_at_end(pair)
                self._schedule_touch()

    def delist(self, bot: str, account: int) -> None:
        """Keep a cursor no longer than events are kept."""
        pair = (bot, account)
        if pair in self._pairs:
            self._pairs.remove(pair)
            if self._phase is _OPEN:
                self._schedule_touch()

    def _begin_at_end(self, pair: Pair) -> None:
        """Give a pair that has no cursor one at the end of what is durable."""
        contents = self._contents
        if pair not in contents.watermarks and pair not in self._watermarks:
            contents.watermarks[pair] = Watermark(contents.end, self.total(pair[1]), 0)

    def _schedule_touch(self) -> None:
        self._touch_first = True
        self._schedule(0.0)

    def watermark(self, bot: str, account: int) -> Watermark:
        """Return how far a bot has come."""
        pair = (bot, account)
        return self._watermarks.get(pair) or self._contents.watermarks.get(pair) or Watermark()

    def confirm(self, bot: str, account: int, watermark: Watermark) -> None:
        """A bot has come so far."""
        self._watermarks[bot, account] = watermark
        self._schedule_save()

    def refused(self, bot: str, batch: Batch, reason: str) -> None:
        """A bot will not have this one event."""
        payload = batch.payloads[0]
        self._refused.append(
            Refusal(
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
        del self._refused[:-1000]
        self._schedule_save()

    def _schedule_save(self) -> None:
        if self._unsaved_since is None:
            self._unsaved_since = self._clock.seconds()
            self._schedule(_SAVE_AFTER)

    def append(self, account: int, payloads: list[bytes]) -> None:
        """Take in events."""
        now = self._now()
        if self._waiting > self._limits.waiting:
            self._lose(account, len(payloads), now, now)
            return
        groups = self._groups
        if not groups or groups[-1].size >= CHUNK_BYTES:
            groups.append(Group())
        group = groups[-1]
        before = group.size
        group.add(account, now, payloads)
        self._waiting += group.size - before
        if not self._busy and not self._turn_scheduled:
            self._turn_scheduled = True
            self._when_turn_ends(self._turn_ends)

    def _turn_ends(self) -> None:
        """What came in one turn of the reactor is committed together."""
        self._turn_scheduled = False
        self._go_on()

    def tail(self, account: int, after: Position) -> Batch | None:
        """The next events behind a position, from memory."""
        return self._tail.after(account, after)

    def read(self, account: int, after: Position) -> Deferred[Page]:
        """The next events behind a position, from the disk.

        What is cancelled is not read: who asks again and again does not make the others wait.
        """
        store, upto, size = self._store, self._contents.end, self._limits.page
        asked: Deferred[Page] | None = None

        def job() -> Page:
            if asked is not None and asked.called:
                return Page([], after)
            return store.read(account, after, upto, size)

        asked = self._reader.do(job)
        return asked

    # -- losing

    def _lose(self, account: int, events: int, first: int, last: int) -> None:
        self.lost[account] = self.lost.get(account, 0) + events
        lost = self._losing.setdefault(account, _Lost(first, last))
        lost.events += events
        lost.first = min(lost.first, first)
        lost.last = max(lost.last, last)

    def _lose_waiting(self) -> None:
        """Nothing more will be written."""
        under_way = [self._committing[0]] if self._committing is not None else []
        for group in (*under_way, *self._groups):
            for account, (times, _payloads) in group.runs.items():
                self._lose(account, len(times), min(times), max(times))
        self._committing = None
        self._groups.clear()
        self._waiting = 0
        self._tell_lost()

    def _tell_lost(self) -> None:
        """The episode is over: one line for each account."""
        self._losing, losing = {}, self._losing
        for account, lost in losing.items():
            self._log.error(
                "journal: {events} events of account {account}, the first at {first:.3f} and the last at "
                "{last:.3f} (seconds since the epoch), could not be kept: lost for at-least-once bots",
                events=lost.events,
                account=account,
                first=lost.first / 1000,
                last=lost.last / 1000,
            )

    # -- one thing after the other

    def _now(self) -> int:
        return int(self._wall_clock() * 1000)

    def _schedule(self, delay: float) -> None:
        """Go on after some seconds, at the latest."""
        at = self._clock.seconds() + delay
        if self._turn is not None:
            if self._turn_at <= at:
                return
            self._turn.cancel()
        self._turn_at = at
        self._turn = self._clock.callLater(delay, self._turn_came)

    def _stop_timer(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _turn_came(self) -> None:
        self._turn = None
        self._go_on()

    def _go_on(self) -> None:
        """Do the next thing that is to be done, if nothing is under way."""
        if self._busy or self._phase is not _OPEN:
            return
        now = self._clock.seconds()
        wait = max(self._retry_at, self._pause_until) - now
        if wait > _NO_TIME and not self._flushed:
            self._schedule(wait)
            return
        job = self._next_job(now)
        if job is not None:
            job()
        elif self._flushed:
            self._answer_flushed()
        else:
            due = min(self._next_trim, self._next_touch)
            if self._unsaved_since is not None:
                due = min(due, self._unsaved_since + _SAVE_AFTER)
            self._schedule(max(0.001, due - now))

    def _next_job(self, now: float) -> Callable[[], None] | None:
        """Events first; but what else is due comes between two commits, however many events wait."""
        other = None
        saving = self._unsaved_since is not None
        if self._touch_first and not self._make_room:
            return self._touch  # before events that a crash would make a new bot begin behind
        if self._make_room:
            other = self._trim
        elif saving and (self._flushed or now - (self._unsaved_since or 0.0) >= _SAVE_AFTER * 0.99):
            other = self._save
        elif self._flushed:
            pass
        elif now >= self._next_trim:
            # What bots have does not fall out for them: watermarks first.
            other = self._save if self._watermarks and self._saved_at < self._next_trim else self._trim
        elif now >= self._next_touch:
            other = self._touch
        if (self._groups or self._committing) and (other is None or self._was_other):
            self._was_other = False
            return self._commit
        self._was_other = other is not None
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
                if self._troubles.pop(what, None) is not None:
                    self._log.info("journal: {what} goes on", what=what)
                done(result)
            self._go_on()

        def ours(failure: Failure) -> None:
            self._log.failure("journal: what follows {what} failed", failure, what=what)

        self._writer.do(job).addBoth(ended).addErrback(ours)

    def _failed(self, failure: Failure, what: str) -> None:
        self.counters.failures += 1
        reason = str(failure.value) if failure.check(JournalError) else repr(failure.value)
        if what not in self._troubles:
            waits = (
                f"; live bots go on; events wait in memory, up to {self._limits.waiting >> 20} MiB, and what "
                "is beyond is lost for at-least-once bots"
            )
            self._log.error(
                "journal: {what} failed: {reason}; it is tried again{waits}",
                what=what,
                reason=reason,
                waits=waits if what == _WRITING else "",
            )
        self._troubles[what] = reason
        if what != _RETENTION:
            self._retry_at = self._clock.seconds() + _RETRY_AFTER
        self._answer_flushed()

    def _answer_flushed(self) -> None:
        self._flushed, flushed = [], self._flushed
        for one in flushed:
            one.callback(None)

    def _commit(self) -> None:
        if self._committing is None:
            group = self._groups.popleft()
            batches = group.batches(self._contents.end + 1, self._contents.totals)
            self._committing = (group, batches)
        packed = self._store.pack(self._committing[1])
        begun = self._clock.seconds()

        def failed() -> None:
            self._make_room = True  # retention may be able to

        def done(_none: None) -> None:
            self._committed(self._clock.seconds() - begun)

        self._do(_WRITING, lambda: self._store.append(packed), done, failed)

    def _committed(self, took: float) -> None:
        if self._committing is None:  # given up, and counted as lost: nobody is left to tell
            return
        group, batches = self._committing
        self._committing = None
        self._waiting -= group.size
        counters, contents = self.counters, self._contents
        counters.commits += 1
        counters.commit_seconds += took
        counters.slowest_commit = max(counters.slowest_commit, took)
        contents.end = batches[-1].last
        for batch in batches:
            contents.totals[batch.account] = batch.before + len(batch)
            counters.events += len(batch)
            self._tail.add(batch)
        if self._unsaved_since is None:
            self._unsaved_since = self._clock.seconds()
        if self._losing and self._waiting < self._limits.waiting // 2:
            self._tell_lost()
        self._durable.extend(batches)
        full = bool(self._groups) and self._groups[0].size >= CHUNK_BYTES
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
            many = batches[-1].last - batches[0].first + 1 >= _MANY
            pause = min(_PAUSE, took / 2) if many else _LINGER if self._groups else 0.0
            self._pause_until = self._clock.seconds() + pause

    def _save(self) -> None:
        watermarks, self._watermarks = self._watermarks, {}
        self._contents.watermarks.update(watermarks)
        self._saved_at = self._clock.seconds()
        refused, self._refused = self._refused, []
        totals, end = dict(self._contents.totals), self._contents.end
        self._unsaved_since = None

        def failed() -> None:
            self._watermarks = {**watermarks, **self._watermarks}
            self._make_room = True
            self._refused[:0] = refused
            self._unsaved_since = self._clock.seconds()

        self._do(
            _CURSORS,
            lambda: self._store.save(totals, end, watermarks, refused),
            lambda _none: None,
            failed,
        )

    def _trim(self) -> None:
        self._make_room = False
        self._next_trim = self._clock.seconds() + _TRIM_INTERVAL
        older_than = int((self._wall_clock() - self._limits.retention) * 1000)
        size = self._limits.max_size
        self._do(_RETENTION, lambda: self._store.trim(older_than, size), self._trimmed)

    def _trimmed(self, trimmed: Trimmed) -> None:
        self.used = trimmed.used
        for pair in trimmed.forgotten:
            if pair not in self._pairs:
                self._contents.watermarks.pop(pair, None)
                self._watermarks.pop(pair, None)
        if trimmed.more:
            self._next_trim = self._clock.seconds()
        if trimmed.upto > self._contents.trimmed_to:
            for account, gone in trimmed.expired.items():
                self.counters.expired += gone - self.expired(account)
                self._contents.expired[account] = gone
            self._contents.trimmed_to = trimmed.upto
            for observer in self._retention_observers:
                observer()

    def _touch(self) -> None:
        """Write which pairs the configuration names, and the cursors of those that are new."""
        first, self._touch_first = self._touch_first, False
        self._next_touch = self._clock.seconds() + _TOUCH_INTERVAL
        named, now = {pair: self.watermark(*pair) for pair in self._pairs}, self._now()

        def failed() -> None:
            if first:
                self._touch_first = self._make_room = True

        what = _CURSORS if first else "noting the bots"
        self._do(what, lambda: self._store.touch(named, now), lambda _none: None, failed)
