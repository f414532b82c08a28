"""Permissions in groups of the sandbox, requests, friends and files."""

from __future__ import annotations

from lgtwist.sandbox.world.world import PlatformError
from tests.sandbox.worlds import ALICE, BOB, CAROL, GROUP, SELF, STORED_FILE, WorldTestCase, text


class GroupTests(WorldTestCase):
    def test_bans(self) -> None:
        """A ban has its event, stops messages, and is lifted by 0; nobody can ban a higher rank."""
        self.data("set_group_ban", group_id=GROUP, user_id=BOB, duration=60)
        event = self.event()
        self.assertEqual(
            (event["notice_type"], event["sub_type"], event["duration"]), ("group_ban", "ban", 60)
        )
        self.assertRaises(PlatformError, self.world.send_as_person, BOB, text("x"), self.now + 59, GROUP)
        self.world.send_as_person(BOB, text("x"), self.now + 60, GROUP)
        self.events()
        self.data("set_group_ban", group_id=GROUP, user_id=BOB, duration=0)
        self.assertEqual(self.event()["sub_type"], "lift_ban")
        self.assertEqual(self.code("set_group_ban", group_id=GROUP, user_id=ALICE), 103)
        self.assertEqual(self.code("set_group_ban", group_id=GROUP, user_id=BOB, duration=-1), 1400)
        self.rank(CAROL, "admin")
        self.assertEqual(self.code("set_group_kick", group_id=GROUP, user_id=CAROL), 103)
        self.rank(SELF, "member")
        for action in ("set_group_kick", "set_group_ban", "set_group_card"):
            self.assertEqual(self.code(action, group_id=GROUP, user_id=BOB), 103)
        for action in ("set_group_whole_ban", "set_group_anonymous"):
            self.assertEqual(self.code(action, group_id=GROUP), 103)
        self.assertEqual(self.events(), [])

    def test_everybody_banned(self) -> None:
        """A whole ban stops the messages of members, not of admins; the event has user 0."""
        self.data("set_group_whole_ban", group_id=GROUP)
        event = self.event()
        self.assertEqual((event["user_id"], event["duration"], event["sub_type"]), (0, -1, "ban"))
        self.assertRaises(PlatformError, self.world.send_as_person, BOB, text("x"), self.now, GROUP)
        self.world.send_as_person(ALICE, text("x"), self.now, GROUP)
        self.data("send_group_msg", group_id=GROUP, message="x")
        self.data("set_group_whole_ban", group_id=GROUP, enable=False)
        self.world.send_as_person(BOB, text("x"), self.now, GROUP)

    def test_owners_rights(self) -> None:
        """Only the owner makes admins and gives titles; each has its event."""
        self.assertEqual(self.code("set_group_admin", group_id=GROUP, user_id=BOB), 103)
        self.assertEqual(self.code("set_group_special_title", group_id=GROUP, user_id=BOB), 103)
        self.prepare(owner=True)
        self.data("set_group_admin", group_id=GROUP, user_id=BOB)
        self.assertEqual((self.event()["sub_type"], self.world.groups[GROUP].rank(BOB)), ("set", 1))
        self.data("set_group_admin", group_id=GROUP, user_id=BOB, enable="false")
        self.assertEqual(self.event()["sub_type"], "unset")
        self.data("set_group_special_title", group_id=GROUP, user_id=BOB, special_title="T")
        self.assertEqual(self.event()["title"], "T")

    def test_names(self) -> None:
        """Cards and group names, each with its event."""
        self.data("set_group_card", group_id=GROUP, user_id=BOB, card="B")
        self.assertEqual(
            (self.event()["card_new"], self.code("set_group_card", group_id=GROUP, user_id=ALICE)), ("B", 103)
        )
        self.data("set_group_name", group_id=GROUP, group_name="New")
        self.assertEqual(self.event()["name_new"], "New")
        self.assertEqual(self.data("get_group_info", group_id=GROUP)["group_name"], "New")
        self.assertEqual(self.data("get_group_member_info", group_id=GROUP, user_id=BOB)["card"], "B")

    def test_kicking_and_leaving(self) -> None:
        """Kicking and leaving remove a member, with an event; an owner can only dismiss the group."""
        self.data("set_group_kick", group_id=GROUP, user_id=BOB)
        event = self.event()
        self.assertEqual((event["sub_type"], event["operator_id"], event["user_id"]), ("kick", SELF, BOB))
        self.assertEqual(len(self.data("get_group_member_list", group_id=GROUP)), 3)
        self.assertEqual(self.code("set_group_leave", group_id=GROUP, is_dismiss=True), 103)
        self.rank(SELF, "owner")
        self.assertEqual(self.code("set_group_leave", group_id=GROUP), 103)
        self.data("set_group_leave", group_id=GROUP, is_dismiss=True)
        self.assertEqual(self.event()["sub_type"], "leave")
        self.assertEqual(self.data("get_group_list"), [])

    def test_requests(self) -> None:
        """A request is an event, can be answered once, and takes effect if it is approved."""
        flag = self.verb("ask", user_id=CAROL, comment="please")["flag"]
        event = self.event()
        self.assertEqual((event["request_type"], event["comment"], event["flag"]), ("friend", "please", flag))
        self.data("set_friend_add_request", flag=flag, remark="C")
        self.assertEqual(self.event()["notice_type"], "friend_add")
        self.assertIn({"user_id": CAROL, "nickname": "Carol", "remark": "C"}, self.data("get_friend_list"))
        self.assertEqual(self.code("set_friend_add_request", flag=flag), 100)
        self.verb("leave", group_id=GROUP, user_id=BOB)
        self.events()
        flag = self.verb("ask", user_id=BOB, group_id=GROUP)["flag"]
        self.assertEqual(self.event()["sub_type"], "add")
        self.assertEqual(self.code("set_group_add_request", flag=flag, sub_type="invite"), 1400)
        self.data("set_group_add_request", flag=flag, type="add", approve="false", reason="no")
        self.assertEqual(self.events(), [])
        flag = self.verb("ask", user_id=BOB, group_id=GROUP)["flag"]
        self.events()
        self.data("set_group_add_request", flag=flag, sub_type="add")
        event = self.event()
        self.assertEqual(
            (event["notice_type"], event["sub_type"], event["user_id"]), ("group_increase", "approve", BOB)
        )

    def test_an_invitation(self) -> None:
        """Approving an invitation adds the account to the group."""
        self.verb("group", group_id=5, members=[{"user_id": ALICE, "role": "owner"}])
        self.verb("kick", group_id=5, user_id=SELF)
        self.assertEqual(self.event()["sub_type"], "kick_me")
        self.assertEqual(self.code("get_group_info", group_id=5), 100)
        flag = self.verb("ask", user_id=ALICE, group_id=5, sub_type="invite")["flag"]
        self.data("set_group_add_request", flag=flag, sub_type="invite")
        self.assertEqual([e.get("sub_type") for e in self.events()], ["invite", "invite"])
        self.data("get_group_info", group_id=5)

    def test_friends(self) -> None:
        """Friends can be liked up to ten times, and deleted."""
        self.data("send_like", user_id=ALICE, times=10)
        self.assertEqual(self.world.people[ALICE].likes, 10)
        self.assertEqual(self.code("send_like", user_id=CAROL), 103)
        self.assertEqual(self.code("send_like", user_id=ALICE, times=11), 1400)
        self.data("delete_friend", user_id=ALICE)
        self.assertEqual([f["user_id"] for f in self.data("get_friend_list")], [BOB])
        self.assertEqual(self.code("delete_friend", user_id=ALICE), 100)

    def test_files_and_notices(self) -> None:
        """Files are listed with their uploader; announcements are listed, newest first."""
        self.prepare()
        file_id = self.data("upload_group_file", group_id=GROUP, file=STORED_FILE, name="a.png")["file_id"]
        self.assertEqual(self.event()["file"], {"id": file_id, "name": "a.png", "size": 3, "busid": 102})
        names = [f["file_name"] for f in self.data("get_group_root_files", group_id=GROUP)["files"]]
        self.assertEqual(names, ["f", "a.png"])
        self.assertEqual(self.code("get_group_file_url", group_id=GROUP, file_id="x"), 100)
        self.data("_send_group_notice", group_id=GROUP, content="one")
        self.data("_send_group_notice", group_id=GROUP, content="two")
        told = [n["message"]["text"] for n in self.data("_get_group_notice", group_id=GROUP)]
        self.assertEqual(told, ["two", "one"])

    def test_honours(self) -> None:
        """Who sent most messages is talkative; the other lists are empty; one type can be requested."""
        for _ in range(3):
            self.world.send_as_person(BOB, text("x"), self.now, GROUP)
        honours = self.data("get_group_honor_info", group_id=GROUP, type="all")
        self.assertEqual((honours["current_talkative"]["user_id"], honours["legend_list"]), (BOB, []))
        self.assertEqual(
            set(self.data("get_group_honor_info", group_id=GROUP, type="legend")), {"group_id", "legend_list"}
        )
        self.assertEqual(self.code("get_group_honor_info", group_id=GROUP, type="x"), 1400)
