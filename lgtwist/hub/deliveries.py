"""All deliveries of one service: between the journal and the bots that asked for certain delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from lgtwist.delivery.batch import Batch
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.encoded_batch import EncodedBatch
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.interfaces import IDirectoryObserver


@implementer(IDirectoryObserver)
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
        *,
        window_bytes: int,
        patience: float,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._wall_clock = wall_clock
        self._window_bytes = window_bytes
        self._patience = patience
        self._begun = False
        # The lists are replaced, never changed: they may be iterated over at that moment.
        self._of: dict[int, list[Delivery]] = {}

    def __iter__(self) -> Iterator[Delivery]:
        for deliveries in tuple(self._of.values()):
            yield from deliveries

    def add(self, bot: Bot, account: Account, policy: ReplayPolicy) -> None:
        """Deliver the events of an account to a bot at least once, to the sessions that open from now on.

        It begins at once if the journal is open. If the pair is there already, its delivery is replaced.
        """
        if account.self_id in bot.deliveries:
            self.remove(bot, account)
        delivery = Delivery(
            bot.name,
            account.self_id,
            self._journal,
            clock=self._clock,
            wall_clock=self._wall_clock,
            policy=policy,
            passes=bot.passes,
            message_format=bot.message_format,
            window_bytes=self._window_bytes,
            patience=self._patience,
        )
        self._journal.enlist(bot.name, account.self_id)
        bot.deliveries[account.self_id] = delivery
        self._of[account.self_id] = [*self._of.get(account.self_id, ()), delivery]
        account.fan_out.journal_with(self._journal.append)
        if self._begun:
            self._safely(delivery, delivery.begin)

    def remove(self, bot: Bot, account: Account) -> None:
        """Deliver no more; nothing happens if the pair is not there.

        The active sink is demoted; the cursor is kept as long as events are. The account's events are still
        written, so that a bot that is added again in this run misses nothing.
        """
        delivery = bot.deliveries.pop(account.self_id, None)
        if delivery is None:
            return
        self._of[account.self_id] = [one for one in self._of[account.self_id] if one is not delivery]
        self._safely(delivery, delivery.stop)
        self._journal.delist(bot.name, account.self_id)

    def follow(self, directory: Directory) -> None:
        """Add and remove deliveries as accounts and at-least-once bots come and go in a directory."""
        self._directory = directory
        directory.observe(self)

    def account_added(self, account: Account) -> None:
        """Deliver the account's events to the at-least-once bots that may use it."""
        if account.self_id in self._of:  # written before, in this run
            account.fan_out.journal_with(self._journal.append)
        for bot in self._directory.bots.values():
            self._add_pair(bot, account)

    def account_removed(self, account: Account) -> None:
        """Deliver the account's events no more."""
        for bot in self._directory.bots.values():
            self.remove(bot, account)

    def bot_added(self, bot: Bot) -> None:
        """Deliver to the bot, if it asked for at-least-once."""
        for account in self._directory.accounts.values():
            self._add_pair(bot, account)

    def bot_removed(self, bot: Bot) -> None:
        """Deliver to the bot no more."""
        for account in self._directory.accounts.values():
            self.remove(bot, account)

    def configure(self, window_bytes: int, patience: float) -> None:
        """Take other limits for the deliveries that come, and the window for those that are there."""
        self._window_bytes, self._patience = window_bytes, patience
        for bot in self._directory.bots.values():
            self.bot_changed(bot)

    def bot_changed(self, bot: Bot) -> None:
        """Add, remove and configure the deliveries of a bot whose settings changed."""
        settings = bot.settings
        for account in self._directory.accounts.values():
            delivery = bot.deliveries.get(account.self_id)
            wanted = settings.at_least_once and bot.may_use(account.self_id)
            if delivery is None and wanted:
                self.add(bot, account, settings.replay)
            elif delivery is not None and not wanted:
                self.remove(bot, account)
            elif delivery is not None:
                delivery.configure(
                    policy=settings.replay,
                    passes=bot.passes,
                    message_format=bot.message_format,
                    window_bytes=self._window_bytes,
                )

    def _add_pair(self, bot: Bot, account: Account) -> None:
        settings = bot.settings
        if settings.at_least_once and bot.may_use(account.self_id) and account.self_id not in bot.deliveries:
            self.add(bot, account, settings.replay)

    def stop(self) -> None:
        """Stop all deliveries; their cursors, and what the journal keeps, stay."""
        for delivery in self:
            self._safely(delivery, delivery.stop)

    def pairs(self) -> list[tuple[str, int]]:
        """The bots and their accounts."""
        return [(delivery.bot, delivery.account) for delivery in self]

    def begin(self) -> None:
        """The journal is open."""
        self._begun = True
        for delivery in self:
            self._safely(delivery, delivery.begin)
        self._journal.observe(self._committed)

    def _committed(self, batch: Batch) -> None:
        encoded = EncodedBatch(batch, self._clock.seconds())
        for delivery in self._of.get(batch.account, ()):
            try:
                delivery.committed(encoded)
            except Exception:
                self._failed(delivery)

    def check(self) -> None:
        """To be called each second or so."""
        for delivery in self:
            self._safely(delivery, delivery.check)

    def check_retention(self) -> None:
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
