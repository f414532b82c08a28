"""When connections are flushed: at the end of a read, or of the turn; each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime.turns import _MIN_GAP, _MIN_GAP_BUSY, FlushScheduler
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
            self.assertEqual(self.one.flushes, [1, 1])
            self.assertEqual(self.two.flushes, [1])
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
