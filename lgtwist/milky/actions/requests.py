"""Actions about requests: of friends, to join a group, and invitations."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.table import (
    answered_number,
    answered_objects,
    call_milky,
    milky_action,
    read_word,
)
from lgtwist.milky.entities import group_request_data
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
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.params import ActionParams

#: Notifications of one page, and pages that are read.
_NOTIFICATIONS_PER_PAGE, _MOST_NOTIFICATION_PAGES = 20, 5


@milky_action("set_friend_add_request")
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
    if approve:
        await call_milky(
            context, "accept_friend_request", initiator_uid=flag.uid, is_filtered=flag.is_filtered
        )
    else:
        await call_milky(
            context,
            "reject_friend_request",
            initiator_uid=flag.uid,
            is_filtered=flag.is_filtered,
            reason=params.text("reason", "") or None,
        )


@milky_action("set_group_add_request")
async def answer_group_request(context: ActionContext, params: ActionParams) -> None:
    """Accept or reject a request to join a group, or an invitation of the account.

    The flag says which of them it is, whatever ``sub_type`` says. A ``reason`` is sent only where a request
    to join is rejected.
    """
    flag = read_flag(read_word(params, "flag"))
    approve = params.boolean("approve", True)
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


async def _join_requests(context: ActionContext) -> list[dict[str, Any]]:
    """Return requests to join the account's groups, the newest first, with their flags."""
    api = "get_group_notifications"
    found: dict[tuple[int, int], dict[str, Any]] = {}
    start: int | None = None
    for _page in range(_MOST_NOTIFICATION_PAGES):
        data = await call_milky(context, api, start_notification_seq=start, limit=_NOTIFICATIONS_PER_PAGE)
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
