"""What endpoint strings say, and which of them exclude each other."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.net.endpoint_strings import (
    BACKLOG,
    InternetAddress,
    UnixPath,
    collide,
    read_endpoint,
)
from lgtwist.net.endpoints import certificate_files, check_endpoint, is_public
from tests.processes import free_port


class ReadingTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """Where each kind of endpoint listens, its arguments with and without their names."""
        for description, wanted in {
            "tcp:1": InternetAddress("", 1),
            "tcp:port=1": InternetAddress("", 1),
            "tcp:1:127.0.0.1": InternetAddress("127.0.0.1", 1),
            "tcp:1:interface=127.0.0.1:backlog=5": InternetAddress("127.0.0.1", 1),
            r"tcp:1:interface=\:\:1": InternetAddress("::1", 1),
            "tcp6:1": InternetAddress("::", 1),
            r"tcp6:1:50:\:\:1": InternetAddress("::1", 1),
            "ssl:1:k.pem:c.pem": InternetAddress("", 1),
            "unix:x": UnixPath("/base/x"),
            "unix:../x:mode=600": UnixPath("/x"),
            "unix:/y/x": UnixPath("/y/x"),
            r"haproxy:tcp:1:interface=127.0.0.1": InternetAddress("127.0.0.1", 1),
            "systemd:domain=INET:index=0": None,
            "stdio:": None,
        }.items():
            self.assertEqual(read_endpoint(description, Path("/base")).address, wanted, description)

    def test_a_long_path_stays_relative(self) -> None:
        """A path that does not fit into a socket's address when it is absolute is used as it is written."""
        self.assertEqual(read_endpoint("unix:x", Path("/" + "d" * 120)).address, UnixPath("x"))

    def test_the_backlog(self) -> None:
        """More connections than Twisted's default wait, unless the string says how many."""
        self.assertEqual(read_endpoint("tcp:1").backlog, BACKLOG)
        self.assertEqual(read_endpoint("tcp:1:127.0.0.1:7").backlog, 7)
        self.assertEqual(read_endpoint("ssl:1:backlog=8").backlog, 8)

    def test_sockets_of_our_own(self) -> None:
        """A UNIX socket behind the PROXY protocol is for our user alone too, unless its string says more."""
        for description, wanted in {
            "haproxy:unix:/x": "haproxy:unix:/x:mode=600",
            "haproxy:unix:/x:mode=666": "haproxy:unix:/x:mode=666",
            "haproxy:tcp:1": "haproxy:tcp:1",
        }.items():
            self.assertEqual(read_endpoint(description).for_twisted, wanted)

    def test_private_files(self) -> None:
        """The files of a TLS port are known, also behind the PROXY protocol."""
        for description, wanted in {
            "ssl:1:k.pem:c.pem": ("k.pem", "c.pem"),
            "ssl:1:privateKey=k.pem:extraCertChain=e.pem:dhParameters=d.pem": ("k.pem", "e.pem", "d.pem"),
            "haproxy:ssl:1:k.pem": ("k.pem",),
            "tcp:1": (),
            "ssl:x": (),
        }.items():
            self.assertEqual(certificate_files(description), wanted, description)

    def test_mistakes(self) -> None:
        """Each is one sentence that names what is wrong."""
        for description, word in {
            "tcp:": "port is missing",
            "tcp:x": "'x' is no number",
            "tcp:65536": "65536",
            "tcp:-1": "-1",
            "tcp:1:colour=red": "'colour'",
            "tcp:1:port=2": "port is given twice",
            "tcp:1:2:3:4": "no more than port, interface, backlog",
            "tcp:1:backlog=many": "backlog",
            "unix:": "address is missing",
            "unix:x:mode=9": "mode",
            "nonsense:1": "nonsense",
        }.items():
            wrong = check_endpoint(description)
            self.assertIsNotNone(wrong, description)
            self.assertIn(word, wrong or "")
            self.assertNotIn("\n", wrong or "")

    def test_public(self) -> None:
        """An interface without its name counts, and what is not understood is public."""
        self.assertFalse(is_public("tcp:1:127.0.0.1"))
        self.assertFalse(is_public(r"tcp6:1:50:\:\:1"))
        self.assertTrue(is_public("tcp6:1"))
        self.assertTrue(is_public("tcp:1:colour=red"))
        self.assertTrue(is_public("haproxy:tcp:1:interface=127.0.0.1"))


class CollisionTests(SynchronousTestCase):
    def test_what_the_kernel_refuses(self) -> None:
        """Whenever the kernel refuses the second of two addresses, they are said to collide."""
        hosts = {
            "": socket.AF_INET, "0.0.0.0": socket.AF_INET, "127.0.0.1": socket.AF_INET,
            "127.0.0.2": socket.AF_INET, "::": socket.AF_INET6, "::1": socket.AF_INET6,
            "::ffff:127.0.0.1": socket.AF_INET6,
        }  # fmt: skip
        for first, second in product(hosts, hosts):
            with ExitStack() as opened:
                one, other = (opened.enter_context(socket.socket(hosts[h])) for h in (first, second))
                for handle in (one, other):
                    handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((first, free_port()))
                one.listen()
                port = one.getsockname()[1]
                try:
                    other.bind((second, port))
                    other.listen()
                    refused = False
                except OSError:
                    refused = True
                said = collide(InternetAddress(first, port), InternetAddress(second, port))
                self.assertEqual(said, refused, (first, second))

    def test_other_ports(self) -> None:
        """Another port is free, and so is any."""
        self.assertFalse(collide(InternetAddress("", 1), InternetAddress("", 2)))
        self.assertFalse(collide(InternetAddress("", 0), InternetAddress("", 0)))

    def test_what_is_not_known_collides(self) -> None:
        """The name of a host may be any address, and a kind of Twisted's plugins any port."""
        self.assertTrue(collide(InternetAddress("localhost", 1), InternetAddress("127.0.0.1", 1)))
        self.assertFalse(collide(InternetAddress("localhost", 1), InternetAddress("127.0.0.1", 2)))
        self.assertTrue(collide(None, InternetAddress("", 1)))

    def test_paths(self) -> None:
        """Two names of one UNIX socket collide; a port and a path do not."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "link").symlink_to(folder.absolute())
        there = UnixPath(str(folder / "x"))
        self.assertTrue(collide(there, UnixPath(str(folder / "link" / "x"))))
        self.assertFalse(collide(there, UnixPath(str(folder / "y"))))
        self.assertFalse(collide(there, InternetAddress("", 1)))

    @given(*[st.sampled_from(["", "0.0.0.0", "127.0.0.1", "::", "::1", "localhost", "10.0.0.1"])] * 2)
    def test_both_ways(self, one: str, other: str) -> None:
        """It does not matter which of the two is asked first."""
        first, second = InternetAddress(one, 1), InternetAddress(other, 1)
        self.assertEqual(collide(first, second), collide(second, first))
