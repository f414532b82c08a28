"""What is remembered of an account's messages and files, in memory and bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

from attrs import frozen

from lgtwist.milky.keys import Conversation, MessageKey
from lgtwist.onebot import rawjson

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: Messages, files, conversations and members that are remembered of one account.
_MESSAGES, _FILES, _PEERS = 2_000, 2_000, 20_000
#: Bytes that the JSON of a message may have to be remembered.
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
        entries[key] = value
        entries.move_to_end(key)
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


class RecentMessages:
    """The newest messages, each as its JSON, which needs a fraction of the memory, or decoded.

    :param most: how many.
    """

    __slots__ = ("_table",)

    def __init__(self, most: int) -> None:
        self._table: Newest[MessageKey, dict[str, Any] | bytes] = Newest(most)

    def put(self, key: MessageKey, message: dict[str, Any] | bytes) -> None:
        """Keep the ``IncomingMessage`` of Milky, as the newest.

        :param message: decoded, or one JSON object.
        """
        self._table.put(key, message)

    def get(self, key: MessageKey) -> dict[str, Any] | None:
        """Return a message, decoded; None if it is not there."""
        message = self._table.get(key)
        if not isinstance(message, bytes):
            return message
        try:
            decoded = rawjson.decode_value(message)
        except rawjson.DECODE_ERRORS:
            return None
        return decoded if isinstance(decoded, dict) else None

    def pop(self, key: MessageKey) -> None:
        """Remove a message, if it is there."""
        self._table.pop(key)

    def __len__(self) -> int:
        return len(self._table)


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

    :ivar messages: the ``IncomingMessage`` of Milky by its key, as it came; none that was recalled.
    :ivar private_files: by ``file_id``.
    :ivar newest: the greatest sequence number seen of each conversation.
    :ivar scenes: the scene (``friend`` or ``temp``) in which a person's newest message came.
    :ivar unsequenced: when the last message was sent of which no sequence number is known, in seconds since
        the epoch.
    """

    def __init__(self) -> None:
        self.messages = RecentMessages(_MESSAGES)
        self.private_files: Newest[str, PrivateFile] = Newest(_FILES)
        self.newest: Newest[Conversation, int] = Newest(_PEERS)
        self.scenes: Newest[int, str] = Newest(_PEERS)
        self.unsequenced: Newest[Conversation, float] = Newest(_PEERS)
