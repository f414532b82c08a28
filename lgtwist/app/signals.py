"""The process's signal handlers."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.application.service import Service


class Signals(Service):
    """Stops the reactor on SIGTERM and SIGINT, so that the exit status is 0; a second one ends the process.

    With Twisted's own handlers twistd would end by the signal itself.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._stopping = False

    def startService(self) -> None:
        """Replace the reactor's signal handlers when it runs: it sets its own before."""
        super().startService()
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: object) -> None:
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True
        self._reactor.callFromThread(self._reactor.stop)
