"""Which events a bot gets, and the time that telling this takes. Pure: the time comes in."""

from __future__ import annotations

from collections.abc import Callable

from lgtwist.delivery.encoded_batch import read_for_routing
from lgtwist.onebot.event import Event
from lgtwist.runtime.long_work import LONG, LongWork


class Judging:
    """The filters of one bot for the events of one account; where they take long, they go on in later turns.

    :param account: the ``self_id`` of events that have none.
    :ivar passes: which events the bot gets; None for all. May be replaced.
    :ivar work: what is judged in later turns waits there.
    :ivar cost: seconds that judging takes, by the last ones; 0 if it is not long.
    """

    __slots__ = ("_account", "cost", "passes", "work")

    def __init__(self, account: int, passes: Callable[[Event], bool] | None, work: LongWork) -> None:
        self._account = account
        self.passes = passes
        self.work = work
        self.cost = 0.0

    @property
    def needs_turn(self) -> bool:
        """Whether what comes next is to be judged in a later turn, if the bot does not get all events."""
        return self.cost > 0 or not self.work.has_time()

    def note(self, seconds: float) -> None:
        """Note that events were judged at once, and how long that took."""
        self.work.note(seconds)
        if seconds > LONG:
            self.cost = seconds

    def begin_turn(self) -> float:
        """Note that a turn begins in which events are judged; return when that is, in seconds."""
        self.cost /= 2  # the next one may be as dear
        if self.cost <= LONG:
            self.cost = 0.0
        return self.work.now()

    def gets(self, payload: bytes) -> bool:
        """Whether the bot may see an event."""
        if self.passes is None:
            return True
        event = read_for_routing(payload, self._account)
        return event is not None and self.passes(event)
