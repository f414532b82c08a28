"""The records of a world. Each is one JSON object, in the store and in a world's file.

Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from lgtwist.onebot.message import Segment
from lgtwist.sandbox.bounds import LARGE, json_parts

#: The roles of members, in ascending order of rank.
ROLES = ("member", "admin", "owner")


class Person(msgspec.Struct, omit_defaults=True):
    """Somebody with a number (``user_id``), the account included.

    :ivar sex: ``male``, ``female`` or ``unknown``.
    :ivar friend: whether the person is a friend of the account.
    :ivar remark: the account's own name for a friend.
    :ivar likes: how often the account liked the person.
    """

    user_id: int
    nickname: str
    sex: str = "unknown"
    age: int = 0
    friend: bool = False
    remark: str = ""
    likes: int = 0


class Member(msgspec.Struct, omit_defaults=True):
    """A person in a group.

    :ivar role: one of :data:`ROLES`.
    :ivar banned_until: when the member may send messages again; 0 if not banned.
    """

    user_id: int
    role: str = "member"
    card: str = ""
    title: str = ""
    level: str = "1"
    join_time: int = 0
    last_sent_time: int = 0
    banned_until: int = 0


class Announcement(msgspec.Struct, omit_defaults=True):
    """An announcement in a group.

    :ivar image: the URL of its picture; empty for none.
    """

    notice_id: str
    sender_id: int
    time: int
    text: str
    image: str = ""


class Group(msgspec.Struct, omit_defaults=True):
    """A group and its members.

    :ivar whole_ban: whether only admins may send messages.
    :ivar anonymous: whether anonymous messages are allowed.
    :ivar anonymous_bans: the ends of bans, by the ``flag`` of the anonymous author.
    :ivar portrait: the URL of its picture; empty for none.
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
        """Return the member with that number, or None."""
        for member in self.members:
            if member.user_id == user_id:
                return member
        return None

    def rank(self, user_id: int) -> int:
        """Return the index of a member's role in :data:`ROLES`; -1 for somebody who is not a member."""
        member = self.member(user_id)
        return -1 if member is None else ROLES.index(member.role)


class Essence(msgspec.Struct):
    """Who marked a message as an essence of its group, and when."""

    operator_id: int
    time: int


class Message(msgspec.Struct, omit_defaults=True):
    """A message that a person or the account has sent.

    :ivar user_id: who sent it.
    :ivar peer_id: in a private chat, the person who is not the account; else None.
    :ivar group_id: the group, or None in a private chat.
    :ivar anonymous: the sender's name in an anonymous message; else empty.
    :ivar likes: the numbers of who reacted, by emoji.
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
        """The chat of the message: ``group`` or ``private``, and the number of the group or of the person."""
        if self.group_id is not None:
            return "group", self.group_id
        return "private", self.peer_id or self.user_id


class PendingRequest(msgspec.Struct, omit_defaults=True):
    """A pending request: for friendship, to join a group, or for the account to join one.

    :ivar flag: the name by which it is answered.
    :ivar request_type: ``friend`` or ``group``.
    :ivar sub_type: ``add`` or ``invite`` for a group; else empty.
    """

    flag: str
    request_type: str
    user_id: int
    comment: str
    time: int
    sub_type: str = ""
    group_id: int | None = None


class Forward(msgspec.Struct, omit_defaults=True):
    """Several messages that were sent as one; the nodes are those of ``message/segment.md``."""

    forward_id: str
    time: int
    nodes: list[Segment]


class GroupFile(msgspec.Struct, omit_defaults=True):
    """A file that was uploaded to a group.

    :ivar size: bytes.
    :ivar media: the name of the stored file.
    :ivar user_id: who uploaded it.
    """

    file_id: str
    group_id: int
    name: str
    size: int
    media: str
    user_id: int
    time: int


Record = Person | Group | Message | PendingRequest | Forward | GroupFile

#: The types of records, by their names in the store.
RECORD_TYPES: dict[str, type[Record]] = {
    "person": Person,
    "group": Group,
    "message": Message,
    "request": PendingRequest,
    "forward": Forward,
    "file": GroupFile,
}


def unused_name(prefix: str, used: Collection[str]) -> str:
    """Return ``prefix-N`` with a number that makes it differ from all used names."""
    number = len(used) + 1
    while f"{prefix}-{number}" in used:
        number += 1
    return f"{prefix}-{number}"


def record_key(record: Record) -> tuple[str, str]:
    """Return the type and the key of a record, as the store has them."""
    if isinstance(record, Person):
        return "person", str(record.user_id)
    if isinstance(record, Group):
        return "group", str(record.group_id)
    if isinstance(record, Message):
        return "message", str(record.message_id)
    if isinstance(record, PendingRequest):
        return "request", record.flag
    if isinstance(record, Forward):
        return "forward", record.forward_id
    return "file", record.file_id


def record_parts(record: Record) -> Iterator[bytes]:
    """Yield the JSON of a record; of a large message in parts, of which each takes less than 50 ms."""
    if isinstance(record, Message) and len(record.raw_message) >= LARGE:
        small = msgspec.structs.replace(record, raw_message="", message=[])
        texts = {"raw_message": record.raw_message, "message": record.message}
        yield from json_parts({**msgspec.to_builtins(small), **texts})
    elif isinstance(record, Forward):  # its size is not known here
        yield from json_parts(msgspec.structs.asdict(record))
    else:
        yield msgspec.json.encode(record)


def encode_for_store(record: Record) -> bytes:
    """Return the JSON of a record for the store.

    A large message has an empty ``raw_message`` there, which is made again when it is read.
    """
    if isinstance(record, Message) and len(record.raw_message) >= LARGE:
        record = msgspec.structs.replace(record, raw_message="")
        return b"".join(json_parts(msgspec.to_builtins(record)))
    if isinstance(record, Forward):  # its size is not known here
        return b"".join(json_parts(msgspec.structs.asdict(record)))
    return msgspec.json.encode(record)


class WorldFile(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A world as one JSON file; the account itself is one of the people.

    :ivar self_id: the account's number. Another account may load the file, and takes its place.
    :ivar last_message_id: messages get numbers above this one, and above those of the messages in the file.
    """

    self_id: int
    people: list[Person] = []
    groups: list[Group] = []
    requests: list[PendingRequest] = []
    messages: list[Message] = []
    forwards: list[Forward] = []
    files: list[GroupFile] = []
    last_message_id: int = 0
