"""Alerts in a real browser, with the real service and a receiver of ours: from nothing to a message."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, Visit
from tests.console.real_service import BOTS, ConsoleTestCase
from tests.integration.test_alert_test import Receivers

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import expect

KEY = "key-in-the-url-0123456789"


class RealAlertsTests(ConsoleTestCase):
    toml = f"# alerts of a test of their own\n{BOTS}"
    shared = False

    def test_from_nothing_to_a_message(self) -> Deferred[Any]:
        """An entry is added by the form, a test arrives, and its secrets are never sent to the page again."""
        receivers = Receivers()
        self.addCleanup(receivers.end)
        host = f"127.0.0.1:{receivers.server_address[1]}"
        answers: list[str] = []

        def script(visit: Visit) -> None:
            page = visit.page
            page.get_by_label("发到哪里").select_option("webhook")
            page.get_by_role("button", name="添加告警").click()
            form = page.get_by_role("article", name="添加告警")
            for name, text in (("url", f"http://{host}/one?key={KEY}"), ("secret", f"secret-{KEY}")):
                group = form.get_by_role("group", name=name, exact=True)
                group.get_by_role("button", name="自己填").click()
                group.get_by_role("textbox").fill(text)
            form.get_by_text("更多").click()
            form.get_by_label("template", exact=True).fill('{"content": "{text}", "who": {account}}')
            form.get_by_role("button", name="查看改动并保存").click()
            dialog = page.get_by_role("dialog")
            expect(dialog).to_contain_text("[[alerts]]")
            self.assertNotIn(KEY, dialog.inner_text())
            dialog.get_by_role("button", name="保存", exact=True).click()
            expect(dialog).to_contain_text("已重新加载")
            dialog.get_by_role("button", name="完成").click()
            page.on("response", lambda answer: answers.append(answer.url))
            entry = page.get_by_role("article", name="告警第 1 项（Webhook）")
            entry.get_by_role("button", name="第 1 项").click()
            expect(entry.get_by_role("group", name="url", exact=True)).to_contain_text("已设置")
            self.assertNotIn(KEY, page.content())
            self.assertEqual(visit.barriers(), [])
            entry.get_by_role("link", name="测试和最近的通知").click()
            card = page.get_by_role("article").filter(has_text=host)
            card.get_by_role("button", name="发一条测试").click()
            expect(card.locator(".alert-outcome")).to_contain_text("已送达")
            expect(page.locator(".alert-delivery")).to_have_count(1)
            expect(page.locator(".alert-delivery")).to_contain_text("[lgtwist] 测试消息")
            self.assertNotIn(KEY, page.content())
            # Changed in place: nothing else is lost, and the masks stand for what they stood for.
            card.get_by_role("link", name="修改第 1 项").click()
            entry.get_by_label("after").fill("30s")
            entry.get_by_role("button", name="查看改动并保存").click()
            dialog.get_by_role("button", name="保存", exact=True).click()
            expect(dialog).to_contain_text("alerts[0]")
            dialog.get_by_role("button", name="完成").click()

        def check(_result: Any) -> None:
            [(path, headers, body)] = receivers.received
            self.assertEqual(path, f"/one?key={KEY}")
            self.assertIn("X-Signature", headers)
            self.assertIn("lgtwist", json.loads(body)["content"])
            saved = self.service.config_path.read_text()
            self.assertIn(f'url = "http://{host}/one?key={KEY}"', saved)
            self.assertIn('after = "30s"', saved)
            self.assertNotIn(KEY, self.service.log())
            [entry] = self.service.api("alerts")["entries"]
            self.assertEqual((entry["after"], entry["host"]), (30.0, host))

        return self.look("alerts", script, width=NARROW).addCallback(check)
