"""All deliveries of a service, between accounts, journal and bots."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.interfaces import Channel
from lgtwist.hub.settings import BotSettings, EventSettings
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.onebot.message import MessageFormat
from tests.hub.fakes import checked_link
from tests.journal.fakes import BEGIN, FakeSink, Lines, event, numbers
from tests.journal.memory_store import InlineWorker, MemoryStore


class DeliveriesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = Lines(self)
        self.clock = Clock()
        self.accounts = {self_id: Account(self_id, self.clock, self.wall) for self_id in (1, 2, 3)}
        for account in self.accounts.values():
            account.links.opened(checked_link(account), Channel.BOTH)
        self.store = MemoryStore()
        self.journal = Journal(
            self.store,
            lambda _name: InlineWorker(),
            self.clock,
            self.wall,
            limits=JournalLimits(retention=60),
        )
        self.deliveries = Deliveries(self.journal, self.clock, self.wall, window_bytes=1 << 20, patience=60.0)
        self.bots = {
            "all": Bot(BotSettings("all")),
            "text": Bot(BotSettings("text", message_format=MessageFormat.STRING)),
            "notices": Bot(BotSettings("notices", events=EventSettings(("notice",)))),
        }
        for bot in self.bots.values():
            for self_id in (1, 2):
                self.deliveries.add(bot, self.accounts[self_id], ReplayPolicy())
        self.journal.observe_retention(self.deliveries.check_retention)

    def wall(self) -> float:
        return BEGIN + self.clock.seconds()

    def open(self) -> None:
        self.journal.open(self.deliveries.pairs())
        self.deliveries.start()

    def attach(self, bot: str, account: int = 1, sink: Any = FakeSink) -> Any:
        delivery = self.bots[bot].deliveries[account]
        attached = sink(delivery)
        delivery.attach(attached)
        return attached

    def publish(self, *which: int, account: int = 1, kind: str = "notice") -> None:
        for number in which:
            self.accounts[account].publish(event(number, kind))
        self.clock.advance(0)

    def test_pairs(self) -> None:
        """Each bot with each of its accounts."""
        self.assertEqual(
            sorted(self.deliveries.pairs()), sorted((bot, account) for bot in self.bots for account in (1, 2))
        )
        self.assertEqual(len(list(self.deliveries)), 6)

    def test_each_gets_what_is_its(self) -> None:
        """All bots of an account get its events, as each wants them, and no other's."""
        self.open()
        sinks = {bot: self.attach(bot) for bot in self.bots}
        other = self.attach("all", 2)
        self.publish(1, 2)
        self.publish(3, kind="message")
        self.publish(4, account=2)
        self.assertEqual(sinks["all"].numbers, [1, 2, 3])
        self.assertEqual(sinks["text"].numbers, [1, 2, 3])
        self.assertEqual(sinks["notices"].numbers, [1, 2])
        self.assertEqual(other.numbers, [4])

    def test_what_is_kept_from_a_bot_counts_as_confirmed(self) -> None:
        """Its cursor goes on over it, as it is written: beside what it gets, and where it gets nothing."""
        self.open()
        sink, delivery = self.attach("notices"), self.bots["notices"].deliveries[1]

        def reached() -> tuple[int, int]:
            written = self.journal.watermark("notices", 1).position
            return delivery.backlog, self.journal.end(1) - written

        self.publish(1, 2, kind="message")
        self.assertEqual((sink.numbers, reached()), ([], (0, 0)))
        self.publish(3)
        self.publish(4, kind="message")
        self.assertEqual((sink.numbers, delivery.backlog), ([3], 2))
        sink.confirm()
        self.assertEqual(reached(), (0, 0))
        delivery.detach(sink, None)
        self.publish(5, 6, kind="message")
        self.assertEqual(reached(), (0, 0))
        self.publish(7)
        self.publish(8, kind="message")
        self.assertEqual(delivery.backlog, 2)
        sink = self.attach("notices")
        self.clock.advance(0)
        sink.confirm()
        self.assertEqual((sink.numbers, reached()), ([7], (0, 0)))
        self.assertEqual(delivery.counters.sent, 2)

    def test_each_form_of_what_some_get(self) -> None:
        """Bots that get the same few events get them in the form that each wants, marked where late."""
        events = EventSettings(("message",))
        wanted = {"array": MessageFormat.ARRAY, "string": MessageFormat.STRING, "again": MessageFormat.STRING}
        sinks = {}
        self.open()
        for name, form in wanted.items():
            self.bots[name] = Bot(BotSettings(name, message_format=form, events=events))
            self.deliveries.add(self.bots[name], self.accounts[1], ReplayPolicy(mark=True))
            sinks[name] = self.attach(name)
        sinks["again"].ready = False
        raw = b'{"self_id":1,"post_type":"message","message":"a&amp;b","n":%d}'
        self.publish(1)
        for number in (2, 3):
            self.accounts[1].publish(raw % number)
        self.clock.advance(0)
        text = [{"type": "text", "data": {"text": "a&b"}}]
        self.assertEqual([one["message"] for one in sinks["array"].events], [text, text])
        self.assertEqual([one["message"] for one in sinks["string"].events], ["a&amp;b", "a&amp;b"])
        self.bots["again"].deliveries[1].detach(sinks["again"], None)
        again = self.attach("again")
        self.assertEqual([one.get("replayed") for one in again.events], [True, True])

    def test_what_is_not_written(self) -> None:
        """Meta events, and the events of an account that no such bot may see."""
        self.open()
        self.publish(1, account=3)
        self.publish(2, kind="meta_event")
        self.publish(3)
        found = [
            number for chunk in self.store._chunks for batch in chunk for number in numbers(batch.payloads)
        ]
        self.assertEqual(found, [3])

    def test_before_the_journal_is_open(self) -> None:
        """Bots that are connected already get it then; what came until then is in it."""
        sink = self.attach("all")
        self.publish(1)
        self.assertEqual(sink.numbers, [])
        self.open()
        self.clock.advance(0)
        self.assertEqual(sink.numbers, [1])

    def test_one_bot_s_trouble_is_not_another_s(self) -> None:
        """A fault in one delivery is told, and all others go on."""

        class Broken(FakeSink):
            def take(self, *_arguments: Any) -> None:
                raise ZeroDivisionError

        self.open()
        self.attach("all", sink=Broken)
        fine = self.attach("text")
        self.publish(1, 2)
        self.assertEqual(fine.numbers, [1, 2])
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_one_that_reads_slowly(self) -> None:
        """It has its backlog, the others none."""
        self.open()
        slow, quick = self.attach("all"), self.attach("text")
        slow.ready = False
        quick.instantly = True
        self.publish(*range(20))
        deliveries = self.bots["all"].deliveries[1], self.bots["text"].deliveries[1]
        self.assertEqual([one.backlog for one in deliveries], [20, 0])
        slow.take_on()
        self.assertEqual(slow.numbers, list(range(20)))

    def test_added_while_it_runs(self) -> None:
        """It gets what comes from then on, and the account's events are written from then on."""
        self.open()
        self.publish(1, account=3)
        self.deliveries.add(self.bots["all"], self.accounts[3], ReplayPolicy())
        sink = self.attach("all", 3)
        self.publish(2, 3, account=3)
        self.assertEqual(sink.numbers, [2, 3])
        self.assertIn(("all", 3), self.deliveries.pairs())
        self.assertEqual(self.store._named, frozenset(self.deliveries.pairs()))

    def test_removed_while_it_runs(self) -> None:
        """Its connection goes on as live, others are served as before, and it is not there any more."""
        self.open()
        older, newer, other = self.attach("all"), self.attach("all"), self.attach("text")
        self.publish(1)
        removed = self.bots["all"].deliveries[1]
        newer.live = older.live = False
        self.deliveries.remove(self.bots["all"], self.accounts[1])
        self.assertTrue(newer.live)
        self.assertFalse(older.live, "it was demoted before")
        self.publish(2)
        self.assertEqual(newer.numbers, [1])
        self.assertEqual(other.numbers, [1, 2])
        self.assertNotIn(1, self.bots["all"].deliveries)
        self.assertIn(2, self.bots["all"].deliveries)
        self.assertNotIn(removed, list(self.deliveries))
        self.deliveries.remove(self.bots["all"], self.accounts[1])

    def test_what_is_left_of_one_that_was_removed(self) -> None:
        """What its connections still say is harmless; one that comes too late is live."""
        self.open()
        older, newer = self.attach("all"), self.attach("all")
        self.publish(1)
        removed = self.bots["all"].deliveries[1]
        self.deliveries.remove(self.bots["all"], self.accounts[1])
        newer.confirm()
        newer.take_on()
        removed.failed(newer, "HTTP 422")
        removed.recovered_sink(newer)
        removed.detach(newer, "close code 1003")
        removed.detach(older, None)
        late = FakeSink(removed)
        removed.attach(late)
        self.assertTrue(late.live)
        self.publish(2)
        self.assertEqual(late.numbers, [])
        self.assertEqual(removed.unconfirmed, 0)
        removed.detach(late, None)

    def test_timers_of_one_that_was_removed(self) -> None:
        """None is left."""
        self.deliveries.add(self.bots["all"], self.accounts[3], ReplayPolicy(rate=1.0))
        self.open()
        self.publish(1, 2, 3, account=3)
        sink = self.attach("all", 3)
        self.assertEqual(sink.numbers, [1])
        self.deliveries.remove(self.bots["all"], self.accounts[3])
        for timer in self.clock.getDelayedCalls():
            self.assertIn("_Alarm", str(timer))  # the journal's

    def test_nobody_is_left_for_an_account(self) -> None:
        """Its events are still written: a bot that is added again in this run misses nothing."""
        self.open()
        self.publish(1)
        for bot in self.bots.values():
            self.deliveries.remove(bot, self.accounts[1])
        self.publish(2)
        self.assertEqual(self.journal.total(1), 2)

    def test_removed_and_added_again(self) -> None:
        """It goes on where it was: nothing is lost that was written meanwhile."""
        self.open()
        sink = self.attach("all")
        self.publish(1, 2)
        sink.confirm()
        self.publish(3)
        self.deliveries.remove(self.bots["all"], self.accounts[1])
        self.publish(4)
        self.deliveries.add(self.bots["all"], self.accounts[1], ReplayPolicy())
        self.publish(5)
        self.assertEqual(self.attach("all").numbers, [3, 4, 5])

    def test_added_twice(self) -> None:
        """The second takes the place of the first."""
        self.open()
        sink = self.attach("all")
        self.publish(1)
        self.deliveries.add(self.bots["all"], self.accounts[1], ReplayPolicy(mark=True))
        self.assertTrue(sink.live)
        again = self.attach("all")
        self.publish(2)
        self.assertEqual(again.events[0]["replayed"], True)
        self.assertEqual(again.numbers, [1, 2])
        self.assertEqual(len(list(self.deliveries)), 6)

    def test_trouble_of_one_that_is_removed(self) -> None:
        """It is removed all the same, and logged."""

        class Broken(FakeSink):
            def demote(self) -> None:
                raise ZeroDivisionError

        self.open()
        self.attach("all", sink=Broken)
        self.deliveries.remove(self.bots["all"], self.accounts[1])
        self.assertNotIn(("all", 1), self.deliveries.pairs())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_removed_while_events_are_handed_on(self) -> None:
        """A bot that is taken out by what another one does gets nothing; the others get all."""
        self.open()
        test = self

        class Removing(FakeSink):
            def take(self, frames: bytes, events: int, upto: int) -> None:
                super().take(frames, events, upto)
                test.deliveries.remove(test.bots["text"], test.accounts[1])

        self.attach("all", sink=Removing)
        text, notices = self.attach("text"), self.attach("notices")
        self.publish(1)
        self.assertEqual(text.numbers, [])
        self.assertEqual(notices.numbers, [1])

    def test_stop(self) -> None:
        """All of them stop, whatever one of them does; the pairs are still named."""

        class Broken(FakeSink):
            def demote(self) -> None:
                raise ZeroDivisionError

        self.open()
        self.attach("all", sink=Broken)
        text = self.attach("text")
        self.deliveries.stop()
        self.assertTrue(text.live)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.journal.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.store._named), 6)

    def test_looks_and_retention(self) -> None:
        """Time passes for all of them."""
        self.open()
        self.attach("all")
        self.publish(1)
        self.clock.advance(70)
        self.deliveries.check()
        self.assertEqual(len(self.lines.all("no confirmation")), 1)
        self.clock.pump([1.0] * 20)
        self.assertEqual(self.bots["text"].deliveries[1].counters.expired, 1)
        self.assertEqual(self.bots["text"].deliveries[2].counters.expired, 0)

    def test_pauses(self) -> None:
        """The links of an account are paused while the journal says so, also those that open meanwhile."""
        links = [checked_link(account) for account in self.accounts.values()]
        for account, link in zip(self.accounts.values(), links, strict=True):
            account.links.opened(link, Channel.BOTH)
        self.store.full = True  # before it is open, all waits
        big = event(1, "notice", size=20 << 20)
        self.accounts[1].publish(big)
        self.accounts[3].publish(big)  # of no such bot
        self.assertEqual([link.is_paused for link in links], [True, False, False])
        newer = checked_link(self.accounts[1])
        self.accounts[1].links.opened(newer, Channel.BOTH)
        self.assertTrue(newer.is_paused)
        self.assertFalse(links[0].is_paused)
        self.deliveries.add(self.bots["all"], self.accounts[3], ReplayPolicy())
        self.accounts[3].publish(big)
        self.assertTrue(links[2].is_paused)
        self.store.full = False
        self.open()
        self.clock.pump([0.1] * 20)
        self.assertFalse(newer.is_paused or links[2].is_paused)
        self.assertEqual(self.accounts[1].links.pause_reason, "")

    def test_an_account_that_is_added_again(self) -> None:
        """It is paused at once, if what it sent before still waits."""
        self.accounts[1].publish(event(1, "notice", size=20 << 20))
        again = Account(1, self.clock, self.wall)
        self.deliveries.remove(self.bots["all"], self.accounts[1])
        self.deliveries.add(self.bots["all"], again, ReplayPolicy())
        link = checked_link(again)
        again.links.opened(link, Channel.BOTH)
        self.assertTrue(link.is_paused)
        self.open()
        self.clock.advance(0)
        self.assertFalse(link.is_paused)
