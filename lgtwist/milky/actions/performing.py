"""How an action is carried out, and which conversation it belongs to."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.milky.actions.table import (
    MILKY_ACTIONS,
    encoded,
    nothing_like,
)
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import FRIEND, GREATEST_NUMBER, GROUP, SMALLEST_NUMBER, TEMP, Conversation, MessageIds
from lgtwist.onebot import rawjson
from lgtwist.onebot.errors import AccountFailed, UnknownAction
from lgtwist.onebot.params import ActionParams
from lgtwist.onebot.values import read_integer


async def perform_action(action: str, params: bytes, context: ActionContext) -> bytes:
    """Carry out an action, and return its ``data``, one JSON value.

    :param action: its name, without a suffix.
    :param params: one JSON object.
    :raises OneBotError: if it failed, also if the implementation's answer cannot be read (1500), or if Milky
        has nothing like it (1404).
    """
    function = MILKY_ACTIONS.get(action)
    if function is None:
        raise UnknownAction(nothing_like(action))
    data = encoded(await function(context, ActionParams(params)))
    if data is None:
        raise AccountFailed(f"what the implementation answered to {action} cannot be written as JSON")
    return data


#: The actions that send something to a group; to a person; and to either.
_TO_GROUPS = frozenset(
    {"send_group_msg", "send_group_forward_msg", "upload_group_file", "group_poke", "set_group_reaction"}
)
_TO_PEOPLE = frozenset({"send_private_msg", "send_private_forward_msg", "upload_private_file", "friend_poke"})
_TO_EITHER = frozenset({"send_msg", "send_forward_msg", "send_poke"})
#: The actions that send something to the group of a message.
_TO_MESSAGES = frozenset({"set_msg_emoji_like", "unset_msg_emoji_like"})
_ORDERED = _TO_GROUPS | _TO_PEOPLE | _TO_EITHER | _TO_MESSAGES


class _Recipient(msgspec.Struct):
    message_type: Raw | UnsetType = UNSET
    group_id: Raw | UnsetType = UNSET
    user_id: Raw | UnsetType = UNSET
    message_id: Raw | UnsetType = UNSET


_decode_recipient = msgspec.json.Decoder(_Recipient).decode
#: Bytes that a number or a type of a message may have, as JSON.
_LONGEST_VALUE = 64


def conversation_of(action: str, params: bytes, ids: MessageIds | None = None) -> Conversation | None:
    """Return the conversation whose order an action must keep: that which it sends something to.

    That of a person is always the one of friends, though it may turn out to be a temporary one.

    :param ids: message ids; without them the group of a message that is reacted to is not known.
    :returns: None if the action sends nothing, or if its parameters do not say to whom.
    """
    if action not in _ORDERED:
        return None
    try:
        recipient = rawjson.decode_leniently(_decode_recipient, params)
    except rawjson.DECODE_ERRORS:
        return None
    if action in _TO_MESSAGES:
        message_id = _number_in(recipient.message_id)
        key = None if ids is None or message_id is None else ids.key_of(message_id)
        if key is None:
            return None
        return Conversation(FRIEND, key.peer_id) if key.scene == TEMP else key.conversation
    group_id, user_id = _number_in(recipient.group_id), _number_in(recipient.user_id)
    to_group = action in _TO_GROUPS
    if action in _TO_EITHER:
        kind = _value_in(recipient.message_type)
        to_group = kind == "group" or (kind != "private" and bool(group_id))
    scene, peer_id = (GROUP, group_id) if to_group else (FRIEND, user_id)
    if peer_id is None or not SMALLEST_NUMBER <= peer_id <= GREATEST_NUMBER:
        return None
    return Conversation(scene, peer_id)


def _value_in(raw: Raw | UnsetType) -> Any:
    if raw is UNSET or len(value := bytes(raw)) > _LONGEST_VALUE:
        return None
    try:
        return msgspec.json.decode(value)
    except rawjson.DECODE_ERRORS:
        return None


def _number_in(raw: Raw | UnsetType) -> int | None:
    return read_integer(_value_in(raw))
