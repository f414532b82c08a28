"""Messages and control frames that come: whole, in fragments, too large, malformed."""

from __future__ import annotations

import struct
from typing import Any

from lgtwist.websocket.connection import Connection
from tests.integration.rawclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.pair import DiallingPair, RecordingHandler
from tests.websocket.contract import ConnectionTestCase


class ReadingTests(ConnectionTestCase):
    def setUp(self) -> None:
        self.pair = self.pair_of(max_message=1000)
        self.peer = self.pair.connect().open()

    def received(self) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.peer.handler.named("received")]

    def test_messages_whole_and_in_pieces(self) -> None:
        """L-22: fragments, byte by byte, pings in between, code points split: the message is whole."""
        text = "你好, \N{GRINNING FACE}" * 10
        data = text.encode()
        stream = b""
        for place in range(len(data)):
            stream += self.pair.frame(
                data[place : place + 1], TEXT if place == 0 else CONTINUATION, fin=False
            )
            stream += self.pair.frame(b"%d" % place, PING)
        stream += self.pair.frame(b"", CONTINUATION)
        for place in range(0, len(stream), 7):
            self.peer.bytes(stream[place : place + 7])
        self.assertEqual(self.received(), [(data, False)])
        pongs = [payload for opcode, payload in self.peer.frames() if opcode == PONG]
        self.assertEqual(pongs, [b"%d" % place for place in range(len(data))])

    def test_sizes_around_the_limit(self) -> None:
        """A message of the limit passes, one byte more is closed with 1009 and not heard."""
        self.peer.send(b"x" * 1000)
        self.assertEqual(len(self.received()), 1)
        self.peer.send(b"x" * 1001)
        self.assertEqual(self.peer.close_code(), 1009)
        self.assertEqual(len(self.received()), 1)
        self.assertTrue(self.peer.transport.write_closed)

    def test_L25_endless_fragments(self) -> None:
        """An endless message is closed with 1009 at the limit, and what still comes is thrown away."""
        self.peer.send(b"x" * 600, fin=False)
        self.peer.send(b"x" * 600, CONTINUATION, fin=False)
        self.assertEqual(self.peer.close_code(), 1009)
        for _ in range(1000):
            self.peer.bytes(self.pair.frame(b"x" * 600, CONTINUATION, fin=False))
        self.assertLess(len(self.peer.connection.data), 1000)

    def test_a_frame_that_only_announces_its_size(self) -> None:
        """A header that announces too much is enough: nothing is waited for, nothing allocated."""
        self.peer.bytes(bytes([0x81, self.pair.kind.mask_bit | 127]) + struct.pack("!Q", 2**62) + b"abcd")
        self.assertEqual(self.peer.close_code(), 1009)

    def test_protocol_errors(self) -> None:
        """Each breach of RFC 6455 is closed with 1002."""
        breaches = {
            "wrong about the mask": self.pair.frame(b"{}", mask=not self.pair.kind.masks),
            "reserved bit": self.pair.frame(b"{}", rsv=4),
            "reserved opcode": self.pair.frame(b"{}", 3),
            "reserved control opcode": self.pair.frame(b"", 11),
            "long ping": self.pair.frame(b"x" * 126, PING),
            "fragmented ping": self.pair.frame(b"x", PING, fin=False),
            "continuation of nothing": self.pair.frame(b"x", CONTINUATION),
            "close of one byte": self.pair.frame(b"x", CLOSE),
            "length not minimal": bytes([0x81, self.pair.kind.mask_bit | 126]) + b"\x00\x05abcdxxxxx",
        }
        for name, frame in breaches.items():
            peer = self.pair.connect().open()
            peer.bytes(frame)
            self.assertEqual(peer.close_code(), 1002, name)
            self.assertEqual(peer.handler.named("received"), [], name)

    def test_an_answer_before_a_breach(self) -> None:
        """What was asked before a breach is answered before the close frame, in one read or in two."""

        class Answering(RecordingHandler):
            def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
                connection.factory.respond(connection, connection.encode(payload))

        asked, breach = self.pair.frame(b"asked"), self.pair.frame(b"", CONTINUATION)
        for reads in ([asked + breach], [asked, breach]):
            peer = self.pair.connect(Answering()).open()
            for data in reads:
                peer.bytes(data)
            answer, close = peer.frames()
            self.assertEqual(answer, (TEXT, b"asked"))
            self.assertEqual(close[0], CLOSE)
            self.assertEqual(close[1][:2], struct.pack("!H", 1002))

    def test_L26_text_and_binary(self) -> None:
        """Binary is handed on as it is; text that is not UTF-8 is closed with 1007."""
        self.peer.send(b"\xff\xfe", BINARY)
        self.assertEqual(self.received(), [(b"\xff\xfe", True)])
        self.peer.send(b"{\xff}")
        self.assertEqual(self.peer.close_code(), 1007)

    def test_one_pong_with_the_same_payload(self) -> None:
        """Each ping gets exactly one pong."""
        self.peer.send(b"abc", PING)
        self.assertEqual(self.peer.frames(), [(PONG, b"abc")])


class DialledReadingTests(ReadingTests):
    pair_of = DiallingPair
