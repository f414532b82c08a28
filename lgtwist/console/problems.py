"""Why a request to ``/console/api/`` is refused, as a code for the pages and a sentence for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

#: Bytes of the body of a request; a configuration has an eighth of it.
_MOST_BODY = 1 << 20


class ApiProblem(Exception):
    """A request that is refused.

    :ivar status: the HTTP status, from 400 on.
    :ivar code: what is wrong, in lower case and with underscores; the pages have words for each.
    :ivar arguments: what the words need, such as ``{"account": 10001}``.
    :ivar sentence: the same in English, for scripts.
    """

    def __init__(self, status: int, code: str, arguments: Mapping[str, Any], sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.arguments = dict(arguments)
        self.sentence = sentence


def bad_request(sentence: str) -> ApiProblem:
    """Return the problem of a body that cannot be read.

    :param sentence: what is wrong with it.
    """
    return ApiProblem(400, "bad_request", {"reason": sentence}, sentence)


def nothing_here() -> ApiProblem:
    """Return the problem of a path that there is not."""
    return ApiProblem(404, "no_such_path", {}, "there is nothing here; see docs/console-api.md")


def problem_json(problem: ApiProblem) -> bytes:
    """Return the body of the response that tells a problem: ``{"error": {"code", "args", "sentence"}}``."""
    error = {"code": problem.code, "args": problem.arguments, "sentence": problem.sentence}
    return msgspec.json.encode({"error": error})


def read_object(body: bytes, most: int = _MOST_BODY) -> dict[str, Any]:
    """Return the JSON object of a body.

    :param most: bytes that it may have.
    :raises ApiProblem: if it is none, or longer than any of ours: to decode it would hold the reactor.
    """
    if len(body) > most:
        raise ApiProblem(413, "too_long", {"most": most}, f"a body has at most {most} bytes here")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ApiProblem(400, "bad_request", {"reason": str(error)[:200]}, "expected a JSON object") from None
    if not isinstance(value, dict):
        raise ApiProblem(400, "bad_request", {"reason": "no object"}, "expected a JSON object")
    return value
