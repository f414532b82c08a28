"""Accounts of type ``reverse-websocket``: the implementation dials us.

OneBot 11, ``communication/ws-reverse.md``.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import asdict, field, frozen
from twisted.application.service import Service
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.accounts.remote import RemoteSettings, read_remote
from lgtwist.accounts.websocket_link import WebSocketLink
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import Channel, IReverseLink
from lgtwist.runtime.logs import printable
from lgtwist.websocket.upgrade import take_over

_ROLES = {"universal": Channel.BOTH, "api": Channel.ACTIONS, "event": Channel.EVENTS}
_PATHS = {"ws": Channel.BOTH, "api": Channel.ACTIONS, "event": Channel.EVENTS}


@frozen
class Settings(RemoteSettings):
    """What such an account is configured with.

    :ivar access_token: what the implementation must show; None for none.
    """

    access_token: str | None = field(default=None, repr=False, metadata=asks_for(Change.SESSIONS))


def read(section: Section) -> Settings:
    """Read the keys of such an account; mistakes are collected in the section."""
    return Settings(**asdict(read_remote(section), recurse=False))


def describe(settings: Settings, self_id: int, base: str) -> str:
    """Return how the implementation is reached, for people; it ends the account's line in the summary."""
    token = "with its token" if settings.access_token else "without a token, from this machine only"
    return f"; its implementation connects to {base}/onebot/v11/ws (X-Self-ID: {self_id}) {token}"


def key_needed_in_public(settings: Settings) -> str | None:
    """Return the key without which strangers could pose as the implementation; None if it is there."""
    return "access_token" if settings.access_token is None else None


def channel_of(role_header: str, path: str) -> Channel:
    """Return what a link carries.

    :param role_header: ``X-Client-Role``, in whatever case (Lagrange says ``Api``, the standard ``API``).
    :param path: the last part of the path, which counts where the header says nothing known.
    """
    return _ROLES.get(role_header.strip().lower(), _PATHS[path])


@implementer(IEdge, IReverseLink)
class WebSocketServerAccount(Service):
    """An account whose implementation connects to our port.

    :ivar access_token: the token that it must show; None for none.
    """

    def __init__(self, account: Account, settings: Settings, resources: EdgeResources) -> None:
        self.account = account
        self.access_token = settings.access_token
        self._factory = resources.server_factory

    def accept(self, request: Request, role: str, ended: Callable[[], None]) -> None:
        """Make a link of a request that was authenticated and that ``check_upgrade`` accepted.

        :param role: the last part of its path: ``ws``, ``api`` or ``event``.
        :param ended: called once, when the connection is over.
        """
        headers = request.requestHeaders
        channel = channel_of((headers.getRawHeaders("x-client-role") or [""])[-1], role)
        agent = printable((headers.getRawHeaders("user-agent") or ["it"])[-1])
        link = WebSocketLink(self.account, channel, f"{agent} dialled /onebot/v11/{role}", gone=ended)
        take_over(request, self._factory.make(link))

    def configure(self, settings: Settings) -> None:
        """Take another dialect and token; a link that the old token let in ends with 1008."""
        self.account.links.configure(settings.dialect)
        if settings.access_token != self.access_token:
            self.access_token = settings.access_token
            self.account.links.close(1008, "its access_token was changed")

    def prepare(self) -> None:
        """Nothing is needed beforehand."""

    def retire(self) -> None:
        """Nothing is begun from our side."""


make = WebSocketServerAccount
