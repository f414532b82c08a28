"""The journal's store without a disk: for tests and for trying things."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.refused_event import RefusedEvent
from lgtwist.journal.store import (
    MAX_REFUSED,
    TIMES_ALONE,
    Contents,
    IStore,
    JournalError,
    Pair,
    RunAges,
    Trimmed,
)

_Result = TypeVar("_Result")


@implementer(IStore)
class MemoryStore:
    """Keeps everything as long as the object lives.

    :ivar full: as if the disk were full: nothing can be written.
    """

    def __init__(self) -> None:
        self.full = False
        self.refusals: list[RefusedEvent] = []
        self._chunks: list[list[Batch]] = []
        self._named: frozenset[Pair] = frozenset()
        self._named_last: dict[Pair, int] = {}
        self._contents = Contents()

    def open_writing(self, pairs: Iterable[Pair], now: int) -> Contents:
        """What was written before, by this object."""
        kept = self._contents
        for bot, account in set(pairs) - kept.watermarks.keys():
            kept.watermarks[bot, account] = Watermark(kept.end, kept.totals.get(account, 0), 0)
        self._named = frozenset(pairs)
        self._named_last.update(dict.fromkeys(pairs, now))
        return Contents(
            kept.end,
            kept.trimmed_to,
            dict(kept.totals),
            dict(kept.expired),
            dict(kept.watermarks),
            newest=kept.newest,
            last_refused=max((one.id for one in self.refusals), default=0),
        )

    def _check(self) -> None:
        if self.full:
            raise JournalError("the disk is full")

    def pack(self, batches: list[Batch], not_before: int = 0) -> list[Batch]:
        """They are kept as they are."""
        return batches

    def append(self, batches: list[Batch]) -> None:
        """Keep a chunk."""
        self._check()
        self._chunks.append(batches)
        self._contents.end = batches[-1].last
        self._contents.newest = batches[-1].times[-1]
        for batch in batches:
            self._contents.totals[batch.account] = batch.before + len(batch)

    def save(
        self,
        totals: dict[int, int],
        upto: Position,
        watermarks: dict[Pair, Watermark],
        refused: Sequence[RefusedEvent],
        put_back: Collection[Pair] = (),
    ) -> None:
        """Keep the rest."""
        self._check()
        for pair, watermark in watermarks.items():
            kept = self._contents.watermarks.get(pair, Watermark())
            if pair in put_back or watermark.position > kept.position or watermark.ordinal > kept.ordinal:
                self._contents.watermarks[pair] = watermark
        self.refusals += refused
        del self.refusals[:-MAX_REFUSED]

    def drop_refused(self, upto: int, only: int | None) -> list[int]:
        """Forget refused events."""
        self._check()
        ids = [one.id for one in self.refusals if one.id <= upto and only in (None, one.id)]
        self.refusals = [one for one in self.refusals if one.id not in ids]
        return ids

    def touch(self, named: dict[Pair, Watermark], now: int) -> None:
        """Note which pairs are named from now on."""
        self._check()
        self._contents.watermarks = {**named, **self._contents.watermarks}
        self._named_last.update(dict.fromkeys((*self._named, *named), now))
        self._named = frozenset(named)

    def trim(self, older_than: int, max_size: int, ages: RunAges = TIMES_ALONE) -> Trimmed:
        """Forget one chunk, if it is too old or too much."""
        used = sum(batch.size() for chunk in self._chunks for batch in chunk)
        expired: dict[int, int] = {}
        if self._chunks and (used > max_size or self._is_old(self._chunks[0], older_than, ages)):
            for batch in self._chunks[0]:
                used -= batch.size()
                expired[batch.account] = batch.before + len(batch)
            self._contents.trimmed_to = self._chunks.pop(0)[-1].last
            self._contents.expired.update(expired)
        forgotten = tuple(
            pair
            for pair in self._contents.watermarks
            if pair not in self._named
            and (pair in ages.old or (pair not in ages.young and self._named_last.get(pair, 0) < older_than))
        )
        for pair in forgotten:
            del self._contents.watermarks[pair]
        return Trimmed(self._contents.trimmed_to, expired, bool(expired), used, forgotten)

    def _is_old(self, chunk: list[Batch], older_than: int, ages: RunAges) -> bool:
        last = chunk[-1].last
        written = max(max(batch.times) for batch in chunk)
        return last <= ages.old_upto or (last <= ages.inherited and written < older_than)

    def back_up(self, target: Path, now: int, between: Callable[[], object]) -> None:
        """Nothing is copied."""
        self._check()
        between()

    def forget_backup(self) -> None:
        """It is none."""

    def close_writing(self) -> None:
        """Nothing is held."""

    def open_reading(self) -> None:
        """Nothing is needed."""

    def read(self, account: int, after: Position, upto: Position, max_bytes: int) -> Page:
        """The next events of an account."""
        batches: list[Batch] = []
        size = 0
        for chunk in self._chunks:
            for batch in chunk:
                if batch.account == account and batch.last > after:
                    batches.append(batch.after(after))
                    size += batches[-1].size()
            if size >= max_bytes:
                return Page(batches, chunk[-1].last, self._contents.trimmed_to)
        return Page(batches, max(after, upto), self._contents.trimmed_to)

    def list_refused(self, most: int) -> list[RefusedEvent]:
        """The newest refused events."""
        return self.refusals[::-1][:most]

    def find_refused(self, number: int) -> RefusedEvent | None:
        """A refused event."""
        return next((one for one in self.refusals if one.id == number), None)

    def close_reading(self) -> None:
        """Nothing is held."""


class InlineWorker:
    """A worker that does everything at once: for tests, and for stores that never block."""

    def do(self, job: Callable[[], _Result]) -> Deferred[_Result]:
        """Do a job now."""
        done: Deferred[_Result] = Deferred()
        try:
            result = job()
        except Exception:
            done.errback(Failure())
        else:
            done.callback(result)
        return done

    def run_waiting(self) -> None:
        """Nothing waits."""

    def stop(self) -> Deferred[None]:
        """Nothing is left to do."""
        stopped: Deferred[None] = Deferred()
        stopped.callback(None)
        return stopped
