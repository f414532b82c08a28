"""The journal's files: what is not ours stays as it is, what was torn is found again as far as it goes."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from lgtwist.journal import sqlite
from lgtwist.journal.journal import JournalLimits
from lgtwist.journal.report import report
from lgtwist.journal.sqlite import SqliteStore, open_for_reading, set_aside
from lgtwist.journal.store import JournalDamaged, JournalError
from tests.journal.fakes import Room, event
from tests.journal.test_sqlite import SqliteTestCase, leaves, zero
from tests.rounds import LONG_ROUNDS

PAIRS = [("bot", 1)]


def everything(folder: Path) -> dict[str, bytes]:
    """All files and what is in them; of folders that they are there."""
    return {
        str(one.relative_to(folder)): one.read_bytes() if one.is_file() else b"folder"
        for one in sorted(folder.rglob("*"))
    }


def copied(file: Path, to: Path) -> Path:
    """The journal's files as they are now, as a crash would leave them."""
    to.mkdir()
    for ending in ("", "-wal"):
        if Path(f"{file}{ending}").exists():
            shutil.copy(f"{file}{ending}", f"{to / file.name}{ending}")
    return to / file.name


class NotOursTests(SqliteTestCase):
    def check_refused(self, error: type[JournalError], *words: str) -> None:
        """Opening it is one clear line, and changes nothing; nor does looking into it."""
        before = everything(self.file.parent)
        for use in (lambda: SqliteStore(self.file).open_writing(PAIRS, 1), lambda: report(self.file)):
            with self.assertRaises(JournalError) as caught:
                use()
            said = str(caught.exception)
            self.assertIs(type(caught.exception), error, said)
            self.assertIn(str(self.file), said)
            self.assertNotIn("\n", said)
            for word in words:
                self.assertIn(word, said)
        self.assertTrue(everything(self.file.parent) == before, "something was changed")

    def test_a_newer_schema(self) -> None:
        """A journal of a later lgtwist is left alone."""
        self.fill(1, 2)
        connection = sqlite3.connect(self.file)
        connection.execute(f"PRAGMA user_version={sqlite.VERSION + 1}")
        connection.close()
        self.check_refused(JournalError, "newer lgtwist", f"schema {sqlite.VERSION + 1}")

    def test_another_program_s_database(self) -> None:
        """Its tables are none of ours."""
        connection = sqlite3.connect(self.file)
        connection.execute("CREATE TABLE chunk (first INTEGER)")
        connection.close()
        self.check_refused(JournalError, "no journal of lgtwist")

    def test_text(self) -> None:
        """Somebody's notes."""
        self.file.write_text("what I must not forget\n" * 100)
        self.check_refused(JournalDamaged, "does not begin as a SQLite file does")

    def test_an_empty_file(self) -> None:
        """It is not taken for a journal that was never made."""
        self.file.touch()
        self.check_refused(JournalDamaged, "does not begin as a SQLite file does")

    def test_a_header_of_zeros(self) -> None:
        """A file system may do that after a power cut."""
        self.fill(*range(20))
        with self.file.open("r+b") as file:
            file.write(bytes(4096))
        self.check_refused(JournalDamaged)

    def test_a_file_that_is_too_short(self) -> None:
        """Wherever it was cut."""
        self.fill(*range(100), size=2000)
        whole = self.file.read_bytes()
        for size in (50, 99, 100, 5000, len(whole) // 2, len(whole) - 1):
            self.file.write_bytes(whole[:size])
            self.check_refused(JournalDamaged)
        self.file.write_bytes(whole)
        self.assertEqual(self.missing(self.room(), *range(100)), set())

    def test_a_folder(self) -> None:
        """It stays one."""
        self.file.mkdir()
        self.check_refused(JournalError, "cannot be read: it is a folder, not a file")

    def test_a_place_that_is_none(self) -> None:
        """One line too, where the folder is not there or is a file."""
        for folder in (self.file.parent / "nowhere", self.file.parent / "file"):
            if folder.name == "file":
                folder.touch()
            with self.assertRaises(JournalError) as caught:
                SqliteStore(folder / "journal.sqlite").open_writing(PAIRS, 1)
            self.assertNotIn("\n", str(caught.exception))

    def test_tables_that_are_not_there(self) -> None:
        """A file that says it is ours, and is not."""
        connection = sqlite3.connect(self.file)
        connection.execute("CREATE TABLE other (x)")
        connection.execute(f"PRAGMA application_id={sqlite._APPLICATION}")
        connection.execute(f"PRAGMA user_version={sqlite.VERSION}")
        connection.close()
        with self.assertRaises(JournalError):
            SqliteStore(self.file).open_writing(PAIRS, 1)
        self.assertRaises(JournalError, report, self.file)

    def test_a_damaged_file_that_was_not_closed(self) -> None:
        """Its write-ahead log is not put into it."""
        room = self.room()
        room.put_each(*range(50), size=2000)
        room.journal.close()
        room = self.room()
        room.put_each(*range(50, 100), size=2000)
        self.file = copied(self.file, self.file.parent / "after")
        room.journal.close()
        whole = self.file.read_bytes()
        self.file.write_bytes(whole[:20_000])
        before = everything(self.file.parent)
        with self.assertRaises(JournalDamaged):
            SqliteStore(self.file).open_writing(PAIRS, 1)
        after = everything(self.file.parent)
        after.pop(f"{self.file.name}-shm", None)
        self.assertEqual(list(after), list(before))
        self.assertEqual([name for name in before if after[name] != before[name]], [])


class SetAsideTests(SqliteTestCase):
    def test_all_of_it(self) -> None:
        """The file and what belongs to it are renamed, and a new journal begins."""
        for ending in ("", "-wal", "-shm"):
            self.file.with_name(f"{self.file.name}{ending}").write_text(f"old{ending}")
        aside = set_aside(self.file, "20260101T000000")
        self.assertEqual(aside.name, "journal.sqlite.damaged-20260101T000000")
        self.assertEqual(
            everything(self.file.parent),
            {f"{aside.name}{ending}": f"old{ending}".encode() for ending in ("", "-wal", "-shm")},
        )
        room = self.room()
        room.put(1)
        self.assertEqual(room.journal.end(1), 1)
        self.assertEqual(self.lines.loud(), [])

    def test_what_can_be_read_of_it_is_still_there(self) -> None:
        """A journal that was set aside can be put back."""
        self.fill(1, 2, 3)
        before = self.file.read_bytes()
        aside = set_aside(self.file, "x")
        self.assertEqual(aside.read_bytes(), before)

    def test_where_it_cannot_be(self) -> None:
        """One line."""
        self.fill(1)
        self.file.with_name("journal.sqlite.damaged-x").mkdir()
        with self.assertRaises(JournalError) as caught:
            set_aside(self.file, "x")
        self.assertIn("cannot be set aside", str(caught.exception))


class TornTests(SqliteTestCase):
    """What is left of the write-ahead log after a crash is the beginning of what was written."""

    def found(self, file: Path) -> list[int]:
        """The events in a journal that was not closed; and it can be written on."""
        room = Room(SqliteStore(file, full=False), limits=JournalLimits(tail=1))
        self.assertEqual(self.lines.loud(), [])
        sink = room.attach(window=10_000)
        found = sink.numbers
        self.assertEqual(room.journal.total(1), len(found))
        self.assertEqual(room.delivery.counters.damaged, 0)
        room.put(1000)
        self.assertEqual(sink.numbers, [*found, 1000])
        room.journal.close()
        return found

    def torn(self, change: Callable[[bytearray, random.Random], None]) -> list[int]:
        """How many events are left of 60 after the log was changed somewhere, at random."""
        room = self.room()
        room.put_each(*range(60), size=200)
        lengths = []
        for turn in range(15 * LONG_ROUNDS):
            file = copied(self.file, self.file.parent / f"copy{turn}")
            wal = file.with_name(f"{file.name}-wal")
            data = bytearray(wal.read_bytes())
            change(data, random.Random(turn))
            wal.write_bytes(data)
            found = self.found(file)
            self.assertEqual(found, list(range(len(found))))
            lengths.append(len(found))
            shutil.rmtree(file.parent)
        return lengths

    def test_cut(self) -> None:
        """At any place."""

        def cut(data: bytearray, chosen: random.Random) -> None:
            del data[chosen.randrange(len(data)) :]

        lengths = self.torn(cut)
        self.assertLess(min(lengths), 20)
        self.assertGreater(max(lengths), 40)

    def test_flipped(self) -> None:
        """One bit anywhere."""

        def flip(data: bytearray, chosen: random.Random) -> None:
            data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)

        self.assertLess(min(self.torn(flip)), 40)

    def test_zeros(self) -> None:
        """A piece that never reached the disk, in the middle or at the end."""

        def lose(data: bytearray, chosen: random.Random) -> None:
            begin = chosen.randrange(len(data))
            size = min(len(data) - begin, chosen.choice([512, 4096, len(data)]))
            data[begin : begin + size] = bytes(size)

        self.assertLess(min(self.torn(lose)), 40)

    def test_none(self) -> None:
        """A crash in itself loses nothing that was observed, at any moment."""
        room = self.room(limits=JournalLimits(retention=3))
        for number in range(40):
            room.put(number, size=20_000)
            room.clock.advance(0.2)
            file = copied(self.file, self.file.parent / f"copy{number}")
            again = Room(SqliteStore(file, full=False), limits=JournalLimits(tail=1))
            self.assertEqual(again.journal.end(1), room.journal.end(1))
            self.assertEqual(again.journal.total(1), number + 1)
            self.assertEqual(again.journal.expired(1), room.journal.expired(1))
            sink = again.attach(window=1000)
            self.assertEqual(sink.numbers, list(range(room.journal.expired(1), number + 1)))
            again.journal.close()
            shutil.rmtree(file.parent)
        self.assertGreater(room.journal.expired(1), 5)


