"""What no platform can send or deliver is refused; what a bot says comes back as a platform gives it."""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.world.world import ANONYMOUS_ID, PlatformError
from tests.sandbox.worlds import ALICE, BOB, GROUP, SELF, WorldTestCase, text


def segment(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": data}


class SegmentTests(WorldTestCase):
    def sent(self, message: Any) -> Any:
        """Return what ``get_msg`` has of a message that the bot sent to Alice."""
        said = self.data("send_private_msg", user_id=ALICE, message=message)
        return self.data("get_msg", message_id=said["message_id"])["message"]

    def refused(self, message: Any, code: int = 1400) -> str:
        answer = self.do("send_private_msg", user_id=ALICE, message=message)
        self.assertEqual((answer["retcode"], self.world.last_message_id), (code, 0), message)
        with self.assertRaises((BadRequest, PlatformError)):
            self.verb("say", user_id=ALICE, message=message)
        return str(answer["message"])

    def test_values_are_strings(self) -> None:
        """Values come back as strings, whoever wrote numbers, booleans or objects; null is not there."""
        for given, shown in (
            (segment("text", text=5), segment("text", text="5")),
            (segment("at", qq=10001, name=None), segment("at", qq="10001")),
            (segment("at", qq=1e4), segment("at", qq="10000")),
            (segment("rps", result=True), segment("rps", result="true")),
            (segment("json", data={"a": [1]}), segment("json", data='{"a":[1]}')),
            (segment("keyboard", content={"rows": []}), segment("keyboard", content={"rows": []})),
        ):
            self.assertEqual(self.sent([given]), [shown])
            self.verb("say", user_id=BOB, group_id=GROUP, message=[given])
            self.assertEqual(self.event()["message"], [shown])

    def test_what_cannot_be_sent(self) -> None:
        """A segment without what it needs is refused, and the value is named."""
        for missing in ({"type": "text"}, segment("text"), segment("text", text=None)):
            self.assertEqual(self.refused([missing]), "params.message[0].data.text is missing")
        self.assertIn("expected a string", self.refused([segment("text", text={"a": 1})]))
        for kind, value in (("at", "qq"), ("face", "id"), ("reply", "id"), ("json", "data")):
            self.assertIn(f"[1].data.{value}", self.refused([*text("x"), segment(kind)]))
        self.assertIn("no forwarded message", self.refused([segment("forward", id="none")], 100))
        self.assertIn("beside", self.refused([segment("node", content="x"), *text("x")]))
        self.assertIn("beside", self.refused([*text("x"), segment("node", content="x")]))

    def test_empty_messages(self) -> None:
        """A message of empty texts is as empty as one of none; beside others they are left out."""
        for empty in ("", [], [segment("text", text="")], [segment("text", text="")] * 2, [None]):
            self.assertIn("empty", self.refused(empty, 100))
        self.assertEqual(self.sent([segment("text", text=""), *text("x")]), text("x"))


class NodeTests(WorldTestCase):
    nodes: Any = (
        segment("node", user_id="7", nickname="seven", content="one [CQ:face,id=1]", time=1_600_000_000),
        segment("node", name="eight", uin=8, content=segment("text", text=2)),
    )

    def check(self, sent: dict[str, Any]) -> None:
        [shown] = self.world.messages[sent["message_id"]].message
        self.assertEqual(shown, segment("forward", id=sent["forward_id"]))
        for key in (sent["forward_id"], str(sent["message_id"])):
            first, second = self.data("get_forward_msg", id=key)["messages"]
            self.assertEqual(first["sender"], {"user_id": 7, "nickname": "seven"})
            self.assertEqual((first["time"], second["time"]), (1_600_000_000, self.now))
            self.assertEqual([part["type"] for part in first["content"]], ["text", "face"])
            self.assertEqual((second["sender"]["user_id"], second["content"]), (8, text("2")))

    def test_everywhere(self) -> None:
        """Nodes are a forwarded message in every action that sends, under both names, and as a person's."""
        for action, target in (
            ("send_private_msg", {"user_id": ALICE}),
            ("send_group_msg", {"group_id": GROUP}),
            ("send_msg", {"group_id": GROUP}),
            ("send_forward_msg", {"user_id": ALICE}),
            ("send_group_forward_msg", {"group_id": GROUP}),
            ("send_private_forward_msg", {"user_id": ALICE}),
        ):
            self.check(self.data(action, message=list(self.nodes), **target))
            if "forward" in action:
                self.check(self.data(action, messages=list(self.nodes), message="not this", **target))
        for more in ({}, {"group_id": GROUP}):
            said = self.verb("say", user_id=BOB, message=list(self.nodes), **more)
            self.check(said)
            self.assertEqual(self.event()["message"], [segment("forward", id=said["forward_id"])])

    def test_nested(self) -> None:
        """Nodes inside of nodes are read in every form, and have an author; too many levels are refused."""
        inner = [segment("node", content=["[CQ:face,id=1]", *text("x")]), segment("node", id=1)]
        self.world.send_as_person(BOB, text("named"), self.now)
        sent = self.data("send_msg", user_id=ALICE, message=[segment("node", user_id=7, content=inner)])
        [outer] = self.data("get_forward_msg", id=sent["forward_id"])["messages"]
        first, second = (node["data"] for node in outer["content"])
        self.assertEqual(first["user_id"], str(SELF))
        self.assertEqual([part["type"] for part in first["content"]], ["face", "text"])
        self.assertEqual((second["user_id"], second["content"]), (str(BOB), text("named")))
        deep: Any = "x"
        for _ in range(9):
            deep = [segment("node", content=deep)]
        self.assertEqual(self.code("send_forward_msg", user_id=ALICE, messages=deep), 1400)

    def test_what_is_no_node(self) -> None:
        """A node without a content, or with an empty one, is refused; nothing is left of what was refused."""
        for wrong in ({}, {"content": ""}, {"content": []}, {"content": [segment("text", text="")]}):
            answer = self.do("send_forward_msg", user_id=ALICE, messages=[{"type": "node", "data": wrong}])
            self.assertEqual(answer["retcode"], 1400, wrong)
            self.assertIn("messages[0].data.content", answer["message"])
        self.assertEqual(self.code("send_msg", user_id=ALICE, message=[segment("node", id=1)]), 100)
        node = [segment("node", content="x", time="soon")]
        self.assertIn("time", self.do("send_msg", user_id=ALICE, message=node)["message"])
        self.world.groups[GROUP].whole_ban = True
        self.rank(SELF, "member")
        self.assertEqual(
            self.code("send_group_msg", group_id=GROUP, message=[segment("node", content="x")]), 103
        )
        self.assertEqual((self.world.forwards, self.world.messages), ({}, {}))


class SenderTests(WorldTestCase):
    def test_target_id(self) -> None:
        """``target_id`` is the recipient of a private message, in its event and in ``get_msg``."""
        said = self.verb("say", user_id=ALICE, message="x")["message_id"]
        own = self.data("send_private_msg", user_id=ALICE, message="x")["message_id"]
        self.assertEqual(self.event()["target_id"], SELF)
        for message_id, target in ((said, SELF), (own, ALICE)):
            self.assertEqual(self.data("get_msg", message_id=message_id)["target_id"], target)
        self.verb("say", user_id=ALICE, group_id=GROUP, message="x")
        self.assertNotIn("target_id", self.event())

    def test_anonymous(self) -> None:
        """Nothing that the bot gets of an anonymous message has the sender's number."""
        self.rank(SELF, "owner")
        said = self.verb("say", user_id=BOB, group_id=GROUP, message="x", anonymous=True)["message_id"]
        event = self.event()
        self.assertEqual((event["user_id"], event["sender"]["user_id"]), (ANONYMOUS_ID, ANONYMOUS_ID))
        self.assertEqual(sorted(event["anonymous"]), ["flag", "id", "name"])
        shown = [event, self.data("get_msg", message_id=said)]
        shown.append(self.data("get_group_msg_history", group_id=GROUP))
        self.data("set_essence_msg", message_id=said)
        shown.append(self.data("get_essence_msg_list", group_id=GROUP))
        sent = self.data("send_msg", group_id=GROUP, message=[segment("node", id=said)])
        shown.append(self.data("get_forward_msg", id=sent["forward_id"]))
        self.verb("recall", message_id=said)
        shown += self.events()
        self.assertNotIn(str(BOB), repr(shown))
        self.verb("say", user_id=ALICE, group_id=GROUP, message="x", anonymous=True)
        self.assertNotEqual(self.event()["anonymous"], event["anonymous"])
