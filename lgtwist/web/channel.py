"""The HTTP connections of a listening port: Twisted's, with absolute deadlines and bounded bodies.

Twisted's own time limit begins anew with each header line, so a slow peer could stay connected for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

from lgtwist.net import sockets
from lgtwist.net.tls import end, is_tls
from lgtwist.net.twisted_private import expect_no_body, request_target
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.web.connection_limits import ConnectionLimits


class PortRequest(Request):
    """A request whose body is bounded while it arrives."""

    too_large = False
    channel: PortChannel
    content: Any

    def gotLength(self, length: int | None) -> None:
        """Begin the body; answer 413 if it is too long. Twisted calls this after the head.

        :param length: bytes of the body; None if it is chunked.
        """
        self.too_large = length is not None and length > self.channel.max_body
        # Twisted would open a temporary file for a long body.
        super().gotLength(0 if self.too_large else length)

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body; answer 413 if the body becomes too long."""
        if self.channel is None:
            return
        if not self.too_large and self.content.tell() + len(data) > self.channel.max_body:
            self.too_large = True
            self.content.seek(0)
            self.content.truncate()
        if self.too_large:
            self.channel.refuse_body()
        else:
            super().handleContentChunk(data)


class PortChannel(HTTPChannel):
    """An HTTP connection that is counted and bounded by the connection limits.

    :param on_closed: called when the connection is closed, unless it was upgraded.
    """

    requestFactory = PortRequest
    site: PortSite
    transport: Any
    callLater: Any
    length: Any
    timeOut: Any
    #: Bytes of a request's head.
    totalHeadersSize = 65_536

    def __init__(self, limits: ConnectionLimits, on_closed: Callable[[], None]) -> None:
        super().__init__()
        self._limits = limits
        self._on_closed = on_closed
        self._between_requests = False
        self._body_refused = False
        self._body_unwanted = False
        self._body_timer: IDelayedCall | None = None

    @property
    def max_body(self) -> int:
        """Bytes that the body of a request may have."""
        return self._limits.limits.max_message

    def detach(self) -> Callable[[], None]:
        """Leave the connection to the protocol that takes its transport over.

        :returns: a function; call it when the connection is closed.
        """
        self.site.channels.discard(self)
        return self._on_closed

    def connectionMade(self) -> None:
        """Note that the first handshake has begun."""
        super().connectionMade()
        self.site.channels.add(self)
        self._limits.handshake_begun(self)

    def dataReceived(self, data: bytes) -> None:
        """Read bytes, as one read of the flush scheduler; drop those of a body that was refused."""
        if self._body_refused or self._body_unwanted:
            return
        if self._between_requests:
            self._between_requests = False
            self._limits.handshake_begun(self)
        scheduler = self.site.scheduler
        outermost = scheduler.begin_read()
        try:
            super().dataReceived(data)
        finally:
            if outermost:
                scheduler.read_ended()

    def allHeadersReceived(self) -> None:
        """Decide about the body of a request, by its head: read, refuse or ignore it."""
        self._limits.handshake_ended(self)
        super().allHeadersReceived()
        if self.requests and self.requests[-1].too_large:
            self.refuse_body()
        elif self.length == 0:
            return
        elif self.requests and not self.site.accepts_body(request_target(self), self.requests[-1]):
            # The request is refused whatever its body is: answer it now, without the body, then close: what
            # comes is the body, or another request behind it that would be taken for the body.
            expect_no_body(self)
            self._body_unwanted = True
            self.persistent = False
        else:
            self._body_timer = self.callLater(self._limits.limits.body_timeout, self._body_timed_out)

    def allContentReceived(self) -> None:
        """Answer the request: its body is complete."""
        if self._body_refused:
            return  # answered 413 already
        self._stop_body_timer()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Wait for the next request: the answer is written."""
        self._between_requests = True
        super().requestDone(request)

    def loseConnection(self) -> None:
        """Close the connection when what was answered is written; linger if a body was not read."""
        if self.transport is None:
            return
        if self._body_unwanted:
            self._linger()
            return
        transport = self.transport
        super().loseConnection()
        if is_tls(transport):
            end(transport)

    def _linger(self) -> None:
        # Closing a socket with unread bytes sends a reset, and the client may lose the answer: end our side
        # only, and discard what is received until the peer closes or the time limit.
        self._stop_body_timer()
        self.transport.unregisterProducer()
        sockets.close_writing(self.transport)
        self._body_timer = self.callLater(self._limits.limits.handshake_timeout, self._body_timed_out)

    def refuse_body(self) -> None:
        """Answer 413 (Content Too Large), then linger: discard the rest of the body."""
        if self._body_refused or self.transport is None:
            return
        self._body_refused = True
        self.transport.write(
            b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        self._linger()

    def timeoutConnection(self) -> None:
        """Abort an idle connection. Twisted calls this after ``idle_timeout``."""
        self.abort()

    def abort(self) -> None:
        """Abort the connection, with a reset."""
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection, and call ``on_closed``."""
        self._limits.handshake_ended(self)
        self.site.channels.discard(self)
        self._stop_body_timer()
        self._on_closed()
        super().connectionLost(reason)

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _body_timed_out(self) -> None:
        self._body_timer = None
        self.abort()


#: Tells whether a request may send a body, by its target and its head.
AcceptsBody = Callable[[bytes, Request], bool]


class PortSite(Site):
    """Makes the HTTP connections of the listening ports. It writes no access log: URLs may hold tokens.

    :param resource: answers the requests.
    :param accepts_body: tells whether a request may send its body.
    :param scheduler: the flush scheduler; connections mark their reads.
    :ivar channels: the open HTTP connections; upgraded ones are not among them.
    """

    noisy = False

    def __init__(
        self,
        resource: Any,
        *,
        limits: ConnectionLimits,
        clock: Any,
        accepts_body: AcceptsBody,
        scheduler: FlushScheduler,
    ) -> None:
        super().__init__(resource, reactor=clock, parsePOSTFormSubmission=False)
        self._limits = limits
        self.accepts_body = accepts_body
        self.scheduler = scheduler
        self.channels: set[PortChannel] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """Return the protocol of an accepted connection; None to drop it, if there are far too many."""
        on_closed = self._limits.connection_opened()
        if on_closed is None:
            return None
        channel = PortChannel(self._limits, on_closed)
        channel.factory = channel.site = self
        channel.callLater = self.reactor.callLater
        channel.timeOut = self._limits.limits.idle_timeout
        return channel

    def close_all(self) -> None:
        """Close every HTTP connection; answers under way are still written."""
        for channel in tuple(self.channels):
            channel.loseConnection()

    def startFactory(self) -> None:
        """Do nothing: Twisted would open its access log."""

    def stopFactory(self) -> None:
        """Do nothing: no access log was opened."""

    def log(self, request: Any) -> None:
        """Do nothing: there is no access log."""
