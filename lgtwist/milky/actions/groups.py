"""Actions about groups: their members, administration, announcements, essences and reactions."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.table import (
    answered_object,
    answered_objects,
    call_milky,
    find_group_key,
    known_implementation,
    milky_action,
    nothing_like,
    read_peer_id,
    read_uri,
    read_whole,
    read_word,
    unreadable,
    with_numbers,
)
from lgtwist.milky.entities import announcement_data, essence_data, group_data, member_data, muted_members
from lgtwist.milky.errors import NOT_FOUND, NOT_LOGGED_IN, CallFailed
from lgtwist.milky.fields import number_at
from lgtwist.milky.interfaces import ActionContext
from lgtwist.onebot.errors import AccountFailed, BadRequest, UnknownAction
from lgtwist.onebot.params import ActionParams
from lgtwist.onebot.values import read_boolean

#: Seconds of a ban where the bot says nothing (OneBot 11).
_BAN_SECONDS = 30 * 60
#: The largest number of seconds: Milky's integers have 32 bits with some implementations.
_LONGEST_BAN = (1 << 31) - 1
#: Essences of one page, and pages that are read.
_ESSENCES_PER_PAGE, _MOST_ESSENCE_PAGES = 50, 100


def _no_cache(params: ActionParams) -> bool | None:
    return params.boolean("no_cache", False) or None


# -- groups and members


@milky_action("get_group_info")
async def read_group(context: ActionContext, params: ActionParams) -> Any:
    """Return a group."""
    api = "get_group_info"
    group_id = read_peer_id(params, "group_id")
    data = await call_milky(context, api, group_id=group_id, no_cache=_no_cache(params))
    return group_data(with_numbers(answered_object(data, "group", api), group_id=group_id))


@milky_action("get_group_list")
async def list_groups(context: ActionContext, params: ActionParams) -> Any:
    """Return the account's groups."""
    api = "get_group_list"
    data = await call_milky(context, api, no_cache=_no_cache(params))
    return [group_data(group) for group in answered_objects(data, "groups", api)]


@milky_action("get_group_member_info")
async def read_member(context: ActionContext, params: ActionParams) -> Any:
    """Return a member of a group."""
    group_id, user_id = read_peer_id(params, "group_id"), read_peer_id(params, "user_id")
    return member_data(await _find_member(context, group_id, user_id, no_cache=_no_cache(params)))


async def _find_member(
    context: ActionContext, group_id: int, user_id: int, *, no_cache: bool | None
) -> dict[str, Any]:
    """Return a ``GroupMemberEntity``."""
    api = "get_group_member_info"
    data = await call_milky(context, api, group_id=group_id, user_id=user_id, no_cache=no_cache)
    return with_numbers(answered_object(data, "member", api), group_id=group_id, user_id=user_id)


async def _members(context: ActionContext, params: ActionParams) -> list[dict[str, Any]]:
    """Return the members of a group, each a ``GroupMemberEntity``."""
    api = "get_group_member_list"
    group_id = read_peer_id(params, "group_id")
    data = await call_milky(context, api, group_id=group_id, no_cache=_no_cache(params))
    return [with_numbers(one, group_id=group_id) for one in answered_objects(data, "members", api)]


@milky_action("get_group_member_list")
async def list_members(context: ActionContext, params: ActionParams) -> Any:
    """Return all members of a group."""
    return [member_data(member) for member in await _members(context, params)]


@milky_action("get_group_shut_list")
async def list_muted_members(context: ActionContext, params: ActionParams) -> Any:
    """Return the members of a group who are muted now."""
    return muted_members(await _members(context, params), context.now())


# -- administration


@milky_action("set_group_kick")
async def kick_member(context: ActionContext, params: ActionParams) -> None:
    """Remove a member from a group."""
    group_id, user_id = read_peer_id(params, "group_id"), read_peer_id(params, "user_id")
    reject = params.boolean("reject_add_request", False)
    if (await known_implementation(context)).is_lagrange:
        await _kick_verified(context, group_id, user_id, reject)
    else:
        await _kick(context, group_id, user_id, reject)


async def _kick(context: ActionContext, group_id: int, user_id: int, reject: bool) -> None:
    await call_milky(
        context, "kick_group_member", group_id=group_id, user_id=user_id, reject_add_request=reject
    )


