"""Actions about forwarded messages."""

from __future__ import annotations

from typing import Any

import msgspec

from lgtwist.milky.actions.messages import find_message
from lgtwist.milky.actions.sending import read_private, read_recipient, send_segments
from lgtwist.milky.actions.table import (
    answered_objects,
    call_milky,
    find_key,
    known_implementation,
    milky_action,
    read_peer_id,
    weight_of,
)
from lgtwist.milky.fields import object_at, objects_at, text_at
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import GROUP, UNSEQUENCED, Conversation
from lgtwist.milky.messages import forward_data
from lgtwist.milky.outgoing import Outgoing, make_forward, preview_lines
from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.onebot.params import ActionParams
from lgtwist.onebot.rawjson import DECODE_ERRORS
from lgtwist.onebot.values import read_integer

#: Characters of the JSON of a light app that is read for a forward.
_LONGEST_APP = 65_536


async def _send_forward(context: ActionContext, params: ActionParams, conversation: Conversation) -> Any:
    """Send nodes as one forwarded message.

    ``source``, ``news``, ``summary`` and ``prompt`` say what is shown of it (NapCat).
    """
    await known_implementation(context)  # which decides what can be sent
    name = params.name_of("messages", "message")
    segment = await make_forward(
        params.value(name),
        conversation,
        context,
        title=params.text("source", ""),
        preview=preview_lines(params.value("news", [])),
        summary=params.text("summary", ""),
        prompt=params.text("prompt", ""),
        path=params.path(name),
    )
    message_id = await send_segments(context, conversation, Outgoing(segments=[segment]))
    forward_id = await _sent_forward_id(context, message_id)
    return {"message_id": message_id, "forward_id": forward_id, "res_id": forward_id}


async def _sent_forward_id(context: ActionContext, message_id: int) -> str:
    """Return the id of a forward that was just sent; empty if it cannot be had: Milky answers with none."""
    key = context.ids.key_of(message_id)
    if key is None or key.scene == UNSEQUENCED:
        return ""
    try:
        return _forward_id(await context.look_up(find_message(context, key)))
    except OneBotError:  # it was sent all the same
        return ""


@milky_action("send_forward_msg")
async def send_forward(context: ActionContext, params: ActionParams) -> Any:
    """Send a forwarded message to a person or to a group."""
    return await _send_forward(context, params, read_recipient(context, params))


@milky_action("send_group_forward_msg")
async def send_group_forward(context: ActionContext, params: ActionParams) -> Any:
    """Send a forwarded message to a group."""
    return await _send_forward(context, params, Conversation(GROUP, read_peer_id(params, "group_id")))


@milky_action("send_private_forward_msg")
async def send_private_forward(context: ActionContext, params: ActionParams) -> Any:
    """Send a forwarded message to a person."""
    return await _send_forward(context, params, read_private(context, params))


#: Messages that a forward may have.
_MOST_FORWARDED = 1_000


@milky_action("get_forward_msg")
async def read_forward(context: ActionContext, params: ActionParams) -> Any:
    """Return the messages of a forward.

    ``id``, ``message_id`` or ``res_id`` is the ``id`` of its segment, or the number of the message with it.
    """
    api = "get_forwarded_messages"
    name = params.name_of("id", "message_id", "res_id", "forward_id")
    forward_id = params.text(name)
    number = read_integer(forward_id)
    if number is not None and context.ids.key_of(number) is not None:
        forward_id = _forward_id(await find_message(context, find_key(context, params, name)))
        if not forward_id:
            raise BadRequest(f"{params.path(name)}: there is no forwarded message in message {number}")
    if not forward_id:
        raise BadRequest(f"{params.path(name)}: it is empty")
    data = await call_milky(context, api, forward_id=forward_id)
    answer: dict[str, list[Any]] = {"messages": [], "message": []}
    for message in answered_objects(data, "messages", api, _MOST_FORWARDED):
        for name, made in forward_data([message], context.ids).items():
            answer[name] += made
        await context.rest(weight_of(message))
    return answer


def _forward_id(message: dict[str, Any]) -> str:
    """Return the id of the forward in an ``IncomingMessage``; empty if there is none."""
    for segment in objects_at(message, "segments"):
        data = object_at(segment, "data")
        if segment.get("type") == "forward":
            return text_at(data, "forward_id")
        if segment.get("type") == "light_app":  # LLBot reads back own forwards so
            forward_id = _forward_id_of_app(text_at(data, "json_payload"))
            if forward_id:
                return forward_id
    return ""


def _forward_id_of_app(payload: str) -> str:
    """Return the id of the forward that a light app shows; empty if it shows none."""
    if '"com.tencent.multimsg"' not in payload or len(payload) > _LONGEST_APP:
        return ""
    try:
        app = msgspec.json.decode(payload)
    except DECODE_ERRORS:
        return ""
    if not isinstance(app, dict):
        return ""
    return text_at(object_at(object_at(app, "meta"), "detail"), "resid")
