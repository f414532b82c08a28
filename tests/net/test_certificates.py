"""Certificates of TLS ports as files: good ones, and a sentence for each way to be bad."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.net.certificates import BadCertificate, CertificateFiles, ServerCertificate
from lgtwist.net.endpoints import check_endpoint

try:
    import trustme
except ImportError:
    trustme = None  # type: ignore[assignment]


def days(count: float) -> datetime.datetime:
    """So many days from now."""
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=count)


class CertificateCase(SynchronousTestCase):
    if trustme is None:
        skip = "trustme is not installed"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.root = trustme.CA()
        self.intermediate = self.root.create_child_ca()

    def write(self, leaf: Any, chain: bool = True) -> CertificateFiles:
        """Write the files of a certificate."""
        leaf.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        pems = leaf.cert_chain_pems if chain else leaf.cert_chain_pems[:1]
        (self.folder / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in pems))
        return CertificateFiles.of({"privateKey": "key.pem", "certKey": "cert.pem"}, self.folder)

    def refused(self, files: CertificateFiles) -> str:
        """Why files are refused, in one line."""
        sentence = str(self.assertRaises(BadCertificate, files.load))
        self.assertNotIn("\n", sentence)
        return sentence


class LoadingTests(CertificateCase):
    def test_a_full_chain(self) -> None:
        """What follows the certificate in its file is its chain; nothing is to be warned of."""
        loaded = self.write(self.intermediate.issue_cert("localhost")).load()
        self.assertEqual(len(loaded.chain), 1)
        self.assertEqual(loaded.warnings(), [])

    def test_no_repeats(self) -> None:
        """A certificate of both files is sent once."""
        leaf = self.intermediate.issue_cert("localhost")
        self.write(leaf)
        (self.folder / "chain.pem").write_bytes(
            leaf.cert_chain_pems[1].bytes() + leaf.cert_chain_pems[0].bytes()
        )
        options = {"privateKey": "key.pem", "certKey": "cert.pem", "extraCertChain": "chain.pem"}
        self.assertEqual(len(CertificateFiles.of(options, self.folder).load().chain), 1)

    def test_one_file(self) -> None:
        """The key and the certificates may share a file, which is server.pem by default."""
        leaf = self.intermediate.issue_cert("localhost")
        (self.folder / "server.pem").write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
        self.assertEqual(len(CertificateFiles.of({}, self.folder).load().chain), 1)

    def test_a_key_with_parameters(self) -> None:
        """What ``openssl ecparam -genkey`` writes is a key."""
        run = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", "key.pem"]
        make = ["openssl", "req", "-x509", "-new", "-key", "key.pem", "-subj", "/CN=x", "-out", "cert.pem"]
        for command in (run, make):
            try:
                subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=60)
            except FileNotFoundError:
                self.skipTest("openssl is not installed")
        self.assertIn(b"EC PARAMETERS", (self.folder / "key.pem").read_bytes())
        files = CertificateFiles.of({"privateKey": "key.pem", "certKey": "cert.pem"}, self.folder)
        (sentence,) = files.load().warnings()
        self.assertIn("has no host names", sentence)

    def test_what_is_wrong(self) -> None:
        """Each names the file and says what is wrong with it."""
        files = self.write(self.root.issue_cert("localhost"))
        key, cert = files.private_key, files.certificate
        good_key, good_cert = key.read_bytes(), cert.read_bytes()
        other_key = self.root.issue_cert("localhost").private_key_pem.bytes()
        encrypted = serialization.load_pem_private_key(good_key, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        broken = good_cert.replace(good_cert.splitlines()[3], b"A" * 64)
        for path, content, word in (
            (key, b"", "is no PEM file"),
            (key, b"\0\1", "is no PEM file"),
            (key, good_cert, "holds no private key"),
            (key, encrypted, "is encrypted with a passphrase"),
            (key, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
            (key, other_key, "does not match"),
            (cert, b"", "is no PEM file"),
            (cert, good_key, "holds no certificate"),
            (cert, good_cert[:200], "holds no certificate"),
            (cert, broken, ""),
        ):
            path.write_bytes(content)
            sentence = self.refused(files)
            self.assertIn(word, sentence)
            self.assertIn(str(path), sentence)
            key.write_bytes(good_key)
            cert.write_bytes(good_cert)
        files.load()
        cert.unlink()
        self.assertIn("cannot be read: No such file or directory", self.refused(files))
        cert.mkdir()
        self.assertIn("cannot be read: Is a directory", self.refused(files))

    def test_the_wrong_order(self) -> None:
        """A file whose first certificate is not the server's says so."""
        leaf = self.intermediate.issue_cert("localhost")
        files = self.write(leaf)
        files.certificate.write_bytes(b"".join(pem.bytes() for pem in reversed(leaf.cert_chain_pems)))
        self.assertIn("must come first", self.refused(files))

    def test_a_constant_that_is_not_there(self) -> None:
        """As any other argument that OpenSSL refuses."""
        leaf = self.root.issue_cert("localhost")
        (self.folder / "server.pem").write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
        self.assertIn(
            "TLSv9_METHOD", self.refused(CertificateFiles.of({"sslmethod": "TLSv9_METHOD"}, self.folder))
        )
        parameters = CertificateFiles.of({"dhParameters": "none.pem"}, self.folder)
        self.assertIn("none.pem cannot be read", self.refused(parameters))

    def test_an_endpoint_string(self) -> None:
        """The check of a string tells it, with paths under its base."""
        self.write(self.root.issue_cert("localhost"))
        said = "ssl:1:privateKey=key.pem:certKey=cert.pem"
        self.assertIsNone(check_endpoint(said, self.folder))
        (self.folder / "cert.pem").write_text("no certificate")
        self.assertIn("cert.pem is no PEM file", check_endpoint(said, self.folder) or "")


