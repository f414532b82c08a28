"""Messages of the sandbox: recalls, forwarded messages, histories, essences."""

from __future__ import annotations

import json

from lgtwist.sandbox.actions import perform
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import world as world_module
from lgtwist.sandbox.world.world import MAX_CHAT_MESSAGES, PlatformError, World
from tests.sandbox.worlds import ALICE, BOB, GROUP, SELF, WorldTestCase, text


class MessageTests(WorldTestCase):
    def test_a_conversation(self) -> None:
        """A person's message is an event; the account's is none; the transcript has both."""
        said = self.world.send_as_person(ALICE, text("hi"), self.now)
        event = self.event()
        self.assertEqual((event["self_id"], event["time"]), (SELF, self.now))
        self.assertEqual(
            (event["message_type"], event["sub_type"], event["user_id"]), ("private", "friend", ALICE)
        )
        self.assertEqual((event["message"], event["raw_message"]), (text("hi"), "hi"))
        answer = self.data("send_private_msg", user_id=ALICE, message="hello[CQ:face,id=1]")
        self.assertEqual(self.events(), [])
        self.assertEqual(
            [m.message_id for m in self.world.messages_after(0)], [said.message_id, answer["message_id"]]
        )
        shown = self.data("get_msg", message_id=answer["message_id"])
        self.assertEqual((shown["raw_message"], shown["sender"]["user_id"]), ("hello[CQ:face,id=1]", SELF))
        self.assertEqual(shown["message"][1], {"type": "face", "data": {"id": "1"}})

    def test_auto_escape(self) -> None:
        """With auto_escape a string is plain text, and its raw_message escaped."""
        sent = self.data("send_msg", user_id=ALICE, message="[CQ:face,id=1]", auto_escape="true")
        shown = self.data("get_msg", message_id=sent["message_id"])
        self.assertEqual(shown["message"], text("[CQ:face,id=1]"))
        self.assertEqual(shown["raw_message"], "&#91;CQ:face,id=1&#93;")

    def test_half_an_emoji(self) -> None:
        """A lone surrogate in a text becomes U+FFFD, and the message is sent; so in what people do."""
        raw = b'{"user_id":"20001","message":"a\\ud83d","x\\udc00":1}'
        answer = json.loads(perform(self.world, "send_private_msg", Params(raw), self.now))
        self.assertEqual(answer["retcode"], 0)
        message = self.data("get_msg", message_id=float(answer["data"]["message_id"]))
        self.assertEqual((message["message"], message["raw_message"]), (text("a\ufffd"), "a\ufffd"))

    def test_nothing_given(self) -> None:
        """A group's number that is 0, "" or null is none; null parts of a message are left out."""
        for nothing in (0, "", None, "0", 0.0):
            sent = self.data("send_msg", user_id=ALICE, group_id=nothing, message=[None, text("x")[0]])
            message = self.data("get_msg", message_id=sent["message_id"])
            self.assertEqual((message["message_type"], message["message"]), ("private", text("x")))
        node = {"id": None, "user_id": 20001.0, "nickname": "n", "content": text("x"), "time": None}
        nodes = [{"type": "node", "data": node}, None]
        sent = self.data("send_forward_msg", group_id=GROUP, user_id=0, messages=nodes, message_type=None)
        [shown] = self.data("get_forward_msg", id=sent["forward_id"])["messages"]
        self.assertEqual((shown["content"], shown["sender"]["user_id"]), (text("x"), ALICE))

    def test_in_a_group(self) -> None:
        """A group message has its sender's role; only members send and receive messages."""
        self.world.send_as_person(BOB, [*text("a"), {"type": "face", "data": {"id": "1"}}], self.now, GROUP)
        event = self.event()
        self.assertEqual((event["group_id"], event["sender"]["role"]), (GROUP, "member"))
        self.assertEqual((event["raw_message"], event["anonymous"]), ("a[CQ:face,id=1]", None))
        self.assertEqual(self.code("send_group_msg", group_id=1, message="x"), 100)
        self.assertEqual(self.code("send_private_msg", user_id=1, message="x"), 100)
        self.assertEqual(self.code("send_private_msg", user_id=ALICE, message=""), 100)
        self.assertRaises(PlatformError, self.world.send_as_person, BOB, text("x"), self.now, 99)
        self.assertRaises(PlatformError, self.world.send_as_person, SELF, text("x"), self.now)

    def test_anonymous(self) -> None:
        """Anonymous messages have a flag, by which their author can be banned from sending more."""
        self.verb("say", user_id=BOB, group_id=GROUP, message="x", anonymous=True)
        event = self.event()
        self.assertEqual(
            (event["sub_type"], event["sender"]["nickname"]), ("anonymous", event["anonymous"]["name"])
        )
        self.data("set_group_anonymous_ban", group_id=GROUP, anonymous=event["anonymous"], duration=60)
        self.assertRaises(
            PlatformError, self.verb, "say", user_id=BOB, group_id=GROUP, message="x", anonymous=1
        )
        self.verb("say", user_id=BOB, group_id=GROUP, message="x")
        self.data("set_group_anonymous", group_id=GROUP, enable=False)
        self.assertRaises(
            PlatformError, self.verb, "say", user_id=ALICE, group_id=GROUP, message="x", anonymous=1
        )

    def test_recalls(self) -> None:
        """Own messages can be recalled, by an admin those of lower ranks too; ``get_msg`` has them still."""
        self.prepare()
        owners = self.world.send_as_person(ALICE, text("z"), self.now, GROUP).message_id
        private = self.world.send_as_person(ALICE, text("p"), self.now).message_id
        own = self.data("send_private_msg", user_id=ALICE, message="x")["message_id"]
        self.events()
        for message_id in (1, 2, own):
            self.data("delete_msg", message_id=message_id)
        recalled = [(e["notice_type"], e["user_id"], e.get("operator_id")) for e in self.events()]
        expected = [("group_recall", SELF, SELF), ("group_recall", BOB, SELF), ("friend_recall", SELF, None)]
        self.assertEqual(recalled, expected)
        self.assertEqual(self.code("delete_msg", message_id=owners), 103)
        self.assertEqual(self.code("delete_msg", message_id=private), 103)
        self.assertEqual(self.data("get_msg", message_id=1)["raw_message"], "mine")
        self.assertEqual(self.code("get_msg", message_id=99), 100)
        self.assertEqual(self.code("mark_msg_as_read", message_id=1), 100)
        self.verb("recall", message_id=private)
        self.assertEqual(self.event()["notice_type"], "friend_recall")

    def test_forwarded_messages(self) -> None:
        """A forwarded message has nodes with their own content, and nodes with that of a message."""
        self.prepare()
        inner = [
            {"type": "node", "data": {"user_id": "7", "nickname": "in", "content": "deep[CQ:face,id=2]"}}
        ]
        nodes = [
            {"type": "node", "data": {"id": "2"}},
            {"type": "node", "data": {"name": "N", "uin": "9", "content": inner}},
        ]
        sent = self.data("send_group_forward_msg", group_id=GROUP, messages=nodes)
        got = self.data("get_forward_msg", id=sent["forward_id"])
        first, second = got["message"]
        self.assertEqual((first["data"]["nickname"], first["data"]["content"]), ("Bob", text("theirs")))
        self.assertEqual((second["data"]["user_id"], second["data"]["nickname"]), ("9", "N"))
        self.assertEqual(second["data"]["content"][0]["type"], "node")
        self.assertEqual([m["sender"]["nickname"] for m in got["messages"]], ["Bob", "N"])
        self.assertEqual(self.data("get_forward_msg", message_id=sent["message_id"]), got)
        self.assertEqual(self.code("get_forward_msg", id="nothing"), 100)
        self.assertEqual(self.code("send_forward_msg", user_id=ALICE, messages=[]), 1400)

    def test_histories(self) -> None:
        """A history has the newest messages of a chat, without recalled ones."""
        for number in range(30):
            self.world.send_as_person(BOB, text(str(number)), self.now, GROUP)
        self.world.send_as_person(BOB, text("private"), self.now)
        messages = self.data("get_group_msg_history", group_id=GROUP)["messages"]
        self.assertEqual([m["raw_message"] for m in messages], [str(n) for n in range(10, 30)])
        older = self.data("get_group_msg_history", group_id=GROUP, message_seq=5, count=3)["messages"]
        self.assertEqual([m["raw_message"] for m in older], ["2", "3", "4"])
        self.assertEqual(len(self.data("get_friend_msg_history", user_id=BOB)["messages"]), 1)

    def test_history_is_bounded(self) -> None:
        """Each chat keeps its newest messages, whatever is sent in other chats."""
        first = self.data("send_private_msg", user_id=ALICE, message="stored_file")["message_id"]
        for number in range(MAX_CHAT_MESSAGES + 50):
            self.world.send_as_person(BOB, text(str(number)), self.now, GROUP)
        self.assertEqual(len(self.world.messages), MAX_CHAT_MESSAGES + 1)
        self.data("get_msg", message_id=first)
        self.assertEqual(self.world.messages_after(0)[-1].raw_message, str(MAX_CHAT_MESSAGES + 49))

    def test_a_world_is_bounded_in_bytes(self) -> None:
        """Messages, and forwarded messages, stay within their limit, also in a world that was loaded."""
        self.patch(world_module, "MAX_TEXT_LENGTH", 10_000)
        for number in range(30):
            self.world.send_as_person(BOB, text("x" * 1000), self.now, GROUP if number % 2 else None)
            self.world.add_forward([{"type": "node", "data": {"content": text("y" * 1000)}}], self.now)
        self.assertEqual(len(self.world.messages), 10)
        self.assertLess(len(self.world.forwards), 10)
        again = World(SELF)
        again.load_records([*self.world.people.values(), *self.world.forwards.values()])
        for _ in range(30):
            again.add_forward([{"type": "node", "data": {"content": text("y" * 1000)}}], self.now)
        self.assertEqual(len(again.forwards), len(self.world.forwards))

    def test_essence_and_reactions(self) -> None:
        """Essences are listed; reactions are counted; each has its event."""
        self.prepare()
        self.data("set_essence_msg", message_id=1)
        self.assertEqual(
            (self.event()["notice_type"], self.code("set_essence_msg", message_id=1)), ("essence", 100)
        )
        listed = self.data("get_essence_msg_list", group_id=GROUP)
        self.assertEqual(
            [(e["message_id"], e["content"]) for e in listed], [(1, text("mine")), (2, text("theirs"))]
        )
        self.data("set_msg_emoji_like", message_id=1, emoji_id=76)
        self.assertEqual(self.event()["likes"], [{"emoji_id": "76", "count": 1}])
        self.data("set_msg_emoji_like", message_id=1, emoji_id="76", set=False)
        self.assertEqual(self.event()["likes"], [{"emoji_id": "76", "count": 0}])
