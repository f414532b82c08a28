"""A batch for all bots that keep up: encoded once per form. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lgtwist.delivery.batch import Batch, Watermark
from lgtwist.onebot.event import LATE_BEGINNING, BadEvent, Event, read_event, set_self_id
from lgtwist.onebot.message import MessageFormat, convert_event


def read_for_routing(payload: bytes, account: int) -> Event | None:
    """Return what routing asks of an event; None if it cannot be read, which nothing in a journal is.

    :param account: the ``self_id`` that it gets if it has none.
    """
    try:
        event = read_event(payload)
    except BadEvent:
        return None
    if not event.self_id:
        set_self_id(event, account)
    return event


class EncodedBatch:
    """A committed batch, made once for all that take all of it in the same form.

    :param now: seconds.
    :ivar watermark: where a bot is that has it.
    :ivar at: when it was committed, in seconds.
    :ivar has_late: whether there are events among them that were fetched later than they happened: those are
        not the same for all bots, by their ``replay.mark``.
    """

    def __init__(self, batch: Batch, now: float) -> None:
        self.batch = batch
        self.at = now
        self.events = len(batch)
        self.size = batch.size()
        self.first, self.last = batch.first, batch.last
        self.watermark = Watermark(self.last, batch.before + self.events, batch.times[-1])
        self.only = batch if self.events == 1 else None
        self.has_late = False
        for one in batch.payloads:
            if one.startswith(LATE_BEGINNING):
                self.has_late = True
        self._form: tuple[MessageFormat | None, Any] = (None, None)
        self._made = b""
        self._others: dict[tuple[MessageFormat, Any], bytes] = {}
        self._events: list[Event | None] | None = None
        self._each: dict[tuple[MessageFormat, Any], dict[int, bytes]] = {}

    def read_events(self) -> list[Event | None]:
        """Return what routing asks of its events, read once for all bots that do not get all of them.

        :returns: None in place of what cannot be read.
        """
        if self._events is None:
            account = self.batch.account
            self._events = [read_for_routing(one, account) for one in self.batch.payloads]
        return self._events

    def frames_of(
        self, which: list[int], message_format: MessageFormat, encode: Callable[[bytes], bytes]
    ) -> bytes:
        """Return some of its events, each encoded once for all bots that do not get all of them, and joined.

        :param which: their indices; of none that was fetched later than it happened.
        """
        made = self._each.setdefault((message_format, encode), {})
        for index in which:
            if index not in made:
                made[index] = encode(convert_event(self.batch.payloads[index], message_format))
        return made[which[0]] if len(which) == 1 else b"".join([made[index] for index in which])

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
