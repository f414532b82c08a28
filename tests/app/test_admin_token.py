"""The admin token that is made, its link, and what a reload does to both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.admin_token import CannotMakeToken, console_link, made_token, read_made_token
from lgtwist.app.configuration import Config, parse
from lgtwist.app.reloader import Reloader
from tests.web.site_case import SiteTestCase


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_it_is_made_once(self) -> None:
        self.assertIsNone(read_made_token(self.folder))
        first, second = made_token(self.folder), made_token(self.folder)
        self.assertEqual((first.is_new, second.is_new), (True, False))
        self.assertEqual(first.value, second.value)
        self.assertNotEqual(first.value, "")
        self.assertEqual((self.folder / "admin_token").stat().st_mode & 0o777, 0o600)
        self.assertNotIn(first.value, repr(first))

    def test_one_that_others_may_read_is_closed_to_them(self) -> None:
        path = self.folder / "admin_token"
        path.write_text("mine\n")
        path.chmod(0o644)
        self.assertEqual(made_token(self.folder).value, "mine")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_an_empty_file_is_filled(self) -> None:
        (self.folder / "admin_token").write_text("\n")
        self.assertTrue(made_token(self.folder).is_new)

    def test_a_file_with_something_else(self) -> None:
        for content in (b"two\nlines", b"\xff\xfe\x00", b"x" * 2000):
            (self.folder / "admin_token").write_bytes(content)
            error = self.assertRaises(CannotMakeToken, made_token, self.folder)
            self.assertIn("admin_token: ", str(error))

    def test_a_folder_in_its_place(self) -> None:
        os.mkdir(self.folder / "admin_token")
        self.assertRaises(CannotMakeToken, made_token, self.folder)

    def test_the_link(self) -> None:
        self.assertEqual(console_link("http://h:1", "a b#"), "http://h:1/console/#token=a%20b%23")


class ReloadTests(SiteTestCase):
    """The service without a configured token: one is made, and its link is shown once."""

    def start(self) -> None:
        self.links: list[str] = []
        self.service.console_token.show = self.links.append
        super().start()

    def reload(self, toml: str) -> None:
        config = parse(f'data_dir = "{self.service.config.data_dir}"\n{toml}')
        assert isinstance(config, Config), config
        done = Reloader(self.service, maybeDeferred).reload(lambda: config)
        self.clock.pump([1.0] * 6)
        self.successResultOf(done)

    def status(self, token: str, path: str = "/console/api/state") -> int:
        return self.get(path, Authorization=f"Bearer {token}").status()

    @property
    def made(self) -> str:
        return (Path(self.service.config.data_dir) / "admin_token").read_text().strip()

    def test_the_link_is_shown_once(self) -> None:
        self.assertEqual(self.links, [f"http://127.0.0.1:8081/console/#token={self.made}"])
        self.reload("")
        self.assertEqual(len(self.links), 1)

    def test_configured_and_back(self) -> None:
        stream: Any = self.get("/console/api/stream", Authorization=f"Bearer {self.made}")
        self.reload('[server]\nadmin_token = "mine"\n')
        self.assertIn('{"code":"token_changed"}', stream.body())
        self.assertEqual((self.status("mine"), self.status(self.made)), (200, 403))
        self.assertEqual(self.get("/metrics").status(), 401)
        self.reload("")
        self.assertEqual((self.status("mine"), self.status(self.made)), (403, 200))
        self.assertEqual(self.get("/metrics").status(), 200)

    def test_what_else_changes_ends_no_stream(self) -> None:
        stream: Any = self.get("/console/api/stream", Authorization=f"Bearer {self.made}")
        self.reload('[server]\nallowed_origins = ["https://a.example"]\n')
        self.assertNotIn("bye", stream.body())

    def test_off_and_on(self) -> None:
        stream: Any = self.get("/console/api/stream", Authorization=f"Bearer {self.made}")
        self.reload("[console]\nenabled = false\n")
        self.assertIn("bye", stream.body())
        self.assertEqual(self.get("/console/").status(), 404)
        self.reload("")
        self.assertEqual(self.get("/console/").status(), 200)
        self.assertEqual(self.status(self.made), 200)


class DisabledTests(SiteTestCase):
    toml = "[console]\nenabled = false\n"

    def test_no_token_is_made(self) -> None:
        self.assertFalse((Path(self.service.config.data_dir) / "admin_token").exists())
