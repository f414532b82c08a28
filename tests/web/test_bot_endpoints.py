"""Bots' WebSockets: handshakes, accounts, and what is sent first."""

from __future__ import annotations

from lgtwist.onebot.responses import ok
from tests.hub.fakes import checked_link
from tests.integration.rawclient import handshake, masked_frame
from tests.web.site_case import Peer, SiteTestCase


class HandshakeTests(SiteTestCase):
    def test_a_bot_connects(self) -> None:
        """101, then lifecycle first; an action glued behind the handshake is answered after it."""
        port = Peer(self).send(
            handshake("/", None, "localhost") + masked_frame(b'{"action":"get_status","echo":[1]}')
        )
        self.assertEqual(port.status(), 101)
        text = port.body()
        self.assertLess(text.index("lifecycle"), text.index('"echo":[1]'))

    def test_handshake_in_single_bytes(self) -> None:
        """A handshake that comes byte by byte is one."""
        port = Peer(self)
        for byte in handshake("/api", None, "localhost"):
            port.send(bytes([byte]))
        self.assertEqual(port.status(), 101)
        self.assertEqual(port.body(), "")

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
            Peer(self)
            .send(handshake("/").replace(b"GET", b"PUT").replace(b"127.0.0.1", b"localhost"))
            .status(),
            400,
        )

    def test_subprotocols(self) -> None:
        """The first one that is offered is agreed on, if it can be a subprotocol's name; no extension is."""
        for offered, chosen in (
            ("11.mybot", "11.mybot"),
            ("OneBot, v11", "OneBot"),
            (" , v11", "v11"),
            ("a b", None),
            ("caf\u00e9", None),
            ("", None),
            ("x" * 10_000, None),
        ):
            port = self.dial(Sec_WebSocket_Protocol=offered, Sec_WebSocket_Extensions="permessage-deflate")
            self.assertEqual(port.status(), 101)
            head = port.read().partition(b"\r\n\r\n")[0].decode()
            self.assertEqual(head.count("Sec-WebSocket-Protocol"), int(chosen is not None), offered)
            if chosen is not None:
                self.assertIn(f"\r\nSec-WebSocket-Protocol: {chosen}", head)
            self.assertNotIn("Extensions", head)
            self.assertIn("lifecycle", port.body())

    def test_before_the_account_was_up(self) -> None:
        """Until the account was up once, handshakes wait 3 s for it, then get 503 with Retry-After: 3."""
        self.service.directory.accounts[10001].was_up = False
        port = self.dial()
        self.clock.advance(2.9)
        self.assertEqual(port.read(), b"")
        self.clock.advance(0.2)
        self.assertEqual(port.status(), 503)
        self.assertIn("retry-after: 3", port.headers())


