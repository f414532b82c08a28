"""TLS that we dial: whose certificate is taken, what is said of one that is not, and what the peer hears."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.authorities import read_authorities
from lgtwist.net.client_endpoints import Verifying
from lgtwist.net.tls import tls_trouble

SECRET = b"GET / HTTP/1.1\r\nAuthorization: Bearer t0ken\r\n\r\n"
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
#: Characters that must not reach a log line: new lines, escape sequences, NUL, and what reverses a line.
EVIL = "\r\n\x1b[31m\x00\x85\u2028\u202e"


@frozen
class Made:
    """A certificate with its key, and what a server shows beside it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    def root(self) -> Any:
        """A trust root that knows nobody else."""
        pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        return trustRootFromCertificates([Certificate.loadPEM(pem)])

    def write(self, path: Path) -> None:
        encoding = serialization.Encoding.PEM
        text = self.key.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for one in (self.certificate, *self.chain):
            text += one.public_bytes(encoding)
        path.write_bytes(text)


def made(
    called: str,
    by: Made | None = None,
    hosts: Sequence[str] = (),
    *,
    authority: bool = False,
    begin: datetime.datetime = NOW - 9 * DAY,
    end: datetime.datetime = NOW + 9 * DAY,
    extra: x509.ExtensionType | None = None,
) -> Made:
    """A certificate; signed by itself, if nobody else does."""
    key = ec.generate_private_key(ec.SECP256R1())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # longer than it may be
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called, _validate=False)])
        issuer = by.certificate.subject if by else subject
    serial = x509.random_serial_number()
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), serial, begin, end)
    builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([as_name(host) for host in hosts]), False)
    if extra:
        builder = builder.add_extension(extra, critical=False)
    signed = builder.sign(by.key if by else key, hashes.SHA256())
    return Made(signed, key, (by.certificate, *by.chain) if by and by.chain else ())


def as_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Client(Protocol):
    """Sends its secret at once, as a request is sent."""

    words: str | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(SECRET)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.words = tls_trouble(reason.value) or f"not TLS: {reason.value!r}"


@frozen
class Ending:
    """How it went: why the client gave up, None if it did not, and what the server heard through TLS."""

    words: str | None
    heard: bytes


class Peer:
    """A TLS server in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.heard = b""

    def hear(self, data: bytes) -> bytes:
        """Bytes came; what it answers."""
        self._incoming.write(data)
        with contextlib.suppress(ssl.SSLError):  # it wants more, or it is over
            self._tls.do_handshake()
            while some := self._tls.read(65_536):
                self.heard += some
        return self._outgoing.read()


class Plain:
    """A server that does not speak TLS, and says always the same."""

    heard = b""

    def __init__(self, says: bytes) -> None:
        self._says = says

    def hear(self, _data: bytes) -> bytes:
        return self._says


def dial(creator: Any, server: Any) -> Ending:
    """Dial a server in memory, with the TLS of a creator and Twisted's transport."""
    clock = Clock()
    tls: Any = TLSMemoryBIOFactory(creator, True, Factory.forProtocol(Client), clock=clock)
    client = tls.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    inner, transport = client.wrappedProtocol, StringTransport()
    client.makeConnection(transport)
    for _turn in range(10):
        clock.advance(1)
        sent = transport.value()
        transport.clear()
        answer = server.hear(sent) if sent else b""
        if transport.disconnecting or transport.disconnected:
            client.connectionLost(Failure(ConnectionDone()))
            break
        if answer:
            client.dataReceived(answer)
    return Ending(inner.words, server.heard)


class OutgoingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = made("My CA", authority=True)
        self.stranger = made("Their CA", authority=True)

    def show(self, shown: Made, version: ssl.TLSVersion = VERSIONS[-1]) -> Peer:
        """A server that shows a certificate."""
        path = Path(self.mktemp())
        shown.write(path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if version < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        return Peer(context)

    def assert_refused(self, shown: Made, words: str, name: str = "localhost", root: Any = True) -> None:
        """It is not taken, told nothing, and that is why; Twisted would not have taken it either."""
        root = self.authority.root() if root is True else root
        for version in VERSIONS:
            ended = dial(Verifying(name, root), self.show(shown, version))
            self.assertEqual(ended, Ending(f"TLS: {words}", b""), version)
            twisted = optionsForClientTLS(name, **({"trustRoot": root} if root else {}))
            self.assertEqual(dial(twisted, self.show(shown, version)).heard, b"")

    def test_the_right_name(self) -> None:
        """A good certificate with the name or address that was dialled is taken; so is a wildcard."""
        for names, hosts in (
            (("localhost", "LOCALHOST", "127.0.0.1", "::1"), ["localhost", "127.0.0.1", "::1"]),
            (("a.example.org", "b.example.org"), ["*.example.org"]),
        ):
            shown = made("x", self.authority, hosts)
            for name, version in product(names, VERSIONS):
                ended = dial(Verifying(name, self.authority.root()), self.show(shown, version))
                self.assertEqual(ended, Ending(None, SECRET), name)

    def test_trusted_by_itself(self) -> None:
        """A certificate that is in ``ca_file`` itself is taken."""
        shown = made("x", None, ["localhost"], authority=True)
        self.assertEqual(dial(Verifying("localhost", shown.root()), self.show(shown)), Ending(None, SECRET))

    def test_renewed_authorities(self) -> None:
        """From one connection to the next those count that were put in their place."""
        path, stranger = Path(self.mktemp()), made("x", self.stranger, ["localhost"])
        pems = [
            one.certificate.public_bytes(serialization.Encoding.PEM).decode()
            for one in (self.authority, self.stranger)
        ]
        ours, theirs = (read_authorities(pem, path) for pem in pems)
        creator = Verifying("localhost", ours)
        self.assertIn("is it in ca_file?", str(dial(creator, self.show(stranger)).words))
        ours.use(theirs)
        self.assertEqual(dial(creator, self.show(stranger)), Ending(None, SECRET))

    def test_another_name(self) -> None:
        """The names that it has are told, some of them, and the one that it should have."""
        for hosts, dialled, words in (
            (["a.example", "10.0.0.1"], "localhost", 'a.example, 10.0.0.1, not for "localhost"'),
            (["localhost", "127.0.0.1"], "127.0.0.2", 'localhost, 127.0.0.1, not for "127.0.0.2"'),
            (["localhost"], "::1", 'localhost, not for "::1"'),
            (["a.example"], "b.a.example", 'a.example, not for "b.a.example"'),
            (["*.a.example"], "a.example", '*.a.example, not for "a.example"'),
            (["10.0.0.1"], "10.0.0.1.example", '10.0.0.1, not for "10.0.0.1.example"'),
            (["a", "b", "c", "d", "e"], "f", 'a, b, c and 2 more, not for "f"'),
        ):
            shown = made(dialled, self.authority, hosts)  # its subject has the name: that does not count
            self.assert_refused(shown, f"the certificate is for {words}", dialled)

    def test_expired(self) -> None:
        """An expired certificate is told with its name, its issuer and the day."""
        end = NOW - DAY
        shown = made("x", self.authority, ["bot.example", "localhost"], end=end)
        words = (
            f'the certificate for "bot.example, localhost" (issued by "My CA") has expired on {end.date()}'
        )
        self.assert_refused(shown, words)
        self.assert_refused(shown, words, "another.example")

    def test_not_yet_valid(self) -> None:
        """So is one whose time has not come."""
        begin = NOW + DAY
        shown = made("x", self.authority, ["localhost"], begin=begin)
        when = f"is not valid before {begin.date()}; is our clock right?"
        self.assert_refused(shown, f'the certificate for "localhost" (issued by "My CA") {when}')

    def test_unknown_authority(self) -> None:
        """The authority is named, and ``ca_file``."""
        shown = made("x", self.stranger, ["localhost"])
        unknown = 'is signed by an authority that is not known here ("Their CA")'
        words = f'the certificate for "localhost" {unknown}'
        self.assert_refused(shown, f"{words}; is it in ca_file?")
        self.assert_refused(shown, f"{words}; is ca_file needed?", root=None)

    def test_an_authority_of_the_same_name(self) -> None:
        """Who only calls itself as our authority does is not taken for it."""
        shown = made("x", made("My CA", authority=True), ["localhost"])
        self.assert_refused(
            shown, 'the certificate for "localhost" (issued by "My CA") is refused: cert signature failure'
        )

    def test_signed_by_itself(self) -> None:
        """So is what nobody signed, the server's own or an authority that it sends along."""
        words = "is signed by itself and not known here; is ca_file needed?"
        shown = made("x", None, ["localhost"])
        self.assert_refused(shown, f'the certificate for "localhost" {words}', root=None)
        shown = made("x", self.stranger, ["localhost"])
        shown = Made(shown.certificate, shown.key, (self.stranger.certificate,))
        self.assert_refused(shown, f'the certificate of "Their CA" {words}', root=None)

    def test_in_the_middle(self) -> None:
        """What is wrong with a certificate between authority and server is said of that one."""
        end = NOW - DAY
        middle = made("Middle CA", self.authority, authority=True, end=end)
        shown = made("x", middle, ["localhost"])
        shown = Made(shown.certificate, shown.key, (middle.certificate,))
        self.assert_refused(
            shown, f'the certificate of "Middle CA" (issued by "My CA") has expired on {end.date()}'
        )

    def test_for_something_else(self) -> None:
        """What else OpenSSL finds is told in its words."""
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        shown = made("x", self.authority, ["localhost"], extra=purpose)
        words = 'the certificate for "localhost" (issued by "My CA") is refused: invalid purpose'
        self.assert_refused(shown, words)

    def test_without_names(self) -> None:
        """A certificate without names that can be read is for nobody; for Twisted 26.10 it is for all."""
        words = 'the certificate of "localhost" has no host names that can be read, and not "localhost"'
        uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("https://localhost")])
        for shown in (
            made("localhost", self.authority),
            made("localhost", self.authority, ["localhost", "*.*.example"]),
            made("localhost", self.authority, ["localhost", " "]),
            made("localhost", self.authority, extra=uri),
        ):
            for version in VERSIONS:
                ended = dial(Verifying("localhost", self.authority.root()), self.show(shown, version))
                self.assertEqual(ended, Ending(f"TLS: {words}", b""))

    def test_foreign_words(self) -> None:
        """Whatever a certificate says, the log gets one short line of what can be printed."""
        evil = made(f'"{EVIL}' * 9, authority=True)
        hosts = [f'{EVIL[:4]}"{number}{"x" * 200}.example' for number in range(300)]
        for shown, root in (
            (made(EVIL * 20, evil, hosts), evil.root()),
            (made(EVIL * 20, evil, hosts, end=NOW - DAY), evil.root()),
            (made(EVIL * 20, evil, hosts, begin=NOW + DAY), evil.root()),
            (made(EVIL * 20, evil, hosts), self.authority.root()),
            (made(EVIL * 20, evil, hosts), None),
            (made(EVIL * 20, evil), evil.root()),
            (made(EVIL * 20, evil), None),
            (made(EVIL * 20), None),
        ):
            name = f"{'n' * 60}.{'m' * 60}"
            ended = dial(Verifying(name, root), self.show(shown))
            words = str(ended.words)
            self.assertIn("the certificate ", words)
            self.assertTrue(words.isprintable(), repr(words))
            self.assertLessEqual(len(words), 200, words)
            self.assertEqual(words.count('"') % 2, 0, words)
            self.assertEqual(ended.heard, b"")

    def test_no_tls(self) -> None:
        """Who answers something else does not speak TLS."""
        words = "TLS: the server does not speak TLS (is the URL ws:// or http://?)"
        for said in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b'{"status": "ok"}',
            b"\x81\x05hello",
        ):
            ended = dial(Verifying("localhost", self.authority.root()), Plain(said))
            self.assertEqual(ended, Ending(words, b""))

    def test_old_versions(self) -> None:
        """Who speaks old versions only is told from who does not speak TLS."""
        words = "TLS: protocol version not supported (the server speaks neither TLS 1.2 nor 1.3)"
        shown = made("x", self.authority, ["localhost"])
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            ended = dial(Verifying("localhost", self.authority.root()), self.show(shown, version))
            self.assertEqual(ended, Ending(words, b""))
