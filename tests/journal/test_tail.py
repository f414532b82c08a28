"""The newest events in memory, against a plain list; and finding a place in batches."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.batch import Batch, search
from lgtwist.journal.tail import Tail
from tests.rounds import quick


def batch(account: int, first: int, size: int, bytes_each: int = 10) -> Batch:
    payloads = [b"%d" % position + b"x" * bytes_each for position in range(first, first + size)]
    return Batch(account, first, 0, array("q", range(first, first + size)), payloads)


ADDED = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(0, 3), st.sampled_from([0, 10, 2000])),
    max_size=60,
)


class TailTests(SynchronousTestCase):
    @quick
    @given(ADDED, st.sampled_from([0, 5]), st.sampled_from([1, 1000, 6000, 1 << 30]))
    def test_against_a_list(self, added: list[tuple[int, int, int, int]], begin: int, limit: int) -> None:
        """It says the truth, or that it does not know; it knows the newest, within its bound."""
        tail = Tail(limit, begin)
        all_of: dict[int, list[int]] = {account: [] for account in range(4)}
        position = begin + 1
        for account, size, gap, bytes_each in added:
            tail.add(batch(account, position, size, bytes_each))
            all_of[account] += range(position, position + size)
            position += size + gap
            self.assertTrue(tail._size <= limit or len(tail._order) == 1)
        for account, positions in all_of.items():
            known = None
            for after in range(-1, position + 2):
                found = tail.after(account, after)
                if found is None:
                    self.assertIsNone(known, "it knew more before")
                    continue
                known = known or after
                expected = [one for one in positions if one > after]
                came = list(range(found.first, found.last + 1)) if len(found) else []
                self.assertEqual(came, expected[: len(came)])
                self.assertEqual(bool(came), bool(expected))
                self.assertEqual(list(found.times), came)
                self.assertEqual([int(one.partition(b"x")[0]) for one in found.payloads], came)
            self.assertIsNotNone(tail.after(account, position), "not even the newest")
            if begin:
                self.assertIsNone(tail.after(account, begin - 1), "it cannot know that")
        if added and limit > 1 << 20:
            self.assertIsNotNone(tail.after(0, begin))

    def test_nothing_is_held_that_is_forgotten(self) -> None:
        """However many batches went through it."""
        tail = Tail(5000, 0)
        for position in range(1, 5001):
            tail.add(batch(1, position, 1))
        run = tail._runs[1]
        self.assertLess(len(run.batches), 300)
        self.assertLess(sum(len(one) > 0 for one in run.batches), 20)

    def test_one_larger_than_all(self) -> None:
        """The newest batch is kept whatever its size."""
        tail = Tail(100, 0)
        tail.add(batch(1, 1, 1))
        tail.add(batch(2, 2, 10, 10_000))
        self.assertIsNone(tail.after(1, 0))
        found = tail.after(2, 1)
        assert found is not None
        self.assertEqual(len(found), 10)


class BatchTests(SynchronousTestCase):
    @quick
    @given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), max_size=20), st.integers(-2, 120))
    def test_search(self, sizes: list[tuple[int, int]], position: int) -> None:
        """The first batch with anything behind a position."""
        batches, first = [], 1
        for size, gap in sizes:
            batches.append(batch(1, first, size))
            first += size + gap
        expected = next((n for n, one in enumerate(batches) if one.last > position), len(batches))
        self.assertEqual(search(batches, position), expected)
        self.assertEqual(search(batches, position, len(batches) // 2), max(expected, len(batches) // 2))

    @quick
    @given(st.integers(1, 9), st.integers(0, 20), st.integers(0, 9), st.integers(0, 9))
    def test_parts(self, size: int, after: int, begin: int, end: int) -> None:
        """Positions, ordinals and times stay with their events."""
        whole = Batch(1, 5, 100, array("q", range(size)), [b"%d" % number for number in range(size)])
        for part in (whole.after(after), whole.part(min(begin, size), min(max(begin, end), size))):
            for index in range(len(part)):
                number = part.position(index) - 5
                self.assertEqual(part.payloads[index], b"%d" % number)
                self.assertEqual(part.times[index], number)
                self.assertEqual(part.before + index, 100 + number)
        self.assertEqual(len(whole.after(after)), min(size, max(0, 5 + size - 1 - after)))
        self.assertEqual(whole.last, whole.position(size - 1))
        self.assertEqual(whole.size(), sum(map(len, whole.payloads)))
