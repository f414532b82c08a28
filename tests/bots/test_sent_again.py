"""Events that the operator has sent again, and what an end means while they, or skipped ones, are unread."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.bots.webhook import Settings, WebhookBot
from lgtwist.config.limits import Limits
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.redelivery import REDELIVERY_LIMIT
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.settings import BotSettings
from lgtwist.journal.journal import Journal
from tests.bots.test_ping_acks import PING_INTERVAL, SinkTestCase
from tests.bots.test_webhook import FakeClient
from tests.hub.fakes import checked_link, resources
from tests.integration.rawclient import PONG
from tests.journal.memory_store import InlineWorker, MemoryStore


def again(delivery: Delivery, position: int) -> list[Any]:
    """Have an event sent again; a list that the outcome is put into."""
    found: list[Any] = []
    Deferred.fromCoroutine(delivery.deliver_again(position)).addBoth(
        lambda result: found.append((result.outcome, result.reason))
    )
    return found


class WebSocketTests(SinkTestCase):
    def test_confirmed_by_the_pong_behind_it(self) -> None:
        """A pong before it says nothing; cursor and window are those of the other events."""
        peer = self.dial()
        self.publish(0)
        self.answer(peer)
        self.pair.advance(1)
        self.publish(0)
        [_number, ping] = self.received(peer)
        found = again(self.delivery, 1)
        [number, behind] = self.received(peer)
        self.assertEqual(number, 1)
        self.assertEqual((self.delivery.cursor, self.delivery.unconfirmed), (1, 1))
        peer.send(ping, PONG)
        self.assertEqual((self.delivery.cursor, self.delivery.unconfirmed), (2, 0))
        self.assertEqual(found, [])
        peer.send(behind, PONG)
        self.assertEqual(found, [("confirmed", "")])
        self.assertEqual((self.delivery.cursor, self.delivery.counters.confirmed), (2, 2))
        self.publish(0)
        self.pair.advance(1)
        self.answer(peer)
        self.assertEqual(self.delivery.cursor, 3)

    def test_refused(self) -> None:
        """By any of these codes; it counts against no event, however often."""
        for code in (1002, 1003, 1007, 1008, 1009):
            self.setUp()
            self.publish(0, 0)
            for _ in range(10):
                peer = self.dial()
                self.turn()
                found = again(self.delivery, 1)
                self.turn()
                peer.close(code)
                self.turn()
                self.assertEqual(found, [("refused", f"close code {code}")])
            self.assertEqual(self.delivery.counters.refused, 0)
            self.assertFalse(self.delivery.is_one_at_a_time)
            self.assertEqual(self.delivery.cursor, 0)

    def test_refusals_count_again_once_it_was_read(self) -> None:
        peer = self.dial()
        self.publish(0)
        again(self.delivery, 1)
        self.pair.advance(1)
        self.answer(peer)
        self.publish(0)
        self.turn()
        peer.close(1003)
        self.turn()
        self.assertTrue(self.delivery.is_one_at_a_time)

    def test_other_ends(self) -> None:
        """The bot may have got it."""
        peer = self.dial()
        self.publish(0)
        found = again(self.delivery, 1)
        peer.lose()
        self.turn()
        self.assertEqual(found[0][0], "sent")

    def test_while_the_bot_does_not_read(self) -> None:
        """It waits for the transport, and is not sent after the time limit."""
        peer = self.dial()
        self.publish(0)
        peer.connection.write_paused = True
        first = again(self.delivery, 1)
        self.pair.advance(REDELIVERY_LIMIT + 0.1)
        self.assertEqual(first[0][0], "not_connected")
        second = again(self.delivery, 1)
        self.assertEqual(second, [])
        sink = peer.connection.ping_acks
        peer.connection.write_paused = False
        sink.pump()  # type: ignore[union-attr]
        self.assertEqual([one for one in self.answer(peer) if isinstance(one, int)], [1, 1])
        self.assertEqual(second, [("confirmed", "")])

    def test_skipped_events_are_not_counted_against_others(self) -> None:
        """A close for what was under way when the operator skipped it."""
        peer = self.dial()
        self.publish(0)
        self.delivery.skip_to_end()
        self.publish(0)
        self.turn()
        peer.close(1009)
        self.turn()
        self.assertFalse(self.delivery.is_one_at_a_time)
        self.assertEqual(self.delivery.cursor, 1)

    def test_a_pong_from_before_an_undo(self) -> None:
        """It names an event that comes again behind others: it confirms nothing."""
        peer = self.dial()
        self.publish(0, 0)
        self.answer(peer)
        self.pair.advance(PING_INTERVAL)
        self.publish(0)
        self.pair.advance(1)
        self.received(peer)  # pings, not answered
        self.delivery.skip_to_end()
        self.publish(0)
        self.pair.advance(20)
        pings = self.pings(peer)
        self.assertTrue(self.delivery.undo_skip())
        before = self.delivery.cursor
        for ping in pings:
            peer.send(ping, PONG)
        self.assertEqual(self.delivery.cursor, before)
        for _ in range(5):
            self.pair.advance(20)
            self.answer(peer)
        self.assertEqual((self.delivery.cursor, self.delivery.unconfirmed), (4, 0))


class WebhookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = clock = Clock()
        self.account = Account(10001, clock, clock.seconds)
        limits = Limits(max_message=1000, send_buffer=1000)
        self.bot = Bot(BotSettings("hook"), limits)
        self.client = FakeClient()
        self.journal = Journal(MemoryStore(), lambda _name: InlineWorker(), clock, clock.seconds)
        deliveries = Deliveries(self.journal, clock, clock.seconds, window_bytes=200_000, patience=60.0)
        deliveries.add(self.bot, self.account, ReplayPolicy())
        self.journal.open(deliveries.pairs())
        deliveries.start()
        self.delivery = self.bot.deliveries[10001]
        edge = resources(clock, limits)
        self.service = WebhookBot(self.bot, Settings("http://x/"), edge, self.client)  # type: ignore[arg-type]
        self.service.account_added(self.account)
        self.service.startService()
        self.addCleanup(self.service.retire)
        self.account.links.opened(checked_link(self.account))
        clock.advance(0)

    def publish(self, *which: int) -> None:
        for number in which:
            self.account.publish(b'{"post_type":"notice","n":%d}' % number)
            self.clock.advance(0.001)
            self.clock.advance(0.001)

    def test_in_order(self) -> None:
        """A post of its own, behind the one that is under way; its 2xx confirms nothing else."""
        self.publish(1)
        self.client.answer()
        self.publish(2, 3)
        found = again(self.delivery, 1)
        self.assertEqual(self.client.numbers(), [1, 2])
        self.client.answer()
        self.assertEqual(self.client.numbers(), [1, 2, 1])
        self.assertEqual((self.delivery.cursor, found), (2, []))
        self.client.answer()
        self.assertEqual(found, [("confirmed", "")])
        self.assertEqual((self.client.numbers(), self.delivery.cursor), ([1, 2, 1, 3], 2))
        self.client.answer()
        self.assertEqual(self.delivery.cursor, 3)

    def test_refused(self) -> None:
        """No failure of the posts in a row, no pause, and no refusal of an event."""
        self.publish(1)
        self.client.answer()
        for status in (413, 404, 500):
            found = again(self.delivery, 1)
            self.client.answer(status)
            self.assertEqual(found, [("refused", f"HTTP {status}")])
        self.assertEqual(self.service.postings()[10001].failures, 0)
        self.publish(2)
        self.assertEqual(self.client.numbers(), [1, 1, 1, 1, 2])
        self.client.answer()
        self.assertEqual((self.delivery.cursor, self.delivery.counters.refused), (2, 0))

    def test_no_answer(self) -> None:
        self.publish(1)
        self.client.answer()
        found = again(self.delivery, 1)
        self.client.fail()
        self.assertEqual(found[0][0], "sent")

    def test_while_posting_pauses(self) -> None:
        """It waits until the pause is over."""
        self.publish(1)
        self.client.answer()
        self.publish(2)
        self.client.answer(413)
        found = again(self.delivery, 1)
        self.assertEqual(self.client.numbers(), [1, 2])
        self.clock.advance(1.1)
        self.assertEqual(self.client.numbers(), [1, 2, 1])
        self.client.answer()
        self.assertEqual(found, [("confirmed", "")])
        self.assertEqual(self.client.numbers(), [1, 2, 1, 2])

    def test_while_another_post_takes_long(self) -> None:
        """It is not posted after the time limit."""
        self.publish(1)
        self.client.answer()
        self.publish(2)
        found = again(self.delivery, 1)
        self.clock.advance(REDELIVERY_LIMIT)
        self.assertEqual(found[0][0], "not_connected")
        self.client.answer()
        bodies = [body for body, _headers, _answer in self.client.posts]
        self.assertEqual([body for body in bodies if b'"n":1}' in body], bodies[:1])

    def test_after_a_pause_with_nothing_else(self) -> None:
        """It is posted also if no event waits any more."""
        self.publish(1)
        self.client.answer(413)
        found = again(self.delivery, 1)
        self.delivery.skip_to_end()
        self.clock.advance(1.1)
        self.assertEqual(self.client.numbers(), [1, 1])
        self.client.answer()
        self.assertEqual(found, [("confirmed", "")])

    def test_skipped_before_it_is_posted(self) -> None:
        """An event that waits for a heartbeat's answer is not posted."""
        self.clock.advance(5)
        [(heartbeat, _headers, _answer)] = self.client.posts
        self.assertIn(b"heartbeat", heartbeat)
        self.publish(1)
        self.assertEqual(self.delivery.unconfirmed, 1)
        self.delivery.skip_to_end()
        self.publish(2)
        self.client.answer()
        self.assertEqual([b'"n":2' in body for body, _headers, _answer in self.client.posts], [False, True])

    def test_skipped_while_it_is_posted(self) -> None:
        """The answer to what is forgotten counts for nothing, and the newest is posted behind it."""
        for status in (204, 413):
            self.setUp()
            self.publish(1, 2)
            self.assertEqual(self.delivery.skip_to_end(), 2)
            self.publish(3)
            self.client.answer(status)
            self.clock.advance(2)
            self.assertEqual(self.client.numbers(), [1, 3])
            self.assertEqual((self.delivery.cursor, self.delivery.can_undo), (2, True))
            self.assertFalse(self.delivery.is_one_at_a_time)

    def test_undone_while_it_is_posted(self) -> None:
        """What is under way is posted once more, in its place."""
        self.publish(1, 2)
        self.client.answer()
        self.delivery.skip_to_end()
        self.client.answer()
        self.publish(3)
        self.delivery.undo_skip()
        for _ in range(4):
            self.client.answer()
            self.clock.advance(1)
            if not self.client.under_way:
                break
        self.assertEqual(self.client.numbers(), [1, 2, 3, 2, 3])
        self.assertEqual(self.delivery.backlog, 0)

    def test_the_end(self) -> None:
        self.publish(1)
        posted = again(self.delivery, 1)
        self.client.answer()
        waits = again(self.delivery, 1)
        self.service.retire()
        self.assertEqual((posted[0][0], waits[0][0]), ("sent", "not_connected"))
