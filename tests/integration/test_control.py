"""The sandbox's HTTP control from outside: what a test script or a person with curl can do with it."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.client import HTTPConnection, HTTPMessage
from typing import Any

from tests.integration.rawclient import TEXT, HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, Service, ServiceTestCase, wait_until
from tests.integration.shared import SharedServiceTestCase

ALICE, BOB, CAROL, GROUP = 20001, 20002, 20003, 30001
SANDBOX = "/sandbox/10001"


NO_HEARTBEATS = '[limits]\nheartbeat_interval = "0s"\n'


class Control:
    """Talks HTTP, and attaches bots that hear no heartbeats. For a test case with a service."""

    service: Service
    addCleanup: Any
    assertEqual: Any
    assertTrue: Any
    toml = NO_HEARTBEATS

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, HTTPMessage, Any]:
        """One request: status, headers, and the body as JSON or else text."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=PATIENCE)
        try:
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, answer.headers, json.loads(text)
        except ValueError:
            return answer.status, answer.headers, text

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        """What a POST below the account is answered."""
        found, headers, answer = self.request("POST", f"{SANDBOX}/{path}", body)
        self.assertEqual(found, status, (path, body, answer))
        self.assertEqual(headers["Content-Type"], "application/json")
        if status != 200:
            self.assertTrue(answer["error"])
        return answer

    def bot(self, path: str = "/") -> RawClient:
        """An attached bot, its lifecycle read."""
        bot = RawClient(self.service, path)
        self.addCleanup(bot.socket.close)
        self.assertEqual(bot.message()["meta_event_type"], "lifecycle")
        return bot

    def world(self) -> dict[str, Any]:
        """The overview."""
        status, _headers, answer = self.request("GET", SANDBOX)
        self.assertEqual(status, 200)
        return dict(answer)


class ControlTestCase(Control, ServiceTestCase):
    """Each test has a service of its own."""


class SharedControlTestCase(Control, SharedServiceTestCase):
    """The tests of a class share one service."""


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
        """What was answered is kept, though the service is killed the moment after."""
        for number in range(1, 4):
            self.post("say", {"user_id": ALICE, "message": f"number {number}"})
            self.service.kill()
            self.service.start()
            bot = self.bot()
            bot.call("send_private_msg", 1, user_id=ALICE, message=f"answer {number}")
            self.assertEqual(bot.response()["data"], {"message_id": 2 * number})
            self.service.kill()
            self.service.start()
        self.assertEqual(
            [m["raw_message"] for m in self.service.transcript()],
            [f"{what} {number}" for number in range(1, 4) for what in ("number", "answer")],
        )


class LongPoll(ControlTestCase):
    """``transcript?after=N&wait=S``."""

    def poll(self, after: int, wait: int) -> tuple[threading.Thread, list[tuple[float, Any]]]:
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
            self.assertLess(ended - began, 1)
            self.assertEqual([m["raw_message"] for m in answer["messages"]], ["hello"])
        thread, found = self.poll(1, 60)
        began = time.monotonic()
        bot.ask("send_private_msg", user_id=ALICE, message="hello, Alice")
        thread.join(PATIENCE)
        ((ended, answer),) = found
        self.assertLess(ended - began, 1)
        self.assertEqual([m["message_id"] for m in answer["messages"]], [2])

    def test_returns_at_once(self) -> None:
        """Where something newer was said already it does not wait."""
        self.post("say", {"user_id": ALICE, "message": "hello"})
        began = time.monotonic()
        self.assertEqual(len(self.service.transcript(after=0, wait=60)), 1)
        self.assertLess(time.monotonic() - began, 1)

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
            ("wait=" + "9" * 5000, "wait"),
            ("after=%ff", "after"),
            ("after=%D9%A1", "after"),  # a digit, but not of ASCII
        ):
            status, _headers, answer = self.request("GET", f"{SANDBOX}/transcript?{query}")
            self.assertEqual(status, 400, query)
            self.assertIn(named, answer["error"])


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
        self.service.kill()
        self.service.start()
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


