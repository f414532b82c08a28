"""Delivery and journal against a model: whatever happens in whatever order, nothing is lost or out of order.

The threads are held: each commit and each page that is read is done, and heard of, when a rule says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from lgtwist.journal.sqlite import SqliteStore
from lgtwist.journal.store import Contents, IStore, JournalError, Pair, Refusal, Trimmed
from lgtwist.onebot.event import Event
from tests.journal.fakes import FakeSink, HeldWorker, Room, event, numbers
from tests.journal.memory_store import MemoryStore
from tests.rounds import LONG_ROUNDS

ACCOUNTS = (1, 2)


@implementer(IStore)
class WitnessedStore:
    """A store, and all that ever became durable in it.

    :ivar full: as if the disk were full.
    :ivar unreadable: as if it could not be read.
    :ivar written: of each account the positions of its events, and what they are.
    :ivar times: when each event was taken in.
    :ivar watermarks: the cursors as they are written.
    :ivar watermarks_at_first: and as they were when it was opened.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.full = self.unreadable = False
        self.end = self.trimmed_to = 0
        self.written: dict[int, dict[Position, int]] = {account: {} for account in ACCOUNTS}
        self.times: dict[Position, int] = {}
        self.watermarks: dict[Pair, Watermark] = {}
        self.watermarks_at_first: dict[Pair, Watermark] = {}

    def _check(self) -> None:
        if self.full:
            raise JournalError("the disk is full")

    def open_writing(self, pairs: Iterable[Pair], now: int) -> Contents:
        contents = self.store.open_writing(pairs, now)
        assert contents.end == self.end, "the journal ends elsewhere than before"
        for account, events in self.written.items():
            assert contents.totals.get(account, 0) == len(events), "the journal forgot how many there were"
        for pair, watermark in self.watermarks.items():
            assert contents.watermarks[pair] == watermark, "the journal forgot a cursor"
        self.watermarks = dict(contents.watermarks)
        self.watermarks_at_first = dict(contents.watermarks)
        return contents

    def pack(self, batches: list[Batch]) -> list[Batch]:
        return batches

    def append(self, batches: list[Batch]) -> None:
        self._check()
        self.store.append(self.store.pack(batches))
        for batch in batches:
            assert batch.first == self.end + 1, "a position is used twice, or never"
            assert batch.before == len(self.written[batch.account])
            for index, number in enumerate(numbers(batch.payloads)):
                self.written[batch.account][batch.position(index)] = number
                self.times[batch.position(index)] = batch.times[index]
            self.end = batch.last

    def save(
        self,
        totals: dict[int, int],
        upto: Position,
        watermarks: dict[Pair, Watermark],
        refused: list[Refusal],
    ) -> None:
        self._check()
        self.store.save(totals, upto, watermarks, refused)
        for pair, watermark in watermarks.items():
            assert watermark.position >= self.watermarks[pair].position, "a cursor that is written goes back"
            if (watermark.position, watermark.ordinal) != (
                self.watermarks[pair].position,
                self.watermarks[pair].ordinal,
            ):
                self.watermarks[pair] = watermark

    def touch(self, named: dict[Pair, Watermark], now: int) -> None:
        self._check()
        self.store.touch(named, now)

    def trim(self, older_than: int, max_size: int) -> Trimmed:
        self._check()
        trimmed: Trimmed = self.store.trim(older_than, max_size)
        self.trimmed_to = max(self.trimmed_to, trimmed.upto)
        return trimmed

    def close_writing(self) -> None:
        self.store.close_writing()

    def open_reading(self) -> None:
        self.store.open_reading()

    def read(self, account: int, after: Position, upto: Position, max_bytes: int) -> Page:
        if self.unreadable:
            raise JournalError("the disk says nothing")
        page: Page = self.store.read(account, after, upto, max_bytes)
        return page

    def close_reading(self) -> None:
        self.store.close_reading()


verifyObject(IStore, WitnessedStore(None))


class Sink(FakeSink):
    """A connection whose every event is looked at.

    :ivar fragile: it ends when it is given something next.
    """

    def __init__(self, book: Book, window: int) -> None:
        super().__init__(book.delivery, window)
        self.there_before = 0  # the journal's end when it was opened
        self.book = book
        self.fragile = False

    def take(self, frames: bytes, events: int, upto: Position) -> None:
        before = len(self.events)
        try:
            super().take(frames, events, upto)
            self.book.taken(self, self.events[before:], upto)
        except AssertionError as wrong:  # who called may only write it down
            self.book.wrong = wrong
            raise
        if self.fragile:
            self.book.ends(self, None)


