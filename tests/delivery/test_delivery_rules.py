"""The rules of certain delivery, one by one (contract, "Delivery")."""

from __future__ import annotations

from typing import Any

from lgtwist.delivery.batch import Position, Watermark
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from lgtwist.onebot.event import Event
from lgtwist.onebot.message import MessageFormat
from tests.delivery.test_delivery import NO_TAIL, DeliveryTestCase
from tests.journal.fakes import FakeSink, HeldWorker, Room, event, numbers

REFUSED = "close code 1003"


class CursorTests(DeliveryTestCase):
    def test_a_new_bot_begins_at_the_end(self) -> None:
        """It does not get the past of others, and all that comes from then on, connected or not."""
        others = self.room(accounts=())
        others.put_each(1, 2, 3)
        others.journal.close()
        room = self.room()
        self.assertEqual((room.delivery.cursor, room.delivery.backlog), (3, 0))
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
        self.assertEqual((room.delivery.unconfirmed, room.delivery.cursor), (2, 2))
        sink.confirm(0)
        self.assertEqual((room.delivery.unconfirmed, room.delivery.cursor), (2, 2))
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
        again.delivery._begun = False
        sink = again.attach()
        self.assertEqual(sink.numbers, [])
        again.delivery.begin()
        self.assertEqual(sink.numbers, [])
        again.reader.go()
        self.assertEqual(sink.numbers, [1, 2])

    def test_what_one_can_see(self) -> None:
        """Backlog and age of the cursor are zero only while nothing waits."""
        room = self.room()
        self.assertEqual((room.delivery.backlog, room.delivery.cursor_age), (0, 0.0))
        sink = room.attach(window=2)
        room.put(1)
        sink.confirm()
        self.assertEqual((room.delivery.backlog, room.delivery.cursor_age), (0, 0.0))
        room.clock.advance(3)
        room.put_each(2, 3, 4)
        room.put(5, account=7)
        room.clock.advance(2)
        self.assertEqual((room.delivery.backlog, room.delivery.cursor_age), (3, 5.0))
        counters = room.delivery.counters
        self.assertEqual((counters.sent, counters.confirmed, room.delivery.unconfirmed), (3, 1, 2))
        sink.confirm()
        self.assertEqual((room.delivery.backlog, room.delivery.cursor_age), (1, 2.0))


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
        self.assertEqual((sink.numbers, len(room.reader.jobs)), (list(range(50)), 0))

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
        self.assertEqual((sink.numbers, len(room.reader.jobs)), ([0], 0))
        held = sum(batch.size() for batch in room.delivery._read_ahead.batches)
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
        self.assertEqual((older.numbers, newer.numbers), ([], []))
        room.reader.go()
        room.reader.go()
        self.assertEqual((older.numbers, newer.numbers), ([], [1, 2, 3]))

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
        self.assertEqual((sink.numbers, room.delivery.cursor), ([1, 2], 0))

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
            self.assertEqual(len(delivery._read_ahead.batches), 0)
            self.assertIsNone(delivery._reading)

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


class FilterTests(DeliveryTestCase):
    @staticmethod
    def odd(event: Event) -> bool:
        return numbers([event.raw])[0] % 2 == 1

    def test_what_passes(self) -> None:
        """Only that is sent, counts for the window, and is confirmed."""
        room = self.room(passes=self.odd)
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
        self.assertEqual((room.delivery.counters.sent, room.delivery.backlog), (7, 0))

    def test_the_cursor_moves_over_what_does_not_pass(self) -> None:
        """A bot that is sent nothing has no backlog, and what it is not sent never falls out for it."""
        room = self.room(passes=self.odd, limits=JournalLimits(retention=5))
        sink = room.attach()
        room.put_each(2, 4, 6)
        self.assertEqual((room.delivery.cursor, room.delivery.backlog), (3, 0))
        room.put_each(7, 8, 10)
        self.assertEqual(room.delivery.cursor, 3)
        sink.confirm()
        self.assertEqual((room.delivery.cursor, room.delivery.backlog), (6, 0))
        room.advance(60)
        self.assertEqual((room.delivery.counters.expired, self.lines.loud()), (0, []))

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
        self.assertEqual((sink.numbers, room.delivery.counters.too_old), (list(range(5)), 0))

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
        room = self.room(policy=ReplayPolicy(max_events=2), passes=FilterTests.odd)
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
        self.assertEqual((sink.numbers, len(room.reader.jobs)), ([], 0))
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
        self.assertEqual((newer.numbers, older.numbers), ([1, 2, 3], [3]))

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
        room.delivery.came_back(sink)
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


