"""The service that looks at what is the case, and tells the receivers of ``[[alerts]]`` what changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import frozen
from prometheus_client.core import Metric
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from lgtwist.alerts.alert import Alert
from lgtwist.alerts.interfaces import AlertSender, Facts, FactSource
from lgtwist.alerts.receiver import DeliveryRecord, Receiver
from lgtwist.alerts.rules import Rules
from lgtwist.alerts.settings import AlertSettings
from lgtwist.alerts.texts import Reworded, as_it_is
from lgtwist.runtime.figures import counter
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.tasks import log_failures

#: Seconds between two looks.
_LOOK_INTERVAL = 1.0
#: Deliveries that are remembered.
_MOST_DELIVERIES = 100
#: The label ``outcome`` of deliveries.
_OUTCOMES = ("accepted", "given_up")


@frozen
class AlertEntry:
    """One of ``[[alerts]]`` while it runs.

    :ivar settings: its keys; secrets among them.
    :ivar alarms: what is wrong now and was told, the oldest first.
    :ivar waiting: how many alerts wait to be sent.
    """

    settings: AlertSettings
    alarms: tuple[Alert, ...]
    waiting: int


@frozen
class _Running:
    """One of ``[[alerts]]``: its rules and its receiver."""

    settings: AlertSettings
    rules: Rules
    receiver: Receiver


class AlertService(Service):
    """Looks once a second whether something is wrong, and sends messages; does nothing without entries.

    What one receiver does is nobody else's: each has a queue of its own.

    :param settings: the entries of ``[[alerts]]``, in their order.
    :param source: tells what is the case.
    :param make_sender: makes the sender of an entry.
    :param clock: of the looks and waits; the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param reworded: translates the reasons of alerts.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Iterable[AlertSettings],
        source: FactSource,
        make_sender: Callable[[AlertSettings], AlertSender],
        *,
        clock: Any,
        wall_clock: Callable[[], float],
        reworded: Reworded = as_it_is,
    ) -> None:
        self._source = source
        self._make_sender = make_sender
        self._clock = clock
        self._wall_clock = wall_clock
        self._reworded = reworded
        self._deliveries: deque[DeliveryRecord] = deque(maxlen=_MOST_DELIVERIES)
        self._outcomes: dict[tuple[str, str], int] = {}
        self._entries: list[_Running] = []
        self._looking: LoopingCall | None = None
        self.reload(settings)

    # -- for people

    def deliveries(self) -> list[DeliveryRecord]:
        """Return the last 100 deliveries, the newest first."""
        return list(reversed(self._deliveries))

    def entries(self) -> list[AlertEntry]:
        """Return the entries of ``[[alerts]]`` in their order, as they are now."""
        return [AlertEntry(one.settings, one.rules.alarms(), one.receiver.waiting) for one in self._entries]

    def send_test(self, index: int) -> Deferred[DeliveryRecord]:
        """Send a test message to the receiver of an entry, once, the way that alerts are sent.

        :param index: of the entry, from 0.
        :returns: fires with what became of it, within 15 seconds; fails with ``CancelledError`` if the entry
            is removed or changed meanwhile, or the service stops.
        :raises IndexError: if there is no such entry.
        """
        if not 0 <= index < len(self._entries):
            raise IndexError(f"there is no alerts[{index}]")
        return self._entries[index].receiver.test()

    def metrics(self) -> Iterator[Metric]:
        """Return the counters of deliveries."""
        samples = [([kind, outcome], float(count)) for (kind, outcome), count in self._outcomes.items()]
        yield counter("alert_deliveries", "Messages of [[alerts]]", ["kind", "outcome"], samples)

    # -- what runs

    def reload(self, settings: Iterable[AlertSettings]) -> None:
        """Replace the entries; those whose settings are equal keep their state and what they have to send."""
        before, entries = list(self._entries), []
        for index, wanted in enumerate(settings):
            entry = next((one for one in before if one.settings == wanted), None)
            if entry is None:
                entry = self._new_entry(wanted)
            else:
                before.remove(entry)
            entry.receiver.index = index
            entries.append(entry)
        self._entries = entries
        for removed in before:
            removed.receiver.stop()
        self._look_or_not()

    def _new_entry(self, settings: AlertSettings) -> _Running:
        for outcome in _OUTCOMES:
            self._outcomes.setdefault((settings.kind.value, outcome), 0)
        receiver = Receiver(
            settings,
            self._make_sender(settings),
            clock=self._clock,
            wall_clock=self._wall_clock,
            record=self._note,
            reworded=self._reworded,
        )
        return _Running(settings, Rules(settings), receiver)

    def _note(self, record: DeliveryRecord) -> None:
        self._deliveries.append(record)
        key = (record.kind, "accepted" if record.accepted else "given_up")
        self._outcomes[key] = self._outcomes.get(key, 0) + 1

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._look_or_not()

    def stopService(self) -> None:
        """Look no more, and cancel what is being sent."""
        super().stopService()
        self._look_or_not()
        settings = [entry.settings for entry in self._entries]
        self.reload(())
        self.reload(settings)  # it may be started again

    def _look_or_not(self) -> None:
        wanted = bool(self.running and self._entries)
        if wanted and self._looking is None:
            looking = self._looking = LoopingCall(log_failures("looking for alerts", self._look))
            looking.clock = self._clock
            looking.start(_LOOK_INTERVAL, now=True)
        elif not wanted and self._looking is not None:
            looking, self._looking = self._looking, None
            looking.stop()

    def _look(self) -> None:
        facts, now, wall = self._source.facts(), self._clock.seconds(), self._wall_clock()
        for entry in self._entries:
            self._look_for(entry, facts, now, wall)

    def _look_for(self, entry: _Running, facts: Facts, now: float, wall: float) -> None:
        try:
            alerts = entry.rules.look(facts, now, wall)
        except Exception:
            self._log.failure("alerts[{index}]: its rules failed", index=entry.receiver.index)
            return
        if alerts:
            entry.receiver.add(alerts)
