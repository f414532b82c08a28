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

#: Accounts of one lgtwist: the number, the end of ``url``, the token, and the event stream of each.
RIGHT, WRONG_TOKEN, WRONG_PREFIX, RIGHT_SSE, WRONG_TOKEN_SSE, WRONG_PREFIX_SSE = range(SELF_ID, SELF_ID + 6)
ACCOUNTS = [
    (RIGHT, "", YogurtProgram.token, "websocket"),
    (WRONG_TOKEN, "", "of-somebody-else", "websocket"),
    (WRONG_PREFIX, "/milky", YogurtProgram.token, "websocket"),
    (RIGHT_SSE, "/", YogurtProgram.token, "sse"),
    (WRONG_TOKEN_SSE, "", "of-somebody-else", "sse"),
    (WRONG_PREFIX_SSE, "/milky", YogurtProgram.token, "sse"),
]


class Inside:
    """Yogurt and lgtwist in a namespace of their own."""

    def __init__(self, folder: Path) -> None:
        self.namespace = Namespace(folder)
        try:
            self.yogurt = YogurtProgram(self.namespace, folder / "yogurt")
            toml = ["[limits]", 'ping_interval = "100ms"', 'ping_timeout = "600ms"']
            for number, end, token, stream in ACCOUNTS:
                toml += [
                    "[[accounts]]",
                    'type = "milky"',
                    f"self_id = {number}",
                    f'url = "{self.yogurt.url}{end}"',
                    f'access_token = "{token}"',
                    f'event_stream = "{stream}"',
                    'reconnect = { min = "100ms", max = "200ms" }',
                ]
            self.service = InsideService(self.namespace, folder / "service", "\n".join(toml))
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        if hasattr(self, "service"):
            self.service.clean_up()
        if hasattr(self, "yogurt"):
            self.yogurt.end()
        self.namespace.end()


class WithYogurt(SharedTestCase):
    """Tests that share one Yogurt: it holds nothing."""

    def start_shared(self, folder: Path) -> Inside:
        return Inside(folder)

    def setUp(self) -> None:
        super().setUp()
        self.yogurt: YogurtProgram = self.shared.yogurt
        self.service: InsideService = self.shared.service
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        for bad in ("Traceback", "Unhandled", YogurtProgram.token, "of-somebody-else"):
            self.assertNotIn(bad, self.service.log())


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

    def wait_reason(self, account: int, *words: str) -> None:
        """Wait until ``/readyz`` says why an account is down, in these words."""

        def said() -> bool:
            status, answer = self.service.http("/readyz")
            self.assertEqual(503, status)
            reasons = [one for one in answer["reasons"] if f"account {account} " in one]
            return bool(reasons) and all(word in reasons[0] for word in words)

        try:
            wait_until(f"account {account} is down: {words}", said)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.service.http('/readyz')}\n{self.service.log()}") from None

    def look_for_line(self, account: int, *words: str) -> None:
        """Find one line of the log about an account with these words."""
        lines = [line for line in self.service.log().splitlines() if f"account {account}:" in line]
        found = [line for line in lines if all(word in line for word in words)]
        self.assertEqual(1, len(found), "\n".join(lines))

    def test_a_wrong_token(self) -> None:
        for account in (WRONG_TOKEN, WRONG_TOKEN_SSE):
            self.wait_reason(account, "401")
            self.look_for_line(account, "401", "access_token")

    def test_a_wrong_prefix(self) -> None:
        for account in (WRONG_PREFIX, WRONG_PREFIX_SSE):
            self.wait_reason(account, "404")
            self.look_for_line(account, "404", "prefix")

    def test_not_logged_in(self) -> None:
        for account in (RIGHT, RIGHT_SSE):
            self.wait_reason(account, "not logged in", "-403")

    def test_pings_are_answered(self) -> None:
        """So the link stays, and is ended when they are answered no more."""
        self.wait_reason(RIGHT, "not logged in")
        self.yogurt.send_signal(signal.SIGSTOP)
        self.addCleanup(self.yogurt.send_signal, signal.SIGCONT)
        self.wait_reason(RIGHT, "silent")
        self.yogurt.send_signal(signal.SIGCONT)
        self.wait_reason(RIGHT, "not logged in")


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
