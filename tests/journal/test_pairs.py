"""What is written when pairs come and go."""

from __future__ import annotations

from twisted.internet.task import Clock

from lgtwist.delivery.batch import Watermark
from lgtwist.journal.journal import Journal
from tests.journal.cases import JournalTestCase
from tests.journal.fakes import BEGIN, HeldWorker, event


class PairTests(JournalTestCase):
    """What holds for every journal is in ``contract.py``."""

    def test_before_the_next_commit(self) -> None:
        """Where a new bot begins is written before events that it is to get."""
        room = self.room(worker=HeldWorker)
        room.put(1)
        room.journal.enlist("new", 1)
        room.journal.append(1, [event(2)])
        for _ in range(4):
            room.writer.go()
            room.clock.advance(0.001)
        self.assertEqual(
            [one for one in self.store.calls if one in ("append", "touch")], ["append", "touch", "append"]
        )
        self.assertEqual(self.store._contents.watermarks["new", 1], Watermark())
        self.assertEqual(room.journal.watermark("new", 1), Watermark())

    def test_in_the_quiet(self) -> None:
        """It is written at once, whatever else is due when; several together are written together."""
        room = self.room()
        room.put(1)
        room.advance(3)
        self.store.calls.clear()
        for account in (1, 2, 3):
            room.journal.enlist("new", account)
        room.journal.delist("bot", 1)
        room.clock.advance(0)
        self.assertEqual(self.store.calls, ["touch"])
        self.assertEqual(self.store._named, {("new", 1), ("new", 2), ("new", 3)})

    def test_named_already(self) -> None:
        """Nothing is to be done for who is named already, or was not."""
        room = self.room()
        room.advance(3)
        self.store.calls.clear()
        room.journal.enlist("bot", 1)
        room.journal.delist("nobody", 1)
        room.clock.advance(0.5)
        self.assertEqual(self.store.calls, [])

    def test_that_cannot_be_written(self) -> None:
        """It is tried again each second, and told like cursors that cannot be; events go on."""
        room = self.room()
        self.store.fails = {"touch"}
        room.journal.enlist("new", 1)
        for number in range(6):
            room.put(number)
            room.clock.pump([0.25] * 4)
        self.assertEqual(room.journal.trouble, "touch does not work")
        self.assertEqual(len(self.lines.all("writing cursors failed")), 1)
        self.assertGreater(len(self.all_written()), 3)
        self.store.fails = set()
        room.clock.pump([0.25] * 12)
        self.assertEqual(room.journal.trouble, "")
        self.assertEqual(self.store._contents.watermarks["new", 1], Watermark())
        self.assertEqual(self.all_written(), list(range(6)))

    def test_enlisted_while_that_is_written(self) -> None:
        """It is written next, also where the first attempt fails."""
        for fails in (set(), {"touch"}):
            self.setUp()
            room = self.room(worker=HeldWorker)
            room.journal.enlist("new", 1)
            room.clock.advance(0)
            room.journal.enlist("newer", 1)
            self.store.fails = fails
            room.writer.go()
            self.store.fails = set()
            for _ in range(8):
                room.clock.advance(0.5)
                room.writer.go()
            self.assertEqual(self.store._contents.watermarks["new", 1], Watermark())
            self.assertEqual(self.store._contents.watermarks["newer", 1], Watermark())

    def test_enlisted_while_it_opens(self) -> None:
        """It begins at the end that is found, and is written before the first events."""
        self.room().put(1, 2)
        worker = HeldWorker()
        clock = Clock()
        journal = Journal(self.store, lambda _name: worker, clock, lambda: BEGIN)
        journal.start()
        journal.enlist("new", 1)
        journal.append(1, [event(3)])
        self.store.calls.clear()
        worker.go()
        journal.enlist("newer", 1)  # what was written is known, but it cannot be read yet
        for _ in range(4):
            worker.go()
            clock.advance(0)
        self.assertEqual(journal.watermark("newer", 1), Watermark(2, 2, 0))
        self.assertEqual(self.store._contents.watermarks["newer", 1], Watermark(2, 2, 0))
        self.assertEqual(self.store.calls, ["open_writing", "open_reading", "touch", "trim", "append"])
        self.assertEqual(journal.watermark("new", 1), Watermark(2, 2, 0))
        self.assertEqual(self.store._contents.watermarks["new", 1], Watermark(2, 2, 0))

    def test_enlisted_at_the_end(self) -> None:
        """Closing writes it."""
        room = self.room()
        room.put(1)
        room.journal.enlist("new", 1)
        room.journal.close()
        self.assertEqual(self.store._contents.watermarks["new", 1], Watermark(1, 1, 0))
        self.assertEqual(room.clock.getDelayedCalls(), [])
