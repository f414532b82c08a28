"""Metrics of accounts, bots and at-least-once deliveries (docs/metrics.md), and why accounts are down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import InfoMetricFamily, Metric

from lgtwist.delivery.delivery import Delivery
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.interfaces import Figure, IDialler, IMeasured
from lgtwist.onebot.bounds import COUNTERS
from lgtwist.runtime.figures import Reading, counter, counters, gauges

# Each table: a metric's name, its help text, and how it is read.
_ACCOUNT_GAUGES: list[Reading] = [
    ("account_up", "1 while actions can be sent and events arrive", lambda a: a.is_up),
    (
        "account_online",
        "1 while it is up and its implementation says that it is logged in",
        lambda a: a.online,
    ),
    ("account_changed_timestamp_seconds", "When it came or went last", lambda a: a.since),
    (
        "account_last_event_timestamp_seconds",
        "When its newest event came; 0 before the first",
        lambda a: 0.0 if a.fan_out.last_event is None else a.fan_out.last_event[0],
    ),
    ("calls_in_flight", "Actions that wait for their answer", lambda a: a.calls_in_flight),
]
_ACCOUNT_COUNTERS: list[Reading] = [
    ("events", "Events that came and were handed to bots", lambda a: a.fan_out.events),
    (
        "stray_answers",
        "Answers that were late, came twice, or were never asked for",
        lambda a: a.counters.late_responses,
    ),
    ("garbage_frames", "Frames that were neither answer nor event", lambda a: a.counters.malformed_frames),
    ("links_opened", "Links to the implementation that were opened", lambda a: a.counters.links),
    ("link_takeovers", "Links that a newer one took over from", lambda a: a.counters.takeovers),
    (
        "accepted_calls_failed",
        "Calls that failed after they were answered async",
        lambda a: a.counters.detached_failures,
    ),
]
#: The label ``outcome`` of calls, and the counter of each.
_CALL_OUTCOMES: list[tuple[str, Callable[[Account], int]]] = [
    ("answered", lambda a: a.counters.answered),
    ("not_connected", lambda a: a.counters.not_connected),
    ("link_broken", lambda a: a.counters.broken),
    ("timeout", lambda a: a.counters.timeouts),
    ("asker_gone", lambda a: a.counters.abandoned),
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
        lambda b: b.counters.detached_failures,
    ),
    ("actions", "Actions that the bot asked for", lambda b: b.counters.actions),
]
#: The label ``retcode`` of refused actions, and the counter of each.
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
#: The label ``reason`` of skipped events, and the counter of each.
_SKIPPED: list[tuple[str, Callable[[Delivery], int]]] = [
    ("max_age", lambda d: d.counters.too_old),
    ("max_events", lambda d: d.counters.too_many),
    ("refused", lambda d: d.counters.refused),
    ("retention", lambda d: d.counters.expired),
    ("damaged", lambda d: d.counters.damaged),
    ("console", lambda d: d.counters.skipped_to_end),
]


def account_metrics(
    directory: Directory, edge_of: Callable[[int], object | None], figures: Iterable[Figure] = ()
) -> Iterator[Metric]:
    """Return the metrics of all accounts.

    :param edge_of: returns the edge of an account by its number; diallers are asked for their attempts.
    :param figures: those of edges whose families are there, without a sample, also if no edge has them.
    """
    accounts = [([str(self_id)], account) for self_id, account in directory.accounts.items()]
    yield from gauges(_ACCOUNT_GAUGES, ["account"], accounts)
    yield from counters(_ACCOUNT_COUNTERS, ["account"], accounts)
    calls = [
        ([*name, outcome], float(read(account)))
        for name, account in accounts
        for outcome, read in _CALL_OUTCOMES
    ]
    unconverted: list[tuple[list[str], float]] = [([], COUNTERS.unconverted)]
    yield counter("unconverted", "Events and answers that were too large to convert", [], unconverted)
    yield counter("calls", "Actions to accounts, by how they ended", ["account", "outcome"], calls)
    info = InfoMetricFamily("lgtwist_account", "What the implementation says it is", labels=["account"])
    for name, account in accounts:
        version = account.links.version
        names = {"app_name": version.app_name, "app_version": version.app_version}
        info.add_metric(name, {**names, "dialect": account.dialect.value})
    yield info
    attempts = [
        ([str(self_id)], float(dialler.attempts()))
        for self_id in directory.accounts
        if (dialler := IDialler(edge_of(self_id), None)) is not None
    ]
    yield counter("dial_attempts", "Attempts to connect to an account", ["account"], attempts)
    yield from _edge_figures(directory, edge_of, figures)


def _edge_figures(
    directory: Directory, edge_of: Callable[[int], object | None], figures: Iterable[Figure]
) -> Iterator[Metric]:
    """Return a counter family for each name of the figures that edges have of their own."""
    families: dict[str, list[tuple[str, Figure]]] = {}
    for self_id in directory.accounts:
        measured = IMeasured(edge_of(self_id), None)
        for figure in () if measured is None else measured.figures():
            families.setdefault(figure.name, []).append((str(self_id), figure))
    for figure in figures:
        if figure.name not in families:
            yield counter(figure.name, figure.help_text, ["account", *figure.labels], [])
    for name, found in families.items():
        first = found[0][1]
        samples = [([account, *figure.labels.values()], figure.value) for account, figure in found]
        yield counter(name, first.help_text, ["account", *first.labels], samples)


def bot_metrics(directory: Directory, edge_of: Callable[[str], object | None]) -> Iterator[Metric]:
    """Return the metrics of all bots.

    :param edge_of: returns the edge of a bot by its name; diallers are asked for their attempts.
    """
    bots = [([bot.name], bot) for bot in directory.bots.values()]
    yield from gauges(_BOT_GAUGES, ["bot"], bots)
    yield from counters(_BOT_COUNTERS, ["bot"], bots)
    refused = [([*name, retcode], float(read(bot))) for name, bot in bots for retcode, read in _BOT_REFUSALS]
    yield counter("refused_actions", "Actions that lgtwist refused", ["bot", "retcode"], refused)
    attempts = [
        (name, float(dialler.attempts()))
        for name, bot in bots
        if (dialler := IDialler(edge_of(bot.name), None)) is not None
    ]
    yield counter("bot_dial_attempts", "Attempts to connect to a bot", ["bot"], attempts)


def delivery_metrics(directory: Directory) -> Iterator[Metric]:
    """Return the metrics of all at-least-once deliveries."""
    labels = ["bot", "account"]
    deliveries = [
        ([delivery.bot, str(delivery.account)], delivery)
        for bot in directory.bots.values()
        for delivery in bot.deliveries.values()
    ]
    yield from gauges(_DELIVERY_GAUGES, labels, deliveries)
    yield from counters(_DELIVERY_COUNTERS, labels, deliveries)
    skipped = [
        ([*values, reason], float(read(delivery)))
        for values, delivery in deliveries
        for reason, read in _SKIPPED
    ]
    text = "Events that the bot did not get, by why"
    yield counter("skipped_events", text, [*labels, "reason"], skipped)


def accounts_down(directory: Directory) -> list[str]:
    """Return a sentence for each account that is down."""
    return [
        f"account {account.self_id} is down: {account.reason}"
        for account in directory.accounts.values()
        if not account.is_up
    ]
