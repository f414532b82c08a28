"""A bot's events and its filter on the page of the configuration, in a real browser."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, Visit
from tests.console.fake_configuration import TOML
from tests.console.fake_filter import FakeFilters
from tests.console.real_service import ConsoleTestCase
from tests.console.test_page_configuration import ConfigurationTestCase, card

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Locator, Page, expect

PASTE = """(area, text) => {
    const data = new DataTransfer();
    data.setData("text", text);
    area.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""
REGEX = '{"$or": [{"group_id": {"$in": [1]}}, {"raw_message": {"$regex": "^/"}}]}'
EVENTS: list[dict[str, Any]] = [
    *({"post_type": "message", "message_type": "group", "group_id": 1, "raw_message": "hi"},) * 3,
    *({"post_type": "message", "message_type": "group", "group_id": 2, "raw_message": "/help"},) * 4,
    *({"post_type": "message", "message_type": "private", "user_id": 5, "raw_message": "hi"},) * 5,
]


def adding(scope: Locator, name: str) -> Locator:
    """The field that adds to a list of chips, not its button."""
    return scope.locator(".chip-add input").and_(scope.get_by_label(name, exact=True))


class FilterPageTestCase(ConfigurationTestCase):
    filter = ""

    def setUp(self) -> None:
        super().setUp()
        if self.filter:
            line = f"accounts = [10001, 10002]\nfilter = '{self.filter}'\n"
            self.file.text = TOML.replace("accounts = [10001, 10002]\n", line)
        self.filters = FakeFilters(*EVENTS)
        self.backend.api["POST filter"] = self.filters.answer

    def open(self, page: Page, name: str = "机器人 nonebot") -> Locator:
        """Open the rules of the bot's events; its filter."""
        page.goto(f"{self.url}#/configuration/bots")
        bot = card(page, name)
        bot.locator("summary", has_text=re.compile("收哪些事件|Which events")).click()
        found = bot.locator(".filter-field")
        expect(found).to_be_visible()
        return found

    def saved(self, page: Page) -> dict[str, Any]:
        """Save what the form has; the bot as the file has it then."""
        page.get_by_role("button", name=re.compile("^(查看改动并保存|Review and save)$")).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name=re.compile("^(保存|Save)$")).click()
        dialog.get_by_role("button", name=re.compile("^(完成|Done)$")).click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        bots: list[dict[str, Any]] = msgspec.toml.decode(self.file.text)["bots"]
        return bots[0]


