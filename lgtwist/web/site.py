"""Routing of requests to mounts, by the first segment of the path."""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from lgtwist.net.http_responses import respond
from lgtwist.runtime.logs import Logger
from lgtwist.web.authentication import address_of
from lgtwist.web.connection_limits import ConnectionLimits
from lgtwist.web.mounts import RETRY_AFTER, Mount, answer_not_found
from lgtwist.web.refused_handshakes import Named, Reason, RefusedHandshakes
from lgtwist.web.routes import route
from lgtwist.websocket.upgrade import asks_for_upgrade


class Router(Resource):
    """The root resource: passes each request to its mount, and answers what belongs to none.

    :param bots: gets the requests whose path begins with no mount's name.
    :param refused_handshakes: is told of those that are refused while there are too many connections.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, limits: ConnectionLimits, bots: Mount, refused_handshakes: RefusedHandshakes) -> None:
        super().__init__()
        self._limits = limits
        self._bots = bots
        self._refused_handshakes = refused_handshakes
        self._mounts: dict[str, Mount] = {}
        self._names: dict[str, bool] = {}  # for route()

    def add(self, name: str, mount: Mount) -> None:
        """Pass requests whose path begins with the segment ``name`` to ``mount``, from now on."""
        self._mounts[name] = mount
        self._names[name] = mount.has_root

    def accepts_body(self, target: bytes, request: Request) -> bool:
        """Return whether the body of a request is to be read: not if it will be refused whatever the body is.

        :param target: of the request's first line.
        """
        path, _mark, query = target.partition(b"?")
        mount, segments = self._find(path)
        if mount is None:
            return self._bots.accepts_body(request, (), query)
        return mount.accepts_body(request, segments, query)

    def render(self, request: Request) -> int:
        """Pass a request to its mount; answer 503 over the limit of connections, and 500 to an exception."""
        request.responseHeaders.setRawHeaders("Server", ["lgtwist"])
        try:
            self._render(request)
        except Exception:
            self._log.failure("a request failed")
            if not request.startedWriting and request.channel is not None:
                respond(request, 500, "lgtwist failed; its log says why")
        return NOT_DONE_YET

    def _render(self, request: Request) -> None:
        if self._limits.exceeded:
            sentence = "too many connections; try again soon"
            if asks_for_upgrade(request):
                self._refused_handshakes.add(address_of(request), Named(), Reason.LIMIT, 503, sentence)
            respond(request, 503, sentence, RETRY_AFTER)
            return
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
