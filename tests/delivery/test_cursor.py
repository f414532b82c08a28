"""How far a bot has come: what settles when, and what a break takes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.batch import Watermark
from lgtwist.delivery.cursor import Cursor
from tests.rounds import quick

STEPS = st.tuples(st.sampled_from(["advance", "settle", "break", "jump"]), st.sampled_from([0.0, 0.5, 2.0]))


def at(position: int) -> Watermark:
    """Where a bot is that has so many events."""
    return Watermark(position, position, 1000 + position)


class CursorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.saved: list[Watermark] = []

    def cursor(self, grace: float = 0.0) -> Cursor:
        return Cursor(grace, self.clock.seconds, self.saved.append)

    def test_begin(self) -> None:
        """It stands where the journal says, and that is not saved again."""
        cursor = self.cursor()
        self.assertEqual(cursor.reached, Watermark())
        cursor.begin(at(3))
        self.assertEqual(cursor.settled, at(3))
        self.assertEqual(cursor.reached, at(3))
        self.assertEqual(cursor.go_back(), at(3))
        self.assertEqual(self.saved, [])

    def test_without_grace(self) -> None:
        """Each confirmation settles at once, and a break takes nothing back."""
        cursor = self.cursor()
        for position in (1, 2, 5):
            cursor.advance(at(position))
            self.assertEqual(cursor.settled, at(position))
            self.assertEqual(cursor.reached, at(position))
        self.assertEqual(self.saved, [at(1), at(2), at(5)])
        self.assertEqual(cursor.go_back(), at(5))
        self.assertEqual(cursor.young, 0)

    def test_grace(self) -> None:
        """A confirmation settles when it is so old, and not before."""
        cursor = self.cursor(2.0)
        cursor.advance(at(1))
        self.clock.advance(1.9)
        cursor.settle()
        self.assertEqual(cursor.settled, Watermark())
        self.assertEqual(cursor.reached, at(1))
        self.clock.advance(0.1)
        cursor.settle()
        self.assertEqual(cursor.settled, at(1))
        self.assertEqual(self.saved, [at(1)])

    def test_several_settle_together(self) -> None:
        """The newest of them is saved, also by the next confirmation."""
        cursor = self.cursor(2.0)
        cursor.advance(at(1))
        cursor.advance(at(2))
        self.clock.advance(3)
        cursor.advance(at(3))
        self.assertEqual(self.saved, [at(2)])
        self.assertEqual(cursor.settled, at(2))
        self.assertEqual(cursor.reached, at(3))

    def test_a_break(self) -> None:
        """It takes back what is young as of now, and for good."""
        cursor = self.cursor(2.0)
        cursor.advance(at(1))
        self.clock.advance(1.5)
        cursor.advance(at(2))
        self.clock.advance(1)
        self.assertEqual(cursor.go_back(), at(1))
        self.assertEqual(cursor.reached, at(1))
        self.clock.advance(10)
        cursor.settle()
        self.assertEqual(cursor.settled, at(1))
        self.assertEqual(self.saved, [at(1)])

    def test_jump(self) -> None:
        """It settles at once, grace or not, and nothing young brings it back."""
        cursor = self.cursor(2.0)
        cursor.advance(at(1))
        cursor.jump(at(7))
        self.assertEqual(cursor.settled, at(7))
        self.assertEqual(cursor.reached, at(7))
        self.clock.advance(5)
        cursor.settle()
        self.assertEqual(self.saved, [at(7)])

    def test_more_than_are_told_apart(self) -> None:
        """A thousand; the newest takes the place of the one before, so that nothing settles too early."""
        cursor = self.cursor(100.0)
        for position in range(1, 1501):
            self.clock.advance(0.01)
            cursor.advance(at(position))
        self.assertEqual(cursor.young, 1000)
        self.assertEqual(cursor.reached, at(1500))
        self.clock.advance(95 + 0.001)  # the newest that kept a time of its own was confirmed at 9.99
        cursor.settle()
        self.assertEqual(cursor.settled, at(999))
        self.clock.advance(5)
        cursor.settle()
        self.assertEqual(cursor.settled, at(1500))

    @quick
    @given(st.sampled_from([0.0, 1.0, 3.0]), st.lists(STEPS))
    def test_whatever_happens(self, grace: float, steps: list[tuple[str, float]]) -> None:
        """It never goes back, settles what is old enough and nothing younger, and is what was saved last."""
        self.clock, self.saved = Clock(), []
        cursor = self.cursor(grace)
        young: list[tuple[float, int]] = []
        newest = settled = 0
        for what, wait in steps:
            self.clock.advance(wait)
            if what == "advance":
                newest += 1
                young.append((self.clock.seconds(), newest))
                cursor.advance(at(newest))
            elif what == "settle":
                cursor.settle()
            elif what == "break":
                cursor.go_back()
            else:
                newest += 1
                young.clear()
                settled = newest
                cursor.jump(at(newest))
            while young and young[0][0] <= self.clock.seconds() - grace and what != "jump":
                settled = young.pop(0)[1]
            if what == "break":
                young.clear()
                newest = settled
            self.assertEqual(cursor.settled.position, settled)
            self.assertEqual(cursor.reached.position, newest)
            self.assertEqual(cursor.young, len(young))
            self.assertEqual(self.saved[-1].position if self.saved else 0, settled)
