"""The sandbox's events, parsed by the real NoneBot2 and aiocqhttp."""

from __future__ import annotations

import json
from typing import Any

import aiocqhttp
from nonebot.adapters.onebot.v11 import Adapter, event

from lgtwist.onebot.message import MessageFormat, convert_event
from lgtwist.sandbox.world import operations
from tests.sandbox.worlds import ALICE, BOB, CAROL, GROUP, SELF, STORED_FILE, WorldTestCase, text


class FrameworkParserTests(WorldTestCase):
    """Each event that the sandbox can send is parsed into the class that the framework has for it."""

    def all_events(self) -> list[tuple[type, dict[str, Any]]]:
        """Return one event of each kind, with the class that NoneBot2 has for it."""
        self.prepare(owner=True)
        picture = {"type": "image", "data": {"file": "k.png", "url": "http://x/k.png", "file_size": "3"}}
        reply = {"type": "reply", "data": {"id": "2"}}
        at = {"type": "at", "data": {"qq": str(SELF)}}
        causes: list[tuple[type, Any]] = [
            (event.PrivateMessageEvent, lambda: self.world.send_as_person(ALICE, text("hi"), self.now)),
            (event.PrivateMessageEvent, lambda: self.world.send_as_person(CAROL, [picture], self.now)),
            (
                event.GroupMessageEvent,
                lambda: self.world.send_as_person(BOB, [at, *text(" [x], y")], self.now, GROUP),
            ),
            (
                event.GroupMessageEvent,
                lambda: self.verb("say", user_id=BOB, group_id=GROUP, message="x", anonymous=1),
            ),
            (
                event.GroupUploadNoticeEvent,
                lambda: self.verb("upload", user_id=BOB, group_id=GROUP, file=STORED_FILE),
            ),
            (event.GroupAdminNoticeEvent, lambda: self.data("set_group_admin", group_id=GROUP, user_id=BOB)),
            (
                event.GroupAdminNoticeEvent,
                lambda: self.verb("admin", group_id=GROUP, user_id=BOB, enable=False),
            ),
            (event.GroupBanNoticeEvent, lambda: self.data("set_group_ban", group_id=GROUP, user_id=BOB)),
            (
                event.GroupBanNoticeEvent,
                lambda: self.data("set_group_ban", group_id=GROUP, user_id=BOB, duration=0),
            ),
            (event.GroupBanNoticeEvent, lambda: self.data("set_group_whole_ban", group_id=GROUP)),
            (event.GroupDecreaseNoticeEvent, lambda: self.verb("leave", group_id=GROUP, user_id=CAROL)),
            (event.GroupIncreaseNoticeEvent, lambda: self.verb("join", group_id=GROUP, user_id=CAROL)),
            (
                event.GroupIncreaseNoticeEvent,
                lambda: self.verb("join", group_id=GROUP, user_id=20004, sub_type="invite"),
            ),
            (
                event.GroupDecreaseNoticeEvent,
                lambda: self.data("set_group_kick", group_id=GROUP, user_id=20004),
            ),
            (event.FriendAddNoticeEvent, lambda: self.verb("befriend", user_id=CAROL)),
            (event.GroupRecallNoticeEvent, lambda: self.data("delete_msg", message_id=1)),
            (event.FriendRecallNoticeEvent, lambda: self.verb("recall", message_id=3)),
            (event.PokeNotifyEvent, lambda: self.verb("poke", user_id=ALICE, group_id=GROUP)),
            (event.PokeNotifyEvent, lambda: self.data("friend_poke", user_id=ALICE)),
            (
                event.LuckyKingNotifyEvent,
                lambda: self.verb("lucky_king", group_id=GROUP, user_id=BOB, target_id=ALICE),
            ),
            (
                event.HonorNotifyEvent,
                lambda: self.verb("honor", group_id=GROUP, user_id=BOB, honor_type="performer"),
            ),
            (
                event.GroupRequestEvent,
                lambda: operations.add_request(self.world, 20004, "c", self.now, GROUP),
            ),
            (event.GroupRequestEvent, lambda: self.request_invitation()),
            (event.FriendRequestEvent, lambda: operations.add_request(self.world, 20004, "c", self.now)),
            (
                event.PrivateMessageEvent,
                lambda: self.world.send_as_person(ALICE, [reply, *text("x")], self.now),
            ),
            (
                event.GroupDecreaseNoticeEvent,
                lambda: self.verb("kick", group_id=GROUP, user_id=SELF, operator_id=ALICE),
            ),
            # Extensions: parsed without error, as whatever the framework has for them.
            (event.NoticeEvent, lambda: self.verb("essence", user_id=ALICE, message_id=2, set=False)),
            (event.NoticeEvent, lambda: self.verb("card", group_id=GROUP, user_id=BOB, card="x")),
            (event.NoticeEvent, lambda: self.verb("title", group_id=GROUP, user_id=BOB, title="x")),
            (event.NoticeEvent, lambda: self.verb("rename", group_id=GROUP, group_name="x")),
            (event.NoticeEvent, lambda: self.verb("react", message_id=2, user_id=BOB, emoji_id="1")),
            (event.NoticeEvent, lambda: self.verb("upload", user_id=BOB, file=STORED_FILE)),
        ]
        found = []
        for expected, cause in causes:
            if expected is event.GroupDecreaseNoticeEvent and "kick" in str(cause.__code__.co_consts):
                self.make_alice_owner()
            if expected is event.NoticeEvent:
                self.add_account_again()
            self.events()
            cause()
            found.append((expected, self.event()))
        return found

    def request_invitation(self) -> None:
        self.verb("group", group_id=5, members=[{"user_id": ALICE, "role": "owner"}])
        self.world.groups[5].members = [m for m in self.world.groups[5].members if m.user_id != SELF]
        operations.add_request(self.world, ALICE, "c", self.now, 5, "invite")

    def make_alice_owner(self) -> None:
        self.rank(ALICE, "owner")
        if self.world.groups[GROUP].member(SELF) is not None:
            self.rank(SELF, "admin")

    def add_account_again(self) -> None:
        if self.world.groups[GROUP].member(SELF) is None:
            operations.add_member(self.world, self.world.groups[GROUP], SELF, ALICE, "invite", self.now)

    def test_nonebot(self) -> None:
        """NoneBot2 parses each event into its own class, in both message formats."""
        for expected, emitted in self.all_events():
            raw = json.dumps(emitted).encode()
            for wanted in MessageFormat:
                parsed = Adapter.json_to_event(json.loads(convert_event(raw, wanted)))
                self.assertIsInstance(parsed, expected, emitted)
                if isinstance(parsed, event.MessageEvent):
                    self.assertEqual(len(parsed.original_message), len(emitted["message"]))
                    self.assertEqual(parsed.message_id, emitted["message_id"])

    def test_aiocqhttp(self) -> None:
        """Aiocqhttp reads the type and the detail type of each event."""
        for _expected, emitted in self.all_events():
            raw = json.dumps(emitted).encode()
            for wanted in MessageFormat:
                parsed = aiocqhttp.Event.from_payload(json.loads(convert_event(raw, wanted)))
                assert parsed is not None
                kind = emitted["post_type"]
                self.assertEqual((parsed.type, parsed.detail_type), (kind, emitted[f"{kind}_type"]))
