"""Messages by the sandbox's HTTP control: say something, read the transcript, wait for what comes."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

from tests.integration.control import (
    ALICE,
    BOB,
    GROUP,
    SANDBOX,
    ControlTestCase,
)
from tests.integration.running import PATIENCE, wait_until
from tests.rounds import ROUNDS


class Saying(ControlTestCase):
    """``say``, ``transcript`` and the overview."""

    def test_private(self) -> None:
        """A friend says something to the account: every bot hears it, with the number that was answered."""
        bots = [self.bot(), self.bot("/event")]
        answer = self.post("say", {"user_id": ALICE, "message": "hi"})
        for bot in bots:
            event = bot.message()
            self.assertLess(abs(event.pop("time") - time.time()), 5)
            self.assertEqual(
                event,
                {
                    "self_id": 10001,
                    "post_type": "message",
                    "message_type": "private",
                    "sub_type": "friend",
                    "message_id": answer["message_id"],
                    "target_id": 10001,
                    "user_id": ALICE,
                    "message": [{"type": "text", "data": {"text": "hi"}}],
                    "raw_message": "hi",
                    "font": 0,
                    "sender": {"user_id": ALICE, "nickname": "Alice", "sex": "unknown", "age": 0},
                },
            )

    def test_group(self) -> None:
        """Somebody says something in the group: the bots hear who it was, and which role they have there."""
        bot = self.bot()
        self.post("say", {"user_id": ALICE, "group_id": GROUP, "message": "hi, all"})
        event = bot.message()
        self.assertEqual((event["message_type"], event["sub_type"]), ("group", "normal"))
        self.assertEqual((event["group_id"], event["user_id"]), (GROUP, ALICE))
        self.assertEqual(event["sender"]["role"], "owner")

    def test_as_scripts_send_it(self) -> None:
        """Numbers as strings, one segment, curl's own content type: what is meant is clear, and is done."""
        bot = self.bot()
        text = {"type": "text", "data": {"text": "x"}}
        for body in (
            {"user_id": str(ALICE), "message": "x"},
            {"user_id": ALICE, "message": text},
            {"user_id": ALICE, "message": [text]},
        ):
            self.post("say", body)
            self.assertEqual(bot.message()["message"], [text])
        curl = {"Content-Type": "application/x-www-form-urlencoded"}
        body = {"user_id": ALICE, "message": "x"}
        status, _headers, _answer = self.request("POST", f"{SANDBOX}/say", body, curl)
        self.assertEqual(status, 200)
        self.assertEqual(bot.message()["message"], [text])

    def test_refused(self) -> None:
        """What cannot be said is answered 400 with the reason; no bot hears of it, and nothing is kept."""
        bot = self.bot()
        for body, named in (
            (b"", "params"),
            (b"[]", "params"),
            (b'{"user_id": 20001,', "params"),
            (b"\xff\xfe", "params"),
            ({"message": "x"}, "user_id"),
            ({"user_id": ALICE}, "message"),
            ({"user_id": ALICE, "message": ""}, "message"),
            ({"user_id": ALICE, "message": []}, "message"),
            ({"user_id": ALICE, "message": True}, "message"),
            ({"user_id": ALICE, "message": [{"data": {}}]}, "message[0]"),
            ({"user_id": "Alice", "message": "x"}, "user_id"),
            ({"user_id": True, "message": "x"}, "user_id"),
            ({"user_id": 2**64, "message": "x"}, "user_id"),
            ({"user_id": 99, "message": "x"}, "99"),
            ({"user_id": 10001, "message": "x"}, "account"),
            ({"user_id": ALICE, "group_id": 99, "message": "x"}, "99"),
        ):
            self.assertIn(named, self.post("say", body, 400)["error"])
        self.assertEqual(self.service.transcript(), [])
        self.post("say", {"user_id": ALICE, "message": "this is heard"})
        self.assertEqual(bot.message()["raw_message"], "this is heard")

    def test_banned(self) -> None:
        """Whom a bot has banned in a group cannot speak there, until the ban is lifted."""
        bot = self.bot()
        for duration, status in ((60, 400), (0, 200)):
            bot.ask("set_group_ban", group_id=GROUP, user_id=BOB, duration=duration)
            event = bot.event(notice_type="group_ban")
            self.assertEqual((event["user_id"], event["operator_id"]), (BOB, 10001))
            self.post("say", {"user_id": BOB, "group_id": GROUP, "message": "am I heard?"}, status)

    def test_transcript(self) -> None:
        """The transcript has all in order, who said it and where; ``after`` leaves out what is known."""
        bot = self.bot()
        self.post("say", {"user_id": ALICE, "message": "one"})
        bot.ask("send_private_msg", user_id=ALICE, message="two")
        self.post("say", {"user_id": BOB, "group_id": GROUP, "message": "three"})
        bot.ask("send_group_msg", group_id=GROUP, message=[{"type": "face", "data": {"id": "1"}}])
        status, _headers, answer = self.request("GET", f"{SANDBOX}/transcript")
        self.assertEqual((status, answer["last_message_id"]), (200, 4))
        lines = answer["messages"]
        shown = [
            (m["message_id"], m["user_id"], m["from_bot"], m["message_type"], m["raw_message"]) for m in lines
        ]
        self.assertEqual(
            shown,
            [
                (1, ALICE, False, "private", "one"),
                (2, 10001, True, "private", "two"),
                (3, BOB, False, "group", "three"),
                (4, 10001, True, "group", "[CQ:face,id=1]"),
            ],
        )
        self.assertEqual([m.get("peer_id") for m in lines], [ALICE, ALICE, None, None])
        self.assertEqual([m.get("group_id") for m in lines], [None, None, GROUP, GROUP])
        self.assertEqual(lines[3]["message"], [{"type": "face", "data": {"id": "1"}}])
        self.assertEqual(self.service.transcript(after=2), lines[2:])
        self.assertEqual(self.service.transcript(after=4), [])
        self.assertEqual(self.service.transcript(after=999), [])

    def test_recalled(self) -> None:
        """What a bot takes back stays in the transcript, marked."""
        bot = self.bot()
        said = bot.ask("send_private_msg", user_id=ALICE, message="oops")["data"]["message_id"]
        self.assertEqual(bot.ask("delete_msg", message_id=said)["retcode"], 0)
        (line,) = self.service.transcript()
        self.assertEqual((line["message_id"], line["recalled"]), (said, True))

    def test_overview(self) -> None:
        """The overview shows the world to begin with: three people, a group, nothing said, nothing asked."""
        world = self.world()
        self.assertEqual(world["self_id"], 10001)
        self.assertEqual([p["nickname"] for p in world["people"]], ["lgtwist", "Alice", "Bob", "Carol"])
        (group,) = world["groups"]
        self.assertEqual((group["group_id"], group["group_name"]), (GROUP, "Playground"))
        self.assertEqual({m["user_id"] for m in group["members"]}, {10001, 20001, 20002, 20003})
        self.assertEqual((world["requests"], world["last_message_id"]), ([], 0))

    def test_kept(self) -> None:
        """What was said is kept, though the service is killed the moment after."""
        last = 2 if ROUNDS == 1 else 4
        for number in range(1, last):
            self.post("say", {"user_id": ALICE, "message": f"number {number}"})
            self.kill_when_kept("message", 2 * number - 1)
            bot = self.bot()
            bot.call("send_private_msg", 1, user_id=ALICE, message=f"answer {number}")
            self.assertEqual(bot.response()["data"], {"message_id": 2 * number})
            self.kill_when_kept("message", 2 * number)
        self.assertEqual(
            [m["raw_message"] for m in self.service.transcript()],
            [f"{what} {number}" for number in range(1, last) for what in ("number", "answer")],
        )


