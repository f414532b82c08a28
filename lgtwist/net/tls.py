"""Ending TLS without waiting for the peer, and naming its failures."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL


def is_tls(transport: Any) -> bool:
    """Return whether a transport is TLS around another one."""
    return hasattr(transport, "wrappedProtocol")


def end(transport: Any) -> None:
    """Send what is written, then close, as TCP does.

    Over TLS Twisted sends ``close_notify`` and then waits for the peer's, without a time limit. RFC 8446, 6.1
    requires ours to be sent, and not the peer's to be awaited.
    """
    transport.loseConnection()
    if is_tls(transport):
        transport.transport.loseConnection()


def tls_trouble(error: BaseException | None) -> str:
    """Return why TLS ended a connection, in one line; empty if it was not TLS."""
    if not isinstance(error, SSL.Error):
        return ""
    details = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reasons = [str(detail[-1]) for detail in details if detail and detail[-1]] or [type(error).__name__]
    return f"TLS: {', '.join(reasons)}"
