"""The link of Milky accounts over real sockets: a fake implementation, lgtwist, and a bot behind it."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.integration.rawclient import RawClient
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase
from tests.milky.fake import FakeMilky
from tests.rounds import combination

#: The accounts: one for whatever is done to it, and some that never come up, or late.
MAIN, REFUSED, REFUSED_LATER, LATE = 10001, 10002, 10003, 10004
FRIEND, GROUP = 20001, 30001
GROUPS = {"groups": {str(group_id): [20003, FRIEND, 20002] for group_id in (GROUP, 30002, 30003)}}
TOKEN = "token-of-milky"
PEERS = [
    ("user_id", 20001),
    ("user_id", 20002),
    ("group_id", 30001),
    ("group_id", 30002),
    ("group_id", 30003),
]


class _World:
    """A service with its implementations."""

    def __init__(self, folder: Path) -> None:
        switches: dict[int, dict[str, Any]] = {
            MAIN: {"token": TOKEN},
            REFUSED: {"token": "another"},
            REFUSED_LATER: {"token": "another", "unauthorised": "1008"},
            LATE: {"token": TOKEN, "logged_in": False},
        }
        self.fakes = {
            self_id: FakeMilky(folder / str(self_id), self_id=self_id, world=GROUPS, start=False, **given)
            for self_id, given in switches.items()
        }
        accounts = [
            f'[[accounts]]\ntype = "milky"\nself_id = {self_id}\nurl = "{fake.url}/"\n'
            f'access_token = "{TOKEN}"\nreconnect = {{ min = "50ms", max = "200ms" }}'
            for self_id, fake in self.fakes.items()
        ]
        for fake in self.fakes.values():
            fake.start()
        limits = '[limits]\naction_timeout = "2s"\nping_interval = "200ms"\nping_timeout = "1s"'
        self.service = Service(folder, "\n".join([*accounts, '[[bots]]\nname = "bot"', limits]))

    def end(self) -> None:
        self.service.clean_up()
        log = self.service.log()
        for bad in ("Traceback", "Unhandled", TOKEN):
            assert bad not in log, log
        for fake in self.fakes.values():
            fake.finish()


class MilkyLinkTests(SharedTestCase):
    def start_shared(self, folder: Path) -> _World:
        return _World(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.fake: FakeMilky = self.shared.fakes[MAIN]
        self.wait_up(MAIN)

    def reasons(self) -> str:
        return " ".join(self.service.http("/readyz")[1]["reasons"])

    def wait_up(self, self_id: int) -> None:
        wait_until(f"{self_id} is up", lambda: f"account {self_id} is down" not in self.reasons())

    def wait_down(self, *words: str) -> None:
        wait_until(f"an account is down: {words}", lambda: all(word in self.reasons() for word in words))

    def bot(self, self_id: int = MAIN) -> RawClient:
        bot = RawClient(self.service, f"/{self_id}")
        self.addCleanup(bot.socket.close)
        bot.event(meta_event_type="lifecycle")
        return bot

    def say(self, bot: RawClient, **more: Any) -> dict[str, Any]:
        return bot.ask("send_group_msg", **{"group_id": GROUP, "message": "x", **more})

    def test_both_ways(self) -> None:
        """What a bot sends arrives, what people say reaches it, and both ids are of the same conversation."""
        bot = self.bot()
        answer = self.say(bot, message="hello")
        self.assertEqual(self.fake.history("group", GROUP)[-1]["segments"][0]["data"], {"text": "hello"})
        self.fake.say("group", GROUP, "good morning", FRIEND)
        event = bot.event(post_type="message")
        self.assertEqual((event["raw_message"], event["user_id"]), ("good morning", FRIEND))
        self.assertEqual(event["message_id"], answer["data"]["message_id"] + 1)
        found = bot.ask("get_msg", message_id=answer["data"]["message_id"])
        self.assertEqual(found["data"]["raw_message"], "hello")

    def test_many_events_in_one_read(self) -> None:
        bot = self.bot()
        self.fake.control("flood", count=1000, scene="group", peer_id=GROUP, sender_id=FRIEND)
        said = [bot.event(post_type="message")["raw_message"] for _number in range(1000)]
        self.assertEqual(said, [str(number) for number in range(1000)])

    def test_order(self) -> None:
        """200 sends at once: those of one conversation arrive in order, others beside them."""
        bot, total = self.bot(), 200
        self.fake.switch(delay={"*": 0.005})
        self.addCleanup(self.fake.switch, delay={})
        before = len(self.fake.calls())
        for number in range(total):
            name, peer_id = PEERS[number % len(PEERS)]
            action = "send_private_msg" if name == "user_id" else "send_group_msg"
            bot.call(action, number, **{name: peer_id, "message": f"{number}"})
        answers = [bot.response() for _number in range(total)]
        self.assertEqual(sorted(answer["echo"] for answer in answers), list(range(total)))
        self.assertEqual({answer["retcode"] for answer in answers}, {0})
        by_peer = defaultdict(list)
        calls = [one for one in self.fake.calls()[before:] if one["api"].startswith("send_")]
        for call in calls:
            by_peer[call["params"].get("user_id") or call["params"]["group_id"]].append(call)
        self.assertEqual(len(by_peer), len(PEERS))
        for sent in by_peer.values():
            numbers = [int(one["params"]["message"][0]["data"]["text"]) for one in sent]
            self.assertEqual(numbers, sorted(numbers))
            for one, following in zip(sent, sent[1:], strict=False):
                self.assertLess(one["ended"], following["began"])
        beside = [
            one for one, following in zip(calls, calls[1:], strict=False) if following["began"] < one["ended"]
        ]
        self.assertGreater(len(beside), total // 4)

    def test_failures(self) -> None:
        bot = self.bot()
        self.fake.switch(
            status={"send_group_message": 500, "get_group_list": 302}, missing=["get_friend_list"]
        )
        self.addCleanup(self.fake.switch, status={}, missing=[], body={})
        self.assertEqual(self.say(bot)["retcode"], 1500)
        self.assertIn("send_group_message (HTTP 500)", self.say(bot)["message"])
        self.assertIn("redirects", bot.ask("get_group_list")["message"])
        for _twice in range(2):
            answer = bot.ask("get_friend_list")
            self.assertEqual(answer["retcode"], 1404)
            self.assertIn("does not offer Milky's get_friend_list (HTTP 404)", answer["message"])
        self.fake.switch(status={}, body={"send_group_message": "<html>"})
        self.assertEqual(self.say(bot)["retcode"], 1500)
        self.assertTrue(bot.ask("get_status")["data"]["online"])

    def test_broken_connections(self) -> None:
        """1502 for what may have been carried out, which is never sent again; the next one is sent."""
        bot = self.bot()
        self.addCleanup(self.fake.switch, drop_answer={}, cut_request={})
        for switch in ("drop_answer", "cut_request"):
            before = len(self.fake.calls("send_group_message"))
            self.fake.switch(**{switch: {"send_group_message": 1}})
            bot.call("send_group_msg", 1, group_id=GROUP, message="a")
            bot.call("send_group_msg", 2, group_id=GROUP, message="b")
            answers = [bot.response(), bot.response()]
            self.assertEqual([(one["echo"], one["retcode"]) for one in answers], [(1, 1502), (2, 0)])
            calls = self.fake.calls("send_group_message")[before:]
            texts = [one["params"]["message"][0]["data"]["text"] for one in calls]
            self.assertEqual(texts[-1], "b")
            self.assertLessEqual(texts.count("a"), 1)

    def test_time_limit(self) -> None:
        """After 1504 the next send of the conversation is sent."""
        bot = self.bot()
        self.fake.switch(delay={"send_group_message": 30})
        self.addCleanup(self.fake.switch, delay={})
        bot.call("send_group_msg", 1, group_id=GROUP, message="too slow")
        self.wait_unanswered("too slow")
        self.fake.switch(delay={})
        time.sleep(1)  # so that the second has as long for itself, once the first has ended
        bot.call("send_group_msg", 2, group_id=GROUP, message="b")
        answers = [bot.response(), bot.response()]
        self.assertEqual(
            sorted((one["echo"], one["retcode"] != 0) for one in answers), [(1, True), (2, False)]
        )
        self.assertEqual(next(one for one in answers if one["echo"] == 1)["retcode"], 1504)

    def test_outage(self) -> None:
        """Killed in the middle of a call: 1502, then 1501; it is up again without a word of the bot.

        The second call may be written to a connection that is about to break, and is 1502 then too.
        """
        bot = self.bot()
        self.fake.switch(delay={"send_group_message": 30})
        bot.call("send_group_msg", 1, group_id=GROUP, message="killed")
        bot.call("send_group_msg", 2, group_id=GROUP, message="not sent")
        self.wait_unanswered("killed")
        self.fake.kill()
        answers = {one["echo"]: one["retcode"] for one in (bot.response(), bot.response())}
        self.assertEqual(answers[1], 1502)
        self.assertIn(answers[2], (1501, 1502))
        wait_until("it is down", lambda: self.say(bot)["retcode"] == 1501)
        self.wait_down(f"account {MAIN} is down", "refused")
        self.fake._switches["delay"] = {}
        self.fake.start()
        self.wait_up(MAIN)
        self.assertEqual(self.say(bot)["retcode"], 0)
        self.assertNotIn("not sent", str(self.fake.calls("send_group_message")))

    def wait_unanswered(self, text: str) -> None:
        def is_under_way() -> bool:
            calls = self.fake.calls("send_group_message")
            return any(one["ended"] is None and text in str(one["params"]) for one in calls)

        wait_until("a message was sent", is_under_way)

    def test_half_open_stream(self) -> None:
        """A stream that is silent, pings included, is found and dialled again."""
        bot = self.bot()
        wait_until("it answers pings", lambda: self.fake.streams()[0]["pings"])
        self.fake.control("silence")
        wait_until(
            "it is found", lambda: f"account {MAIN} is down: 1006 silent for 1 s" in self.service.log()
        )
        self.wait_up(MAIN)
        self.fake.say("group", GROUP, "again", FRIEND)
        self.assertEqual(bot.event(post_type="message")["raw_message"], "again")

    def test_refused_token(self) -> None:
        """In the handshake, or on the open WebSocket: the reason says it, and the log does once."""
        self.wait_down(f"account {REFUSED} is down", "HTTP 401", "access_token must be")
        self.wait_down(f"account {REFUSED_LATER} is down", "1008", "Unauthorized", "access_token must be")
        lines = [
            line for line in self.service.log().splitlines() if str(REFUSED_LATER) in line and "1008" in line
        ]
        self.assertEqual(len(lines), 1, lines)

    def test_refused_meanwhile(self) -> None:
        """A token that is changed takes the link down at the next call, with the reason."""
        bot = self.bot()
        self.fake.switch(token="another")
        self.assertEqual(self.say(bot)["retcode"], 1500)
        self.wait_down(f"account {MAIN} is down", "401")
        self.fake.switch(token=TOKEN)
        self.wait_up(MAIN)
        self.assertEqual(self.say(bot)["retcode"], 0)

    @combination
    def test_z_login(self) -> None:
        """An implementation that is not logged in yet: it is said, and the account comes up at the login."""
        late = self.shared.fakes[LATE]
        self.wait_down(f"account {LATE} is down", "not logged in")
        late.switch(logged_in=True)
        self.wait_up(LATE)
        bot = self.bot(LATE)
        self.assertEqual(self.say(bot)["retcode"], 0)
        late.control("kick_account")
        wait_until("it is offline", lambda: not bot.ask("get_status")["data"]["online"])
        self.assertEqual(self.say(bot)["retcode"], -403)

    def test_metrics(self) -> None:
        self.fake.control("event", event_type="peer_pin_change", data={
            "message_scene": "group", "peer_id": GROUP, "is_pinned": True,
        })  # fmt: skip
        counted = f'lgtwist_milky_unknown_events_total{{account="{MAIN}",type="peer_pin_change"}} 1.0'
        wait_until("it is counted", lambda: counted in self.service.http("/metrics")[1])
