"""What the page of permissions is told of each bot."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console.permissions import ABILITIES, PermissionRoutes, sentence_parts
from lgtwist.filters.conditions import AnyOf, EventConditions
from lgtwist.filters.reading import EventFilter, Grammar
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.settings import ActionSettings, BotSettings, EventSettings
from lgtwist.onebot.catalogue import catalogue


def sentence(**settings: Any) -> dict[str, Any]:
    return {part["code"]: part["args"] for part in sentence_parts(Bot(BotSettings("agent", **settings)))}


class SentenceTests(SynchronousTestCase):
    def test_without_restrictions(self) -> None:
        self.assertEqual(sentence(), {"may_all": {}, "all_events": {}})

    def test_nothing(self) -> None:
        """An empty list is not the same as none."""
        found = sentence(actions=ActionSettings(()), events=EventSettings(("message",), ()))
        self.assertEqual(found, {"may_nothing": {}, "no_events": {}})

    def test_a_leash(self) -> None:
        found = sentence(
            accounts=(10001,),
            actions=ActionSettings(("get_msg", "send_group_msg"), (), (20, 60.0)),
            events=EventSettings(("message",), (1, 2)),
        )
        self.assertEqual(found["may"], {"abilities": ["read", "send"], "partly": ["read", "send"]})
        self.assertEqual(found["may_not"]["abilities"][:2], ["recall", "requests"])
        self.assertEqual(found["rate"], {"most": 20, "seconds": 60.0})
        self.assertEqual(found["accounts"], {"accounts": [10001]})
        self.assertEqual(found["events"], {"post_types": ["message"], "groups": [1, 2], "users": None})

    def test_conditions(self) -> None:
        """They stand in place of all events; what is not asked for is not said."""
        conditions = EventConditions(
            frozenset([2, 1]),
            frozenset(),
            False,
            frozenset(["admin", "owner"]),
            AnyOf(True, prefix=("/", "#")),
        )
        found = sentence(
            events=EventSettings(conditions=conditions),
            filter=EventFilter("{}", Grammar.LLBOT, lambda _subject: True),
        )
        self.assertEqual(
            found,
            {
                "may_all": {},
                "none_of": {"groups": [1, 2], "users": None},
                "no_private": {},
                "only_roles": {"roles": ["owner", "admin"]},
                "only_any_of": {"any_of": {"at_me": True, "prefix": ["/", "#"]}},
                "filter": {"grammar": "llbot"},
            },
        )
        found = sentence(events=EventSettings(("notice",), conditions=EventConditions(private=False)))
        self.assertEqual(list(found), ["may_all", "events", "no_private"])
        self.assertEqual(
            list(sentence(events=EventSettings((), conditions=conditions))), ["may_all", "no_events"]
        )

    def test_one_way_suffices_for_may(self) -> None:
        """That a bot may not kick is said only where no known action lets it."""
        kick = ActionSettings(None, ("set_group_kick",))
        self.assertIn("kick", sentence(actions=kick)["may"]["abilities"])
        kick = ActionSettings(None, ("*kick*", "batch_delete_group_member"))
        self.assertEqual(sentence(actions=kick)["may_not"], {"abilities": ["kick"]})

    def test_the_actions_are_in_the_catalogue(self) -> None:
        known = {entry.name for entry in catalogue()}
        self.assertEqual([name for names in ABILITIES.values() for name in names if name not in known], [])
        self.assertTrue(
            set(ABILITIES["credentials"]) <= {one.name for one in catalogue() if one.answers_secret}
        )


class ListTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = Directory(self.clock)  # type: ignore[arg-type]
        view: Any = SimpleNamespace(directory=self.directory)
        self.permissions = PermissionRoutes(view, self.clock.seconds)

    def add(self, name: str, **settings: Any) -> Bot:
        bot = Bot(BotSettings(name, access_token="S3cret", **settings))
        self.directory.add_bot(bot)
        return bot

    def listed(self) -> dict[str, Any]:
        answer = json.dumps(self.permissions.list())
        self.assertNotIn("S3cret", answer)
        read: dict[str, Any] = json.loads(answer)
        return read

    def test_groups(self) -> None:
        """Of each group of the catalogue it is told how much a bot may use, and what, where it is some."""
        self.add("all")
        self.add("reader", actions=ActionSettings(("get_*", "send_packet")))
        answer = self.listed()
        self.assertEqual([bot["bot"] for bot in answer["bots"]], ["all", "reader"])
        groups = [group["name"] for group in answer["groups"]]
        every, some = ({each["group"]: each for each in bot["groups"]} for bot in answer["bots"])
        self.assertEqual(list(every), groups)
        self.assertEqual(sum(each["all"] for each in every.values()), len(catalogue()))
        for each in every.values():
            self.assertEqual((each["allowed"], "only" in each, "but" in each), (each["all"], False, False))
        self.assertIn("get_msg", some["message"]["only"])
        self.assertIn("delete_friend", some["people"]["but"])
        self.assertEqual(some["message"]["allowed"], len(some["message"]["only"]))

    def test_what_stands_in_the_configuration(self) -> None:
        self.add(
            "agent",
            accounts=(10001,),
            actions=ActionSettings(None, ("set_*",)),
            events=EventSettings(("message",), (1,), ()),
        )
        bot = self.listed()["bots"][0]
        self.assertEqual((bot["accounts"], bot["allow"], bot["deny"]), ([10001], None, ["set_*"]))
        self.assertEqual(bot["events"], {"post_type": ["message"], "group_id": [1], "user_id": []})
        self.assertEqual((bot["rate"], bot["conditions"], bot["filter"]), (None, None, None))
        self.add("agent 2", events=EventSettings(conditions=EventConditions(any_of=AnyOf(keyword=("x",)))))
        self.assertEqual(
            self.listed()["bots"][1]["conditions"],
            {
                "deny": {"group_id": [], "user_id": []},
                "private": True,
                "roles": None,
                "any_of": {"keyword": ["x"]},
            },
        )

    def test_what_is_left_of_the_rate_now(self) -> None:
        """Reading it uses nothing up; it comes back as time goes by."""
        bot = self.add("agent", actions=ActionSettings(rate=(2, 60.0)))
        rate = bot.rate
        assert rate is not None
        self.clock.advance(100)
        for left in (2, 1):
            for _ in range(2):
                shown = self.listed()["bots"][0]["rate"]
                self.assertEqual(shown, {"most": 2, "seconds": 60.0, "left": left, "wait": 0.0})
            self.assertTrue(rate.acquire(self.clock.seconds()))
            self.clock.advance(10)
        self.assertEqual(
            self.listed()["bots"][0]["rate"], {"most": 2, "seconds": 60.0, "left": 0, "wait": 40.0}
        )
        self.clock.advance(40)
        self.assertEqual(self.listed()["bots"][0]["rate"]["left"], 1)

    def test_another_configuration(self) -> None:
        """What is told follows the settings, without a restart."""
        bot = self.add("agent")
        self.assertEqual(self.listed()["bots"][0]["sentence"][0]["code"], "may_all")
        bot.configure(BotSettings("agent", actions=ActionSettings(())))
        shown = self.listed()["bots"][0]
        self.assertEqual((shown["sentence"][0]["code"], shown["allow"]), ("may_nothing", []))

    def test_long_lists(self) -> None:
        """A list is cut, and that it is cut is told: a form must not write the rest away."""
        self.add("short", events=EventSettings(None, None, tuple(range(1, 501))))
        self.add("long", events=EventSettings(None, None, tuple(range(1, 502))))
        short, long = self.listed()["bots"]
        self.assertEqual((short["cut"], long["cut"]), (False, True))
        self.assertEqual(short["events"]["user_id"], long["events"]["user_id"])

    def test_many_bots(self) -> None:
        for number in range(60):
            self.add(f"bot{number}")
        answer = self.listed()
        self.assertEqual((len(answer["bots"]), answer["more"]), (50, 10))
