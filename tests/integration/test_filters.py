"""Bots that get some events only: live and at-least-once, over restarts and reloads, seen from outside."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.integration.at_least_once import Bot, at_least_once, backlog, bearer, has_all
from tests.integration.rawclient import RawClient
from tests.integration.running import ServiceTestCase, wait_until
from tests.integration.test_nonebot import NoneBotTestCase

ALICE, GROUP = 20001, 30001
SANDBOX = "[[accounts]]\nself_id = 10001\n"
COMMANDS = 'events = { any_of = { prefix = ["/"], at_me = true, reply_to_me = true } }'
GO_CQHTTP = """filter = '''{".or": [{"raw_message": {".regex": "^/"}}, {"post_type": "request"}]}'''"""
LLBOT = """filter = '''{"raw_message": {"$regex": "^#"}}'''"""


class Filters(ServiceTestCase):
    """One service with a bot that gets everything, and two that do not."""

    toml = SANDBOX + "\n".join(
        [
            '[[bots]]\nname = "all"\naccess_token = "of-all"',
            f'[[bots]]\nname = "live"\naccess_token = "of-live"\n{COMMANDS}',
            at_least_once("late", GO_CQHTTP, token=True),
        ]
    )

    def setUp(self) -> None:
        super().setUp()
        self.everything = self.bot("all")
        self.live, self.late = self.bot("live"), self.bot("late")

    def bot(self, name: str) -> Bot:
        bot = Bot(self.service, headers=bearer(name))
        self.addCleanup(bot.end)
        wait_until(f"{name} is connected", lambda: bot.connected)
        return bot

    def publish(self, number: int, words: str, post_type: str = "message") -> None:
        """Publish a numbered event."""
        event = {"post_type": post_type, "message_type": "group", "group_id": GROUP, "user_id": ALICE}
        self.service.inject({**event, "message": words, "raw_message": words, "n": number})

    def all_have(self, number: int) -> None:
        """Wait until the bot that gets everything has an event, and all events are confirmed."""
        self.everything.wait_for(number)
        wait_until("late has confirmed all", lambda: has_all(self.service, "late"))

    def change(self, old: str, new: str) -> str:
        """Change the configuration, and read it again; what the log says of that."""
        source = self.service.config_path.read_text()
        assert old in source
        self.service.config_path.write_text(source.replace(old, new))
        began = len(self.service.log())
        self.service.send_signal(signal.SIGHUP)
        wait_until(
            "it says what it did", lambda: "change" in self.service.log()[began:].partition("reload:")[2]
        )
        return self.service.log()[began:]

    def test_live_and_late_over_a_restart_and_a_reload(self) -> None:
        """What is kept from a bot counts as confirmed, while it is there and while it is away."""
        for number, words in enumerate(("hello", "/one", "#two", "[CQ:at,qq=10001] three", "four")):
            self.publish(number, words)
        self.publish(5, "", "notice")
        self.publish(6, "", "request")
        self.all_have(6)
        self.live.wait_for(6)
        self.late.wait_for(6)
        self.assertEqual(self.everything.seen, [0, 1, 2, 3, 4, 5, 6])
        self.assertEqual(self.live.seen, [1, 3, 5, 6])
        self.assertEqual(self.late.seen, [1, 6])

        self.late.leave()
        for number, words in ((10, "away"), (11, "/away"), (12, "away")):
            self.publish(number, words)
        self.everything.wait_for(12)
        wait_until("all is on disk", lambda: backlog(self.service, "late") == 2)
        self.service.stop()
        self.service.start()
        self.late.come_back()
        self.late.wait_for(11)
        wait_until("late has confirmed all", lambda: has_all(self.service, "late"))
        self.assertEqual(self.late.seen, [1, 6, 11])

        wait_until("all are there", lambda: self.everything.connected and self.live.connected)
        lives = len(self.late.lives), len(self.live.lives)
        said = self.change(GO_CQHTTP, LLBOT)
        self.assertIn('bot "late" changed', said)
        self.publish(20, "/one")
        self.publish(21, "#two")
        self.all_have(21)
        self.late.wait_for(21)
        self.assertEqual(self.late.seen, [1, 6, 11, 21])
        self.assertIn('bot "live" changed', self.change('prefix = ["/"]', 'prefix = ["#"]'))
        self.publish(22, "/three")
        self.publish(23, "#four")
        self.all_have(23)
        self.live.wait_for(23)
        self.assertEqual(self.live.seen[-2:], [20, 23])
        self.assertEqual((len(self.late.lives), len(self.live.lives)), lives)
        refused = self.change(LLBOT, "filter = '''{\"a\": {\".wat\": 1}}'''")
        self.assertIn("nothing was changed", refused)
        self.assertIn("bots[2].filter: a..wat: ", refused)
        self.publish(24, "#five")
        self.late.wait_for(24)

    def test_replies_to_what_the_account_sent(self) -> None:
        """A reply passes to what any bot sent, once it was seen; not one to another message."""
        client = RawClient(self.service, headers=bearer("all"))
        self.addCleanup(client.socket.close)
        listener = RawClient(self.service, headers=bearer("live"))
        self.addCleanup(listener.socket.close)
        sent = client.ask("send_group_msg", group_id=GROUP, message="what now?")["data"]["message_id"]
        other = self.service.say(ALICE, "nothing", GROUP)

        def reply(to: int, words: str) -> list[dict[str, Any]]:
            return [
                {"type": "reply", "data": {"id": str(to)}},
                {"type": "text", "data": {"text": words}},
            ]

        self.service.say(ALICE, reply(other, "to Alice"), GROUP)
        self.service.say(ALICE, reply(sent, "to the bot"), GROUP)
        heard = listener.event(post_type="message")
        self.assertIn("to the bot", json.dumps(heard["message"]))


class Mentioned(NoneBotTestCase):
    """A NoneBot2 that is sent nothing but what mentions the account."""

    toml = SANDBOX + '[[bots]]\nname = "nonebot"\nevents = { any_of = { at_me = true } }\n'

    def test_only_mentions(self) -> None:
        """It does not answer what it would answer without: in private; what mentions the account it does."""
        asked = self.service.say(ALICE, "/echo in private")
        self.service.say(ALICE, "[CQ:at,qq=20003] /echo to Carol", GROUP)
        self.service.say(ALICE, "[CQ:at,qq=10001] /echo in the group", GROUP)
        (answer,) = self.heard(asked)
        self.assertEqual(answer["raw_message"], "in the group")
        for words in ("private", "Carol"):
            self.assertNotIn(words, self.bot.log())
