"""What systemd is told, on a real datagram socket."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.sd_notify import SystemdNotifier, send_state, watchdog_interval


class Reactor(Clock):
    """A clock that runs at once, and keeps its triggers for the end."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[Callable[[], object]] = []

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        call()

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], object]) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(call)


class NotifyTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()  # a socket's path is short
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "notify")
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.systemd.close)
        self.systemd.bind(self.path)
        self.systemd.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": self.path}

    def heard(self) -> list[list[str]]:
        """The datagrams that came, each by its lines."""
        found = []
        while True:
            try:
                found.append(self.systemd.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return found


class Datagrams(NotifyTestCase):
    def test_one_datagram(self) -> None:
        """All assignments are one datagram."""
        self.assertTrue(send_state(self.environment, "READY=1", "STATUS=héllo"))
        self.assertEqual(self.heard(), [["READY=1", "STATUS=héllo"]])

    def test_abstract(self) -> None:
        """An address that begins with @ is an abstract one."""
        name = f"lgtwist-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(f"\0{name}")
            self.assertTrue(send_state({"NOTIFY_SOCKET": f"@{name}"}, "READY=1"))
            self.assertEqual(systemd.recv(4096), b"READY=1")

    def test_nobody_asks(self) -> None:
        """Without a socket, with a wrong one, or with a full one, nothing is sent and nothing raised."""
        for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"},
                            {"NOTIFY_SOCKET": self.path + "-gone"}):  # fmt: skip
            self.assertFalse(send_state(environment, "READY=1"))
        self.assertFalse(all(send_state(self.environment, "X" * 1000) for _ in range(10_000)))

    def test_watchdog(self) -> None:
        """Half of the time that WatchdogSec= allows, for the process that it is about."""
        self.assertEqual(watchdog_interval({"WATCHDOG_USEC": "120000000"}, 7), 60.0)
        self.assertEqual(watchdog_interval({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 7), 1.5)
        for other in ({}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"},
                      {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}):  # fmt: skip
            self.assertIsNone(watchdog_interval(other, 7))


class Notifier(NotifyTestCase):
    def test_life(self) -> None:
        """Ready, reloading, ready, stopping; after that a reload that ends late says nothing."""
        reactor = Reactor()
        notifier = SystemdNotifier(reactor, lambda: "accounts: 2, bots: 1", self.environment)
        notifier.startService()
        self.assertEqual(self.heard(), [["READY=1", "STATUS=accounts: 2, bots: 1"]])
        notifier.reloading()
        [[reloading, usec]] = self.heard()
        self.assertEqual(reloading, "RELOADING=1")
        self.assertRegex(usec, r"\AMONOTONIC_USEC=[1-9][0-9]*\Z")
        notifier.ready()
        self.assertEqual(self.heard(), [["READY=1", "STATUS=accounts: 2, bots: 1"]])
        [stopping] = reactor.triggers
        stopping()
        self.assertEqual(self.heard(), [["STOPPING=1", "STATUS=stopping"]])
        notifier.ready()
        notifier.stopService()
        self.assertEqual(self.heard(), [])
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_watchdog(self) -> None:
        """The watchdog is told of life twice in its time, and not after the end."""
        reactor = Reactor()
        environment = {**self.environment, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}
        notifier = SystemdNotifier(reactor, str, environment)
        notifier.startService()
        self.heard()
        reactor.pump([5.0, 5.0])
        self.assertEqual(self.heard(), [["WATCHDOG=1"], ["WATCHDOG=1"]])
        notifier.stopService()
        reactor.pump([5.0, 5.0])
        self.assertEqual((self.heard(), reactor.getDelayedCalls()), ([], []))
