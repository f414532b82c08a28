"""The figures and reasons that the parts of the service bring to ``/metrics`` and ``/readyz``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lgtwist import __version__
from lgtwist.accounts.milky.figures import MILKY_FIGURES
from lgtwist.app.at_least_once import AtLeastOnce
from lgtwist.app.edge_tree import EdgeTree
from lgtwist.hub.metrics import account_metrics, accounts_down, bot_metrics, delivery_metrics
from lgtwist.journal.metrics import journal_metrics
from lgtwist.web.health import Readiness
from lgtwist.web.metrics import MetricsRegistry, build_info, port_metrics
from lgtwist.web.port import Port
from lgtwist.websocket.metrics import websocket_metrics


def register_metrics(
    metrics: MetricsRegistry,
    readiness: Readiness,
    *,
    edges: EdgeTree,
    at_least_once: AtLeastOnce,
    factories: Mapping[str, Any],
    port: Port,
) -> None:
    """Register what is counted, and why the service may not be ready.

    :param factories: of WebSocket connections, by their direction: ``in`` and ``out``.
    """
    add, directory = metrics.add, edges.directory
    add(lambda: build_info(__version__))
    add(lambda: account_metrics(directory, edges.account_edge, MILKY_FIGURES.values()))
    add(lambda: bot_metrics(directory, edges.bot_edge))
    add(lambda: delivery_metrics(directory))
    add(lambda: journal_metrics(at_least_once.journal, directory.accounts))
    add(lambda: websocket_metrics(factories))
    add(lambda: port_metrics(port.connection_limits))
    add(port.refused_handshakes.metrics)
    readiness.add(lambda: accounts_down(directory))
    readiness.add(at_least_once.reasons)
