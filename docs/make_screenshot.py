"""Make docs/console.png, the picture of the console, from a real service and a real browser.

``pip install -e '.[test,browser]'`` and ``apt-get install -y chromium fonts-wqy-microhei`` first; then, in
the checkout, ``python docs/make_screenshot.py``. It shows the sandbox on a screen of 1280 x 800, in Chinese,
and beside it the overview on a phone, in English; both light.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, sync_playwright
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "console.png"
MOST_BYTES = 300_000
#: The view of the screen, that of the phone, and what is between them, in pixels.
WIDE, NARROW, HIGH, GAP = 1280, 390, 800, 16
TOKEN = "token-of-the-picture"  # noqa: S105  # of a service that ends with this script
BOT_TOKEN = "token-of-the-bot"  # noqa: S105
ACCOUNT, ALICE, BOB, GROUP = 10001, 20001, 20002, 30001
CONFIGURATION = """
data_dir = "data"
[server]
endpoints = ["tcp:{port}:interface=127.0.0.1"]
admin_token = "{token}"

[[accounts]]
self_id = 10001

[[accounts]]
type = "reverse-websocket"
self_id = 1234567890
access_token = "token-of-napcat"

[[bots]]
name = "nonebot"
access_token = "{bot_token}"

[[bots]]
name = "astrbot"
connection = "reverse-websocket"
url = "ws://127.0.0.1:{nobody}/ws"
"""
#: Who says what; None is the bot, which answers to the message before.
TALK: list[tuple[int | None, str]] = [
    (BOB, "[CQ:at,qq=10001] 北京天气"),
    (None, "北京：晴，12 ~ 23 ℃，西北风 2 级。适合爬山。"),
    (ALICE, "[CQ:at,qq=10001] 提醒我们八点集合"),
    (None, "好的，明天 08:00 提醒本群。"),
    (BOB, "[CQ:face,id=76] 明天见"),
]


def free_port(wanted: int = 0) -> int:
    """Return a port of 127.0.0.1 that nobody listens on: this one, if it can be had."""
    with socket.socket() as trying:
        try:
            trying.bind(("127.0.0.1", wanted))
        except OSError:
            trying.bind(("127.0.0.1", 0))
        return int(trying.getsockname()[1])


class Control:
    """The service's interface for the operator."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: Any = None) -> Any:
        """GET, or POST where there is a body; return the JSON that comes back."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  # our own service
            f"{self.base}{path}", data, {"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def say(self, user: int, message: str) -> int:
        """Say something in the group; return the number of the message."""
        words = {"user_id": user, "group_id": GROUP, "message": message}
        return int(self.ask(f"/sandbox/{ACCOUNT}/say", words)["message_id"])


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """Start a service in a folder; yield its port; end it."""
    port = free_port(8081)
    text = CONFIGURATION.format(port=port, token=TOKEN, bot_token=BOT_TOKEN, nobody=free_port())
    (folder / "lgtwist.toml").write_text(text, "utf-8")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lgtwist.command", "run"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "LGTWIST_CONFIG": "lgtwist.toml"},
            stdout=log,
            stderr=log,
        )
    try:
        for _attempt in range(150):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit(f"it does not start:\n{(folder / 'log').read_text('utf-8')}")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def talk(control: Control, bot: ClientConnection) -> str:
    """Let all say what they have to say; return the last words."""
    asked = 0
    for number, (user, text) in enumerate(TALK):
        if user is not None:
            asked = control.say(user, text)
        else:
            message = f"[CQ:reply,id={asked}]{text}"
            params = {"group_id": GROUP, "message": message}
            bot.send(json.dumps({"action": "send_group_msg", "params": params, "echo": number}))
            while json.loads(bot.recv(10)).get("echo") != number:
                pass
            time.sleep(0.4)  # they read it
    return TALK[-1][1].rpartition("] ")[2]


def show(page: Page, base: str, name: str) -> None:
    """Log in by the link, and go to one of the pages."""
    page.goto(f"{base}/console/#token={TOKEN}")
    page.wait_for_selector("nav a, header a", timeout=10_000)
    page.goto(f"{base}/console/#/{name}")
    page.wait_for_timeout(1000)


def try_to(what: str, *attempts: Any) -> None:
    """Do the first of some things that works; say so where none does."""
    for attempt in attempts:
        try:
            attempt()
            return
        except Error:
            continue
    sys.stderr.write(f"could not {what}\n")


def photograph(browser: Browser, base: str, control: Control, bot: ClientConnection) -> bytes:
    """Return the picture of both pages beside each other, a PNG."""
    wide = browser.new_page(viewport={"width": WIDE, "height": HIGH}, locale="zh-CN", color_scheme="light")
    narrow = browser.new_context(
        viewport={"width": NARROW, "height": HIGH},
        locale="en-US",
        color_scheme="light",
        is_mobile=True,
        has_touch=True,
    ).new_page()
    show(narrow, base, "overview")
    show(wide, base, "sandbox")
    try_to(
        "open the group",
        lambda: wide.get_by_role("button", name="Playground").first.click(timeout=2000),
        lambda: wide.get_by_role("link", name="Playground").first.click(timeout=1000),
        lambda: wide.get_by_text("Playground").first.click(timeout=1000),
    )
    last = talk(control, bot)
    try_to("see the last message", lambda: wide.get_by_text(last).last.wait_for(timeout=5000))
    wide.wait_for_timeout(1500)
    pictures = [base64.b64encode(page.screenshot()).decode("ascii") for page in (wide, narrow)]
    both = browser.new_page(viewport={"width": WIDE + GAP + NARROW, "height": HIGH})
    images = "".join(f'<img src="data:image/png;base64,{picture}">' for picture in pictures)
    style = f"body{{margin:0;display:flex;gap:{GAP}px;background:#d0d5dd}}"
    both.set_content(f"<style>{style}</style>{images}")
    both.wait_for_timeout(200)
    return both.screenshot()


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description="Make the picture of the console.")
    parser.add_argument("file", nargs="?", type=Path, default=PICTURE, help="where to, else docs/console.png")
    target = parser.parse_args().file
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as port, sync_playwright() as driver:
        control = Control(port)
        headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
        url = f"ws://127.0.0.1:{port}/{ACCOUNT}/"
        with connect(url, additional_headers=headers, user_agent_header="NoneBot2") as bot:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            picture = photograph(browser, control.base, control, bot)
            browser.close()
    if len(picture) > MOST_BYTES:
        sys.exit(f"{len(picture)} bytes are more than {MOST_BYTES}")
    target.write_bytes(picture)
    sys.stdout.write(f"{target}: {len(picture)} bytes\n")


if __name__ == "__main__":
    main()
