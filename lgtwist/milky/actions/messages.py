"""Actions about messages: sending, recalling and reading them, histories, and marking them as read."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.sending import read_private, read_recipient, send_message
from lgtwist.milky.actions.table import (
    answered_number,
    answered_object,
    answered_objects,
    call_milky,
    encoded,
    find_key,
    known_implementation,
    milky_action,
    private_conversation,
    read_peer_id,
    read_whole,
    unreadable,
    weight_of,
)
from lgtwist.milky.fields import number_at
from lgtwist.milky.finding import find_received
from lgtwist.milky.incoming import has_expiring_urls
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import GROUP, UNSEQUENCED, Conversation, MessageKey
from lgtwist.milky.messages import message_data
from lgtwist.milky.recent import LARGEST_REMEMBERED
from lgtwist.onebot.errors import AccountFailed, BadRequest
from lgtwist.onebot.params import ActionParams


@milky_action("send_private_msg")
async def send_private(context: ActionContext, params: ActionParams) -> Any:
    """Send a message to a person."""
    return await send_message(context, params, read_private(context, params))


@milky_action("send_group_msg")
async def send_to_group(context: ActionContext, params: ActionParams) -> Any:
    """Send a message to a group."""
    return await send_message(context, params, Conversation(GROUP, read_peer_id(params, "group_id")))


@milky_action("send_msg")
async def send_to_either(context: ActionContext, params: ActionParams) -> Any:
    """Send a message to a person or to a group."""
    return await send_message(context, params, read_recipient(context, params))


@milky_action("delete_msg")
async def recall_msg(context: ActionContext, params: ActionParams) -> None:
    """Recall a message."""
    key = find_key(context, params)
    if key.scene == GROUP:
        await call_milky(context, "recall_group_message", group_id=key.peer_id, message_seq=key.seq)
    else:
        await call_milky(context, "recall_private_message", user_id=key.peer_id, message_seq=key.seq)
    context.recent.messages.pop(key)


# -- reading messages


async def find_message(context: ActionContext, key: MessageKey) -> dict[str, Any]:
    """Return a message as Milky has it: what is remembered of it, else what the implementation says.

    :raises OneBotError: if it is not found.
    """
    return await find_received(
        key,
        context.recent,
        lambda one: _get_message(context, one),
        is_usable=lambda message: not _has_expired_urls(message, context.now()),
    )


#: Seconds for which the URLs of pictures, videos and voice messages can be expected to work.
_URL_SECONDS = 1800


def _has_expired_urls(message: dict[str, Any], now: float) -> bool:
    """Return whether a message has pictures or the like, and is so old that their URLs may not work."""
    return number_at(message, "time") <= now - _URL_SECONDS and has_expiring_urls(message)


async def _get_message(context: ActionContext, key: MessageKey) -> dict[str, Any]:
    api = "get_message"
    data = await call_milky(context, api, message_scene=key.scene, peer_id=key.peer_id, message_seq=key.seq)
    message = answered_object(data, "message", api)
    seq = answered_number(message, "message_seq")
    if seq is not None and seq != key.seq:
        raise unreadable(api, f"it is message {seq}, and {key.seq} was asked for")
    text = encoded(message)
    if text is not None and len(text) <= LARGEST_REMEMBERED:
        context.recent.messages.put(key, message)
    return message


@milky_action("get_msg")
async def read_msg(context: ActionContext, params: ActionParams) -> Any:
    """Return a message."""
    key = find_key(context, params)
    message = await find_message(context, key)
    return message_data(message, key, self_id=context.self_id, ids=context.ids)


# -- histories

#: Messages that one call may ask for, and that one action may.
_HISTORY_PAGE, _MOST_MESSAGES = 30, 1_000
#: Calls that one action may need: of all, and of those in a row that found nothing.
_MOST_HISTORY_PAGES, _MOST_EMPTY_PAGES = 60, 10
#: Pages upwards, to the newest message of a person (Lagrange.Core).
_MOST_UPWARDS = 10


class _History:
    """Reads a conversation backwards, page by page.

    :param count: how many messages are wanted.
    """

    api = "get_history_messages"

    def __init__(self, context: ActionContext, conversation: Conversation, count: int) -> None:
        self._context = context
        self._conversation = conversation
        self._count = count
        self._found: dict[int, dict[str, Any]] = {}
        self._failure: AccountFailed | None = None

    async def read(self, start: int | None) -> list[tuple[MessageKey, dict[str, Any]]]:
        """Return the newest messages up to ``start``, ascending; None stands for the newest of all.

        :raises OneBotError: if a call failed.
        """
        is_lagrange = (await known_implementation(self._context)).is_lagrange
        if is_lagrange and start is None and self._conversation.scene != GROUP:
            start = await self._top_for_lagrange()
        limit = min(_HISTORY_PAGE, self._count)
        empty = 0
        for _page in range(_MOST_HISTORY_PAGES):
            found, following = await self._page(start, limit, is_lagrange)
            empty = 0 if found else empty + 1
            if len(self._found) >= self._count:
                break
            if following is None:
                # LLBot ends a hole as it ends the history: without a word on where it goes on.
                if found or start is None or empty > _MOST_EMPTY_PAGES:
                    break
                following = start - limit
            if following <= 0 or (start is not None and following >= start):
                break  # LLBot takes 0 for the newest
            start, limit = following, _HISTORY_PAGE
        if not self._found and self._failure is not None:
            raise self._failure  # nothing says that there are no messages
        scene, peer_id = self._conversation
        return [
            (MessageKey(scene, peer_id, seq), self._found[seq]) for seq in sorted(self._found)[-self._count :]
        ]

    async def _page(self, start: int | None, limit: int, is_lagrange: bool) -> tuple[bool, int | None]:
        """Read one page.

        :returns: whether it has messages that are new, and where the next one begins; None if it is not said.
        """
        try:
            data = await call_milky(
                self._context,
                self.api,
                message_scene=self._conversation.scene,
                peer_id=self._conversation.peer_id,
                start_message_seq=start,
                limit=limit,
            )
        except AccountFailed as error:
            if is_lagrange and start is not None:  # its HTTP 500 for a range without messages
                self._failure = error
                return False, None
            raise
        new = {
            seq: message
            for message in answered_objects(data, "messages", self.api, _MOST_MESSAGES)
            if (seq := answered_number(message, "message_seq")) is not None
            and (start is None or seq <= start)
        }
        new = {seq: message for seq, message in new.items() if seq not in self._found}
        self._found.update(new)
        return bool(new), answered_number(data, "next_message_seq")

    async def _top_for_lagrange(self) -> int:
        """Return where to begin for the newest message of a person; Lagrange.Core must be told.

        :raises BadRequest: if no message of the person was seen yet.
        """
        newest = self._context.recent.newest.get(self._conversation)
        if newest is None:
            raise BadRequest(
                "params.message_seq is missing: Lagrange.Core does not tell the newest messages of a person "
                "of whom none was received since the start"
            )
        top = newest + _HISTORY_PAGE - 1
        for _page in range(_MOST_UPWARDS):
            await self._page(top, _HISTORY_PAGE, True)
            if max(self._found, default=0) < top:
                break
            top += _HISTORY_PAGE
        return top


def _same_chat(key: MessageKey, conversation: Conversation) -> bool:
    """Return whether a message is in a conversation; a person has one, in whatever scene."""
    if key.peer_id != conversation.peer_id or key.scene == UNSEQUENCED:
        return False
    return (key.scene == GROUP) == (conversation.scene == GROUP)


async def _read_history(context: ActionContext, params: ActionParams, conversation: Conversation) -> Any:
    """Return the messages of a conversation, the oldest first unless ``reverseOrder`` is set.

    ``message_seq`` is that of the newest to return, or its ``message_id``; NapCat takes that.
    """
    count = read_whole(params, "count", 20, least=1, most=_MOST_MESSAGES)
    newest_first = params.boolean(params.name_of("reverseOrder", "reverse_order"), False)
    name = "message_seq" if params.has_number("message_seq") else "message_id"
    start = params.optional_number(name)
    if start is not None:
        key = context.ids.key_of(start)
        if key is not None and _same_chat(key, conversation):
            conversation, start = key.conversation, key.seq
        elif name == "message_id":
            raise BadRequest(f"{params.path(name)}: there is no message {start} in this conversation")
        if start <= 0:
            raise BadRequest(f"{params.path(name)}: expected a sequence number")
    messages = await _History(context, conversation, count).read(start)
    data = []
    for key, message in messages:
        data.append(message_data(message, key, self_id=context.self_id, ids=context.ids))
        await context.rest(weight_of(message))
    return {"messages": data[::-1] if newest_first else data}


@milky_action("get_group_msg_history")
async def read_group_history(context: ActionContext, params: ActionParams) -> Any:
    """Return messages of a group."""
    return await _read_history(context, params, Conversation(GROUP, read_peer_id(params, "group_id")))


@milky_action("get_friend_msg_history")
async def read_friend_history(context: ActionContext, params: ActionParams) -> Any:
    """Return messages of a private conversation."""
    return await _read_history(
        context, params, private_conversation(context, read_peer_id(params, "user_id"))
    )


# -- marking as read


async def _mark_read(context: ActionContext, conversation: Conversation, seq: int) -> None:
    await call_milky(
        context,
        "mark_message_as_read",
        message_scene=conversation.scene,
        peer_id=conversation.peer_id,
        message_seq=seq,
    )


async def _mark_newest_read(context: ActionContext, params: ActionParams, conversation: Conversation) -> None:
    """Mark all messages of a conversation as read, or those up to ``message_id``, where that is given."""
    if params.has_number("message_id"):
        key = find_key(context, params)
        await _mark_read(context, key.conversation, key.seq)
        return
    newest = context.recent.newest.get(conversation)
    if newest is None:
        found = await _History(context, conversation, 1).read(None)
        if not found:
            raise BadRequest("there is no message in this conversation that could be marked as read")
        newest = found[-1][0].seq
    await _mark_read(context, conversation, newest)


@milky_action("mark_msg_as_read")
async def mark_read(context: ActionContext, params: ActionParams) -> None:
    """Mark a message as read, and all before it in its conversation."""
    if not params.has_number("message_id"):  # NapCat takes the conversation as well
        if params.has_number("group_id"):
            await mark_group_read(context, params)
            return
        if params.has_number("user_id"):
            await mark_private_read(context, params)
            return
    key = find_key(context, params)
    await _mark_read(context, key.conversation, key.seq)


@milky_action("mark_group_msg_as_read")
async def mark_group_read(context: ActionContext, params: ActionParams) -> None:
    """Mark the messages of a group as read."""
    await _mark_newest_read(context, params, Conversation(GROUP, read_peer_id(params, "group_id")))


@milky_action("mark_private_msg_as_read")
async def mark_private_read(context: ActionContext, params: ActionParams) -> None:
    """Mark the messages of a private conversation as read."""
    await _mark_newest_read(context, params, private_conversation(context, read_peer_id(params, "user_id")))
