"""The log lines about calls of one account that end without an answer (1504)."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lgtwist.runtime.logs import Logger

#: Seconds without such an end after which how many more there were is logged.
_QUIET = 60.0
#: Actions that are told apart; the others are one. Bots may ask for any name.
_MOST_ACTIONS = 50
_OTHERS = "other actions"


class TimeoutLog:
    """Writes one line for each action when its calls begin to end without an answer, and one at the end.

    The second one, a minute after the last of them, says how many there were beside the first; it is left out
    if there were none.

    :param self_id: the account.
    :param clock: the reactor, or a clock in its place.
    """

    _log = Logger()

    def __init__(self, self_id: int, clock: IReactorTime) -> None:
        self._self_id = self_id
        self._clock = clock
        self._more: dict[str, int] = {}  # by action: how many are not logged
        self._last: dict[str, float] = {}  # by action: when the last of them ended
        self._timer: IDelayedCall | None = None

    def expired(self, actions: Iterable[str], limit: float) -> None:
        """Take note of calls that have ended without an answer.

        :param actions: of each of them.
        :param limit: after so many seconds.
        """
        now = self._clock.seconds()
        for action in actions:
            if action not in self._more and len(self._more) >= _MOST_ACTIONS:
                action = _OTHERS
            self._last[action] = now
            if action in self._more:
                self._more[action] += 1
                continue
            self._more[action] = 0
            self._log.warn(
                "account {account}: no answer to {action} within {limit:g} s; it may have been carried out",
                account=self._self_id,
                action=action,
                limit=limit,
            )
        if self._more and self._timer is None:
            self._timer = self._clock.callLater(_QUIET, self._check)

    def _check(self) -> None:
        """Log how many more there were of the actions that have been quiet for a minute."""
        self._timer = None
        before = self._clock.seconds() - _QUIET
        self._end([action for action, last in self._last.items() if last <= before])
        if self._last:
            wait = min(self._last.values()) - before
            self._timer = self._clock.callLater(wait, self._check)

    def _end(self, actions: list[str]) -> None:
        for action in actions:
            del self._last[action]
            more = self._more.pop(action)
            if more:
                self._log.warn(
                    "account {account}: {times} more calls of {action} ended without an answer",
                    account=self._self_id,
                    times=more,
                    action=action,
                )

    def stop(self) -> None:
        """Log now how many more there were of each action."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end(list(self._last))
