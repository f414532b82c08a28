"""The console's pages behind nginx, under TLS, with the lines that docs/console.md shows."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, Visit, unavailable
from tests.console.real_service import TOKEN
from tests.console.test_faults import FAILED_REQUESTS, LOST, FaultTestCase, texts, until, watch
from tests.integration.certificates import Authority
from tests.processes import PATIENCE, ROOT, ChildProcess, free_port, inherited_environment
from tests.test_docs import page as documentation

#: A proxy as many have it: what is not said is nginx's default.
_BARE = "location / { proxy_pass http://127.0.0.1:8081; }"
_CONF = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ }}
http {{
    access_log {folder}/access; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    ssl_certificate {chain}; ssl_certificate_key {key};
    server {{
        listen 127.0.0.1:{port} ssl;
        {location}
    }}
}}
"""


def _documented() -> list[str]:
    """The two blocks of docs/console.md: a whole server, and a location below a path."""
    blocks = documentation(ROOT / "docs" / "console.md").blocks
    return [block.text for block in blocks if block.language == "nginx"]


class TlsNginx(ChildProcess):
    """nginx under TLS in front of a service.

    :param location: what its ``server`` has, with 8081 for the service's port.
    """

    name = "nginx"

    def __init__(self, folder: Path, service_port: int, location: str) -> None:
        super().__init__(folder)
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise unavailable("nginx is not installed")
        self.port = free_port()
        shown = Authority(self.folder / "ca").issue("127.0.0.1")
        conf = self.folder / "nginx.conf"
        conf.write_text(
            _CONF.format(
                folder=self.folder,
                chain=shown.chain,
                key=shown.key,
                port=self.port,
                location=location.replace("8081", str(service_port)),
            )
        )
        self.spawn([program, "-c", str(conf), "-e", str(self.folder / "errors")], inherited_environment())
        self.wait_up("listens", self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
            return True
        return False


class NginxTests(FaultTestCase):
    def behind(
        self, location: str, path: str, script: Callable[[Visit, TlsNginx], None], **options: Any
    ) -> Deferred[Any]:
        """Look at the console through nginx; the test fails where a request leaves nginx's address."""
        nginx = TlsNginx(Path(self.mktemp()).absolute(), self.service.port, location)
        self.addCleanup(nginx.end)
        url = f"https://127.0.0.1:{nginx.port}{path}console/"

        def look(visit: Visit) -> None:
            visit.url, visit.host = url, urlsplit(url).netloc
            script(visit, nginx)
            self.assertNotIn(TOKEN, (nginx.folder / "access").read_text())

        return self.look(look, ignore_https_errors=True, **options)

    def works(self, visit: Visit, path: str) -> None:
        """Log in by the link; what happens is seen at once; the session lives on."""
        answers: list[tuple[int, str]] = []
        visit.context.on("response", lambda response: answers.append((response.status, response.url)))
        page = visit.open(f"token={TOKEN}")
        page.wait_for_selector("main.page")
        [cookie] = visit.context.cookies()
        self.assertEqual(
            {name: cookie[name] for name in ("name", "path", "secure", "httpOnly", "sameSite")},
            {
                "name": "lgtwist_console",
                "path": f"{path}console/api",
                "secure": True,
                "httpOnly": True,
                "sameSite": "Strict",
            },
        )
        watch(page)
        for number in range(3):
            self.service.say(20001, f"through nginx {number}")
            # Where nginx holds the stream back, it does so until it has some KB.
            until(page, f"window.seen.entries.some(each => each.message?.raw_message.endsWith(' {number}'))")
        self.assertEqual(len(texts(page)), 3)

        def refused() -> list[tuple[int, str]]:
            """All answers but those to what was asked of a stream while it was closed by logging out."""
            return [
                each
                for each in answers
                if each[0] != 200 and not (each[0] in (401, 404) and "/stream" in each[1])
            ]

        # A change by the page: logging in and the stream's subscriptions were, and this is another.
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Admin token").fill(TOKEN)
        page.get_by_role("button", name="Log in", exact=True).click()
        page.wait_for_selector("main.page")
        page.reload()
        page.wait_for_selector("main.page")
        page.wait_for_selector(LOST, state="detached")
        self.assertEqual(refused(), [])
        self.assertGreater(len(answers), 20)
        # Without a slash at its end it is the same page, without a redirect to another port or scheme.
        page.goto(visit.url[:-1])
        page.wait_for_selector("main.page")
        self.assertEqual(refused(), [])

    def test_at_the_root(self) -> Deferred[Any]:
        """As docs/console.md shows it."""
        location = "location" + _documented()[0].partition("location")[2].rpartition("}")[0]
        return self.behind(location, "/", lambda visit, _nginx: self.works(visit, "/"))

    def test_at_a_path(self) -> Deferred[Any]:
        """Below a prefix, as docs/console.md shows it."""
        path, location = "/lgtwist/", _documented()[1]
        return self.behind(location, path, lambda visit, _nginx: self.works(visit, path), width=NARROW)

    def test_without_host(self) -> Deferred[Any]:
        """The login page says what is to be done, and stays."""

        def script(visit: Visit, _nginx: TlsNginx) -> None:
            visit.allowed.append(FAILED_REQUESTS)
            page = visit.open()
            page.get_by_label("Admin token").fill(TOKEN)
            page.get_by_role("button", name="Log in", exact=True).click()
            page.get_by_text("allowed_origins", exact=False).first.wait_for()
            text = page.inner_text("main")
            self.assertIn("Host", text)
            self.assertEqual(visit.context.cookies(), [])

        return self.behind(_BARE, "/", script)
