"""We dial the implementation (OneBot 11, ``communication/ws.md``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from twisted.application.service import MultiService

from lgtwist.accounts.websocket_link import WebSocketLink
from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import Half
from lgtwist.net.backoff import Backoff
from lgtwist.websocket.client import ClientFactory
from lgtwist.websocket.dial import Dialler, Target, target

_HALVES = {"api": Half.ACTIONS, "event": Half.EVENTS}


def urls(url: str) -> dict[Half, str]:
    """What is to be dialled: one universal link, or a split pair if the path ends in one of its two."""
    parts = urlsplit(url)
    base, _slash, last = parts.path.rstrip("/").rpartition("/")
    if last not in _HALVES:
        return {Half.BOTH: url}
    return {half: urlunsplit(parts._replace(path=f"{base}/{name}")) for name, half in _HALVES.items()}


class ForwardWebSocketAccount(MultiService):
    """An account whose implementation listens.

    :param url: where.
    :param access_token: sent along as ``Bearer``; None for none.
    :param make_backoff: a new back-off for each link.
    :ivar diallers: one, or two for a split pair.
    """

    def __init__(
        self,
        reactor: Any,
        factory: ClientFactory,
        account: Account,
        url: str,
        access_token: str | None,
        trust_root: Any,
        make_backoff: Callable[[], Backoff],
    ) -> None:
        super().__init__()
        self.account = account
        headers = {} if access_token is None else {"Authorization": f"Bearer {access_token}"}
        self.diallers = [
            self._dialler(reactor, factory, half, target(each, headers, trust_root), make_backoff())
            for half, each in urls(url).items()
        ]

    def _dialler(
        self, reactor: Any, factory: ClientFactory, half: Half, to: Target, backoff: Backoff
    ) -> Dialler:
        def link() -> WebSocketLink:
            return WebSocketLink(self.account, half, to.shown, dialler.refuse)

        dialler = Dialler(reactor, factory, to, f"account {self.account.self_id}", backoff, link)
        dialler.setServiceParent(self)
        return dialler

    def attempts(self) -> int:
        """How often it was dialled."""
        return sum(dialler.attempts for dialler in self.diallers)

    def hang_up(self) -> None:
        """Dial no more; a connection that is there stays."""
        for dialler in self.diallers:
            dialler.retire()
