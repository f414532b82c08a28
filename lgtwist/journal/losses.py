"""Events that could not be kept: counted for ever, logged once when it is over."""

from __future__ import annotations

from attrs import define

from lgtwist.runtime.logs import Logger


@define
class _Loss:
    """Events of one account that were lost since that was logged. Milliseconds since the epoch."""

    first: int
    last: int
    events: int = 0


class Losses:
    """What was lost.

    :ivar totals: events by account, since the start.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.totals: dict[int, int] = {}
        self._unlogged: dict[int, _Loss] = {}

    def __bool__(self) -> bool:
        """Whether anything was lost that was not logged."""
        return bool(self._unlogged)

    def add(self, account: int, events: int, first: int, last: int) -> None:
        """Count lost events.

        :param first: when the oldest was taken in: milliseconds since the epoch.
        :param last: and the newest.
        """
        self.totals[account] = self.totals.get(account, 0) + events
        loss = self._unlogged.setdefault(account, _Loss(first, last))
        loss.events += events
        loss.first = min(loss.first, first)
        loss.last = max(loss.last, last)

    def log(self) -> None:
        """Log what was lost since this was called last, a line for each account."""
        self._unlogged, unlogged = {}, self._unlogged
        for account, loss in unlogged.items():
            self._log.error(
                "journal: {events} events of account {account}, the first at {first:.3f} and the last at "
                "{last:.3f} (seconds since the epoch), could not be kept: lost for at-least-once bots",
                events=loss.events,
                account=account,
                first=loss.first / 1000,
                last=loss.last / 1000,
            )
