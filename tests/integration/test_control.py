"""The sandbox's HTTP control from outside: what a test script or a person with curl can do with it."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.control import (
    ALICE,
    BOB,
    CAROL,
    GROUP,
    ControlTestCase,
    SharedControlTestCase,
)
from tests.integration.rawclient import TEXT, RawClient


class Asking(ControlTestCase):
    """``ask``: requests, how a bot answers them, and what follows."""

    def ask(self, bot: RawClient, **body: Any) -> dict[str, Any]:
        """Somebody asks; the event that the bot gets."""
        answer = self.post("ask", body)
        event = bot.event(post_type="request")
        self.assertEqual(event["flag"], answer["flag"])
        self.assertIn(answer["flag"], [r["flag"] for r in self.world()["requests"]])
        return event

    def test_friend(self) -> None:
        """Carol asks to be a friend and a bot approves: she is one, under the name that the bot gave her."""
        bot = self.bot()
        event = self.ask(bot, user_id=CAROL, comment="it's me")
        self.assertEqual(
            {k: event[k] for k in ("request_type", "user_id", "comment")},
            {"request_type": "friend", "user_id": CAROL, "comment": "it's me"},
        )
        answer = bot.ask("set_friend_add_request", flag=event["flag"], approve=True, remark="C.")
        self.assertEqual(answer["retcode"], 0)
        self.assertEqual(bot.event(notice_type="friend_add")["user_id"], CAROL)
        friends = bot.ask("get_friend_list")["data"]
        self.assertIn({"user_id": CAROL, "nickname": "Carol", "remark": "C."}, friends)
        self.assertEqual(self.world()["requests"], [])
        # It is answered; it cannot be answered again, nor can she ask again.
        again = bot.ask("set_friend_add_request", flag=event["flag"], approve=True)
        self.assertEqual(again["status"], "failed")
        self.assertIn("friend already", self.post("ask", {"user_id": CAROL}, 400)["error"])

    def test_friend_refused(self) -> None:
        """A bot says no: nothing happens, and she may ask again."""
        bot = self.bot()
        event = self.ask(bot, user_id=CAROL)
        self.assertEqual(bot.ask("set_friend_add_request", flag=event["flag"], approve=False)["retcode"], 0)
        self.assertNotIn(CAROL, [p["user_id"] for p in bot.ask("get_friend_list")["data"]])
        self.ask(bot, user_id=CAROL)

    def test_group_add(self) -> None:
        """Bob, who was shown out, asks to join the group again; a bot lets him in, and he can speak there."""
        bot = self.bot()
        self.assertEqual(bot.ask("set_group_kick", group_id=GROUP, user_id=BOB)["retcode"], 0)
        event = bot.event(notice_type="group_decrease")
        self.assertEqual((event["sub_type"], event["user_id"]), ("kick", BOB))
        self.post("say", {"user_id": BOB, "group_id": GROUP, "message": "let me in"}, 400)
        event = self.ask(bot, user_id=BOB, group_id=GROUP, comment="sorry")
        self.assertEqual(
            {k: event[k] for k in ("request_type", "sub_type", "group_id", "user_id", "comment")},
            {
                "request_type": "group",
                "sub_type": "add",
                "group_id": GROUP,
                "user_id": BOB,
                "comment": "sorry",
            },
        )
        answer = bot.ask("set_group_add_request", flag=event["flag"], sub_type="add", approve=True)
        self.assertEqual(answer["retcode"], 0)
        event = bot.event(notice_type="group_increase")
        self.assertEqual((event["sub_type"], event["user_id"], event["operator_id"]), ("approve", BOB, 10001))
        self.post("say", {"user_id": BOB, "group_id": GROUP, "message": "thank you"})

    def test_group_invite(self) -> None:
        """The account leaves the group and is invited again; a bot accepts, and the account is in it."""
        bot = self.bot()
        self.assertEqual(bot.ask("set_group_leave", group_id=GROUP)["retcode"], 0)
        self.assertEqual(bot.event(notice_type="group_decrease")["sub_type"], "leave")
        self.assertEqual(bot.ask("get_group_list")["data"], [])
        self.assertEqual(bot.ask("send_group_msg", group_id=GROUP, message="x")["status"], "failed")
        event = self.ask(bot, user_id=ALICE, group_id=GROUP, sub_type="invite")
        self.assertEqual((event["request_type"], event["sub_type"]), ("group", "invite"))
        answer = bot.ask("set_group_add_request", flag=event["flag"], type="invite", approve="true")
        self.assertEqual(answer["retcode"], 0)
        event = bot.event(notice_type="group_increase")
        self.assertEqual((event["sub_type"], event["user_id"]), ("invite", 10001))
        self.assertEqual([g["group_id"] for g in bot.ask("get_group_list")["data"]], [GROUP])
        self.assertEqual(bot.ask("send_group_msg", group_id=GROUP, message="x")["status"], "ok")

    def test_refused(self) -> None:
        """What cannot be asked is answered 400 with the reason, and no bot hears of it."""
        bot = self.bot()
        for body, named in (
            (b"no", "params"),
            ({}, "user_id"),
            ({"user_id": 99}, "99"),
            ({"user_id": ALICE}, "friend already"),
            ({"user_id": CAROL, "group_id": GROUP}, "already"),
            ({"user_id": CAROL, "group_id": GROUP, "sub_type": "invite"}, "already"),
            ({"user_id": CAROL, "group_id": 99}, "99"),
            ({"user_id": CAROL, "group_id": GROUP, "sub_type": "beg"}, "sub_type"),
            ({"user_id": CAROL, "comment": {}}, "comment"),
        ):
            self.assertIn(named, self.post("ask", body, 400)["error"])
        self.assertEqual(self.world()["requests"], [])
        self.service.say(ALICE, "the next thing")
        self.assertEqual(bot.message()["raw_message"], "the next thing")

    def test_kept(self) -> None:
        """A request outlives the service, and is answered after it."""
        flag = self.post("ask", {"user_id": CAROL})["flag"]
        self.kill_when_kept("request", 1)
        bot = self.bot()
        self.assertEqual(bot.ask("set_friend_add_request", flag=flag)["retcode"], 0)
        self.assertEqual(bot.event(notice_type="friend_add")["user_id"], CAROL)


class Injecting(SharedControlTestCase):
    """``event``: any event, as if it came from the account."""

    def next_text(self, bot: RawClient) -> bytes:
        """The bytes of the next text frame."""
        opcode, payload = bot.frame()
        self.assertEqual(opcode, TEXT)
        return payload

    def test_byte_for_byte(self) -> None:
        """An injected event reaches every bot as the bytes that were sent; /api hears nothing of it."""
        bots = [self.bot(), self.bot("/event"), self.bot("/10001")]
        api = RawClient(self.service, "/api")
        self.addCleanup(api.socket.close)
        for raw in (
            b'{"post_type":"message","a":1}',
            b'{ "time" : 1.50e3 ,\n\t"post_type":"notice", "big": 12345678901234567890123456789, "d":1E400 }',
            '{"post_type":"x.extension","text":"你好\\u4f60\\/😀\\ud83d\\ude00\\u0000"}'.encode(),
            b'{"post_type":"notice","same":1,"same":2,"inner":{"echo":"stays"},"list":[{"echo":1}]}',
            b'{"post_type":"notice","echoes":1,"Echo":2,"self_id":"other"}',
            b'{"post_type":"message","long":"' + b"x" * 300_000 + b'"}',
        ):
            self.post("event", raw)
            for bot in bots:
                self.assertEqual(self.next_text(bot), raw)
        self.assertEqual(api.ask("get_status")["retcode"], 0)

    def test_echo_cut_out(self) -> None:
        """An event's own ``echo`` is cut out, or a framework would take it for a response; the rest stays."""
        bot = self.bot()
        for raw, kept in (
            (b'{"post_type":"notice","echo":"1","x":1.50}', {"post_type": "notice", "x": 1.5}),
            (b'{"echo":null,"post_type":"notice"}', {"post_type": "notice"}),
            (b'{"\\u0065cho":{"a":1},"post_type":"notice","y":[1]}', {"post_type": "notice", "y": [1]}),
            (b'{"echo":1,"post_type":"notice","echo":2}', {"post_type": "notice"}),
        ):
            self.post("event", raw)
            text = self.next_text(bot)
            self.assertEqual(json.loads(text), kept)
        self.assertNotIn(b"echo", text)

    def test_refused(self) -> None:
        """What is no event is answered 400 with the reason, and reaches no bot."""
        bot = self.bot()
        for body in (
            b"",
            b"event",
            b"[]",
            b"null",
            b"{}",
            b'{"post_type": 1}',
            b'{"post_type": null}',
            b'{"post_type": "notice"',
            b'{"post_type": "notice"} x',
            b'{"post_type": "notice", "x": NaN}',
            b'{"post_type": "notice", "x": "\xff"}',
            b'\xef\xbb\xbf{"post_type": "notice"}',
            b'{"post_type": "notice", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        ):
            self.post("event", body, 400)
        self.post("event", {"post_type": "notice", "number": 2})
        self.assertEqual(bot.message(), {"post_type": "notice", "number": 2})
