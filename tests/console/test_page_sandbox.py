"""The sandbox's page in a real browser, with the real service."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import NARROW, WIDE, BrowserTestCase, Visit, at_end, wait_until
from tests.console.real_service import BOTS, ConsoleService

with contextlib.suppress(ImportError):  # then the tests are skipped
    from playwright.sync_api import expect

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg=="
)
HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\"></script>"
    "<script>document.title='pwned'</script>\u202egnp.exe"
)
#: Whether the focus is where a message is written.
IN_COMPOSER = "document.activeElement?.tagName === 'TEXTAREA'"
#: Chromium writes this where the sandbox refuses something.
REFUSED = r"Failed to load resource: the server responded with a status of 4"

#: Pastes or drops a picture, as a person does with the clipboard or the mouse.
GIVE_FILE = """([selector, event, bytes, name, type]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(bytes), each => each.charCodeAt(0))], name, {type}));
    const options = {bubbles: true, cancelable: true};
    const made = event === "paste" ? new ClipboardEvent(event, {...options, clipboardData: data})
        : new DragEvent(event, {...options, dataTransfer: data});
    document.querySelector(selector).dispatchEvent(made);
}"""


class _Services:
    """One service for all tests here, with the world that it began with; it ends with the tests."""

    def __init__(self) -> None:
        self._service: ConsoleService | None = None
        self._world: Any = None

    def shared(self) -> tuple[ConsoleService, Any]:
        if self._service is None:
            self._service = ConsoleService(toml=f'{BOTS}\n[limits]\nmax_message = "1MiB"\n')
            at_end(self._service.clean_up)
            self._world = self._service.http("/sandbox/10001/world")[1]
        return self._service, self._world


SERVICES = _Services()


class SandboxPageTests(BrowserTestCase):
    def setUp(self) -> None:
        self.service, self.fresh = SERVICES.shared()
        self.service.http("/sandbox/10001/world", self.fresh)

    def look(self, script: Callable[[Visit], Any], **options: Any) -> Deferred[Any]:
        return self.visit(self.service.console, script, **options)

    def enter(self, visit: Visit, fragment: str = "/sandbox") -> Any:
        page = visit.open(self.service.login_link.partition("#")[2])
        page.wait_for_selector("main.page")
        page.goto(f"{self.service.console}#{fragment}")
        page.wait_for_selector(".conversations", state="attached")
        return page

    def tab(self, visit: Visit, user: int, chat: str) -> Any:
        """Open one more tab as somebody, with the first one logged in already."""
        page = visit.new_page()
        page.goto(f"{self.service.console}#/sandbox/10001/{chat}")
        page.get_by_label("我是", exact=True).select_option(str(user))
        return page

    def verb(self, verb: str, **params: Any) -> Any:
        status, answer = self.service.http(f"/sandbox/10001/{verb}", params)
        self.assertEqual(status, 200, answer)
        return answer

    def said(self) -> list[dict[str, Any]]:
        return self.service.transcript()

    def say(self, page: Any, text: str) -> None:
        page.bring_to_front()
        area = page.locator(".composer textarea")
        area.fill(text)
        area.press("Enter")

    def choose(self, page: Any, button: str, item: str) -> None:
        """Choose something of the menu of a button with that label."""
        page.bring_to_front()  # tabs behind others are painted slowly, and clicks wait for that
        page.get_by_role("button", name=button, exact=True).click()
        page.get_by_role("menuitem", name=item, exact=True).click()

    # -- the first visit

    def test_first_visit(self) -> Deferred[Any]:
        """The chat with the bot is open; one types, presses Enter, and sees who answers, and how fast."""

        def script(visit: Visit) -> None:
            page = self.enter(visit)
            page.get_by_text("跟机器人说句话吧，Alice").wait_for()
            visit.wait_for(IN_COMPOSER)
            self.assertEqual(page.get_by_label("我是", exact=True).input_value(), "20001")
            self.assertEqual(visit.small_targets(), [])
            page.keyboard.type("你好")
            page.keyboard.press("Shift+Enter")
            page.keyboard.type("机器人")
            page.keyboard.press("Enter")
            page.locator(".bubble-line.mine:not(.pending) .bubble", has_text="机器人").wait_for()
            self.assertEqual(self.said()[-1]["raw_message"], "你好\n机器人")
            self.service.call_action("send_private_msg", user_id=20001, message="你也好")
            answer = page.locator(".bubble-line.from-bot", has_text="你也好")
            answer.get_by_text("机器人", exact=True).wait_for()
            answer.get_by_text("helper 回答，用时").wait_for()
            expect(page.locator(".bubble-line")).to_have_count(2)
            self.assertEqual(visit.barriers(page, slight=True), [])

        return self.look(script)

    def test_faults(self) -> Deferred[Any]:
        """A bar says which faults are set, also those that are set meanwhile, and clears them."""
        self.verb("faults", kind="delay", seconds=1)

        def script(visit: Visit) -> None:
            page = self.enter(visit)
            bar = page.locator(".conversation-view > .bar", has_text="设置了故障")
            bar.get_by_text("delay").wait_for()
            self.assertEqual(visit.barriers(page, slight=True), [])
            self.assertEqual(visit.small_targets(), [])
            self.verb("faults", kind="offline")
            bar.get_by_text("delay, offline").wait_for()
            page.get_by_role("button", name="清除", exact=True).click()
            bar.wait_for(state="detached")
            self.assertEqual(self.service.http("/sandbox/10001/faults")[1]["faults"], [])

        return self.look(script)

    def test_phone(self) -> Deferred[Any]:
        """On a phone: list, chat, group card and back, with large targets, and a button that sends."""

        def script(visit: Visit) -> None:
            page = self.enter(visit)
            page.get_by_text("Say something to the bot, Alice").wait_for()
            self.assertEqual(visit.small_targets(), [])
            page.get_by_role("link", name="Back", exact=True).click()
            page.locator(".conversation-view").wait_for(state="hidden")
            self.assertEqual(visit.small_targets(), [])
            page.get_by_role("link", name="Playground").click()
            page.get_by_text("Nobody has spoken here yet").wait_for()
            page.get_by_label("Message", exact=True).fill("hello " * 40 + "x" * 300)
            self.verb("say", user_id=20002, group_id=30001, message="from Bob")
            page.get_by_role("button", name="Send", exact=True).click()
            page.locator(".bubble-line.mine:not(.pending)").wait_for()
            page.get_by_role("button", name="Menu of message", exact=False).first.tap()
            self.assertEqual(visit.small_targets(), [])
            page.get_by_role("menuitem", name="Reply", exact=True).tap()
            self.assertEqual(visit.small_targets(), [])
            self.assertEqual(visit.barriers(page, slight=True), [])
            page.get_by_role("link", name="Group", exact=True).click()
            page.get_by_role("heading", name="Members").wait_for()
            page.locator(".conversation-view").wait_for(state="hidden")
            self.assertEqual(visit.small_targets(), [])
            page.get_by_role("button", name="Menu of Bob").tap()
            self.assertEqual(visit.small_targets(), [])
            page.keyboard.press("Escape")
            page.get_by_role("link", name="Back", exact=True).click()
            page.locator(".conversation-view").wait_for()

        return self.look(script, width=NARROW, language="en-US", dark=True)

    def test_keyboard(self) -> Deferred[Any]:
        """Arrows go through conversations and menus; Escape gives the focus back and ends a reply."""

        def script(visit: Visit) -> None:
            number = self.verb("say", user_id=20002, group_id=30001, message="by keys")["message_id"]
            page = self.enter(visit, "/sandbox/10001")
            visit.wait_for(IN_COMPOSER)  # it takes the focus first
            page.locator(".conversation").first.focus()
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Enter")
            page.locator(f"#message-{number}").wait_for()
            visit.wait_for("location.hash === '#/sandbox/10001/g30001'")
            visit.wait_for(IN_COMPOSER)
            page.locator(f"#more-{number}").focus()
            page.keyboard.press("Enter")
            visit.wait_for("document.activeElement?.role === 'menuitem'")
            page.keyboard.press("ArrowDown")
            visit.wait_for("document.activeElement?.innerText.trim() === 'React'")
            page.keyboard.press("Escape")
            visit.wait_for("id => document.activeElement?.id === id", argument=f"more-{number}")
            page.keyboard.press("Enter")
            visit.wait_for("document.activeElement?.role === 'menuitem'")
            page.keyboard.press("Enter")
            visit.wait_for(IN_COMPOSER)
            page.locator(".composer-strip", has_text="by keys").wait_for()
            page.keyboard.type("kept")
            page.keyboard.press("Escape")
            page.locator(".composer-strip").wait_for(state="detached")
            # what is not sent is kept for its conversation
            page.goto(f"{self.service.console}#/sandbox/10001/p20001")
            visit.wait_for("document.querySelector('.composer textarea')?.value === ''")
            page.reload()
            page.goto(f"{self.service.console}#/sandbox/10001/g30001")
            visit.wait_for("document.querySelector('.composer textarea')?.value === 'kept'")

        return self.look(script, language="en-US")

    # -- two people

    def test_two_people(self) -> Deferred[Any]:
        """Two tabs are two people: each sees at once what the other does."""

        def script(visit: Visit) -> None:
            self.enter(visit)
            alice = self.tab(visit, 20001, "g30001")
            bob = self.tab(visit, 20002, "g30001")
            alice.get_by_text("以 Alice").or_(
                alice.get_by_placeholder("以 Alice 的身份发言…")
            ).first.wait_for()
            self.assertEqual(alice.get_by_label("我是", exact=True).input_value(), "20001")
            self.say(alice, "早上好")
            bob.locator(".bubble-line:not(.mine)", has_text="早上好").wait_for()
            # a picture, pasted by one and dropped by the other
            encoded = base64.b64encode(PICTURE).decode()
            alice.evaluate(GIVE_FILE, [".composer textarea", "paste", encoded, "a.png", "image/png"])
            alice.locator(".previews img").wait_for()
            alice.get_by_label("消息", exact=True).press("Enter")
            visit.wait_for("document.querySelector('.log img')?.naturalWidth === 2", bob)
            bob.bring_to_front()
            bob.evaluate(GIVE_FILE, [".conversation-view", "drop", encoded, "b.png", "image/png"])
            bob.locator(".previews img").wait_for()
            bob.get_by_role("button", name="发送", exact=True).click()
            visit.wait_for("document.querySelectorAll('.log img').length === 2", alice)
            # an answer that addresses Alice
            first = self.said()[0]["message_id"]
            self.choose(bob, f"消息 {first} 的菜单", "回复")
            visit.wait_for(IN_COMPOSER, bob)
            area = bob.get_by_label("消息", exact=True)
            area.press_sequentially("@ali")
            bob.locator(".hints").get_by_role("option", name="Alice").wait_for()
            area.press("Enter")
            area.press_sequentially("你也早")
            area.press("Enter")
            quote = alice.get_by_title(f"跳到消息 {first}")
            quote.wait_for()
            kinds = [segment["type"] for segment in self.said()[-1]["message"]]
            self.assertEqual(kinds, ["reply", "at", "text"])
            alice.bring_to_front()
            quote.click()
            visit.wait_for(f"document.activeElement?.id === 'message-{first}'", alice)
            # a reaction, taken back with one press
            self.choose(bob, f"消息 {first} 的菜单", "贴表情")
            bob.get_by_role("menuitem", name="赞", exact=True).click()
            alice.bring_to_front()
            alice.get_by_role("button", name="表情“赞”，1 人").click()
            bob.bring_to_front()
            bob.get_by_role("button", name="表情“赞”，2 人").click()
            alice.get_by_role("button", name="表情“赞”，1 人").wait_for()
            # it is still there in a tab that loads anew
            bob.reload()
            bob.get_by_role("button", name="表情“赞”，1 人").wait_for()
            # pokes and recalls
            self.choose(bob, f"消息 {first} 的菜单", "戳一戳")
            alice.get_by_text("Bob 戳了戳 Alice").wait_for()
            self.choose(alice, f"消息 {first} 的菜单", "撤回")
            bob.get_by_text("Alice 撤回了一条消息").wait_for()
            last = self.said()[-1]["message_id"]
            self.choose(alice, f"消息 {last} 的菜单", "撤回")
            bob.get_by_text("Alice 撤回了 Bob 的一条消息").wait_for()
            # what comes while one looks elsewhere is counted
            bob.bring_to_front()
            bob.get_by_role("link", name="lgtwist").click()
            visit.wait_for("!document.querySelector('#message-" + str(first) + "')", bob)
            self.say(alice, "在吗")
            bob.get_by_label("1 条未读").wait_for()

        return self.look(script)

    def test_anonymous_and_refused(self) -> Deferred[Any]:
        """What the sandbox refuses is said at the composer, and the text stays; one can be anonymous."""

        def script(visit: Visit) -> None:
            page = self.enter(visit, "/sandbox/10001/g30001")
            self.choose(page, "更多", "匿名发言")
            self.say(page, "谁说的")
            page.locator(".bubble-line:not(.pending)", has_text="谁说的").get_by_text(
                "匿名", exact=True
            ).wait_for()
            self.choose(page, "更多", "不再匿名")
            page.get_by_label("我是", exact=True).select_option("20002")
            self.verb("ban", group_id=30001, user_id=20002, duration=600)
            page.get_by_text("Alice 禁言 Bob").wait_for()
            visit.allowed.append(REFUSED)
            self.say(page, "我不服")
            page.get_by_role("alert").wait_for()
            expect(page.get_by_label("消息", exact=True)).to_have_value("我不服")
            expect(page.locator(".pending")).to_have_count(0)
            # too large a picture
            page.get_by_label("我是", exact=True).select_option("20001")
            expect(page.get_by_role("alert")).to_have_count(0)
            page.locator("input[data-picker=composer]").set_input_files(
                {"name": "big.png", "mimeType": "image/png", "buffer": PICTURE + bytes(1 << 20)}
            )
            page.get_by_label("消息", exact=True).press("Enter")
            expect(page.get_by_role("alert")).to_contain_text("太大")

        return self.look(script)

    # -- groups, people, requests

    def test_group_and_requests(self) -> Deferred[Any]:
        """Members are banned, kicked and taken in again by a request that the bot answers."""

        def script(visit: Visit) -> None:
            page = self.enter(visit, "/sandbox/10001/g30001")
            self.choose(page, "Menu of Bob", "Ban for 10 minutes")
            page.locator(".log").get_by_text("Alice banned Bob for 10 min").wait_for()
            page.locator(".member", has_text="Bob").get_by_text("banned until").wait_for()
            self.choose(page, "Menu of Bob", "Lift the ban")
            page.get_by_text("Alice lifted the ban of Bob").wait_for()
            self.choose(page, "Menu of Carol", "Set title")
            page.get_by_label("Title", exact=True).fill("Sir")
            page.get_by_role("button", name="Save").click()
            page.locator(".member", has_text="Carol").get_by_text("Sir", exact=True).wait_for()
            self.choose(page, "Menu of Bob", "Kick")
            page.get_by_role("dialog").get_by_text("Remove Bob (20002) from the group?").wait_for()
            page.get_by_role("button", name="Kick").click()
            page.get_by_text("Alice removed Bob from the group").wait_for()
            page.get_by_label("I am", exact=True).select_option("20002")
            page.get_by_text("Bob is not in this group.").wait_for()
            # a request to join, answered by the bot
            self.choose(page, "Menu of the sandbox", "Make a request")
            page.get_by_label("Kind of request").select_option("add")
            page.get_by_label("Who", exact=True).select_option("20002")
            page.get_by_label("Comment").fill("let me in")
            page.get_by_role("dialog").get_by_role("button", name="Send").click()
            page.locator(".log").get_by_text("Bob asks to join Playground").wait_for()
            page.get_by_text("1 pending request").wait_for()
            flag = page.locator(".log .request-card code").inner_text()
            self.service.call_action("set_group_add_request", flag=flag, sub_type="add", approve=True)
            page.locator(".log").get_by_text("answered", exact=True).wait_for()
            page.get_by_text("Bob joined the group").wait_for()
            # a file of the group
            page.locator("input[data-picker=group]").set_input_files(
                {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}
            )
            page.locator(".details").get_by_text("notes.txt").wait_for()
            with page.expect_download() as download:
                page.locator(".details .file-card").click()
            self.assertEqual(Path(download.value.path()).read_bytes(), b"hello")
            # a new person, and a group of hers
            self.choose(page, "Menu of the sandbox", "Add a person")
            page.get_by_label("Nickname").fill("Eve")
            page.get_by_role("button", name="Save").click()
            page.get_by_label("I am", exact=True).get_by_text("Eve").wait_for(state="attached")
            page.get_by_label("I am", exact=True).select_option("20004")
            self.choose(page, "Menu of the sandbox", "New group")
            page.get_by_label("Name of the group").fill("Garden")
            page.get_by_role("button", name="Create").click()
            page.get_by_role("heading", name="Garden").first.wait_for()

        return self.look(script, language="en-US", accept_downloads=True)

    def test_merged_messages(self) -> Deferred[Any]:
        """Chosen messages are sent as one, which opens; the bot's merged messages do, too."""

        def script(visit: Visit) -> None:
            numbers = [
                self.verb("say", user_id=user, group_id=30001, message=text)["message_id"]
                for user, text in ((20001, "eins"), (20002, "zwei"))
            ]
            page = self.enter(visit, "/sandbox/10001/g30001")
            self.choose(page, f"Menu of message {numbers[0]}", "Choose")
            page.locator(f"#message-{numbers[1]} input[type=checkbox]").check()
            page.get_by_text("2 chosen").wait_for()
            page.get_by_role("button", name="Send merged").click()
            page.locator(".bubble-line:not(.pending) .forward-card").click()
            opened = page.get_by_role("dialog")
            opened.get_by_text("zwei").wait_for()
            self.assertEqual(opened.locator(".node-head").all_inner_texts()[1].split()[0], "Bob")
            opened.get_by_role("button", name="Close").click()

        return self.look(script, width=NARROW, language="en-US")

    # -- the world, and events of one's own

    def test_inject_and_world(self) -> Deferred[Any]:
        """An event is injected as JSON, mistakes are shown; the world is saved and loaded."""

        def script(visit: Visit) -> None:
            self.verb("say", user_id=20001, message="bleib da")
            page = self.enter(visit)
            page.get_by_text("bleib da").first.wait_for()
            self.choose(page, "沙盒菜单", "注入事件")
            page.get_by_label("事件（JSON）").fill('{"post_type": ')
            page.get_by_text("不是 JSON").first.wait_for()
            page.get_by_label("模板").select_option("friend_add")
            page.get_by_role("button", name="注入", exact=True).click()
            page.locator(".notice-line", has_text="Alice 成了机器人的好友").wait_for()
            page.get_by_role("dialog").wait_for(state="detached")
            self.choose(page, "沙盒菜单", "保存世界")
            with page.expect_download() as download:
                page.get_by_role("button", name="下载").click()
            saved = json.loads(Path(download.value.path()).read_text("utf-8"))
            self.assertEqual(saved["messages"][0]["raw_message"], "bleib da")
            saved["people"].append({"user_id": 77, "nickname": "Zoe", "friend": True})
            saved["messages"] = []
            file = Path(tempfile.mkdtemp()) / "world.json"
            file.write_text(json.dumps(saved))
            self.choose(page, "沙盒菜单", "载入世界")
            page.locator("input[data-picker=world]").set_input_files(file)
            page.get_by_text("文件里有 5 个人").wait_for()
            page.get_by_role("button", name="替换 10001 的世界").click()
            page.get_by_text("跟机器人说句话吧").wait_for()
            page.get_by_label("我是", exact=True).get_by_text("Zoe").wait_for(state="attached")

        return self.look(script, accept_downloads=True)

    # -- what must not break it

    def test_hostile_texts(self) -> Deferred[Any]:
        """Names and messages of any kind stay text, in their box; foreign pictures are not loaded."""

        def script(visit: Visit) -> None:
            self.verb("person", user_id=20001, nickname=HOSTILE[:200])
            self.verb(
                "group",
                group_id=30001,
                group_name=HOSTILE[:200],
                members=[{"user_id": 20002, "card": HOSTILE[:200], "title": HOSTILE[:200]}],
            )
            foreign = {"type": "image", "data": {"file": "x.png", "url": "http://192.0.2.1/x.png"}}
            nodes = [{"type": "node", "data": {"user_id": "1", "nickname": HOSTILE, "content": HOSTILE}}]
            self.verb(
                "say", user_id=20001, group_id=30001, message=[{"type": "text", "data": {"text": HOSTILE}}]
            )
            self.verb(
                "say",
                user_id=20002,
                group_id=30001,
                message=[{"type": "text", "data": {"text": "x" * 100_000}}],
            )
            self.verb(
                "say", user_id=20002, group_id=30001, message=[{"type": "json", "data": {"data": HOSTILE}}]
            )
            self.verb(
                "say", user_id=20002, group_id=30001, message=[{"type": HOSTILE[:30], "data": {"a": HOSTILE}}]
            )
            self.verb("say", user_id=20002, group_id=30001, message=nodes)
            self.service.inject(
                {"post_type": "message", "message": [foreign], "group_id": 30001, "time": 1, "self_id": 10001}
            )
            page = self.enter(visit, "/sandbox/10001/g30001")
            page.locator(".log").get_by_text("onerror").first.wait_for()
            page.locator(".forward-card").click()
            page.get_by_role("dialog").get_by_text("onerror").first.wait_for()
            page.keyboard.press("Escape")
            page.wait_for_timeout(100)
            self.assertNotEqual(page.title(), "pwned")
            self.assertEqual(page.locator("main img, main script").count(), 0)
            outside = page.evaluate(
                "[...document.querySelectorAll('.log *')]"
                ".filter(each => each.getBoundingClientRect().right > innerWidth + 1).length"
            )
            self.assertEqual(outside, 0)
            for link in ("10001/g30001/details", "10001"):
                page.goto(f"{self.service.console}#/sandbox/{link}")
                page.wait_for_timeout(100)
                visit.check()

        return self.look(script, width=NARROW)

    def test_many_messages(self) -> Deferred[Any]:
        """Of a thousand messages the newest 100 are painted, and more when one scrolls up."""
        messages = [
            {"message_id": n, "time": 1_764_000_000 + n, "user_id": 20001 + n % 2, "group_id": 30001,
             "message": [{"type": "text", "data": {"text": f"number {n}."}}], "raw_message": f"number {n}."}
            for n in range(1, 1001)
        ]  # fmt: skip
        self.assertEqual(
            self.service.http("/sandbox/10001/world", {**self.fresh, "messages": messages})[0], 200
        )

        def script(visit: Visit) -> None:
            page = self.enter(visit, "/sandbox/10001/g30001")
            expect(page.get_by_text("number 1000.", exact=True)).to_be_in_viewport()
            expect(page.locator(".bubble-line")).to_have_count(100)
            visit.wait_for(IN_COMPOSER)  # then all is laid out
            page.evaluate("document.querySelector('.log').scrollTop = 0")
            page.get_by_text("number 850.", exact=True).wait_for(state="attached")
            # what one has read stays where it was
            visit.wait_for("document.querySelector('.log').scrollTop > 1000")
            page.evaluate("(log => { log.scrollTop = log.scrollHeight })(document.querySelector('.log'))")
            self.say(page, "the last")
            self.service.call_action("send_group_msg", group_id=30001, message="the answer")
            page.locator(".from-bot", has_text="the answer").wait_for()
            wait_until(
                lambda: page.evaluate(
                    "(log => log.scrollHeight - log.scrollTop - log.clientHeight < 5)"
                    "(document.querySelector('.log'))"
                ),
                "the newest message is in view",
            )

        return self.look(script, width=WIDE, language="en-US")
