"""What was read from the disk and not sent yet. Pure."""

from __future__ import annotations

from collections import deque

from lgtwist.delivery.batch import Batch, Page, Position


class ReadAhead:
    """The rest of the page that was read last.

    :ivar batches: its events that were not sent yet, and perhaps some that were.
    :ivar upto: nothing else can be read up to this position.
    :ivar trimmed_to: how far retention had come when it was read.
    """

    __slots__ = ("batches", "trimmed_to", "upto")

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self.upto: Position = 0
        self.trimmed_to: Position = 0

    def fill(self, page: Page) -> None:
        """Take the batches of a page in place of those that are there."""
        self.batches = deque(page.batches)
        self.trimmed_to = page.trimmed_to
        self.upto = max(page.upto, page.batches[-1].last if page.batches else 0)
