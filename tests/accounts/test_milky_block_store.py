"""The file of message ids: what left the process is known after a restart, and never another message's."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lgtwist.accounts.milky import block_file
from lgtwist.accounts.milky.block_file import BlockFileError
from lgtwist.accounts.milky.block_store import BlockStore
from lgtwist.hub.edges import CannotPrepare
from lgtwist.milky.blocks import MOST_BLOCKS, BlockTable
from lgtwist.milky.keys import FRIEND, GROUP, Conversation, MessageKey
from tests.journal.fakes import Lines
from tests.journal.memory_store import InlineWorker
from tests.processes import ROOT
from tests.rounds import LONG_ROUNDS, quick

_Result = TypeVar("_Result")
SELF_ID = 10001
CHANGED_AT = block_file._changed_at


class HeldWorker(InlineWorker):
    """A worker that does a job when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.is_held = True
        self.stopped: Deferred[None] = Deferred()

    def do(self, job: Callable[[], _Result]) -> Deferred[_Result]:
        if not self.is_held:
            return super().do(job)
        done: Deferred[_Result] = Deferred()
        self.jobs.append((job, done))
        return done

    def run_one(self) -> None:
        job, done = self.jobs.pop(0)
        super().do(job).chainDeferred(done)


class StoreTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = Lines(self)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.clock = Clock()
        # Files are of the time that this test pretends, and not of the kernel's.
        self.patch(block_file, "_changed_at", lambda _path: 0)
        self.time = 1_790_000_000.0
        self.stores: list[BlockStore] = []
        self.addCleanup(self.close_all)

    def close_all(self) -> None:
        for store in self.stores:
            store._file.close()

    def store(
        self, worker: InlineWorker | None = None, folder: Path | None = None, **arguments: Any
    ) -> BlockStore:
        """A store that was not started."""
        store = BlockStore(
            folder or self.folder,
            SELF_ID,
            self.clock,
            lambda: self.time,
            make_worker=lambda _name: worker or InlineWorker(),
            table=BlockTable(now=lambda: self.time, **arguments),
        )
        self.stores.append(store)
        return store

    def started(
        self, worker: InlineWorker | None = None, folder: Path | None = None, **arguments: Any
    ) -> BlockStore:
        store = self.store(worker, folder, **arguments)
        store.prepare()
        store.start()
        return store

    def killed(self, store: BlockStore) -> None:
        """The process of a store ends without a word: its file is as the kernel has it now."""
        copy = self.folder.with_name(f"{self.folder.name}-killed-{len(self.stores)}")
        shutil.copytree(self.folder, copy)
        store._file.close()
        store._worker = None
        store._ticks.stop()
        shutil.rmtree(self.folder)
        copy.rename(self.folder)

    def give_out(self, store: BlockStore, key: MessageKey) -> int:
        """The id of a message, once it may leave the process."""
        number = store.table.id_of(key)
        committed = store.committed()
        if committed is not None:
            self.clock.advance(0)
            self.successResultOf(committed)
        return number

    def group(self, number: int, seq: int = 1) -> MessageKey:
        return MessageKey(GROUP, 20000 + number, seq)


