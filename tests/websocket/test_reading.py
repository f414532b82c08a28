"""Whole frames taken from the bytes: as a plain parser takes them, and so that nobody can tell."""

from __future__ import annotations

import struct
from typing import Any

from attrs import asdict, define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.liveness import Liveness
from lgtwist.websocket.phase import Phase
from lgtwist.websocket.reading import AT_ONCE, begins_frame, next_frame, whole_frames
from tests.integration.rawclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.pair import DiallingPair, Pair, RecordingHandler, leave_to_autobahn, together
from tests.rounds import LONG_ROUNDS, quick

#: More of them than of others: a stream holds many frames, and a difference may need three of a kind.
thorough = settings(quick, max_examples=100 * LONG_ROUNDS)

FIN = 0x80
#: Of frames: where another form of the length begins, and around it.
SIZES = (0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537)
KEYS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x37\xfa\x21\x3d", b"\x80\x00\x00\x01", b"\0\0\0\xff")


def frame(
    first: int, payload: bytes, key: bytes | None, form: int | None = None, announced: int | None = None
) -> bytes:
    """One frame, right or wrong.

    :param key: of the mask; None for none.
    :param form: the length's first seven bits if it has more; the shortest form by default.
    :param announced: the length that it tells, where that is a lie.
    """
    length = len(payload) if announced is None else announced
    if form is None:
        form = length if length < 126 else 126 if length < 65_536 else 127
    extended = {126: "!H", 127: "!Q"}.get(form)
    head = bytes([first, form | (0 if key is None else 0x80)])
    head += struct.pack(extended, length) if extended else b""
    if key is None:
        return head + payload
    mask = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + key + masked.to_bytes(len(payload), "big")


# -- next_frame alone


def plain_frame(data: bytes, at: int, masked: bool, limit: int) -> tuple[int, bytes, int] | None:
    """What :func:`next_frame` is to find, one step after the other as RFC 6455, 5.2 tells them."""
    rest = list(data[at:])
    here = at

    def take(number: int) -> list[int]:
        nonlocal here
        if len(rest) < number:
            raise EOFError
        taken, rest[:number] = rest[:number], []
        here += number
        return taken

    try:
        first, second = take(2)
        fin, reserved, opcode = first >> 7, first >> 4 & 7, first & 15
        if not fin or reserved or opcode not in (1, 9, 10) or bool(second >> 7) is not masked:
            return None
        length = second & 127
        if opcode > 8 and length > 125:
            return None
        shortest = 0
        if length > 125:
            shortest, places = (126, 2) if length == 126 else (65_536, 8)
            length = 0
            for byte in take(places):
                length = length * 256 + byte
        if length < shortest or (opcode == 1 and length > limit):
            return None
        key = take(4) if masked else [0, 0, 0, 0]
        payload = bytes(byte ^ key[place % 4] for place, byte in enumerate(take(length)))
    except EOFError:
        return None
    return first, payload, here


@st.composite
def single_frames(draw: st.DrawFn) -> bytes:
    """A frame, mostly a right one; perhaps cut off, perhaps with a byte that is another."""
    size = draw(st.sampled_from(SIZES[:11] * 3 + SIZES[11:]))
    first = draw(
        st.sampled_from([FIN | TEXT, FIN | PONG] * 4 + [FIN | BINARY, FIN | PING, FIN | CLOSE, TEXT])
    )
    payload = (draw(st.binary(min_size=1, max_size=9)) * (size + 1))[:size]
    key = draw(st.sampled_from((None, *KEYS)))
    announced = draw(st.sampled_from([None] * 6 + [size - 1, size + 1]))
    form = draw(st.sampled_from([None] * 6 + [126, 127]))
    if form == 126 and not 0 <= (size if announced is None else announced) < 65_536:
        form = None
    if announced is not None and announced < 0:
        announced = None
    data = bytearray(frame(first, payload, key, form, announced))
    if draw(st.integers(0, 4)) == 0:
        data[draw(st.integers(0, min(13, len(data) - 1)))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.sampled_from([len(data)] * 4 + [len(data) - 1, *range(15)]))])


