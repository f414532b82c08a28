"""Test cases that share what is slow to start.

trial knows no ``setUpClass``: the first test starts it, and the last one of those that were loaded ends it.
A worker of ``trial -j`` loads one test at a time, so there the next class ends it, or the end of the worker.
"""

from __future__ import annotations

import atexit
import sys
from abc import abstractmethod
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.running import Service

#: Whether this process is a worker of ``trial -j``.
IN_WORKER = Path(sys.argv[0]).name == "workertrial.py"

_loaded: Counter[type[SharedTestCase]] = Counter()


class SharedTestCase(SynchronousTestCase):
    """Tests of one class that share something, which each test must leave as good as it found it."""

    shared: ClassVar[Any] = None
    #: The class whose shared thing lives.
    _living: ClassVar[type[SharedTestCase] | None] = None

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        _loaded[type(self)] += 1

    @abstractmethod
    def start_shared(self, folder: Path) -> Any:
        """Start what is shared; it has a method ``end``, harmless when called twice."""

    def setUp(self) -> None:
        cls = type(self)
        self.addCleanup(self._count_down)
        living = SharedTestCase._living
        if living is not None and living is not cls:
            try:
                _end_shared(living)
            except AssertionError as error:
                raise AssertionError(
                    f"at the end of {living.__module__}.{living.__name__}: {error}"
                ) from error
        if cls.shared is None:
            cls.shared = self.start_shared(Path(self.mktemp()).absolute())
            atexit.register(cls.shared.end)  # in case the tests end before their time
        SharedTestCase._living = cls

    def _count_down(self) -> None:
        cls = type(self)
        _loaded[cls] -= 1
        if _loaded[cls] <= 0 and not IN_WORKER:
            _end_shared(cls)


def _end_shared(cls: type[SharedTestCase]) -> None:
    SharedTestCase._living = None
    cls.shared, shared = None, cls.shared
    if shared is not None:
        atexit.unregister(shared.end)
        shared.end()


class SharedService(Service):
    """A service that several tests use."""

    end = Service.clean_up


class SharedServiceTestCase(SharedTestCase):
    """Tests that share one service; its log must stay free of tracebacks."""

    toml = ""
    server = ""

    def start_shared(self, folder: Path) -> SharedService:
        return SharedService(folder, self.toml, self.server)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())
