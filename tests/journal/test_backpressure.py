"""Accounts that send faster than the disk writes: paused while commits succeed, bounded while they fail."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.journal.backpressure import Backpressure
from lgtwist.journal.chunk import OVERHEAD, CommitGroup
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.journal.store import JournalBusy
from tests.journal.cases import JournalTestCase
from tests.journal.fakes import BEGIN, HeldWorker, Room, event, numbers
from tests.rounds import quick

#: May wait while commits fail; an account may have an eighth of it.
LIMITS = JournalLimits(waiting=80_000)
#: Of one event, with what it takes in memory.
SIZE = 1000


def sized(number: int) -> bytes:
    """An event that takes SIZE bytes in memory."""
    empty = len(event(number)) + OVERHEAD
    return event(number, size=SIZE - empty)


class Pauses:
    """What an observer of pauses was called with.

    :ivar calls: the account, and whether it was paused.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []
        self.reasons: list[str] = []

    def __call__(self, account: int, reason: str) -> None:
        self.calls.append((account, bool(reason)))
        self.reasons.append(reason)


class BackpressureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.backpressure = Backpressure(800)
        self.pauses = Pauses()
        self.backpressure.observe(self.pauses)

    def test_one_account(self) -> None:
        """It is paused when it has a ninth of all, once, and resumed below half of that, once."""
        for size in (50, 88, 90, 200, 300):
            self.backpressure.added(1, size, size)
        self.assertEqual(self.pauses.calls, [(1, True)])
        self.assertIn("90 bytes", self.pauses.reasons[0])
        self.assertIn("its share (88)", self.pauses.reasons[0])
        for size in (200, 48):
            self.backpressure.freed({1: size}, size)
        self.assertEqual(self.backpressure.paused.keys(), {1})
        self.backpressure.freed({1: 47}, 47)
        self.backpressure.freed({}, 0)
        self.assertEqual(self.pauses.calls, [(1, True), (1, False)])
        self.assertEqual(self.backpressure.paused, {})

    def test_below_the_check(self) -> None:
        """With as much as that in the queue nobody is paused."""
        above = self.backpressure.check_above
        self.assertFalse(self.backpressure.added(1, above, above))
        self.assertTrue(self.backpressure.added(1, above + 1, above + 1))

    def test_many_accounts(self) -> None:
        """Those that have less than their share are not paused; all together stay below the bound."""
        sizes = dict.fromkeys(range(20), 9) | {20: 80}
        total = sum(sizes.values())
        for account, size in sizes.items():
            self.backpressure.added(account, size, total)
        self.assertEqual(self.pauses.calls, [(20, True)])

    def test_many_that_send_too_fast(self) -> None:
        """All together have what is the bound, and the byte of each with which it was noticed."""
        backpressure = Backpressure(80_000)
        total = 0
        for account in range(1000):
            size = 0
            while not backpressure.added(account, size, total):
                size += 1
                total += 1
        self.assertLessEqual(total, 80_000 + 1000)

    def test_an_observer_that_fails(self) -> None:
        """The others are called all the same, and the account is paused."""
        backpressure = Backpressure(800)
        backpressure.observe(lambda *_: 1 // 0)  # type: ignore[arg-type, return-value]
        backpressure.observe(self.pauses)
        backpressure.added(1, 101, 101)
        self.assertEqual(self.pauses.calls, [(1, True)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_account_that_sends_at_once_when_it_is_resumed(self) -> None:
        """It is paused again, and the others are resumed all the same."""

        def send(account: int, reason: str) -> None:
            if not reason and account == 1 and len(self.pauses.calls) < 10:
                self.backpressure.added(1, 500, 500)

        self.backpressure.observe(send)
        for account in (1, 2):
            self.backpressure.added(account, 101, 202)
        self.backpressure.freed({}, 0)
        self.assertEqual(self.pauses.calls, [(1, True), (2, True), (1, False), (1, True), (2, False)])
        self.assertEqual(self.backpressure.paused.keys(), {1})


class TakeTests(SynchronousTestCase):
    """What of a long queue goes into the next commit."""

    def test_in_turn(self) -> None:
        """Of each account an equal part, so that one event does not wait behind a flood."""
        group = CommitGroup()
        for number in range(100):
            group.add(1, 0, [sized(number)])
        group.add(2, 0, [sized(1000)])
        taken = group.take(10 * SIZE)
        self.assertEqual(set(taken.runs), {1, 2})
        self.assertEqual(taken.size, 10 * SIZE)
        self.assertEqual(numbers(taken.runs[1].payloads), list(range(9)))
        self.assertEqual(group.size, 91 * SIZE)

    def test_behind_a_large_one(self) -> None:
        """Whoever was not served is served next."""
        group = CommitGroup()
        for number in range(3):
            group.add(1, 0, [event(number, size=100 * SIZE)])
        group.add(2, 0, [sized(1000)])
        self.assertEqual(set(group.take(SIZE).runs), {1})
        self.assertEqual(set(group.take(SIZE).runs), {2})

    @quick
    @given(
        st.lists(st.tuples(st.integers(0, 4), st.lists(st.binary(max_size=300), min_size=1, max_size=6))),
        st.integers(1, 2000),
    )
    def test_nothing_is_lost_or_turned_round(self, given_: list[Any], limit: int) -> None:
        """Whatever is added and taken, each account's events come once, in order, and the sizes are right."""
        group = CommitGroup()
        wanted: dict[int, list[tuple[int, bytes]]] = {}
        for time, (account, payloads) in enumerate(given_):
            group.add(account, time, payloads)
            wanted.setdefault(account, []).extend((time, one) for one in payloads)
        found: dict[int, list[tuple[int, bytes]]] = {}
        while group.runs:
            taken = group.take(limit)
            self.assertTrue(taken.runs)
            largest = max(len(one) for run in taken.runs.values() for one in run.payloads) + OVERHEAD
            self.assertLess(taken.size, limit + largest)
            for account, run in taken.runs.items():
                self.assertEqual(run.size, sum(len(one) + OVERHEAD for one in run.payloads))
                found.setdefault(account, []).extend(zip(run.times, run.payloads, strict=True))
            self.assertEqual(taken.size, sum(run.size for run in taken.runs.values()))
        self.assertEqual(found, wanted)
        self.assertEqual(group.size, 0)


class PauseTests(JournalTestCase):
    """A journal whose disk does its next write when a test says so."""

    def slow_room(self, **options: Any) -> Room:
        room = self.room(worker=HeldWorker, limits=LIMITS, accounts=(1, 2), **options)
        self.pauses = Pauses()
        room.journal.observe_pauses(self.pauses)
        self.number = 0
        return room

    def send(self, room: Room, account: int = 1, events: int = 1) -> None:
        """Events that come in a turn each."""
        for _ in range(events):
            room.journal.append(account, [sized(self.number)])
            self.number += 1
            room.clock.advance(0)

    def flood(self, room: Room, account: int = 1) -> None:
        """Send until the account is paused."""
        while not room.journal.pause_reason(account):
            self.send(room, account)

    def write(self, room: Room) -> None:
        """The disk does what waits, until nothing is left."""
        for _ in range(200):
            room.writer.go()
            room.clock.advance(0.002)

    def test_nothing_is_lost(self) -> None:
        """However much comes, and however long the disk takes: the account is paused, and all is written."""
        room = self.slow_room()
        for _ in range(20):
            self.flood(room)
            self.send(room, events=5)  # the rest of what was received
            room.clock.advance(5)
            self.assertLess(room.journal.waiting, 17 * SIZE)
            self.write(room)
            self.assertEqual(room.journal.pause_reason(1), "")
        self.assertEqual(self.all_written(), list(range(self.number)))
        self.assertEqual(room.journal.lost, {})
        self.assertEqual(self.pauses.calls, [(1, True), (1, False)] * 20)
        self.assertEqual(room.journal.pauses, 20)
        self.assertEqual(len(self.lines.all("account 1 sends faster than the disk writes")), 1)
        self.assertEqual(self.lines.loud(), [])

    def test_resumed_below_half(self) -> None:
        """Not at the first event that is written."""
        room = self.slow_room()
        self.send(room)  # this one is being written
        self.flood(room)
        room.writer.go()
        self.assertEqual(self.pauses.calls, [(1, True)])
        self.write(room)
        self.assertEqual(self.pauses.calls, [(1, True), (1, False)])

    def test_another_account(self) -> None:
        """It is not paused while one is, and its events are in the next commit."""
        room = self.slow_room()
        self.flood(room)
        self.send(room, account=2)
        self.assertEqual(self.pauses.calls, [(1, True)])
        room.writer.go()
        room.clock.advance(0.002)
        room.writer.go()
        self.assertEqual(numbers(room.observed[-1].payloads), [self.number - 1])

    def test_many_accounts(self) -> None:
        """All together stay below the bound, but for the last event of each, and each gets on."""
        room = self.slow_room()
        for account in range(30):
            self.flood(room, account)
        self.assertLess(room.journal.waiting, (80 + 30) * SIZE)
        self.write(room)
        self.assertEqual(room.journal.paused, {})
        self.assertEqual(sorted(self.all_written()), list(range(self.number)))

    def test_a_disk_that_fails(self) -> None:
        """The account is resumed; events wait up to the bound, and what is beyond is counted and named."""
        room = self.slow_room()
        self.flood(room)
        self.store.fails = {"append"}
        room.writer.go()
        self.assertEqual(self.pauses.calls, [(1, True), (1, False)])
        self.send(room, events=100)
        self.assertEqual(len(self.pauses.calls), 2)
        self.assertEqual(room.journal.waiting, 81 * SIZE)
        lost = self.number - 81
        self.assertEqual(room.journal.lost, {1: lost})

    def test_a_disk_that_works_again(self) -> None:
        """Accounts are paused again at the first commit, until what waited is written."""
        room = self.slow_room()
        self.store.fails = {"append"}
        self.send(room)
        room.writer.go()
        self.send(room, events=50)
        self.send(room, account=2)
        self.store.fails = set()
        room.clock.advance(1)
        while not room.observed:
            room.writer.go()
            room.clock.advance(1)
        self.assertEqual(self.pauses.calls, [(1, True)])
        self.write(room)
        self.assertEqual(self.pauses.calls, [(1, True), (1, False)])
        self.assertEqual(sorted(self.all_written()), list(range(self.number)))
        self.assertEqual(room.journal.lost, {})

    def test_cursors_that_cannot_be_written(self) -> None:
        """The same as events that cannot be."""
        room = self.slow_room()
        self.send(room)
        self.write(room)
        self.flood(room)
        room.writer.jobs.clear()
        room.journal._busy = False
        self.store.fails = {"touch"}
        room.journal.enlist("other", 1)
        room.clock.advance(0)
        room.writer.go()
        self.assertEqual(self.pauses.calls, [(1, True), (1, False)])

    def test_a_disk_that_does_not_answer(self) -> None:
        """For a minute the account is paused; then it is as if the disk had failed, until it answers."""
        room = self.slow_room()
        self.flood(room)
        room.clock.advance(59)
        self.assertEqual(self.pauses.calls, [(1, True)])
        self.assertEqual(room.journal.trouble, "")
        room.clock.advance(1.1)
        self.assertEqual(self.pauses.calls, [(1, True), (1, False)])
        self.assertEqual(len(self.lines.all("nothing was written for 60 s", "lost for at-least-once")), 1)
        self.assertEqual(room.journal.trouble, "nothing was written for 60 s")
        self.send(room, events=100)
        self.assertEqual(room.journal.waiting, 81 * SIZE)
        self.write(room)
        self.assertEqual(room.journal.trouble, "")
        self.flood(room)
        self.assertEqual(self.pauses.calls[-1], (1, True))

    def test_a_slow_disk_that_answers(self) -> None:
        """The minute begins anew at each commit."""
        room = self.slow_room()
        for _ in range(5):
            self.flood(room)
            room.clock.advance(50)
            self.send(room, account=2)
            commits = room.journal.counters.commits
            while room.journal.counters.commits == commits:
                room.writer.go()
                room.clock.advance(0.002)
        self.assertEqual(self.lines.loud(), [])
        self.assertEqual(room.journal.lost, {})

    def test_before_it_is_open(self) -> None:
        """An account is paused while it opens, and resumed if that fails: what waits is bounded then."""
        clock, worker, pauses = Clock(), HeldWorker(), Pauses()
        journal = Journal(self.store, lambda _name: worker, clock, lambda: BEGIN, limits=LIMITS)
        journal.observe_pauses(pauses)
        self.store.fails = {"open_writing"}
        journal.start()
        while not pauses.calls:
            journal.append(1, [sized(0)])
        self.assertEqual(pauses.calls, [(1, True)])
        worker.go()
        self.assertEqual(pauses.calls, [(1, True), (1, False)])
        for _ in range(100):
            journal.append(1, [sized(0)])
        self.assertEqual(journal.waiting, 81 * SIZE)
        self.store.fails = set()
        clock.advance(1)
        for _ in range(3):
            worker.go()
        self.assertEqual(pauses.calls, [(1, True), (1, False), (1, True)])


class LockedTests(JournalTestCase):
    """Another program has locked the file."""

    WRITES = ("append", "save", "touch")

    def lock(self) -> None:
        def fail(*_arguments: Any) -> None:
            self.tries += 1
            raise JournalBusy("the file is locked by another program")

        self.tries = 0
        for name in self.WRITES:
            setattr(self.store, name, fail)

    def unlock(self) -> None:
        for name in self.WRITES:
            delattr(self.store, name)

    def test_for_half_a_minute(self) -> None:
        """The account is paused, nothing is lost, one line says why, and retention is not asked for room."""
        pauses = Pauses()
        room = self.room(limits=LIMITS)
        room.journal.observe_pauses(pauses)
        self.lock()
        number = 0
        while not pauses.calls:
            room.put(number, size=1000)
            number += 1
        self.store.calls.clear()
        room.clock.pump([0.1] * 300)
        self.assertEqual(pauses.calls, [(1, True)])
        self.assertGreater(self.tries, 100)
        self.assertLessEqual(self.store.calls.count("trim"), 7)
        self.assertEqual(room.journal.trouble, "the file is locked by another program")
        self.unlock()
        room.clock.pump([0.1] * 10)
        self.assertEqual(self.all_written(), list(range(number)))
        self.assertEqual(room.journal.lost, {})
        self.assertEqual(room.journal.trouble, "")
        self.assertEqual(len(self.lines.all("locked by another program")), 1)
        self.assertEqual(pauses.calls, [(1, True), (1, False)])

    def test_for_longer(self) -> None:
        """After a minute accounts are resumed, and what waits is bounded."""
        pauses = Pauses()
        room = self.room(limits=LIMITS)
        room.journal.observe_pauses(pauses)
        self.lock()
        for number in range(20):
            room.put(number, size=1000)
        room.clock.pump([0.5] * 121)
        self.assertEqual(pauses.calls, [(1, True), (1, False)])
        self.assertEqual(len(self.lines.all("nothing was written for 60 s", "locked by another program")), 1)

    def test_flushing(self) -> None:
        """It waits for that; a disk that fails would end it."""
        room = self.room()
        self.lock()
        room.put(1)
        flushed = room.journal.flush()
        room.clock.pump([0.1] * 20)
        self.assertNoResult(flushed)
        self.unlock()
        room.clock.pump([0.1] * 3)
        self.successResultOf(flushed)
        self.assertEqual(self.all_written(), [1])

    def test_closing(self) -> None:
        """It waits as long as it was told; then what was not written is named, and why."""
        room = self.room()
        self.lock()
        room.put(1, 2)
        closed = room.journal.close(3)
        room.clock.pump([0.1] * 29)
        self.assertNoResult(closed)
        room.clock.pump([0.1] * 2)
        self.successResultOf(closed)
        self.assertEqual(len(self.lines.all("locked by another program, for 3 s while closing")), 1)
        self.assertEqual(room.journal.lost, {1: 2})
        self.assertEqual(room.clock.getDelayedCalls(), [])


class ClosingTests(JournalTestCase):
    """Stopping while much waits for a slow disk."""

    def slow_room(self) -> Room:
        room = self.room(worker=HeldWorker, limits=JournalLimits())
        for number in range(60):
            room.put(number, size=1 << 20)
        return room

    def close(self, room: Room, seconds: float) -> Any:
        """Close it, on a disk that takes some seconds for each write."""
        closed = room.journal.close(3)
        for _ in range(100):
            room.clock.advance(seconds)
            for worker in room.workers.values():
                worker.go()
        return closed

    def test_as_long_as_something_is_written(self) -> None:
        """It goes on, beyond what it was told to wait: all is written."""
        room = self.slow_room()
        self.successResultOf(self.close(room, 0.2))
        self.assertEqual(self.all_written(), list(range(60)))
        self.assertEqual(room.journal.lost, {})
        self.assertEqual(self.lines.loud(), [])

    def test_not_for_ever(self) -> None:
        """After half a minute it ends, and what was not written is named."""
        room = self.slow_room()
        self.successResultOf(self.close(room, 2.5))
        self.assertEqual(len(self.lines.all("closing has taken 30 s")), 1)
        self.assertEqual(len(self.all_written()) + room.journal.lost[1], 60)
        self.assertGreater(len(self.all_written()), 5)

    def test_paused_accounts(self) -> None:
        """Those that are paused when it closes are no hindrance."""
        room = self.slow_room()
        self.assertEqual(room.journal.paused.keys(), {1})
        self.successResultOf(self.close(room, 0.01))
        self.assertEqual(self.all_written(), list(range(60)))
        self.assertEqual(room.clock.getDelayedCalls(), [])
