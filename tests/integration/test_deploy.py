"""``deploy/``: the dashboard against a real /metrics; the unit, with the test in the place of systemd."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.integration.commands import RunTestCase
from tests.integration.rawclient import RawClient
from tests.integration.running import ServiceTestCase
from tests.processes import PATIENCE, ROOT, ChildProcess, inherited_environment
from tests.test_deploy import queries, selectors

DEPLOY = ROOT / "deploy"


class Dashboard(ServiceTestCase):
    """With an account and a bot of each kind."""

    toml = """
        [[accounts]]
        self_id = 10001
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10002
        [[accounts]]
        type = "milky"
        self_id = 10003
        url = "http://127.0.0.1:1/"
        [[accounts]]
        type = "forward-websocket"
        self_id = 10004
        url = "ws://127.0.0.1:1/"
        [[bots]]
        name = "live"
        [[bots]]
        name = "sure"
        delivery = "at-least-once"
        access_token = "sure-token"
        [[bots]]
        name = "posted"
        connection = "http-post"
        url = "http://127.0.0.1:1/"
        [[alerts]]
        kind = "ntfy"
        url = "http://127.0.0.1:1/topic"
        """

    def test_each_metric_exists(self) -> None:
        """Each metric is there, with the labels that it is asked for and shown by."""
        _status, text = self.service.http("/metrics")
        labels: dict[str, set[str]] = {}
        for name, given in re.findall(r"(?m)^([a-z_]+)(?:\{(.*)\})? \S+$", text):
            labels.setdefault(name, {"instance"}).update(re.findall(r'(\w+)="', given))
        dashboard = json.loads((DEPLOY / "grafana" / "lgtwist.json").read_text("utf-8"))
        for query, legend, title in queries(dashboard):
            shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
            for group in re.findall(r"\bby \(([^)]*)\)", query):
                self.assertEqual(shown, set(re.split(r", *", group)), title)
            for name, asked in selectors(query):
                self.assertIn(name, labels, title)
                self.assertEqual((asked | shown) - labels[name], set(), (title, query))


class WithoutAnything(ServiceTestCase):
    """The built-in configuration: no account over Milky, no bot with at-least-once delivery."""

    def test_each_metric_is_named(self) -> None:
        """A panel has no series then, but each metric of the dashboard is one of /metrics."""
        _status, text = self.service.http("/metrics")
        named = set(re.findall(r"(?m)^# TYPE (\S+)", text))
        dashboard = json.loads((DEPLOY / "grafana" / "lgtwist.json").read_text("utf-8"))
        for query, _legend, title in queries(dashboard):
            for name, _labels in selectors(query):
                self.assertIn(re.sub(r"_(bucket|sum)$", "", name), named, title)


class Systemd(RunTestCase):
    """``lgtwist run`` as systemd starts it, with sockets of ours."""

    program = (sys.executable, "-m", "lgtwist.command")

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.address = str(Path(folder.name) / "notify")
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notified.close)
        self.notified.bind(self.address)
        self.notified.settimeout(PATIENCE)

    def hear(self) -> list[str]:
        """The lines of the next datagram."""
        return self.notified.recv(4096).decode().split("\n")

    def configure(self, *bots: str) -> Path:
        """A configuration that listens on systemd's socket."""
        path = self.folder / "lgtwist.toml"
        blocks = "".join(f'[[bots]]\nname = "{bot}"\naccess_token = "token-of-{bot}"\n' for bot in bots)
        path.write_text(
            f'data_dir = "{self.data}"\n[server]\nendpoints = ["systemd:domain=INET:name=lgtwist"]\n{blocks}'
        )
        return path

    def start(self, config: Path, listening: socket.socket) -> ChildProcess:
        """Start it with a socket as its descriptor 3, as systemd does."""
        code = (
            "import os, sys\n"
            "os.dup2(int(sys.argv[1]), 3)\n"
            "os.environ['LISTEN_PID'] = str(os.getpid())\n"
            "os.execv(sys.argv[2], sys.argv[2:])\n"
        )
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    code,
                    str(listening.fileno()),
                    *self.program,
                    "run",
                    "--config",
                    config,
                ],
                env={
                    **inherited_environment(),
                    "PYTHONPATH": str(ROOT),
                    "NOTIFY_SOCKET": self.address,
                    "LISTEN_FDS": "1",
                    "LISTEN_FDNAMES": "lgtwist",
                },
                cwd=self.folder,
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        child = ChildProcess(self.folder)
        child.process = process
        self.addCleanup(child.end)
        return child

    def test_socket_activation(self) -> None:
        """Who dials before it runs, or while it starts again, is served; systemd is told of all."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.addCleanup(listening.close)
        port = listening.getsockname()[1]
        config = self.configure("one")
        early = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(early.close)
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

        service = self.start(config, listening)
        ready = ["READY=1", "STATUS=accounts: 1, bots: 1"]
        self.assertEqual(self.hear(), ready)
        self.assertIn(b"200 OK", early.recv(100))
        with RawClient(None, "/", {"Authorization": "Bearer token-of-one"}, port=port) as bot:
            bot.event(meta_event_type="lifecycle")

            self.configure("one", "two")
            service.send_signal(1)
            reloading, usec = self.hear()
            self.assertEqual(reloading, "RELOADING=1")
            self.assertTrue(usec.startswith("MONOTONIC_USEC="))
            self.assertEqual(self.hear(), ["READY=1", "STATUS=accounts: 1, bots: 2"])
            self.assertIn("bot", self.log())

            service.send_signal(15)
            self.assertEqual(self.hear(), ["STOPPING=1", "STATUS=stopping"])
            code, _reason = bot.close_frame()
            self.assertEqual(code, 1012)
        self.assertEqual(service.wait(), 0)

        late = socket.create_connection(("127.0.0.1", port), PATIENCE)  # nobody is refused meanwhile
        self.addCleanup(late.close)
        late.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        again = self.start(config, listening)
        self.assertEqual(self.hear(), ["READY=1", "STATUS=accounts: 1, bots: 2"])
        self.assertIn(b"200 OK", late.recv(100))
        self.assertEqual(again.stop(), 0)
        self.assertNotIn("Traceback", self.log())
