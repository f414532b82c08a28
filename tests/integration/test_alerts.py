"""A person is told that an account went offline, and that it came back: a real service, a real receiver."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lgtwist.onebot.auth import sign
from tests.integration.rawclient import RawClient
from tests.integration.running import ServiceTestCase, wait_until
from tests.integration.webhooks import metric

IMPLEMENTATION = {"Authorization": "Bearer token-of-impl", "X-Self-ID": "5", "X-Client-Role": "Universal"}
PATH = "/hook/s3cret-path-0001"
#: The receiver of the second entry keeps silent.
TOML = """
[[accounts]]
type = "reverse-websocket"
self_id = 5
access_token = "token-of-impl"
[[bots]]
name = "first"
access_token = "token-of-first"
[limits]
heartbeat_interval = "0s"
[[alerts]]
kind = "webhook"
url = "http://127.0.0.1:{port}{path}"
secret = "webhook-5ecret-0002"
on = ["offline"]
after = "1s"
[[alerts]]
kind = "webhook"
url = "http://127.0.0.1:{port}{path}/slow"
on = ["offline"]
after = "1s"
language = "en"
template = '{{"say": "{{title}}", "recovered": {{recovered}}}}'
"""


class AlertReceiver:
    """A web server that takes alerts.

    :ivar posts: by path the bodies as JSON.
    :ivar signed: whether each signature was right.
    """

    def __init__(self) -> None:
        self.posts: dict[str, list[Any]] = {PATH: [], f"{PATH}/slow": []}
        self.signed: list[bool] = []
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts[self.path].append(json.loads(body))
                if self.path.endswith("/slow"):
                    receiver.released.wait(60)
                else:
                    expected = sign("webhook-5ecret-0002", body)
                    receiver.signed.append(self.headers["X-Signature"] == expected)
                with contextlib.suppress(OSError):  # nobody waits for the slow one any more
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def end(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


class AlertTests(ServiceTestCase):
    def setUp(self) -> None:
        self.receiver = AlertReceiver()
        self.addCleanup(self.receiver.end)
        self.toml = TOML.format(port=self.receiver.port, path=PATH)
        super().setUp()

    def come(self) -> RawClient:
        """The implementation connects, and the account is online."""
        link = RawClient(self.service, "/onebot/v11/ws", IMPLEMENTATION)
        self.addCleanup(link.socket.close)
        asked = link.message()
        self.assertEqual(asked["action"], "get_login_info")
        data = {"user_id": 5, "nickname": "five"}
        link.send(json.dumps({"status": "ok", "retcode": 0, "data": data, "echo": asked["echo"]}))
        wait_until("the account is online", self.service.ready)
        return link

    def test_offline_and_back(self) -> None:
        """Two signed messages while another receiver is silent; no secret is logged; it stops at once."""
        link = self.come()
        posts = self.receiver.posts[PATH]
        link.socket.close()
        wait_until("it is told", lambda: len(posts) == 1)
        self.come()
        wait_until("the end is told", lambda: len(posts) == 2)
        wait_until("both are looked at", lambda: len(self.receiver.signed) == 2)
        self.assertEqual(self.receiver.signed, [True, True])
        first, second = posts
        self.assertEqual(first["title"], "[lgtwist] 账号 5 离线")
        self.assertEqual((first["event"], first["account"], first["recovered"]), ("offline", 5, False))
        self.assertLess(abs(first["since"] - time.time()), 30)
        self.assertEqual((second["title"], second["recovered"]), ("[lgtwist] 账号 5 已恢复在线", True))
        wait_until("the slow one is told", lambda: self.receiver.posts[f"{PATH}/slow"])
        self.assertEqual(
            self.receiver.posts[f"{PATH}/slow"],
            [{"say": "[lgtwist] Account 5 is offline", "recovered": False}],
        )
        labels = {"kind": "webhook", "outcome": "accepted"}
        wait_until(
            "both are counted", lambda: metric(self.service, "alert_deliveries_total", **labels) == 2.0
        )
        began = time.monotonic()
        self.service.stop(signal.SIGTERM, 10)
        self.assertLess(time.monotonic() - began, 8)
        said = "\n".join([self.service.log(), *self.service.answers])
        for secret in (PATH, "s3cret-path-0001", "webhook-5ecret-0002"):
            self.assertNotIn(secret, said)
