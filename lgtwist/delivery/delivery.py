"""Delivery at least once: one bot, one account. Pure: time, journal and connections come in.

The bot's *cursor* moves only over what it has confirmed, and is written to the journal. From there on
events are *sent* to the active sink (the newest connection), as many as its window takes: from memory while
the bot keeps up, else from the disk by pages. Where it stands is one number, the position sent last; so
changing over between the two leaves no gap and repeats nothing.

Whatever breaks, sending begins again behind the cursor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.counters import DeliveryCounters
from lgtwist.delivery.cursor import Cursor
from lgtwist.delivery.encoded_batch import EncodedBatch, read_for_routing
from lgtwist.delivery.gaps import Gaps
from lgtwist.delivery.interfaces import IEventSink, IJournal
from lgtwist.delivery.log import DeliveryLog
from lgtwist.delivery.read_ahead import ReadAhead
from lgtwist.delivery.redelivery import Redelivered, Redelivery
from lgtwist.delivery.refusals import Refusals, Verdict
from lgtwist.delivery.replay import Backlog, ReplayPolicy
from lgtwist.delivery.window import Sent, Window
from lgtwist.onebot.event import Event, late_event, mark_replayed
from lgtwist.onebot.message import MessageFormat, convert_event
from lgtwist.runtime.long_work import LONG, Piece, long_work_of

#: So much is handed to a connection at once (bytes).
_PORTION = 256 << 10
#: For a bot that wants all of the past.
_EVERYTHING = ReplayPolicy()
#: Events that are on their way again because the operator wants it, at most. Those that wait for the
#: connection have no more bytes than may be unconfirmed; one event alone may be larger.
_MOST_REDELIVERIES = 16
#: Seconds until what cannot be read from the disk is tried again.
_READ_AGAIN = 1.0


class Delivery:
    """The events of one account on their way to one bot.

    :param bot: the bot's name.
    :param account: the account's ``self_id``.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: returns seconds since the epoch.
    :param passes: which events the bot gets; None for all.
    :param window_bytes: bytes that may be unconfirmed; one event alone may be larger.
    :param patience: seconds without a confirmation that are worth a line in the log.
    """

    def __init__(
        self,
        bot: str,
        account: int,
        journal: IJournal,
        *,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        policy: ReplayPolicy = _EVERYTHING,
        passes: Callable[[Event], bool] | None = None,
        message_format: MessageFormat = MessageFormat.AS_IS,
        window_bytes: int = 4 << 20,
        patience: float = 60.0,
    ) -> None:
        self.bot = bot
        self.account = account
        self.counters = DeliveryCounters()
        self._journal = journal
        self._clock = clock
        self._wall_clock = wall_clock
        self._policy = policy
        self._passes = passes
        self._format = message_format
        self._log = DeliveryLog(bot, account, clock, patience)
        self._begun = self._stopped = False
        # Oldest first, each with the end of the journal when it came.
        self._sinks: dict[IEventSink, Position] = {}
        self._active: IEventSink | None = None
        # The sinks whose bots have asked nothing yet, with the clock's time of their lifecycle event.
        self._delayed: dict[IEventSink, float] = {}
        self._is_delaying = False  # the timer runs until late events may be sent to the active sink
        self._cursor = Cursor(policy.grace, clock.seconds, partial(journal.confirm, bot, account))
        self._sent = Watermark()
        self._window = Window(window_bytes)
        self._read_ahead = ReadAhead()
        self._at_tail = False  # everything durable was sent
        self._reading: Deferred[Any] | None = None
        self._timer: IDelayedCall | Piece | None = None
        self._long_work = long_work_of(clock)
        self._judging_cost = 0.0  # seconds that judging takes, by the last ones; 0 if it is not long
        self._pumping = False
        self._backlog = Backlog(policy, self.counters)
        self._replayed: Position = 0  # what is up to it is marked as late
        self._refusals = Refusals()
        self._gaps = Gaps()
        self._redeliveries: set[Redelivery] = set()

    def configure(
        self,
        *,
        policy: ReplayPolicy,
        passes: Callable[[Event], bool] | None,
        message_format: MessageFormat,
        window_bytes: int,
    ) -> None:
        """Take other settings, from the next event on; what is under way stays."""
        self._policy = self._backlog.policy = policy
        self._passes = passes
        self._format = message_format
        self._window.limit = window_bytes
        self._cursor.grace = policy.grace
        self._cursor.settle()
        if self._is_delaying:
            self._delay_over()

    def begin(self) -> None:
        """Begin where the journal says that the bot is. The journal is open."""
        self._begun = True
        self._sent = self._journal.watermark(self.bot, self.account)
        self._cursor.begin(self._sent)
        self.check_retention()
        if self._active is not None:
            self._sinks = dict.fromkeys(self._sinks, self._journal.end(self.account))
            self._replayed = self._journal.end(self.account)
            self._resume()

    def stop(self) -> None:
        """Send nothing any more: stop timers and reads, forget all sinks, and demote the active one."""
        self._stopped = True
        active, self._active = self._active, None
        self._sinks.clear()
        self._delayed.clear()
        self._stop_sending()
        self._sent = self._cursor.go_back()
        self._cursor.before_skip = None
        for redelivery in tuple(self._redeliveries):
            redelivery.break_off("the delivery was ended", "the delivery was ended")
        if active is not None:
            active.demote()

    # -- what one can see

    @property
    def unconfirmed(self) -> int:
        """How many events are under way."""
        return self._window.events

    @property
    def backlog(self) -> int:
        """How many events of the account the bot has not confirmed, those that it may not see among them."""
        return max(0, self._journal.total(self.account) - self._cursor.reached.ordinal)

    @property
    def cursor_age(self) -> float:
        """How long ago, in seconds, the newest confirmed event was taken in, while others wait; else 0."""
        since = self.cursor_since
        return 0.0 if since is None else max(0.0, self._wall_clock() - since)

    @property
    def cursor_since(self) -> float | None:
        """When the newest confirmed event was taken in (epoch seconds), while others wait; else None."""
        newest = self._cursor.reached
        return newest.time / 1000 if self.backlog and newest.time else None

    @property
    def silent(self) -> bool:
        """Whether a connected bot has confirmed nothing for too long."""
        sent = self._window.sent
        return bool(sent) and self._clock.seconds() - sent[0].at > self._log.patience

    @property
    def cursor(self) -> Position:
        """The position up to which the bot has everything, as the journal has it or will."""
        return self._cursor.settled.position

    @property
    def is_one_at_a_time(self) -> bool:
        """Whether events go one at a time, for the bot refused something."""
        return self._refusals.one_at_a_time

    @property
    def oldest(self) -> float | None:
        """When the oldest event of the backlog was taken in, in seconds since the epoch.

        None if there is none, or if it is not in memory.
        """
        if not self.backlog:
            return None
        tail = self._journal.tail(self.account, self._cursor.reached.position)
        return tail.times[0] / 1000 if tail is not None and len(tail) else None

    @property
    def reached(self) -> Position:
        """The position up to which the bot has confirmed everything."""
        return self._cursor.reached.position

    @property
    def has_begun(self) -> bool:
        """Whether it goes on from a cursor: the journal was opened."""
        return self._begun

    @property
    def is_connected(self) -> bool:
        """Whether a connection takes the events."""
        return self._active is not None

    @property
    def refuses_all(self) -> bool:
        """Whether the bot refuses every event, so that nothing more is skipped until it confirms one."""
        return self._log.refuses_all

    @property
    def can_undo(self) -> bool:
        """Whether the last :meth:`skip_to_end` can be undone."""
        return self._cursor.before_skip is not None

    # -- what the operator wants

    def skip_to_end(self) -> int:
        """Go on behind the newest event: what is under way is forgotten, what waits is not sent.

        It can be undone until the bot confirms something.

        :returns: how many events were skipped, those that the bot may not see among them.
        """
        if not self._begun or self._stopped:
            return 0
        self.check_retention()
        journal, account = self._journal, self.account
        end = Watermark(journal.end(account), journal.total(account), int(self._wall_clock() * 1000))
        skipped = end.ordinal - max(self._cursor.reached.ordinal, journal.expired(account))
        if skipped <= 0:
            return 0
        before = self._cursor.go_back()
        if self._cursor.before_skip is None:
            self._cursor.before_skip = before
        self.counters.skipped_to_end += skipped
        self._log.skipped_to_end(skipped)
        self._cursor.jump(end)
        self._begin_anew()
        return skipped

    def undo_skip(self) -> bool:
        """Put the cursor back to where it was before :meth:`skip_to_end`; return whether that could be done.

        What was sent since comes again behind what was skipped, and so does what was under way then, and
        what had been confirmed for less than the grace.
        """
        before, self._cursor.before_skip = self._cursor.before_skip, None
        if before is None:
            return False
        self._log.skip_undone()
        self._cursor.put_back(before)
        self._journal.put_back(self.bot, self.account, before)
        self._begin_anew()
        return True

    def _begin_anew(self) -> None:
        """Forget what is under way, and send from the cursor on."""
        self._replayed = max(self._replayed, self._sent.position)  # it comes a second time, or may
        if self._active is not None:
            self._active.forget()
            self._resume()
        else:
            self._sent = self._cursor.settled
            self.check_retention()

    async def deliver_again(self, position: Position) -> Redelivered:
        """Send the event at a position alone, once more, to the active sink; the cursor stays.

        :raises Exception: if the journal cannot be read now.
        """
        result = await self._deliver_again(position)
        self._log.sent_again(position, result)
        return result

    async def _deliver_again(self, position: Position) -> Redelivered:
        batch = await self._journal.read_one(self.account, position)
        begun = Redelivered("gone") if batch is None else self._begin_again(batch.payloads[0])
        del batch  # it is held no longer than the connection needs it
        if isinstance(begun, Redelivered):
            return begun
        try:
            return await begun.ended
        finally:
            self._redeliveries.discard(begun)

    def _begin_again(self, payload: bytes) -> Redelivery | Redelivered:
        """Send one event alone; return it on its way, or why it is not sent."""
        active = self._active
        if active is None or not self._begun:
            return Redelivered("not_connected")
        if not self._gets(payload):
            return Redelivered("refused", "the bot may not have this event, by its configuration")
        waiting = sum(len(one.frame) for one in self._redeliveries)
        if len(self._redeliveries) >= _MOST_REDELIVERIES or (
            waiting and waiting + len(payload) > self._window.limit
        ):
            return Redelivered("not_connected", "too many events are being delivered again")
        encoded = convert_event(late_event(payload) or payload, self._format)
        if self._policy.mark:
            encoded = mark_replayed(encoded)
        redelivery = Redelivery(active.encode(encoded), self._clock)
        self._redeliveries.add(redelivery)
        active.send_again(redelivery)
        return redelivery

    # -- who takes the events

    def attach(self, sink: IEventSink, delayed_from: float | None = None) -> None:
        """Make a sink the active one; the one that was is demoted.

        :param delayed_from: late events wait for ``replay.delay`` from this time of the clock on, or until
            :meth:`end_delay`: the bot has been sent the lifecycle event then, and has asked nothing yet. None
            if they do not wait.
        """
        if self._stopped:
            sink.demote()
            return
        if delayed_from is not None:
            self._delayed[sink] = delayed_from
        older = self._active
        self._sinks[sink] = self._replayed = self._journal.end(self.account)
        self._active = sink
        if older is not None:
            self._log.took_over()
            older.demote()
        self._resume()

    def detach(self, sink: IEventSink, refused: str | None) -> None:
        """Release a sink; the newest that is left is promoted. Nothing happens if it is not there.

        :param refused: why the bot refused what it was sent, if its end says that.
        """
        self._sinks.pop(sink, None)
        self._delayed.pop(sink, None)
        if sink is not self._active:
            return
        self._note_refusal(refused)
        self._active = None
        self._stop_sending()
        self._sent = self._cursor.go_back()
        if self._sinks:
            self._active, self._replayed = list(self._sinks.items())[-1]
            self._active.promote()
            self._resume()

    def end_delay(self, sink: IEventSink) -> None:
        """Send late events from now on: the bot was answered something, so it knows who it is."""
        self._delayed.pop(sink, None)
        if sink is self._active and self._is_delaying:
            self._delay_over()

    def failed(self, sink: IEventSink, refused: str | None) -> None:
        """Send again what is under way, for it did not arrive; the sink pumps when it can take it.

        :param refused: why the bot refused it, if it did.
        """
        if sink is self._active:
            self._note_refusal(refused)
            self._replayed = max(self._replayed, self._sent.position)  # it comes a second time
            self._resume()

    def recovered_sink(self, sink: IEventSink) -> None:
        """Note that a sink works again after failures: what was committed before is late."""
        if sink is self._active:
            self._replayed = self._journal.end(self.account)

    def confirmed(self, sink: IEventSink, upto: Position) -> None:
        """Note that the bot has everything up to a position that was given to ``take``."""
        if sink is not self._active:
            return
        window = self._window
        before = window.events
        watermark = window.confirm(upto)
        if watermark is None:
            self.pump()  # a sink may be ready again that had what was forgotten meanwhile
            return
        self._cursor.before_skip = None
        self.counters.confirmed += before - window.events
        self._refusals.confirmed(watermark.position)
        log = self._log
        log.refuses_all = False
        if log.is_silent:
            log.confirms_again()
        self._cursor.advance(watermark if window.sent else self._sent)
        self.pump()

    def check(self) -> None:
        """Save the cursor as far as its grace is over, and log a bot that confirms nothing.

        Call this each second or so.
        """
        self._cursor.settle()
        if self.silent:
            self._log.silent()

    # -- beginning again

    def _stop_sending(self) -> None:
        self._window.clear()
        self._read_ahead.batches.clear()
        self._at_tail = False
        for waiting in (self._reading, self._timer):
            if waiting is not None:
                waiting.cancel()
        self._reading = self._timer = None
        self._is_delaying = False
        self._log.is_silent = False
        self._log.skipped(self._backlog.unlogged())

    def _resume(self) -> None:
        """Send from the cursor on."""
        self._stop_sending()
        if not self._begun:
            return
        self._sent = self._cursor.go_back()
        self.check_retention()
        self._log.flush_expired()
        end = self._journal.end(self.account)
        self._backlog.resume(end, self._clock.seconds())
        if self._policy.max_age is not None:
            self._skip_old(self._policy.max_age)
        if self._policy.max_events is not None and self._sent.position < end:
            self._count(end)
        else:
            self.pump()

    def _skip_old(self, max_age: float) -> None:
        """Find what is older than that: by the wall clock only what no other clock has seen."""
        journal, account = self._journal, self.account
        self._backlog.skip_old(
            journal.committed_before(account, max_age),
            journal.inherited(account),
            int((self._wall_clock() - max_age) * 1000),
        )

    def check_retention(self) -> None:
        """Go on behind what expired, count it, and say so."""
        deleted = self._journal.expired(self.account)
        trimmed_to = self._journal.trimmed_to(self.account)
        if deleted <= self._sent.ordinal or self._sent.position >= trimmed_to:
            return
        expired = self._gaps.add(self._sent.ordinal, deleted, self._cursor.settled.ordinal)
        self._sent = Watermark(trimmed_to, deleted, 0)
        self._read_ahead.batches.clear()
        if not self._window.sent:
            self._cursor.jump(self._sent)
        self.counters.expired += expired
        self._log.expired(expired)

    def _count(self, end: Position) -> None:
        """Find where the newest ``max_events`` events begin."""
        newest: deque[Position] = deque(maxlen=(self._policy.max_events or 0) + 1)

        async def count() -> None:
            after = self._sent.position
            work = self._long_work
            begun = work.now()
            while after < end:
                page = await self._journal.read(self.account, after)
                for batch in page.batches:
                    for index, payload in enumerate(batch.payloads):
                        if self._passes is not None and (took := work.now() - begun) > LONG:
                            await work.later(took)
                            begun = work.now()
                        if batch.position(index) <= end and self._gets(payload):
                            newest.append(batch.position(index))
                after = max(page.upto, page.batches[-1].last if page.batches else after)

        def counted(result: object) -> None:
            if isinstance(result, Failure):
                if self._active is not None:
                    self._later(_READ_AGAIN, lambda: self._count(end))
                return
            self._backlog.skip_upto = newest[0] if len(newest) == newest.maxlen else 0
            self.pump()

        self._begin_reading(Deferred.fromCoroutine(count()), counted)

    def _begin_reading(self, reading: Deferred[Any], then: Callable[[Any], None]) -> None:
        """Wait for something that is read; who cancels it hears no more of it."""
        self._reading = reading

        def read(result: Any) -> None:
            if isinstance(result, Failure) and result.check(CancelledError):
                return
            self._reading = None
            then(result)

        reading.addBoth(read).addErrback(self._log.failed)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        def now() -> None:
            self._timer = None
            then()

        if self._timer is None:
            self._timer = self._clock.callLater(seconds, now)

    # -- sending

    def committed(self, encoded: EncodedBatch) -> None:
        """Send events that became durable, at once if the bot keeps up, as all do."""
        active, sent = self._active, self._sent
        if active is None and self._passes is not None:
            self._pass_while_away(encoded, self._passes)
        if not self._at_tail or encoded.last <= sent.position:
            return
        window = self._window
        if (
            active is not None
            and active.ready
            and encoded.first > sent.position
            and encoded.batch.before == sent.ordinal
            and not encoded.has_late
            and not self._refusals.one_at_a_time
            and window.events + encoded.events <= active.window
            and window.size + encoded.size <= window.limit
            and (self._passes is None or (not self._judging_cost and self._long_work.has_time()))
        ):
            if self._passes is not None and self._take_some(active, encoded, self._passes):
                return
            events, size = encoded.events, encoded.size
            self._sent = watermark = encoded.watermark
            frames = encoded.frames(self._format, active.encode)
            self._hand_over(active, frames, events, size, watermark, encoded.at, encoded.only)
        else:
            self._at_tail = False
            self.pump()

    def _pass_while_away(self, encoded: EncodedBatch, passes: Callable[[Event], bool]) -> None:
        """Go on behind events that the bot may not see, while it is away and nothing else waits for it.

        So they count as confirmed, and not as a backlog, or as lost when they expire.
        """
        work = self._long_work
        if (
            encoded.batch.before != self._sent.ordinal
            or encoded.first <= self._sent.position
            or not work.has_time()
        ):
            return
        begun = work.looked_at
        passed = False
        for event in encoded.read_events():
            passed = (event is not None and passes(event)) or work.now() - begun > LONG
            if passed:
                break
        work.note(work.now() - begun)
        if not passed:
            self._skip_to(encoded.watermark)

    def _take_some(self, sink: IEventSink, encoded: EncodedBatch, passes: Callable[[Event], bool]) -> bool:
        """Send those of the events that became durable that the bot may see, and pass over the others.

        :returns: False if it may see all of them; nothing was sent then.
        """
        events = encoded.read_events()
        work = self._long_work
        begun, took = work.looked_at, 0.0
        which = []
        for index, event in enumerate(events):
            if event is not None and passes(event):
                which.append(index)
            took = work.now() - begun
            if took > LONG and index + 1 < len(events):  # the rest is judged in later turns
                self._judging_cost = took
                work.note(took)
                self._at_tail = False
                self.pump()
                return True
        work.note(took)
        if took > LONG:
            self._judging_cost = took
        if len(which) == len(events):
            return False
        if not which:
            self._skip_to(encoded.watermark)
            return True
        self._sent = encoded.watermark
        batch, last = encoded.batch, which[-1]
        reached = Watermark(batch.first + last, batch.before + last + 1, batch.times[last])
        self._hand_over(
            sink,
            encoded.frames_of(which, self._format, sink.encode),
            len(which),
            sum([len(batch.payloads[index]) for index in which]),
            reached,
            encoded.at,
            batch.part(last, last + 1) if len(which) == 1 else None,
        )
        return True

    def _hand_over(
        self,
        sink: IEventSink,
        frames: bytes,
        events: int,
        size: int,
        watermark: Watermark,
        now: float,
        only: Batch | None,
    ) -> None:
        window = self._window
        window.sent.append(Sent(watermark, events, size, now, only))
        window.size += size
        window.events += events
        self.counters.sent += events
        sink.take(frames, events, watermark.position)

    def pump(self) -> None:
        """Send what there is, as far as the bot takes it."""
        if self._pumping or self._timer is not None or self._reading is not None:
            return
        self._pumping = True
        try:
            while (
                self._active is not None  # another one, perhaps, each time
                and self._active.ready
                and self._timer is None
                and self._reading is None
            ):
                room = self._room(self._active)
                batch = self._next_batch() if room > 0 else None
                if batch is None:
                    break
                if self._passes is not None and (self._judging_cost or not self._long_work.has_time()):
                    self._judge_later()
                    break
                if not self._send(self._active, batch, room):
                    break
        finally:
            self._pumping = False

    def _judge_later(self) -> None:
        """Judge what comes next, and send what passes, in a later turn."""

        def judge() -> None:
            self._timer = None
            self._judging_cost /= 2  # the next one may be as dear
            if self._judging_cost <= LONG:
                self._judging_cost = 0.0
            begun = self._long_work.now()
            self._pumping = True
            try:
                while self._long_work.now() - begun <= LONG:
                    active = self._active
                    if active is None or not active.ready or self._timer or self._reading:
                        return
                    room = self._room(active)
                    batch = self._next_batch() if room > 0 else None
                    if batch is None or not self._send(active, batch, room):
                        return
            finally:
                self._pumping = False
            self.pump()

        self._timer = self._long_work.add(judge, self._judging_cost)

    def _room(self, sink: IEventSink) -> int:
        """Return how many events may go now."""
        self._refusals.reached(self._cursor.reached.position)
        window = self._window
        if self._refusals.one_at_a_time:
            return 0 if window.sent else 1
        if window.size >= window.limit:
            return 0
        return int(sink.window) - window.events

    def _next_batch(self) -> Batch | None:
        """Return the next events; None if there are none, or they must be read first."""
        while True:
            position = self._sent.position
            batches = self._read_ahead.batches
            if batches:
                batch = batches[0].after(position)
                if len(batch):
                    return batch
                batches.popleft()
                if not batches:
                    self._pass_over(self._read_ahead.upto)
                continue
            tail = self._journal.tail(self.account, position)
            if tail is None:
                self._begin_reading(self._journal.read(self.account, position), self._page_read)
                if self._reading is None and self._timer is None:
                    continue  # it was there at once
                return None
            if not len(tail):
                self._at_tail = True
                self._log.skipped(self._backlog.unlogged())
                return None
            return tail

    def _page_read(self, page: Page | Failure) -> None:
        if isinstance(page, Failure):
            self._log.unreadable(page)
            self._later(_READ_AGAIN, self.pump)
            return
        self._read_ahead.fill(page)
        if not page.batches:
            self._pass_over(page.upto)
        self.pump()

    def _pass_over(self, upto: Position) -> None:
        """Nothing for this bot is left up to a position."""
        if upto > self._sent.position:
            self._skip_to(Watermark(upto, self._sent.ordinal, self._sent.time))

    def _skip_to(self, watermark: Watermark) -> None:
        self._sent = watermark
        if not self._window.sent and watermark.position > self._cursor.reached.position:
            self._cursor.advance(watermark)

    def _send(self, sink: IEventSink, batch: Batch, room: int) -> bool:
        """Send some of a batch; whether it is worth going on."""
        if batch.before > self._sent.ordinal:
            self._missing(batch)
        backlog = self._backlog
        late = backlog.includes(batch.first)
        payloads, times = batch.payloads, batch.times
        if late:
            delay = self._delay_left(sink) if self._delayed else 0.0
            if delay > 0:
                return self._hold_back(batch, delay)
            allowed, wait = backlog.allowed(self._clock.seconds())
            if not allowed:
                self._later(wait, self.pump)
                return False
            room = min(room, allowed)
        most = min(_PORTION, self._window.limit - self._window.size)
        judged = self._passes is not None or (late and backlog.skips)
        frames: list[bytes] = []
        size = taken = last = 0
        mark_upto = self._replayed if self._policy.mark else -1
        work = self._long_work
        begun = work.now() if judged else 0.0
        took = 0.0
        for index, payload in enumerate(payloads):
            position = batch.first + index
            if late and not backlog.includes(position):
                break  # what follows happened since: it is looked at anew
            if taken >= room or (taken and size + len(payload) > most):
                break
            if judged:
                if took > LONG:
                    break  # the rest is judged in later turns
                wanted = self._wants(payload, position, times[index], late)
                took = work.now() - begun
                if not wanted:
                    continue
            late_one = late_event(payload)
            encoded = convert_event(payload if late_one is None else late_one, self._format)
            if position <= mark_upto or (late_one is not None and self._policy.mark):
                encoded = mark_replayed(encoded)
            frames.append(sink.encode(encoded))
            size += len(payload)
            taken += 1
            last = index
        else:
            index = len(payloads)
        if not index:
            return False
        work.note(took)
        if took > LONG:
            self._judging_cost = took
        watermark = Watermark(batch.first + index - 1, batch.before + index, times[index - 1])
        if taken:
            if late:
                backlog.sent(taken)
            reached = Watermark(batch.first + last, batch.before + last + 1, times[last])
            self._sent = watermark
            only = batch.part(last, last + 1) if taken == 1 else None
            now = self._clock.seconds()
            self._hand_over(sink, b"".join(frames), taken, size, reached, now, only)
        else:
            self._skip_to(watermark)
        return True

    def _delay_left(self, sink: IEventSink) -> float:
        """Return in how many seconds late events may be sent to a sink."""
        since = self._delayed.get(sink)
        if since is None:
            return 0.0
        left = since + self._policy.delay - self._clock.seconds()
        if left <= 0:
            del self._delayed[sink]
        return left

    def _hold_back(self, batch: Batch, seconds: float) -> bool:
        """Let late events wait, if the bot gets any of them; pass over those that it does not get.

        :returns: whether there may be more to send at once.
        """
        backlog, index = self._backlog, 0
        found = self._passes is None and not backlog.skips
        work = self._long_work
        begun, took = work.now(), 0.0
        while not found and index < len(batch) and backlog.includes(batch.first + index) and took <= LONG:
            found = self._wants(batch.payloads[index], batch.first + index, batch.times[index], True)
            index += not found
            took = work.now() - begun
        if self._passes is not None:
            work.note(took)
            if took > LONG:
                self._judging_cost = took
        if index:
            self._skip_to(Watermark(batch.first + index - 1, batch.before + index, batch.times[index - 1]))
        if found:
            self._is_delaying = True
            self._later(seconds, self._delay_over)
        return not found

    def _delay_over(self) -> None:
        """Look again whether late events may be sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_delaying = False
        self.pump()

    def _missing(self, batch: Batch) -> None:
        """Pass over what the journal does not have any more in front of a batch, count it, and say so."""
        begin, first = self._sent.ordinal, self._sent.position
        self._sent = Watermark(first, batch.before, self._sent.time)
        events = self._gaps.add(begin, batch.before, self._cursor.settled.ordinal)
        if not events:
            return
        expired = min(events, max(0, self._journal.expired(self.account) - begin))
        if first < self._read_ahead.trimmed_to:  # the journal will say so in a moment
            expired = events
        damaged = events - expired
        self.counters.expired += expired
        self.counters.damaged += damaged
        if damaged:
            self._log.missing(first, batch.first, damaged=damaged, expired=expired)
        else:
            self._log.expired_unseen(expired)

    def _gets(self, payload: bytes) -> bool:
        """Whether the bot may see an event."""
        if self._passes is None:
            return True
        event = read_for_routing(payload, self.account)
        return event is not None and self._passes(event)

    def _wants(self, payload: bytes, position: Position, time: int, late: bool) -> bool:
        """Whether the bot may see an event, and wants it so late."""
        event = read_for_routing(payload, self.account)
        if event is None or (self._passes is not None and not self._passes(event)):
            return False
        return not (late and self._backlog.skip(position, time, event.post_type == "request"))

    # -- what a bot will not have

    def _note_refusal(self, reason: str | None) -> None:
        """Judge an event that was under way and was refused; ``reason`` is None if it just did not arrive."""
        window = self._window
        if reason is None or not window.sent:
            return
        if window.events == 1:
            alone = window.sent[0]
            event = alone.only
            assert event is not None
            verdict = self._refusals.judge(event.first, event.size(), reason)
            if verdict is Verdict.SKIP:
                self._skip(event, alone.watermark, reason)
            elif verdict is Verdict.REFUSES_ALL:
                self._log.refuses_every_event(reason)
        self._refusals.note(self._sent.position)

    def _skip(self, event: Batch, watermark: Watermark, reason: str) -> None:
        self.counters.refused += 1
        self._cursor.before_skip = None  # it would be refused once more
        kind = read_for_routing(event.payloads[0], self.account)
        self._log.refused(event, "unreadable" if kind is None else kind.post_type, reason)
        self._journal.refused(self.bot, event, reason)
        self._cursor.jump(watermark)