class RefusalTests(DeliveryTestCase):
    def cycle(self, room: Room, reason: str | None = REFUSED, window: int = 100) -> FakeSink:
        """A connection that ends as soon as it was sent something."""
        sink = room.attach(window)
        room.delivery.detach(sink, reason)
        return sink

    def test_five_times(self) -> None:
        """Then it is skipped, named, counted and kept, and what follows arrives."""
        room = self.room()
        room.put(1, kind="notice", size=1000)
        room.put_each(2, 3)
        sent = [self.cycle(room).numbers for _ in range(6)]
        self.assertEqual(sent, [[1, 2, 3], *[[1]] * 5])
        self.assertEqual((room.delivery.counters.refused, room.delivery.cursor), (1, 1))
        [line] = self.lines.all("skipped an event")
        for part in (
            "bot",
            "account 1",
            "5 times",
            REFUSED,
            "position 1",
            "notice",
            f"{len(event(1, 'notice', 1000))} bytes",
        ):
            self.assertIn(part, line)
        room.advance(1.1)
        [refusal] = self.store.refusals
        self.assertEqual(
            (refusal.bot, refusal.account, refusal.position, refusal.reason, refusal.size),
            ("bot", 1, 1, REFUSED, len(event(1, "notice", 1000))),
        )
        self.assertEqual(refusal.payload, event(1, "notice", 1000))
        sink = room.attach()
        self.assertEqual(sink.numbers, [2])
        sink.confirm()
        self.assertEqual(sink.numbers, [2, 3])

    def test_four_times(self) -> None:
        """That is not enough, and another event's refusals are its own."""
        room = self.room()
        room.put(1)
        for _ in range(4):
            self.cycle(room)
        sink = room.attach()
        sink.confirm()
        room.put(2)
        room.delivery.detach(sink, REFUSED)
        for _ in range(3):
            self.cycle(room)
        self.assertEqual(room.delivery.counters.refused, 0)
        self.assertEqual(self.cycle(room).numbers, [2])
        self.assertEqual(room.delivery.counters.refused, 1)

    def test_one_at_a_time_until_past_the_point(self) -> None:
        """After a refusal each event is confirmed before the next goes, up to what had been sent."""
        room = self.room()
        room.put(*range(1, 5))
        self.cycle(room)
        room.put(*range(5, 8))
        sink = room.attach()
        for number in range(1, 5):
            self.assertEqual(sink.numbers[-1], number)
            self.assertEqual(room.delivery.unconfirmed, 1)
            room.put(100 + number)
            sink.confirm()
        self.assertGreater(room.delivery.unconfirmed, 1)
        self.assertEqual(sink.numbers, [*range(1, 8), 101, 102, 103, 104])

    def test_the_suspect_in_the_middle(self) -> None:
        """It alone is skipped."""
        room = self.room()
        room.put(*range(1, 8))
        got: list[int] = []
        for _ in range(10):
            sink = room.attach()
            while room.delivery.unconfirmed:
                if 4 in sink.numbers:
                    room.delivery.detach(sink, REFUSED)
                    break
                sink.confirm()
            got += [number for number in sink.numbers if number != 4 and number not in got]
        self.assertEqual(got, [1, 2, 3, 5, 6, 7])
        self.assertEqual([one.position for one in room.journal._unsaved.refused], [4])

    def test_crashes_do_not_count(self) -> None:
        """A bot that crashes over and over loses nothing; nor do crashes between refusals."""
        room = self.room()
        room.put(1, 2)
        for _ in range(50):
            self.assertEqual(self.cycle(room, None).numbers, [1, 2])
        for _ in range(4):
            self.cycle(room, REFUSED, 1)
            self.cycle(room, None, 1)
        self.assertEqual((room.delivery.counters.refused, self.lines.loud()), (0, []))
        self.cycle(room, REFUSED, 1)
        self.assertEqual(room.delivery.counters.refused, 1)

    def test_a_refusal_of_nothing(self) -> None:
        """A close when everything is confirmed counts against nothing."""
        room = self.room()
        for _ in range(10):
            self.cycle(room)
        room.put(1, 2)
        self.assertEqual(room.attach().numbers, [1, 2])

    def test_a_bot_that_refuses_everything(self) -> None:
        """After one skip nothing more is skipped until it confirms something: one line says so."""
        room = self.room()
        room.put_each(1, 2, 3, 4)
        for _ in range(60):
            self.cycle(room)
        self.assertEqual((room.delivery.counters.refused, room.delivery.cursor), (1, 1))
        self.assertEqual(len(self.lines.all("refuses every event of account 1")), 1)
        sink = room.attach()
        self.assertEqual(sink.numbers, [2])
        sink.confirm()
        room.delivery.detach(sink, REFUSED)
        for _ in range(4):
            self.cycle(room)
        self.assertEqual((room.delivery.counters.refused, room.delivery.cursor), (2, 3))

    def test_some_that_are_too_large(self) -> None:
        """Where several in a row are larger than a bot takes, what follows arrives all the same."""
        room = self.room()
        room.put(1, size=100)
        room.put_each(2, 3, 4, size=600_000)
        room.put_each(5, 6, size=100)
        got: list[int] = []
        for _ in range(40):
            sink = room.attach()
            while room.delivery.unconfirmed:
                if {2, 3, 4} & set(sink.numbers):
                    room.delivery.detach(sink, "close code 1009")
                else:
                    sink.confirm()
            if sink in room.delivery._sinks:
                room.delivery.detach(sink, None)
            got += [number for number in sink.numbers if number in (1, 5, 6) and number not in got]
        self.assertEqual((got, room.delivery.counters.refused), ([1, 5, 6], 3))
        self.assertEqual(len(self.lines.all("skipped an event")), 3)

    def test_a_webhook(self) -> None:
        """The same where a post is refused and the connection goes on."""
        room = self.room()
        sink = room.attach(window=1)
        room.put(1, 2, 3)
        for _ in range(4):
            room.delivery.failed(sink, "HTTP 413")
        room.delivery.failed(sink, None)
        self.assertEqual(sink.numbers, [1] * 6)
        room.delivery.failed(sink, "HTTP 413")
        self.assertEqual(sink.numbers, [1] * 6 + [2])
        self.assertEqual(room.delivery.counters.refused, 1)
        sink.confirm()
        self.assertEqual(sink.numbers[-1], 3)

    def test_a_webhook_that_takes_no_large_ones(self) -> None:
        """Where several in a row are too large (413), what follows arrives all the same."""
        room = self.room()
        sink = room.attach(window=1)
        room.put_each(1, 2, size=600_000)
        room.put(3)
        for _ in range(10):
            room.delivery.failed(sink, "HTTP 413")
        self.assertEqual((sink.numbers[-1], room.delivery.counters.refused), (3, 2))

    def test_with_grace(self) -> None:
        """What was skipped does not come again after the next break."""
        room = self.room(policy=ReplayPolicy(grace=5))
        room.put(1)
        for _ in range(5):
            self.cycle(room)
        room.put(2)
        self.assertEqual(room.attach().numbers, [2])

    def test_a_cursor_that_waits_for_its_grace(self) -> None:
        """It does not go back behind what was skipped meanwhile."""
        room = self.room(policy=ReplayPolicy(grace=1))
        room.put_each(1, 2)
        for turn in range(5):
            sink = room.attach(window=1)
            sink.confirm()
            self.assertEqual(sink.numbers, [1, 2])
            room.clock.advance(1.5 if turn == 4 else 0.1)
            room.delivery.detach(sink, REFUSED)
        self.assertEqual((room.delivery.counters.refused, room.delivery.cursor), (1, 2))
        self.assertEqual(room.attach().numbers, [])

    def test_of_what_passes(self) -> None:
        """For a bot that sees only some events too."""
        room = self.room(passes=FilterTests.odd)
        room.put(*range(6))
        for _ in range(6):
            self.cycle(room)
        sink = room.attach()
        sink.instantly = True
        sink.confirm()
        room.put(6, 7)
        self.assertEqual([one.position for one in room.journal._unsaved.refused], [2])
        self.assertEqual(sink.numbers, [3, 5, 7])

    def test_an_old_connection_refuses(self) -> None:
        """One that does not hold the delivery says nothing about it."""
        room = self.room()
        older = room.attach()
        room.put(1)
        newer = room.attach()
        for _ in range(6):
            room.delivery.detach(older, REFUSED)
            room.delivery._sinks = {older: 0, **room.delivery._sinks}
        self.assertEqual((room.delivery.counters.refused, newer.numbers), (0, [1]))


