"""When waiting bytes are written: at the end of the read that caused them, or at the end of the turn.

Writing at the end of the read has the lower latency for one peer that asks and gets its answer. Writing at
the end of the reactor's turn makes one write of many when many peers ask at once. The scheduler chooses by
how long ago the connection was written to last, and by whether others wait for the end of the turn already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lgtwist.runtime.logs import Logger
from lgtwist.runtime.long_work import long_work_of

#: A connection written to less than so many seconds ago waits for the end of the turn.
_MIN_GAP = 0.0001
#: The same in a busy turn: one at whose end other connections are flushed anyway.
_MIN_GAP_BUSY = 0.0005


class Flushable(Protocol):
    """A connection that can be flushed.

    :ivar flushed_at: when it was written to last, in seconds of the scheduler's clock.
    """

    flushed_at: float

    def flush(self) -> None:
        """Write what waits. Never raises."""


class FlushScheduler:
    """Flushes connections with something to write, of all factories that share the scheduler.

    A transport marks its reads with :meth:`begin_read` and :meth:`read_ended`; what is added meanwhile is
    flushed when the outermost read ends.

    :param clock: the reactor, or a clock in its place.
    :ivar reading: whether a read is under way. The WebSocket factory sets it itself, on its hot path.
    :ivar long_work: what all who use the clock share.
    :ivar hook_pending: whether :meth:`run_hooks` must be called before anything is written.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.reading = self.hook_pending = False
        self._clock = clock
        self.long_work = long_work_of(clock)
        self._hooks: list[Callable[[], None]] = []
        self._after_read: list[Callable[[], None]] = []
        self._waiting: list[Flushable] = []
        self._turn_end: IDelayedCall | None = None

    def add(self, connection: Flushable) -> None:
        """Flush ``connection`` at the end of the read or of the turn. Add it once until it is flushed."""
        self._waiting.append(connection)
        if not self.reading:
            self._schedule()

    def after_read(self, then: Callable[[], None]) -> None:
        """Call ``then`` when the outermost read ends; at once if there is none.

        What ``then`` raises at the end of a read is logged; what it raises at once is the caller's.
        """
        if self.reading:
            self._after_read.append(then)
        else:
            then()

    def when_read_or_turn_ends(self, then: Callable[[], None]) -> None:
        """Call ``then`` when the outermost read ends; at the end of the reactor's turn if there is none."""
        if self.reading:
            self._after_read.append(then)
        else:
            self._clock.callLater(0, then)

    def before_writing(self, hook: Callable[[], None]) -> None:
        """Call ``hook`` once, before anything is written to any connection, and within this turn.

        What it raises is logged, and the write goes on.
        """
        self.hook_pending = True
        self._hooks.append(hook)
        if not self.reading:
            self._schedule()

    def run_hooks(self) -> None:
        """Call the hooks of :meth:`before_writing`. Who is about to write calls this first. Never raises."""
        if self.hook_pending:
            hooks, self._hooks = self._hooks, []
            self.hook_pending = False
            for hook in hooks:
                self._call(hook)

    def _call(self, then: Callable[[], None]) -> None:
        try:
            then()
        except Exception:
            self._log.failure("a callback at the end of a read failed")

    def begin_read(self) -> bool:
        """Mark the beginning of a read.

        :returns: whether it is the outermost read: then its end must be marked with :meth:`read_ended`.
        """
        outermost = not self.reading
        self.reading = True
        return outermost

    def read_ended(self) -> None:
        """Mark the end of the outermost read: call back, run the hooks, flush. Never raises.

        Connections that were written to very recently are left for the end of the turn.
        """
        self.reading = False
        if self._after_read:
            after, self._after_read = self._after_read, []
            for then in after:
                self._call(then)
        if self.hook_pending:
            self.run_hooks()
        waiting = self._waiting
        if waiting:
            self._waiting = []
            newest = self._clock.seconds() - (_MIN_GAP if self._turn_end is None else _MIN_GAP_BUSY)
            for connection in waiting:
                if connection.flushed_at > newest:
                    self._waiting.append(connection)
                else:
                    connection.flush()
            if self._waiting:
                self._schedule()

    def _schedule(self) -> None:
        if self._turn_end is None:
            self._turn_end = self._clock.callLater(0, self._turn_ended)

    def _turn_ended(self) -> None:
        self._turn_end = None
        self.run_hooks()
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.flush()

    def stop(self) -> None:
        """Flush now what waits for the end of the turn: the reactor may have no further turn."""
        if self._turn_end is not None:
            self._turn_end.cancel()
            self._turn_ended()
