"""Peers that read slowly: events are dropped, responses are not, reading pauses."""

from __future__ import annotations

from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.server import ServerConnection
from tests.integration.rawclient import PING, PONG
from tests.pair import DiallingPair, Pair, RecordingHandler
from tests.websocket.contract import ConnectionTestCase


class BackPressureTests(ConnectionTestCase):
    def setUp(self) -> None:
        self.pair = self.pair_of(send_buffer=10_000)
        self.peer = self.pair.connect().open()
        self.peer.transport.reading = False

    def offer(self, number: int, size: int = 1000) -> None:
        self.pair.factory.offer(self.peer.connection, server_frame((b"%d " % number).ljust(size)))
        self.pair.turn()

    def numbers(self) -> list[int]:
        return [int(text) for text in self.peer.texts()]

    def test_L19_the_oldest_events_go(self) -> None:
        """A peer that does not read keeps the newest events up to send_buffer; the drop is told."""
        for number in range(1000):
            self.offer(number)
        self.assertLess(self.peer.transport.waiting, 80_000)
        self.peer.transport.reading = True
        seen = self.numbers()
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(seen[-9:], list(range(991, 1000)))
        dropped = sum(call[1] for call in self.peer.handler.named("dropped"))
        self.assertEqual(dropped + len(seen), 1000)
        self.assertEqual(self.peer.handler.calls[-1], ("caught_up",))

    def test_a_message_larger_than_the_buffer(self) -> None:
        """An event larger than send_buffer is sent all the same, and takes no smaller one with it."""
        for number in range(70):
            self.offer(number)
        self.offer(70, 50_000)
        self.offer(71)
        self.peer.transport.reading = True
        self.assertEqual(self.numbers(), list(range(72)))

    def test_responses_are_never_dropped_and_stop_the_reading(self) -> None:
        """Over send_buffer of responses we read no more of the peer; when it reads, all are there."""

        class Answering(RecordingHandler):
            def __init__(self, pair: Pair) -> None:
                super().__init__()
                self.pair = pair

            def received(self, connection: ServerConnection, payload: bytes, binary: bool) -> None:
                super().received(connection, payload, binary)
                self.pair.factory.respond(connection, server_frame(payload.ljust(1000)))

        peer = self.pair.connect(Answering(self.pair)).open()
        peer.transport.reading = False
        for number in range(300):
            peer.bytes(self.pair.frame(b"%d" % number))
            self.pair.turn()
        self.assertTrue(peer.transport.paused)
        heard = len(peer.handler.named("received"))
        self.assertLess(heard, 90)
        peer.transport.reading = True
        answers = []
        for _ in range(50):
            answers += [int(text) for text in peer.texts()]
        self.assertEqual(answers, list(range(300)))
        self.assertFalse(peer.transport.paused)

    def test_pings_of_a_peer_that_does_not_read(self) -> None:
        """A flood of pings is not answered into a full buffer; the newest is, once there is room."""
        for number in range(80):
            self.offer(number)
        waiting = self.peer.transport.waiting
        for number in range(10_000):
            self.peer.bytes(self.pair.frame(b"%d" % number, PING))
        self.assertEqual(self.peer.transport.waiting, waiting)
        self.peer.transport.reading = True
        self.assertEqual([p for o, p in self.peer.frames() if o == PONG], [b"9999"])

    def test_one_write_for_many_events(self) -> None:
        """What is published within one turn is written with one call."""
        peer = self.pair.connect().open()
        writes = []
        self.patch(peer.transport, "write", writes.append)
        for _ in range(64):
            self.pair.factory.offer(peer.connection, server_frame(b"x"))
        self.assertEqual(writes, [])
        self.pair.clock.advance(0)
        self.assertEqual(writes, [server_frame(b"x") * 64])


class DialledBackPressureTests(BackPressureTests):
    pair_of = DiallingPair
