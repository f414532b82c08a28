"""The accounts and bots with their edges: add, replace, change and remove them while the service runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import SystemRandom
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred

from lgtwist.app.at_least_once import AtLeastOnce
from lgtwist.app.configuration import AccountConfig, BotConfig
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import IDialler
from lgtwist.hub.settings import BotSettings
from lgtwist.runtime.tasks import log_failures, spawn


class EdgeTree:
    """The accounts and bots in the directory, and their edges, which are named services.

    :param directory: the accounts and bots.
    :param resources: what edges are made with; its limits are the present ones.
    :param at_least_once: the journal and the deliveries.
    :param refresh_token: lets the port know a bot by its present token.
    :param is_running: returns whether the service runs.
    :param may_change: returns whether it runs and is not stopping.
    :ivar accounts: the accounts' edges, named by their numbers.
    :ivar bots: the bots' edges, named by the bots' names.
    """

    def __init__(
        self,
        directory: Directory,
        resources: EdgeResources,
        at_least_once: AtLeastOnce,
        *,
        refresh_token: Callable[[Bot], None],
        is_running: Callable[[], bool],
        may_change: Callable[[], bool],
    ) -> None:
        self.directory = directory
        self.accounts, self.bots = MultiService(), MultiService()
        self._resources = resources
        self._at_least_once = at_least_once
        self._refresh_token = refresh_token
        self._is_running = is_running
        self._may_change = may_change
        # Random, so that a late response to an earlier run does not match a call of this one.
        self._first_call = SystemRandom().getrandbits(48)

    def account_edge(self, self_id: int) -> Any:
        """Return the edge of an account; None if there is none."""
        return self.accounts.namedServices.get(str(self_id))

    def bot_edge(self, name: str) -> Any:
        """Return the edge of a bot; None if there is none."""
        return self.bots.namedServices.get(name)

    def new_account(self, wanted: AccountConfig) -> Account:
        """Return a new account, not in the directory yet."""
        limits = self._resources.limits
        return Account(
            wanted.self_id,
            self._resources.reactor,
            self._resources.wall_clock,
            action_timeout=limits.action_timeout,
            heartbeat_interval=limits.heartbeat_interval,
            peer_memory=limits.peer_memory,
            dialect=wanted.settings.dialect,
            first_call=self._first_call,
            scheduler=self._resources.scheduler,
        )

    def account_edge_for(self, wanted: AccountConfig, account: Account) -> IEdge:
        """Return a new edge of an account, not prepared yet."""
        edge: IEdge = wanted.kind.make(account, wanted.settings, self._resources)
        return edge

    def _attach(self, edge: IEdge, name: str, parent: MultiService) -> None:
        edge.setName(name)
        edge.setServiceParent(parent)

    def make_account(self, wanted: AccountConfig) -> None:
        """Make an account with its edge, and put it into the directory; see :meth:`add_account`."""
        account = self.new_account(wanted)
        edge = self.account_edge_for(wanted, account)
        if self._is_running():
            edge.prepare()
        self.put_account(account, edge)

    def put_account(self, account: Account, edge: IEdge) -> None:
        """Put an account with its prepared edge into the directory; it starts if the service runs."""
        self.directory.add_account(account)
        self._attach(edge, str(account.self_id), self.accounts)

    def add_account(self, wanted: AccountConfig) -> None:
        """Add an account, and start it if the service runs.

        :raises CannotPrepare: if its edge cannot be prepared; nothing has changed then.
        :raises ValueError: if its number is there already.
        """
        if wanted.self_id in self.directory.accounts:
            raise ValueError(f"account {wanted.self_id} is there already")
        self.make_account(wanted)

    def remove_account(self, self_id: int) -> Deferred[None]:
        """Remove an account: its links and bots' connections to it are closed with 1001, calls end as 1502.

        The journal keeps its cursors as long as events.

        :returns: fires when its edge has stopped.
        :raises KeyError: if it is not there.
        """
        account, edge = self.directory.accounts[self_id], self.account_edge(self_id)
        reason = f"account {self_id} is removed"
        edge.retire()
        account.links.close(1001, reason)
        account.stop(reason)
        for bot in self.directory.bots.values():
            bot.end_sessions(1001, reason, account)
        self.directory.remove_account(self_id)
        return self._remove_edge(edge)

    async def replace_account_edge(self, self_id: int, edge: IEdge) -> None:
        """Make the link of an account anew: the old one ends with 1001, calls under way as 1502.

        The account stays, and with it bots' connections, subscriptions and cursors.

        :param edge: prepared; it starts when the old one's connections are gone.
        """
        account, old = self.directory.accounts[self_id], self.account_edge(self_id)
        reason = f"the settings of account {self_id} were changed"
        old.retire()
        account.links.close(1001, reason)
        account.end_calls(reason)
        await self._remove_edge(old)
        if self._may_change() and self.directory.accounts.get(self_id) is account:
            self._attach(edge, str(self_id), self.accounts)

    def new_bot_edge(self, wanted: BotConfig, bot: Bot) -> IEdge:
        """Return a new edge of a bot; it serves nothing before :meth:`put_bot_edge`."""
        edge: IEdge = wanted.kind.make(bot, wanted.settings, self._resources)
        return edge

    def make_bot(self, wanted: BotConfig) -> None:
        """Make a bot with its edge, and put it into the directory; see :meth:`add_bot`."""
        bot = Bot(wanted.bot, self._resources.limits)
        edge = self.new_bot_edge(wanted, bot)
        if wanted.bot.at_least_once:
            self._at_least_once.make()
        self.directory.add_bot(bot)
        self.put_bot_edge(bot, edge)

    def put_bot_edge(self, bot: Bot, edge: IEdge) -> None:
        """Let an edge serve a bot that is in the directory."""
        self.directory.observe(edge)
        self._attach(edge, bot.name, self.bots)

    def add_bot(self, wanted: BotConfig) -> None:
        """Add a bot, and serve it from now on.

        :raises CannotPrepare: if it is the first that needs the journal, and the journal cannot be used;
            nothing has changed then.
        :raises ValueError: if its name is there already.
        """
        if wanted.bot.name in self.directory.bots:
            raise ValueError(f'bot "{wanted.bot.name}" is there already')
        self.make_bot(wanted)

    def remove_bot(self, name: str) -> Deferred[None]:
        """Remove a bot: its connections are closed with 1001.

        The journal keeps its cursors as long as events.

        :returns: fires when its edge has stopped.
        :raises KeyError: if it is not there.
        """
        bot, edge = self.directory.bots[name], self.bot_edge(name)
        edge.retire()
        bot.end_sessions(1001, f'bot "{name}" is removed')
        self.directory.unobserve(edge)
        self.directory.remove_bot(name)
        return self._remove_edge(edge)

    async def replace_bot_edge(self, wanted: BotConfig) -> None:
        """Serve a bot in another way, or make its links anew: its connections end with 1012; cursors stay."""
        bot = self.directory.bots[wanted.bot.name]
        old = self.bot_edge(bot.name)
        old.retire()
        bot.end_sessions(1012, f'the settings of bot "{bot.name}" were changed')
        self.directory.unobserve(old)
        await self._remove_edge(old)
        if self._may_change() and self.directory.bots.get(bot.name) is bot:
            self.put_bot_edge(bot, self.new_bot_edge(wanted, bot))

    def change_bot(self, settings: BotSettings, *, anew: bool) -> None:
        """Replace the settings of a bot in place, from the next event and action on.

        Connections that the old token let in, and those to an account that it may not use any more, end
        with 1008.

        :param anew: whether all its links are about to be made anew.
        """
        bot = self.directory.bots[settings.name]
        before = bot.settings
        bot.configure(settings)
        self.directory.update_sent_messages()
        self._refresh_token(bot)
        if self._at_least_once.deliveries is not None:
            self._at_least_once.deliveries.bot_changed(bot)
        if anew:
            return
        edge = self.bot_edge(bot.name)
        for account in self.directory.accounts.values():
            could = before.accounts is None or account.self_id in before.accounts
            if could and not bot.may_use(account.self_id):
                edge.account_removed(account)
                bot.end_sessions(1008, f"account {account.self_id} was taken away from this bot", account)
            elif bot.may_use(account.self_id) and not could:
                edge.account_added(account)
        if settings.access_token != before.access_token:
            bot.end_sessions(1008, "the access_token of this bot was changed")
        self.refresh(bot)

    def refresh(self, bot: Bot) -> None:
        """Let a bot's connections and edge use its present settings, and the present limits."""
        for session in tuple(bot.sessions):
            session.refresh(self._resources.limits.heartbeat_interval)
        self.bot_edge(bot.name).refresh()

    def _remove_edge(self, edge: IEdge) -> Deferred[None]:
        """Stop an edge and remove it from the tree when its connections are closed, or time is up.

        Its name may be used again at once.
        """
        edge.parent.namedServices.pop(edge.name)
        edge.name = None

        async def stop() -> None:
            dialler = IDialler(edge, None)
            if dialler is not None:
                patience = self._resources.limits.close_timeout + 1
                await dialler.when_idle().addTimeout(
                    patience, self._resources.reactor, lambda _late, _seconds: None
                )
            done = edge.disownServiceParent()
            if isinstance(done, Deferred):
                await done

        return spawn("removing", stop())

    def retire(self) -> None:
        """Let all edges begin nothing new."""
        for edge in (*self.accounts, *self.bots):
            log_failures("retiring an edge", edge.retire)()

    def stop_accounts(self, reason: str) -> None:
        """Stop the accounts while bots are still connected: they get 1502 for calls under way."""
        for account in self.directory.accounts.values():
            log_failures("stopping an account", partial(account.stop, reason))()
