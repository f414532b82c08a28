"""Files. What is given as data or by an address was taken in before: here it is the kept file's name."""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.actions.table import action
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import operations as deeds
from lgtwist.sandbox.world.model import SharedFile
from lgtwist.sandbox.world.world import Failed, World


def _kept(params: Params) -> tuple[str, str, int]:
    """The name to show, the kept file and its size (bytes)."""
    kept = params.object("file")
    return params.text("name", "") or str(kept["name"]), str(kept["file"]), int(kept["size"])


@action
def upload_group_file(world: World, params: Params, now: int) -> Any:
    """Upload a file into a group."""
    group = world.group(params.integer("group_id"))
    name, media, size = _kept(params)
    return {"file_id": deeds.share_file(world, group, world.self_id, name, size, media, now).file_id}


@action
def upload_private_file(world: World, params: Params, now: int) -> Any:
    """Send a file to a person; it stands in the chat as a segment."""
    user_id = params.integer("user_id")
    name, media, size = _kept(params)
    kept = {"file": media, "name": name, "file_size": str(size), "url": params.object("file")["url"]}
    said = world.speak([{"type": "file", "data": kept}], now, user_id=user_id)
    return {"file_id": media, "message_id": said.message_id}


@action
def get_group_root_files(world: World, params: Params, _now: int) -> Any:
    """The files of a group; there are no folders in this world."""
    group = world.group(params.integer("group_id"))
    return {
        "files": [
            {
                "group_id": group.group_id,
                "file_id": shared.file_id,
                "file_name": shared.name,
                "busid": 102,
                "file_size": shared.size,
                "upload_time": shared.time,
                "dead_time": 0,
                "modify_time": shared.time,
                "download_times": 0,
                "uploader": shared.user_id,
                "uploader_name": world.people[shared.user_id].nickname
                if shared.user_id in world.people
                else "",
            }
            for shared in world.files.values()
            if shared.group_id == group.group_id
        ],
        "folders": [],
    }


def shared_file(world: World, params: Params) -> SharedFile:
    """The shared file that ``group_id`` and ``file_id`` name.

    :raises Failed: if there is none.
    """
    group = world.group(params.integer("group_id"))
    shared = world.files.get(params.text("file_id"))
    if shared is None or shared.group_id != group.group_id:
        raise Failed(f"there is no file {params.text('file_id')[:100]} in group {group.group_id}")
    return shared


@action
def get_group_file_url(world: World, params: Params, _now: int) -> Any:
    """Where a group's file can be had."""
    shared_file(world, params)
    return {"url": params.object("kept")["url"]}


@action
def get_image(_world: World, params: Params, _now: int) -> Any:
    """A picture that was kept: where it lies, and where it can be had."""
    kept = params.object("kept")
    return {
        "file": kept["path"],
        "url": kept["url"],
        "size": kept["size"],
        "filename": kept["file"],
        "file_size": str(kept["size"]),
    }


@action
def get_record(_world: World, params: Params, _now: int) -> Any:
    """Voice that was kept. It is not converted: only its own format can be had."""
    kept = params.object("kept")
    wanted = params.text("out_format", "")
    own = str(kept["file"]).rpartition(".")[2]
    if wanted and wanted != own:
        raise BadRequest(f"params.out_format: this world converts nothing; the file is {own}")
    return {"file": kept["path"], "url": kept["url"]}


@action
def clean_cache(_world: World, _params: Params, _now: int) -> Any:
    """Throw away kept files that nothing refers to; whoever keeps them does it."""
