"""What is deleted or skipped for its age, while the wall clock is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from lgtwist.journal.sqlite import SqliteStore
from lgtwist.runtime.wall_clock import STEADY_AFTER
from tests.journal.fakes import Lines, Room, event
from tests.journal.memory_store import MemoryStore

HOUR = 3600.0
DAY = 24 * HOUR
MONTH = 30 * DAY
LIMITS = JournalLimits(retention=DAY, tail=1)


class AgeTestCase(SynchronousTestCase):
    """Several runs over one store, each with a room; a wall clock that is wrong at times."""

    def setUp(self) -> None:
        self.lines = Lines(self)
        self.store = self.make_store()
        self.clock: Any = None

    def make_store(self) -> Any:
        """What the runs write to."""
        path = Path(self.mktemp())
        path.mkdir()
        return SqliteStore(path / "journal.sqlite")

    def run_again(self, ahead: float = 0.0, **options: Any) -> Room:
        """Begin a run: the wall clock is wrong by that, the monotonic one goes on from somewhere."""
        room = Room(self.store, limits=LIMITS, clock=self.clock, watched=True, ahead=ahead, **options)
        self.clock = room.clock
        self.successResultOf(room.opened)
        return room

    def end(self, room: Room) -> None:
        self.successResultOf(room.journal.close())

    def put(self, room: Room, *which: int) -> None:
        for number in which:
            room.journal.append(1, [event(number)])
            room.clock.advance(0.2)

    def wait(self, room: Room, seconds: float) -> None:
        """Let time pass in steps in which the journal looks at ages."""
        left = seconds
        while left > 0:
            room.clock.advance(min(10.0, left))
            room.watch.check()
            left -= 10.0

    def left(self, room: Room) -> list[int]:
        """Which events are still there, by a bot that has none of them yet."""
        sink = room.attach(window=1000)
        room.delivery.detach(sink, None)
        return sink.numbers


class RetentionTests(AgeTestCase):
    def test_a_month_forward_for_a_moment(self) -> None:
        """Neither events of this run nor of the last one go; those of this run go when they are old."""
        before = self.run_again()
        self.put(before, 1, 2)
        self.end(before)
        room = self.run_again()
        self.put(room, 3, 4)
        self.wait(room, HOUR)
        room.ahead = MONTH
        self.wait(room, 60)
        room.ahead = 0.0
        self.wait(room, 60)
        self.assertEqual(self.left(room), [1, 2, 3, 4])
        self.wait(room, DAY - HOUR - 200)
        self.assertEqual(self.left(room), [1, 2, 3, 4])
        self.wait(room, 0.02 * DAY)
        self.assertEqual(self.left(room), [])

    def test_events_with_a_wrong_time(self) -> None:
        """What was taken in while the clock was a month ahead, or behind, goes when it is old, not before."""
        room = self.run_again(ahead=-MONTH)
        self.put(room, 1)
        room.ahead = MONTH
        self.put(room, 2)
        room.ahead = 0.0
        self.put(room, 3)
        self.wait(room, 0.9 * DAY)
        self.assertEqual(self.left(room), [1, 2, 3])
        self.wait(room, 0.12 * DAY)
        self.assertEqual(self.left(room), [])

    def test_former_runs(self) -> None:
        """What is old by the wall clock goes when that has been right for ten minutes."""
        before = self.run_again()
        self.put(before, 1)
        self.end(before)
        self.clock.advance(2 * DAY)
        room = self.run_again()
        self.put(room, 2)
        self.wait(room, STEADY_AFTER - 20)
        self.assertEqual(self.left(room), [1, 2])
        self.wait(room, 40)
        self.assertEqual(self.left(room), [2])

    def test_local_time_at_boot(self) -> None:
        """Eight hours ahead for the first minute: nothing of a run that ended 20 hours ago is lost."""
        before = self.run_again()
        self.put(before, 1)
        self.end(before)
        self.clock.advance(20 * HOUR)
        room = self.run_again(ahead=8 * HOUR)
        self.put(room, 2)
        self.wait(room, 60)
        room.ahead = 0.0
        self.put(room, 3)
        self.wait(room, HOUR)
        self.assertEqual(self.left(room), [1, 2, 3])
        self.wait(room, 4 * HOUR)
        self.assertEqual(self.left(room), [2, 3])

    def test_set_back_for_good(self) -> None:
        """While the wall clock is before the newest commit nothing of former runs goes by it."""
        before = self.run_again()
        self.put(before, 1)
        self.end(before)
        self.clock.advance(2 * DAY)
        before = self.run_again()
        self.put(before, 2)
        self.end(before)
        room = self.run_again(ahead=-HOUR)
        self.wait(room, 2 * STEADY_AFTER)
        self.assertEqual(self.left(room), [1, 2])
        self.wait(room, HOUR)
        self.assertEqual(self.left(room), [2])

    def test_no_clock_at_boot(self) -> None:
        """Taken in while the clock said 1970, then restarted: in the next run these are not from 1970."""
        before = self.run_again()
        self.put(before, 1)
        self.end(before)
        boot = self.run_again(ahead=-1_600_000_000.0)
        self.put(boot, 2)
        self.end(boot)
        room = self.run_again()
        self.wait(room, HOUR)
        self.assertEqual(self.left(room), [1, 2])

    def test_cursors(self) -> None:
        """A cursor outlives a moment of a month forward, and goes when it is old."""
        room = self.run_again()
        self.put(room, 1)
        room.journal.enlist("other", 1)
        self.put(room, 2)
        room.journal.delist("other", 1)
        self.wait(room, 20)
        room.ahead = MONTH
        self.wait(room, 20)
        room.ahead = 0.0
        self.wait(room, HOUR)
        self.assertNotEqual(room.journal.watermark("other", 1).position, 0)
        self.wait(room, DAY)
        self.assertEqual(room.journal.watermark("other", 1).position, 0)

    def test_cursors_of_former_runs(self) -> None:
        """One that was named under a clock that said 1970 is kept as long as others."""
        boot = self.run_again(ahead=-1_600_000_000.0)
        self.put(boot, 1)
        boot.journal.enlist("other", 1)
        self.put(boot, 2)
        boot.ahead = 0.0
        self.wait(boot, 20)
        self.end(boot)
        room = self.run_again()
        self.wait(room, 0.9 * DAY)
        self.assertNotEqual(room.journal.watermark("other", 1).position, 0)
        self.wait(room, 0.2 * DAY)
        self.assertEqual(room.journal.watermark("other", 1).position, 0)

    def test_size(self) -> None:
        """Too much goes whatever the clock says."""
        room = self.run_again()
        room.journal.configure(DAY, 1)
        self.put(room, 1, 2)
        self.wait(room, 20)
        self.assertEqual(self.left(room), [])


class InMemoryTests(RetentionTests):
    """The store of the tests does as the real one."""

    def make_store(self) -> Any:
        return MemoryStore()

    def test_no_clock_at_boot(self) -> None:
        """It knows of no times but the events'."""


