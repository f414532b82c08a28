"""The mount ``onebot``: WebSockets and posts of implementations.

OneBot 11, ``communication/ws-reverse.md`` and ``http-post.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import IEventReceiver, IReverseLink
from lgtwist.net.http_responses import body_was_read, respond, respond_with_bytes
from lgtwist.onebot.auth import is_signed
from lgtwist.onebot.errors import NotConnected
from lgtwist.onebot.event import BadEvent
from lgtwist.runtime.logs import Logger, LogThrottle, LogThrottles, printable
from lgtwist.web.authentication import Authentication, address_of, headers_of, self_id_of
from lgtwist.web.bodies import BodyBudget, PeerBodies, UnverifiedBodies
from lgtwist.web.mounts import RETRY_AFTER, UPGRADE, refuse_path, refuse_upgrade, start_upgrade
from lgtwist.web.refused_handshakes import Named, Reason
from lgtwist.web.routes import without_authority
from lgtwist.websocket.upgrade import BadUpgrade, asks_for_upgrade, lost_upgrade

#: The segments of paths below the mount.
_VERSION = "v11"
_WEBSOCKETS = ("ws", "api", "event")
_POST = "post"
#: Unknown account numbers that are logged per minute, one line for each.
_UNKNOWN_ACCOUNTS = 20
#: Accounts whose malformed posts are logged per minute, one line for each.
_MALFORMED_ACCOUNTS = 10_000


class AccountEndpoints:
    """Authenticates implementations, and passes their requests to the account that ``X-Self-ID`` names.

    :param edge_of: returns the edge of an account, None if there is no such account. If it provides
        :class:`IReverseLink`, its implementation may dial us; if :class:`IEventReceiver`, it may post.
    :param account_of: returns an account, perhaps one that is without an edge for a moment; None for none.
    :param wrong_path: limits log lines about peers at wrong paths; shared with :class:`BotEndpoints`.
    """

    has_root = False
    _log = Logger()

    def __init__(
        self,
        *,
        authentication: Authentication,
        edge_of: Callable[[int], object | None],
        account_of: Callable[[int], Account | None],
        wrong_path: LogThrottle,
        clock: IReactorTime,
    ) -> None:
        self._authentication = authentication
        self._edge_of = edge_of
        self._account_of = account_of
        self._unverified: WeakKeyDictionary[Account, UnverifiedBodies] = WeakKeyDictionary()
        self._wrong_path = wrong_path
        self._malformed = LogThrottles(clock, _MALFORMED_ACCOUNTS)
        self._unknown = LogThrottles(clock, _UNKNOWN_ACCOUNTS)

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> BodyBudget | None:
        """Return what a post of an implementation is counted in; None for any other request.

        A post's signature is checked later, with the body; until then anybody may have sent it.
        """
        self_id = self_id_of(request)
        account = None if self_id is None else self._account_of(self_id)
        receiver = self._receiver_of(self_id)
        if account is None or receiver is None or segments != (_VERSION, _POST) or request.method != b"POST":
            return None
        secret, unsigned_too = receiver.signing_key()
        if secret is not None and "x-signature" in headers_of(request):
            unverified = self._unverified.get(account)
            if unverified is None:
                unverified = self._unverified[account] = UnverifiedBodies(account.budget)
            return unverified
        if secret is not None and (not unsigned_too or self._authentication.settings.public):
            return None
        if not self._authentication.may_be_local(request):
            return None
        return PeerBodies(account.budget, f"account {self_id}")

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        """Answer a request of an implementation, or upgrade it to a WebSocket."""
        last = segments[1] if len(segments) == 2 and segments[0] == _VERSION else ""
        if last in _WEBSOCKETS:
            self._websocket(request, last)
        elif last == _POST and not asks_for_upgrade(request):
            self._post(request)
        else:
            refuse_path(request, self._authentication)

    def _websocket(self, request: Request, role: str) -> None:
        self_id = self_id_of(request)
        if self_id is None:
            self._answer_bot(request)
            return
        link = IReverseLink(self._edge_of(self_id), None)
        if link is None:
            self._refuse_unknown(request, self_id, "reverse-websocket")
            return
        if not self._authentication.authenticate_account(request, self_id, link.access_token):
            return
        if not asks_for_upgrade(request):
            problem = lost_upgrade(request) or BadUpgrade(426, "this is a WebSocket", UPGRADE)
            refuse_upgrade(request, self._authentication, Named(self_id), problem)
            return
        on_closed = start_upgrade(request, self._authentication, Named(self_id))
        if on_closed is not None:
            link.accept(request, role, on_closed)

    def _answer_bot(self, request: Request) -> None:
        """Answer 404 to a bot, or another peer without ``X-Self-ID``, at a path for implementations."""
        if self._wrong_path.should_log():
            self._log.warn(
                "{address} dialled {path}, where OneBot implementations connect; a bot connects to /",
                address=address_of(request),
                path=without_authority(request.path).decode("ascii", "replace"),
            )
        sentence = "this path is for OneBot implementations, which send X-Self-ID; a bot connects to /"
        self._authentication.refuse_handshake(
            request, 404, sentence, reason=Reason.PATH, named=Named(), logged=True
        )

    def _post(self, request: Request) -> None:
        if request.method != b"POST":
            respond(request, 405, "only POST", (("Allow", "POST"),))
            return
        self_id = self_id_of(request)
        if self_id is None:
            sentence = "the header X-Self-ID must name the account"
            self._authentication.refuse_handshake(
                request, 400, sentence, reason=Reason.ACCOUNT, named=Named()
            )
            return
        receiver = self._receiver_of(self_id)
        if receiver is None:
            self._refuse_unknown(request, self_id, "http")
            return
        content: Any = request.content
        body: bytes = content.read()
        if not self._authenticate_post(request, self_id, receiver, body):
            return
        if not self._authentication.own(request, self_id, f"account {self_id}", None):
            return
        body_was_read(request)  # what is held of the event is counted by the account
        try:
            receiver.receive(body)
        except BadEvent as error:
            if self._malformed.should_log(str(self_id)):
                self._log.warn(
                    "account {account}: a malformed post was dropped: {why}",
                    account=self_id,
                    why=printable(str(error)),
                )
            respond(request, 400, f"not an event of account {self_id}: {printable(str(error))}")
        except NotConnected as error:
            respond(request, 503, error.sentence, RETRY_AFTER)
        else:
            respond_with_bytes(request, 204, "text/plain", b"")

    def _receiver_of(self, self_id: int | None) -> Any:
        return None if self_id is None else IEventReceiver(self._edge_of(self_id), None)

    def _authenticate_post(self, request: Request, self_id: int, receiver: Any, body: bytes) -> bool:
        """Return whether a post is signed, or need not be; if not, answer it with 401 or 403."""
        secret, unsigned_too = receiver.signing_key()
        signature = headers_of(request).get("x-signature")
        if secret is not None and signature is not None:
            if is_signed(secret, body, signature):
                return True
            self._authentication.refuse(request, 403, "X-Signature is wrong", named=Named(self_id))
            return False
        if secret is not None and not (unsigned_too and not self._authentication.settings.public):
            self._authentication.refuse(request, 401, "X-Signature is missing", named=Named(self_id))
            return False
        hint = f"account {self_id} has no secret; set it in [[accounts]] and in the implementation"
        return self._authentication.authenticate_local(request, hint, Named(self_id))

    def _refuse_unknown(self, request: Request, self_id: int, kind: str) -> None:
        if (
            self._edge_of(self_id) is None and self._account_of(self_id) is not None
        ):  # the link before it is closing
            self._authentication.refuse_handshake(
                request,
                503,
                f"account {self_id} is made anew",
                (("Retry-After", "2"),),
                reason=Reason.ACCOUNT,
                named=Named(self_id),
                logged=True,
            )
            return
        sentence = f"there is no account {self_id} of type {kind} in [[accounts]]"
        if self._unknown.should_log(str(self_id)):
            self._log.warn("refused {address}: {why}", address=address_of(request), why=sentence)
        self._authentication.refuse(
            request, 403, sentence, logged=True, reason=Reason.ACCOUNT, named=Named(self_id)
        )
