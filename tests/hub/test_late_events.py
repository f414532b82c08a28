"""Events that were fetched later than they happened, from the account to bots of each kind."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.settings import BotSettings, EventSettings
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.onebot.event import read_event
from lgtwist.onebot.message import MessageFormat
from tests.hub.fakes import FakeConnection
from tests.journal.fakes import BEGIN, FakeSink
from tests.journal.memory_store import InlineWorker, MemoryStore

ACCOUNT = 10_001


def message(number: int) -> bytes:
    text = [{"type": "text", "data": {"text": f"number {number}"}}]
    return json.dumps({"post_type": "message", "n": number, "message": text}, separators=(",", ":")).encode()


class LateEventTests(SynchronousTestCase):
    def make(self, *, tail: int = 1 << 20) -> None:
        self.clock = Clock()
        self.account = Account(ACCOUNT, self.clock, self.wall)
        self.journal = Journal(
            MemoryStore(),
            lambda _name: InlineWorker(),
            self.clock,
            self.wall,
            limits=JournalLimits(tail=tail, retention=60),
        )
        self.deliveries = Deliveries(self.journal, self.clock, self.wall, window_bytes=1 << 20, patience=60.0)
        self.bots = {
            "plain": Bot(BotSettings("plain")),
            "marks": Bot(BotSettings("marks")),
            "strings": Bot(BotSettings("strings", message_format=MessageFormat.STRING)),
            "messages": Bot(BotSettings("messages", events=EventSettings(("message",)))),
        }
        for bot in self.bots.values():
            self.deliveries.add(bot, self.account, ReplayPolicy(mark=bot.name in ("marks", "strings")))
        self.journal.open(self.deliveries.pairs())
        self.deliveries.start()

    def wall(self) -> float:
        return BEGIN + self.clock.seconds()

    def attach(self, bot: str) -> Any:
        delivery = self.bots[bot].deliveries[ACCOUNT]
        sink = FakeSink(delivery, 100)
        delivery.attach(sink)
        return sink

    def publish(self, late: int, *, live: bool = True) -> None:
        """Publish one event in time, one late, and one in time, in one turn of the reactor."""
        self.account.fan_out.publish(read_event(message(late - 1)))
        self.account.fan_out.publish_late(read_event(message(late)), live=live)
        self.account.fan_out.publish(read_event(message(late + 1)))
        self.clock.advance(0)

    def check(self, sinks: dict[str, Any]) -> None:
        for name, sink in sinks.items():
            marked = True if name in ("marks", "strings") else None
            got = [(one["n"], one.get("replayed")) for one in sink.events]
            self.assertEqual(got, [(1, None), (2, marked), (3, None)], name)
            found = sink.events[1]["message"]
            self.assertEqual(found, "number 2" if name == "strings" else json.loads(message(2))["message"])

    def test_bots_that_keep_up(self) -> None:
        """They get it in order, marked where they want that; it is not marked for others."""
        self.make()
        sinks = {name: self.attach(name) for name in self.bots}
        self.publish(2)
        self.check(sinks)

    def test_only_the_late_one_has_the_mark(self) -> None:
        """A bot that keeps up is sent what comes next without a mark, from the batch that all share."""
        self.make()
        sink = self.attach("marks")
        self.publish(2)
        self.account.fan_out.publish(read_event(message(4)))
        self.clock.advance(0)
        self.assertEqual([one.get("replayed") for one in sink.events], [None, True, None, None])

    def test_bots_that_are_behind(self) -> None:
        """Read from the disk too; one whose connection was opened later gets all of it marked."""
        self.make(tail=1)
        self.publish(2)
        plain, marks = self.attach("plain"), self.attach("marks")
        self.assertEqual(
            [(one["n"], one.get("replayed")) for one in plain.events], [(1, None), (2, None), (3, None)]
        )
        self.assertEqual([one.get("replayed") for one in marks.events], [True, True, True])

    def test_delivered_again(self) -> None:
        """As the operator wants it."""
        self.make()
        for name, marked in (("plain", None), ("marks", True), ("strings", True)):
            sink = self.attach(name)
            self.publish(2)
            Deferred.fromCoroutine(self.bots[name].deliveries[ACCOUNT].deliver_again(2))
            [event] = sink.again_events
            self.assertEqual((event["n"], event.get("replayed")), (2, marked))
            self.assertEqual(event["message"] == "number 2", name == "strings")

    def test_live_bots(self) -> None:
        """They get it without a mark, in order, if it is not too old; else not at all."""
        self.make()
        live = FakeConnection()
        self.account.subscribe(live, MessageFormat.AS_IS, bytes)
        self.publish(2)
        self.publish(5, live=False)
        self.assertEqual(live.frames, [message(number) for number in (1, 2, 3, 4, 6)])
        self.assertEqual(self.journal.total(ACCOUNT), 6)
        self.assertEqual(self.account.fan_out.events, 6)

    def test_a_journal_that_fails(self) -> None:
        """It is logged, and live bots have it."""
        self.make()
        live = FakeConnection()
        self.account.subscribe(live, MessageFormat.AS_IS, bytes)

        def append(account: int, payloads: list[bytes]) -> None:
            raise ZeroDivisionError

        self.account.fan_out.set_journal(append)
        self.account.fan_out.publish_late(read_event(message(2)), live=True)
        self.assertEqual(live.frames, [message(2)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
