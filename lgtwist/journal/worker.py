"""A thread of one's own: jobs in order, each result handed back through the reactor."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

_Result = TypeVar("_Result")


class Worker(Protocol):
    """Does blocking work, one job after the other."""

    def do(self, job: Callable[[], _Result]) -> Deferred[_Result]:
        """Do a job; what it returns or raises comes in the reactor thread."""

    def run_waiting(self) -> None:
        """Do the jobs that wait; called by a long job, between two of its steps."""

    def stop(self) -> Deferred[None]:
        """Do what was asked for, then end."""


class Workers:
    """The two of a journal.

    :param make: makes a worker of a name.
    :ivar writer: does what writes.
    :ivar reader: does what only reads.
    """

    writer: Worker
    reader: Worker

    def __init__(self, make: Callable[[str], Worker]) -> None:
        self._make = make
        self._are_running = False

    def start(self) -> None:
        """Make them, if they are not there."""
        if not self._are_running:
            self._are_running = True
            self.writer, self.reader = map(self._make, ("journal-writer", "journal-reader"))

    def stop(self) -> Deferred[None]:
        """Let each do what it was asked for, then end."""
        if not self._are_running:
            return succeed(None)
        self._are_running = False
        return self.writer.stop().addCallback(lambda _none: self.reader.stop())


class ThreadWorker:
    """A worker with a thread.

    :param name: the thread's.
    :param call_from_thread: the reactor's ``callFromThread``.
    """

    def __init__(self, name: str, call_from_thread: Callable[..., object]) -> None:
        self._call = call_from_thread
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Deferred[Any]] | Deferred[None]] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], _Result]) -> Deferred[_Result]:
        """Do a job in the thread."""
        done: Deferred[_Result] = Deferred()
        self._jobs.put((job, done))
        return done

    def run_waiting(self) -> None:
        """Do the jobs that wait, in the thread; called by a long job, between two of its steps."""
        while True:
            try:
                wanted = self._jobs.get_nowait()
            except Empty:
                return
            if isinstance(wanted, Deferred):  # nothing comes behind it
                self._jobs.put(wanted)
                return
            self._do(*wanted)

    def stop(self) -> Deferred[None]:
        """Do what was asked for, then end the thread."""
        stopped: Deferred[None] = Deferred()
        self._jobs.put(stopped)
        return stopped

    def _run(self) -> None:
        while True:
            wanted = self._jobs.get()
            if isinstance(wanted, Deferred):
                self._call(wanted.callback, None)
                return
            self._do(*wanted)
            del wanted  # nothing of it is held until the next job comes

    def _do(self, job: Callable[[], Any], done: Deferred[Any]) -> None:
        result: Any = None
        try:
            result = job()
        except Exception:
            self._call(done.errback, Failure())
        else:
            self._call(done.callback, result)
