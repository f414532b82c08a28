"""The sandbox's control over HTTP: what people do in it, and what was said. See docs/sandbox.md."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from lgtwist.answers import say_json
from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.onebot.event import BadEvent
from lgtwist.sandbox.account import SandboxAccount, shown
from lgtwist.sandbox.params import Params

#: A long poll waits no longer than this (seconds).
MAX_WAIT = 60.0


class Control:
    """Answers the requests below ``/sandbox/{self_id}/`` of one account."""

    _log = Logger()

    def __init__(self, sandbox: SandboxAccount) -> None:
        self._sandbox = sandbox
        self._routes = {
            ("GET", ()): self._overview,
            ("POST", ("say",)): self._say,
            ("POST", ("ask",)): self._ask,
            ("POST", ("event",)): self._event,
            ("GET", ("transcript",)): self._transcript,
        }

    def __call__(self, request: Request, path: tuple[str, ...]) -> None:
        """Answer one request."""
        path = tuple(part for part in path if part)
        method = "GET" if request.method == b"HEAD" else request.method.decode("ascii", "replace")
        route = self._routes.get((method, path))
        if route is None:
            allowed = [m for m, p in self._routes if p == path]
            if allowed:
                request.responseHeaders.setRawHeaders("Allow", [", ".join(allowed)])
            say_json(request, 405 if allowed else 404, {"error": "see docs/sandbox.md"})
            return
        try:
            result = route(request)
        except (OneBotError, BadEvent) as error:
            say_json(request, 400, {"error": str(error)})
            return
        if isinstance(result, Deferred):
            self._answer_later(request, result)
        else:
            say_json(request, 200, result)

    def _answer_later(self, request: Request, waiting: Deferred[Any]) -> None:
        gone = request.notifyFinish()
        gone.addBoth(lambda _ended: waiting.cancel())

        def failed(failure: Failure) -> None:
            if not failure.check(CancelledError):
                self._log.failure("a request to the sandbox failed", failure)
                say_json(request, 500, {"error": "lgtwist failed; its log says why"})

        waiting.addCallback(lambda result: say_json(request, 200, result)).addErrback(failed)

    # -- what can be asked

    def _overview(self, _request: Request) -> Any:
        world = self._sandbox.world
        return {
            "self_id": world.self_id,
            "people": list(world.people.values()),
            "groups": list(world.groups.values()),
            "requests": list(world.requests.values()),
            "last_message_id": world.last_message_id,
        }

    def _say(self, request: Request) -> Any:
        params = _params(request)
        group_id = params.integer("group_id") if params.has("group_id") else None
        message = params.message()
        if not message:
            raise BadRequest("params.message: nothing is said")
        said = self._sandbox.world.say(params.integer("user_id"), message, self._sandbox.now(), group_id)
        self._sandbox.settle()
        return {"message_id": said.message_id}

    def _ask(self, request: Request) -> Any:
        params = _params(request)
        group_id = params.integer("group_id") if params.has("group_id") else None
        sub_type = params.text("sub_type", "add")
        if sub_type not in ("add", "invite"):
            raise BadRequest('params.sub_type: expected "add" or "invite"')
        asked = self._sandbox.world.ask(
            params.integer("user_id"),
            params.text("comment", ""),
            self._sandbox.now(),
            group_id,
            sub_type,
        )
        self._sandbox.settle()
        return {"flag": asked.flag}

    def _event(self, request: Request) -> Any:
        self._sandbox.inject(_body(request))
        return {}

    def _transcript(self, request: Request) -> Any:
        after = _number(request, "after", 0)
        wait = min(_number(request, "wait", 0), int(MAX_WAIT))
        if wait and self._sandbox.world.last_message_id <= after:
            heard = self._sandbox.next_message()
            heard.addTimeout(wait, self._sandbox.account.clock, lambda _result, _timeout: None)
            return heard.addCallback(lambda _heard: self._said(after))
        return self._said(after)

    def _said(self, after: int) -> Any:
        world = self._sandbox.world
        return {
            "last_message_id": world.last_message_id,
            "messages": [shown(message, world) for message in world.transcript(after)],
        }


def _body(request: Request) -> bytes:
    body = request.content.read() if request.content is not None else b""
    assert isinstance(body, bytes)
    return body


def _params(request: Request) -> Params:
    return Params(_body(request))


def _number(request: Request, name: str, default: int) -> int:
    values = request.args.get(name.encode(), [])
    text = values[-1].decode("ascii", "replace") if values else str(default)
    if not text.isdecimal() or len(text) > 18:
        raise BadRequest(f"{name}: expected a number")
    return int(text)
