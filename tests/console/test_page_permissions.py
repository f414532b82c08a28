"""The page of permissions in a real browser: with a stand-in for the server, then with the real one."""

from __future__ import annotations

import contextlib
import json
import re
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lgtwist.console.permissions import PermissionRoutes
from lgtwist.filters.conditions import AnyOf, EventConditions
from lgtwist.filters.reading import EventFilter, Grammar
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.permissions import ActionPermissions
from lgtwist.hub.settings import ActionSettings, BotSettings, EventSettings
from lgtwist.onebot.catalogue import catalogue
from tests.console.browser import NARROW, Visit, wait_until
from tests.console.fake_backend import FakeBackend
from tests.console.real_service import ConsoleTestCase
from tests.console.test_pages import PageTestCase
from tests.integration.running import ROOT

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Locator, Page, expect

HOSTILE = "<img src=x onerror=alert(1)></script>\u202egnp.exe" + "长" * 200
BOTS = [
    BotSettings("nonebot"),
    BotSettings(
        "agent",
        accounts=(10001,),
        actions=ActionSettings(("get_msg", "get_group_*", "send_msg", "send_group_msg"), (), (20, 60.0)),
        events=EventSettings(("message",), (30001, 30002)),
    ),
    BotSettings("reader", actions=ActionSettings(("get_*", "send_*"), ("set_*",), (2, 1.0))),
    BotSettings(
        "picky",
        events=EventSettings(
            conditions=EventConditions(
                deny_groups=frozenset([30009]),
                private=False,
                roles=frozenset(["owner", "admin"]),
                any_of=AnyOf(at_me=True, prefix=("/", HOSTILE)),
            )
        ),
        filter=EventFilter("{}", Grammar.EITHER, lambda _subject: True),
    ),
    BotSettings("mute", actions=ActionSettings(()), events=EventSettings(None, ())),
    BotSettings(HOSTILE[:100], actions=ActionSettings(None, (HOSTILE,)), events=EventSettings((HOSTILE,))),
]


def canned_permissions(backend: FakeBackend, bots: list[BotSettings] | None = None) -> Directory:
    """Let the stand-in answer what the real server would of these bots; the ``agent`` has acted 17 times."""
    clock = Clock()
    directory = Directory(clock)  # type: ignore[arg-type]
    for settings in BOTS if bots is None else bots:
        directory.add_bot(Bot(settings))
    agent = directory.bots.get("agent")
    for _ in range(17):
        assert agent is None or agent.rate is None or agent.rate.acquire(0.0)
    view: Any = SimpleNamespace(directory=directory)
    backend.api["GET permissions"] = lambda _body: (200, PermissionRoutes(view, clock.seconds).list())
    return directory


def card(page: Page, name: str) -> Locator:
    return page.locator(".permit-card").filter(has=page.get_by_role("heading", name=name, exact=True))


