"""The stub's events of friends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class FriendMessage:
    """Somebody says something."""

    from_uin: int
    from_uid: str
    to_uin: int
    seq: int
    timestamp: int
    msg: str
    msg_chain: list[Any]


class FriendRecall:
    """Does not happen."""
