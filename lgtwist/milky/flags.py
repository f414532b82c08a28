"""The ``flag`` of requests in OneBot 11: a text with all that Milky's answer to the request needs.

So no table of requests is wanted, and a flag is good after any restart.
"""

from __future__ import annotations

from typing import Final

import msgspec

#: The kinds of requests about groups: somebody asks to join, somebody invites another person, somebody
#: invites the account.
JOIN_REQUEST: Final = "join_request"
INVITED_JOIN_REQUEST: Final = "invited_join_request"
INVITATION: Final = "invitation"

_FRIEND = "friend"
#: Digits that a number in a flag may have: those of 2^63.
_MOST_DIGITS = 19


class FriendFlag(msgspec.Struct, frozen=True):
    """A friend request.

    :ivar uid: Milky's ``initiator_uid``; empty where the implementation did not tell it.
    :ivar is_filtered: whether QQ put it aside as dubious.
    """

    uid: str
    is_filtered: bool = False


class GroupFlag(msgspec.Struct, frozen=True):
    """A request about a group.

    :ivar kind: :data:`JOIN_REQUEST`, :data:`INVITED_JOIN_REQUEST` or :data:`INVITATION`.
    :ivar group_id: the group.
    :ivar seq: Milky's ``notification_seq``, or ``invitation_seq``.
    :ivar is_filtered: whether QQ put it aside as dubious; only of :data:`JOIN_REQUEST`.
    """

    kind: str
    group_id: int
    seq: int
    is_filtered: bool = False


def encode_flag(flag: FriendFlag | GroupFlag) -> str:
    """Return the text of a flag."""
    if isinstance(flag, FriendFlag):
        return f"{_FRIEND}|{flag.uid}|{flag.is_filtered:d}"
    text = f"{flag.kind}|{flag.group_id}|{flag.seq}"
    return text if flag.kind == INVITATION else f"{text}|{flag.is_filtered:d}"


def read_flag(text: str) -> FriendFlag | GroupFlag | None:
    """Return what :func:`encode_flag` made a text of; None for any other text."""
    kind, _bar, rest = text.partition("|")
    if kind == _FRIEND:
        uid, bar, filtered = rest.rpartition("|")  # a uid is opaque: it may have bars
        return FriendFlag(uid, filtered == "1") if bar and filtered in ("0", "1") else None
    parts = rest.split("|")
    if kind == INVITATION:
        parts.append("0")
    elif kind not in (JOIN_REQUEST, INVITED_JOIN_REQUEST):
        return None
    if len(parts) != 3 or parts[2] not in ("0", "1") or not all(map(_is_whole_number, parts[:2])):
        return None
    return GroupFlag(kind, int(parts[0]), int(parts[1]), parts[2] == "1")


def _is_whole_number(text: str) -> bool:
    """Return whether a text is a whole number as Python writes it, not below 0."""
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and text == str(int(text))


__all__ = [
    "INVITATION",
    "INVITED_JOIN_REQUEST",
    "JOIN_REQUEST",
    "FriendFlag",
    "GroupFlag",
    "encode_flag",
    "read_flag",
]