class PermissionsTests(PageTestCase):
    def open(self, visit: Visit, heading: str) -> Page:
        self.logged_in(visit, "permissions")
        visit.page.get_by_role("heading", name=heading, exact=True).wait_for()
        return visit.page

    def test_sentences(self) -> Deferred[Any]:
        """What each bot may do and see is said in a sentence, and what is left of its rate now."""
        directory = canned_permissions(self.backend)

        def script(visit: Visit) -> None:
            page = self.open(visit, "权限")
            expect(card(page, "nonebot")).to_contain_text("可以使用所有动作；能看到所有事件。")
            agent = card(page, "agent")
            for text in (
                "可以读取消息和资料（部分）和发消息；不能撤回、",
                "踢人",
                "；每分钟 20 次；只用账号 10001；只看群 30001、30002 的消息。",
                "现在还能用 3 次（最多 20）",
            ):
                expect(agent).to_contain_text(text)
            picky = re.compile(
                "不看群 30009 的事件；不看私聊消息；群消息只看群主和管理员发的；"
                "消息只看@账号或以 .+ 开头的；只看通过"
            )
            expect(card(page, "picky")).to_contain_text(picky)
            expect(card(page, "mute")).to_contain_text("不能使用任何动作；看不到任何事件（心跳除外）。")
            expect(card(page, "reader")).to_contain_text("get_cookies")
            expect(card(page, "reader")).to_contain_text("什么都能做，包括踢人")
            rate = directory.bots["agent"].rate
            assert rate is not None
            visit.in_reactor(lambda: [rate.acquire(0.0) for _ in range(3)])
            expect(agent).to_contain_text("现在还能用 0 次（最多 20）")
            expect(agent).to_contain_text("1 分后可再用")
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])

        return self.look(script)

    def test_matrix_and_hostile_text(self) -> Deferred[Any]:
        """The matrix tells all, some or none, and which; texts of the configuration stay texts."""
        canned_permissions(self.backend)

        def script(visit: Visit) -> None:
            page = self.open(visit, "Permissions")
            expect(card(page, "agent")).to_contain_text(
                re.compile(r"May read messages and profiles \(partly\) and send messages; may not recall")
            )
            expect(card(page, "agent")).to_contain_text(
                "; 20 a minute; only on account 10001; sees only messages of groups 30001, 30002."
            )
            for text in (
                "May use every action; sees nothing of group 30009; sees no private messages; ",
                "sees group messages of the owner and admins only; ",
                "sees only messages that mention the account or ",
                "; sees only what its filter lets pass.",
            ):
                expect(card(page, "picky")).to_contain_text(text)
            expect(page.get_by_role("button", name="nonebot, Messages: all")).to_be_visible()
            expect(page.get_by_role("button", name="mute, Messages: none")).to_be_visible()
            page.get_by_role("button", name="agent, Messages: 4 / 38").click()
            dialog = page.get_by_role("dialog")
            allowed = dialog.locator("section").first
            expect(allowed).to_contain_text("Allowed (4)")
            for name in ("get_msg", "get_group_msg_history", "send_group_msg"):
                expect(allowed.get_by_text(name, exact=True)).to_be_visible()
            expect(dialog.locator("section").last).to_contain_text("delete_msg")
            self.assertEqual(visit.barriers(), [])
            page.keyboard.press("Escape")
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            self.assertEqual(page.locator("main img, main script").count(), 0)

        return self.look(script, width=NARROW, language="en-US", dark=True)

    def test_editor(self) -> Deferred[Any]:
        """Presets and chips become edits of the keys that change, and of no others."""
        canned_permissions(self.backend)
        asked: list[Any] = []

        def edit(body: bytes) -> tuple[int, Any]:
            asked.append(json.loads(body)["edits"])
            return 200, {"text": "x", "problems": [], "diff": [{"kind": "new", "text": "actions = {}"}]}

        self.backend.api["GET config"] = {"etag": "e1", "text": "", "writable": True}
        self.backend.api["POST config/edit"] = edit
        self.backend.api["PUT config"] = {"etag": "e2", "backup": "b"}
        self.backend.api["POST reload"] = {"lines": [], "changed": True, "waiting": []}

        def script(visit: Visit) -> None:
            page = self.open(visit, "Permissions")
            editor = page.locator("dialog").first
            save = editor.get_by_role("button", name="Show the change…")

            def saved() -> Any:
                save.click()
                expect(page.locator("dialog")).to_have_count(2)
                wait_until(lambda: asked, "the edits were asked for")
                page.keyboard.press("Escape")
                expect(page.locator("dialog")).to_have_count(1)
                return {tuple(each["path"][2:]): each.get("value", each["op"]) for each in asked.pop()}

            page.get_by_role("button", name="Change: nonebot", exact=True).click()
            expect(editor.get_by_role("button", name="Everything")).to_have_attribute("aria-pressed", "true")
            expect(save).to_be_disabled()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            editor.get_by_role("button", name="AI assistant").click()
            expect(editor).to_contain_text("17 of 238 known actions allowed")
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            edits = saved()
            self.assertEqual(edits[("actions", "rate")], "20/min")
            self.assertEqual(edits[("events", "post_type")], ["message"])
            self.assertIn("get_group_list", edits[("actions", "allow")])
            self.assertEqual(len(edits), 3)
            editor.get_by_role("button", name="Everything").click()
            expect(save).to_be_disabled()
            deny = editor.get_by_label("Add to: Denied actions (deny)").first
            deny.fill("set_group_kick *ban*")
            deny.press("Enter")
            deny.fill("no such")
            deny.press("Enter")
            deny.fill("ｇet")
            deny.press("Enter")
            expect(editor).to_contain_text("Only letters, digits, underscores, dots and *")
            deny.fill("")
            expect(editor.get_by_role("button", name="Remove no")).to_contain_text("not in the catalogue")
            editor.get_by_role("button", name="Remove no").click()
            editor.get_by_label("Only these groups").check()
            groups = editor.get_by_label("Add to: Groups").first
            groups.fill("30001, 30002")
            groups.press("Enter")
            edits = saved()
            self.assertEqual(edits[("actions", "deny")], ["set_group_kick", "*ban*", "such"])
            self.assertEqual(edits[("events", "group_id")], [30001, 30002])
            self.assertEqual(len(edits), 2)
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Change: agent", exact=True).click()
            editor.get_by_role("button", name="Everything").click()
            editor.get_by_label("Only these groups").uncheck()
            self.assertEqual(
                saved(),
                {
                    ("actions", "allow"): "unset",
                    ("actions", "rate"): "unset",
                    ("events", "post_type"): "unset",
                    ("events", "group_id"): "unset",
                },
            )

        return self.look(script, width=NARROW, language="en-US")

    def test_presets(self) -> Deferred[Any]:
        """The page reads patterns as the server does; no preset but *everything* gives away the login."""
        canned_permissions(self.backend)
        names = [entry.name for entry in catalogue()]

        def script(visit: Visit) -> Any:
            page = self.open(visit, "Permissions")
            return page.evaluate(
                """async ([path, names]) => {
                    const {PRESETS, allows} = await import(path);
                    return Object.entries(PRESETS).map(([name, {allow, deny}]) => (
                        [name, allow, deny, names.filter(each => allows(each, allow, deny))]));
                }""",
                [f"/console/s/{self.backend.assets}/pages/permissions/presets.js", names],
            )

        def look_at(presets: Any) -> None:
            for name, allow, deny, allowed in presets:
                permissions = ActionPermissions(allow, deny)
                wanted = [each for each in names if permissions.explain(each).allowed]
                self.assertEqual(allowed, wanted, name)
                known = {entry.name: entry for entry in catalogue()}
                if name != "everything":
                    self.assertEqual([each for each in allowed if known[each].answers_secret], [], name)
                    self.assertEqual([each for each in allowed if "packet" in each or each == "send_pb"], [])
                if name in ("read", "assistant"):
                    self.assertEqual([each for each in allowed if known[each].danger], [], name)
                if name == "assistant":
                    leash = re.search(r"allow = (\[.*?\n\])", (ROOT / "docs" / "rights.md").read_text(), re.S)
                    assert leash is not None
                    self.assertEqual(sorted(allow), sorted(re.findall(r'"(\w+)"', leash[1])))

        return self.look(script, language="en-US").addCallback(look_at)

    def test_no_bots(self) -> Deferred[Any]:
        canned_permissions(self.backend, [])

        def script(visit: Visit) -> None:
            page = self.open(visit, "权限")
            expect(page.get_by_text("还没有机器人")).to_be_visible()
            self.assertEqual(visit.barriers(), [])

        return self.look(script, width=NARROW)


