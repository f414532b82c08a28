"""Messages of Milky as events: what bots get, and what is counted and remembered."""

from __future__ import annotations

import json
from typing import Any

from lgtwist.milky.events import BadFrame, ForeignFrame
from lgtwist.milky.keys import Conversation, MessageKey
from lgtwist.milky.recent import LARGEST_REMEMBERED, PrivateFile, RecentMessages
from tests.milky.samples import (
    DATA,
    FRIEND,
    FRIEND_ENTITY,
    GROUP,
    MEMBER,
    OTHER,
    SELF,
    TIME,
    TranslationCase,
    file_segment,
    frame,
    group_message,
    private_message,
    temp_message,
    text,
)


class MessageTests(TranslationCase):
    def expect(self, event: dict[str, Any], **members: Any) -> None:
        """Check that the event of a message has these members, besides those that are always the same."""
        common = {
            "time": TIME - 1,
            "self_id": SELF,
            "post_type": "message",
            "message_id": self.ids.id_of(self.translator.key or MessageKey("", 0, 0)),
            "real_id": 7,
            "message_seq": 7,
            "message": [text("hello")],
            "message_format": "array",
            "raw_message": "hello",
            "font": 0,
        }
        self.assertEqual(event, {**common, **members})

    def test_group_message(self) -> None:
        """It has all that OneBot 11 demands."""
        self.expect(
            self.translate("message_receive"),
            message_type="group",
            sub_type="normal",
            group_id=GROUP,
            group_name="Tea",
            user_id=MEMBER,
            anonymous=None,
            sender={
                "user_id": MEMBER,
                "nickname": "Bob",
                "card": "Bobby",
                "sex": "male",
                "age": 0,
                "area": "",
                "level": "7",
                "role": "admin",
                "title": "poet",
            },
        )

    def test_private_message(self) -> None:
        """The sender is the friend."""
        self.expect(
            self.translate("message_receive", private_message()),
            message_type="private",
            sub_type="friend",
            user_id=FRIEND,
            sender={"user_id": FRIEND, "nickname": "Amy", "sex": "female", "age": 0},
        )

    def test_temp_message(self) -> None:
        """It is a private message that comes from a group."""
        event = self.translate("message_receive", temp_message())
        self.expect(
            event,
            message_type="private",
            sub_type="group",
            group_id=GROUP,
            temp_source=0,
            user_id=MEMBER,
            sender={"user_id": MEMBER, "nickname": "", "sex": "unknown", "age": 0, "group_id": GROUP},
        )
        self.assertEqual(self.recent.scenes.get(MEMBER), "temp")
        event = self.translate("message_receive", temp_message(8, group=None))
        self.assertNotIn("group_id", event)

    def test_scenes(self) -> None:
        """The scene of a person is that of the newest message."""
        self.translate("message_receive", temp_message())
        self.translate("message_receive", private_message(peer_id=MEMBER, sender_id=MEMBER))
        self.assertEqual(self.recent.scenes.get(MEMBER), "friend")
        self.translate("message_receive", private_message())
        self.assertEqual(self.recent.scenes.get(FRIEND), "friend")

    def test_bare_message(self) -> None:
        """Without all that may be missing, and with numbers as strings, it is an event all the same."""
        bare = {
            "message_scene": "group",
            "peer_id": str(GROUP),
            "message_seq": "7",
            "sender_id": float(MEMBER),
        }
        for more in ({}, {"segments": None, "group": None, "group_member": [], "time": None}):
            event = self.translate_odd("message_receive", {**bare, **more, "message_seq": f"{7 + len(more)}"})
            self.assertEqual(event["message"], [])
            self.assertEqual(event["time"], TIME)
            self.assertEqual(event["sender"]["level"], "0")
            self.assertEqual((event["group_id"], event["user_id"]), (GROUP, MEMBER))

    def test_time(self) -> None:
        """It is that of the message, not of the frame."""
        self.assertEqual(self.translate("message_receive", time=TIME + 500)["time"], TIME - 1)

    def test_raw_message(self) -> None:
        """It is the message with CQ codes."""
        segments = [{"type": "mention_all", "data": {}}, text("a[b")]
        event = self.translate("message_receive", group_message(7, *segments))
        self.assertEqual(event["raw_message"], "[CQ:at,qq=all]a&#91;b")
        self.assertEqual(event["message"], [{"type": "at", "data": {"qq": "all"}}, text("a[b")])

    def test_reply(self) -> None:
        """It has the id that the event of the message had, also if Milky 1.0 says no more of it."""
        first = self.translate("message_receive", private_message(7))
        reply = {"type": "reply", "data": {"message_seq": 7}}
        second = self.translate_odd("message_receive", private_message(8, reply, text("yes")))
        self.assertEqual(second["message"][0], {"type": "reply", "data": {"id": str(first["message_id"])}})

    def test_unknown_segments(self) -> None:
        """They become a text that says so, and are counted by their type."""
        event = self.translate_odd("message_receive", group_message(7, {"type": "hologram", "data": {}}))
        self.assertIn("hologram", event["raw_message"])
        self.assertEqual(self.counters.unknown_segments, {"hologram": 1})
        segments = [{"type": f"t{number}", "data": {}} for number in range(1000)]
        self.translate_odd("message_receive", group_message(8, *segments))
        self.assertLess(len(self.counters.unknown_segments), 100)
        self.assertEqual(sum(self.counters.unknown_segments.values()), 1001)

    def test_lone_surrogates(self) -> None:
        """They are replaced, in the event and in what is remembered."""
        raw = json.dumps(frame("message_receive")).replace("hello", "a\\ud83db")
        event = self.translator.translate(raw.encode())
        assert event is not None
        self.assertEqual(self.check(event)["raw_message"], "a\ufffdb")
        remembered = self.recent.messages.get(MessageKey("group", GROUP, 7))
        assert remembered is not None
        self.assertEqual(remembered["segments"], [text("a\ufffdb")])

    # -- what is remembered

    def test_remembered(self) -> None:
        """A message is remembered as it came, unless it is large."""
        key = MessageKey("group", GROUP, 7)
        self.translate("message_receive")
        self.assertEqual(self.recent.messages.get(key), DATA["message_receive"])
        self.translate("message_receive", group_message(8, text("x" * LARGEST_REMEMBERED)))
        self.assertIsNone(self.recent.messages.get(key._replace(seq=8)))
        self.assertEqual(self.recent.newest.get(Conversation("group", GROUP)), 8)

    def test_fetched_messages_are_remembered(self) -> None:
        """What an action fetched is no duplicate when it comes, and does not replace what was received."""
        key = MessageKey("group", GROUP, 7)
        self.recent.messages.put(key, group_message())
        self.translate("message_receive", group_message(8))
        self.translate("message_receive")
        self.recent.messages.put(key, group_message(7, text("changed")))
        self.assertEqual(self.recent.messages.get(key), group_message())
        self.assert_dropped("message_receive")

    def test_bound(self) -> None:
        """The newest messages stay, at least half of as many as there may be."""
        messages = RecentMessages(10)
        keys = [MessageKey("group", GROUP, seq) for seq in range(1, 101)]
        for key in keys:
            if key.seq % 3:
                messages.put_received(key, json.dumps({"data": {"message_seq": key.seq}}).encode())
            else:
                messages.put(key, {"message_seq": key.seq})
            self.assertLessEqual(len(messages), 10)
        found = [key.seq for key in keys if messages.get(key) == {"message_seq": key.seq}]
        self.assertGreaterEqual(len(found), 5)
        self.assertEqual(found, [key.seq for key in keys[-len(found) :]])

    def test_own_message_is_remembered(self) -> None:
        """Bots reply to it and recall it."""
        self.assert_dropped("message_receive", group_message(sender_id=SELF))
        self.assertIsNotNone(self.recent.messages.get(MessageKey("group", GROUP, 7)))

    def test_private_files(self) -> None:
        """What a download needs is kept, also where only the event has the hash; groups need none."""
        self.translate("message_receive", private_message(7, file_segment("f1", "abc")))
        self.assertEqual(self.recent.private_files.get("f1"), PrivateFile(FRIEND, "abc"))
        self.translate("friend_file_upload", {**DATA["friend_file_upload"], "file_id": "f2"})
        self.translate("message_receive", private_message(8, file_segment("f2")))
        self.assertEqual(self.recent.private_files.get("f2"), PrivateFile(FRIEND, "abc"))
        self.translate("message_receive", group_message(7, file_segment("f3")))
        self.assertIsNone(self.recent.private_files.get("f3"))

    # -- what is counted

    def test_own_messages(self) -> None:
        """They are dropped and counted, and still named."""
        for message in (group_message(sender_id=SELF), private_message(sender_id=SELF)):
            self.assert_dropped("message_receive", message)
            self.assertEqual(self.translator.key and self.translator.key.seq, 7)
        self.assertEqual(self.counters.own_messages, 2)

    def test_duplicates(self) -> None:
        """The same message once more is dropped; another one with its number is not."""
        self.translate("message_receive")
        self.assert_dropped("message_receive", time=TIME + 1)
        self.assertIsNone(self.translator.key)  # it may not be delivered yet
        self.assertEqual(self.counters.duplicates, 1)
        self.translate("message_receive", group_message(time=TIME))
        self.translate("message_receive", group_message(time=TIME, sender_id=OTHER))
        self.translate("message_receive", private_message(peer_id=GROUP))
        self.assertEqual(self.counters.duplicates, 1)

    def test_duplicate_of_a_recalled_message(self) -> None:
        """It is dropped too, and not remembered again."""
        self.translate("message_receive")
        self.translate("message_recall")
        self.assert_dropped("message_receive")
        self.assertIsNone(self.recent.messages.get(MessageKey("group", GROUP, 7)))

    def test_gaps(self) -> None:
        """A jump is counted once, by conversation; own messages have numbers too."""
        for seq, gaps in ((7, 0), (8, 0), (10, 1), (9, 1), (11, 1), (100, 2)):
            self.translate("message_receive", group_message(seq))
            self.assertEqual(self.counters.sequence_gaps, gaps, seq)
        self.translate("message_receive", private_message(500))
        self.assert_dropped("message_receive", group_message(101, sender_id=SELF))
        self.translate("message_receive", group_message(102))
        self.assertEqual(self.counters.sequence_gaps, 2)

    def test_other_scenes(self) -> None:
        """A message in a scene that is not known is counted."""
        self.assert_dropped("message_receive", group_message(message_scene="guild"))
        self.assertEqual(self.counters.other_scenes, {"guild": 1})
        self.assertIsNone(self.translator.key)

    # -- frames

    def test_foreign_frames(self) -> None:
        """A frame of another account is refused, and says of which; one that does not say it is ours."""
        for event_type in DATA:
            with self.assertRaises(ForeignFrame) as caught:
                self.translate_frame(frame(event_type, self_id=OTHER))
            self.assertEqual(caught.exception.self_id, OTHER)
        self.assertEqual(self.counters.foreign_frames, len(DATA))
        self.assertEqual(self.counters.malformed_frames, 0)
        self.translate_odd("message_receive", self_id=None)

    def test_sequence_number_0(self) -> None:
        """Milky allows it: the message is delivered, and its recall is of the same ``message_id``."""
        event = self.translate("message_receive", group_message(0))
        self.assertEqual((event["message_seq"], event["real_id"]), (0, 0))
        self.assertEqual(self.ids.key_of(event["message_id"]), MessageKey("group", GROUP, 0))
        data = {"message_scene": "group", "peer_id": GROUP, "message_seq": 0, "sender_id": MEMBER}
        recall = self.translate("message_recall", {**data, "operator_id": MEMBER, "display_suffix": ""})
        self.assertEqual(recall["message_id"], event["message_id"])

    def test_malformed_frames(self) -> None:
        """What is no event of Milky is refused with a sentence, and counted."""
        deep = b"[" * 100_000
        frames = (
            b"",
            b"{",
            b"null",
            b"[]",
            b"1",
            b'"x"',
            b"\xff\xfe",
            b"{}",
            b'{"post_type": "message"}',
            b'{"event_type": null, "self_id": 10001, "data": {}}',
            b'{"event_type": "bot_offline", "self_id": "x", "data": {}}',
            b'{"event_type": "bot_offline", "self_id": -1, "data": {}}',
            b'{"event_type": "bot_offline", "self_id": 10001, "data": []}',
            b'{"event_type": "message_receive", "self_id": 10001}',
            b'{"event_type": "message_receive", "self_id": 10001, "data": []}',
            b'{"event_type": "message_receive", "self_id": 10001, "data": {"a": "\xff"}}',
            b'{"event_type": "message_receive", "self_id": 10001, "data": {"segments": ' + deep + b"}}",
            b'{"event_type": "group_mute", "self_id": 10001, "data": ' + deep + b"}",
            b'{"event_type": "message_receive", "self_id": 10001, "data": {"a": ['
            + b"1," * 100_000
            + b"1]}}",
            deep,
            json.dumps({**frame("message_receive"), "more": [0] * 100_000}).encode(),
            json.dumps({**frame("group_mute"), "more": [0] * 100_000}).encode(),
        )
        for number, one in enumerate(frames, 1):
            with self.assertRaises(BadFrame) as caught:
                self.translator.translate(one)
            self.assertTrue(str(caught.exception))
            self.assertEqual(self.counters.malformed_frames, number, one[:80])
        for name in ("message_scene", "peer_id", "message_seq", "sender_id"):
            with self.assertRaises(BadFrame):
                self.translate_frame(frame("message_receive", {**DATA["message_receive"], name: None}))

    def test_order(self) -> None:
        """The key is that of the frame before; a frame without a message has none."""
        self.translate("message_receive")
        self.translate("group_mute")
        self.assertIsNone(self.translator.key)


