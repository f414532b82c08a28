"""The journal in front of a store in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.journal.journal import Journal, JournalLimits
from tests.journal.fakes import BEGIN, Lines, Room, event
from tests.journal.memory_store import InlineWorker, MemoryStore


class FullDiskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()
        self.lines = Lines(self)

    def room(self, **options: Any) -> Room:
        return Room(self.store, **options)

    def test_one_line_for_a_full_disk(self) -> None:
        """And one when it is over; in between the trouble does not come and go."""
        room = self.room()
        self.store.full = True
        room.put(1)
        for _ in range(20):
            self.assertEqual(room.journal.trouble, "the disk is full")
            room.clock.advance(0.5)
        self.assertEqual(len(self.lines.all()), 1)
        self.store.full = False
        room.clock.advance(1)
        self.assertEqual(len(self.lines.all()), 2)
        self.assertEqual(room.journal.trouble, "")

    def test_closing_with_a_full_disk(self) -> None:
        """Everything that was never written is counted and named, the commit that failed too."""
        room = self.room()
        self.store.full = True
        room.put(1, 2, 3)
        room.put(4, 5)
        room.journal.close()
        self.assertEqual(room.journal.lost, {1: 5})
        self.assertEqual(len(self.lines.all("5 events of account 1")), 1)

    def test_first_and_last_of_an_episode(self) -> None:
        """The line names the times of the oldest and the newest that was lost."""
        room = self.room(limits=JournalLimits(waiting=250))
        self.store.full = True
        for number in range(10):
            room.put(number)
            room.clock.advance(1)
        room.journal.close()
        self.assertEqual(room.journal.lost, {1: 10})
        [line] = self.lines.all("could not be kept")
        self.assertIn(f"the first at {BEGIN:.3f} and the last at {BEGIN + 9:.3f}", line)

    def test_closed_before_it_was_opened(self) -> None:
        """What it was given until then is counted and named."""
        clock = Clock()
        journal = Journal(self.store, lambda _name: InlineWorker(), clock, lambda: BEGIN)
        journal.append(1, [event(1)])
        clock.advance(0)
        journal.close()
        self.assertEqual(journal.lost, {1: 1})
        self.assertEqual(len(self.lines.all("1 events of account 1")), 1)
