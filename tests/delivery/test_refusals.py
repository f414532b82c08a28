"""Which refused event is skipped. (How a delivery lives with that: ``test_refusing``.)"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.gaps import Gaps
from lgtwist.delivery.refusals import Refusals, Verdict

LARGE = 600_000


class RefusalsTests(SynchronousTestCase):
    def judge(self, refusals: Refusals, position: int, size: int = 10, reason: str = "HTTP 422") -> Verdict:
        """What is said of the fifth time."""
        for _ in range(4):
            self.assertIs(refusals.judge(position, size, reason), Verdict.AGAIN)
        return refusals.judge(position, size, reason)

    def test_five_times_running(self) -> None:
        """Another event in between begins anew."""
        refusals = Refusals()
        for position in (1, 1, 1, 1, 2):
            self.assertIs(refusals.judge(position, 10, "HTTP 400"), Verdict.AGAIN)
        self.assertIs(self.judge(refusals, 1), Verdict.SKIP)

    def test_one_until_something_is_confirmed(self) -> None:
        """Whoever refuses everything loses one event; after a confirmation another may be skipped."""
        refusals = Refusals()
        self.assertIs(self.judge(refusals, 1), Verdict.SKIP)
        self.assertIs(self.judge(refusals, 2), Verdict.REFUSES_ALL)
        self.assertIs(refusals.judge(2, 10, "HTTP 422"), Verdict.REFUSES_ALL)
        refusals.confirmed(2)
        self.assertIs(self.judge(refusals, 3), Verdict.SKIP)

    def test_large_ones_in_a_row(self) -> None:
        """At least as large as one that was too large is too large; small ones and other reasons are not."""
        for reason in ("close code 1009", "HTTP 413"):
            refusals = Refusals()
            self.assertIs(self.judge(refusals, 1, LARGE, reason), Verdict.SKIP)
            self.assertIs(self.judge(refusals, 2, LARGE, reason), Verdict.SKIP)
            self.assertIs(self.judge(refusals, 3, LARGE - 1, reason), Verdict.REFUSES_ALL)
            self.assertIs(self.judge(refusals, 4, LARGE, "HTTP 400"), Verdict.REFUSES_ALL)
        small = Refusals()
        self.assertIs(self.judge(small, 1, 10, "HTTP 413"), Verdict.SKIP)
        self.assertIs(self.judge(small, 2, 10, "HTTP 413"), Verdict.REFUSES_ALL)

    def test_one_at_a_time(self) -> None:
        """Until past what was under way."""
        refusals = Refusals()
        refusals.note(5)
        refusals.note(3)
        refusals.reached(4)
        self.assertTrue(refusals.one_at_a_time)
        refusals.reached(5)
        self.assertFalse(refusals.one_at_a_time)


class GapsTests(SynchronousTestCase):
    def test_each_event_once(self) -> None:
        """However stretches overlap, touch or come again."""
        gaps = Gaps()
        self.assertEqual([gaps.add(2, 4, 0), gaps.add(6, 8, 0), gaps.add(2, 4, 0)], [2, 2, 0])
        self.assertEqual([gaps.add(3, 7, 0), gaps.add(1, 9, 0), gaps.add(1, 9, 0)], [2, 2, 0])

    def test_what_is_done_is_forgotten(self) -> None:
        """The list does not grow with a long life."""
        gaps = Gaps()
        for begin in range(0, 1000, 10):
            self.assertEqual(gaps.add(begin, begin + 1, begin), 1)
        self.assertEqual(len(gaps._counted), 1)
