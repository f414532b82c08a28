"""Who gets in (section E of the catalogue of faults).

Left out:
L-30 - the header that a *reverse* WebSocket sends: tests of reverse WebSocket have it.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from statistics import median

from tests.integration.faulty import FaultTestCase, Stream, numbered, quiet, raw_exchange
from tests.integration.rawclient import HandshakeRefused, RawClient, handshake, masked_frame
from tests.integration.running import PATIENCE
from tests.rounds import SOCKET_ROUNDS

SAY = {"action": "send_private_msg", "params": {"user_id": 20001, "message": "by a stranger"}, "echo": 1}

GLUED = masked_frame(json.dumps(SAY).encode())


class Tokens(FaultTestCase):
    """Two bots with tokens; the first may use one account, the second both."""

    toml = (
        '[[accounts]]\nself_id = 10001\n[[accounts]]\nself_id = 10002\n'
        '[[bots]]\nname = "one"\naccess_token = "t0ken-One"\naccounts = [10001]\n'
        '[[bots]]\nname = "two"\naccess_token = "s3cond &+%/two"\n' + quiet()
    )  # fmt: skip
    PATHS = ("/", "/api", "/event", "/api/", "/event/", "/10001", "/10001/", "/10001/api", "/10001/event")
    ONE = {"Authorization": "Bearer t0ken-One"}

    def assert_refused(
        self, status: int, path: str = "/", headers: dict[str, str] | None = None
    ) -> tuple[str, str]:
        """The handshake ends with ``status`` and the end of TCP; the glued action is not done."""
        before = self.service.transcript()
        host = f"127.0.0.1:{self.service.port}"
        answer = raw_exchange(self.service, handshake(path, headers, host) + GLUED * 3)
        head, _end, body = answer.decode().partition("\r\n\r\n")
        self.assertEqual(int(head.split(" ")[1]), status, f"{path} {headers}: {answer!r}")
        self.assertEqual(answer.count(b"HTTP/1.1"), 1, "the glued bytes were read as a request")
        self.assertNotIn("Upgrade:", head)
        self.assertNotIn("lifecycle", body)
        self.assertNotIn("retcode", body)
        self.assertEqual(self.service.transcript(), before, "a stranger's action was done")
        return head, body

    def assert_admitted(self, path: str = "/", headers: dict[str, str] | None = None) -> None:
        with RawClient(self.service, path, headers) as bot:
            self.assertEqual(bot.ask("get_login_info")["retcode"], 0)
            bot.send_close()
            bot.read_to_end()

    def test_L27_every_path_asks_for_the_token(self) -> None:
        """Without a token 401, with a wrong one 403, on every path there is."""
        for path in self.PATHS:
            head, _body = self.assert_refused(401, path)
            self.assertIn("WWW-Authenticate: Bearer", head)
            self.assert_refused(403, path, {"Authorization": "Bearer wrong"})
            self.assert_refused(403, path + "?access_token=wrong")

    def test_L28_nothing_leaks_before_the_token_is_checked(self) -> None:
        """Who has not shown a token yet, or a wrong one, sees no byte of the events that are published."""
        host = f"127.0.0.1:{self.service.port}"
        whole = handshake("/", {"Authorization": "Bearer wrong"}, host)
        waiting = []
        for cut in (0, 1, 40, len(whole) - 2, len(whole) - 1):
            sock = self.service.connect()
            self.addCleanup(sock.close)
            sock.sendall(whole[:cut])
            waiting.append((sock, cut))
        good = self.bot(headers=self.ONE)
        with Stream(self.service) as stream:
            for _ in range(20 * SOCKET_ROUNDS):
                answer = raw_exchange(self.service, whole + GLUED)
                self.assertTrue(answer.startswith(b"HTTP/1.1 403 "))
                self.assertNotIn(b"post_type", answer)
            published = stream.published
        self.assertGreater(published, 0)
        good.event(n=published - 1)
        for sock, cut in waiting:
            sock.setblocking(False)
            with self.assertRaises(BlockingIOError):
                sock.recv(1)
            sock.settimeout(PATIENCE)
            sock.sendall(whole[cut:])
            got = b""
            while data := sock.recv(65536):
                got += data
            self.assertTrue(got.startswith(b"HTTP/1.1 403 "))
            self.assertNotIn(b"post_type", got)

    def test_L29_refused_before_the_upgrade(self) -> None:
        """A wrong, missing or empty token ends before 101 as 403 or 401; the glued action is not done."""
        for empty in ("", "Bearer", "Bearer ", "Token ", "bearer   "):
            self.assert_refused(401, headers={"Authorization": empty})
        self.assert_refused(401, "/?access_token=")
        self.assert_refused(401, "/?access_token")
        self.assert_refused(401, "/?access_token=", {"Authorization": "Bearer "})
        wrong = (
            "t0ken-on", "t0ken-Onee", "T0KEN-ONE", "t0ken-One,t0ken-One", "null", "None", "*",
            "t0ken-One t0ken-One", "Bearer", "x" * 5000,
        )  # fmt: skip
        for token in wrong:
            self.assert_refused(403, headers={"Authorization": f"Bearer {token}"})
        self.assert_refused(403, "/?access_token=%00")
        self.assert_refused(403, "/?access_token=t0ken-One%00")
        self.assert_refused(403, "/", {"Authorization": "Basic dDBrZW4tT25l"})
        for secret in ("t0ken-One", "s3cond", "wrong", "dDBrZW4tT25l"):
            self.assertNotIn(secret, self.new_log())
        self.assert_admitted(headers=self.ONE)

    def test_L33_every_way_to_show_a_token(self) -> None:
        """``Bearer``, ``Token``, bare or in the query, in any case: either being right is enough."""
        for shown in ("Bearer t0ken-One", "bearer t0ken-One", "BEARER  t0ken-One ", "Token t0ken-One",
                      "token t0ken-One", "t0ken-One"):  # fmt: skip
            self.assert_admitted(headers={"Authorization": shown})
        self.assert_admitted("/?access_token=t0ken-One")
        self.assert_admitted("/api?x=1&access_token=t0ken%2dOne")
        self.assert_admitted("/?access_token=t0ken-One", {"Authorization": "Bearer wrong"})
        self.assert_admitted("/?access_token=t0ken-One", {"Authorization": "Basic abcd"})
        self.assert_admitted("/?access_token=wrong", self.ONE)
        self.assert_admitted("/?access_token=wrong&access_token=t0ken-One")
        self.assert_admitted("/10002?access_token=s3cond+%26%2B%25%2Ftwo")

    def test_accounts_of_a_bot(self) -> None:
        """A bot's token opens its accounts and no other; with a right one, 404 where there is none."""
        two = "access_token=s3cond+%26%2B%25%2Ftwo"
        for tail in ("", "/", "/api", "/event"):
            self.assert_refused(403, f"/10002{tail}", self.ONE)
            self.assert_refused(404, f"/10003{tail}", self.ONE)
            self.assert_refused(404, f"/10003{tail}?{two}")
            self.assert_refused(401, f"/10003{tail}")
        for self_id in (10001, 10002):
            with RawClient(self.service, f"/{self_id}?{two}") as bot:
                self.assertEqual(bot.message()["self_id"], self_id)
                self.assertEqual(bot.ask("get_login_info")["data"]["user_id"], self_id)
        one, both = self.bot(headers=self.ONE), self.bot(f"/10002?{two}")
        self.service.inject(numbered(1), self_id=10002)
        self.service.inject(numbered(2), self_id=10001)
        self.assertEqual(one.message()["n"], 2, "an event of another account")
        self.assertEqual(both.message()["n"], 1)

    def test_a_right_token_is_enough(self) -> None:
        """With a right token neither Host nor Origin nor a proxy's header is a reason to refuse."""
        for headers in (
            {"Host": "bots.example.org"}, {"Origin": "https://evil.example"}, {"X-Forwarded-For": "1.2.3.4"},
            {"X-Real-IP": "1.2.3.4", "Forwarded": "for=1.2.3.4", "Host": "x", "Origin": "null"},
        ):  # fmt: skip
            self.assert_admitted(headers={**self.ONE, **headers})

    def test_not_found(self) -> None:
        """Paths that lead nowhere are 404; the log helps a bot at an implementation's door."""
        for path in (
            "/x",
            "/apis",
            "/10001/x",
            "/10001/api/x",
            "//",
            "//api",
            "/event/event",
            "/%2e",
            "/..",
            "/%ff",
        ):
            self.assert_refused(404, path, self.ONE)
        for path in ("/onebot/v11/ws", "/onebot/v11/ws/"):
            self.assert_refused(404, path, self.ONE)
        self.assertIn("a bot connects to /", self.new_log())


