"""A ``ca_file`` that is renewed: at a reload, and while the service runs; links that are up stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.authorities import authorities_of, authority_warnings, renew_authorities
from lgtwist.app.configuration import Config, parse
from lgtwist.app.reload import changes
from lgtwist.app.service import LgtwistService
from lgtwist.config.change import Change

try:
    import trustme
except ImportError:
    trustme = None  # type: ignore[assignment]

#: One of each kind of accounts and bots that dials or posts, and a receiver of alerts.
TOML = """
[[accounts]]
self_id = 1
type = "forward-websocket"
url = "wss://localhost/"
ca_file = "ca.pem"
[[accounts]]
self_id = 2
type = "http"
url = "https://localhost/"
ca_file = "ca.pem"
[[bots]]
name = "a"
connection = "reverse-websocket"
url = "wss://localhost/"
ca_file = "ca.pem"
[[bots]]
name = "b"
connection = "http-post"
url = "https://localhost/"
ca_file = "ca.pem"
[[alerts]]
kind = "ntfy"
url = "https://localhost/topic"
ca_file = "ca.pem"
"""


class AuthoritiesCase(SynchronousTestCase):
    if trustme is None:
        skip = "trustme is not installed"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.renew()

    def renew(self, name: str = "ca.pem") -> None:
        """Another authority takes the file."""
        (self.folder / name).write_bytes(trustme.CA().cert_pem.bytes())

    def configuration(self, toml: str = TOML) -> Config:
        def read_file(name: str) -> str:
            return (self.folder / name).read_text()

        read = parse(toml, read_file, self.folder)
        assert isinstance(read, Config), read
        return read


class ReloadTests(AuthoritiesCase):
    def test_renewed(self) -> None:
        """Nothing is made anew; the authorities that the links use are told."""
        old = self.configuration()
        self.renew()
        found = changes(old, self.configuration())
        self.assertFalse(found.accounts or found.bots or found.nothing)
        self.assertEqual(found.describe(), f"certificates of {self.folder / 'ca.pem'} read again")
        used = authorities_of(old)
        self.assertEqual(len(used), 5)
        for one, other in zip(used, authorities_of(found.running), strict=True):
            self.assertIs(one, other)
        for (mine, read), one in zip(found.authorities, used, strict=True):
            self.assertIs(mine, one)
            mine.use(read)
        again = changes(found.running, self.configuration())
        self.assertTrue(again.nothing)
        self.assertEqual(again.describe(), "nothing changed")

    def test_beside_another_change(self) -> None:
        """What is changed in place keeps the authorities that its links use."""
        old = self.configuration()
        self.renew()
        found = changes(
            old, self.configuration(TOML.replace('name = "a"', 'name = "a"\nmessage_format = "array"'))
        )
        (changed,) = found.bots.changed
        self.assertEqual(changed.change, Change.IN_PLACE)
        self.assertIs(changed.new.settings.trust_root, old.bots[0].settings.trust_root)

    def test_another_path(self) -> None:
        """That is another ``ca_file``: the links are made anew."""
        old = self.configuration()
        self.renew("other.pem")
        found = changes(old, self.configuration(TOML.replace("ca.pem", "other.pem")))
        anew = [one.change for one in (*found.accounts.changed, *found.bots.changed)]
        self.assertEqual(anew, [Change.ANEW] * 4)
        self.assertEqual(found.alerts, ("alerts[0] changed",))


class WhileItRunsTests(AuthoritiesCase):
    def renewed(self, config: Config) -> list[str]:
        """Look at the files, and return what was logged."""
        from twisted.logger import formatEvent, globalLogPublisher

        lines: list[str] = []

        def observer(event: Any) -> None:
            if event["log_namespace"].startswith("lgtwist"):
                lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observer)
        try:
            in_thread: Any = maybeDeferred
            done: Deferred[None] = Deferred.fromCoroutine(renew_authorities(config, in_thread))
            self.successResultOf(done)
        finally:
            globalLogPublisher.removeObserver(observer)
        return lines

    def test_renewed(self) -> None:
        """All that name the file use what it has now, with one line."""
        config = self.configuration()
        self.assertEqual(self.renewed(config), [])
        before = [one.trust_root for one in authorities_of(config)]
        self.renew()
        (line,) = self.renewed(config)
        self.assertIn("ca.pem: its renewed certificates verify new connections", line)
        for one, other in zip(before, authorities_of(config), strict=True):
            self.assertIsNot(one, other.trust_root)
        self.assertEqual(self.renewed(config), [])

    def test_looked_at_by_the_service(self) -> None:
        """What looks at our own certificates looks at these too."""
        config = self.configuration()
        service = LgtwistService(config, MemoryReactorClock())  # type: ignore[no-untyped-call]
        self.patch(service.certificates, "_in_thread", maybeDeferred)
        before = [one.trust_root for one in authorities_of(config)]
        self.renew()
        service.certificates.check()
        for one, other in zip(before, authorities_of(service.config), strict=True):
            self.assertIsNot(one, other.trust_root)

    def test_half_a_file(self) -> None:
        """It is one line; the one before is used on."""
        config = self.configuration()
        before = [one.trust_root for one in authorities_of(config)]
        (self.folder / "ca.pem").write_text("-----BEGIN CERT")
        (line,) = self.renewed(config)
        self.assertIn("what it held before is still used", line)
        self.assertEqual(self.renewed(config), [])
        self.assertEqual([one.trust_root for one in authorities_of(config)], before)

    def test_expired(self) -> None:
        """A good configuration says nothing; each file is told of once."""
        self.assertEqual(authority_warnings(self.configuration()), [])