class RemovedBlockTests(StoreTestCase):
    def test_removed_blocks_leave_the_file(self) -> None:
        """What a flood of conversations displaced is not there after a restart either."""
        store = self.started(capacity=5)
        numbers = []
        for n in range(12):
            self.time += 1
            numbers.append(self.give_out(store, MessageKey("group", 20001 + n, 7)))
        self.killed(store)
        again = self.started()
        found = [again.table.key_of(number) for number in numbers]
        self.assertEqual(found[:7], [None] * 7)
        self.assertEqual([key.peer_id for key in found[7:] if key], list(range(20008, 20013)))

    def test_many_that_could_not_be_written(self) -> None:
        """They are written in slices when the disk has room again; all of them are there at last."""
        store = self.started()
        write, sizes = store._file.write, []

        def fail(*_arguments: Any, **_more: Any) -> None:
            raise BlockFileError("no")

        store._file.write = fail  # type: ignore[method-assign]
        numbers = [self.give_out(store, MessageKey("group", 20001 + n, 7)) for n in range(5_000)]
        self.clock.advance(2)

        def count(rows: Any, *arguments: Any, **more: Any) -> None:
            sizes.append(len(rows))
            write(rows, *arguments, **more)

        store._file.write = count  # type: ignore[method-assign]
        self.clock.advance(2)
        self.assertLessEqual(max(sizes), 2_100)
        self.assertIsNone(store.trouble)
        self.killed(store)
        again = self.started()
        self.assertEqual([again.table.key_of(number) is None for number in numbers], [False] * 5_000)

    def test_while_the_file_cannot_be_written(self) -> None:
        worker = HeldWorker()
        worker.is_held = False
        store = self.started(worker, capacity=5)
        for n in range(5):
            self.time += 1
            self.give_out(store, MessageKey("group", 20001 + n, 7))
        write = store._file.write

        def fail(*_arguments: Any, **_more: Any) -> None:
            raise BlockFileError("no")

        store._file.write = fail  # type: ignore[method-assign]
        for n in range(5, 12):
            self.time += 1
            self.give_out(store, MessageKey("group", 20001 + n, 7))
        store._file.write = write  # type: ignore[method-assign]
        self.clock.advance(2)
        self.killed(store)
        again = self.started()
        self.assertEqual(len(again.table), 5)


class CommitTests(StoreTestCase):
    def test_nothing_waits_for_known_blocks(self) -> None:
        """Only a new block is waited for; a second message of it is not."""
        store = self.started()
        self.give_out(store, self.group(1))
        store.table.id_of(self.group(1, 2))
        self.assertIsNone(store.committed())

    def test_one_commit_for_a_turn(self) -> None:
        """All blocks of a turn are one commit; those of later turns wait for it and are the next one."""
        worker = HeldWorker()
        store = self.started(worker)
        waiting = []
        for number in range(3):
            store.table.id_of(self.group(number))
            waiting.append(store.committed())
        self.assertEqual(worker.jobs, [])
        self.clock.advance(0)
        self.assertEqual(len(worker.jobs), 1)
        for number in range(3, 6):
            store.table.id_of(self.group(number))
            waiting.append(store.committed())
            self.clock.advance(0)
        self.assertEqual(len(worker.jobs), 1)
        worker.run_one()
        for number, one in enumerate(waiting):
            assert one is not None
            if number < 3:
                self.successResultOf(one)
            else:
                self.assertNoResult(one)
        self.assertEqual(len(worker.jobs), 1)
        worker.run_one()
        for one in waiting[3:]:
            assert one is not None
            self.successResultOf(one)
        self.assertIsNone(store.committed())
        self.assertEqual(len(worker.jobs), 0)

    def test_what_waits_for_the_running_commit(self) -> None:
        """A message of a block whose commit is under way waits for it, not for another."""
        worker = HeldWorker()
        store = self.started(worker)
        store.table.id_of(self.group(1))
        first = store.committed()
        self.clock.advance(0)
        store.table.id_of(self.group(1, 2))
        second = store.committed()
        assert first is not None
        assert second is not None
        worker.run_one()
        self.successResultOf(first)
        self.successResultOf(second)

    def test_seen_once_a_second(self) -> None:
        """What was seen is written within a second, changed rows only; a quiet second writes nothing.

        It is not written at once: the journal has the messages before.
        """
        worker = HeldWorker()
        worker.is_held = False
        store = self.started(worker)
        keys = [self.group(number, seq) for number in range(3) for seq in (5, 9)]
        for key in keys:
            self.give_out(store, key)
        writes: list[list[Any]] = []
        write = store._file.write
        self.patch(
            store._file,
            "write",
            lambda rows, *rest, **more: (writes.append(rows), write(rows, *rest, **more)),
        )
        for key in keys[:4]:
            store.table.mark_seen(key, self.time)
        self.clock.advance(0.5)
        self.assertEqual(writes, [])
        self.clock.advance(0.5)
        self.assertEqual(sorted(row.peer_id for row in writes[0]), [20000, 20001])
        self.clock.pump([1.0] * 5)
        self.assertEqual(len(writes), 1)
        self.killed(store)
        other = self.started()
        self.assertEqual([other.table.was_seen(key) for key in keys], [True] * 4 + [False] * 2)
        self.assertEqual(other.table.last_seen(Conversation(GROUP, 20001)), 9)

    def test_made_ahead(self) -> None:
        """The next block of a busy conversation is stored before it is needed: no event waits for it."""
        worker = HeldWorker()
        worker.is_held = False
        store = self.started(worker)
        self.give_out(store, self.group(1, 5))
        worker.is_held = True
        store.table.mark_seen(self.group(1, 700), self.time)
        self.assertIsNone(store.committed())
        self.clock.advance(0)
        number = store.table.id_of(self.group(1, 1024))
        waiting = store.committed()
        assert waiting is not None  # it is not stored yet
        worker.run_one()
        worker.run_one()
        self.successResultOf(waiting)
        store.table.mark_seen(self.group(1, 1800), self.time)
        self.assertIsNone(store.committed())
        self.clock.advance(0)
        worker.run_one()
        number = store.table.id_of(self.group(1, 2048))
        self.assertIsNone(store.committed())
        self.killed(store)
        self.assertEqual(self.started().table.key_of(number), self.group(1, 2048))

    def test_power_failures(self) -> None:
        """Commits of new blocks wait for the disk; those of what was seen do not."""
        store = self.started()
        said: list[str] = []
        assert store._file._connection is not None
        store._file._connection.set_trace_callback(said.append)
        self.give_out(store, self.group(1))
        self.assertIn("PRAGMA synchronous=FULL", said)
        del said[:]
        store.table.mark_seen(self.group(1), self.time)
        self.clock.pump([0.5, 0.5])
        self.assertIn("PRAGMA synchronous=NORMAL", said)
        self.assertNotIn("PRAGMA synchronous=FULL", said)


