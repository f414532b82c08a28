"""Events on their way to the disk, and those that did not get there."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.journal.chunk import CHUNK_BYTES
from lgtwist.journal.commit_queue import CommitQueue
from lgtwist.journal.losses import Losses
from tests.journal.fakes import Lines, event, numbers


class CommitQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.queue = CommitQueue()

    def test_empty(self) -> None:
        """Nothing is to be committed."""
        self.assertFalse(self.queue)
        self.assertFalse(self.queue.has_waiting)
        self.assertEqual(self.queue.size, 0)
        self.assertEqual(self.queue.done(), [])
        self.assertEqual(list(self.queue.drop_all()), [])

    def test_a_commit(self) -> None:
        """Positions follow the end, account by account; what comes meanwhile is the next commit."""
        self.queue.add(1, 5, [event(1)])
        self.queue.add(2, 6, [event(2)])
        self.queue.add(1, 7, [event(3)])
        first, second = self.queue.begin(10, {1: 4})
        self.queue.add(1, 8, [event(4)])
        self.assertTrue(self.queue)
        self.assertTrue(self.queue.has_waiting)
        self.assertEqual(first.first, 11)
        self.assertEqual(first.before, 4)
        self.assertEqual(list(first.times), [5, 7])
        self.assertEqual(numbers(first.payloads), [1, 3])
        self.assertEqual(second.first, 13)
        self.assertEqual(second.before, 0)
        self.assertEqual(self.queue.done(), [first, second])
        [third] = self.queue.begin(13, {1: 6})
        self.assertEqual(numbers(third.payloads), [4])
        self.assertFalse(self.queue.has_waiting)
        self.queue.done()
        self.assertFalse(self.queue)
        self.assertEqual(self.queue.size, 0)

    def test_a_commit_that_fails(self) -> None:
        """The same batches are committed again."""
        self.queue.add(1, 5, [event(1)])
        batches = self.queue.begin(0, {})
        self.queue.add(1, 5, [event(2)])
        self.assertIs(self.queue.begin(0, {}), batches)

    def test_full(self) -> None:
        """What comes behind a full commit waits for the one after it."""
        self.queue.add(1, 5, [event(1, size=CHUNK_BYTES)])
        self.assertTrue(self.queue.has_full)
        self.queue.add(1, 6, [event(2)])
        [batch] = self.queue.begin(0, {})
        self.assertEqual(len(batch), 1)
        self.assertFalse(self.queue.has_full)
        self.assertTrue(self.queue.has_waiting)

    def test_drop_all(self) -> None:
        """All of it, the commit under way first; a commit that ends afterwards gives nothing."""
        self.queue.add(1, 5, [event(1), event(2)])
        self.queue.begin(0, {})
        self.queue.add(2, 6, [event(3)])
        self.assertEqual(list(self.queue.drop_all()), [(1, [5, 5]), (2, [6])])
        self.assertFalse(self.queue)
        self.assertEqual(self.queue.size, 0)
        self.assertEqual(self.queue.done(), [])


class LossesTests(SynchronousTestCase):
    def test_one_line_for_each_account(self) -> None:
        """With all that was lost since the last one; the totals go on."""
        lines, losses = Lines(self), Losses()
        losses.add(1, 2, 5000, 6000)
        losses.add(1, 1, 4000, 4500)
        losses.add(2, 1, 7000, 7000)
        self.assertTrue(losses)
        losses.log()
        self.assertFalse(losses)
        self.assertEqual(len(lines.all("could not be kept")), 2)
        self.assertEqual(len(lines.all("3 events of account 1", "first at 4.000", "last at 6.000")), 1)
        losses.log()
        losses.add(1, 1, 8000, 8000)
        losses.log()
        self.assertEqual(len(lines.all("could not be kept")), 3)
        self.assertEqual(losses.totals, {1: 4, 2: 1})
