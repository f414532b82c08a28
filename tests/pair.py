"""An in-memory connected pair: our connection, and a peer that does exactly what a test says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport

from lgtwist.config.limits import Limits
from lgtwist.runtime.budget import unlimited
from lgtwist.websocket.client import ClientFactory, Request
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.phase import Phase
from lgtwist.websocket.server import ServerFactory
from tests.integration.rawclient import CLOSE, PING, PONG, TEXT, masked_frame

#: A ``Sec-WebSocket-Key``.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Transport(FakeTransport):
    """iosim's transport, with a buffer that fills and a peer that may stop reading.

    :ivar taken: what the peer has read.
    :ivar reading: whether the peer reads at all.
    """

    BUFFER = 65_536

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol, isServer=True)
        self.taken = b""
        self.reading = True
        self.paused = False
        self.aborted = False
        self.write_closed = False
        self.fails_with: Exception | None = None

    def write(self, data: bytes) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        assert not self.write_closed, "written after the end"
        super().write(data)
        if self.producer is not None and self.waiting > self.BUFFER:
            self.producer.pauseProducing()

    @property
    def waiting(self) -> int:
        """Bytes that the peer has not read."""
        return sum(map(len, self.stream))

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def drain(self) -> None:
        """The peer reads all there is, and we are told so."""
        while self.stream:
            self.taken += self.getOutBuffer() or b""
            if self.producer is not None:
                self.producer.resumeProducing()


class RecordingHandler:
    """Writes down what it is called with. ``answers`` may be given what to do on a message."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.budget = unlimited()

    def opened(self, connection: Connection) -> None:
        self.calls.append(("opened",))

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        self.calls.append(("received", payload, binary))

    def dropped(self, connection: Connection, events: int) -> None:
        self.calls.append(("dropped", events))

    def caught_up(self, connection: Connection) -> None:
        self.calls.append(("caught_up",))

    def closing(self, connection: Connection, code: int | None, reason: str) -> None:
        self.calls.append(("closing", code, reason))

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        self.calls.append(("closed", code, reason))

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] == name]


class Peer:
    """The other end of one connection, a client's.

    :ivar masks: whether its frames are masked.
    """

    masks = True
    mask_bit = 0x80

    def __init__(self, pair: Pair, handler: Any) -> None:
        self.pair = pair
        self.handler = handler
        self.connection = self.make_connection()
        self.transport = Transport(self.connection)
        self._parsed = 0
        self.connection.makeConnection(self.transport)

    def make_connection(self) -> Connection:
        return self.pair.factory.make(self.handler)

    def open(self) -> Peer:
        """Do the opening handshake."""
        self.shake_hands()
        self.pair.turn()
        head, _mark, rest = self.transport.taken.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        self._parsed = len(self.transport.taken) - len(rest)
        return self

    def shake_hands(self) -> None:
        """The peer's part of the opening handshake came, and was found good."""
        self.pair.factory.accept(self.connection, KEY)

    def frames(self) -> list[tuple[int, bytes]]:
        """The frames that came since the last time."""
        self.pair.turn()
        found = []
        data = self.transport.taken[self._parsed :]
        while len(data) >= 2:
            length, start = data[1] & 0x7F, 2
            masked = data[1] & 0x80
            if length == 126:
                length, start = struct.unpack("!H", data[2:4])[0], 4
            elif length == 127:
                length, start = struct.unpack("!Q", data[2:10])[0], 10
            key = data[start : start + 4] if masked else b"\0\0\0\0"
            start += len(key) if masked else 0
            assert len(data) >= start + length, "half a frame"
            payload = bytes(byte ^ key[n % 4] for n, byte in enumerate(data[start : start + length]))
            found.append((data[0] & 0x0F, payload))
            data = data[start + length :]
        self._parsed = len(self.transport.taken) - len(data)
        return found

    def close_code(self) -> int | None:
        """The code in the one frame that came since the last time, which is a close frame."""
        [(opcode, payload)] = self.frames()
        assert opcode == CLOSE, f"opcode {opcode} is not that of a close frame"
        return int.from_bytes(payload[:2], "big") if payload else None

    def texts(self) -> list[bytes]:
        """The text messages that came since the last time."""
        return [payload for opcode, payload in self.frames() if opcode == TEXT]

    def messages(self) -> list[Any]:
        """The same, as JSON."""
        return [json.loads(text) for text in self.texts()]

    def send(self, payload: bytes | str, opcode: int = TEXT, **options: Any) -> None:
        """One frame comes from the peer."""
        data = payload.encode() if isinstance(payload, str) else payload
        self.bytes(self.pair.frame(data, opcode, **options))

    def bytes(self, data: bytes) -> None:
        """Bytes come from the peer, as long as it has a connection."""
        if not self.transport.disconnecting:
            self.connection.dataReceived(data)

    def call(self, action: str, echo: Any = 1, **params: Any) -> None:
        self.send(json.dumps({"action": action, "params": params, "echo": echo}))

    def close(self, code: int | None = 1000) -> None:
        self.send(b"" if code is None else struct.pack("!H", code), CLOSE)

    def pong_all(self) -> None:
        """Answer every ping that came."""
        for opcode, payload in self.frames():
            if opcode == PING:
                self.send(payload, PONG)

    def lose(self, clean: bool = False) -> None:
        """TCP ends."""
        if not self.transport.disconnected:
            self.transport.disconnected = self.transport.disconnecting = True
            error = ConnectionDone() if clean else ConnectionLost()
            self.connection.connectionLost(Failure(error))


