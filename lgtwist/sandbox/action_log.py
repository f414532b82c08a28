"""The log of the actions that bots called on a sandbox account. Pure.

Nothing is decoded while nobody reads: an entry has the parameters and the response as bytes.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from lgtwist.onebot import responses

#: Entries that a log has at most; the oldest are removed.
MAX_ACTIONS = 1000
#: Bytes of parameters up to which they are in the log, without the last; and those of a log together.
MAX_LOGGED_PARAMS, MAX_PARAMS_BYTES = 64 << 10, 4 << 20
#: How a response begins that says that the action succeeded; no more of it is kept.
OK_HEAD = responses.ok()[: responses.ok().index(b'"data"')]


class ActionEntry(NamedTuple):
    """One action that has ended in the sandbox.

    :ivar seq: its sequence number.
    :ivar time: seconds since the epoch.
    :ivar bot: the name of the bot that called it.
    :ivar params: one JSON value; None for parameters that are too large.
    :ivar size: of the parameters, in bytes.
    :ivar response: a failed response without ``echo``, or :data:`OK_HEAD`; empty where the action was not
        carried out before the connection was reset.
    :ivar fault: the ``id`` of the fault that applied; 0 for none.
    """

    seq: int
    time: int
    bot: str
    action: str
    params: bytes | None
    size: int
    response: bytes
    fault: int


class ActionLog:
    """The newest actions.

    :param first: the entries get the sequence numbers after this one.
    :ivar last_seq: the sequence number of the newest entry.
    :ivar dropped_seq: the highest sequence number that was removed above the bounds, ``first`` where there is
        none.
    """

    def __init__(self, first: int) -> None:
        self.last_seq = self.dropped_seq = first
        self._entries: deque[ActionEntry] = deque()
        self._bytes = 0

    def add(self, now: int, bot: str, action: str, params: bytes, response: bytes, fault: int) -> None:
        """Add an entry; see :class:`ActionEntry`."""
        size = len(params)
        self.last_seq = seq = self.last_seq + 1
        self._entries.append(
            ActionEntry(
                seq,
                now,
                bot,
                action,
                params if size < MAX_LOGGED_PARAMS else None,
                size,
                OK_HEAD if response.startswith(OK_HEAD) else response,
                fault,
            )
        )
        if size < MAX_LOGGED_PARAMS:
            self._bytes += size
        while len(self._entries) > MAX_ACTIONS or self._bytes > MAX_PARAMS_BYTES:
            dropped = self._entries.popleft()
            self.dropped_seq = dropped.seq
            if dropped.params is not None:
                self._bytes -= dropped.size

    def has_missed(self, after: int) -> bool:
        """Return whether entries behind ``after`` were removed, or it is of no entry of this log."""
        return not self.dropped_seq <= after <= self.last_seq

    def entries_after(self, after: int) -> list[ActionEntry]:
        """Return the entries with a sequence number above ``after``; all where some were missed."""
        if self.has_missed(after):
            return list(self._entries)
        count = self.last_seq - after
        return [self._entries[number] for number in range(len(self._entries) - count, len(self._entries))]
