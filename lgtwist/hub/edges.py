"""The edges of accounts and bots: their ways to the programs outside, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
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
    """What an edge needs cannot be had; the argument is one sentence that names it."""


class IEdge(IService):
    """An account's or a bot's way to the programs outside, as a service of its own.

    Starting it connects, polls or posts; stopping it ends what is left, at once.
    """

    def prepare() -> None:
        """Read what must be there before the service starts, in a way that can be undone by forgetting it.

        :raises CannotPrepare: if it is not there.
        """

    def configure(settings: Any) -> None:
        """Take other settings of the same kind, of those that need no new link. Never raises."""

    def retire() -> None:
        """Begin nothing new: dial, poll and post no more. Open connections stay. Never raises."""


class IBotEdge(IEdge):
    """A bot's edge; it observes the directory."""

    def refresh() -> None:
        """Take the bot's settings, its deliveries and the limits as they are now. Never raises."""


@define(kw_only=True)
class EdgeResources:
    """What an edge may use of the service.

    :ivar reactor: network and clock.
    :ivar wall_clock: seconds since the epoch.
    :ivar uniform: gives a random number between two others, for back-offs.
    :ivar limits: the limits of the configuration; may be replaced as a whole, so they are read at use.
    :ivar scheduler: knows when what waits is written.
    :ivar server_factory: makes the WebSockets that peers open to us.
    :ivar client_factory: makes the WebSockets that we open to peers.
    :ivar data_dir: where the service keeps its files.
    :ivar private_files: files that nothing may be read from for a bot.
    :ivar http_url: the port's base URL, without a slash at its end.
    """

    reactor: Any
    wall_clock: Callable[[], float]
    uniform: Callable[[float, float], float]
    limits: Limits
    scheduler: FlushScheduler
    server_factory: ServerFactory
    client_factory: ClientFactory
    data_dir: Path
    private_files: tuple[Path, ...]
    http_url: Callable[[], str]
