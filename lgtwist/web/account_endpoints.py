"""The mount ``onebot``: WebSockets and posts of implementations (OneBot 11, ``communication/ws-reverse.md``,
``http-post.md``).
"""

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
from lgtwist.onebot.event import BadEvent, read_id
from lgtwist.runtime.logs import LogThrottle, LogThrottles, printable
from lgtwist.web.authentication import Authentication, address_of, headers_of
from lgtwist.web.mounts import RETRY_SOON, UPGRADE, answer_not_found, begin_upgrade
from lgtwist.web.routes import without_authority
from lgtwist.websocket.upgrade import asks_for_upgrade

_VERSION = "v11"
_WEBSOCKETS = ("ws", "api", "event")
_POST = "post"
#: Accounts that are not there for which a warning is logged in a minute, one for each.
_UNKNOWN_ACCOUNTS = 20
#: Accounts for which malformed posts are logged in a minute, one line for each.
_MALFORMED_ACCOUNTS = 10_000


class AccountEndpoints:
    """Finds the account of an implementation by its ``X-Self-ID``, authenticates it, and hands it on.

    :param edge_of: returns the edge service of an account, None if there is no such account. Those that
        provide :class:`IReverseLink` may connect, those that provide :class:`IEventReceiver` may post.
    :param wrong_path: shared with :class:`BotEndpoints`: peers at the other's paths are logged once.
    """

    has_root = False
    _log = Logger()

    def __init__(
        self,
        *,
        authentication: Authentication,
        edge_of: Callable[[int], object | None],
        wrong_path: LogThrottle,
        clock: IReactorTime,
    ) -> None:
        self._authentication = authentication
        self._edge_of = edge_of
        self._wrong_path = wrong_path
        self._malformed = LogThrottles(clock, _MALFORMED_ACCOUNTS)
        self._unknown = LogThrottles(clock, _UNKNOWN_ACCOUNTS)

    def accepts_body(self, request: Request, segments: tuple[str, ...], query: bytes) -> bool:
        """Return whether a post may be an account's: a signature can be checked with the body only."""
        if segments != (_VERSION, _POST):
            return self._authentication.may_be_bot(request, query)
        receiver = self._receiver_of(_self_id(request))
        if receiver is None:
            return False
        secret, _unsigned_too = receiver.signing_key()
        public = self._authentication.settings.public
        return secret is None or not public or "x-signature" in headers_of(request)

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request of an implementation, or make it a WebSocket."""
        last = segments[1] if len(segments) == 2 and segments[0] == _VERSION else ""
        if last in _WEBSOCKETS:
            self._websocket(request, last)
        elif last == _POST and not asks_for_upgrade(request):
            self._post(request)
        else:
            answer_not_found(request)

    def _websocket(self, request: Request, role: str) -> None:
        self_id = _self_id(request)
        if self_id is None:
            self._bot_is_here(request)
            return
        link = IReverseLink(self._edge_of(self_id), None)
        if link is None:
            self._refuse_unknown(request, self_id, "reverse-websocket")
            return
        if not self._authentication.authenticate_account(request, self_id, link.access_token):
            return
        if not asks_for_upgrade(request):
            say(request, 426, "this is a WebSocket", UPGRADE)
            return
        ended = begin_upgrade(request)
        if ended is not None:
            link.accept(request, role, ended)

    def _bot_is_here(self, request: Request) -> None:
        """Answer a bot, or another peer without ``X-Self-ID``, that dialled where implementations do."""
        if self._wrong_path.should_log():
            self._log.warn(
                "{address} dialled {path}, where OneBot implementations connect; a bot connects to /",
                address=address_of(request),
                path=without_authority(request.path).decode("ascii", "replace"),
            )
        sentence = "this path is for OneBot implementations, which send X-Self-ID; a bot connects to /"
        say(request, 404, sentence)

    def _post(self, request: Request) -> None:
        if request.method != b"POST":
            say(request, 405, "only POST", (("Allow", "POST"),))
            return
        self_id = _self_id(request)
        if self_id is None:
            say(request, 400, "the header X-Self-ID must name the account")
            return
        receiver = self._receiver_of(self_id)
        if receiver is None:
            self._refuse_unknown(request, self_id, "http")
            return
        content: Any = request.content
        body: bytes = content.read()
        if not self._authenticate_post(request, self_id, receiver, body):
            return
        try:
            receiver.receive(body)
        except BadEvent as error:
            if self._malformed.should_log(str(self_id)):
                self._log.warn(
                    "account {account}: what was posted is thrown away: {why}",
                    account=self_id,
                    why=printable(str(error)),
                )
            say(request, 400, f"not an event of account {self_id}: {printable(str(error))}")
        except NotConnected as error:
            say(request, 503, error.sentence, RETRY_SOON)
        else:
            say_raw(request, 204, "text/plain", b"")

    def _receiver_of(self, self_id: int | None) -> Any:
        return None if self_id is None else IEventReceiver(self._edge_of(self_id), None)

    def _authenticate_post(self, request: Request, self_id: int, receiver: Any, body: bytes) -> bool:
        """Return whether a post is signed as it should be, or may come unsigned; if not, it was answered."""
        secret, unsigned_too = receiver.signing_key()
        signature = headers_of(request).get("x-signature")
        if secret is not None and signature is not None:
            if is_signed(secret, body, signature):
                return True
            self._authentication.refuse(request, 403, "X-Signature is wrong")
            return False
        if secret is not None and not (unsigned_too and not self._authentication.settings.public):
            self._authentication.refuse(request, 401, "X-Signature is missing")
            return False
        hint = f"account {self_id} has no secret; set it in [[accounts]] and in the implementation"
        return self._authentication.comes_from_this_machine(request, hint)

    def _refuse_unknown(self, request: Request, self_id: int, kind: str) -> None:
        sentence = f"there is no account {self_id} of type {kind} in [[accounts]]"
        if self._unknown.should_log(str(self_id)):
            self._log.warn("refused {address}: {why}", address=address_of(request), why=sentence)
        self._authentication.refuse(request, 403, sentence, logged=True)


def _self_id(request: Request) -> int | None:
    return read_id(headers_of(request).get("x-self-id", "").strip().encode())
