"""Accounts of type ``forward-websocket``: we dial the implementation (OneBot 11, ``communication/ws.md``)."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from attrs import Factory, asdict, field, frozen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from lgtwist.accounts.remote import RemoteSettings, read_remote, without_query
from lgtwist.accounts.websocket_link import WebSocketLink
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Authorities, Section, trust_root_of
from lgtwist.config.values import url
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import Channel, IDialler
from lgtwist.net.backoff import ReconnectSettings, read_reconnect
from lgtwist.websocket.dial import Dialler, Target, target

_CHANNELS = {"api": Channel.ACTIONS, "event": Channel.EVENTS}


@frozen
class Settings(RemoteSettings):
    """What such an account is configured with.

    :ivar url: where the implementation listens; its query may hold a token.
    :ivar trust_root: who may sign the implementation's certificate; None for the system's authorities.
    """

    url: str = field(default="", repr=False, metadata=asks_for(Change.ANEW))
    trust_root: Authorities | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    reconnect: ReconnectSettings = Factory(ReconnectSettings)


def read(section: Section) -> Settings:
    """Read the keys of such an account; mistakes are collected in the section."""
    return Settings(
        **asdict(read_remote(section), recurse=False),
        url=section.take("url", url("ws", "wss")),
        trust_root=section.take_certificates("ca_file"),
        reconnect=read_reconnect(section),
    )


def describe(settings: Settings, self_id: int, base: str) -> str:
    """Return how the implementation is reached, for people; it ends the account's line in the summary."""
    return f"; dialled at {without_query(settings.url)}"


def key_needed_in_public(settings: Settings) -> str | None:
    """Return the key without which strangers could pose as the implementation; None if there is none."""
    return None


def urls(url: str) -> dict[Channel, str]:
    """Return what to dial: one universal link, or a split pair if the path ends in one of its two."""
    parts = urlsplit(url)
    base, _slash, last = parts.path.rstrip("/").rpartition("/")
    if last not in _CHANNELS:
        return {Channel.BOTH: url}
    return {channel: urlunsplit(parts._replace(path=f"{base}/{name}")) for name, channel in _CHANNELS.items()}


@implementer(IEdge, IDialler)
class WebSocketClientAccount(MultiService):
    """An account whose implementation listens.

    :ivar diallers: one, or two for a split pair.
    """

    def __init__(self, account: Account, settings: Settings, resources: EdgeResources) -> None:
        super().__init__()
        self.account = account
        self._uniform = resources.uniform
        token = settings.access_token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.diallers = [
            self._dialler(
                channel, target(each, headers, trust_root_of(settings.trust_root)), settings, resources
            )
            for channel, each in urls(settings.url).items()
        ]

    def _dialler(self, channel: Channel, to: Target, settings: Settings, resources: EdgeResources) -> Dialler:
        def link() -> WebSocketLink:
            return WebSocketLink(self.account, channel, to.shown, refuse=dialler.refuse)

        backoff = settings.reconnect.backoff(resources.uniform)
        name = f"account {self.account.self_id}"
        dialler = Dialler(
            resources.reactor, resources.client_factory, to, name=name, backoff=backoff, make_handler=link
        )
        dialler.setServiceParent(self)
        return dialler

    def attempts(self) -> int:
        """Return how often it was dialled since the start."""
        return sum(dialler.attempts for dialler in self.diallers)

    def when_idle(self) -> Deferred[None]:
        """Return what fires once it has retired and no connection of it is left."""
        return gatherResults([dialler.when_idle() for dialler in self.diallers]).addCallback(
            lambda _all: None
        )

    def configure(self, settings: Settings) -> None:
        """Take another dialect and other gaps."""
        self.account.links.configure(settings.dialect)
        for dialler in self.diallers:
            dialler.use_backoff(settings.reconnect.backoff(self._uniform))

    def prepare(self) -> None:
        """Nothing is needed beforehand."""

    def retire(self) -> None:
        """Dial no more; a connection that is open stays."""
        for dialler in self.diallers:
            dialler.retire()


make = WebSocketClientAccount
