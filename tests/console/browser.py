"""A real browser for tests: Playwright drives Debian's Chromium.

Where Playwright or Chromium is missing, the tests are skipped, or fail with LGTWIST_TEST_REQUIRE_ALL=1:
``apt-get install -y chromium fonts-wqy-microhei`` and ``pip install 'lgtwist[browser]'``. With
LGTWIST_TEST_BROWSER=0 they are left out: a browser for each of many workers is slow. The browser is
launched once per process, in the one thread that Playwright's sync API needs; the server that it talks to
runs in the reactor. A test hands a function to :meth:`BrowserTestCase.visit`, which is called in that thread
with a :class:`Visit`, and must not touch anything of Twisted but by ``visit.in_reactor``.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase

from tests.integration.shared import IN_WORKER

try:
    from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]

_Result = TypeVar("_Result")

reactor: Any = _reactor

CHROMIUM = os.environ.get("LGTWIST_TEST_CHROMIUM") or shutil.which("chromium") or ""
AXE = Path(__file__).with_name("axe") / "axe.min.js"
WIDE, NARROW = 1280, 390
#: Milliseconds within which a page has to show what is waited for, on a machine that does much else, too.
PATIENCE = 20_000
if sync_playwright is not None:
    expect.set_options(timeout=PATIENCE)
#: What Chromium itself writes to the console and no page can help.
ALWAYS_ALLOWED = [r"Password forms should have"]


def why_not() -> str | None:
    """Return why there is no browser for the tests here; None if there is one."""
    if os.environ.get("LGTWIST_TEST_BROWSER") == "0":
        return "left out, for LGTWIST_TEST_BROWSER is 0"
    if sync_playwright is None:
        return "playwright is not installed"
    return None if CHROMIUM else "chromium is not installed"


def unavailable(reason: str) -> Exception:
    """The exception for a test that cannot run."""
    if os.environ.get("LGTWIST_TEST_REQUIRE_ALL") == "1":
        return AssertionError(reason)
    return SkipTest(reason)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE / 1000) -> Any:
    """Wait in the browser's thread for what happens elsewhere; return what the condition returned at last."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


def at_end(function: Callable[[], object]) -> None:
    """Call a function when the tests are over.

    In a worker of ``trial -j`` the reactor is shut down after each test, so there it is the process's end.
    """
    if IN_WORKER:
        atexit.register(function)
    else:
        reactor.addSystemEventTrigger("before", "shutdown", function)


class _Driver:
    """The browser and its thread; both end with the tests."""

    def __init__(self) -> None:
        self._jobs: Queue[Callable[[], None]] = Queue()
        self._thread: Thread | None = None
        self._playwright: Any = None
        self._browser: Browser | None = None

    def run(self, function: Callable[[Browser], _Result]) -> Deferred[_Result]:
        """Call a function with the browser, in the browser's thread."""
        if reason := why_not():
            raise unavailable(reason)
        if self._thread is None:
            self._thread = Thread(target=self._work, name="browser", daemon=True)
            self._thread.start()
            at_end(self._stop)
        done: Deferred[_Result] = Deferred()

        def job() -> None:
            try:
                result: Any = function(self._launched())
            except BaseException:
                result = Failure()
            reactor.callFromThread(lambda: None if done.called else done.callback(result))

        self._jobs.put(job)
        return done

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def _launched(self) -> Browser:
        if self._browser is None or not self._browser.is_connected():
            if self._playwright is None:
                self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox"],
                timeout=3 * PATIENCE,
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        return self._browser

    def _stop(self) -> None:
        ended = Event()
        self._jobs.put(lambda: self._close(ended))
        ended.wait(10)

    def _close(self, ended: Event) -> None:
        try:
            if self._browser is not None:
                self._browser.close()
            if self._playwright is not None:
                self._playwright.stop()
        finally:
            ended.set()


DRIVER = _Driver()


