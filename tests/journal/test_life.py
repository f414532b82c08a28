"""Opening, again and again if need be, flushing and closing."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from lgtwist.delivery.batch import Watermark
from lgtwist.journal.journal import Journal
from lgtwist.journal.store import JournalError
from tests.journal.cases import JournalTestCase
from tests.journal.fakes import BEGIN, HeldWorker, event, numbers
from tests.journal.memory_store import InlineWorker


class LifeTests(JournalTestCase):
    def test_what_cannot_be_opened(self) -> None:
        """It says why, once; when it can be, what came until then is written."""
        for what in ("open_writing", "open_reading"):
            self.setUp()
            self.store.fails = {what}
            clock = Clock()
            journal = Journal(self.store, lambda _name: InlineWorker(), clock, lambda: BEGIN)
            for _ in range(3):
                self.failureResultOf(journal.open([("bot", 1)]), JournalError)
            journal.append(1, [event(1)])
            clock.advance(5)
            self.assertEqual(journal.trouble, f"{what} does not work")
            self.assertEqual(self.written(), [])
            self.assertEqual(len(self.lines.all("opening failed")), 1)
            self.store.fails = set()
            self.assertIsNone(self.successResultOf(journal.open([("bot", 1)])))
            clock.advance(0)
            self.assertEqual(journal.trouble, "")
            self.assertEqual(self.written(), [[1]])

    def closed_journal(self, worker: Any = InlineWorker) -> tuple[Journal, Clock]:
        clock = Clock()
        self.worker = worker()
        return Journal(self.store, lambda _name: self.worker, clock, lambda: BEGIN), clock

    def test_start_tries_again(self) -> None:
        """Each second until it opens; who waits for that is called once, and at once from then on."""
        journal, clock = self.closed_journal()
        called: list[str] = []
        journal.when_open(lambda: called.append("first"))
        self.store.fails = {"open_writing"}
        journal.start([("bot", 1)])
        clock.pump([0.5] * 8)
        self.assertEqual(self.store.calls, ["open_writing"] * 5)
        self.assertEqual(called, [])
        self.store.fails = set()
        clock.pump([0.5] * 8)
        self.assertEqual(self.store.calls.count("open_writing"), 6)
        journal.when_open(lambda: called.append("second"))
        self.assertEqual(called, ["first", "second"])
        self.assertEqual(self.store._contents.watermarks, {("bot", 1): Watermark()})

    def test_start_after_a_fault_of_ours(self) -> None:
        """It is logged as it is, and tried again like any other."""
        journal, clock = self.closed_journal()
        open_writing, self.store.open_writing = self.store.open_writing, lambda *_: 1 // 0  # type: ignore
        journal.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.store.open_writing = open_writing  # type: ignore[method-assign]
        clock.advance(1)
        self.assertEqual(journal.trouble, "")

    def test_who_waits_and_fails(self) -> None:
        """The others are called all the same, and the journal is open."""
        journal, _clock = self.closed_journal()
        called: list[int] = []
        for what in (lambda: 1 // 0, lambda: called.append(1)):
            journal.when_open(what)  # type: ignore[arg-type]
        journal.start()
        journal.append(1, [event(1)])
        self.successResultOf(journal.flush())
        self.assertEqual(called, [1])
        self.assertEqual(self.written(), [[1]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_observers_that_begin_when_it_is_open(self) -> None:
        """They hear of what was appended before."""
        journal, clock = self.closed_journal()
        seen: list[int] = []
        journal.when_open(lambda: journal.observe(lambda batch: seen.extend(numbers(batch.payloads))))
        journal.append(1, [event(1)])
        journal.start()
        clock.advance(0)
        self.assertEqual(seen, [1])

    def test_close_between_two_attempts(self) -> None:
        """It is tried no more."""
        journal, clock = self.closed_journal()
        self.store.fails = {"open_writing"}
        journal.start()
        self.assertIsNone(self.successResultOf(journal.close()))
        self.assertEqual(clock.getDelayedCalls(), [])
        clock.advance(5)
        self.assertEqual(self.store.calls, ["open_writing"])

    def test_close_while_it_opens(self) -> None:
        """It waits for that, writes what came until then, and calls nobody who waited."""
        journal, clock = self.closed_journal(HeldWorker)
        called: list[int] = []
        journal.when_open(lambda: called.append(1))
        journal.start()
        journal.append(1, [event(1)])
        clock.advance(0)
        closed = journal.close()
        self.assertNoResult(closed)
        for _ in range(10):
            self.worker.go()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.written(), [[1]])
        self.assertEqual(self.store.calls[-1], "close_writing")
        self.assertEqual(called, [])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_close_while_an_attempt_fails(self) -> None:
        """It ends with that attempt."""
        journal, clock = self.closed_journal(HeldWorker)
        self.store.fails = {"open_writing"}
        journal.start()
        journal.append(1, [event(1)])
        closed = journal.close()
        self.worker.go()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(journal.lost, {1: 1})
        clock.advance(0)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_close_where_the_disk_does_not_answer_while_it_opens(self) -> None:
        """The time limit holds then too, and an answer that comes afterwards opens nothing."""
        journal, clock = self.closed_journal(HeldWorker)
        journal.start()
        journal.append(1, [event(1)])
        clock.advance(0)
        closed = journal.close(3)
        clock.advance(3.1)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(journal.lost, {1: 1})
        for _ in range(3):
            self.worker.go()
        self.assertEqual(self.written(), [])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_flush(self) -> None:
        """It waits until all that came is durable."""
        room = self.room(worker=HeldWorker)
        room.put(1)
        room.journal.append(1, [event(2)])
        room.journal.confirm("bot", 1, Watermark(1, 1, 0))
        flushed = room.journal.flush()
        for _ in range(10):
            if flushed.called:
                break
            room.writer.go()
        self.assertIsNone(self.successResultOf(flushed))
        self.assertEqual(self.written(), [[1], [2]])
        self.assertEqual(self.store._contents.watermarks["bot", 1].position, 1)

    def test_flush_on_a_full_disk(self) -> None:
        """It does not wait for ever, nor for the next try."""
        room = self.room()
        self.store.fails = {"append", "save"}
        room.put(1)
        self.assertIsNone(self.successResultOf(room.journal.flush()))
        self.assertEqual(self.written(), [])
        self.assertIs(room.journal.waiting > 0, True)

    def test_close(self) -> None:
        """What waits and what was confirmed is written; the one that writes is closed last."""
        room = self.room(worker=HeldWorker)
        room.put(1)
        room.put(2)
        room.journal.confirm("bot", 1, Watermark(1, 1, 0))
        closed = room.journal.close()
        for _ in range(10):
            room.writer.go()
            room.reader.go()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.written(), [[1], [2]])
        self.assertEqual(self.store.calls[-3:], ["save", "close_reading", "close_writing"])
        self.assertEqual([batch.first for batch in room.observed], [1, 2])
        self.assertEqual(room.journal.lost, {})
        self.assertEqual(room.clock.getDelayedCalls(), [])
        self.assertIsNone(self.successResultOf(room.journal.close()))

    def test_close_while_a_commit_fails(self) -> None:
        """Nothing is written twice or forgotten: all of it is counted as lost."""
        room = self.room(worker=HeldWorker)
        self.store.fails = {"append"}
        room.put(1, 2)
        room.put(3, account=2)
        closed = room.journal.close()
        for _ in range(10):
            room.writer.go()
            room.reader.go()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(room.journal.lost, {1: 2, 2: 1})
        self.assertEqual(len(self.lines.all("lost for at-least-once bots")), 2 + 1)

    def test_close_where_the_disk_does_not_answer(self) -> None:
        """Stopping does not wait for it longer than it was told; what is not known to be kept is named."""
        room = self.room(worker=HeldWorker)
        room.put(1, 2)
        closed = room.journal.close(3)
        room.put(3)
        room.clock.advance(2.9)
        self.assertNoResult(closed)
        room.clock.advance(0.2)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(len(self.lines.all("has not answered for 3 s")), 1)
        self.assertEqual(room.journal.lost, {1: 3})
        self.assertEqual(room.clock.getDelayedCalls(), [])
        room.writer.go()  # it answers all the same
        self.assertEqual(room.observed, [])
        self.assertEqual(self.lines.all("failed"), [])
