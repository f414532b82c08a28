"""The help of every key (keys.json) and what the readers of the configuration accept are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import Rule
from lgtwist.alerts.settings import read_alert
from lgtwist.app.kinds import ACCOUNT_KINDS, BOT_KINDS
from lgtwist.config.change import Change
from lgtwist.config.limits import read_limits
from lgtwist.config.section import Problem, Section
from lgtwist.console.configuration import keys_json
from lgtwist.console.settings import read_console
from lgtwist.hub.settings import BotSettings, read_bot
from lgtwist.journal.settings import read_journal
from lgtwist.web.settings import read_server

KEYS: dict[str, dict[str, Any]] = json.loads(keys_json())
EFFECTS = {"in_place", "sessions", "anew", "restart", "nothing"}
TYPES = {"text", "number", "numbers", "list", "boolean", "choice", "duration", "size", "table"}


class Recording(Section):
    """A table that has every key it is asked for, and notes them."""

    seen: dict[str, Any]

    def has(self, key: str) -> bool:
        return True

    def read(self, key: str, reader: Callable[[Any], Any], default: Any = None) -> Any:
        self.seen[self.path_of(key)] = default
        try:
            return reader(default)
        except (ValueError, TypeError):
            return None

    def read_list(self, key: str, reader: Any, default: Any, at_least: int = 0) -> Any:
        self.seen[self.path_of(key)] = list(default)
        return ()

    def read_secret(self, key: str, reader: Any) -> None:
        self.seen[self.path_of(key)] = self.seen[self.path_of(f"{key}_file")] = None

    def read_named_file(self, key: str) -> None:
        self.seen[self.path_of(key)] = None

    def read_certificates(self, key: str) -> None:
        self.seen[self.path_of(key)] = None

    def section(self, key: str) -> Section:
        self.seen[self.path_of(key)] = None
        inner = Recording(self.path_of(key), {}, [], str)
        inner.seen = self.seen
        return inner


def keys_read_by(table: str, *readers: Callable[[Section], Any]) -> dict[str, Any]:
    """The keys that readers look for, with their defaults."""
    section = Recording(table, {}, [], str)
    section.seen = {}
    for has in (True, False):  # a pair of URLs, and a single one
        section.has = lambda _key, has=has: has  # type: ignore[method-assign]
        for reader in readers:
            reader(section)
    return section.seen


class KeyTests(SynchronousTestCase):
    def check_keys(self, table: str, found: dict[str, Any], kind: str | None = None, *others: str) -> None:
        known = {
            name: help
            for name, help in KEYS.items()
            if name.startswith(f"{table}.") and kind in (*help.get("kinds", [kind]),)
        }
        self.assertEqual(known.keys(), found.keys() | {f"{table}.{other}" for other in others}, (table, kind))
        for name, default in found.items():
            if default not in (None, [], ()) and known[name]["type"] != "table":
                self.assertEqual(known[name].get("default"), default, name)

    def test_tables(self) -> None:
        for table, reader in (
            ("server", read_server),
            ("console", read_console),
            ("journal", read_journal),
            ("limits", read_limits),
        ):
            self.check_keys(table, keys_read_by(table, reader))
        self.assertEqual([name for name in KEYS if "." not in name], ["data_dir"])
        self.assertEqual(
            {name.partition(".")[0] for name in KEYS},
            {"data_dir", "server", "console", "journal", "limits", "accounts", "bots", "alerts"},
        )

    def test_accounts(self) -> None:
        for kind, module in ACCOUNT_KINDS.items():
            self.check_keys("accounts", keys_read_by("accounts", module.read), kind, "type", "self_id")
        self.assertEqual(KEYS["accounts.type"]["choices"], list(ACCOUNT_KINDS))

    def test_bots(self) -> None:
        for kind, module in BOT_KINDS.items():
            self.check_keys("bots", keys_read_by("bots", read_bot, module.read), kind, "connection")
        self.assertEqual(KEYS["bots.connection"]["choices"], list(BOT_KINDS))

    def test_alerts(self) -> None:
        """Every key is told, and those that only some kinds have are refused by the others."""
        read = keys_read_by("alerts", read_alert)
        self.assertEqual({name for name in KEYS if name.startswith("alerts.")}, read.keys())
        for name, default in read.items():
            if default not in (None, [], ()):
                told = KEYS[name].get("default")
                self.assertEqual(told, list(default) if isinstance(default, tuple) else default, name)
        self.assertEqual(KEYS["alerts.on"]["default"], [rule.value for rule in Rule])
        for kind in KEYS["alerts.kind"]["choices"]:
            for name in read:
                key = name.partition(".")[2]
                problems: list[Problem] = []
                read_alert(Section("alerts[0]", {"kind": kind, key: "x"}, problems, lambda _path: "x"))
                refused = any(
                    "is for kind" in one.sentence or "key stands in" in one.sentence for one in problems
                )
                mine = kind in KEYS[name].get("kinds", [kind])
                if key != "kind" and not mine:
                    paths = (f"alerts[0].{key}", f"alerts[0].{key.removesuffix('_file')}")
                    wrong = [one for one in problems if one.path in paths]
                    self.assertTrue(wrong, (kind, key))
                elif key != "kind":
                    self.assertFalse(refused, (kind, key, problems))

    def test_effects(self) -> None:
        """What a change does is what the fields of the settings say."""
        for kind, module in ACCOUNT_KINDS.items():
            self.check_effects("accounts", type(module.read(Section("", {}, [], str))), kind)
        for kind, bot in BOT_KINDS.items():
            self.check_effects("bots", type(bot.read(Section("", {"url": "ws://x/"}, [], str))), kind)
        self.check_effects("bots", BotSettings, "forward-websocket")

    def check_effects(self, table: str, settings: Any, kind: str) -> None:
        for one in fields(settings):
            help = KEYS.get(f"{table}.{one.name}")
            if help is None or one.name == "name":
                continue
            effect = help.get("effects", {}).get(kind, help["effect"])
            expected = one.metadata.get("change", one.metadata.get("_change", Change.IN_PLACE))
            self.assertEqual(effect, expected.name.lower(), (table, one.name, kind))

    def test_each_is_told_in_both_languages(self) -> None:
        for name, help in KEYS.items():
            for language in ("zh", "en"):
                self.assertGreater(len(help[language]), 3, name)
                self.assertFalse(help[language].endswith((".", "。")), name)
            self.assertRegex(help["zh"], "[\u4e00-\u9fff]", name)
            self.assertIn(help["type"], TYPES, name)
            self.assertIn(help["effect"], EFFECTS, name)
            self.assertEqual("choices" in help, help["type"] == "choice", name)
            if "choices" in help:
                self.assertIn(help.get("default", help["choices"][0]), help["choices"], name)
