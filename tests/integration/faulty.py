"""What the tests of faults share: a service per class, peers that misbehave, a network that breaks."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.integration.rawclient import Ended, RawClient, handshake
from tests.integration.running import PATIENCE, Service, wait_until
from tests.integration.shared import SharedService, SharedServiceTestCase

#: What must never stand in the service's log, whatever is done to it.
BAD_WORDS = ("Traceback", "Unhandled")
#: A message of the sandbox that makes a large response (``get_msg``) out of a small action.
LARGE = 300_000
#: Bytes.
MIB = 1 << 20


def quiet(heartbeat: str = "0s", **limits: str | int) -> str:
    """``[limits]`` for a service whose heartbeats are ``heartbeat``, by default none."""
    values: dict[str, str | int] = {"heartbeat_interval": heartbeat, **limits}
    return "[limits]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def numbered(number: int, size: int = 0, who: int = 0) -> dict[str, Any]:
    """An event that can be told from all others; ``size`` bytes longer than it need be."""
    return {"post_type": "notice", "notice_type": "test", "who": who, "n": number, "pad": "x" * size}


class Injector:
    """Publishes events fast: one HTTP connection, requests one behind the other."""

    _ANSWER = b"\r\n\r\n{}\n"
    _PIPELINED = 100

    def __init__(self, service: Service, self_id: int = 10001) -> None:
        self._socket = service.connect()
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = f"POST /sandbox/{self_id}/event HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
        self._head = line.encode()

    def publish(self, *events: dict[str, Any]) -> None:
        """Publish, and wait until the service has taken all of them."""
        for at in range(0, len(events), self._PIPELINED):
            some = events[at : at + self._PIPELINED]
            bodies = [json.dumps(event).encode() for event in some]
            self._socket.sendall(b"".join(b"%s%d\r\n\r\n%s" % (self._head, len(b), b) for b in bodies))
            answers = b""
            while answers.count(self._ANSWER) < len(some):
                more = self._socket.recv(65536)
                assert more, f"the service ended the injecting connection: {answers[-500:]!r}"
                answers += more
            assert answers.count(b"HTTP/1.1 200") == len(some), answers[-500:]

    def close(self) -> None:
        self._socket.close()


class Stream:
    """Publishes numbered events without end in a thread of its own; a context manager.

    :param pause: seconds between bursts.
    :param burst: events at once.
    :ivar published: how many the service has taken.
    """

    def __init__(
        self, service: Service, pause: float = 0.002, burst: int = 5, size: int = 0, who: int = 0
    ) -> None:
        self.published = 0
        self._injector = Injector(service)
        self._pause, self._burst, self._size, self._who = pause, burst, size, who
        self._ending = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._ending.wait(self._pause):
                first = self.published
                self._injector.publish(
                    *(numbered(n, self._size, self._who) for n in range(first, first + self._burst))
                )
                self.published += self._burst
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Stream:
        self._thread.start()
        wait_until("the stream flows", lambda: self.published or self._error)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ending.set()
        self._thread.join(PATIENCE)
        self._injector.close()
        if self._error is not None:
            raise AssertionError(f"the service did not take an event: {self._error!r}") from self._error


class Proxy:
    """A stretch of network between a peer and the service that can go dead without a word.

    :param service: where it leads to.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._dead = threading.Event()
        self._ending = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """From now on no byte passes, in either direction, and nobody is told."""
        self._dead.set()

    def service_side_ended(self) -> bool:
        """Whether the service has ended the first connection on its side."""
        _near, far = self._pairs[0]
        if not select.select([far], [], [], 0)[0]:
            return False
        try:
            while data := far.recv(65536, socket.MSG_DONTWAIT):
                assert data
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _run(self) -> None:
        other: dict[socket.socket, socket.socket] = {}
        while not self._ending.is_set():
            if self._dead.is_set():
                time.sleep(0.02)
                continue
            ready, _w, _x = select.select([self._listening, *other], [], [], 0.02)
            if self._dead.is_set():
                continue
            for sock in ready:
                if sock is self._listening:
                    near, _address = self._listening.accept()
                    far = self._service.connect()
                    other[near], other[far] = far, near
                    self._pairs.append((near, far))
                    continue
                with contextlib.suppress(OSError, KeyError):
                    data = sock.recv(65536)
                    if data:
                        other[sock].sendall(data)
                        continue
                    other[sock].shutdown(socket.SHUT_WR)
                    del other[sock]

    def close(self) -> None:
        self._ending.set()
        self._thread.join(PATIENCE)
        for sock in (self._listening, *(sock for pair in self._pairs for sock in pair)):
            sock.close()


class LastingService(SharedService):
    """A service whose log must be good to the end, the shutdown included."""

    def end(self) -> None:
        self.clean_up()
        for bad in BAD_WORDS:
            assert bad not in self.log(), self.log()[-5000:]


