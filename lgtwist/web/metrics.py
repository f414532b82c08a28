"""Metrics in Prometheus' text format: read from plain counters when somebody asks, never kept twice.

Names follow Prometheus' conventions; every series is there from zero. See docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.internet.interfaces import IReactorTime

from lgtwist.delivery.delivery import Delivery
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Hub
from lgtwist.web.connection_limits import Gate
from lgtwist.websocket.factory import ConnectionFactory

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: A metric for each account or bot: its name, what it is, and how it is read.
Reading = tuple[str, str, Callable[[Any], float]]

_ACCOUNT_GAUGES: list[Reading] = [
    ("account_up", "1 while actions can be sent and events arrive", lambda a: a.is_up),
    (
        "account_online",
        "1 while it is up and its implementation says that it is logged in",
        lambda a: a.online,
    ),
    ("account_changed_timestamp_seconds", "When it came or went last", lambda a: a.since),
    ("calls_in_flight", "Actions that wait for their answer", lambda a: a.calls_in_flight),
]
_ACCOUNT_COUNTERS: list[Reading] = [
    ("events", "Events that came and were handed to bots", lambda a: a.counters.events),
    (
        "stray_answers",
        "Answers that were late, came twice, or were never asked for",
        lambda a: a.counters.strays,
    ),
    ("garbage_frames", "Frames that were neither answer nor event", lambda a: a.counters.garbage),
    ("links_opened", "Links to the implementation that were opened", lambda a: a.counters.links),
    ("link_takeovers", "Links that a newer one took over from", lambda a: a.counters.takeovers),
    (
        "accepted_calls_failed",
        "Calls that failed after they were answered async",
        lambda a: a.counters.unwitnessed,
    ),
]
_CALL_OUTCOMES: list[tuple[str, Callable[[Account], int]]] = [
    ("answered", lambda a: a.counters.answered),
    ("not_connected", lambda a: a.counters.not_connected),
    ("link_broken", lambda a: a.counters.broken),
    ("timeout", lambda a: a.counters.timeouts),
    ("asker_gone", lambda a: a.counters.forgotten),
]
_BOT_GAUGES: list[Reading] = [
    ("bot_connections", "Connections of the bot", lambda b: b.counters.connections),
]
_BOT_COUNTERS: list[Reading] = [
    ("deliveries", "Events that were handed to the bot's connections", lambda b: b.counters.deliveries),
    (
        "dropped_events",
        "Events that were dropped, for the bot read too slowly",
        lambda b: b.counters.dropped_events,
    ),
    ("failed_posts", "HTTP POSTs that were not answered with 2xx", lambda b: b.counters.posts_failed),
    (
        "accepted_bot_calls_failed",
        "Calls that failed after they were answered async",
        lambda b: b.counters.unwitnessed,
    ),
    ("actions", "Actions that the bot asked for", lambda b: b.counters.actions),
]
_BOT_REFUSALS: list[tuple[str, Callable[[Bot], int]]] = [
    ("1400", lambda b: b.counters.bad_requests),
    ("1403", lambda b: b.counters.forbidden),
    ("1429", lambda b: b.counters.refused),
]
_DELIVERY_GAUGES: list[Reading] = [
    ("bot_backlog_events", "Events of the account that the bot has not confirmed", lambda d: d.backlog),
    ("bot_unconfirmed_events", "Of these, sent to its connection", lambda d: d.unconfirmed),
    (
        "bot_cursor_age_seconds",
        "Age of the newest event that the bot has confirmed, while others wait",
        lambda d: d.cursor_age,
    ),
    ("bot_silent", "1 while a connected bot confirms nothing for ping_timeout", lambda d: d.silent),
]
_DELIVERY_COUNTERS: list[Reading] = [
    ("certain_deliveries", "Events sent, repetitions among them", lambda d: d.counters.sent),
    ("confirmed_events", "Events that the bot confirmed", lambda d: d.counters.confirmed),
]
_SKIPPED: list[tuple[str, Callable[[Delivery], int]]] = [
    ("max_age", lambda d: d.counters.too_old),
    ("max_events", lambda d: d.counters.too_many),
    ("refused", lambda d: d.counters.refused),
    ("retention", lambda d: d.counters.expired),
    ("damaged", lambda d: d.counters.damaged),
]
_JOURNAL_GAUGES: list[Reading] = [
    ("journal_up", "1 while the journal can be written", lambda j: not j.trouble),
    ("journal_size_bytes", "What is used of its file", lambda j: j.used),
    ("journal_waiting_bytes", "Events that wait to be written", lambda j: j.waiting),
    (
        "journal_slowest_commit_seconds",
        "The slowest commit since the start",
        lambda j: j.counters.slowest_commit,
    ),
]
_JOURNAL_COUNTERS: list[Reading] = [
    ("journal_commits", "Group commits", lambda j: j.counters.commits),
    ("journal_commit_seconds", "Time that they took, together", lambda j: j.counters.commit_seconds),
    ("journal_events", "Events that were written", lambda j: j.counters.events),
    ("journal_failures", "Writes that failed, and were tried again", lambda j: j.counters.failures),
    ("journal_trimmed_events", "Events that retention took", lambda j: j.counters.expired),
]
_WIRE_COUNTERS: list[Reading] = [
    ("connections_opened", "WebSockets that were opened", lambda f: f.counters.opened),
    ("connections_closed", "Opened WebSockets that are over", lambda f: f.counters.closed),
    ("dead_peers", "Peers that were dropped for their silence", lambda f: f.counters.dead_peers),
    ("close_timeouts", "Peers that did not answer our close frame", lambda f: f.counters.close_timeouts),
    ("protocol_errors", "Peers that broke the WebSocket protocol", lambda f: f.counters.protocol_errors),
    ("send_failures", "Connections dropped for a failed send", lambda f: f.counters.send_failures),
    (
        "callback_failures",
        "Connections dropped for a fault of lgtwist",
        lambda f: f.counters.callback_failures,
    ),
]
_GATE_COUNTERS: list[Reading] = [
    ("port_accepted", "Connections that were accepted", lambda g: g.counters.accepted),
    ("port_turned_away", "Connections over limits.connections", lambda g: g.counters.turned_away),
    ("port_displaced", "Unfinished handshakes over limits.handshakes", lambda g: g.counters.displaced),
    ("port_handshake_timeouts", "Handshakes that took too long", lambda g: g.counters.handshake_timeouts),
    ("port_refused", "Requests refused for their token or signature", lambda g: g.counters.refused),
    ("port_limited", "Of these, told to wait", lambda g: g.counters.limited),
]


class Lag:
    """How late the reactor is: the worst of the last while.

    :param interval: seconds between two looks, which somebody else times.
    :param memory: looks after which a lateness is forgotten, at the latest twice as many.
    """

    def __init__(self, clock: IReactorTime, interval: float = 0.25, memory: int = 60) -> None:
        self.interval = interval
        self._clock = clock
        self._memory = memory
        self._before = clock.seconds()
        self._worst = self._worst_before = 0.0
        self._looks = 0

    def look(self) -> None:
        """To be called each ``interval``."""
        now = self._clock.seconds()
        self._worst = max(self._worst, now - self._before - self.interval)
        self._before = now
        self._looks += 1
        if self._looks >= self._memory:
            self._worst_before, self._worst, self._looks = self._worst, 0.0, 0

    @property
    def worst(self) -> float:
        """Seconds."""
        return max(self._worst, self._worst_before)


@frozen
class Sources:
    """Where the metrics are read.

    :ivar factories: by direction: who dialled.
    :ivar attempts: of each account that is dialled, how often it was.
    :ivar bot_attempts: the same of each bot.
    :ivar journal: None if no bot asked for certain delivery.
    """

    version: str
    hub: Hub
    factories: Mapping[str, ConnectionFactory]
    gate: Gate
    lag: Lag
    attempts: Mapping[int, Callable[[], int]] = field(factory=dict)
    bot_attempts: Mapping[str, Callable[[], int]] = field(factory=dict)
    journal: Any = None


class Metrics(Collector):
    """All metrics, as they are when they are asked for."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> tuple[str, bytes]:
        """Content type and text."""
        return CONTENT_TYPE, generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: registering must not read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read everything."""
        yield InfoMetricFamily("lgtwist_build", "This service", {"version": self._sources.version})
        yield from self._accounts()
        yield from self._bots()
        yield from self._deliveries()
        yield from self._wire()
        lag = GaugeMetricFamily(
            "lgtwist_reactor_lag_seconds", "Worst lateness of a timer in the last 15 to 30 s"
        )
        lag.add_metric([], self._sources.lag.worst)
        yield lag

    def _accounts(self) -> Iterator[Metric]:
        accounts = [([str(self_id)], account) for self_id, account in self._sources.hub.accounts.items()]
        yield from _each(GaugeMetricFamily, _ACCOUNT_GAUGES, ["account"], accounts)
        yield from _each(CounterMetricFamily, _ACCOUNT_COUNTERS, ["account"], accounts)
        calls = CounterMetricFamily(
            "lgtwist_calls", "Actions to accounts, by how they ended", labels=["account", "outcome"]
        )
        info = InfoMetricFamily("lgtwist_account", "What the implementation says it is", labels=["account"])
        for name, account in accounts:
            for outcome, read in _CALL_OUTCOMES:
                calls.add_metric([*name, outcome], read(account))
            version = account.version
            said = {"app_name": version.app_name, "app_version": version.app_version}
            info.add_metric(name, {**said, "dialect": account.dialect.value})
        yield calls
        yield info
        attempts = CounterMetricFamily(
            "lgtwist_dial_attempts", "Attempts to connect to an account", labels=["account"]
        )
        for self_id, tried in self._sources.attempts.items():
            attempts.add_metric([str(self_id)], tried())
        yield attempts

    def _bots(self) -> Iterator[Metric]:
        bots = [([bot.name], bot) for bot in self._sources.hub.bots]
        yield from _each(GaugeMetricFamily, _BOT_GAUGES, ["bot"], bots)
        yield from _each(CounterMetricFamily, _BOT_COUNTERS, ["bot"], bots)
        refused = CounterMetricFamily(
            "lgtwist_refused_actions", "Actions that lgtwist refused", labels=["bot", "retcode"]
        )
        for name, bot in bots:
            for retcode, read in _BOT_REFUSALS:
                refused.add_metric([*name, retcode], read(bot))
        yield refused
        attempts = CounterMetricFamily(
            "lgtwist_bot_dial_attempts", "Attempts to connect to a bot", labels=["bot"]
        )
        for bot_name, tried in self._sources.bot_attempts.items():
            attempts.add_metric([bot_name], tried())
        yield attempts

    def _deliveries(self) -> Iterator[Metric]:
        deliveries = [d for bot in self._sources.hub.bots for d in bot.deliveries.values()]
        labels = ["bot", "account"]
        named = [([d.bot, str(d.account)], d) for d in deliveries]
        yield from _each(GaugeMetricFamily, _DELIVERY_GAUGES, labels, named)
        yield from _each(CounterMetricFamily, _DELIVERY_COUNTERS, labels, named)
        skipped = CounterMetricFamily(
            "lgtwist_skipped_events", "Events that the bot did not get, by why", labels=[*labels, "reason"]
        )
        for values, delivery in named:
            for reason, count in _SKIPPED:
                skipped.add_metric([*values, reason], count(delivery))
        yield skipped
        journal = self._sources.journal
        if journal is None:
            return
        yield from _each(GaugeMetricFamily, _JOURNAL_GAUGES, [], [([], journal)])
        yield from _each(CounterMetricFamily, _JOURNAL_COUNTERS, [], [([], journal)])
        lost = CounterMetricFamily(
            "lgtwist_journal_lost_events", "Events that the journal could not take", labels=["account"]
        )
        for self_id in self._sources.hub.accounts:
            lost.add_metric([str(self_id)], journal.lost.get(self_id, 0))
        yield lost

    def _wire(self) -> Iterator[Metric]:
        factories = [([direction], factory) for direction, factory in self._sources.factories.items()]
        now: list[Reading] = [("connections", "WebSockets that are open", lambda f: len(f.connections))]
        yield from _each(GaugeMetricFamily, now, ["direction"], factories)
        yield from _each(CounterMetricFamily, _WIRE_COUNTERS, ["direction"], factories)
        gate = self._sources.gate
        inside = GaugeMetricFamily("lgtwist_port_connections", "Connections to the listening ports")
        inside.add_metric([], gate.inside)
        yield inside
        yield from _each(CounterMetricFamily, _GATE_COUNTERS, [], [([], gate)])


def _each(
    kind: Any, readings: list[Reading], labels: list[str], things: list[tuple[list[str], Any]]
) -> Iterator[Metric]:
    """A family for each reading, with a sample for each thing behind its labels."""
    for name, help_text, read in readings:
        family = kind(f"lgtwist_{name}", help_text, labels=labels)
        for values, thing in things:
            family.add_metric(values, float(read(thing)))
        yield family
