"""The page of the backlog in a real browser, with a stand-in for the server."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, Visit, wait_until
from tests.console.fake_backend import FakeBackend, busy_state
from tests.console.real_service import ConsoleTestCase
from tests.console.test_pages import FAILED_REQUESTS, PageTestCase
from tests.integration.at_least_once import at_least_once, bearer
from tests.integration.rawclient import PING, PONG, RawClient

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Page, expect

SANDBOX = '[[accounts]]\nself_id = 10001\ntype = "sandbox"\n'
HOSTILE = "<img src=x onerror=alert(1)></script>\u202egnp.exe" + "长" * 300
#: Notes the most bars that were ever beside each other where there is room for one.
COUNT_BARS = """() => {
    const count = () => document.querySelectorAll(".undo .bar").length;
    window.mostBars = count();
    new MutationObserver(() => { window.mostBars = Math.max(window.mostBars, count()); })
        .observe(document.querySelector(".undo"), {childList: true, subtree: true});
}"""


def most_bars(page: Page) -> int:
    """How many bars were beside each other at most since ``COUNT_BARS``."""
    return int(page.evaluate("window.mostBars"))


def delivery(bot: str, account: int, **others: Any) -> dict[str, Any]:
    return {
        "bot": bot,
        "account": account,
        "connection": "forward-websocket",
        "mode": "at-least-once",
        "backlog": 0,
        "unconfirmed": 0,
        "oldest": None,
        "cursor_since": time.time() - 4,
        "silent": False,
        "connected": True,
        "refuses_all": False,
        "can_undo": False,
        "retention_left": None,
        **others,
    }


def refusal(number: int, bot: str = "webhook", **others: Any) -> dict[str, Any]:
    now = time.time()
    return {
        "id": number,
        "bot": bot,
        "account": 10001,
        "position": 1000 + number,
        "time": now - 900,
        "skipped": now - 300 + number,
        "reason": "HTTP 400",
        "size": 310,
        "post_type": "message",
        **others,
    }


class CannedBacklog:
    """What the server keeps, as far as the page knows of it.

    :ivar bodies: the bodies of the requests that change something, by method and path.
    :ivar outcome: what comes of delivering again.
    """

    def __init__(
        self, backend: FakeBackend, rows: list[dict[str, Any]], refused: list[dict[str, Any]]
    ) -> None:
        self.backend = backend
        self.rows = rows
        self.refused = refused
        self.more = False
        self.bodies: dict[str, Any] = {}
        self.outcome: dict[str, Any] = {"outcome": "confirmed", "reason": ""}
        self.undoable = True
        for name, answer in {
            "GET backlog": lambda _body: (200, self.whole()),
            "POST backlog/skip": self.skip,
            "POST backlog/undo": self.undo,
            "DELETE refused": lambda _body: self.drop(None),
        }.items():
            backend.api[name] = answer
        for each in refused:
            number = each["id"]
            backend.api[f"GET refused/{number}"] = lambda _body, number=number: self.look(number)
            backend.api[f"POST refused/{number}"] = lambda _body, number=number: self.again(number)
            backend.api[f"DELETE refused/{number}"] = lambda _body, number=number: self.drop(number)

    def whole(self) -> dict[str, Any]:
        newest = sorted(self.refused, key=lambda each: -each["skipped"])
        return {"rows": self.rows, "refused": newest, "refused_more": self.more}

    def skip(self, body: bytes) -> tuple[int, Any]:
        self.bodies["skip"] = wanted = json.loads(body)
        row = next(each for each in self.rows if each["bot"] == wanted["bot"])
        skipped, row["backlog"], row["oldest"], row["can_undo"] = row["backlog"], 0, None, True
        row["skipped"] = skipped
        return 200, {"skipped": skipped, "undo": True}

    def undo(self, body: bytes) -> tuple[int, Any]:
        self.bodies["undo"] = wanted = json.loads(body)
        row = next(each for each in self.rows if each["bot"] == wanted["bot"])
        row["can_undo"] = False
        if not self.undoable:
            sentence = "the bot has confirmed another event"
            return 409, {"error": {"code": "not_undoable", "args": {}, "sentence": sentence}}
        row["backlog"] = row.pop("skipped")
        return 200, {}

    def look(self, number: int) -> tuple[int, Any]:
        found = next(each for each in self.refused if each["id"] == number)
        event: Any = {"post_type": "message", "raw_message": HOSTILE, "flag": "(hidden)"}
        if found["size"] > 65536:
            return 200, {"refused": found, "event": {"begin": '{"post_type":"mess'}, "complete": False}
        if found["size"] == 0:
            return 200, {"refused": found, "event": event, "complete": False}
        return 200, {"refused": found, "event": event, "complete": True}

    def again(self, number: int) -> tuple[int, Any]:
        self.bodies["again"] = number
        return 200, self.outcome

    def drop(self, number: int | None) -> tuple[int, Any]:
        self.refused = [each for each in self.refused if number is not None and each["id"] != number]
        return 200, {}


def mixed(backend: FakeBackend) -> CannedBacklog:
    """Deliveries in each state, and refused events with hostile texts."""
    now = time.time()
    rows = [  # of the first, "2 h 1 min" is shown for 58 s from now on
        delivery("yunzai", 10001, backlog=1128, unconfirmed=16, oldest=now - 7262, cursor_since=now - 7255,
                 connected=False, connection="reverse-websocket", retention_left=590_000.0),
        delivery("nonebot", 10001, unconfirmed=2),
        delivery("nonebot", 20002, backlog=12, unconfirmed=12, oldest=now - 320, silent=True,
                 retention_left=3000.0),
        delivery("webhook", 10001, backlog=40, unconfirmed=1, oldest=now - 60, refuses_all=True,
                 connected=False, connection="http-post", retention_left=600_000.0),
        delivery(HOSTILE[:120], 30003, backlog=3, oldest=now - 5),
    ]  # fmt: skip
    refused = [
        refusal(1),
        refusal(2, post_type="notice", size=70_000),
        refusal(3, bot=HOSTILE[:120], reason=HOSTILE, post_type="<b>x</b>"),
        refusal(4, size=0, reason=""),
    ]
    return CannedBacklog(backend, rows, refused)


class BacklogTests(PageTestCase):
    def open(self, visit: Visit, heading: str) -> Page:
        self.logged_in(visit, "backlog")
        visit.page.get_by_role("heading", name=heading, exact=True).wait_for()
        return visit.page

    def test_skip_and_undo(self) -> Deferred[Any]:
        """A backlog is skipped when the bot's name is typed; a bar undoes it, until the server says no."""
        canned = mixed(self.backend)

        def script(visit: Visit) -> None:
            page = self.open(visit, "积压")
            row = page.get_by_role("row").filter(has_text="yunzai")
            for text in ("1,128", "2 小时 1 分前", "没有连接", "6 天 19 小时", "反向 WebSocket"):
                expect(row).to_contain_text(text)
            for text in ("没有确认", "全部拒收", "正常"):
                expect(page.locator("tbody")).to_contain_text(text)
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            row.get_by_role("button").filter(has_text="跳到最新").click()
            dialog = page.get_by_role("dialog")
            expect(dialog).to_contain_text("1,128 个事件")
            yes = dialog.get_by_role("button", name="跳过 1,128 个")
            field = dialog.get_by_label("请输入上面的机器人名字")
            for text, right in (("", False), ("yunza", False), ("yunzai", True)):
                field.fill(text)
                (expect(yes).to_be_enabled if right else expect(yes).to_be_disabled)()
            self.assertEqual(visit.barriers(), [])
            field.press("Enter")
            expect(dialog).to_have_count(0)
            self.assertEqual(canned.bodies["skip"], {"bot": "yunzai", "account": 10001, "name": "yunzai"})
            bar = page.locator(".undo .bar")
            expect(bar).to_contain_text("已跳过 1,128 个事件")
            expect(row).not_to_contain_text("1,128")
            bar.get_by_role("button").click()
            expect(bar).to_have_count(0)
            expect(row).to_contain_text("1,128")
            canned.undoable = False
            page.evaluate(COUNT_BARS)
            visit.allowed.append(FAILED_REQUESTS)
            row.get_by_role("button").filter(has_text="跳到最新").click()
            field.fill("yunzai")
            yes.click()
            expect(dialog).to_have_count(0)

            def slowly(route: Any) -> None:
                time.sleep(0.2)
                route.continue_()

            page.route("**/api/backlog", slowly)
            bar.get_by_role("button").click()
            expect(bar).to_contain_text("不能撤销了")
            expect(bar).to_have_count(1)
            self.assertEqual(most_bars(page), 1)

        return self.look(script)

    def test_refused_events(self) -> Deferred[Any]:
        """Looked into, delivered again with the outcome in words, dropped one by one and all."""
        canned = mixed(self.backend)

        def script(visit: Visit) -> None:
            page = self.open(visit, "Backlog")
            events = page.locator(".refused-event")
            expect(events).to_have_count(4)
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            last = events.last  # the oldest
            last.get_by_role("button").filter(has_text="Look").click()
            dialog = page.get_by_role("dialog")
            expect(dialog).to_contain_text("(hidden)")
            expect(dialog).to_contain_text("<img src=x")
            self.assertEqual(visit.barriers(), [])
            page.keyboard.press("Escape")
            events.filter(has_text="notice").get_by_role("button").filter(has_text="Look").click()
            expect(dialog).to_contain_text("only the first 64 KiB are kept")
            page.keyboard.press("Escape")
            events.first.get_by_role("button").filter(has_text="Look").click()
            expect(dialog).to_contain_text("It cannot be delivered again.")
            expect(dialog).to_contain_text("(hidden)")
            page.keyboard.press("Escape")
            for outcome, words in (
                ({"outcome": "refused", "reason": "HTTP 418"}, "HTTP 418"),
                ({"outcome": "not_connected", "reason": "it hangs"}, "it hangs"),
                ({"outcome": "gone", "reason": ""}, "The journal does not have it any more"),
                ({"outcome": "sent", "reason": ""}, "has not confirmed it yet"),
                ({"outcome": "confirmed", "reason": ""}, "The bot has taken it. Drop it when you are done."),
            ):
                canned.outcome = outcome
                last.get_by_role("button").filter(has_text="Deliver again").click()
                expect(last).to_contain_text(words)
            self.assertEqual(canned.bodies["again"], 1)
            expect(events).to_have_count(4)
            events.first.get_by_role("button", name="Drop").click()
            expect(dialog).to_contain_text("webhook")
            dialog.get_by_role("button", name="Drop", exact=True).click()
            expect(events).to_have_count(3)
            self.assertEqual([each["id"] for each in canned.refused], [1, 2, 3])
            expect(dialog).to_have_count(0)
            page.get_by_role("button", name="Drop all").click()
            dialog.get_by_role("button", name="Cancel").click()
            expect(dialog).to_have_count(0)
            self.assertEqual(len(canned.refused), 3)
            page.get_by_role("button", name="Drop all").click()
            expect(dialog).to_contain_text("3 events are removed")
            dialog.get_by_role("button", name="Drop all").click()
            expect(page.get_by_text("No refused events")).to_be_visible()
            self.assertEqual(canned.refused, [])
            self.assertEqual(page.locator("main img, main script, main b b").count(), 0)

        return self.look(script, width=NARROW, language="en-US", dark=True)

    def test_many_refused(self) -> Deferred[Any]:
        """A long list is shown in parts, and by bot; that older ones were dropped is said."""
        canned = CannedBacklog(self.backend, [], [refusal(n, f"bot{n % 2}") for n in range(1, 251)])
        canned.rows = [delivery(f"bot{n}", 10001) for n in range(101)]
        canned.more = True

        def script(visit: Visit) -> None:
            page = self.open(visit, "积压")
            expect(page.locator("tbody tr")).to_have_count(100)
            page.get_by_role("button", name="还有 1 项").click()
            expect(page.locator("tbody tr")).to_have_count(101)
            events = page.locator(".refused-event")
            expect(events).to_have_count(100)
            page.get_by_role("button", name="还有 150 项").click()
            expect(events).to_have_count(200)
            expect(page.get_by_text("最多保留 250 个，更早的已经丢弃。")).to_be_visible()
            page.locator(".of-bot select").select_option("bot1")
            expect(events).to_have_count(125)

        return self.look(script)

    def test_it_follows(self) -> Deferred[Any]:
        """What changes is shown by itself, at most once in a while; nothing is asked when all is still."""
        canned = CannedBacklog(self.backend, [delivery("ledger", 10001)], [])

        def links() -> None:
            for _ in range(5):
                change = {"now": time.time(), "bots": [busy_state()["bots"][0]], "accounts": []}
                self.backend.say("link", change)

        def looks() -> int:
            return self.backend.requests.count("GET backlog")

        def looks_at_last(page: Page) -> int:
            """How often it has looked, once it does not look any more."""
            while True:
                before = looks()
                page.wait_for_timeout(2000)  # longer than between two looks
                if looks() == before:
                    return before

        def script(visit: Visit) -> None:
            page = self.open(visit, "Backlog")
            cell = page.locator(".figure-cell .cell")
            expect(cell).to_have_text("0")
            wait_until(lambda: any(self.backend.subscriptions.values()), "subscribed")
            asked = looks_at_last(page)
            canned.rows[0]["backlog"] = 7
            visit.in_reactor(links)
            expect(cell).to_have_text("7")
            # One at once, and one for what has come since; not one for each.
            self.assertIn(looks_at_last(page) - asked, (1, 2))
            canned.rows[0]["backlog"] = 8
            page.get_by_role("button", name="Refresh").click()
            expect(cell).to_have_text("8")

        return self.look(script, width=NARROW, language="en-US")

    def test_how_to_begin(self) -> Deferred[Any]:
        """Without any it is said what it is for, and a bot is made at-least-once by the configuration."""
        CannedBacklog(self.backend, [], [])
        edits: list[Any] = []

        def edit(body: bytes) -> tuple[int, Any]:
            edits.append(json.loads(body))
            new = 'delivery = "at-least-once"'
            return 200, {"text": new, "problems": [], "diff": [{"kind": "new", "text": new}]}

        self.backend.api["GET config"] = {"etag": "e1", "text": "", "writable": True}
        self.backend.api["POST config/edit"] = edit

        def script(visit: Visit) -> None:
            page = self.open(visit, "积压")
            expect(page.get_by_text("还没有可靠投递的机器人")).to_be_visible()
            expect(page.get_by_text("没有被拒收的事件")).to_be_visible()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            page.locator(".convert select").select_option("webhook")
            page.get_by_role("button", name="改为可靠投递…").click()
            expect(page.get_by_role("dialog")).to_contain_text('delivery = "at-least-once"')
            wanted = {"op": "set", "path": ["bots", "webhook", "delivery"], "value": "at-least-once"}
            self.assertEqual(edits, [{"etag": "e1", "edits": [wanted]}])

        return self.look(script, width=NARROW)


