"""The mount ``console``: the pages, their files, and the interface that they use."""

from __future__ import annotations

from twisted.web.server import Request

from lgtwist.console.api import ConsoleApi, ConsoleResources
from lgtwist.console.assets import Assets
from lgtwist.net.http_responses import respond, respond_with_bytes
from lgtwist.web.bodies import BodyBudget
from lgtwist.web.mounts import answer_not_found

#: What a browser may do with a page of ours: nothing from anywhere else, no inline code, nobody's frame.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
#: Of every answer; a file of the pages says otherwise about how long it may be kept.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_FOR_EVER = "public, max-age=31536000, immutable"


class ConsoleMount:
    """Answers the requests for ``/console/...``.

    :param resources: of the interface.
    :param enabled: whether the console is served.
    :ivar enabled: the same; may be replaced.
    """

    has_root = True

    def __init__(self, resources: ConsoleResources, *, enabled: bool) -> None:
        self.enabled = enabled
        self._assets = Assets.read()
        self._api = ConsoleApi(resources, self._assets)

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> BodyBudget | None:
        """Return what the body of a request is counted in; None if it is not to be read."""
        if not self.enabled or segments[:1] != ("api",):
            return None
        return self._api.body_budget(request, segments[1:], query)

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request."""
        if not self.enabled:
            answer_not_found(request)
            return
        for name, value in _HEADERS.items():
            request.responseHeaders.setRawHeaders(name, [value])
        if segments[:1] == ("api",):
            self._api.render(request, segments[1:])
        elif request.method not in (b"GET", b"HEAD"):
            respond(request, 405, "only GET here", (("Allow", "GET, HEAD"),))
        elif not segments:
            base = "" if request.path.endswith(b"/") else "console/"
            respond_with_bytes(request, 200, "text/html; charset=utf-8", self._assets.html(base))
        elif segments[0] == "s":
            self._serve_file(request, segments[1:])
        else:
            answer_not_found(request)

    def _serve_file(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer with a file of the pages, which never changes below its path."""
        asset = self._assets.by_path.get("/".join(segments[1:]))
        if asset is None or segments[0] != self._assets.hash:
            answer_not_found(request)  # not to be kept: a page of another version may ask
            return
        headers = request.responseHeaders
        headers.setRawHeaders("Cache-Control", [_FOR_EVER])
        headers.setRawHeaders("Vary", ["Accept-Encoding"])
        body = asset.body
        if "gzip" in (request.getHeader("accept-encoding") or ""):
            headers.setRawHeaders("Content-Encoding", ["gzip"])
            body = asset.compressed
        respond_with_bytes(request, 200, asset.kind, body)

    # -- changes while it runs, and its end

    def token_changed(self) -> None:
        """End every stream: the admin token is another one, so that no session is open any more."""
        self._api.token_changed()

    def stop(self) -> None:
        """End every stream: the service stops."""
        self._api.stop()
