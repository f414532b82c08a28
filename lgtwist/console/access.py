"""Who may ask the console: the operator's token, or the cookie of a page of ours; login and logout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ISSLTransport
from twisted.web.server import Request

from lgtwist import __version__
from lgtwist.console.problems import ApiProblem, read_object
from lgtwist.console.routing import READING, RouteHandler
from lgtwist.console.sessions import Sessions, cookies, is_old, made_at, set_cookie
from lgtwist.console.wrong_tokens import WrongTokens
from lgtwist.web.authentication import Authentication, headers_of
from lgtwist.web.bodies import RequestBody
from lgtwist.web.local_origin import is_origin_of

#: What a request that changes something must have where a cookie opens it: no form and no link of another
#: site can send it.
CSRF_HEADER = "x-lgtwist-console"
#: Bytes of the body of a request that needs no session.
_LOGIN_BYTES = 4_096
#: Seconds for which a token that was shown counts for saving the configuration and for a restart.
CONFIRMED_FOR = 600
#: Sessions of which it is remembered that the token was shown again.
_MOST_CONFIRMED = 100


@frozen
class Visitor:
    """Who sends a request.

    :ivar session: the value of its cookie; None where a token was shown.
    :ivar expires: when the session ends, in seconds since the epoch; 0 for a token.
    :ivar made: when the token was shown for the session, in seconds since the epoch; 0 for a token.
    """

    session: str | None = None
    expires: int = 0
    made: int = 0


class ShortBodies:
    """Bounds the body of a request that needs no session."""

    def __init__(self) -> None:
        self._size = 0

    def charge(self, body: RequestBody, size: int) -> None:
        """Refuse a body of more than :data:`_LOGIN_BYTES` bytes."""
        self._size += size
        if self._size > _LOGIN_BYTES:
            body.refuse(f"the body has more than {_LOGIN_BYTES} bytes")

    def forget(self, body: RequestBody, size: int) -> None:
        """Do nothing: nothing is counted."""


class Access:
    """Tells who sends a request, lets people log in and out, and refuses others.

    :param authentication: of the operator.
    :param sessions: of those who logged in.
    :param save_generation: keeps the generation of the sessions over a restart.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param assets: the hash of the pages' files, for ``GET session``.
    :param logged_out: called with the session that has ended, None for all of them.
    """

    def __init__(
        self,
        *,
        authentication: Authentication,
        sessions: Sessions,
        save_generation: Callable[[int], None],
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        assets: str,
        logged_out: Callable[[str | None], None],
    ) -> None:
        self._authentication = authentication
        self._sessions = sessions
        self._save_generation = save_generation
        self._wall_clock = wall_clock
        self._assets = assets
        self._logged_out = logged_out
        self._wrong_tokens = WrongTokens(clock)
        self._confirmed: dict[str, float] = {}  # sessions, and when the token was shown again

    def open_routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers of requests that need no session."""
        return {("GET", "session"): self._session, ("POST", "login"): self._login}

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the other handlers."""
        return {("POST", "logout"): self._logout}

    # -- who asks

    def visitor(self, request: Request, query: bytes | None = None) -> Visitor | None:
        """Return who sends a request, by the token or else the cookie that it shows; None for a stranger.

        :param query: of its target, where that is not known to the request yet.
        """
        query = request.uri.partition(b"?")[2] if query is None else query
        authentication = self._authentication
        shown = authentication.shows_admin_token(request, query)
        if shown is not None:
            return Visitor() if shown else None
        token = authentication.admin_token
        if token is None:
            return None
        now = self._wall_clock()
        for value in cookies(request.requestHeaders.getRawHeaders("cookie", [])):
            expires = self._sessions.expiry(value, token, now)
            if expires is not None:
                return Visitor(value, expires, made_at(value))
        return None

    def refuse_foreign(self, request: Request, method: str) -> None:
        """Refuse a request with a cookie that a page of ours has not sent.

        :raises ApiProblem: if it may be another page's.
        """
        headers = headers_of(request)
        site = headers.get("sec-fetch-site")
        foreign = site is not None and site not in ("same-origin", "none")
        if method not in READING and site != "same-origin":
            foreign = foreign or not self._is_own_origin(headers)
        if headers.get("origin") in self._authentication.settings.allowed_origins:
            foreign = False
        if foreign or (method not in READING and CSRF_HEADER not in headers):
            sentence = (
                "this request comes from no page of this console; it needs the header X-Lgtwist-Console: 1 "
                "and an Origin that is equal to Host"
            )
            raise ApiProblem(403, "foreign_origin", _origin_and_host(headers), sentence)

    def _is_own_origin(self, headers: dict[str, str]) -> bool:
        """Return whether the ``Origin`` of a request, if it has one, is the address that it was sent to."""
        origin = headers.get("origin")
        if origin is None:
            return True
        if origin in self._authentication.settings.allowed_origins:
            return True
        return is_origin_of(origin, headers.get("host", ""))

    async def refuse_unknown(self, request: Request) -> None:
        """Refuse a request without a token, a wrong one, or with a cookie that is over.

        :raises ApiProblem: always.
        """
        query = request.uri.partition(b"?")[2]
        if self._authentication.shows_admin_token(request, query) is None:
            request.responseHeaders.setRawHeaders("WWW-Authenticate", ['Bearer realm="lgtwist"'])
            raise ApiProblem(401, "not_logged_in", {}, "log in, or send Authorization: Bearer <admin_token>")
        await self._refuse_wrong_token(request)

    async def require_token(self, request: Request, token: object) -> None:
        """Refuse a request that does not have the admin token in its body, whatever else it shows.

        :param token: what the body has for it.
        :raises ApiProblem: if it is missing (403, ``confirm_token``), or wrong, which counts as in ``login``.
        """
        if not isinstance(token, str) or not token.strip():
            raise ApiProblem(403, "confirm_token", {}, 'the admin token is asked for again: {"token": "..."}')
        await self._check_token(request, token)

    async def _check_token(self, request: Request, token: str) -> None:
        """Refuse a token that was typed and is not the admin token.

        :raises ApiProblem: if it is wrong, or there is no admin token.
        """
        authentication = self._authentication
        if authentication.admin_token is None or not authentication.is_admin_token(token.strip()):
            await self._refuse_wrong_token(request)

    async def _refuse_wrong_token(self, request: Request) -> None:
        """Refuse a wrong token, at once or some seconds later.

        :raises ApiProblem: always.
        """
        limited = self._authentication.count_failure(request, "a wrong token for the console")
        may_tell = self._wrong_tokens.count()
        if isinstance(may_tell, Deferred):
            may_tell = await may_tell
        if limited or not may_tell:
            request.responseHeaders.setRawHeaders("Retry-After", ["60"])
            raise ApiProblem(503, "too_many_failures", {}, "too many wrong tokens; the right one still works")
        raise ApiProblem(403, "wrong_token", {}, "the token is wrong")

    # -- sessions

    def _session(self, request: Request, _rest: tuple[str, ...], _body: bytes) -> Any:
        visitor = self.visitor(request)
        now = self._wall_clock()
        if visitor is not None and visitor.session is not None and is_old(visitor.expires, now):
            self._set_cookie(request, visitor.made)
        return {"in": visitor is not None, "version": __version__, "assets": self._assets}

    async def confirm(self, request: Request, shown: Any) -> None:
        """Refuse a request by a cookie unless the admin token was shown within :data:`CONFIRMED_FOR` seconds.

        It was shown at the login, or in the body of an earlier request of the same session. A request that
        shows the token itself is never refused.

        :param shown: the token that the request has in its body, which counts from now on; None for none.
        :raises ApiProblem: if it was not shown lately (403, ``confirm_token``), or is wrong, which counts as
            in ``login``.
        """
        visitor = self.visitor(request)
        if visitor is None:  # the token was changed a moment ago
            await self.refuse_unknown(request)
        assert visitor is not None
        if visitor.session is None:
            return
        now = self._wall_clock()
        if shown is not None:
            await self._check_token(request, shown if isinstance(shown, str) else "")
            if len(self._confirmed) >= _MOST_CONFIRMED:
                self._confirmed.pop(next(iter(self._confirmed)))
            self._confirmed[visitor.session] = now
            return
        times = (visitor.made, self._confirmed.get(visitor.session, 0.0))
        if not any(-60 <= now - time < CONFIRMED_FOR for time in times):
            sentence = (
                f'show the token again: {{"token": "..."}}; it counts for {CONFIRMED_FOR // 60} minutes'
            )
            raise ApiProblem(403, "confirm_token", {"minutes": CONFIRMED_FOR // 60}, sentence)

    def _set_cookie(self, request: Request, made: int | None = None) -> None:
        token = self._authentication.admin_token
        assert token is not None
        value = self._sessions.make(token, self._wall_clock(), made)
        request.responseHeaders.addRawHeader("Set-Cookie", set_cookie(value, secure=_is_secure(request)))

    async def _login(self, request: Request, _rest: tuple[str, ...], body: bytes) -> Any:
        headers = headers_of(request)
        site = headers.get("sec-fetch-site", "same-origin")
        if not self._is_own_origin(headers) or (
            site != "same-origin"
            and headers.get("origin") not in self._authentication.settings.allowed_origins
        ):
            values = _origin_and_host(headers)
            sentence = (
                f'a page of {values["origin"] or "another site"} may not log in to "{values["host"]}"; '
                "behind a proxy let it pass Host on, or name the origin in [server] allowed_origins"
            )
            raise ApiProblem(403, "foreign_origin", values, sentence)
        token = read_object(body).get("token")
        if not isinstance(token, str):
            raise ApiProblem(400, "bad_request", {"reason": "token is missing"}, 'expected {"token": "..."}')
        await self._check_token(request, token)
        self._set_cookie(request)
        return {"in": True}

    def _logout(self, request: Request, _rest: tuple[str, ...], body: bytes) -> Any:
        visitor = self.visitor(request)
        if body.strip() and read_object(body).get("everywhere") is True:
            self._sessions.generation += 1
            self._save_generation(self._sessions.generation)
            self._confirmed.clear()
            self._logged_out(None)
        elif visitor is not None and visitor.session is not None:
            self._confirmed.pop(visitor.session, None)
            self._logged_out(visitor.session)
        request.responseHeaders.addRawHeader("Set-Cookie", set_cookie("", secure=_is_secure(request)))
        return {"in": False}


def _origin_and_host(headers: dict[str, str]) -> dict[str, str]:
    return {"origin": headers.get("origin", "")[:200], "host": headers.get("host", "")[:200]}


def _is_secure(request: Request) -> bool:
    """Return whether the browser talks TLS, to us or to a proxy in front of us."""
    channel: Any = request.channel
    if channel is not None and ISSLTransport.providedBy(channel.transport):
        return True
    headers = headers_of(request)
    forwarded = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    return forwarded == "https" or "proto=https" in headers.get("forwarded", "").lower()
