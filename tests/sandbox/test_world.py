"""The sandbox's world, without a file and without a hub."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.actions import ACTIONS, perform
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.store import Store
from lgtwist.sandbox.world import HISTORY, Failed, World
from tests.rounds import quick

SELF, ALICE, BOB, CAROL, GROUP = 10001, 20001, 20002, 20003, 30001

#: The actions that issue by issue this world knows.
EXPECTED = [
    "send_private_msg",
    "send_group_msg",
    "send_msg",
    "get_msg",
    "delete_msg",
    "get_login_info",
    "get_stranger_info",
    "get_friend_list",
    "get_group_info",
    "get_group_list",
    "get_group_member_info",
    "get_group_member_list",
    "set_group_ban",
    "set_group_kick",
    "set_group_leave",
    "set_friend_add_request",
    "set_group_add_request",
    "get_status",
    "get_version_info",
    "can_send_image",
    "can_send_record",
]


class WorldTestCase(SynchronousTestCase):
    now = 1_700_000_000

    def setUp(self) -> None:
        self.world = World.first(SELF, self.now)

    def do(self, action: str, **params: Any) -> Any:
        """An action's whole response."""
        response = json.loads(perform(self.world, action, json.dumps(params).encode(), self.now))
        self.assertEqual(response["status"], "ok" if response["retcode"] == 0 else "failed")
        return response

    def data(self, action: str, **params: Any) -> Any:
        response = self.do(action, **params)
        self.assertEqual(response["retcode"], 0, response)
        return response["data"]

    def code(self, action: str, **params: Any) -> int:
        return int(self.do(action, **params)["retcode"])

    def events(self) -> list[dict[str, Any]]:
        return self.world.take_events()

    def rank(self, user_id: int, role: str) -> None:
        self.world.groups[GROUP].members[user_id].role = role