class FaultTestCase(SharedServiceTestCase):
    """Tests of one class that share one service, which each of them leaves whole.

    After every test the process must be the same one, with nothing bad in its log.
    """

    toml = quiet()

    def start_shared(self, folder: Path) -> LastingService:
        return LastingService(folder, self.toml, self.server)

    def setUp(self) -> None:
        super().setUp()
        self._log_began = len(self.service.log())
        self._pid = self.service.pid
        self.addCleanup(self._look_whether_alive)

    def _look_whether_alive(self) -> None:
        if not self.service.alive() or self.service.pid != self._pid:
            type(self).shared = None
            self.service.clean_up()
            self.fail(f"the service died:\n{self.new_log()[-2000:]}")

    def new_log(self) -> str:
        """What the service has logged since this test began."""
        return self.service.log()[self._log_began :]

    # -- peers

    def dial(self, path: str = "/", **kwargs: Any) -> RawClient:
        """A connection that ends with the test, nothing read from it yet."""
        client = RawClient(self.service, path, **kwargs)
        self.addCleanup(client.socket.close)
        return client

    def bot(self, path: str = "/", **kwargs: Any) -> RawClient:
        """A well-behaved bot that has seen its lifecycle."""
        client = self.dial(path, **kwargs)
        first = client.message()
        self.assertEqual((first.get("meta_event_type"), first.get("sub_type")), ("lifecycle", "connect"))
        return client

    def injector(self) -> Injector:
        """Publishes events until the test ends."""
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        return injector

    def large_message(self) -> int:
        """The number of a message that ``get_msg`` gives back with :data:`LARGE` bytes."""
        return self.service.say(20001, "m" * LARGE)

    # -- what a user would notice

    def assert_unharmed(self) -> None:
        """The service serves a newcomer within a second: lifecycle, an action, an event."""
        watch = self.service.stopwatch()
        with RawClient(self.service) as fresh:
            self.assertEqual(fresh.message().get("meta_event_type"), "lifecycle")
            self.assertLess(watch.seconds(), 1.0)
            self.assertEqual(fresh.ask("get_login_info")["data"]["user_id"], 10001)
            self.service.inject(numbered(-1))
            self.assertEqual(fresh.event(n=-1)["who"], 0)
            fresh.send_close()
            fresh.read_to_end()

    def assert_files_back(self, baseline: int) -> None:
        """Nothing that is gone holds a file descriptor."""
        wait_until(
            f"back to {baseline} open files, not {self.service.open_files()}",
            lambda: self.service.open_files() <= baseline,
        )

    def files(self) -> int:
        """How many files the service has open when nobody is there."""
        with RawClient(self.service) as warm:
            warm.message()
        before = self.service.open_files()

        def settled() -> bool:
            nonlocal before
            time.sleep(0.02)
            before, last = self.service.open_files(), before
            return before == last

        wait_until("the number of open files is steady", settled)
        return before


def login_info(size: int, echo: str = "e") -> bytes:
    """Return an action of exactly ``size`` bytes, most of it ballast."""
    head, tail = b'{"action":"get_login_info","params":{"ballast":"', f'"}},"echo":"{echo}"}}'.encode()
    return head + b"b" * (size - len(head) - len(tail)) + tail


def knock(service: Service, path: str = "/", glued: bytes = b"") -> socket.socket:
    """A handshake whose answer nobody reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", service.port))
    sock.sendall(handshake(path, None, f"127.0.0.1:{service.port}") + glued)
    return sock


def reset(sock: socket.socket) -> None:
    """End TCP with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def numbers(client: RawClient, until: Callable[[int], bool], who: int = 0) -> list[int]:
    """The numbers of the :func:`numbered` events that come, until one satisfies ``until``."""
    found: list[int] = []
    while True:
        message = client.message()
        if message.get("notice_type") == "test" and message["who"] == who:
            found.append(message["n"])
            if until(message["n"]):
                return found


def frames_to_end(client: RawClient) -> Iterator[tuple[int, bytes]]:
    """Every frame until TCP ends."""
    while True:
        try:
            yield client.frame()
        except Ended:
            return


def raw_exchange(service: Service, sent: bytes, source: str | None = None) -> bytes:
    """Send bytes and read everything until the service ends TCP."""
    with service.connect(source) as sock:
        sock.sendall(sent)
        got = b""
        try:
            while data := sock.recv(65536):
                got += data
        except ConnectionResetError:
            pass
        return got


def sent_without_care(sock: socket.socket, chunks: Iterable[bytes]) -> int:
    """Send until the other side has enough; how many bytes went."""
    sent = 0
    with contextlib.suppress(OSError):
        for chunk in chunks:
            sock.sendall(chunk)
            sent += len(chunk)
    return sent