class RealTests(ConsoleTestCase):
    def test_try(self) -> Deferred[Any]:
        """Actions and events are tried: yes or no, and the rule in words; nothing is sent."""

        def script(visit: Visit) -> None:
            page = visit.page
            result = page.locator(".try-result")
            ask = page.get_by_role("button", name="检查", exact=True)
            page.locator(".try-out select").first.select_option("reader")
            field = page.get_by_role("combobox", name="动作", exact=True)
            field.fill("群名")
            page.get_by_role("option", name=re.compile("^set_group_name ")).click()
            ask.click()
            for text in ("不能用", "deny 里的 set_* 禁止"):
                expect(result).to_contain_text(text)
            page.get_by_role("tab", name="事件").click()
            page.get_by_role("button", name="有人进群").click()
            ask.click()
            for text in ("收不到", "events.post_type 里没有 notice"):
                expect(result).to_contain_text(text)
            page.get_by_role("button", name="心跳").click()
            expect(result).to_have_count(0)
            ask.click()
            expect(result).to_contain_text("元事件（心跳等）总是会收到")
            page.get_by_label("事件（JSON 对象）").fill('{"post_type": "message", ')
            expect(page.get_by_text("不是正确的 JSON")).to_be_visible()
            expect(ask).to_be_disabled()
            page.get_by_label("事件（JSON 对象）").fill('{"post_type": 5}')
            visit.allowed.append(r"Failed to load resource")
            ask.click()
            expect(page.get_by_text("it has no post_type")).to_be_visible()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])

        return self.look("permissions", script)


class SavingTests(ConsoleTestCase):
    shared = False

    def test_a_leash(self) -> Deferred[Any]:
        """A preset is saved in the configuration, loaded, and counts at once; comments stay."""
        path = self.service.config_path
        path.write_text(path.read_text() + "# mine\n")
        self.assertEqual(self.service.http("/console/api/reload", {})[0], 200)

        def script(visit: Visit) -> None:
            page = visit.page
            page.get_by_role("button", name="Change: reader", exact=True).click()
            page.get_by_role("button", name="AI assistant").click()
            page.get_by_role("button", name="Show the change…").click()
            saving = page.get_by_role("dialog").last
            expect(saving).to_contain_text('rate = "20/min"')
            expect(saving).not_to_contain_text("reader-test-token")
            self.assertEqual(visit.small_targets(), [])
            saving.get_by_role("button", name="Save").click()
            expect(saving).to_contain_text('bot "reader" changed')
            saving.get_by_role("button", name="Done").click()
            expect(page.get_by_role("dialog")).to_have_count(0)
            expect(card(page, "reader")).to_contain_text("20 of 20 left now")
            expect(card(page, "reader")).to_contain_text("; 20 a minute; sees only messages.")
            text = path.read_text()
            self.assertIn('"get_group_member_list"], rate = "20/min" }', text)
            self.assertTrue(text.endswith("# mine\n"))
            asked = {"bot": "reader", "account": 10001, "action": "set_group_kick"}
            self.assertEqual(self.service.api("rights/try", asked)["rule"]["code"], "not_allowed")

        return self.look("permissions", script, width=NARROW, language="en-US")
