"""The journal's file: what is damaged, what is not, and what cannot be told."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.journal import sqlite as file_store
from lgtwist.journal.chunk import CommitGroup
from lgtwist.journal.journal import JournalLimits
from lgtwist.journal.sqlite import SqliteStore
from lgtwist.journal.store import JournalBusy, JournalError
from tests.journal.fakes import Lines, Room, event

NO_TAIL = JournalLimits(tail=1)


def leaves(file: Path) -> list[int]:
    """The numbers of the pages in which rows of the table ``chunk`` begin, in order."""
    connection = sqlite3.connect(file)
    [(root,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'chunk'")
    connection.close()
    data = file.read_bytes()
    size = int.from_bytes(data[16:18], "big")

    def below(number: int) -> list[int]:
        page = data[(number - 1) * size : number * size]
        if page[0] == 0x0D:
            return [number]
        assert page[0] == 0x05
        cells = int.from_bytes(page[3:5], "big")
        places = [int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big") for n in range(cells)]
        children = [int.from_bytes(page[at : at + 4], "big") for at in places]
        children.append(int.from_bytes(page[8:12], "big"))
        return [leaf for child in children for leaf in below(child)]

    return below(root)


def zero(file: Path, page: int) -> None:
    """One page is nothing but zeros."""
    with file.open("r+b") as open_file:
        size = int.from_bytes(open_file.read(18)[16:], "big")
        open_file.seek((page - 1) * size)
        open_file.write(bytes(size))


class SqliteTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = Lines(self)
        self.file = Path(self.mktemp())
        self.file.mkdir()
        self.file /= "journal.sqlite"

    def room(self, **options: Any) -> Room:
        room = Room(SqliteStore(self.file), **options)
        self.addCleanup(room.journal.close)
        return room

    def fill(self, *which: int, size: int = 0) -> None:
        """A journal with a chunk for each event, closed again."""
        room = self.room()
        room.put_each(*which, size=size)
        room.journal.close()

    def missing(self, room: Room, *expected: int) -> set[int]:
        """Which of these events a bot does not get; what it gets is in order, and the rest is counted."""
        sink = room.attach(window=10_000)
        self.assertEqual(sink.numbers, sorted(sink.numbers))
        gone = set(expected) - set(sink.numbers)
        self.assertEqual(room.delivery.counters.damaged, len(gone))
        return gone


class DamageTests(SqliteTestCase):
    EVENTS = range(1, 301)

    def test_a_page_of_the_table_in_the_middle(self) -> None:
        """What is before and behind it is read, whole."""
        self.fill(*self.EVENTS, size=500)
        zero(self.file, leaves(self.file)[20])
        gone = self.missing(self.room(limits=NO_TAIL), *self.EVENTS)
        self.assertTrue(0 < len(gone) < 20, gone)
        self.assertEqual(len(gone), max(gone) - min(gone) + 1)

    def test_a_chunk_that_does_not_say_what_is_in_it(self) -> None:
        """It alone is missing."""
        self.fill(*self.EVENTS)
        connection = sqlite3.connect(self.file)
        with connection:
            connection.execute("UPDATE chunk SET runs = x'00' WHERE first = 100")
        connection.close()
        self.assertEqual(self.missing(self.room(limits=NO_TAIL), *self.EVENTS), {100})

    def test_the_newest_chunks(self) -> None:
        """They are counted when the next event comes."""
        self.fill(*range(1, 6))
        connection = sqlite3.connect(self.file)
        with connection:
            connection.execute("UPDATE chunk SET payload = x'00' WHERE first >= 4")
        connection.close()
        room = self.room(limits=NO_TAIL)
        sink = room.attach()
        room.put(6)
        self.assertEqual(sink.numbers, [1, 2, 3, 6])
        self.assertEqual(room.delivery.counters.damaged, 2)

    def test_the_oldest_page(self) -> None:
        """The journal can be used all the same: it opens, and the rest is read."""
        self.fill(*self.EVENTS, size=500)
        zero(self.file, leaves(self.file)[0])
        room = self.room(limits=NO_TAIL)
        self.assertIsNone(self.successResultOf(room.opened))
        self.assertTrue(0 < len(self.missing(room, *self.EVENTS)) < 20)

    def test_retention_over_a_damaged_chunk(self) -> None:
        """It goes like any other; writing is not disturbed."""
        self.fill(*self.EVENTS)
        connection = sqlite3.connect(self.file)
        with connection:
            connection.execute("UPDATE chunk SET runs = x'00' WHERE first = 5")
        connection.close()
        self.lines.forget()
        room = self.room(limits=JournalLimits(retention=10))
        room.clock.advance(20)
        room.clock.pump([0.5] * 20)
        self.assertEqual(room.journal.trouble, "")
        self.assertEqual(self.lines.all("failed"), [])
        self.assertEqual(room.journal.expired(1), 300)


class TroubleTests(SqliteTestCase):
    def test_a_read_that_fails_is_no_damage(self) -> None:
        """Nothing is passed over; it is tried again, and everything arrives."""
        room = self.room(limits=NO_TAIL)
        room.put_each(*range(1, 20))
        reading = room.store._reading
        reading.set_progress_handler(lambda: True, 1)  # SQLite says "interrupted"
        sink = room.attach()
        self.assertEqual(sink.numbers, [])
        self.assertEqual(room.delivery.cursor, 0)
        reading.set_progress_handler(None, 1)
        room.clock.advance(2)
        self.assertEqual(sink.numbers, list(range(1, 20)))

    def test_a_folder_of_somebody_else(self) -> None:
        """If the file cannot be opened for writing nor the ballast removed, it is one sentence."""
        self.fill(1)

        def open_writing(*_what: object) -> None:
            raise sqlite3.OperationalError("attempt to write a readonly database")

        def unlink(_path: Path, missing_ok: bool = False) -> None:
            raise PermissionError(13, "Permission denied")

        store = SqliteStore(self.file)
        self.patch(store, "_open_writing", open_writing)
        self.patch(Path, "unlink", unlink)
        with self.assertRaisesRegex(JournalError, "cannot be used: attempt to write a readonly"):
            store.open_writing([], 1)

    def test_a_disk_that_takes_nothing_is_no_damage(self) -> None:
        """What cannot be opened now is not said to be damaged: it would be set aside for that."""
        self.fill(1, 2, 3)
        script = (
            "import resource, sys\n"
            "from pathlib import Path\n"
            "from lgtwist.journal.sqlite import SqliteStore\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"  # too little for the -shm
            "try:\n"
            "    SqliteStore(Path(sys.argv[1])).open_writing([('bot', 1)], 1)\n"
            "except Exception as error:\n"
            "    print(type(error).__name__)\n"
            "else:\n"
            "    print('open')\n"
        )
        copy = self.file.with_name("copy")
        shutil.copy(self.file, copy)
        run = subprocess.run(
            [sys.executable, "-c", script, str(copy)], capture_output=True, text=True, timeout=60, check=True
        )
        self.assertIn(run.stdout.strip(), ("JournalError", "open"), run.stdout)


class LockedTests(SqliteTestCase):
    """Another program is in a transaction on the file, or has it for itself."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(file_store, "_LOCK_PATIENCE", 0.05)

    @contextlib.contextmanager
    def locked(self, how: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.file, timeout=0, isolation_level=None)) as other:
            other.execute(how)
            other.execute("UPDATE state SET saved_to = saved_to")
            yield

    def test_all_that_writes(self) -> None:
        """It says so, and the ballast, which is for a full disk, stays."""
        self.fill(1)
        store = SqliteStore(self.file)
        store.open_writing([("bot", 1)], 0)
        self.addCleanup(store.close_writing)
        group = CommitGroup()
        group.add(1, 0, [event(2)])
        packed = store.pack(group.batches(2, {1: 1}))
        with self.locked():
            for write in (
                lambda: store.append(packed),
                lambda: store.save({1: 1}, 1, {}, []),
                lambda: store.touch({}, 0),
                lambda: store.trim(1 << 60, 1),
            ):
                error = self.assertRaises(JournalBusy, write)
                self.assertIn("journal.sqlite is locked by another program", str(error))
        self.assertTrue(self.file.with_name("journal.sqlite.ballast").exists())
        store.append(packed)

    def test_opening(self) -> None:
        """It opens and reads; which bots there are is written later."""
        self.fill(1)
        store = SqliteStore(self.file)
        with self.locked():
            self.assertTrue(store.open_writing([("new", 1)], 0).untouched)
        store.close_writing()

    def test_opening_what_somebody_has_for_himself(self) -> None:
        """It says so, and opens afterwards."""
        self.fill(1)
        store = SqliteStore(self.file)
        with contextlib.closing(sqlite3.connect(self.file, timeout=0, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
            other.execute("UPDATE state SET saved_to = saved_to")
            error = self.assertRaises(JournalBusy, store.open_writing, [], 0)
            self.assertIn("journal.sqlite is locked by another program", str(error))
        self.assertEqual(store.open_writing([], 0).end, 1)
        store.close_writing()

    def test_a_backup(self) -> None:
        """One that only reads hinders nothing."""
        room = self.room()
        room.put(1)
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM chunk").fetchone()
            room.put_each(*range(2, 10))
        self.assertEqual(room.journal.end(1), 9)
        self.assertEqual(room.journal.trouble, "")


class ReadingTests(SqliteTestCase):
    def test_many_small_chunks(self) -> None:
        """What a chunk costs to read does not grow with those that are remembered, nor what is remembered."""
        room = self.room(limits=NO_TAIL)
        for number in range(400):
            room.put(number, size=1000)
            room.clock.advance(0.001)
        sizes: list[int] = []
        real = file_store._size
        self.patch(file_store, "_size", lambda batches: sizes.append(1) or real(batches))
        self.patch(file_store, "_DECODED", 50_000)
        after, found, reads = 0, 0, 0
        while after < room.journal.end(1):
            page = self.successResultOf(room.journal.read(1, after))
            found += sum(map(len, page.batches))
            after, reads = page.upto, reads + 1
        self.assertEqual(found, 400)
        self.assertLess(reads, 10)
        self.assertLessEqual(len(sizes), 800)
        kept = room.store._decoded
        self.assertLess(sum(map(real, kept.values())), 60_000)
        self.assertEqual(sum(map(real, kept.values())), room.store._decoded_size)