class Visit:
    """One browser context, as one person's browser, in which a test looks at pages.

    :ivar context: Playwright's context.
    :ivar page: its first page.
    :ivar allowed: regular expressions of console messages and page errors that are expected in this test.
    :ivar problems: what was found that must not be: errors in the console and in pages, requests to other
        hosts, pages that scroll sideways.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.host = urlsplit(url).netloc
        self.allowed = list(ALWAYS_ALLOWED)
        self.problems: list[str] = []
        self._pages: list[Page] = []
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: self._requested(request.url))
        self.page = self.new_page()

    def new_page(self) -> Page:
        """Open another tab of the same browser."""
        page = self.context.new_page()
        self._pages.append(page)
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self._problem(f"page error: {error}"))
        return page

    def open(self, fragment: str = "", page: Page | None = None) -> Page:
        """Load the console's page, with what stands behind ``#``."""
        page = page or self.page
        page.goto(f"{self.url}#{fragment}" if fragment else self.url)
        return page

    def wait_for(self, expression: str, page: Page | None = None, argument: Any = None) -> Any:
        """Wait until an expression is true in a page; return its value.

        Playwright's ``wait_for_function`` does not run under the console's policy: it evaluates strings.
        """
        page = page or self.page

        def evaluated() -> Any:
            page.wait_for_timeout(20)  # lets Playwright handle events
            return page.evaluate(expression, argument)

        return wait_until(evaluated, expression)

    def in_reactor(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the reactor's thread; return what it returns, or its Deferred fires with."""
        future: Future[Any] = Future()

        def call() -> None:
            done = maybeDeferred(function, *arguments)
            done.addCallbacks(future.set_result, lambda failure: future.set_exception(failure.value))

        reactor.callFromThread(call)
        return future.result(timeout=30)

    def check(self) -> None:
        """Note each open page that can be scrolled sideways."""
        for page in self._pages:
            if page.is_closed():
                continue
            there, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            if there > room:
                self.problems.append(f"{page.url} is {there} px wide in {room} px")

    def small_targets(self, page: Page | None = None, least: int = 36) -> list[str]:
        """Return the controls in view that are smaller than a finger needs: their text and size."""
        return (page or self.page).evaluate(
            """least => [...document.querySelectorAll("a, button, input, select, textarea, summary")]
                .filter(each => each.checkVisibility() && !each.closest(".hidden, .skip"))
                .map(each => [each, each.getBoundingClientRect(), each.closest("label")])
                .map(([each, box, label]) => [each, label ? label.getBoundingClientRect() : box])
                .filter(([, box]) => box.width > 0 && (box.height < least - 0.5 || box.width < least - 0.5))
                .map(([each, box]) => `${each.outerHTML.slice(0, 120)}: ${box.width} x ${box.height}`)""",
            least,
        )

    def barriers(self, page: Page | None = None, *, slight: bool = False) -> list[str]:
        """Return the serious and critical violations that axe-core finds in a page.

        It is evaluated, not added to the page: the console's policy forbids that.

        :param slight: whether all others are returned, too.
        """
        page = page or self.page
        page.evaluate(AXE.read_text("utf-8") + ";0")
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert found["passes"]
        return [
            f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes']]}"
            for each in found["violations"]
            if slight or each["impact"] in ("serious", "critical")
        ]

    def _requested(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != self.host:
            self.problems.append(f"a request to another host: {url}")

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self._problem(f"console {kind}: {text}")

    def _problem(self, text: str) -> None:
        if not any(re.search(pattern, text) for pattern in self.allowed):
            self.problems.append(text)


class BrowserTestCase(TestCase):
    """A test with a browser, in which nothing moves: what is read right after an action is final."""

    timeout = 180
    # Known before a service is started for it.
    if (_reason := why_not()) and (
        os.environ.get("LGTWIST_TEST_BROWSER") == "0" or os.environ.get("LGTWIST_TEST_REQUIRE_ALL") != "1"
    ):
        skip = _reason

    def visit(
        self,
        url: str,
        script: Callable[[Visit], Any],
        *,
        width: int = WIDE,
        language: str = "zh-CN",
        dark: bool = False,
        **options: Any,
    ) -> Deferred[Any]:
        """Let a function look at the console in a new browser context; fail where something is wrong there.

        :param url: the console's, with a slash at its end.
        :param script: called in the browser's thread; what it returns is the result.
        :param width: of the view, in pixels; below 700 it is a phone's.
        :param options: further ones of Playwright's ``new_context``.
        """
        phone = width < 700
        picture = Path(f"{self.mktemp()}.png").absolute()

        def look(browser: Browser) -> Any:
            context = browser.new_context(
                viewport={"width": width, "height": 844 if phone else 800},
                is_mobile=phone,
                has_touch=phone,
                locale=language,
                color_scheme="dark" if dark else "light",
                reduced_motion="reduce",
                **options,
            )
            try:
                visit = Visit(context, url)
                try:
                    result = script(visit)
                    visit.check()
                except Exception as error:
                    visit.page.screenshot(path=picture)
                    raise AssertionError(f"{error}\n{visit.problems}\nsee {picture}") from error
                if visit.problems:
                    raise AssertionError("\n".join(visit.problems))
                return result
            finally:
                context.close()

        return DRIVER.run(look)
