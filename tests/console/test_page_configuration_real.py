"""The page of the configuration with the real service: what is saved is what runs then."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, Visit
from tests.console.real_service import ConsoleTestCase, wait_until
from tests.integration.rawclient import RawClient

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import expect


#: The keys that the forms have: each with its kinds, as the help of the keys tells them.
FIELDS = """async () => {
    const app = document.querySelector("script[type=module]").src;
    const fields = await import(app.replace("app.js", "pages/configuration/fields.js"));
    const { ACCOUNT_FIELDS, ALERT_FIELDS, BOT_FIELDS, TABLES, idOf } = fields;
    const tables = [["accounts", ACCOUNT_FIELDS], ["bots", BOT_FIELDS], ["alerts", ALERT_FIELDS], ...TABLES];
    return Object.fromEntries(tables.flatMap(([table, fields]) => fields.map(
        (field) => [[table, idOf(field)].filter(Boolean).join("."), field])));
}"""


class ConfigurationJourneyTests(ConsoleTestCase):
    toml = """
# the sandbox
[[accounts]]
self_id = 10001
type = "sandbox"

[[bots]]
name = "helper"   # may do all

[[bots]]
name = "reader"
access_token = "reader-test-token-0123456789"
"""

    def file(self) -> str:
        """The configuration file."""
        return (self.service.folder / "lgtwist.toml").read_text("utf-8")

    def compare_with_help(self, fields: dict[str, Any], keys: dict[str, Any]) -> None:
        """The forms have every key but those of actions, which have a page, with its kinds and choices."""
        wanted = {
            name: help_
            for name, help_ in keys.items()
            if help_["type"] != "table" and not name.startswith("bots.actions")
        }
        self.assertEqual(sorted(fields), sorted(wanted))
        for name, help_ in wanted.items():
            field = fields[name]
            self.assertEqual(sorted(field.get("kinds", [])), sorted(help_.get("kinds", [])), name)
            choices = help_["default"] if field["type"] == "choices" else help_.get("choices", [])
            self.assertEqual(sorted(field.get("choices", [])), sorted(choices), name)
            self.assertEqual(field["type"] == "secret", help_.get("secret", False), name)

    def test_let_in_who_was_refused(self) -> Deferred[Any]:
        """Two presses let in an implementation that was refused: its next attempt succeeds."""

        def script(visit: Visit) -> None:
            page = visit.page
            headers = {"X-Self-ID": "40004", "X-Client-Role": "Universal"}
            with contextlib.suppress(Exception):
                RawClient(self.service, "/onebot/v11/ws", headers)
            page.get_by_role("button", name="添加账号 40004").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.new", has_text="self_id = 40004")).to_be_visible()
            dialog.get_by_role("button", name="保存").click()
            expect(dialog.get_by_text("已重新加载：")).to_be_visible()
            expect(dialog).to_contain_text("40004")
            snippet = dialog.locator("pre").inner_text()
            token = re.search(r'"token": "([\w-]{32})"', snippet)
            assert token is not None, snippet
            self.assertIn(token[1], self.file())
            self.assertIn('# the sandbox\n[[accounts]]\nself_id = 10001\ntype = "sandbox"\n', self.file())
            let_in = RawClient(
                self.service, "/onebot/v11/ws", {**headers, "Authorization": f"Bearer {token[1]}"}
            )
            self.assertEqual(let_in.message()["action"], "get_login_info")
            let_in.socket.close()

        return self.look("overview", script)

    def test_form_and_file(self) -> Deferred[Any]:
        """A form and the file as text change what runs; comments stay, and tokens are never shown."""

        def script(visit: Visit) -> None:
            page = visit.page
            self.compare_with_help(page.evaluate(FIELDS), self.service.api("config")["keys"])
            page.get_by_role("tab", name=re.compile("^Bots")).click()
            bot = page.get_by_role("article", name="Bot helper", exact=True)
            bot.locator(".entry-head").click()
            self.assertEqual(visit.small_targets(), [])
            bot.get_by_label("message_format").select_option("string")
            bot.get_by_role("button", name="Review and save").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.new")).to_have_count(1)
            dialog.get_by_role("button", name="Save", exact=True).click()
            expect(dialog).to_contain_text('reload: bot "helper" changed')
            dialog.get_by_role("button", name="Done").click()
            self.assertIn('name = "helper"   # may do all\n', self.file())
            self.assertIn('message_format = "string"\n', self.file())
            page.get_by_role("tab", name=re.compile("^File")).click()
            area = page.locator(".editor textarea")
            expect(area).to_have_value(re.compile("••••••1"))
            self.assertNotIn("reader-test-token", page.content() + area.input_value())
            text = area.input_value()
            area.fill(text.replace('name = "reader"', 'name = "reader"\nacounts = [1]'))
            mistake = page.locator("button.mistake")
            expect(mistake).to_contain_text("acounts")
            line = text[: text.index('name = "reader"')].count("\n") + 2
            expect(page.locator(".gutter-line.wrong")).to_have_text(f"! {line}")
            self.assertEqual(visit.barriers(), [])
            area.fill(text + '\n[journal]\nsync = "normal"\n')
            expect(page.get_by_text("No mistakes.")).to_be_visible()
            page.get_by_role("button", name="Review and save").click()
            dialog.get_by_role("button", name="Save", exact=True).click()
            expect(dialog).to_contain_text("journal.sync")
            started = self.service.api("state")["started"]
            dialog.get_by_role("button", name="Restart lgtwist").click()
            visit.allowed += ["Failed to load resource", "ERR_"]
            dialog.get_by_role("button", name="Restart now").click()
            expect(dialog.get_by_text("lgtwist has started again.")).to_be_visible(timeout=30_000)
            wait_until("it is another start", lambda: self.service.api("state")["started"] != started)
            self.assertIn("reader-test-token-0123456789", self.file())
            expect(page.get_by_text("connection is lost")).to_have_count(0, timeout=15_000)

        return self.look("configuration", script, width=NARROW, language="en-US", dark=True)

    def test_changed_on_the_disk(self) -> Deferred[Any]:
        """Changes by hand and on the page are shown beside each other, and each secret stays where it is."""

        def script(visit: Visit) -> None:
            page = visit.page
            page.get_by_role("tab", name=re.compile("^File")).click()
            area = page.locator(".editor textarea")
            expect(page.get_by_text("No mistakes.")).to_be_visible()
            area.fill(area.input_value() + "# mine\n")
            expect(page.get_by_text("No mistakes.")).to_be_visible()
            theirs = '[[bots]]\nname = "new"\naccess_token = "new-test-token-0123456789"\n\n'
            at = self.file().index("[[bots]]")
            self.service.config_path.write_text(self.file()[:at] + theirs + self.file()[at:])
            visit.allowed.append("Failed to load resource")  # 409
            page.get_by_role("button", name="Review and save").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.old", has_text='name = "new"')).to_be_visible()
            self.assertEqual(visit.barriers(), [])
            dialog.get_by_role("tab", name="Mine").click()
            expect(dialog.locator("pre")).to_contain_text("# mine")
            dialog.get_by_role("button", name="Keep mine").click()
            expect(page.get_by_text("No mistakes.")).to_be_visible()
            page.get_by_role("button", name="Review and save").click()
            expect(dialog.locator(".diff-line.old", has_text='name = "new"')).to_be_visible()
            expect(dialog.locator(".diff-line", has_text="reader-test-token")).to_have_count(0)
            dialog.get_by_role("button", name="Save", exact=True).click()
            expect(dialog.get_by_text("Saved.")).to_be_visible()
            self.assertIn('name = "reader"\naccess_token = "reader-test-token-0123456789"\n', self.file())
            self.assertTrue(self.file().endswith("# mine\n"))
            self.assertNotIn("new-test-token", self.file())

        return self.look("configuration", script, width=NARROW, language="en-US")

    def test_two_at_once(self) -> Deferred[Any]:
        """Who saves second is shown what the first one saved; nothing is written over it unseen."""

        def edit(page: Any, more: str) -> Any:
            page.get_by_role("tab", name=re.compile("^文件")).click()
            area = page.locator(".editor textarea")
            expect(page.get_by_text("没有错误")).to_be_visible()
            area.fill(f"{area.input_value()}{more}\n")
            expect(page.get_by_text("没有错误")).to_be_visible()
            return page.get_by_role("dialog")

        def script(visit: Visit) -> None:
            visit.allowed.append("Failed to load resource")  # 409, once the file is another one
            first, second = visit.page, visit.new_page()
            second.goto(f"{self.service.console}#/configuration")
            second.wait_for_selector("main.page-configuration")
            dialog = edit(second, "# theirs")
            first.bring_to_front()
            other = edit(first, "# mine")
            second.bring_to_front()
            second.get_by_role("button", name="查看改动并保存").click()
            dialog.get_by_role("button", name="保存", exact=True).click()
            expect(dialog.get_by_text("已保存")).to_be_visible()
            first.bring_to_front()
            first.get_by_role("button", name="查看改动并保存").click()
            expect(other.locator(".diff-line", has_text="# theirs")).to_be_visible()
            self.assertTrue(self.file().endswith("# theirs\n"))

        return self.look("configuration", script)
