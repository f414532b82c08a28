"""All accounts and all bots of one service."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.rate_limit import RateLimited
from lgtwist.onebot.event import BadEvent


class Hub:
    """Where accounts and bots find each other.

    :param accounts: in the order of the configuration.
    :param bots: in the order of the configuration.
    :param threads: the reactor, or what stands for it.
    """

    _log = Logger()

    def __init__(
        self, accounts: Sequence[Account], bots: Sequence[Bot], threads: IReactorFromThreads
    ) -> None:
        self.accounts = {account.self_id: account for account in accounts}
        self.bots = tuple(bots)
        self._threads = threads
        self._rate_limited = {a.self_id: RateLimited(a.clock) for a in accounts}
        for bot in self.bots:
            bot.queue_rate_limited(self._rate_limited)

    def default_account(self, bot: Bot) -> Account | None:
        """The first configured account that this bot may use."""
        for account in self.accounts.values():
            if bot.may_use(account.self_id):
                return account
        return None

    def publish_from_thread(self, self_id: int, raw: bytes) -> None:
        """Publish an event of an account from any thread: the one door for other threads.

        Events of one thread keep their order. What is no event is one log line.

        :raises KeyError: if there is no such account.
        """
        account = self.accounts[self_id]
        self._threads.callFromThread(self._publish, account, raw)

    def _publish(self, account: Account, raw: bytes) -> None:
        try:
            account.publish(raw)
        except BadEvent as error:
            self._log.warn("account {account}: not an event: {reason}", account=account.self_id, reason=error)

    def stop(self) -> None:
        """Forget what waits for its time."""
        for limiter in self._rate_limited.values():
            limiter.stop()
        for bot in self.bots:
            bot.stop()
