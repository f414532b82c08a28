"""A newer link of the same account takes over, and what an implementation says of being online."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.integration.accounts import FORWARD, HTTP, LIMITS, REVERSE, Bot, RawClient, WorldTestCase
from tests.integration.rawclient import masked_frame
from tests.integration.running import Service, wait_until
from tests.processes import Stopwatch

UNIVERSAL, API, EVENT = "Universal", "API", "Event"


class Hand(RawClient):
    """A link of an implementation made by hand: it says only what the test says."""

    def __init__(self, service: Service, self_id: int, role: str, identify: bool = True) -> None:
        end = "ws" if role == UNIVERSAL else role.lower()
        super().__init__(service, f"/onebot/v11/{end}", {"X-Self-ID": str(self_id), "X-Client-Role": role})
        self.self_id, self.role = self_id, role
        if role.lower() != "event" and identify:
            self.reply(self.action("get_login_info"), {"user_id": self_id, "nickname": role})
            self.reply(self.action("get_version_info"), {"app_name": "Lagrange.OneBot"})

    def action(self, name: str) -> dict[str, Any]:
        """The next action, which has this name."""
        message = self.message()
        assert message["action"] == name, message
        return dict(message)

    def reply(self, action: dict[str, Any], data: Any) -> None:
        answer = {"status": "ok", "retcode": 0, "data": data, "echo": action["echo"]}
        self.send(json.dumps(answer))

    def publish(self, **fields: Any) -> None:
        self.send(json.dumps({"post_type": "message", "self_id": self.self_id, **fields}))

    def beat(self, online: bool = True, interval: int = 0) -> None:
        self.publish(
            post_type="meta_event",
            meta_event_type="heartbeat",
            status={"online": online, "good": online},
            interval=interval,
        )

    def notice(self, kind: str) -> None:
        self.publish(post_type="notice", notice_type=kind)


class HandTestCase(WorldTestCase):
    """Tests whose implementations are made by hand."""

    accounts = [
        {"self_id": 21101, "transport": REVERSE, "reconnect_ms": 50, "heartbeat_ms": 0},
        {"self_id": 21102, "transport": REVERSE, "reconnect_ms": 50, "heartbeat_ms": 0, "split": True},
    ]
    #: More accounts, which nobody plays.
    toml = "\n".join(f'[[accounts]]\ntype = "reverse-websocket"\nself_id = {21110 + n}' for n in range(20))
    _used = 0

    def hand(self, self_id: int, role: str, identify: bool = True) -> Hand:
        hand = Hand(self.service, self_id, role, identify)
        self.addCleanup(hand.socket.close)
        return hand

    def is_online(self, self_id: int) -> bool:
        """As the metrics have it: a hand would have to answer ``get_status``."""
        return self.world.metric("lgtwist_account_online", account=self_id) == 1

    def wait_hand(self, *self_ids: int) -> None:
        for self_id in self_ids:
            wait_until(f"{self_id} is online", lambda one=self_id: self.is_online(one))

    def fresh(self) -> int:
        """An account that no test has used."""
        type(self)._used += 1
        return 21109 + type(self)._used


class TakeoverTests(HandTestCase):
    def _serves(self, bot: Bot, api: Hand, event: Hand) -> None:
        """Actions go to the one, events come from the other."""
        bot.call("get_group_list", "q")
        api.reply(api.action("get_group_list"), api.role)
        self.assertEqual(bot.response()["data"], api.role)
        event.publish(word=(word := f"{time.monotonic()}"))
        self.assertEqual(json.loads(bot.event_text())["word"], word)

    def _replaced(self, old: Hand) -> None:
        """It was closed, with a close frame."""
        code, reason = old.close_frame()
        self.assertEqual((code, reason), (1000, "a newer link took over"))

    def test_universal_takes_over(self) -> None:
        """Complaints 4 and 5: calls on the old one end as 1502 at once; its late death disturbs nobody."""
        self_id = self.fresh()
        old = self.hand(self_id, UNIVERSAL)
        self.wait_hand(self_id)
        bot = self.bot(self_id)
        self._serves(bot, old, old)
        bot.call("get_msg", "in flight")
        pending = old.action("get_msg")
        began = time.monotonic()
        new = self.hand(self_id, UNIVERSAL)
        answer = bot.response()
        self.assertEqual((answer["echo"], answer["retcode"]), ("in flight", 1502))
        self.assertLess(time.monotonic() - began, 5)
        self._serves(bot, new, new)
        old.reply(pending, "too late")  # it has not seen our close frame yet
        old.publish(word="from the old one")
        self._replaced(old)
        self._serves(bot, new, new)
        old.reset()
        for _ in range(20):
            self._serves(bot, new, new)
        self.assertTrue(self.is_online(self_id))
        self.assertEqual(self.world.metric("lgtwist_link_takeovers_total", account=self_id), 1)

    def test_halves(self) -> None:
        """Event never replaces API; Universal replaces both; a half replaces a Universal."""
        self_id = self.fresh()
        api = self.hand(self_id, "Api")  # Lagrange's spelling
        event = self.hand(self_id, EVENT)
        self.wait_hand(self_id)
        bot = self.bot(self_id)
        self._serves(bot, api, event)
        event_2 = self.hand(self_id, "event")
        self._replaced(event)
        self._serves(bot, api, event_2)
        bot.call("get_msg", "in flight")
        api.action("get_msg")
        event_3 = self.hand(self_id, EVENT)  # does not touch the call
        self._replaced(event_2)
        event.reset()
        event_2.reset()
        self.assertTrue(self.world.metric("lgtwist_calls_in_flight", account=self_id) >= 1)
        universal = self.hand(self_id, UNIVERSAL)
        self.assertEqual(bot.response()["retcode"], 1502)
        self._replaced(api)
        self._replaced(event_3)
        self._serves(bot, universal, universal)
        api.reset()
        event_3.reset()
        self._serves(bot, universal, universal)
        half = self.hand(self_id, "api")
        self._replaced(universal)
        bot.heartbeat(online=False)
        bot.call("get_group_list", "half")
        half.reply(half.action("get_group_list"), "half")
        self.assertEqual(bot.response()["data"], "half")
        last = self.hand(self_id, EVENT)
        bot.heartbeat(online=True)
        self._serves(bot, half, last)

    def test_L43_one_half_missing(self) -> None:
        """Not online; without API 1501, without Event nothing comes, and the other half goes on."""
        self_id = self.fresh()
        api, event = self.hand(self_id, API), self.hand(self_id, EVENT)
        self.wait_hand(self_id)
        bot = self.bot(self_id)
        api.send_close()
        bot.heartbeat(online=False)
        self.assertEqual(bot.retcode("get_group_list"), 1501)
        self.assertEqual(bot.ask("get_status")["data"], {"online": False, "good": False})
        self.assertEqual(bot.ask("get_login_info")["data"]["user_id"], self_id)
        event.publish(word="goes on")
        self.assertEqual(json.loads(bot.event_text())["word"], "goes on")
        self.assertFalse(self.is_online(self_id))
        api = self.hand(self_id, API)
        bot.heartbeat(online=True)
        event.reset()
        bot.heartbeat(online=False)
        bot.call("get_msg", "x")
        api.reply(api.action("get_msg"), "works")
        self.assertEqual(bot.response()["data"], "works")
        self.assertEqual(bot.ask("get_status")["data"], {"online": False, "good": False})
        event = self.hand(self_id, EVENT)
        bot.heartbeat(online=True)
        self._serves(bot, api, event)

    def test_one_half_first(self) -> None:
        """Not up before both are there: bots wait."""
        self_id = self.fresh()
        api = self.hand(self_id, API)
        status, answer = self.service.http(f"/{self_id}/get_status")
        self.assertEqual((status, answer["data"]["online"]), (200, False))
        with self.assertRaises(Exception) as refused:
            self.bot(self_id)
        self.assertEqual(getattr(refused.exception, "status", None), 503)
        event = self.hand(self_id, EVENT)
        self.wait_hand(self_id)
        self._serves(self.bot(self_id), api, event)

    def test_L43_half_open_is_replaced_at_once(self) -> None:
        """The old link is silent but there; the new one does not wait for its death."""
        for self_id in (21101, 21102):
            self.world.wait_online(self_id)
            bot = self.bot(self_id)
            bot.call("sleep_ms", "old", ms=60_000)
            self.world.wait_received(self_id, "sleep_ms")
            watch = Stopwatch(self.service.pid, self.implementation.pid)
            frozen = self.control(self_id, "half_open", redial=True)["connections"]
            answer = bot.response()
            self.assertEqual((answer["echo"], answer["retcode"]), ("old", 1502))
            self.assertLess(watch.seconds(), 0.7)
            self.assert_good(self_id, bot)
            for connection in frozen:  # its late death
                self.control(self_id, "rst", connection=connection)
            self.assert_good(self_id, bot)
            self.assertTrue(self.world.online(self_id))
            self.implementation.control(self_id, "forget")

    def test_takeover_before_it_said_who_it_is(self) -> None:
        """The answers of the old one, with ids like the new one's, count for nothing."""
        self_id = self.fresh()
        old = self.hand(self_id, UNIVERSAL, identify=False)
        asked = old.action("get_login_info")
        new = self.hand(self_id, UNIVERSAL, identify=False)
        asked_again = new.action("get_login_info")
        old.reply(asked, {"user_id": self_id})
        old.reply(asked_again, {"user_id": self_id})
        self._replaced(old)
        self.assertFalse(self.is_online(self_id))
        new.reply(asked_again, {"user_id": self_id, "nickname": "new"})
        self.wait_hand(self_id)

    def test_many_takeovers_leave_nothing(self) -> None:
        """An implementation that dials without end leaves neither links nor descriptors."""
        self_id = self.fresh()
        self.hand(self_id, UNIVERSAL)
        self.wait_hand(self_id)
        before = self.service.open_files()
        for _ in range(100):
            last = Hand(self.service, self_id, UNIVERSAL)
            self.addCleanup(last.socket.close)
        bot = self.bot(self_id)
        self._serves(bot, last, last)
        wait_until("the old ones are gone", lambda: self.service.open_files() <= before + 3)
        self._serves(bot, last, last)


