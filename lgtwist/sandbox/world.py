"""A world: who is there, what was said, and what follows from what people and the account do.

Pure. Time is handed in; events and changes are collected and fetched by whoever drives the world:
:meth:`World.take_events` for the bots, :meth:`World.take_changes` for the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from lgtwist.onebot.errors import OneBotError
from lgtwist.sandbox.model import KINDS, Group, Member, Message, Person, Record, Request, Segment

#: How many messages of one chat are kept.
HISTORY = 1000


class Failed(OneBotError):
    """The platform does not do it. 100 and 103 are go-cqhttp's and CoolQ's numbers."""

    def __init__(self, sentence: str, retcode: int = 100) -> None:
        super().__init__(sentence)
        self.retcode = retcode  # type: ignore[misc]  # here each one has its own


def denied(sentence: str) -> Failed:
    """The account or the person has not the right to."""
    return Failed(sentence, 103)


def plain_text(message: Iterable[Segment]) -> str:
    """A message in words; what is no text is named in brackets."""
    return "".join(
        str(part["data"].get("text", "")) if part["type"] == "text" else f"[{part['type']}]"
        for part in message
    )


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
        self._chats: dict[tuple[str, int], deque[int]] = {}
        self._last_message_id = 0
        self._events: list[dict[str, Any]] = []
        self._changes: dict[tuple[str, str], Record | None] = {}

    # -- beginning

    @classmethod
    def first(cls, self_id: int, now: int) -> World:
        """A world to begin with: three people and a group."""
        world = cls(self_id)
        world.put(world.people[self_id])
        alice, bob, carol = (
            Person(20001, "Alice", friend=True),
            Person(20002, "Bob", friend=True),
            Person(20003, "Carol"),
        )
        for person in (alice, bob, carol):
            world.put(person)
        members = {
            alice.user_id: Member(alice.user_id, "owner", join_time=now),
            self_id: Member(self_id, "admin", join_time=now),
            bob.user_id: Member(bob.user_id, join_time=now),
            carol.user_id: Member(carol.user_id, join_time=now),
        }
        world.put(Group(30001, "Playground", members, create_time=now))
        return world

    def restore(self, records: Iterable[Record]) -> None:
        """Take in what the store has kept; messages in the order in which they were said."""
        for record in records:
            self._place(record)

    # -- fetched by who drives the world

    def take_events(self) -> list[dict[str, Any]]:
        """What the bots are to be told, since the last time; each without ``self_id``'s absence: whole."""
        self._events, events = [], self._events
        return events

    def take_changes(self) -> dict[tuple[str, str], Record | None]:
        """What the store has to write, since the last time: kind and key, and the record or its end."""
        self._changes, changes = {}, self._changes
        return changes

    # -- records

    def put(self, record: Record) -> None:
        """Place a record, new or changed."""
        self._place(record)
        self._changes[_key(record)] = record

    def remove(self, record: Record) -> None:
        """Take a record out of the world."""
        kind, key = _key(record)
        if isinstance(record, Request):
            self.requests.pop(record.flag, None)
        elif isinstance(record, Group):
            self.groups.pop(record.group_id, None)
        elif isinstance(record, Message):
            self.messages.pop(record.message_id, None)
        else:
            self.people.pop(record.user_id, None)
        self._changes[kind, key] = None

    def _place(self, record: Record) -> None:
        if isinstance(record, Person):
            self.people[record.user_id] = record
        elif isinstance(record, Group):
            self.groups[record.group_id] = record
        elif isinstance(record, Request):
            self.requests[record.flag] = record
        else:
            if record.message_id not in self.messages:
                self._chats.setdefault(record.chat, deque()).append(record.message_id)
                self._last_message_id = max(self._last_message_id, record.message_id)
            self.messages[record.message_id] = record

    # -- looking up

    def person(self, user_id: int) -> Person:
        """Somebody.

        :raises Failed: if there is no such person.
        """
        found = self.people.get(user_id)
        if found is None:
            raise Failed(f"there is no person {user_id}")
        return found

    def group(self, group_id: int) -> Group:
        """A group that the account is in.

        :raises Failed: if there is none.
        """
        found = self.groups.get(group_id)
        if found is None or self.self_id not in found.members:
            raise Failed(f"the account is in no group {group_id}")
        return found

    def member(self, group: Group, user_id: int) -> Member:
        """Somebody in a group.

        :raises Failed: if they are not in it.
        """
        found = group.members.get(user_id)
        if found is None:
            raise Failed(f"{user_id} is not in group {group.group_id}")
        return found

    def message(self, message_id: int) -> Message:
        """Something that was said, and not recalled since.

        :raises Failed: if there is no such message.
        """
        found = self.messages.get(message_id)
        if found is None or found.recalled:
            raise Failed(f"there is no message {message_id}")
        return found

    def sender(self, message: Message) -> dict[str, Any]:
        """The ``sender`` of a message, as events and ``get_msg`` show it."""
        person = self.people.get(message.user_id) or Person(message.user_id, str(message.user_id))
        shown: dict[str, Any] = {
            "user_id": person.user_id,
            "nickname": person.nickname,
            "sex": person.sex,
            "age": person.age,
        }
        group = self.groups.get(message.group_id) if message.group_id is not None else None
        if message.group_id is not None:
            member = (group.members.get(person.user_id) if group else None) or Member(person.user_id)
            shown |= {
                "card": member.card,
                "area": "",
                "level": member.level,
                "role": member.role,
                "title": member.title,
            }
        return shown

    # -- saying

    def say(self, user_id: int, message: list[Segment], now: int, group_id: int | None = None) -> Message:
        """A person says something, to the account or in a group; the bots are told.

        :raises Failed: if the person is not there, not in the group, or banned in it.
        """
        if user_id == self.self_id:
            raise Failed("the account itself speaks through its bots")
        self.person(user_id)
        sub_type = "friend" if self.people[user_id].friend else "other"
        if group_id is not None:
            group = self.group(group_id)
            member = self.member(group, user_id)
            if member.banned_until > now:
                raise denied(f"{user_id} is banned in group {group_id}")
            member.last_sent_time = now
            self.put(group)
            sub_type = "normal"
        said = self._record(user_id, message, now, group_id, user_id)
        event: dict[str, Any] = {
            "post_type": "message",
            "message_type": "private" if group_id is None else "group",
            "sub_type": sub_type,
            "message_id": said.message_id,
            "user_id": user_id,
            "message": said.message,
            "raw_message": said.raw_message,
            "font": 0,
            "sender": self.sender(said),
        }
        if group_id is not None:
            event |= {"group_id": group_id, "anonymous": None}
        self.tell(event, now)
        return said

    def speak(
        self,
        message: list[Segment],
        now: int,
        *,
        user_id: int | None = None,
        group_id: int | None = None,
    ) -> Message:
        """The account says something, to a person or in a group.

        :raises Failed: if there is nobody to hear it, nothing to say, or the account is banned.
        """
        if not message:
            raise Failed("the message is empty")
        if group_id is not None:
            group = self.group(group_id)
            if group.members[self.self_id].banned_until > now:
                raise denied(f"the account is banned in group {group_id}")
            group.members[self.self_id].last_sent_time = now
            self.put(group)
        elif user_id is not None:
            person = self.person(user_id)
            if not person.friend and not self._met(user_id):
                raise denied(f"{user_id} is no friend and in no common group")
        return self._record(self.self_id, message, now, group_id, user_id)

    def _met(self, user_id: int) -> bool:
        return any(
            user_id in group.members and self.self_id in group.members for group in self.groups.values()
        )

    def _record(
        self,
        user_id: int,
        message: list[Segment],
        now: int,
        group_id: int | None,
        peer_id: int | None,
    ) -> Message:
        said = Message(
            self._last_message_id + 1,
            now,
            user_id,
            message,
            plain_text(message),
            group_id,
            None if group_id is not None else peer_id,
        )
        self.put(said)
        chat = self._chats[said.chat]
        while len(chat) > HISTORY:
            self.remove(self.messages[chat.popleft()])
        return said

    def transcript(self, after: int) -> list[Message]:
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

    # -- what happens

    def tell(self, event: dict[str, Any], now: int) -> None:
        """The bots are told of an event; time and account are put in here."""
        self._events.append({"time": now, "self_id": self.self_id, **event})

    def recall(self, message: Message, operator_id: int, now: int) -> None:
        """A message is taken back."""
        message.recalled = True
        self.put(message)
        event = {
            "post_type": "notice",
            "notice_type": "friend_recall",
            "user_id": message.user_id,
            "message_id": message.message_id,
        }
        if message.group_id is not None:
            event |= {
                "notice_type": "group_recall",
                "group_id": message.group_id,
                "operator_id": operator_id,
            }
        self.tell(event, now)

    def ban(self, group: Group, member: Member, operator_id: int, duration: int, now: int) -> None:
        """A member may not speak for ``duration`` seconds; 0 lifts that."""
        member.banned_until = now + duration if duration else 0
        self.put(group)
        self.tell(
            {
                "post_type": "notice",
                "notice_type": "group_ban",
                "sub_type": "ban" if duration else "lift_ban",
                "group_id": group.group_id,
                "operator_id": operator_id,
                "user_id": member.user_id,
                "duration": duration,
            },
            now,
        )

    def leave(self, group: Group, user_id: int, operator_id: int, now: int) -> None:
        """Somebody is in a group no more: left, or was kicked by ``operator_id``."""
        del group.members[user_id]
        self.put(group)
        kicked = "kick_me" if user_id == self.self_id else "kick"
        self.tell(
            {
                "post_type": "notice",
                "notice_type": "group_decrease",
                "sub_type": "leave" if user_id == operator_id else kicked,
                "group_id": group.group_id,
                "operator_id": operator_id,
                "user_id": user_id,
            },
            now,
        )

    def join(self, group: Group, user_id: int, operator_id: int, sub_type: str, now: int) -> None:
        """Somebody is in a group from now on; ``sub_type`` is ``approve`` or ``invite``."""
        group.members[user_id] = Member(user_id, join_time=now)
        self.put(group)
        self.tell(
            {
                "post_type": "notice",
                "notice_type": "group_increase",
                "sub_type": sub_type,
                "group_id": group.group_id,
                "operator_id": operator_id,
                "user_id": user_id,
            },
            now,
        )

    def ask(
        self,
        user_id: int,
        comment: str,
        now: int,
        group_id: int | None = None,
        sub_type: str = "add",
    ) -> Request:
        """A person asks for friendship, or to join a group, or invites the account into one.

        :raises Failed: if the person is not there, or has already what they ask for.
        """
        person = self.person(user_id)
        if group_id is None:
            if person.friend:
                raise Failed(f"{user_id} is a friend already")
        else:
            group = self.groups.get(group_id)
            who = self.self_id if sub_type == "invite" else user_id
            if group is None:
                raise Failed(f"there is no group {group_id}")
            if who in group.members:
                raise Failed(f"{who} is in group {group_id} already")
        number = 1 + max((int(flag.rpartition("-")[2]) for flag in self.requests), default=0)
        asked = Request(
            f"request-{number}",
            "friend" if group_id is None else "group",
            user_id,
            comment,
            now,
            "" if group_id is None else sub_type,
            group_id,
        )
        self.put(asked)
        event: dict[str, Any] = {
            "post_type": "request",
            "request_type": asked.request_type,
            "user_id": user_id,
            "comment": comment,
            "flag": asked.flag,
        }
        if group_id is not None:
            event |= {"sub_type": sub_type, "group_id": group_id}
        self.tell(event, now)
        return asked

    def befriend(self, person: Person, remark: str, now: int) -> None:
        """A person is a friend from now on."""
        person.friend = True
        person.remark = remark
        self.put(person)
        self.tell({"post_type": "notice", "notice_type": "friend_add", "user_id": person.user_id}, now)


def _key(record: Record) -> tuple[str, str]:
    if isinstance(record, Person):
        return "person", str(record.user_id)
    if isinstance(record, Group):
        return "group", str(record.group_id)
    if isinstance(record, Message):
        return "message", str(record.message_id)
    return "request", record.flag


assert set(KINDS) == {"person", "group", "message", "request"}
