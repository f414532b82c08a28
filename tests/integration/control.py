"""What the tests of the sandbox's HTTP control share."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from http.client import HTTPConnection, HTTPMessage
from typing import Any

from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, Service, ServiceTestCase, wait_until
from tests.integration.shared import SharedServiceTestCase

ALICE, BOB, CAROL, GROUP = 20001, 20002, 20003, 30001

SANDBOX = "/sandbox/10001"

NO_HEARTBEATS = '[limits]\nheartbeat_interval = "0s"\n'


class Control:
    """Talks HTTP, and attaches bots that hear no heartbeats. For a test case with a service."""

    service: Service
    addCleanup: Any
    assertEqual: Any
    assertTrue: Any
    toml = NO_HEARTBEATS

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, HTTPMessage, Any]:
        """One request: status, headers, and the body as JSON or else text."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=PATIENCE)
        try:
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, answer.headers, json.loads(text)
        except ValueError:
            return answer.status, answer.headers, text

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        """What a POST below the account is answered."""
        found, headers, answer = self.request("POST", f"{SANDBOX}/{path}", body)
        self.assertEqual(found, status, (path, body, answer))
        self.assertEqual(headers["Content-Type"], "application/json")
        if status != 200:
            self.assertTrue(answer["error"])
        return answer

    def bot(self, path: str = "/") -> RawClient:
        """An attached bot, its lifecycle read."""
        bot = RawClient(self.service, path)
        self.addCleanup(bot.socket.close)
        self.assertEqual(bot.message()["meta_event_type"], "lifecycle")
        return bot

    def kill_when_kept(self, kind: str, number: int) -> None:
        """Kill the service as soon as its world's file has so many records of a kind; start it again.

        As a rule they are there when what made them is answered; a busy disk may take longer than that waits.
        """
        path = self.service.folder / "data" / "sandbox-10001.sqlite"

        def kept() -> bool:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
                found = file.execute("SELECT count(*) FROM record WHERE kind = ?", (kind,)).fetchone()[0]
            return bool(found == number)

        wait_until(f"{number} x {kind} in {path.name}", kept)
        self.service.kill()
        self.service.start()

    def world(self) -> dict[str, Any]:
        """The overview."""
        status, _headers, answer = self.request("GET", SANDBOX)
        self.assertEqual(status, 200)
        return dict(answer)


class ControlTestCase(Control, ServiceTestCase):
    """Each test has a service of its own."""


class SharedControlTestCase(Control, SharedServiceTestCase):
    """The tests of a class share one service."""
