"""When what waits is written: at the end of the read that it came from, or at the end of the reactor's turn.

The first is quickest where one asks and one answers; the second makes one write of many where many ask at
once. Which of the two it is shows in how long ago the connection was written to last, and in whether
somebody waits for the turn's end already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Who was written to less than so many seconds ago waits for the end of the turn.
_GAP = 0.0001
#: The same in a busy turn, where somebody waits for its end already.
_LONG_GAP = 0.0005


class Flushed(Protocol):
    """What is written to."""

    flushed_at: float

    def flush(self) -> None:
        """Write what waits. Never raises."""


class Turns:
    """The connections that have something to be written, of all factories that share it.

    :ivar reading: whether a connection is being read.
    :ivar held: something must be done before anything is written.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.reading = self.held = False
        self._before: list[Callable[[], None]] = []
        self._clock = clock
        self._waiting: list[Flushed] = []
        self._end: IDelayedCall | None = None
        self._after_read: list[Callable[[], None]] = []

    def add(self, connection: Flushed) -> None:
        """Something waits for a connection."""
        self._waiting.append(connection)
        if not self.reading:
            self._schedule()

    def after_read(self, then: Callable[[], None]) -> None:
        """Call ``then``, which must not raise, when all that came at once was read; at once if nothing is."""
        if self.reading:
            self._after_read.append(then)
        else:
            then()

    def when_read_or_turn_ends(self, then: Callable[[], None]) -> None:
        """Call ``then`` when all that came at once was read; at the end of the turn if nothing is read."""
        if self.reading:
            self._after_read.append(then)
        else:
            self._clock.callLater(0, then)

    def before_writing(self, then: Callable[[], None]) -> None:
        """Call ``then``, which must not raise, once, before anything is written."""
        self.held = True
        self._before.append(then)
        if not self.reading:
            self._schedule()

    def prepare(self) -> None:
        """Something is about to be written: do now what must be done before that."""
        if self.held:
            before, self._before = self._before, []
            self.held = False
            for then in before:
                self._call(then)

    def _call(self, then: Callable[[], None]) -> None:
        """One that fails costs nobody else anything."""
        try:
            then()
        except Exception:
            self._log.failure("what was to be done at the end of a read failed")

    def begin_read(self) -> bool:
        """Mark the beginning of a read.

        :returns: whether it is the outermost read: then its end must be marked with :meth:`read_ended`.
        """
        outermost = not self.reading
        self.reading = True
        return outermost

    def read_ended(self) -> None:
        """All that came at once was read."""
        self.reading = False
        if self._after_read:
            after, self._after_read = self._after_read, []
            for then in after:
                self._call(then)
        if self.held:
            self.prepare()
        waiting = self._waiting
        if waiting:
            self._waiting = []
            soonest = self._clock.seconds() - (_GAP if self._end is None else _LONG_GAP)
            for connection in waiting:
                if connection.flushed_at > soonest:
                    self._waiting.append(connection)
                else:
                    connection.flush()
            if self._waiting:
                self._schedule()

    def _schedule(self) -> None:
        if self._end is None:
            self._end = self._clock.callLater(0, self._turn_ended)

    def _turn_ended(self) -> None:
        self._end = None
        self.prepare()
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.flush()

    def stop(self) -> None:
        """Write now what waits: the reactor may have no further turn."""
        if self._end is not None:
            self._end.cancel()
            self._turn_ended()
