"""What can be seen of a bot from outside: its connections, what is dialled, what is posted."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from attrs import evolve
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from zope.interface.verify import verifyObject

from lgtwist.bots.session import BotSession, Role
from lgtwist.hub.interfaces import IBotSession, IDialler, IPoster
from lgtwist.hub.snapshots import EndedSession, OpenSession, PostFailure, PostingState
from lgtwist.websocket.dial import DialState
from tests.bots.test_session import SessionTestCase
from tests.bots.test_webhook import PostTestCase
from tests.integration.rawclient import handshake
from tests.web.site_case import Peer, SiteTestCase


class SessionSnapshotTests(SessionTestCase):
    def connect(self, address: str, role: Role = Role.UNIVERSAL) -> Any:
        self.session = BotSession(
            self.pair.factory,
            self.bot,
            self.account,
            role=role,
            heartbeat_interval=0.0,
            address=address,
            user_agent="websockets/15",
        )
        verifyObject(IBotSession, self.session)
        return self.pair.connect(self.session)

    def test_open(self) -> None:
        """Each open connection is listed, the oldest first; one that shakes hands is none yet."""
        peer = self.connect("127.0.0.1:5000")
        self.assertEqual((self.bot.open_sessions(), self.session.snapshot()), ([], None))
        self.pair.advance(3)
        peer.open()
        self.pair.advance(1)
        self.connect("[::1]:5001", Role.API).open()
        first = OpenSession(
            account=10001,
            role="Universal",
            address="127.0.0.1:5000",
            user_agent="websockets/15",
            since=3.0,
        )
        self.assertEqual(self.bot.open_sessions()[0], first)
        self.assertEqual(
            [(one.address, one.role, one.since) for one in self.bot.open_sessions()],
            [("127.0.0.1:5000", "Universal", 3.0), ("[::1]:5001", "API", 4.0)],
        )
        self.assertEqual(json.loads(msgspec.json.encode(first))["since"], 3.0)

    def test_ended(self) -> None:
        """The one that ended last is kept, with its code, its reason and how long it lasted."""
        self.connect("127.0.0.1:4999").lose()  # it was never open
        self.assertIsNone(self.bot.last_ended)
        first, second = self.connect("127.0.0.1:5000").open(), self.connect("127.0.0.1:5001").open()
        self.pair.advance(2)
        first.lose()
        last = self.bot.last_ended
        assert last is not None
        self.assertEqual(
            (last.address, last.code, last.time, last.lasted), ("127.0.0.1:5000", 1006, 2.0, 2.0)
        )
        self.assertNotEqual(last.reason, "")
        self.pair.advance(1)
        second.send(b"\x0f\xa1bye\n", 0x8)
        self.pair.advance(1)
        wanted = EndedSession(
            account=10001,
            role="Universal",
            address="127.0.0.1:5001",
            user_agent="websockets/15",
            code=4001,
            reason="closed by the peer: bye\ufffd",
            time=3.5,
            lasted=3.5,
        )
        self.assertEqual((self.bot.last_ended, self.bot.open_sessions()), (wanted, []))


class PostingTests(PostTestCase):
    def state(self) -> PostingState:
        [(self_id, state)] = self.service.postings().items()
        self.assertEqual(self_id, 10001)
        return state

    def test_posting(self) -> None:
        """Failures in a row, the newest one with its time, and how long posting pauses."""
        state = PostingState(target="http://x/", running=True, failures=0, paused_for=None, last_failure=None)
        self.assertEqual(self.state(), state)
        self.clock.advance(1)
        self.publish(0)
        self.client.answer(500)
        failure = PostFailure(time=1.0, reason="HTTP 500")
        self.assertEqual(self.state(), evolve(state, failures=1, last_failure=failure))
        self.clock.advance(1)
        for n in range(4):
            self.publish(n)
            self.client.fail()
        state = self.state()
        self.assertEqual((state.failures, state.paused_for), (5, 1.0))
        self.clock.advance(0.75)
        self.assertEqual(self.state(), evolve(state, paused_for=0.25))
        self.assertEqual(json.loads(msgspec.json.encode(state))["last_failure"]["time"], 2.0)
        self.clock.advance(0.25)
        self.assertEqual(self.state(), evolve(state, paused_for=None))
        self.publish(9)
        self.client.answer()
        self.assertEqual(self.state(), evolve(state, failures=0, paused_for=None))
        self.service.retire()
        self.assertEqual(self.state().running, False)


class DialTests(SiteTestCase):
    toml = """
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        type = "forward-websocket"
        url = "ws://127.0.0.1:1/api?access_token=SECRET"
        [[bots]]
        name = "dialled"
        access_token = "dialled"
        connection = "reverse-websocket"
        url = "ws://127.0.0.1:2/x?token=SECRET"
        [[bots]]
        name = "posted"
        connection = "http-post"
        url = "http://127.0.0.1:2/x?token=SECRET"
    """

    def test_by_interface(self) -> None:
        """Every edge that dials or posts says by account how that goes, and shows no query."""
        account: dict[int, list[DialState]] = IDialler(self.service.account_edge(2)).dials()
        self.assertEqual(
            [(number, [one.target for one in states]) for number, states in account.items()],
            [(2, ["ws://127.0.0.1:1/api", "ws://127.0.0.1:1/event"])],
        )
        self.assertEqual([one.attempts for one in account[2]], [1, 1])
        bot: dict[int, list[DialState]] = IDialler(self.service.bot_edge("dialled")).dials()
        self.assertEqual(
            [(number, [(one.target, one.attempts) for one in states]) for number, states in bot.items()],
            [(1, [("ws://127.0.0.1:2/x", 1)]), (2, [("ws://127.0.0.1:2/x", 0)])],
        )
        posts: dict[int, PostingState] = IPoster(self.service.bot_edge("posted")).postings()
        self.assertEqual(
            [(number, one.target, one.running) for number, one in posts.items()],
            [(1, "http://127.0.0.1:2/x", True), (2, "http://127.0.0.1:2/x", False)],
        )


class ForwardTests(SiteTestCase):
    def session(self, address: Any, **headers: str) -> OpenSession:
        """Return what is seen of a bot that connects from an address."""
        bot = self.service.directory.bots["default"]
        before = bot.open_sessions()
        peer = Peer(self)
        peer.transport.getPeer = lambda: address
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        peer.send(handshake("/", named, "localhost"))
        self.assertEqual(peer.status(), 101)
        [session] = [one for one in bot.open_sessions() if one not in before]
        return session

    def test_address(self) -> None:
        """The address is the peer's, with its port."""
        for address, shown in (
            (IPv4Address("TCP", "127.0.0.1", 5000), "127.0.0.1:5000"),
            (IPv6Address("TCP", "::1", 5000), "[::1]:5000"),
            (UNIXAddress("/run/x"), "unix socket"),
        ):
            self.assertEqual(self.session(address).address, shown)

    def test_user_agent(self) -> None:
        """The User-Agent is printable, and 200 characters of it are kept."""
        address = IPv4Address("TCP", "127.0.0.1", 5000)
        session = self.session(address)
        self.assertEqual((session.user_agent, session.since), ("", 1_700_000_000.0))
        self.assertEqual(
            self.session(address, User_Agent="a\tb" + "c" * 1000).user_agent, "a\ufffdb" + "c" * 197
        )
