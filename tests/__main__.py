"""Run the tests, several processes at a time: ``python -m tests [-j JOBS] [PACKAGE OR MODULE ...]``.

Each process is a ``trial`` of its own: of one module where tests start services and browsers, of a whole
package elsewhere. ``trial -j`` hands out single tests, so that each of its workers starts what the tests of a
class share; here it is started once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from attrs import define, field
from twisted.trial.runner import TestLoader

HERE = Path(__file__).resolve().parent
#: Packages whose modules are run one by one.
_BY_MODULE = ("console", "implementations", "integration", "websocket")
#: What takes longest, and is begun first: a process for each class.
FIRST = (
    "tests.websocket.test_fuzzing_client",
    "tests.console.test_journeys",
    "tests.console.test_faults",
    "tests.integration.test_at_least_once_disk",
    "tests.integration.test_control_messages",
    "tests.integration.test_running_mistakes",
    "tests.integration.test_reverse_bots",
    "tests.integration.test_accounts_refusals",
    "tests.integration.test_accounts_takeover",
    "tests.integration.test_accounts_outages",
    "tests.integration.test_faults_over_tls",
    "tests.integration.test_kills",
    "tests.integration.test_at_least_once_pongs",
    "tests.integration.test_faults_closing",
    "tests.integration.test_at_least_once_transports",
    "tests.integration.test_milky_switches",
    "tests.integration.test_milky_kills",
    "tests.integration.test_many_accounts",
)


def parts(name: str) -> list[str]:
    """Return what is run by one process each, of a package or a module.

    :raises ValueError: if there is none of this name.
    """
    path = HERE.parent.joinpath(*name.split("."))
    if not path.is_dir():
        module = path.with_suffix(".py")
        if not module.is_file() and not path.parent.with_suffix(".py").is_file():  # of a class, by its name
            raise ValueError(f"there is no {name}")
        return [name]
    folders = [each for each in sorted(path.iterdir()) if (each / "__init__.py").is_file()]
    below = [part for each in folders for part in parts(f"{name}.{each.name}")]
    modules = [f"{name}.{each.stem}" for each in sorted(path.glob("test_*.py"))]
    if modules and not below and path.name not in _BY_MODULE:
        return [name]
    return below + [part for each in modules for part in (classes(each) if each in FIRST else [each])]


def classes(module: str) -> list[str]:
    """Return the names of the test cases of a module."""
    found = TestLoader().findTestClasses(importlib.import_module(module))
    return [f"{module}.{each.__name__}" for each in found if any(map(_is_test, dir(each)))]


def _is_test(name: str) -> bool:
    return name.startswith("test")


@define
class Part:
    """One process.

    :ivar output: what it wrote.
    :ivar seconds: how long it took.
    """

    name: str
    folder: Path
    output: str = ""
    seconds: float = 0.0
    status: int = -1
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def run(self) -> None:
        """Run it to its end."""
        began = time.monotonic()
        command = [sys.executable, "-m", "twisted.trial", "--temp-directory", str(self.folder), self.name]
        with tempfile.TemporaryFile() as log:
            self.process = subprocess.Popen(
                command, cwd=HERE.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
            self.status = self.process.wait()
            log.seek(0)
            self.output = log.read().decode("utf-8", "replace")
        self.seconds = time.monotonic() - began

    @property
    def counts(self) -> Counter[str]:
        """How many tests ended how, by trial's words, such as ``successes`` and ``skips``."""
        ends = re.findall(r"^(?:PASSED|FAILED) \((.*)\)$", self.output, re.MULTILINE)
        pairs = re.findall(r"(\w+)=(\d+)", ends[-1]) if ends else []
        return Counter({word: int(number) for word, number in pairs})

    @property
    def tests(self) -> int:
        """How many tests were run."""
        found = re.findall(r"^Ran (\d+) tests? in ", self.output, re.MULTILINE)
        return int(found[-1]) if found else 0


def run_all(names: list[str], jobs: int, folder: Path) -> Iterator[Part]:
    """Run parts, so many at a time; return each when it has ended."""
    waiting = deque(Part(name, folder / name) for name in names)
    running: list[Part] = []
    ended: SimpleQueue[Part] = SimpleQueue()

    def work(part: Part) -> None:
        try:
            part.run()
        finally:
            ended.put(part)

    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(waiting.popleft())
                Thread(target=work, args=(running[-1],), daemon=True).start()
            part = ended.get()
            running.remove(part)
            yield part
    finally:
        for part in running:
            if part.process is not None and part.process.poll() is None:
                part.process.terminate()
        for part in running:
            if part.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    part.process.wait(20)


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run what the command line names, and say how it went; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__.partition("\n")[0])
    default = max(2, min(2 * (os.cpu_count() or 1), 8))
    parser.add_argument("-j", "--jobs", type=int, default=default, help=f"processes at a time ({default})")
    parser.add_argument("--temp-directory", type=Path, default=Path("_trial_temp"), help="(_trial_temp)")
    parser.add_argument("names", nargs="*", default=["tests"], help="packages or modules (tests)")
    given = parser.parse_args()
    try:
        names = [part for name in given.names for part in parts(name)]
    except ValueError as error:
        parser.error(str(error))
    # What is long first, whole packages next: at the end there are short ones for all processors.
    names.sort(key=lambda name: ([not name.startswith(first) for first in FIRST], name.count(".")))
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    began = time.monotonic()
    folder = given.temp_directory.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    tests, bad = 0, []
    for part in run_all(names, max(1, given.jobs), folder):
        counts += part.counts
        tests += part.tests
        words = ", ".join(f"{word} {number}" for word, number in sorted(part.counts.items()))
        say(f"{part.seconds:6.1f} s  {part.name}: {words or 'did not end'}")
        if part.status != 0:
            bad.append(part)
            say(part.output)
    summary = ", ".join(f"{word}={number}" for word, number in sorted(counts.items()))
    say(f"\nRan {tests} tests in {time.monotonic() - began:.1f}s\n")
    for part in bad:
        say(f"failed: {part.name}")
    say(f"{'FAILED' if bad else 'PASSED'} ({summary})")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
