"""What a world is made of. Each thing is one JSON object in the store."""

from __future__ import annotations

from typing import Any

import msgspec

#: One message segment: ``{"type": ..., "data": {...}}`` (OneBot 11, ``message/array.md``).
Segment = dict[str, Any]

ROLES = ("member", "admin", "owner")  # the higher, the later


class Person(msgspec.Struct):
    """Somebody with a number.

    :ivar friend: whether they are a friend of the bot's account.
    :ivar remark: what the account calls them.
    """

    user_id: int
    nickname: str
    sex: str = "unknown"
    age: int = 0
    friend: bool = False
    remark: str = ""


class Member(msgspec.Struct):
    """A person in a group. Times are seconds since the epoch; ``banned_until`` is 0 for not banned."""

    user_id: int
    role: str = "member"
    card: str = ""
    title: str = ""
    level: str = "1"
    join_time: int = 0
    last_sent_time: int = 0
    banned_until: int = 0


class Group(msgspec.Struct):
    """A group and who is in it."""

    group_id: int
    group_name: str
    members: dict[int, Member]
    max_member_count: int = 200
    create_time: int = 0

    def highest(self, user_id: int) -> int:
        """The rank of a member's role; -1 if not a member."""
        member = self.members.get(user_id)
        return -1 if member is None else ROLES.index(member.role)


class Message(msgspec.Struct):
    """Something that was said, by a person or by the account.

    :ivar user_id: who said it.
    :ivar peer_id: in a private chat, the person who is not the account.
    :ivar group_id: the group, or None in a private chat.
    """

    message_id: int
    time: int
    user_id: int
    message: list[Segment]
    raw_message: str
    group_id: int | None = None
    peer_id: int | None = None
    recalled: bool = False

    @property
    def chat(self) -> tuple[str, int]:
        """Where it was said."""
        if self.group_id is not None:
            return "group", self.group_id
        return "private", self.peer_id or self.user_id


class Request(msgspec.Struct):
    """Somebody asks for something: to be a friend, to join a group, or that the account joins one."""

    flag: str
    request_type: str
    user_id: int
    comment: str
    time: int
    sub_type: str = ""
    group_id: int | None = None


Record = Person | Group | Message | Request

#: The kinds of records, by their names in the store.
KINDS: dict[str, type[Record]] = {
    "person": Person,
    "group": Group,
    "message": Message,
    "request": Request,
}
