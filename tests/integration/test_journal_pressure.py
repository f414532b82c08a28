"""Implementations that send faster than the journal's disk writes: held back, and nothing is lost.

The disk is made slow by another program that locks the journal's file: commits succeed, but not now.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any

from tests.integration.at_least_once import Bot, at_least_once, bearer, has_all, lines, metric
from tests.integration.faulty import MIB, quiet
from tests.integration.rawclient import PING, PONG, TEXT, Ended, RawClient
from tests.integration.running import PATIENCE, Service, ServiceTestCase, wait_until
from tests.rounds import ROUNDS

FLOODING, OTHER, POSTING, SANDBOX = 7, 8, 9, 10001
#: Seconds that an implementation sends faster than the disk writes.
SECONDS = 30 if ROUNDS > 1 else 3
#: Bytes of events of one account that wait before it is held back, and one read or message on top.
SHARE = 64 * MIB // 9


def reverse(self_id: int) -> str:
    token = f'access_token = "token-of-{self_id}"'
    return f'[[accounts]]\ntype = "reverse-websocket"\nself_id = {self_id}\n{token}\n'


class Implementation:
    """An implementation that dials lgtwist, answers actions, and sends numbered events.

    :ivar sent: how many events TCP has taken.
    """

    def __init__(self, service: Service, self_id: int) -> None:
        self.self_id = self_id
        self.sent = 0
        headers = {"X-Self-ID": str(self_id), "Authorization": f"Bearer token-of-{self_id}"}
        self._client = RawClient(service, "/onebot/v11/ws", {**headers, "X-Client-Role": "Universal"})
        self._client.socket.settimeout(None)
        self._lock = threading.Lock()
        self._flooding = threading.Event()
        self._threads = [threading.Thread(target=self._answer, daemon=True)]
        self._threads[0].start()

    def _answer(self) -> None:
        with contextlib.suppress(Ended, OSError):
            while True:
                opcode, payload = self._client.frame()
                if opcode == TEXT:
                    action = json.loads(payload)
                    data = {"user_id": self.self_id, "nickname": "robot"}
                    answer = {"status": "ok", "retcode": 0, "data": data, "echo": action["echo"]}
                    self._send(json.dumps(answer).encode())
                elif opcode == PING:
                    self._send(payload, PONG)

    def _send(self, payload: bytes, opcode: int = TEXT) -> None:
        with self._lock:
            self._client.send(payload, opcode)

    def event(self, size: int = 0) -> int:
        """Send the next event; its number."""
        number = self.sent
        fields = {"self_id": self.self_id, "time": 0, "n": number, "pad": "x" * size}
        self._send(json.dumps({"post_type": "notice", "notice_type": "test", **fields}).encode())
        self.sent += 1
        return number

    def flood(self, size: int) -> None:
        """Send events without end from now on, as fast as TCP takes them."""

        def run() -> None:
            with contextlib.suppress(OSError):
                while not self._flooding.is_set():
                    self.event(size)

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def end_flood(self) -> None:
        self._flooding.set()
        self._threads[-1].join(PATIENCE)
        assert not self._threads[-1].is_alive(), "it is still held back"

    def end(self) -> None:
        self._flooding.set()
        with contextlib.suppress(OSError):
            self._client.socket.shutdown(2)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._client.socket.close()


class OneAnswer(BaseHTTPRequestHandler):
    """Answers each action of an ``http`` account alike."""

    data = {"user_id": POSTING, "nickname": "robot", "online": True, "good": True}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"status": "ok", "retcode": 0, "data": self.data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


class PressureTestCase(ServiceTestCase):
    toml = (
        quiet(close_timeout="1s")
        + "".join(map(reverse, (FLOODING, OTHER)))
        + f'[[accounts]]\ntype = "http"\nself_id = {POSTING}\nurl = "http://127.0.0.1:@PORT@"\n'
        + f'[[accounts]]\ntype = "sandbox"\nself_id = {SANDBOX}\n'
        + "".join(
            at_least_once(str(self_id), f"accounts = [{self_id}]", token=True)
            for self_id in (FLOODING, OTHER, POSTING, SANDBOX)
        )
        + f'[[bots]]\nname = "live"\naccounts = [{OTHER}]\naccess_token = "of-live"\n'
    )

    def setUp(self) -> None:
        answering = ThreadingHTTPServer(("127.0.0.1", 0), OneAnswer)
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        self.addCleanup(answering.server_close)
        self.addCleanup(answering.shutdown)
        self.toml = type(self).toml.replace("@PORT@", str(answering.server_address[1]))
        super().setUp()

    def implementation(self, self_id: int) -> Implementation:
        made = Implementation(self.service, self_id)
        self.addCleanup(made.end)
        up = lambda: metric(self.service, "account_up", account=self_id)  # noqa: E731
        wait_until(f"account {self_id} is up", up)
        return made

    def bot(self, self_id: int | str, path: str = "/") -> Bot:
        bot = Bot(self.service, path, bearer(str(self_id)))
        self.addCleanup(bot.end)
        wait_until("the bot is connected", lambda: bot.connected)
        return bot

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let another program write to the journal's file, and not end."""
        path = self.service.folder / "data" / "journal.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                other.execute("ROLLBACK")

    def paused(self) -> int:
        return int(metric(self.service, "journal_paused_accounts"))

    def assert_nothing_lost(self, self_id: int) -> None:
        self.assertEqual(metric(self.service, "journal_lost_events_total", account=self_id), 0)
        self.assertEqual(lines(self.service.log(), "could not be kept"), [])


