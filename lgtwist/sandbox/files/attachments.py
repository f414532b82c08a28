"""Taking in what messages carry, before the world hears of it: the only part of the sandbox that waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lgtwist.onebot.message import Segment, is_message
from lgtwist.sandbox.actions.files import find_group_file
from lgtwist.sandbox.files.media import MediaStore
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import PlatformError, World

#: Files that one message may carry.
_MAX_ATTACHMENTS = 50
_ATTACHMENT_TYPES = ("image", "record", "video", "file")
_SEND_ACTIONS = frozenset({"send_msg", "send_private_msg", "send_group_msg"})
_FORWARD_ACTIONS = frozenset({"send_forward_msg", "send_group_forward_msg", "send_private_forward_msg"})
_UPLOAD_ACTIONS = frozenset({"upload_group_file", "upload_private_file"})
_LOOKUP_ACTIONS = frozenset({"get_image", "get_record"})
_PICTURE_PARAMETERS = {"set_group_portrait": "file", "_send_group_notice": "image"}


def attachment_segments(message: Iterable[Segment]) -> list[Segment]:
    """The segments that carry a file, also inside nodes."""
    found = []
    for segment in message:
        if segment["type"] in _ATTACHMENT_TYPES:
            found.append(segment)
        elif segment["type"] == "node" and is_message(segment["data"].get("content")):
            found += attachment_segments(segment["data"]["content"])
    return found


async def store_attachments(media: MediaStore, message: list[Segment], path: str) -> None:
    """Keep what each segment carries, and put its kept name and address in its place.

    :raises Failed: if something cannot be had.
    """
    segments = attachment_segments(message)
    if len(segments) > _MAX_ATTACHMENTS:
        raise PlatformError(f"{path}: more than {_MAX_ATTACHMENTS} files")
    for segment in segments:
        data = segment["data"]
        reference = data.get("file") or data.get("url")
        if not isinstance(reference, str):
            raise PlatformError(f"{path}: the {segment['type']} has no file")
        stored = await media.store(reference, f"{path}: {segment['type']}")
        stored_fields: dict[str, Any] = {
            "file": stored.file,
            "url": stored.url,
            "file_size": str(stored.size),
        }
        if segment["type"] == "file":
            stored_fields["name"] = str(data.get("name") or stored.name)
        segment["data"] = {**data, **stored_fields}


def read_message_params(action: str, params: Params) -> list[Segment]:
    """The message among an action's parameters, read once and put back as segments; else nothing.

    :raises BadRequest: if it is none.
    """
    if action in _SEND_ACTIONS:
        name, message = "message", params.message()
    elif action in _FORWARD_ACTIONS:
        name, message = "messages", params.nodes()
    else:
        return []
    params.set(name, message)
    params.set("auto_escape", False)
    return message


def uses_files(action: str, message: list[Segment]) -> bool:
    """Whether :func:`take_in` has something to do for an action."""
    handled = action in _UPLOAD_ACTIONS or action in _LOOKUP_ACTIONS or action in _PICTURE_PARAMETERS
    return handled or action in ("get_group_file_url", "clean_cache") or bool(attachment_segments(message))


async def resolve_files(
    media: MediaStore, world: World, action: str, params: Params, message: list[Segment]
) -> None:
    """Keep what an action carries, and put what the action's function needs among its parameters.

    :raises OneBotError: if something cannot be had, or a parameter is wrong.
    """
    if message:
        await store_attachments(media, message, "params.message")
    elif action in _UPLOAD_ACTIONS:
        params.set("file", (await media.store(params.text("file"), "params.file")).to_params())
    elif action in _PICTURE_PARAMETERS and params.has(_PICTURE_PARAMETERS[action]):
        name = _PICTURE_PARAMETERS[action]
        params.set(name, (await media.store(params.text(name), f"params.{name}")).url)
    elif action in _LOOKUP_ACTIONS:
        stored = media.find(params.text("file"))
        if stored is None:
            raise PlatformError(f"there is no file {params.text('file')[:100]}")
        params.set("stored_file", stored.to_params())
    elif action == "get_group_file_url":
        stored = media.find(find_group_file(world, params).media)
        if stored is None:
            raise PlatformError("the file is gone")
        params.set("stored_file", stored.to_params())
    elif action == "clean_cache":
        media.remove_unused(referenced_files(world).__contains__)


def referenced_files(world: World) -> set[str]:
    """The names of all kept files that something in the world refers to."""
    used = {shared.media for shared in world.files.values()}
    messages = [message.message for message in world.messages.values() if not message.recalled]
    messages += [forward.nodes for forward in world.forwards.values()]
    for message in messages:
        used |= {str(segment["data"].get("file")) for segment in attachment_segments(message)}
    for group in world.groups.values():
        used.add(group.portrait.rpartition("/")[2])
        used |= {notice.image.rpartition("/")[2] for notice in group.notices}
    return used
