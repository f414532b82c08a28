"""The event log of a sandbox: what happened in its world, with sequence numbers. Pure.

An entry of a record has only the record's type and key. Its JSON is made when it is read, of the record as
it is then (``control/log.py``): nothing is encoded while nobody reads. A record that changes again has one
entry, the newest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

#: Entries that a log has at most; the oldest are removed.
MAX_ENTRIES = 1000
#: Bytes that the events in a log may have together; the oldest entries are removed. Other entries are small.
MAX_LOG_BYTES = 4 << 20
#: Bytes up to which the JSON of an event is logged; of a larger one only its ``post_type`` and its size.
MAX_LOGGED_EVENT = 8 << 10
#: Characters of the ``post_type`` of an event that is too large to be logged.
_MAX_POST_TYPE = 100


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry of the log.

    :ivar seq: its sequence number.
    :ivar time: seconds since the epoch.
    :ivar kind: the type of a record, ``notice`` (an event of the platform), ``event`` (one that was injected)
        or ``world`` (the world was replaced).
    :ivar key: the key of the record; of an event its sequence number; empty for ``world``.
    :ivar event: the JSON of the event; empty for a record and for ``world``.
    """

    seq: int
    time: int
    kind: str
    key: str
    event: bytes = b""


class EventLog:
    """The newest entries of a log.

    :param first: the entries get the sequence numbers after this one.
    :ivar last_seq: the sequence number of the newest entry.
    :ivar dropped_seq: the highest sequence number that was removed above the bounds, ``first`` where there is
        none. Who has read up to it, or further, has missed nothing.
    """

    def __init__(self, first: int) -> None:
        self.last_seq = self.dropped_seq = first
        # By type and key: the sequence number, the time and the event.
        self._entries: OrderedDict[tuple[str, str], tuple[int, int, bytes]] = OrderedDict()
        self._bytes = 0  # of the events

    def add_records(self, keys: Iterable[tuple[str, str]], now: int) -> None:
        """Add an entry for each record that changed or was removed.

        :param keys: their types and keys.
        :param now: seconds since the epoch.
        """
        entries, seq = self._entries, self.last_seq
        for key in keys:
            seq += 1
            if key in entries:
                entries.move_to_end(key)
            entries[key] = seq, now, b""
        self.last_seq = seq
        self._drop_oldest()

    def add_event(self, kind: str, raw: bytes, post_type: str, now: int) -> None:
        """Add an entry for an event.

        :param kind: ``notice`` or ``event``.
        :param raw: one JSON object. Above :data:`MAX_LOGGED_EVENT` bytes it is not logged, but its
            ``post_type`` and its size.
        :param now: seconds since the epoch.
        """
        if len(raw) > MAX_LOGGED_EVENT:
            shown = post_type[:_MAX_POST_TYPE].encode("utf-8", "replace").decode()
            raw = msgspec.json.encode({"post_type": shown, "size": len(raw)})
        self.last_seq += 1
        self._entries[kind, str(self.last_seq)] = self.last_seq, now, raw
        self._bytes += len(raw)
        self._drop_oldest()

    def add_world(self, now: int) -> None:
        """Add the entry that the world was replaced; entries of the replaced one's records are removed.

        :param now: seconds since the epoch.
        """
        for key in [key for key, (_seq, _time, event) in self._entries.items() if not event]:
            del self._entries[key]
        self.add_records([("world", "")], now)

    def _drop_oldest(self) -> None:
        while len(self._entries) > MAX_ENTRIES or self._bytes > MAX_LOG_BYTES:
            _key, (seq, _time, event) = self._entries.popitem(last=False)
            self._bytes -= len(event)
            self.dropped_seq = seq

    def has_missed(self, after: int) -> bool:
        """Return whether a reader is to begin anew.

        :param after: the last sequence number that it has: entries behind it were removed, or it is of no
            entry of this log.
        """
        return not self.dropped_seq <= after <= self.last_seq

    def entries_after(self, after: int, most: int = MAX_ENTRIES) -> list[LogEntry]:
        """Return the oldest entries with a sequence number above ``after``, at most ``most``.

        Where some were missed (:meth:`has_missed`), these are the oldest that are kept.
        """
        if self.has_missed(after):
            after = self.dropped_seq
        newer = []
        for key in reversed(self._entries):
            seq, time, event = self._entries[key]
            if seq <= after:
                break
            newer.append(LogEntry(seq, time, *key, event))
        newer.reverse()
        return newer[:most]
