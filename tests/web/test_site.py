"""The whole listening port in memory: the service, its site, and raw bytes from a peer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import Config, parse
from lgtwist.app.service import LgtwistService
from lgtwist.onebot.auth import sign
from lgtwist.sandbox.account import SandboxAccount
from lgtwist.websocket.phase import Phase
from tests.integration.rawclient import handshake, masked_frame
from tests.pair import Transport
from tests.rounds import quick

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


class Port:
    """One TCP connection to the port."""

    def __init__(self, test: SiteTestCase) -> None:
        self.test = test
        channel = test.service.port.site.buildProtocol(None)
        self.transport = Transport(channel)
        channel.makeConnection(self.transport)

    def send(self, data: bytes) -> Port:
        if not self.transport.disconnecting:
            self.transport.protocol.dataReceived(data)
        return self

    def read(self) -> bytes:
        """Everything that was answered until now."""
        self.test.clock.advance(0)
        self.transport.drain()
        return self.transport.taken

    def status(self) -> int:
        return int(self.read().split(b" ", 2)[1])

    def headers(self) -> str:
        return self.read().partition(b"\r\n\r\n")[0].decode().lower()

    def body(self) -> str:
        return self.read().partition(b"\r\n\r\n")[2].decode("utf-8", "replace")

    def lose(self) -> None:
        self.transport.disconnected = self.transport.disconnecting = True
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))


class SiteTestCase(SynchronousTestCase):
    toml = ""

    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        config = parse(f'data_dir = "{self.mktemp()}"\n{self.toml}')
        assert isinstance(config, Config), config
        self.service = LgtwistService(config, self.clock, lambda: 1_700_000_000.0)
        self.start()

    def start(self) -> None:
        self.service.prepare()
        self.service.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        stopped = self.service.stopService()
        for connection in tuple(self.service.factory.connections):
            connection.connectionLost(Failure(ConnectionDone()))
        for channel in tuple(self.service.port.site.channels):
            channel.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.service.port.connection_limits.open_connections, 0)

    def sandboxes(self) -> list[SandboxAccount]:
        return [edge for edge in self.service.accounts if isinstance(edge, SandboxAccount)]

    def dial(self, path: str = "/", host: str = "localhost", **headers: str) -> Port:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Port(self).send(handshake(path, named, host))

    def get(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Port:
        named = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body:
            named["Content-Length"] = str(len(body))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in named.items())
        return Port(self).send(head.encode() + b"\r\n" + body)


class DefaultTests(SiteTestCase):
    def test_a_bot_gets_in(self) -> None:
        """101, then lifecycle first; an action glued behind the handshake is answered after it."""
        port = Port(self).send(
            handshake("/", None, "localhost") + masked_frame(b'{"action":"get_status","echo":[1]}')
        )
        self.assertEqual(port.status(), 101)
        text = port.body()
        self.assertLess(text.index("lifecycle"), text.index('"echo":[1]'))

    def test_handshake_in_single_bytes(self) -> None:
        """A handshake that comes byte by byte is one."""
        port = Port(self)
        for byte in handshake("/api", None, "localhost"):
            port.send(bytes([byte]))
        self.assertEqual(port.status(), 101)
        self.assertEqual(port.body(), "")

    def test_unknown_paths_and_accounts(self) -> None:
        """404 for paths and accounts that are not there; an implementation's path says whose it is."""
        for path, words in (
            ("/x", "nothing here"),
            ("/10002", "no account 10002"),
            ("/onebot/v11/ws", "implementations"),
        ):
            port = self.dial(path)
            self.assertEqual(port.status(), 404, path)
            self.assertIn(words, port.body())
            self.assertIn("connection: close", port.headers())

    def test_strangers(self) -> None:
        """403 with a sentence that says what to do, for another Host, Origin or a proxy's header."""
        port = self.dial(host="host.docker.internal")
        self.assertEqual(port.status(), 403)
        self.assertIn(
            'Host "host.docker.internal" is not loopback and bot "default" has no token; '
            "set access_token in [[bots]] and in the bot",
            port.body(),
        )
        self.assertEqual(self.dial(Origin="http://evil.example").status(), 403)
        self.assertEqual(self.dial(X_Forwarded_For="1.2.3.4").status(), 403)
        self.assertEqual(self.dial(Origin="http://localhost").status(), 101)
        self.assertEqual(self.get("/sandbox/10001/", Host="evil.example").status(), 403)

    def test_a_wrong_token_where_none_is_needed(self) -> None:
        """Who shows a token that nobody has is refused, not taken for the one without."""
        self.assertEqual(self.dial(Authorization="Bearer x").status(), 403)

    def test_bad_handshakes(self) -> None:
        """Each bad handshake is answered as RFC 6455 says, and nothing is upgraded."""
        for change, status in (
            (("Sec-WebSocket-Version", "12"), 426),
            (("Sec-WebSocket-Key", "short"), 400),
            (("Sec-WebSocket-Key", "\u00e9" * 24), 400),
            (("Connection", "keep-alive"), 400),
            (("Content-Length", "3"), 400),
        ):
            port = self.dial(**{change[0].replace("-", "_"): change[1]})
            port.send(b"abc")
            self.assertEqual(port.status(), status, change)
        self.assertEqual(
            Port(self)
            .send(handshake("/").replace(b"GET", b"PUT").replace(b"127.0.0.1", b"localhost"))
            .status(),
            400,
        )

    def test_plain_requests(self) -> None:
        """A plain GET of / is a text for people, of /event and /api 426; HEAD has no body."""
        self.assertEqual(self.get("/").status(), 200)
        self.assertEqual(self.get("/", "HEAD").body(), "")
        for path in ("/event", "/api/", "/10001/event"):
            self.assertEqual(self.get(path).status(), 426)
        self.assertEqual(self.get("/", "POST", b"{}").status(), 405)
        self.assertEqual(self.get("/no").status(), 404)

    def test_headers_that_never_end(self) -> None:
        """A peer that sends a header line now and then is gone after handshake_timeout all the same."""
        port = Port(self).send(b"GET / HTTP/1.1\r\n")
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
        self.assertTrue(port.transport.aborted)
        port.lose()

    def test_bodies_are_bounded(self) -> None:
        """A body over the limit is refused while it arrives, announced or not; a slow one ends."""
        head = b"POST /sandbox/10001/event HTTP/1.1\r\nHost: localhost\r\n"
        announced = Port(self).send(head + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 100)
        self.assertEqual(announced.status(), 413)
        chunked = Port(self).send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(40):
            chunked.send(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        self.assertEqual(chunked.status(), 413)
        slow = Port(self).send(head + b"Content-Length: 1000\r\n\r\n")
        for _ in range(13):
            self.clock.advance(5)
            slow.send(b"x")
        self.assertTrue(slow.transport.aborted)
        for port in (announced, chunked, slow):
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

    def test_before_the_account_was_up(self) -> None:
        """Until the account was up once, handshakes get 503 with Retry-After: 3."""
        self.service.directory.accounts[10001].was_up = False
        port = self.dial()
        self.assertEqual((port.status(), "retry-after: 3" in port.headers()), (503, True))

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
        """On stop an action under way and every peer end in order: close frame 1001."""
        port = self.dial()
        self.assertEqual(port.status(), 101)
        before = len(port.read())
        stopped = self.service.stopService()
        self.assertEqual(port.read()[before:][:4], b"\x88\x0f\x03\xe9")
        [connection] = self.service.factory.connections
        self.assertIs(connection.phase, Phase.CLOSING)
        port.send(masked_frame(b"\x03\xe9", 8))
        port.lose()
        self.successResultOf(stopped)
        self.service.prepare()
        self.service.startService()

    def test_a_peer_that_cuts_itself_off_in_the_middle(self) -> None:
        """Whatever part of a request came: nothing is left."""
        whole = handshake("/", None, "localhost") + masked_frame(b'{"action":"get_status"}')
        for length in range(0, len(whole), 3):
            port = Port(self).send(whole[:length])
            port.lose()
        self.assertEqual(self.service.port.connection_limits.open_connections, 0)

    @quick
    @given(
        st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, 40), st.binary(max_size=3)), max_size=4)
    )
    def test_any_bytes(self, pieces: list[tuple[bytes, int, bytes]]) -> None:
        """Whatever comes in at the port, nothing is raised, logged as an error or left behind."""
        data = b"".join(piece[:place] + odd + piece[place:] for piece, place, odd in pieces)
        port = Port(self)
        for place in range(0, len(data), 50):
            port.send(data[place : place + 50])
        port.read()
        if not port.transport.disconnected:
            port.lose()
        self.assertEqual(self.service.port.connection_limits.open_connections, 0)
        self.assertEqual(self.flushLoggedErrors(), [])


