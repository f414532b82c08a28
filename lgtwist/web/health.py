"""What machines ask: is it alive, is it ready, and how is it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.web.server import Request

from lgtwist.net.http_responses import say, say_json, say_raw
from lgtwist.web.authentication import Authentication


class Machines:
    """Answers ``/healthz``, ``/readyz`` and ``/metrics``.

    :param unready: why the service is not ready, one sentence for each reason; empty if it is.
    :param metrics: the metrics as a pair of content type and text.
    """

    def __init__(
        self,
        authentication: Authentication,
        unready: Callable[[], Sequence[str]],
        metrics: Callable[[], tuple[str, bytes]],
    ) -> None:
        self._authentication = authentication
        self._unready = unready
        self._metrics = metrics

    def __call__(self, request: Request, what: str) -> None:
        """Answer one request."""
        if request.method not in (b"GET", b"HEAD"):
            say(request, 405, "only GET", (("Allow", "GET, HEAD"),))
        elif what == "healthz":
            say(request, 200, "alive")
        elif what == "readyz":
            self._ready(request)
        elif self._authentication.authenticate_admin(request):
            kind, text = self._metrics()
            say_raw(request, 200, kind, text)

    def _ready(self, request: Request) -> None:
        reasons = self._unready()
        status = 503 if reasons else 200
        if self._authentication.is_local_or_admin(request):
            say_json(request, status, {"ready": not reasons, "reasons": reasons})
        else:
            say(request, status, "not ready" if reasons else "ready")
