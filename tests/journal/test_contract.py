"""The contract of a journal: in memory, and in a file with real threads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.journal.report import report
from lgtwist.journal.sqlite import SqliteStore
from lgtwist.journal.worker import ThreadWorker
from tests.journal.contract import JournalContract, Limits, Refused
from tests.journal.fakes import BEGIN
from tests.journal.memory_store import InlineWorker, MemoryStore


class StoredJournal(JournalContract, TestCase):
    """Journals on a store, on a clock of their own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store: Any = self.make_store()
        self.journals: list[Journal] = []
        self.workers: list[Any] = []
        self.addCleanup(self.close_all)

    def make_store(self) -> Any:
        raise NotImplementedError

    def make_worker(self, name: str) -> Any:
        raise NotImplementedError

    async def close_all(self) -> None:
        for journal in tuple(self.journals):
            await self.close_journal(journal)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def make_journal(self, limits: Limits) -> Any:
        def make(name: str) -> Any:
            self.workers.append(self.make_worker(name))
            return self.workers[-1]

        kept = JournalLimits(retention=limits.retention, tail=limits.memory, page=limits.page)
        journal = Journal(self.store, make, self.clock, self.wall, limits=kept)
        self.journals.append(journal)
        return journal

    def wall(self) -> float:
        return BEGIN + self.clock.seconds()

    def start_journal(self, journal: Any, pairs: Iterable[tuple[str, int]]) -> None:
        journal.start(pairs)

    async def close_journal(self, journal: Any) -> None:
        self.journals.remove(journal)
        await journal.close()
        self.workers.clear()

    async def sleep(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while True:
            for _ in range(3):
                for worker in self.workers:
                    await worker.do(lambda: None)
                self.clock.advance(0.001)
            if self.clock.seconds() >= end:
                return
            self.clock.advance(min(0.5, end - self.clock.seconds()))


class MemoryJournalTests(StoredJournal):
    """In memory, done at once."""

    def make_store(self) -> Any:
        return MemoryStore()

    def make_worker(self, name: str) -> Any:
        return InlineWorker()

    async def crash_journal(self, journal: Any) -> None:
        self.journals.remove(journal)
        self.workers.clear()
        now = self.clock.seconds()
        self.clock = Clock()  # nothing of it happens any more
        self.clock.advance(now)

    async def list_of_refused(self) -> list[Refused]:
        return [
            Refused(one.bot, one.account, one.position, one.reason, one.size) for one in self.store.refusals
        ]


class SqliteJournalTests(StoredJournal):
    """In a file, with threads."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        super().setUp()

    def make_store(self) -> Any:
        return SqliteStore(self.folder / "journal.sqlite", full=False)

    def make_worker(self, name: str) -> Any:
        return ThreadWorker(name, reactor.callFromThread)  # type: ignore[attr-defined]

    async def crash_journal(self, journal: Any) -> None:
        """What is in the files now is copied, and the next is opened on that."""
        copies = self.folder / "after"
        copies.mkdir()
        for ending in ("", "-wal"):
            shutil.copy(self.folder / f"journal.sqlite{ending}", copies / f"journal.sqlite{ending}")
        await self.close_journal(journal)
        self.folder = copies
        self.store = self.make_store()

    async def list_of_refused(self) -> list[Refused]:
        refused = report(self.folder / "journal.sqlite").refused
        return [Refused(one.bot, one.account, one.position, one.reason, one.size) for one in refused]


del StoredJournal
