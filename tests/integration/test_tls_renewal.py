"""Certificates that are renewed while connections come: our own, and those of a ``ca_file``."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.certificates import INSTALLED, LOCAL, Authority
from tests.integration.listening_bots import Listener
from tests.integration.running import Service
from tests.processes import PATIENCE, ROOT, TWISTD, wait_until

if INSTALLED:
    import trustme


class Certbot:
    """A folder as certbot keeps it: links in ``live`` that lead to numbered files in ``archive``.

    :ivar root: the authority's certificate, which is all that clients know.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._number = folder, 0
        for name in ("archive", "live"):
            (folder / name).mkdir(parents=True)
        authority = trustme.CA()
        self._intermediate = authority.create_child_ca()
        self.root = folder / "root.pem"
        authority.cert_pem.write_to_path(str(self.root))
        self.write()
        for name in ("privkey", "fullchain"):
            self.link(name)

    def write(self) -> None:
        """Put the next key and certificate into the archive."""
        self._number += 1
        leaf = self._intermediate.issue_cert(LOCAL)
        pems = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        (self.folder / "archive" / f"privkey{self._number}.pem").write_bytes(leaf.private_key_pem.bytes())
        (self.folder / "archive" / f"fullchain{self._number}.pem").write_bytes(pems)

    def link(self, name: str) -> None:
        """Let one of the links lead to the newest file."""
        new = self.folder / "live" / "new"
        new.symlink_to(f"../archive/{name}{self._number}.pem")
        new.replace(self.folder / "live" / f"{name}.pem")

    @property
    def endpoint(self) -> str:
        """The arguments of an ``ssl:`` endpoint."""
        live = self.folder / "live"
        return f"privateKey={live / 'privkey.pem'}:certKey={live / 'fullchain.pem'}"


class Load:
    """Connects again and again, verifying with the root alone, until it is ended.

    :ivar shown: the certificates that were shown, as DER.
    :ivar failures: what went wrong.
    """

    def __init__(self, port: int, root: Path) -> None:
        self.shown: list[bytes] = []
        self.failures: list[str] = []
        self._port, self._ended = port, threading.Event()
        self._context = ssl.create_default_context(cafile=str(root))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                plain = socket.create_connection((LOCAL, self._port), PATIENCE)
                with self._context.wrap_socket(plain, server_hostname=LOCAL) as secure:
                    secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    assert secure.recv(12) == b"HTTP/1.1 200"
                    self.shown.append(secure.getpeercert(binary_form=True) or b"")
            except Exception as error:
                self.failures.append(repr(error))
                return

    def some_more(self) -> bytes:
        """Wait for two more connections; what the last one was shown."""
        before = len(self.shown)
        wait_until("connections come", lambda: self.failures or len(self.shown) >= before + 2)
        return self.shown[-1] if self.shown else b""

    def end(self) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)


class RenewalCase(SynchronousTestCase):
    if not INSTALLED:
        skip = "trustme is not installed"

    def start(self, folder: Path, toml: str, endpoint: str = "") -> Service:
        class Started(Service):
            def start(self) -> None:
                text = self.config_path.read_text()
                plain = f"tcp:{self.port}:interface={LOCAL}"
                self.config_path.write_text(
                    text.replace(
                        plain, f"ssl:{self.port}:interface={LOCAL}:{endpoint}" if endpoint else plain
                    )
                )
                super().start()

        service = Started(folder / "service", toml)
        self.addCleanup(service.clean_up)
        return service

    def sighup(self, service: Service) -> str:
        """Let it read all again; the last line that it logs of that."""

        def lines() -> list[str]:
            return [line for line in service.log().splitlines() if "reload: " in line]

        before = len(lines())
        service.send_signal(signal.SIGHUP)
        wait_until("it says what it did", lambda: len(lines()) > before)
        return lines()[-1]


