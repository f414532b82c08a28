"""What was sent to a bot and is not confirmed. Pure."""

from __future__ import annotations

from collections import deque

import msgspec

from lgtwist.delivery.batch import Batch, Position, Watermark


class Sent(msgspec.Struct, eq=False):
    """Some events under way, which are confirmed together.

    :ivar watermark: where the bot is when it has them.
    :ivar events: how many.
    :ivar size: their bytes, as they are in the journal.
    :ivar at: when they were sent, in seconds.
    :ivar only: the event, if it is one.
    """

    watermark: Watermark
    events: int
    size: int
    at: float
    only: Batch | None


class Window:
    """Everything that is under way, in the order of sending.

    Whoever sends adds to all three of its numbers at once (:meth:`Sending._hand_over`, on the hot path).

    :ivar limit: bytes that may be unconfirmed; one event alone may be larger.
    :ivar sent: the oldest first.
    :ivar events: how many events that are.
    :ivar size: how many bytes.
    """

    __slots__ = ("events", "limit", "sent", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sent: deque[Sent] = deque()
        self.events = 0
        self.size = 0

    def confirm(self, upto: Position) -> Watermark | None:
        """Take out what is confirmed by a position.

        :returns: where the bot is now; None if nothing was confirmed that had not been.
        """
        sent = self.sent
        watermark = None
        while sent and sent[0].watermark.position <= upto:
            one = sent.popleft()
            watermark = one.watermark
            self.size -= one.size
            self.events -= one.events
        return watermark

    def clear(self) -> None:
        """Forget all of it: it will be sent again."""
        self.sent.clear()
        self.size = self.events = 0
