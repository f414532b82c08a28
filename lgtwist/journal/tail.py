"""The newest events, in memory: who keeps up never waits for the disk. Pure."""

from __future__ import annotations

from array import array
from collections import deque

from lgtwist.delivery.batch import Batch, Position, search
from lgtwist.journal.chunk import OVERHEAD

#: What a batch takes in memory beside its events (bytes, roughly).
_BATCH_OVERHEAD = 300


class _Run:
    """One account's batches; those before ``begin`` are gone."""

    __slots__ = ("batches", "begin", "floor")

    def __init__(self, floor: Position) -> None:
        self.batches: list[Batch] = []
        self.begin = 0
        self.floor = floor

    def forget_oldest(self) -> None:
        self.floor = self.batches[self.begin].last
        self.begin += 1
        if self.begin > 64 and self.begin * 2 > len(self.batches):
            del self.batches[: self.begin]
            self.begin = 0
        else:
            self.batches[self.begin - 1] = _NOTHING


_NOTHING = Batch(0, 0, 0, array("q"), [])


class Tail:
    """The newest batches of all accounts, within a bound.

    :param limit: bytes.
    :param begin: what comes behind this position is kept here.
    """

    def __init__(self, limit: int, begin: Position) -> None:
        self._limit = limit
        self._begin = begin
        self._size = 0
        self._runs: dict[int, _Run] = {}
        self._order: deque[tuple[int, int]] = deque()  # account and size, oldest first

    def add(self, batch: Batch) -> None:
        """Keep a batch that became durable."""
        run = self._runs.get(batch.account)
        if run is None:
            run = self._runs[batch.account] = _Run(self._begin)
        run.batches.append(batch)
        size = batch.size() + OVERHEAD * len(batch) + _BATCH_OVERHEAD
        self._order.append((batch.account, size))
        self._size += size
        while self._size > self._limit and len(self._order) > 1:
            account, size = self._order.popleft()
            self._size -= size
            self._runs[account].forget_oldest()

    def after(self, account: int, position: Position) -> Batch | None:
        """Return the next batch of an account behind a position; an empty one if there is none.

        :returns: None if it may be gone from here.
        """
        run = self._runs.get(account)
        if run is None:
            return _NOTHING if position >= self._begin else None
        if position < run.floor:
            return None
        at = search(run.batches, position, run.begin)
        return run.batches[at].after(position) if at < len(run.batches) else _NOTHING
