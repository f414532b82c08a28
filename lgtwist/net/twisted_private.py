"""Everything of Twisted that is private and used here. No other module names it (there is a test).

What is reached into, and why:

- ``tcp.Server`` and ``tcp.Client``: ``_tempDataBuffer``, ``_tempDataLen``, ``_writeDisconnecting``,
  ``_aborting`` (and, without an underscore but undocumented, ``dataBuffer``, ``offset``, ``TLS``,
  ``disconnecting``, ``connected``): whether anything waits before bytes that :func:`send_now` hands to the
  kernel, and how much. Twisted itself writes only in the next turn.
- ``BufferingTLSTransport``: ``_lostTLSConnection``, ``_handshakeDone``, ``_appSendBuffer``,
  ``_aggregator._buffer``, ``_tlsConnection``: the same over TLS, where Twisted takes two turns.
- ``twisted.internet.endpoints._parse``: what an endpoint string says, before it is listened on.
- ``HTTP11ClientProtocol._parser`` with ``twisted.web._newclient.STATUS`` and ``HEADER``: whether the head of
  an answer is being read, whose size Twisted does not bound.
- ``HTTPConnectionPool._factory``, ``twisted.web.client._HTTP11ClientFactory`` and its
  ``_quiescentCallback``: a pool of such connections.
- ``HTTPChannel._command``, ``_path``, ``_version`` and ``_transferDecoder``: a request's first line before
  its body came, and refusing the body; ``__first_line``: whether the next line is that one, whose target
  Twisted wants in ASCII; ``_respondToBadRequestAndDisconnect``: Twisted answers 400 there
  without a word; ``_receivedHeaderSize`` and ``_receivedHeaderCount``: whether it does for the head's size;
  and ``LineReceiver._buffer``: whether lines end as they should; ``_dataBuffer``: the bytes behind a request
  that is not answered yet.
- ``FileDescriptor.bufferSize`` (undocumented): how many bytes are read at once, and how many wait when a
  transport pauses its producer.
- ``ClientService._log``: Twisted writes a line for each attempt.
- ``LogPublisher._observers``, ``FileLogObserver._outFile`` and ``_encoding``, ``LogFile._file``: twistd makes
  the ``LogFile`` of ``twistd.log`` itself, which keeps every old file for ever, and raises on a full disk.

Tried with the versions that ``tests/net/test_twisted_private.py`` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from OpenSSL import SSL
from twisted.application.internet import ClientService
from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.endpoints import _parse
from twisted.logger import FileLogObserver, ILogObserver, Logger, LogPublisher, globalLogPublisher
from twisted.protocols.tls import BufferingTLSTransport
from twisted.python.logfile import LogFile
from twisted.web._newclient import HEADER, STATUS, HTTP11ClientProtocol
from twisted.web.client import HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.http import HTTPChannel
from zope.interface import provider

#: Twisted's transports whose buffers are known here.
_PLAIN = (tcp.Server, tcp.Client)
#: So much is encrypted at once, in one record of TLS (bytes; a record has at most 16 KiB, RFC 8446, 5.1).
_MAX_RECORD = 4096
#: Larger writes are left to the transport (bytes): the kernel takes a part, and the rest would be copied.
_MOST_AT_ONCE = 1 << 20


def send_now(transport: Any, data: bytes) -> int:
    """Hand bytes to the kernel without waiting for the reactor's turn, where nothing waits before them.

    It does so for TCP and TLS as Twisted makes them and for nothing else. Never raises: an error of the
    socket is met again by ``transport.write``, to which the caller gives what was not taken.

    :returns: how many bytes were taken, perhaps none.
    """
    if type(transport) not in _PLAIN:
        return _encrypt_now(transport, data) if type(transport) is BufferingTLSTransport else 0
    if not transport.connected or transport.disconnecting or len(data) > _MOST_AT_ONCE:
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
    """Encrypt and send now what Twisted would encrypt in one turn of the reactor and send in another.

    Only for small writes: larger ones are cheaper with one wake-up of the peer for all their records.
    """
    if len(data) > _MAX_RECORD or transport.disconnecting:
        return 0
    taken = 0
    try:
        if transport._lostTLSConnection or not transport._handshakeDone:
            return 0
        if transport._aggregator._buffer or transport._appSendBuffer:
            return 0
        below, connection = transport.transport, transport._tlsConnection
        taken = int(connection.send(data))
        record = connection.bio_read(8 * _MAX_RECORD)
    except AttributeError:  # another Twisted
        return 0
    except SSL.Error:  # Twisted meets it too, and knows what to do
        return taken
    sent = send_now(below, record)
    if sent < len(record):
        below.write(record[sent:])
    return taken


def unwritten_bytes(transport: Any) -> int:
    """Return how many bytes wait in a transport; 0 for kinds that are not known here."""
    below, waiting = transport, 0
    try:
        if type(transport) is BufferingTLSTransport:
            aggregator: Any = transport._aggregator
            waiting = sum(len(data) for data in (*aggregator._buffer, *transport._appSendBuffer))
            below = transport.transport
        if type(below) in _PLAIN:
            waiting += len(below.dataBuffer) - below.offset + below._tempDataLen
    except AttributeError:  # another Twisted
        pass
    return waiting


def split_endpoint(description: str) -> tuple[str, list[str], dict[str, str]]:
    """Take a Twisted endpoint string apart.

    :returns: its kind, its other positional arguments, its named arguments.
    """
    positional, named = _parse(description)
    return positional[0], positional[1:], named


# -- HTTP


class HeadAwareClientProtocol(HTTP11ClientProtocol):
    """An HTTP connection of ours that knows whether the head of an answer is being read."""

    @property
    def reading_head(self) -> bool:
        """Whether the head of an answer has begun to be awaited and has not ended."""
        parser = self._parser
        return parser is not None and parser.state in (STATUS, HEADER)

    @property
    def answer_under_way(self) -> object | None:
        """What stands for the answer that is awaited or being read: another object for each; None between."""
        parser: object | None = self._parser
        return parser

    @property
    def stays_open(self) -> bool:
        """Whether the server keeps the connection after the answer that was read (RFC 9112, 9.3).

        Twisted's answer to that does not look at the version, and misses ``Close``.
        """
        parser: Any = self._parser
        if parser is None or parser.response is None:
            return True
        fields = parser.connHeaders.getRawHeaders(b"Connection", ())
        options = {option.strip().lower() for field in fields for option in field.split(b",")}
        return b"close" not in options and (parser.response.version[1:] >= (1, 1) or b"keep-alive" in options)


#: Makes an HTTP connection of ours; call its argument when it is idle again.
MakeClientProtocol = Callable[[Any], HTTP11ClientProtocol]


class _PoolFactory(_HTTP11ClientFactory):
    noisy = False  # else a line for each connection of ours

    def __init__(self, make: MakeClientProtocol, quiescent: Any, metadata: Any) -> None:
        super().__init__(quiescent, metadata)
        self._make = make

    def buildProtocol(self, addr: Any) -> HTTP11ClientProtocol:
        return self._make(self._quiescentCallback)


class CustomPool(HTTPConnectionPool):
    """Twisted's pool of HTTP connections, with connections of another class.

    :param make: makes each of them.
    """

    def __init__(self, reactor: Any, persistent: bool, make: MakeClientProtocol) -> None:
        super().__init__(reactor, persistent)
        self._factory = partial(_PoolFactory, make)  # type: ignore[assignment]


class RefusingHTTPChannel(HTTPChannel):
    """Twisted's HTTP connection, which asks a method what to answer where the parser gives up."""

    def malformed(self) -> None:
        """Answer a request that the parser cannot read."""
        raise NotImplementedError

    def read_first_line(self, line: bytes) -> bytes:
        """Return what the parser is to read in place of the first line of a request.

        If it is another line, the target stays that of ``line``.
        """
        return line

    def lineReceived(self, line: bytes) -> None:
        """Read a line of a request's head."""
        if not self._HTTPChannel__first_line:  # type: ignore[attr-defined]
            HTTPChannel.lineReceived(self, line)
            return
        read = self.read_first_line(line)
        HTTPChannel.lineReceived(self, read)
        if read is not line and request_line(self)[1]:
            self._path = line.split(b" ")[1]

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.malformed()


