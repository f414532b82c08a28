"""Filters in LLBot's grammar judge as sift does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters.mistakes import FilterMistake
from lgtwist.filters.sift import compile_sift
from lgtwist.filters.subject import Predicate, subject_of
from lgtwist.onebot.event import Event, read_event

HERE = Path(__file__).parent
SCRIPT = HERE / "make_sift_table.mjs"
TABLE = HERE / "sift_table.json"

#: Filters of the table that sift reads and that lgtwist does not, or the other way around: see
#: ``docs/filters.md``. What sift says of them is not asked for.
OTHERWISE: list[Any] = []


def event_of(members: dict[str, Any]) -> Event:
    """Return an event with these members."""
    return read_event(json.dumps(members, ensure_ascii=False).encode())


def reads(value: Any) -> Predicate | list[FilterMistake]:
    """Return a compiled filter, or what is wrong with it."""
    mistakes: list[FilterMistake] = []
    judge = compile_sift(value, mistakes)
    return mistakes or judge


def passes(value: Any, members: dict[str, Any]) -> bool:
    """Return whether an event with these members passes a filter without a mistake."""
    judge = reads(value)
    assert not isinstance(judge, list), judge
    return judge(subject_of(event_of(members)))


class TheTable(SynchronousTestCase):
    """``sift_table.json``, made by sift itself."""

    def groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = json.loads(TABLE.read_text("utf-8"))["groups"]
        return groups

    def test_it_is_what_the_script_made(self) -> None:
        """Neither the script nor the table was edited without the other."""
        first, rest = TABLE.read_text("utf-8").split("\n", 1)
        checksum = hashlib.sha256(SCRIPT.read_bytes() + rest.encode()).hexdigest()
        self.assertEqual(first, f'{{"checksum": "{checksum}",', "run make_sift_table.mjs")

    def test_it_is_large(self) -> None:
        """There are more than 120 filters that nobody wrote at random, on several events each."""
        count = sum(len(group["cases"]) for group in self.groups() if "at random" not in group["name"])
        self.assertGreater(count, 300)

    def test_each_case(self) -> None:
        """Every filter judges every event as sift does; what sift throws at is a mistake."""
        wrong = []
        for group in self.groups():
            events = [event_of({"post_type": "message", **one}) for one in group["events"]]
            for case in group["cases"]:
                found = reads(case["filter"])
                judged: list[Any]
                if isinstance(found, list):
                    judged = ["throws"] * len(events) if all(map(str, found)) else []
                    expected = ["throws" if "throws" in case["results"] else "a mistake"] * len(events)
                else:
                    judged = [found(subject_of(event)) for event in events]
                    expected = case["results"]
                if judged != expected and case["filter"] not in OTHERWISE:
                    wrong.append((case["filter"], judged, expected, found))
        self.assertEqual(wrong, [], f"{len(wrong)} filters")
