"""What one peer may cost over HTTP: a hungry one, and a witness that must not notice."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from tests.integration.faulty import MIB, FaultTestCase, LastingService, quiet
from tests.integration.running import PATIENCE, Service, wait_until

#: Bytes that the service may grow by beside the hungry peer's budget and one message of it.
_SLACK = 64 * MIB
_BUDGET, _MESSAGE = 16 * MIB, 8 * MIB
#: The slowest call of a witness, in seconds; a slow machine's.
_NOTICED = 0.5
_EVENT = json.dumps({"time": 1, "self_id": 6, "post_type": "notice", "notice_type": "x"}).encode()


class Witness:
    """Calls an action again and again in a thread of its own, as another bot; a context manager.

    :ivar slowest: the longest of its calls, in seconds.
    """

    def __init__(self, service: Service, token: str) -> None:
        self._service, self._token = service, token
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.slowest = 0.0
        self.wrong: list[Any] = []

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            watch = self._service.stopwatch()
            answer = self._service.http("/get_login_info", headers={"Authorization": self._token})
            self.slowest = max(self.slowest, watch.seconds())
            if answer[0] != 200:
                self.wrong.append(answer)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)


def head(path: str, length: int, token: str | None = None, **headers: str) -> bytes:
    """The head of a POST; an underscore in a header's name is a hyphen."""
    lines = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(length)}
    if token is not None:
        lines["Authorization"] = token
    lines.update({name.replace("_", "-"): value for name, value in headers.items()})
    text = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return text.encode() + b"\r\n"


def answered(peer: socket.socket, patience: float = 0.0) -> bytes:
    """What a peer was answered up to now; it waits for the first bytes."""
    peer.settimeout(patience or 0.001)
    try:
        return peer.recv(4096)
    except TimeoutError:
        return b""
    except OSError:
        return b"reset"