class Doors(SharedControlTestCase):
    """Paths, methods, and who may come in when no token is set."""

    def test_paths_and_methods(self) -> None:
        """Unknown paths are 404, another method is 405 with ``Allow``, HEAD is GET without body."""
        for method, path, status in (
            ("GET", "/sandbox/10002/transcript", 404),
            ("POST", "/sandbox/10002/say", 404),
            ("GET", "/sandbox", 404),
            ("GET", "/sandbox/", 404),
            ("GET", "/sandbox/x/transcript", 404),
            ("GET", f"{SANDBOX}/nothing", 404),
            ("GET", f"{SANDBOX}/say/more", 404),
            ("GET", f"{SANDBOX}/say", 405),
            ("PUT", f"{SANDBOX}/say", 405),
            ("DELETE", f"{SANDBOX}/ask", 405),
            ("GET", f"{SANDBOX}/event", 405),
            ("POST", f"{SANDBOX}/transcript", 405),
            ("POST", SANDBOX, 405),
        ):
            found, headers, _answer = self.request(method, path, {} if method != "GET" else None)
            self.assertEqual(found, status, (method, path))
            if status == 405:
                allowed = "POST" if path.rpartition("/")[2] in ("say", "ask", "event") else "GET"
                self.assertEqual(headers["Allow"].split(", ")[0], allowed)
        for path in (SANDBOX, f"{SANDBOX}/", f"{SANDBOX}/transcript/"):
            self.assertEqual(self.request("GET", path)[0], 200)
            status, _headers, body = self.request("HEAD", path)
            self.assertEqual((status, body), (200, ""))

    def test_too_large(self) -> None:
        """A body over max_message is answered 413, and the next request as ever."""
        with self.service.connect() as connection:
            head = f"POST {SANDBOX}/say HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n"
            connection.sendall(head.encode() + b"{")
            self.assertIn(b" 413 ", connection.recv(65536))
        self.post("say", {"user_id": ALICE, "message": "x"})

    def test_keep_alive(self) -> None:
        """Many requests go over one connection, refused ones too."""
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.connect()
        first = connection.sock
        before = self.world()["last_message_id"]
        for number in range(before, before + 5):
            for body, status in (({"user_id": ALICE, "message": "x"}, 200), ({"user_id": 99}, 400)):
                connection.request("POST", f"{SANDBOX}/say", json.dumps(body))
                answer = connection.getresponse()
                answer.read()
                self.assertEqual(answer.status, status)
            connection.request("GET", f"{SANDBOX}/transcript?after={number}")
            answer = connection.getresponse()
            self.assertEqual(len(json.load(answer)["messages"]), 1)
        self.assertIs(connection.sock, first)

    def test_strangers(self) -> None:
        """Without a token web pages and proxies are refused and told what to do; one log line per Host."""
        port = self.service.port
        for headers, named in (
            ({"Host": "example.org"}, 'Host "example.org" is not loopback'),
            ({"Host": f"rebind.example.org:{port}"}, "is not loopback"),
            ({"Host": "127.0.0.1.example.org"}, "is not loopback"),
            ({"Host": "10.0.0.1"}, "is not loopback"),
            ({"Origin": "https://example.org"}, 'Origin "https://example.org"'),
            ({"Origin": "null"}, "Origin"),
            ({"Origin": "http://127.0.0.1:1"}, "Origin"),
            ({"X-Forwarded-For": "10.0.0.1"}, "proxy"),
            ({"X-Real-IP": "127.0.0.1"}, "proxy"),
            ({"Forwarded": "for=127.0.0.1"}, "proxy"),
        ):
            body = {"user_id": ALICE, "message": "let me in"}
            status, _headers, answer = self.request("POST", f"{SANDBOX}/say", body, headers)
            self.assertEqual(status, 403, headers)
            self.assertIn(named, answer)
            self.assertIn("admin_token", answer)
        self.assertNotIn("let me in", [m["raw_message"] for m in self.service.transcript()])
        self.assertEqual(self.service.log().count('Host "example.org" is not loopback'), 1)

    def test_neighbours(self) -> None:
        """Without a token programs on this machine are let in, by each of its names."""
        port = self.service.port
        for headers in (
            {"Host": "localhost"},
            {"Host": f"localhost:{port}"},
            {"Host": "LOCALHOST"},
            {"Host": "lgtwist.localhost:1"},
            {"Host": "127.9.9.9"},
            {"Host": "[::1]:80"},
            {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"},
        ):
            self.assertEqual(self.request("GET", SANDBOX, headers=headers)[0], 200, headers)


class AdminToken(SharedControlTestCase):
    """With ``admin_token``, and a bot that has its own."""

    toml = NO_HEARTBEATS + '[[bots]]\nname = "b"\naccess_token = "of-the-bot"\n'
    server = 'admin_token = "of-the-admin"\nallowed_origins = ["https://console.example.org"]'

    def status(self, path: str = SANDBOX, **headers: str) -> int:
        return self.request("GET", path, headers=headers)[0]

    def test_token(self) -> None:
        """Without the token it is 401 with a challenge, with another one 403: that of a bot too."""
        status, headers, _answer = self.request("GET", SANDBOX)
        self.assertEqual(status, 401)
        self.assertTrue(headers["WWW-Authenticate"].startswith("Bearer"))
        for header, status in (
            ("Bearer of-the-admin", 200),
            ("bearer of-the-admin", 200),
            ("Token of-the-admin", 200),
            ("of-the-admin", 200),
            ("Bearer of-the-bot", 403),
            ("Bearer of-the-admi", 403),
            ("Bearer of-the-admin2", 403),
            ("Basic b2YtdGhlLWFkbWlu", 403),
            ("Bearer", 401),
            ("", 401),
        ):
            self.assertEqual(self.status(Authorization=header), status, header)
        self.assertEqual(self.status(f"{SANDBOX}?access_token=of-the-admin"), 200)
        self.assertEqual(self.status(f"{SANDBOX}?access_token=of-the-bot"), 403)

    def test_nothing_is_done(self) -> None:
        """What is refused is not done, whatever it was; strangers are not told which accounts there are."""
        for path in ("say", "ask", "event"):
            for headers, status in (({}, 401), ({"Authorization": "wrong"}, 403)):
                body = {"user_id": ALICE, "message": "x", "post_type": "notice"}
                found = self.request("POST", f"{SANDBOX}/{path}", body, headers)
                self.assertEqual(found[0], status)
        self.assertEqual(self.status("/sandbox/777"), 401)
        self.assertEqual(self.status("/sandbox/777", Authorization="of-the-admin"), 404)
        world = self.request("GET", SANDBOX, headers={"Authorization": "of-the-admin"})[2]
        self.assertEqual((world["last_message_id"], world["requests"]), (0, []))

    def test_not_for_bots(self) -> None:
        """The admin's token opens no bot's WebSocket."""
        with self.assertRaises(HandshakeRefused) as caught:
            RawClient(self.service, headers={"Authorization": "Bearer of-the-admin"})
        self.assertEqual(caught.exception.status, 403)

    def test_from_anywhere(self) -> None:
        """With the right token neither Host nor Origin nor a proxy matters."""
        for headers in (
            {"Host": "example.org"},
            {"Origin": "https://example.org"},
            {"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1"},
        ):
            self.assertEqual(self.status(Authorization="Bearer of-the-admin", **headers), 200)