class NewFilterTests(FilterPageTestCase):
    def test_make_one_of_rows(self) -> Deferred[Any]:
        """Rows and an alternative are a filter; how many events would pass is said as they are filled in."""

        def script(visit: Visit, page: Page) -> None:
            field = self.open(page)
            count = field.locator(".filter-count")
            expect(count).to_contain_text("最近 12 个事件里，12 个会通过。")
            expect(field).to_contain_text("还没有条件")
            switches = page.get_by_role("group", name="每个群的开关")
            expect(switches.locator(".switch-name")).to_have_text(["1", "2"])
            field.get_by_role("button", name="加一个条件").click()
            row = field.get_by_role("group", name="条件：group_id")
            values = adding(row, "加到 值")
            values.fill("1，x，")
            expect(row.get_by_text("“x” 不是数字。")).to_be_visible()
            values.fill("1，3，")  # a full-width comma
            expect(row.get_by_role("button", name="去掉 3")).to_be_visible()
            expect(count).to_contain_text("3 个会通过")
            expect(field).to_contain_text("LLBot 的语法")
            row.get_by_role("button", name="去掉 3").click()
            field.get_by_role("button", name="加一组“或者”").click()
            group = field.get_by_role("group", name="第 1 组")
            group.get_by_label("字段", exact=True).select_option("raw_message")
            group.get_by_label("怎样比较").select_option("regex")
            group.get_by_label("值", exact=True).fill("^/")
            expect(count).to_contain_text("，0 个会通过")
            row.get_by_role("button", name="删除条件：group_id").click()
            expect(count).to_contain_text("4 个会通过")
            self.clean(visit)
            field.get_by_role("tab", name="JSON").click()
            area = field.get_by_role("textbox")
            expect(area).to_have_value('{"$or": [{"raw_message": {"$regex": "^/"}}]}')
            self.assertEqual(self.saved(page)["filter"], '{"$or": [{"raw_message": {"$regex": "^/"}}]}')
            self.assertEqual(self.filters.asked[-1]["account"], [10001, 10002])

        return self.look(script)

    def test_choose_the_grammar(self) -> Deferred[Any]:
        """Rows are written in the grammar that is chosen; it can be chosen as long as there is none."""

        def script(visit: Visit, page: Page) -> None:
            field = self.open(page)
            field.get_by_role("button", name="加一个条件").click()
            row = field.get_by_role("group", name="条件：group_id")
            row.get_by_label("怎样比较").select_option("greater")
            field.get_by_label("写成哪种语法").select_option("go-cqhttp")
            expect(row.get_by_label("怎样比较")).to_have_value("equal")
            row.get_by_label("怎样比较").select_option("not_equal")
            row.get_by_label("字段", exact=True).select_option("…")
            other = field.get_by_role("group", name="条件：…")
            other.get_by_label("其他字段").fill("sender.age")
            row = field.get_by_role("group", name="条件：sender.age")
            row.get_by_label("值的类型").select_option("number")
            row.get_by_label("值", exact=True).fill("18")
            expect(field).to_contain_text("go-cqhttp 的语法")
            expect(field.get_by_label("写成哪种语法")).to_have_count(0)
            self.assertEqual(self.saved(page)["filter"], '{"sender.age": {".neq": 18}}')

        return self.look(script)

    def test_paste(self) -> Deferred[Any]:
        """A paste of either grammar is recognised and named; what rows cannot say is JSON, with why."""

        def script(visit: Visit, page: Page) -> None:
            field = self.open(page, "Bot nonebot")
            target = field.get_by_role("button", name="Add a condition", exact=True)
            target.evaluate(PASTE, '{"group_id": {".in": [1]}, "raw_message": {".contains": "h"}}')
            expect(field).to_contain_text("go-cqhttp's grammar")
            row = field.get_by_role("group", name="Condition: raw_message")
            expect(row.get_by_label("Value")).to_have_value("h")
            offered = row.get_by_label("Comparison").locator("option").all_inner_texts()
            self.assertIn("contains", offered)
            self.assertNotIn("is more than", offered)
            expect(field.locator(".filter-count")).to_contain_text("Of the last 12 events 3 would pass.")
            self.clean(visit)
            target.evaluate(PASTE, '{"message": {"$elemMatch": {"type": "at"}}, "group_id": {"$gt": 1}}')
            expect(field).to_contain_text("LLBot's grammar")
            expect(field).to_contain_text("JSON only: rows cannot say $elemMatch (at message.$elemMatch).")
            area = field.get_by_role("textbox")
            expect(area).to_have_value(re.compile("elemMatch"))
            self.clean(visit)
            area.fill('{"group_id": {"$gt": 1}}')
            expect(field.locator(".filter-count")).to_contain_text("4 would pass")
            field.get_by_role("tab", name="Rows").click()
            expect(
                field.get_by_role("group", name="Condition: group_id").get_by_label("Value")
            ).to_have_value("1")

        return self.look(script, width=NARROW, language="en-US", dark=True)


