"""Events, and the meta events that lgtwist makes itself."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.event import BadEvent, encode_heartbeat, encode_lifecycle, read_event


class EventTests(SynchronousTestCase):
    def test_the_bytes_that_came(self) -> None:
        """The bytes of an event are unchanged."""
        raw = b' {"post_type" : "notice", "x": [1,  2.50, "\\u4f60"], "n": 12345678901234567890123}'
        self.assertEqual(read_event(raw).raw, raw)

    def test_an_echo_is_cut_out(self) -> None:
        """L-72: an event never carries a top-level echo; an inner one stays."""
        event = read_event(b'{"echo":1,"post_type":"message","a":{"echo":2},"n":1.50}')
        self.assertEqual(event.raw, b'{"post_type":"message","a":{"echo":2},"n":1.50}')

    def test_what_is_no_event(self) -> None:
        """Everything that is not an event raises BadEvent, with the reason."""
        for raw in (
            b"",
            b"[]",
            b"{}",
            b'{"post_type":1}',
            b'{"post_type":"message","x":"\xff"}',
            b"[" * 100_000,
            b'{"post_type":"a","x":' + b"[" * 100_000,
        ):
            with self.assertRaises(BadEvent):
                read_event(raw)

    def test_whose_event_it_says_it_is(self) -> None:
        """A self_id may be a number or a string; None where it is missing, 0 for anything else."""
        for said, self_id in (
            (b"10001", 10001),
            (b'"10001"', 10001),
            (b"10001", 10001),
            (b"null", None),
            (b"0", 0),
            (b"-5", 0),
            (b"1.5", 0),
            (b"true", 0),
            (b'"me"', 0),
            (b"[10001]", 0),
            (b"1" * 19, int("1" * 19)),
            (b"1" * 20, 0),
            (b"1" * 5000, 0),
            (b'"%b"' % (b"1" * 100_000), 0),
        ):
            event = read_event(b'{"post_type":"message","self_id":%b}' % said)
            self.assertEqual(event.self_id, self_id, said[:30])
        self.assertIsNone(read_event(b'{"post_type":"message"}').self_id)

    def test_lifecycle_and_heartbeat(self) -> None:
        """Lifecycle and heartbeat are those of OneBot 11, with the real online state."""
        self.assertEqual(
            json.loads(encode_lifecycle(10001, 5)),
            {
                "time": 5,
                "self_id": 10001,
                "post_type": "meta_event",
                "meta_event_type": "lifecycle",
                "sub_type": "connect",
            },
        )
        for online in (True, False):
            heartbeat = json.loads(encode_heartbeat(10001, 5, 3000, online))
            self.assertEqual(heartbeat["status"], {"online": online, "good": online})
            self.assertEqual((heartbeat["meta_event_type"], heartbeat["interval"]), ("heartbeat", 3000))
