"""A world: who is there, and what was said in it.

Pure. Time is handed in; events and changes are collected and fetched by whoever drives the world:
:meth:`World.take_events` for the bots, :meth:`World.take_changes` for the store. What else happens in a
world is in ``deeds``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.onebot.message import Segment, read_message, to_cq
from lgtwist.sandbox.world.model import (
    ROLES,
    Forward,
    Group,
    GroupFile,
    Member,
    Message,
    Person,
    Record,
    Request,
    WorldFile,
    record_key,
    unused_name,
)

#: How many messages of one chat are kept, and how many forwarded bundles.
MAX_CHAT_MESSAGES = 1000
#: How many bytes all messages, and all bundles, of a world may take about; the oldest go.
MAX_BYTES = 64 << 20


class PlatformError(OneBotError):
    """The platform does not do it. 100 and 103 are CoolQ's numbers: not there, no right to."""

    def __init__(self, sentence: str, retcode: int = 100) -> None:
        super().__init__(sentence)
        self.retcode = retcode  # type: ignore[misc]  # here each one has its own


def permission_denied(sentence: str) -> PlatformError:
    """The account or the person has not the right to."""
    return PlatformError(sentence, 103)


class World:
    """One account and everybody around it.

    :param self_id: the account's number.
    :param nickname: its name, where the store knows none.
    """

    def __init__(self, self_id: int, nickname: str = "lgtwist") -> None:
        self.self_id = self_id
        self.people: dict[int, Person] = {self_id: Person(self_id, nickname)}
        self.groups: dict[int, Group] = {}
        self.requests: dict[str, Request] = {}
        self.messages: dict[int, Message] = {}  # in the order in which they were said
        self.forwards: dict[str, Forward] = {}
        self.files: dict[str, GroupFile] = {}
        self._chats: dict[tuple[str, int], deque[int]] = {}
        self._last_message_id = 0
        self._message_bytes = self._forward_bytes = 0
        self._events: list[dict[str, Any]] = []
        self._changes: dict[tuple[str, str], Record | None] = {}

    # -- beginning, loading, saving

    @classmethod
    def with_example_people(cls, self_id: int, now: int) -> World:
        """A world to begin with: three people and a group."""
        world = cls(self_id)
        alice, bob, carol = (
            Person(20001, "Alice", friend=True),
            Person(20002, "Bob", friend=True),
            Person(20003, "Carol"),
        )
        for person in (world.people[self_id], alice, bob, carol):
            world.put(person)
        members = [
            Member(alice.user_id, "owner", join_time=now),
            Member(self_id, "admin", join_time=now),
            Member(bob.user_id, join_time=now),
            Member(carol.user_id, join_time=now),
        ]
        world.put(Group(30001, "Playground", members, create_time=now))
        return world

    @classmethod
    def from_file(cls, self_id: int, file: WorldFile) -> World:
        """A world as it was saved; the account takes the place of the one whose world it was.

        :raises ValueError: if it does not hold together, with a sentence that says where.
        """
        world = cls(self_id)

        def replace_self_id(number: int | None) -> int | None:
            return self_id if number == file.self_id else number

        for person in file.people:
            person.user_id = replace_self_id(person.user_id) or 0
        for group in file.groups:
            for member in group.members:
                member.user_id = replace_self_id(member.user_id) or 0
        file.messages.sort(key=lambda said: said.message_id)
        for number, said in enumerate(file.messages):
            try:
                said.message = read_message(said.message, f"messages[{number}].message")
            except BadRequest as error:
                raise ValueError(error.sentence) from None
            said.user_id, said.peer_id = replace_self_id(said.user_id) or 0, replace_self_id(said.peer_id)
            said.raw_message = to_cq(said.message)
        for records in (
            file.people, file.groups, file.requests, file.messages, file.forwards, file.files,
        ):  # fmt: skip
            for record in records:
                world.put(record)
        world.put(world.people[self_id])
        for number, group in enumerate(file.groups):
            for member in group.members:
                if member.user_id not in world.people:
                    raise ValueError(f"groups[{number}]: there is no person {member.user_id}")
                if member.role not in ROLES:
                    raise ValueError(f"groups[{number}]: role must be one of {', '.join(ROLES)}")
        return world

    def to_file(self) -> WorldFile:
        """The world as it is now."""
        return WorldFile(
            self.self_id,
            list(self.people.values()),
            list(self.groups.values()),
            list(self.requests.values()),
            list(self.messages.values()),
            list(self.forwards.values()),
            list(self.files.values()),
        )

    def load_records(self, records: Iterable[Record]) -> None:
        """Take in what the store has kept; messages in the order in which they were said."""
        for record in records:
            self._insert(record)

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody but the account."""
        return len(self.people) == 1 and not self.groups

    # -- fetched by who drives the world

    def pop_events(self) -> list[dict[str, Any]]:
        """What the bots are to be told, since the last time."""
        self._events, events = [], self._events
        return events

    def pop_changes(self) -> dict[tuple[str, str], Record | None]:
        """What the store has to write, since the last time: kind and key, and the record or its end."""
        self._changes, changes = {}, self._changes
        return changes

    def add_event(self, event: dict[str, Any], now: int) -> None:
        """The bots are told of an event; time and account are put in here."""
        self._events.append({"time": now, "self_id": self.self_id, **event})

    # -- records

    def put(self, record: Record) -> None:
        """Place a record, new or changed."""
        self._insert(record)
        self._changes[record_key(record)] = record

    def remove(self, record: Record) -> None:
        """Take a record out of the world."""
        gone = self._table(record).pop(_table_key(record), None)
        if isinstance(gone, Message):
            self._message_bytes -= len(gone.raw_message)
        elif isinstance(gone, Forward):
            self._forward_bytes -= len(to_cq(gone.nodes))
        self._changes[record_key(record)] = None

    def _table(self, record: Record) -> dict[Any, Any]:
        tables: dict[type, dict[Any, Any]] = {
            Person: self.people,
            Group: self.groups,
            Message: self.messages,
            Request: self.requests,
            Forward: self.forwards,
            GroupFile: self.files,
        }
        return tables[type(record)]

    def _insert(self, record: Record) -> None:
        if isinstance(record, Message) and record.message_id not in self.messages:
            self._chats.setdefault(record.chat, deque()).append(record.message_id)
            self._last_message_id = max(self._last_message_id, record.message_id)
            self._message_bytes += len(record.raw_message)
        elif isinstance(record, Forward) and record.forward_id not in self.forwards:
            self._forward_bytes += len(to_cq(record.nodes))
        self._table(record)[_table_key(record)] = record

    # -- looking up

    def person(self, user_id: int) -> Person:
        """Somebody.

        :raises Failed: if there is no such person.
        """
        found = self.people.get(user_id)
        if found is None:
            raise PlatformError(f"there is no person {user_id}")
        return found

    def group(self, group_id: int) -> Group:
        """A group that the account is in.

        :raises Failed: if there is none.
        """
        found = self.groups.get(group_id)
        if found is None or found.member(self.self_id) is None:
            raise PlatformError(f"the account is in no group {group_id}")
        return found

    def member(self, group: Group, user_id: int) -> Member:
        """Somebody in a group.

        :raises Failed: if they are not in it.
        """
        found = group.member(user_id)
        if found is None:
            raise PlatformError(f"{user_id} is not in group {group.group_id}")
        return found

    def message(self, message_id: int) -> Message:
        """Something that was said, and not recalled since.

        :raises Failed: if there is no such message.
        """
        found = self.messages.get(message_id)
        if found is None or found.recalled:
            raise PlatformError(f"there is no message {message_id}")
        return found

    def chat_messages(self, kind: str, chat_id: int) -> list[Message]:
        """What was said in one chat and not recalled, oldest first."""
        messages = (self.messages[number] for number in self._chats.get((kind, chat_id), ()))
        return [said for said in messages if not said.recalled]

    def sender_fields(self, message: Message) -> dict[str, Any]:
        """The ``sender`` of a message, as events and ``get_msg`` show it."""
        person = self.people.get(message.user_id) or Person(message.user_id, str(message.user_id))
        message_fields: dict[str, Any] = {
            "user_id": person.user_id,
            "nickname": message.anonymous or person.nickname,
            "sex": person.sex,
            "age": person.age,
        }
        if message.group_id is not None:
            group = self.groups.get(message.group_id)
            member = (group.member(person.user_id) if group else None) or Member(person.user_id)
            message_fields |= {
                "card": member.card,
                "area": "",
                "level": member.level,
                "role": member.role,
                "title": member.title,
            }
        return message_fields

    def message_fields(self, said: Message) -> dict[str, Any]:
        """A message as ``get_msg`` and the histories show it."""
        kind, chat_id = said.chat
        fields = {
            "time": said.time,
            "message_type": kind,
            "message_id": said.message_id,
            "message_seq": said.message_id,
            "real_id": said.message_id,
            "user_id": said.user_id,
            "sender": self.sender_fields(said),
            "message": said.message,
            "raw_message": said.raw_message,
        }
        fields["group_id" if kind == "group" else "target_id"] = chat_id
        return fields

    # -- saying

    def send_as_person(
        self,
        user_id: int,
        message: list[Segment],
        now: int,
        group_id: int | None = None,
        anonymous: bool = False,
    ) -> Message:
        """A person says something, to the account or in a group; the bots are told.

        :raises Failed: if the person is not there, not in the group, or may not speak in it.
        """
        if user_id == self.self_id:
            raise PlatformError("the account itself speaks through its bots")
        person = self.person(user_id)
        name, flag = "", f"anonymous-{group_id}-{user_id}"
        sub_type = "friend" if person.friend else "group" if self._shares_group(user_id) else "other"
        if group_id is not None:
            group = self.group(group_id)
            member = self.member(group, user_id)
            self._check_may_speak(group, member, now)
            if anonymous:
                if not group.anonymous or group.anonymous_bans.get(flag, 0) > now:
                    raise permission_denied(f"{user_id} may not be anonymous in group {group_id}")
                name = f"Anonymous {user_id % 97}"
            member.last_sent_time = now
            self.put(group)
            sub_type = "anonymous" if anonymous else "normal"
        said = self._add_message(user_id, message, now, group_id, user_id, name)
        event: dict[str, Any] = {
            "post_type": "message",
            "message_type": "private" if group_id is None else "group",
            "sub_type": sub_type,
            "message_id": said.message_id,
            "user_id": user_id,
            "message": said.message,
            "raw_message": said.raw_message,
            "font": 0,
            "sender": self.sender_fields(said),
        }
        if group_id is not None:
            who = {"id": user_id % 97, "name": name, "flag": flag} if anonymous else None
            event |= {"group_id": group_id, "anonymous": who}
        self.add_event(event, now)
        return said

    def _check_may_speak(self, group: Group, member: Member, now: int) -> None:
        silenced = group.whole_ban and member.role == "member"
        if silenced or member.banned_until > now:
            raise permission_denied(f"{member.user_id} is banned in group {group.group_id}")

    def send_as_account(
        self,
        message: list[Segment],
        now: int,
        *,
        user_id: int | None = None,
        group_id: int | None = None,
    ) -> Message:
        """The account says something, to a person or in a group.

        :raises Failed: if there is nobody to hear it, nothing to say, or the account may not speak.
        """
        if not message:
            raise PlatformError("the message is empty")
        if group_id is not None:
            group = self.group(group_id)
            member = self.member(group, self.self_id)
            self._check_may_speak(group, member, now)
            member.last_sent_time = now
            self.put(group)
        elif user_id is not None:
            person = self.person(user_id)
            if not person.friend and not self._shares_group(user_id):
                raise permission_denied(f"{user_id} is no friend and in no common group")
        return self._add_message(self.self_id, message, now, group_id, user_id)

    def _shares_group(self, user_id: int) -> bool:
        return any(
            group.member(user_id) is not None and group.member(self.self_id) is not None
            for group in self.groups.values()
        )

    def _add_message(
        self,
        user_id: int,
        message: list[Segment],
        now: int,
        group_id: int | None,
        peer_id: int | None,
        anonymous: str = "",
    ) -> Message:
        said = Message(
            self._last_message_id + 1,
            now,
            user_id,
            message,
            to_cq(message),
            group_id,
            None if group_id is not None else peer_id,
            anonymous=anonymous,
        )
        self.put(said)
        chat_messages = self._chats[said.chat]
        while len(chat_messages) > MAX_CHAT_MESSAGES:
            self.remove(self.messages[chat_messages.popleft()])
        while self._message_bytes > MAX_BYTES and len(self.messages) > 1:
            oldest = next(iter(self.messages.values()))
            self._chats[oldest.chat].remove(oldest.message_id)
            self.remove(oldest)
        return said

    def add_forward(self, nodes: list[Segment], now: int) -> Forward:
        """Several messages as one; the oldest bundles go when there are too many."""
        forward = Forward(unused_name(f"forward-{now}", self.forwards), now, nodes)
        self.put(forward)
        while len(self.forwards) > 1 and (
            len(self.forwards) > MAX_CHAT_MESSAGES or self._forward_bytes > MAX_BYTES
        ):
            self.remove(next(iter(self.forwards.values())))
        return forward

    def messages_after(self, after: int) -> list[Message]:
        """What was said after message ``after``, recalled or not, oldest first."""
        newer = []
        for message_id in reversed(self.messages):
            if message_id <= after:
                break
            newer.append(self.messages[message_id])
        return newer[::-1]

    @property
    def last_message_id(self) -> int:
        """The number of what was said last; 0 if nothing was."""
        return self._last_message_id


def _table_key(record: Record) -> int | str:
    key = record_key(record)[1]
    return int(key) if isinstance(record, (Person, Group, Message)) else key
