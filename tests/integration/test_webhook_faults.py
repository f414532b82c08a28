"""HTTP POST: a bot that answers badly, late or not at all, or is down."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

from tests.integration.faulty import Injector, numbered
from tests.integration.listening_bots import (
    DRIP,
    DRIP_HEAD,
    EMPTY,
    ENDLESS,
    ENDLESS_HEAD,
    Behaviour,
    hang_up,
    never,
    raw,
    respond,
    slam,
)
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, wait_until
from tests.integration.webhooks import (
    SECRET,
    TIMEOUT,
    Hooked,
    WebhookTestCase,
)


class Misbehaviour(WebhookTestCase):
    """Receivers that do everything wrong: nobody is hurt, the next event arrives, the lost one is counted."""

    def _check(self, behaviour: Behaviour, patience: float = TIMEOUT + 1.0, lost: int = 1) -> None:
        before, last = self.dropped(), self.last_message()
        with RawClient(self.service) as other:
            other.message()
            word = self.ask_behaving(behaviour)
            self.assertEqual(other.event(word=word)["word"], word)
            self.assert_next_arrives(patience)
        self.assertEqual(len(self.receiver.of(word)), 1, "a live event is posted once")
        wait_until("the lost event is counted", lambda: self.dropped() == before + lost, 2.0)
        self.assertEqual(self.last_message(), last)
        self.assertNotIn("in a row", self.new_log())

    def test_statuses(self) -> None:
        """3xx (not followed), 4xx and 5xx, with bodies that would be operations."""
        for status in (300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 410, 413, 429, 500, 502, 503, 599):
            more = [f"Location: {self.receiver.url('/elsewhere')}"] if status < 400 else []
            body = b"" if status == 304 else b'{"reply": "x"}'
            self._check(respond(status, body, *more))

    def test_garbage(self) -> None:
        """What is no HTTP."""
        for data in (
            b"garbage\r\n\r\n",
            b"\x00\xff" * 1000,
            b"\r\n" * 10,
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
        ):
            self._check(raw(data))

    def test_a_2xx_whose_body_breaks(self) -> None:
        """Any 2xx confirms, whatever becomes of what it wanted to say."""
        for data in (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
            b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"reply"',
        ):
            self._check(raw(data), lost=0)

    def test_never(self) -> None:
        """No answer at all: the time limit ends it."""
        began = time.monotonic()
        self._check(never)
        self.assertGreater(time.monotonic() - began, TIMEOUT)

    def test_dripping(self) -> None:
        """An answer that never ends, a byte at a time, in the body and in the head."""
        self._check(DRIP)
        self._check(DRIP_HEAD)

    def test_endless(self) -> None:
        """An answer that never ends, as fast as it goes: memory does not grow."""
        memory = self.service.memory()
        self._check(ENDLESS)
        self._check(ENDLESS_HEAD)
        self.assertLess(self.service.memory() - memory, 30 << 20)

    def test_ended(self) -> None:
        """The connection is closed or reset instead of an answer, or in the middle of one."""
        for behaviour in (hang_up, slam, raw(b"HTTP/1.1 200 OK\r\nContent-"), raw(b"HTTP/1.1 500 X\r\n")):
            self._check(behaviour)

    def test_connection_closed_after_each(self) -> None:
        """A receiver that closes after each answer, unannounced: what meets the close is counted."""
        before, number = self.dropped(), 20

        def one_shot(sock: Any) -> bool:
            EMPTY(sock)
            return False

        self.receiver.usual = one_shot
        words = [self.word() for _n in range(number)]

        def settled(sent: int) -> bool:
            came = sum(1 for word in words if self.receiver.of(word))
            return came + self.dropped() - before >= sent

        for sent, word in enumerate(words, 1):
            self.inject(word)
            wait_until("it came, or is counted", lambda: settled(sent))  # noqa: B023
        self.receiver.usual = EMPTY
        words.append(self.word())
        self.inject(words[-1])  # this one may still meet a close, the next one cannot
        wait_until("it came, or is counted", lambda: settled(number + 1))
        # never two in a row: a new connection is good
        self.assertLessEqual(self.dropped() - before, (number + 1) // 2)
        self.ask_behaving(respond(200, b"", "Connection: close"))
        self.assert_next_arrives()


class Flood(WebhookTestCase):
    """More events than may wait, for a receiver that hangs for as long as it likes."""

    def start_shared(self, folder: Path) -> Hooked:
        return Hooked(folder, timeout=PATIENCE)

    def test_flood_while_stuck(self) -> None:
        """While a post hangs the next wait, up to ``send_buffer``: the oldest go, counted."""
        before, number = self.dropped(), 200
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        published = threading.Event()

        def hang(_sock: socket.socket) -> bool:
            published.wait(PATIENCE)
            return False

        self.ask_behaving(hang)
        injector.publish(*(numbered(n, 50_000, who=77) for n in range(number)))
        published.set()

        def come() -> list[int]:
            return [post.event["n"] for post in self.receiver.of('"who":77,')]

        wait_until("the newest comes", lambda: number - 1 in come())
        self.assertEqual(come(), list(range(number - len(come()), number)))
        self.assertLess(len(come()) * 50_000, 5 << 20)
        self.assertEqual(self.dropped() - before, 1 + number - len(come()))


class Outages(WebhookTestCase):
    """Receivers that are gone for longer."""

    def outage(self) -> None:
        """Events are published until posting pauses."""

        def told() -> bool:
            self.inject("into the void")
            return "posts in a row" in self.new_log()

        wait_until("it is said", told)

    def back(self) -> None:
        """Events are published until one arrives; then the next ones do."""

        def arrives() -> bool:
            word = self.word()
            self.inject(word)
            deadline = time.monotonic() + 0.1
            while not self.receiver.of(word) and time.monotonic() < deadline:
                time.sleep(0.01)
            return bool(self.receiver.of(word))

        wait_until("posts come again", arrives)
        self.assert_next_arrives()
        self.assert_next_arrives()

    def assert_told_once(self) -> None:
        log = self.new_log()
        self.assertEqual(log.count("posts in a row"), 1, log)
        self.assertIn("5 posts in a row for account 10001 to http://127.0.0.1:", log)
        wait_until("its end is told", lambda: "are taken again" in self.new_log())
        self.assertEqual(self.new_log().count("are taken again"), 1)
        self.assertNotIn(SECRET, log)

    def test_five_failures(self) -> None:
        """After five failures one line, and a pause without posts; then it is tried, and goes on."""
        before, began = self.dropped(), len(self.receiver.posts)
        self.receiver.usual = respond(500)
        self.outage()
        self.assertEqual(len(self.receiver.posts) - began, 5)
        fell = self.receiver.posts[-1].at

        def tried() -> bool:
            self.inject("into the void")
            return len(self.receiver.posts) - began > 5

        wait_until("it is tried again", tried)
        self.assertGreater(self.receiver.posts[-1].at - fell, 0.8)
        self.receiver.usual = EMPTY
        self.back()
        self.assert_told_once()
        self.assertGreaterEqual(self.dropped() - before, 6)

    def test_down_and_up(self) -> None:
        """The receiver ends and is started again, and every lost event is counted."""
        before = self.dropped()
        self.receiver.stop()
        self.outage()
        with RawClient(self.service) as other:
            other.message()
            self.inject("others hear it")
            self.assertEqual(other.event(word="others hear it")["word"], "others hear it")
        self.receiver.start()
        self.back()
        self.assert_told_once()
        lost = re.search(r"taken again; (\d+) events were dropped", self.new_log())
        assert lost is not None
        self.assertEqual(self.dropped() - before, int(lost[1]))
