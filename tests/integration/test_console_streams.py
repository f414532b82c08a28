"""The console's event streams over real sockets: too many of them, and one that does not read."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.rawclient import RawClient, masked_frame
from tests.integration.running import PATIENCE, Service, wait_until
from tests.rounds import LONG_ROUNDS

TOKEN = "streams-test-token-0123456789"
_TOML = """
[[accounts]]
type = "sandbox"
self_id = 10001
[[accounts]]
type = "reverse-websocket"
self_id = 10002
[[bots]]
name = "bot"
"""
#: Events per second of the traffic, and for how many seconds.
_RATE, _SECONDS = 2000, 2 * LONG_ROUNDS


class Stream:
    """One stream, read as far as it is asked to.

    :param buffer: bytes of the socket's receive buffer; None for the system's choice.
    """

    def __init__(self, service: Service, query: str, buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", service.port))
        self.socket.sendall(
            f"GET /console/api/stream?{query} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        self.received = bytearray()
        self.ended = False

    def read(self, seconds: float = 0.0) -> None:
        """Read what there is, for so long."""
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, until - time.monotonic())
            if self.ended or not select.select([self.socket], [], [], left)[0]:
                return
            try:
                data = self.socket.recv(262_144)
            except ConnectionResetError:
                data = b""
            self.ended = not data
            self.received += data

    def events(self, name: str) -> list[Any]:
        """The data of all events of a name that were read to their ends."""
        lines = self._body().split(b"\n")
        found = []
        for event, data in zip(lines, lines[1:], strict=False):
            if event == b"event: " + name.encode() and data.startswith(b"data: "):
                with contextlib.suppress(ValueError):
                    found.append(json.loads(data[6:]))
        return found

    def _body(self) -> bytes:
        rest, body = bytes(self.received).partition(b"\r\n\r\n")[2], bytearray()
        while rest:
            size, _newline, rest = rest.partition(b"\r\n")
            try:
                length = int(size, 16)
            except ValueError:
                break
            body += rest[:length]
            rest = rest[length + 2 :]
        return bytes(body)

    def until(self, name: str, seconds: float = PATIENCE) -> list[Any]:
        """Read until there is an event of a name; all of that name."""

        def there() -> list[Any]:
            self.read(0.05)
            return self.events(name)

        return wait_until(f"an event {name}", there, seconds)


class StreamTests(SynchronousTestCase):
    def start(self, server: str = "") -> Service:
        service = Service(Path(self.mktemp()).absolute(), f"{server}\n{_TOML}", f'admin_token = "{TOKEN}"')
        self.addCleanup(self._end, service)
        return service

    def _end(self, service: Service) -> None:
        service.clean_up()
        for bad in ("Traceback", "Unhandled", TOKEN):
            self.assertNotIn(bad, service.log())

    def open(self, service: Service, query: str, buffer: int | None = None) -> Stream:
        stream = Stream(service, query, buffer)
        self.addCleanup(stream.socket.close)
        return stream

    def api(self, service: Service, path: str, body: Any = None) -> Any:
        status, answer = service.http(path, body, {"Authorization": f"Bearer {TOKEN}"})
        self.assertEqual(status, 200, answer)
        return answer

    def say(self, service: Service, message: str) -> None:
        self.api(service, "/sandbox/10001/say", {"user_id": 20001, "message": message})

    def traffic(self, service: Service) -> threading.Thread:
        """Send events of an implementation, in a thread; start it."""
        client = RawClient(None, "/onebot/v11/ws", {"X-Self-ID": "10002"}, port=service.port)
        self.addCleanup(client.socket.close)
        event = {
            "time": 1, "self_id": 10002, "post_type": "message", "message_type": "group",
            "sub_type": "normal", "message_id": 1, "group_id": 1, "user_id": 2, "font": 0,
            "raw_message": "x" * 300,
            "message": [{"type": "text", "data": {"text": "x" * 300}}], "sender": {"nickname": "N" * 20},
        }  # fmt: skip
        frame = masked_frame(json.dumps(event).encode(), 1)

        def run() -> None:
            began = time.monotonic()
            for number in range(_SECONDS * 20):
                client.socket.sendall(frame * (_RATE // 20))
                time.sleep(max(0.0, began + (number + 1) / 20 - time.monotonic()))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def test_thirty(self) -> None:
        """The newest 20 stay; the others are told why they end."""
        service = self.start()
        streams = []
        for _ in range(30):
            streams.append(self.open(service, "topics=links,sandbox:10001"))
            streams[-1].until("hello")
        self.say(service, "to all")
        for stream in streams[10:]:
            wait_until("it hears", lambda stream=stream: stream.read(0.05) or b"to all" in stream.received)
            self.assertEqual(stream.events("bye"), [])
        for stream in streams[:10]:
            self.assertEqual(stream.until("bye"), [{"code": "too_many_streams"}])
            self.assertTrue(bytes(stream.received).endswith(b"0\r\n\r\n"))
        self.assertEqual(self.api(service, "/console/api/state")["summary"]["streams"], 20)
        for stream in streams[11:]:
            stream.socket.close()
        wait_until("one is left", lambda: self.api(service, "/console/api/state")["summary"]["streams"] == 1)
        service.stop()
        self.assertEqual(streams[10].until("bye"), [{"code": "stopping"}])

    def test_one_that_does_not_read(self) -> None:
        """It costs neither memory nor the others' rows, and is told what it has missed."""
        service = self.start()
        for _ in range(150):
            self.say(service, "x" * 20_000)
        reading = self.open(service, "topics=links,traffic&account=10002&kind=message")
        reading.until("links")
        stalled = self.open(service, "topics=sandbox:10001,links,traffic&kind=message&after=0", 4096)
        wait_until("it is there", lambda: self.api(service, "/console/api/state")["summary"]["streams"] == 2)
        before = service.memory()
        began = time.monotonic()
        thread = self.traffic(service)
        while thread.is_alive():
            reading.read(0.1)

        def counted() -> tuple[int, int]:
            reading.read(0.3)
            rows = sum(len(event["rows"]) for event in reading.events("traffic"))
            return rows, sum(event["count"] for event in reading.events("dropped"))

        wait_until("it is told of all", lambda: sum(counted()) >= _RATE * _SECONDS)
        self.assertLess(service.memory() - before, 12 * 1024 * 1024)
        rows, dropped = counted()
        self.assertGreater(rows, 50 * _SECONDS)
        self.assertLessEqual(rows, 100 * (time.monotonic() - began + 2))
        self.assertEqual(rows + dropped, _RATE * _SECONDS)
        stalled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

        def told() -> bool:
            stalled.read(0.2)
            return sum(event["count"] for event in stalled.events("dropped")) > _RATE * (_SECONDS - 1)

        wait_until("it is told what it has missed", told)
        self.assertFalse(stalled.ended)
        self.say(service, "last")

        def heard() -> bool:
            stalled.read(0.2)
            return b'"raw_message":"last"' in stalled.received

        wait_until("it hears the sandbox on", heard)
        if not any(event["missed"] for event in stalled.events("sandbox")):
            said = [entry for event in stalled.events("sandbox") for entry in event["entries"]]
            self.assertEqual(len([entry for entry in said if entry["kind"] == "message"]), 151)

    def test_one_that_never_reads_ends(self) -> None:
        """After the port's ``idle_timeout`` at the latest."""
        service = self.start('[limits]\nidle_timeout = "1s"')
        for _ in range(150):
            self.say(service, "x" * 20_000)
        self.open(service, "topics=sandbox:10001&after=0", 4096)
        reading = self.open(service, "topics=links")
        reading.until("links")

        def streams() -> int:
            return int(self.api(service, "/console/api/state")["summary"]["streams"])

        wait_until("both are there", lambda: streams() == 2)
        wait_until("it is ended", lambda: streams() == 1)
        reading.read(1.5)
        self.assertFalse(reading.ended)  # one that is silent is not idle
