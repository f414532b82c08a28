"""Routing of requests to mounts, by the first segment of the path."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from lgtwist.net.http_responses import respond
from lgtwist.runtime.logs import Logger, LogThrottle
from lgtwist.web.bodies import BodyBudget
from lgtwist.web.bot_endpoints import BotPath, read_bot_path
from lgtwist.web.mounts import Mount, answer_not_path
from lgtwist.web.routes import route, without_authority


class Router(Resource):
    """The root resource: passes each request to its mount, and answers what belongs to none.

    :param bots: gets the requests whose path begins with no mount's name.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, bots: Mount, clock: IReactorTime) -> None:
        super().__init__()
        self._bots = bots
        self._failures = LogThrottle(clock)
        self._mounts: dict[str, Mount] = {}
        self._names: dict[str, bool] = {}  # for route()

    def add(self, name: str, mount: Mount) -> None:
        """Pass requests whose path begins with the segment ``name`` to ``mount``, from now on."""
        self._mounts[name] = mount
        self._names[name] = mount.has_root

    def body_budget(self, target: bytes, request: Request) -> BodyBudget | None:
        """Return what the body of a request is counted in while it comes; None if it is not to be read.

        :param target: of the request's first line.
        """
        path, _mark, query = target.partition(b"?")
        mount, segments = self._find(path)
        return None if mount is None else mount.body_budget(request, segments, query)

    def is_action(self, method: bytes, target: bytes) -> bool:
        """Return whether a request asks for an action, perhaps for none that there is.

        So does everything but a WebSocket's path and the mounts of others; and a POST to ``/``, where other
        programs take actions.
        """
        path = without_authority(target.partition(b"?")[0])
        if not path.startswith(b"/"):
            return False
        mount, segments = self._find(b"/" + path.lstrip(b"/"))
        if mount is not self._bots:
            return mount is None
        read = read_bot_path(segments)
        return not isinstance(read, BotPath) or (method == b"POST" and not read.role)

    def render(self, request: Request) -> int:
        """Pass a request to its mount; answer 500 to an exception."""
        request.responseHeaders.setRawHeaders("Server", ["lgtwist"])
        try:
            self._render(request)
        except Exception:
            if self._failures.should_log():
                self._log.failure("a request failed")
            channel: Any = request.channel
            if channel is not None and request.startedWriting:
                channel.abort()  # the rest of the answer will not come
            elif channel is not None:
                respond(request, 500, "lgtwist failed; its log says why")
        return NOT_DONE_YET

    def _render(self, request: Request) -> None:
        mount, segments = self._find(request.path)
        if mount is None:
            answer_not_path(request)
        else:
            mount.render(request, segments)

    def _find(self, path: bytes) -> tuple[Mount | None, tuple[str, ...]]:
        found = route(path, self._names)
        if found is None:
            return None, ()
        return (self._bots if found.mount is None else self._mounts[found.mount]), found.segments
