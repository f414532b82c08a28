"""Events that expire before a bot has them, and gaps."""

from __future__ import annotations

from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from tests.delivery.cases import NO_TAIL, DeliveryTestCase
from tests.journal.fakes import HeldWorker


class ExpiryTests(DeliveryTestCase):
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
        self.assertEqual(room.attach().numbers, [4, 5])
        self.assertEqual(room.delivery.counters.expired, 2)

    def test_while_the_service_was_down(self) -> None:
        """The same for what falls out when it is started again."""
        room = self.room()
        room.put_each(1, 2, 3)
        room.journal.close()
        room.clock.advance(100)
        room = self.room(clock=room.clock, limits=JournalLimits(retention=10))
        room.clock.pump([0.1] * 20)
        room.put(4)
        self.assertEqual(room.attach().numbers, [4])
        self.assertEqual(room.delivery.counters.expired, 3)

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
        self.assertEqual(room.delivery.counters.expired, 0)
        self.assertEqual(self.lines.all("fell out"), [])

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
        self.assertEqual(counters.damaged, 0)
        self.assertEqual(self.lines.all("damaged"), [])
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
