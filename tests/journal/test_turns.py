"""What a journal does when: one commit at a time, what else is due between two, trouble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from lgtwist.delivery.batch import Batch, Watermark
from lgtwist.journal.chunk import CHUNK_BYTES
from lgtwist.journal.journal import Journal, JournalLimits
from tests.journal.cases import JournalTestCase
from tests.journal.fakes import BEGIN, HeldWorker, event, numbers
from tests.journal.memory_store import InlineWorker


class CommitTests(JournalTestCase):
    def test_one_turn_is_one_commit(self) -> None:
        """What comes in one turn of the reactor is written together."""
        room = self.room()
        room.put(1, 2, 3)
        room.put(4)
        self.assertEqual(self.written(), [[1, 2, 3], [4]])

    def test_one_at_a_time(self) -> None:
        """What comes while one is under way is the next, all of it."""
        room = self.room(worker=HeldWorker)
        for number in range(10):
            room.put(number)
            self.assertLessEqual(len(room.writer.jobs), 1)
        room.writer.go()
        room.clock.advance(0.001)
        room.writer.go()
        room.put(10)
        room.writer.go()
        self.assertEqual(self.written(), [[0], list(range(1, 10)), [10]])

    def test_large_ones_are_split(self) -> None:
        """A commit is not much more than a mebibyte, or one burst."""
        room = self.room(worker=HeldWorker)
        for number in range(40):
            room.journal.append(1, [event(number, size=100_000)])
        room.clock.advance(0)
        for _ in range(20):
            room.writer.go()
            room.clock.advance(0.001)
        sizes = [sum(batch.size() for batch in chunk) for chunk in self.store._chunks]
        self.assertTrue(all(size < CHUNK_BYTES + 200_000 for size in sizes), sizes)
        self.assertEqual(self.all_written(), list(range(40)))

    def test_before_observers(self) -> None:
        """A full commit that waits is under way while the bots get what the last one wrote."""
        room = self.room(worker=HeldWorker)
        jobs: list[int] = []
        room.journal.observe(lambda _batch: jobs.append(len(room.writer.jobs)))
        room.put(1)
        room.journal.append(1, [event(2, size=CHUNK_BYTES)])
        room.writer.go()
        self.assertEqual(jobs, [1])

    def test_linger(self) -> None:
        """Where events come faster than one commit for each is good for, they linger for others."""
        room = self.room(worker=HeldWorker)
        room.put(1)
        room.put(2)
        room.writer.go()
        room.clock.advance(0.0009)
        room.put(3)
        self.assertEqual(len(room.writer.jobs), 0)
        room.clock.advance(0.0001)
        room.writer.go()
        room.put(4)  # nothing waited when the last one ended
        room.writer.go()
        self.assertEqual(self.written(), [[1], [2, 3], [4]])

    def test_after_many_a_little_later(self) -> None:
        """After a commit of many events the next waits for what their delivery brings, not for long."""
        room = self.room(worker=HeldWorker)
        jobs: list[int] = []

        def deliver(batch: Batch) -> None:
            jobs.append(len(room.writer.jobs))
            if batch.first == 1:
                room.journal.append(1, [event(200)])  # a bot was quick

        room.journal.observe(deliver)
        room.put(*range(100))
        room.journal.append(1, [event(100)])
        room.clock.advance(0.0004)  # so long the commit took
        room.writer.go()
        room.clock.advance(0.0001)
        self.assertEqual(jobs, [0])
        self.assertEqual(len(room.writer.jobs), 0)
        room.journal.append(1, [event(201)])
        room.clock.advance(0.0001)
        self.assertEqual(len(room.writer.jobs), 1)
        room.writer.go()
        self.assertEqual(self.written(), [list(range(100)), [100, 200, 201]])
        room.put(300)  # after a few, and in the quiet: at once
        self.assertEqual(len(room.writer.jobs), 1)

    def test_a_slow_disk_is_not_waited_for_twice(self) -> None:
        """Nobody waits longer than half a millisecond; what must be written now does not wait."""
        room = self.room(worker=HeldWorker)
        for asked in (False, True):
            room.put(*range(100))
            room.clock.advance(5)
            room.writer.go()
            room.journal.append(1, [event(100)])
            if asked:
                room.journal.flush()
            else:
                room.clock.advance(0.0004)
                self.assertEqual(len(room.writer.jobs), 0)
                room.clock.advance(0.0001)
            self.assertEqual(len(room.writer.jobs), 1)
            while room.writer.jobs:
                room.writer.go()
                room.clock.advance(0)

    def test_an_observer_that_fails(self) -> None:
        """The others hear of everything all the same."""

        def fail(_batch: Batch) -> None:
            raise ZeroDivisionError

        room = self.room()
        room.journal.observe(fail)
        seen: list[int] = []
        room.journal.observe(lambda batch: seen.extend(numbers(batch.payloads)))
        room.put_each(1, 2)
        self.assertEqual(seen, [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_when_it_is_told_that_the_turn_ends(self) -> None:
        """It may end at the end of a read."""
        ends: list[Callable[[], None]] = []
        clock = Clock()
        journal = Journal(
            self.store, lambda _name: InlineWorker(), clock, lambda: BEGIN, when_turn_ends=ends.append
        )
        journal.open([])
        journal.append(1, [event(1)])
        journal.append(2, [event(2)])
        clock.advance(0)
        self.assertEqual(self.written(), [])
        self.assertEqual(len(ends), 1)
        ends.pop()()
        self.assertEqual(self.written(), [[1, 2]])

    def test_counters(self) -> None:
        """Commits, events, and how long the slowest took."""
        room = self.room(worker=HeldWorker)
        for wait in (0.2, 3.0, 0.1):
            room.put(1, 2)
            room.clock.advance(wait)
            room.writer.go()
            while room.writer.jobs:
                room.writer.go()
        counters = room.journal.counters
        self.assertEqual(counters.commits, 3)
        self.assertEqual(counters.events, 6)
        self.assertEqual(counters.failures, 0)
        self.assertGreaterEqual(counters.slowest_commit, 3.0)
        self.assertGreaterEqual(counters.commit_seconds, 3.3)


class BetweenTests(JournalTestCase):
    def test_marks_where_events_never_end(self) -> None:
        """They are written once a second, not when there is time."""
        room = self.room(worker=HeldWorker)
        for number in range(300):
            room.put(number)
            room.journal.confirm("bot", 1, Watermark(number, number, 0))
            room.clock.advance(0.02)
            room.writer.work()
            room.put(1000 + number)
            room.writer.tell()
        saves = self.store.calls.count("save")
        self.assertTrue(5 <= saves <= 7, saves)
        self.assertGreater(self.store._contents.watermarks["bot", 1].position, 240)
        self.assertGreaterEqual(self.store.calls.count("trim"), 1)

    def test_nothing_to_do(self) -> None:
        """Then nothing is written."""
        room = self.room()
        room.put(1)
        room.clock.pump([0.5] * 10)
        self.store.calls.clear()
        room.clock.pump([1] * 60)
        self.assertEqual(set(self.store.calls), {"trim"})
        self.assertLessEqual(len(self.store.calls), 13)

    def test_marks_that_could_not_be_written(self) -> None:
        """They are kept and tried again; events go on."""
        room = self.room()
        self.store.fails = {"save"}
        room.put(1)
        room.journal.confirm("bot", 1, Watermark(1, 1, 0))
        room.journal.refused("bot", room.observed[0], "no")
        for number in range(2, 8):
            room.clock.pump([0.25] * 4)
            room.put(number)
        self.assertEqual(room.journal.trouble, "save does not work")
        self.assertEqual(len(self.lines.all("failed")), 1)
        room.journal.confirm("bot", 1, Watermark(2, 2, 0))
        self.store.fails = set()
        room.clock.pump([0.25] * 12)
        self.assertEqual(self.store._contents.watermarks["bot", 1], Watermark(2, 2, 0))
        self.assertEqual(len(self.store.refusals), 1)
        self.assertEqual(room.journal.trouble, "")
        self.assertEqual(self.all_written(), list(range(1, 8)))

    def test_a_mark_that_moves_while_it_is_written(self) -> None:
        """If that fails the newer one is written next."""
        room = self.room(worker=HeldWorker)
        self.store.fails = {"save"}
        for position in (1, 2):
            room.journal.confirm("bot", 1, Watermark(position, position, 0))
            for _ in range(3):
                room.clock.advance(0.5)
        room.writer.go()
        self.store.fails = set()
        for _ in range(10):
            room.clock.advance(0.5)
            room.writer.go()
        self.assertEqual(self.store._contents.watermarks["bot", 1], Watermark(2, 2, 0))

    def test_retention_that_fails(self) -> None:
        """Nothing waits for it."""
        room = self.room(limits=JournalLimits(retention=1))
        self.store.fails = {"trim"}
        for number in range(20):
            room.put(number)
            self.assertEqual(self.written()[-1], [number])
            room.clock.advance(1)
        self.assertEqual(room.journal.trouble, "")
        self.assertEqual(len(self.lines.all("retention failed")), 1)
        self.store.fails = set()
        room.clock.pump([0.5] * 60)
        self.assertGreater(room.journal.expired(1), 15)

    def test_a_read_that_nobody_waits_for_any_more(self) -> None:
        """It does not make the others wait: a bot that comes and goes quickly asks each time."""
        room = self.room(worker=HeldWorker)
        read: list[int] = []
        store_read = room.store.read

        def counting(account: int, *rest: Any) -> Any:
            read.append(account)
            return store_read(account, *rest)

        room.store.read = counting  # type: ignore[method-assign]
        for _ in range(5):
            asked = room.journal.read(1, 0)
            asked.addErrback(lambda _cancelled: None)
            asked.cancel()
        wanted = room.journal.read(2, 0)
        for _ in range(6):
            room.reader.go()
        self.successResultOf(wanted)
        self.assertEqual(read, [2])


class TroubleTests(JournalTestCase):
    def test_the_same_commit_again(self) -> None:
        """Each second; what came meanwhile is in the next, and no position is left out."""
        room = self.room()
        self.store.fails = {"append"}
        room.put(1, 2)
        room.put_each(3, 4)
        room.clock.pump([0.5] * 10)
        self.assertTrue(3 <= self.store.calls.count("append") <= 6)
        self.assertEqual(room.observed, [])
        self.assertEqual(room.journal.end(1), 0)
        self.store.fails = set()
        room.clock.pump([1, 0.001])
        self.assertEqual(self.written(), [[1, 2], [3, 4]])
        self.assertEqual([batch.first for batch in room.observed], [1, 3])
        self.assertEqual(room.journal.waiting, 0)

    def test_room_is_made(self) -> None:
        """A commit that fails makes retention look at once."""
        room = self.room()
        room.put_each(1, 2, 3)
        while self.store.calls[-1] != "trim":
            room.clock.advance(0.25)
        room.advance(2)
        self.store.calls.clear()
        self.store.fails = {"append"}
        room.put(4)
        room.clock.advance(1)
        self.assertEqual(self.store.calls, ["append", "trim", "append"])

    def test_what_is_to_be_written_down_is_bounded(self) -> None:
        """Events that a bot refused, while nothing can be written."""
        room = self.room()
        room.put(1)
        self.store.fails = {"save"}
        for _ in range(3000):
            room.journal.refused("bot", room.observed[0], "no")
        self.assertLessEqual(len(room.journal._unsaved.refused), 1000)

    def test_something_else_than_the_disk(self) -> None:
        """A fault of ours is told as it is, and tried again like any other."""
        room = self.room()
        append, self.store.append = self.store.append, lambda _batches: 1 // 0  # type: ignore
        room.put(1)
        self.assertIn("ZeroDivisionError", room.journal.trouble)
        self.store.append = append  # type: ignore[method-assign]
        room.clock.advance(1)
        self.assertEqual(self.written(), [[1]])
        self.assertEqual(room.journal.trouble, "")
