"""What a bot may do and see, and that nothing walks round it."""

from __future__ import annotations

import fnmatch
import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.filters.conditions import AnyOf, EventConditions
from lgtwist.filters.reading import EventFilter, Grammar
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.permissions import ActionPermissions, EventPermissions, Rate
from lgtwist.hub.settings import ActionSettings, BotSettings
from lgtwist.onebot.action import ActionRequest, read_action
from lgtwist.onebot.event import read_event
from lgtwist.onebot.responses import ok
from tests.hub.fakes import FakeLink, checked_link
from tests.rounds import SLOWNESS, quick

AGENT_SETTINGS = ActionSettings(("send_*", "get_*"), ("get_cookies", "*_file"))
AGENT = ActionPermissions(AGENT_SETTINGS.allow, AGENT_SETTINGS.deny)


class ActionPermissionsTests(SynchronousTestCase):
    def test_allowed_and_denied(self) -> None:
        """What is allowed and not denied may be used; without any lists, everything."""
        for action, allowed in (
            ("send_msg", True),
            ("get_group_list", True),
            ("set_group_kick", False),
            ("get_cookies", False),
            ("get_file", False),
            ("GET_COOKIES", False),
            ("Get_Msg", True),
            ("get_cookies_async", False),
            ("get_msg_rate_limited_async", True),
            (".get_cookies", False),
            ("get_cookies/", False),
            ("get_msg?x=get_cookies", False),
            (" get_msg", False),
            ("get_msg\x00", False),
            ("get_msg\n", False),
            ("ｇet_msg", False),
            (".handle_quick_operation", False),
            (".Handle_Quick_Operation", False),
            ("", False),
        ):
            self.assertIs(AGENT.allows(action), allowed, action)
            self.assertIs(AGENT.explain(action).allowed, allowed, action)
        self.assertTrue(ActionPermissions().allows("whatever/it is"))
        self.assertFalse(ActionPermissions([]).allows("get_msg"))
        self.assertFalse(ActionPermissions(deny=["ocr_image"]).allows(".ocr_image"))
        self.assertFalse(ActionPermissions(deny=[".ocr_image"]).allows("ocr_image"))
        self.assertFalse(ActionPermissions(deny=["x"]).allows(".HANDLE_QUICK_OPERATION_async"))

    def test_explained(self) -> None:
        """The rule that decides is told, with the pattern as it was given; a denied spelling decides."""
        for permissions, action, code, pattern in (
            (AGENT, "send_msg", "allowed_by", "send_*"),
            (AGENT, ".GET_COOKIES", "denied", "get_cookies"),
            (AGENT, "get_cookies_async", "denied", "get_cookies"),
            (AGENT, "get_file", "denied", "*_file"),
            (AGENT, "set_restart", "not_allowed", None),
            (AGENT, "get_msg/", "not_plain_name", None),
            (AGENT, "handle_quick_operation", "quick_operation", None),
            (ActionPermissions([]), "get_msg", "not_allowed", None),
            (ActionPermissions(["*_async"]), "get_msg_async", "not_allowed", None),
            (ActionPermissions(deny=["X*"]), "y", "not_denied", None),
            (ActionPermissions(deny=["X*"]), "xy", "denied", "X*"),
            (ActionPermissions(), "whatever/it is", "unrestricted", None),
        ):
            decision = permissions.explain(action)
            self.assertEqual((decision.code, decision.arguments.get("pattern")), (code, pattern), action)

    @given(
        st.sampled_from(["set_group_kick", "get_cookies", "set_restart"]),
        st.lists(
            st.sampled_from(["_async", "_rate_limited", ".", "/", " ", "%00", "UP", "\t", "//", "?a=b"])
        ),
    )
    @quick
    def test_no_spelling_walks_round(self, action: str, changes: list[str]) -> None:
        """Whatever an implementation would take for a denied action is refused."""
        name = action
        for change in changes:
            name = name.upper() if change == "UP" else "." + name if change == "." else name + change
        self.assertFalse(AGENT.allows(name), name)

    @given(
        st.lists(st.sampled_from(["*", "a", "b", "ab"]), max_size=8).map("".join), st.text("ab", max_size=9)
    )
    @quick
    def test_stars(self, pattern: str, name: str) -> None:
        """A star stands for any characters, as in a shell."""
        if name:
            rights = ActionPermissions([pattern] if pattern else [])
            self.assertIs(rights.allows(name), fnmatch.fnmatchcase(name, pattern), (pattern, name))

    def test_many_stars_take_no_longer(self) -> None:
        """A pattern with many stars against a long name is no work."""
        began = time.process_time()
        self.assertFalse(ActionPermissions(["*a" * 90 + "*b"]).allows("a" * 199))
        self.assertLess(time.process_time() - began, 0.1 * SLOWNESS)

    @given(st.text(max_size=20))
    @quick
    def test_any_text(self, action: str) -> None:
        """A name that is allowed is a plain one, in every reading of it; the explanation agrees."""
        self.assertIs(AGENT.explain(action).allowed, AGENT.allows(action))
        if AGENT.allows(action):
            self.assertRegex(action, r"\A[A-Za-z0-9_.]+\Z")
            self.assertRegex(action.lower().lstrip("."), "^(send_|get_)")


