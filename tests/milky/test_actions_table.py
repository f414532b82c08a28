"""Each action of the standard and of the dialects: which call it makes, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky.actions import ACTIONS
from lgtwist.milky.errors import CallFailed
from lgtwist.milky.flags import (
    INVITATION,
    INVITED_JOIN_REQUEST,
    JOIN_REQUEST,
    FriendFlag,
    GroupFlag,
    encode_flag,
)
from lgtwist.milky.recent import PrivateFile
from lgtwist.onebot.catalogue import catalogue
from lgtwist.onebot.errors import BadRequest, OneBotError, UnknownAction
from tests.milky.actions import (
    ALICE,
    ALICE_ENTITY,
    BOB,
    BOB_ENTITY,
    NOW,
    SELF,
    TEAM,
    TEAM_ENTITY,
    Actions,
    friend_message,
    text,
)

#: What the standard has, and what the dialects have that Milky can do.
STANDARD = """
send_private_msg send_group_msg send_msg delete_msg get_msg get_forward_msg send_like set_group_kick
set_group_ban set_group_whole_ban set_group_admin set_group_card set_group_name set_group_leave
set_group_special_title set_friend_add_request set_group_add_request get_login_info get_stranger_info
get_friend_list get_group_info get_group_list get_group_member_info get_group_member_list get_cookies
get_csrf_token get_credentials get_image get_record can_send_image can_send_record get_status
get_version_info
""".split()
EXTENSIONS = """
send_group_forward_msg send_private_forward_msg send_forward_msg get_group_msg_history
get_friend_msg_history mark_msg_as_read mark_group_msg_as_read mark_private_msg_as_read set_essence_msg
delete_essence_msg get_essence_msg_list set_msg_emoji_like set_group_reaction send_poke group_poke
friend_poke delete_friend _send_group_notice _get_group_notice _del_group_notice upload_group_file
upload_private_file get_group_root_files get_group_files_by_folder get_group_file_url get_private_file_url
delete_group_file move_group_file rename_group_file create_group_file_folder delete_group_folder
delete_group_file_folder rename_group_file_folder set_group_file_forever trans_group_file
set_group_portrait set_qq_avatar set_qq_profile set_self_longnick fetch_custom_face
get_friends_with_category get_group_system_msg get_group_requests get_group_shut_list
""".split()
#: What the standard or a dialect has, and Milky cannot do.
NOTHING_LIKE_IT = """
set_group_anonymous set_group_anonymous_ban get_group_honor_info set_restart clean_cache ocr_image
get_group_at_all_remain get_rkey send_group_sign get_ai_characters get_ai_record send_group_ai_record
send_packet set_group_remark set_friend_remark set_online_status download_file get_group_file_system_info
get_guild_list get_group_album_media_list create_flash_task upload_file_stream
""".split()

IN_TEAM = {"group_id": TEAM, "user_id": BOB}


class Row(NamedTuple):
    """One call of an action.

    :ivar calls: the calls that it makes, in order.
    :ivar answers: by API.
    :ivar data: what it answers.
    """

    action: str
    params: dict[str, Any]
    calls: list[tuple[str, dict[str, Any]]]
    answers: dict[str, Any] = {}
    data: Any = None


FILE_ENTITY = {
    "group_id": TEAM, "file_id": "/f1", "file_name": "a.txt", "parent_folder_id": "/", "file_size": 5,
    "uploaded_time": NOW, "expire_time": NOW + 9, "uploader_id": BOB, "downloaded_times": 2,
}  # fmt: skip
FILE_DATA = {
    "group_id": TEAM, "file_id": "/f1", "file_name": "a.txt", "busid": 0, "file_size": 5, "upload_time": NOW,
    "dead_time": NOW + 9, "modify_time": NOW, "download_times": 2, "uploader": BOB, "uploader_name": "",
    "parent_folder_id": "/",
}  # fmt: skip
FOLDER_ENTITY = {
    "group_id": TEAM, "folder_id": "/d1", "parent_folder_id": "/", "folder_name": "docs", "created_time": NOW,
    "last_modified_time": NOW, "creator_id": BOB, "file_count": 3,
}  # fmt: skip
FOLDER_DATA = {
    "group_id": TEAM, "folder_id": "/d1", "folder_name": "docs", "create_time": NOW, "creator": BOB,
    "creator_name": "", "total_file_count": 3, "parent_folder_id": "/",
}  # fmt: skip
FILES = {"get_group_files": {"files": [FILE_ENTITY], "folders": [FOLDER_ENTITY]}}
FILES_DATA = {"files": [FILE_DATA], "folders": [FOLDER_DATA]}
MEMBER_DATA = {
    "group_id": TEAM, "user_id": BOB, "nickname": "Bob", "card": "B", "sex": "unknown", "age": 0, "area": "",
    "join_time": 1_600_000_000, "last_sent_time": NOW, "level": "7", "role": "admin", "unfriendly": False,
    "title": "T", "title_expire_time": 0, "card_changeable": False, "shut_up_timestamp": NOW + 60,
}  # fmt: skip
GROUP_DATA = {
    "group_id": TEAM, "group_name": "Team", "member_count": 3, "max_member_count": 200, "group_remark": "",
    "group_memo": "About", "group_create_time": 1_600_000_000, "group_level": 0,
}  # fmt: skip
FRIEND_DATA = {
    "user_id": ALICE, "nickname": "Alice", "remark": "A", "sex": "female", "qid": "",
    "category": {"category_id": 0, "category_name": "Friends"},
}  # fmt: skip


def folder(action: str, api: str, names: dict[str, str]) -> Row:
    return Row(action, {"group_id": TEAM, **names}, [(api, {"group_id": TEAM, **names})])


ROWS = [
    # 3.1
    Row("send_like", {"user_id": ALICE}, [("send_profile_like", {"user_id": ALICE, "count": 1})]),
    Row(
        "send_like",
        {"user_id": ALICE, "times": "10"},
        [("send_profile_like", {"user_id": ALICE, "count": 10})],
    ),
    Row("set_group_kick", IN_TEAM, [("kick_group_member", {**IN_TEAM, "reject_add_request": False})]),
    Row(
        "set_group_kick",
        {"group_id": str(TEAM), "user_id": str(BOB), "reject_add_request": "true"},
        [("kick_group_member", {**IN_TEAM, "reject_add_request": True})],
    ),
    Row("set_group_ban", IN_TEAM, [("set_group_member_mute", {**IN_TEAM, "duration": 1800})]),
    Row("set_group_ban", {**IN_TEAM, "duration": 0}, [("set_group_member_mute", {**IN_TEAM, "duration": 0})]),
    Row(
        "set_group_whole_ban",
        {"group_id": TEAM},
        [("set_group_whole_mute", {"group_id": TEAM, "is_mute": True})],
    ),
    Row(
        "set_group_whole_ban",
        {"group_id": TEAM, "enable": 0},
        [("set_group_whole_mute", {"group_id": TEAM, "is_mute": False})],
    ),
    Row("set_group_admin", IN_TEAM, [("set_group_member_admin", {**IN_TEAM, "is_set": True})]),
    Row(
        "set_group_admin",
        {**IN_TEAM, "enable": "false"},
        [("set_group_member_admin", {**IN_TEAM, "is_set": False})],
    ),
    Row("set_group_card", {**IN_TEAM, "card": "C"}, [("set_group_member_card", {**IN_TEAM, "card": "C"})]),
    Row("set_group_card", IN_TEAM, [("set_group_member_card", {**IN_TEAM, "card": ""})]),
    Row(
        "set_group_name",
        {"group_id": TEAM, "group_name": "N"},
        [("set_group_name", {"group_id": TEAM, "new_group_name": "N"})],
    ),
    Row("set_group_leave", {"group_id": TEAM, "is_dismiss": False}, [("quit_group", {"group_id": TEAM})]),
    Row(
        "set_group_special_title",
        {**IN_TEAM, "special_title": "S", "duration": -1},
        [("set_group_member_special_title", {**IN_TEAM, "special_title": "S"})],
    ),
    Row(
        "set_friend_add_request",
        {"flag": encode_flag(FriendFlag("u_1", True)), "approve": 1, "remark": "R"},
        [("accept_friend_request", {"initiator_uid": "u_1", "is_filtered": True})],
    ),
    Row(
        "set_friend_add_request",
        {"flag": encode_flag(FriendFlag("u_1")), "approve": "false"},
        [("reject_friend_request", {"initiator_uid": "u_1", "is_filtered": False})],
    ),
    Row(
        "set_group_add_request",
        {"flag": encode_flag(GroupFlag(JOIN_REQUEST, TEAM, 5, True)), "sub_type": "add"},
        [
            (
                "accept_group_request",
                {
                    "notification_seq": 5,
                    "notification_type": "join_request",
                    "group_id": TEAM,
                    "is_filtered": True,
                },
            )
        ],
    ),
    Row(
        "set_group_add_request",
        {"flag": encode_flag(GroupFlag(INVITED_JOIN_REQUEST, TEAM, 5)), "approve": False, "reason": "no"},
        [
            (
                "reject_group_request",
                {
                    "notification_seq": 5,
                    "notification_type": "invited_join_request",
                    "group_id": TEAM,
                    "is_filtered": False,
                    "reason": "no",
                },
            )
        ],
    ),
    Row(
        "set_group_add_request",
        {"flag": encode_flag(GroupFlag(INVITATION, TEAM, 6)), "sub_type": "add"},  # the flag knows better
        [("accept_group_invitation", {"group_id": TEAM, "invitation_seq": 6})],
    ),
    Row(
        "set_group_add_request",
        {"flag": encode_flag(GroupFlag(INVITATION, TEAM, 6)), "approve": False, "reason": " "},
        [("reject_group_invitation", {"group_id": TEAM, "invitation_seq": 6})],
    ),
    Row(
        "get_login_info",
        {},
        [("get_login_info", {})],
        {"get_login_info": {"uin": SELF, "nickname": "Me"}},
        {"user_id": SELF, "nickname": "Me"},
    ),
    Row(
        "get_stranger_info",
        {"user_id": str(ALICE), "no_cache": "true"},
        [("get_user_profile", {"user_id": ALICE})],
        {
            "get_user_profile": {
                "nickname": "Alice",
                "qid": "q",
                "age": 20,
                "sex": "female",
                "remark": "",
                "bio": "b",
                "level": 9,
                "country": "",
                "city": "",
                "school": "",
            }
        },
        {
            "user_id": ALICE,
            "nickname": "Alice",
            "sex": "female",
            "age": 20,
            "qid": "q",
            "level": 9,
            "sign": "b",
            "remark": "",
        },
    ),
    Row(
        "get_friend_list",
        {},
        [("get_friend_list", {})],
        {"get_friend_list": {"friends": [ALICE_ENTITY]}},
        [FRIEND_DATA],
    ),
    Row(
        "get_group_info",
        {"group_id": TEAM, "no_cache": "1"},
        [("get_group_info", {"group_id": TEAM, "no_cache": True})],
        {"get_group_info": {"group": TEAM_ENTITY}},
        GROUP_DATA,
    ),
    Row(
        "get_group_list",
        {},
        [("get_group_list", {})],
        {"get_group_list": {"groups": [TEAM_ENTITY]}},
        [GROUP_DATA],
    ),
    Row(
        "get_group_member_info",
        IN_TEAM,
        [("get_group_member_info", IN_TEAM)],
        {"get_group_member_info": {"member": BOB_ENTITY}},
        MEMBER_DATA,
    ),
    Row(
        "get_group_member_list",
        {"group_id": TEAM},
        [("get_group_member_list", {"group_id": TEAM})],
        {"get_group_member_list": {"members": [BOB_ENTITY]}},
        [MEMBER_DATA],
    ),
    Row(
        "get_cookies",
        {"domain": "qun.qq.com"},
        [("get_cookies", {"domain": "qun.qq.com"})],
        {"get_cookies": {"cookies": "a=b"}},
        {"cookies": "a=b"},
    ),
    Row(
        "get_csrf_token",
        {},
        [("get_csrf_token", {})],
        {"get_csrf_token": {"csrf_token": "123"}},
        {"token": 123},
    ),
    Row(
        "get_credentials",
        {},
        [("get_cookies", {"domain": "qq.com"}), ("get_csrf_token", {})],
        {"get_cookies": {"cookies": ""}, "get_csrf_token": {"csrf_token": "5"}},
        {"cookies": "", "csrf_token": 5},
    ),
    Row(
        "get_image",
        {"file": "res1"},
        [("get_resource_temp_url", {"resource_id": "res1"})],
        {"get_resource_temp_url": {"url": "http://x/i"}},
        {"file": "http://x/i", "url": "http://x/i"},
    ),
    Row("get_image", {"file": "http://x/i"}, [], {}, {"file": "http://x/i", "url": "http://x/i"}),
    Row(
        "get_record",
        {"file": "res1", "out_format": "amr"},
        [("get_resource_temp_url", {"resource_id": "res1"})],
        {"get_resource_temp_url": {"url": "http://x/i"}},
        {"file": "http://x/i", "url": "http://x/i", "out_format": "amr"},
    ),
    Row("can_send_image", {}, [], {}, {"yes": True}),
    Row("can_send_record", {}, [], {}, {"yes": True}),
    Row("get_status", {}, [], {}, {"online": True, "good": True}),
    Row(
        "get_version_info",
        {},
        [],
        {},
        {"app_name": "LLBot", "app_version": "1", "protocol_version": "v11", "milky_version": "1.3"},
    ),
    # 3.2
    Row(
        "get_essence_msg_list",
        {"group_id": TEAM},
        [
            ("get_group_essence_messages", {"group_id": TEAM, "page_index": 0, "page_size": 50}),
            ("get_group_essence_messages", {"group_id": TEAM, "page_index": 1, "page_size": 50}),
        ],
        {
            "get_group_essence_messages": lambda params: {
                "messages": [
                    {
                        "group_id": TEAM,
                        "message_seq": 9 + params["page_index"],
                        "message_time": NOW,
                        "sender_id": BOB,
                        "sender_name": "Bob",
                        "operator_id": SELF,
                        "operator_name": "Me",
                        "operation_time": NOW + 1,
                        "segments": [text("e")],
                    }
                ],
                "is_end": params["page_index"] == 1,
            }
        },
        [
            {
                "message_id": "group:9",
                "message_seq": 9,
                "sender_id": BOB,
                "sender_nick": "Bob",
                "sender_time": NOW,
                "operator_id": SELF,
                "operator_nick": "Me",
                "operator_time": NOW + 1,
                "content": [text("e")],
            },
            {
                "message_id": "group:10",
                "message_seq": 10,
                "sender_id": BOB,
                "sender_nick": "Bob",
                "sender_time": NOW,
                "operator_id": SELF,
                "operator_nick": "Me",
                "operator_time": NOW + 1,
                "content": [text("e")],
            },
        ],
    ),
    Row("delete_friend", {"user_id": ALICE}, [("delete_friend", {"user_id": ALICE})]),
    Row("delete_friend", {"user_id": 0, "friend_id": str(ALICE)}, [("delete_friend", {"user_id": ALICE})]),
    Row("send_poke", IN_TEAM, [("send_group_nudge", IN_TEAM)]),
    Row("send_poke", {"user_id": ALICE, "group_id": 0}, [("send_friend_nudge", {"user_id": ALICE})]),
    Row("send_poke", {"group_id": TEAM, "target_id": BOB}, [("send_group_nudge", IN_TEAM)]),
    Row("group_poke", IN_TEAM, [("send_group_nudge", IN_TEAM)]),
    Row("friend_poke", {"user_id": str(ALICE)}, [("send_friend_nudge", {"user_id": ALICE})]),
    Row(
        "friend_poke",
        {"user_id": ALICE, "target_id": SELF},
        [("send_friend_nudge", {"user_id": ALICE, "is_self": True})],
    ),
    Row("friend_poke", {"user_id": ALICE, "target_id": ALICE}, [("send_friend_nudge", {"user_id": ALICE})]),
    Row(
        "_send_group_notice",
        {"group_id": TEAM, "content": "C", "image": "/tmp/i.png", "pinned": 1},
        [
            (
                "send_group_announcement",
                {"group_id": TEAM, "content": "C", "image_uri": "file:///tmp/i.png"},
            )
        ],
    ),
    Row(
        "_get_group_notice",
        {"group_id": TEAM},
        [("get_group_announcements", {"group_id": TEAM})],
        {
            "get_group_announcements": {
                "announcements": [
                    {
                        "group_id": TEAM,
                        "announcement_id": "n1",
                        "user_id": BOB,
                        "time": NOW,
                        "content": "C",
                        "image_url": None,
                    }
                ]
            }
        },
        [{"notice_id": "n1", "sender_id": BOB, "publish_time": NOW, "message": {"text": "C", "images": []}}],
    ),
    Row(
        "_del_group_notice",
        {"group_id": TEAM, "notice_id": "n1"},
        [("delete_group_announcement", {"group_id": TEAM, "announcement_id": "n1"})],
    ),
    Row(
        "_delete_group_notice",
        {"group_id": TEAM, "notice_id": "n1"},
        [("delete_group_announcement", {"group_id": TEAM, "announcement_id": "n1"})],
    ),
    Row(
        "upload_group_file",
        {"group_id": TEAM, "file": "/tmp/a.txt", "folder": "/d1"},
        [
            (
                "upload_group_file",
                {
                    "group_id": TEAM,
                    "parent_folder_id": "/d1",
                    "file_uri": "file:///tmp/a.txt",
                    "file_name": "a.txt",
                },
            )
        ],
        {"upload_group_file": {"file_id": "/f9"}},
        {"file_id": "/f9"},
    ),
    Row(
        "upload_group_file",
        {"group_id": TEAM, "file": "base64://AAAA", "name": "b.bin", "folder_id": ""},
        [("upload_group_file", {"group_id": TEAM, "file_uri": "base64://AAAA", "file_name": "b.bin"})],
        {"upload_group_file": {"file_id": ""}},
        {"file_id": ""},
    ),
    Row(
        "upload_private_file",
        {"user_id": ALICE, "file": "http://x/y/a.txt?z=1", "name": ""},
        [
            (
                "upload_private_file",
                {"user_id": ALICE, "file_uri": "http://x/y/a.txt?z=1", "file_name": "a.txt"},
            )
        ],
        {"upload_private_file": {"file_id": "p9"}},
        {"file_id": "p9"},
    ),
    Row(
        "get_group_root_files",
        {"group_id": TEAM},
        [("get_group_files", {"group_id": TEAM})],
        FILES,
        FILES_DATA,
    ),
    Row(
        "get_group_files_by_folder",
        {"group_id": TEAM, "folder_id": "/d1"},
        [("get_group_files", {"group_id": TEAM, "parent_folder_id": "/d1"})],
        FILES,
        FILES_DATA,
    ),
    Row(
        "get_group_file_url",
        {"group_id": TEAM, "file_id": "/f1", "busid": 102},
        [("get_group_file_download_url", {"group_id": TEAM, "file_id": "/f1"})],
        {"get_group_file_download_url": {"download_url": "http://x/f"}},
        {"url": "http://x/f"},
    ),
    Row(
        "get_private_file_url",
        {"file_id": "known"},
        [("get_private_file_download_url", {"user_id": ALICE, "file_id": "known", "file_hash": "h"})],
        {"get_private_file_download_url": {"download_url": "http://x/f"}},
        {"url": "http://x/f"},
    ),
    Row(
        "get_private_file_url",
        {"user_id": BOB, "file_id": "f"},
        [("get_private_file_download_url", {"user_id": BOB, "file_id": "f", "file_hash": ""})],
        {"get_private_file_download_url": {"download_url": "http://x/f"}},
        {"url": "http://x/f"},
    ),
    folder("delete_group_file", "delete_group_file", {"file_id": "/f1"}),
    Row(
        "move_group_file",
        {"group_id": TEAM, "file_id": "/f1", "parent_directory": "/d1", "target_directory": "/d2"},
        [
            (
                "move_group_file",
                {"group_id": TEAM, "file_id": "/f1", "parent_folder_id": "/d1", "target_folder_id": "/d2"},
            )
        ],
    ),
    Row(
        "move_group_file",
        {
            "group_id": TEAM,
            "file_id": "/f1",
            "current_parent_directory": "",
            "target_parent_directory": "/d2",
        },
        [
            (
                "move_group_file",
                {"group_id": TEAM, "file_id": "/f1", "parent_folder_id": "/", "target_folder_id": "/d2"},
            )
        ],
    ),
    Row(
        "rename_group_file",
        {"group_id": TEAM, "file_id": "/f1", "current_parent_directory": "/d1", "new_name": "n"},
        [
            (
                "rename_group_file",
                {"group_id": TEAM, "file_id": "/f1", "parent_folder_id": "/d1", "new_file_name": "n"},
            )
        ],
    ),
    Row(
        "create_group_file_folder",
        {"group_id": TEAM, "name": "docs", "parent_id": "/"},
        [("create_group_folder", {"group_id": TEAM, "folder_name": "docs"})],
        {"create_group_folder": {"folder_id": "/d1"}},
        {"folder_id": "/d1"},
    ),
    folder("delete_group_folder", "delete_group_folder", {"folder_id": "/d1"}),
    folder("delete_group_file_folder", "delete_group_folder", {"folder_id": "/d1"}),
    folder("rename_group_file_folder", "rename_group_folder", {"folder_id": "/d1", "new_folder_name": "n"}),
    folder("set_group_file_forever", "persist_group_file", {"file_id": "/f1"})._replace(data={"ok": True}),
    folder("trans_group_file", "persist_group_file", {"file_id": "/f1"})._replace(data={"ok": True}),
    Row(
        "set_group_portrait",
        {"group_id": TEAM, "file": "https://x/i.png", "cache": 1},
        [("set_group_avatar", {"group_id": TEAM, "image_uri": "https://x/i.png"})],
    ),
    Row("set_qq_avatar", {"file": "base64://AAAA"}, [("set_avatar", {"uri": "base64://AAAA"})]),
    Row(
        "set_qq_profile",
        {"nickname": "N", "personal_note": "P", "company": ""},
        [("set_nickname", {"new_nickname": "N"}), ("set_bio", {"new_bio": "P"})],
    ),
    Row("set_qq_profile", {"nickname": "N", "personal_note": ""}, [("set_nickname", {"new_nickname": "N"})]),
    Row("set_self_longnick", {"longNick": ""}, [("set_bio", {"new_bio": ""})]),
    Row(
        "fetch_custom_face",
        {"count": 2},
        [("get_custom_face_url_list", {})],
        {"get_custom_face_url_list": {"urls": ["http://x/1", "http://x/2", "http://x/3"]}},
        ["http://x/1", "http://x/2"],
    ),
    Row(
        "get_friends_with_category",
        {},
        [("get_friend_list", {})],
        {"get_friend_list": {"friends": [ALICE_ENTITY]}},
        [{"categoryId": 0, "categoryName": "Friends", "categoryMbCount": 1, "buddyList": [FRIEND_DATA]}],
    ),
    Row(
        "get_group_shut_list",
        {"group_id": TEAM},
        [("get_group_member_list", {"group_id": TEAM})],
        {"get_group_member_list": {"members": [BOB_ENTITY, {**BOB_ENTITY, "shut_up_end_time": NOW - 1}]}},
        [MEMBER_DATA],
    ),
]


def resolved(value: Any, actions: Actions) -> Any:
    """Return expected data with ``group:9`` replaced by a message's id."""
    if isinstance(value, list):
        return [resolved(one, actions) for one in value]
    if isinstance(value, dict):
        return {key: resolved(one, actions) for key, one in value.items()}
    if isinstance(value, str) and value.startswith("group:"):
        return actions.group_id_of(int(value.partition(":")[2]))
    return value


