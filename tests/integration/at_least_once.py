"""What the tests of at-least-once delivery share: bots that remember what came, a look into the journal."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from lgtwist.journal.chunk import Chunk, unpack
from tests.integration.faulty import FaultTestCase, Injector, numbered, quiet
from tests.integration.rawclient import CLOSE, PING, PONG, TEXT, Ended, HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, Service, wait_until

#: Of a bot, unconfirmed at most (``lgtwist/bots/ping_acks.py``).
WINDOW = 2000


def at_least_once(name: str = "bot", *lines: str, token: bool = False) -> str:
    """One ``[[bots]]`` that asks for at-least-once delivery, with more lines.

    Late events do not wait, unless ``replay`` says so: these bots ask nothing, and would wait each time.
    """
    own = [f'access_token = "of-{name}"'] if token else []
    if not any(line.startswith("replay") for line in lines):
        own.append("replay = {}")
    lines = tuple(
        re.sub(r"^replay = \{(?!.*delay)[ ]*(?=(.?))", _without_delay, line) for line in (*own, *lines)
    )
    return "\n".join(["[[bots]]", f'name = "{name}"', 'delivery = "at-least-once"', *lines, ""])


def _without_delay(replay: re.Match[str]) -> str:
    return 'replay = { delay = "0s"' + (" " if replay[1] == "}" else ", ")


def bearer(name: str) -> dict[str, str]:
    """The headers with which a bot that has a token comes."""
    return {"Authorization": f"Bearer of-{name}"}


def metric(service: Service, name: str, **labels: Any) -> float:
    """One series of ``/metrics``."""
    _status, text = service.http("/metrics")
    return _series(str(text), name, **labels)


def _series(text: str, name: str, **labels: Any) -> float:
    for line in text.splitlines():
        found = re.match(rf"lgtwist_{name}(?:\{{(.*)\}})? (\S+)$", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    raise AssertionError(f"no metric {name} with {labels}")


def backlog(service: Service, bot: str = "bot", account: int = 10001) -> int:
    """How many events a bot has not confirmed."""
    return int(metric(service, "bot_backlog_events", bot=bot, account=account))


def has_all(service: Service, bot: str = "bot", account: int = 10001) -> bool:
    """Whether nothing waits for the disk, and a bot has confirmed everything."""
    _status, text = service.http("/metrics")
    waiting = _series(str(text), "journal_waiting_bytes")
    return not waiting and not _series(str(text), "bot_backlog_events", bot=bot, account=account)


def skipped(service: Service, reason: str, bot: str = "bot") -> int:
    """How many events were skipped for a reason."""
    return int(metric(service, "skipped_events_total", bot=bot, reason=reason))


def lines(log: str, *parts: str) -> list[str]:
    """The log lines that have all these parts."""
    return [line for line in log.splitlines() if all(part in line for part in parts)]


# -- the journal on disk


def rows(service: Service, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in the journal; it only reads."""
    path = service.folder / "data" / "journal.sqlite"
    mode = "mode=ro" if path.with_name("journal.sqlite-wal").exists() else "immutable=1"
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)) as connection:
        return connection.execute(query).fetchall()


def journalled(service: Service, account: int = 10001) -> list[bytes]:
    """All events of an account in the journal, in order."""
    chunks = rows(
        service,
        "SELECT first, last, newest, runs, times, lengths, payload, checksum FROM chunk ORDER BY first",
    )
    return [
        payload
        for row in chunks
        for batch in unpack(Chunk(*row))
        if batch.account == account
        for payload in batch.payloads
    ]


def journalled_numbers(service: Service, account: int = 10001) -> list[int]:
    """The numbers of these events (``n``)."""
    return [json.loads(payload)["n"] for payload in journalled(service, account)]


def first_occurrences(numbers: Iterable[int]) -> list[int]:
    """Each number where it comes first."""
    return list(dict.fromkeys(numbers))


def repeated(numbers: Iterable[int]) -> int:
    """How many numbers come more than once."""
    return sum(times > 1 for times in Counter(numbers).values())


def look_at_order(numbers: list[int]) -> None:
    """First occurrences are in order."""
    firsts = first_occurrences(numbers)
    for before, after in zip(firsts, firsts[1:], strict=False):
        if after < before:
            raise AssertionError(f"{after} came first behind {before}")


# -- bots


