"""Whether the service is alive, and whether it is ready."""

from __future__ import annotations

import json

from tests.web.site_case import SiteTestCase


class HealthTests(SiteTestCase):
    toml = """
        [[accounts]]
        type = "reverse-websocket"
        self_id = 1
        access_token = "one"
        [[accounts]]
        type = "http"
        self_id = 2
        url = "http://127.0.0.1:1/"
        access_token = "two"
        dialect = "napcat"
        [[accounts]]
        type = "http"
        self_id = 3
        url = "http://127.0.0.1:1/"
        secret = "three"
        [[bots]]
        name = "x"
        access_token = "bot"
        [server]
        admin_token = "admin"
    """

    def test_guesses_at_readyz(self) -> None:
        """A wrong token there is a guess as anywhere else."""
        before = self.service.port.connection_limits.counters.refused
        self.assertEqual(self.get("/readyz", Authorization="Bearer guess").body(), "not ready\n")
        self.assertEqual(self.service.port.connection_limits.counters.refused, before + 1)

    def test_health(self) -> None:
        """Alive whatever is down; ready only when nothing is; the reasons are for this machine."""
        self.assertEqual(self.get("/healthz").status(), 200)
        ready = self.get("/readyz")
        self.assertEqual(ready.status(), 503)
        self.assertEqual(len(json.loads(ready.body())["reasons"]), 3)
        self.assertEqual(self.get("/readyz", Host="evil.example").body(), "not ready\n")
        metrics = self.get("/metrics", Authorization="Bearer admin").body()
        for line in (
            'lgtwist_account_up{account="1"} 0.0',
            'lgtwist_calls_total{account="2",outcome="timeout"} 0.0',
            'lgtwist_dropped_events_total{bot="x"} 0.0',
            'lgtwist_connections{direction="out"} 0.0',
        ):
            self.assertIn(line, metrics)
        self.assertEqual(self.get("/metrics").status(), 401)
