"""The frame of the console's pages and the overview in a real browser, with a stand-in for the server."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, BrowserTestCase, Visit, reactor, wait_until
from tests.console.fake_backend import TOKEN, FakeBackend, busy_state, empty_state

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import Page, expect

#: Chromium writes these where a request or the stream fails, which these tests make it do.
FAILED_REQUESTS = r"Failed to load resource"


class PageTestCase(BrowserTestCase):
    def setUp(self) -> None:
        self.backend = FakeBackend()
        self.url = self.backend.listen(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.backend.close()))

    def look(self, script: Callable[[Visit], Any], **options: Any) -> Deferred[Any]:
        return self.visit(self.url, script, **options)

    def logged_in(self, visit: Visit, page: str = "overview") -> None:
        visit.open(f"token={TOKEN}")
        visit.page.wait_for_selector("main.page")
        if page != "overview":
            visit.page.goto(f"{self.url}#/{page}")


class LoginTests(PageTestCase):
    def test_by_hand(self) -> Deferred[Any]:
        """A wrong token is refused in words, the right one opens the overview, and logging out ends it."""

        def script(visit: Visit) -> None:
            page = visit.open()
            field = page.get_by_label("管理令牌")
            visit.wait_for("document.activeElement?.name === 'token'")
            page.get_by_role("button", name="登录", exact=True).click()
            page.get_by_text("请输入令牌。").wait_for()
            visit.allowed.append(FAILED_REQUESTS)
            field.fill("wrong")
            field.press("Enter")
            page.get_by_text("令牌不对。").wait_for()
            expect(field).to_have_attribute("aria-invalid", "true")
            field.fill(f" {TOKEN} ")
            field.press("Enter")
            page.get_by_role("heading", name="账号", exact=True).wait_for()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])
            page.get_by_role("button", name="退出登录").click()
            page.get_by_label("管理令牌").wait_for()
            wait_until(lambda: not self.backend.streams, "the stream is closed")

        return self.look(script)

    def test_by_the_printed_link(self) -> Deferred[Any]:
        """The link logs in, and its token is neither in the address nor in the history afterwards."""

        def script(visit: Visit) -> None:
            page = visit.open(f"token={TOKEN}")
            page.get_by_role("heading", name="Accounts").wait_for()
            self.assertEqual(page.evaluate("location.hash"), "#/overview")
            page.get_by_role("link", name="Sandbox", exact=True).click()
            page.go_back()
            page.get_by_role("heading", name="Accounts").wait_for()
            self.assertNotIn(TOKEN, page.evaluate("location.href"))
            self.assertNotIn(TOKEN, page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])"))
            visit.open(page=page)
            page.get_by_role("heading", name="Accounts").wait_for()

        return self.look(script, width=NARROW, language="en-US", dark=True)

    def test_by_an_old_link(self) -> Deferred[Any]:
        """A link with a wrong token leads to the login page, which says so."""

        def script(visit: Visit) -> None:
            visit.allowed.append(FAILED_REQUESTS)
            page = visit.open("token=old")
            page.get_by_text("链接里的令牌不对").wait_for()
            self.assertEqual(page.evaluate("location.hash"), "#/overview")
            page.get_by_text("令牌在哪里？").click()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(), [])

        return self.look(script, width=NARROW)

    def test_two_tabs(self) -> Deferred[Any]:
        """Tabs of one browser log in and out together."""

        def script(visit: Visit) -> None:
            first, second = visit.open(), visit.open(page=visit.new_page())
            visit.allowed.append(FAILED_REQUESTS)  # of a tab that does not know yet that it is logged out
            for page in (first, second):
                page.get_by_label("管理令牌").wait_for()
            first.get_by_label("管理令牌").fill(TOKEN)
            first.keyboard.press("Enter")
            for page in (first, second):
                page.get_by_role("heading", name="账号", exact=True).wait_for()
            second.get_by_role("button", name="退出登录").click()
            first.get_by_label("管理令牌").wait_for()

        return self.look(script)


class FrameTests(PageTestCase):
    def test_language_and_theme(self) -> Deferred[Any]:
        """Both are the browser's at first, change at once, and are the same after loading the page again."""

        def script(visit: Visit) -> None:
            self.logged_in(visit)
            page = visit.page
            background = "getComputedStyle(document.documentElement).backgroundColor"
            dark = page.evaluate(background)
            page.get_by_role("button", name="主题：自动").click()
            visit.wait_for(f"dark => {background} !== dark", argument=dark)
            light = page.evaluate(background)
            page.get_by_role("button", name="EN").click()
            page.get_by_role("heading", name="Accounts").wait_for()
            self.assertEqual(page.evaluate("document.documentElement.lang"), "en")
            expect(page).to_have_title("Overview · lgtwist")
            page.reload()
            page.get_by_role("heading", name="Accounts").wait_for()
            self.assertEqual(page.evaluate(background), light)
            visit.allowed.append(FAILED_REQUESTS)
            page.route("**/app.js", lambda route: route.abort())
            page.reload()
            self.assertEqual(page.evaluate(background), light, "nothing flashes while the modules are loaded")

        return self.look(script, dark=True)

    def test_keyboard(self) -> Deferred[Any]:
        """The first Tab leads to a link that skips the bar; the pages are links."""

        def script(visit: Visit) -> None:
            self.logged_in(visit)
            page = visit.page
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            visit.wait_for("document.activeElement?.id === 'main'")
            page.get_by_role("link", name="调试").press("Enter")
            visit.wait_for("location.hash === '#/tester'")
            expect(page.get_by_role("link", name="调试")).to_have_attribute("aria-current", "page")

        return self.look(script)

    def test_connection_lost(self) -> Deferred[Any]:
        """A lost connection is told after a while, and the page comes back by itself."""

        def script(visit: Visit) -> None:
            visit.allowed.append(FAILED_REQUESTS)
            self.logged_in(visit)
            page = visit.page
            wait_until(lambda: self.backend.streams, "a stream")
            visit.in_reactor(setattr, self.backend, "refuse_streams", (503, "starting"))
            cut = time.monotonic()
            visit.in_reactor(self.backend.cut)
            bar = page.get_by_text("连接断了")
            bar.wait_for()
            self.assertGreater(time.monotonic() - cut, 1.2)
            visit.in_reactor(setattr, self.backend, "refuse_streams", None)
            bar.wait_for(state="detached")
            self.assertEqual(self.backend.opened, 2)
            wait_until(lambda: any(self.backend.subscriptions.values()), "subscribed again")

        return self.look(script, width=NARROW)

    def test_ends_that_the_server_wants(self) -> Deferred[Any]:
        """Too many streams: a notice with a button. A new version: a bar. A new token: the login page."""

        def script(visit: Visit) -> None:
            self.logged_in(visit)
            page = visit.page
            backend = self.backend

            def is_subscribed() -> bool:
                """Whether the open stream has its subscriptions: what asks for them later gets 404."""
                return bool(backend.streams) and backend.streams.keys() <= backend.subscriptions.keys()

            wait_until(is_subscribed, "a stream")
            # A change of subscriptions may be on its way to a stream that ends: the browser notes its 404.
            visit.allowed.append(FAILED_REQUESTS)
            visit.in_reactor(self.backend.end, "too_many_streams")
            page.get_by_text("Too many consoles are open").wait_for()
            self.assertEqual(self.backend.opened, 1)
            visit.in_reactor(setattr, self.backend, "assets_now", "another")
            page.get_by_role("button", name="Try again").click()
            page.get_by_text("lgtwist was updated.").wait_for()
            expect(page.get_by_text("Too many consoles are open")).to_have_count(0)
            visit.in_reactor(setattr, self.backend, "assets_now", self.backend.assets)
            page.get_by_role("button", name="Reload").click()
            wait_until(lambda: backend.opened == 3 and is_subscribed(), "a third stream")
            page.get_by_role("heading", name="Accounts").wait_for()
            expect(page.get_by_text("lgtwist was updated.")).to_have_count(0)
            visit.in_reactor(self.backend.end, "token_changed")
            page.get_by_text("Your session has ended.").wait_for()

        return self.look(script, language="en-US")

    def test_one_stream_for_all_tabs(self) -> Deferred[Any]:
        """Eight tabs have one stream; when its tab is closed, another one opens it for the rest."""

        def script(visit: Visit) -> None:
            self.logged_in(visit)
            tabs = [visit.page, *(visit.open(page=visit.new_page()) for _ in range(7))]
            for tab in tabs:
                tab.get_by_role("heading", name="账号", exact=True).wait_for()

            def rename(name: str) -> None:
                # The follower's own state is asked for with GET; what is said here comes by the stream alone.
                card = {**busy_state()["accounts"][0], "name": name}
                self.backend.say("link", {"now": time.time(), "accounts": [card], "bots": []})

            def hears(tab: Page, name: str) -> None:
                """Say it again and again: a tab whose subscription is anew begins with the whole state."""
                wait_until(
                    lambda: (
                        visit.in_reactor(rename, name)
                        or tab.wait_for_timeout(50)
                        or tab.get_by_text(name).is_visible()
                    ),
                    name,
                )

            wait_until(lambda: any(self.backend.subscriptions.values()), "a subscription")
            self.assertEqual((self.backend.opened, len(self.backend.streams)), (1, 1))
            for tab in tabs:
                hears(tab, "first-name")
            tabs[0].close()
            wait_until(
                lambda: self.backend.opened == 2 and any(self.backend.subscriptions.values()), "another"
            )
            wait_until(lambda: len(self.backend.streams) == 1, "one stream")
            for tab in tabs[1:]:
                hears(tab, "second-name")
                expect(tab.get_by_text("连接断了")).to_have_count(0)
            self.assertEqual(self.backend.opened, 2)

        return self.look(script)

    def test_without_web_locks(self) -> Deferred[Any]:
        """Where there are no Web Locks each tab in view has a stream, and closes it while it is hidden."""

        def script(visit: Visit) -> None:
            visit.context.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")
            self.logged_in(visit)
            page = visit.page
            visit.open(page=visit.new_page()).get_by_role("heading", name="账号", exact=True).wait_for()
            wait_until(lambda: len(self.backend.streams) == 2, "two streams")
            hide = """hidden => {
                Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
                document.dispatchEvent(new Event("visibilitychange"));
            }"""
            page.evaluate(hide, True)
            wait_until(lambda: len(self.backend.streams) == 1, "one stream")
            page.evaluate(hide, False)
            wait_until(lambda: len(self.backend.streams) == 2, "two streams again")

        return self.look(script)

    def test_subscriptions(self) -> Deferred[Any]:
        """Rows reach who asked for them, a sandbox goes on where it was, one refusal costs no more."""

        def script(visit: Visit) -> None:
            visit.allowed.append(FAILED_REQUESTS)
            self.backend.refused_sandboxes = {666}
            self.logged_in(visit)
            page = visit.page
            page.evaluate(
                """async () => {
                    const path = document.querySelector("script[src$='/app.js']").src;
                    const { subscribe } = await import(path.replace("app.js", "core/stream.js"));
                    window.seen = {a: [], b: [], world: [], refused: []};
                    for (const text of ["a", "b"]) {
                        subscribe({topic: "traffic", filter: {text}},
                            {traffic: data => seen[text].push(...data.rows)});
                    }
                    subscribe({topic: "sandbox", account: 666, after: 0},
                        {refused: error => seen.refused.push(error.code)});
                    subscribe({topic: "sandbox", account: 10001, after: 5},
                        {sandbox: data => seen.world.push(...data.entries.map(each => each.seq))});
                }"""
            )
            visit.wait_for("seen.refused.length === 1")

            def wanted() -> dict[str, dict[str, Any]]:
                subscriptions = list(self.backend.subscriptions.values())  # the reactor's thread changes them
                found = [each for wants in subscriptions for each in wants]
                return {each.get("filter", {}).get("text") or each["topic"]: each for each in found}

            subscriptions = wait_until(lambda: len(wanted()) == 4 and wanted(), "four subscriptions")
            self.assertEqual(subscriptions["sandbox"]["after"], 5)
            row = {"n": 1, "to": [subscriptions["b"]["id"]]}
            visit.in_reactor(self.backend.say, "traffic", {"rows": [row], "answers": []})
            entries = [{"seq": number, "kind": "person"} for number in (4, 5, 6, 7)]
            world = {"account": 10001, "entries": entries, "last": 7, "missed": False}
            visit.in_reactor(self.backend.say, "sandbox", world)
            visit.wait_for("seen.world.length > 0")
            self.assertEqual(page.evaluate("[seen.a.length, seen.b.length, seen.world]"), [0, 1, [6, 7]])
            visit.in_reactor(self.backend.cut)
            again = wait_until(
                lambda: self.backend.opened == 2 and len(wanted()) == 4 and wanted(), "four again"
            )
            self.assertEqual(again["sandbox"]["after"], 7)
            self.assertEqual(again["a"], subscriptions["a"])

        return self.look(script)


