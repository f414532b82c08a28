"""Handshakes of bots that wait until their account is up for the first time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from weakref import WeakSet

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot

#: Seconds that a handshake waits.
WAIT = 3.0
#: How many wait, and how many of one bot.
_MOST_WAITING = 1000
_MOST_WAITING_OF_BOT = 100
#: So many go on at once when their account comes up, and as many more after each gap (seconds).
_AT_ONCE = 50
_GAP = 0.001


@frozen
class _Waiting:
    """A handshake that waits.

    :ivar timer: calls what was given to :meth:`WaitingHandshakes.add`.
    """

    bot: Bot
    account: Account
    timer: IDelayedCall
    go_on: Callable[[], None]


class WaitingHandshakes:
    """Lets handshakes wait until their account is up for the first time, for 3 s at most.

    Some programs end for good at their first refusal, and they are often started together with the
    implementation. A handshake is forgotten when its client is gone.

    :param clock: the reactor, or a clock in its place.
    :param most: how many wait; ``most_of_bot`` of one bot.
    """

    def __init__(
        self, clock: IReactorTime, *, most: int = _MOST_WAITING, most_of_bot: int = _MOST_WAITING_OF_BOT
    ) -> None:
        self._clock = clock
        self._most = most
        self._most_of_bot = most_of_bot
        self._waiting: dict[Request, _Waiting] = {}
        self._of_bot: Counter[Bot] = Counter()
        self._watched: WeakSet[Account] = WeakSet()  # they call us when they come up

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: Request, bot: Bot, account: Account, go_on: Callable[[], None]) -> bool:
        """Let a handshake wait; return whether there is room for it.

        :param account: one that was not up yet.
        :param go_on: called once: the account is up, or the time is over, or :meth:`stop` was called. It must
            not raise. It is not called if the client is gone before.
        """
        if len(self._waiting) >= self._most or self._of_bot[bot] >= self._most_of_bot:
            return False
        timer = self._clock.callLater(WAIT, self._go_on, request)
        self._waiting[request] = _Waiting(bot, account, timer, go_on)
        self._of_bot[bot] += 1
        request.notifyFinish().addErrback(partial(self._connection_lost, request))
        if account not in self._watched:
            self._watched.add(account)
            account.when_up(partial(self._account_is_up, account))
        return True

    def _account_is_up(self, account: Account) -> None:
        self._watched.discard(account)
        up = [one for one in self._waiting.values() if one.account is account]
        for number, waiting in enumerate(up):
            waiting.timer.reset(number // _AT_ONCE * _GAP)

    def _connection_lost(self, request: Request, _reason: Failure) -> None:
        self._remove(request)

    def _remove(self, request: Request) -> _Waiting | None:
        waiting = self._waiting.pop(request, None)
        if waiting is not None:
            if waiting.timer.active():
                waiting.timer.cancel()
            self._of_bot[waiting.bot] -= 1
            if not self._of_bot[waiting.bot]:
                del self._of_bot[waiting.bot]
        return waiting

    def _go_on(self, request: Request) -> None:
        waiting = self._remove(request)
        if waiting is not None:
            waiting.go_on()

    def stop(self) -> None:
        """Let every handshake go on now: the service stops."""
        for request in tuple(self._waiting):
            self._go_on(request)
