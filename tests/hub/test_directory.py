"""Accounts, bots and calls, without any transport."""

from __future__ import annotations

import json
import threading
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lgtwist.config.limits import Limits
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.event import BadEvent
from lgtwist.onebot.message import MessageFormat
from lgtwist.onebot.responses import ok
from lgtwist.websocket.framing import server_frame
from tests.hub.fakes import FakeConnection, checked_link, directory_of
from tests.journal.fakes import Lines


class DirectoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, lambda: 1_700_000_000.5)
        self.bot = Bot(BotSettings("nonebot"), Limits(calls=3))
        self.other = Bot(BotSettings("koishi", "secret", (10001,)))
        self.directory = directory_of([self.account], [self.bot, self.other], self.clock)
        self.link = checked_link(self.account)
        self.account.links.opened(self.link)
        self.answers: list[dict[str, Any]] = []
        self.asks: set[PendingAction] = set()

    def perform(self, action: str, params: Any = None, echo: Any = 1, bot: Bot | None = None) -> None:
        request = ActionRequest(action, json.dumps(params or {}).encode(), json.dumps(echo).encode())
        (bot or self.bot).perform(
            self.account, request, lambda answer, _last: self.answers.append(json.loads(answer)), self.asks
        )

    def codes(self) -> list[int]:
        return [answer["retcode"] for answer in self.answers]


