"""The sandbox's world, actions, control verbs and store, without a hub."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.sandbox.actions import ACTIONS, perform
from lgtwist.sandbox.control.verbs import VERBS
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.store import WorldStore
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world import world as world_module
from lgtwist.sandbox.world.model import WorldFile
from lgtwist.sandbox.world.world import MAX_CHAT_MESSAGES, PlatformError, World
from tests.rounds import quick

SELF, ALICE, BOB, CAROL, GROUP = 10001, 20001, 20002, 20003, 30001

#: The actions of OneBot 11.
STANDARD = set(
    """
    send_private_msg send_group_msg send_msg delete_msg get_msg get_forward_msg send_like set_group_kick
    set_group_ban set_group_anonymous_ban set_group_whole_ban set_group_admin set_group_anonymous
    set_group_card set_group_name set_group_leave set_group_special_title set_friend_add_request
    set_group_add_request get_login_info get_stranger_info get_friend_list get_group_info get_group_list
    get_group_member_info get_group_member_list get_group_honor_info get_cookies get_csrf_token
    get_credentials get_record get_image can_send_image can_send_record get_status get_version_info
    set_restart clean_cache
    """.split()
)
EXTENSIONS = set(
    """
    send_forward_msg send_group_forward_msg send_private_forward_msg get_group_msg_history
    get_friend_msg_history set_essence_msg delete_essence_msg get_essence_msg_list mark_msg_as_read
    friend_poke group_poke send_poke set_msg_emoji_like upload_group_file upload_private_file
    get_group_root_files get_group_file_url delete_friend set_group_portrait _send_group_notice
    _get_group_notice
    """.split()
)

#: A stored file, as actions get it among their parameters.
STORED_FILE = {"file": "k.png", "name": "k.png", "path": "/k.png", "url": "http://x/k.png", "size": 3}

#: Valid parameters of every action, in a world that :meth:`WorldTestCase.prepare` has prepared.
VALID_PARAMS: dict[str, dict[str, Any]] = {
    "send_private_msg": {"user_id": ALICE, "message": "x"},
    "send_group_msg": {"group_id": GROUP, "message": "x"},
    "send_msg": {"user_id": ALICE, "message": "x"},
    "delete_msg": {"message_id": 1},
    "get_msg": {"message_id": 1},
    "get_forward_msg": {"id": "forward-1700000000-1"},
    "send_like": {"user_id": ALICE},
    "set_group_kick": {"group_id": GROUP, "user_id": BOB},
    "set_group_ban": {"group_id": GROUP, "user_id": BOB},
    "set_group_anonymous_ban": {"group_id": GROUP, "flag": f"anonymous-{GROUP}-{BOB}"},
    "set_group_whole_ban": {"group_id": GROUP},
    "set_group_admin": {"group_id": GROUP, "user_id": BOB},
    "set_group_anonymous": {"group_id": GROUP},
    "set_group_card": {"group_id": GROUP, "user_id": BOB},
    "set_group_name": {"group_id": GROUP, "group_name": "x"},
    "set_group_leave": {"group_id": GROUP},
    "set_group_special_title": {"group_id": GROUP, "user_id": BOB},
    "set_friend_add_request": {"flag": "F"},
    "set_group_add_request": {"flag": "G"},
    "get_login_info": {},
    "get_stranger_info": {"user_id": CAROL},
    "get_friend_list": {},
    "get_group_info": {"group_id": GROUP},
    "get_group_list": {},
    "get_group_member_info": {"group_id": GROUP, "user_id": BOB},
    "get_group_member_list": {"group_id": GROUP},
    "get_group_honor_info": {"group_id": GROUP, "type": "all"},
    "get_cookies": {},
    "get_csrf_token": {},
    "get_credentials": {},
    "get_record": {"stored_file": STORED_FILE},
    "get_image": {"stored_file": STORED_FILE},
    "can_send_image": {},
    "can_send_record": {},
    "get_status": {},
    "get_version_info": {},
    "set_restart": {},
    "clean_cache": {},
    "send_forward_msg": {"user_id": ALICE, "messages": [{"type": "node", "data": {"id": "1"}}]},
    "send_group_forward_msg": {"group_id": GROUP, "messages": [{"type": "node", "data": {"id": 1}}]},
    "send_private_forward_msg": {"user_id": ALICE, "messages": [{"type": "node", "data": {"content": "x"}}]},
    "get_group_msg_history": {"group_id": GROUP},
    "get_friend_msg_history": {"user_id": ALICE},
    "set_essence_msg": {"message_id": 1},
    "delete_essence_msg": {"message_id": 2},
    "get_essence_msg_list": {"group_id": GROUP},
    "mark_msg_as_read": {"message_id": 1},
    "friend_poke": {"user_id": ALICE},
    "group_poke": {"group_id": GROUP, "user_id": ALICE},
    "send_poke": {"user_id": ALICE},
    "set_msg_emoji_like": {"message_id": 1, "emoji_id": "76"},
    "upload_group_file": {"group_id": GROUP, "file": STORED_FILE},
    "upload_private_file": {"user_id": ALICE, "file": STORED_FILE},
    "get_group_root_files": {"group_id": GROUP},
    "get_group_file_url": {"group_id": GROUP, "file_id": "file-1", "stored_file": STORED_FILE},
    "delete_friend": {"user_id": ALICE},
    "set_group_portrait": {"group_id": GROUP, "file": "http://x"},
    "_send_group_notice": {"group_id": GROUP, "content": "x"},
    "_get_group_notice": {"group_id": GROUP},
}


def text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "data": {"text": words}}]


class WorldTestCase(SynchronousTestCase):
    now = 1_700_000_000

    def setUp(self) -> None:
        self.world = World.with_example_people(SELF, self.now)

    def prepare(self, owner: bool = False) -> None:
        """Add two group messages (the second an essence), a forwarded message, a file and two requests."""
        self.rank(SELF, "owner" if owner else "admin")
        self.world.send_as_account(text("mine"), self.now, group_id=GROUP)
        second = self.world.send_as_person(BOB, text("theirs"), self.now, GROUP)
        operations.set_essence(self.world, second, SELF, self.now, add=True)
        self.world.add_forward(
            [{"type": "node", "data": {"user_id": "1", "nickname": "n", "content": []}}], self.now
        )
        operations.add_group_file(self.world, self.world.groups[GROUP], BOB, "f", 1, "k.png", self.now)
        friend = operations.add_request(self.world, CAROL, "please", self.now)
        self.world.put(self.world.people[CAROL].__class__(20004, "Dave"))
        group = operations.add_request(self.world, 20004, "please", self.now, GROUP)
        for request, flag in ((friend, "F"), (group, "G")):
            self.world.remove(request)
            request.flag = flag
            self.world.requests[flag] = request
        self.events()

    def do(self, action: str, **params: Any) -> Any:
        """Perform an action and return its whole response."""
        raw = json.dumps(params).encode()
        response = json.loads(perform(self.world, action, Params(raw), self.now))
        self.assertEqual(response["status"], "ok" if response["retcode"] == 0 else "failed")
        return response

    def data(self, action: str, **params: Any) -> Any:
        response = self.do(action, **params)
        self.assertEqual(response["retcode"], 0, response)
        return response["data"]

    def code(self, action: str, **params: Any) -> int:
        return int(self.do(action, **params)["retcode"])

    def verb(self, name: str, **params: Any) -> Any:
        return VERBS[name](self.world, Params(json.dumps(params).encode()), self.now)

    def events(self) -> list[dict[str, Any]]:
        return self.world.pop_events()

    def event(self) -> dict[str, Any]:
        [event] = self.events()
        return event

    def rank(self, user_id: int, role: str) -> None:
        member = self.world.groups[GROUP].member(user_id)
        assert member is not None
        member.role = role


class TableTests(WorldTestCase):
    def test_every_action_is_there(self) -> None:
        """Each action of OneBot 11 and each documented extension is there; anything else is 1404."""
        self.assertEqual(set(ACTIONS), STANDARD | EXTENSIONS)
        self.assertEqual(set(VALID_PARAMS), set(ACTIONS))
        for action in ("no_such_action", "SEND_MSG", "send_msg ", "__init__", "perform", ""):
            self.assertEqual(self.code(action), 1404)

    def test_right_parameters(self) -> None:
        """Every action succeeds, with numbers, and with all numbers as strings."""
        for action, right in VALID_PARAMS.items():
            for as_strings in (False, True):
                self.setUp()
                self.prepare(owner=action in ("set_group_admin", "set_group_special_title"))
                params = {k: str(v) if as_strings and isinstance(v, int) else v for k, v in right.items()}
                self.assertEqual(self.code(action, **params), 0, (action, self.do(action, **params)))

    def test_wrong_parameters(self) -> None:
        """Each missing or wrong parameter is answered with 1400, and named."""
        optional = {"get_group_honor_info": set(), "set_group_anonymous_ban": {"flag"}}
        for action, right in VALID_PARAMS.items():
            for name in right:
                if name == "stored_file" or name in optional.get(action, set()):
                    continue
                others = {key: value for key, value in right.items() if key != name}
                wrong: Any = [5] if name in ("message", "messages") else {"a": 1} if name != "file" else True
                for change in ({}, {name: None}, {name: wrong}):
                    self.setUp()
                    self.prepare()
                    response = self.do(action, **others, **change)
                    self.assertEqual(response["retcode"], 1400, (action, name, change, response))
                    self.assertIn(name, response["message"])

    def test_parameters_as_frameworks_send_them(self) -> None:
        """Booleans may be strings, 0 and 1; anything but a number is rejected as an integer."""
        for value, expected in (("true", True), ("0", False), (1, True), (0, False), ("False", False)):
            self.assertIs(Params(json.dumps({"a": value}).encode()).boolean("a"), expected)
        for value in ("1.5", "", "x", 2**63, 1.5, [], {}, True, "9" * 5000, "--1", "1_0", "٣"):
            with self.assertRaises(BadRequest):
                Params(json.dumps({"a": value}).encode()).integer("a")

    @quick
    @given(
        st.sampled_from(sorted(STANDARD | EXTENSIONS)),
        st.dictionaries(
            st.sampled_from(
                [
                    "user_id",
                    "group_id",
                    "message",
                    "messages",
                    "message_id",
                    "file",
                    "flag",
                    "id",
                    "stored_file",
                ]
            ),
            st.integers(-1, 3)
            | st.sampled_from([ALICE, GROUP, "1", [], {}, None, True, [{"type": "node"}], "x" * 50]),
        ),
    )
    def test_any_parameters(self, action: str, params: dict[str, Any]) -> None:
        """Every action is answered, whatever its parameters."""
        world = World.with_example_people(SELF, 0)
        if "file" in params and "upload" in action and isinstance(params["file"], dict):
            params["file"] = STORED_FILE
        if isinstance(params.get("stored_file"), dict):
            params["stored_file"] = STORED_FILE
        json.loads(perform(world, action, Params(json.dumps(params).encode()), 0))
        for bad in (b"[]", b"{", b'{"user_id":' + b"9" * 5000 + b"}", b'{"user_id":' + b"[" * 50_000):
            with self.assertRaises(BadRequest):
                Params(bad)


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
        """Own messages can be recalled, by an admin also those of lower ranks; they cannot be read then."""
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
        self.assertEqual(self.code("get_msg", message_id=1), 100)
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


class GroupTests(WorldTestCase):
    def test_bans(self) -> None:
        """A ban has its event, stops messages, and is lifted by 0; nobody can ban a higher rank."""
        self.data("set_group_ban", group_id=GROUP, user_id=BOB, duration=60)
        event = self.event()
        self.assertEqual(
            (event["notice_type"], event["sub_type"], event["duration"]), ("group_ban", "ban", 60)
        )
        self.assertRaises(PlatformError, self.world.send_as_person, BOB, text("x"), self.now + 59, GROUP)
        self.world.send_as_person(BOB, text("x"), self.now + 60, GROUP)
        self.events()
        self.data("set_group_ban", group_id=GROUP, user_id=BOB, duration=0)
        self.assertEqual(self.event()["sub_type"], "lift_ban")
        self.assertEqual(self.code("set_group_ban", group_id=GROUP, user_id=ALICE), 103)
        self.assertEqual(self.code("set_group_ban", group_id=GROUP, user_id=BOB, duration=-1), 1400)
        self.rank(CAROL, "admin")
        self.assertEqual(self.code("set_group_kick", group_id=GROUP, user_id=CAROL), 103)
        self.rank(SELF, "member")
        for action in ("set_group_kick", "set_group_ban", "set_group_card"):
            self.assertEqual(self.code(action, group_id=GROUP, user_id=BOB), 103)
        for action in ("set_group_whole_ban", "set_group_anonymous"):
            self.assertEqual(self.code(action, group_id=GROUP), 103)
        self.assertEqual(self.events(), [])

    def test_everybody_banned(self) -> None:
        """A whole ban stops the messages of members, not of admins; the event has user 0."""
        self.data("set_group_whole_ban", group_id=GROUP)
        event = self.event()
        self.assertEqual((event["user_id"], event["duration"], event["sub_type"]), (0, -1, "ban"))
        self.assertRaises(PlatformError, self.world.send_as_person, BOB, text("x"), self.now, GROUP)
        self.world.send_as_person(ALICE, text("x"), self.now, GROUP)
        self.data("send_group_msg", group_id=GROUP, message="x")
        self.data("set_group_whole_ban", group_id=GROUP, enable=False)
        self.world.send_as_person(BOB, text("x"), self.now, GROUP)

    def test_owners_rights(self) -> None:
        """Only the owner makes admins and gives titles; each has its event."""
        self.assertEqual(self.code("set_group_admin", group_id=GROUP, user_id=BOB), 103)
        self.assertEqual(self.code("set_group_special_title", group_id=GROUP, user_id=BOB), 103)
        self.prepare(owner=True)
        self.data("set_group_admin", group_id=GROUP, user_id=BOB)
        self.assertEqual((self.event()["sub_type"], self.world.groups[GROUP].rank(BOB)), ("set", 1))
        self.data("set_group_admin", group_id=GROUP, user_id=BOB, enable="false")
        self.assertEqual(self.event()["sub_type"], "unset")
        self.data("set_group_special_title", group_id=GROUP, user_id=BOB, special_title="T")
        self.assertEqual(self.event()["title"], "T")

    def test_names(self) -> None:
        """Cards and group names, each with its event."""
        self.data("set_group_card", group_id=GROUP, user_id=BOB, card="B")
        self.assertEqual(
            (self.event()["card_new"], self.code("set_group_card", group_id=GROUP, user_id=ALICE)), ("B", 103)
        )
        self.data("set_group_name", group_id=GROUP, group_name="New")
        self.assertEqual(self.event()["name_new"], "New")
        self.assertEqual(self.data("get_group_info", group_id=GROUP)["group_name"], "New")
        self.assertEqual(self.data("get_group_member_info", group_id=GROUP, user_id=BOB)["card"], "B")

    def test_kicking_and_leaving(self) -> None:
        """Kicking and leaving remove a member, with an event; an owner can only dismiss the group."""
        self.data("set_group_kick", group_id=GROUP, user_id=BOB)
        event = self.event()
        self.assertEqual((event["sub_type"], event["operator_id"], event["user_id"]), ("kick", SELF, BOB))
        self.assertEqual(len(self.data("get_group_member_list", group_id=GROUP)), 3)
        self.assertEqual(self.code("set_group_leave", group_id=GROUP, is_dismiss=True), 103)
        self.rank(SELF, "owner")
        self.assertEqual(self.code("set_group_leave", group_id=GROUP), 103)
        self.data("set_group_leave", group_id=GROUP, is_dismiss=True)
        self.assertEqual(self.event()["sub_type"], "leave")
        self.assertEqual(self.data("get_group_list"), [])

    def test_requests(self) -> None:
        """A request is an event, can be answered once, and takes effect if it is approved."""
        flag = self.verb("ask", user_id=CAROL, comment="please")["flag"]
        event = self.event()
        self.assertEqual((event["request_type"], event["comment"], event["flag"]), ("friend", "please", flag))
        self.data("set_friend_add_request", flag=flag, remark="C")
        self.assertEqual(self.event()["notice_type"], "friend_add")
        self.assertIn({"user_id": CAROL, "nickname": "Carol", "remark": "C"}, self.data("get_friend_list"))
        self.assertEqual(self.code("set_friend_add_request", flag=flag), 100)
        self.verb("leave", group_id=GROUP, user_id=BOB)
        self.events()
        flag = self.verb("ask", user_id=BOB, group_id=GROUP)["flag"]
        self.assertEqual(self.event()["sub_type"], "add")
        self.assertEqual(self.code("set_group_add_request", flag=flag, sub_type="invite"), 1400)
        self.data("set_group_add_request", flag=flag, type="add", approve="false", reason="no")
        self.assertEqual(self.events(), [])
        flag = self.verb("ask", user_id=BOB, group_id=GROUP)["flag"]
        self.events()
        self.data("set_group_add_request", flag=flag, sub_type="add")
        event = self.event()
        self.assertEqual(
            (event["notice_type"], event["sub_type"], event["user_id"]), ("group_increase", "approve", BOB)
        )

    def test_an_invitation(self) -> None:
        """Approving an invitation adds the account to the group."""
        self.verb("group", group_id=5, members=[{"user_id": ALICE, "role": "owner"}])
        self.verb("kick", group_id=5, user_id=SELF)
        self.assertEqual(self.event()["sub_type"], "kick_me")
        self.assertEqual(self.code("get_group_info", group_id=5), 100)
        flag = self.verb("ask", user_id=ALICE, group_id=5, sub_type="invite")["flag"]
        self.data("set_group_add_request", flag=flag, sub_type="invite")
        self.assertEqual([e.get("sub_type") for e in self.events()], ["invite", "invite"])
        self.data("get_group_info", group_id=5)

    def test_friends(self) -> None:
        """Friends can be liked up to ten times, and deleted."""
        self.data("send_like", user_id=ALICE, times=10)
        self.assertEqual((self.world.people[ALICE].likes, self.code("send_like", user_id=CAROL)), (10, 103))
        self.assertEqual(self.code("send_like", user_id=ALICE, times=11), 1400)
        self.data("delete_friend", user_id=ALICE)
        self.assertEqual([f["user_id"] for f in self.data("get_friend_list")], [BOB])
        self.assertEqual(self.code("delete_friend", user_id=ALICE), 100)

    def test_files_and_notices(self) -> None:
        """Files are listed with their uploader; announcements are listed, newest first."""
        self.prepare()
        file_id = self.data("upload_group_file", group_id=GROUP, file=STORED_FILE, name="a.png")["file_id"]
        self.assertEqual(self.event()["file"], {"id": file_id, "name": "a.png", "size": 3, "busid": 102})
        names = [f["file_name"] for f in self.data("get_group_root_files", group_id=GROUP)["files"]]
        self.assertEqual(names, ["f", "a.png"])
        self.assertEqual(self.code("get_group_file_url", group_id=GROUP, file_id="x"), 100)
        self.data("_send_group_notice", group_id=GROUP, content="one")
        self.data("_send_group_notice", group_id=GROUP, content="two")
        told = [n["message"]["text"] for n in self.data("_get_group_notice", group_id=GROUP)]
        self.assertEqual(told, ["two", "one"])

    def test_honours(self) -> None:
        """Who sent most messages is talkative; the other lists are empty; one type can be requested."""
        for _ in range(3):
            self.world.send_as_person(BOB, text("x"), self.now, GROUP)
        honours = self.data("get_group_honor_info", group_id=GROUP, type="all")
        self.assertEqual((honours["current_talkative"]["user_id"], honours["legend_list"]), (BOB, []))
        self.assertEqual(
            set(self.data("get_group_honor_info", group_id=GROUP, type="legend")), {"group_id", "legend_list"}
        )
        self.assertEqual(self.code("get_group_honor_info", group_id=GROUP, type="x"), 1400)


class VerbTests(WorldTestCase):
    def test_making_a_world(self) -> None:
        """People and groups are made and changed; there is one owner."""
        self.verb("person", user_id=5, nickname="Eve", friend=True, sex="female", age=30)
        self.verb("person", user_id=5, age="31")
        eve = self.world.people[5]
        self.assertEqual((eve.nickname, eve.age, eve.friend), ("Eve", 31, True))
        self.verb(
            "group", group_id=6, group_name="G", members=[{"user_id": 5, "role": "owner"}, {"user_id": ALICE}]
        )
        self.verb("group", group_id=6, members=[{"user_id": ALICE, "role": "owner", "card": "A"}])
        group = self.world.groups[6]
        self.assertEqual(
            [(m.user_id, m.role) for m in group.members], [(SELF, "member"), (5, "admin"), (ALICE, "owner")]
        )
        self.verb("forget_person", user_id=5)
        self.assertIsNone(group.member(5))
        self.verb("forget_group", group_id=6)
        self.assertNotIn(6, self.world.groups)
        for verb, params in (
            ("person", {"user_id": 0}),
            ("group", {"group_id": 7, "members": [{"user_id": 999}]}),
            ("group", {"group_id": 7, "members": [{"user_id": ALICE, "role": "king"}]}),
            ("group", {"group_id": 7, "members": "x"}),
            ("forget_person", {"user_id": SELF}),
        ):
            with self.assertRaises(OneBotError):
                self.verb(verb, **params)
        self.assertNotIn(7, self.world.groups)

    def test_what_people_do_has_its_event(self) -> None:
        """Each verb has the event that the platform has for it."""
        self.prepare()
        for verb, params, kind in (
            ("recall", {"message_id": 2}, "group_recall"),
            ("poke", {"user_id": ALICE}, "notify"),
            ("poke", {"user_id": ALICE, "group_id": GROUP, "target_id": BOB}, "notify"),
            ("react", {"user_id": ALICE, "message_id": 1, "emoji_id": "1"}, "group_msg_emoji_like"),
            ("essence", {"user_id": ALICE, "message_id": 1}, "essence"),
            ("upload", {"user_id": ALICE, "group_id": GROUP, "file": STORED_FILE}, "group_upload"),
            ("upload", {"user_id": ALICE, "file": STORED_FILE}, "offline_file"),
            ("befriend", {"user_id": CAROL}, "friend_add"),
            ("join", {"user_id": 20004, "group_id": GROUP}, "group_increase"),
            ("leave", {"user_id": 20004, "group_id": GROUP}, "group_decrease"),
            ("ban", {"user_id": BOB, "group_id": GROUP}, "group_ban"),
            ("ban", {"group_id": GROUP, "duration": 0}, "group_ban"),
            ("ban", {"user_id": SELF, "group_id": GROUP}, "group_ban"),
            ("admin", {"user_id": BOB, "group_id": GROUP}, "group_admin"),
            ("card", {"user_id": BOB, "group_id": GROUP, "card": "x"}, "group_card"),
            ("title", {"user_id": BOB, "group_id": GROUP, "title": "x"}, "notify"),
            ("rename", {"group_id": GROUP, "group_name": "x"}, "notify"),
            ("honor", {"user_id": BOB, "group_id": GROUP, "honor_type": "performer"}, "notify"),
            ("lucky_king", {"user_id": BOB, "target_id": ALICE, "group_id": GROUP}, "notify"),
            ("kick", {"user_id": SELF, "group_id": GROUP}, "group_decrease"),
        ):
            self.verb(verb, **params)
            self.assertEqual(self.event()["notice_type"], kind, verb)

    def test_people_have_no_more_rights_than_on_the_platform(self) -> None:
        """A member cannot kick, ban, recall messages of others or mark essences."""
        self.prepare()
        for verb, params in (
            ("kick", {"operator_id": BOB, "user_id": CAROL, "group_id": GROUP}),
            ("ban", {"operator_id": BOB, "user_id": SELF, "group_id": GROUP}),
            ("recall", {"user_id": CAROL, "message_id": 2}),
            ("essence", {"user_id": BOB, "message_id": 1}),
        ):
            with self.assertRaises(PlatformError):
                self.verb(verb, **params)
        self.assertEqual(self.events(), [])

    def test_every_verb_is_documented(self) -> None:
        """docs/sandbox.md has a curl line for every verb."""
        from tests.integration.running import ROOT

        written = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
        for verb in VERBS:
            self.assertTrue(re.search(rf"/sandbox/10001/{verb}\b|`{verb}`", written), verb)


class StoreTests(WorldTestCase):
    def test_a_world_survives(self) -> None:
        """All records are read as they were written, messages in order."""
        path = self.mktemp()
        store = WorldStore(path)
        self.prepare()
        for number in range(12):
            self.data("send_group_msg", group_id=GROUP, message=f"m{number}")
        gone = self.data("send_private_msg", user_id=ALICE, message="x")["message_id"]
        for request in self.world.requests.values():
            self.world.put(request)
        store.write(self.world.pop_changes())
        self.world.remove(self.world.messages[gone])
        self.data("set_group_kick", group_id=GROUP, user_id=BOB)
        store.write(self.world.pop_changes())
        store.close()
        again = World(SELF)
        store = WorldStore(path)
        again.load_records(store.records())
        store.close()
        for table in ("groups", "people", "requests", "forwards", "files"):
            self.assertEqual(getattr(again, table), getattr(self.world, table))
        self.assertEqual(list(again.messages.items()), list(self.world.messages.items()))
        self.assertEqual(again.pop_changes(), {})

    def test_a_world_as_a_file(self) -> None:
        """A world is loaded as it was saved; another account takes the place of the one that saved it."""
        import msgspec

        self.prepare()
        raw = msgspec.json.encode(self.world.to_file())
        again = World.from_file(SELF, msgspec.json.decode(raw, type=WorldFile))
        for table in ("groups", "people", "requests", "messages", "forwards", "files"):
            self.assertEqual(getattr(again, table), getattr(self.world, table))
        other = World.from_file(777, msgspec.json.decode(raw, type=WorldFile))
        self.assertEqual(other.groups[GROUP].rank(777), 1)
        self.assertIn(777, other.people)
        self.assertNotIn(SELF, other.people)
        self.assertEqual(other.messages[1].user_id, 777)

    def test_files_that_are_no_worlds(self) -> None:
        """Each is rejected, with the place of the mistake."""
        import msgspec

        for raw in (
            b"",
            b"[]",
            b"{}",
            b'{"self_id":1,"peopel":[]}',
            b'{"self_id":1,"people":[{"user_id":"x"}]}',
        ):
            with self.assertRaises(ValueError):
                msgspec.json.decode(raw, type=WorldFile)
        for groups in (
            [{"group_id": 1, "group_name": "g", "members": [{"user_id": 5}]}],
            [{"group_id": 1, "group_name": "g", "members": [{"user_id": 1, "role": "king"}]}],
        ):
            file = msgspec.convert({"self_id": 1, "groups": groups}, WorldFile)
            with self.assertRaisesRegex(ValueError, r"groups\[0\]"):
                World.from_file(1, file)
