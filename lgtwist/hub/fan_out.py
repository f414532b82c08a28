"""Deliver the events of one account to its subscribers, encoded once per form."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import frozen

from lgtwist.hub.interfaces import EncodedEvents, IBotConnection
from lgtwist.hub.sent_messages import SentMessages
from lgtwist.onebot.event import Event, mark_late, set_self_id
from lgtwist.onebot.message import MessageFormat, convert_event
from lgtwist.runtime.logs import Logger
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


class FanOut:
    """The subscribers of one account's events.

    Events that are published during a read of a connection are dispatched in a batch at its end; others at
    once.

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
        alone = events[0] if len(events) == 1 else None
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
                    if alone is not None:
                        if not passes(alone):
                            continue
                    else:
                        each = [one for one, event in zip(ready.each, events, strict=True) if passes(event)]
                        if not each:
                            continue
                        if len(each) != len(events):
                            ready = EncodedEvents(each)
                connection.deliver(ready)
            except Exception:
                self._log.failure("account {account}: a subscriber failed", account=self._self_id)

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
