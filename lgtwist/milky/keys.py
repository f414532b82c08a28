"""What names a conversation, and a message in it, in Milky: scene, peer and sequence number."""

from __future__ import annotations

from typing import NamedTuple, Protocol

#: The scenes of Milky, as its JSON has them.
FRIEND, GROUP, TEMP = "friend", "group", "temp"
#: A scene of ours: a message whose sequence number the implementation did not tell. ``seq`` is a counter.
UNSEQUENCED = "unsequenced"
#: All scenes; a position in it stands for the scene where a number is kept.
SCENES = (FRIEND, GROUP, TEMP, UNSEQUENCED)
#: The scenes of private messages, each with the other one: that of a person may change.
OTHER_SCENES = {FRIEND: TEMP, TEMP: FRIEND}
#: The numbers that Milky takes for a person or a group.
SMALLEST_NUMBER, GREATEST_NUMBER = 10_001, 4_294_967_295


class Conversation(NamedTuple):
    """One conversation of the account.

    :ivar scene: one of :data:`SCENES`.
    :ivar peer_id: the group, or the other person, whoever sent the message.
    """

    scene: str
    peer_id: int


class MessageKey(NamedTuple):
    """One message of the account.

    :ivar scene: one of :data:`SCENES`.
    :ivar peer_id: the group, or the other person, whoever sent it.
    :ivar seq: counts the messages of the conversation.
    """

    scene: str
    peer_id: int
    seq: int

    @property
    def conversation(self) -> Conversation:
        """The conversation that it is in."""
        return Conversation(self.scene, self.peer_id)


class MessageIds(Protocol):
    """The ``message_id`` of OneBot 11 for each message of Milky, and back."""

    def id_of(self, key: MessageKey, /) -> int:
        """Return the number of a message, from 1 to 2^31-1; the same for the same message at any time."""

    def key_of(self, message_id: int, /) -> MessageKey | None:
        """Return the message that a number stands for; None if it stands for none."""

    def id_of_sent(self, key: MessageKey, /) -> int:
        """Return the number of a message that the account just sent."""

    def new_unsequenced(self, peer_id: int, /) -> MessageKey:
        """Return a key for a message to a person whose sequence number the implementation did not tell."""
