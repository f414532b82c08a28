"""The short way of frequent messages makes the same events as the long one."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lgtwist.milky.keys import MessageKey
from lgtwist.milky.messages import message_data, read_key
from lgtwist.milky.plain_messages import encode_plain_message, read_plain_frame
from tests.milky.samples import (
    FRIEND_ENTITY,
    GROUP,
    MEMBER_ENTITY,
    OTHER,
    SELF,
    CountingIds,
    TranslationCase,
    frame,
    group_message,
    private_message,
    text,
)
from tests.milky.test_events_random import FRAMES, VALUES, mutated_frames
from tests.rounds import quick

#: What a text of one segment may have.
_TEXTS = st.text(max_size=12) | st.text("a&[]\",\\\x00\x1f\x7f\u2028今😀'/<", max_size=12)


class PlainMessageTests(TranslationCase):
    def both_ways(self, one: Any, raw: bytes) -> bool:
        """Check that a frame becomes the same both ways; give whether there are both."""
        plain = read_plain_frame(raw)
        if plain is None:
            return False
        message = one["data"]
        key = read_key(message)
        unknown: list[str] = []
        found = None
        if key is not None and key.scene != "temp" and plain.data.sender_id != SELF:
            found = encode_plain_message(plain.data, key, SELF, self.ids, unknown.append)
        if found is None or key is None:
            self.assertEqual(unknown, [])
            return False
        also_unknown: list[str] = []
        expected = message_data(message, key, self_id=SELF, ids=self.ids, unknown=also_unknown.append)
        self.assertEqual(json.loads(found), {**expected, "post_type": "message"})
        self.assertEqual(unknown, also_unknown)
        return True

    def test_taken(self) -> None:
        """Each message with all members goes the short way, whatever its segments are, and its blanks."""
        for one in FRAMES:
            message = one["data"]
            if one["event_type"] != "message_receive" or message["message_scene"] == "temp":
                continue
            is_own = message["sender_id"] == SELF
            for raw in (json.dumps(one), json.dumps(one, separators=(",", ":"), ensure_ascii=False)):
                self.assertEqual(self.both_ways(one, raw.encode()), not is_own)

    def test_old_members(self) -> None:
        """What Milky 1.0 does not have is not needed."""
        group = {"group_id": 30003, "group_name": "Tea", "member_count": 1, "max_member_count": 2}
        one = frame("message_receive", group_message(group=group))
        self.assertTrue(self.both_ways(one, json.dumps(one).encode()))

    def test_escaped_texts(self) -> None:
        """Each character that is escaped somewhere is escaped there, alone and among others."""
        for character in '&[]"\\,\n\x01\x7f':
            for words in (character, f"a{character}", f"{character}好"):
                one = frame("message_receive", group_message(7, text(words)))
                raw = json.dumps(one, separators=(",", ":"), ensure_ascii=False)
                self.assertTrue(self.both_ways(one, raw.encode()), words)

    def test_not_taken(self) -> None:
        """With a sender who is not the friend, or with a sex or a role of no type, it goes the long way."""
        for message in (
            private_message(friend={**FRIEND_ENTITY, "user_id": OTHER}),
            private_message(friend={**FRIEND_ENTITY, "sex": "x"}),
            private_message(friend=None),
            group_message(group_member={**MEMBER_ENTITY, "sex": "x"}),
            group_message(group_member={**MEMBER_ENTITY, "role": "x"}),
            group_message(group_member=None),
        ):
            one = frame("message_receive", message)
            self.assertFalse(self.both_ways(one, json.dumps(one).encode()))
            self.setUp()
            event = self.translate_odd("message_receive", message)
            self.assertEqual(event["sender"]["user_id"], event["user_id"])
            self.assertIn(event["sender"]["sex"], ("unknown", "male", "female"))

    @quick
    @given(_TEXTS, st.booleans(), st.booleans())
    def test_texts(self, words: str, is_group: bool, ascii_only: bool) -> None:
        """A text alone is the same, whatever has to be escaped in it."""
        self.setUp()
        one = frame("message_receive", (group_message if is_group else private_message)(7, text(words)))
        raw = json.dumps(one, separators=(",", ":"), ensure_ascii=ascii_only)
        try:
            encoded = raw.encode()
        except UnicodeEncodeError:
            return
        if not any("\ud800" <= character <= "\udfff" for character in words):
            self.assertTrue(self.both_ways(one, encoded))

    @quick
    @given(mutated_frames())
    def test_mutated_frames(self, one: Any) -> None:
        """With something missing or wrong, it is the same, or goes the long way."""
        self.setUp()
        raw = json.dumps(one, separators=(",", ":"))
        self.both_ways(json.loads(raw), raw.encode())

    @quick
    @given(st.sampled_from(["group", "group_member", "friend", "segments", "time", "peer_id"]), VALUES)
    def test_odd_members(self, name: str, value: Any) -> None:
        """So it is with each of the members that are read."""
        self.setUp()
        for message in (group_message(), private_message()):
            one = frame("message_receive", {**copy.deepcopy(message), name: value})
            raw = json.dumps(one, separators=(",", ":"))
            self.both_ways(json.loads(raw), raw.encode())

    def test_whole(self) -> None:
        """The translator makes of both the same event, and remembers the same."""
        one = frame("message_receive", group_message(7, text("今天 hello")))
        made = []
        for other in (one, {**one, "self_id": str(SELF)}):
            self.setUp()
            event = self.translate_frame(other)
            assert event is not None
            made.append((self.check(event), event.place, event.post_type, self.translator.key))
            self.assertEqual(self.recent.messages.get(MessageKey("group", GROUP, 7)), one["data"])
        self.assertEqual(made[0], made[1])

    def test_invalid_utf8(self) -> None:
        """Bytes that are no UTF-8 do not get through in a text that is not decoded."""
        raw = json.dumps(frame("message_receive"), separators=(",", ":")).encode()
        garbled = raw.replace(b"hello", b"h\xff\xc3")
        plain = read_plain_frame(garbled)
        assert plain is not None
        key = read_key(group_message())
        assert key is not None
        self.assertIsNone(encode_plain_message(plain.data, key, SELF, CountingIds(), lambda _type: None))
        with self.assertRaises(ValueError):
            self.translator.translate(garbled)
