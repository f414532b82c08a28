"""People, groups, files and requests of Milky as OneBot 11 has them.

Each field of an entity may be missing or of a wrong type: numbers are 0 then, and strings are empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lgtwist.milky.fields import number_at, object_at, text_at
from lgtwist.milky.incoming import to_onebot
from lgtwist.milky.keys import GROUP, Conversation, MessageIds, MessageKey
from lgtwist.milky.messages import role_of, sex_of

#: Where the URL of a picture in an announcement has its id, of which bots make a URL (go-cqhttp).
_NOTICE_PICTURE = re.compile(r"//gdynamic\.qpic\.cn/gdynamic/([^/?#]+)")


def login_data(login: dict[str, Any]) -> dict[str, Any]:
    """Return the ``data`` of ``get_login_info`` from that of Milky's."""
    return {"user_id": number_at(login, "uin"), "nickname": text_at(login, "nickname")}


def profile_data(user_id: int, profile: dict[str, Any]) -> dict[str, Any]:
    """Return the ``data`` of ``get_stranger_info``.

    :param profile: that of ``get_user_profile``, which does not say whose it is.
    """
    return {
        "user_id": user_id,
        "nickname": text_at(profile, "nickname"),
        "sex": sex_of(profile),
        "age": number_at(profile, "age"),
        "qid": text_at(profile, "qid"),
        "level": number_at(profile, "level"),
        "sign": text_at(profile, "bio"),
        "remark": text_at(profile, "remark"),
    }


def friend_data(friend: dict[str, Any]) -> dict[str, Any]:
    """Return a ``FriendEntity`` as an item of ``get_friend_list``."""
    category = object_at(friend, "category")
    return {
        "user_id": number_at(friend, "user_id"),
        "nickname": text_at(friend, "nickname"),
        "remark": text_at(friend, "remark"),
        "sex": sex_of(friend),
        "qid": text_at(friend, "qid"),
        "category": {
            "category_id": number_at(category, "category_id"),
            "category_name": text_at(category, "category_name"),
        },
    }


