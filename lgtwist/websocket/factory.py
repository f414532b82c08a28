"""Sends on connections, ends them, and counts; nothing of it raises.

The factory is the only caller of ``sendMessage``; each callback of each connection comes through
:meth:`ConnectionFactory.guard`. So a failure of a peer, Autobahn, TLS or the socket costs one connection, one
counter and at most one log line. A connection's state is changed by the connection's own methods only.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Concatenate, ParamSpec, TypeVar

from attrs import define
from autobahn.util import encode_truncate
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lgtwist.config.limits import Limits
from lgtwist.net import sockets
from lgtwist.net.tls import tls_trouble
from lgtwist.net.twisted_private import send_now
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.websocket.connection import CHUNK, PAUSE_RESPONSES, Connection
from lgtwist.websocket.liveness import PeerVerdict
from lgtwist.websocket.phase import Phase

_Params = ParamSpec("_Params")
_Guarded = TypeVar("_Guarded", bound=Connection)

#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_OPEN_PHASE = Phase.OPEN


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
    """Replace the result of Autobahn's ``is_closed``: the connection, which holds that Deferred."""


#: The protocol options of both of Autobahn's factories. Every timer is ours: Autobahn's take neither slow
#: readers into account nor a clock as an argument.
OPTIONS: dict[str, Any] = {
    "utf8validateIncoming": False,
    "failByDrop": True,  # ends reading at a breach; the dropping itself is _fail_connection, ours
    "echoCloseCodeReason": True,
    "openHandshakeTimeout": 0,
    "closeHandshakeTimeout": 0,
    "autoPingInterval": 0,
    "autoPingTimeout": 0,
}


