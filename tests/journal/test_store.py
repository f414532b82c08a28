"""What holds for every store, behind a journal: in memory, in a file, and in a file with real threads."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from lgtwist.delivery.batch import Batch, Watermark
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.refused_event import RefusedEvent
from lgtwist.journal.journal import JournalLimits
from lgtwist.journal.report import report
from lgtwist.journal.sqlite import SqliteStore
from lgtwist.journal.store import IStore, JournalError
from lgtwist.journal.worker import ThreadWorker
from tests.journal.fakes import BEGIN, LIMITS, Lines, Room, event, numbers
from tests.journal.memory_store import InlineWorker, MemoryStore


class MemoryTests(TestCase):
    """Each test ends with every journal closed."""

    def setUp(self) -> None:
        self.lines = Lines(self)  # type: ignore[arg-type]
        self.clock = Clock()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.store: Any = self.make_store()
        self.rooms: list[Room] = []
        self.addCleanup(self.close_all)

    def make_store(self) -> Any:
        return MemoryStore()

    def make_worker(self) -> Any:
        return InlineWorker()

    async def open(self, limits: JournalLimits = LIMITS, accounts: Iterable[int] = (1, 2)) -> Room:
        """A journal on what was written before."""
        room = Room(self.store, limits=limits, worker=self.make_worker, clock=self.clock, accounts=accounts)
        self.rooms.append(room)
        await room.opened
        return room

    async def settle(self, room: Room, seconds: float = 0.0) -> None:
        """Time passes; whatever is to be done is done."""
        end = self.clock.seconds() + seconds
        while True:
            for _ in range(4):
                for worker in room.workers.values():
                    await worker.do(lambda: None)
                self.clock.advance(0.001)
            if self.clock.seconds() >= end:
                return
            self.clock.advance(min(0.5, end - self.clock.seconds()))

    async def put(self, room: Room, *which: int, account: int = 1, size: int = 0) -> None:
        """Events that come in a turn each and are written."""
        for number in which:
            room.put(number, account=account, size=size)
            await self.settle(room)

    async def close(self, room: Room) -> None:
        self.rooms.remove(room)
        await room.journal.close()

    async def crash(self, room: Room) -> None:
        """What is open now is found by the next as it is now, and does nothing more."""
        self.rooms.remove(room)
        now = self.clock.seconds()
        self.clock = Clock()
        self.clock.advance(now)

    async def close_all(self) -> None:
        for room in tuple(self.rooms):
            await self.close(room)

    def seen_by(self, room: Room, account: int) -> list[int]:
        """What was observed of an account; positions and ordinals fit."""
        found: list[int] = []
        after = 0
        for batch in room.observed:
            self.assertGreater(batch.first, after)
            after = batch.last
            if batch.account == account:
                found += numbers(batch.payloads)
                self.assertEqual(batch.before + len(batch), len(found) + self.before.get(account, 0))
        return found

    before: dict[int, int] = {}

    async def read_all(self, room: Room, account: int, after: int = 0) -> list[tuple[int, int]]:
        """Positions and events, by pages."""
        found: list[tuple[int, int]] = []
        while after < room.journal.end(account):
            page = await room.journal.read(account, after)
            for batch in page.batches:
                self.assertEqual(batch.account, account)
                found += zip(range(batch.first, batch.last + 1), numbers(batch.payloads), strict=True)
            reached = max(page.upto, page.batches[-1].last if page.batches else 0)
            self.assertGreater(reached, after, "a page that leads nowhere")
            after = reached
        return found

    def tail_all(self, room: Room, account: int, after: int) -> list[tuple[int, int]] | None:
        """The same from memory."""
        found: list[tuple[int, int]] = []
        while True:
            batch = room.journal.tail(account, after)
            if batch is None:
                return None
            if not len(batch):
                return found
            found += zip(range(batch.first, batch.last + 1), numbers(batch.payloads), strict=True)
            after = batch.last

    async def refusals(self, room: Room) -> list[tuple[str, int, int, str, int]]:
        """Bot, account, position, reason and size of events that were skipped."""
        return [
            (one.bot, one.account, one.position, one.reason, one.size)
            for one in (
                self.store.refusals if isinstance(self.store, MemoryStore) else await self.asked(room)
            )
        ]

    async def asked(self, room: Room) -> list[Any]:
        return list(report(self.store._path).refused)

    # -- what is promised

    async def test_order(self) -> None:
        """Each account's events are observed in order, once, with their times."""
        room = await self.open()
        verifyObject(IJournal, room.journal)
        verifyObject(IStore, self.store)
        for number in range(60):
            self.clock.advance(0.25)
            room.put(number, account=1 + number % 2)
            if number % 7 == 0:
                await self.settle(room)
        await self.settle(room)
        self.assertEqual(self.seen_by(room, 1), list(range(0, 60, 2)))
        self.assertEqual(self.seen_by(room, 2), list(range(1, 60, 2)))
        first = room.observed[0]
        self.assertEqual(list(first.times), [int((BEGIN + 0.25) * 1000)] * len(first))
        self.assertEqual(room.journal.total(1), 30)
        self.assertEqual(room.journal.total(2), 30)
        self.assertEqual(room.journal.total(3), 0)
        self.assertEqual(room.journal.end(1), 60)
        self.assertEqual([number for _position, number in await self.read_all(room, 2)], [*range(1, 60, 2)])

    async def test_what_comes_before_it_is_open(self) -> None:
        """It is written first."""
        room = Room(self.store, worker=self.make_worker, clock=self.clock, accounts=(1, 2))
        self.rooms.append(room)
        room.put(1, 2)
        await room.opened
        await self.put(room, 3)
        self.assertEqual([number for _position, number in await self.read_all(room, 1)], [1, 2, 3])

    async def test_positions_are_never_used_again(self) -> None:
        """Whether it was closed, or crashed, or everything in it was forgotten."""
        last = 0
        for turn in range(6):
            room = await self.open(JournalLimits(retention=5))
            self.assertEqual(room.journal.end(1), last)
            await self.put(room, 1, 2, 3)
            self.assertEqual(room.observed[0].first, last + 1)
            last = room.journal.end(1)
            if turn % 2:
                await self.settle(room, 30)
                self.assertEqual(room.journal.trimmed_to(1), last)
                self.assertEqual(await self.read_all(room, 1), [])
            await (self.close if turn in (1, 2, 5) else self.crash)(room)
        self.assertEqual(last, 18)
        room = await self.open()
        self.assertEqual(room.journal.end(1), 18)
        self.assertEqual(room.journal.total(1), 18)
        self.assertEqual(room.journal.trimmed_to(1), 18)

    async def test_marks(self) -> None:
        """They are written within a second, and when it is closed; a crash forgets no more than that."""
        room = await self.open()
        await self.put(room, 1, 2, 3)
        self.assertEqual(room.journal.watermark("bot", 1), Watermark())
        room.journal.confirm("bot", 1, Watermark(2, 2, 5))
        await self.settle(room, 1.05)
        room.journal.confirm("bot", 1, Watermark(3, 3, 6))
        room.journal.confirm("bot", 2, Watermark(3, 0, 0))
        await self.crash(room)
        room = await self.open()
        self.assertEqual(room.journal.watermark("bot", 1), Watermark(2, 2, 5))
        self.assertEqual(room.journal.watermark("bot", 2), Watermark())
        room.journal.confirm("bot", 1, Watermark(3, 3, 6))
        room.journal.confirm("bot", 2, Watermark(3, 0, 0))
        await self.close(room)
        room = await self.open()
        self.assertEqual(room.journal.watermark("bot", 1), Watermark(3, 3, 6))
        self.assertEqual(room.journal.watermark("bot", 2).position, 3)

    async def test_a_bot_that_is_new(self) -> None:
        """It begins at the end; one that was there before does not."""
        room = await self.open(accounts=(1,))
        await self.put(room, 1, 2, 3)
        await self.put(room, 4, account=2)
        await self.close(room)
        room = await self.open(accounts=(1, 2))
        self.assertEqual(room.journal.watermark("bot", 1), Watermark())
        watermark = room.journal.watermark("bot", 2)
        self.assertEqual(watermark.position, 4)
        self.assertEqual(watermark.ordinal, 1)
        await self.put(room, 5, account=2)
        await self.crash(room)
        room = await self.open(accounts=(1, 2))
        self.assertEqual(room.journal.watermark("bot", 2), watermark)

    async def test_totals(self) -> None:
        """How many there were is known after a close as after a crash, however short the run was."""
        for turn in range(1, 5):
            room = await self.open()
            await self.put(room, 1, 2)
            await self.put(room, 3, account=2)
            await (self.crash if turn % 2 else self.close)(room)
            room = await self.open()
            self.assertEqual(room.journal.total(1), 2 * turn)
            self.assertEqual(room.journal.total(2), turn)
            await self.close(room)

    async def test_tail_and_disk_agree(self) -> None:
        """From any position both give the same events, as far as memory reaches."""
        room = await self.open(JournalLimits(tail=25_000, page=900))
        chosen = random.Random(7)
        for number in range(120):
            room.put(number, account=chosen.choice((1, 1, 2)), size=chosen.choice((0, 50, 300)))
            if chosen.random() < 0.6:
                await self.settle(room)
        await self.settle(room)
        remembered = 0
        for account in (1, 2, 3):
            for after in range(0, room.journal.end(account) + 1, 3):
                tail = self.tail_all(room, account, after)
                if tail is not None:
                    remembered += len(tail)
                    self.assertEqual(tail, await self.read_all(room, account, after))
        self.assertGreater(remembered, 100)
        self.assertIsNone(room.journal.tail(1, 0))

    async def test_pages(self) -> None:
        """Not much more than was asked for is read at once, but at least one event if there is any."""
        room = await self.open(JournalLimits(page=1000))
        await self.put(room, *range(30), size=200)
        await self.put(room, 30, size=50_000)
        after = pages = 0
        while after < room.journal.end(1):
            page = await room.journal.read(1, after)
            self.assertTrue(page.batches)
            if page.batches[-1].last < 31:
                self.assertLess(sum(batch.size() for batch in page.batches), 1500)
            after, pages = page.batches[-1].last, pages + 1
        self.assertGreater(pages, 5)
        page = await room.journal.read(2, 0)
        self.assertEqual(page.batches, [])
        self.assertGreater(page.upto, 0)

    async def test_retention_by_age(self) -> None:
        """What is older goes, what is younger stays, and it is told once it is gone."""
        room = await self.open(JournalLimits(retention=60))
        told: list[int] = []
        room.journal.observe_retention(lambda: told.append(room.journal.expired(1)))
        await self.put(room, *range(10))
        await self.put(room, 77, account=2)
        await self.settle(room, 50)
        await self.put(room, *range(10, 20))
        self.assertEqual(room.journal.trimmed_to(1), 0)
        await self.settle(room, 20)
        self.assertEqual(room.journal.trimmed_to(1), 11)
        self.assertEqual(room.journal.expired(1), 10)
        self.assertEqual(room.journal.expired(2), 1)
        self.assertEqual(told[-1], 10)
        self.assertEqual([number for _position, number in await self.read_all(room, 1)], [*range(10, 20)])
        self.assertEqual(room.journal.counters.expired, 11)
        await self.close(room)
        room = await self.open(JournalLimits(retention=60))
        self.assertEqual(room.journal.expired(1), 10)
        self.assertEqual(room.journal.trimmed_to(1), 11)

    async def test_retention_by_size(self) -> None:
        """The oldest go until the rest is small enough; the newest stay."""
        size = 300_000
        room = await self.open(JournalLimits(max_size=size))
        await self.put(room, *range(60), size=10_000)
        await self.settle(room, 60)
        self.assertLessEqual(room.journal.used, size)
        left = [number for _position, number in await self.read_all(room, 1)]
        self.assertEqual(left, [*range(60 - len(left), 60)])
        self.assertTrue(10 < len(left) < 31, len(left))
        self.assertEqual(room.journal.expired(1), 60 - len(left))

    async def test_what_a_bot_refused(self) -> None:
        """It is kept, once it was saved."""
        room = await self.open()
        await self.put(room, 1, size=100_000)
        batch = room.observed[0]
        room.journal.refused("bot", batch, "close code 1009")
        await self.settle(room, 1.1)
        self.assertEqual(await self.refusals(room), [("bot", 1, 1, "close code 1009", batch.size())])

    async def test_beyond_what_may_wait(self) -> None:
        """It is lost, counted and named; all that waited is written when there is room, in order."""
        room = await self.open(JournalLimits(waiting=5000))
        await self.put(room, 0)
        self.fill_disk(True)
        await self.put(room, 1, account=2)
        for number in range(2, 101):
            room.put(number, account=1 + number % 2)
            self.clock.advance(0.01)
        await self.settle(room, 5)
        self.assertEqual(room.journal.end(1), 1)
        self.assertIs(room.journal.trouble != "", True)
        lost = dict(room.journal.lost)
        self.assertGreater(room.journal.waiting, 4000)
        self.fill_disk(False)
        await self.settle(room, 3)
        self.assertEqual(room.journal.trouble, "")
        self.assertEqual(room.journal.waiting, 0)
        kept = [number for account in (1, 2) for number in self.seen_by(room, account)]
        self.assertEqual(sorted(kept), list(range(len(kept))))
        self.assertEqual(len(kept) + sum(lost.values()), 101)
        self.assertEqual(room.journal.lost, lost)
        for account in (1, 2):
            self.assertEqual(len(self.lines.all(f"{lost[account]} events of account {account}, ")), 1)
        await self.put(room, 1000)
        self.assertEqual(self.seen_by(room, 1)[-1], 1000)

    def fill_disk(self, full: bool) -> None:
        self.store.full = full

    async def test_the_bounds_of_memory(self) -> None:
        """What waits is bounded whatever comes, and an event that is lost costs nothing."""
        room = await self.open(JournalLimits(waiting=100_000))
        self.fill_disk(True)
        await self.put(room, 0, size=1000)
        for number in range(1, 1000):
            room.put(number, size=1000)
        self.assertLess(room.journal.waiting, 110_000)
        self.assertEqual(sum(room.journal.lost.values()) + room.journal.waiting // 1100, 1000)
        self.fill_disk(False)

    async def test_an_account_is_no_other(self) -> None:
        """Numbers as large as they come, and many of them."""
        accounts = (0, 1, 10001, 2**53 + 1, 2**63 - 1)
        room = await self.open(accounts=accounts)
        for turn in range(3):
            for index, account in enumerate(accounts):
                room.put(10 * turn + index, account=account)
            await self.settle(room)
        await self.close(room)
        room = await self.open(JournalLimits(page=1), accounts=accounts)
        for index, account in enumerate(accounts):
            found = [number for _position, number in await self.read_all(room, account)]
            self.assertEqual(found, [index, 10 + index, 20 + index])

    async def test_events_of_any_kind(self) -> None:
        """They come back byte for byte: empty texts, zeros, any characters, large ones."""
        payloads = [b"{}", b'{"n":"\xe4\xbd\xa0\\u0000"}', b'{"n":1}' + b" " * 3_000_000, event(1)]
        room = await self.open()
        room.journal.append(1, payloads)
        self.clock.advance(0)
        await self.settle(room)
        await self.close(room)
        room = await self.open()
        found: list[bytes] = []
        after = 0
        while after < room.journal.end(1):
            page = await room.journal.read(1, after)
            found += [one for batch in page.batches for one in batch.payloads]
            after = max(page.upto, page.batches[-1].last)
        self.assertEqual(found, payloads)

    async def test_after_it_was_closed(self) -> None:
        """Nothing more is written or read, and that is said."""
        room = await self.open()
        await self.put(room, 1)
        await self.close(room)
        await self.close_again(room)

    async def close_again(self, room: Room) -> None:
        await room.journal.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WouldBeFull(SqliteStore):
    """The same, with a disk that is full when a test says so."""

    full = False

    def append(self, row: Any) -> None:
        if self.full:
            raise JournalError("the disk is full")
        super().append(row)


class SqliteTests(MemoryTests):
    """The same in a file, done at once."""

    def make_store(self) -> Any:
        return WouldBeFull(self.folder / "journal.sqlite", full=False)

    async def crash(self, room: Room) -> None:
        """What is in the files now is copied, and the next is opened on that."""
        copies = self.folder / "after"
        copies.mkdir()
        for ending in ("", "-wal"):
            shutil.copy(f"{self.store._path}{ending}", f"{copies / 'journal.sqlite'}{ending}")
        await self.close(room)
        self.folder = copies
        self.store = self.make_store()

    async def test_a_cursor_never_goes_back(self) -> None:
        """Whatever it is told."""
        room = await self.open()
        await self.put(room, 1, 2, 3)
        for position in (3, 1, 2):
            room.journal.confirm("bot", 1, Watermark(position, position, 0))
            await self.settle(room, 1.1)
        await self.close(room)
        room = await self.open()
        self.assertEqual(room.journal.watermark("bot", 1), Watermark(3, 3, 0))

    async def test_a_bot_that_was_taken_out(self) -> None:
        """Its cursor is kept for as long as events are; who is named keeps his for ever."""
        limits = JournalLimits(retention=100)
        room = await self.open(limits, accounts=(1, 2))
        await self.put(room, 1, 2)
        room.journal.confirm("bot", 2, Watermark(1, 0, 0))
        await self.close(room)
        room = await self.open(limits, accounts=(1,))
        await self.settle(room, 90)
        await self.close(room)
        room = await self.open(limits, accounts=(1, 2))
        self.assertEqual(room.journal.watermark("bot", 2), Watermark(1, 0, 0))
        await self.close(room)
        room = await self.open(limits, accounts=(1,))
        await self.settle(room, 120)
        await self.close(room)
        self.assertEqual([(one.bot, one.account) for one in report(self.store._path).cursors], [("bot", 1)])
        room = await self.open(limits, accounts=(1, 2))
        self.assertEqual(room.journal.watermark("bot", 2).position, room.journal.end(2))

    async def test_a_bot_that_comes_and_goes_while_it_runs(self) -> None:
        """Its row is there at once, stays while events do, and goes with them."""
        room = await self.open(JournalLimits(retention=30), accounts=(1,))
        await self.put(room, 1, 2)
        room.journal.enlist("new", 2)
        await self.settle(room)
        self.assertEqual(await self.cursors(room), {("bot", 1), ("new", 2)})
        self.assertEqual(room.journal.watermark("new", 2), Watermark(2, 0, 0))
        await self.put(room, 3, account=2)
        await self.settle(room, 60)
        self.assertEqual(await self.cursors(room), {("bot", 1), ("new", 2)})
        room.journal.delist("new", 2)
        await self.settle(room, 20)
        self.assertEqual(await self.cursors(room), {("bot", 1), ("new", 2)})
        await self.settle(room, 20)
        self.assertEqual(await self.cursors(room), {("bot", 1)})
        self.assertEqual(room.journal.watermark("new", 2), Watermark())

    async def cursors(self, room: Room) -> set[tuple[str, int]]:
        """Whose cursors are in the file now."""
        found = await ask(room, lambda: report(self.store._path).cursors)
        return {(one.bot, one.account) for one in found}

    async def test_a_bot_that_is_named_for_longer_than_retention(self) -> None:
        """It is noted now and then that it still is: a short absence does not cost it its cursor."""
        limits = JournalLimits(retention=7200)
        room = await self.open(limits)
        await self.put(room, 1)
        room.journal.confirm("bot", 2, Watermark(1, 0, 0))
        for _ in range(4):
            self.clock.advance(3600)
            await self.settle(room)
        await self.close(room)
        room = await self.open(limits, accounts=(1,))
        await self.settle(room, 10)
        await self.close(room)
        room = await self.open(limits)
        self.assertEqual(room.journal.watermark("bot", 2), Watermark(1, 0, 0))

    async def test_the_list_of_refused_events_is_bounded(self) -> None:
        """The newest thousand, with the first bytes of each."""
        room = await self.open()
        await self.put(room, 1)
        await self.put(room, 2, size=100_000)
        small, batch = room.observed
        for number in range(1100):
            room.journal.refused("bot", batch if number == 100 else small, f"reason {number}")
            if number % 400 == 0:
                await self.settle(room, 1.1)
        await self.settle(room, 1.1)
        refused = report(self.store._path).refused
        self.assertEqual([one.reason for one in refused], [f"reason {n}" for n in range(100, 1100)])
        self.assertEqual(refused[0].size, batch.size())
        self.assertEqual(len(refused[0].event), 65_536)

    async def test_the_file_does_not_grow(self) -> None:
        """What is forgotten is written over."""
        room = await self.open(JournalLimits(max_size=400_000))
        for _ in range(8):
            await self.put(room, *range(20), size=10_000)
            await self.settle(room, 10)
        self.assertLessEqual(room.journal.used, 400_000)
        await self.close(room)
        self.assertLess(self.store._path.stat().st_size, 800_000)
        self.assertEqual(
            [one.name for one in self.folder.iterdir() if one.stat().st_size < 4 << 20], ["journal.sqlite"]
        )

    async def test_retention_goes_in_small_steps(self) -> None:
        """Writing is never held up for long: a commit comes between any two steps."""
        room = await self.open()
        for number in range(300):
            await self.put(room, number)
        await self.close(room)
        self.clock.advance(100)
        room = await self.open(JournalLimits(retention=10))
        steps: list[tuple[str, int]] = []
        append, trim = self.store.append, self.store.trim

        def appending(row: Any) -> None:
            steps.append(("append", 0))
            append(row)
            self.reactor_do(lambda: room.journal.append(1, [event(1)]) if len(steps) < 30 else None)

        def trimming(*arguments: Any) -> Any:
            trimmed = trim(*arguments)
            steps.append(("trim", trimmed.upto))
            return trimmed

        self.store.append, self.store.trim = appending, trimming
        room.put(1)
        await self.settle(room, 8)
        reached = [upto for what, upto in steps if what == "trim"]
        self.assertEqual(reached[-1], 300)
        self.assertTrue(all(b - a <= 64 for a, b in zip(reached, reached[1:], strict=False)), reached)
        busy = [what for what, _upto in steps[:10]]
        self.assertIn("append", busy[1:4])
        self.assertNotIn("trim trim", " ".join(busy[:8]))

    def reactor_do(self, then: Any) -> None:
        then()

    async def close_again(self, room: Room) -> None:
        await super().close_again(room)
        store = self.store
        self.assertRaises(JournalError, store.read, 1, 0, 1, 1)
        self.assertRaises(
            JournalError, store.append, store.pack([Batch(1, 2, 1, room.observed[0].times, [b"{}"])])
        )
        refusal = RefusedEvent(1, "bot", 1, 1, 0, 0, "x", 2, b"{}")
        self.assertRaises(JournalError, store.save, {}, 1, {}, [refusal])
        self.assertRaises(JournalError, store.trim, 0, 0)
        self.assertRaises(JournalError, store.touch, {("bot", 1): Watermark()}, 0)


class ThreadedTests(SqliteTests):
    """The same with threads: nothing of them is left afterwards."""

    def make_worker(self) -> Any:
        return ThreadWorker("journal", reactor.callFromThread)  # type: ignore[attr-defined]

    async def asked(self, room: Room) -> list[Any]:
        return list(await ask(room, lambda: report(self.store._path).refused))

    def reactor_do(self, then: Any) -> None:
        reactor.callFromThread(then)  # type: ignore[attr-defined]


async def ask(room: Room, what: Any) -> Any:
    return await room.reader.do(what)
