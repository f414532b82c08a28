"""People, groups, files and requests of Milky as OneBot 11 has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky import entities
from lgtwist.milky.keys import MessageKey
from tests.milky.fake_context import CountedIds
from tests.milky.schema import check_part
from tests.milky.test_messages import ANN, FRIEND_ENTITY, GROUP_ENTITY, MEMBER, TEAM, TEXT

PROFILE = {
    "nickname": "Ann",
    "qid": "q",
    "age": 20,
    "sex": "female",
    "remark": "A.",
    "bio": "hello",
    "level": 64,
    "country": "",
    "city": "",
    "school": "",
}
FILE = {
    "group_id": TEAM,
    "file_id": "/f",
    "file_name": "a.zip",
    "parent_folder_id": "/",
    "file_size": 5,
    "uploaded_time": 10,
    "expire_time": None,
    "uploader_id": ANN,
    "downloaded_times": 2,
}
FOLDER = {
    "group_id": TEAM,
    "folder_id": "/d",
    "parent_folder_id": "/",
    "folder_name": "docs",
    "created_time": 1,
    "last_modified_time": 2,
    "creator_id": ANN,
    "file_count": 3,
}
ANNOUNCEMENT = {
    "group_id": TEAM,
    "announcement_id": "n1",
    "user_id": ANN,
    "time": 9,
    "content": "rules",
    "image_url": "https://gdynamic.qpic.cn/gdynamic/AbC/628",
}
ESSENCE = {
    "group_id": TEAM,
    "message_seq": 7,
    "message_time": 1,
    "sender_id": ANN,
    "sender_name": "Ann",
    "operator_id": 10_004_000,
    "operator_name": "Bob",
    "operation_time": 2,
    "segments": TEXT,
}
JOIN = {
    "type": "join_request",
    "group_id": TEAM,
    "notification_seq": 55,
    "is_filtered": False,
    "initiator_id": ANN,
    "state": "pending",
    "operator_id": None,
    "comment": "please",
}
INVITED = {
    "type": "invited_join_request",
    "group_id": TEAM,
    "notification_seq": 56,
    "initiator_id": ANN,
    "target_user_id": 10_005_000,
    "state": "accepted",
    "operator_id": 10_004_000,
}
FRIEND_REQUEST = {
    "time": 3,
    "initiator_id": ANN,
    "initiator_uid": "u_1",
    "target_user_id": 10_001_000,
    "target_user_uid": "u_2",
    "state": "pending",
    "comment": "hi",
    "via": "search",
    "is_filtered": False,
}

#: Each entity: Milky's name of it, itself, and the translation.
ALL: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], Any]]] = [
    ("FriendEntity", FRIEND_ENTITY, entities.friend_data),
    ("GroupEntity", GROUP_ENTITY, entities.group_data),
    ("GroupMemberEntity", MEMBER, entities.member_data),
    ("GroupFileEntity", FILE, entities.file_data),
    ("GroupFolderEntity", FOLDER, entities.folder_data),
    ("GroupAnnouncementEntity", ANNOUNCEMENT, entities.announcement_data),
    ("GroupEssenceMessage", ESSENCE, lambda one: entities.essence_data(one, CountedIds())),
    ("GroupNotification", JOIN, lambda one: entities.group_request_data(one, "flag")),
    ("GroupNotification", INVITED, lambda one: entities.group_request_data(one, "flag")),
    ("FriendRequest", FRIEND_REQUEST, lambda one: entities.friend_request_data(one, "flag")),
]


def types_of(value: Any) -> Any:
    """The type of each value, of lists and objects inside too."""
    if isinstance(value, dict):
        return {key: types_of(one) for key, one in value.items()}
    return [types_of(one) for one in value] if isinstance(value, list) else type(value).__name__


class EntityTests(SynchronousTestCase):
    def test_inputs_are_milky(self) -> None:
        """What the other tests translate is what Milky says."""
        for name, entity, _translate in ALL:
            check_part(name, entity)

    def test_people(self) -> None:
        """The account, a stranger, a friend and friends by category."""
        self.assertEqual(
            entities.login_data({"uin": ANN, "nickname": "Ann"}), {"user_id": ANN, "nickname": "Ann"}
        )
        self.assertEqual(
            entities.profile_data(ANN, PROFILE),
            {
                "user_id": ANN,
                "nickname": "Ann",
                "sex": "female",
                "age": 20,
                "qid": "q",
                "level": 64,
                "sign": "hello",
                "remark": "A.",
            },
        )
        friend = entities.friend_data(FRIEND_ENTITY)
        self.assertEqual((friend["user_id"], friend["nickname"], friend["remark"]), (ANN, "Ann", "A."))
        self.assertEqual(friend["category"], {"category_id": 1, "category_name": "x"})
        other = {"user_id": 10_004_000, "category": {"category_id": 0, "category_name": "first"}}
        categories = entities.friend_categories([FRIEND_ENTITY, other, FRIEND_ENTITY])
        self.assertEqual([one["categoryName"] for one in categories], ["first", "x"])
        self.assertEqual([one["categoryMbCount"] for one in categories], [1, 2])

    def test_groups(self) -> None:
        """A group, and a member with the types that OneBot 11 demands."""
        group = entities.group_data({**GROUP_ENTITY, "description": "memo"})
        self.assertEqual((group["group_memo"], group["group_create_time"]), ("memo", 1))
        self.assertEqual(
            entities.member_data(MEMBER),
            {
                "group_id": TEAM,
                "user_id": ANN,
                "nickname": "Ann",
                "card": "Annie",
                "sex": "unknown",
                "age": 0,
                "area": "",
                "join_time": 1,
                "last_sent_time": 2,
                "level": "17",
                "role": "admin",
                "unfriendly": False,
                "title": "boss",
                "title_expire_time": 0,
                "card_changeable": False,
                "shut_up_timestamp": 0,
            },
        )
        muted = {**MEMBER, "shut_up_end_time": 101}
        self.assertEqual(
            [one["shut_up_timestamp"] for one in entities.muted_members([MEMBER, muted], 100)], [101]
        )
        self.assertEqual(entities.muted_members([muted], 101), [])

    def test_files(self) -> None:
        """A file that does not expire has dead_time 0; a folder has its number of files."""
        listed = entities.file_data(FILE)
        self.assertEqual((listed["dead_time"], listed["modify_time"], listed["busid"]), (0, 10, 0))
        self.assertEqual((listed["uploader"], listed["download_times"]), (ANN, 2))
        folder = entities.folder_data(FOLDER)
        self.assertEqual(
            (folder["folder_name"], folder["total_file_count"], folder["creator"]), ("docs", 3, ANN)
        )

    def test_announcements_and_essences(self) -> None:
        """A picture's id is in its URL; an essence has the id of its message."""
        notice = entities.announcement_data(ANNOUNCEMENT)
        self.assertEqual((notice["notice_id"], notice["message"]["text"]), ("n1", "rules"))
        self.assertEqual(notice["message"]["images"][0]["id"], "AbC")
        self.assertEqual(
            entities.announcement_data({**ANNOUNCEMENT, "image_url": None})["message"]["images"], []
        )
        ids = CountedIds()
        essence = entities.essence_data(ESSENCE, ids)
        self.assertEqual(essence["message_id"], ids.id_of(MessageKey("group", TEAM, 7)))
        self.assertEqual((essence["content"], essence["operator_nick"]), (TEXT, "Bob"))

    def test_requests(self) -> None:
        """Who wants to join, and whom a member has invited, by whom."""
        join = entities.group_request_data(JOIN, "f1")
        self.assertEqual((join["requester_uin"], join["message"], join["flag"]), (ANN, "please", "f1"))
        self.assertEqual((join["checked"], join["actor"], join["request_id"]), (False, 0, 55))
        invited = entities.group_request_data(INVITED, "f2")
        self.assertEqual((invited["requester_uin"], invited["invitor_uin"]), (10_005_000, ANN))
        self.assertEqual((invited["checked"], invited["actor"]), (True, 10_004_000))
        friend = entities.friend_request_data(FRIEND_REQUEST, "f3")
        self.assertEqual((friend["user_id"], friend["comment"], friend["via"]), (ANN, "hi", "search"))

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def test_odd_fields_keep_the_types(self, data: st.DataObject) -> None:
        """Whatever a field is, the answer has the same keys and types, and is JSON."""
        name, entity, translate = data.draw(st.sampled_from(ALL))
        odd = data.draw(
            st.dictionaries(
                st.sampled_from(sorted(set(entity) - {"type", "image_url", "segments"})),
                st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just([]) | st.just({}),
            )
        )
        translated = translate({**entity, **odd})
        self.assertEqual(types_of(translated), types_of(translate(entity)), name)
        msgspec.json.encode(translated)
        missing = {key: one for key, one in entity.items() if key not in odd or key == "type"}
        self.assertEqual(types_of(translate(missing)), types_of(translate(entity)), name)
