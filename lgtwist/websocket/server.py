"""Connections that peers open to us."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IReactorTime

from lgtwist.websocket.connection import Connection, Handler
from lgtwist.websocket.factory import OPTIONS, ConnectionFactory, WireLimits
from lgtwist.websocket.framing import server_frame, server_ping
from lgtwist.websocket.turns import Turns


class ServerConnection(Connection, WebSocketServerProtocol):
    """A connection that a peer opened to us."""

    peer: Any
    _transport_details: Any

    masks = True
    encode = staticmethod(server_frame)
    encode_ping = staticmethod(server_ping)

    def autobahn_accept(self, key: str) -> None:
        """Answer the opening handshake: the request was read and judged by others.

        :param key: ``Sec-WebSocket-Key``.
        """
        self._wskey = key
        self.websocket_version = 13
        self.websocket_protocols: list[str] = []
        self.websocket_extensions: list[Any] = []
        self.succeedHandshake(None)


class ServerFactory(ConnectionFactory, WebSocketServerFactory):
    """Makes the connections that peers open to us.

    :param turns: shared with other factories, so that what one reads and another writes goes out together.
    """

    protocol: Any

    def __init__(self, limits: WireLimits, clock: IReactorTime, turns: Turns | None = None) -> None:
        WebSocketServerFactory.__init__(self, reactor=clock, server="lgtwist")
        self.setProtocolOptions(webStatus=False, **OPTIONS)
        self._connection: Any = ServerConnection.configured(self)
        self._begin(limits, clock, turns)

    def make(self, handler: Handler) -> ServerConnection:
        """A new connection in front of ``handler``, not yet on a transport."""
        connection: ServerConnection = self._connection(
            handler, self.limits.send_buffer, self.limits.max_message
        )
        connection.factory = self
        return connection

    def accept(self, connection: ServerConnection, key: str) -> None:
        """Answer the opening handshake of a connection that has its transport. Never raises.

        :param key: ``Sec-WebSocket-Key``.
        """
        self.guard(connection, ServerConnection.autobahn_accept, key)
