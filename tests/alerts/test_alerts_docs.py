"""What docs/alerts.md shows is what lgtwist reads and sends."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import Alert, Rule
from lgtwist.alerts.settings import ReceiverKind
from lgtwist.alerts.templates import webhook_body
from lgtwist.alerts.texts import alert_message
from lgtwist.app.configuration import Config, parse
from tests.console.test_static import tables
from tests.integration.running import ROOT
from tests.test_docs import page, secret_file

DOCUMENTED = page(ROOT / "docs" / "alerts.md")


class AlertsDocumentationTests(SynchronousTestCase):
    def test_every_kind_is_shown(self) -> None:
        """There is a block for each kind, which the reader of configurations accepts."""
        kinds = set()
        for block in DOCUMENTED.blocks:
            if block.language == "toml":
                found = parse(block.text, secret_file)
                assert isinstance(found, Config), found
                kinds |= {alert.kind for alert in found.alerts}
        self.assertEqual(kinds, set(ReceiverKind))

    def test_blocks_of_the_page(self) -> None:
        """What the console gives to be pasted is accepted too, and is of its kind, in both languages."""
        for language in ("zh", "en"):
            words = tables(language)["alerts.js"]
            for kind in ReceiverKind:
                found = parse(words[f"alerts.block.{kind.value}"], secret_file)
                assert isinstance(found, Config), (kind, found)
                self.assertEqual([alert.kind for alert in found.alerts], [kind])

    def test_what_a_webhook_gets(self) -> None:
        """The JSON that is shown is that of such an alert, but for the time zone."""
        [shown] = [json.loads(block.text) for block in DOCUMENTED.blocks if block.language == "json"]
        since = shown["since"]
        alert = Alert(Rule.OFFLINE, "10001", True, since, shown["reason"])
        sent = json.loads(webhook_body(alert_message(alert, "en", since + 120), None))
        for one in (shown, sent):
            one["text"] = one["text"].partition("\nSince: ")[0]
        self.assertEqual(sent, shown)
        told = {name for line in DOCUMENTED.prose if line.startswith("| `") for name in line.split("`")[1::2]}
        self.assertEqual(set(shown) - told, set())

    def test_every_rule_is_told(self) -> None:
        rows = [line.split("`")[1] for line in DOCUMENTED.prose if line.startswith("| `")]
        self.assertEqual(
            [row for row in rows if row in {rule.value for rule in Rule}][:6], [r.value for r in Rule]
        )
