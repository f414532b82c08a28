"""The control verbs, and how a world is saved and loaded."""

from __future__ import annotations

import re

from lgtwist.onebot.errors import OneBotError
from lgtwist.sandbox.control.verbs import VERBS
from lgtwist.sandbox.store import WorldStore
from lgtwist.sandbox.world.model import WorldFile
from lgtwist.sandbox.world.world import PlatformError, World
from tests.sandbox.worlds import ALICE, BOB, CAROL, GROUP, SELF, STORED_FILE, WorldTestCase, text


class VerbTests(WorldTestCase):
    def test_making_a_world(self) -> None:
        """People and groups are made and changed; there is one owner."""
        self.verb("person", user_id=5, nickname="Eve", friend=True, sex="female", age=30)
        self.verb("person", user_id=5, age="31")
        eve = self.world.people[5]
        self.assertEqual((eve.nickname, eve.age, eve.friend), ("Eve", 31, True))
        self.verb(
            "group", group_id=6, group_name="G", members=[{"user_id": 5, "role": "owner"}, {"user_id": ALICE}]
        )
        self.verb("group", group_id=6, members=[{"user_id": ALICE, "role": "owner", "card": "A"}])
        group = self.world.groups[6]
        self.assertEqual(
            [(m.user_id, m.role) for m in group.members], [(SELF, "member"), (5, "admin"), (ALICE, "owner")]
        )
        self.verb("group", group_id=6, joined=False)
        self.assertIsNone(group.member(SELF))
        self.verb("forget_person", user_id=5)
        self.assertIsNone(group.member(5))
        self.verb("forget_group", group_id=6)
        self.assertNotIn(6, self.world.groups)
        for verb, params in (
            ("person", {"user_id": 0}),
            ("group", {"group_id": 7, "members": [{"user_id": 999}]}),
            ("group", {"group_id": 7, "members": [{"user_id": ALICE, "role": "king"}]}),
            ("group", {"group_id": 7, "members": "x"}),
            ("forget_person", {"user_id": SELF}),
        ):
            with self.assertRaises(OneBotError):
                self.verb(verb, **params)
        self.assertNotIn(7, self.world.groups)

    def test_what_people_do_has_its_event(self) -> None:
        """Each verb has the event that the platform has for it."""
        self.prepare()
        for verb, params, kind in (
            ("recall", {"message_id": 2}, "group_recall"),
            ("poke", {"user_id": ALICE}, "notify"),
            ("poke", {"user_id": ALICE, "group_id": GROUP, "target_id": BOB}, "notify"),
            ("react", {"user_id": ALICE, "message_id": 1, "emoji_id": "1"}, "group_msg_emoji_like"),
            ("essence", {"user_id": ALICE, "message_id": 1}, "essence"),
            ("upload", {"user_id": ALICE, "group_id": GROUP, "file": STORED_FILE}, "group_upload"),
            ("upload", {"user_id": ALICE, "file": STORED_FILE}, "offline_file"),
            ("befriend", {"user_id": CAROL}, "friend_add"),
            ("join", {"user_id": 20004, "group_id": GROUP}, "group_increase"),
            ("leave", {"user_id": 20004, "group_id": GROUP}, "group_decrease"),
            ("ban", {"user_id": BOB, "group_id": GROUP}, "group_ban"),
            ("ban", {"group_id": GROUP, "duration": 0}, "group_ban"),
            ("ban", {"user_id": SELF, "group_id": GROUP}, "group_ban"),
            ("admin", {"user_id": BOB, "group_id": GROUP}, "group_admin"),
            ("card", {"user_id": BOB, "group_id": GROUP, "card": "x"}, "group_card"),
            ("title", {"user_id": BOB, "group_id": GROUP, "title": "x"}, "notify"),
            ("rename", {"group_id": GROUP, "group_name": "x"}, "notify"),
            ("honor", {"user_id": BOB, "group_id": GROUP, "honor_type": "performer"}, "notify"),
            ("lucky_king", {"user_id": BOB, "target_id": ALICE, "group_id": GROUP}, "notify"),
            ("kick", {"user_id": SELF, "group_id": GROUP}, "group_decrease"),
        ):
            self.verb(verb, **params)
            self.assertEqual(self.event()["notice_type"], kind, verb)

    def test_people_have_no_more_rights_than_on_the_platform(self) -> None:
        """A member cannot kick, ban, recall messages of others or mark essences."""
        self.prepare()
        for verb, params in (
            ("kick", {"operator_id": BOB, "user_id": CAROL, "group_id": GROUP}),
            ("ban", {"operator_id": BOB, "user_id": SELF, "group_id": GROUP}),
            ("recall", {"user_id": CAROL, "message_id": 2}),
            ("essence", {"user_id": BOB, "message_id": 1}),
        ):
            with self.assertRaises(PlatformError):
                self.verb(verb, **params)
        self.assertEqual(self.events(), [])

    def test_every_verb_is_documented(self) -> None:
        """docs/sandbox.md has a curl line for every verb."""
        from tests.integration.running import ROOT

        written = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
        for verb in VERBS:
            self.assertTrue(re.search(rf"/sandbox/10001/{verb}\b|`{verb}`", written), verb)


