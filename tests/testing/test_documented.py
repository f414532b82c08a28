"""docs/testing-a-bot.md shows what is in ``examples/testing``, and what there is."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.testing import bots
from lgtwist.testing.expectations import Expect
from lgtwist.testing.faults import SandboxFaults
from lgtwist.testing.people import SandboxMember, SandboxPerson
from lgtwist.testing.service import SandboxProcess
from tests.frameworks.frameworks import need
from tests.processes import ROOT, inherited_environment
from tests.test_docs import page
from tests.testing.test_examples import EXAMPLES, LIMIT, pytest_command

DOCUMENT = page(ROOT / "docs" / "testing-a-bot.md")

#: The test that fails in the document.
FAILS = """\
def test_good_morning(sandbox, expect):
    sandbox.alice.says("/echo hello")
    expect.reply("good morning", within=1)
"""


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [block.text for block in DOCUMENT.blocks if block.language == language]


def like_any_other(report: str) -> list[str]:
    """Return the lines of a report, without what is different each time."""
    report = re.sub(r"\b(\d\d-\d\d )?\d\d:\d\d:\d\d\b", "TIME", report)
    report = re.sub(r"(#|Message |lineno=)\d+", r"\1N", report)
    return [line.rstrip() for line in report.splitlines() if re.match("E|>", line)]


class DocumentedTests(SynchronousTestCase):
    def test_code_is_of_the_examples(self) -> None:
        """Each block of code is a part of a file that is run."""
        files = [path.read_text("utf-8") for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".yml")]
        shown = blocks("python") + blocks("yaml")
        self.assertGreater(len(shown), 8)
        self.assertEqual([text for text in shown if not any(text in file for file in files)], [])

    def test_names_are_there(self) -> None:
        """What people do, what is expected, which faults there are: each name in backquotes."""
        prose = "\n".join(DOCUMENT.prose)
        for where, names in (
            (Expect, re.findall(r"`expect\.(\w+)\(", prose)),
            (SandboxFaults, re.findall(r"faults\.(\w+)\(", prose)),
            (bots.BotCommand, re.findall(r"`bot\.(\w+)\(", prose)),
            (SandboxProcess, re.findall(r"sandbox_process\.(\w+)", prose)),
        ):
            self.assertGreater(len(names), 1, where)
            self.assertEqual([name for name in names if not hasattr(where, name)], [], where)
        rows = re.findall(r"^\| `(?:says|hears|pokes|asks_to|joins)[^|]*\|", prose, re.MULTILINE)
        verbs = re.findall(r"`(\w+)`", "".join(rows))
        self.assertGreater(len(verbs), 15)
        self.assertEqual(
            [one for one in verbs if not hasattr(SandboxPerson, one) and not hasattr(SandboxMember, one)], []
        )
        parameters = inspect.signature(SandboxPerson.says).parameters
        for name in ("picture", "voice", "reply_to", "at_bot", "mentions"):
            self.assertIn(name, parameters)
        command = inspect.signature(bots.BotCommand).parameters
        for name in ("url", "cwd", "env", "ready", "name", "settings", "within"):
            self.assertIn(name, command)

    def test_the_workflow(self) -> None:
        """The workflow of GitHub Actions installs what the example needs, and runs its tests."""
        need("PyYAML")
        import yaml

        steps = yaml.safe_load(blocks("yaml")[0])["jobs"]["test"]["steps"]
        runs = [step["run"] for step in steps if "run" in step]
        self.assertEqual(runs[0], "pip install -r requirements.txt")
        self.assertIn("lgtwist[testing]", (EXAMPLES / "nonebot2" / "requirements.txt").read_text("utf-8"))
        self.assertTrue(runs[1].startswith("pytest "), runs[1])
        plugin = (ROOT / "lgtwist" / "testing" / "plugin.py").read_text("utf-8")
        for option in re.findall(r"(--[\w-]+)", runs[1]):
            self.assertIn(f'"{option}"', plugin)
        kept = next(step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", ""))
        self.assertIn(f"--lgtwist-log={kept}", runs[1])

    def test_a_failure_looks_so(self) -> None:
        """The report of a test that fails is that of the document."""
        need("pytest", "nonebot2", "nonebot-adapter-onebot", "websockets")
        folder = Path(self.mktemp()).absolute()
        shutil.copytree(EXAMPLES / "nonebot2", folder)
        (folder / "test_good_morning.py").write_text(FAILS, "utf-8")
        ended = subprocess.run(
            [*pytest_command(), "test_good_morning.py"],
            cwd=folder,
            env={**inherited_environment(), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=LIMIT,
        )
        said = ended.stdout.decode("utf-8", "replace")
        self.assertEqual(ended.returncode, 1, said)
        self.assertEqual(like_any_other(blocks("text")[0]), like_any_other(said), said)
