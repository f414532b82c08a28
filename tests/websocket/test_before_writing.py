"""Hooks that run before anything is written."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from lgtwist.websocket.connection import Connection
from lgtwist.websocket.framing import server_frame
from tests.integration.rawclient import CLOSE
from tests.websocket.sharing import SharedSchedulerTestCase


class BeforeWritingTests(SharedSchedulerTestCase):
    """What a handler does is kept, say on a disk, before anything is written that says so."""

    def kept_first(self) -> tuple[list[str], Callable[[], None]]:
        """A handler whose operations are to be kept before they are answered: what happened, and a check."""
        happened: list[str] = []
        write = self.bot.transport.write

        def note(data: bytes) -> None:
            happened.append("written")
            write(data)

        self.patch(self.bot.transport, "write", note)

        def operation(connection: Connection, payload: bytes) -> None:
            self.scheduler.before_writing(lambda: happened.append("kept"))
            self.bots.factory.respond(connection, server_frame(payload))

        self.on_bot.operation = operation
        return happened, lambda: self.assertEqual(happened[:1], ["kept"])

    def test_kept_before_it_is_written(self) -> None:
        """Nothing is written to anybody between an operation and its being kept."""
        happened, check = self.kept_first()
        self.burst(self.bots, self.bot, b"1", b"2")
        self.assertEqual(happened, ["kept", "kept", "written"])
        check()

    def test_kept_before_it_is_sent(self) -> None:
        """The same for each way to send something, where nothing waits before it."""
        frame = server_frame(b"told")
        for way in ("send", "respond", "offer", "offer_all"):
            self.setUp()
            happened, check = self.kept_first()

            def operation(
                connection: Connection, payload: bytes, way: str = way, kept: list[str] = happened
            ) -> None:
                self.scheduler.before_writing(lambda: kept.append("kept"))
                told: dict[str, Any] = {"send": (b"told",), "offer_all": ([frame], frame)}
                getattr(self.bots.factory, way)(connection, *told.get(way, (frame,)))

            self.on_bot.operation = operation
            self.burst(self.bots, self.bot, b"1")
            self.assertEqual(happened, ["kept", "written"], way)
            check()

    def test_kept_before_it_is_written_and_closed(self) -> None:
        """The same where the asker's close frame comes in the same read: its answers go before ours."""
        _happened, check = self.kept_first()
        self.bot.bytes(self.bots.frame(b"1") + self.bots.frame(struct.pack("!H", 1000), CLOSE))
        check()

    def test_kept_before_it_is_written_and_closed_by_us(self) -> None:
        """The same where we close within the read."""
        happened, check = self.kept_first()

        def operation(connection: Connection, payload: bytes) -> None:
            self.scheduler.before_writing(lambda: happened.append("kept"))
            self.bots.factory.respond(connection, server_frame(payload))
            self.bots.factory.close(connection, 1000, "enough")

        self.on_bot.operation = operation
        self.burst(self.bots, self.bot, b"1")
        check()

    def test_kept_before_it_is_written_though_it_is_much(self) -> None:
        """The same where a burst is so large that it is written before the read has ended."""
        happened, check = self.kept_first()

        def operation(connection: Connection, payload: bytes) -> None:
            self.scheduler.before_writing(lambda: happened.append("kept"))
            for _ in range(40):
                self.bots.factory.offer(connection, server_frame(b"x" * 10_000))

        self.on_bot.operation = operation
        self.burst(self.bots, self.bot, b"1")
        check()

    def test_kept_before_a_slow_reader_is_written_to(self) -> None:
        """The same where a transport asks for more before the turn has ended."""
        happened, check = self.kept_first()
        self.bot.connection.pauseProducing()
        self.scheduler.before_writing(lambda: happened.append("kept"))
        self.bots.factory.respond(self.bot.connection, server_frame(b"1"))
        self.bot.connection.resumeProducing()
        self.clock.advance(0)
        check()
