"""What all actions that send share: the recipient, the calls that a message needs, and its ``message_id``."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.files import upload_file
from lgtwist.milky.actions.table import (
    answered_number,
    answered_objects,
    call_milky,
    known_implementation,
    private_conversation,
    read_peer_id,
    with_words,
)
from lgtwist.milky.fields import number_at, object_at, text_at
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import GROUP, Conversation, MessageKey
from lgtwist.milky.outgoing import Outgoing, to_milky
from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.onebot.message import read_message
from lgtwist.onebot.params import ActionParams

#: Messages of a person that are looked through for one that was sent (Lagrange.Core), and seconds by which
#: its time may differ.
_LOOKED_THROUGH, _SECONDS_OFF = 29, 10


def read_private(context: ActionContext, params: ActionParams) -> Conversation:
    """Return the conversation with the person that ``user_id`` names.

    ``group_id`` beside it cannot be said in Milky: LLBot finds the group itself.
    """
    return private_conversation(context, read_peer_id(params, "user_id"))


def read_recipient(context: ActionContext, params: ActionParams) -> Conversation:
    """Return the recipient: ``group_id`` or ``user_id``, as ``message_type`` says, else the given one."""
    kind = params.choice("message_type", ("", "private", "group"), "")
    if kind == "group" or (not kind and params.has_number("group_id")):
        return Conversation(GROUP, read_peer_id(params, "group_id"))
    return read_private(context, params)


async def send_message(context: ActionContext, params: ActionParams, conversation: Conversation) -> Any:
    """Send the parameter ``message``; with ``auto_escape`` a string is plain text.

    What Milky sends by calls of their own goes before the message itself: first files, which fail most
    often, then pokes. Of a message without anything else ``message_id`` stands for no message that can be
    named, for Milky tells none.

    :returns: the ``data`` of the answer.
    :raises OneBotError: if a call failed; where others were carried out before, the sentence says so.
    """
    path = params.path("message")
    message = read_message(params.value("message"), path, params.boolean("auto_escape", False))
    await known_implementation(context)  # which decides what can be sent
    outgoing = await to_milky(message, conversation, context, path)
    done: list[str] = []
    try:
        for file in outgoing.files:
            await upload_file(context, conversation, file.uri, file.name)
            done.append("a file was sent")
        for user_id in outgoing.pokes:
            await nudge(context, conversation, user_id)
            done.append("a poke was sent")
        if outgoing.segments:
            message_id = await send_segments(context, conversation, outgoing)
        else:
            message_id = _new_unnamed(context, conversation)
    except OneBotError as error:
        if not done:
            raise
        raise with_words(error, f"{', '.join(done)}, then the rest failed: {error.sentence}") from error
    return {"message_id": message_id}


async def nudge(context: ActionContext, conversation: Conversation, user_id: int) -> None:
    """Poke a member of a group; or in a private conversation the peer, or the account itself."""
    if conversation.scene == GROUP:
        await call_milky(context, "send_group_nudge", group_id=conversation.peer_id, user_id=user_id)
    elif user_id not in (context.self_id, conversation.peer_id):
        raise BadRequest(f"{user_id} cannot be poked in the conversation with {conversation.peer_id}")
    else:
        is_self = True if user_id == context.self_id != conversation.peer_id else None
        await call_milky(context, "send_friend_nudge", user_id=conversation.peer_id, is_self=is_self)


async def send_segments(context: ActionContext, conversation: Conversation, outgoing: Outgoing) -> int:
    """Send the segments of a message, and return its ``message_id``.

    It is one that stands for no message that can be named, where the implementation did not say which.
    """
    if conversation.scene == GROUP:
        data = await call_milky(
            context, "send_group_message", group_id=conversation.peer_id, message=outgoing.segments
        )
        seq = answered_number(data, "message_seq")
    else:
        is_lagrange = (await known_implementation(context)).is_lagrange
        before = context.recent.newest.get(conversation)
        data = await call_milky(
            context, "send_private_message", user_id=conversation.peer_id, message=outgoing.segments
        )
        if is_lagrange:  # it answers with a number that is no sequence number
            seq = await _find_sent(context, conversation, outgoing, before, number_at(data, "time"))
        else:
            seq = answered_number(data, "message_seq")
    return _sent_id(context, conversation, seq)


def _sent_id(context: ActionContext, conversation: Conversation, seq: int | None) -> int:
    """Return the ``message_id`` of a message that was sent.

    :param seq: None or 0 if the implementation did not tell it.
    """
    if not seq:
        context.recent.unsequenced.put(conversation, context.now())
        return _new_unnamed(context, conversation)
    recent = context.recent
    if seq > (recent.newest.get(conversation) or 0):
        recent.newest.put(conversation, seq)
    return context.ids.id_of_sent(MessageKey(*conversation, seq))


def _new_unnamed(context: ActionContext, conversation: Conversation) -> int:
    """Return a new ``message_id`` that stands for no message that can be named."""
    return context.ids.id_of(context.ids.new_unsequenced(conversation.peer_id))


async def _find_sent(
    context: ActionContext, conversation: Conversation, outgoing: Outgoing, before: int | None, time: int
) -> int | None:
    """Return the sequence number of the private message that was just sent, by the history (Lagrange.Core).

    :param before: the greatest one that was known before it was sent; it is needed to ask.
    :param time: when it was sent, in seconds since the epoch; 0 if that was not said.
    :returns: None if it is not found for sure.
    """
    if before is None:
        return None
    api = "get_history_messages"
    time = time or int(context.now())
    text = _whole_text(outgoing.segments)
    try:
        data = await context.look_up(
            call_milky(
                context,
                api,
                message_scene=conversation.scene,
                peer_id=conversation.peer_id,
                start_message_seq=before + _LOOKED_THROUGH,
                limit=_LOOKED_THROUGH,
            )
        )
        messages = answered_objects(data, "messages", api)
    except OneBotError:  # it was sent, whatever the history says
        return None
    found = {
        seq
        for message in messages
        if (seq := number_at(message, "message_seq")) > before
        and number_at(message, "sender_id") == context.self_id
        and abs(number_at(message, "time") - time) <= _SECONDS_OFF
        and (text is None or _whole_text(message.get("segments")) == text)
    }
    # One before it that was not found may be in the history by now, and this one not yet.
    unknown = context.recent.unsequenced.get(conversation)
    if unknown is not None and context.now() - unknown <= 2 * _SECONDS_OFF and len(found) < 2:
        return None
    return max(found, default=None)


def _whole_text(segments: Any) -> str | None:
    """Return the text of a message that is nothing else, without white space around it; None of another."""
    if not isinstance(segments, list):
        return None
    texts: list[str] = []
    for segment in segments:
        if not isinstance(segment, dict) or segment.get("type") != "text":
            return None
        texts.append(text_at(object_at(segment, "data"), "text"))
    return "".join(texts).strip()
