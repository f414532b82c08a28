"""What the sandbox emits or answers is valid for real frameworks; messages come back as a platform's."""

from __future__ import annotations

import json
from typing import Any

import aiocqhttp
from hypothesis import given
from hypothesis import strategies as st
from nonebot.adapters.onebot.v11 import Adapter, Message, MessageEvent
from nonebot.adapters.onebot.v11.event import Reply
from nonebot.compat import type_validate_python
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import MessageFormat, convert_event, convert_response, to_cq
from lgtwist.sandbox.actions import ACTIONS, perform
from lgtwist.sandbox.control.verbs import VERBS
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import PlatformError, World
from tests.rounds import quick
from tests.sandbox.worlds import ALICE, BOB, CAROL, GROUP, SELF, STORED_FILE

NOW = 1_700_000_000

#: Values as programs write them. Letters are ASCII, since aiocqhttp has its own idea of blanks around codes.
VALUES = (
    st.text("ab&[],=;:_", max_size=6) | st.integers(-5, 10**12) | st.booleans() | st.none() | st.just(1.5)
)
SEGMENTS = st.one_of(
    st.builds(lambda value: {"type": "text", "data": {"text": value}}, VALUES),
    st.builds(lambda value: {"type": "at", "data": {"qq": value}}, st.sampled_from([SELF, str(BOB), "all"])),
    st.builds(lambda value, more: {"type": "face", "data": {"id": value, "x": more}}, st.just(7), VALUES),
    st.builds(lambda value: {"type": "rps", "data": {"result": value}}, VALUES),
    st.just({"type": "reply", "data": {"id": 1}}),
    st.just({"type": "shake"}),
    st.sampled_from(["a[CQ:face,id=1]b", "[CQ:at,qq=all]", "plain", "[CQ:", "&#91;"]),
)
MESSAGES = st.one_of(st.lists(SEGMENTS, max_size=4), SEGMENTS)
NODES = st.recursive(
    MESSAGES,
    lambda inner: st.lists(
        st.builds(
            lambda content, time: {"type": "node", "data": {"uin": 7, "content": content, "time": time}},
            inner,
            st.sampled_from([None, 0, 1_600_000_000, "5"]),
        ),
        min_size=1,
        max_size=2,
    ),
    max_leaves=3,
)
NUMBERS = st.sampled_from([SELF, ALICE, BOB, CAROL, GROUP, 0, "20001", 5, 1, 2, 3, None])
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("user_id", "group_id", "target_id", "operator_id", "message_id"), NUMBERS),
        "message": NODES,
        "messages": NODES,
        "anonymous": st.booleans(),
        "enable": st.booleans(),
        "set": st.booleans(),
        "duration": st.sampled_from([0, 60]),
        "sub_type": st.sampled_from(["add", "invite", "approve"]),
        "honor_type": st.just("talkative"),
        "emoji_id": st.just("76"),
        **dict.fromkeys(("card", "title", "group_name", "nickname", "comment"), VALUES),
    },
)


