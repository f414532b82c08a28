"""What was said in a sandbox and which actions a bot called, as data; and what a test expects of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar, Union

from attrs import field, frozen

#: A chat: ``("private", the person's number)`` or ``("group", the group's number)``.
Chat = tuple[str, int]

#: Segments of a message, as in OneBot 11: ``{"type": ..., "data": {...}}``.
Segments = Sequence[Mapping[str, Any]]

Self = TypeVar("Self", bound="AlreadyThere")


class AlreadyThere:
    """A result of a blocking method, which may be awaited: an ``await`` returns it at once."""

    __slots__ = ()

    def __await__(self: Self) -> Generator[Any, Any, Self]:
        return self
        yield  # which makes this a generator


class Done(AlreadyThere):
    """What a blocking method returns that has nothing to return; it may be awaited."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<done>"


#: The only one.
DONE = Done()


class UploadedFile(dict[str, Any], AlreadyThere):
    """What the service says about an uploaded file; it may be awaited."""

    __slots__ = ()


class RequestFlag(str, AlreadyThere):
    """The flag of a request, by which the bot answers it; it may be awaited."""

    __slots__ = ()


@frozen
class Said(AlreadyThere):
    """A message that a person sent.

    :ivar message_id: its number.
    :ivar text: what was said, as it was given.
    :ivar user_id: who said it.
    :ivar chat: where.
    :ivar forward_id: the name of the forwarded message, if it is one; else empty.
    """

    message_id: int
    text: str
    user_id: int
    chat: Chat
    forward_id: str = ""


@frozen
class ChatMessage(AlreadyThere):
    """A message of the transcript, of a person or of the bot.

    :ivar message_id: its number.
    :ivar time: seconds since the epoch.
    :ivar user_id: who said it.
    :ivar from_bot: whether that is the account, for which the bot speaks.
    :ivar chat: where.
    :ivar segments: the message, as in OneBot 11.
    :ivar raw: the message as a string with CQ codes.
    :ivar recalled: whether it was recalled, when the transcript was read.
    """

    message_id: int
    time: int
    user_id: int
    from_bot: bool
    chat: Chat
    segments: tuple[dict[str, Any], ...] = field(repr=False)
    raw: str
    recalled: bool = False

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> ChatMessage:
        """Return a message of the transcript's JSON."""
        kind = str(entry["message_type"])
        return cls(
            int(entry["message_id"]),
            int(entry["time"]),
            int(entry["user_id"]),
            bool(entry["from_bot"]),
            (kind, int(entry["group_id" if kind == "group" else "peer_id"])),
            tuple(entry["message"]),
            str(entry["raw_message"]),
            bool(entry["recalled"]),
        )

    @property
    def text(self) -> str:
        """Its text segments, one after the other, without blanks around them."""
        return "".join(self._data("text", "text")).strip()

    @property
    def pictures(self) -> list[str]:
        """The URLs of its pictures."""
        return self._data("image", "url")

    @property
    def files(self) -> list[str]:
        """The URLs of its pictures, voices and videos."""
        return [url for kind in ("image", "record", "video") for url in self._data(kind, "url")]

    @property
    def mentions(self) -> list[int]:
        """The numbers of those that it mentions (``at``), without ``all``."""
        return [int(number) for number in self._data("at", "qq") if number.isdigit()]

    @property
    def reply_to(self) -> int | None:
        """The number of the message that it replies to; None if it is no reply."""
        numbers = self._data("reply", "id")
        return int(numbers[0]) if numbers and numbers[0].lstrip("-").isdigit() else None

    def _data(self, kind: str, name: str) -> list[str]:
        return [
            str(segment["data"][name])
            for segment in self.segments
            if segment["type"] == kind and name in segment["data"]
        ]


