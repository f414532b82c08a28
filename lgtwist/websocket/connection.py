"""One WebSocket connection: Autobahn's protocol, with a state of ours.

The connection owns that state: each change of it is in this module. What is sent, and how a connection ends,
is decided by :class:`~lgtwist.websocket.factory.ConnectionFactory`; each callback that may raise goes through
its guard. What Autobahn calls ``state``, ``is_open`` and ``log`` is Autobahn's own, and none of our names
collides with its (there is a test). Both directions are one class: who dialled makes a difference only for
the opening handshake and for the mask on frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from lgtwist.config.limits import Limits
from lgtwist.net.twisted_private import unwritten_bytes
from lgtwist.runtime.budget import Budget
from lgtwist.websocket.assembly import Assembly
from lgtwist.websocket.autobahn_private import AutobahnConnection
from lgtwist.websocket.liveness import Liveness, PeerVerdict
from lgtwist.websocket.outbox import Outbox
from lgtwist.websocket.phase import Phase, PhaseError, may_follow
from lgtwist.websocket.reading import AT_ONCE, PONG, TEXT, begins_frame, is_utf8, whole_frames

if TYPE_CHECKING:
    from lgtwist.websocket.factory import ConnectionFactory

#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_OPEN = Phase.OPEN
#: As much is handed to a transport at once (bytes); it says pause when more than 64 KiB wait in it.
CHUNK = 262_144

#: Why a connection is not read, as bits: too many responses wait for the peer; the peer's budget is used up;
#: the journal takes no more of its events; a large message is handled in the next reactor turn.
PAUSE_RESPONSES, PAUSE_BUDGET, PAUSE_JOURNAL, PAUSE_LARGE = 1, 2, 4, 8
#: Seconds without a byte written, though some wait, after which a connection is stuck.
_STUCK_SECONDS = 5.0
_ALL_PAUSES = PAUSE_RESPONSES | PAUSE_BUDGET | PAUSE_JOURNAL | PAUSE_LARGE


class Handler(Protocol):
    """Uses a connection. Called through the factory's guard: what it raises costs the connection only.

    :ivar budget: counts what is held because of the peer.
    """

    budget: Budget

    def opened(self, connection: Connection) -> None:
        """Begin: the opening handshake is done, the first frame may be sent."""

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        """Take a whole message. A text message is valid UTF-8; a binary one is not checked."""

    def dropped(self, connection: Connection, events: int) -> None:
        """Take note that the oldest ``events`` events were dropped, for the peer reads too slowly."""

    def caught_up(self, connection: Connection) -> None:
        """Take note that what waited for the peer, here or in the transport, is written."""

    def closing(self, connection: Connection, code: int | None, reason: str) -> None:
        """Send nothing more; ``closed`` follows. Not called where TCP just ends."""

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        """End: called once, last, whether the connection was open or not."""


class PingAcks(Protocol):
    """Keeps account of how far a peer has read. Called through the factory's guard."""

    def position_of(self, number: int) -> int:
        """Return the position that ping ``number`` names: it follows everything that was put in so far."""

    def ponged(self, number: int) -> None:
        """Take note that the peer answered ping ``number``: it has read all before it (RFC 6455, 5.5.3)."""


