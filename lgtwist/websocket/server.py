"""Connections that peers open to us."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Any

from autobahn.twisted.util import peer2str
from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.interfaces import IReactorTime

from lgtwist.config.limits import Limits
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.websocket.autobahn_private import AutobahnServerConnection
from lgtwist.websocket.connection import Connection, Handler
from lgtwist.websocket.factory import OPTIONS, ConnectionFactory
from lgtwist.websocket.framing import server_frame, server_ping

#: What is hashed with the key into ``Sec-WebSocket-Accept`` (RFC 6455, 1.3).
_ACCEPT_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Server: lgtwist\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n%b\r\n"
)


class ServerConnection(Connection, AutobahnServerConnection):
    """A connection that a peer opened to us."""

    peer: Any
    masks = True
    encode = staticmethod(server_frame)
    encode_ping = staticmethod(server_ping)

    def connectionMade(self) -> None:
        """Begin: the transport is there."""
        self.peer = peer2str(self.transport)
        self.autobahn_made()

    def answer_handshake(self, key: str, subprotocol: str | None) -> None:
        """Answer the opening handshake, which was read and checked by others (RFC 6455, 4.2.2).

        No extension is agreed on.

        :param key: ``Sec-WebSocket-Key``.
        :param subprotocol: the one to agree on, a token (RFC 9110, 5.6.2); None for none.
        """
        proof = b64encode(sha1(key.encode() + _ACCEPT_MAGIC).digest())  # noqa: S324
        agreed = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode()
        self.autobahn_open(subprotocol)
        self.outbox.put_response(_SWITCHING % (proof, agreed))
        self.expect_flush()  # what onOpen sends waits behind it, and goes out in the same write
        self.onOpen()
        self.factory.flush_handshake(self)


class ServerFactory(ConnectionFactory, WebSocketServerFactory):
    """Makes the connections that peers open to us.

    :param scheduler: shared with other factories: one write for what one reads and another sends.
    """

    protocol: Any

    def __init__(self, limits: Limits, clock: IReactorTime, scheduler: FlushScheduler | None = None) -> None:
        WebSocketServerFactory.__init__(self, reactor=clock, server="lgtwist")
        self.setProtocolOptions(webStatus=False, **OPTIONS)
        self.connection_class: Any = ServerConnection.configured(self)
        self._set_up(limits, clock, scheduler)

    def make(self, handler: Handler) -> ServerConnection:
        """Return a new connection for ``handler``, not yet on a transport."""
        connection: ServerConnection = self.connection_class(self, handler)
        return connection

    def accept(self, connection: ServerConnection, key: str, subprotocol: str | None = None) -> None:
        """Answer the opening handshake of a connection that has its transport. Never raises.

        :param key: ``Sec-WebSocket-Key``.
        :param subprotocol: the one to agree on, a token (RFC 9110, 5.6.2); None for none.
        """
        self.guard(connection, ServerConnection.answer_handshake, key, subprotocol)