class TokenTests(SiteTestCase):
    toml = """
        [server]
        admin_token = "boss"
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        [[bots]]
        name = "a"
        access_token = "ta"
        [[bots]]
        name = "b"
        access_token = "tb"
        accounts = [2]
    """

    def test_L27_tokens(self) -> None:
        """401 without, 403 with a wrong token, 101 with the right one, in header or query, on every path."""
        for path in ("/", "/api", "/event", "/2", "/2/api"):
            port = self.dial(path)
            self.assertEqual(port.status(), 401)
            self.assertIn("www-authenticate: bearer", port.headers())
            self.assertEqual(self.dial(path, Authorization="Bearer no").status(), 403)
            self.assertEqual(self.dial(path + "?access_token=no").status(), 403)
            self.assertEqual(self.dial(path, Authorization="Token tb").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=tb").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=tb", Authorization="Bearer no").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=", Authorization="Bearer").status(), 401)

    def test_none_of_the_strangers_rules_applies_with_a_token(self) -> None:
        """A right token is let in from any Host and Origin, through any proxy."""
        port = self.dial(
            host="bots.example.org", Origin="http://x", X_Forwarded_For="1.2.3.4", Authorization="ta"
        )
        self.assertEqual(port.status(), 101)

    def test_accounts(self) -> None:
        """A bot's default is its first account; another's is 403, one that is not there 404."""
        self.assertIn('"self_id":2', self.dial("/?access_token=tb").body())
        self.assertIn('"self_id":1', self.dial("/?access_token=ta").body())
        self.assertEqual(self.dial("/1?access_token=tb").status(), 403)
        self.assertEqual(self.dial("/3?access_token=tb").status(), 404)

    def test_L30_glued_action_of_a_stranger(self) -> None:
        """An action glued to a refused handshake is never executed."""
        action = masked_frame(b'{"action":"send_private_msg","params":{"user_id":20001,"message":"x"}}')
        port = Port(self).send(handshake("/?access_token=no") + action)
        self.assertEqual(port.status(), 403)
        self.assertEqual(port.read().count(b"HTTP/1.1"), 1)
        for sandbox in self.sandboxes():
            self.assertEqual(sandbox.world.last_message_id, 0)

    def test_the_control_wants_the_admin(self) -> None:
        """A bot's token does not open the sandbox's control; the admin's does, and opens no bot's path."""
        self.assertEqual(self.get("/sandbox/1/").status(), 401)
        self.assertEqual(self.get("/sandbox/1/", Authorization="Bearer ta").status(), 403)
        port = self.get("/sandbox/1/", Authorization="Bearer boss")
        self.assertEqual(json.loads(port.body())["self_id"], 1)
        self.assertEqual(self.dial(Authorization="Bearer boss").status(), 403)

    def test_nobody_hears_of_an_event_before_the_token(self) -> None:
        """L-28: events reach only who was let in."""
        good, refused = self.dial("/1?access_token=ta"), self.dial("/1")
        self.service.directory.accounts[1].publish(b'{"post_type":"notice","n":1}')
        self.assertIn('"n":1', good.body())
        self.assertNotIn('"n":1', refused.body())


