"""Authentication of requests by their tokens, and the answers to those that are refused."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import ISSLTransport
from twisted.web.server import Request

from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import DirectoryObserver
from lgtwist.hub.settings import port_owners
from lgtwist.net.http_responses import Headers, log_refusal, respond
from lgtwist.net.loopback import is_loopback_name, plain_address
from lgtwist.onebot.auth import MAX_TOKENS, AuthenticationFailure, Keyring, presented_tokens
from lgtwist.onebot.event import read_id
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.logs import Logger, LogThrottles, printable
from lgtwist.web.connection_limits import ConnectionLimits, CountedConnection
from lgtwist.web.local_origin import why_not_local
from lgtwist.web.refused_handshakes import Named, Reason, RefusedHandshakes
from lgtwist.web.settings import ServerSettings

_KeyOwner = TypeVar("_KeyOwner")

#: Stands for the address of a peer on a Unix socket.
_UNIX = "unix socket"
#: Owns the operator's connections; see :meth:`ConnectionLimits.own`.
_OPERATOR = "operator"
#: Owns no token: whoever asks without one on this machine, where none is configured.
_LOCAL_ADMIN = "local admin"
_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="lgtwist"'),)
#: ``Host`` headers whose refusals are logged in a period, one line for each; and the period in seconds.
_LOGGED_HOSTS = 100
_LOGGED_PERIOD = 3600.0
#: Bytes of ``access_token`` in a query, if all its letters are escaped.
_ESCAPED_NAME = 40
_NEEDS_TOKEN = "a token is needed: Authorization: Bearer ..."  # noqa: S105
_NO_TOKEN_SET = (
    f"{_NEEDS_TOKEN}; no token is set in the program that asks: it shows an empty one, or undefined"
)
_TOO_MANY_TOKENS = "more than two tokens are shown; show one, as Authorization: Bearer ..."
#: The methods of requests that change nothing, except in the HTTP API (RFC 9110, 9.2.1).
_SAFE_METHODS = (b"GET", b"HEAD")
#: The headers of 503 where a connection finds no room.
_TRY_AGAIN = (("Retry-After", "3"),)


class BotTokens(DirectoryObserver):
    """The tokens of the bots in the directory, as its observer; see :func:`port_owners`.

    Where a token comes to open the port for another bot, what it let in before is closed with 1008.

    :ivar keyring: finds a bot by its token.
    """

    def __init__(self) -> None:
        self.keyring: Keyring[Bot] = Keyring()
        self._bots: dict[str, Bot] = {}
        self._owners: dict[str | None, str] = {}

    def bot_added(self, bot: Bot) -> None:
        """Accept the bot's token from now on, if it opens the port."""
        self._bots[bot.name] = bot
        self._update()

    def bot_removed(self, bot: Bot) -> None:
        """Stop accepting the bot's token."""
        del self._bots[bot.name]
        self.keyring.remove(bot)
        self._update()

    def refresh(self, bot: Bot) -> None:
        """Accept the bot's present token from now on, and no more the one before."""
        self._update()

    def _update(self) -> None:
        before, owners = self._owners, port_owners(bot.settings for bot in self._bots.values())
        self._owners = owners
        for bot in self._bots.values():
            if owners.get(bot.access_token) == bot.name:
                self.keyring.add(bot, bot.access_token)
            else:
                self.keyring.remove(bot)
                if before.get(bot.access_token) == bot.name:
                    bot.end_sessions(1008, "its token opens the port for another bot now", dialled_too=False)


