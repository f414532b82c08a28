"""The mount ``sandbox``: the control of sandbox accounts (docs/sandbox.md)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.server import Request

from lgtwist.hub.interfaces import IControl
from lgtwist.net.http_responses import respond
from lgtwist.web.authentication import Authentication
from lgtwist.web.mounts import answer_not_found
from lgtwist.web.routes import account_number


class SandboxEndpoint:
    """Authenticates the operator, and passes requests for ``/sandbox/{self_id}/...`` to the account.

    :param edge_of: returns the edge of an account, None if there is no such account. It answers if it
        provides :class:`IControl`.
    """

    has_root = False

    def __init__(self, *, authentication: Authentication, edge_of: Callable[[int], object | None]) -> None:
        self._authentication = authentication
        self._edge_of = edge_of

    def accepts_body(self, request: Request, segments: tuple[str, ...], query: bytes) -> bool:
        """Return whether the operator sends the request, by its token."""
        if account_number(segments[0]) is None:
            return self._authentication.may_be_bot(request, query)
        return self._authentication.may_be_admin(request, query)

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request of the operator, or a request for a stored file, which needs no token."""
        self_id, path = account_number(segments[0]), segments[1:]
        if self_id is None:
            answer_not_found(request)
        elif len(path) == 2 and path[0] == "media":  # a stored file; its name cannot be guessed
            control = IControl(self._edge_of(self_id), None)
            if control is None:
                respond(request, 404, "there is no such file")
            else:
                control.serve_file(request, path[1])
        elif self._authentication.authenticate_admin(request):
            control = IControl(self._edge_of(self_id), None)
            if control is None:
                respond(request, 404, f"there is no sandbox account {self_id}")
            else:
                control.handle(request, path)
