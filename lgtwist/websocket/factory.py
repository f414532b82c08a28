"""Everything that is done to connections is done here, and cannot raise.

The factory is the only caller of ``sendMessage``; each callback of each connection comes through
:meth:`ConnectionFactory.guard`. So whatever a peer, Autobahn, TLS or the socket do, it ends in one
connection, one counter and at most one log line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Concatenate, ParamSpec, TypeVar

from attrs import define
from autobahn.util import encode_truncate
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lgtwist.config.limits import Limits
from lgtwist.net import sockets
from lgtwist.net.tls import tls_trouble
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.framing import Frames
from lgtwist.websocket.liveness import Liveness, Verdict
from lgtwist.websocket.phase import Phase
from lgtwist.websocket.reading import AT_ONCE, PONG, TEXT, begins_frame, whole_frames

_Params = ParamSpec("_Params")
_Guarded = TypeVar("_Guarded", bound=Connection)

#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_OPEN = Phase.OPEN
#: As much is handed to a transport at once (bytes); it says pause when more than 64 KiB wait in it.
_CHUNK = 262_144


class Outcome(Enum):
    """What became of a message that was to be sent."""

    WRITTEN = "written"
    QUEUED = "queued"
    NOT_OPEN = "not open"
    FAILED = "failed"


@define
class WireCounters:
    """What happened on all connections of a factory, since the start."""

    opened: int = 0
    closed: int = 0
    send_failures: int = 0
    callback_failures: int = 0
    dead_peers: int = 0
    close_timeouts: int = 0
    protocol_errors: int = 0


def _forget(_connection: object) -> None:
    """Autobahn's Deferred of the end holds the connection, which holds the Deferred: no cycle."""


#: What both of Autobahn's factories are told. Every timer is ours: Autobahn's know neither slow readers
#: nor a clock that is handed in.
OPTIONS: dict[str, Any] = {
    "utf8validateIncoming": False,
    "failByDrop": True,  # ends reading at a breach; the dropping itself is _fail_connection, ours
    "echoCloseCodeReason": True,
    "openHandshakeTimeout": 0,
    "closeHandshakeTimeout": 0,
    "autoPingInterval": 0,
    "autoPingTimeout": 0,
}


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


