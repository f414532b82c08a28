"""What servers of Milky do otherwise, or wrongly, one by one, and what a bot of OneBot 11 notices of it.

Some is in ``test_milky_link`` too, with one server; here it is tried on request, among the others.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.at_least_once import metric
from tests.integration.rawclient import CLOSE, PING, PONG, TEXT, Ended, RawClient
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase
from tests.milky.fake import FakeMilky
from tests.processes import PATIENCE, ChildProcess, Stopwatch
from tests.rounds import combination

FRIEND, MEMBER, OWNER, GROUP, SECOND_GROUP = 20001, 20002, 20003, 30001, 30002
#: Seconds that an action may take.
ACTION_TIMEOUT = 1.5

#: The accounts of one lgtwist: how their servers are, and more keys of their own.
AS_WRITTEN, LAGRANGE, LLBOT, OLD = 10001, 10002, 10003, 10004
SERVERS: dict[int, tuple[dict[str, Any], list[str]]] = {
    AS_WRITTEN: ({}, []),
    LAGRANGE: ({"habit": "lagrange"}, []),
    LLBOT: ({"habit": "llbot"}, []),
    OLD: ({"version": "1.0"}, ["self_messages = true"]),
}


class HurriedClient(RawClient):
    """A bot for which each message must come in time, however many pings come before it."""

    def message(self) -> Any:
        """The next text message but for meta events, as JSON; pings on the way are answered."""
        watch = Stopwatch()
        while watch.seconds() < PATIENCE:
            opcode, payload = self.frame()
            if opcode == TEXT and b'"meta_event"' not in payload:
                return json.loads(payload)
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == CLOSE:
                raise Ended(f"closed with {payload!r}")
        raise AssertionError(f"no message comes within {PATIENCE:g} s")


class Servers:
    """One lgtwist, and a Milky server for each of its accounts."""

    def __init__(self, folder: Path) -> None:
        self.parts: list[ChildProcess] = []
        self.fakes: dict[int, FakeMilky] = {}
        toml = [
            "[limits]",
            f'action_timeout = "{ACTION_TIMEOUT * 1000:g}ms"',
            'heartbeat_interval = "0s"',
            'ping_interval = "100ms"',
            'ping_timeout = "2s"',
        ]
        try:
            for number, (switches, lines) in SERVERS.items():
                fake = FakeMilky(folder / str(number), self_id=number, token=f"of-milky-{number}", **switches)
                self.parts.append(fake)
                self.fakes[number] = fake
                toml += [
                    "[[accounts]]",
                    'type = "milky"',
                    f"self_id = {number}",
                    f'url = "{fake.url}"',
                    f'access_token = "of-milky-{number}"',
                    'reconnect = { min = "100ms", max = "200ms" }',
                    *lines,
                ]
            self.service = Service(folder / "service", "\n".join([*toml, "[[bots]]", 'name = "bot"']))
            self.parts.append(self.service)
            wait_until("the accounts are up", self.service.ready)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        for part in reversed(self.parts):
            part.clean_up() if isinstance(part, Service) else part.end()


class SwitchTestCase(SharedTestCase):
    """Tests that share a service; each leaves the accounts up, and the switches as it found them."""

    def start_shared(self, folder: Path) -> Servers:
        return Servers(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        wait_until("the accounts are up", self.service.ready)
        self._log_before = len(self.service.log())
        self.use(AS_WRITTEN)

    def use(self, account: int) -> None:
        """Talk to the bot's side of an account, and to its server."""
        self.account = account
        self.fake: FakeMilky = self.shared.fakes[account]
        self._calls_before = len(self.fake.calls())
        self.bot = HurriedClient(self.service, f"/{account}")
        self.addCleanup(self._look_around, self.fake, len(self.fake.violations()))
        self.addCleanup(self.bot.socket.close)

    def _look_around(self, fake: FakeMilky, violations: int) -> None:
        for bad in ("Traceback", "Unhandled", "of-milky-"):
            self.assertNotIn(bad, self.log())
        self.assertEqual([], fake.broken_rules()[violations:])

    @contextmanager
    def switched(self, **switches: Any) -> Iterator[None]:
        """Set switches of the account's server, and set them back."""
        before = self.fake.control("switches")
        self.fake.switch(**switches)
        try:
            yield
        finally:
            self.fake.switch(**{name: before[name] for name in switches})

    def log(self) -> str:
        """What lgtwist has logged since the test began."""
        return self.service.log()[self._log_before :]

    def wait_logged(self, *words: str) -> None:
        """Wait until one line of the log has these words."""

        def logged() -> bool:
            return any(all(word in line for word in words) for line in self.log().splitlines())

        try:
            wait_until(f"the log says {words}", logged)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def calls(self, *apis: str) -> list[dict[str, Any]]:
        """The calls of APIs since the test began, in order."""
        return [one for one in self.fake.calls()[self._calls_before :] if one["api"] in apis]

    def data(self, action: str, **params: Any) -> Any:
        """Call an action that succeeds; its data."""
        answer = self.bot.ask(action, **params)
        self.assertEqual(("ok", 0), (answer["status"], answer["retcode"]), (action, answer))
        return answer["data"]

    def refused(self, retcode: int, words: str, action: str, **params: Any) -> None:
        """Call an action that fails so, with a sentence that has these words."""
        answer = self.bot.ask(action, **params)
        self.assertEqual(("failed", retcode), (answer["status"], answer["retcode"]), (action, answer))
        self.assertIn(words, answer["wording"], answer)
        self.assertIsNone(answer["data"])

    def say(self, text: str, group_id: int = GROUP, sender_id: int = FRIEND) -> tuple[int, dict[str, Any]]:
        """Somebody says something in a group; its sequence number there, and the bot's event."""
        seq = self.fake.say("group", group_id, text, sender_id)["message_seq"]
        return seq, self.bot.event(post_type="message", raw_message=text)

    def send(self, text: str, group_id: int = GROUP) -> int:
        """The bot says something in a group; the id."""
        return int(self.data("send_group_msg", group_id=group_id, message=text)["message_id"])

    def texts(self, scene: str = "group", peer_id: int = GROUP) -> list[str]:
        """What was said in a conversation, without what was recalled."""
        return [
            "".join(one["data"].get("text", "") for one in message["segments"])
            for message in self.fake.history(scene, peer_id)
            if message
        ]

    def wait_down(self, *words: str) -> None:
        """Wait until the account is down with a reason that has these words."""

        def down() -> bool:
            status, answer = self.service.http("/readyz")
            return status == 503 and all(word in " ".join(answer["reasons"]) for word in words)

        try:
            wait_until(f"the account is down: {words}", down)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.service.http('/readyz')}\n{self.log()}") from None

    def wait_up(self) -> None:
        """Wait until the account is up, and listens."""
        wait_until("the accounts are up", self.service.ready)
        self.fake.wait_stream()