class Authentication:
    """Authenticates bots, implementations and the operator; answers 401, 403 or 503 to others.

    :param limits: counts failures by address.
    :param settings: has the admin token and the allowed origins.
    :param bots: the tokens of the bots.
    :ivar refused_handshakes: is told of the handshakes that are refused.
    """

    _log = Logger()

    def __init__(
        self,
        limits: ConnectionLimits,
        settings: ServerSettings,
        bots: BotTokens,
        refused_handshakes: RefusedHandshakes,
    ) -> None:
        self.refused_handshakes = refused_handshakes
        self._limits = limits
        self._bots = bots.keyring
        self._admin: Keyring[str] = Keyring()
        self._made_token: str | None = None
        self._logged = LogThrottles(limits.clock, _LOGGED_HOSTS, _LOGGED_PERIOD)
        self.settings = settings
        self._budget = Budget(limits.limits.peer_memory)

    @property
    def budget(self) -> Budget:
        """What is held in memory because of the operator."""
        self._budget.limit = self._limits.limits.peer_memory
        return self._budget

    @property
    def settings(self) -> ServerSettings:
        """The server's settings; may be replaced as a whole, from the next request on."""
        return self._settings

    @settings.setter
    def settings(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._update_admin()

    @property
    def made_token(self) -> str | None:
        """The admin token that the service made, which counts where none is configured; None for none.

        On loopback it is accepted, and not needed.
        """
        return self._made_token

    @made_token.setter
    def made_token(self, token: str | None) -> None:
        self._made_token = token
        self._update_admin()

    @property
    def admin_token(self) -> str | None:
        """The operator's token, as configured, else made; None if there is none."""
        return self._made_token if self._settings.admin_token is None else self._settings.admin_token

    def _update_admin(self) -> None:
        configured, token = self._settings.admin_token, self.admin_token
        owners: list[tuple[str, str | None]] = [("admin", token)]
        if configured is None and token is not None and not self._settings.public:
            owners.append((_LOCAL_ADMIN, None))
        self._admin = Keyring(owners)

    # -- checks that answer a request that fails them

    def authenticate_bot(
        self, request: Request, named: Named | None = None, *, changes: bool = True
    ) -> Bot | None:
        """Return the bot that sends a request; None if it was refused, and answered.

        :param named: what a handshake names; None if it is none.
        :param changes: whether the request may change something.
        """
        bot = self._authenticate(
            request,
            self._bots,
            lambda bot: f'bot "{bot.name}" has no token; set access_token in [[bots]] and in the bot',
            named,
            changes,
        )
        if bot is None or not self.own(request, bot, f'bot "{bot.name}"', named):
            return None
        set_budget(request, bot.budget)
        return bot

    def authenticate_admin(self, request: Request) -> bool:
        """Return whether the operator sends a request; if not, answer it."""
        if self._admin_is_disabled():
            respond(request, 403, "set admin_token in [server] to use this from a public address")
            return False
        hint, changes = (
            "no admin_token was sent; send the one that is set in [server], else the one that "
            "`lgtwist token` prints",
            request.method not in _SAFE_METHODS,
        )
        if self._authenticate(request, self._admin, lambda _admin: hint, None, changes) is None:
            return False
        return self.own_by_operator(request)

    def own_by_operator(self, request: Request) -> bool:
        """Count the connection and the answer of a request for the operator, who was authenticated.

        :returns: whether there is room; if not, it was answered with 503.
        """
        if not self.own(request, _OPERATOR, "the operator", None):
            return False
        set_budget(request, self.budget)
        return True

    def authenticate_account(self, request: Request, self_id: int, token: str | None) -> bool:
        """Return whether an account's implementation sends a request; if not, answer it.

        :param token: the account's; None for none.
        """
        hint = f"account {self_id} has no token; set access_token in [[accounts]] and in the implementation"
        owners, named = Keyring([(self_id, token)]), Named(self_id)
        if self._authenticate(request, owners, lambda _self_id: hint, named, True) is None:
            return False
        return self.own(request, self_id, f"account {self_id}", named)

    def _authenticate(
        self,
        request: Request,
        owners: Keyring[_KeyOwner],
        hint: Callable[[_KeyOwner], str],
        named: Named | None,
        changes: bool,
    ) -> _KeyOwner | None:
        """Return the owner of the token in a request; None if it was refused, and answered.

        A request without a token is that of an owner without one, if it comes from this machine.

        :param owners: the owners and their tokens.
        :param hint: returns what to do about an owner without a token, for the answer to other machines.
        :param named: what a handshake names; None if it is none.
        :param changes: whether the request may change something.
        """
        shown = tokens_of(request, request.uri.partition(b"?")[2], owners)
        if len(shown) > MAX_TOKENS:
            self.refuse(request, 403, _TOO_MANY_TOKENS, named=named)
            return None
        owner = owners.owner_of(shown)
        if owner is AuthenticationFailure.MISSING:
            sentence = _NO_TOKEN_SET if _shows_empty_token(request) else _NEEDS_TOKEN
            # As ever, 401 where nothing is shown, 403 where something is.
            status = 403 if _shows_unset_token(request) else 401
            self.refuse(request, status, sentence, _CHALLENGE if status == 401 else (), named=named)
        elif isinstance(owner, AuthenticationFailure):
            self.refuse(request, 403, "the token is wrong", named=named, failures=len(shown))
        elif shown:
            if len(shown) > 1 and isinstance(owners.owner_of(shown[:1]), AuthenticationFailure):
                self._limits.wrong_token_beside_right_one(address_of(request))
            return owner
        elif self.authenticate_local(request, hint(owner), named, changes=changes):
            return owner
        return None

    def authenticate_local(
        self, request: Request, hint: str, named: Named | None = None, *, changes: bool = True
    ) -> bool:
        """Return whether a program on this machine sends a request; if not, answer it with 403.

        :param hint: what to do about it, for the answer and the log.
        :param named: what a handshake names; None if it is none.
        :param changes: whether the request may change something.
        """
        headers = headers_of(request)
        why = self._why_not_local(request, headers, changes)
        if why is None:
            return True
        sentence = f"refused {address_of(request)}: {printable(why)} and {hint}"
        host = headers.get("host", "")
        if self._logged.should_log(host):
            self._log.warn("{sentence}", sentence=sentence)
        # A web page may read this refusal only where it could read an answer.
        request.responseHeaders.removeHeader("Access-Control-Allow-Origin")
        self.refuse_handshake(request, 403, sentence, reason=Reason.HOST, named=named, logged=True)
        return False

    def own(self, request: Request, owner: Hashable, name: str, named: Named | None) -> bool:
        """Count the connection of a request for who sends it; if there is no room, answer with 503.

        :param owner: a bot, the number of an account, or the operator.
        :param name: of the owner, for the answer.
        :param named: what a handshake names; None if it is none.
        """
        counted = _counted(request)
        why = None if counted is None else self._limits.own(counted, owner)
        if why is None:
            return True
        if named is not None and isinstance(owner, Bot):
            named = Named(named.account, owner.name)
        self.refuse_handshake(request, 503, f"{name} {why}", _TRY_AGAIN, reason=Reason.LIMIT, named=named)
        return False

    def refuse(
        self,
        request: Request,
        status: int,
        sentence: str,
        headers: Headers = (),
        logged: bool = False,
        *,
        reason: Reason = Reason.TOKEN,
        named: Named | None = None,
        failures: int = 1,
    ) -> None:
        """Count a failure and answer the request; 503 to an address that fails too often.

        :param status: 401 or 403, for other addresses.
        :param sentence: why, for the answer and the log.
        :param logged: whether it was logged already.
        :param named: what a handshake names; None if it is none.
        :param failures: how many wrong tokens it showed.
        """
        # It logs the first one of an address.
        if self._limits.authentication_failed(address_of(request), sentence, logged, failures=failures):
            status, sentence, headers = 503, "too many failures from this address", (("Retry-After", "60"),)
            reason = Reason.LIMIT
        self.refuse_handshake(request, status, sentence, headers, reason=reason, named=named, logged=True)

    def refuse_handshake(
        self,
        request: Request,
        status: int,
        sentence: str,
        headers: Headers = (),
        *,
        reason: Reason,
        named: Named | None,
        logged: bool = False,
    ) -> None:
        """Answer a request that is refused, whether for its secret or not; log it, throttled.

        :param sentence: the answer; no token may be in it.
        :param named: what a handshake names; None if it is none: then it is not noted as one.
        :param logged: whether it was logged already, or need not be.
        """
        if named is not None:
            self.refused_handshakes.add(address_of(request), named, reason, status, sentence)
            if not logged:
                log_refusal(request, status, sentence)
        respond(request, status, sentence, headers, logged=logged or named is not None)

    # -- checks without an answer

    def find_bot(self, request: Request, query: bytes) -> Bot | None:
        """Return the bot that :meth:`authenticate_bot` would find; None where it would refuse. Count nothing.

        :param query: of the request's target; its arguments are not read yet.
        """
        bot = self._find(request, query, self._bots)
        return bot if bot is not None and self._has_room(request, bot) else None

    def may_be_admin(self, request: Request, query: bytes) -> bool:
        """Return whether :meth:`authenticate_admin` would succeed; count nothing.

        :param query: of the request's target; its arguments are not read yet.
        """
        if self._admin_is_disabled() or self._find(request, query, self._admin) is None:
            return False
        return self._has_room(request, _OPERATOR)

    def shows_admin_token(self, request: Request, query: bytes) -> bool | None:
        """Return whether a request presents the admin token; None if it presents no token. Count nothing.

        :param query: of the request's target.
        """
        shown = tokens_of(request, query, self._admin)
        if not shown:
            return None
        return len(shown) <= MAX_TOKENS and self.is_admin_token(*shown)

    def is_admin_token(self, *tokens: str) -> bool:
        """Return whether one of some tokens is the admin token; the time tells nothing of it."""
        return self._admin.owner_of([*tokens]) == "admin"

    def has_room_for_operator(self, request: Request) -> bool:
        """Return whether :meth:`own_by_operator` would find room."""
        return self._has_room(request, _OPERATOR)

    def count_failure(self, request: Request, why: str) -> bool:
        """Count a wrong token; log the first one of an address.

        :param why: for the log.
        :returns: whether the address fails too often; never so for loopback.
        """
        return self._limits.authentication_failed(address_of(request), why)

    def may_be_local(self, request: Request) -> bool:
        """Return whether :meth:`authenticate_local` would succeed; count nothing."""
        return self._why_not_local(request, headers_of(request), True) is None

    def is_local_or_admin(self, request: Request) -> bool:
        """Return whether a request comes from this machine or has the admin token.

        A wrong token is counted as a failure; then it does not matter where it comes from.
        """
        if self.admin_token is not None:
            shown = tokens_of(request, request.uri.partition(b"?")[2], self._admin)
            if len(shown) <= MAX_TOKENS and self._admin.owner_of(shown) == "admin":
                if self._admin.owner_of(shown[:1]) != "admin":
                    self._limits.wrong_token_beside_right_one(address_of(request))
                return True
            if shown:
                failures = min(len(shown), MAX_TOKENS)
                why = "the token is wrong"
                self._limits.authentication_failed(address_of(request), why, failures=failures)
                return False
        return self._why_not_local(request, headers_of(request), False) is None

    def _find(self, request: Request, query: bytes, owners: Keyring[_KeyOwner]) -> _KeyOwner | None:
        shown = tokens_of(request, query, owners)
        owner = owners.owner_of(shown)
        if isinstance(owner, AuthenticationFailure) or len(shown) > MAX_TOKENS:
            return None
        return owner if shown or self._why_not_local(request, headers_of(request), False) is None else None

    def _has_room(self, request: Request, owner: Hashable) -> bool:
        counted = _counted(request)
        return counted is None or self._limits.why_not_owned(counted, owner) is None

    def _admin_is_disabled(self) -> bool:
        return self.admin_token is None and self._settings.public

    def _why_not_local(self, request: Request, headers: dict[str, str], changes: bool) -> str | None:
        address = address_of(request)
        if not is_loopback_name(address) and address != _UNIX:
            return f"address {address} is not loopback"
        channel: Any = request.channel
        secure = ISSLTransport.providedBy(channel.transport)
        return why_not_local(headers, self._settings.allowed_origins, secure, changes=changes)


def _counted(request: Request) -> CountedConnection | None:
    """Return how a request's connection is counted; None for a request that came by no port."""
    counted: CountedConnection | None = getattr(request.channel, "counted", None)
    return counted


def set_budget(request: Request, budget: Budget) -> None:
    """Count what waits for the client of a request in ``budget``, from now on."""
    any_request: Any = request
    any_request.budget = budget


def tokens_of(request: Request, query: bytes, owners: Keyring[Any]) -> list[str]:
    """Return the tokens that a request presents; see :func:`presented_tokens`.

    One that is ``undefined``, ``null`` or the like is none, unless somebody has such a token.
    A ``+`` in the query stands for itself where that is a token, else for a blank: programs write both.

    :param query: of the request's target.
    :param owners: the owners of tokens.
    """
    headers = request.requestHeaders.getRawHeaders(b"authorization", [])
    values = [] if b"access" not in query and b"%" not in query else _access_tokens(query, owners)
    presented = presented_tokens([header.decode("utf-8", "replace") for header in headers], values)
    return owners.without_unset(presented)


def _shows_empty_token(request: Request) -> bool:
    """Return whether a request without a token has a place for one: its program has none set."""
    query = request.uri.partition(b"?")[2]
    return request.requestHeaders.hasHeader(b"authorization") or b"access_token=" in query


def _shows_unset_token(request: Request) -> bool:
    """Return whether a request without a token shows ``undefined``, ``null`` or the like for one."""
    no_owners: Keyring[None] = Keyring()
    headers = request.requestHeaders.getRawHeaders(b"authorization", [])
    values = _access_tokens(request.uri.partition(b"?")[2], no_owners)
    return bool(presented_tokens([header.decode("utf-8", "replace") for header in headers], values))


def _access_tokens(query: bytes, owners: Keyring[Any]) -> list[str]:
    values = []
    for pair in query.split(b"&"):
        name, _equals, value = pair.partition(b"=")
        if b"%" in name and len(name) <= _ESCAPED_NAME:
            name = unquote_to_bytes(name)
        if name.removeprefix(b"amp;") != b"access_token":
            continue
        text = unquote_to_bytes(value).decode("utf-8", "replace")
        if b"+" in value and isinstance(owners.owner_of([text]), AuthenticationFailure):
            text = unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", "replace")
        values.append(text)
    return values


def headers_of(request: Request) -> dict[str, str]:
    """Return the request's headers, names in lower case; equal ones are joined by a comma."""
    return {
        name.decode("latin-1").lower(): b",".join(values).decode("utf-8", "replace")
        for name, values in request.requestHeaders.getAllRawHeaders()
    }


def self_id_of(request: Request) -> int | None:
    """Return the account that ``X-Self-ID`` names; None if it names none."""
    return read_id(headers_of(request).get("x-self-id", "").strip().encode())


def address_of(request: Request) -> str:
    """Return the peer's IP address, or ``unix socket``."""
    peer: Any = request.getClientAddress()
    return plain_address(str(getattr(peer, "host", None) or _UNIX))
