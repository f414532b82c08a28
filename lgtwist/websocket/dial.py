"""Dials a URL: one connection at a time, dialled again until it is stopped or retired.

Twisted's ``ClientService`` does the life of it; the back-off is ours and counts refused handshakes, which
``ClientService`` takes for successes (its attempts are those of TCP).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from lgtwist.net.backoff import Backoff
from lgtwist.net.client_endpoints import client_endpoint, why_unreachable
from lgtwist.net.twisted_private import QuietClientService
from lgtwist.runtime.logs import Logger, printable
from lgtwist.websocket.client import ClientConnection, ClientFactory, Request
from lgtwist.websocket.connection import Handler

#: A WebSocket closed sooner than so many seconds after it was opened was of no use.
REFUSED_WITHIN = 5.0
#: The close code of a peer that does not want us (RFC 6455, 7.4.1).
_POLICY_VIOLATION = 1008
#: After so many connections in a row that ended within REFUSED_WITHIN the log says so, once.
_SHORT_CONNECTIONS = 5
#: So many different reasons are logged until a WebSocket is opened: the peer may have invented them.
_REASONS = 8
#: Longer than any service lives on after it was told to stop (seconds).
_NEVER = 86_400.0

#: Called when what was opened is of no use, with the reason and whether the log has it already.
Refuse = Callable[[str, bool], None]


class RefusalWatch:
    """Finds out about one WebSocket whether its peer opened it only to refuse us.

    Some programs accept the handshake of a client with a wrong token, and refuse it on the open WebSocket:
    with close code 1008 within :data:`REFUSED_WITHIN` seconds, or with a message (then call
    :meth:`refused`).

    :param clock: the reactor, or a clock in its place.
    :param refuse: called with each refusal.
    :ivar useful: to be set once something came that only a peer sends which has let us in.
    """

    def __init__(self, clock: IReactorTime, refuse: Refuse) -> None:
        self.useful = False
        self._clock = clock
        self._refuse = refuse
        self._opened_at: float | None = None
        self._refused = False

    @property
    def decided(self) -> bool:
        """Whether it is known whether the peer let us in."""
        return self.useful or self._refused

    def opened(self) -> None:
        """Begin: the WebSocket is open."""
        self._opened_at = self._clock.seconds()

    def refused(self, reason: str, logged: bool = False) -> None:
        """Report a refusal that was found otherwise than by its close code.

        :param logged: whether the log has it already.
        """
        self._refused = True
        self._refuse(reason, logged)

    def closed(self, code: int | None, reason: str) -> None:
        """Report a refusal if the WebSocket's end is one.

        :param code: the peer's close code; None if it sent none.
        :param reason: the peer's words.
        """
        if self._opened_at is None or self.decided or code != _POLICY_VIOLATION:
            return
        if self._clock.seconds() - self._opened_at < REFUSED_WITHIN:
            self.refused(f"refused with close code {code}: {printable(reason)}".removesuffix(": "))


@frozen
class Target:
    """Where to dial.

    :ivar request: the opening handshake.
    :ivar secure: whether over TLS.
    :ivar shown: the URL as people may see it: without a query, which may hold a token.
    :ivar trust_root: who may sign the peer's certificate; None for the system's authorities.
    """

    request: Request
    secure: bool
    shown: str
    trust_root: Any = field(default=None, repr=False)


def target(url: str, headers: dict[str, str], trust_root: Any = None) -> Target:
    """Return where a ``ws://`` or ``wss://`` URL leads.

    :param headers: of the opening handshake, beside those of every handshake.
    :param trust_root: see :class:`Target`.
    :raises ValueError: if it is no such URL.
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


@frozen(kw_only=True)
class DialState:
    """How dialling a target goes.

    :ivar target: the URL as people may see it: without a query, which may hold a token.
    :ivar attempts: how many times it was dialled.
    :ivar opened: how many times that became a WebSocket.
    :ivar connected: whether a WebSocket is open now.
    :ivar next_attempt_in: seconds from now until it is dialled next; None while it is being dialled or is
        connected, or if it is dialled no more.
    :ivar last_reason: why the last attempt failed or the peer refused us, printable; empty after a WebSocket
        was opened.
    """

    target: str
    attempts: int
    opened: int
    connected: bool
    next_attempt_in: float | None
    last_reason: str


