"""The table of the actions, and what all of them use: ids in parameters, calls, and values in answers.

An action may need no call of Milky, or several. None that changes something is called twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from lgtwist.milky.errors import CallFailed
from lgtwist.milky.fields import LARGEST_NUMBER, list_at
from lgtwist.milky.implementation import Implementation, read_implementation
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import (
    FRIEND,
    GREATEST_NUMBER,
    GROUP,
    SMALLEST_NUMBER,
    TEMP,
    UNSEQUENCED,
    Conversation,
    MessageKey,
)
from lgtwist.milky.uris import as_uri
from lgtwist.onebot.errors import (
    AccountFailed,
    BadRequest,
    CallTimeout,
    LinkBroken,
    NotConnected,
    OneBotError,
)
from lgtwist.onebot.params import ActionParams
from lgtwist.onebot.values import read_integer

#: Carries out one action, and returns its ``data``.
MilkyAction = Callable[[ActionContext, ActionParams], Awaitable[Any]]

#: The functions of all actions, by the names that the dialects have for them.
MILKY_ACTIONS: dict[str, MilkyAction] = {}

#: Characters of a name that a sentence shows.
MAX_NAME_SHOWN = 100


def milky_action(*names: str) -> Callable[[MilkyAction], MilkyAction]:
    """Register a function in :data:`MILKY_ACTIONS` under the names of an action."""

    def register(function: MilkyAction) -> MilkyAction:
        for name in names:
            assert name not in MILKY_ACTIONS, name
            MILKY_ACTIONS[name] = function
        return function

    return register


def nothing_like(what: str) -> str:
    """Return the sentence of an action that has no counterpart in Milky."""
    return f"Milky has nothing like {what[:MAX_NAME_SHOWN]}"


# -- parameters


def read_peer_id(params: ActionParams, *names: str) -> int:
    """Return the number of a person or a group: the first of ``names`` that is given.

    :raises BadRequest: if it is missing, or none that Milky has.
    """
    name = next(filter(params.has_number, names), params.name_of(*names))
    number = params.integer(name)
    if not SMALLEST_NUMBER <= number <= GREATEST_NUMBER:
        raise BadRequest(f"{params.path(name)}: expected {SMALLEST_NUMBER} to {GREATEST_NUMBER}")
    return number


def read_whole(params: ActionParams, name: str, default: Any, *, least: int = 0, most: int) -> int:
    """Return a number that has bounds.

    :raises BadRequest: if it is not within them.
    """
    number = params.integer(name, default)
    if not least <= number <= most:
        raise BadRequest(f"{params.path(name)}: expected {least} to {most}")
    return number


def read_word(params: ActionParams, *names: str) -> str:
    """Return a string that is not empty: the first of ``names`` that is given.

    :raises BadRequest: if it is missing or empty.
    """
    name = params.name_of(*names)
    text = params.text(name)
    if not text:
        raise BadRequest(f"{params.path(name)}: it is empty")
    return text


def read_uri(params: ActionParams, name: str) -> str:
    """Return a parameter that names a file as a URI of Milky.

    :raises BadRequest: if it is none, and no absolute path either.
    """
    uri = as_uri(read_word(params, name), params.path(name))
    if uri is None:
        raise BadRequest(f"{params.path(name)}: expected a URL, base64:// or an absolute path")
    return uri


def private_conversation(context: ActionContext, user_id: int) -> Conversation:
    """Return the conversation with a person: that of friends, unless their newest message came otherwise."""
    return Conversation(TEMP if context.recent.scenes.get(user_id) == TEMP else FRIEND, user_id)


def find_key(context: ActionContext, params: ActionParams, name: str = "message_id") -> MessageKey:
    """Return the message that a parameter names.

    :raises BadRequest: if there is none, or if the implementation did not say which one it is.
    """
    message_id = params.integer(name)
    key = context.ids.key_of(message_id)
    if key is None:
        raise BadRequest(f"{params.path(name)}: there is no message {message_id}")
    if key.scene == UNSEQUENCED:
        raise BadRequest(
            f"{params.path(name)}: the implementation did not say which sequence number message {message_id} "
            "has, so that nothing can be done with it"
        )
    return key


def find_group_key(context: ActionContext, params: ActionParams) -> MessageKey:
    """Return the message of a group that ``message_id`` names.

    :raises BadRequest: if there is none, or if it is in no group.
    """
    key = find_key(context, params)
    if key.scene != GROUP:
        raise BadRequest(f"{params.path('message_id')}: Milky can do this with messages of groups only")
    if params.has_number("group_id") and params.integer("group_id") != key.peer_id:
        raise BadRequest(f"{params.path('group_id')}: the message is in another group")
    return key


# -- calls, and their answers


async def call_milky(context: ActionContext, api: str, **params: Any) -> dict[str, Any]:
    """Send one call, without the parameters that are None, and return the ``data`` of its answer.

    :raises OneBotError: see :meth:`MilkyApi.call`; also if the data is no object.
    """
    data = await context.api.call(api, {name: value for name, value in params.items() if value is not None})
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise unreadable(api, "its data is no object")
    return data


def unreadable(api: str, reason: str) -> AccountFailed:
    """Return the error of an answer that cannot be read.

    :param reason: what is wrong, such as ``url is missing``.
    """
    return AccountFailed(f"the implementation's answer to {api} cannot be read: {reason}")


#: Objects that a list in an answer may have: a group has up to 5000 members.
MAX_LISTED = 10_000


def answered_objects(
    data: dict[str, Any], name: str, api: str, most: int = MAX_LISTED
) -> list[dict[str, Any]]:
    """Return the objects of a list in an answer; what else is in the list is left out.

    :param most: what it may have.
    :raises AccountFailed: if it is no list, or has more.
    """
    value = data.get(name)
    if not isinstance(value, list):
        raise unreadable(api, f"{name} is {'missing' if value is None else 'no list'}")
    if len(value) > most:
        raise unreadable(api, f"{name} has more than {most} entries")
    return [one for one in value if isinstance(one, dict)]


async def convert_all(
    context: ActionContext, convert: Callable[[dict[str, Any]], Any], entities: list[dict[str, Any]]
) -> list[Any]:
    """Return what a function makes of each of some entities; others run meanwhile, where there are many."""
    converted = []
    for one in entities:
        converted.append(convert(one))
        await context.rest(1)
    return converted


def weight_of(message: dict[str, Any]) -> int:
    """Return how many segments a message of Milky has, and one for itself."""
    return 1 + len(list_at(message, "segments"))


def answered_object(data: dict[str, Any], name: str, api: str) -> dict[str, Any]:
    """Return an object in an answer.

    :raises AccountFailed: if it is none.
    """
    value = data.get(name)
    if not isinstance(value, dict):
        raise unreadable(api, f"{name} is {'missing' if value is None else 'no object'}")
    return value


def answered_text(data: dict[str, Any], name: str, api: str) -> str:
    """Return a string in an answer that is not empty.

    :raises AccountFailed: if it is none.
    """
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise unreadable(api, f"{name} is {'missing' if value in (None, '') else 'no string'}")
    return value


def answered_number(data: dict[str, Any], name: str) -> int | None:
    """Return a whole number in an answer, from 0 on; None if it is missing or none."""
    number = read_integer(data.get(name))
    return number if number is not None and 0 <= number <= LARGEST_NUMBER else None


def with_numbers(entity: dict[str, Any], **numbers: int) -> dict[str, Any]:
    """Return an entity of an answer with numbers that were asked for, where it does not have them."""
    missing = {name: number for name, number in numbers.items() if not answered_number(entity, name)}
    return {**entity, **missing} if missing else entity


#: What says nothing of the call itself: it may not have been answered.
NOT_ANSWERED = (NotConnected, LinkBroken, CallTimeout)


async def known_implementation(context: ActionContext) -> Implementation:
    """Return what the implementation says it is, and ask it if it has not said that yet.

    If it does not say it (Yogurt before its login), nothing is known of it.

    :raises OneBotError: if it did not answer.
    """
    if not context.implementation.name:
        try:
            data = await context.api.call("get_impl_info", {})
        except NOT_ANSWERED:
            raise
        except OneBotError:
            return context.implementation
        context.implementation = read_implementation(data)
    return context.implementation


def with_words(error: OneBotError, words: str) -> OneBotError:
    """Return an error with the same retcode and another sentence."""
    if isinstance(error, CallFailed):
        return CallFailed(error.milky_retcode, words, error.api)
    return type(error)(words)


def encoded(value: Any) -> bytes | None:
    """Return a value's JSON; None if it cannot be written."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