class NextFrameTests(SynchronousTestCase):
    def compare(self, data: bytes, at: int, masked: bool, limit: int) -> None:
        found, expected = next_frame(data, at, masked, limit), plain_frame(data, at, masked, limit)
        if found != expected:  # not assertEqual: it would print megabytes
            self.fail(f"{data[at : at + 20]!r}: {str(found)[:60]} is not {str(expected)[:60]}")
        frames, here = [], at
        while expected is not None and len(frames) < AT_ONCE:
            frames.append(expected)
            here = expected[2]
            expected = plain_frame(data, here, masked, limit)
        if whole_frames(data, at, masked, limit) != frames:
            self.fail(f"{data[at : at + 20]!r}: other frames one behind the other")

    @thorough
    @given(
        st.binary(max_size=5),
        single_frames() | st.binary(max_size=16),
        st.binary(max_size=5) | single_frames(),
        st.booleans(),
        st.sampled_from((0, 1, 124, 125, 126, 65_535, 65_536, 1 << 25)),
    )
    def test_as_a_plain_parser(
        self, before: bytes, data: bytes, behind: bytes, masked: bool, limit: int
    ) -> None:
        """What is found, and what is left alone, is what a plain parser says; with anything around it."""
        self.compare(before + data + behind, len(before), masked, limit)
        self.compare(data, 0, masked, limit)

    def test_every_beginning(self) -> None:
        """The first two bytes in all their forms."""
        for first in range(256):
            for second in range(256):
                for masked in (False, True):
                    self.compare(bytes((first, second)) + b"\0\x7eabcdefgh" * 14, 0, masked, 130)

    def test_every_short_length(self) -> None:
        """Many behind one another, of each length that is unmasked in another way, and what follows them."""
        for key in (*KEYS, None):
            payloads = [bytes((size + at) % 256 for at in range(size)) for size in range(1100)]
            data = b"".join(frame(FIN | TEXT, payload, key) for payload in payloads) + b"\x82\x80"
            found: list[bytes] = []
            at = 0
            while frames := whole_frames(data, at, key is not None, 2000):
                self.assertLessEqual(len(frames), AT_ONCE)
                found += [payload for _first, payload, _end in frames]
                at = frames[-1][2]
            self.assertEqual(found, payloads)
            self.assertEqual(data[at:], b"\x82\x80")

    def test_the_edges_of_lengths(self) -> None:
        """Each length around an edge, in each form, with limits around it, whole and a byte short."""
        for size in (*SIZES, 66_000):
            for form in (None, 126, 127):
                if form == 126 and size > 65_535:
                    continue
                for key in (None, KEYS[2]):
                    data = frame(FIN | TEXT, bytes(size), key, form)
                    for limit in (size - 1, size, size + 1):
                        for masked in (False, True):
                            self.compare(data, 0, masked, limit)
                            self.compare(data[:-1], 0, masked, limit)

    def test_wherever_it_is_cut(self) -> None:
        """Of a frame that is not complete nothing is taken."""
        for size in (0, 1, 126, 300):
            for key in (None, KEYS[2]):
                whole = frame(FIN | TEXT, b"x" * size, key)
                for end in range(len(whole)):
                    self.assertIsNone(next_frame(whole[:end], 0, key is not None, 1000))
                self.assertEqual(
                    next_frame(whole, 0, key is not None, 1000), (FIN | TEXT, b"x" * size, len(whole))
                )

    @thorough
    @given(
        single_frames() | st.binary(max_size=16),
        st.booleans(),
        st.sampled_from((0, 1, 124, 125, 126, 1000, 1 << 25)),
    )
    def test_what_is_waited_for(self, data: bytes, masked: bool, limit: int) -> None:
        """What is kept until more comes is taken then, whatever it is that comes."""
        if next_frame(data, 0, masked, limit) is None and begins_frame(data, masked, limit):
            self.assertLess(len(data), 17_000)
            for more in (b"\0", b"\xff", b"\x81"):
                taken = next_frame(data + more * 17_000, 0, masked, limit)
                assert taken is not None, data
                self.assertEqual(taken[0], FIN | TEXT)

    def test_the_small_are_waited_for(self) -> None:
        """The beginning of a text that is not long is kept, once its length is known; of others, none."""
        for size in (0, 1, 125, 126, 1000, 16_384, 16_385, 65_536):
            for key in (None, KEYS[2]):
                whole = frame(FIN | TEXT, b"x" * size, key)
                least = 2 if size < 126 else 4
                for end in {*range(least, min(20, len(whole))), max(least, len(whole) - 1)} - {len(whole)}:
                    kept = begins_frame(whole[:end], key is not None, 1 << 20)
                    self.assertEqual(kept, size <= 16_384, (size, end))
                    self.assertFalse(begins_frame(whole[:end], key is None, 1 << 20))
                    self.assertFalse(begins_frame(b"\x82" + whole[1:end], key is not None, 1 << 20))
                    self.assertFalse(begins_frame(whole[:end], key is not None, size - 1))

    def test_lengths_that_cannot_be(self) -> None:
        """A length of 64 bits with its top bit, or of exabytes, is Autobahn's: nothing is waited for."""
        for announced in (1 << 63, (1 << 64) - 1, 1 << 62, 1 << 25):
            for key in (None, KEYS[2]):
                data = frame(FIN | TEXT, b"", key, 127, announced)
                self.assertIsNone(next_frame(data, 0, key is not None, 1 << 24))


