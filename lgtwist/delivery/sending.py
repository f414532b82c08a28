"""Sending one account's events to one bot: which, when, and how many at once. Pure: time and journal come in.

From the cursor on events are sent to the active sink, as many as its window takes: from memory while the bot
keeps up, else from the disk by pages. Where it stands is one number, the position sent last; so changing over
between the two leaves no gap and repeats nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.counters import DeliveryCounters
from lgtwist.delivery.cursor import Cursor
from lgtwist.delivery.encoded_batch import EncodedBatch, read_for_routing
from lgtwist.delivery.interfaces import IEventSink, IJournal
from lgtwist.delivery.judging import Judging
from lgtwist.delivery.log import DeliveryLog
from lgtwist.delivery.missing_events import MissingEvents
from lgtwist.delivery.newest import count_newest
from lgtwist.delivery.read_ahead import ReadAhead
from lgtwist.delivery.refusals import Refusals
from lgtwist.delivery.replay import Backlog, ReplayPolicy
from lgtwist.delivery.sinks import Sinks
from lgtwist.delivery.waits import Waits
from lgtwist.delivery.window import Sent, Window
from lgtwist.onebot.event import Event, late_event, mark_replayed
from lgtwist.onebot.message import MessageFormat, convert_event
from lgtwist.runtime.long_work import LONG

#: So much is handed to a connection at once (bytes).
_PORTION = 256 << 10
#: Seconds until what cannot be read from the disk is tried again.
_READ_AGAIN = 1.0


class Sending:
    """The events that are behind a bot's cursor, on their way to its active sink.

    :param account: the account's ``self_id``.
    :param cursor: what the bot has confirmed; it begins in :meth:`begin`.
    :param judging: which events the bot gets.
    :param sinks: tells for which sinks late events wait.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: returns seconds since the epoch.
    :param window_bytes: bytes that may be unconfirmed; one event alone may be larger.
    :ivar active: the sink that takes the events; None if there is none.
    :ivar sent: how far events were sent, or passed over.
    :ivar window: what is under way.
    :ivar refusals: what the bot refused.
    :ivar replayed: what is up to this position is marked as late.
    :ivar has_begun: whether it goes on from a cursor, and was not stopped.
    """

    def __init__(
        self,
        account: int,
        journal: IJournal,
        *,
        cursor: Cursor,
        judging: Judging,
        sinks: Sinks,
        log: DeliveryLog,
        counters: DeliveryCounters,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        policy: ReplayPolicy,
        message_format: MessageFormat,
        window_bytes: int,
    ) -> None:
        self.active: IEventSink | None = None
        self.sent = Watermark()
        self.cursor = cursor
        self.window = Window(window_bytes)
        self.judging = judging
        self.refusals = Refusals()
        self.counters = counters
        self.policy = policy
        self.message_format = message_format
        self.replayed: Position = 0
        self.has_begun = False
        self._account = account
        self._journal = journal
        self._sinks = sinks
        self._log = log
        self._clock = clock
        self._wall_clock = wall_clock
        self._at_tail = False  # everything durable was sent
        self._pumping = False
        self._waits = Waits(clock, log.failed)
        self._read_ahead = ReadAhead()
        self._backlog = Backlog(policy, counters)
        self._missing = MissingEvents(account, journal, counters, log)

    def configure(
        self,
        *,
        policy: ReplayPolicy,
        passes: Callable[[Event], bool] | None,
        message_format: MessageFormat,
        window_bytes: int,
    ) -> None:
        """Take other settings, from the next event on; what is under way stays."""
        self.policy = self._backlog.policy = policy
        self.judging.passes = passes
        self.message_format = message_format
        self.window.limit = window_bytes
        self.cursor.grace = policy.grace
        self.cursor.settle()
        self.end_delay()

    def begin(self, watermark: Watermark) -> None:
        """Begin behind a watermark; what expired meanwhile is passed over."""
        self.has_begun = True
        self.sent = watermark
        self.cursor.begin(watermark)
        self.check_retention()

    def stop(self) -> None:
        """Send nothing more, and leave the cursor where it is, whatever becomes durable from now on."""
        self.active = None
        self.go_back()
        self.has_begun = False

    # -- beginning again

    def _break_off(self) -> None:
        self.window.clear()
        self._read_ahead.batches.clear()
        self._at_tail = False
        self._waits.cancel()
        self._log.is_silent = False
        self._log.skipped(self._backlog.unlogged())

    def go_back(self) -> None:
        """Send nothing more; what is under way is sent again from :meth:`resume` on."""
        self._break_off()
        self.sent = self.cursor.go_back()

    def comes_again(self) -> None:
        """Mark as late what was sent until now, when it is sent a second time."""
        self.replayed = max(self.replayed, self.sent.position)

    def resume(self) -> None:
        """Send from the cursor on."""
        self._break_off()
        if not self.has_begun:
            return
        self.sent = self.cursor.go_back()
        self.check_retention()
        self._log.flush_expired()
        end = self._journal.end(self._account)
        self._backlog.resume(end, self._clock.seconds())
        if self.policy.max_age is not None:
            self._skip_old(self.policy.max_age)
        if self.policy.max_events is not None and self.sent.position < end:
            self._count(end)
        else:
            self.pump()

    def _skip_old(self, max_age: float) -> None:
        """Find what is older than that: by the wall clock only what no other clock has seen."""
        journal, account = self._journal, self._account
        self._backlog.skip_old(
            journal.committed_before(account, max_age),
            journal.inherited(account),
            int((self._wall_clock() - max_age) * 1000),
        )

    def check_retention(self) -> None:
        """Go on behind what expired, count it, and say so."""
        deleted = self._journal.expired(self._account)
        trimmed_to = self._journal.trimmed_to(self._account)
        if deleted <= self.sent.ordinal or self.sent.position >= trimmed_to:
            return
        begin, done = self.sent.ordinal, self.cursor.settled.ordinal
        self.sent = Watermark(trimmed_to, deleted, 0)
        self._read_ahead.batches.clear()
        if not self.window.sent:
            self.cursor.jump(self.sent)
        self._missing.expired(begin, deleted, done)

    def _count(self, end: Position) -> None:
        """Find where the newest ``max_events`` events begin."""
        count = count_newest(
            self._journal,
            self._account,
            self.judging,
            after=self.sent.position,
            end=end,
            most=self.policy.max_events or 0,
        )

        def counted(result: Position | Failure) -> None:
            if isinstance(result, Failure):
                if self.active is not None:
                    self._waits.later(_READ_AGAIN, lambda: self._count(end))
                return
            self._backlog.skip_upto = result
            self.pump()

        self._waits.read(Deferred.fromCoroutine(count), counted)

    def end_delay(self) -> None:
        """Send late events from now on, if they wait."""
        if self._waits.is_delaying:
            self._delay_over()

    # -- sending

    def committed(self, encoded: EncodedBatch) -> None:
        """Send events that became durable, at once if the bot keeps up, as all do."""
        active, sent = self.active, self.sent
        judging = self.judging
        passes = judging.passes
        if active is None and passes is not None and self.has_begun:
            self._pass_while_away(encoded, passes)
        if not self._at_tail or encoded.last <= sent.position:
            return
        window = self.window
        if (
            active is not None
            and active.ready
            and encoded.first > sent.position
            and encoded.batch.before == sent.ordinal
            and not encoded.has_late
            and not self.refusals.one_at_a_time
            and window.events + encoded.events <= active.window
            and window.size + encoded.size <= window.limit
            and (passes is None or (not judging.cost and judging.work.has_time()))
        ):
            if passes is not None and self._take_some(active, encoded, passes):
                return
            events, size = encoded.events, encoded.size
            self.sent = watermark = encoded.watermark
            frames = encoded.frames(self.message_format, active.encode)
            self._hand_over(active, frames, events, size, watermark, encoded.at, encoded.only)
        else:
            self._at_tail = False
            self.pump()

    def _pass_while_away(self, encoded: EncodedBatch, passes: Callable[[Event], bool]) -> None:
        """Go on behind events that the bot may not see, while it is away and nothing else waits for it.

        So they count as confirmed, and not as a backlog, or as lost when they expire.
        """
        work = self.judging.work
        if (
            encoded.batch.before != self.sent.ordinal
            or encoded.first <= self.sent.position
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
        work = self.judging.work
        begun, took = work.looked_at, 0.0
        which = []
        for index, event in enumerate(events):
            if event is not None and passes(event):
                which.append(index)
            took = work.now() - begun
            if took > LONG and index + 1 < len(events):  # the rest is judged in later turns
                self.judging.note(took)
                self._at_tail = False
                self.pump()
                return True
        work.note(took)
        if took > LONG:
            self.judging.cost = took
        if len(which) == len(events):
            return False
        if not which:
            self._skip_to(encoded.watermark)
            return True
        self.sent = encoded.watermark
        batch, last = encoded.batch, which[-1]
        reached = Watermark(batch.first + last, batch.before + last + 1, batch.times[last])
        self._hand_over(
            sink,
            encoded.frames_of(which, self.message_format, sink.encode),
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
        window = self.window
        window.sent.append(Sent(watermark, events, size, now, only))
        window.size += size
        window.events += events
        self.counters.sent += events
        sink.take(frames, events, watermark.position)

    def confirmed(self, sink: IEventSink, upto: Position) -> None:
        """Note that the bot has everything up to a position that was given to ``take``."""
        if sink is not self.active:
            return
        window = self.window
        before = window.events
        watermark = window.confirm(upto)
        if watermark is None:
            self.pump()  # a sink may be ready again that had what was forgotten meanwhile
            return
        self.cursor.before_skip = None
        self.counters.confirmed += before - window.events
        self.refusals.confirmed(watermark.position)
        log = self._log
        log.refuses_all = False
        if log.is_silent:
            log.confirms_again()
        self.cursor.advance(watermark if window.sent else self.sent)
        self.pump()

    def pump(self) -> None:
        """Send what there is, as far as the bot takes it."""
        waits = self._waits
        if self._pumping or waits.timer is not None or waits.reading is not None:
            return
        self._pumping = True
        try:
            while (
                self.active is not None  # another one, perhaps, each time
                and self.active.ready
                and waits.timer is None
                and waits.reading is None
            ):
                room = self._room(self.active)
                batch = self._next_batch() if room > 0 else None
                if batch is None:
                    break
                if self.judging.passes is not None and self.judging.needs_turn:
                    self._judge_later()
                    break
                if not self._send(self.active, batch, room):
                    break
        finally:
            self._pumping = False

    def _judge_later(self) -> None:
        """Judge what comes next, and send what passes, in a later turn."""
        judging, waits = self.judging, self._waits

        def judge() -> None:
            begun = judging.begin_turn()
            self._pumping = True
            try:
                while judging.work.now() - begun <= LONG:
                    active = self.active
                    if active is None or not active.ready or waits.timer or waits.reading:
                        return
                    room = self._room(active)
                    batch = self._next_batch() if room > 0 else None
                    if batch is None or not self._send(active, batch, room):
                        return
            finally:
                self._pumping = False
            self.pump()

        waits.turn(judging.work, judging.cost, judge)

    def _room(self, sink: IEventSink) -> int:
        """Return how many events may go now."""
        self.refusals.reached(self.cursor.reached.position)
        window = self.window
        if self.refusals.one_at_a_time:
            return 0 if window.sent else 1
        if window.size >= window.limit:
            return 0
        return int(sink.window) - window.events

    def _next_batch(self) -> Batch | None:
        """Return the next events; None if there are none, or they must be read first."""
        while True:
            position = self.sent.position
            batches = self._read_ahead.batches
            if batches:
                batch = batches[0].after(position)
                if len(batch):
                    return batch
                batches.popleft()
                if not batches:
                    self._pass_over(self._read_ahead.upto)
                continue
            tail = self._journal.tail(self._account, position)
            if tail is None:
                self._waits.read(self._journal.read(self._account, position), self._page_read)
                if self._waits.reading is None and self._waits.timer is None:
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
            self._waits.later(_READ_AGAIN, self.pump)
            return
        self._read_ahead.fill(page)
        if not page.batches:
            self._pass_over(page.upto)
        self.pump()

    def _pass_over(self, upto: Position) -> None:
        """Go on behind a position, up to which nothing for this bot is left."""
        if upto > self.sent.position:
            self._skip_to(Watermark(upto, self.sent.ordinal, self.sent.time))

    def _skip_to(self, watermark: Watermark) -> None:
        self.sent = watermark
        if not self.window.sent and watermark.position > self.cursor.reached.position:
            self.cursor.advance(watermark)

    def _send(self, sink: IEventSink, batch: Batch, room: int) -> bool:
        """Send some of a batch; return whether more can be sent at once."""
        if batch.before > self.sent.ordinal:
            sent = self.sent
            self.sent = Watermark(sent.position, batch.before, sent.time)
            self._missing.before(batch, sent, self.cursor.settled.ordinal, self._read_ahead.trimmed_to)
        backlog = self._backlog
        late = backlog.includes(batch.first)
        payloads, times = batch.payloads, batch.times
        if late:
            delay = 0.0
            if self._sinks.has_delayed:
                delay = self._sinks.delay_left(sink, self.policy.delay, self._clock.seconds())
            if delay > 0:
                return self._hold_back(batch, delay)
            allowed, wait = backlog.allowed(self._clock.seconds())
            if not allowed:
                self._waits.later(wait, self.pump)
                return False
            room = min(room, allowed)
        most = min(_PORTION, self.window.limit - self.window.size)
        judged = self.judging.passes is not None or (late and backlog.skips)
        frames: list[bytes] = []
        size = taken = last = 0
        mark_upto = self.replayed if self.policy.mark else -1
        work = self.judging.work
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
            encoded = convert_event(payload if late_one is None else late_one, self.message_format)
            if position <= mark_upto or (late_one is not None and self.policy.mark):
                encoded = mark_replayed(encoded)
            frames.append(sink.encode(encoded))
            size += len(payload)
            taken += 1
            last = index
        else:
            index = len(payloads)
        if not index:
            return False
        if judged:
            self.judging.note(took)
        watermark = Watermark(batch.first + index - 1, batch.before + index, times[index - 1])
        if taken:
            if late:
                backlog.sent(taken)
            reached = Watermark(batch.first + last, batch.before + last + 1, times[last])
            self.sent = watermark
            only = batch.part(last, last + 1) if taken == 1 else None
            now = self._clock.seconds()
            self._hand_over(sink, b"".join(frames), taken, size, reached, now, only)
        else:
            self._skip_to(watermark)
        return True

    def _hold_back(self, batch: Batch, seconds: float) -> bool:
        """Let late events wait, if the bot gets any of them; pass over those that it does not get.

        :returns: whether there may be more to send at once.
        """
        backlog, index = self._backlog, 0
        found = self.judging.passes is None and not backlog.skips
        work = self.judging.work
        begun, took = work.now(), 0.0
        while not found and index < len(batch) and backlog.includes(batch.first + index) and took <= LONG:
            found = self._wants(batch.payloads[index], batch.first + index, batch.times[index], True)
            index += not found
            took = work.now() - begun
        if self.judging.passes is not None:
            self.judging.note(took)
        if index:
            self._skip_to(Watermark(batch.first + index - 1, batch.before + index, batch.times[index - 1]))
        if found:
            self._waits.is_delaying = True
            self._waits.later(seconds, self._delay_over)
        return not found

    def _delay_over(self) -> None:
        """Look again whether late events may be sent."""
        self._waits.end_delay()
        self.pump()

    def _wants(self, payload: bytes, position: Position, time: int, late: bool) -> bool:
        """Whether the bot may see an event, and wants it so late."""
        event, passes = read_for_routing(payload, self._account), self.judging.passes
        if event is None or (passes is not None and not passes(event)):
            return False
        return not (late and self._backlog.skip(position, time, event.post_type == "request"))
