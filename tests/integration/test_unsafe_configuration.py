"""Configurations without a token where one is needed: the service does not start."""

from __future__ import annotations

from pathlib import Path

from tests.integration.commands import RunTestCase
from tests.rounds import some


class RefusedToStart(RunTestCase):
    """Asked to listen for other machines while somebody has no token."""

    TOML = """
        [[accounts]]
        type = "sandbox"
        self_id = 10001
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10002
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10003
        access_token = "has one"
        [[accounts]]
        type = "http"
        self_id = 10004
        url = "http://127.0.0.1:5700/"
        access_token = "not what signs"
        [[accounts]]
        type = "http"
        self_id = 10005
        url = "http://127.0.0.1:5700/"
        secret = "has one"
        [[accounts]]
        type = "http"
        self_id = 10006
        url = "http://127.0.0.1:5700/"
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10007
        [[bots]]
        name = "with"
        access_token = "one"
        [[bots]]
        name = "lacking"
        {kind}
        """
    LACKING = {
        "bots[1].access_token": 'bot "lacking"',
        "accounts[1].access_token": "account 10002",
        "accounts[3].secret": "account 10004",
        "accounts[5].secret": "account 10006",
        "accounts[6].access_token": "account 10007",
    }

    def listening(self, endpoint: str, kind: str = "") -> Path:
        config = self.write(self.TOML.format(kind=kind))
        own = f"tcp:{self.port}:interface=127.0.0.1"
        config.write_text(config.read_text().replace(f'"{own}"', endpoint))
        return config

    def assert_all_named(self, config: Path, *how: str) -> None:
        lines = self.refused(*how, "lgtwist", *(() if how else ("--check",)), "--config", config)
        found = {}
        for line in lines:
            file, path, sentence = line.split(": ", 2)
            self.assertEqual(file, str(config))
            self.assertIn("can be reached from other machines", sentence)
            found[path] = sentence
        self.assertEqual(found.keys(), self.LACKING.keys())
        for path, name in self.LACKING.items():
            self.assertIn(name, found[path])
        for word in ("has one", "not what signs"):
            self.assertNotIn(word, "".join(lines))
        self.assertFalse(self.data.exists())

    def test_public_endpoints(self) -> None:
        """Exit status 1 and a line for each bot and account that lacks one, on every public endpoint."""
        port = self.port
        for endpoint in some(
            f'"tcp:{port}"',
            f'"tcp:{port}:interface=0.0.0.0"',
            '"systemd:domain=INET:index=0"',
            most=1,
        ):
            self.assert_all_named(self.listening(endpoint), "-n", "--pidfile=")
        for endpoint in some(
            f'"tcp:{port}:0.0.0.0"',
            f"'tcp:{port}:interface=\\:\\:'",
            f'"tcp:127.0.0.1:interface=127.0.0.1", "tcp:{port}"'.replace("tcp:127.0.0.1", f"tcp:{port + 1}"),
        ):
            self.assert_all_named(self.listening(endpoint))

    def test_dialled_bots(self) -> None:
        """A bot that is dialled, or posted to, needs one too: its token opens the port."""
        for kind in some(
            'connection = "reverse-websocket"\nurl = "ws://127.0.0.1:8080/"',
            'connection = "http-post"\nurl = "http://127.0.0.1:8080/"\nsecret = "has one"',
        ):
            self.assert_all_named(self.listening(f'"tcp:{self.port}"', kind))

    def test_loopback(self) -> None:
        """On loopback and on a Unix socket nobody needs one."""
        here = (
            f'"tcp:{self.port}:interface=127.0.0.1"',
            f'"tcp:{self.port}:interface=127.8.9.10"',
            f"'tcp:{self.port}:interface=\\:\\:1'",
            '"unix:/tmp/x"',
        )
        ended = self.run_to_end("lgtwist", "--check", "--config", self.listening(", ".join(here)))
        self.assertEqual(ended.returncode, 0, ended)
