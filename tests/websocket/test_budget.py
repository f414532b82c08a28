"""What is held because of one peer is counted in its budget, over all its connections."""

from __future__ import annotations

import struct
from typing import Any

from lgtwist.runtime.budget import MAX_WAITING, Budget
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase
from tests.integration.rawclient import CLOSE, CONTINUATION
from tests.pair import DiallingPair, RecordingHandler
from tests.websocket.contract import ConnectionTestCase

KIB = 1024


class BudgetedHandler(RecordingHandler):
    """A handler of a peer whose budget others share."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget


class BudgetTests(ConnectionTestCase):
    """Budgets of one peer with several connections."""

    def setUp(self) -> None:
        self.pair = self.pair_of(max_message=256 * KIB, send_buffer=64 * KIB, body_timeout=30.0)
        self.budget = Budget(100 * KIB)

    def connect(self) -> Any:
        return self.pair.connect(BudgetedHandler(self.budget)).open()

    def cut(self, length: int, came: int) -> tuple[bytes, bytes]:
        """One frame of ``length`` bytes, cut behind so many of them."""
        whole: bytes = self.pair.frame(b"x" * length)
        behind = len(whole) - length + came
        return whole[:behind], whole[behind:]

    def part(self, length: int, came: int) -> bytes:
        """The beginning of one frame of ``length`` bytes, of which so many came."""
        return self.cut(length, came)[0]

    def test_unfinished_messages_are_counted_and_let_go(self) -> None:
        """What came of a message counts until its end, or the end of its connection."""
        first, second = self.connect(), self.connect()
        begin, end = self.cut(80 * KIB, 60 * KIB)
        first.bytes(begin)
        second.bytes(self.part(50 * KIB, 30 * KIB))
        self.assertGreaterEqual(self.budget.used, 90 * KIB)
        first.bytes(end)
        self.assertEqual(len(first.handler.named("received")), 1)
        self.assertLess(self.budget.used, 31 * KIB)
        second.lose()
        self.assertEqual(self.budget.used, 0)

    def test_small_frames_and_fragments_are_counted(self) -> None:
        """A small frame whose end has not come counts, and so does a message in fragments."""
        peer = self.connect()
        begin, end = self.cut(10 * KIB, 5 * KIB)
        peer.bytes(begin)
        self.assertGreaterEqual(self.budget.used, 5 * KIB)
        peer.bytes(end)
        self.assertEqual(self.budget.used, 0)
        peer.send(b"y" * KIB, fin=False)
        self.assertEqual(self.budget.used, KIB)
        peer.send(b"y" * KIB, CONTINUATION)
        self.assertEqual(self.budget.used, 0)

    def test_one_is_read_on_and_the_others_wait(self) -> None:
        """Over the budget one connection is read to the end of its message; then the next one."""
        begin, end = self.cut(200 * KIB, 60 * KIB)
        peers = [self.connect() for _ in range(3)]
        left = dict.fromkeys(peers, end)
        for peer in peers:
            peer.bytes(begin)
            self.pair.turn()
        self.assertEqual([peer.transport.paused for peer in peers], [False, False, True])
        for _ in range(12):
            for peer in peers:
                if not peer.transport.paused and left[peer]:
                    peer.bytes(left[peer][: 70 * KIB])
                    left[peer] = left[peer][70 * KIB :]
                    self.pair.turn()
            self.assertLess(self.budget.used, 400 * KIB)
        self.assertEqual([len(peer.handler.named("received")) for peer in peers], [1, 1, 1])
        self.assertEqual(self.budget.used, 0)

    def test_who_comes_to_too_many_that_wait_is_closed(self) -> None:
        """So many connections may wait in the middle of a message; one more gets 1013."""
        self.budget.charge(100 * KIB)
        peers = [self.connect() for _ in range(MAX_WAITING + 2)]
        for peer in peers:
            peer.bytes(self.part(200 * KIB, 10))
        [last] = [frame for frame in peers[-1].frames() if frame[0] == CLOSE]
        self.assertEqual(struct.unpack("!H", last[1][:2])[0], 1013)
        self.assertTrue(all(peer.connection.phase is Phase.OPEN for peer in peers[:-1]))

    def test_room_is_told(self) -> None:
        """Who waits is read on when another part of the budget is let go."""
        first, second = self.connect(), self.connect()
        self.budget.charge(100 * KIB)
        begin, end = self.cut(20 * KIB, 10 * KIB)
        for peer in (first, second):
            peer.bytes(begin)
        self.assertTrue(second.transport.paused)
        self.budget.release(100 * KIB)
        self.pair.turn()
        self.assertFalse(second.transport.paused)
        second.bytes(end)
        self.assertEqual(len(second.handler.named("received")), 1)

    def test_what_was_read_on_is_answered(self) -> None:
        """What was received before the pause is answered when it is read; then the connection is idle."""

        class Answering(BudgetedHandler):
            def received(self, connection: Any, payload: bytes, binary: bool) -> None:
                super().received(connection, payload, binary)
                connection.factory.respond(connection, connection.encode(b"answer"))

        other = self.connect()
        peer = self.pair.connect(Answering(self.budget)).open()
        self.budget.charge(100 * KIB)
        begin, end = self.cut(20 * KIB, KIB)
        other.bytes(begin)
        peer.bytes(begin)
        self.assertTrue(peer.transport.paused)
        peer.bytes(end)  # as TLS does, which has decrypted it already
        self.assertEqual(peer.handler.named("received"), [])
        self.budget.release(100 * KIB)
        self.pair.turn()
        self.assertEqual(peer.texts(), [b"answer"])
        self.pair.advance(100)
        self.assertIs(peer.connection.phase, Phase.OPEN)

    def test_events_that_wait_are_counted_and_dropped(self) -> None:
        """Events of connections that do not read count; over the budget they are dropped, and it is told."""
        peers = [self.connect() for _ in range(4)]
        for peer in peers:
            peer.transport.reading = False
        for _ in range(150):
            for peer in peers:
                self.pair.factory.offer(peer.connection, server_frame(b"x" * KIB))
            self.pair.turn()
            self.assertLess(self.budget.used, 102 * KIB)
        self.assertTrue(any(peer.handler.named("dropped") for peer in peers))
        for peer in peers:
            peer.lose()
        self.assertEqual(self.budget.used, 0)

    def test_a_message_must_end(self) -> None:
        """A message that does not end within body_timeout of its beginning ends the connection."""
        slow, busy = self.connect(), self.connect()
        slow.bytes(self.part(50 * KIB, 10))
        begin, end = self.cut(KIB, 10)
        busy.bytes(begin)
        for _ in range(29):
            self.pair.advance(1)
            slow.bytes(b"x")
            busy.bytes(end + begin)
        self.assertIs(slow.connection.phase, Phase.OPEN)
        self.pair.advance(3)
        self.assertIs(slow.connection.phase, Phase.CLOSING)
        self.pair.advance(3)
        self.assertIs(slow.connection.phase, Phase.CLOSED)
        self.assertIs(busy.connection.phase, Phase.OPEN, "many messages, each of which ends in time")
        self.assertLess(self.budget.used, KIB)

    def test_time_without_reading_does_not_count(self) -> None:
        """Who waits for the budget is not ended for the time that it waited."""
        peer = self.connect()
        other = self.connect()
        self.budget.charge(100 * KIB)
        other.bytes(self.part(20 * KIB, KIB))
        peer.bytes(self.part(20 * KIB, KIB))
        self.assertTrue(peer.transport.paused)
        self.pair.advance(28)
        self.budget.release(100 * KIB)
        self.pair.advance(20)
        self.assertIs(peer.connection.phase, Phase.OPEN)
        self.pair.advance(20)
        self.assertIsNot(peer.connection.phase, Phase.OPEN)


class DialledBudgetTests(BudgetTests):
    """The same where we dialled."""

    pair_of = DiallingPair
