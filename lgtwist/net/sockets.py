"""Options of the socket below a transport, where there is one, and closing its writing half."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import lru_cache
from typing import Any

from lgtwist.net.tls import is_tls


def _tcp_socket(transport: Any) -> socket.socket | None:
    while is_tls(transport):
        transport = transport.transport
    handle = getattr(transport, "socket", None)
    if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
        return handle
    return None


@lru_cache(maxsize=8)
def _options(user_timeout: float, idle: float) -> tuple[tuple[int, int, int], ...]:
    wanted = (
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", max(1, int(idle))),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", int(user_timeout * 1000)),
    )
    return tuple(
        (level, getattr(socket, name), n) for level, name, n in wanted if n and hasattr(socket, name)
    )


def prepare(transport: Any, user_timeout: float, idle: float) -> None:
    """Set the options of a connection: small writes go at once, TCP itself finds a peer that is gone.

    :param user_timeout: TCP gives up after so many seconds in which bytes stay unacknowledged, or the peer's
        window shut (RFC 5482).
    :param idle: seconds without traffic before TCP sends keep-alive probes.
    """
    tcp = _tcp_socket(transport)
    if tcp is None:
        return
    for option in _options(user_timeout, idle):
        with suppress(OSError):  # gone already, or a value that this system does not take: the others count
            tcp.setsockopt(*option)


def close_writing(transport: Any) -> None:
    """Send what is written and then FIN, and go on reading. Over TLS: ``close_notify``, and TCP stays."""
    if is_tls(transport):
        transport.loseConnection()  # waits for the peer's part without end: who calls this has a deadline
    elif hasattr(transport, "loseWriteConnection"):
        transport.loseWriteConnection()
