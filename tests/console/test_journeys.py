"""What people do in the console, from the link that is printed on, with a real NoneBot2 behind it.

Each journey runs once in Chinese on a screen and once in English on a phone. The pages are looked at in the
other combinations of language, width and theme too: pairwise, and in all of them where LGTWIST_TEST_ROUNDS is
set.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from itertools import product
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, WIDE, BrowserTestCase, Visit
from tests.console.real_service import ConsoleService, ConsoleTestCase
from tests.integration.at_least_once import at_least_once
from tests.integration.faulty import quiet
from tests.integration.listening_bots import EMPTY, Receiver, respond
from tests.integration.test_nonebot import MISSING, NoneBot
from tests.processes import ROOT, TWISTD, ChildProcess, free_port, wait_until
from tests.rounds import combination

PAGES = ("overview", "traffic", "tester", "sandbox", "backlog", "permissions", "configuration", "log")


class FirstService(ChildProcess):
    """The README's first command, in an empty folder; only the port is another one."""

    name = "the service"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        (self.folder / "lgtwist.toml").write_text(
            f'[server]\nendpoints = ["tcp:{self.port}:interface=127.0.0.1"]\n'
        )
        shutil.copy(ROOT / "lgtwist.tac", self.folder)
        self.spawn(
            [*TWISTD, "--pidfile=", "-ny", "lgtwist.tac"],
            {**os.environ, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "LC_ALL": ""},
        )
        self.wait_up("is up", lambda: "account 10001 is up" in self.log())

    @property
    def link(self) -> str:
        """The link that it printed."""
        found = re.search(r"^Console: (\S+)$", self.log(), re.MULTILINE)
        assert found is not None, self.log()
        return found[1]


class FirstVisitTests(BrowserTestCase):
    """Somebody who ran the README's command and opened the printed link, without reading anything."""

    if MISSING:
        skip = f"{', '.join(MISSING)} not installed"

    def setUp(self) -> None:
        self.service = FirstService(Path(self.mktemp()).absolute())
        self.addCleanup(self.service.end)
        self.bots: list[NoneBot] = []
        self.addCleanup(lambda: [bot.end() for bot in self.bots])

    def attach(self, lines: str) -> None:
        """Start a NoneBot2 whose ``.env`` has what was copied from the page."""
        settings = dict(
            line.split("=", 1) for line in lines.splitlines() if line and not line.startswith("#")
        )
        assert set(settings) >= {"DRIVER", "ONEBOT_WS_URLS"}, lines
        bot = NoneBot(Path(self.mktemp()).absolute(), settings)
        self.bots.append(bot)
        bot.wait_connected(1)

    def first_visit(self, words: dict[str, str], **options: Any) -> Deferred[Any]:
        def script(visit: Visit) -> None:
            page = visit.page
            page.goto(self.service.link)
            page.wait_for_selector("main.page-overview")
            visit.wait_for("!location.href.includes('token')")
            code = page.locator("pre", has_text="ONEBOT_WS_URLS")
            visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
            page.get_by_role("button", name=words["copy"]).first.click()
            page.get_by_text(words["copied"]).first.wait_for()
            self.assertEqual(page.evaluate("navigator.clipboard.readText()"), code.inner_text())
            self.attach(code.inner_text())
            page.get_by_text("NoneBot").first.wait_for()  # on the bot's card
            page.get_by_role("link", name=words["talk"]).first.click()
            if options["width"] == NARROW:  # there the keyboard would cover the half of it
                page.locator(".composer textarea").tap()
            visit.wait_for("document.activeElement.tagName === 'TEXTAREA'")
            page.keyboard.type("/echo from the page")
            page.keyboard.press("Enter")
            answer = page.locator(".bubble-line.from-bot", has_text="from the page")
            answer.wait_for()
            answer.get_by_text(re.compile(words["answered"])).wait_for()
            page.get_by_role("link", name=words["traffic"], exact=True).first.click()
            page.get_by_text(words["watching"]).wait_for()
            page.get_by_role("link", name=words["sandbox"], exact=True).first.click()
            page.locator(".composer textarea").fill("/echo once more")
            page.locator(".composer textarea").press("Enter")
            page.locator(".bubble-line.from-bot", has_text="once more").wait_for()

        return self.visit(f"http://127.0.0.1:{self.service.port}/console/", script, **options)

    def test_in_chinese_on_a_screen(self) -> Deferred[Any]:
        words = {
            "copy": "复制", "copied": "已复制", "talk": "和沙盒机器人聊天", "answered": r"回答，用时 \d",
            "traffic": "实时", "watching": "还没有消息经过", "sandbox": "沙盒",
        }  # fmt: skip
        return self.first_visit(words, language="zh-CN", width=WIDE)

    def test_in_english_on_a_phone(self) -> Deferred[Any]:
        words = {
            "copy": "Copy", "copied": "Copied", "talk": "Talk to the sandbox bot",
            "answered": r"answered by default after \d", "traffic": "Live traffic",
            "watching": "Nothing has passed yet", "sandbox": "Sandbox",
        }  # fmt: skip
        return self.first_visit(words, language="en-US", width=NARROW, dark=True)


