"""The interface of the edges of accounts and bots, and the resources that they are made with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define
from twisted.application.service import IService

from lgtwist.config.limits import Limits
from lgtwist.runtime.turns import FlushScheduler

if TYPE_CHECKING:
    from lgtwist.websocket.client import ClientFactory
    from lgtwist.websocket.server import ServerFactory


class CannotPrepare(Exception):
    """What an edge needs is missing or unusable; the argument is one sentence that names it."""


class IEdge(IService):
    """The service that connects one account to its implementation, or one bot to its program.

    Started, it dials, polls or posts; stopped, it ends what is left at once.
    """

    def prepare() -> None:
        """Read the files that it needs, before the service starts. No other effect: it may never be started.

        :raises CannotPrepare: if one of them is missing or unusable.
        """

    def configure(settings: Any) -> None:
        """Replace the settings by others of the same kind that need no new link. Never raises."""

    def retire() -> None:
        """Dial, poll and post no more; open connections stay. Never raises."""


class IBotEdge(IEdge):
    """A bot's edge; it observes the directory."""

    def refresh() -> None:
        """Use the bot's present settings and deliveries, and the present limits. Never raises."""


@define(kw_only=True)
class EdgeResources:
    """What edges are made with, besides their own settings.

    :ivar reactor: network and clock.
    :ivar wall_clock: seconds since the epoch.
    :ivar uniform: returns a random number between its two arguments, as ``random.uniform``; for back-offs.
    :ivar limits: the limits of the configuration; may be replaced as a whole, so they are read at use.
    :ivar scheduler: the flush scheduler of all connections.
    :ivar server_factory: makes the WebSockets that peers open to us.
    :ivar client_factory: makes the WebSockets that we open to peers.
    :ivar data_dir: the folder of the service's files.
    :ivar private_files: returns the files that no bot may read: the configuration, tokens, private keys.
    :ivar http_url: returns the port's base URL, without a slash at its end.
    :ivar is_own_port: returns whether a TCP connection to an IP address and port may reach our own port.
    :ivar bot_addresses: returns the names of the bots that are connected to an account, and their addresses
        as ``OpenSession`` has them; the URLs of webhooks without what stands behind the port.
    """

    reactor: Any
    wall_clock: Callable[[], float]
    uniform: Callable[[float, float], float]
    limits: Limits
    scheduler: FlushScheduler
    server_factory: ServerFactory
    client_factory: ClientFactory
    data_dir: Path
    private_files: Callable[[], Collection[Path]]
    http_url: Callable[[], str]
    is_own_port: Callable[[str, int], bool] = lambda _host, _port: False
    bot_addresses: Callable[[int], Iterable[tuple[str, str]]] = lambda _self_id: ()
