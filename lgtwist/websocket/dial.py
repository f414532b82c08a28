"""From a URL to a connection that is made again and again, until it is told to stop.

Twisted's ``ClientService`` does the life of it; the back-off is ours and counts refused handshakes, which
``ClientService`` takes for successes (its attempts are those of TCP).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen
from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure
from zope.interface import implementer, provider

from lgtwist.net.backoff import Backoff
from lgtwist.net.client_endpoints import client_endpoint, why_unreachable
from lgtwist.runtime.logs import printable
from lgtwist.websocket.client import ClientConnection, ClientFactory, Request
from lgtwist.websocket.connection import Handler

#: Who closes with 1008 within so many seconds, and said nothing before, opened only to refuse us.
REFUSED_WITHIN = 5.0
#: After so many connections that ended within REFUSED_WITHIN the log falls silent.
_SHORT_LIVES = 5
#: So many reasons are told until a WebSocket is opened: the peer may have invented them.
_REASONS = 8
#: Longer than any service lives on after it was told to stop (seconds).
_NEVER = 86_400.0


@frozen
class Target:
    """Where to dial.

    :ivar shown: the URL as people may see it: without a query, which may hold a token.
    :ivar trust_root: who may sign the peer's certificate; None for the system's authorities.
    """

    request: Request
    secure: bool
    shown: str
    trust_root: Any = field(default=None, repr=False)


def target(url: str, headers: dict[str, str], trust_root: Any = None) -> Target:
    """Where a ``ws://`` or ``wss://`` URL leads.

    :raises ValueError: if it is none.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError("expected a URL such as ws://host:port/path")
    port = parts.port or (443 if secure else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path or "/"
    resource = f"{path}?{parts.query}" if parts.query else path
    shown = f"{parts.scheme}://{host}:{port}{path}"
    return Target(Request(host, port, resource, headers), secure, shown, trust_root)


@implementer(IStreamClientEndpoint)
class _Reporting:
    """An endpoint that says why it could not connect; ``ClientService`` keeps that to itself."""

    def __init__(self, endpoint: IStreamClientEndpoint, dialler: Dialler) -> None:
        self._endpoint = endpoint
        self._dialler = dialler

    def connect(self, factory: Any) -> Deferred[Any]:
        self._dialler.attempts += 1
        connecting: Deferred[Any] = maybeDeferred(self._endpoint.connect, factory)

        def report(failure: Failure) -> Failure:
            self._dialler.failed(why_unreachable(failure))
            return failure

        return connecting.addErrback(report)


class _Makes(Factory):
    """Gives ``ClientService`` the connections of another factory, and leaves them to that."""

    noisy = False

    def __init__(self, make: Callable[[], ClientConnection]) -> None:
        self._make = make

    def buildProtocol(self, addr: object) -> Any:
        return self._make()


@provider(ILogObserver)
def _nobody(_event: object) -> None:
    """Reads no log."""


class _QuietClientService(ClientService):
    """Twisted's, without its line for each attempt."""

    _log = Logger(observer=_nobody)


class Dialler(Service):
    """Keeps one connection to a target: the old TCP connection is gone before the new one is dialled.

    :param name: whose connection it is, for log lines.
    :param make_handler: what stands behind each new connection.
    :param hints: what failures mostly mean, by how their reason begins.
    :ivar attempts: how often it has dialled.
    :ivar opened: how often that became a WebSocket.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        factory: ClientFactory,
        to: Target,
        name: str,
        backoff: Backoff,
        make_handler: Callable[[], Handler],
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.to = to
        self.attempts = self.opened = 0
        self._name = name
        self._factory = factory
        self._backoff = backoff
        self._make_handler = make_handler
        self._hints = hints or {}
        self._stopping = False
        self._stopped: Deferred[Any] | None = None
        self._idle: list[Deferred[None]] = []
        self._open = self._refused = False
        self._clock: IReactorTime = reactor
        self._opened_at = 0.0
        self._short_lives = 0
        self._told: set[str] = set()
        self._told_refusal: str | None = None
        request = to.request
        endpoint = client_endpoint(reactor, request.host, request.port, to.secure, to.trust_root)
        self._service = _QuietClientService(
            _Reporting(endpoint, self),
            _Makes(self.make),
            retryPolicy=self._next_delay,
            clock=reactor,
        )

    def make(self) -> ClientConnection:
        """A new connection, not yet on a transport."""
        return self._factory.make(self._make_handler(), self.to.request, self)

    def _next_delay(self, _attempts: int) -> float:
        return _NEVER if self._stopping else self._backoff.next_delay()

    def startService(self) -> None:
        """Dial, and go on."""
        super().startService()
        self._stopping = False
        self._stopped = None
        self._service.startService()

    def hang_up(self) -> None:
        """Dial no more; a connection that is open stays, all else is given up."""
        self._stopping = True
        if not self._open:
            self._give_up()

    def _give_up(self) -> None:
        if self._stopped is None:
            self._stopped = (
                maybeDeferred(self._service.stopService) if self._service.running else succeed(None)
            )

    def stopService(self) -> Deferred[None]:
        """Dial no more, and drop the connection if there still is one."""
        super().stopService()
        self._stopping = True
        self._give_up()
        done: Deferred[None] = Deferred()

        def stopped(result: Any) -> Any:
            done.callback(None)
            return result

        assert self._stopped is not None
        self._stopped.addBoth(stopped)
        return done

    def when_idle(self) -> Deferred[None]:
        """Return what fires once it has retired and no connection of it is left."""
        idle: Deferred[None] = Deferred()
        if self._stopping and not self._open:
            idle.callback(None)
        else:
            self._idle.append(idle)
        return idle

    @property
    def flaps(self) -> bool:
        """Whether its connections end as soon as they are opened, so often that the log has said so."""
        return self._short_lives >= _SHORT_LIVES

    # -- how the openings end

    def connected(self) -> None:
        """The WebSocket is open."""
        self.opened += 1
        self._open = True
        self._opened_at = self._clock.seconds()
        self._told.clear()
        self._refused = False
        self._backoff.reset()

    def disconnected(self) -> None:
        """It was open, and is over."""
        self._open = False
        if self._stopping:
            self._idle, idle = [], self._idle
            for one in idle:
                one.callback(None)
        if self._clock.seconds() - self._opened_at >= REFUSED_WITHIN:
            self._short_lives = 0
        elif not self._refused:
            self._short_lives += 1
            if self._short_lives == _SHORT_LIVES and not self._stopping:
                self._log.warn(
                    "{name}: {url} opens WebSockets and ends them at once, again and again; "
                    "the log says no more of it until one lasts",
                    name=self._name,
                    url=self.to.shown,
                )
        if not self._refused:
            self._told_refusal = None

    def refuse(self, reason: str, told: bool) -> None:
        """What was opened is of no use, and dialling it again soon would not help.

        :param told: whether the log has it already.
        """
        self._refused = True
        self._backoff.unreset()
        before, self._told_refusal = self._told_refusal, reason
        if reason != before and not told:
            self.failed(reason)

    def failed(self, reason: str) -> None:
        """No WebSocket this time. One line for each new reason, not for each attempt, and for few of them."""
        if not self._stopping and reason not in self._told and len(self._told) < _REASONS:
            self._told.add(reason)
            hint = next((hint for begin, hint in self._hints.items() if reason.startswith(begin)), "")
            self._log.warn(
                "{name}: cannot connect to {url}: {reason}{hint}; trying again and again",
                name=self._name,
                url=self.to.shown,
                reason=printable(reason),
                hint=f" ({hint})" if hint else "",
            )
