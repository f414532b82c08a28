"""A sandbox in a test: a fresh world, the people in it, and what they do."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Union

from lgtwist.testing.control import SandboxClient, SandboxError, is_said_by_sentence
from lgtwist.testing.expectations import Expect, ExpectationFailed
from lgtwist.testing.faults import SandboxFaults
from lgtwist.testing.messages import (
    DONE,
    AlreadyThere,
    BotAction,
    Chat,
    ChatMessage,
    Done,
    Matching,
    RequestFlag,
    Said,
    Segments,
    UploadedFile,
    choose_matching,
)
from lgtwist.testing.observation import Observation, stop_if_cancelled
from lgtwist.testing.service import SandboxProcess

#: pytest leaves the frames of this module out of the traceback of such an error.
__tracebackhide__ = is_said_by_sentence

#: Seconds that an expectation waits where it is given no time limit of its own.
DEFAULT_WITHIN = 5.0
#: Seconds that a bot may take to connect.
BOT_CONNECT_LIMIT = 30.0
#: What begins so names a file by itself; anything else is a path.
_URLS = ("base64://", "data:", "http://", "https://", "file://")

#: A picture, a voice or another file: its path, its bytes, or a URL (``http://``, ``base64://`` ...).
FileContent = Union[str, "os.PathLike[str]", bytes]


class HasUserId(Protocol):
    """A person or a member of a group."""

    @property
    def user_id(self) -> int:
        """The person's number."""


class HasGroupId(Protocol):
    """A group."""

    @property
    def group_id(self) -> int:
        """The group's number."""


class HasMessageId(Protocol):
    """A message: what ``says`` or an expectation returned."""

    @property
    def message_id(self) -> int:
        """The message's number."""


class SandboxGroup(AlreadyThere):
    """A group of the sandbox.

    :ivar group_id: its number.
    :ivar name: its name when it was made or found.
    """

    def __init__(self, sandbox: Sandbox, group_id: int, name: str) -> None:
        self._sandbox, self.group_id, self.name = sandbox, group_id, name

    def __repr__(self) -> str:
        return f"<group {self.name} ({self.group_id})>"

    @property
    def chat(self) -> Chat:
        """The chat of its members."""
        return ("group", self.group_id)

    def bans_everybody(self, on: bool = True, *, operator: HasUserId | int | None = None) -> Done:
        """Let an admin, the owner by default, forbid everybody to speak, or allow it again."""
        self._sandbox.act(
            "ban",
            self.chat,
            group_id=self.group_id,
            duration=1 if on else 0,
            operator_id=_user_id(operator),
        )
        return DONE

    def is_renamed(self, name: str, *, operator: HasUserId | int | None = None) -> Done:
        """Let an admin, the owner by default, rename it."""
        self._sandbox.act(
            "rename",
            self.chat,
            group_id=self.group_id,
            group_name=name,
            operator_id=_user_id(operator),
        )
        self.name = name
        return DONE


