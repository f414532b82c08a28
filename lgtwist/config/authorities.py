"""The certificates of a ``ca_file``: checked, compared, replaced while connections are made with them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from cryptography import x509
from twisted.internet.ssl import Certificate, trustRootFromCertificates

from lgtwist.config.file_stamp import Stamp, stamp_of
from lgtwist.config.text_files import NotText, decode_text

#: One certificate in a file.
_PEM = re.compile(r"-----BEGIN (TRUSTED |X509 |)CERTIFICATE-----.+?-----END \1CERTIFICATE-----", re.DOTALL)
_WANTED = "expected a file of certificates in PEM"


class BadAuthorities(ValueError):
    """The certificates of a file cannot verify anything; the argument is a sentence that says why."""


@frozen(eq=False)
class _Loaded:
    """The certificates of a file.

    :ivar pem: each in PEM.
    :ivar trust_root: the same, as an ``IOpenSSLTrustRoot`` of Twisted.
    :ivar certificates: the same, taken apart.
    """

    pem: tuple[str, ...]
    trust_root: Any
    certificates: tuple[x509.Certificate, ...]


@define(eq=False)
class Authorities:
    """Certificates of authorities from one file; two are equal if they are of one path.

    Connections are verified by those that the file had when they were made: :meth:`use` changes nothing about
    a connection that is up.

    :ivar path: the file's.
    """

    path: Path
    _current: _Loaded = field(repr=False)
    _stamp: Stamp = field(repr=False)
    _refused: Stamp | tuple[()] = field(init=False, default=(), repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Authorities) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def trust_root(self) -> Any:
        """What new connections are verified by, as an ``IOpenSSLTrustRoot`` of Twisted."""
        return self._current.trust_root

    def same_certificates(self, other: Authorities) -> bool:
        """Return whether another one has the same certificates."""
        return self._current.pem == other._current.pem

    def changed(self) -> bool:
        """Return whether the file is another than what is used, and may be usable; it is not read."""
        return stamp_of(self.path) not in (self._stamp, self._refused)

    def read_again(self) -> Authorities:
        """Read the file; what is used stays. It may be called in a thread.

        :raises BadAuthorities: if it cannot be used. Until it changes, :meth:`changed` is False then.
        """
        stamp = stamp_of(self.path)
        try:
            if stamp is None or not self.path.is_file():
                raise BadAuthorities(f"{self.path} is not there, or is no file")
            return read_authorities(decode_text(self.path.read_bytes()), self.path, stamp)
        except (OSError, NotText, BadAuthorities) as error:
            self._refused = stamp
            raise BadAuthorities(f"{self.path}: {getattr(error, 'strerror', None) or error}") from None

    def use(self, other: Authorities) -> None:
        """Verify new connections by the certificates of another one."""
        self._current, self._stamp, self._refused = other._current, other._stamp, ()

    def warnings(self, now: datetime | None = None) -> list[str]:
        """Return why no certificate can be verified with these, a sentence each; empty if one may be.

        :param now: the current time, aware of its zone.
        """
        moment = now or datetime.now(timezone.utc)
        roots = [one for one in self._current.certificates if one.issuer == one.subject]
        refused = [doubt for root in roots if (doubt := _out_of_date(root, moment))]
        return [f"{self.path}: {doubt}" for doubt in refused] if len(refused) == len(roots) else []


def read_authorities(source: str, path: Path, stamp: Stamp = None) -> Authorities:
    """Read the certificates of a ``ca_file``.

    :param source: the text of the file.
    :param stamp: what the file was before it was read; None to look now.
    :raises BadAuthorities: if it holds no certificate that could verify another one.
    """
    stamp = stamp_of(path) if stamp is None else stamp
    found = [match.group() for match in _PEM.finditer(source)]
    if not found:
        raise BadAuthorities(f"{_WANTED}; {_instead(source)}")
    try:
        pem = tuple(one.replace("TRUSTED CERT", "CERT").replace("X509 CERT", "CERT") for one in found)
        root = trustRootFromCertificates([Certificate.loadPEM(one.encode()) for one in pem])
        certificates = tuple(x509.load_pem_x509_certificate(one.encode()) for one in pem)
        _check_root(certificates)
    except BadAuthorities:
        raise
    except Exception:  # OpenSSL raises errors of many classes
        raise BadAuthorities(f"{_WANTED}; one in it is damaged") from None
    return Authorities(path, _Loaded(pem, root, certificates), stamp)


def _instead(source: str) -> str:
    """Return what a file without certificates holds."""
    if not source.strip():
        return "the file is empty"
    if "PRIVATE KEY-----" in source:
        return "the file holds a private key, which is nobody's business here"
    if "CERTIFICATE REQUEST-----" in source:
        return "the file holds a request for a certificate, not the certificate"
    if "BEGIN PKCS7" in source:
        return "the file is PKCS #7: openssl pkcs7 -print_certs makes PEM of it"
    if "-----BEGIN CERTIFICATE" in source:
        return "the certificate in it is cut off"
    return "there is none in this file"


def _check_root(certificates: tuple[x509.Certificate, ...]) -> None:
    """Check that one of the certificates can be the end of a chain: OpenSSL takes one signed by itself only.

    :raises BadAuthorities: if none can.
    """
    if any(one.issuer == one.subject for one in certificates):
        return
    first = certificates[0]
    subject, issuer = _certificate_name(first.subject), _certificate_name(first.issuer)
    if any(map(_is_authority, certificates)):
        raise BadAuthorities(
            f'the certificate of "{subject}" is an intermediate one, signed by "{issuer}": '
            "the root's must be in the file too"
        )
    raise BadAuthorities(
        f"the certificate in it is a server's own (\"{subject}\"), not an authority's: "
        f'expected that of its issuer, "{issuer}"'
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _out_of_date(certificate: x509.Certificate, now: datetime) -> str | None:
    """Return why a certificate is not valid now; None if it is."""
    name = f'the certificate of the authority "{_certificate_name(certificate.subject)}"'
    if certificate.not_valid_after_utc < now:
        return f"{name} has expired, on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if certificate.not_valid_before_utc > now:
        return f"{name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return None


def _certificate_name(name: x509.Name) -> str:
    """Return a name in a certificate, safe in a log line and between quotation marks."""
    shown = name.rfc4514_string()[:80]
    return "".join(c if c.isprintable() and c != '"' else "\ufffd" for c in shown)
