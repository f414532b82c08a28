"""The HTTP clients that alerts are sent with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from lgtwist.alerts.interfaces import AlertSender
from lgtwist.alerts.settings import AlertSettings
from lgtwist.net.http_client import WebClient


class AlertClients:
    """Makes what sends alerts, and knows its clients until they are closed.

    :param reactor: network and clock.
    :param wall_clock: seconds since the epoch.
    """

    def __init__(self, reactor: Any, wall_clock: Callable[[], float]) -> None:
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._shared: WebClient | None = None
        self._clients: WeakSet[WebClient] = WeakSet()  # that of a removed entry goes with it

    def sender(self, settings: AlertSettings) -> AlertSender:
        """Return what sends the messages of one of ``[[alerts]]``; those without ``ca_file`` share one."""
        # Twisted's mail is imported only where somebody wants to be told of something.
        from lgtwist.alerts.senders import SenderResources, make_sender

        trust_root = settings.trust_root
        if trust_root is not None:
            client = WebClient(self._reactor, trust_root)
        else:
            client = self._shared = self._shared or WebClient(self._reactor)
        self._clients.add(client)
        resources = SenderResources(self._reactor, client, trust_root, self._wall_clock)
        return make_sender(settings, resources)

    def clients(self) -> list[WebClient]:
        """Return the clients of the present entries."""
        return list(self._clients)
