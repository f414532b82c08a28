"""The page of alerts in a real browser, with a stand-in for the server."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, Visit, wait_until
from tests.console.fake_backend import FakeBackend
from tests.console.fake_configuration import FakeConfiguration
from tests.console.test_pages import FAILED_REQUESTS, PageTestCase

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Page, expect

HOSTILE = "<img src=x onerror=alert(1)></script>\u202egnp.exe" + "长" * 150
RULES = ["offline", "away", "backlog", "lost", "journal", "tokens"]


def entry(index: int, kind: str, host: str, **others: Any) -> dict[str, Any]:
    return {
        "index": index,
        "kind": kind,
        "host": host,
        "accounts": None,
        "bots": None,
        "on": RULES,
        "after": 120.0,
        "backlog": 1000,
        "language": "zh",
        "waiting": 0,
        **others,
    }


def sent(index: int, kind: str, **others: Any) -> dict[str, Any]:
    return {
        "time": time.time() - 300,
        "index": index,
        "kind": kind,
        "test": False,
        "title": "账号 10001 不在线",
        "text": "账号 10001 不在线\n已经 3 分钟。",
        "tries": 1,
        "accepted": True,
        "status": 200,
        "answer": "success",
        **others,
    }


class CannedAlerts:
    """What the server says of its alerts.

    :ivar state: the answer of ``GET alerts``.
    :ivar tests: the bodies of the tests that were asked for.
    :ivar outcome: the status and the answer of the next test.
    """

    def __init__(self, backend: FakeBackend, entries: list[dict[str, Any]]) -> None:
        self.backend = backend
        self.state: dict[str, Any] = {"entries": entries, "alarming": [], "deliveries": []}
        self.tests: list[Any] = []
        self.outcome: tuple[int, Any] = (200, sent(0, "feishu", test=True))
        backend.api["GET alerts"] = lambda _body: (200, self.state)
        backend.api["POST alerts/test"] = self.test
        subscribe = backend.subscribe

        def subscribed(name: str, wanted: list[dict[str, Any]]) -> None:
            subscribe(name, wanted)
            if any(each["topic"] == "alerts" for each in wanted):
                backend.say("alerts", self.state, name)

        backend.subscribe = subscribed  # type: ignore[method-assign]

    def test(self, body: bytes) -> tuple[int, Any]:
        self.tests.append(json.loads(body))
        return self.outcome

    def change(self, **changed: Any) -> None:
        """Change the state, and say so, as the stream does."""
        self.state = {**self.state, **changed}
        self.backend.say("alerts", self.state)


def two_entries(backend: FakeBackend) -> CannedAlerts:
    """Two receivers; something is wrong; messages that went well and not, with hostile texts."""
    canned = CannedAlerts(
        backend,
        [
            entry(0, "feishu", "open.feishu.cn"),
            entry(
                1, "email", "smtp.qq.com", accounts=[10001, 10002], bots=["nonebot"], on=["offline", "away"]
            ),
        ],
    )
    canned.state["deliveries"] = [
        sent(0, "feishu", accepted=False, status=400, answer="sign match fail or timestamp", tries=3),
        sent(1, "email", title=HOSTILE, text=f"{HOSTILE}\n" * 9, answer=HOSTILE),
        sent(0, "feishu", accepted=False, status=0, answer="cannot connect", tries=3),
    ]
    canned.state["alarming"] = [
        {
            "entries": [0],
            "rule": "away",
            "subject": HOSTILE,
            "since": time.time() - 400,
            "reason": {"code": "other", "args": {"text": HOSTILE}, "sentence": HOSTILE},
            "values": {},
        },
        {
            "entries": [0, 1],
            "rule": "lost",
            "subject": "",
            "since": time.time() - 500,
            "reason": None,
            "values": {"cause": "dropped", "events": 7},
        },
    ]
    return canned


class AlertsPageTests(PageTestCase):
    def open(self, visit: Visit, heading: str) -> Page:
        self.logged_in(visit, "alerts")
        visit.page.get_by_role("heading", name=heading, exact=True).wait_for()
        return visit.page

    def test_a_test_and_its_outcome(self) -> Deferred[Any]:
        """Each rule is a sentence; the button says at once what the receiver answered, or why not."""
        canned = two_entries(self.backend)

        def script(visit: Visit) -> None:
            page = self.open(visit, "告警")
            first = page.get_by_role("article").filter(has_text="open.feishu.cn")
            second = page.get_by_role("article").filter(has_text="smtp.qq.com")
            expect(first.locator(".alert-rules li")).to_have_count(6)
            expect(first).to_contain_text("任何账号不在线超过 2 分")
            expect(second.locator(".alert-rules li")).to_have_count(2)
            expect(second).to_contain_text("账号 10001, 10002 不在线超过")
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            outcome = first.locator(".alert-outcome")
            button = first.get_by_role("button", name="发一条测试：第 1 项，飞书")
            button.focus()
            page.keyboard.press("Enter")
            expect(outcome).to_contain_text("已送达")
            expect(outcome).to_contain_text("200：success")
            canned.outcome = (
                200,
                sent(0, "feishu", accepted=False, status=200, answer="19021 sign match fail"),
            )
            button.click()
            expect(outcome).to_contain_text("没有送达")
            expect(outcome).to_contain_text("19021 sign match fail")
            visit.allowed.append(FAILED_REQUESTS)
            args = {"most": 6, "seconds": 41}
            canned.outcome = (429, {"error": {"code": "too_many_tests", "args": args, "sentence": "no"}})
            button.click()
            expect(outcome).to_contain_text("请等 41 秒")
            self.assertEqual(canned.tests, [{"index": 0}] * 3)
            self.assertEqual(visit.barriers(), [])

        return self.look(script)

    def test_it_follows(self) -> Deferred[Any]:
        """What the stream says is shown: alarms and messages, by word and shape, as text, not as markup."""
        canned = two_entries(self.backend)

        def script(visit: Visit) -> None:
            page = self.open(visit, "Alerts")
            rows = page.locator(".alert-delivery")
            expect(rows).to_have_count(3)
            for row, word in enumerate(("not accepted", "accepted", "not accepted")):
                expect(rows.nth(row).locator(".status")).to_have_text(word)
            expect(rows.nth(0)).to_contain_text("try 3")
            expect(rows.nth(2)).to_contain_text("The receiver: cannot connect")
            expect(page.locator(".alarming")).to_contain_text("is not connected")
            expect(page.locator(".alarming")).to_contain_text("Told: Feishu open.feishu.cn")
            expect(page.locator(".alarming")).to_contain_text("7 events were lost")
            expect(page.locator(".alarming")).to_contain_text("The bot reads too slowly.")
            self.assertEqual(page.locator("main img, main script").count(), 0)
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            visit.check()
            wait_until(lambda: any(self.backend.subscriptions.values()), "subscribed")
            more = [sent(1, "email", title="bot nonebot is back"), *canned.state["deliveries"]]
            visit.in_reactor(lambda: canned.change(alarming=[], deliveries=more))
            expect(rows).to_have_count(4)
            expect(rows.first).to_contain_text("bot nonebot is back")
            expect(page.locator(".alarming")).to_contain_text("All is well")
            self.assertEqual(self.backend.requests.count("GET alerts"), 1)

        return self.look(script, width=NARROW, language="en-US", dark=True)

    def test_how_to_begin(self) -> Deferred[Any]:
        """Without any: what it is for, how to get the URL, a block to paste, and a form for an entry."""
        CannedAlerts(self.backend, [])
        fake = FakeConfiguration(self.backend)

        def script(visit: Visit) -> None:
            page = self.open(visit, "告警")
            expect(page.get_by_text("还没有设置告警")).to_be_visible()
            page.get_by_label("发到哪里").select_option("dingtalk")
            expect(page.locator(".alert-begin")).to_contain_text("加签")
            expect(page.locator("pre")).to_contain_text('kind = "dingtalk"')
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            page.get_by_role("button", name="添加告警").click()
            form = page.get_by_role("article", name="添加告警")
            expect(form.get_by_label("kind")).to_have_value("dingtalk")
            expect(form).to_contain_text("加签")
            expect(form.get_by_text("换一个新的")).to_have_count(0)
            form.get_by_role("group", name="url").get_by_role("button", name="自己填").click()
            url = "https://oapi.dingtalk.com/robot/send?access_token=abc"
            form.get_by_role("group", name="url").get_by_role("textbox").fill(url)
            form.get_by_label("有人反复试令牌").uncheck()
            form.get_by_label("after").fill("5m")
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            form.get_by_role("button", name="查看改动并保存").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_role("button", name="保存", exact=True).click()
            expect(dialog).to_contain_text("已保存")
            added = fake.saved[-1].partition("[[alerts]]\n")[2]
            self.assertEqual(
                added.splitlines(),
                ['kind = "dingtalk"', f'url = "{url}"', f"on = {json.dumps(RULES[:-1])}", 'after = "5m"'],
            )
            dialog.get_by_role("button", name="完成").click()
            expect(page.get_by_role("article", name="告警第 1 项（钉钉）")).to_have_count(1)

        return self.look(script, width=NARROW)
