"""Events on their way to the disk: what waits for a commit, and the commit under way. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from lgtwist.delivery.batch import Batch, Position
from lgtwist.journal.chunk import CHUNK_BYTES, CommitGroup


class CommitQueue:
    """Groups of events in the order of their commits. The last takes what comes.

    :ivar size: bytes in memory of all that is not durable yet.
    """

    def __init__(self) -> None:
        self.size = 0
        self._groups: deque[CommitGroup] = deque()
        self._committing: tuple[CommitGroup, list[Batch]] | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to commit, for the first time or again."""
        return bool(self._groups) or self._committing is not None

    @property
    def has_waiting(self) -> bool:
        """Whether anything waits behind the commit under way."""
        return bool(self._groups)

    @property
    def has_full(self) -> bool:
        """Whether a commit that takes no more waits behind the one under way."""
        return bool(self._groups) and self._groups[0].size >= CHUNK_BYTES

    def add(self, account: int, time: int, payloads: list[bytes]) -> None:
        """Take in events.

        :param time: milliseconds since the epoch.
        """
        groups = self._groups
        if not groups or groups[-1].size >= CHUNK_BYTES:
            groups.append(CommitGroup())
        group = groups[-1]
        before = group.size
        group.add(account, time, payloads)
        self.size += group.size - before

    def begin(self, end: Position, totals: dict[int, int]) -> list[Batch]:
        """Return the batches to commit: those that failed last, or the oldest group.

        :param end: the position behind which they begin.
        :param totals: how many events of each account were written before.
        """
        if self._committing is None:
            group = self._groups.popleft()
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
        return batches

    def drop_all(self) -> Iterator[tuple[int, list[int]]]:
        """Empty it, the commit under way too.

        :returns: of each account in each group, when its events were taken in: milliseconds since the epoch.
        """
        groups = [*([self._committing[0]] if self._committing is not None else []), *self._groups]
        self._committing = None
        self._groups.clear()
        self.size = 0
        for group in groups:
            for account, (times, _payloads) in group.runs.items():
                yield account, list(times)
