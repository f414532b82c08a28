"""The paths of bots: WebSockets and actions over HTTP (OneBot 11, ``communication/ws.md``, ``http.md``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.net.http_responses import Headers, respond
from lgtwist.runtime.logs import Logger, LogThrottle
from lgtwist.web.authentication import Authentication, address_of, self_id_of
from lgtwist.web.bodies import BodyBudget, PeerBodies
from lgtwist.web.mounts import RETRY_AFTER, UPGRADE, refuse_path, refuse_upgrade, start_upgrade
from lgtwist.web.refused_handshakes import Named, Reason
from lgtwist.web.routes import account_number, without_authority
from lgtwist.web.waiting_handshakes import WaitingHandshakes
from lgtwist.websocket.upgrade import asks_for_upgrade, check_upgrade, lost_upgrade

#: The beginnings of the names of actions that change nothing; a browser may ask for them as for a page.
_READING_ACTIONS = ("get_", "can_")
#: The last segment of a WebSocket's path; empty for Universal.
_BOT_ROLES = ("", "api", "event")


@frozen
class BotPath:
    """The path of a bot's WebSocket.

    :ivar self_id: the account; None for the bot's default.
    :ivar role: ``""`` (universal), ``"api"`` or ``"event"``.
    """

    self_id: int | None
    role: str


@frozen
class ActionPath:
    """The path of an action over HTTP.

    :ivar self_id: the account; None for the bot's default.
    """

    self_id: int | None
    action: str


def read_bot_path(segments: tuple[str, ...]) -> BotPath | ActionPath | None:
    """Read a path with an account's number and a role or an action, each of which may be left out.

    :param segments: of the path.
    :returns: None for any other path.
    """
    self_id = account_number(segments[0]) if segments else None
    rest = segments if self_id is None else segments[1:]
    if len(rest) > 1 or "" in rest:
        return None
    last = rest[0] if rest else ""
    return BotPath(self_id, last) if last in _BOT_ROLES else ActionPath(self_id, last)


class AcceptBot(Protocol):
    """Upgrades a bot's request to a WebSocket."""

    def __call__(
        self, request: Request, bot: Bot, account: Account, role: str, on_closed: Callable[[], None]
    ) -> None:
        """Upgrade a request.

        :param request: one that was authenticated and that ``check_upgrade`` accepted.
        :param role: ``""`` (universal), ``"api"`` or ``"event"``.
        :param on_closed: called once, when the connection is closed.
        """


class HttpActions(Protocol):
    """Answers actions over HTTP."""

    def preflight(self, request: Request) -> None:
        """Answer a preflight request (CORS)."""

    def cors_headers(self, request: Request) -> Headers:
        """Return the headers that let a web page read the answer to a request (CORS); none if it may not."""

    def perform(self, request: Request, bot: Bot, account: Account, action: str) -> None:
        """Carry out an action of a bot, and answer with its response."""


