"""HTTP connections of the listening port: deadlines, bounds, ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lgtwist.websocket.phase import Phase
from tests.integration.rawclient import handshake, masked_frame
from tests.rounds import quick
from tests.web.site_case import Peer, SiteTestCase

#: What random requests are made of.
PIECES = [
    handshake("/", None, "localhost"),
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://localhost/event?access_token=x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /sandbox/10001/say HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n",
    b'{"user_id":20001,"message":1}\n',
    b"POST /sandbox/10001/event HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"2\r\n{}\r\n0\r\n\r\n",
    masked_frame(b'{"action":"get_status"}'),
    masked_frame(b"\x03\xe8", 8),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


class ChannelTests(SiteTestCase):
    def test_headers_that_never_end(self) -> None:
        """A peer that sends a header line now and then is gone after handshake_timeout all the same."""
        port = Peer(self).send(b"GET / HTTP/1.1\r\n")
        for _ in range(4):
            self.clock.advance(1.2)
            port.send(b"X: y\r\n")
        self.assertFalse(port.transport.aborted)
        self.clock.advance(1.2)
        self.assertTrue(port.transport.aborted)
        port.lose()

    def test_keep_alive(self) -> None:
        """Several requests on one connection, each with its own deadline; idle ones end in time."""
        port = self.get("/")
        self.clock.advance(30)
        port.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        self.clock.advance(4)
        port.send(b"\r\n")
        self.assertEqual(port.read().count(b"200 OK"), 2)
        self.clock.advance(30)
        self.assertFalse(port.transport.aborted)
        self.clock.advance(40)
        self.assertTrue(port.transport.disconnecting)
        self.assertFalse(port.transport.aborted, "it may be reading still")
        port.lose()

    def test_bodies_are_bounded(self) -> None:
        """A body over the limit is refused while it arrives, announced or not; a slow one ends."""
        head = b"POST /sandbox/10001/event HTTP/1.1\r\nHost: localhost\r\n"
        announced = Peer(self).send(head + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 100)
        self.assertEqual(announced.status(), 413)
        chunked = Peer(self).send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(40):
            chunked.send(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        self.assertEqual(chunked.status(), 413)
        slow = Peer(self).send(head + b"Content-Length: 1000\r\n\r\n")
        for _ in range(13):
            self.clock.advance(5)
            slow.send(b"x")
        self.assertTrue(slow.transport.aborted)
        for port in (announced, chunked, slow):
            port.lose()

    def test_a_body_that_nobody_wants(self) -> None:
        """The answer comes at once, and the connection closes, which the answer says."""
        for method, path, status in (("POST", "/event", 426), ("PUT", "/", 405), ("POST", "/a/b/c", 404)):
            port = Peer(self).send(
                f"{method} {path} HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 5\r\n\r\n".encode()
            )
            self.assertEqual(port.status(), status)
            self.assertIn("connection: close", port.headers())
            port.send(b"helloGET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(port.read().count(b"HTTP/1.1"), 1)
            self.assertTrue(port.transport.write_closed)
            port.lose()

    def test_limits(self) -> None:
        """Over `connections` a request is answered 503 with Retry-After."""
        self.patch(
            self.service.port.connection_limits,
            "limits",
            type(self.service.port.connection_limits.limits)(connections=1),
        )
        first = self.dial()
        self.assertEqual(first.status(), 101)
        second = self.dial()
        self.assertEqual(second.status(), 503)
        self.assertIn("retry-after: 3", second.headers())
        second.lose()
        first.lose()
        self.assertEqual(self.dial().status(), 101)

    def test_connections_end_with_the_port(self) -> None:
        """A connection is counted from accept to its end, upgraded or not, once."""
        ports = [self.dial() for _ in range(5)] + [self.get("/") for _ in range(5)]
        self.assertEqual(self.service.port.connection_limits.open_connections, 10)
        self.assertEqual(len(self.service.factory.connections), 5)
        for port in ports:
            port.lose()
        self.assertEqual(self.service.port.connection_limits.open_connections, 0)
        self.assertEqual(self.service.factory.connections, set())

    def test_stopping(self) -> None:
        """On stop an action under way and every peer end in order: close frame 1012."""
        port = self.dial()
        self.assertEqual(port.status(), 101)
        before = len(port.read())
        stopped = self.service.stopService()
        self.assertEqual(port.read()[before:][:4], b"\x88\x0f\x03\xf4")
        [connection] = self.service.factory.connections
        self.assertIs(connection.phase, Phase.CLOSING)
        port.send(masked_frame(b"\x03\xe9", 8))
        port.lose()
        self.successResultOf(stopped)
        self.service.prepare()
        self.service.startService()

    def test_stopping_in_the_middle_of_a_request(self) -> None:
        """What has come in part is answered with 503 and Retry-After, and the idle are closed."""
        head = b"POST /get_status HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        parts = (head[:9], head, head + b"Content-Length: 20\r\n\r\n", head + b"Content-Length: 20\r\n\r\n{")
        peers = [Peer(self).send(part) for part in parts]
        idle = Peer(self)
        self.service.port.stop()
        for peer, part in zip(peers, parts, strict=True):
            self.assertEqual(peer.status(), 503, part)
            self.assertIn("retry-after: 3", peer.headers())
        self.assertIn('"retcode":1429', peers[-1].body())
        self.assertEqual(idle.read(), b"")
        self.assertTrue(idle.transport.disconnecting or idle.transport.disconnected)
        for peer in peers:
            peer.lose()

    def test_stopping_waits_until_the_answers_are_written(self) -> None:
        """The process would end before that; not for ever, and not for those that were refused to read it."""

        def stopped_with(peer: Peer | None, seconds: float, *, lost: bool) -> None:
            stopped = self.service.stopService()
            if seconds or lost:
                self.assertNoResult(stopped)
            if lost:
                assert peer is not None
                peer.lose()
            else:
                self.clock.advance(seconds)
            self.successResultOf(stopped)
            if peer is not None and not lost:
                peer.lose()
            self.service.prepare()
            self.service.startService()

        stopped_with(None, 0, lost=False)
        stopped_with(Peer(self), 2.1, lost=False)  # close_timeout
        stopped_with(Peer(self), 0, lost=True)
        stopped_with(Peer(self).send(b"GET /"), 0.001, lost=False)

    def test_a_peer_that_cuts_itself_off_in_the_middle(self) -> None:
        """Whatever part of a request came: nothing is left."""
        whole = handshake("/", None, "localhost") + masked_frame(b'{"action":"get_status"}')
        for length in range(0, len(whole), 3):
            port = Peer(self).send(whole[:length])
            port.lose()
        self.assertEqual(self.service.port.connection_limits.open_connections, 0)

    @quick
    @given(
        st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, 40), st.binary(max_size=3)), max_size=4)
    )
    def test_any_bytes(self, pieces: list[tuple[bytes, int, bytes]]) -> None:
        """Whatever comes in at the port, nothing is raised, logged as an error or left behind."""
        data = b"".join(piece[:place] + odd + piece[place:] for piece, place, odd in pieces)
        port = Peer(self)
        for place in range(0, len(data), 50):
            port.send(data[place : place + 50])
        port.read()
        if not port.transport.disconnected:
            port.lose()
        self.assertEqual(self.service.port.connection_limits.open_connections, 0)
        self.assertEqual(self.flushLoggedErrors(), [])


class BodyTests(SiteTestCase):
    toml = """
        [[accounts]]
        type = "reverse-websocket"
        self_id = 1
        access_token = "one"
        [[bots]]
        name = "x"
        access_token = "bot"
        [server]
        admin_token = "admin"
    """

    def test_bodies_that_nobody_may_send(self) -> None:
        """A body is not waited for, and not kept, where the answer is a refusal whatever stands in it."""
        for path, headers, status in (
            ("/send_msg", {}, 401),
            ("/send_msg", {"Authorization": "Bearer wrong"}, 403),
            ("/send_msg?access_token=wrong", {}, 403),
            ("/sandbox/10001/say", {}, 401),
            ("/onebot/v11/post", {"X-Self-ID": "9"}, 403),
        ):
            named = {"Host": "localhost", "Content-Length": "20000000", **headers}
            head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in named.items())
            port = Peer(self).send(head.encode() + b"\r\n")
            self.assertEqual(port.status(), status, path)
            self.assertTrue(port.transport.write_closed)
            port.send(b"GET /get_status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(port.read().count(b"HTTP/1.1 "), 1, "what is thrown away is no request")
            port.lose()
        right = {"Authorization": "Bearer bot", "Content_Type": "application/json"}
        self.assertEqual(self.get("/send_msg", "POST", b"{}", **right).status(), 200)
        self.assertEqual(self.get("/send_msg?access_token=bot", "POST", b"{}").status(), 406)

    def test_a_chunked_body_that_ends_too_late(self) -> None:
        """It is answered 413, once, though its end came in the same bytes; its action is not done."""
        size = self.service.config.limits.max_message + 1
        port = Peer(self)
        actions = next(iter(self.service.directory.bots.values())).counters.actions
        port.send(
            b"POST /get_status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bot\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
        )
        self.assertEqual(port.status(), 413)
        self.assertEqual(port.read().count(b"HTTP/1.1 "), 1)
        self.assertEqual(next(iter(self.service.directory.bots.values())).counters.actions, actions)
        self.clock.advance(6)
        self.assertTrue(port.transport.aborted)
        port.lose()