class RestartTests(StoreTestCase):
    def test_after_a_stop(self) -> None:
        """The same ids, and what was seen in the last second; numbers go on without a gap."""
        store = self.started()
        number = self.give_out(store, self.group(1, 2000))
        store.table.mark_seen(self.group(1, 2001), self.time)
        last = store.table.id_of(self.group(2))  # nobody waited for it
        self.successResultOf(store.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        other = self.started()
        self.assertEqual(other.table.key_of(number), self.group(1, 2000))
        self.assertEqual(other.table.key_of(last), self.group(2))
        self.assertTrue(other.table.was_seen(self.group(1, 2001)))
        self.assertEqual(other.table.id_of(self.group(3)) >> 10, (last >> 10) % MOST_BLOCKS + 1)
        self.assertEqual(self.lines.all(), [])

    def test_after_a_kill(self) -> None:
        """What was committed is known; what was not stands for nothing, and its number is not used again."""
        worker = HeldWorker()
        worker.is_held = False
        store = self.started(worker)
        known = self.give_out(store, self.group(1))
        worker.is_held = True
        lost = [store.table.id_of(self.group(number)) for number in range(2, 9)]
        store.committed()
        self.clock.advance(0)
        self.killed(store)
        other = self.started()
        self.assertEqual(other.table.key_of(known), self.group(1))
        given = [self.give_out(other, self.group(number)) for number in range(20, 40)]
        self.assertEqual([other.table.key_of(number) for number in lost], [None] * len(lost))
        self.assertFalse({number >> 10 for number in lost} & {number >> 10 for number in given})

    def test_modes(self) -> None:
        """Nobody but our user may open the files."""
        self.started()
        names = {path.name for path in self.folder.iterdir()}
        self.assertEqual(names, {f"milky-{SELF_ID}.sqlite{end}" for end in ("", "-wal", "-shm")})
        for path in self.folder.iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)

    def test_replaced_edges(self) -> None:
        """An edge that is prepared while another writes knows what that has written when it starts."""
        old = self.started()
        first = self.give_out(old, self.group(1))
        new = self.store()
        new.prepare()
        second = self.give_out(old, self.group(2))
        old.table.mark_seen(self.group(1), self.time)
        self.successResultOf(old.stop())
        new.start()
        self.assertEqual([new.table.key_of(one) for one in (first, second)], [self.group(1), self.group(2)])
        self.assertTrue(new.table.was_seen(self.group(1)))
        third = self.give_out(new, self.group(3))
        self.assertEqual(len({first >> 10, second >> 10, third >> 10}), 3)

    def test_replaced_edges_where_all_numbers_are_in_use(self) -> None:
        """A number that was used again meanwhile stands for the new message."""
        old = self.started(most=4)
        for number in range(4):
            self.time += 1
            self.give_out(old, self.group(number))
        new = self.store(most=4)
        new.prepare()
        newest = self.give_out(old, self.group(9))
        self.successResultOf(old.stop())
        new.start()
        self.assertEqual(new.table.key_of(newest), self.group(9))

    def test_prepared_and_never_started(self) -> None:
        """Nothing is taken from the file, and nothing is left open."""
        first = self.started()
        number = self.give_out(first, self.group(1))
        self.successResultOf(first.stop())
        for _ in range(3):
            self.store().prepare()
        self.assertEqual(self.started().table.id_of(self.group(2)) >> 10, (number >> 10) % MOST_BLOCKS + 1)

    def test_numbers_that_are_used_again(self) -> None:
        """Where all numbers are in use, the file too has the new block in place of the oldest."""
        store = self.started(most=6)
        given = {}
        for number in range(20):
            self.time += 1
            given[self.give_out(store, self.group(number))] = self.group(number)
        self.assertEqual(len(given), 6)
        self.killed(store)
        other = self.started(most=6)
        self.assertEqual({number: other.table.key_of(number) for number in given}, given)

    def left(self, store: BlockStore, key: MessageKey, safe: dict[int, MessageKey]) -> None:
        """An id leaves the process; while the file cannot be written nothing is promised of it."""
        if not store._trouble:
            safe[store.table.id_of(key)] = key

    @settings(quick, max_examples=quick.max_examples // 4)
    @given(st.data())
    def test_any_order(self, data: st.DataObject) -> None:
        """Ids that left the process stand for the same message at any later time, whatever fails."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.folder = folder
        worker = HeldWorker()
        worker.is_held = False
        store = self.started(worker)
        safe: dict[int, MessageKey] = {}  # known after a restart
        unsure: dict[int, MessageKey] = {}  # unknown or the same after a restart
        steps = st.lists(
            st.one_of(
                st.tuples(st.just("give"), st.integers(1, 12), st.integers(0, 3000)),
                st.sampled_from([("fail",), ("mend",), ("tick",), ("kill",), ("stop",), ("hold",), ("run",)]),
            ),
            max_size=40,
        )
        for step, *arguments in data.draw(steps):
            if step == "give":
                key = self.group(*arguments)
                number = store.table.id_of(key)
                committed = store.committed()
                unsure[number] = key

                if committed is None:
                    self.left(store, key, safe)
                else:
                    left = partial(self.left, store, key, safe)
                    committed.addCallback(lambda _none, left=left: left())  # type: ignore[misc]
                if data.draw(st.booleans()):
                    self.clock.advance(0)
            elif step in ("fail", "mend"):
                if store._file._connection is not None:
                    store._file._connection.execute(f"PRAGMA query_only={'ON' if step == 'fail' else 'OFF'}")
            elif step == "tick":
                self.clock.advance(1)
            elif step in ("kill", "stop"):
                worker.is_held = False
                if step == "kill":
                    self.killed(store)
                else:
                    while worker.jobs:
                        worker.run_one()
                    self.successResultOf(store.stop())
                worker = HeldWorker()
                worker.is_held = False
                store = self.started(worker)
            elif step == "hold":
                worker.is_held = True
            elif step == "run":
                while worker.jobs:
                    worker.run_one()
                worker.is_held = False
            for number, key in safe.items():
                self.assertEqual(store.table.key_of(number), key)
            for number, key in unsure.items():
                self.assertIn(store.table.key_of(number), (None, key))
        store._ticks.stop()
        store._file.close()


class TroubleTests(StoreTestCase):
    def break_file(self, store: BlockStore) -> None:
        """The file cannot be written."""
        assert store._file._connection is not None
        store._file._connection.execute("PRAGMA query_only=ON")

    def test_a_disk_that_fails(self) -> None:
        """Ids are given out all the same, one line says so; the same ids are stored when it works again."""
        store = self.started()
        self.give_out(store, self.group(1))
        self.break_file(store)
        failed = [self.give_out(store, self.group(number)) for number in range(2, 6)]
        store.table.mark_seen(self.group(1), self.time)
        store.table.mark_seen(self.group(5), self.time)
        self.assertIsNone(store.committed())
        [line] = self.lines.all()
        self.assertIn(f"{store.path}", line)
        self.assertIn("may stand for nothing after a restart", line)
        real_open = store._file.open
        self.patch(store._file, "open", lambda _now: self.fail_with(BlockFileError("no")))
        self.clock.pump([1.0] * 5)
        self.assertEqual(len(self.lines.all()), 1)
        self.patch(store._file, "open", real_open)
        self.clock.pump([1.0] * 3)
        self.assertEqual(len(self.lines.all()), 2)
        self.assertIn("all message ids are stored", self.lines.all()[1])
        self.assertEqual([store.table.id_of(self.group(number)) for number in range(2, 6)], failed)
        self.killed(store)
        other = self.started()
        self.assertEqual([other.table.key_of(one) for one in failed], [self.group(n) for n in range(2, 6)])
        self.assertTrue(other.table.was_seen(self.group(1)))
        self.assertTrue(other.table.was_seen(self.group(5)))

    def fail_with(self, error: Exception) -> Any:
        raise error

    def test_a_disk_that_never_works(self) -> None:
        """Not even at the start: ids of two such runs are not those of another message later."""
        runs = []
        for run in range(2):
            store = self.store()
            store.prepare()
            self.patch(store._file, "open", lambda _now: self.fail_with(BlockFileError("the disk is broken")))
            store.start()
            runs.append([self.give_out(store, self.group(10 * run + number)) for number in range(5)])
            self.successResultOf(store.stop())
        last = self.started()
        given = [self.give_out(last, self.group(number)) for number in range(30, 50)]
        blocks = [{number >> 10 for number in numbers} for numbers in (*runs, given)]
        self.assertEqual(len(set.union(*blocks)), 30)
        self.assertEqual([last.table.key_of(one) for one in (*runs[0], *runs[1])], [None] * 10)
        self.assertEqual(len(self.lines.all()), 2, self.lines.all())

    def test_opened_late(self) -> None:
        """What was given out before is stored when the file can be opened; older ids are known as before."""
        first = self.started()
        known = self.give_out(first, self.group(1))
        self.successResultOf(first.stop())
        store = self.store()
        store.prepare()
        real_open = store._file.open
        self.patch(store._file, "open", lambda _now: self.fail_with(BlockFileError("the disk is broken")))
        store.start()
        late = self.give_out(store, self.group(2))
        self.assertEqual(store.table.key_of(known), self.group(1))
        self.patch(store._file, "open", real_open)
        self.clock.advance(1)
        self.assertEqual(self.give_out(store, self.group(3)) >> 10, (known >> 10) % MOST_BLOCKS + 1)
        self.killed(store)
        other = self.started()
        self.assertEqual([other.table.key_of(one) for one in (known, late)], [self.group(1), self.group(2)])

    def test_a_disk_that_does_not_answer(self) -> None:
        """After some seconds ids are given out without the commit; it counts when it ends after all."""
        worker = HeldWorker()
        store = self.started(worker)
        number = store.table.id_of(self.group(1))
        committed = store.committed()
        assert committed is not None
        self.clock.advance(0)
        self.clock.advance(9)
        self.assertNoResult(committed)
        self.clock.advance(2)
        self.successResultOf(committed)
        later = store.table.id_of(self.group(2))
        self.assertIsNone(store.committed())
        [line] = self.lines.all()
        self.assertIn("does not answer", line)
        worker.run_one()
        worker.run_one()
        self.assertEqual(len(self.lines.all()), 2)
        self.killed(store)
        other = self.started()
        self.assertEqual([other.table.key_of(one) for one in (number, later)], [self.group(1), self.group(2)])

    def test_stopping_with_such_a_disk(self) -> None:
        """Stopping ends after a few seconds, and nothing waits any more."""
        worker = HeldWorker()
        store = self.started(worker)
        store.table.id_of(self.group(1))
        committed = store.committed()
        assert committed is not None
        self.clock.advance(0)
        stopped = store.stop()
        self.assertNoResult(stopped)
        self.clock.advance(6)
        self.successResultOf(stopped)
        self.successResultOf(committed)
        self.assertIn("not written in time", self.lines.all()[-1])

    def test_locked_by_another_program(self) -> None:
        """A lock is a failure that passes; the same connection goes on."""
        self.patch(block_file, "_WRITE_LOCKED_PATIENCE", 0.01)
        store = self.started()
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            number = self.give_out(store, self.group(1))
            self.assertIn("is locked by another program", self.lines.all()[0])
            other.execute("ROLLBACK")
        self.clock.advance(1)
        self.assertEqual(len(self.lines.all()), 2)
        self.killed(store)
        self.assertEqual(self.started().table.key_of(number), self.group(1))

    def test_no_backup_meanwhile(self) -> None:
        """While the file cannot be opened a backup fails with the reason."""
        store = self.store()
        store.prepare()
        self.patch(store._file, "open", lambda _now: self.fail_with(BlockFileError("the disk is broken")))
        store.start()
        self.assertEqual(store.trouble, "the disk is broken")
        failure = self.failureResultOf(store.back_up(self.folder), BlockFileError)
        self.assertEqual(str(failure.value), "the disk is broken")

    def test_removed_while_it_runs(self) -> None:
        """A file that is removed between prepare() and start() is made again, with all that is known."""
        first = self.started()
        number = self.give_out(first, self.group(1))
        self.successResultOf(first.stop())
        store = self.store()
        store.prepare()
        store.path.unlink()
        store.start()
        self.clock.advance(1)
        self.killed(store)
        self.assertEqual(self.started().table.key_of(number), self.group(1))


class FileTests(StoreTestCase):
    def make(self) -> int:
        """A file with some rows; the id of a message."""
        store = self.started()
        number = self.give_out(store, self.group(1))
        for other in range(2, 400):
            store.table.mark_seen(self.group(other, other * 100), self.time)
        self.successResultOf(store.stop())
        return number

    @property
    def path(self) -> Path:
        return self.folder / f"milky-{SELF_ID}.sqlite"

    def assert_refused(self, words: str) -> None:
        before = self.path.read_bytes()
        store = self.store()
        with self.assertRaisesRegex(CannotPrepare, words) as raised:
            store.prepare()
        self.assertIn(str(self.path), str(raised.exception))
        self.assertEqual(self.path.read_bytes(), before)

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(statement)

    def test_newer(self) -> None:
        """A file of a newer version is refused, with a sentence, and stays as it is."""
        self.make()
        self.change("PRAGMA user_version = 7")
        self.assert_refused(r"written by a newer lgtwist \(schema 7; this one knows 1\)")

    def test_not_ours(self) -> None:
        """Another program's database, and another account's file."""
        self.make()
        self.change("UPDATE state SET account = 10002")
        self.assert_refused("not of account 10001, but of 10002")
        self.change("PRAGMA application_id = 77")
        self.assert_refused("another program's database")

    def test_locked(self) -> None:
        """A file that another program has for itself."""
        self.make()
        self.patch(block_file, "_START_PATIENCE", 0.01)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            self.assert_refused("locked by another program")

    def damages(self) -> dict[str, Callable[[], object]]:
        def middle() -> None:
            with self.path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(size // 2)
                file.write(b"\xff" * 8192)

        return {
            "empty": lambda: self.path.write_bytes(b""),
            "no database": lambda: self.path.write_bytes(b"rubbish" * 500),
            "cut off": lambda: os.truncate(self.path, self.path.stat().st_size // 2),
            "overwritten": middle,
            "without a table": lambda: self.change("DROP TABLE block"),
            "without its state": lambda: self.change("DELETE FROM state"),
        }

    def test_damaged(self) -> None:
        """It is set aside with one line; old ids stand for nothing, and new ones begin at a random block."""
        for what in self.damages():
            shutil.rmtree(self.folder)
            self.folder.mkdir()
            number = self.make()
            self.damages()[what]()
            damaged = self.path.read_bytes()
            lines_before = len(self.lines.all())
            store = self.store()
            store.prepare()
            new = self.lines.all()[lines_before:]
            self.assertEqual(len(new), 1, (what, new))
            self.assertIn("is damaged", new[0])
            [aside] = self.folder.glob("*.damaged-*[0-9]")
            self.assertEqual(aside.read_bytes(), damaged, what)
            self.assertIn(aside.name, new[0])
            store.start()
            self.assertEqual(len(store.table), 0, what)
            self.assertIsNone(store.table.key_of(number))
            self.assertNotEqual(store.table.id_of(self.group(1)), number)
            self.successResultOf(store.stop())

    def test_damaged_rows(self) -> None:
        """Rows that cannot be are left out, with one line; the others are used."""
        number = self.make()
        self.change("INSERT INTO block VALUES (99999999, 1, 20001, 0, 0, x''), (7, 'x', 20001, 0, 0, x'')")
        store = self.started()
        self.assertEqual(store.table.key_of(number), self.group(1))
        self.assertEqual(len(self.lines.all()), 1)
        self.assertIn("2 damaged rows", self.lines.all()[0])

    def test_full_disks(self) -> None:
        """Where the disk has no room for a reader's -shm the file is read without, a write-ahead log too."""
        store = self.started()
        number = self.give_out(store, self.group(1))
        self.killed(store)
        self.path.with_name(f"{self.path.name}-shm").unlink()
        store = self.store()
        read = store._file._read

        def full(uri: str, *rest: Any) -> int:
            if uri.endswith("=ro"):
                raise sqlite3.OperationalError("disk I/O error")
            return read(uri, *rest)

        self.patch(store._file, "_read", full)
        store.prepare()
        self.assertEqual(store.table.key_of(number), self.group(1))
        self.assertEqual(self.lines.all(), [])

    def test_no_folder(self) -> None:
        """A sentence that names the file."""
        shutil.rmtree(self.folder)
        store = self.store()
        with self.assertRaisesRegex(CannotPrepare, "cannot be made: the folder .* is not there"):
            store.prepare()


class BackupTests(StoreTestCase):
    def back_up(self, store: BlockStore) -> Path:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.successResultOf(store.back_up(folder))
        [copy] = folder.iterdir()
        self.assertEqual(copy.name, store.path.name)
        self.assertEqual(copy.stat().st_mode & 0o777, 0o600)
        return folder

    def give_out_many(self, store: BlockStore, first: int) -> list[int]:
        """Ids that are given out in some turns of the reactor, more than a run has for itself."""
        return [self.give_out(store, self.group(first + number)) for number in range(20)]

    def test_what_came_after_the_backup(self) -> None:
        """Ids from before are known; those from after stand for nothing, however many are new."""
        store = self.started(reserved=2)
        before = self.give_out(store, self.group(1))
        store.table.mark_seen(self.group(1), self.time)
        self.clock.pump([0.5, 0.5])
        folder = self.back_up(store)
        after = self.give_out_many(store, 100)
        self.successResultOf(store.stop())
        restored = self.started(folder=folder, reserved=2)
        self.assertEqual(restored.table.key_of(before), self.group(1))
        self.assertTrue(restored.table.was_seen(self.group(1)))
        self.give_out_many(restored, 500)
        self.assertEqual({restored.table.key_of(number) for number in after}, {None})
        number = restored.table.id_of(self.group(900))
        self.successResultOf(restored.stop())
        again = self.started(folder=folder, reserved=2)  # it is a backup no more: it goes on
        self.assertEqual(again.table.id_of(self.group(901)) >> 10, (number >> 10) % MOST_BLOCKS + 1)

    def test_prepared_only(self) -> None:
        """A look at it does not make a file of the backup."""
        store = self.started(reserved=2)
        self.give_out(store, self.group(1))
        folder = self.back_up(store)
        after = self.give_out_many(store, 100)
        for _ in range(2):
            self.store(folder=folder).prepare()
        restored = self.started(folder=folder, reserved=2)
        self.give_out_many(restored, 500)
        self.assertEqual({restored.table.key_of(number) for number in after}, {None})

    def test_old_copies(self) -> None:
        """A copy that some other program made hours ago is not trusted either, nor one from the future."""
        for hours in (-2, 2):
            store = self.started(reserved=2)
            self.give_out(store, self.group(1))
            copy = Path(self.mktemp())
            shutil.copytree(self.folder, copy)
            after = self.give_out_many(store, 100)
            self.time += hours * 3600
            restored = self.started(folder=copy, reserved=2)
            self.give_out_many(restored, 500)
            self.assertEqual({restored.table.key_of(number) for number in after}, {None})
            self.successResultOf(store.stop())
            shutil.rmtree(self.folder)
            self.folder.mkdir()

    def test_copies_that_others_put_there(self) -> None:
        """A copy that some program put in place of the file is not trusted, however young it is."""
        store = self.real_store()
        self.give_out(store, self.group(1))
        self.successResultOf(store.stop())
        copy = Path(self.mktemp())
        shutil.copytree(self.folder, copy)
        store = self.real_store()
        after = self.give_out_many(store, 100)
        self.successResultOf(store.stop())
        self.patch(block_file, "_TRUSTED_CHANGE", 0)  # this test is faster than people are
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)  # with the old times of the contents
        restored = self.real_store()
        self.give_out_many(restored, 500)
        self.assertEqual({restored.table.key_of(number) for number in after}, {None})

    def real_store(self) -> BlockStore:
        """A started store that believes the file system."""
        self.patch(block_file, "_changed_at", CHANGED_AT)
        self.time = time.time()
        return self.started(reserved=2)

    def test_our_own_file_is_trusted(self) -> None:
        """After a stop, and after a kill, numbers go on where they were."""
        self.patch(block_file, "_TRUSTED_CHANGE", 60_000)  # whatever else the machine does
        store = self.real_store()
        first = self.give_out(store, self.group(1)) >> 10
        self.successResultOf(store.stop())
        store = self.real_store()
        second = self.give_out(store, self.group(2)) >> 10
        self.assertEqual(second, first % MOST_BLOCKS + 1)
        store._file.close()
        third = self.give_out(self.real_store(), self.group(3)) >> 10
        self.assertLess((third - second) % MOST_BLOCKS, 10)

    def test_no_backup(self) -> None:
        """Of a store that does not run, or cannot write there: a sentence."""
        store = self.store()
        store.prepare()
        failure = self.failureResultOf(store.back_up(self.folder), BlockFileError)
        self.assertIn("does not run", str(failure.value))
        store.start()
        failure = self.failureResultOf(store.back_up(self.folder / "missing"), BlockFileError)
        self.assertIn("cannot be copied", str(failure.value))

    def test_stopped_meanwhile(self) -> None:
        """Stopping ends the copy."""
        worker = HeldWorker()
        store = self.started(worker)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        done = store.back_up(folder)
        stopped = store.stop()
        while worker.jobs:
            worker.run_one()
        self.failureResultOf(done, BlockFileError)
        self.successResultOf(stopped)