class BotEndpoints:
    """Authenticates bots, finds the account that they ask for, and passes their requests on.

    :param accept: upgrades requests to WebSockets.
    :param actions: answers actions over HTTP.
    :param wrong_path: limits log lines about peers at wrong paths; shared with :class:`AccountEndpoints`.
    :param clock: the reactor, or a clock in its place.
    :ivar waiting: the handshakes that wait until their account is up for the first time.
    """

    has_root = True
    _log = Logger()

    def __init__(
        self,
        *,
        directory: Directory,
        authentication: Authentication,
        accept: AcceptBot,
        actions: HttpActions,
        wrong_path: LogThrottle,
        clock: IReactorTime,
    ) -> None:
        self.waiting = WaitingHandshakes(clock)
        self._directory = directory
        self._authentication = authentication
        self._accept = accept
        self._actions = actions
        self._wrong_path = wrong_path

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> BodyBudget | None:
        """Return the budget of the bot that asks for an action, by its token; None for any other request."""
        if request.method == b"OPTIONS" or not isinstance(read_bot_path(segments), ActionPath):
            return None
        bot = None if asks_for_upgrade(request) else self._authentication.find_bot(request, query)
        return None if bot is None else PeerBodies(bot.budget, "this bot")

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request of a bot, or upgrade it to a WebSocket."""
        path = read_bot_path(segments)
        if isinstance(path, BotPath):
            if asks_for_upgrade(request):
                self._websocket(request, path)
            else:
                self._plain_request(request, path)
        elif isinstance(path, ActionPath) and not asks_for_upgrade(request):
            self._action(request, path)
        else:
            refuse_path(request, self._authentication)

    def _websocket(self, request: Request, path: BotPath, *, has_waited: bool = False) -> None:
        """Upgrade a request to a WebSocket; until its account was up once, let it wait for that.

        :param has_waited: whether it did: everything is looked at again, for it may have changed meanwhile.
        """
        if request.requestHeaders.hasHeader("x-client-role"):
            self._answer_implementation(request)
            return
        bot = self._authentication.authenticate_bot(request, Named(path.self_id))
        if bot is None:
            return
        account = self._find_account(request, bot, path.self_id, Named(path.self_id, bot.name))
        if account is None:
            return
        named = Named(account.self_id, bot.name)
        if not account.was_up:
            problem = check_upgrade(request)
            if problem is not None:
                refuse_upgrade(request, self._authentication, named, problem)
                return
            go_on = partial(self._go_on, request, path)
            if not has_waited and self.waiting.add(request, bot, account, go_on):
                return
            sentence = f"account {account.self_id} is not up yet"
            self._authentication.refuse_handshake(
                request, 503, sentence, RETRY_AFTER, reason=Reason.ACCOUNT, named=named, logged=True
            )
            return
        on_closed = start_upgrade(request, self._authentication, named)
        if on_closed is not None:
            self._accept(request, bot, account, path.role, on_closed)

    def _go_on(self, request: Request, path: BotPath) -> None:
        """Answer a handshake that has waited. Never raises."""
        try:
            self._websocket(request, path, has_waited=True)
        except Exception:
            self._log.failure("a handshake that waited for its account failed")
            channel: Any = request.channel
            if channel is not None:
                channel.abort()

    def _action(self, request: Request, path: ActionPath) -> None:
        if request.method == b"OPTIONS":  # a preflight request has no token
            self._actions.preflight(request)
            return
        if request.requestHeaders.hasHeader(b"origin"):
            for name, value in self._actions.cors_headers(request):  # of a refusal too
                request.responseHeaders.setRawHeaders(name, [value])
        reads = path.action.startswith(_READING_ACTIONS)
        bot = self._authentication.authenticate_bot(request, changes=not reads)
        if bot is None:
            return
        account = self._find_account(request, bot, path.self_id)
        if account is not None:
            self._actions.perform(request, bot, account, path.action)

    def _plain_request(self, request: Request, path: BotPath) -> None:
        """Answer a request that does not ask for a WebSocket, at the path of one."""
        lost = lost_upgrade(request)
        if lost is not None:
            refuse_upgrade(request, self._authentication, Named(path.self_id), lost)
        elif path.role:
            self._authentication.refuse_handshake(
                request,
                426,
                f"/{path.role} is a WebSocket",
                UPGRADE,
                reason=Reason.HANDSHAKE,
                named=Named(path.self_id),
            )
        elif request.method in (b"GET", b"HEAD"):
            respond(request, 200, "This is lgtwist. Bots connect here by WebSocket (OneBot 11).")
        else:
            respond(request, 405, "only GET; an action is at /{action}", (("Allow", "GET, HEAD"),))

    def _find_account(
        self, request: Request, bot: Bot, self_id: int | None, named: Named | None = None
    ) -> Account | None:
        """Return the account that a path asks for; None if it was answered with 403 or 404.

        :param named: what a handshake names; None if it is none.
        """
        directory = self._directory
        account = directory.default_account(bot) if self_id is None else directory.accounts.get(self_id)
        if account is None and self_id is not None:
            status, sentence = 404, f"there is no account {self_id}"
        elif account is None or not bot.may_use(account.self_id):
            status, sentence = 403, f'bot "{bot.name}" may not use this account'
        else:
            return account
        self._authentication.refuse_handshake(request, status, sentence, reason=Reason.ACCOUNT, named=named)
        return None

    def _answer_implementation(self, request: Request) -> None:
        """Answer 404 to a OneBot implementation at a path for bots."""
        if self._wrong_path.should_log():
            self._log.warn(
                "{address} dialled {path} as an OneBot implementation does; those connect to /onebot/v11/ws",
                address=address_of(request),
                path=without_authority(request.path).decode("ascii", "replace"),
            )
        sentence = "bots connect here; an OneBot implementation connects to /onebot/v11/ws"
        self._authentication.refuse_handshake(
            request, 404, sentence, reason=Reason.PATH, named=Named(self_id_of(request)), logged=True
        )
