"""What docs/console.md shows of proxies is loaded by them, and the console works through it."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import trustme
from twisted.trial.unittest import SynchronousTestCase

from tests.frameworks.frameworks import not_available
from tests.integration.running import PATIENCE, ROOT, Service
from tests.processes import ChildProcess, free_port, inherited_environment
from tests.test_docs import Block, page

PAGES = ("docs/console.md", "docs/zh/console.md")
TOKEN = "token-for-the-console-behind-nginx"
_CONF = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{servers}
}}
"""


def program(name: str) -> str:
    """The path of a program; the test is skipped, or fails, where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        not_available(f"not installed: {name}")
    return found


def blocks_of(file: str, language: str) -> list[Block]:
    """The blocks of a language in a file of the documentation."""
    return [block for block in page(ROOT / file).blocks if block.language == language]


class ProxyFiles:
    """A configuration of nginx, made of what a page shows.

    :ivar root: the TLS port at whose root lgtwist is.
    :ivar below: the plain port below whose ``/lgtwist/`` it is.
    """

    def __init__(self, folder: Path, file: str, port: int) -> None:
        self.folder = folder.absolute()
        self.folder.mkdir()
        self.root, self.below = free_port(), free_port()
        authority = trustme.CA()
        certificate = authority.issue_cert("bots.example.org")
        certificate.private_key_pem.write_to_path(str(self.folder / "privkey.pem"))
        for chain in certificate.cert_chain_pems:
            chain.write_to_path(str(self.folder / "fullchain.pem"), append=True)
        servers = ""
        for block in blocks_of(file, "nginx"):
            text = block.text.replace("http://127.0.0.1:8081", f"http://127.0.0.1:{port}")
            text = text.replace("/etc/letsencrypt/live/bots.example.org", str(self.folder))
            text = re.sub(r"listen 443 ", f"listen 127.0.0.1:{self.root} ", text)
            if text.startswith("location"):
                text = f"server {{ listen 127.0.0.1:{self.below};\n{text}}}\n"
            servers += text
        self.conf = self.folder / "nginx.conf"
        self.conf.write_text(_CONF.format(folder=self.folder, servers=servers))
        self.command = [program("nginx"), "-c", str(self.conf), "-e", str(self.folder / "errors")]


class Proxy(ChildProcess):
    """nginx with these files."""

    name = "nginx of the documentation"

    def __init__(self, files: ProxyFiles) -> None:
        super().__init__(files.folder)
        self.files = files
        self.spawn(files.command, inherited_environment())
        self.wait_up("listens", self._listens)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.files.below), PATIENCE).close()
        except OSError:
            return False
        return True


class ProxyDocumentationTests(SynchronousTestCase):
    def test_nginx_loads_what_is_shown(self) -> None:
        """``nginx -t`` finds no mistake, in either language."""
        for file in PAGES:
            self.assertEqual(len(blocks_of(file, "nginx")), 2, file)
            files = ProxyFiles(Path(self.mktemp()), file, 8081)
            done = subprocess.run(
                [*files.command, "-t"], capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            self.assertEqual(done.returncode, 0, f"{file}: {done.stderr}")

    def test_caddy_loads_what_is_shown(self) -> None:
        """``caddy adapt`` finds no mistake, where it is installed."""
        caddy = shutil.which("caddy")
        for file in PAGES:
            [block] = blocks_of(file, "caddyfile")
            if caddy is not None:
                conf = Path(self.mktemp())
                conf.write_text(block.text)
                command = [caddy, "adapt", "--adapter", "caddyfile", "--config", str(conf)]
                done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
                self.assertEqual(done.returncode, 0, f"{file}: {done.stderr}")


class BehindDocumentedProxyTests(SynchronousTestCase):
    """The service behind nginx, at the root by TLS and below a path."""

    def setUp(self) -> None:
        toml = '[[accounts]]\nself_id = 10001\n[[bots]]\nname = "bot"\naccess_token = "bot-behind-nginx"\n'
        folder = Path(self.mktemp())
        files = ProxyFiles(Path(self.mktemp()), PAGES[0], free_port())  # skips before anything is started
        self.service = Service(folder, toml, f'admin_token = "{TOKEN}"')
        self.addCleanup(self.service.clean_up)
        files.conf.write_text(
            re.sub(
                r"(proxy_pass http://127\.0\.0\.1:)\d+", rf"\g<1>{self.service.port}", files.conf.read_text()
            )
        )
        self.proxy = Proxy(files)
        self.addCleanup(self.proxy.end)

    def ask(
        self, secure: bool, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, str]:
        """Send a request as a browser does that has this address.

        Return the status, headers and body of the answer, or of a
        stream its first line.
        """
        files = self.proxy.files
        if secure:
            trusting = ssl._create_unverified_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", files.root, timeout=PATIENCE, context=trusting
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", files.below, timeout=PATIENCE)
            path = f"/lgtwist{path}"
        self.addCleanup(connection.close)
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), wanted)
        answer = connection.getresponse()
        self.assertNotIn("Location", answer.headers, "a redirect would leave the path")
        if answer.status == 101:
            text = ""
        elif "text/event-stream" in answer.headers.get("Content-Type", ""):
            text = answer.readline().decode()  # its end never comes
        else:
            text = answer.read().decode()
        return answer.status, answer.headers, text

    def check(self, secure: bool) -> None:
        """Load the page, log in, and read the stream."""
        files = self.proxy.files
        origin = f"https://127.0.0.1:{files.root}" if secure else f"http://127.0.0.1:{files.below}"
        for path in ("/console", "/console/"):
            status, _headers, text = self.ask(secure, "GET", path)
            self.assertEqual(status, 200)
        scripts = re.findall(r'src="([^"]+)"', text)
        self.assertTrue(scripts, text)
        for script in scripts:
            self.assertEqual(self.ask(secure, "GET", f"/console/{script}")[0], 200, script)
        login = {"token": TOKEN}
        status, headers, text = self.ask(secure, "POST", "/console/api/login", login, Origin=origin)
        self.assertEqual(status, 200, text)
        cookie = headers["Set-Cookie"]
        self.assertEqual("; Secure" in cookie, secure, cookie)
        self.assertNotIn("Path", cookie)
        status, _headers, text = self.ask(
            secure, "POST", "/console/api/login", login, Origin="https://evil.example"
        )
        self.assertEqual((status, json.loads(text)["error"]["code"]), (403, "foreign_origin"))
        mine = cookie.partition(";")[0]
        status, _headers, first = self.ask(secure, "GET", "/console/api/stream?topics=links", Cookie=mine)
        self.assertEqual((status, first), (200, "event: hello\n"), "it is held back")
        status, headers, _text = self.ask(
            secure, "GET", "/", Authorization="Bearer bot-behind-nginx", Connection="Upgrade",
            Upgrade="websocket", Sec_WebSocket_Version="13", Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        self.assertEqual((status, headers.get("Upgrade", "").lower()), (101, "websocket"))

    def test_at_the_root_by_tls(self) -> None:
        """The first block: the cookie is Secure, the stream is not held back, bots connect."""
        self.check(secure=True)

    def test_below_a_path(self) -> None:
        """The second block: the same below ``/lgtwist/``."""
        self.check(secure=False)
