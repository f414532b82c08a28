"""The benchmarks still run: the load generator against its smallest server, and names of cases."""

from __future__ import annotations

import shutil

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.cases import CASES, calls, fanout, find
from benchmarks.report import Outcome, chart, table
from benchmarks.subjects import SUBJECTS


class BenchmarkTests(SynchronousTestCase):
    if shutil.which("gcc") is None:
        skip = "gcc is not installed"

    def test_fanout_and_calls(self) -> None:
        """Both cases run against the epoll peer, nothing is lost, and the figures can be told."""
        outcomes = []
        for case in (fanout(3, 1024), calls(2, 4)):
            raw = case.run("epoll", 0.2)
            self.assertGreater(raw["units"], 100)
            outcomes.append(Outcome(case, {"epoll": {0: raw}}))
            self.assertIn("epoll", table(outcomes[-1]))
        self.assertIn("</svg>", chart(outcomes, "here"))

    def test_names(self) -> None:
        """A case is found by its name, its family, or made by its pattern; ratios have a base."""
        self.assertEqual([case.name for case in find("idle")], ["idle"])
        self.assertEqual([case.name for case in find("fanout-7-500")], ["fanout-7-500"])
        self.assertGreater(len(find("calls")), 3)
        with self.assertRaises(LookupError):
            find("nothing")
        self.assertTrue(all(case.measures for case in CASES.values()))
        self.assertIn("peer", {subject.kind for subject in SUBJECTS.values()})
