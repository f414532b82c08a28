"""From an HTTP request to a WebSocket connection (RFC 6455, 4.2)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from attrs import frozen
from twisted.protocols.policies import ProtocolWrapper
from twisted.web.http import Request

from lgtwist.net.twisted_private import take_read_ahead
from lgtwist.websocket.server import ServerConnection


@frozen
class BadUpgrade:
    """Why a request cannot become a WebSocket, as an HTTP answer.

    :ivar status: the HTTP status.
    :ivar sentence: the body, for people.
    :ivar headers: beside those of every answer.
    """

    status: int
    sentence: str
    headers: tuple[tuple[str, str], ...] = ()


#: The name of a subprotocol (RFC 6455, 4.1; RFC 9110, 5.6.2). No program has one of more characters.
_SUBPROTOCOL = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
#: What to set where a proxy has removed a part of the handshake.
_PROXY_HINT = (
    "did a proxy remove it? nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    "proxy_set_header Connection upgrade;"
)


def _list_members(request: Request, header: str) -> list[str]:
    """Return the members of a header that is a list, with their case."""
    values = request.requestHeaders.getRawHeaders(header, [])
    return [member.strip() for value in values for member in value.split(",")]


def _tokens(request: Request, header: str) -> set[str]:
    return {value.lower() for value in _list_members(request, header)}


def asks_for_upgrade(request: Request) -> bool:
    """Return whether the request asks to become a WebSocket."""
    return request.requestHeaders.hasHeader(b"upgrade") and "websocket" in _tokens(request, "upgrade")


def lost_upgrade(request: Request) -> BadUpgrade | None:
    """Return the answer to what was an opening handshake until a proxy removed ``Upgrade``.

    :param request: one that does not ask for an upgrade.
    :returns: None if it was none: it has no ``Sec-WebSocket-Key`` either.
    """
    if not request.requestHeaders.hasHeader("sec-websocket-key"):
        return None
    sentence = f'the header "Upgrade: websocket" is missing; {_PROXY_HINT}'
    return BadUpgrade(426, sentence, (("Upgrade", "websocket"), ("Connection", "Upgrade")))


def offered_subprotocol(request: Request) -> str | None:
    """Return the first subprotocol that an opening handshake offers; None if it offers none.

    It is agreed on, whatever it is: browsers, and libraries like them, give up a connection for which they
    offered some and none was chosen.
    """
    first = next(filter(None, _list_members(request, "sec-websocket-protocol")), "")
    return first if _SUBPROTOCOL.fullmatch(first) else None


def _has_body(request: Request) -> bool:
    lengths = request.requestHeaders.getRawHeaders(b"content-length", [])
    return any(length.strip(b"0") for length in lengths)


def check_upgrade(request: Request) -> BadUpgrade | None:
    """Return what is wrong with an opening handshake (RFC 6455, 4.2.1); None if nothing is."""
    if request.method != b"GET" or request.clientproto != b"HTTP/1.1":
        sentence = "a WebSocket handshake is a GET of HTTP/1.1"
        if request.method == b"GET" and request.requestHeaders.hasHeader("sec-websocket-key"):
            sentence = f"{sentence}; {_PROXY_HINT.replace('remove', 'change')}"
        return BadUpgrade(400, sentence)
    if "upgrade" not in _tokens(request, "connection"):
        return BadUpgrade(400, f'the header "Connection: Upgrade" is missing; {_PROXY_HINT}')
    if request.requestHeaders.getRawHeaders("sec-websocket-version") != ["13"]:
        return BadUpgrade(426, "Sec-WebSocket-Version must be 13", (("Sec-WebSocket-Version", "13"),))
    keys = request.requestHeaders.getRawHeaders("sec-websocket-key", [])
    try:
        key = base64.b64decode(keys[0].strip(), validate=True) if len(keys) == 1 else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 16:
        return BadUpgrade(400, "Sec-WebSocket-Key must be 16 bytes in base64, once")
    if request.requestHeaders.getRawHeaders("transfer-encoding") or _has_body(request):
        return BadUpgrade(400, "a WebSocket handshake has no body")
    return None


def take_over(request: Request, connection: ServerConnection) -> None:
    """Give the request's transport to ``connection``, which answers the handshake.

    Bytes that came behind the handshake, in the same read or before it is answered, are the connection's too.

    :param request: one that :func:`check_upgrade` found nothing wrong with.
    """
    channel: Any = request.channel
    transport: Any = channel.transport
    key = request.requestHeaders.getRawHeaders("sec-websocket-key", [""])[0].strip()
    channel.setTimeout(None)
    channel.requests = []
    channel.transport = None
    # The parser is still reading the bytes that held the request; it passes on what is left of them.
    channel.rawDataReceived = connection.dataReceived
    transport.unregisterProducer()  # the HTTP channel; we register the connection once it is open
    if isinstance(transport, ProtocolWrapper):  # TLS
        transport.wrappedProtocol = connection
    else:
        transport.protocol = connection
    connection.makeConnection(transport)
    transport.resumeProducing()
    factory: Any = connection.factory
    factory.accept(connection, key, offered_subprotocol(request))
    read_ahead = take_read_ahead(channel)
    if read_ahead:
        connection.dataReceived(read_ahead)
