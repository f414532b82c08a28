"""Changes of a world other than messages: each changes the records and adds the event of the platform.

Except where an operation says so, the caller checks whether it is permitted.
``operator_id`` is who acts, ``now`` is in seconds since the epoch.
"""

from __future__ import annotations

from typing import Any

from lgtwist.sandbox.world.model import (
    Essence,
    Group,
    GroupFile,
    Member,
    Message,
    PendingRequest,
    Person,
    unused_name,
)
from lgtwist.sandbox.world.world import MAX_REQUESTS, PlatformError, World, permission_denied

#: Characters that a remark, a nickname, a card, a title or the name of a group may have; that the name of a
#: file may have; and that the comment of a request may have.
MAX_NAME, MAX_FILE_NAME, MAX_COMMENT = 200, 200, 1000
#: Characters that the name of an emoji may have.
MAX_EMOJI = 64
#: Different emoji that one message may have.
_MAX_REACTIONS = 20
#: Files that all groups of a world may have together.
_MAX_GROUP_FILES = 1000


def _add_notice(world: World, now: int, notice_type: str, **fields: Any) -> None:
    """Add an event of type ``notice``."""
    world.add_event({"post_type": "notice", "notice_type": notice_type, **fields}, now)


def require_admin(world: World, group: Group, operator_id: int, user_id: int | None = None) -> None:
    """Check that somebody is an admin of a group, and of higher rank than ``user_id`` where that is given.

    :raises PlatformError: if not.
    """
    rank = group.rank(operator_id)
    if rank < 1 or (user_id is not None and rank <= group.rank(user_id)):
        raise permission_denied(f"{operator_id} may not do this in group {group.group_id}")


def require_owner(group: Group, operator_id: int) -> None:
    """Check that somebody is the owner of a group.

    :raises PlatformError: if not.
    """
    if group.rank(operator_id) < 2:
        raise permission_denied(f"only the owner of group {group.group_id} may do this")


# -- messages


def recall_message(world: World, message: Message, operator_id: int, now: int) -> None:
    """Recall a message.

    :raises PlatformError: if the operator neither sent it nor is an admin of higher rank than the sender.
    """
    if message.user_id != operator_id:
        group = None if message.group_id is None else world.groups.get(message.group_id)
        if group is None:
            raise permission_denied("it was sent by somebody else")
        require_admin(world, group, operator_id, message.user_id)
    message.recalled = True
    message.essence = None
    world.put(message)
    sender_id = world.shown_sender(message)
    about = {"user_id": sender_id, "message_id": message.message_id}
    if message.group_id is None:
        _add_notice(world, now, "friend_recall", **about)
    else:
        if operator_id == message.user_id:
            operator_id = sender_id
        _add_notice(world, now, "group_recall", group_id=message.group_id, operator_id=operator_id, **about)


def set_essence(world: World, message: Message, operator_id: int, now: int, add: bool) -> None:
    """Mark a group message as an essence, or remove the mark.

    :raises PlatformError: if it is no group message, the operator is no admin, or nothing would change.
    """
    if message.group_id is None:
        raise PlatformError("it was not sent in a group")
    require_admin(world, world.group(message.group_id), operator_id)
    if (message.essence is not None) == add:
        raise PlatformError("it is already" if add else "it is not one of the best")
    message.essence = Essence(operator_id, now) if add else None
    world.put(message)
    _add_notice(
        world,
        now,
        "essence",
        sub_type="add" if add else "delete",
        group_id=message.group_id,
        message_id=message.message_id,
        sender_id=world.shown_sender(message),
        operator_id=operator_id,
        user_id=world.shown_sender(message),
    )


def set_reaction(world: World, message: Message, user_id: int, emoji_id: str, now: int, add: bool) -> None:
    """Add or remove somebody's reaction to a message with an emoji.

    :raises PlatformError: if the message has reactions with too many different emoji.
    """
    if emoji_id not in message.likes and len(message.likes) >= _MAX_REACTIONS:
        raise PlatformError("there are too many different reactions")
    who = message.likes.setdefault(emoji_id, [])
    if add and user_id not in who:
        who.append(user_id)
    elif not add and user_id in who:
        who.remove(user_id)
    count = len(who)
    if not who:
        del message.likes[emoji_id]
    world.put(message)
    if message.group_id is not None:
        _add_notice(
            world,
            now,
            "group_msg_emoji_like",
            group_id=message.group_id,
            user_id=user_id,
            message_id=message.message_id,
            likes=[{"emoji_id": emoji_id, "count": count}],
            is_add=add,
        )


