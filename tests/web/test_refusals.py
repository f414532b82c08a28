"""What a refused request for an action is answered, and what is logged of it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv6Address
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher

from tests.integration.rawclient import handshake
from tests.web.site_case import Peer, SiteTestCase

_BODY = b'{"user_id":20001}'


class RefusalTests(SiteTestCase):
    toml = """
        [server]
        allowed_origins = ["https://mine.example"]
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        [[accounts]]
        type = "reverse-websocket"
        self_id = 3
        access_token = "three"
        [[bots]]
        name = "b"
        access_token = "t+k n"
        accounts = [2]
    """
    right: dict[str, str] = {"Authorization": "Bearer t+k n"}

    def setUp(self) -> None:
        super().setUp()
        self.seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def lines(self) -> list[str]:
        """The lines since the last call."""
        found = [str(formatEvent(event)) for event in self.seen if event.get("log_format")]
        del self.seen._events[:]
        return found

    def test_responses(self) -> None:
        """Each is a response in JSON, with the status, a retcode, and a sentence."""
        plain, encoded = {"Content_Type": "text/plain"}, {"Content_Encoding": "gzip"}
        for port, status, retcode, words in (
            (self.get("/get_status"), 401, 1401, "a token is needed"),
            (self.get("/get_status", Authorization="Bearer no"), 403, 1403, "the token is wrong"),
            (self.get("/1/get_status", **self.right), 403, 1403, "may not use this account"),
            (self.get("/4/get_status", **self.right), 404, 1404, "there is no account 4"),
            (self.get("/v1/get_status", **self.right), 404, 1404, "there is nothing here"),
            (self.get("//get_status", **self.right), 404, 1404, "two slashes"),
            (self.get("/%ff", **self.right), 404, 1404, "there is nothing here"),
            (self.get("/get_status", "PUT", **self.right), 405, 1400, "only GET and POST"),
            (self.get("/", "POST", _BODY, **self.right), 405, 1400, "/{action}"),
            (self.get("/get_status", "POST", _BODY, **self.right, **plain), 406, 1400, "application/json"),
            (self.get("/get_status", "POST", _BODY, **self.right, **encoded), 415, 1400, "Content-Encoding"),
        ):
            self.assertEqual(port.status(), status, words)
            self.assertIn("content-type: application/json", port.headers())
            answer = json.loads(port.body())
            self.assertEqual((answer["status"], answer["retcode"]), ("failed", retcode))
            self.assertIn(words, answer["message"])
            self.assertEqual(answer["wording"], answer["message"])

    def test_others(self) -> None:
        """Handshakes, also at an action's path, and other mounts get a line of text."""
        for port, status in (
            (self.dial("/"), 401),
            (self.dial("/get_status", **self.right), 404),
            (self.dial("/1", **self.right), 403),
            (self.get("/event"), 426),
            (self.get("/", "PUT"), 405),
            (self.get("/healthz", "PUT"), 405),
            (self.get("/sandbox/1/say", "POST", _BODY, Host="evil.example"), 403),
            (self.get("/onebot/v11/post"), 405),
            (Peer(self).send(handshake("/get_status").replace(b"\r\n\r\n", b"\r\nHost: x\r\n\r\n")), 400),
        ):
            self.assertEqual(port.status(), status)
            self.assertIn("content-type: text/plain", port.headers())

    def test_pages_may_read_them(self) -> None:
        """A page of an allowed origin reads refusals as it reads answers; others read neither."""
        for origin, readable in (("https://mine.example", True), ("https://other.example", False)):
            for port, status in (
                (self.get("/get_status", Origin=origin), 401),
                (self.get("/nope", **self.right, Origin=origin), 404),
                (self.get("/get_msg", "POST", b"{", **self.right, Origin=origin), 406),
                (
                    self.get("/get_msg", "POST", b"{}", **self.right, Origin=origin, Content_Encoding="br"),
                    415,
                ),
                (self.get("/get_msg", **self.right, Origin=origin, A="a", X="x" * 70_000), 431),
            ):
                self.assertEqual(port.status(), status)
                allowed = f"access-control-allow-origin: {origin}" in port.headers()
                self.assertEqual(allowed, readable, (status, origin))

    def test_one_line_each(self) -> None:
        """Each kind is one line, throttled, which says what was asked for, without a token."""
        for _ in range(20):
            self.get("/1/get_status?access_token=t%2Bk%20n")
            self.get("/get_status?access_token=t%2Bk%20n", "POST", b"{", Content_Type="text/plain")
            self.get("/get_status", "POST", b"{", **self.right, Content_Type="application/json")
            self.get("/get_status?" + "x" * 70_000, **self.right)
            Peer(self).send(b"GET /get_status?access_token=t+k n HTTP/1.1\r\n")
            self.dial("/no/such/path")
            self.dial("/", Connection="keep-alive", **self.right)
        lines = [line for line in self.lines() if "refused" in line]
        self.assertEqual(len(lines), 7, lines)
        for line, words in zip(
            lines,
            (
                "GET /1/get_status is refused with 403: bot",
                "POST /get_status is refused with 406: Content-Type",
                "POST /get_status is refused with 400: the body must be",
                "GET /get_status is refused with 414: the first line",
                "GET /get_status is refused with 400: the head of the request is malformed",
                "GET /no/such/path is refused with 404: there is nothing",
                "GET / is refused with 400: the header",
            ),
            strict=True,
        ):
            self.assertIn(words, line)
            self.assertNotIn("t+k", line)
        self.clock.advance(61)
        self.get("/1/get_status", **self.right)
        self.assertEqual(len([line for line in self.lines() if "refused" in line]), 1, "logged again")

    def test_a_plus_in_a_token(self) -> None:
        """A token with a plus and a blank is found however it is written in a query."""
        for token in ("t%2Bk+n", "t%2Bk%20n"):
            self.assertEqual(self.get(f"/get_status?access_token={token}").status(), 200)
        self.assertEqual(self.get("/get_status?access_token=t+k+n").status(), 403)
        bot = self.service.directory.bots["b"]
        self.service.port.bot_tokens.keyring.add(bot, "t+k")
        for token in ("t+k", "t%2Bk", "t+k&x=1"):
            self.assertEqual(self.get(f"/get_status?access_token={token}").status(), 200)
        self.service.port.bot_tokens.keyring.add(bot, "t k")
        for token in ("t+k", "t%20k"):
            self.assertEqual(self.get(f"/get_status?%61ccess_token={token}").status(), 200)

    def test_a_proxy_that_removed_the_upgrade(self) -> None:
        """Bots and implementations are told what to set in the proxy, and so is the log, once."""
        needed = ("proxy_http_version 1.1", "Upgrade $http_upgrade", "Connection upgrade;")
        three = {"X-Self-ID": "3", "Authorization": "Bearer three"}
        for path, headers in (("/", {}), ("/event", {}), ("/2/api", {}), ("/onebot/v11/ws", three)):
            whole = handshake(path, {**self.right, **headers}, "localhost")
            for sent, status in (
                (whole.replace(b"Upgrade: websocket\r\n", b"").replace(b": Upgrade", b": close"), 426),
                (whole.replace(b": Upgrade", b": close"), 400),
                (whole.replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
            ):
                self.assertNotEqual(sent, whole)
                port = Peer(self).send(sent)
                self.assertEqual(port.status(), status, sent)
                for words in needed:
                    self.assertIn(words, port.body())
        lines = [line for line in self.lines() if "nginx" in line]
        self.assertEqual(len(lines), 3, lines)
        for line in lines:
            for words in needed:
                self.assertIn(words, line)
        self.assertEqual(self.get("/", Sec_WebSocket_Version="13").status(), 200)


class MappedAddressTests(SiteTestCase):
    toml = RefusalTests.toml + '[[bots]]\nname = "none"\naccounts = [1]\n'

    def ask(self, address: str, **headers: str) -> Peer:
        """Ask for an action from an address."""
        build = self.site.buildProtocol

        def from_address(there: Any) -> Any:
            channel = build(there)
            made = channel.makeConnection

            def make(transport: Any) -> None:
                transport.peerAddress = IPv6Address("TCP", address, 1)
                made(transport)

            channel.makeConnection = make
            return channel

        self.patch(self.site, "buildProtocol", from_address)
        port = self.get("/get_status", **headers)
        self.patch(self.site, "buildProtocol", build)
        return port

    def test_loopback(self) -> None:
        """An IPv4-mapped address is judged as the IPv4 address that it is."""
        for address, status in (("::ffff:127.0.0.1", 200), ("::1", 200), ("::ffff:192.0.2.1", 403)):
            self.assertEqual(self.ask(address).status(), status, address)
        self.assertIn("address 192.0.2.1 is not loopback", self.ask("::ffff:192.0.2.1").body())
        self.assertEqual(self.ask("::1", Host="[::ffff:127.0.0.1]:8081").status(), 200)

    def test_failures(self) -> None:
        """Wrong tokens are counted for the IPv4 address; loopback is never limited."""
        most = self.service.config.limits.failed_handshakes
        for address, limited in (("::ffff:127.0.0.1", False), ("::ffff:192.0.2.1", True)):
            for _ in range(most + 1):
                port = self.ask(address, Authorization="Bearer no")
            self.assertEqual(port.status(), 503 if limited else 403)
        self.assertEqual(self.ask("192.0.2.1", Authorization="Bearer no").status(), 503)
