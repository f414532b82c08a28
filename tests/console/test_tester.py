"""Actions that the operator tries: what is sent, answered, logged and refused, and what a bot may do."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.console.problems import ApiProblem, problem_json
from lgtwist.console.redaction import HIDDEN_VALUE
from lgtwist.console.tester import Tester, hide_secret
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.rate_limit import RateLimiters
from lgtwist.hub.settings import ActionSettings, BotSettings, EventSettings
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.responses import ok
from tests.hub.fakes import FakeLink, checked_link


class TesterCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, self.clock.seconds)
        self.directory = Directory(self.clock)  # type: ignore[arg-type]
        limiters = RateLimiters()
        self.directory.observe(limiters)
        self.directory.add_account(self.account)
        view: Any = SimpleNamespace(directory=self.directory, rate_limiters=limiters, limits=Limits(calls=2))
        self.tester = Tester(view, seconds=self.clock.seconds)
        self.link: FakeLink = checked_link(self.account)
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.keep)
        self.addCleanup(globalLogPublisher.removeObserver, self.keep)

    def keep(self, event: Any) -> None:
        line = formatEvent(event)
        if line.startswith("console: "):
            self.lines.append(line)

    def open(self) -> None:
        self.account.links.opened(self.link)

    def post(self, body: Any) -> Deferred[bytes]:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.tester.post_call(text)

    def answer(self, action: str, params: Any = None) -> Any:
        return json.loads(
            self.successResultOf(self.post({"account": 10001, "action": action, "params": params or {}}))
        )

    def problem(self, body: Any) -> ApiProblem:
        return self.assertRaises(ApiProblem, self.post, body)


class CallTests(TesterCase):
    def test_a_call(self) -> None:
        """The parameters go as they came; the response has its milliseconds, and one line is logged."""
        self.open()
        body = rb'{"account": "10001", "action": "send_msg", "params": {"message" : "a\ud83d", "n": 1e400}}'
        answered = self.post(body)
        self.assertEqual(self.link.sent[0][1:], ("send_msg", rb'{"message" : "a\ud83d", "n": 1e400}'))
        self.clock.advance(0.0124)
        self.assertNoResult(answered)
        self.link.answer(0, ok(b'{"message_id":5}'))
        shown = json.loads(self.successResultOf(answered))
        self.assertEqual((shown["response"]["data"], shown["ms"]), ({"message_id": 5}, 12.4))
        self.assertEqual(self.lines, ["console: send_msg on account 10001"])

    def test_no_params(self) -> None:
        """Missing, null and empty parameters are an empty object, as a bot's."""
        self.open()
        self.link.instantly = ok()
        for more in (b"", b',"params":null', b',"params":[]', b',"params":""', b',"params":{}'):
            self.successResultOf(self.post(b'{"account":10001,"action":"get_x"%b}' % more))
        self.assertEqual([params for _id, _action, params in self.link.sent], [b"{}"] * 5)

    def test_not_connected(self) -> None:
        """What a bot would be answered is shown: 1501 of an account that is down."""
        self.assertEqual(self.answer("send_msg")["response"]["retcode"], 1501)

    def test_the_client_is_gone(self) -> None:
        """A call that nobody waits for is forgotten, and its place is free."""
        self.open()
        calls = [self.post({"account": 10001, "action": "get_x"}) for _ in range(2)]
        self.assertEqual(self.answer("get_x")["response"]["retcode"], 1429)
        calls[0].cancel()
        self.failureResultOf(calls[0], CancelledError)
        self.assertEqual(self.link.forgotten, [self.link.sent[0][0]])
        self.link.answer(0, ok())  # late: it is dropped
        self.assertNoResult(self.post({"account": 10001, "action": "get_x"}))
        self.assertEqual(self.account.calls_in_flight, 2)

    def test_suffixes(self) -> None:
        """``_async`` and ``_rate_limited`` are accepted at once, and made."""
        self.open()
        self.link.instantly = ok()
        for suffix in ("_async", "_rate_limited"):
            self.assertEqual(self.answer("send_msg" + suffix)["response"]["status"], "async")
        self.clock.advance(1)
        self.assertEqual(self.link.actions(), ["send_msg", "send_msg"])

    def test_streams(self) -> None:
        """Of an action that streams the last response is shown, and how many came before."""
        self.open()
        answered = self.post({"account": 10001, "action": "test_download_stream"})
        for kind in ("stream", "stream", "response"):
            self.link.answer(0, ok(b'{"type":"%b"}' % kind.encode()))
        shown = json.loads(self.successResultOf(answered))
        self.assertEqual((shown["response"]["data"], shown["parts"]), ({"type": "response"}, 2))

    def test_secrets_are_hidden(self) -> None:
        """No cookie reaches the page, and neither parameters nor a name with control characters the log."""
        self.open()
        self.link.instantly = ok(b'{"cookies":"SECRET"}').replace(b"{", b'{"more":"SECRET",', 1)
        shown = self.answer("Get_Cookies", {"domain": "PRIVATE"})
        self.assertEqual(shown["response"]["data"], HIDDEN_VALUE)
        self.assertNotIn("SECRET", json.dumps(shown))
        self.answer("x\n\x1b[31m\u202e")
        self.assertNotIn("PRIVATE", "".join(self.lines))
        self.assertTrue(all(line.isprintable() for line in self.lines), self.lines)

    def test_failures_with_secrets(self) -> None:
        """Why it failed is shown all the same."""
        failed = b'{"status":"failed","retcode":1404,"data":null,"message":"no","wording":"no"}'
        shown = {"status": "failed", "retcode": 1404, "data": None, "message": "no"}
        self.assertEqual(json.loads(hide_secret("get_cookies", failed)), shown)
        self.assertIs(hide_secret("get_msg", failed), failed)
        # Names that no catalogue has are secret where live traffic takes them for it.
        for action in ("get_api_key", "get_password_async"):
            self.assertEqual(json.loads(hide_secret(action, ok(b'"x"')))["data"], HIDDEN_VALUE, action)


