"""Storing and looking up the files of an action, before the action itself is performed.

Only this part of an action waits: for the disk, and for the web.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred

from lgtwist.onebot.message import Segment, is_message, to_cq
from lgtwist.sandbox.actions.files import find_group_file
from lgtwist.sandbox.bounds import CheckedMessage
from lgtwist.sandbox.files.media import MediaStore
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.segments import is_forward
from lgtwist.sandbox.world.world import PlatformError, World

#: Messages and segments that are looked through in one reactor turn.
_LOOKED_AT_ONCE = 5000
#: Files that one message may have.
_MAX_ATTACHMENTS = 50
#: Types of segments that have a file.
_ATTACHMENT_TYPES = ("image", "record", "video", "file")
_SEND_ACTIONS = frozenset({"send_msg", "send_private_msg", "send_group_msg"})
_FORWARD_ACTIONS = frozenset({"send_forward_msg", "send_group_forward_msg", "send_private_forward_msg"})
_UPLOAD_ACTIONS = frozenset({"upload_group_file", "upload_private_file"})
_LOOKUP_ACTIONS = frozenset({"get_image", "get_record"})
#: Actions with a picture, and the parameter that names it.
_PICTURE_PARAMETERS = {"set_group_portrait": "file", "_send_group_notice": "image"}


def attachment_segments(message: Iterable[Segment]) -> list[Segment]:
    """Return the segments that have a file, also those inside forwarded nodes."""
    found = []
    for segment in message:
        if segment["type"] in _ATTACHMENT_TYPES:
            found.append(segment)
        elif segment["type"] == "node" and is_message(segment["data"].get("content")):
            found += attachment_segments(segment["data"]["content"])
    return found


async def store_attachments(media: MediaStore, message: list[Segment], path: str) -> None:
    """Store the file of each segment, and set its ``file``, ``url`` and ``file_size`` to the stored one's.

    :param message: changed in place.
    :param path: the parameter's name, for errors.
    :raises PlatformError: if there are too many files, or one cannot be fetched, read or stored.
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
    """Return the message among an action's parameters, as segments; empty if the action has none.

    The parameter is set to the segments, so that it is parsed once and can be changed in place.

    :raises BadRequest: if it is not a message.
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


def finish_large_message(params: Params, message: list[Segment]) -> None:
    """Make the string with CQ codes of a message whose files are stored; call it in a thread."""
    if message and not is_forward(message):
        params.set("message", CheckedMessage(message, to_cq(message)))


def uses_files(action: str, message: list[Segment]) -> bool:
    """Return whether :func:`resolve_files` must be called before an action is performed."""
    handled = action in _UPLOAD_ACTIONS or action in _LOOKUP_ACTIONS or action in _PICTURE_PARAMETERS
    return handled or action in ("get_group_file_url", "clean_cache") or bool(attachment_segments(message))


async def resolve_files(
    media: MediaStore,
    world: World,
    action: str,
    params: Params,
    message: list[Segment],
    pause: Callable[[], Deferred[None]],
) -> None:
    """Store or look up the files of an action, and set the parameters that its function reads.

    :param message: what :func:`read_message_params` returned.
    :param pause: returns a Deferred that fires in another reactor turn.
    :raises OneBotError: if a file cannot be stored or found, or a parameter is wrong.
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
        await media.remove_unused(await referenced_files(world, pause))


async def referenced_files(world: World, pause: Callable[[], Deferred[None]]) -> set[str]:
    """Return the names of all stored files that the world refers to.

    :param pause: returns a Deferred that fires in another reactor turn.
    """
    used = {shared.media for shared in world.files.values()}
    messages = [message.message for message in world.messages.values() if not message.recalled]
    messages += [forward.nodes for forward in world.forwards.values()]
    looked_at = 0
    for message in messages:
        used |= {str(segment["data"].get("file")) for segment in attachment_segments(message)}
        looked_at += 1 + len(message)
        if looked_at > _LOOKED_AT_ONCE:
            looked_at = 0
            await pause()
    for group in world.groups.values():
        used.add(group.portrait.rpartition("/")[2])
        used |= {notice.image.rpartition("/")[2] for notice in group.notices}
    return used
