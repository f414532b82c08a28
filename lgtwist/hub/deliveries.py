"""The at-least-once deliveries of one service: one for each such bot and each of its accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lgtwist.delivery.batch import Batch, Watermark
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.encoded_batch import EncodedBatch
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.interfaces import IDirectoryObserver
from lgtwist.runtime.logs import Logger


@implementer(IDirectoryObserver)
class Deliveries:
    """Makes the at-least-once deliveries, and hands them the events that the journal has committed.

    :param journal: keeps the events.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param window_bytes: bytes of events that one delivery may have unconfirmed.
    :param patience: seconds without a confirmation after which a connected bot is logged as silent.
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
        self._started = False
        # The lists are replaced, not changed: one may be iterated over when a delivery is added or removed.
        self._by_account: dict[int, list[Delivery]] = {}
        self._journalled: dict[int, Account] = {}  # the accounts whose events are appended to the journal
        self._live: set[str] = set()  # the names of the bots whose delivery is live
        journal.observe_pauses(self._account_paused)

    def __iter__(self) -> Iterator[Delivery]:
        for deliveries in tuple(self._by_account.values()):
            yield from deliveries

    def add(self, bot: Bot, account: Account, policy: ReplayPolicy) -> None:
        """Make the delivery of an account's events to a bot, and replace the one that there is, if any.

        It serves the sessions that are opened from now on. It is started if :meth:`start` was called.
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
        self._by_account[account.self_id] = [*self._by_account.get(account.self_id, ()), delivery]
        self._journal_events(account)
        if self._started:
            self._call_logged(delivery, delivery.begin)

    def _journal_events(self, account: Account) -> None:
        """Append an account's events to the journal from now on, as fast as it takes them."""
        if self._journalled.get(account.self_id) is not account:
            self._journalled[account.self_id] = account
            account.fan_out.set_journal(self._journal.append)
            reason = self._journal.pause_reason(account.self_id)
            if reason:
                account.links.pause_events(reason)

    def _account_paused(self, self_id: int, reason: str) -> None:
        """Pause or resume the events of an account.

        :param reason: why they are paused; empty if they are resumed.
        """
        account = self._journalled.get(self_id)
        if account is None:
            return
        if reason:
            account.links.pause_events(reason)
        else:
            account.links.resume_events()

    def remove(self, bot: Bot, account: Account) -> None:
        """Stop and remove the delivery of an account's events to a bot; do nothing if there is none.

        Its active sink is demoted; the journal keeps its cursor as long as events. The account's events
        are still journalled, so that a bot that is added again before the next start misses none.
        """
        delivery = bot.deliveries.pop(account.self_id, None)
        if delivery is None:
            return
        self._by_account[account.self_id] = [
            one for one in self._by_account[account.self_id] if one is not delivery
        ]
        self._call_logged(delivery, delivery.stop)
        self._journal.delist(bot.name, account.self_id)

    def observe_directory(self, directory: Directory) -> None:
        """Observe a directory: add and remove deliveries as its accounts and at-least-once bots change."""
        self._directory = directory
        directory.observe(self)

    def account_added(self, account: Account) -> None:
        """Add the deliveries of the account's events."""
        if account.self_id in self._by_account:  # its events were journalled before
            self._journal_events(account)
        for bot in self._directory.bots.values():
            self._add_pair(bot, account)

    def account_removed(self, account: Account) -> None:
        """Remove the deliveries of the account's events."""
        for bot in self._directory.bots.values():
            self.remove(bot, account)
        self._journalled.pop(account.self_id, None)

    def bot_added(self, bot: Bot) -> None:
        """Add the bot's deliveries, if its delivery is at-least-once."""
        self._note_live(bot)
        for account in self._directory.accounts.values():
            self._add_pair(bot, account)

    def bot_removed(self, bot: Bot) -> None:
        """Remove the bot's deliveries."""
        self._live.discard(bot.name)
        for account in self._directory.accounts.values():
            self.remove(bot, account)

    def configure(self, window_bytes: int, patience: float) -> None:
        """Replace the limits of deliveries that are added, and the window of those that are there."""
        self._window_bytes, self._patience = window_bytes, patience
        for bot in self._directory.bots.values():
            self.bot_changed(bot)

    def bot_changed(self, bot: Bot) -> None:
        """Add, remove and configure the deliveries of a bot whose settings changed."""
        settings = bot.settings
        was_live = bot.name in self._live
        self._note_live(bot)
        for account in self._directory.accounts.values():
            delivery = bot.deliveries.get(account.self_id)
            wanted = settings.at_least_once and bot.may_use(account.self_id)
            if delivery is None and wanted:
                if was_live:
                    self._skip_to_end(bot, account)
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

    def _note_live(self, bot: Bot) -> None:
        if bot.settings.at_least_once:
            self._live.discard(bot.name)
        else:
            self._live.add(bot.name)

    def _skip_to_end(self, bot: Bot, account: Account) -> None:
        """Move the cursor of a bot behind the events of the time when its delivery was live.

        Those were sent to it as they came.
        """
        journal, self_id = self._journal, account.self_id
        journal.enlist(bot.name, self_id)
        if journal.watermark(bot.name, self_id).position < journal.end(self_id):
            end = Watermark(journal.end(self_id), journal.total(self_id), int(self._wall_clock() * 1000))
            journal.confirm(bot.name, self_id, end)

    def _add_pair(self, bot: Bot, account: Account) -> None:
        settings = bot.settings
        if settings.at_least_once and bot.may_use(account.self_id) and account.self_id not in bot.deliveries:
            self.add(bot, account, settings.replay)

    def stop(self) -> None:
        """Stop all deliveries; the journal keeps their cursors and events."""
        for delivery in self:
            self._call_logged(delivery, delivery.stop)

    def pairs(self) -> list[tuple[str, int]]:
        """Return the bot's name and the account's number of each delivery."""
        return [(delivery.bot, delivery.account) for delivery in self]

    def start(self) -> None:
        """Start all deliveries. Call this once, when the journal is open."""
        self._started = True
        for delivery in self:
            self._call_logged(delivery, delivery.begin)
        self._journal.observe(self._committed)

    def _committed(self, batch: Batch) -> None:
        encoded = EncodedBatch(batch, self._clock.seconds())
        for delivery in self._by_account.get(batch.account, ()):
            try:
                delivery.committed(encoded)
            except Exception:
                self._log_failure(delivery)

    def check(self) -> None:
        """Check the time limits of all deliveries. Call this about every second."""
        for delivery in self:
            self._call_logged(delivery, delivery.check)

    def check_retention(self) -> None:
        """Let all deliveries check their positions. Call this when the journal has removed old events."""
        for delivery in self:
            self._call_logged(delivery, delivery.check_retention)

    def _call_logged(self, delivery: Delivery, what: Callable[..., None], *arguments: Any) -> None:
        """Call a method of a delivery; log an exception, so that the other deliveries go on."""
        try:
            what(*arguments)
        except Exception:
            self._log_failure(delivery)

    def _log_failure(self, delivery: Delivery) -> None:
        self._log.failure(
            "{bot}: delivery for account {account} failed", bot=delivery.bot, account=delivery.account
        )
