"""The ids of the messages that an account sent, as far as lgtwist has seen; for ``reply_to_me``. Pure."""

from __future__ import annotations

import msgspec
from msgspec import Raw, UnsetType

from lgtwist.filters.conditions import message_id
from lgtwist.filters.subject import subject_of
from lgtwist.onebot import rawjson
from lgtwist.onebot.event import Event, place_of
from lgtwist.onebot.message import SEND_ACTIONS

#: The actions whose responses have the id of a message that they sent.
SENDING_ACTIONS = SEND_ACTIONS | {
    "forward_friend_single_msg",
    "forward_group_single_msg",
    "send_group_ai_record",
}
#: Ids of one account that are kept, the newest.
_MOST_IDS = 10_000
#: Characters of an id that is kept.
_MOST_CHARACTERS = 256


class _Response(msgspec.Struct):
    data: Raw | UnsetType = msgspec.UNSET


class _SentId(msgspec.Struct):
    message_id: Raw | UnsetType = msgspec.UNSET


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_sent_message = msgspec.json.Decoder(_SentId).decode


class SentMessages:
    """The ids of the newest messages that one account sent, as text.

    :param self_id: the account's number.
    """

    def __init__(self, self_id: int) -> None:
        self._self_id = self_id
        self._ids: dict[str, None] = {}  # the oldest first

    def __contains__(self, sent: object) -> bool:
        return sent in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def note_response(self, response: bytes) -> None:
        """Keep the id in the response to one of :data:`SENDING_ACTIONS`, if it has one.

        :param response: one JSON object.
        """
        try:
            data = rawjson.decode_leniently(_decode_response, response).data
            if isinstance(data, Raw):
                sent = rawjson.decode_leniently(_decode_sent_message, bytes(data)).message_id
                if isinstance(sent, Raw) and len(bytes(sent)) <= _MOST_CHARACTERS:
                    self._keep(rawjson.decode_value(bytes(sent)))
        except rawjson.DECODE_ERRORS:
            pass  # refused, or of an implementation that answers otherwise

    def note_event(self, event: Event) -> None:
        """Keep the id of a message that the account sent, if the event is one: also from another program."""
        if event.post_type == "message_sent" or (
            event.post_type == "message" and place_of(event).user_id == self._self_id
        ):
            self._keep(subject_of(event).member("message_id"))

    def _keep(self, sent: object) -> None:
        found = message_id(sent)
        if found in ("", "0") or len(found) > _MOST_CHARACTERS:
            return
        self._ids.pop(found, None)
        self._ids[found] = None
        if len(self._ids) > _MOST_IDS:
            del self._ids[next(iter(self._ids))]
