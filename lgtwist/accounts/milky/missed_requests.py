"""Friend and group requests that came while the stream of events was broken, and are pending still.

Which were seen is kept where the message ids are, in conversations that no message is in: it outlives a
restart. At the first start of all, those that are there count as seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from attrs import frozen

from lgtwist.milky.flags import INVITED_JOIN_REQUEST, JOIN_REQUEST, GroupFlag, read_flag
from lgtwist.milky.interfaces import MilkyApi
from lgtwist.milky.keys import UNSEQUENCED, Conversation, MessageKey
from lgtwist.onebot.errors import OneBotError
from lgtwist.onebot.event import Event
from lgtwist.onebot.rawjson import DECODE_ERRORS
from lgtwist.onebot.values import read_integer

#: No message has these: the numbers of people begin at 10001. Group requests are in the second and those
#: behind it, by group.
_FRIENDS, _GROUPS, _MOST_GROUPS = 1, 2, 8_000
#: Pages of notifications that are read.
_LISTED_PAGES = 3
#: Requests of one page.
_PER_PAGE = 20
#: Bits of a time in the number of a friend request, and bits of the person's number.
_TIME_BITS, _PERSON_BITS = 32, 20
#: Seconds by which the time of an event may differ from that in the list.
_SAME_REQUEST = 60

_NOTIFICATIONS = {"join_request": "group_join_request", "invited_join_request": "group_invited_join_request"}


class SeenKeys(Protocol):
    """The part of the ``BlockTable`` that is used."""

    def was_seen(self, key: MessageKey, /) -> bool:
        """Return whether it was."""

    def mark_seen(self, key: MessageKey, now: float, /) -> None:
        """Note it."""

    def last_seen(self, conversation: Conversation, /) -> int | None:
        """Return the greatest number that was."""


class _RequestHead(msgspec.Struct):
    request_type: str = ""
    flag: str = ""
    user_id: int = 0
    time: int = 0


_decode_request_head = msgspec.json.Decoder(_RequestHead).decode


@frozen
class UnseenRequest:
    """A request that nobody has seen.

    :ivar frame: as the event stream would have it.
    :ivar time: when it came, in seconds since the epoch; None where that is not said.
    """

    frame: bytes
    time: int | None


class MissedRequests:
    """Finds the requests of one account that nobody has seen.

    :param seen: keeps which were.
    :param now: returns seconds since the epoch.
    """

    def __init__(self, self_id: int, seen: SeenKeys, now: Callable[[], float]) -> None:
        self._self_id = self_id
        self._seen = seen
        self._now = now

    def note(self, event: Event) -> None:
        """Note that bots get a request."""
        try:
            request = _decode_request_head(event.raw)
        except DECODE_ERRORS:
            return
        flag = read_flag(request.flag)
        if isinstance(flag, GroupFlag):
            if flag.kind in (JOIN_REQUEST, INVITED_JOIN_REQUEST):
                self._mark(_group_key(flag.group_id, flag.seq))
        elif request.request_type == "friend":
            self._mark(_friend_key(request.user_id, request.time))

    def _mark(self, key: MessageKey) -> None:
        self._seen.mark_seen(key, self._now())

    async def read(self, api: MilkyApi) -> list[UnseenRequest]:
        """Return the pending requests that nobody has seen, the oldest first; they count as seen then.

        :raises OneBotError: if neither kind can be read.
        """
        failure: OneBotError | None = None
        found: list[UnseenRequest] = []
        for read in (self._read_friends, self._read_groups):
            try:
                found += await read(api)
            except OneBotError as error:
                if failure is not None:
                    raise
                failure = error
        return found

    # -- friends

    async def _read_friends(self, api: MilkyApi) -> list[UnseenRequest]:
        found: list[tuple[int, dict[str, Any]]] = []
        for filtered in (False, True):
            params = {"limit": _PER_PAGE, "is_filtered": filtered}
            try:
                data = await api.call("get_friend_requests", params)
            except OneBotError:
                if filtered:  # not every implementation has these: the others are of use
                    break
                raise
            for one in _objects(data, "requests"):
                user_id, time = read_integer(one.get("initiator_id")), read_integer(one.get("time"))
                if one.get("state") == "pending" and user_id and time is not None and time >= 0:
                    found.append((time, {"is_filtered": filtered, **one}))
        found.sort(key=lambda each: each[0])
        return self._unseen_friends(found)

    def _unseen_friends(self, found: list[tuple[int, dict[str, Any]]]) -> list[UnseenRequest]:
        conversation = Conversation(UNSEQUENCED, _FRIENDS)
        is_first = self._seen.last_seen(conversation) is None
        if is_first:
            self._mark(MessageKey(*conversation, 0))
        unseen = []
        for time, one in found:
            user_id = read_integer(one.get("initiator_id")) or 0
            if any(self._seen.was_seen(key) for key in _friend_keys(user_id, time)):
                continue
            self._mark(_friend_key(user_id, time))
            if not is_first:
                members = ("initiator_id", "initiator_uid", "comment", "via", "is_filtered")
                unseen.append(self._request("friend_request", time, one, members))
        return unseen

    # -- groups

    async def _read_groups(self, api: MilkyApi) -> list[UnseenRequest]:
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for filtered in (False, True):
            start: int | None = None
            for _page in range(_LISTED_PAGES):
                params: dict[str, Any] = {} if start is None else {"start_notification_seq": start}
                params |= {"is_filtered": filtered, "limit": _PER_PAGE}
                try:
                    data = await api.call("get_group_notifications", params)
                except OneBotError:
                    if filtered or start is not None:
                        break
                    raise
                for one in _objects(data, "notifications"):
                    group_id, seq = (read_integer(one.get(key)) for key in ("group_id", "notification_seq"))
                    kind = one.get("type")
                    is_request = isinstance(kind, str) and kind in _NOTIFICATIONS
                    is_request = is_request and one.get("state") == "pending"
                    if is_request and group_id and seq is not None and seq >= 0:
                        found[seq, group_id] = one
                following = (
                    read_integer(data.get("next_notification_seq")) if isinstance(data, dict) else None
                )
                if not following or (start is not None and following >= start):
                    break
                start = following
        return self._unseen_groups(found)

    def _unseen_groups(self, found: dict[tuple[int, int], dict[str, Any]]) -> list[UnseenRequest]:
        conversation = Conversation(UNSEQUENCED, _GROUPS)
        is_first = self._seen.last_seen(conversation) is None
        if is_first:
            self._mark(MessageKey(*conversation, 0))
        unseen = []
        for seq, group_id in sorted(found):
            key = _group_key(group_id, seq)
            if self._seen.was_seen(key):
                continue
            self._mark(key)
            if not is_first:
                one = found[seq, group_id]
                members = (
                    "group_id", "notification_seq", "initiator_id", "target_user_id", "is_filtered", "comment"
                )  # fmt: skip
                unseen.append(self._request(_NOTIFICATIONS[one["type"]], None, one, members))
        return unseen

    def _request(
        self, event_type: str, time: int | None, one: dict[str, Any], members: tuple[str, ...]
    ) -> UnseenRequest:
        data = {name: one[name] for name in members if one.get(name) is not None}
        at = int(self._now()) if time is None else time
        frame = {"time": at, "self_id": self._self_id, "event_type": event_type, "data": data}
        return UnseenRequest(msgspec.json.encode(frame), time)


def _objects(data: Any, name: str) -> list[dict[str, Any]]:
    listed = data.get(name) if isinstance(data, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _group_key(group_id: int, seq: int) -> MessageKey:
    return MessageKey(UNSEQUENCED, _GROUPS + 1 + group_id % _MOST_GROUPS, seq)


def _friend_key(user_id: int, time: int) -> MessageKey:
    person = user_id & (1 << _PERSON_BITS) - 1
    return MessageKey(UNSEQUENCED, _FRIENDS, person << _TIME_BITS | time & (1 << _TIME_BITS) - 1)


def _friend_keys(user_id: int, time: int) -> list[MessageKey]:
    around = range(max(0, time - _SAME_REQUEST), time + _SAME_REQUEST + 1)
    return [_friend_key(user_id, one) for one in around]


__all__ = ["MissedRequests", "UnseenRequest"]