class Book:
    """What we know of one account's delivery, without looking into it.

    :ivar window: what is under way: lists of positions.
    :ivar confirmed: positions that the bot has.
    :ivar reached: the cursor is here at least: what is up to here never comes again.
    """

    def __init__(self, room: Room, store: WitnessedStore, account: int, grace: float, policy: Any) -> None:
        self.room = room
        self.store = store
        self.account = account
        self.grace = grace
        self.policy = policy
        self.delivery: Delivery = room.deliveries[account]
        self.written = store.written[account]
        self.sinks: list[Sink] = []
        self.window: deque[list[Position]] = deque()
        begun = store.watermarks_at_first["bot", account].position
        self.begin = self.reached = self.sent = self.cursor_was = begun
        self.confirmed: set[Position] = set()
        self.late: deque[tuple[float, Position]] = deque()
        self.refused: set[Position] = set()
        self.unwanted: set[Position] = set()  # the policy lets them be skipped
        self.replayed = 0
        self.one_at_a_time_upto = 0
        self.suspect: Position | None = None
        self.refusals = 0
        self.may_skip = True
        self.failing = False  # posts fail
        self.crashed = False
        self.wrong: AssertionError | None = None

    @property
    def active(self) -> Sink | None:
        return self.sinks[-1] if self.sinks else None

    @property
    def unconfirmed(self) -> int:
        return sum(map(len, self.window))

    def passes(self, position: Position) -> bool:
        return not self.policy.filtered or self.written[position] % 3 > 0

    def wanted(self) -> list[Position]:
        """The positions of all events that are for the bot."""
        return [position for position in self.written if self.passes(position)]

    # -- what the delivery does

    def taken(self, sink: Sink, events: list[dict[str, Any]], upto: Position) -> None:
        assert sink is self.active, "an older connection is given what must not be lost"
        positions = {number: position for position, number in self.written.items()}
        came = []
        for one in events:
            assert one["n"] in positions, "sent before it was durable"
            came.append(positions[one["n"]])
        assert came == sorted(set(came)), "out of order"
        assert came[0] > self.reached, "what was confirmed comes again"
        assert came[0] > self.sent, "sent twice on one connection"
        assert not self.refused & set(came), "what was skipped comes again"
        assert upto == came[-1], "another position is to be confirmed"
        left_out = {
            position for position in self.wanted() if self.sent < position < upto and position not in came
        }
        assert all(position <= self.store.trimmed_to or position in self.unwanted for position in left_out), (
            f"{left_out} are left out"
        )
        if self.policy.mark:
            for one, position in zip(events, came, strict=True):
                assert one.get("replayed", False) == (position <= self.replayed), "late, and not marked"
        self.sent = upto
        self.window.append(came)
        assert self.unconfirmed <= sink.window, "more under way than the window holds"
        if came[0] <= self.one_at_a_time_upto:
            assert self.unconfirmed == 1, "not one at a time after a refusal"

    # -- what the connections do

    def opens(self, window: int) -> Sink:
        sink = Sink(self, window)
        sink.there_before = self.room.journal.end(self.account)
        self.sinks.append(sink)
        self.begins_again(True)
        self.delivery.attach(sink)
        return sink

    def ends(self, sink: Sink, reason: str | None) -> None:
        held = sink is self.active
        skipped = self.is_refused(reason) if held else False
        self.sinks.remove(sink)
        if held:
            self.begins_again(True, skipped)
        sink.ready = False
        sink.live = True
        self.delivery.detach(sink, reason)

    def fails(self, reason: str | None) -> None:
        """A post fails."""
        assert self.active is not None
        skipped = self.is_refused(reason)
        self.replayed = max(self.replayed, self.delivery._sent.position)
        self.begins_again(False, skipped)
        self.failing = True
        self.delivery.failed(self.active, reason)

    def is_refused(self, reason: str | None) -> Position:
        """Whether one event is skipped for that."""
        if reason is None or not self.window:
            return 0
        self.one_at_a_time_upto = max(self.one_at_a_time_upto, self.sent)
        if self.unconfirmed > 1:
            return 0
        suspect = self.window[0][0]
        self.refusals = self.refusals + 1 if suspect == self.suspect else 1
        self.suspect = suspect
        if self.refusals < 5 or not self.may_skip:
            return 0
        self.may_skip = False
        self.suspect = None
        self.refused.add(suspect)
        return suspect

    def begins_again(self, anew: bool, skipped: Position = 0) -> None:
        if skipped:
            self.late.clear()
            self.reached = skipped
        self.look_past()
        self.settle()
        self.late.clear()
        self.window.clear()
        self.sent = self.reached
        kept = max(self.reached, self.delivery.cursor)  # retention may have moved it further
        self.confirmed = {position for position in self.confirmed if position <= kept}
        end = self.room.journal.end(self.account)
        if anew:
            self.replayed = 0 if self.active is None else self.active.there_before
            self.failing = False
        waiting = [position for position in self.wanted() if self.reached < position <= end]
        old = waiting[: max(0, len(waiting) - self.policy.max_events)] if self.policy.max_events else []
        if self.policy.max_age:
            not_before = int((self.room.wall() - self.policy.max_age) * 1000)
            old += [position for position in waiting if self.store.times[position] < not_before]
        self.unwanted |= {position for position in old if self.written[position] % 7}

    def confirms(self, sends: int) -> None:
        assert self.active is not None
        upto = self.window[sends - 1][-1]
        for _ in range(sends):
            self.confirmed.update(self.window.popleft())
        self.may_skip = True
        if self.suspect is None or self.suspect <= upto:
            self.suspect = None
            self.refusals = 0
        if self.grace:
            self.late.append((self.room.clock.seconds(), upto))
            self.settle()
        else:
            self.reached = upto
        if upto >= self.one_at_a_time_upto:
            self.one_at_a_time_upto = 0
        if self.failing:
            self.failing = False
            self.replayed = self.room.journal.end(self.account)
            self.delivery.came_back(self.active)
        self.delivery.confirmed(self.active, upto)

    def look_past(self) -> None:
        """Past the point of a refusal it goes on as usual; what is skipped may lie before it."""
        if self.delivery._cursor.reached.position >= self.one_at_a_time_upto:
            self.one_at_a_time_upto = 0

    def settle(self) -> None:
        """Time has passed."""
        while self.late and self.late[0][0] <= self.room.clock.seconds() - self.grace:
            self.reached = self.late.popleft()[1]

    # -- what holds at any time

    def check(self) -> None:
        if self.wrong is not None:
            raise self.wrong
        delivery = self.delivery
        self.look_past()
        self.settle()
        assert delivery.unconfirmed == self.unconfirmed
        assert delivery._window.size <= self.policy.window_bytes + self.policy.largest
        assert delivery.cursor >= self.cursor_was, "the cursor goes back"
        self.cursor_was = delivery.cursor
        for position in self.wanted():
            if self.begin < position <= delivery.cursor:
                assert (
                    position in self.confirmed
                    or position in self.refused
                    or position in self.unwanted
                    or position <= self.store.trimmed_to
                ), f"the cursor is beyond {position}, which the bot has not got"
        saved = self.store.watermarks["bot", self.account].position
        assert saved <= delivery.cursor, "a cursor was written that is not there yet"
        assert delivery.counters.refused == len(self.refused)

    def check_everything_came(self) -> None:
        """Nothing is under way, and nothing waits."""
        missing = {
            position
            for position in self.wanted()
            if position > self.begin and position not in self.confirmed and position not in self.refused
        }
        assert all(position <= self.store.trimmed_to or position in self.unwanted for position in missing), (
            f"{missing} never came"
        )
        counters = self.delivery.counters
        counted = counters.expired + counters.damaged + counters.too_old + counters.too_many
        told = f"{len(missing)} are missing, {counters} were counted"
        # What was confirmed just before a crash may fall out, and be counted, all the same.
        exact = not self.crashed
        assert counted == len(missing) if exact else counted >= len(missing), told
        assert counters.damaged == 0, "nothing is damaged"


