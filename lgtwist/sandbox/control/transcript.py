"""Messages as the transcript shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from lgtwist.sandbox.bounds import LARGE, json_parts
from lgtwist.sandbox.world.model import Message
from lgtwist.sandbox.world.world import World


def transcript_entry(message: Message, world: World, details: bool = False) -> dict[str, Any]:
    """Return a message as the JSON object that the transcript shows.

    :param details: whether it has reactions, the mark as an essence and the anonymous name, too.
    """
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
    if details:
        entry["likes"] = message.likes
        entry["essence"] = message.essence and msgspec.structs.asdict(message.essence)
        entry["anonymous"] = message.anonymous
    return entry


def transcript_parts(message: Message, world: World, details: bool = False) -> Iterator[bytes]:
    """Yield the JSON of :func:`transcript_entry`, of a large message in several parts."""
    entry = transcript_entry(message, world, details)
    if world.size_of(message) < LARGE:
        yield msgspec.json.encode(entry)
    else:
        yield from json_parts(entry)


def transcript_json(world: World, after: int, details: bool = False) -> Iterator[bytes]:
    """Yield the JSON of the messages after message ``after``, as many as one answer may have.

    ``last_message_id`` is the last one in the answer where there are more, and ``more`` is true then.

    :param details: see :func:`transcript_entry`.
    """
    messages = world.portion_after(after)
    last = world.last_message_id
    more = bool(messages) and messages[-1].message_id != next(reversed(world.messages))
    if more:
        last = messages[-1].message_id
    yield b'{"last_message_id":%d,"messages":[' % last
    for number, message in enumerate(messages):
        if number:
            yield b","
        yield from transcript_parts(message, world, details)
    yield b'],"more":true}' if more else b"]}"
