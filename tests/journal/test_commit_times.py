"""Up to which position events are how old, by a clock that nobody sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.journal.commit_times import CommitTimes

DAY = 86400.0


class CommitTimesTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """Before anything is noted nothing is old."""
        self.assertEqual(CommitTimes().end_before(1e9), 0)

    def test_exact_where_they_lie_apart(self) -> None:
        """Commits a second apart are told apart."""
        times = CommitTimes()
        for number in range(1, 11):
            times.note(number, float(number))
        self.assertEqual([times.end_before(at) for at in (0.5, 1.0, 1.5, 10.0, 11.0)], [0, 1, 1, 10, 10])

    @given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 3)), max_size=200), st.floats(0, 600))
    def test_never_too_old(self, commits: list[tuple[int, float]], age: float) -> None:
        """Nothing is taken for older than it is, and only what came within a moment for younger."""
        times, now, end = CommitTimes(), 0.0, 0
        done = []
        for events, passed in commits:
            now += passed
            end += events
            times.note(end, now)
            done.append((end, now))
        found = times.end_before(now - age)
        self.assertIn(found, [0, *(end for end, at in done if at <= now - age)])
        self.assertGreaterEqual(found, max((end for end, at in done if at <= now - age - 0.2), default=0))

    def test_a_week_of_commits(self) -> None:
        """However many there were: little memory, and ages right to a hundredth or so."""
        times, now = CommitTimes(), 0.0
        for number in range(1, 120_001):
            now = number * 7 * DAY / 120_000
            times.note(number, now)
        self.assertLess(len(times._times), 8192)
        for age in (10.0, 60.0, 3600.0, DAY, 6 * DAY):
            found = times.end_before(now - age)
            at = found * 7 * DAY / 120_000
            self.assertLessEqual(at, now - age)
            self.assertGreater(at, now - age * 1.02 - 15)
