"""The truth table of ``events``: deny, private, roles and any_of, in whatever form events come."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters.conditions import AnyOf, EventConditions, compile_each
from lgtwist.filters.subject import subject_of
from lgtwist.hub.permissions import EventPermissions
from lgtwist.onebot.event import read_event
from tests.rounds import quick

SELF = 10001

_KEYS = st.sampled_from(["type", "data", "qq", "id", "text", "role"])
ODD_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=9,
)


def segment(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": data}


def text(words: str) -> dict[str, Any]:
    return segment("text", text=words)


def message(*segments: Any, **members: Any) -> dict[str, Any]:
    """Return a group message; ``None`` removes a member."""
    event = {
        "self_id": SELF,
        "post_type": "message",
        "message_type": "group",
        "group_id": 30001,
        "user_id": 20001,
        "sender": {"role": "member"},
        "message": list(segments),
        **members,
    }
    return {key: value for key, value in event.items() if value is not None}


def private(*segments: Any, **members: Any) -> dict[str, Any]:
    return message(*segments, **{"message_type": "private", "group_id": None, **members})


def sent_by_nobody(_self_id: int | None) -> Container[str]:
    return ()


class ConditionTests(SynchronousTestCase):
    def passes(self, conditions: EventConditions, event: dict[str, Any], sent: Any = sent_by_nobody) -> bool:
        read = read_event(json.dumps(event).encode())
        met = [one.is_met(subject_of(read)) for one in compile_each(conditions, sent)]  # none raises
        passed = EventPermissions(conditions=conditions, sent_ids=sent).passes(read)
        self.assertEqual(passed, read.post_type == "meta_event" or all(met))
        return passed

    def check(self, conditions: EventConditions, *table: tuple[dict[str, Any], bool]) -> None:
        for event, wanted in table:
            self.assertIs(self.passes(conditions, event), wanted, event)

    def test_deny(self) -> None:
        """No event of a denied group or user passes, however its number is written; one without it does."""
        self.check(
            EventConditions(deny_groups=frozenset([30001]), deny_users=frozenset([20009])),
            (message(), False),
            (message(group_id="30001"), False),
            (message(group_id=30001.0), False),
            (message(group_id=30002), True),
            (message(group_id=30002, user_id=20009), False),
            (message(group_id=30002, user_id="20009"), False),
            (private(), True),
            (private(user_id=20009), False),
            ({"post_type": "notice", "notice_type": "group_increase", "group_id": 30001}, False),
            ({"post_type": "notice", "notice_type": "friend_add", "user_id": 20009}, False),
            ({"post_type": "request", "request_type": "group", "group_id": 30001, "user_id": 1}, False),
            ({"post_type": "notice", "notice_type": "x"}, True),
            ({"post_type": "notice", "group_id": None, "user_id": [20009]}, True),
            ({"post_type": "meta_event", "group_id": 30001}, True),
        )

    def test_private(self) -> None:
        """Without private messages everything else passes: notices and requests of people too."""
        self.check(
            EventConditions(private=False),
            (private(), False),
            (private(post_type="message_sent"), False),
            (private(sub_type="group", sender={"group_id": 30001}), False),
            (private(message_type=None), False),
            (message(), True),
            (message(message_type=None), True),
            ({"post_type": "notice", "notice_type": "friend_add", "user_id": 1}, True),
            ({"post_type": "request", "request_type": "friend", "user_id": 1}, True),
            ({"post_type": "meta_event"}, True),
        )
        self.check(EventConditions(private=True), (private(), True), (message(), True))

    def test_roles(self) -> None:
        """Roles are asked of group messages only; one that does not say a role has none of them."""
        self.check(
            EventConditions(roles=frozenset(["owner", "admin"])),
            (message(sender={"role": "owner"}), True),
            (message(sender={"role": "admin"}), True),
            (message(sender={"role": "member"}), False),
            (message(sender={"role": "Owner"}), False),
            (message(sender={}), False),
            (message(sender=None), False),
            (message(sender="owner"), False),
            (message(sender={"role": ["owner"]}), False),
            (private(sender={"role": "member"}), True),
            (private(), True),
            ({"post_type": "notice", "group_id": 30001, "sender": {"role": "member"}}, True),
        )
        self.check(EventConditions(roles=frozenset()), (message(), False), (private(), True))

    def test_any_of_looks_at_messages_only(self) -> None:
        """Notices, requests and meta events pass; what the account sent itself counts as a message."""
        self.check(
            EventConditions(any_of=AnyOf(prefix=("/",))),
            (message(text("hello")), False),
            (private(text("hello")), False),
            (message(text("hello"), post_type="message_sent"), False),
            (message(text("/hello"), post_type="message_sent"), True),
            ({"post_type": "notice", "notice_type": "group_increase", "group_id": 1}, True),
            ({"post_type": "request", "request_type": "friend"}, True),
            ({"post_type": "meta_event"}, True),
        )

    def test_at_me(self) -> None:
        """The account's number counts as a number or as text, in either form of messages, but not all."""
        self.check(
            EventConditions(any_of=AnyOf(at_me=True)),
            (message(segment("at", qq="10001")), True),
            (message(segment("at", qq=10001)), True),
            (message(segment("at", qq=" 10001 ")), True),
            (message(segment("at", qq=10001.0)), True),
            (message(text("hello "), segment("at", qq="10001"), text(" there")), True),
            (message(message="hello [CQ:at,qq=10001] there"), True),
            (message(message="&#91;CQ:at,qq=10001&#93;"), False),
            (message(message=segment("at", qq="10001")), True),
            (message(segment("at", qq="all")), False),
            (message(segment("at", qq="100012")), False),
            (message(segment("at", qq="20001")), False),
            (message(segment("at", id="10001")), False),
            (message(segment("face", qq="10001")), False),
            (message({"type": "at"}), False),
            (message({"type": "at", "data": None}), False),
            (message(text("@10001")), False),
            (private(text("hello")), False),
            (message(self_id=None, message="[CQ:at,qq=10001]"), False),
            (message(segment("at", qq=True), self_id=1), False),
        )

    def test_text_behind_reply_and_at(self) -> None:
        """A prefix is looked for behind leading reply and at segments and blanks, case as given."""
        self.check(
            EventConditions(any_of=AnyOf(prefix=("/", "Bot"))),
            (message(text("/help")), True),
            (message(text(" \u3000\n/help")), True),
            (message(segment("reply", id="1"), segment("at", qq="2"), text(" /help")), True),
            (message(text("  "), segment("at", qq="all"), text("/help")), True),
            (message(segment("at", qq="2"), segment("at", qq="3"), text("Bot, hello")), True),
            (message(message="[CQ:reply,id=1][CQ:at,qq=2] /help"), True),
            (message(text("bot, hello")), False),
            (message(text("hello /help")), False),
            (message(text("x"), segment("at", qq="2"), text("/help")), False),
            (message(), False),
            (message(message=None), False),
            (message(message=5), False),
            (private(text("/help")), True),
        )

    def test_pictures_are_no_text(self) -> None:
        """A command that is written below a picture is a command, and so is one that is written above it."""
        picture = segment("image", file="1.png", summary="/no")
        self.check(
            EventConditions(any_of=AnyOf(prefix=("/",))),
            (message(picture, text("/scan")), True),
            (message(text("/scan"), picture), True),
            (message(picture, text("look: /scan")), False),
            (message(picture), False),
        )

    def test_keyword(self) -> None:
        """Text has it anywhere, case as given; what segments beside text have does not count."""
        self.check(
            EventConditions(any_of=AnyOf(keyword=("天气", "Weather"))),
            (message(text("今天天气")), True),
            (message(text("the Weather")), True),
            (message(text("the weather")), False),
            (message(segment("image", file="Weather.png")), False),
            (message(message="[CQ:image,file=Weather.png]"), False),
            (message(message="a&#91;Weather"), True),
            (message(text("a" * 65_536 + "Weather")), False),
        )
        self.check(EventConditions(any_of=AnyOf(keyword=("[x]",))), (message(message="a&#91;x&#93;"), True))

    def test_private_in_any_of(self) -> None:
        """Every private message passes, and group messages that meet another of the conditions."""
        self.check(
            EventConditions(any_of=AnyOf(private=True, at_me=True)),
            (private(text("hello")), True),
            (private(post_type="message_sent"), True),
            (message(text("hello")), False),
            (message(segment("at", qq="10001")), True),
        )

    def test_reply_to_me(self) -> None:
        """A reply to a message that this account sent, whether its id is a number or text."""
        conditions = EventConditions(any_of=AnyOf(reply_to_me=True))

        def sent(self_id: int | None) -> Container[str]:
            return {"5", "-7", "abc"} if self_id == SELF else {"6"}

        for value, wanted in (
            *((5, True), ("5", True), (-7, True), ("-7", True), ("abc", True)),
            *((6, False), ("", False), (None, False), (True, False), ([], False)),
        ):
            event = message(segment("reply", id=value), text("yes"))
            self.assertIs(self.passes(conditions, event, sent), wanted, value)
        self.assertTrue(self.passes(conditions, message(message="[CQ:reply,id=-7]yes"), sent))
        self.assertFalse(self.passes(conditions, message(text("5")), sent))
        self.assertTrue(self.passes(conditions, message(segment("reply", id=6), self_id=9), sent))

    def test_all_must_be_met(self) -> None:
        """What any_of lets pass, deny does not."""
        conditions = EventConditions(
            deny_users=frozenset([20009]),
            private=False,
            roles=frozenset(["owner"]),
            any_of=AnyOf(prefix=("/",), private=True),
        )
        self.check(
            conditions,
            (message(text("/x"), sender={"role": "owner"}), True),
            (message(text("/x"), sender={"role": "owner"}, user_id=20009), False),
            (message(text("x"), sender={"role": "owner"}), False),
            (message(text("/x")), False),
            (private(text("/x")), False),
        )

    @given(ODD_VALUES, st.sampled_from(["message", "sender", "message_type", "group_id", "self_id"]))
    @quick
    def test_never_raises(self, value: Any, name: str) -> None:
        """Whatever an implementation writes, an event is judged."""
        conditions = EventConditions(
            deny_groups=frozenset([1]),
            roles=frozenset(["owner"]),
            any_of=AnyOf(at_me=True, prefix=("/",), keyword=("x",), private=True, reply_to_me=True),
        )
        event = message(text("x")) | {name: value}
        self.assertIn(self.passes(conditions, event), (True, False))
