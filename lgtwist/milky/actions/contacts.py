"""Actions about people: friends, other users, pokes and likes."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.sending import nudge, read_private
from lgtwist.milky.actions.table import (
    answered_objects,
    call_milky,
    convert_all,
    milky_action,
    read_peer_id,
    read_whole,
)
from lgtwist.milky.entities import friend_categories, friend_data, profile_data
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import GROUP, Conversation
from lgtwist.onebot.params import ActionParams

#: Likes that one call may send.
_MOST_LIKES = 1_000


@milky_action("get_stranger_info")
async def read_profile(context: ActionContext, params: ActionParams) -> Any:
    """Return a person, friend or not."""
    user_id = read_peer_id(params, "user_id")
    return profile_data(user_id, await call_milky(context, "get_user_profile", user_id=user_id))


async def _friends(context: ActionContext, params: ActionParams) -> list[dict[str, Any]]:
    """Return the account's friends, each a ``FriendEntity``."""
    api = "get_friend_list"
    no_cache = params.boolean("no_cache", False) or None
    return answered_objects(await call_milky(context, api, no_cache=no_cache), "friends", api)


@milky_action("get_friend_list")
async def list_friends(context: ActionContext, params: ActionParams) -> Any:
    """Return the account's friends."""
    return await convert_all(context, friend_data, await _friends(context, params))


@milky_action("get_friends_with_category")
async def list_friend_categories(context: ActionContext, params: ActionParams) -> Any:
    """Return the account's friends by category."""
    return friend_categories(await _friends(context, params))


@milky_action("delete_friend")
async def end_friendship(context: ActionContext, params: ActionParams) -> None:
    """End the friendship with a person."""
    await call_milky(context, "delete_friend", user_id=read_peer_id(params, "user_id", "friend_id"))


@milky_action("send_like")
async def like(context: ActionContext, params: ActionParams) -> None:
    """Like a person's profile ``times`` times."""
    user_id = read_peer_id(params, "user_id")
    times = read_whole(params, "times", 1, least=1, most=_MOST_LIKES)
    await call_milky(context, "send_profile_like", user_id=user_id, count=times)


# -- pokes


async def _poke_member(context: ActionContext, params: ActionParams) -> None:
    conversation = Conversation(GROUP, read_peer_id(params, "group_id"))
    await nudge(context, conversation, read_peer_id(params, "target_id", "user_id"))


async def _poke_person(context: ActionContext, params: ActionParams) -> None:
    """Poke ``user_id``; with ``target_id`` the account's own number, the account itself (NapCat)."""
    conversation = read_private(context, params)
    target_id = params.optional_number("target_id")
    await nudge(context, conversation, conversation.peer_id if target_id is None else target_id)


@milky_action("group_poke")
async def poke_member(context: ActionContext, params: ActionParams) -> None:
    """Poke a member of a group."""
    await _poke_member(context, params)


@milky_action("friend_poke")
async def poke_person(context: ActionContext, params: ActionParams) -> None:
    """Poke a person."""
    await _poke_person(context, params)


@milky_action("send_poke")
async def poke_either(context: ActionContext, params: ActionParams) -> None:
    """Poke a person; where ``group_id`` is given, a member of that group."""
    await (_poke_member if params.has_number("group_id") else _poke_person)(context, params)
