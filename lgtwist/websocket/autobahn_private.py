"""Everything of Autobahn that is private and used here. No other module names it (there is a test).

What is reached into, and why:

- ``_dataReceived``, ``_connectionLost``, ``_connectionMade``: Autobahn's own parts of what Twisted calls,
  without its logging and without what it gathers for WAMP; ours come before them.
- ``_fail_connection``: Autobahn's one way out for each breach of the protocol.
- ``_closeConnection``: how TCP ends; Autobahn's would wait for TLS, or reset.
- ``CONFIG_ATTRS``: the names of the protocol options.
- ``_transport_details``: only declared, for two of Autobahn's bases declare it differently.

Without an underscore, but undocumented, are the attributes that our subclasses read on their hot path, or
set where we answer the opening handshake ourselves: ``data``, ``state``, ``current_frame``,
``inside_message``, ``wasClean``, ``websocket_version``, ``websocket_protocol_in_use``,
``websocket_extensions_in_use``, ``consumeData``, ``processData``, ``sendCloseFrame``.

Autobahn's masker in C is asked for in :mod:`lgtwist.websocket.masking`, which tries it before it uses it.

Tried with the versions that ``tests/websocket/test_autobahn_private.py`` names.
"""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import (
    WebSocketAdapterProtocol,
    WebSocketClientProtocol,
    WebSocketServerProtocol,
)
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.python.failure import Failure

from lgtwist.net.tls import end
from lgtwist.runtime.logs import Logger


class _AutobahnLog:
    """Autobahn's logger, without the lines that repeat what we log ourselves in one line."""

    _errors = Logger("autobahn")

    def debug(self, *args: object, **kwargs: object) -> None:
        """Discard the line: there are several for each message."""

    trace = info = warn = debug

    def error(self, format: str = "", **kwargs: Any) -> None:
        """Log what Autobahn did not expect. Its format may be any text, also an error's."""
        try:
            text = format.format_map(kwargs)
        except Exception:
            text = format
        self._errors.error("{text}", text=text)

    critical = failure = error


class AutobahnConnection(WebSocketAdapterProtocol, WebSocketProtocol):
    """Autobahn's protocol, of either side, with public names for what we need of its inside."""

    transport: Any
    peer: Any
    _transport_details: Any
    log = _AutobahnLog()

    @classmethod
    def configured(cls, factory: Any) -> Any:
        """Return a subclass with a factory's protocol options as its own attributes.

        Autobahn would copy each of them into each connection, and format all of them for a log line.
        """
        protocol: Any = cls
        options = {name: getattr(factory, name) for name in protocol.CONFIG_ATTRS}
        return type(cls.__name__, (cls,), {**options, "CONFIG_ATTRS": (), "__doc__": cls.__doc__})

    # -- Autobahn's own part of what Twisted calls

    def autobahn_read(self, data: bytes) -> None:
        """Let Autobahn parse bytes that were received."""
        self._dataReceived(data)

    def autobahn_lost(self, reason: Failure) -> None:
        """Let Autobahn end; it calls ``onClose``."""
        end_of_autobahn: Any = self._connectionLost  # its hint says that a reason is a str
        end_of_autobahn(reason)

    def _fail_connection(self, code: int = 1002, reason: str = "protocol error") -> None:
        self.protocol_broken(code, reason)

    def protocol_broken(self, code: int, reason: str) -> None:
        """End the connection: Autobahn found a breach of the protocol (RFC 6455, 7.1.7)."""
        raise NotImplementedError

    def _closeConnection(self, abort: bool = False) -> None:
        # After a clean closing handshake a reset would take our close frame from the peer's buffer.
        if abort and not self.wasClean:
            super()._closeConnection(abort)
        else:
            self.transport.unregisterProducer()  # TLS does not end while it has one
            end(self.transport)


class AutobahnServerConnection(AutobahnConnection, WebSocketServerProtocol):
    """The same for connections that a peer opened, whose opening handshake is read by others."""

    peer: Any
    _transport_details: Any

    def autobahn_made(self) -> None:
        """Let Autobahn begin. Its own way gathers much for logs and for WAMP besides."""
        WebSocketProtocol._connectionMade(self)

    def autobahn_open(self, subprotocol: str | None = None) -> None:
        """Put Autobahn into the state behind the opening handshake: no extension."""
        self.websocket_version = 13
        self.websocket_protocol_in_use = subprotocol
        self.websocket_extensions_in_use: list[Any] = []
        self.state = self.STATE_OPEN
        self.inside_message = False
        self.current_frame: Any = None

    def _connectionLost(self, reason: Any) -> None:
        WebSocketProtocol._connectionLost(self, reason)


class AutobahnClientConnection(AutobahnConnection, WebSocketClientProtocol):
    """The same for connections that we opened."""

    peer: Any
    _transport_details: Any

    def autobahn_made(self) -> None:
        """Let Autobahn send the opening handshake."""
        WebSocketAdapterProtocol.connectionMade(self)
