"""``python -m tests`` runs all tests there are, each once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.__main__ import FIRST, HERE, Part, parts, run_all


class PartsTests(SynchronousTestCase):
    def test_every_module_is_run_once(self) -> None:
        """By itself, with its package, or by its classes."""
        names = parts("tests")
        self.assertEqual([name for name, times in Counter(names).items() if times > 1], [])
        for file in HERE.rglob("test_*.py"):
            module = ".".join(("tests", *file.relative_to(HERE).with_suffix("").parts))
            whole = [name for name in names if module == name or module.startswith(f"{name}.")]
            by_class = [name for name in names if name.startswith(f"{module}.")]
            if module in FIRST:
                self.assertEqual(whole, [], module)
                self.assertGreater(len(by_class), 0, module)
            else:
                self.assertEqual((len(whole), by_class), (1, []), module)
        for module in FIRST:
            self.assertTrue(HERE.parent.joinpath(*module.split(".")).with_suffix(".py").is_file(), module)

    def test_what_there_is_not(self) -> None:
        for name in ("tests.nothing", "tests.hub.nothing", "nothing"):
            with self.assertRaises(ValueError):
                parts(name)
        self.assertEqual(parts("tests.hub"), ["tests.hub"])
        self.assertEqual(parts("tests.test_docs.AnyTests"), ["tests.test_docs.AnyTests"])

    def test_outcomes(self) -> None:
        """What succeeds and what cannot be loaded differ in their exit status; what was run is counted."""
        names = ["tests.console.test_sessions", "tests.hub.test_nothing"]
        good, bad = sorted(run_all(names, 2, Path(self.mktemp()).absolute()), key=lambda part: part.name)
        self.assertEqual((good.name, good.status, good.counts), (names[0], 0, {"successes": good.tests}))
        self.assertGreater(good.tests, 3)
        self.assertNotEqual(bad.status, 0)
        self.assertIn("test_nothing", bad.output)

    def test_counts(self) -> None:
        """They are those of trial's summary; without one nothing is counted."""
        output = "...\nRan 3 tests in 0.1s\n\nFAILED (skips=1, failures=1, successes=1)\n"
        part = Part("x", Path("x"), output)
        self.assertEqual((part.tests, part.counts), (3, {"skips": 1, "failures": 1, "successes": 1}))
        self.assertEqual((Part("x", Path("x")).tests, Part("x", Path("x")).counts), (0, {}))
