"""What ``[[alerts]]`` watch and send: shown without secrets, and tried."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from lgtwist.alerts.alert import Rule
from lgtwist.alerts.receiver import DeliveryRecord
from lgtwist.alerts.service import AlertEntry
from lgtwist.alerts.settings import AlertSettings
from lgtwist.console.interfaces import ServiceView
from lgtwist.console.problems import ApiProblem, bad_request, nothing_here, read_object
from lgtwist.console.reasons import explain
from lgtwist.console.routing import RouteHandler
from lgtwist.console.streams import TICKS_PER_SECOND, Stream
from lgtwist.runtime.logs import Logger, printable
from lgtwist.runtime.tasks import shielded

#: Tests of one entry within so many seconds; receivers close robots that send more than 20 in a minute.
_MOST_TESTS, _TEST_SECONDS = 6, 60.0
#: Characters of a text, and of a name or an answer, that are shown.
_MAX_ALERT_TEXT, _MAX_ALERT_WORDS = 4000, 200
#: Accounts or bots of an entry, alerts, and deliveries that are shown.
_MAX_ALERT_VALUES, _MAX_ALARMS, _MAX_DELIVERIES = 100, 200, 100

_encode_alerts = msgspec.json.encode


class AlertRoutes:
    """Answers ``GET alerts`` and ``POST alerts/test``.

    :param view: the running service.
    :param clock: the reactor, or a clock in its place.
    """

    _log = Logger()

    def __init__(self, view: ServiceView, clock: IReactorTime) -> None:
        self._view = view
        self._clock = clock
        self._running: set[int] = set()
        self._times: dict[int, deque[float]] = {}

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers by method and first segment."""
        return {("GET", "alerts"): self._get, ("POST", "alerts"): self._post}

    def state(self) -> dict[str, Any]:
        """Return what is configured, what is alarming now, and the last deliveries, the newest first."""
        alerting = self._view.alerts()
        entries = alerting.entries()
        return {
            "entries": [_entry_json(index, one) for index, one in enumerate(entries)],
            "alarming": _alarms_json(entries),
            "deliveries": [_delivery_json(one) for one in alerting.deliveries()[:_MAX_DELIVERIES]],
        }

    def _get(self, _request: Request, rest: tuple[str, ...], _body: bytes) -> Any:
        if rest:
            raise nothing_here()
        return self.state()

    async def _post(self, _request: Request, rest: tuple[str, ...], body: bytes) -> Any:
        if rest != ("test",):
            raise nothing_here()
        index = read_object(body).get("index")
        if type(index) is not int:
            raise bad_request("index: expected the number of an entry, from 0 on")
        alerting = self._view.alerts()
        entries = alerting.entries()
        if not 0 <= index < len(entries):
            sentence = f"there is no alerts[{index}]; {len(entries)} are configured"
            raise ApiProblem(404, "no_such_alert", {"index": index, "entries": len(entries)}, sentence)
        self._count_test(index)
        self._running.add(index)
        try:
            # One whose page was closed goes on: it is on its way, and the list shows the outcome.
            test = alerting.send_test(index)
        except BaseException:
            self._running.discard(index)
            raise
        test.addBoth(self._test_ended, index)
        self._log.info("console: a test was sent to alerts[{index}]", index=index)
        try:
            return _delivery_json(await shielded(test))
        except CancelledError:
            sentence = f"alerts[{index}] was changed or removed meanwhile"
            raise ApiProblem(409, "test_cancelled", {"index": index}, sentence) from None

    def _test_ended(self, result: Any, index: int) -> Any:
        self._running.discard(index)
        return result

    def _count_test(self, index: int) -> None:
        """Count a test of an entry.

        :raises ApiProblem: if one is under way, or there were too many lately.
        """
        if index in self._running:
            sentence = f"a test of alerts[{index}] is under way"
            raise ApiProblem(409, "test_running", {"index": index}, sentence)
        now = self._clock.seconds()
        times = self._times.setdefault(index, deque())
        while times and times[0] <= now - _TEST_SECONDS:
            times.popleft()
        if len(times) >= _MOST_TESTS:
            wait = max(1, round(times[0] + _TEST_SECONDS - now))
            sentence = f"{_MOST_TESTS} tests of alerts[{index}] in a minute are enough; wait {wait} s"
            raise ApiProblem(429, "too_many_tests", {"most": _MOST_TESTS, "seconds": wait}, sentence)
        times.append(now)


