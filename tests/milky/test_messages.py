"""Messages of Milky as get_msg and events have them, read by the models of NoneBot2."""

from __future__ import annotations

from typing import Any

import aiocqhttp
from nonebot.adapters.onebot.v11 import GroupMessageEvent, PrivateMessageEvent
from nonebot.adapters.onebot.v11 import Message as NoneBotMessage
from nonebot.adapters.onebot.v11.event import Reply
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky.keys import MessageKey
from lgtwist.milky.messages import forward_data, message_data, raw_message_of, read_key
from lgtwist.onebot.bounds import MAX_GROWN
from tests.milky.fake_context import SELF, CountedIds
from tests.milky.schema import check_part
from tests.milky.test_incoming import ROWS

ANN, TEAM = 10_003_000, 10_002_000
FRIEND_ENTITY = {
    "user_id": ANN,
    "nickname": "Ann",
    "sex": "female",
    "qid": "",
    "remark": "A.",
    "category": {"category_id": 1, "category_name": "x"},
}
GROUP_ENTITY = {
    "group_id": TEAM,
    "group_name": "Team",
    "member_count": 3,
    "max_member_count": 200,
    "remark": "",
    "created_time": 1,
    "description": "",
    "question": "",
    "announcement": "",
}
MEMBER = {
    "user_id": ANN,
    "nickname": "Ann",
    "sex": "unknown",
    "group_id": TEAM,
    "card": "Annie",
    "title": "boss",
    "level": 17,
    "role": "admin",
    "join_time": 1,
    "last_sent_time": 2,
    "shut_up_end_time": None,
}
TEXT = [{"type": "text", "data": {"text": "a[b]&c"}}]


def incoming(scene: str, **changes: Any) -> dict[str, Any]:
    """A message of Milky."""
    message: dict[str, Any] = {
        "message_scene": scene,
        "peer_id": TEAM if scene == "group" else ANN,
        "message_seq": 4711,
        "sender_id": ANN,
        "time": 1_790_000_000,
        "segments": TEXT,
    }
    if scene == "friend":
        message["friend"] = FRIEND_ENTITY
    else:
        message["group"] = GROUP_ENTITY
    if scene == "group":
        message["group_member"] = MEMBER
    check_part("IncomingMessage", message)
    return {**message, **changes}


def translate(message: dict[str, Any], ids: CountedIds | None = None) -> dict[str, Any]:
    """The message as the data of get_msg."""
    key = read_key(message)
    assert key is not None
    return message_data(message, key, self_id=SELF, ids=ids or CountedIds())