class _Speaker(AlreadyThere):
    """What a person does in private and a member does in a group alike."""

    def __init__(self, sandbox: Sandbox, user_id: int, name: str) -> None:
        self._sandbox, self.user_id, self.name = sandbox, user_id, name

    @property
    def chat(self) -> Chat:
        """The chat with the bot."""
        raise NotImplementedError

    @property
    def _group_id(self) -> int | None:
        kind, number = self.chat
        return number if kind == "group" else None

    def says(
        self,
        message: str | Segments = "",
        *,
        picture: FileContent | Sequence[FileContent] | None = None,
        voice: FileContent | None = None,
        reply_to: HasMessageId | int | None = None,
        at_bot: bool = False,
        mentions: Sequence[HasUserId | int] = (),
        auto_escape: bool = False,
        anonymous: bool = False,
    ) -> Said:
        """Say something to the bot, or in the group.

        :param message: text, in which CQ codes count, or segments; nodes make a forwarded message.
        :param picture: pictures behind the text: paths, bytes or URLs.
        :param voice: a voice message behind the text.
        :param reply_to: the message that this one replies to.
        :param at_bot: whether it begins with a mention of the account.
        :param mentions: who else is mentioned, in front of the text.
        :param auto_escape: take the text as it is, without CQ codes.
        :param anonymous: in a group.
        :raises SandboxRefused: if the platform would not send it.
        """
        front: list[dict[str, Any]] = []
        if reply_to is not None:
            front.append(_segment("reply", id=_message_id(reply_to)))
        mentioned = [*([self._sandbox.self_id] if at_bot else []), *map(_user_id, mentions)]
        front += [_segment("at", qq=number) for number in mentioned]
        behind = [_segment("image", file=self._sandbox.file(one)) for one in _several(picture)]
        if voice is not None:
            behind.append(_segment("record", file=self._sandbox.file(voice)))
        whole: str | list[Mapping[str, Any]]
        if isinstance(message, str):
            text = escape_cq(message) if auto_escape else message
            if mentioned and text:
                text = f" {text}"  # as the platform's clients do
            whole = f"{''.join(map(_cq, front))}{text}{''.join(map(_cq, behind))}"
        else:
            whole = [*front, *message, *behind]
        answer = self._sandbox.act(
            "say",
            self.chat,
            user_id=self.user_id,
            group_id=self._group_id,
            message=whole,
            anonymous=anonymous or None,
        )
        return Said(
            int(answer["message_id"]),
            message if isinstance(message, str) else "",
            self.user_id,
            self.chat,
            str(answer.get("forward_id", "")),
        )

    def forwards(self, nodes: Iterable[tuple[HasUserId | int, str | Segments]]) -> Said:
        """Send several messages as one forwarded message.

        :param nodes: who said it, and what.
        """
        return self.says(
            [
                _segment("node", user_id=_user_id(who), nickname=self._sandbox.name_of(who), content=said)
                for who, said in nodes
            ]
        )

    def hears(
        self, text: Matching = None, *, matching: Matching = None, within: float | None = None
    ) -> ChatMessage:
        """Wait for the next message that the bot says to this person, or in this group, and return it.

        :param text: the whole text of the message; or a compiled pattern, or a function that is given the
            message; what does not match is passed over. None for any message.
        :param matching: a regular expression that is searched in the message, as text or compiled.
        :param within: seconds to wait.
        :raises ExpectationFailed: if it does not come.
        """
        __tracebackhide__ = True
        wanted = choose_matching(text, matching)
        return self._sandbox.expect.hears(self.chat, self.user_id, self.name, wanted, within)

    def recalls(self, message: HasMessageId | int) -> Done:
        """Take a message back: one's own, or as an admin that of a member of lower rank."""
        self._sandbox.act("recall", self.chat, message_id=_message_id(message), user_id=self.user_id)
        return DONE

    def reacts(self, message: HasMessageId | int, emoji_id: str | int = "76", *, on: bool = True) -> Done:
        """React to a message with an emoji, or remove the reaction."""
        self._sandbox.act(
            "react",
            self.chat,
            user_id=self.user_id,
            message_id=_message_id(message),
            emoji_id=str(emoji_id),
            set=on,
        )
        return DONE

    def uploads(self, file: FileContent, name: str | None = None) -> UploadedFile:
        """Upload a file to the group, or send it to the bot.

        :param name: of the file; that of the path by default.
        :returns: its ``url``, and in a group its ``file_id``.
        """
        if name is None and isinstance(file, (str, os.PathLike)) and not str(file).startswith(_URLS):
            name = Path(file).name
        answer = self._sandbox.act(
            "upload",
            self.chat,
            user_id=self.user_id,
            group_id=self._group_id,
            file=self._sandbox.file(file),
            name=name or "file",
        )
        return UploadedFile(answer)


