"""Certificates of TLS ports: read from PEM files, checked, shown to clients, replaced while in use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.python.filepath import FilePath
from zope.interface import implementer

from lgtwist.config.file_stamp import Stamp, stamp_of
from lgtwist.config.text_files import why_unreadable

_PEM_BLOCK = re.compile(rb"-----BEGIN (X509 |)CERTIFICATE-----.+?-----END \1CERTIFICATE-----", re.DOTALL)
#: The only protocol that is agreed on by ALPN (RFC 7301). Twisted would offer HTTP/2 where the package h2 is
#: installed, and a WebSocket over HTTP/2 (RFC 8441) is not spoken here.
_ALPN = b"http/1.1"


class BadCertificate(Exception):
    """A certificate cannot be used; the argument names the file and says what is wrong."""


@frozen
class CertificateFiles:
    """The files of a TLS port, all PEM.

    :ivar private_key: the key.
    :ivar certificate: the certificate of the server, followed by those that lead to its root (as certbot's
        ``fullchain.pem``); may be the file of the key.
    :ivar chain: more of the latter.
    :ivar dh_parameters: for ciphers with a Diffie-Hellman exchange over finite fields.
    :ivar method: the name of a constant in ``OpenSSL.SSL``, as ``TLS_METHOD``.
    """

    private_key: Path
    certificate: Path
    chain: Path | None = None
    dh_parameters: Path | None = None
    method: str | None = None

    @classmethod
    def of(cls, options: dict[str, str], base: Path) -> CertificateFiles:
        """Take the files from the arguments of an ``ssl:`` endpoint; relative paths are under ``base``."""
        key = options.get("privateKey", "server.pem")
        chain, parameters = options.get("extraCertChain"), options.get("dhParameters")
        return cls(
            private_key=base / key,
            certificate=base / options.get("certKey", key),
            chain=None if chain is None else base / chain,
            dh_parameters=None if parameters is None else base / parameters,
            method=options.get("sslmethod"),
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all files that are given."""
        paths = (self.private_key, self.certificate, self.chain, self.dh_parameters)
        return tuple(path for path in paths if path is not None)

    def stamps(self) -> tuple[Stamp, ...]:
        """Return what the files are now, without reading them."""
        return tuple(stamp_of(path) for path in self.paths)

    def load(self) -> LoadedCertificate:
        """Read the files.

        :raises BadCertificate: if they cannot be used.
        """
        stamps = self.stamps()  # before reading: a change meanwhile is seen the next time
        key = _private_key(self.private_key)
        certificate, *others = _certificates(self.certificate)
        if self.chain is not None:
            others += _certificates(self.chain)
        chain = _without_repeats(certificate, others)
        _check_match(self, key, certificate, chain)
        return LoadedCertificate(
            files=self,
            stamps=stamps,
            context=self._context(key, certificate, chain),
            certificate=certificate,
            chain=tuple(chain),
        )

    def _context(self, key: crypto.PKey, certificate: crypto.X509, chain: list[crypto.X509]) -> SSL.Context:
        more: dict[str, Any] = {}
        if self.dh_parameters is not None:
            _read_certificate_file(self.dh_parameters, "the Diffie-Hellman parameters")
            more["dhParameters"] = ssl.DiffieHellmanParameters.fromFile(FilePath(str(self.dh_parameters)))
        if self.method is not None:
            more["method"] = getattr(SSL, self.method, None)
            if more["method"] is None:
                raise BadCertificate(f"sslmethod: OpenSSL has no {self.method}")
        try:
            options = ssl.CertificateOptions(
                privateKey=key, certificate=certificate, extraCertChain=chain, **more
            )
            context = options.getContext()
        except (SSL.Error, ValueError) as error:
            raise BadCertificate(f"{self.certificate}: OpenSSL refuses it: {_reason(error)}") from None
        context.set_alpn_select_callback(_agree)
        return context


@frozen(eq=False)
class LoadedCertificate:
    """A certificate as its files had it.

    :ivar files: these.
    :ivar stamps: what they were.
    :ivar context: for new connections.
    :ivar certificate: the server's own.
    :ivar chain: those sent after it.
    """

    files: CertificateFiles
    stamps: tuple[Stamp, ...]
    context: SSL.Context
    certificate: crypto.X509
    chain: tuple[crypto.X509, ...]

    def warnings(self, now: datetime | None = None) -> list[str]:
        """Return why clients may refuse the certificate, a sentence each; empty if they need not.

        :param now: the current time, aware of its zone.
        """
        try:
            own = self.certificate.to_cryptography()
            chain = [other.to_cryptography() for other in self.chain]
            return list(_doubts(self.files.certificate, own, chain, now or datetime.now(timezone.utc)))
        except ValueError:  # OpenSSL reads some that cryptography does not
            return []


@implementer(IOpenSSLServerConnectionCreator)
@define(eq=False)
class ServerCertificate:
    """What a TLS port shows to clients; it can be replaced, for new connections.

    :ivar current: what is shown.
    :ivar _refused: what the files were when they could not be used.
    """

    current: LoadedCertificate
    _refused: tuple[Stamp, ...] = field(init=False, default=())

    def serverConnectionForTLS(self, _tlsProtocol: Any) -> SSL.Connection:
        """Return the TLS state of a new connection."""
        return SSL.Connection(self.current.context, None)

    def read_again(self) -> LoadedCertificate:
        """Read the files; what is shown stays. It may be called in a thread.

        :raises BadCertificate: if they cannot be used. Until they change, :meth:`changed` is False then.
        """
        stamps = self.current.files.stamps()
        try:
            return self.current.files.load()
        except BadCertificate:
            self._refused = stamps
            raise

    def use(self, loaded: LoadedCertificate) -> None:
        """Show another certificate to new connections."""
        self.current, self._refused = loaded, ()

    def changed(self) -> bool:
        """Return whether the files are others than what is shown, and may be usable; they are not read."""
        return self.current.files.stamps() not in (self.current.stamps, self._refused)


