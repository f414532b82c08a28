"""What people do in a sandbox: one verb each, as the control offers them.

A verb takes the world, the parameters and the time, and returns what is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world.model import ROLES, Group, Member, Person
from lgtwist.sandbox.world.world import PlatformError, World

Verb = Callable[[World, Params, int], Any]

VERBS: dict[str, Verb] = {}


def _verb(function: Verb) -> Verb:
    VERBS[function.__name__] = function
    return function


def _find_group(world: World, params: Params) -> Group:
    group_id = params.integer("group_id")
    group = world.groups.get(group_id)
    if group is None:
        raise PlatformError(f"there is no group {group_id}")
    return group


def _find_member(world: World, params: Params, name: str = "user_id") -> tuple[Group, Member]:
    group = _find_group(world, params)
    return group, world.member(group, params.integer(name))


def _read_operator(world: World, group: Group, params: Params) -> int:
    """Who does it: ``operator_id``, or the group's owner where none is given."""
    operator_id = params.optional_integer("operator_id")
    if operator_id is not None:
        return world.member(group, operator_id).user_id
    return next((m.user_id for m in group.members if m.role == "owner"), world.self_id)


# -- making people and groups


@_verb
def person(world: World, params: Params, _now: int) -> Any:
    """Make a person, or change one."""
    user_id = params.integer("user_id")
    if user_id <= 0:
        raise BadRequest("params.user_id: expected a number above 0")
    existing = world.people.get(user_id) or Person(user_id, f"Person {user_id}")
    existing.nickname = params.text("nickname", existing.nickname)
    existing.sex = params.choice("sex", ("male", "female", "unknown"), existing.sex)
    existing.age = params.integer("age", existing.age)
    existing.friend = params.boolean("friend", existing.friend) and user_id != world.self_id
    existing.remark = params.text("remark", existing.remark)
    world.put(existing)
    return existing


@_verb
def forget_person(world: World, params: Params, _now: int) -> Any:
    """Take a person out of the world and its groups, without a word to the bots."""
    person = world.person(params.integer("user_id"))
    if person.user_id == world.self_id:
        raise PlatformError("the account itself stays")
    for group in world.groups.values():
        if group.member(person.user_id) is not None:
            group.members = [m for m in group.members if m.user_id != person.user_id]
            world.put(group)
    world.remove(person)


@_verb
def group(world: World, params: Params, now: int) -> Any:
    """Make a group, or change one; ``members`` are put in or changed, the account stays what it is."""
    group_id = params.integer("group_id")
    if group_id <= 0:
        raise BadRequest("params.group_id: expected a number above 0")
    existing = world.groups.get(group_id) or Group(
        group_id, f"Group {group_id}", [Member(world.self_id, join_time=now)], create_time=now
    )
    members = {member.user_id: member for member in existing.members}
    for number, given in enumerate(params.object_list("members")):
        path = f"params.members[{number}]"
        user_id = given.integer("user_id")
        world.person(user_id)
        member = members.setdefault(user_id, Member(user_id, join_time=now))
        member.role = given.choice("role", ROLES, member.role)
        member.card = given.text("card", member.card)
        member.title = given.text("title", member.title)
        if member.role == "owner":
            for other in members.values():
                if other is not member and other.role == "owner":
                    other.role = "admin"
        if len(members) > existing.max_member_count:
            raise BadRequest(f"{path}: the group is full")
    existing.group_name = params.text("group_name", existing.group_name)
    existing.members = list(members.values())
    world.put(existing)
    return existing


@_verb
def forget_group(world: World, params: Params, _now: int) -> Any:
    """Take a group out of the world, without a word to the bots."""
    world.remove(_find_group(world, params))


# -- talk


@_verb
def say(world: World, params: Params, now: int) -> Any:
    """Say something, to the account or in a group."""
    user_id, group_id = params.integer("user_id"), params.optional_integer("group_id")
    message = params.message()
    if not message:
        raise BadRequest("params.message: nothing is said")
    anonymous = params.boolean("anonymous", False)
    if anonymous and group_id is None:
        raise BadRequest("params.anonymous: only in a group")
    return {"message_id": world.send_as_person(user_id, message, now, group_id, anonymous).message_id}


@_verb
def recall(world: World, params: Params, now: int) -> Any:
    """Take back one's own message, or as an admin somebody's."""
    message = world.message(params.integer("message_id"))
    operator_id = params.integer("user_id", message.user_id)
    operations.recall_message(world, message, operator_id, now)


@_verb
def react(world: World, params: Params, now: int) -> Any:
    """React to a message with an emoji, or take that back."""
    message = world.message(params.integer("message_id"))
    user_id = world.person(params.integer("user_id")).user_id
    operations.set_reaction(
        world, message, user_id, params.text("emoji_id"), now, params.boolean("set", True)
    )