class WarningTests(CertificateCase):
    def test_expired(self) -> None:
        """It is used, and said."""
        loaded = self.write(self.intermediate.issue_cert("localhost", not_after=days(-1))).load()
        (sentence,) = loaded.warnings()
        self.assertIn(f"{self.folder / 'cert.pem'} has expired", sentence)
        self.assertEqual(loaded.warnings(days(-2)), [])

    def test_not_yet_valid(self) -> None:
        """The same."""
        loaded = self.write(self.intermediate.issue_cert("localhost", not_before=days(1))).load()
        (sentence,) = loaded.warnings()
        self.assertIn("is not valid before", sentence)
        self.assertEqual(loaded.warnings(days(2)), [])

    def test_no_intermediate(self) -> None:
        """The file of the certificate alone, where certbot has two."""
        loaded = self.write(self.intermediate.issue_cert("localhost"), chain=False).load()
        (sentence,) = loaded.warnings()
        self.assertIn("comes without that of its issuer", sentence)

    def test_an_older_intermediate(self) -> None:
        """One of the same name that has not signed it is none."""
        leaf = self.intermediate.issue_cert("localhost")
        files = self.write(leaf)
        names = x509.load_pem_x509_certificate(self.intermediate.cert_pem.bytes()).subject
        key = ec.generate_private_key(ec.SECP256R1())
        number = x509.random_serial_number()
        builder = x509.CertificateBuilder(names, names, key.public_key(), number, days(-1), days(1))
        other = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        files.certificate.write_bytes(leaf.cert_chain_pems[0].bytes() + other)
        (sentence,) = files.load().warnings()
        self.assertIn("was not signed by", sentence)

    def test_not_for_servers(self) -> None:
        """One for clients only."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
        number = x509.random_serial_number()
        builder = x509.CertificateBuilder(name, name, key.public_key(), number, days(-1), days(1))
        use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        signed = builder.add_extension(use, critical=False).sign(key, hashes.SHA256())
        encoding = serialization.Encoding.PEM
        pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / "server.pem").write_bytes(pem + signed.public_bytes(encoding))
        sentences = CertificateFiles.of({}, self.folder).load().warnings()
        self.assertEqual(len(sentences), 2)
        self.assertIn("has no host names", sentences[0])
        self.assertIn("is not for servers", sentences[1])

    def test_self_signed(self) -> None:
        """It has no issuer to be sent."""
        (self.folder / "key.pem").write_bytes(self.root.private_key_pem.bytes())
        (self.folder / "cert.pem").write_bytes(self.root.cert_pem.bytes())
        files = CertificateFiles.of({"privateKey": "key.pem", "certKey": "cert.pem"}, self.folder)
        (sentence,) = files.load().warnings()
        self.assertIn("has no host names", sentence)


class ReplacingTests(CertificateCase):
    def test_changed(self) -> None:
        """It is changed until the new one is shown, even if its size and time are those of the old one."""
        files = self.write(self.root.issue_cert("localhost"))
        shown = ServerCertificate(files.load())
        self.assertFalse(shown.changed())
        before = files.certificate.stat()
        new = self.folder / "new.pem"
        new.write_bytes(files.certificate.read_bytes())
        os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
        new.replace(files.certificate)
        self.assertTrue(shown.changed())
        shown.use(shown.read_again())
        self.assertFalse(shown.changed())

    def test_refused_once(self) -> None:
        """One that cannot be used counts as changed again when its files change again."""
        files = self.write(self.root.issue_cert("localhost"))
        shown = ServerCertificate(files.load())
        before = shown.current
        self.write(self.root.issue_cert("localhost")).private_key.write_text("half of a")
        self.assertTrue(shown.changed())
        self.assertRaises(BadCertificate, shown.read_again)
        self.assertIs(shown.current, before)
        self.assertFalse(shown.changed())
        self.write(self.root.issue_cert("localhost"))
        self.assertTrue(shown.changed())
        shown.use(shown.read_again())
        self.assertFalse(shown.changed())

    def test_gone(self) -> None:
        """A file that is not there any more is a change, and no reason to show nothing."""
        files = self.write(self.root.issue_cert("localhost"))
        shown = ServerCertificate(files.load())
        files.certificate.unlink()
        self.assertTrue(shown.changed())
        self.assertRaises(BadCertificate, shown.read_again)
        self.assertFalse(shown.changed())
