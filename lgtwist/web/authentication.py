"""Whose token a request shows, and what is said to those who have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from attrs import frozen
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.web.server import Request

from lgtwist.net.http_responses import Headers, say
from lgtwist.net.loopback import is_loopback_name
from lgtwist.onebot.auth import Keyring, Refusal, presented_tokens
from lgtwist.runtime.logs import LogThrottles, printable
from lgtwist.web.connection_limits import Gate
from lgtwist.web.local_origin import why_stranger

_Owner = TypeVar("_Owner")

#: The address of those who come by a Unix socket.
_UNIX = "unix socket"
_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="lgtwist"'),)
#: Warnings about refused hosts: one for each, for so many in so many seconds.
_WARNED_HOSTS = 100
_WARNED_FOR = 3600.0


@frozen
class Access:
    """Who may come in, beside the bots.

    :ivar public: whether some listening address can be reached from other machines.
    """

    admin_token: str | None = None
    allowed_origins: frozenset[str] = frozenset()
    public: bool = False


class Admission:
    """Lets requests in, or answers them with 401, 403 or 503."""

    _log = Logger()

    def __init__(self, gate: Gate, access: Access) -> None:
        self._gate = gate
        self._access = access
        self._admin = Keyring([("admin", access.admin_token)])
        self._warned = LogThrottles(gate.clock, _WARNED_HOSTS, _WARNED_FOR)

    @property
    def public(self) -> bool:
        """Whether some listening address can be reached from other machines."""
        return self._access.public

    def who(self, request: Request, owners: Keyring[_Owner], cure: Callable[[_Owner], str]) -> _Owner | None:
        """Whose token the request shows; None if it was answered with a refusal.

        :param owners: of these one without a token is let in if it is a program on this machine.
        :param cure: what to say to a stranger of an owner without a token.
        """
        headers = headers_of(request)
        shown = presented_tokens(
            headers.get("authorization"),
            [token.decode("utf-8", "replace") for token in request.args.get(b"access_token", [])],
        )
        owner = owners.owner_of(shown)
        if owner is Refusal.MISSING:
            self.refuse(request, 401, "a token is needed: Authorization: Bearer ...", _CHALLENGE)
        elif isinstance(owner, Refusal):
            self.refuse(request, 403, "the token is wrong")
        elif shown or self.is_from_here(request, cure(owner)):
            return owner
        return None

    def admin(self, request: Request) -> bool:
        """Whether the request may see and do everything; if not, it was answered."""
        if self._access.admin_token is None and self._access.public:
            say(request, 403, "set admin_token in [server] to use this from a public address")
            return False
        cure = "there is no admin_token; set it in [server] and send it along"
        return self.who(request, self._admin, lambda _admin: cure) is not None

    def may_be(self, request: Request, query: bytes, owners: Keyring[Any]) -> bool:
        """Whether :meth:`who` would find an owner; answers and counts nothing."""
        headers = headers_of(request)
        shown = presented_tokens(
            headers.get("authorization"), [value for name, value in _pairs(query) if name == "access_token"]
        )
        if isinstance(owners.owner_of(shown), Refusal):
            return False
        return bool(shown) or self._why_stranger(request, headers) is None

    def may_be_admin(self, request: Request, query: bytes) -> bool:
        """Whether :meth:`admin` would let it in; answers and counts nothing."""
        if self._access.admin_token is None and self._access.public:
            return False
        return self.may_be(request, query, self._admin)

    def may_know(self, request: Request) -> bool:
        """Whether the request comes from this machine or with the admin's token; says nothing if not."""
        headers = headers_of(request)
        admin_token = self._access.admin_token
        if admin_token is not None:
            shown = presented_tokens(headers.get("authorization"), [])
            if self._admin.owner_of(shown) == "admin":
                return True
            if shown:  # a guess, and counted as one
                self._gate.refused(address_of(request), "the token is wrong")
                return False
        return self._why_stranger(request, headers) is None

    def _why_stranger(self, request: Request, headers: dict[str, str]) -> str | None:
        if not is_loopback_name(address_of(request)) and address_of(request) != _UNIX:
            return f"address {address_of(request)} is not loopback"
        channel: Any = request.channel
        secure = ISSLTransport.providedBy(channel.transport)
        return why_stranger(headers, self._access.allowed_origins, secure)

    def is_from_here(self, request: Request, cure: str) -> bool:
        """Whether the request comes from a program on this machine; if not, it was answered."""
        headers = headers_of(request)
        why = self._why_stranger(request, headers)
        if why is None:
            return True
        sentence = f"refused {address_of(request)}: {printable(why)} and {cure}"
        host = headers.get("host", "")
        if self._warned.should_log(host):
            self._log.warn("{sentence}", sentence=sentence)
        say(request, 403, sentence)
        return False

    def refuse(
        self, request: Request, status: int, sentence: str, headers: Headers = (), told: bool = False
    ) -> None:
        """Answer a request with a missing or wrong secret; who does that often is told to wait.

        :param told: whether the log has it already.
        """
        if self._gate.refused(address_of(request), sentence, told):
            say(request, 503, "too many failures from this address", (("Retry-After", "60"),))
        else:
            say(request, status, sentence, headers)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="replace", max_num_fields=1000)
    except ValueError:
        return []


def headers_of(request: Request) -> dict[str, str]:
    """The request's headers, names in lower case; of equal ones the values are joined by a comma."""
    return {
        name.decode("latin-1").lower(): b",".join(values).decode("utf-8", "replace")
        for name, values in request.requestHeaders.getAllRawHeaders()
    }


def address_of(request: Request) -> str:
    """Where the request comes from."""
    peer: Any = request.getClientAddress()
    return str(getattr(peer, "host", None) or _UNIX)
