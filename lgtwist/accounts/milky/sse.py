"""The stream of Milky's events as server-sent events: ``GET {url}/event`` without ``Upgrade``."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from lgtwist.accounts.milky.event_stream import StreamListener, StreamPlan
from lgtwist.accounts.milky.websocket_stream import STREAM_HINTS, with_hint
from lgtwist.hub.edges import EdgeResources
from lgtwist.net.backoff import Backoff
from lgtwist.net.client_endpoints import CONNECT_TIMEOUT
from lgtwist.net.event_source import EventSource, ServerSentEvent
from lgtwist.runtime.logs import Logger
from lgtwist.websocket.dial import REFUSED_WITHIN, DialState, FailureLog

#: The types of events that are Milky's: that of the standard, and the one of LLBot before 8.1.1.
_EVENT_NAMES = frozenset({b"milky_event", b"message"})
_WEBSOCKET_HINT = 'it may have its events as WebSocket only: event_stream = "websocket"'
#: What failures mostly mean, by how their reason begins.
_SSE_HINTS = {
    **STREAM_HINTS,
    "refused with HTTP 400": _WEBSOCKET_HINT,
    "refused with HTTP 426": _WEBSOCKET_HINT,
}
#: Close code: the peer breaks our rules (RFC 6455, 7.4.1).
_REFUSED_CODE = 1008


class SseStream:
    """An :class:`EventStream` of server-sent events.

    A peer that is gone is found by TCP's keep-alive probes and, where the server sends comments, by their
    absence.

    :param plan: what is dialled.
    :param listener: takes the events.
    """

    _log = Logger()

    def __init__(self, plan: StreamPlan, listener: StreamListener, resources: EdgeResources) -> None:
        self._plan = plan
        self._listener = listener
        self._resources = resources
        self._backoff = plan.backoff
        self._failures = FailureLog()
        self._attempts = self._opened = 0
        self._retired = True
        self._last_reason = ""
        self._source: EventSource | None = None  # the attempt, or the open stream
        self._opened_at: float | None = None  # of the open stream
        self._refused = False  # it was opened, and is of no use
        self._redial: IDelayedCall | None = None
        self._paused = False
        self._frames: deque[bytes] = deque()  # what was received while it is paused
        self._frames_size = 0
        self._is_handing_over = False
        self._idle: list[Deferred[None]] = []
        self._stopped: list[Deferred[None]] = []

    # -- EventStream

    @property
    def attempts(self) -> int:
        """How many times it was dialled since the start."""
        return self._attempts

    def start(self) -> None:
        """Dial now, and again whenever there is no connection."""
        self._retired = False
        if self._source is None and self._redial is None:
            self._dial()

    def retire(self) -> None:
        """Dial no more; an open stream stays."""
        self._retired = True
        if self._redial is not None:
            self._redial.cancel()
            self._redial = None
        if self._source is not None and self._opened_at is None:
            self._source.abort("it is dialled no more")
        self._settle()

    def stop(self) -> Deferred[None]:
        """Dial no more, and drop the connection if there still is one."""
        self.retire()
        if self._source is None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._stopped.append(done)
        self._source.abort("lgtwist closes it")
        return done

    def when_idle(self) -> Deferred[None]:
        """Return what fires when it has retired and its connection is closed."""
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._settle()
        return idle

    def _settle(self) -> None:
        """Fire what waits for the end."""
        if not self._retired or self._source is not None:
            return
        waiting = [*self._stopped, *self._idle]
        self._stopped, self._idle = [], []
        for one in waiting:
            one.callback(None)

    def pause(self) -> None:
        """Hand over no more frames until :meth:`resume`, and read no more."""
        if self._source is not None and self._opened_at is not None and not self._paused:
            self._paused = True
            self._source.pause()

    def resume(self) -> None:
        """Hand over frames again, first those that were received before."""
        if not self._paused:
            return
        self._paused = False
        try:
            self._hand_over()
        except Exception:
            self._log.failure("{name}: an event could not be taken", name=self._plan.name)
            if self._source is not None:
                self._source.abort("our own fault")
        if not self._paused and self._source is not None:
            self._source.resume()

    def close(self, code: int, reason: str) -> None:
        """End the open stream; it is dialled again after the back-off."""
        if self._source is None or self._opened_at is None:
            return
        if code == _REFUSED_CODE:
            self._refused = True
        self._source.abort(reason)

    def use_backoff(self, backoff: Backoff) -> None:
        """Take other gaps, from the next attempt on."""
        self._backoff = backoff

    def state(self) -> DialState:
        """Return how dialling goes, as of now."""
        redial = self._redial
        now = self._resources.reactor.seconds()
        return DialState(
            target=self._plan.event_url,
            attempts=self._attempts,
            opened=self._opened,
            connected=self._opened_at is not None,
            next_attempt_in=None if redial is None else max(0.0, redial.getTime() - now),
            last_reason=self._last_reason,
        )

    # -- dialling

    def _dial(self) -> None:
        self._redial = None
        self._attempts += 1
        limits = self._resources.limits
        self._source = EventSource(
            self._resources.reactor,
            self,
            trust_root=self._plan.trust_root,
            limit=limits.max_message,
            head_timeout=CONNECT_TIMEOUT + limits.handshake_timeout,
            user_timeout=limits.tcp_user_timeout,
            idle=limits.ping_interval,
            budget=self._listener.budget,
        )
        self._source.start(self._plan.event_url, self._plan.headers)

    def _failed(self, reason: str) -> None:
        """Log why an attempt became no stream, once for each reason, and tell the listener."""
        if not self._retired:
            said = with_hint(reason, _SSE_HINTS)
            if self._failures.should_log_failure(reason):
                self._log.warn(
                    "{name}: cannot connect to {url}: {reason}; trying again and again",
                    name=self._plan.name,
                    url=self._plan.event_url,
                    reason=said,
                )
            self._listener.failed(said)

    # -- SourceListener

    def source_opened(self) -> None:
        """Begin: events may come."""
        if self._retired:
            assert self._source is not None
            self._source.abort("it is dialled no more")
            return
        self._opened += 1
        self._opened_at = self._resources.reactor.seconds()
        self._last_reason = ""
        self._failures.opened()
        self._listener.opened()

    def source_events(self, events: list[ServerSentEvent]) -> None:
        """Hand over the events of one read, as far as it is not paused."""
        frames = [event.data for event in events if event.name in _EVENT_NAMES]
        if not frames or self._opened_at is None:
            return
        size = sum(map(len, frames))
        self._frames_size += size
        self._listener.budget.charge(size)
        self._frames.extend(frames)
        if not self._paused:
            self._hand_over()

    def _hand_over(self) -> None:
        """Hand over what was received, as one batch, until it is paused."""
        if self._is_handing_over:
            return
        self._is_handing_over = True
        scheduler = self._resources.scheduler
        outermost = scheduler.begin_read()
        try:
            while self._frames and not self._paused:
                frame = self._frames.popleft()
                self._release(len(frame))
                self._listener.frame(frame.decode("utf-8", "replace").encode())
        finally:
            self._is_handing_over = False
            if outermost:
                scheduler.read_ended()

    def _release(self, size: int) -> None:
        self._frames_size -= size
        self._listener.budget.release(size)

    def source_ended(self, reason: str, *, opened: bool) -> None:
        """End: dial again, unless it has retired."""
        opened_at, self._opened_at = self._opened_at, None
        self._source = None
        refused, self._refused = self._refused, False
        self._paused = False
        lasted = 0.0
        if opened_at is not None:
            lasted = self._resources.reactor.seconds() - opened_at
            try:
                self._hand_over()
            except Exception:
                self._log.failure("{name}: an event could not be taken", name=self._plan.name)
        self._frames.clear()
        self._release(self._frames_size)
        if opened_at is None:
            self._last_reason = reason
            self._failed(reason)
        else:
            if refused:
                self._last_reason = reason
            elif lasted >= REFUSED_WITHIN:
                self._backoff.reset()
            flaps = self._failures.ended(lasted, refused)
            try:
                self._listener.closed(None, reason)
            except Exception:
                self._log.failure("{name}: the end of a stream could not be taken", name=self._plan.name)
            if flaps and not self._retired:
                self._log.warn(
                    "{name}: {url} opens event streams and ends them at once, again and again; "
                    "the log says no more of it until one lasts",
                    name=self._plan.name,
                    url=self._plan.event_url,
                )
        if self._retired:
            self._settle()
        elif self._source is None and self._redial is None:
            self._redial = self._resources.reactor.callLater(self._backoff.next_delay(), self._dial)