class TakeoverTests(DeliveryTestCase):
    def test_the_newest_takes_over(self) -> None:
        """It gets what was not confirmed, and the older goes on as live; one line says so."""
        room = self.room()
        older = room.attach()
        room.put_each(1, 2)
        older.confirm(0)
        newer = room.attach()
        self.assertEqual((older.live, newer.numbers), (True, [2]))
        older.confirm()
        self.assertEqual(room.delivery.cursor, 1)
        room.put(3)
        self.assertEqual((older.numbers, newer.numbers), ([1, 2], [2, 3]))
        self.assertEqual(len(self.lines.all("a newer connection takes over account 1")), 1)

    def test_hand_back(self) -> None:
        """When the active sink ends the newest that is left takes the cursor back."""
        room = self.room()
        first, second, third = room.attach(), room.attach(), room.attach()
        room.put_each(1, 2)
        third.confirm(0)
        room.delivery.detach(third, None)
        self.assertEqual((first.live, second.live), (True, False))
        self.assertEqual((first.numbers, second.numbers), ([], [2]))
        room.delivery.detach(first, None)
        room.put(3)
        self.assertEqual(second.numbers, [2, 3])
        room.delivery.detach(second, None)
        room.put(4)
        self.assertEqual(room.attach().numbers, [2, 3, 4])

    def test_with_grace(self) -> None:
        """What the older confirmed just now may not be done: it goes to the newer too; so do posts."""
        room = self.room(policy=ReplayPolicy(grace=2))
        older = room.attach()
        room.put(1)
        older.confirm()
        room.advance(3)
        room.put(2)
        older.confirm()
        room.put(3)
        newer = room.attach()
        self.assertEqual(newer.numbers, [2, 3])
        newer.confirm()
        room.delivery.failed(newer, None)
        self.assertEqual(newer.numbers, [2, 3, 2, 3])

    def test_an_older_one_ends(self) -> None:
        """Nothing changes for the active one."""
        room = self.room()
        older, newer = room.attach(), room.attach()
        room.put(1)
        room.delivery.detach(older, None)
        room.put(2)
        self.assertEqual((newer.numbers, room.delivery.unconfirmed), ([1, 2], 2))


