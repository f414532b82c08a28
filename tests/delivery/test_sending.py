"""What is sent when: from memory, from the disk and between the two, within the window, filtered."""

from __future__ import annotations

from lgtwist.delivery.batch import Position
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from lgtwist.onebot.message import MessageFormat
from tests.delivery.cases import NO_TAIL, DeliveryTestCase, odd
from tests.journal.fakes import FakeSink, HeldWorker


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


class FlowTests(DeliveryTestCase):
    def test_from_the_disk_to_memory(self) -> None:
        """A bot that catches up while events come: no gap, no repetition, whatever is heard of when."""
        for limits in (JournalLimits(tail=1, page=1), JournalLimits(tail=900, page=300), JournalLimits()):
            self.setUp()
            room = self.room(worker=HeldWorker, limits=limits)
            count = 0
            for _ in range(30):
                count += 1
                room.put(count)
                room.writer.go()
            sink = room.attach(window=4)
            for turn in range(600):
                if turn % 2 and count < 200:
                    count += 1
                    room.put(count)
                (room.writer.work, room.reader.work, room.writer.tell, room.reader.tell)[turn % 4]()
                if turn % 3 == 0 and room.delivery.unconfirmed:
                    sink.confirm()
            for _ in range(1500):
                room.writer.go()
                room.reader.go()
                if room.delivery.unconfirmed:
                    sink.confirm()
                room.clock.advance(0.001)
            self.assertEqual(sink.numbers, list(range(1, count + 1)))
            self.assertGreater(count, 100)

    def test_who_keeps_up_is_fed_from_memory(self) -> None:
        """The disk is not read for it."""
        room = self.room(worker=HeldWorker)
        sink = room.attach()
        sink.instantly = True
        for number in range(50):
            room.put(number)
            room.writer.go()
        self.assertEqual(sink.numbers, list(range(50)))
        self.assertEqual(len(room.reader.jobs), 0)

    def test_one_page_at_a_time(self) -> None:
        """However large the backlog, and however often a bot comes and confirms, one page is on its way."""
        room = self.room(worker=HeldWorker, limits=JournalLimits(tail=1, page=1))
        for number in range(20):
            room.put(number, size=100)
            room.writer.go()
        sink = room.attach(window=1)
        for _ in range(5):
            room.delivery.pump()
            room.put(99)
            room.writer.go()
            self.assertEqual(len(room.reader.jobs), 1)
        room.reader.go()
        self.assertEqual(sink.numbers, [0])
        self.assertEqual(len(room.reader.jobs), 0)
        held = sum(batch.size() for batch in room.delivery._sending._read_ahead.batches)
        self.assertLess(held, 300)
        sink.confirm()
        self.assertEqual(len(room.reader.jobs), 1)

    def test_a_page_for_a_connection_that_is_gone(self) -> None:
        """It is thrown away."""
        room = self.room(worker=HeldWorker, limits=NO_TAIL)
        for number in (1, 2, 3):
            room.put(number)
            room.writer.go()
        older = room.attach()
        room.reader.work()
        room.delivery.detach(older, None)
        newer = room.attach()
        room.reader.tell()
        self.assertEqual(older.numbers, [])
        self.assertEqual(newer.numbers, [])
        room.reader.go()
        room.reader.go()
        self.assertEqual(older.numbers, [])
        self.assertEqual(newer.numbers, [1, 2, 3])

    def test_a_batch_larger_than_the_window(self) -> None:
        """It goes in parts, also one that is just committed to a bot that keeps up."""
        room = self.room()
        sink = room.attach(window=3)
        room.put(1)
        sink.confirm()
        room.put(*range(2, 12))
        self.assertEqual(sink.numbers, [1, 2, 3, 4])
        while room.delivery.unconfirmed:
            self.assertLessEqual(room.delivery.unconfirmed, 3)
            sink.confirm()
        self.assertEqual(sink.numbers, list(range(1, 12)))

    def test_an_event_larger_than_the_window(self) -> None:
        """It goes, with nothing beside it."""
        room = self.room(window_bytes=500)
        sink = room.attach()
        room.put(1, size=50)
        room.put(2, size=5000)
        room.put(3, size=50)
        self.assertEqual(sink.numbers, [1, 2])
        sink.confirm(0)
        self.assertEqual(sink.numbers, [1, 2])
        sink.confirm()
        self.assertEqual(sink.numbers, [1, 2, 3])

    def test_a_pause(self) -> None:
        """While the transport takes nothing nothing is sent; afterwards all of it is, in order."""
        room = self.room(limits=JournalLimits(tail=500))
        sink = room.attach(window=1000)
        room.put(1)
        sink.ready = False
        room.put_each(*range(2, 30))
        sink.confirm()
        self.assertEqual(sink.numbers, [1])
        sink.take_on()
        self.assertEqual(sink.numbers, list(range(1, 30)))

    def test_what_cannot_be_read_is_tried_again(self) -> None:
        """Each second; nothing is passed over."""
        room = self.room(worker=HeldWorker, limits=NO_TAIL)
        for number in (1, 2):
            room.put(number)
            room.writer.go()
        sink = room.attach()
        for _ in range(3):
            _job, done = room.reader.jobs.popleft()
            done.errback(OSError("broken"))
            room.clock.advance(0.9)
            self.assertEqual(len(room.reader.jobs), 0)
            room.clock.advance(0.2)
            self.assertEqual(len(room.reader.jobs), 1)
        room.reader.go()
        self.assertEqual(sink.numbers, [1, 2])
        self.assertEqual(room.delivery.cursor, 0)

    def test_one_line_for_what_cannot_be_read(self) -> None:
        """However long that lasts."""
        room = self.room(worker=HeldWorker, limits=NO_TAIL)
        for number in (1, 2):
            room.put(number)
            room.writer.go()
        room.attach()
        for _ in range(60):
            _job, done = room.reader.jobs.popleft()
            done.errback(OSError("broken"))
            room.clock.advance(1.1)
        self.assertEqual(len(self.lines.all("cannot be read for account 1: broken")), 1)

    def test_nothing_is_left_of_a_connection(self) -> None:
        """No timer, no page, nothing in the window."""
        for policy in (ReplayPolicy(rate=1), ReplayPolicy(max_events=1), ReplayPolicy()):
            self.setUp()
            room = self.room(worker=HeldWorker, limits=NO_TAIL, policy=policy)
            for number in range(5):
                room.put(number)
                room.writer.go()
            sink = room.attach(window=2)
            room.reader.go()
            room.delivery.detach(sink, None)
            for timer in room.clock.getDelayedCalls():
                self.assertIn("_Alarm", str(timer))  # the journal's
            delivery = room.delivery
            self.assertEqual(delivery.unconfirmed, 0)
            self.assertEqual(len(delivery._sending._read_ahead.batches), 0)
            self.assertIsNone(delivery._sending._waits.reading)

    def test_formats(self) -> None:
        """From memory as from the disk, an event is as the bot wants it."""
        payload = b'{"post_type":"message","n":1,"message":[{"type":"text","data":{"text":"hello"}}]}'
        for limits in (JournalLimits(), NO_TAIL):
            self.setUp()
            room = self.room(limits=limits, message_format=MessageFormat.STRING)
            room.put(0)
            for number in range(2):
                room.journal.append(1, [payload])
                room.clock.advance(0)
                if not number:
                    sink = room.attach()
            self.assertEqual([one.get("message") for one in sink.events], [None, "hello", "hello"])

    def test_window_in_bytes(self) -> None:
        """Not more than that is unconfirmed, however the events lie in the journal."""
        room = self.room(window_bytes=1000)
        room.put(*range(50), size=100)
        sink = room.attach(window=1000)
        self.assertLess(sum(events for events, _upto in sink.sent), 10)


