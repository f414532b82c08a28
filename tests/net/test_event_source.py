"""Server-sent events: a stream taken apart, whatever pieces it comes in."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.net.event_source import EventStreamParser, EventTooLarge, ServerSentEvent
from tests.rounds import quick

LIMIT = 1000


def read(stream: bytes, *cuts: int, limit: int = LIMIT) -> list[tuple[bytes, bytes]]:
    """The events of a stream that comes in pieces."""
    parser = EventStreamParser(limit)
    events: list[ServerSentEvent] = []
    for begin, end in zip((0, *cuts), (*cuts, len(stream)), strict=True):
        events += parser.read(stream[begin:end])
    return [(event.name, event.data) for event in events]


class ParserTests(SynchronousTestCase):
    def test_an_event(self) -> None:
        """Its name and its data, with and without the blank behind the colon."""
        self.assertEqual(read(b'event: milky_event\ndata: {"a":1}\n\n'), [(b"milky_event", b'{"a":1}')])
        self.assertEqual(read(b'event:milky_event\ndata:{"a":1}\n\n'), [(b"milky_event", b'{"a":1}')])
        self.assertEqual(read(b"data:  x\n\n"), [(b"message", b" x")])

    def test_several_lines(self) -> None:
        """They are joined by LF; a line ``data`` without a colon is an empty one."""
        self.assertEqual(read(b"data: a\ndata: b\ndata\ndata:\n\n"), [(b"message", b"a\nb\n\n")])

    def test_what_is_no_event(self) -> None:
        """Comments, other fields, and blocks without data; a name counts for its own block only."""
        stream = b": heartbeat\n\nid: 7\nretry: 10\nfoo\n\nevent: x\n\ndata: a\n\n"
        self.assertEqual(read(stream), [(b"message", b"a")])
        parser = EventStreamParser(LIMIT)
        parser.read(b": heartbeat\n\n:\n: x: y\n:")
        self.assertEqual(parser.comments, 3)

    def test_line_ends(self) -> None:
        """LF, CR LF and CR, mixed; each is one line end, wherever a piece ends."""
        for stream in (
            b"event: e\ndata: a\n\ndata: b\n\n",
            b"event: e\r\ndata: a\r\n\r\ndata: b\r\n\r\n",
            b"event: e\rdata: a\r\rdata: b\r\r",
            b"event: e\r\ndata: a\n\rdata: b\r\n\n",
        ):
            for cut in range(len(stream) + 1):
                self.assertEqual(read(stream, cut), [(b"e", b"a"), (b"message", b"b")], (stream, cut))

    def test_byte_order_mark(self) -> None:
        """One at the beginning is left out, in whatever pieces it comes; none is elsewhere."""
        stream = b"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n"
        for cut in range(len(stream) + 1):
            self.assertEqual(read(stream, cut), [(b"message", b"a"), (b"message", b"\xef\xbb\xbfb")])

    def test_an_event_that_does_not_end(self) -> None:
        """It is no event, and what it keeps is known."""
        parser = EventStreamParser(LIMIT)
        self.assertEqual(parser.read(b"data: abc\nda"), [])
        self.assertEqual(parser.pending, 5)
        self.assertEqual([event.data for event in parser.read(b"ta: d\n\n")], [b"abc\nd"])
        self.assertEqual(parser.pending, 0)

    def test_bounds(self) -> None:
        """As large as the limit is taken; beyond, it is refused: one line, many, or no event at all."""
        self.assertEqual(len(read(b"data: " + b"x" * LIMIT + b"\n\n")[0][1]), LIMIT)
        for stream in (
            b"data: " + b"x" * (LIMIT + 1) + b"\n\n",
            b"data: " + b"x" * 2 * LIMIT,
            (b"data: " + b"x" * 100 + b"\n") * 11,
            b"data\n" * (LIMIT + 2),
            b":" + b"x" * 2 * LIMIT,
            b"event:" + b"x" * 2 * LIMIT + b"\n",
        ):
            self.assertRaises(EventTooLarge, read, stream)
            self.assertRaises(EventTooLarge, read, stream, *range(1, len(stream)))

    @quick
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["", "milky_event", "other"]),
                st.lists(
                    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=5),
                    min_size=1,
                    max_size=3,
                ),
            ),
            max_size=5,
        ),
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.data(),
    )
    def test_pieces(self, wanted: list[Any], line_end: str, data: Any) -> None:
        """What was written is read, in whatever pieces it comes."""
        stream = ""
        for name, lines in wanted:
            block = [f"event: {name}"] if name else []
            block += [f"data: {line}" for line in lines]
            stream += "".join(f"{line}{line_end}" for line in [": c", *block, ""])
        raw = stream.encode()
        cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=8)))
        self.assertEqual(
            read(raw, *cuts),
            [((name or "message").encode(), "\n".join(lines).encode()) for name, lines in wanted],
        )
