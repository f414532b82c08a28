"""A world: its people, groups and messages. Pure.

The time is an argument (seconds since the epoch). Events and changes are collected, and fetched by the
owner of the world: :meth:`World.pop_events` for the bots, :meth:`World.pop_changes` for the store. Changes
other than messages are in ``operations``.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lgtwist.onebot.errors import BadRequest, OneBotError, OverBound
from lgtwist.onebot.message import Segment, read_message, to_cq
from lgtwist.sandbox.bounds import (
    LARGE,
    MAX_ANSWER,
    CheckedMessage,
    check_message,
    is_too_deep,
    memory_of,
)
from lgtwist.sandbox.segments import as_sent
from lgtwist.sandbox.world.model import (
    ROLES,
    Forward,
    Group,
    GroupFile,
    Member,
    Message,
    PendingRequest,
    Person,
    Record,
    WorldFile,
    record_key,
    record_parts,
    unused_name,
)

#: Messages that each chat may have; the oldest are removed.
MAX_CHAT_MESSAGES = 1000
#: Forwarded messages that a world may have; the oldest are removed.
MAX_FORWARDS = 1000
#: Bytes of memory that all messages of a world may take together, about, and all forwarded messages half as
#: many; the oldest are removed, and the newest is always kept.
MAX_TEXT_LENGTH = 32 << 20
#: The number that QQ shows instead of an anonymous sender's.
ANONYMOUS_ID = 80000000
#: Requests that may be pending, and marks of anonymous authors that may be banned in a group; the oldest are
#: removed.
MAX_REQUESTS = MAX_ANONYMOUS_BANS = 1000


class PlatformError(OneBotError):
    """The platform refuses an operation.

    Retcode 100 is for what cannot be done, 103 for what is not permitted; both are CoolQ's.
    """

    def __init__(self, sentence: str, retcode: int = 100) -> None:
        super().__init__(sentence)
        self.retcode = retcode  # type: ignore[misc]  # an instance attribute here, a class attribute in OneBotError


def permission_denied(sentence: str) -> PlatformError:
    """Return the error for an operation that somebody is not permitted to do."""
    return PlatformError(sentence, 103)


class World:
    """The simulated platform as one account sees it: people, groups, messages, requests and files.

    :param self_id: the account's number.
    :param nickname: the account's nickname, where the store has none.
    """

    def __init__(self, self_id: int, nickname: str = "lgtwist") -> None:
        self.self_id = self_id
        self.people: dict[int, Person] = {self_id: Person(self_id, nickname)}
        self.groups: dict[int, Group] = {}
        self.requests: dict[str, PendingRequest] = {}
        self.messages: dict[int, Message] = {}  # in the order of their numbers
        self.forwards: dict[str, Forward] = {}
        self.files: dict[str, GroupFile] = {}
        self._chats: dict[tuple[str, int], deque[int]] = {}
        self._last_message_id = 0
        self._sizes: dict[tuple[str, str], int] = {}  # of messages and forwarded messages, in memory
        self._total_sizes = {"message": 0, "forward": 0}
        self._large = 0  # how many of them are large
        self._events: list[dict[str, Any]] = []
        self._changes: dict[tuple[str, str], Record | None] = {}

    # -- making, loading, saving

    @classmethod
    def with_example_people(cls, self_id: int, now: int) -> World:
        """Return a world with three people and a group, which the account is an admin of."""
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
        """Return the world of a file; ``self_id`` replaces the number of the account that saved it.

        :raises ValueError: if it is inconsistent, with a sentence that says what is wrong and where.
        """
        world = cls(self_id)

        def replace_self_id(number: int | None) -> int | None:
            return self_id if number == file.self_id else number

        for person in file.people:
            person.user_id = replace_self_id(person.user_id) or 0
        for group in file.groups:
            for member in group.members:
                member.user_id = replace_self_id(member.user_id) or 0
        file.messages.sort(key=lambda message: message.message_id)
        for number, message in enumerate(file.messages):
            try:
                path = f"messages[{number}].message"
                message.message = as_sent(read_message(message.message, path), path)
                _check_loaded(message.message, path)
                message.raw_message = to_cq(message.message)
            except BadRequest as error:
                raise ValueError(error.sentence) from None
            message.user_id = replace_self_id(message.user_id) or 0
            message.peer_id = replace_self_id(message.peer_id)
        for number, forward in enumerate(file.forwards):
            _check_loaded(forward.nodes, f"forwards[{number}].nodes")
        for records in (
            file.people, file.groups, file.requests, file.messages, file.forwards, file.files,
        ):  # fmt: skip
            for record in records:
                world.put(record)
        world.put(world.people[self_id])
        if not 0 <= file.last_message_id < 2**31:
            raise ValueError("last_message_id: expected a number from 0 to 2147483647")
        world._last_message_id = max(world._last_message_id, file.last_message_id)
        for number, group in enumerate(file.groups):
            for member in group.members:
                if member.user_id not in world.people:
                    raise ValueError(f"groups[{number}]: there is no person {member.user_id}")
                if member.role not in ROLES:
                    raise ValueError(f"groups[{number}]: role must be one of {', '.join(ROLES)}")
        return world

    def to_file(self) -> WorldFile:
        """Return the world as a file's content."""
        return WorldFile(
            self.self_id,
            list(self.people.values()),
            list(self.groups.values()),
            list(self.requests.values()),
            list(self.messages.values()),
            list(self.forwards.values()),
            list(self.files.values()),
        )

    def file_json(self) -> Iterator[bytes]:
        """Yield the JSON of :meth:`to_file`, record by record; each as it is when it is yielded."""
        file = self.to_file()
        yield b'{"self_id":%d' % self.self_id
        for name in ("people", "groups", "requests", "messages", "forwards", "files"):
            records: list[Record] = getattr(file, name)
            if not records:
                continue
            yield b',"%b":[' % name.encode()
            for number, record in enumerate(records):
                if number:
                    yield b","
                yield from record_parts(record)
            yield b"]"
        yield b"}"

    def load_records(self, records: Iterable[Record]) -> None:
        """Add the records of the store, without messages that are nested too deeply or are too long.

        :param records: messages in the order of their numbers.
        """
        for record in records:
            segments = record.message if isinstance(record, Message) else getattr(record, "nodes", [])
            readable = not is_too_deep(segments)
            if readable and isinstance(record, Message) and not record.raw_message:
                try:
                    record.raw_message = to_cq(record.message)
                except OverBound:
                    readable = False
            if readable:
                self._insert(record)
            else:  # of an earlier version, and nobody could read it again
                self._changes[record_key(record)] = None

    @property
    def is_empty(self) -> bool:
        """Whether there are no people but the account, and no groups."""
        return len(self.people) == 1 and not self.groups

    # -- events and changes

    def pop_events(self) -> list[dict[str, Any]]:
        """Return the events since the last call, and forget them."""
        self._events, events = [], self._events
        return events

    def pop_changes(self) -> dict[tuple[str, str], Record | None]:
        """Return the records that changed since the last call, and forget the changes.

        :returns: records by type and key; None where a record was removed.
        """
        self._changes, changes = {}, self._changes
        return changes

    def add_event(self, event: dict[str, Any], now: int) -> None:
        """Add an event for the bots, with ``time`` and ``self_id``."""
        self._events.append({"time": now, "self_id": self.self_id, **event})

    # -- records

    def put(self, record: Record) -> None:
        """Add a record, or replace the one with its key, and note the change for the store."""
        self._insert(record)
        self._changes[record_key(record)] = record

    def remove(self, record: Record) -> None:
        """Remove a record, and note the change for the store."""
        self._table(record).pop(_table_key(record), None)
        key = record_key(record)
        size = self._sizes.pop(key, None)
        if size is not None:
            self._total_sizes[key[0]] -= size
            self._large -= size >= LARGE
        self._changes[key] = None

    def _table(self, record: Record) -> dict[Any, Any]:
        tables: dict[type, dict[Any, Any]] = {
            Person: self.people,
            Group: self.groups,
            Message: self.messages,
            PendingRequest: self.requests,
            Forward: self.forwards,
            GroupFile: self.files,
        }
        return tables[type(record)]

    def _insert(self, record: Record) -> None:
        if isinstance(record, Message) and record.message_id not in self.messages:
            self._chats.setdefault(record.chat, deque()).append(record.message_id)
            self._last_message_id = max(self._last_message_id, record.message_id)
            self._add_size(record, memory_of(record.message, record.raw_message))
        elif isinstance(record, Forward) and record.forward_id not in self.forwards:
            self._add_size(record, memory_of(record.nodes))
        self._table(record)[_table_key(record)] = record

    def _add_size(self, record: Record, size: int) -> None:
        key = record_key(record)
        self._sizes[key] = size
        self._total_sizes[key[0]] += size
        self._large += size >= LARGE

    @property
    def has_large_messages(self) -> bool:
        """Whether a message or a forwarded message is so large that it must be encoded part by part."""
        return self._large > 0

    def size_of(self, message: Message | Forward) -> int:
        """Return about how many bytes a message or a forwarded message takes in memory."""
        return self._sizes.get(record_key(message), 0)

    def newest(self, messages: Sequence[Message], count: int) -> list[Message]:
        """Return the newest of some messages, at most ``count`` and at most :data:`MAX_ANSWER` bytes.

        :param messages: the oldest first.
        """
        taken = total = 0
        for message in reversed(messages):
            total += self.size_of(message)
            if taken == count or (taken and total > MAX_ANSWER):
                break
            taken += 1
        return list(messages[len(messages) - taken :])

    # -- lookups

    def find_record(self, kind: str, key: str) -> Record | None:
        """Return the record with that type and key, as :func:`record_key` has them; None if there is none."""
        if kind == "person":
            return self.people.get(int(key))
        if kind == "group":
            return self.groups.get(int(key))
        if kind == "message":
            return self.messages.get(int(key))
        tables: dict[str, Mapping[str, Record]] = {
            "request": self.requests,
            "forward": self.forwards,
            "file": self.files,
        }
        return tables[kind].get(key) if kind in tables else None

    def person(self, user_id: int) -> Person:
        """Return the person with that number.

        :raises PlatformError: if there is none.
        """
        found = self.people.get(user_id)
        if found is None:
            raise PlatformError(f"there is no person {user_id}")
        return found

    def group(self, group_id: int) -> Group:
        """Return the group with that number, of which the account is a member.

        :raises PlatformError: if there is none.
        """
        found = self.groups.get(group_id)
        if found is None or found.member(self.self_id) is None:
            raise PlatformError(f"the account is in no group {group_id}")
        return found

    def member(self, group: Group, user_id: int) -> Member:
        """Return the member of a group with that number.

        :raises PlatformError: if there is none.
        """
        found = group.member(user_id)
        if found is None:
            raise PlatformError(f"{user_id} is not in group {group.group_id}")
        return found

    def message(self, message_id: int) -> Message:
        """Return the message with that number.

        :raises PlatformError: if there is none, or it was recalled.
        """
        found = self.messages.get(message_id)
        if found is None or found.recalled:
            raise PlatformError(f"there is no message {message_id}")
        return found

    def chat_messages(self, kind: str, chat_id: int) -> list[Message]:
        """Return the messages of one chat that were not recalled, oldest first.

        :param kind: ``group`` or ``private``.
        :param chat_id: the number of the group or of the person.
        """
        messages = (self.messages[number] for number in self._chats.get((kind, chat_id), ()))
        return [message for message in messages if not message.recalled]

    @staticmethod
    def shown_sender(message: Message) -> int:
        """Return the number of a message's sender, as the account sees it: not that of an anonymous one."""
        return ANONYMOUS_ID if message.anonymous else message.user_id

    def target_id(self, message: Message) -> int:
        """Return the recipient of a private message: the account, or the person that it was sent to."""
        return self.self_id if message.user_id != self.self_id else message.chat[1]

    def sender_fields(self, message: Message) -> dict[str, Any]:
        """Return the ``sender`` of a message, as events and ``get_msg`` have it."""
        if message.anonymous:
            return {
                "user_id": ANONYMOUS_ID,
                "nickname": message.anonymous,
                "sex": "unknown",
                "age": 0,
                "card": "",
                "area": "",
                "level": "",
                "role": "member",
                "title": "",
            }
        person = self.people.get(message.user_id) or Person(message.user_id, str(message.user_id))
        message_fields: dict[str, Any] = {
            "user_id": person.user_id,
            "nickname": person.nickname,
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

    def message_fields(self, message: Message) -> dict[str, Any]:
        """Return a message as ``get_msg`` and the histories have it."""
        kind, chat_id = message.chat
        fields = {
            "time": message.time,
            "message_type": kind,
            "message_id": message.message_id,
            "message_seq": message.message_id,
            "real_id": message.message_id,
            "user_id": self.shown_sender(message),
            "sender": self.sender_fields(message),
            "message": message.message,
            "raw_message": message.raw_message,
        }
        if kind == "group":
            fields["group_id"] = chat_id
        else:
            fields["target_id"] = self.target_id(message)
        return fields

    # -- messages

    def send_as_person(
        self,
        user_id: int,
        message: list[Segment],
        now: int,
        group_id: int | None = None,
        anonymous: bool = False,
    ) -> Message:
        """Add a message of a person, to the account or to a group, and its event.

        :raises PlatformError: if the person does not exist, is not a member, is banned, or is the account.
        """
        if user_id == self.self_id:
            raise PlatformError("the account itself speaks through its bots")
        person = self.person(user_id)
        name, mark = "", self._anonymous_mark(group_id, user_id) if anonymous else ""
        flag = f"anonymous-{group_id}-{mark}"
        sub_type = "friend" if person.friend else "group" if self._shares_group(user_id) else "other"
        if group_id is not None:
            group = self.group(group_id)
            member = self.member(group, user_id)
            self._check_may_speak(group, member, now)
            if anonymous:
                if not group.anonymous or group.anonymous_bans.get(flag, 0) > now:
                    raise permission_denied(f"{user_id} may not be anonymous in group {group_id}")
                name = f"Anonymous {int(mark, 16) % 10000}"
            member.last_sent_time = now
            self.put(group)
            sub_type = "anonymous" if anonymous else "normal"
        sent = self._add_message(user_id, message, now, group_id, user_id, name)
        event: dict[str, Any] = {
            "post_type": "message",
            "message_type": "private" if group_id is None else "group",
            "sub_type": sub_type,
            "message_id": sent.message_id,
            "user_id": self.shown_sender(sent),
            "message": sent.message,
            "raw_message": sent.raw_message,
            "font": 0,
            "sender": self.sender_fields(sent),
        }
        if group_id is not None:
            who = {"id": int(mark, 16), "name": name, "flag": flag} if anonymous else None
            event |= {"group_id": group_id, "anonymous": who}
        else:
            event["target_id"] = self.target_id(sent)
        self.add_event(event, now)
        return sent

    def _anonymous_mark(self, group_id: int | None, user_id: int) -> str:
        """Return what tells an anonymous author in a group, and does not show who it is: 7 hex digits."""
        named = f"{self.self_id} {group_id} {user_id}".encode()
        return hashlib.sha256(named).hexdigest()[:7]

    def _check_may_speak(self, group: Group, member: Member, now: int) -> None:
        """Raise :class:`PlatformError` if a member is banned, or all members are."""
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
        """Add a message of the account, to a person or to a group; it has no event.

        :raises PlatformError: if the message is empty, the recipient does not exist or is a stranger, or the
            account is banned.
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
        """Return whether a person is in a group of the account."""
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
        """Add a message, and remove the oldest ones above ``MAX_CHAT_MESSAGES`` and ``MAX_TEXT_LENGTH``.

        :raises PlatformError: if it refers to a forwarded message that does not exist.
        """
        for segment in message:
            if segment["type"] == "forward" and segment["data"].get("id") not in self.forwards:
                raise PlatformError(f"there is no forwarded message {str(segment['data'].get('id'))[:100]}")
        raw_message = message.raw_message if isinstance(message, CheckedMessage) else None
        added = Message(
            self._last_message_id + 1,
            now,
            user_id,
            message,
            to_cq(message) if raw_message is None else raw_message,
            group_id,
            None if group_id is not None else peer_id,
            anonymous=anonymous,
        )
        self.put(added)
        message_ids = self._chats[added.chat]
        while len(message_ids) > MAX_CHAT_MESSAGES:
            self.remove(self.messages[message_ids.popleft()])
        while self._total_sizes["message"] > MAX_TEXT_LENGTH and len(self.messages) > 1:
            oldest = next(iter(self.messages.values()))
            self._chats[oldest.chat].remove(oldest.message_id)
            self.remove(oldest)
        return added

    def add_forward(self, nodes: list[Segment], now: int) -> Forward:
        """Add several messages as one forwarded message; remove the oldest above the world's limits."""
        forward = Forward(unused_name(f"forward-{now}", self.forwards), now, nodes)
        self.put(forward)
        while len(self.forwards) > 1 and (
            len(self.forwards) > MAX_FORWARDS or self._total_sizes["forward"] > MAX_TEXT_LENGTH // 2
        ):
            self.remove(next(iter(self.forwards.values())))
        return forward

    def messages_after(self, after: int) -> list[Message]:
        """Return the messages with a number above ``after``, recalled or not, oldest first."""
        newer = []
        for message_id in reversed(self.messages):
            if message_id <= after:
                break
            newer.append(self.messages[message_id])
        return newer[::-1]

    def portion_after(self, after: int) -> list[Message]:
        """Return the oldest of :meth:`messages_after`, at most :data:`MAX_ANSWER` bytes of them."""
        messages = self.messages_after(after)
        total = 0
        for number, message in enumerate(messages):
            total += self.size_of(message)
            if number and total > MAX_ANSWER:
                return messages[:number]
        return messages

    @property
    def last_message_id(self) -> int:
        """The number of the newest message ever added; 0 if there was none."""
        return self._last_message_id


def _check_loaded(message: list[Segment], path: str) -> None:
    """Check that a message of a world's file can be kept.

    :raises ValueError: if not, with a sentence.
    """
    try:
        check_message(message, path)
    except BadRequest as error:
        raise ValueError(error.sentence) from None


def _table_key(record: Record) -> int | str:
    key = record_key(record)[1]
    return int(key) if isinstance(record, (Person, Group, Message)) else key