class ConnectionFactory:
    """What is done to connections, whoever dialled them: the base of the two factories.

    :param limits: the limits of each connection.
    :param clock: the reactor, or a clock in its place.
    """

    _log = Logger()

    def _begin(self, limits: Limits, clock: IReactorTime, scheduler: FlushScheduler | None) -> None:
        self.limits = limits
        self.flush_scheduler = FlushScheduler(clock) if scheduler is None else scheduler
        self._burst = min(_CHUNK, limits.send_buffer)
        self.counters = WireCounters()
        self.connections: set[Connection] = set()
        self._clock = clock
        self._swept = clock.seconds()
        self._all_gone: list[Deferred[None]] = []
        self._goodbye: tuple[int, str] | None = None  # said to everybody, and to who opens later

    # -- sending

    def is_open(self, connection: Connection) -> bool:
        """Whether data frames may be sent on it."""
        return connection.phase is _OPEN

    def send(self, connection: Connection, payload: bytes) -> Deferred[Outcome]:
        """Send one text message that must not be lost. Never raises and never fails.

        It is written at once, or waits its turn where others wait already.

        :returns: what became of it.
        """
        if not self.is_open(connection):
            return succeed(Outcome.NOT_OPEN)
        if connection.congested or connection.outbox:
            self.respond(connection, connection.encode(payload))
            return succeed(Outcome.QUEUED)
        if self.flush_scheduler.hook_pending:
            self.flush_scheduler.run_hooks()
        sent = maybeDeferred(connection.sendMessage, payload)
        sent.addCallbacks(lambda _written: Outcome.WRITTEN, self._send_failed, errbackArgs=(connection,))
        return sent

    def respond(self, connection: Connection, frame: bytes) -> None:
        """Put a ready response behind those that wait; it must not be lost. Never raises.

        Who does not take its answers is not asked for more questions: with too many it is not read.
        """
        if connection.phase is not _OPEN:
            return
        outbox = connection.outbox
        outbox.put_response(frame)
        if not connection.waiting:
            self._to_flush(connection)
        if outbox.response_bytes > self.limits.send_buffer and not connection.held:
            connection.held = True
            connection.transport.pauseProducing()

    def put(self, connection: Connection, frame: bytes) -> None:
        """Put a ready frame that must not be lost behind those that wait. Never raises.

        Its sender bounds how many there are: what is put in has no bound here.
        """
        if connection.phase is _OPEN:
            connection.outbox.put_response(frame)
            if not connection.waiting:
                self._to_flush(connection)

    def put_now(self, connection: Connection, frames: bytes) -> None:
        """The same, written at once where nothing waits before it. Never raises."""
        if connection.phase is not _OPEN:
            return
        if connection.waiting or connection.congested:
            self.put(connection, frames)
            return
        try:
            self._write(connection, frames)
        except Exception:
            self._send_failed(Failure(), connection)

    def ping(self, connection: Connection) -> None:
        """Ask the peer for a sign of life, behind everything that was put in so far. Never raises."""
        self.put(connection, self.ping_frame(connection))

    def ping_frame(self, connection: Connection) -> bytes:
        """A ping that the caller puts in at once."""
        if connection.liveness is None:
            return b""
        number = connection.liveness.next_ping()
        payload = b"%d" % number
        if connection.positions is not None:
            payload = b"%b.%d" % (payload, connection.positions.named_by(number))
        return connection.encode_ping(payload)

    def broadcast(self, connections: Iterable[Connection], frame: bytes) -> None:
        """Put one ready event frame into the outbox of each. Never raises."""
        for connection in connections:
            self.offer(connection, frame)

    def offer(self, connection: Connection, frame: bytes) -> None:
        """Put a ready event frame behind those that wait; the oldest events may go for it. Never raises."""
        if connection.phase is not _OPEN:
            return
        outbox = connection.outbox
        if not connection.congested and outbox.event_bytes + len(frame) > self._burst:
            self.flush(connection)  # a burst within one turn is no reason to drop anything
        dropped = outbox.put_event(frame)
        if not connection.waiting:
            self._to_flush(connection)
        if dropped:
            self.guard(connection, self._tell_dropped, dropped)

    def offer_all(self, connection: Connection, frames: Frames) -> None:
        """The same for several that came together: in one write, where nothing waits before them."""
        if connection.phase is not _OPEN:
            return
        if connection.waiting or connection.congested:
            for frame in frames.each:
                self.offer(connection, frame)
            return
        try:
            self._write(connection, frames.joined)
        except Exception:
            self._send_failed(Failure(), connection)

    def greet(self, connection: Connection) -> None:
        """The answer to the opening handshake waits, with what follows it: write it when the turn ends."""
        if connection.congested and connection.phase is _OPEN:
            # Not by what was written to this peer; and what waits for it may be dropped, but for this.
            self._write(connection, connection.outbox.take(_CHUNK))
        self.flush_scheduler.add(connection)

    def write_first(self, connection: Connection) -> None:
        """Autobahn is about to write: what waits is written before that. Nothing else happens yet."""
        outbox = connection.outbox
        while outbox and not connection.congested:
            self._write(connection, outbox.take(_CHUNK))

    def _write(self, connection: Connection, data: bytes) -> None:
        """Write behind what was written before."""
        if self.flush_scheduler.hook_pending:
            self.flush_scheduler.run_hooks()
        transport = connection.transport
        sent = sockets.send_now(transport, data)
        if sent < len(data):
            transport.write(data[sent:] if sent else data)

    def _tell_dropped(self, connection: Connection, events: int) -> None:
        connection.handler.dropped(connection, events)

    def _to_flush(self, connection: Connection) -> None:
        """What is put in now is written at the end of what is being read, or of the reactor's turn."""
        connection.waiting = True
        if not connection.being_read and not connection.congested:
            self.flush_scheduler.add(connection)

    def flush(self, connection: Connection) -> None:
        """Write what waits, as far as the transport takes it. Never raises."""
        connection.waiting = False
        outbox = connection.outbox
        more = True
        try:
            while more and connection.phase is _OPEN and not connection.congested:
                data = outbox.take(_CHUNK)
                more = len(data) >= _CHUNK
                if data:
                    connection.flushed_at = self._clock.seconds()
                    self._write(connection, data)
            if connection.held and outbox.response_bytes <= self.limits.send_buffer // 2:
                more = True
                self._read_on(connection)
        except Exception:
            self._send_failed(Failure(), connection)
        if more and outbox:
            connection.waiting = True
            if not connection.congested and connection.phase is _OPEN:
                self.flush_scheduler.add(connection)

    def _read_on(self, connection: Connection) -> None:
        connection.held = False
        connection.transport.resumeProducing()
        self._consume(connection)

    def _consume(self, connection: Connection) -> None:
        """Read on in what has come."""
        if not connection.being_read:  # else who reads goes on by itself
            connection.being_read = True
            try:
                connection.consumeData()
            finally:
                connection.being_read = False

    def _send_failed(self, failure: Failure, connection: Connection) -> Outcome:
        """The errback of every send: it ends with this one connection."""
        self.counters.send_failures += 1
        self._log.warn(
            "{peer}: a send failed, the connection is dropped: {reason}",
            peer=connection.peer,
            reason=failure.value,
        )
        self.abort(connection, "a send failed")
        return Outcome.FAILED

    # -- ending

    def close(self, connection: Connection, code: int, reason: str) -> None:
        """Close in good order: close frame, the peer's answer or ``close_timeout``. Never raises.

        :param code: a close code that may be sent (RFC 6455, 7.4).
        :param reason: for the peer; cut at 123 bytes of UTF-8.
        """
        if connection.phase is Phase.CONNECTING:
            self.abort(connection, reason)
        elif connection.phase is _OPEN:
            self.guard(connection, self._say_goodbye, code, reason)

    def _say_goodbye(self, connection: Connection, code: int, reason: str) -> None:
        connection.outbox.drop_events()
        while connection.outbox:  # responses, within send_buffer or so: written before the close frame
            self._write(connection, connection.outbox.take(_CHUNK))
        self._enter_closing(connection, f"closed by us with {code} {reason}".rstrip())
        connection.held = False
        connection.transport.resumeProducing()  # to hear the answer
        connection.sendCloseFrame(code, encode_truncate(reason, 123))
        self._consume(connection)  # the answer may be in what was not read before

    def fail(self, connection: Connection, code: int, reason: str) -> None:
        """The peer broke the protocol: say so, hear nothing more of it, and end (RFC 6455, 7.1.7)."""
        self.counters.protocol_errors += 1
        if connection.phase is Phase.CONNECTING:
            self.abort(connection, reason)
        elif connection.phase is _OPEN:
            self.guard(connection, self._say_why, code, reason)
        else:
            connection.deaf = True

    def _say_why(self, connection: Connection, code: int, reason: str) -> None:
        connection.deaf = True
        self.last_answers(connection)  # to what was asked before the breach
        if connection.phase is not _OPEN:
            return  # it cannot be written to
        self._enter_closing(connection, f"closed by us with {code} {reason}")
        connection.sendCloseFrame(code, encode_truncate(reason, 123))
        connection.transport.unregisterProducer()
        # Our end of TCP is closed, its end is read to the last: an outright close with bytes unread
        # would be a reset, which takes the close frame out of the peer's hands.
        sockets.close_writing(connection.transport)
        connection.transport.resumeProducing()

    def abort(self, connection: Connection, because: str) -> None:
        """Drop TCP at once. Never raises; harmless when it is over already."""
        if connection.phase is Phase.CLOSED:
            return
        connection.ended_because = connection.ended_because or because
        if connection.phase is not Phase.CLOSING:
            connection.phase = Phase.CLOSING
        connection.outbox.clear()
        connection.deaf = True
        try:
            if connection.transport is not None:
                connection.transport.abortConnection()
        except Exception:
            self._log.failure("{peer}: cannot even be dropped", peer=connection.peer)

    def close_all(self, code: int, reason: str) -> Deferred[None]:
        """Close every connection in good order, all at once; what opens later is closed at once.

        :returns: fires when all are gone, at most ``close_timeout`` later.
        """
        self._goodbye = (code, reason)
        for connection in tuple(self.connections):
            self.close(connection, code, reason)
        if not self.connections:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._all_gone.append(gone)
        return gone

    def _end_deadline(self, connection: Connection) -> None:
        if connection.deadline is not None:
            connection.deadline.cancel()
            connection.deadline = None

    def _enter_closing(self, connection: Connection, because: str) -> None:
        connection.phase = Phase.CLOSING
        connection.ended_because = connection.ended_because or because
        connection.outbox.clear()
        connection.deadline = self._clock.callLater(
            self.limits.close_timeout, self._close_timed_out, connection
        )
        self.guard(connection, self._tell_closing)

    def _tell_closing(self, connection: Connection) -> None:
        connection.handler.closing(connection, connection.remoteCloseCode, self._why(connection, None))

    def _why(self, connection: Connection, reason: str | None) -> str:
        because = connection.ended_because or reason or "lost"
        if connection.remoteCloseReason and not connection.closedByMe:
            because = f"{because}: {connection.remoteCloseReason}"
        return because

    def _close_timed_out(self, connection: Connection) -> None:
        connection.deadline = None
        self.counters.close_timeouts += 1
        self.abort(connection, "close_timeout")

    # -- what connections are called back with, each through the guard

    def guard(
        self,
        connection: _Guarded,
        callback: Callable[Concatenate[_Guarded, _Params], Any],
        /,
        *args: _Params.args,
        **kwargs: _Params.kwargs,
    ) -> None:
        """Call back; what it raises is logged and costs this connection, and nobody else anything."""
        try:
            callback(connection, *args, **kwargs)
        except Exception:
            self.we_failed(connection)

    def we_failed(self, connection: Connection) -> None:
        """A callback of a connection raised. Called where that is handled."""
        self.counters.callback_failures += 1
        self._log.failure("{peer}: dropped, for we failed", peer=connection.peer)
        self.abort(connection, "an internal error")

    def read(self, connection: Connection, data: bytes) -> None:
        """Bytes came."""
        connection.heard = True
        if connection.deaf:
            return
        scheduler = self.flush_scheduler
        outermost = not scheduler.reading
        scheduler.reading = connection.being_read = True
        if connection.rest:
            data, connection.rest = connection.rest + data, b""
        try:
            if (
                connection.phase is _OPEN
                and not (connection.held or connection.data or connection.inside_message)
                and connection.current_frame is None
            ):
                data = self.read_whole(connection, data)
            if data:
                connection.autobahn_read(data)
        finally:
            connection.being_read = False
            if outermost:
                scheduler.read_ended()
        if connection.waiting:
            if scheduler.reading:
                scheduler.add(connection)
            else:
                self.flush(connection)  # the answers to what was just read go out at once

    def read_whole(self, connection: Connection, data: bytes) -> bytes:
        """Read the whole frames at the beginning of what came; what is left is Autobahn's.

        Called only between two frames.
        """
        at = 0
        masks, limit, received = connection.masks, self.limits.max_message, connection.handler.received
        while True:
            frames = whole_frames(data, at, masks, limit)
            for first, payload, at in frames:
                try:
                    if first == TEXT:
                        if payload.isascii() or _is_utf8(payload):
                            connection.talked = True
                            received(connection, payload, False)
                        else:
                            self.fail(connection, 1007, "text that is not UTF-8")
                    elif first == PONG:
                        self.ponged(connection, payload)
                    else:
                        self.pinged(connection, payload)
                except Exception:
                    self.we_failed(connection)
                if connection.held or connection.deaf or connection.phase is not _OPEN:
                    return data[at:]
            if len(frames) < AT_ONCE:
                break
        rest = data[at:]
        if rest and begins_frame(rest, masks, limit):
            connection.rest, rest = rest, b""
            connection.talked = True
        return rest

    def opened(self, connection: Connection) -> None:
        """The opening handshake is done."""
        connection.phase = _OPEN
        self.counters.opened += 1
        self.connections.add(connection)
        self._end_deadline(connection)
        transport = connection.transport
        sockets.prepare(transport, self.limits.tcp_user_timeout, self.limits.ping_interval)
        transport.registerProducer(connection, True)
        connection.liveness = Liveness(
            self._clock.seconds(), self.limits.ping_interval, self.limits.ping_timeout
        )
        if self._goodbye is not None:
            self.close(connection, *self._goodbye)
            return
        connection.handler.opened(connection)

    def received(self, connection: Connection) -> None:
        """A message is whole."""
        if connection.phase is not _OPEN:
            return
        payload, binary = connection.assembly.end(), connection.assembly.binary
        if not binary and not _is_utf8(payload):
            self.fail(connection, 1007, "text that is not UTF-8")
            return
        connection.handler.received(connection, payload, binary)

    def pinged(self, connection: Connection, payload: bytes) -> None:
        """A ping came. It is answered at once, or, while the peer does not read, its newest later."""
        if connection.phase is not _OPEN:
            return
        if connection.congested:
            connection.owed_pong = payload
        else:
            connection.sendPong(payload)

    def ponged(self, connection: Connection, payload: bytes) -> None:
        """A pong came."""
        if connection.liveness is not None:
            number = connection.liveness.pong(payload)
            if number and connection.positions is not None and connection.phase is _OPEN:
                connection.positions.ponged(number)

    def writable(self, connection: Connection) -> None:
        """The transport can take more."""
        connection.congested = False
        if connection.phase is not _OPEN:
            return
        if connection.owed_pong is not None:
            connection.sendPong(connection.owed_pong)
            connection.owed_pong = None
        self.flush(connection)
        if not connection.outbox and not connection.congested:
            connection.handler.caught_up(connection)

    def last_answers(self, connection: Connection) -> None:
        """The end has begun: what was asked before is answered before our close frame, events are dropped."""
        connection.outbox.drop_events()
        self.flush(connection)

    def peer_closes(self, connection: Connection) -> None:
        """A close frame came; after it no data frame is sent (RFC 6455, 5.5.1)."""
        if connection.phase is _OPEN:
            self._enter_closing(connection, "closed by the peer")

    def lost(self, connection: Connection, reason: Failure) -> None:
        """TCP is over. Autobahn calls ``onClose`` from here; if it fails to, we do."""
        if not connection.ended_because:
            connection.ended_because = tls_trouble(reason.value)
        try:
            connection.autobahn_lost(reason)
        finally:
            self.closed(connection, None, None)

    def closed(self, connection: Connection, code: int | None, reason: str | None) -> None:
        """It is over: everything that the connection owns ends here, once."""
        if connection.phase is Phase.CLOSED:
            return
        was_open = connection in self.connections
        connection.phase = Phase.CLOSED
        self.connections.discard(connection)
        connection.outbox.clear()
        connection.rest = b""
        connection.waiting = False
        self._end_deadline(connection)
        self.counters.closed += was_open
        told = connection.remoteCloseCode
        because = self._why(connection, reason)
        try:
            connection.handler.closed(connection, told if told is not None else code, because)
        finally:
            connection.is_closed.addCallback(_forget)
            if not self.connections:
                self._all_gone, waiting = [], self._all_gone
                for gone in waiting:
                    gone.callback(None)

    # -- liveness

    def sweep(self) -> None:
        """Look at every connection: ping those whose time it is, drop the dead. Never raises."""
        now = self._clock.seconds()
        elapsed = now - self._swept
        self._swept = now
        # If we come late we did not read either: what the peers sent meanwhile still lies in the kernel.
        stalled = max(0.0, elapsed - self.limits.sweep_interval)
        for connection in tuple(self.connections):
            if connection.phase is _OPEN and connection.liveness is not None:
                self.guard(connection, self._look, now, elapsed if connection.held else stalled)

    def _look(self, connection: Connection, now: float, deaf: float) -> None:
        assert connection.liveness is not None
        verdict = connection.liveness.look(now, connection.heard, connection.talked, deaf)
        connection.heard = connection.talked = False
        if verdict is Verdict.DEAD or verdict is Verdict.MUTE:
            self.counters.dead_peers += 1
            self.abort(connection, connection.liveness.obituary(verdict))
        elif verdict is Verdict.PING and not connection.congested:
            self.ping(connection)
