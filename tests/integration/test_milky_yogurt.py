"""Yogurt, a real implementation of Milky, in a network namespace of its own: it never logs in there.

So every call is answered with -403; what can be seen is all that comes before that.
"""

from __future__ import annotations

import http.client
import json
import signal
from pathlib import Path
from typing import Any

from tests.integration.shared import SharedTestCase
from tests.milky.fake import FakeMilky
from tests.milky.namespaced import SELF_ID, InsideService, Namespace, YogurtProgram
from tests.milky.schema import APIS
from tests.processes import wait_until


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


class BesideYogurt(WithYogurt):
    """lgtwist in the same namespace."""

    def start_service(self, url: str = "", token: str = YogurtProgram.token, *lines: str) -> InsideService:
        toml = "\n".join(
            [
                "[limits]",
                'ping_interval = "100ms"',
                'ping_timeout = "600ms"',
                "[[accounts]]",
                'type = "milky"',
                f"self_id = {SELF_ID}",
                f'url = "{url or self.yogurt.url}"',
                f'access_token = "{token}"',
                'reconnect = { min = "100ms", max = "200ms" }',
                *lines,
                "[[bots]]",
                'name = "bot"',
            ]
        )
        service = InsideService(self.namespace, Path(self.mktemp()), toml)
        self.addCleanup(self._end, service)
        return service

    def _end(self, service: InsideService) -> None:
        service.clean_up()
        for bad in ("Traceback", "Unhandled", YogurtProgram.token):
            self.assertNotIn(bad, service.log())

    def wait_reason(self, service: InsideService, *words: str) -> None:
        """Wait until ``/readyz`` says why the account is down, in these words."""

        def said() -> bool:
            status, answer = service.http("/readyz")
            self.assertEqual(503, status)
            return all(word in " ".join(answer["reasons"]) for word in words)

        wait_until(f"the account is down: {words}", said)

    def wait_logged(self, service: InsideService, *words: str, times: int = 1) -> None:
        """Wait until the log has so many lines with these words."""

        def logged() -> bool:
            lines = [line for line in service.log().splitlines() if all(word in line for word in words)]
            return len(lines) >= times

        try:
            wait_until(f"the log says {words}", logged)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{service.log()}") from None

    def test_a_wrong_token(self) -> None:
        service = self.start_service(token="of-somebody-else")
        self.wait_reason(service, "401")
        self.wait_logged(service, "401", "access_token")

    def test_a_wrong_prefix(self) -> None:
        service = self.start_service(f"{self.yogurt.url}/milky")
        self.wait_reason(service, "404")
        self.wait_logged(service, "404", "prefix")

    def test_not_logged_in(self) -> None:
        service = self.start_service()
        self.wait_reason(service, "not logged in", "-403")

    def test_not_logged_in_by_server_sent_events(self) -> None:
        service = self.start_service("", YogurtProgram.token, 'event_stream = "sse"')
        self.wait_reason(service, "not logged in", "-403")
        service = self.start_service("", "of-somebody-else", 'event_stream = "sse"')
        self.wait_reason(service, "401")
        service = self.start_service(f"{self.yogurt.url}/milky", YogurtProgram.token, 'event_stream = "sse"')
        self.wait_reason(service, "404")

    def test_pings_are_answered(self) -> None:
        """So the link stays, and is ended when they are answered no more."""
        service = self.start_service()
        self.wait_reason(service, "not logged in")
        self.yogurt.send_signal(signal.SIGSTOP)
        self.addCleanup(self.yogurt.send_signal, signal.SIGCONT)
        self.wait_reason(service, "silent")
        self.yogurt.send_signal(signal.SIGCONT)
        self.wait_reason(service, "not logged in")


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
