"""Actions about files.

Before such an action is performed, ``attachments.resolve_files`` stores or looks up its file and puts the
:class:`StoredFile` (``to_params``) among the parameters, as ``file`` or ``stored_file``.
"""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.actions.table import action
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world.model import GroupFile
from lgtwist.sandbox.world.world import PlatformError, World


def _read_stored_file(params: Params) -> tuple[str, str, int]:
    """Return the file's name to show, its stored name and its size in bytes."""
    stored = params.object("file")
    name = params.text("name", "", longest=operations.MAX_FILE_NAME) or str(stored["name"])
    return name[: operations.MAX_FILE_NAME], str(stored["file"]), int(stored["size"])


@action
def upload_group_file(world: World, params: Params, now: int) -> Any:
    """Upload a file to a group."""
    group = world.group(params.integer("group_id"))
    name, stored_name, size = _read_stored_file(params)
    return {
        "file_id": operations.add_group_file(
            world, group, world.self_id, name, size, stored_name, now
        ).file_id
    }


@action
def upload_private_file(world: World, params: Params, now: int) -> Any:
    """Send a file to a person, as a message with a ``file`` segment."""
    user_id = params.integer("user_id")
    name, stored_name, size = _read_stored_file(params)
    stored = {"file": stored_name, "name": name, "file_size": str(size), "url": params.object("file")["url"]}
    message = world.send_as_account([{"type": "file", "data": stored}], now, user_id=user_id)
    return {"file_id": stored_name, "message_id": message.message_id}


@action
def get_group_root_files(world: World, params: Params, _now: int) -> Any:
    """Return the files of a group; there are no folders."""
    group = world.group(params.integer("group_id"))
    return {
        "files": [
            {
                "group_id": group.group_id,
                "file_id": group_file.file_id,
                "file_name": group_file.name,
                "busid": 102,
                "file_size": group_file.size,
                "upload_time": group_file.time,
                "dead_time": 0,
                "modify_time": group_file.time,
                "download_times": 0,
                "uploader": group_file.user_id,
                "uploader_name": world.people[group_file.user_id].nickname
                if group_file.user_id in world.people
                else "",
            }
            for group_file in world.files.values()
            if group_file.group_id == group.group_id
        ],
        "folders": [],
    }


def find_group_file(world: World, params: Params) -> GroupFile:
    """Return the group file that the parameters ``group_id`` and ``file_id`` name.

    :raises PlatformError: if there is none.
    """
    group = world.group(params.integer("group_id"))
    group_file = world.files.get(params.text("file_id"))
    if group_file is None or group_file.group_id != group.group_id:
        raise PlatformError(f"there is no file {params.text('file_id')[:100]} in group {group.group_id}")
    return group_file


@action
def get_group_file_url(world: World, params: Params, _now: int) -> Any:
    """Return the URL of a group's file."""
    find_group_file(world, params)
    return {"url": params.object("stored_file")["url"]}


@action
def get_image(_world: World, params: Params, _now: int) -> Any:
    """Return the path, URL and size of a stored picture."""
    stored = params.object("stored_file")
    return {
        "file": stored["path"],
        "url": stored["url"],
        "size": stored["size"],
        "filename": stored["file"],
        "file_size": str(stored["size"]),
    }


@action
def get_record(_world: World, params: Params, _now: int) -> Any:
    """Return the path and URL of a stored voice message, in its own format only.

    :raises BadRequest: if ``out_format`` is another format.
    """
    stored = params.object("stored_file")
    wanted = params.text("out_format", "")
    own = str(stored["file"]).rpartition(".")[2]
    if wanted and wanted != own:
        raise BadRequest(f"params.out_format: this world converts nothing; the file is {own}")
    return {"file": stored["path"], "url": stored["url"]}


@action
def clean_cache(_world: World, _params: Params, _now: int) -> Any:
    """Do nothing: ``attachments.resolve_files`` has already removed the stored files that are not used."""
