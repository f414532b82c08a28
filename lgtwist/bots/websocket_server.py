"""Bots with ``connection = "forward-websocket"``: the bot dials us (OneBot 11, ``communication/ws.md``)."""

from __future__ import annotations

from collections.abc import Callable

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
from lgtwist.websocket.server import ServerFactory
from lgtwist.websocket.upgrade import take_over

_ROLES = {"": Role.UNIVERSAL, "api": Role.API, "event": Role.EVENT}


#: Whether the bot connects to our port.
DIALS_IN = True
#: Whether the bot is shown its ``access_token`` when a link to it is made.
SENDS_TOKEN = False


@frozen
class Settings:
    """Such a bot has no keys of its own."""


def read(section: Section) -> Settings:
    """Read nothing."""
    return Settings()


def describe(settings: Settings, bot: BotSettings, urls: list[str]) -> str:
    """Return how the bot is served, for people."""
    token = "with its token" if bot.access_token else "without a token, from this machine only"
    return f"connects to {', '.join(f'{one}/' for one in urls)} {token}"


@implementer(IBotEdge)
class WebSocketServerBot(DirectoryObserver, Service):
    """A bot that connects to our port, which makes its sessions: any bot with a token may connect."""

    def __init__(self, bot: Bot, settings: Settings, resources: EdgeResources) -> None:
        self.bot = bot

    def prepare(self) -> None:
        """Nothing is needed beforehand."""

    def configure(self, settings: Settings) -> None:
        """Take nothing: there are no settings."""

    def refresh(self) -> None:
        """Nothing is kept of the settings here: sessions take them themselves."""

    def retire(self) -> None:
        """Nothing is begun from our side."""


make = WebSocketServerBot


class ForwardWebSocket:
    """Makes bots' sessions of requests that the port let in.

    :param heartbeat_interval: returns the seconds between heartbeats; 0 for none.
    """

    def __init__(self, factory: ServerFactory, heartbeat_interval: Callable[[], float]) -> None:
        self._factory = factory
        self._heartbeat_interval = heartbeat_interval

    def accept(
        self, request: Request, bot: Bot, account: Account, role: str, ended: Callable[[], None]
    ) -> None:
        """Make a session of a request that was authenticated and that ``check_upgrade`` accepted.

        :param role: the last part of its path: nothing, ``api`` or ``event``.
        :param ended: called once, when the connection is over.
        """
        session = BotSession(
            self._factory,
            bot,
            account,
            role=_ROLES[role],
            heartbeat_interval=self._heartbeat_interval(),
            ended=ended,
        )
        take_over(request, self._factory.make(session))
