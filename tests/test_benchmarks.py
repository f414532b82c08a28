"""The benchmarks still run: the load generator and its smallest server, names of cases, a second checkout."""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
from pathlib import Path

import msgspec
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.__main__ import _measure, main
from benchmarks.cases import CASES, Case, calls, fanout, find
from benchmarks.report import Outcome, chart, compared, table
from benchmarks.subjects import ROOT, SUBJECTS, Setting, Subject, Unavailable, beside, configuration


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
        self.assertEqual([case.name for case in find("milky-events")], ["milky-events"])
        self.assertEqual([case.name for case in find("milky-events-3-700")], ["milky-events-3-700"])
        with self.assertRaises(LookupError):
            find("nothing")
        self.assertTrue(all(case.measures for case in CASES.values()))
        self.assertIn("peer", {subject.kind for subject in SUBJECTS.values()})


class DialledTests(SynchronousTestCase):
    """Accounts whose implementation the generator plays, and lgtwist dials."""

    def test_configuration(self) -> None:
        """They are dialled where the generator listens; the others are not."""
        for case in find("milky"):
            self.assertEqual(case.subjects(), ["forward-websocket", "milky"])
            for name, (_base, setting, options) in case.variants.items():
                folder = Path(self.mktemp())
                text = configuration(8081, folder, evolve(setting, account_port=8082), "live", tls=False)
                [account] = msgspec.toml.decode(text)["accounts"]
                self.assertEqual(account["type"], name)
                self.assertTrue(account["url"].endswith("://127.0.0.1:8082/"), account["url"])
                self.assertEqual(options["protocol"], "milky" if name == "milky" else "onebot")
        text = configuration(8081, Path(self.mktemp()), Setting(), "live", tls=False)
        self.assertNotIn("url", text)

    def test_events_are_counted_once(self) -> None:
        """The CPU of an event counts once, however many bots have it."""
        [case] = find("milky-events-4-512")
        self.assertEqual(case.measures[0].read(raw(4000, 0.5)), 500)
        self.assertEqual(case.measures[1].read(raw(4000, 0.5)), 1000)


def raw(units: float, server_cpu: float) -> dict[str, float]:
    """Give figures as the generator prints them, of a run of one second."""
    return {
        "units": units,
        "wall": 1.0,
        "server_cpu": server_cpu,
        "own_share": 0.1,
        "server_share": server_cpu,
        "p50": 100.0,
        "p99": 200.0,
    }


@functools.cache
def this() -> dict[str, Subject]:
    """Give our subjects as this checkout serves them as the second one."""
    return beside(ROOT)


