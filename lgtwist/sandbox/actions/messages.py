"""Actions about messages: sending, reading and recalling them, histories, essences and reactions."""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import Segment
from lgtwist.onebot.values import read_text
from lgtwist.sandbox.actions.table import action
from lgtwist.sandbox.bounds import MAX_FORWARD, check_message
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world.model import Forward
from lgtwist.sandbox.world.world import PlatformError, World


def _read_target(params: Params) -> dict[str, int]:
    """Return the recipient: ``group_id`` or ``user_id``, as ``message_type`` says, else the given one."""
    kind = params.choice("message_type", ("", "private", "group"), "")
    if kind == "group" or (not kind and params.has_number("group_id")):
        return {"group_id": params.integer("group_id")}
    return {"user_id": params.integer("user_id")}


@action
def send_private_msg(world: World, params: Params, now: int) -> Any:
    """Send a message to a person."""
    user_id = params.integer("user_id")
    return {"message_id": world.send_as_account(params.message(), now, user_id=user_id).message_id}


@action
def send_group_msg(world: World, params: Params, now: int) -> Any:
    """Send a message to a group."""
    group_id = params.integer("group_id")
    return {"message_id": world.send_as_account(params.message(), now, group_id=group_id).message_id}


@action
def send_msg(world: World, params: Params, now: int) -> Any:
    """Send a message to a person or to a group."""
    target = _read_target(params)
    return {"message_id": world.send_as_account(params.message(), now, **target).message_id}


@action
def get_msg(world: World, params: Params, _now: int) -> Any:
    """Return a message that was not recalled."""
    return world.message_fields(world.message(params.integer("message_id")))


@action
def delete_msg(world: World, params: Params, now: int) -> Any:
    """Recall a message of the account, or as an admin that of a member of lower rank."""
    operations.recall_message(world, world.message(params.integer("message_id")), world.self_id, now)


@action
def mark_msg_as_read(world: World, params: Params, _now: int) -> Any:
    """Check that the message exists; nothing is marked."""
    world.message(params.integer("message_id"))


# -- forwarded messages


def _send_forward(world: World, params: Params, now: int, target: dict[str, int]) -> Any:
    """Add the nodes to the world as one forwarded message, and send a message that refers to it."""
    nodes = [_resolve_node(world, node) for node in params.nodes()]
    check_message(nodes, "params.messages", MAX_FORWARD)  # with the messages that are named
    if "group_id" in target:
        world.group(target["group_id"])
    else:
        world.person(target["user_id"])
    forward = world.add_forward(nodes, now)
    message = world.send_as_account([{"type": "forward", "data": {"id": forward.forward_id}}], now, **target)
    return {"message_id": message.message_id, "forward_id": forward.forward_id, "res_id": forward.forward_id}


def _resolve_node(world: World, node: Segment) -> Segment:
    """Return a node with its content: that of the message whose ``id`` it names, or its own."""
    data = node["data"]
    if "content" not in data:
        number = read_text(data["id"]) or ""
        if not (number.isascii() and number.isdigit()) or len(number) > 18:
            raise BadRequest("params.messages: a node's id must be the number of a message")
        message = world.message(int(number))
        sender = world.sender_fields(message)
        return {
            "type": "node",
            "data": {
                "user_id": str(message.user_id),
                "nickname": sender["nickname"],
                "content": message.message,
                "time": message.time,
            },
        }
    user_id = (read_text(data.get("user_id") or data.get("uin")) or str(world.self_id))[:20]
    nickname = data.get("nickname") or data.get("name") or str(user_id)
    fields = {"user_id": str(user_id), "nickname": str(nickname), "content": data["content"]}
    return {"type": "node", "data": fields}


@action
def send_forward_msg(world: World, params: Params, now: int) -> Any:
    """Send several messages as one forwarded message, to a person or to a group."""
    return _send_forward(world, params, now, _read_target(params))


@action
def send_group_forward_msg(world: World, params: Params, now: int) -> Any:
    """Send several messages as one forwarded message to a group."""
    return _send_forward(world, params, now, {"group_id": params.integer("group_id")})


@action
def send_private_forward_msg(world: World, params: Params, now: int) -> Any:
    """Send several messages as one forwarded message to a person."""
    return _send_forward(world, params, now, {"user_id": params.integer("user_id")})


@action
def get_forward_msg(world: World, params: Params, _now: int) -> Any:
    """Return the nodes of a forwarded message, as ``message`` (OneBot 11) and as ``messages`` (go-cqhttp).

    ``id`` or ``message_id`` is the ``id`` of its ``forward`` segment, or the number of the message with it.
    """
    name = "id" if params.has_number("id") or not params.has_number("message_id") else "message_id"
    forward_id = params.text(name)
    forward = world.forwards.get(forward_id) or _forward_of_message(world, forward_id)
    if forward is None:
        raise PlatformError(f"there is no forwarded message {forward_id[:100]}")
    messages = [
        {
            "content": node["data"]["content"],
            "sender": {
                "user_id": int(user_id)
                if (user_id := str(node["data"]["user_id"])).isascii() and user_id.isdigit()
                else 0,
                "nickname": node["data"]["nickname"],
            },
            "time": node["data"].get("time", forward.time),
        }
        for node in forward.nodes
    ]
    return {"message": forward.nodes, "messages": messages}


def _forward_of_message(world: World, message_id: str) -> Forward | None:
    """Return the forwarded message that a message refers to, or None."""
    message = world.messages.get(int(message_id)) if message_id.isdecimal() and len(message_id) < 19 else None
    for segment in message.message if message is not None else ():
        if segment["type"] == "forward":
            return world.forwards.get(str(segment["data"].get("id")))
    return None


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
            "sender_id": message.user_id,
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
