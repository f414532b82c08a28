"""The simulator by HTTP: its API, and its posts."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
import urllib.error
import urllib.request
from typing import Any

from tests.implementations.simulator_case import NAMES, Base
from tests.integration.running import wait_until


class HttpTests(Base):
    def setUp(self) -> None:
        self.posted: list[tuple[dict[str, str], bytes]] = []
        self.status, self.reply = 204, b""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((dict(self.headers.items()), body))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.reply)))
                self.end_headers()
                self.wfile.write(outer.reply)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.post_url = f"http://127.0.0.1:{server.server_address[1]}/onebot/v11/post"
        fixed = {"transport": "http", "post_url": self.post_url, "token": "t", "secret": "s"}
        self.accounts = [
            {"self_id": 20001 + at, "dialect": name, "heartbeat_ms": 0, "retry_ms": 10, **fixed}
            for at, name in enumerate(NAMES)
        ]
        super().setUp()

    def call(
        self, self_id: int, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        given = {"Authorization": "Bearer t", "Content-Type": "application/json"}
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        url = f"http://127.0.0.1:{self.implementation.port(self_id)}{path}"
        request = urllib.request.Request(url, data, given if headers is None else headers)
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                status, text = refused.code, refused.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def test_actions(self) -> None:
        """A known action, an unknown one, and a bad body."""
        unknown = {"onebot11": (404, 1404), "llbot": (404, 404), "napcat": (200, 200)}
        for at, name in enumerate(NAMES):
            self_id = 20001 + at
            status, answer = self.call(self_id, "/get_login_info")
            self.assertEqual((status, answer["data"]["user_id"]), (200, self_id))
            self.assertEqual("echo" in answer, name in ("lagrange", "napcat"))
            status, answer = self.call(self_id, "/no_such")
            self.assertEqual((status, answer["retcode"]), unknown.get(name, (200, 404)), name)
        self.assertEqual(self.implementation.violations(), {})
        self.assertEqual(len(self.implementation.received(20001)), 2)
        for at, name in enumerate(NAMES):
            if name == "lagrange":
                with self.assertRaises(TimeoutError):
                    self.call(20001 + at, "/get_status", b"{")
            else:
                self.assertEqual(self.call(20001 + at, "/get_status", b"{")[0], 400)

    def test_tokens(self) -> None:
        statuses = [(401, 403), (401, 403), (403, 403), (403, 403), (401, 403)]
        for at, expected in enumerate(statuses):
            json_type = {"Content-Type": "application/json"}
            wrong = {**json_type, "Authorization": "Bearer no"}
            got = [self.call(20001 + at, "/get_status", headers=given)[0] for given in (json_type, wrong)]
            self.assertEqual(tuple(got), expected)

    def test_posts(self) -> None:
        """Header spelling and signature over the bytes as sent."""
        for at, name in enumerate(NAMES):
            self_id = 20001 + at
            self.implementation.control(self_id, "event", event={"post_type": "notice", "text": "测试"})
            wait_until("it is posted", lambda at=at: self._of(20001 + at))
            headers, body = self._of(self_id)[-1]
            node = name in ("napcat", "llbot")
            self.assertIn("x-self-id" if node else "X-Self-ID", headers)
            signature = hmac.new(b"s", body, hashlib.sha1).hexdigest()
            self.assertEqual(headers["x-signature" if node else "X-Signature"], f"sha1={signature}")
            self.assertEqual("X-API-Port" in headers, name == "go-cqhttp")
            wait_until("204", lambda self_id=self_id: self._statuses(self_id)[-1:] == [204])
        first = [json.loads(self._of(self_id)[0][1]) for self_id in range(20001, 20006)]
        kinds = [one.get("sub_type") for one in first]
        self.assertEqual(kinds, ["enable", "connect", None, None, None])

    def _of(self, self_id: int) -> list[tuple[dict[str, str], bytes]]:
        return [one for one in self.posted if json.loads(one[1])["self_id"] == self_id]

    def _statuses(self, self_id: int) -> list[Any]:
        return list(self.implementation.state(self_id)["post_statuses"])

    def test_answers_to_posts(self) -> None:
        """A quick operation is kept, text is a violation, go-cqhttp tries again."""
        self.status, self.reply = 200, b'{"reply":"x"}'
        self.implementation.control(20003, "event", event={})
        wait_until("answered", lambda: self._statuses(20003) == [200])
        self.assertEqual(self.implementation.state(20003)["posts"][0]["body"], '{"reply":"x"}')
        self.reply = b"OK"
        self.implementation.control(20003, "event", event={})
        wait_until("answered", lambda: self._statuses(20003) == [200, 200])
        self.assertIn("no JSON object", self.implementation.violations()["20003"][0])
        self.status = 500
        self.implementation.control(20005, "event", event={})
        wait_until("four tries", lambda: self._statuses(20005) == [500] * 4)

    def test_modes(self) -> None:
        for mode in ("rst_on_action", "drop_mid_answer", "close_on_action"):
            self.implementation.control(20001, "answers", mode=mode, times=1)
            with self.assertRaises(Exception):  # noqa: B017
                self.call(20001, "/get_status")
        self.implementation.control(20001, "answers", mode="failed", times=1, retcode=9)
        self.assertEqual(self.call(20001, "/get_status")[1]["retcode"], 9)
        self.implementation.control(20001, "refuse", status=502)
        self.assertEqual(self.call(20001, "/get_status")[0], 502)
        self.implementation.control(20001, "refuse", how="port")
        with self.assertRaises(OSError):
            self.call(20001, "/get_status")
        self.implementation.control(20001, "accept_again")
        self.assertEqual(self.call(20001, "/get_status")[0], 200)
