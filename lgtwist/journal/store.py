"""What the journal asks of the place where it writes. All of it may block: it runs in threads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from zope.interface import Interface

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.refused_event import RefusedEvent

#: So many refused events are kept.
MAX_REFUSED = 1000

#: A bot's name and an account's ``self_id``.
Pair = tuple[str, int]


class JournalError(Exception):
    """The journal cannot be used; the argument is one sentence."""


class JournalBusy(JournalError):
    """Another program has locked the file; it can be used when that program lets others have it."""


class JournalDamaged(JournalError):
    """The file is not as it was written. What can be read of it is still there."""


class Contents(msgspec.Struct):
    """What a store held when it was opened.

    :ivar end: the position of the newest event.
    :ivar newest: when the newest chunk was written, at the latest: milliseconds since the epoch; 0 for none.
    :ivar trimmed_to: nothing up to this position is left.
    :ivar totals: how many events of each account were ever written.
    :ivar expired: how many of these are gone.
    :ivar watermarks: how far each bot has come with each account.
    :ivar untouched: whether it could not be written which pairs the configuration names.
    :ivar last_refused: the largest id in the list of refused events; 0 if it is empty.
    :ivar backup_made: where the file is a backup that was not opened yet: when it was made, in milliseconds
        since the epoch; None for any other file.
    """

    end: Position = 0
    trimmed_to: Position = 0
    totals: dict[int, int] = msgspec.field(default_factory=dict)
    expired: dict[int, int] = msgspec.field(default_factory=dict)
    watermarks: dict[Pair, Watermark] = msgspec.field(default_factory=dict)
    untouched: bool = False
    newest: int = 0
    last_refused: int = 0
    backup_made: int | None = None


class RunAges(msgspec.Struct, frozen=True):
    """What a monotonic clock says about ages: all that was written in this run.

    :ivar inherited: only what is up to this position has its age from the times that were written with it.
    :ivar old_upto: what is up to this position is too old, whatever times were written with it.
    :ivar young: pairs that the configuration does not name any more, but has named lately.
    :ivar old: pairs that it named in this run, too long ago.
    """

    inherited: Position = 1 << 62
    old_upto: Position = 0
    young: frozenset[Pair] = frozenset()
    old: frozenset[Pair] = frozenset()


#: Where no such clock is known: ages are those of the times that were written.
TIMES_ALONE = RunAges()


class Trimmed(msgspec.Struct, frozen=True):
    """What one step of retention did.

    :ivar upto: nothing up to this position is left.
    :ivar expired: how many events of each account are gone now, ever.
    :ivar more: whether there is more to do.
    :ivar used: bytes that are used after it.
    :ivar forgotten: pairs whose cursors it deleted, for the configuration named them last before the oldest
        event that is kept.
    """

    upto: Position
    expired: dict[int, int]
    more: bool
    used: int
    forgotten: tuple[Pair, ...] = ()


class IStore(Interface):
    """A place for chunks and watermarks. One thread writes, another reads; each opens its own half."""

    def open_writing(pairs: Iterable[Pair], now: int) -> Contents:
        """Open for writing. Pairs that have no watermark yet begin at the end.

        :param pairs: those that the configuration names.
        :param now: milliseconds since the epoch.
        :raises JournalError: if it cannot be used.
        """

    def pack(batches: list[Batch], not_before: int = 0) -> Any:
        """Make of some batches what :meth:`append` takes. Does not block: it is done in the reactor.

        Python in the other thread would fight with the reactor for Python's lock.

        :param not_before: for retention in later runs they are from this time or later, whatever their own
            times say: milliseconds since the epoch.
        """

    def append(packed: Any) -> None:
        """Write a chunk; durable when this returns.

        :raises JournalBusy: if another program has locked it, in this method and in the others.
        :raises JournalError: if it cannot be written; then nothing of it was.
        """

    def save(
        totals: dict[int, int],
        upto: Position,
        watermarks: dict[Pair, Watermark],
        refused: Sequence[RefusedEvent],
        put_back: Collection[Pair] = (),
    ) -> None:
        """Write what has changed beside the chunks; durable when this returns.

        Of refused events the newest :data:`MAX_REFUSED` are kept.

        :param totals: how many events of each account were ever written, up to position ``upto``.
        :param watermarks: one that is before what is written already is not written.
        :param put_back: but it is if its pair is one of these.
        :raises JournalError: if it cannot be written; then nothing of it was.
        """

    def drop_refused(upto: int, only: int | None) -> list[int]:
        """Delete refused events; durable when this returns.

        :param upto: those with this id or a smaller one.
        :param only: of these the one with this id alone; None for all.
        :returns: the ids of those that were there.
        :raises JournalError: if it cannot be written; then nothing was deleted.
        """

    def touch(named: dict[Pair, Watermark], now: int) -> None:
        """Note which pairs the configuration names from now on; durable when this returns.

        Those that it named until now are noted as named last at this moment.

        :param named: and the cursor to write for each that has none yet.
        :param now: milliseconds since the epoch.
        :raises JournalError: if it cannot be written.
        """

    def trim(older_than: int, max_size: int, ages: RunAges = TIMES_ALONE) -> Trimmed:
        """One step of retention: forget chunks older than a time, and the oldest beyond a size.

        :param older_than: milliseconds since the epoch; 0 where nobody knows what time it is.
        :param max_size: bytes.
        :param ages: what is known without the times that were written.
        :raises JournalError: if it cannot be written.
        """

    def back_up(target: Path, now: int, between: Callable[[], object]) -> None:
        """Copy everything into a new file, which says of itself that it is a backup.

        :param now: milliseconds since the epoch.
        :param between: called between two steps; it may use this store. What it raises ends the copy.
        :raises JournalError: if it cannot be copied.
        """

    def forget_backup() -> None:
        """Do not say any more that this file is a backup.

        :raises JournalError: if it cannot be written.
        """

    def close_writing() -> None:
        """Write no more."""

    def open_reading() -> None:
        """Open for reading, after ``open_writing`` has returned.

        :raises JournalError: if it cannot be read.
        """

    def read(account: int, after: Position, upto: Position, max_bytes: int) -> Page:
        """Return the next events of an account, at least one if there is any.

        :param upto: it is known that events up to here were written; where none is found, none is left.
        :raises JournalError: if it cannot be read.
        """

    def list_refused(most: int) -> list[RefusedEvent]:
        """Return the newest refused events, the newest first, each with the beginning of its payload.

        :raises JournalError: if it cannot be read.
        """

    def find_refused(number: int) -> RefusedEvent | None:
        """Return a refused event with all that is kept of its payload; None if there is none of that id.

        :raises JournalError: if it cannot be read.
        """

    def close_reading() -> None:
        """Read no more."""