class StoreTests(WorldTestCase):
    def test_a_world_survives(self) -> None:
        """All records are read as they were written, messages in order."""
        path = self.mktemp()
        store = WorldStore(path)
        self.prepare()
        for number in range(12):
            self.data("send_group_msg", group_id=GROUP, message=f"m{number}")
        gone = self.data("send_private_msg", user_id=ALICE, message="x")["message_id"]
        for request in self.world.requests.values():
            self.world.put(request)
        store.write(self.world.pop_changes())
        self.world.remove(self.world.messages[gone])
        self.data("set_group_kick", group_id=GROUP, user_id=BOB)
        store.write(self.world.pop_changes())
        store.close()
        again = World(SELF)
        store = WorldStore(path)
        again.load_records(store.records())
        store.close()
        for table in ("groups", "people", "requests", "forwards", "files"):
            self.assertEqual(getattr(again, table), getattr(self.world, table))
        self.assertEqual(list(again.messages.items()), list(self.world.messages.items()))
        self.assertEqual(again.pop_changes(), {})

    def test_a_world_as_a_file(self) -> None:
        """A world is loaded as it was saved; another account takes the place of the one that saved it."""
        import msgspec

        self.prepare()
        raw = msgspec.json.encode(self.world.to_file())
        again = World.from_file(SELF, msgspec.json.decode(raw, type=WorldFile))
        for table in ("groups", "people", "requests", "messages", "forwards", "files"):
            self.assertEqual(getattr(again, table), getattr(self.world, table))
        other = World.from_file(777, msgspec.json.decode(raw, type=WorldFile))
        self.assertEqual(other.groups[GROUP].rank(777), 1)
        self.assertIn(777, other.people)
        self.assertNotIn(SELF, other.people)
        self.assertEqual(other.messages[1].user_id, 777)
        self.assertEqual(other.last_message_id, self.world.last_message_id)
        file = msgspec.json.decode(raw, type=WorldFile)
        file.last_message_id = 70
        other = World.from_file(SELF, file)
        self.assertEqual(other.send_as_person(BOB, text("next"), self.now, GROUP).message_id, 71)

    def test_files_that_are_no_worlds(self) -> None:
        """Each is rejected, with the place of the mistake."""
        import msgspec

        for raw in (
            b"",
            b"[]",
            b"{}",
            b'{"self_id":1,"peopel":[]}',
            b'{"self_id":1,"people":[{"user_id":"x"}]}',
        ):
            with self.assertRaises(ValueError):
                msgspec.json.decode(raw, type=WorldFile)
        for groups in (
            [{"group_id": 1, "group_name": "g", "members": [{"user_id": 5}]}],
            [{"group_id": 1, "group_name": "g", "members": [{"user_id": 1, "role": "king"}]}],
        ):
            file = msgspec.convert({"self_id": 1, "groups": groups}, WorldFile)
            with self.assertRaisesRegex(ValueError, r"groups\[0\]"):
                World.from_file(1, file)
        for number in (-1, 2**31):
            with self.assertRaisesRegex(ValueError, "last_message_id"):
                World.from_file(1, WorldFile(1, last_message_id=number))