class FilterTests(DeliveryTestCase):
    def test_what_passes(self) -> None:
        """Only that is sent, counts for the window, and is confirmed."""
        room = self.room(passes=odd)
        room.put(*range(10))
        sink = room.attach(window=3)
        self.assertEqual(sink.numbers, [1, 3, 5])
        sink.confirm()
        self.assertEqual(sink.numbers, [1, 3, 5, 7, 9])
        room.put_each(*range(10, 14))
        self.assertEqual(sink.numbers, [1, 3, 5, 7, 9, 11])
        sink.confirm()
        self.assertEqual(sink.numbers, [1, 3, 5, 7, 9, 11, 13])
        sink.confirm()
        self.assertEqual(room.delivery.counters.sent, 7)
        self.assertEqual(room.delivery.backlog, 0)

    def test_the_cursor_moves_over_what_does_not_pass(self) -> None:
        """A bot that is sent nothing has no backlog, and what it is not sent never falls out for it."""
        room = self.room(passes=odd, limits=JournalLimits(retention=5))
        sink = room.attach()
        room.put_each(2, 4, 6)
        self.assertEqual(room.delivery.cursor, 3)
        self.assertEqual(room.delivery.backlog, 0)
        room.put_each(7, 8, 10)
        self.assertEqual(room.delivery.cursor, 3)
        sink.confirm()
        self.assertEqual(room.delivery.cursor, 6)
        self.assertEqual(room.delivery.backlog, 0)
        room.advance(60)
        self.assertEqual(room.delivery.counters.expired, 0)
        self.assertEqual(self.lines.loud(), [])

    def test_an_account_of_which_nothing_comes(self) -> None:
        """Another account's events do not hold the cursor back for ever."""
        room = self.room(accounts=(1, 2), limits=JournalLimits(tail=1, retention=5))
        room.put(1, account=2)
        sink = room.attach(account=2)
        sink.confirm()
        room.put_each(*range(10), account=1)
        room.advance(30)
        room.delivery.detach(room.attach(), None)
        room.put(11, account=2)
        self.assertEqual(sink.numbers, [1, 11])

    def test_what_does_not_pass_while_the_bot_is_away(self) -> None:
        """It counts as confirmed: there is no backlog of it, and it is not lost when it expires."""
        room = self.room(passes=odd, limits=JournalLimits(retention=5))
        room.delivery.detach(room.attach(), None)
        room.put_each(2, 4, 6)
        self.assertEqual((room.delivery.cursor, room.delivery.backlog), (3, 0))
        room.put(8, 7, 10)  # what comes with one that passes waits with it
        room.put_each(12)
        self.assertEqual((room.delivery.cursor, room.delivery.backlog), (3, 4))
        sink = room.attach()
        self.assertEqual(sink.numbers, [7])
        sink.confirm()
        room.delivery.detach(sink, None)
        room.put_each(14, 16)
        room.advance(60)
        self.assertEqual((room.delivery.backlog, room.delivery.counters.expired), (0, 0))

    def test_what_does_not_pass_after_the_end_of_the_delivery(self) -> None:
        """A delivery that was stopped writes no cursor any more."""
        room = self.room(passes=odd)
        room.put(2)
        room.delivery.stop()
        room.put_each(4, 6)
        room.advance(2)
        self.assertEqual((room.delivery.cursor, self.room(passes=odd).delivery.cursor), (1, 1))
