"""The stream of Milky's events as a WebSocket: ``GET {url}/event`` with ``Upgrade``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred

from lgtwist.accounts.milky.event_stream import StreamListener, StreamPlan
from lgtwist.hub.edges import EdgeResources
from lgtwist.net.backoff import Backoff
from lgtwist.websocket.client import Request
from lgtwist.websocket.connection import PAUSE_JOURNAL, Connection
from lgtwist.websocket.dial import Dialler, DialState, RefusalWatch, Target

_TOKEN_HINT = "access_token must be the token that is set there"  # noqa: S105  # a sentence
_PORT_HINT = (
    "url must be the address of its Milky server, with the prefix that is set there; "
    "OneBot 11 has another port"
)
#: What failures mostly mean, by how their reason begins.
STREAM_HINTS = {
    "refused with HTTP 401": _TOKEN_HINT,
    "refused with HTTP 403": _TOKEN_HINT,
    "refused with close code 1008": _TOKEN_HINT,  # LLBot
    "refused with HTTP 400": _PORT_HINT,
    "refused with HTTP 404": _PORT_HINT,
    "refused with HTTP 405": _PORT_HINT,
    "refused with HTTP 426": _PORT_HINT,
    "refused with HTTP 2": _PORT_HINT,
    "not an answer to a WebSocket handshake": _PORT_HINT,
    "connection was refused": (
        "is the implementation running, its Milky server turned on, and the port right?"
    ),
}


def with_hint(reason: str, hints: Mapping[str, str]) -> str:
    """Return why an attempt failed, with what that mostly means.

    :param hints: by how the reason begins.
    """
    hint = next((hint for begin, hint in hints.items() if reason.startswith(begin)), "")
    return f"{reason} ({hint})" if hint else reason


def stream_target(plan: StreamPlan) -> Target:
    """Return where the WebSocket is dialled: the host is spelled as in the configuration."""
    parts = urlsplit(plan.event_url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    host = parts.netloc.removesuffix(f":{port}")
    return Target(
        Request(host, port, parts.path, plan.headers), secure, plan.event_url, trust_root=plan.trust_root
    )


class _StreamDialler(Dialler):
    """A dialler that tells of attempts that became no WebSocket."""

    listener: StreamListener

    def failed(self, reason: str) -> None:
        """Log why an attempt became no WebSocket, and tell the listener."""
        super().failed(reason)
        self.listener.failed(with_hint(self.last_reason, STREAM_HINTS))

    def refuse(self, reason: str, logged: bool) -> None:
        """Let the gaps go on growing, and tell the listener, if it is not who refuses."""
        super().refuse(reason, logged)
        if not logged:
            self.listener.failed(with_hint(self.last_reason, STREAM_HINTS))


class _StreamHandler:
    """Uses one WebSocket of a stream.

    :ivar budget: the account's.
    """

    def __init__(self, stream: WebSocketStream, listener: StreamListener, watch: RefusalWatch) -> None:
        self.budget = listener.budget
        self._stream = stream
        self._listener = listener
        self._watch = watch
        self._is_open = False

    def opened(self, connection: Connection) -> None:
        """Begin: events may come from now on."""
        self._is_open = True
        self._watch.opened()
        self._stream.use(connection, self._watch)
        self._listener.opened()

    def received(self, _connection: Connection, payload: bytes, binary: bool) -> None:
        """Hand over an event."""
        if self._is_open:
            self._watch.useful = True
            self._listener.frame(payload.decode("utf-8", "replace").encode() if binary else payload)

    def dropped(self, connection: Connection, events: int) -> None:
        """Do nothing: nothing is sent."""

    def caught_up(self, connection: Connection) -> None:
        """Do nothing: nothing is sent."""

    def closing(self, _connection: Connection, code: int | None, reason: str) -> None:
        """Tell the listener that no more events are taken."""
        self._end(code, reason)

    def closed(self, _connection: Connection, code: int | None, reason: str) -> None:
        """Tell the listener, if that was not done, and find out whether the peer refused us."""
        self._stream.use(None, None)
        self._end(code, reason)
        self._watch.closed(code, reason)  # after it: what it tells the listener is the better reason

    def _end(self, code: int | None, reason: str) -> None:
        if self._is_open:
            self._is_open = False
            self._listener.closed(code, reason)


class WebSocketStream:
    """An :class:`EventStream` that is a WebSocket. Its liveness is found by the connection's pings.

    :param plan: what is dialled.
    :param listener: takes the events.
    """

    def __init__(self, plan: StreamPlan, listener: StreamListener, resources: EdgeResources) -> None:
        self._listener = listener
        self._clock = resources.reactor
        self._connection: Connection | None = None
        self._watch: RefusalWatch | None = None
        self._dialler = _StreamDialler(
            resources.reactor,
            resources.client_factory,
            stream_target(plan),
            name=plan.name,
            backoff=plan.backoff,
            make_handler=self._make_handler,
            hints=STREAM_HINTS,
        )
        self._dialler.listener = listener

    def _make_handler(self) -> Any:
        watch = RefusalWatch(self._clock, self._dialler.refuse)
        return _StreamHandler(self, self._listener, watch)

    def use(self, connection: Connection | None, watch: RefusalWatch | None) -> None:
        """Take note of the connection that is open; None when it is over."""
        self._connection, self._watch = connection, watch

    # -- EventStream

    @property
    def attempts(self) -> int:
        """How many times it was dialled since the start."""
        return self._dialler.attempts

    def start(self) -> None:
        """Dial from now on."""
        self._dialler.startService()

    def retire(self) -> None:
        """Dial no more; an open connection stays."""
        self._dialler.retire()

    def stop(self) -> Deferred[None]:
        """Dial no more, and drop the connection if there still is one."""
        return self._dialler.stopService()

    def when_idle(self) -> Deferred[None]:
        """Return what fires when it has retired and its connection is closed."""
        return self._dialler.when_idle()

    def pause(self) -> None:
        """Read no more: TCP holds the implementation back."""
        if self._connection is not None:
            self._connection.pause_reading(PAUSE_JOURNAL)

    def resume(self) -> None:
        """Read again, first what was received before."""
        connection = self._connection
        if connection is not None:
            connection.factory.guard(connection, Connection.read_on, PAUSE_JOURNAL)

    def close(self, code: int, reason: str) -> None:
        """Close the connection; after 1008 the gaps between attempts go on growing."""
        connection = self._connection
        if connection is None:
            return
        if code == 1008 and self._watch is not None:
            self._watch.refused(reason, logged=True)
        connection.factory.close(connection, code, reason)

    def use_backoff(self, backoff: Backoff) -> None:
        """Take other gaps, from the next attempt on."""
        self._dialler.use_backoff(backoff)

    def state(self) -> DialState:
        """Return how dialling goes, as of now."""
        return self._dialler.state()