class Flood(PressureTestCase):
    def test_nothing_is_lost_and_nobody_else_notices(self) -> None:
        """It is not read until half is written; what the others send is neither late nor lost."""
        flooding, other = self.implementation(FLOODING), self.implementation(OTHER)
        bot, others, live = self.bot(FLOODING), self.bot(OTHER), self.bot("live")

        def latencies(bot: Bot, seconds: float) -> list[float]:
            found = []
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                watch = self.service.stopwatch()
                number = other.event()
                bot.wait_for(number)
                found.append(watch.seconds())
                time.sleep(0.005)
            return found

        quiet_median = median(latencies(live, 0.5))
        before = self.service.memory()
        flooding.flood(20_000)
        end = time.monotonic() + SECONDS
        found: list[float] = []
        most = 0
        while time.monotonic() < end:
            with self.locked():  # so the disk takes a megabyte or so each half second
                wait_until("it is not read", self.paused)
                found += latencies(live, 0.5)
                most = max(most, self.service.memory())
            number = other.event()
            others.wait_for(number)  # not behind all that the other account has sent
        flooding.end_flood()
        bot.wait_for(flooding.sent - 1, 60)
        wait_until("all is confirmed", lambda: has_all(self.service, str(FLOODING), FLOODING))
        self.assertEqual(bot.seen, list(range(flooding.sent)))
        self.assertEqual(others.seen, list(range(other.sent)))
        self.assertEqual(live.seen, list(range(other.sent)))
        self.assert_nothing_lost(FLOODING)
        self.assert_nothing_lost(OTHER)
        self.assertEqual(self.paused(), 0)
        self.assertGreater(metric(self.service, "journal_pauses_total"), 0)
        self.assertLess(most - before, 64 * MIB)
        self.assertLess(median(found), max(1.2 * quiet_median, 0.05))  # half a second is the disk's
        self.assertEqual(len(lines(self.service.log(), "sends faster than the disk writes")), 1)

    def test_large_ones_in_a_row(self) -> None:
        """On a disk with nothing wrong: one after the other is written."""
        flooding, bot = self.implementation(FLOODING), self.bot(FLOODING)
        for _ in range(6):
            flooding.event(20 * MIB)
        bot.wait_for(5, 60)
        self.assertEqual(bot.seen, list(range(6)))
        self.assert_nothing_lost(FLOODING)


