"""The topics of a stream: ``links``, ``traffic`` and ``sandbox``; ``log`` is in ``log_lines``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from lgtwist.console.overview import Cards, Overview
from lgtwist.console.problems import ApiProblem
from lgtwist.console.streams import TICK, TICKS_PER_SECOND, Stream
from lgtwist.console.traffic import BadTrafficFilter, Traffic, TrafficFilter, traffic_filter_of
from lgtwist.hub.interfaces import IWorldLog
from lgtwist.runtime.logs import Logger

#: Bytes of rows of live traffic that wait for the next tick.
_WAITING_BYTES = 262_144
#: Entries of a sandbox's log that are written at once, and bytes of one.
_ENTRIES = 50
_LONGEST_ENTRY = 65_536

_encode_update = msgspec.json.encode


class SharedCards:
    """The cards of the overview, made once for all streams that look at the same time.

    :param overview: makes them.
    :param clock: the reactor, or a clock in its place.
    """

    def __init__(self, overview: Overview, clock: IReactorTime) -> None:
        self._overview = overview
        self._clock = clock
        self._made = -1.0
        self._cards: Cards | None = None

    def get(self) -> Cards:
        """Return the cards as they were at most half a second ago."""
        now = self._clock.seconds()
        if self._cards is None or not 0 <= now - self._made < 2 * TICK:
            self._cards, self._made = self._overview.cards(), now
        return self._cards

    def forget(self) -> None:
        """Keep no cards: nobody looks."""
        self._cards = None


class LinksTopic:
    """Accounts and bots: all of them at first and when one comes or goes, then the cards that change.

    :param stream: it is written to this one.
    :param to: the subscription's id.
    :param shared: the cards.
    :param state: returns what is written at first.
    :param wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        stream: Stream,
        to: str,
        *,
        shared: SharedCards,
        state: Callable[[], dict[str, Any]],
        wall_clock: Callable[[], float],
    ) -> None:
        self._wall_clock = wall_clock
        self._stream = stream
        self._to = to
        self._shared = shared
        self._state = state
        self._ticks = 0
        self._written: Cards | None = None
        if not stream.is_paused:  # else with the first tick after that
            self._write_all()

    def _write_all(self) -> None:
        self._written = self._shared.get()
        self._stream.write("links", _encode_update({"to": self._to, **self._state()}))

    def tick(self) -> None:
        """Write the cards that have changed, once in a second."""
        self._ticks += 1
        if self._ticks % TICKS_PER_SECOND:
            return
        now, before = self._shared.get(), self._written
        if before is None or now.cards.keys() != before.cards.keys():
            self._write_all()
            return
        changed = [key for key, card in now.cards.items() if card != before.cards[key]]
        refused = now.refused != before.refused
        if not changed and not refused and now.summary == before.summary:
            return
        self._written = now
        value: dict[str, Any] = {"to": self._to, "now": self._wall_clock(), "summary": now.summary}
        for kind in ("account", "bot"):
            value[f"{kind}s"] = [msgspec.Raw(now.cards[key]) for key in changed if key[0] == kind]
        if refused:
            value["refused"] = msgspec.Raw(now.refused)
        self._stream.write("link", _encode_update(value))

    def close(self) -> None:
        """Do nothing: there is no subscription elsewhere."""


def read_traffic_filter(given: dict[str, Any]) -> TrafficFilter:
    """Return the filter of live traffic that a browser gave.

    :raises ApiProblem: if it cannot be read.
    """
    try:
        return traffic_filter_of(given)
    except BadTrafficFilter as error:
        raise ApiProblem(400, "bad_filter", {"name": error.name}, str(error)) from None


