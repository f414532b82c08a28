"""The mark of events that were fetched later than they happened."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.event import late_event, mark_late, mark_replayed, read_event

EVENT = b'{"post_type":"message","group_id":10001,"message":[]}'


class LateEventTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        """The event without the mark is as it was, byte for byte."""
        marked = mark_late(EVENT)
        self.assertEqual(json.loads(marked), {"replayed": True, **json.loads(EVENT)})
        self.assertEqual(late_event(marked), EVENT)

    def test_others_do_not_have_it(self) -> None:
        """Neither an event of an implementation, nor one that another lgtwist has marked as replayed."""
        for raw in (EVENT, mark_replayed(EVENT), b'{"replayed": true, "post_type":"notice"}', b"{}"):
            self.assertIsNone(late_event(raw))

    def test_routing(self) -> None:
        """A marked event is read as without the mark."""
        marked, event = read_event(mark_late(EVENT)), read_event(EVENT)
        self.assertEqual((marked.post_type, marked.detail), (event.post_type, event.detail))

    def test_a_member_of_that_name(self) -> None:
        """It is replaced, so that there is only one."""
        marked = mark_late(b' { "post_type":"notice", "replayed":false, "a":1}')
        self.assertEqual(marked.count(b'"replayed"'), 1)
        self.assertEqual(json.loads(late_event(marked) or b""), {"post_type": "notice", "a": 1})

    def test_first_bytes(self) -> None:
        """Of an event that is cut."""
        self.assertEqual(late_event(mark_late(EVENT)[:30]), EVENT[:13])
