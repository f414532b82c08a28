"""The page of the log in a real browser."""

from __future__ import annotations

import contextlib
import re
import time
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, BrowserTestCase, Visit, reactor, wait_until
from tests.console.fake_backend import TOKEN, FakeBackend
from tests.console.real_service import TOKEN as REAL_TOKEN
from tests.console.real_service import ConsoleTestCase

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Locator, Page, expect

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe"


def line(n: int, text: str = "", level: str = "info", failure: str | None = None) -> dict[str, Any]:
    """A line as the server tells it."""
    return {
        "n": n,
        "t": time.time(),
        "level": level,
        "system": "lgtwist",
        "text": text or f"line {n}",
        "failure": failure,
    }


def record(page: Page, text: str) -> Locator:
    """The line with a text: in the text of them all, "line 20" is followed by another's time, "11:59:00"."""
    return page.locator(".record", has_text=text)


class LogTests(BrowserTestCase):
    def setUp(self) -> None:
        self.backend = FakeBackend()
        self.lines = [line(n) for n in range(1, 200)]
        self.backend.api["GET log"] = lambda _: (200, {"lines": self.lines, "last": len(self.lines)})
        self.url = self.backend.listen(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.backend.close()))

    def look(self, script: Callable[[Visit, Page], Any], **options: Any) -> Deferred[Any]:
        def logged_in(visit: Visit) -> Any:
            visit.open(f"token={TOKEN}")
            visit.page.wait_for_selector("main.page")
            visit.page.goto(f"{self.url}#/log")
            visit.page.wait_for_selector(".record")
            wait_until(lambda: visit.page.wait_for_timeout(10) or self.wanted(), "it is subscribed")
            return script(visit, visit.page)

        return self.visit(self.url, logged_in, **options)

    def wanted(self) -> dict[str, Any] | None:
        """The page's subscription."""
        for wants in list(self.backend.subscriptions.values()):  # the reactor's thread changes them
            for each in wants:
                if each["topic"] == "log":
                    return each
        return None

    def say(self, visit: Visit, *lines: dict[str, Any]) -> None:
        """Let the server write lines."""
        self.lines += lines
        to = (self.wanted() or {}).get("id")
        visit.in_reactor(self.backend.say, "log", {"to": to, "lines": list(lines)})

    def test_follow(self) -> Deferred[Any]:
        """New lines are in view until one scrolls up, and again from the end on."""

        def script(visit: Visit, page: Page) -> None:
            expect(record(page, "line 199")).to_be_in_viewport()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            self.say(visit, line(200))
            expect(record(page, "line 200")).to_be_in_viewport()
            box = page.locator(".log-box")
            box.evaluate("box => { box.scrollTop = 0; }")
            expect(page.get_by_label("跟随")).not_to_be_checked()
            self.say(visit, line(201))
            expect(record(page, "line 201")).to_have_count(1)
            self.assertEqual(box.evaluate("box => box.scrollTop"), 0)
            page.get_by_role("button", name="跳到最新").click()
            expect(record(page, "line 201")).to_be_in_viewport()
            expect(page.get_by_label("跟随")).to_be_checked()
            self.say(visit, *[line(n) for n in range(202, 1302)])
            expect(page.locator(".record")).to_have_count(1000)
            expect(record(page, "line 1301")).to_be_in_viewport()

        return self.look(script)

    def test_pause(self) -> Deferred[Any]:
        """While it is paused lines are counted; going on brings them."""

        def script(visit: Visit, page: Page) -> None:
            page.get_by_role("button", name="Pause").click()
            self.say(visit, line(200), line(201))
            expect(page.get_by_text("Paused; 2 lines have come since.")).to_be_visible()
            expect(record(page, "line 201")).to_have_count(0)
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            page.get_by_role("button", name="Resume").click()
            expect(record(page, "line 201")).to_be_in_viewport()
            visit.in_reactor(
                self.backend.say, "dropped", {"topic": "log", "to": (self.wanted() or {})["id"], "count": 7}
            )
            expect(page.get_by_text("7 lines were left out")).to_be_visible()

        return self.look(script, width=NARROW, language="en-US", dark=True)

    def test_filters_are_the_servers(self) -> Deferred[Any]:
        """Level and text are asked of the server, for what was and for what comes."""

        def script(visit: Visit, page: Page) -> None:
            asked: list[dict[str, list[str]]] = []

            def requested(request: Any) -> None:
                if urlsplit(request.url).path.endswith("/api/log"):
                    asked.append(parse_qs(urlsplit(request.url).query))

            page.on("request", requested)
            page.get_by_label("级别").select_option("warn")
            page.get_by_label("查找").fill("nonebot")
            filter_ = {"level": "warn", "text": "nonebot"}
            wait_until(
                lambda: page.wait_for_timeout(10) or (self.wanted() or {}).get("filter") == filter_,
                "subscribed",
            )
            query = {"level": ["warn"], "text": ["nonebot"]}
            wait_until(lambda: page.wait_for_timeout(10) or query in asked, "it is asked for")
            link = page.get_by_role("link", name="下载")
            self.assertTrue(str(link.get_attribute("href")).endswith("/api/log/download"))
            expect(page.get_by_role("link", name="实时消息")).to_have_attribute("href", "#/traffic")

        return self.look(script)

    def test_hostile_lines(self) -> Deferred[Any]:
        """What peers wrote is text and stays in its box; a traceback is folded; levels are words too."""
        self.lines += [
            line(200, HOSTILE + "长" * 2000, "warn"),
            line(201, "A" * 2000, "critical", f"Traceback\n  <b>{HOSTILE}</b>\n" + "x" * 3000),
        ]

        def script(visit: Visit, page: Page) -> None:
            expect(page.locator(".record.warn")).to_contain_text(HOSTILE)
            expect(page.locator(".record.warn")).to_contain_text("warning")
            critical = page.locator(".record.critical")
            expect(critical.locator("pre")).to_be_hidden()
            critical.get_by_text("Where it failed").click()
            expect(critical.locator("pre")).to_contain_text("<b><img src=x")
            self.assertEqual(page.locator("main img, main script, main b").count(), 0)
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])

        return self.look(script, width=NARROW, language="en-US")


