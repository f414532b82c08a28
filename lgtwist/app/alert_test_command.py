"""``lgtwist alert-test``: sends a test message to the receivers of ``[[alerts]]``, as alerts are sent.

The running service does it, so that what is tried is what will be used; where none runs, the command does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from lgtwist.alerts.interfaces import AlertSender, Facts
from lgtwist.alerts.receiver import DeliveryRecord
from lgtwist.alerts.service import AlertService
from lgtwist.alerts.settings import AlertSettings
from lgtwist.app.alert_clients import AlertClients
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.app.data_dir import DataDir
from lgtwist.app.running_api import CannotAsk, RunningApi, refusal_of
from lgtwist.console.alerts import receiver_host
from lgtwist.runtime.reactor import install_reactor

#: Seconds that the service may take for one test, which it gives up after 15.
_TEST_LIMIT = 30.0


class NoAlertTest(Exception):
    """Nothing was sent; the argument is one sentence."""


class NoSuchAlert(Exception):
    """There is no such entry; the argument is one sentence."""


@frozen
class ReceiverTest:
    """The outcome of one test.

    :ivar sentence: one line for people.
    """

    accepted: bool
    sentence: str


def try_alerts(
    file: ConfigurationFile, index: int | None, say: Callable[[str], None], warn: Callable[[str], None]
) -> bool:
    """Send a test to one entry, or to all, one after the other.

    :param index: of the entry, from 0; None for all.
    :param say: gets a line for each entry, as soon as it is known.
    :param warn: gets what else is to be said.
    :returns: whether all were accepted.
    :raises NoAlertTest: if nothing could be sent.
    :raises NoSuchAlert: if there is no such entry.
    :raises ConfigurationError: if the configuration is wrong.
    """
    config = file.read()
    if DataDir(config.data_dir).is_free():
        chosen = _chosen(index, len(config.alerts), file)
        return _sent_here(config.alerts, chosen, say)
    if not config.console.enabled:
        chosen = _chosen(index, len(config.alerts), file)
        warn("the running lgtwist cannot be asked, for its console is off: this command sends by itself")
        return _sent_here(config.alerts, chosen, say)
    try:
        return _sent_by_service(RunningApi.find(file, config), index, len(config.alerts), file, say, warn)
    except CannotAsk as error:
        raise NoAlertTest(str(error)) from None


def _chosen(index: int | None, count: int, file: ConfigurationFile) -> Sequence[int]:
    """Return the numbers of the entries that are meant.

    :param count: how many there are.
    :raises NoAlertTest: if there is none at all.
    :raises NoSuchAlert: if there is no such entry.
    """
    if not count:
        raise NoAlertTest(f"{file.described} has no [[alerts]]; docs/alerts.md says how to begin")
    if index is not None and index >= count:
        raise NoSuchAlert(f"there is no alerts[{index}]; the first is 0, the last {count - 1}")
    return range(count) if index is None else (index,)


# -- by the running service


def _sent_by_service(
    api: RunningApi,
    index: int | None,
    in_file: int,
    file: ConfigurationFile,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> bool:
    status, state = api.ask("GET", "alerts", patience=_TEST_LIMIT)
    if status != 200:
        raise CannotAsk(f"{api.endpoint}: the running lgtwist answers {status}: {refusal_of(state)}")
    try:
        entries = list(state["entries"])
    except (LookupError, TypeError):
        raise CannotAsk(f"{api.endpoint}: the running lgtwist gives no list of alerts") from None
    if len(entries) != in_file:
        warn(f"the running lgtwist has {len(entries)} [[alerts]], the file {in_file}: reload it (SIGHUP)")
        if not entries:
            raise NoAlertTest("the running lgtwist has no [[alerts]]")
    found = True
    for number in _chosen(index, len(entries), file):
        tested = _tested_by_service(api, number, entries[number])
        say(tested.sentence)
        found = found and tested.accepted
    return found


def _tested_by_service(api: RunningApi, number: int, entry: Any) -> ReceiverTest:
    """Let the service send a test.

    :raises CannotAsk: if it does not answer.
    """
    status, sent = api.ask("POST", "alerts/test", {"index": number}, patience=_TEST_LIMIT)
    try:
        name = _entry_name(number, str(entry["kind"]), str(entry["host"]))
        if status != 200:
            return ReceiverTest(False, f"{name}: not sent: {refusal_of(sent)}")
        return _tested(name, bool(sent["accepted"]), int(sent["status"]), str(sent["answer"]))
    except (LookupError, TypeError, ValueError):
        raise CannotAsk(f"{api.endpoint}: the running lgtwist answers what cannot be read") from None


# -- by ourselves


class _NoFacts:
    """What is looked at where nothing is."""

    def facts(self) -> Facts:
        """Return that nothing is wrong."""
        return Facts()


async def send_tests(
    settings: Sequence[AlertSettings],
    chosen: Sequence[int],
    say: Callable[[str], None],
    *,
    clock: Any,
    wall_clock: Callable[[], float],
    make_sender: Callable[[AlertSettings], AlertSender],
) -> bool:
    """Send a test to each of some entries, one after the other.

    :param settings: of all entries.
    :param chosen: the numbers of those that are meant.
    :param say: gets a line for each.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param make_sender: makes the sender of an entry.
    :returns: whether all were accepted.
    """
    service = AlertService(settings, _NoFacts(), make_sender, clock=clock, wall_clock=wall_clock)
    found = True
    for number in chosen:
        record: DeliveryRecord = await service.send_test(number)
        name = _entry_name(number, record.kind, receiver_host(settings[number]))
        tested = _tested(name, record.accepted, record.status, record.words)
        say(tested.sentence)
        found = found and tested.accepted
    return found


def _sent_here(settings: Sequence[AlertSettings], chosen: Sequence[int], say: Callable[[str], None]) -> bool:
    """Run the reactor until tests were sent."""
    reactor = install_reactor()
    outcome: list[Any] = []

    def begin() -> None:
        clients = AlertClients(reactor, time.time)
        sending = Deferred.fromCoroutine(
            send_tests(settings, chosen, say, clock=reactor, wall_clock=time.time, make_sender=clients.sender)
        )
        sending.addBoth(outcome.append)
        sending.addBoth(lambda _result: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:  # it was interrupted
        raise KeyboardInterrupt
    if outcome[0] not in (True, False):
        outcome[0].raiseException()
    return bool(outcome[0])


# -- in words


def _entry_name(number: int, kind: str, host: str) -> str:
    return f"alerts[{number}] {kind} {host}".rstrip()


def _tested(name: str, accepted: bool, status: int, answer: str) -> ReceiverTest:
    """Return the outcome of a test, with what the receiver answered."""
    number = "" if not status or str(status) in answer else str(status)
    said = ": ".join(filter(None, [number, answer]))
    word = "accepted" if accepted else "not accepted"
    return ReceiverTest(accepted, f"{name}: {word}{f' ({said})' if said else ''}")


__all__ = ["NoAlertTest", "NoSuchAlert", "send_tests", "try_alerts"]
