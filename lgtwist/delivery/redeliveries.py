"""Events that are sent to a bot once more, each alone, because the operator wants it. Pure."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from lgtwist.delivery.batch import Position
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.redelivery import Redelivered, Redelivery
from lgtwist.delivery.sending import Sending
from lgtwist.onebot.event import late_event, mark_replayed
from lgtwist.onebot.message import convert_event

#: Events that are on their way again because the operator wants it, at most. Those that wait for the
#: connection have no more bytes than may be unconfirmed; one event alone may be larger.
_MOST_REDELIVERIES = 16


class Redeliveries:
    """The redeliveries that one delivery has under way, beside what it sends.

    :param sending: whose active sink they go to, and whose settings they have.
    :param clock: the reactor, or a clock in its place.
    """

    __slots__ = ("_account", "_clock", "_journal", "_sending", "_under_way")

    def __init__(self, account: int, journal: IJournal, sending: Sending, clock: IReactorTime) -> None:
        self._account = account
        self._journal = journal
        self._sending = sending
        self._clock = clock
        self._under_way: set[Redelivery] = set()

    async def deliver(self, position: Position) -> Redelivered:
        """Send the event at a position to the active sink, and return what became of it.

        :raises Exception: if the journal cannot be read now.
        """
        batch = await self._journal.read_one(self._account, position)
        begun = Redelivered("gone") if batch is None else self._begin(batch.payloads[0])
        del batch  # it is held no longer than the connection needs it
        if isinstance(begun, Redelivered):
            return begun
        try:
            return await begun.ended
        finally:
            self._under_way.discard(begun)

    def _begin(self, payload: bytes) -> Redelivery | Redelivered:
        """Send one event alone; return it on its way, or why it is not sent."""
        sending = self._sending
        active = sending.active
        if active is None or not sending.has_begun:
            return Redelivered("not_connected")
        if not sending.judging.gets(payload):
            return Redelivered("refused", "the bot may not have this event, by its configuration")
        waiting = sum(len(one.frame) for one in self._under_way)
        if len(self._under_way) >= _MOST_REDELIVERIES or (
            waiting and waiting + len(payload) > sending.window.limit
        ):
            return Redelivered("not_connected", "too many events are being delivered again")
        encoded = convert_event(late_event(payload) or payload, sending.message_format)
        if sending.policy.mark:
            encoded = mark_replayed(encoded)
        redelivery = Redelivery(active.encode(encoded), self._clock)
        self._under_way.add(redelivery)
        active.send_again(redelivery)
        return redelivery

    def stop(self) -> None:
        """End them all, for the delivery was ended."""
        for redelivery in tuple(self._under_way):
            redelivery.break_off("the delivery was ended", "the delivery was ended")
