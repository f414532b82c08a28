"""One HTTP connection of a listening port: Twisted's, with absolute deadlines and bounded bodies.

Twisted's own time limit begins anew with each line, so a peer that sends one now and then stays for ever.
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
        """The head is there; ``length`` is that of the body, None if chunked."""
        self.too_large = length is not None and length > self.channel.max_body
        # Twisted opens a temporary file for a long body; ours is answered 413 and not kept.
        super().gotLength(0 if self.too_large else length)

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body."""
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

    :param closed: called when the connection is over, whether it was upgraded or not.
    """

    requestFactory = PortRequest
    site: PortSite
    transport: Any
    callLater: Any
    length: Any
    timeOut: Any
    #: Bytes of a request's head.
    totalHeadersSize = 65_536

    def __init__(self, limits: ConnectionLimits, closed: Callable[[], None]) -> None:
        super().__init__()
        self._limits = limits
        self._closed = closed
        self._between_requests = False
        self._body_refused = False
        self._body_unwanted = False
        self._body: IDelayedCall | None = None

    @property
    def max_body(self) -> int:
        """Bytes that a request's body may have."""
        return self._limits.limits.max_message

    def hand_over(self) -> Callable[[], None]:
        """Leave the connection to a protocol that takes its transport over.

        :returns: to be called when the connection is over.
        """
        self.site.channels.discard(self)
        return self._closed

    def connectionMade(self) -> None:
        """TCP is there."""
        super().connectionMade()
        self.site.channels.add(self)
        self._limits.handshake_begun(self)

    def dataReceived(self, data: bytes) -> None:
        """Read bytes; what is to be written because of them is written together, when all were read."""
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
        """The head is there."""
        self._limits.handshake_ended(self)
        super().allHeadersReceived()
        if self.requests and self.requests[-1].too_large:
            self.refuse_body()
        elif self.length == 0:
            return
        elif self.requests and not self.site.accepts_body(request_target(self), self.requests[-1]):
            # It is answered as if it had no body: a body that is refused in any case is not kept.
            expect_no_body(self)
            self._body_unwanted = True
        else:
            self._body = self.callLater(self._limits.limits.body_timeout, self._body_timed_out)

    def allContentReceived(self) -> None:
        """The body is there."""
        if self._body_refused:
            return  # it was answered 413: what is left of it is not done as well
        self._end_body()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """The answer is written."""
        self._between_requests = True
        super().requestDone(request)

    def loseConnection(self) -> None:
        """The last answer is written; what still comes of an unwanted body is thrown away."""
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
        # An outright close with bytes unread would be a reset, which takes the answer from the client.
        self._end_body()
        self.transport.unregisterProducer()
        sockets.close_writing(self.transport)
        self._body = self.callLater(self._limits.limits.handshake_timeout, self._body_timed_out)

    def refuse_body(self) -> None:
        """The body is too large: say so, end our side, and throw the rest of it away for a while."""
        if self._body_refused or self.transport is None:
            return
        self._body_refused = True
        self.transport.write(
            b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        self._linger()

    def timeoutConnection(self) -> None:
        """Nothing came for long."""
        self.give_up()

    def give_up(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """TCP is over."""
        self._limits.handshake_ended(self)
        self.site.channels.discard(self)
        self._end_body()
        self._closed()
        super().connectionLost(reason)

    def _end_body(self) -> None:
        if self._body is not None:
            self._body.cancel()
            self._body = None

    def _body_timed_out(self) -> None:
        self._body = None
        self.give_up()


#: Tells whether a request may send a body, by the target in its first line and its head.
AcceptsBody = Callable[[bytes, Request], bool]


class PortSite(Site):
    """Makes the connections of a listening port. Writes no access log: URLs may hold tokens.

    :param resource: answers the requests.
    :param accepts_body: tells whether a request may send its body.
    :param scheduler: is told when bytes are read, and when they were.
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
        """A connection was accepted."""
        closed = self._limits.connection_opened()
        if closed is None:
            return None
        channel = PortChannel(self._limits, closed)
        channel.factory = channel.site = self
        channel.callLater = self.reactor.callLater
        channel.timeOut = self._limits.limits.idle_timeout
        return channel

    def close_all(self) -> None:
        """End every HTTP connection; what is already answered is still written."""
        for channel in tuple(self.channels):
            channel.loseConnection()

    def startFactory(self) -> None:
        """No access log, no clock for one."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def log(self, request: Any) -> None:
        """No access log."""
