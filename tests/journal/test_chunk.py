"""A group commit as it lies on disk."""

from __future__ import annotations

from array import array

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.batch import Batch
from lgtwist.journal.chunk import (
    OVERHEAD,
    Chunk,
    CommitGroup,
    Damaged,
    from_little,
    little,
    pack,
    read_runs,
    unpack,
)
from tests.rounds import quick

ACCOUNTS = st.one_of(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1))
BURSTS = st.lists(
    st.tuples(ACCOUNTS, st.integers(0, 2**62), st.lists(st.binary(max_size=40), min_size=1, max_size=5)),
    min_size=1,
    max_size=12,
)
Burst = tuple[int, int, list[bytes]]


def group_of(bursts: list[Burst]) -> CommitGroup:
    group = CommitGroup()
    for account, time, payloads in bursts:
        group.add(account, time, payloads)
    return group


def told(batches: list[Batch]) -> list[tuple[int, int, int, list[int], list[bytes]]]:
    return [(one.account, one.first, one.before, list(one.times), one.payloads) for one in batches]


class ChunkTests(SynchronousTestCase):
    @quick
    @given(BURSTS, st.integers(1, 2**60), st.dictionaries(ACCOUNTS, st.integers(0, 2**40)))
    def test_there_and_back(self, bursts: list[Burst], first: int, totals: dict[int, int]) -> None:
        """What is unpacked is what was packed: each account's events in order, counted on."""
        group = group_of(bursts)
        batches = group.batches(first, totals)
        chunk = pack(batches)
        self.assertEqual(told(unpack(chunk)), told(batches))
        events = sum(len(payloads) for _account, _time, payloads in bursts)
        self.assertEqual(chunk.first, first)
        self.assertEqual(chunk.last, first + events - 1)
        self.assertEqual(chunk.newest, max(time for _account, time, _payloads in bursts))
        self.assertEqual(
            group.size,
            events * OVERHEAD + sum(len(one) for _account, _time, payloads in bursts for one in payloads),
        )
        position = first
        for batch in batches:
            came = [(time, one) for account, time, many in bursts for one in many if account == batch.account]
            self.assertEqual(list(zip(batch.times, batch.payloads, strict=True)), came)
            self.assertEqual(batch.first, position)
            self.assertEqual(batch.before, totals.get(batch.account, 0))
            position += len(batch)
        self.assertEqual(
            read_runs(chunk.runs), [(batch.account, len(batch), batch.before) for batch in batches]
        )

    @quick
    @given(BURSTS, st.sampled_from(["runs", "times", "lengths", "payload"]), st.data())
    def test_what_was_changed_is_damaged(self, bursts: list[Burst], part: str, data: st.DataObject) -> None:
        """A bit, a byte less, a byte more: nothing of it is taken for an event."""
        chunk = pack(group_of(bursts).batches(1, {}))
        value = bytearray(getattr(chunk, part))
        how = data.draw(st.sampled_from(["flip", "less", "more"] if value else ["more"]))
        if how == "flip":
            value[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "less":
            del value[data.draw(st.integers(0, len(value) - 1))]
        else:
            value.insert(data.draw(st.integers(0, len(value))), data.draw(st.integers(0, 255)))
        changed = msgspec.structs.replace(chunk, **{part: bytes(value)})
        self.assertRaises(Damaged, unpack, changed)

    def test_columns_of_another_kind(self) -> None:
        """SQLite does not see to it that a column holds what it should."""
        chunk = pack(group_of([(1, 2, [b"{}"])]).batches(1, {}))
        for part in ("runs", "times", "lengths", "payload"):
            for value in (None, 7, "text", 1.5):
                broken = Chunk(**{**msgspec.structs.asdict(chunk), part: value})  # type: ignore[arg-type]
                self.assertRaises(Damaged, unpack, broken)
        self.assertRaises(Damaged, unpack, msgspec.structs.replace(chunk, checksum=None))
        self.assertRaises(Damaged, unpack, msgspec.structs.replace(chunk, last=2))
        self.assertRaises(Damaged, unpack, msgspec.structs.replace(chunk, last=0))

    def test_numbers(self) -> None:
        """They lie on disk the same way on every machine."""
        self.assertEqual(little(array("q", [1, -1])), b"\1" + bytes(7) + b"\xff" * 8)
        self.assertEqual(
            list(from_little("q", little(array("q", [-(2**63), 2**63 - 1])))), [-(2**63), 2**63 - 1]
        )
        self.assertRaises(Damaged, from_little, "q", b"1234567")
        self.assertRaises(Damaged, read_runs, bytes(16))
        self.assertEqual(read_runs(b""), [])
