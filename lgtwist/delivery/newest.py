"""Where the newest events that a bot wants begin (``replay.max_events``). Pure: the journal comes in."""

from __future__ import annotations

from collections import deque

from lgtwist.delivery.batch import Position
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.judging import Judging
from lgtwist.runtime.long_work import LONG


async def count_newest(
    journal: IJournal, account: int, judging: Judging, *, after: Position, end: Position, most: int
) -> Position:
    """Count the events that a bot gets between two positions.

    :param after: those behind this position.
    :param end: those up to this position.
    :param most: of so many of the newest, none is skipped.
    :returns: the position of the newest one that is skipped; 0 if there are no more than ``most``.
    :raises Exception: if the journal cannot be read now.
    """
    newest: deque[Position] = deque(maxlen=most + 1)
    work = judging.work
    begun = work.now()
    while after < end:
        page = await journal.read(account, after)
        for batch in page.batches:
            for index, payload in enumerate(batch.payloads):
                if judging.passes is not None and (took := work.now() - begun) > LONG:
                    await work.later(took)
                    begun = work.now()
                if batch.position(index) <= end and judging.gets(payload):
                    newest.append(batch.position(index))
        after = max(page.upto, page.batches[-1].last if page.batches else after)
    return newest[0] if len(newest) == newest.maxlen else 0