class EventPermissionsTests(SynchronousTestCase):
    def passes(self, rights: EventPermissions, **event: Any) -> bool:
        return rights.passes(read_event(json.dumps(event).encode()))

    def test_lists(self) -> None:
        """An event must be in each list that is given; one that lacks the field is in none."""
        rights = EventPermissions(frozenset(["message"]), frozenset([30001]))
        self.assertTrue(self.passes(rights, post_type="message", group_id=30001))
        self.assertTrue(self.passes(rights, post_type="message", group_id="30001"))
        self.assertFalse(self.passes(rights, post_type="message", group_id=30002))
        self.assertFalse(self.passes(rights, post_type="message"))
        self.assertFalse(self.passes(rights, post_type="notice", group_id=30001))
        self.assertTrue(self.passes(rights, post_type="meta_event"))
        self.assertFalse(self.passes(EventPermissions(user_ids=frozenset()), post_type="message", user_id=1))
        self.assertFalse(EventPermissions())

    def test_message_sent_is_a_message(self) -> None:
        """A list with messages has those that the account sent itself; one may ask for these alone."""
        messages, sent = (
            EventPermissions(frozenset(["message"])),
            EventPermissions(frozenset(["message_sent"])),
        )
        self.assertTrue(self.passes(messages, post_type="message_sent"))
        self.assertTrue(self.passes(sent, post_type="message_sent"))
        self.assertFalse(self.passes(sent, post_type="message"))

    def test_rules(self) -> None:
        """The first rule that an event does not meet is named: deny, lists, conditions, the filter."""
        conditions = EventConditions(
            frozenset([2]), frozenset([7]), False, frozenset(["owner"]), AnyOf(at_me=True, prefix=("/",))
        )
        short = EventFilter("{}", Grammar.GO_CQHTTP, lambda subject: len(subject.text()) < 9)
        rights = EventPermissions(None, frozenset([1, 2]), None, conditions, short)
        group = {"post_type": "message", "message_type": "group", "group_id": 1, "sender": {"role": "owner"}}
        for members, code, arguments in (
            ({"message": "/x"}, "in_lists", {}),
            ({"group_id": 3}, "group_not_listed", {"group_id": 3}),
            ({"group_id": 2}, "denied_group", {"group_id": 2}),
            ({"user_id": "7"}, "denied_user", {"user_id": 7}),
            ({"group_id": 3, "user_id": 7}, "denied_user", {"user_id": 7}),
            ({"message_type": "private"}, "private_not_wanted", {}),
            ({"sender": {"role": "admin"}}, "role_not_listed", {"role": "admin"}),
            ({"sender": {}}, "role_not_listed", {"role": None}),
            ({"message": "x"}, "none_of_any_of", {"any_of": ["at_me", "prefix"]}),
            ({"message": "/23456789"}, "filtered", {"grammar": "go-cqhttp"}),
            ({"post_type": "notice"}, "in_lists", {}),
            ({"post_type": "meta_event", "group_id": 2}, "meta_event", {}),
        ):
            event = read_event(json.dumps({**group, **members}).encode())
            decision = rights.explain(event)
            self.assertEqual((decision.code, decision.arguments), (code, arguments))
            self.assertIs(rights.passes(event), decision.allowed)
        for alone in (
            EventPermissions(conditions=EventConditions(private=False)),
            EventPermissions(filter=short),
        ):
            self.assertTrue(alone)

    def test_a_bot_that_asks_for_nothing(self) -> None:
        """Its events are not looked at."""
        self.assertIsNone(Bot(BotSettings("all")).passes)

    @given(
        *(
            st.none() | st.frozensets(st.sampled_from(values), max_size=2)
            for values in (("message", "notice"), (1, 2), (7, 8))
        ),
        st.builds(
            EventConditions,
            st.frozensets(st.sampled_from([1, 2]), max_size=1),
            st.frozensets(st.sampled_from([7, 8]), max_size=1),
            st.booleans(),
            st.none() | st.just(frozenset(["owner"])),
            st.none() | st.builds(AnyOf, private=st.booleans(), prefix=st.just(("/",))),
        ),
        st.fixed_dictionaries(
            {"post_type": st.sampled_from(["message", "message_sent", "notice", "meta_event", "x"])},
            optional={
                "message_type": st.sampled_from(["private", "group"]),
                "group_id": st.sampled_from([1, 2, 3, None, "1"]),
                "user_id": st.sampled_from([7, 9, "x"]),
                "message": st.sampled_from(["/x", "x"]),
            },
        ),
    )
    def test_explained_as_it_passes(
        self, post_types: Any, group_ids: Any, user_ids: Any, conditions: Any, members: dict[str, Any]
    ) -> None:
        """What is explained is what happens."""
        permissions = EventPermissions(post_types, group_ids, user_ids, conditions)
        event = read_event(json.dumps(members).encode())
        self.assertIs(permissions.explain(event).allowed, permissions.passes(event))


