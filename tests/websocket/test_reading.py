"""Whole frames parsed from bytes, as a plain parser does it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.websocket.reading import AT_ONCE, begins_frame, next_frame, whole_frames
from tests.integration.rawclient import BINARY, CLOSE, PING, PONG, TEXT
from tests.websocket.frames import FIN, KEYS, SIZES, frame, thorough


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
