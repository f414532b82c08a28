"""What is remembered of an account's messages and files, in memory and bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

import msgspec
from attrs import frozen

from lgtwist.milky.fields import number_at, object_at
from lgtwist.milky.keys import Conversation, MessageKey
from lgtwist.onebot import rawjson

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: Messages, files, conversations and members that are remembered of one account.
_MESSAGES, _FILES, _PEERS = 2_000, 2_000, 20_000
#: Messages of which only that they were received is remembered.
_HIDDEN = 200
#: Bytes that the frame of a message may have to be remembered.
LARGEST_REMEMBERED = 16_384


class Newest(Generic[_Key, _Value]):
    """A table that keeps the newest of its entries.

    :param most: how many.
    """

    __slots__ = ("_entries", "_most")

    def __init__(self, most: int) -> None:
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()
        self._most = most

    def put(self, key: _Key, value: _Value) -> None:
        """Keep a value, as the newest."""
        entries = self._entries
        if key in entries:
            entries.move_to_end(key)
        entries[key] = value
        if len(entries) > self._most:
            entries.popitem(last=False)

    def get(self, key: _Key) -> _Value | None:
        """Return a value; None if it is not there."""
        return self._entries.get(key)

    def pop(self, key: _Key) -> None:
        """Remove an entry, if it is there."""
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


class NewestNumbers(Newest[Conversation, int]):
    """The greatest sequence number seen of each conversation."""

    __slots__ = ()

    def advance(self, conversation: Conversation, seq: int) -> int | None:
        """Keep a sequence number if it is greater than the one that is there.

        :returns: the one that was there; None if there was none.
        """
        newest = self._entries.get(conversation)
        if newest is None:
            self.put(conversation, seq)
        elif seq > newest:
            self._entries[conversation] = seq
        return newest


class RecentMessages:
    """The newest messages: those that were received as their frames, which need the least memory and time.

    :param most: how many; at least half as many of the newest are there.
    """

    __slots__ = ("_earlier", "_hidden", "_messages", "_most")

    def __init__(self, most: int) -> None:
        self._most = most // 2
        #: Fetched ones decoded, received ones as frames. Two tables take turns: that is faster than one.
        self._messages: dict[MessageKey, dict[str, Any] | bytes] = {}
        self._earlier: dict[MessageKey, dict[str, Any] | bytes] = {}
        #: Received ones that were recalled, or are too large.
        self._hidden: Newest[MessageKey, bytes] = Newest(_HIDDEN)

    def put_received(self, key: MessageKey, frame: bytes) -> None:
        """Keep a message that was received, as the newest.

        :param frame: a JSON object whose ``data`` is the ``IncomingMessage`` of Milky.
        """
        if len(frame) > LARGEST_REMEMBERED:
            message = _message_in(frame)
            sent = {name: message.get(name) for name in ("time", "sender_id")}
            self._hidden.put(key, msgspec.json.encode({"data": sent}))
            return
        messages = self._messages
        messages[key] = frame
        if len(messages) >= self._most:
            self._earlier, self._messages = messages, {}

    def put(self, key: MessageKey, message: dict[str, Any]) -> None:
        """Keep an ``IncomingMessage`` that was fetched, as the newest, unless it was received."""
        if not isinstance(self._entry(key), bytes):
            messages = self._messages
            messages[key] = message
            if len(messages) >= self._most:
                self._earlier, self._messages = messages, {}

    def _entry(self, key: MessageKey) -> dict[str, Any] | bytes | None:
        message = self._messages.get(key)
        return self._earlier.get(key) if message is None else message

    def get(self, key: MessageKey) -> dict[str, Any] | None:
        """Return a message, decoded; None if it is not there, was recalled, or is too large."""
        message = self._entry(key)
        return _message_in(message) if isinstance(message, bytes) else message

    def pop(self, key: MessageKey) -> None:
        """Remove a message, if it is there; that it was received stays known."""
        for message in (self._earlier.pop(key, None), self._messages.pop(key, None)):
            if isinstance(message, bytes):
                self._hidden.put(key, message)

    def was_received(self, key: MessageKey, time: int, sender_id: int) -> bool:
        """Return whether a message was received that was sent at this time by this sender."""
        frame = self._entry(key)
        if not isinstance(frame, bytes):
            frame = self._hidden.get(key)
        if frame is None:
            return False
        message = _message_in(frame)
        return number_at(message, "time") == time and number_at(message, "sender_id") == sender_id

    def __len__(self) -> int:
        return len(self._messages) + len(self._earlier)


def _message_in(frame: bytes) -> dict[str, Any]:
    """Return the ``data`` of a frame that was read before; empty if it cannot be read once more."""
    try:
        members = rawjson.decode_value(frame)
    except rawjson.DECODE_ERRORS:
        return {}
    return object_at(members, "data") if isinstance(members, dict) else {}


@frozen
class PrivateFile:
    """What a download needs, beside ``file_id``, of a file in a private conversation.

    :ivar user_id: the other person.
    :ivar file_hash: empty where the implementation did not tell it.
    """

    user_id: int
    file_hash: str = ""


class Recent:
    """What one account remembers since the start.

    :ivar messages: the ``IncomingMessage`` of Milky by its key; none that was recalled.
    :ivar private_files: by ``file_id``.
    :ivar newest: the greatest sequence number seen of each conversation.
    :ivar scenes: the scene (``friend`` or ``temp``) in which a person's newest message came.
    :ivar unsequenced: when the last message was sent of which no sequence number is known, in seconds since
        the epoch.
    """

    def __init__(self) -> None:
        self.messages = RecentMessages(_MESSAGES)
        self.private_files: Newest[str, PrivateFile] = Newest(_FILES)
        self.newest = NewestNumbers(_PEERS)
        self.scenes: Newest[int, str] = Newest(_PEERS)
        self.unsequenced: Newest[Conversation, float] = Newest(_PEERS)
