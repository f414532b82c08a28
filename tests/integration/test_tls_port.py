"""The listening port as ``ssl:``."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from typing import Any

from tests.integration.certificates import LOCAL, OverTls
from tests.integration.faulty import FaultTestCase, numbered, quiet
from tests.integration.rawclient import HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, wait_until
from tests.integration.tls_servers import REMOTE

try:
    from websockets.sync.client import connect
except ImportError:
    WEBSOCKETS = False
else:
    WEBSOCKETS = True


class Port(OverTls, FaultTestCase):
    """A port that speaks TLS."""

    toml = (
        f'[[accounts]]\ntype = "sandbox"\nself_id = 10001\n'
        f'[[accounts]]\ntype = "reverse-websocket"\nself_id = {REMOTE}\n'
    ) + quiet(
        handshake_timeout="500ms",
        close_timeout="300ms",
        idle_timeout="1s",
        body_timeout="1s",
        max_message="1MiB",
    )

    def lines(self) -> list[str]:
        """What was logged in this test, without the comings and goings of bots."""
        return [
            line
            for line in self.new_log().splitlines()
            if not re.search(rf"connected (to|from) account|account {REMOTE} ", line)
        ]

    def test_broken_in_the_middle(self) -> None:
        """A fault of the sandbox ends the connection in the middle of a frame, over TLS too."""
        fault = {"kind": "break", "part": "half", "times": 1}
        self.assertEqual(self.service.http("/sandbox/10001/faults", fault)[0], 200)
        bot = RawClient(self.service)
        self.assertEqual(bot.message()["sub_type"], "connect")
        bot.call("get_group_member_list", group_id=30001)
        came = b""
        with contextlib.suppress(OSError):  # a reset, or the end of TLS without its closing
            while data := bot.socket.recv(65536):
                came += data
        self.assertEqual(came[:2], b"\x81\x7e")
        self.assertEqual(len(came), (int.from_bytes(came[2:4], "big") + 4) // 2)

    def test_a_bot_over_wss(self) -> None:
        """A bot made of ``websockets`` that trusts our authority is served; one that does not is not."""
        if not WEBSOCKETS:
            self.skipTest("websockets is not installed")
        trusting = ssl.create_default_context(cafile=str(self.service.shown.ca_file))
        with connect(self.service.url(), ssl=trusting) as bot:
            self.assertEqual(json.loads(bot.recv(PATIENCE))["sub_type"], "connect")
            bot.send(json.dumps({"action": "get_login_info", "echo": "e"}))
            self.assertEqual(json.loads(bot.recv(PATIENCE))["data"]["user_id"], 10001)
            self.service.inject(numbered(1, 200_000))
            self.assertEqual(len(json.loads(bot.recv(PATIENCE))["pad"]), 200_000)
        with self.assertRaises(ssl.SSLCertVerificationError):
            connect(self.service.url(), ssl=ssl.create_default_context())
        self.assertEqual(self.lines(), [])
        self.assertIn(f"wss://{LOCAL}:{self.service.port}/10001", self.service.log())

    def test_the_http_api_over_https(self) -> None:
        """Actions, large answers, and the paths for machines."""
        large = self.large_message()
        self.assertEqual(self.service.http("/get_login_info")[1]["data"]["user_id"], 10001)
        status, answer = self.service.http(f"/get_msg?message_id={large}")
        self.assertEqual(status, 200)
        self.assertGreater(len(json.dumps(answer)), 300_000)
        self.assertEqual(self.service.http("/healthz")[0], 200)
        self.assertEqual(self.service.http("/no_such_action")[0], 404)

    def test_a_reverse_implementation_over_wss(self) -> None:
        """An implementation that dials us over TLS: its events come, and actions reach it."""
        with self.assertRaises(HandshakeRefused) as refused:
            self.dial(f"/{REMOTE}")
        self.assertEqual(refused.exception.status, 503)
        headers = {"X-Self-ID": str(REMOTE), "X-Client-Role": "Universal"}
        implementation = self.dial("/onebot/v11/ws", headers=headers)

        def answer() -> None:
            with contextlib.suppress(Exception):
                while True:
                    action = implementation.message()
                    data = {"user_id": REMOTE, "nickname": "n", "asked": action["action"]}
                    reply = {"status": "ok", "retcode": 0, "data": data, "echo": action["echo"]}
                    implementation.send(json.dumps(reply))

        threading.Thread(target=answer, daemon=True).start()
        wait_until("it is up", lambda: self.service.http(f"/{REMOTE}/get_login_info")[1]["retcode"] == 0)
        bot = self.bot(f"/{REMOTE}")
        self.assertEqual(bot.ask("get_something")["data"]["asked"], "get_something")
        implementation.send(json.dumps({**numbered(5), "self_id": REMOTE}))
        self.assertEqual(bot.event(n=5)["self_id"], REMOTE)
        implementation.reset()

    # -- who speaks something else

    def test_plain_tcp_to_the_tls_port(self) -> None:
        """Who does not speak TLS is one lost connection: no traceback, no line, nobody else notices."""
        other = self.bot()
        baseline = self.files()
        for sent in (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x00" * 1000,
            bytes(range(256)) * 40,
            b"\x16\x03\x01\xff\xff" + b"x" * 100_000,  # a record as long as can be
            b"\x16\x03\x01\x00\x05\x01\x00\x40\x00\x00",
            b"\x15\x03\x03\x00\x02\x02\x28",  # an alert before anything
        ):
            with self.service.plain() as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(sent)
                got = b""
                with contextlib.suppress(ConnectionError):
                    while data := sock.recv(65536):
                        got += data
                self.assertNotIn(b"HTTP", got)
        self.assertEqual(other.ask("get_status")["retcode"], 0)
        self.assertEqual(self.lines(), [])
        other.send_close()
        other.read_to_end()
        other.socket.close()
        self.assert_unharmed()
        self.assert_files_back(baseline)

    def test_who_says_nothing_has_handshake_timeout(self) -> None:
        """A peer that never begins TLS, or stops in its middle, is dropped after ``handshake_timeout``."""
        began = time.monotonic()
        context = ssl.create_default_context()
        outgoing = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=LOCAL).do_handshake()
        whole = outgoing.read()
        peers = [self.service.plain() for _ in range(30)]
        for number, peer in enumerate(peers):
            peer.sendall(whole[: (0, 20, len(whole))[number % 3]])
        for peer in peers:
            with contextlib.suppress(ConnectionError), peer:
                while peer.recv(65536):
                    pass
        self.assertLess(time.monotonic() - began, 4.0)
        self.assertGreater(time.monotonic() - began, 0.3)
        self.assertEqual(self.lines(), [])

    def test_old_versions_are_refused(self) -> None:
        """TLS 1.1 is refused; 1.2 and 1.3 are taken."""
        for version, taken in (
            (ssl.TLSVersion.TLSv1_1, False),
            (ssl.TLSVersion.TLSv1_2, True),
            (ssl.TLSVersion.TLSv1_3, True),
        ):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(str(self.service.shown.ca_file))
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.maximum_version = version
            context.minimum_version = version
            with self.service.plain() as sock:
                if taken:
                    with context.wrap_socket(sock, server_hostname=LOCAL) as secure:
                        self.assertEqual(secure.version(), version.name.replace("_", "."))
                else:
                    with self.assertRaises(ssl.SSLError) as refused:
                        context.wrap_socket(sock, server_hostname=LOCAL)
                    self.assertIn("ALERT_PROTOCOL_VERSION", str(refused.exception))
        self.assertEqual(self.lines(), [])

    # -- who vanishes

    def test_peers_that_vanish_while_much_is_written(self) -> None:
        """RST, or FIN without ``close_notify``, amid a large response: others get theirs, nothing is left."""
        large = self.large_message()
        other = self.bot()
        baseline = self.files()
        for turn in range(40):
            if turn % 2:
                peer: Any = self.service.connect()
                peer.sendall(b"GET /get_msg?message_id=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % large)
            else:
                bot = RawClient(self.service, receive_buffer=4096)
                for _ in range(12):
                    bot.call("get_msg", message_id=large)
                peer = bot.socket
            time.sleep((0, 0.001, 0.005, 0.02)[turn // 2 % 4])
            if turn % 8 < 4:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            self.service.inject(numbered(turn))
            self.assertEqual(other.event(notice_type="test")["n"], turn)
        self.assertEqual(len(other.ask("get_msg", message_id=large)["data"]["raw_message"]), 300_000)
        self.assert_unharmed()
        self.assert_files_back(baseline)
        self.assertEqual(self.lines(), [])

    def test_who_never_answers_close_notify_is_dropped(self) -> None:
        """A peer that ignores the end of TLS and keeps TCP open holds nothing for long."""
        baseline = self.files()
        peers = [self.service.connect() for _ in range(6)]
        for number, peer in enumerate(peers):
            self.addCleanup(peer.close)
            if number % 3 == 0:
                peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            elif number % 3 == 1:
                peer.sendall(b"rubbish\r\n\r\n")
            else:
                peer.sendall(b"POST /get_status HTTP/1.1\r\nHost: l\r\nContent-Length: 9999999\r\n\r\n")
        for peer in peers:
            with contextlib.suppress(ConnectionError):
                while peer.recv(65536):
                    pass
        self.assert_files_back(baseline)

    def test_a_broken_protocol_ends_tls_at_once(self) -> None:
        """After 1002 our side of TLS ends at once, as that of TCP does, not only after ``close_timeout``."""
        for _ in range(5):
            bot = self.bot()
            bot.socket.sendall(b"\x81\x00")
            watch = self.service.stopwatch()
            self.assertEqual(bot.close_frame()[0], 1002)
            self.assertEqual(bot.socket.recv(1), b"")
            self.assertLess(watch.seconds(), 0.2)


class PlainPort(FaultTestCase):
    """A port without TLS."""

    toml = quiet(handshake_timeout="300ms")

    def test_tls_to_the_plain_port(self) -> None:
        """Who begins TLS where there is none is one lost connection."""
        other = self.bot()
        before = self.new_log()
        for _ in range(5):
            with self.service.connect() as sock, self.assertRaises(OSError):
                ssl.create_default_context().wrap_socket(sock, server_hostname=LOCAL)
        self.assertEqual(other.ask("get_status")["retcode"], 0)
        self.assertEqual(self.new_log(), before)
        self.assert_unharmed()