class FetchedTests(TranslationCase):
    def test_event(self) -> None:
        """It is the same as that of the message if it was received."""
        for message in (group_message(), private_message(), temp_message()):
            event = self.translator.translate_message(message)
            assert event is not None
            members = self.check(event)
            self.setUp()
            self.ids.id_of(MessageKey("x", 0, 0))
            received = self.translate("message_receive", message)
            self.assertEqual({**members, "message_id": 2}, received)
            self.setUp()

    def test_time(self) -> None:
        """One that does not say when it was sent has the time that is given."""
        event = self.translator.translate_message(group_message(time=None), time=TIME + 9)
        assert event is not None
        self.assertEqual(self.check(event)["time"], TIME + 9)

    def test_counts(self) -> None:
        """It is no gap and no duplicate; own messages are dropped."""
        for seq in (9, 100, 9):
            self.assertIsNotNone(self.translator.translate_message(group_message(seq)))
        self.assertIsNone(self.translator.translate_message(group_message(101, sender_id=SELF)))
        self.assertEqual(self.translator.key, MessageKey("group", GROUP, 101))
        self.assertEqual((self.counters.sequence_gaps, self.counters.duplicates), (0, 0))
        self.assertEqual(self.counters.own_messages, 1)
        self.assertEqual(self.recent.newest.get(Conversation("group", GROUP)), 101)

    def test_received_afterwards(self) -> None:
        """What the event stream then brings is a duplicate, and the next message is no gap."""
        for seq in (7, 8, 9):
            self.translator.translate_message(group_message(seq))
        self.assert_dropped("message_receive", group_message(9))
        self.assertEqual(self.counters.duplicates, 1)
        self.translate("message_receive", group_message(10))
        self.assertEqual(self.counters.sequence_gaps, 0)

    def test_malformed(self) -> None:
        """A message that does not say what it is is refused; in another scene it is counted."""
        for message in ({}, group_message(peer_id=None), group_message(sender_id=0)):
            with self.assertRaises(BadFrame):
                self.translator.translate_message(message)
        self.assertIsNone(self.translator.translate_message(group_message(message_scene="guild")))
        self.assertEqual(self.counters.other_scenes, {"guild": 1})
        self.assertIsNone(self.translator.key_of_message([]))
        self.assertEqual(self.translator.key_of_message(group_message()), MessageKey("group", GROUP, 7))


class OwnMessageTests(TranslationCase):
    wants_own = True

    def test_own_messages(self) -> None:
        """They are events of a type of their own, with whom they went to."""
        for message, target_id in (
            (group_message(sender_id=SELF), GROUP),
            (private_message(sender_id=SELF), FRIEND),
            (temp_message(sender_id=SELF), MEMBER),
        ):
            event = self.translate("message_receive", message)
            self.assertEqual(event["post_type"], "message_sent")
            self.assertEqual((event["user_id"], event["target_id"]), (SELF, target_id))
        self.assertEqual(self.counters.own_messages, 0)

    def test_sender(self) -> None:
        """It is the friend only if that is the account itself."""
        event = self.translate("message_receive", private_message(7, sender_id=SELF))
        self.assertEqual(event["sender"]["nickname"], "")
        friend = {**FRIEND_ENTITY, "user_id": SELF}
        event = self.translate("message_receive", private_message(8, sender_id=SELF, friend=friend))
        self.assertEqual(event["sender"]["nickname"], "Amy")
