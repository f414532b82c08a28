"""Delivery at least once: one bot, one account. Pure: time, journal and connections come in.

The bot's *cursor* moves only over what it has confirmed, and is written to the journal. From there on
events are *sent* to the connection that holds the delivery (the newest), as many as its window takes:
from memory while the bot keeps up, else from the disk by pages. Where it stands is one number, the
position sent last; so changing over between the two leaves no gap and repeats nothing.

Whatever breaks, sending begins again behind the cursor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.gaps import Gaps
from lgtwist.delivery.interfaces import IEventSink, IJournal
from lgtwist.delivery.refusals import TIMES, Refusals, Verdict
from lgtwist.delivery.replay import Backlog, ReplayPolicy, Skipped
from lgtwist.onebot.event import BadEvent, Event, marked_replayed, read_event
from lgtwist.onebot.message import MessageFormat, convert_event
from lgtwist.runtime.logs import LogThrottle

#: So much is handed to a connection at once (bytes).
_PORTION = 256 << 10
#: So many confirmations that are younger than grace are told apart.
_YOUNG = 1000
#: What cannot be read from the disk is tried again after so many seconds.
_READ_AGAIN = 1.0


@define
class DeliveryCounters(Skipped):
    """What happened to one bot's delivery, since the start."""

    sent: int = 0
    confirmed: int = 0
    refused: int = 0  # skipped, for the bot refused them
    expired: int = 0  # the journal did not keep them so long
    damaged: int = 0  # could not be read


class _Sent(msgspec.Struct, eq=False):
    """Some events under way, confirmed together.

    :ivar watermark: where the bot is when it has them.
    :ivar at: when they were sent, in seconds.
    :ivar only: the event, if it is one.
    """

    watermark: Watermark
    events: int
    size: int
    at: float
    only: Batch | None


class EncodedBatch:
    """A committed batch, made once for all that take all of it in the same form.

    :param now: seconds.
    :ivar watermark: where a bot is that has it.
    :ivar at: when it was committed, in seconds.
    """

    def __init__(self, batch: Batch, now: float) -> None:
        self.batch = batch
        self.at = now
        self.events = len(batch)
        self.size = batch.size()
        self.first, self.last = batch.first, batch.last
        self.watermark = Watermark(self.last, batch.before + self.events, batch.times[-1])
        self.only = batch if self.events == 1 else None
        self._form: tuple[MessageFormat | None, Any] = (None, None)
        self._made = b""
        self._others: dict[tuple[MessageFormat, Any], bytes] = {}

    def frames(self, message_format: MessageFormat, encode: Callable[[bytes], bytes]) -> bytes:
        """All events, encoded and joined."""
        if self._form[0] is not message_format or self._form[1] is not encode:
            self._form = form = (message_format, encode)
            found = self._others.get(form)
            if found is None:
                payloads = self.batch.payloads
                found = b"".join([encode(convert_event(one, message_format)) for one in payloads])
                self._others[form] = found
            self._made = found
        return self._made


def _read(payload: bytes) -> Event | None:
    """What routing asks of an event; None if it cannot be read, which nothing in a journal is."""
    try:
        return read_event(payload)
    except BadEvent:
        return None


