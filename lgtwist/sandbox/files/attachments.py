"""Taking in what messages carry, before the world hears of it: the only part of the sandbox that waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lgtwist.onebot.message import Segment, is_message
from lgtwist.sandbox.actions.files import shared_file
from lgtwist.sandbox.files.media import Media
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import Failed, World

#: Files that one message may carry.
_CARRIED = 50
_CARRYING = ("image", "record", "video", "file")
_MESSAGES = frozenset({"send_msg", "send_private_msg", "send_group_msg"})
_FORWARDS = frozenset({"send_forward_msg", "send_group_forward_msg", "send_private_forward_msg"})
_UPLOADS = frozenset({"upload_group_file", "upload_private_file"})
_LOOKUPS = frozenset({"get_image", "get_record"})
_PICTURES = {"set_group_portrait": "file", "_send_group_notice": "image"}


def carried(message: Iterable[Segment]) -> list[Segment]:
    """The segments that carry a file, also inside nodes."""
    found = []
    for segment in message:
        if segment["type"] in _CARRYING:
            found.append(segment)
        elif segment["type"] == "node" and is_message(segment["data"].get("content")):
            found += carried(segment["data"]["content"])
    return found


async def take_in_message(media: Media, message: list[Segment], path: str) -> None:
    """Keep what each segment carries, and put its kept name and address in its place.

    :raises Failed: if something cannot be had.
    """
    segments = carried(message)
    if len(segments) > _CARRIED:
        raise Failed(f"{path}: more than {_CARRIED} files")
    for segment in segments:
        data = segment["data"]
        reference = data.get("file") or data.get("url")
        if not isinstance(reference, str):
            raise Failed(f"{path}: the {segment['type']} has no file")
        kept = await media.take(reference, f"{path}: {segment['type']}")
        kept_fields: dict[str, Any] = {"file": kept.file, "url": kept.url, "file_size": str(kept.size)}
        if segment["type"] == "file":
            kept_fields["name"] = str(data.get("name") or kept.name)
        segment["data"] = {**data, **kept_fields}


def reads_message(action: str, params: Params) -> list[Segment]:
    """The message among an action's parameters, read once and put back as segments; else nothing.

    :raises BadRequest: if it is none.
    """
    if action in _MESSAGES:
        name, message = "message", params.message()
    elif action in _FORWARDS:
        name, message = "messages", params.nodes()
    else:
        return []
    params.put(name, message)
    params.put("auto_escape", False)
    return message


def waits(action: str, message: list[Segment]) -> bool:
    """Whether :func:`take_in` has something to do for an action."""
    special = action in _UPLOADS or action in _LOOKUPS or action in _PICTURES
    return special or action in ("get_group_file_url", "clean_cache") or bool(carried(message))


async def take_in(media: Media, world: World, action: str, params: Params, message: list[Segment]) -> None:
    """Keep what an action carries, and put what the action's function needs among its parameters.

    :raises OneBotError: if something cannot be had, or a parameter is wrong.
    """
    if message:
        await take_in_message(media, message, "params.message")
    elif action in _UPLOADS:
        params.put("file", (await media.take(params.text("file"), "params.file")).shown())
    elif action in _PICTURES and params.has(_PICTURES[action]):
        name = _PICTURES[action]
        params.put(name, (await media.take(params.text(name), f"params.{name}")).url)
    elif action in _LOOKUPS:
        kept = media.find(params.text("file"))
        if kept is None:
            raise Failed(f"there is no file {params.text('file')[:100]}")
        params.put("kept", kept.shown())
    elif action == "get_group_file_url":
        kept = media.find(shared_file(world, params).media)
        if kept is None:
            raise Failed("the file is gone")
        params.put("kept", kept.shown())
    elif action == "clean_cache":
        media.clean(used_files(world).__contains__)


def used_files(world: World) -> set[str]:
    """The names of all kept files that something in the world refers to."""
    used = {shared.media for shared in world.files.values()}
    messages = [said.message for said in world.messages.values() if not said.recalled]
    messages += [forward.nodes for forward in world.forwards.values()]
    for message in messages:
        used |= {str(segment["data"].get("file")) for segment in carried(message)}
    for group in world.groups.values():
        used.add(group.portrait.rpartition("/")[2])
        used |= {notice.image.rpartition("/")[2] for notice in group.notices}
    return used
