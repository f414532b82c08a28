"""HTTP requests of ours: connections that are reused, absolute time limits, bounded answers.

Over Twisted's own ``Agent``: treq's client keeps cookies between requests, cannot be stopped in the middle
of a body, and does not take IPv6 addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from lgtwist.net.client_endpoints import client_endpoint, why_unreachable
from lgtwist.net.tls import end, tls_trouble
from lgtwist.net.twisted_private import CustomPool, HeadAwareClientProtocol
from lgtwist.runtime.budget import Budget, unlimited
from lgtwist.runtime.logs import printable

#: Seconds that an idle connection is kept: fewer than the five after which Node closes it, for a request
#: that meets a closing connection may or may not have been carried out.
_IDLE_SECONDS = 3
#: A longer head of an answer than that ends its connection (bytes, as they come).
_MAX_RESPONSE_HEAD = 262_144
#: So does one with more lines (interim answers, 1xx, have some too); and bytes of it that are read at once.
_MAX_HEAD_LINES, _HEAD_PIECE = 1_000, 4_096
#: How many idle connections are kept.
_MAX_IDLE_CONNECTIONS = 16


class Body(Protocol):
    """Reads the body of an answer, up to a limit; then it ends the connection.

    :param limit: bytes; below 0 nothing is read at all.
    :param budget: what was received of it is counted there; where that is used up, it is read on in turn.
    :ivar whole: fires with the body; fails if it is too large or its connection breaks. Cancelling it ends
        the connection.
    :ivar too_large: whether the body is over the limit.
    :ivar crowded: whether it was ended because too many bodies wait for room in the budget.
    :ivar broken: whether the body did not come to its end.
    """

    transport: Any

    def __init__(self, limit: int, budget: Budget | None = None) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _cancelled: self._end_connection())
        self.too_large = self.crowded = self.broken = False
        self._limit = limit
        self._body = BytesIO()
        self._size = 0
        self._budget = unlimited() if budget is None else budget

    def connectionMade(self) -> None:
        """Begin: the head of the answer came."""
        if self._limit < 0:
            self._end_connection()

    def dataReceived(self, data: bytes) -> None:
        """Keep a part of the body."""
        if self.too_large or self.crowded or self.whole.called:
            return
        self._size += len(data)
        if self._size > self._limit:
            self.too_large = True
            self._size -= len(data)
            self._end_connection()
            return
        self._body.write(data)
        self._budget.charge(len(data))
        if not self._budget.may_read(self):
            if self._budget.wait(self):
                self.transport.pauseProducing()
            else:
                self.crowded = True
                self._end_connection()

    def budget_freed(self) -> None:
        """Read on: the transport gives what comes in a later turn of the reactor."""
        if self.transport is not None:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: the body ended, or its connection did."""
        size, self._size = self._size, 0
        body, self._body = self._body, BytesIO()
        try:
            self._give(body, reason)
        finally:
            self._budget.release(size)
            self._budget.forget(self)

    def _give(self, body: BytesIO, reason: Failure) -> None:
        if self.whole.called:
            return
        if not (self.too_large or self.crowded) and reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(body.getvalue())
        else:
            self.broken = True
            self.whole.errback(reason)

    def _end_connection(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


class _Ending:
    """A transport that is closed without waiting for the peer's ``close_notify``."""

    def __init__(self, below: Any) -> None:
        self.below = below

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)

    def loseConnection(self) -> None:
        end(self.below)


