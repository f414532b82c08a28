"""An API of Milky in memory, judged by the schema, and what actions are tried with."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from lgtwist.milky.actions import perform
from lgtwist.milky.blocks import BlockTable
from lgtwist.milky.errors import CallFailed
from lgtwist.milky.implementation import Implementation
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import FRIEND, GROUP, MessageKey
from lgtwist.milky.recent import Recent
from tests.milky.schema import check_request, check_response

SELF, ALICE, BOB, TEAM, NOW = 10_001, 20_001, 20_002, 700_000_001, 1_790_000_000

ALICE_ENTITY = {
    "user_id": ALICE, "nickname": "Alice", "sex": "female", "qid": "", "remark": "A",
    "category": {"category_id": 0, "category_name": "Friends"},
}  # fmt: skip
TEAM_ENTITY = {
    "group_id": TEAM, "group_name": "Team", "member_count": 3, "max_member_count": 200, "remark": "",
    "created_time": 1_600_000_000, "description": "About", "question": "", "announcement": "",
}  # fmt: skip
BOB_ENTITY = {
    "user_id": BOB, "nickname": "Bob", "sex": "unknown", "group_id": TEAM, "card": "B", "title": "T",
    "level": 7, "role": "admin", "join_time": 1_600_000_000, "last_sent_time": NOW,
    "shut_up_end_time": NOW + 60,
}  # fmt: skip

#: An answer: a value, an error, or what makes either of a call's parameters.
Answer = Any


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "data": {"text": words}}


def group_message(seq: int, *segments: dict[str, Any], sender_id: int = BOB) -> dict[str, Any]:
    return {
        "message_scene": GROUP, "peer_id": TEAM, "message_seq": seq, "sender_id": sender_id, "time": NOW,
        "segments": list(segments) or [text(f"message {seq}")], "group": TEAM_ENTITY,
        "group_member": BOB_ENTITY,
    }  # fmt: skip


def friend_message(seq: int, *segments: dict[str, Any], sender_id: int = ALICE) -> dict[str, Any]:
    return {
        "message_scene": FRIEND, "peer_id": ALICE, "message_seq": seq, "sender_id": sender_id, "time": NOW,
        "segments": list(segments) or [text(f"message {seq}")], "friend": ALICE_ENTITY,
    }  # fmt: skip


class MemoryApi:
    """Answers calls from a table, and judges them.

    :ivar answers: by API; a list is used up one by one.
    :ivar default: the answer of all other APIs.
    :ivar calls: what was called.
    :ivar strict: whether answers are judged too.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.default: Answer = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.strict = True

    async def call(self, api: str, params: dict[str, Any], /) -> Any:
        check_request(api, params, for_lagrange=True)
        self.calls.append((api, json.loads(json.dumps(params))))
        answer = self.answers.get(api, self.default)
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            answer = answer(params)
        if isinstance(answer, Exception):
            raise answer
        if self.strict:
            check_response(api, answer)
        return answer


class Actions:
    """An account whose implementation is in memory.

    :ivar online: whether the account is said to be online.
    """

    def __init__(self, name: str = "LLBot") -> None:
        self.api = MemoryApi()
        self.ids = BlockTable(now=lambda: float(NOW), choose=lambda most: most // 3)
        self.online = True
        self.context = ActionContext(
            self_id=SELF,
            api=self.api,
            ids=self.ids,
            recent=Recent(),
            implementation=Implementation(name, "1", "1.3") if name else Implementation(),
            is_online=lambda: self.online,
            now=lambda: float(NOW),
        )

    def perform(self, action: str, **params: Any) -> Any:
        """Carry out an action, and return its data, decoded."""
        return json.loads(run(perform(action, json.dumps(params).encode(), self.context)))

    def group_id_of(self, seq: int) -> int:
        return self.ids.id_of(MessageKey(GROUP, TEAM, seq))

    def friend_id_of(self, seq: int) -> int:
        return self.ids.id_of(MessageKey(FRIEND, ALICE, seq))

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """What was called since it was read last."""
        calls, self.api.calls = self.api.calls, []
        return calls


def run(coroutine: Coroutine[Any, Any, bytes]) -> bytes:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return bytes(stop.value)
    raise AssertionError("it waits")


def not_found(api: str) -> Callable[[Any], Exception]:
    """Return an answer of a call that finds nothing."""
    return lambda _params: CallFailed(-404, "not found", api)