def pong(bot: RawClient) -> None:
    """Answer the next ping."""
    while True:
        opcode, payload = bot.frame()
        if opcode == PING:
            bot.send(payload, PONG)
            return


class JourneyTests(ConsoleTestCase):
    """The real service, and a bot that does as the test says."""

    shared = False
    toml = SANDBOX + at_least_once("ledger", token=True) + '[[bots]]\nname = "live"\n'

    def come(self) -> RawClient:
        """The bot connects."""
        return RawClient(self.service, headers=bearer("ledger"))

    def refuse(self) -> None:
        """The bot refuses what comes first, until it is skipped."""
        for _ in range(5):
            with self.come() as bot:
                bot.event(post_type="message")
                bot.send_close(1007)
                bot.read_to_end()

    def test_a_refused_event(self) -> Deferred[Any]:
        """A bot refuses an event; it is seen, delivered again to the mended bot, and dropped."""

        def script(visit: Visit) -> None:
            page = visit.page
            expect(page.get_by_text("没有被拒收的事件")).to_be_visible()
            self.service.say(20001, HOSTILE)
            self.refuse()
            wait_until(lambda: self.service.api("backlog")["refused"], "it is refused")
            event = page.locator(".refused-event")
            page.get_by_role("button", name="刷新").click()
            expect(event).to_have_count(1)
            for text in ("消息", "ledger", "1007"):
                expect(event).to_contain_text(text)
            event.get_by_role("button").filter(has_text="查看").click()
            dialog = page.get_by_role("dialog")
            expect(dialog).to_contain_text(HOSTILE[:60])
            page.keyboard.press("Escape")
            event.get_by_role("button").filter(has_text="重发").click()
            expect(event).to_contain_text("没能发出")
            with self.come() as bot:
                bot.event(meta_event_type="lifecycle")
                event.get_by_role("button").filter(has_text="重发").click()
                self.assertEqual(bot.event(post_type="message")["raw_message"], HOSTILE)
                pong(bot)
                expect(event).to_contain_text("已送达")
            self.assertEqual(len(self.service.api("backlog")["refused"]), 1)
            event.get_by_role("button", name="丢弃").click()
            dialog.get_by_role("button", name="丢弃", exact=True).click()
            expect(page.get_by_text("没有被拒收的事件")).to_be_visible()
            self.assertEqual(self.service.api("backlog")["refused"], [])

        return self.look("backlog", script)

    def test_skip(self) -> Deferred[Any]:
        """What waits for a bot that is away is skipped, had back, and skipped for good."""

        def script(visit: Visit) -> None:
            page = visit.page
            cell = page.locator(".figure-cell .cell")
            expect(cell).to_have_text("0")
            expect(page.locator("tbody")).to_contain_text("not connected")
            for number in range(3):
                self.service.say(20001, f"hello {number}")
            expect(cell).to_have_text("3")
            expect(page.locator("tbody")).to_contain_text("6 d 23 h")
            bar = page.locator(".undo .bar")

            def skip() -> None:
                page.get_by_role("button", name="Skip to the newest").click()
                field = page.get_by_label("type the name of the bot")
                field.fill("ledger")
                field.press("Enter")
                expect(page.get_by_role("dialog")).to_have_count(0)
                expect(bar).to_contain_text("has skipped 3 events")
                expect(cell).to_have_text("0")

            skip()
            bar.get_by_role("button", name="Undo").click()
            expect(cell).to_have_text("3")
            expect(bar).to_have_count(0)
            skip()
            with self.come() as bot:
                bot.event(meta_event_type="lifecycle")
                self.service.say(20001, "after")
                self.assertEqual(bot.event(post_type="message")["raw_message"], "after")
                pong(bot)
                expect(bar).to_have_count(0)
                expect(page.locator("tbody")).to_contain_text("up to date")
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])

        return self.look("backlog", script, width=NARROW, language="en-US", dark=True)
