"""What a pong promises: how many frames may sit unread in a library that has answered a ping behind them.

Each program stops handling at some event. We send it events, a ping behind each, as fast as it takes them,
until nothing is answered any more; what was answered and not handled is what a pong does not promise.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.frameworks.frameworks import HERE, need, node_modules
from tests.integration.at_least_once import at_least_once, metric
from tests.integration.faulty import Injector, numbered, quiet
from tests.integration.listening_bots import Peer, server_frame
from tests.integration.rawclient import PING, PONG, RawClient, masked_frame
from tests.integration.running import ServiceTestCase, wait_until
from tests.processes import ChildProcess, free_port, inherited_environment
from tests.rounds import combination

#: So many events are handled, and so many more are offered.
HANDLED, OFFERED = 250, 3000
#: What asyncio, and a thread of ``websockets``, take from the kernel at once (bytes).
ASYNCIO_READ, THREAD_READ = 256 << 10, 64 << 10
#: Messages that ``websockets`` lets wait for the program before it stops reading.
QUEUE = 16
#: Behind so many unanswered pings Node's ``ws`` ends the connection.
PINGS_OF_WS = 60
#: A library that has answered nothing for so long will not answer any more (seconds).
QUIET = 0.8


def event(number: int, size: int) -> bytes:
    """A private message with a number, of so many bytes or a few more."""
    fields: dict[str, Any] = {
        "time": 1_700_000_000,
        "self_id": 10001,
        "post_type": "message",
        "message_type": "private",
        "sub_type": "friend",
        "message_id": number,
        "user_id": 20001,
        "message": [{"type": "text", "data": {"text": "hello"}}],
        "raw_message": "hello",
        "font": 0,
        "sender": {"user_id": 20001, "nickname": "Alice"},
        "n": number,
    }
    fields["pad"] = "x" * max(0, size - len(json.dumps(fields)) - 11)
    return json.dumps(fields).encode()


LIFECYCLE = json.dumps(
    {
        "time": 1_700_000_000,
        "self_id": 10001,
        "post_type": "meta_event",
        "meta_event_type": "lifecycle",
        "sub_type": "connect",
    }
).encode()


def answered(peer: RawClient, frame: Callable[[bytes, int], bytes], size: int, pings: int) -> int:
    """Offer events, a ping behind each: the number of the last ping that was answered."""
    sock = peer.socket
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.settimeout(None)
    waiting = frame(LIFECYCLE, 1)
    newest, offered, heard = 0, 0, time.monotonic()
    while newest < HANDLED + OFFERED and time.monotonic() - heard < QUIET:
        if len(waiting) < 1 << 19 and offered < min(HANDLED + OFFERED, newest + pings):
            some = range(offered + 1, min(offered + 100, HANDLED + OFFERED, newest + pings) + 1)
            waiting += b"".join(frame(event(n, size), 1) + frame(b"%d" % n, PING) for n in some)
            offered = some[-1]
        readable, writable, _x = select.select([sock], [sock] if waiting else [], [], 0.05)
        if writable:
            waiting = waiting[sock.send(waiting[: 1 << 16]) :]
        if readable:
            peer._more()
            while len(peer._buffer) >= 2 and len(peer._buffer) >= _length(peer._buffer):
                opcode, payload = peer.frame()
                if opcode == PONG:
                    newest, heard = int(payload), time.monotonic()
    return newest


def _length(buffer: bytes) -> int:
    """Of the first frame; they are all short."""
    return 2 + (buffer[1] & 0x7F) + (4 if buffer[1] & 0x80 else 0)


class PongTestCase(SynchronousTestCase):
    """One program, one way to hang, one size of events."""

    def setUp(self) -> None:
        self.program = ChildProcess(Path(self.mktemp()))
        self.folder = self.program.folder
        self.port = free_port()

    def begin(self, command: list[str], env: dict[str, str]) -> None:
        """Start the program."""
        settings = {
            "PYTHONUNBUFFERED": "1",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "SEEN": str(self.folder / "seen"),
            "BLOCK_AT": str(HANDLED + 1),
            "STALL_AT": "50",
            "LOG_LEVEL": "ERROR",
        }
        self.program.spawn(command, {**inherited_environment(), **settings, **env})
        self.addCleanup(self.program.end)

    def handled(self) -> int:
        """How many events the program has handled."""
        seen = self.folder / "seen"
        return len(seen.read_text().splitlines()) if seen.exists() else 0

    def client(self, command: list[str], size: int = 300, pings: int = OFFERED, **env: str) -> int:
        """Of a program that dials: how many events were answered for and not handled."""
        with socket.create_server(("127.0.0.1", self.port)) as listening:
            listening.settimeout(30)
            self.begin(command, {"URL": f"ws://127.0.0.1:{self.port}/", **env})
            peer = Peer(listening.accept()[0])
            with peer:
                peer.open()
                return self._unread(peer, server_frame, size, pings)

    def server(self, program: str, path: str, size: int = 300, **env: str) -> int:
        """Of a program that listens."""
        self.begin([sys.executable, str(HERE / program)], env)
        wait_until("it is ready", lambda: "READY" in (self.folder / "log").read_text(), 60)
        headers = {"X-Self-ID": "10001", "X-Client-Role": "Universal"}

        def dial() -> RawClient | None:
            try:
                return RawClient(None, path, headers, port=self.port)
            except OSError:
                return None

        peer = wait_until("it listens", dial)
        assert peer is not None
        with peer:
            return self._unread(peer, masked_frame, size, OFFERED)

    def _unread(self, peer: RawClient, frame: Callable[[bytes, int], bytes], size: int, pings: int) -> int:
        last = answered(peer, frame, size, pings)
        wait_until("what can be handled is", lambda: self.handled() >= HANDLED)
        self.assertEqual(self.handled(), HANDLED)
        return last - HANDLED


class Clients(PongTestCase):
    """Programs that dial."""

    def python(self, library: str, size: int = 300) -> int:
        need(library.partition("-")[0])
        return self.client([sys.executable, str(HERE / "pong_client.py")], size, LIBRARY=library)

    def test_websockets(self) -> None:
        """A few messages, and all the others that came with them in one read."""
        for size in (300, 3000):
            self.assertLessEqual(self.python("websockets", size), QUEUE + ASYNCIO_READ // size + 2)
            self.doCleanups()
            self.setUp()

    @combination
    def test_websockets_in_threads(self) -> None:
        """The same, of smaller reads."""
        for size in (300, 3000):
            self.assertLessEqual(self.python("websockets-sync", size), QUEUE + THREAD_READ // size + 2)
            self.doCleanups()
            self.setUp()

    def test_aiohttp(self) -> None:
        """Pings are answered when the program asks for the next message: nothing sits unread."""
        self.assertEqual(self.python("aiohttp"), 0)

    def ws(self, how: str) -> int:
        packages = node_modules(HERE / "napcat_ts")
        (self.folder / "node_modules").symlink_to(packages)
        shutil.copyfile(HERE / "pong_ws.js", self.folder / "index.cjs")
        return self.client(["node", "index.cjs"], pings=PINGS_OF_WS - 10, BLOCK_HOW=how)

    def test_ws(self) -> None:
        """A handler that returns has had its message when the ping behind it is answered."""
        self.assertEqual(self.ws("sleep"), 0)

    @combination
    def test_ws_whose_handlers_are_asynchronous(self) -> None:
        """They are called, and nobody waits for them: without bound."""
        self.assertEqual(self.ws("await"), OFFERED)


class Servers(PongTestCase):
    """Programs that listen. Each makes a task of each message, so nothing bounds what is not handled."""

    def test_nonebot(self) -> None:
        """Only the loop that stands still stops it."""
        need("nonebot2", "nonebot-adapter-onebot", "fastapi", "uvicorn")
        unread = self.server("pong_nonebot.py", "/onebot/v11/ws", DRIVER="~fastapi", BLOCK_HOW="await")
        self.assertGreater(unread, 1000)

    @combination
    def test_aiocqhttp(self) -> None:
        """Handlers that wait: without bound."""
        need("aiocqhttp")
        self.assertEqual(self.server("pong_aiocqhttp.py", "/ws", BLOCK_HOW="await"), OFFERED)

    @combination
    def test_aiocqhttp_that_stands_still(self) -> None:
        """A handler that never lets the loop go on: a few."""
        need("aiocqhttp")
        self.assertLess(self.server("pong_aiocqhttp.py", "/ws", BLOCK_HOW="sleep"), 100)


class Grace(ServiceTestCase):
    """What a program on ``websockets`` had not handled when it was killed."""

    toml = (
        quiet()
        + at_least_once("plain", token=True)
        + at_least_once("graced", 'replay = { grace = "5s" }', token=True)
    )

    def die_and_come_back(self, name: str) -> tuple[list[int], int]:
        """The program hangs at event 100, and dies: what it has handled in the end, what was confirmed."""
        need("websockets")
        seen = self.service.folder / name
        env = {
            **os.environ,
            "URL": self.service.url(),
            "TOKEN": f"of-{name}",
            "SEEN": str(seen),
            "STALL_AT": "50",
        }

        def begin(**more: str) -> ChildProcess:
            program = ChildProcess(self.service.folder, f"log-of-{name}")
            program.spawn([sys.executable, str(HERE / "pong_client.py")], {**env, **more})
            self.addCleanup(program.end)
            wait_until("it is connected", lambda: metric(self.service, "bot_connections", bot=name))
            return program

        def handled() -> list[int]:
            return [int(line.split()[1]) for line in seen.read_text().splitlines()] if seen.exists() else []

        program = begin(BLOCK_AT="100")
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        injector.publish(*map(numbered, range(100)))
        confirmed = lambda: int(metric(self.service, "confirmed_events_total", bot=name))  # noqa: E731
        wait_until("the first are handled", lambda: len(handled()) == 100)
        for number in range(100, 110):  # one at a time, so that its library reads a ping behind each
            injector.publish(numbered(number))
            wait_until("it is confirmed", lambda: confirmed() > number)  # noqa: B023
        injector.publish(*map(numbered, range(110, 400)))
        program.kill()
        wait_until("it is gone", lambda: not metric(self.service, "bot_connections", bot=name))
        before = confirmed()
        begin()
        injector.publish(numbered(400))
        wait_until("it has handled the last", lambda: 400 in handled())
        return handled(), before

    def test_without(self) -> None:
        """They are gone for the program: its library had confirmed them."""
        handled, confirmed = self.die_and_come_back("plain")
        self.assertEqual(handled, [*range(100), *range(confirmed, 401)])

    def test_with(self) -> None:
        """They come again, and so does what was handled in those seconds."""
        handled, _confirmed = self.die_and_come_back("graced")
        self.assertEqual(list(dict.fromkeys(handled)), list(range(401)))
