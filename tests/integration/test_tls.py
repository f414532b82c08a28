"""TLS both ways: the listening port as ``ssl:``, and whatever we dial as ``wss://`` or ``https://``."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import parse
from tests.implementations.running import quiet_port
from tests.integration.certificates import INSTALLED, LOCAL, Authority, OverTls, Shown
from tests.integration.faulty import BAD_WORDS, FaultTestCase, numbered, quiet
from tests.integration.listening_bots import Listener
from tests.integration.rawclient import HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, Service, wait_until
from tests.integration.shared import SharedTestCase

try:
    from websockets.sync.client import connect
except ImportError:
    WEBSOCKETS = False
else:
    WEBSOCKETS = True

REMOTE = 20007


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
        self.assertLess(time.monotonic() - began, 2.0)
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
            began = time.monotonic()
            self.assertEqual(bot.close_frame()[0], 1002)
            self.assertEqual(bot.socket.recv(1), b"")
            self.assertLess(time.monotonic() - began, 0.2)


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


# -- what we dial


@define
class Came:
    """A TCP connection that came.

    :ivar at: when.
    :ivar said: what came through TLS; nothing must, where the certificate is not to be trusted.
    """

    at: float = field(factory=time.monotonic)
    said: bytes = b""


class Unworthy:
    """A server that should not be spoken to: it shows a certificate, or answers in plain HTTP.

    :param shown: what it shows; None for no TLS.
    """

    def __init__(self, shown: Shown | None) -> None:
        self.port = quiet_port()
        self.came: list[Came] = []
        self._context = None if shown is None else shown.server_context()
        self._listening = socket.create_server((LOCAL, self.port))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _address = self._listening.accept()
                came = Came()
                self.came.append(came)
                threading.Thread(target=self._serve, args=(sock, came), daemon=True).start()

    def _serve(self, sock: socket.socket, came: Came) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(PATIENCE)
            if self._context is None:
                sock.recv(4096)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with self._context.wrap_socket(sock, server_side=True) as secure:
                while data := secure.recv(4096):
                    came.said += data

    def gaps(self) -> list[float]:
        return [after.at - before.at for before, after in pairwise(self.came)]

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


class TlsListener(Listener):
    """A WebSocket server over TLS."""

    def __init__(self, shown: Shown) -> None:
        self._context = shown.server_context()
        super().__init__()

    def _greet(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            super()._greet(self._context.wrap_socket(sock, server_side=True))


class HttpsServer:
    """Answers every POST as an implementation does, and keeps its path and body."""

    def __init__(self, shown: Shown) -> None:
        self.posts: list[tuple[str, bytes]] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                posts.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                body = b'{"status":"ok","retcode":0,"data":{"online":true,"good":true}}'
                body = b"" if self.path == "/hook" else body
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.port = quiet_port()
        self._server = ThreadingHTTPServer((LOCAL, self.port), Handler)
        self._server.daemon_threads = True
        self._server.socket = shown.server_context().wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


#: Each kind of dialling: its section, and how its URL begins.
KINDS = {
    "forward-websocket": ("accounts", "wss"),
    "http": ("accounts", "https"),
    "reverse-websocket": ("bots", "wss"),
    "http-post": ("bots", "https"),
}
_LOCAL = r'for "localhost, 127\.0\.0\.1"'
_ISSUED = r'\(issued by "OU=CA ours,[^"]*"\)'
_UNKNOWN = r'is signed by an authority that is not known here \("OU=CA {},[^"]*"\); {}\?'
#: What may be wrong: what the log must say of it, the certificate, its names and the reason.
WRONG = {
    "wrong-name": r'the certificate is for example\.org, not for "localhost";',
    "wrong-address": r'the certificate is for localhost, 127\.0\.0\.2, not for "127\.0\.0\.1";',
    "no-name": r'the certificate of "localhost" has no host names that can be read, and not "localhost";',
    "expired": rf"the certificate {_LOCAL} {_ISSUED} has expired on \d{{4}}-\d\d-\d\d;",
    "other-authority": f"the certificate {_LOCAL} {_UNKNOWN.format('others', 'is it in ca_file')}",
    "no-ca-file": f"the certificate {_LOCAL} {_UNKNOWN.format('ours', 'is ca_file needed')}",
    "self-signed": r'the certificate of "OU=CA others,[^"]*" is signed by itself and not known here;',
    "no-tls": r"the server does not speak TLS \(is the URL ws:// or http://\?\)",
    "old-tls": r"protocol version not supported \(the server speaks neither TLS 1\.2 nor 1\.3\)",
}
FIRST_GAP = 0.4


class Dialled:
    """One service that dials every kind of peer, by good and by bad names.

    :ivar good: by host name: a WebSocket server and an HTTPS server.
    :ivar bad: by kind and what is wrong.
    """

    def __init__(self, folder: Path) -> None:
        ours, others = Authority(folder / "ours"), Authority(folder / "others")
        shown = {
            "wrong-name": ours.issue("example.org"),
            "wrong-address": ours.issue("127.0.0.2", "localhost"),
            "expired": ours.issue(LOCAL, "localhost", expired=True),
            "other-authority": others.issue(LOCAL, "localhost"),
            "no-ca-file": ours.issue(LOCAL, "localhost"),
            "no-name": ours.issue(),
            "self-signed": others.itself(),
            "no-tls": None,
            "old-tls": ours.issue(LOCAL, "localhost").only_old(),
        }
        self.good = {}
        self.bad = {}
        self.self_ids: dict[tuple[str, str], int] = {}
        toml = ['[[accounts]]\ntype = "sandbox"\nself_id = 10001']
        trusted = f'ca_file = "{ours.ca_file}"\n'
        for host in ("localhost", LOCAL):
            right = ours.issue(host)
            self.good[host] = (TlsListener(right), TlsListener(right), HttpsServer(right))
            ports = [server.port for server in self.good[host]]
            for kind, port in zip(("forward-websocket", "reverse-websocket", "http"), ports, strict=True):
                toml.append(self._entry(kind, f"good-{host}", host, port) + trusted)
            toml.append(self._entry("http-post", f"good-{host}", host, ports[2]) + trusted)
        for wrong, what in shown.items():
            host = LOCAL if wrong == "wrong-address" else "localhost"
            for kind in KINDS:
                server = self.bad[kind, wrong] = Unworthy(what)
                toml.append(
                    self._entry(kind, wrong, host, server.port) + (trusted if wrong != "no-ca-file" else "")
                )
        self.began = time.monotonic()
        self.service = Service(folder / "service", "\n".join(toml) + quiet(f"{int(FIRST_GAP * 1000)}ms"))

    def _entry(self, kind: str, name: str, host: str, port: int) -> str:
        section, scheme = KINDS[kind]
        path = "/hook" if kind == "http-post" else "/"
        lines = [f"[[{section}]]", f'url = "{scheme}://{host}:{port}{path}"', 'access_token = "t0ken"']
        if section == "accounts":
            self_id = self.self_ids[kind, name] = 30_000 + len(self.self_ids)
            lines += [f'type = "{kind}"', f"self_id = {self_id}"]
        else:
            lines[2] = f'access_token = "t0ken-{kind}-{name}"'
            lines += [f'name = "{kind}-{name}"', f'connection = "{kind}"', "accounts = [10001]"]
        if "websocket" in kind:
            lines.append(f'reconnect = {{ min = "{int(FIRST_GAP * 1000)}ms", max = "10s" }}')
        return "\n".join(lines) + "\n"

    def end(self) -> None:
        """End all; harmless when called twice."""
        self.service.clean_up()
        for servers in self.good.values():
            for server in servers:
                server.end()
        for unworthy in self.bad.values():
            unworthy.end()


class Dialling(SharedTestCase):
    """Whom we dial must show a good certificate for the name by which we dial it."""

    if not INSTALLED:
        skip = "trustme is not installed"

    def start_shared(self, folder: Path) -> Dialled:
        return Dialled(folder)

    def setUp(self) -> None:
        super().setUp()
        self.all: Dialled = self.shared
        self.service = self.all.service
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        self.assertTrue(self.service.alive())
        for bad in BAD_WORDS:
            self.assertNotIn(bad, self.service.log())

    def lines_about(self, port: int) -> list[str]:
        """The warnings about a server, without their times."""
        found = re.findall(rf"^\S+ \[\S+#warn\] (.*:{port}\b.*)$", self.service.log(), re.M)
        return [str(line) for line in found]

    def assert_good(self, host: str) -> None:
        forward, reverse, https = self.all.good[host]
        peer = reverse.next()
        self.assertEqual(peer.dial.header("Host"), f"{host}:{reverse.port}")
        self.assertEqual(peer.message()["sub_type"], "connect")
        self.service.inject(numbered(1, 100_000))
        self.assertEqual(len(peer.event(n=1)["pad"]), 100_000)
        implementation = forward.next()
        self.assertEqual(implementation.dial.header("Authorization"), "Bearer t0ken")
        implementation.send(
            json.dumps({**numbered(1), "self_id": self.all.self_ids["forward-websocket", f"good-{host}"]})
        )
        wait_until("a post", lambda: any(path == "/hook" for path, _body in https.posts))
        wait_until("a look", lambda: any(path == "/get_status" for path, _body in https.posts))
        for server in (forward, reverse, https):
            self.assertEqual(self.lines_about(server.port), [])

    def test_right_name(self) -> None:
        """A certificate for the name by which it is dialled opens the way."""
        self.assert_good("localhost")

    def test_right_address(self) -> None:
        """A certificate for the address by which it is dialled does too."""
        self.assert_good(LOCAL)

    def _enough(self, wrong: str) -> None:
        for kind in KINDS:
            server = self.all.bad[kind, wrong]
            wait_until(f"{kind} is tried again", lambda one=server: len(one.came) >= 4)
        wait_until("the webhook's line", lambda: f"http-post-{wrong}: 5 posts in a row" in self.service.log())

    def assert_bad(self, wrong: str) -> None:
        """It is told nothing, one line says why, and it is tried again, more and more seldom."""
        self._enough(wrong)
        problems = []
        for kind in KINDS:
            server = self.all.bad[kind, wrong]
            said = [came.said for came in server.came if came.said]
            if said:
                problems.append(f"{kind}: it was told {said[0][:40]!r}")
            if kind == "http-post":
                name = f"http-post-{wrong}: "
                lines = [line.split("] ", 1)[1] for line in self.service.log().splitlines() if name in line]
            else:
                lines = self.lines_about(server.port)
            if len(lines) != 1:
                problems.append(f"{kind}: {len(lines)} lines: {lines}")
            elif not re.search(WRONG[wrong], lines[0], re.I):
                problems.append(f"{kind}: does not say why: {lines[0]}")
            elif f":{server.port}" not in lines[0]:
                problems.append(f"{kind}: does not say which host: {lines[0]}")
            gaps = server.gaps()
            if "websocket" in kind and not gaps[0] < gaps[1] < gaps[2]:
                problems.append(f"{kind}: gaps do not grow: {gaps}")
        self.assertEqual(problems, [])

    def test_no_token_in_the_log(self) -> None:
        """What is said about all these never holds a token."""
        self.assertNotIn("t0ken", self.service.log())


def _add_tests() -> None:
    """One test for each thing that may be wrong."""
    for wrong in WRONG:

        def test(self: Dialling, wrong: str = wrong) -> None:
            self.assert_bad(wrong)

        test.__doc__ = f"{wrong}: never spoken to, one line, tried again with growing gaps."
        test.__name__ = f"test_{wrong.replace('-', '_')}"
        setattr(Dialling, test.__name__, test)


_add_tests()


class NoWayAround(SynchronousTestCase):
    """Verification is not optional."""

    def test_no_switch(self) -> None:
        """Keys that elsewhere turn verification off are unknown here; a bad ca_file is a mistake too."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "empty.pem").write_text("")
        remote = '[[accounts]]\ntype = "forward-websocket"\nself_id = 1\nurl = "wss://127.0.0.1:9/"\n'
        for line in (
            "verify = false",
            "insecure = true",
            'tls = "insecure"',
            "ca_file = false",
            'ca_file = ""',
            f'ca_file = "{folder / "nowhere.pem"}"',
            f'ca_file = "{folder / "empty.pem"}"',
        ):
            problems = parse(remote + line)
            self.assertIsInstance(problems, list, line)
            self.assertEqual(len(list(problems)), 1, line)  # type: ignore[call-overload]
