"""The console's pages while things break: the real service is killed, its token changes, streams are cut."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.console.browser import PATIENCE, BrowserTestCase, Visit
from tests.console.real_service import ACCOUNT, TOKEN, ConsoleService
from tests.integration.running import wait_until
from tests.rounds import ROUNDS, combination

#: Chromium writes these where a request or the stream fails, which these tests make it do.
FAILED_REQUESTS = r"Failed to load resource|net::ERR_"
LOST = ".bars .bar.warning"
#: Lets a page note what the stream brings, in ``window.seen``.
_WATCH = """async ([account, after]) => {
    const script = document.querySelector("script[type=module]").src;
    const { subscribe } = await import(script.replace(/app\\.js$/, "core/stream.js"));
    window.seen = { hello: 0, links: 0, link: 0, sandbox: 0, missed: 0, entries: [] };
    subscribe({ topic: "links" }, {
        connected() { window.seen.hello += 1; },
        links() { window.seen.links += 1; },
        link() { window.seen.link += 1; },
    });
    subscribe({ topic: "sandbox", account, after }, { sandbox({ entries, missed }) {
        window.seen.sandbox += 1;
        window.seen.missed += missed ? 1 : 0;
        for (const entry of entries) window.seen.entries.push(entry);
    } });
}"""
_SET_HIDDEN = """hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def watch(page: Any, greeted: bool = True) -> None:
    """Let a page note what the stream brings, and wait until it is subscribed.

    :param greeted: whether it is the first tab with this subscription, to which the server says so.
    """
    page.evaluate(_WATCH, [ACCOUNT, None])
    until(page, "greeted => window.seen.links > 0 && (window.seen.sandbox > 0 || !greeted)", greeted)


def until(page: Any, expression: str, argument: Any = None, seconds: float = PATIENCE / 1000) -> None:
    """Wait until an expression is true in a page; see :meth:`Visit.wait_for`."""

    def holds() -> Any:
        page.wait_for_timeout(20)  # lets Playwright handle events
        return page.evaluate(expression, argument)

    wait_until(expression, holds, seconds)


def texts(page: Any) -> list[str]:
    """What a page that watches has heard, in order."""
    return list(
        page.evaluate(
            """() => window.seen.entries.filter(each => each.kind === "message")
                .map(each => each.message.raw_message)"""
        )
    )


