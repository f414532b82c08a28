"""Tell systemd how the service is, by datagrams (sd_notify(3)); nothing is sent where none asks."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import Service

#: The variable that names systemd's socket: a path, or an abstract name after ``@``.
NOTIFY_SOCKET = "NOTIFY_SOCKET"
#: The microseconds after which systemd ends a service that is silent, and the process that this is about.
WATCHDOG_USEC, WATCHDOG_PID = "WATCHDOG_USEC", "WATCHDOG_PID"


def send_state(environment: Mapping[str, str], *assignments: str) -> bool:
    """Send assignments such as ``READY=1`` to systemd.

    :returns: whether they were sent. Where nobody listens, or cannot take more, they are dropped.
    """
    address = environment.get(NOTIFY_SOCKET, "")
    family = getattr(socket, "AF_UNIX", None)
    if family is None or not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(address)
            client.send("\n".join(assignments).encode("utf-8", "replace"))
    except OSError:
        return False
    return True


def watchdog_interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Return the seconds between two signs of life: half of what ``WatchdogSec=`` allows; None without it."""
    said = environment.get(WATCHDOG_USEC, "")
    if not (said.isascii() and said.isdecimal()) or int(said) == 0:
        return None
    if environment.get(WATCHDOG_PID, str(pid)) != str(pid):
        return None
    return int(said) / 2e6


class SystemdNotifier(Service):
    """Says ``READY=1`` when the reactor runs, and what happens later.

    :param reactor: the clock of the watchdog, and what is stopped.
    :param status: returns what ``systemctl status`` shows.
    :param environment: of the process.
    """

    def __init__(
        self, reactor: Any, status: Callable[[], str], environment: Mapping[str, str] = os.environ
    ) -> None:
        self._reactor = reactor
        self._status = status
        self._environment = environment
        self._watchdog: TimerService | None = None
        self._stopping = False

    def startService(self) -> None:
        """Say that the service is ready, once it serves; from then on tell the watchdog that it lives."""
        super().startService()
        self._reactor.callWhenRunning(self.ready)
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stopping)
        interval = watchdog_interval(self._environment, os.getpid())
        if interval is not None:
            self._watchdog = TimerService(interval, send_state, self._environment, "WATCHDOG=1")
            self._watchdog.clock = self._reactor
            self._watchdog.startService()

    def stopService(self) -> Any:
        """Tell the watchdog nothing more."""
        super().stopService()
        return None if self._watchdog is None else self._watchdog.stopService()

    def ready(self) -> None:
        """Say that the start, or a reload, is complete; nothing once the service stops."""
        if not self._stopping:
            send_state(self._environment, "READY=1", f"STATUS={self._status()}")

    def reloading(self) -> None:
        """Say that the configuration is read again; :meth:`ready` must follow."""
        now = time.monotonic_ns() // 1000  # Linux: of CLOCK_MONOTONIC, as systemd wants it
        send_state(self._environment, "RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Say that the service stops."""
        self._stopping = True
        send_state(self._environment, "STOPPING=1", "STATUS=stopping")
