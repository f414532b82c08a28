"""The real service with a sandbox account and an admin token, for tests of the console's pages."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import BrowserTestCase, Visit, at_end
from tests.integration.running import PATIENCE, Service
from tests.processes import wait_until

__all__ = ["ACCOUNT", "TOKEN", "ConsoleService", "ConsoleTestCase", "wait_until"]

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
    """One lgtwist as a child process, on a free port of 127.0.0.1, with the sandbox's first world.

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

    def call_action(self, action: str, account: int = ACCOUNT, **params: Any) -> Any:
        """Let the bot ``helper`` carry out an action over HTTP; its response, or the text of a refusal."""
        headers = {"Content-Type": "application/json"}
        return super().http(f"/{account}/{action}", params, headers)[1]


#: The services that tests share, by their configuration, with their sandbox's first world.
_shared: dict[str, tuple[ConsoleService, Any]] = {}


class ConsoleTestCase(BrowserTestCase):
    """A test with a browser and a service, whose log must stay free of tracebacks and of its token.

    Tests with the same ``toml`` share the service; the sandbox's world is the first one again in each.

    :cvar shared: whether others may use the service; not where it is killed.
    """

    toml = BOTS
    shared = True

    def setUp(self) -> None:
        if not self.shared:
            self.service = ConsoleService(Path(self.mktemp()).absolute(), self.toml)
            self.addCleanup(self.service.clean_up)
        elif self.toml in _shared:
            self.service, world = _shared[self.toml]
            if world is not None:
                self._put_world(world)
        else:
            self.service = ConsoleService(Path(self.mktemp()).absolute(), self.toml)
            at_end(self.service.clean_up)
            has_sandbox = '"sandbox"' in self.toml
            world = self.service.http(f"/sandbox/{ACCOUNT}/world")[1] if has_sandbox else None
            _shared[self.toml] = self.service, world
        self.addCleanup(self._look_at_log)

    def _put_world(self, world: Any) -> None:
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            connection.request("PUT", f"/sandbox/{ACCOUNT}/world", json.dumps(world), headers)
            self.assertEqual(connection.getresponse().status, 200)
        finally:
            connection.close()

    def _look_at_log(self) -> None:
        log = self.service.log()
        for bad in ("Traceback", "Unhandled", TOKEN):
            self.assertNotIn(bad, log)

    def look(self, page: str, script: Callable[[Visit], Any], **options: Any) -> Deferred[Any]:
        """Log in and open a page (``traffic``), then call ``script``; see ``visit``."""
        self.subscribed: list[str] = []

        def finished(request: Any) -> None:
            if request.method == "POST" and "/console/api/stream/" in request.url:
                self.subscribed.append(str(request.post_data))

        def logged_in(visit: Visit) -> Any:
            visit.page.on("requestfinished", finished)
            answer = visit.context.request.post(f"{self.service.console}api/login", data={"token": TOKEN})
            assert answer.ok, answer.status
            visit.open(f"/{page}")
            visit.page.wait_for_selector(f"main.page-{page}")
            return script(visit)

        return self.visit(self.service.console, logged_in, **options)

    def wait_subscribed(self, visit: Visit, text: str) -> None:
        """Wait until the page's stream carries what it wants: its subscriptions have ``text`` in them."""

        def carries() -> bool:
            visit.page.wait_for_timeout(10)  # lets Playwright handle events
            return bool(self.subscribed) and text in self.subscribed[-1]

        wait_until(f"subscriptions with {text}", carries)
