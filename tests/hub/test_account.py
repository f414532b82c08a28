"""An account's links, whose it is, whether it is online, and what lgtwist answers for it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.interfaces import Channel
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.dialect import Dialect
from lgtwist.onebot.event import read_event
from lgtwist.onebot.message import MessageFormat
from lgtwist.onebot.responses import ok
from lgtwist.websocket.framing import server_frame
from tests.hub.fakes import FakeConnection, FakeLink, checked_link
from tests.rounds import quick


class AccountTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, self.clock.seconds)
        self.bot = Bot(BotSettings("nonebot"), Limits(send_buffer=1000))
        self.answers: list[dict[str, Any]] = []
        self.asks: set[PendingAction] = set()

    def link(self, channel: Channel = Channel.BOTH, **introductions: bytes | None) -> FakeLink:
        """A link that is open. An introduction that is None is never given."""
        link: FakeLink = checked_link(self.account)
        for action, answer in introductions.items():
            if answer is None:
                del link.introductions[action]
            else:
                link.introductions[action] = answer
        self.account.links.opened(link, channel)
        return link

    def perform(self, action: str, params: bytes = b"{}", echo: Any = 1, bot: Bot | None = None) -> None:
        request = ActionRequest(action, params, json.dumps(echo).encode())

        def reply(response: bytes, last: bool) -> None:
            self.answers.append({**json.loads(response), "last": last})

        (bot or self.bot).perform(self.account, request, reply, self.asks)

    def codes(self) -> list[int]:
        return [answer["retcode"] for answer in self.answers]

    def hear(self, **event: Any) -> None:
        self.account.links.event_received(read_event(json.dumps({"self_id": 10001, **event}).encode()))


class LineTests(AccountTestCase):
    def test_an_implementation_that_cannot_make_up_its_mind(self) -> None:
        """Online, offline and online again in each heartbeat: 1000 lines, and one for the rest."""
        seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.link()
        for number in range(2001):
            self.account.links.status_received(number % 2 == 1)
        self.clock.advance(30)
        lines = [text for text in map(formatEvent, seen) if text.startswith("account 10001 ")]
        self.assertEqual((len(lines), lines[1][:27]), (1001, "account 10001 is offline: i"))
        self.assertEqual(
            lines[-1],
            f"account 10001 came or went 1002 more times; now it is not online: {self.account.reason}",
        )


class IdentityTests(AccountTestCase):
    def test_up_once_it_has_said_who_it_is(self) -> None:
        """Before the implementation has said whose account it is nothing is sent; afterwards it is up."""
        calls: list[bool] = []
        self.account.when_up(lambda: calls.append(self.account.is_up))
        link = self.link(get_login_info=None)
        self.assertEqual((self.account.is_up, self.account.accepts_actions), (False, False))
        self.perform("send_msg")
        self.assertEqual(self.codes(), [1501])
        link.answer(0, b'{"status":"ok","retcode":0,"data":{"user_id":"10001"}}')
        self.assertEqual((self.account.is_up, self.account.online, calls), (True, True, [True]))

    def test_login_info_of_megabytes(self) -> None:
        """Of very long data of get_login_info only the number is kept for the time when it is down."""
        data = b'{"status":"ok","retcode":0,"data":{"user_id":10001,"nickname":"%b"}}' % (b"x" * 1_000_000)
        self.link(get_login_info=data)
        self.assertTrue(self.account.is_up)
        self.assertEqual(self.account.login_info, b'{"user_id":10001,"nickname":""}')

    def test_another_account(self) -> None:
        """A link to another account is refused, and ended; nothing was sent on it."""
        link = self.link(get_login_info=b'{"status":"ok","retcode":0,"data":{"user_id":5}}')
        self.assertEqual(
            (self.account.is_up, link.closed is not None and link.closed[0] == 1008), (False, True)
        )
        self.assertIn("logged in as 5", self.account.reason)
        self.perform("send_msg")
        self.assertEqual((self.codes(), link.sent), ([1501], []))

    def test_it_cannot_say(self) -> None:
        """Who cannot say yet is asked again, while its link stays."""
        link = self.link(get_login_info=b'{"status":"failed","retcode":1400,"data":null}')
        self.assertIs(self.account.is_up, False)
        link.introductions["get_login_info"] = ok(b'{"user_id":10001}')
        self.clock.advance(5.1)
        self.assertIs(self.account.is_up, True)
        self.assertIsNone(link.closed)

    def test_words_that_are_never_the_same(self) -> None:
        """However many reasons an implementation invents, few lines are written, and one again later."""
        lines: list[Any] = []
        self.patch(
            self.account.links, "_log", type("Log", (), {"warn": lambda _self, *a, **kw: lines.append(kw)})()
        )
        link = self.link(get_login_info=None)
        for number in range(60):
            link.answer(number, b'{"status":"failed","retcode":%d}' % (100 + number))
            self.clock.advance(5.1)
        self.assertLess(len(lines), 50)
        self.assertGreater(len(lines), 8)

    def test_who_waits_for_it(self) -> None:
        """One of those who wait that fails does not take the others with it."""
        calls: list[int] = []
        self.account.when_up(lambda: 1 // 0)
        self.account.when_up(lambda: calls.append(1))
        self.link()
        self.assertEqual((calls, len(self.flushLoggedErrors(ZeroDivisionError))), ([1], 1))

    def test_it_never_says(self) -> None:
        """A question without an answer is asked again after 5 s; one line says what is waited for."""
        seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        link = self.link(get_login_info=None)
        self.clock.advance(5.1)
        self.assertEqual(self.account.reason, "its implementation has not answered get_login_info")
        link.introductions["get_login_info"] = ok(b'{"user_id":10001}')
        self.clock.advance(5.1)
        self.assertIs(self.account.is_up, True)
        lines = [text for text in map(formatEvent, seen) if "not up yet" in text]
        self.assertEqual(len(lines), 1, lines)

    def test_it_answers_late(self) -> None:
        """An answer to any of the questions will do, and those that come later change nothing."""
        link = self.link(get_login_info=None)
        for _ in range(4):
            self.clock.advance(5.1)
        self.assertEqual(link.actions(), ["get_login_info"] * 5)
        link.answer(1, ok(b'{"user_id":10001}'))
        self.assertIs(self.account.is_up, True)
        link.answer(2, ok(b'{"user_id":5}'))
        link.answer(3, b'{"status":"failed","retcode":1}')
        self.clock.advance(100)
        self.assertEqual((self.account.is_up, link.actions().count("get_login_info")), (True, 5))

    def test_it_is_not_flooded(self) -> None:
        """Of questions that are never answered there are few at a time, and no line for each."""
        self.account.set_limits(86400.0, 5.0)
        seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        link = self.link(get_login_info=None)
        for _ in range(500):
            self.clock.advance(5.1)
        self.assertEqual((len(link.sent), len(seen)), (12, 1))
        self.account.links.closed(link, "gone")
        self.assertEqual(self.clock.getDelayedCalls()[1:], [])

    def test_odd_numbers(self) -> None:
        """The account's number may be a string or a float; before the login it is 0, which is nobody's."""
        for number, up in ((b'"10001"', True), (b"10001.0", True), (b"0", False), (b'""', False)):
            self.setUp()
            link = self.link(get_login_info=ok(b'{"user_id":%b}' % number))
            self.assertEqual((self.account.is_up, link.closed), (up, None), number)

    def test_the_dialect(self) -> None:
        """It is recognised by the implementation's name, unless the configuration names it."""
        self.link(get_version_info=ok(b'{"app_name":"NapCat.Onebot","app_version":"4"}'))
        self.assertEqual(
            (self.account.dialect, self.account.links.version.app_version), (Dialect.NAPCAT, "4")
        )
        self.link(get_version_info=ok(b'{"app_name":" LLOneBot","app_version":4.5}'))
        self.assertEqual(
            (self.account.dialect, self.account.links.version.app_version), (Dialect.LLBOT, "4.5")
        )
        self.link(get_version_info=ok(b'{"app_name":null,"app_version":[]}'))
        self.assertIs(self.account.dialect, Dialect.ONEBOT11)
        self.account = Account(10001, self.clock, self.clock.seconds, dialect=Dialect.LAGRANGE)
        self.link(get_version_info=ok(b'{"app_name":"NapCat.Onebot"}'))
        self.assertIs(self.account.dialect, Dialect.LAGRANGE)


