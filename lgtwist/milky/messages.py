"""Messages of Milky as OneBot 11 has them: what ``get_msg``, histories and the events of messages share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lgtwist.milky.fields import list_at, number_at, object_at, objects_at, text_at
from lgtwist.milky.incoming import to_onebot
from lgtwist.milky.keys import FRIEND, GROUP, TEMP, MessageIds, MessageKey
from lgtwist.onebot.bounds import MAX_GROWN
from lgtwist.onebot.errors import OverBound
from lgtwist.onebot.message import Segment, escape, to_cq
from lgtwist.onebot.values import read_integer

#: The scenes that an implementation sends.
_SCENES = (GROUP, FRIEND, TEMP)
_ROLES = ("member", "admin", "owner")
_SEXES = ("unknown", "male", "female")
#: Characters of a text that is escaped without counting first.
_SHORT_TEXT = 65_536


def read_key(message: Any) -> MessageKey | None:
    """Return what names a message, from an ``IncomingMessage`` or from the ``data`` of a recall.

    :returns: None if it has no known scene, no peer or no sequence number.
    """
    if type(message) is not dict:
        return None
    scene, peer_id, seq = message.get("message_scene"), message.get("peer_id"), message.get("message_seq")
    if scene not in _SCENES:
        return None
    if type(peer_id) is not int or not 0 < peer_id < 1 << 53:
        peer_id = number_at(message, "peer_id")
    if type(seq) is not int or not 0 <= seq < 1 << 53:
        seq = read_integer(seq)
        if seq is None or not 0 <= seq < 1 << 53:
            return None
    return MessageKey(scene, peer_id, seq) if peer_id else None


def message_data(
    message: dict[str, Any],
    key: MessageKey,
    *,
    self_id: int,
    ids: MessageIds,
    time: int = 0,
    unknown: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Return an ``IncomingMessage`` as the ``data`` of ``get_msg``, which the events of messages have too.

    An event has ``post_type`` besides. ``message`` is an array. The account's own messages have
    ``target_id``: the peer.

    :param key: what :func:`read_key` returned for it.
    :param time: seconds since the epoch, for a message that does not say when it was sent.
    :param unknown: see :func:`to_onebot`.
    """
    sender_id = number_at(message, "sender_id")
    segments = to_onebot(message.get("segments"), key.conversation, ids, unknown)
    message_id = ids.id_of(key)
    data: dict[str, Any] = {
        "time": number_at(message, "time") or time,
        "self_id": self_id,
        "message_type": "private",
        "sub_type": "friend",
        "message_id": message_id,
        "real_id": key.seq,
        "message_seq": key.seq,
        "user_id": sender_id,
        "message": segments,
        "message_format": "array",
        "raw_message": raw_message_of(segments),
        "font": 0,
    }
    if key.scene == GROUP:
        data["message_type"], data["sub_type"] = "group", "normal"
        data["group_id"] = key.peer_id
        data["group_name"] = text_at(object_at(message, "group"), "group_name")
        data["anonymous"] = None
        data["sender"] = member_sender(sender_id, object_at(message, "group_member"))
    else:
        friend = object_at(message, "friend")
        if number_at(friend, "user_id") != sender_id:  # of an own message it may be the other person
            friend = {}
        sender = data["sender"] = friend_sender(sender_id, friend)
        if key.scene == TEMP:
            data["sub_type"], data["temp_source"] = "group", 0
            group_id = number_at(object_at(message, "group"), "group_id")
            if group_id:
                data["group_id"] = sender["group_id"] = group_id
    if sender_id == self_id:
        data["target_id"] = key.peer_id
    return data


def raw_message_of(segments: list[Segment]) -> str:
    """Return the ``raw_message`` of a message: a string with CQ codes.

    :returns: a text that says so where it would have more than ``MAX_GROWN`` characters: the event has the
        segments besides.
    """
    if len(segments) == 1 and segments[0]["type"] == "text":
        text: str = segments[0]["data"]["text"]
        if len(text) <= _SHORT_TEXT:
            return escape(text)
    try:
        return to_cq(segments, MAX_GROWN)
    except OverBound:
        return "[the message is too long for a string]"


def friend_sender(user_id: int, friend: dict[str, Any]) -> dict[str, Any]:
    """Return the ``sender`` of a private message.

    :param friend: the ``FriendEntity``; empty if it is not known.
    """
    return {"user_id": user_id, "nickname": text_at(friend, "nickname"), "sex": sex_of(friend), "age": 0}


def member_sender(user_id: int, member: dict[str, Any]) -> dict[str, Any]:
    """Return the ``sender`` of a group message.

    :param member: the ``GroupMemberEntity``; empty if it is not known.
    """
    return {
        "user_id": user_id,
        "nickname": text_at(member, "nickname"),
        "card": text_at(member, "card"),
        "sex": sex_of(member),
        "age": 0,
        "area": "",
        "level": str(number_at(member, "level")),
        "role": role_of(member),
        "title": text_at(member, "title"),
    }


def sex_of(entity: dict[str, Any]) -> str:
    """Return ``male``, ``female`` or ``unknown``."""
    sex = entity.get("sex")
    return sex if sex in _SEXES else "unknown"


def role_of(member: dict[str, Any]) -> str:
    """Return ``owner``, ``admin`` or ``member``."""
    role = member.get("role")
    return role if role in _ROLES else "member"


# -- forwarded messages

#: Where the URL of an avatar has the person's number.
_AVATAR_NUMBER = re.compile(r"[?&](?:nk|dst_uin)=([1-9][0-9]{4,9})(?:&|$)")


def forwarded_sender(message: dict[str, Any]) -> int:
    """Return the number of who sent an ``IncomingForwardedMessage``; 0 if its avatar's URL has none."""
    found = _AVATAR_NUMBER.search(text_at(message, "avatar_url"))
    return int(found[1]) if found else 0


def forward_data(
    messages: Any, ids: MessageIds, unknown: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Return the messages of a forward as the ``data`` of ``get_forward_msg``.

    It has ``messages``, as go-cqhttp and NapCat have them, and ``message``: nodes, as OneBot 11 has them.

    :param messages: the list of ``IncomingForwardedMessage``; what is none in it is left out.
    """
    forwarded: list[dict[str, Any]] = []
    nodes: list[Segment] = []
    for message in objects_at({"messages": messages}, "messages"):
        content = to_onebot(list_at(message, "segments"), None, ids, unknown)
        user_id, nickname = forwarded_sender(message), text_at(message, "sender_name")
        time = number_at(message, "time")
        forwarded.append(
            {
                "content": content,
                "message": content,
                "message_format": "array",
                "sender": {"user_id": user_id, "nickname": nickname},
                "time": time,
            }
        )
        nodes.append(
            {
                "type": "node",
                "data": {
                    "user_id": str(user_id),
                    "nickname": nickname,
                    "content": content,
                    "time": time,
                },
            }
        )
    return {"messages": forwarded, "message": nodes}
