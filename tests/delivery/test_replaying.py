"""How much of the past a bot gets, how fast, and how it is marked (``replay``)."""

from __future__ import annotations

from lgtwist.delivery.batch import Position
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from tests.delivery.cases import NO_TAIL, DeliveryTestCase, odd
from tests.journal.fakes import FakeSink, HeldWorker


class PolicyTests(DeliveryTestCase):
    def test_max_age(self) -> None:
        """Older than that when delivery resumes is skipped, counted, and one line; requests come."""
        room = self.room(policy=ReplayPolicy(max_age=10))
        room.put(1)
        room.put(2, kind="request")
        room.clock.advance(5)
        room.put(3)
        room.clock.advance(5)
        room.put_each(4, 5)
        room.clock.advance(0.5)
        sink = room.attach()
        self.assertEqual(sink.numbers, [2, 3, 4, 5])
        self.assertEqual(room.delivery.counters.too_old, 1)
        [line] = self.lines.all("skipped")
        self.assertIn("1 events of account 1 were skipped: 1 older than max_age, 0 beyond max_events", line)
        sink.confirm()
        self.assertEqual(room.delivery.backlog, 0)

    def test_max_age_is_for_what_came_before(self) -> None:
        """A slow bot on a living connection gets all, however long that takes."""
        room = self.room(policy=ReplayPolicy(max_age=10))
        sink = room.attach(window=1)
        room.put(*range(5))
        for _ in range(5):
            room.clock.advance(20)
            sink.confirm()
        self.assertEqual(sink.numbers, list(range(5)))
        self.assertEqual(room.delivery.counters.too_old, 0)

    def test_max_events(self) -> None:
        """So many of the newest, however they lie in the journal, and all requests."""
        for limits in (JournalLimits(), JournalLimits(tail=1, page=1)):
            self.setUp()
            room = self.room(policy=ReplayPolicy(max_events=3), limits=limits)
            room.put(0, kind="request")
            room.put_each(1, 2)
            room.put(*range(3, 8))
            sink = room.attach()
            self.assertEqual(sink.numbers, [0, 5, 6, 7])
            self.assertEqual(room.delivery.counters.too_many, 4)
            room.put_each(8, 9, 10, 11)
            self.assertEqual(sink.numbers, [0, *range(5, 12)])
            self.assertEqual(len(self.lines.all("4 events of account 1 were skipped")), 1)

    def test_max_events_of_a_bot_that_sees_little(self) -> None:
        """What it may not see does not count."""
        room = self.room(policy=ReplayPolicy(max_events=2), passes=odd)
        room.put(*range(10))
        self.assertEqual(room.attach().numbers, [7, 9])
        self.assertEqual(room.delivery.counters.too_many, 3)

    def test_max_events_while_more_come(self) -> None:
        """What comes while it is counted is not late: it is sent too."""
        room = self.room(policy=ReplayPolicy(max_events=2), worker=HeldWorker, limits=NO_TAIL)
        for number in range(5):
            room.put(number)
            room.writer.go()
        sink = room.attach()
        room.put(5)
        room.writer.go()
        for _ in range(10):
            room.reader.go()
        self.assertEqual(sink.numbers, [3, 4, 5])

    def test_max_events_where_the_disk_cannot_be_read(self) -> None:
        """It is counted again, and nothing is sent before it is known."""
        room = self.room(policy=ReplayPolicy(max_events=2), worker=HeldWorker, limits=NO_TAIL)
        for number in range(5):
            room.put(number)
            room.writer.go()
        sink = room.attach()
        _job, done = room.reader.jobs.popleft()
        done.errback(OSError("broken"))
        room.delivery.pump()
        self.assertEqual(sink.numbers, [])
        self.assertEqual(len(room.reader.jobs), 0)
        room.clock.advance(1.1)
        for _ in range(10):
            room.reader.go()
        self.assertEqual(sink.numbers, [3, 4])

    def test_max_events_after_an_end_within_take(self) -> None:
        """The older connection, which takes over then, gets no more of the past than any other."""
        room = self.room(policy=ReplayPolicy(max_events=1), worker=HeldWorker)

        class Ending(FakeSink):
            def take(self, frames: bytes, events: int, upto: Position) -> None:
                super().take(frames, events, upto)
                self.delivery.detach(self, None)

        older = room.attach()
        newer = Ending(room.delivery)
        room.delivery.attach(newer)
        newer.ready = False
        room.put(1, 2, 3)
        room.writer.go()
        newer.take_on()
        for _ in range(5):
            room.reader.go()
        self.assertEqual(newer.numbers, [1, 2, 3])
        self.assertEqual(older.numbers, [3])

    def test_rate(self) -> None:
        """The backlog comes at so many events a second; what happens meanwhile comes after it, at once."""
        room = self.room(policy=ReplayPolicy(rate=10))
        room.put(*range(50))
        sink = room.attach()
        sink.instantly = True
        room.put_each(50, 51)
        for second in range(1, 5):
            room.advance(1, 0.05)
            self.assertTrue(9 * second <= len(sink.numbers) <= 10 * second + 1, sink.numbers)
        room.advance(1.1, 0.05)
        self.assertEqual(sink.numbers, list(range(52)))
        room.put(*range(52, 90))
        self.assertEqual(sink.numbers, list(range(90)))

    def test_rate_of_a_bot_that_waits(self) -> None:
        """Time in which it took nothing is not made up for by a burst."""
        room = self.room(policy=ReplayPolicy(rate=10))
        room.put(*range(50))
        sink = room.attach()
        sink.ready = False
        room.advance(3)
        sink.take_on()
        self.assertLess(len(sink.numbers), 5)

    def test_slow_rate(self) -> None:
        """Less than one a second."""
        room = self.room(policy=ReplayPolicy(rate=0.2))
        room.put(*range(5))
        sink = room.attach()
        room.advance(14.9)
        self.assertEqual(sink.numbers, [0, 1, 2])
        room.advance(0.2)
        self.assertEqual(sink.numbers, [0, 1, 2, 3])

    def test_mark(self) -> None:
        """What was committed before the connection was opened says so; nothing else does."""
        room = self.room(policy=ReplayPolicy(mark=True))
        room.put_each(1, 2)
        sink = room.attach(window=1)
        room.put(3, 4)
        for _ in range(4):
            sink.confirm()
        self.assertEqual(
            [(one["n"], one.get("replayed")) for one in sink.events],
            [(1, True), (2, True), (3, None), (4, None)],
        )

    def test_mark_after_a_hand_back(self) -> None:
        """What counts is when that connection was opened, not when it got the cursor back."""
        room = self.room(policy=ReplayPolicy(mark=True))
        room.put(1)
        older = room.attach()
        older.ready = False
        newer = room.attach()
        newer.ready = False
        room.put(2)
        older.ready = True
        room.delivery.detach(newer, None)
        self.assertEqual([(one["n"], one.get("replayed")) for one in older.events][-1], (2, None))

    def test_mark_of_posts(self) -> None:
        """What is posted again, and what was there before the webhook worked again, says so."""
        room = self.room(policy=ReplayPolicy(mark=True))
        sink = room.attach(window=1)
        room.put(1, 2)
        room.delivery.failed(sink, None)
        room.put(3)
        room.delivery.recovered_sink(sink)
        sink.confirm()
        room.put(4)
        for _ in range(3):
            sink.confirm()
        self.assertEqual(
            [(one["n"], one.get("replayed")) for one in sink.events],
            [(1, None), (1, True), (2, True), (3, True), (4, None)],
        )

    def test_no_mark(self) -> None:
        """Without it an event is as it was, byte for byte."""
        room = self.room()
        room.put(1)
        self.assertEqual(room.attach().events, [{"post_type": "message", "n": 1, "text": ""}])

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
