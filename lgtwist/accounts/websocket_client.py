"""Accounts of type ``forward-websocket``: we dial the implementation (OneBot 11, ``communication/ws.md``)."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from attrs import Factory, asdict, field, frozen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from lgtwist.accounts.remote import RemoteSettings, configure_account, read_remote, without_query
from lgtwist.accounts.websocket_link import WebSocketLink
from lgtwist.config.authorities import Authorities
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import url
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import Channel, IDialler
from lgtwist.net.backoff import ReconnectSettings, read_reconnect
from lgtwist.websocket.dial import Dialler, DialState, Target, target

#: The channel of a link, by the last segment of its path.
_CHANNELS = {"api": Channel.ACTIONS, "event": Channel.EVENTS}


@frozen
class Settings(RemoteSettings):
    """The keys of an account of type ``forward-websocket``.

    :ivar url: where the implementation listens; its query may hold a token.
    :ivar trust_root: authorities of the implementation's certificate; None for the system's.
    :ivar reconnect: the back-off between attempts.
    """

    url: str = field(default="", repr=False, metadata=asks_for(Change.ANEW))
    trust_root: Authorities | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    reconnect: ReconnectSettings = Factory(ReconnectSettings)


def read(section: Section) -> Settings:
    """Read the keys of an account of type ``forward-websocket``; mistakes are collected in the section."""
    return Settings(
        **asdict(read_remote(section), recurse=False),
        url=section.read("url", url("ws", "wss")),
        trust_root=section.read_certificates("ca_file"),
        reconnect=read_reconnect(section),
    )


def describe(settings: Settings, self_id: int, base: str) -> str:
    """Return how the implementation is reached: the end of the account's line in the summary."""
    return f"; dialled at {without_query(settings.url)}"


def key_needed_in_public(settings: Settings) -> str | None:
    """Return None: the implementation does not connect to our port."""
    return None


def urls_by_channel(url: str) -> dict[Channel, str]:
    """Return the URLs to dial: one for both channels, or one for each if the path ends in /api or /event."""
    parts = urlsplit(url)
    base, _slash, last = parts.path.rstrip("/").rpartition("/")
    if last not in _CHANNELS:
        return {Channel.BOTH: url}
    return {channel: urlunsplit(parts._replace(path=f"{base}/{name}")) for name, channel in _CHANNELS.items()}


@implementer(IEdge, IDialler)
class WebSocketClientAccount(MultiService):
    """An account whose implementation we dial.

    :ivar diallers: one for each URL.
    """

    def __init__(self, account: Account, settings: Settings, resources: EdgeResources) -> None:
        super().__init__()
        self.account = account
        self._uniform = resources.uniform
        self._settings = settings
        token = settings.access_token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.diallers = [
            self._make_dialler(channel, target(each, headers, settings.trust_root), settings, resources)
            for channel, each in urls_by_channel(settings.url).items()
        ]

    def _make_dialler(
        self, channel: Channel, to: Target, settings: Settings, resources: EdgeResources
    ) -> Dialler:
        def link() -> WebSocketLink:
            return WebSocketLink(self.account, channel, to.shown, on_refused=dialler.refuse)

        backoff = settings.reconnect.backoff(resources.uniform)
        name = f"account {self.account.self_id}"
        dialler = Dialler(
            resources.reactor, resources.client_factory, to, name=name, backoff=backoff, make_handler=link
        )
        dialler.setServiceParent(self)
        return dialler

    def startService(self) -> None:
        """Dial from now on."""
        configure_account(self.account, self._settings)
        super().startService()

    def attempts(self) -> int:
        """Return the number of attempts since the start."""
        return sum(dialler.attempts for dialler in self.diallers)

    def dials(self) -> dict[int, list[DialState]]:
        """Return how dialling goes, by the account's number: one state, or two for a split pair."""
        return {self.account.self_id: [dialler.state() for dialler in self.diallers]}

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires with None when it has retired and its connections are closed."""
        return gatherResults([dialler.when_idle() for dialler in self.diallers]).addCallback(
            lambda _all: None
        )

    def configure(self, settings: Settings) -> None:
        """Replace the dialect, the format of messages and the back-off between attempts."""
        self._settings = settings
        configure_account(self.account, settings)
        for dialler in self.diallers:
            dialler.use_backoff(settings.reconnect.backoff(self._uniform))

    def prepare(self) -> None:
        """Do nothing: no file is needed."""

    def retire(self) -> None:
        """Dial no more; open connections stay."""
        for dialler in self.diallers:
            dialler.retire()


#: The class of the edge, as the kind's module names it.
make = WebSocketClientAccount
