"""The thread that writes a world's file."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.sandbox import writer as writer_module
from lgtwist.sandbox.store import StoreError, WorldStore
from lgtwist.sandbox.world.model import Message, Person, Record
from lgtwist.sandbox.writer import WorldWriter
from tests.processes import Stopwatch, wait_until


class WriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def writer(self, patience: float = 1.0) -> WorldWriter:
        made = WorldWriter(self.path, patience=patience)
        self.addCleanup(made.close)
        return made

    def lock(self) -> sqlite3.Connection:
        """Begin a transaction, as another program."""
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        return other

    def records(self) -> list[Record]:
        store = WorldStore(self.path)
        try:
            return list(store.records())
        finally:
            store.close()

    def person(self, number: int, name: str) -> dict[tuple[str, str], Record | None]:
        return {("person", str(number)): Person(number, name)}

    def lines(self) -> list[str]:
        return [str(formatEvent(event)) for event in self.seen]

    def test_written_when_it_returns(self) -> None:
        """As a rule what is written is in the file at once, and what changes afterwards is not."""
        writer = self.writer()
        alice = Person(1, "Alice")
        writer.write({("person", "1"): alice})
        alice.nickname = "somebody else"
        self.assertEqual(self.records(), [Person(1, "Alice")])

    def test_locked(self) -> None:
        """Who has locked the file makes nobody wait; the newest of everything is written afterwards."""
        writer = self.writer(patience=0.5)
        writer.write(self.person(1, "first"))
        other = self.lock()
        watch = Stopwatch()
        for number in range(200):
            writer.write(self.person(1, str(number)))
            writer.write(self.person(2, str(number)))
        self.assertLess(watch.seconds(), 5.0)  # each of them alone was 5 s
        writer.write({("person", "2"): None})
        self.assertEqual(self.lines(), [])
        other.execute("ROLLBACK")
        wait_until("it is written", lambda: self.records() == [Person(1, "199")])

    def test_locked_for_long(self) -> None:
        """A lock that stays is one line, and another one when it is gone."""
        self.patch(writer_module, "_QUIET_SECONDS", 0.2)
        writer = self.writer(patience=0.01)
        writer.write(self.person(1, "first"))
        other = self.lock()
        writer.write(self.person(1, "second"))
        wait_until("it is logged", self.lines)
        other.execute("ROLLBACK")
        wait_until("it is logged", lambda: len(self.lines()) == 2)
        self.assertIn("database is locked", self.lines()[0])
        self.assertEqual(self.lines()[1], f"sandbox {self.path} is written again")

    def test_locked_at_the_stop(self) -> None:
        """The stop waits for the lock for some time, not for ever."""
        self.patch(writer_module, "_STOP_SECONDS", 0.3)
        WorldStore(self.path).close()  # nobody looks into a file that is being made
        for freed in (True, False):
            writer = WorldWriter(self.path, patience=0.01)
            writer.write(self.person(1, "first"))
            wait_until("it is written", lambda: self.records() == [Person(1, "first")])
            other = self.lock()
            writer.write(self.person(1, "last"))
            closed = writer.close()
            self.assertFalse(closed.called)
            if freed:
                other.execute("ROLLBACK")
            wait_until("it is closed", lambda closed=closed: closed.called)  # type: ignore[misc]
            other.close()
            self.assertEqual(self.records(), [Person(1, "last" if freed else "first")])

    def test_what_was_never_in_the_file(self) -> None:
        """Messages that come and go while the file is locked leave nothing behind in memory."""
        WorldStore(self.path).close()  # nobody looks into a file that is being made
        writer = self.writer(patience=0.01)
        writer.write(self.person(1, "first"))
        wait_until("it is written", lambda: self.records())
        self.lock()
        for number in range(500):
            key = ("message", str(number))
            writer.write({key: Message(number, 0, 1, [], "")})
            writer.write({key: None})
        with writer._changed:
            self.assertLess(len({**writer._waiting, **writer._batch}), 10)

    def test_a_large_message(self) -> None:
        """It comes back whole, and its string with CQ codes is made again."""
        words = "a\n" * (2 << 20)
        message = Message(1, 0, 1, [{"type": "text", "data": {"text": words}}], words, peer_id=1)
        self.writer(patience=10.0).write({("message", "1"): message})
        store = WorldStore(self.path)
        self.addCleanup(store.close)
        (found,) = store.records()
        assert isinstance(found, Message)
        self.assertEqual((found.message, found.peer_id), (message.message, 1))

    def test_modes(self) -> None:
        """The files are for our user alone, whatever the umask, also those of an earlier version."""
        before = os.umask(0)
        try:
            self.writer().write(self.person(1, "a"))
            found = {path.name: path.stat().st_mode & 0o777 for path in self.path.parent.iterdir()}
            self.assertEqual(len(found), 3)
            self.assertEqual(set(found.values()), {0o600})
            self.path.chmod(0o644)
            WorldStore(self.path).close()
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        finally:
            os.umask(before)

    def test_reading_while_locked(self) -> None:
        """A world can be read while another program writes its file, and at once."""
        self.writer().write(self.person(1, "a"))
        self.lock()
        watch = Stopwatch()
        self.assertEqual(self.records(), [Person(1, "a")])
        self.assertLess(watch.seconds(), 1.0)

    def test_no_thread_is_left(self) -> None:
        """A file that cannot be opened ends nothing, and its thread ends with the writer."""
        self.path.mkdir()
        with self.assertRaises(StoreError):
            WorldStore(self.path)
        writer = WorldWriter(self.path)
        writer.write(self.person(1, "a"))
        self.assertTrue(writer.close().called)
        self.assertNotIn(f"sandbox-writer {self.path}", [one.name for one in threading.enumerate()])
        self.assertIn("cannot be written", self.lines()[0])

    def test_a_copy_has_all_that_was_given(self) -> None:
        writer = self.writer(patience=0.0)
        done: list[Any] = []
        target = self.path.with_name("copy.sqlite")
        for number in range(1, 51):
            writer.write(self.person(number, "Alice"))
        writer.copy(target).addBoth(done.append)
        wait_until("it is copied", lambda: done)
        self.assertEqual(done, [None])
        self.assertEqual(target.stat().st_mode & 0o777, 0o600)
        self.path = target
        self.assertEqual(len(self.records()), 50)

    def test_a_copy_that_is_asked_for_while_the_file_is_written(self) -> None:
        """It has what was given until then, though that was not in the batch that is being written."""
        done: list[Any] = []
        target = self.path.with_name("copy.sqlite")
        write = WorldStore.write

        def written_slowly(store: WorldStore, changes: Any) -> None:
            write(store, changes)
            if not done:
                done.append("asked")
                writer.write(self.person(2, "Bob"))
                writer.copy(target).addBoth(done.append)

        self.patch(WorldStore, "write", written_slowly)
        writer = self.writer(patience=0.0)
        writer.write(self.person(1, "Alice"))
        wait_until("it is copied", lambda: len(done) == 2)
        self.path = target
        self.assertEqual(len(self.records()), 2)

    def test_a_copy_of_what_cannot_be_written(self) -> None:
        WorldStore(self.path).close()  # nobody looks into a file that is being made
        writer = self.writer(patience=0.0)
        writer.write(self.person(1, "Alice"))
        wait_until("it is written", self.records)
        other = self.lock()
        writer.write(self.person(2, "Bob"))
        done: list[Any] = []
        target = self.path.with_name("locked-copy.sqlite")
        writer.copy(target).addBoth(done.append)
        wait_until("it is told", lambda: done)
        self.assertTrue(done[0].check(StoreError))
        self.assertFalse(target.exists())
        other.execute("ROLLBACK")
        closed = writer.close()
        wait_until("it is closed", lambda: closed.called)
        self.failureResultOf(writer.copy(target), StoreError)