class ExistingFilterTests(FilterPageTestCase):
    filter = REGEX

    def test_mistakes_while_typing(self) -> Deferred[Any]:
        """Each mistake stands with its path; a row that has one is marked; mended, the count is back."""

        def script(visit: Visit, page: Page) -> None:
            field = self.open(page)
            group = field.get_by_role("group", name="第 2 组")
            value = group.get_by_label("值", exact=True)
            expect(value).to_have_value("^/")
            expect(field.locator(".filter-count")).to_contain_text("7 个会通过")
            value.fill("^(")
            mistake = field.locator(".filter-mistakes .mistake")
            expect(mistake).to_contain_text("$or[1].raw_message.$regex")
            expect(value).to_have_attribute("aria-invalid", "true")
            self.clean(visit)
            value.fill("^h")
            expect(field.locator(".filter-count")).to_contain_text("8 个会通过")
            expect(mistake).to_have_count(0)
            field.get_by_role("tab", name="JSON").click()
            area = field.get_by_role("textbox")
            area.fill('{"$or": [], "a": {"$inn": 1}')
            expect(mistake.first).to_contain_text("JSON")
            area.fill('{"a": {"$inn": 1}}')
            expect(mistake).to_contain_text("a.$inn")
            area.fill("")
            expect(field.locator(".filter-count")).to_contain_text("12 个会通过")
            self.assertNotIn("filter", self.saved(page))

        return self.look(script)

    def test_what_was_typed_a_moment_ago_counts(self) -> Deferred[Any]:
        """Whoever leaves the form at once finds the changed rows in it, and so does the file."""

        def script(visit: Visit, page: Page) -> None:
            field = self.open(page)
            group = field.get_by_role("group", name="第 2 组")
            group.get_by_label("值", exact=True).fill("^new")
            page.get_by_role("tab", name="账号").click()
            page.get_by_role("tab", name=re.compile("^机器人 •")).click()
            self.assertIn('"^new"', self.saved(page)["filter"])

        return self.look(script)


