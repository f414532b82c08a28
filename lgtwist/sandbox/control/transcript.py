"""Messages as the transcript shows them. Pure."""

from __future__ import annotations

from typing import Any

from lgtwist.sandbox.world.model import Message
from lgtwist.sandbox.world.world import World


def transcript_entry(message: Message, world: World) -> dict[str, Any]:
    """Return a message as the JSON object that the transcript shows."""
    kind, chat_id = message.chat
    entry: dict[str, Any] = {
        "message_id": message.message_id,
        "time": message.time,
        "message_type": kind,
        "user_id": message.user_id,
        "from_bot": message.user_id == world.self_id,
        "message": message.message,
        "raw_message": message.raw_message,
        "recalled": message.recalled,
    }
    entry["group_id" if kind == "group" else "peer_id"] = chat_id
    return entry
