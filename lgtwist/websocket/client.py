"""Connections that we open to peers. See :mod:`lgtwist.websocket.dial` for what makes them."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import field, frozen
from autobahn.twisted.websocket import WebSocketClientFactory
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.interfaces import IReactorTime

from lgtwist.config.limits import Limits
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.websocket.autobahn_private import AutobahnClientConnection
from lgtwist.websocket.connection import Connection, Handler
from lgtwist.websocket.factory import OPTIONS, ConnectionFactory
from lgtwist.websocket.framing import client_frame, client_ping
from lgtwist.websocket.phase import Phase

#: A longer head of an answer to our opening handshake is refused (bytes).
_MAX_HANDSHAKE_HEAD = 65_536
#: Characters of the shortest token that is left out of a peer's words: others are in many words.
_SHORTEST_SECRET = 4


@frozen
class Request:
    """What an opening handshake of ours asks for (RFC 6455, 4.1).

    :ivar host: as it stands in ``Host``: an IPv6 address in brackets.
    :ivar resource: path and query.
    :ivar headers: beside those of every handshake; they may hold a token.
    """

    host: str
    port: int
    resource: str = field(repr=False)
    headers: dict[str, str] = field(factory=dict, repr=False)


class Caller(Protocol):
    """Who dialled a connection, and is told how it goes. Must not raise."""

    def connected(self) -> None:
        """Take note that the WebSocket is open."""

    def failed(self, reason: str) -> None:
        """Take note that the connection is over and never was open."""

    def disconnected(self) -> None:
        """Take note that the connection was open and is over."""


class ClientConnection(Connection, AutobahnClientConnection):
    """A connection that we opened to a peer.

    :ivar request: what the opening handshake asks for.
    :ivar caller: who dialled.
    """

    factory: ClientFactory
    peer: Any

    def __init__(self, factory: Any, handler: Handler, request: Request, caller: Caller) -> None:
        super().__init__(factory, handler)
        self.request = request
        self.caller = caller

    masks = False
    encode = staticmethod(client_frame)
    encode_ping = staticmethod(client_ping)

    def connectionMade(self) -> None:
        """Begin the opening handshake: TCP is there."""
        self.factory.guard(self, self.factory.dialled)

    def onConnecting(self, _details: Any) -> ConnectingRequest:
        """Return what the opening handshake asks for."""
        wanted = self.request
        return ConnectingRequest(
            host=wanted.host,
            port=wanted.port,
            resource=wanted.resource,
            headers=dict(wanted.headers),
            useragent=self.factory.useragent,
        )

    def processHandshake(self) -> Any:
        """Read the peer's answer. Autobahn raises for some malformed ones, and waits for endless ones."""
        head, mark, _rest = self.data.partition(b"\r\n\r\n")
        if not mark:
            return (
                self.failHandshake("no answer to the handshake") if len(head) > _MAX_HANDSHAKE_HEAD else False
            )
        try:
            return super().processHandshake()
        except Exception:
            return self.failHandshake("not an answer to a WebSocket handshake")

    def without_secrets(self, words: str) -> str:
        """Return a peer's words with ``***`` in place of the token that we showed it."""
        token = self.request.headers.get("Authorization", "").rpartition(" ")[2]
        return words.replace(token, "***") if len(token) >= _SHORTEST_SECRET else words

    def failHandshake(self, reason: str) -> Any:
        """Abort: the peer refuses, or its answer is malformed."""
        status = self.data[:200].split(b"\r\n", 1)[0].split(b" ", 2)
        if len(status) > 1 and status[0].startswith(b"HTTP/") and status[1] != b"101":
            reason = b" ".join((b"refused with HTTP", *status[1:])).decode("utf-8", "replace")
            reason = self.without_secrets(reason)
        elif "Sec-WebSocket-Accept bogus" in reason:  # it names the key, another each time
            reason = "its answer to the handshake has a wrong Sec-WebSocket-Accept"
        self.factory.abort(self, reason)
        return False


class ClientFactory(ConnectionFactory, WebSocketClientFactory):
    """Makes the connections that we open to peers.

    :param user_agent: what the handshakes say of us.
    :param scheduler: shared with other factories, as the server's.
    """

    protocol: Any

    def __init__(
        self, limits: Limits, clock: IReactorTime, user_agent: str, scheduler: FlushScheduler | None = None
    ) -> None:
        WebSocketClientFactory.__init__(self, reactor=clock, useragent=user_agent)
        # 0: who closed in good order and leaves TCP open has close_timeout for that, as everybody.
        self.setProtocolOptions(serverConnectionDropTimeout=0, **OPTIONS)
        self.connection_class: Any = ClientConnection.configured(self)
        self._set_up(limits, clock, scheduler)

    def make(self, handler: Handler, request: Request, caller: Caller) -> ClientConnection:
        """Return a new connection for ``handler``, not yet on a transport."""
        connection: ClientConnection = self.connection_class(self, handler, request, caller)
        return connection

    def dialled(self, connection: ClientConnection) -> None:
        """Send the opening handshake; the peer has ``handshake_timeout`` to answer it."""
        connection.set_deadline(self.limits.handshake_timeout, self._handshake_timed_out)
        connection.autobahn_made()

    def _handshake_timed_out(self, connection: Connection) -> None:
        self.abort(connection, f"no answer to the handshake within {self.limits.handshake_timeout:g} s")

    def opened(self, connection: Connection) -> None:
        """Enter OPEN: the opening handshake is done."""
        assert isinstance(connection, ClientConnection)
        connection.caller.connected()
        super().opened(connection)

    def closed(self, connection: Connection, code: int | None, reason: str | None) -> None:
        """Enter CLOSED, whether it was open or not, and tell who dialled."""
        assert isinstance(connection, ClientConnection)
        if connection.phase is Phase.CLOSED:
            return
        never_open = connection not in self.connections
        super().closed(connection, code, reason)
        if never_open:
            connection.caller.failed(connection.end_reason or "closed before the handshake was answered")
        else:
            connection.caller.disconnected()