class Connection(AutobahnConnection):
    """A connection, whoever dialled.

    Only its own methods change its attributes, but for ``ping_acks``; all run in the reactor thread.

    :ivar phase: see :class:`Phase`; changed by :meth:`enter`. The question "may I send?" is
        ``factory.is_open(connection)``.
    :ivar outbox: the frames that wait to be written.
    :ivar assembly: the fragmented message under way.
    :ivar liveness: what pings and heartbeats say of the peer; None before the connection is open.
    :ivar ping_acks: keeps account of how far the peer has read; set by a handler that needs it, else None.
    :ivar write_paused: the transport said pause: its buffer is full.
    :ivar read_paused: we do not read, for one or more reasons (:data:`PAUSE_RESPONSES` and its like).
    :ivar discarding_input: the peer broke the protocol or was dropped: what is still received is discarded
        (RFC 6455, 7.1.7).
    :ivar being_read: a read of this connection is under way.
    :ivar partial_frame: the beginning of a frame whose end has not come.
    :ivar flush_pending: something was put into the outbox since it was flushed last.
    :ivar flushed_at: when it was flushed last, in seconds of the factory's clock.
    :ivar masks: whether the peer must mask what it sends.
    :ivar budget: counts what is held because of the peer, over all its connections.
    :ivar charged: bytes that are counted there for this connection.
    :ivar unfinished_since: when the beginning of the message under way came, in seconds of the factory's
        clock, later by the time that we did not read; None between two messages.
    :ivar bytes_seen: some byte came since liveness was checked last.
    :ivar message_seen: some part of a message came since then.
    :ivar pending_pong: the payload of the newest ping that could not be answered yet (RFC 6455, 5.5.3 allows
        one answer for several pings).
    :ivar end_reason: why it ends or ended, in words; empty before.
    """

    factory: ConnectionFactory
    masks: bool

    def __init__(self, factory: Any, handler: Handler) -> None:
        super().__init__()
        limits = factory.limits
        self.factory = factory
        self.handler = handler
        self.phase = Phase.CONNECTING
        self.outbox = Outbox(limits.send_buffer)
        self.assembly = Assembly(limits.max_message)
        self.liveness: Liveness | None = None
        self.ping_acks: PingAcks | None = None
        self._deadline: IDelayedCall | None = None
        self.pending_pong: bytes | None = None
        self.end_reason = ""
        self.flushed_at = -1e9
        self._pauses = 0
        self.budget = handler.budget
        self.charged = self._unwritten = 0
        self.unfinished_since: float | None = None
        self._stuck_since = 0.0
        self.partial_frame = b""
        self.write_paused = self.read_paused = self.discarding_input = False
        self.bytes_seen = self.message_seen = self.flush_pending = self.being_read = False

    @staticmethod
    def encode(payload: bytes) -> bytes:
        """Return ``payload`` as one whole text frame, as this side of a connection sends it."""
        raise NotImplementedError

    @staticmethod
    def encode_ping(payload: bytes) -> bytes:
        """Return a ping, as this side of a connection sends it."""
        raise NotImplementedError

    # -- life

    def enter(self, phase: Phase) -> None:
        """Enter the next phase.

        :raises PhaseError: if it may not follow the current one.
        """
        if not may_follow(self.phase, phase):
            raise PhaseError(self.phase, phase)
        self.phase = phase

    def note_end(self, reason: str) -> None:
        """Keep why the connection ends; the first reason stays."""
        self.end_reason = self.end_reason or reason

    def without_secrets(self, words: str) -> str:
        """Return a peer's words without what only we and the peer are to know."""
        return words

    def set_deadline(self, seconds: float, missed: Callable[[Connection], None]) -> None:
        """Call ``missed`` with the connection after so many seconds, unless the deadline is cancelled."""
        self._deadline = self.factory.clock.callLater(seconds, self._deadline_missed, missed)

    def _deadline_missed(self, missed: Callable[[Connection], None]) -> None:
        self._deadline = None
        missed(self)

    def cancel_deadline(self) -> None:
        """Cancel the deadline, if there is one."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def begin_liveness(self, now: float) -> None:
        """Watch the peer from now on, by the factory's limits."""
        limits = self.factory.limits
        self.liveness = Liveness(now, limits.ping_interval, limits.ping_timeout)

    def set_limits(self, limits: Limits, now: float) -> None:
        """Take other limits, from the next frame on."""
        self.outbox.limit = limits.send_buffer
        self.assembly.limit = limits.max_message
        if self.liveness is not None:
            self.liveness.configure(now, limits.ping_interval, limits.ping_timeout)

    def check_liveness(self, now: float, not_reading: float) -> PeerVerdict:
        """Return what is to be done about the peer, by what it sent since the last check.

        :param not_reading: for how many seconds since then we did not read.
        """
        assert self.liveness is not None
        verdict = self.liveness.check(now, self.bytes_seen, self.message_seen, not_reading)
        self.bytes_seen = self.message_seen = False
        return verdict

    def discard_input(self) -> None:
        """Discard whatever is received from now on, and what has come of a message."""
        self.discarding_input = True
        self.assembly.begin(False)
        self.partial_frame = b""

    def release(self) -> None:
        """Release all that the connection holds; called once, when it is over."""
        self.outbox.clear()
        self.partial_frame = b""
        self.assembly.begin(False)
        self.flush_pending = False
        self.cancel_deadline()
        charged, self.charged = self.charged, 0
        self.budget.release(charged)
        self.budget.forget(self)

    # -- what is held because of the peer

    @property
    def _unfinished(self) -> bool:
        """Whether the beginning of a message has come, and not its end. Call it on open connections only."""
        return bool(self.partial_frame or self.inside_message or self.data)

    def settle(self) -> None:
        """Count in the budget what is held now: of a message whose end has not come, and of what waits.

        Where the budget is used up, drop the events that wait, and wait before reading on in a message.
        """
        if self.phase is Phase.CLOSED:
            return
        outbox, budget = self.outbox, self.budget
        now = outbox.size + unwritten_bytes(self.transport)
        now += len(self.partial_frame) + self.assembly.size + len(self.data)
        more, self.charged = now - self.charged, now
        if more < 0:
            budget.release(-more)
            return
        budget.charge(more)
        if budget.exceeded and self.phase is _OPEN:
            self.factory.guard(self, Connection._over_budget)

    def is_overdue(self, now: float, timeout: float, not_reading: float) -> bool:
        """Return whether the end of a message has not come within ``timeout`` seconds of its beginning.

        :param not_reading: for how many seconds since the last check we did not read; they do not count.
        """
        if self.unfinished_since is None:
            return False
        self.unfinished_since += not_reading
        return now - self.unfinished_since > timeout

    def is_stuck(self, now: float) -> bool:
        """Return whether something waits, and for some seconds the transport has written nothing of it.

        Call it regularly.
        """
        self.settle()
        unwritten = unwritten_bytes(self.transport)
        if not unwritten or unwritten != self._unwritten:
            self._unwritten, self._stuck_since = unwritten, now
        return now - self._stuck_since > _STUCK_SECONDS

    def _over_budget(self) -> None:
        outbox, factory = self.outbox, self.factory
        if outbox.size > outbox.response_bytes:
            self.handler.dropped(self, outbox.drop_events())
            self.settle()
            return
        if self._unfinished and not self.budget.may_read(self) and not self._pauses & PAUSE_BUDGET:
            if self.budget.wait(self):
                self.pause_reading(PAUSE_BUDGET)
            else:
                factory.close(self, 1013, "too much is held because of this peer (peer_memory)")

    def budget_freed(self) -> None:
        """Read on in the next reactor turn: the budget has room again, or it is this connection's turn."""
        self.factory.clock.callLater(0, self.factory.guard, self, Connection.read_on, PAUSE_BUDGET)

    # -- writing

    def schedule_flush(self) -> None:
        """Write what was just put in at the end of what is being read, or of the reactor's turn."""
        self.flush_pending = True
        if not self.being_read and not self.write_paused:
            self.factory.flush_scheduler.add(self)

    def expect_flush(self) -> None:
        """Keep what is sent from now on behind what is in the outbox: somebody else flushes it."""
        self.flush_pending = True

    def flush(self) -> None:
        """Write what waits, as far as the transport takes it. Never raises."""
        self.flush_pending = False
        factory, outbox = self.factory, self.outbox
        more = True
        try:
            while more and self.phase is _OPEN and not self.write_paused:
                data = outbox.take(CHUNK)
                more = len(data) >= CHUNK
                if data:
                    self.flushed_at = factory.clock.seconds()
                    factory.write(self, data)
            if self._pauses & PAUSE_RESPONSES and outbox.response_bytes <= factory.limits.send_buffer // 2:
                more = True
                if self.unpause_reading(PAUSE_RESPONSES):
                    self.read_buffered()
        except Exception:
            factory.send_failed(Failure(), self)
        if self.charged:
            self.settle()
        if more and outbox:
            self.flush_pending = True
            if not self.write_paused and self.phase is _OPEN:
                factory.flush_scheduler.add(self)

    def pauseProducing(self) -> None:
        """Stop writing: the transport's buffer is full. Called again at every write while it is."""
        self.write_paused = True

    def resumeProducing(self) -> None:
        """Write on: the transport's buffer is empty."""
        self.factory.guard(self, Connection.write_resumed)

    def stopProducing(self) -> None:
        """Stop writing: the transport is gone; ``connectionLost`` follows."""
        self.write_paused = True

    def write_resumed(self) -> None:
        """Write what waited for the transport; tell the handler when nothing is left."""
        self.write_paused = False
        if self.phase is not _OPEN:
            return
        if self.pending_pong is not None:
            self.sendPong(self.pending_pong)
            self.pending_pong = None
        self.flush()
        if not self.outbox and not self.write_paused:
            self.handler.caught_up(self)

    # -- reading

    def pause_reading(self, reason: int) -> None:
        """Read no more, until each reason is gone.

        :param reason: one of :data:`PAUSE_RESPONSES`, :data:`PAUSE_BUDGET`, :data:`PAUSE_JOURNAL`.
        """
        self._pauses |= reason
        if not self.read_paused:
            self.read_paused = True
            self.transport.pauseProducing()

    def unpause_reading(self, reason: int = _ALL_PAUSES) -> bool:
        """Let the transport read again, if no other reason is left.

        :returns: whether it reads; then :meth:`read_buffered` reads what the transport gave before.
        """
        self._pauses &= ~reason
        if self.read_paused and not self._pauses:
            self.read_paused = False
            self.transport.resumeProducing()
        return not self.read_paused

    def read_buffered(self) -> None:
        """Read on in what was received while reading was paused."""
        if not self.being_read:  # else the read that is under way goes on by itself
            self.being_read = True
            try:
                self.consumeData()
            finally:
                self.being_read = False
            self._note_unfinished()

    def read_on(self, reason: int) -> None:
        """Read on if no other reason to pause is left, first in what was received before.

        :param reason: to pause, which is gone: one of :data:`PAUSE_BUDGET` and its like.
        """
        if self.phase is _OPEN and self.unpause_reading(reason):
            self.read_buffered()
            if self.flush_pending and not self.write_paused:
                self.factory.flush_scheduler.add(self)

    def _note_unfinished(self) -> None:
        """Note whether the connection is in the middle of a message, and count what is held."""
        if self.phase is not _OPEN:
            return
        if self.partial_frame or self.inside_message or self.data:
            if self.unfinished_since is None:
                self.unfinished_since = self.factory.clock.seconds()
            self.settle()
        else:
            self.unfinished_since = None
            if self.charged:
                self.settle()

    def dataReceived(self, data: bytes) -> None:
        """Read bytes. Guarded as all callbacks, without the call that costs."""
        try:
            self.read(data)
        except Exception:
            self.factory.callback_failed(self)

    def read(self, data: bytes) -> None:
        """Read bytes: whole frames at once, anything else by Autobahn; then write the answers."""
        self.bytes_seen = True
        if self.discarding_input:
            return
        scheduler = self.factory.flush_scheduler
        outermost = not scheduler.reading
        scheduler.reading = self.being_read = True
        if self.partial_frame:
            data, self.partial_frame = self.partial_frame + data, b""
        try:
            if (
                self.phase is _OPEN
                and not (self.read_paused or self.data or self.inside_message)
                and self.current_frame is None
            ):
                data = self.read_whole(data)
            if data:
                self.autobahn_read(data)
        finally:
            self.being_read = False
            if outermost:
                scheduler.read_ended()
        if self.flush_pending:
            if scheduler.reading:
                scheduler.add(self)
            else:
                self.flush()  # the answers to what was just read go out at once
        if data or self.partial_frame or self.charged:  # else whole frames were all there was
            self._note_unfinished()

    def read_whole(self, data: bytes) -> bytes:
        """Read the whole frames at the beginning of ``data``. Call it only between two frames.

        :returns: what is left for Autobahn.
        """
        at = 0
        factory, received = self.factory, self.handler.received
        masks, limit = self.masks, factory.limits.max_message
        while True:
            frames = whole_frames(data, at, masks, limit)
            for first, payload, at in frames:
                try:
                    if first == TEXT:
                        if payload.isascii() or is_utf8(payload):
                            self.message_seen = True
                            received(self, payload, False)
                        else:
                            factory.fail(self, 1007, "text that is not UTF-8")
                    elif first == PONG:
                        self.pong_received(payload)
                    else:
                        self.answer_ping(payload)
                except Exception:
                    factory.callback_failed(self)
                if self.read_paused or self.discarding_input or self.phase is not _OPEN:
                    self.unfinished_since = None
                    return data[at:]
            if len(frames) < AT_ONCE:
                break
        if self.unfinished_since is not None and at:
            self.unfinished_since = None
        rest = data[at:]
        if rest and begins_frame(rest, masks, limit):
            self.partial_frame, rest = rest, b""
            self.message_seen = True
        return rest

    def answer_ping(self, payload: bytes) -> None:
        """Answer a ping at once; while the transport takes nothing, answer the newest one later."""
        if self.phase is not _OPEN:
            return
        if self.write_paused:
            self.pending_pong = payload
        else:
            self.sendPong(payload)

    def pong_received(self, payload: bytes) -> None:
        """Take note of a pong."""
        if self.liveness is not None:
            number = self.liveness.pong(payload)
            if number and self.ping_acks is not None and self.phase is _OPEN:
                self.ping_acks.ponged(number)

    def message_received(self) -> None:
        """Hand a message that came in fragments to the handler."""
        if self.phase is not _OPEN:
            return
        self.unfinished_since = None
        payload = self.assembly.end()
        if payload is None:
            self.factory.fail(self, 1007, "text that is not UTF-8")
            return
        self.handler.received(self, payload, self.assembly.binary)
        self.budget.message_ended(self)

    # -- called by Twisted

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: TCP is over."""
        self.factory.guard(self, self.factory.lost, reason)

    # -- called by Autobahn

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Write what Autobahn has made, behind what waits: each control frame and message comes through here.

        :param sync: for Autobahn's test suite, which also cuts writes into pieces; not heeded.
        """
        if self.flush_pending:
            self.factory.write_first(self)
        self.transport.write(data)

    def consumeData(self) -> None:
        """Read on in what has come, unless reading is paused."""
        if self.phase is Phase.CONNECTING:
            super().consumeData()
            return
        while not (self.read_paused or self.discarding_input or self.state == self.STATE_CLOSED):
            between = self.current_frame is None and not self.inside_message
            if between and self.data and self.phase is _OPEN:
                # After a frame that was left to Autobahn the next ones may be parsed here again.
                data, self.data = self.data, b""
                self.data = self.read_whole(data)
                if self.read_paused or self.discarding_input or not self.data:
                    break
            if not self.processData():
                break

    def onOpen(self) -> None:
        """Enter OPEN: the opening handshake is done."""
        self.factory.guard(self, self.factory.opened)

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin a message."""
        self.assembly.begin(isBinary)

    def onMessageFrameBegin(self, length: int) -> None:
        """Begin a data frame; its length may make the message too large."""
        self.message_seen = True
        if not self.assembly.announce(length):
            self.factory.fail(self, 1009, "message too large")

    def onMessageFrameData(self, payload: bytes) -> None:
        """Add a part of a data frame."""
        self.message_seen = True
        if self.phase is _OPEN and not self.discarding_input:
            self.assembly.add(payload)

    def onMessageFrameEnd(self) -> None:
        """Do nothing: a data frame ended."""

    def onMessageEnd(self) -> None:
        """Hand the message over: it is whole."""
        self.factory.guard(self, Connection.message_received)

    def onPing(self, payload: bytes) -> None:
        """Answer a ping."""
        self.factory.guard(self, Connection.answer_ping, payload)

    def onPong(self, payload: bytes) -> None:
        """Take note of a pong."""
        self.factory.guard(self, Connection.pong_received, payload)

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        """Write what waits, answer the peer's close frame, enter CLOSING."""
        self.factory.guard(self, self.factory.flush_responses)
        stop: bool | None = super().onCloseFrame(code, reasonRaw)  # answers it, or finds fault with it
        self.factory.guard(self, self.factory.peer_closes)
        return stop

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Enter CLOSED."""
        self.factory.guard(self, self.factory.closed, code, reason)

    def protocol_broken(self, code: int, reason: str) -> None:
        """End the connection: Autobahn found a breach of the protocol."""
        self.factory.fail(self, code, reason)
