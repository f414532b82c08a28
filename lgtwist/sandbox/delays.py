"""Responses and events that a fault delays: their bytes are bounded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lgtwist.sandbox.faults import Fault

#: Bytes of responses and events that may be delayed at a time, and their number.
MAX_DELAYED_BYTES, MAX_DELAYED = 16 << 20, 1000


@frozen
class _Delayed:
    """One response or event.

    :ivar then: hands it over.
    """

    fault: Fault
    size: int
    timer: IDelayedCall
    then: Callable[[], None]


class Delays:
    """What is delayed, in the order in which it began.

    :param clock: the reactor, or a clock in its place.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._delayed: dict[Hashable, _Delayed] = {}
        self._bytes = 0

    def __contains__(self, key: Hashable) -> bool:
        """Return whether what has this key is delayed."""
        return key in self._delayed

    def add(self, key: Hashable, fault: Fault, size: int, then: Callable[[], None]) -> None:
        """Call a function when the fault's seconds are over; at once where that would be over the bounds.

        :param key: what :meth:`forget` names it by.
        :param size: bytes that are kept until then.
        """
        if len(self._delayed) >= MAX_DELAYED or self._bytes + size > MAX_DELAYED_BYTES:
            then()
            return
        timer = self._clock.callLater(fault.seconds, self._end, key)
        self._delayed[key] = _Delayed(fault, size, timer, then)
        self._bytes += size

    def _end(self, key: Hashable) -> None:
        delayed = self._delayed.pop(key)
        self._bytes -= delayed.size
        delayed.then()

    def forget(self, key: Hashable) -> None:
        """Drop what has this key; harmless if nothing has."""
        delayed = self._delayed.pop(key, None)
        if delayed is not None:
            self._bytes -= delayed.size
            delayed.timer.cancel()

    def end(self, chosen: Callable[[Fault], bool]) -> None:
        """Hand over at once what the chosen faults delay, in the order in which it began."""
        for key, delayed in tuple(self._delayed.items()):
            if chosen(delayed.fault) and key in self._delayed:
                delayed.timer.cancel()
                self._end(key)

    def drop(self, chosen: Callable[[Fault], bool]) -> None:
        """Drop what the chosen faults delay."""
        for key, delayed in tuple(self._delayed.items()):
            if chosen(delayed.fault):
                self.forget(key)
