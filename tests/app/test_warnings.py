"""What the start and ``--check`` warn of."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import Config, parse
from lgtwist.app.data_dir import DataDir
from lgtwist.app.warnings import plain_tokens, warnings


class PlainTokenTests(SynchronousTestCase):
    def lines(self, toml: str) -> list[str]:
        config = parse(toml)
        assert isinstance(config, Config), config
        found = plain_tokens(config)
        self.assertNotIn("hush", "".join(found))
        return found

    def account(self, url: str, kind: str = "forward-websocket", token: str = 'access_token = "hush"') -> str:
        return f'[[accounts]]\ntype = "{kind}"\nself_id = 1\nurl = "{url}"\n{token}\n'

    def bot(self, keys: str, connection: str = "reverse-websocket") -> str:
        return f'[[bots]]\nname = "a"\nconnection = "{connection}"\n{keys}\n'

    def test_who_sends_one(self) -> None:
        """Each account and bot whose token leaves for a public host unencrypted is one line, by its key."""
        for toml, path in (
            (self.account("ws://203.0.113.7:3001/"), "accounts[0].access_token"),
            (self.account("http://example.org:3000", "http"), "accounts[0].access_token"),
            (self.account("ws://example.org/?access_token=hush", token=""), "accounts[0].url"),
            (self.bot('url = "ws://example.org/"\naccess_token = "hush"'), "bots[0].access_token"),
            (
                self.bot('api_url="wss://a.org/"\nevent_url="ws://a.org/"\naccess_token="hush"'),
                "bots[0].access_token",
            ),
            (self.bot('url = "http://example.org/?token=hush"', "http-post"), "bots[0].url"),
            ('[[alerts]]\nkind = "ntfy"\nurl = "http://example.org/hush"\n', "alerts[0].url"),
        ):
            (line,) = self.lines(toml)
            self.assertTrue(line.startswith(f"{path}: "), line)
            self.assertIn("unencrypted", line)

    def test_who_does_not(self) -> None:
        """Over TLS, without a token, or within one's own network there is nothing to say."""
        for toml in (
            "",
            self.account("wss://203.0.113.7:3001/"),
            '[[alerts]]\nkind = "ntfy"\nurl = "http://192.168.1.5:8080/hush"\n',
            '[[alerts]]\nkind = "ntfy"\nurl = "https://example.org/hush"\n',
            self.account("ws://203.0.113.7:3001/", token=""),
            *(
                self.account(f"ws://{host}:3001/")
                for host in ("127.0.0.1", "napcat", "[fd00::1]", "10.0.0.1")
            ),
            self.bot(
                'url = "http://example.org/"\nsecret = "hush"', "http-post"
            ),  # only a signature goes out
            self.bot('url = "http://example.org/"\naccess_token = "hush"', "http-post"),
        ):
            self.assertEqual(self.lines(toml), [], toml)


class DataDirTests(SynchronousTestCase):
    def test_open_to_others(self) -> None:
        """A data_dir that others may open is one line, and stays so; a private or missing one is none."""
        folder = Path(self.mktemp()).absolute()
        config = evolve(Config(), data_dir=str(folder))
        self.assertEqual(warnings(config), [])
        folder.mkdir()
        for mode in (0o755, 0o750, 0o701):
            folder.chmod(mode)
            (line,) = warnings(config)
            self.assertIn(f"mode {mode:04o}", line)
            self.assertIn(str(folder), line)
            self.assertEqual(folder.stat().st_mode & 0o777, mode)
        folder.chmod(0o700)
        self.assertEqual(warnings(config), [])

    def test_made_for_us_alone(self) -> None:
        """It and its missing parents are made with mode 0700, and the lock with 0600, whatever the umask."""
        folder = Path(self.mktemp()).absolute()
        before = os.umask(0)
        try:
            data_dir = DataDir(str(folder / "a" / "b"))
            data_dir.lock()
            data_dir.unlock()
        finally:
            os.umask(before)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
        self.assertEqual(modes, {folder.name: 0o700, "a": 0o700, "b": 0o700, "lock": 0o600})