class FlippedTests(SqliteTestCase):
    def test_bits_of_a_closed_journal(self) -> None:
        """Whatever was flipped: it opens, or says that it is damaged; never is anything wrong delivered."""
        self.fill(*range(150), size=300)
        whole = self.file.read_bytes()
        opened = 0
        for turn in range(30 * LONG_ROUNDS):
            chosen = random.Random(turn)
            data = bytearray(whole)
            for _ in range(chosen.choice([1, 1, 20])):
                data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
            self.file.write_bytes(data)
            room = Room(SqliteStore(self.file, full=False), limits=JournalLimits(tail=1))
            if room.opened.called and not isinstance(room.opened.result, type(None)):
                self.failureResultOf(room.opened, JournalError)
            else:
                opened += 1
                sink = room.attach(window=10_000)
                for one in sink.events:
                    self.assertEqual(one, {"post_type": "message", "n": one["n"], "text": "x" * 300})
                self.assertEqual(sink.numbers, sorted(set(sink.numbers)))
                room.journal.close()
            for ending in ("-wal", "-shm"):
                self.file.with_name(f"{self.file.name}{ending}").unlink(missing_ok=True)
        self.assertGreater(opened, 15)
        self.flushLoggedErrors()


class DamagedTests(SqliteTestCase):
    def test_a_page_among_large_chunks(self) -> None:
        """Passing over it takes a few looks, however many events are in a chunk."""
        room = self.room()
        for begin in range(0, 40_000, 2000):
            room.journal.append(1, [event(number, size=50) for number in range(begin, begin + 2000)])
            room.clock.advance(0)
        room.journal.close()
        pages = leaves(self.file)
        zero(self.file, pages[len(pages) // 2])
        room = self.room(limits=JournalLimits(tail=1))
        asked: list[str] = []
        room.store._reading.set_trace_callback(asked.append)
        sink = room.attach(window=100_000)
        while room.delivery.unconfirmed:
            sink.confirm()
        self.assertEqual(len(sink.numbers) + room.delivery.counters.damaged, 40_000)
        self.assertGreater(len(sink.numbers), 30_000)
        self.assertLess(len(asked), 500)

    def test_a_read_that_fails_once(self) -> None:
        """It is done again, whatever comes next: what it did not find may be there."""
        self.fill(*range(20))
        room = self.room(limits=JournalLimits(tail=1))
        fails = iter([True])
        room.store._reading.set_progress_handler(lambda: next(fails, False), 1)
        sink = room.attach()
        self.assertEqual(sink.numbers, [])
        room.clock.advance(2)
        self.assertEqual(sink.numbers, list(range(20)))
        self.assertEqual(room.delivery.counters.damaged, 0)

    def test_the_newest_chunk_after_a_crash(self) -> None:
        """Its events are missing, and counted, also where the totals were not written before."""
        room = self.room()
        room.put_each(1, 2, 3)
        room.advance(2)
        room.put_each(4, 5)
        file = copied(self.file, self.file.parent / "after")
        connection = sqlite3.connect(file)
        with connection:
            connection.execute("UPDATE chunk SET payload = x'00' WHERE first = 5")
        connection.close()
        again = Room(SqliteStore(file, full=False), limits=JournalLimits(tail=1))
        sink = again.attach()
        again.put_each(6, 7)
        self.assertEqual(sink.numbers, [1, 2, 3, 4, 6, 7])
        self.assertEqual(again.delivery.counters.damaged, 1)
        again.journal.close()


class OpenTests(SqliteTestCase):
    def test_a_new_file(self) -> None:
        """Only its owner reads it; it appears whole, whatever a start that broke off left behind."""
        self.file.with_name(f"{self.file.name}.new").write_text("half")
        room = self.room()
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        self.assertFalse(self.file.with_name(f"{self.file.name}.new").exists())
        room.put(1)
        self.assertEqual(room.journal.end(1), 1)

    def test_a_closed_journal_is_one_file(self) -> None:
        """With what is kept free beside it; so it can be copied."""
        self.fill(1, 2, 3)
        names = sorted(everything(self.file.parent))
        self.assertEqual(names, ["journal.sqlite", "journal.sqlite.ballast"])

    def test_the_reader_cannot_write(self) -> None:
        """Whatever it is asked."""
        room = self.room()
        room.put(1)
        for connection in (room.store._reading, open_for_reading(self.file)):
            for statement in ("DELETE FROM chunk", "PRAGMA user_version=7", "CREATE TABLE x (y)", "VACUUM"):
                with self.assertRaises(sqlite3.Error):
                    connection.execute(statement)
        connection.close()

    def test_how_it_is_written(self) -> None:
        """``sync = "full"`` waits for the disk at each commit, "normal" does not; both write ahead."""
        for full, level in ((True, 2), (False, 1)):
            self.setUp()
            store = SqliteStore(self.file, full)
            store.open_writing(PAIRS, 1)
            for pragma, value in (("synchronous", level), ("journal_mode", "wal"), ("secure_delete", 0)):
                self.assertEqual(store._writing.execute(f"PRAGMA {pragma}").fetchone()[0], value)
            store.close_writing()

    def test_opened_twice(self) -> None:
        """What was open is closed first: a failed start is tried again."""
        store = SqliteStore(self.file)
        store.open_writing(PAIRS, 1)
        store.open_writing(PAIRS, 1)
        store.open_reading()
        store.close_reading()
        store.close_writing()
        self.assertNotIn("journal.sqlite-wal", everything(self.file.parent))


class BallastTests(SqliteTestCase):
    """Some of the disk is kept free for retention, which needs space to make space."""

    def setUp(self) -> None:
        super().setUp()
        self.ballast = self.file.with_name(f"{self.file.name}.ballast")
        self.space = True  # on the disk

        def reserve(descriptor: int, offset: int, size: int) -> None:
            if not self.space:
                raise OSError(28, "No space left on device")
            os.truncate(descriptor, size)

        self.patch(sqlite.os, "posix_fallocate", reserve)

    def full(self, store: Any) -> None:
        """A full disk: what is written needs the ballast's place."""
        transaction, insert = store._transaction, store.append

        def when_there_is_room(work: Any) -> Any:
            if not self.space and self.ballast.exists():
                raise sqlite3.OperationalError("database or disk is full")
            return transaction(work)

        def append(row: Any) -> None:
            if not self.space:
                raise JournalError("the disk is full")
            insert(row)

        store._transaction, store.append = when_there_is_room, append

    def test_made_used_and_made_again(self) -> None:
        """It is there from the start, goes for retention on a full disk, and comes back with the room."""
        room = self.room(limits=JournalLimits(retention=20))
        self.assertEqual(self.ballast.stat().st_size, 8 << 20)
        self.assertEqual(self.ballast.stat().st_mode & 0o777, 0o600)
        room.put_each(*range(10))
        room.advance(2)
        self.full(room.store)
        self.space = False
        room.put(10)
        room.advance(5)
        self.assertTrue(self.ballast.exists())
        room.advance(30)
        self.assertFalse(self.ballast.exists())
        self.assertEqual(room.journal.expired(1), 10)
        self.space = True
        room.advance(30)
        self.assertEqual(room.journal.trouble, "")
        self.assertEqual(room.journal.total(1), 11)
        self.assertTrue(self.ballast.exists(), "what is kept free is not there again")

    def test_no_room_for_it(self) -> None:
        """That is no reason not to start."""
        self.space = False
        room = self.room()
        self.assertFalse(self.ballast.exists())
        room.put(1)
        self.assertEqual(room.journal.end(1), 1)
        self.assertEqual(self.lines.loud(), [])

    def test_a_new_bot_on_a_full_disk(self) -> None:
        """It begins at the end that it found, also if the service is killed before all is well."""
        self.fill(1, 2)
        store = SqliteStore(self.file, full=False)
        self.full(store)
        self.space = False
        self.ballast.touch()
        room = Room(store, accounts=(1, 5))
        self.addCleanup(room.journal.close)
        self.assertIsNone(self.successResultOf(room.opened))
        self.space = True
        room.put_each(3, 4, account=5)
        room.clock.advance(1.1)  # it is tried again each second
        self.assertEqual(room.journal.total(5), 2)
        file = copied(self.file, self.file.parent / "after")
        again = Room(SqliteStore(file, full=False), accounts=(1, 5))
        self.assertEqual(again.attach(account=5).numbers, [3, 4])
        again.journal.close()

    def test_a_new_bot_where_only_retention_makes_room(self) -> None:
        """That its beginning cannot be written is no reason to forget nothing and to write nothing."""
        self.fill(*range(10))
        self.ballast.touch()
        store = SqliteStore(self.file, full=False)
        self.full(store)
        self.space = False
        clock = Clock()
        clock.advance(100)
        room = Room(store, accounts=(1, 5), limits=JournalLimits(retention=20), clock=clock)
        self.addCleanup(room.journal.close)
        self.assertIsNone(self.successResultOf(room.opened))
        room.advance(20)
        self.assertEqual(room.journal.expired(1), 10)
        self.space = True
        room.put(10, account=5)
        room.advance(3)
        self.assertEqual(room.journal.trouble, "")
        self.assertEqual(room.journal.total(5), 1)


class BlobTests(SqliteTestCase):
    def test_a_large_burst(self) -> None:
        """Many megabytes that come at once are written and read, whole."""
        room = self.room(limits=JournalLimits(tail=1))
        room.journal.append(1, [event(number, size=1000) for number in range(20_000)])
        room.clock.advance(0)
        room.put(20_000)
        sink = room.attach(window=100_000)
        while room.delivery.unconfirmed:
            sink.confirm()
        self.assertEqual(sink.numbers, list(range(20_001)))
