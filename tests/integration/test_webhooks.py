"""HTTP POST: a bot that gets its events posted, and answers well, badly or not at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.integration.faulty import Injector, numbered, quiet
from tests.integration.listening_bots import (
    DRIP,
    DRIP_HEAD,
    EMPTY,
    ENDLESS,
    ENDLESS_HEAD,
    Behaviour,
    Receiver,
    hang_up,
    json_of,
    never,
    raw,
    respond,
    slam,
)
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, Service, ServiceTestCase, wait_until
from tests.integration.shared import SharedTestCase

ALICE, BOB, CAROL, GROUP = 20001, 20002, 20003, 30001
SECRET = "a secret, ein Geheimnis"
#: What a post may take here (seconds).
TIMEOUT = 0.4

TOML = """
[[accounts]]
type = "sandbox"
self_id = 10001
[[accounts]]
type = "sandbox"
self_id = 10002
[[bots]]
name = "hook"
connection = "http-post"
url = "http://127.0.0.1:{port}/hook?x=1"
secret = "{secret}"
timeout = "400ms"
access_token = "hook's token"
[[bots]]
name = "other"
"""


def metric(service: Service, name: str, **labels: Any) -> float:
    """One series of ``/metrics``."""
    _status, text = service.http("/metrics")
    for line in str(text).splitlines():
        found = re.match(rf"lgtwist_{name}(?:\{{(.*)\}})? (\S+)$", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    raise AssertionError(f"no metric {name} with {labels}")


class Hooked:
    """A service, and the receiver that it posts to."""

    def __init__(self, folder: Path) -> None:
        self.receiver = Receiver()
        try:
            toml = TOML.format(port=self.receiver.port, secret=SECRET) + quiet(max_message="1MiB")
            self.service = Service(folder, toml)
        except BaseException:
            self.receiver.end()
            raise

    def end(self) -> None:
        """End both."""
        self.service.clean_up()
        self.receiver.end()


class WebhookTestCase(SharedTestCase):
    """Tests that share a service without heartbeats, and a receiver, and leave both good."""

    def start_shared(self, folder: Path) -> Hooked:
        return Hooked(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.receiver: Receiver = self.shared.receiver
        self._log_began = len(self.service.log())
        self._words = 0
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        self.receiver.usual = EMPTY
        self.assertTrue(self.service.alive())
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())

    def new_log(self) -> str:
        """What was logged since this test began."""
        return self.service.log()[self._log_began :]

    def dropped(self) -> float:
        return metric(self.service, "dropped_events_total", bot="hook")

    def word(self) -> str:
        """A word that no other event has."""
        self._words += 1
        return f"<{self.id().rpartition('.')[2]} {self._words}>"

    def inject(self, word: str, self_id: int = 10001) -> None:
        self.service.inject({"post_type": "notice", "notice_type": "test", "word": word}, self_id)

    def ask_behaving(self, behaviour: Behaviour) -> str:
        """An event that the receiver answers like this."""
        word = self.word()
        self.receiver.once[word] = behaviour
        self.inject(word)
        self.receiver.wait(word)
        return word

    def assert_next_arrives(self, patience: float = TIMEOUT + 1.0) -> None:
        """The next event comes soon, and is confirmed."""
        word = self.word()
        self.inject(word)
        self.receiver.wait(word, patience)

    def last_message(self) -> int:
        _status, world = self.service.http("/sandbox/10001")
        return int(world["last_message_id"])


class Posts(WebhookTestCase):
    """What is posted."""

    def event_of_all_kinds(self, word: str) -> bytes:
        text = (
            r'{"post_type" : "notice", "notice_type":"test",  "word": "WORD", "zh":"\u4f60好",'
            r' "html":"<&>\u003c", "e": "é",'
            r' "emoji": "\ud83d\ude00😀", "slash":"\/", "quote":"\"\\", "z":null, "a": {"t" : true, "": [ ]},'
            r' "control":"\u0001\n\t\b\f\u007f\u2028", "n": [1, -0, 1.0, 2.50, 1e3, 9007199254740991]}'
        )
        return text.replace("WORD", word).encode()

    def post_of(self, event: bytes, word: str) -> Any:
        status, answer = self.service.http("/sandbox/10001/event", event)
        self.assertEqual(status, 200, answer)
        return self.receiver.wait(word)

    def test_body(self) -> None:
        """Compact JSON with nothing escaped that need not be, signed over exactly these bytes."""
        word = self.word()
        post = self.post_of(self.event_of_all_kinds(word), word)
        for text in ("你好", "😀😀", '"slash":"/"', "é", "<&><", word):
            self.assertIn(text.encode(), post.raw)
        self.assertNotIn(b'": ', post.raw)
        self.assertNotIn(b', "', post.raw)
        self.assertEqual(post.event["a"], {"t": True, "": []})
        self.assertEqual(post.headers["content-type"], "application/json")
        self.assertEqual(post.headers["x-self-id"], "10001")
        signature = hmac.new(SECRET.encode(), post.raw, hashlib.sha1).hexdigest()
        self.assertEqual(post.headers["x-signature"], f"sha1={signature}")
        self.assertNotIn("authorization", post.headers)

    def test_signature_of_javascript(self) -> None:
        """Koishi signs what it has parsed and written again: that must be the same bytes."""
        if shutil.which("node") is None:
            self.skipTest("not installed: node")
        posts = []
        for event in (
            self.event_of_all_kinds,
            lambda word: b'{"post_type":"x","lone":"\\ud800 \\udc00","word":"%b"}' % word.encode(),
            lambda word: b'{"post_type":"x","f":[0.1,-1.5,1e20,123456.789,-0.0],"word":"%b"}' % word.encode(),
        ):
            word = self.word()
            posts.append(self.post_of(event(word), word))
        said = self.service.say(ALICE, "real 消息 😀 [CQ:face,id=1] & <b>", group_id=GROUP)
        posts.append(self.receiver.wait(f'"message_id":{said},'))
        script = (
            'const c=require("crypto"),d=require("fs").readFileSync(0,"utf8").trim().split("\\n");'
            "for(const l of d){const s=JSON.stringify(JSON.parse(Buffer.from(l,'base64').toString()));"
            'console.log(c.createHmac("sha1",process.argv[1]).update(s).digest("hex")+" "+s)}'
        )
        lines = b"\n".join(base64.b64encode(post.raw) for post in posts)
        ran = subprocess.run(
            ["node", "-e", script, SECRET], input=lines, capture_output=True, timeout=PATIENCE, check=True
        )
        for post, line in zip(posts, ran.stdout.decode().rstrip("\n").split("\n"), strict=True):
            digest, _space, text = line.partition(" ")
            self.assertEqual(post.headers["x-signature"], f"sha1={digest}", f"{post.raw!r} and {text}")

    def test_order(self) -> None:
        """One account's posts go in order, one at a time, over a connection that is used again."""
        before, self.receiver.most_at_once = self.dropped(), 0
        for account in (10001, 10002):
            injector = Injector(self.service, account)
            self.addCleanup(injector.close)
            injector.publish(*({**numbered(n, who=account), "word": f"ordered {n}"} for n in range(200)))

        def come(account: int) -> list[int]:
            posts = self.receiver.of(f'"who":{account},')
            return [post.event["n"] for post in posts]

        for account in (10001, 10002):
            wait_until("all come", lambda: len(come(account)) >= 200)  # noqa: B023
            self.assertEqual(come(account), list(range(200)))
            posts = self.receiver.of(f'"who":{account},')
            self.assertEqual({post.headers["x-self-id"] for post in posts}, {str(account)})
        self.assertEqual(self.receiver.most_at_once, 1)
        self.assertLessEqual(len({post.connection for post in self.receiver.of('"word":"ordered')}), 3)
        self.assertEqual(self.dropped(), before)

    def test_one_account_does_not_hold_up_another(self) -> None:
        """While a post of one account hangs, the other's events are posted, and other bots notice nothing."""
        before = self.dropped()
        with RawClient(self.service) as other:
            other.message()
            stuck = self.ask_behaving(never)
            began = time.monotonic()
            for n in range(10):
                self.inject(f"free {n}", 10002)
            self.receiver.wait("free 9")
            self.assertEqual(other.event(word=stuck)["word"], stuck)
            self.assertEqual(other.ask("get_login_info")["data"]["user_id"], 10001)
            self.assertLess(time.monotonic() - began, TIMEOUT)
        self.assert_next_arrives()
        wait_until("the stuck one is counted", lambda: self.dropped() == before + 1)


