"""Who may use the sandbox's HTTP control, and requests that are refused."""

from __future__ import annotations

import json
from http.client import HTTPConnection

from tests.integration.control import (
    ALICE,
    NO_HEARTBEATS,
    SANDBOX,
    SharedControlTestCase,
)
from tests.integration.rawclient import HandshakeRefused, RawClient
from tests.integration.running import PATIENCE


class Paths(SharedControlTestCase):
    """Paths, methods, and who may come in when no token is set."""

    def test_paths_and_methods(self) -> None:
        """Unknown paths are 404, another method is 405 with ``Allow``, HEAD is GET without body."""
        for method, path, status in (
            ("GET", "/sandbox/10002/transcript", 404),
            ("POST", "/sandbox/10002/say", 404),
            ("GET", "/sandbox", 404),
            ("GET", "/sandbox/", 404),
            ("GET", "/sandbox/x/transcript", 404),
            ("GET", f"{SANDBOX}/nothing", 404),
            ("GET", f"{SANDBOX}/say/more", 404),
            ("GET", f"{SANDBOX}/say", 405),
            ("PUT", f"{SANDBOX}/say", 405),
            ("DELETE", f"{SANDBOX}/ask", 405),
            ("GET", f"{SANDBOX}/event", 405),
            ("POST", f"{SANDBOX}/transcript", 405),
            ("POST", SANDBOX, 405),
        ):
            found, headers, _answer = self.request(method, path, {} if method != "GET" else None)
            self.assertEqual(found, status, (method, path))
            if status == 405:
                allowed = "POST" if path.rpartition("/")[2] in ("say", "ask", "event") else "GET"
                self.assertEqual(headers["Allow"].split(", ")[0], allowed)
        for path in (SANDBOX, f"{SANDBOX}/", f"{SANDBOX}/transcript/"):
            self.assertEqual(self.request("GET", path)[0], 200)
            status, _headers, body = self.request("HEAD", path)
            self.assertEqual((status, body), (200, ""))

    def test_too_large(self) -> None:
        """A body over max_message is answered 413, and the next request as ever."""
        with self.service.connect() as connection:
            head = f"POST {SANDBOX}/say HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n"
            connection.sendall(head.encode() + b"{")
            self.assertIn(b" 413 ", connection.recv(65536))
        self.post("say", {"user_id": ALICE, "message": "x"})

    def test_keep_alive(self) -> None:
        """Many requests go over one connection, refused ones too."""
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.connect()
        first = connection.sock
        before = self.world()["last_message_id"]
        for number in range(before, before + 5):
            for body, status in (({"user_id": ALICE, "message": "x"}, 200), ({"user_id": 99}, 400)):
                connection.request("POST", f"{SANDBOX}/say", json.dumps(body))
                answer = connection.getresponse()
                answer.read()
                self.assertEqual(answer.status, status)
            connection.request("GET", f"{SANDBOX}/transcript?after={number}")
            answer = connection.getresponse()
            self.assertEqual(len(json.load(answer)["messages"]), 1)
        self.assertIs(connection.sock, first)

    def test_strangers(self) -> None:
        """Without a token web pages and proxies are refused and told what to do; one log line per Host."""
        port = self.service.port
        for headers, named in (
            ({"Host": "example.org"}, 'Host "example.org" is not loopback'),
            ({"Host": f"rebind.example.org:{port}"}, "is not loopback"),
            ({"Host": "127.0.0.1.example.org"}, "is not loopback"),
            ({"Host": "10.0.0.1"}, "is not loopback"),
            ({"Origin": "https://example.org"}, 'Origin "https://example.org"'),
            ({"Origin": "null"}, "Origin"),
            ({"Origin": "http://127.0.0.1:1"}, "Origin"),
            ({"X-Forwarded-For": "10.0.0.1"}, "proxy"),
            ({"X-Real-IP": "127.0.0.1"}, "proxy"),
            ({"Forwarded": "for=127.0.0.1"}, "proxy"),
        ):
            body = {"user_id": ALICE, "message": "let me in"}
            status, _headers, answer = self.request("POST", f"{SANDBOX}/say", body, headers)
            self.assertEqual(status, 403, headers)
            self.assertIn(named, answer)
            self.assertIn("admin_token", answer)
        self.assertNotIn("let me in", [m["raw_message"] for m in self.service.transcript()])
        self.assertEqual(self.service.log().count('Host "example.org" is not loopback'), 1)

    def test_neighbours(self) -> None:
        """Without a token programs on this machine are let in, by each of its names."""
        port = self.service.port
        for headers in (
            {"Host": "localhost"},
            {"Host": f"localhost:{port}"},
            {"Host": "LOCALHOST"},
            {"Host": "lgtwist.localhost:1"},
            {"Host": "127.9.9.9"},
            {"Host": "[::1]:80"},
            {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"},
        ):
            self.assertEqual(self.request("GET", SANDBOX, headers=headers)[0], 200, headers)


class AdminToken(SharedControlTestCase):
    """With ``admin_token``, and a bot that has its own."""

    toml = NO_HEARTBEATS + '[[bots]]\nname = "b"\naccess_token = "of-the-bot"\n'
    server = 'admin_token = "of-the-admin"\nallowed_origins = ["https://console.example.org"]'

    def status(self, path: str = SANDBOX, **headers: str) -> int:
        return self.request("GET", path, headers=headers)[0]

    def test_token(self) -> None:
        """Without the token it is 401 with a challenge, with another one 403: that of a bot too."""
        status, headers, _answer = self.request("GET", SANDBOX)
        self.assertEqual(status, 401)
        self.assertTrue(headers["WWW-Authenticate"].startswith("Bearer"))
        for header, status in (
            ("Bearer of-the-admin", 200),
            ("bearer of-the-admin", 200),
            ("Token of-the-admin", 200),
            ("of-the-admin", 200),
            ("Bearer of-the-bot", 403),
            ("Bearer of-the-admi", 403),
            ("Bearer of-the-admin2", 403),
            ("Basic b2YtdGhlLWFkbWlu", 403),
            ("Bearer", 401),
            ("", 401),
        ):
            self.assertEqual(self.status(Authorization=header), status, header)
        self.assertEqual(self.status(f"{SANDBOX}?access_token=of-the-admin"), 200)
        self.assertEqual(self.status(f"{SANDBOX}?access_token=of-the-bot"), 403)

    def test_nothing_is_done(self) -> None:
        """What is refused is not done, whatever it was; strangers are not told which accounts there are."""
        for path in ("say", "ask", "event"):
            for headers, status in (({}, 401), ({"Authorization": "wrong"}, 403)):
                body = {"user_id": ALICE, "message": "x", "post_type": "notice"}
                found = self.request("POST", f"{SANDBOX}/{path}", body, headers)
                self.assertEqual(found[0], status)
        self.assertEqual(self.status("/sandbox/777"), 401)
        self.assertEqual(self.status("/sandbox/777", Authorization="of-the-admin"), 404)
        world = self.request("GET", SANDBOX, headers={"Authorization": "of-the-admin"})[2]
        self.assertEqual((world["last_message_id"], world["requests"]), (0, []))

    def test_not_for_bots(self) -> None:
        """The admin's token opens no bot's WebSocket."""
        with self.assertRaises(HandshakeRefused) as caught:
            RawClient(self.service, headers={"Authorization": "Bearer of-the-admin"})
        self.assertEqual(caught.exception.status, 403)

    def test_from_anywhere(self) -> None:
        """With the right token neither Host nor Origin nor a proxy matters."""
        for headers in (
            {"Host": "example.org"},
            {"Origin": "https://example.org"},
            {"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1"},
        ):
            self.assertEqual(self.status(Authorization="Bearer of-the-admin", **headers), 200)