async def _kick_verified(context: ActionContext, group_id: int, user_id: int, reject: bool) -> None:
    """Remove a member, and look whether it worked: Lagrange.Core answers that it failed when it worked.

    :raises OneBotError: if the person is no member before, still one afterwards, or if that is not known.
    """
    await _find_member(context, group_id, user_id, no_cache=True)
    failure: CallFailed | AccountFailed | None = None
    try:
        await _kick(context, group_id, user_id, reject)
    except (CallFailed, AccountFailed) as error:  # answered, whatever that is worth
        if isinstance(error, CallFailed) and error.milky_retcode == NOT_LOGGED_IN:
            raise
        failure = error
    try:
        is_member = await _is_member(context, group_id, user_id)
    except (CallFailed, AccountFailed, UnknownAction) as error:
        raise AccountFailed(
            f"whether {user_id} was removed from group {group_id} could not be verified: {error.sentence}"
        ) from error
    if not is_member:
        return
    if isinstance(failure, AccountFailed):
        raise failure
    raise AccountFailed(f"{user_id} is still in group {group_id}: Lagrange.Core did not remove the member")


async def _is_member(context: ActionContext, group_id: int, user_id: int) -> bool:
    """Return whether a person is a member of a group now.

    Lagrange.Core has more than one answer for who is none, and also HTTP 500: then the list of all says it.
    """
    try:
        await _find_member(context, group_id, user_id, no_cache=True)
    except CallFailed as error:
        if error.milky_retcode == NOT_FOUND:
            return False
    except AccountFailed:
        pass
    else:
        return True
    api = "get_group_member_list"
    data = await call_milky(context, api, group_id=group_id, no_cache=True)
    members = answered_objects(data, "members", api)
    if not members:
        raise unreadable(api, "there are no members")
    return any(number_at(one, "user_id") == user_id for one in members)


@milky_action("set_group_ban")
async def mute_member(context: ActionContext, params: ActionParams) -> None:
    """Mute a member for ``duration`` seconds; 0 lifts that."""
    group_id, user_id = read_peer_id(params, "group_id"), read_peer_id(params, "user_id")
    duration = read_whole(params, "duration", _BAN_SECONDS, most=_LONGEST_BAN)
    await call_milky(context, "set_group_member_mute", group_id=group_id, user_id=user_id, duration=duration)


@milky_action("set_group_whole_ban")
async def mute_all(context: ActionContext, params: ActionParams) -> None:
    """Mute all members but admins, or lift that."""
    group_id, enable = read_peer_id(params, "group_id"), params.boolean("enable", True)
    await call_milky(context, "set_group_whole_mute", group_id=group_id, is_mute=enable)


@milky_action("set_group_admin")
async def appoint_admin(context: ActionContext, params: ActionParams) -> None:
    """Make a member an admin, or a plain member again."""
    group_id, user_id = read_peer_id(params, "group_id"), read_peer_id(params, "user_id")
    enable = params.boolean("enable", True)
    await call_milky(context, "set_group_member_admin", group_id=group_id, user_id=user_id, is_set=enable)


@milky_action("set_group_card")
async def rename_member(context: ActionContext, params: ActionParams) -> None:
    """Set the card of a member; an empty one removes it."""
    group_id, user_id = read_peer_id(params, "group_id"), read_peer_id(params, "user_id")
    card = params.text("card", "")
    await call_milky(context, "set_group_member_card", group_id=group_id, user_id=user_id, card=card)


@milky_action("set_group_name")
async def name_group(context: ActionContext, params: ActionParams) -> None:
    """Rename a group."""
    group_id, name = read_peer_id(params, "group_id"), read_word(params, "group_name")
    await call_milky(context, "set_group_name", group_id=group_id, new_group_name=name)


@milky_action("set_group_leave")
async def leave_group(context: ActionContext, params: ActionParams) -> None:
    """Leave a group; Milky cannot dissolve one."""
    group_id = read_peer_id(params, "group_id")
    if params.boolean("is_dismiss", False):
        raise UnknownAction(nothing_like("set_group_leave with is_dismiss"))
    await call_milky(context, "quit_group", group_id=group_id)


@milky_action("set_group_special_title")
async def entitle_member(context: ActionContext, params: ActionParams) -> None:
    """Set the title of a member, or remove it with an empty one; it has no ``duration`` in Milky."""
    group_id, user_id = read_peer_id(params, "group_id"), read_peer_id(params, "user_id")
    title = params.text("special_title", "")
    await call_milky(
        context, "set_group_member_special_title", group_id=group_id, user_id=user_id, special_title=title
    )


@milky_action("set_group_portrait")
async def change_group_picture(context: ActionContext, params: ActionParams) -> None:
    """Set the picture of a group."""
    group_id = read_peer_id(params, "group_id")
    uri = read_uri(params, "file")
    await call_milky(context, "set_group_avatar", group_id=group_id, image_uri=uri)


# -- announcements