class SandboxPerson(_Speaker):
    """A person, in private with the bot.

    :ivar user_id: the person's number.
    :ivar name: the nickname.
    """

    def __repr__(self) -> str:
        return f"<{self.name} ({self.user_id})>"

    @property
    def chat(self) -> Chat:
        """The private chat with the bot."""
        return ("private", self.user_id)

    def in_group(self, group: HasGroupId | int | None = None) -> SandboxMember:
        """Return this person as a member of a group, to speak there; nothing is asked of the service.

        :param group: the group or its number; None for the Playground.
        """
        found = group if isinstance(group, SandboxGroup) else self._sandbox.group_of(group)
        return SandboxMember(self._sandbox, self, found)

    def pokes(self) -> Done:
        """Poke the bot."""
        self._sandbox.act("poke", self.chat, user_id=self.user_id)
        return DONE

    def asks_to_be_friend(self, comment: str = "") -> RequestFlag:
        """Ask the bot for friendship; return the flag of the request."""
        answer = self._sandbox.act("ask", self.chat, user_id=self.user_id, comment=comment)
        return RequestFlag(answer["flag"])

    def asks_to_join(self, group: HasGroupId | int | None = None, comment: str = "") -> RequestFlag:
        """Ask to join a group; return the flag of the request."""
        return self._ask_about(group, "add", comment)

    def invites_bot_to(self, group: HasGroupId | int | None = None, comment: str = "") -> RequestFlag:
        """Invite the bot to a group; return the flag of the request."""
        return self._ask_about(group, "invite", comment)

    def _ask_about(self, group: HasGroupId | int | None, sub_type: str, comment: str) -> RequestFlag:
        group_id = self._sandbox.group_of(group).group_id
        answer = self._sandbox.act(
            "ask",
            ("group", group_id),
            user_id=self.user_id,
            group_id=group_id,
            sub_type=sub_type,
            comment=comment,
        )
        return RequestFlag(answer["flag"])

    def becomes_friend(self) -> Done:
        """Become a friend of the bot, without a request."""
        self._sandbox.act("befriend", self.chat, user_id=self.user_id)
        return DONE

    def joins(
        self, group: HasGroupId | int | None = None, *, operator: HasUserId | int | None = None
    ) -> SandboxMember:
        """Become a member of a group, and return this person as one.

        :param operator: the admin who approves; the owner by default.
        """
        member = self.in_group(group)
        self._sandbox.act(
            "join",
            member.chat,
            user_id=self.user_id,
            group_id=member.group_id,
            operator_id=_user_id(operator),
        )
        return member


class SandboxMember(_Speaker):
    """A person in a group, or who is about to join it.

    :ivar user_id: the person's number.
    :ivar name: the person's nickname.
    :ivar group: the group.
    """

    def __init__(self, sandbox: Sandbox, person: SandboxPerson, group: SandboxGroup) -> None:
        super().__init__(sandbox, person.user_id, person.name)
        self.person, self.group = person, group

    def __repr__(self) -> str:
        return f"<{self.name} ({self.user_id}) in {self.group.name} ({self.group_id})>"

    @property
    def group_id(self) -> int:
        """The group's number."""
        return self.group.group_id

    @property
    def chat(self) -> Chat:
        """The group's chat."""
        return self.group.chat

    def _act(self, verb: str, **values: object) -> dict[str, Any]:
        return self._sandbox.act(verb, self.chat, group_id=self.group_id, **values)

    def pokes(self, target: HasUserId | int | None = None) -> Done:
        """Poke somebody in the group; the bot by default."""
        self._act("poke", user_id=self.user_id, target_id=_user_id(target))
        return DONE

    def joins(self, *, operator: HasUserId | int | None = None) -> SandboxMember:
        """Become a member of the group, and return this one.

        :param operator: the admin who approves; the owner by default.
        """
        return self.person.joins(self.group, operator=operator)

    def asks_to_join(self, comment: str = "") -> RequestFlag:
        """Ask to join the group; return the flag of the request."""
        return self.person.asks_to_join(self.group, comment)

    def leaves(self) -> Done:
        """Leave the group."""
        self._act("leave", user_id=self.user_id)
        return DONE

    def kicks(self, target: HasUserId | int | None = None) -> Done:
        """Remove a member, the bot by default, as an admin."""
        self._act("kick", user_id=self._target(target), operator_id=self.user_id)
        return DONE

    def bans(self, target: HasUserId | int | None = None, seconds: int = 600) -> Done:
        """Forbid a member, the bot by default, to speak; with 0 seconds allow it again."""
        self._act("ban", user_id=self._target(target), operator_id=self.user_id, duration=seconds)
        return DONE

    def makes_admin(self, target: HasUserId | int | None = None, *, on: bool = True) -> Done:
        """Make a member, the bot by default, an admin, or a plain member again."""
        self._act("admin", user_id=self._target(target), enable=on)
        return DONE

    def sets_card(self, card: str) -> Done:
        """Set one's card in the group; with an empty text remove it."""
        self._act("card", user_id=self.user_id, card=card)
        return DONE

    def gets_title(self, title: str) -> Done:
        """Get a title from the owner; with an empty text lose it."""
        self._act("title", user_id=self.user_id, title=title)
        return DONE

    def marks_essence(self, message: HasMessageId | int, *, on: bool = True) -> Done:
        """Mark a message as one of the group's best, or remove the mark."""
        self._sandbox.act("essence", self.chat, user_id=self.user_id, message_id=_message_id(message), set=on)
        return DONE

    def _target(self, target: HasUserId | int | None) -> int:
        number = _user_id(target)
        return self._sandbox.self_id if number is None else number


