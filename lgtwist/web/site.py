"""Routing of requests to mounts, by the first segment of the path."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from lgtwist.net.http_responses import respond
from lgtwist.runtime.logs import Logger, LogThrottle
from lgtwist.web.bodies import BodyBudget
from lgtwist.web.bot_endpoints import ActionPath, read_bot_path
from lgtwist.web.mounts import Mount, answer_not_found
from lgtwist.web.routes import route


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

    def is_action(self, target: bytes) -> bool:
        """Return whether a request's target is that of an action."""
        mount, segments = self._find(target.partition(b"?")[0])
        return mount is self._bots and isinstance(read_bot_path(segments), ActionPath)

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
            answer_not_found(request)
        else:
            mount.render(request, segments)

    def _find(self, path: bytes) -> tuple[Mount | None, tuple[str, ...]]:
        found = route(path, self._names)
        if found is None:
            return None, ()
        return (self._bots if found.mount is None else self._mounts[found.mount]), found.segments
