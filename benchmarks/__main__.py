"""``python -m benchmarks [CASE...]``: see README.md in this folder."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.cases import CASES, Case, find
from benchmarks.report import Outcome, chart, table
from benchmarks.subjects import BESIDE, SUBJECTS, Failed, Unavailable, beside


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit status is 1 if a run failed."""
    options = _options(arguments)
    if options.list:
        for subject in SUBJECTS.values():
            _say(f"{subject.name:20} {subject.about}")
        _say("")
        for case in CASES.values():
            _say(f"{case.name:20} {case.about}")
        return 0
    try:
        cases = [case for name in options.cases or CASES for case in find(name)]
        if options.beside:
            others = beside(Path(options.beside))
            cases = [case.with_beside(others) for case in cases]
        only = _only(options.only, cases)
    except Unavailable as error:
        _say(str(error))
        return 2
    except LookupError as error:
        _say(f"{error.args[0]}; see --list")
        return 2
    _raise_file_limit()
    signal.signal(signal.SIGTERM, _terminated)
    _say(_machine())
    outcomes: list[Outcome] = []
    skipped: dict[tuple[str, str], str] = {}
    try:
        for case in cases:
            outcome = Outcome(case)
            outcomes.append(outcome)
            _measure(outcome, only, options.rounds, options.seconds, skipped)
            _say("\n" + table(outcome))
    except KeyboardInterrupt:
        _say("\ninterrupted")
    if options.json:
        Path(options.json).write_text(json.dumps(_raw(outcomes, options), indent=1) + "\n", "utf-8")
    if options.svg:
        Path(options.svg).write_text(chart(outcomes, _machine()), "utf-8")
    return 1 if any(outcome.failures for outcome in outcomes) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast lgtwist is.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a case or a family of them; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="of all subjects in turn (3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured in each run (2)")
    parser.add_argument("--only", default="", metavar="A,B", help="only these subjects")
    parser.add_argument("--beside", metavar="CHECKOUT", help="another checkout of lgtwist, measured in turn")
    parser.add_argument("--json", metavar="FILE", help="keep the raw figures")
    parser.add_argument("--svg", metavar="FILE", help="draw the chart")
    parser.add_argument("--list", action="store_true", help="cases and subjects")
    return parser.parse_args(arguments)


def _only(names: str, cases: Sequence[Case]) -> set[str]:
    known = set(SUBJECTS).union(*(case.subjects() for case in cases))
    only = {name for name in names.split(",") if name}
    for name in sorted(only - known):
        raise LookupError(f"there is no subject {name}")
    return only


def _measure(
    outcome: Outcome, only: set[str], rounds: int, seconds: float, skipped: dict[tuple[str, str], str]
) -> None:
    """All rounds of one case, the subjects in turn; each round begins with another one."""
    case = outcome.case
    names = [
        name for name in case.subjects() if not only or name in only or name.removesuffix(BESIDE) in only
    ]
    for number in range(rounds):
        turn = number % max(1, len(names))
        for name in names[turn:] + names[:turn]:
            # What is not there is not there in the other cases either; a variant is a thing of its own.
            key = (case.name if case.variants else "", name)
            if key in skipped:
                continue
            try:
                outcome.runs.setdefault(name, {})[number] = case.run(name, seconds)
            except Unavailable as error:
                skipped[key] = str(error)
                _say(f"{name} is skipped: {error}")
            except Failed as error:
                outcome.failures.setdefault(name, []).append(str(error))


def _raw(outcomes: Sequence[Outcome], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "machine": _machine(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": options.seconds,
        "beside": options.beside and str(Path(options.beside).resolve()),
        "cases": [
            {
                "case": outcome.case.name,
                "about": outcome.case.about,
                "main": outcome.case.measures[0].name,
                "runs": {name: list(runs.values()) for name, runs in outcome.runs.items()},
                "failures": outcome.failures,
            }
            for outcome in outcomes
        ],
    }


def _machine() -> str:
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if line.startswith("model name")
    ]
    model = models[0] if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def _raise_file_limit() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
