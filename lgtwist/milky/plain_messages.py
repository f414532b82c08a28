"""Messages of the most frequent kinds as events, with a third of the work that others take.

They are those of groups and friends that have all members of the right types. Their events have the same
members as those that are made with :func:`~lgtwist.milky.messages.message_data`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from lgtwist.milky.frames import Count, Number
from lgtwist.milky.incoming import to_onebot
from lgtwist.milky.keys import GROUP, MessageIds, MessageKey
from lgtwist.milky.messages import raw_message_of
from lgtwist.onebot.bounds import MAX_DECODED_VALUES
from lgtwist.onebot.rawjson import DECODE_ERRORS


class _PlainGroup(msgspec.Struct, gc=False):
    group_name: str


class _PlainMember(msgspec.Struct, gc=False):
    nickname: str
    card: str
    title: str
    sex: str
    role: str
    level: Count


class _PlainFriend(msgspec.Struct, gc=False):
    user_id: Number
    nickname: str
    sex: str


class PlainMessage(msgspec.Struct, gc=False):
    """What is read of an ``IncomingMessage``.

    Strings of which there are few are not checked here: that takes longer than comparing them.
    """

    message_scene: str
    peer_id: Number
    message_seq: Number
    sender_id: Number
    time: Number
    segments: Raw
    group: _PlainGroup | None = None
    group_member: _PlainMember | None = None
    friend: _PlainFriend | None = None


class PlainFrame(msgspec.Struct, gc=False):
    """A frame of the event stream with such a message."""

    event_type: str
    self_id: Number
    data: PlainMessage


class _MemberSender(msgspec.Struct, gc=False):
    user_id: int
    nickname: str
    card: str
    sex: str
    level: str
    role: str
    title: str
    age: int = 0
    area: str = ""


class _FriendSender(msgspec.Struct, gc=False):
    user_id: int
    nickname: str
    sex: str
    age: int = 0


class _GroupMessage(msgspec.Struct, gc=False):
    time: int
    self_id: int
    message_id: int
    real_id: int
    message_seq: int
    group_id: int
    group_name: str
    user_id: int
    message: Any
    raw_message: Any
    sender: _MemberSender
    post_type: str = "message"
    message_type: str = "group"
    sub_type: str = "normal"
    message_format: str = "array"
    font: int = 0
    anonymous: None = None


class _FriendMessage(msgspec.Struct, gc=False):
    time: int
    self_id: int
    message_id: int
    real_id: int
    message_seq: int
    user_id: int
    message: Any
    raw_message: Any
    sender: _FriendSender
    post_type: str = "message"
    message_type: str = "private"
    sub_type: str = "friend"
    message_format: str = "array"
    font: int = 0


_decode_plain_frame = msgspec.json.Decoder(PlainFrame).decode
_decode_segments = msgspec.json.Decoder(list[Any]).decode
_encode_plain_event = msgspec.json.Encoder().encode
_KNOWN_SEXES = frozenset(("unknown", "male", "female"))
_KNOWN_ROLES = frozenset(("member", "admin", "owner"))
#: Segments that are one text without anything that is escaped in JSON or in CQ codes: they stay as they are,
#: and so does the text. Longer ones are decoded as fast.
_ONE_TEXT = re.compile(rb'\[\{"type":"text","data":\{"text":("[^"\\&\[\]\x00-\x1f]{0,1000}")\}\}\]').fullmatch


def read_plain_frame(text: bytes) -> PlainFrame | None:
    """Return what is read of a frame; None if it is none with such a message, or a long one."""
    try:
        frame = _decode_plain_frame(text) if len(text) < MAX_DECODED_VALUES else None
    except DECODE_ERRORS:
        return None
    return frame if frame is not None and frame.event_type == "message_receive" else None


def encode_plain_message(
    message: PlainMessage,
    key: MessageKey,
    self_id: int,
    ids: MessageIds,
    unknown: Callable[[str], None],
) -> bytes | None:
    """Return the event of another's message; None if something of it is not as others have it.

    :param unknown: see :func:`to_onebot`.
    """
    sender_id, seq, segments = message.sender_id, message.message_seq, message.segments
    is_group = message.message_scene == GROUP
    group, member, friend = message.group, message.group_member, message.friend
    if is_group:
        if (
            group is None
            or member is None
            or member.sex not in _KNOWN_SEXES
            or member.role not in _KNOWN_ROLES
        ):
            return None
    elif friend is None or friend.user_id != sender_id or friend.sex not in _KNOWN_SEXES:
        return None
    shown: Any = segments
    raw_message: Any
    one_text = _ONE_TEXT(segments)
    if one_text is not None and (one_text[1].isascii() or _is_utf8(one_text[1])):
        raw_message = Raw(one_text[1])
    else:
        try:
            decoded = _decode_segments(segments)
        except DECODE_ERRORS:
            return None
        shown = to_onebot(decoded, key.conversation, ids, unknown)
        raw_message = raw_message_of(shown)
    message_id = ids.id_of(key)
    if is_group:
        assert group is not None
        assert member is not None
        return _encode_plain_event(
            _GroupMessage(
                message.time,
                self_id,
                message_id,
                seq,
                seq,
                message.peer_id,
                group.group_name,
                sender_id,
                shown,
                raw_message,
                _MemberSender(
                    sender_id,
                    member.nickname,
                    member.card,
                    member.sex,
                    str(member.level),
                    member.role,
                    member.title,
                ),
            )
        )
    assert friend is not None
    return _encode_plain_event(
        _FriendMessage(
            message.time,
            self_id,
            message_id,
            seq,
            seq,
            sender_id,
            shown,
            raw_message,
            _FriendSender(sender_id, friend.nickname, friend.sex),
        )
    )


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
