"""Which handshakes were refused of late: what is kept, for how long, and what makes room."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.web.refused_handshakes import Named, Reason, RefusedHandshake, RefusedHandshakes
from tests.integration.rawclient import handshake
from tests.rounds import quick
from tests.web.site_case import Peer, SiteTestCase

#: Seconds since the epoch when the clock stands at zero.
EPOCH = 1_700_000_000.0
HOUR = 3600.0


def is_configured(named: Named) -> bool:
    return named.account == 1 or named.bot == "configured"


ADDRESSES = st.sampled_from(["a", "b", "c"])
NAMES = st.builds(Named, st.sampled_from([None, 1, 2, 3, 4]), st.sampled_from([None, "configured"]))
STEPS = st.lists(
    st.tuples(
        ADDRESSES,
        NAMES,
        st.sampled_from([Reason.TOKEN, Reason.ACCOUNT]),
        st.sampled_from([401, 403]),
        st.sampled_from([0.0, 1.0, 1000.0, HOUR]),
    ),
    max_size=60,
)


class BoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.refused = self.make()

    def make(self, **bounds: int) -> RefusedHandshakes:
        return RefusedHandshakes(self.clock, lambda: EPOCH + self.clock.seconds(), is_configured, **bounds)

    def shown(self) -> list[tuple[str, int | None, str | None, str, int]]:
        return [(one.address, one.account, one.bot, one.reason, one.times) for one in self.refused.recent()]

    @quick
    @given(STEPS, st.integers(1, 8), st.integers(1, 8))
    def test_bounds(self, steps: Any, most: int, most_of_address: int) -> None:
        """Whatever comes: so many, so many of an address, an hour; nothing nameless removes a named one."""
        self.setUp()
        self.refused = self.make(most=most, most_of_address=most_of_address)
        for number, (address, named, reason, status, pause) in enumerate(steps):
            self.clock.advance(pause)
            before = {key_of(one): one for one in self.refused.recent()}
            self.refused.add(address, named, reason, status, f"sentence {number}")
            recent = self.refused.recent()
            after = {key_of(one): one for one in recent}
            key = (address, named, reason.value, status)
            self.assertLessEqual(len(recent), most)
            for other in ("a", "b", "c"):
                self.assertLessEqual(sum(one.address == other for one in recent), most_of_address)
            now = EPOCH + self.clock.seconds()
            for one in recent:
                self.assertGreater(one.last, now - HOUR)
            self.assertEqual([one.last for one in recent], sorted((o.last for o in recent), reverse=True))
            gone = before.keys() - after.keys()
            crowd = {one for one in before if one[0] == address}
            if len(crowd) < most_of_address:
                crowd = set(before)
            all_configured = all(is_configured(one[1]) for one in crowd)
            self.assertLessEqual(len(gone), 1)
            if key in after:
                times = before[key].times if key in before else 0
                first = before[key].first if key in before else now
                wanted = (times + 1, first, now, f"sentence {number}")
                one = after[key]
                self.assertEqual((one.times, one.first, one.last, one.sentence), wanted)
                self.assertEqual(recent[0], one)
            else:  # it had to stand back, for all that are kept are of more use
                self.assertFalse(is_configured(named))
                self.assertEqual((gone, all_configured), (set(), True))
            for lost in gone:
                self.assertIn(lost, crowd)
                self.assertEqual(is_configured(lost[1]), all_configured)
                self.assertTrue(is_configured(named) or not is_configured(lost[1]))
                alike = [one for one in crowd if is_configured(one[1]) == all_configured]
                self.assertEqual(before[lost].times, min(before[one].times for one in alike))
            for same in before.keys() & after.keys() - {key}:
                self.assertEqual(before[same], after[same])
        self.assertEqual(sum(self.refused.counts.values()), len(steps))

    def test_a_port_scanner(self) -> None:
        """Thousands of strangers push out neither a bot with a wrong token nor an implementation."""
        for _ in range(3):
            self.refused.add("10.0.0.5", Named(), Reason.TOKEN, 403, "the token is wrong")
        self.refused.add("10.0.0.6", Named(1), Reason.TOKEN, 401, "a token is needed")
        for number in range(5000):
            self.clock.advance(0.1)
            self.refused.add(f"10.1.{number // 250}.{number % 250}", Named(), Reason.PATH, 404, "nothing")
            self.refused.add("10.2.0.1", Named(1000 + number), Reason.ACCOUNT, 403, "no such account")
        shown = self.shown()
        self.assertIn(("10.0.0.5", None, None, "token", 3), shown)
        self.assertIn(("10.0.0.6", 1, None, "token", 1), shown)
        self.assertEqual((len(shown), sum(one[0] == "10.2.0.1" for one in shown)), (200, 50))
        self.assertEqual(self.refused.counts[Reason.ACCOUNT], 5000)

    def test_an_hour(self) -> None:
        """What comes again is kept for an hour more; what does not is forgotten."""
        self.refused.add("a", Named(1), Reason.TOKEN, 403, "one")
        self.refused.add("b", Named(1), Reason.TOKEN, 403, "two")
        self.clock.advance(HOUR - 1)
        self.refused.add("a", Named(1), Reason.TOKEN, 403, "three")
        self.clock.advance(1)
        [left] = self.refused.recent()
        self.assertEqual(
            left,
            RefusedHandshake(
                address="a",
                account=1,
                bot=None,
                reason="token",
                status=403,
                sentence="three",
                times=2,
                first=EPOCH,
                last=EPOCH + HOUR - 1,
            ),
        )
        self.assertEqual(json.loads(msgspec.json.encode(left))["times"], 2)
        self.clock.advance(HOUR - 1)
        self.assertEqual(self.refused.recent(), [])

    def test_sentences(self) -> None:
        """A sentence is printable and bounded."""
        self.refused.add("a", Named(), Reason.HOST, 403, "\n" + "x" * 1000)
        self.assertEqual(self.refused.recent()[0].sentence, "\ufffd" + "x" * 199)


def key_of(one: RefusedHandshake) -> tuple[str, Named, str, int]:
    return one.address, Named(one.account, one.bot), one.reason, one.status


class PortTests(SiteTestCase):
    toml = """
        [server]
        admin_token = "admin"
        [limits]
        failed_handshakes = 3
        connections = 50
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        type = "reverse-websocket"
        access_token = "account"
        [[accounts]]
        self_id = 3
        type = "http"
        url = "http://127.0.0.1:1/"
        secret = "secret"
        [[accounts]]
        self_id = 4
        type = "reverse-websocket"
        [[bots]]
        name = "one"
        access_token = "right"
        accounts = [1, 2]
    """

    def refused(self) -> list[tuple[int | None, str | None, str, int]]:
        """What was refused since the last time: account, bot, reason and status, the oldest first."""
        refused = self.service.port.refused_handshakes
        kept = [(one.account, one.bot, one.reason, one.status) for one in reversed(refused.recent())]
        for text in msgspec.json.encode(refused.recent()), repr(refused._entries).encode():
            for token in b"SECRET", b"right", b"admin":
                self.assertNotIn(token, text)
        refused._entries.clear()
        return kept

    def test_bots(self) -> None:
        """A bot's handshake names the account in its path, and the bot once its token is right."""
        right = {"Authorization": "Bearer right"}
        for path, headers, wanted in (
            ("/", {}, (None, None, "token", 401)),
            ("/?access_token=SECRET", {}, (None, None, "token", 403)),
            ("/1/api", {"Authorization": "Bearer SECRET"}, (1, None, "token", 403)),
            ("/9/?access_token=right", {}, (9, "one", "account", 404)),
            ("/3/", right, (3, "one", "account", 403)),
            ("/2/", right, (2, "one", "account", 503)),
            ("/", {**right, "Sec_WebSocket_Version": "12"}, (1, "one", "handshake", 426)),
            ("/nothing?access_token=right", {}, (None, None, "path", 404)),
            ("/", {"X_Client_Role": "Universal", "X_Self_ID": "2"}, (2, None, "path", 404)),
        ):
            self.service.port.connection_limits._failures.clear()
            self.dial(path, **headers).read()
            self.clock.advance(3)  # the account is not up
            self.assertEqual(self.refused(), [wanted], path)
        self.get("/1/event").read()
        self.assertEqual(self.refused(), [(1, None, "handshake", 426)])

    def test_implementations(self) -> None:
        """An implementation's handshake or post names the account of its X-Self-ID, configured or not."""
        for headers, host, wanted in (
            ({}, "localhost", (None, None, "path", 404)),
            ({"X_Self_ID": "9"}, "localhost", (9, None, "account", 403)),
            ({"X_Self_ID": "1"}, "localhost", (1, None, "account", 403)),
            ({"X_Self_ID": "2"}, "localhost", (2, None, "token", 401)),
            ({"X_Self_ID": "2", "Authorization": "Bearer SECRET"}, "x", (2, None, "token", 403)),
            ({"X_Self_ID": "4"}, "example.org", (4, None, "host", 403)),
            ({"X_Self_ID": "4", "Sec_WebSocket_Key": "x"}, "localhost", (4, None, "handshake", 400)),
        ):
            self.service.port.connection_limits._failures.clear()
            self.dial("/onebot/v11/ws", host, **headers).read()
            self.assertEqual(self.refused(), [wanted])
        self.get("/onebot/v11/ws", X_Self_ID="4").read()
        self.assertEqual(self.refused(), [(4, None, "handshake", 426)])
        self.dial("/onebot/v11/nothing").read()
        self.assertEqual(self.refused(), [(None, None, "path", 404)])

    def test_posts(self) -> None:
        """So does a post; an event that is malformed is no refused handshake."""
        for headers, wanted in (
            ({}, (None, None, "account", 400)),
            ({"X_Self_ID": "2"}, (2, None, "account", 403)),
            ({"X_Self_ID": "3"}, (3, None, "token", 401)),
            ({"X_Self_ID": "3", "X_Signature": "sha1=00"}, (3, None, "token", 403)),
        ):
            self.service.port.connection_limits._failures.clear()
            self.get("/onebot/v11/post", "POST", b"{}", **headers).read()
            self.assertEqual(self.refused(), [wanted])

    def test_what_is_none(self) -> None:
        """Actions over HTTP, the operator's pages and paths that lead nowhere are no handshakes."""
        for path in (
            "/get_status",
            "/get_status?access_token=SECRET",
            "/metrics",
            "/sandbox/1/x",
            "/a/b/c",
            "/",
        ):
            self.get(path, Host="example.org").read()
        self.assertEqual(self.refused(), [])

    def test_limits(self) -> None:
        """Too many failures of an address are counted apart, and so is one connection too many."""
        for _ in range(5):
            peer = Peer(self)
            peer.transport.getPeer = lambda: IPv4Address("TCP", "10.0.0.1", 1)
            peer.send(handshake("/?access_token=SECRET")).read()
        times = {(one.reason, one.status): one.times for one in self.service.port.refused_handshakes.recent()}
        self.assertEqual(times, {("token", 403): 3, ("limit", 503): 2})
        self.assertEqual(self.service.port.refused_handshakes.recent()[0].address, "10.0.0.1")
        self.refused()
        for _ in range(12):
            self.assertEqual(self.dial(Authorization="right").status(), 101)
        self.assertEqual(self.dial(Authorization="right").status(), 503)
        self.assertEqual(self.refused(), [(None, "one", "limit", 503)])
        action = self.get("/get_status", Authorization="right")
        self.assertEqual(action.status(), 503)
        self.assertIn('"retcode":1429', action.body())
        self.assertIn("its share of limits.connections", action.body())
        self.assertEqual(self.refused(), [], "it is no handshake")

    def test_metrics(self) -> None:
        """They are counted by reason."""
        self.dial("/").read()
        self.dial("/nothing").read()
        shown = self.get("/metrics", Authorization="Bearer admin").body()
        for reason, count in {"token": 1, "path": 1, "host": 0, "limit": 0}.items():
            self.assertIn(f'lgtwist_refused_handshakes_total{{reason="{reason}"}} {count}.0', shown)