class WithoutToken(FaultTestCase):
    """One bot without a token: for programs on this machine."""

    toml = quiet("100ms")
    server = 'allowed_origins = ["https://console.example.org"]'

    def status(self, **headers: str) -> int:
        """What the handshake ends with; a glued action is done only if that is 101."""
        before = len(self.service.transcript())
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with RawClient(self.service, "/api", given, glued=GLUED) as bot:
                self.assertEqual(bot.response()["retcode"], 0)
                bot.send_close()
                bot.read_to_end()
        except HandshakeRefused as refused:
            self.assertEqual(len(self.service.transcript()), before, "a stranger's action was done")
            self.body = refused.body
            return refused.status
        self.assertEqual(len(self.service.transcript()), before + 1)
        return 101

    def test_L31_api_gets_no_events(self) -> None:
        """``/api`` never gets a lifecycle, heartbeat or event, ``/event`` never an answer, ``/`` both."""
        paths = ("/api", "/api/", "/api?access_token=", "/10001/api", "/10001/api/")
        apis = [self.dial(path) for path in paths]
        events = [self.bot(path) for path in ("/event", "/event/", "/10001/event")]
        both = [self.bot(path) for path in ("/", "/10001", "/10001/", "/?x=1")]
        for number in range(10):
            self.service.inject(numbered(number))
        time.sleep(0.3)  # some heartbeats
        for bot in apis + events + both:
            bot.call("get_login_info", "asked")
        for bot in apis:
            self.assertEqual(bot.message()["echo"], "asked", "the first frame is no response")
            bot.call("get_status", "again")
            self.assertEqual(bot.message()["echo"], "again")
        for bot in both:
            self.assertEqual(bot.event(notice_type="test")["n"], 0)
            self.assertEqual(bot.event(meta_event_type="heartbeat")["interval"], 100)
            self.assertEqual(bot.response()["echo"], "asked")
        for bot in events:
            self.service.inject(numbered(99))
            while (message := bot.message()).get("n") != 99:
                self.assertNotIn("retcode", message)

    def test_L32_host(self) -> None:
        """A ``Host`` that can only mean this machine is let in, with any port; every other one is not."""
        for host in (
            "127.0.0.1", "localhost", "LocalHost:8081", "localhost:1", "127.0.0.2:8081", "127.255.255.254",
            "[::1]", "[::1]:8081", "bot.localhost", "a.b.localhost:80", "localhost.",
        ):  # fmt: skip
            self.assertEqual(self.status(Host=host), 101, host)
        for host in (
            "evil.example", "evil.example:8081", "10.0.0.1", "0.0.0.0", "[::]", "localhost.evil.example",
            "127.0.0.1.evil.example", "notlocalhost", "localhost@evil.example", "evil.example#localhost",
            "host.docker.internal", "127.1", "2130706433", "", "127.0.0.1, evil.example", "1.127.0.0",
        ):  # fmt: skip
            self.assertEqual(self.status(Host=host), 403, host)
            self.assertIn("access_token", self.body, "it is not told what to do")
        self.assertEqual(self.new_log().count('Host "evil.example"'), 1)
        self.assertIn(
            'Host "host.docker.internal" is not loopback and bot "default" has no token', self.new_log()
        )

    def test_L32_host_missing_or_twice(self) -> None:
        """Without ``Host``, or with two of them, a request without a token is not let in."""
        whole = handshake("/api", None, "127.0.0.1")
        before = self.service.transcript()
        for hosts in (
            b"",
            b"Host: localhost\r\nHost: evil.example\r\n",
            b"Host: evil.example\r\nHost: localhost\r\n",
        ):
            answer = raw_exchange(self.service, whole.replace(b"Host: 127.0.0.1\r\n", hosts) + GLUED)
            self.assertIn(int(answer.split(b" ")[1]), (400, 403), hosts)
        self.assertEqual(self.service.transcript(), before)

    def test_origin(self) -> None:
        """A web page gets in only from an allowed origin or from the very place that it dials."""
        host = f"127.0.0.1:{self.service.port}"
        for origin in (
            "https://console.example.org", f"http://{host}", f"ws://{host}", f"HTTP://{host}",
            "garbage", "[object Object]",  # no browser sends these: no web page asks
        ):  # fmt: skip
            self.assertEqual(self.status(Host=host, Origin=origin), 101, origin)
        for origin in (
            "https://evil.example", "null", "", "http://localhost", f"http://localhost:{self.service.port}",
            "http://127.0.0.1", "http://console.example.org", "https://console.example.org.evil.example",
            "https://console.example.org:444", "https://sub.console.example.org", "file://",
            f"http://{host}.evil.example", f"http://{host}@evil.example", "http://[", "http://127.0.0.1:99999",
        ):  # fmt: skip
            self.assertEqual(self.status(Host=host, Origin=origin), 403, origin)

    def test_proxies(self) -> None:
        """A request without a token that came through a proxy is not let in."""
        for name in ("X_Forwarded_For", "X_Real_IP", "Forwarded", "x_forwarded_for", "FORWARDED"):
            self.assertEqual(self.status(**{name: "127.0.0.1"}), 403, name)
            self.assertEqual(self.status(**{name: ""}), 403, name)

    def test_a_token_where_none_is_set(self) -> None:
        """A token that belongs to nobody is wrong, although none would have been right."""
        self.assertEqual(self.status(Authorization="Bearer something"), 403)
        self.assertEqual(self.status(Authorization="Bearer "), 101)
        self.assertEqual(self.status(), 101)

    def test_bad_handshakes(self) -> None:
        """A handshake that is none is answered with an ordinary HTTP status, and does nothing."""
        host = f"127.0.0.1:{self.service.port}"
        whole = handshake("/", None, host)
        before = self.service.transcript()
        key = whole.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        changes = (
            (b"GET /", b"POST /", (400, 405)),
            (b"HTTP/1.1", b"HTTP/1.0", (400,)),
            (b"Connection: Upgrade\r\n", b"", (400,)),
            (b"Connection: Upgrade", b"Connection: close", (400,)),
            (b"Version: 13", b"Version: 8", (426,)),
            (b"Sec-WebSocket-Version: 13\r\n", b"", (400, 426)),
            (key, b"", (400,)),
            (key, b"short", (400,)),
            (key, b"!" * 24, (400,)),
            (b"Sec-WebSocket-Key: " + key + b"\r\n", b"", (400,)),
            (b"GET /", b"GET", (400,)),
            (b" HTTP/1.1", b" HTTP/9.9", (400, 505)),
            (b"Host:", b"Host :", (400, 403)),
        )
        for old, new, statuses in changes:
            answer = raw_exchange(self.service, whole.replace(old, new, 1) + GLUED)
            self.assertIn(int(answer.split(b" ")[1]), statuses, (old, new, answer))
        self.assertEqual(self.service.transcript(), before)
        self.assert_unharmed()


