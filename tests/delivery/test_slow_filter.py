from __future__ import annotations

from typing import Any

from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.onebot.event import Event
from lgtwist.onebot.message import MessageFormat
from lgtwist.runtime.long_work import LongWork
from tests.delivery.cases import NO_TAIL, DeliveryTestCase, odd
from tests.journal.fakes import Room


class SlowFilterTests(DeliveryTestCase):
    """Deliveries whose filter takes long; time passes only while it judges."""

    def setUp(self) -> None:
        super().setUp()
        self.time = 0.0
        self.longest = 0.0

    def slow_room(self, takes: float, **options: Any) -> Room:
        def passes(event: Event) -> bool:
            self.time += takes
            return odd(event)

        room = self.room(passes=passes, **options)
        for delivery in room.deliveries.values():
            delivery._sending.judging.work = LongWork(room.clock, lambda: self.time)
        return room

    def go(self, room: Room, turns: int) -> None:
        """Let reactor turns pass, and note the longest."""
        for _turn in range(turns):
            before = self.time
            room.clock.advance(0.4)
            self.longest = max(self.longest, self.time - before)

    def test_one_event_a_turn(self) -> None:
        room = self.slow_room(0.3)
        sink = room.attach()
        sink.instantly = True
        begun = self.time
        room.put(*range(1, 20))
        self.assertLess(self.time - begun, 0.3 * 20)
        self.go(room, 40)
        self.assertLess(self.longest, 0.31)
        self.assertEqual(sink.numbers, list(range(1, 20, 2)))
        self.assertEqual(room.delivery.backlog, 0)
        room.put(20, 21)
        self.go(room, 10)
        self.assertEqual(sink.numbers[-1], 21)

    def test_many_that_do_not_pass(self) -> None:
        """They are read in short turns, and the cursor comes to the end."""
        for options in ({}, {"limits": NO_TAIL}, {"policy": ReplayPolicy(max_events=3, delay=0.0)}):
            room = self.slow_room(0.002, **options)
            room.put_each(*range(2, 2_002, 2))
            room.attach()
            self.longest = 0.0
            self.go(room, 700)
            self.assertLess(self.longest, 0.07)
            self.assertEqual(room.delivery.backlog, 0)
            self.store = type(self.store)()

    def test_a_reload_in_the_middle(self) -> None:
        """What was not judged yet is judged by the new filter; nothing is left out."""
        room = self.slow_room(0.3)
        sink = room.attach()
        room.put(*range(1, 12))
        self.go(room, 4)
        judged = len(sink.numbers)
        self.assertLess(judged, 5)
        room.delivery.configure(
            policy=ReplayPolicy(), passes=None, message_format=MessageFormat.AS_IS, window_bytes=4 << 20
        )
        self.go(room, 3)
        last = sink.numbers[judged - 1]
        self.assertEqual(sink.numbers[-1], 11)
        self.assertLessEqual(set(range(last + 2, 12)), set(sink.numbers))

    def test_gone_in_the_middle(self) -> None:
        room = self.slow_room(0.3)
        sink = room.attach()
        room.put(*range(1, 12))
        self.go(room, 2)
        room.delivery.detach(sink, None)
        before = self.time
        self.go(room, 10)
        self.assertEqual(self.time, before)
        again = room.attach()
        self.go(room, 40)
        self.assertEqual(again.numbers, [1, 3, 5, 7, 9, 11])
