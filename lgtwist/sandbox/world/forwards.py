"""Forwarded messages: nodes that are sent as one message."""

from __future__ import annotations

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import Segment
from lgtwist.onebot.values import read_text
from lgtwist.sandbox.bounds import MAX_FORWARD, check_message
from lgtwist.sandbox.segments import is_forward
from lgtwist.sandbox.world.model import Forward, Message
from lgtwist.sandbox.world.world import PlatformError, World


def add_nodes(world: World, nodes: list[Segment], sender_id: int, now: int) -> Forward:
    """Add nodes to the world as one forwarded message.

    :param nodes: what ``segments.read_nodes`` returned.
    :param sender_id: who sends them; the author of the nodes that name none.
    :raises OneBotError: if a node names a message that does not exist, or they have too many characters.
    """
    resolved = [_resolve_node(world, node, sender_id) for node in nodes]
    check_message(resolved, "params.messages", MAX_FORWARD)  # with the messages that are named
    return world.add_forward(resolved, now)


def forward_segment(forward: Forward) -> Segment:
    """Return the segment by which a message refers to a forwarded one."""
    return {"type": "forward", "data": {"id": forward.forward_id}}


def find_forward(world: World, name: str) -> Forward:
    """Return the forwarded message with that ``id``, or the one of the message with that number.

    :raises PlatformError: if there is none.
    """
    found = world.forwards.get(name)
    if found is None and name.isascii() and name.isdigit() and len(name) < 19:
        found = _forward_of(world, world.messages.get(int(name)))
    if found is None:
        raise PlatformError(f"there is no forwarded message {name[:100]}")
    return found


def _forward_of(world: World, message: Message | None) -> Forward | None:
    """Return the forwarded message that a message refers to, or None."""
    for segment in message.message if message is not None else ():
        if segment["type"] == "forward":
            return world.forwards.get(str(segment["data"].get("id")))
    return None


def _resolve_node(world: World, node: Segment, sender_id: int) -> Segment:
    """Return a node with author and content: those of the message whose ``id`` it names, or its own."""
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
                "user_id": str(sender["user_id"]),
                "nickname": sender["nickname"],
                "content": message.message,
                "time": str(message.time),
            },
        }
    content = data["content"]
    if is_forward(content):
        content = [_resolve_node(world, inner, sender_id) for inner in content]
    user_id = (read_text(data.get("user_id") or data.get("uin")) or str(sender_id))[:20]
    nickname = read_text(data.get("nickname") or data.get("name")) or user_id
    fields = {"user_id": user_id, "nickname": nickname, "content": content}
    if "time" in data:
        fields["time"] = data["time"]
    return {"type": "node", "data": fields}
