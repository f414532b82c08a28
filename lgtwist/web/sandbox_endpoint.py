"""The mount ``sandbox``: the control of sandbox accounts (docs/sandbox.md)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.server import Request

from lgtwist.hub.interfaces import IControl
from lgtwist.net.http_responses import say
from lgtwist.web.authentication import Authentication
from lgtwist.web.mounts import answer_not_found
from lgtwist.web.routes import account_number


class SandboxEndpoint:
    """Authenticates the operator, finds the account of ``/sandbox/{self_id}/...``, and hands the request on.

    :param edge_of: returns the edge service of an account, None if there is no such account. Those that
        provide :class:`IControl` answer here.
    """

    has_root = False

    def __init__(self, *, authentication: Authentication, edge_of: Callable[[int], object | None]) -> None:
        self._authentication = authentication
        self._edge_of = edge_of

    def accepts_body(self, request: Request, segments: tuple[str, ...], query: bytes) -> bool:
        """Return whether the operator sends the request."""
        if account_number(segments[0]) is None:
            return self._authentication.may_be_bot(request, query)
        return self._authentication.may_be_admin(request, query)

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request of the operator, or anybody's for a stored file."""
        self_id, path = account_number(segments[0]), segments[1:]
        if self_id is None:
            answer_not_found(request)
        elif len(path) == 2 and path[0] == "media":  # its unguessable name is the key
            control = IControl(self._edge_of(self_id), None)
            if control is None:
                say(request, 404, "there is no such file")
            else:
                control.serve_file(request, path[1])
        elif self._authentication.authenticate_admin(request):
            control = IControl(self._edge_of(self_id), None)
            if control is None:
                say(request, 404, f"there is no sandbox account {self_id}")
            else:
                control.handle(request, path)
