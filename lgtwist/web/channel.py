"""One HTTP connection of the listening port: Twisted's, with absolute deadlines and bounded bodies.

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
from lgtwist.web.connection_limits import Gate


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
    """An HTTP connection that the gate knows.

    :param leave: tells the gate that the connection is over.
    :param max_body: bytes that a request's body may have.
    """

    requestFactory = PortRequest
    site: PortSite
    transport: Any
    callLater: Any
    length: Any
    timeOut: Any
    #: Long enough for every head that is meant well; the issue of 64 KiB heads is theirs who send them.
    totalHeadersSize = 65_536

    def __init__(self, gate: Gate, leave: Callable[[], None], max_body: int) -> None:
        super().__init__()
        self.gate = gate
        self.leave = leave
        self.max_body = max_body
        self._between = False
        self._refused = False
        self._unwelcome = False
        self._body: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """TCP is there."""
        super().connectionMade()
        self.site.channels.add(self)
        self.gate.knock(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        if self._refused or self._unwelcome:
            return
        if self._between:
            self._between = False
            self.gate.knock(self)
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        """The head is there."""
        self.gate.answered(self)
        super().allHeadersReceived()
        if self.requests and self.requests[-1].too_large:
            self.refuse_body()
        elif self.length == 0:
            return
        elif self.requests and not self.site.welcomes(request_target(self), self.requests[-1]):
            # It is answered as if it had no body: what nobody may send is not kept until it is refused.
            expect_no_body(self)
            self._unwelcome = True
        else:
            self._body = self.callLater(self.gate.limits.body_timeout, self._body_timed_out)

    def allContentReceived(self) -> None:
        """The body is there."""
        if self._refused:
            return  # it was answered 413: what is left of it is not done as well
        self._end_body()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """The answer is written."""
        self._between = True
        super().requestDone(request)

    def loseConnection(self) -> None:
        """The last answer is written; what still comes of a body that nobody wants is thrown away."""
        if self.transport is None:
            return
        if self._unwelcome:
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
        self._body = self.callLater(self.gate.limits.handshake_timeout, self._body_timed_out)

    def refuse_body(self) -> None:
        """The body is too large: say so, end our side, and throw the rest of it away for a while."""
        if self._refused or self.transport is None:
            return
        self._refused = True
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
        self.gate.answered(self)
        self.site.channels.discard(self)
        self._end_body()
        self.leave()
        super().connectionLost(reason)

    def _end_body(self) -> None:
        if self._body is not None:
            self._body.cancel()
            self._body = None

    def _body_timed_out(self) -> None:
        self._body = None
        self.give_up()


#: Whether a request may send a body, by the target in its first line and its head.
Welcomes = Callable[[bytes, Request], bool]


class PortSite(Site):
    """Makes the connections of a listening port. Writes no access log: URLs may hold tokens.

    :param welcomes: whether a request may send a body.
    """

    noisy = False

    def __init__(
        self, resource: Any, gate: Gate, max_body: int, idle: float, clock: Any, welcomes: Welcomes
    ) -> None:
        super().__init__(resource, timeout=idle, reactor=clock, parsePOSTFormSubmission=False)
        self._gate = gate
        self._max_body = max_body
        self.welcomes = welcomes
        self.channels: set[PortChannel] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """A connection was accepted."""
        leave = self._gate.enter()
        if leave is None:
            return None
        channel = PortChannel(self._gate, leave, self._max_body)
        channel.factory = channel.site = self
        channel.callLater = self.reactor.callLater
        channel.timeOut = self.timeOut
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