class Variant:
    """What the bot and the journal are like.

    :ivar largest: bytes of the largest event.
    """

    window_bytes = 700
    largest = 400

    def __init__(self, draw: Any) -> None:
        self.bounded = draw(st.booleans())  # by retention, or else by a policy
        self.grace = draw(st.sampled_from([0.0, 0.0, 2.0]))
        self.limits = JournalLimits(
            retention=draw(st.sampled_from([1.0, 4.0, 15.0])) if self.bounded else 1e9,
            max_size=1 << 40,
            waiting=draw(st.sampled_from([1500, 1 << 20])),
            tail=draw(st.sampled_from([1, 1200, 1 << 20])),
            page=draw(st.sampled_from([1, 300, 1 << 18])),
        )
        some = (
            {}
            if self.bounded
            else draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "max_age": st.sampled_from([3.0, 10.0]),
                        "max_events": st.sampled_from([1, 4]),
                        "rate": st.sampled_from([2.0, 50.0]),
                    },
                )
            )
        )
        self.max_age = some.get("max_age")
        self.max_events = some.get("max_events")
        self.mark = draw(st.booleans())
        self.filtered = not self.bounded and draw(st.booleans())
        self.policy = ReplayPolicy(grace=self.grace, mark=self.mark, **some)

    def passes(self, event: Event) -> bool:
        return numbers([event.raw])[0] % 3 > 0


