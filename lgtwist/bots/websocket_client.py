"""Bots with ``connection = "reverse-websocket"``: we dial the bot.

OneBot 11, ``communication/ws-reverse.md``.
"""

from __future__ import annotations

from functools import partial

from attrs import Factory, field, frozen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from lgtwist.bots.session import BotSession, Role
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Authorities, Section, trust_root_of
from lgtwist.config.values import url
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import DirectoryObserver
from lgtwist.hub.edges import EdgeResources, IBotEdge
from lgtwist.hub.interfaces import IDialler
from lgtwist.hub.settings import BotSettings
from lgtwist.net.backoff import ReconnectSettings, read_reconnect
from lgtwist.websocket.dial import Dialler, Target, target

#: What a refusal mostly means, by how its reason begins.
_HINTS = {
    "refused with HTTP 403": "a wrong access_token, or the bot still holds a connection of this account",
    "refused with HTTP 401": "it wants an access_token",
    "refused with HTTP 404": "is the path of the url right?",
}


#: Whether the bot connects to our port.
DIALS_IN = False
#: Whether the bot is shown its ``access_token`` when a link to it is made.
SENDS_TOKEN = True


@frozen
class Settings:
    """What such a bot is configured with.

    :ivar urls: where to dial, by role: Universal, or API and Event; queries may hold tokens.
    :ivar trust_root: who may sign the bot's certificate; None for the system's authorities.
    """

    urls: dict[Role, str] = field(repr=False, metadata=asks_for(Change.ANEW))
    trust_root: Authorities | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    reconnect: ReconnectSettings = Factory(ReconnectSettings)


def read(section: Section) -> Settings:
    """Read the keys of such a bot; mistakes are collected in the section."""
    websocket = url("ws", "wss")
    if section.has("api_url") or section.has("event_url"):
        urls = {
            Role.API: section.take("api_url", websocket),
            Role.EVENT: section.take("event_url", websocket),
        }
        if section.has("url"):
            section.take("url", websocket)
            section.wrong("url", "expected either url, or api_url and event_url")
    else:
        urls = {Role.UNIVERSAL: section.take("url", websocket)}
    return Settings(urls, section.take_certificates("ca_file"), read_reconnect(section))


def describe(settings: Settings, bot: BotSettings, urls: list[str]) -> str:
    """Return how the bot is served, for people."""
    return f"is dialled at {' and '.join(one.partition('?')[0] for one in settings.urls.values())}"


def _disown(dialler: Dialler, _idle: None) -> None:
    dialler.disownServiceParent()


@implementer(IBotEdge, IDialler)
class WebSocketClientBot(DirectoryObserver, MultiService):
    """One link to a bot that listens for each of its accounts, or a pair of them.

    None is dialled before its account was up once: bots take "connected" for "the account is ready".

    :ivar diallers: by the account's number; one, or two for a split pair.
    """

    def __init__(self, bot: Bot, settings: Settings, resources: EdgeResources) -> None:
        super().__init__()
        self.bot = bot
        self.diallers: dict[int, list[Dialler]] = {}
        self._accounts: dict[int, Account] = {}
        self._settings = settings
        self._resources = resources

    def prepare(self) -> None:
        """Nothing is needed beforehand."""

    def configure(self, settings: Settings) -> None:
        """Take other gaps."""
        self._settings = settings
        for diallers in self.diallers.values():
            for dialler in diallers:
                dialler.use_backoff(settings.reconnect.backoff(self._resources.uniform))

    def account_added(self, account: Account) -> None:
        """Dial for the account as soon as it is up, if it is one of the bot's."""
        if not self.bot.may_use(account.self_id):
            return
        settings = self._settings
        self._accounts[account.self_id] = account
        self.diallers[account.self_id] = [
            self._dialler(
                account, role, target(url, self._headers(account, role), trust_root_of(settings.trust_root))
            )
            for role, url in settings.urls.items()
        ]
        if self.running:
            account.when_up(partial(self._dial, account))

    def account_removed(self, account: Account) -> None:
        """Dial no more for the account; its open connections are ended by who removes it."""
        self._accounts.pop(account.self_id, None)
        for dialler in self.diallers.pop(account.self_id, ()):
            dialler.retire()
            if dialler.parent is not None:
                dialler.when_idle().addCallback(partial(_disown, dialler))

    def _headers(self, account: Account, role: Role) -> dict[str, str]:
        headers = {"X-Self-ID": str(account.self_id), "X-Client-Role": role.value}
        if self.bot.access_token is not None:
            headers["Authorization"] = f"Bearer {self.bot.access_token}"
        return headers

    def _dialler(self, account: Account, role: Role, to: Target) -> Dialler:
        resources = self._resources

        def session() -> BotSession:
            return BotSession(
                resources.client_factory,
                self.bot,
                account,
                role=role,
                heartbeat_interval=resources.limits.heartbeat_interval,
                refuse=dialler.refuse,
                quiet=lambda: dialler.flaps,
            )

        name = f"{self.bot.name} (account {account.self_id}, {role.value})"
        backoff = self._settings.reconnect.backoff(resources.uniform)
        dialler = Dialler(
            resources.reactor,
            resources.client_factory,
            to,
            name=name,
            backoff=backoff,
            make_handler=session,
            hints=_HINTS,
        )
        return dialler

    def startService(self) -> None:
        """Dial as soon as the accounts are up."""
        super().startService()
        for account in tuple(self._accounts.values()):
            account.when_up(partial(self._dial, account))

    def _dial(self, account: Account) -> None:
        if self.running:
            for dialler in self.diallers.get(account.self_id, ()):
                if dialler.parent is None:
                    dialler.setServiceParent(self)

    def attempts(self) -> int:
        """Return how often it was dialled since the start."""
        return sum(dialler.attempts for diallers in self.diallers.values() for dialler in diallers)

    def when_idle(self) -> Deferred[None]:
        """Return what fires once it has retired and no connection of it is left."""
        idle = [dialler.when_idle() for diallers in self.diallers.values() for dialler in diallers]
        return gatherResults(idle).addCallback(lambda _all: None)

    def refresh(self) -> None:
        """Nothing is kept of the settings here: sessions take them themselves."""

    def retire(self) -> None:
        """Dial no more; open connections stay."""
        self.running = 0
        for diallers in self.diallers.values():
            for dialler in diallers:
                dialler.retire()


make = WebSocketClientBot
