"""The interface ``/console/api/`` (docs/console-api.md): its routes, and how they are answered."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request

from lgtwist.console.access import Access, ShortBodies, Visitor
from lgtwist.console.alerts import AlertRoutes
from lgtwist.console.assets import Assets
from lgtwist.console.backlog import BacklogRoutes
from lgtwist.console.backup import BackupRoutes
from lgtwist.console.configuration import ConfigurationRoutes
from lgtwist.console.event_filters import FilterRoutes
from lgtwist.console.interfaces import ServiceView
from lgtwist.console.log_lines import LogLines, LogRoutes
from lgtwist.console.overview import Overview
from lgtwist.console.permissions import PermissionRoutes
from lgtwist.console.problems import ApiProblem, nothing_here, problem_json
from lgtwist.console.routing import RouteHandler
from lgtwist.console.sessions import Sessions
from lgtwist.console.subscriptions import Subscriptions
from lgtwist.console.tester import Tester
from lgtwist.console.traffic import Traffic
from lgtwist.hub.interfaces import IControl
from lgtwist.net.http_responses import body_was_read, respond_with_bytes
from lgtwist.onebot.catalogue import catalogue_json
from lgtwist.runtime.logs import Logger, LogThrottle
from lgtwist.web.authentication import Authentication, set_budget
from lgtwist.web.bodies import BodyBudget, PeerBodies
from lgtwist.web.routes import account_number

#: The first segments of paths that have more of them.
_DEEPER = ("sandbox", "stream", "traffic", "rights", "backlog", "refused", "config", "log", "alerts")


@define(kw_only=True)
class ConsoleResources:
    """What the interface is made with.

    :ivar authentication: of the operator.
    :ivar view: the running service.
    :ivar clock: the reactor, or a clock in its place.
    :ivar wall_clock: seconds since the epoch.
    :ivar sessions: of those who logged in.
    :ivar save_generation: keeps the generation of the sessions over a restart.
    :ivar log_lines: the newest lines of the log.
    """

    authentication: Authentication
    view: ServiceView
    clock: IReactorTime
    wall_clock: Callable[[], float]
    sessions: Sessions
    save_generation: Callable[[int], None]
    log_lines: LogLines = Factory(LogLines)


class ConsoleApi:
    """Answers the requests below ``/console/api/``.

    :param resources: what it is made with.
    :param assets: the files of the pages.
    """

    _log = Logger()

    def __init__(self, resources: ConsoleResources, assets: Assets) -> None:
        self._authentication = resources.authentication
        self._view = view = resources.view
        clock, wall_clock = resources.clock, resources.wall_clock
        self._failures = LogThrottle(clock)
        self._overview = Overview(view, wall_clock, clock.seconds)
        self._traffic = Traffic(view.directory, clock, wall_clock)
        self._tester = Tester(view)
        self._traffic.add_bot(self._tester.bot)
        self._access = access = Access(
            authentication=resources.authentication,
            sessions=resources.sessions,
            save_generation=resources.save_generation,
            clock=clock,
            wall_clock=wall_clock,
            assets=assets.hash,
            logged_out=lambda session: self._end_all("logged_out", session),
        )
        log = LogRoutes(resources.log_lines, view.secrets, clock, wall_clock)
        alerts = AlertRoutes(view, clock)
        subscriptions = Subscriptions(
            view=view,
            access=access,
            overview=self._overview,
            traffic=self._traffic,
            log=log,
            alerts=alerts,
            clock=clock,
            wall_clock=wall_clock,
            assets=assets.hash,
        )
        self._streams = streams = subscriptions.streams
        self._overview.streams = lambda: len(streams)
        self._sandbox_requests: dict[Request, str | None] = {}  # and the sessions that they are open by
        #: By method and first segment; those that need no session.
        self._open = {**access.open_routes()}
        self._filters = FilterRoutes(view, clock)
        self._routes: dict[tuple[str, str], RouteHandler] = {
            **access.routes(),
            **subscriptions.routes(),
            **PermissionRoutes(view, clock.seconds).routes(),
            **BacklogRoutes(view, wall_clock).routes(),
            **log.routes(),
            **alerts.routes(),
            **BackupRoutes(view, access, clock).routes(),
            ("GET", "state"): self._state,
            ("GET", "traffic"): self._row,
            ("GET", "actions"): self._actions,
            ("POST", "call"): self._call,
            ("POST", "rights"): self._rights,
            **ConfigurationRoutes(view, access).routes(),
            **self._filters.routes(),
        }

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> BodyBudget | None:
        """Return what the body of a request is counted in; None if it is not to be read."""
        if segments == ("login",):
            return ShortBodies()
        if self._access.visitor(request, query) is None:
            return None
        if not self._authentication.has_room_for_operator(request):
            return None
        if segments[:1] == ("sandbox",) and len(segments) > 1:
            account = self._view.directory.accounts.get(account_number(segments[1]) or 0)
            return None if account is None else PeerBodies(account.budget, f"account {segments[1]}")
        return PeerBodies(self._authentication.budget, "the operator")

    # -- answering

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request.

        :param segments: those behind ``/console/api/``.
        """
        method = "GET" if request.method == b"HEAD" else request.method.decode("ascii", "replace")
        name = segments[0] if segments else ""
        try:
            self._answer(request, self._dispatch(request, method, name, segments[1:]))
        except Exception:
            self._failed(request, Failure())

    def _dispatch(self, request: Request, method: str, name: str, rest: tuple[str, ...]) -> Any:
        if rest and name not in _DEEPER:
            name = ""  # nothing is below the others
        handler = self._open.get((method, name))
        if handler is None:
            visitor = self._access.visitor(request)
            if visitor is None:
                return self._access.refuse_unknown(request)
            if visitor.session is not None:
                self._access.refuse_foreign(request, method)
            if not self._authentication.own_by_operator(request):
                return None
            if name == "sandbox":
                return self._sandbox(request, rest, visitor)
            handler = self._routes.get((method, name))
        if handler is None:
            allowed = [known for known, route in (*self._open, *self._routes) if route == name]
            if not allowed:
                raise nothing_here()
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
            result.addCallback(lambda value: self._answer(request, value))
            result.addErrback(lambda failure: self._failed(request, failure))
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

    # -- what is asked

    def _state(self, _request: Request, _rest: tuple[str, ...], _body: bytes) -> Any:
        return self._overview.state()

    def _row(self, _request: Request, rest: tuple[str, ...], _body: bytes) -> Any:
        number = account_number(rest[0]) if len(rest) == 1 else None
        found = None if number is None else self._traffic.find(number)
        if found is None:
            raise ApiProblem(
                404, "gone", {}, "this row is gone: the newest 500 are there while somebody looks"
            )
        return found

    def _actions(self, _request: Request, _rest: tuple[str, ...], _body: bytes) -> bytes:
        return catalogue_json(self._view.sandbox_actions())

    def _call(self, _request: Request, _rest: tuple[str, ...], body: bytes) -> Any:
        return self._tester.post_call(body)

    def _rights(self, _request: Request, rest: tuple[str, ...], body: bytes) -> Any:
        if rest != ("try",):
            raise nothing_here()
        return self._tester.post_rights(body)

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
        """End every stream, and look at no more events: the service stops."""
        self._streams.end_all("stopping")
        self._filters.seen.stop()

    def _end_all(self, code: str, session: str | None = None) -> None:
        """End the streams, those of sandboxes too.

        :param session: only those that are open by this cookie; None for all.
        """
        self._streams.end_all(code, session)
        for request, opened_by in tuple(self._sandbox_requests.items()):
            channel: Any = request.channel
            if session in (None, opened_by) and channel is not None:
                channel.abort()