one_of_both = st.sampled_from([0, 1])


def kind(number: int) -> str:
    return "message" if number % 7 else "request"


class DeliveryMachine(RuleBasedStateMachine):
    """One bot, two accounts."""

    make_store: Any = MemoryStore

    @initialize(data=st.data())
    def begin(self, data: Any) -> None:
        self.variant = Variant(data.draw)
        self.clock = Clock()
        self.store = WitnessedStore(self.make_store())
        self.number = 0
        self.open()

    def open(self) -> None:
        clock = Clock()
        clock.advance(self.clock.seconds())
        self.clock = clock
        variant = self.variant
        self.room = Room(
            self.store,
            limits=variant.limits,
            policy=variant.policy,
            worker=HeldWorker,
            clock=clock,
            accounts=ACCOUNTS,
            passes=variant.passes if variant.filtered else None,
            window_bytes=variant.window_bytes,
        )
        assert self.room.opened.called
        self.books = [Book(self.room, self.store, account, variant.grace, variant) for account in ACCOUNTS]
        self.put = dict.fromkeys(ACCOUNTS, 0)
        self.written_before = {account: len(self.store.written[account]) for account in ACCOUNTS}

    # -- events and the journal

    @rule(
        which=st.lists(st.tuples(one_of_both, st.sampled_from([0, 0, 50, 350])), min_size=1, max_size=12),
        turns=st.booleans(),
        commits=st.integers(0, 3),
    )
    def publish(self, which: list[tuple[int, int]], turns: bool, commits: int) -> None:
        """Events come, in one turn of the reactor or in a turn each; some are written, perhaps."""
        for book, size in which:
            self.number += 1
            self.put[ACCOUNTS[book]] += 1
            self.room.journal.append(ACCOUNTS[book], [event(self.number, kind(self.number), size)])
            if turns:
                self.clock.advance(0)
        self.clock.advance(0)
        for _ in range(commits):
            self.room.writer.go()

    @rule(
        thread=st.sampled_from(["writer", "reader"]),
        does=st.sampled_from(["work", "tell", "go", "go"]),
        times=st.integers(1, 5),
    )
    def thread(self, thread: str, does: str, times: int) -> None:
        """A thread does something, the reactor hears of it, or both."""
        for _ in range(times):
            getattr(getattr(self.room, thread), does)()

    @rule(full=st.sampled_from([False, False, True]), unreadable=st.sampled_from([False, False, True]))
    def disk(self, full: bool, unreadable: bool) -> None:
        self.store.full, self.store.unreadable = full, unreadable

    @rule(seconds=st.sampled_from([0.3, 1.0, 2.5, 6.0]), busy=st.booleans())
    def time_passes(self, seconds: float, busy: bool) -> None:
        for _ in range(3):
            self.room.advance(seconds / 3)
            if busy:
                for _ in range(8):
                    self.room.writer.go()

    # -- the bot

    @rule(book=one_of_both, window=st.sampled_from([1, 3, 8]))
    def connects(self, book: int, window: int) -> None:
        if len(self.books[book].sinks) < 3:
            self.books[book].opens(window)

    @rule(book=one_of_both, which=st.sampled_from([-1, -1, 0]), refuses=st.booleans())
    def breaks(self, book: int, which: int, refuses: bool) -> None:
        sinks = self.books[book].sinks
        if sinks:
            self.books[book].ends(sinks[which], "close code 1003" if refuses else None)

    @rule(book=one_of_both, times=st.integers(1, 6), posts=st.booleans(), refuses=st.sampled_from([0, 1, 1]))
    def fails(self, book: int, times: int, posts: bool, refuses: int) -> None:
        """A bot that will not have what it is sent, or breaks, again and again."""
        own = self.books[book]
        for _ in range(times):
            if posts and own.active is not None:
                own.fails("HTTP 422" if refuses else None)
            else:
                if own.active is not None:
                    own.ends(own.active, "close code 1003" if refuses else None)
                own.opens(5)
            for _ in range(3):
                self.room.reader.go()

    @rule(book=one_of_both, what=st.sampled_from(["pauses", "takes on", "takes on", "will break"]))
    def transport(self, book: int, what: str) -> None:
        active = self.books[book].active
        if active is None:
            return
        if what == "takes on":
            active.take_on()
        elif what == "pauses":
            active.ready = False
        else:
            active.fragile = True

    @rule(book=one_of_both, sends=st.integers(1, 6))
    def confirms(self, book: int, sends: int) -> None:
        own = self.books[book]
        if own.window:
            own.confirms(min(sends, len(own.window)))

    @rule(book=one_of_both, times=st.integers(1, 20))
    def keeps_up(self, book: int, times: int) -> None:
        """The bot confirms all, and its pages are read."""
        own = self.books[book]
        for _ in range(times):
            if own.window:
                own.confirms(len(own.window))
            self.room.reader.go()

    @rule(book=one_of_both)
    def confirms_nothing(self, book: int) -> None:
        """Old and unknown positions, and connections that do not hold the delivery."""
        own = self.books[book]
        for sink in own.sinks:
            own.delivery.confirmed(sink, own.window[0][0] - 1 if own.window else self.store.end)
        for sink in own.sinks[:-1]:
            own.delivery.confirmed(sink, self.store.end)

    # -- the service

    @rule()
    def crash(self) -> None:
        self.store.close_writing()
        self.store.close_reading()
        self.store.full = self.store.unreadable = False
        self.open()
        for own in self.books:
            own.crashed = True

    @rule()
    def all_comes(self) -> None:
        """Everything works for a while: the bot has everything then."""
        self.store.full = self.store.unreadable = False
        for own in self.books:
            if own.active is None:
                own.opens(3)
            assert own.active is not None
            own.active.fragile = False
            own.active.take_on()
        quiet = 0
        for _ in range(2000):
            threads = (self.room.writer, self.room.reader)
            busy = any(one.jobs or one.results for one in threads) or any(own.window for own in self.books)
            self.room.writer.go()
            self.room.reader.go()
            for own in self.books:
                if own.window:
                    own.confirms(len(own.window))
            self.look_at_all()
            quiet = 0 if busy or self.room.journal.waiting else quiet + 1
            if quiet > 12:
                break
            if not busy:
                self.room.advance(0.25, 0.25)
        else:
            raise AssertionError("it never becomes quiet")
        for own in self.books:
            own.check_everything_came()
        observed: dict[int, list[int]] = {account: [] for account in ACCOUNTS}
        for batch in self.room.observed:
            observed[batch.account] += numbers(batch.payloads)
        for account in ACCOUNTS:
            new = list(self.store.written[account].values())[self.written_before[account] :]
            assert observed[account] == new, "observed out of order, or not at all"
            assert len(new) + self.room.journal.lost.get(account, 0) == self.put[account], (
                "not counted as lost"
            )

    @invariant()
    def look_at_all(self) -> None:
        for own in getattr(self, "books", ()):
            own.check()

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self.all_comes()
            self.store.close_writing()
            self.store.close_reading()


def bounds(examples: int) -> settings:
    return settings(
        max_examples=examples * LONG_ROUNDS,
        stateful_step_count=40,
        deadline=None,
        database=None,
        report_multiple_bugs=False,  # trial does not show what is in a group
        suppress_health_check=list(HealthCheck),
    )


class ModelTests(SynchronousTestCase):
    def test_in_memory(self) -> None:
        """Any order of events, commits, pages, confirmations, breaks, refusals, crashes and retention."""
        run_state_machine_as_test(DeliveryMachine, settings=bounds(100))

    def test_on_disk(self) -> None:
        """The same with the real store."""
        folder = Path(self.mktemp())
        folder.mkdir()
        made = iter(range(1_000_000))

        class OnDisk(DeliveryMachine):
            def make_store(self) -> SqliteStore:
                return SqliteStore(folder / f"{next(made)}.sqlite", full=False)

        run_state_machine_as_test(OnDisk, settings=bounds(15))
