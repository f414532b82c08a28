"""Servers with TLS that lgtwist dials: WebSocket and HTTPS, with certificates good and bad."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

from attrs import define, field

from tests.integration.certificates import LOCAL, Shown
from tests.integration.listening_bots import Acceptor, Listener
from tests.integration.running import PATIENCE
from tests.processes import free_port

REMOTE = 20007


@define
class Came:
    """A TCP connection that came.

    :ivar at: when.
    :ivar said: what came through TLS; nothing must, where the certificate is not to be trusted.
    """

    at: float = field(factory=time.monotonic)
    said: bytes = b""


class Unworthy(Acceptor):
    """A server that should not be spoken to: it shows a certificate, or answers in plain HTTP.

    :param shown: what it shows; None for no TLS.
    """

    def __init__(self, shown: Shown | None) -> None:
        self.came: list[Came] = []
        self._context = None if shown is None else shown.server_context()
        super().__init__()

    def serve(self, sock: socket.socket) -> None:
        """Show the certificate, and keep what comes all the same."""
        came = Came()
        self.came.append(came)
        with contextlib.suppress(OSError), sock:
            sock.settimeout(PATIENCE)
            if self._context is None:
                sock.recv(4096)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with self._context.wrap_socket(sock, server_side=True) as secure:
                while data := secure.recv(4096):
                    came.said += data

    def gaps(self) -> list[float]:
        return [after.at - before.at for before, after in pairwise(self.came)]

    end = Acceptor.stop_listening


class TlsListener(Listener):
    """A WebSocket server over TLS."""

    def __init__(self, shown: Shown) -> None:
        self._context = shown.server_context()
        super().__init__()

    def serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            super().serve(self._context.wrap_socket(sock, server_side=True))


class HttpsServer:
    """Answers every POST as an implementation does, and keeps its path and body."""

    def __init__(self, shown: Shown) -> None:
        self.posts: list[tuple[str, bytes]] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                posts.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                body = b'{"status":"ok","retcode":0,"data":{"online":true,"good":true}}'
                body = b"" if self.path == "/hook" else body
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.port = free_port()
        self._server = ThreadingHTTPServer((LOCAL, self.port), Handler)
        self._server.daemon_threads = True
        self._server.socket = shown.server_context().wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
