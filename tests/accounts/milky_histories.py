"""The histories of conversations as three implementations of Milky answer ``get_history_messages``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from lgtwist.milky.errors import CallFailed
from lgtwist.milky.keys import FRIEND, GROUP, Conversation
from lgtwist.onebot.errors import AccountFailed

SELF_ID = 10_001
OTHER = 10_002
LAGRANGE, LLBOT, YOGURT = HABITS = ("Lagrange.Core", "LLBot", "Yogurt")


def message(conversation: Conversation, seq: int, *, time: int = 1_700_000_000, own: bool = False) -> Any:
    """An ``IncomingMessage``."""
    scene, peer_id = conversation
    found: dict[str, Any] = {
        "message_scene": scene,
        "peer_id": peer_id,
        "message_seq": seq,
        "sender_id": SELF_ID if own else (peer_id if scene == FRIEND else OTHER),
        "time": time,
        "segments": [{"type": "text", "data": {"text": f"number {seq}"}}],
    }
    person = {"user_id": OTHER, "nickname": "n", "sex": "unknown"}
    if scene == GROUP:
        found["group"] = {
            "group_id": peer_id, "group_name": "g", "member_count": 2, "max_member_count": 200
        }  # fmt: skip
        found["group_member"] = {
            **person, "group_id": peer_id, "card": "", "title": "", "level": 1, "role": "member",
            "join_time": 0, "last_sent_time": 0,
        }  # fmt: skip
    else:
        category = {"category_id": 0, "category_name": "c"}
        found["friend"] = {**person, "user_id": peer_id, "qid": "", "remark": "", "category": category}
    return found


def is_filtered(one: Any) -> bool:
    return isinstance(one, dict) and bool(one.get("is_filtered"))


class Histories:
    """An implementation that has messages, and answers as one of :data:`HABITS` does.

    :ivar messages: by conversation and sequence number.
    :ivar calls: of ``get_history_messages``: conversation and ``start_message_seq``.
    :ivar failure: is raised instead of an answer.
    :ivar requests: the answer to ``get_friend_requests``.
    :ivar notifications: the answer to ``get_group_notifications``.
    :ivar has_no_filtered: whether it fails where those that QQ put aside are asked for.
    :ivar waiting: answers that are given when :meth:`answer` is called; None to answer at once.
    """

    def __init__(self, habit: str) -> None:
        self.habit = habit
        self.messages: dict[Conversation, dict[int, Any]] = {}
        self.calls: list[tuple[Conversation, int | None]] = []
        self.failure: Exception | None = None
        self.requests: list[dict[str, Any]] = []
        self.notifications: list[dict[str, Any]] = []
        self.has_no_filtered = False
        self.waiting: list[Deferred[None]] | None = None

    def add(self, conversation: Conversation, *seqs: int, **options: Any) -> None:
        for seq in seqs:
            self.messages.setdefault(conversation, {})[seq] = message(conversation, seq, **options)

    def answer(self, which: int = 0) -> None:
        """Let an answer go."""
        assert self.waiting is not None
        self.waiting.pop(which).callback(None)

    async def call(self, api: str, params: dict[str, Any], /) -> Any:
        assert None not in params.values(), "null is sent"
        if self.waiting is not None:
            gate: Deferred[None] = Deferred()
            self.waiting.append(gate)
            try:
                await gate
            finally:
                if self.waiting and gate in self.waiting:
                    self.waiting.remove(gate)
        if self.failure is not None:
            raise self.failure
        if api == "get_friend_requests":
            return {"requests": self._listed(self.requests, params)}
        if api == "get_group_notifications":
            listed = self._listed(self.notifications, params)
            return {"notifications": listed, "next_notification_seq": None}
        assert api == "get_history_messages", api
        conversation = Conversation(params["message_scene"], params["peer_id"])
        start, limit = params.get("start_message_seq"), params["limit"]
        assert 1 <= limit <= 30
        assert start is None or start > 0, "0 is the newest for some"
        self.calls.append((conversation, start))
        return self._history(conversation, start, limit)

    def _listed(self, all_of_them: list[Any], params: dict[str, Any]) -> list[Any]:
        filtered: bool = params["is_filtered"]
        if filtered and self.has_no_filtered:
            raise AccountFailed("HTTP 500")
        return [one for one in all_of_them if is_filtered(one) == filtered]

    def _history(self, conversation: Conversation, start: int | None, limit: int) -> Any:
        there = self.messages.get(conversation, {})
        if self.habit == LAGRANGE:
            if start is None and conversation.scene == FRIEND:
                raise AccountFailed("the implementation failed (HTTP 500), without a reason")
            start = max(there, default=0) if start is None else start
            found = [seq for seq in sorted(there) if start - limit <= seq <= start]
            if not found:
                raise AccountFailed("the implementation failed (HTTP 500), without a reason")
            below: int | None = found[0] - 1 if found[0] > 0 else None
        elif self.habit == LLBOT:
            start = max(there, default=0) if start is None else start
            found = [seq for seq in sorted(there) if start - limit < seq <= start]
            if not found:
                return {"messages": []}
            below = found[0] - 1
        else:
            if conversation.scene == FRIEND and conversation not in self.messages:
                raise CallFailed(-404, "no such friend", "get_history_messages")
            found = [seq for seq in sorted(there) if start is None or seq <= start][-limit:]
            below = found[0] - 1 if found and found[0] > min(there) else None
        answer: dict[str, Any] = {"messages": [there[seq] for seq in found]}
        if below is not None:
            answer["next_message_seq"] = below
        elif self.habit == LAGRANGE:
            answer["next_message_seq"] = None
        return answer