class ComponentTests(PageTestCase):
    """The components that all pages share."""

    def show(self, visit: Visit, markup: str, given: Any = None) -> None:
        """Draw markup above the page; what is given has the name ``given`` in it."""
        visit.page.evaluate(
            """async given => {
                const path = document.querySelector("script[src$='/app.js']").src;
                const ui = await import(path.replace("app.js", "core/ui.js"));
                const box = document.createElement("div");
                box.id = "drawn";
                document.body.prepend(box);
                window.components = {ui, box, given};
            }""",
            given,
        )
        visit.page.evaluate(
            f"() => {{ const {{ui, box, given}} = window.components; const {{html}} = ui; "
            f"const {{Button, Confirm, Dialog, Json, Peer, Copy, Field, Select, useState}} = ui; "
            f"ui.render({markup}, box); }}"
        )

    def test_text_of_peers(self) -> Deferred[Any]:
        """Text of peers is text, is cut to its lines, and does not turn round what is beside it."""
        hostile = "<img src=x onerror=alert(1)></script>\u202e" + "A" * 100_000

        def script(visit: Visit) -> None:
            visit.open().get_by_label("Admin token").wait_for()
            self.show(visit, "html`<p id=one><${Peer} text=${given} lines=${2} /></p>`", hostile)
            box = visit.page.locator("#one")
            self.assertLess(box.bounding_box()["height"], 120)
            visit.check()
            box.get_by_role("button", name="more", exact=True).click()
            box.get_by_role("button", name="90,038 more characters").wait_for()
            self.assertGreater(box.bounding_box()["height"], 1000)
            visit.check()
            box.get_by_role("button", name="90,038 more characters").click()
            box.get_by_role("button", name="80,038 more characters").wait_for()
            box.get_by_role("button", name="less").click()
            self.assertEqual(visit.page.locator("#drawn img, #drawn script").count(), 0)

        return self.look(script, width=NARROW, language="en-US")

    def test_json(self) -> Deferred[Any]:
        """A JSON value is a tree of which only the open part is drawn; it can be copied whole."""
        value = {
            "deep": {"deeper": {"<b>deepest": "\u202ehidden <i>text</i>" + "B" * 5000}},
            "many": list(range(5000)),
        }

        def script(visit: Visit) -> None:
            visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
            page = visit.open()
            page.get_by_label("管理令牌").wait_for()
            self.show(visit, "html`<${Json} value=${given} openDepth=${1} />`", value)
            tree = page.locator("#drawn")
            self.assertEqual(tree.get_by_text("deepest").count(), 0)
            tree.get_by_role("button", name="deep").click()
            tree.get_by_role("button", name="deeper").click()
            tree.get_by_text("<b>deepest").wait_for()
            tree.get_by_role("button", name="many").click()
            self.assertLess(tree.locator("li").count(), 200)
            tree.get_by_role("button", name="还有 4,900 项").click()
            self.assertLess(tree.locator("li").count(), 1300)
            self.assertEqual(visit.small_targets(), [])
            visit.check()
            tree.get_by_role("button", name="复制 JSON").click()
            tree.get_by_text("已复制").wait_for()
            self.assertEqual(json.loads(page.evaluate("navigator.clipboard.readText()")), value)

        return self.look(script, width=NARROW)

    def test_dialog(self) -> Deferred[Any]:
        """A dialog takes the focus, closes with Escape and with its button, and gives the focus back."""
        markup = """(() => {
            const Test = () => {
                const [open, set] = useState(false);
                window.answers = window.answers || [];
                const yes = () => window.answers.push("yes");
                return html`<${Button} onClick=${() => set(true)}>Open it<//>
                    ${open && html`<${Confirm} title="Sure?" action="Delete x" onYes=${yes}
                        onClose=${() => set(false)}>Text<//>`}`;
            };
            return html`<${Test} />`;
        })()"""

        def script(visit: Visit) -> None:
            page = visit.open()
            page.get_by_label("Admin token").wait_for()
            self.show(visit, markup)
            button = page.get_by_role("button", name="Open it")
            for close in (
                lambda: page.keyboard.press("Escape"),
                lambda: page.get_by_role("button", name="Close").click(),
                lambda: page.get_by_role("button", name="Cancel").click(),
                lambda: page.get_by_role("button", name="Delete x").click(),
            ):
                button.press("Enter")
                dialog = page.get_by_role("dialog", name="Sure?")
                dialog.wait_for()
                visit.wait_for("Boolean(document.activeElement?.closest('dialog'))")
                self.assertEqual(visit.small_targets(), [])
                close()
                dialog.wait_for(state="detached")
                visit.wait_for("document.activeElement?.textContent.includes('Open it')")
            self.assertEqual(page.evaluate("window.answers"), ["yes"])

        return self.look(script, language="en-US", dark=True)


