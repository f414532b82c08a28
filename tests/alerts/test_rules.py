"""When something is told, and when it is over."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import Alert, Rule
from lgtwist.alerts.interfaces import AccountFact, BacklogFact, BotFact, Facts
from lgtwist.alerts.rules import Rules
from lgtwist.alerts.settings import AlertSettings, ReceiverKind

#: The wall clock at second 0 of a test.
EPOCH = 1_700_000_000.0


def account(online: bool, since: float = 0.0, reason: str = "") -> Facts:
    """The facts of one account."""
    return Facts(accounts={10001: AccountFact(online, EPOCH + since, reason)})


def bot(connected: bool, since: float = 0.0) -> Facts:
    """The facts of one bot."""
    return Facts(bots={"nonebot": BotFact(connected, EPOCH + since, "" if connected else "it left")})


class RulesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.set_up()

    def set_up(self, **changes: Any) -> None:
        """Begin with other settings."""
        settings = AlertSettings(ReceiverKind.WEBHOOK, "http://127.0.0.1:9/", after=60.0)
        self.rules = Rules(evolve(settings, **changes))

    def look(self, facts: Facts, seconds: int = 1) -> list[Alert]:
        """Look once a second for so long; return all that was found."""
        found = []
        for _second in range(seconds):
            found += self.rules.look(facts, self.now, EPOCH + self.now)
            self.now += 1.0
        return found

    def words(self, facts: Facts, seconds: int = 1) -> list[tuple[str, str, bool]]:
        """Look, and return the rule, the subject and whether it begins, of all that was found."""
        return [(one.rule.value, one.subject, one.begins) for one in self.look(facts, seconds)]

    # -- accounts and bots

    def test_offline_for_longer_than_after(self) -> None:
        """It is told once, when it has lasted, with its beginning and its reason; so is its end."""
        self.assertEqual(self.look(account(True), 100), [])
        offline = account(False, 100.0, "connection refused")
        self.assertEqual(self.look(offline, 60), [])
        (alert,) = self.look(offline, 600)
        self.assertEqual(
            alert, Alert(Rule.OFFLINE, "10001", True, EPOCH + 100, "connection refused", alert.values)
        )
        self.assertEqual(self.rules.alarms(), (alert,))
        (over,) = self.look(account(True, 760.0), 600)
        self.assertEqual((over.rule, over.subject, over.begins), (Rule.OFFLINE, "10001", False))
        self.assertEqual(over.since, EPOCH + 760)
        self.assertEqual(over.values["lasted"], 660)
        self.assertEqual(self.rules.alarms(), ())

    def test_blip(self) -> None:
        """What is shorter than ``after`` is not told, and its end neither, however often it happens."""
        for _time in range(20):
            self.assertEqual(self.look(account(False), 55), [])
            self.assertEqual(self.look(account(True), 5), [])

    def test_newest_reason(self) -> None:
        """The reason is the one at the time when it is told."""
        self.look(account(False, 0.0, "the first"), 50)
        (alert,) = self.look(account(False, 50.0, "the second"), 20)
        self.assertEqual((alert.reason, alert.since), ("the second", EPOCH))

    def test_away(self) -> None:
        """So are bots told."""
        self.assertEqual(self.words(bot(False), 60), [])
        self.assertEqual(self.words(bot(False), 60), [("away", "nonebot", True)])
        self.assertEqual(self.words(bot(True), 60), [("away", "nonebot", False)])

    def test_nothing_after_start(self) -> None:
        """What was wrong before the first look is told when ``after`` has passed since then."""
        long_ago = account(False, -5000.0)
        self.assertEqual(self.look(long_ago, 60), [])
        (alert,) = self.look(long_ago, 5)
        self.assertEqual(alert.since, EPOCH - 5000)

    def test_flapping(self) -> None:
        """What goes on and off for hours is told a few times only."""
        told = []
        for _time in range(150):  # five hours
            told += self.words(account(False), 70)
            told += self.words(account(True), 50)
        self.assertLess(len(told), 20)
        self.assertGreater(len(told), 1)
        self.assertEqual(told[-1][2], True)
        self.assertEqual(self.words(account(True), 1900), [("offline", "10001", False)])

    def test_short_return(self) -> None:
        """After an alarm, a return that does not last is not told."""
        self.look(account(False), 100)
        self.assertEqual(self.look(account(True), 20), [])
        self.assertEqual(self.look(account(False), 300), [])
        self.assertEqual(self.words(account(True), 31), [("offline", "10001", False)])

    def test_removed(self) -> None:
        """What is removed is forgotten without a word; what comes anew begins anew."""
        self.look(account(False), 100)
        self.assertEqual(self.look(Facts(), 100), [])
        self.assertEqual(self.rules.alarms(), ())
        self.assertEqual(self.look(account(False), 60), [])
        self.assertEqual(self.words(account(False), 5), [("offline", "10001", True)])

    def test_only_some(self) -> None:
        """``accounts``, ``bots`` and ``on`` choose what is told."""
        facts = Facts(
            accounts={number: AccountFact(False, EPOCH) for number in (10001, 10002)},
            bots={name: BotFact(False, EPOCH) for name in ("a", "b")},
            backlogs=tuple(BacklogFact(name, n, 9999, None) for name in "ab" for n in (10001, 10002)),
            journal="disk full",
        )
        self.set_up(accounts=(10002,), bots=("a",))
        self.assertEqual(
            sorted(self.words(facts, 100)),
            [
                ("away", "a", True),
                ("backlog", "a", True),
                ("journal", "", True),
                ("offline", "10002", True),
            ],
        )
        self.set_up(on=frozenset({Rule.JOURNAL}))
        self.assertEqual(self.words(facts, 100), [("journal", "", True)])

    def test_standing_still(self) -> None:
        """A machine that slept, or a process that was stopped, tells nothing for what it did not see."""
        self.look(account(True), 100)
        self.now += 7200.0
        self.assertEqual(self.look(account(False), 55), [])
        self.assertEqual(self.look(account(True), 100), [])
        self.look(account(False), 10)
        self.now += 7200.0
        self.assertEqual(self.look(account(False), 40), [])
        self.assertEqual(self.words(account(False), 30), [("offline", "10001", True)])

    def test_wall_clock_set(self) -> None:
        """A wall clock that is set, in either direction, tells nothing and hides nothing."""
        for seconds in (-1e6, 1e6):
            self.set_up()
            found = []
            for second in range(59):
                wall = EPOCH + second + (seconds if second > 30 else 0)
                found += self.rules.look(account(False), float(second), wall)
            self.assertEqual(found, [])
            found = self.rules.look(account(False), 61.0, EPOCH + 61 + seconds)
            self.assertEqual(len(found), 1)
            for second in range(62, 100):
                found += self.rules.look(account(True), float(second), EPOCH)
            self.assertEqual(len(found), 2)
            self.assertGreaterEqual(found[1].values["lasted"], 0)

    # -- the journal

    def backlog(self, events: int) -> Facts:
        """The facts of one delivery."""
        return Facts(backlogs=(BacklogFact("nonebot", 10001, events, EPOCH - 60),))

    def test_backlog(self) -> None:
        """A backlog over the bound is told; it is over when half of the bound is left."""
        self.assertEqual(self.look(self.backlog(1000), 200), [])
        (alert,) = self.look(self.backlog(1001), 100)
        self.assertEqual((alert.rule, alert.subject), (Rule.BACKLOG, "nonebot"))
        self.assertEqual(alert.values, {"account": 10001, "backlog": 1001, "oldest": EPOCH - 60})
        for events in (990, 1010) * 10:
            self.assertEqual(self.look(self.backlog(events), 20), [])
        self.assertEqual(self.look(self.backlog(501), 100), [])
        (over,) = self.look(self.backlog(500), 40)
        self.assertFalse(over.begins)
        self.assertEqual(over.values["account"], 10001)

    def test_burst(self) -> None:
        """A backlog that is worked off within ``after`` is nothing."""
        self.look(self.backlog(0), 100)
        self.assertEqual(self.look(self.backlog(50_000), 50), [])
        self.assertEqual(self.look(self.backlog(0), 100), [])

    def test_journal(self) -> None:
        """A journal that cannot be written is told with its reason; one that is slow once is not."""
        self.look(Facts(), 100)
        self.assertEqual(self.look(Facts(journal="disk full"), 50), [])
        self.assertEqual(self.look(Facts(), 50), [])
        (alert,) = self.look(Facts(journal="disk full"), 70)
        self.assertEqual((alert.rule, alert.reason), (Rule.JOURNAL, "disk full"))
        self.assertEqual(self.words(Facts(), 31), [("journal", "", False)])

    # -- losses

    def test_losses(self) -> None:
        """Lost events are told at once; how many there were, when none was lost for five minutes."""
        self.assertEqual(self.look(Facts(lost={("retention", "nonebot"): 7}), 100), [])
        (alert,) = self.look(Facts(lost={("retention", "nonebot"): 10}), 1)
        self.assertEqual((alert.rule, alert.begins), (Rule.LOST, True))
        self.assertEqual(alert.values, {"cause": "retention", "events": 3})
        for count in range(11, 40):
            self.assertEqual(self.look(Facts(lost={("retention", "nonebot"): count}), 20), [])
        self.assertEqual(self.look(Facts(lost={("retention", "nonebot"): 39}), 270), [])
        (over,) = self.look(Facts(lost={("retention", "nonebot"): 39}), 300)
        self.assertEqual((over.rule, over.begins, over.values["events"]), (Rule.LOST, False, 32))
        (again,) = self.look(Facts(lost={("retention", "nonebot"): 40}), 1)
        self.assertEqual(again.values["events"], 1)

    def test_losses_after_start(self) -> None:
        """What is lost right after the start is told at once; what was lost before the first look is not."""
        self.assertEqual(self.look(Facts(lost={("journal", ""): 5}), 1), [])
        (alert,) = self.look(Facts(lost={("journal", ""): 9}), 1)
        self.assertEqual((alert.subject, alert.values["events"]), ("", 4))

    def test_losses_of_some(self) -> None:
        """They are told by bot, and of those only that the entry is about."""
        self.set_up(bots=("nonebot",))
        self.look(Facts(), 5)
        lost = {("dropped", "nonebot"): 1, ("dropped", "other"): 2, ("refused", "nonebot"): 3}
        found = self.look(Facts(lost=lost), 5)
        self.assertEqual(
            [(one.subject, one.values["events"]) for one in found], [("nonebot", 1), ("nonebot", 3)]
        )
        self.assertEqual(len(self.rules.alarms()), 2)
        self.assertEqual(self.look(Facts(), 5), [])  # the bot was removed
        self.assertEqual(self.rules.alarms(), ())

    def test_losses_of_removed(self) -> None:
        """A count becomes smaller with a bot that is removed, and goes on from there."""
        self.look(Facts(lost={("dropped", "nonebot"): 100}), 100)
        self.assertEqual(self.look(Facts(lost={("dropped", "nonebot"): 40}), 5), [])
        (alert,) = self.look(Facts(lost={("dropped", "nonebot"): 42}), 5)
        self.assertEqual(alert.values["events"], 2)

    # -- tokens

    def test_guesses(self) -> None:
        """Ten wrong tokens of one address within a minute are told, once for all addresses."""
        self.look(Facts(), 1)
        self.assertEqual(self.look(Facts(wrong_tokens={"192.0.2.1": 9}), 70), [])
        self.assertEqual(self.look(Facts(wrong_tokens={"192.0.2.1": 10}), 1), [])
        (alert,) = self.look(Facts(wrong_tokens={"192.0.2.1": 20, "192.0.2.2": 5}), 1)
        self.assertEqual((alert.rule, alert.begins), (Rule.TOKENS, True))
        self.assertEqual(alert.values, {"addresses": ["192.0.2.1"], "more": 0, "wrong": 11})
        many = {f"192.0.2.{last}": 1000 for last in range(200)}
        self.assertEqual(self.look(Facts(wrong_tokens=many), 100), [])
        self.assertEqual(self.look(Facts(), 200), [])
        self.assertEqual(self.words(Facts(), 200), [("tokens", "", False)])

    def test_slow_mistake(self) -> None:
        """A program with a wrong token that tries every ten seconds is nobody who guesses."""
        for count in range(100):
            self.assertEqual(self.look(Facts(wrong_tokens={"192.0.2.1": count}), 10), [])

    def test_many_addresses(self) -> None:
        """What many addresses do is bounded, and the message names five of them."""
        self.look(Facts(), 100)
        many = {f"2001:db8::{number:x}": 10 + number for number in range(5000)}
        (alert,) = self.look(Facts(wrong_tokens=many), 1)
        self.assertEqual(len(alert.values["addresses"]), 5)
        self.assertEqual(alert.values["more"], 995)
