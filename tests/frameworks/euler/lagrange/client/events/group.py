"""The stub's events of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class GroupMessage:
    """Somebody says something in a group."""

    uin: int
    uid: str
    seq: int
    time: int
    grp_id: int
    grp_name: str
    nickname: str
    msg: str
    msg_chain: list[Any]


class GroupRecall:
    """Does not happen."""


class GroupMuteMember:
    """Does not happen."""


class GroupMemberJoined:
    """Does not happen."""


class GroupMemberJoinedByInvite:
    """Does not happen."""


class GroupMemberQuit:
    """Does not happen."""


class GroupNudge:
    """Does not happen."""


class GroupReaction:
    """Does not happen."""
