"""Which messages an account sent: remembered while a bot asks for replies to them, and only then."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters.conditions import AnyOf, EventConditions
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.calls import InternalCall
from lgtwist.hub.sent_messages import SentMessages
from lgtwist.hub.settings import BotSettings, EventSettings
from lgtwist.onebot.event import read_event
from lgtwist.onebot.message import MessageFormat
from lgtwist.onebot.responses import failed, ok
from tests.hub.fakes import FakeConnection, checked_link, directory_of

ASKING = EventSettings(conditions=EventConditions(any_of=AnyOf(reply_to_me=True)))


def reply_to(sent: Any, **members: Any) -> bytes:
    event = {
        "post_type": "message",
        "message_type": "group",
        "message": [{"type": "reply", "data": {"id": sent}}],
        **members,
    }
    return json.dumps({"self_id": 1, **event}).encode()


class SentMessagesTests(SynchronousTestCase):
    def test_ids(self) -> None:
        """Ids are kept as text, of answers that have one; what is odd is left out."""
        sent = SentMessages(1)
        for data in (
            *(b'{"message_id":5}', b'{"message_id":"x y"}', b'{"message_id":-3,"forward_id":"9"}'),
            *(b'{"message_id":6.0}', b"null", b"[]", b'{"message_id":0}', b'{"message_id":null}'),
            *(b'{"message_id":{}}', b'{"id":7}', b'{"message_id":"%b"}' % (b"a" * 999)),
        ):
            sent.note_response(ok(data))
        sent.note_response(failed(100, "no"))
        sent.note_response(b"[]")
        for wanted in ("5", "x y", "-3", "6"):
            self.assertIn(wanted, sent)
        self.assertEqual(len(sent), 4)

    def test_events(self) -> None:
        """What the account sends with another program counts, however it is reported."""
        sent = SentMessages(1)
        for number, (kind, user_id) in enumerate(
            (("message_sent", 1), ("message", 1), ("message", 2), ("notice", 1), ("message_sent", 2))
        ):
            event = {"post_type": kind, "user_id": user_id, "message_id": number + 10}
            sent.note_event(read_event(json.dumps(event).encode()))
        self.assertEqual([one for one in range(10, 15) if str(one) in sent], [10, 11, 14])

    def test_bounded(self) -> None:
        """The newest ids are kept; one that comes again is new."""
        sent = SentMessages(1)
        for number in range(1, 10_001):
            sent.note_response(ok(b'{"message_id":%d}' % number))
        sent.note_response(ok(b'{"message_id":1}'))
        sent.note_response(ok(b'{"message_id":10001}'))
        self.assertEqual(len(sent), 10_000)
        self.assertIn("1", sent)
        self.assertNotIn("2", sent)


class RememberingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.accounts = [Account(number, self.clock, self.clock.seconds) for number in (1, 2)]
        self.links = [checked_link(account) for account in self.accounts]
        for account, link in zip(self.accounts, self.links, strict=True):
            account.links.opened(link)
        self.plain, self.asking = Bot(BotSettings("plain")), Bot(BotSettings("asking", events=ASKING))
        self.directory = directory_of(self.accounts, [self.plain], self.clock)

    def send(self, data: bytes, action: str = "send_msg", account: int = 0) -> None:
        self.links[account].instantly = ok(data)
        received: list[bytes] = []
        call = InternalCall(action, lambda response, _last: received.append(response), caller="plain")
        self.accounts[account].call(call, b"{}")
        self.assertEqual(received, [ok(data)])

    def gets(self, event: bytes) -> bool:
        passes = self.asking.passes
        assert passes is not None
        return passes(read_event(event))

    def test_only_while_a_bot_asks(self) -> None:
        """Nothing is kept before; then answers to any bot count, of the account that sent the message."""
        self.assertIsNone(self.accounts[0].sent_messages)
        self.send(b'{"message_id":4}')
        self.directory.add_bot(self.asking)
        self.assertFalse(self.gets(reply_to(4)))
        self.send(b'{"message_id":5}')
        self.send(b'{"message_id":6}', "send_group_forward_msg")
        self.send(b'{"message_id":7}', "get_msg")
        self.send(b'{"message_id":8}', account=1)
        self.assertEqual([self.gets(reply_to(one)) for one in (5, "6", 7, 8)], [True, True, False, False])
        self.assertTrue(self.gets(reply_to(8, self_id=2)))
        self.directory.remove_bot("asking")
        self.assertIsNone(self.accounts[0].sent_messages)
        self.send(b'{"message_id":9}')

    def test_of_the_accounts_that_it_may_use(self) -> None:
        """Other accounts remember nothing; an account that is added later does."""
        self.directory.add_bot(Bot(BotSettings("asking", accounts=(2, 3), events=ASKING)))
        third = Account(3, self.clock, self.clock.seconds)
        self.directory.add_account(third)
        remembered = [one.sent_messages is not None for one in (*self.accounts, third)]
        self.assertEqual(remembered, [False, True, True])

    def test_changed_settings(self) -> None:
        """A reload that asks for it begins with nothing; one that changes something else forgets nothing."""
        bot = self.asking
        bot.configure(BotSettings("asking"))
        self.directory.add_bot(bot)
        self.send(b'{"message_id":4}')
        bot.configure(BotSettings("asking", events=ASKING))
        self.directory.update_sent_messages()
        self.send(b'{"message_id":5}')
        bot.configure(BotSettings("asking", events=ASKING, message_format=MessageFormat.ARRAY))
        self.directory.update_sent_messages()
        self.assertEqual([self.gets(reply_to(one)) for one in (4, 5)], [False, True])

    def test_events_in_order(self) -> None:
        """A message that the account sent is known to the reply behind it, in one read too."""
        self.directory.add_bot(self.asking)
        connection = FakeConnection()
        account = self.accounts[0]
        account.subscribe(connection, MessageFormat.AS_IS, bytes, self.asking.passes)
        sent = {"self_id": 1, "post_type": "message_sent", "message_id": 5, "message": []}
        account.publish(json.dumps(sent).encode())
        account.publish(reply_to(5))
        account.publish(reply_to(6))
        self.assertEqual(connection.frames, [reply_to(5)])

    def test_events_without_self_id(self) -> None:
        """An event that does not say its account's number is the account's that it came from."""
        self.directory.add_bot(self.asking)
        connection = FakeConnection()
        account = self.accounts[0]
        account.subscribe(connection, MessageFormat.AS_IS, bytes, self.asking.passes)
        self.send(b'{"message_id":5}')
        account.publish(reply_to(5, self_id=None))
        account.publish(reply_to(5, self_id="x"))
        self.assertEqual(connection.frames, [reply_to(5, self_id=None), reply_to(5, self_id="x")])