class CallTests(DirectoryTestCase):
    def test_what_goes_up(self) -> None:
        """The action and the very params go up; the answer comes back with the bot's own echo."""
        request = ActionRequest("send_msg", b'{"a" : 1.50}', b'{"seq" : 1}')
        got: list[bytes] = []
        self.bot.perform(self.account, request, lambda answer, _last: got.append(answer), self.asks)
        [(_call_id, action, params)] = self.link.sent
        self.assertEqual((action, params), ("send_msg", b'{"a" : 1.50}'))
        self.link.answer(0, ok(b'{"message_id" : 1.50}'))
        self.assertEqual(
            got,
            [
                b'{"status":"ok","retcode":0,"data":{"message_id" : 1.50},"message":"","wording":"",'
                b'"echo":{"seq" : 1}}'
            ],
        )
        self.assertEqual(self.asks, set())

    def test_L20b_equal_echoes(self) -> None:
        """Calls with the same echo, of one bot and of several, each get their own answer."""
        self.perform("a")
        self.perform("b", bot=self.other)
        self.perform("c")
        for which in (2, 0, 1):
            self.link.answer(which, ok(b'"%d"' % which))
        self.assertEqual([answer["data"] for answer in self.answers], ["2", "0", "1"])
        self.assertEqual(len({call_id for call_id, _a, _p in self.link.sent}), 3)

    def test_a_slow_action_holds_nobody_up(self) -> None:
        """A call that is not answered does not delay one that is."""
        self.perform("slow")
        self.perform("fast", echo="f")
        self.link.answer(1, ok())
        self.assertEqual(self.answers[0]["echo"], "f")

    def test_answers_that_nobody_waits_for(self) -> None:
        """Second, late and unknown answers reach nobody and are counted."""
        self.perform("a")
        self.link.answer(0, ok())
        self.link.answer(0, ok())
        self.account.receive(999, ok())
        self.assertEqual(len(self.answers), 1)
        self.assertEqual(self.account.counters.late_responses, 2)

    def test_no_answer_in_time(self) -> None:
        """1504 after action_timeout, each call by its own time; the late answer is dropped."""
        self.perform("a", echo="first")
        self.clock.advance(30)
        self.perform("b", echo="second")
        self.clock.advance(29)
        self.assertEqual(self.answers, [])
        self.clock.advance(1)
        self.assertEqual([(a["echo"], a["retcode"]) for a in self.answers], [("first", 1504)])
        self.clock.advance(30)
        self.assertEqual(self.codes(), [1504, 1504])
        self.link.answer(0, ok())
        self.assertEqual((len(self.answers), self.account.counters.late_responses), (2, 1))

    def test_one_line_for_each_action_without_an_answer(self) -> None:
        """One when it begins, for each action; one a minute after the last, with the number of the others."""
        lines = Lines(self)
        self.account.set_limits(30.0, 5.0)
        for _ in range(3):  # three calls may be under way
            for name in ("a", "a", "b"):
                self.perform(name)
            self.clock.advance(30)
        self.assertEqual(len(lines.all("no answer to a within 30 s")), 1)
        self.assertEqual(len(lines.all("no answer to b within 30 s")), 1)
        self.clock.pump([10] * 12)
        self.assertEqual(len(lines.all("account 10001: 5 more calls of a ended without an answer")), 1)
        self.assertEqual(len(lines.all("2 more calls of b ended")), 1)
        self.perform("a")
        self.clock.advance(30)
        self.assertEqual(len(lines.all("no answer to a within 30 s")), 2)
        self.account._timeout_log.expired([f"made-up-{number}" for number in range(100)], 30.0)
        self.assertLess(len(lines.all("no answer to")), 60)
        self.account.stop("stops")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_account_that_was_removed_and_added_again(self) -> None:
        """What was under way to the old one is counted no more, and the new one's calls are."""
        self.perform("a")
        quota = self.bot.quota(self.account)
        quota.add_unsent(self.link, object(), 1000)
        self.account.stop("removed")
        self.directory.remove_account(10001)
        again = Account(10001, self.clock, lambda: 1_700_000_000.5)
        self.directory.add_account(again)
        self.assertIs(self.bot.quota(again).account, again)
        self.assertEqual((self.bot.quota(again).calls, self.bot.budget.used), (0, 0))

    def test_no_link(self) -> None:
        """1501 and nothing sent without a link; 1502 for what was under way when it broke."""
        self.perform("under way")
        self.account.links.closed(self.link, "gone")
        self.perform("too late")
        self.assertEqual(self.codes(), [1502, 1501])
        self.assertEqual(self.link.actions(), ["under way"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_older_links_end_does_not_hurt_a_newer_one(self) -> None:
        """The end of a link goes by its identity."""
        newer = checked_link(self.account)
        self.account.links.opened(newer)
        self.account.links.closed(self.link, "late cleanup")
        self.assertTrue(self.account.is_up)

    def test_too_many_in_flight(self) -> None:
        """1429 beyond the bound, for that bot only; an answer makes room again."""
        for _ in range(4):
            self.perform("a")
        self.assertEqual(self.codes(), [1429])
        self.perform("a", bot=self.other)
        self.assertEqual(self.codes(), [1429])
        self.link.answer(0, ok())
        self.perform("a")
        self.assertEqual(self.codes(), [1429, 0])

    def test_an_asker_that_vanishes(self) -> None:
        """Its calls go with it: no answer, no place taken, and the late answer is a stray."""
        for _ in range(3):
            self.perform("a")
        for ask in tuple(self.asks):
            ask.cancel()
        self.link.answer(0, ok())
        self.assertEqual(self.answers, [])
        self.assertEqual(self.account.counters.late_responses, 1)
        for _ in range(3):
            self.perform("b")
        self.assertEqual(self.answers, [])


class QuickTests(DirectoryTestCase):
    def test_async(self) -> None:
        """Answered 1 at once; the action goes up without its suffix, and outlives its asker."""
        self.perform("send_msg_async", {"message": "x"}, "e")
        self.assertEqual(
            self.answers,
            [{"status": "async", "retcode": 1, "data": None, "message": "", "wording": "", "echo": "e"}],
        )
        self.assertEqual(self.link.actions(), ["send_msg"])
        self.assertEqual(self.asks, set())
        self.link.answer(0, b'{"status":"failed","retcode":100}')
        self.assertEqual((len(self.answers), self.bot.counters.detached_failures), (1, 1))
        self.assertEqual(self.bot.quota(self.account).calls, 0)

    def test_rate_limited(self) -> None:
        """One each 500 ms per account, bots served in turn; 1429 beyond 100 that wait."""
        for number in range(3):
            self.perform("a_rate_limited", {"n": number})
        self.perform("b_rate_limited", bot=self.other)
        self.assertEqual(self.codes(), [1] * 4)
        self.assertEqual(self.link.actions(), [])
        self.clock.advance(0)
        self.assertEqual(self.link.actions(), ["a"])
        self.clock.pump([0.5] * 3)
        self.assertEqual(self.link.actions(), ["a", "b", "a", "a"])
        self.link.instantly = ok()
        self.clock.advance(5)
        for which in range(4):
            self.link.answer(which, ok())
        for _ in range(101):
            self.perform("c_rate_limited")
        self.assertEqual(self.codes()[-2:], [1, 1429])

    def test_rate_limited_calls_are_bounded_in_bytes(self) -> None:
        """Few large calls fill the queue as many small ones do; one alone may be large."""
        large = {"message": "x" * (10 << 20)}
        for bot in (self.bot, self.bot, self.other):
            self.perform("a_rate_limited", large, bot=bot)
        self.perform("b_rate_limited")
        self.assertEqual(self.codes(), [1, 1429, 1, 1])

    def test_suffixes_while_the_account_is_down(self) -> None:
        """1501 for both suffixes; a queued call that comes to its turn then is only counted."""
        self.perform("a_rate_limited")
        self.account.links.closed(self.link, "gone")
        self.clock.advance(0)
        self.perform("a_async")
        self.perform("a_rate_limited")
        self.perform(".handle_quick_operation", {"context": {"post_type": "message"}, "operation": {}})
        self.assertEqual(self.codes(), [1, 1501, 1501, 1501])
        self.assertEqual(self.bot.counters.detached_failures, 1)

    def quick(self, context: dict[str, Any], operation: dict[str, Any], suffix: str = "") -> list[Any]:
        """What goes up for a quick operation that is answered with success at once."""
        self.link.instantly = ok()
        self.perform(".handle_quick_operation" + suffix, {"context": context, "operation": operation})
        sent = [(action, json.loads(params)) for _id, action, params in self.link.sent]
        self.link.sent.clear()
        return sent

    GROUP = {"post_type": "message", "message_type": "group", "group_id": 3, "user_id": 2, "message_id": 9}
    PRIVATE = {"post_type": "message", "message_type": "private", "user_id": 2, "message_id": 9}

    def test_steps_of_a_message(self) -> None:
        """Reply first, then delete, kick, ban; the sender is addressed unless that is turned off."""
        at = {"type": "at", "data": {"qq": "2"}}
        text = {"type": "text", "data": {"text": "hi"}}
        space = {"type": "text", "data": {"text": " "}}
        self.assertEqual(
            self.quick(self.GROUP, {"ban": True, "kick": 1, "delete": "true", "reply": [text]}),
            [
                ("send_group_msg", {"group_id": 3, "message": [at, space, text], "auto_escape": False}),
                ("delete_msg", {"message_id": 9}),
                ("set_group_kick", {"group_id": 3, "user_id": 2}),
                ("set_group_ban", {"group_id": 3, "user_id": 2, "duration": 1800}),
            ],
        )
        for operation, message, escape in (
            ({"reply": "hi"}, "[CQ:at,qq=2] hi", False),
            ({"reply": "hi", "at_sender": False}, "hi", False),
            ({"reply": "[x]", "at_sender": False, "auto_escape": True}, "[x]", True),
            ({"reply": "[x]", "auto_escape": True}, [at, {"type": "text", "data": {"text": " [x]"}}], False),
            ({"reply": text}, [at, space, text], False),
        ):
            expected = {"group_id": 3, "message": message, "auto_escape": escape}
            self.assertEqual(self.quick(self.GROUP, operation), [("send_group_msg", expected)])
        self.assertEqual(
            self.quick(self.PRIVATE, {"reply": "hi", "delete": True, "ban": True}),
            [("send_private_msg", {"user_id": 2, "message": "hi", "auto_escape": False})],
        )
        self.assertEqual(self.quick(self.GROUP, {}), [])
        self.assertEqual(set(self.codes()), {0})

    def test_steps_of_a_request(self) -> None:
        """Approve with a remark, refuse with a reason; nothing where nothing is decided."""
        friend = {"post_type": "request", "request_type": "friend", "flag": "f"}
        group = {"post_type": "request", "request_type": "group", "sub_type": "add", "flag": "g"}
        self.assertEqual(
            self.quick(friend, {"approve": True, "remark": "r"}),
            [("set_friend_add_request", {"flag": "f", "approve": True, "remark": "r"})],
        )
        self.assertEqual(
            self.quick(group, {"approve": False, "reason": "no"}),
            [("set_group_add_request", {"flag": "g", "approve": False, "sub_type": "add", "reason": "no"})],
        )
        self.assertEqual(self.quick(group, {}), [])
        self.assertEqual(self.quick({"post_type": "notice"}, {"approve": True}), [])

    def test_all_steps_are_tried_and_one_answer_given(self) -> None:
        """The answer is the first failing step's retcode, the step named."""
        operation = {"reply": "x", "delete": True, "kick": True}
        self.perform(".handle_quick_operation", {"context": self.GROUP, "operation": operation})
        self.link.answer(0, ok())
        self.assertEqual(self.answers, [])
        self.link.answer(1, b'{"status":"failed","retcode":103,"data":null,"wording":"no right"}')
        self.link.answer(2, b'{"status":"failed","retcode":104,"data":null}')
        self.assertEqual(self.link.actions(), ["send_group_msg", "delete_msg", "set_group_kick"])
        self.assertEqual(
            [(a["retcode"], a["message"]) for a in self.answers], [(103, "delete_msg: no right")]
        )

    def test_L63_async_quick_operation(self) -> None:
        """Aiocqhttp's ``.handle_quick_operation_async`` is answered 1 and done."""
        self.assertEqual(len(self.quick(self.PRIVATE, {"reply": "x"}, "_async")), 1)
        self.assertEqual(self.codes(), [1])

    def test_wrong_quick_operations(self) -> None:
        """1400, naming what is missing or wrong."""
        for params, words in (
            ({}, "context"),
            ({"context": {"post_type": "message"}, "operation": {"reply": "x"}}, "user_id"),
            ({"context": self.GROUP, "operation": {"kick": "perhaps"}}, "kick"),
        ):
            self.perform(".handle_quick_operation", params)
            self.assertEqual(self.codes()[-1], 1400)
            self.assertIn(words, self.answers[-1]["message"])

    def test_an_asker_that_vanishes_in_the_middle(self) -> None:
        """No further step is done for it, and no answer given."""
        operation = {"reply": "x", "delete": True}
        self.perform(".handle_quick_operation", {"context": self.GROUP, "operation": operation})
        for ask in tuple(self.asks):
            ask.cancel()
        self.link.answer(0, ok())
        self.assertEqual((self.link.actions(), self.answers), (["send_group_msg"], []))
        self.assertEqual(self.bot.quota(self.account).calls, 0)


class EventTests(DirectoryTestCase):
    def test_encoded_once_for_all(self) -> None:
        """Every subscriber gets the very same frame object; one that fails costs the others nothing."""
        good, bad, late = FakeConnection(), FakeConnection(fails=True), FakeConnection()
        for connection in (good, bad, late):
            self.account.subscribe(connection, MessageFormat.AS_IS, server_frame)
        self.account.publish(b'{"post_type":"message"}')
        self.assertEqual(good.frames, [server_frame(b'{"post_type":"message"}')])
        self.assertIs(good.frames[0], late.frames[0])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_subscriptions(self) -> None:
        """Events come between subscribing and unsubscribing; unsubscribing twice is harmless."""
        connection = FakeConnection()
        self.account.publish(b'{"post_type":"a"}')
        self.account.subscribe(connection, MessageFormat.AS_IS, server_frame)
        self.account.publish(b'{"post_type":"b"}')
        self.account.unsubscribe(connection)
        self.account.unsubscribe(connection)
        self.account.publish(b'{"post_type":"c"}')
        self.assertEqual(connection.frames, [server_frame(b'{"post_type":"b"}')])

    def test_no_event(self) -> None:
        """What is no event is said to whoever published it, and reaches nobody."""
        connection = FakeConnection()
        self.account.subscribe(connection, MessageFormat.AS_IS, server_frame)
        self.assertRaises(BadEvent, self.account.publish, b"[]")
        self.assertEqual((connection.frames, self.account.fan_out.events), ([], 0))

    def test_default_account(self) -> None:
        """The first configured account that a bot may use."""
        second = Account(2, self.clock, lambda: 0.0)
        directory = directory_of([second, self.account], [self.bot, self.other], self.clock)
        self.assertIs(directory.default_account(self.bot), second)
        self.assertIs(directory.default_account(self.other), self.account)
        self.assertIsNone(directory.default_account(Bot(BotSettings("none", None, (3,)))))


class ThreadTests(TestCase):
    """The one door for other threads, with the real reactor."""

    def test_publish_from_several_threads(self) -> None:
        """Every event arrives, in the order of its thread; what is no event is one log line."""
        from twisted.internet import reactor
        from twisted.internet.defer import Deferred

        account = Account(10001, Clock(), lambda: 0.0)
        directory = directory_of([account], [], reactor)
        connection = FakeConnection()
        account.subscribe(connection, MessageFormat.AS_IS, server_frame)
        done: Deferred[None] = Deferred()

        running = set(range(4))

        def finished(name: int) -> None:
            running.discard(name)
            if not running:
                done.callback(None)

        def produce(name: int) -> None:
            for number in range(100):
                directory.publish_from_thread(10001, b'{"post_type":"t%d","n":%d}' % (name, number))
            directory.publish_from_thread(10001, b"nonsense")
            reactor.callFromThread(finished, name)  # type: ignore[attr-defined]

        threads = [threading.Thread(target=produce, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()

        def check(_done: None) -> None:
            for name in range(4):
                mark = b'"t%d"' % name
                mine = [frame for frame in connection.frames if mark in frame]
                expected = [server_frame(b'{"post_type":"t%d","n":%d}' % (name, n)) for n in range(100)]
                self.assertEqual(mine, expected)

        return done.addCallback(check)  # type: ignore[return-value]