class OwnCertificate(RenewalCase):
    def test_renewed_under_load(self) -> None:
        """The link to the key is replaced, then that to the certificate: all connections are served."""
        folder = Path(self.mktemp()).absolute()
        certbot = Certbot(folder / "letsencrypt")
        service = self.start(folder, "", certbot.endpoint)
        load = Load(service.port, certbot.root)
        self.addCleanup(load.end)
        first = load.some_more()
        certbot.write()
        certbot.link("privkey")
        self.assertIn("nothing was changed", self.sighup(service))
        self.assertIn("does not match the certificate", service.log())
        self.assertEqual(load.some_more(), first)
        certbot.link("fullchain")
        self.assertIn("read again", self.sighup(service))
        self.assertNotEqual(load.some_more(), first)
        load.end()
        self.assertEqual((load.failures, len(set(load.shown))), ([], 2))
        self._look_with_commands(service)

    def _look_with_commands(self, service: Service) -> None:
        """``lgtwist health`` answers over a private certificate; both checks print the same."""

        def run(*command: str) -> subprocess.CompletedProcess[bytes]:
            whole = [*command, "--config", str(service.config_path)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            return subprocess.run(
                whole, cwd=service.folder, env=environment, capture_output=True, timeout=PATIENCE, check=False
            )

        lgtwist = (sys.executable, "-m", "lgtwist.command")
        self.assertEqual(run(*lgtwist, "health").returncode, 0)
        ours, twistd = run(*lgtwist, "check"), run(*TWISTD, "lgtwist", "--check")
        self.assertEqual((ours.returncode, ours.stdout, ours.stderr), (0, twistd.stdout, twistd.stderr))
        service.config_path.write_bytes(
            service.config_path.read_bytes() + b"colour = 1\n[limits]\ncalls = '5'\n"
        )
        ours, twistd = run(*lgtwist, "check"), run(*TWISTD, "lgtwist", "--check")
        self.assertEqual((ours.returncode, twistd.returncode), (1, 1))
        self.assertEqual((ours.stdout, ours.stderr), (twistd.stdout, twistd.stderr))
        self.assertEqual(len(ours.stderr.splitlines()), 2)


class Swapping(Listener):
    """A bot that listens over TLS, whose certificate can be replaced."""

    context: ssl.SSLContext

    def serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            secure: Any = self.context.wrap_socket(sock, server_side=True)
            super().serve(secure)


class PrivateAuthority(RenewalCase):
    def test_links_stay(self) -> None:
        """A renewed ``ca_file`` ends no link; the next one is verified by what it has now."""
        folder = Path(self.mktemp()).absolute()
        old, new = Authority(folder / "old"), Authority(folder / "new")
        ca_file = folder / "ca.pem"
        ca_file.write_bytes(old.ca_file.read_bytes())
        listener = Swapping(start=False)
        listener.context = old.issue(LOCAL).server_context()
        listener.start()
        self.addCleanup(listener.stop_listening)
        self.addCleanup(listener.drop_all)
        service = self.start(
            folder,
            "[[accounts]]\nself_id = 10001\n[[bots]]\nname = 'b'\nconnection = 'reverse-websocket'\n"
            f"url = 'wss://{LOCAL}:{listener.port}/'\nca_file = '{ca_file}'\n"
            "reconnect = { min = '100ms', max = '100ms' }\n[limits]\nclose_timeout = '100ms'",
        )
        peer = listener.next()
        ca_file.write_bytes(new.ca_file.read_bytes())
        self.assertIn(f"certificates of {ca_file} read again", self.sighup(service))
        self.assertLess(peer.ping(), PATIENCE)
        self.assertEqual(listener.dialled(), 1)
        listener.drop_all()
        wait_until("the old authority is refused", lambda: "is it in ca_file?" in service.log())
        self.assertEqual(listener.dialled(), 1)
        listener.context = new.issue(LOCAL).server_context()
        listener.next().ping()
        ca_file.write_bytes(new.issue(LOCAL).chain.read_bytes())
        self.assertIn("nothing was changed", self.sighup(service))
        self.assertIn("a server's own", service.log())
