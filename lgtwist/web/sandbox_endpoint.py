"""The mount ``sandbox``: the control of sandbox accounts (docs/sandbox.md)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.server import Request

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import IControl
from lgtwist.net.http_responses import respond
from lgtwist.web.authentication import Authentication, set_budget
from lgtwist.web.bodies import BodyBudget, PeerBodies
from lgtwist.web.mounts import answer_not_found
from lgtwist.web.routes import account_number


class SandboxEndpoint:
    """Authenticates the operator, and passes requests for ``/sandbox/{self_id}/...`` to the account.

    :param edge_of: returns the edge of an account, None if there is no such account. It answers if it
        provides :class:`IControl`.
    :param account_of: returns an account; what waits for its operator is counted in its budget.
    """

    has_root = False

    def __init__(
        self,
        *,
        authentication: Authentication,
        edge_of: Callable[[int], object | None],
        account_of: Callable[[int], Account | None],
    ) -> None:
        self._authentication = authentication
        self._edge_of = edge_of
        self._account_of = account_of

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> BodyBudget | None:
        """Return the account's budget, if the operator sends the request, by its token; else None."""
        self_id = account_number(segments[0])
        account = None if self_id is None else self._account_of(self_id)
        if account is None or (len(segments) > 2 and segments[1] == "media"):
            return None
        if not self._authentication.may_be_admin(request, query):
            return None
        return PeerBodies(account.budget, f"account {self_id}")

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
            control, account = IControl(self._edge_of(self_id), None), self._account_of(self_id)
            if control is None or account is None:
                respond(request, 404, f"there is no sandbox account {self_id}")
            else:
                set_budget(request, account.budget)
                control.handle(request, path)
