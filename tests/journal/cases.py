"""What the tests of a journal in memory share: a store that writes down what it is asked."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.batch import Batch
from lgtwist.journal.store import JournalError
from tests.journal.fakes import Lines, Room, numbers
from tests.journal.memory_store import MemoryStore


class RecordingStore(MemoryStore):
    """Writes down what it is asked, and fails where a test wants that.

    :ivar fails: what of its methods fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.fails: set[str] = set()

    def _note(self, what: str) -> None:
        self.calls.append(what)
        if what in self.fails:
            raise JournalError(f"{what} does not work")

    def open_writing(self, *arguments: Any) -> Any:
        self._note("open_writing")
        return super().open_writing(*arguments)

    def open_reading(self) -> None:
        self._note("open_reading")

    def append(self, batches: list[Batch]) -> None:
        self._note("append")
        super().append(batches)

    def save(self, *arguments: Any) -> None:
        self._note("save")
        super().save(*arguments)

    def trim(self, *arguments: Any) -> Any:
        self._note("trim")
        return super().trim(*arguments)

    def touch(self, *arguments: Any) -> None:
        self._note("touch")
        super().touch(*arguments)

    def close_reading(self) -> None:
        self._note("close_reading")

    def close_writing(self) -> None:
        self._note("close_writing")


class JournalTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = RecordingStore()
        self.lines = Lines(self)

    def room(self, **options: Any) -> Room:
        return Room(self.store, **options)

    def all_written(self) -> list[int]:
        return [number for chunk in self.written() for number in chunk]

    def written(self) -> list[list[int]]:
        """What each commit holds."""
        return [
            [number for batch in chunk for number in numbers(batch.payloads)] for chunk in self.store._chunks
        ]
