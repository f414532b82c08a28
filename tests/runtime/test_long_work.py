from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial import unittest

from lgtwist.runtime.long_work import LongWork, long_work_of


class LongWorkTests(unittest.SynchronousTestCase):
    """Pieces of work, each of which takes as long as it says."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.time = 0.0
        self.work = LongWork(self.clock, lambda: self.time)
        self.done: list[str] = []

    def add(self, name: str, cost: float, takes: float) -> object:
        def work() -> None:
            self.time += takes
            self.done.append(name)

        return self.work.add(work, cost)

    def test_one_turn_has_one_long_piece(self) -> None:
        for name in "abc":
            self.add(name, 0.0, 0.5)
        self.clock.advance(0)
        self.assertEqual(self.done, ["a"])

    def test_pauses_as_long_as_it_took(self) -> None:
        for name in "ab":
            self.add(name, 0.0, 0.5)
        self.clock.advance(0)
        self.clock.advance(0.49)
        self.assertEqual(self.done, ["a"])
        self.clock.advance(0.02)
        self.assertEqual(self.done, ["a", "b"])

    def test_short_pieces_share_a_turn(self) -> None:
        for name in "abc":
            self.add(name, 0.0, 0.001)
        self.clock.advance(0)
        self.assertEqual(self.done, ["a", "b", "c"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_cheapest_is_first(self) -> None:
        self.add("dear", 0.5, 0.5)
        self.add("cheap", 0.0, 0.1)
        self.clock.advance(0)
        self.assertEqual(self.done, ["cheap"])

    def test_what_is_added_meanwhile_waits(self) -> None:
        def work() -> None:
            self.time += 0.001
            self.add("second", 0.0, 0.0)

        self.work.add(work, 0.0)
        self.clock.advance(0)
        self.assertEqual(self.done, [])
        self.clock.advance(0.01)
        self.assertEqual(self.done, ["second"])

    def test_cancelled(self) -> None:
        second = self.work.add(lambda: self.done.append("second"), 1.0)
        self.work.add(second.cancel, 0.0)
        self.clock.advance(0)
        self.assertEqual(self.done, [])
        self.work.add(lambda: None, 0.0).cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_exception_costs_no_other_piece(self) -> None:
        def fail() -> None:
            raise OSError

        self.work.add(fail, 0.0)
        self.add("other", 0.0, 0.0)
        self.clock.advance(0)
        self.assertEqual(self.done, ["other"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_time_for_work_at_once(self) -> None:
        self.assertTrue(self.work.has_time())
        self.time += 0.5
        self.work.note(0.5)
        self.assertFalse(self.work.has_time())
        self.time += 0.2
        self.assertTrue(self.work.has_time())

    def test_one_for_each_clock(self) -> None:
        self.assertIs(long_work_of(self.clock), long_work_of(self.clock))
        self.assertIsNot(long_work_of(self.clock), long_work_of(Clock()))

    def test_it_keeps_no_clock(self) -> None:
        clock = Clock()
        long_work_of(clock)
        gone = weakref.ref(clock)
        del clock
        gc.collect()
        self.assertIsNone(gone())