class LongPoll(ControlTestCase):
    """``transcript?after=N&wait=S``."""

    def poll(self, after: int, wait: float) -> tuple[threading.Thread, list[tuple[float, Any]]]:
        """Begin a long poll; the list gets when it was answered, and what."""
        found: list[tuple[float, Any]] = []
        connection = self.service.connect()
        self.addCleanup(connection.close)
        connection.sendall(
            f"GET {SANDBOX}/transcript?after={after}&wait={wait} HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )

        def listen() -> None:
            text = b""
            while more := connection.recv(65536):
                text += more
            found.append((time.monotonic(), json.loads(text.partition(b"\r\n\r\n")[2])))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        # An answer to a later request shows that this one has been read.
        self.world()
        return thread, found

    def test_returns_when_said(self) -> None:
        """A long poll is answered as soon as a person or a bot says something; all who wait hear it."""
        bot = self.bot()
        polls = [self.poll(0, 60) for _ in range(3)]
        began = time.monotonic()
        self.post("say", {"user_id": ALICE, "message": "hello"})
        for thread, found in polls:
            thread.join(PATIENCE)
            ((ended, answer),) = found
            self.assertLess(ended - began, 10)
            self.assertEqual([m["raw_message"] for m in answer["messages"]], ["hello"])
        thread, found = self.poll(1, 60)
        began = time.monotonic()
        bot.ask("send_private_msg", user_id=ALICE, message="hello, Alice")
        thread.join(PATIENCE)
        ((ended, answer),) = found
        self.assertLess(ended - began, 10)
        self.assertEqual([m["message_id"] for m in answer["messages"]], [2])

    def test_returns_at_once(self) -> None:
        """Where something newer was said already it does not wait."""
        self.post("say", {"user_id": ALICE, "message": "hello"})
        began = time.monotonic()
        self.assertEqual(len(self.service.transcript(after=0, wait=60)), 1)
        self.assertLess(time.monotonic() - began, 10)

    def test_returns_in_vain(self) -> None:
        """Where nothing is said it is answered when its time is over, with nothing; events do not end it."""
        self.service.say(ALICE, "hello")
        began = time.monotonic()
        thread, found = self.poll(1, 1)
        self.service.inject({"post_type": "notice", "notice_type": "notify"})
        thread.join(PATIENCE)
        ((ended, answer),) = found
        self.assertEqual(answer, {"last_message_id": 1, "messages": []})
        self.assertTrue(0.9 < ended - began < 2, ended - began)
        began = time.monotonic()
        thread, found = self.poll(1, 0.1)
        thread.join(PATIENCE)
        self.assertGreater(found[0][0] - began, 0.09)

    def test_goes_away(self) -> None:
        """Clients that go away while they wait hurt nobody, and leave nothing behind."""
        self.service.say(ALICE, "first")
        before = self.service.open_files()
        leaving = []
        for number in range(20):
            connection = self.service.connect()
            connection.sendall(
                f"GET {SANDBOX}/transcript?after=1&wait=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            )
            leaving.append(connection)
            if number % 2:  # half of them end TCP with RST
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        thread, found = self.poll(1, 60)
        for connection in leaving:
            connection.close()
        wait_until("they are gone", lambda: self.service.open_files() <= before + 1)
        self.service.say(ALICE, "second")
        thread.join(PATIENCE)
        self.assertEqual([m["raw_message"] for m in found[0][1]["messages"]], ["second"])

    def test_bad_numbers(self) -> None:
        """``after`` and ``wait`` that are no numbers are answered 400, by name."""
        for query, named in (
            ("after=x", "after"),
            ("after=-1", "after"),
            ("after=1.5", "after"),
            ("after=", "after"),
            ("wait=soon", "wait"),
            ("wait=-1", "wait"),
            ("wait=1.", "wait"),
            ("wait=.5", "wait"),
            ("wait=1e1", "wait"),
            ("wait=nan", "wait"),
            ("wait=" + "9" * 5000, "wait"),
            ("after=%ff", "after"),
            ("after=%D9%A1", "after"),  # a digit, but not of ASCII
        ):
            status, _headers, answer = self.request("GET", f"{SANDBOX}/transcript?{query}")
            self.assertEqual(status, 400, query)
            self.assertIn(named, answer["error"])
