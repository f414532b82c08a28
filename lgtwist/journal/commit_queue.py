"""Events on their way to the disk: what waits for a commit, and the commit under way. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lgtwist.delivery.batch import Batch, Position
from lgtwist.journal.chunk import CHUNK_BYTES, CommitGroup


class CommitQueue:
    """What waits, and the commit under way.

    :ivar size: bytes in memory of all that is not durable yet.
    :ivar sizes: the same by account; without those that have nothing.
    """

    def __init__(self) -> None:
        self.size = 0
        self.sizes: dict[int, int] = {}
        self._waiting = CommitGroup()
        self._committing: tuple[CommitGroup, list[Batch]] | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to commit, for the first time or again."""
        return self.has_waiting or self._committing is not None

    @property
    def has_waiting(self) -> bool:
        """Whether anything waits behind the commit under way."""
        return bool(self._waiting.runs)

    @property
    def has_full(self) -> bool:
        """Whether enough for a commit waits behind the one under way."""
        return self._waiting.size >= CHUNK_BYTES

    def add(self, account: int, time: int, payloads: list[bytes]) -> None:
        """Take in events.

        :param time: milliseconds since the epoch.
        """
        size = self._waiting.add(account, time, payloads)
        self.size += size
        self.sizes[account] = self.sizes.get(account, 0) + size

    def begin(self, end: Position, totals: dict[int, int]) -> list[Batch]:
        """Return the batches to commit: those that failed last, or the oldest of each account.

        :param end: the position behind which they begin.
        :param totals: how many events of each account were written before.
        """
        if self._committing is None:
            group = self._waiting
            if group.size <= CHUNK_BYTES:
                self._waiting = CommitGroup()
            else:
                group = group.take(CHUNK_BYTES)
            self._committing = (group, group.batches(end + 1, totals))
        return self._committing[1]

    def done(self) -> list[Batch]:
        """Note that the commit under way is durable.

        :returns: its batches; none if it was given up meanwhile.
        """
        if self._committing is None:
            return []
        group, batches = self._committing
        self._committing = None
        self.size -= group.size
        for account, run in group.runs.items():
            left = self.sizes[account] - run.size
            if left:
                self.sizes[account] = left
            else:
                del self.sizes[account]
        return batches

    def drop_all(self) -> Iterator[tuple[int, list[int]]]:
        """Empty it, the commit under way too.

        :returns: of each account in each group, when its events were taken in: milliseconds since the epoch.
        """
        groups = [*([self._committing[0]] if self._committing is not None else []), self._waiting]
        self._committing = None
        self._waiting = CommitGroup()
        self.size = 0
        self.sizes = {}
        for group in groups:
            for account, run in group.runs.items():
                yield account, list(run.times)