def as_platform(message: list[Any]) -> list[dict[str, Any]] | None:
    """Return the segments that a platform makes of those of :data:`SEGMENTS`; None if it refuses them."""
    shown: list[dict[str, Any]] = []
    for part in message:
        if part["type"] == "text" and part["data"].get("text") is None:
            return None
        data = {
            key: {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
            for key, value in part.get("data", {}).items()
            if value is not None
        }
        if data != {"text": ""} or part["type"] != "text":
            shown.append({"type": part["type"], "data": data})
    return shown or None


class PlatformTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Make a new world in which the bot and Alice have said something."""
        self.world = World.with_example_people(SELF, NOW)
        self.do("send_group_msg", {"group_id": GROUP, "message": "first"})
        self.verb("say", {"user_id": ALICE, "message": "second"})

    def do(self, action: str, params: dict[str, Any]) -> Any:
        """Perform an action; its answer must be readable in every format."""
        raw = perform(self.world, action, self.params(action, params), NOW)
        for wanted in MessageFormat:
            answer = json.loads(convert_response(raw, wanted))
            if answer["retcode"] == 0 and action == "get_msg":
                type_validate_python(Reply, answer["data"])
        return json.loads(raw)

    def params(self, name: str, params: dict[str, Any]) -> Params:
        if "upload" in name:
            params = {**params, "file": STORED_FILE}
        return Params(json.dumps(params).encode())

    def verb(self, name: str, params: dict[str, Any]) -> Any:
        try:
            answer = VERBS[name](self.world, self.params(name, params), NOW)
        except (BadRequest, PlatformError):
            return None
        return answer

    def check_events(self) -> None:
        """Check that both frameworks take all new events, and that messages are what ``get_msg`` has."""
        for emitted in self.world.pop_events():
            raw = json.dumps(emitted).encode()
            for wanted in MessageFormat:
                converted = json.loads(convert_event(raw, wanted))
                parsed = Adapter.json_to_event(json.loads(json.dumps(converted)))
                assert parsed is not None, emitted
                self.assertNotEqual(type(parsed).__name__, "Event", emitted)
                other = aiocqhttp.Event.from_payload(converted)
                assert other is not None, emitted
                if emitted["post_type"] != "message":
                    continue
                self.assertIsInstance(parsed, MessageEvent)
                self.check_message(emitted)
                got = self.do("get_msg", {"message_id": emitted["message_id"]})["data"]
                for key in ("message", "raw_message", "user_id", "sender", "target_id", "group_id", "time"):
                    self.assertEqual(got.get(key), emitted.get(key), key)

    def check_message(self, shown: dict[str, Any]) -> None:
        """Check a message as events and ``get_msg`` have it, with the frameworks' own classes."""
        parts = json.loads(json.dumps(shown["message"]))  # aiocqhttp joins texts in place
        self.assertTrue(parts)
        for part in parts:
            self.assertTrue(all(isinstance(value, str) for value in part["data"].values()), part)
        self.assertEqual(shown["raw_message"], to_cq(parts))
        read = type_validate_python(Message, parts)
        self.assertEqual([(one.type, one.data) for one in read], [(p["type"], p["data"]) for p in parts])
        self.assertEqual(str(read), shown["raw_message"])
        self.assertEqual(str(aiocqhttp.Message(parts)), shown["raw_message"])

    @quick
    @given(st.lists(SEGMENTS.filter(lambda part: isinstance(part, dict)), max_size=4))
    def test_messages_come_back(self, message: list[Any]) -> None:
        """What a bot says comes back from ``get_msg`` as the platform gives it, or is refused."""
        self.begin()
        expected = as_platform(message)
        for target in ({"user_id": ALICE}, {"group_id": GROUP}):
            answer = self.do("send_msg", {**target, "message": message})
            self.assertEqual(answer["retcode"] == 0, expected is not None, answer)
            if expected is not None:
                got = self.do("get_msg", {"message_id": answer["data"]["message_id"]})["data"]
                self.assertEqual(got["message"], expected)
                self.check_message(got)

    @quick
    @given(NODES)
    def test_any_message(self, message: Any) -> None:
        """Each message that is taken, nodes too, is one that both frameworks read, whoever sent it."""
        self.begin()
        for target in ({"user_id": ALICE}, {"group_id": GROUP}):
            answer = self.do("send_msg", {**target, "message": message})
            said = self.verb("say", {**target, "user_id": BOB, "message": message})
            self.assertEqual(answer["retcode"] == 0, said is not None, (answer, said))
            if said is None:
                continue
            got = self.do("get_msg", {"message_id": answer["data"]["message_id"]})["data"]
            self.check_message(got)
            if "forward_id" in said:
                self.check_forward(self.do("get_forward_msg", {"id": said["forward_id"]})["data"]["messages"])
        self.check_events()

    def check_forward(self, nodes: list[dict[str, Any]]) -> None:
        for node in nodes:
            self.assertIsInstance(node["time"], int)
            self.assertIsInstance(node["sender"]["user_id"], int)
            for part in node["content"]:
                if part["type"] == "node":
                    self.assertLessEqual({"user_id", "nickname", "content"}, set(part["data"]))
                else:
                    self.assertTrue(all(isinstance(value, str) for value in part["data"].values()), part)

    @quick
    @given(st.lists(st.tuples(st.sampled_from(sorted(ACTIONS) + sorted(VERBS)), PARAMS), max_size=8))
    def test_any_deeds(self, deeds: list[tuple[str, dict[str, Any]]]) -> None:
        """Whatever people and bots do, both frameworks take its events and can read its answers."""
        self.begin()
        self.check_events()
        for name, params in deeds:
            if name in ACTIONS:
                self.do(name, {**params, "stored_file": STORED_FILE})
            else:
                self.verb(name, params)
            self.check_events()
