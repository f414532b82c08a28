"""What carries an account may change under its bots: sessions, deliveries and subscriptions stay."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.interfaces import IAccount, IAccountLink, IBacking
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.event import read_event
from lgtwist.onebot.message import MessageFormat
from lgtwist.onebot.responses import ok
from tests.hub.fakes import FakeConnection, checked_link


@implementer(IBacking)
class FakeBacking:
    """Up from the start, with a link that writes down what it is sent."""

    def __init__(self, account: Account, online: bool = True) -> None:
        self.account = account
        self.link = checked_link(account)
        self.action_link: Any = self.link
        self.is_up = True
        self.online = online
        self.offline_reason = "" if online else "it says that it is offline"
        self.via = " (elsewhere)"
        self.released: list[str] = []

    def release(self, reason: str) -> None:
        self.released.append(reason)
        self.action_link = None
        self.is_up = self.online = False

    def event(self, n: int) -> None:
        self.account.fan_out.publish(read_event(b'{"post_type":"notice","n":%d}' % n))


class BackingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, self.clock.seconds)
        self.bot = Bot(BotSettings("nonebot"))
        self.answers: list[dict[str, Any]] = []
        self.in_flight: set[PendingAction] = set()

    def perform(self, action: str) -> None:
        self.bot.perform(
            self.account,
            ActionRequest(action, b"{}", b"1"),
            lambda answer, _last: self.answers.append(json.loads(answer)),
            self.in_flight,
        )

    def test_interfaces(self) -> None:
        """The account, its own links and the stand-in are what they say they are."""
        verifyObject(IAccount, self.account)
        verifyObject(IBacking, self.account.links)
        backing = FakeBacking(self.account)
        verifyObject(IBacking, backing)
        verifyObject(IAccountLink, backing.link)

    def test_bots_stay_whatever_changes(self) -> None:
        """A subscription made under one backing gets the events of the next; actions go to the next."""
        first, second = FakeBacking(self.account), FakeBacking(self.account)
        connection = FakeConnection()
        self.account.subscribe(connection, MessageFormat.AS_IS, bytes)
        self.account.take(first)
        first.event(1)
        self.perform("send_msg")
        self.account.take(second)
        second.event(2)
        self.perform("send_like")
        self.assertEqual([json.loads(frame)["n"] for frame in connection.frames], [1, 2])
        self.assertEqual(first.link.actions(), ["send_msg"])
        self.assertEqual(second.link.actions(), ["send_like"])
        self.assertEqual(len(first.released), 1)
        self.assertEqual(second.released, [])

    def test_calls_under_way_end_once(self) -> None:
        """They end as 1502; a response that the old backing still gives is counted as late."""
        first, second = FakeBacking(self.account), FakeBacking(self.account)
        self.account.take(first)
        self.perform("send_msg")
        self.account.take(second)
        self.assertEqual([answer["retcode"] for answer in self.answers], [1502])
        first.link.answer(0, ok())
        self.assertEqual(len(self.answers), 1)
        self.assertEqual(self.account.counters.late_responses, 1)
        self.assertEqual(self.in_flight, set())

    def test_what_bots_see_of_it(self) -> None:
        """Up, then up but offline, then down: as the backing of the moment says."""
        self.account.take(FakeBacking(self.account))
        self.assertTrue(self.account.online)
        self.account.take(FakeBacking(self.account, online=False))
        self.assertTrue(self.account.is_up)
        self.assertFalse(self.account.online)
        self.assertEqual(self.account.reason, "it says that it is offline")
        self.account.take(self.account.links)
        self.assertFalse(self.account.is_up)
        self.perform("send_msg")
        self.assertEqual(self.answers[-1]["retcode"], 1501)

    def test_back_to_this_node(self) -> None:
        """The links of this node carry it again after another backing had it."""
        backing = FakeBacking(self.account)
        self.account.take(backing)
        self.account.take(self.account.links)
        link = checked_link(self.account)
        self.account.links.opened(link)
        self.assertTrue(self.account.online)
        self.perform("send_msg")
        self.assertEqual(link.actions(), ["send_msg"])
        self.assertEqual(self.clock.getDelayedCalls()[1:], [])
