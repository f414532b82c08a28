"""The implementation dials us (OneBot 11, ``communication/ws-reverse.md``)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.accounts.websocket_link import WebSocketLink
from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import Half, IReverseLink
from lgtwist.runtime.logs import printable
from lgtwist.websocket.server import ServerFactory
from lgtwist.websocket.upgrade import take_over

_ROLES = {"universal": Half.BOTH, "api": Half.ACTIONS, "event": Half.EVENTS}
_PATHS = {"ws": Half.BOTH, "api": Half.ACTIONS, "event": Half.EVENTS}


def half_of(role_header: str, path: str) -> Half:
    """What a link carries.

    :param role_header: ``X-Client-Role``, in whatever case (Lagrange says ``Api``, the standard ``API``).
    :param path: the last part of the path, which counts where the header says nothing known.
    """
    return _ROLES.get(role_header.strip().lower(), _PATHS[path])


@implementer(IReverseLink)
class ReverseWebSocketAccount:
    """An account whose implementation connects to our port.

    :param access_token: what the implementation must show; None for none.
    :param factory: makes the connections.
    """

    def __init__(self, account: Account, access_token: str | None, factory: ServerFactory) -> None:
        self.account = account
        self.access_token = access_token
        self._factory = factory

    def accept(self, request: Request, role: str, ended: Callable[[], None]) -> None:
        """Make a link of a request that was authenticated and that ``check_upgrade`` accepted.

        :param role: the last part of its path: ``ws``, ``api`` or ``event``.
        :param ended: called once, when the connection is over.
        """
        headers = request.requestHeaders
        half = half_of((headers.getRawHeaders("x-client-role") or [""])[-1], role)
        agent = printable((headers.getRawHeaders("user-agent") or ["it"])[-1])
        link = WebSocketLink(self.account, half, f"{agent} dialled /onebot/v11/{role}", gone=ended)
        take_over(request, self._factory.make(link))
