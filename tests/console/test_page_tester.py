"""The page of the action tester in a real browser, with the real service."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, Visit
from tests.console.real_service import TOKEN, ConsoleTestCase, wait_until
from tests.integration.rawclient import RawClient

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Page, expect

ALICE, BOB, GROUP = 20001, 20002, 30001
HOSTILE = "<img src=x onerror=alert(1)></script>\u202egnp.exe"
#: What "copy" puts on the clipboard is read from here: a page without permission may not read it.
CLIPBOARD = """navigator.clipboard.writeText = async (text) => { window.copied = text; }"""


def choose(page: Page, action: str, name: str = "动作") -> None:
    """Choose an action by its name, with the keyboard."""
    field = page.get_by_role("combobox", name=name, exact=True)
    field.fill(action)
    field.press("ArrowDown")
    field.press("Enter")


class TesterTests(ConsoleTestCase):
    def test_form(self) -> Deferred[Any]:
        """An action is found by its words, filled in, sent by a key, and answered in words and in JSON."""

        def script(visit: Visit) -> None:
            page = visit.page
            action = page.get_by_role("combobox", name="动作", exact=True)
            action.fill("发送 私聊或群")
            page.get_by_role("option", name=re.compile("^send_msg ")).click()
            expect(action).to_have_value("send_msg")
            send = page.get_by_role("button", name="发送", exact=True)
            send.click()
            message = page.get_by_role("textbox", name=re.compile("^message"))
            expect(message).to_have_attribute("aria-invalid", "true")
            message.fill("你好")
            expect(page.get_by_text("按文字发送")).to_be_visible()
            page.get_by_role("textbox", name="user_id").fill("abc")
            expect(page.get_by_text("要填数字")).to_be_visible()
            expect(send).to_be_disabled()
            page.get_by_role("textbox", name="user_id").fill(str(ALICE))
            page.keyboard.press("Control+Enter")
            answer = page.locator(".answer")
            for text in ("成功", "retcode 0", "成功。", "message_id"):
                expect(answer).to_contain_text(text)
            expect(answer).to_contain_text(re.compile(r"\d ms"))
            said = self.service.http("/sandbox/10001/transcript")[1]["messages"][-1]
            self.assertEqual((said["user_id"], said["raw_message"]), (10001, "你好"))
            message.fill(
                '[{"type": "text", "data": {"text": "两段"}}, {"type": "face", "data": {"id": "14"}}]'
            )
            expect(page.get_by_text("按消息段发送（2 段）")).to_be_visible()
            page.keyboard.press("Control+Enter")
            expect(page.locator(".history-entry")).to_have_count(2)
            said = self.service.http("/sandbox/10001/transcript")[1]["messages"][-1]
            self.assertEqual([part["type"] for part in said["message"]], ["text", "face"])
            message.fill('[{"type": "text"')
            expect(page.get_by_text("像是消息段，但不是正确的 JSON")).to_be_visible()
            expect(send).to_be_disabled()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(page), [])

        return self.look("tester", script)

    def test_json(self) -> Deferred[Any]:
        """The form and JSON say the same; wrong JSON is told at its place; unknown actions are JSON."""

        def script(visit: Visit) -> None:
            page = visit.page
            field = page.get_by_role("combobox", name="Action", exact=True)
            field.fill("x")
            page.get_by_label("Parameters (a JSON object)").fill(
                '{"user_id": 20001, "message": "hi", "mine": 1}'
            )
            choose(page, "send_private_msg", "Action")  # what was written before stays
            expect(page.get_by_role("textbox", name=re.compile("^user_id"))).to_have_value("20001")
            expect(page.get_by_text("mine")).to_be_visible()
            choose(page, "get_status", "Action")
            choose(page, "get_group_member_info", "Action")
            page.get_by_role("textbox", name="group_id").fill("12345678901234567890")
            page.get_by_role("textbox", name="user_id").fill(str(BOB))
            page.get_by_role("tab", name="JSON").click()
            text = page.get_by_label("Parameters (a JSON object)")
            expect(text).to_have_value('{\n  "group_id": 12345678901234567890,\n  "user_id": 20002\n}')
            text.fill('{\n "group_id": 30001, "user_id": 20002,\n "mine": [1, }')
            expect(page.get_by_text(re.compile(r"Not valid JSON \(line:column 3:1\d\)"))).to_be_visible()
            send = page.get_by_role("button", name="Send", exact=True)
            expect(send).to_be_disabled()
            page.get_by_role("tab", name="Form").click()
            expect(text).to_be_visible()  # what is wrong is not lost
            text.fill("[1]")
            expect(page.get_by_text("A JSON object { } is expected")).to_be_visible()
            text.fill('{"group_id": 30001, "user_id": 20002, "mine": {"a": [1]}}')
            page.get_by_role("tab", name="Form").click()
            expect(page.get_by_role("textbox", name="group_id")).to_have_value("30001")
            expect(page.get_by_text("mine")).to_be_visible()
            page.get_by_role("textbox", name="group_id").fill(str(GROUP))
            send.click()
            expect(page.locator(".answer")).to_contain_text('"Bob"')
            choose(page, "no_such_action", "Action")
            expect(page.get_by_text("Not in the catalogue; it is sent as it is")).to_be_visible()
            page.get_by_label("Parameters (a JSON object)").fill('{"a": 1}')
            send.click()
            for words in ("retcode 1404", "There is no such action."):
                expect(page.locator(".answer")).to_contain_text(words)

        return self.look("tester", script, width=NARROW, language="en-US", dark=True)

    def test_dangerous_actions_ask(self) -> Deferred[Any]:
        """Before somebody is kicked the action and the account are named, once; saying no sends nothing."""

        def script(visit: Visit) -> None:
            page = visit.page
            members = f"/sandbox/10001/groups/{GROUP}"
            choose(page, "set_group_kick")
            page.get_by_role("textbox", name=re.compile("^group_id")).fill(str(GROUP))
            page.get_by_role("textbox", name=re.compile("^user_id")).fill(str(BOB))
            page.keyboard.press("Control+Enter")
            dialog = page.get_by_role("dialog")
            for text in ("set_group_kick", "10001"):
                expect(dialog).to_contain_text(text)
            dialog.get_by_role("button", name="取消").click()
            expect(page.locator(".history-entry")).to_have_count(0)
            page.get_by_role("button", name="发送", exact=True).click()
            dialog.get_by_role("button", name="发送").click()
            expect(page.locator(".answer")).to_contain_text("成功。")
            there = self.service.call_action("get_group_member_list", group_id=GROUP)["data"]
            self.assertNotIn(BOB, [member["user_id"] for member in there], members)

        return self.look("tester", script)

    def test_rights(self) -> Deferred[Any]:
        """Whether a bot may do it is told with the rule, and nothing is sent."""

        def script(visit: Visit) -> None:
            page = visit.page
            choose(page, "set_group_name", "Action")
            page.get_by_label("As bot").select_option("reader")
            page.get_by_role("button", name="Check", exact=True).click()
            result = page.locator(".rights-result")
            expect(result).to_contain_text("No")
            expect(result).to_contain_text("Forbidden by set_* of deny")
            page.get_by_label("As bot").select_option("helper")
            expect(result).to_have_count(0)
            page.get_by_role("button", name="Check", exact=True).click()
            expect(result).to_contain_text("Yes")
            expect(result).to_contain_text("Its actions are not restricted")
            info = self.service.call_action("get_group_info", group_id=GROUP)
            self.assertEqual(info["data"]["group_name"], "Playground")
            expect(page.locator(".history-entry")).to_have_count(0)

        return self.look("tester", script, width=NARROW, language="en-US")

    def test_history(self) -> Deferred[Any]:
        """The last 20 are kept, over a reload too, without secrets; a press fills the fields again."""

        def script(visit: Visit) -> None:
            page = visit.page
            choose(page, "my_action")
            text = page.get_by_label("参数（JSON 对象）")
            for number in range(21):
                text.fill(
                    json.dumps({"n": number, "access_token": "S3cret", "in": {"Cookies": "S3cret", "b": 1}})
                )
                page.keyboard.press("Control+Enter")
                expect(page.locator(".history-entry").first).to_contain_text(f'"n":{number},')
            expect(page.locator(".history-entry")).to_have_count(20)
            kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
            self.assertNotIn("S3cret", kept)
            self.assertNotIn(TOKEN, kept)
            page.reload()
            page.locator(".history-entry").nth(2).click()
            expect(page.get_by_role("combobox", name="动作", exact=True)).to_have_value("my_action")
            expect(text).to_have_value(re.compile('"n": 18'))
            self.assertEqual(json.loads(text.input_value()), {"n": 18, "in": {"b": 1}})
            page.get_by_role("button", name="清除").click()
            expect(page.get_by_text("还没有发送过。")).to_be_visible()

        return self.look("tester", script)

    def test_copies(self) -> Deferred[Any]:
        """What is copied for a shell and for Python does the same, with the token of the environment."""

        def script(visit: Visit) -> None:
            page = visit.page
            page.evaluate(CLIPBOARD)
            choose(page, "send_private_msg", "Action")
            page.get_by_role("textbox", name=re.compile("^user_id")).fill(str(ALICE))
            for name, command in (("curl", ["sh", "-c"]), ("Python", [sys.executable, "-c"])):
                message = f"it's {name} $HOME `x` \\ \"{HOSTILE}"
                page.get_by_role("textbox", name=re.compile("^message")).fill(message)
                page.evaluate("window.copied = ''")
                page.get_by_role("button", name=name, exact=True).click()
                expect(page.get_by_text("Copied").first).to_be_visible()
                copied = visit.wait_for("window.copied")
                self.assertNotIn(TOKEN, copied)
                self.assertNotIn("\u202e", copied)
                run = subprocess.run(
                    [*command, copied], capture_output=True, timeout=20, env={**os.environ, "TOKEN": TOKEN}
                )
                self.assertEqual(json.loads(run.stdout)["response"]["retcode"], 0, run.stderr)
                said = self.service.http("/sandbox/10001/transcript")[1]["messages"][-1]
                self.assertEqual(said["message"][0]["data"]["text"], message)

        return self.look("tester", script, width=NARROW, language="en-US")

    def test_hostile_text(self) -> Deferred[Any]:
        """Names and answers are text, whatever is in them, and stay in their box."""

        def script(visit: Visit) -> None:
            page = visit.page
            self.service.say(ALICE, HOSTILE)
            self.service.http("/sandbox/10001/rename", {"group_id": GROUP, "group_name": HOSTILE})
            choose(page, "get_group_info", "Action")
            page.get_by_role("textbox", name=re.compile("^group_id")).fill(str(GROUP))
            page.keyboard.press("Control+Enter")
            expect(page.locator(".answer .json")).to_contain_text(HOSTILE)
            page.get_by_role("combobox", name="Action", exact=True).fill(HOSTILE)
            page.get_by_label("Parameters (a JSON object)").fill(json.dumps({"message": "长" * 100_000}))
            page.keyboard.press("Control+Enter")
            expect(page.locator(".answer")).to_contain_text("no such action")
            expect(page.locator(".history-entry").first).to_contain_text("<img src=x")
            self.assertEqual(page.locator("main img, main script").count(), 0)

        return self.look("tester", script, width=NARROW, language="en-US", dark=True)


class UnansweredTests(ConsoleTestCase):
    """With an account whose implementation is not there, and one that does not answer."""

    toml = """
