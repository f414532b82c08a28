from __future__ import annotations

import json
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters import go_cqhttp
from lgtwist.filters.mistakes import BadFilter
from lgtwist.filters.reading import read_filter
from lgtwist.filters.subject import subject_of
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


class CostTests(SynchronousTestCase):
    EVENT = (
        '{"post_type":"message","group_id":5,"sender":{"role":"owner"},'
        '"message":[{"type":"text","data":{"text":"hi"}}]}'
    )

    def decoded(self, text: str) -> tuple[bool, set[str]]:
        """Whether an event passes a filter, and which of its members were decoded or made a string for it."""
        event = read_event(self.EVENT.encode())
        passed = read_filter(text).passes(event)
        subject = subject_of(event)
        found = {key.split("'")[1] for key in subject.memo}
        if subject._cq is not None or subject._segments is not None:
            found.add("message")
        return passed, found

    def test_cheap_members_come_first(self) -> None:
        """Where they decide, the message is not decoded, wherever it stands in the filter."""
        for text, passed, decoded in [
            ('{"message":"hi","group_id":6}', False, {"group_id"}),
            ('{"message.0.type":"text","sender.role":"admin","group_id":5}', False, {"group_id", "sender"}),
            ('{"message":{".regex":"h"},"post_type":"notice"}', False, set()),
            ('{".or":[{"message":"hi"},{"group_id":5}]}', True, {"group_id"}),
            ('{".not":{"message":"hi"},"group_id":6}', False, {"group_id"}),
            ('{".contains":"x","message":"no"}', False, {"message"}),
            ('{"group_id":5,"message":"hi"}', True, {"group_id", "message"}),
        ]:
            self.assertEqual(self.decoded(text), (passed, decoded), text)

    def test_bots_share_what_was_read(self) -> None:
        """A value is made a string once for all filters."""
        event = read_event(self.EVENT.encode())
        with patch.object(go_cqhttp, "get_value", wraps=go_cqhttp.get_value) as reads:
            for role in ("a", "b", "owner"):
                read_filter(json.dumps({"sender.role": {".in": [role]}})).passes(event)
        self.assertEqual(reads.call_count, 1)


class DifferenceTests(SynchronousTestCase):
    """What is not as in go-cqhttp, on purpose."""

    def test_message_sent_is_message(self) -> None:
        event = '{"post_type":"message_sent","message":"a"}'
        self.assertIs(judge('{"post_type":"message"}', event), True)
        self.assertIs(judge('{"post_type":"message_sent"}', event), False)

    def test_message_of_other_events(self) -> None:
        """It is a member as any other, and neither segments nor a string with CQ codes."""
        offline = '{"post_type":"notice","message":"kicked"}'
        for text, expected in (
            ('{"message":{".regex":"^kicked$"}}', True),
            ('{"message.#":""}', True),
            ('{"message.0.type":"text"}', False),
        ):
            self.assertIs(judge(text, offline), expected, text)
        for message in ("null", "5"):
            event = f'{{"post_type":"message","message":{message}}}'
            self.assertIs(judge('{"message.#":""}', event), True)
        array = '{"post_type":"notice","message":[{"type":"text","data":{"text":"a"}}]}'
        self.assertIs(judge('{"message.0.data.text":"a"}', array), True)
        self.assertIs(judge('{"message":"a"}', array), False)

    def test_strings_are_not_searched_for_json(self) -> None:
        """There, gjson finds an object inside of a string."""
        self.assertIs(judge('{"a.b":1}', '{"post_type":"x","a":"{\\"b\\":1}"}'), False)

    def test_the_last_of_equal_keys_counts(self) -> None:
        """Of an event, as for routing; gjson takes the first."""
        event = '{"post_type":"x","group_id":1,"group_id":2}'
        self.assertIs(judge('{"group_id":2}', event), True)

    def test_long_texts_are_cut(self) -> None:
        event = json.dumps(
            {"post_type": "message", "message": "a" * 65_536 + "b", "raw_message": "a" * 65_536 + "b"}
        )
        for name in ("message", "raw_message"):
            for operator in (".contains", ".regex"):
                self.assertIs(judge(json.dumps({name: {operator: "b"}}), event), False)
                self.assertIs(judge(json.dumps({name: {operator: "a"}}), event), True)
