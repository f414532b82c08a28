"""TLS to whatever we dial as ``wss://`` or ``https://``."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import parse
from tests.integration.certificates import INSTALLED, LOCAL, Authority
from tests.integration.faulty import BAD_WORDS, numbered, quiet
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase
from tests.integration.tls_servers import HttpsServer, TlsListener, Unworthy

#: Each kind of dialling: its section, and how its URL begins.
KINDS = {
    "forward-websocket": ("accounts", "wss"),
    "http": ("accounts", "https"),
    "reverse-websocket": ("bots", "wss"),
    "http-post": ("bots", "https"),
}

_LOCAL = r'for "localhost, 127\.0\.0\.1"'

_ISSUED = r'\(issued by "OU=CA ours,[^"]*"\)'

_UNKNOWN = r'is signed by an authority that is not known here \("OU=CA {},[^"]*"\); {}\?'

#: What may be wrong: what the log must say of it, the certificate, its names and the reason.
WRONG = {
    "wrong-name": r'the certificate is for example\.org, not for "localhost";',
    "wrong-address": r'the certificate is for localhost, 127\.0\.0\.2, not for "127\.0\.0\.1";',
    "no-name": r'the certificate of "localhost" has no host names that can be read, and not "localhost";',
    "expired": rf"the certificate {_LOCAL} {_ISSUED} has expired on \d{{4}}-\d\d-\d\d;",
    "other-authority": f"the certificate {_LOCAL} {_UNKNOWN.format('others', 'is it in ca_file')}",
    "no-ca-file": f"the certificate {_LOCAL} {_UNKNOWN.format('ours', 'is ca_file needed')}",
    "self-signed": r'the certificate of "OU=CA others,[^"]*" is signed by itself and not known here;',
    "no-tls": r"the server does not speak TLS \(is the URL ws:// or http://\?\)",
    "old-tls": r"protocol version not supported \(the server speaks neither TLS 1\.2 nor 1\.3\)",
}

FIRST_GAP = 0.4


class Dialled:
    """One service that dials every kind of peer, by good and by bad names.

    :ivar good: by host name: a WebSocket server and an HTTPS server.
    :ivar bad: by kind and what is wrong.
    """

    def __init__(self, folder: Path) -> None:
        ours, others = Authority(folder / "ours"), Authority(folder / "others")
        shown = {
            "wrong-name": ours.issue("example.org"),
            "wrong-address": ours.issue("127.0.0.2", "localhost"),
            "expired": ours.issue(LOCAL, "localhost", expired=True),
            "other-authority": others.issue(LOCAL, "localhost"),
            "no-ca-file": ours.issue(LOCAL, "localhost"),
            "no-name": ours.issue(),
            "self-signed": others.itself(),
            "no-tls": None,
            "old-tls": ours.issue(LOCAL, "localhost").only_old(),
        }
        self.good = {}
        self.bad = {}
        self.self_ids: dict[tuple[str, str], int] = {}
        toml = ['[[accounts]]\ntype = "sandbox"\nself_id = 10001']
        trusted = f'ca_file = "{ours.ca_file}"\n'
        for host in ("localhost", LOCAL):
            right = ours.issue(host)
            self.good[host] = (TlsListener(right), TlsListener(right), HttpsServer(right))
            ports = [server.port for server in self.good[host]]
            for kind, port in zip(("forward-websocket", "reverse-websocket", "http"), ports, strict=True):
                toml.append(self._entry(kind, f"good-{host}", host, port) + trusted)
            toml.append(self._entry("http-post", f"good-{host}", host, ports[2]) + trusted)
        for wrong, what in shown.items():
            host = LOCAL if wrong == "wrong-address" else "localhost"
            for kind in KINDS:
                server = self.bad[kind, wrong] = Unworthy(what)
                toml.append(
                    self._entry(kind, wrong, host, server.port) + (trusted if wrong != "no-ca-file" else "")
                )
        self.began = time.monotonic()
        self.service = Service(folder / "service", "\n".join(toml) + quiet(f"{int(FIRST_GAP * 1000)}ms"))

    def _entry(self, kind: str, name: str, host: str, port: int) -> str:
        section, scheme = KINDS[kind]
        path = "/hook" if kind == "http-post" else "/"
        lines = [f"[[{section}]]", f'url = "{scheme}://{host}:{port}{path}"', 'access_token = "t0ken"']
        if section == "accounts":
            self_id = self.self_ids[kind, name] = 30_000 + len(self.self_ids)
            lines += [f'type = "{kind}"', f"self_id = {self_id}"]
        else:
            lines[2] = f'access_token = "t0ken-{kind}-{name}"'
            lines += [f'name = "{kind}-{name}"', f'connection = "{kind}"', "accounts = [10001]"]
        if "websocket" in kind:
            lines.append(f'reconnect = {{ min = "{int(FIRST_GAP * 1000)}ms", max = "10s" }}')
        return "\n".join(lines) + "\n"

    def end(self) -> None:
        """End all; harmless when called twice."""
        self.service.clean_up()
        for servers in self.good.values():
            for server in servers:
                server.end()
        for unworthy in self.bad.values():
            unworthy.end()


class Dialling(SharedTestCase):
    """Whom we dial must show a good certificate for the name by which we dial it."""

    if not INSTALLED:
        skip = "trustme is not installed"

    def start_shared(self, folder: Path) -> Dialled:
        return Dialled(folder)

    def setUp(self) -> None:
        super().setUp()
        self.all: Dialled = self.shared
        self.service = self.all.service
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        self.assertTrue(self.service.alive())
        for bad in BAD_WORDS:
            self.assertNotIn(bad, self.service.log())

    def lines_about(self, port: int) -> list[str]:
        """The warnings about a server, without their times."""
        found = re.findall(rf"^\S+ \[\S+#warn\] (.*:{port}\b.*)$", self.service.log(), re.M)
        return [str(line) for line in found]

    def assert_good(self, host: str) -> None:
        forward, reverse, https = self.all.good[host]
        peer = reverse.next()
        self.assertEqual(peer.dial.header("Host"), f"{host}:{reverse.port}")
        self.assertEqual(peer.message()["sub_type"], "connect")
        self.service.inject(numbered(1, 100_000))
        self.assertEqual(len(peer.event(n=1)["pad"]), 100_000)
        implementation = forward.next()
        self.assertEqual(implementation.dial.header("Authorization"), "Bearer t0ken")
        implementation.send(
            json.dumps({**numbered(1), "self_id": self.all.self_ids["forward-websocket", f"good-{host}"]})
        )
        wait_until("a post", lambda: any(path == "/hook" for path, _body in https.posts))
        wait_until("a look", lambda: any(path == "/get_status" for path, _body in https.posts))
        for server in (forward, reverse, https):
            self.assertEqual(self.lines_about(server.port), [])

    def test_right_name(self) -> None:
        """A certificate for the name by which it is dialled opens the way."""
        self.assert_good("localhost")

    def test_right_address(self) -> None:
        """A certificate for the address by which it is dialled does too."""
        self.assert_good(LOCAL)

    def _enough(self, wrong: str) -> None:
        for kind in KINDS:
            server = self.all.bad[kind, wrong]
            wait_until(f"{kind} is tried again", lambda one=server: len(one.came) >= 4)
        wait_until("the webhook's line", lambda: f"http-post-{wrong}: 5 posts in a row" in self.service.log())

    def assert_bad(self, wrong: str) -> None:
        """It is told nothing, one line says why, and it is tried again, more and more seldom."""
        self._enough(wrong)
        problems = []
        for kind in KINDS:
            server = self.all.bad[kind, wrong]
            said = [came.said for came in server.came if came.said]
            if said:
                problems.append(f"{kind}: it was told {said[0][:40]!r}")
            if kind == "http-post":
                name = f"http-post-{wrong}: "
                lines = [line.split("] ", 1)[1] for line in self.service.log().splitlines() if name in line]
            else:
                lines = self.lines_about(server.port)
            if len(lines) != 1:
                problems.append(f"{kind}: {len(lines)} lines: {lines}")
            elif not re.search(WRONG[wrong], lines[0], re.I):
                problems.append(f"{kind}: does not say why: {lines[0]}")
            elif f":{server.port}" not in lines[0]:
                problems.append(f"{kind}: does not say which host: {lines[0]}")
            gaps = server.gaps()
            # Handshakes take their time on a loaded machine: the first two may be near each other.
            if "websocket" in kind and not max(gaps[:2]) < gaps[2]:
                problems.append(f"{kind}: gaps do not grow: {gaps}")
        self.assertEqual(problems, [])

    def test_no_token_in_the_log(self) -> None:
        """What is said about all these never holds a token."""
        self.assertNotIn("t0ken", self.service.log())


def _add_tests() -> None:
    """One test for each thing that may be wrong."""
    for wrong in WRONG:

        def test(self: Dialling, wrong: str = wrong) -> None:
            self.assert_bad(wrong)

        test.__doc__ = f"{wrong}: never spoken to, one line, tried again with growing gaps."
        test.__name__ = f"test_{wrong.replace('-', '_')}"
        setattr(Dialling, test.__name__, test)


_add_tests()


class NoWayAround(SynchronousTestCase):
    """Verification is not optional."""

    def test_no_switch(self) -> None:
        """Keys that elsewhere turn verification off are unknown here; a bad ca_file is a mistake too."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "empty.pem").write_text("")
        remote = '[[accounts]]\ntype = "forward-websocket"\nself_id = 1\nurl = "wss://127.0.0.1:9/"\n'
        for line in (
            "verify = false",
            "insecure = true",
            'tls = "insecure"',
            "ca_file = false",
            'ca_file = ""',
            f'ca_file = "{folder / "nowhere.pem"}"',
            f'ca_file = "{folder / "empty.pem"}"',
        ):
            problems = parse(remote + line)
            self.assertIsInstance(problems, list, line)
            self.assertEqual(len(list(problems)), 1, line)  # type: ignore[call-overload]
