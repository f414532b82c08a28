"""The implementation dials us (OneBot 11, ``communication/ws-reverse.md``)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.server import Request

from lgtwist.accounts.websocket_link import WebSocketLink
from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import Half
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


def accept(
    factory: ServerFactory, request: Request, account: Account, path: str, ended: Callable[[], None]
) -> None:
    """Make a link of a request that was let in.

    :param request: one that ``check_upgrade`` found nothing wrong with.
    :param path: the last part of its path: ``ws``, ``api`` or ``event``.
    :param ended: called once, when the connection is over.
    """
    headers = request.requestHeaders
    half = half_of((headers.getRawHeaders("x-client-role") or [""])[-1], path)
    agent = printable((headers.getRawHeaders("user-agent") or ["it"])[-1])
    link = WebSocketLink(account, half, f"{agent} dialled /onebot/v11/{path}", gone=ended)
    take_over(request, factory.make(link))
