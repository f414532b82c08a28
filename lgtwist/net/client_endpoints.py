"""Endpoints for connections of ours to other hosts, and why a connection could not be made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from cryptography.x509 import Name
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import VerificationError
from service_identity.hazmat import (
    DNS_ID,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    verify_service_identity,
)
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, platformTrust
from twisted.python.failure import Failure
from zope.interface import implementer

from lgtwist.config.authorities import Authorities

#: Seconds that TCP may take to connect: a network that drops our SYN sends no answer.
CONNECT_TIMEOUT = 10.0

_Codes = SSL.X509VerificationCodes
_UNKNOWN_AUTHORITY = (
    _Codes.ERR_UNABLE_TO_GET_ISSUER_CERT,
    _Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
    _Codes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
)
_SELF_SIGNED = (_Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT, _Codes.ERR_SELF_SIGNED_CERT_IN_CHAIN)
_TOO_OLD = "protocol version not supported (the server speaks neither TLS 1.2 nor 1.3)"
#: What OpenSSL says of a handshake, and what that means where we are who dialled.
_MEANINGS = {
    "wrong version number": "the server does not speak TLS (is the URL ws:// or http://?)",
    "tlsv1 alert protocol version": _TOO_OLD,
    "unsupported protocol": _TOO_OLD,
}
#: How much of a certificate's words is shown: of one name, of a list, and how many it may have. The longest
#: sentence made of them fits into a log line.
_NAME, _LIST, _MANY = 40, 80, 3


def client_endpoint(reactor: Any, host: str, port: int, secure: bool, trust_root: Any) -> Any:
    """Return an endpoint to a host; over TLS its certificate and name are verified.

    :param host: a name or an address, with or without brackets.
    :param secure: whether over TLS.
    :param trust_root: as for :class:`Verifying`.
    """
    name = host.strip("[]")
    if "_" in name and not secure:  # Docker's names: Twisted's other endpoint holds them for no names
        return TCP4ClientEndpoint(reactor, name, port, timeout=int(CONNECT_TIMEOUT))
    endpoint = HostnameEndpoint(reactor, name, port, timeout=CONNECT_TIMEOUT)
    return wrapClientTLS(Verifying(name, trust_root), endpoint) if secure else endpoint


@implementer(IOpenSSLClientConnectionCreator)
class Verifying:
    """Makes TLS connections to one host, verifies its certificate and name, and explains a refusal.

    As Twisted's ``optionsForClientTLS``, which explains less, and in 26.10 accepts a certificate without
    names, or with names that cannot be read, for any host.

    :param trust_root: who may sign the certificate: :class:`Authorities`, whose certificates of the moment
        count for each new connection; a trust root of Twisted; None for the system's authorities.
    """

    def __init__(self, name: str, trust_root: Any = None) -> None:
        self._name = name
        self._by_address = isIPAddress(name) or isIPv6Address(name)
        self._hint = "is ca_file needed?" if trust_root is None else "is it in ca_file?"
        self._trust_root = platformTrust() if trust_root is None else trust_root
        self._used: Any = None
        self._use_trust_root()

    def _use_trust_root(self) -> None:
        """Verify by other certificates if those of the authorities were renewed."""
        given = self._trust_root
        wanted = given.trust_root if isinstance(given, Authorities) else given
        if wanted is not self._used:
            self._options, self._used = CertificateOptions(trustRoot=wanted), wanted

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """Return TLS whose handshake has not begun."""
        self._use_trust_root()
        connection = _Explained(self._options.getContext())
        if not self._by_address:
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(self, connection: Any, certificate: X509, code: int, depth: int, ok: int) -> bool:
        """Judge a certificate of the chain: by OpenSSL's verdict, the server's own also by the name."""
        if not ok:
            connection.explain = partial(self._why_refused, certificate, code)
        elif depth == 0:
            try:
                wanted = IPAddress_ID(self._name) if self._by_address else DNS_ID(self._name)
                verify_service_identity(extract_patterns(certificate), [wanted], [])
            except Exception as error:  # whatever it is, the name was not found
                others = isinstance(error, VerificationError)
                connection.explain = partial(self._why_misnamed, certificate, others)
                return False
        return bool(ok)

    def _why_refused(self, certificate: X509, code: int) -> str:
        names = _hosts(certificate, _NAME)
        shown = f'for "{names}"' if names else f'of "{_title(certificate.to_cryptography().subject)}"'
        issuer = _title(certificate.to_cryptography().issuer)
        if code in _SELF_SIGNED:
            return f"the certificate {shown} is signed by itself and not known here; {self._hint}"
        if code in _UNKNOWN_AUTHORITY:
            unknown = f'an authority that is not known here ("{issuer}")'
            return f"the certificate {shown} is signed by {unknown}; {self._hint}"
        if code == _Codes.ERR_CERT_HAS_EXPIRED:
            why = f"has expired on {_day(certificate.get_notAfter())}"
        elif code == _Codes.ERR_CERT_NOT_YET_VALID:
            why = f"is not valid before {_day(certificate.get_notBefore())}; is our clock right?"
        else:
            why = f"is refused: {_meaning(code)}"
        return f'the certificate {shown} (issued by "{issuer}") {why}'

    def _why_misnamed(self, certificate: X509, others: bool) -> str:
        wanted = _short(self._name, _NAME)
        hosts = _hosts(certificate, _LIST) if others else ""
        if hosts:
            return f'the certificate is for {hosts}, not for "{wanted}"'
        subject = _title(certificate.to_cryptography().subject)
        return f'the certificate of "{subject}" has no host names that can be read, and not "{wanted}"'


class _Explained(SSL.Connection):
    """TLS whose handshake fails as OpenSSL's does, with an explanation in place of OpenSSL's codes.

    :ivar explain: returns why a certificate was refused, once one was.
    """

    explain: Callable[[], str] | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake.

        :raises SSL.Error: if it fails, with the explanation.
        """
        try:
            super().do_handshake()
        except SSL.Error as error:
            words = _in_words(error, self.explain)
            if words:
                raise SSL.Error([("", "", words)]) from None
            raise


