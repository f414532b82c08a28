from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial import unittest

from lgtwist.hub.fan_out import FanOut
from lgtwist.onebot.event import Event, read_event
from lgtwist.onebot.message import MessageFormat
from lgtwist.runtime.long_work import LongWork
from lgtwist.runtime.turns import FlushScheduler
from tests.hub.fakes import FakeConnection


def encode(event: bytes) -> bytes:
    return event


class Filter:
    """Lets events through that have an even number; judging takes as long as it is told."""

    def __init__(self, case: SlowFilterTests, takes: float) -> None:
        self.case = case
        self.takes = takes
        self.fails = False

    def __call__(self, event: Event) -> bool:
        self.case.time += self.takes
        if self.fails:
            raise OSError
        return int(event.raw.split(b":")[-1][:-1]) % 2 == 0


class SlowFilterTests(unittest.SynchronousTestCase):
    """Subscribers whose filters take long; time passes only while they judge."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.time = 0.0
        self.scheduler = FlushScheduler(self.clock)
        self.scheduler.long_work = LongWork(self.clock, lambda: self.time)
        self.fan_out = FanOut(10001, self.scheduler)

    def subscribe(self, takes: float | None) -> tuple[FakeConnection, Filter | None]:
        connection = FakeConnection()
        judge = None if takes is None else Filter(self, takes)
        self.fan_out.subscribe(connection, MessageFormat.AS_IS, encode, judge)
        return connection, judge

    def publish(self, *numbers: int, size: int = 0) -> None:
        """Publish messages of one read."""
        if len(numbers) > 1:
            self.scheduler.reading = True
        for number in numbers:
            raw = b'{"post_type":"message","text":"%b","number":%d}' % (b"x" * size, number)
            self.fan_out.publish(read_event(raw))
        if len(numbers) > 1:
            self.scheduler.reading = False
            self.scheduler.read_ended()

    def numbers(self, connection: FakeConnection) -> list[int]:
        return [int(frame.split(b":")[-1][:-1]) for frame in connection.frames]

    def advance(self, seconds: float) -> None:
        for _turn in range(int(seconds / 0.1)):
            self.clock.advance(0.1)

    def test_one_turn_has_few_of_them(self) -> None:
        slow = [self.subscribe(0.3)[0] for _number in range(50)]
        quick, _judge = self.subscribe(None)
        self.publish(2)
        self.assertLess(self.time, 0.7)
        self.assertEqual(self.numbers(quick), [2])
        for _turn in range(20):
            before = self.time
            self.clock.advance(0.1)
            self.assertLess(self.time - before, 0.31)
        self.advance(40)
        self.assertEqual([self.numbers(one) for one in slow], [[2]] * 50)

    def test_others_do_not_wait_for_one(self) -> None:
        slow, _judge = self.subscribe(0.5)
        self.publish(0)
        self.advance(1)
        self.time += 1
        quick, _judge = self.subscribe(0.0001)
        self.publish(2)
        self.publish(4)
        self.assertEqual(self.numbers(quick), [2, 4])
        self.assertEqual(self.numbers(slow), [0])
        self.advance(3)
        self.assertEqual(self.numbers(slow), [0, 2, 4])

    def test_many_events_of_one_read(self) -> None:
        slow, _judge = self.subscribe(0.3)
        self.publish(*range(8))
        self.assertLess(self.time, 0.31)
        self.advance(5)
        self.assertEqual(self.numbers(slow), [0, 2, 4, 6])

    def test_order_over_a_reload_and_heartbeats(self) -> None:
        slow, _judge = self.subscribe(0.3)
        self.publish(0, 1, 2)
        self.fan_out.subscribe(slow, MessageFormat.AS_IS, encode, None)
        self.publish(3)
        self.fan_out.subscribe_meta(slow, MessageFormat.AS_IS, encode)
        self.fan_out.publish(read_event(b'{"post_type":"meta_event","number":5}'))
        self.advance(5)
        self.assertEqual(self.numbers(slow), [0, 2, 3, 5])
        self.publish(6)
        self.assertEqual(self.numbers(slow), [0, 2, 3, 5])

    def test_it_is_at_once_again_when_it_is_quick_again(self) -> None:
        slow, judge = self.subscribe(0.3)
        assert judge is not None
        self.publish(0)
        judge.takes = 0.0
        for _event in range(10):
            self.publish(2)
            self.advance(1)
        self.time += 1
        self.publish(4)
        self.assertEqual(self.numbers(slow)[-1], 4)

    def test_gone_while_events_wait(self) -> None:
        slow, _judge = self.subscribe(0.3)
        self.publish(0, 2, 4)
        self.fan_out.unsubscribe(slow)
        self.advance(3)
        self.assertEqual(self.numbers(slow), [0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_waits_is_bounded(self) -> None:
        slow, _judge = self.subscribe(0.3)
        for number in range(0, 20, 2):
            self.publish(number, size=1 << 20)
        self.advance(5)
        dropped = slow.dropped
        self.assertGreater(dropped, 4)
        self.assertEqual(self.numbers(slow), [0, *range(2 + 2 * dropped, 20, 2)])

    def test_many_small_ones_that_wait(self) -> None:
        """What each takes besides its bytes is counted too."""
        slow, _judge = self.subscribe(0.3)
        self.publish(*range(5000))
        self.assertGreater(slow.dropped, 900)
        self.assertLess(slow.dropped, 1500)

    def test_a_failure_costs_one_event(self) -> None:
        slow, judge = self.subscribe(0.3)
        assert judge is not None
        self.publish(0, 2, 4)
        judge.fails = True
        self.clock.advance(0.1)
        judge.fails = False
        self.advance(3)
        self.assertEqual(self.numbers(slow), [0, 4])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
