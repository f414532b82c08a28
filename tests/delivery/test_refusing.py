"""Events that a bot will not have: one at a time, until the one is known and skipped."""

from __future__ import annotations

from lgtwist.delivery.replay import ReplayPolicy
from tests.delivery.cases import REFUSED, DeliveryTestCase, odd
from tests.journal.fakes import FakeSink, Room, event


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
        self.assertEqual(room.delivery.counters.refused, 1)
        self.assertEqual(room.delivery.cursor, 1)
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
        self.assertEqual(refusal.bot, "bot")
        self.assertEqual(refusal.account, 1)
        self.assertEqual(refusal.position, 1)
        self.assertEqual(refusal.reason, REFUSED)
        self.assertEqual(refusal.size, len(event(1, "notice", 1000)))
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
        self.assertEqual(room.delivery.counters.refused, 0)
        self.assertEqual(self.lines.loud(), [])
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
        self.assertEqual(room.delivery.counters.refused, 1)
        self.assertEqual(room.delivery.cursor, 1)
        self.assertEqual(len(self.lines.all("refuses every event of account 1")), 1)
        sink = room.attach()
        self.assertEqual(sink.numbers, [2])
        sink.confirm()
        room.delivery.detach(sink, REFUSED)
        for _ in range(4):
            self.cycle(room)
        self.assertEqual(room.delivery.counters.refused, 2)
        self.assertEqual(room.delivery.cursor, 3)

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
        self.assertEqual(got, [1, 5, 6])
        self.assertEqual(room.delivery.counters.refused, 3)
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
        self.assertEqual(sink.numbers[-1], 3)
        self.assertEqual(room.delivery.counters.refused, 2)

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
        self.assertEqual(room.delivery.counters.refused, 1)
        self.assertEqual(room.delivery.cursor, 2)
        self.assertEqual(room.attach().numbers, [])

    def test_of_what_passes(self) -> None:
        """For a bot that sees only some events too."""
        room = self.room(passes=odd)
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
            room.delivery._sinks._ends = {older: 0, **room.delivery._sinks._ends}
        self.assertEqual(room.delivery.counters.refused, 0)
        self.assertEqual(newer.numbers, [1])