class Bot:
    """A bot with a thread of its own: it remembers the numbers of its events, and connects again and again.

    :param pongs: whether it answers pings.
    :param key: what it remembers of an event: its number.
    :ivar lives: for each connection the numbers that came on it.
    :ivar log: the same in one list, with the time.
    :ivar at: when each number came first.
    """

    def __init__(
        self,
        service: Service,
        path: str = "/",
        headers: dict[str, str] | None = None,
        pongs: bool = True,
        port: int | None = None,
        key: Callable[[dict[str, Any]], Any] = lambda event: event["n"],
    ) -> None:
        self.lives: list[list[Any]] = []
        self.log: list[tuple[Any, float]] = []
        self.at: dict[Any, float] = {}
        self.faults: list[str] = []
        self.pongs = pongs
        self.key = key
        self._service, self._path, self._headers, self._port = service, path, headers, port
        self._ending = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._client: RawClient | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def seen(self) -> list[Any]:
        """The numbers of all connections, one behind the other."""
        return [number for life in list(self.lives) for number in list(life)]

    @property
    def newest(self) -> int:
        """The largest number that came; -1 if none did."""
        return max((max(life) for life in list(self.lives) if life), default=-1)

    @property
    def connected(self) -> bool:
        return self._client is not None

    def _run(self) -> None:
        while not self._ending.is_set():
            if not self._going.wait(0.02):
                continue
            try:
                client = RawClient(self._service, self._path, self._headers, port=self._port)
            except (OSError, Ended, HandshakeRefused):
                self._ending.wait(0.02)
                continue
            self.lives.append([])
            self._client = client
            try:
                while True:
                    self._read(client, self.lives[-1])
            except (OSError, Ended):
                pass
            except Exception as error:
                self.faults.append(repr(error))
            self._client = None
            client.socket.close()

    def _read(self, client: RawClient, life: list[int]) -> None:
        opcode, payload = client.frame()
        if opcode == TEXT:
            event = json.loads(payload)
            if "n" in event:
                number, now = self.key(event), time.monotonic()
                life.append(number)
                self.log.append((number, now))
                self.at.setdefault(number, now)
        elif opcode == PING and self.pongs:
            client.send(payload, PONG)
        elif opcode == CLOSE:
            with contextlib.suppress(OSError):
                client.send(payload, CLOSE)
            raise Ended("closed")

    def reset(self) -> None:
        """End TCP, without a word of WebSocket; its thread notices, and connects again."""
        client = self._client
        if client is not None:
            with contextlib.suppress(OSError):
                client.socket.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Go, and stay away."""
        self._going.clear()
        while self._client is not None:
            self.reset()
            time.sleep(0.01)

    def come_back(self) -> None:
        self._going.set()

    def wait_for(self, number: int, patience: float = PATIENCE) -> None:
        wait_until(f"event {number} comes", lambda: number in self.at, patience)

    def end(self) -> None:
        self._ending.set()
        self.leave()
        self._thread.join(15)


def answer_pings(client: RawClient) -> None:
    """Answer the pings that have come; events on the way are passed over."""
    pending = getattr(client.socket, "pending", lambda: 0)  # TLS may hold what TCP has given already
    for _frame in range(5000):
        if not (client._buffer or pending() or select.select([client.socket], [], [], 0.05)[0]):
            return
        opcode, payload = client.frame()
        if opcode == PING:
            client.send(payload, PONG)


class AtLeastOnceTestCase(FaultTestCase):
    """Tests that share a service with one bot, named ``bot``, that asked for at-least-once delivery."""

    toml = quiet() + at_least_once()

    def setUp(self) -> None:
        super().setUp()
        self._next = 1_000_000 * (1 + next(_tests))

    def publish(self, events: int, size: int = 0) -> range:
        """Publish so many numbered events, and wait until they are on disk; their numbers, all their own."""
        numbers = range(self._next, self._next + events)
        self._next += events
        injector = Injector(self.service)
        try:
            injector.publish(*(numbered(number, size) for number in numbers))
        finally:
            injector.close()
        self.wait_committed()
        return numbers

    def wait_committed(self) -> None:
        """Until nothing waits for the disk."""
        wait_until("all is on disk", lambda: not metric(self.service, "journal_waiting_bytes"))

    def settle(self, client: RawClient, bot: str = "bot") -> None:
        """Answer pings until the bot has confirmed everything; events on the way are passed over."""
        deadline = time.monotonic() + PATIENCE
        while not has_all(self.service, bot):
            if time.monotonic() > deadline:
                raise AssertionError(f"{bot} cannot confirm everything")
            answer_pings(client)

    def wait_confirmed(self, bot: str = "bot", patience: float = PATIENCE) -> None:
        """Until the bot has confirmed everything."""
        wait_until(f"{bot} has confirmed all", lambda: has_all(self.service, bot), patience)


def _count() -> Iterable[int]:
    number = 0
    while True:
        yield number
        number += 1


_tests: Any = _count()


def ask_without_pongs(client: RawClient, pings: list[bytes]) -> dict[str, Any]:
    """Ask something, and return the answer: what was sent before it has been read.

    Pings on the way go to ``pings``; a client's own ``ask`` would answer them, and so confirm events.
    """
    client.call("get_login_info", "without pongs")
    while True:
        opcode, payload = client.frame()
        if opcode == PING:
            pings.append(payload)
        elif opcode == TEXT and (message := json.loads(payload)).get("echo") == "without pongs":
            return dict(message)


def read_without_pongs(client: RawClient, until: int) -> tuple[list[int], list[bytes]]:
    """Return the numbers of the events that come, up to ``until``, and the pings; answer none of these."""
    came: list[int] = []
    pings: list[bytes] = []
    while not came or came[-1] < until:
        opcode, payload = client.frame()
        if opcode == PING:
            pings.append(payload)
        elif opcode == TEXT:
            event = json.loads(payload)
            if "n" in event:
                came.append(event["n"])
    return came, pings
