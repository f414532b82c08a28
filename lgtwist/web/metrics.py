"""The mount ``metrics``: the metrics of all rooms in Prometheus' text format.

Names follow Prometheus' conventions; counters exist from zero on. See docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.web.server import Request

from lgtwist.net.http_responses import respond_with_bytes
from lgtwist.runtime.figures import Collect, Reading, counters, gauges
from lgtwist.runtime.logs import Logger
from lgtwist.web.authentication import Authentication
from lgtwist.web.connection_limits import ConnectionLimits
from lgtwist.web.health import SystemEndpoint

#: The content type of Prometheus' text format.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PORT_GAUGES: list[Reading] = [
    ("port_connections", "Connections to the listening ports", lambda p: p.open_connections),
]
_PORT_COUNTERS: list[Reading] = [
    ("port_accepted", "Connections that were accepted", lambda p: p.counters.accepted),
    ("port_turned_away", "Connections over limits.connections", lambda p: p.counters.turned_away),
    ("port_displaced", "Unfinished handshakes over limits.handshakes", lambda p: p.counters.displaced),
    ("port_handshake_timeouts", "Handshakes that took too long", lambda p: p.counters.handshake_timeouts),
    ("port_refused", "Requests refused for their token or signature", lambda p: p.counters.refused),
    ("port_limited", "Of these, told to wait", lambda p: p.counters.limited),
]


class MetricsRegistry(Collector):
    """Collects the metrics of the functions that are registered, and those of the process."""

    _log = Logger()

    def __init__(self) -> None:
        self._collectors: list[Collect] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def add(self, collect: Collect) -> Callable[[], None]:
        """Register a function that is called whenever metrics are read, after those that are registered.

        :returns: a function that removes it; call it once.
        """
        self._collectors.append(collect)
        return lambda: self._collectors.remove(collect)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what metrics there are is known only when they are read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the metrics of every registered function; log an exception of one, and go on."""
        for collect in tuple(self._collectors):
            try:
                families = list(collect())
            except Exception:
                self._log.failure("some metrics cannot be read")
            else:
                yield from families


def build_info(version: str) -> Iterator[Metric]:
    """Return the version of the service as a metric."""
    yield InfoMetricFamily("lgtwist_build", "This service", {"version": version})


def port_metrics(limits: ConnectionLimits) -> Iterator[Metric]:
    """Return the metrics of the listening ports."""
    yield from gauges(_PORT_GAUGES, [], [([], limits)])
    yield from counters(_PORT_COUNTERS, [], [([], limits)])


class MetricsEndpoint(SystemEndpoint):
    """Answers the operator with all metrics."""

    def __init__(self, authentication: Authentication, registry: MetricsRegistry) -> None:
        super().__init__(authentication)
        self._registry = registry

    def answer(self, request: Request) -> None:
        """Answer the operator with all metrics."""
        if self._authentication.authenticate_admin(request):
            respond_with_bytes(request, 200, CONTENT_TYPE, self._registry.text())