def _in_words(error: SSL.Error, explain: Callable[[], str] | None) -> str:
    """Return why a handshake failed; empty if OpenSSL's own words are all there is, or it has not failed."""
    if type(error) is not SSL.Error:  # it waits for more, or TCP ended
        return ""
    if explain is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of names that are too long, and the like
                return explain()
        except Exception:  # a certificate is anybody's bytes
            return "the certificate is refused, and cannot be read"
    reasons = [str(detail[-1]) for detail in (error.args[0] if error.args else ())]
    return next((_MEANINGS[reason] for reason in reasons if reason in _MEANINGS), "")


def _hosts(certificate: X509, longest: int) -> str:
    """Return the hosts that a certificate is for, not all if they are many; empty if they cannot be read."""
    hosts = []
    try:
        for pattern in extract_patterns(certificate):
            if isinstance(pattern, DNSPattern):
                hosts.append(pattern.pattern.decode("ascii", "replace"))
            elif isinstance(pattern, IPAddressPattern):
                hosts.append(str(pattern.pattern))
    except Exception:
        return ""
    some = _short(", ".join(hosts[:_MANY]), longest)
    return some if len(hosts) <= _MANY else f"{some} and {len(hosts) - _MANY} more"


def _title(name: Name) -> str:
    """Return the common name of a certificate's holder or issuer; the whole name if it has none."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _short(str(common[0].value) if common else name.rfc4514_string(), _NAME)


def _short(foreign: str, longest: int) -> str:
    """Return text of a certificate, safe in a log line and between quotation marks, and not too long."""
    text = "".join(c if c.isprintable() and c != '"' else "\ufffd" for c in foreign[: longest + 1])
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _day(time: bytes | None) -> str:
    """Return the day of an ASN.1 time."""
    return str(datetime.strptime((time or b"").decode("ascii"), "%Y%m%d%H%M%SZ").date())


def _meaning(code: int) -> str:
    """Return the name of one of OpenSSL's codes, as words."""
    names = [name for name, value in vars(_Codes).items() if value == code and name.startswith("ERR_")]
    return names[0][4:].replace("_", " ").lower() if names else f"OpenSSL's reason {code}"


def why_unreachable(failure: Failure) -> str:
    """Return why no TCP connection could be made, in a few words."""
    error: Any = failure.value
    if isinstance(error, TimeoutError):
        return f"no TCP connection within {CONNECT_TIMEOUT:g} s"
    if isinstance(error, DNSLookupError):
        return "the host's name is not known"
    if isinstance(error, ConnectError):
        inner = getattr(error, "osError", None)
        reason = getattr(inner, "strerror", None) or error.__doc__ or type(error).__name__
        return str(reason).strip().rstrip(".").lower()
    return f"{type(error).__name__}: {error}".removesuffix(": ")