def poke_user(world: World, user_id: int, target_id: int, now: int, group_id: int | None = None) -> None:
    """Poke ``target_id``, in a group where one is given.

    :raises PlatformError: if one of the two does not exist, or is not a member of the group.
    """
    about: dict[str, Any] = {"sub_type": "poke", "user_id": user_id, "target_id": target_id}
    if group_id is not None:
        group = world.group(group_id)
        world.member(group, user_id), world.member(group, target_id)
        about["group_id"] = group_id
    else:
        world.person(user_id), world.person(target_id)
        about["sender_id"] = user_id
    _add_notice(world, now, "notify", **about)


# -- groups


def ban_member(world: World, group: Group, member: Member, operator_id: int, duration: int, now: int) -> None:
    """Ban a member from sending messages for ``duration`` seconds; 0 lifts the ban."""
    member.banned_until = now + duration if duration else 0
    world.put(group)
    _add_notice(
        world,
        now,
        "group_ban",
        sub_type="ban" if duration else "lift_ban",
        group_id=group.group_id,
        operator_id=operator_id,
        user_id=member.user_id,
        duration=duration,
    )


def set_whole_ban(world: World, group: Group, operator_id: int, enable: bool, now: int) -> None:
    """Ban all members but admins, or lift that. The event has user 0, and duration -1 for a ban."""
    group.whole_ban = enable
    world.put(group)
    _add_notice(
        world,
        now,
        "group_ban",
        sub_type="ban" if enable else "lift_ban",
        group_id=group.group_id,
        operator_id=operator_id,
        user_id=0,
        duration=-1 if enable else 0,
    )


def set_admin(world: World, group: Group, member: Member, enable: bool, now: int) -> None:
    """Make a member an admin, or a plain member again."""
    member.role = "admin" if enable else "member"
    world.put(group)
    sub_type = "set" if enable else "unset"
    about = {"group_id": group.group_id, "user_id": member.user_id}
    _add_notice(world, now, "group_admin", sub_type=sub_type, **about)


def set_card(world: World, group: Group, member: Member, card: str, now: int) -> None:
    """Set the card of a member."""
    old, member.card = member.card, card
    world.put(group)
    about = {"group_id": group.group_id, "user_id": member.user_id}
    _add_notice(world, now, "group_card", card_new=card, card_old=old, **about)


def set_title(world: World, group: Group, member: Member, title: str, now: int) -> None:
    """Set the title of a member."""
    member.title = title
    world.put(group)
    about = {"group_id": group.group_id, "user_id": member.user_id}
    _add_notice(world, now, "notify", sub_type="title", title=title, **about)


def rename_group(world: World, group: Group, operator_id: int, name: str, now: int) -> None:
    """Rename a group."""
    group.group_name = name
    world.put(group)
    about = {"group_id": group.group_id, "user_id": operator_id}
    _add_notice(world, now, "notify", sub_type="group_name", name_new=name, **about)


def remove_member(world: World, group: Group, user_id: int, operator_id: int, now: int) -> None:
    """Remove a member who leaves (``operator_id`` is the same) or is kicked."""
    group.members = [member for member in group.members if member.user_id != user_id]
    world.put(group)
    kicked = "kick_me" if user_id == world.self_id else "kick"
    _add_notice(
        world,
        now,
        "group_decrease",
        sub_type="leave" if user_id == operator_id else kicked,
        group_id=group.group_id,
        operator_id=operator_id,
        user_id=user_id,
    )


