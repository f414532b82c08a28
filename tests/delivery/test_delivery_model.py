"""Delivery and journal against a model: whatever happens in whatever order, nothing is lost or out of order.

The threads are held: each commit and each page that is read is done, and heard of, when a rule says so.
"""

from __future__ import annotations

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

from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from lgtwist.journal.sqlite import SqliteStore
from lgtwist.onebot.event import Event
from tests.delivery.witnesses import ACCOUNTS, Book, WitnessedStore
from tests.journal.fakes import HeldWorker, Room, event, numbers
from tests.journal.memory_store import MemoryStore
from tests.rounds import LONG_ROUNDS


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

    # -- the operator

    @rule(book=one_of_both)
    def skips(self, book: int) -> None:
        self.books[book].skips()

    @rule(book=one_of_both)
    def undoes(self, book: int) -> None:
        self.books[book].undoes()

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
