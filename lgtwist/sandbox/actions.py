"""What the account can do: each action of OneBot 11 that this world knows, as one function.

A function takes the world, the parameters and the time, and returns the response's ``data``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from lgtwist import __version__
from lgtwist.onebot import action as responses
from lgtwist.onebot.errors import BadRequest, OneBotError, UnknownAction
from lgtwist.sandbox.model import Group, Member, Person
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import Failed, World, denied

Action = Callable[[World, Params, int], Any]

ACTIONS: dict[str, Action] = {}


def perform(world: World, action: str, params: bytes, now: int) -> bytes:
    """Do an action.

    :returns: the response, without echo. Never raises: what fails is told in it.
    """
    try:
        function = ACTIONS.get(action)
        if function is None:
            raise UnknownAction(f'no such action: "{action[:100]}"')
        return responses.ok(msgspec.json.encode(function(world, Params(params), now)))
    except OneBotError as error:
        return responses.failure(error)


def _action(function: Action) -> Action:
    ACTIONS[function.__name__] = function
    return function


# -- messages


@_action
def send_private_msg(world: World, params: Params, now: int) -> Any:
    """Say something to a person."""
    user_id = params.integer("user_id")
    return {"message_id": world.speak(params.message(), now, user_id=user_id).message_id}


@_action
def send_group_msg(world: World, params: Params, now: int) -> Any:
    """Say something in a group."""
    group_id = params.integer("group_id")
    return {"message_id": world.speak(params.message(), now, group_id=group_id).message_id}


@_action
def send_msg(world: World, params: Params, now: int) -> Any:
    """Say something where ``message_type`` says, or else where an id is given."""
    kind = params.text("message_type", "")
    if kind not in ("", "private", "group"):
        raise BadRequest('params.message_type: expected "private" or "group"')
    if kind == "group" or (not kind and params.has("group_id")):
        return send_group_msg(world, params, now)
    return send_private_msg(world, params, now)


@_action
def get_msg(world: World, params: Params, _now: int) -> Any:
    """Something that was said."""
    said = world.message(params.integer("message_id"))
    shown = {
        "time": said.time,
        "message_type": said.chat[0],
        "message_id": said.message_id,
        "real_id": said.message_id,
        "sender": world.sender(said),
        "message": said.message,
        "raw_message": said.raw_message,
    }
    if said.group_id is not None:
        shown["group_id"] = said.group_id
    return shown


@_action
def delete_msg(world: World, params: Params, now: int) -> Any:
    """Take a message back: one's own, or as an admin that of somebody below."""
    said = world.message(params.integer("message_id"))
    if said.user_id != world.self_id:
        if said.group_id is None:
            raise denied("it was said by somebody else")
        group = world.group(said.group_id)
        if group.highest(world.self_id) <= group.highest(said.user_id):
            raise denied("it was said by somebody whom the account may not overrule")
    world.recall(said, world.self_id, now)


# -- who is there


@_action
def get_login_info(world: World, _params: Params, _now: int) -> Any:
    """Who the account is."""
    return {"user_id": world.self_id, "nickname": world.people[world.self_id].nickname}


@_action
def get_stranger_info(world: World, params: Params, _now: int) -> Any:
    """Somebody, friend or not."""
    person = world.person(params.integer("user_id"))
    return {
        "user_id": person.user_id,
        "nickname": person.nickname,
        "sex": person.sex,
        "age": person.age,
    }


@_action
def get_friend_list(world: World, _params: Params, _now: int) -> Any:
    """The account's friends."""
    return [
        {"user_id": p.user_id, "nickname": p.nickname, "remark": p.remark or p.nickname}
        for p in world.people.values()
        if p.friend
    ]


def _group_shown(group: Group) -> dict[str, Any]:
    return {
        "group_id": group.group_id,
        "group_name": group.group_name,
        "member_count": len(group.members),
        "max_member_count": group.max_member_count,
    }


@_action
def get_group_info(world: World, params: Params, _now: int) -> Any:
    """A group."""
    return _group_shown(world.group(params.integer("group_id")))


@_action
def get_group_list(world: World, _params: Params, _now: int) -> Any:
    """The groups that the account is in."""
    return [_group_shown(g) for g in world.groups.values() if world.self_id in g.members]


def _member_shown(world: World, group: Group, member: Member) -> dict[str, Any]:
    person = world.people.get(member.user_id) or Person(member.user_id, str(member.user_id))
    return {
        "group_id": group.group_id,
        "user_id": member.user_id,
        "nickname": person.nickname,
        "card": member.card,
        "sex": person.sex,
        "age": person.age,
        "area": "",
        "join_time": member.join_time,
        "last_sent_time": member.last_sent_time,
        "level": member.level,
        "role": member.role,
        "unfriendly": False,
        "title": member.title,
        "title_expire_time": 0,
        "card_changeable": group.highest(world.self_id) > 0,
        "shut_up_timestamp": member.banned_until,
    }


