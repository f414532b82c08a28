"""``lgtwist alert-test`` as a process, beside a running service and without one; the receivers are ours."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.running import Service
from tests.integration.test_command import CommandTestCase
from tests.processes import ROOT
from tests.test_docs import page

TOKEN = "token-of-the-alerts-0123456789"
SECRET = "secret-of-the-webhook-0123456789"


class _Handler(BaseHTTPRequestHandler):
    """Notes each request; refuses what is posted to ``/hook/refused``, as Feishu does."""

    server: Receivers

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), body))
        answer = {"code": 19021, "msg": "sign match fail"} if "refused" in self.path else {"ok": True}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Receivers(ThreadingHTTPServer):
    """Takes messages on a free port of 127.0.0.1, in a thread.

    :ivar received: the path, the headers and the body of each.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()


class AlertTestCommandTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.receivers = Receivers()
        self.addCleanup(self.receivers.end)
        self.host = f"127.0.0.1:{self.receivers.server_address[1]}"
        self.toml = (
            f'[[alerts]]\nkind = "webhook"\nurl = "http://{self.host}/one?key=of-the-url"\n'
            f'secret = "{SECRET}"\n'
            f'[[alerts]]\nkind = "feishu"\nurl = "http://{self.host}/hook/refused-0123456789"\n'
            'language = "en"\n'
        )
        self.lines = [
            f'alerts[0] webhook {self.host}: accepted (HTTP 200: {{"ok": true}})',
            f"alerts[1] feishu {self.host}: not accepted",
        ]

    def alert_test(self, config: Path, *args: object) -> tuple[int, list[str], str]:
        """Its exit status, the lines that it printed, and what is on stderr."""
        ended = self.run_to_end("alert-test", "--config", config, *args)
        for secret in (TOKEN, SECRET, "of-the-url", "refused-0123456789"):
            self.assertNotIn(secret, ended.stdout + ended.stderr)
        self.assertNotIn("Traceback", ended.stderr)
        return ended.returncode, ended.stdout.splitlines(), ended.stderr

    def check(self, config: Path) -> None:
        """All entries, one that accepts, one that refuses, one that there is not."""
        status, lines, errors = self.alert_test(config)
        self.assertEqual((status, errors), (1, ""), lines)
        self.assertEqual(len(lines), 2, lines)
        self.assertEqual(lines[0], self.lines[0])
        self.assertTrue(lines[1].startswith(self.lines[1]), lines)
        self.assertIn("sign match fail", lines[1])
        (path, headers, body), _second = self.receivers.received
        self.assertEqual(path, "/one?key=of-the-url")
        self.check_body(headers, body)
        self.receivers.received.clear()

    def check_body(self, headers: dict[str, str], body: bytes) -> None:
        """It is what docs/alerts.md says, and its verification of signatures accepts it, and no other."""
        documented = page(ROOT / "docs" / "alerts.md")
        [shown] = [json.loads(block.text) for block in documented.blocks if block.language == "json"]
        sent = json.loads(body)
        self.assertEqual(sent.keys(), shown.keys())
        self.assertEqual((sent["event"], sent["alerts"]), ("test", []))
        [code] = [block.text for block in documented.blocks if block.language == "python"]
        names: dict[str, Any] = {}
        exec(code, names)
        verify = names["is_from_lgtwist"]
        self.assertTrue(verify(SECRET, body, headers["X-Signature"]))
        self.assertFalse(verify(SECRET, body + b" ", headers["X-Signature"]))
        self.assertFalse(verify("another", body, headers["X-Signature"]))
        self.assertFalse(verify(SECRET, body, "sha1=ü"))

    def test_by_the_running_service(self) -> None:
        """The service sends them; they are in its list. It says where the file has other entries."""
        service = Service(self.folder / "service", self.toml, f'admin_token = "{TOKEN}"')
        self.addCleanup(service.clean_up)
        self.check(service.config_path)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        _status, state = service.http("/console/api/alerts", headers=headers)
        self.assertEqual([one["index"] for one in state["deliveries"]], [1, 0])
        source = service.config_path.read_text()
        service.config_path.write_text(f"{source}{self.toml}")
        status, lines, errors = self.alert_test(service.config_path, 0)
        self.assertEqual((status, len(lines)), (0, 1))
        self.assertIn("the running lgtwist has 2 [[alerts]], the file 4", errors)
        service.config_path.write_text(source.replace(TOKEN, "a-token-that-is-not-taken-yet"))
        status, lines, errors = self.alert_test(service.config_path)
        self.assertEqual((status, lines), (1, []))
        self.assertIn("the running lgtwist answers 403", errors)
        service.config_path.write_text(source.replace("[server]", "[console]\nenabled = false\n[server]"))
        self.receivers.received.clear()
        status, lines, errors = self.alert_test(service.config_path, 0)
        self.assertEqual((status, len(lines), len(self.receivers.received)), (0, 1, 1))
        self.assertIn("its console is off", errors)

    def test_by_itself(self) -> None:
        """Where no service runs, the command sends them, and makes nothing in ``data_dir``."""
        config = self.write(self.toml)
        self.check(config)
        self.assertFalse(self.data.exists())