class Sandbox:
    """A sandbox account of a running service, for one test.

    :param process: the service.
    :param self_id: the number of the account; None for the first one.
    :param within: seconds that an expectation waits where it is given no time limit of its own.
    :param fresh: whether to begin with a fresh world, see :meth:`reset`, or with the one that is there.

    :ivar expect: the expectations.
    :ivar faults: faults on demand.
    :ivar client: the whole HTTP interface, for what has no name here.
    """

    def __init__(
        self,
        process: SandboxProcess,
        self_id: int | None = None,
        *,
        within: float = DEFAULT_WITHIN,
        fresh: bool = True,
    ) -> None:
        self.process = process
        self.self_id = process.self_ids[0] if self_id is None else self_id
        self.client: SandboxClient = process.client(self.self_id)
        self.observation = Observation(process, self.client)
        self.expect = Expect(self.observation, within)
        self.faults = SandboxFaults(self.client)
        self._people: dict[str, SandboxPerson] = {}
        self._groups: dict[str, SandboxGroup] = {}
        if fresh:
            self.reset()
        else:
            self._begin()

    # -- the world

    def reset(self, world: str | os.PathLike[str] | bytes | None = None) -> Done:
        """Begin with a fresh world and without faults, and forget what was said and called.

        Numbers of messages go on where they were, so that no bot takes a new message for an old one.

        :param world: a JSON file with a world, or its content; None for that which the account began with.
        """
        if world is None:
            content = self.process.first_world(self.self_id)
        else:
            content = world if isinstance(world, bytes) else Path(world).read_bytes()
        file = json.loads(content)
        file["last_message_id"] = max(
            int(file.get("last_message_id", 0)), int(self.client.overview()["last_message_id"])
        )
        self.client.put("world", json.dumps(file).encode())
        self.process.note_message_number(self.self_id, file["last_message_id"])
        self._begin()
        return DONE

    def _begin(self) -> None:
        """Begin to observe the world as it is."""
        overview = self.client.overview()
        self._people = {
            one["nickname"]: SandboxPerson(self, one["user_id"], one["nickname"])
            for one in overview["people"]
            if one["user_id"] != self.self_id
        }
        self._groups = {
            one["group_name"]: SandboxGroup(self, one["group_id"], one["group_name"])
            for one in overview["groups"]
        }
        self.observation.begin(int(overview["last_message_id"]))

    @property
    def alice(self) -> SandboxPerson:
        """Alice (20001), a friend of the bot, and the owner of the Playground."""
        return self.person_named("Alice")

    @property
    def bob(self) -> SandboxPerson:
        """Bob (20002), a friend of the bot, and a member of the Playground."""
        return self.person_named("Bob")

    @property
    def carol(self) -> SandboxPerson:
        """Carol (20003), no friend of the bot, and a member of the Playground."""
        return self.person_named("Carol")

    @property
    def playground(self) -> SandboxGroup:
        """The group Playground (30001), in which the bot is an admin."""
        return self.group_named("Playground")

    def person_named(self, nickname: str) -> SandboxPerson:
        """Return a person of the world that the test began with, or that it made.

        :raises SandboxError: if there is none.
        """
        if nickname not in self._people:
            raise SandboxError(f"this world has no person {nickname!r}; it has: {', '.join(self._people)}")
        return self._people[nickname]

    def group_named(self, name: str) -> SandboxGroup:
        """Return a group of the world that the test began with, or that it made.

        :raises SandboxError: if there is none.
        """
        if name not in self._groups:
            raise SandboxError(f"this world has no group {name!r}; it has: {', '.join(self._groups)}")
        return self._groups[name]

    def person(
        self,
        nickname: str,
        *,
        user_id: int | None = None,
        friend: bool = True,
        sex: Literal["male", "female", "unknown"] | None = None,
        age: int | None = None,
    ) -> SandboxPerson:
        """Make a person, or change the one with that number; the bot is not told.

        :param user_id: the number; None for one that no test has had.
        :param friend: whether the person is a friend of the bot.
        """
        number = self.process.unused_number() if user_id is None else user_id
        self.client.post(
            "person", {"user_id": number, "nickname": nickname, "friend": friend, "sex": sex, "age": age}
        )
        found = self._people[nickname] = SandboxPerson(self, number, nickname)
        return found

    def group(
        self,
        name: str,
        members: Sequence[HasUserId | int] = (),
        *,
        owner: HasUserId | int | None = None,
        bot: Literal["owner", "admin", "member"] | None = "member",
        group_id: int | None = None,
    ) -> SandboxGroup:
        """Make a group, or change the one with that number; the bot is not told.

        :param owner: None for the bot if it is to be that, else for the first member.
        :param bot: what the bot is in it; None for nothing.
        :param group_id: the number; None for one that no test has had.
        """
        roles: dict[int, str] = {int(_user_id(one) or 0): "member" for one in members}
        if bot is not None:
            roles[self.self_id] = bot
        owner_id = _user_id(owner)
        if owner_id is None and bot != "owner":
            owner_id = next((one for one in roles if one != self.self_id), None)
        if owner_id is not None:
            roles[owner_id] = "owner"
        number = self.process.unused_number() if group_id is None else group_id
        self.client.post(
            "group",
            {
                "group_id": number,
                "group_name": name,
                "members": [{"user_id": one, "role": role} for one, role in roles.items()],
                "joined": bot is not None,
            },
        )
        found = self._groups[name] = SandboxGroup(self, number, name)
        return found

    def group_of(self, group: HasGroupId | int | None) -> SandboxGroup:
        """Return a group by itself or its number, the Playground for None."""
        if group is None:
            return self.playground
        number = group if isinstance(group, int) else getattr(group, "group_id", None)
        if not isinstance(number, int):
            raise TypeError(f"a group or its number is needed, not {group!r}")
        known = (one for one in self._groups.values() if one.group_id == number)
        return next(known, None) or SandboxGroup(self, number, f"group {number}")

    def name_of(self, person: HasUserId | int) -> str:
        """Return the nickname of a person, as far as it is known here; else the number."""
        number = _user_id(person)
        known = (name for name, one in self._people.items() if one.user_id == number)
        return next(known, str(number))

    # -- what was sent

    def fetch(self, url: str) -> bytes:
        """Return the content of a picture or another file of the sandbox.

        :param url: one of :attr:`ChatMessage.pictures` or :attr:`ChatMessage.files`.
        :raises SandboxError: if it is not a file of this sandbox.
        """
        base = f"{self.process.url}/"
        if not url.startswith(base):
            raise SandboxError(f"{url} is no file of this sandbox, whose files are below {base}")
        return self.client.get_bytes(url[len(base) - 1 :])

    def nodes_of(self, message: HasMessageId | int) -> list[dict[str, Any]]:
        """Return the nodes of a forwarded message.

        :raises SandboxRefused: if it is none.
        """
        return list(self.client.get("forward", id=_message_id(message))["nodes"])

    # -- the bot

    def wait_for_bot(self, name: str | None = None, *, within: float = BOT_CONNECT_LIMIT) -> Done:
        """Wait until a bot is connected.

        :param name: its name in the configuration; None for all bots that were attached to the process, or
            for any bot where none was.
        :param within: seconds to wait.
        :raises ExpectationFailed: if it does not connect, or has ended.
        """
        __tracebackhide__ = True
        attached = self.process.attached
        names = [name] if name is not None else [bot.name for bot in attached]
        names = [one for one in dict.fromkeys(names) if not self.process.posts_to(one)]
        if name is None and attached and not names:
            return DONE
        deadline = time.monotonic() + within
        while True:
            connections = self.client.connected_bots()
            if all(connections.get(one) for one in names) if names else any(connections.values()):
                return DONE
            wanted = [bot for bot in attached if not names or bot.name in names]
            ended = [bot for bot in wanted if bot.ended() is not None]
            if ended or time.monotonic() > deadline:
                break
            stop_if_cancelled()
            time.sleep(0.02)
        away = ", ".join(repr(one) for one in names if not connections.get(one))
        if ended:
            sentence = (
                f"the bot has not connected: {', '.join(f'{bot.name!r} {bot.ended()}' for bot in ended)}"
            )
        elif not names:
            sentence = self.observation.missing_bot() or "no bot is connected"
        else:
            sentence = f"no bot is connected: {away} has not dialled {self.process.ws_url}"
        raise ExpectationFailed(
            f"{sentence} (waited {within:g} s at most)\n\n{self.observation.report(absent=True)}"
        )
        return DONE

    def transcript(self) -> list[ChatMessage]:
        """Return what was said since the beginning of the test."""
        return self.observation.read_whole()

    def actions(self) -> list[BotAction]:
        """Return the actions that bots called since the beginning of the test."""
        self.observation.read_actions()
        return list(self.observation.actions)

    def report(self) -> str:
        """Return the whole conversation, the actions that bots called and the ends of their logs, as text."""
        return self.observation.report()

    def close(self) -> Done:
        """Close the connections to the service; it goes on, and so may this sandbox."""
        self.client.close()
        return DONE

    # -- for people

    def act(self, verb: str, chat: Chat | None = None, /, **values: object) -> dict[str, Any]:
        """Let a person do something: a verb of docs/sandbox.md.

        :param chat: where it happens; None for nowhere.
        :param values: what the verb takes; None is not given.
        :returns: the answer.
        :raises SandboxRefused: if the platform would not allow it.
        """
        if verb != "say":  # what was said until now was said before; "say" returns where it stands
            self.observation.read_messages()
        self.observation.look_for_bot()
        answer = dict(self.client.post(verb, values))
        self.observation.note_act(answer.get("message_id"), chat)
        return answer

    def event(self, event: Mapping[str, Any]) -> Done:
        """Let an event reach bots as it is; ``time`` and ``self_id`` are added where they are missing."""
        self.act("event", None, **{"time": int(time.time()), "self_id": self.self_id, **event})
        return DONE

    def file(self, content: FileContent) -> str:
        """Return what names a file in a segment; one that is no URL is handed to the service."""
        if isinstance(content, str) and content.startswith(_URLS):
            return content
        if isinstance(content, bytes):
            return self.client.store(content)
        path = Path(content)
        return self.client.store(path.read_bytes(), path.name)