@frozen
class BotAction(AlreadyThere):
    """An action that a bot called.

    :ivar seq: its number.
    :ivar time: seconds since the epoch.
    :ivar bot: the bot's name in the configuration.
    :ivar name: the action, without ``_async`` and ``_rate_limited``.
    :ivar params: its parameters as the bot gave them; empty if they were 64 KiB or more.
    :ivar status: of the answer: ``ok``, ``async`` or ``failed``; None if the link broke before it was carried
        out.
    :ivar retcode: of the answer; None as ``status``.
    :ivar message: what the answer says about a failure; else empty.
    :ivar fault: the ``id`` of the fault that was applied; None for none.
    """

    seq: int
    time: int
    bot: str
    name: str
    params: dict[str, Any]
    status: str | None
    retcode: int | None
    message: str = ""
    fault: int | None = None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> BotAction:
        """Return an entry of the JSON of the log of actions."""
        params, retcode = entry.get("params"), entry.get("retcode")
        return cls(
            int(entry["seq"]),
            int(entry["time"]),
            str(entry["bot"]),
            str(entry["action"]),
            dict(params) if isinstance(params, Mapping) else {},
            entry.get("status"),
            None if retcode is None else int(retcode),
            str(entry.get("message") or ""),
            entry.get("fault"),
        )

    @property
    def succeeded(self) -> bool:
        """Whether the answer says that it was carried out."""
        return self.status in ("ok", "async")

    def __str__(self) -> str:
        given = ", ".join(f"{name}={_shorten(value)}" for name, value in self.params.items())
        answer = "the link broke" if self.status is None else self.status
        if not self.succeeded and self.retcode is not None:
            answer += f" {self.retcode}"
        words = f": {self.message}" if self.message else ""
        return f"{self.name}({given}) -> {answer}{words}"


def _shorten(value: Any, longest: int = 200) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


#: What a message must be: a text that it is, a pattern that is found in it, or a function that says so.
Matching = Union[str, "re.Pattern[str]", Callable[[ChatMessage], object], None]


@frozen
class Searched:
    """A pattern that was given as a text: it is searched in a message, which may also be that text.

    :ivar text: the pattern.
    """

    text: str

    def __call__(self, message: ChatMessage) -> bool:
        """Return whether a message is what is expected."""
        if self.text in (message.text, message.raw):
            return True
        return any(re.search(self.text, whole) for whole in (message.text, message.raw))


def choose_matching(text: Matching, matching: Matching) -> Matching:
    """Return what a message must be, of the two parameters of an expectation.

    :param text: a text that is the whole message.
    :param matching: a pattern that is searched in it.
    :raises TypeError: if both are given.
    :raises ValueError: if the pattern is no regular expression.
    """
    if matching is None:
        return text
    if text is not None:
        raise TypeError("either a text or matching= is given, not both")
    if not isinstance(matching, str):
        return matching
    try:
        re.compile(matching)
    except re.error as error:
        raise ValueError(
            f"matching={matching!r} is no regular expression: {error}; without matching= it is a whole text"
        ) from None
    return Searched(matching)


def message_matches(matching: Matching, message: ChatMessage) -> bool:
    """Return whether a message is what is expected.

    :param matching: a text (the whole text of the message, or the message with CQ codes; blanks around it do
        not count), a compiled pattern (searched in both), a function that is given the message, or None for
        any message.
    """
    if matching is None:
        return True
    if isinstance(matching, str):
        return matching.strip() in (message.text, message.raw.strip())
    if isinstance(matching, re.Pattern):
        return bool(matching.search(message.text) or matching.search(message.raw))
    if not callable(matching):
        raise TypeError(f"a text, a compiled pattern or a function is needed, not {matching!r}")
    return bool(matching(message))


def describe_matching(matching: Matching) -> str:
    """Return words for what is expected, with a blank in front; empty for any message."""
    if matching is None:
        return ""
    if isinstance(matching, str):
        return f" {matching!r}"
    if isinstance(matching, re.Pattern):
        return f" that matches /{matching.pattern}/"
    if isinstance(matching, Searched):
        return f" that matches /{matching.text}/"
    return f" that {getattr(matching, '__name__', repr(matching))} accepts"


def params_match(expected: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Return whether an action has all expected parameters.

    :param expected: values, compiled patterns, or functions that are given the value and say whether it is
        right; None for a parameter that was not given. A number and the same number as a string are equal, as
        for OneBot implementations; a person, group or message stands for its number.
    """
    return all(_equal(value, params.get(name)) for name, value in expected.items())


def _equal(expected: Any, given: Any) -> bool:
    if callable(expected):
        return bool(expected(given))
    if isinstance(expected, re.Pattern):
        return isinstance(given, str) and bool(expected.search(given))
    return bool(_comparable(expected) == _comparable(given))


def _comparable(value: Any) -> Any:
    """Return a value in a form in which equal ones are equal, whether numbers or strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    number = getattr(value, "user_id", getattr(value, "group_id", getattr(value, "message_id", None)))
    if isinstance(number, int):
        return str(number)
    if isinstance(value, Mapping):
        return {name: _comparable(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_comparable(one) for one in value]
    return value
