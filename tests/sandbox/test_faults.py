"""Faults on demand, and the log of the actions that bots called, as a bot over WebSocket meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.bots.session import BotSession, Role
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot import responses
from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.account import SandboxAccount
from lgtwist.sandbox.action_log import MAX_ACTION_LOG_BYTES, MAX_ACTIONS, MAX_LOGGED_PARAMS, ActionLog
from lgtwist.sandbox.control.faults import actions_json, faults_json, find_faults, read_fault
from lgtwist.sandbox.delays import MAX_DELAYED_BYTES, Delays
from lgtwist.sandbox.faults import MAX_FAULTS, Fault
from lgtwist.sandbox.files.media import MediaStore
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import World
from tests.hub.fakes import directory_of
from tests.pair import Pair, Peer
from tests.sandbox.worlds import ALICE, GROUP, SELF, text


class FaultsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.clock = self.pair.clock
        self.account = Account(SELF, self.clock, self.clock.seconds)
        self.bot = Bot(BotSettings("nonebot"))
        self.sandbox = SandboxAccount(
            self.account, Path(self.mktemp()), cast(MediaStore, None), self.clock.seconds
        )
        self.sandbox.prepare()
        self.sandbox.startService()
        self.addCleanup(self.sandbox.stopService)
        directory_of([self.account], [self.bot], self.clock)
        self.peer = self.dial()

    def dial(self, bot: Bot | None = None) -> Peer:
        """Return a bot that is connected, its lifecycle read."""
        session = BotSession(
            self.pair.factory, bot or self.bot, self.account, role=Role.UNIVERSAL, heartbeat_interval=5.0
        )
        peer = self.pair.connect(session).open()
        self.assertEqual([m["sub_type"] for m in peer.messages()], ["connect"])
        return peer

    def set(self, kind: str, **members: Any) -> int:
        """Set a fault; return its id."""
        fault = read_fault(Params(json.dumps({"kind": kind, **members}).encode()))
        self.sandbox.add_fault(fault)
        return fault.id

    def clear(self, **which: Any) -> int:
        cleared, chosen = find_faults(self.sandbox.faults, Params(json.dumps(which).encode()))
        self.sandbox.clear_faults(cleared, chosen)
        return len(cleared)

    def ask(self, action: str, **params: Any) -> Any:
        """Return the response to an action."""
        self.peer.call(action, **params)
        [response] = [m for m in self.peer.messages() if "echo" in m]
        return response

    def send(self, words: str = "hi") -> Any:
        return self.ask("send_private_msg", user_id=ALICE, message=words)

    def say(self, words: str) -> None:
        """Alice says something in the group."""
        self.sandbox.world.send_as_person(ALICE, text(words), self.sandbox.now(), GROUP)
        self.sandbox.publish_and_save()

    def said(self) -> list[str]:
        """Return what the world has of messages."""
        return [message.raw_message for message in self.sandbox.world.messages.values()]

    def heard(self) -> list[str]:
        """Return the messages that reached the bot since the last time."""
        return [m["raw_message"] for m in self.peer.messages() if m.get("post_type") == "message"]

    def logged(self, after: int | None = None) -> list[Any]:
        """Return the entries of the log of actions."""
        log = self.sandbox.action_log
        after = log.dropped_seq if after is None else after
        return list(json.loads(b"".join(actions_json(log, after)))["entries"])

    def outcomes(self) -> list[tuple[Any, ...]]:
        return [(one["action"], one["retcode"], one.get("fault")) for one in self.logged()]


class ActionFaultsTests(FaultsTestCase):
    def test_an_action_fails(self) -> None:
        """It fails so often with that retcode and those words, and is not carried out; others are."""
        number = self.set("fail", action="send_*", retcode=1200, message="no right", times=2)
        for _ in range(2):
            response = self.send()
            self.assertEqual(
                (response["status"], response["retcode"], response["message"], response["wording"]),
                ("failed", 1200, "no right", "no right"),
            )
            self.assertEqual(self.ask("get_login_info")["retcode"], 0)
        self.assertEqual(self.said(), [])
        self.assertEqual(self.send()["retcode"], 0)
        self.assertEqual(self.said(), ["hi"])
        self.assertEqual(faults_json(self.sandbox.faults), {"online": True, "faults": []})
        self.assertEqual(
            self.outcomes()[-3:],
            [("send_private_msg", 1200, number), ("get_login_info", 0, None), ("send_private_msg", 0, None)],
        )

    def test_the_answer_lies(self) -> None:
        """What is carried out all the same is in the world; a refusal of the world stays what it is."""
        self.set("fail", retcode=1504, message="timeout", carried_out=True)
        self.assertEqual(self.send()["retcode"], 1504)
        self.assertEqual(self.said(), ["hi"])
        refused = self.ask("send_private_msg", user_id=1, message="x")
        self.assertNotIn(refused["retcode"], (0, 1504))

    def test_of_one_bot(self) -> None:
        """A fault with ``bot`` is for that one only."""
        self.set("fail", bot="other")
        self.assertEqual(self.send()["retcode"], 0)
        self.set("fail", bot="nonebot", retcode=7)
        self.assertEqual(self.send()["retcode"], 7)

    def test_the_connection_breaks(self) -> None:
        """Before the first byte, or in the middle of the frame; what was sent before is whole."""
        for part in ("none", "half"):
            for carried_out in (True, False):
                before = self.said()
                self.set("break", action="send_private_msg", part=part, carried_out=carried_out, times=1)
                other = self.dial()
                taken = len(self.peer.transport.taken)
                self.say(f"{part} {carried_out}")
                self.peer.call("send_private_msg", user_id=ALICE, message="reply")
                self.pair.turn()
                self.pair.turn()
                self.assertTrue(self.peer.transport.aborted)
                frame = self.peer.transport.taken[taken:]
                self.assertIn(f"{part} {carried_out}".encode(), frame)
                event = frame[: 4 + int.from_bytes(frame[2:4], "big")]
                rest = frame[len(event) :]
                if part == "none":
                    self.assertEqual(rest, b"")
                else:
                    self.assertTrue(rest.startswith(b"\x81"))
                    self.assertIn(b'{"status":"ok"', rest)
                    self.assertNotIn(b"echo", rest)
                said = [f"{part} {carried_out}", *(["reply"] if carried_out else [])]
                self.assertEqual(self.said()[len(before) :], said)
                self.assertFalse(other.transport.aborted)
                self.peer = other
                self.heard()
                self.assertEqual(self.send()["retcode"], 0)
                self.clear()
        self.assertEqual([one["status"] for one in self.logged()], ["ok", "ok", None, "ok"] * 2)
        self.assertEqual(self.bot.counters.connections, 1)
        self.assertEqual((self.bot.quota(self.account).calls, self.bot.budget.used), (0, 0))

    def test_no_connection_waits(self) -> None:
        """An action that was answered with "async" is carried out, and the connection stays."""
        self.set("break")
        self.peer.call("send_private_msg_async", user_id=ALICE, message="hi")
        self.assertEqual([m["status"] for m in self.peer.messages()], ["async"])
        self.assertEqual(self.said(), ["hi"])
        self.assertFalse(self.peer.transport.aborted)

    def test_answers_come_late(self) -> None:
        """The action is carried out at once; answers to others overtake it."""
        self.set("delay", action="send_*", seconds=2.5, times=1)
        self.peer.call("send_private_msg", echo="late", user_id=ALICE, message="hi")
        self.assertEqual((self.peer.messages(), self.said()), ([], ["hi"]))
        self.assertEqual(self.outcomes()[-1][1], 0)
        self.assertEqual(self.ask("get_login_info")["retcode"], 0)
        self.clock.advance(2.4)
        self.assertEqual(self.peer.messages(), [])
        self.clock.advance(0.2)
        self.assertEqual([m["echo"] for m in self.peer.messages()], ["late"])

    def test_late_and_broken(self) -> None:
        """A delay and a break apply both: the connection breaks late."""
        self.set("delay", seconds=1)
        self.set("break")
        self.peer.call("get_login_info")
        self.pair.turn()
        self.assertFalse(self.peer.transport.aborted)
        self.clock.advance(1)
        self.assertTrue(self.peer.transport.aborted)

    def test_too_late(self) -> None:
        """Above ``action_timeout`` the bot gets 1504, and nothing else afterwards."""
        self.set("delay", seconds=100)
        self.peer.call("get_login_info")
        self.clock.advance(self.account.action_timeout + 1)
        self.assertEqual([m["retcode"] for m in self.peer.messages() if "echo" in m], [1504])
        self.clock.advance(100)
        self.assertEqual([m for m in self.peer.messages() if "echo" in m], [])
        self.assertEqual(self.account.counters.late_responses, 0)

    def test_clearing_ends_delays(self) -> None:
        """What is delayed comes when the fault is cleared, also if its times are used up."""
        self.set("delay", seconds=5, times=1)
        self.peer.call("get_login_info")
        self.assertEqual(self.peer.messages(), [])
        self.assertEqual(self.clear(kind="fail"), 0)
        self.assertEqual(self.peer.messages(), [])
        self.assertEqual(self.clear(kind="delay"), 0)
        self.assertEqual(len(self.peer.messages()), 1)

    def test_the_bot_disconnects_meanwhile(self) -> None:
        """A delayed answer is dropped with its connection."""
        self.set("delay", seconds=5)
        self.peer.call("get_login_info")
        self.peer.lose()
        self.clock.advance(6)
        self.assertEqual(self.account.counters.late_responses, 0)
        self.assertEqual(self.bot.budget.used, 0)


class OfflineTests(FaultsTestCase):
    def heartbeat(self) -> bool:
        self.pair.advance(5)
        [beat] = [m for m in self.peer.messages() if m.get("meta_event_type") == "heartbeat"]
        return bool(beat["status"]["online"])

    def test_logged_out_and_in(self) -> None:
        """The bot is told; actions are refused; what people say meanwhile is history; then all is well."""
        self.set("offline", reason="kicked", retcode=1234)
        [notice] = self.peer.messages()
        self.assertEqual(
            (notice["notice_type"], notice["user_id"], notice["message"]), ("bot_offline", SELF, "kicked")
        )
        self.assertFalse(self.account.online)
        self.assertTrue(self.account.is_up)
        self.assertEqual(self.ask("get_status")["data"], {"online": False, "good": False})
        self.assertEqual(self.ask("get_login_info")["data"]["user_id"], SELF)
        refused = self.send()
        self.assertEqual(refused["retcode"], 1234)
        self.assertIn("kicked", refused["message"])
        self.say("while you were out")
        self.assertEqual(self.heard(), [])
        self.assertFalse(self.heartbeat())
        self.assertFalse(self.heartbeat())  # lgtwist has asked with get_status meanwhile
        self.assertEqual(faults_json(self.sandbox.faults)["online"], False)
        self.clear(kind="offline")
        [notice] = self.peer.messages()
        self.assertEqual(notice["notice_type"], "bot_online")
        self.assertTrue(self.account.online)
        self.assertEqual(self.ask("get_status")["data"]["online"], True)
        history = self.ask("get_group_msg_history", group_id=GROUP)["data"]["messages"]
        self.assertEqual([m["raw_message"] for m in history], ["while you were out"])
        self.say("back")
        self.assertEqual(self.heard(), ["back"])
        self.assertTrue(self.heartbeat())

    def test_the_implementation_is_down(self) -> None:
        """Everything is as for an account that is down, and up again afterwards."""
        self.set("delay", seconds=9)
        self.peer.call("get_version_info")
        self.set("offline", down=True)
        self.assertFalse(self.account.is_up)
        self.assertEqual([m["retcode"] for m in self.peer.messages()], [1502])
        self.assertEqual(self.send()["retcode"], 1501)
        self.assertEqual(self.ask("get_status")["data"]["online"], False)
        self.say("lost")
        self.clear()
        self.assertTrue(self.account.online)
        self.assertEqual(self.peer.messages(), [])
        self.assertEqual(self.send()["retcode"], 0)

    def test_one_takes_the_place_of_the_other(self) -> None:
        """From down to logged out, and back; there is one such fault at a time."""
        self.set("offline", down=True)
        self.set("offline", reason="expired")
        self.assertEqual([m["notice_type"] for m in self.peer.messages()], ["bot_offline"])
        self.assertEqual((self.account.is_up, self.account.online), (True, False))
        self.set("offline", down=True)
        self.assertFalse(self.account.is_up)
        self.assertEqual(len(self.sandbox.faults), 1)
        self.clear()
        self.assertTrue(self.account.online)

    def test_another_world_ends_all(self) -> None:
        """Loading a world ends the faults; answers come, delayed events of the old world do not."""
        self.set("delay_events", seconds=9, times=1)
        self.say("old")
        self.set("delay", seconds=9)
        self.peer.call("get_login_info", echo="late")
        self.set("offline")
        self.peer.messages()
        self.sandbox.replace_world(World.with_example_people(SELF, self.sandbox.now()))
        came = self.peer.messages()
        self.assertEqual([m.get("notice_type", m.get("echo")) for m in came], ["bot_online", "late"])
        self.assertEqual(len(self.sandbox.faults), 0)
        self.clock.advance(10)
        self.assertEqual(self.heard(), [])
        self.assertTrue(self.account.online)
        self.assertEqual(len(self.logged()), 1)


class EventFaultsTests(FaultsTestCase):
    def test_lost_twice_and_late(self) -> None:
        """The next event is lost, the one after it comes twice, the third one behind newer ones."""
        self.set("drop_events", times=1)
        self.set("duplicate_events", times=1)
        self.set("delay_events", seconds=5, times=1)
        for words in ("one", "two", "three", "four"):
            self.say(words)
        self.assertEqual(self.heard(), ["two", "two", "four"])
        self.assertEqual(self.said(), ["one", "two", "three", "four"])
        self.clock.advance(5)
        self.assertEqual(self.heard(), ["three"])
        self.assertEqual(len(self.sandbox.faults), 0)

    def test_cleared(self) -> None:
        """Delayed events come at once when the fault is cleared, in their order; not while offline."""
        number = self.set("delay_events", seconds=60)
        self.say("one")
        self.say("two")
        self.assertEqual(self.heard(), [])
        self.assertEqual(self.clear(id=number), 1)
        self.assertEqual(self.heard(), ["one", "two"])
        self.set("delay_events", seconds=1, times=1)
        self.say("three")
        self.set("offline")
        self.clock.advance(1)
        self.clear()
        self.assertEqual(self.heard(), [])

    def test_injected_events(self) -> None:
        """What is injected is not touched."""
        self.set("drop_events")
        self.sandbox.publish_raw_event(b'{"post_type":"notice","notice_type":"x"}')
        self.assertEqual([m["notice_type"] for m in self.peer.messages()], ["x"])


class ReadingTests(FaultsTestCase):
    def refusal(self, **members: Any) -> str:
        error = self.assertRaises(BadRequest, read_fault, Params(json.dumps(members).encode()))
        return str(error)

    def test_mistakes(self) -> None:
        """Each mistake is a sentence that names the member."""
        self.assertIn("kind is missing", self.refusal())
        self.assertIn("expected offline, fail", self.refusal(kind="broken"))
        self.assertIn(
            "params.action: a fault of the kind offline has", self.refusal(kind="offline", action="x")
        )
        self.assertIn("params.time:", self.refusal(kind="fail", time=1))
        for retcode in (0, 1, "1"):
            self.assertIn("succeeded", self.refusal(kind="fail", retcode=retcode))
        for times in (0, -1, 1_000_001):
            self.assertIn("from 1 to 1000000", self.refusal(kind="drop_events", times=times))
        for seconds in (0, -1, 601, "soon", True, "nan", [1]):
            self.assertIn("above 0, up to 600", self.refusal(kind="delay", seconds=seconds))
        self.assertIn("seconds is missing", self.refusal(kind="delay"))
        self.assertIn("expected none or half", self.refusal(kind="break", part="all"))
        self.assertIn("1000 characters", self.refusal(kind="fail", message="x" * 1001))
        self.assertIn("100 characters", self.refusal(kind="fail", action="x" * 101))
        self.assertIn("id or kind", str(self.assertRaises(BadRequest, self.clear, fault=1)))
        self.assertRaises(BadRequest, self.clear, kind="broken")

    def test_shown(self) -> None:
        """A fault is shown with what was left out, how often it was applied, and how often it will be."""
        number = self.set("break", times=3)
        self.sandbox.faults.apply_to_action("get_status", "b")
        shown = faults_json(self.sandbox.faults)["faults"]
        self.assertEqual(
            shown,
            [
                {
                    "id": number,
                    "kind": "break",
                    "action": "*",
                    "bot": "",
                    "part": "none",
                    "carried_out": True,
                    "times": 3,
                    "applied": 1,
                    "left": 2,
                }
            ],
        )
        self.assertEqual(Fault(kind="delay", seconds=2.5).as_json()["left"], None)

    def test_so_many(self) -> None:
        """There is a bound to them; clearing makes room."""
        for _ in range(MAX_FAULTS):
            self.set("fail")
        self.assertRaises(BadRequest, self.set, "fail")
        self.assertEqual(self.clear(), MAX_FAULTS)
        self.set("fail")

    def test_delays_are_bounded(self) -> None:
        """What would be more than may be delayed comes at once."""
        delays, came = Delays(self.clock), []
        fault = Fault(kind="delay", seconds=1.0)
        for number in range(3):
            delays.add(number, fault, MAX_DELAYED_BYTES // 2, lambda number=number: came.append(number))
        self.assertEqual(came, [2])
        self.clock.advance(1)
        self.assertEqual(came, [2, 0, 1])
        delays.add(3, fault, MAX_DELAYED_BYTES, lambda: came.append(3))
        delays.forget(3)
        self.clock.advance(1)
        self.assertEqual(came, [2, 0, 1])


class ActionLogTests(FaultsTestCase):
    def test_entries(self) -> None:
        """Who called what, with which parameters and outcome; lgtwist's own are not there."""
        self.assertEqual(self.logged(), [])
        self.ask("set_group_ban", group_id=GROUP, user_id="20002", duration=60)
        self.ask("get_msg", message_id=77)
        self.ask("no_such_action")
        first, second, third = self.logged()
        self.assertEqual(first["params"], {"group_id": GROUP, "user_id": "20002", "duration": 60})
        self.assertEqual(
            [first[name] for name in ("bot", "action", "status", "retcode", "message")],
            ["nonebot", "set_group_ban", "ok", 0, ""],
        )
        self.assertEqual((second["status"], second["retcode"]), ("failed", 100))
        self.assertTrue(second["message"])
        self.assertEqual(third["retcode"], 1404)
        self.assertEqual(self.logged(first["seq"]), [second, third])
        self.assertEqual(self.logged(third["seq"]), [])
        self.assertNotIn("fault", first)

    def test_waiting(self) -> None:
        """Who waits is called back at the next action, and when the service stops."""
        fired = self.successResultOf
        waiting = self.sandbox.when_action_logged()
        self.ask("get_login_info")
        fired(waiting)
        waiting = self.sandbox.when_action_logged()
        self.assertNoResult(waiting)
        self.sandbox.stopService()
        fired(waiting)
        self.sandbox.startService()

    def test_odd_parameters(self) -> None:
        """Parameters that are no plain JSON are shown as far as they can be."""
        self.peer.send(b'{"action":"get_msg","params":{"message_id":"\\ud83d","n":1e999},"echo":1}')
        self.assertEqual(self.logged()[0]["params"]["message_id"], "\ufffd")

    def test_bounds(self) -> None:
        """The oldest entries are removed, and a reader is told; large parameters are left out."""
        log = ActionLog(1000)
        for _number in range(5 * MAX_ACTIONS):
            log.add(1.5, "b", "a", b"{}", 2, b"", 0)
        self.assertEqual(log.last_seq, 1000 + 5 * MAX_ACTIONS)
        kept = log.entries_after(log.dropped_seq)
        self.assertTrue(MAX_ACTIONS <= len(kept) <= MAX_ACTIONS + 100)
        self.assertEqual((kept[0].seq, kept[-1].seq), (log.dropped_seq + 1, log.last_seq))
        for after, missed in ((1000, True), (log.last_seq + 1, True), (log.last_seq, False)):
            self.assertEqual(json.loads(b"".join(actions_json(log, after)))["missed"], missed)
        log.add(1.5, "b", "large", b"x" * MAX_LOGGED_PARAMS, MAX_LOGGED_PARAMS, b"", 0)
        [entry] = json.loads(b"".join(actions_json(log, log.last_seq - 1)))["entries"]
        self.assertEqual((entry["params"], entry["params_size"]), (None, MAX_LOGGED_PARAMS))
        params = b'{"a":"%b"}' % (b"x" * (MAX_LOGGED_PARAMS - 100))
        for _number in range(100):
            log.add(1.5, "b", "a", params, len(params), b"", 0)
        kept = log.entries_after(log.dropped_seq)
        self.assertLessEqual(sum(len(one.params) for one in kept), MAX_ACTION_LOG_BYTES)
        self.assertGreater(len(kept), 50)
        response = responses.failed(1400, "x" * 50_000)
        for _number in range(100):
            log.add(1.5, "b", "a", b"{}", 2, response, 0)
        kept = log.entries_after(log.dropped_seq)
        self.assertLessEqual(sum(len(one.params + one.response) for one in kept), MAX_ACTION_LOG_BYTES)
        self.assertGreater(len(kept), 30)