class PresenceTests(HandTestCase):
    """Online or not, by what the implementation says."""

    accounts = [
        {"self_id": 21201, "transport": FORWARD, "dialect": "lagrange", "heartbeat_ms": 100},
        {"self_id": 21202, "transport": FORWARD, "dialect": "go-cqhttp", "heartbeat_ms": 200},
        {"self_id": 21203, "transport": HTTP, "dialect": "onebot11", "heartbeat_ms": 0},
        {"self_id": 21204, "transport": FORWARD, "dialect": "onebot11", "heartbeat_ms": 200, "end": "/event"},
    ]
    # A busy machine measures longer heartbeats, and sees later that they are missing.
    limits = LIMITS.replace("1500ms", "4s")

    def test_L36_heartbeats_say_offline(self) -> None:
        """The account is up all the while: actions are passed on, only its status tells."""
        for self_id in (21201, 21202, 21203, 21204):
            self.world.wait_online(self_id)
            bot = self.bot(self_id)
            told = len(self.world.lines(f"account {self_id} is offline"))
            self.control(self_id, "status", online=False)
            bot.heartbeat(online=False)
            self.assertEqual(bot.ask("echo_params", n=1)["data"], {"n": 1})
            before = len(self.implementation.received(self_id, "get_status"))
            self.assertEqual(bot.ask("get_status")["data"], {"online": False, "good": False})
            if self_id != 21203:  # that one is asked all the time
                self.assertEqual(len(self.implementation.received(self_id, "get_status")), before)
            self.control(self_id, "status", online=True)
            bot.heartbeat(online=True)
            self.assertEqual(len(self.world.lines(f"account {self_id} is offline")), told + 1)
            self.assertTrue(self.world.lines(f"account {self_id} is online again"))

    def test_L36_bot_offline_and_constant_heartbeats(self) -> None:
        """Lagrange's heartbeats say online whatever happens: they must not talk the account back."""
        self.world.wait_online(21201)
        bot = self.bot(21201)

        def kicked() -> None:
            self.control(21201, "offline_notice")
            self.assertEqual(bot.event(post_type="notice")["notice_type"], "bot_offline")
            for _ in range(3):
                self.control(21201, "heartbeat", online=True)
            self.assertTrue(self.implementation.state(21201)["online"])
            for _ in range(2):
                bot.heartbeat(online=False)
            self.assertEqual(bot.ask("get_status")["data"], {"online": False, "good": False})

        kicked()
        self.control(21201, "online_notice")
        self.assertEqual(bot.event(post_type="notice")["notice_type"], "bot_online")
        bot.heartbeat(online=True)
        kicked()
        self.say(21201, "alive")
        bot.heartbeat(online=True)
        kicked()
        self.control(21201, "rst")
        bot.heartbeat(online=True)
        kicked()  # heartbeats that turned false since are to be believed again
        self.control(21201, "heartbeat", online=False)
        self.control(21201, "heartbeat", online=True)
        bot.heartbeat(online=True)

    def test_bot_offline_elsewhere(self) -> None:
        """A notice goes to the bot too, and any other notice is a sign of life."""
        self_id = self.fresh()
        hand = self.hand(self_id, UNIVERSAL)
        self.wait_hand(self_id)
        bot = self.bot(self_id)
        hand.notice("group_recall")
        self.assertEqual(bot.event(post_type="notice")["notice_type"], "group_recall")
        self.assertTrue(bot.event(meta_event_type="heartbeat")["status"]["online"])
        hand.notice("bot_offline")
        bot.heartbeat(online=False)
        hand.beat(online=True)
        bot.heartbeat(online=False)
        hand.notice("group_recall")
        bot.heartbeat(online=True)
        hand.notice("bot_offline")
        bot.heartbeat(online=False)
        hand.beat(online=False)
        hand.beat(online=True)
        bot.heartbeat(online=True)
        hand.publish(post_type="meta_event", meta_event_type="heartbeat", status={}, interval=0)
        hand.publish(post_type="meta_event", meta_event_type="heartbeat", status=None, interval="x")
        hand.publish(post_type="meta_event", meta_event_type="heartbeat")
        hand.notice("bot_online")
        bot.heartbeat(online=True)

    def test_L41_three_heartbeats_missing(self) -> None:
        """L-43: a half-open link ends after three of its heartbeats, and one new link is made."""
        for self_id in (21202, 21204):
            self.world.wait_online(self_id)
            bot = self.bot(self_id)
            before = time.monotonic()
            while time.monotonic() - before < 0.7:  # it beats each 0.2 s: the gaps are measured
                bot.heartbeat(online=True)
            role = "universal" if self_id == 21202 else "event"
            frozen = self.control(self_id, "half_open", role=role)["connections"]
            bot.call("echo_params", "lost")
            watch = Stopwatch(self.service.pid, self.implementation.pid)
            before = self.implementation.state(self_id)["connections_ever"]
            answer = bot.response()
            self.assertEqual(answer["retcode"], 1502 if role == "universal" else 0)
            wait_until(
                "it is dialled again",
                lambda one=self_id, b=before: self.implementation.state(one)["connections_ever"] > b,
            )
            self.assertLess(watch.seconds(), 3.5)
            self.world.wait_online(self_id)
            self.assertTrue(
                self.world.lines(f"account {self_id}", "no message for 3 of its heartbeat intervals of 0.")
            )
            state = self.implementation.state(self_id)
            for link in state["connections"]:
                self.assertEqual(link["tcp_ended"], link["number"] in frozen)
            self.assertEqual(state["connections_ever"], before + 1)
            self.assertEqual(state["max_concurrent"][role], 1)  # it had ended before the new one was dialled
            self.assert_good(self_id, bot)

    def test_any_part_of_a_message_is_life(self) -> None:
        """One that sends a long message slowly has no time for heartbeats; when it stops, it is mute."""
        self_id = self.fresh()
        hand = self.hand(self_id, UNIVERSAL)
        self.wait_hand(self_id)
        bot = self.bot(self_id)
        for _ in range(3):
            hand.beat(interval=200)
            time.sleep(0.2)  # its interval, which is measured
        text = json.dumps({"post_type": "message", "self_id": self_id, "pad": "x" * 100}).encode()
        frame = masked_frame(text)
        began = time.monotonic()
        for at in range(0, len(frame), 10):
            hand.socket.sendall(frame[at : at + 10])
            time.sleep(0.1)  # what is slow here is the implementation
        self.assertGreater(time.monotonic() - began, 1.2)
        self.assertEqual(bot.event_text(), text)
        self.assertTrue(self.is_online(self_id))
        stopped, watch = time.monotonic(), self.service.stopwatch()
        bot.heartbeat(online=False)
        self.assertGreater(time.monotonic() - stopped, 0.3)
        self.assertLess(watch.seconds(), 2)
        self.assertTrue(self.world.lines(str(self_id), "no message for 3"))

    def test_without_heartbeats_silence_is_no_death(self) -> None:
        """No heartbeat, or an interval of 0, promises nothing."""
        silent, zero = self.fresh(), self.fresh()
        hands = [self.hand(silent, UNIVERSAL), self.hand(zero, UNIVERSAL)]
        hands[1].beat(interval=0)
        self.wait_hand(silent, zero)
        bots = [self.bot(silent), self.bot(zero)]
        for bot in bots:
            for _ in range(8):  # 1.2 s
                self.assertTrue(bot.event(meta_event_type="heartbeat")["status"]["online"])

    def test_one_that_does_not_read(self) -> None:
        """Its heartbeats come: it is there, though calls go unanswered."""
        self.world.wait_online(21201)
        bot = self.bot(21201)
        self.control(21201, "stop_reading")
        before = self.implementation.state(21201)["connections_ever"]
        self.assertEqual(bot.retcode("echo_params"), 1504)
        bot.heartbeat(online=True)
        self.control(21201, "resume_reading")
        self.assert_good(21201, bot)
        self.assertEqual(self.implementation.state(21201)["connections_ever"], before)

    def test_no_pongs(self) -> None:
        """A missing pong alone is not death."""
        self.world.wait_online(21202)
        self.control(21202, "drop_pongs")
        bot = self.bot(21202)
        before = self.implementation.state(21202)["connections_ever"]
        for _ in range(5):
            self.assertTrue(bot.event(meta_event_type="heartbeat")["status"]["online"])
        self.control(21202, "drop_pongs", on=False)
        self.assertEqual(self.implementation.state(21202)["connections_ever"], before)
        self.assert_good(21202, bot)
