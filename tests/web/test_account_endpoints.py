"""Implementations' WebSockets and posts."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, globalLogPublisher

from lgtwist.onebot.auth import sign
from tests.web.site_case import Peer, SiteTestCase


class AccountEndpointsTests(SiteTestCase):
    toml = """
        [[accounts]]
        type = "reverse-websocket"
        self_id = 1
        access_token = "one"
        [[accounts]]
        type = "http"
        self_id = 2
        url = "http://127.0.0.1:1/"
        access_token = "two"
        dialect = "napcat"
        [[accounts]]
        type = "http"
        self_id = 3
        url = "http://127.0.0.1:1/"
        secret = "three"
        [[bots]]
        name = "x"
        access_token = "bot"
        [server]
        admin_token = "admin"
    """

    def post(self, body: bytes = b'{"post_type":"notice"}', **headers: str) -> Peer:
        return self.get("/onebot/v11/post", "POST", body, **headers)

    def test_posts(self) -> None:
        """401 without a signature, 403 with a wrong one or an unknown account, 400 for what is no event."""
        good = sign("three", b'{"post_type":"notice"}')
        self.assertEqual(self.post(X_Self_ID="3").status(), 401)
        self.assertEqual(self.post(X_Self_ID="3", X_Signature=good[:-1] + "x").status(), 403)
        self.assertEqual(self.post(X_Self_ID="4", X_Signature=good).status(), 403)
        self.assertEqual(self.post(X_Signature=good).status(), 400)
        self.assertEqual(self.get("/onebot/v11/post", X_Self_ID="3").status(), 405)
        for body in (b"", b"[]", b"{}", b"\xff", b'{"post_type":"notice","self_id":4}'):
            signed = {"X_Self_ID": "3", "X_Signature": sign("three", body)}
            self.assertEqual(self.post(body, **signed).status(), 400, body)

    def test_a_dialect_that_signs_with_the_token(self) -> None:
        """Where the configuration names it, an unsigned post is refused, whatever Host it names."""
        self.assertEqual(self.post(X_Self_ID="2").status(), 401)
        body = b'{"post_type":"notice"}'
        running = self.service.account_edge(2)
        running.running = 1
        self.assertEqual(self.post(body, X_Self_ID="2", X_Signature=sign("two", body)).status(), 204)
        running.running = 0
        self.assertEqual(self.post(body, X_Self_ID="2", X_Signature=sign("two", body)).status(), 503)

    def test_links(self) -> None:
        """401 without a token, 403 with a wrong one or an unknown account, 426 for a plain GET."""
        path = "/onebot/v11/ws"
        self.assertEqual(self.dial(path, X_Self_ID="1").status(), 401)
        self.assertEqual(self.dial(path, X_Self_ID="1", Authorization="Bearer bot").status(), 403)
        self.assertEqual(self.dial(path, X_Self_ID="9", Authorization="Bearer one").status(), 403)
        self.assertEqual(self.dial(path, X_Self_ID="2", Authorization="Bearer two").status(), 403)
        self.assertEqual(self.get(path, X_Self_ID="1", Authorization="Bearer one").status(), 426)
        self.assertEqual(self.dial(path, X_Self_ID="1", Authorization="Token one").status(), 101)

    def test_no_flood_of_lines(self) -> None:
        """However many accounts a peer invents, there are few lines."""
        seen: list[Any] = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        for number in range(100, 400):
            self.dial("/onebot/v11/ws", X_Self_ID=str(number))
        loud = [event for event in seen if event.get("log_level", LogLevel.debug) >= LogLevel.info]
        self.assertLess(len(loud), 25)
