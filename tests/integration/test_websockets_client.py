"""The ``websockets`` package as a bot: the forward WebSocket as the contract says it is."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any

from tests.integration.running import PATIENCE
from tests.integration.shared import SharedServiceTestCase

try:
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import ClientConnection, connect
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True

ALICE, BOB, GROUP = 20001, 20002, 30001
LIFECYCLE = {
    "self_id": 10001,
    "post_type": "meta_event",
    "meta_event_type": "lifecycle",
    "sub_type": "connect",
}


class WebSocketsTestCase(SharedServiceTestCase):
    """Tests whose bots are made of ``websockets``. They share one service."""

    if not INSTALLED:
        skip = "websockets is not installed"

    def bot(self, path: str = "/", token: str | None = None) -> ClientConnection:
        """Connect as a bot does that knows nothing but the documentation of its library."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection = connect(self.service.url(path), additional_headers=headers)
        self.addCleanup(connection.close)
        return connection

    def refused(self, path: str, token: str | None = None) -> int:
        """The HTTP status that ends a handshake."""
        with self.assertRaises(InvalidStatus) as caught:
            self.bot(path, token)
        return int(caught.exception.response.status_code)

    def read(self, bot: ClientConnection, patience: float = PATIENCE) -> dict[str, Any]:
        """The next frame, which must be text and a JSON object."""
        frame = bot.recv(timeout=patience)
        self.assertIsInstance(frame, str)
        message = json.loads(frame)
        self.assertIsInstance(message, dict)
        return dict(message)

    def read_lifecycle(self, bot: ClientConnection, self_id: int = 10001) -> None:
        """The next frame is the lifecycle."""
        first = self.read(bot)
        self.assertLess(abs(first.pop("time") - time.time()), 5)
        self.assertEqual(first, {**LIFECYCLE, "self_id": self_id})

    def act(self, bot: ClientConnection, action: str, echo: Any, **params: Any) -> None:
        """Send an action."""
        bot.send(json.dumps({"action": action, "params": params, "echo": echo}))


