"""What is said to be in a journal, beside a service that writes and without one."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from lgtwist.delivery.batch import Watermark
from lgtwist.journal.report import as_json, as_text, report
from lgtwist.journal.sqlite import SqliteStore
from lgtwist.journal.store import JournalError
from lgtwist.onebot.event import mark_late
from tests.journal.fakes import BEGIN, Room, event
from tests.journal.test_files import everything
from tests.journal.test_sqlite import SqliteTestCase


class ReportTests(SqliteTestCase):
    def written(self) -> Room:
        """Two accounts, one that nothing came from, two cursors, one event that was refused."""
        room = Room(SqliteStore(self.file, full=False), accounts=(1, 2))
        sink = room.attach(account=1)
        room.put(1, 2, account=1)
        room.clock.advance(10)
        room.put(3, account=2)
        sink.confirm()
        room.clock.advance(10)
        room.put(4, account=1)
        room.journal.refused("bot", room.observed[1], "close code 1009")
        room.advance(1.1)
        self.addCleanup(room.journal.close)
        return room

    def check(self) -> None:
        found = report(self.file)
        self.assertEqual(found.file, str(self.file))
        self.assertGreater(found.bytes, 8000)
        one, two = found.accounts
        self.assertEqual(one.account, 1)
        self.assertEqual(one.count, 3)
        self.assertEqual(one.first, 1)
        self.assertEqual(one.last, 4)
        self.assertEqual(one.first_time, BEGIN)
        self.assertEqual(one.last_time, BEGIN + 20)
        self.assertEqual(two.account, 2)
        self.assertEqual(two.count, 1)
        self.assertEqual(two.first, 3)
        self.assertEqual(two.last, 3)
        self.assertEqual(
            [(one.bot, one.account, one.position, one.backlog, one.time) for one in found.cursors],
            [("bot", 1, 2, 1, BEGIN), ("bot", 2, 0, 1, None)],
        )
        [refused] = found.refused
        self.assertEqual(refused.account, 2)
        self.assertEqual(refused.position, 3)
        self.assertEqual(refused.time, BEGIN + 10)
        self.assertEqual(refused.skipped, BEGIN + 20)
        self.assertEqual(refused.event, event(3).decode())

    def test_a_late_event(self) -> None:
        """One that was fetched later than it happened is shown without the journal's mark of that."""
        room = Room(SqliteStore(self.file, full=False))
        room.journal.append(1, [mark_late(event(1))])
        room.clock.advance(0)
        room.journal.refused("bot", room.observed[0], "close code 1009")
        room.advance(1.1)
        self.addCleanup(room.journal.close)
        [refused] = report(self.file).refused
        self.assertEqual(refused.event, event(1).decode())

    def test_beside_a_service(self) -> None:
        """All that is durable is in it, and the service is not disturbed."""
        room = self.written()
        self.check()
        room.put(5)
        self.assertEqual(report(self.file).accounts[0].count, 4)
        self.assertEqual(room.journal.end(1), 5)
        self.assertEqual(self.lines.loud(), [])

    def test_without_one(self) -> None:
        """No file is made or changed to read it."""
        self.written().journal.close()
        before = everything(self.file.parent)
        self.file.chmod(0o400)
        self.check()
        self.assertEqual(everything(self.file.parent).keys(), before.keys())
        self.assertTrue(everything(self.file.parent) == before)

    def test_after_a_crash(self) -> None:
        """What is in the write-ahead log is in it too, and stays there."""
        room = self.written()
        files = {
            ending: self.file.with_name(f"{self.file.name}{ending}").read_bytes() for ending in ("", "-wal")
        }
        room.journal.close()
        for ending, data in files.items():
            self.file.with_name(f"{self.file.name}{ending}").write_bytes(data)
        self.check()
        for ending, data in files.items():
            self.assertTrue(self.file.with_name(f"{self.file.name}{ending}").read_bytes() == data, ending)

    def test_for_people(self) -> None:
        """One line for each account, cursor and event that was skipped."""
        self.written().journal.close()
        lines = as_text(report(self.file)).splitlines()
        self.assertEqual(len(lines), 6)
        for line, words in zip(
            lines,
            (
                "journal.sqlite, 0.",
                "account 1: 3 events, positions 1 to 4, 20",
                "account 2: 1 events, positions 3 to 3, 20",
                'bot "bot", account 1: at position 2, backlog 1, the newest it has is of 20',
                'bot "bot", account 2: at position 0, backlog 1',
                'skipped for bot "bot", account 2: position 3, ',
            ),
            strict=True,
        ):
            self.assertIn(words, line)
        self.assertIn("close code 1009", lines[-1])

    def test_for_programs(self) -> None:
        """The same as JSON."""
        self.written().journal.close()
        found: Any = json.loads(as_json(report(self.file)))
        self.assertEqual(set(found), {"file", "bytes", "accounts", "cursors", "refused"})
        self.assertEqual([one["count"] for one in found["accounts"]], [3, 1])
        self.assertEqual([one["backlog"] for one in found["cursors"]], [1, 1])

    def test_an_empty_journal(self) -> None:
        """Just made."""
        self.fill()
        self.assertEqual(len(as_text(report(self.file)).splitlines()), 2)

    def test_everything_was_forgotten(self) -> None:
        """The accounts are still known."""
        self.fill(1, 2)
        store = SqliteStore(self.file)
        store.open_writing([("bot", 1)], 1)
        store.trim(int((BEGIN + 100) * 1000), 1 << 40)
        store.close_writing()
        found = report(self.file)
        self.assertEqual([(one.account, one.count, one.first) for one in found.accounts], [(1, 0, None)])
        self.assertIn("account 1: no events", as_text(found))

    def test_names_are_data(self) -> None:
        """What a bot is called, or sent, does nothing to a terminal."""
        store = SqliteStore(self.file)
        store.open_writing([("bot\x1b[2J\n", 1)], 1)
        store.save({}, 0, {("bot\x1b[2J\n", 1): Watermark(3, 2, 1)}, [])
        store.close_writing()
        text = as_text(report(self.file))
        self.assertNotIn("\x1b", text)
        self.assertEqual(len(text.splitlines()), 2)

    def test_no_journal(self) -> None:
        """One line."""
        with self.assertRaises(JournalError) as caught:
            report(self.file)
        self.assertIn("there is no journal", str(caught.exception))

    def test_a_damaged_chunk(self) -> None:
        """The rest is told: a service goes on with such a journal too."""
        self.fill(*range(1, 11))
        for value in (b"\0", b""):
            connection = sqlite3.connect(self.file)
            with connection:
                connection.execute("UPDATE chunk SET runs = ? WHERE first = 5", (value,))
            connection.close()
            [one] = report(self.file).accounts
            self.assertIn(one.count, (9, 10))
            self.assertEqual(one.first, 1)
            self.assertEqual(one.last, 10)

    def test_times_of_each_account(self) -> None:
        """Where several share a commit each has its own."""
        room = self.room(accounts=(1, 2))
        room.journal.append(1, [event(1)])
        room.clock.rightNow += 50
        room.journal.append(2, [event(2)])
        room.clock.advance(0)
        found = report(self.file)
        self.assertEqual([one.first_time for one in found.accounts], [BEGIN, BEGIN + 50])
        self.assertEqual([one.last_time for one in found.accounts], [BEGIN, BEGIN + 50])
