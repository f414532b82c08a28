"""How late the reactor is."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from twisted.internet.interfaces import IReactorTime


class ReactorLag:
    """Measures how much too late a timer is called: the worst of the last while.

    :param interval: seconds between two calls of :meth:`tick`.
    :param memory: ticks after which a lateness is forgotten, at the latest twice as many.
    """

    def __init__(self, clock: IReactorTime, interval: float = 0.25, memory: int = 60) -> None:
        self.interval = interval
        self._clock = clock
        self._memory = memory
        self._before = clock.seconds()
        self._worst = self._worst_before = 0.0
        self._ticks = 0

    def tick(self) -> None:
        """Measure; call this each ``interval``."""
        now = self._clock.seconds()
        self._worst = max(self._worst, now - self._before - self.interval)
        self._before = now
        self._ticks += 1
        if self._ticks >= self._memory:
            self._worst_before, self._worst, self._ticks = self._worst, 0.0, 0

    @property
    def worst(self) -> float:
        """The worst lateness in seconds."""
        return max(self._worst, self._worst_before)

    def metrics(self) -> Iterator[Metric]:
        """Return the worst lateness as a gauge."""
        family = GaugeMetricFamily(
            "lgtwist_reactor_lag_seconds", "Worst lateness of a timer in the last 15 to 30 s"
        )
        family.add_metric([], self.worst)
        yield family
