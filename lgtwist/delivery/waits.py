"""What sending waits for: the time, a turn for judging, or the disk. Pure: the time comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from lgtwist.runtime.long_work import LongWork, Piece


class Waits:
    """The one timer and the one reading that sending may wait for; both are cancelled together.

    :param clock: the reactor, or a clock in its place.
    :param log_failure: is called with what is raised by whom a reading is given to.
    :ivar timer: runs until something is done that must wait; else None.
    :ivar reading: what is being read; else None.
    :ivar is_delaying: the timer runs until late events may be sent to the active sink.
    """

    __slots__ = ("_clock", "_log_failure", "is_delaying", "reading", "timer")

    def __init__(self, clock: IReactorTime, log_failure: Callable[[Failure], None]) -> None:
        self._clock = clock
        self._log_failure = log_failure
        self.timer: IDelayedCall | Piece | None = None
        self.reading: Deferred[Any] | None = None
        self.is_delaying = False

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Call ``then`` after some seconds, if no other timer runs."""

        def now() -> None:
            self.timer = None
            then()

        if self.timer is None:
            self.timer = self._clock.callLater(seconds, now)

    def turn(self, work: LongWork, cost: float, then: Callable[[], None]) -> None:
        """Call ``then`` in a later turn for long work.

        :param cost: seconds that it may take.
        """

        def now() -> None:
            self.timer = None
            then()

        self.timer = work.add(now, cost)

    def read(self, reading: Deferred[Any], then: Callable[[Any], None]) -> None:
        """Call ``then`` with what is read, or with the Failure; not if it is cancelled."""
        self.reading = reading

        def read(result: Any) -> None:
            if isinstance(result, Failure) and result.check(CancelledError):
                return
            self.reading = None
            then(result)

        reading.addBoth(read).addErrback(self._log_failure)

    def end_delay(self) -> None:
        """Cancel the timer: late events need not wait any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.is_delaying = False

    def cancel(self) -> None:
        """Wait for nothing any more."""
        for waiting in (self.reading, self.timer):
            if waiting is not None:
                waiting.cancel()
        self.reading = self.timer = None
        self.is_delaying = False