class AlertsTopic:
    """All that ``GET alerts`` answers: at first, and again when it has changed, once in a second.

    :param stream: it is written to this one.
    :param to: the subscription's id.
    :param alerts: knows it.
    """

    def __init__(self, stream: Stream, to: str, alerts: AlertRoutes) -> None:
        self._stream = stream
        self._to = to
        self._alerts = alerts
        self._ticks = 0
        self._written = b""
        if not stream.is_paused:  # else with the first tick after that
            self._write_changed()

    def _write_changed(self) -> None:
        data = _encode_alerts({"to": self._to, **self._alerts.state()})
        if data != self._written:
            self._written = data
            self._stream.write("alerts", data)

    def tick(self) -> None:
        """Write it if it has changed, once in a second."""
        self._ticks += 1
        if self._ticks % TICKS_PER_SECOND == 0:
            self._write_changed()

    def close(self) -> None:
        """Do nothing: there is no subscription elsewhere."""


def receiver_host(settings: AlertSettings) -> str:
    """Return the host, and the port where it is named, of who gets an entry's messages.

    All else of a URL may be a secret. It is empty where there is none.
    """
    if settings.mail is not None:
        return printable(settings.mail.server[:_MAX_ALERT_WORDS])
    try:
        parts = urlsplit(settings.url)
        port = parts.port
    except ValueError:
        return ""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return printable((f"{host}:{port}" if host and port is not None else host)[:_MAX_ALERT_WORDS])


def _entry_json(index: int, entry: AlertEntry) -> dict[str, Any]:
    settings = entry.settings
    accounts, bots = settings.accounts, settings.bots
    return {
        "index": index,
        "kind": settings.kind.value,
        "host": receiver_host(settings),
        "accounts": None if accounts is None else list(accounts[:_MAX_ALERT_VALUES]),
        "bots": None if bots is None else [_shown_words(one) for one in bots[:_MAX_ALERT_VALUES]],
        "on": [rule.value for rule in Rule if rule in settings.on],
        "after": settings.after,
        "backlog": settings.backlog,
        "language": settings.language,
        "waiting": entry.waiting,
    }


def _alarms_json(entries: Sequence[AlertEntry]) -> list[dict[str, Any]]:
    """Return what is wrong now and was told, once each, with the numbers of the entries that told it."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        for alert in entry.alarms:
            values = {key: _value_json(one) for key, one in alert.values.items()}
            key = (alert.rule, alert.subject, values.get("account"), values.get("cause"))
            known = found.get(key)
            if known is not None:
                known["entries"].append(index)
                known["since"] = min(known["since"], alert.since)
                continue
            found[key] = {
                "entries": [index],
                "rule": alert.rule.value,
                "subject": _shown_words(alert.subject),
                "since": alert.since,
                "reason": explain(_shown_words(alert.reason)) if alert.reason else None,
                "values": values,
            }
    return sorted(found.values(), key=lambda one: one["since"], reverse=True)[:_MAX_ALARMS]


def _value_json(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_shown_words(str(one)) for one in value[:_MAX_ALERT_VALUES]]
    return value if value is None or isinstance(value, (int, float)) else _shown_words(str(value))


def _delivery_json(one: DeliveryRecord) -> dict[str, Any]:
    return {
        "time": one.time,
        "index": one.index,
        "kind": one.kind,
        "test": one.test,
        "title": _shown_words(one.title),
        "text": one.text[:_MAX_ALERT_TEXT],
        "tries": one.tries,
        "accepted": one.accepted,
        "status": one.status,
        "answer": _shown_words(one.words),
    }


def _shown_words(text: str) -> str:
    return printable(text[:_MAX_ALERT_WORDS])


__all__ = ["AlertRoutes", "AlertsTopic", "receiver_host"]
