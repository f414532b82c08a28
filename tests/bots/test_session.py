"""What a bot sees over forward WebSocket, in memory."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lgtwist.bots.session import BotSession, Role
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.interfaces import IBotConnection
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot.responses import ok
from tests.hub.fakes import checked_link, directory_of
from tests.integration.rawclient import BINARY, CLOSE, handshake
from tests.pair import Pair, Peer
from tests.rounds import quick


class SessionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.set_up()

    def set_up(self) -> None:
        self.pair = Pair(send_buffer=10_000)
        self.account = Account(10001, self.pair.clock, self.pair.clock.seconds)
        self.bot = Bot(BotSettings("nonebot"))
        self.directory = directory_of([self.account], [self.bot], self.pair.clock)
        self.link = checked_link(self.account)
        self.account.links.opened(self.link)

    def dial(self, role: Role = Role.UNIVERSAL, heartbeat: float = 5.0) -> Peer:
        session = BotSession(
            self.pair.factory, self.bot, self.account, role=role, heartbeat_interval=heartbeat
        )
        verifyObject(IBotConnection, session)
        return self.pair.connect(session).open()

    def publish(self, number: int) -> None:
        self.account.publish(b'{"post_type":"notice","n":%d}' % number)


class SessionTests(SessionTestCase):
    def test_L37_lifecycle_is_first_whatever_happens(self) -> None:
        """Events before, in and after the handshake: the first frame is always the lifecycle."""
        session = BotSession(
            self.pair.factory, self.bot, self.account, role=Role.UNIVERSAL, heartbeat_interval=0.0
        )
        peer = self.pair.connect(session)
        for place in range(0, 200, 10):
            self.publish(place)
            peer.bytes(handshake()[place : place + 10] if place < 190 else handshake()[190:])
        peer = self.dial()
        self.publish(1)
        first, second = peer.messages()
        self.assertEqual((first["meta_event_type"], first["sub_type"]), ("lifecycle", "connect"))
        self.assertEqual(second, {"post_type": "notice", "n": 1})

    def test_L31_api_never_carries_events(self) -> None:
        """/api has no lifecycle, no heartbeat and no event, and answers actions."""
        peer = self.dial(Role.API)
        self.publish(1)
        self.pair.advance(20)
        self.assertEqual(peer.texts(), [])
        self.link.instantly = ok()
        peer.call("get_status")
        self.assertEqual([m["echo"] for m in peer.messages()], [1])

    def test_L24_event_takes_no_actions(self) -> None:
        """What is sent on /event is not done and not answered; the log says so once."""
        lines = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        peer = self.dial(Role.EVENT)
        peer.messages()
        for _ in range(10):
            peer.call("get_status")
            peer.send(b"\xff", BINARY)
        self.assertEqual((peer.frames(), self.link.sent), ([], []))
        warned = [e for e in lines if "takes no actions" in (e.get("log_format") or "")]  # type: ignore[attr-defined]
        self.assertEqual(len(warned), 1)
        self.publish(1)
        self.assertEqual(peer.messages(), [{"post_type": "notice", "n": 1}])

    def test_L34_heartbeats(self) -> None:
        """The first after one interval, then each interval without drift; the interval is told in ms."""
        peer = self.dial(heartbeat=3.0)
        peer.messages()
        self.pair.advance(2.9, step=0.1)
        self.assertEqual(peer.messages(), [])
        self.pair.advance(27.2, step=0.1)
        beats = peer.messages()
        self.assertEqual([b["time"] for b in beats], [3, 6, 9, 12, 15, 18, 21, 24, 27, 30])
        self.assertEqual(beats[0]["status"], {"online": True, "good": True})

    def test_L21_each_connection_has_its_own_beat(self) -> None:
        """A second client in the middle of an interval does not move the first one's beat."""
        first = self.dial()
        self.pair.advance(3)
        second = self.dial()
        first.messages(), second.messages()
        self.pair.advance(2)
        self.assertEqual((len(first.messages()), len(second.messages())), (1, 0))
        self.pair.advance(3)
        self.assertEqual((len(first.messages()), len(second.messages())), (0, 1))

    def test_L36_the_heartbeat_tells_the_truth(self) -> None:
        """While the account is down heartbeats say so."""
        peer = self.dial()
        self.account.links.closed(self.link, "gone")
        self.pair.advance(5)
        self.assertEqual(peer.messages()[-1]["status"], {"online": False, "good": False})

    def test_no_heartbeats(self) -> None:
        """An interval of 0 turns them off."""
        peer = self.dial(heartbeat=0.0)
        self.pair.advance(100)
        self.assertEqual(len(peer.messages()), 1)

    def test_L71_garbage_is_answered_and_the_connection_stays(self) -> None:
        """1400 for each, its echo where readable, in text and binary frames."""
        peer = self.dial(Role.API)
        for opcode in (1, BINARY):
            for text in ("{", "", "[]", "1", '{"action":5}', '{"action":null}', "{}", "[" * 100_000):
                peer.send(text, opcode)
        peer.send(b'{"action":"\xff","echo":"e"}', BINARY)
        answers = peer.messages()
        self.assertEqual([a["retcode"] for a in answers], [1400] * 17)
        self.assertEqual(answers[-1]["echo"], "e")
        self.assertTrue(self.pair.factory.is_open(peer.connection))

    def test_a_binary_action(self) -> None:
        """An action in a binary frame is an action."""
        self.link.instantly = ok()
        peer = self.dial(Role.API)
        peer.send(b'{"action":"get_status"}', BINARY)
        self.assertEqual(peer.messages()[0]["retcode"], 0)

    def test_L01_the_answer_to_a_vanished_peer(self) -> None:
        """A peer that asked and vanished: its calls are forgotten, the answer hurts nobody."""
        peer, other = self.dial(Role.API), self.dial(Role.API)
        peer.call("slow")
        other.call("slow")
        peer.lose()
        self.link.answer(0, ok())
        self.link.answer(1, ok())
        self.assertEqual(len(other.messages()), 1)
        self.assertEqual((self.account.counters.late_responses, self.bot.quota(self.account).calls), (1, 0))

    def test_the_drop_is_counted_and_logged_once_per_episode(self) -> None:
        """A slow reader's oldest events are dropped; one line at the beginning, one at the end."""
        lines = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        slow, good = self.dial(), self.dial()
        slow.transport.reading = False
        for number in range(5000):
            self.publish(number)
            if number % 100 == 0:
                self.pair.turn()
        self.assertEqual([m["n"] for m in good.messages() if "n" in m], list(range(5000)))
        slow.transport.reading = True
        seen = [m["n"] for m in slow.messages() if "n" in m]
        self.assertEqual((seen, seen[-1]), (sorted(seen), 4999))
        self.assertEqual(self.bot.counters.dropped_events, 5000 - len(seen))
        formats = [event.get("log_format") or "" for event in lines]  # type: ignore[attr-defined]
        self.assertEqual(sum("too slowly" in f for f in formats), 1)
        self.assertEqual(sum("caught up" in f for f in formats), 1)

    def test_a_bot_that_comes_and_goes_without_end(self) -> None:
        """It fills no disk with lines: 500 visits are told one by one, the other 500 in one line."""
        seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        for _ in range(1000):
            self.dial().lose()
        stays = self.dial()
        self.pair.advance(30)
        lines = [text for text in map(formatEvent, seen) if text.startswith("nonebot: ")]
        self.assertEqual(len(lines), 1001)
        self.assertIn("connected to account 10001 (Universal)", lines[998])
        self.assertIn("disconnected from account 10001", lines[999])
        self.assertEqual(
            lines[1000], "nonebot: connected or disconnected 1001 more times; connections now: 1"
        )
        stays.lose()
        self.assertIn("disconnected from account 10001", formatEvent(seen[-1]))

    def test_everything_ends_with_the_connection(self) -> None:
        """After the end no timer, no subscription and no call is left."""
        peer = self.dial()
        peer.call("slow")
        peer.lose()
        self.pair.turn()
        self.assertEqual((len(self.account.fan_out._subscribers), self.bot.counters.connections), (0, 0))
        self.account.links.closed(self.link, "end")
        self.assertEqual(self.pair.clock.getDelayedCalls(), [])

    def test_calls_in_flight_end_before_the_close_frame(self) -> None:
        """On shutdown calls in flight are answered 1502, then comes 1001."""
        peer = self.dial(Role.API)
        peer.call("slow", echo="e")
        self.account.links.closed(self.link, "lgtwist stops")
        self.pair.factory.close_all(1001, "lgtwist stops")
        (_text, answer), (closing, payload) = peer.frames()
        self.assertEqual((json.loads(answer)["retcode"], json.loads(answer)["echo"]), (1502, "e"))
        self.assertEqual((closing, payload[:2]), (CLOSE, b"\x03\xe9"))

    def test_an_implementation_at_the_other_end(self) -> None:
        """What is an answer or an event is not answered: two that answer each other's answers never end."""
        peer = self.pair.connect(
            BotSession(self.pair.factory, self.bot, self.account, role=Role.UNIVERSAL, heartbeat_interval=0)
        ).open()
        peer.texts()
        for text in ('{"status":"failed","retcode":1400,"data":null}', '{"post_type":"meta_event"}'):
            peer.send(text)
            self.assertEqual(peer.texts(), [])
        peer.send("{}")
        self.assertEqual([answer["retcode"] for answer in peer.messages()], [1400])