class WaitingHandshakeTests(SiteTestCase):
    """Handshakes that wait until their account is up for the first time."""

    toml = """
        [limits]
        handshake_timeout = "1s"
        [[accounts]]
        type = "reverse-websocket"
        self_id = 1
        access_token = "ti"
        [[accounts]]
        type = "reverse-websocket"
        self_id = 2
        access_token = "ti"
        [[bots]]
        name = "a"
        access_token = "ta"
        [[bots]]
        name = "b"
        access_token = "tb"
    """

    def come_up(self, self_id: int) -> None:
        account = self.service.directory.accounts[self_id]
        link = checked_link(account)
        link.instantly = ok()
        account.links.opened(link)
        self.clock.advance(0)

    def test_the_account_comes_up(self) -> None:
        """All that wait for it are upgraded; what came behind the handshake is answered; others wait on."""
        action = masked_frame(b'{"action":"get_status","echo":[1]}')
        first, other = self.dial("/1?access_token=ta"), self.dial("/2?access_token=ta")
        many = [self.dial("/1/event?access_token=tb") for _ in range(60)]
        first.send(action[:7])
        first.send(action[7:])
        self.clock.advance(2.5)
        self.assertEqual((first.read(), other.read(), many[0].read()), (b"", b"", b""))
        self.come_up(1)
        self.clock.advance(0.01)
        self.assertEqual(first.status(), 101)
        self.assertLess(first.body().index("lifecycle"), first.body().index('"echo":[1]'))
        self.assertEqual({one.status() for one in many}, {101})
        self.assertEqual(other.read(), b"")
        self.clock.advance(1)
        self.assertEqual(other.status(), 503)
        self.assertEqual(self.dial("/1?access_token=ta").status(), 101)

    def test_later_outages(self) -> None:
        """Nobody waits once the account was up."""
        self.come_up(1)
        self.service.directory.accounts[1].links.close(1001, "gone")
        self.assertEqual(self.dial("/1?access_token=ta").status(), 101)

    def test_the_client_goes(self) -> None:
        """It is forgotten, and its place is free."""
        waiting = self.service.port._waiting_handshakes
        peer = self.dial("/1?access_token=ta")
        self.assertEqual(len(waiting), 1)
        peer.lose()
        self.assertEqual(len(waiting), 0)
        self.come_up(1)
        self.assertEqual(self.service.directory.bots["a"].counters.connections, 0)

    def test_bounds(self) -> None:
        """A hundred of one bot wait, the next is refused at once; another bot's still wait."""
        peers = [self.dial("/1?access_token=ta") for _ in range(100)]
        self.assertEqual({one.read() for one in peers}, {b""})
        beyond = self.dial("/1?access_token=ta")
        self.assertEqual(beyond.status(), 503)
        self.assertIn("retry-after: 3", beyond.headers())
        self.assertEqual(self.dial("/1?access_token=tb").read(), b"")
        peers[0].lose()
        self.assertEqual(self.dial("/1?access_token=ta").read(), b"")

    def test_what_changes_meanwhile(self) -> None:
        """A bot that is removed, or whose account is, gets what it would get now."""
        removed, without = self.dial("/1?access_token=ta"), self.dial("/2?access_token=tb")
        self.service.directory.remove_bot("a")
        self.service.directory.remove_account(2)
        self.come_up(1)
        self.assertEqual(removed.status(), 403)
        self.clock.advance(3)
        self.assertEqual(without.status(), 404)

    def test_bad_handshakes_do_not_wait(self) -> None:
        """What cannot become a WebSocket is answered at once."""
        self.assertEqual(self.dial("/1?access_token=ta", Sec_WebSocket_Version="12").status(), 426)
        self.assertEqual(self.dial("/1?access_token=no").status(), 403)

    def test_stopping(self) -> None:
        """They are answered at once, with Retry-After."""
        peer = self.dial("/1?access_token=ta")
        self.service.port.stop()
        self.assertEqual(peer.status(), 503)
        self.assertIn("retry-after: 3", peer.headers())


class BotAccountTests(SiteTestCase):
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

    def test_accounts(self) -> None:
        """A bot's default is its first account; another's is 403, one that is not there 404."""
        self.assertIn('"self_id":2', self.dial("/?access_token=tb").body())
        self.assertIn('"self_id":1', self.dial("/?access_token=ta").body())
        self.assertEqual(self.dial("/1?access_token=tb").status(), 403)
        self.assertEqual(self.dial("/3?access_token=tb").status(), 404)

    def test_L30_action_glued_to_a_refused_handshake(self) -> None:
        """An action glued to a refused handshake is never executed."""
        action = masked_frame(b'{"action":"send_private_msg","params":{"user_id":20001,"message":"x"}}')
        port = Peer(self).send(handshake("/?access_token=no") + action)
        self.assertEqual(port.status(), 403)
        self.assertEqual(port.read().count(b"HTTP/1.1"), 1)
        for sandbox in self.sandboxes():
            self.assertEqual(sandbox.world.last_message_id, 0)

    def test_nobody_hears_of_an_event_before_the_token(self) -> None:
        """L-28: events reach only bots that were authenticated."""
        good, refused = self.dial("/1?access_token=ta"), self.dial("/1")
        self.service.directory.accounts[1].publish(b'{"post_type":"notice","n":1}')
        self.assertIn('"n":1', good.body())
        self.assertNotIn('"n":1', refused.body())

    def test_an_implementation_at_a_bots_path(self) -> None:
        """It is told where to go."""
        port = self.dial("/", X_Client_Role="Universal", Authorization="Bearer bot")
        self.assertEqual(port.status(), 404)
        self.assertIn("/onebot/v11/ws", port.body())