class AsWritten(SwitchTestCase):
    """A server that does all as Milky says, but for what a switch says."""

    # -- calls

    @combination
    def test_sends_keep_their_order(self) -> None:
        """One after the other in one conversation, side by side in two."""
        with self.switched(delay={"*": 0.15}):
            for number in range(4):
                for group_id in (GROUP, SECOND_GROUP):
                    self.bot.call("send_group_msg", number, group_id=group_id, message=f"order {number}")
            answers = [self.bot.response() for _ in range(8)]
        self.assertEqual([0] * 8, [one["retcode"] for one in answers])
        sends = self.calls("send_group_message")
        for group_id in (GROUP, SECOND_GROUP):
            own = [one for one in sends if one["params"]["group_id"] == group_id]
            told = [one["params"]["message"][0]["data"]["text"] for one in own]
            self.assertEqual([f"order {number}" for number in range(4)], told)
            for before, after in zip(own, own[1:], strict=False):
                self.assertLessEqual(before["ended"], after["began"])
        self.assertLess(sends[1]["began"], sends[0]["ended"])

    @combination
    def test_after_a_timeout_the_next_send_goes(self) -> None:
        with self.switched(delay={"send_group_message": 20}):
            self.bot.call("send_group_msg", "first", group_id=GROUP, message="too slow")
            self.fake.wait_for("gets the first", lambda: self.calls("send_group_message"))
            time.sleep(ACTION_TIMEOUT / 2)  # each has so long, waiting included
        self.bot.call("send_group_msg", "second", group_id=GROUP, message="after it")
        answers = {one["echo"]: one for one in (self.bot.response(), self.bot.response())}
        self.assertEqual(1504, answers["first"]["retcode"])
        self.assertEqual(0, answers["second"]["retcode"])
        self.assertEqual(["too slow", "after it"], self.texts()[-2:])

    @combination
    def test_no_call_is_sent_twice(self) -> None:
        with self.switched(drop_answer={"send_group_message": 1}):
            self.refused(1502, "broke", "send_group_msg", group_id=GROUP, message="once only")
        self.send("behind it")
        self.assertEqual(["once only", "behind it"], self.texts()[-2:])
        with self.switched(cut_request={"send_group_message": 1}):
            content = "base64://" + "A" * 400_000
            message = [{"type": "image", "data": {"file": content}}]
            self.refused(1502, "broke", "send_group_msg", group_id=GROUP, message=message)
        self.send("behind that")
        self.assertEqual(["once only", "behind it", "behind that"], self.texts()[-3:])

    def test_failures_in_their_own_words(self) -> None:
        with self.switched(fail={"get_group_info": [51, "QQ says no"], "get_friend_info": [-500, ""]}):
            self.refused(51, "QQ says no", "get_group_info", group_id=GROUP, no_cache=True)
        with self.switched(status={"get_group_member_list": 500}):
            self.refused(1500, "get_group_member_list", "get_group_member_list", group_id=GROUP)
        for body in ("<html>", "", "[]", '{"status":"ok"}', '{"status":"ok","retcode":0,"data":7}', "null"):
            with self.switched(body={"get_group_member_list": body}):
                answer = self.bot.ask("get_group_member_list", group_id=GROUP)
                self.assertEqual(1500, answer["retcode"], (body, answer))
        self.data("get_group_member_list", group_id=GROUP)

    def test_an_api_that_is_missing(self) -> None:
        """It is not asked for again, until the stream was opened anew."""
        with self.switched(missing=["get_csrf_token"]):
            for _ in range(3):
                self.refused(1404, "get_csrf_token (HTTP 404)", "get_csrf_token")
        self.assertEqual(1, len(self.calls("get_csrf_token")))
        self.fake.control("disconnect")
        self.fake.wait_for("is dialled again", lambda: len(self.calls("get_login_info")) > 0)
        self.wait_up()
        self.assertEqual(1234567, self.data("get_csrf_token")["token"])

    def test_more_keys_than_we_know(self) -> None:
        with self.switched(more_keys=True):
            _seq, event = self.say("with more keys")
            self.assertEqual("with more keys", event["message"][0]["data"]["text"])
            self.assertEqual(GROUP, self.data("get_group_info", group_id=GROUP)["group_id"])
            self.assertEqual(
                3, sum(one["user_id"] != 10001 for one in self.data("get_group_member_list", group_id=GROUP))
            )
            self.send("to more keys")

    def test_null_where_nothing_is(self) -> None:
        with self.switched(all_keys=True):
            self.assertIsNone(self.data("set_group_card", group_id=GROUP, user_id=MEMBER, card="c"))
            self.refused(-404, "not found", "get_group_info", group_id=39999, no_cache=True)

    @combination
    def test_no_token_is_wanted_from_others(self) -> None:
        """A new token there takes the account down, with the reason, until it is the old one again."""
        own = f"of-milky-{self.account}"
        with self.switched(token="another-one"):
            answer = self.bot.ask("get_group_list", no_cache=True)
            self.assertEqual("failed", answer["status"])
            self.assertIn("401", answer["wording"])
            self.wait_down("401")
            self.fake.switch(unauthorised="1008")
            self.wait_logged("1008")
            self.fake.switch(unauthorised=None)
        self.assertEqual(own, self.fake.control("switches")["token"])
        self.wait_up()

    # -- the login

    def is_online(self) -> bool:
        """What ``get_status`` says."""
        return bool(self.data("get_status")["online"])

    @combination
    def test_not_logged_in(self) -> None:
        self.assertTrue(self.is_online())
        with self.switched(logged_in=False):
            answer = self.bot.ask("get_group_list", no_cache=True)
            self.assertEqual((-403, None), (answer["retcode"], answer["data"]))
            self.assertFalse(self.is_online())
        wait_until("it is online again", self.is_online)

    def test_a_kick(self) -> None:
        """The bot is told, and that the account is back when something is heard of it again."""
        self.fake.control("kick_account", reason="somebody else logged in")
        event = self.bot.event(notice_type="bot_offline")
        self.assertIn("somebody else logged in", json.dumps(event))
        self.assertFalse(self.is_online())
        self.fake.switch(logged_in=True)
        self.say("it is back")
        wait_until("it is online again", self.is_online)

    # -- events

    @combination
    def test_a_burst_in_one_write(self) -> None:
        said = self.fake.control(
            "flood", count=1000, scene="group", peer_id=GROUP, sender_id=FRIEND, text="b{}"
        )
        events = []
        while len(events) < 1000 and (not events or events[-1]["message_seq"] < said[-1]):
            events.append(self.bot.event(post_type="message"))
        self.assertEqual(said, [one["message_seq"] for one in events])
        self.assertEqual([f"b{number}" for number in range(1000)], [one["raw_message"] for one in events])
        self.assertEqual(1000, len({one["message_id"] for one in events}))

    def test_what_comes_twice_is_told_once(self) -> None:
        with self.switched(duplicates=True):
            seq, _event = self.say("twice")
        event = self.fake.say("group", GROUP, "behind", FRIEND)
        self.assertEqual(seq + 1, event["message_seq"])
        self.assertEqual("behind", self.bot.event(post_type="message")["raw_message"])

    def test_frames_that_are_none(self) -> None:
        """They are counted, and what follows is told."""
        before = metric(self.service, "garbage_frames_total", account=self.account)
        frames = [
            "",
            "{",
            "[]",
            "null",
            "{}",
            '{"event_type":"message_receive"}',
            '{"time":1,"self_id":10001,"event_type":"message_receive","data":null}',
            '{"time":1,"self_id":10001,"event_type":"message_receive","data":{"message_scene":"group"}}',
            '{"time":1,"self_id":"x","event_type":7,"data":{}}',
            '{"post_type":"meta_event","meta_event_type":"heartbeat","self_id":10001,"time":1}',
        ]
        for frame in frames:
            self.fake.control("raw", text=frame)
        foreign = {"time": 1, "self_id": 10099, "event_type": "bot_offline", "data": {"reason": "not ours"}}
        self.fake.control("raw", text=json.dumps(foreign))
        unknown = {"time": 1, "self_id": 10001, "event_type": "of_milky_9", "data": {"x": [1]}}
        self.fake.control("raw", text=json.dumps(unknown))
        said = self.fake.say("group", GROUP, "nothing yet", FRIEND, quiet=True)
        said["segments"] = [{"type": "hologram", "data": {"x": 1}}]
        odd = {"time": 1, "self_id": 10001, "event_type": "message_receive", "data": said}
        self.fake.control("raw", text=json.dumps(odd))
        told = self.bot.event()
        self.assertEqual(said["message_seq"], told["message_seq"])
        self.assertEqual(["text"], [one["type"] for one in told["message"]])
        self.assertIn("hologram", told["raw_message"])
        after = metric(self.service, "garbage_frames_total", account=self.account)
        self.assertLessEqual(before + 8, after)

    def wait_pings(self) -> None:
        """Wait until the present stream has answered pings: others are not ended for their silence."""
        self.fake.wait_for("answers pings", lambda: self.fake.streams()[-1]["pings"] > 1)

    @combination
    def test_a_stream_that_is_half_open(self) -> None:
        """It is found by pings, and dialled again; what was said meanwhile is not lost."""
        self.say("known")
        self.wait_pings()
        self.assertEqual(1, self.fake.control("silence"))
        seq = self.fake.say("group", GROUP, "into the void", FRIEND)["message_seq"]
        self.wait_logged("silent")
        self.wait_up()
        self.assertEqual(seq, self.bot.event(post_type="message", raw_message="into the void")["message_seq"])

    @combination
    def test_a_server_that_hangs(self) -> None:
        """It takes no byte and sends none: the account is down, and up again when it goes on."""
        self.wait_pings()
        self.fake.send_signal(signal.SIGSTOP)
        try:
            self.wait_down(str(self.account), "silent")
        finally:
            self.fake.send_signal(signal.SIGCONT)
        self.wait_up()
        self.say("awake")

    def test_what_was_missed_comes_in_order(self) -> None:
        """Before what is said afterwards, without repeats, and each with the id that it would have had."""
        self.say("before the break")
        for group_id in (GROUP, SECOND_GROUP):
            self.say(f"known {group_id}", group_id)
        self.fake.switch(streams_open=False)
        for number in range(70):
            self.fake.say("group", GROUP, f"missed {number}", FRIEND)
        self.fake.say("group", SECOND_GROUP, "missed there", FRIEND)
        recalled = self.fake.say("group", GROUP, "taken back", FRIEND)["message_seq"]
        self.fake.do("recall", scene="group", peer_id=GROUP, seq=recalled)
        self.fake.switch(streams_open=True)
        self.fake.wait_stream()
        self.fake.say("group", GROUP, "after the break", FRIEND)
        told = []
        while not told or told[-1]["raw_message"] != "after the break":
            event = self.bot.event(post_type="message", group_id=GROUP)
            told.append(event)
        texts = [one["raw_message"] for one in told]
        self.assertEqual([*(f"missed {number}" for number in range(70)), "after the break"], texts)
        found = self.data("get_msg", message_id=told[3]["message_id"])
        self.assertEqual(told[3]["message_seq"], found["real_id"])

    def test_requests_that_were_missed(self) -> None:
        """They come once, and can be answered; those that were told before, or answered, come no more."""
        self.fake.do("request_friendship", user_id=20051, comment="told")
        self.bot.event(post_type="request", user_id=20051)
        self.fake.switch(streams_open=False)
        self.fake.do("request_friendship", user_id=20052, comment="missed")
        seq = self.fake.do("request_join", group_id=GROUP, user_id=20053, comment="missed too")
        invited = self.fake.do("invite_other", group_id=GROUP, initiator_id=FRIEND, target_user_id=20054)
        for _ in range(2):
            self.fake.switch(streams_open=True)
            self.wait_up()
            before = len(self.fake.control("handshakes"))
            self.fake.control("disconnect")
            self.fake.wait_for("is dialled", lambda: len(self.fake.control("handshakes")) > before)  # noqa: B023
        self.wait_up()
        self.fake.do("request_friendship", user_id=20055, comment="the end")
        told: dict[int, dict[str, Any]] = {}
        while 20055 not in told:
            event = self.bot.event(post_type="request")
            self.assertNotIn(event["user_id"], told)
            told[event["user_id"]] = event
        self.assertEqual({20052, 20053, 20054, 20055}, set(told))
        self.data("set_friend_add_request", flag=told[20052]["flag"], approve=True)
        for user_id in (20053, 20054):
            self.assertEqual("add", told[user_id]["sub_type"])
            self.data("set_group_add_request", flag=told[user_id]["flag"], sub_type="add", approve=True)
        world = self.fake.world()
        self.assertIn(20052, world["friends"])
        states = {one["notification_seq"]: one["state"] for one in world["notifications"] if "state" in one}
        self.assertEqual(("accepted", "accepted"), (states[seq], states[invited]))

    def test_gaps_are_counted(self) -> None:
        before = metric(self.service, "milky_sequence_gaps_total", account=self.account)
        seq, _event = self.say("a")
        self.fake.say("group", GROUP, "b", FRIEND, seq=seq + 5)
        self.bot.event(post_type="message", raw_message="b")
        wait_until(
            "the gap is counted",
            lambda: metric(self.service, "milky_sequence_gaps_total", account=self.account) == before + 1,
        )


