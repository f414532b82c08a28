"""Bots with ``connection = "forward-websocket"``: the bot dials us (OneBot 11, ``communication/ws.md``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.bots.session import BotSession, Role
from lgtwist.config.section import Section
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import DirectoryObserver
from lgtwist.hub.edges import EdgeResources, IBotEdge
from lgtwist.hub.settings import BotSettings
from lgtwist.net.loopback import plain_address
from lgtwist.runtime.logs import printable
from lgtwist.websocket.server import ServerFactory
from lgtwist.websocket.upgrade import take_over

#: The role of a connection, by the last segment of its path.
_ROLES_BY_PATH = {"": Role.UNIVERSAL, "api": Role.API, "event": Role.EVENT}


#: Whether the bot connects to our port.
DIALS_IN = True
#: Whether ``access_token`` is sent to the bot when a connection to it is opened.
SENDS_TOKEN = False


@frozen
class Settings:
    """The keys of a bot with ``connection = "forward-websocket"``: none of its own."""


def read(section: Section) -> Settings:
    """Return the settings without reading a key."""
    return Settings()


def describe(settings: Settings, bot: BotSettings, urls: list[str]) -> str:
    """Return how the bot is served: a part of its line in the summary."""
    token = "with its token" if bot.access_token else "without a token, from this machine only"
    return f"connects to {', '.join(f'{one}/' for one in urls)} {token}"


@implementer(IBotEdge)
class WebSocketServerBot(DirectoryObserver, Service):
    """A bot that dials us. It has nothing to do: :class:`ForwardWebSocket` makes the sessions of all bots."""

    def __init__(self, bot: Bot, settings: Settings, resources: EdgeResources) -> None:
        self.bot = bot

    def prepare(self) -> None:
        """Do nothing: no file is needed."""

    def configure(self, settings: Settings) -> None:
        """Do nothing: there are no settings."""

    def refresh(self) -> None:
        """Do nothing: the settings and limits are used by the sessions only."""

    def retire(self) -> None:
        """Do nothing: the bot dials."""


#: The class of the edge, as the kind's module names it.
make = WebSocketServerBot


class ForwardWebSocket:
    """Makes the sessions of bots that dial us. Any bot with a token may, whatever its ``connection``.

    :param factory: makes the connections.
    :param heartbeat_interval: returns the seconds between heartbeats; 0 for none.
    """

    def __init__(self, factory: ServerFactory, heartbeat_interval: Callable[[], float]) -> None:
        self._factory = factory
        self._heartbeat_interval = heartbeat_interval

    def accept(
        self, request: Request, bot: Bot, account: Account, role: str, on_closed: Callable[[], None]
    ) -> None:
        """Upgrade a request to a session; it was authenticated, and ``check_upgrade`` accepted it.

        :param role: the last segment of its path: ``""``, ``"api"`` or ``"event"``.
        :param on_closed: called once, when the connection is closed.
        """
        session = BotSession(
            self._factory,
            bot,
            account,
            role=_ROLES_BY_PATH[role],
            heartbeat_interval=self._heartbeat_interval(),
            address=_peer_of(request),
            user_agent=printable((request.requestHeaders.getRawHeaders("user-agent") or [""])[-1]),
            on_closed=on_closed,
        )
        take_over(request, self._factory.make(session))


def _peer_of(request: Request) -> str:
    """Return the peer's ``host:port``, or ``unix socket``."""
    peer: Any = request.getClientAddress()
    host, port = getattr(peer, "host", None), getattr(peer, "port", None)
    if not host:
        return "unix socket"
    host = plain_address(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