class SilenceTests(DeliveryTestCase):
    def test_one_line(self) -> None:
        """No confirmation for longer than that is one line, one more when it is over, and no harm."""
        room = self.room(patience=60.0)
        sink = room.attach()
        room.advance(100)
        room.put_each(1, 2)
        room.advance(59)
        self.assertFalse(room.delivery.silent)
        self.assertEqual(self.lines.all("no confirmation"), [])
        room.advance(300)
        self.assertTrue(room.delivery.silent)
        self.assertEqual(len(self.lines.all("no confirmation of events of account 1 for 60 s")), 1)
        self.assertEqual(sink.numbers, [1, 2])
        sink.confirm()
        self.assertFalse(room.delivery.silent)
        self.assertEqual(len(self.lines.all("confirms events of account 1 again")), 1)

    def test_a_bot_that_goes_on(self) -> None:
        """Confirmations that come late, but come, are no silence."""
        room = self.room(patience=60.0)
        sink = room.attach()
        for number in range(10):
            room.put(number)
            room.advance(50)
            sink.confirm()
        self.assertEqual(self.lines.loud(), [])


class GoneTests(DeliveryTestCase):
    def test_a_bot_that_was_away_too_long(self) -> None:
        """What fell out meanwhile is counted and told, what is left comes."""
        room = self.room(limits=JournalLimits(retention=20))
        sink = room.attach()
        room.put(1)
        sink.confirm()
        room.delivery.detach(sink, None)
        room.put_each(2, 3)
        room.clock.advance(15)
        room.put_each(4, 5)
        room.clock.advance(10)
        room.clock.pump([0.1] * 5)
        self.assertEqual(room.journal.expired(1), 3)
        self.assertTrue(self.lines.all("of account 1 fell out of the journal before the bot had them"))
        self.assertEqual((room.attach().numbers, room.delivery.counters.expired), ([4, 5], 2))

    def test_while_the_service_was_down(self) -> None:
        """The same for what falls out when it is started again."""
        room = self.room()
        room.put_each(1, 2, 3)
        room.journal.close()
        room.clock.advance(100)
        room = self.room(clock=room.clock, limits=JournalLimits(retention=10))
        room.clock.pump([0.1] * 20)
        room.put(4)
        self.assertEqual((room.attach().numbers, room.delivery.counters.expired), ([4], 3))

    def test_it_is_told_once(self) -> None:
        """Not again when the service is started again."""
        room = self.room(limits=JournalLimits(retention=5))
        room.put_each(1, 2, 3)
        room.advance(15)
        self.assertEqual(room.delivery.counters.expired, 3)
        room.journal.close()
        self.lines.forget()
        room = self.room(clock=room.clock)
        room.attach()
        self.assertEqual((room.delivery.counters.expired, self.lines.all("fell out")), (0, []))

    def test_a_page_read_while_it_falls_out(self) -> None:
        """What retention took is said to have fallen out, not to be damaged, whoever hears of it first."""
        room = self.room(worker=HeldWorker, limits=JournalLimits(retention=4, tail=1))
        for number in range(4):
            room.put(number)
            while room.delivery.backlog < number + 1:
                room.writer.go()
        for _ in range(20):
            room.clock.advance(1)
            room.writer.work()
            if len(room.store._chunks) < 4:
                break
            room.writer.tell()
        sink = room.attach()
        room.reader.go()
        for _ in range(20):
            room.writer.go()
            room.reader.go()
        counters = room.delivery.counters
        self.assertEqual((counters.damaged, self.lines.all("damaged")), (0, []))
        self.assertEqual(counters.expired + len(sink.numbers), 4)

    def test_a_bot_that_does_not_come_back(self) -> None:
        """What falls out for it, hour by hour, does not fill the log: it is one episode."""
        room = self.room(limits=JournalLimits(retention=60))
        for number in range(120):
            room.put(number)
            room.advance(5, 5)
        self.assertGreater(room.delivery.counters.expired, 90)
        self.assertLess(len(self.lines.all("fell out")), 20)

    def test_two_gaps_are_counted_once(self) -> None:
        """However often a bot comes to them again before it is past them."""
        room = self.room(limits=NO_TAIL)
        room.put_each(*range(10))
        del room.store._chunks[6:8]
        del room.store._chunks[2:4]
        for _ in range(5):
            sink = room.attach()
            self.assertEqual(sink.numbers, [0, 1, 4, 5, 8, 9])
            room.delivery.detach(sink, None)
        self.assertEqual(room.delivery.counters.damaged, 4)

    def test_gaps_and_grace(self) -> None:
        """The same where the break takes back what was confirmed behind a gap."""
        room = self.room(limits=NO_TAIL, policy=ReplayPolicy(grace=5))
        room.put_each(*range(10))
        del room.store._chunks[6:8]
        del room.store._chunks[2:4]
        for _ in range(3):
            sink = room.attach(window=3)
            sink.confirm()
            sink.confirm()
            self.assertEqual(sink.numbers, [0, 1, 4, 5, 8, 9])
            room.delivery.detach(sink, None)
        self.assertEqual(room.delivery.counters.damaged, 4)


class MarkTests(DeliveryTestCase):
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
