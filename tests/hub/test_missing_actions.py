"""Implementations without ``get_login_info``, ``get_status`` or ``get_version_info``."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher

from lgtwist.hub.interfaces import Channel
from lgtwist.onebot.event import read_event
from tests.hub.fakes import FakeLink, checked_link
from tests.hub.test_account import AccountTestCase

MISSING = b'{"status":"failed","retcode":1404,"data":null}'
#: Lagrange and go-cqhttp on a WebSocket; NapCat over HTTP.
OTHERS = (
    b'{"status":"failed","retcode":404,"data":null}',
    '{"status":"failed","retcode":200,"message":"不支持的Api get_login_info"}'.encode(),
)


class MissingTestCase(AccountTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.log: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def nameless(self, channel: Channel = Channel.BOTH, missing: bytes = MISSING, **more: Any) -> FakeLink:
        """Open a link of an implementation that has none of the three actions."""
        link: FakeLink = checked_link(self.account)
        link.introductions.update(get_login_info=missing, get_version_info=missing)
        self.account.links.opened(link, channel, **more)
        link.instantly = missing
        return link

    def beat(self, self_id: int = 10001, online: bool = True) -> None:
        """Hand over a heartbeat as a link does."""
        event = {"post_type": "meta_event", "meta_event_type": "heartbeat", "self_id": self_id}
        self.account.links.status_received(online)
        self.account.links.event_received(read_event(json.dumps(event).encode()))

    def data(self, action: str) -> Any:
        self.perform(action)
        self.assertEqual((self.answers[-1]["status"], self.answers[-1]["retcode"]), ("ok", 0))
        return self.answers[-1]["data"]

    def lines(self, part: str) -> list[str]:
        return [line for line in map(formatEvent, self.log) if line and part in line]


class IdentityTests(MissingTestCase):
    def test_a_heartbeat_names_it(self) -> None:
        self.nameless()
        self.assertFalse(self.account.is_up)
        self.assertIn("no get_login_info", self.account.reason)
        self.assertEqual(len(self.lines("no get_login_info")), 1)
        self.beat()
        self.assertTrue(self.account.is_up)
        self.assertEqual(self.account.reason, "")

    def test_an_event_names_it(self) -> None:
        self.nameless()
        self.hear(post_type="message", message_type="group")
        self.assertTrue(self.account.online)

    def test_an_event_before_the_answer(self) -> None:
        link = self.link(get_login_info=None)
        self.hear(post_type="meta_event", meta_event_type="lifecycle")
        self.assertFalse(self.account.is_up)
        link.answer(0, MISSING)
        self.assertTrue(self.account.is_up)

    def test_as_other_dialects_say_it(self) -> None:
        for missing in OTHERS:
            self.nameless(missing=missing)
            self.assertFalse(self.account.is_up)
            self.beat()
            self.assertTrue(self.account.is_up)

    def test_an_older_link_named_it(self) -> None:
        """What came on another link says nothing of a new one."""
        self.nameless()
        self.beat()
        self.nameless()
        self.assertFalse(self.account.is_up)

    def test_another_failure_is_not_that(self) -> None:
        self.nameless(missing=b'{"status":"failed","retcode":100,"data":null}')
        self.beat()
        self.assertFalse(self.account.is_up)

    def test_a_pair(self) -> None:
        self.nameless(Channel.ACTIONS)
        self.nameless(Channel.EVENTS)
        self.assertFalse(self.account.accepts_actions)
        self.beat()
        self.assertTrue(self.account.is_up)
        self.nameless(Channel.ACTIONS)  # the event link is still the same
        self.assertTrue(self.account.is_up)

    def test_it_named_itself_when_it_connected(self) -> None:
        self.nameless(named=True)
        self.assertTrue(self.account.is_up)

    def test_another_number_than_it_connected_with(self) -> None:
        link = self.link(get_login_info=None)
        self.account.links.closed(link, "over")
        link = checked_link(self.account)
        del link.introductions["get_login_info"]
        self.account.links.opened(link, named=True)
        self.account.links.foreign_event(link, 20002, trusted=False)
        link.answer(0, MISSING)
        self.assertFalse(self.account.is_up)
        self.account.links.foreign_event(link, 20002, trusted=False)
        self.account.links.foreign_event(link, 20002, trusted=False)
        self.assertEqual((link.closed or (0, ""))[0], 1008)

    def test_a_heartbeat_that_says_offline(self) -> None:
        self.nameless()
        self.account.links.configure(self.account.links.dialect.NAPCAT)
        self.beat(online=False)
        self.assertEqual((self.account.is_up, self.account.online), (True, False))


class AnswerTests(MissingTestCase):
    def test_what_bots_ask(self) -> None:
        link = self.nameless()
        self.beat()
        self.assertEqual(self.data("get_login_info"), {"user_id": 10001, "nickname": ""})
        self.assertEqual(self.data("get_status"), {"online": True, "good": True})
        version = {"app_name": "unknown", "app_version": "unknown", "protocol_version": "v11"}
        self.assertEqual(self.data("get_version_info"), version)
        self.account.links.closed(link, "gone")
        self.assertEqual(self.data("get_login_info"), {"user_id": 10001, "nickname": ""})

    def test_other_actions_stay_unknown(self) -> None:
        self.nameless()
        self.beat()
        self.perform("get_friend_list")
        self.assertEqual(self.codes(), [1404])

    def test_another_failure_stays(self) -> None:
        link = self.link()
        link.instantly = b'{"status":"failed","retcode":100,"data":null}'
        self.perform("get_status")
        self.assertEqual(self.codes(), [100])

    def test_the_nickname_of_its_own_messages(self) -> None:
        self.nameless()
        self.beat()
        sender = {"user_id": 10001, "nickname": "机器人"}
        self.hear(post_type="message_sent", message_type="group", user_id=10001, sender=sender)
        self.assertEqual(self.data("get_login_info"), {"user_id": 10001, "nickname": "机器人"})

    def test_the_nickname_that_was_known(self) -> None:
        self.account.links.closed(self.link(), "gone")
        self.nameless()
        self.beat()
        self.assertEqual(self.data("get_login_info"), {"user_id": 10001, "nickname": "Robot"})
