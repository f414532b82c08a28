"""The page of live traffic in a real browser, with the real service."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, Visit
from tests.console.real_service import ConsoleTestCase
from tests.integration.rawclient import RawClient, masked_frame

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Locator, Page, expect

ALICE, BOB, CAROL, GROUP = 20001, 20002, 20003, 30001
HOSTILE = "<img src=x onerror=alert(1)></script>\u202egnp.exe"


def rows(page: Page) -> Locator:
    return page.locator(".traffic-row")


class TrafficTestCase(ConsoleTestCase):
    def wait_for_stream(self, visit: Visit, text: str = '"topic":"traffic"') -> None:
        """Wait until the service watches for this page; what happens before is not shown."""
        self.wait_subscribed(visit, text)


class TrafficTests(TrafficTestCase):
    def test_events_and_actions(self) -> Deferred[Any]:
        """What is said is a row; an action is one row, with its answer and the time that it took."""

        def script(visit: Visit) -> None:
            page = visit.page
            expect(page.get_by_text("还没有消息经过")).to_be_visible()
            expect(page.get_by_role("link", name="去沙盒说句话")).to_have_attribute("href", "#/sandbox")
            self.wait_for_stream(visit)
            image = {"type": "image", "data": {"file": "base64://R0lGODlhAQABAAAAACw="}}
            self.service.say(ALICE, [{"type": "text", "data": {"text": "你好"}}, image], GROUP)
            expect(rows(page)).to_have_count(1)
            row = rows(page).first
            for text in ("群消息", "10001", "Alice", f"({ALICE})", f"群 {GROUP}", "你好", "[图片]"):
                expect(row).to_contain_text(text)
            self.service.http("/sandbox/10001/poke", {"user_id": BOB, "group_id": GROUP, "target_id": 10001})
            expect(rows(page).first).to_contain_text("戳一戳")
            self.service.http("/sandbox/10001/ask", {"user_id": CAROL, "comment": "是我"})
            expect(rows(page).first).to_contain_text("想加好友")
            self.assertEqual(self.service.call_action("get_status")["status"], "ok")
            action = page.locator(".traffic-row.action")
            expect(action).to_have_count(1)
            for text in ("调用", "helper", "get_status", "成功"):
                expect(action).to_contain_text(text)
            expect(action).to_contain_text(re.compile(r"\d ms"))
            self.service.call_action("set_group_kick", group_id=5, user_id=6)
            expect(action.first).to_contain_text("失败")
            expect(action.first).to_contain_text("the account is in no group 5")
            expect(page.get_by_text("显示 5 条，收到 5 条")).to_be_visible()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(page), [])
            heartbeat = {"post_type": "meta_event", "meta_event_type": "heartbeat", "interval": 5000}
            self.service.inject(heartbeat)
            page.wait_for_timeout(800)  # more than the stream and the painting take
            self.assertEqual(page.locator(".traffic-row.meta").count(), 0)
            page.get_by_role("button", name="心跳等元事件").click()
            self.wait_for_stream(visit, '"meta"')
            self.service.inject(heartbeat)
            expect(page.locator(".traffic-row.meta").first).to_contain_text("心跳")

        return self.look("traffic", script)

    def test_the_whole_json(self) -> Deferred[Any]:
        """A row opens, by the keyboard too, with all of its JSON; an action goes to the tester from there."""

        def script(visit: Visit) -> None:
            page = visit.page
            self.wait_for_stream(visit)
            self.service.call_action("get_group_info", group_id=GROUP)
            row = rows(page).first
            row.focus()
            page.keyboard.press("Enter")
            dialog = page.get_by_role("dialog")
            for text in ("get_group_info", "Parameters", "Response", '"Playground"', "bot helper"):
                expect(dialog).to_contain_text(text)
            page.keyboard.press("Escape")
            expect(dialog).to_have_count(0)
            visit.wait_for("document.activeElement.classList.contains('traffic-row')")
            row.click()
            page.get_by_role("button", name="Send again in Actions").click()
            expect(page.get_by_role("combobox", name="Action")).to_have_value("get_group_info")
            expect(page.get_by_role("textbox", name="group_id")).to_have_value(str(GROUP))
            page.get_by_role("button", name="Send", exact=True).click()
            expect(page.locator(".answer")).to_contain_text("It worked.")

        return self.look("traffic", script, width=NARROW, language="en-US", dark=True)

    def test_filters(self) -> Deferred[Any]:
        """The filter is the server's, keeps what matches it, and is kept for the tab."""

        def script(visit: Visit) -> None:
            page = visit.page
            self.wait_for_stream(visit)
            self.service.say(ALICE, "apple")
            self.service.say(BOB, "pear", GROUP)
            self.service.call_action("get_status")
            expect(rows(page)).to_have_count(3)
            text = page.get_by_label("文字")
            text.fill("PEAR")
            expect(rows(page)).to_have_count(1)
            self.wait_for_stream(visit, '"text":"PEAR"')
            self.service.say(BOB, "an apple")
            self.service.say(BOB, "x" * 3000 + "pear")  # beyond what a row shows
            expect(rows(page)).to_have_count(2)
            rows(page).last.click()  # the row of the filter before can still be opened
            expect(page.get_by_role("dialog").locator(".json")).to_contain_text('"pear"')
            page.keyboard.press("Escape")
            page.reload()
            expect(text).to_have_value("PEAR")
            page.get_by_role("region", name="筛选").get_by_role("button", name="清除筛选").click()
            expect(text).to_have_value("")
            messages = page.get_by_role("button", name="消息", exact=True)
            expect(messages).to_have_attribute("aria-pressed", "true")
            messages.click()
            expect(messages).to_have_attribute("aria-pressed", "false")
            page.get_by_label("群号").fill("x1")
            expect(page.get_by_text("只能是数字")).to_be_visible()
            page.get_by_label("群号").fill("")
            page.get_by_label("机器人").select_option("reader")
            self.wait_for_stream(visit, '"bot":"reader"')
            self.service.say(ALICE, "not shown")
            self.service.call_action("get_status")
            page.wait_for_timeout(800)  # more than the stream and the painting take
            expect(page.get_by_text("还没有符合筛选条件的内容")).to_be_visible()
            page.get_by_label("机器人").select_option("helper")
            self.wait_for_stream(visit, '"bot":"helper"')
            self.service.call_action("get_login_info")
            expect(rows(page)).to_have_count(1)
            expect(rows(page)).to_contain_text("get_login_info")

        return self.look("traffic", script)

    def test_pause_clear_export(self) -> Deferred[Any]:
        """While paused nothing is kept but its number; what is shown can be cleared, and saved."""

        def script(visit: Visit) -> None:
            page = visit.page
            self.wait_for_stream(visit)
            self.service.say(ALICE, "before")
            expect(rows(page)).to_have_count(1)
            page.get_by_role("button", name="Pause").click()
            for _ in range(3):
                self.service.say(ALICE, "meanwhile")
            expect(page.get_by_text("Paused; 3 left out.")).to_be_visible()
            expect(rows(page)).to_have_count(1)
            page.get_by_role("button", name="Resume").click()
            expect(page.get_by_text("3 left out while paused")).to_be_visible()
            self.service.say(BOB, "after")
            expect(rows(page)).to_have_count(2)
            with page.expect_download() as download:
                page.get_by_role("button", name="Export JSON").click()
            saved = json.loads(Path(download.value.path()).read_text("utf-8"))
            self.assertEqual([row["parts"] for row in saved], [[["text", "before"]], [["text", "after"]]])
            page.get_by_role("button", name="Clear").click()
            expect(page.get_by_text("Nothing has passed yet")).to_be_visible()

        return self.look("traffic", script, width=NARROW, language="en-US")

    def test_too_many(self) -> Deferred[Any]:
        """Of a flood a part is shown, and a line says how much is missing."""

        def script(visit: Visit) -> None:
            page = visit.page
            self.wait_for_stream(visit)
            one = masked_frame(b'{"action": "get_login_info"}')
            # At once: a second has room for 100 rows, however slow the machine is.
            with RawClient(self.service, "/api", glued=one * 600) as bot:
                expect(page.get_by_text(re.compile(r"略过了 \d+ 条：太多"))).not_to_have_count(0)
                visit.wait_for("document.querySelectorAll('.traffic-row').length > 90")
                expect(page.get_by_role("log")).to_have_attribute("aria-live", "off")
                for _ in range(600):
                    bot.response()
            self.assertLessEqual(rows(page).count(), 300)

        return self.look("traffic", script)

    def test_hidden_contents(self) -> Deferred[Any]:
        """For a shared screen contents and names are hidden, in the rows and in what they open."""

        def script(visit: Visit) -> None:
            page = visit.page
            self.wait_for_stream(visit)
            self.service.say(ALICE, "a secret plan")
            expect(rows(page)).to_contain_text("Alice")
            page.get_by_label("Hide contents").check()
            expect(rows(page)).to_contain_text("contents hidden")
            expect(page.get_by_text("a secret plan")).to_have_count(0)
            expect(page.get_by_text("Alice")).to_have_count(0)
            rows(page).click()
            dialog = page.get_by_role("dialog")
            expect(dialog).to_contain_text("Contents and names are hidden now.")
            page.wait_for_timeout(300)  # what would come late
            self.assertNotIn("secret plan", dialog.inner_text())
            page.get_by_role("button", name="Show this one").click()
            expect(dialog.locator(".json")).to_contain_text("a secret plan")

        return self.look("traffic", script, width=NARROW, language="en-US", dark=True)

    def test_hostile_text(self) -> Deferred[Any]:
        """Names and messages are text, whatever is in them, and stay in their box."""

        def script(visit: Visit) -> None:
            page = visit.page
            self.wait_for_stream(visit)
            card = {"user_id": BOB, "group_id": GROUP, "card": HOSTILE}
            self.assertEqual(self.service.http("/sandbox/10001/card", card)[0], 200)
            self.service.say(BOB, [{"type": "text", "data": {"text": HOSTILE}}], GROUP)
            self.service.say(BOB, [{"type": "text", "data": {"text": "长" * 100_000}}], GROUP)
            self.service.call_action("send_group_msg", group_id=GROUP, message=HOSTILE)
            first = page.locator(".traffic-row.message").last
            expect(first.locator(".traffic-sender")).to_contain_text(HOSTILE[:36])
            expect(first.locator(".traffic-parts")).to_have_text(HOSTILE)
            expect(page.locator(".traffic-row.message").first).to_contain_text("长长长")
            self.assertEqual(page.locator("main img, main script").count(), 0)
            visit.check()
            page.locator(".traffic-row.message").first.click()
            expect(page.get_by_role("dialog")).to_contain_text("too large (586 KB)")
            page.keyboard.press("Escape")
            self.service.say(BOB, [{"type": "text", "data": {"text": "长" * 30_000}}], GROUP)
            expect(page.locator(".traffic-row.message")).to_have_count(3)
            page.locator(".traffic-row.message").first.click()
            expect(page.get_by_role("dialog").locator(".json")).to_contain_text("长长长")
            self.assertEqual(page.locator("dialog img").count(), 0)
            box = page.get_by_role("dialog").bounding_box()
            assert box is not None
            self.assertLessEqual(box["x"] + box["width"], NARROW)

        return self.look("traffic", script, width=NARROW, language="en-US")


class RestartTests(TrafficTestCase):
    shared = False

    def test_a_restart(self) -> Deferred[Any]:
        """After a restart it goes on by itself; a row of before says that its JSON is gone."""

        def script(visit: Visit) -> None:
            page = visit.page
            visit.allowed += [r"Failed to load resource", r"ERR_"]
            self.wait_for_stream(visit)
            self.service.say(ALICE, "before")
            expect(rows(page)).to_have_count(1)
            self.service.kill()
            page.wait_for_timeout(100)  # what was said of requests before it reaches us
            self.subscribed.clear()
            self.service.start()
            self.wait_for_stream(visit)
            self.service.say(ALICE, "after")
            expect(rows(page)).to_have_count(2)
            rows(page).last.click()
            expect(page.get_by_text("完整内容已经不在了")).to_be_visible()
            expect(page.get_by_role("dialog").locator(".json")).to_contain_text("before")

        return self.look("traffic", script)