class _BoundedHead(HeadAwareClientProtocol):
    """An HTTP connection of ours that ends when the head of an answer is too long.

    :param live: the transports of all such connections.
    """

    _head_bytes = _head_lines = 0

    def __init__(self, quiescent: Any, live: set[Any]) -> None:
        super().__init__(self._idle)
        self._quiescent = quiescent
        self._live = live

    def _idle(self, _protocol: Any) -> None:
        """Give the connection back, or close it where the server does."""
        if self.stays_open:
            self._quiescent(self)
        else:
            transport: Any = self.transport
            transport.loseConnection()

    def makeConnection(self, transport: Any) -> None:
        """Begin: TCP is there."""
        self._live.add(transport)
        super().makeConnection(_Ending(transport))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: TCP is over."""
        transport: Any = self.transport
        self._live.discard(transport.below)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Read bytes."""
        answer = self.answer_under_way
        while self.reading_head and data:
            piece, data = data[:_HEAD_PIECE], data[_HEAD_PIECE:]
            self._head_bytes += len(piece)
            super().dataReceived(piece)
            if self.answer_under_way is not answer:  # the next request may have been sent in the meantime
                self._head_bytes = self._head_lines = 0
                return  # what follows an answer belongs to nothing
            if not self.reading_head:
                self._head_bytes = self._head_lines = 0
                break
            self._head_lines += piece.count(b"\n")
            if self._head_bytes > _MAX_RESPONSE_HEAD or self._head_lines > _MAX_HEAD_LINES:
                transport: Any = self.transport
                transport.abortConnection()
                return
        if data:
            super().dataReceived(data)


class BoundedPool(CustomPool):
    """A pool whose connections bound the heads of answers, and do not wait for a peer's ``close_notify``.

    Twisted's takes any number of header lines.
    """

    def __init__(self, reactor: Any, persistent: bool) -> None:
        self._live: set[Any] = set()
        super().__init__(reactor, persistent, lambda quiescent: _BoundedHead(quiescent, self._live))
        self.retryAutomatically = False

    @property
    def is_connected(self) -> bool:
        """Whether it has a connection, busy or not."""
        return bool(self._live)

    def drop_all(self) -> Deferred[None]:
        """End every connection at once, busy or not.

        :returns: fires when the idle ones are closed.
        """
        for transport in tuple(self._live):
            transport.abortConnection()
        closed: Deferred[None] = self.closeCachedConnections()
        return closed


@frozen
class Answer:
    """What an HTTP server answered.

    :ivar retry_after: the header ``Retry-After``; empty if there is none (RFC 9110, 10.2.3).
    """

    status: int
    body: bytes
    retry_after: str = ""


@implementer(IBodyProducer)
class _Upload:
    """A body that is written as fast as the transport takes it.

    :param written: called once all of it is with the transport.
    :param begun: called when the first of it is written; the head of the request was written right before.
    """

    _STRETCH = 65_536

    def __init__(self, body: bytes, written: Callable[[], None], begun: Callable[[], None]) -> None:
        self.length = len(body)
        self._body = body
        self._written = written
        self._begun = begun
        self._at = 0
        self._paused = False
        self._consumer: Any = None
        self._done: Deferred[None] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._consumer = consumer
        self._begun()
        self._write()
        return self._done

    def _write(self) -> None:
        while not self._paused and self._at < self.length:
            stretch = self._body[self._at : self._at + self._STRETCH]
            self._at += len(stretch)
            self._consumer.write(stretch)
        if self._at >= self.length and not self._done.called:
            self._body = b""
            self._written()
            self._done.callback(None)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._consumer is not None:
            self._write()

    def stopProducing(self) -> None:
        self._paused = True


class TooLarge(Exception):
    """The answer's body is over the limit.

    :ivar status: what the answer's head says.
    """

    def __init__(self, status: int = 0) -> None:
        super().__init__("the answer's body is over the limit")
        self.status = status


class NoRoom(Exception):
    """Too many answers wait for room in the budget already."""


class BodyLost(Exception):
    """The connection broke in the middle of an answer's body.

    :ivar status: what the answer's head says.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the connection broke after HTTP {status}")
        self.status = status


#: Endpoints that one client keeps.
_MAX_ENDPOINTS = 16


@implementer(IAgentEndpointFactory)
class VerifyingEndpoints:
    """Endpoints whose certificates are verified against one authority's, or the system's.

    Each is made once: Twisted asks for one with every request, also where a connection is reused.
    """

    def __init__(self, reactor: Any, trust_root: Any) -> None:
        self._reactor = reactor
        self._trust_root = trust_root
        self._made: dict[tuple[bytes, bytes, int], IStreamClientEndpoint] = {}

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint of a URL's host and port."""
        key = (uri.scheme, uri.host, uri.port)
        endpoint = self._made.get(key)
        if endpoint is None:
            host, secure = uri.host.decode("ascii"), uri.scheme == b"https"
            endpoint = client_endpoint(self._reactor, host, uri.port, secure, self._trust_root)
            if len(self._made) < _MAX_ENDPOINTS:
                self._made[key] = endpoint
        return endpoint


