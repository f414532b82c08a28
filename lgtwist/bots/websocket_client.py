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
from lgtwist.config.authorities import Authorities
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import url
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import DirectoryObserver
from lgtwist.hub.edges import EdgeResources, IBotEdge
from lgtwist.hub.interfaces import IDialler
from lgtwist.hub.settings import BotSettings
from lgtwist.net.backoff import ReconnectSettings, read_reconnect
from lgtwist.websocket.dial import Dialler, DialState, Target, target


def _hints(shows_token: bool) -> dict[str, str]:
    """Return what a refusal usually means, by the beginning of its reason.

    :param shows_token: whether the bot is shown a token.
    """
    wrong = "a wrong access_token" if shows_token else "it wants an access_token"
    return {
        "refused with HTTP 403": f"{wrong}, or the bot still holds a connection of this account",
        "refused with HTTP 401": "it refuses our access_token" if shows_token else "it wants an access_token",
        "refused with HTTP 404": "is the path of the url right?",
    }


#: Whether the bot connects to our port.
DIALS_IN = False
#: Whether ``access_token`` is sent to the bot when a connection to it is opened.
SENDS_TOKEN = True


@frozen
class Settings:
    """The keys of a bot with ``connection = "reverse-websocket"``.

    :ivar urls: the URLs to dial, by role: Universal, or API and Event; their queries may hold tokens.
    :ivar trust_root: authorities of the bot's certificate; None for the system's.
    :ivar reconnect: the back-off between attempts.
    """

    urls: dict[Role, str] = field(repr=False, metadata=asks_for(Change.ANEW))
    trust_root: Authorities | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    reconnect: ReconnectSettings = Factory(ReconnectSettings)


def read(section: Section) -> Settings:
    """Read the keys of a bot with ``connection = "reverse-websocket"``; collect mistakes in the section."""
    websocket = url("ws", "wss")
    if section.has("api_url") or section.has("event_url"):
        urls = {
            Role.API: section.read("api_url", websocket),
            Role.EVENT: section.read("event_url", websocket),
        }
        if section.has("url"):
            section.read("url", websocket)
            section.add_problem("url", "expected either url, or api_url and event_url")
    else:
        urls = {Role.UNIVERSAL: section.read("url", websocket)}
    return Settings(urls, section.read_certificates("ca_file"), read_reconnect(section))


def describe(settings: Settings, bot: BotSettings, urls: list[str]) -> str:
    """Return how the bot is served: a part of its line in the summary."""
    return f"is dialled at {' and '.join(one.partition('?')[0] for one in settings.urls.values())}"


@implementer(IBotEdge, IDialler)
class WebSocketClientBot(DirectoryObserver, MultiService):
    """A bot that we dial: one connection for each of its accounts, or an API and an Event connection.

    It is dialled for an account once the account was up: bots take "connected" for "the account is ready".

    :ivar diallers: by the account's number, one for each URL.
    """

    def __init__(self, bot: Bot, settings: Settings, resources: EdgeResources) -> None:
        super().__init__()
        self.bot = bot
        self.diallers: dict[int, list[Dialler]] = {}
        self._accounts: dict[int, Account] = {}
        self._closing: dict[int, int] = {}  # how many connections of retired diallers are left
        self._settings = settings
        self._resources = resources

    def prepare(self) -> None:
        """Do nothing: no file is needed."""

    def configure(self, settings: Settings) -> None:
        """Replace the back-off between attempts."""
        self._settings = settings
        for diallers in self.diallers.values():
            for dialler in diallers:
                dialler.use_backoff(settings.reconnect.backoff(self._resources.uniform))

    def account_added(self, account: Account) -> None:
        """Dial for the account once it was up, if the bot may use it."""
        if not self.bot.may_use(account.self_id):
            return
        settings = self._settings
        self._accounts[account.self_id] = account
        self.diallers[account.self_id] = [
            self._make_dialler(account, role, target(url, self._headers(account, role), settings.trust_root))
            for role, url in settings.urls.items()
        ]
        if self.running:
            account.when_up(partial(self._dial, account))

    def account_removed(self, account: Account) -> None:
        """Dial no more for the account. Its open connections are closed by whoever removes it."""
        self_id = account.self_id
        self._accounts.pop(self_id, None)
        for dialler in self.diallers.pop(self_id, ()):
            dialler.retire()
            if dialler.parent is not None:
                self._closing[self_id] = self._closing.get(self_id, 0) + 1
                dialler.when_idle().addCallback(partial(self._retired, self_id, dialler))

    def _retired(self, self_id: int, dialler: Dialler, _idle: None) -> None:
        """Remove a dialler whose connection is closed; dial if the account was added again meanwhile."""
        dialler.disownServiceParent()
        self._closing[self_id] -= 1
        if not self._closing[self_id]:
            del self._closing[self_id]
            account = self._accounts.get(self_id)
            if account is not None and self.running:
                account.when_up(partial(self._dial, account))

    def _headers(self, account: Account, role: Role) -> dict[str, str]:
        headers = {"X-Self-ID": str(account.self_id), "X-Client-Role": role.value}
        if self.bot.access_token is not None:
            headers["Authorization"] = f"Bearer {self.bot.access_token}"
        return headers

    def _make_dialler(self, account: Account, role: Role, to: Target) -> Dialler:
        resources = self._resources

        def session() -> BotSession:
            return BotSession(
                resources.client_factory,
                self.bot,
                account,
                role=role,
                heartbeat_interval=resources.limits.heartbeat_interval,
                address=to.shown,
                dialled=True,
                on_refused=dialler.refuse,
                is_flapping=lambda: dialler.flaps,
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
            hints=_hints("Authorization" in to.request.headers or "access_token=" in to.request.resource),
        )
        return dialler

    def startService(self) -> None:
        """Dial for each account once it was up."""
        super().startService()
        for account in tuple(self._accounts.values()):
            account.when_up(partial(self._dial, account))

    def _dial(self, account: Account) -> None:
        if self.running and account.self_id not in self._closing:
            for dialler in self.diallers.get(account.self_id, ()):
                if dialler.parent is None:
                    dialler.setServiceParent(self)

    def attempts(self) -> int:
        """Return the number of attempts since the start."""
        return sum(dialler.attempts for diallers in self.diallers.values() for dialler in diallers)

    def dials(self) -> dict[int, list[DialState]]:
        """Return how dialling goes, by the account's number: one state, or two for a split pair."""
        return {
            self_id: [dialler.state() for dialler in diallers] for self_id, diallers in self.diallers.items()
        }

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires with None when it has retired and its connections are closed."""
        idle = [dialler.when_idle() for diallers in self.diallers.values() for dialler in diallers]
        return gatherResults(idle).addCallback(lambda _all: None)

    def refresh(self) -> None:
        """Do nothing: the settings and limits are used by the sessions only."""

    def retire(self) -> None:
        """Dial no more; open connections stay."""
        self.running = 0
        for diallers in self.diallers.values():
            for dialler in diallers:
                dialler.retire()


#: The class of the edge, as the kind's module names it.
make = WebSocketClientBot