class Answers(WebhookTestCase):
    """Answers that ask for something."""

    def quick(self, word: str, answer: dict[str, Any], group_id: int | None = None, who: int = BOB) -> int:
        """Somebody says something, and the receiver answers it with a quick operation; its number."""
        self.receiver.once[word] = json_of(answer)
        return self.service.say(who, word, group_id=group_id)

    def reply_to(self, said: int) -> dict[str, Any]:
        """What the bot said then, once."""

        def answers() -> list[dict[str, Any]]:
            return [m for m in self.service.transcript(said) if m["from_bot"]]

        wait_until("a reply", answers)
        (answer,) = answers()
        return answer

    def member(self, user_id: int) -> dict[str, Any] | None:
        params = {"group_id": GROUP, "user_id": user_id, "no_cache": True}
        _status, answer = self.service.http(
            "/get_group_member_info", params, {"Content-Type": "application/json"}
        )
        return answer["data"] if answer["retcode"] == 0 else None

    def test_reply_private(self) -> None:
        """``reply`` goes to who spoke."""
        said = self.quick("quick-private", {"reply": "你好 [CQ:face,id=1]"}, who=ALICE)
        answer = self.reply_to(said)
        self.assertEqual((answer["peer_id"], answer["raw_message"]), (ALICE, "你好 [CQ:face,id=1]"))

    def test_reply_escaped(self) -> None:
        """With ``auto_escape`` it is text."""
        said = self.quick("quick-escaped", {"reply": "[CQ:face,id=1]", "auto_escape": True}, who=ALICE)
        self.assertEqual(
            self.reply_to(said)["message"], [{"type": "text", "data": {"text": "[CQ:face,id=1]"}}]
        )

    def test_reply_in_group(self) -> None:
        """In a group who spoke is addressed, unless ``at_sender`` says no."""
        said = self.quick("quick-at", {"reply": "hi"}, GROUP)
        answer = self.reply_to(said)
        self.assertEqual((answer["group_id"], answer["raw_message"]), (GROUP, f"[CQ:at,qq={BOB}] hi"))
        said = self.quick(
            "quick-plain", {"reply": [{"type": "text", "data": {"text": "ho"}}], "at_sender": False}, GROUP
        )
        self.assertEqual(self.reply_to(said)["raw_message"], "ho")

    def test_delete(self) -> None:
        """``delete`` takes back what was said, after the reply."""
        said = self.quick("quick-delete", {"reply": "shame", "delete": True}, GROUP)
        self.reply_to(said)
        wait_until("it is recalled", lambda: self.service.transcript(said - 1)[0]["recalled"])

    def test_ban(self) -> None:
        """``ban`` for ``ban_duration`` seconds; half an hour where nothing is said."""
        for answer, seconds in (({"ban": True, "ban_duration": 600}, 600), ({"ban": True}, 1800)):
            self.quick(f"quick-ban {seconds}", answer, GROUP)
            now = time.time()

            def until() -> float:
                return float((self.member(BOB) or {}).get("shut_up_timestamp", 0))

            wait_until("Bob is banned", until)
            self.assertLess(abs(until() - now - seconds), 5)
            status, answer = self.service.http(
                "/sandbox/10001/ban", {"user_id": BOB, "group_id": GROUP, "duration": 0}
            )
            self.assertEqual(status, 200, answer)

    def test_kick(self) -> None:
        """``kick``: Carol is no member any more."""
        self.quick("quick-kick", {"kick": True}, GROUP, CAROL)
        wait_until("Carol is gone", lambda: self.member(CAROL) is None)
        status, answer = self.service.http("/sandbox/10001/join", {"user_id": CAROL, "group_id": GROUP})
        self.assertEqual(status, 200, answer)
        self.assertIsNotNone(self.member(CAROL))

    def test_approve(self) -> None:
        """Requests are approved, with a remark, and refused."""
        self.receiver.once["swordfish"] = json_of({"approve": True, "remark": "knows the word"})
        self.service.http("/sandbox/10001/ask", {"user_id": CAROL, "comment": "swordfish"})

        def world() -> dict[str, Any]:
            _status, found = self.service.http("/sandbox/10001")
            return dict(found)

        def carol() -> dict[str, Any]:
            return dict(next(p for p in world()["people"] if p["user_id"] == CAROL))

        wait_until("Carol is a friend", lambda: carol().get("friend"))
        self.assertEqual(carol()["remark"], "knows the word")
        self.assertEqual(world()["requests"], [])

        self.service.http("/sandbox/10001/leave", {"user_id": BOB, "group_id": GROUP})
        for comment, approve in (("no-word", False), ("open-sesame", True)):
            self.receiver.once[comment] = json_of({"approve": approve, "reason": "who are you"})
            self.service.http("/sandbox/10001/ask", {"user_id": BOB, "group_id": GROUP, "comment": comment})
            self.receiver.wait(comment)
            wait_until("it is decided", lambda: world()["requests"] == [])
            self.assertEqual(self.member(BOB) is not None, approve)

    def test_failing_operation(self) -> None:
        """What cannot be done is one log line that says what; its other steps are done."""
        before = self.dropped()
        said = self.quick("quick-fails", {"reply": "x", "kick": True, "ban": True}, GROUP, ALICE)  # the owner
        self.reply_to(said)
        wait_until("it is logged", lambda: "set_group_kick" in self.new_log())
        self.assertEqual(self.new_log().count("set_group_kick"), 1)
        self.assert_next_arrives()
        self.assertEqual(self.dropped(), before)

    def test_nothing_asked(self) -> None:
        """Any 2xx confirms; what is no JSON object asks for nothing, whatever it is."""
        before, posted, last = self.dropped(), len(self.receiver.posts), self.last_message()
        answers = [
            respond(200),
            respond(204),
            respond(202, b"OK", "Content-Type: text/plain"),
            respond(200, b"OK"),
            respond(200, b"null"),
            respond(200, b"[]"),
            respond(200, b"{}"),
            respond(200, b'"reply"'),
            respond(200, b'{"reply"'),
            respond(200, b'{"reply": "x"} trailing'),
            respond(200, b"\xff\xfe\x00"),
            respond(200, b'{"reply": "\xff"}'),
            respond(200, b'{"reply": ' + b"[" * 100_000),
            respond(200, b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
            respond(200, b"<html>{}</html>", "Content-Type: application/json"),
            json_of({"reply": None}),
            json_of({"reply": ""}),
            json_of({"status": "ok", "retcode": 0}),
            json_of({"approve": True}),  # of a notice nothing can be approved
            raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nOK"),
            raw(b"HTTP/1.0 200 OK\r\n\r\nOK until the end"),
        ]
        words = [self.ask_behaving(answer) for answer in answers]
        self.assert_next_arrives()
        for word in words:
            self.assertEqual(len(self.receiver.of(word)), 1)
        self.assertEqual(len(self.receiver.posts), posted + len(answers) + 1)
        self.assertEqual((self.dropped(), self.last_message()), (before, last))

    def test_nonsense_asked(self) -> None:
        """Operations with values of the wrong types, on a message: nothing, or one line; all goes on."""
        for at, value in enumerate(
            [
                {"reply": 5},
                {"reply": {"type": 7}},
                {"reply": {"a": [None]}},
                {"reply": "x", "at_sender": "perhaps"},
                {"ban": True, "ban_duration": "long"},
                {"delete": []},
                {"kick": {}},
            ]
        ):
            word = f"nonsense-{at}"
            self.receiver.once[word] = json_of(value)
            self.service.say(ALICE, word, group_id=GROUP)
            self.receiver.wait(word)
        self.assert_next_arrives()


class Misbehaviour(WebhookTestCase):
    """Receivers that do everything wrong: nobody is hurt, the next event arrives, the lost one is counted."""

    def _check(self, behaviour: Behaviour, patience: float = TIMEOUT + 1.0, lost: int = 1) -> None:
        before, last = self.dropped(), self.last_message()
        with RawClient(self.service) as other:
            other.message()
            word = self.ask_behaving(behaviour)
            self.assertEqual(other.event(word=word)["word"], word)
            self.assert_next_arrives(patience)
        self.assertEqual(len(self.receiver.of(word)), 1, "a live event is posted once")
        wait_until("the lost event is counted", lambda: self.dropped() == before + lost, 2.0)
        self.assertEqual(self.last_message(), last)
        self.assertNotIn("in a row", self.new_log())

    def test_statuses(self) -> None:
        """3xx (not followed), 4xx and 5xx, with bodies that would be operations."""
        for status in (300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 410, 413, 429, 500, 502, 503, 599):
            more = [f"Location: {self.receiver.url('/elsewhere')}"] if status < 400 else []
            body = b"" if status == 304 else b'{"reply": "x"}'
            self._check(respond(status, body, *more))

    def test_garbage(self) -> None:
        """What is no HTTP."""
        for data in (
            b"garbage\r\n\r\n",
            b"\x00\xff" * 1000,
            b"\r\n" * 10,
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
        ):
            self._check(raw(data))

    def test_a_2xx_whose_body_breaks(self) -> None:
        """Any 2xx confirms, whatever becomes of what it wanted to say."""
        for data in (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
            b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"reply"',
        ):
            self._check(raw(data), lost=0)

    def test_never(self) -> None:
        """No answer at all: the time limit ends it."""
        began = time.monotonic()
        self._check(never)
        self.assertGreater(time.monotonic() - began, TIMEOUT)

    def test_dripping(self) -> None:
        """An answer that never ends, a byte at a time, in the body and in the head."""
        self._check(DRIP)
        self._check(DRIP_HEAD)

    def test_endless(self) -> None:
        """An answer that never ends, as fast as it goes: memory does not grow."""
        memory = self.service.memory()
        self._check(ENDLESS)
        self._check(ENDLESS_HEAD)
        self.assertLess(self.service.memory() - memory, 30 << 20)

    def test_ended(self) -> None:
        """The connection is closed or reset instead of an answer, or in the middle of one."""
        for behaviour in (hang_up, slam, raw(b"HTTP/1.1 200 OK\r\nContent-"), raw(b"HTTP/1.1 500 X\r\n")):
            self._check(behaviour)

    def test_flood_while_stuck(self) -> None:
        """While a post hangs the next wait, up to ``send_buffer``: the oldest go, counted."""
        before, number = self.dropped(), 200
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        self.ask_behaving(never)
        injector.publish(*(numbered(n, 50_000, who=77) for n in range(number)))

        def come() -> list[int]:
            return [post.event["n"] for post in self.receiver.of('"who":77,')]

        wait_until("the newest comes", lambda: number - 1 in come())
        self.assertEqual(come(), list(range(number - len(come()), number)))
        self.assertLess(len(come()) * 50_000, 5 << 20)
        self.assertEqual(self.dropped() - before, 1 + number - len(come()))

    def test_connection_closed_after_each(self) -> None:
        """A receiver that closes after each answer, unannounced: what meets the close is counted."""
        before, number = self.dropped(), 20

        def one_shot(sock: Any) -> bool:
            EMPTY(sock)
            return False

        self.receiver.usual = one_shot
        words = [self.word() for _n in range(number)]

        def settled(sent: int) -> bool:
            came = sum(1 for word in words if self.receiver.of(word))
            return came + self.dropped() - before >= sent

        for sent, word in enumerate(words, 1):
            self.inject(word)
            wait_until("it came, or is counted", lambda: settled(sent))  # noqa: B023
        self.assertLessEqual(
            self.dropped() - before, number // 2
        )  # never two in a row: a new connection is good
        self.receiver.usual = EMPTY
        self.ask_behaving(respond(200, b"", "Connection: close"))
        self.assert_next_arrives()


class Outages(WebhookTestCase):
    """Receivers that are gone for longer."""

    def outage(self) -> None:
        """Events are published until posting pauses."""

        def told() -> bool:
            self.inject("into the void")
            return "posts in a row" in self.new_log()

        wait_until("it is said", told)

    def back(self) -> None:
        """Events are published until one arrives; then the next ones do."""

        def arrives() -> bool:
            word = self.word()
            self.inject(word)
            deadline = time.monotonic() + 0.1
            while not self.receiver.of(word) and time.monotonic() < deadline:
                time.sleep(0.01)
            return bool(self.receiver.of(word))

        wait_until("posts come again", arrives)
        self.assert_next_arrives()
        self.assert_next_arrives()

    def assert_told_once(self) -> None:
        log = self.new_log()
        self.assertEqual(log.count("posts in a row"), 1, log)
        self.assertIn("5 posts in a row for account 10001 to http://127.0.0.1:", log)
        wait_until("its end is told", lambda: "are taken again" in self.new_log())
        self.assertEqual(self.new_log().count("are taken again"), 1)
        self.assertNotIn(SECRET, log)

    def test_five_failures(self) -> None:
        """After five failures one line, and a pause without posts; then it is tried, and goes on."""
        before, began = self.dropped(), len(self.receiver.posts)
        self.receiver.usual = respond(500)
        self.outage()
        self.assertEqual(len(self.receiver.posts) - began, 5)
        fell = self.receiver.posts[-1].at

        def tried() -> bool:
            self.inject("into the void")
            return len(self.receiver.posts) - began > 5

        wait_until("it is tried again", tried)
        self.assertGreater(self.receiver.posts[-1].at - fell, 0.8)
        self.receiver.usual = EMPTY
        self.back()
        self.assert_told_once()
        self.assertGreaterEqual(self.dropped() - before, 6)

    def test_down_and_up(self) -> None:
        """The receiver ends and is started again, and every lost event is counted."""
        before = self.dropped()
        self.receiver.stop()
        self.outage()
        with RawClient(self.service) as other:
            other.message()
            self.inject("others hear it")
            self.assertEqual(other.event(word="others hear it")["word"], "others hear it")
        self.receiver.start()
        self.back()
        self.assert_told_once()
        lost = re.search(r"taken again; (\d+) events were dropped", self.new_log())
        assert lost is not None
        self.assertEqual(self.dropped() - before, int(lost[1]))


class Beats(ServiceTestCase):
    """Meta events, and the end."""

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.addCleanup(self.receiver.end)
        self.toml = (
            f'[[bots]]\nname = "hook"\nconnection = "http-post"\nurl = "{self.receiver.url()}"\n'
            '[limits]\nheartbeat_interval = "150ms"\n'
        )
        super().setUp()

    def test_heartbeats(self) -> None:
        """Heartbeats are posted, lifecycles are not; no secret, no signature; the end waits for no post."""
        wait_until("beats come", lambda: len(self.receiver.posts) >= 4)
        first, *more = [post.event for post in self.receiver.posts]
        self.assertEqual((first["meta_event_type"], first["interval"]), ("heartbeat", 150))
        self.assertEqual((first["status"]["online"], first["self_id"]), (True, 10001))
        for event in more:
            self.assertEqual(event["meta_event_type"], "heartbeat")
        times = [post.at for post in self.receiver.posts]
        self.assertLess(abs((times[3] - times[0]) / 3 - 0.15), 0.1)
        self.assertNotIn("x-signature", self.receiver.posts[0].headers)
        self.receiver.usual = never
        self.service.say(ALICE, "stuck")
        self.receiver.wait("stuck")
        began = time.monotonic()
        self.assertEqual(self.service.stop(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - began, 3.0)
