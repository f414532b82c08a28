"""Copies of a journal that is written meanwhile, and what a restored one says."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.journal.commit_queue import CommitQueue
from lgtwist.journal.journal import Journal
from lgtwist.journal.sqlite import SqliteStore
from lgtwist.journal.store import JournalError
from lgtwist.journal.worker import ThreadWorker
from tests.journal.fakes import HeldWorker, Lines, Room, event
from tests.journal.memory_store import MemoryStore
from tests.processes import wait_until


class CopyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.store = SqliteStore(self.folder / "journal.sqlite")
        self.store.open_writing([("bot", 1)], 1000)
        self.addCleanup(self.store.close_writing)
        self.end = 0

    def append(self, events: int = 10, size: int = 100_000) -> None:
        queue = CommitQueue()
        queue.add(1, 1000, [event(self.end + number, size=size) for number in range(events)])
        self.store.append(self.store.pack(queue.begin(self.end, {1: self.end})))
        self.end += events

    def copy(self, between: Any = lambda: None) -> Path:
        target = self.folder / "copy.sqlite"
        self.store.back_up(target, 5000, between)
        return target

    def reopened(self, path: Path) -> Any:
        store = SqliteStore(path)
        self.addCleanup(store.close_writing)
        return store, store.open_writing([("bot", 1)], 6000)

    def test_what_is_written_meanwhile_is_in_it(self) -> None:
        """It ends although there is a commit at each step, and has all that was committed before its end."""
        for _time in range(10):
            self.append()
        commits = [0]

        def between() -> None:
            if commits[0] < 300:
                commits[0] += 1
                self.append(1, 50_000)

        target = self.copy(between)
        self.assertGreater(commits[0], 5)
        self.assertLess(commits[0], 300)
        self.assertEqual(target.stat().st_mode & 0o777, 0o600)
        connection = sqlite3.connect(target)
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        last = connection.execute("SELECT max(last) FROM chunk").fetchone()[0]
        self.assertGreaterEqual(last, self.end - 1)

    def test_it_says_of_itself_that_it_is_a_backup(self) -> None:
        self.append(1)
        target = self.copy()
        self.assertFalse(target.with_name(f"{target.name}-wal").exists())
        _store, contents = self.reopened(target)
        self.assertEqual((contents.backup_made, contents.end), (5000, 1))
        _store.forget_backup()
        _store.close_writing()
        self.assertIsNone(self.reopened(target)[1].backup_made)
        self.store.close_writing()
        self.assertIsNone(self.reopened(self.folder / "journal.sqlite")[1].backup_made)

    def test_given_up(self) -> None:
        self.append()

        def between() -> None:
            raise KeyError("enough")

        self.assertRaises(KeyError, self.copy, between)
        self.append()  # the journal goes on

    def test_it_is_not_closed_meanwhile(self) -> None:
        self.append()
        self.copy(lambda: self.assertRaises(JournalError, self.store.close_writing))

    def test_a_full_disk(self) -> None:
        self.append()
        target = self.folder / "copy.sqlite"
        target.touch()
        with self.assertRaises(OSError):
            self.store.back_up(target, 5000, lambda: None)


class WorkerTests(SynchronousTestCase):
    def test_jobs_between_the_steps_of_a_long_one(self) -> None:
        worker = ThreadWorker("test", lambda call, *arguments: call(*arguments))
        began, go_on, done = threading.Event(), threading.Event(), []

        def long() -> None:
            began.set()
            go_on.wait(10)
            worker.run_waiting()
            done.append("long")

        def bad() -> None:
            raise KeyError("bad")

        results: list[Any] = []
        worker.do(long)
        began.wait(10)
        worker.do(lambda: done.append("short"))
        worker.do(bad).addErrback(results.append)
        stopped = worker.stop()
        go_on.set()
        wait_until("it ends", lambda: stopped.called)
        self.assertEqual(done, ["short", "long"])
        self.assertTrue(results[0].check(KeyError))


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = Lines(self)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_closed(self) -> None:
        room = Room(MemoryStore())
        journal: Journal = room.journal
        self.successResultOf(journal.close())
        self.failureResultOf(journal.back_up(self.folder / "copy", lambda: None), JournalError)

    def test_what_waits_is_written_first(self) -> None:
        room = Room(MemoryStore())
        written: list[Any] = []
        self.patch(room.journal._store, "back_up", lambda *_all: written.append(room.journal.end(1)))
        room.journal.append(1, [event(1)])
        copied: Deferred[None] = room.journal.back_up(self.folder / "copy", lambda: None)
        room.advance(2.0)
        self.successResultOf(copied)
        self.assertEqual(written, [1])

    def test_commits_go_on_between_its_steps(self) -> None:
        room = Room(MemoryStore(), worker=HeldWorker)
        seen: list[Any] = []

        def back_up(_target: Path, _now: int, between: Any) -> None:
            room.journal.append(1, [event(1)])
            room.advance(0.1)
            seen.append(room.store._contents.end)
            between()
            seen.append(room.store._contents.end)

        self.patch(room.store, "back_up", back_up)
        checked: list[int] = []
        copied = room.journal.back_up(self.folder / "copy", lambda: checked.append(1))
        for _step in range(10):
            room.writer.go()
            room.advance(0.01)
        self.successResultOf(copied)
        self.assertEqual((seen, checked), ([0, 1], [1]))

    def test_a_restored_one_says_so_once(self) -> None:
        path = self.folder / "journal.sqlite"
        store = SqliteStore(path)
        store.open_writing([], 1000)
        store.back_up(self.folder / "copy.sqlite", 5000, lambda: None)
        store.close_writing()
        for times in (1, 0):
            room = Room(SqliteStore(self.folder / "copy.sqlite"))
            self.assertEqual(len(self.lines.all("is a backup of")), times)
            self.lines.forget()
            self.successResultOf(room.journal.close())
