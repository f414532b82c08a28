"""The interface ``/console/api/`` (docs/console-api.md): who may ask, what is asked, and the answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from attrs import define, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, ISSLTransport
from twisted.python.failure import Failure
from twisted.web.server import Request

from lgtwist import __version__
from lgtwist.console.assets import Assets
from lgtwist.console.interfaces import ServiceView
from lgtwist.console.overview import Overview
from lgtwist.console.problems import ApiProblem, problem_json
from lgtwist.console.sessions import Sessions, cookies, is_old, set_cookie
from lgtwist.console.streams import MAX_SUBSCRIPTIONS, Streams
from lgtwist.console.tester import Tester
from lgtwist.console.topics import (
    LinksTopic,
    SandboxTopic,
    SharedCards,
    TrafficTopic,
    read_traffic_filter,
    world_log_of,
)
from lgtwist.console.traffic import Traffic
from lgtwist.console.wrong_tokens import WrongTokens
from lgtwist.hub.interfaces import IControl
from lgtwist.net.http_responses import body_was_read, respond_with_bytes
from lgtwist.onebot.catalogue import catalogue_json
from lgtwist.runtime.logs import Logger, LogThrottle
from lgtwist.web.authentication import Authentication, headers_of, set_budget
from lgtwist.web.bodies import BodyBudget, PeerBodies, RequestBody
from lgtwist.web.local_origin import is_origin_of
from lgtwist.web.routes import account_number

#: What a request that changes something must have where a cookie opens it: no form and no link of another
#: site can send it.
CSRF_HEADER = "x-lgtwist-console"
#: Bytes of the body of a request that needs no session.
_LOGIN_BYTES = 4_096
_READING = ("GET", "HEAD")
#: The first segments of paths that have more of them.
_DEEPER = ("sandbox", "stream", "traffic", "rights")
_TOPICS = ("links", "traffic", "sandbox")
#: Parameters of a stream's query that are the filter of live traffic.
_FILTER = ("account", "bot", "kind", "group", "user", "text")
#: Characters of a subscription's id.
_LONGEST_ID = 64

#: Answers a request: takes it with the segments behind the route, and its body; returns what is encoded as
#: JSON, bytes of JSON, or None where it has answered itself.
_Handler = Callable[[Request, tuple[str, ...], bytes], Any]


@frozen
class Visitor:
    """Who sends a request.

    :ivar session: the value of its cookie; None where a token was shown.
    :ivar expires: when the session does, in seconds since the epoch; 0 for a token.
    """

    session: str | None = None
    expires: int = 0


class ShortBodies:
    """Lets the body of a request that needs no session come, as far as it is short."""

    def __init__(self) -> None:
        self._size = 0

    def charge(self, body: RequestBody, size: int) -> None:
        """Refuse a body of which more has come than there is to say."""
        self._size += size
        if self._size > _LOGIN_BYTES:
            body.refuse(f"the body has more than {_LOGIN_BYTES} bytes")

    def forget(self, body: RequestBody, size: int) -> None:
        """Do nothing: nothing is counted."""


@define(kw_only=True)
class ConsoleResources:
    """What the interface is made with.

    :ivar authentication: of the operator.
    :ivar view: the running service.
    :ivar clock: the reactor, or a clock in its place.
    :ivar wall_clock: seconds since the epoch.
    :ivar sessions: of those who logged in.
    :ivar save_generation: keeps the generation of the sessions over a restart.
    """

    authentication: Authentication
    view: ServiceView
    clock: IReactorTime
    wall_clock: Callable[[], float]
    sessions: Sessions
    save_generation: Callable[[int], None]


class ConsoleApi:
    """Answers the requests below ``/console/api/``."""

    _log = Logger()

    def __init__(self, resources: ConsoleResources, assets: Assets) -> None:
        self._authentication = resources.authentication
        self._view = view = resources.view
        self._clock = clock = resources.clock
        self._wall_clock = wall_clock = resources.wall_clock
        self._sessions = resources.sessions
        self._save_generation = resources.save_generation
        self._assets = assets
        self._wrong_tokens = WrongTokens(clock)
        self._failures = LogThrottle(clock)
        self._overview = Overview(view, wall_clock, clock.seconds)
        self._shared_cards = SharedCards(self._overview, clock)
        self._traffic = Traffic(view.directory, clock, wall_clock)
        self._tester = Tester(view)
        self._traffic.add_bot(self._tester.bot)
        self.streams = Streams(
            clock, {"links": self._links, "traffic": self._traffic_topic, "sandbox": self._sandbox_topic}
        )
        self._overview.streams = lambda: len(self.streams)
        #: Requests to sandboxes that are not answered yet, and by which session; some are streams.
        self._sandbox_requests: dict[Request, str | None] = {}
        #: By method and first segment; those that need no session.
        self._open: dict[tuple[str, str], _Handler] = {
            ("GET", "session"): self._session,
            ("POST", "login"): self._login,
        }
        self._routes: dict[tuple[str, str], _Handler] = {
            ("POST", "logout"): self._logout,
            ("GET", "state"): self._state,
            ("GET", "stream"): self._stream,
            ("POST", "stream"): self._subscribe,
            ("GET", "traffic"): self._row,
            ("GET", "actions"): self._actions,
            ("POST", "call"): self._call,
            ("POST", "rights"): self._rights,
            ("POST", "reload"): self._reload,
        }

    # -- who may ask

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> BodyBudget | None:
        """Return what the body of a request is counted in; None if it is not to be read."""
        if segments == ("login",):
            return ShortBodies()
        if self._visitor(request, query) is None or not self._authentication.has_room_for_operator(request):
            return None
        if segments[:1] == ("sandbox",) and len(segments) > 1:
            account = self._view.directory.accounts.get(account_number(segments[1]) or 0)
            return None if account is None else PeerBodies(account.budget, f"account {segments[1]}")
        return PeerBodies(self._authentication.budget, "the operator")

    def _visitor(self, request: Request, query: bytes) -> Visitor | None:
        """Return who sends a request, by the token or else the cookie that it shows; None for a stranger."""
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
                return Visitor(value, expires)
        return None

    def _refuse_foreign(self, request: Request, method: str) -> None:
        """Refuse a request with a cookie that a page of ours has not sent.

        :raises ApiProblem: if it may be another page's.
        """
        headers = headers_of(request)
        site = headers.get("sec-fetch-site")
        foreign = site is not None and site not in ("same-origin", "none")
        if method not in _READING and site != "same-origin":
            foreign = foreign or not self._is_own_origin(request, headers)
        if headers.get("origin") in self._authentication.settings.allowed_origins:
            foreign = False
        if foreign or (method not in _READING and CSRF_HEADER not in headers):
            sentence = (
                "this request comes from no page of this console; it needs the header X-Lgtwist-Console: 1 "
                "and an Origin that is equal to Host"
            )
            raise ApiProblem(403, "foreign_origin", _origin_and_host(headers), sentence)

    def _is_own_origin(self, request: Request, headers: dict[str, str]) -> bool:
        """Return whether the ``Origin`` of a request, if it has one, is the address that it was sent to."""
        origin = headers.get("origin")
        if origin is None:
            return True
        if origin in self._authentication.settings.allowed_origins:
            return True
        return is_origin_of(origin, headers.get("host", ""))

    # -- answering

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request.

        :param segments: those behind ``/console/api/``.
        """
        method = "GET" if request.method == b"HEAD" else request.method.decode("ascii", "replace")
        name = segments[0] if segments else ""
        try:
            self._answer(request, self._dispatch(request, method, name, segments[1:]))
        except ApiProblem as problem:
            self._answer_problem(request, problem)

    def _dispatch(self, request: Request, method: str, name: str, rest: tuple[str, ...]) -> Any:
        if rest and name not in _DEEPER:
            name = ""  # nothing is below the others
        handler = self._open.get((method, name))
        if handler is None:
            visitor = self._visitor(request, request.uri.partition(b"?")[2])
            if visitor is None:
                return self._refuse_unknown(request)
            if visitor.session is not None:
                self._refuse_foreign(request, method)
            if not self._authentication.own_by_operator(request):
                return None
            if name == "sandbox":
                return self._sandbox(request, rest, visitor)
            handler = self._routes.get((method, name))
        if handler is None:
            allowed = [known for known, route in (*self._open, *self._routes) if route == name]
            if not allowed:
                raise ApiProblem(404, "no_such_path", {}, "there is nothing here; see docs/console-api.md")
            request.responseHeaders.setRawHeaders("Allow", [", ".join(allowed)])
            sentence = f"only {' and '.join(allowed)} here"
            raise ApiProblem(405, "wrong_method", {"allowed": ", ".join(allowed)}, sentence)
        body = request.content.read() if request.content is not None else b""
        assert isinstance(body, bytes)
        body_was_read(request)
        return handler(request, rest, body)

    def _answer(self, request: Request, result: Any) -> None:
        if isinstance(result, Deferred):
            request.notifyFinish().addBoth(lambda _ended: result.cancel())
            result.addCallbacks(
                lambda value: self._answer(request, value), lambda failure: self._failed(request, failure)
            )
        elif isinstance(result, Coroutine):
            self._answer(request, Deferred.fromCoroutine(result))
        elif result is not None:
            body = result if isinstance(result, bytes) else msgspec.json.encode(result)
            respond_with_bytes(request, 200, "application/json", body + b"\n")

    def _failed(self, request: Request, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(ApiProblem):
            problem: Any = failure.value
        else:
            if self._failures.should_log():
                self._log.failure("a request to the console failed", failure)
            problem = ApiProblem(500, "internal", {}, "lgtwist failed; its log says why")
        self._answer_problem(request, problem)

    def _answer_problem(self, request: Request, problem: ApiProblem) -> None:
        respond_with_bytes(request, problem.status, "application/json", problem_json(problem) + b"\n")

    async def _refuse_unknown(self, request: Request) -> None:
        """Refuse a request without a token, a wrong one, or with a cookie that is over.

        :raises ApiProblem: always.
        """
        query = request.uri.partition(b"?")[2]
        if self._authentication.shows_admin_token(request, query) is None:
            request.responseHeaders.setRawHeaders("WWW-Authenticate", ['Bearer realm="lgtwist"'])
            raise ApiProblem(401, "not_logged_in", {}, "log in, or send Authorization: Bearer <admin_token>")
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
        visitor = self._visitor(request, request.uri.partition(b"?")[2])
        now = self._wall_clock()
        if visitor is not None and visitor.session is not None and is_old(visitor.expires, now):
            self._set_cookie(request)
        return {"in": visitor is not None, "version": __version__, "assets": self._assets.hash}

    def _set_cookie(self, request: Request) -> None:
        token = self._authentication.admin_token
        assert token is not None
        value = self._sessions.make(token, self._wall_clock())
        request.responseHeaders.addRawHeader("Set-Cookie", set_cookie(value, secure=_is_secure(request)))

    def _login(self, request: Request, _rest: tuple[str, ...], body: bytes) -> Any:
        headers = headers_of(request)
        site = headers.get("sec-fetch-site", "same-origin")
        if not self._is_own_origin(request, headers) or (
            site != "same-origin"
            and headers.get("origin") not in self._authentication.settings.allowed_origins
        ):
            values = _origin_and_host(headers)
            sentence = (
                f'a page of {values["origin"] or "another site"} may not log in to "{values["host"]}"; '
                "behind a proxy let it pass Host on, or name the origin in [server] allowed_origins"
            )
            raise ApiProblem(403, "foreign_origin", values, sentence)
        token = _read_json(body).get("token")
        if not isinstance(token, str):
            raise ApiProblem(400, "bad_request", {"reason": "token is missing"}, 'expected {"token": "..."}')
        if self._authentication.admin_token is None or not self._authentication.is_admin_token(token.strip()):
            return self._refuse_wrong_token(request)
        self._set_cookie(request)
        return {"in": True}

    def _logout(self, request: Request, _rest: tuple[str, ...], body: bytes) -> Any:
        visitor = self._visitor(request, request.uri.partition(b"?")[2])
        if body.strip() and _read_json(body).get("everywhere") is True:
            self._sessions.generation += 1
            self._save_generation(self._sessions.generation)
            self._end_all("logged_out")
        elif visitor is not None and visitor.session is not None:
            self._end_all("logged_out", visitor.session)
        request.responseHeaders.addRawHeader("Set-Cookie", set_cookie("", secure=_is_secure(request)))
        return {"in": False}

    # -- what there is to see

    def _state(self, _request: Request, _rest: tuple[str, ...], _body: bytes) -> Any:
        return self._overview.state()

    def _stream(self, request: Request, rest: tuple[str, ...], _body: bytes) -> None:
        if rest:
            raise ApiProblem(405, "wrong_method", {"allowed": "POST"}, "only POST here")
        wanted = _read_subscriptions_of_query(request)
        visitor = self._visitor(request, request.uri.partition(b"?")[2])
        if request.method == b"HEAD":
            raise ApiProblem(405, "wrong_method", {"allowed": "GET"}, "only GET here")
        hello = {"version": __version__, "assets": self._assets.hash, "started": self._view.started}
        for one in wanted:
            self._check(one)
        self.streams.open(request, hello, wanted, visitor.session if visitor else None)

    def _subscribe(self, _request: Request, rest: tuple[str, ...], body: bytes) -> Any:
        stream = self.streams.find(rest[0]) if len(rest) == 1 else None
        if stream is None:
            raise ApiProblem(404, "no_such_stream", {}, "there is no such stream (any more)")
        given = _read_json(body).get("subscriptions")
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise ApiProblem(
                400, "bad_request", {"reason": "subscriptions"}, "expected a list: subscriptions"
            )
        if len(given) > MAX_SUBSCRIPTIONS:
            sentence = f"more than {MAX_SUBSCRIPTIONS} subscriptions"
            raise ApiProblem(400, "bad_request", {"reason": sentence}, sentence)
        for one in given:
            self._check(one)
        self.streams.subscribe(stream, given)
        return {}

    def _check(self, wanted: dict[str, Any]) -> None:
        """Check a subscription.

        :raises ApiProblem: if it is wrong.
        """
        name, topic = wanted.get("id"), wanted.get("topic")
        reason = ""
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID:
            reason = f"id: expected up to {_LONGEST_ID} characters"
        elif topic not in _TOPICS:
            reason = f"topic: expected one of {', '.join(_TOPICS)}"
        elif topic == "traffic" and not isinstance(wanted.get("filter", {}), dict):
            reason = "filter: expected an object"
        elif topic == "sandbox" and not _is_number(wanted.get("account")):
            reason = "account: expected a number"
        elif topic == "sandbox" and not (wanted.get("after") is None or _is_number(wanted["after"])):
            reason = "after: expected a number"
        if reason:
            raise ApiProblem(400, "bad_request", {"reason": reason}, reason)
        if topic == "traffic":
            read_traffic_filter(wanted.get("filter", {}))
        if topic == "sandbox" and self._world_log(wanted["account"]) is None:
            values = {"account": wanted["account"]}
            raise ApiProblem(404, "no_sandbox", values, f"there is no sandbox account {wanted['account']}")

    def _links(self, stream: Any, wanted: dict[str, Any]) -> LinksTopic:
        return LinksTopic(
            stream,
            wanted["id"],
            shared=self._shared_cards,
            state=self._overview.state,
            wall_clock=self._wall_clock,
        )

    def _traffic_topic(self, stream: Any, wanted: dict[str, Any]) -> TrafficTopic:
        return TrafficTopic(stream, wanted["id"], self._traffic, wanted.get("filter", {}))

    def _world_log(self, account: int) -> Any:
        return world_log_of(self._view.account_edge(account))

    def _sandbox_topic(self, stream: Any, wanted: dict[str, Any]) -> SandboxTopic:
        account = wanted["account"]
        return SandboxTopic(
            stream,
            wanted["id"],
            account=account,
            world_log=lambda: self._world_log(account),
            after=wanted.get("after"),
            clock=self._clock,
        )

    def _row(self, _request: Request, rest: tuple[str, ...], _body: bytes) -> Any:
        number = account_number(rest[0]) if len(rest) == 1 else None
        found = None if number is None else self._traffic.find(number)
        if found is None:
            raise ApiProblem(
                404, "gone", {}, "this row is gone: the newest 500 are there while somebody looks"
            )
        return found

    # -- what is done

    def _actions(self, _request: Request, _rest: tuple[str, ...], _body: bytes) -> bytes:
        return catalogue_json(self._view.sandbox_actions())

    def _call(self, _request: Request, _rest: tuple[str, ...], body: bytes) -> Any:
        return self._tester.post_call(body)

    def _rights(self, _request: Request, rest: tuple[str, ...], body: bytes) -> Any:
        if rest != ("try",):
            raise ApiProblem(404, "no_such_path", {}, "there is nothing here; see docs/console-api.md")
        return self._tester.post_rights(body)

    def _reload(self, _request: Request, _rest: tuple[str, ...], _body: bytes) -> Any:
        done: Deferred[Any] = Deferred()
        # Whoever asks may go away; the reload goes on.
        self._view.reload().addCallback(lambda _none: None if done.called else done.callback({}))
        return done

    def _sandbox(self, request: Request, rest: tuple[str, ...], visitor: Visitor) -> None:
        self_id = account_number(rest[0]) if rest else None
        control = None if self_id is None else IControl(self._view.account_edge(self_id), None)
        account = None if self_id is None else self._view.directory.accounts.get(self_id)
        if control is None or account is None:
            values = {"account": rest[0][:20] if rest else ""}
            raise ApiProblem(404, "no_sandbox", values, "there is no such sandbox account")
        if len(rest) == 3 and rest[1] == "media" and request.method in (b"GET", b"HEAD"):
            control.serve_file(request, rest[2])
            return
        set_budget(request, account.budget)
        self._sandbox_requests[request] = visitor.session
        request.notifyFinish().addBoth(lambda _ended: self._sandbox_requests.pop(request, None))
        control.handle(request, rest[1:])

    # -- its end

    def token_changed(self) -> None:
        """End every stream: the admin token is another one."""
        self._end_all("token_changed")

    def stop(self) -> None:
        """End every stream: the service stops."""
        self.streams.end_all("stopping")

    def _end_all(self, code: str, session: str | None = None) -> None:
        """End the streams, those of sandboxes too.

        :param session: only those that are open by this cookie; None for all.
        """
        self.streams.end_all(code, session)
        for request, opened_by in tuple(self._sandbox_requests.items()):
            channel: Any = request.channel
            if session in (None, opened_by) and channel is not None:
                channel.abort()


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


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _read_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    :raises ApiProblem: if it is none.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ApiProblem(400, "bad_request", {"reason": str(error)[:200]}, "expected a JSON object") from None
    if not isinstance(value, dict):
        raise ApiProblem(400, "bad_request", {"reason": "no object"}, "expected a JSON object")
    return value


def _read_subscriptions_of_query(request: Request) -> list[dict[str, Any]]:
    """Return the subscriptions that a stream's query asks for; their ids are the topics.

    :raises ApiProblem: if it cannot be read.
    """

    def read(name: str) -> str | None:
        values = request.args.get(name.encode(), [])
        return values[-1].decode("utf-8", "replace") if values else None

    wanted: list[dict[str, Any]] = []
    for topic in dict.fromkeys(filter(None, (read("topics") or "").split(","))):
        name, _colon, account = topic.partition(":")
        one: dict[str, Any] = {"id": topic, "topic": name}
        if name == "sandbox":
            one["account"] = account_number(account)
            after = read("after") or request.getHeader("last-event-id")
            one["after"] = None if after is None else account_number(after)
        elif name == "traffic":
            one["filter"] = {key: value for key in _FILTER if (value := read(key))}
        wanted.append(one)
    if len(wanted) > MAX_SUBSCRIPTIONS:
        sentence = f"more than {MAX_SUBSCRIPTIONS} topics"
        raise ApiProblem(400, "bad_request", {"reason": sentence}, sentence)
    return wanted