@implementer(IStreamClientEndpoint)
class _Reporting:
    """An endpoint that tells its dialler of each attempt, and why it failed: ``ClientService`` does not."""

    def __init__(self, endpoint: IStreamClientEndpoint, dialler: Dialler) -> None:
        self._endpoint = endpoint
        self._dialler = dialler

    def connect(self, factory: Any) -> Deferred[Any]:
        self._dialler.dialling()
        connecting: Deferred[Any] = maybeDeferred(self._endpoint.connect, factory)

        def report(failure: Failure) -> Failure:
            self._dialler.failed(why_unreachable(failure))
            return failure

        return connecting.addErrback(report)


class _Makes(Factory):
    """Gives ``ClientService`` the connections of another factory, which they keep as theirs."""

    noisy = False

    def __init__(self, make: Callable[[], ClientConnection]) -> None:
        self._make = make

    def buildProtocol(self, addr: object) -> Any:
        return self._make()


@define
class _OpenWebSocket:
    """The WebSocket that is open.

    :ivar opened_at: in seconds of the clock.
    :ivar refused: whether the peer opened it only to refuse us.
    """

    opened_at: float
    refused: bool = False


class FailureLog:
    """Decides which failures of one dialler are logged: each new reason once, and not for each attempt.

    :ivar short_connections: how many WebSockets in a row ended within :data:`REFUSED_WITHIN`.
    """

    def __init__(self) -> None:
        self.short_connections = 0
        self._reasons: set[str] = set()  # logged since a WebSocket was opened last
        self._refusal: str | None = None  # the last reason of a row of refusals on open WebSockets

    def should_log_failure(self, reason: str) -> bool:
        """Return whether to log why an attempt became no WebSocket."""
        if reason in self._reasons or len(self._reasons) >= _REASONS:
            return False
        self._reasons.add(reason)
        return True

    def should_log_refusal(self, reason: str) -> bool:
        """Return whether to log why the peer refused us on an open WebSocket."""
        before, self._refusal = self._refusal, reason
        return reason != before

    def opened(self) -> None:
        """Log all reasons anew: a WebSocket is open."""
        self._reasons.clear()

    def ended(self, lasted: float, refused: bool) -> bool:
        """Count a WebSocket that ended; return whether to log that they all end at once.

        :param lasted: seconds.
        """
        begins_to_flap = False
        if lasted >= REFUSED_WITHIN:
            self.short_connections = 0
        elif not refused:
            self.short_connections += 1
            begins_to_flap = self.short_connections == _SHORT_CONNECTIONS
        if not refused:
            self._refusal = None
        return begins_to_flap


