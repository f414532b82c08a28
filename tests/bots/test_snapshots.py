"""What can be seen of a bot from outside: its connections, and the one that ended last."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from zope.interface.verify import verifyObject

from lgtwist.bots.session import BotSession, Role
from lgtwist.hub.interfaces import IBotSession
from lgtwist.hub.snapshots import EndedSession, OpenSession
from tests.bots.test_session import SessionTestCase
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
