"""What a mount is, and what several of them do alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.web.server import Request

from lgtwist.net.http_responses import say
from lgtwist.websocket.upgrade import check_upgrade

#: The answer's header where a plain request comes to the path of a WebSocket (RFC 9110, 15.5.22).
UPGRADE = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
#: The answer's header where an account or a connection will be there soon, in seconds.
RETRY_SOON = (("Retry-After", "3"),)


class Mount(Protocol):
    """Answers the requests whose path begins with its name."""

    @property
    def has_root(self) -> bool:
        """Whether the name alone is the mount's too, as in ``/metrics``; if not, it is an action's."""

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request, now or later.

        :param segments: of its path, behind the mount's name; empty ones may be among them.
        """

    def accepts_body(self, request: Request, segments: tuple[str, ...], query: bytes) -> bool:
        """Return whether a request may send its body: not if it is refused whatever the body is.

        Only the request's head is there yet. Nothing is answered, counted or logged.

        :param query: of the request's target; its arguments are not read yet.
        """


def answer_not_found(request: Request) -> None:
    """Answer a request whose path leads nowhere."""
    say(request, 404, "there is nothing here; a bot's WebSocket is at / or /{self_id}")


def begin_upgrade(request: Request) -> Callable[[], None] | None:
    """Check the opening handshake, and release the connection from HTTP.

    :returns: to be called once when the connection is over; None if the handshake is a bad one, which
        was answered.
    """
    problem = check_upgrade(request)
    if problem is not None:
        say(request, problem.status, problem.sentence, problem.headers)
        return None
    channel: Any = request.channel
    on_closed: Callable[[], None] = channel.hand_over()
    return on_closed