def together(*frames: bytes) -> tuple[list[bytes], bytes]:
    """Frames as ``offer_all`` takes them: each, and all joined."""
    return list(frames), b"".join(frames)


def answer(request: bytes, *lines: str, status: str = "101 Switching Protocols") -> bytes:
    """The answer to an opening handshake (RFC 6455, 4.2.2)."""
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    assert found is not None
    digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    accept = base64.b64encode(digest).decode()
    head = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", *lines]
    return "\r\n".join([f"HTTP/1.1 {status}", *head, "", ""]).encode()


class Server(Peer):
    """The other end of one connection that we dialled.

    :ivar caller: what the dialling side was told.
    """

    masks = False
    mask_bit = 0

    def make_connection(self) -> Connection:
        self.caller = RecordingCaller()
        request = Request("127.0.0.1", 8080, "/x?y=1", {"Authorization": "Bearer T"})
        return self.pair.factory.make(self.handler, request, self.caller)

    def request(self) -> bytes:
        """The opening handshake as it came."""
        self.pair.turn()
        self._parsed = len(self.transport.taken)
        return self.transport.taken

    def answer(self, *lines: str, status: str = "101 Switching Protocols") -> bytes:
        """An answer to the opening handshake."""
        return answer(self.request(), *lines, status=status)

    def open(self) -> Server:
        """Answer the opening handshake."""
        self.shake_hands()
        self._parsed = len(self.transport.taken)
        self.pair.turn()
        return self

    def shake_hands(self) -> None:
        if not self.request():  # nobody reads, so nobody answers
            self.transport.drain()
        if b"Sec-WebSocket-Key" in self.transport.taken:
            self.bytes(answer(self.transport.taken))


class RecordingCaller:
    """Writes down how the opening ended."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def connected(self) -> None:
        self.calls.append(("connected",))

    def failed(self, reason: str) -> None:
        self.calls.append(("failed", reason))

    def disconnected(self) -> None:
        self.calls.append(("disconnected",))


class Pair:
    """A factory on a clock, and peers that are connected to it in memory.

    :ivar kind: what the peers are.
    """

    kind: type[Peer] = Peer

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.factory: Any = self.make_factory(Limits(**limits))
        self.peers: list[Any] = []

    def make_factory(self, limits: Limits) -> Any:
        return ServerFactory(limits, self.clock)

    def connect(self, handler: Any = None) -> Any:
        """A peer that has not shaken hands yet."""
        peer = self.kind(self, RecordingHandler() if handler is None else handler)
        self.peers.append(peer)
        return peer

    def frame(self, payload: bytes, opcode: int = TEXT, **options: Any) -> bytes:
        """One frame, as a peer sends it."""
        return masked_frame(payload, opcode, **{"mask": self.kind.masks, **options})

    def turn(self) -> None:
        """One turn of the reactor: what is due is done, peers that read have read, the ended end."""
        self.clock.advance(0)
        for peer in self.peers:
            if peer.transport.reading and not peer.transport.disconnected:
                peer.transport.drain()
        for peer in self.peers:
            transport = peer.transport
            if transport.disconnecting and not transport.disconnected:
                if transport.aborted or not transport.stream:
                    transport.disconnected = True
                    error = ConnectionAborted() if transport.aborted else ConnectionDone()
                    peer.connection.connectionLost(Failure(error))

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Time passes, in steps, with the sweeps of liveness in between."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - 1e-9:
            self.clock.advance(min(step, end - self.clock.seconds()))
            self.factory.sweep()
            self.turn()


class DiallingPair(Pair):
    """The same with the roles turned round: we dial, the peers listen."""

    kind = Server

    def make_factory(self, limits: Limits) -> Any:
        return ClientFactory(limits, self.clock, "lgtwist/test")

    def turn(self) -> None:
        """Also: a server ends TCP once the closing handshake is done (RFC 6455, 7.1.1)."""
        super().turn()
        for peer in self.peers:
            connection = peer.connection
            if connection.wasClean and connection.phase is Phase.CLOSING and not peer.transport.stream:
                peer.lose(clean=True)


def leave_to_autobahn(factory: Any) -> None:
    """From now on no connection of a factory takes frames from the bytes before Autobahn sees them."""
    assert callable(factory.connection_class.read_whole)
    factory.connection_class.read_whole = lambda _connection, data: data


class MemoryReactor(MemoryReactorClock):
    """Twisted's reactor in memory; what threads ask it to call is kept, and not called.

    :ivar from_threads: functions, with their arguments.
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: list[tuple[Any, ...]] = []

    def callFromThread(self, function: Any, *arguments: Any, **named: Any) -> None:
        self.from_threads.append((function, arguments, named))