class BesideTests(SynchronousTestCase):
    """``--beside``: a second checkout in the same run."""

    def setUp(self) -> None:
        """Take this checkout as the second one."""
        self.others = this()

    def refusal(self, checkout: Path) -> str:
        """Give what the command says on a checkout that it refuses, with its exit status checked."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertEqual(main(["calls-1-1", "--beside", str(checkout)]), 2)
        [line] = said.getvalue().splitlines()
        return line

    def checkout(self, init: str = "", plugin: str = "") -> Path:
        """Make the folder of a checkout with this package and this plugin."""
        root = Path(self.mktemp()).resolve()
        for name, text in (("lgtwist/__init__.py", init), ("twisted/plugins/lgtwist_plugin.py", plugin)):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(text, "utf-8")
        return root

    def test_subjects(self) -> None:
        """Each of our subjects has one beside it that differs in name, kind and PYTHONPATH alone."""
        ours = [subject for subject in SUBJECTS.values() if subject.kind == "ours"]
        self.assertEqual(list(self.others), [subject.name for subject in ours])
        for subject in ours:
            other = self.others[subject.name]
            self.assertEqual(other.name, f"{subject.name}@beside")
            self.assertEqual(other.kind, "beside")
            self.assertEqual(other.environment, {"PYTHONPATH": str(ROOT)})
            self.assertEqual((other.tls, other.numbered), (subject.tls, subject.numbered))

    def test_cases(self) -> None:
        """Subjects and variants get the other one right after them; peers do not."""
        names = calls(4, 16).with_beside(self.others).subjects()
        self.assertEqual(
            names[:4], ["lgtwist", "lgtwist@beside", "lgtwist-journal", "lgtwist-journal@beside"]
        )
        self.assertIn("ws", names)
        self.assertNotIn("ws@beside", names)
        [case] = find("live-with-journal")
        case = case.with_beside(self.others)
        self.assertEqual(case.subjects()[:2], ["beside-live", "beside-live@beside"])
        self.assertEqual(case.variants["beside-live@beside"][1:], case.variants["beside-live"][1:])
        self.assertIs(case.subject("beside-live@beside"), self.others["lgtwist"])

    def test_turns(self) -> None:
        """``--only lgtwist`` keeps both; they take turns, and each round begins with another one."""
        turns: list[str] = []

        def run(_case: Case, name: str, _seconds: float) -> dict[str, float]:
            turns.append(name)
            return raw(1000, 0.5)

        self.patch(Case, "run", run)
        outcome = Outcome(calls(4, 16).with_beside(self.others))
        _measure(outcome, {"lgtwist"}, 2, 0.1, {})
        self.assertEqual(turns, ["lgtwist", "lgtwist@beside", "lgtwist@beside", "lgtwist"])
        turns.clear()
        _measure(outcome, {"lgtwist@beside"}, 1, 0.1, {})
        self.assertEqual(turns, ["lgtwist@beside"])

    def test_report(self) -> None:
        """Both have their medians, and a line has the ratios: more calls are better, and less CPU."""
        runs = {
            "lgtwist": {0: raw(1100, 0.5), 1: raw(1100, 0.5), 2: raw(600, 0.3)},
            "lgtwist@beside": {0: raw(1000, 0.5), 1: raw(1100, 0.55)},
        }
        outcome = Outcome(calls(4, 16).with_beside(self.others), runs)
        [line] = compared(outcome)
        self.assertEqual(
            line,
            "lgtwist, times better than lgtwist@beside: "
            "calls/s 1.05x (1.00..1.10), CPU us/call 1.10x (1.10..1.10)",
        )
        text = table(outcome)
        self.assertIn(line, text)
        self.assertRegex(text, r"(?m)^  lgtwist@beside +1\.1k +\(1\.0k\.\.1\.1k\) .* 500 +\(500\.\.500\)")
        self.assertIn("</svg>", chart([outcome], "here"))

    def test_report_of_variants(self) -> None:
        """Variants are compared with their own, and the other checkout is no base of other ratios."""
        [case] = find("replay-200000")
        case = case.with_beside(self.others)
        outcome = Outcome(case, {"lgtwist": {0: raw(2000, 1)}, "lgtwist@beside": {0: raw(1000, 1)}})
        [line] = compared(outcome)
        self.assertIn("events/s 2.00x (2.00..2.00), CPU us/event 2.00x", line)
        self.assertIsNone(outcome.best_peer(case.measures[0]))
        [case] = find("live-with-journal")
        case = case.with_beside(self.others)
        runs = {name: {0: raw(1000, 1)} for name in case.subjects()}
        outcome = Outcome(case, runs)
        self.assertEqual(len(compared(outcome)), 2)
        self.assertEqual(outcome.best_peer(case.measures[0]), "beside-live")

    def test_without(self) -> None:
        """Without a second checkout there is no line."""
        self.assertEqual(compared(Outcome(calls(4, 16), {"lgtwist": {0: raw(1000, 0.5)}})), [])

    def test_no_checkout(self) -> None:
        """A folder without the package, or without the plugin, is refused in one line."""
        empty = Path(self.mktemp()).resolve()
        self.assertEqual(
            self.refusal(empty), f"{empty} is not a checkout of lgtwist: it has no lgtwist/__init__.py"
        )
        half = self.checkout()
        (half / "twisted/plugins/lgtwist_plugin.py").unlink()
        self.assertIn("it has no twisted/plugins/lgtwist_plugin.py", self.refusal(half))

    def test_broken(self) -> None:
        """A checkout whose package cannot be imported, or whose plugin offers nothing, is refused."""
        plugin = (ROOT / "twisted/plugins/lgtwist_plugin.py").read_text("utf-8")
        broken = self.checkout("raise ImportError('broken')", plugin)
        self.assertEqual(
            self.refusal(broken), f"lgtwist cannot be imported from {broken}: ImportError: broken"
        )
        self.assertIn("twistd finds no plugin named lgtwist", self.refusal(self.checkout()))

    def test_elsewhere(self) -> None:
        """A checkout from which not everything is imported is refused, with the module and its file."""
        plugin = (ROOT / "twisted/plugins/lgtwist_plugin.py").read_text("utf-8")
        elsewhere = self.checkout(f"__path__ = [{str(ROOT / 'lgtwist')!r}]\n__version__ = '0'\n", plugin)
        with self.assertRaises(Unavailable) as caught:
            beside(elsewhere)
        self.assertRegex(
            str(caught.exception), rf"^with {elsewhere} as the checkout, lgtwist\.\S+ is imported from {ROOT}"
        )
