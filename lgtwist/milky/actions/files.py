"""Actions about files, and about pictures and voice messages."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.table import (
    NOT_ANSWERED,
    answered_objects,
    answered_text,
    call_milky,
    convert_all,
    known_implementation,
    milky_action,
    nothing_like,
    read_peer_id,
    read_uri,
    read_word,
    with_numbers,
)
from lgtwist.milky.entities import file_data, folder_data
from lgtwist.milky.fields import object_at, objects_at, text_at
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import FRIEND, GROUP, Conversation
from lgtwist.milky.media import refuse_base64
from lgtwist.milky.recent import PrivateFile
from lgtwist.milky.uris import name_in_uri
from lgtwist.onebot.errors import BadRequest, OneBotError, UnknownAction
from lgtwist.onebot.params import ActionParams

#: The formats in which QQ keeps voice messages; Milky converts none.
_VOICE_FORMATS = ("", "silk", "amr")
#: Messages of a person that are looked through for a file.
_MOST_FOR_FILE = 30
#: The folder of files that are in no folder.
_ROOT = "/"


# -- uploads


async def upload_file(
    context: ActionContext, conversation: Conversation, uri: str, name: str, folder_id: str | None = None
) -> str:
    """Upload a file to a conversation, and return its ``file_id``; empty if the implementation told none.

    :param folder_id: of a group; None for the root.
    """
    if conversation.scene == GROUP:
        data = await call_milky(
            context,
            "upload_group_file",
            group_id=conversation.peer_id,
            parent_folder_id=folder_id,
            file_uri=uri,
            file_name=name,
        )
        return text_at(data, "file_id")
    data = await call_milky(
        context, "upload_private_file", user_id=conversation.peer_id, file_uri=uri, file_name=name
    )
    file_id = text_at(data, "file_id")
    if file_id and context.recent.private_files.get(file_id) is None:  # its event, with a hash, may be first
        context.recent.private_files.put(file_id, PrivateFile(conversation.peer_id))
    return file_id


async def _upload_named(
    context: ActionContext, params: ActionParams, conversation: Conversation, folder_id: str | None = None
) -> Any:
    """Upload the parameter ``file`` under the name ``name``."""
    await known_implementation(context)
    uri = read_uri(params, "file")
    refuse_base64(uri, "file", params.path("file"), context)
    name = params.text("name", "") or name_in_uri(uri)
    return {"file_id": await upload_file(context, conversation, uri, name, folder_id)}


@milky_action("upload_group_file")
async def upload_to_group(context: ActionContext, params: ActionParams) -> Any:
    """Upload a file to a group."""
    conversation = Conversation(GROUP, read_peer_id(params, "group_id"))
    folder_id = params.text(params.name_of("folder", "folder_id", "parent_folder_id"), "") or None
    return await _upload_named(context, params, conversation, folder_id)


@milky_action("upload_private_file")
async def upload_to_person(context: ActionContext, params: ActionParams) -> Any:
    """Send a file to a person."""
    return await _upload_named(context, params, Conversation(FRIEND, read_peer_id(params, "user_id")))


# -- files of groups


async def _list_files(context: ActionContext, group_id: int, folder_id: str | None) -> Any:
    api = "get_group_files"
    data = await call_milky(context, api, group_id=group_id, parent_folder_id=folder_id)
    files, folders = (answered_objects(data, name, api) for name in ("files", "folders"))
    return {
        "files": await convert_all(
            context, lambda one: file_data(with_numbers(one, group_id=group_id)), files
        ),
        "folders": await convert_all(
            context, lambda one: folder_data(with_numbers(one, group_id=group_id)), folders
        ),
    }


@milky_action("get_group_root_files")
async def list_root_files(context: ActionContext, params: ActionParams) -> Any:
    """Return the files and folders of a group that are in no folder."""
    return await _list_files(context, read_peer_id(params, "group_id"), None)


@milky_action("get_group_files_by_folder")
async def list_folder_files(context: ActionContext, params: ActionParams) -> Any:
    """Return the files in a folder of a group."""
    folder_id = read_word(params, "folder_id", "folder")
    return await _list_files(context, read_peer_id(params, "group_id"), folder_id)


@milky_action("get_group_file_url")
async def read_group_file_url(context: ActionContext, params: ActionParams) -> Any:
    """Return the URL of a file of a group."""
    api = "get_group_file_download_url"
    data = await call_milky(
        context, api, group_id=read_peer_id(params, "group_id"), file_id=read_word(params, "file_id")
    )
    return {"url": answered_text(data, "download_url", api)}


@milky_action("get_private_file_url")
async def read_private_file_url(context: ActionContext, params: ActionParams) -> Any:
    """Return the URL of a file in a private conversation; whose it is and its hash may be remembered."""
    api = "get_private_file_download_url"
    file_id = read_word(params, "file_id")
    known = context.recent.private_files.get(file_id)
    if known is not None and not params.has_number("user_id"):
        user_id = known.user_id
    elif params.has_number("user_id"):
        user_id = read_peer_id(params, "user_id")
    else:
        raise BadRequest(
            f"{params.path('user_id')} is missing: the file was not received since the start, so that "
            "it is not known whose it is"
        )
    file_hash = params.text("file_hash", "") or (known.file_hash if known is not None else "")
    if not file_hash and not context.implementation.is_llbot:
        file_hash = await _find_file_hash(context, user_id, file_id)
    data = await call_milky(context, api, user_id=user_id, file_id=file_id, file_hash=file_hash)
    return {"url": answered_text(data, "download_url", api)}


async def _find_file_hash(context: ActionContext, user_id: int, file_id: str) -> str:
    """Return the hash of a file by the newest messages with a person; empty if it is in none of them.

    Yogurt finds no file without it, and tells none of a file that was uploaded. LLBot wants none, and its
    messages have none.
    """
    api = "get_history_messages"
    try:
        data = await call_milky(context, api, message_scene=FRIEND, peer_id=user_id, limit=_MOST_FOR_FILE)
        messages = answered_objects(data, "messages", api)
    except NOT_ANSWERED:
        raise
    except OneBotError:
        return ""
    for message in messages:
        for segment in objects_at(message, "segments"):
            file = object_at(segment, "data")
            if segment.get("type") == "file" and text_at(file, "file_id") == file_id:
                file_hash = text_at(file, "file_hash")
                context.recent.private_files.put(file_id, PrivateFile(user_id, file_hash))
                return file_hash
    return ""


@milky_action("delete_group_file")
async def delete_file(context: ActionContext, params: ActionParams) -> None:
    """Delete a file of a group."""
    await call_milky(
        context,
        "delete_group_file",
        group_id=read_peer_id(params, "group_id"),
        file_id=read_word(params, "file_id"),
    )


@milky_action("move_group_file")
async def move_file(context: ActionContext, params: ActionParams) -> None:
    """Move a file of a group to another folder: parameters of Lagrange, and of NapCat."""
    source = params.name_of("parent_directory", "current_parent_directory", "parent_folder_id")
    target = params.name_of("target_directory", "target_parent_directory", "target_folder_id")
    await call_milky(
        context,
        "move_group_file",
        group_id=read_peer_id(params, "group_id"),
        file_id=read_word(params, "file_id"),
        parent_folder_id=params.text(source, "") or _ROOT,
        target_folder_id=params.text(target, "") or _ROOT,
    )


@milky_action("rename_group_file")
async def rename_file(context: ActionContext, params: ActionParams) -> None:
    """Rename a file of a group."""
    source = params.name_of("current_parent_directory", "parent_directory", "parent_folder_id")
    await call_milky(
        context,
        "rename_group_file",
        group_id=read_peer_id(params, "group_id"),
        file_id=read_word(params, "file_id"),
        parent_folder_id=params.text(source, "") or _ROOT,
        new_file_name=read_word(params, "new_name", "new_file_name"),
    )


@milky_action("set_group_file_forever", "trans_group_file")
async def persist_file(context: ActionContext, params: ActionParams) -> Any:
    """Keep a file of a group without a time limit."""
    await call_milky(
        context,
        "persist_group_file",
        group_id=read_peer_id(params, "group_id"),
        file_id=read_word(params, "file_id"),
    )
    return {"ok": True}  # NapCat's answer


# -- folders of groups


@milky_action("create_group_file_folder")
async def create_folder(context: ActionContext, params: ActionParams) -> Any:
    """Make a folder in a group; Milky has no folders in folders."""
    data = await call_milky(
        context,
        "create_group_folder",
        group_id=read_peer_id(params, "group_id"),
        folder_name=read_word(params, "name", "folder_name"),
    )
    return {"folder_id": text_at(data, "folder_id")}


@milky_action("delete_group_folder", "delete_group_file_folder")
async def delete_folder(context: ActionContext, params: ActionParams) -> None:
    """Delete a folder of a group."""
    await call_milky(
        context,
        "delete_group_folder",
        group_id=read_peer_id(params, "group_id"),
        folder_id=read_word(params, "folder_id"),
    )


@milky_action("rename_group_file_folder")
async def rename_folder(context: ActionContext, params: ActionParams) -> None:
    """Rename a folder of a group."""
    await call_milky(
        context,
        "rename_group_folder",
        group_id=read_peer_id(params, "group_id"),
        folder_id=read_word(params, "folder_id"),
        new_folder_name=read_word(params, "new_folder_name", "new_name", "name"),
    )


# -- pictures and voice messages


async def _resource_url(context: ActionContext, params: ActionParams) -> str:
    """Return the present URL of what ``file`` names: the ``file`` of a segment that was received."""
    api = "get_resource_temp_url"
    resource_id = read_word(params, "file", "file_id")
    if resource_id.startswith(("http://", "https://")):  # some resources have no other id
        return resource_id
    data = await call_milky(context, api, resource_id=resource_id)
    return answered_text(data, "url", api)


@milky_action("get_image")
async def read_image(context: ActionContext, params: ActionParams) -> Any:
    """Return the URL of a picture; there is no path of a file."""
    url = await _resource_url(context, params)
    return {"file": url, "url": url}


@milky_action("get_record")
async def read_record(context: ActionContext, params: ActionParams) -> Any:
    """Return the URL of a voice message, in the format in which QQ keeps it."""
    wanted = params.text("out_format", "").lower()
    if wanted not in _VOICE_FORMATS:
        raise UnknownAction(
            f"{nothing_like('get_record with out_format')}: it gives the file that QQ keeps (SILK or AMR)"
        )
    url = await _resource_url(context, params)
    return {"file": url, "url": url, "out_format": wanted}
