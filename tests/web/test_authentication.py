"""Tokens, and the local-origin check where none is needed."""

from __future__ import annotations

from tests.web.site_case import SiteTestCase


class NoTokenTests(SiteTestCase):
    def test_other_machines_and_web_pages(self) -> None:
        """403 with a sentence that says what to do, for another Host, Origin or a proxy's header."""
        port = self.dial(host="host.docker.internal")
        self.assertEqual(port.status(), 403)
        self.assertIn(
            'Host "host.docker.internal" is not loopback and bot "default" has no token; '
            "set access_token in [[bots]] and in the bot",
            port.body(),
        )
        self.assertEqual(self.dial(Origin="http://evil.example").status(), 403)
        self.assertEqual(self.dial(X_Forwarded_For="1.2.3.4").status(), 403)
        self.assertEqual(self.dial(Origin="http://localhost").status(), 101)
        self.assertEqual(self.get("/sandbox/10001/", Host="evil.example").status(), 403)

    def test_a_wrong_token_where_none_is_needed(self) -> None:
        """Who shows a token that nobody has is refused, not taken for the one without."""
        self.assertEqual(self.dial(Authorization="Bearer x").status(), 403)


class TokenTests(SiteTestCase):
    toml = """
        [server]
        admin_token = "boss"
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        [[bots]]
        name = "a"
        access_token = "ta"
        [[bots]]
        name = "b"
        access_token = "tb"
        accounts = [2]
    """

    def test_L27_tokens(self) -> None:
        """401 without, 403 with a wrong token, 101 with the right one, in header or query, on every path."""
        for path in ("/", "/api", "/event", "/2", "/2/api"):
            port = self.dial(path)
            self.assertEqual(port.status(), 401)
            self.assertIn("www-authenticate: bearer", port.headers())
            self.assertEqual(self.dial(path, Authorization="Bearer no").status(), 403)
            self.assertEqual(self.dial(path + "?access_token=no").status(), 403)
            self.assertEqual(self.dial(path, Authorization="Token tb").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=tb").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=tb", Authorization="Bearer no").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=", Authorization="Bearer").status(), 401)

    def test_no_local_origin_check_with_a_token(self) -> None:
        """A right token is accepted from any Host and Origin, through any proxy."""
        port = self.dial(
            host="bots.example.org", Origin="http://x", X_Forwarded_For="1.2.3.4", Authorization="ta"
        )
        self.assertEqual(port.status(), 101)
