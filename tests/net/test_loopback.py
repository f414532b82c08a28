"""Names and addresses that can only mean this machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.net.endpoints import is_public
from lgtwist.net.loopback import is_loopback_name, is_private_name, plain_address


class LoopbackTests(SynchronousTestCase):
    def test_mapped_addresses(self) -> None:
        """An IPv4-mapped address means what its IPv4 address means."""
        for host in ("::ffff:127.0.0.1", "[::ffff:127.8.9.1]", "::FFFF:7f00:1", "0:0:0:0:0:ffff:127.0.0.1"):
            self.assertTrue(is_loopback_name(host), host)
            self.assertTrue(is_private_name(host), host)
        for host in ("::ffff:192.0.2.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:127.0.0.1.example"):
            self.assertFalse(is_loopback_name(host), host)
        self.assertFalse(is_public("tcp:8081:interface=\\:\\:ffff\\:127.0.0.1"))

    def test_plain_addresses(self) -> None:
        """Mapped addresses are written as IPv4; everything else stays as it is."""
        for host, plain in (
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::FFFF:c000:201", "192.0.2.1"),
            ("::ffff:1:2:3", "::ffff:1:2:3"),
            ("::ffff:x", "::ffff:x"),
            ("::1", "::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("unix socket", "unix socket"),
        ):
            self.assertEqual(plain_address(host), plain)