class CuttingProxy:
    """A TCP proxy on a free port, in a thread; it closes all its connections whenever it is told to.

    :param port: of the server behind it.
    """

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._wake, self._waker = socket.socketpair()
        self._cut = self._stop = self._silence = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Close all connections."""
        self._cut = True
        self._waker.send(b"x")

    def silence(self) -> None:
        """Pass on nothing more of the connections that there are, and leave them open."""
        self._silence = True
        self._waker.send(b"x")

    def close(self) -> None:
        """End."""
        self._stop = True
        self._waker.send(b"x")
        self._thread.join(10)
        for each in (self._listener, self._wake, self._waker):
            each.close()

    def _run(self) -> None:
        silent: set[socket.socket] = set()
        while not self._stop:
            read = [each for each in self._pairs if each not in silent]
            ready, _, _ = select.select([self._listener, self._wake, *read], [], [])
            for each in ready:
                if each is self._listener:
                    self._accept()
                elif each is self._wake:
                    self._wake.recv(100)
                elif each in self._pairs:
                    self._pass_on(each)
            if self._silence:
                self._silence = False
                silent.update(self._pairs)
            if self._cut or self._stop:
                self._cut = False
                for each in tuple(self._pairs):
                    self._close(each)

    def _accept(self) -> None:
        client, _address = self._listener.accept()
        try:
            server = socket.create_connection(self._to, 5)
        except OSError:
            client.close()
            return
        self._pairs[client], self._pairs[server] = server, client

    def _pass_on(self, source: socket.socket) -> None:
        try:
            data = source.recv(65_536)
            if data:
                self._pairs[source].sendall(data)
                return
        except OSError:
            pass
        self._close(source)

    def _close(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        one.close()
        if other is not None:
            self._close(other)


class MadeTokenService(ConsoleService):
    """A service that makes its admin token."""

    def start(self) -> None:
        """Take the token out of the configuration, and start it."""
        self.config_path.write_text(self.config_path.read_text().replace(f'admin_token = "{TOKEN}"', ""))
        super().start()


class FaultTestCase(BrowserTestCase):
    """A test with a real service, whose log holds no traceback and no token afterwards."""

    def setUp(self) -> None:
        self.service = self.start_service()
        self.addCleanup(self._end)

    def start_service(self) -> ConsoleService:
        """Start the service of the test."""
        return ConsoleService(Path(self.mktemp()).absolute())

    def _end(self) -> None:
        self.service.clean_up()
        log = self.service.log()
        for bad in ("Traceback", "Unhandled", TOKEN):
            self.assertNotIn(bad, log)

    def look(self, script: Callable[[Visit], Any], **options: Any) -> Deferred[Any]:
        options.setdefault("language", "en-US")

        def with_faults(visit: Visit) -> Any:
            visit.allowed.append(FAILED_REQUESTS)
            return script(visit)

        return self.visit(self.service.console, with_faults, **options)

    def log_in(self, visit: Visit) -> Any:
        page = visit.open(f"token={TOKEN}")
        page.wait_for_selector("main.page")
        return page

    def streams(self) -> int:
        return int(self.service.api("state")["summary"]["streams"])

    def hears(self, page: Any, text: str, seconds: float = PATIENCE / 1000) -> None:
        """Wait until a page that watches has heard something."""
        heard = "text => window.seen.entries.some(each => each.message && each.message.raw_message === text)"
        until(page, heard, text, seconds)


class RestartTests(FaultTestCase):
    def restart(self, visit: Visit, end: Callable[[], object]) -> None:
        """End the service under an open page, and start it again."""
        page = self.log_in(visit)
        watch(page)
        self.service.say(20001, "before")
        self.hears(page, "before")
        hellos = page.evaluate("window.seen.hello")
        began = time.monotonic()
        end()
        page.wait_for_selector(LOST)
        self.assertGreater(time.monotonic() - began, 1.0)  # no flash
        self.assertTrue(page.query_selector("main.page"))
        self.service.start()
        page.wait_for_selector(LOST, state="detached")
        until(page, "hellos => window.seen.hello > hellos", hellos)
        self.assertTrue(page.query_selector("main.page"))
        self.service.say(20001, "after")
        self.hears(page, "after")
        self.assertEqual(texts(page).count("before"), 1)
        page.reload()
        page.wait_for_selector("main.page")

    def test_killed(self) -> Deferred[Any]:
        """It comes back by itself, and is logged in as before."""
        return self.look(lambda visit: self.restart(visit, self.service.kill))

    @combination
    def test_stopped(self) -> Deferred[Any]:
        """In good order it is the same."""
        return self.look(lambda visit: self.restart(visit, self.service.stop))

    def test_a_short_absence(self) -> Deferred[Any]:
        """Nothing flashes where the stream is back at once."""

        def script(visit: Visit) -> None:
            proxy = CuttingProxy(self.service.port)
            try:
                visit.url, visit.host = f"http://127.0.0.1:{proxy.port}/console/", f"127.0.0.1:{proxy.port}"
                page = self.log_in(visit)
                watch(page)
                page.evaluate("""() => {
                    window.flashes = 0;
                    new MutationObserver(() => { window.flashes += 1; })
                        .observe(document.querySelector(".bars"), { childList: true, subtree: true });
                }""")
                for _ in range(10):
                    hellos, flashes = page.evaluate("[window.seen.hello, window.flashes]")
                    cut = time.monotonic()
                    proxy.cut()
                    until(page, "hellos => window.seen.hello > hellos", hellos)
                    if time.monotonic() - cut < 1.2:  # else it is no short one, for the machine is busy
                        self.assertEqual(page.evaluate("window.flashes"), flashes)
                        break
                else:
                    self.fail("it never comes back within 1.2 s")
            finally:
                proxy.close()

        return self.look(script)


class CutTests(FaultTestCase):
    def test_a_proxy_that_cuts_the_stream(self) -> Deferred[Any]:
        """The page asks again, and hears of all that happened in the sandbox, once."""

        def script(visit: Visit) -> None:
            proxy = CuttingProxy(self.service.port)
            try:
                visit.url, visit.host = f"http://127.0.0.1:{proxy.port}/console/", f"127.0.0.1:{proxy.port}"
                page = self.log_in(visit)
                watch(page)
                self.service.say(20001, "first")
                self.hears(page, "first")
                said = ["first"]
                for number in range(3 + ROUNDS):
                    for each in ("with", "without"):
                        said.append(f"{number} {each}")
                        self.service.say(20001, said[-1])
                        if each == "with":
                            proxy.cut()
                    time.sleep(0.1 * (number % 3))
                said.append("last")
                self.service.say(20001, "last")
                self.hears(page, "last")
                self.assertEqual(texts(page), said)
                self.assertEqual(page.evaluate("window.seen.missed"), 0)
                wait_until("one stream is left", lambda: self.streams() == 1)
            finally:
                proxy.close()

        return self.look(script)

    def test_a_connection_that_falls_silent(self) -> Deferred[Any]:
        """Nothing says that it is over, as after a change of Wi-Fi; but no comment comes any more."""

        def script(visit: Visit) -> None:
            proxy = CuttingProxy(self.service.port)
            try:
                visit.url, visit.host = f"http://127.0.0.1:{proxy.port}/console/", f"127.0.0.1:{proxy.port}"
                visit.page.clock.install()
                page = self.log_in(visit)
                watch(page)
                self.service.say(20001, "before")
                self.hears(page, "before")
                hellos = page.evaluate("window.seen.hello")
                proxy.silence()
                self.service.say(20001, "meanwhile")
                page.clock.fast_forward(20_000)
                page.wait_for_timeout(200)
                self.assertEqual(page.evaluate("window.seen.hello"), hellos)
                for attempt in range(30):  # the browser asks over others that are as dead first
                    if page.evaluate("window.seen.hello") > hellos:
                        break
                    page.clock.fast_forward(11_000)
                    page.wait_for_timeout(100 + 50 * attempt)
                self.hears(page, "meanwhile")
                self.assertEqual(texts(page), ["before", "meanwhile"])
            finally:
                proxy.close()

        return self.look(script)


class TokenTests(FaultTestCase):
    def configure(self, token: str | None) -> None:
        path = self.service.config_path
        line = "" if token is None else f'admin_token = "{token}"'
        text = re.sub(
            r'^(admin_token = ".*"|# none)$', line or "# none", path.read_text(), flags=re.MULTILINE
        )
        path.write_text(text)
        self.service.send_signal(signal.SIGHUP)

    def test_another_token(self) -> Deferred[Any]:
        """The session ends in every tab; a made token counts while none is configured, and not afterwards."""
        another = "another-test-token-0123456789"
        made_path = self.service.folder / "data" / "admin_token"

        def log_in_with(page: Any, token: str) -> None:
            field = page.get_by_label("Admin token")
            field.fill(token)
            field.press("Enter")  # a click waits for a frame, which a tab in the background has seldom

        def script(visit: Visit) -> None:
            page = self.log_in(visit)
            other = visit.open(page=visit.new_page())
            other.wait_for_selector("main.page")
            self.assertFalse(made_path.exists())
            self.configure(another)
            for each in (page, other):
                each.get_by_text("Your session has ended.").wait_for()
            log_in_with(page, TOKEN)
            page.get_by_text("The token is wrong", exact=False).wait_for()
            log_in_with(page, another)
            for each in (page, other):
                each.wait_for_selector("main.page")
            self.configure(None)
            for each in (page, other):
                each.get_by_label("Admin token").wait_for()
            wait_until("a token is made", made_path.exists)
            made = wait_until("it is written", lambda: made_path.read_text().strip())
            self.assertEqual(made_path.stat().st_mode & 0o777, 0o600)
            log_in_with(page, made)
            page.wait_for_selector("main.page")
            self.configure(another)
            page.get_by_label("Admin token").wait_for()
            log_in_with(page, made)
            page.get_by_text("The token is wrong", exact=False).wait_for()
            log_in_with(page, another)
            page.wait_for_selector("main.page")
            self.assertNotIn(another, self.service.log())

        return self.look(script)


class MadeTokenTests(FaultTestCase):
    def start_service(self) -> ConsoleService:
        return MadeTokenService(Path(self.mktemp()).absolute())

    def printed_link(self) -> str:
        found = re.search(r"http://\S+/console/#token=\S+$", self.service.log(), re.MULTILINE)
        return found[0] if found else ""

    def test_the_printed_link(self) -> Deferred[Any]:
        """Opened as it was printed, it logs in; its token stays nowhere in the browser."""
        link = wait_until("it is printed", self.printed_link)
        token = link.partition("=")[2]

        def script(visit: Visit) -> None:
            page = visit.page
            page.goto(link)
            page.wait_for_selector("main.page")
            self.assertNotIn(token, page.url)
            page.reload()
            page.wait_for_selector("main.page")
            page.go_back()
            self.assertNotIn(token, page.url)
            page.go_forward()
            page.wait_for_selector("main.page")
            self.assertNotIn(token, page.url)
            kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
            self.assertNotIn(token, kept)
            self.assertNotIn(token, str(visit.context.cookies()))

        return self.look(script)


class FileTests(FaultTestCase):
    def test_a_file_of_a_chat_runs_nothing(self) -> Deferred[Any]:
        """Opened in a tab of its own, a picture that is a page can not ask the console in our name."""
        script_of = "<script>document.title='owned';fetch('/console/api/state')</script>"
        files = (
            f"<html>{script_of}",
            f'<svg xmlns="http://www.w3.org/2000/svg">{script_of}</svg>',
            f'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">{script_of}</html>',
            f"GIF89a<html>{script_of}",
        )

        def script(visit: Visit) -> None:
            visit.allowed.append("Blocked script execution")
            self.log_in(visit)
            for number, data in enumerate(files):
                code = "base64://" + base64.b64encode(data.encode()).decode()
                kind = ("image", "file")[number % 2]
                self.service.say(20001, [{"type": kind, "data": {"file": code, "name": "x.html"}}])
            world = json.dumps(self.service.transcript())
            names = set(re.findall(r"/media/([\w.-]+)", world))
            self.assertEqual(len(names), len(files))
            asked: list[str] = []
            visit.context.on("request", lambda request: asked.append(request.url))
            for name in names:
                for below in ("console/api/sandbox", "sandbox"):
                    page = visit.new_page()
                    url = f"http://127.0.0.1:{self.service.port}/{below}/{ACCOUNT}/media/{name}"
                    with contextlib.suppress(Exception):  # it is saved instead of shown
                        page.goto(url)
                    page.wait_for_timeout(50)
                    self.assertNotEqual(page.title(), "owned")
                    page.close()
            self.assertEqual([url for url in asked if url.endswith("/state")], [])

        return self.look(script)


class TabTests(FaultTestCase):
    def test_eight_tabs(self) -> Deferred[Any]:
        """All load and are live over one stream; when its tab closes, another goes on."""

        def script(visit: Visit) -> None:
            pages = [self.log_in(visit)]
            for _ in range(7):
                page = visit.new_page()
                visit.open(page=page)
                page.wait_for_selector("main.page")
                pages.append(page)
            for page in pages:
                watch(page, greeted=page is pages[0])
            wait_until("they have one stream", lambda: self.streams() == 1)
            self.service.say(20001, "to all")
            for page in pages:
                self.hears(page, "to all")
            for number in range(min(ROUNDS, 4)):
                pages.pop(0).close()
                self.service.say(20001, f"after {number}")
                for page in pages:
                    self.hears(page, f"after {number}")
                wait_until("one stream is left", lambda: self.streams() == 1)
            for page in pages:
                self.assertEqual(texts(page)[:2], ["to all", "after 0"])
                page.wait_for_selector(LOST, state="detached")

        return self.look(script)

    def test_a_browser_without_locks(self) -> Deferred[Any]:
        """As over plain HTTP from elsewhere: a tab in view has a stream, a hidden one has none."""

        def script(visit: Visit) -> None:
            visit.context.add_init_script("delete Navigator.prototype.locks; delete window.BroadcastChannel;")
            first = self.log_in(visit)
            second = visit.open(page=visit.new_page())
            second.wait_for_selector("main.page")
            for page in (first, second):
                watch(page)
            wait_until("each has one", lambda: self.streams() == 2)
            first.evaluate(_SET_HIDDEN, True)
            wait_until("the hidden tab closes its stream", lambda: self.streams() == 1)
            self.service.say(20001, "while one is hidden")
            self.hears(second, "while one is hidden")
            self.assertEqual(texts(first), [])
            first.evaluate(_SET_HIDDEN, False)
            self.hears(first, "while one is hidden")
            wait_until("both have one", lambda: self.streams() == 2)
            self.service.say(20001, "to both")
            for page in (first, second):
                self.hears(page, "to both")
                self.assertEqual(texts(page), ["while one is hidden", "to both"])

        return self.look(script)

    def test_too_many_browsers(self) -> Deferred[Any]:
        """The page whose stream made room for another says so, and asks again."""

        def script(visit: Visit) -> None:
            page = self.log_in(visit)
            watch(page)
            with contextlib.ExitStack() as stack:
                for _ in range(20):
                    connection = stack.enter_context(self.service.connect())
                    connection.sendall(
                        b"GET /console/api/stream?topics= HTTP/1.1\r\nHost: x\r\n"
                        b"Authorization: Bearer %b\r\n\r\n" % TOKEN.encode()
                    )
                    self.assertIn(b"200", connection.recv(1000))
                page.get_by_text("Too many consoles are open").wait_for()
            page.get_by_role("button", name="Try again").click()
            page.wait_for_selector(LOST, state="detached")
            wait_until("its own is left", lambda: self.streams() == 1)

        return self.look(script)
