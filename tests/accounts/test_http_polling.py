"""What an HTTP account polls, where its implementation answers HTTP 404 without a response; in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.accounts import http
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.settings import BotSettings
from lgtwist.net.http_client import Answer
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.message import MessageFormat
from tests.hub.fakes import resources

OK = b'{"status":"ok","retcode":0,"data":%b}'
LOGIN = {"get_login_info": OK % b'{"user_id":1}'}


class _Client:
    """Answers by the last segment of the path; HTTP 404 without a response to all that it does not know."""

    known: dict[str, bytes] = {}
    refuses = 0  # the status of every answer, where it is not 0

    def __init__(self, *_given: Any) -> None:
        self.posts: list[tuple[str, bytes]] = []

    async def post(self, url: str, body: bytes, *_more: Any) -> Answer:
        action = url.rpartition("/")[2]
        self.posts.append((action, body))
        if self.refuses:
            return Answer(self.refuses, b"")
        found = self.known.get(action)
        return Answer(404, b"not found") if found is None else Answer(200, found)

    def close(self) -> Deferred[None]:
        return succeed(None)


class PollingTests(SynchronousTestCase):
    def start(self, known: dict[str, bytes], **more: Any) -> None:
        client = type("Client", (_Client,), {"known": known})
        self.patch(http, "WebClient", client)
        self.clock = Clock()
        self.account = Account(1, self.clock, self.clock.seconds)
        self.edge = http.HttpAccount(
            self.account, http.Settings(url="http://h", **more), resources(self.clock)
        )
        self.edge.startService()
        self.addCleanup(self.edge.stopService)

    def posted(self) -> list[str]:
        client: Any = self.edge._client
        actions = [action for action, _body in client.posts]
        client.posts.clear()
        return actions

    def event(self, self_id: int = 1) -> None:
        self.edge.receive(json.dumps({"post_type": "notice", "self_id": self_id}).encode())

    def test_another_action_is_polled(self) -> None:
        self.start(LOGIN)
        self.assertTrue(self.account.is_up)
        self.posted()
        self.clock.advance(10)
        self.assertEqual(set(self.posted()), {"get_login_info"})

    def test_a_token_that_is_refused_or_missing(self) -> None:
        """The line says which of both it is, so that people look at the right side."""
        self.patch(_Client, "refuses", 401)
        lines = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.start({})
        self.start({}, access_token="T")
        said: Any = [formatEvent(event) for event in lines]  # type: ignore[attr-defined]
        [missing, refused] = [line for line in said if "HTTP 401" in line]
        self.assertIn("it wants an access_token", missing)
        self.assertIn("it refuses our access_token", refused)

    def test_none_of_them(self) -> None:
        self.start({})
        self.assertFalse(self.account.is_up)
        self.clock.advance(5)
        self.assertFalse(self.account.is_up)  # its URL may be wrong
        self.event()
        self.clock.advance(5)
        self.assertTrue(self.account.is_up)

    def test_posts_of_another_account(self) -> None:
        self.start({})
        with self.assertRaises(http.BadEvent):
            self.event(2)
        self.clock.advance(5)
        self.assertFalse(self.account.is_up)

    def test_no_get_login_info_and_quiet(self) -> None:
        self.start({"get_status": OK % b'{"online":true}'})
        self.assertFalse(self.account.is_up)
        self.event()
        self.assertTrue(self.account.is_up)

    def test_bots_messages(self) -> None:
        """Converted in calls, with a suffix and in quick operations; changed in place."""
        self.start(LOGIN, outgoing_format=MessageFormat.ARRAY)
        bot, asks, answers = Bot(BotSettings("bot")), set[PendingAction](), list[bytes]()
        client: Any = self.edge._client
        message = b'{"message":[{"type":"text","data":{"text":"a"}}]'
        operation = (
            b'{"context":{"post_type":"message","message_type":"private","user_id":5},'
            b'"operation":{"reply":"a"}}'
        )
        for action, params in (
            ("send_msg", b'{"message":"a"}'),
            ("send_msg_async", b'{"message":"a"}'),
            (".handle_quick_operation", operation),
        ):
            client.posts.clear()
            request = ActionRequest(action, params, None)
            bot.perform(self.account, request, lambda one, _last: answers.append(one), asks)
            sent = json.loads(client.posts[-1][1])
            self.assertEqual(sent["message"], json.loads(message + b"}")["message"])
        self.edge.configure(http.Settings(url="http://h"))
        bot.perform(
            self.account,
            ActionRequest("send_msg", b'{"message":"a"}', None),
            lambda one, _last: answers.append(one),
            asks,
        )
        self.assertEqual(client.posts[-1], ("send_msg", b'{"message":"a"}'))