@milky_action("_send_group_notice")
async def announce(context: ActionContext, params: ActionParams) -> None:
    """Publish an announcement; whether it is pinned, and the like, cannot be said in Milky."""
    group_id, content = read_peer_id(params, "group_id"), read_word(params, "content")
    uri = read_uri(params, "image") if params.text("image", "") else None
    await call_milky(context, "send_group_announcement", group_id=group_id, content=content, image_uri=uri)


@milky_action("_get_group_notice")
async def list_announcements(context: ActionContext, params: ActionParams) -> Any:
    """Return the announcements of a group."""
    api = "get_group_announcements"
    data = await call_milky(context, api, group_id=read_peer_id(params, "group_id"))
    return [announcement_data(one) for one in answered_objects(data, "announcements", api)]


@milky_action("_del_group_notice", "_delete_group_notice")
async def delete_announcement(context: ActionContext, params: ActionParams) -> None:
    """Delete an announcement."""
    await call_milky(
        context,
        "delete_group_announcement",
        group_id=read_peer_id(params, "group_id"),
        announcement_id=read_word(params, "notice_id", "fid"),
    )


# -- essences and reactions


@milky_action("set_essence_msg")
async def add_essence(context: ActionContext, params: ActionParams) -> None:
    """Mark a message as an essence of its group."""
    key = find_group_key(context, params)
    await call_milky(
        context, "set_group_essence_message", group_id=key.peer_id, message_seq=key.seq, is_set=True
    )


@milky_action("delete_essence_msg")
async def remove_essence(context: ActionContext, params: ActionParams) -> None:
    """Remove the essence mark of a message."""
    key = find_group_key(context, params)
    if (await known_implementation(context)).is_lagrange:
        raise BadRequest("delete_essence_msg: Lagrange.Core would mark the message as an essence instead")
    await call_milky(
        context, "set_group_essence_message", group_id=key.peer_id, message_seq=key.seq, is_set=False
    )


@milky_action("get_essence_msg_list")
async def list_essences(context: ActionContext, params: ActionParams) -> Any:
    """Return the messages that are essences of a group: all pages, up to a bound."""
    api = "get_group_essence_messages"
    group_id = read_peer_id(params, "group_id")
    found: list[dict[str, Any]] = []
    for page in range(_MOST_ESSENCE_PAGES):
        data = await call_milky(
            context, api, group_id=group_id, page_index=page, page_size=_ESSENCES_PER_PAGE
        )
        messages = answered_objects(data, "messages", api)
        found += [essence_data({**one, "group_id": group_id}, context.ids) for one in messages]
        if not messages or read_boolean(data.get("is_end")) is not False:
            break
    return found


async def _react(context: ActionContext, params: ActionParams, name: str, is_add: bool) -> None:
    """React to a message of a group with the emoji that a parameter names, or take that back."""
    key = find_group_key(context, params)
    reaction = _read_reaction(read_word(params, name), params.path(name))
    await call_milky(
        context,
        "send_group_message_reaction",
        group_id=key.peer_id,
        message_seq=key.seq,
        reaction=reaction,
        reaction_type="emoji" if len(reaction) > _LONGEST_FACE_ID else "face",
        is_add=is_add,
    )


#: Digits of the id of a face of QQ; longer ones are code points of emoji (NapCat).
_LONGEST_FACE_ID = 3
#: Digits of the largest code point.
_LONGEST_REACTION = 7
#: What may stand behind an emoji: it is shown in colour.
_EMOJI_VARIATION = "\ufe0f"


def _read_reaction(value: str, path: str) -> str:
    """Return the id of a reaction: that of a face, or the code point of an emoji, in decimal.

    :raises BadRequest: if it is neither of these, nor an emoji of one code point.
    """
    if value.isascii() and value.isdigit() and len(value) <= _LONGEST_REACTION:
        return value
    emoji = value.rstrip(_EMOJI_VARIATION)
    if len(emoji) == 1 and not emoji.isascii():
        return str(ord(emoji))
    raise BadRequest(f"{path}: expected the id of a face, or the code point of an emoji, in decimal")


@milky_action("set_msg_emoji_like")
async def set_emoji_like(context: ActionContext, params: ActionParams) -> None:
    """React to a message, or with ``set`` false take that back (NapCat, LLBot)."""
    await _react(context, params, "emoji_id", params.boolean("set", True))


@milky_action("unset_msg_emoji_like")
async def unset_emoji_like(context: ActionContext, params: ActionParams) -> None:
    """Take back the reaction to a message (LLBot)."""
    await _react(context, params, "emoji_id", False)


@milky_action("set_group_reaction")
async def set_reaction_code(context: ActionContext, params: ActionParams) -> None:
    """React to a message, or with ``is_add`` false take that back (Lagrange)."""
    await _react(context, params, "code", params.boolean("is_add", True))
