"""Forward WebSocket: the bot dials us (OneBot 11, ``communication/ws.md``)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.server import Request

from lgtwist.bots.session import BotSession, Role
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.websocket.server import ServerFactory
from lgtwist.websocket.upgrade import take_over

_ROLES = {"": Role.UNIVERSAL, "api": Role.API, "event": Role.EVENT}


def accept(
    factory: ServerFactory,
    request: Request,
    bot: Bot,
    account: Account,
    path: str,
    heartbeat_interval: float,
    ended: Callable[[], None],
) -> None:
    """Make a bot's connection of a request that was let in.

    :param request: one that ``check_upgrade`` found nothing wrong with.
    :param path: the last part of its path: nothing, ``api`` or ``event``.
    :param heartbeat_interval: seconds; 0 for none.
    :param ended: called once, when the connection is over.
    """
    session = BotSession(factory, bot, account, _ROLES[path], heartbeat_interval, ended=ended)
    take_over(request, factory.make(session))
