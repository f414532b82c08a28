"""One group commit as it lies on disk. Pure."""

from __future__ import annotations

import sys
from array import array
from zlib import crc32

import msgspec

from lgtwist.delivery.batch import Batch, Position

#: Bytes of events that make one chunk; one event that is larger is a chunk of its own.
CHUNK_BYTES = 1 << 20
#: What an event takes in memory beside its payload (bytes, roughly).
OVERHEAD = 64


class Damaged(Exception):
    """A chunk is not what was written."""


class Run:
    """Events of one account, in order.

    :ivar times: when each was taken in: milliseconds since the epoch.
    :ivar size: bytes that they take in memory.
    """

    __slots__ = ("payloads", "size", "times")

    def __init__(self) -> None:
        self.times = array("q")
        self.payloads: list[bytes] = []
        self.size = 0

    def take(self, limit: int) -> Run:
        """Remove and return the oldest: as many as make ``limit`` bytes, at least one."""
        taken = Run()
        events = 0
        for payload in self.payloads:
            taken.size += len(payload) + OVERHEAD
            events += 1
            if taken.size >= limit:
                break
        taken.times, taken.payloads = self.times[:events], self.payloads[:events]
        del self.times[:events], self.payloads[:events]
        self.size -= taken.size
        return taken


class CommitGroup:
    """Events that are to be committed: for each account those that came, in order.

    :ivar size: bytes that they take in memory.
    """

    __slots__ = ("runs", "size")

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        self.size = 0

    def add(self, account: int, time: int, payloads: list[bytes]) -> int:
        """Add events, which came together; return how many bytes they take in memory."""
        run = self.runs.get(account)
        if run is None:
            run = self.runs[account] = Run()
        run.times.extend([time] * len(payloads))
        run.payloads.extend(payloads)
        size = sum(map(len, payloads)) + OVERHEAD * len(payloads)
        run.size += size
        self.size += size
        return size

    def take(self, limit: int) -> CommitGroup:
        """Remove and return about ``limit`` bytes: of each account's oldest events an equal part.

        An account of which something is left comes behind the others at the next time, so that no
        account's events wait for more than one commit because another has sent very many, or very large ones.
        """
        taken = CommitGroup()
        while self.runs and taken.size < limit:
            share = (limit - taken.size) // len(self.runs)
            for account in tuple(self.runs):
                run = self.runs.pop(account)
                part = run.take(min(share, limit - taken.size))
                if run.payloads:
                    self.runs[account] = run
                taken._append(account, part)
                if taken.size >= limit:
                    break
        self.size -= taken.size
        return taken

    def _append(self, account: int, run: Run) -> None:
        self.size += run.size
        before = self.runs.setdefault(account, run)
        if before is not run:
            before.times.extend(run.times)
            before.payloads.extend(run.payloads)
            before.size += run.size

    def batches(self, first: Position, totals: dict[int, int]) -> list[Batch]:
        """Return these events as batches, whose positions begin at ``first``.

        :param totals: how many events of each account were written before.
        """
        batches = []
        for account, run in self.runs.items():
            batches.append(Batch(account, first, totals.get(account, 0), run.times, run.payloads))
            first += len(run.payloads)
        return batches


class Chunk(msgspec.Struct, frozen=True):
    """A row of the table ``chunk``, in the order of its columns."""

    first: Position
    last: Position
    newest: int
    runs: bytes
    times: bytes
    lengths: bytes
    payload: bytes
    checksum: int


def pack(batches: list[Batch], not_before: int = 0) -> Chunk:
    """Return the row of some batches that follow each other.

    :param not_before: the column ``newest`` is not less than this.
    """
    runs, times, lengths = array("q"), array("q"), array("I")
    payloads: list[bytes] = []
    for batch in batches:
        runs.extend((batch.account, len(batch), batch.before))
        times += batch.times
        lengths.extend(map(len, batch.payloads))
        payloads += batch.payloads
    parts = (little(runs), little(times), little(lengths), b"".join(payloads))
    return Chunk(batches[0].first, batches[-1].last, max(not_before, max(times)), *parts, _checksum(*parts))


def little(numbers: array[int]) -> bytes:
    """Numbers as bytes, whatever the machine's order is."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def from_little(kind: str, data: bytes) -> array[int]:
    """Return the numbers that :func:`little` encoded.

    :raises Damaged: if that is not a whole number of them.
    """
    numbers = array(kind)
    try:
        numbers.frombytes(data)
    except (ValueError, TypeError):
        raise Damaged("not whole numbers") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _checksum(runs: bytes, times: bytes, lengths: bytes, payload: bytes) -> int:
    return crc32(payload, crc32(lengths, crc32(times, crc32(runs))))


def read_runs(runs: bytes) -> list[tuple[int, int, int]]:
    """For each account in a chunk: its ``self_id``, how many events, and how many ever before.

    :raises Damaged: if it is not that.
    """
    numbers = from_little("q", runs)
    if len(numbers) % 3:
        raise Damaged("not triples")
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))


def unpack(chunk: Chunk) -> list[Batch]:
    """Return the batches in a row.

    :raises Damaged: if it is not what was written.
    """
    try:
        if _checksum(chunk.runs, chunk.times, chunk.lengths, chunk.payload) != chunk.checksum:
            raise Damaged("the checksum does not fit")
    except TypeError:
        raise Damaged("not bytes") from None
    times, lengths = from_little("q", chunk.times), from_little("I", chunk.lengths)
    batches = []
    at = event = 0
    for account, events, before in read_runs(chunk.runs):
        payloads = []
        for length in lengths[event : event + events]:
            payloads.append(chunk.payload[at : at + length])
            at += length
        batches.append(Batch(account, chunk.first + event, before, times[event : event + events], payloads))
        event += events
    if event != chunk.last - chunk.first + 1:
        raise Damaged("the positions do not fit")
    return batches
