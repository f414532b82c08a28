"""What a world is made of. Each thing is one JSON object, in the store and in a world's file.

Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from lgtwist.onebot.message import Segment

ROLES = ("member", "admin", "owner")  # the higher, the later


class Person(msgspec.Struct, omit_defaults=True):
    """Somebody with a number.

    :ivar friend: whether they are a friend of the bot's account.
    :ivar remark: what the account calls them.
    :ivar likes: how often the account liked them.
    """

    user_id: int
    nickname: str
    sex: str = "unknown"
    age: int = 0
    friend: bool = False
    remark: str = ""
    likes: int = 0


class Member(msgspec.Struct, omit_defaults=True):
    """A person in a group; ``banned_until`` is 0 for not banned."""

    user_id: int
    role: str = "member"
    card: str = ""
    title: str = ""
    level: str = "1"
    join_time: int = 0
    last_sent_time: int = 0
    banned_until: int = 0


class Announcement(msgspec.Struct, omit_defaults=True):
    """An announcement in a group."""

    notice_id: str
    sender_id: int
    time: int
    text: str
    image: str = ""


class Group(msgspec.Struct, omit_defaults=True):
    """A group and who is in it.

    :ivar anonymous_bans: until when whom, by the flag of their anonymity.
    """

    group_id: int
    group_name: str
    members: list[Member]
    max_member_count: int = 200
    create_time: int = 0
    whole_ban: bool = False
    anonymous: bool = True
    anonymous_bans: dict[str, int] = {}
    portrait: str = ""
    notices: list[Announcement] = []

    def member(self, user_id: int) -> Member | None:
        """Somebody in the group, or None."""
        for member in self.members:
            if member.user_id == user_id:
                return member
        return None

    def rank(self, user_id: int) -> int:
        """The rank of a member's role; -1 if not a member."""
        member = self.member(user_id)
        return -1 if member is None else ROLES.index(member.role)


class Essence(msgspec.Struct):
    """That a message is one of a group's best, and who said so."""

    operator_id: int
    time: int


class Message(msgspec.Struct, omit_defaults=True):
    """Something that was said, by a person or by the account.

    :ivar user_id: who said it.
    :ivar peer_id: in a private chat, the person who is not the account.
    :ivar group_id: the group, or None in a private chat.
    :ivar anonymous: the name under which it was said anonymously.
    :ivar likes: who reacted with which emoji.
    """

    message_id: int
    time: int
    user_id: int
    message: list[Segment]
    raw_message: str
    group_id: int | None = None
    peer_id: int | None = None
    recalled: bool = False
    anonymous: str = ""
    essence: Essence | None = None
    likes: dict[str, list[int]] = {}

    @property
    def chat(self) -> tuple[str, int]:
        """Where it was said."""
        if self.group_id is not None:
            return "group", self.group_id
        return "private", self.peer_id or self.user_id


class Request(msgspec.Struct, omit_defaults=True):
    """Somebody asks for something: to be a friend, to join a group, or that the account joins one."""

    flag: str
    request_type: str
    user_id: int
    comment: str
    time: int
    sub_type: str = ""
    group_id: int | None = None


class Forward(msgspec.Struct, omit_defaults=True):
    """A bundle of messages that was sent as one; the nodes as in ``message/segment.md``."""

    forward_id: str
    time: int
    nodes: list[Segment]


class GroupFile(msgspec.Struct, omit_defaults=True):
    """A file that was uploaded into a group.

    :ivar media: the kept file.
    """

    file_id: str
    group_id: int
    name: str
    size: int
    media: str
    user_id: int
    time: int


Record = Person | Group | Message | Request | Forward | GroupFile

#: The kinds of records, by their names in the store.
RECORD_TYPES: dict[str, type[Record]] = {
    "person": Person,
    "group": Group,
    "message": Message,
    "request": Request,
    "forward": Forward,
    "file": GroupFile,
}


def unused_name(prefix: str, used: Collection[str]) -> str:
    """A name that nobody has: the prefix and a number."""
    number = len(used) + 1
    while f"{prefix}-{number}" in used:
        number += 1
    return f"{prefix}-{number}"


def record_key(record: Record) -> tuple[str, str]:
    """Kind and key of a record, as the store has them."""
    if isinstance(record, Person):
        return "person", str(record.user_id)
    if isinstance(record, Group):
        return "group", str(record.group_id)
    if isinstance(record, Message):
        return "message", str(record.message_id)
    if isinstance(record, Request):
        return "request", record.flag
    if isinstance(record, Forward):
        return "forward", record.forward_id
    return "file", record.file_id


class WorldFile(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A whole world in one JSON file. The account itself is one of the people.

    :ivar self_id: whose world it was; a world may be loaded for another account, which takes its place.
    """

    self_id: int
    people: list[Person] = []
    groups: list[Group] = []
    requests: list[Request] = []
    messages: list[Message] = []
    forwards: list[Forward] = []
    files: list[GroupFile] = []
