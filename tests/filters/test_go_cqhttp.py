from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters.mistakes import BadFilter
from lgtwist.filters.reading import read_filter
from lgtwist.onebot.event import read_event
from tests.filters.make_go_cqhttp_table import TABLE, data_sum, script_sum


def judge(text: str, event: str) -> object:
    """Whether an event passes a filter; "mistake" if it cannot be read."""
    try:
        return read_filter(text).passes(read_event(event.encode()))
    except BadFilter:
        return "mistake"


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = json.loads(TABLE.read_text("ascii"))

    def test_checksums(self) -> None:
        """The table is what the scripts make: after a change, run make_go_cqhttp_table.py."""
        self.assertEqual(self.table["script"], script_sum())
        self.assertEqual(self.table["data"], data_sum(self.table["cases"]))
        self.assertGreater(len(self.table["cases"]), 600)

    def test_means_what_it_means_there(self) -> None:
        """Each filter lets pass what it does with gjson in Go, and each mistake is one."""
        events = [read_event(event.encode()) for event in self.table["events"]]
        differing = []
        for text, number, verdict in self.table["cases"]:
            try:
                found: object = read_filter(text).passes(events[number])
            except BadFilter as error:
                found = "mistake"
                self.assertTrue(all(one.sentence for one in error.mistakes))
            if found != verdict:
                differing.append((text, self.table["events"][number][:80], verdict, found))
        self.assertEqual(differing, [])
