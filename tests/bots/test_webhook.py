"""Webhooks: what is posted, in which order, and what their answers do."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.bots.javascript_json import json_stringify
from lgtwist.bots.webhook import Settings, WebhookBot
from lgtwist.config.limits import Limits
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.settings import BotSettings
from lgtwist.net.http_client import Answer
from lgtwist.onebot.auth import is_signed
from tests.hub.fakes import FakeLink, checked_link, resources
from tests.rounds import quick


class FakeClient:
    """Keeps what is posted; answers when it is told to."""

    def __init__(self) -> None:
        self.posts: list[tuple[bytes, dict[str, str], Deferred[Answer]]] = []

    async def post(self, _url: str, body: bytes, headers: dict[str, str], *_limits: Any) -> Answer:
        answer: Deferred[Answer] = Deferred()
        self.posts.append((body, headers, answer))
        return await answer

    def answer(self, status: int = 204, body: bytes = b"") -> None:
        """Answer the oldest post that waits."""
        next(a for _b, _h, a in self.posts if not a.called).callback(Answer(status, body))

    def fail(self) -> None:
        next(a for _b, _h, a in self.posts if not a.called).errback(OSError())

    @property
    def under_way(self) -> int:
        return sum(not answer.called for _body, _headers, answer in self.posts)

    def numbers(self) -> list[int]:
        return [json.loads(body)["n"] for body, _headers, _answer in self.posts]


class PostTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, self.clock.seconds)
        limits = Limits(max_message=1000, send_buffer=1000)
        self.bot = Bot(BotSettings("hook"), limits)
        self.client = FakeClient()
        self.service = WebhookBot(
            self.bot,
            Settings("http://x/", "secret"),
            resources(self.clock, limits),
            self.client,  # type: ignore[arg-type]
        )
        self.service.account_added(self.account)
        self.service.startService()
        self.link: FakeLink = checked_link(self.account)
        self.account.links.opened(self.link)
        self.addCleanup(self.service.retire)

    def publish(self, n: int, **event: Any) -> None:
        self.account.publish(json.dumps({"post_type": "notice", "n": n, **event}).encode())


class PostTests(PostTestCase):
    def test_in_order_one_at_a_time(self) -> None:
        """The next event is posted when the one before is answered, signed over its bytes."""
        for n in range(3):
            self.publish(n)
            self.assertEqual(self.client.under_way, 1)
        for _ in range(3):
            self.client.answer()
        self.assertEqual((self.client.numbers(), self.client.under_way), ([0, 1, 2], 0))
        for body, headers, _answer in self.client.posts:
            self.assertEqual(headers["X-Self-ID"], "10001")
            self.assertEqual(headers["Content-Type"], "application/json")
            self.assertTrue(is_signed("secret", body, headers["X-Signature"]))

    def test_heartbeats_but_no_lifecycles(self) -> None:
        """Each heartbeat_interval a heartbeat is posted."""
        self.clock.advance(5)
        [(body, _headers, _answer)] = self.client.posts
        self.assertIn(b'"meta_event_type":"heartbeat"', body)

    def test_not_before_the_account_was_up(self) -> None:
        """Nothing is posted for an account that was not up yet."""
        self.account = Account(10002, self.clock, self.clock.seconds)
        service = WebhookBot(
            self.bot,
            Settings("http://x/"),
            resources(self.clock),
            self.client,  # type: ignore[arg-type]
        )
        service.account_added(self.account)
        service.startService()
        self.publish(1)
        self.clock.advance(4)
        self.assertEqual(self.client.posts, [])
        service.retire()

    def test_what_waits_is_bounded(self) -> None:
        """Behind a slow receiver the oldest events go, counted; another limit counts from then on."""
        for n in range(100):
            self.publish(n, pad="x" * 100)
        self.assertGreater(self.bot.counters.dropped_events, 85)
        self.bot.limits = Limits(send_buffer=100_000)
        dropped = self.bot.counters.dropped_events
        for n in range(100, 200):
            self.publish(n, pad="x" * 100)
        self.assertEqual(self.bot.counters.dropped_events, dropped)
        while self.client.under_way:
            self.client.answer()
        numbers = self.client.numbers()
        self.assertEqual((numbers[0], numbers[-1], numbers), (0, 199, sorted(numbers)))
        self.assertEqual(len(numbers) + self.bot.counters.dropped_events, 200)

    def test_failures(self) -> None:
        """A failed event is dropped; after five in a row posting pauses, then the next event is tried."""
        for n in range(5):
            self.publish(n)
            if n % 2:
                self.client.fail()
            else:
                self.client.answer(500)
        self.publish(5)
        self.assertEqual((self.client.numbers(), self.bot.counters.dropped_events), ([0, 1, 2, 3, 4], 6))
        self.clock.advance(1.1)
        self.publish(6)
        self.client.answer(302)
        self.clock.advance(1.1)
        self.publish(7)
        self.assertEqual(self.client.numbers()[-1], 6)  # the second pause is longer
        self.clock.advance(1.1)
        self.publish(8)
        self.client.answer()
        self.publish(9)
        self.client.answer()
        self.assertEqual(self.client.numbers()[-2:], [8, 9])
        self.assertEqual(self.bot.counters.posts_failed, 6)

    def test_stop_in_the_middle(self) -> None:
        """After the end nothing is under way, and no timer is left."""
        self.publish(1)
        self.publish(2)
        self.service.retire()
        self.publish(3)
        self.assertEqual((len(self.client.posts), self.clock.getDelayedCalls()), (1, []))

    def test_stop_is_no_failure(self) -> None:
        """A post that is cancelled fails in Twisted's words: no fifth failure, and no timer is left."""
        for n in range(4):
            self.publish(n)
            self.client.fail()

        async def post(*_args: Any) -> Answer:
            return await Deferred(lambda cancelled: cancelled.errback(OSError()))

        self.client.post = post  # type: ignore[method-assign]
        self.publish(5)
        self.service.retire()
        self.assertEqual((self.bot.counters.posts_failed, self.clock.getDelayedCalls()), (4, []))

    def test_answers(self) -> None:
        """A JSON object is a quick operation; all else asks for nothing and confirms as well."""
        event = {"post_type": "message", "message_type": "private", "user_id": 7, "message_id": 1}
        for body in (
            b"",
            b"OK",
            b"null",
            b"[]",
            b'"x"',
            b"{",
            b"{}",
            b"\xff",
            b"5",
            b'{"reply":null}',
            b'{"reply":"\xff"}',
        ):
            self.publish(1, **event)
            self.client.answer(200, body)
        self.assertEqual(self.link.sent, [])
        self.publish(1, **event)
        self.client.answer(200, b' {"reply":"hi"}')
        [(_id, action, params)] = self.link.sent
        self.assertEqual(action, "send_private_msg")
        self.assertEqual(json.loads(params), {"user_id": 7, "message": "hi", "auto_escape": False})
        self.assertEqual((self.bot.counters.detached_failures, self.bot.counters.dropped_events), (0, 0))

    def test_failed_quick_operations(self) -> None:
        """One that cannot be done is counted; its event stays confirmed."""
        event = {"post_type": "message", "message_type": "private", "user_id": 7}
        self.publish(1, **event)
        self.client.answer(200, b'{"reply":"hi","auto_escape":"perhaps"}')
        self.account.links.closed(self.link, "gone")
        self.publish(2, **event)
        self.client.answer(200, b'{"reply":"hi"}')
        self.assertEqual((self.bot.counters.detached_failures, self.bot.counters.posts_failed), (2, 0))