class BudgetTestCase(FaultTestCase):
    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A connection that ends with the test."""
        peer = socket.socket()
        self.addCleanup(peer.close)
        if receive_buffer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.settimeout(PATIENCE)
        peer.connect(("127.0.0.1", self.service.port))
        return peer

    def offer(self, first: bytes, size: int) -> socket.socket:
        """A connection with a head and ``size`` bytes of its body, or as many as are taken."""
        peer = self.connect()
        with contextlib.suppress(OSError):
            peer.sendall(first + b" " * size)
        return peer

    def deleted_files(self) -> list[str]:
        """The files without a name that it holds open."""
        folder = Path(f"/proc/{self.service.pid}/fd")
        links = [os.readlink(one) for one in folder.iterdir() if one.is_symlink()]
        return [link for link in links if link.endswith("(deleted)")]


class HungryTests(BudgetTestCase):
    def start_shared(self, folder: Path) -> LastingService:
        return LastingService(
            folder,
            '[[accounts]]\nself_id = 10001\n[[accounts]]\nself_id = 6\ntype = "http"\n'
            'url = "http://127.0.0.1:1/"\nsecret = "signing"\n'
            '[[bots]]\nname = "hungry"\naccess_token = "th"\naccounts = [10001]\n'
            '[[bots]]\nname = "witness"\naccess_token = "tw"\naccounts = [10001]\n'
            + quiet(peer_memory="16MiB", max_message="8MiB", idle_timeout="3s", body_timeout="10s"),
        )

    def test_answers_that_nobody_reads(self) -> None:
        """They stay within the budget; further ones are refused; who takes nothing is dropped in time."""
        message = self.service.say(20001, "x" * (2 * MIB))
        request = b"GET /get_msg?message_id=%d HTTP/1.1\r\nHost: x\r\nAuthorization: th\r\n\r\n" % message
        before, files = self.service.memory(), self.service.open_files()
        with Witness(self.service, "tw") as witness:
            for _ in range(30):
                self.connect(receive_buffer=4096).sendall(request * 3)
            time.sleep(1)
            grown = self.service.memory() - before
            refused = self.call(message)
            wait_until("they are dropped", lambda: self.service.open_files() <= files + 1)
        self.assertLess(grown, _BUDGET + _MESSAGE + _SLACK)
        self.assertEqual(refused["retcode"], 1429)
        self.assertIn("(peer_memory)", refused["message"])
        self.assertEqual((witness.wrong, witness.slowest < _NOTICED), ([], True), witness.slowest)
        self.assertEqual(self.call(message)["retcode"], 0)

    def call(self, message: int) -> Any:
        """The hungry bot's response to ``get_msg``."""
        return self.service.http(f"/get_msg?message_id={message}", headers={"Authorization": "th"})[1]

    def test_bodies_without_an_end(self) -> None:
        """They stay within the budget, in memory; others are refused; all is free afterwards."""
        before = self.service.memory()
        with Witness(self.service, "tw") as witness:
            peers = [self.offer(head("/get_x", _MESSAGE, "th"), _MESSAGE - 1) for _ in range(12)]
            wait_until("some are refused", lambda: sum(b"503" in answered(one) for one in peers[4:]))
            grown = self.service.memory() - before
            self.assertEqual(self.deleted_files(), [])
            refused = self.offer(head("/get_x", _MESSAGE, "th"), _MESSAGE - 1)
            said = answered(refused, PATIENCE)
            for one in peers:
                one.close()
        self.assertLess(grown, _BUDGET + _MESSAGE + _SLACK)
        for part in (b"HTTP/1.1 503 ", b"Retry-After: 3", b'"retcode":1429', b"(peer_memory)"):
            self.assertIn(part, said)
        self.assertEqual((witness.wrong, witness.slowest < _NOTICED), ([], True), witness.slowest)
        body = b'{"pad":"' + b"x" * (_MESSAGE - 10) + b'"}'
        headers = {"Authorization": "th", "Content-Type": "application/json"}
        self.assertEqual(self.service.http("/get_status", body, headers)[0], 200)

    def test_posts_of_strangers(self) -> None:
        """They have a quarter, on no disk; the implementation's own posts find room, large ones too."""
        before = self.service.memory()
        first = head("/onebot/v11/post", _MESSAGE, X_Self_ID="6", X_Signature="sha1=00")
        peers = [self.offer(first, _MESSAGE - 1) for _ in range(12)]
        wait_until("most are refused", lambda: sum(b" 503 " in answered(one) for one in peers[:11]) or True)
        self.assertLess(self.service.memory() - before, _BUDGET + _MESSAGE + _SLACK)
        self.assertEqual(self.deleted_files(), [])
        self.assertEqual(self.post(_EVENT), 204)
        self.assertEqual(self.post(_EVENT[:-1] + b',"pad":"' + b"x" * (_MESSAGE - 200) + b'"}'), 204)

    def post(self, body: bytes) -> int:
        signature = "sha1=" + hmac.new(b"signing", body, "sha1").hexdigest()
        headers = {"X-Self-ID": "6", "X-Signature": signature, "Content-Type": "application/json"}
        return self.service.http("/onebot/v11/post", body, headers)[0]


class ConnectionTests(BudgetTestCase):
    def start_shared(self, folder: Path) -> LastingService:
        return LastingService(
            folder,
            '[[accounts]]\nself_id = 10001\n[[bots]]\nname = "hungry"\naccess_token = "th"\n'
            '[[bots]]\nname = "witness"\naccess_token = "tw"\n' + quiet(connections=60),
        )

    def test_strangers(self) -> None:
        """However many connections say nothing, or ask for nothing: a right token finds room."""
        for number in range(200):
            peer = self.connect()
            if number % 2:
                peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.service.http("/healthz")[0], 200)
        self.assertEqual(self.service.http("/get_status", headers={"Authorization": "tw"})[0], 200)
        self.assertLess(self.service.open_files(), 60 + 64 + 60)

    def test_a_share(self) -> None:
        """A bot has a quarter, kept HTTP connections too; the next gets 503; others do not notice."""
        request = b"GET /get_status HTTP/1.1\r\nHost: x\r\nAuthorization: th\r\n\r\n"
        said = []
        for _ in range(17):
            peer = self.connect()
            peer.sendall(request)
            said.append(answered(peer, PATIENCE)[:12])
        self.assertEqual(said, [b"HTTP/1.1 200"] * 15 + [b"HTTP/1.1 503"] * 2)
        self.assertEqual(self.service.http("/healthz")[0], 200)
        self.assertEqual(self.service.http("/get_status", headers={"Authorization": "tw"})[0], 200)
