"""Actions about requests: of friends, to join a group, and invitations."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.table import (
    NOT_ANSWERED,
    answered_number,
    answered_objects,
    call_milky,
    milky_action,
    read_whole,
    read_word,
)
from lgtwist.milky.entities import friend_request_data, group_request_data
from lgtwist.milky.errors import CallFailed
from lgtwist.milky.fields import boolean_at, number_at, text_at
from lgtwist.milky.flags import (
    INVITATION,
    INVITED_JOIN_REQUEST,
    JOIN_REQUEST,
    FriendFlag,
    GroupFlag,
    encode_flag,
    read_flag,
)
from lgtwist.milky.interfaces import ActionContext
from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.onebot.params import ActionParams
from lgtwist.onebot.values import read_integer

#: Notifications of one page, and pages that are read.
_NOTIFICATIONS_PER_PAGE, _MOST_NOTIFICATION_PAGES = 20, 5
#: Friend requests that are looked through for one.
_MOST_FILTERED = 50
#: Friend requests that one action may ask for.
_MOST_FRIEND_REQUESTS = 1_000


@milky_action("set_friend_add_request", "set_doubt_friends_add_request")
async def answer_friend_request(context: ActionContext, params: ActionParams) -> None:
    """Accept or reject a friend request; a ``remark`` cannot be set in Milky."""
    flag = read_flag(read_word(params, "flag"))
    approve = params.boolean("approve", True)
    if not isinstance(flag, FriendFlag):
        raise BadRequest(f"{params.path('flag')}: expected the flag of a friend request")
    if not flag.uid:
        raise BadRequest(
            f"{params.path('flag')}: the implementation did not tell the uid of the person, without which "
            "the request cannot be answered"
        )
    api, reason = "accept_friend_request", None
    if not approve:
        api, reason = "reject_friend_request", params.text("reason", "") or None
    try:
        await call_milky(context, api, initiator_uid=flag.uid, is_filtered=flag.is_filtered, reason=reason)
    except CallFailed:
        # The event of a request that QQ put aside does not say that it did.
        if flag.is_filtered or not await _is_put_aside(context, flag.uid):
            raise
        await call_milky(context, api, initiator_uid=flag.uid, is_filtered=True, reason=reason)


async def _is_put_aside(context: ActionContext, uid: str) -> bool:
    """Return whether a friend request is pending among those that QQ put aside as dubious.

    :returns: False also if the implementation does not say it.
    """
    api = "get_friend_requests"
    try:
        data = await call_milky(context, api, limit=_MOST_FILTERED, is_filtered=True)
        requests = answered_objects(data, "requests", api)
    except NOT_ANSWERED:
        raise
    except OneBotError:
        return False
    return any(one.get("initiator_uid") == uid and one.get("state") == "pending" for one in requests)


@milky_action("set_group_add_request")
async def answer_group_request(context: ActionContext, params: ActionParams) -> None:
    """Accept or reject a request to join a group, or an invitation of the account.

    The flag says which of them it is, whatever ``sub_type`` says. A ``reason`` is sent only where a request
    to join is rejected.
    """
    approve = params.boolean("approve", True)
    flag = await _read_group_flag(context, params)
    if not isinstance(flag, GroupFlag):
        raise BadRequest(f"{params.path('flag')}: expected the flag of a request about a group")
    verb = "accept" if approve else "reject"
    if flag.kind == INVITATION:
        await call_milky(context, f"{verb}_group_invitation", group_id=flag.group_id, invitation_seq=flag.seq)
        return
    await call_milky(
        context,
        f"{verb}_group_request",
        notification_seq=flag.seq,
        notification_type=flag.kind,
        group_id=flag.group_id,
        is_filtered=flag.is_filtered,
        reason=None if approve else params.text("reason", "") or None,
    )


async def _read_group_flag(context: ActionContext, params: ActionParams) -> FriendFlag | GroupFlag | None:
    """Return the flag of a request.

    It may be the ``request_id`` of ``get_group_system_msg``, as with go-cqhttp and NapCat.
    """
    text = read_word(params, "flag")
    number = read_integer(text)
    if number is None:
        return read_flag(text)
    found = [one for one in await _join_requests(context) if one["request_id"] == number]
    return read_flag(found[0]["flag"]) if len(found) == 1 else None


async def _join_requests(context: ActionContext, is_filtered: bool = False) -> list[dict[str, Any]]:
    """Return requests to join the account's groups, the newest first, with their flags.

    :param is_filtered: whether those that QQ put aside as dubious are returned, instead of the others.
    """
    api = "get_group_notifications"
    found: dict[tuple[int, int], dict[str, Any]] = {}
    start: int | None = None
    for _page in range(_MOST_NOTIFICATION_PAGES):
        data = await call_milky(
            context,
            api,
            start_notification_seq=start,
            is_filtered=is_filtered or None,
            limit=_NOTIFICATIONS_PER_PAGE,
        )
        for one in answered_objects(data, "notifications", api):
            kind, group_id, seq = (
                text_at(one, "type"),
                number_at(one, "group_id"),
                number_at(one, "notification_seq"),
            )
            if kind in (JOIN_REQUEST, INVITED_JOIN_REQUEST):
                flag = GroupFlag(kind, group_id, seq, kind == JOIN_REQUEST and boolean_at(one, "is_filtered"))
                found.setdefault((group_id, seq), group_request_data(one, encode_flag(flag)))
        following = answered_number(data, "next_notification_seq")
        if not following or (start is not None and following >= start):
            break
        start = following
    return list(found.values())


@milky_action("get_group_system_msg")
async def list_group_requests(context: ActionContext, _params: ActionParams) -> Any:
    """Return requests to join groups; Milky lists no invitations of the account itself."""
    requests = await _join_requests(context)
    return {"invited_requests": [], "InvitedRequest": [], "join_requests": requests}


@milky_action("get_group_requests")
async def list_join_requests(context: ActionContext, _params: ActionParams) -> Any:
    """Return requests to join groups, as a list (Lagrange)."""
    return await _join_requests(context)


@milky_action("get_group_ignore_add_request")
async def list_filtered_requests(context: ActionContext, _params: ActionParams) -> Any:
    """Return the requests to join groups that QQ put aside as dubious (NapCat, LLBot)."""
    return await _join_requests(context, True)


@milky_action("get_doubt_friends_add_request")
async def list_doubtful_friends(context: ActionContext, params: ActionParams) -> Any:
    """Return the pending friend requests that QQ put aside as dubious, at most ``count`` (NapCat, LLBot)."""
    api = "get_friend_requests"
    count = read_whole(params, "count", 50, least=1, most=_MOST_FRIEND_REQUESTS)
    data = await call_milky(context, api, limit=count, is_filtered=True)
    found = []
    for one in answered_objects(data, "requests", api):
        if one.get("state") == "pending":
            flag = encode_flag(FriendFlag(text_at(one, "initiator_uid"), True))
            request = friend_request_data(one, flag)
            found.append(
                {
                    **request,
                    "uin": str(request["user_id"]),
                    "nick": "",
                    "source": request["via"],
                    "msg": request["comment"],
                    "type": "doubt",
                }
            )
    return found
