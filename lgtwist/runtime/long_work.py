"""Work that may take long, such as judging an event by an expensive filter, in reactor turns of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock

from lgtwist.runtime.logs import Logger

#: Seconds from which on a piece of work is long: it is done in a turn of its own from then on.
LONG = 0.01
#: Seconds of work that may be done at once, while there was none before; half of the time is added to what is
#: left of them.
_NOW_AT_MOST = 0.05
#: Seconds of a turn in which pieces are begun.
_TURN = 0.005


class Piece:
    """A piece of work that waits for its turn.

    :ivar cost: seconds that it may take, by what is known.
    """

    __slots__ = ("_owner", "cost", "work")

    def __init__(self, owner: LongWork, work: Callable[[], None], cost: float) -> None:
        self._owner = owner
        self.work: Callable[[], None] | None = work
        self.cost = cost

    def cancel(self) -> None:
        """Do not carry it out; harmless if that was done."""
        self.work = None
        self._owner.remove(self)


class LongWork:
    """Carries out pieces of work in later turns, the cheapest first, and pauses as long as each turn took.

    So all of it together takes at most half of the time, and whatever else is to be done comes between.

    :param clock: the reactor, or a clock in its place.
    :param now: returns seconds of the time that passes; it tells what work takes.
    :ivar now: as given.
    :ivar looked_at: what it returned when :meth:`has_time` was called last.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], float] = time.perf_counter) -> None:
        self._clock = ref(clock)  # who shares it is found by the clock, for as long as there is that
        self.now = now
        self._pieces: list[Piece] = []
        self._timer: IDelayedCall | None = None
        self._left = _NOW_AT_MOST
        self.looked_at = now()

    def has_time(self) -> bool:
        """Return whether more work may be done at once, in the present turn."""
        now = self.now()
        self._left = min(_NOW_AT_MOST, self._left + (now - self.looked_at) / 2)
        self.looked_at = now
        return self._left > 0

    def note(self, seconds: float) -> None:
        """Note that work was done at once, since :meth:`has_time` was called."""
        self._left = max(self._left - seconds, -_NOW_AT_MOST)
        self.looked_at += seconds  # in which nothing is added to what is left

    def add(self, work: Callable[[], None], cost: float) -> Piece:
        """Call ``work`` once, in a later turn.

        :param cost: seconds that it may take; 0 if nothing is known.
        :returns: what cancels it.
        """
        piece = Piece(self, work, cost)
        self._pieces.append(piece)
        if self._timer is None:
            self._schedule(0)
        return piece

    def later(self, cost: float) -> Deferred[None]:
        """Return what fires in a later turn; cancelling it is harmless.

        :param cost: seconds that what is done then may take.
        """
        piece: Piece | None = None

        def cancel(_waiting: Deferred[None]) -> None:
            if piece is not None:
                piece.cancel()

        waiting: Deferred[None] = Deferred(cancel)
        piece = self.add(lambda: waiting.callback(None), cost)
        return waiting

    def remove(self, piece: Piece) -> None:
        """Do not carry out a piece; harmless if that was done."""
        if piece in self._pieces:
            self._pieces.remove(piece)
        if not self._pieces and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        begun = self.now()
        took = 0.0
        waiting, self._pieces = self._pieces, []  # what is added meanwhile waits for the next turn
        waiting.sort(key=lambda piece: piece.cost)
        for number, piece in enumerate(waiting):
            if took > _TURN:
                self._pieces[:0] = waiting[number:]
                break
            if piece.work is None:  # cancelled by one before it
                continue
            try:
                piece.work()
            except Exception:
                self._log.failure("a piece of work failed")
            took = self.now() - begun
        if self._timer is not None:
            self._timer.reset(took)
        elif self._pieces:
            self._schedule(took)

    def _schedule(self, seconds: float) -> None:
        clock = self._clock()
        if clock is not None:
            self._timer = clock.callLater(seconds, self._run)


_of_clocks: WeakKeyDictionary[IReactorTime, LongWork] = WeakKeyDictionary()


def long_work_of(clock: IReactorTime) -> LongWork:
    """Return the :class:`LongWork` of a reactor; there is one, made when it is first asked for.

    :param clock: the reactor; or a ``Clock`` in its place, whose time is also that which work takes.
    """
    found = _of_clocks.get(clock)
    if found is None:
        now = _seconds_of(clock) if isinstance(clock, Clock) else time.perf_counter
        found = _of_clocks[clock] = LongWork(clock, now)
    return found


def _seconds_of(clock: Clock) -> Callable[[], float]:
    """Return what reads a clock and does not keep it alive."""
    reference = ref(clock)

    def seconds() -> float:
        found = reference()
        return 0.0 if found is None else float(found.seconds())

    return seconds