class ThreadTests(TestCase):
    async def test_with_a_thread(self) -> None:
        """With the real reactor: a life of a store, and what it tells the next one."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        store = BlockStore(folder, SELF_ID, reactor)
        store.prepare()
        store.start()
        keys = [MessageKey(FRIEND, 10002 + number, number) for number in range(50)]
        ids = [store.table.id_of(key) for key in keys]
        committed = store.committed()
        assert committed is not None
        await committed
        store.table.mark_seen(keys[0], time.time())
        await store.stop()
        other = BlockStore(folder, SELF_ID, reactor)
        other.prepare()
        self.assertEqual([other.table.key_of(number) for number in ids], keys)
        self.assertTrue(other.table.was_seen(keys[0]))
        self.assertIsNone(store.committed())


class KillTests(SynchronousTestCase):
    def test_killed_at_any_moment(self) -> None:
        """Whatever id left a process that was killed stands for the same message afterwards."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        printed: dict[int, MessageKey] = {}
        for run in range(2 * LONG_ROUNDS):
            for line in self.run_and_kill(folder, 20000 + 100_000 * run):
                group_id, seq, message_id = map(int, line.split())
                printed[message_id] = MessageKey(GROUP, group_id, seq)
            store = BlockStore(folder, SELF_ID, Clock())
            store.prepare()
            for message_id, key in printed.items():
                self.assertEqual(store.table.key_of(message_id), key)
                self.assertEqual(store.table.id_of(key), message_id)
        self.assertGreaterEqual(len(printed), 24)

    def run_and_kill(self, folder: Path, first_group: int) -> list[str]:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.accounts.milky_block_child", str(folder), str(first_group)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            try:
                lines = [child.stdout.readline() for _ in range(12)]
                time.sleep(random.uniform(0.02, 0.15))  # a moment that nobody chose
            finally:
                child.kill()
            lines += child.stdout.read().split("\n")
        return [line for line in lines if line.count(" ") == 2 and line.split(" ")[2]]
