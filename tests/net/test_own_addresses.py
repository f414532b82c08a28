"""Which connections lead back to our own ports."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.net.endpoint_strings import InternetAddress, UnixPath
from lgtwist.net.loopback import is_private_name
from lgtwist.net.own_addresses import reaches


class ReachesTests(SynchronousTestCase):
    def test_all_addresses(self) -> None:
        """A port on all addresses is reached by each of this machine's, however it is written."""
        for served in ("", "0.0.0.0", "::"):
            listening = [UnixPath("/x"), InternetAddress(served, 80)]
            for host in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1", "[::1]"):
                self.assertTrue(reaches(host, 80, listening), (host, served))
            for host in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"):
                self.assertFalse(reaches(host, 80, listening), (host, served))
            self.assertFalse(reaches("127.0.0.1", 81, listening))

    def test_one_address(self) -> None:
        """A port on one address is reached by that one, and by the address that means any."""
        listening = [InternetAddress("127.0.0.1", 80)]
        for host in ("127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::"):
            self.assertTrue(reaches(host, 80, listening), host)
        for host in ("127.0.0.2", "::1"):  # another program may listen there
            self.assertFalse(reaches(host, 80, listening), host)
        self.assertFalse(reaches("127.0.0.1", 80, [UnixPath("/x"), None]))


class PrivateNameTests(SynchronousTestCase):
    def test_private_and_public(self) -> None:
        """Networks of one's own, and names that the public DNS does not have, are private."""
        for host in (
            *("localhost", "127.0.0.1", "[::1]", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.1.1"),
            *(
                "[fd00::1]",
                "[fe80::1]",
                "napcat",
                "my_bot",
                "nas.local",
                "host.docker.internal",
                "BOT.LOCAL.",
            ),
            *("::ffff:10.0.0.1",),
        ):
            self.assertTrue(is_private_name(host), host)
        for host in (
            *("203.0.113.7", "8.8.8.8", "172.32.0.1", "[2001:db8::1]", "example.org", "local.example.org"),
            *("2130706433", "::ffff:8.8.8.8", "mylocal.org", ""),
        ):
            self.assertFalse(is_private_name(host) and host != "", host)
