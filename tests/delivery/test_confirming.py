"""How far a bot has come: what its confirmations move, and what it begins with after a restart."""

from __future__ import annotations

from typing import Any

from lgtwist.delivery.batch import Watermark
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from tests.delivery.cases import DeliveryTestCase
from tests.journal.fakes import HeldWorker, Room


class CursorTests(DeliveryTestCase):
    def test_a_new_bot_begins_at_the_end(self) -> None:
        """It does not get the past of others, and all that comes from then on, connected or not."""
        others = self.room(accounts=())
        others.put_each(1, 2, 3)
        others.journal.close()
        room = self.room()
        self.assertEqual(room.delivery.cursor, 3)
        self.assertEqual(room.delivery.backlog, 0)
        room.put_each(4, 5)
        sink = room.attach()
        room.put(6)
        self.assertEqual(sink.numbers, [4, 5, 6])

    def test_it_is_kept(self) -> None:
        """A bot that comes back, to a service that was started anew, goes on where it was."""
        room = self.room()
        sink = room.attach(window=2)
        room.put(1, 2, 3, 4, 5)
        sink.confirm()
        self.assertEqual(sink.numbers, [1, 2, 3, 4])
        room.journal.close()
        self.assertEqual(self.room().attach().numbers, [3, 4, 5])

    def test_a_crash_repeats_and_never_skips(self) -> None:
        """What was confirmed within the last second may come again; what is older does not."""
        room = self.room()
        sink = room.attach()
        room.put_each(1, 2)
        sink.confirm()
        room.advance(1.1)
        room.put_each(3, 4)
        sink.confirm()
        self.assertEqual(room.delivery.cursor, 4)
        self.assertEqual(self.room().attach().numbers, [3, 4])

    def test_part_of_what_was_sent(self) -> None:
        """A confirmation counts for all before it, and for nothing behind it."""
        room = self.room()
        sink = room.attach()
        room.put_each(1, 2, 3, 4)
        sink.confirm(1)
        self.assertEqual(room.delivery.unconfirmed, 2)
        self.assertEqual(room.delivery.cursor, 2)
        sink.confirm(0)
        self.assertEqual(room.delivery.unconfirmed, 2)
        self.assertEqual(room.delivery.cursor, 2)
        room.delivery.detach(sink, None)
        self.assertEqual(room.attach().numbers, [3, 4])

    def test_only_what_is_durable_is_sent(self) -> None:
        """Before the disk has it, an event does not exist."""
        room = self.room(worker=HeldWorker)
        sink = room.attach()
        room.put(1)
        room.writer.work()
        self.assertEqual(sink.numbers, [])
        room.writer.tell()
        self.assertEqual(sink.numbers, [1])

    def test_a_connection_before_the_journal_is_open(self) -> None:
        """It gets what it is to get once the journal is."""
        room = self.room()
        room.attach()
        room.put_each(1, 2)
        again = Room(self.store, worker=HeldWorker, clock=room.clock)
        again.delivery._sending.has_begun = False
        sink = again.attach()
        self.assertEqual(sink.numbers, [])
        again.delivery.begin()
        self.assertEqual(sink.numbers, [])
        again.reader.go()
        self.assertEqual(sink.numbers, [1, 2])

    def test_what_one_can_see(self) -> None:
        """Backlog and age of the cursor are zero only while nothing waits."""
        room = self.room()
        self.assertEqual(room.delivery.backlog, 0)
        self.assertEqual(room.delivery.cursor_age, 0.0)
        self.assertIsNone(room.delivery.cursor_since)
        sink = room.attach(window=2)
        room.put(1)
        sink.confirm()
        self.assertEqual(room.delivery.backlog, 0)
        self.assertEqual(room.delivery.cursor_age, 0.0)
        room.clock.advance(3)
        room.put_each(2, 3, 4)
        room.put(5, account=7)
        room.clock.advance(2)
        self.assertEqual(room.delivery.backlog, 3)
        self.assertEqual(room.delivery.cursor_age, 5.0)
        counters = room.delivery.counters
        self.assertEqual(counters.sent, 3)
        self.assertEqual(counters.confirmed, 1)
        self.assertEqual(room.delivery.unconfirmed, 2)
        sink.confirm()
        self.assertEqual(room.delivery.backlog, 1)
        self.assertEqual(room.delivery.cursor_age, 2.0)
        since = room.delivery.cursor_since
        room.clock.advance(0.25)
        self.assertEqual((room.delivery.cursor_age, room.delivery.cursor_since), (2.25, since))

    def test_a_mark_says_where(self) -> None:
        """Position, how many came before, and when: all three as of the last event."""
        room: Any = self.room(accounts=(1, 2))
        room.put(1, account=2)
        room.clock.advance(2)
        room.put_each(2, 3, account=1)
        sink = room.attach()
        sink.confirm()
        room.advance(1.1)
        watermark = self.store._contents.watermarks["bot", 1]
        self.assertEqual(watermark, Watermark(3, 2, int(room.wall() * 1000) - 1100))


class GraceTests(DeliveryTestCase):
    POLICY = ReplayPolicy(grace=2.0)

    def test_many_confirmations_within_it(self) -> None:
        """They are not kept without a bound; what is not told apart comes again rather than not."""
        room = self.room(policy=ReplayPolicy(grace=3600.0))
        sink = room.attach()
        for number in range(5000):
            room.clock.advance(0.01)
            room.put(number)
            sink.confirm()
        self.assertLessEqual(room.delivery._cursor.young, 1000)
        self.assertEqual(room.delivery.cursor, 0)
        room.advance(3610)
        room.advance(60)
        self.assertEqual(room.delivery.cursor, 5000)

    def test_a_bot_that_is_away_for_longer(self) -> None:
        """What was confirmed shortly before the break comes again, however late the bot is back."""
        room = self.room(policy=self.POLICY)
        sink = room.attach()
        room.put(1)
        sink.confirm()
        room.advance(3)
        room.put_each(2, 3)
        sink.confirm()
        room.advance(0.5)
        room.delivery.detach(sink, None)
        room.advance(60)
        self.assertEqual(room.attach().numbers, [2, 3])

    def test_retention_passes_what_waits_for_its_grace(self) -> None:
        """The cursor never goes back."""
        room = self.room(policy=self.POLICY, limits=JournalLimits(retention=0.5))
        sink = room.attach(window=1)
        room.put_each(1, 2, 3)
        room.clock.advance(4)
        sink.ready = False
        sink.confirm()
        room.clock.advance(1.5)  # retention takes all three, one at a time
        self.assertEqual(room.journal.expired(1), 3)
        self.assertEqual(room.delivery.cursor, 3)
        room.advance(3)
        self.assertEqual(room.delivery.cursor, 3)
