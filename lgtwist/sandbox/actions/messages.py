"""Actions about messages: sending, reading and recalling them, histories, essences and reactions."""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import Segment
from lgtwist.sandbox.actions.table import action
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.segments import is_forward
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world.forwards import add_nodes, find_forward, forward_segment
from lgtwist.sandbox.world.world import PlatformError, World


def _read_target(params: Params) -> dict[str, int]:
    """Return the recipient: ``group_id`` or ``user_id``, as ``message_type`` says, else the given one."""
    kind = params.choice("message_type", ("", "private", "group"), "")
    if kind == "group" or (not kind and params.has_number("group_id")):
        return {"group_id": params.integer("group_id")}
    return {"user_id": params.integer("user_id")}


def _send(world: World, params: Params, now: int, target: dict[str, int]) -> Any:
    """Send a message; one of nodes is sent as a forwarded message."""
    message = params.message()
    if is_forward(message):
        return _send_nodes(world, message, now, target)
    return {"message_id": world.send_as_account(message, now, **target).message_id}


@action
def send_private_msg(world: World, params: Params, now: int) -> Any:
    """Send a message to a person."""
    return _send(world, params, now, {"user_id": params.integer("user_id")})


@action
def send_group_msg(world: World, params: Params, now: int) -> Any:
    """Send a message to a group."""
    return _send(world, params, now, {"group_id": params.integer("group_id")})


@action
def send_msg(world: World, params: Params, now: int) -> Any:
    """Send a message to a person or to a group."""
    return _send(world, params, now, _read_target(params))


@action
def get_msg(world: World, params: Params, _now: int) -> Any:
    """Return a message, also a recalled one: implementations answer from what they have kept (LLBot)."""
    message_id = params.integer("message_id")
    message = world.messages.get(message_id) or world.message(message_id)
    return world.message_fields(message)


@action
def delete_msg(world: World, params: Params, now: int) -> Any:
    """Recall a message of the account, or as an admin that of a member of lower rank."""
    operations.recall_message(world, world.message(params.integer("message_id")), world.self_id, now)


@action
def mark_msg_as_read(world: World, params: Params, _now: int) -> Any:
    """Check that the message exists; nothing is marked."""
    world.message(params.integer("message_id"))


# -- forwarded messages


def _send_nodes(world: World, nodes: list[Segment], now: int, target: dict[str, int]) -> Any:
    """Add the nodes to the world as one forwarded message, and send a message that refers to it."""
    if "group_id" in target:
        world.group(target["group_id"])
    else:
        world.person(target["user_id"])
    forward = add_nodes(world, nodes, world.self_id, now)
    try:
        message = world.send_as_account([forward_segment(forward)], now, **target)
    except PlatformError:
        world.remove(forward)
        raise
    return {"message_id": message.message_id, "forward_id": forward.forward_id, "res_id": forward.forward_id}


@action
def send_forward_msg(world: World, params: Params, now: int) -> Any:
    """Send several messages as one forwarded message, to a person or to a group."""
    return _send_nodes(world, params.nodes(), now, _read_target(params))


@action
def send_group_forward_msg(world: World, params: Params, now: int) -> Any:
    """Send several messages as one forwarded message to a group."""
    return _send_nodes(world, params.nodes(), now, {"group_id": params.integer("group_id")})


@action
def send_private_forward_msg(world: World, params: Params, now: int) -> Any:
    """Send several messages as one forwarded message to a person."""
    return _send_nodes(world, params.nodes(), now, {"user_id": params.integer("user_id")})


@action
def get_forward_msg(world: World, params: Params, _now: int) -> Any:
    """Return the nodes of a forwarded message, as ``message`` (OneBot 11) and as ``messages`` (go-cqhttp).

    ``id`` or ``message_id`` is the ``id`` of its ``forward`` segment, or the number of the message with it.
    """
    name = "id" if params.has_number("id") or not params.has_number("message_id") else "message_id"
    forward = find_forward(world, params.text(name))
    messages = [
        {
            "content": node["data"]["content"],
            "sender": {
                "user_id": int(user_id)
                if (user_id := str(node["data"]["user_id"])).isascii() and user_id.isdigit()
                else 0,
                "nickname": node["data"]["nickname"],
            },
            "time": int(node["data"].get("time", forward.time)),
        }
        for node in forward.nodes
    ]
    return {"message": forward.nodes, "messages": messages}


# -- histories


def _history(world: World, params: Params, kind: str, chat_id: int) -> Any:
    """Return the newest messages of a chat, as ``get_group_msg_history`` does; see :meth:`World.newest`."""
    count = params.integer("count", 20)
    if not 0 < count <= 1000:
        raise BadRequest("params.count: expected 1 to 1000")
    newest = params.optional_number("message_seq") or params.optional_number("message_id") or 0
    message = [m for m in world.chat_messages(kind, chat_id) if not newest or m.message_id <= newest]
    return {"messages": [world.message_fields(m) for m in world.newest(message, count)]}


@action
def get_group_msg_history(world: World, params: Params, _now: int) -> Any:
    """Return the newest ``count`` messages of a group; ``message_seq`` names the newest one to return."""
    return _history(world, params, "group", world.group(params.integer("group_id")).group_id)


@action
def get_friend_msg_history(world: World, params: Params, _now: int) -> Any:
    """Return the newest ``count`` messages of a private chat, as :func:`get_group_msg_history` does."""
    return _history(world, params, "private", world.person(params.integer("user_id")).user_id)


# -- essences and reactions


@action
def set_essence_msg(world: World, params: Params, now: int) -> Any:
    """Mark a message as an essence of its group."""
    message = world.message(params.integer("message_id"))
    operations.set_essence(world, message, world.self_id, now, add=True)


@action
def delete_essence_msg(world: World, params: Params, now: int) -> Any:
    """Remove the essence mark of a message."""
    message = world.message(params.integer("message_id"))
    operations.set_essence(world, message, world.self_id, now, add=False)


@action
def get_essence_msg_list(world: World, params: Params, _now: int) -> Any:
    """Return the messages that are essences of a group."""
    group = world.group(params.integer("group_id"))
    essences = [m for m in world.chat_messages("group", group.group_id) if m.essence is not None]
    essences = world.newest(essences, len(essences))
    return [
        {
            "message_id": message.message_id,
            "sender_id": world.shown_sender(message),
            "sender_nick": world.sender_fields(message)["nickname"],
            "sender_time": message.time,
            "operator_id": essence.operator_id,
            "operator_nick": world.people[essence.operator_id].nickname
            if essence.operator_id in world.people
            else "",
            "operator_time": essence.time,
            "content": message.message,
        }
        for message in essences
        if (essence := message.essence) is not None
    ]


@action
def set_msg_emoji_like(world: World, params: Params, now: int) -> Any:
    """React to a message with an emoji, or with ``set`` false remove the reaction."""
    message = world.message(params.integer("message_id"))
    add, emoji_id = params.boolean("set", True), params.text("emoji_id", longest=operations.MAX_EMOJI)
    operations.set_reaction(world, message, world.self_id, emoji_id, now, add)
