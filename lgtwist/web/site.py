"""The front door: 401, 403, 404 and 503 as ordinary HTTP, before any upgrade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from lgtwist.answers import say
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.hub import Hub
from lgtwist.onebot.auth import Refusal, owner_of, presented_tokens
from lgtwist.onebot.words import printable
from lgtwist.web.gate import Gate
from lgtwist.web.routes import ActionPath, BotPath, ImplementationPath, SandboxPath, route
from lgtwist.web.strangers import why_stranger
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


class Control(Protocol):
    """Answers the requests below ``/sandbox/{self_id}/``."""

    def __call__(self, request: Request, path: tuple[str, ...]) -> None:
        """Answer a request that was let in; ``path`` is the rest of its path."""

    def media(self, request: Request, name: str) -> None:
        """Answer anybody's request for a kept file."""


_RETRY = (("Retry-After", "3"),)
_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="lgtwist"'),)
#: Warnings about refused hosts: one for each, for so many.
_WARNED_HOSTS = 100


@frozen
class Access:
    """Who may come in, beside the bots.

    :ivar public: whether some listening address can be reached from other machines.
    """

    admin_token: str | None = None
    allowed_origins: frozenset[str] = frozenset()
    public: bool = False


class FrontDoor(Resource):
    """Routes each request of the listening ports."""

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        hub: Hub,
        gate: Gate,
        access: Access,
        upgrade: Upgrade,
        actions: Actions,
        controls: Mapping[int, Control],
    ) -> None:
        super().__init__()
        self._hub = hub
        self._gate = gate
        self._access = access
        self._upgrade = upgrade
        self._actions = actions
        self._controls = controls
        self._warned: set[str] = set()

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
        if self._gate.full:
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
            self._log.warn(
                "{address} dialled {path}, where OneBot implementations connect; a bot connects to /",
                address=_address(request),
                path=request.path.decode("ascii", "replace"),
            )
            say(request, 404, "this path is for OneBot implementations; a bot connects to /")
        else:
            say(request, 404, "there is nothing here; a bot's WebSocket is at / or /{self_id}")

    # -- bots

    def _bot_path(self, request: Request, where: BotPath, upgrade: bool) -> None:
        if not upgrade:
            self._plain(request, where)
            return
        bot = self._bot(request)
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
        channel.site.channels.discard(channel)
        self._upgrade(request, bot, account, where.role, channel.leave)

    def _action_path(self, request: Request, where: ActionPath) -> None:
        if request.method == b"OPTIONS":  # a browser asks beforehand, and shows no token
            self._actions.preflight(request)
            return
        bot = self._bot(request)
        if bot is None:
            return
        account = self._account(request, bot, where.self_id)
        if account is not None:
            self._actions.perform(request, bot, account, where.action)

    def _bot(self, request: Request) -> Bot | None:
        bot: Bot | None = self._who(request, [(bot, bot.access_token) for bot in self._hub.bots])
        return bot

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
            control = self._controls.get(where.self_id)
            if control is None:
                say(request, 404, "there is no such file")
            else:
                control.media(request, where.rest[1])
            return
        if self._access.admin_token is None and self._access.public:
            say(request, 403, "set admin_token in [server] to use this from a public address")
            return
        if self._who(request, [("admin", self._access.admin_token)]) is None:
            return
        control = self._controls.get(where.self_id)
        if control is None:
            say(request, 404, f"there is no sandbox account {where.self_id}")
        else:
            control(request, where.rest)

    # -- who is it

    def _who(self, request: Request, owners: Sequence[tuple[Any, str | None]]) -> Any:
        """Whose token the request shows; None if it was answered with a refusal."""
        headers = _headers(request)
        shown = presented_tokens(
            headers.get("authorization"),
            [token.decode("utf-8", "replace") for token in request.args.get(b"access_token", [])],
        )
        owner = owner_of(shown, owners)
        if owner is Refusal.MISSING:
            self._refuse(request, 401, "a token is needed: Authorization: Bearer ...", _CHALLENGE)
        elif owner is Refusal.WRONG:
            self._refuse(request, 403, "the token is wrong")
        elif any(owner is one and token is None for one, token in owners):
            # No token is asked of it, so it must be a program on this machine.
            secure = ISSLTransport.providedBy(request.channel.transport)
            why = why_stranger(headers, self._access.allowed_origins, secure)
            if why is None:
                return owner
            self._refuse_stranger(request, owner, why, headers.get("host", ""))
        else:
            return owner
        return None

    def _refuse(
        self,
        request: Request,
        status: int,
        sentence: str,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        if self._gate.refused(_address(request), sentence):
            say(request, 503, "too many failures from this address", (("Retry-After", "60"),))
        else:
            say(request, status, sentence, headers)

    def _refuse_stranger(self, request: Request, owner: Any, why: str, host: str) -> None:
        if isinstance(owner, Bot):
            cure = f'bot "{owner.name}" has no token; set access_token in [[bots]] and in the bot'
        else:
            cure = "there is no admin_token; set it in [server] and send it along"
        sentence = f"refused {_address(request)}: {printable(why)} and {cure}"
        if host not in self._warned and len(self._warned) < _WARNED_HOSTS:
            self._warned.add(host)
            self._log.warn("{sentence}", sentence=sentence)
        say(request, 403, sentence)


def _headers(request: Request) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): b",".join(values).decode("utf-8", "replace")
        for name, values in request.requestHeaders.getAllRawHeaders()
    }


def _address(request: Request) -> str:
    peer: Any = request.getClientAddress()
    return str(getattr(peer, "host", None) or "unix socket")