class OverviewTests(PageTestCase):
    def everything(self, visit: Visit) -> None:
        """What peers say stays text in its box; controls are large enough; states have words."""
        self.logged_in(visit)
        page = visit.page
        page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
        self.assertEqual(page.locator("img").count(), 0)
        for summary in page.locator("details > summary").all():
            summary.click()
        for button in page.get_by_role("button", name=re.compile("^(展开|more)$")).all():
            button.click()
        self.assertEqual(visit.small_targets(), [])
        self.assertGreater(page.locator(".spark").count(), 3)
        self.assertEqual(visit.barriers(), [])
        visit.check()

    def test_wide_and_light(self) -> Deferred[Any]:
        """A state with everything in it, at 1280 px, in Chinese, light."""

        def script(visit: Visit) -> None:
            self.everything(visit)
            page = visit.page
            for word in ("在线", "异常：未登录", "断开", "部分连接"):
                page.get_by_text(word, exact=True).first.wait_for()
            # The account was never up, so nothing was dialled yet.
            line = page.get_by_label("机器人 yunzai").get_by_role("listitem").filter(has_text="30003")
            expect(line).to_have_text(re.compile(r"^\s*等待账号上线"))
            self.assertNotIn("第 0 次", page.inner_text("main"))
            countdown = page.get_by_text("秒后重试").first
            before = countdown.inner_text()
            visit.wait_for("before => !document.body.innerText.includes(before)", argument=before)
            page.get_by_text('[[accounts]]\ntype = "reverse-websocket"').first.wait_for()

        return self.look(script)

    def test_narrow_and_dark(self) -> Deferred[Any]:
        """The same at 390 px, in English, dark."""
        return self.look(self.everything, width=NARROW, language="en-US", dark=True)

    def test_empty(self) -> Deferred[Any]:
        """With no bot the first thing shown is how to attach one, and a way to the sandbox."""
        self.backend.state = empty_state

        def script(visit: Visit) -> None:
            visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
            self.logged_in(visit)
            page = visit.page
            page.get_by_role("button", name="Copy: .env").click()
            page.get_by_text("Copied").wait_for()
            self.assertEqual(
                page.evaluate("navigator.clipboard.readText()"),
                'DRIVER=~websockets\nONEBOT_WS_URLS=["ws://127.0.0.1:8081/"]\n# ONEBOT_ACCESS_TOKEN=...\n',
            )
            page.get_by_role("tab", name="NoneBot2").press("ArrowRight")
            page.get_by_text("ws://127.0.0.1:8081/", exact=True).wait_for()
            self.assertEqual(visit.small_targets(), [])
            page.get_by_role("link", name="Talk to the sandbox bot").first.click()
            visit.wait_for("location.hash === '#/sandbox'")

        return self.look(script, width=NARROW, language="en-US")

    def test_changes(self) -> Deferred[Any]:
        """A card that changes is shown as it is now, and a rate is counted from the counters."""

        def script(visit: Visit) -> None:
            self.logged_in(visit)
            page = visit.page
            card = page.get_by_role("article", name="账号 30003")
            card.get_by_text("断开", exact=True).wait_for()
            wait_until(lambda: any(self.backend.subscriptions.values()), "a subscription")
            events = 0

            def more() -> bool:
                """Have some more events; return whether their rate is shown."""
                nonlocal events
                changed = {
                    **busy_state()["accounts"][2],
                    "state": "up",
                    "reason": None,
                    "dials": [],
                    "events": events,
                }
                visit.in_reactor(
                    self.backend.say, "link", {"now": time.time(), "accounts": [changed], "bots": []}
                )
                events += 5
                page.wait_for_timeout(250)
                shown = re.match(r"([\d.,]+)/秒", card.locator(".rate b").inner_text())
                return shown is not None and float(shown[1].replace(",", "")) > 0

            wait_until(more, "a rate")
            card.get_by_text("在线", exact=True).wait_for()

        return self.look(script)
