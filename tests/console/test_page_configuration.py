"""The page of the configuration in a real browser, with a stand-in for a server that does what is rare."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, BrowserTestCase, Visit, reactor
from tests.console.fake_backend import TOKEN, FakeBackend
from tests.console.fake_configuration import FakeConfiguration
from tests.integration.running import ROOT

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Locator, Page, expect

FAILED_REQUESTS = r"Failed to load resource"
CLIPBOARD = "navigator.clipboard.writeText = async (text) => { window.copied = text; }"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def documented(key: str) -> Any:
    """The JSON of docs/accounts.md in which a key is, with the token that is made here."""
    text = (ROOT / "docs" / "accounts.md").read_text("utf-8")
    blocks = [block for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if key in block]
    return json.loads(blocks[0].replace("change-me", "new-token-abcdefghijklmnopqrstuvw"))


class ConfigurationTestCase(BrowserTestCase):
    def setUp(self) -> None:
        self.backend = FakeBackend()
        self.file = FakeConfiguration(self.backend)
        self.url = self.backend.listen(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.backend.close()))

    def look(
        self, script: Callable[[Visit, Page], Any], page: str = "configuration", **options: Any
    ) -> Deferred[Any]:
        def logged_in(visit: Visit) -> Any:
            visit.open(f"token={TOKEN}")
            visit.page.wait_for_selector("main.page")
            visit.page.goto(f"{self.url}#/{page}")
            visit.page.wait_for_selector(f"main.page-{page}")
            visit.page.evaluate(CLIPBOARD)
            return script(visit, visit.page)

        return self.visit(self.url, logged_in, **options)

    def clean(self, visit: Visit) -> None:
        """What holds of each view: room for fingers, no barriers, and text of others is text."""
        self.assertEqual(visit.small_targets(), [])
        self.assertEqual(visit.barriers(), [])
        self.assertEqual(visit.page.locator("main img, main script, dialog img, dialog script").count(), 0)


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=re.compile(f"^{name}")).click()


def card(page: Page, name: str) -> Locator:
    """Open the card of an account or a bot."""
    found = page.get_by_role("article", name=name, exact=True)
    found.locator(".entry-head").click()
    return found


class FormTests(ConfigurationTestCase):
    def test_change_a_bot(self) -> Deferred[Any]:
        """What a form changes is shown line by line, saved, loaded again, and what waits is restarted."""

        def script(visit: Visit, page: Page) -> None:
            self.file.waiting = ["journal.sync"]
            self.file.confirm = True
            tab(page, "机器人")
            bot = card(page, "机器人 nonebot")
            expect(bot).to_contain_text("已设置")
            self.assertNotIn("secret-of", page.content())
            accounts = bot.get_by_label("accounts")
            expect(accounts).to_have_value("10001, 10002")
            accounts.fill("10001, x")
            expect(bot.get_by_text("要填数字，用逗号分开。")).to_be_visible()
            accounts.fill("10001")
            self.clean(visit)
            bot.get_by_role("button", name="查看改动并保存").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.old")).to_have_text(re.compile(r"accounts = \[10001, 10002\]"))
            expect(dialog.locator(".diff-line.new")).to_have_text(re.compile(r"accounts = \[10001\]"))
            self.clean(visit)
            visit.allowed.append(FAILED_REQUESTS)
            dialog.get_by_role("button", name="保存").click()
            field = dialog.get_by_label("管理令牌")
            field.fill("wrong")
            field.press("Enter")
            expect(dialog.get_by_text("令牌不对。")).to_be_visible()
            self.assertEqual(self.file.saved, [])
            field.fill(TOKEN)
            field.press("Enter")
            expect(dialog.get_by_text("已保存。")).to_be_visible()
            expect(dialog).to_contain_text("lgtwist.toml.bak-20261129-081500")
            expect(dialog).to_contain_text('reload: bot "nonebot" changed <img src=x>')
            self.assertIn(
                'access_token = "secret-of-nonebot"  # both sides\naccounts = [10001]\n', self.file.text
            )
            expect(dialog).to_contain_text("journal.sync")
            dialog.get_by_role("button", name="重启 lgtwist").click()
            self.assertNotIn("POST restart", self.backend.requests)
            dialog.get_by_role("button", name="现在重启").click()
            dialog.get_by_label("管理令牌").fill(TOKEN)
            dialog.get_by_role("button", name="现在重启").click()
            expect(dialog.get_by_text("lgtwist 已经重新启动。")).to_be_visible()
            self.clean(visit)
            dialog.get_by_role("button", name="完成").click()
            expect(accounts).to_have_value("10001")
            expect(page.get_by_text("未保存")).to_have_count(0)

        return self.look(script)

    def test_add_an_account(self) -> Deferred[Any]:
        """A new account has a new token, which is shown with what the other side is given."""

        def script(visit: Visit, page: Page) -> None:
            page.get_by_role("button", name="Add an account").click()
            form = page.get_by_role("article", name="Add an account")
            review = form.get_by_role("button", name="Review and save")
            review.click()
            expect(form.get_by_text("This must be given.")).to_be_visible()
            form.get_by_label("self_id").fill("10009")
            expect(form.get_by_text("new-token-")).to_be_visible()
            form.get_by_role("button", name="Copy: access_token").click()
            visit.wait_for("window.copied === 'new-token-abcdefghijklmnopqrstuvw'")
            self.clean(visit)
            review.click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.new", has_text="self_id = 10009")).to_be_visible()
            dialog.get_by_role("button", name="Save", exact=True).click()
            expect(dialog.get_by_text("Saved.")).to_be_visible()
            expect(dialog.locator("pre")).to_contain_text('"token": "new-token-abcdefghijklmnopqrstuvw"')
            self.clean(visit)
            for name, key in (
                ("NapCat", "websocketClients"),
                ("LLBot", "ws-reverse"),
                ("Lagrange", "ReverseWebSocket"),
            ):
                dialog.get_by_role("tab", name=name).click()
                expect(dialog.locator("pre")).to_contain_text(key)
                dialog.get_by_role("button", name=re.compile("^Copy")).click()
                visit.wait_for("key => window.copied.includes(key)", argument=key)
                self.assertEqual(json.loads(page.evaluate("window.copied")), documented(key))
            dialog.get_by_role("button", name="Done").click()
            new = 'type = "reverse-websocket"\naccess_token = "new-token-abcdefghijklmnopqrstuvw"\n'
            self.assertIn(f"[[accounts]]\nself_id = 10009\n{new}", self.file.text)
            account = card(page, "Account 10009")
            account.get_by_text("What to set on the other side").click()
            expect(account.locator("pre")).to_contain_text("new-token-abcdefghijklmnopqrstuvw")
            visit.allowed.append(FAILED_REQUESTS)  # what was asked for while it logged out
            page.get_by_role("button", name="Log out").click()
            page.get_by_label("Admin token").fill(TOKEN)
            page.keyboard.press("Enter")
            page.get_by_role("link", name="Configuration").click()
            account = card(page, "Account 10009")
            account.get_by_text("What to set on the other side").click()
            expect(account.locator("pre")).to_contain_text("token-goes-here")

        return self.look(script, width=NARROW, language="en-US")

    def test_another_kind_and_removal(self) -> Deferred[Any]:
        """Keys that another kind does not have are taken out; an entry is removed after one question."""

        def script(visit: Visit, page: Page) -> None:
            account = card(page, "账号 10002")
            account.get_by_label("type").select_option("")  # the default: a sandbox
            expect(account.get_by_label("world")).to_be_visible()
            account.get_by_label("type").select_option("sandbox")
            account.get_by_role("button", name="查看改动并保存").click()
            dialog = page.get_by_role("dialog")
            old = dialog.locator(".diff-line.old")
            expect(old.filter(has_text="reverse-websocket")).to_have_count(1)
            expect(old.filter(has_text="access_token").first).to_be_visible()
            dialog.get_by_role("button", name="取消").click()
            account.get_by_role("button", name="放弃修改").click()
            account.locator(".entry-head").click()
            account = card(page, "账号 10001")
            account.get_by_role("button", name="删除").click()
            expect(dialog.locator(".diff-line.old", has_text='type = "sandbox"')).to_be_visible()
            dialog.get_by_role("button", name="保存").click()
            dialog.get_by_role("button", name="完成").click()
            expect(page.get_by_role("article", name="账号 10001")).to_have_count(0)
            self.assertNotIn("sandbox", self.file.text)

        return self.look(script)

    def test_other_tables(self) -> Deferred[Any]:
        """Limits and the like are forms too, with their defaults; a key that is emptied is taken out."""

        def script(visit: Visit, page: Page) -> None:
            tab(page, "Settings")
            page.get_by_text("Limits").click()
            field = page.get_by_label("action_timeout")
            expect(field).to_have_value("60s")
            calls = page.get_by_label("calls", exact=True)
            expect(calls).to_have_attribute("placeholder", "default 1000")
            expect(page.get_by_text("calls in flight")).to_be_visible()
            field.fill("")
            calls.fill("50")
            self.clean(visit)
            page.locator("details[open]", has=calls).get_by_role("button", name="Review and save").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.new", has_text="calls = 50")).to_be_visible()
            dialog.get_by_role("button", name="Save", exact=True).click()
            dialog.get_by_role("button", name="Done").click()
            self.assertIn("[limits]\ncalls = 50\n", self.file.text)

        return self.look(script, width=NARROW, language="en-US", dark=True)

    def test_read_only(self) -> Deferred[Any]:
        """Where the file cannot be written it is said why, and there is a block to copy."""

        def script(visit: Visit, page: Page) -> None:
            self.file.why_not = {"code": "strange", "args": {}, "sentence": f"read-only {HOSTILE}"}
            page.reload()
            page.evaluate(CLIPBOARD)
            expect(page.get_by_text("这里不能写入配置文件：read-only <img")).to_be_visible()
            account = card(page, "账号 10001")
            account.get_by_label("self_id").fill("10005")
            account.get_by_role("button", name="查看改动并保存").click()
            visit.allowed.append(FAILED_REQUESTS)
            dialog = page.get_by_role("dialog")
            dialog.get_by_role("button", name="保存").click()
            expect(dialog).to_contain_text("不能写入配置文件：read-only <img")
            expect(dialog.locator("pre")).to_contain_text('name = "x"')
            self.clean(visit)
            dialog.get_by_role("button", name=re.compile("复制")).click()
            visit.wait_for("(window.copied || '').startsWith('[[bots]]')")

        return self.look(script)

    def test_the_tab_is_in_the_address(self) -> Deferred[Any]:
        """A reload stays on the tab in view, and Back goes to the one before."""

        def script(visit: Visit, page: Page) -> None:
            tab(page, "机器人")
            tab(page, "备份")
            page.reload()
            expect(page.get_by_role("tab", selected=True)).to_have_text("备份")
            page.go_back()
            expect(page.get_by_role("tab", selected=True)).to_have_text("机器人")
            page.get_by_role("link", name="总览").click()
            page.wait_for_selector("main.page-overview")
            page.get_by_role("link", name="配置").click()
            expect(page.get_by_role("tab", selected=True)).to_have_text("机器人")

        return self.look(script)

    def test_unsaved_stays(self) -> Deferred[Any]:
        """What is not saved is there again after a look at another page, and leaving asks."""

        def script(visit: Visit, page: Page) -> None:
            account = card(page, "账号 10001")
            account.get_by_label("world").fill("w.json")
            tab(page, "文件")
            page.locator(".editor textarea").press("End")
            page.locator(".editor textarea").press_sequentially("#mine")
            page.get_by_role("link", name="总览").click()
            page.wait_for_selector("main.page-overview")
            page.get_by_role("link", name="配置").click()
            expect(page.locator(".editor textarea")).to_have_value(re.compile("#mine"))
            tab(page, "账号")
            expect(page.get_by_label("world")).to_have_value("w.json")
            asked: list[str] = []

            def answer(dialog: Any) -> None:
                asked.append(dialog.type)
                dialog.accept()

            page.on("dialog", answer)
            page.reload()
            page.wait_for_selector("main.page-configuration")
            self.assertEqual(asked, ["beforeunload"])

        return self.look(script)


class FileTests(ConfigurationTestCase):
    def test_mistakes_while_typing(self) -> Deferred[Any]:
        """A mistake is marked at its line while one types; a press on it goes there; it cannot be saved."""

        def script(visit: Visit, page: Page) -> None:
            tab(page, "文件")
            area = page.locator(".editor textarea")
            expect(area).to_have_value(self.file.masked())
            expect(page.get_by_text("没有错误。")).to_be_visible()
            area.fill(area.input_value().replace("[limits]\n", "accnts = 1\n[limits]\n"))
            expect(page.locator(".gutter-line.wrong")).to_have_text("! 26")
            mistake = page.get_by_role("button", name="unknown key <b>accnts</b>")
            expect(mistake).to_contain_text("26:1")
            expect(page.get_by_role("button", name="查看改动并保存")).to_be_disabled()
            self.clean(visit)
            mistake.click()
            expect(area).to_be_focused()
            at = page.evaluate("document.activeElement.selectionStart")
            self.assertEqual(at, area.input_value().index("accnts"))
            area.fill(area.input_value().replace("accnts = 1\n", "").replace('"60s"', '"61s"'))
            expect(page.locator(".gutter-line.wrong")).to_have_count(0)
            page.get_by_role("button", name="查看改动并保存").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.new")).to_have_count(1)
            dialog.get_by_role("button", name="保存").click()
            dialog.get_by_role("button", name="完成").click()
            self.assertIn('action_timeout = "61s"', self.file.text)
            self.assertIn("secret-of-napcat", self.file.text)
            expect(page.get_by_text("未保存")).to_have_count(0)

        return self.look(script)

    def test_begin_anew(self) -> Deferred[Any]:
        """A file that changes on the disk is told of while one types, and can be begun anew."""

        def script(visit: Visit, page: Page) -> None:
            tab(page, "文件")
            area = page.locator(".editor textarea")
            expect(area).to_have_value(self.file.masked())
            area.fill(area.input_value() + "# mine\n")
            self.file.text += "# theirs\n"
            page.evaluate("window.dispatchEvent(new Event('focus'))")
            page.get_by_role("button", name="对比两个版本").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.new")).to_contain_text("# mine")
            dialog.get_by_role("button", name="从新文件重新开始").click()
            expect(area).to_have_value(re.compile("# theirs\n$"))
            expect(page.get_by_text("未保存")).to_have_count(0)
            self.file.text += "# more\n"
            page.evaluate("window.dispatchEvent(new Event('focus'))")
            expect(page.get_by_text("文件刚被别处改过，已显示新的内容。")).to_be_visible()
            expect(area).to_have_value(re.compile("# more\n$"))

        def allowed(visit: Visit, page: Page) -> None:
            visit.allowed.append(FAILED_REQUESTS)
            script(visit, page)

        return self.look(allowed)

    def test_form_begins_anew(self) -> Deferred[Any]:
        """A form whose file was changed meanwhile makes its change in the new file."""

        def script(visit: Visit, page: Page) -> None:
            account = card(page, "账号 10001")
            account.get_by_label("world").fill("w.json")
            account.get_by_role("button", name="查看改动并保存").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".diff-line.new")).to_have_count(1)
            self.file.text += "# theirs\n"
            visit.allowed.append(FAILED_REQUESTS)
            dialog.get_by_role("button", name="保存").click()
            dialog.get_by_role("button", name="在新文件上重做").click()
            expect(dialog.locator(".diff-line.new")).to_have_count(1)
            dialog.get_by_role("button", name="保存").click()
            dialog.get_by_role("button", name="完成").click()
            self.assertIn('world = "w.json"', self.file.text)
            self.assertIn("# theirs\n", self.file.text)

        return self.look(script)


class OverviewTests(ConfigurationTestCase):
    def test_add_who_was_refused(self) -> Deferred[Any]:
        """Two presses add who was refused; the new token is shown once, in what the other side is given."""

        def script(visit: Visit, page: Page) -> None:
            page.get_by_role("button", name="添加账号 40004").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_role("button", name="保存").click()
            expect(dialog).to_contain_text("最后一步")
            expect(dialog.locator("pre")).to_contain_text('"token": "new-token-abcdefghijklmnopqrstuvw"')
            self.clean(visit)
            self.assertIn("POST reload", self.backend.requests)
            token = 'access_token = "new-token-abcdefghijklmnopqrstuvw"\n'
            self.assertIn(
                f'[[accounts]]\ntype = "reverse-websocket"\nself_id = 40004\n{token}', self.file.text
            )
            dialog.get_by_role("button", name="完成").click()
            expect(dialog).to_have_count(0)
            self.assertNotIn("new-token", page.content())

        return self.look(script, page="overview")

    def test_the_first_account(self) -> Deferred[Any]:
        """The sandbox account that is there without being configured stays when the first one is added."""
        self.file.text = 'data_dir = "d"\n'

        def script(visit: Visit, page: Page) -> None:
            page.get_by_role("button", name="添加账号 40004").click()
            dialog = page.get_by_role("dialog")
            expect(dialog).to_contain_text("现在有一个沙盒账号 10001")
            dialog.get_by_role("button", name="保存").click()
            expect(dialog).to_contain_text("最后一步")
            self.assertIn('[[accounts]]\ntype = "sandbox"\nself_id = 10001\n', self.file.text)
            self.assertIn("self_id = 40004\n", self.file.text)

        return self.look(script, page="overview")

    def test_not_where_it_cannot_be_written(self) -> Deferred[Any]:
        """Where the file cannot be written there is the block alone."""
        self.file.why_not = {"code": "strange", "args": {}, "sentence": "read-only"}

        def script(visit: Visit, page: Page) -> None:
            expect(page.get_by_text("self_id = 40004")).to_be_visible()
            visit.wait_for("performance.getEntriesByType('resource').some(e => e.name.endsWith('/config'))")
            expect(page.get_by_role("button", name="添加账号 40004")).to_have_count(0)

        return self.look(script, page="overview")


class BackupTests(ConfigurationTestCase):
    def test_backup(self) -> Deferred[Any]:
        """Without secrets it is a link; with them the token is asked for, and goes in the body."""

        def script(visit: Visit, page: Page) -> None:
            tab(page, "Backup")
            link = page.get_by_role("link", name="Download without tokens")
            self.assertTrue(str(link.get_attribute("href")).endswith("/api/backup?secrets=0"))
            self.clean(visit)
            page.get_by_role("button", name="Download with tokens").click()
            visit.allowed.append(FAILED_REQUESTS)
            field = page.get_by_label("Admin token")
            field.fill("wrong")
            field.press("Enter")
            expect(page.get_by_role("alert").first).to_be_visible()
            field.fill(TOKEN)
            with page.expect_download() as download:
                field.press("Enter")
            self.assertEqual(download.value.suggested_filename, "lgtwist-backup.zip")
            expect(page.get_by_text("The backup is downloaded.")).to_be_visible()
            self.assertFalse(any(TOKEN in request for request in self.backend.requests))

        return self.look(script, width=NARROW, language="en-US")
