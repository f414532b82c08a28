"""A bot of OneBot 11 on NoneBot2 behind lgtwist, behind a server of Milky: neither knows of the other."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.integration.running import Service
from tests.integration.shared import SharedTestCase
from tests.integration.test_nonebot import MISSING, NoneBot
from tests.milky.fake import FakeMilky
from tests.processes import ChildProcess, wait_until

PROGRAM = Path(__file__).parent / "bots" / "nonebot_converses.py"
SELF, FRIEND, OTHER, OWNER, GROUP = 10001, 20001, 20002, 20003, 30001
PATIENCE = 30


class ConversingNoneBot(NoneBot):
    """The program as a child process."""

    program = PROGRAM

    def lines(self, word: str) -> list[Any]:
        """What it wrote behind a word, decoded."""
        lines = self.log().splitlines(keepends=True)
        return [
            json.loads(line.partition(" ")[2])
            for line in lines
            if line.startswith(word + " ") and "\n" in line
        ]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of a class that came."""
        return [content for one, content in self.lines("EVENT") if one == name]

    def wait_event(self, name: str, **wanted: Any) -> dict[str, Any]:
        """Wait for an event of a class with these fields."""

        def found() -> dict[str, Any] | None:
            return next((one for one in self.events(name) if wanted.items() <= one.items()), None)

        try:
            return dict(wait_until(f"{name} with {wanted} comes", found, PATIENCE))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-4000:]}") from None


class Chain:
    """The server of Milky, lgtwist, and the bot."""

    def __init__(self, folder: Path) -> None:
        self.parts: list[ChildProcess] = []
        try:
            self.fake = FakeMilky(folder / "milky", token="of-milky")
            self.parts.append(self.fake)
            toml = "\n".join(
                [
                    "[[accounts]]",
                    'type = "milky"',
                    f"self_id = {SELF}",
                    f'url = "{self.fake.url}"',
                    'access_token = "of-milky"',
                    "[[bots]]",
                    'name = "bot"',
                ]
            )
            self.service = Service(folder / "service", toml)
            self.parts.append(self.service)
            settings = {"ONEBOT_WS_URLS": f'["{self.service.url()}"]'}
            self.bot = ConversingNoneBot(folder / "nonebot", settings)
            self.parts.append(self.bot)
            self.bot.wait_connected(1)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        for part in reversed(self.parts):
            part.clean_up() if isinstance(part, Service) else part.end()


