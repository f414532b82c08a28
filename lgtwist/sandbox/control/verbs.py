"""The control verbs: what people do in a sandbox, one function each.

A function bears the name of its verb in the URL. It takes the world, the parameters and the time
(seconds since the epoch), and returns the JSON answer; None for an empty object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.segments import is_forward
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world.forwards import add_nodes, forward_segment
from lgtwist.sandbox.world.model import ROLES, Group, Member, Person
from lgtwist.sandbox.world.world import ANONYMOUS_ID, PlatformError, World

#: Takes the world, the parameters and the time (seconds since the epoch); returns the JSON answer.
Verb = Callable[[World, Params, int], Any]

#: The functions of all verbs, by name.
VERBS: dict[str, Verb] = {}


def _verb(function: Verb) -> Verb:
    """Register a function in ``VERBS`` under its own name."""
    VERBS[function.__name__] = function
    return function


def _find_group(world: World, params: Params) -> Group:
    """Return the group that ``group_id`` names, whether or not the account is a member.

    :raises PlatformError: if there is none.
    """
    group_id = params.integer("group_id")
    group = world.groups.get(group_id)
    if group is None:
        raise PlatformError(f"there is no group {group_id}")
    return group


def _find_group_and_member(world: World, params: Params, name: str = "user_id") -> tuple[Group, Member]:
    """Return the group that ``group_id`` names, and its member that the parameter ``name`` names."""
    group = _find_group(world, params)
    return group, world.member(group, params.integer(name))


def _read_operator(world: World, group: Group, params: Params) -> int:
    """Return the number of the member who acts: ``operator_id``, or the owner where it is not given."""
    operator_id = params.optional_number("operator_id")
    if operator_id is not None:
        return world.member(group, operator_id).user_id
    return next((m.user_id for m in group.members if m.role == "owner"), world.self_id)


def _read_name(params: Params, name: str, default: str | None = None) -> str:
    """Return a parameter that is the name of somebody or something.

    :param default: where it is not given; None if it must be.
    """
    if default is not None and not params.has(name):
        return default
    return params.text(name, longest=operations.MAX_NAME)


# -- people and groups


@_verb
def person(world: World, params: Params, _now: int) -> Any:
    """Add a person, or change the one with that ``user_id``."""
    user_id = params.integer("user_id")
    if user_id <= 0:
        raise BadRequest("params.user_id: expected a number above 0")
    existing = world.people.get(user_id) or Person(user_id, f"Person {user_id}")
    existing.nickname = _read_name(params, "nickname", existing.nickname)
    existing.sex = params.choice("sex", ("male", "female", "unknown"), existing.sex)
    existing.age = params.integer("age", existing.age)
    existing.friend = params.boolean("friend", existing.friend) and user_id != world.self_id
    existing.remark = _read_name(params, "remark", existing.remark)
    world.put(existing)
    return existing


@_verb
def forget_person(world: World, params: Params, _now: int) -> Any:
    """Remove a person from the world and its groups, without an event."""
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
    """Add a group, or change the one with that ``group_id``.

    ``members`` are added or changed; other members stay. A new group has the account as a member; with
    ``joined`` false the account is none. A new owner makes the old one an admin.
    """
    group_id = params.integer("group_id")
    if group_id <= 0:
        raise BadRequest("params.group_id: expected a number above 0")
    existing = world.groups.get(group_id) or Group(
        group_id, f"Group {group_id}", [Member(world.self_id, join_time=now)], create_time=now
    )
    members = {member.user_id: member for member in existing.members}
    if not params.boolean("joined", True):
        members.pop(world.self_id, None)
    for number, given in enumerate(params.object_list("members")):
        path = f"params.members[{number}]"
        user_id = given.integer("user_id")
        world.person(user_id)
        member = members.setdefault(user_id, Member(user_id, join_time=now))
        member.role = given.choice("role", ROLES, member.role)
        member.card = _read_name(given, "card", member.card)
        member.title = _read_name(given, "title", member.title)
        if member.role == "owner":
            for other in members.values():
                if other is not member and other.role == "owner":
                    other.role = "admin"
        if len(members) > existing.max_member_count:
            raise BadRequest(f"{path}: the group is full")
    existing.group_name = _read_name(params, "group_name", existing.group_name)
    existing.members = list(members.values())
    world.put(existing)
    return existing


@_verb
def forget_group(world: World, params: Params, _now: int) -> Any:
    """Remove a group from the world, without an event."""
    world.remove(_find_group(world, params))


# -- messages and files


@_verb
def say(world: World, params: Params, now: int) -> Any:
    """Send a message as a person, to the account or to a group; one of nodes as a forwarded message."""
    user_id, group_id = params.integer("user_id"), params.optional_number("group_id")
    message = params.message()
    if not message:
        raise BadRequest("params.message: it is empty")
    anonymous = params.boolean("anonymous", False)
    if anonymous and group_id is None:
        raise BadRequest("params.anonymous: only in a group")
    if not is_forward(message):
        return {"message_id": world.send_as_person(user_id, message, now, group_id, anonymous).message_id}
    forward = add_nodes(world, message, ANONYMOUS_ID if anonymous else user_id, now)
    try:
        sent = world.send_as_person(user_id, [forward_segment(forward)], now, group_id, anonymous)
    except PlatformError:
        world.remove(forward)
        raise
    return {"message_id": sent.message_id, "forward_id": forward.forward_id}


@_verb
def recall(world: World, params: Params, now: int) -> Any:
    """Recall one's own message, or as an admin (``user_id``) that of a member of lower rank."""
    message = world.message(params.integer("message_id"))
    operator_id = params.integer("user_id", message.user_id)
    operations.recall_message(world, message, operator_id, now)


