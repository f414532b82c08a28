"""One line for what happens many times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime.logs import News
from tests.rounds import quick


class NewsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.left_out: list[int] = []
        self.news = News(self.clock, self.left_out.append, most=3, period=10.0)

    def happens(self, times: int) -> int:
        """How many of them are news."""
        return sum(self.news.is_news() for _ in range(times))

    def test_few_are_all_told(self) -> None:
        """As many as one reads: each has its line, in each period anew, and no timer waits."""
        for _ in range(5):
            self.assertEqual(self.happens(3), 3)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.clock.advance(10.0)
        self.assertEqual(self.left_out, [])

    def test_many_are_one_line(self) -> None:
        """Those beyond are told at the end of the period that the first one began, with their number."""
        self.happens(1)
        self.clock.advance(4.0)
        self.assertEqual(self.happens(100), 2)
        self.clock.advance(5.9)
        self.assertEqual(self.left_out, [])
        self.clock.advance(0.1)
        self.assertEqual(self.left_out, [98])
        self.assertEqual(self.happens(4), 3)
        self.clock.advance(10.0)
        self.assertEqual(self.left_out, [98, 1])

    def test_the_end(self) -> None:
        """At the end the rest is told at once, and nothing waits."""
        self.happens(5)
        self.news.stop()
        self.news.stop()
        self.assertEqual((self.left_out, self.clock.getDelayedCalls()), ([2], []))

    def test_a_clock_that_is_set_back(self) -> None:
        """It silences nobody for longer than a period."""
        self.clock.advance(3600.0)
        self.happens(3)
        self.clock.rightNow -= 3600.0
        self.assertEqual(self.happens(3), 3)

    def test_new_reasons(self) -> None:
        """A reason that was not told in this period is news, however many others were; as far as it goes."""
        self.happens(100)
        told = [self.news.is_news(reason) for reason in ("lost", "lost", "silent", "lost", "x", "y", "z")]
        self.assertEqual(told, [True, False, True, False, True, False, False])
        self.clock.advance(10.0)
        self.assertEqual(self.left_out, [97 + 4])
        self.assertEqual(self.news.is_news("lost"), True)

    @quick
    @given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", *"abcdef"]), st.floats(0, 15))))
    def test_nothing_is_forgotten(self, steps: list[tuple[int, str, float]]) -> None:
        """Whenever it happens: what is told and what is left out is all that happened."""
        self.setUp()
        told = happened = 0
        for times, reason, seconds in steps:
            told += sum(self.news.is_news(reason) for _ in range(times))
            happened += times
            self.clock.advance(seconds)
        self.news.stop()
        self.assertEqual(told + sum(self.left_out), happened)
        self.assertLessEqual(told, 6 * (self.clock.seconds() // 10 + 1))
