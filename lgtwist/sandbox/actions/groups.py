"""Actions about groups: their members, administration and announcements."""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.params import bounded_text
from lgtwist.sandbox.actions.table import action
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world.model import Announcement, Group, Member, Person, unused_name
from lgtwist.sandbox.world.world import MAX_ANONYMOUS_BANS, World, permission_denied

#: The longest ban of a member (seconds): 30 days.
_MAX_BAN_SECONDS = 30 * 24 * 3600
#: Characters of the text of an announcement, and of the flag of an anonymous author.
_MAX_ANNOUNCEMENT, _MAX_FLAG = 4000, 100


def _named_group(world: World, params: Params) -> Group:
    """Return the account's group that ``group_id`` names."""
    return world.group(params.integer("group_id"))


def _group_and_member(world: World, params: Params) -> tuple[Group, Member]:
    """Return the group that ``group_id`` names, and its member that ``user_id`` names."""
    group = _named_group(world, params)
    return group, world.member(group, params.integer("user_id"))


def _group_and_member_below(world: World, params: Params) -> tuple[Group, Member]:
    """Return group and member as :func:`_group_and_member` does, if the account may administer that member.

    :raises PlatformError: if the account is not an admin of higher rank than the member.
    """
    group, member = _group_and_member(world, params)
    operations.require_admin(world, group, world.self_id, member.user_id)
    return group, member


def _group_as_admin(world: World, params: Params) -> Group:
    """Return the group that ``group_id`` names, if the account is an admin of it.

    :raises PlatformError: if it is not.
    """
    group = _named_group(world, params)
    operations.require_admin(world, group, world.self_id)
    return group


def _read_duration(params: Params) -> int:
    """Return the ``duration`` of a ban in seconds; 30 minutes where it is not given."""
    duration = params.integer("duration", 30 * 60)
    if not 0 <= duration <= _MAX_BAN_SECONDS:
        raise BadRequest(f"params.duration: expected 0 to {_MAX_BAN_SECONDS} seconds (30 days)")
    return duration


# -- groups and members


def _group_fields(group: Group) -> dict[str, Any]:
    return {
        "group_id": group.group_id,
        "group_name": group.group_name,
        "member_count": len(group.members),
        "max_member_count": group.max_member_count,
        "group_create_time": group.create_time,
    }


@action
def get_group_info(world: World, params: Params, _now: int) -> Any:
    """Return a group's number, name and size."""
    params.boolean("no_cache", False)
    return _group_fields(_named_group(world, params))


@action
def get_group_list(world: World, _params: Params, _now: int) -> Any:
    """Return the groups that the account is a member of."""
    return [_group_fields(g) for g in world.groups.values() if g.member(world.self_id) is not None]


def _member_fields(world: World, group: Group, member: Member) -> dict[str, Any]:
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
        "card_changeable": group.rank(world.self_id) > 0,
        "shut_up_timestamp": member.banned_until,
    }


@action
def get_group_member_info(world: World, params: Params, _now: int) -> Any:
    """Return a member of a group."""
    params.boolean("no_cache", False)
    return _member_fields(world, *_group_and_member(world, params))


@action
def get_group_member_list(world: World, params: Params, _now: int) -> Any:
    """Return all members of a group."""
    group = _named_group(world, params)
    return [_member_fields(world, group, member) for member in group.members]


@action
def get_group_honor_info(world: World, params: Params, _now: int) -> Any:
    """Return the honours of a group: who sent most messages is talkative, the other lists are empty."""
    group = _named_group(world, params)
    kinds = ("talkative", "performer", "legend", "strong_newbie", "emotion")
    wanted = params.choice("type", (*kinds, "all"))
    fields: dict[str, Any] = {"group_id": group.group_id}
    if wanted in ("talkative", "all"):
        counts: dict[int, int] = {}
        for message in world.chat_messages("group", group.group_id):
            if group.member(message.user_id) is not None and message.user_id != world.self_id:
                counts[message.user_id] = counts.get(message.user_id, 0) + 1
        ranked = sorted(counts, key=lambda user_id: -counts[user_id])
        people: list[dict[str, Any]] = [
            {"user_id": u, "nickname": world.person(u).nickname, "avatar": ""} for u in ranked[:10]
        ]
        if people:
            fields["current_talkative"] = {**people[0], "day_count": 1}
        fields["talkative_list"] = [{**p, "description": f"{counts[p['user_id']]} messages"} for p in people]
    for kind in kinds[1:]:
        if wanted in (kind, "all"):
            fields[f"{kind}_list"] = []
    return fields


# -- administration


@action
def set_group_kick(world: World, params: Params, now: int) -> Any:
    """Remove a member of lower rank from a group; ``reject_add_request`` has no effect."""
    params.boolean("reject_add_request", False)
    group, member = _group_and_member_below(world, params)
    operations.remove_member(world, group, member.user_id, world.self_id, now)