@_verb
def react(world: World, params: Params, now: int) -> Any:
    """React to a message with an emoji, or with ``set`` false remove the reaction."""
    message = world.message(params.integer("message_id"))
    user_id = world.person(params.integer("user_id")).user_id
    operations.set_reaction(
        world,
        message,
        user_id,
        params.text("emoji_id", longest=operations.MAX_EMOJI),
        now,
        params.boolean("set", True),
    )


@_verb
def essence(world: World, params: Params, now: int) -> Any:
    """Mark a message as an essence of its group, or with ``set`` false remove the mark."""
    message = world.message(params.integer("message_id"))
    operations.set_essence(world, message, params.integer("user_id"), now, params.boolean("set", True))


@_verb
def poke(world: World, params: Params, now: int) -> Any:
    """Poke a person, or the account where no ``target_id`` is given."""
    target_id = params.integer("target_id", world.self_id)
    operations.poke_user(world, params.integer("user_id"), target_id, now, params.optional_number("group_id"))


@_verb
def upload(world: World, params: Params, now: int) -> Any:
    """Upload a file to a group, or send it to the account where no ``group_id`` is given."""
    stored = params.object("file")
    name = params.text("name", "", longest=operations.MAX_FILE_NAME) or str(stored["name"])[:200]
    user_id = world.person(params.integer("user_id")).user_id
    if not params.has_number("group_id"):
        operations.send_offline_file(world, user_id, name, int(stored["size"]), str(stored["url"]), now)
        return {"url": stored["url"]}
    group, _uploader = _find_group_and_member(world, params)
    group_file = operations.add_group_file(
        world, group, user_id, name, int(stored["size"]), str(stored["file"]), now
    )
    return {"file_id": group_file.file_id, "url": stored["url"]}


# -- requests, joining, leaving


@_verb
def ask(world: World, params: Params, now: int) -> Any:
    """Send a friend request, a request to join a group, or an invitation of the account into a group."""
    sub_type = params.choice("sub_type", ("add", "invite"), "add")
    request = operations.add_request(
        world,
        params.integer("user_id"),
        params.text("comment", "", longest=operations.MAX_COMMENT),
        now,
        params.optional_number("group_id"),
        sub_type,
    )
    return {"flag": request.flag}