class RefusalTests(TesterCase):
    def test_bodies_that_cannot_be_read(self) -> None:
        """Each is refused with a sentence, and nothing is sent or logged."""
        self.open()
        good = b'{"account":10001,"action":"x","params":%b}'
        for body, word in (
            (b"", "JSON"),
            (b"\xff", "UTF-8"),
            (b"[]", "object"),
            (b"{", "JSON"),
            (good % b'{"a":NaN}', "JSON"),
            (good % b"[1]", "params"),
            (good % b'"x"', "params"),
            (good % (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "deeply"),
            (b'{"action":"x"}', "account"),
            (b'{"account":1.5,"action":"x"}', "account"),
            (b'{"account":' + b"9" * 9000 + b',"action":"x"}', "account"),
            (b'{"account":true,"action":"x"}', "account"),
            (b'{"account":10001}', "action"),
            (b'{"account":10001,"action":""}', "action"),
            (b'{"account":10001,"action":5}', "action"),
        ):
            problem = self.problem(body)
            self.assertEqual((problem.status, problem.code), (400, "bad_request"), body[:60])
            self.assertIn(word, problem.sentence, body[:60])
        self.assertEqual((self.link.sent, self.lines), ([], []))

    def test_no_such_account(self) -> None:
        """An account that is not configured is 404, with its number among the arguments."""
        problem = self.problem({"account": 5, "action": "get_x"})
        self.assertEqual((problem.status, problem.arguments), (404, {"account": 5}))
        told = json.loads(problem_json(problem))["error"]
        self.assertEqual((told["code"], told["args"]), ("no_such_account", {"account": 5}))
        self.assertIn("there is no account 5", told["sentence"])

    def test_long_names(self) -> None:
        """A name that no action has is answered as a bot's would be."""
        self.open()
        self.assertEqual(self.answer("x" * 5000)["response"]["retcode"], 1404)


class RightsTests(TesterCase):
    def add(self, name: str, **settings: Any) -> Bot:
        bot = Bot(BotSettings(name, **settings))
        self.directory.add_bot(bot)
        return bot

    def rule(self, action: str, bot: str = "agent", account: int = 10001) -> Any:
        body = json.dumps({"bot": bot, "account": account, "action": action}).encode()
        shown = json.loads(self.tester.post_rights(body))
        return shown["allowed"], shown["rule"]["code"], shown["rule"]["args"]

    def test_who_is_not_there(self) -> None:
        """A bot or an account that is not configured, an account of others, one that is down."""
        self.add("agent", accounts=(10001,))
        self.directory.add_account(Account(10002, self.clock, self.clock.seconds))
        self.assertEqual(self.rule("x", bot="nobody"), (False, "no_such_bot", {"bot": "nobody"}))
        self.assertEqual(self.rule("x", account=7), (False, "no_such_account", {"account": 7}))
        self.assertEqual(self.rule("x", account=10002), (False, "account_not_its", {}))
        self.assertEqual(self.rule("x"), (False, "not_connected", {}))
        self.open()
        self.assertEqual(self.rule("x"), (True, "unrestricted", {}))

    def test_patterns(self) -> None:
        """The pattern that decides is named, as it stands in the configuration; suffixes do not count."""
        self.open()
        self.add("agent", actions=ActionSettings(("get_*", "Send_*"), (".get_cookies",)))
        self.assertEqual(self.rule("send_msg_async"), (True, "allowed_by", {"pattern": "Send_*"}))
        self.assertEqual(self.rule("GET_COOKIES"), (False, "denied", {"pattern": ".get_cookies"}))
        self.assertEqual(self.rule("set_restart_rate_limited"), (False, "not_allowed", {}))
        self.assertEqual(self.rule("get_msg?x"), (False, "not_plain_name", {}))
        self.add("other", actions=ActionSettings(None, ("set_*",)))
        self.assertEqual(self.rule("get_msg", bot="other"), (True, "not_denied", {}))

    def test_quick_operations(self) -> None:
        """Each step has its own rights: those that the bot may do are named."""
        self.open()
        self.add("agent", actions=ActionSettings(("send_group_msg", "delete_*")))
        self.add("none", actions=ActionSettings(("get_*",)))
        self.add("all")
        self.assertEqual(
            self.rule(".handle_quick_operation"),
            (True, "quick_operation", {"actions": ["send_group_msg", "delete_msg"]}),
        )
        self.assertEqual(
            self.rule(".handle_quick_operation", bot="none"), (False, "quick_operation", {"actions": []})
        )
        self.assertFalse(self.rule("handle_quick_operation")[0])
        self.assertEqual(self.rule(".handle_quick_operation", bot="all"), (True, "unrestricted", {}))

    def test_nothing_is_sent_or_counted(self) -> None:
        """Asking does not use up the rate, and is in no counter; a rate that is used up is told."""
        self.open()
        bot = self.add("agent", actions=ActionSettings(rate=(1, 60.0)))
        before = repr(bot.counters)
        for _ in range(3):
            self.assertEqual(self.rule("send_msg"), (True, "unrestricted", {}))
        self.assertEqual((repr(bot.counters), self.link.sent, self.lines), (before, [], []))
        self.link.instantly = ok()
        self.perform(bot)
        self.assertEqual(self.rule("send_msg"), (False, "over_rate", {"most": 1, "seconds": 60.0}))
        self.clock.advance(60)
        self.assertTrue(self.rule("send_msg")[0])

    def perform(self, bot: Bot) -> int:
        codes: list[int] = []
        bot.perform(
            self.account,
            ActionRequest("send_msg", b"{}", None),
            lambda response, _last: codes.append(json.loads(response)["retcode"]),
            set(),
        )
        return codes[0]

    def test_what_the_account_answers_itself(self) -> None:
        """``get_status`` is answered while the account is down, but not with a suffix."""
        self.add("agent")
        self.assertTrue(self.rule("get_status")[0])
        self.assertFalse(self.rule("get_status_async")[0])
        self.assertFalse(self.rule("get_login_info")[0])

    def event_rule(self, event: Any, bot: str = "agent", account: int = 10001) -> Any:
        body = json.dumps({"bot": bot, "account": account, "event": event}).encode()
        shown = json.loads(self.tester.post_rights(body))
        return shown["allowed"], shown["rule"]["code"], shown["rule"]["args"]

    def test_events(self) -> None:
        """The list that keeps an event from a bot is named, with the value that is not in it."""
        self.add("all")
        self.add("agent", accounts=(10001,), events=EventSettings(("message",), (1, 2), (7,)))
        self.directory.add_account(Account(10002, self.clock, self.clock.seconds))
        event = {"post_type": "message", "group_id": 1, "user_id": "7", "self_id": 10001}
        self.assertEqual(self.event_rule(event), (True, "in_lists", {}))
        for changes, rule in (
            ({"post_type": "notice"}, ("post_type_not_listed", {"post_type": "notice"})),
            ({"group_id": 3}, ("group_not_listed", {"group_id": 3})),
            ({"group_id": None}, ("group_not_listed", {"group_id": None})),
            ({"user_id": 8}, ("user_not_listed", {"user_id": 8})),
        ):
            self.assertEqual(self.event_rule({**event, **changes}), (False, *rule))
        self.assertEqual(self.event_rule({"post_type": "meta_event"}), (True, "meta_event", {}))
        self.assertEqual(self.event_rule(event, bot="all"), (True, "no_lists", {}))
        self.assertEqual(self.event_rule(event, account=10002), (False, "account_not_its", {}))
        self.assertEqual(self.event_rule(event, bot="x"), (False, "no_such_bot", {"bot": "x"}))
        self.assertEqual(self.event_rule(event, account=7), (False, "no_such_account", {"account": 7}))

    def test_events_that_cannot_be_read(self) -> None:
        self.add("agent")
        for event in ([], "x", {}, {"post_type": 1}, None):
            body = json.dumps({"bot": "agent", "account": 10001, "event": event}).encode()
            problem = self.assertRaises(ApiProblem, self.tester.post_rights, body)
            self.assertEqual((problem.status, problem.code), (400, "bad_request"), event)
        both = {"bot": "agent", "account": 10001, "action": "x", "event": {"post_type": "message"}}
        self.assertRaises(ApiProblem, self.tester.post_rights, json.dumps(both).encode())
