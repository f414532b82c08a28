"""One event that is sent to a bot once more, alone, because the operator wants it."""

from __future__ import annotations

from typing import Literal

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds after which it ends, whatever is known of it.
REDELIVERY_LIMIT = 10.0

#: How it ended: the bot has confirmed it, or refused it; it was sent, and nothing else is known; it is not
#: in the journal any more; or it could not be sent.
RedeliveryOutcome = Literal["confirmed", "refused", "sent", "gone", "not_connected"]


class Redelivered(msgspec.Struct, frozen=True):
    """What became of an event that was sent again.

    :ivar outcome: how it ended.
    :ivar reason: a part of a sentence; may be empty.
    """

    outcome: RedeliveryOutcome
    reason: str = ""


class Redelivery:
    """An event that is sent again, until it is known how that ended.

    :param frame: the event, encoded for the sink that sends it.
    :param clock: the reactor, or a clock in its place.
    :ivar frame: the same; empty once it is sent or over.
    :ivar ended: fires with :class:`Redelivered`, after :data:`REDELIVERY_LIMIT` seconds at the latest.
        Cancelling it means that nobody waits for it.
    """

    def __init__(self, frame: bytes, clock: IReactorTime) -> None:
        self.frame = frame
        self.ended: Deferred[Redelivered] = Deferred()
        self._is_sent = False
        self._timer: IDelayedCall | None = clock.callLater(REDELIVERY_LIMIT, self._too_late)

    @property
    def is_over(self) -> bool:
        """Whether it has ended: it is not to be sent any more then."""
        return self._timer is None

    def note_sent(self) -> None:
        """Note that it is on its way to the bot."""
        self._is_sent = True
        self.frame = b""

    def _too_late(self) -> None:
        self.break_off(f"the bot has not confirmed it within {REDELIVERY_LIMIT:g} s", "it cannot take it now")

    def break_off(self, if_sent: str, if_not: str) -> None:
        """End it, for nothing more will be known of it.

        :param if_sent: the reason if it was sent.
        :param if_not: the reason if it was not.
        """
        if self._is_sent:
            self.end("sent", if_sent)
        else:
            self.end("not_connected", if_not)

    def end(self, outcome: RedeliveryOutcome, reason: str = "") -> None:
        """End it, if it has not ended."""
        if self._timer is None:
            return
        if self._timer.active():
            self._timer.cancel()
        self._timer = None
        self.frame = b""
        if not self.ended.called:
            self.ended.callback(Redelivered(outcome, reason))
