"""Milky's events that are no messages, as notices and requests of OneBot 11 (``event/notice``, ``request``).

Members that NoneBot's models read as numbers are numbers, 0 where Milky does not tell them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from attrs import frozen

from lgtwist.milky.flags import (
    INVITATION,
    INVITED_JOIN_REQUEST,
    JOIN_REQUEST,
    FriendFlag,
    GroupFlag,
    encode_flag,
)
from lgtwist.milky.frames import Count, DataReader, Number
from lgtwist.milky.keys import FRIEND, GROUP, TEMP, MessageIds, MessageKey
from lgtwist.milky.recent import PrivateFile, Recent

#: The ``busid`` of each file of a group: Milky has none, and NoneBot demands a number.
BUSID = 102


class UnknownScene(Exception):
    """A message is in a scene that Milky does not have; the argument is its name."""


@frozen
class NoticeContext:
    """What notices need beside their data.

    :ivar self_id: the account.
    :ivar ids: message ids.
    :ivar recent: what is remembered of messages and files.
    """

    self_id: int
    ids: MessageIds
    recent: Recent


#: Makes the members of an event that it does not share with all others; None if no event is made.
Translation = Callable[[Any, NoticeContext], "dict[str, Any] | None"]


class BotOffline(msgspec.Struct, gc=False):
    """Data of ``bot_offline``."""

    reason: str = ""


def _bot_offline(data: BotOffline, context: NoticeContext) -> dict[str, Any]:
    return {"notice_type": "bot_offline", "user_id": context.self_id, "tag": "", "message": data.reason}


class MessageRecall(msgspec.Struct, gc=False):
    """Data of ``message_recall``."""

    message_scene: str
    peer_id: Number
    message_seq: Count
    sender_id: Count = 0
    operator_id: Count = 0


def _message_recall(data: MessageRecall, context: NoticeContext) -> dict[str, Any]:
    if data.message_scene not in (GROUP, FRIEND, TEMP):
        raise UnknownScene(data.message_scene)
    key = MessageKey(data.message_scene, data.peer_id, data.message_seq)
    context.recent.messages.pop(key)
    message_id = context.ids.id_of(key)
    if data.message_scene != GROUP:
        return {"notice_type": "friend_recall", "user_id": data.peer_id, "message_id": message_id}
    return {
        "notice_type": "group_recall",
        "group_id": data.peer_id,
        "user_id": data.sender_id,
        "operator_id": data.operator_id,
        "message_id": message_id,
    }


class FriendRequest(msgspec.Struct, gc=False):
    """Data of ``friend_request``; ``is_filtered`` only of one that was fetched."""

    initiator_id: Number
    initiator_uid: str = ""
    comment: str = ""
    via: str = ""
    is_filtered: bool = False


def _friend_request(data: FriendRequest, _context: NoticeContext) -> dict[str, Any]:
    return {
        "request_type": "friend",
        "user_id": data.initiator_id,
        "comment": data.comment,
        "flag": encode_flag(FriendFlag(data.initiator_uid, data.is_filtered)),
        "via": data.via,
    }


class GroupJoinRequest(msgspec.Struct, gc=False):
    """Data of ``group_join_request``."""

    group_id: Number
    notification_seq: Count
    initiator_id: Number
    is_filtered: bool = False
    comment: str = ""


def _group_join_request(data: GroupJoinRequest, _context: NoticeContext) -> dict[str, Any]:
    flag = GroupFlag(JOIN_REQUEST, data.group_id, data.notification_seq, data.is_filtered)
    return _group_request("add", data.group_id, data.initiator_id, data.comment, flag)


class GroupInvitedJoinRequest(msgspec.Struct, gc=False):
    """Data of ``group_invited_join_request``: a member wants to bring somebody else in."""

    group_id: Number
    notification_seq: Count
    target_user_id: Number
    initiator_id: Count = 0


def _group_invited_join_request(data: GroupInvitedJoinRequest, _context: NoticeContext) -> dict[str, Any]:
    flag = GroupFlag(INVITED_JOIN_REQUEST, data.group_id, data.notification_seq, False)
    request = _group_request("add", data.group_id, data.target_user_id, "", flag)
    return {**request, "invitor_id": data.initiator_id}


class GroupInvitation(msgspec.Struct, gc=False):
    """Data of ``group_invitation``: the account itself is invited."""

    group_id: Number
    invitation_seq: Count
    initiator_id: Number


def _group_invitation(data: GroupInvitation, _context: NoticeContext) -> dict[str, Any]:
    flag = GroupFlag(INVITATION, data.group_id, data.invitation_seq, False)
    return _group_request("invite", data.group_id, data.initiator_id, "", flag)


def _group_request(
    sub_type: str, group_id: int, user_id: int, comment: str, flag: GroupFlag
) -> dict[str, Any]:
    return {
        "request_type": "group",
        "sub_type": sub_type,
        "group_id": group_id,
        "user_id": user_id,
        "comment": comment,
        "flag": encode_flag(flag),
    }


class FriendNudge(msgspec.Struct, gc=False):
    """Data of ``friend_nudge``."""

    user_id: Number
    is_self_send: bool = False
    is_self_receive: bool = False
    display_action: str = ""
    display_suffix: str = ""
    display_action_img_url: str = ""


def _friend_nudge(data: FriendNudge, context: NoticeContext) -> dict[str, Any]:
    sender = context.self_id if data.is_self_send else data.user_id
    return {
        "notice_type": "notify",
        "sub_type": "poke",
        "user_id": sender,
        "target_id": context.self_id if data.is_self_receive else data.user_id,
        "sender_id": sender,
        "action": data.display_action,
        "suffix": data.display_suffix,
        "action_img_url": data.display_action_img_url,
    }


class GroupNudge(msgspec.Struct, gc=False):
    """Data of ``group_nudge``."""

    group_id: Number
    sender_id: Number
    receiver_id: Number
    display_action: str = ""
    display_suffix: str = ""
    display_action_img_url: str = ""


def _group_nudge(data: GroupNudge, _context: NoticeContext) -> dict[str, Any]:
    return {
        "notice_type": "notify",
        "sub_type": "poke",
        "group_id": data.group_id,
        "user_id": data.sender_id,
        "target_id": data.receiver_id,
        "action": data.display_action,
        "suffix": data.display_suffix,
        "action_img_url": data.display_action_img_url,
    }


class FriendFileUpload(msgspec.Struct, gc=False):
    """Data of ``friend_file_upload``."""

    user_id: Number
    file_id: str
    file_name: str = ""
    file_size: Count = 0
    file_hash: str = ""
    is_self: bool = False


def _friend_file_upload(data: FriendFileUpload, context: NoticeContext) -> dict[str, Any] | None:
    remember_private_file(context.recent, data.file_id, data.user_id, data.file_hash)
    if data.is_self:
        return None
    file = {"id": data.file_id, "name": data.file_name, "size": data.file_size, "url": ""}
    return {"notice_type": "offline_file", "user_id": data.user_id, "file": file}


#: Characters of the id of a file and its hash that are remembered.
_LONGEST_FILE_ID = 4_096


def remember_private_file(recent: Recent, file_id: str, user_id: int, file_hash: str) -> None:
    """Remember what a download of a private file needs; a hash that is known stays, if there is no other.

    LLBot tells the hash in ``friend_file_upload``, and none in the message.
    """
    if len(file_id) + len(file_hash) > _LONGEST_FILE_ID:
        return
    known = recent.private_files.get(file_id)
    if not file_hash and known is not None and known.user_id == user_id:
        file_hash = known.file_hash
    recent.private_files.put(file_id, PrivateFile(user_id, file_hash))


class GroupFileUpload(msgspec.Struct, gc=False):
    """Data of ``group_file_upload``."""

    group_id: Number
    user_id: Number
    file_id: str
    file_name: str = ""
    file_size: Count = 0


def _group_file_upload(data: GroupFileUpload, _context: NoticeContext) -> dict[str, Any]:
    file = {"id": data.file_id, "name": data.file_name, "size": data.file_size, "busid": BUSID}
    return {"notice_type": "group_upload", "group_id": data.group_id, "user_id": data.user_id, "file": file}


class GroupAdminChange(msgspec.Struct, gc=False):
    """Data of ``group_admin_change``; ``operator_id`` since Milky 1.1."""

    group_id: Number
    user_id: Number
    is_set: bool
    operator_id: Count = 0


def _group_admin_change(data: GroupAdminChange, _context: NoticeContext) -> dict[str, Any]:
    return {
        "notice_type": "group_admin",
        "sub_type": "set" if data.is_set else "unset",
        "group_id": data.group_id,
        "user_id": data.user_id,
        "operator_id": data.operator_id,
    }


class GroupEssenceMessageChange(msgspec.Struct, gc=False):
    """Data of ``group_essence_message_change``; ``operator_id`` since Milky 1.1."""

    group_id: Number
    message_seq: Count
    is_set: bool
    operator_id: Count = 0


def _group_essence_message_change(data: GroupEssenceMessageChange, context: NoticeContext) -> dict[str, Any]:
    key = MessageKey(GROUP, data.group_id, data.message_seq)
    sender_id = sender_of(context.recent, key)
    return {
        "notice_type": "essence",
        "sub_type": "add" if data.is_set else "delete",
        "group_id": data.group_id,
        "message_id": context.ids.id_of(key),
        "sender_id": sender_id,
        "operator_id": data.operator_id,
        "user_id": sender_id,
    }


def sender_of(recent: Recent, key: MessageKey) -> int:
    """Return who sent a message that is remembered; 0 if it is not."""
    message = recent.messages.get(key)
    sender_id = message.get("sender_id") if message is not None else None
    return sender_id if isinstance(sender_id, int) else 0


class GroupMemberIncrease(msgspec.Struct, gc=False):
    """Data of ``group_member_increase``."""

    group_id: Number
    user_id: Number
    operator_id: Count | None = None
    invitor_id: Count | None = None


def _group_member_increase(data: GroupMemberIncrease, _context: NoticeContext) -> dict[str, Any]:
    return {
        "notice_type": "group_increase",
        "sub_type": "invite" if data.invitor_id else "approve",
        "group_id": data.group_id,
        "user_id": data.user_id,
        "operator_id": data.operator_id or data.invitor_id or 0,
    }


class GroupMemberDecrease(msgspec.Struct, gc=False):
    """Data of ``group_member_decrease``."""

    group_id: Number
    user_id: Number
    operator_id: Count | None = None


def _group_member_decrease(data: GroupMemberDecrease, context: NoticeContext) -> dict[str, Any]:
    operator_id = data.operator_id or data.user_id
    sub_type = "kick"
    if operator_id == data.user_id:
        sub_type = "leave"
    elif data.user_id == context.self_id:
        sub_type = "kick_me"
    return _group_decrease(sub_type, data.group_id, data.user_id, operator_id)


class GroupDisband(msgspec.Struct, gc=False):
    """Data of ``group_disband``, which Milky has since 1.3."""

    group_id: Number
    operator_id: Count = 0


def _group_disband(data: GroupDisband, context: NoticeContext) -> dict[str, Any]:
    return _group_decrease("disband", data.group_id, context.self_id, data.operator_id)


def _group_decrease(sub_type: str, group_id: int, user_id: int, operator_id: int) -> dict[str, Any]:
    return {
        "notice_type": "group_decrease",
        "sub_type": sub_type,
        "group_id": group_id,
        "user_id": user_id,
        "operator_id": operator_id,
    }


class GroupNameChange(msgspec.Struct, gc=False):
    """Data of ``group_name_change``."""

    group_id: Number
    new_group_name: str
    operator_id: Count = 0


def _group_name_change(data: GroupNameChange, _context: NoticeContext) -> dict[str, Any]:
    return {
        "notice_type": "notify",
        "sub_type": "group_name",
        "group_id": data.group_id,
        "user_id": data.operator_id,
        "name_new": data.new_group_name,
    }


class GroupMessageReaction(msgspec.Struct, gc=False):
    """Data of ``group_message_reaction``."""

    group_id: Number
    user_id: Number
    message_seq: Count
    face_id: str
    is_add: bool


def _group_message_reaction(data: GroupMessageReaction, context: NoticeContext) -> dict[str, Any]:
    return {
        "notice_type": "group_msg_emoji_like",
        "group_id": data.group_id,
        "user_id": data.user_id,
        "message_id": context.ids.id_of(MessageKey(GROUP, data.group_id, data.message_seq)),
        "likes": [{"emoji_id": data.face_id, "count": 1}],
        "is_add": data.is_add,
    }


class GroupMute(msgspec.Struct, gc=False):
    """Data of ``group_mute``; a duration of 0 seconds lifts it."""

    group_id: Number
    user_id: Number
    duration: Count
    operator_id: Count = 0


def _group_mute(data: GroupMute, _context: NoticeContext) -> dict[str, Any]:
    return _group_ban(data.group_id, data.user_id, data.operator_id, data.duration)


class GroupWholeMute(msgspec.Struct, gc=False):
    """Data of ``group_whole_mute``."""

    group_id: Number
    is_mute: bool
    operator_id: Count = 0


def _group_whole_mute(data: GroupWholeMute, _context: NoticeContext) -> dict[str, Any]:
    return _group_ban(data.group_id, 0, data.operator_id, -1 if data.is_mute else 0)


def _group_ban(group_id: int, user_id: int, operator_id: int, duration: int) -> dict[str, Any]:
    return {
        "notice_type": "group_ban",
        "sub_type": "ban" if duration else "lift_ban",
        "group_id": group_id,
        "user_id": user_id,
        "operator_id": operator_id,
        "duration": duration,
    }


#: How each event is read and translated. ``peer_pin_change`` has nothing like it in OneBot 11.
NOTICES: dict[str, tuple[DataReader[Any], Translation]] = {
    "bot_offline": (DataReader(BotOffline), _bot_offline),
    "message_recall": (DataReader(MessageRecall), _message_recall),
    "friend_request": (DataReader(FriendRequest), _friend_request),
    "group_join_request": (DataReader(GroupJoinRequest), _group_join_request),
    "group_invited_join_request": (DataReader(GroupInvitedJoinRequest), _group_invited_join_request),
    "group_invitation": (DataReader(GroupInvitation), _group_invitation),
    "friend_nudge": (DataReader(FriendNudge), _friend_nudge),
    "group_nudge": (DataReader(GroupNudge), _group_nudge),
    "friend_file_upload": (DataReader(FriendFileUpload), _friend_file_upload),
    "group_file_upload": (DataReader(GroupFileUpload), _group_file_upload),
    "group_admin_change": (DataReader(GroupAdminChange), _group_admin_change),
    "group_essence_message_change": (DataReader(GroupEssenceMessageChange), _group_essence_message_change),
    "group_member_increase": (DataReader(GroupMemberIncrease), _group_member_increase),
    "group_member_decrease": (DataReader(GroupMemberDecrease), _group_member_decrease),
    "group_disband": (DataReader(GroupDisband), _group_disband),
    "group_name_change": (DataReader(GroupNameChange), _group_name_change),
    "group_message_reaction": (DataReader(GroupMessageReaction), _group_message_reaction),
    "group_mute": (DataReader(GroupMute), _group_mute),
    "group_whole_mute": (DataReader(GroupWholeMute), _group_whole_mute),
}