class ConversationTestCase(SharedTestCase):
    """Tests that share one chain, each with messages of its own."""

    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"

    def start_shared(self, folder: Path) -> Chain:
        return Chain(folder)

    def setUp(self) -> None:
        super().setUp()
        self.fake: FakeMilky = self.shared.fake
        self.service: Service = self.shared.service
        self.bot: ConversingNoneBot = self.shared.bot
        self._log_before = len(self.bot.log())
        self._calls_before = len(self.fake.calls())
        self.addCleanup(self._look_around)

    def _look_around(self) -> None:
        self.assertEqual([], self.fake.violations())
        for bad in ("Traceback", "Unhandled", "of-milky"):
            self.assertNotIn(bad, self.service.log())
        log = self.bot.log()[self._log_before :]
        for bad in ("Traceback", "ValidationError"):
            self.assertNotIn(bad, log, log[-6000:])

    def calls(self, *apis: str) -> list[dict[str, Any]]:
        """The parameters of the calls since the test began."""
        calls = self.fake.control("calls", after=self._calls_before - 1)
        return [one["params"] for one in calls if one["api"] in apis and one["ended"]]

    def wait_called(self, api: str) -> dict[str, Any]:
        """Wait for the first call of an API since the test began; its parameters."""
        try:
            calls = wait_until(f"{api} is called", lambda: self.calls(api), PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.bot.log()[-4000:]}\n{self.service.log()[-2000:]}") from None
        return dict(calls[0])

    def wait_said(
        self, text: str, scene: str = "group", peer_id: int = GROUP, after: int = 0
    ) -> dict[str, Any]:
        """Wait until the account has said something with this text in it; the message."""

        def said() -> dict[str, Any] | None:
            for message in self.fake.history(scene, peer_id):
                if message and message["sender_id"] == SELF and message["message_seq"] > after:
                    if any(text in one["data"].get("text", "") for one in message["segments"]):
                        return dict(message)
            return None

        try:
            return dict(wait_until(f"the account says {text!r}", said, PATIENCE))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.bot.log()[-4000:]}\n{self.service.log()[-2000:]}") from None

    def ask(self, action: str, **params: Any) -> Any:
        """Let the bot call an action; what it got."""
        before = len(self.bot.lines("RESULT"))
        self.fake.say("friend", FRIEND, f"/call {action} {json.dumps(params)}")

        def answered() -> list[Any]:
            return self.bot.lines("RESULT")[before:]

        try:
            answers = wait_until(f"{action} is answered", answered, PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.bot.log()[-4000:]}\n{self.service.log()[-2000:]}") from None
        return answers[0]

    def data(self, action: str, **params: Any) -> Any:
        """Let the bot call an action that succeeds; its data."""
        answer = self.ask(action, **params)
        self.assertIn("data", answer, (action, params, answer))
        return answer["data"]

    def retcode(self, action: str, **params: Any) -> int:
        """Let the bot call an action that fails; its retcode."""
        answer = self.ask(action, **params)
        self.assertIn("failed", answer, (action, params, answer))
        return int(answer["failed"]["retcode"])


