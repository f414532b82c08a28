"""What is asked of the socket below a transport, where there is one."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import lru_cache
from typing import Any

from OpenSSL import SSL
from twisted.internet import tcp
from twisted.protocols.tls import BufferingTLSTransport

from lgtwist.net.tls import is_tls

#: Twisted's transports whose buffers are known here.
_PLAIN = (tcp.Server, tcp.Client)
#: So much is encrypted at once, in one record of TLS (bytes; a record has at most 16 KiB, RFC 8446, 5.1).
_SMALL = 4096


def _tcp_socket(transport: Any) -> socket.socket | None:
    while is_tls(transport):
        transport = transport.transport
    handle = getattr(transport, "socket", None)
    if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
        return handle
    return None


def send_now(transport: Any, data: bytes) -> int:
    """Hand bytes to the kernel without waiting for the reactor's turn; how many it took, perhaps none.

    That is only right where nothing waits before them. It looks at what Twisted keeps to itself, so it
    does so for TCP and TLS as Twisted makes them and for nothing else; what it did not take goes through
    ``transport.write``, which also finds out about errors.
    """
    if type(transport) not in _PLAIN:
        return _encrypt_now(transport, data) if type(transport) is BufferingTLSTransport else 0
    if not transport.connected or transport.disconnecting:
        return 0
    if transport.dataBuffer or transport._tempDataBuffer or transport._writeDisconnecting:
        return 0
    if transport.TLS or transport._aborting:
        return 0
    try:
        return int(transport.socket.send(data))
    except OSError:  # full, or broken
        return 0


def _encrypt_now(transport: Any, data: bytes) -> int:
    """The same over TLS, where Twisted takes a turn of the reactor to encrypt and another one to send.

    For what is small; larger writes are better off with one wake-up of the peer for all their records.
    """
    if len(data) > _SMALL or transport.disconnecting:
        return 0
    taken = 0
    try:
        if transport._lostTLSConnection or not transport._handshakeDone:
            return 0
        if transport._aggregator._buffer or transport._appSendBuffer:
            return 0
        below, connection = transport.transport, transport._tlsConnection
        taken = int(connection.send(data))
        record = connection.bio_read(8 * _SMALL)
    except AttributeError:  # another Twisted
        return 0
    except SSL.Error:  # Twisted meets it too, and knows what to do
        return taken
    sent = send_now(below, record)
    if sent < len(record):
        below.write(record[sent:])
    return taken


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
    """Send small frames at once, and let TCP itself find a peer that is gone (RFC 5482).

    :param user_timeout: after so many seconds in which bytes stay unacknowledged, or the peer's window
        shut, TCP gives up.
    :param idle: seconds without traffic before TCP asks by itself.
    """
    tcp = _tcp_socket(transport)
    if tcp is None:
        return
    for option in _options(user_timeout, idle):
        with suppress(OSError):  # gone already, or a value that this system does not take: the others count
            tcp.setsockopt(*option)


def close_writing(transport: Any) -> None:
    """Send what is written and then FIN, and go on reading. Over TLS: the end of TLS, and TCP stays."""
    if is_tls(transport):
        transport.loseConnection()  # waits for the peer's part without end: who calls this has a deadline
    elif hasattr(transport, "loseWriteConnection"):
        transport.loseWriteConnection()
