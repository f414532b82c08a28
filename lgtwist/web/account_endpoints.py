"""The door for implementations: their WebSockets and their posts (OneBot 11, ``communication/``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.server import Request

from lgtwist.hub.interfaces import IEventReceiver, IReverseLink
from lgtwist.net.http_responses import say, say_raw
from lgtwist.onebot.auth import is_signed
from lgtwist.onebot.errors import NotConnected
from lgtwist.onebot.event import BadEvent, number_of
from lgtwist.runtime.logs import Episode, Episodes, printable
from lgtwist.web.authentication import Authentication, address_of, headers_of
from lgtwist.web.routes import plain
from lgtwist.websocket.upgrade import asks_for_upgrade, check_upgrade

#: Accounts that are not there for which a warning is logged in a minute, one for each.
_UNKNOWN_ACCOUNTS = 20
#: Accounts for which malformed posts are logged in a minute, one line for each.
_MALFORMED_ACCOUNTS = 10_000


class Implementations:
    """Lets implementations in by their ``X-Self-ID``.

    :param edge_of: returns the edge service of an account, None if there is no such account. Those that
        provide :class:`IReverseLink` may connect, those that provide :class:`IEventReceiver` may post.
    """

    _log = Logger()

    def __init__(
        self,
        authentication: Authentication,
        edge_of: Callable[[int], object | None],
        clock: IReactorTime,
    ) -> None:
        self._authentication = authentication
        self._edge_of = edge_of
        self._misled = Episode(clock)
        self._malformed = Episodes(clock, _MALFORMED_ACCOUNTS)
        self._unknown = Episodes(clock, _UNKNOWN_ACCOUNTS)

    def websocket(self, request: Request, role: str) -> None:
        """A request at the path of a WebSocket."""
        self_id = _self_id(request)
        if self_id is None:
            if self._misled.begins():
                self._log.warn(
                    "{address} dialled {path}, where OneBot implementations connect; a bot connects to /",
                    address=address_of(request),
                    path=plain(request.path).decode("ascii", "replace"),
                )
            say(
                request,
                404,
                "this path is for OneBot implementations, which send X-Self-ID; a bot connects to /",
            )
            return
        link = IReverseLink(self._edge_of(self_id), None)
        if link is None:
            self._unknown_account(request, self_id, "reverse-websocket")
            return
        if not self._authentication.authenticate_account(request, self_id, link.access_token):
            return
        if not asks_for_upgrade(request):
            say(request, 426, "this is a WebSocket", (("Upgrade", "websocket"), ("Connection", "Upgrade")))
            return
        problem = check_upgrade(request)
        if problem is not None:
            say(request, problem.status, problem.sentence, problem.headers)
            return
        channel: Any = request.channel
        link.accept(request, role, channel.hand_over())

    def wrong_door(self, request: Request) -> None:
        """An implementation dialled where bots do."""
        if self._misled.begins():
            self._log.warn(
                "{address} dialled {path} as an OneBot implementation does; those connect to /onebot/v11/ws",
                address=address_of(request),
                path=plain(request.path).decode("ascii", "replace"),
            )
        say(request, 404, "bots connect here; an OneBot implementation connects to /onebot/v11/ws")

    def expects(self, request: Request) -> bool:
        """Whether a post may be from one of our implementations: what it says is only seen in its body."""
        receiver = self._receiver_of(_self_id(request))
        if receiver is None:
            return False
        secret, _optional = receiver.signing_key()
        return (
            secret is None or not self._authentication.settings.public or "x-signature" in headers_of(request)
        )

    def post(self, request: Request) -> None:
        """An event is posted."""
        if request.method != b"POST":
            say(request, 405, "only POST", (("Allow", "POST"),))
            return
        self_id = _self_id(request)
        if self_id is None:
            say(request, 400, "the header X-Self-ID must name the account")
            return
        receiver = self._receiver_of(self_id)
        if receiver is None:
            self._unknown_account(request, self_id, "http")
            return
        content: Any = request.content
        body: bytes = content.read()
        if not self._is_genuine(request, self_id, receiver, body):
            return
        try:
            receiver.receive(body)
        except BadEvent as error:
            if self._malformed.begins(str(self_id)):
                self._log.warn(
                    "account {account}: what was posted is thrown away: {why}",
                    account=self_id,
                    why=printable(str(error)),
                )
            say(request, 400, f"not an event of account {self_id}: {printable(str(error))}")
        except NotConnected as error:
            say(request, 503, error.sentence, (("Retry-After", "3"),))
        else:
            say_raw(request, 204, "text/plain", b"")

    def _receiver_of(self, self_id: int | None) -> Any:
        return None if self_id is None else IEventReceiver(self._edge_of(self_id), None)

    def _is_genuine(self, request: Request, self_id: int, receiver: Any, body: bytes) -> bool:
        """Whether the post is signed as it should be, or comes from this machine; if not, it was answered."""
        secret, optional = receiver.signing_key()
        signature = headers_of(request).get("x-signature")
        if secret is not None and signature is not None:
            if is_signed(secret, body, signature):
                return True
            self._authentication.refuse(request, 403, "X-Signature is wrong")
            return False
        if secret is not None and not (optional and not self._authentication.settings.public):
            self._authentication.refuse(request, 401, "X-Signature is missing")
            return False
        hint = f"account {self_id} has no secret; set it in [[accounts]] and in the implementation"
        return self._authentication.comes_from_this_machine(request, hint)

    def _unknown_account(self, request: Request, self_id: int, kind: str) -> None:
        sentence = f"there is no account {self_id} of type {kind} in [[accounts]]"
        if self._unknown.begins(str(self_id)):
            self._log.warn("refused {address}: {why}", address=address_of(request), why=sentence)
        self._authentication.refuse(request, 403, sentence, logged=True)


def _self_id(request: Request) -> int | None:
    return number_of(headers_of(request).get("x-self-id", "").strip().encode())