class MessageTests(SynchronousTestCase):
    def test_group(self) -> None:
        """A group message has all fields of OneBot 11, and NoneBot2 reads it."""
        ids = CountedIds()
        data = translate(incoming("group"), ids)
        number = ids.id_of(MessageKey("group", TEAM, 4711))
        self.assertEqual(
            data,
            {
                "time": 1_790_000_000,
                "self_id": SELF,
                "message_type": "group",
                "sub_type": "normal",
                "message_id": number,
                "real_id": 4711,
                "message_seq": 4711,
                "user_id": ANN,
                "message": TEXT,
                "message_format": "array",
                "raw_message": "a&#91;b&#93;&amp;c",
                "font": 0,
                "group_id": TEAM,
                "group_name": "Team",
                "anonymous": None,
                "sender": {
                    "user_id": ANN,
                    "nickname": "Ann",
                    "card": "Annie",
                    "sex": "unknown",
                    "age": 0,
                    "area": "",
                    "level": "17",
                    "role": "admin",
                    "title": "boss",
                },
            },
        )
        event = GroupMessageEvent.model_validate({"post_type": "message", **data})
        self.assertEqual(event.get_plaintext(), "a[b]&c")
        Reply.model_validate(data)

    def test_private(self) -> None:
        """A private message of a friend."""
        data = translate(incoming("friend"))
        self.assertEqual((data["message_type"], data["sub_type"]), ("private", "friend"))
        self.assertEqual(data["sender"], {"user_id": ANN, "nickname": "Ann", "sex": "female", "age": 0})
        self.assertNotIn("group_id", data)
        PrivateMessageEvent.model_validate({"post_type": "message", **data})
        Reply.model_validate(data)

    def test_temporary(self) -> None:
        """A message of a group's member who is no friend says the group."""
        data = translate(incoming("temp"))
        self.assertEqual((data["message_type"], data["sub_type"]), ("private", "group"))
        self.assertEqual((data["group_id"], data["temp_source"]), (TEAM, 0))
        self.assertEqual(data["sender"]["group_id"], TEAM)
        PrivateMessageEvent.model_validate({"post_type": "message", **data})
        bare = translate(incoming("temp", group=None))
        self.assertNotIn("group_id", bare)
        PrivateMessageEvent.model_validate({"post_type": "message", **bare})

    def test_own_messages(self) -> None:
        """Of an own message the friend is the other person: the sender is not that, and the target is."""
        data = translate(incoming("friend", sender_id=SELF))
        self.assertEqual(data["user_id"], SELF)
        self.assertEqual(data["sender"]["nickname"], "")
        self.assertEqual(data["target_id"], ANN)
        own = translate(incoming("friend", sender_id=SELF, friend={**FRIEND_ENTITY, "user_id": SELF}))
        self.assertEqual(own["sender"]["nickname"], "Ann")
        self.assertEqual(translate(incoming("group", sender_id=SELF))["target_id"], TEAM)
        self.assertNotIn("target_id", translate(incoming("group")))

    def test_odd_entities(self) -> None:
        """Whatever is missing or of a wrong type, NoneBot2 reads the event."""
        for odd in (None, [], "x", {}, {name: [] for name in MEMBER}, dict.fromkeys(MEMBER)):
            for scene, model in (("group", GroupMessageEvent), ("friend", PrivateMessageEvent)):
                message = incoming(
                    scene, group=odd, group_member=odd, friend=odd, segments=odd, time=odd, sender_id=odd
                )
                data = translate(message)
                model.model_validate({"post_type": "message", **data})
                Reply.model_validate(data)

    def test_every_segment_is_read_by_frameworks(self) -> None:
        """NoneBot2 and aiocqhttp read a message with all segments, as an array and as raw_message."""
        segments = [{"type": "reply", "data": {"message_seq": 3}}, *(milky for milky, _onebot in ROWS)]
        data = {"post_type": "message", **translate(incoming("group", segments=segments))}
        kinds = [segment["type"] for segment in data["message"]]
        self.assertEqual(len(kinds), len(segments))
        event = GroupMessageEvent.model_validate(data)
        self.assertEqual([segment.type for segment in event.message], kinds)
        self.assertEqual([segment.type for segment in NoneBotMessage(data["raw_message"])], kinds)
        read = aiocqhttp.Event.from_payload(data)
        assert read is not None
        self.assertEqual((read.name, read.message_id), ("message.group.normal", data["message_id"]))
        self.assertEqual([segment.type for segment in aiocqhttp.Message(read.message)], kinds)

    def test_time_of_the_frame(self) -> None:
        """A message that does not say when it was sent has the time given."""
        message = incoming("group", time=None)
        key = read_key(message)
        assert key is not None
        data = message_data(message, key, self_id=SELF, ids=CountedIds(), time=5)
        self.assertEqual(data["time"], 5)

    def test_keys(self) -> None:
        """Numbers may be strings; what names no message has no key."""
        self.assertEqual(read_key(incoming("group")), MessageKey("group", TEAM, 4711))
        strings = incoming("group", peer_id=str(TEAM), message_seq="4711")
        self.assertEqual(read_key(strings), MessageKey("group", TEAM, 4711))
        self.assertEqual(read_key(incoming("group", message_seq=0)), MessageKey("group", TEAM, 0))
        for odd in (
            None,
            [],
            {},
            incoming("group", message_scene="guild"),
            incoming("group", message_scene=["group"]),
            incoming("group", peer_id=0),
            incoming("group", peer_id=2**60),
            incoming("group", message_seq=-3),
            incoming("group", message_seq=True),
        ):
            self.assertIsNone(read_key(odd))

    def test_too_long_for_a_string(self) -> None:
        """A message that is over the bound of strings keeps its segments; raw_message says so."""
        too_long = "[the message is too long for a string]"
        half = "x" * (MAX_GROWN // 2)
        self.assertEqual(raw_message_of([{"type": "json", "data": {"data": half}}] * 2), too_long)
        self.assertEqual(raw_message_of([{"type": "text", "data": {"text": half}}]), half)
        self.assertEqual(raw_message_of([{"type": "text", "data": {"text": half + half + "x"}}]), too_long)
        message = incoming("group", segments=[{"type": "text", "data": {"text": half + half + "x"}}])
        self.assertEqual(translate(message)["message"], message["segments"])
        self.assertEqual(raw_message_of([]), "")


class ForwardTests(SynchronousTestCase):
    def test_forward(self) -> None:
        """The messages of a forward, as objects and as nodes; the number is from the avatar, or 0."""
        forwarded = {
            "message_seq": 1,
            "sender_name": "Ann",
            "avatar_url": "https://q.qlogo.cn/g?b=qq&nk=10003000&s=640",
            "time": 1_790_000_000,
            "segments": TEXT,
        }
        check_part("IncomingForwardedMessage", forwarded)
        other = {"sender_name": "Bob", "avatar_url": "https://x/y", "segments": [{"type": "reply"}]}
        data = forward_data([forwarded, None, other], CountedIds())
        first, second = data["messages"]
        self.assertEqual(first["sender"], {"user_id": ANN, "nickname": "Ann"})
        self.assertEqual((first["content"], first["message"], first["time"]), (TEXT, TEXT, 1_790_000_000))
        self.assertEqual(second["sender"], {"user_id": 0, "nickname": "Bob"})
        self.assertEqual((second["content"], second["time"]), ([], 0))
        self.assertEqual([node["type"] for node in data["message"]], ["node", "node"])
        self.assertEqual(data["message"][0]["data"]["content"], TEXT)
        self.assertEqual(forward_data(None, CountedIds()), {"messages": [], "message": []})