def escape_cq(text: str) -> str:
    """Return a text in which nothing is a CQ code."""
    return text.replace("&", "&amp;").replace("[", "&#91;").replace("]", "&#93;")


def _cq(segment: Mapping[str, Any]) -> str:
    values = "".join(
        f",{name}={escape_cq(str(value)).replace(',', '&#44;')}" for name, value in segment["data"].items()
    )
    return f"[CQ:{segment['type']}{values}]"


def _segment(kind: str, **data: object) -> dict[str, Any]:
    return {
        "type": kind,
        "data": {name: str(one) if isinstance(one, int) else one for name, one in data.items()},
    }


def _several(content: FileContent | Sequence[FileContent] | None) -> Sequence[FileContent]:
    if content is None:
        return ()
    if isinstance(content, (str, bytes, os.PathLike)):
        return (content,)
    return content


def _user_id(person: HasUserId | int | None) -> int | None:
    if person is None or isinstance(person, int):
        return person
    number = getattr(person, "user_id", None)
    if not isinstance(number, int):
        raise TypeError(f"a person or the number of one is needed, not {person!r}")
    return number


def _message_id(message: HasMessageId | int) -> int:
    number = message if isinstance(message, int) else getattr(message, "message_id", None)
    if not isinstance(number, int):
        raise TypeError(f"a message or its number is needed, not {message!r}")
    return number
