"""The blocking client, over a server that does what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.testing.control import SandboxClient, SandboxError, SandboxRefused


class Handler(BaseHTTPRequestHandler):
    """Answers with what ``answer`` returns, and notes the requests and the clients' ports."""

    protocol_version = "HTTP/1.1"
    answer: Callable[[str], tuple[int, bytes]]

    def respond(self) -> None:
        if self.server.drop_next:  # type: ignore[attr-defined]
            self.server.drop_next = False  # type: ignore[attr-defined]
            self.close_connection = True
            return
        length = int(self.headers.get("Content-Length") or 0)
        seen = (self.command, self.path, self.rfile.read(length), self.headers.get("Authorization"))
        self.server.seen.append(seen)  # type: ignore[attr-defined]
        self.server.ports.append(self.client_address[1])  # type: ignore[attr-defined]
        status, body = self.server.answer(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if self.path.endswith("close"):  # without a word of it in the headers
            self.close_connection = True

    do_GET = do_POST = do_PUT = respond

    def log_message(self, format: str, *args: object) -> None:
        pass


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.seen: list[tuple[str, str, bytes, str | None]] = []
        self.ports: list[int] = []
        self.server.drop_next = False  # type: ignore[attr-defined]
        self.server.seen, self.server.ports = self.seen, self.ports  # type: ignore[attr-defined]
        self.answers_with(200, b"{}")
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.client = SandboxClient(self.url, 5, admin_token="secret")
        self.addCleanup(self.client.close)

    def answers_with(self, status: int, body: bytes) -> None:
        self.server.answer = lambda _path: (status, body)  # type: ignore[attr-defined]

    def test_requests(self) -> None:
        """Paths are below the account; None is left out; a wait has decimals."""
        self.client.get()
        self.client.transcript(7, 0.3)
        self.client.actions()
        self.client.post("say", {"user_id": 1, "group_id": None, "message": "你好"})
        self.client.post("/console/api/reload")
        self.client.put("world", b"{}")
        self.assertEqual(
            [seen[:3] for seen in self.seen],
            [
                ("GET", "/sandbox/5/", b""),
                ("GET", "/sandbox/5/transcript?after=7&wait=0.300", b""),
                ("GET", "/sandbox/5/actions", b""),
                ("POST", "/sandbox/5/say", b'{"user_id": 1, "message": "\\u4f60\\u597d"}'),
                ("POST", "/console/api/reload", b"{}"),
                ("PUT", "/sandbox/5/world", b"{}"),
            ],
        )
        self.assertEqual({seen[3] for seen in self.seen}, {"Bearer secret"})
        self.assertEqual(len(set(self.ports)), 1)

    def test_refusals(self) -> None:
        """The sentence of the answer, in whichever form it comes."""
        for body, sentence in (
            (b'{"error": "no such person"}', "no such person"),
            (b'{"error": "code", "message": "a sentence"}', "a sentence"),
            (b"plain text\n", "plain text"),
            (b"", "HTTP status 400"),
            (b"[1]", "HTTP status 400: [1]"),
        ):
            self.answers_with(400, body)
            error = self.assertRaises(SandboxRefused, self.client.get, "x")
            self.assertEqual((error.status, str(error)), (400, sentence))

    def test_a_connection_that_was_closed(self) -> None:
        """Another one takes its place, and no request is sent twice."""
        self.client.get("close")
        for _ in range(20):
            self.client.post("say", {})
        self.assertEqual(len(self.seen), 21)

    def test_a_connection_that_is_closed_meanwhile(self) -> None:
        """The service closes it when the next request is on its way."""
        self.client.get("first")
        self.server.drop_next = True  # type: ignore[attr-defined]
        self.client.get("second")
        self.assertEqual([seen[1] for seen in self.seen], ["/sandbox/5/first", "/sandbox/5/second"])
        self.client.close()
        self.server.drop_next = True  # type: ignore[attr-defined]
        self.assertRaises(SandboxError, self.client.get, "third")  # on a new one that means something else

    def test_a_post_is_not_repeated(self) -> None:
        """It may have been carried out before the connection was closed."""
        self.client.get("first")
        self.server.drop_next = True  # type: ignore[attr-defined]
        self.assertRaises(SandboxError, self.client.post, "say", {})
        self.assertEqual([seen[1] for seen in self.seen], ["/sandbox/5/first"])
        self.client.post("say", {})
        self.assertEqual([seen[1] for seen in self.seen], ["/sandbox/5/first", "/sandbox/5/say"])

    def test_at_the_same_time(self) -> None:
        """A request that waits does not hold up another one."""
        came, may_go = threading.Event(), threading.Event()
        self.addCleanup(may_go.set)

        def answer(path: str) -> tuple[int, bytes]:
            if path.endswith("slow"):
                came.set()
                may_go.wait(10)
            return 200, b"{}"

        self.server.answer = answer  # type: ignore[attr-defined]
        slow = threading.Thread(target=self.client.get, args=("slow",))
        slow.start()
        self.assertTrue(came.wait(10))
        self.client.get("fast")
        may_go.set()
        slow.join(10)
        self.client.get("fast")
        self.assertEqual(len(set(self.ports)), 2)
        self.client.close()
        self.client.get("fast")  # that still works; nothing is kept
        self.client.get("fast")
        self.assertEqual(len(set(self.ports)), 4)

    def test_nobody_there(self) -> None:
        """What was asked for is said, and why it may be so."""
        client = SandboxClient("http://127.0.0.1:9", explain=lambda: "; it has ended")
        error = self.assertRaises(SandboxError, client.get)
        self.assertIn("lgtwist at http://127.0.0.1:9 does not answer: ", str(error))
        self.assertTrue(str(error).endswith("; it has ended"))

    def test_connections_of_bots(self) -> None:
        """They are in the metrics, whatever the names are."""
        self.answers_with(
            200,
            b'# TYPE lgtwist_bot_connections gauge\nlgtwist_bot_connections{bot="a \\"b\\\\} c"} 2.0\n'
            b'lgtwist_bot_connections{bot="d"} 0.0\nlgtwist_deliveries_total{bot="d"} 1.0\n',
        )
        self.assertEqual(self.client.connected_bots(), {'a "b\\} c': 2, "d": 0})
        self.assertEqual(self.seen[0][1], "/metrics")