class Conversation(WebSocketsTestCase):
    """One account, bots without a token."""

    toml = '[limits]\nheartbeat_interval = "0s"\n'

    def test_conversation(self) -> None:
        """A bot hears Alice, answers her, and is told the number of its answer."""
        bot = self.bot()
        self.read_lifecycle(bot)
        asked = self.service.say(ALICE, "你好 😀")
        event = self.read(bot)
        self.assertEqual(
            {
                k: event[k]
                for k in ("post_type", "message_type", "sub_type", "user_id", "message_id", "self_id")
            },
            {
                "post_type": "message",
                "message_type": "private",
                "sub_type": "friend",
                "user_id": ALICE,
                "message_id": asked,
                "self_id": 10001,
            },
        )
        self.assertEqual(event["message"], [{"type": "text", "data": {"text": "你好 😀"}}])
        self.assertEqual(event["raw_message"], "你好 😀")
        self.assertEqual(event["sender"]["nickname"], "Alice")
        self.act(bot, "send_private_msg", "e", user_id=ALICE, message="hello, Alice")
        answer = self.read(bot)
        (said,) = self.service.transcript(asked)
        self.assertEqual(
            {k: answer[k] for k in ("status", "retcode", "data", "echo")},
            {"status": "ok", "retcode": 0, "data": {"message_id": said["message_id"]}, "echo": "e"},
        )
        self.assertEqual(
            (said["raw_message"], said["peer_id"], said["from_bot"]), ("hello, Alice", ALICE, True)
        )

    def test_group_conversation(self) -> None:
        """In the group every bot hears what is said, and each may answer there."""
        bots = [self.bot(), self.bot("/10001")]
        for bot in bots:
            self.read_lifecycle(bot)
        asked = self.service.say(BOB, "who is here?", group_id=GROUP)
        for number, bot in enumerate(bots):
            event = self.read(bot)
            self.assertEqual((event["message_type"], event["group_id"]), ("group", GROUP))
            self.assertEqual((event["sender"]["role"], event["raw_message"]), ("member", "who is here?"))
            self.act(bot, "send_group_msg", number, group_id=GROUP, message=f"bot {number}")
            self.assertEqual(self.read(bot)["echo"], number)
        heard = [m["raw_message"] for m in self.service.transcript(asked) if m["from_bot"]]
        self.assertEqual(heard, ["bot 0", "bot 1"])

    def test_many_at_once(self) -> None:
        """Each of many actions is answered once, to the connection that asked, though two use one echo."""
        bots = {ALICE: self.bot(), BOB: self.bot("/api")}
        self.read_lifecycle(bots[ALICE])
        answers: dict[int, list[dict[str, Any]]] = {ALICE: [], BOB: []}

        def converse(user_id: int, bot: ClientConnection) -> None:
            for number in range(200):
                self.act(bot, "get_stranger_info", number, user_id=user_id)
            self.act(bot, "get_status", "last")
            while not answers[user_id] or answers[user_id][-1]["echo"] != "last":
                answers[user_id].append(self.read(bot))

        threads = [threading.Thread(target=converse, args=pair, daemon=True) for pair in bots.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        for user_id, found in answers.items():
            self.assertEqual([a["echo"] for a in found], [*range(200), "last"])
            self.assertEqual({a["data"]["user_id"] for a in found[:-1]}, {user_id})

    def test_echo(self) -> None:
        """The echo comes back as it was sent, whatever it is, and not at all where none was sent."""
        bot = self.bot("/api")
        for echo in (
            "",
            "1",
            0,
            2**63 - 1,
            -(2**63),
            1.5,
            True,
            None,
            [1, "x"],
            {"seq": {"n": 1}, "你": "好"},
        ):
            self.act(bot, "get_login_info", echo)
            answer = self.read(bot)
            self.assertIn("echo", answer)
            self.assertEqual(answer["echo"], echo)
            self.assertIs(type(answer["echo"]), type(echo))
        bot.send('{"action": "get_login_info"}')
        self.assertNotIn("echo", self.read(bot))

    def test_mistakes(self) -> None:
        """What is no action, or none that there is, is answered; the connection stays."""
        bot = self.bot("/api")
        for text, retcode in (
            ("{", 1400),
            ("[]", 1400),
            ("{}", 1400),
            ('{"action": 7, "echo": "e"}', 1400),
            ('{"action": "get_login_info", "params": [1], "echo": "e"}', 1400),
            ('{"action": "send_private_msg", "params": {"user_id": "x", "message": "y"}, "echo": "e"}', 1400),
            ('{"action": "fly_to_the_moon", "echo": "e"}', 1404),
        ):
            bot.send(text)
            answer = self.read(bot)
            self.assertEqual((answer["status"], answer["retcode"]), ("failed", retcode), text)
            self.assertEqual(answer.get("echo"), "e" if "echo" in text else None, text)
            self.assertTrue(answer["message"], text)
        self.act(bot, "get_status", 1)
        self.assertEqual(self.read(bot)["data"]["online"], True)

    def test_binary(self) -> None:
        """An action in a binary frame is one too, and its answer is text."""
        bot = self.bot("/api")
        bot.send(b'{"action": "get_login_info", "echo": 1}')
        self.assertEqual(self.read(bot)["data"], {"user_id": 10001, "nickname": "lgtwist"})

    def test_no_heartbeats(self) -> None:
        """With heartbeat_interval = "0s" there are none."""
        bot = self.bot()
        self.read_lifecycle(bot)
        with self.assertRaises(TimeoutError):
            bot.recv(timeout=0.3)

    def test_large_message(self) -> None:
        """A message of several MiB goes through in both directions, in one piece."""
        text = "大" * (1 << 20)  # three bytes each
        bot = connect(self.service.url(), max_size=None)
        self.addCleanup(bot.close)
        self.read_lifecycle(bot)
        self.act(bot, "send_private_msg", 1, user_id=ALICE, message=text)
        said = self.read(bot)["data"]["message_id"]
        self.act(bot, "get_msg", 2, message_id=said)
        self.assertEqual(self.read(bot)["data"]["message"][0]["data"]["text"], text)

    def test_client_closes(self) -> None:
        """The client's close is answered with its own code, and TCP ends at once."""
        for path in ("/", "/api", "/event"):
            for code in (1000, 1001, 3000, 4999):
                bot = self.bot(path)
                watch = self.service.stopwatch()
                bot.close(code, "再见")
                self.assertLess(watch.seconds(), 1)
                answer = bot.protocol.close_rcvd
                self.assertIsNotNone(answer)
                self.assertEqual(answer.code, code)  # type: ignore[union-attr]
                self.assertIs(bot.protocol.close_rcvd_then_sent, False)

    def test_deflate(self) -> None:
        """A client that offers compression, as ``websockets`` does, gets a connection without it."""
        bot = self.bot()
        self.assertEqual(bot.protocol.extensions, [])
        self.read_lifecycle(bot)


class Paths(WebSocketsTestCase):
    """Two accounts, and two bots of which one has only the second account."""

    toml = """
        [[accounts]]
        type = "sandbox"
        self_id = 10001
        [[accounts]]
        type = "sandbox"
        self_id = 10002
        [[bots]]
        name = "all"
        access_token = "for-all"
        [[bots]]
        name = "second"
        access_token = "for-second"
        accounts = [10002]
        [limits]
        heartbeat_interval = "0s"
        """

    def test_universal(self) -> None:
        """/ and /{self_id} begin with the lifecycle, then carry events and actions of that account."""
        for path, token, self_id in (
            ("/", "for-all", 10001),
            ("/10001", "for-all", 10001),
            ("/10002/", "for-all", 10002),
            ("/", "for-second", 10002),  # the first that this bot may use
            ("/10002", "for-second", 10002),
        ):
            bot = self.bot(path, token)
            self.act(bot, "get_login_info", "at once")
            self.read_lifecycle(bot, self_id)
            self.assertEqual(self.read(bot)["data"]["user_id"], self_id)
            said = self.service.say(ALICE, "hello", self_id=self_id)
            event = self.read(bot)
            self.assertEqual((event["self_id"], event["message_id"]), (self_id, said))

    def test_event(self) -> None:
        """/event begins with the lifecycle, carries every event, and answers no action."""
        for path, token, self_id in (
            ("/event", "for-all", 10001),
            ("/event/", "for-second", 10002),
            ("/10002/event", "for-all", 10002),
        ):
            bot = self.bot(path, token)
            self.read_lifecycle(bot, self_id)
            self.act(bot, "send_private_msg", 1, user_id=ALICE, message="not from here")
            said = [self.service.say(ALICE, f"number {n}", self_id=self_id) for n in range(3)]
            self.assertEqual([self.read(bot)["message_id"] for _ in said], said)
            self.assertNotIn(
                "not from here",
                [m["raw_message"] for m in self.service.transcript(self_id=self_id)],
            )

    def test_api(self) -> None:
        """/api answers actions and never carries an event: no lifecycle, nor what an action causes."""
        for path, token, self_id in (
            ("/api", "for-all", 10001),
            ("/api/", "for-second", 10002),
            ("/10002/api", "for-all", 10002),
        ):
            bot = self.bot(path, token)
            self.service.say(BOB, "a member speaks", group_id=GROUP, self_id=self_id)
            self.act(bot, "set_group_ban", 1, group_id=GROUP, user_id=BOB, duration=60)
            self.act(bot, "set_group_ban", 2, group_id=GROUP, user_id=BOB, duration=0)
            self.act(bot, "get_login_info", 3)
            answers = [self.read(bot) for _ in range(3)]
            self.assertEqual([(a["retcode"], a["echo"]) for a in answers], [(0, 1), (0, 2), (0, 3)])
            self.assertEqual(answers[2]["data"]["user_id"], self_id)
            with self.assertRaises(TimeoutError):
                bot.recv(timeout=0.05)

    def test_other_account(self) -> None:
        """What happens around one account is not told to a bot of the other."""
        first, second = self.bot("/10001", "for-all"), self.bot("/10002", "for-all")
        self.read_lifecycle(first, 10001)
        self.read_lifecycle(second, 10002)
        self.service.say(ALICE, "to the first", self_id=10001)
        self.service.say(ALICE, "to the second", self_id=10002)
        self.assertEqual(self.read(first)["raw_message"], "to the first")
        self.assertEqual(self.read(second)["raw_message"], "to the second")

    def test_refusals(self) -> None:
        """Unknown account or path: 404; another bot's account: 403; no token: 401; a wrong one: 403."""
        for path, token, status in (
            ("/10003", "for-all", 404),
            ("/10003/api", "for-second", 404),
            ("/10001", "for-second", 403),
            ("/10001/api", "for-second", 403),
            ("/10001/event/", "for-second", 403),
            ("/nowhere", "for-all", 404),
            ("/10001/nowhere", "for-all", 404),
            ("/onebot/v11/ws", "for-all", 404),
            ("/", None, 401),
            ("/10001/event", None, 401),
            ("/", "for-nobody", 403),
            ("/?access_token=for-nobody", None, 403),
            ("/?access_token=", None, 401),
        ):
            self.assertEqual(self.refused(path, token), status, (path, token))

    def test_either_token(self) -> None:
        """A right token in the header or in the query is enough, the other may be wrong."""
        for path, token in (
            ("/?access_token=for-all", None),
            ("/?access_token=for-all", "for-nobody"),
            ("/?access_token=for-nobody", "for-all"),
        ):
            self.read_lifecycle(self.bot(path, token), 10001)

    def test_wrong_door(self) -> None:
        """A bot that dials an implementation's path is told so in the log."""
        self.refused("/onebot/v11/ws", "for-all")
        self.assertIn("/onebot/v11/ws, where OneBot implementations connect", self.service.log())


class Heartbeats(WebSocketsTestCase):
    """With an interval that a test can wait for."""

    toml = '[limits]\nheartbeat_interval = "250ms"\n'

    def test_interval(self) -> None:
        """The first heartbeat comes one interval after the lifecycle, each next one an interval later."""
        bots = [self.bot(path) for path in ("/", "/event")]
        for bot in bots:
            self.read_lifecycle(bot)
        began, watch = time.monotonic(), self.service.stopwatch()
        for number in range(1, 9):
            for bot in bots:
                beat = self.read(bot)
                # A busy machine is late, but by far less than an interval twice as long would be.
                self.assertGreater(time.monotonic() - began - 0.25 * number, -0.15)
                self.assertLess(watch.seconds() - 0.25 * number, 1.0)
                self.assertLess(abs(beat.pop("time") - time.time()), 5)
                self.assertEqual(
                    beat,
                    {
                        "self_id": 10001,
                        "post_type": "meta_event",
                        "meta_event_type": "heartbeat",
                        "status": {"online": True, "good": True},
                        "interval": 250,
                    },
                )

    def test_not_on_api(self) -> None:
        """/api gets no heartbeat."""
        bot = self.bot("/api")
        with self.assertRaises(TimeoutError):
            bot.recv(timeout=0.6)


class Stopping(WebSocketsTestCase):
    """The service ends."""

    def test_service_stops(self) -> None:
        """When the service stops every client gets 1012 first, and none that answers delays the end."""
        bots = [self.bot(path) for path in ("/", "/api", "/event")]
        began = time.monotonic()
        self.assertEqual(self.service.stop(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - began, 6)
        for bot in bots:
            with self.assertRaises(ConnectionClosed) as caught:
                while True:
                    bot.recv(timeout=PATIENCE)
            closed = caught.exception.rcvd
            self.assertEqual(closed and closed.code, 1012)