def _agree(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    return _ALPN if _ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _read_certificate_file(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCertificate(f"{what} {path} cannot be read: {why_unreadable(error, path)}") from None


def _private_key(path: Path) -> crypto.PKey:
    pem = _read_certificate_file(path, "the private key")
    asked = []

    def no_passphrase(*_arguments: object) -> bytes:
        asked.append(True)
        return b""

    if b"-----BEGIN" not in pem:
        raise BadCertificate(f"the private key {path} is no PEM file")
    try:
        return crypto.load_privatekey(crypto.FILETYPE_PEM, pem, no_passphrase)
    except (crypto.Error, ValueError, TypeError) as error:
        if asked:
            raise BadCertificate(f"the private key {path} is encrypted with a passphrase") from None
        if b"PRIVATE KEY-----" not in pem:
            raise BadCertificate(f"{path} holds no private key") from None
        raise BadCertificate(f"the private key {path} cannot be read: {_reason(error)}") from None


def _certificates(path: Path) -> list[crypto.X509]:
    """Return the certificates of a file, at least one."""
    pem = _read_certificate_file(path, "the certificate")
    blocks = [match.group() for match in _PEM_BLOCK.finditer(pem)]
    if not blocks:
        what = "holds no certificate" if b"-----BEGIN" in pem else "is no PEM file"
        raise BadCertificate(f"the certificate {path} {what}")
    try:
        return [crypto.load_certificate(crypto.FILETYPE_PEM, block) for block in blocks]
    except (crypto.Error, ValueError) as error:
        raise BadCertificate(f"the certificate {path} cannot be read: {_reason(error)}") from None


def _der(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def _without_repeats(own: crypto.X509, others: list[crypto.X509]) -> list[crypto.X509]:
    seen, chain = {_der(own)}, []
    for other in others:
        if _der(other) not in seen:
            seen.add(_der(other))
            chain.append(other)
    return chain


def _check_match(
    files: CertificateFiles, key: crypto.PKey, own: crypto.X509, chain: list[crypto.X509]
) -> None:
    wanted = _public(key)
    if _public(own.get_pubkey()) == wanted:
        return
    why = f"the private key {files.private_key} does not match the certificate {files.certificate}"
    if any(_public(other.get_pubkey()) == wanted for other in chain):
        why += ", in which the server's own certificate must come first"
    raise BadCertificate(why)


def _public(key: crypto.PKey) -> bytes:
    return crypto.dump_publickey(crypto.FILETYPE_ASN1, key)


def _doubts(path: Path, own: x509.Certificate, chain: list[x509.Certificate], now: datetime) -> Iterator[str]:
    for certificate, name in (
        (own, f"the certificate {path}"),
        *((c, _intermediate(c, path)) for c in chain),
    ):
        if certificate.not_valid_after_utc < now:
            yield f"{name} has expired, on {_day_of(certificate.not_valid_after_utc)}: clients will refuse it"
        if certificate.not_valid_before_utc > now:
            since = _day_of(certificate.not_valid_before_utc)
            yield f"{name} is not valid before {since}: clients will refuse it until then"
    if own.issuer != own.subject and own.issuer not in [certificate.subject for certificate in chain]:
        yield (
            f"the certificate {path} comes without that of its issuer ({own.issuer.rfc4514_string()}): "
            "clients will refuse it, unless they know that one as a root; use the file with the full chain"
        )
    yield from _doubts_of_chain(path, own, chain)
    yield from _doubts_of_use(path, own)


def _doubts_of_chain(path: Path, own: x509.Certificate, chain: list[x509.Certificate]) -> Iterator[str]:
    """Yield a sentence if those that have the issuer's name have not signed the certificate."""
    issuers = [certificate for certificate in chain if certificate.subject == own.issuer]
    for issuer in issuers:
        try:
            own.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return
    if issuers:
        yield (
            f"the certificate {path} was not signed by the one of its issuer ({own.issuer.rfc4514_string()}) "
            "that is sent with it: clients will refuse it; perhaps the chain is an older one"
        )


def _doubts_of_use(path: Path, own: x509.Certificate) -> Iterator[str]:
    """Yield a sentence if a certificate has no names, or is not for servers."""
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None
    if not names:
        yield f"the certificate {path} has no host names (subjectAltName): most clients will refuse it"
    try:
        uses = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(uses):
        yield f"the certificate {path} is not for servers (extendedKeyUsage): clients will refuse it"


def _intermediate(certificate: x509.Certificate, path: Path) -> str:
    return f"the certificate of {certificate.subject.rfc4514_string()}, sent with {path},"


def _day_of(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _reason(error: Exception) -> str:
    details = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reasons = [str(detail[-1]) for detail in details if detail and detail[-1]]
    return ", ".join(reasons) or (str(error) if not details else "") or type(error).__name__