def friend_categories(friends: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ``data`` of ``get_friends_with_category``: friends by category, in the order of its number.

    :param friends: each a ``FriendEntity``.
    """
    categories: dict[int, dict[str, Any]] = {}
    for friend in map(friend_data, friends):
        category = friend["category"]
        number = category["category_id"]
        if number not in categories:
            categories[number] = {
                "categoryId": number,
                "categoryName": category["category_name"],
                "categoryMbCount": 0,
                "buddyList": [],
            }
        categories[number]["categoryMbCount"] += 1
        categories[number]["buddyList"].append(friend)
    return [categories[number] for number in sorted(categories)]


def group_data(group: dict[str, Any]) -> dict[str, Any]:
    """Return a ``GroupEntity`` as the ``data`` of ``get_group_info``."""
    return {
        "group_id": number_at(group, "group_id"),
        "group_name": text_at(group, "group_name"),
        "member_count": number_at(group, "member_count"),
        "max_member_count": number_at(group, "max_member_count"),
        "group_remark": text_at(group, "remark"),
        "group_memo": text_at(group, "description"),
        "group_create_time": number_at(group, "created_time"),
        "group_level": 0,
    }


def member_data(member: dict[str, Any]) -> dict[str, Any]:
    """Return a ``GroupMemberEntity`` as the ``data`` of ``get_group_member_info``."""
    return {
        "group_id": number_at(member, "group_id"),
        "user_id": number_at(member, "user_id"),
        "nickname": text_at(member, "nickname"),
        "card": text_at(member, "card"),
        "sex": sex_of(member),
        "age": 0,
        "area": "",
        "join_time": number_at(member, "join_time"),
        "last_sent_time": number_at(member, "last_sent_time"),
        "level": str(number_at(member, "level")),
        "role": role_of(member),
        "unfriendly": False,
        "title": text_at(member, "title"),
        "title_expire_time": 0,
        "card_changeable": False,
        "shut_up_timestamp": number_at(member, "shut_up_end_time"),
    }


def muted_members(members: list[dict[str, Any]], now: float) -> list[dict[str, Any]]:
    """Return the ``data`` of ``get_group_shut_list``: those who are muted at a time.

    :param members: each a ``GroupMemberEntity``.
    :param now: seconds since the epoch.
    """
    return [member_data(member) for member in members if number_at(member, "shut_up_end_time") > now]


# -- files


def file_data(group_file: dict[str, Any]) -> dict[str, Any]:
    """Return a ``GroupFileEntity`` as an item of ``files`` of ``get_group_root_files``."""
    uploaded = number_at(group_file, "uploaded_time")
    return {
        "group_id": number_at(group_file, "group_id"),
        "file_id": text_at(group_file, "file_id"),
        "file_name": text_at(group_file, "file_name"),
        "busid": 0,
        "file_size": number_at(group_file, "file_size"),
        "upload_time": uploaded,
        "dead_time": number_at(group_file, "expire_time"),
        "modify_time": uploaded,
        "download_times": number_at(group_file, "downloaded_times"),
        "uploader": number_at(group_file, "uploader_id"),
        "uploader_name": "",
        "parent_folder_id": text_at(group_file, "parent_folder_id"),
    }


def folder_data(folder: dict[str, Any]) -> dict[str, Any]:
    """Return a ``GroupFolderEntity`` as an item of ``folders`` of ``get_group_root_files``."""
    return {
        "group_id": number_at(folder, "group_id"),
        "folder_id": text_at(folder, "folder_id"),
        "folder_name": text_at(folder, "folder_name"),
        "create_time": number_at(folder, "created_time"),
        "creator": number_at(folder, "creator_id"),
        "creator_name": "",
        "total_file_count": number_at(folder, "file_count"),
        "parent_folder_id": text_at(folder, "parent_folder_id"),
    }


# -- announcements and essences


def announcement_data(announcement: dict[str, Any]) -> dict[str, Any]:
    """Return a ``GroupAnnouncementEntity`` as an item of ``_get_group_notice``."""
    url = text_at(announcement, "image_url")
    found = _NOTICE_PICTURE.search(url)
    images = [{"id": found[1] if found else "", "url": url, "width": "0", "height": "0"}] if url else []
    return {
        "notice_id": text_at(announcement, "announcement_id"),
        "sender_id": number_at(announcement, "user_id"),
        "publish_time": number_at(announcement, "time"),
        "message": {"text": text_at(announcement, "content"), "images": images},
    }


def essence_data(
    essence: dict[str, Any], ids: MessageIds, unknown: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Return a ``GroupEssenceMessage`` as an item of ``get_essence_msg_list``.

    :param unknown: see :func:`to_onebot`.
    """
    conversation = Conversation(GROUP, number_at(essence, "group_id"))
    seq = number_at(essence, "message_seq")
    return {
        "message_id": ids.id_of(MessageKey(*conversation, seq)) if conversation.peer_id and seq else 0,
        "message_seq": seq,
        "sender_id": number_at(essence, "sender_id"),
        "sender_nick": text_at(essence, "sender_name"),
        "sender_time": number_at(essence, "message_time"),
        "operator_id": number_at(essence, "operator_id"),
        "operator_nick": text_at(essence, "operator_name"),
        "operator_time": number_at(essence, "operation_time"),
        "content": to_onebot(essence.get("segments"), conversation, ids, unknown),
    }


# -- requests


def group_request_data(notification: dict[str, Any], flag: str) -> dict[str, Any]:
    """Return a ``GroupNotification`` of type ``join_request`` or ``invited_join_request``.

    It is an item of ``join_requests`` of ``get_group_system_msg``. Milky tells neither names of people nor
    of the group.

    :param flag: with which it is answered by ``set_group_add_request``.
    """
    invited = notification.get("type") == "invited_join_request"
    initiator_id = number_at(notification, "initiator_id")
    data = {
        "request_id": number_at(notification, "notification_seq"),
        "flag": flag,
        "requester_uin": number_at(notification, "target_user_id") if invited else initiator_id,
        "requester_nick": "",
        "message": text_at(notification, "comment"),
        "group_id": number_at(notification, "group_id"),
        "group_name": "",
        "checked": notification.get("state") != "pending",
        "actor": number_at(notification, "operator_id"),
    }
    if invited:
        data["invitor_uin"] = initiator_id
    return data


def friend_request_data(request: dict[str, Any], flag: str) -> dict[str, Any]:
    """Return a ``FriendRequest`` with the fields that its event has.

    :param flag: with which it is answered by ``set_friend_add_request``.
    """
    return {
        "request_type": "friend",
        "user_id": number_at(request, "initiator_id"),
        "comment": text_at(request, "comment"),
        "flag": flag,
        "via": text_at(request, "via"),
        "time": number_at(request, "time"),
        "state": text_at(request, "state"),
    }