class RealLogTests(ConsoleTestCase):
    def test_lines_and_backup(self) -> Deferred[Any]:
        """The service's own lines appear as they are written; log and backup are downloaded."""

        def script(visit: Visit) -> None:
            page = visit.page
            page.wait_for_selector(".record")
            self.wait_subscribed(visit, '"log"')
            self.service.api("call", {"account": 10001, "action": "get_status", "params": {}})
            expect(page.locator(".record", has_text="get_status").first).to_be_in_viewport()
            with page.expect_download() as download:
                page.get_by_role("link", name="下载").click()
            self.assertIn("get_status", download.value.path().read_text("utf-8"))
            page.get_by_label("查找").fill("no such text")
            expect(page.get_by_text("没有符合的。")).to_be_visible()
            visit.open("/configuration")
            visit.allowed.append("Failed to load resource")
            backup = page.get_by_role("tab", name=re.compile("^备份"))
            expect(backup.or_(page.get_by_text("下载（含令牌）"))).to_be_visible()
            if backup.count():
                backup.click()
            with page.expect_download() as download:
                page.get_by_role("link", name="下载（不含令牌）").click()
            with zipfile.ZipFile(download.value.path()) as archive:
                self.assertIn("lgtwist.toml", [name.rpartition("/")[2] for name in archive.namelist()])
            page.get_by_role("button", name="下载（含令牌）").click()
            page.get_by_label("管理令牌").fill(REAL_TOKEN)
            with page.expect_download() as download:
                page.keyboard.press("Enter")
            self.assertTrue(download.value.suggested_filename.endswith(".zip"))
            with zipfile.ZipFile(download.value.path()) as archive:
                self.assertTrue(any(REAL_TOKEN.encode() in archive.read(name) for name in archive.namelist()))

        return self.look("log", script)
