"""Events as they lie in a journal. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import msgspec

#: Where an event stands in a journal. Later ones are larger; nothing else is known of it outside.
Position = int


class Batch:
    """Some events of one account, in the order in which they came.

    :ivar account: its ``self_id``.
    :ivar first: the position of the first.
    :ivar before: how many events of this account were ever written before them.
    :ivar times: when each was taken in: milliseconds since the epoch.
    :ivar payloads: each as JSON.
    """

    __slots__ = ("account", "before", "first", "payloads", "times")

    def __init__(
        self, account: int, first: Position, before: int, times: array[int], payloads: list[bytes]
    ) -> None:
        self.account = account
        self.first = first
        self.before = before
        self.times = times
        self.payloads = payloads

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def last(self) -> Position:
        """The position of the last."""
        return self.first + len(self.payloads) - 1

    def position(self, index: int) -> Position:
        """Return the position of the event at an index."""
        return self.first + index

    def after(self, position: Position) -> Batch:
        """Those behind a position."""
        return self if position < self.first else self.part(position - self.first + 1, len(self.payloads))

    def part(self, begin: int, end: int) -> Batch:
        """Those from one index up to another."""
        return Batch(
            self.account,
            self.first + begin,
            self.before + begin,
            self.times[begin:end],
            self.payloads[begin:end],
        )

    def size(self) -> int:
        """Bytes of all."""
        return sum(map(len, self.payloads))


class Page(msgspec.Struct, frozen=True):
    """What was read of one account.

    :ivar batches: its events, in order.
    :ivar upto: nothing else of it can be read up to this position. (What is missing in between shows in
        the batches' ``before``.)
    :ivar trimmed_to: nothing up to this position was left when it was read.
    """

    batches: list[Batch]
    upto: Position
    trimmed_to: Position = 0


class Watermark(msgspec.Struct, frozen=True):
    """How far a bot has come with an account.

    :ivar position: of the last event that it has.
    :ivar ordinal: how many events of the account were written up to there.
    :ivar time: when that event was taken in: milliseconds since the epoch; 0 if there was none.
    """

    position: Position = 0
    ordinal: int = 0
    time: int = 0


def search(batches: list[Batch], position: Position, begin: int = 0) -> int:
    """Return the index of the first batch with events behind a position; ``len(batches)`` if none has."""
    key: Callable[[Batch], Any] = _first
    at = bisect_right(batches, position, begin, key=key)
    if at > begin and batches[at - 1].last > position:
        at -= 1
    return at


def _first(batch: Batch) -> Position:
    return batch.first
