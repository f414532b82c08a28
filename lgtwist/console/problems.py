"""What a request to ``/console/api/`` is refused with: a code and its arguments, which a page translates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiProblem(Exception):
    """A request cannot be carried out.

    :ivar status: the HTTP status of the answer, 400 or more.
    :ivar code: in snake_case; a key of the pages' word tables behind ``error.``.
    :ivar values: what the words have places for; no secrets.
    :ivar sentence: the same in English.
    """

    def __init__(self, status: int, code: str, values: Mapping[str, Any], sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.values = dict(values)
        self.sentence = sentence

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer, as ``msgspec`` encodes it."""
        return {"error": {"code": self.code, "args": self.values, "sentence": self.sentence}}