@_verb
def befriend(world: World, params: Params, now: int) -> Any:
    """Make a person a friend of the account, without a request."""
    operations.add_friend(
        world,
        world.person(params.integer("user_id")),
        _read_name(params, "remark", ""),
        now,
    )


@_verb
def join(world: World, params: Params, now: int) -> Any:
    """Add a person to a group, approved or invited by ``operator_id``."""
    group = _find_group(world, params)
    user_id = world.person(params.integer("user_id")).user_id
    sub_type = params.choice("sub_type", ("approve", "invite"), "approve")
    operations.add_member(world, group, user_id, _read_operator(world, group, params), sub_type, now)


@_verb
def leave(world: World, params: Params, now: int) -> Any:
    """Make a member leave a group."""
    group, member = _find_group_and_member(world, params)
    operations.remove_member(world, group, member.user_id, member.user_id, now)


# -- administration


@_verb
def kick(world: World, params: Params, now: int) -> Any:
    """Remove a member, or the account, from a group, as an admin of higher rank."""
    group, member = _find_group_and_member(world, params)
    operator_id = _read_operator(world, group, params)
    operations.require_admin(world, group, operator_id, member.user_id)
    operations.remove_member(world, group, member.user_id, operator_id, now)


@_verb
def ban(world: World, params: Params, now: int) -> Any:
    """Ban a member for ``duration`` seconds, or all where no ``user_id`` is given; 0 lifts the ban."""
    group = _find_group(world, params)
    operator_id = _read_operator(world, group, params)
    duration = params.integer("duration", 30 * 60)
    if duration < 0:
        raise BadRequest("params.duration: expected 0 or more seconds")
    if not params.has_number("user_id"):
        operations.require_admin(world, group, operator_id)
        operations.set_whole_ban(world, group, operator_id, duration > 0, now)
        return
    member = world.member(group, params.integer("user_id"))
    operations.require_admin(world, group, operator_id, member.user_id)
    operations.ban_member(world, group, member, operator_id, duration, now)


@_verb
def admin(world: World, params: Params, now: int) -> Any:
    """Make a member an admin, or with ``enable`` false a plain member again."""
    group, member = _find_group_and_member(world, params)
    if member.role == "owner":
        raise PlatformError("the owner is no admin")
    operations.set_admin(world, group, member, params.boolean("enable", True), now)


@_verb
def card(world: World, params: Params, now: int) -> Any:
    """Set the card of a member."""
    operations.set_card(
        world,
        *_find_group_and_member(world, params),
        _read_name(params, "card", ""),
        now,
    )


@_verb
def title(world: World, params: Params, now: int) -> Any:
    """Set the title of a member."""
    operations.set_title(
        world,
        *_find_group_and_member(world, params),
        _read_name(params, "title", ""),
        now,
    )


@_verb
def rename(world: World, params: Params, now: int) -> Any:
    """Rename a group."""
    group = _find_group(world, params)
    operations.rename_group(
        world,
        group,
        _read_operator(world, group, params),
        _read_name(params, "group_name"),
        now,
    )


@_verb
def honor(world: World, params: Params, now: int) -> Any:
    """Send the notice that a member got an honour."""
    kind = params.choice("honor_type", ("talkative", "performer", "emotion"))
    operations.announce_honor(world, _find_group(world, params), params.integer("user_id"), kind, now)


@_verb
def lucky_king(world: World, params: Params, now: int) -> Any:
    """Send the notice that ``target_id`` got the largest share of ``user_id``'s red envelope."""
    target_id = params.integer("target_id")
    operations.announce_lucky_king(
        world, _find_group(world, params), params.integer("user_id"), target_id, now
    )
