"""Accounts of type ``reverse-websocket``: the implementation dials us.

OneBot 11, ``communication/ws-reverse.md``.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import asdict, field, frozen
from twisted.application.service import Service
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.accounts.remote import RemoteSettings, configure_account, read_remote
from lgtwist.accounts.websocket_link import WebSocketLink
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import Channel, IReverseLink
from lgtwist.runtime.logs import printable
from lgtwist.websocket.upgrade import take_over

#: The channels of a link, by ``X-Client-Role`` in lower case.
_CHANNELS_BY_ROLE = {"universal": Channel.BOTH, "api": Channel.ACTIONS, "event": Channel.EVENTS}
#: The channels of a link, by the last segment of its path.
_CHANNELS_BY_PATH = {"ws": Channel.BOTH, "api": Channel.ACTIONS, "event": Channel.EVENTS}


@frozen
class Settings(RemoteSettings):
    """The keys of an account of type ``reverse-websocket``.

    :ivar access_token: what the implementation must show; None for none.
    """

    access_token: str | None = field(default=None, repr=False, metadata=asks_for(Change.SESSIONS))


def read(section: Section) -> Settings:
    """Read the keys of an account of type ``reverse-websocket``; mistakes are collected in the section."""
    return Settings(**asdict(read_remote(section), recurse=False))


def describe(settings: Settings, self_id: int, base: str) -> str:
    """Return how the implementation is reached: the end of the account's line in the summary."""
    token = "with its token" if settings.access_token else "without a token, from this machine only"
    return f"; its implementation connects to {base}/onebot/v11/ws (X-Self-ID: {self_id}) {token}"


def key_needed_in_public(settings: Settings) -> str | None:
    """Return the key that is missing to authenticate the implementation on a public port; None if none is."""
    return "access_token" if settings.access_token is None else None


def channel_of(role_header: str, path: str) -> Channel:
    """Return the channels that a link carries.

    :param role_header: ``X-Client-Role``, in any case (Lagrange sends ``Api``, the standard has ``API``).
    :param path: the last segment of the path; it counts where the header is missing or unknown.
    """
    return _CHANNELS_BY_ROLE.get(role_header.strip().lower(), _CHANNELS_BY_PATH[path])


@implementer(IEdge, IReverseLink)
class WebSocketServerAccount(Service):
    """An account whose implementation dials us.

    :ivar access_token: the token that the implementation must show; None for none.
    """

    def __init__(self, account: Account, settings: Settings, resources: EdgeResources) -> None:
        self.account = account
        self.access_token = settings.access_token
        self._settings = settings
        self._factory = resources.server_factory

    def startService(self) -> None:
        """Take links from now on."""
        super().startService()
        configure_account(self.account, self._settings)

    def accept(self, request: Request, role: str, on_closed: Callable[[], None]) -> None:
        """Upgrade a request to a link; it was authenticated, and ``check_upgrade`` accepted it.

        :param role: the last segment of its path: ``ws``, ``api`` or ``event``.
        :param on_closed: called once, when the connection is closed.
        """
        headers = request.requestHeaders
        channel = channel_of((headers.getRawHeaders("x-client-role") or [""])[-1], role)
        agent = printable((headers.getRawHeaders("user-agent") or ["it"])[-1])
        link = WebSocketLink(
            self.account, channel, f"{agent} dialled /onebot/v11/{role}", named=True, on_closed=on_closed
        )
        take_over(request, self._factory.make(link))

    def configure(self, settings: Settings) -> None:
        """Replace the dialect, the format of messages and the token; close an old token's link with 1008."""
        self._settings = settings
        configure_account(self.account, settings)
        if settings.access_token != self.access_token:
            self.access_token = settings.access_token
            self.account.links.close(1008, "its access_token was changed")

    def prepare(self) -> None:
        """Do nothing: no file is needed."""

    def retire(self) -> None:
        """Do nothing: the implementation dials."""


#: The class of the edge, as the kind's module names it.
make = WebSocketServerAccount
