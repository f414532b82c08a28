"""Delivery at least once, in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.batch import Position
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from tests.journal.fakes import FakeSink, HeldWorker, Lines, Room
from tests.journal.memory_store import MemoryStore

#: Everything is read from the disk.
NO_TAIL = JournalLimits(tail=1)


class DeliveryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()
        self.lines = Lines(self)

    def room(self, **options: Any) -> Room:
        return Room(self.store, **options)


class ChangeOverTests(DeliveryTestCase):
    def test_read_before_it_was_observed(self) -> None:
        """What the reader finds before the reactor hears of the commit is sent once."""
        room = self.room(worker=HeldWorker, limits=NO_TAIL)
        for number in (1, 2, 3):
            room.put(number)
            room.writer.go()
        sink = room.attach()
        room.put(4)
        room.writer.work()
        room.reader.go()
        self.assertEqual(sink.numbers, [1, 2, 3, 4])
        room.writer.tell()
        self.assertEqual(sink.numbers, [1, 2, 3, 4])

    def test_the_active_sink_ends_while_it_takes(self) -> None:
        """The one that is left gets what follows."""
        room = self.room()
        older = room.attach()

        class Ending(FakeSink):
            def take(self, frames: bytes, events: int, upto: Position) -> None:
                super().take(frames, events, upto)
                self.delivery.detach(self, None)

        room.put_each(1, 2)
        room.delivery.attach(Ending(room.delivery))
        room.put(3)
        self.assertEqual(older.numbers, [1, 2, 1, 2, 3])


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


class CountingTests(DeliveryTestCase):
    def test_what_fell_out_is_counted_once(self) -> None:
        """Also where it fell out under a connection that then breaks."""
        room = self.room(limits=JournalLimits(retention=1))
        sink = room.attach(window=1)
        room.put_each(1, 2, 3, 4, 5)
        room.clock.advance(6)
        room.delivery.detach(sink, None)
        room.attach()
        self.assertEqual(room.journal.expired(1), 5)
        self.assertEqual(room.delivery.counters.expired, 5)

    def test_what_was_skipped_is_counted_once(self) -> None:
        """Also where the connection breaks before the cursor is past it."""
        room = self.room(policy=ReplayPolicy(max_age=10))
        room.put(1, kind="request")
        room.put_each(2, 3)
        room.clock.advance(20)
        for _ in range(3):
            sink = room.attach()
            self.assertEqual(sink.numbers, [1])
            room.delivery.detach(sink, None)
        self.assertEqual(room.delivery.counters.too_old, 2)
        self.assertEqual(len(self.lines.all("were skipped")), 1)

    def test_window_in_bytes(self) -> None:
        """Not more than that is unconfirmed, however the events lie in the journal."""
        room = self.room(window_bytes=1000)
        room.put(*range(50), size=100)
        sink = room.attach(window=1000)
        self.assertLess(sum(events for events, _upto in sink.sent), 10)
