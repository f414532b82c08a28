"""The bodies of webhooks: what they hold, and templates that no value can break."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import Alert, AlertMessage, Rule
from lgtwist.alerts.templates import check_template, fill_template, json_text, webhook_body, webhook_values
from tests.alerts.receivers import OFFLINE, ONLINE, TEST

#: Any text, lone surrogates and control characters too.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=50)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def clean(text: str) -> str:
    """With U+FFFD for each surrogate that is alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class ValueTests(SynchronousTestCase):
    def test_events(self) -> None:
        """A test, one alert, its end, and a digest, in which what differs is null."""
        self.assertEqual(webhook_values(TEST)["event"], "test")
        self.assertEqual(webhook_values(OFFLINE)["recovered"], False)
        back = webhook_values(ONLINE)
        self.assertEqual((back["event"], back["recovered"], back["online"]), ("offline", True, True))
        away = Alert(Rule.AWAY, "astrbot", True, 5.0)
        self.assertEqual(webhook_values(AlertMessage("", "", (away,)))["bot"], "astrbot")
        both = webhook_values(AlertMessage("t", "x", (*OFFLINE.alerts, away)))
        self.assertEqual((both["event"], both["account"], both["bot"]), ("digest", None, None))
        self.assertEqual((both["online"], both["recovered"]), (False, False))
        self.assertEqual([one["event"] for one in both["alerts"]], ["offline", "away"])

    def test_losses(self) -> None:
        """They have the bot's name, and why."""
        for bot, cause, reason in (
            ("astrbot", "dropped", "the bot reads too slowly"),
            (None, "journal", "the journal could not take them"),
        ):
            alert = Alert(Rule.LOST, bot or "", True, 5.0, "", {"cause": cause, "events": 7})
            values = webhook_values(AlertMessage("", "", (alert,)))
            self.assertEqual((values["bot"], values["reason"], values["values"]["events"]), (bot, reason, 7))

    def test_backlog(self) -> None:
        alert = Alert(
            Rule.BACKLOG, "astrbot", True, 5.0, "", {"account": 10001, "bot": "astrbot", "backlog": 7}
        )
        values = webhook_values(AlertMessage("", "", (alert,)))
        self.assertEqual((values["account"], values["bot"], values["online"]), (10001, "astrbot", None))
        self.assertEqual(fill_template("{values}", values), json_text(alert.values))

    @given(TEXTS, TEXTS, VALUES)
    @settings(max_examples=100, deadline=None)
    def test_anything_is_json(self, title: str, reason: str, value: Any) -> None:
        alert = Alert(Rule.JOURNAL, "", True, float("inf"), reason, {"x": value})
        body = webhook_body(AlertMessage(title, title, (alert,)), None).encode("utf-8", "strict")
        read = json.loads(body, parse_constant=self.fail)
        self.assertEqual((read["title"], read["reason"], read["since"]), (clean(title), clean(reason), None))


class TemplateTests(SynchronousTestCase):
    def test_within_and_outside_of_strings(self) -> None:
        """Within a string a value is its text; outside of one it is JSON."""
        values = {"text": 'a"\\\n{title}', "account": 1, "bot": None, "title": "t", "recovered": True}
        template = (
            '{"a": "<{text}>", "b": {text}, "c": "{account}/{bot}/{recovered}", "d": [{account}, {bot}]}'
        )
        self.assertEqual(
            json.loads(fill_template(template, values)),
            {"a": '<a"\\\n{title}>', "b": 'a"\\\n{title}', "c": "1//true", "d": [1, None]},
        )

    def test_escaped_quotation_marks(self) -> None:
        """They do not end a string of the template."""
        template = r'{"a \" {title} \\": {title}, "\\\"{title}": "{title}\n"}'
        self.assertEqual(
            json.loads(fill_template(template, {"title": 'x"'})), {'a " x" \\': 'x"', '\\"x"': 'x"\n'}
        )

    def test_usable_templates(self) -> None:
        for template in (
            "{}",
            '{"a": "{text}"}',
            '{"a": {text}, "b": {"c": [{account}]}}',
            "{alerts}",
            '"{title}"',
            '{"a": "no placeholder"}',
            ' {\n  "at": "{since}", "n": {values}\n}\n',
        ):
            self.assertEqual(check_template(template), [], template)

    def test_mistakes(self) -> None:
        for template, words in (
            ("", "is empty"),
            ("text={text}", "is no JSON"),
            ('{"a": "{text}"', "line 1, column"),
            ('{"a": "{text}",}', "is no JSON"),
            ('{"a": "{texts}"}', "{texts} is no placeholder; is {text} meant?"),
            ('{"a": "{xyzzy}"}', "{xyzzy} is no placeholder; there are event, "),
            ('{"a": {text}{title}}', "is no JSON"),
            ("[" * 30_000 + "]" * 30_000, "nested too deep"),
            (f'"{"x" * 70_000}"', "65536 are allowed"),
            ('{"a": NaN}', "NaN is no value of JSON"),
            ("9" * 5000, "is no JSON"),
            ('{{reason}: "x"}', "a placeholder as a key stands in quotes"),
        ):
            found = check_template(template)
            self.assertEqual(len(found), 1, template[:50])
            self.assertIn(words, found[0])
        self.assertEqual(len(check_template('{"{one}": {two}}')), 2)

    @given(TEXTS, TEXTS, st.integers() | st.none() | st.booleans())
    @settings(max_examples=200, deadline=None)
    def test_no_value_breaks_a_template(self, title: str, text: str, account: int | None) -> None:
        """What the template says is read back, with the values as they are, and nothing else."""
        template = '{"{title}x": "a{text}b{title}", "n": {account}, "t": {text}, "\\"": "\\\\{account}"}'
        filled = fill_template(template, {"title": title, "text": text, "account": account})
        shown = "" if account is None else json.dumps(account)
        self.assertEqual(
            json.loads(filled.encode("utf-8", "strict"), object_pairs_hook=list),
            [
                (f"{clean(title)}x", f"a{clean(text)}b{clean(title)}"),
                ("n", account),
                ("t", clean(text)),
                ('"', f"\\{shown}"),
            ],
        )

    @given(
        st.lists(st.sampled_from(['"', "\\", "{text}", "{", "}", "{title}", ":", ",", "x", "[", "]", "1"]))
    )
    @settings(max_examples=300, deadline=None)
    def test_what_is_checked_stays_json(self, parts: list[str]) -> None:
        """A template in which no mistake is found is JSON with whatever values."""
        template = "".join(parts)
        if not check_template(template):
            for values in ({"text": '"\\{title}\n', "title": '{"a": 1}'}, {"text": None, "title": [1, '"']}):
                json.loads(fill_template(template, values))