class PublicTests(SiteTestCase):
    toml = '[server]\nendpoints = ["tcp:8081"]\n[[bots]]\nname = "a"\naccess_token = "ta"\n'

    def test_the_control_without_admin_token(self) -> None:
        """On a public address the control answers 403 until an admin_token is set."""
        port = self.get("/sandbox/10001/")
        self.assertEqual(port.status(), 403)
        self.assertIn("admin_token", port.body())


class ImplementationTests(SiteTestCase):
    """The door for implementations."""

    toml = """
        [[accounts]]
        type = "reverse-websocket"
        self_id = 1
        access_token = "one"
        [[accounts]]
        type = "http"
        self_id = 2
        url = "http://127.0.0.1:1/"
        access_token = "two"
        dialect = "napcat"
        [[accounts]]
        type = "http"
        self_id = 3
        url = "http://127.0.0.1:1/"
        secret = "three"
        [[bots]]
        name = "x"
        access_token = "bot"
        [server]
        admin_token = "admin"
    """

    def post(self, body: bytes = b'{"post_type":"notice"}', **headers: str) -> Port:
        return self.get("/onebot/v11/post", "POST", body, **headers)

    def test_posts(self) -> None:
        """401 without a signature, 403 with a wrong one or an unknown account, 400 for what is no event."""
        good = sign("three", b'{"post_type":"notice"}')
        self.assertEqual(self.post(X_Self_ID="3").status(), 401)
        self.assertEqual(self.post(X_Self_ID="3", X_Signature=good[:-1] + "x").status(), 403)
        self.assertEqual(self.post(X_Self_ID="4", X_Signature=good).status(), 403)
        self.assertEqual(self.post(X_Signature=good).status(), 400)
        self.assertEqual(self.get("/onebot/v11/post", X_Self_ID="3").status(), 405)
        for body in (b"", b"[]", b"{}", b"\xff", b'{"post_type":"notice","self_id":4}'):
            signed = {"X_Self_ID": "3", "X_Signature": sign("three", body)}
            self.assertEqual(self.post(body, **signed).status(), 400, body)

    def test_a_dialect_that_signs_with_the_token(self) -> None:
        """Where the configuration names it, an unsigned post is refused, whatever Host it names."""
        self.assertEqual(self.post(X_Self_ID="2").status(), 401)
        body = b'{"post_type":"notice"}'
        running = self.service.account_edge(2)
        running.running = 1
        self.assertEqual(self.post(body, X_Self_ID="2", X_Signature=sign("two", body)).status(), 204)
        running.running = 0
        self.assertEqual(self.post(body, X_Self_ID="2", X_Signature=sign("two", body)).status(), 503)

    def test_links(self) -> None:
        """401 without a token, 403 with a wrong one or an unknown account, 426 for a plain GET."""
        path = "/onebot/v11/ws"
        self.assertEqual(self.dial(path, X_Self_ID="1").status(), 401)
        self.assertEqual(self.dial(path, X_Self_ID="1", Authorization="Bearer bot").status(), 403)
        self.assertEqual(self.dial(path, X_Self_ID="9", Authorization="Bearer one").status(), 403)
        self.assertEqual(self.dial(path, X_Self_ID="2", Authorization="Bearer two").status(), 403)
        self.assertEqual(self.get(path, X_Self_ID="1", Authorization="Bearer one").status(), 426)
        self.assertEqual(self.dial(path, X_Self_ID="1", Authorization="Token one").status(), 101)

    def test_an_implementation_at_a_bots_door(self) -> None:
        """It is told where to go."""
        port = self.dial("/", X_Client_Role="Universal", Authorization="Bearer bot")
        self.assertEqual(port.status(), 404)
        self.assertIn("/onebot/v11/ws", port.body())

    def test_no_flood_of_lines(self) -> None:
        """However many accounts a stranger invents, there are few lines."""
        seen: list[Any] = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        for number in range(100, 400):
            self.dial("/onebot/v11/ws", X_Self_ID=str(number))
        loud = [event for event in seen if event.get("log_level", LogLevel.debug) >= LogLevel.info]
        self.assertLess(len(loud), 25)

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
            port = Port(self).send(head.encode() + b"\r\n")
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
        port = Port(self)
        actions = next(iter(self.service.directory.bots.values())).counters.actions
        port.send(
            b"POST /get_status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bot\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
        )
        self.assertEqual((port.status(), port.read().count(b"HTTP/1.1 ")), (413, 1))
        self.assertEqual(next(iter(self.service.directory.bots.values())).counters.actions, actions)
        self.clock.advance(6)
        self.assertTrue(port.transport.aborted)
        port.lose()

    def test_guesses_at_readyz(self) -> None:
        """A wrong token there is a guess as anywhere else."""
        before = self.service.port.connection_limits.counters.refused
        self.assertEqual(self.get("/readyz", Authorization="Bearer guess").body(), "not ready\n")
        self.assertEqual(self.service.port.connection_limits.counters.refused, before + 1)

    def test_health(self) -> None:
        """Alive whatever is down; ready only when nothing is; the reasons are for this machine."""
        self.assertEqual(self.get("/healthz").status(), 200)
        ready = self.get("/readyz")
        self.assertEqual(ready.status(), 503)
        self.assertEqual(len(json.loads(ready.body())["reasons"]), 3)
        self.assertEqual(self.get("/readyz", Host="evil.example").body(), "not ready\n")
        metrics = self.get("/metrics", Authorization="Bearer admin").body()
        for line in (
            'lgtwist_account_up{account="1"} 0.0',
            'lgtwist_calls_total{account="2",outcome="timeout"} 0.0',
            'lgtwist_dropped_events_total{bot="x"} 0.0',
            'lgtwist_connections{direction="out"} 0.0',
        ):
            self.assertIn(line, metrics)
        self.assertEqual(self.get("/metrics").status(), 401)