class TalkTests(ConsoleTestCase):
    """Live traffic and the tester, while a NoneBot2 talks in the sandbox."""

    toml = '[[accounts]]\nself_id = 10001\ntype = "sandbox"\n[[bots]]\nname = "nonebot"\n'
    if MISSING:
        skip = f"{', '.join(MISSING)} not installed"

    def setUp(self) -> None:
        super().setUp()
        self.bot = NoneBot(Path(self.mktemp()).absolute(), {"ONEBOT_WS_URLS": f'["{self.service.url()}"]'})
        self.addCleanup(self.bot.end)
        self.bot.wait_connected(1)

    def talk(self, words: dict[str, str], **options: Any) -> Deferred[Any]:
        def script(visit: Visit) -> None:
            page = visit.page
            self.wait_subscribed(visit, '"topic":"traffic"')
            self.service.say(20001, "/echo seen from here")
            action = page.locator(".traffic-row.action", has_text="seen from here")
            action.get_by_text(re.compile(r"\d ms")).wait_for()
            page.locator(".traffic-row", has_text="Alice").filter(has_text="/echo seen from here").wait_for()
            page.get_by_role("link", name=words["tester"], exact=True).first.click()
            page.wait_for_selector("main.page-tester")
            page.get_by_role("combobox", name=words["action"], exact=True).fill("send_private_msg")
            page.keyboard.press("Escape")
            page.get_by_role("tab", name="JSON").click()
            area = page.locator("textarea").first
            area.fill(json.dumps({"user_id": 20001, "message": "by the tester"}))
            area.press("Control+Enter")
            page.get_by_text('"message_id"').or_(page.get_by_text("message_id")).first.wait_for()
            said = wait_until("it was said", lambda: [
                one for one in self.service.transcript() if one["raw_message"] == "by the tester"
            ])  # fmt: skip
            self.assertTrue(said[0]["from_bot"])

        return self.look("traffic", script, **options)

    def test_in_chinese_on_a_screen(self) -> Deferred[Any]:
        return self.talk({"tester": "调试", "action": "动作"}, language="zh-CN", width=WIDE)

    def test_in_english_on_a_phone(self) -> Deferred[Any]:
        return self.talk({"tester": "Actions", "action": "Action"}, language="en-US", width=NARROW, dark=True)


