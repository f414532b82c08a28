"""All deliveries of one service: between the journal and the bots that asked for certain delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lgtwist.delivery.batch import Batch
from lgtwist.delivery.delivery import Delivery, Encodings
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot


class Deliveries:
    """Feeds each delivery with what becomes durable.

    :param journal: where events wait.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param window_bytes: bytes that may be unconfirmed.
    :param patience: seconds without a confirmation that are worth a line in the log.
    """

    _log = Logger()

    def __init__(
        self,
        journal: IJournal,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        window_bytes: int,
        patience: float,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._wall_clock = wall_clock
        self._window_bytes = window_bytes
        self._patience = patience
        self._of: dict[int, list[Delivery]] = {}

    def __iter__(self) -> Iterator[Delivery]:
        for deliveries in self._of.values():
            yield from deliveries

    def add(self, bot: Bot, account: Account, policy: ReplayPolicy) -> None:
        """A bot that asked for certain delivery, and one of its accounts."""
        delivery = Delivery(
            bot.name,
            account.self_id,
            self._journal,
            self._clock,
            self._wall_clock,
            policy,
            bot.passes,
            bot.message_format,
            self._window_bytes,
            self._patience,
        )
        bot.deliveries[account.self_id] = delivery
        self._of.setdefault(account.self_id, []).append(delivery)
        account.fan_out.journal_with(self._journal.append)

    def pairs(self) -> list[tuple[str, int]]:
        """The bots and their accounts."""
        return [(delivery.bot, delivery.account) for delivery in self]

    def begin(self) -> None:
        """The journal is open."""
        for delivery in self:
            delivery.begin()
        self._journal.observe(self._committed)

    def _committed(self, batch: Batch) -> None:
        encodings = Encodings(batch, self._clock.seconds())
        for delivery in self._of.get(batch.account, ()):
            try:
                delivery.committed(encodings)
            except Exception:
                self._failed(delivery)

    def look(self) -> None:
        """To be called each second or so."""
        for delivery in self:
            self._safely(delivery, delivery.look)

    def trimmed(self) -> None:
        """The journal forgot old events."""
        for delivery in self:
            self._safely(delivery, delivery.check_retention)

    def _safely(self, delivery: Delivery, what: Callable[..., None], *arguments: Any) -> None:
        """One bot's trouble is not another's."""
        try:
            what(*arguments)
        except Exception:
            self._failed(delivery)

    def _failed(self, delivery: Delivery) -> None:
        self._log.failure(
            "{bot}: delivery for account {account} failed", bot=delivery.bot, account=delivery.account
        )
