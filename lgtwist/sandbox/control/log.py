"""The entries of the event log as JSON, made of the records as they are when they are read. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from attrs import frozen

from lgtwist.onebot.rawjson import DECODE_ERRORS, decode_value
from lgtwist.sandbox.bounds import LARGE, MAX_ANSWER, json_parts
from lgtwist.sandbox.control.transcript import transcript_entry
from lgtwist.sandbox.event_log import EventLog, LogEntry
from lgtwist.sandbox.world.model import Forward, Group, Message, Record, record_parts
from lgtwist.sandbox.world.world import World

#: Characters of ``raw_message`` that a shortened message has.
_SHORTENED_TEXT = 2000
#: Bytes that one portion of :func:`read_portion` may have encoded, about; one entry is always in it.
_MAX_PORTION = 1 << 20
#: Bytes that an entry is counted as beside its event or record, and one member or announcement of a group.
_ENTRY_BYTES, _MEMBER_BYTES = 300, 150


@frozen
class LogPortion:
    """Some entries of a log in a row.

    :ivar entries: their JSON, the oldest first.
    :ivar last: the sequence number after which the next portion begins.
    :ivar missed: whether entries before these are not there any more, or the reader's number is not of this
        log: what the reader knows of the world is to be read anew.
    :ivar more: whether there are newer entries already.
    """

    entries: list[bytes]
    last: int
    missed: bool
    more: bool


def _shortened(record: Record, world: World) -> bytes:
    """Return the JSON of a record that is too long, without what may be long in it."""
    shown: dict[str, Any]
    if isinstance(record, Message):
        raw_message = record.raw_message[:_SHORTENED_TEXT]
        shown = {**transcript_entry(record, world, details=True), "message": [], "raw_message": raw_message}
    elif isinstance(record, Forward):
        shown = {"forward_id": record.forward_id, "time": record.time, "nodes": []}
    elif isinstance(record, Group):
        shown = msgspec.to_builtins(
            msgspec.structs.replace(record, members=[], notices=[], anonymous_bans={})
        )
    else:
        return msgspec.json.encode(record)
    return msgspec.json.encode({**shown, "shortened": True})


def _size_of(entry: LogEntry, world: World) -> int:
    """Return about how many bytes the JSON of an entry has."""
    record, size = world.find_record(entry.kind, entry.key), _ENTRY_BYTES + len(entry.event)
    if isinstance(record, (Message, Forward)):
        return size + world.size_of(record)
    if isinstance(record, Group):
        return size + _MEMBER_BYTES * (len(record.members) + len(record.notices))
    return size


def _event_json(entry: LogEntry) -> bytes:
    """Return the JSON of an entry's event in one line; of an injected one without its ``echo``."""
    if entry.kind == "notice":
        return entry.event
    try:
        return msgspec.json.encode(decode_value(entry.event))
    except DECODE_ERRORS:  # it was accepted all the same: bots get it as it is
        return msgspec.json.encode({"unreadable": entry.event.decode("utf-8", "replace")})


def entry_parts(entry: LogEntry, world: World, longest: int | None = None) -> Iterator[bytes]:
    """Yield the JSON of an entry; of a large record in parts, of which each takes less than 50 ms.

    :param longest: bytes of a record's JSON above which it is shortened; None for never.
    """
    yield b'{"seq":%d,"time":%d,"kind":"%b"' % (entry.seq, entry.time, entry.kind.encode())
    if entry.kind == "world":
        pass
    elif entry.event:
        yield b',"event":'
        yield _event_json(entry)
    elif (record := world.find_record(entry.kind, entry.key)) is None:
        yield b',"removed":'
        yield msgspec.json.encode(entry.key)
    else:
        yield b',"%b":' % entry.kind.encode()
        if longest is None:
            yield from _whole_record_parts(record, world)
        else:
            yield _record_json(record, world, longest)
    yield b"}"


def _whole_record_parts(record: Record, world: World) -> Iterator[bytes]:
    """Yield the JSON of a record, of a large message or forwarded one in several parts."""
    if not isinstance(record, Message):
        yield from record_parts(record)
    elif world.size_of(record) < LARGE:
        yield msgspec.json.encode(transcript_entry(record, world, details=True))
    else:
        yield from json_parts(transcript_entry(record, world, details=True))


def _record_json(record: Record, world: World, longest: int) -> bytes:
    """Return the JSON of a record, shortened if it is longer than ``longest`` bytes."""
    if isinstance(record, (Message, Forward)) and world.size_of(record) > longest:
        return _shortened(record, world)
    if isinstance(record, Group) and _MEMBER_BYTES * len(record.members) > LARGE:
        return _shortened(record, world)
    whole = msgspec.json.encode(
        transcript_entry(record, world, details=True) if isinstance(record, Message) else record
    )
    if len(whole) > (LARGE if isinstance(record, Group) else longest):
        return _shortened(record, world)
    return whole


def read_portion(log: EventLog, world: World, after: int | None, most: int, longest: int) -> LogPortion:
    """Return the entries after ``after``.

    :param after: a sequence number; None to begin with what happens next.
    :param most: how many entries at most.
    :param longest: bytes of the JSON of a message or forwarded message above which it is shortened; a group
        is above 1 MiB.
    """
    if after is None:
        return LogPortion([], log.last_seq, False, False)
    missed = log.has_missed(after)
    encoded: list[bytes] = []
    last, total = log.last_seq if missed else after, 0
    for entry in log.entries_after(after, most):
        if total > _MAX_PORTION:
            break
        encoded.append(b"".join(entry_parts(entry, world, longest)))
        total += len(encoded[-1])
        last = entry.seq
    return LogPortion(encoded, last, missed, last < log.last_seq)


def log_json(log: EventLog, world: World, after: int) -> Iterator[bytes]:
    """Return the parts of the JSON of the entries after ``after``, as many as one answer may have.

    ``last`` is the sequence number of the last one in the answer, and ``more`` is true where there are newer
    ones. Which entries it has is settled at once; each record is as it is when its part is yielded.
    """
    missed = log.has_missed(after)
    portion: list[LogEntry] = []
    last, total = log.last_seq, 0
    for entry in log.entries_after(after):
        total += _size_of(entry, world)
        if portion and total > MAX_ANSWER:
            last = portion[-1].seq
            break
        portion.append(entry)
    return _portion_parts(portion, world, last, missed, last < log.last_seq)


def _portion_parts(
    portion: list[LogEntry], world: World, last: int, missed: bool, more: bool
) -> Iterator[bytes]:
    yield b'{"last":%d,"missed":%b,"entries":[' % (last, b"true" if missed else b"false")
    for number, entry in enumerate(portion):
        if number:
            yield b","
        yield from entry_parts(entry, world)
    yield b'],"more":true}' if more else b"]}"