class MaxAgeTests(AgeTestCase):
    def run_with_max_age(self, ahead: float = 0.0) -> Room:
        return self.run_again(ahead, policy=ReplayPolicy(max_age=HOUR))

    def test_of_this_run(self) -> None:
        """The wall clock does not count for what came in this run: neither ahead nor behind."""
        for ahead in (MONTH, -MONTH):
            self.setUp()
            room = self.run_with_max_age()
            self.put(room, 1)
            room.clock.advance(HOUR)
            self.put(room, 2, 3)
            room.ahead = ahead
            self.assertEqual(room.attach().numbers, [2, 3])
            [line] = self.lines.all("skipped")
            self.assertIn("1 older than max_age", line)

    def test_of_former_runs(self) -> None:
        """What is left from before is skipped by the wall clock at once, and stays in the journal."""
        before = self.run_with_max_age()
        self.put(before, 1)
        self.end(before)
        self.clock.advance(2 * HOUR)
        room = self.run_with_max_age()
        self.put(room, 2)
        self.assertEqual(room.attach().numbers, [2])
        page = self.successResultOf(room.journal.read(1, 0))
        self.assertEqual(sum(map(len, page.batches)), 2)

    def test_a_long_run(self) -> None:
        """What is from before is older than this run, whatever its time says."""
        before = self.run_with_max_age(ahead=MONTH)
        self.put(before, 1)
        self.end(before)
        room = self.run_with_max_age()
        room.clock.advance(HOUR + 1)
        self.assertEqual(room.attach().numbers, [])