[[accounts]]
self_id = 555
type = "reverse-websocket"

[[bots]]
name = "helper"
"""

    def test_not_connected(self) -> Deferred[Any]:
        """That nothing was sent is told in words."""

        def script(visit: Visit) -> None:
            page = visit.page
            expect(page.get_by_text("这个账号现在不在线")).to_be_visible()
            choose(page, "get_group_list")
            page.keyboard.press("Control+Enter")
            for text in ("失败", "retcode 1501", "没有发出：账号没有连接。"):
                expect(page.locator(".answer")).to_contain_text(text)

        return self.look("tester", script)

    def test_cancel(self) -> Deferred[Any]:
        """Waiting can be given up; that the action may have been carried out is said."""

        def script(visit: Visit) -> None:
            page = visit.page
            headers = {"X-Self-ID": "555", "X-Client-Role": "Universal"}
            implementation = RawClient(self.service, "/onebot/v11/ws", headers)
            try:
                while (asked := implementation.message())["action"] != "get_login_info":
                    pass
                named = {"status": "ok", "retcode": 0, "data": {"user_id": 555, "nickname": "x"}}
                implementation.send(json.dumps({**named, "echo": asked["echo"]}))
                wait_until("the account is up", self.service.ready)
                choose(page, "get_group_list")
                page.keyboard.press("Control+Enter")
                expect(page.get_by_text("已发出，正在等回答…")).to_be_visible()
                page.get_by_role("button", name="取消").click()
                expect(page.get_by_text("不再等了。动作可能已经执行。")).to_be_visible()
                expect(page.get_by_role("button", name="发送", exact=True)).to_be_enabled()
            finally:
                implementation.socket.close()

        return self.look("tester", script)
