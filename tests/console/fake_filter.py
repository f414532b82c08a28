"""What ``POST filter`` answers, for tests of the page: the real filters, over events of the test."""

from __future__ import annotations

import json
from typing import Any

from lgtwist.console.event_filters import FilterRoutes
from lgtwist.console.problems import ApiProblem
from lgtwist.onebot.event import Event, read_event


class FakeFilters(FilterRoutes):
    """Answers as the real one does.

    :ivar events: those that would be the newest.
    :ivar asked: what was asked, in order.
    """

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = [read_event(json.dumps({"self_id": 1, "time": 1, **one}).encode()) for one in events]
        self.asked: list[dict[str, Any]] = []

    async def _newest(self, accounts: frozenset[int] | None) -> tuple[list[Event], str]:
        return self.events, "seen"

    def answer(self, body: bytes) -> tuple[int, Any]:
        """Return the status and the answer to a body."""
        self.asked.append(json.loads(body))
        try:
            self._look(None, (), body).send(None)  # type: ignore[arg-type]
        except StopIteration as done:
            return 200, done.value
        except ApiProblem as problem:
            error = {"code": problem.code, "args": problem.arguments, "sentence": problem.sentence}
            return problem.status, {"error": error}
        raise AssertionError("a filter of a test takes long")
