"""What the tests of the simulator share."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.implementations.running import Implementation
from tests.integration.running import PATIENCE

NAMES = ("onebot11", "lagrange", "napcat", "llbot", "go-cqhttp")


class Base(SynchronousTestCase):
    """One simulator per test, and short words for what the tests do with it."""

    accounts: list[dict[str, Any]] = []

    def setUp(self) -> None:
        self.implementation = self.started(self.accounts)

    def started(self, accounts: list[dict[str, Any]]) -> Implementation:
        made = Implementation(Path(self.mktemp()).absolute(), accounts)
        self.addCleanup(self._end, made)
        return made

    def _end(self, implementation: Implementation) -> None:
        implementation.end()
        self.assertNotIn("Traceback", implementation.log())

    def dial(self, self_id: int, path: str = "/", token: str | None = "t", **more: Any) -> ClientConnection:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        dialling = connect(
            f"ws://127.0.0.1:{self.implementation.port(self_id)}{path}",
            additional_headers={**headers, **more.pop("headers", {})},
            ping_interval=None,
            max_size=None,
            compression=None,
            close_timeout=2,
            **more,
        )
        stack = contextlib.ExitStack()
        client: ClientConnection = stack.enter_context(dialling)
        self.addCleanup(stack.close)
        return client

    def ask(self, client: ClientConnection, action: str, echo: Any = "1", **params: Any) -> dict[str, Any]:
        client.send(json.dumps({"action": action, "params": params, "echo": echo}))
        return self.answer(client)

    def frame(self, client: ClientConnection) -> Any:
        return json.loads(client.recv(PATIENCE))

    def answer(self, client: ClientConnection) -> dict[str, Any]:
        """The next frame that is no event."""
        while "post_type" in (frame := self.frame(client)):
            pass
        return dict(frame)

    def closed(self, client: ClientConnection) -> int:
        """Read to the end; the code that was received, 1006 for none."""
        with self.assertRaises(ConnectionClosed) as caught:
            while True:
                client.recv(PATIENCE)
        rcvd = caught.exception.rcvd
        return 1006 if rcvd is None else rcvd.code

    def refused(self, self_id: int, path: str = "/", **args: Any) -> int:
        with self.assertRaises(InvalidStatus) as caught:
            self.dial(self_id, path, **args)
        return caught.exception.response.status_code