@action
def set_group_ban(world: World, params: Params, now: int) -> Any:
    """Ban a member from sending messages for ``duration`` seconds; 0 lifts the ban."""
    duration = _read_duration(params)
    group, member = _group_and_member_below(world, params)
    operations.ban_member(world, group, member, world.self_id, duration, now)


@action
def set_group_anonymous_ban(world: World, params: Params, now: int) -> Any:
    """Ban the author of an anonymous message, known by its ``flag``, from sending anonymous messages."""
    group = _group_as_admin(world, params)
    if params.has("anonymous"):
        flag = params.object("anonymous").get("flag")
    else:
        flag = params.text("flag" if params.has("flag") else "anonymous_flag")
    if not isinstance(flag, str) or not flag.startswith(f"anonymous-{group.group_id}-"):
        raise BadRequest("params.anonymous.flag: expected the flag of an anonymous message of this group")
    flag = bounded_text(flag, "params.anonymous.flag", _MAX_FLAG)
    duration = _read_duration(params)
    group.anonymous_bans = {k: v for k, v in group.anonymous_bans.items() if v > now}
    if duration:
        group.anonymous_bans.pop(flag, None)
        while len(group.anonymous_bans) >= MAX_ANONYMOUS_BANS:
            del group.anonymous_bans[next(iter(group.anonymous_bans))]
        group.anonymous_bans[flag] = now + duration
    else:
        group.anonymous_bans.pop(flag, None)
    world.put(group)


@action
def set_group_whole_ban(world: World, params: Params, now: int) -> Any:
    """Ban all members but admins from sending messages, or lift that."""
    enable = params.boolean("enable", True)
    operations.set_whole_ban(world, _group_as_admin(world, params), world.self_id, enable, now)


@action
def set_group_admin(world: World, params: Params, now: int) -> Any:
    """Make a member an admin, or a plain member again; only the owner may."""
    enable = params.boolean("enable", True)
    group, member = _group_and_member(world, params)
    operations.require_owner(group, world.self_id)
    if member.role == "owner":
        raise permission_denied("the owner is no admin")
    operations.set_admin(world, group, member, enable, now)


@action
def set_group_anonymous(world: World, params: Params, _now: int) -> Any:
    """Allow or forbid anonymous messages in a group."""
    enable = params.boolean("enable", True)
    group = _group_as_admin(world, params)
    group.anonymous = enable
    world.put(group)


@action
def set_group_card(world: World, params: Params, now: int) -> Any:
    """Set the card of the account itself, or as an admin that of a member of lower rank."""
    card = params.text("card", "")
    group, member = _group_and_member(world, params)
    if member.user_id != world.self_id:
        operations.require_admin(world, group, world.self_id, member.user_id)
    operations.set_card(world, group, member, card[:60], now)


@action
def set_group_name(world: World, params: Params, now: int) -> Any:
    """Rename a group."""
    name = params.text("group_name")
    if not name.strip():
        raise BadRequest("params.group_name: expected a name")
    operations.rename_group(world, _group_as_admin(world, params), world.self_id, name[:60], now)


@action
def set_group_leave(world: World, params: Params, now: int) -> Any:
    """Leave a group; the owner can only dismiss it."""
    dismiss = params.boolean("is_dismiss", False)
    group = _named_group(world, params)
    owner = group.rank(world.self_id) == 2
    if dismiss and not owner:
        raise permission_denied("only its owner can dismiss a group")
    if owner and not dismiss:
        raise permission_denied("its owner cannot leave a group, only dismiss it")
    operations.remove_member(world, group, world.self_id, world.self_id, now)
    if dismiss:
        world.remove(group)


@action
def set_group_special_title(world: World, params: Params, now: int) -> Any:
    """Set the title of a member, or remove it with an empty one; only the owner may."""
    title = params.text("special_title", "")
    params.integer("duration", -1)
    group, member = _group_and_member(world, params)
    operations.require_owner(group, world.self_id)
    operations.set_title(world, group, member, title[:18], now)


@action
def set_group_portrait(world: World, params: Params, _now: int) -> Any:
    """Set the picture of a group."""
    picture = params.text("file")
    group = _group_as_admin(world, params)
    group.portrait = picture
    world.put(group)


# -- announcements


@action
def _send_group_notice(world: World, params: Params, now: int) -> Any:
    """Add an announcement to a group; the last 50 are kept."""
    text = params.text("content", longest=_MAX_ANNOUNCEMENT)
    image = params.text("image", "")
    group = _group_as_admin(world, params)
    name = unused_name("notice", {notice.notice_id for notice in group.notices})
    group.notices = [*group.notices, Announcement(name, world.self_id, now, text, image)][-50:]
    world.put(group)


@action
def _get_group_notice(world: World, params: Params, _now: int) -> Any:
    """Return the announcements of a group, newest first."""
    group = _named_group(world, params)
    if not group.notices:
        return []
    return [
        {
            "notice_id": notice.notice_id,
            "sender_id": notice.sender_id,
            "publish_time": notice.time,
            "message": {"text": notice.text, "images": [{"id": notice.image}] if notice.image else []},
        }
        for notice in reversed(group.notices)
    ]
