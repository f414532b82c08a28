"""One flush scheduler for two factories: what is written when, and in what order."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from lgtwist.websocket.connection import Connection
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase
from tests.integration.rawclient import CLOSE, CONTINUATION, TEXT
from tests.websocket.sharing import SharedSchedulerTestCase


class SharedSchedulerTests(SharedSchedulerTestCase):
    """What an account sends is written to bots, and the other way round."""

    def test_one_write_for_what_one_read_brought(self) -> None:
        """What comes together from an account goes together to a bot, when it was read."""
        self.watch(self.bot)
        self.on_account.operation = self.offer
        self.burst(self.accounts, self.account, b"1", b"2", b"3")
        self.assertEqual(self.writes, [b"".join(map(server_frame, (b"1", b"2", b"3")))])
        self.assertFalse(self.scheduler.reading)

    def test_many_reads_within_one_turn(self) -> None:
        """The first read is answered at once; what the others bring within the gap goes in one write."""
        self.watch(self.bot)
        self.on_account.operation = self.offer
        for number in range(10):
            self.burst(self.accounts, self.account, b"%d" % number)
        self.assertEqual(self.writes, [server_frame(b"0")])
        self.clock.advance(0)
        self.assertEqual(self.writes[1:], [b"".join(server_frame(b"%d" % n) for n in range(1, 10))])
        self.clock.advance(1)
        self.assertEqual(len(self.writes), 2)

    def test_a_read_within_a_read(self) -> None:
        """What another connection reads meanwhile is part of the same read: it ends once, with the outer."""
        order: list[Any] = []
        self.watch(self.bot)

        def forward(_connection: Connection, payload: bytes) -> None:
            self.scheduler.after_read(lambda: order.append(payload))
            self.burst(self.bots, self.bot, b"inner " + payload)
            order.append(("still reading", self.scheduler.reading, len(self.writes)))

        def answer(connection: Connection, payload: bytes) -> None:
            self.scheduler.after_read(lambda: order.append(payload))
            self.bots.factory.respond(connection, server_frame(payload))

        self.on_account.operation, self.on_bot.operation = forward, answer
        self.burst(self.accounts, self.account, b"1", b"2")
        still = [("still reading", True, 0)] * 2
        self.assertEqual(order, [*still, b"1", b"inner 1", b"2", b"inner 2"])
        self.assertEqual(self.writes, [server_frame(b"inner 1") + server_frame(b"inner 2")])
        self.assertFalse(self.scheduler.reading)
        self.clock.advance(1)
        self.assertEqual(len(self.writes), 1)

    def test_read_again_while_it_is_read(self) -> None:
        """A connection that is fed within its own read answers all, once."""

        def operation(connection: Connection, payload: bytes) -> None:
            self.bots.factory.respond(connection, server_frame(payload))
            if payload == b"outer":
                self.burst(self.bots, self.bot, b"inner")
                self.bots.factory.respond(connection, server_frame(b"behind"))

        self.on_bot.operation = operation
        self.burst(self.bots, self.bot, b"outer", b"last")
        self.clock.advance(0)
        self.assertEqual(sorted(self.bot.texts()), [b"behind", b"inner", b"last", b"outer"])
        self.assertFalse(self.scheduler.reading)
        self.assertFalse(self.bot.connection.flush_pending)

    def test_the_own_answers_go_when_it_was_read(self) -> None:
        """Who asks gets its answers when what it sent was read, however lately it was written to."""
        self.watch(self.bot)
        self.on_bot.operation = lambda connection, payload: self.bots.factory.respond(
            connection, server_frame(payload)
        )
        for number in range(3):
            self.burst(self.bots, self.bot, b"%d" % number)
            self.assertEqual(len(self.writes), number + 1)

    def test_events_before_the_answer_that_follows_them(self) -> None:
        """Collected events and answers keep the order in which they were put in."""

        def operation(_connection: Connection, payload: bytes) -> None:
            frame = server_frame(payload)
            if payload.startswith(b"answer"):
                self.bots.factory.respond(self.bot.connection, frame)
            elif payload.startswith(b"events"):
                self.bots.factory.offer_all(self.bot.connection, [frame, frame], frame + frame)
            else:
                self.bots.factory.offer(self.bot.connection, frame)

        self.on_account.operation = operation
        sent = [b"event 1", b"answer 1", b"events 1", b"answer 2", b"event 2", b"events 2", b"answer 3"]
        self.burst(self.accounts, self.account, *sent)
        self.burst(self.accounts, self.account, *sent)
        expected = [each for each in sent * 2 for _ in range(2 if each.startswith(b"events") else 1)]
        self.assertEqual(self.bot.texts(), expected)

    def test_a_handler_that_fails_in_the_middle(self) -> None:
        """The read ends all the same: what it brought others is written, what waits for its end is called."""
        ended: list[str] = []

        def operation(connection: Connection, payload: bytes) -> None:
            if payload == b"fail":
                raise ZeroDivisionError
            self.scheduler.after_read(lambda: ended.append("read"))
            self.offer(connection, payload)

        self.on_account.operation = operation
        for fragmented in (False, True):
            self.setUp()
            self.on_account.operation = operation
            ended.clear()
            frame = self.accounts.frame
            fail = frame(b"fa", fin=False) + frame(b"il", CONTINUATION) if fragmented else frame(b"fail")
            self.account.bytes(frame(b"1") + fail + frame(b"2"))
            self.assertFalse(self.scheduler.reading)
            self.assertEqual(ended, ["read"])
            self.assertEqual(self.bot.texts(), [b"1"])
            self.accounts.turn()
            self.assertIs(self.account.connection.phase, Phase.CLOSED)
            self.assertIs(self.bot.connection.phase, Phase.OPEN)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.on_account.operation = self.offer
            again = self.accounts.connect(self.on_account).open()
            self.burst(self.accounts, again, b"3")
            self.assertEqual(self.bot.texts(), [b"3"])

    def test_a_link_that_ends_in_the_middle(self) -> None:
        """However a link ends within a read: what came before is handed out, once, and nothing after."""
        for end in ("close frame", "closed", "aborted", "breach", "no text"):
            self.setUp()
            collected: list[bytes] = []
            handed: list[list[bytes]] = []

            def hand_out(collected: list[bytes] = collected, handed: list[list[bytes]] = handed) -> None:
                handed.append(collected[:])
                collected.clear()

            def operation(
                connection: Connection,
                payload: bytes,
                collected: list[bytes] = collected,
                hand_out: Callable[[], None] = hand_out,
                end: str = end,
            ) -> None:
                if not collected:
                    self.scheduler.after_read(hand_out)
                collected.append(payload)
                if payload == b"2" and end == "closed":
                    self.accounts.factory.close(connection, 1000, "enough")
                elif payload == b"2" and end == "aborted":
                    self.accounts.factory.abort(connection, "enough")

            self.on_account.operation = operation
            frame = self.accounts.frame
            between = {
                "close frame": frame(struct.pack("!H", 1000), CLOSE),
                "breach": frame(b"x", CONTINUATION),
                "no text": frame(b"\xff"),
            }.get(end, b"")
            self.account.bytes(frame(b"1") + frame(b"2") + between + frame(b"3"))
            self.assertEqual(handed, [[b"1", b"2"]], end)
            self.assertFalse(self.scheduler.reading)

    def test_one_of_many_that_fails(self) -> None:
        """A connection that cannot be written to costs those behind it nothing, of either factory."""
        bots = [self.bots.connect().open() for _ in range(5)]
        self.clock.advance(1)
        bots[1].transport.fails_with = OSError(32, "Broken pipe")

        def operation(_connection: Connection, payload: bytes) -> None:
            for bot in bots:
                self.bots.factory.offer(bot.connection, server_frame(payload))
            self.accounts.factory.put(self.account.connection, self.account.connection.encode(b"ask"))

        self.on_account.operation = operation
        self.burst(self.accounts, self.account, b"1", b"2")
        self.assertEqual([bot.texts() for bot in bots], [[b"1", b"2"], [], *[[b"1", b"2"]] * 3])
        self.assertEqual(self.account.texts(), [b"ask", b"ask"])
        self.assertEqual(self.bots.factory.counters.send_failures, 1)
        self.assertFalse(self.scheduler.reading)

    def test_ended_while_it_waits(self) -> None:
        """A connection that ends while something waits for it is not written to, and none is kept back."""
        other = self.bots.connect().open()
        self.bots.factory.offer(self.bot.connection, server_frame(b"1"))
        self.bots.factory.offer(other.connection, server_frame(b"1"))
        self.bot.lose()
        self.watch(self.bot)
        self.clock.advance(0)
        self.assertEqual(self.writes, [])
        self.assertEqual(other.texts(), [b"1"])

    def test_congested_while_it_waits(self) -> None:
        """Who reads slowly waits for no end of a turn, and is written to when it has read."""
        self.bot.transport.reading = False
        self.on_account.operation = self.offer
        large = b"x" * 100_000
        for number in range(5):
            self.burst(self.accounts, self.account, b"%d" % number + large)
            self.clock.advance(1)
        self.assertTrue(self.bot.connection.write_paused)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.bot.transport.reading = True
        self.assertEqual([text[:1] for text in self.bot.texts()], [b"0", b"1", b"2", b"3", b"4"])

    def test_a_read_that_brings_nothing(self) -> None:
        """It leaves nothing: no timer, no reading."""
        self.account.bytes(bytes([0x80 | TEXT]))
        self.assertFalse(self.scheduler.reading)
        self.assertEqual(self.clock.getDelayedCalls(), [])
