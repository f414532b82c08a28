"""A connection that is fed with a stream of frames, everything that can be seen of it, and such streams."""

from __future__ import annotations

import struct
from typing import Any

from attrs import asdict, define, field
from hypothesis import strategies as st

from lgtwist.websocket.connection import Connection
from lgtwist.websocket.liveness import Liveness
from tests.integration.rawclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.pair import Pair, RecordingHandler, leave_to_autobahn, together
from tests.websocket.frames import FIN, KEYS, frame


class Deliberate(Exception):
    """What a handler raises that fails."""


class Acting(RecordingHandler):
    """Does what messages tell it, by their first word, in the middle of whatever is being read."""

    def __init__(self, pair: Pair) -> None:
        super().__init__()
        self.pair = pair
        self.other: Connection | None = None

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        super().received(connection, payload, binary)
        operation = getattr(self, "do_" + payload[:20].partition(b" ")[0].decode("latin-1"), None)
        if operation is not None:
            operation(self.pair.factory, connection, payload)

    # As PingAcks.

    def position_of(self, number: int) -> int:
        return number * 10

    def ponged(self, number: int) -> None:
        self.calls.append(("ponged", number))

    # What messages tell.

    def do_answer(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.respond(connection, connection.encode(payload))

    def do_fill(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.respond(connection, connection.encode(payload.ljust(4000)))

    def do_both(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.respond(connection, connection.encode(payload.ljust(12_000)))  # more than may wait: held
        for _ in range(2):  # more than waits within one turn: flushed, and let go
            factory.offer(connection, connection.encode(payload.ljust(9000)))

    def do_event(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.offer(connection, connection.encode(payload.ljust(3000)))

    def do_events(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.offer_all(connection, *together(connection.encode(payload), connection.encode(b"2")))

    def do_send(self, factory: Any, connection: Connection, payload: bytes) -> None:
        sent = factory.send(connection, payload)
        sent.addCallback(lambda outcome: self.calls.append(("sent", outcome)))

    def do_ping(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.ping(connection)

    def do_close(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.close(connection, 1001, "told to")

    def do_abort(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.abort(connection, "told to")

    def do_raise(self, factory: Any, connection: Connection, payload: bytes) -> None:
        raise Deliberate

    def do_congest(self, factory: Any, connection: Connection, payload: bytes) -> None:
        connection.pauseProducing()

    def do_later(self, factory: Any, connection: Connection, payload: bytes) -> None:
        factory.flush_scheduler.after_read(lambda: self.calls.append(("later", payload)))

    def do_tell(self, factory: Any, connection: Connection, payload: bytes) -> None:
        if self.other is not None:
            factory.offer(self.other, self.other.encode(payload))
            factory.respond(self.other, self.other.encode(b"an answer"))

    def do_end(self, factory: Any, connection: Connection, payload: bytes) -> None:
        if self.other is not None:
            factory.close(self.other, 1000, "of no use")


@define
class Step:
    """Some bytes of a stream, and what happens behind them.

    :ivar cuts: where it is cut in pieces, modulo its length.
    :ivar then: nothing: what follows comes in the same piece. See :meth:`Life.happen` for the others.
    """

    data: bytes = field(repr=lambda data: repr(data if len(data) < 60 else (data[:40], len(data))))
    cuts: list[int] = field(factory=list)
    then: str = ""


def plain(stream: bytes, masked: bool) -> list[tuple[bytes, bytes]]:
    """The frames that were written: first bytes without the key, which is another each time, and payloads."""
    found = []
    while stream:
        size = {126: 8, 127: 14}.get(stream[1] & 127, 6) - (0 if masked else 4)
        head = stream[: size - 4] if masked else stream[:size]
        length = int.from_bytes(head[2:], "big") if len(head) > 2 else head[1] & 127
        key = stream[size - 4 : size] if masked else b"\0\0\0\0"
        payload, stream = stream[size : size + length], stream[size + length :]
        assert len(payload) == length, "half a frame"
        mask = int.from_bytes((key * (length // 4 + 1))[:length], "big")
        found.append((head, (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")))
    return found


#: What is known of a peer's life; but not to the byte when it talked last, see ``test_talking``.
EXACT = tuple(name for name in Liveness.__slots__ if name != "_last_message")


class Life:
    """One connection that is fed with a stream, a second one beside it, and all that can be seen of both.

    :param whole: whether whole frames are taken from the bytes.
    :param eager: bytes come although we said that we do not read, as they may from TLS.
    """

    def __init__(self, pair_of: type[Pair], whole: bool, limit: int, eager: bool) -> None:
        self.pair = pair_of(max_message=limit, send_buffer=10_000)
        self.eager = eager
        if not whole:
            leave_to_autobahn(self.pair.factory)
        self.handler = Acting(self.pair)
        self.peer = self.pair.connect(self.handler).open()
        self.other = self.pair.connect().open()
        self.handler.other = self.other.connection
        self.connection = self.peer.connection
        self.connection.ping_acks = self.handler
        self.begins = [len(peer.transport.taken) for peer in self.pair.peers]
        for _ in range(3):
            self.pair.factory.ping(self.connection)
        self.unread: list[bytes] = []
        self.states: list[dict[str, Any]] = []

    def live(self, steps: list[Step]) -> None:
        """Everything comes, and happens."""
        glued = b""
        for step in steps:
            cuts = sorted({cut % (len(step.data) + 1) for cut in step.cuts})
            pieces = [step.data[a:b] for a, b in zip([0, *cuts], [*cuts, len(step.data)], strict=True)]
            for piece in pieces[:-1]:
                self.come(glued + piece)
                glued = b""
            glued += pieces[-1]
            if step.then:
                self.come(glued)
                glued = b""
                self.happen(step.then)
                self.note()
        self.come(glued)
        for what in ("read", "writable", "turn", "wait", "sweep", "turn"):
            self.happen(what)
            self.come(b"")
            self.note()
        for peer in self.pair.peers:
            peer.lose()
        self.pair.turn()

    def come(self, data: bytes) -> None:
        """A piece comes, or waits until we read again."""
        self.unread.append(data)
        while self.unread and (self.eager or not self.peer.transport.paused):
            data = self.unread.pop(0)
            if data:
                self.peer.bytes(data)
                self.note()

    def happen(self, what: str) -> None:
        """Something beside the stream."""
        transport = self.peer.transport
        if what == "turn":
            self.pair.turn()
        elif what == "tick":
            self.pair.clock.advance(0.001)
        elif what == "wait":
            self.pair.clock.advance(1.5)
        elif what == "sweep":
            self.pair.factory.sweep()
        elif what in ("read", "stall"):
            transport.reading = what == "read"
        elif what == "writable":
            self.connection.resumeProducing()
        elif what == "congest":
            self.connection.pauseProducing()
        elif what == "event":
            self.pair.factory.offer(self.connection, self.connection.encode(b"event".ljust(3000)))
        elif what == "close":
            self.pair.factory.close(self.connection, 1001, "stop")
        elif what == "break":
            transport.fails_with = OSError(32, "Broken pipe")

    def note(self) -> None:
        """Write down what can be seen."""
        connection, transport = self.connection, self.peer.transport
        self.states.append({
            "phase": connection.phase,
            "read paused": connection.read_paused,
            "discarding input": connection.discarding_input,
            "write paused": connection.write_paused,
            "bytes seen": connection.bytes_seen,
            "pending pong": connection.pending_pong,
            "events waiting": connection.outbox.event_bytes,
            "responses waiting": connection.outbox.response_bytes,
            "calls": len(self.handler.calls),
            "written": [len(peer.transport.taken) + peer.transport.waiting for peer in self.pair.peers],
            "transport paused": transport.paused,
            "aborted": transport.aborted,
            "write closed": transport.write_closed,
            "disconnecting": transport.disconnecting,
            "the other's phase": self.other.connection.phase,
        })  # fmt: skip

    def seen(self) -> dict[str, Any]:
        """All of it."""
        masked = not self.pair.kind.masks
        liveness = self.connection.liveness
        streams = [
            (peer.transport.taken + b"".join(peer.transport.stream))[begin:]
            for peer, begin in zip(self.pair.peers, self.begins, strict=True)
        ]
        return {
            "told": self.handler.calls,
            "told the other": self.other.handler.calls,
            "written": [plain(stream, masked) for stream in streams],
            "counters": asdict(self.pair.factory.counters),
            "liveness": [getattr(liveness, name) for name in EXACT] if liveness else [],
            "why": (self.connection.end_reason, self.connection.remoteCloseCode, self.connection.wasClean),
            "states": self.states,
            "timers": len(self.pair.clock.getDelayedCalls()),
        }


WORDS = (
    b"answer", b"answer", b"fill", b"fill", b"event", b"event", b"events", b"send", b"ping", b"congest",
    b"later", b"tell", b"tell",
)  # fmt: skip


LAST_WORDS = (b"close", b"abort", b"raise", b"end")


TEXTS = (
    b"x",
    "\N{GRINNING FACE}\u4f60\u597d\u00e9".encode(),
    b"{\"action\": \"x\"}",
)  # fmt: skip


NO_TEXTS = (
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"x\xe4\xbd", b"\xf4\x90\x80\x80", b"\x80", b"ok\xf0\x9f\x98",
)  # fmt: skip


PONGS = (b"", b"1", b"2.20", b"3", b"3.30", b"2", b"4", b"x", b"-1", b"\xff", b"1" * 19, b"9" * 125)


THENS = ("tick", "turn", "sweep", "stall", "read", "congest", "writable", "event")


small = st.sampled_from((0, 1, 2, 3, 5, 124, 125, 126, 127, 128, 300, 999, 1000))


large = st.sampled_from((65_534, 65_535, 65_536, 65_537))


sizes = st.one_of(small, small, small, large)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """UTF-8, up to a size; a code point that is cut at the end is left out."""
    size = draw(sizes)
    whole = (draw(st.sampled_from(TEXTS)) * (size + 1))[:size]
    return whole.decode("utf-8", "ignore").encode()


@st.composite
def wholes(draw: st.DrawFn, key: bytes | None) -> bytes:
    """What the quick way takes: text, mostly with a word that the handler heeds, and pongs."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return frame(FIN | PONG, draw(st.sampled_from(PONGS)), key)
    if kind == 1:
        return frame(FIN | TEXT, draw(texts()), key)
    return frame(FIN | TEXT, draw(st.sampled_from(WORDS)) + b" " * draw(st.sampled_from((0, 1, 130))), key)


@st.composite
def others(draw: st.DrawFn, key: bytes | None) -> bytes:
    """What is right, and Autobahn's."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return frame(FIN | PING, draw(st.binary(max_size=3) | st.just(b"p" * 125)), key)
    if kind == 1:
        return frame(FIN | BINARY, draw(st.sampled_from(NO_TEXTS) | texts()), key)
    text = draw(st.sampled_from(WORDS) | texts())
    cuts = sorted(
        cut % (len(text) + 1) for cut in draw(st.lists(st.integers(0, 70_000), min_size=1, max_size=4))
    )
    opcode = draw(st.sampled_from((TEXT, TEXT, BINARY)))
    made = b""
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        made += frame((FIN if end == len(text) and start == max(cuts) else 0) | opcode, text[start:end], key)
        if opcode and draw(st.booleans()):
            made += frame(FIN | draw(st.sampled_from((PING, PONG))), draw(st.sampled_from(PONGS)), key)
        opcode = CONTINUATION
    return made


def breaches(key: bytes | None) -> dict[str, bytes]:
    """What breaks the protocol, or the limit of 70000 bytes, and close frames of all kinds."""
    wrong_key = KEYS[2] if key is None else None
    made = {
        "continuation of nothing": frame(FIN | CONTINUATION, b"x", key),
        "a text within one": frame(TEXT, b"x", key) + frame(FIN | TEXT, b"answer", key),
        "a text within one, behind a pong":
            frame(TEXT, b"x", key) + frame(FIN | PONG, b"1", key) + frame(FIN | TEXT, b"answer", key),
        "wrong about the mask": frame(FIN | TEXT, b"answer", wrong_key),
        "wrong about the mask, long": frame(FIN | TEXT, b"x" * 300, wrong_key),
        "wrong about the mask, empty": frame(FIN | TEXT, b"", wrong_key),
        "wrong about the mask, a pong": frame(FIN | PONG, b"1", wrong_key),
        "a pong that is too long": frame(FIN | PONG, b"x" * 126, key),
        "a pong with a long length": frame(FIN | PONG, b"1", key, 126),
        "a pong with a longer length": frame(FIN | PONG, b"1", key, 127),
        "a pong in pieces": frame(PONG, b"1", key),
        "a ping that is too long": frame(FIN | PING, b"x" * 126, key),
        "the long form": frame(FIN | TEXT, b"x" * 125, key, 126),
        "the long form, of nothing": frame(FIN | TEXT, b"", key, 126),
        "the longest form, of little": frame(FIN | TEXT, b"x", key, 127),
        "the longest form, of 126": frame(FIN | TEXT, b"x" * 126, key, 127),
        "the longest form": frame(FIN | TEXT, b"x" * 65_535, key, 127),
        "too large": frame(FIN | TEXT, b"x" * 70_001, key),
        "too large altogether": frame(TEXT, b"x" * 70_000, key) + frame(FIN | CONTINUATION, b"x", key),
        "the top bit": frame(FIN | TEXT, b"", key, 127, 1 << 63),
        "exabytes": frame(FIN | TEXT, b"", key, 127, 1 << 62),
        "close, with nothing": frame(FIN | CLOSE, b"", key),
        "close, of one byte": frame(FIN | CLOSE, b"x", key),
        "close, for a reason that is none": frame(FIN | CLOSE, b"\x03\xe8\xff", key),
    }  # fmt: skip
    for code in (1000, 1001, 1011, 3000, 4999, 0, 999, 1004, 1005, 1006, 2999, 5000):
        made[f"close {code}"] = frame(FIN | CLOSE, struct.pack("!H", code) + b"bye", key)
    for first in (0x91, 0xA1, 0xC1, 0xF1, 0x9A, 0xCA, 0x83, 0x87, 0x8B, 0x8F, 0x03, 0x0B):
        made[f"begins with {first:x}"] = frame(first, b"answer", key)
    for odd in NO_TEXTS:
        for length in (0, 125, 65_536):
            made[f"{odd!r} behind {length}"] = frame(FIN | TEXT, b"x" * length + odd, key)
        made[f"{odd!r} in two"] = frame(TEXT, odd[:1], key) + frame(FIN | CONTINUATION, odd[1:], key)
    return made


def ends(key: bytes | None) -> st.SearchStrategy[bytes]:
    """What ends a connection, or may: told to by the peer, by the handler, or a breach of the protocol."""
    return st.one_of(
        st.sampled_from(LAST_WORDS).map(lambda word: frame(FIN | TEXT, word, key)),
        st.sampled_from(list(breaches(key).values())),
        st.builds(frame, st.integers(0, 255), texts(), st.just(key)),
        st.binary(min_size=1, max_size=20),
    )


@st.composite
def streams(draw: st.DrawFn, masks: bool) -> list[Step]:
    """A stream, with pieces and happenings."""
    key = st.sampled_from(KEYS) if masks else st.none()
    right = key.flatmap(lambda key: st.one_of(wholes(key), wholes(key), wholes(key), others(key)))
    made: list[bytes] = draw(st.lists(right, max_size=14))
    if draw(st.booleans()):
        made.append(draw(key.flatmap(ends)))
        made += draw(st.lists(right, max_size=4))
    cuts = st.one_of(
        st.just([]), st.just([]), st.lists(st.integers(0, 20) | st.integers(0, 70_000), max_size=3)
    )
    then = st.sampled_from(("",) * 10 + ("cut",) * 3 + THENS)
    if draw(st.integers(0, 9)) == 0:
        then = st.sampled_from(("", "cut", "close", "break"))
    return [Step(data, draw(cuts), draw(then)) for data in made]