class TrafficTopic:
    """Rows of live traffic that pass a filter; what is too much is counted.

    :param stream: it is written to this one.
    :param to: the subscription's id.
    :param traffic: is watched until :meth:`close`.
    :param given: the filter as the browser gave it.
    :ivar filter: the same as it was read.
    :raises ApiProblem: if the filter cannot be read.
    """

    def __init__(self, stream: Stream, to: str, traffic: Traffic, given: dict[str, Any]) -> None:
        self.filter = read_traffic_filter(given)
        self._stream = stream
        self._to = _encode_update(to)
        self._rows: list[bytes] = []
        self._answers: list[bytes] = []
        self._waiting = 0
        self._dropped = 0
        self._ticks = 0
        self._stop = traffic.watch(self)

    def take(self) -> bool:
        """Return whether one more row may be sent now; count it as dropped if not."""
        stream = self._stream
        if stream.rows_left <= 0 or stream.is_paused or self._waiting > _WAITING_BYTES:
            self._dropped += 1
            return False
        stream.rows_left -= 1
        return True

    def drop(self) -> None:
        """Count a row as dropped."""
        self._dropped += 1

    def send_row(self, row: bytes) -> None:
        """Write a row with the next tick.

        :param row: JSON.
        """
        self._rows.append(row)
        self._waiting += len(row)

    def send_answer(self, answer: bytes) -> None:
        """Write the answer to a row with the next tick; leave it out if the browser takes too little.

        :param answer: JSON.
        """
        if self._waiting <= 2 * _WAITING_BYTES:
            self._answers.append(answer)
            self._waiting += len(answer)
        else:
            self._dropped += 1

    def tick(self) -> None:
        """Write what waits, and how much was left out."""
        self._ticks += 1
        if self._ticks % TICKS_PER_SECOND == 0:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                value = {"to": msgspec.Raw(self._to), "topic": "traffic", "count": dropped}
                self._stream.write("dropped", _encode_update(value))
        if self._rows or self._answers:
            rows, answers = b",".join(self._rows), b",".join(self._answers)
            self._rows, self._answers, self._waiting = [], [], 0
            data = b'{"to":%b,"rows":[%b],"answers":[%b]}' % (self._to, rows, answers)
            self._stream.write("traffic", data)

    def close(self) -> None:
        """Watch no more."""
        self._stop()


class SandboxTopic:
    """The event log of a sandbox account.

    :param stream: it is written to this one.
    :param to: the subscription's id.
    :param account: the account's number.
    :param world_log: returns the log of the account; None where it has none (any more).
    :param after: the last sequence number that the browser has; None for what comes from now on.
    :param clock: the reactor, or a clock in its place.
    """

    _log = Logger()

    def __init__(
        self,
        stream: Stream,
        to: str,
        *,
        account: int,
        world_log: Callable[[], Any],
        after: int | None,
        clock: IReactorTime,
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._to = to
        self._account = account
        self._world_log = world_log
        self._after = after
        self._waiting: Deferred[None] | None = None
        self._scheduled: IDelayedCall | None = None
        self._has_written = False
        self.tick()

    def tick(self) -> None:
        """Write what was logged since, and wait for more."""
        found: Any = self._world_log()
        if found is None:
            return
        while not self._stream.is_paused and self._stream.is_open:
            portion = found.log_portion(self._after, _ENTRIES, _LONGEST_ENTRY)
            if portion.entries or portion.missed or not self._has_written:
                self._has_written = True
                value = {
                    "to": self._to,
                    "account": self._account,
                    "entries": [msgspec.Raw(entry) for entry in portion.entries],
                    "last": portion.last,
                    "missed": portion.missed,
                }
                self._stream.write("sandbox", _encode_update(value))
            self._after = portion.last
            if not portion.more:
                break
        if self._waiting is None:
            self._waiting = found.when_logged().addCallbacks(self._logged, self._not_logged)

    def _logged(self, _none: None) -> None:
        self._waiting = None
        if self._scheduled is None:
            self._scheduled = self._clock.callLater(0, self._write_new)

    def _write_new(self) -> None:
        self._scheduled = None
        found: Any = self._world_log()
        if found is not None and found.last_seq != self._after:  # else the account stops
            self.tick()

    def _not_logged(self, failure: Failure) -> None:
        self._waiting = None
        if not failure.check(CancelledError):
            self._log.failure("the log of a sandbox failed", failure)

    def close(self) -> None:
        """Wait no more."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None


def world_log_of(edge: object | None) -> Any:
    """Return the event log of an account's edge; None if it is no sandbox."""
    return IWorldLog(edge, None)
