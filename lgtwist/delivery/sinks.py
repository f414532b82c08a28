"""The connections of one bot that take the events of one account. Pure: the time comes in."""

from __future__ import annotations

from lgtwist.delivery.batch import Position
from lgtwist.delivery.interfaces import IEventSink


class Sinks:
    """The sinks that are attached, the oldest first, and for which of them late events wait."""

    __slots__ = ("_delayed", "_ends")

    def __init__(self) -> None:
        self._ends: dict[IEventSink, Position] = {}  # with the end of the journal when it was attached
        # Those whose bots have asked nothing yet, with the clock's time of their lifecycle event.
        self._delayed: dict[IEventSink, float] = {}

    def __contains__(self, sink: object) -> bool:
        return sink in self._ends

    def add(self, sink: IEventSink, end: Position, delayed_from: float | None) -> None:
        """Add a sink as the newest.

        :param end: the end of the journal now.
        :param delayed_from: see :meth:`Delivery.attach`.
        """
        if delayed_from is not None:
            self._delayed[sink] = delayed_from
        self._ends[sink] = end

    def remove(self, sink: IEventSink) -> None:
        """Remove a sink; do nothing if it is not there."""
        self._ends.pop(sink, None)
        self._delayed.pop(sink, None)

    def clear(self) -> None:
        """Remove all."""
        self._ends.clear()
        self._delayed.clear()

    def newest(self) -> tuple[IEventSink, Position] | None:
        """Return the newest sink, and the end of the journal when it was attached; None if there is none."""
        return list(self._ends.items())[-1] if self._ends else None

    def begin(self, end: Position) -> None:
        """Let all count as attached at the present end of the journal: it was opened after they came."""
        self._ends = dict.fromkeys(self._ends, end)

    @property
    def has_delayed(self) -> bool:
        """Whether late events may have to wait for one of them."""
        return bool(self._delayed)

    def end_delay(self, sink: IEventSink) -> None:
        """Let late events wait for a sink no longer."""
        self._delayed.pop(sink, None)

    def delay_left(self, sink: IEventSink, delay: float, now: float) -> float:
        """Return in how many seconds late events may be sent to a sink.

        :param delay: seconds from the lifecycle event on.
        :param now: seconds.
        """
        since = self._delayed.get(sink)
        if since is None:
            return 0.0
        left = since + delay - now
        if left <= 0:
            del self._delayed[sink]
        return left
