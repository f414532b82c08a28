"""All accounts and all bots of one service; they may be added and removed while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.interfaces import IDirectoryObserver
from lgtwist.hub.sent_messages import SentMessages
from lgtwist.onebot.event import BadEvent
from lgtwist.runtime.logs import Logger


@implementer(IDirectoryObserver)
class DirectoryObserver:
    """An observer that does nothing; subclasses override the methods that concern them."""

    def account_added(self, account: Account) -> None:
        """Do nothing."""

    def account_removed(self, account: Account) -> None:
        """Do nothing."""

    def bot_added(self, bot: Bot) -> None:
        """Do nothing."""

    def bot_removed(self, bot: Bot) -> None:
        """Do nothing."""


class Directory:
    """The accounts by their numbers, the bots by their names, and the observers of both.

    :param threads: the reactor, or a fake of its ``callFromThread``.
    :ivar accounts: by their number, in the order in which they were added or put.
    :ivar bots: by their name, in the order in which they were added.
    """

    _log = Logger()

    def __init__(self, threads: IReactorFromThreads) -> None:
        self.accounts: dict[int, Account] = {}
        self.bots: dict[str, Bot] = {}
        self._threads = threads
        self._observers: list[IDirectoryObserver] = []
        self._sent_messages: dict[int, SentMessages] = {}  # of the accounts that some bot asks for

    def observe(self, observer: Any) -> None:
        """Call an ``IDirectoryObserver`` for each account and bot that is there, and for every change."""
        self._observers.append(observer)
        for account in self.accounts.values():
            self._notify(observer.account_added, account)
        for bot in self.bots.values():
            self._notify(observer.bot_added, bot)

    def unobserve(self, observer: Any) -> None:
        """Call ``observer`` no more."""
        self._observers.remove(observer)

    def _notify(self, method: Callable[[Any], object], subject: Any) -> None:
        """Call a method of one observer; log an exception, so that the other observers are called too."""
        try:
            method(subject)
        except Exception:
            self._log.failure("an observer of the directory failed")

    def add_account(self, account: Account) -> None:
        """Add an account, and call the observers.

        :raises ValueError: if its number is there already.
        """
        if account.self_id in self.accounts:
            raise ValueError(f"account {account.self_id} is there already")
        self.accounts[account.self_id] = account
        self.update_sent_messages()
        for observer in tuple(self._observers):
            self._notify(observer.account_added, account)

    def remove_account(self, self_id: int) -> Account:
        """Remove an account, call the observers, and return it; call :meth:`Account.stop` before.

        :raises KeyError: if it is not there.
        """
        account = self.accounts.pop(self_id)
        for observer in reversed(self._observers):
            self._notify(observer.account_removed, account)
        for bot in self.bots.values():
            bot.account_removed(account)
        self.update_sent_messages()
        return account

    def sort_accounts(self, numbers: Iterable[int]) -> None:
        """Put the accounts in another order; the first that a bot may use is its default account.

        :param numbers: the numbers of all of them.
        """
        self.accounts = {number: self.accounts[number] for number in numbers}

    def add_bot(self, bot: Bot) -> None:
        """Add a bot, and call the observers.

        :raises ValueError: if its name is there already.
        """
        if bot.name in self.bots:
            raise ValueError(f'bot "{bot.name}" is there already')
        self.bots[bot.name] = bot
        bot.sent_ids = self._sent_messages
        self.update_sent_messages()
        for observer in tuple(self._observers):
            self._notify(observer.bot_added, bot)

    def remove_bot(self, name: str) -> Bot:
        """Remove a bot, call the observers, and return it.

        :raises KeyError: if it is not there.
        """
        bot = self.bots.pop(name)
        for observer in reversed(self._observers):
            self._notify(observer.bot_removed, bot)
        self.update_sent_messages()
        bot.stop()
        return bot

    def update_sent_messages(self) -> None:
        """Let those accounts remember the messages that they send of which a bot asks for them.

        Call this when a bot's settings have changed.
        """
        asking = [bot for bot in self.bots.values() if bot.wants_sent_ids]
        if not asking and not self._sent_messages:
            return
        self._sent_messages.clear()
        for self_id, account in self.accounts.items():
            account.remember_sent_messages(any(bot.may_use(self_id) for bot in asking))
            if account.sent_messages is not None:
                self._sent_messages[self_id] = account.sent_messages

    def accounts_of(self, bot: Bot) -> list[Account]:
        """Return the accounts that a bot may use."""
        return [account for account in self.accounts.values() if bot.may_use(account.self_id)]

    def default_account(self, bot: Bot) -> Account | None:
        """Return the first account that a bot may use; None if there is none."""
        for account in self.accounts.values():
            if bot.may_use(account.self_id):
                return account
        return None

    def publish_from_thread(self, self_id: int, raw: bytes) -> None:
        """Publish an event of an account from any thread; no other method may be called from other threads.

        Events of one thread keep their order. Raw bytes that are no event are dropped and logged.

        :param raw: one JSON object.

        :raises KeyError: if there is no such account.
        """
        account = self.accounts[self_id]
        self._threads.callFromThread(self._publish, account, raw)

    def _publish(self, account: Account, raw: bytes) -> None:
        try:
            account.publish(raw)
        except BadEvent as error:
            self._log.warn("account {account}: not an event: {reason}", account=account.self_id, reason=error)
