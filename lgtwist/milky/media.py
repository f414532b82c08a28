"""Images, records, videos and files that bots send: where they are, as Milky wants it."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from lgtwist.milky.composition import Composition
from lgtwist.milky.fields import text_at
from lgtwist.milky.finding import REFUSALS
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import GROUP
from lgtwist.milky.uris import as_uri, name_in_uri
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.values import read_integer, read_text

#: Calls of one message for new URLs where one is given that may be out of date: each takes its time.
_MOST_REFRESHED = 20
#: Characters of what may be a ``resource_id``.
_LONGEST_RESOURCE_ID = 4_096


@frozen
class OutgoingFile:
    """A file that a message sends: a call of ``upload_group_file`` or ``upload_private_file``.

    :ivar uri: a ``file_uri`` of Milky.
    :ivar name: its ``file_name``, not empty.
    """

    uri: str
    name: str


def refuse_base64(uri: str, what: str, path: str, context: ActionContext) -> None:
    """Refuse content inside a call that the implementation would spoil.

    :param what: the kind of file, for the error.
    :param path: the value's name, for the error.
    :raises BadRequest: if it is such a URI, and the implementation is Lagrange.Milky, which appends zeros.
    """
    if context.implementation.is_lagrange and uri.startswith("base64:"):
        raise BadRequest(
            f"{path}: this implementation appends zeros to a {what} that is sent as base64; "
            "send a URL or a path instead"
        )


async def _media_uri(work: Composition, data: dict[str, Any], path: str) -> str:
    """Return where an image, a record or a video is.

    ``file``, ``url`` or ``path`` says it, the first of them that is a URI or an absolute path. A ``file``
    may also be a ``resource_id``, for which the implementation has a new URL; the ``url`` beside it may
    be out of date, and is taken if it has none.
    """
    name = ""
    given = ""
    for key in ("file", "url", "path"):
        value = data.get(key)
        if value is None or value == "":
            continue
        text = read_text(value)
        if text is None:
            raise BadRequest(f"{path}.data.{key}: expected a string")
        uri = as_uri(text, f"{path}.data.{key}")
        if uri is not None:
            given = uri
            break
        name = name or text
    if not name:
        if given:
            return given
        raise BadRequest(f"{path}.data.file is missing")
    if given and (_is_file_name(name) or work.lookups >= _MOST_REFRESHED):
        return given
    where = f"{path}.data.file"
    if len(name) > _LONGEST_RESOURCE_ID:
        if given:
            return given
        raise BadRequest(f"{where}: expected a URL, base64://, an absolute path or the file of a message")
    try:
        return await work.resource_url(name)
    except REFUSALS as error:
        if given:
            return given
        raise BadRequest(
            f"{where}: it is no URL, no base64:// and no absolute path, and the implementation knows no "
            f"such file: {error.sentence}"
        ) from None


async def image_segment(work: Composition, data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return an image; a ``sub_type`` other than 0 makes it a sticker."""
    image = {"uri": await _media_uri(work, data, path)}
    sub_type = data.get("subType", data.get("sub_type"))
    if sub_type == "sticker" or (read_integer(sub_type) or 0) > 0:
        image["sub_type"] = "sticker"
    summary = text_at(data, "summary")
    if summary:
        image["summary"] = summary
    return {"type": "image", "data": image}


async def record_segment(work: Composition, data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a record.

    :raises BadRequest: if it is base64, and the implementation would spoil it.
    """
    uri = await _media_uri(work, data, path)
    refuse_base64(uri, "record", f"{path}.data.file", work.context)
    return {"type": "record", "data": {"uri": uri}}


async def video_segment(work: Composition, data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a video, with its ``cover`` or ``thumb`` where that is a URI."""
    uri = await _media_uri(work, data, path)
    video = {"uri": uri}
    for key in ("cover", "thumb"):
        text = text_at(data, key)
        thumb = as_uri(text, f"{path}.data.{key}") if text else None
        if thumb is not None:
            video["thumb_uri"] = thumb
            break
    return {"type": "video", "data": video}


async def outgoing_file(work: Composition, data: dict[str, Any], path: str) -> OutgoingFile:
    """Return a file to upload; one of a message is found again by its ``file_id``."""
    uri = None
    for key in ("file", "url", "path"):
        text = text_at(data, key)
        uri = as_uri(text, f"{path}.data.{key}") if text else None
        if uri is not None:
            break
    file_id = text_at(data, "file_id")
    bare = text_at(data, "file")
    if uri is None:
        if not file_id:
            if not bare:
                raise BadRequest(f"{path}.data.file is missing")
            raise BadRequest(f"{path}.data.file: expected a URL, base64:// or an absolute path")
        uri = await _uri_of_file(work, file_id, path)
    refuse_base64(uri, "file", f"{path}.data.file", work.context)
    name = text_at(data, "name") or text_at(data, "file_name")
    if not name:
        name = bare if _is_file_name(bare) and as_uri(bare, path) is None else name_in_uri(uri)
    return OutgoingFile(uri, name)


async def _uri_of_file(work: Composition, file_id: str, path: str) -> str:
    """Return the URL of a file of the account, or of the group that it is sent to.

    :raises BadRequest: if nothing is known of it, or the implementation tells no URL.
    """
    where = f"{path}.data.file_id"
    private = work.context.recent.private_files.get(file_id)
    if private is None and work.conversation.scene != GROUP:
        raise BadRequest(f"{where}: nothing is known of this file; send a URL or a path")
    try:
        if private is not None:
            answer = await work.call(
                "get_private_file_download_url",
                {"user_id": private.user_id, "file_id": file_id, "file_hash": private.file_hash},
            )
        else:
            answer = await work.call(
                "get_group_file_download_url",
                {"group_id": work.conversation.peer_id, "file_id": file_id},
            )
    except REFUSALS as error:
        raise BadRequest(f"{where}: {error.sentence}") from None
    uri = as_uri(text_at(answer, "download_url"), where)
    if uri is None:
        raise BadRequest(f"{where}: the implementation has no URL of this file")
    return uri


def _is_file_name(text: str) -> bool:
    """Return whether a text looks like a file's name with an extension: such is no ``resource_id``."""
    stem, dot, extension = text.rpartition(".")
    return bool(stem and dot) and 0 < len(extension) <= 5 and extension.isalnum()