class RateTests(SynchronousTestCase):
    @given(st.integers(1, 5), st.lists(st.floats(0, 3), max_size=60))
    @quick
    def test_never_more(self, most: int, gaps: list[float]) -> None:
        """In no stretch of that length more are let through, and one always is after it."""
        rate, now, passed = Rate(most, 10.0), 0.0, []
        for gap in gaps:
            now += gap
            if rate.acquire(now):
                passed.append(now)
        for at in passed:
            self.assertLessEqual(sum(at <= other < at + 10.0 for other in passed), most)
        self.assertTrue(rate.acquire(now + 10.001))


class BotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, self.clock.seconds)
        self.link: FakeLink = checked_link(self.account)
        self.link.instantly = ok()
        self.account.links.opened(self.link)
        self.answers: list[dict[str, Any]] = []
        self.asks: set[PendingAction] = set()

    def perform(self, bot: Bot, action: str, params: Any = None) -> int:
        text = json.dumps({"action": action, "params": params or {}, "echo": 1}).encode()
        return self.request(bot, read_action(text))

    def request(self, bot: Bot, request: ActionRequest) -> int:
        got: list[dict[str, Any]] = []
        bot.perform(self.account, request, lambda answer, _last: got.append(json.loads(answer)), self.asks)
        [answer] = got
        self.answers.append(answer)
        return int(answer["retcode"])

    def test_forbidden(self) -> None:
        """1403, naming the action, with every suffix; nothing goes up; one line for each action."""
        bot = Bot(BotSettings("agent", actions=AGENT_SETTINGS))
        warnings: list[Any] = []
        self.patch(bot, "_log", type("Log", (), {"warn": lambda _self, *a, **kw: warnings.append(kw)})())
        for action in ("set_group_kick", "set_group_kick_async", "set_group_kick_rate_limited"):
            self.assertEqual(self.perform(bot, action), 1403)
        self.assertIn("set_group_kick", self.answers[0]["message"])
        self.assertEqual((self.link.sent, len(warnings), bot.counters.forbidden), ([], 1, 3))
        self.assertEqual(self.perform(bot, "send_msg"), 0)

    def test_explained_as_performed(self) -> None:
        """What is explained as allowed is sent, and what is not is refused with the retcode of its rule."""
        codes = {"not_connected": 1501, "over_rate": 1429, "too_many_calls": 1429, "name_too_long": 1404}
        bot = Bot(
            BotSettings("agent", actions=ActionSettings(("send_*",), ("send_like",), (4, 60.0))),
            Limits(calls=2),
        )
        event = {"post_type": "message", "message_type": "private", "user_id": 2, "message_id": 3}
        quick = {"context": event, "operation": {"reply": "hi"}}
        seen = set()
        for step in ("send_msg", "send_like", "send_x_async", "x" * 300, ".handle_quick_operation"):
            for down in (False, True):
                if down:
                    self.account.links.closed(self.link, "test")
                decision = bot.explain(self.account, step)
                code = self.perform(bot, step, quick if "quick" in step else {})
                seen.add(decision.code)
                expected = (0, 1) if decision.allowed else (codes.get(decision.code, 1403),)
                self.assertIn(code, expected, (step, down, decision))
                if down:
                    self.link = checked_link(self.account)
                    self.link.instantly = ok()
                    self.account.links.opened(self.link)
                    self.assertTrue(self.account.accepts_actions)
        self.assertLessEqual({"denied", "allowed_by", "not_connected", "name_too_long"}, seen)
        bot.quota(self.account).calls = 2
        self.assertEqual(bot.explain(self.account, "send_msg").code, "too_many_calls")

    def test_duplicate_keys(self) -> None:
        """The action that is checked is the one that goes up."""
        bot = Bot(BotSettings("agent", actions=AGENT_SETTINGS))
        for first, last, code in (("send_msg", "set_restart", 1403), ("set_restart", "send_msg", 0)):
            text = f'{{"action":"{first}","params":{{}},"\\u0061ction":"{last}"}}'.encode()
            self.assertEqual(self.request(bot, read_action(text)), code)
        self.assertEqual(self.link.actions(), ["send_msg"])

    def test_steps_of_quick_operations(self) -> None:
        """Each step is checked as the action that it stands for, by either way."""
        bot = Bot(BotSettings("agent", actions=AGENT_SETTINGS))
        event = {
            "post_type": "message",
            "message_type": "group",
            "group_id": 1,
            "user_id": 2,
            "message_id": 3,
        }
        operation = {"reply": "hi", "kick": True}
        code = self.perform(bot, ".handle_quick_operation", {"context": event, "operation": operation})
        self.assertEqual((code, self.link.actions()), (1403, ["send_group_msg"]))
        self.assertIn("set_group_kick", self.answers[0]["message"])
        bot.perform_quick_operation(self.account, json.dumps(event).encode(), json.dumps(operation).encode())
        self.assertEqual(self.link.actions(), ["send_group_msg", "send_group_msg"])
        self.assertEqual(bot.counters.detached_failures, 1)

    def test_rate(self) -> None:
        """Over its rate 1429, the steps of quick operations counted; another bot has its own."""
        bot, other = (
            Bot(BotSettings("agent", actions=ActionSettings(rate=(3, 60.0)))),
            Bot(BotSettings("other", "t")),
        )
        self.assertEqual([self.perform(bot, "send_msg") for _ in range(5)], [0, 0, 0, 1429, 1429])
        self.assertEqual(self.perform(other, "send_msg"), 0)
        self.clock.advance(60)
        event = {
            "post_type": "message",
            "message_type": "group",
            "group_id": 1,
            "user_id": 2,
            "message_id": 3,
        }
        params = {"context": event, "operation": {"reply": "x", "kick": True, "ban": True, "delete": True}}
        self.assertEqual(self.perform(bot, ".handle_quick_operation", params), 1429)
        self.assertEqual(len(self.link.sent), 3 + 1 + 3)
