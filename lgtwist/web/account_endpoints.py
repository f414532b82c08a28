"""The door for implementations: their WebSockets and their posts (OneBot 11, ``communication/``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.web.server import Request

from lgtwist.hub.account import Account
from lgtwist.net.http_responses import say, say_raw
from lgtwist.onebot.auth import Keyring, is_signed
from lgtwist.onebot.errors import NotConnected
from lgtwist.onebot.event import BadEvent, number_of
from lgtwist.runtime.logs import LogThrottle, LogThrottles, printable
from lgtwist.web.authentication import Admission, address_of, headers_of
from lgtwist.web.routes import plain
from lgtwist.websocket.upgrade import asks_for_upgrade, check_upgrade

#: Warnings about accounts that are not there: one for each, for so many in a minute.
_WARNED_ACCOUNTS = 20

#: Makes a link of the request: the account, the last part of the path, what to call when it is over.
AcceptLink = Callable[[Request, Account, str, Callable[[], None]], None]


class Posting(Protocol):
    """An account whose implementation posts its events."""

    account: Account

    def key(self) -> tuple[str | None, bool]:
        """What signs its posts, None if nothing does; and whether one without signature may be genuine."""

    def take(self, body: bytes) -> None:
        """Take an event.

        :raises BadEvent: if it is none of this account.
        :raises NotConnected: if it cannot be taken now.
        """


class Implementations:
    """Lets implementations in by their ``X-Self-ID``.

    :param dialling: the accounts whose implementations dial us, each with its token.
    :param posting: the accounts whose implementations post to us.
    """

    _log = Logger()

    def __init__(
        self,
        admission: Admission,
        accept: AcceptLink,
        dialling: Mapping[int, tuple[Account, str | None]],
        posting: Mapping[int, Posting],
        clock: Any,
    ) -> None:
        self._admission = admission
        self._accept = accept
        self._dialling = dialling
        self._posting = posting
        self._garbage = {self_id: LogThrottle(clock) for self_id in posting}
        self._misled = LogThrottle(clock)
        self._unknown = LogThrottles(clock, _WARNED_ACCOUNTS)

    def websocket(self, request: Request, role: str) -> None:
        """A request at the path of a WebSocket."""
        self_id = _self_id(request)
        if self_id is None:
            if self._misled.should_log():
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
        found = self._dialling.get(self_id)
        if found is None:
            self._unknown_account(request, self_id, "reverse-websocket")
            return
        account, token = found
        cure = f"account {self_id} has no token; set access_token in [[accounts]] and in the implementation"
        if self._admission.who(request, Keyring([(account, token)]), lambda _account: cure) is None:
            return
        if not asks_for_upgrade(request):
            say(request, 426, "this is a WebSocket", (("Upgrade", "websocket"), ("Connection", "Upgrade")))
            return
        problem = check_upgrade(request)
        if problem is not None:
            say(request, problem.status, problem.sentence, problem.headers)
            return
        channel: Any = request.channel
        channel.site.channels.discard(channel)
        self._accept(request, account, role, channel.leave)

    def wrong_door(self, request: Request) -> None:
        """An implementation dialled where bots do."""
        if self._misled.should_log():
            self._log.warn(
                "{address} dialled {path} as an OneBot implementation does; those connect to /onebot/v11/ws",
                address=address_of(request),
                path=plain(request.path).decode("ascii", "replace"),
            )
        say(request, 404, "bots connect here; an OneBot implementation connects to /onebot/v11/ws")

    def expects(self, request: Request) -> bool:
        """Whether a post may be from one of our implementations: what it says is only seen in its body."""
        target = self._posting.get(_self_id(request) or 0)
        if target is None:
            return False
        secret, _optional = target.key()
        return secret is None or not self._admission.public or "x-signature" in headers_of(request)

    def post(self, request: Request) -> None:
        """An event is posted."""
        if request.method != b"POST":
            say(request, 405, "only POST", (("Allow", "POST"),))
            return
        self_id = _self_id(request)
        if self_id is None:
            say(request, 400, "the header X-Self-ID must name the account")
            return
        target = self._posting.get(self_id)
        if target is None:
            self._unknown_account(request, self_id, "http")
            return
        content: Any = request.content
        body: bytes = content.read()
        if not self._is_genuine(request, target, body):
            return
        try:
            target.take(body)
        except BadEvent as error:
            if self._garbage[self_id].should_log():
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

    def _is_genuine(self, request: Request, target: Posting, body: bytes) -> bool:
        """Whether the post is signed as it should be, or comes from this machine; if not, it was answered."""
        secret, optional = target.key()
        signature = headers_of(request).get("x-signature")
        if secret is not None and signature is not None:
            if is_signed(secret, body, signature):
                return True
            self._admission.refuse(request, 403, "X-Signature is wrong")
            return False
        if secret is not None and not (optional and not self._admission.public):
            self._admission.refuse(request, 401, "X-Signature is missing")
            return False
        self_id = target.account.self_id
        cure = f"account {self_id} has no secret; set it in [[accounts]] and in the implementation"
        return self._admission.is_from_here(request, cure)

    def _unknown_account(self, request: Request, self_id: int, kind: str) -> None:
        sentence = f"there is no account {self_id} of type {kind} in [[accounts]]"
        if self._unknown.should_log(str(self_id)):
            self._log.warn("refused {address}: {why}", address=address_of(request), why=sentence)
        self._admission.refuse(request, 403, sentence, told=True)


def _self_id(request: Request) -> int | None:
    return number_of(headers_of(request).get("x-self-id", "").strip().encode())
