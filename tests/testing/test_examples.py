"""The bots in ``examples/testing`` and their tests, run as an author runs them."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.frameworks.frameworks import HERE as FRAMEWORKS
from tests.frameworks.frameworks import need, node_modules
from tests.processes import ROOT, inherited_environment

EXAMPLES = ROOT / "examples" / "testing"
#: Seconds that the tests of one bot may take on a busy machine.
LIMIT = 120


def pytest_command() -> list[str]:
    """Return the command that runs pytest with our plugin, which is registered if we are installed."""
    registered = {one.name for one in importlib.metadata.entry_points(group="pytest11")}
    plugin = [] if "lgtwist" in registered else ["-p", "lgtwist.testing.plugin"]
    return [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "-p", "no:randomly"]


class ExampleTests(SynchronousTestCase):
    def run_example(self, name: str, *packages: str) -> Path:
        """Copy an example, and run its tests.

        :return: the copy.
        """
        need("pytest", *packages)
        folder = Path(self.mktemp()).absolute()
        shutil.copytree(EXAMPLES / name, folder)
        if (folder / "package.json").exists():
            (folder / "node_modules").symlink_to(node_modules(FRAMEWORKS / name))
        ended = subprocess.run(
            [*pytest_command(), "--lgtwist-within=20"],
            cwd=folder,
            env={**inherited_environment(), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=LIMIT,
        )
        said = ended.stdout.decode("utf-8", "replace")
        self.assertEqual(ended.returncode, 0, said + ended.stderr.decode("utf-8", "replace"))
        found = re.search(r"(\d+) passed", said)
        written = sum(
            len(re.findall(r"def test_", one.read_text("utf-8"))) for one in folder.glob("test_*.py")
        )
        self.assertEqual(int(found[1]) if found else 0, written, said)
        return folder

    def test_nonebot2(self) -> None:
        """A program that dials lgtwist."""
        self.run_example("nonebot2", "nonebot2", "nonebot-adapter-onebot", "websockets")

    def test_koishi(self) -> None:
        """A program in another language, which lgtwist dials."""
        self.run_example("koishi")

    def test_aiocqhttp(self) -> None:
        """An object in the process of the tests, which are asynchronous."""
        self.run_example("aiocqhttp", "aiocqhttp", "pytest-asyncio")

    def test_trial(self) -> None:
        """The first example's bot, in a test case on trial."""
        need("nonebot2", "nonebot-adapter-onebot", "websockets")
        folder = Path(self.mktemp()).absolute()
        for name in ("nonebot2", "trial"):
            shutil.copytree(EXAMPLES / name, folder / name)
        ended = subprocess.run(
            [sys.executable, "-m", "twisted.trial", "test_bot"],
            cwd=folder / "trial",
            env={**inherited_environment(), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=LIMIT,
        )
        said = (ended.stdout + ended.stderr).decode("utf-8", "replace")
        self.assertEqual(ended.returncode, 0, said)
        self.assertIn("PASSED (successes=1)", said)

    def test_koishi_has_the_versions_that_are_installed(self) -> None:
        """The packages that the example names are those that these tests install."""
        example, ours = (
            json.loads((folder / "koishi" / "package.json").read_text("utf-8"))["dependencies"]
            for folder in (EXAMPLES, FRAMEWORKS)
        )
        self.assertEqual(example, ours)
