"""The HTTP API over real sockets: what only they can show."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time

from tests.integration.running import PATIENCE, wait_until
from tests.integration.shared import SharedServiceTestCase
from tests.rounds import SOCKET_ROUNDS

ALICE = 20001


class HttpTests(SharedServiceTestCase):
    toml = '[limits]\nhandshake_timeout = "1s"\nbody_timeout = "1s"\n'

    def exchange(self, data: bytes, end: bool = True) -> bytes:
        """Send bytes on a connection of its own, and read all that is answered."""
        with self.service.connect() as peer:
            peer.sendall(data)
            if end:
                peer.shutdown(socket.SHUT_WR)
            answer = b""
            peer.settimeout(PATIENCE)
            try:
                while piece := peer.recv(65536):
                    answer += piece
            except ConnectionError:
                pass
            return answer

    def test_reset_in_the_middle_of_an_answer(self) -> None:
        """Clients that are reset while a large answer is written hurt nobody and leave nothing."""
        for number in range(30):
            self.service.say(ALICE, "x" * 100_000 + str(number))
        before = self.service.open_files()
        for turn in range(40 * SOCKET_ROUNDS):
            peer = self.service.connect()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(b"GET /get_friend_msg_history?user_id=20001 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if turn % 2:
                peer.recv(1000)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        wait_until("the files are back", lambda: self.service.open_files() <= before)
        self.assertEqual(self.service.http("/get_status")[0], 200)

    def test_slow_bodies(self) -> None:
        """A body that comes drop by drop ends with its time, and meanwhile others are answered."""
        head = b"POST /get_status HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        peers = [self.service.connect() for _ in range(50)]
        began = time.monotonic()
        for peer in peers:
            peer.sendall(head + b"Content-Length: 100\r\n\r\n{")
        self.assertEqual(self.service.http("/get_status")[0], 200)
        for peer in peers:
            peer.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionError):
                self.assertEqual(peer.recv(10), b"")
            peer.close()
        self.assertLess(time.monotonic() - began, 10.0)

    def test_glued_and_lying(self) -> None:
        """Glued requests are answered in their order; after a lie the connection ends."""
        one = b"GET /get_status HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /get_login_info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answers = self.exchange(one * 50 + last, end=False)
        self.assertEqual(answers.count(b"HTTP/1.1 200"), 51)
        self.assertGreater(answers.index(b"user_id"), answers.rindex(b"online"))
        for lie in (
            b"Content-Length: 3\r\n\r\n{}",
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"Content-Length: x\r\n\r\n",
        ):
            head = b"POST /get_status HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            began = time.monotonic()
            self.assertNotIn(b" 200 ", self.exchange(head + lie))
            self.assertLess(time.monotonic() - began, 10.0)

    def test_a_large_body(self) -> None:
        """A body of many megabytes is an action like any other; one over the limit is 413."""
        words = "x" * (20 << 20)
        body = json.dumps({"user_id": ALICE, "message": words}).encode()
        status, answer = self.service.http("/send_private_msg", body, {"Content-Type": "application/json"})
        self.assertEqual((status, answer["status"]), (200, "ok"))
        head = b"POST /send_private_msg HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        refused = self.exchange(head + b"Content-Length: 99999999\r\n\r\n" + b"x" * 1_000_000)
        self.assertIn(b" 413 ", refused)
