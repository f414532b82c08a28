"""Which reactor runs, and by which clock."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime.reactor import use_monotonic_clock
from tests.processes import ROOT

#: What a child process prints: the class of the reactor, whether its clock is monotonic, how many lines.
REPORT = """
import time
from twisted.logger import globalLogPublisher
lines = []
globalLogPublisher.addObserver(lines.append)
from lgtwist.runtime.reactor import install_reactor
reactor = install_reactor()
from twisted.internet import reactor as installed
assert installed is reactor
print(type(reactor).__name__, abs(reactor.seconds() - time.monotonic()) < 60, len(lines))
reactor.callLater(0.05, reactor.stop)
reactor.run()
"""


def report(before: str = "") -> str:
    """What a process says in which something was done first."""
    run = subprocess.run(
        [sys.executable, "-c", before + REPORT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return run.stdout.strip()


class InstallTests(SynchronousTestCase):
    def test_nobody_chose_one(self) -> None:
        """Ours, on the monotonic clock."""
        self.assertEqual(report(), "MonotonicEPollReactor True 0")

    def test_no_epoll(self) -> None:
        """Twisted's default, on the monotonic clock."""
        without = "import sys; sys.modules['twisted.internet.epollreactor'] = None\n"
        self.assertEqual(report(without), "PollReactor True 0")

    def test_another_one(self) -> None:
        """What was chosen stays, and goes by the monotonic clock too."""
        for name, kind in (("select", "SelectReactor"), ("asyncio", "AsyncioSelectorReactor")):
            chosen = f"from twisted.internet import {name}reactor; {name}reactor.install()\n"
            self.assertEqual(report(chosen), f"{kind} True 0")

    def test_something_is_scheduled(self) -> None:
        """Then it keeps the wall clock, for that would come never; one line says so."""
        busy = "from twisted.internet import reactor; reactor.callLater(0, print, end='')\n"
        self.assertEqual(report(busy), "EPollReactor False 1")

    def test_our_modules_install_none(self) -> None:
        """Nothing that is imported before makes Twisted install its own."""
        for name in ("lgtwist.tap", "lgtwist.command", "lgtwist.app.start"):
            check = f"import sys, {name}; assert 'twisted.internet.reactor' not in sys.modules"
            subprocess.run([sys.executable, "-c", check], cwd=ROOT, timeout=60, check=True)


class ClockTests(SynchronousTestCase):
    def test_a_strange_reactor(self) -> None:
        """One whose clock cannot be replaced is left alone."""

        class Strange:
            __slots__ = ()

            def seconds(self) -> float:
                return 0.0

            def getDelayedCalls(self) -> list[Any]:
                return []

        self.assertFalse(use_monotonic_clock(Strange()))

    def test_replaced(self) -> None:
        """Nothing is scheduled: the clock is replaced."""
        clock = Clock()
        clock.callLater(5, int)
        self.assertFalse(use_monotonic_clock(clock))
        clock.advance(5)
        self.assertTrue(use_monotonic_clock(clock))
        self.assertLess(abs(clock.seconds() - time.monotonic()), 60)