class Conversation(ConversationTestCase):
    def test_a_message_with_everything(self) -> None:
        """Reply, mention, text, face and image go to the group, as Milky's own segments."""
        said = self.fake.say("group", GROUP, "/hello", FRIEND)
        answer = self.wait_said("hello & [you]")
        segments = answer["segments"]
        self.assertEqual(["reply", "mention", "text", "face", "image"], [one["type"] for one in segments])
        reply, mention, text, face, image = (one["data"] for one in segments)
        self.assertEqual((said["message_seq"], FRIEND), (reply["message_seq"], reply["sender_id"]))
        self.assertEqual(FRIEND, mention["user_id"])
        self.assertEqual(" hello & [you] ", text["text"])
        self.assertEqual("14", face["face_id"])
        self.assertEqual("a picture", self.fake.world()["resources"][image["resource_id"]])
        event = self.bot.wait_event("GroupMessageEvent", raw_message="/hello")
        self.assertEqual((GROUP, FRIEND, SELF), (event["group_id"], event["user_id"], event["self_id"]))
        self.assertEqual("5", event["sender"]["level"])
        self.assertTrue(1 <= event["message_id"] < 1 << 31)

    def test_what_the_bot_is_told(self) -> None:
        """Every segment that Milky has, as one of OneBot's."""
        first = self.fake.say("group", GROUP, "what is replied to", OTHER)
        segments = [
            self.fake.do("reply_to", scene="group", peer_id=GROUP, seq=first["message_seq"]),
            {"type": "mention", "data": {"user_id": SELF, "name": "lgtwist"}},
            {"type": "mention_all", "data": {}},
            {"type": "text", "data": {"text": "all & [of] it"}},
            {"type": "face", "data": {"face_id": "178", "is_large": False}},
            self.fake.do("image", content="seen"),
            {"type": "record", "data": {"resource_id": "r", "temp_url": "http://127.0.0.1/r", "duration": 3}},
            self.fake.do("forward", nodes=[{"sender_name": "n", "segments": _text("inside")}]),
            {"type": "light_app", "data": {"app_name": "a", "json_payload": '{"app":"a"}'}},
            {"type": "xml", "data": {"service_id": 1, "xml_payload": "<x/>"}},
            {"type": "markdown", "data": {"content": "# hi"}},
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
        said = self.fake.say("group", GROUP, segments, OTHER)

        def found() -> dict[str, Any] | None:
            events = self.bot.events("GroupMessageEvent")
            return next((one for one in events if "all &amp; &#91;of&#93; it" in one["raw_message"]), None)

        event = wait_until("the message comes", found, PATIENCE)
        # NoneBot takes the reply and the mention of the account out of the message; it leaves them here
        message = {one["type"]: one["data"] for one in event["original_message"]}
        self.assertEqual(
            [
                "reply",
                "at",
                "at",
                "text",
                "face",
                "image",
                "record",
                "forward",
                "json",
                "xml",
                "markdown",
                "mface",
            ],
            [one["type"] for one in event["original_message"]],
        )
        self.assertEqual("all", message["at"]["qq"])
        self.assertEqual("all & [of] it", message["text"]["text"])
        self.assertEqual("178", message["face"]["id"])
        self.assertEqual(segments[5]["data"]["temp_url"], message["image"]["url"])
        self.assertEqual('{"app":"a"}', message["json"]["data"])
        self.assertEqual("what is replied to", _plain(event["reply"]["message"]))
        self.assertTrue(event["to_me"])
        found_message = self.data("get_msg", message_id=event["message_id"])
        self.assertEqual(said["message_seq"], found_message["real_id"])
        self.assertEqual(event["message_id"], found_message["message_id"])
        inside = self.data("get_forward_msg", id=message["forward"]["id"])
        self.assertEqual("inside", _plain(inside["messages"][0]["content"]))

    def test_recall(self) -> None:
        """The bot takes back its own message, and one that is replied to, and is told of others' recalls."""
        bad = self.fake.say("group", GROUP, "bad words", OTHER)["message_seq"]
        reply = self.fake.do("reply_to", scene="group", peer_id=GROUP, seq=bad)
        self.fake.say("group", GROUP, [reply, *_text("/forget")], FRIEND)
        self.wait_said("forgotten")
        recalled = [one["message_seq"] for one in self.calls("recall_group_message")]
        self.assertEqual(2, len(recalled))
        self.assertEqual(bad, recalled[1])
        texts = [_plain(one["segments"]) for one in self.fake.history("group", GROUP) if one is not None]
        self.assertNotIn("said by mistake", texts)
        self.assertNotIn("bad words", texts)
        told = self.bot.wait_event("GroupRecallNoticeEvent", user_id=OTHER)
        self.assertEqual((GROUP, SELF), (told["group_id"], told["operator_id"]))
        seen = self.bot.wait_event("GroupMessageEvent", raw_message="bad words")
        self.assertEqual(seen["message_id"], told["message_id"])
        said = self.fake.say("friend", FRIEND, "unsaid")
        self.fake.do("recall", scene="friend", peer_id=FRIEND, seq=said["message_seq"])
        seen = self.bot.wait_event("PrivateMessageEvent", raw_message="unsaid")
        told = self.bot.wait_event("FriendRecallNoticeEvent", user_id=FRIEND)
        self.assertEqual(seen["message_id"], told["message_id"])

    def test_poke(self) -> None:
        self.fake.do("nudge", sender_id=FRIEND, receiver_id=SELF, group_id=GROUP)
        self.assertEqual({"group_id": GROUP, "user_id": FRIEND}, self.wait_called("send_group_nudge"))
        event = self.bot.wait_event("PokeNotifyEvent", group_id=GROUP, target_id=SELF)
        self.assertEqual(FRIEND, event["user_id"])
        self.fake.do("nudge", sender_id=FRIEND, receiver_id=SELF)
        self.assertEqual(FRIEND, self.wait_called("send_friend_nudge")["user_id"])

    def test_requests_of_friends(self) -> None:
        self.fake.do("request_friendship", user_id=20101, comment="please")
        self.wait_called("accept_friend_request")
        self.fake.do("request_friendship", user_id=20102, comment="now!")
        self.wait_called("reject_friend_request")
        world = self.fake.world()
        self.assertIn(20101, world["friends"])
        states = {one["initiator_id"]: one["state"] for one in world["friend_requests"]}
        self.assertEqual({20101: "accepted", 20102: "rejected"}, states)

    def test_requests_of_groups(self) -> None:
        self.fake.do("request_join", group_id=GROUP, user_id=20103, comment="please", is_filtered=True)
        self.wait_called("accept_group_request")
        self.fake.do("request_join", group_id=GROUP, user_id=20104, comment="now!")
        self.assertEqual("ask nicely", self.wait_called("reject_group_request")["reason"])
        self.fake.do("invite_other", group_id=GROUP, initiator_id=FRIEND, target_user_id=20105)
        wait_until("that is rejected too", lambda: len(self.calls("reject_group_request")) == 2)
        self.fake.do("invite_self", group_id=30004, initiator_id=FRIEND)
        self.wait_called("accept_group_invitation")
        world = self.fake.world()
        states = {one["notification_seq"]: one.get("state") for one in world["notifications"]}
        self.assertEqual(["rejected", "rejected", "accepted"], [one for one in states.values() if one])
        self.assertIn(20103, [one["user_id"] for one in world["groups"][str(GROUP)]["members"]])
        self.assertIn("30004", world["groups"])
        joined = self.bot.wait_event("GroupIncreaseNoticeEvent", user_id=20103)
        self.assertEqual(
            (GROUP, SELF, "approve"), (joined["group_id"], joined["operator_id"], joined["sub_type"])
        )

    def test_mute(self) -> None:
        mention = {"type": "mention", "data": {"user_id": OTHER, "name": "o"}}
        self.fake.say("group", GROUP, [*_text("/mute "), mention], OWNER)
        self.wait_said("done")
        self.assertEqual(
            {"group_id": GROUP, "user_id": OTHER, "duration": 60}, self.wait_called("set_group_member_mute")
        )
        event = self.bot.wait_event("GroupBanNoticeEvent", user_id=OTHER)
        self.assertEqual(("ban", 60, SELF), (event["sub_type"], event["duration"], event["operator_id"]))
        member = self.data("get_group_member_info", group_id=GROUP, user_id=OTHER)
        self.assertGreater(member["shut_up_timestamp"], 0)
        self.data("set_group_whole_ban", group_id=GROUP, enable=True)
        self.assertEqual([GROUP], self.fake.world()["muted_groups"])

    def test_forward(self) -> None:
        before = len(self.bot.lines("RESULT"))
        self.fake.say("group", GROUP, "/forward", FRIEND)
        answers = wait_until("it reads its forward", lambda: self.bot.lines("RESULT")[before:], PATIENCE)
        nodes = answers[0]["messages"]
        self.assertEqual(["somebody", "me"], [one["sender"]["nickname"] for one in nodes])
        self.assertEqual(["text", "face"], [one["type"] for one in nodes[0]["content"]])
        self.assertEqual("image", nodes[1]["content"][0]["type"])
        (sent,) = self.calls("send_group_message")
        self.assertEqual([FRIEND, SELF], [one["user_id"] for one in sent["message"][0]["data"]["messages"]])

    def test_reactions(self) -> None:
        said = self.fake.say("group", GROUP, "/react", FRIEND)
        wanted = {"group_id": GROUP, "message_seq": said["message_seq"], "reaction": "76"}
        self.assertEqual(
            wanted.items() & self.wait_called("send_group_message_reaction").items(), wanted.items()
        )
        self.fake.do(
            "react", group_id=GROUP, seq=said["message_seq"], user_id=OTHER, face_id="128516", kind="emoji"
        )
        told = self.bot.wait_event("NoticeEvent", user_id=OTHER, notice_type="group_msg_emoji_like")
        seen = self.bot.wait_event("GroupMessageEvent", raw_message="/react")
        self.assertEqual(seen["message_id"], told["message_id"])
        self.assertEqual("128516", told["likes"][0]["emoji_id"])

    def test_files(self) -> None:
        before = len(self.bot.lines("RESULT"))
        file_id = self.fake.do(
            "send_file", scene="group", peer_id=GROUP, name="a.txt", content="hi", sender_id=FRIEND
        )
        answers = wait_until("it asks for the file", lambda: self.bot.lines("RESULT")[before:], PATIENCE)
        self.assertIn(file_id, answers[0]["url"])
        event = self.bot.wait_event("GroupUploadNoticeEvent", user_id=FRIEND)
        self.assertEqual(("a.txt", 2), (event["file"]["name"], event["file"]["size"]))
        content = "base64://" + base64.b64encode(b"content").decode()
        self.data("upload_group_file", group_id=GROUP, file=content, name="b.txt")
        root = self.data("get_group_root_files", group_id=GROUP)
        self.assertEqual({"a.txt", "b.txt"}, {one["file_name"] for one in root["files"]})
        self.data("delete_group_file", group_id=GROUP, file_id=file_id, busid=0)
        private = self.fake.do("send_file", scene="friend", peer_id=FRIEND, name="c.txt", content="see")
        self.bot.wait_event("NoticeEvent", notice_type="offline_file", user_id=FRIEND)
        self.assertIn(private, self.data("get_private_file_url", file_id=private)["url"])

    def test_a_temporary_conversation(self) -> None:
        """It is answered where it came from."""
        self.fake.say("temp", 20106, "/call get_login_info", group_id=GROUP)
        event = self.bot.wait_event("PrivateMessageEvent", user_id=20106)
        self.assertEqual("group", event["sub_type"])
        self.data("send_private_msg", user_id=20106, message="to you")
        self.wait_said("to you", "temp", 20106)

    def test_what_cannot_be_had(self) -> None:
        """A sentence, and never a success that did nothing."""
        for action in ("get_group_honor_info", "set_group_anonymous", "ocr_image", "set_restart", "get_rkey"):
            self.assertEqual(1404, self.retcode(action, group_id=GROUP), action)
        self.assertEqual(1404, self.retcode("set_group_leave", group_id=GROUP, is_dismiss=True))
        answer = self.ask("send_group_msg", group_id=GROUP, message=[{"type": "dice", "data": {}}])
        self.assertEqual(1400, answer["failed"]["retcode"])
        self.assertIn("dice", json.dumps(answer["failed"]))
        self.assertEqual(-404, self.retcode("get_group_info", group_id=39999))
        self.fake.switch(missing=["get_csrf_token"])
        self.addCleanup(self.fake.switch, missing=[])
        answer = self.ask("get_csrf_token")
        self.assertEqual(1404, answer["failed"]["retcode"])
        self.assertIn("HTTP 404", json.dumps(answer["failed"]))

    def test_who_there_is(self) -> None:
        self.assertEqual(SELF, self.data("get_login_info")["user_id"])
        self.assertIn(FRIEND, [one["user_id"] for one in self.data("get_friend_list")])
        groups = self.data("get_group_list")
        self.assertIn((GROUP, "group30001"), [(one["group_id"], one["group_name"]) for one in groups])
        members = self.data("get_group_member_list", group_id=GROUP)
        roles = {one["user_id"]: one["role"] for one in members}
        self.assertEqual(("owner", "admin"), (roles[OWNER], roles[SELF]))
        self.assertEqual("v11", self.data("get_version_info")["protocol_version"])
        self.assertTrue(self.data("get_status")["online"])
        self.assertEqual("user20001", self.data("get_stranger_info", user_id=FRIEND)["nickname"])
        history = self.data("get_group_msg_history", group_id=GROUP, count=2)
        self.assertLessEqual(len(history["messages"]), 2)


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "data": {"text": text}}]


def _plain(message: Any) -> str:
    return "".join(one["data"]["text"] for one in message if one["type"] == "text")