class JsonStringifyTests(SynchronousTestCase):
    def test_as_javascript_writes_it(self) -> None:
        """L-65: the bytes are those of JSON.stringify, for receivers that sign what they have parsed."""
        for event, expected in (
            (rb'{"a": "\u6d4b\u8bd5", "b" : [1, 2.0, 1.5]}', '{"a":"测试","b":[1,2,1.5]}'.encode()),
            (rb'{"a":"\ud83d\ude00\/\u2028"}', '{"a":"😀/\u2028"}'.encode()),
            (rb'{"a":"\uD83D"}', rb'{"a":"\ud83d"}'),
            (rb'{"a":"\u0007\b\n\u001f"}', rb'{"a":"\u0007\b\n\u001f"}'),
            (
                b"[0.000001,1e-7,1e21,1.5e300,123.456,-2.5e-9,1E2,-0.0]",
                b"[0.000001,1e-7,1e+21,1.5e+300,123.456,-2.5e-9,100,0]",
            ),
            (b'{"a":1e3,"b":-0.5,"c":true,"d":null}', b'{"a":1000,"b":-0.5,"c":true,"d":null}'),
        ):
            self.assertEqual(json_stringify(event), expected)

    def test_what_no_json_can_say(self) -> None:
        """A number that JavaScript cannot hold passes as it came."""
        self.assertEqual(json_stringify(b'{"a": 1e999}'), b'{"a": 1e999}')

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda c: st.lists(c) | st.dictionaries(st.text(), c),
        )
    )
    @quick
    def test_nothing_is_changed(self, value: Any) -> None:
        """It is the same JSON, whatever it is."""
        self.assertEqual(json.loads(json_stringify(json.dumps({"v": value}).encode())), {"v": value})