class ActionTests(WorldTestCase):
    def test_every_action_is_there_and_checks_its_parameters(self) -> None:
        """Each action of this version exists; wrong and missing parameters are 1400 and named."""
        self.assertEqual(set(EXPECTED), set(ACTIONS))
        for action, parameters in {
            "send_private_msg": ["user_id", "message"],
            "send_group_msg": ["group_id", "message"],
            "send_msg": ["user_id", "message"],
            "get_msg": ["message_id"],
            "delete_msg": ["message_id"],
            "get_stranger_info": ["user_id"],
            "get_group_info": ["group_id"],
            "get_group_member_info": ["group_id", "user_id"],
            "get_group_member_list": ["group_id"],
            "set_group_ban": ["group_id", "user_id"],
            "set_group_kick": ["group_id", "user_id"],
            "set_group_leave": ["group_id"],
            "set_friend_add_request": ["flag"],
            "set_group_add_request": ["flag"],
        }.items():
            right = {"user_id": BOB, "group_id": GROUP, "message": "x", "message_id": 1, "flag": "x"}
            for name in parameters:
                others = {p: right[p] for p in parameters if p != name}
                for wrong in ({}, {name: None}, {name: {"a": 1} if name == "message" else True}):
                    response = self.do(action, **others, **wrong)
                    self.assertEqual(response["retcode"], 1400, (action, name, wrong))
                    self.assertIn(name, response["message"])
        self.assertEqual(self.code("no_such_action"), 1404)

    def test_parameters_as_frameworks_send_them(self) -> None:
        """Numbers as strings, booleans as strings and 0 and 1."""
        self.data("send_group_msg", group_id=str(GROUP), message="x")
        self.data("set_group_kick", group_id=str(GROUP), user_id=f"{CAROL}", reject_add_request="1")
        for value, expected in (("true", True), ("0", False), (1, True), (0, False), ("False", False)):
            self.assertIs(Params(json.dumps({"a": value}).encode()).boolean("a"), expected)
        for value in ("1.5", "", "x", 2**63, 1.5, [], {}, True, "9" * 5000):
            with self.assertRaises(BadRequest):
                Params(json.dumps({"a": value}).encode()).integer("a")

    def test_a_conversation(self) -> None:
        """A person speaks, the bots are told; the account answers, the transcript has both."""
        said = self.world.say(ALICE, Params(b'{"message":"hi"}').message(), self.now)
        [event] = self.events()
        self.assertEqual(event["self_id"], SELF)
        self.assertEqual(
            (event["message_type"], event["sub_type"], event["user_id"]), ("private", "friend", ALICE)
        )
        self.assertEqual(
            (event["message"], event["raw_message"]), ([{"type": "text", "data": {"text": "hi"}}], "hi")
        )
        answer = self.data("send_private_msg", user_id=ALICE, message="hello")
        self.assertEqual(self.events(), [])
        self.assertEqual(
            [m.message_id for m in self.world.transcript(0)], [said.message_id, answer["message_id"]]
        )
        shown = self.data("get_msg", message_id=answer["message_id"])
        self.assertEqual((shown["raw_message"], shown["sender"]["user_id"]), ("hello", SELF))

    def test_in_a_group(self) -> None:
        """A group message has its sender's role; only members may speak or be spoken to."""
        self.world.say(
            BOB,
            Params(
                b'{"message":[{"type":"text","data":{"text":"a"}},{"type":"face","data":{"id":"1"}}]}'
            ).message(),
            self.now,
            GROUP,
        )
        [event] = self.events()
        self.assertEqual(
            (event["group_id"], event["sender"]["role"], event["raw_message"]), (GROUP, "member", "a[face]")
        )
        self.assertEqual(self.code("send_group_msg", group_id=1, message="x"), 100)
        self.assertEqual(self.code("send_private_msg", user_id=1, message="x"), 100)
        self.assertEqual(self.code("send_private_msg", user_id=ALICE, message=""), 100)
        with self.assertRaises(Failed):
            self.world.say(BOB, [], self.now, 99)

    def test_bans(self) -> None:
        """A ban has its event, silences, and is lifted by 0; nobody overrules who is above."""
        self.data("set_group_ban", group_id=GROUP, user_id=BOB, duration=60)
        [event] = self.events()
        self.assertEqual(
            (event["notice_type"], event["sub_type"], event["duration"]), ("group_ban", "ban", 60)
        )
        with self.assertRaises(Failed):
            self.world.say(BOB, [{"type": "text", "data": {"text": "x"}}], self.now + 59, GROUP)
        self.world.say(BOB, [{"type": "text", "data": {"text": "x"}}], self.now + 60, GROUP)
        self.events()
        self.data("set_group_ban", group_id=GROUP, user_id=BOB, duration=0)
        self.assertEqual(self.events()[0]["sub_type"], "lift_ban")
        self.assertEqual(self.code("set_group_ban", group_id=GROUP, user_id=ALICE), 103)
        self.rank(CAROL, "admin")
        self.assertEqual(self.code("set_group_kick", group_id=GROUP, user_id=CAROL), 103)
        self.rank(SELF, "member")
        self.assertEqual(self.code("set_group_kick", group_id=GROUP, user_id=BOB), 103)
        self.assertEqual(self.events(), [])

    def test_kicking_and_leaving(self) -> None:
        """Who is kicked is gone; leaving is group_decrease; an owner can only dismiss."""
        self.data("set_group_kick", group_id=GROUP, user_id=BOB)
        [event] = self.events()
        self.assertEqual((event["sub_type"], event["operator_id"], event["user_id"]), ("kick", SELF, BOB))
        self.assertEqual(len(self.data("get_group_member_list", group_id=GROUP)), 3)
        self.assertEqual(self.code("set_group_leave", group_id=GROUP, is_dismiss=True), 103)
        self.rank(SELF, "owner")
        self.assertEqual(self.code("set_group_leave", group_id=GROUP), 103)
        self.data("set_group_leave", group_id=GROUP, is_dismiss=True)
        self.assertEqual(self.events()[0]["sub_type"], "leave")
        self.assertEqual(self.data("get_group_list"), [])

    def test_recalls(self) -> None:
        """One's own message can be taken back, as an admin also others'; it is gone then."""
        mine = self.data("send_group_msg", group_id=GROUP, message="x")["message_id"]
        theirs = self.world.say(BOB, [{"type": "text", "data": {"text": "y"}}], self.now, GROUP).message_id
        owners = self.world.say(ALICE, [{"type": "text", "data": {"text": "z"}}], self.now, GROUP).message_id
        private = self.world.say(ALICE, [{"type": "text", "data": {"text": "p"}}], self.now).message_id
        self.events()
        self.data("delete_msg", message_id=mine)
        self.data("delete_msg", message_id=theirs)
        recalled = [(e["notice_type"], e["user_id"], e["operator_id"]) for e in self.events()]
        self.assertEqual(recalled, [("group_recall", SELF, SELF), ("group_recall", BOB, SELF)])
        self.assertEqual(self.code("delete_msg", message_id=owners), 103)
        self.assertEqual(self.code("delete_msg", message_id=private), 103)
        self.assertEqual(self.code("delete_msg", message_id=mine), 100)
        self.assertEqual(self.code("get_msg", message_id=theirs), 100)

    def test_requests(self) -> None:
        """A request is told, answered once, and has its consequence."""
        flag = self.world.ask(CAROL, "please", self.now).flag
        [event] = self.events()
        self.assertEqual((event["request_type"], event["comment"], event["flag"]), ("friend", "please", flag))
        self.data("set_friend_add_request", flag=flag, remark="C")
        self.assertEqual(self.events()[0]["notice_type"], "friend_add")
        self.assertIn({"user_id": CAROL, "nickname": "Carol", "remark": "C"}, self.data("get_friend_list"))
        self.assertEqual(self.code("set_friend_add_request", flag=flag), 100)
        self.data("set_group_kick", group_id=GROUP, user_id=BOB)
        self.events()
        flag = self.world.ask(BOB, "again", self.now, GROUP).flag
        self.assertEqual(self.events()[0]["sub_type"], "add")
        self.assertEqual(self.code("set_group_add_request", flag=flag, sub_type="invite"), 1400)
        self.data("set_group_add_request", flag=flag, type="add", approve="false", reason="no")
        self.assertEqual(self.events(), [])
        flag = self.world.ask(BOB, "again", self.now, GROUP).flag
        self.events()
        self.data("set_group_add_request", flag=flag, sub_type="add")
        [event] = self.events()
        self.assertEqual(
            (event["notice_type"], event["sub_type"], event["user_id"]), ("group_increase", "approve", BOB)
        )

    def test_history_is_bounded(self) -> None:
        """Each chat keeps its newest messages; other chats are not touched."""
        first = self.data("send_private_msg", user_id=ALICE, message="kept")["message_id"]
        for number in range(HISTORY + 50):
            self.world.say(BOB, [{"type": "text", "data": {"text": str(number)}}], self.now, GROUP)
        self.assertEqual(len(self.world.messages), HISTORY + 1)
        self.data("get_msg", message_id=first)
        self.assertEqual(self.world.transcript(0)[-1].raw_message, str(HISTORY + 49))

    @quick
    @given(
        st.sampled_from(EXPECTED),
        st.binary(max_size=30)
        | st.sampled_from(
            [
                b'{"message":"\\ud83d","user_id":20001}',
                b'{"user_id":' + b"9" * 5000 + b"}",
                b'{"user_id":' + b"[" * 50_000,
            ]
        ),
    )
    def test_any_parameters(self, action: str, params: bytes) -> None:
        """Whatever the parameters, an action is answered."""
        json.loads(perform(World.first(SELF, 0), action, params, 0))


class StoreTests(WorldTestCase):
    def test_a_world_survives(self) -> None:
        """What was written is read back the same: people, groups, requests, messages in order."""
        path = self.mktemp()
        store = Store(path)
        self.world.ask(CAROL, "please", self.now)
        for number in range(12):
            self.data("send_group_msg", group_id=GROUP, message=f"m{number}")
        gone = self.data("send_private_msg", user_id=ALICE, message="x")["message_id"]
        store.write(self.world.take_changes())
        self.world.remove(self.world.messages[gone])
        self.data("set_group_kick", group_id=GROUP, user_id=BOB)
        store.write(self.world.take_changes())
        store.close()
        again = World(SELF)
        store = Store(path)
        again.restore(store.records())
        store.close()
        self.assertEqual(again.groups, self.world.groups)
        self.assertEqual(again.people, self.world.people)
        self.assertEqual(again.requests, self.world.requests)
        self.assertEqual(list(again.messages.items()), list(self.world.messages.items()))
        self.assertEqual(again.take_changes(), {})
