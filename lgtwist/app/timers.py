"""What the service does again and again: each timer is named in the log if it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService

from lgtwist.runtime.tasks import log_failures


class Timers(MultiService):
    """The timers of the service, its children.

    :param reactor: the clock.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._sweeps: list[TimerService] = []

    def add(self, interval: float, name: str, tick: Callable[[], object]) -> TimerService:
        """Call a function every ``interval`` seconds; an exception in it is logged, and it goes on."""
        timer = TimerService(interval, log_failures(name, tick))
        timer.clock = self._reactor
        timer.setServiceParent(self)
        return timer

    def set_sweeps(self, interval: float, sweeps: Iterable[Callable[[], object]]) -> None:
        """Look at the liveness of connections every ``interval`` seconds from now on, and not as before."""
        for timer in self._sweeps:
            timer.disownServiceParent()
        self._sweeps = [self.add(interval, "liveness", sweep) for sweep in sweeps]
