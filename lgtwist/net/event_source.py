"""Server-sent events: ``text/event-stream`` of the HTML standard, 9.2, read over HTTP."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from lgtwist.net import sockets
from lgtwist.net.http_client import BoundedPool, VerifyingEndpoints, why_failed
from lgtwist.net.tls import tls_trouble
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.logs import Logger, printable

#: The media type of a stream.
EVENT_STREAM = "text/event-stream"
#: Seconds that a stream may be silent at least, however often its comments come.
_LEAST_SILENCE = 5.0
#: Comments that come within so many seconds count as one.
_SHORTEST_PERIOD = 1.0
#: Periods of comments that may pass without a byte.
_SILENT_PERIODS = 3
#: Bytes of ``event:`` and the like that a line may have beyond the limit.
_FIELD_NAME = 64
#: Characters of a foreign media type that are shown.
_SHOWN_MEDIA_TYPE = 60


@frozen
class ServerSentEvent:
    """One event.

    :ivar name: its type; ``message`` where it has none.
    :ivar data: lines joined by LF.
    """

    name: bytes
    data: bytes


class EventTooLarge(Exception):
    """An event, or a line of one, is over the limit."""


class EventStreamParser:
    """Takes a stream apart as its bytes come. Pure.

    :param limit: bytes that one event may have, and one line.
    :ivar comments: how many comments there were.
    :ivar pending: bytes that are kept of an event whose end has not come.
    """

    def __init__(self, limit: int) -> None:
        self.comments = 0
        self.pending = 0
        self._limit = limit
        self._begun = False  # the first line was read, before which there may be a byte order mark
        self._after_cr = False  # the last byte was CR: an LF now is of the same line end
        self._line = bytearray()  # the beginning of a line whose end has not come
        self._name = b""
        self._data: bytes | bytearray | None = None

    def read(self, data: bytes) -> list[ServerSentEvent]:
        """Read bytes; return the events that they complete.

        :raises EventTooLarge: if one is over the limit; those before it in ``data`` are lost then.
        """
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        rest = lines.pop()
        events: list[ServerSentEvent] = []
        for line in lines:
            if self._line:
                self._line += line
                line, self._line = bytes(self._line), bytearray()
            if not self._begun:
                self._begun = True
                line = line.removeprefix(b"\xef\xbb\xbf")
            event = self._read_line(line)
            if event is not None:
                events.append(event)
        self._line += rest
        size = 0 if self._data is None else len(self._data)
        self.pending = size + len(self._name) + len(self._line)
        if self.pending > self._limit + _FIELD_NAME:
            raise EventTooLarge
        return events

    def _read_line(self, line: bytes) -> ServerSentEvent | None:
        """Read one line; return the event that it ends."""
        if not line:
            name, data = self._name, self._data
            self._name, self._data = b"", None
            return None if data is None else ServerSentEvent(name or b"message", bytes(data))
        field, colon, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            if self._data is None:
                self._data = value
            else:
                if not isinstance(self._data, bytearray):
                    self._data = bytearray(self._data)
                self._data += b"\n" + value
            if len(self._data) > self._limit:
                raise EventTooLarge
        elif field == b"event":
            self._name = value
            if len(value) > self._limit:
                raise EventTooLarge
        elif colon and not field:
            self.comments += 1
        return None


class SourceListener(Protocol):
    """Takes what comes on one stream. Called in the reactor thread."""

    def source_opened(self) -> None:
        """Begin: the server answered with a stream."""

    def source_events(self, events: list[ServerSentEvent]) -> None:
        """Take the events of one read, in order. What it raises is logged, and costs the connection."""

    def source_ended(self, reason: str, *, opened: bool) -> None:
        """End, once: TCP is over, or there was no TCP connection.

        :param reason: in words, printable.
        :param opened: whether :meth:`source_opened` was called.
        """


@implementer(IAgentEndpointFactory)
@frozen
class _PreparedEndpoints:
    """Endpoints whose connections find a peer that is gone by TCP's own means.

    :ivar user_timeout: see :func:`sockets.prepare`; so is ``idle``.
    """

    endpoints: VerifyingEndpoints
    user_timeout: float
    idle: float

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return _PreparedEndpoint(self.endpoints.endpointForURI(uri), self)


@implementer(IStreamClientEndpoint)
@frozen
class _PreparedEndpoint:
    below: IStreamClientEndpoint
    wanted: _PreparedEndpoints

    def connect(self, factory: Any) -> Deferred[Any]:
        connecting: Deferred[Any] = self.below.connect(factory)

        def connected(protocol: Any) -> Any:
            sockets.prepare(protocol.transport, self.wanted.user_timeout, self.wanted.idle)
            return protocol

        return connecting.addCallback(connected)


class EventSource(TwistedProtocol):
    """One stream: a request, and the events of its answer, until either side ends it.

    :param reactor: network and clock.
    :param trust_root: who may sign the server's certificate; None for the system's authorities.
    :param limit: bytes that one event may have.
    :param head_timeout: seconds until the head of the answer must be there.
    :param user_timeout: see :func:`sockets.prepare`; so is ``idle``.
    :param budget: counts what is kept of an event whose end has not come.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        listener: SourceListener,
        *,
        trust_root: Any,
        limit: int,
        head_timeout: float,
        user_timeout: float,
        idle: float,
        budget: Budget,
    ) -> None:
        self._reactor = reactor
        self._listener = listener
        self._head_timeout = head_timeout
        self._parser = EventStreamParser(limit)
        self._budget = budget
        self._pool = BoundedPool(reactor, False)
        endpoints = _PreparedEndpoints(VerifyingEndpoints(reactor, trust_root), user_timeout, idle)
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, self._pool)
        self._requesting: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._reason = ""  # why we end it
        self._opened = self._ended = False
        self._pauses: set[str] = set()
        self._charged = 0
        self._read_at = self._comment_at = 0.0
        self._comments = 0
        self._period = 0.0  # of the server's comments, in seconds; 0 while unknown

    def start(self, url: str, headers: dict[str, str]) -> None:
        """Send the request.

        :param url: in ASCII.
        :param headers: beside those that every such request has.
        """
        sent = Headers({name: [value] for name, value in headers.items()})
        sent.setRawHeaders("Accept", [EVENT_STREAM])
        sent.setRawHeaders("Cache-Control", ["no-cache"])
        self._timer = self._reactor.callLater(self._head_timeout, self._too_late)
        requesting: Any = self._agent.request(b"GET", url.encode("ascii"), sent)
        self._requesting = requesting
        requesting.addCallbacks(self._answered, self._unanswered).addErrback(self._failed)

    def _too_late(self) -> None:
        self._timer = None
        self.abort(f"no answer within {self._head_timeout:g} s")

    def _unanswered(self, failure: Failure) -> None:
        self._requesting = None
        error: Any = failure.value
        self._end(self._reason or (why_failed(error) if isinstance(error, Exception) else str(error)))

    def _answered(self, response: IResponse) -> None:
        self._requesting = None
        self._stop_timer()
        media_type = ";".join(response.headers.getRawHeaders("Content-Type", [""])).partition(";")[0].strip()
        if response.code != 200:
            self._reason = f"refused with HTTP {response.code}"
        elif media_type.lower() not in ("", EVENT_STREAM):
            shown = printable(media_type[:_SHOWN_MEDIA_TYPE])
            self._reason = f"refused with HTTP 200: its answer is {shown}, not {EVENT_STREAM}"
        response.deliverBody(self)

    def _failed(self, failure: Failure) -> None:
        """Log a fault of ours."""
        self._log.failure("reading server-sent events failed", failure)
        self.abort("our own fault")

    # -- the body

    def connectionMade(self) -> None:
        """Begin: the head of the answer is read."""
        if self._reason:
            self.abort(self._reason)
            return
        self._opened = True
        self._read_at = self._comment_at = self._reactor.seconds()
        self._guard(self._listener.source_opened)

    def dataReceived(self, data: bytes) -> None:
        """Read a part of the body."""
        if self._reason or self._ended:
            return
        parser = self._parser
        self._read_at = self._reactor.seconds()
        try:
            events = parser.read(data)
        except EventTooLarge:
            self.abort("an event is larger than max_message")
            return
        if parser.comments != self._comments:
            self._comments = parser.comments
            self._comment_read()
        before, self._charged = self._charged, parser.pending
        if before != self._charged:
            self._budget.charge(self._charged)
            self._budget.release(before)
        if not self._charged:
            self._budget.message_ended(self)
        if events:
            self._guard(self._listener.source_events, events)
        if self._charged and not self._ended and not self._budget.may_read(self):
            if self._budget.wait(self):
                self._pause("budget")
            else:
                self.abort("too many large events at once (peer_memory)")

    def _guard(self, what: Any, *arguments: Any) -> None:
        try:
            what(*arguments)
        except Exception:
            self._log.failure("what takes server-sent events failed")
            self.abort("our own fault")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: the body ended, or its connection did."""
        error: Any = reason.value
        if self._reason:
            words = self._reason
        elif isinstance(error, ResponseDone):
            words = "the server ended the stream"
        else:
            inner = getattr(error, "reasons", None)
            inner = inner[0].value if inner else error
            words = tls_trouble(inner) or "the connection ended"
        self._end(words)

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._stop_timer()
        charged, self._charged = self._charged, 0
        self._budget.release(charged)
        self._budget.forget(self)
        self._listener.source_ended(printable(reason), opened=self._opened)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- comments

    def _comment_read(self) -> None:
        """Learn the period of the server's comments, and expect them from now on."""
        now = self._reactor.seconds()
        gap, self._comment_at = now - self._comment_at, now
        if gap < _SHORTEST_PERIOD:
            return
        self._period = max(self._period, gap)
        if self._timer is None:
            self._timer = self._reactor.callLater(self._longest_silence, self._check_silence)

    @property
    def _longest_silence(self) -> float:
        return max(_LEAST_SILENCE, _SILENT_PERIODS * self._period)

    def _check_silence(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        if self._pauses:
            self._read_at = now
        left = self._read_at + self._longest_silence - now
        if left > 0:
            self._timer = self._reactor.callLater(left, self._check_silence)
        else:
            self.abort(f"no heartbeat for {self._longest_silence:.0f} s")

    # -- control

    def pause(self) -> None:
        """Read no more; what was read of one piece is handed over still."""
        self._pause("listener")

    def resume(self) -> None:
        """Read again."""
        self._resume("listener")

    def budget_freed(self) -> None:
        """Read again: there is room in the budget."""
        self._resume("budget")

    def _pause(self, why: str) -> None:
        if not self._pauses and self.transport is not None and not self._ended:
            self.transport.pauseProducing()  # type: ignore[attr-defined]
        self._pauses.add(why)

    def _resume(self, why: str) -> None:
        if why in self._pauses:
            self._pauses.discard(why)
            if not self._pauses and self.transport is not None and not self._ended:
                self._read_at = self._reactor.seconds()
                self.transport.resumeProducing()  # type: ignore[attr-defined]

    def abort(self, reason: str) -> None:
        """End it at once, wherever it is; :meth:`SourceListener.source_ended` is called when TCP is over.

        :param reason: what that gets.
        """
        if self._ended:
            return
        self._reason = self._reason or reason
        self._stop_timer()
        if self._pool.is_connected:
            self._pool.drop_all()
        elif self._requesting is not None:
            self._requesting.cancel()