@_verb
def essence(world: World, params: Params, now: int) -> Any:
    """Make a message one of its group's best, or not."""
    message = world.message(params.integer("message_id"))
    operations.set_essence(world, message, params.integer("user_id"), now, params.boolean("set", True))


@_verb
def poke(world: World, params: Params, now: int) -> Any:
    """Poke somebody; the account where no ``target_id`` is given."""
    target_id = params.integer("target_id", world.self_id)
    operations.poke_user(
        world, params.integer("user_id"), target_id, now, params.optional_integer("group_id")
    )


@_verb
def upload(world: World, params: Params, now: int) -> Any:
    """Upload a file into a group, or send it to the account."""
    stored = params.object("file")
    name = params.text("name", "") or str(stored["name"])
    user_id = world.person(params.integer("user_id")).user_id
    if not params.has("group_id"):
        operations.send_offline_file(world, user_id, name, int(stored["size"]), str(stored["url"]), now)
        return {"url": stored["url"]}
    group, _uploader = _find_member(world, params)
    group_file = operations.add_group_file(
        world, group, user_id, name, int(stored["size"]), str(stored["file"]), now
    )
    return {"file_id": group_file.file_id, "url": stored["url"]}


# -- coming, going, asking


@_verb
def ask(world: World, params: Params, now: int) -> Any:
    """Ask for friendship, or to join a group, or invite the account into one."""
    sub_type = params.choice("sub_type", ("add", "invite"), "add")
    request = operations.add_request(
        world,
        params.integer("user_id"),
        params.text("comment", ""),
        now,
        params.optional_integer("group_id"),
        sub_type,
    )
    return {"flag": request.flag}


@_verb
def befriend(world: World, params: Params, now: int) -> Any:
    """Become a friend without asking."""
    operations.add_friend(world, world.person(params.integer("user_id")), params.text("remark", ""), now)


@_verb
def join(world: World, params: Params, now: int) -> Any:
    """Be in a group from now on, let in or invited by ``operator_id``."""
    group = _find_group(world, params)
    user_id = world.person(params.integer("user_id")).user_id
    sub_type = params.choice("sub_type", ("approve", "invite"), "approve")
    operations.add_member(world, group, user_id, _read_operator(world, group, params), sub_type, now)


@_verb
def leave(world: World, params: Params, now: int) -> Any:
    """Leave a group."""
    group, member = _find_member(world, params)
    operations.remove_member(world, group, member.user_id, member.user_id, now)


# -- ruling


@_verb
def kick(world: World, params: Params, now: int) -> Any:
    """Show somebody out, the account too, as an admin above them."""
    group, member = _find_member(world, params)
    operator_id = _read_operator(world, group, params)
    operations.require_admin(world, group, operator_id, member.user_id)
    operations.remove_member(world, group, member.user_id, operator_id, now)


@_verb
def ban(world: World, params: Params, now: int) -> Any:
    """Forbid somebody to speak, or everybody where no ``user_id`` is given; 0 seconds lifts it."""
    group = _find_group(world, params)
    operator_id = _read_operator(world, group, params)
    duration = params.integer("duration", 30 * 60)
    if duration < 0:
        raise BadRequest("params.duration: expected 0 or more seconds")
    if not params.has("user_id"):
        operations.require_admin(world, group, operator_id)
        operations.set_whole_ban(world, group, operator_id, duration > 0, now)
        return
    member = world.member(group, params.integer("user_id"))
    operations.require_admin(world, group, operator_id, member.user_id)
    operations.ban_member(world, group, member, operator_id, duration, now)


@_verb
def admin(world: World, params: Params, now: int) -> Any:
    """Make somebody an admin, or not, as the owner."""
    group, member = _find_member(world, params)
    if member.role == "owner":
        raise PlatformError("the owner is no admin")
    operations.set_admin(world, group, member, params.boolean("enable", True), now)


@_verb
def card(world: World, params: Params, now: int) -> Any:
    """Give somebody a card."""
    operations.set_card(world, *_find_member(world, params), params.text("card", ""), now)


@_verb
def title(world: World, params: Params, now: int) -> Any:
    """Give somebody a title."""
    operations.set_title(world, *_find_member(world, params), params.text("title", ""), now)


@_verb
def rename(world: World, params: Params, now: int) -> Any:
    """Give a group another name."""
    group = _find_group(world, params)
    operations.rename_group(
        world, group, _read_operator(world, group, params), params.text("group_name"), now
    )


@_verb
def honor(world: World, params: Params, now: int) -> Any:
    """Be honoured."""
    kind = params.choice("honor_type", ("talkative", "performer", "emotion"))
    operations.announce_honor(world, _find_group(world, params), params.integer("user_id"), kind, now)


@_verb
def lucky_king(world: World, params: Params, now: int) -> Any:
    """Get the most of somebody's red envelope."""
    target_id = params.integer("target_id")
    operations.announce_lucky_king(
        world, _find_group(world, params), params.integer("user_id"), target_id, now
    )
