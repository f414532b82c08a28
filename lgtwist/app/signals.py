"""What the process does on a signal."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.application.service import Service


class Signals(Service):
    """SIGTERM and SIGINT stop in good order, with exit status 0; a second one ends at once.

    Twisted's own handlers make twistd end by the signal itself.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._stopping = False

    def startService(self) -> None:
        """Replace the reactor's handlers, once it has set them."""
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
