"""The sandbox's control is the operator's."""

from __future__ import annotations

import json

from tests.web.site_case import SiteTestCase


class AdminTokenTests(SiteTestCase):
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

    def test_the_control_wants_the_admin(self) -> None:
        """A bot's token does not open the sandbox's control; the admin's does, and opens no bot's path."""
        self.assertEqual(self.get("/sandbox/1/").status(), 401)
        self.assertEqual(self.get("/sandbox/1/", Authorization="Bearer ta").status(), 403)
        port = self.get("/sandbox/1/", Authorization="Bearer boss")
        self.assertEqual(json.loads(port.body())["self_id"], 1)
        self.assertEqual(self.dial(Authorization="Bearer boss").status(), 403)


class PublicTests(SiteTestCase):
    toml = (
        '[server]\nendpoints = ["tcp:8081"]\n[console]\nenabled = false\n'
        '[[bots]]\nname = "a"\naccess_token = "ta"\n'
    )

    def test_the_control_without_admin_token(self) -> None:
        """On a public address the control answers 403 until an admin_token is set."""
        port = self.get("/sandbox/10001/")
        self.assertEqual(port.status(), 403)
        self.assertIn("admin_token", port.body())