class DownTests(AccountTestCase):
    def test_what_lgtwist_answers_itself(self) -> None:
        """get_status and get_login_info are answered while it is down, all else is 1501."""
        self.perform("get_status")
        self.perform("get_login_info")
        self.assertEqual(self.codes(), [0, 1501])
        self.assertEqual(self.answers[0]["data"], {"online": False, "good": False})
        link = self.link()
        self.account.links.closed(link, "gone")
        for action in ("get_status", "get_login_info", "get_group_list", "send_msg_async"):
            self.perform(action)
        self.assertEqual(self.codes()[2:], [0, 0, 1501, 1501])
        self.assertEqual(self.answers[3]["data"], {"user_id": 10001, "nickname": "Robot"})

    def test_offline_by_its_own_word(self) -> None:
        """Where only the implementation says that it is offline, all but get_status goes up."""
        link = self.link()
        self.hear(post_type="notice", notice_type="bot_offline")
        self.perform("get_status")
        self.perform("get_login_info")
        self.perform("send_msg")
        self.assertEqual(self.answers[0]["data"]["online"], False)
        self.assertEqual(link.actions(), ["get_login_info", "send_msg"])


class HalvesTests(AccountTestCase):
    def test_without_events(self) -> None:
        """With the actions' channel alone actions work, and the account is not up."""
        link = self.link(Channel.ACTIONS)
        self.perform("send_msg")
        self.assertEqual(
            (link.actions(), self.account.is_up, self.account.online), (["send_msg"], False, False)
        )
        self.link(Channel.EVENTS)
        self.assertEqual((self.account.is_up, self.account.online), (True, True))

    def test_without_actions(self) -> None:
        """With the events' channel alone events arrive, and actions are 1501."""
        self.link(Channel.EVENTS)
        bot = FakeConnection()
        self.account.subscribe(bot, MessageFormat.AS_IS, server_frame)
        self.hear(post_type="message")
        self.perform("send_msg")
        self.assertEqual((len(bot.frames), self.codes(), self.account.is_up), (1, [1501], False))

    def test_takeovers(self) -> None:
        """A newer link takes over from all that carried what it carries, and from nothing else."""
        for first, second, ended in (
            ([Channel.BOTH], Channel.BOTH, [True]),
            ([Channel.ACTIONS, Channel.EVENTS], Channel.BOTH, [True, True]),
            ([Channel.BOTH], Channel.ACTIONS, [True]),
            ([Channel.BOTH], Channel.EVENTS, [True]),
            ([Channel.ACTIONS, Channel.EVENTS], Channel.EVENTS, [False, True]),
            ([Channel.ACTIONS, Channel.EVENTS], Channel.ACTIONS, [True, False]),
        ):
            self.account = Account(10001, self.clock, self.clock.seconds)
            links = [self.link(channel) for channel in first]
            self.link(second)
            self.assertEqual([link.closed is not None for link in links], ended, (first, second))

    def test_takeover_ends_what_was_sent(self) -> None:
        """What was sent on the older link is 1502 at once; its late death and answers disturb nobody."""
        older = self.link()
        self.perform("send_msg", echo="a")
        newer = self.link()
        self.assertEqual(self.codes(), [1502])
        self.perform("send_msg", echo="b")
        older.answer(0, ok())
        self.account.links.closed(older, "late")
        self.assertEqual((self.codes(), self.account.is_up), ([1502], True))
        newer.answer(0, ok(b"7"))
        self.assertEqual((self.answers[1]["data"], self.answers[1]["echo"]), (7, "b"))

    @given(
        st.lists(st.tuples(st.sampled_from(["up", "down", "ask", "answer"]), st.integers(0, 5)), max_size=40)
    )
    @quick
    def test_every_call_ends_once(self, steps: list[tuple[str, int]]) -> None:
        """Whatever links come and go, each call has one answer; those of a link that is over are ended."""
        self.setUp()
        links: list[FakeLink] = []
        asked = 0
        for what, number in steps:
            if what == "up":
                links.append(self.link([Channel.BOTH, Channel.ACTIONS, Channel.EVENTS][number % 3]))
            elif what == "down" and links:
                self.account.links.closed(links[number % len(links)], "gone")
            elif what == "ask":
                self.perform("send_msg", echo=asked)
                asked += 1
            elif links and links[number % len(links)].sent:
                links[number % len(links)].answer(0, ok())
        for link in links:
            self.account.links.closed(link, "end")
        self.assertEqual(sorted(answer["echo"] for answer in self.answers), list(range(asked)))
        self.assertEqual((self.account.calls_in_flight, self.bot.quota(self.account).calls), (0, 0))
        self.clock.advance(100)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PresenceTests(AccountTestCase):
    def test_L36_heartbeats(self) -> None:
        """What heartbeats say is what bots are told."""
        self.link()
        self.account.links.status_received(False)
        self.assertIs(self.account.online, False)
        self.assertIn(b'"online":false', self.account.heartbeat())
        self.account.links.status_received(True)
        self.assertIs(self.account.online, True)

    def test_heartbeats_that_always_say_yes(self) -> None:
        """After bot_offline a heartbeat says nothing, unless heartbeats turned false since."""
        link = self.link(get_version_info=ok(b'{"app_name":"Lagrange.OneBot"}'))
        self.hear(post_type="notice", notice_type="bot_offline")
        self.account.links.status_received(True)
        self.assertIs(self.account.online, False)
        self.clock.advance(1000)
        self.assertEqual(link.actions(), [])  # its get_status always says online too
        self.account.links.status_received(False)
        self.account.links.status_received(True)
        self.assertIs(self.account.online, True)

    def test_heartbeats_that_tell_the_truth(self) -> None:
        """After bot_offline of NapCat, LLBot or go-cqhttp the next heartbeat says whether it is back."""
        for name in (b"NapCat.Onebot", b"LLOneBot", b"go-cqhttp"):
            self.link(get_version_info=ok(b'{"app_name":"%b"}' % name))
            self.hear(post_type="notice", notice_type="bot_offline")
            self.assertIs(self.account.online, False)
            self.account.links.status_received(True)
            self.assertIs(self.account.online, True)

    def test_get_status_after_bot_offline(self) -> None:
        """An unknown implementation is asked, 5 s after each answer, until it says that it is online."""
        link = self.link()
        self.hear(post_type="notice", notice_type="bot_offline")
        for number in range(3):
            self.account.links.status_received(True)
            self.assertIs(self.account.online, False)
            self.clock.advance(5.1)
            self.clock.advance(5.1)
            self.assertEqual(link.actions(), ["get_status"] * (number + 1))
            link.answer(number, b'{"status":"failed","retcode":1400}' if number else ok(b'{"online":1}'))
        self.clock.advance(5.1)
        link.answer(3, ok(b'{"online":true,"good":true}'))
        self.assertIs(self.account.online, True)
        self.clock.advance(100)
        self.assertEqual(len(link.sent), 4)

    def test_get_status_of_a_link_that_ends(self) -> None:
        """Neither a timer nor an answer is left of it, and the next link is asked again."""
        for seconds in (1, 6):
            link = self.link()
            self.hear(post_type="notice", notice_type="bot_offline")
            self.clock.advance(seconds)
            self.account.links.closed(link, "gone")
            self.assertEqual(self.clock.getDelayedCalls(), [])
        link = self.link()
        self.hear(post_type="notice", notice_type="bot_offline")
        self.clock.advance(5.1)
        self.assertEqual(link.actions(), ["get_status"])

    def test_bot_offline_of_another(self) -> None:
        """A notice that names another account changes nothing here."""
        self.link()
        self.hear(post_type="notice", notice_type="bot_offline", user_id=5)
        self.assertIs(self.account.online, True)
        for user_id in (10001, "10001", 0, None):
            self.hear(post_type="notice", notice_type="bot_offline", user_id=user_id)
            self.assertIs(self.account.online, False)
            self.hear(post_type="notice", notice_type="bot_online")

    def test_heartbeats_that_always_say_no(self) -> None:
        """Reports of offline that events contradict, and that are never otherwise, are ignored."""
        self.link()
        for _ in range(3):
            self.account.links.status_received(False)
            self.assertIs(self.account.online, False)
            self.hear(post_type="message")
        self.account.links.status_received(False)
        self.assertIs(self.account.online, True)
        self.account.links.status_received(True)
        self.account.links.status_received(False)
        self.assertIs(self.account.online, False)

    def test_what_brings_it_back(self) -> None:
        """bot_online, a message, another notice, a request and a new link do."""
        link = self.link()
        for sign in (
            lambda: self.hear(post_type="notice", notice_type="bot_online"),
            lambda: self.hear(post_type="message"),
            lambda: self.hear(post_type="notice", notice_type="group_increase"),
            lambda: self.hear(post_type="request"),
            lambda: (self.account.links.closed(link, "gone"), self.link()),
        ):
            self.hear(post_type="notice", notice_type="bot_offline")
            self.assertIs(self.account.online, False)
            sign()
            self.assertIs(self.account.online, True)

    def test_meta_events_end_here(self) -> None:
        """The implementation's own heartbeats and lifecycles reach no bot; its notices do."""
        self.link()
        bot = FakeConnection()
        self.account.subscribe(bot, MessageFormat.AS_IS, server_frame)
        self.hear(post_type="meta_event", meta_event_type="heartbeat")
        self.hear(post_type="meta_event", meta_event_type="lifecycle")
        self.hear(post_type="notice", notice_type="bot_offline")
        self.assertEqual(len(bot.frames), 1)