class ConnectionFactory:
    """Sends on connections and ends them, whoever dialled: the base of the two factories.

    :param limits: the limits of each connection.
    :param clock: the reactor, or a clock in its place.
    :ivar connections: those that are open or closing.
    """

    _log = Logger()

    def _set_up(self, limits: Limits, clock: IReactorTime, scheduler: FlushScheduler | None) -> None:
        self.limits = limits
        self.flush_scheduler = FlushScheduler(clock) if scheduler is None else scheduler
        self._batch_bytes = min(CHUNK, limits.send_buffer)  # of events that wait for the end of a turn
        self.counters = WireCounters()
        self.connections: set[Connection] = set()
        self.clock = clock
        self._swept_at = clock.seconds()
        self._all_closed: list[Deferred[None]] = []
        self._shutdown_close: tuple[int, str] | None = None  # code and reason, also for who opens later

    def set_limits(self, limits: Limits) -> None:
        """Take other limits, for the connections that are there and those that come."""
        self.limits = limits
        self._batch_bytes = min(CHUNK, limits.send_buffer)
        for connection in self.connections:
            connection.set_limits(limits, self.clock.seconds())
            sockets.prepare(connection.transport, limits.tcp_user_timeout, limits.ping_interval)

    # -- sending

    def is_open(self, connection: Connection) -> bool:
        """Return whether data frames may be sent on ``connection``."""
        return connection.phase is _OPEN_PHASE

    def send(self, connection: Connection, payload: bytes) -> Deferred[Outcome]:
        """Send one text message that must not be lost. Never raises and never fails.

        It is written at once, or put behind what waits already.

        :returns: fires with what became of it.
        """
        if not self.is_open(connection):
            return succeed(Outcome.NOT_OPEN)
        if connection.write_paused or connection.outbox:
            self.respond(connection, connection.encode(payload))
            return succeed(Outcome.QUEUED)
        if self.flush_scheduler.hook_pending:
            self.flush_scheduler.run_hooks()
        sent = maybeDeferred(connection.sendMessage, payload)
        sent.addCallbacks(lambda _written: Outcome.WRITTEN, self.send_failed, errbackArgs=(connection,))
        return sent

    def respond(self, connection: Connection, frame: bytes) -> None:
        """Put a ready response behind those that wait; it must not be lost. Never raises.

        With more than ``send_buffer`` bytes of responses waiting, no more of the peer is read.
        """
        if connection.phase is not _OPEN_PHASE:
            return
        outbox = connection.outbox
        outbox.put_response(frame)
        if not connection.flush_pending:
            connection.schedule_flush()
        if outbox.response_bytes > self.limits.send_buffer:
            connection.pause_reading(PAUSE_RESPONSES)  # a reason of its own, also where there is another
        if connection.write_paused:
            connection.settle()

    def put(self, connection: Connection, frame: bytes) -> None:
        """Put a ready frame that must not be lost behind those that wait. Never raises.

        The caller bounds how many there are: there is no bound here.
        """
        if connection.phase is _OPEN_PHASE:
            connection.outbox.put_response(frame)
            if not connection.flush_pending:
                connection.schedule_flush()
            if connection.write_paused:
                connection.settle()

    def put_now(self, connection: Connection, frames: bytes) -> None:
        """Write ready frames that must not be lost, at once if nothing waits before them. Never raises."""
        if connection.phase is not _OPEN_PHASE:
            return
        if connection.flush_pending or connection.write_paused:
            self.put(connection, frames)
            return
        try:
            self.write(connection, frames)
        except Exception:
            self.send_failed(Failure(), connection)

    def ping(self, connection: Connection) -> None:
        """Put a ping behind everything that was put in so far. Never raises."""
        self.put(connection, self.ping_frame(connection))

    def ping_frame(self, connection: Connection) -> bytes:
        """Return the next ping (RFC 6455, 5.5.2), which the caller must put in at once."""
        if connection.liveness is None:
            return b""
        number = connection.liveness.next_ping()
        payload = b"%d" % number
        if connection.ping_acks is not None:
            payload = b"%b.%d" % (payload, connection.ping_acks.position_of(number))
        return connection.encode_ping(payload)

    def offer(self, connection: Connection, frame: bytes) -> None:
        """Put a ready event frame behind those that wait. The oldest events may be dropped. Never raises."""
        if connection.phase is not _OPEN_PHASE:
            return
        outbox = connection.outbox
        if not connection.write_paused and outbox.event_bytes + len(frame) > self._batch_bytes:
            connection.flush()  # many events within one turn are no reason to drop any
        dropped = outbox.put_event(frame)
        if not connection.flush_pending:
            connection.schedule_flush()
        if dropped:
            self.guard(connection, self._report_dropped, dropped)
        if connection.write_paused:
            connection.settle()

    def offer_all(self, connection: Connection, each: list[bytes], joined: bytes) -> None:
        """Send several event frames: in one write at once if nothing waits, else as :meth:`offer` does.

        :param each: the frames.
        :param joined: all of them, one after the other.
        """
        if connection.phase is not _OPEN_PHASE:
            return
        if connection.flush_pending or connection.write_paused:
            for frame in each:
                self.offer(connection, frame)
            return
        try:
            self.write(connection, joined)
        except Exception:
            self.send_failed(Failure(), connection)

    def flush_handshake(self, connection: Connection) -> None:
        """Write the answer to the opening handshake, and what was put behind it, when the turn ends."""
        if connection.write_paused and connection.phase is _OPEN_PHASE:
            # Paused by what an HTTP peer before it did not read. The outbox may be cleared; this must go out.
            self.write(connection, connection.outbox.take(CHUNK))
        self.flush_scheduler.add(connection)

    def write_first(self, connection: Connection) -> None:
        """Write what waits, before Autobahn writes; nothing is called back."""
        outbox = connection.outbox
        while outbox and not connection.write_paused:
            self.write(connection, outbox.take(CHUNK))

    def write(self, connection: Connection, data: bytes) -> None:
        """Write ``data`` behind what was written before.

        :raises Exception: whatever the transport raises.
        """
        if self.flush_scheduler.hook_pending:
            self.flush_scheduler.run_hooks()
        transport = connection.transport
        sent = send_now(transport, data)
        if sent < len(data):
            transport.write(data[sent:] if sent else data)
            connection.settle()

    def _report_dropped(self, connection: Connection, events: int) -> None:
        connection.handler.dropped(connection, events)

    def send_failed(self, failure: Failure, connection: Connection) -> Outcome:
        """Log and count a failed send, and drop its connection: the errback of every send."""
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
        elif connection.phase is _OPEN_PHASE:
            self.guard(connection, self._close_open, code, reason)

    def _close_open(self, connection: Connection, code: int, reason: str) -> None:
        connection.outbox.drop_events()
        while connection.outbox:  # responses, within send_buffer or so: written before the close frame
            self.write(connection, connection.outbox.take(CHUNK))
        self._enter_closing(connection, f"closed by us with {code} {reason}".rstrip())
        connection.unpause_reading()  # for the answer
        connection.sendCloseFrame(code, encode_truncate(reason, 123))
        connection.read_buffered()  # the answer may be in what was not read before

    def fail(self, connection: Connection, code: int, reason: str) -> None:
        """End a connection whose peer broke the protocol: close frame, no more reading (RFC 6455, 7.1.7).

        Never raises.
        """
        self.counters.protocol_errors += 1
        if connection.phase is Phase.CONNECTING:
            self.abort(connection, reason)
        elif connection.phase is _OPEN_PHASE:
            self.guard(connection, self._fail_open, code, reason)
        else:
            connection.discard_input()

    def _fail_open(self, connection: Connection, code: int, reason: str) -> None:
        connection.discard_input()
        self.flush_responses(connection)  # to what was asked before the breach
        if connection.phase is not _OPEN_PHASE:
            return  # it cannot be written to
        self._enter_closing(connection, f"closed by us with {code} {reason}")
        connection.sendCloseFrame(code, encode_truncate(reason, 123))
        connection.transport.unregisterProducer()
        # Our end of TCP is closed, its end is read to the last: an outright close with bytes unread
        # would be a reset, which takes the close frame out of the peer's hands.
        sockets.close_writing(connection.transport)
        connection.transport.resumeProducing()

    def abort(self, connection: Connection, because: str) -> None:
        """Drop TCP at once. Never raises; does nothing when the connection is over already."""
        if connection.phase is Phase.CLOSED:
            return
        connection.note_end(because)
        if connection.phase is not Phase.CLOSING:
            connection.enter(Phase.CLOSING)
        connection.outbox.clear()
        connection.discard_input()
        try:
            if connection.transport is not None:
                connection.transport.abortConnection()
        except Exception:
            self._log.failure("{peer}: cannot even be dropped", peer=connection.peer)

    def reset(self, connection: Connection, data: bytes, because: str) -> None:
        """Write what waits, and some bytes behind it, as far as the kernel takes them; then drop TCP.

        Never raises; does nothing to a connection that is not open.

        :param data: part of a frame; empty for none.
        """
        if connection.phase is _OPEN_PHASE:
            self.guard(connection, self._reset_open, data, because)

    def _reset_open(self, connection: Connection, data: bytes, because: str) -> None:
        connection.flush()
        if data and connection.phase is _OPEN_PHASE and not connection.outbox:
            self.write(connection, data)
        self.abort(connection, because)

    def close_all(self, code: int, reason: str) -> Deferred[None]:
        """Close every connection in good order, all at once; what opens later is closed at once.

        :returns: fires when all are gone, at most ``close_timeout`` later.
        """
        self._shutdown_close = (code, reason)
        for connection in tuple(self.connections):
            self.close(connection, code, reason)
        if not self.connections:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._all_closed.append(closed)
        return closed

    def _enter_closing(self, connection: Connection, because: str) -> None:
        connection.enter(Phase.CLOSING)
        connection.note_end(because)
        connection.outbox.clear()
        connection.set_deadline(self.limits.close_timeout, self._close_timed_out)
        self.guard(connection, self._report_closing)

    def _report_closing(self, connection: Connection) -> None:
        connection.handler.closing(connection, connection.remoteCloseCode, self._end_reason(connection, None))

    def _end_reason(self, connection: Connection, reason: str | None) -> str:
        because = connection.end_reason or reason or "lost"
        if connection.remoteCloseReason and not connection.closedByMe:
            because = f"{because}: {connection.without_secrets(connection.remoteCloseReason)}"
        return because

    def _close_timed_out(self, connection: Connection) -> None:
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
        """Call ``callback``. An exception is logged and drops this connection. Never raises."""
        try:
            callback(connection, *args, **kwargs)
        except Exception:
            self.callback_failed(connection)

    def callback_failed(self, connection: Connection) -> None:
        """Log the exception that is being handled, and drop the connection whose callback raised it."""
        self.counters.callback_failures += 1
        self._log.failure("{peer}: dropped, for we failed", peer=connection.peer)
        self.abort(connection, "an internal error")

    def opened(self, connection: Connection) -> None:
        """Enter OPEN: the opening handshake is done."""
        connection.enter(_OPEN_PHASE)
        self.counters.opened += 1
        self.connections.add(connection)
        connection.cancel_deadline()
        transport = connection.transport
        sockets.prepare(transport, self.limits.tcp_user_timeout, self.limits.ping_interval)
        transport.registerProducer(connection, True)
        connection.begin_liveness(self.clock.seconds())
        if self._shutdown_close is not None:
            self.close(connection, *self._shutdown_close)
            return
        connection.handler.opened(connection)

    def flush_responses(self, connection: Connection) -> None:
        """Write the responses that wait, before our close frame; drop the events."""
        connection.outbox.drop_events()
        connection.flush()

    def peer_closes(self, connection: Connection) -> None:
        """Enter CLOSING: a close frame came, after which no data frame is sent (RFC 6455, 5.5.1)."""
        if connection.phase is _OPEN_PHASE:
            self._enter_closing(connection, "closed by the peer")

    def lost(self, connection: Connection, reason: Failure) -> None:
        """End: TCP is over. Autobahn calls ``onClose`` from here; if it fails to, we do."""
        connection.note_end(tls_trouble(reason.value))
        try:
            connection.autobahn_lost(reason)
        finally:
            self.closed(connection, None, None)

    def closed(self, connection: Connection, code: int | None, reason: str | None) -> None:
        """Enter CLOSED: end everything that the connection owns, once."""
        if connection.phase is Phase.CLOSED:
            return
        was_open = connection in self.connections
        connection.enter(Phase.CLOSED)
        self.connections.discard(connection)
        connection.release()
        self.counters.closed += was_open
        received = connection.remoteCloseCode
        because = self._end_reason(connection, reason)
        try:
            connection.handler.closed(connection, received if received is not None else code, because)
        finally:
            connection.is_closed.addCallback(_forget)
            if not self.connections:
                self._all_closed, waiting = [], self._all_closed
                for one in waiting:
                    one.callback(None)

    # -- liveness

    def sweep(self) -> None:
        """Check the liveness of every connection: ping it, or drop it if its peer is dead. Never raises."""
        now = self.clock.seconds()
        elapsed = now - self._swept_at
        self._swept_at = now
        # If this call is late, nothing was read meanwhile: what the peers sent still lies in the kernel.
        stalled = max(0.0, elapsed - self.limits.sweep_interval)
        for connection in tuple(self.connections):
            if connection.phase is _OPEN_PHASE and connection.liveness is not None:
                not_reading = elapsed if connection.read_paused else stalled
                self.guard(connection, self._check_liveness, now, not_reading)
                if connection.charged or connection.unfinished_since is not None:
                    self.guard(connection, self._check_progress, now, not_reading)

    def _check_progress(self, connection: Connection, now: float, not_reading: float) -> None:
        """End a connection whose message does not end, or that takes nothing while its peer's budget is full.

        :param not_reading: for how many seconds since the last check we did not read.
        """
        timeout = self.limits.body_timeout
        if connection.is_overdue(now, timeout, not_reading):
            self.fail(connection, 1008, f"a message did not end within body_timeout ({timeout:g} s)")
        elif connection.is_stuck(now) and 2 * connection.budget.used > connection.budget.limit:
            sentence = "it takes nothing, and too much is held because of this peer (peer_memory)"
            self.close(connection, 1013, sentence)

    def _check_liveness(self, connection: Connection, now: float, not_reading: float) -> None:
        assert connection.liveness is not None
        verdict = connection.check_liveness(now, not_reading)
        if verdict is PeerVerdict.DEAD or verdict is PeerVerdict.MUTE:
            self.counters.dead_peers += 1
            self.abort(connection, connection.liveness.reason(verdict))
        elif verdict is PeerVerdict.PING and not connection.write_paused:
            self.ping(connection)