class Dialler(Service):
    """Keeps one connection to a target: the old TCP connection is gone before the new one is dialled.

    :param name: whose connection it is, for log lines.
    :param make_handler: makes the handler of each new connection.
    :param hints: what failures mostly mean, by how their reason begins.
    :ivar attempts: how many times it has dialled.
    :ivar opened: how many times that became a WebSocket.
    :ivar next_attempt_at: when it dials next, in seconds of the clock; None while it dials, is connected, or
        dials no more.
    :ivar last_reason: why the last attempt failed or the peer refused us, printable; empty after a WebSocket
        was opened.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        factory: ClientFactory,
        to: Target,
        *,
        name: str,
        backoff: Backoff,
        make_handler: Callable[[], Handler],
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.to = to
        self.attempts = self.opened = 0
        self.next_attempt_at: float | None = None
        self.last_reason = ""
        self._name = name
        self._factory = factory
        self._backoff = backoff
        self._make_handler = make_handler
        self._hints = hints or {}
        self._idle: list[Deferred[None]] = []  # fire when it has retired and has no connection
        self._clock: IReactorTime = reactor
        self._retired = False  # it dials no more
        self._stopped: Deferred[Any] | None = None  # fires when the service has stopped
        self._websocket: _OpenWebSocket | None = None
        self._failures = FailureLog()
        request = to.request
        endpoint = client_endpoint(reactor, request.host, request.port, to.secure, to.trust_root)
        self._service = QuietClientService(
            _Reporting(endpoint, self),
            _Makes(self.make),
            retryPolicy=self._next_delay,
            clock=reactor,
        )

    def use_backoff(self, backoff: Backoff) -> None:
        """Take other gaps, from the next attempt on."""
        self._backoff = backoff

    def make(self) -> ClientConnection:
        """Return a new connection, not yet on a transport."""
        return self._factory.make(self._make_handler(), self.to.request, self)

    def _next_delay(self, _attempts: int) -> float:
        if self._retired:
            return _NEVER
        delay = self._backoff.next_delay()
        self.next_attempt_at = self._clock.seconds() + delay
        return delay

    def startService(self) -> None:
        """Dial now, and again whenever there is no connection."""
        super().startService()
        self._retired = False
        self._stopped = None
        self._service.startService()

    def retire(self) -> None:
        """Dial no more. A connection that is open stays; an attempt under way is given up."""
        self._retired = True
        self.next_attempt_at = None
        if self._websocket is None:
            self._stop_dialling()

    def _stop_dialling(self) -> None:
        if self._stopped is None:
            self._stopped = (
                maybeDeferred(self._service.stopService) if self._service.running else succeed(None)
            )

    def stopService(self) -> Deferred[None]:
        """Dial no more, and drop the connection if there still is one.

        :returns: fires when its TCP connection is gone.
        """
        super().stopService()
        self._retired = True
        self.next_attempt_at = None
        self._stop_dialling()
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
        if self._retired and self._websocket is None:
            idle.callback(None)
        else:
            self._idle.append(idle)
        return idle

    def state(self) -> DialState:
        """Return how dialling goes, as of now."""
        at = self.next_attempt_at
        return DialState(
            target=self.to.shown,
            attempts=self.attempts,
            opened=self.opened,
            connected=self._websocket is not None,
            next_attempt_in=None if at is None else max(0.0, at - self._clock.seconds()),
            last_reason=self.last_reason,
        )

    @property
    def flaps(self) -> bool:
        """Whether its connections end as soon as they are opened, so often that the log has said so."""
        return self._failures.short_connections >= _SHORT_CONNECTIONS

    # -- called with how attempts go

    def dialling(self) -> None:
        """Count an attempt that begins."""
        self.attempts += 1
        self.next_attempt_at = None

    def connected(self) -> None:
        """Begin the back-off anew: the WebSocket is open."""
        self.opened += 1
        self.last_reason = ""
        self._websocket = _OpenWebSocket(self._clock.seconds())
        self._failures.opened()
        self._backoff.reset()

    def disconnected(self) -> None:
        """Take note that the WebSocket that was open is over."""
        websocket, self._websocket = self._websocket, None
        if websocket is None:
            return
        if self._retired:
            self._idle, idle = [], self._idle
            for one in idle:
                one.callback(None)
        lasted = self._clock.seconds() - websocket.opened_at
        if self._failures.ended(lasted, websocket.refused) and not self._retired:
            self._log.warn(
                "{name}: {url} opens WebSockets and ends them at once, again and again; "
                "the log says no more of it until one lasts",
                name=self._name,
                url=self.to.shown,
            )

    def refuse(self, reason: str, logged: bool) -> None:
        """Let the gaps go on growing: the peer refuses us on the WebSocket that it has opened.

        :param logged: whether the log has it already.
        """
        if self._websocket is not None:
            self._websocket.refused = True
        self.last_reason = printable(reason)
        self._backoff.unreset()
        if self._failures.should_log_refusal(reason) and not logged:
            self.failed(reason)

    def failed(self, reason: str) -> None:
        """Log why an attempt became no WebSocket: one line for each new reason, and for few of them."""
        self.last_reason = printable(reason)
        if not self._retired and self._failures.should_log_failure(reason):
            hint = next((hint for begin, hint in self._hints.items() if reason.startswith(begin)), "")
            self._log.warn(
                "{name}: cannot connect to {url}: {reason}{hint}; trying again and again",
                name=self._name,
                url=self.to.shown,
                reason=self.last_reason,
                hint=f" ({hint})" if hint else "",
            )