class Others(SwitchTestCase):
    """Accounts whose servers have habits of their own."""

    # -- one that speaks Milky 1.0; the account has self_messages

    def test_the_echo_and_the_answer_have_one_id(self) -> None:
        """Whichever comes first."""
        self.use(OLD)
        for echo, gap in (("before", 0.2), ("after", 0.2)):
            with self.switched(echo=echo, echo_gap=gap):
                self.bot.call("send_group_msg", "sent", group_id=GROUP, message=f"echo {echo}")
                first, second = self.bot.message(), self.bot.message()
                if echo == "after":
                    first, second = second, first
                self.assertEqual(("message_sent", "sent"), (first["post_type"], second["echo"]))
                self.assertEqual(second["data"]["message_id"], first["message_id"])
                self.assertEqual((10004, GROUP), (first["user_id"], first["group_id"]))
        private = self.data("send_private_msg", user_id=FRIEND, message="to a friend")["message_id"]
        seq = self.fake.history("friend", FRIEND)[-1]["message_seq"]
        self.assertEqual(seq, self.data("get_msg", message_id=private)["real_id"])

    def test_the_account_s_own_messages_are_dropped_elsewhere(self) -> None:
        other = self.shared.fakes[AS_WRITTEN]
        with HurriedClient(self.service, f"/{AS_WRITTEN}") as bot:
            self.assertEqual(0, bot.ask("send_group_msg", group_id=GROUP, message="mine")["retcode"])
            other.say("group", GROUP, "yours", FRIEND)
            self.assertEqual("yours", bot.event()["raw_message"])

    def test_events_of_milky_1_0(self) -> None:
        """What later versions have added may be missing."""
        self.use(OLD)
        seq, event = self.say("of old")
        self.assertEqual((seq, "group"), (event["message_seq"], event["message_type"]))
        segments = [
            self.fake.do("reply_to", scene="group", peer_id=GROUP, seq=seq),
            {"type": "mention", "data": {"user_id": MEMBER, "name": "m"}},
            {"type": "face", "data": {"face_id": "1", "is_large": True}},
            self.fake.do("forward", nodes=[]),
            {
                "type": "market_face",
                "data": {
                    "emoji_package_id": 1,
                    "emoji_id": "e",
                    "key": "k",
                    "summary": "s",
                    "url": "http://127.0.0.1/m",
                },
            },
        ]
        self.fake.say("group", GROUP, segments, FRIEND)
        told = self.bot.event(post_type="message")
        self.assertEqual(
            ["reply", "at", "face", "forward", "mface"], [one["type"] for one in told["message"]]
        )
        self.assertEqual(str(event["message_id"]), str(told["message"][0]["data"]["id"]))
        by_owner = {"group_id": GROUP, "is_set": True, "operator_id": OWNER}
        happened: list[tuple[str, dict[str, Any], str]] = [
            ("set_admin", {**by_owner, "user_id": MEMBER}, "group_admin"),
            ("set_essence", {**by_owner, "seq": seq}, "essence"),
            (
                "react",
                {"group_id": GROUP, "seq": seq, "user_id": FRIEND, "face_id": "76"},
                "group_msg_emoji_like",
            ),
        ]
        for method, params, notice in happened:
            self.fake.do(method, **params)
            self.assertEqual(GROUP, self.bot.event(notice_type=notice)["group_id"])
        self.fake.do("invite_self", group_id=30009, initiator_id=FRIEND)
        self.assertEqual("invite", self.bot.event(request_type="group")["sub_type"])
        self.assertEqual(GROUP, self.data("get_group_info", group_id=GROUP)["group_id"])
        self.refused(1404, "set_bio", "set_self_longnick", longNick="x")

    # -- Lagrange.Milky

    def test_a_kick_is_what_it_was(self) -> None:
        """Its server answers the other way round."""
        self.use(LAGRANGE)
        self.fake.do("join", group_id=GROUP, user_id=20031)
        self.data("set_group_kick", group_id=GROUP, user_id=20031)
        answer = self.bot.ask("set_group_kick", group_id=GROUP, user_id=OWNER)
        self.assertEqual("failed", answer["status"], answer)
        members = [one["user_id"] for one in self.fake.world()["groups"][str(GROUP)]["members"]]
        self.assertEqual((False, True), (20031 in members, OWNER in members))

    def test_essence_is_not_set_by_deleting_it(self) -> None:
        self.use(LAGRANGE)
        _seq, event = self.say("the best")
        self.refused(1400, "essence", "delete_essence_msg", message_id=event["message_id"])
        self.assertEqual([], self.fake.world()["essence"][str(GROUP)])

    def test_private_messages_have_their_real_number(self) -> None:
        """Its server tells another one; recalling that would hit nothing, or another message."""
        self.use(LAGRANGE)
        self.fake.say("friend", FRIEND, "hello")
        self.bot.event(post_type="message", raw_message="hello")
        sent = self.data("send_private_msg", user_id=FRIEND, message="my own")["message_id"]
        seq = self.fake.history("friend", FRIEND)[-1]["message_seq"]
        found = self.data("get_msg", message_id=sent)
        self.assertEqual((seq, "my own"), (found["real_id"], found["raw_message"]))
        self.data("delete_msg", message_id=sent)
        self.assertEqual(
            ["hello", None],
            [one and one["segments"][0]["data"]["text"] for one in self.fake.history("friend", FRIEND)[-2:]],
        )

    def test_a_private_message_whose_number_cannot_be_found(self) -> None:
        """It has an id that is refused with a sentence."""
        self.use(LAGRANGE)
        with self.switched(status={"get_history_messages": 500}):
            sent = self.data("send_private_msg", user_id=MEMBER, message="lost number")["message_id"]
        before = len(self.calls("recall_private_message", "get_message"))
        for action in ("get_msg", "delete_msg"):
            answer = self.bot.ask(action, message_id=sent)
            self.assertEqual("failed", answer["status"], answer)
            self.assertIn("number", answer["wording"])
        self.assertEqual(before, len(self.calls("recall_private_message", "get_message")))

    def test_what_it_cannot_send(self) -> None:
        """A face would make the whole message fail; files by base64 would be broken."""
        self.use(LAGRANGE)
        message = [{"type": "text", "data": {"text": "with a face "}}, {"type": "face", "data": {"id": "14"}}]
        self.data("send_group_msg", group_id=GROUP, message=message)
        self.assertIn("with a face", self.texts()[-1])
        self.refused(1400, "base64", "upload_group_file", group_id=GROUP, file="base64://aGk=", name="a.txt")
        record = [{"type": "record", "data": {"file": "base64://aGk="}}]
        self.refused(1400, "base64", "send_group_msg", group_id=GROUP, message=record)
        image = [{"type": "image", "data": {"file": "base64://aGk="}}]
        self.data("send_group_msg", group_id=GROUP, message=image)
        self.refused(1404, "get_cookies", "get_cookies", domain="")
        self.refused(1500, "send_group_message", "send_group_msg", group_id=39999, message="x")

    # -- LLBot

    def test_private_files_without_a_hash(self) -> None:
        self.use(LLBOT)
        file_id = self.fake.do("send_file", scene="friend", peer_id=FRIEND, name="a.txt", content="hi")
        event = self.bot.event(post_type="message")
        self.assertEqual("file", event["message"][0]["type"])
        found = self.data("get_private_file_url", file_id=event["message"][0]["data"]["file_id"])
        self.assertIn(file_id, found["url"])

    def test_temporary_conversations_are_answered(self) -> None:
        self.use(LLBOT)
        self.fake.say("temp", 20041, "hello", group_id=GROUP)
        event = self.bot.event(post_type="message")
        self.assertEqual(("private", "group"), (event["message_type"], event["sub_type"]))
        sent = self.data("send_private_msg", user_id=20041, message="answer")["message_id"]
        self.assertEqual(["hello", "answer"], self.texts("temp", 20041))
        self.assertEqual("answer", self.data("get_msg", message_id=sent)["raw_message"])

    def test_long_histories_end(self) -> None:
        """Its pages lead to 0, which means the newest again."""
        self.use(LLBOT)
        for number in range(65):
            self.fake.say("group", SECOND_GROUP, f"h{number}", FRIEND)
        found = self.data("get_group_msg_history", group_id=SECOND_GROUP, count=200)["messages"]
        texts = [one["raw_message"] for one in found if one["raw_message"].startswith("h")]
        self.assertEqual([f"h{number}" for number in range(65)], texts)
        self.assertLess(len(self.calls("get_history_messages")), 12)
