"""What the operator does: skip to the newest, undo it, and deliver one event again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from lgtwist.delivery.batch import Batch
from lgtwist.delivery.redelivery import REDELIVERY_LIMIT
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.journal.journal import JournalLimits
from tests.delivery.cases import NO_TAIL, REFUSED, DeliveryTestCase, odd
from tests.journal.fakes import HeldWorker, Room, event


class SkippingTests(DeliveryTestCase):
    def test_skip(self) -> None:
        """What waits and what is under way is not sent any more; what happens from now on is."""
        room = self.room()
        room.put_each(*range(1, 8))
        sink = room.attach(2)
        self.assertEqual(sink.numbers, [1, 2])
        sink.confirm(0)
        self.assertEqual(room.delivery.skip_to_end(), 6)
        self.assertEqual((room.delivery.backlog, room.delivery.unconfirmed, room.delivery.cursor), (0, 0, 7))
        self.assertEqual(room.delivery.counters.skipped_to_end, 6)
        self.assertTrue(room.delivery.can_undo)
        room.put(8)
        self.assertEqual(sink.numbers, [1, 2, 3, 8])
        [line] = self.lines.all("console:")
        for part in ("bot", "6 events", "account 1"):
            self.assertIn(part, line)
        room.advance(1.2)
        self.assertEqual(self.store._contents.watermarks["bot", 1].position, 7)

    def test_a_late_confirmation(self) -> None:
        """Of what was forgotten: it confirms nothing, and the skip can be undone still."""
        room = self.room()
        room.put_each(1, 2, 3)
        sink = room.attach(2)
        late = sink.sent[0][1]
        room.delivery.skip_to_end()
        room.delivery.confirmed(sink, late)
        self.assertTrue(room.delivery.can_undo)
        self.assertEqual(room.delivery.cursor, 3)

    def test_nothing_to_skip(self) -> None:
        room = self.room()
        room.put(1)
        room.attach().confirm()
        self.assertEqual(room.delivery.skip_to_end(), 0)
        self.assertFalse(room.delivery.can_undo)
        self.assertFalse(room.delivery.undo_skip())
        self.assertEqual(self.lines.all("console:"), [])

    def test_undo(self) -> None:
        """All that was skipped comes, then what came since, in order; the cursor is written where it was."""
        for limits in (JournalLimits(), NO_TAIL):
            self.setUp()
            room = self.room(limits=limits)
            room.put_each(*range(1, 6))
            sink = room.attach(2)
            sink.confirm(0)
            room.delivery.skip_to_end()
            room.put(6)
            room.advance(1.2)
            del sink.events[:]
            self.assertTrue(room.delivery.undo_skip())
            self.assertEqual(room.delivery.cursor, 1)
            room.advance(1.2)
            self.assertEqual(self.store._contents.watermarks["bot", 1].position, 1)
            while room.delivery.unconfirmed:
                sink.confirm()
            self.assertEqual(sink.numbers, [2, 3, 4, 5, 6])
            self.assertEqual(room.delivery.backlog, 0)
            self.assertFalse(room.delivery.undo_skip())
            self.assertEqual(len(self.lines.all("console:")), 2)

    def test_undo_sends_everything_again(self) -> None:
        """What was under way at the skip, what was skipped, and what was sent since, each once."""
        room = self.room(policy=ReplayPolicy(mark=True))
        sink = room.attach(2)
        room.put_each(*range(1, 6))
        room.delivery.skip_to_end()
        room.put(6)
        before = len(sink.events)
        self.assertEqual(sink.numbers, [1, 2, 6])
        room.delivery.undo_skip()
        while room.delivery.unconfirmed:
            sink.confirm()
        self.assertEqual(sink.numbers[before:], [1, 2, 3, 4, 5, 6])
        late = [one["n"] for one in sink.events[before:] if one.get("replayed")]
        self.assertEqual(late, [1, 2, 3, 4, 5, 6])

    def test_not_after_a_confirmation(self) -> None:
        room = self.room()
        room.put_each(1, 2, 3)
        sink = room.attach(1)
        room.delivery.skip_to_end()
        room.put(4)
        sink.confirm()
        self.assertFalse(room.delivery.can_undo)
        self.assertFalse(room.delivery.undo_skip())
        self.assertEqual(room.delivery.cursor, 4)

    def test_twice(self) -> None:
        """Undoing goes back over both."""
        room = self.room()
        room.put_each(1, 2)
        room.delivery.skip_to_end()
        room.put(3)
        self.assertEqual(room.delivery.skip_to_end(), 1)
        room.delivery.undo_skip()
        self.assertEqual(room.attach().numbers, [1, 2, 3])

    def test_over_a_break(self) -> None:
        """A new connection gets the newest only, and after undoing everything."""
        room = self.room()
        room.put_each(1, 2)
        room.delivery.skip_to_end()
        self.assertEqual(room.attach().numbers, [])
        room.delivery.undo_skip()
        self.assertEqual(room.delivery.backlog, 2)
        self.assertEqual(room.attach().numbers, [1, 2])

    def test_undo_of_what_expired_meanwhile(self) -> None:
        """It goes on behind that, and it is counted."""
        room = self.room(limits=JournalLimits(retention=10))
        room.put_each(1, 2)
        room.advance(6)
        room.put(3)
        room.delivery.skip_to_end()
        room.advance(20, 1)
        room.delivery.undo_skip()
        self.assertEqual(room.delivery.counters.expired, 3)
        self.assertEqual(room.delivery.backlog, 0)
        sink = room.attach()
        room.put(4)
        self.assertEqual(sink.numbers, [4])

    def test_grace(self) -> None:
        """What was confirmed less than the grace before the skip comes again after it is undone."""
        room = self.room(policy=ReplayPolicy(grace=2.0))
        sink = room.attach(1)
        room.put_each(1, 2, 3)
        sink.confirm()
        room.advance(3)
        sink.confirm()
        room.delivery.skip_to_end()
        del sink.events[:]
        room.delivery.undo_skip()
        self.assertEqual(sink.numbers, [2])

    def test_while_a_page_is_read(self) -> None:
        """What was being read is not sent."""
        room = Room(self.store, limits=NO_TAIL, worker=HeldWorker)
        for number in (1, 2):
            room.put(number)
            room.writer.go()
            room.advance(0.1)
        sink = room.attach()
        self.assertTrue(room.reader.work())
        self.assertEqual(room.delivery.skip_to_end(), 2)
        room.reader.tell()
        self.assertEqual(sink.numbers, [])

    def test_a_refused_event_ends_the_undoing(self) -> None:
        """It is in the list already; undoing would have it refused five times more."""
        room = self.room()
        room.put(1)
        room.delivery.skip_to_end()
        room.put(2)
        for _ in range(5):
            room.delivery.detach(room.attach(), REFUSED)
        self.assertFalse(room.delivery.can_undo)
        self.assertEqual(room.delivery.cursor, 2)

    def test_not_begun_and_stopped(self) -> None:
        room = self.room()
        room.put(1)
        room.delivery.skip_to_end()
        room.delivery.stop()
        self.assertFalse(room.delivery.undo_skip())
        self.assertEqual(room.delivery.skip_to_end(), 0)

    def test_a_crash(self) -> None:
        """The cursor is the old one or the new one, by whether it was written."""
        for seconds, position in ((0.0, 0), (1.2, 3)):
            self.setUp()
            room = self.room()
            room.put_each(1, 2, 3)
            room.delivery.skip_to_end()
            room.advance(seconds)
            self.assertEqual(self.room().delivery.cursor, position)

    def test_oldest(self) -> None:
        """When the oldest unconfirmed event came, while memory has it."""
        room = self.room()
        self.assertIsNone(room.delivery.oldest)
        room.advance(5)
        came = room.wall()
        room.put(1)
        room.advance(5)
        room.put(2)
        self.assertEqual(room.delivery.oldest, came)
        sink = room.attach(1)
        self.assertEqual(room.delivery.oldest, came)
        sink.confirm()
        self.assertEqual(room.delivery.oldest, came + 5)
        sink.confirm()
        self.assertIsNone(room.delivery.oldest)

    def test_refuses_all(self) -> None:
        room = self.room()
        room.put_each(1, 2)
        for _ in range(12):
            room.delivery.detach(room.attach(), REFUSED)
        self.assertTrue(room.delivery.refuses_all)
        room.attach().confirm()
        self.assertFalse(room.delivery.refuses_all)


class DeliverAgainTests(DeliveryTestCase):
    def again(self, room: Room, position: int) -> Any:
        """Ask for it; a list that the outcome is put into."""
        found: list[Any] = []
        Deferred.fromCoroutine(room.delivery.deliver_again(position)).addBoth(
            lambda result: found.append((result.outcome, result.reason))
        )
        return found

    def test_confirmed(self) -> None:
        """It goes alone, whatever is under way; cursor, window and counters stay."""
        for limits in (JournalLimits(), NO_TAIL):
            self.setUp()
            room = self.room(limits=limits, policy=ReplayPolicy(mark=True))
            sink = room.attach(2)
            room.put_each(1, 2, 3)
            sink.confirm(0)
            found = self.again(room, 1)
            self.assertEqual([(one["n"], one["replayed"]) for one in sink.again_events], [(1, True)])
            self.assertEqual((room.delivery.cursor, room.delivery.unconfirmed), (1, 2))
            sent = room.delivery.counters.sent
            sink.again[0].end("confirmed")
            self.assertEqual(found, [("confirmed", "")])
            self.assertEqual((room.delivery.cursor, room.delivery.counters.sent), (1, sent))
            sink.confirm()
            self.assertEqual(room.delivery.cursor, 3)
            [line] = self.lines.all("console:")
            self.assertIn("position 1", line)
            self.assertEqual(room.clock.getDelayedCalls()[1:], [])

    def test_time_limit(self) -> None:
        """Then it was sent, and nobody knows; what comes later is not heard."""
        room = self.room()
        sink = room.attach()
        room.put(1)
        found = self.again(room, 1)
        room.advance(REDELIVERY_LIMIT)
        self.assertEqual(found[0][0], "sent")
        sink.again[0].end("refused", "late")
        self.assertEqual(len(found), 1)

    def test_gone(self) -> None:
        """Nothing is sent."""
        room = self.room(limits=JournalLimits(retention=10))
        room.put(1)
        room.advance(20, 1)
        sink = room.attach()
        self.assertEqual(self.again(room, 1), [("gone", "")])
        self.assertEqual(self.again(room, 99), [("gone", "")])
        self.assertEqual(sink.again, [])

    def test_not_connected(self) -> None:
        room = self.room()
        room.put(1)
        self.assertEqual(self.again(room, 1), [("not_connected", "")])

    def test_the_newest_connection(self) -> None:
        """It is sent on the one that holds the cursor."""
        room = self.room()
        room.put(1)
        older, newer = room.attach(), room.attach()
        self.again(room, 1)
        self.assertEqual((len(older.again), len(newer.again)), (0, 1))

    def test_not_its_events(self) -> None:
        """The bot may not have it any more: it is not sent."""
        room = self.room(passes=odd)
        room.put(1, 2)
        sink = room.attach()
        self.assertEqual(self.again(room, 2)[0][0], "refused")
        self.assertEqual(sink.again, [])

    def test_the_end_of_the_delivery(self) -> None:
        room = self.room()
        room.attach()
        room.put(1)
        found = self.again(room, 1)
        room.delivery.stop()
        self.assertEqual(found[0][0], "sent")

    def test_a_large_one(self) -> None:
        """All of it is sent, not what the list has kept."""
        room = self.room()
        room.put(1, size=100_000)
        sink = room.attach()
        self.again(room, 1)
        self.assertEqual(len(sink.again_events[0]["text"]), 100_000)
        self.assertGreater(len(event(1, size=100_000)), 65_536)

    def test_what_waits_is_bounded(self) -> None:
        """A bot that takes nothing: no more bytes wait than may be unconfirmed, but for one event alone."""
        room = self.room()
        size = room.delivery._sending.window.limit // 2 - 10_000
        room.put(1, size=size)
        room.put(2, size=4 * size)
        sink = room.attach()
        sink.send_again = sink.again.append  # type: ignore[method-assign]
        first, second, third = self.again(room, 1), self.again(room, 1), self.again(room, 1)
        self.assertEqual((first, second), ([], []))
        self.assertEqual(third, [("not_connected", "too many events are being delivered again")])
        room.advance(REDELIVERY_LIMIT)
        alone = self.again(room, 2)
        self.assertEqual((len(sink.again), alone), (3, []))
        self.assertEqual(self.again(room, 1)[0][0], "not_connected")

    def test_what_was_sent_is_not_held(self) -> None:
        """Who waits for the outcome holds no copy of the event meanwhile."""
        room = self.room()
        room.put(1, size=100_000)
        sink = room.attach()
        again: Any = room.delivery.deliver_again(1)
        ended = Deferred.fromCoroutine(again)
        held = {**again.cr_frame.f_locals, **again.cr_await.cr_frame.f_locals}
        self.assertIn(sink.again[0], held.values())
        self.assertEqual([name for name, one in held.items() if isinstance(one, (bytes, Batch))], [])
        sink.again[0].end("confirmed")
        self.assertEqual(self.successResultOf(ended).outcome, "confirmed")
