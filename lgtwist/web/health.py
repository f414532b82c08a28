"""The mounts ``healthz`` and ``readyz``: whether the service is alive, and whether it is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.web.server import Request

from lgtwist.net.http_responses import respond, respond_with_json
from lgtwist.web.authentication import Authentication
from lgtwist.web.bodies import BodyBudget
from lgtwist.web.mounts import answer_not_found
from lgtwist.websocket.upgrade import asks_for_upgrade

#: Returns why something is not ready, one sentence for each reason; nothing if it is ready.
Reasons = Callable[[], Iterable[str]]


class Readiness:
    """Collects the reasons why the service is not ready from the functions that are registered."""

    def __init__(self) -> None:
        self._sources: list[Reasons] = []

    def add(self, reasons: Reasons) -> Callable[[], None]:
        """Register a function that is called for its reasons, after those that are registered already.

        :returns: a function that removes it; call it once.
        """
        self._sources.append(reasons)
        return lambda: self._sources.remove(reasons)

    def reasons(self) -> list[str]:
        """Return why the service is not ready, one sentence for each reason; ``[]`` if it is."""
        return [reason for source in self._sources for reason in source()]


class SystemEndpoint:
    """Base class of the mounts that have one path and answer GET and HEAD about the service itself."""

    has_root = True

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> BodyBudget | None:
        """Return None: no body is used."""
        return None

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer GET and HEAD by :meth:`answer`, other methods with 405, deeper paths with 404."""
        if segments or asks_for_upgrade(request):
            answer_not_found(request)
        elif request.method not in (b"GET", b"HEAD"):
            respond(request, 405, "only GET", (("Allow", "GET, HEAD"),))
        else:
            self.answer(request)

    def answer(self, request: Request) -> None:
        """Answer a GET or HEAD request."""
        raise NotImplementedError


class Healthz(SystemEndpoint):
    """Answers every request that the service is alive."""

    def answer(self, request: Request) -> None:
        """Answer 200."""
        respond(request, 200, "alive")


class Readyz(SystemEndpoint):
    """Answers whether the service is ready; to this machine and to the operator also why it is not."""

    def __init__(self, authentication: Authentication, readiness: Readiness) -> None:
        super().__init__(authentication)
        self._readiness = readiness

    def answer(self, request: Request) -> None:
        """Answer 200 if the service is ready, else 503."""
        reasons = self._readiness.reasons()
        status = 503 if reasons else 200
        if self._authentication.is_local_or_admin(request):
            respond_with_json(request, status, {"ready": not reasons, "reasons": reasons})
        else:
            respond(request, status, "not ready" if reasons else "ready")
