"""What ``/metrics`` shows: names, help texts and labels, which dashboards rely on."""

from __future__ import annotations

from pathlib import Path

from tests.web.site_case import SiteTestCase

#: Sorted lines: ``# HELP``, ``# TYPE``, and each sample without its value. Those of the process are left out.
GOLDEN = Path(__file__).with_name("metrics.txt")


def shape_of(text: str) -> str:
    """Return what stays when values change."""
    lines = {line if line.startswith("#") else line.rpartition(" ")[0] for line in text.splitlines()}
    own = (line for line in lines if "lgtwist_" in line and "lgtwist_build_info{" not in line)
    return "".join(f"{line}\n" for line in sorted(own))


class MetricsTests(SiteTestCase):
    toml = """
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        type = "forward-websocket"
        url = "ws://127.0.0.1:1/"
        [[accounts]]
        self_id = 3
        type = "reverse-websocket"
        [[accounts]]
        self_id = 4
        type = "http"
        url = "http://127.0.0.1:1/"
        [[bots]]
        name = "live"
        [[bots]]
        name = "all"
        access_token = "all"
        accounts = [1, 3]
        delivery = "at-least-once"
        [[bots]]
        name = "dialled"
        access_token = "dialled"
        connection = "reverse-websocket"
        url = "ws://127.0.0.1:2/"
        [[bots]]
        name = "posted"
        access_token = "posted"
        connection = "http-post"
        url = "http://127.0.0.1:2/"
        [[alerts]]
        kind = "webhook"
        url = "http://127.0.0.1:3/"
    """

    def start(self) -> None:
        """Start nothing: the journal's threads are not needed here."""

    def test_names_and_labels(self) -> None:
        """Every series is there from zero, with the names, help texts and labels that it always had."""
        shown = shape_of(self.get("/metrics").body())
        self.maxDiff = None
        self.assertEqual(shown, GOLDEN.read_text("utf-8"))


class NoJournalTests(SiteTestCase):
    def test_no_journal(self) -> None:
        """Without an at-least-once bot there is no figure of a journal, only their names."""
        body = self.get("/metrics").body()
        self.assertNotRegex(body, "(?m)^lgtwist_journal")
        self.assertIn("# TYPE lgtwist_journal_up gauge", body)
