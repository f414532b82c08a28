"""The routes of the sandbox's HTTP interface, below ``/sandbox/{self_id}/`` (docs/sandbox.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.server import Request
from twisted.web.static import File
from zope.interface import implementer

from lgtwist.hub.interfaces import IControl
from lgtwist.net.http_responses import respond, respond_with_json
from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.onebot.event import BadEvent
from lgtwist.onebot.message import Segment
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.tasks import spawn
from lgtwist.sandbox.bounds import LARGE_PARAMS
from lgtwist.sandbox.control.event_stream import stream_log, stream_transcript
from lgtwist.sandbox.control.faults import actions_json, faults_json, find_faults, read_fault
from lgtwist.sandbox.control.log import log_json
from lgtwist.sandbox.control.producer import respond_with_parts
from lgtwist.sandbox.control.transcript import transcript_json
from lgtwist.sandbox.control.verbs import VERBS
from lgtwist.sandbox.files import attachments
from lgtwist.sandbox.files.media import CONTENT_TYPES
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.forwards import find_forward
from lgtwist.sandbox.world.model import record_parts
from lgtwist.sandbox.world.operations import MAX_FILE_NAME

if TYPE_CHECKING:
    from lgtwist.sandbox.account import SandboxAccount

#: Seconds that a request for the transcript or the log may wait for a new message or entry.
MAX_WAIT_SECONDS = 60.0
#: Requests that may wait while events are paused. Their bodies are counted in the account's budget.
_MAX_PAUSED = 64
#: Seconds after which the next one may be tried.
_RETRY_PAUSED_AFTER = 3


@implementer(IControl)
class Control:
    """Answers the HTTP requests to one sandbox account."""

    _log = Logger()

    def __init__(self, sandbox: SandboxAccount) -> None:
        self._sandbox = sandbox
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", ""): self._overview,
            ("GET", "transcript"): self._transcript,
            ("GET", "log"): self._read_log,
            ("GET", "actions"): self._read_actions,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_fault,
            ("POST", "clear_faults"): self._clear_faults,
            ("GET", "forward"): self._forward,
            ("POST", "media"): self._store_body,
            ("GET", "world"): self._get_world,
            ("PUT", "world"): self._put_world,
            ("POST", "world"): self._put_world,
            ("POST", "event"): self._publish_event,
        }
        for verb in VERBS:
            self._routes["POST", verb] = self._verb_handler(verb)

    def handle(self, request: Request, path: tuple[str, ...]) -> None:
        """Answer a request to a route or verb.

        :param path: the segments behind ``/sandbox/{self_id}/``; empty ones are ignored.
        """
        path = tuple(part for part in path if part)
        method = "GET" if request.method == b"HEAD" else request.method.decode("ascii", "replace")
        if request.method == b"GET" and path == ("transcript", "stream"):
            after = _last_seen_id(request) or 0
            spawn("transcript stream", stream_transcript(self._sandbox, request, after))
            return
        if request.method == b"GET" and path == ("log", "stream"):
            spawn("log stream", stream_log(self._sandbox, request, _last_seen_id(request)))
            return
        route = self._routes.get((method, "/".join(path)))
        if route is None:
            allowed = [m for m, p in self._routes if p == "/".join(path)]
            if allowed:
                request.responseHeaders.setRawHeaders("Allow", [", ".join(allowed)])
            respond_with_json(request, 405 if allowed else 404, {"error": "see docs/sandbox.md"})
            return
        if method != "GET" and self._sandbox.work.is_paused:
            self._run_later(request, route)
            return
        try:
            result = route(request)
        except (OneBotError, BadEvent, ValueError) as error:
            respond_with_json(request, 400, {"error": str(error)})
            return
        if isinstance(result, Deferred):
            self._respond_later(request, result)
        elif isinstance(result, Iterator):
            spawn("a response of the sandbox", respond_with_parts(request, result))
        else:
            respond_with_json(request, 200, result)

    def _run_later(self, request: Request, route: Callable[[Request], Any]) -> None:
        """Answer a request when events are not paused any more; with 503 if too many wait already."""
        work, account = self._sandbox.work, self._sandbox.account
        size = _body_size(request)
        if len(work) >= _MAX_PAUSED or not account.budget.fits(size):
            request.responseHeaders.setRawHeaders("Retry-After", [str(_RETRY_PAUSED_AFTER)])
            sentence = (
                f"{account.links.pause_reason}; {_MAX_PAUSED} requests, of {account.budget.limit} bytes "
                "in all, may wait for that"
            )
            respond_with_json(request, 503, {"error": sentence})
            return
        account.budget.charge(size)

        def resumed(result: Any) -> Any:
            account.budget.release(size)
            return result

        self._respond_later(
            request, work.when_resumed().addBoth(resumed).addCallback(lambda _: route(request))
        )

    def serve_file(self, request: Request, name: str) -> None:
        """Answer a request for a stored file; whoever knows its unguessable name may have it."""
        stored = self._sandbox.media.find(name)
        if stored is None or request.method not in (b"GET", b"HEAD"):
            respond(request, 404, "there is no such file")
            return
        request.responseHeaders.setRawHeaders("X-Content-Type-Options", ["nosniff"])
        request.responseHeaders.setRawHeaders("Content-Security-Policy", ["sandbox; frame-ancestors 'none'"])
        file = File(str(stored.path))
        file.type = CONTENT_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        file.encoding = None
        for conditional in ("range", "if-modified-since"):  # always answer with the whole file
            request.requestHeaders.removeHeader(conditional)
        body = file.render(request)
        if isinstance(body, bytes):  # a HEAD request, or the file was removed just now
            if request.method != b"HEAD":
                request.write(body)
            request.finish()

    def _respond_later(self, request: Request, waiting: Deferred[Any]) -> None:
        """Answer a request when a Deferred fires, and cancel the Deferred if the client disconnects first."""
        request.notifyFinish().addBoth(lambda _ended: waiting.cancel())

        def failed(failure: Failure) -> None:
            if failure.check(OneBotError, BadEvent, ValueError):
                respond_with_json(request, 400, {"error": str(failure.value)})
            elif not failure.check(CancelledError):
                self._log.failure("a request to the sandbox failed", failure)
                respond_with_json(request, 500, {"error": "lgtwist failed; its log says why"})

        def answered(result: Any) -> Any:
            if isinstance(result, Iterator):
                return spawn("a response of the sandbox", respond_with_parts(request, result))
            return respond_with_json(request, 200, result)

        waiting.addCallback(answered).addErrback(failed)

    # -- verbs

    def _verb_handler(self, verb: str) -> Callable[[Request], Any]:
        """Return the handler of ``POST /sandbox/{self_id}/{verb}``."""

        def handle_verb(request: Request) -> Any:
            body = _read_body(request)
            if len(body) >= LARGE_PARAMS:
                return Deferred.fromCoroutine(self._run_large_verb(verb, body))
            params, message = _read_verb(verb, body)
            if verb == "upload" or attachments.attachment_segments(message):
                return Deferred.fromCoroutine(self._run_with_files(verb, params, message))
            return self._run_verb(verb, params)

        return handle_verb

    def _run_verb(self, verb: str, params: Params) -> Any:
        """Run a control verb, publish what it caused, and return the JSON answer."""
        result = VERBS[verb](self._sandbox.world, params, self._sandbox.now())
        self._sandbox.publish_and_save()
        return {} if result is None else result

    async def _run_large_verb(self, verb: str, body: bytes) -> Any:
        """Run a verb with a large body, which is read in a thread."""
        params, message = await self._sandbox.run_in_thread(_read_verb, verb, body)
        return await self._run_with_files(verb, params, message, large=True)

    async def _run_with_files(
        self, verb: str, params: Params, message: list[Segment], large: bool = False
    ) -> Any:
        """Store the files of a verb, then run it; a limited number at a time.

        :param message: the message among the parameters; empty for none.
        :param large: whether the message may be large.
        """
        slots, caller = self._sandbox.slots, None
        await slots.acquire(caller)
        try:
            await attachments.store_attachments(self._sandbox.media, message, "params.message")
            if verb == "upload":
                stored = await self._sandbox.media.store(params.text("file"), "params.file")
                params.set("file", stored.to_params())
            elif large and message:
                await self._sandbox.run_in_thread(attachments.finish_large_message, params, message)
        finally:
            slots.release(caller)
        await self._sandbox.work.when_resumed()
        return self._run_verb(verb, params)

    def _publish_event(self, request: Request) -> Any:
        self._sandbox.publish_raw_event(_read_body(request))
        return {}

    # -- reading

    def _overview(self, _request: Request) -> Any:
        world = self._sandbox.world
        return {
            "self_id": world.self_id,
            "people": list(world.people.values()),
            "groups": list(world.groups.values()),
            "requests": list(world.requests.values()),
            "files": list(world.files.values()),
            "last_message_id": world.last_message_id,
            "last_seq": self._sandbox.last_seq,
        }

    def _transcript(self, request: Request) -> Any:
        """Return the messages after ``after``; wait up to ``wait`` seconds for one where there is none."""
        after, details = _query_integer(request, "after", 0), bool(_query_integer(request, "details", 0))
        wait = _query_wait(request)
        if wait and self._sandbox.world.last_message_id <= after:
            waiting = self._sandbox.when_message_added()
            waiting.addTimeout(wait, self._sandbox.account.clock, lambda _result, _timeout: None)
            return waiting.addCallback(lambda _fired: transcript_json(self._sandbox.world, after, details))
        return transcript_json(self._sandbox.world, after, details)

    def _read_log(self, request: Request) -> Any:
        sandbox = self._sandbox
        log = sandbox.event_log
        return self._read_newer(
            request, log.last_seq, sandbox.when_logged, lambda after: log_json(log, sandbox.world, after)
        )

    def _read_actions(self, request: Request) -> Any:
        log = self._sandbox.action_log
        return self._read_newer(
            request, log.last_seq, self._sandbox.when_action_logged, lambda after: actions_json(log, after)
        )

    def _read_newer(
        self,
        request: Request,
        last_seq: int,
        when_added: Callable[[], Deferred[None]],
        to_json: Callable[[int], Any],
    ) -> Any:
        """Return a log's entries after ``after``; wait up to ``wait`` seconds for one where there is none.

        Without ``after`` these are the entries that come while it waits.

        :param last_seq: the sequence number of the log's newest entry.
        :param when_added: returns a Deferred that fires at the next entry.
        :param to_json: returns the answer with the entries after a sequence number.
        """
        after = _query_integer(request, "after", last_seq)
        wait = _query_wait(request)
        if not wait or after != last_seq:
            return to_json(after)
        waiting = when_added()
        waiting.addTimeout(wait, self._sandbox.account.clock, lambda _result, _timeout: None)
        return waiting.addCallback(lambda _fired: to_json(after))

    # -- faults

    def _list_faults(self, _request: Request) -> Any:
        return faults_json(self._sandbox.faults)

    def _add_fault(self, request: Request) -> Any:
        fault = read_fault(Params(_read_body(request)))
        self._sandbox.add_fault(fault)
        return fault.as_json()

    def _clear_faults(self, request: Request) -> Any:
        cleared, chosen = find_faults(self._sandbox.faults, Params(_read_body(request) or b"{}"))
        self._sandbox.clear_faults(cleared, chosen)
        return {"cleared": len(cleared)}

    def _forward(self, request: Request) -> Iterator[bytes]:
        """Return the forwarded message with that ``id``, or the one of the message with that number."""
        name = _query_text(request, "id")
        if not name:
            raise BadRequest("id is missing")
        return record_parts(find_forward(self._sandbox.world, name))

    # -- files

    def _store_body(self, request: Request) -> Any:
        return Deferred.fromCoroutine(self._store_bytes(_read_body(request), _query_text(request, "name")))

    async def _store_bytes(self, data: bytes, name: str) -> Any:
        """Store the body of a request as a file, a limited number at a time; return what names it."""
        if len(name) > MAX_FILE_NAME:
            raise BadRequest(f"name: more than {MAX_FILE_NAME} characters")
        slots, caller = self._sandbox.slots, None
        await slots.acquire(caller)
        # A client that goes away does not end the thread: what is stored has its slot until it is done.
        done: Deferred[Any] = Deferred()

        def ended(result: Any) -> None:
            slots.release(caller)
            if not done.called:
                done.callback(result)  # a Failure becomes its failure

        Deferred.fromCoroutine(self._sandbox.media.store_bytes(data, name, "the body")).addBoth(ended)
        stored = await done
        return {"file": stored.file, "name": stored.name, "url": stored.url, "size": stored.size}

    # -- the world as a file

    def _get_world(self, _request: Request) -> Any:
        return self._sandbox.world.file_json()

    def _put_world(self, request: Request) -> Any:
        body = _read_body(request)
        if len(body) >= LARGE_PARAMS:
            return Deferred.fromCoroutine(self._put_large_world(body))
        self._sandbox.replace_world(self._sandbox.read_world(body))
        return {}

    async def _put_large_world(self, body: bytes) -> Any:
        world = await self._sandbox.run_in_thread(self._sandbox.read_world, body)
        self._sandbox.replace_world(world)
        return {}


def _read_verb(verb: str, body: bytes) -> tuple[Params, list[Segment]]:
    """Return the parameters of a verb, and the message among them; empty if it has none.

    :raises OneBotError: if they cannot be read.
    """
    params = Params(body)
    if verb != "say" or not params.has("message"):
        return params, []
    message = params.message()
    params.set("message", message)
    params.set("auto_escape", False)
    return params, message


def _read_body(request: Request) -> bytes:
    body = request.content.read() if request.content is not None else b""
    assert isinstance(body, bytes)
    return body


def _body_size(request: Request) -> int:
    content: Any = request.content
    if content is None:
        return 0
    size = int(content.seek(0, os.SEEK_END))
    content.seek(0)
    return size


def _query_integer(request: Request, name: str, default: int) -> int:
    """Return a whole number of the query.

    :raises BadRequest: if it is not a number of at most 18 digits.
    """
    values = request.args.get(name.encode(), [])
    text = values[-1].decode("ascii", "replace") if values else str(default)
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequest(f"{name}: expected a number")
    return int(text)


def _query_wait(request: Request) -> float:
    """Return the seconds of ``wait`` in the query, at most :data:`MAX_WAIT_SECONDS`; 0 if it is not given.

    :raises BadRequest: if it is not a number, with or without decimals, of at most 18 characters.
    """
    values = request.args.get(b"wait", [])
    text = values[-1].decode("ascii", "replace") if values else "0"
    if len(text) > 18 or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise BadRequest("wait: expected a number of seconds")
    return min(float(text), MAX_WAIT_SECONDS)


def _query_text(request: Request, name: str) -> str:
    """Return a text of the query; empty if it is not given."""
    values = request.args.get(name.encode(), [])
    return values[-1].decode("utf-8", "replace") if values else ""


def _last_seen_id(request: Request) -> int | None:
    """Return the number after which a stream starts: ``Last-Event-ID`` or ``after``; None for neither."""
    for value in request.requestHeaders.getRawHeaders("last-event-id", []):
        if value.isascii() and value.isdigit() and len(value) <= 18:
            return int(value)
    if not request.args.get(b"after"):
        return None
    try:
        return _query_integer(request, "after", 0)
    except BadRequest:
        return 0
