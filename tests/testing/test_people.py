"""What people do, as requests."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.testing.control import SandboxError
from lgtwist.testing.messages import ChatMessage
from tests.testing.fakes import fake_sandbox


class PeopleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sandbox, self.service, self.process = fake_sandbox()
        self.alice, self.bob = self.sandbox.alice, self.sandbox.bob

    def sent(self) -> tuple[str, dict[str, object]]:
        """The newest request."""
        return self.service.requests[-1]

    def message(self) -> object:
        """The message of the newest request."""
        return self.sent()[1]["message"]

    def test_says(self) -> None:
        """Text goes as it is, with CQ codes; in a group with the group's number."""
        said = self.alice.says("a [CQ:face,id=1]")
        self.assertEqual(self.sent(), ("say", {"user_id": 20001, "message": "a [CQ:face,id=1]"}))
        self.assertEqual((said.message_id, said.chat), (1, ("private", 20001)))
        self.bob.in_group().says("b")
        self.assertEqual(self.sent(), ("say", {"user_id": 20002, "group_id": 30001, "message": "b"}))
        self.alice.says("[1] & 2", auto_escape=True)
        self.assertEqual(self.message(), "&#91;1&#93; &amp; 2")

    def test_what_stands_around_a_text(self) -> None:
        """The reply, the mentions, the pictures, each as its path, its bytes or its URL."""
        path = Path(self.mktemp())
        path.write_bytes(b"GIF")
        first = self.alice.says("a")
        self.alice.in_group().says(
            "hi",
            reply_to=first,
            at_bot=True,
            mentions=[self.bob, 5],
            picture=[path, b"12345", "http://127.0.0.1/a,b"],
            voice=str(path),
        )
        self.assertEqual(
            self.message(),
            "[CQ:reply,id=1][CQ:at,qq=10001][CQ:at,qq=20002][CQ:at,qq=5] hi"
            f"[CQ:image,file=stored-{path.name}][CQ:image,file=stored-5]"
            f"[CQ:image,file=http://127.0.0.1/a&#44;b][CQ:record,file=stored-{path.name}]",
        )
        self.alice.says([{"type": "face", "data": {"id": "1"}}], reply_to=7, picture=b"1")
        self.assertEqual(
            self.message(),
            [
                {"type": "reply", "data": {"id": "7"}},
                {"type": "face", "data": {"id": "1"}},
                {"type": "image", "data": {"file": "stored-1"}},
            ],
        )

    def test_forwards(self) -> None:
        """Nodes bear the names of those who said it."""
        self.alice.forwards([(self.bob, "a"), (7, "b")])
        nodes = self.message()
        assert isinstance(nodes, list)
        self.assertEqual(
            [node["data"] for node in nodes],
            [
                {"user_id": "20002", "nickname": "Bob", "content": "a"},
                {"user_id": "7", "nickname": "7", "content": "b"},
            ],
        )

    def test_the_rest(self) -> None:
        """Each is the verb of docs/sandbox.md."""
        group, alice = self.sandbox.playground, self.alice.in_group(30001)
        said = self.alice.says("a")
        cases = [
            (lambda: self.alice.pokes(), "poke", {"user_id": 20001}),
            (lambda: alice.pokes(), "poke", {"user_id": 20001, "group_id": 30001}),
            (lambda: alice.pokes(self.bob), "poke",
             {"user_id": 20001, "group_id": 30001, "target_id": 20002}),
            (lambda: self.alice.recalls(said), "recall", {"user_id": 20001, "message_id": 1}),
            (
                lambda: alice.reacts(1, 66, on=False),
                "react",
                {"user_id": 20001, "message_id": 1, "emoji_id": "66", "set": False},
            ),
            (
                lambda: self.bob.asks_to_be_friend("hi"),
                "ask",
                {"user_id": 20002, "comment": "hi"},
            ),
            (
                lambda: self.bob.asks_to_join(group),
                "ask",
                {"user_id": 20002, "group_id": 30001, "sub_type": "add", "comment": ""},
            ),
            (
                lambda: self.bob.invites_bot_to(5),
                "ask",
                {"user_id": 20002, "group_id": 5, "sub_type": "invite", "comment": ""},
            ),
            (lambda: alice.uploads(b"123", "a.txt"), "upload",
             {"user_id": 20001, "group_id": 30001, "file": "stored-3", "name": "a.txt"}),
            (lambda: self.bob.joins(operator=self.alice), "join",
             {"user_id": 20002, "group_id": 30001, "operator_id": 20001}),
            (lambda: alice.leaves(), "leave", {"user_id": 20001, "group_id": 30001}),
            (lambda: alice.kicks(), "kick", {"user_id": 10001, "group_id": 30001, "operator_id": 20001}),
            (lambda: alice.bans(self.bob, 5), "ban",
             {"user_id": 20002, "group_id": 30001, "operator_id": 20001, "duration": 5}),
            (lambda: alice.makes_admin(self.bob), "admin",
             {"user_id": 20002, "group_id": 30001, "enable": True}),
            (lambda: alice.sets_card("C"), "card", {"user_id": 20001, "group_id": 30001, "card": "C"}),
            (lambda: alice.gets_title("T"), "title", {"user_id": 20001, "group_id": 30001, "title": "T"}),
            (lambda: alice.marks_essence(said), "essence",
             {"user_id": 20001, "message_id": 1, "set": True}),
            (lambda: group.bans_everybody(), "ban", {"group_id": 30001, "duration": 1}),
            (lambda: group.is_renamed("P"), "rename", {"group_id": 30001, "group_name": "P"}),
            (lambda: self.alice.becomes_friend(), "befriend", {"user_id": 20001}),
        ]  # fmt: skip
        for does, verb, values in cases:
            does()
            self.assertEqual(self.sent(), (verb, values))

    def test_new_people_and_groups(self) -> None:
        """Their numbers are such as no test has had; the group has an owner."""
        eve, dan = self.sandbox.person("Eve"), self.sandbox.person("Dan", user_id=7, friend=False)
        self.assertEqual((eve.user_id, dan.user_id), (50_001, 7))
        self.sandbox.group("Garden", [eve, dan])
        self.assertEqual(
            self.sent()[1],
            {
                "group_id": 50_002,
                "group_name": "Garden",
                "members": [
                    {"user_id": 50_001, "role": "owner"},
                    {"user_id": 7, "role": "member"},
                    {"user_id": 10001, "role": "member"},
                ],
                "joined": True,
            },
        )
        self.sandbox.group("Mine", [eve], bot="owner", group_id=8)
        self.assertEqual(
            self.sent()[1]["members"],
            [{"user_id": 50_001, "role": "member"}, {"user_id": 10001, "role": "owner"}],
        )
        self.assertEqual(self.sandbox.person_named("Eve").in_group(8).group.name, "Mine")
        error = self.assertRaises(SandboxError, self.sandbox.person_named, "Zoe")
        self.assertIn("Alice, Bob, Eve, Dan", str(error))
        self.assertRaises(SandboxError, lambda: self.sandbox.carol)

    def test_fresh(self) -> None:
        """Numbers of messages go on; a world of one's own takes the place of the first one."""
        self.alice.says("a")
        self.sandbox.reset()
        path, world = self.sent()
        self.assertEqual((path, world["last_message_id"]), ("world", 1))
        file = Path(self.mktemp())
        file.write_text(json.dumps({"self_id": 5, "last_message_id": 9}))
        self.sandbox.reset(file)
        self.assertEqual(self.sent()[1], {"self_id": 5, "last_message_id": 9})

    def test_who_is_about_to_join(self) -> None:
        """A person may ask to join, and join, also by way of the group."""
        dora = self.sandbox.person("Dora").in_group(30001)
        self.assertEqual(dora.asks_to_join("let me in"), "a flag")
        self.assertEqual(dora.joins().user_id, dora.user_id)
        self.assertEqual([path for path, _body in self.service.requests[-2:]], ["ask", "join"])

    def test_something_else(self) -> None:
        """What is no group, person or message is refused with a sentence that says what it is."""
        alice = self.sandbox.alice
        for call in (
            lambda: alice.in_group("30001"),  # type: ignore[arg-type]
            lambda: alice.asks_to_join("let me in"),  # type: ignore[arg-type]
            lambda: alice.recalls("5"),  # type: ignore[arg-type]
            lambda: alice.says("a", mentions=["Bob"]),  # type: ignore[list-item]
        ):
            self.assertIn("is needed, not '", str(self.assertRaises(TypeError, call)))

    def test_events(self) -> None:
        """Any event, with what each has."""
        self.sandbox.event({"post_type": "notice", "time": 5})
        self.assertEqual(self.sent(), ("event", {"post_type": "notice", "time": 5, "self_id": 10001}))


class ChatMessageTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """Text, pictures, mentions, and what it replies to."""
        segments = [
            {"type": "reply", "data": {"id": "7"}},
            {"type": "at", "data": {"qq": "20001"}},
            {"type": "at", "data": {"qq": "all"}},
            {"type": "text", "data": {"text": " hi "}},
            {"type": "image", "data": {"file": "a", "url": "http://127.0.0.1/a"}},
            {"type": "record", "data": {"file": "b", "url": "http://127.0.0.1/b"}},
            {"type": "text", "data": {"text": "there "}},
        ]
        message = ChatMessage(1, 0, 10001, True, ("private", 5), tuple(segments), "raw")
        self.assertEqual(message.text, "hi there")
        self.assertEqual(message.pictures, ["http://127.0.0.1/a"])
        self.assertEqual(message.files, ["http://127.0.0.1/a", "http://127.0.0.1/b"])
        self.assertEqual(message.mentions, [20001])
        self.assertEqual(message.reply_to, 7)
        self.assertIsNone(ChatMessage(1, 0, 1, True, ("private", 5), (), "").reply_to)
