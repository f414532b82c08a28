"""The budget of one peer: whatever is held and let go, the sum is right and readers get on."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime.budget import MAX_WAITING, Budget
from tests.rounds import ROUNDS

LIMIT = 100


class FakeReader:
    """A connection: in the middle of a message or not, waiting or not."""

    def __init__(self) -> None:
        self.waiting = False
        self.freed = 0

    def budget_freed(self) -> None:
        self.waiting = False
        self.freed += 1


class BudgetMachine(RuleBasedStateMachine):
    """Holds and releases at random; the sum is that of the parts, and somebody can always read."""

    parts = Bundle("parts")
    readers = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(LIMIT)
        self.sizes: list[int] = []
        self.known: list[FakeReader] = []

    @rule(target=parts, size=st.integers(0, 2 * LIMIT))
    def charge(self, size: int) -> int:
        self.budget.charge(size)
        self.sizes.append(size)
        return size

    @rule(size=consumes(parts))
    def release(self, size: int) -> None:
        self.budget.release(size)
        self.sizes.remove(size)

    @rule(target=readers)
    def connect(self) -> FakeReader:
        reader = FakeReader()
        self.known.append(reader)
        return reader

    @rule(reader=readers)
    def read(self, reader: FakeReader) -> None:
        if reader in self.known and not reader.waiting and not self.budget.may_read(reader):
            reader.waiting = self.budget.wait(reader)
            if not reader.waiting:
                self.disconnect(reader)

    @rule(reader=readers)
    def end_message(self, reader: FakeReader) -> None:
        if reader in self.known and not reader.waiting:
            self.budget.message_ended(reader)

    @rule(reader=consumes(readers))
    def disconnect(self, reader: FakeReader) -> None:
        if reader in self.known:
            self.known.remove(reader)
            reader.waiting = False
            self.budget.forget(reader)

    @invariant()
    def sum_is_right(self) -> None:
        assert self.budget.used == sum(self.sizes) >= 0

    @invariant()
    def nobody_waits_where_there_is_room(self) -> None:
        if not self.budget.exceeded:
            assert not any(reader.waiting for reader in self.known)

    @invariant()
    def somebody_reads_on(self) -> None:
        if any(reader.waiting for reader in self.known):
            assert not all(reader.waiting for reader in self.known)

    def teardown(self) -> None:
        for size in self.sizes:
            self.budget.release(size)
        for reader in self.known:
            self.budget.forget(reader)
        assert self.budget.used == 0
        assert self.budget.may_read(FakeReader())


class TestMachine(SynchronousTestCase):
    """Run the machine."""

    def test_sum(self) -> None:
        """Whatever is held and let go in whatever order, the sum is right and zero at the end."""
        run_state_machine_as_test(
            BudgetMachine, settings=settings(max_examples=50 * ROUNDS, deadline=None, database=None)
        )


class TestReaders(SynchronousTestCase):
    """Readers in the middle of a message, where the budget is exceeded."""

    def test_one_gets_on(self) -> None:
        """Of two readers one has the turn; the other gets it when the first one's message has ended."""
        budget, first, second = Budget(LIMIT), FakeReader(), FakeReader()
        budget.charge(LIMIT)
        self.assertTrue(budget.may_read(first))
        self.assertFalse(budget.may_read(second))
        self.assertTrue(budget.wait(second))
        self.assertTrue(budget.may_read(first))
        budget.message_ended(first)
        self.assertEqual(second.freed, 1)
        self.assertTrue(budget.may_read(second))
        self.assertFalse(budget.may_read(first))

    def test_room(self) -> None:
        """All who wait are called when there is room again."""
        budget, readers = Budget(LIMIT), [FakeReader() for _ in range(3)]
        budget.charge(LIMIT)
        self.assertTrue(budget.may_read(FakeReader()))
        for reader in readers:
            budget.wait(reader)
        budget.release(1)
        self.assertEqual([reader.freed for reader in readers], [1, 1, 1])

    def test_bounded(self) -> None:
        """So many may wait; one more is turned away."""
        budget = Budget(LIMIT)
        self.assertTrue(all(budget.wait(FakeReader()) for _ in range(MAX_WAITING)))
        self.assertFalse(budget.wait(FakeReader()))
