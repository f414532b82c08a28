"""Deliver the events of one account to its subscribers, encoded once per form."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from attrs import frozen

from lgtwist.hub.interfaces import EncodedEvents, IBotConnection
from lgtwist.hub.sent_messages import SentMessages
from lgtwist.onebot.event import Event, mark_late, set_self_id
from lgtwist.onebot.message import MessageFormat, convert_event
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.long_work import LONG, LongWork, Piece
from lgtwist.runtime.turns import FlushScheduler

#: Tells whether an event is delivered to a bot.
Passes = Callable[[Event], bool]
#: Encodes an event (one JSON object) as the bytes that a bot's connection sends.
Encode = Callable[[bytes], bytes]


@frozen(eq=False)
class Form:
    """A form in which events are delivered; subscribers with an equal form share one object.

    :ivar message_format: of the messages in events.
    :ivar encode: encodes an event as the bytes that the connection sends.
    """

    message_format: MessageFormat
    encode: Encode


#: Characters that are kept of the last event's types, which a peer may have invented.
_LONGEST_TYPE = 64

#: The subscribers: the form in which each gets events, and which of them (None for all).
Subscribers = dict[IBotConnection, tuple[Form, Passes | None]]


#: Bytes of events of one account that wait until a subscriber's filter has judged them; besides the oldest.
_MOST_UNJUDGED = 4 << 20
#: Bytes that are counted for each of them besides: a small one takes more memory than it has bytes.
_UNJUDGED_OVERHEAD = 1024


class _Unjudged:
    """Events that wait until a subscriber's filter, which takes long, has judged them, in their order.

    :ivar cost: seconds that judging one takes, by the last ones.
    :ivar piece: what waits for its turn; None if nothing does.
    """

    __slots__ = ("_size", "_waiting", "cost", "piece")

    def __init__(self) -> None:
        self._waiting: deque[tuple[Event, bytes, Passes | None]] = deque()
        self._size = 0
        self.cost = 0.0
        self.piece: Piece | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: Event, encoded: bytes, passes: Passes | None) -> int:
        """Add an event.

        :param passes: None for one that is not to be judged.
        :returns: how many of the oldest were dropped, for there are too many bytes.
        """
        self._waiting.append((event, encoded, passes))
        self._size += len(event.raw) + _UNJUDGED_OVERHEAD
        dropped = 0
        while self._size > _MOST_UNJUDGED and len(self._waiting) > 1:
            self.next()
            dropped += 1
        return dropped

    def next(self) -> tuple[Event, bytes, Passes | None]:
        """Remove and return the oldest event."""
        oldest = self._waiting.popleft()
        self._size -= len(oldest[0].raw) + _UNJUDGED_OVERHEAD
        return oldest


class FanOut:
    """The subscribers of one account's events.

    Events that are published during a read of a connection are dispatched in a batch at its end; others at
    once. Where judging them takes long, because of a subscriber's filter, this subscriber gets them in later
    turns; other subscribers do not wait for it.

    :param self_id: the account's number.
    :param scheduler: tells whether a connection is being read.
    :param wall_clock: seconds since the epoch.
    :ivar is_scheduled: whether a batch waits for the end of a read.
    :ivar events: number of events published since the start.
    :ivar sent_messages: keeps the ids of messages that the account sent; None if no bot asks for them.
    :ivar last_event: when the newest one was handed out, its ``post_type`` and its ``detail``; None before
        the first.
    """

    _log = Logger()

    def __init__(
        self, self_id: int, scheduler: FlushScheduler, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.events = 0
        self.sent_messages: SentMessages | None = None
        self.last_event: tuple[float, str, str] | None = None
        self._wall_clock = wall_clock
        self._self_id = self_id
        self._scheduler = scheduler
        self._batch: list[Event] = []
        self.is_scheduled = False
        self._subscribers: Subscribers = {}  # in the order in which they subscribed
        self._meta_subscribers: Subscribers = {}
        self._forms: list[Form] = []
        self._append: Callable[[int, list[bytes]], None] | None = None
        self._long_work: LongWork = scheduler.long_work
        self._unjudged: dict[IBotConnection, _Unjudged] = {}

    def publish(self, event: Event) -> None:
        """Deliver an event to every subscriber, now or at the end of the read that is under way."""
        self.events += 1
        if event.post_type == "meta_event":
            self.dispatch()
            self._note(event)
            self._deliver([event], {**self._subscribers, **self._meta_subscribers})
            return
        self._batch.append(event)
        if not self.is_scheduled:
            if self._scheduler.reading:
                self.is_scheduled = True
                self._scheduler.after_read(self.dispatch)
            else:
                self.dispatch()

    def dispatch(self) -> None:
        """Append the batch to the journal and deliver it to every subscriber, in order."""
        self.is_scheduled = False
        if self._batch:
            batch, self._batch = self._batch, []
            self._note(batch[-1])
            if self.sent_messages is not None:
                for event in batch:
                    self.sent_messages.note_event(event)
            if self._append is not None:
                try:
                    self._append(self._self_id, [event.raw for event in batch])
                except Exception:
                    self._log.failure("account {account}: the journal failed", account=self._self_id)
            self._deliver(batch, self._subscribers)

    def publish_late(self, event: Event, *, live: bool) -> None:
        """Deliver an event that was fetched later than it happened, behind all that were published before.

        At-least-once bots get it from the journal, with ``"replayed": true`` where they want late events
        marked.

        :param event: no meta event.
        :param live: whether the other subscribers get it too, without a mark.
        """
        self.dispatch()
        self.events += 1
        self._note(event)
        if self.sent_messages is not None:
            self.sent_messages.note_event(event)
        if self._append is not None:
            try:
                self._append(self._self_id, [mark_late(event.raw)])
            except Exception:
                self._log.failure("account {account}: the journal failed", account=self._self_id)
        if live:
            self._deliver([event], self._subscribers)

    def _note(self, event: Event) -> None:
        """Keep when the newest event was handed out, and what it is; once for those of one read."""
        self.last_event = (
            self._wall_clock(),
            event.post_type[:_LONGEST_TYPE],
            event.detail[:_LONGEST_TYPE],
        )

    def _deliver(self, events: list[Event], subscribers: Subscribers) -> None:
        if not subscribers:
            return
        encoded: dict[Form, EncodedEvents] = {}
        has_numbers = False
        unjudged = self._unjudged
        for connection, (form, passes) in tuple(subscribers.items()):
            try:
                ready = encoded.get(form)
                if ready is None:
                    wanted, encode = form.message_format, form.encode
                    ready = EncodedEvents([encode(convert_event(event.raw, wanted)) for event in events])
                    encoded[form] = ready
                if passes is not None:
                    if not has_numbers:
                        has_numbers = True
                        for event in events:
                            if not event.self_id:
                                set_self_id(event, self._self_id)
                    judged = self._judge(connection, events, ready, passes)
                    if judged is None:
                        continue
                    ready = judged
                elif unjudged and connection in unjudged:  # it had a filter before, and waits for what passed
                    self._judge_later(connection, events, ready.each, None)
                    continue
                connection.deliver(ready)
            except Exception:
                self._log.failure("account {account}: a subscriber failed", account=self._self_id)

    def _judge(
        self, connection: IBotConnection, events: list[Event], ready: EncodedEvents, passes: Passes
    ) -> EncodedEvents | None:
        """Return what a subscriber gets of some events now; None if that is nothing.

        What would take too long now is judged later.
        """
        work = self._long_work
        if connection in self._unjudged or not work.has_time():
            self._judge_later(connection, events, ready.each, passes)
            return None
        begun = work.looked_at
        if len(events) == 1:
            passed = passes(events[0])
            work.note(took := work.now() - begun)
            if took > LONG:
                self._note_cost(connection, took)
            return ready if passed else None
        each = []
        took = 0.0
        for index, event in enumerate(events):
            if passes(event):
                each.append(ready.each[index])
            took = work.now() - begun
            if took > LONG:
                self._note_cost(connection, took)
                if index + 1 < len(events):
                    self._judge_later(connection, events[index + 1 :], ready.each[index + 1 :], passes)
                break
        work.note(took)
        if len(each) == len(events):
            return ready
        return EncodedEvents(each) if each else None

    def _note_cost(self, connection: IBotConnection, seconds: float) -> None:
        """Note that judging an event took long: the subscriber gets events later from now on."""
        unjudged = self._unjudged.get(connection)
        if unjudged is None:
            unjudged = self._unjudged[connection] = _Unjudged()
        unjudged.cost = seconds

    def _judge_later(
        self, connection: IBotConnection, events: list[Event], each: list[bytes], passes: Passes | None
    ) -> None:
        """Judge events for a subscriber in later turns, behind those that wait.

        :param each: the same events, encoded.
        :param passes: None if all are delivered.
        """
        unjudged = self._unjudged.get(connection)
        if unjudged is None:
            unjudged = self._unjudged[connection] = _Unjudged()
        dropped = sum([unjudged.add(event, one, passes) for event, one in zip(events, each, strict=True)])
        if dropped:
            connection.not_judged(dropped)
        if unjudged.piece is None:
            self._add_piece(connection, unjudged)

    def _add_piece(self, connection: IBotConnection, unjudged: _Unjudged) -> None:
        def work() -> None:
            unjudged.piece = None
            try:
                self._judge_next(connection, unjudged)
            finally:
                if unjudged.piece is None and self._unjudged.get(connection) is unjudged:
                    if len(unjudged):
                        self._add_piece(connection, unjudged)
                    elif unjudged.cost <= LONG:
                        del self._unjudged[connection]

        unjudged.piece = self._long_work.add(work, unjudged.cost)

    def _judge_next(self, connection: IBotConnection, unjudged: _Unjudged) -> None:
        """Judge some of the events that wait for a subscriber's filter, and deliver what passes."""
        now = self._long_work.now
        begun = at = now()
        costs = 0.0
        each = []
        while len(unjudged):
            event, encoded, passes = unjudged.next()
            try:
                if passes is None or passes(event):
                    each.append(encoded)
            except Exception:
                self._log.failure("account {account}: a subscriber failed", account=self._self_id)
            before, at = at, now()
            costs = max(costs, at - before)
            if at - begun > LONG:
                break
        unjudged.cost = max(costs, unjudged.cost / 2)  # the next one may be as dear
        if each:
            connection.deliver(EncodedEvents(each))

    def subscribe(
        self, connection: IBotConnection, wanted: MessageFormat, encode: Encode, passes: Passes | None = None
    ) -> None:
        """Deliver all events to ``connection`` from now on.

        :param wanted: the format of their messages.
        :param encode: encodes an event as the bytes that ``connection`` sends. Subscribers that give the same
            function and format share its results.
        :param passes: tells whether an event is delivered; None for all.
        """
        self._meta_subscribers.pop(connection, None)
        self._subscribers[connection] = (self._form(wanted, encode), passes)

    def subscribe_meta(self, connection: IBotConnection, wanted: MessageFormat, encode: Encode) -> None:
        """Deliver only meta events to ``connection`` from now on; other events reach it from the journal."""
        self._subscribers.pop(connection, None)
        self._meta_subscribers[connection] = (self._form(wanted, encode), None)

    def unsubscribe(self, connection: IBotConnection) -> None:
        """Deliver no more to ``connection``; harmless if it did not subscribe."""
        self._subscribers.pop(connection, None)
        self._meta_subscribers.pop(connection, None)
        unjudged = self._unjudged.pop(connection, None)
        if unjudged is not None and unjudged.piece is not None:
            unjudged.piece.cancel()

    def set_journal(self, append: Callable[[int, list[bytes]], None] | None) -> None:
        """Append all events but meta events to a journal from now on.

        :param append: called with the account's number and the events; None to append no more.
        """
        self._append = append

    def _form(self, wanted: MessageFormat, encode: Encode) -> Form:
        for form in self._forms:
            if form.message_format is wanted and form.encode is encode:
                return form
        form = Form(wanted, encode)
        self._forms.append(form)
        return form
