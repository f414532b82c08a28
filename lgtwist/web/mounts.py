"""The interface of mounts, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.web.server import Request

from lgtwist.net.http_responses import respond
from lgtwist.web.authentication import Authentication
from lgtwist.web.bodies import BodyBudget
from lgtwist.web.refused_handshakes import Named, Reason
from lgtwist.web.routes import without_authority
from lgtwist.websocket.upgrade import BadUpgrade, asks_for_upgrade, check_upgrade

#: The headers of 426, the answer to a plain request at the path of a WebSocket (RFC 9110, 15.5.22).
UPGRADE = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
#: The header of 503 where trying again soon may succeed; in seconds.
RETRY_AFTER = (("Retry-After", "3"),)


class Mount(Protocol):
    """Answers the requests whose path begins with its name."""

    @property
    def has_root(self) -> bool:
        """Whether ``/{name}`` itself is the mount's, not only ``/{name}/...``; if not, it is an action."""

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request, now or later.

        :param segments: of its path, behind the mount's name; some may be empty.
        """

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> BodyBudget | None:
        """Return what the body of a request is counted in while it comes; None if it is not to be read.

        It is not where the request will be refused whatever the body is, nor where nobody looks at it: how
        soon the answer comes must not tell whether a token is right.

        Called when only the head was received. It does not answer, count or log.

        :param query: of the request's target; its arguments are not read yet.
        """


_NOT_FOUND = "there is nothing here; a bot's WebSocket is at / or /{self_id}, an action at /{action}"


def answer_not_found(request: Request) -> None:
    """Answer 404 to a request whose path is nobody's."""
    respond(request, 404, _NOT_FOUND)


def answer_not_path(request: Request) -> None:
    """Answer 404 to a request whose target has no path that could be anybody's."""
    two = without_authority(request.path).startswith(b"//")
    respond(request, 404, "the path begins with two slashes; send one" if two else _NOT_FOUND)


def refuse_path(request: Request, authentication: Authentication) -> None:
    """Answer 404 to a request whose path is nobody's; note it if it asks for a WebSocket."""
    named = Named() if asks_for_upgrade(request) else None
    authentication.refuse_handshake(request, 404, _NOT_FOUND, reason=Reason.PATH, named=named)


def start_upgrade(
    request: Request, authentication: Authentication, named: Named
) -> Callable[[], None] | None:
    """Check the opening handshake (RFC 6455, 4.2.1), and detach the connection from HTTP.

    :param authentication: answers an invalid one.
    :param named: what the handshake names.
    :returns: a function; call it once when the connection is closed. None if the handshake is invalid,
        which was answered.
    """
    problem = check_upgrade(request)
    if problem is not None:
        refuse_upgrade(request, authentication, named, problem)
        return None
    channel: Any = request.channel
    on_closed: Callable[[], None] = channel.detach()
    return on_closed


def refuse_upgrade(
    request: Request, authentication: Authentication, named: Named, problem: BadUpgrade
) -> None:
    """Answer an opening handshake that is invalid.

    :param named: what the handshake names.
    """
    authentication.refuse_handshake(
        request, problem.status, problem.sentence, problem.headers, reason=Reason.HANDSHAKE, named=named
    )
