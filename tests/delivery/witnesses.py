"""What the model of a delivery knows of store, connections and bot, and holds them to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.refused_event import RefusedEvent
from lgtwist.journal.store import TIMES_ALONE, Contents, IStore, JournalError, Pair, RunAges, Trimmed
from tests.journal.fakes import FakeSink, Room, numbers

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

    def back_up(self, target: Path, now: int, between: Callable[[], object]) -> None:
        self.store.back_up(target, now, between)

    def forget_backup(self) -> None:
        self.store.forget_backup()

    def pack(self, batches: list[Batch], not_before: int = 0) -> list[Batch]:
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
        refused: Sequence[RefusedEvent],
        put_back: Collection[Pair] = (),
    ) -> None:
        self._check()
        self.store.save(totals, upto, watermarks, refused, put_back)
        for pair, watermark in watermarks.items():
            assert pair in put_back or watermark.position >= self.watermarks[pair].position, (
                "a cursor that is written goes back"
            )
            if (watermark.position, watermark.ordinal) != (
                self.watermarks[pair].position,
                self.watermarks[pair].ordinal,
            ):
                self.watermarks[pair] = watermark

    def touch(self, named: dict[Pair, Watermark], now: int) -> None:
        self._check()
        self.store.touch(named, now)

    def trim(self, older_than: int, max_size: int, ages: RunAges = TIMES_ALONE) -> Trimmed:
        self._check()
        trimmed: Trimmed = self.store.trim(older_than, max_size, ages)
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

    def drop_refused(self, upto: int, only: int | None) -> list[int]:
        self._check()
        dropped: list[int] = self.store.drop_refused(upto, only)
        return dropped

    def list_refused(self, most: int) -> list[RefusedEvent]:
        listed: list[RefusedEvent] = self.store.list_refused(most)
        return listed

    def find_refused(self, number: int) -> RefusedEvent | None:
        found: RefusedEvent | None = self.store.find_refused(number)
        return found

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
        self.skipped: set[Position] = set()  # by the operator
        self.before_skip: tuple[Position, set[Position]] | None = None  # what undoing goes back to
        self.has_skipped = False
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
            position
            for position in self.wanted()
            if self.sent < position < upto and position not in came and position not in self.skipped
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
        self.replayed = max(self.replayed, self.delivery._sending.sent.position)
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
        self.before_skip = None
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
        if anew:
            self.replayed = 0 if self.active is None else self.active.there_before
            self.failing = False
        self.note_unwanted()

    def note_unwanted(self) -> None:
        """Sending begins behind ``reached``: the policy lets some of what waits be skipped."""
        end = self.room.journal.end(self.account)
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
        self.before_skip = None
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
            self.delivery.recovered_sink(self.active)
        self.delivery.confirmed(self.active, upto)

    # -- what the operator does

    def skips(self) -> None:
        """Let the bot go on with the newest."""
        end = self.room.journal.end(self.account)
        if not self.delivery.skip_to_end():
            return
        self.look_past()
        self.settle()
        before = self.reached, {one for one in self.confirmed if one <= self.reached}
        self.before_skip = self.before_skip or before
        self.skipped |= {one for one in self.wanted() if before[0] < one <= end}
        self.has_skipped = True
        self.goes_on_at(end)

    def undoes(self) -> None:
        """Let it have what was skipped, if it has confirmed nothing since."""
        assert self.delivery.can_undo == (self.before_skip is not None)
        if self.before_skip is None:
            assert not self.delivery.undo_skip()
            return
        (begin, self.confirmed), self.before_skip = self.before_skip, None
        self.skipped = {one for one in self.skipped if one <= begin}
        self.cursor_was = 0
        self.goes_on_at(begin, True)

    def goes_on_at(self, position: Position, undoes: bool = False) -> None:
        """Forget what is under way; expect what is behind a position."""
        self.replayed = max(self.replayed, self.delivery._sending.sent.position if undoes else self.sent)
        self.late.clear()
        self.window.clear()
        self.reached = self.sent = position
        self.note_unwanted()
        if undoes:
            assert self.delivery.undo_skip()

    def look_past(self) -> None:
        """Past the point of a refusal it goes on as usual; what is skipped may lie before it."""
        if self.delivery.reached >= self.one_at_a_time_upto:
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
        assert delivery._sending.window.size <= self.policy.window_bytes + self.policy.largest
        assert delivery.cursor >= self.cursor_was, "the cursor goes back"
        self.cursor_was = delivery.cursor
        for position in self.wanted():
            if self.begin < position <= delivery.cursor:
                assert (
                    position in self.confirmed
                    or position in self.refused
                    or position in self.unwanted
                    or position in self.skipped
                    or position <= self.store.trimmed_to
                ), f"the cursor is beyond {position}, which the bot has not got"
        saved = self.store.watermarks["bot", self.account].position
        journal = self.room.journal
        put_back = ("bot", self.account) in journal._unsaved.put_back | journal._saving.put_back
        assert saved <= delivery.cursor or put_back, "a cursor was written that is not there yet"
        assert delivery.counters.refused == len(self.refused)

    def check_everything_came(self) -> None:
        """Nothing is under way, and nothing waits."""
        missing = {
            position
            for position in self.wanted()
            if position > self.begin
            and position not in self.confirmed
            and position not in self.refused
            and position not in self.skipped
        }
        assert all(position <= self.store.trimmed_to or position in self.unwanted for position in missing), (
            f"{missing} never came"
        )
        counters = self.delivery.counters
        counted = counters.expired + counters.damaged + counters.too_old + counters.too_many
        told = f"{len(missing)} are missing, {counters} were counted"
        # What was confirmed just before a crash may fall out, and be counted, all the same.
        if not self.has_skipped:  # what was counted before a skip is not missing after it
            exact = not self.crashed
            assert counted == len(missing) if exact else counted >= len(missing), told
        assert counters.damaged == 0, "nothing is damaged"
