"""Milky's events that are no messages, one after the other: what bots get."""

from __future__ import annotations

import json
from typing import Any

from lgtwist.milky.events import BadFrame
from lgtwist.milky.flags import FriendFlag, GroupFlag, read_flag
from lgtwist.milky.keys import MessageKey
from lgtwist.milky.notices import NOTICES
from lgtwist.milky.recent import PrivateFile
from tests.milky.samples import (
    ADMIN,
    DATA,
    FRIEND,
    GROUP,
    MEMBER,
    OTHER,
    SELF,
    TIME,
    TranslationCase,
    frame,
    group_message,
    private_message,
)


class NoticeTests(TranslationCase):
    def expect(self, event: dict[str, Any], **members: Any) -> None:
        """Check that an event has these members, besides its time and account, and no other."""
        rest = {name: value for name, value in event.items() if name not in ("time", "self_id", "post_type")}
        self.assertEqual(rest, members)
        self.assertEqual(event["time"], TIME)
        self.assertEqual(event["post_type"], "notice" if "notice_type" in members else "request")

    def changed(self, event_type: str, **members: Any) -> dict[str, Any]:
        """Give the event of a type with some other members in its data."""
        return self.translate(event_type, {**DATA[event_type], **members})

    def test_bot_offline(self) -> None:
        """The reason is the message; lgtwist reads the type."""
        event = self.translate("bot_offline")
        self.expect(event, notice_type="bot_offline", user_id=SELF, tag="", message="kicked")

    def test_group_recall(self) -> None:
        """It names the message as its event did, and the message is not remembered any more."""
        message_id = self.translate("message_receive")["message_id"]
        key = MessageKey("group", GROUP, 7)
        self.assertIsNotNone(self.recent.messages.get(key))
        event = self.translate("message_recall")
        self.expect(
            event,
            notice_type="group_recall",
            group_id=GROUP,
            user_id=MEMBER,
            operator_id=ADMIN,
            message_id=message_id,
        )
        self.assertIsNone(self.recent.messages.get(key))

    def test_private_recall(self) -> None:
        """The user is the other person, also where the account recalls; friend and temp are told apart."""
        message_id = self.translate("message_receive", private_message())["message_id"]
        for scene in ("friend", "temp"):
            event = self.changed("message_recall", message_scene=scene, peer_id=FRIEND, sender_id=SELF)
            self.assertEqual(event["message_id"] == message_id, scene == "friend")
            self.expect(event, notice_type="friend_recall", user_id=FRIEND, message_id=event["message_id"])

    def test_friend_request(self) -> None:
        """Its flag holds what an answer needs."""
        event = self.translate("friend_request")
        self.assertEqual(read_flag(event["flag"]), FriendFlag("u_x|1", False))
        self.expect(
            event, request_type="friend", user_id=OTHER, comment="hi", via="search", flag=event["flag"]
        )

    def test_friend_request_of_lagrange(self) -> None:
        """Its uid is empty, and so is that of the flag."""
        self.assertEqual(
            read_flag(self.changed("friend_request", initiator_uid="")["flag"]), FriendFlag("", False)
        )

    def test_group_requests(self) -> None:
        """Somebody wants to join; a member invites somebody; the account is invited."""
        joins = self.translate("group_join_request")
        invited = self.translate("group_invited_join_request")
        invitation = self.translate("group_invitation")
        self.assertEqual(read_flag(joins["flag"]), GroupFlag("join_request", GROUP, 91, True))
        self.assertEqual(read_flag(invited["flag"]), GroupFlag("invited_join_request", GROUP, 92, False))
        self.assertEqual(read_flag(invitation["flag"]), GroupFlag("invitation", GROUP, 93, False))
        common: dict[str, Any] = {"request_type": "group", "group_id": GROUP}
        self.expect(joins, sub_type="add", user_id=OTHER, comment="let me in", flag=joins["flag"], **common)
        self.expect(
            invited,
            sub_type="add",
            user_id=OTHER,
            invitor_id=MEMBER,
            comment="",
            flag=invited["flag"],
            **common,
        )
        self.expect(
            invitation, sub_type="invite", user_id=FRIEND, comment="", flag=invitation["flag"], **common
        )

    def test_friend_nudge(self) -> None:
        """Who poked whom, in all four ways."""
        event = self.translate("friend_nudge")
        self.expect(
            event,
            notice_type="notify",
            sub_type="poke",
            user_id=FRIEND,
            sender_id=FRIEND,
            target_id=SELF,
            action="pats",
            suffix="gently",
            action_img_url="http://example.org/a",
        )
        self.assertTrue(self.read_by_nonebot(event).is_tome())
        for by_self in (False, True):
            for to_self in (False, True):
                event = self.changed("friend_nudge", is_self_send=by_self, is_self_receive=to_self)
                self.assertEqual(event["user_id"], SELF if by_self else FRIEND)
                self.assertEqual(event["sender_id"], event["user_id"])
                self.assertEqual(event["target_id"], SELF if to_self else FRIEND)

    def test_group_nudge(self) -> None:
        """Who poked whom, in a group."""
        event = self.translate("group_nudge")
        self.expect(
            event,
            notice_type="notify",
            sub_type="poke",
            group_id=GROUP,
            user_id=MEMBER,
            target_id=SELF,
            action="pats",
            suffix="gently",
            action_img_url="http://example.org/a",
        )

    def test_friend_file(self) -> None:
        """It is an offline file, and what its download needs is remembered."""
        self.expect(
            self.translate("friend_file_upload"),
            notice_type="offline_file",
            user_id=FRIEND,
            file={"id": "f1", "name": "a.txt", "size": 3, "url": ""},
        )
        self.assertEqual(self.recent.private_files.get("f1"), PrivateFile(FRIEND, "abc"))

    def test_own_file(self) -> None:
        """A file that the account sent is dropped and counted, but remembered."""
        self.assert_dropped("friend_file_upload", {**DATA["friend_file_upload"], "is_self": True})
        self.assertEqual(self.counters.own_messages, 1)
        self.assertEqual(self.recent.private_files.get("f1"), PrivateFile(FRIEND, "abc"))

    def test_group_file(self) -> None:
        """It has the busid that NoneBot demands."""
        self.expect(
            self.translate("group_file_upload"),
            notice_type="group_upload",
            group_id=GROUP,
            user_id=MEMBER,
            file={"id": "f2", "name": "b.txt", "size": 4, "busid": 102},
        )

    def test_group_admin(self) -> None:
        """Set and unset; the operator is 0 where the implementation has Milky 1.0."""
        members: dict[str, Any] = {"notice_type": "group_admin", "group_id": GROUP, "user_id": MEMBER}
        self.expect(self.translate("group_admin_change"), sub_type="set", operator_id=ADMIN, **members)
        data = {"group_id": GROUP, "user_id": MEMBER, "is_set": False}
        self.expect(
            self.translate_odd("group_admin_change", data), sub_type="unset", operator_id=0, **members
        )

    def test_essence(self) -> None:
        """The sender is 0 unless the message is remembered."""
        event = self.changed("group_essence_message_change", is_set=False)
        message_id = event["message_id"]
        members = {
            "notice_type": "essence",
            "group_id": GROUP,
            "message_id": message_id,
            "operator_id": ADMIN,
        }
        self.expect(event, sub_type="delete", sender_id=0, user_id=0, **members)
        self.assertEqual(self.translate("message_receive")["message_id"], message_id)
        event = self.translate("group_essence_message_change")
        self.expect(event, sub_type="add", sender_id=MEMBER, user_id=MEMBER, **members)

    def test_group_increase(self) -> None:
        """Invited or let in; the operator is a number in any case."""
        for operator_id, invitor_id, sub_type, expected in (
            (ADMIN, None, "approve", ADMIN),
            (None, MEMBER, "invite", MEMBER),
            (ADMIN, MEMBER, "invite", ADMIN),
            (0, 0, "approve", 0),
            (None, None, "approve", 0),
        ):
            self.expect(
                self.changed("group_member_increase", operator_id=operator_id, invitor_id=invitor_id),
                notice_type="group_increase",
                sub_type=sub_type,
                group_id=GROUP,
                user_id=OTHER,
                operator_id=expected,
            )

    def test_group_decrease(self) -> None:
        """Left or kicked, somebody or the account; who leaves is the operator."""
        for user_id, operator_id, sub_type, expected in (
            (OTHER, None, "leave", OTHER),
            (OTHER, 0, "leave", OTHER),
            (OTHER, OTHER, "leave", OTHER),
            (OTHER, ADMIN, "kick", ADMIN),
            (SELF, ADMIN, "kick_me", ADMIN),
            (SELF, None, "leave", SELF),
            (SELF, SELF, "leave", SELF),
        ):
            self.expect(
                self.changed("group_member_decrease", user_id=user_id, operator_id=operator_id),
                notice_type="group_decrease",
                sub_type=sub_type,
                group_id=GROUP,
                user_id=user_id,
                operator_id=expected,
            )

    def test_group_disband(self) -> None:
        """The account is no member any more."""
        self.expect(
            self.translate("group_disband"),
            notice_type="group_decrease",
            sub_type="disband",
            group_id=GROUP,
            user_id=SELF,
            operator_id=ADMIN,
        )

    def test_group_name(self) -> None:
        """The new name, and who gave it."""
        self.expect(
            self.translate("group_name_change"),
            notice_type="notify",
            sub_type="group_name",
            group_id=GROUP,
            user_id=ADMIN,
            name_new="Coffee",
        )

    def test_reaction(self) -> None:
        """Added and removed; it names the message as its event did."""
        message_id = self.translate("message_receive")["message_id"]
        for is_add in (True, False):
            self.expect(
                self.changed("group_message_reaction", is_add=is_add, reaction_type="emoji"),
                notice_type="group_msg_emoji_like",
                group_id=GROUP,
                user_id=MEMBER,
                message_id=message_id,
                likes=[{"emoji_id": "76", "count": 1}],
                is_add=is_add,
            )

    def test_ban(self) -> None:
        """Of one member and of all, and lifted."""
        for event_type, data, sub_type, user_id, duration in (
            ("group_mute", {"duration": 60}, "ban", MEMBER, 60),
            ("group_mute", {"duration": 0}, "lift_ban", MEMBER, 0),
            ("group_whole_mute", {"is_mute": True}, "ban", 0, -1),
            ("group_whole_mute", {"is_mute": False}, "lift_ban", 0, 0),
        ):
            self.expect(
                self.changed(event_type, **data),
                notice_type="group_ban",
                sub_type=sub_type,
                group_id=GROUP,
                user_id=user_id,
                operator_id=ADMIN,
                duration=duration,
            )

    def test_unknown_events(self) -> None:
        """They are counted by their type, up to a bound."""
        self.assert_dropped("peer_pin_change", {"message_scene": "friend", "peer_id": 1, "is_pinned": True})
        for number in range(1000):
            self.assert_dropped(f"new_{number}", [])
        self.assert_dropped("x" * 10_000, {})
        counts = self.counters.unknown_events
        self.assertEqual(counts["peer_pin_change"], 1)
        self.assertEqual(sum(counts.values()), 1002)
        self.assertLess(len(counts), 100)
        self.assertLess(max(map(len, counts)), 100)

    def test_unknown_scenes(self) -> None:
        """A recall in a scene that is not known, or is ours, is counted."""
        for scene in ("guild", "unsequenced"):
            self.assert_dropped("message_recall", {**DATA["message_recall"], "message_scene": scene})
        self.assertEqual(self.counters.other_scenes, {"guild": 1, "unsequenced": 1})

    def test_odd_types(self) -> None:
        """Numbers and booleans as strings and floats, and null for what may be missing, are read."""
        for event_type in NOTICES:
            expected = self.translate(event_type)
            odd = {name: str(value) for name, value in DATA[event_type].items() if value is not None}
            self.assertEqual(self.translate_odd(event_type, odd, self_id=str(SELF), time=f"{TIME}"), expected)
            odd = {
                name: float(value) if type(value) is int else int(value) if type(value) is bool else value
                for name, value in DATA[event_type].items()
            }
            self.assertEqual(self.translate_odd(event_type, odd, self_id=float(SELF)), expected)

    def test_more_members(self) -> None:
        """Members of a later Milky are ignored."""
        for event_type in NOTICES:
            expected = self.translate(event_type)
            more = {**DATA[event_type], "new": {"a": [1, None]}}
            self.assertEqual(self.translate_odd(event_type, more, new=[]), expected)

    def test_missing_members(self) -> None:
        """Without what names a person, a group or a message no event is made, and the refusal names it."""
        needed = ("group_id", "user_id", "message_seq", "peer_id", "initiator_id", "target_user_id")
        for event_type, data in DATA.items():
            for name in set(data).intersection(needed):
                if (event_type, name) == ("group_invited_join_request", "initiator_id"):
                    continue  # who is invited is what matters
                for odd in (None, 0, -1, "x", 1.5, [], True, 2**70):
                    if (name, odd) == ("message_seq", 0):
                        continue  # a message may have that number
                    with self.assertRaises(BadFrame) as caught:
                        self.translate_frame(frame(event_type, {**data, name: odd}))
                    if event_type != "message_receive":
                        self.assertIn(name, str(caught.exception))
        self.assertGreater(self.counters.malformed_frames, 100)

    def test_lone_surrogates(self) -> None:
        """They are replaced, and the event is made."""
        raw = json.dumps(frame("group_name_change")).replace("Coffee", "a\\ud83db")
        event = self.translator.translate(raw.encode())
        assert event is not None
        self.assertEqual(self.check(event)["name_new"], "a\ufffdb")

    def test_bot_offline_without_data(self) -> None:
        """That the account is offline is told in any case."""
        for data in ({}, {"reason": None}, {"reason": []}):
            self.assertEqual(self.translate_odd("bot_offline", data)["message"], "")
        raw = {"time": TIME, "self_id": SELF, "event_type": "bot_offline", "data": None}
        self.assertIsNotNone(self.translate_frame(raw))
        del raw["data"]
        self.assertIsNotNone(self.translate_frame(raw))

    def test_essence_of_a_fetched_message(self) -> None:
        """The sender of a message that was fetched after a break is known too."""
        self.translator.translate_message(group_message())
        self.assertEqual(self.translate("group_essence_message_change")["sender_id"], MEMBER)
