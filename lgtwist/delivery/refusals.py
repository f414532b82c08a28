"""Events that a bot will not have: which, and when one is skipped. Pure."""

from __future__ import annotations

from enum import Enum

from lgtwist.delivery.batch import Position

#: So often in a row an event is refused until it is skipped.
TIMES = 5
#: With these a bot refuses an event for its size; no larger one will be taken either.
_TOO_LARGE = ("close code 1009", "HTTP 413")
#: Whoever refuses less than so much (bytes) for its size is misconfigured.
_LARGE = 512 << 10


class Verdict(Enum):
    """What is to be done with an event that was refused."""

    AGAIN = 0
    SKIP = 1
    REFUSES_ALL = 2  # it is tried again, for nothing was confirmed since the last skip


class Refusals:
    """What one bot refused of one account.

    After the first refusal events go one at a time until past the point, so that the suspect is known.

    :ivar one_at_a_time: whether events go one at a time.
    """

    def __init__(self) -> None:
        self.one_at_a_time = False
        self._one_at_a_time_upto: Position = 0
        self._suspect: Position = 0
        self._times = 0
        self._may_skip = True
        self._too_large = 0  # bytes of the smallest event that was skipped for its size

    def note(self, upto: Position) -> None:
        """Something up to a position was refused."""
        self._one_at_a_time_upto = max(self._one_at_a_time_upto, upto)
        self.one_at_a_time = self._one_at_a_time_upto > 0

    def reached(self, position: Position) -> None:
        """Note that the bot has everything up to a position."""
        if position >= self._one_at_a_time_upto:
            self._one_at_a_time_upto = 0
            self.one_at_a_time = False

    def confirmed(self, upto: Position) -> None:
        """Note that the bot confirmed everything up to a position."""
        self._may_skip = True
        self._too_large = 0
        if self._suspect <= upto:
            self._times = self._suspect = 0

    def judge(self, position: Position, size: int, reason: str) -> Verdict:
        """Return what is to be done with an event that went alone and was refused.

        :param size: bytes.
        """
        if self._suspect != position:
            self._suspect, self._times = position, 0
        self._times += 1
        if self._times < TIMES:
            return Verdict.AGAIN
        for_its_size = reason in _TOO_LARGE
        # Two large ones in a row must not block a bot.
        as_before = for_its_size and 0 < self._too_large <= size and size >= _LARGE
        if not (self._may_skip or as_before):
            return Verdict.REFUSES_ALL
        self._may_skip = False
        if for_its_size:
            self._too_large = min(size, self._too_large or size)
        self._times = self._suspect = 0
        return Verdict.SKIP