class Delivery:
    """The events of one account on their way to one bot.

    :param bot: the bot's name.
    :param account: the account's ``self_id``.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param passes: which events the bot gets; None for all.
    :param window_bytes: bytes that may be unconfirmed; one event alone may be larger.
    :param patience: seconds without a confirmation that are worth a line in the log.
    :ivar unconfirmed: events that are under way.
    """

    _log = Logger()

    def __init__(
        self,
        bot: str,
        account: int,
        journal: IJournal,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        policy: ReplayPolicy | None = None,
        passes: Callable[[Event], bool] | None = None,
        message_format: MessageFormat = MessageFormat.AS_IS,
        window_bytes: int = 4 << 20,
        patience: float = 60.0,
    ) -> None:
        self.bot = bot
        self.account = account
        self.counters = DeliveryCounters()
        self.unconfirmed = 0
        self._journal = journal
        self._clock = clock
        self._wall_clock = wall_clock
        self._policy = policy or ReplayPolicy()
        self._passes = passes
        self._format = message_format
        self._window_bytes = window_bytes
        self._patience = patience
        self._sinks: dict[IEventSink, Position] = {}  # oldest first; what is up to there was there before it
        self._active: IEventSink | None = None
        self._begun = self._stopped = False
        # how far the bot has come
        self._cursor = Watermark()  # as the journal has it, or will
        self._confirmed: deque[tuple[float, Watermark]] = deque()  # not yet older than grace
        # how far we have sent
        self._sent = Watermark()
        self._window: deque[_Sent] = deque()
        self._window_size = 0
        self._page: deque[Batch] = deque()
        self._page_upto: Position = 0
        self._page_trimmed: Position = 0
        self._at_tail = False
        self._reading: Deferred[Any] | None = None
        self._pumping = False
        self._backlog = Backlog(self._policy, self.counters)
        self._replayed: Position = 0  # what is up to it is marked as late
        self._refusals = Refusals()
        self._gaps = Gaps()
        self._expiring = LogThrottle(clock, 600.0)
        self._unreadable = LogThrottle(clock)
        self._expired_unlogged = 0  # not told yet
        self._timer: IDelayedCall | None = None
        self._told_refusing = self._told_silent = False

    def begin(self) -> None:
        """The journal is open: the cursor is where it was."""
        self._begun = True
        self._cursor = self._sent = self._journal.watermark(self.bot, self.account)
        self.check_retention()
        if self._active is not None:
            self._sinks = dict.fromkeys(self._sinks, self._journal.end(self.account))
            self._replayed = self._journal.end(self.account)
            self._resume()

    def stop(self) -> None:
        """Send nothing any more: stop timers and reads, let go of all sinks, and demote the active one."""
        self._stopped = True
        active, self._active = self._active, None
        self._sinks.clear()
        self._stop_sending()
        self._go_back()
        if active is not None:
            active.demote()

    # -- what one can see

    @property
    def backlog(self) -> int:
        """How many events of the account the bot has not confirmed, those that it may not see among them."""
        return max(0, self._journal.total(self.account) - self._confirmed_mark.ordinal)

    @property
    def cursor_age(self) -> float:
        """How long ago, in seconds, the newest confirmed event was taken in, while others wait; else 0."""
        newest = self._confirmed_mark
        return max(0.0, self._wall_clock() - newest.time / 1000) if self.backlog and newest.time else 0.0

    @property
    def silent(self) -> bool:
        """Whether a connected bot has confirmed nothing for too long."""
        return bool(self._window) and self._clock.seconds() - self._window[0].at > self._patience

    @property
    def cursor(self) -> Position:
        """The position up to which the bot has everything."""
        return self._cursor.position

    @property
    def is_one_at_a_time(self) -> bool:
        """Whether events go one at a time, for the bot refused something."""
        return self._refusals.one_at_a_time

    @property
    def _confirmed_mark(self) -> Watermark:
        return self._confirmed[-1][1] if self._confirmed else self._cursor

    # -- who takes the events

    def attach(self, sink: IEventSink) -> None:
        """A connection is open: it takes over."""
        if self._stopped:
            sink.demote()
            return
        older = self._active
        self._sinks[sink] = self._replayed = self._journal.end(self.account)
        self._active = sink
        if older is not None:
            self._say(
                LogLevel.info,
                "{bot}: a newer connection takes over account {account}; the older goes on as live",
            )
            older.demote()
        self._resume()

    def detach(self, sink: IEventSink, refused: str | None) -> None:
        """A connection is over.

        :param refused: why the bot refused what it was sent, if its end says that.
        """
        self._sinks.pop(sink, None)  # it is not there if the delivery was stopped
        if sink is not self._active:
            return
        self._note_refusal(refused)
        self._active = None
        self._stop_sending()
        self._go_back()
        if self._sinks:
            self._active, self._replayed = list(self._sinks.items())[-1]
            self._active.promote()
            self._resume()

    def failed(self, sink: IEventSink, refused: str | None) -> None:
        """What was sent did not arrive; the sink pumps when it can take it again."""
        if sink is self._active:
            self._note_refusal(refused)
            self._replayed = max(self._replayed, self._sent.position)  # it comes a second time
            self._resume()

    def came_back(self, sink: IEventSink) -> None:
        """After failures the sink works again: what was committed before is late."""
        if sink is self._active:
            self._replayed = self._journal.end(self.account)

    def confirmed(self, sink: IEventSink, upto: Position) -> None:
        """The bot has everything up to a position that was given to ``take``."""
        if sink is not self._active:
            return
        watermark = None
        while self._window and self._window[0].watermark.position <= upto:
            one = self._window.popleft()
            watermark = one.watermark
            self._window_size -= one.size
            self.unconfirmed -= one.events
            self.counters.confirmed += one.events
        if watermark is None:
            return
        self._refusals.confirmed(watermark.position)
        self._told_refusing = False
        if self._told_silent:
            self._told_silent = False
            self._say(LogLevel.info, "{bot}: confirms events of account {account} again")
        self._move(self._sent if not self._window else watermark)
        self.pump()

    def _move(self, watermark: Watermark) -> None:
        """The bot has come so far."""
        if self._policy.grace:
            if len(self._confirmed) >= _YOUNG:
                self._confirmed.pop()  # the newest takes its place, and settles later than it would have
            self._confirmed.append((self._clock.seconds(), watermark))
            self.settle()
        else:
            self._cursor = watermark
            self._journal.confirm(self.bot, self.account, watermark)

    def settle(self) -> None:
        """Time has passed: what was confirmed long enough ago need not be sent again."""
        until = self._clock.seconds() - self._policy.grace
        cursor = None
        while self._confirmed and self._confirmed[0][0] <= until:
            cursor = self._confirmed.popleft()[1]
        if cursor is not None:
            self._cursor = cursor
            self._journal.confirm(self.bot, self.account, cursor)

    def check(self) -> None:
        """To be called each second or so."""
        self.settle()
        if self.silent and not self._told_silent:
            self._told_silent = True
            self._say(
                LogLevel.warn,
                "{bot}: no confirmation of events of account {account} for {seconds:g} s; "
                "it is left in peace, and what it does not confirm comes again on its next connection",
                seconds=self._patience,
            )

    # -- beginning again

    def _stop_sending(self) -> None:
        self._window.clear()
        self._window_size = self.unconfirmed = 0
        self._page.clear()
        self._at_tail = False
        for waiting in (self._reading, self._timer):
            if waiting is not None:
                waiting.cancel()
        self._reading = self._timer = None
        self._told_silent = False
        self._tell_skipped()

    def _go_back(self) -> None:
        """It broke: what is behind the cursor is sent again; grace moves it back."""
        self.settle()
        self._confirmed.clear()
        self._sent = self._cursor

    def _resume(self) -> None:
        """Send from the cursor on."""
        self._stop_sending()
        if not self._begun:
            return
        self._go_back()
        self.check_retention()
        self._log_expired()
        end = self._journal.end(self.account)
        self._backlog.resume(end, self._wall_clock(), self._clock.seconds())
        if self._policy.max_events is not None and self._sent.position < end:
            self._count(end)
        else:
            self.pump()

    def check_retention(self) -> None:
        """What the journal did not keep so long is named."""
        gone = self._journal.expired(self.account)
        if gone <= self._sent.ordinal or self._sent.position >= self._journal.trimmed_to(self.account):
            return
        expired = self._gaps.add(self._sent.ordinal, gone, self._cursor.ordinal)
        self._sent = Watermark(self._journal.trimmed_to(self.account), gone, 0)
        self._page.clear()
        if not self._window:
            self._confirmed.clear()
            self._cursor = self._sent
            self._journal.confirm(self.bot, self.account, self._cursor)
        self.counters.expired += expired
        self._expired_unlogged += expired
        if expired and self._expiring.should_log():
            self._log_expired()

    def _log_expired(self) -> None:
        """At the beginning, and when the bot is back: not each time that something falls out."""
        expired, self._expired_unlogged = self._expired_unlogged, 0
        if expired:
            self._say(
                LogLevel.warn,
                "{bot}: {events} events of account {account} fell out of the journal before the bot had them "
                "(retention, max_size)",
                events=expired,
            )

    def _count(self, end: Position) -> None:
        """Find where the newest ``max_events`` events begin."""
        newest: deque[Position] = deque(maxlen=(self._policy.max_events or 0) + 1)

        async def count() -> None:
            after = self._sent.position
            while after < end:
                page = await self._journal.read(self.account, after)
                for batch in page.batches:
                    for index, payload in enumerate(batch.payloads):
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

        reading.addBoth(read).addErrback(self._went_wrong)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        def now() -> None:
            self._timer = None
            then()

        if self._timer is None:
            self._timer = self._clock.callLater(seconds, now)

    # -- sending

    def committed(self, encoded: EncodedBatch) -> None:
        """Events became durable. Who keeps up gets them at once, as everybody does."""
        active, sent = self._active, self._sent
        if not self._at_tail or encoded.last <= sent.position:
            return
        if (
            active is not None
            and active.ready
            and self._passes is None
            and encoded.first > sent.position
            and encoded.batch.before == sent.ordinal
            and not self._refusals.one_at_a_time
            and self.unconfirmed + encoded.events <= active.window
            and self._window_size + encoded.size <= self._window_bytes
        ):
            events, size = encoded.events, encoded.size
            self._sent = watermark = encoded.watermark
            frames = encoded.frames(self._format, active.encode)
            self._hand_over(active, frames, events, size, watermark, encoded.at, encoded.only)
        else:
            self._at_tail = False
            self.pump()

    def _hand_over(
        self,
        active: IEventSink,
        frames: bytes,
        events: int,
        size: int,
        watermark: Watermark,
        now: float,
        only: Batch | None,
    ) -> None:
        self._window.append(_Sent(watermark, events, size, now, only))
        self._window_size += size
        self.unconfirmed += events
        self.counters.sent += events
        active.take(frames, events, watermark.position)

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
                if batch is None or not self._send(self._active, batch, room):
                    break
        finally:
            self._pumping = False

    def _room(self, active: IEventSink) -> int:
        """How many events may go now."""
        self._refusals.reached(self._confirmed_mark.position)
        if self._refusals.one_at_a_time:
            return 0 if self._window else 1
        if self._window_size >= self._window_bytes:
            return 0
        return int(active.window) - self.unconfirmed

    def _next_batch(self) -> Batch | None:
        """The next events; None if there are none, or they must be read first."""
        while True:
            position = self._sent.position
            if self._page:
                batch = self._page[0].after(position)
                if len(batch):
                    return batch
                self._page.popleft()
                if not self._page:
                    self._pass_over(self._page_upto)
                continue
            tail = self._journal.tail(self.account, position)
            if tail is None:
                self._begin_reading(self._journal.read(self.account, position), self._page_came)
                if self._reading is None and self._timer is None:
                    continue  # it was there at once
                return None
            if not len(tail):
                self._at_tail = True
                self._tell_skipped()
                return None
            return tail

    def _page_came(self, page: Page | Failure) -> None:
        if isinstance(page, Failure):
            if self._unreadable.should_log():
                self._say(
                    LogLevel.warn,
                    "{bot}: the journal cannot be read for account {account}: {reason}; tried again",
                    reason=page.value,
                )
            self._later(_READ_AGAIN, self.pump)
            return
        self._page = deque(page.batches)
        self._page_trimmed = page.trimmed_to
        self._page_upto = max(page.upto, page.batches[-1].last if page.batches else 0)
        if not page.batches:
            self._pass_over(page.upto)
        self.pump()

    def _pass_over(self, upto: Position) -> None:
        """Nothing for this bot is left up to a position."""
        if upto > self._sent.position:
            self._skip_to(Watermark(upto, self._sent.ordinal, self._sent.time))

    def _skip_to(self, watermark: Watermark) -> None:
        self._sent = watermark
        if not self._window and watermark.position > self._confirmed_mark.position:
            self._move(watermark)

    def _send(self, active: IEventSink, batch: Batch, room: int) -> bool:
        """Send some of a batch; whether it is worth going on."""
        if batch.before > self._sent.ordinal:
            self._missing(batch)
        backlog = self._backlog
        late = backlog.holds(batch.first)
        payloads, times = batch.payloads, batch.times
        if late:
            allowed, wait = backlog.allowed(self._clock.seconds())
            if not allowed:
                self._later(wait, self.pump)
                return False
            room = min(room, allowed)
        most = min(_PORTION, self._window_bytes - self._window_size)
        judged = self._passes is not None or (late and backlog.skips)
        frames: list[bytes] = []
        size = taken = last = 0
        mark_upto = self._replayed if self._policy.mark else -1
        for index, payload in enumerate(payloads):
            position = batch.first + index
            if late and not backlog.holds(position):
                break  # what follows happened since: it is looked at anew
            if taken >= room or (taken and size + len(payload) > most):
                break
            if judged and not self._wants(payload, position, times[index], late):
                continue
            encoded = convert_event(payload, self._format)
            if position <= mark_upto:
                encoded = marked_replayed(encoded)
            frames.append(active.encode(encoded))
            size += len(payload)
            taken += 1
            last = index
        else:
            index = len(payloads)
        if not index:
            return False
        watermark = Watermark(batch.first + index - 1, batch.before + index, times[index - 1])
        if taken:
            if late:
                backlog.sent(taken)
            reached = Watermark(batch.first + last, batch.before + last + 1, times[last])
            self._sent = watermark
            only = batch.part(last, last + 1) if taken == 1 else None
            now = self._clock.seconds()
            self._hand_over(active, b"".join(frames), taken, size, reached, now, only)
        else:
            self._skip_to(watermark)
        return True

    def _missing(self, batch: Batch) -> None:
        """The journal has not got what stood before a batch."""
        begin, first = self._sent.ordinal, self._sent.position
        self._sent = Watermark(first, batch.before, self._sent.time)
        events = self._gaps.add(begin, batch.before, self._cursor.ordinal)
        if not events:
            return
        expired = min(events, max(0, self._journal.expired(self.account) - begin))
        if first < self._page_trimmed:  # the journal will say so in a moment
            expired = events
        damaged = events - expired
        self.counters.expired += expired
        self.counters.damaged += damaged
        if not damaged:
            self._expired_unlogged += expired
            self._log_expired()
            return
        self._say(
            LogLevel.error,
            "{bot}: {events} events of account {account} between positions {first} and {last} are missing: "
            "{damaged} in damaged parts of the journal, {expired} fell out of it",
            events=events,
            first=first,
            last=batch.first,
            damaged=damaged,
            expired=expired,
        )

    def _gets(self, payload: bytes) -> bool:
        """Whether the bot may see an event."""
        if self._passes is None:
            return True
        event = _read(payload)
        return event is not None and self._passes(event)

    def _wants(self, payload: bytes, position: Position, time: int, late: bool) -> bool:
        """Whether the bot may see an event, and wants it so late."""
        event = _read(payload)
        if event is None or (self._passes is not None and not self._passes(event)):
            return False
        return not (late and self._backlog.skip(position, time, event.post_type == "request"))

    def _tell_skipped(self) -> None:
        """One line for what the bot did not want so late."""
        skipped = self._backlog.untold()
        if skipped == Skipped():
            return
        self._say(
            LogLevel.info,
            "{bot}: {events} events of account {account} were skipped: {too_old} older than max_age, "
            "{too_many} beyond max_events",
            events=skipped.too_old + skipped.too_many,
            too_old=skipped.too_old,
            too_many=skipped.too_many,
        )

    # -- what a bot will not have

    def _note_refusal(self, reason: str | None) -> None:
        """What was under way was refused, or (None) just did not arrive."""
        if reason is None or not self._window:
            return
        if self.unconfirmed == 1:
            alone = self._window[0]
            event = alone.only
            assert event is not None
            verdict = self._refusals.judge(event.first, event.size(), reason)
            if verdict is Verdict.SKIP:
                self._skip(event, alone.watermark, reason)
            elif verdict is Verdict.REFUSES_ALL and not self._told_refusing:
                self._told_refusing = True
                self._say(
                    LogLevel.error,
                    "{bot}: refuses every event of account {account} ({reason}); is it configured rightly? "
                    "Nothing more is skipped; it is tried again",
                    reason=reason,
                )
        self._refusals.note(self._sent.position)

    def _skip(self, event: Batch, watermark: Watermark, reason: str) -> None:
        self.counters.refused += 1
        kind = _read(event.payloads[0])
        self._say(
            LogLevel.error,
            "{bot}: skipped an event of account {account} that it refused {times} times ({reason}): position "
            "{position}, {kind}, {size} bytes, time {time:.3f}; `twistd lgtwist --journal` shows it",
            times=TIMES,
            reason=reason,
            position=event.first,
            kind="unreadable" if kind is None else kind.post_type,
            size=event.size(),
            time=event.times[0] / 1000,
        )
        self._journal.refused(self.bot, event, reason)
        self._confirmed.clear()
        self._cursor = watermark
        self._journal.confirm(self.bot, self.account, watermark)

    # -- words

    def _say(self, level: Any, sentence: str, **fields: object) -> None:
        self._log.emit(level, sentence, bot=self.bot, account=self.account, **fields)

    def _went_wrong(self, failure: Failure) -> None:
        self._log.failure(
            "{bot}: delivery for account {account} failed", failure, bot=self.bot, account=self.account
        )
