"""What the rules of ``[[alerts]]`` get to see of a service, and how a reload changes them."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.alert_facts import ServiceFacts
from lgtwist.app.alert_reasons import reason_in, reason_words
from lgtwist.app.configuration import Config, parse
from lgtwist.app.reloader import Reloader
from lgtwist.app.service import LgtwistService
from lgtwist.console.reasons import FORMS_BY_CODE
from lgtwist.hub.snapshots import PostFailure, PostingState
from tests.pair import MemoryReactor

NOW = 1_700_000_000.0
TOML = """
[[accounts]]
self_id = 1
[[accounts]]
type = "reverse-websocket"
self_id = 2
[[bots]]
name = "forward"
access_token = "a"
[[bots]]
name = "kept"
access_token = "b"
delivery = "at-least-once"
accounts = [1]
[[bots]]
name = "reverse"
connection = "reverse-websocket"
url = "ws://127.0.0.1:3/"
accounts = [2]
[[bots]]
name = "hook"
connection = "http-post"
url = "http://127.0.0.1:4/"
accounts = [1]
"""
HOOK = '[[alerts]]\nkind = "webhook"\nurl = "http://127.0.0.1:5/alerts"\n'


class Poster:
    """Posts that go as a test says."""

    def __init__(self, failures: int, reason: str) -> None:
        failure = PostFailure(time=NOW, reason=reason) if failures else None
        self.state = PostingState(
            target="", running=True, failures=failures, paused_for=None, last_failure=failure
        )

    def postings(self) -> dict[int, PostingState]:
        return {1: self.state}


class AlertFactsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryReactor()

    def read(self, toml: str) -> Config:
        config = parse(f'data_dir = "{self.data_dir}"\n{toml}')
        assert isinstance(config, Config), config
        return config

    def start(self, toml: str) -> LgtwistService:
        self.data_dir = self.mktemp()
        service = LgtwistService(self.read(toml), self.clock, lambda: NOW + self.clock.seconds())
        service.prepare()
        service.startService()
        self.addCleanup(self.stop, service)
        self.service = service
        self.facts = ServiceFacts(service, lambda: NOW + self.clock.seconds(), self.clock.seconds)
        return service

    def stop(self, service: LgtwistService) -> None:
        stopped = service.stopService()
        self.clock.pump([1.0] * 10)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def bot(self, name: str) -> tuple[bool, float, str]:
        fact = self.facts.facts().bots[name]
        return fact.connected, fact.since - NOW, fact.reason

    def test_accounts(self) -> None:
        """A sandbox is online; an implementation that has not come is not, with the reason."""
        self.start(TOML)
        accounts = self.facts.facts().accounts
        self.assertEqual((accounts[1].online, accounts[1].reason), (True, ""))
        self.assertEqual((accounts[2].online, accounts[2].reason), (False, "it has not connected yet"))
        self.assertEqual(accounts[2].since, NOW)

    def test_bots_from_the_start(self) -> None:
        """A bot that never came is away from the start; what waits for an account is not away."""
        self.start(TOML)
        self.clock.advance(5)
        self.assertEqual(self.bot("forward"), (False, 0.0, "it has not connected yet"))
        self.assertEqual(self.bot("kept"), (False, 0.0, "it has not connected yet"))
        self.assertTrue(self.bot("reverse")[0])  # account 2 was not up yet
        self.assertTrue(self.bot("hook")[0])

    def test_sessions(self) -> None:
        """A bot is there while it has a session; it is away since that ended."""
        service = self.start(TOML)
        bot = service.directory.bots["forward"]
        session: Any = object()
        bot.sessions[session] = None
        self.assertTrue(self.bot("forward")[0])
        self.clock.advance(7)
        bot.sessions.clear()
        self.assertEqual(self.bot("forward")[:2], (False, 7.0))
        self.clock.advance(7)
        self.assertEqual(self.bot("forward")[:2], (False, 7.0))

    def test_http_api(self) -> None:
        """A bot that only asks by HTTP is there for a minute after each request."""
        service = self.start(TOML)
        bot = service.directory.bots["forward"]
        self.assertFalse(self.bot("forward")[0])
        bot.add_http_calls(set())()
        self.assertTrue(self.bot("forward")[0])
        self.clock.advance(50)
        self.assertTrue(self.bot("forward")[0])
        bot.add_http_calls(set())()
        self.assertTrue(self.bot("forward")[0])
        self.clock.advance(61)
        self.assertFalse(self.bot("forward")[0])

    def test_posts(self) -> None:
        """A bot that is posted to is away while posts fail; one answer with an error is no reason."""
        service = self.start(TOML)
        edge = service.bot_edge("hook")
        for failures, reason, there in (
            (0, "", True),
            (1, "HTTP 500", True),
            (3, "HTTP 500", False),
            (1, "connection refused", False),
        ):
            edge.postings = Poster(failures, reason).postings
            self.assertEqual(self.bot("hook")[::2], (there, "" if there else reason))

    def test_lost(self) -> None:
        """Losses are summed by their causes and bots."""
        service = self.start(TOML)
        service.directory.bots["forward"].counters.read_too_slowly = 3
        service.directory.bots["hook"].counters.read_too_slowly = 4
        service.directory.bots["hook"].counters.dropped_events = 9  # five while it was away
        delivery = service.directory.bots["kept"].deliveries[1]
        delivery.counters.expired = 5
        delivery.counters.too_old = 9  # by replay, as somebody wants it
        self.assertEqual(
            self.facts.facts().lost,
            {("retention", "kept"): 5, ("dropped", "forward"): 3, ("dropped", "hook"): 4},
        )
        (backlog,) = self.facts.facts().backlogs
        self.assertEqual((backlog.bot, backlog.account, backlog.events), ("kept", 1, 0))

    def test_tokens(self) -> None:
        """Wrong tokens are counted by address, over the minutes in which they are counted anew."""
        service = self.start(TOML)
        limits = service.port.connection_limits

        def fail(times: int) -> None:
            for _time in range(times):
                limits.authentication_failed("192.0.2.1", "the token is wrong", True)

        self.assertEqual(self.facts.facts().wrong_tokens, {})
        fail(3)
        self.assertEqual(self.facts.facts().wrong_tokens, {"192.0.2.1": 3})
        self.clock.advance(30)
        fail(2)
        self.assertEqual(self.facts.facts().wrong_tokens, {"192.0.2.1": 5})
        self.clock.advance(31)
        fail(4)
        self.assertEqual(self.facts.facts().wrong_tokens, {"192.0.2.1": 9})
        self.clock.advance(61)
        self.assertEqual(self.facts.facts().wrong_tokens, {})

    def test_reload(self) -> None:
        """Entries come and go while it runs; equal ones keep what they know; bots keep theirs."""
        service = self.start(TOML)
        reloader = Reloader(service, maybeDeferred)

        def reload(toml: str) -> str:
            done = reloader.reload(lambda: self.read(toml))
            self.clock.pump([1.0] * 3)
            return self.successResultOf(done).lines[-1]

        self.assertEqual(reload(TOML + HOOK), "reload: alerts[0] added")
        self.clock.pump([1.0] * 100)
        (first,) = service.alerts.entries()
        second = HOOK.replace("/alerts", "/other") + 'on = ["lost"]\n'
        self.assertEqual(reload(TOML + second + HOOK), "reload: alerts[0] changed, alerts[1] added")
        self.assertEqual([one.settings.url[-6:] for one in service.alerts.entries()], ["/other", "alerts"])
        self.clock.pump([1.0] * 30)
        subjects = {one.subject for one in service.alerts.entries()[1].alarms}
        self.assertLessEqual({"2", "forward", "kept"}, subjects)
        self.assertEqual(first.alarms, ())
        self.assertIn("lgtwist_alert_deliveries_total", service.metrics.text().decode())
        self.assertEqual(reload(TOML), "reload: alerts[0] removed, alerts[1] removed")
        self.assertEqual(service.alerts.entries(), [])

    def test_mistakes_change_nothing(self) -> None:
        """A reload with a mistake in [[alerts]] is refused as a whole."""
        found = parse(TOML + HOOK + "after = 5\n")
        assert isinstance(found, list)
        self.assertEqual([problem.path for problem in found], ["alerts[0].after"])

    def test_reasons(self) -> None:
        """Every sentence that the console knows has Chinese words, and its arguments are put in."""
        words = reason_words("zh")
        self.assertEqual(set(FORMS_BY_CODE) - set(words), set())
        self.assertEqual(reason_in("it has not connected yet", "zh"), words["never_connected"])
        self.assertEqual(reason_in("it has not connected yet", "en"), "it has not connected yet")
        self.assertIn("20002", reason_in("its implementation is logged in as 20002, not as 10001", "zh"))
        self.assertEqual(reason_in("something else", "zh"), "something else")
        for code, form in FORMS_BY_CODE.items():
            names = set(re.findall(r"\{(\w+)\}", words[code]))
            self.assertLessEqual(names, {*form.names, "close_code", "link", "by", "text"}, code)
