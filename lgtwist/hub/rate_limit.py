"""The queues of ``_rate_limited`` calls (OneBot 11, ``api/README.md``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import IDirectoryObserver
from lgtwist.onebot.errors import TooManyCalls
from lgtwist.runtime.budget import Budget

#: Seconds between two rate-limited calls of one account.
RATE_INTERVAL = 0.5


#: Rate-limited calls of one bot that may wait for one account.
RATE_QUEUE = 100


#: Bytes of parameters of all of them together; one call alone may be larger.
RATE_QUEUE_BYTES = 16 << 20


class RateLimiter:
    """The queue of one account's rate-limited calls: one call each half second, bots in turn.

    :param clock: the reactor, or a clock in its place.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # In the order in which bots are served; each call with its parameters' size and its bot's budget.
        self._queues: dict[str, deque[tuple[Callable[[], None], int, Budget]]] = {}
        self._next_at = 0.0
        self._timer: IDelayedCall | None = None

    def put(self, bot: str, call: Callable[[], None], size: int, budget: Budget) -> None:
        """Queue a call.

        :param bot: its name.
        :param call: makes the call, later.
        :param size: bytes of its parameters.
        :param budget: the bot's; they are counted in it while the call waits.
        :raises TooManyCalls: if too many calls or too many bytes of this bot wait.
        """
        queue = self._queues.setdefault(bot, deque())
        if len(queue) >= RATE_QUEUE:
            raise TooManyCalls(f"{RATE_QUEUE} rate-limited calls of this bot wait already")
        if queue and size + sum(waiting for _call, waiting, _budget in queue) > RATE_QUEUE_BYTES:
            raise TooManyCalls(f"rate-limited calls of this bot with {RATE_QUEUE_BYTES} bytes wait already")
        queue.append((call, size, budget))
        budget.charge(size)
        if self._timer is None:
            self._timer = self._clock.callLater(
                max(0.0, self._next_at - self._clock.seconds()), self._call_next
            )

    def _call_next(self) -> None:
        self._timer = None
        bot, queue = next(iter(self._queues.items()))
        del self._queues[bot]
        call, size, budget = queue.popleft()
        if queue:
            self._queues[bot] = queue  # behind the others
        self._next_at = self._clock.seconds() + RATE_INTERVAL
        if self._queues:
            self._timer = self._clock.callLater(RATE_INTERVAL, self._call_next)
        try:
            call()
        finally:
            budget.release(size)

    def stop(self) -> None:
        """Drop the calls that wait."""
        for queue in self._queues.values():
            for _call, size, budget in queue:
                budget.release(size)
        self._queues.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@implementer(IDirectoryObserver)
class RateLimiters:
    """The rate limiters of all accounts."""

    def __init__(self) -> None:
        self._queues: dict[int, RateLimiter] = {}

    def get(self, account: Account) -> RateLimiter:
        """Return the rate limiter of an account."""
        return self._queues[account.self_id]

    def account_added(self, account: Account) -> None:
        """Make a rate limiter for the account."""
        self._queues[account.self_id] = RateLimiter(account.clock)

    def account_removed(self, account: Account) -> None:
        """Drop the calls that wait for the account."""
        self._queues.pop(account.self_id).stop()

    def bot_added(self, bot: Any) -> None:
        """Give the bot the rate limiters."""
        bot.set_rate_limiters(self)

    def bot_removed(self, bot: Any) -> None:
        """Do nothing: calls of the bot that wait are still made."""

    def stop(self) -> None:
        """Drop the calls that wait for any account."""
        for queue in self._queues.values():
            queue.stop()
