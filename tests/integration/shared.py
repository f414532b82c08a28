"""Test cases that share what is slow to start.

trial knows no ``setUpClass``: the first test starts it, and the last one of those that were loaded ends it.
"""

from __future__ import annotations

import atexit
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.running import Service


class SharedTestCase(SynchronousTestCase):
    """Tests of one class that share something, which each test must leave as good as it found it."""

    shared: ClassVar[Any] = None
    _left: ClassVar[int] = 0

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        type(self)._left += 1

    @abstractmethod
    def start_shared(self, folder: Path) -> Any:
        """Start what is shared; it has a method ``end``, harmless when called twice."""

    def setUp(self) -> None:
        cls = type(self)
        self.addCleanup(self._count_down)
        if cls.shared is None:
            cls.shared = self.start_shared(Path(self.mktemp()).absolute())
            atexit.register(cls.shared.end)  # in case the tests end before their time

    def _count_down(self) -> None:
        cls = type(self)
        cls._left -= 1
        if cls._left <= 0 and cls.shared is not None:
            cls.shared, shared = None, cls.shared
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
