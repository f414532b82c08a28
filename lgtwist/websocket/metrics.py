"""Figures about WebSocket connections. See docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric

from lgtwist.runtime.figures import Reading, counters, gauges
from lgtwist.websocket.factory import ConnectionFactory

_GAUGES: list[Reading] = [
    ("connections", "WebSockets that are open", lambda f: len(f.connections)),
]
_COUNTERS: list[Reading] = [
    ("connections_opened", "WebSockets that were opened", lambda f: f.counters.opened),
    ("connections_closed", "Opened WebSockets that are over", lambda f: f.counters.closed),
    ("dead_peers", "Peers that were dropped for their silence", lambda f: f.counters.dead_peers),
    ("close_timeouts", "Peers that did not answer our close frame", lambda f: f.counters.close_timeouts),
    ("protocol_errors", "Peers that broke the WebSocket protocol", lambda f: f.counters.protocol_errors),
    ("send_failures", "Connections dropped for a failed send", lambda f: f.counters.send_failures),
    (
        "callback_failures",
        "Connections dropped for a fault of lgtwist",
        lambda f: f.counters.callback_failures,
    ),
]


def websocket_metrics(factories: Mapping[str, ConnectionFactory]) -> Iterator[Metric]:
    """Read the figures of connection factories.

    :param factories: by direction: ``in`` for connections that peers open, ``out`` for those that we open.
    """
    labelled = [([direction], factory) for direction, factory in factories.items()]
    yield from gauges(_GAUGES, ["direction"], labelled)
    yield from counters(_COUNTERS, ["direction"], labelled)
