"""Several connections of one bot, and one that says nothing."""

from __future__ import annotations

from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.onebot.message import MessageFormat
from tests.delivery.cases import DeliveryTestCase, odd
from tests.journal.fakes import FakeSink, Room
from tests.journal.memory_store import MemoryStore


class TakeoverTests(DeliveryTestCase):
    def test_the_newest_takes_over(self) -> None:
        """It gets what was not confirmed, and the older goes on as live; one line says so."""
        room = self.room()
        older = room.attach()
        room.put_each(1, 2)
        older.confirm(0)
        newer = room.attach()
        self.assertIs(older.live, True)
        self.assertEqual(newer.numbers, [2])
        older.confirm()
        self.assertEqual(room.delivery.cursor, 1)
        room.put(3)
        self.assertEqual(older.numbers, [1, 2])
        self.assertEqual(newer.numbers, [2, 3])
        self.assertEqual(len(self.lines.all("a newer connection takes over account 1")), 1)

    def test_hand_back(self) -> None:
        """When the active sink ends the newest that is left takes the cursor back."""
        room = self.room()
        first, second, third = room.attach(), room.attach(), room.attach()
        room.put_each(1, 2)
        third.confirm(0)
        room.delivery.detach(third, None)
        self.assertIs(first.live, True)
        self.assertIs(second.live, False)
        self.assertEqual(first.numbers, [])
        self.assertEqual(second.numbers, [2])
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
        self.assertEqual(newer.numbers, [1, 2])
        self.assertEqual(room.delivery.unconfirmed, 2)


class DelayTests(DeliveryTestCase):
    """Late events wait for a bot that has asked nothing."""

    policy = ReplayPolicy(delay=1.0)

    def attach(self, room: Room) -> FakeSink:
        sink = FakeSink(room.delivery)
        room.delivery.attach(sink, room.clock.seconds())
        return sink

    def test_the_whole_time(self) -> None:
        """What comes meanwhile waits behind it; afterwards nothing waits."""
        room = self.room(policy=self.policy)
        room.put_each(1, 2)
        sink = self.attach(room)
        room.put(3)
        room.advance(0.9, 0.1)
        self.assertEqual(sink.numbers, [])
        room.advance(0.2, 0.1)
        self.assertEqual(sink.numbers, [1, 2, 3])
        room.put(4)
        self.assertEqual(sink.numbers, [1, 2, 3, 4])

    def test_until_it_is_answered(self) -> None:
        """Its first answer ends the wait, once; so it does while the backlog is still counted."""
        for policy in (self.policy, ReplayPolicy(delay=1.0, max_events=2)):
            self.setUp()
            room = self.room(policy=policy)
            room.put_each(1, 2, 3)
            sink = self.attach(room)
            self.assertEqual(sink.numbers, [])
            room.delivery.end_delay(sink)
            self.assertEqual(sink.numbers, [1, 2, 3][-(policy.max_events or 3) :])
            room.delivery.end_delay(sink)
            room.put(4)
            self.assertEqual(sink.numbers[-1], 4)

    def test_nothing_late(self) -> None:
        """Without a backlog that the bot gets nothing waits."""
        room = self.room(policy=self.policy)
        sink = self.attach(room)
        room.put(1)
        self.assertEqual(sink.numbers, [1])
        self.store = MemoryStore()
        room = self.room(policy=self.policy, passes=odd)
        room.put_each(2, 4)
        sink = self.attach(room)
        room.put(5)
        self.assertEqual(sink.numbers, [5])

    def test_others(self) -> None:
        """One that was promoted after its time waits no more; one that is gone leaves nothing."""
        room = self.room(policy=self.policy)
        room.put_each(1, 2)
        older = self.attach(room)
        room.advance(0.6, 0.1)
        newer = self.attach(room)
        room.advance(0.6, 0.1)
        self.assertEqual((older.numbers, newer.numbers), ([], []))
        room.delivery.detach(newer, None)
        self.assertEqual(older.numbers, [1, 2])
        last = self.attach(room)
        room.delivery.detach(older, None)
        room.delivery.detach(last, None)
        self.assertFalse(room.delivery._sinks.has_delayed)

    def test_another_delay(self) -> None:
        """Settings that change count at once."""
        room = self.room(policy=self.policy)
        room.put(1)
        sink = self.attach(room)
        for delay, numbers in ((5.0, []), (0.0, [1])):
            room.delivery.configure(
                policy=ReplayPolicy(delay=delay),
                passes=None,
                message_format=MessageFormat.AS_IS,
                window_bytes=1000,
            )
            room.advance(2, 0.5)
            self.assertEqual(sink.numbers, numbers)


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
