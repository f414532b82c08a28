"""Endpoint strings as people get them wrong, and what is said of each."""

from __future__ import annotations

import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.net.endpoints import check_endpoint, same_address


class MistakeTests(SynchronousTestCase):
    def test_what_to_write(self) -> None:
        """Each is told with what is meant."""
        for description, words in (
            ("tcp:8081:interface=::", r"write interface=\:\:,"),
            ("tcp:8081:interface=::1", r"write interface=\:\:1,"),
            ("tcp:8081:interface=[::1]", r"write interface=\:\:1,"),
            ("tcp:8081:interface=fe80::1:backlog=5", r"write interface=fe80\:\:1,"),
            ("tcp6:8081:interface=::", r"write interface=\:\:,"),
            ("haproxy:tcp:8081:interface=::1", r"write interface=\:\:1,"),
            ("ssl:8443:interface=::1", r"write interface=\:\:1,"),
            ("tcp: 8081", "a blank"),
            (" tcp:8081", "a blank"),
            ("tcp:8081:interface=127.0.0.1 ", "a blank"),
            ("tcp：8081", "write :"),
            ("tcp:８081", "write 8"),
            ("tcp", "port is missing"),
            ("tcp:", "port is missing"),
            ("tcp:70000", "not between 0 and 65535"),
            ("tcp:8_081", "no number"),
            ("tcp:+8081", "no number"),
            ("8081", '"tcp:8081:interface=127.0.0.1"'),
            ("127.0.0.1:8081", 'write "tcp:8081:interface=127.0.0.1"'),
            ("0.0.0.0:8081", 'write "tcp:8081"'),
            ("http://127.0.0.1:8081/", 'write "tcp:8081:interface=127.0.0.1"'),
            ("tcp:127.0.0.1:8081", "tcp:8081:interface=127.0.0.1"),
            ("TCP:8081", "is written tcp"),
            ("wss:8443", "is ssl meant?"),
            ("tpc:8081", "is tcp meant?"),
            ("tcp:8081:host=127.0.0.1", "is interface meant?"),
            ("tcp:8081:interfase=127.0.0.1", "is interface meant?"),
            ("tcp:8081,interface=127.0.0.1", "write tcp:8081:interface=..."),
            ("tcp:8081:interface:127.0.0.1", "write interface=127.0.0.1"),
            ("tcp:8081:interface=256.0.0.1", "is no IP address"),
            ("tcp:8081:interface=127.0.0.1,", "cannot be read"),
            (f"tcp:8081:interface={socket.if_nameindex()[0][1]}", "name of a network interface"),
        ):
            found = check_endpoint(description)
            self.assertIsNotNone(found, description)
            self.assertIn(words, str(found), description)
            self.assertTrue(str(found).isprintable(), description)

    def test_good_ones(self) -> None:
        """What Twisted takes is taken, also with blanks and other characters in paths."""
        for description in (
            "tcp:8081",
            "tcp:0:interface=127.0.0.1",
            "tcp:8081:interface=localhost",
            "tcp:8081:127.0.0.1",
            r"tcp:8081:interface=\:\:1",
            r"tcp6:8081:interface=\:\:",
            r"tcp:8081:interface=fe80\:\:1%eth0",
            "unix:/srv/a folder/（数据）/socket",
        ):
            self.assertIsNone(check_endpoint(description), description)

    def test_systemd(self) -> None:
        """Whether its sockets are there is not asked; how they are named is."""
        for good in ("domain=INET:name=lgtwist", "domain=INET6:index=1", "domain=UNIX:name=a-b", "INET:0"):
            self.assertIsNone(check_endpoint(f"systemd:{good}"), good)
        for wrong in (
            *("", "domain=INET", "domain=inet:name=x", "domain=INET:index=x", "INET:0:3", "name=lgtwist"),
            *("domain=INET:nam=x", "domain=INET:name=x:index=0"),
        ):
            self.assertIn("systemd:domain=INET:name=NAME", str(check_endpoint(f"systemd:{wrong}")), wrong)

    def test_no_certificate_is_named(self) -> None:
        """Twisted's default is a file that nobody knows of."""
        self.assertIn("ssl:PORT:privateKey=", str(check_endpoint("ssl:8443", Path("/nowhere"))))

    def test_the_same_address(self) -> None:
        """Only what surely collides; port 0 is another one each time."""
        self.assertTrue(same_address("tcp:1:interface=127.0.0.1", "tcp:1:backlog=5:interface=127.0.0.1"))
        self.assertTrue(same_address("unix:/tmp/a", "unix:/tmp/a:mode=666"))
        self.assertFalse(same_address("tcp:0", "tcp:0"))
        self.assertFalse(same_address("tcp:1", "tcp:2"))