class ManyTests(SessionTestCase):
    @quick
    @given(
        st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["call", "answer", "lose", "event", "dial"])))
    )
    def test_L20b_exactly_one_answer_on_the_asking_connection(self, steps: list[tuple[int, str]]) -> None:
        """Whoever comes, asks and goes: each call is answered once, to its asker, and events keep order."""
        self.set_up()
        peers = [self.dial() for _ in range(4)]
        asked: list[tuple[Peer, int]] = []
        expected: dict[int, list[Any]] = {id(peer): [] for peer in peers}
        events: dict[int, list[int]] = {id(peer): [] for peer in peers}
        for number, (which, step) in enumerate(steps):
            peer = peers[which]
            alive = self.pair.factory.is_open(peer.connection)
            if step == "call" and alive:
                peer.call("a", echo=7, n=number)  # everybody uses the same echo
                asked.append((peer, number))
            elif step == "answer" and which < len(self.link.sent):
                self.link.answer(which, ok(b"%d" % asked[which][1]))
                asker, value = asked[which]
                if self.pair.factory.is_open(asker.connection) and value not in expected[id(asker)]:
                    expected[id(asker)].append(value)
            elif step == "lose":
                peer.lose()
            elif step == "event":
                self.publish(number)
                for one in peers:
                    if self.pair.factory.is_open(one.connection):
                        events[id(one)].append(number)
            elif step == "dial" and not alive:
                peers[which] = self.dial()
                expected[id(peers[which])] = []
                events[id(peers[which])] = []
        for peer in peers:
            if self.pair.factory.is_open(peer.connection):
                messages = peer.messages()
                self.assertEqual([m["data"] for m in messages if "retcode" in m], expected[id(peer)])
                self.assertEqual([m["n"] for m in messages if "n" in m], events[id(peer)])
                self.assertEqual(messages[0]["meta_event_type"], "lifecycle")
