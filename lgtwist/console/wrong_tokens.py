"""A bound for wrong tokens of all addresses together: behind a proxy everybody has one address."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

#: Wrong tokens within a minute that are answered at once.
_ANSWERED_AT_ONCE = 10
_MINUTE = 60.0
#: Seconds that the answers to others wait, and how many may wait.
_DELAY = 2.0
_MOST_DELAYED = 100


class WrongTokens:
    """Delays the answers to wrong tokens where there are many. A right token is never delayed or refused.

    :param clock: the reactor, or a clock in its place.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=_ANSWERED_AT_ONCE)
        self._waiting = 0

    def count(self) -> Deferred[bool] | bool:
        """Count a wrong token.

        :returns: whether it may be answered as such, perhaps later; False if too many answers wait already.
            A Deferred that is returned may be cancelled.
        """
        now = self._clock.seconds()
        many = len(self._times) == _ANSWERED_AT_ONCE and now - self._times[0] < _MINUTE
        self._times.append(now)
        if not many:
            return True
        if self._waiting >= _MOST_DELAYED:
            return False
        self._waiting += 1

        def cancel(_waiting: Deferred[bool]) -> None:
            if delayed.active():
                delayed.cancel()

        waiting: Deferred[bool] = Deferred(cancel)
        delayed = self._clock.callLater(_DELAY, waiting.callback, True)

        def ended(result: bool) -> bool:
            self._waiting -= 1
            return result

        return waiting.addBoth(ended)