class SlowLoris(FaultTestCase):
    """Handshakes that never end."""

    HANDSHAKE_TIMEOUT = 1.0
    toml = quiet(handshake_timeout="1s")
    LORIS = 300

    def calls(self, bot: RawClient, seconds: float) -> list[float]:
        """How long calls take, made one after another for a while."""
        found = []
        ending = time.monotonic() + seconds
        while time.monotonic() < ending:
            watch = self.service.stopwatch()
            self.assertEqual(bot.ask("get_group_member_list", group_id=30001)["retcode"], 0)
            found.append(watch.seconds())
            time.sleep(0.002)
        return found

    def test_slow_loris(self) -> None:
        """300 handshakes that drip never disturb a good bot, and are all gone after handshake_timeout."""
        baseline = self.files()
        bot = self.bot()
        before = self.calls(bot, 0.4)
        whole = handshake("/", {"X-Pad": "x" * 2000}, f"127.0.0.1:{self.service.port}")
        began = time.monotonic()
        loris = [self.service.connect("127.0.0.2") for _ in range(self.LORIS)]
        for sock in loris:
            self.addCleanup(sock.close)
        ended: list[float] = []
        stop = threading.Event()

        def drip() -> None:
            """A byte to each, now and then; how long each lives."""
            left = list(loris)
            at = 0
            while left and not stop.is_set():
                for sock in tuple(left):
                    try:
                        sock.sendall(whole[at : at + 1])
                        sock.setblocking(False)
                        try:
                            gone = sock.recv(100) == b""
                        except BlockingIOError:
                            gone = False
                        sock.setblocking(True)
                    except OSError:
                        gone = True
                    if gone:
                        ended.append(time.monotonic() - began)
                        left.remove(sock)
                at += 1
                time.sleep(0.05)

        dripping = threading.Thread(target=drip)
        dripping.start()
        self.addCleanup(stop.set)
        during = self.calls(bot, 0.8)
        newcomer = self.service.stopwatch()
        self.bot().socket.close()
        self.assertLess(newcomer.seconds(), 1.0, "a newcomer does not get in")
        during += self.calls(bot, self.HANDSHAKE_TIMEOUT + 1 - 0.8)
        dripping.join(PATIENCE)
        self.assertEqual(len(ended), self.LORIS)
        self.assertLess(max(ended), self.HANDSHAKE_TIMEOUT + 3)
        self.assertGreater(min(ended), self.HANDSHAKE_TIMEOUT / 2)
        self.assertLess(max(during), 1.0, "a call of the good bot took too long")
        self.assertLess(median(during), max(2 * median(before), 0.005), f"{median(before):.5f} before")
        for sock in loris:
            sock.close()
        bot.socket.close()
        self.assert_files_back(baseline)

    def test_silent_connections(self) -> None:
        """Connections that never say a word are gone after handshake_timeout too."""
        baseline = self.files()
        silent = [self.service.connect() for _ in range(100)]
        began = time.monotonic()
        for sock in silent:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(sock.recv(100), b"")
            sock.close()
        self.assertLess(time.monotonic() - began, self.HANDSHAKE_TIMEOUT + 3)
        self.assert_files_back(baseline)

    def test_a_head_without_end(self) -> None:
        """A head that goes on for ever is ended long before it fills the memory."""
        before = self.service.memory()
        began = time.monotonic()
        with self.service.connect() as sock, contextlib.suppress(OSError):
            sock.sendall(b"GET / HTTP/1.1\r\n")
            for number in range(100_000):
                sock.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))
        self.assertLess(time.monotonic() - began, self.HANDSHAKE_TIMEOUT + 3)
        self.assertLess(self.service.memory() - before, 4 << 20)
        self.assert_unharmed()
