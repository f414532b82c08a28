"""The streams of the console over HTTP: what each carries is chosen by subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from lgtwist import __version__
from lgtwist.console.access import Access
from lgtwist.console.alerts import AlertRoutes, AlertsTopic
from lgtwist.console.interfaces import ServiceView
from lgtwist.console.log_lines import LogRoutes, LogTopic, read_line_filter
from lgtwist.console.overview import Overview
from lgtwist.console.problems import ApiProblem, read_object
from lgtwist.console.routing import RouteHandler
from lgtwist.console.streams import MAX_SUBSCRIPTIONS, Streams
from lgtwist.console.topics import (
    LinksTopic,
    SandboxTopic,
    SharedCards,
    TrafficTopic,
    read_traffic_filter,
    world_log_of,
)
from lgtwist.console.traffic import Traffic
from lgtwist.web.routes import account_number

_TOPICS = ("links", "traffic", "sandbox", "log", "alerts")
#: Parameters of a stream's query that are the filter of live traffic, and of the log.
_FILTER = ("account", "bot", "kind", "group", "user", "text")
_LINE_FILTER = ("level", "text")
#: Bytes of the body with the subscriptions of a stream, which are held as long as it is open.
_MOST_SUBSCRIPTION_BYTES = 128 << 10
#: Characters of a subscription's id.
_LONGEST_ID = 64


class Subscriptions:
    """Opens streams, and changes what they carry.

    :param view: the running service.
    :param access: tells by which session a stream is opened.
    :param overview: what there is to see of accounts and bots.
    :param traffic: the live traffic.
    :param log: the newest lines of the log.
    :param alerts: what ``[[alerts]]`` watch and send.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param assets: the hash of the pages' files.
    :ivar streams: those that are open.
    """

    def __init__(
        self,
        *,
        view: ServiceView,
        access: Access,
        overview: Overview,
        traffic: Traffic,
        log: LogRoutes,
        alerts: AlertRoutes,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        assets: str,
    ) -> None:
        self._view = view
        self._access = access
        self._overview = overview
        self._traffic = traffic
        self._log = log
        self._alerts = alerts
        self._clock = clock
        self._wall_clock = wall_clock
        self._assets = assets
        self._shared_cards = SharedCards(overview, clock)
        self.streams = Streams(
            clock,
            {
                "links": self._links,
                "traffic": self._traffic_topic,
                "sandbox": self._sandbox_topic,
                "log": self._log_topic,
                "alerts": self._alerts_topic,
            },
        )

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers."""
        return {("GET", "stream"): self._stream, ("POST", "stream"): self._subscribe}

    def _stream(self, request: Request, rest: tuple[str, ...], _body: bytes) -> None:
        if rest:
            raise ApiProblem(405, "wrong_method", {"allowed": "POST"}, "only POST here")
        wanted = _read_subscriptions_of_query(request)
        visitor = self._access.visitor(request)
        if request.method == b"HEAD":
            raise ApiProblem(405, "wrong_method", {"allowed": "GET"}, "only GET here")
        hello = {"version": __version__, "assets": self._assets, "started": self._view.started}
        for one in wanted:
            self._check(one)
        self.streams.open(request, hello, wanted, visitor.session if visitor else None)

    def _subscribe(self, _request: Request, rest: tuple[str, ...], body: bytes) -> Any:
        stream = self.streams.find(rest[0]) if len(rest) == 1 else None
        if stream is None:
            raise ApiProblem(404, "no_such_stream", {}, "there is no such stream (any more)")
        given = read_object(body, _MOST_SUBSCRIPTION_BYTES).get("subscriptions")
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
        elif topic in ("traffic", "log") and not isinstance(wanted.get("filter", {}), dict):
            reason = "filter: expected an object"
        elif topic == "sandbox" and not _is_number(wanted.get("account")):
            reason = "account: expected a number"
        elif topic in ("sandbox", "log") and not (wanted.get("after") is None or _is_number(wanted["after"])):
            reason = "after: expected a number"
        if reason:
            raise ApiProblem(400, "bad_request", {"reason": reason}, reason)
        if topic == "traffic":
            read_traffic_filter(wanted.get("filter", {}))
        if topic == "log":
            read_line_filter(wanted.get("filter", {}))
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

    def _log_topic(self, stream: Any, wanted: dict[str, Any]) -> LogTopic:
        given, after = wanted.get("filter", {}), wanted.get("after")
        return LogTopic(stream, wanted["id"], log=self._log, given=given, after=after)

    def _alerts_topic(self, stream: Any, wanted: dict[str, Any]) -> AlertsTopic:
        return AlertsTopic(stream, wanted["id"], self._alerts)

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


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


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
        elif name == "log":
            one["filter"] = {key: value for key in _LINE_FILTER if (value := read(key))}
            after = read("after")
            one["after"] = None if after is None else account_number(after)
        wanted.append(one)
    if len(wanted) > MAX_SUBSCRIPTIONS:
        sentence = f"more than {MAX_SUBSCRIPTIONS} topics"
        raise ApiProblem(400, "bad_request", {"reason": sentence}, sentence)
    return wanted
