"""The listening port behind nginx, and asked by curl: real programs that read and write HTTP."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration.rawclient import HandshakeRefused, RawClient
from tests.integration.running import PATIENCE
from tests.integration.shared import SharedServiceTestCase
from tests.processes import ChildProcess, free_port, inherited_environment

_TOKEN = ("-H", "Authorization: Bearer bot")
_CONF = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ }}
http {{
    access_log off; client_max_body_size 64m; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    large_client_header_buffers 4 64k;
    server {{
        listen 127.0.0.1:{plain};
        location / {{ proxy_pass http://127.0.0.1:{port}; }}
    }}
    server {{
        listen 127.0.0.1:{right};
        location / {{
            proxy_pass http://127.0.0.1:{port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
        }}
    }}
}}
"""


class Nginx(ChildProcess):
    """nginx in front of a service.

    :ivar plain: the port of a ``proxy_pass`` and nothing else.
    :ivar right: the port of one with the lines that the service's answer names.
    """

    name = "nginx"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self.plain, self.right = free_port(), free_port()
        conf = self.folder / "nginx.conf"
        conf.write_text(_CONF.format(folder=self.folder, plain=self.plain, right=self.right, port=port))
        command = [find("nginx"), "-c", str(conf), "-e", str(self.folder / "errors")]
        self.spawn(command, inherited_environment())
        self.wait_up("listens", self._listens)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.right), PATIENCE).close()
        except OSError:
            return False
        return True


def find(program: str) -> str:
    """The path of a program; the test is skipped where it is not installed."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise SkipTest(f"{program} is not installed")
    return path


class ProgramTests(SharedServiceTestCase):
    toml = """
        [[accounts]]
        self_id = 10001
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10002
        access_token = "account"
        [[bots]]
        name = "bot"
        access_token = "bot"
        accounts = [10001]
        """

    def curl(self, port: int, path: str, *options: str, body: bytes | None = None) -> tuple[int, Any]:
        """Ask by curl; the status and the response."""
        done = subprocess.run(
            [find("curl"), "-sS", "-g", "-m", str(PATIENCE), "-w", "\n%{http_code}",
             *options, f"http://127.0.0.1:{port}{path}"],
            input=body, capture_output=True, timeout=PATIENCE + 5, check=True, env=inherited_environment(),
        )  # fmt: skip
        text, _newline, status = done.stdout.rpartition(b"\n")
        return int(status), json.loads(text)

    def said(self, port: int, path: str, *options: str, body: bytes | None = None) -> str:
        """Let the bot say something by curl; what it said."""
        status, answer = self.curl(port, path, *_TOKEN, *options, body=body)
        self.assertEqual((status, answer["status"]), (200, "ok"), answer)
        [message] = self.service.transcript(after=answer["data"]["message_id"] - 1)
        return str(message["raw_message"])

    def as_sent(self, port: int) -> None:
        """Check what curl sends of itself, at the service's port or a proxy's."""
        to = "/send_private_msg?user_id=20001"
        segments = '[{"type":"text","data":{"text":"你好"}}]'
        self.assertEqual(self.said(port, f"{to}&message=你好"), "你好")
        self.assertEqual(self.said(port, "/send_private_msg", "-d", "user_id=20001&message=你好"), "你好")
        self.assertEqual(self.said(port, to, "-d", f"message={segments}"), "你好")
        self.assertEqual(
            self.said(port, "/send_private_msg", "-d", '{"user_id":20001,"message":"a&b"}'), "a&amp;b"
        )
        long = "字" * 10_000
        self.assertEqual(self.said(port, f"{to}&message={long}"), long)
        body = json.dumps({"message": "x" * 2_000_000}).encode()
        as_json = ("-H", "Content-Type: application/json", "--data-binary", "@-")
        for more in ((), ("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked"), ("-0",)):
            self.assertEqual(len(self.said(port, to, *as_json, *more, body=body)), 2_000_000)
        for status, options in (
            (401, ()),
            (405, ("-X", "DELETE", *_TOKEN)),
            (406, ("-F", "message=x", *_TOKEN)),
            (415, ("-H", "Content-Encoding: gzip", "-d", "x", *_TOKEN)),
        ):
            asked, answer = self.curl(port, to, *options)
            self.assertEqual((asked, answer["status"]), (status, "failed"))
            self.assertTrue(answer["message"])

    def test_curl(self) -> None:
        """What curl sends is read, and large bodies do not wait for a 100 that never comes."""
        self.as_sent(self.service.port)

    def test_nginx(self) -> None:
        """Behind nginx the HTTP API is the same, and WebSockets are told what they lack."""
        nginx = Nginx(Path(self.mktemp()).absolute(), self.service.port)
        self.addCleanup(nginx.end)
        self.as_sent(nginx.plain)
        bot, account = (
            {"Authorization": "Bearer bot"},
            {"Authorization": "Bearer account", "X-Self-ID": "10002"},
        )
        for path, headers in (("/", bot), ("/event", bot), ("/onebot/v11/ws", account)):
            with self.assertRaises(HandshakeRefused) as caught:
                RawClient(None, path, headers, port=nginx.plain)
            self.assertEqual(caught.exception.status, 426)
            self.assertIn("proxy_set_header Upgrade $http_upgrade;", caught.exception.body)
            with RawClient(None, path, headers, port=nginx.right) as client:
                if headers is bot:
                    self.assertEqual(client.event()["meta_event_type"], "lifecycle")
        self.assertEqual(self.service.log().count("proxy_set_header Upgrade $http_upgrade;"), 1)
