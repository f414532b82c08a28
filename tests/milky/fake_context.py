"""What the translation needs, in memory: message ids, and an implementation whose answers a test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lgtwist.milky.implementation import Implementation
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import MessageKey
from lgtwist.milky.recent import Recent
from lgtwist.onebot.errors import UnknownAction
from tests.milky.schema import check_request

SELF = 10_001_000


class CountedIds:
    """Message ids that count from 1001."""

    def __init__(self) -> None:
        self._ids: dict[MessageKey, int] = {}

    def id_of(self, key: MessageKey) -> int:
        """Return the number of a message."""
        return self._ids.setdefault(key, 1001 + len(self._ids))

    def id_of_sent(self, key: MessageKey) -> int:
        """Return the number of a message that was sent."""
        return self.id_of(key)

    def key_of(self, message_id: int) -> MessageKey | None:
        """Return the message that a number stands for."""
        return next((key for key, number in self._ids.items() if number == message_id), None)


class ScriptedApi:
    """An implementation that answers what a test says; each call is judged by the schema.

    :ivar answers: by API: the data, an error to raise, or a function of the parameters.
    :ivar calls: the calls in order.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(self, api: str, params: dict[str, Any], /) -> Any:
        """Answer a call; an API without an answer is not offered."""
        check_request(api, params, for_lagrange=True)
        self.calls.append((api, params))
        if api not in self.answers:
            raise UnknownAction(f"the implementation does not offer Milky's {api} (HTTP 404)")
        answer = self.answers[api]
        if isinstance(answer, Callable):  # type: ignore[arg-type]
            answer = answer(params)
        if isinstance(answer, Exception):
            raise answer
        return answer


def make_context(name: str = "Yogurt") -> tuple[ActionContext, ScriptedApi]:
    """Return what actions use, with an implementation of this name, and its API."""
    api = ScriptedApi()
    context = ActionContext(
        self_id=SELF,
        api=api,
        ids=CountedIds(),
        recent=Recent(),
        implementation=Implementation(name, "1", "1.3"),
        is_online=lambda: True,
        now=lambda: 1_790_000_000.0,
    )
    return context, api
