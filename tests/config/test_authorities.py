"""The certificates of a ``ca_file``: which can verify anything, and what is said of the others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.authorities import Authorities, BadAuthorities, read_authorities
from lgtwist.config.section import Problem, Section
from lgtwist.config.text_files import decode_text

try:
    import trustme
except ImportError:
    trustme = None  # type: ignore[assignment]


class AuthorityCase(SynchronousTestCase):
    if trustme is None:
        skip = "trustme is not installed"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "ca.pem"
        self.root = trustme.CA()
        self.pem = self.root.cert_pem.bytes().decode()

    def read(self) -> Authorities:
        """What the file has now."""
        return read_authorities(decode_text(self.path.read_bytes()), self.path)

    def problem(self, name: str = "ca.pem") -> str:
        """What is said of the file where a configuration names it."""
        problems: list[Problem] = []

        def read_file(named: str) -> str:
            return decode_text((self.folder / named).read_bytes())

        section = Section("bots[0]", {"ca_file": name}, problems, read_file, self.folder)
        self.assertIsNone(section.read_certificates("ca_file"))
        (problem,) = problems
        self.assertEqual(problem.path, "bots[0].ca_file")
        self.assertTrue(problem.sentence.isprintable(), problem.sentence)
        return problem.sentence


class KindTests(AuthorityCase):
    def test_good_ones(self) -> None:
        """An authority's, with Windows' marks and other people's certificates around it."""
        leaf = self.root.issue_cert("localhost").cert_chain_pems[0].bytes().decode()
        for text in (self.pem, "\ufeff" + self.pem, self.pem.replace("\n", "\r\n"), leaf + self.pem):
            self.path.write_bytes(text.encode())
            self.assertEqual(self.read().warnings(), [])

    def test_what_is_wrong(self) -> None:
        """Each wrong kind of file is named."""
        leaf = self.root.issue_cert("localhost")
        child = self.root.create_child_ca()
        der = x509.load_pem_x509_certificate(self.pem.encode()).public_bytes(Encoding.DER)
        for raw, words in (
            (leaf.cert_chain_pems[0].bytes(), "a server's own"),
            (child.cert_pem.bytes(), "an intermediate one"),
            (leaf.private_key_pem.bytes(), "a private key"),
            (der, "openssl x509 -inform der"),
            (b"", "empty"),
            (b"\n \n", "empty"),
            (b"hello", "there is none in this file"),
            (self.pem[:200].encode(), "cut off"),
            (self.pem.replace("M", "-").encode(), ""),
            (b"-----BEGIN CERTIFICATE REQUEST-----\n", "a request"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        ):
            self.path.write_bytes(raw)
            self.assertIn(words, self.problem(), raw)

    def test_no_file(self) -> None:
        """Its absolute path is named."""
        self.assertIn(str(self.folder / "nowhere.pem"), self.problem("nowhere.pem"))
        self.assertIn("Is a directory", self.problem("."))

    def test_no_key_is_shown(self) -> None:
        """Nothing of what stands in the file is in the sentence."""
        key = self.root.private_key_pem.bytes()
        self.path.write_bytes(key)
        self.assertNotIn(key.decode().splitlines()[1], self.problem())


class ValidityTests(AuthorityCase):
    def test_expired(self) -> None:
        """It is said, by name, if no other one is left."""
        self.path.write_text(self.pem)
        read = self.read()
        self.assertEqual(read.warnings(), [])
        late = datetime.now(timezone.utc) + timedelta(days=365 * 2000)
        (sentence,) = read.warnings(late)
        self.assertIn(f"{self.path}: the certificate of the authority", sentence)
        self.assertIn("has expired", sentence)
        (sentence,) = read.warnings(datetime(1990, 1, 1, tzinfo=timezone.utc))
        self.assertIn("is not valid before", sentence)


class RenewalTests(AuthorityCase):
    def test_renewed(self) -> None:
        """It has changed until the new one is used; what is equal stays equal."""
        self.path.write_text(self.pem)
        used = self.read()
        self.assertFalse(used.changed())
        self.path.write_bytes(trustme.CA().cert_pem.bytes())
        self.assertTrue(used.changed())
        read = used.read_again()
        self.assertEqual(read, used)
        self.assertFalse(read.same_certificates(used))
        before = used.trust_root
        used.use(read)
        self.assertIsNot(used.trust_root, before)
        self.assertFalse(used.changed())

    def test_refused_once(self) -> None:
        """What cannot be used, or is gone, is told once; the next change is read."""
        self.path.write_text(self.pem)
        used = self.read()
        before = used.trust_root
        self.path.write_text("half of a")
        for _again in range(2):
            self.assertTrue(used.changed())
            error = self.assertRaises(BadAuthorities, used.read_again)
            self.assertIn(str(self.path), str(error))
            self.assertFalse(used.changed())
            self.path.unlink(missing_ok=True)
        self.assertIs(used.trust_root, before)
        self.path.write_text(self.pem)
        self.assertTrue(used.changed())
        used.use(used.read_again())
        self.assertFalse(used.changed())

    def test_a_symbolic_link(self) -> None:
        """A link that leads to another file is a change, as certbot and Kubernetes make it."""
        (self.folder / "1.pem").write_text(self.pem)
        (self.folder / "2.pem").write_bytes(trustme.CA().cert_pem.bytes())
        self.path.symlink_to("1.pem")
        used = self.read()
        (self.folder / "next").symlink_to("2.pem")
        (self.folder / "next").replace(self.path)
        self.assertTrue(used.changed())
        self.assertFalse(used.read_again().same_certificates(used))