# -- both paths


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
        deed = getattr(self, "do_" + payload[:20].partition(b" ")[0].decode("latin-1"), None)
        if deed is not None:
            deed(self.pair.factory, connection, payload)

    # Positions' part.

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


class BothWaysTests(SynchronousTestCase):
    """A peer that masks, as all that dial us do."""

    pair_of: type[Pair] = Pair

    def lives(self, steps: list[Step], limit: int = 70_000, eager: bool = False) -> list[Life]:
        """The stream comes to two connections; of the second, all of it is Autobahn's."""
        both = []
        for whole in (True, False):
            life = Life(self.pair_of, whole, limit, eager)
            life.live(steps)
            failures = [failure.type for failure in self.flushLoggedErrors()]
            self.assertLessEqual(set(failures), {Deliberate, BrokenPipeError})
            self.assertEqual(life.pair.factory.counters.callback_failures, len(failures))
            both.append(life)
        return both

    def compare(self, steps: list[Step], limit: int = 70_000, eager: bool = False, about: str = "") -> Life:
        quickly, slowly = self.lives(steps, limit, eager)
        here, there = quickly.seen(), slowly.seen()
        for name in here:
            if here[name] != there[name]:
                self.fail(
                    f"{about}{name}, of whole frames, and of Autobahn's:\n{here[name]}\n{there[name]}"[:4000]
                )
        return quickly

    @thorough
    @given(st.data(), st.sampled_from((1000, 65_535, 65_536, 70_000)), st.booleans())
    def test_nobody_can_tell(self, data: st.DataObject, limit: int, eager: bool) -> None:
        """What is told, written and counted, and the state behind each piece: the same both ways."""
        self.compare(data.draw(streams(self.pair_of.kind.masks)), limit, eager)

    @thorough
    @given(st.lists(st.binary(max_size=30).map(Step)), st.booleans())
    def test_garbage(self, steps: list[Step], eager: bool) -> None:
        """Neither can it with bytes that are nothing."""
        for step in steps:
            step.then = "cut"
        self.compare(steps, 1000, eager)

    def text(self, payload: bytes) -> bytes:
        return frame(FIN | TEXT, payload, KEYS[2] if self.pair_of.kind.masks else None)

    def pings(self, *payloads: bytes) -> bytes:
        key = KEYS[2] if self.pair_of.kind.masks else None
        return b"".join(frame(FIN | PING, payload, key) for payload in payloads)

    def test_the_two_ways_are_two(self) -> None:
        """What is compared above: of whole frames the one way leaves Autobahn nothing, the other all."""
        for whole in (True, False):
            life = Life(self.pair_of, whole, 1000, False)
            left: list[bytes] = []
            read = life.connection.autobahn_read

            def note(data: bytes, left: list[bytes] = left, read: Any = read) -> None:
                left.append(data)
                read(data)

            self.patch(life.connection, "autobahn_read", note)
            key = KEYS[2] if self.pair_of.kind.masks else None
            data = self.text(b"1") + frame(FIN | PONG, b"1", key) + self.text(b"2" * 1000)
            half = self.text(b"half")
            life.live([
                Step(data, [], "cut"),
                Step(data + half[:3], [], "cut"),
                Step(half[3:], [], "cut"),
                Step(self.text(b"after"), [], "cut"),
            ])  # fmt: skip
            self.assertEqual(left, [] if whole else [data, data + half[:3], half[3:], self.text(b"after")])
            told = [call[1] for call in life.handler.named("received")]
            self.assertEqual(told, [b"1", b"2" * 1000, b"1", b"2" * 1000, b"half", b"after"])
            self.assertEqual(life.handler.named("ponged"), [("ponged", 1)])

    def test_a_flush_in_the_middle_of_a_message(self) -> None:
        """A handler that is held and let go again within one call: nothing is heard twice, or of nothing."""
        life = self.compare([Step(self.text(b"both") + self.text(b"next"), [], "turn")])
        self.assertEqual([call[1] for call in life.handler.named("received")], [b"both", b"next"])

    def test_ended_in_the_middle_of_a_burst(self) -> None:
        """A handler that closes, drops, or fails hears nothing of what came in the same piece."""
        for word in (b"close", b"abort", b"raise"):
            burst = b"".join(map(self.text, (b"answer 1", word, b"answer 2", b"\xff")))
            life = self.compare([Step(burst + self.pings(b"p"), [], "turn")])
            self.assertEqual([call[1] for call in life.handler.named("received")], [b"answer 1", word], word)
            written = [payload for _head, payload in life.seen()["written"][0]]
            self.assertEqual(b"answer 1" in written, word == b"close")

    def test_each_breach(self) -> None:
        """Each breach of the protocol, whole and cut within its head, is answered and told alike."""
        key = KEYS[2] if self.pair_of.kind.masks else None
        for name, breach in breaches(key).items():
            for cut in (0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 14, 15, 20):
                steps = [
                    Step(self.text(b"answer 1"), [], "cut" if cut % 2 else ""),
                    Step(breach, [cut], ""),
                    Step(self.text(b"answer 2") * 2, [], "turn"),
                ]
                self.compare(steps, about=f"{name}, cut at {cut}: ")

    def test_held_and_told_more(self) -> None:
        """What comes although we do not read, one message in a piece, waits as well."""
        words = [b"fill %d" % number for number in range(40)]
        steps = [Step(b"", [], "stall"), *(Step(self.text(word), [], "cut") for word in words)]
        for eager in (False, True):
            life = self.compare(steps, eager=eager)
            self.assertEqual([call[1] for call in life.handler.named("received")], words)

    def test_held_in_the_middle_of_a_burst(self) -> None:
        """Whoever does not take its answers is not heard further, and later is, in order."""
        words = [b"fill %d" % number for number in range(40)]
        steps = [Step(b"", [], "stall"), Step(b"".join(map(self.text, words)), [], "turn")]
        for eager in (False, True):
            both = self.lives(steps, eager=eager)
            for life in both:
                calls = [state["calls"] for state in life.states]
                self.assertTrue(
                    any(state["read paused"] for state in life.states[:2]), "reading was not paused"
                )
                self.assertLess(calls[1], 20)
                self.assertEqual([call[1] for call in life.handler.named("received")], words)
            self.assertEqual(both[0].seen(), both[1].seen())

    def test_pings_of_a_peer_that_does_not_read(self) -> None:
        """The newest is answered, later; those that came between whole frames are no others."""
        steps = [
            Step(self.text(b"congest") + self.pings(b"1", b"2") + self.text(b"answer"), [], "cut"),
            Step(self.pings(b"3") + self.text(b"event"), [], "writable"),
            Step(self.text(b"congest") + self.pings(b"4"), [], "turn"),
        ]
        life = self.compare(steps)
        pongs = [payload for head, payload in life.seen()["written"][0] if head[0] == FIN | PONG]
        self.assertEqual(pongs, [b"3", b"4"])

    def test_text_that_is_none(self) -> None:
        """Each breach of UTF-8 is one both ways, and nothing behind it is heard."""
        for odd in NO_TEXTS:
            for before in (b"", b"x" * 125, b"x" * 1000):
                life = self.compare([Step(self.text(b"ok") + self.text(before + odd) + self.text(b"no"))])
                self.assertEqual([call[1] for call in life.handler.named("received")], [b"ok"])
                self.assertEqual(life.seen()["written"][0][-1][1][:2], struct.pack("!H", 1007))

    def test_closed_in_the_middle_of_what_is_held(self) -> None:
        """A close of ours while we do not read: what was not read then is read for the peer's answer."""
        key = KEYS[2] if self.pair_of.kind.masks else None
        burst = b"".join(self.text(b"fill %d" % number) for number in range(40))
        answer = frame(FIN | CLOSE, struct.pack("!H", 1001), key)
        steps = [Step(b"", [], "stall"), Step(burst, [], "close"), Step(answer, [], "turn")]
        life = self.compare(steps)
        self.assertTrue(life.connection.wasClean)
        self.assertIs(life.connection.phase, Phase.CLOSED)

    def test_a_close_frame_among_what_is_held(self) -> None:
        """A close of ours while we do not read: the close frame that has come already is heard then."""
        key = KEYS[2] if self.pair_of.kind.masks else None
        burst = b"".join(self.text(b"fill %d" % number) for number in range(40))
        theirs = frame(FIN | CLOSE, struct.pack("!H", 1000), key)
        life = self.compare([Step(b"", [], "stall"), Step(burst + theirs, [], "close")])
        self.assertTrue(life.connection.wasClean)

    def test_talking(self) -> None:
        """Any part of a message behind its head is talking; pongs and pings are not."""
        key = KEYS[2] if self.pair_of.kind.masks else None
        whole, long = self.text(b"x" * 300), self.text(b"x" * 20_000)
        parts = (whole, self.text(b""), whole[:9], long[:9], long[:-1], frame(TEXT, b"x", key))
        silent = (frame(FIN | PONG, b"1", key), frame(FIN | PONG, b"x" * 9, key), self.pings(b"1"), whole[:1])
        for quickly in (True, False):
            for data in (*parts, *silent):
                life = Life(self.pair_of, quickly, 70_000, False)
                life.connection.message_seen = False
                life.peer.bytes(data)
                self.assertIs(life.connection.message_seen, data in parts, data[:20])

    def test_many_empty_messages(self) -> None:
        """One read full of the smallest frames that there are."""
        empty = self.text(b"")
        life = self.compare([Step(empty * (65_536 // len(empty)), [], "turn")])
        self.assertEqual(len(life.handler.named("received")), 65_536 // len(empty))

    def test_the_largest_message(self) -> None:
        """One byte more than the limit is too much, both ways."""
        limit = Limits().max_message // 64
        for size in (limit, limit + 1):
            life = self.compare([Step(self.text(b"x" * size), [], "turn")], limit)
            self.assertEqual(len(life.handler.named("received")), limit + 1 - size)


class DialledBothWaysTests(BothWaysTests):
    """A peer that does not mask, as all whom we dial."""

    pair_of = DiallingPair
