"""One WebSocket connection: Autobahn's protocol, with our own words for its state.

Nothing is decided here. Each callback is handed to the factory through its guard; what Autobahn calls
``state``, ``is_open`` and ``log`` is Autobahn's own, and none of our names collides with its (there is
a test). Both directions are one class: who dialled makes a difference only for the opening handshake
and for the mask on frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from autobahn.twisted.websocket import WebSocketAdapterProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from lgtwist.net.tls import end
from lgtwist.websocket.assembly import Assembly
from lgtwist.websocket.liveness import Liveness
from lgtwist.websocket.outbox import Outbox
from lgtwist.websocket.phase import Phase

if TYPE_CHECKING:
    from lgtwist.websocket.factory import ConnectionFactory


class Handler(Protocol):
    """What stands behind a connection. Called through the factory's guard: it may raise."""

    def opened(self, connection: Connection) -> None:
        """The handshake is done; the first frame may be sent."""

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        """A whole message came. A text message is valid UTF-8; a binary one is not looked at."""

    def dropped(self, connection: Connection, events: int) -> None:
        """The peer reads too slowly: its oldest ``events`` events were dropped."""

    def caught_up(self, connection: Connection) -> None:
        """Nothing waits for the peer any more, here or in the transport, after something did."""

    def closing(self, connection: Connection, code: int | None, reason: str) -> None:
        """Nothing can be sent any more; ``closed`` follows. Not called where TCP just ends."""

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        """It is over, opened or not; called once, last."""


class Positions(Protocol):
    """What keeps account of how far a peer has read. Called through the factory's guard."""

    def named_by(self, number: int) -> int:
        """A ping with that number follows everything that was put in so far; the position that it names."""

    def ponged(self, number: int) -> None:
        """The peer answered that ping: it has read all before it (RFC 6455, 5.5.3)."""


class _AutobahnLog:
    """Autobahn's log lines, without those that repeat what we log ourselves in one line."""

    _errors = Logger("autobahn")

    def debug(self, *args: object, **kwargs: object) -> None:
        """Nothing: it is called several times for each message."""

    trace = info = warn = debug

    def error(self, format: str = "", **kwargs: Any) -> None:
        """Something that Autobahn did not expect."""
        self._errors.error(format, **kwargs)

    critical = failure = error


