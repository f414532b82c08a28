"""Where requests go, and what is answered where nothing is."""

from __future__ import annotations

from tests.web.site_case import SiteTestCase


class SiteTests(SiteTestCase):
    def test_unknown_paths_and_accounts(self) -> None:
        """404 for paths and accounts that are not there; an implementation's path says whose it is."""
        for path, words in (
            ("/x", "nothing here"),
            ("/10002", "no account 10002"),
            ("/onebot/v11/ws", "implementations"),
        ):
            port = self.dial(path)
            self.assertEqual(port.status(), 404, path)
            self.assertIn(words, port.body())
            self.assertIn("connection: close", port.headers())

    def test_plain_requests(self) -> None:
        """A plain GET of / is a text for people, of /event and /api 426; HEAD has no body."""
        self.assertEqual(self.get("/").status(), 200)
        self.assertEqual(self.get("/", "HEAD").body(), "")
        for path in ("/event", "/api/", "/10001/event"):
            self.assertEqual(self.get(path).status(), 426)
        self.assertEqual(self.get("/", "POST", b"{}").status(), 405)
        self.assertEqual(self.get("/no").status(), 404)
