"""The HTTP connections of a listening port: Twisted's, with absolute deadlines and bounded bodies.

Twisted's own time limit begins anew with each header line, so a slow peer could stay connected for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.server import Request, Site

from lgtwist.net import sockets
from lgtwist.net.http_responses import Headers, refusal
from lgtwist.net.loopback import plain_address
from lgtwist.net.tls import end, is_tls
from lgtwist.net.twisted_private import (
    RefusingHTTPChannel,
    expect_no_body,
    is_at_first_line,
    is_head_too_large,
    request_line,
    set_buffer_size,
    unfinished_line,
)
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.logs import Logger, LogThrottle, LogThrottles
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.web.bodies import BodyBudget
from lgtwist.web.connection_limits import ConnectionLimits, CountedConnection
from lgtwist.web.request import PortRequest
from lgtwist.web.request_line import in_ascii, is_tls_hello, method_and_target, why_malformed
from lgtwist.web.routes import without_authority
from lgtwist.websocket.upgrade import asks_for_upgrade

#: How many bytes of heads are read at once, and how many of answers wait when the transport says so.
#: Twisted's own 64 KiB, for as many connections as one bot may have, would be more than its budget.
_BUFFER = 4_096
#: Bytes behind a request that are read while it is answered; the next request, mostly.
_READ_AHEAD = 16_384
#: Digits of a length that is within any limit. Python refuses to read numbers of thousands of digits.
_MAX_DIGITS = 18
#: Kinds of refusals, by address, status and sentence, that are logged per minute, one line for each.
_LOGGED_ANSWERS = 20


class PortChannel(RefusingHTTPChannel):
    """An HTTP connection that is counted and bounded by the connection limits.

    Every request gets a status and a sentence, where the parser refuses it too, and nothing that is raised
    leaves the connection.

    :ivar counted: how it is counted.
    :ivar refused: whether what comes is discarded: it was answered, and closes when its peer has read that.
    """

    requestFactory: Any = PortRequest
    site: PortSite
    transport: Any
    callLater: Any
    length: Any
    timeOut: Any
    paused: bool
    line_mode: int
    counted: CountedConnection
    #: Bytes of a request's head, its header lines, and bytes of one line.
    totalHeadersSize = MAX_LENGTH = 65_536
    maxHeaders = 500

    def __init__(self, limits: ConnectionLimits) -> None:
        super().__init__()
        self._limits = limits
        self._between_requests = False
        self.refused = False
        self._body_unwanted = False
        self._body_timer: IDelayedCall | None = None
        self._framing: set[bytes] = set()  # headers of the present head that may be there only once
        self._first_line = b""  # of the present head
        self._answering = False
        self._read_ahead = 0
        self._write_paused = False
        self._stuck_timer: IDelayedCall | None = None
        self._unsent: dict[Budget, int] = {}  # bytes of answers that the transport has not taken
        self._scheduled: IDelayedCall | None = None

    @property
    def max_body(self) -> int:
        """Bytes that the body of a request may have."""
        return self._limits.limits.max_message

    @property
    def is_reading(self) -> bool:
        """Whether a part of a request has come, and none is being answered."""
        if self.refused or self._answering or self.transport is None:
            return False
        return bool(self.requests) or bool(self._first_line) or bool(unfinished_line(self))

    def detach(self) -> Callable[[], None]:
        """Leave the connection to the protocol that takes its transport over.

        :returns: a function; call it when the connection is closed.
        """
        self.site.channel_closed(self)
        set_buffer_size(self.transport, None)
        self._let_go()
        self.counted.connection = None
        return self.counted.closed

    def connectionMade(self) -> None:
        """Note that the first handshake has begun."""
        set_buffer_size(self.transport, _BUFFER)
        super().connectionMade()
        self.site.channels.add(self)
        self._limits.handshake_begun(self)

    # -- reading

    def dataReceived(self, data: bytes) -> None:
        """Read bytes, as one read of the flush scheduler; drop what comes behind a refusal. Never raises."""
        if self.refused or self._body_unwanted:
            return
        if self._between_requests and not self.paused:
            self._between_requests = False
            self._limits.handshake_begun(self)
        scheduler = self.site.scheduler
        outermost = scheduler.begin_read()
        try:
            super().dataReceived(data)
            line = unfinished_line(self)
            if not line:
                pass
            elif is_tls_hello(line):
                # No line: it is no request, and port scanners try it.
                self.refuse(400, f"the head of the request is malformed: {why_malformed(line)}", logged=True)
            elif b"\n" in line and b"\r\n" not in line:
                self.refuse(400, "a line of the request's head does not end with CR LF")
        except Exception:
            self._failed()
        finally:
            if outermost:
                scheduler.read_ended()

    def _failed(self) -> None:
        """Answer a request whose reading or answering has raised an exception: 400 or 500."""
        self.site.log_failure()
        if self.transport is None:
            return
        if not self.requests or self.requests[0].startedWriting:
            self.abort()
        elif self._answering:
            self.refuse(500, "lgtwist failed; its log says why")
        else:
            self.refuse(400, "the request cannot be read")

    def read_first_line(self, line: bytes) -> bytes:
        """Return a first line that Twisted's parser can read: it wants the target in ASCII."""
        self._first_line = line
        return line if line.isascii() else in_ascii(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long."""
        status, what = 431, "a header"
        if is_at_first_line(self):
            status, what, self._first_line = 414, "the first line of the request", line
        self.refuse(status, f"{what} has more than {self.MAX_LENGTH} bytes")

    def malformed(self) -> None:
        """Refuse what Twisted's parser cannot read."""
        if is_head_too_large(self):
            most = f"{self.totalHeadersSize} bytes or {self.maxHeaders} lines"
            self.refuse(431, f"the request's head has more than {most}")
        elif self.line_mode and request_line(self)[1]:
            self.refuse(400, "the head of the request is malformed: a header")
        elif self.line_mode:
            why = why_malformed(self._first_line)
            self.refuse(400, f"the head of the request is malformed, its first line: {why}")
        else:
            self.refuse(400, "the chunked body of the request is malformed")

    def headerReceived(self, line: bytes) -> bool:
        """Read a header; refuse one about the length or the host of the request that is not clear.

        RFC 9112, 3.2 and 6: what a proxy may read in another way must not pass.
        """
        if line[0] in b"HhCcTt":
            name, colon, value = line.partition(b":")
            name = name.lower()
            if colon and name in (b"host", b"content-length", b"transfer-encoding"):
                status, problem = self._check_framing(name, value.strip(b" \t"))
                if problem:
                    self.refuse(status, problem)
                    return False
        if not line.isascii():  # if it is no UTF-8, Twisted raises an exception wherever it is read as text
            line = line.decode("utf-8", "replace").encode()
        return bool(super().headerReceived(line))

    def _check_framing(self, name: bytes, value: bytes) -> tuple[int, str]:
        """Return the status and the sentence with which a header is refused; an empty one if it is not."""
        if name in self._framing:
            return 400, f"the header {name.decode().title()} is there twice"
        self._framing.add(name)
        if name == b"host":
            return 400, ""
        if b"content-length" in self._framing and b"transfer-encoding" in self._framing:
            return 400, "Content-Length and Transfer-Encoding exclude each other"
        if name == b"transfer-encoding":
            return 400, "" if value.lower() == b"chunked" else "the only Transfer-Encoding here is chunked"
        if not value.isdigit():
            return 400, "Content-Length is not a number"
        if len(value) > _MAX_DIGITS:
            return 413, self._too_large
        return 400, ""

    @property
    def _too_large(self) -> str:
        return f"the body has more than {self.max_body} bytes (max_message)"

    def allHeadersReceived(self) -> None:
        """Decide about the body of a request, by its head: read, refuse or ignore it."""
        self._limits.handshake_ended(self)
        request = self.requests[-1]
        method, target, version = request_line(self)
        if b"host" not in self._framing and version == b"HTTP/1.1":
            self.refuse(400, "the header Host is missing")
            return
        self._framing.clear()
        self._first_line = b""
        if self.length is not None and self.length > self.max_body:
            self.refuse_body()
            return
        super().allHeadersReceived()
        if self.length == 0:
            return
        request.method = method
        budget = self.site.body_budget(target, request)
        if budget is None:
            # Nobody needs the body: answer now, without it, then close: what comes is the body, or another
            # request behind it that would be taken for the body.
            expect_no_body(self)
            self._body_unwanted = True
            self.persistent = False
        elif request.requestHeaders.hasHeader(b"content-encoding") and is_encoded(request):
            sentence = "a body with Content-Encoding is not read; send it as it is"
            self.refuse(415, sentence, (("Accept-Encoding", "identity"),))
        else:
            request.count_body_in(budget)
            set_buffer_size(self.transport, None)
            self._body_timer = self.callLater(self._limits.limits.body_timeout, self._body_timed_out)

    def rawDataReceived(self, data: bytes) -> None:
        """Read bytes of a body, or keep those behind a request that is being answered."""
        if self.refused:
            return
        super().rawDataReceived(data)
        if self._answering and self.transport is not None:
            self._read_ahead += len(data)
            if self._read_ahead > _READ_AHEAD:  # Twisted would read on while the transport is paused
                self.transport.pauseProducing()

    def allContentReceived(self) -> None:
        """Answer the request: its body is complete."""
        if self.refused:
            return
        if self._body_timer is not None:
            self._stop_body_timer()
            set_buffer_size(self.transport, _BUFFER)
        self._answering = True
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Wait for the next request: the answer was given to the transport."""
        request.release_body()
        self._between_requests = True
        self._answering = False
        self._read_ahead = 0
        self._limits.answered(self.counted)
        if self._write_paused:
            self.paused = True  # the next request waits until this answer is taken
        super().requestDone(request)
        if self._write_paused and self.transport is not None:
            self.transport.pauseProducing()

    # -- writing

    def count_unsent(self, budget: Budget | None, size: int) -> None:
        """Count ``size`` bytes of an answer in ``budget`` until the transport has taken them."""
        if budget is None or self.transport is None:
            return
        if not (self._write_paused or self._has_unsent() or is_tls(self.transport)):
            return
        budget.charge(size)
        self._unsent[budget] = self._unsent.get(budget, 0) + size
        if not self._write_paused:  # TLS says so in the next turn
            self.schedule_sending()

    def _has_unsent(self) -> bool:
        return bool(self.requests) and bool(self.requests[0].has_unsent)

    def schedule_sending(self) -> None:
        """Go on with the answer in the next turn of the reactor, unless the transport says that it waits."""
        if self._scheduled is None and not self._write_paused:
            self._scheduled = self.callLater(0, self._send_more)

    def _send_more(self) -> None:
        self._scheduled = None
        if not self._write_paused and self.transport is not None:
            self.resumeProducing()

    def pauseProducing(self) -> None:
        """Stop answering: the transport has bytes that the peer does not take. Called again and again."""
        self._write_paused = True
        self._expect_progress()
        if not self._answering:
            self.paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on: the transport has taken everything. Never raises."""
        self._write_paused = False
        self._stop_stuck_timer()
        try:
            if self._has_unsent():
                self.requests[0].send_portion()
                if self._write_paused or self._has_unsent():
                    return
            self._release_unsent()
            if self.transport is None or self.refused:
                return
            super().resumeProducing()
            if self.paused:
                self.paused = False
                data = self.clearLineBuffer()
                if data:
                    self.dataReceived(data)
        except Exception:
            self._failed()

    def _expect_progress(self) -> None:
        """Abort the connection in ``idle_timeout``, if the peer does not take what was written until then."""
        if self._stuck_timer is None:
            self._stuck_timer = self.callLater(self._limits.limits.idle_timeout, self._stuck)

    def _stuck(self) -> None:
        self._stuck_timer = None
        self.abort()

    def _stop_stuck_timer(self) -> None:
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def _release_unsent(self) -> None:
        unsent, self._unsent = self._unsent, {}
        for budget, size in unsent.items():
            budget.release(size)

    def _let_go(self) -> None:
        """End what belongs to the connection."""
        self._stop_body_timer()
        self._stop_stuck_timer()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        self._release_unsent()

    # -- refusals and ends

    def refuse_body(self) -> None:
        """Answer 413 (Content Too Large)."""
        self.refuse(413, self._too_large)

    def refuse(self, status: int, sentence: str, headers: Headers = (), *, logged: bool = False) -> None:
        """Answer what is read now, then linger: discard what comes until the peer has read the answer.

        The answer is JSON where an action was asked for, else text. Requests under way are over.

        :param logged: whether it was logged already, or need not be.
        """
        if self.refused or self.transport is None or self.transport.disconnecting:
            return
        self.refused = True
        method, target = self._asked_for()
        self.clearLineBuffer()
        requests, self.requests = self.requests, []
        is_action = bool(target) and self.site.is_action(method, target)
        if requests and is_action:
            is_action = not asks_for_upgrade(requests[-1])
            headers = (*headers, *self.site.cors_headers(requests[-1]))
        for request in requests:
            request.connectionLost(Failure(ConnectionAborted(sentence)))
        if not logged:
            self.log_refusal(method, target, status, sentence)
        self.transport.write(refusal(status, sentence, is_action, headers))
        self._linger()

    def _asked_for(self) -> tuple[bytes, bytes]:
        """Return method and target of what is read or answered now; empty where they cannot be told."""
        method, target, _version = request_line(self)
        if not target and self._answering and self.requests:
            method, target = self.requests[0].method, self.requests[0].uri
        return (method, target) if target else method_and_target(self._first_line or unfinished_line(self))

    def log_refusal(self, method: bytes, target: bytes, status: int, sentence: str) -> None:
        """Log that a request is refused, unless that was logged a moment ago."""
        if self.transport is not None:
            peer = getattr(self.transport.getPeer(), "host", None) or "unix socket"
            self.site.log_refusal(plain_address(str(peer)), method, target, status, sentence)

    def loseConnection(self) -> None:
        """Close the connection when what was answered is written; linger if a body was not read."""
        if self.transport is None:
            return
        if self._body_unwanted:
            self._linger()
            return
        transport = self.transport
        self._expect_progress()
        super().loseConnection()
        if is_tls(transport):
            end(transport)

    def _linger(self) -> None:
        # Closing a socket with unread bytes sends a reset, and the client may lose the answer: end our side
        # only, and discard what is received until the peer closes or the time limit.
        self._limits.handshake_ended(self)
        self._stop_body_timer()
        self.setTimeout(None)
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        sockets.close_writing(self.transport)
        self._body_timer = self.callLater(self._limits.limits.handshake_timeout, self._body_timed_out)

    def timeoutConnection(self) -> None:
        """Close an idle connection: its peer may still read of the last answer. Twisted calls this."""
        if self._write_paused:
            self.abort()
        else:
            self.loseConnection()

    def abort(self) -> None:
        """Abort the connection, with a reset."""
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection, and end its requests."""
        self._limits.handshake_ended(self)
        self.site.channel_closed(self)
        self._let_go()
        self.counted.closed()
        super().connectionLost(reason)

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _body_timed_out(self) -> None:
        self._body_timer = None
        self.abort()


def is_encoded(request: Request) -> bool:
    """Return whether the body of a request is compressed or the like (RFC 9110, 8.4)."""
    values = request.requestHeaders.getRawHeaders("content-encoding", ())
    return any(value.strip().lower() not in ("", "identity") for value in values)


#: Returns what the body of a request is counted in, by its target and its head; None if it is not read.
FindBodyBudget = Callable[[bytes, Request], BodyBudget | None]


class PortSite(Site):
    """Makes the HTTP connections of the listening ports. It writes no access log: URLs may hold tokens.

    :param resource: answers the requests.
    :param body_budget: tells what the body of a request is counted in; None if it is not read.
    :param is_action: tells whether a method and a target ask for an action.
    :param cors_headers: returns the headers that let a web page read the answer to a request.
    :param scheduler: the flush scheduler; connections mark their reads.
    :ivar channels: the open HTTP connections; upgraded ones are not among them.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        resource: Any,
        *,
        limits: ConnectionLimits,
        clock: Any,
        body_budget: FindBodyBudget,
        is_action: Callable[[bytes, bytes], bool],
        cors_headers: Callable[[Request], Headers],
        scheduler: FlushScheduler,
    ) -> None:
        super().__init__(resource, reactor=clock, parsePOSTFormSubmission=False)
        self._limits = limits
        self.body_budget = body_budget
        self.is_action = is_action
        self.cors_headers = cors_headers
        self._failures = LogThrottle(clock)
        self._refusals = LogThrottles(clock, _LOGGED_ANSWERS)
        self.scheduler = scheduler
        self.channels: set[PortChannel] = set()
        self._waiting_for_ends: Deferred[None] | None = None

    def buildProtocol(self, addr: Any) -> Any:
        """Return the protocol of an accepted connection; None to drop it, if there are far too many."""
        channel = PortChannel(self._limits)
        counted = self._limits.connection_opened(channel)
        if counted is None:
            return None
        channel.counted = counted
        channel.factory = channel.site = self
        channel.callLater = self.reactor.callLater
        channel.timeOut = self._limits.limits.idle_timeout
        return channel

    def log_failure(self) -> None:
        """Log the exception that is being handled, unless there was another one within the last minute."""
        if self._failures.should_log():
            self._log.failure("a request failed")

    def log_refusal(self, address: str, method: bytes, target: bytes, status: int, sentence: str) -> None:
        """Log that a request is refused, unless its address was refused alike within the last minute.

        :param target: of the request; its query, which may have a token, is not logged.
        """
        if self._refusals.should_log(f"{address} {status} {sentence.partition(':')[0]}"):
            path = without_authority(target.partition(b"?")[0])
            named = path.startswith(b"/")
            self._log.warn(
                "{address}: {request} is refused with {status}: {why}",
                address=address,
                request=b" ".join((method, path)).decode("utf-8", "replace") if named else "a request",
                status=status,
                why=sentence,
            )

    def refuse_unfinished(self) -> None:
        """Answer requests of which only a part has come with 503: the service stops."""
        for channel in tuple(self.channels):
            if channel.is_reading:
                sentence = "lgtwist stops; try again soon"
                channel.refuse(503, sentence, (("Retry-After", "3"),), logged=True)

    def close_all(self) -> None:
        """Close every HTTP connection; answers under way are still written.

        Those that were refused close by themselves, once their peers have read the answer.
        """
        for channel in tuple(self.channels):
            if not channel.refused:
                channel.loseConnection()

    def channel_closed(self, channel: PortChannel) -> None:
        """Forget a connection: it is closed, or is none of HTTP any more."""
        self.channels.discard(channel)
        if self._waiting_for_ends is not None and all(each.refused for each in self.channels):
            waiting, self._waiting_for_ends = self._waiting_for_ends, None
            waiting.callback(None)

    async def wait_closed(self, patience: float) -> None:
        """Wait for the ends of what :meth:`close_all` closes: until its answers are written.

        What was refused is given one turn of the reactor, not the time that its peer may take to read.

        :param patience: in seconds.
        """
        if not self.channels:
            return
        if all(channel.refused for channel in self.channels):
            patience = 0
        waiting = self._waiting_for_ends = Deferred()
        timer = self.reactor.callLater(patience, self._end_waiting)
        await waiting
        if timer.active():
            timer.cancel()

    def _end_waiting(self) -> None:
        waiting, self._waiting_for_ends = self._waiting_for_ends, None
        if waiting is not None:
            waiting.callback(None)

    def startFactory(self) -> None:
        """Do nothing: Twisted would open its access log."""

    def stopFactory(self) -> None:
        """Do nothing: no access log was opened."""

    def log(self, request: Any) -> None:
        """Do nothing: there is no access log."""
