"""The sandbox's control over HTTP: what people do in it, and what was said. See docs/sandbox.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from twisted.web.static import File
from zope.interface import implementer

from lgtwist.hub.interfaces import IControl
from lgtwist.net.http_responses import say, say_json
from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.onebot.event import BadEvent
from lgtwist.runtime.tasks import spawn
from lgtwist.sandbox.control.event_stream import feed
from lgtwist.sandbox.control.transcript import shown
from lgtwist.sandbox.control.verbs import VERBS
from lgtwist.sandbox.files import attachments as intake
from lgtwist.sandbox.files.media import KINDS
from lgtwist.sandbox.params import Params

if TYPE_CHECKING:
    from lgtwist.sandbox.account import SandboxAccount

#: A long poll waits no longer than this (seconds).
MAX_WAIT = 60.0


@implementer(IControl)
class Control:
    """Answers the requests below ``/sandbox/{self_id}/`` of one account."""

    _log = Logger()

    def __init__(self, sandbox: SandboxAccount) -> None:
        self._sandbox = sandbox
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", ""): self._overview,
            ("GET", "transcript"): self._transcript,
            ("GET", "world"): self._save,
            ("PUT", "world"): self._load,
            ("POST", "world"): self._load,
            ("POST", "event"): self._event,
        }
        for verb in VERBS:
            self._routes["POST", verb] = self._doing(verb)

    def handle(self, request: Request, path: tuple[str, ...]) -> None:
        """Answer a request of the operator.

        :param path: what stands behind ``/sandbox/{self_id}/``; empty segments make no difference.
        """
        path = tuple(part for part in path if part)
        method = "GET" if request.method == b"HEAD" else request.method.decode("ascii", "replace")
        if request.method == b"GET" and path == ("transcript", "stream"):
            spawn("transcript stream", feed(self._sandbox, request, _last_seen(request)))
            return
        route = self._routes.get((method, "/".join(path)))
        if route is None:
            allowed = [m for m, p in self._routes if p == "/".join(path)]
            if allowed:
                request.responseHeaders.setRawHeaders("Allow", [", ".join(allowed)])
            say_json(request, 405 if allowed else 404, {"error": "see docs/sandbox.md"})
            return
        try:
            result = route(request)
        except (OneBotError, BadEvent, ValueError) as error:
            say_json(request, 400, {"error": str(error)})
            return
        if isinstance(result, Deferred):
            self._answer_later(request, result)
        else:
            say_json(request, 200, result)

    def serve_file(self, request: Request, name: str) -> None:
        """Answer anybody's request for a stored file; its unguessable name is the key."""
        kept = self._sandbox.media.find(name)
        if kept is None or request.method not in (b"GET", b"HEAD"):
            say(request, 404, "there is no such file")
            return
        request.responseHeaders.setRawHeaders("X-Content-Type-Options", ["nosniff"])
        request.responseHeaders.setRawHeaders("Content-Security-Policy", ["sandbox"])
        file = File(str(kept.path))
        file.type = KINDS.get(name.rpartition(".")[2], "application/octet-stream")
        file.encoding = None
        for conditional in ("range", "if-modified-since"):  # the whole file, always: it is small
            request.requestHeaders.removeHeader(conditional)
        body = file.render(request)
        if isinstance(body, bytes):  # HEAD, or the file has just gone
            if request.method != b"HEAD":
                request.write(body)
            request.finish()

    def _answer_later(self, request: Request, waiting: Deferred[Any]) -> None:
        request.notifyFinish().addBoth(lambda _ended: waiting.cancel())

        def failed(failure: Failure) -> None:
            if failure.check(OneBotError):
                say_json(request, 400, {"error": str(failure.value)})
            elif not failure.check(CancelledError):
                self._log.failure("a request to the sandbox failed", failure)
                say_json(request, 500, {"error": "lgtwist failed; its log says why"})

        waiting.addCallback(lambda result: say_json(request, 200, result)).addErrback(failed)

    # -- what people do

    def _doing(self, verb: str) -> Callable[[Request], Any]:
        def do(request: Request) -> Any:
            params = Params(_body(request))
            if verb == "say" and params.has("message"):
                message = params.message()
                params.put("message", message)
                params.put("auto_escape", False)
                if intake.carried(message):
                    return Deferred.fromCoroutine(self._say_with_files(params, message))
            if verb == "upload":
                return Deferred.fromCoroutine(self._upload(params))
            return self._do(verb, params)

        return do

    def _do(self, verb: str, params: Params) -> Any:
        result = VERBS[verb](self._sandbox.world, params, self._sandbox.now())
        self._sandbox.settle()
        return {} if result is None else result

    async def _say_with_files(self, params: Params, message: Any) -> Any:
        await intake.take_in_message(self._sandbox.media, message, "params.message")
        return self._do("say", params)

    async def _upload(self, params: Params) -> Any:
        kept = await self._sandbox.media.take(params.text("file"), "params.file")
        params.put("file", kept.shown())
        return self._do("upload", params)

    def _event(self, request: Request) -> Any:
        self._sandbox.inject(_body(request))
        return {}

    # -- what can be read

    def _overview(self, _request: Request) -> Any:
        world = self._sandbox.world
        return {
            "self_id": world.self_id,
            "people": list(world.people.values()),
            "groups": list(world.groups.values()),
            "requests": list(world.requests.values()),
            "last_message_id": world.last_message_id,
        }

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

    # -- the world as a file

    def _save(self, _request: Request) -> Any:
        return self._sandbox.world.to_file()

    def _load(self, request: Request) -> Any:
        self._sandbox.replace_world(_body(request))
        return {}


def _body(request: Request) -> bytes:
    body = request.content.read() if request.content is not None else b""
    assert isinstance(body, bytes)
    return body


def _number(request: Request, name: str, default: int) -> int:
    values = request.args.get(name.encode(), [])
    text = values[-1].decode("ascii", "replace") if values else str(default)
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequest(f"{name}: expected a number")
    return int(text)


def _last_seen(request: Request) -> int:
    """Where a stream goes on: ``Last-Event-ID`` of a client that comes back, else ``after``."""
    for value in request.requestHeaders.getRawHeaders("last-event-id", []):
        if value.isascii() and value.isdigit() and len(value) <= 18:
            return int(value)
    try:
        return _number(request, "after", 0)
    except BadRequest:
        return 0
