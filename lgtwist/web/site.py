"""The front door: 401, 403, 404 and 503 as ordinary HTTP, before any upgrade."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Hub
from lgtwist.hub.interfaces import IControl
from lgtwist.net.http_responses import say
from lgtwist.web.account_endpoints import Implementations
from lgtwist.web.authentication import Authentication
from lgtwist.web.connection_limits import ConnectionLimits
from lgtwist.web.health import Machines
from lgtwist.web.routes import (
    ActionPath,
    BotPath,
    ImplementationPath,
    MachinePath,
    PostPath,
    SandboxPath,
    route,
)
from lgtwist.websocket.upgrade import asks_for_upgrade, check_upgrade

#: Makes a WebSocket of the request: bot, account, role (``""``, ``"api"``, ``"event"``), and what to
#: call when it is over.
Upgrade = Callable[[Request, Bot, Account, str, Callable[[], None]], None]


class Actions(Protocol):
    """Answers actions over HTTP."""

    def preflight(self, request: Request) -> None:
        """Answer an OPTIONS request."""

    def perform(self, request: Request, bot: Bot, account: Account, action: str) -> None:
        """Do an action for a bot, and answer."""


_RETRY = (("Retry-After", "3"),)


class FrontDoor(Resource):
    """Routes each request of the listening ports."""

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        hub: Hub,
        limits: ConnectionLimits,
        authentication: Authentication,
        upgrade: Upgrade,
        actions: Actions,
        edge_of: Callable[[int], object | None],
        implementations: Implementations,
        machines: Machines,
    ) -> None:
        super().__init__()
        self._hub = hub
        self._limits = limits
        self._authentication = authentication
        self._upgrade = upgrade
        self._actions = actions
        self._edge_of = edge_of
        self._implementations = implementations
        self._machines = machines

    def welcomes(self, target: bytes, request: Request) -> bool:
        """Whether a request may send its body: not if it will be refused whatever stands in there.

        :param target: as it stands in the request's first line.
        """
        path, _mark, query = target.partition(b"?")
        where = route(path)
        if isinstance(where, PostPath):
            return self._implementations.expects(request)  # its signature is made over the body
        if isinstance(where, SandboxPath):
            return self._authentication.may_be_admin(request, query)
        return self._authentication.may_be_bot(request, query)

    def render(self, request: Request) -> int:
        """Answer, or hand on; nothing that goes wrong here leaves the request without an answer."""
        request.responseHeaders.setRawHeaders("Server", ["lgtwist"])
        try:
            self._render(request)
        except Exception:
            self._log.failure("a request failed")
            if not request.startedWriting and request.channel is not None:
                say(request, 500, "lgtwist failed; its log says why")
        return NOT_DONE_YET

    def _render(self, request: Request) -> None:
        if self._limits.exceeded:
            say(request, 503, "too many connections; try again soon", _RETRY)
            return
        where = route(request.path)
        upgrade = asks_for_upgrade(request)
        if isinstance(where, BotPath):
            self._bot_path(request, where, upgrade)
        elif isinstance(where, ActionPath) and not upgrade:
            self._action_path(request, where)
        elif isinstance(where, SandboxPath):
            self._sandbox_path(request, where)
        elif isinstance(where, ImplementationPath):
            self._implementations.websocket(request, where.role)
        elif isinstance(where, PostPath) and not upgrade:
            self._implementations.post(request)
        elif isinstance(where, MachinePath) and not upgrade:
            self._machines(request, where.what)
        else:
            say(request, 404, "there is nothing here; a bot's WebSocket is at / or /{self_id}")

    # -- bots

    def _bot_path(self, request: Request, where: BotPath, upgrade: bool) -> None:
        if not upgrade:
            self._plain(request, where)
            return
        if request.requestHeaders.hasHeader("x-client-role"):
            self._implementations.wrong_door(request)
            return
        bot = self._authentication.authenticate_bot(request)
        if bot is None:
            return
        account = self._account(request, bot, where.self_id)
        if account is None:
            return
        if not account.was_up:
            say(request, 503, f"account {account.self_id} is not up yet", _RETRY)
            return
        problem = check_upgrade(request)
        if problem is not None:
            say(request, problem.status, problem.sentence, problem.headers)
            return
        channel: Any = request.channel
        self._upgrade(request, bot, account, where.role, channel.hand_over())

    def _action_path(self, request: Request, where: ActionPath) -> None:
        if request.method == b"OPTIONS":  # a browser asks beforehand, and shows no token
            self._actions.preflight(request)
            return
        bot = self._authentication.authenticate_bot(request)
        if bot is None:
            return
        account = self._account(request, bot, where.self_id)
        if account is not None:
            self._actions.perform(request, bot, account, where.action)

    def _plain(self, request: Request, where: BotPath) -> None:
        """A request that is not for a WebSocket, on a path that is."""
        if where.role:
            say(
                request,
                426,
                f"/{where.role} is a WebSocket",
                (("Upgrade", "websocket"), ("Connection", "Upgrade")),
            )
        elif request.method in (b"GET", b"HEAD"):
            say(request, 200, "This is lgtwist. Bots connect here by WebSocket (OneBot 11).")
        else:
            say(request, 405, "only GET", (("Allow", "GET, HEAD"),))

    def _account(self, request: Request, bot: Bot, self_id: int | None) -> Account | None:
        account = self._hub.default_account(bot) if self_id is None else self._hub.accounts.get(self_id)
        if account is None and self_id is not None:
            say(request, 404, f"there is no account {self_id}")
        elif account is None or not bot.may_use(account.self_id):
            say(request, 403, f'bot "{bot.name}" may not use this account')
        else:
            return account
        return None

    # -- the sandbox's control

    def _sandbox_path(self, request: Request, where: SandboxPath) -> None:
        if len(where.rest) == 2 and where.rest[0] == "media":  # its unguessable name is the key
            control = IControl(self._edge_of(where.self_id), None)
            if control is None:
                say(request, 404, "there is no such file")
            else:
                control.serve_file(request, where.rest[1])
            return
        if not self._authentication.authenticate_admin(request):
            return
        control = IControl(self._edge_of(where.self_id), None)
        if control is None:
            say(request, 404, f"there is no sandbox account {where.self_id}")
        else:
            control.handle(request, where.rest)