class Connection(WebSocketAdapterProtocol, WebSocketProtocol):
    """A connection, whoever dialled.

    :ivar phase: where it stands; the question "may I send?" is ``factory.is_open(connection)``.
    :ivar outbox: the frames that wait to be written.
    :ivar congested: the transport said pause: its buffer is full.
    :ivar held: we do not read, for too many responses wait already.
    :ivar deaf: the peer broke the protocol: what still comes is thrown away (RFC 6455, 7.1.7).
    :ivar rest: the beginning of a frame whose end has not come.
    :ivar flushed_at: when it was written to last, in seconds.
    :ivar masks: whether the peer must mask what it sends.
    :ivar heard: some byte came since liveness looked last.
    :ivar talked: some part of a message came since then.
    :ivar positions: where it is of interest how far the peer has read.
    :ivar owed_pong: the newest ping that could not be answered yet (RFC 6455, 5.5.3 allows one answer).
    """

    factory: ConnectionFactory
    masks: bool
    transport: Any
    peer: Any
    _transport_details: Any
    log = _AutobahnLog()

    def __init__(self, handler: Handler, send_buffer: int, max_message: int) -> None:
        super().__init__()
        self.handler = handler
        self.phase = Phase.CONNECTING
        self.outbox = Outbox(send_buffer)
        self.assembly = Assembly(max_message)
        self.liveness: Liveness | None = None
        self.positions: Positions | None = None
        self.deadline: IDelayedCall | None = None
        self.owed_pong: bytes | None = None
        self.ended_because = ""
        self.flushed_at = -1e9
        self.rest = b""
        self.congested = self.held = self.deaf = False
        self.heard = self.talked = self.waiting = self.being_read = False

    @classmethod
    def configured(cls, factory: Any) -> Any:
        """The class with a factory's options as its own attributes.

        Autobahn would copy each of them into each connection, and write all of them down for a log line.
        """
        protocol: Any = cls
        options = {name: getattr(factory, name) for name in protocol.CONFIG_ATTRS}
        return type(cls.__name__, (cls,), {**options, "CONFIG_ATTRS": (), "__doc__": cls.__doc__})

    @staticmethod
    def encode(payload: bytes) -> bytes:
        """``payload`` as one whole text frame, as this side of a connection sends it."""
        raise NotImplementedError

    @staticmethod
    def encode_ping(payload: bytes) -> bytes:
        """A ping, as this side of a connection sends it."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write what waits. Never raises."""
        self.factory.flush(self)

    # -- called by Twisted

    def dataReceived(self, data: bytes) -> None:
        """Bytes came. Guarded like all else, only without a detour."""
        factory = self.factory
        try:
            factory.read(self, data)
        except Exception:
            factory.we_failed(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """TCP is over."""
        self.factory.guard(self, self.factory.lost, reason)

    def pauseProducing(self) -> None:
        """The transport's buffer is full. Said again at every write while it is."""
        self.congested = True

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self.factory.guard(self, self.factory.writable)

    def stopProducing(self) -> None:
        """The transport is gone; ``connectionLost`` follows."""
        self.congested = True

    # -- Autobahn's own part of what Twisted calls

    def autobahn_read(self, data: bytes) -> None:
        """Parse what came."""
        self._dataReceived(data)

    def autobahn_lost(self, reason: Failure) -> None:
        """End; ``onClose`` comes from here."""
        end_of_autobahn: Any = self._connectionLost  # its hint says that a reason is a str
        end_of_autobahn(reason)

    # -- called by Autobahn

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Write what Autobahn has made, behind what waits: each control frame and message comes through here.

        :param sync: for Autobahn's test suite, which also cuts writes into pieces; not heeded.
        """
        if self.waiting:
            self.factory.write_first(self)
        self.transport.write(data)

    def consumeData(self) -> None:
        """Read on in what has come, unless that waits because of :attr:`held`."""
        if self.phase is Phase.CONNECTING:
            super().consumeData()
            return
        while not (self.held or self.deaf or self.state == self.STATE_CLOSED):
            between = self.current_frame is None and not self.inside_message
            if between and self.data and self.phase is Phase.OPEN:
                # One odd frame is no reason to read the rest slowly.
                data, self.data = self.data, b""
                self.data = self.factory.read_whole(self, data)
                if self.held or self.deaf or not self.data:
                    break
            if not self.processData():
                break

    def onOpen(self) -> None:
        """The opening handshake is done."""
        self.factory.guard(self, self.factory.opened)

    def onMessageBegin(self, isBinary: bool) -> None:
        """The first frame of a message begins."""
        self.assembly.begin(isBinary)

    def onMessageFrameBegin(self, length: int) -> None:
        """A data frame begins."""
        self.talked = True
        if not self.assembly.announce(length):
            self.factory.fail(self, 1009, "message too large")

    def onMessageFrameData(self, payload: bytes) -> None:
        """A part of a data frame came."""
        self.talked = True
        if not self.deaf:
            self.assembly.add(payload)

    def onMessageFrameEnd(self) -> None:
        """A data frame ended."""

    def onMessageEnd(self) -> None:
        """The message is whole."""
        self.factory.guard(self, self.factory.received)

    def onPing(self, payload: bytes) -> None:
        """The peer asks whether we are there."""
        self.factory.guard(self, self.factory.pinged, payload)

    def onPong(self, payload: bytes) -> None:
        """The peer says it is there."""
        self.factory.guard(self, self.factory.ponged, payload)

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        """The peer sent a close frame."""
        self.factory.guard(self, self.factory.last_answers)
        stop: bool | None = super().onCloseFrame(code, reasonRaw)  # answers it, or finds fault with it
        self.factory.guard(self, self.factory.peer_closes)
        return stop

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """It is over."""
        self.factory.guard(self, self.factory.closed, code, reason)

    def _fail_connection(self, code: int = 1002, reason: str = "protocol error") -> None:
        # Autobahn's one way out for each breach of the protocol.
        self.factory.fail(self, code, reason)

    def _closeConnection(self, abort: bool = False) -> None:
        # After a clean closing handshake a reset would take our close frame from the peer's buffer.
        if abort and not self.wasClean:
            super()._closeConnection(abort)
        else:
            self.transport.unregisterProducer()  # TLS does not end while it has one
            end(self.transport)
