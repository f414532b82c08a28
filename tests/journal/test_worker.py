"""Workers: one job after the other, results in the reactor thread."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lgtwist.journal.worker import ThreadWorker
from tests.journal.memory_store import InlineWorker


class ThreadWorkerTests(TestCase):
    def setUp(self) -> None:
        self.worker = ThreadWorker("a journal", reactor.callFromThread)  # type: ignore[attr-defined]
        self.addCleanup(self.worker.stop)

    async def test_in_a_thread_of_its_own(self) -> None:
        """Jobs run there, under its name; what comes of them is told here."""
        thread = await self.worker.do(threading.current_thread)
        self.assertIsNot(thread, threading.current_thread())
        self.assertEqual(thread.name, "a journal")
        self.assertIs(thread.daemon, True)
        told: list[Any] = []
        done = self.worker.do(lambda: None)
        done.addCallback(lambda _none: told.append(threading.current_thread()))
        await done
        self.assertEqual(told, [threading.current_thread()])

    async def test_order(self) -> None:
        """Jobs one after the other, results in the same order, whatever each does."""
        ran: list[int] = []
        told: list[int] = []

        def job(number: int) -> int:
            ran.append(number)
            if number % 3 == 0:
                raise ValueError(number)
            return number

        last: Deferred[None] | None = None
        for number in range(100):
            last = self.worker.do(lambda number=number: job(number))
            last.addErrback(lambda failure: failure.value.args[0])
            last.addCallback(told.append)
        assert last is not None
        await last
        self.assertEqual(ran, list(range(100)))
        self.assertEqual(told, list(range(100)))

    async def test_a_job_that_fails(self) -> None:
        """Its failure is told, and the next is done."""
        await self.assertFailure(self.worker.do(lambda: 1 // 0), ZeroDivisionError)
        self.assertEqual(await self.worker.do(lambda: 7), 7)

    async def test_a_job_that_nobody_waits_for_any_more(self) -> None:
        """It is done, and that nobody hears of it hurts nobody."""
        ran: list[int] = []
        done = self.worker.do(lambda: ran.append(1))
        done.addErrback(lambda _failure: None)
        done.cancel()
        await self.worker.do(lambda: None)
        self.assertEqual(ran, [1])

    async def test_stop(self) -> None:
        """What was asked for before is done; then the thread ends."""
        worker = ThreadWorker("another", reactor.callFromThread)  # type: ignore[attr-defined]
        thread = await worker.do(threading.current_thread)
        ran: list[int] = []
        for number in range(20):
            worker.do(lambda number=number: ran.append(number))
        await worker.stop()
        self.assertEqual(ran, list(range(20)))
        thread.join(5)
        self.assertFalse(thread.is_alive())

    async def test_nothing_is_held(self) -> None:
        """A result, a page perhaps, is not kept until the next job comes."""

        class Page:
            pass

        page = await self.worker.do(Page)
        seen = weakref.ref(page)
        del page
        for _ in range(500):
            gc.collect()
            if seen() is None:
                break
            await deferLater(reactor, 0.001)  # type: ignore[arg-type]
        self.assertIsNone(seen())


class InlineWorkerTests(SynchronousTestCase):
    def test_at_once(self) -> None:
        """The job is done before ``do`` returns."""
        worker = InlineWorker()
        self.assertEqual(self.successResultOf(worker.do(lambda: 7)), 7)
        self.failureResultOf(worker.do(lambda: 1 // 0), ZeroDivisionError)
        self.assertIsNone(self.successResultOf(worker.stop()))