@_action
def get_group_member_info(world: World, params: Params, _now: int) -> Any:
    """Somebody in a group."""
    group = world.group(params.integer("group_id"))
    return _member_shown(world, group, world.member(group, params.integer("user_id")))


@_action
def get_group_member_list(world: World, params: Params, _now: int) -> Any:
    """Everybody in a group."""
    group = world.group(params.integer("group_id"))
    return [_member_shown(world, group, member) for member in group.members.values()]


# -- ruling a group


def _subject(world: World, params: Params) -> tuple[Group, Member]:
    """The member on whom an action is to be done, whom the account must outrank."""
    group = world.group(params.integer("group_id"))
    member = world.member(group, params.integer("user_id"))
    rank = group.highest(world.self_id)
    if rank < 1 or rank <= group.highest(member.user_id):
        raise denied(f"the account may not overrule {member.user_id} in group {group.group_id}")
    return group, member


@_action
def set_group_ban(world: World, params: Params, now: int) -> Any:
    """Forbid a member to speak; a duration of 0 lifts that."""
    duration = params.integer("duration", 30 * 60)
    if not 0 <= duration <= 30 * 24 * 3600:
        raise BadRequest("params.duration: expected 0 to 2592000 seconds (30 days)")
    group, member = _subject(world, params)
    world.ban(group, member, world.self_id, duration, now)


@_action
def set_group_kick(world: World, params: Params, now: int) -> Any:
    """Show a member out."""
    params.boolean("reject_add_request", False)
    group, member = _subject(world, params)
    world.leave(group, member.user_id, world.self_id, now)


@_action
def set_group_leave(world: World, params: Params, now: int) -> Any:
    """Leave a group, or as its owner dismiss it."""
    group = world.group(params.integer("group_id"))
    owner = group.members[world.self_id].role == "owner"
    if params.boolean("is_dismiss", False):
        if not owner:
            raise denied("only its owner can dismiss a group")
    elif owner:
        raise denied("its owner cannot leave a group, only dismiss it")
    world.leave(group, world.self_id, world.self_id, now)
    if owner:
        world.remove(group)


# -- requests


@_action
def set_friend_add_request(world: World, params: Params, now: int) -> Any:
    """Answer somebody who wants to be a friend."""
    request = world.requests.get(params.text("flag"))
    if request is None or request.request_type != "friend":
        raise Failed(f"there is no request {params.text('flag')[:100]}")
    approve, remark = params.boolean("approve", True), params.text("remark", "")
    world.remove(request)
    if approve:
        world.befriend(world.person(request.user_id), remark, now)


@_action
def set_group_add_request(world: World, params: Params, now: int) -> Any:
    """Answer somebody who wants to join a group, or who invites the account into one."""
    request = world.requests.get(params.text("flag"))
    if request is None or request.request_type != "group" or request.group_id is None:
        raise Failed(f"there is no request {params.text('flag')[:100]}")
    sub_type = params.text("sub_type" if params.has("sub_type") else "type", request.sub_type)
    if sub_type != request.sub_type:
        raise BadRequest(f'params.sub_type: the request is of type "{request.sub_type}"')
    approve = params.boolean("approve", True)
    group = world.groups.get(request.group_id)
    if group is None:
        raise Failed(f"there is no group {request.group_id}")
    if approve and request.sub_type == "add" and group.highest(world.self_id) < 1:
        raise denied("only an admin lets somebody in")
    world.remove(request)
    if approve and request.sub_type == "add":
        world.join(group, request.user_id, world.self_id, "approve", now)
    elif approve:
        world.join(group, world.self_id, request.user_id, "invite", now)


# -- about the implementation


@_action
def get_status(_world: World, _params: Params, _now: int) -> Any:
    """Whether the account is online: the sandbox always is."""
    return {"online": True, "good": True}


@_action
def get_version_info(_world: World, _params: Params, _now: int) -> Any:
    """What this implementation is."""
    return {"app_name": "lgtwist-sandbox", "app_version": __version__, "protocol_version": "v11"}


@_action
def can_send_image(_world: World, _params: Params, _now: int) -> Any:
    """Whether images can be sent: not in this world."""
    return {"yes": False}


@_action
def can_send_record(_world: World, _params: Params, _now: int) -> Any:
    """Whether voice can be sent: not in this world."""
    return {"yes": False}