def request_line(channel: Any) -> tuple[bytes, bytes, bytes]:
    """Return method, target and version of the request that an ``HTTPChannel`` reads, as they were sent.

    They are empty where the first line has not been read.
    """
    return (
        getattr(channel, "_command", b""),
        getattr(channel, "_path", b""),
        getattr(channel, "_version", b""),
    )


def is_at_first_line(channel: Any) -> bool:
    """Return whether the next line that an ``HTTPChannel`` reads is the first one of a request."""
    return bool(channel._HTTPChannel__first_line)


def is_head_too_large(channel: Any) -> bool:
    """Return whether an ``HTTPChannel`` gives up because the head of a request is too large."""
    size, lines = channel._receivedHeaderSize, channel._receivedHeaderCount
    return bool(size > channel.totalHeadersSize or lines > channel.maxHeaders)


def unfinished_line(receiver: Any) -> bytes:
    """Return the bytes that a ``LineReceiver`` keeps because the end of their line has not come."""
    line: bytes = receiver._buffer if receiver.line_mode else b""
    return line


def set_buffer_size(transport: Any, size: int | None) -> None:
    """Let a transport read some bytes at once, and pause its producer when more than so many wait in it.

    Does nothing to transports other than sockets, and TLS on them.

    :param size: bytes; None for Twisted's own size.
    """
    while isinstance(transport, BufferingTLSTransport):
        transport = transport.transport
    if isinstance(transport, FileDescriptor):
        transport.bufferSize = FileDescriptor.bufferSize if size is None else size


def take_read_ahead(channel: Any) -> bytes:
    """Return what a connection has read behind a request that is not answered yet, and forget it there."""
    read_ahead = b"".join(channel._dataBuffer)
    channel._dataBuffer = []
    return read_ahead


def expect_no_body(channel: Any) -> None:
    """Let an ``HTTPChannel`` answer the request whose head it has just read as if it had no body."""
    channel.length = 0
    channel._transferDecoder = None


# -- the log


def log_outputs(publisher: LogPublisher = globalLogPublisher) -> Iterator[Any]:
    """Yield the files that the log is written to, as far as Twisted's observers of the newer kind do that."""
    for observer in tuple(publisher._observers):
        if isinstance(observer, FileLogObserver):
            yield observer._outFile


def replace_log_outputs(
    replacement: Callable[[Any], Any | None], publisher: LogPublisher = globalLogPublisher
) -> None:
    """Let the log be written to other files.

    :param replacement: returns the text file that takes the place of one; None where it stays.
    """
    for observer in tuple(publisher._observers):
        if isinstance(observer, FileLogObserver):
            new = replacement(observer._outFile)
            if new is not None:
                observer._outFile, observer._encoding = new, None


def log_file_descriptor(file: LogFile) -> int:
    """Return a new descriptor of the file that a ``LogFile`` writes."""
    return os.dup(file._file.fileno())


# -- dialling


@provider(ILogObserver)
def _discard(_event: object) -> None:
    """Discard a log event."""


class QuietClientService(ClientService):
    """``ClientService`` without its log line for each attempt."""

    _log = Logger(observer=_discard)