class CallTests(AccountTestCase):
    def test_several_frames(self) -> None:
        """A stream's parts are passed on; the time limit counts from the last; any other ends it."""
        link = self.link()
        part, end = ok(b'{"type":"stream","n":1}'), ok(b'{"type":"response"}')
        self.perform("download_file_stream")
        for _ in range(3):
            self.clock.advance(50)
            link.answer(0, part)
        link.answer(0, end)
        link.answer(0, part)
        self.assertEqual([answer["last"] for answer in self.answers], [False, False, False, True])
        self.perform("upload_file_stream")
        link.answer(1, part)
        self.assertIs(self.answers[4]["last"], True)
        self.perform("test_download_stream")
        link.answer(2, part)
        self.clock.advance(61)
        self.assertEqual((self.codes()[5:], self.account.calls_in_flight), ([0, 1504], 0))

    def test_an_answer_that_cannot_be_taken_apart(self) -> None:
        """It is an answer all the same: the call ends, and nothing else does."""
        link = self.link()
        self.perform("send_msg")
        call_id, _action, _params = link.sent[-1]
        nested = b"[" * 50_000 + b"]" * 50_000
        payload = b'{"retcode":0,"echo":"1","x":%b,"echo":"%d" }' % (nested, call_id)
        self.assertTrue(self.account.receive_with_echo(call_id, payload, b'"%d"' % call_id))
        self.assertEqual((self.codes(), self.account.calls_in_flight), ([1500], 0))

    def test_bytes_that_the_link_has_not_taken(self) -> None:
        """They are bounded for each bot by itself; one call alone may be larger."""
        link = self.link()
        taken = 0
        link.has_sent = lambda mark: mark is not None and mark < taken  # type: ignore[method-assign]
        send = link.send
        link.send = lambda *call: (send(*call), len(link.sent) - 1)[1]  # type: ignore[method-assign,func-returns-value]
        large = b'{"x":"%b"}' % (b"x" * 2000)
        for _ in range(2):
            self.perform("send_msg", large)
        other = Bot(BotSettings("koishi", "token"), Limits(send_buffer=1000))
        self.perform("send_msg", large, bot=other)
        self.assertEqual((self.codes(), len(link.sent)), ([1429], 2))
        self.perform("send_msg_async", b'{"x":1}')
        self.assertEqual(self.codes(), [1429, 1])  # accepted, and refused later: one log line
        taken = 2
        self.perform("send_msg", large)
        self.assertEqual(len(link.sent), 3)

    def test_who_is_forgotten(self) -> None:
        """A call that nobody waits for any more, or that took too long, is forgotten by its link too."""
        link = self.link()
        self.perform("send_msg")
        for ask in tuple(self.asks):
            ask.cancel()
        self.perform("send_msg")
        self.clock.advance(61)
        self.assertEqual(link.forgotten, [call_id for call_id, _action, _params in link.sent])

    def test_no_timer_is_left(self) -> None:
        """Whichever channel goes last, nothing is left to wait for."""
        for first in (Channel.ACTIONS, Channel.EVENTS):
            self.setUp()
            links = {channel: self.link(channel) for channel in (Channel.ACTIONS, Channel.EVENTS)}
            self.perform("send_msg")
            self.account.links.closed(links.pop(first), "gone")
            self.account.links.closed(next(iter(links.values())), "gone")
            self.assertEqual(self.clock.getDelayedCalls(), [], first)