class TableTests(SynchronousTestCase):
    def test_all_names(self) -> None:
        """Each name of the fact sheet's tables has its function."""
        self.assertEqual([name for name in STANDARD + EXTENSIONS if name not in ACTIONS], [])
        self.assertEqual([name for name in NOTHING_LIKE_IT if name in ACTIONS], [])
        standard = {entry.name for entry in catalogue() if "standard" in entry.found_in}
        ours = {*STANDARD, *NOTHING_LIKE_IT, ".handle_quick_operation"}
        self.assertEqual(standard - ours, set())

    def test_rows(self) -> None:
        """Each action makes these calls, and answers this."""
        for row in ROWS:
            actions = Actions()
            actions.context.recent.private_files.put("known", PrivateFile(ALICE, "h"))
            actions.api.answers = dict(row.answers)
            data = actions.perform(row.action, **row.params)
            self.assertEqual(actions.calls, row.calls, row.action)
            self.assertEqual(data, resolved(row.data, actions), row.action)

    def test_rows_of_untyped_programs(self) -> None:
        """The same where numbers are strings, and booleans strings or 0 and 1."""
        booleans: list[Callable[[bool], Any]] = [lambda value: str(value).lower(), int]
        for row in ROWS:
            for write in booleans:
                params = {
                    name: write(value) if isinstance(value, bool) else value
                    for name, value in row.params.items()
                }
                params = {
                    name: str(value) if type(value) is int and name != "approve" else value
                    for name, value in params.items()
                }
                actions = Actions()
                actions.context.recent.private_files.put("known", PrivateFile(ALICE, "h"))
                actions.api.answers = dict(row.answers)
                actions.perform(row.action, **params)
                self.assertEqual(actions.calls, row.calls, row.action)

    def test_nothing_like_it(self) -> None:
        """What Milky has no counterpart for, and what nobody knows, is 1404 with its name."""
        for name in [*NOTHING_LIKE_IT, "no_such_action", "x" * 10_000]:
            actions = Actions()
            with self.assertRaises(UnknownAction) as refused:
                actions.perform(name)
            self.assertTrue(refused.exception.sentence.startswith(f"Milky has nothing like {name[:100]}"))
            self.assertEqual(refused.exception.retcode, 1404)
            self.assertEqual(actions.calls, [])

    def test_wrong_parameters(self) -> None:
        """What is missing or wrong is 1400 with its name, and nothing is called."""
        flag = encode_flag(FriendFlag("u"))
        for action, params, name in [
            ("send_like", {}, "user_id is missing"),
            ("send_like", {"user_id": "x"}, "user_id"),
            ("send_like", {"user_id": 5}, "user_id: expected 10001"),
            ("send_like", {"user_id": 1 << 32}, "user_id"),
            ("send_like", {"user_id": ALICE, "times": 0}, "times"),
            ("set_group_ban", {**IN_TEAM, "duration": -1}, "duration"),
            ("set_group_whole_ban", {"group_id": TEAM, "enable": "perhaps"}, "enable"),
            ("set_group_name", {"group_id": TEAM, "group_name": ""}, "group_name"),
            ("set_friend_add_request", {"flag": "x"}, "flag"),
            ("set_friend_add_request", {"flag": encode_flag(GroupFlag(INVITATION, TEAM, 1))}, "flag"),
            ("set_friend_add_request", {"flag": encode_flag(FriendFlag(""))}, "uid"),
            ("set_group_add_request", {"flag": flag}, "flag"),
            ("delete_msg", {}, "message_id is missing"),
            ("delete_msg", {"message_id": 12345}, "message_id: there is no message 12345"),
            ("get_msg", {"message_id": 2**60}, "there is no message"),
            ("get_msg", {"message_id": -1}, "there is no message"),
            ("get_msg", {"message_id": 0}, "there is no message"),
            ("set_qq_profile", {"nickname": "N", "company": "C"}, "company"),
            ("set_qq_profile", {}, "nickname"),
            ("set_qq_avatar", {"file": "relative.png"}, "file"),
            ("upload_group_file", {"group_id": TEAM, "file": "a.txt"}, "file"),
            ("get_private_file_url", {"file_id": "unknown"}, "user_id"),
            ("get_group_msg_history", {"group_id": TEAM, "count": 0}, "count"),
            ("get_group_msg_history", {"group_id": TEAM, "message_seq": -4}, "message_seq"),
            ("get_group_msg_history", {"group_id": TEAM, "message_id": 44}, "message_id"),
            ("friend_poke", {"user_id": ALICE, "target_id": BOB}, str(BOB)),
            ("send_msg", {"message_type": "guild", "message": "x"}, "message_type"),
            ("send_group_msg", {"group_id": TEAM}, "message is missing"),
            ("send_group_msg", {"group_id": TEAM, "message": ""}, "message"),
            ("send_group_forward_msg", {"group_id": TEAM, "messages": []}, "messages"),
        ]:
            actions = Actions()
            with self.assertRaises(BadRequest, msg=action) as refused:
                actions.perform(action, **params)
            self.assertIn(name, refused.exception.sentence)
            self.assertEqual(actions.calls, [], action)

    def test_nothing_dissolves_a_group(self) -> None:
        """``is_dismiss`` is not taken for leaving."""
        actions = Actions()
        for value in (True, "true", 1):
            with self.assertRaises(UnknownAction):
                actions.perform("set_group_leave", group_id=TEAM, is_dismiss=value)
        self.assertEqual(actions.calls, [])

    def test_records_are_not_converted(self) -> None:
        """A format that Milky cannot give is refused, though the link could be had."""
        actions = Actions()
        with self.assertRaises(UnknownAction) as refused:
            actions.perform("get_record", file="res1", out_format="mp3")
        self.assertIn("out_format", refused.exception.sentence)
        self.assertEqual(actions.calls, [])

    def test_other_bounds(self) -> None:
        """Messages in another group, and of people, are none of a group's reactions."""
        actions = Actions()
        for action, params in [
            ("set_group_reaction", {"group_id": TEAM + 1, "message_id": actions.group_id_of(9), "code": "4"}),
            ("set_group_reaction", {"group_id": TEAM, "message_id": actions.friend_id_of(9), "code": "4"}),
            ("set_msg_emoji_like", {"message_id": actions.group_id_of(9), "emoji_id": "smile"}),
            ("set_essence_msg", {"message_id": actions.friend_id_of(9)}),
        ]:
            with self.assertRaises(OneBotError) as refused:
                actions.perform(action, **params)
            self.assertEqual(refused.exception.retcode, 1400)
        self.assertEqual(actions.calls, [])

    def test_reactions_and_essences(self) -> None:
        """A message's group and number, and the kind of emoji, go with the call."""
        actions = Actions()
        message_id = actions.group_id_of(9)
        reaction = {
            "group_id": TEAM,
            "message_seq": 9,
            "reaction": "4",
            "reaction_type": "face",
            "is_add": True,
        }
        emoji = {**reaction, "reaction": "128077", "reaction_type": "emoji"}
        api = "send_group_message_reaction"
        for action, params, call in [
            ("set_msg_emoji_like", {"emoji_id": 4}, (api, reaction)),
            ("set_msg_emoji_like", {"emoji_id": "128077", "set": "false"}, (api, {**emoji, "is_add": False})),
            ("set_msg_emoji_like", {"emoji_id": "\N{THUMBS UP SIGN}"}, (api, emoji)),
            ("unset_msg_emoji_like", {"emoji_id": "4"}, (api, {**reaction, "is_add": False})),
            ("set_group_reaction", {"group_id": str(TEAM), "code": "128077"}, (api, emoji)),
            (
                "set_group_reaction",
                {"group_id": TEAM, "code": 4, "is_add": 0},
                (api, {**reaction, "is_add": False}),
            ),
            (
                "set_essence_msg",
                {},
                ("set_group_essence_message", {"group_id": TEAM, "message_seq": 9, "is_set": True}),
            ),
            (
                "delete_essence_msg",
                {},
                ("set_group_essence_message", {"group_id": TEAM, "message_seq": 9, "is_set": False}),
            ),
        ]:
            self.assertIsNone(actions.perform(action, message_id=str(message_id), **params))
            self.assertEqual(actions.calls, [call])

    def test_group_requests(self) -> None:
        """Requests to join are listed with flags that answer them; other notifications are left out."""
        actions = Actions()
        pages = [
            {
                "notifications": [
                    {
                        "type": "join_request", "group_id": TEAM, "notification_seq": 9, "is_filtered": False,
                        "initiator_id": BOB, "state": "pending", "operator_id": None, "comment": "hi",
                    },
                    {"type": "quit", "group_id": TEAM, "notification_seq": 8, "target_user_id": BOB},
                ],
                "next_notification_seq": 7,
            },
            {
                "notifications": [
                    {
                        "type": "invited_join_request", "group_id": TEAM, "notification_seq": 7,
                        "initiator_id": BOB, "target_user_id": ALICE, "state": "accepted",
                        "operator_id": SELF,
                    }
                ],
                "next_notification_seq": None,
            },
        ]  # fmt: skip
        actions.api.answers = {"get_group_notifications": list(pages)}
        data = actions.perform("get_group_system_msg")
        self.assertEqual(data["invited_requests"], [])
        join, invited = data["join_requests"]
        self.assertEqual(
            join,
            {
                "request_id": 9, "flag": f"join_request|{TEAM}|9|0", "requester_uin": BOB,
                "requester_nick": "", "message": "hi", "group_id": TEAM, "group_name": "",
                "checked": False, "actor": 0,
            },
        )  # fmt: skip
        self.assertEqual((invited["requester_uin"], invited["invitor_uin"]), (ALICE, BOB))
        self.assertEqual((invited["checked"], invited["actor"]), (True, SELF))
        self.assertEqual(
            actions.calls,
            [
                ("get_group_notifications", {"limit": 20}),
                ("get_group_notifications", {"start_notification_seq": 7, "limit": 20}),
            ],
        )
        actions.api.answers = {"get_group_notifications": list(pages)}
        self.assertEqual(actions.perform("get_group_requests"), [join, invited])
        self.assertTrue(actions.calls)
        actions.api.answers = {"get_group_notifications": list(pages)}
        actions.perform("set_group_add_request", flag="9", sub_type="add", approve=True)
        self.assertEqual(
            actions.calls[-1],
            (
                "accept_group_request",
                {
                    "notification_seq": 9, "notification_type": "join_request", "group_id": TEAM,
                    "is_filtered": False,
                },
            ),
        )  # fmt: skip
        actions.api.answers = {"get_group_notifications": list(pages)}
        with self.assertRaises(BadRequest):
            actions.perform("set_group_add_request", flag="8", sub_type="add")

    def test_dubious_requests(self) -> None:
        """What QQ put aside is listed by actions of their own, with flags that answer it."""
        actions = Actions()
        request = {
            "time": NOW, "initiator_id": ALICE, "initiator_uid": "u_1", "target_user_id": SELF,
            "target_user_uid": "u_0", "state": "pending", "comment": "hi", "via": "group",
            "is_filtered": True,
        }  # fmt: skip
        actions.api.answers = {
            "get_friend_requests": {"requests": [request, {**request, "state": "rejected"}]},
            "get_group_notifications": {
                "notifications": [
                    {
                        "type": "join_request", "group_id": TEAM, "notification_seq": 9, "is_filtered": True,
                        "initiator_id": BOB, "state": "pending", "operator_id": None, "comment": "hi",
                    }
                ]
            },
        }  # fmt: skip
        (data,) = actions.perform("get_doubt_friends_add_request")
        self.assertEqual((data["uin"], data["msg"], data["source"]), (str(ALICE), "hi", "group"))
        (group,) = actions.perform("get_group_ignore_add_request")
        self.assertEqual(
            actions.calls,
            [
                ("get_friend_requests", {"limit": 50, "is_filtered": True}),
                ("get_group_notifications", {"is_filtered": True, "limit": 20}),
            ],
        )
        actions.perform("set_doubt_friends_add_request", flag=data["flag"], approve=True)
        actions.perform("set_group_add_request", flag=group["flag"], sub_type="add", approve=False)
        (_api, accepted), (_other, rejected) = actions.calls
        self.assertEqual(accepted, {"initiator_uid": "u_1", "is_filtered": True})
        self.assertEqual(rejected["is_filtered"], True)

    def test_requests_that_were_put_aside(self) -> None:
        """An event does not say that its request was put aside: there it is looked for, too."""
        api = "accept_friend_request"
        request = {
            "time": NOW, "initiator_id": ALICE, "initiator_uid": "u_1", "target_user_id": SELF,
            "target_user_uid": "u_0", "state": "pending", "comment": "", "via": "", "is_filtered": True,
        }  # fmt: skip
        flag = encode_flag(FriendFlag("u_1"))
        for listed, called in [([request], 2), ([{**request, "state": "accepted"}], 1), ([], 1)]:
            actions = Actions()
            actions.api.answers = {
                "get_friend_requests": {"requests": listed},
                api: lambda params: {} if params["is_filtered"] else CallFailed(-404, "not found", api),
            }
            if called == 2:
                self.assertIsNone(actions.perform("set_friend_add_request", flag=flag, approve=True))
            else:
                with self.assertRaises(CallFailed):
                    actions.perform("set_friend_add_request", flag=flag, approve=True)
            calls = [params["is_filtered"] for name, params in actions.calls if name == api]
            self.assertEqual(calls, [False, True][:called])

    def test_numbers_that_were_asked_for(self) -> None:
        """Groups and people have their numbers, also where the implementation left them out."""
        actions = Actions()
        actions.api.strict = False
        actions.api.default = {
            "group": {}, "member": {"user_id": None}, "members": [{"user_id": BOB}],
            "files": [{"file_id": "f"}], "folders": [{"folder_id": "d"}],
        }  # fmt: skip
        self.assertEqual(actions.perform("get_group_info", group_id=TEAM)["group_id"], TEAM)
        member = actions.perform("get_group_member_info", **IN_TEAM)
        self.assertEqual((member["group_id"], member["user_id"]), (TEAM, BOB))
        (member,) = actions.perform("get_group_member_list", group_id=TEAM)
        self.assertEqual((member["group_id"], member["user_id"]), (TEAM, BOB))
        files = actions.perform("get_group_root_files", group_id=TEAM)
        self.assertEqual({files["files"][0]["group_id"], files["folders"][0]["group_id"]}, {TEAM})

    def test_hashes_of_files(self) -> None:
        """A hash that was forgotten is looked for among the newest messages, and remembered."""
        actions = Actions("Yogurt")
        file = {
            "type": "file",
            "data": {"file_id": "f", "file_name": "a", "file_size": 1, "file_hash": "hash"},
        }
        actions.api.answers = {
            "get_history_messages": {"messages": [friend_message(4), friend_message(5, file)]},
            "get_private_file_download_url": {"download_url": "http://x/f"},
        }
        call = ("get_private_file_download_url", {"user_id": ALICE, "file_id": "f", "file_hash": "hash"})
        actions.perform("get_private_file_url", user_id=ALICE, file_id="f")
        self.assertEqual(actions.calls[1:], [call])
        actions.perform("get_private_file_url", file_id="f")
        self.assertEqual(actions.calls, [call])

    def test_files_without_hash(self) -> None:
        """A file whose hash is in no message is asked for without one."""
        actions = Actions("Yogurt")
        actions.api.answers = {
            "get_history_messages": {"messages": [friend_message(4)]},
            "get_private_file_download_url": {"download_url": "http://x/f"},
        }
        actions.perform("get_private_file_url", user_id=ALICE, file_id="f")
        self.assertEqual(
            actions.calls,
            [
                ("get_history_messages", {"message_scene": "friend", "peer_id": ALICE, "limit": 30}),
                ("get_private_file_download_url", {"user_id": ALICE, "file_id": "f", "file_hash": ""}),
            ],
        )

    def test_status(self) -> None:
        """An account that is said to be offline is asked for; an answer says that it is online."""
        actions = Actions()
        actions.online = False
        profile = {
            "nickname": "Me", "qid": "", "age": 0, "sex": "unknown", "remark": "", "bio": "", "level": 1,
            "country": "", "city": "", "school": "",
        }  # fmt: skip
        actions.api.answers = {"get_user_profile": [profile, OneBotError("gone")]}
        self.assertEqual(actions.perform("get_status"), {"online": True, "good": True})
        self.assertEqual(actions.calls, [("get_user_profile", {"user_id": SELF})])
        with self.assertRaises(OneBotError):  # nobody has answered
            actions.perform("get_status")

    def test_implementation_is_asked_once(self) -> None:
        """Where the implementation has not said what it is, it is asked."""
        actions = Actions("")
        actions.api.answers = {
            "get_impl_info": {
                "impl_name": "Yogurt", "impl_version": "0.1", "qq_protocol_version": "1",
                "qq_protocol_type": "linux", "milky_version": "1.3",
            }
        }  # fmt: skip
        for _time in range(2):
            self.assertEqual(
                actions.perform("get_version_info"),
                {
                    "app_name": "Yogurt",
                    "app_version": "0.1",
                    "protocol_version": "v11",
                    "milky_version": "1.3",
                },
            )
        self.assertEqual(actions.calls, [("get_impl_info", {})])

    def test_profile_in_parts(self) -> None:
        """Where the second of two calls fails, the answer says that the first was carried out."""
        actions = Actions()
        actions.api.answers = {"set_bio": UnknownAction("the implementation does not offer Milky's set_bio")}
        with self.assertRaises(UnknownAction) as failed:
            actions.perform("set_qq_profile", nickname="N", personal_note="P")
        self.assertIn("nickname was set", failed.exception.sentence)
        self.assertIn("personal_note", failed.exception.sentence)
        self.assertEqual([api for api, _params in actions.calls], ["set_nickname", "set_bio"])
        actions.api.answers = {"set_nickname": UnknownAction("no")}
        with self.assertRaises(UnknownAction):
            actions.perform("set_qq_profile", nickname="N", personal_note="P")
        self.assertEqual([api for api, _params in actions.calls], ["set_nickname"])
