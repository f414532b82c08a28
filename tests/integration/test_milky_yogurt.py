"""Yogurt, a real implementation of Milky, in a network namespace of its own: it never logs in there.

So every call is answered with -403; what can be seen is all that comes before that.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from tests.integration.shared import SharedTestCase
from tests.milky.fake import FakeMilky
from tests.milky.namespaced import Namespace, YogurtProgram
from tests.milky.schema import APIS


class Inside:
    """Yogurt in its namespace."""

    def __init__(self, folder: Path) -> None:
        self.namespace = Namespace(folder)
        try:
            self.yogurt = YogurtProgram(self.namespace, folder / "yogurt")
        except BaseException:
            self.namespace.end()
            raise

    def end(self) -> None:
        self.yogurt.end()
        self.namespace.end()


class WithYogurt(SharedTestCase):
    """Tests that share one Yogurt: it holds nothing."""

    def start_shared(self, folder: Path) -> Inside:
        return Inside(folder)

    def setUp(self) -> None:
        super().setUp()
        self.namespace: Namespace = self.shared.namespace
        self.yogurt: YogurtProgram = self.shared.yogurt


class FakeBesideYogurt(WithYogurt):
    def test_the_fake_answers_as_yogurt_does(self) -> None:
        """Before a login: status, and body, of each kind of request."""
        fake = FakeMilky(Path(self.mktemp()), token=self.yogurt.token, habit="yogurt", logged_in=False)
        self.addCleanup(fake.end)
        asks = {"Authorization": f"Bearer {fake._switches['token']}", "Content-Type": "application/json"}
        wrong = {**asks, "Authorization": "Bearer wrong"}
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        upgrade["Sec-WebSocket-Key"] = "MDEyMzQ1Njc4OWFiY2RlZg=="
        requests: list[tuple[Any, ...]] = [("POST", f"/api/{api}", asks, "{}") for api in sorted(APIS)[::13]]
        requests += [
            ("POST", "/api/get_login_info", wrong, "{}"),
            ("POST", "/api/get_login_info", {"Content-Type": "application/json"}, "{}"),
            ("POST", f"/api/get_login_info?access_token={self.yogurt.token}", {**wrong}, "{}"),
            ("POST", "/prefix/api/get_login_info", asks, "{}"),
            ("POST", "/api/get_login_info/", asks, "{}"),
            ("GET", "/api/get_login_info", asks, None),
            ("POST", "/api/send_msg", asks, "{}"),
            ("GET", "/event", {"Authorization": "Bearer wrong"}, None),
            ("GET", "/event", {**upgrade}, None),
        ]
        for method, path, headers, body in requests:
            status, _headers, text = self.yogurt.request(method, path, headers, body)
            own_status, own_text = _request(fake.port, method, path, headers, body)
            self.assertEqual(status, own_status, (method, path, headers, text))
            if status == 200:
                self.assertEqual(_envelope(text), _envelope(own_text), path)
            self.assertEqual(bool(text), bool(own_text), (method, path, headers))


def _envelope(text: str) -> Any:
    answer = json.loads(text)
    return answer["status"], answer["retcode"], sorted(answer)


def _request(port: int, method: str, path: str, headers: dict[str, str], body: str | None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