class WebClient:
    """Posts to web addresses of the configuration. Redirects are not followed: they would take a token along.

    :param reactor: network and clock.
    :param trust_root: who may sign certificates; None for the system's authorities.
    :param budget: what was received of answers is counted there until they are complete.
    """

    def __init__(
        self,
        reactor: Any,
        trust_root: Any = None,
        budget: Budget | None = None,
    ) -> None:
        self._reactor = reactor
        self._budget = budget
        self._pool = BoundedPool(reactor, True)
        self._pool.maxPersistentPerHost = _MAX_IDLE_CONNECTIONS
        self._pool.cachedConnectionTimeout = _IDLE_SECONDS
        self._agent = Agent.usingEndpointFactory(reactor, VerifyingEndpoints(reactor, trust_root), self._pool)

    async def post(
        self,
        url: str,
        body: bytes,
        headers: dict[str, str],
        limit: int,
        timeout: float,
        written: Callable[[], None] = lambda: None,
        begun: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Post a body, and read the whole answer.

        :param limit: bytes that the answer's body may have.
        :param timeout: seconds for all of it.
        :param written: called once the body has left for the transport.
        :param begun: called when the request begins to be written; if it fails before, nothing was sent.
        :raises TooLarge: if the body is over the limit.
        :raises NoRoom: if too many answers wait for room in the budget.
        :raises twisted.internet.error.TimeoutError: if it takes too long.
        :raises Exception: what Twisted finds wrong with the connection.
        """
        upload = _Upload(body, written, begun)
        del body  # it is freed when it is written, not when it is answered
        exchange = Deferred.fromCoroutine(self._exchange(url, upload, headers, limit))
        timer = self._reactor.callLater(timeout, exchange.cancel)
        try:
            return await exchange
        except Exception:
            if not timer.active():  # Twisted has many names for what was cancelled
                raise TimeoutError from None
            raise
        finally:
            if timer.active():
                timer.cancel()

    async def _exchange(self, url: str, upload: _Upload, headers: dict[str, str], limit: int) -> Answer:
        sent = Headers({name: [value] for name, value in headers.items()})
        asked: Any = self._agent.request(b"POST", url.encode("ascii"), sent, upload)
        response = await asked
        reader = Body(limit, self._budget)
        response.deliverBody(reader)
        try:
            return Answer(response.code, await reader.whole, _retry_after(response.headers))
        except Exception:
            if reader.too_large:
                raise TooLarge(response.code) from None
            if reader.crowded:
                raise NoRoom from None
            if reader.broken:
                raise BodyLost(response.code) from None
            raise

    def close(self) -> Deferred[None]:
        """End all connections at once.

        :returns: fires when the idle ones are closed.
        """
        return self._pool.drop_all()


def _retry_after(headers: Headers) -> str:
    found = headers.getRawHeaders("Retry-After")
    return found[0] if found else ""


def is_unreachable(error: Exception) -> bool:
    """Return whether a request failed because there was no connection, so that nothing of it was sent."""
    return isinstance(error, (ConnectError, DNSLookupError))


def why_failed(error: Exception) -> str:
    """Return why a request failed, in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, TooLarge):
        return "its answer is too large"
    if isinstance(error, NoRoom):
        return "too many large answers at once (peer_memory)"
    reasons = getattr(error, "reasons", None)  # Twisted wraps what went wrong on the way
    if reasons:
        inner: Any = reasons[0].value
        trouble = tls_trouble(inner)
        return trouble or why_failed(inner)
    if isinstance(error, (ConnectError, DNSLookupError)):
        return printable(why_unreachable(Failure(error)))
    text = (error.__doc__ or "").strip() or type(error).__name__
    return printable(text.splitlines()[0]).rstrip(".").lower()
