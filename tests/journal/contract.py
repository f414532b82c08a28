"""What holds for every journal, through its interface alone. ``test_contract`` runs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from lgtwist.delivery.batch import Batch, Position, Watermark
from lgtwist.delivery.interfaces import IJournal
from tests.journal.fakes import event, numbers

PAIRS = (("bot", 1), ("bot", 2))


class Limits(msgspec.Struct, frozen=True):
    """What a journal of a test keeps.

    :ivar retention: seconds.
    :ivar memory: bytes of the newest events that :meth:`IJournal.tail` may give.
    :ivar page: bytes that :meth:`IJournal.read` gives at once.
    """

    retention: float = 86400.0
    memory: int = 1 << 20
    page: int = 256 << 10


LIMITS = Limits()


class Refused(msgspec.Struct, frozen=True):
    """An event in the list of those that a bot refused."""

    bot: str
    account: int
    position: Position
    reason: str
    size: int


class Observer:
    """Keeps what it is called with.

    :ivar batches: by account.
    """

    def __init__(self) -> None:
        self.batches: dict[int, list[Batch]] = {}

    def __call__(self, batch: Batch) -> None:
        self.batches.setdefault(batch.account, []).append(batch)

    def numbers(self, account: int) -> list[int]:
        """Which events of an account came."""
        return [number for batch in self.batches.get(account, ()) for number in numbers(batch.payloads)]


class JournalContract:
    """The tests. A subclass that is a TestCase too says how its journals are made and how time passes."""

    def make_journal(self, limits: Limits) -> Any:
        """Return a journal that is not open yet, on what earlier ones of this test have written."""
        raise NotImplementedError

    def start_journal(self, journal: Any, pairs: Iterable[tuple[str, int]]) -> None:
        """Open it; the configuration names these pairs."""
        raise NotImplementedError

    async def close_journal(self, journal: Any) -> None:
        """Write what waits, and close it."""
        raise NotImplementedError

    async def crash_journal(self, journal: Any) -> None:
        """Leave it as a process does that is killed: the next one finds what is durable now."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """Let time pass, for all journals of this test and on the wall."""
        raise NotImplementedError

    async def list_of_refused(self) -> list[Refused]:
        """Return the list of refused events as it is written now."""
        raise NotImplementedError

    # What a TestCase has.
    assertEqual: Any
    assertGreater: Any
    assertGreaterEqual: Any
    assertLessEqual: Any
    assertLess: Any
    assertTrue: Any
    assertIsNone: Any
    assertRaises: Any
    assertIsNotNone: Any
    flushLoggedErrors: Any

    # -- for the tests

    async def open(self, pairs: Iterable[tuple[str, int]] = PAIRS, limits: Limits = LIMITS) -> Any:
        """Make a journal and wait until it is open."""
        journal = self.make_journal(limits)
        opened: Deferred[None] = Deferred()
        journal.when_open(lambda: opened.callback(None))
        self.start_journal(journal, pairs)
        await self.until(lambda: opened.called)
        return journal

    async def until(self, comes: Any) -> None:
        """Wait for something, not for ever."""
        for _ in range(500):
            if comes():
                return
            await self.sleep(0.01)
        raise AssertionError("it does not come")

    async def append(self, journal: Any, account: int, *which: int, size: int = 0) -> None:
        """Append events, each apart, and wait until all are durable."""
        total = journal.total(account) + len(which)
        for number in which:
            journal.append(account, [event(number, size=size)])
            await self.sleep(0)
        await self.until(lambda: journal.total(account) == total)

    async def read_all(self, journal: Any, account: int, after: Position = 0) -> list[tuple[Position, int]]:
        """Positions and events behind a position, by pages."""
        found: list[tuple[Position, int]] = []
        while after < journal.end(account):
            page = await journal.read(account, after)
            found += positions_and_numbers(page.batches)
            reached = max(page.upto, page.batches[-1].last if page.batches else 0)
            self.assertGreater(reached, after, "a page that leads nowhere")
            after = reached
        return found

    def tail_all(self, journal: Any, account: int, after: Position) -> list[tuple[Position, int]] | None:
        """The same from memory; None if it does not reach back so far."""
        found: list[tuple[Position, int]] = []
        while True:
            batch = journal.tail(account, after)
            if batch is None:
                return None
            if not len(batch):
                return found
            found += positions_and_numbers([batch])
            after = batch.last

    async def read_numbers(self, journal: Any, account: int, after: Position = 0) -> list[int]:
        return [number for _position, number in await self.read_all(journal, account, after)]

    # -- opening

    async def test_interface(self) -> None:
        """It provides what it says."""
        verifyObject(IJournal, self.make_journal(LIMITS))

    async def test_when_open(self) -> None:
        """Who asks before it is open is called then, once; who asks later at once; a failure is logged."""
        journal = self.make_journal(LIMITS)
        called: list[str] = []
        journal.when_open(lambda: called.append("before"))
        journal.when_open(lambda: 1 // 0)
        journal.when_open(lambda: called.append("too"))
        await self.sleep(0.1)
        self.assertEqual(called, [])
        self.start_journal(journal, PAIRS)
        await self.until(lambda: called)
        await self.sleep(0.1)
        self.assertEqual(called, ["before", "too"])
        journal.when_open(lambda: called.append("after"))
        self.assertEqual(called, ["before", "too", "after"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_what_comes_before_it_is_open(self) -> None:
        """It is kept, before what comes afterwards; who begins to observe when it is open hears of it."""
        journal = self.make_journal(LIMITS)
        observer = Observer()
        journal.when_open(lambda: journal.observe(observer))
        journal.append(1, [event(1), event(2)])
        await self.sleep(0)
        self.start_journal(journal, PAIRS)
        journal.append(1, [event(3)])
        await self.until(lambda: journal.total(1) == 3)
        self.assertEqual(observer.numbers(1), [1, 2, 3])
        self.assertEqual(await self.read_numbers(journal, 1), [1, 2, 3])

    async def test_nothing_yet(self) -> None:
        """Where nothing was ever written everything is 0 and empty."""
        journal = await self.open()
        self.assertEqual(journal.end(1), 0)
        self.assertEqual(journal.trimmed_to(1), 0)
        self.assertEqual(journal.total(1), 0)
        self.assertEqual(journal.expired(1), 0)
        self.assertEqual(journal.watermark("bot", 1), Watermark())
        self.assertEqual(len(journal.tail(1, 0)), 0)
        self.assertEqual(await self.read_all(journal, 1), [])

    # -- events

    async def test_order(self) -> None:
        """An account's events are observed in the order of appending, each once, with what tells of them."""
        journal = await self.open()
        observer = Observer()
        journal.observe(observer)
        for number in range(60):
            journal.append(1 + number % 2, [event(number), event(100 + number)])
            if number % 3 == 0:
                await self.sleep(0.25)
        await self.until(lambda: journal.total(1) == journal.total(2) == 60)
        for account in (1, 2):
            expected = [one for number in range(account - 1, 60, 2) for one in (number, 100 + number)]
            self.assertEqual(observer.numbers(account), expected)
            position = events = time = 0
            for batch in observer.batches[account]:
                self.assertGreater(batch.first, position)
                self.assertEqual(batch.last - batch.first + 1, len(batch))
                self.assertEqual(batch.before, events)
                self.assertEqual(len(batch.times), len(batch))
                self.assertEqual([time, *batch.times], sorted([time, *batch.times]))
                position, events, time = batch.last, events + len(batch), batch.times[-1]

    async def test_times(self) -> None:
        """They are of the appending, in milliseconds since the epoch, not of the writing."""
        journal = await self.open()
        observer = Observer()
        journal.observe(observer)
        await self.append(journal, 1, 1)
        await self.sleep(2)
        await self.append(journal, 1, 2)
        first, second = (time for batch in observer.batches[1] for time in batch.times)
        self.assertTrue(1900 <= second - first <= 3000, second - first)

    async def test_an_observer_that_fails(self) -> None:
        """It is logged, and the others hear of everything."""

        def fail(_batch: Batch) -> None:
            raise ZeroDivisionError

        journal = await self.open()
        observer = Observer()
        journal.observe(fail)
        journal.observe(observer)
        await self.append(journal, 1, 1, 2)
        self.assertEqual(observer.numbers(1), [1, 2])
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_end(self) -> None:
        """Durable events are at it or before it, also while they are observed; later ones are behind it."""
        journal = await self.open()
        ends: list[bool] = []
        journal.observe(lambda batch: ends.append(batch.last <= journal.end(batch.account)))
        observer = Observer()
        journal.observe(observer)
        for number in range(10):
            account = 1 + number % 2
            before = journal.end(account)
            await self.append(journal, account, number)
            newest = observer.batches[account][-1]
            self.assertGreater(newest.first, before)
            self.assertLessEqual(newest.last, journal.end(account))
        self.assertTrue(all(ends))
        self.assertEqual(len(ends), 10)

    async def test_total(self) -> None:
        """It counts each account's events, over closing and crashing."""
        expected = {1: 0, 2: 0, 3: 0}
        for leave in (self.close_journal, self.crash_journal, self.close_journal):
            journal = await self.open()
            for account, count in expected.items():
                self.assertEqual(journal.total(account), count)
            await self.append(journal, 1, 1, 2)
            await self.append(journal, 2, 3)
            expected[1] += 2
            expected[2] += 1
            await leave(journal)

    async def test_positions_are_never_used_again(self) -> None:
        """Whether it was closed or crashed, or everything was deleted."""
        last = 0
        for leave in (self.close_journal, self.crash_journal, self.close_journal):
            journal = await self.open(limits=Limits(retention=5))
            observer = Observer()
            journal.observe(observer)
            self.assertGreaterEqual(journal.end(1), last)
            await self.append(journal, 1, 1, 2, 3)
            self.assertGreater(observer.batches[1][0].first, last)
            last = observer.batches[1][-1].last
            await self.sleep(12)
            self.assertEqual(journal.expired(1), journal.total(1))
            await leave(journal)

    async def test_bytes(self) -> None:
        """Events come back byte for byte: empty ones, any characters, large ones."""
        payloads = [b"{}", b'{"n":"\xe4\xbd\xa0\\u0000"}', b'{"n":1}' + b" " * 3_000_000, event(1)]
        journal = await self.open()
        journal.append(1, payloads)
        await self.until(lambda: journal.total(1) == len(payloads))
        await self.close_journal(journal)
        journal = await self.open()
        found: list[bytes] = []
        after = 0
        while after < journal.end(1):
            page = await journal.read(1, after)
            found += [one for batch in page.batches for one in batch.payloads]
            after = page.upto
        self.assertTrue(found == payloads)

    async def test_memory_and_disk_agree(self) -> None:
        """From any position both give the same events, as far as memory reaches."""
        journal = await self.open(limits=Limits(memory=6000, page=900))
        for number in range(60):
            journal.append(1 + number % 3 // 2, [event(number, size=(0, 50, 300)[number % 3])])
            if number % 4:
                await self.sleep(0)
        await self.until(lambda: journal.total(1) == 40 and journal.total(2) == 20)
        remembered = 0
        for account in (1, 2, 3):
            whole = await self.read_all(journal, account)
            for after in range(journal.end(account) + 1):
                behind = [one for one in whole if one[0] > after]
                self.assertEqual(await self.read_all(journal, account, after), behind)
                tail = self.tail_all(journal, account, after)
                if tail is not None:
                    remembered += len(tail)
                    self.assertEqual(tail, behind)
            self.assertIsNotNone(journal.tail(account, journal.end(account)))
        self.assertGreater(remembered, 20)
        self.assertIsNone(journal.tail(1, 0))

    async def test_pages(self) -> None:
        """Not much more than the limit is read at once, and at least one event if that is larger."""
        journal = await self.open(limits=Limits(page=1000))
        await self.append(journal, 1, *range(30), size=200)
        await self.append(journal, 1, 30, size=50_000)
        after = pages = 0
        while after < journal.end(1):
            page = await journal.read(1, after)
            size = sum(batch.size() for batch in page.batches)
            self.assertTrue(size < 1500 or [len(batch) for batch in page.batches] == [1], size)
            after, pages = page.upto, pages + 1
        self.assertGreater(pages, 5)

    async def test_a_read_that_is_cancelled(self) -> None:
        """It ends as cancelled or with its page; others get theirs."""
        journal = await self.open()
        await self.append(journal, 1, 1)
        cancelled = journal.read(1, 0)
        cancelled.addErrback(lambda failure: failure.trap(CancelledError) and None)
        cancelled.cancel()
        self.assertEqual(await self.read_numbers(journal, 1), [1])
        await cancelled

    async def test_accounts_are_independent(self) -> None:
        """Whatever happens to one changes nothing of another."""
        journal = await self.open()
        await self.append(journal, 1, 1, 2)
        before = await self.read_all(journal, 1)
        await self.append(journal, 2, 3, 4, 5)
        journal.confirm("bot", 2, Watermark(journal.end(2), 3, 0))
        await self.sleep(1.1)
        self.assertEqual(journal.total(1), 2)
        self.assertEqual(await self.read_all(journal, 1), before)
        self.assertEqual(self.tail_all(journal, 1, 0), before)
        self.assertEqual(journal.watermark("bot", 1), Watermark())
        self.assertEqual(journal.watermark("bot", 2).ordinal, 3)
        self.assertEqual(await self.read_numbers(journal, 2), [3, 4, 5])

    async def test_numbers_of_accounts(self) -> None:
        """As large as they come."""
        accounts = (0, 1, 10001, 2**53 + 1, 2**63 - 1)
        journal = await self.open([("bot", account) for account in accounts])
        for index, account in enumerate(accounts):
            await self.append(journal, account, index)
        await self.close_journal(journal)
        journal = await self.open([("bot", account) for account in accounts])
        for index, account in enumerate(accounts):
            self.assertEqual(await self.read_numbers(journal, account), [index])

    # -- cursors

    async def test_a_pair_that_is_new(self) -> None:
        """It begins at the end of its account; one that was there before goes on."""
        journal = await self.open([("bot", 1)])
        await self.append(journal, 1, 1, 2)
        await self.append(journal, 2, 3)
        await self.close_journal(journal)
        journal = await self.open([("bot", 1), ("bot", 2), ("new", 1)])
        self.assertEqual(journal.watermark("bot", 1), Watermark())
        self.assertEqual(journal.watermark("bot", 2), Watermark(journal.end(2), 1, 0))
        self.assertEqual(journal.watermark("new", 1), Watermark(journal.end(1), 2, 0))
        new = journal.watermark("new", 1)
        await self.append(journal, 1, 4)
        await self.crash_journal(journal)
        journal = await self.open([("bot", 1), ("bot", 2), ("new", 1)])
        self.assertEqual(journal.watermark("new", 1), new)
        self.assertEqual(await self.read_numbers(journal, 1, new.position), [4])

    async def test_cursors_are_kept(self) -> None:
        """Closing writes them, and a crash forgets no more than a second of them."""
        journal = await self.open()
        await self.append(journal, 1, 1, 2, 3)
        positions = [position for position, _number in await self.read_all(journal, 1)]
        first, second, third = (
            Watermark(position, ordinal + 1, 5) for ordinal, position in enumerate(positions)
        )
        journal.confirm("bot", 1, first)
        self.assertEqual(journal.watermark("bot", 1), first)
        await self.sleep(1.2)
        journal.confirm("bot", 1, second)
        await self.crash_journal(journal)
        journal = await self.open()
        self.assertEqual(journal.watermark("bot", 1), first)
        self.assertEqual(journal.watermark("bot", 2), Watermark())
        journal.confirm("bot", 1, third)
        await self.close_journal(journal)
        journal = await self.open()
        self.assertEqual(journal.watermark("bot", 1), third)

    async def test_a_cursor_never_goes_back(self) -> None:
        """Not on the disk, whatever it is told."""
        journal = await self.open()
        await self.append(journal, 1, 1, 2, 3)
        for place in (3, 1, 2):
            journal.confirm("bot", 1, Watermark(place, place, 0))
            await self.sleep(1.2)
        await self.close_journal(journal)
        journal = await self.open()
        self.assertEqual(journal.watermark("bot", 1), Watermark(3, 3, 0))

    async def test_a_cursor_that_is_put_back(self) -> None:
        """It goes back, also on the disk, and only once: then it is as any other again."""
        journal = await self.open()
        await self.append(journal, 1, 1, 2, 3)
        marks = [Watermark(position, position, 0) for position in range(4)]
        for waits in (0.0, 1.2):  # what it goes back over may be written, or not
            journal.confirm("bot", 1, marks[3])
            await self.sleep(waits)
            journal.put_back("bot", 1, marks[1])
            self.assertEqual(journal.watermark("bot", 1), marks[1])
            await self.sleep(1.2)
            await self.close_journal(journal)
            journal = await self.open()
            self.assertEqual(journal.watermark("bot", 1), marks[1])
        self.assertEqual(journal.watermark("bot", 2), Watermark())
        journal.put_back("bot", 1, marks[1])
        journal.confirm("bot", 1, marks[2])
        await self.sleep(1.2)
        journal.confirm("bot", 1, marks[0])
        await self.sleep(1.2)
        await self.crash_journal(journal)
        journal = await self.open()
        self.assertEqual(journal.watermark("bot", 1), marks[2])

    async def test_enlisted_while_it_runs(self) -> None:
        """A new pair begins behind what is durable at that moment, and gets what is appended already."""
        journal = await self.open()
        await self.append(journal, 1, 1, 2)
        journal.append(1, [event(3)])
        journal.enlist("new", 1)
        begins = journal.watermark("new", 1)
        self.assertEqual(begins, Watermark(journal.end(1), 2, 0))
        await self.until(lambda: journal.total(1) == 3)
        await self.append(journal, 1, 4)
        self.assertEqual(await self.read_numbers(journal, 1, begins.position), [3, 4])

    async def test_enlisted_before_it_is_open(self) -> None:
        """It begins at the end that is found, or where it was."""
        journal = await self.open([("bot", 1)])
        await self.append(journal, 1, 1, 2)
        await self.close_journal(journal)
        journal = self.make_journal(LIMITS)
        journal.enlist("new", 1)
        self.start_journal(journal, [("bot", 1)])
        journal.enlist("newer", 1)
        await self.until(lambda: journal.total(1) == 2)
        self.assertEqual(journal.watermark("bot", 1), Watermark())
        for bot in ("new", "newer"):
            self.assertEqual(journal.watermark(bot, 1), Watermark(journal.end(1), 2, 0))

    async def test_enlisted_before_a_crash(self) -> None:
        """What became durable after a pair was enlisted is there for it, however soon the crash came."""
        journal = await self.open()
        await self.append(journal, 1, 1)
        journal.enlist("new", 1)
        begins = journal.watermark("new", 1)
        await self.append(journal, 1, 2)
        await self.crash_journal(journal)
        journal = await self.open([*PAIRS, ("new", 1)])
        self.assertEqual(journal.watermark("new", 1), begins)
        self.assertEqual(await self.read_numbers(journal, 1, begins.position), [2])

    async def test_enlisted_in_the_quiet(self) -> None:
        """Its cursor is written within a second without any event."""
        journal = await self.open()
        await self.append(journal, 1, 1)
        journal.enlist("new", 1)
        begins = journal.watermark("new", 1)
        await self.sleep(1.0)
        await self.crash_journal(journal)
        journal = await self.open(PAIRS)
        self.assertEqual(journal.watermark("new", 1), begins)

    async def test_delisted_and_enlisted_again(self) -> None:
        """In the same run it goes on where it was, written or not."""
        journal = await self.open()
        await self.append(journal, 1, 1, 2)
        first, _second = (position for position, _number in await self.read_all(journal, 1))
        journal.confirm("bot", 1, Watermark(first, 1, 0))
        for wait in (0.0, 3.0):
            journal.delist("bot", 1)
            await self.sleep(wait)
            await self.append(journal, 1, 3)
            journal.enlist("bot", 1)
            self.assertEqual(journal.watermark("bot", 1), Watermark(first, 1, 0))
        await self.close_journal(journal)
        journal = await self.open()
        self.assertEqual(journal.watermark("bot", 1), Watermark(first, 1, 0))
        self.assertEqual(await self.read_numbers(journal, 1, first), [2, 3, 3])

    async def test_enlisted_that_an_earlier_run_knew(self) -> None:
        """It goes on where it was then."""
        journal = await self.open()
        await self.append(journal, 2, 1, 2)
        first, _second = (position for position, _number in await self.read_all(journal, 2))
        journal.confirm("bot", 2, Watermark(first, 1, 0))
        await self.close_journal(journal)
        journal = await self.open([("bot", 1)])
        await self.append(journal, 2, 3)
        journal.enlist("bot", 2)
        self.assertEqual(journal.watermark("bot", 2), Watermark(first, 1, 0))

    async def test_how_long_a_cursor_is_kept(self) -> None:
        """As long as events are, counted from when its pair was delisted, not from when it was enlisted."""
        limits = Limits(retention=30)
        journal = await self.open(PAIRS, limits)
        await self.append(journal, 1, 1)
        await self.append(journal, 2, 1)
        kept = Watermark(journal.end(2), 1, 0)
        journal.confirm("bot", 2, kept)
        await self.sleep(60)
        journal.delist("bot", 2)
        await self.sleep(20)
        self.assertEqual(journal.watermark("bot", 2), kept)
        await self.append(journal, 2, 2)
        await self.sleep(20)
        journal.enlist("bot", 2)
        self.assertEqual(journal.watermark("bot", 2), Watermark(journal.end(2), 2, 0))
        await self.sleep(60)
        await self.close_journal(journal)
        journal = await self.open(PAIRS, limits)
        self.assertEqual(journal.watermark("bot", 2).ordinal, 2)

    # -- the list of refused events

    async def test_refused(self) -> None:
        """It is written within a second, in order, and is there for every later run."""
        journal = await self.open()
        observer = Observer()
        journal.observe(observer)
        await self.append(journal, 1, 1, 2)
        first, second = observer.batches[1]
        journal.refused("bot", first, "close code 1003")
        journal.refused("other", second, "HTTP 413")
        await self.sleep(1.2)
        expected = [
            Refused("bot", 1, first.first, "close code 1003", first.size()),
            Refused("other", 1, second.first, "HTTP 413", second.size()),
        ]
        self.assertEqual(await self.list_of_refused(), expected)
        await self.crash_journal(journal)
        journal = await self.open()
        self.assertEqual(await self.list_of_refused(), expected)

    async def refuse(self, journal: Any, *which: int, **options: Any) -> list[int]:
        """Append events, let the bot refuse each; return their ids."""
        before = {one.id for one in await journal.list_refused(1000)}
        observer = Observer()
        journal.observe(observer)
        await self.append(journal, 1, *which, **options)
        for batch in observer.batches[1]:
            for index in range(len(batch)):
                journal.refused("bot", batch.part(index, index + 1), "HTTP 413")
        found = await journal.list_refused(1000)
        return sorted(one.id for one in found if one.id not in before)

    async def test_list_of_refused(self) -> None:
        """The newest first, as many as are wanted, whether they are written yet or not."""
        journal = await self.open()
        self.assertEqual(await journal.list_refused(10), [])
        ids = await self.refuse(journal, 1, 2)
        for wait in (0.0, 1.2):
            await self.sleep(wait)
            found = await journal.list_refused(10)
            self.assertEqual([one.id for one in found], ids[::-1])
            self.assertEqual(
                [(one.bot, one.account, one.reason) for one in found], [("bot", 1, "HTTP 413")] * 2
            )
            self.assertEqual([one.post_type for one in found], ["message"] * 2)
            self.assertEqual([one.id for one in await journal.list_refused(1)], ids[1:])
        await self.close_journal(journal)
        journal = await self.open()
        ids += await self.refuse(journal, 3)
        self.assertEqual(len(set(ids)), 3)
        self.assertEqual([one.id for one in await journal.list_refused(10)], sorted(ids, reverse=True))
        await self.sleep(1.2)
        self.assertEqual([one.id for one in await journal.list_refused(10)], sorted(ids, reverse=True))

    async def test_one_of_the_refused(self) -> None:
        """With the first 64 KiB of it, written or not."""
        journal = await self.open()
        [first, second] = await self.refuse(journal, 1, 2, size=100_000)
        for wait in (0.0, 1.2):
            await self.sleep(wait)
            found = await journal.find_refused(second)
            self.assertEqual(found.payload, event(2, size=100_000)[:65_536])
            self.assertEqual(found.size, len(event(2, size=100_000)))
            self.assertEqual((await journal.find_refused(first)).payload, event(1, size=100_000)[:65_536])
            self.assertIsNone(await journal.find_refused(second + 100))

    async def test_refused_that_are_dropped(self) -> None:
        """One, or all, written or not; they do not come again, and their ids are not given again."""
        for wait in (0.0, 1.2):
            journal = await self.open()
            first, second, third = await self.refuse(journal, 1, 2, 3)
            await self.sleep(wait)
            self.assertEqual(await journal.drop_refused(second), 1)
            self.assertEqual(await journal.drop_refused(second), 0)
            self.assertEqual([one.id for one in await journal.list_refused(9)], [third, first])
            self.assertIsNone(await journal.find_refused(second))
            self.assertEqual(await journal.drop_refused(), 2)
            self.assertEqual(await journal.drop_refused(), 0)
            self.assertEqual(await journal.list_refused(9), [])
            [fourth] = await self.refuse(journal, 4)
            self.assertGreater(fourth, third)
            await self.sleep(1.2)
            await self.close_journal(journal)
            journal = await self.open()
            self.assertEqual([one.id for one in await journal.list_refused(9)], [fourth])
            await journal.drop_refused()
            await self.close_journal(journal)

    async def test_refused_while_it_is_not_open(self) -> None:
        """Whoever asks is told so, before it is open and when it is closed."""
        journal = self.make_journal(LIMITS)
        for opened in (False, True):
            if opened:
                self.start_journal(journal, PAIRS)
                await self.sleep(0.1)
                await self.close_journal(journal)
            for asked in (
                journal.list_refused(1),
                journal.find_refused(1),
                journal.drop_refused(1),
                journal.drop_refused(),
                journal.read_one(1, 1),
            ):
                with self.assertRaises(Exception) as caught:
                    await asked
                self.assertTrue(str(caught.exception))

    async def test_read_one(self) -> None:
        """The event at a position, of its account alone, while it is there."""
        journal = await self.open(limits=Limits(retention=30, memory=1))
        await self.append(journal, 1, 1, 2, 3)
        await self.append(journal, 2, 4)
        for account, count in ((1, 3), (2, 1)):
            events = await self.read_all(journal, account)
            self.assertEqual(len(events), count)
            for position, number in events:
                batch = await journal.read_one(account, position)
                self.assertEqual((batch.account, batch.first, len(batch)), (account, position, 1))
                self.assertEqual(numbers(batch.payloads), [number])
                self.assertIsNone(await journal.read_one(3, position))
        for nowhere in (0, journal.end(1) + 1, 1 << 62):
            self.assertIsNone(await journal.read_one(1, nowhere))
        gone = (await self.read_all(journal, 1))[0][0]
        await self.sleep(40)
        self.assertEqual(journal.expired(1), 3)
        self.assertIsNone(await journal.read_one(1, gone))

    # -- retention

    async def test_retention(self) -> None:
        """What is older is deleted, and that is told once it is so; what is younger stays."""
        journal = await self.open(limits=Limits(retention=30))
        told: list[int] = []
        journal.observe_retention(lambda: told.append(journal.expired(1)))
        await self.append(journal, 1, 1, 2, 3)
        await self.append(journal, 2, 4)
        older = await self.read_all(journal, 1)
        await self.sleep(20)
        await self.append(journal, 1, 5, 6)
        self.assertEqual(journal.expired(1), 0)
        self.assertEqual(journal.trimmed_to(1), 0)
        await self.sleep(20)
        self.assertEqual(journal.expired(1), 3)
        self.assertEqual(journal.expired(2), 1)
        self.assertEqual(journal.expired(3), 0)
        self.assertGreaterEqual(journal.trimmed_to(1), older[-1][0])
        self.assertEqual(told[-1], 3)
        self.assertEqual(journal.total(1), 5)
        left = await self.read_all(journal, 1)
        self.assertEqual([number for _position, number in left], [5, 6])
        self.assertLess(journal.trimmed_to(1), left[0][0])
        self.assertLessEqual(journal.trimmed_to(1), journal.end(1))
        await self.close_journal(journal)
        journal = await self.open(limits=Limits(retention=30))
        self.assertEqual(journal.expired(1), 3)
        self.assertEqual(journal.total(1), 5)
        page = await journal.read(1, 0)
        self.assertGreaterEqual(page.trimmed_to, older[-1][0])
        self.assertEqual(page.batches[0].before, 3)

    async def test_everything_is_deleted(self) -> None:
        """The numbers stay, and what comes next is behind them."""
        journal = await self.open(limits=Limits(retention=5))
        await self.append(journal, 1, 1, 2)
        await self.sleep(12)
        self.assertEqual(await self.read_all(journal, 1), [])
        self.assertEqual(journal.expired(1), 2)
        end = journal.end(1)
        self.assertLessEqual(journal.trimmed_to(1), end)
        await self.append(journal, 1, 3)
        [(position, number)] = await self.read_all(journal, 1)
        self.assertGreater(position, end)
        self.assertEqual(number, 3)
        self.assertEqual(journal.total(1), 3)


def positions_and_numbers(batches: Iterable[Batch]) -> list[tuple[Position, int]]:
    """Each event of some batches: where it is, and which."""
    return [
        (batch.position(index), number)
        for batch in batches
        for index, number in enumerate(numbers(batch.payloads))
    ]