def add_member(world: World, group: Group, user_id: int, operator_id: int, sub_type: str, now: int) -> None:
    """Add a member.

    :param sub_type: ``approve`` or ``invite``.
    :raises PlatformError: if they are a member already, or the group is full.
    """
    if group.member(user_id) is not None:
        raise PlatformError(f"{user_id} is in group {group.group_id} already")
    if len(group.members) >= group.max_member_count:
        raise PlatformError(f"group {group.group_id} is full")
    group.members.append(Member(user_id, join_time=now))
    world.put(group)
    _add_notice(
        world,
        now,
        "group_increase",
        sub_type=sub_type,
        group_id=group.group_id,
        operator_id=operator_id,
        user_id=user_id,
    )


def announce_honor(world: World, group: Group, user_id: int, honor_type: str, now: int) -> None:
    """Add the notice of an honour; nothing else changes.

    :param honor_type: ``talkative``, ``performer`` or ``emotion``.
    :raises PlatformError: if ``user_id`` is not a member.
    """
    world.member(group, user_id)
    about = {"group_id": group.group_id, "user_id": user_id}
    _add_notice(world, now, "notify", sub_type="honor", honor_type=honor_type, **about)


def announce_lucky_king(world: World, group: Group, user_id: int, target_id: int, now: int) -> None:
    """Add the notice that ``target_id`` got the largest share of ``user_id``'s red envelope.

    :raises PlatformError: if one of them is not a member.
    """
    world.member(group, user_id), world.member(group, target_id)
    about = {"group_id": group.group_id, "user_id": user_id, "target_id": target_id}
    _add_notice(world, now, "notify", sub_type="lucky_king", **about)


# -- files


def add_group_file(
    world: World, group: Group, user_id: int, name: str, size: int, media: str, now: int
) -> GroupFile:
    """Add a file to a group; the oldest files of all groups are removed above ``_MAX_GROUP_FILES``.

    :param size: bytes.
    :param media: the name of the stored file.
    """
    file_id = unused_name("file", world.files)
    group_file = GroupFile(file_id, group.group_id, name[:200], size, media, user_id, now)
    world.put(group_file)
    while len(world.files) > _MAX_GROUP_FILES:
        world.remove(next(iter(world.files.values())))
    file = {"id": group_file.file_id, "name": name, "size": size, "busid": 102}
    _add_notice(world, now, "group_upload", group_id=group.group_id, user_id=user_id, file=file)
    return group_file


def send_offline_file(world: World, user_id: int, name: str, size: int, url: str, now: int) -> None:
    """Add the notice that a person sends the account a file.

    :param size: bytes.
    """
    _add_notice(world, now, "offline_file", user_id=user_id, file={"name": name, "size": size, "url": url})


# -- friends and requests


def add_friend(world: World, person: Person, remark: str, now: int) -> None:
    """Make a person a friend."""
    person.friend = True
    person.remark = remark
    world.put(person)
    _add_notice(world, now, "friend_add", user_id=person.user_id)


def add_request(
    world: World,
    user_id: int,
    comment: str,
    now: int,
    group_id: int | None = None,
    sub_type: str = "add",
) -> PendingRequest:
    """Add a request for friendship, to join a group (``add``), or for the account to join one (``invite``).

    :raises PlatformError: if the person or group does not exist, the request is fulfilled already, or who
        invites is not a member.
    """
    person = world.person(user_id)
    if group_id is None:
        if person.friend:
            raise PlatformError(f"{user_id} is a friend already")
    else:
        group = world.groups.get(group_id)
        who = world.self_id if sub_type == "invite" else user_id
        if group is None:
            raise PlatformError(f"there is no group {group_id}")
        if group.member(who) is not None:
            raise PlatformError(f"{who} is in group {group_id} already")
        if sub_type == "invite" and group.member(user_id) is None:
            raise PlatformError(f"{user_id} is not in group {group_id}")
    request = PendingRequest(
        unused_name(f"request-{now}", world.requests),
        "friend" if group_id is None else "group",
        user_id,
        comment,
        now,
        "" if group_id is None else sub_type,
        group_id,
    )
    world.put(request)
    while len(world.requests) > MAX_REQUESTS:
        world.remove(next(iter(world.requests.values())))
    event: dict[str, Any] = {
        "post_type": "request",
        "request_type": request.request_type,
        "user_id": user_id,
        "comment": comment,
        "flag": request.flag,
    }
    if group_id is not None:
        event |= {"sub_type": sub_type, "group_id": group_id}
    world.add_event(event, now)
    return request
