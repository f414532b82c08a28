"""When what waits is written: at the end of a read, or of the turn; each once, none never."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.runtime.turns import _MIN_GAP, _MIN_GAP_BUSY, FlushScheduler
from lgtwist.websocket.client import ClientFactory
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase
from lgtwist.websocket.server import ServerFactory
from tests.integration.rawclient import CLOSE, CONTINUATION, TEXT
from tests.pair import DiallingPair, Pair, Peer, RecordingHandler
from tests.rounds import LONG_ROUNDS, quick


class Waiting:
    """Something that is written to, as a factory has it.

    :ivar put_in: how often something was put in that must be written.
    :ivar flushes: for each time it was flushed, how much was written.
    :ivar then: what happens when it is flushed, as held connections read on then.
    """

    def __init__(self, scheduler: FlushScheduler, clock: Clock, log: list[Any], name: str = "") -> None:
        self.flushed_at = -1e9
        self.put_in = self.unwritten = 0
        self.waiting = False
        self.flushes: list[int] = []
        self.then: Callable[[], None] | None = None
        self._scheduler = scheduler
        self._clock = clock
        self._log = log
        self._name = name

    def put(self) -> None:
        """Something is put in."""
        self.put_in += 1
        self.unwritten += 1
        if not self.waiting:
            self.waiting = True
            self._scheduler.add(self)

    def flush(self) -> None:
        self._log.append(self._name)
        self.flushes.append(self.unwritten)
        self.flushed_at = self._clock.seconds()
        self.unwritten = 0
        self.waiting = False
        if self.then is not None:
            then, self.then = self.then, None
            then()


class FlushSchedulerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.scheduler = FlushScheduler(self.clock)
        self.log: list[Any] = []
        self.one, self.two = self.waiting("one"), self.waiting("two")

    def waiting(self, name: str) -> Waiting:
        return Waiting(self.scheduler, self.clock, self.log, name)

    def test_at_the_end_of_the_read(self) -> None:
        """What a read puts in is written when it ends, and no timer is left."""
        self.scheduler.reading = True
        self.one.put()
        self.one.put()
        self.two.put()
        self.assertEqual(self.log, [])
        self.scheduler.read_ended()
        self.assertEqual(self.log, ["one", "two"])
        self.assertEqual(self.one.flushes, [2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_at_the_end_of_the_turn(self) -> None:
        """What is put in outside of a read is written at the end of the turn, with one timer for all."""
        self.one.put()
        self.two.put()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(self.log, [])
        self.clock.advance(0)
        self.assertEqual(self.log, ["one", "two"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_written_to_just_now(self) -> None:
        """Who was written to within the gap waits for the end of the turn; who was not is not kept back."""
        self.one.flushed_at = self.clock.seconds() - _MIN_GAP / 2
        self.two.flushed_at = self.clock.seconds() - _MIN_GAP * 2
        self.scheduler.reading = True
        self.one.put()
        self.two.put()
        self.scheduler.read_ended()
        self.assertEqual(self.log, ["two"])
        self.scheduler.reading = True
        self.one.put()
        self.scheduler.read_ended()
        self.assertEqual(self.log, ["two"])
        self.clock.advance(0)
        self.assertEqual(self.log, ["two", "one"])
        self.assertEqual(self.one.flushes, [2])

    def test_the_gap_passes_within_the_turn(self) -> None:
        """Who waits for the end of the turn is written to at the end of a read that takes long enough."""
        self.one.flushed_at = self.clock.seconds()
        self.scheduler.reading = True
        self.one.put()
        self.scheduler.read_ended()
        self.assertEqual(self.log, [])
        self.clock.rightNow += _MIN_GAP * 2
        self.scheduler.reading = True
        self.scheduler.read_ended()
        self.assertEqual(self.one.flushes, [])  # many write to it in this turn: fewer, larger writes
        self.clock.rightNow += _MIN_GAP_BUSY
        self.scheduler.reading = True
        self.scheduler.read_ended()
        self.assertEqual(self.one.flushes, [1])
        self.clock.advance(0)
        self.assertEqual(self.one.flushes, [1])

    def test_a_clock_that_goes_back(self) -> None:
        """Who was written to in the future is written to at the end of the turn all the same."""
        self.one.flushed_at = self.clock.seconds() + 3600
        self.scheduler.reading = True
        self.one.put()
        self.scheduler.read_ended()
        self.clock.advance(0)
        self.assertEqual(self.one.flushes, [1])

    def test_put_in_before_the_read(self) -> None:
        """What waits for the end of the turn is written at the end of a read that comes before."""
        self.one.put()
        self.scheduler.reading = True
        self.scheduler.read_ended()
        self.assertEqual(self.one.flushes, [1])
        self.one.put()
        self.clock.advance(0)
        self.assertEqual(self.one.flushes, [1, 1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_read(self) -> None:
        """Callbacks are called in their order, once, before anything is written; at once outside of reads."""
        self.scheduler.after_read(lambda: self.log.append("at once"))
        self.assertEqual(self.log, ["at once"])
        self.log.clear()
        self.scheduler.reading = True
        self.one.put()

        def first() -> None:
            self.log.append("first")
            self.scheduler.after_read(lambda: self.log.append("within the first"))
            self.two.put()

        self.scheduler.after_read(first)
        self.scheduler.after_read(lambda: self.log.append("second"))
        self.assertEqual(self.log, [])
        self.scheduler.read_ended()
        self.assertEqual(self.log, ["first", "within the first", "second", "one", "two"])
        self.scheduler.reading = True
        self.scheduler.read_ended()
        self.clock.advance(0)
        self.assertEqual(len(self.log), 5)
        self.assertEqual(self.two.flushes, [1])

    def test_before_writing(self) -> None:
        """What must be done before anything is written is done behind what was read, in order, once."""
        for reading in (True, False):
            self.setUp()
            self.scheduler.reading = reading
            self.one.put()
            self.scheduler.before_writing(lambda: self.log.append("kept"))
            self.scheduler.before_writing(lambda: self.log.append("kept too"))
            self.assertTrue(self.scheduler.hook_pending)
            if reading:
                self.scheduler.after_read(lambda: self.log.append("handed out"))
                self.scheduler.read_ended()
                self.assertEqual(self.log, ["handed out", "kept", "kept too", "one"])
            else:
                self.clock.advance(0)
                self.assertEqual(self.log, ["kept", "kept too", "one"])
            self.assertFalse(self.scheduler.hook_pending)
            self.clock.advance(0)
            self.assertEqual(self.log.count("kept"), 1)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_before_writing_with_nothing_to_write(self) -> None:
        """It is done all the same, at the end of the turn."""
        self.scheduler.before_writing(lambda: self.log.append("kept"))
        self.clock.advance(0)
        self.assertEqual(self.log, ["kept"])

    def test_reads_within_reads(self) -> None:
        """Whoever marks reads: only the outermost one ends what was read together."""
        self.assertTrue(self.scheduler.begin_read())
        self.assertFalse(self.scheduler.begin_read())
        self.assertTrue(self.scheduler.reading)
        self.one.put()
        self.assertEqual(self.log, [])
        self.scheduler.read_ended()
        self.assertEqual(self.log, ["one"])
        self.assertTrue(self.scheduler.begin_read())
        self.scheduler.read_ended()
        self.assertFalse(self.scheduler.reading)

    def test_a_callback_that_fails(self) -> None:
        """It is logged; the others are called, and what waits is written."""

        def fail() -> None:
            raise ZeroDivisionError

        self.scheduler.begin_read()
        self.one.put()
        self.scheduler.after_read(fail)
        self.scheduler.after_read(lambda: self.log.append("after"))
        self.scheduler.before_writing(fail)
        self.scheduler.before_writing(lambda: self.log.append("before"))
        self.scheduler.read_ended()
        self.assertEqual(self.log, ["after", "before", "one"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_when_read_or_turn_ends(self) -> None:
        """It is called behind the read, or, where nothing is read, at the end of the turn; once."""
        for reading in (True, False):
            self.setUp()
            self.scheduler.reading = reading
            self.scheduler.when_read_or_turn_ends(lambda: self.log.append("ended"))
            self.assertEqual(self.log, [])
            if reading:
                self.scheduler.read_ended()
            else:
                self.clock.advance(0)
            self.assertEqual(self.log, ["ended"])
            self.clock.advance(1)
            self.assertEqual(self.log, ["ended"])

    def test_stopped(self) -> None:
        """What waits for the end of a turn that does not come is kept and written before it all stops."""
        self.scheduler.stop()
        self.assertEqual(self.log, [])
        self.one.put()
        self.scheduler.before_writing(lambda: self.log.append("kept"))
        self.scheduler.stop()
        self.assertEqual(self.log, ["kept", "one"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.two.put()
        self.clock.advance(0)
        self.assertEqual(self.log, ["kept", "one", "two"])

    def test_a_flush_that_reads_on(self) -> None:
        """Who is let go by being flushed reads on, and what that puts in is not lost."""
        for reading in (True, False):
            self.setUp()
            self.scheduler.reading = reading

            def read_on() -> None:
                self.two.put()
                self.one.put()

            self.one.then = read_on
            self.one.put()
            if reading:
                self.scheduler.read_ended()
            self.clock.advance(0)
            self.clock.advance(0)
            self.assertEqual((self.one.flushes, self.two.flushes), ([1, 1], [1]))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    @settings(quick, max_examples=300 * LONG_ROUNDS)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ("put", "put", "put", "begin", "end", "after", "before", "flush puts", "turn")
                ),
                st.integers(0, 2),
                st.sampled_from((0.0, _MIN_GAP / 4, _MIN_GAP * 2, _MIN_GAP_BUSY * 2)),
            ),
            max_size=60,
        )
    )
    def test_nothing_is_lost_or_written_twice(self, happenings: list[tuple[str, int, float]]) -> None:
        """Whatever happens in whatever order: all that was put in is written once, within the turn."""
        self.setUp()
        several = [self.waiting(str(number)) for number in range(3)]
        called: list[str] = []
        expected = 0

        def call(what: str, then: Callable[[], None] = lambda: None) -> Callable[[], None]:
            def called_back() -> None:
                called.append(what)
                then()

            return called_back

        def settle() -> None:
            """The end of the turn: a flush may put in more, which has the next one."""
            for _ in range(5):
                self.clock.advance(0)

        for what, which, passes in happenings:
            self.clock.rightNow += passes
            one = several[which]
            if what == "put":
                one.put()
            elif what == "begin":
                self.scheduler.reading = True
            elif what == "end" and self.scheduler.reading:
                self.scheduler.read_ended()
                self.assertFalse(self.scheduler.reading)
            elif what == "after":
                expected += 1
                self.scheduler.after_read(call("after", several[which - 1].put))
            elif what == "before":
                expected += 1
                self.scheduler.before_writing(call("before"))
            elif what == "flush puts":
                one.then = several[which - 1].put
            elif what == "turn" and not self.scheduler.reading:  # a turn does not end in the middle of a read
                settle()
                self.assertEqual([each.unwritten for each in several], [0, 0, 0])
        if self.scheduler.reading:
            self.scheduler.read_ended()
        settle()
        for each in several:
            self.assertEqual(sum(each.flushes), each.put_in)
            self.assertFalse(each.waiting)
            self.assertNotIn(0, each.flushes)  # flushed, and nothing waited
        self.assertEqual(len(called), expected)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Bots(Pair):
    """Those who dialled us. The pair whose scheduler they share may be given."""

    shared_with: Pair | None = None

    def make_factory(self, limits: Limits) -> Any:
        if self.shared_with is None:
            return super().make_factory(limits)
        self.clock = self.shared_with.clock
        return ServerFactory(limits, self.clock, self.shared_with.factory.flush_scheduler)


class Accounts(DiallingPair):
    """Those whom we dialled, with a scheduler of their own."""

    def make_factory(self, limits: Limits) -> Any:
        return ClientFactory(limits, self.clock, "lgtwist/test")


class Doing(RecordingHandler):
    """Does something with each message.

    :ivar deed: what.
    """

    deed: Callable[[Connection, bytes], None]

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        super().received(connection, payload, binary)
        self.deed(connection, payload)


class SharedTests(SynchronousTestCase):
    """Two factories, one scheduler: what an account sends is written to bots, and the other way round."""

    def setUp(self) -> None:
        self.accounts = Accounts()
        self.accounts.clock.advance(1000)

        class Sharing(Bots):
            shared_with = self.accounts

        self.bots = Sharing()
        self.scheduler: FlushScheduler = self.bots.factory.flush_scheduler
        self.assertIs(self.scheduler, self.accounts.factory.flush_scheduler)
        self.on_account, self.on_bot = Doing(), Doing()
        self.account = self.accounts.connect(self.on_account).open()
        self.bot = self.bots.connect(self.on_bot).open()
        self.writes: list[bytes] = []
        self.clock = self.accounts.clock
        self.clock.advance(1)

    def watch(self, peer: Peer) -> None:
        """Write down each write to a peer."""
        write = peer.transport.write

        def note(data: bytes) -> None:
            self.writes.append(data)
            write(data)

        self.patch(peer.transport, "write", note)

    def burst(self, pair: Pair, peer: Peer, *payloads: bytes) -> None:
        peer.bytes(b"".join(map(pair.frame, payloads)))

    def offer(self, _connection: Connection, payload: bytes) -> None:
        self.bots.factory.offer(self.bot.connection, server_frame(payload))

    def test_one_write_for_what_one_read_brought(self) -> None:
        """What comes together from an account goes together to a bot, when it was read."""
        self.watch(self.bot)
        self.on_account.deed = self.offer
        self.burst(self.accounts, self.account, b"1", b"2", b"3")
        self.assertEqual(self.writes, [b"".join(map(server_frame, (b"1", b"2", b"3")))])
        self.assertFalse(self.scheduler.reading)

    def test_many_reads_within_one_turn(self) -> None:
        """The first read is answered at once; what the others bring within the gap goes in one write."""
        self.watch(self.bot)
        self.on_account.deed = self.offer
        for number in range(10):
            self.burst(self.accounts, self.account, b"%d" % number)
        self.assertEqual(self.writes, [server_frame(b"0")])
        self.clock.advance(0)
        self.assertEqual(self.writes[1:], [b"".join(server_frame(b"%d" % n) for n in range(1, 10))])
        self.clock.advance(1)
        self.assertEqual(len(self.writes), 2)

    def test_a_read_within_a_read(self) -> None:
        """What another connection reads meanwhile is part of the same read: it ends once, with the outer."""
        order: list[Any] = []
        self.watch(self.bot)

        def forward(_connection: Connection, payload: bytes) -> None:
            self.scheduler.after_read(lambda: order.append(payload))
            self.burst(self.bots, self.bot, b"inner " + payload)
            order.append(("still reading", self.scheduler.reading, len(self.writes)))

        def answer(connection: Connection, payload: bytes) -> None:
            self.scheduler.after_read(lambda: order.append(payload))
            self.bots.factory.respond(connection, server_frame(payload))

        self.on_account.deed, self.on_bot.deed = forward, answer
        self.burst(self.accounts, self.account, b"1", b"2")
        still = [("still reading", True, 0)] * 2
        self.assertEqual(order, [*still, b"1", b"inner 1", b"2", b"inner 2"])
        self.assertEqual(self.writes, [server_frame(b"inner 1") + server_frame(b"inner 2")])
        self.assertFalse(self.scheduler.reading)
        self.clock.advance(1)
        self.assertEqual(len(self.writes), 1)

    def test_read_again_while_it_is_read(self) -> None:
        """A connection that is fed within its own read answers all, once."""

        def deed(connection: Connection, payload: bytes) -> None:
            self.bots.factory.respond(connection, server_frame(payload))
            if payload == b"outer":
                self.burst(self.bots, self.bot, b"inner")
                self.bots.factory.respond(connection, server_frame(b"behind"))

        self.on_bot.deed = deed
        self.burst(self.bots, self.bot, b"outer", b"last")
        self.clock.advance(0)
        self.assertEqual(sorted(self.bot.texts()), [b"behind", b"inner", b"last", b"outer"])
        self.assertFalse(self.scheduler.reading)
        self.assertFalse(self.bot.connection.flush_pending)

    def test_the_own_answers_go_when_it_was_read(self) -> None:
        """Who asks gets its answers when what it sent was read, however lately it was written to."""
        self.watch(self.bot)
        self.on_bot.deed = lambda connection, payload: self.bots.factory.respond(
            connection, server_frame(payload)
        )
        for number in range(3):
            self.burst(self.bots, self.bot, b"%d" % number)
            self.assertEqual(len(self.writes), number + 1)

    def test_events_before_the_answer_that_follows_them(self) -> None:
        """Collected events and answers keep the order in which they were put in."""

        def deed(_connection: Connection, payload: bytes) -> None:
            frame = server_frame(payload)
            if payload.startswith(b"answer"):
                self.bots.factory.respond(self.bot.connection, frame)
            elif payload.startswith(b"events"):
                self.bots.factory.offer_all(self.bot.connection, [frame, frame], frame + frame)
            else:
                self.bots.factory.offer(self.bot.connection, frame)

        self.on_account.deed = deed
        sent = [b"event 1", b"answer 1", b"events 1", b"answer 2", b"event 2", b"events 2", b"answer 3"]
        self.burst(self.accounts, self.account, *sent)
        self.burst(self.accounts, self.account, *sent)
        expected = [each for each in sent * 2 for _ in range(2 if each.startswith(b"events") else 1)]
        self.assertEqual(self.bot.texts(), expected)

    def test_a_handler_that_fails_in_the_middle(self) -> None:
        """The read ends all the same: what it brought others is written, what waits for its end is called."""
        ended: list[str] = []

        def deed(connection: Connection, payload: bytes) -> None:
            if payload == b"fail":
                raise ZeroDivisionError
            self.scheduler.after_read(lambda: ended.append("read"))
            self.offer(connection, payload)

        self.on_account.deed = deed
        for fragmented in (False, True):
            self.setUp()
            self.on_account.deed = deed
            ended.clear()
            frame = self.accounts.frame
            fail = frame(b"fa", fin=False) + frame(b"il", CONTINUATION) if fragmented else frame(b"fail")
            self.account.bytes(frame(b"1") + fail + frame(b"2"))
            self.assertFalse(self.scheduler.reading)
            self.assertEqual(ended, ["read"])
            self.assertEqual(self.bot.texts(), [b"1"])
            self.accounts.turn()
            self.assertIs(self.account.connection.phase, Phase.CLOSED)
            self.assertIs(self.bot.connection.phase, Phase.OPEN)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.on_account.deed = self.offer
            again = self.accounts.connect(self.on_account).open()
            self.burst(self.accounts, again, b"3")
            self.assertEqual(self.bot.texts(), [b"3"])

    def test_a_link_that_ends_in_the_middle(self) -> None:
        """However a link ends within a read: what came before is handed out, once, and nothing after."""
        for end in ("close frame", "closed", "aborted", "breach", "no text"):
            self.setUp()
            collected: list[bytes] = []
            handed: list[list[bytes]] = []

            def hand_out(collected: list[bytes] = collected, handed: list[list[bytes]] = handed) -> None:
                handed.append(collected[:])
                collected.clear()

            def deed(
                connection: Connection,
                payload: bytes,
                collected: list[bytes] = collected,
                hand_out: Callable[[], None] = hand_out,
                end: str = end,
            ) -> None:
                if not collected:
                    self.scheduler.after_read(hand_out)
                collected.append(payload)
                if payload == b"2" and end == "closed":
                    self.accounts.factory.close(connection, 1000, "enough")
                elif payload == b"2" and end == "aborted":
                    self.accounts.factory.abort(connection, "enough")

            self.on_account.deed = deed
            frame = self.accounts.frame
            between = {
                "close frame": frame(struct.pack("!H", 1000), CLOSE),
                "breach": frame(b"x", CONTINUATION),
                "no text": frame(b"\xff"),
            }.get(end, b"")
            self.account.bytes(frame(b"1") + frame(b"2") + between + frame(b"3"))
            self.assertEqual(handed, [[b"1", b"2"]], end)
            self.assertFalse(self.scheduler.reading)

    def test_one_of_many_that_fails(self) -> None:
        """A connection that cannot be written to costs those behind it nothing, of either factory."""
        bots = [self.bots.connect().open() for _ in range(5)]
        self.clock.advance(1)
        bots[1].transport.fails_with = OSError(32, "Broken pipe")

        def deed(_connection: Connection, payload: bytes) -> None:
            for bot in bots:
                self.bots.factory.offer(bot.connection, server_frame(payload))
            self.accounts.factory.put(self.account.connection, self.account.connection.encode(b"ask"))

        self.on_account.deed = deed
        self.burst(self.accounts, self.account, b"1", b"2")
        self.assertEqual([bot.texts() for bot in bots], [[b"1", b"2"], [], *[[b"1", b"2"]] * 3])
        self.assertEqual(self.account.texts(), [b"ask", b"ask"])
        self.assertEqual(self.bots.factory.counters.send_failures, 1)
        self.assertFalse(self.scheduler.reading)

    def test_ended_while_it_waits(self) -> None:
        """A connection that ends while something waits for it is not written to, and none is kept back."""
        other = self.bots.connect().open()
        self.bots.factory.offer(self.bot.connection, server_frame(b"1"))
        self.bots.factory.offer(other.connection, server_frame(b"1"))
        self.bot.lose()
        self.watch(self.bot)
        self.clock.advance(0)
        self.assertEqual(self.writes, [])
        self.assertEqual(other.texts(), [b"1"])

    def test_congested_while_it_waits(self) -> None:
        """Who reads slowly waits for no end of a turn, and is written to when it has read."""
        self.bot.transport.reading = False
        self.on_account.deed = self.offer
        large = b"x" * 100_000
        for number in range(5):
            self.burst(self.accounts, self.account, b"%d" % number + large)
            self.clock.advance(1)
        self.assertTrue(self.bot.connection.write_paused)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.bot.transport.reading = True
        self.assertEqual([text[:1] for text in self.bot.texts()], [b"0", b"1", b"2", b"3", b"4"])

    def kept_first(self) -> tuple[list[str], Callable[[], None]]:
        """A handler whose deeds are to be kept before they are told: what happened, and a check of it."""
        happened: list[str] = []
        write = self.bot.transport.write

        def note(data: bytes) -> None:
            happened.append("written")
            write(data)

        self.patch(self.bot.transport, "write", note)

        def deed(connection: Connection, payload: bytes) -> None:
            self.scheduler.before_writing(lambda: happened.append("kept"))
            self.bots.factory.respond(connection, server_frame(payload))

        self.on_bot.deed = deed
        return happened, lambda: self.assertEqual(happened[:1], ["kept"])

    def test_kept_before_it_is_written(self) -> None:
        """Nothing is written to anybody between a deed and its being kept."""
        happened, check = self.kept_first()
        self.burst(self.bots, self.bot, b"1", b"2")
        self.assertEqual(happened, ["kept", "kept", "written"])
        check()

    def test_kept_before_it_is_sent(self) -> None:
        """The same for each way to send something, where nothing waits before it."""
        frame = server_frame(b"told")
        for way in ("send", "respond", "offer", "offer_all"):
            self.setUp()
            happened, check = self.kept_first()

            def deed(
                connection: Connection, payload: bytes, way: str = way, kept: list[str] = happened
            ) -> None:
                self.scheduler.before_writing(lambda: kept.append("kept"))
                told: dict[str, Any] = {"send": (b"told",), "offer_all": ([frame], frame)}
                getattr(self.bots.factory, way)(connection, *told.get(way, (frame,)))

            self.on_bot.deed = deed
            self.burst(self.bots, self.bot, b"1")
            self.assertEqual(happened, ["kept", "written"], way)
            check()

    def test_kept_before_it_is_written_and_closed(self) -> None:
        """The same where the asker's close frame comes in the same read: its answers go before ours."""
        _happened, check = self.kept_first()
        self.bot.bytes(self.bots.frame(b"1") + self.bots.frame(struct.pack("!H", 1000), CLOSE))
        check()

    def test_kept_before_it_is_written_and_closed_by_us(self) -> None:
        """The same where we close within the read."""
        happened, check = self.kept_first()

        def deed(connection: Connection, payload: bytes) -> None:
            self.scheduler.before_writing(lambda: happened.append("kept"))
            self.bots.factory.respond(connection, server_frame(payload))
            self.bots.factory.close(connection, 1000, "enough")

        self.on_bot.deed = deed
        self.burst(self.bots, self.bot, b"1")
        check()

    def test_kept_before_it_is_written_though_it_is_much(self) -> None:
        """The same where a burst is so large that it is written before the read has ended."""
        happened, check = self.kept_first()

        def deed(connection: Connection, payload: bytes) -> None:
            self.scheduler.before_writing(lambda: happened.append("kept"))
            for _ in range(40):
                self.bots.factory.offer(connection, server_frame(b"x" * 10_000))

        self.on_bot.deed = deed
        self.burst(self.bots, self.bot, b"1")
        check()

    def test_kept_before_a_slow_reader_is_written_to(self) -> None:
        """The same where a transport asks for more before the turn has ended."""
        happened, check = self.kept_first()
        self.bot.connection.pauseProducing()
        self.scheduler.before_writing(lambda: happened.append("kept"))
        self.bots.factory.respond(self.bot.connection, server_frame(b"1"))
        self.bot.connection.resumeProducing()
        self.clock.advance(0)
        check()

    def test_a_read_that_brings_nothing(self) -> None:
        """It leaves nothing: no timer, no reading."""
        self.account.bytes(bytes([0x80 | TEXT]))
        self.assertFalse(self.scheduler.reading)
        self.assertEqual(self.clock.getDelayedCalls(), [])
