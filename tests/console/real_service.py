"""The real service with a sandbox account and an admin token, for tests of the console's pages in a browser."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from tests.integration.running import PATIENCE, Service
from tests.processes import wait_until

__all__ = ["ACCOUNT", "TOKEN", "ConsoleService", "wait_until"]

#: The admin token; no word of a configuration is equal to it.
TOKEN = "console-test-token-0123456789"
#: The sandbox account.
ACCOUNT = 10001
#: A bot that may do all, without a token, and one that may change nothing and gets messages only.
BOTS = """
[[accounts]]
self_id = 10001
type = "sandbox"

[[bots]]
name = "helper"

[[bots]]
name = "reader"
access_token = "reader-test-token-0123456789"
actions = { deny = ["set_*"] }
events = { post_type = ["message"] }
"""


class ConsoleService(Service):
    """One lgtwist as a child process, on a free port of 127.0.0.1, with a world of Alice, Bob, Carol and a group.

    ``kill()`` and ``start()`` (with the same port, data and token) play a restart; ``clean_up()`` ends it.

    :param folder: where its configuration, data and log are; a temporary one if it is not given.
    :param toml: its accounts and bots.
    :param server: more lines for ``[server]``.
    """

    def __init__(self, folder: Path | None = None, toml: str = BOTS, server: str = "") -> None:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="lgtwist-console-"))
        super().__init__(folder, toml, f'admin_token = "{TOKEN}"\n{server}')

    @property
    def console(self) -> str:
        """The address of the console, with a slash at its end."""
        return f"http://127.0.0.1:{self.port}/console/"

    @property
    def login_link(self) -> str:
        """The link that logs in, as the service prints it."""
        return f"{self.console}#token={TOKEN}"

    def http(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """One HTTP request with the admin token; the status, and the body as JSON or else text."""
        return super().http(path, body, {"Authorization": f"Bearer {TOKEN}", **(headers or {})})

    def api(self, path: str, body: Any = None) -> Any:
        """Ask ``/console/api/``: GET, or POST where there is a body; the answer must have the status 200."""
        status, answer = self.http(f"/console/api/{path}", body)
        assert status == 200, (status, answer)
        return answer

    def call_action(self, action: str, account: int = ACCOUNT, **params: Any) -> dict[str, Any]:
        """Let a bot, ``helper``, carry out an action over HTTP; its response."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{account}/{action}",
            json.dumps(params).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            response: dict[str, Any] = json.load(answer)
        return response
