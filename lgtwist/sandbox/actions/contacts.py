"""Actions about people: the account itself, friends, requests and pokes."""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.actions.table import action
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world.model import PendingRequest
from lgtwist.sandbox.world.world import PlatformError, World, permission_denied


@action
def get_login_info(world: World, _params: Params, _now: int) -> Any:
    """Return the account's number and nickname."""
    return {"user_id": world.self_id, "nickname": world.people[world.self_id].nickname}


@action
def get_stranger_info(world: World, params: Params, _now: int) -> Any:
    """Return a person, friend or not."""
    params.boolean("no_cache", False)
    person = world.person(params.integer("user_id"))
    return {
        "user_id": person.user_id,
        "nickname": person.nickname,
        "sex": person.sex,
        "age": person.age,
    }


@action
def get_friend_list(world: World, _params: Params, _now: int) -> Any:
    """Return the account's friends."""
    return [
        {"user_id": p.user_id, "nickname": p.nickname, "remark": p.remark or p.nickname}
        for p in world.people.values()
        if p.friend
    ]


@action
def delete_friend(world: World, params: Params, _now: int) -> Any:
    """End the friendship with a person; their messages remain."""
    name = "user_id" if params.has_number("user_id") or not params.has("friend_id") else "friend_id"
    person = world.person(params.integer(name))
    if not person.friend:
        raise PlatformError(f"{person.user_id} is no friend")
    person.friend, person.remark = False, ""
    world.put(person)


@action
def send_like(world: World, params: Params, _now: int) -> Any:
    """Like a friend ``times`` times, at most ten."""
    person = world.person(params.integer("user_id"))
    times = params.integer("times", 1)
    if not 1 <= times <= 10:
        raise BadRequest("params.times: expected 1 to 10")
    if not person.friend:
        raise permission_denied(f"{person.user_id} is no friend")
    person.likes += times
    world.put(person)


# -- requests


def _read_request(world: World, params: Params, kind: str) -> PendingRequest:
    """Return the pending request that ``flag`` names.

    :param kind: its ``request_type``: ``friend`` or ``group``.
    :raises PlatformError: if there is none.
    """
    request = world.requests.get(params.text("flag"))
    if request is None or request.request_type != kind:
        raise PlatformError(f"there is no request {params.text('flag')[:100]}")
    return request


@action
def set_friend_add_request(world: World, params: Params, now: int) -> Any:
    """Approve or reject a friend request."""
    request = _read_request(world, params, "friend")
    approve, remark = params.boolean("approve", True), params.text("remark", "", longest=operations.MAX_NAME)
    world.remove(request)
    if approve:
        operations.add_friend(world, world.person(request.user_id), remark, now)


@action
def set_group_add_request(world: World, params: Params, now: int) -> Any:
    """Approve or reject a request to join a group, or an invitation of the account into one."""
    request = _read_request(world, params, "group")
    sub_type = params.text("sub_type" if params.has("sub_type") else "type", request.sub_type)
    if sub_type != request.sub_type:
        raise BadRequest(f'params.sub_type: the request is of type "{request.sub_type}"')
    approve = params.boolean("approve", True)
    params.text("reason", "")
    group = world.groups.get(request.group_id or 0)
    if group is None:
        raise PlatformError(f"there is no group {request.group_id}")
    if approve and request.sub_type == "add":
        operations.require_admin(world, group, world.self_id)
        world.remove(request)
        operations.add_member(world, group, request.user_id, world.self_id, "approve", now)
        return
    world.remove(request)
    if approve:
        operations.add_member(world, group, world.self_id, request.user_id, "invite", now)


# -- pokes


@action
def friend_poke(world: World, params: Params, now: int) -> Any:
    """Poke a person."""
    operations.poke_user(world, world.self_id, params.integer("user_id"), now)


@action
def group_poke(world: World, params: Params, now: int) -> Any:
    """Poke a member of a group."""
    operations.poke_user(world, world.self_id, params.integer("user_id"), now, params.integer("group_id"))


@action
def send_poke(world: World, params: Params, now: int) -> Any:
    """Poke a person; where ``group_id`` is given, a member of that group."""
    operations.poke_user(
        world, world.self_id, params.integer("user_id"), now, params.optional_number("group_id")
    )
