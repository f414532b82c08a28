"""A WebSocket that takes events which must not be lost, in memory: pings name positions, pongs confirm."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lgtwist.bots import ping_acks as sink
from lgtwist.bots.ping_acks import WebSocketSink
from lgtwist.bots.session import BotSession, Role
from lgtwist.delivery.interfaces import IEventSink
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.settings import BotSettings
from lgtwist.journal.journal import Journal
from lgtwist.onebot.responses import ok
from tests.hub.fakes import checked_link, directory_of
from tests.integration.rawclient import PING, PONG, TEXT
from tests.journal.memory_store import InlineWorker, MemoryStore
from tests.pair import Pair, Peer

WINDOW = WebSocketSink.window
PAUSE = sink._PAUSE


class SinkTestCase(SynchronousTestCase):
    """One account, one bot that asked for certain delivery."""

    def setUp(self) -> None:
        self.pair = Pair(send_buffer=200_000)
        clock = self.pair.clock
        self.account = Account(10001, clock, clock.seconds)
        self.bot = Bot(BotSettings("nonebot"))
        self.directory = directory_of([self.account], [self.bot], clock)
        self.link = checked_link(self.account)
        self.link.instantly = ok()
        self.account.links.opened(self.link)
        self.store = MemoryStore()
        self.journal = Journal(self.store, lambda _name: InlineWorker(), clock, clock.seconds)
        self.deliveries = Deliveries(self.journal, clock, clock.seconds, window_bytes=200_000, patience=60.0)
        self.deliveries.add(self.bot, self.account, ReplayPolicy())
        self.journal.open(self.deliveries.pairs())
        self.deliveries.begin()
        self.delivery = self.bot.deliveries[10001]
        self.number = 0

    def dial(self, role: Role = Role.EVENT, heartbeat: float = 0.0) -> Peer:
        """A connection of the bot, its lifecycle read."""
        session = BotSession(
            self.pair.factory, self.bot, self.account, role=role, heartbeat_interval=heartbeat
        )
        peer = self.pair.connect(session).open()
        if session._sink is not None:
            verifyObject(IEventSink, session._sink)
        return peer

    def publish(self, *sizes: int) -> None:
        """One event for each size, in a turn each."""
        for size in sizes:
            self.number += 1
            self.account.publish(b'{"post_type":"notice","n":%d,"x":"%b"}' % (self.number, b"x" * size))
            self.turn()

    def turn(self) -> None:
        for _ in range(3):
            self.pair.turn()

    def what_came(self, peer: Peer) -> list[Any]:
        """Events by number, and the payloads of pings; meta events left out."""
        self.turn()
        found: list[Any] = []
        for opcode, payload in peer.frames():
            if opcode == PING:
                found.append(payload)
            elif opcode == TEXT:
                message = json.loads(payload)
                if message.get("post_type") != "meta_event":
                    found.append(message.get("n", message))
        return found

    def numbers(self, peer: Peer) -> list[int]:
        return [one for one in self.what_came(peer) if isinstance(one, int)]

    def answer(self, peer: Peer) -> list[Any]:
        """The same, and every ping is answered."""
        came = self.what_came(peer)
        for one in came:
            if isinstance(one, bytes):
                peer.send(one, PONG)
        return came

    def pings(self, peer: Peer) -> list[bytes]:
        return [one for one in self.what_came(peer) if isinstance(one, bytes)]


class PingTests(SinkTestCase):
    def test_a_ping_follows_the_events(self) -> None:
        """It names the position of the last of them; its pong confirms them, and nothing later."""
        peer = self.dial()
        self.publish(0)
        self.assertEqual(self.what_came(peer), [1, b"1.1"])
        self.publish(0, 0)
        self.assertEqual(self.delivery.unconfirmed, 3)
        peer.send(b"1.1", PONG)
        self.assertEqual((self.delivery.cursor, self.delivery.unconfirmed), (1, 2))

    def test_events_of_one_turn(self) -> None:
        """One ping for all of them, behind the last."""
        peer = self.dial()
        self.account.fan_out.is_scheduled = True
        for _ in range(5):
            self.number += 1
            self.account.publish(b'{"post_type":"notice","n":%d}' % self.number)
        self.account.fan_out.dispatch()
        self.assertEqual(self.what_came(peer), [1, 2, 3, 4, 5, b"1.5"])
        self.assertEqual(self.journal.counters.commits, 1)

    def test_one_at_a_time(self) -> None:
        """The next is sent when the last was answered, and names all that was sent until then."""
        peer = self.dial()
        self.publish(0)
        self.answer(peer)
        self.publish(0, 0)
        self.pair.advance(PAUSE - 0.01)
        self.assertEqual(self.what_came(peer), [2, 3])
        self.pair.advance(0.02)
        self.assertEqual(self.what_came(peer), [b"2.3"])
        self.publish(0, 0)
        self.pair.advance(5)
        self.assertEqual(self.what_came(peer), [4, 5])
        peer.send(b"2.3", PONG)
        self.assertEqual(self.what_came(peer), [b"3.5"])
        peer.send(b"3.5", PONG)
        self.assertEqual((self.delivery.cursor, self.delivery.unconfirmed), (5, 0))
        self.pair.advance(5)
        self.assertEqual(self.what_came(peer), [])

    def test_the_ping_that_is_due(self) -> None:
        """It names the newest position, whatever was not answered, and its pong confirms all before."""
        peer = self.dial()
        self.publish(0)
        self.assertEqual(self.what_came(peer), [1, b"1.1"])
        self.publish(0, 0)
        self.pair.advance(16)
        self.assertEqual(self.what_came(peer), [2, 3, b"2.3"])
        self.publish(0)
        self.pair.advance(10)
        self.assertEqual(self.what_came(peer), [4])
        peer.send(b"2.3", PONG)
        self.assertEqual(self.delivery.cursor, 3)
        self.assertEqual(self.what_came(peer), [b"3.4"])

    def test_a_library_that_answers_the_newest_only(self) -> None:
        """RFC 6455, 5.5.3 allows that."""
        peer = self.dial()
        self.publish(0)
        self.pair.advance(16)
        self.publish(0)
        self.pair.advance(16)
        newest = self.pings(peer)[-1]
        peer.send(newest, PONG)
        self.assertEqual(self.delivery.unconfirmed, 0)

    def test_not_many_pings(self) -> None:
        """One for each pause, however quick the bot is; but not more than some hundred events without one."""
        peer = self.dial()
        pings = events = 0
        for _ in range(200):
            self.publish(0)
            came = self.answer(peer)
            pings += sum(isinstance(one, bytes) for one in came)
            events += sum(isinstance(one, int) for one in came)
            self.pair.advance(0.005, 0.005)
        self.assertEqual(events, 200)
        self.assertTrue(0.7 / PAUSE <= pings <= 1 + 1 / PAUSE, pings)
        self.publish(*[0] * 600)  # in no time at all
        self.assertEqual(sum(isinstance(one, bytes) for one in self.answer(peer)), 1)
        self.pair.advance(2 * PAUSE)
        self.answer(peer)
        self.assertEqual(self.delivery.unconfirmed, 0)

    def test_many_events_at_once(self) -> None:
        """So many, and there is a ping, but not one for each."""
        self.patch(sink, "_EVENTS", 50)
        peer = self.dial()
        pings = 0
        for _ in range(200):
            self.publish(0)
            pings += sum(isinstance(one, bytes) for one in self.answer(peer))
        self.assertTrue(4 <= pings <= 6, pings)

    def test_without_pings_of_life(self) -> None:
        """``ping_interval = "0s"`` turns off those, not these."""
        self.pair = Pair(ping_interval=0.0)
        self.setUp_with(self.pair)
        peer = self.dial()
        self.publish(0)
        self.answer(peer)
        self.publish(0)
        self.pair.advance(2 * PAUSE)
        self.answer(peer)
        self.assertEqual((self.delivery.unconfirmed, self.delivery.cursor), (0, 2))

    def setUp_with(self, pair: Pair) -> None:
        made, self.pair = SinkTestCase.setUp, pair
        made(self)
        pair.clock = self.account.clock  # type: ignore[assignment]
        pair.factory = pair.make_factory(self.pair.factory.limits)
        self.pair = pair

    def test_other_pongs(self) -> None:
        """Unsolicited, invented and repeated ones confirm nothing."""
        peer = self.dial()
        for payload in (b"", b"1", b"1.1", b"0.0", b"99.99", b"-1.5", b"x", b"9" * 100):
            peer.send(payload, PONG)
        self.publish(0)
        self.assertEqual(self.what_came(peer), [1, b"1.1"])
        for payload in (b"", b"0", b"2", b"2.1", b"99", b"99.99", b".1", b"x.1", b"\xff"):
            peer.send(payload, PONG)
            self.assertEqual(self.delivery.cursor, 0, payload)
        peer.send(b"1.1", PONG)
        self.assertEqual(self.delivery.cursor, 1)
        self.publish(0)
        self.pair.advance(2 * PAUSE)
        for payload in (b"1.1", b"1.2", b"1"):
            peer.send(payload, PONG)
        self.assertEqual(self.delivery.cursor, 1)
        self.assertEqual(self.what_came(peer), [2, b"2.2"])

    def test_a_bot_that_never_answers(self) -> None:
        """It gets the window once, stays connected for as long as it likes, and costs no more."""
        peer = self.dial()
        self.publish(*[0] * 50)
        self.account.fan_out.is_scheduled = True
        for _ in range(WINDOW):
            self.number += 1
            self.account.publish(b'{"post_type":"notice","n":%d}' % self.number)
        self.account.fan_out.dispatch()
        for _ in range(20):
            self.pair.advance(60, 5)
            self.deliveries.check()
            self.publish(0)
        self.assertEqual(self.numbers(peer), list(range(1, WINDOW + 1)))
        self.assertFalse(peer.transport.disconnecting)
        self.assertTrue(self.delivery.silent)
        peer.lose()
        self.assertEqual(self.numbers(self.dial())[:3], [1, 2, 3])

    def test_one_that_answers_late(self) -> None:
        """Then it gets what comes behind the window."""
        peer = self.dial()
        self.publish(*[0] * (WINDOW + 10))
        came = self.what_came(peer)
        self.assertEqual(len([one for one in came if isinstance(one, int)]), WINDOW)
        self.pair.advance(120, 5)
        peer.send(b"1.1", PONG)
        self.answer(peer)
        self.pair.advance(1)
        self.answer(peer)
        self.pair.advance(1)
        self.answer(peer)
        self.assertEqual((self.delivery.unconfirmed, self.delivery.backlog), (0, 0))

    def test_a_break_between_event_and_pong(self) -> None:
        """What was not confirmed comes again on the next connection, after its lifecycle."""
        peer = self.dial()
        self.publish(0)
        self.answer(peer)
        self.publish(0, 0)
        peer.lose()
        self.publish(0)
        self.assertEqual(self.delivery.unconfirmed, 0)
        peer = self.dial()
        self.turn()
        first, *others = peer.messages()
        self.assertEqual(first["meta_event_type"], "lifecycle")
        self.assertEqual([one["n"] for one in others], [2, 3, 4])

    def test_after_our_own_close(self) -> None:
        """A stop of the service costs nothing: what was under way comes again."""
        peer = self.dial()
        self.publish(0)
        self.pair.factory.close(peer.connection, 1001, "stopping")
        self.publish(0)
        peer.close(1001)
        self.turn()
        self.assertEqual(self.numbers(self.dial()), [1, 2])


class FlowTests(SinkTestCase):
    def test_a_bot_that_does_not_read(self) -> None:
        """Not much waits for it in memory, however much there is; it gets all of it when it reads."""
        peer = self.dial()
        peer.transport.reading = False
        self.publish(*[2000] * 300)
        self.assertLess(peer.transport.waiting + peer.connection.outbox.response_bytes, 80_000)
        self.assertTrue(peer.connection.write_paused)
        peer.transport.reading = True
        got: list[int] = []
        for _ in range(100):
            got += [one for one in self.answer(peer) if isinstance(one, int)]
            self.pair.advance(2 * PAUSE)
        self.assertEqual(got, list(range(1, 301)))

    def test_a_pause(self) -> None:
        """When the transport takes more, more is sent: that is not left to pongs."""
        peer = self.dial()
        peer.transport.reading = False
        self.publish(*[2000] * 60)
        self.assertTrue(peer.connection.write_paused)
        peer.transport.reading = True
        self.assertEqual(self.numbers(peer), list(range(1, 61)))

    def test_responses_and_heartbeats(self) -> None:
        """Both go their way between the events."""
        peer = self.dial(Role.UNIVERSAL, 5.0)
        peer.messages()
        self.publish(0)
        peer.call("get_status", echo=7)
        self.publish(0)
        self.pair.advance(6)
        messages = peer.messages()
        self.assertEqual([one["n"] for one in messages if "n" in one], [1, 2])
        self.assertEqual([one["echo"] for one in messages if "echo" in one], [7])
        self.assertEqual(sum(one.get("post_type") == "meta_event" for one in messages), 1)

    def test_a_connection_without_events(self) -> None:
        """/api takes nothing, and its pings name nothing."""
        peer = self.dial(Role.API)
        self.publish(0)
        self.pair.advance(16)
        self.assertEqual(self.what_came(peer), [b"1"])
        self.assertEqual((self.delivery.unconfirmed, self.delivery.cursor), (0, 0))


class TakeoverTests(SinkTestCase):
    def test_the_older_goes_on_as_live(self) -> None:
        """It gets what happens, but confirms nothing; when the newer ends it takes the cursor back."""
        older = self.dial()
        self.publish(0)
        [_event, ping] = self.what_came(older)
        newer = self.dial()
        self.assertEqual(self.what_came(newer), [1, b"1.1"])
        self.publish(0)
        self.assertEqual(self.numbers(older), [2])
        older.send(ping, PONG)
        self.assertEqual(self.delivery.cursor, 0)
        self.pair.advance(2 * PAUSE)
        newer.send(b"1.1", PONG)
        self.answer(newer)
        self.pair.advance(2 * PAUSE)
        self.answer(newer)
        self.assertEqual(self.delivery.cursor, 2)
        self.publish(0)
        newer.lose()
        self.turn()
        came = self.answer(older)
        self.assertEqual([one for one in came if isinstance(one, int)], [3, 3])
        self.publish(0)
        self.pair.advance(0.2)
        self.assertEqual([one for one in self.answer(older) if isinstance(one, int)], [4])
        self.pair.advance(20)
        self.answer(older)
        self.assertEqual((self.delivery.unconfirmed, self.delivery.cursor), (0, 4))

    def test_a_ping_from_before(self) -> None:
        """Its pong, after the connection lost the delivery and got it back, confirms nothing new."""
        older = self.dial()
        self.publish(0, 0)
        [*_events, ping] = [one for one in self.what_came(older) if isinstance(one, bytes)] or [None]
        newer = self.dial()
        self.turn()
        newer.lose()
        self.turn()
        self.assertEqual(self.delivery.unconfirmed, 2)
        older.send(ping, PONG)
        self.assertEqual(self.delivery.cursor, 0)
        self.pair.advance(20)
        self.answer(older)
        self.assertEqual((self.delivery.unconfirmed, self.delivery.cursor), (0, 2))


class RefusalTests(SinkTestCase):
    def refusals(self, code: int | None, before: Any = None, size: int = 0, times: int = 6) -> int:
        """How many events are skipped where a bot ends so often with a code when it is sent one."""
        self.publish(size)
        for _ in range(times):
            peer = self.dial(Role.UNIVERSAL)
            self.turn()
            if before is not None:
                before(peer)
                self.turn()
            if code is None:
                peer.lose()
            else:
                peer.close(code)
            self.turn()
        return self.delivery.counters.refused

    def test_codes(self) -> None:
        """Only those that say so refuse: all others are the bot's own trouble."""
        for code in (1003, 1007, 1009):
            self.setUp()
            self.assertEqual(self.refusals(code), 1, code)
        for code in (None, 1000, 1001, 1002, 1008, 1011, 3000, 4000):
            self.setUp()
            self.assertEqual(self.refusals(code, times=20), 0, code)

    def test_what_we_close(self) -> None:
        """A close that the bot only answers refuses nothing."""

        def close(peer: Peer) -> None:
            self.pair.factory.close(peer.connection, 1009, "too large")

        self.assertEqual(self.refusals(1009, close, times=20), 0)

    def test_a_response_since(self) -> None:
        """It may have been the response that the bot would not have."""
        for code in (1003, 1007):
            self.setUp()
            self.assertEqual(self.refusals(code, lambda peer: peer.call("get_status"), times=20), 0)

    def test_a_smaller_response_is_not_too_large(self) -> None:
        """A bot that asks something each time it connects does not hide what is too large for it."""
        self.assertEqual(self.refusals(1009, lambda peer: peer.call("get_status"), size=500), 1)

    def test_a_larger_response_may_be_too_large(self) -> None:
        """Then nothing is skipped for it."""
        self.link.instantly = ok(b'"%b"' % (b"x" * 1000))
        self.assertEqual(self.refusals(1009, lambda peer: peer.call("get_status"), size=500, times=20), 0)

    def test_a_response_that_was_read(self) -> None:
        """One from before the last confirmation is out of question."""

        def ask_and_confirm(peer: Peer) -> None:
            peer.call("get_status")
            self.pair.advance(16)
            peer.pong_all()
            self.publish(0)

        self.assertEqual(self.refusals(1003, ask_and_confirm, times=1), 0)
        self.assertEqual(self.delivery.cursor, 1)
        for _ in range(4):
            peer = self.dial()
            self.turn()
            peer.close(1003)
            self.turn()
        self.assertEqual(self.delivery.counters.refused, 1)

    def test_what_follows_arrives(self) -> None:
        """Also where the bot asks something at each connection, as most do."""
        self.publish(0, 5000, 0, 0)
        got: list[int] = []
        for _ in range(20):
            peer = self.dial(Role.UNIVERSAL)
            peer.call("get_login_info")
            for _ in range(10):
                came = self.what_came(peer)
                for one in came:
                    if one == 2:
                        peer.close(1009)
                        break
                    if isinstance(one, bytes):
                        peer.send(one, PONG)
                    elif isinstance(one, int):
                        got.append(one)
                self.pair.advance(2 * PAUSE)
            peer.lose()
        self.assertEqual((sorted(set(got)), self.delivery.counters.refused), ([1, 3, 4], 1))
