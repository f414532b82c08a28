"""What the tests of a delivery share: one bot in front of a journal in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.journal.journal import JournalLimits
from lgtwist.onebot.event import Event
from tests.journal.fakes import Lines, Room, numbers
from tests.journal.memory_store import MemoryStore

#: Everything is read from the disk.
NO_TAIL = JournalLimits(tail=1)
#: How a bot says that it will not have what it was sent.
REFUSED = "close code 1003"


def odd(event: Event) -> bool:
    """Whether the number of an event is odd: what a bot with a filter may see."""
    return numbers([event.raw])[0] % 2 == 1


class DeliveryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()
        self.lines = Lines(self)

    def room(self, **options: Any) -> Room:
        return Room(self.store, **options)
