"""A TLS peer that never answers ``close_notify`` and keeps TCP open holds nothing of us."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trustme
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.running import Service, wait_until

SELF_ID = 20701


class StubbornServer:
    """An implementation over HTTPS that ends no connection, whatever it is told.

    :ivar endless: whether the answers to other actions than lgtwist's own have no end.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._kept: list[Any] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            peer = self._context.wrap_socket(plain, server_side=True)
            self._kept.append(peer)
            buffer = b""
            while data := peer.recv(65536):
                buffer += data
                head, mark, rest = buffer.partition(b"\r\n\r\n")
                if mark and len(rest) >= int(head.lower().partition(b"content-length: ")[2].split()[0]):
                    buffer = b""
                    peer.sendall(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        if b"/endless " in head:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 100
        data = {"user_id": SELF_ID, "nickname": "x", "online": True, "good": True}
        body = json.dumps({"status": "ok", "retcode": 0, "data": data}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def close(self) -> None:
        self._listening.close()
        for peer in self._kept:
            peer.close()


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        self.server = StubbornServer(folder / "server")
        self.addCleanup(self.server.close)
        toml = f"""
            [[accounts]]
            type = "http"
            self_id = {SELF_ID}
            url = "https://127.0.0.1:{self.server.port}/"
            ca_file = "{self.server.ca_file}"
            [limits]
            heartbeat_interval = "1s"
            action_timeout = "1s"
        """
        self.service = Service(folder / "service", toml)
        self.addCleanup(self.service.clean_up)
        wait_until("the account is up", lambda: self.service.http("/readyz")[0] == 200)

    def test_answers_without_end(self) -> None:
        """Each costs its caller 1504, and none a file that stays open."""
        before = self.service.open_files()
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _n: self.service.http("/endless")[1], range(20)))
        self.assertEqual([answer["retcode"] for answer in answers], [1504] * 20)
        wait_until("the files are closed", lambda: self.service.open_files() <= before + 2)

    def test_stopping(self) -> None:
        """The service ends in its time though the connections that it keeps are never ended by the peer."""
        began = time.monotonic()
        self.assertEqual(self.service.stop(), 0)
        self.assertLess(time.monotonic() - began, 5.0)
        self.assertNotIn("Traceback", self.service.log())
