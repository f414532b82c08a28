"""How much of the past a bot gets, and how fast (``replay``). Pure: time comes in."""

from __future__ import annotations

from attrs import define, frozen

from lgtwist.delivery.batch import Position


@frozen
class ReplayPolicy:
    """How much of the past a bot wants; None for no bound. Times in seconds.

    :ivar max_age: from commit to the moment delivery resumes.
    :ivar max_events: so many of the newest.
    :ivar rate: events in a second.
    :ivar mark: whether late events say that they are.
    :ivar grace: what was confirmed less than this before a break is sent again.
    :ivar delay: from the lifecycle event until late events are sent to a bot that has asked nothing.
    """

    max_age: float | None = None
    max_events: int | None = None
    rate: float | None = None
    mark: bool = False
    grace: float = 0.0
    delay: float = 0.0


@define
class Skipped:
    """Events that a bot did not want so late."""

    too_old: int = 0  # for max_age
    too_many: int = 0  # for max_events


class Backlog:
    """What there was when delivery resumed, and what the policy lets through of it.

    :param counters: what is skipped is counted here.
    :ivar policy: may be replaced; it counts when delivery resumes next.
    :ivar skip_upto: what is up to this position is beyond ``max_events``.
    """

    def __init__(self, policy: ReplayPolicy, counters: Skipped) -> None:
        self.skip_upto: Position = 0
        self._counters = counters
        self.policy = policy
        self._end: Position = 0
        self._too_old_upto: Position = 0  # what is up to it is beyond ``max_age``
        self._inherited: Position = 0  # so is of that up to here what is from before:
        self._not_before = 0  # milliseconds since the epoch
        self._counted: Position = 0  # what was skipped is counted up to here
        self._unlogged = Skipped()
        self._tokens = self._tokens_at = 0.0

    def resume(self, end: Position, now: float) -> None:
        """Delivery resumes; what is up to ``end`` is late.

        :param now: seconds.
        """
        self._end = end
        self.skip_upto = 0
        self._tokens, self._tokens_at = 1.0, now

    def skip_old(self, upto: Position, inherited: Position, not_before: int) -> None:
        """Note what is too old for ``max_age``.

        :param upto: everything up to this position is.
        :param inherited: up to this position so is what was taken in before ``not_before``.
        :param not_before: milliseconds since the epoch.
        """
        self._too_old_upto, self._inherited, self._not_before = upto, inherited, not_before

    def includes(self, position: Position) -> bool:
        """Whether it was there when delivery resumed."""
        return position <= self._end

    @property
    def skips(self) -> bool:
        """Whether anything of it may be skipped."""
        return self._too_old_upto > 0 or self._inherited > 0 or self.skip_upto > 0

    def skip(self, position: Position, time: int, is_request: bool) -> bool:
        """Whether an event of it is skipped. It is counted, once.

        :param time: when it was taken in: milliseconds since the epoch.
        :param is_request: somebody wants to be a friend, or to join: that is never skipped.
        """
        too_old = position <= self._too_old_upto or (position <= self._inherited and time < self._not_before)
        if is_request or not (too_old or position <= self.skip_upto):
            return False
        if position > self._counted:
            self._counted = position
            for count in (self._counters, self._unlogged):
                if too_old:
                    count.too_old += 1
                else:
                    count.too_many += 1
        return True

    def unlogged(self) -> Skipped:
        """Return what was skipped since the last call."""
        self._unlogged, unlogged = Skipped(), self._unlogged
        return unlogged

    def allowed(self, now: float) -> tuple[int, float]:
        """How many events of it may go now; if none, in how many seconds one may."""
        rate = self.policy.rate
        if rate is None:
            return 1 << 62, 0.0
        most = 1.0 + rate / 10  # a late timer takes nothing away
        self._tokens = min(most, self._tokens + (now - self._tokens_at) * rate)
        self._tokens_at = now
        if self._tokens < 1 - 1e-6:
            return 0, max(0.01, (1 - self._tokens) / rate)
        return int(self._tokens + 1e-6), 0.0

    def sent(self, events: int) -> None:
        """Note that a number of events was sent."""
        self._tokens -= events
