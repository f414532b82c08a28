"""Reverse WebSocket: we dial the bot (OneBot 11, ``communication/ws-reverse.md``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from twisted.application.service import MultiService

from lgtwist.bots.session import BotSession, Role
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.net.backoff import Backoff
from lgtwist.websocket.client import ClientFactory
from lgtwist.websocket.dial import Dialler, Target, target

#: What a refusal mostly means, by how its reason begins.
_HINTS = {
    "refused with HTTP 403": "a wrong access_token, or the bot still holds a connection of this account",
    "refused with HTTP 401": "it wants an access_token",
    "refused with HTTP 404": "is the path of the url right?",
}


class ReverseWebSocketBot(MultiService):
    """One link to a bot that listens for each of its accounts, or a pair of them.

    None is dialled before its account was up once: bots take "connected" for "the account is ready".

    :param urls: where to dial, by role: Universal, or API and Event.
    :param heartbeat_interval: seconds; 0 for none.
    :param make_backoff: a new back-off for each link.
    :ivar diallers: by account; one, or two for a split pair.
    """

    def __init__(
        self,
        reactor: Any,
        factory: ClientFactory,
        bot: Bot,
        accounts: Iterable[Account],
        urls: Mapping[Role, str],
        trust_root: Any,
        heartbeat_interval: float,
        make_backoff: Callable[[], Backoff],
    ) -> None:
        super().__init__()
        self.bot = bot
        self._reactor = reactor
        self._factory = factory
        self._accounts = tuple(accounts)
        self._heartbeat_interval = heartbeat_interval
        self._make_backoff = make_backoff
        self.diallers = {
            account.self_id: [
                self._dialler(account, role, target(url, self._headers(account, role), trust_root))
                for role, url in urls.items()
            ]
            for account in self._accounts
        }

    def _headers(self, account: Account, role: Role) -> dict[str, str]:
        headers = {"X-Self-ID": str(account.self_id), "X-Client-Role": role.value}
        if self.bot.access_token is not None:
            headers["Authorization"] = f"Bearer {self.bot.access_token}"
        return headers

    def _dialler(self, account: Account, role: Role, to: Target) -> Dialler:
        def session() -> BotSession:
            return BotSession(
                self._factory,
                self.bot,
                account,
                role,
                self._heartbeat_interval,
                dialler.refuse,
                lambda: dialler.flaps,
            )

        name = f"{self.bot.name} (account {account.self_id}, {role.value})"
        dialler = Dialler(self._reactor, self._factory, to, name, self._make_backoff(), session, _HINTS)
        return dialler

    def startService(self) -> None:
        """Dial as soon as the accounts are up."""
        super().startService()
        for account in self._accounts:
            account.when_up(partial(self._dial, self.diallers[account.self_id]))

    def _dial(self, diallers: Iterable[Dialler]) -> None:
        if self.running:
            for dialler in diallers:
                dialler.setServiceParent(self)

    def attempts(self) -> int:
        """How often it was dialled."""
        return sum(dialler.attempts for diallers in self.diallers.values() for dialler in diallers)

    def hang_up(self) -> None:
        """Dial no more; connections that are there stay."""
        self.running = 0
        for diallers in self.diallers.values():
            for dialler in diallers:
                dialler.retire()