class EventRuleTests(ConsoleTestCase):
    """With the real service: the file is what the switches say, and the bot gets what it lets pass."""

    toml = """
[[accounts]]
self_id = 10001
type = "sandbox"

[[bots]]
name = "helper"

[[bots]]
name = "ruled"
access_token = "ruled-test-token-0123456789"
filter = '{"group_id": {".in": [1, 2]}}'
events = { deny = { group_id = [7] }, roles = ["owner"], any_of = { prefix = ["/"] } }
"""

    def bot(self) -> dict[str, Any]:
        text = (self.service.folder / "lgtwist.toml").read_text("utf-8")
        bots: list[dict[str, Any]] = msgspec.toml.decode(text)["bots"]
        return bots[0]

    def save(self, page: Page) -> dict[str, Any]:
        page.get_by_role("button", name="查看改动并保存").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="保存").click()
        expect(dialog.get_by_text("已重新加载")).to_be_visible()
        dialog.get_by_role("button", name="完成").click()
        return self.bot()

    def test_switches_and_chips(self) -> Deferred[Any]:
        """Groups are switched off one by one; prefixes are chips; all of it counts at once."""

        def script(visit: Visit) -> None:
            page = visit.page
            page.goto(f"{self.service.console}#/configuration/bots")
            bot = card(page, "机器人 helper")
            bot.locator("summary", has_text="收哪些事件").click()
            switches = bot.get_by_role("group", name="每个群的开关")
            switches.get_by_role("button", name="列出账号的群").click()
            group = switches.get_by_role("switch").first
            expect(group).to_be_checked()
            number = int(switches.locator(".switch-name .numbers").first.inner_text())
            group.uncheck()
            expect(bot.get_by_role("button", name=f"去掉 {number}")).to_be_visible()
            prefixes = adding(bot, "加到 events.any_of.prefix")
            prefixes.fill("/，#，")
            expect(bot.get_by_role("button", name="去掉 #")).to_be_visible()
            bot.get_by_label("events.any_of.at_me").select_option("true")
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            events = self.save(page)["events"]
            any_of = {"at_me": True, "prefix": ["/", "#"]}
            self.assertEqual(events, {"deny": {"group_id": [number]}, "any_of": any_of})
            tried = {"bot": "helper", "account": 10001, "event": {"post_type": "notice", "group_id": number}}
            rule = self.service.api("rights/try", tried)["rule"]
            self.assertEqual(rule["code"], "denied_group")
            group.check()
            expect(bot.get_by_role("button", name=f"去掉 {number}")).to_have_count(0)
            allowed = adding(bot, "加到 events.group_id")
            allowed.fill(f"{number},")
            expect(switches).to_contain_text("只收打开的群")
            group.uncheck()
            expect(bot.get_by_text("这个列表是空的：什么都不会通过。")).to_be_visible()
            self.assertEqual(self.save(page)["events"], {"group_id": [], "any_of": any_of})
            for value in ("/", "#"):
                bot.get_by_role("button", name=f"去掉 {value}", exact=True).click()
            bot.get_by_label("events.any_of.at_me").select_option("")
            bot.get_by_role("button", name="不再用列表限制 events.group_id").click()
            self.assertEqual(self.save(page).get("events", {}), {})

        return self.look("configuration", script)

    def test_the_filter_of_a_real_service(self) -> Deferred[Any]:
        """It counts what happens from now on, and is readable in the file."""

        def script(visit: Visit) -> None:
            page = visit.page
            page.goto(f"{self.service.console}#/configuration/bots")
            bot = card(page, "机器人 helper")
            bot.locator("summary", has_text="收哪些事件").click()
            field = bot.locator(".filter-field")
            expect(field).to_contain_text("还没有收到事件")
            field.get_by_role("tab", name="JSON").click()
            field.get_by_role("textbox").fill('{"user_id": {"$in": [77]}}')
            for user in (77, 78, 77):
                event = {"post_type": "notice", "notice_type": "friend_add", "user_id": user}
                self.assertEqual(self.service.http("/sandbox/10001/event", event)[0], 200)
            expect(field.locator(".filter-count")).to_contain_text("最近 3 个事件里，2 个会通过。")
            self.assertEqual(self.save(page)["filter"], '{"user_id": {"$in": [77]}}')
            text = (self.service.folder / "lgtwist.toml").read_text("utf-8")
            self.assertIn("""filter = '{"user_id": {"$in": [77]}}'\n""", text)

        return self.look("configuration", script)

    def test_permissions(self) -> Deferred[Any]:
        """The page of permissions shows and edits the same rules."""

        def script(visit: Visit) -> None:
            page = visit.page
            card = page.get_by_role("article", name=re.compile("ruled"))
            card.get_by_text("配置里的写法").click()
            for text in ("events.deny.group_id", "events.any_of.prefix", "go-cqhttp 的语法"):
                expect(card).to_contain_text(text)
            card.get_by_role("button", name=re.compile("ruled")).click()
            dialog = page.get_by_role("dialog")
            expect(dialog.get_by_role("button", name="去掉 7")).to_be_visible()
            dialog.get_by_role("button", name="去掉 7").click()
            dialog.get_by_label("不看私聊消息").check()
            dialog.get_by_label("@了账号").check()
            dialog.get_by_label("管理员", exact=True).check()
            adding(dialog, "加到 以其中之一开头").fill("#，")
            expect(dialog.get_by_role("button", name="去掉 #")).to_be_visible()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            dialog.get_by_role("button", name="查看改动").click()
            save = page.get_by_role("dialog").get_by_role("button", name="保存", exact=True)
            save.click()
            expect(page.get_by_role("dialog").get_by_text("已重新加载")).to_be_visible()
            text = (self.service.folder / "lgtwist.toml").read_text("utf-8")
            self.assertEqual(
                msgspec.toml.decode(text)["bots"][1]["events"],
                {
                    "private": False,
                    "roles": ["owner", "admin"],
                    "any_of": {"prefix": ["/", "#"], "at_me": True},
                    "deny": {},
                },
            )

        return self.look("permissions", script)
