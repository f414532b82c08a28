"""How far a bot has come with an account. Pure: time and storage come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from lgtwist.delivery.batch import Watermark

#: Confirmations that are younger than the grace and told apart; then the newest takes the place of the one
#: before it.
_MOST_YOUNG = 1000


class Cursor:
    """What a bot has confirmed: *settled*, which is never sent again, and *young*, which a break takes back.

    :param grace: seconds until a confirmation settles; 0 for at once.
    :param seconds: returns the time, in seconds.
    :param save: is called with each watermark that settles, the newest only where several do together.
    :ivar grace: may be replaced.
    :ivar before_skip: where it was before the operator had it skip, as long as that can be undone; else None.
    :ivar settled: from where on events are sent again after a break, and after a restart.
    """

    __slots__ = ("_save", "_seconds", "_young", "before_skip", "grace", "settled")

    def __init__(
        self, grace: float, seconds: Callable[[], float], save: Callable[[Watermark], object]
    ) -> None:
        self.settled = Watermark()
        self.before_skip: Watermark | None = None
        self.grace = grace
        self._seconds = seconds
        self._save = save
        self._young: deque[tuple[float, Watermark]] = deque()  # when each was confirmed, oldest first

    @property
    def reached(self) -> Watermark:
        """The newest that was confirmed, settled or young."""
        return self._young[-1][1] if self._young else self.settled

    @property
    def young(self) -> int:
        """How many confirmations wait until they settle."""
        return len(self._young)

    def begin(self, watermark: Watermark) -> None:
        """Stand where the journal says; nothing is saved."""
        self.settled = watermark

    def advance(self, watermark: Watermark) -> None:
        """Note that the bot has confirmed everything up to a watermark."""
        if self.grace:
            if len(self._young) >= _MOST_YOUNG:
                self._young.pop()  # the newest takes its place, and settles later than it would have
            self._young.append((self._seconds(), watermark))
            self.settle()
        else:
            self.settled = watermark
            self._save(watermark)

    def settle(self) -> None:
        """Settle what was confirmed at least the grace ago, as of now."""
        if not self._young:
            return
        until = self._seconds() - self.grace
        settled = None
        while self._young and self._young[0][0] <= until:
            settled = self._young.popleft()[1]
        if settled is not None:
            self.settled = settled
            self._save(settled)

    def go_back(self) -> Watermark:
        """Take back what has not settled by now, for the connection broke.

        :returns: where to send from.
        """
        self.settle()
        self._young.clear()
        return self.settled

    def jump(self, watermark: Watermark) -> None:
        """Settle a watermark at once, and with it everything before: nothing there will ever be sent."""
        self._young.clear()
        self.settled = watermark
        self._save(watermark)

    def put_back(self, watermark: Watermark) -> None:
        """Stand at a watermark again that it had settled before; nothing is saved."""
        self._young.clear()
        self.settled = watermark
