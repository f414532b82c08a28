"""A journal on a clock whose threads do what a test says, and a bot's connection that writes down."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lgtwist.delivery.batch import Batch, Position
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.encoded_batch import EncodedBatch
from lgtwist.delivery.interfaces import IEventSink
from lgtwist.delivery.redelivery import Redelivery
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.runtime.wall_clock import WallClock
from tests.journal.memory_store import InlineWorker

#: When tests begin, in seconds since the epoch.
BEGIN = 1_700_000_000.0

LIMITS = JournalLimits()
POLICY = ReplayPolicy()


def event(number: int, kind: str = "message", size: int = 0) -> bytes:
    """One event that can be told from others."""
    return b'{"post_type":"%b","n":%d,"text":"%b"}' % (kind.encode(), number, b"x" * size)


def numbers(payloads: Iterable[bytes]) -> list[int]:
    """Which events these are."""
    return [json.loads(payload)["n"] for payload in payloads]


class HeldWorker:
    """A thread that does its next job when told to, and whose result the reactor hears when told to."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        self.results: deque[tuple[Deferred[Any], Any]] = deque()

    def do(self, job: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.jobs.append((job, done))
        return done

    def run_waiting(self) -> None:
        while self.work():
            pass

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def work(self) -> bool:
        """The thread does its next job."""
        if not self.jobs:
            return False
        job, done = self.jobs.popleft()
        try:
            result = job()
        except Exception:
            result = Failure()
        self.results.append((done, result))
        return True

    def tell(self) -> bool:
        """The reactor hears of the oldest job that was done."""
        if not self.results:
            return False
        done, result = self.results.popleft()
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)
        return True

    def go(self) -> None:
        """Both, once."""
        self.work()
        self.tell()


class Lines:
    """What lgtwist logs during one test."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self._events: list[Any] = []
        globalLogPublisher.addObserver(self._events.append)
        case.addCleanup(globalLogPublisher.removeObserver, self._events.append)

    def all(self, *words: str) -> list[str]:
        """The lines that have all these words in them."""
        lines = [
            formatEvent(one) for one in self._events if str(one.get("log_namespace")).startswith("lgtwist")
        ]
        return [line for line in lines if all(word in line for word in words)]

    def loud(self) -> list[str]:
        """Warnings and worse."""
        return [
            formatEvent(one)
            for one in self._events
            if str(one.get("log_namespace")).startswith("lgtwist") and one["log_level"] >= LogLevel.warn
        ]

    def forget(self) -> None:
        self._events.clear()


def frame(payload: bytes) -> bytes:
    return payload + b"\n"


@implementer(IEventSink)
class FakeSink:
    """Keeps what it is given; confirms when it is told to.

    :ivar sent: each time it was given something: how many events, and the position to confirm.
    :ivar again: what the operator has sent again, and as events.
    :ivar instantly: confirms at once.
    """

    encode = staticmethod(frame)

    def __init__(self, delivery: Delivery, window: int = 100) -> None:
        self.delivery = delivery
        self.window = window
        self.ready = True
        self.instantly = False
        self.live = False
        self.events: list[dict[str, Any]] = []
        self.sent: list[tuple[int, Position]] = []
        self.again: list[Redelivery] = []
        self.again_events: list[dict[str, Any]] = []

    def take(self, frames: bytes, events: int, upto: Position) -> None:
        assert self.ready, "given more than it takes"
        assert not self.live, "given what the newer one is to get"
        came = [json.loads(one) for one in frames.splitlines()]
        assert len(came) == events > 0
        self.events += came
        self.sent.append((events, upto))
        if self.instantly:
            self.confirm()

    def demote(self) -> None:
        self.live = True

    def promote(self) -> None:
        self.live = False

    def forget(self) -> None:
        self.sent.clear()

    def send_again(self, redelivery: Redelivery) -> None:
        self.again.append(redelivery)
        self.again_events.append(json.loads(redelivery.frame))
        redelivery.note_sent()

    @property
    def numbers(self) -> list[int]:
        return [one["n"] for one in self.events]

    def confirm(self, which: int = -1) -> None:
        """Confirm what was given at one time, and before."""
        self.delivery.confirmed(self, self.sent[which][1])

    def take_on(self) -> None:
        """The transport has room again."""
        self.ready = True
        self.delivery.pump()


verifyObject(IEventSink, FakeSink(None))  # type: ignore[arg-type]


class Room:
    """One journal and the deliveries of one bot, on a clock.

    :param watched: whether the wall clock is believed only after it has kept step.
    :ivar clock: goes on over a crash.
    :ivar ahead: seconds by which the wall clock is wrong.
    """

    def __init__(
        self,
        store: Any,
        *,
        limits: JournalLimits = LIMITS,
        policy: ReplayPolicy = POLICY,
        worker: Callable[[], Any] = InlineWorker,
        clock: Clock | None = None,
        accounts: Iterable[int] = (1,),
        watched: bool = False,
        ahead: float = 0.0,
        **delivery: Any,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        self.store = store
        self.workers: dict[str, Any] = {}

        def make(name: str) -> Any:
            self.workers[name] = worker()
            return self.workers[name]

        self.ahead = ahead
        self.watch = WallClock(self.wall, self.clock.seconds, lambda _step: self.journal.clock_was_set())
        self.journal = Journal(
            store,
            make,
            self.clock,
            self.wall,
            limits=limits,
            steady_wall_clock=self.watch.steady if watched else None,
        )
        self.deliveries = {
            account: Delivery(
                "bot",
                account,
                self.journal,
                clock=self.clock,
                wall_clock=self.wall,
                policy=policy,
                **delivery,
            )
            for account in accounts
        }
        self.observed: list[Batch] = []
        self.opened = self.journal.open([("bot", account) for account in accounts])
        self.opened.addCallback(lambda _none: self._begin())
        if worker is HeldWorker:
            for _ in range(3):
                for one in self.workers.values():
                    one.go()

    def _begin(self) -> None:
        for delivery in self.deliveries.values():
            delivery.begin()
        self.journal.observe(self._committed)
        self.journal.observe_retention(self._trimmed)

    def _committed(self, batch: Batch) -> None:
        self.observed.append(batch)
        if batch.account in self.deliveries:
            self.deliveries[batch.account].committed(EncodedBatch(batch, self.clock.seconds()))

    def _trimmed(self) -> None:
        for delivery in self.deliveries.values():
            delivery.check_retention()

    def wall(self) -> float:
        return BEGIN + self.clock.seconds() + self.ahead

    @property
    def delivery(self) -> Delivery:
        return self.deliveries[1]

    @property
    def writer(self) -> Any:
        return self.workers["journal-writer"]

    @property
    def reader(self) -> Any:
        return self.workers["journal-reader"]

    def attach(self, window: int = 100, account: int = 1) -> FakeSink:
        """A connection of the bot opens."""
        sink = FakeSink(self.deliveries[account], window)
        self.deliveries[account].attach(sink)
        return sink

    def put(self, *which: int, account: int = 1, kind: str = "message", size: int = 0) -> None:
        """Events that come in one turn of the reactor."""
        for number in which:
            self.journal.append(account, [event(number, kind, size)])
        self.clock.advance(0)

    def put_each(self, *which: int, **options: Any) -> None:
        """Events that come in a turn each."""
        for number in which:
            self.put(number, **options)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Time passes, with the looks that the service takes."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - 1e-9:
            self.clock.advance(min(step, end - self.clock.seconds()))
            for delivery in self.deliveries.values():
                delivery.check()
