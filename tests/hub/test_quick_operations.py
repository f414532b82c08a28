"""Quick operations and webhooks' answers, as typed and untyped programs write them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot.action import read_action
from lgtwist.onebot.responses import ok
from tests.hub.fakes import FakeLink, checked_link
from tests.onebot.strategies import TEXTS, Program, programs
from tests.rounds import quick

MESSAGE: dict[str, Any] = {
    "post_type": "message",
    "message_type": "group",
    "group_id": 1,
    "user_id": 2,
    "message_id": 3,
    "anonymous": None,
}
REQUEST = {"post_type": "request", "request_type": "group", "sub_type": "add", "flag": "f", "user_id": 2}
FIELDS = (
    "reply",
    "auto_escape",
    "at_sender",
    "delete",
    "kick",
    "ban",
    "ban_duration",
    "approve",
    "remark",
    "reason",
)
BAN = {"group_id": 1, "user_id": 2}


class QuickOperationTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock = Clock()
        self.account = Account(10001, clock, clock.seconds)
        self.link: FakeLink = checked_link(self.account)
        self.link.instantly = ok()
        self.account.links.opened(self.link)
        self.bot = Bot(BotSettings("bot"))
        self.warnings: list[str] = []
        log = type("Log", (), {"warn": lambda _self, *_a, **kw: self.warnings.append(kw["reason"])})()
        self.patch(self.bot, "_log", log)

    def steps(self) -> list[tuple[str, Any]]:
        """Return the actions since the last call, with their parameters."""
        sent, self.link.sent = self.link.sent, []
        return [(action, json.loads(params.decode())) for _id, action, params in sent]

    def post(self, event: dict[str, Any], answer: bytes) -> list[tuple[str, Any]]:
        """Answer a post; return the actions that follow."""
        self.bot.perform_quick_operation(self.account, json.dumps(event).encode(), answer)
        return self.steps()

    def handle(self, params: bytes) -> dict[str, Any]:
        """Call ``.handle_quick_operation``; return the response."""
        answers: list[Any] = []
        request = read_action(b'{"action":".handle_quick_operation","params":%b}' % params)
        self.bot.perform(
            self.account, request, lambda answer, _last: answers.append(json.loads(answer)), set()
        )
        [answer] = answers
        assert isinstance(answer, dict)
        return answer

    def check(self, event: dict[str, Any], operation: Any, expected: list[tuple[str, Any]]) -> None:
        """Check what an operation does, as an answer and as an action."""
        text = json.dumps(operation).encode()
        self.assertEqual(self.post(event, text), expected, operation)
        self.assertEqual(self.warnings, [])
        params = b'{"context":%b,"operation":%b}' % (json.dumps(event).encode(), text)
        self.assertEqual((self.handle(params)["retcode"], self.steps()), (0, expected), operation)

    def test_null_is_not_given(self) -> None:
        """A typed program sends every field of its class: null, "" and an empty array are not given."""
        for nothing in (None, "", [], {}):
            operation: dict[str, Any] = dict.fromkeys(FIELDS, nothing)
            for event in (MESSAGE, REQUEST, {"post_type": "notice"}):
                self.check(event, operation, [])
            said = {"group_id": 1, "message": "[CQ:at,qq=2] hi", "auto_escape": False}
            self.check(MESSAGE, {**operation, "reply": "hi"}, [("send_group_msg", said)])
            banned = {**BAN, "duration": 1800}
            self.check(MESSAGE, {**operation, "ban": True}, [("set_group_ban", banned)])
            rejected = {"flag": "f", "approve": False, "sub_type": "add", "reason": ""}
            self.check(REQUEST, {**operation, "approve": False}, [("set_group_add_request", rejected)])
            friend = {**REQUEST, "request_type": "friend"}
            accepted = {"flag": "f", "approve": True, "remark": ""}
            self.check(friend, {**operation, "approve": "true"}, [("set_friend_add_request", accepted)])
        for nothing in (None, [], {}, ""):
            self.check(MESSAGE, nothing, [])

    def test_loose_types(self) -> None:
        """Numbers and booleans may be strings, whole numbers floats."""
        for true, false in (
            (True, False),
            ("true", "false"),
            (1, 0),
            ("1", "0"),
            ("True", "False"),
            (1.0, 0.0),
        ):
            for event in (MESSAGE, {**MESSAGE, "user_id": 2.0, "group_id": 1.0, "message_id": 3.0}):
                steps = [("delete_msg", {"message_id": 3}), ("set_group_kick", BAN)]
                self.check(event, {"delete": true, "kick": true, "ban": false}, steps)
            said = {"group_id": 1, "message": "hi", "auto_escape": True}
            operation = {"reply": "hi", "at_sender": false, "auto_escape": true}
            self.check(MESSAGE, operation, [("send_group_msg", said)])
        for duration in (60, "60", 60.0, "60.0", " 60 "):
            banned = {**BAN, "duration": 60}
            self.check(MESSAGE, {"ban": 1, "ban_duration": duration}, [("set_group_ban", banned)])
        rejected = {"flag": "f", "approve": False, "sub_type": "add", "reason": "5"}
        self.check(REQUEST, {"approve": 0, "reason": 5}, [("set_group_add_request", rejected)])

    def test_replies(self) -> None:
        """A reply is a string, a number, an array or one segment; 0 and false: nobody is anonymous."""
        at, space = {"type": "at", "data": {"qq": "2"}}, {"type": "text", "data": {"text": " "}}
        face = {"type": "face", "data": {"id": "1"}}
        for reply, message in (
            ("hi", "[CQ:at,qq=2] hi"),
            (5, "[CQ:at,qq=2] 5"),
            (1.5, "[CQ:at,qq=2] 1.5"),
            (face, [at, space, face]),
            ([face], [at, space, face]),
        ):
            for anonymous in (None, False, 0, {}, []):
                said = {"group_id": 1, "message": message, "auto_escape": False}
                self.check({**MESSAGE, "anonymous": anonymous}, {"reply": reply}, [("send_group_msg", said)])
        private = {**MESSAGE, "message_type": "private", "group_id": 0}
        said = {"user_id": 2, "message": "hi", "auto_escape": False}
        self.check(private, {"reply": "hi", "at_sender": None}, [("send_private_msg", said)])

    def test_one_odd_field(self) -> None:
        """A field that cannot be read is named and left out; the others are carried out."""
        said = ("send_group_msg", {"group_id": 1, "message": "[CQ:at,qq=2] hi", "auto_escape": False})
        for field, odd in (
            ("auto_escape", "perhaps"),
            ("at_sender", 5),
            ("delete", [1]),
            ("kick", {"a": 1}),
            ("ban", 1.5),
        ):
            answer = json.dumps({"reply": "hi", field: odd}).encode()
            self.assertEqual(self.post(MESSAGE, answer), [said])
            self.assertEqual(self.warnings.pop(), f"operation.{field}: expected a boolean")
            response = self.handle(b'{"context":%b,"operation":%b}' % (json.dumps(MESSAGE).encode(), answer))
            self.assertEqual(self.steps(), [said])
            self.assertEqual(response["retcode"], 1400)
            self.assertIn(field, response["message"])
        deleted = ("delete_msg", {"message_id": 3})
        for more in (
            {"reply": True},
            {"ban": True, "ban_duration": "long"},
            {"ban": True, "ban_duration": 1.5},
        ):
            self.assertEqual(self.post(MESSAGE, json.dumps({"delete": True, **more}).encode()), [deleted])
            self.assertIn(list(more)[-1], self.warnings.pop())
        without = {key: value for key, value in MESSAGE.items() if key != "message_id"}
        self.assertEqual(self.post(without, b'{"reply":"hi","delete":true}'), [said])
        self.assertEqual(self.warnings.pop(), "context.message_id is missing")

    def test_what_is_no_operation(self) -> None:
        """An answer that is not an object asks for nothing; an action without an event is refused."""
        for answer in (
            b"",
            b"null",
            b"[]",
            b"OK",
            b'"x"',
            b"[1]",
            b"{",
            b'{"reply":NaN}',
            b'{"reply":"\xff"}',
        ):
            self.assertEqual((self.post(MESSAGE, answer), self.warnings), ([], []), answer)
        for params, named in (
            (b"{}", "context"),
            (b'{"context":null,"operation":{"reply":"a"}}', "context"),
            (b'{"context":5,"operation":{"reply":"a"}}', "context"),
            (b'{"context":{"post_type":5},"operation":{"reply":"a"}}', "post_type"),
            (b'{"context":{"post_type":"message"},"operation":[1]}', "operation"),
            (b'{"context":{"post_type":"message"},"operation":"x"}', "operation"),
        ):
            response = self.handle(params)
            self.assertEqual(response["retcode"], 1400)
            self.assertIn(named, response["message"])

    @given(
        programs(),
        TEXTS.filter(bool),
        st.fixed_dictionaries({}, optional=dict.fromkeys(("delete", "kick", "at_sender"), st.booleans())),
    )
    @quick
    def test_programs(self, program: Program, reply: str, flags: dict[str, bool]) -> None:
        """What real programs write is carried out, half an emoji and all."""
        given = {"reply": reply, **{name: program.field(value) for name, value in flags.items()}}
        answer = program.write(program.fields(given, FIELDS))
        steps = self.post(MESSAGE, answer)
        message = reply if flags.get("at_sender") is False else f"[CQ:at,qq=2] {reply}"
        expected = [("send_group_msg", {"group_id": 1, "message": message, "auto_escape": False})]
        if flags.get("delete"):
            expected.append(("delete_msg", {"message_id": 3}))
        if flags.get("kick"):
            expected.append(("set_group_kick", dict(BAN)))
        self.assertEqual((steps, self.warnings), (expected, []))
