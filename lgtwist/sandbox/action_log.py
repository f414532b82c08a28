"""The log of the actions that bots called on a sandbox account. Pure.

Nothing is decoded while nobody reads: an entry has the parameters and the response as bytes.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

from lgtwist.onebot import responses

#: Entries that a log has at most; the oldest are removed.
MAX_ACTIONS = 1000
#: Bytes of parameters up to which they are in the log, without the last; and those of parameters and
#: responses of a log together.
MAX_LOGGED_PARAMS, MAX_ACTION_LOG_BYTES = 64 << 10, 4 << 20
#: Entries above :data:`MAX_ACTIONS` that are removed together.
_DROPPED_AT_ONCE = 100
#: How a response begins that says that the action succeeded; no more of it is kept.
OK_HEAD = responses.ok()[: responses.ok().index(b'"data"')]


class ActionEntry(NamedTuple):
    """One action that has ended in the sandbox.

    :ivar time: seconds since the epoch.
    :ivar bot: the name of the bot that called it.
    :ivar params: one JSON value; empty for parameters that are too large.
    :ivar size: of the parameters, in bytes.
    :ivar response: a failed response without ``echo``, or :data:`OK_HEAD`; empty where the action was not
        carried out before the connection was reset.
    :ivar fault: the ``id`` of the fault that applied; 0 for none.
    :ivar seq: its sequence number.
    """

    time: float
    bot: str
    action: str
    params: bytes
    size: int
    response: bytes
    fault: int
    seq: int


class ActionLog:
    """The newest actions.

    :param first: the entries get the sequence numbers after this one.
    :ivar last_seq: the sequence number of the newest entry.
    """

    def __init__(self, first: int) -> None:
        self.last_seq = first
        self._entries: deque[tuple[float, str, str, bytes, int, bytes, int]] = deque()
        self._bytes = 0

    def add(
        self, now: float, bot: str, action: str, params: bytes, size: int, response: bytes, fault: int
    ) -> None:
        """Add an entry; see :class:`ActionEntry`.

        :param now: seconds since the epoch.
        :param params: as they were sent; they may be left out where ``size`` is too large.
        :param response: the response without ``echo``; empty for none.
        """
        if size >= MAX_LOGGED_PARAMS:
            params = b""
        if response.startswith(OK_HEAD):
            response = OK_HEAD
        self.last_seq += 1
        self._bytes += len(params) + len(response)
        entries = self._entries
        entries.append((now, bot, action, params, size, response, fault))
        if len(entries) >= MAX_ACTIONS + _DROPPED_AT_ONCE or self._bytes > MAX_ACTION_LOG_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        entries = self._entries
        while len(entries) > MAX_ACTIONS or self._bytes > MAX_ACTION_LOG_BYTES:
            _now, _bot, _action, params, _size, response, _fault = entries.popleft()
            self._bytes -= len(params) + len(response)

    @property
    def dropped_seq(self) -> int:
        """The sequence number before the oldest entry."""
        return self.last_seq - len(self._entries)

    def has_missed(self, after: int) -> bool:
        """Return whether entries behind ``after`` were removed, or it is of no entry of this log."""
        return not self.dropped_seq <= after <= self.last_seq

    def entries_after(self, after: int) -> list[ActionEntry]:
        """Return the entries with a sequence number above ``after``; all where some were missed."""
        dropped = self.dropped_seq
        skipped = 0 if self.has_missed(after) else after - dropped
        newer = islice(self._entries, skipped, None)
        return [ActionEntry(*entry, dropped + number) for number, entry in enumerate(newer, skipped + 1)]