class Locked(PressureTestCase):
    """Another program has the file for longer than SQLite waits."""

    def post(self, number: int, size: int) -> tuple[int, Any]:
        """Post an event as an implementation; the status, and ``Retry-After``."""
        event = {"post_type": "notice", "notice_type": "test", "self_id": POSTING, "n": number}
        request = urllib.request.Request(
            self.service.url("/onebot/v11/post").replace("ws", "http", 1),
            json.dumps({**event, "pad": "x" * size}).encode(),
            {"X-Self-ID": str(POSTING), "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return int(answer.status), None
        except urllib.error.HTTPError as refused:
            with refused:
                self.assertIn(b"wait for the journal's disk", refused.read())
                return refused.code, refused.headers["Retry-After"]

    def test_all_kinds_of_accounts(self) -> None:
        """A link is not read, posts get 503, the sandbox waits; all goes on afterwards, nothing is lost."""
        flooding = self.implementation(FLOODING)
        bots = {self_id: self.bot(self_id) for self_id in (FLOODING, POSTING, SANDBOX)}
        caller = RawClient(self.service, "/api", bearer(str(SANDBOX)))
        self.addCleanup(caller.socket.close)
        answers: list[int] = []
        posted = 0
        with self.locked():
            flooding.flood(100_000)
            while (answer := self.post(posted, MIB))[0] == 204:
                posted += 1
                self.assertLess(posted, 20)
            self.assertEqual(answer[0], 503)
            self.assertTrue(int(answer[1]))
            self.assertGreater(posted * MIB, SHARE - MIB)

            def say() -> None:
                for number in range(12):
                    event = {"post_type": "notice", "notice_type": "test", "n": number, "pad": "x" * MIB}
                    answers.append(self.service.http(f"/sandbox/{SANDBOX}/event", event)[0])

            speaking = threading.Thread(target=say)
            speaking.start()
            wait_until("three accounts wait", lambda: self.paused() == 3)
            wait_until("the log says why", lambda: lines(self.service.log(), "is locked by another program"))
            status, answer_ = self.service.http("/readyz")
            self.assertEqual(status, 503)
            self.assertIn("locked by another program", str(answer_))
            self.assertLess(len(answers), 12)
            taken = len(answers)
            # An action that causes a notice waits too, and who hangs up is forgotten.
            caller.call("set_group_card", 1, group_id=30001, user_id=10001, card="x")
            with self.service.connect() as gone:
                body = json.dumps({"post_type": "notice", "notice_type": "gone", "n": 99}).encode()
                gone.sendall(
                    b"POST /sandbox/%d/event HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
                    % (SANDBOX, len(body), body)
                )
                time.sleep(0.2)
            time.sleep(0.2)
            self.assertEqual(len(answers), taken)
        self.assertEqual(caller.response()["echo"], 1)
        speaking.join(PATIENCE)
        self.assertEqual(answers, [200] * 12)
        flooding.end_flood()
        bots[FLOODING].wait_for(flooding.sent - 1, 60)
        self.assertEqual(bots[FLOODING].seen, list(range(flooding.sent)))
        wait_until("posts are taken again", lambda: self.post(posted, 0)[0] == 204)
        bots[POSTING].wait_for(posted)
        self.assertEqual(bots[POSTING].seen, list(range(posted + 1)))
        self.assertEqual(bots[SANDBOX].seen, list(range(12)))
        for self_id in bots:
            self.assert_nothing_lost(self_id)
        wait_until("it is ready again", lambda: self.service.http("/readyz")[1]["reasons"] != [answer_])

    def test_stop(self) -> None:
        """It ends within its bounds, and says what it could not write."""
        flooding = self.implementation(FLOODING)
        with self.locked():
            flooding.flood(20_000)
            wait_until("it is not read", self.paused)
            begun = time.monotonic()
            self.assertEqual(self.service.stop(signal.SIGTERM, 15), 0)
            self.assertLess(time.monotonic() - begun, 14)
        (line,) = lines(self.service.log(), "could not be kept")
        self.assertIn(f"account {FLOODING}", line)
        self.assertEqual(len(lines(self.service.log(), "locked by another program", "while closing")), 1)

    def test_start(self) -> None:
        """It starts, and takes events; when the other program ends they are written."""
        self.service.stop()
        with self.locked():
            self.service.start()
            flooding, bot = self.implementation(FLOODING), self.bot(FLOODING)
            self.assertEqual(flooding.event(), 0)
            time.sleep(0.5)
            self.assertEqual(bot.seen, [])
        bot.wait_for(0)

    def test_stop_while_much_waits(self) -> None:
        """What was taken in is written, and comes after the next start."""
        flooding, bot = self.implementation(FLOODING), self.bot(FLOODING)
        with self.locked():
            flooding.flood(20_000)
            wait_until("it is not read", self.paused)
        self.assertEqual(self.service.stop(signal.SIGTERM, 15), 0)
        self.assertEqual(lines(self.service.log(), "could not be kept"), [])
        flooding.end()
        self.service.start()
        self.implementation(FLOODING)
        wait_until(
            "the bot has all", lambda: bot.connected and has_all(self.service, str(FLOODING), FLOODING)
        )
        numbers = sorted(set(bot.seen))
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertGreater(len(numbers) * 20_000, SHARE * 0.9)
