"""Actions and responses of megabytes take two reactor turns, and keep their order."""

from __future__ import annotations

import json

from lgtwist.onebot.responses import ok
from tests.bots.test_session import SessionTestCase

LARGE = 5 << 20


class LargeMessageTests(SessionTestCase):
    """A bot that sends, and is sent, what takes long to read."""

    def set_up(self) -> None:
        super().set_up()
        self.peer = self.dial()
        self.peer.messages()

    def test_the_order_of_actions(self) -> None:
        """What a bot sends behind a large action is carried out behind it."""
        large = json.dumps({"action": "send_large", "params": {"text": "x" * LARGE}, "echo": 1})
        small = json.dumps({"action": "send_small", "params": {}, "echo": 2})
        self.peer.bytes(self.pair.frame(large.encode()) + self.pair.frame(small.encode()))
        self.assertEqual(self.link.sent, [])
        self.assertTrue(self.peer.transport.paused)
        self.pair.turn()
        self.assertEqual([action for _id, action, _params in self.link.sent], ["send_large", "send_small"])
        self.assertFalse(self.peer.transport.paused)

    def test_answers_that_are_not_read(self) -> None:
        """A bot that does not take the answer to a large action is not read any more."""
        self.peer.transport.reading = False
        self.link.instantly = ok(b'"%b"' % (b"x" * 100_000))
        for number in range(2):
            self.peer.call("send_large", echo=number, text="x" * LARGE)
            self.pair.turn()
        self.assertTrue(self.peer.transport.paused)
        for number in range(2, 5):
            self.peer.call("send_large", echo=number, text="x" * LARGE)
            self.pair.turn()
        self.assertLess(len(self.link.sent), 4)
        self.assertTrue(self.peer.transport.paused)

    def test_a_bot_that_is_gone(self) -> None:
        """An action whose connection is closed before its turn is not carried out; nothing fails."""
        self.peer.call("send_large", text="x" * LARGE)
        self.peer.lose()
        self.pair.turn()
        self.assertEqual(self.link.sent, [])
        self.assertEqual(self.pair.factory.counters.callback_failures, 0)

    def test_a_large_response(self) -> None:
        """It comes once, also where the call's link is closed meanwhile."""
        self.peer.call("get_large")
        (call_id, _action, _params) = self.link.sent[0]
        data = b'"%b"' % (b"x" * LARGE)
        payload = ok(data)[:-1] + b',"echo":"%d"}' % call_id
        self.assertTrue(self.account.receive_with_echo(call_id, payload, b'"%d"' % call_id))
        self.account.links.closed(self.link, "gone")
        self.pair.turn()
        [answer] = [message for message in self.peer.messages() if "retcode" in message]
        self.assertEqual((answer["retcode"], len(answer["data"]), answer["echo"]), (0, LARGE, 1))