class RefusedTests(BrowserTestCase):
    """A webhook bot refuses an event, beside a NoneBot2 that gets everything: seen, mended, sent again."""

    if MISSING:
        skip = f"{', '.join(MISSING)} not installed"

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.addCleanup(self.receiver.end)
        hook = ('connection = "http-post"', f'url = "{self.receiver.url()}"')
        toml = quiet() + at_least_once("nonebot") + at_least_once("hook", *hook, token=True)
        self.service = ConsoleService(Path(self.mktemp()).absolute(), toml)
        self.addCleanup(self.service.clean_up)
        self.bot = NoneBot(Path(self.mktemp()).absolute(), {"ONEBOT_WS_URLS": f'["{self.service.url()}"]'})
        self.addCleanup(self.bot.end)
        self.bot.wait_connected(1)

    def journey(self, words: dict[str, str], **options: Any) -> Deferred[Any]:
        receiver = self.receiver
        receiver.usual = lambda sock: (respond(413) if b"poison" in receiver.posts[-1].raw else EMPTY)(sock)

        def script(visit: Visit) -> None:
            page = visit.open(self.service.login_link.partition("#")[2])
            page.wait_for_selector("main.page")
            page.goto(f"{self.service.console}#/backlog")
            self.service.say(20001, "/echo poison")
            wait_until(
                "NoneBot2 answers all the same",
                lambda: any(one["from_bot"] for one in self.service.transcript()),
            )
            page.get_by_text("HTTP 413").first.wait_for(timeout=30_000)
            page.get_by_role("button", name=re.compile(words["look"])).first.click()
            page.get_by_role("dialog").get_by_text("poison").first.wait_for()
            page.keyboard.press("Escape")
            posts = len(receiver.posts)
            receiver.usual = EMPTY
            page.get_by_role("button", name=re.compile(words["again"])).first.click()
            page.get_by_text(re.compile(words["taken"])).first.wait_for()
            self.assertTrue(any(b"poison" in post.raw for post in receiver.posts[posts:]))
            page.get_by_role("button", name=re.compile(words["drop"])).first.click()
            page.get_by_role("dialog").get_by_role("button", name=words["drop_yes"], exact=True).click()
            page.get_by_text(words["none"]).wait_for()
            self.assertEqual(visit.barriers(), [])

        return self.visit(self.service.console, script, **options)

    def test_in_chinese_on_a_screen(self) -> Deferred[Any]:
        words = {
            "look": "^查看：", "again": "^重发：", "taken": "已送达", "drop": "^丢弃：", "drop_yes": "丢弃",
            "none": "没有被拒收的事件",
        }  # fmt: skip
        return self.journey(words, language="zh-CN", width=WIDE)

    def test_in_english_on_a_phone(self) -> Deferred[Any]:
        words = {
            "look": "^Look:", "again": "^Deliver again:", "taken": "^delivered", "drop": "^Drop:",
            "drop_yes": "Drop", "none": "No refused events",
        }  # fmt: skip
        return self.journey(words, language="en-US", width=NARROW, dark=True)


class LookTests(BrowserTestCase):
    """Every page in combinations of language, width and theme: no barrier, nothing wider than the view."""

    timeout = 300

    def setUp(self) -> None:
        self.service = ConsoleService(Path(self.mktemp()).absolute())
        self.addCleanup(self.service.clean_up)
        self.service.say(20001, "hello")
        self.service.say(20002, "大家好 [CQ:face,id=14]", 30001)
        self.service.call_action("send_group_msg", group_id=30001, message="hi")

    def look_at_all(self, language: str, width: int, dark: bool) -> Deferred[Any]:
        def script(visit: Visit) -> None:
            page = visit.open(self.service.login_link.partition("#")[2])
            page.wait_for_selector("main.page")
            for name in PAGES:
                page.goto(f"{self.service.console}#/{name}")
                page.wait_for_selector(f"main.page-{name}")
                page.wait_for_timeout(300)  # what its stream brings first
                self.assertEqual(visit.barriers(), [], name)
                self.assertEqual(visit.small_targets(), [], name)
                visit.check()
            self.assertEqual(page.evaluate("document.documentElement.lang.slice(0, 2)"), language[:2])

        return self.visit(self.service.console, script, language=language, width=width, dark=dark)

    def test_chinese_wide_light(self) -> Deferred[Any]:
        return self.look_at_all("zh-CN", WIDE, False)

    def test_chinese_narrow_dark(self) -> Deferred[Any]:
        return self.look_at_all("zh-CN", NARROW, True)

    def test_english_wide_dark(self) -> Deferred[Any]:
        return self.look_at_all("en-US", WIDE, True)

    def test_english_narrow_light(self) -> Deferred[Any]:
        return self.look_at_all("en-US", NARROW, False)

    @combination
    def test_all_others(self) -> Deferred[Any]:
        done = {
            ("zh-CN", WIDE, False),
            ("zh-CN", NARROW, True),
            ("en-US", WIDE, True),
            ("en-US", NARROW, False),
        }

        async def one_by_one() -> None:
            for each in product(("zh-CN", "en-US"), (WIDE, NARROW), (False, True)):
                if each not in done:
                    await self.look_at_all(*each)

        return Deferred.fromCoroutine(one_by_one())
