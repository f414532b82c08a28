"""NoneBot2's own Milky adapter against the fake server: it is not only ours that the fake is made for."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.milky.fake import FakeMilky
from tests.processes import ChildProcess, inherited_environment, wait_until

PROGRAM = Path(__file__).parent / "bots" / "nonebot_milky.py"
FRIEND, MEMBER, OWNER, GROUP = 20001, 20002, 20003, 30001
PATIENCE = 40


def _is_missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


MISSING = [one for one in ("nonebot.adapters.milky", "httpx", "websockets") if _is_missing(one)]


class NoneBotMilky(ChildProcess):
    """The program as a child process."""

    name = "NoneBot"

    def __init__(self, folder: Path, fake: FakeMilky, token: str) -> None:
        super().__init__(folder)
        client = {"host": "127.0.0.1", "port": fake.port, "access_token": token}
        settings = {
            "DRIVER": "~httpx+~websockets",
            "LOG_LEVEL": "INFO",
            "MILKY_CLIENTS": json.dumps([client]),
        }
        self.spawn([sys.executable, str(PROGRAM)], {**inherited_environment(), **settings})

    def wait_line(self, line: str) -> str:
        """Wait until it has written a line that begins so; the line."""
        try:
            return str(wait_until(f"NoneBot says {line!r}", lambda: self._line(line), PATIENCE))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def _line(self, line: str) -> str | None:
        return next((one for one in self.log().splitlines() if one.startswith(line)), None)


class AnotherClient(SynchronousTestCase):
    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"

    def test_a_conversation(self) -> None:
        """Its models take every event and every answer, and its calls are by the schema."""
        folder = Path(self.mktemp()).absolute()
        # it says null where a parameter is optional, as Milky allows
        fake = FakeMilky(folder / "fake", token="secret", judge_for_lagrange=False)
        self.addCleanup(fake.end)
        bot = NoneBotMilky(folder / "bot", fake, "secret")
        self.addCleanup(bot.end)
        fake.wait_for("has its reader", fake.streams, PATIENCE)
        said = fake.say("group", GROUP, "what was asked", FRIEND)
        reply = fake.do("reply_to", scene="group", peer_id=GROUP, seq=said["message_seq"])
        fake.say("group", GROUP, [reply, {"type": "text", "data": {"text": "/ping"}}], FRIEND)
        fake.wait_for("hears the answer", lambda: "pong to what was asked" in self.texts(fake), PATIENCE)
        happened: list[tuple[str, dict[str, Any]]] = [
            ("request_friendship", {"user_id": 20101, "comment": "it is me"}),
            ("request_join", {"group_id": GROUP, "user_id": 20102, "comment": "let me in"}),
            ("invite_other", {"group_id": GROUP, "initiator_id": FRIEND, "target_user_id": 20103}),
            ("invite_self", {"group_id": 30003, "initiator_id": FRIEND}),
        ]
        for method, params in happened:
            fake.do(method, **params)
        fake.say("group", GROUP, "/tour", FRIEND)
        line = bot.wait_line("TOUR").split()
        self.assertEqual("TOUR 10001 2 2 4 5 1 1 1 1 mention 1 2".split(), line[:-1])
        fake.wait_for("hears the end", lambda: "the tour is over" in self.texts(fake), PATIENCE)
        world = fake.world()
        self.assertIn(20101, world["friends"])
        self.assertEqual("in private", self.texts(fake, "friend", FRIEND)[-1])
        self.assertIn("pixels", world["resources"].values())
        happened = [
            ("disband", {"group_id": 30002, "operator_id": FRIEND}),
            ("nudge", {"sender_id": FRIEND, "receiver_id": 10001}),
            ("leave", {"group_id": GROUP, "user_id": MEMBER}),
            ("join", {"group_id": GROUP, "user_id": MEMBER, "invitor_id": FRIEND}),
            ("set_admin", {"group_id": GROUP, "user_id": MEMBER, "is_set": True, "operator_id": OWNER}),
            ("mute_all", {"group_id": GROUP, "is_mute": True, "operator_id": OWNER}),
            ("rename_group", {"group_id": GROUP, "name": "new", "operator_id": OWNER}),
            ("pin", {"scene": "friend", "peer_id": FRIEND}),
            ("send_file", {"scene": "friend", "peer_id": FRIEND, "name": "a.txt", "content": "hi"}),
        ]
        for method, params in happened:
            fake.do(method, **params)
        fake.say("temp", 20104, "/hello", group_id=GROUP)
        fake.control("kick_account")
        bot.wait_line("EVENT BotOfflineEvent")
        seen = {one.split()[1] for one in bot.log().splitlines() if one.startswith("EVENT ")}
        for kind in ("Disband", "NameChange", "WholeMute", "AdminChange", "MemberIncrease", "MemberDecrease"):
            self.assertIn(f"Group{kind}Event", seen)
        for kind in ("PeerPinChange", "FriendNudge", "FriendFileUpload", "TempMessage", "FriendRequest"):
            self.assertIn(f"{kind}Event", seen)
        for kind in ("JoinRequest", "InvitedJoinRequest", "Invitation", "Mute", "Nudge", "MessageReaction"):
            self.assertIn(f"Group{kind}Event", seen)
        for bad in ("Failed to parse", "unsupported event", "Traceback"):
            self.assertNotIn(bad, bot.log())
        fake.finish()

    def texts(self, fake: FakeMilky, scene: str = "group", peer_id: int = GROUP) -> list[str]:
        """What was said in a conversation, without what is no text."""
        return [
            "".join(one["data"]["text"] for one in message["segments"] if one["type"] == "text")
            for message in fake.history(scene, peer_id)
            if message
        ]
