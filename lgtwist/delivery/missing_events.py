"""Events that the journal lost before a bot had them: each is counted once, and logged. Pure."""

from __future__ import annotations

from lgtwist.delivery.batch import Batch, Position, Watermark
from lgtwist.delivery.counters import DeliveryCounters
from lgtwist.delivery.gaps import Gaps
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.log import DeliveryLog


class MissingEvents:
    """The events of one account that one bot will not get, because the journal does not have them any more.

    :param counters: they are counted there.
    """

    __slots__ = ("_account", "_counters", "_gaps", "_journal", "_log")

    def __init__(self, account: int, journal: IJournal, counters: DeliveryCounters, log: DeliveryLog) -> None:
        self._account = account
        self._journal = journal
        self._counters = counters
        self._log = log
        self._gaps = Gaps()

    def expired(self, begin: int, end: int, done: int) -> None:
        """Count what retention has deleted from one ordinal up to another, and log it.

        :param done: what is up to this ordinal never comes up again.
        """
        expired = self._gaps.add(begin, end, done)
        self._counters.expired += expired
        self._log.expired(expired)

    def before(self, batch: Batch, sent: Watermark, done: int, trimmed_to: Position) -> None:
        """Count what is missing in front of a batch, and log it.

        :param sent: behind this the batch is the next that can be read.
        :param done: what is up to this ordinal never comes up again.
        :param trimmed_to: how far retention had come when the batch was read.
        """
        begin = sent.ordinal
        events = self._gaps.add(begin, batch.before, done)
        if not events:
            return
        expired = min(events, max(0, self._journal.expired(self._account) - begin))
        if sent.position < trimmed_to:  # the journal will say so in a moment
            expired = events
        damaged = events - expired
        self._counters.expired += expired
        self._counters.damaged += damaged
        if damaged:
            self._log.missing(sent.position, batch.first, damaged=damaged, expired=expired)
        else:
            self._log.expired_unseen(expired)
