"""Bots under test, as commands and as objects, with a real service."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.testing import bots
from lgtwist.testing.bots import (
    BotAddress,
    BotCommand,
    BoundedLog,
    nonebot_env,
)
from lgtwist.testing.control import SandboxError
from lgtwist.testing.in_process_bots import InProcessBot, report_unless_cancelled
from lgtwist.testing.people import Sandbox
from lgtwist.testing.service import SandboxProcess
from tests.frameworks.frameworks import need
from tests.processes import ROOT, inherited_environment, wait_until

HERE = Path(__file__).parent
DIALLING = [sys.executable, str(HERE / "dialling_bot.py"), "{ws_url}"]
TOKEN = {"TOKEN": "{access_token}"}

#: A bot that listens for events, and answers each message in the response.
POSTED = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = b"{}"
        if event["post_type"] == "message":
            answer = json.dumps({"reply": event["raw_message"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

#: NoneBot2 can be prepared once per process: a process of its own.
NONEBOT = """
import asyncio, sys
import nonebot
from nonebot import on_message
from nonebot.adapters.onebot.v11 import Adapter, MessageEvent
from lgtwist.testing import AsyncSandbox, InProcessBot, Sandbox, SandboxProcess, nonebot_env, set_environment

driver, token = sys.argv[1:]
with SandboxProcess() as process:
    if token == "of the environment":
        set_environment(process, nonebot_env())
        nonebot.init(driver=driver)
    else:
        nonebot.init(driver=driver, onebot_access_token=token)
    nonebot.get_driver().register_adapter(Adapter)
    messages = on_message()

    @messages.handle()
    async def answer(event: MessageEvent) -> None:
        await messages.finish(event.get_message())

    bot = InProcessBot(nonebot.get_driver())
    with bot.start(process):
        for word in ("one", "two"):
            sandbox = Sandbox(process)
            sandbox.alice.says(word)
            sandbox.expect.reply(word)
            if word == "one":
                bot.restart()
        assert "connected" in bot.log(), bot.log()

    async def in_this_loop():
        async with bot.in_this_loop(process):
            sandbox = AsyncSandbox(Sandbox(process))
            await sandbox.alice.says("three")
            await sandbox.alice.hears("three")
            login = await nonebot.get_bot().get_login_info()
            assert login["user_id"] == 10001

    asyncio.run(in_this_loop())
    assert bot.ended() == "was stopped", bot.ended()
"""

#: Tests that are killed: a service, a bot, and its child.
KILLED = """
import sys, time
from lgtwist.testing import BotCommand, SandboxProcess

process = SandboxProcess(sys.argv[1]).start()
bot = BotCommand([*sys.argv[2:], "child", "stays"], env={"TOKEN": "{access_token}"}, ready="^READY$")
bot.start(process)
print(bot.log(), flush=True)
time.sleep(60)
"""


@functools.cache
def service() -> SandboxProcess:
    """Return a service that the tests of this module share."""
    process = SandboxProcess()
    atexit.register(process.close)
    return process.start()


def pids(log: str) -> list[int]:
    """Return the processes that a bot names in its log."""
    return [int(number) for number in re.findall(r"^pid (\d+)$", log, re.MULTILINE)]


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended and is not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class AddressTests(SynchronousTestCase):
    def test_what_is_filled_in(self) -> None:
        """Names in braces get their values; other braces stay, as JSON has them."""
        address = BotAddress("ws://127.0.0.1:1/", "http://127.0.0.1:1", "t{port}", 10001, 2)
        self.assertEqual(address.fill('["{ws_url}"] {http_url}'), '["ws://127.0.0.1:1/"] http://127.0.0.1:1')
        self.assertEqual(address.fill('{"{self_id}": {}} {port} {name}'), '{"10001": {}} 2 {name}')
        self.assertEqual(address.fill("{access_token}"), "t{port}")

    def test_nonebot2(self) -> None:
        """A bot that lgtwist dials is given nothing to dial."""
        self.assertEqual(json.loads(nonebot_env()["ONEBOT_WS_URLS"]), ["{ws_url}"])
        self.assertEqual(json.loads(nonebot_env(dials=False)["ONEBOT_WS_URLS"]), [])

    def test_mistakes(self) -> None:
        """A command that is a string, and an object that is no bot, are refused at once."""
        self.assertIn("a list", str(self.assertRaises(TypeError, BotCommand, "python bot.py")))
        self.assertIn("no driver", str(self.assertRaises(TypeError, InProcessBot, object())))
        with self.assertRaises(SandboxError) as raised, BotCommand(["python"]):
            pass
        self.assertIn("is not started", str(raised.exception))


class BoundedLogTests(SynchronousTestCase):
    def test_the_end_is_kept(self) -> None:
        """The oldest output is forgotten, and positions in it stay what they were."""
        log = BoundedLog(100)
        for number in range(100):
            log.write(b"%09d\n" % number)
        self.assertEqual(log.size, 1000)
        self.assertTrue(100 <= len(log.read()) <= 110)
        self.assertEqual(log.read(980), "000000098\n000000099\n")
        self.assertEqual(log.read(1000), "")
        self.assertEqual(log.read(5), log.read())

    def test_one_that_is_longer_than_the_limit(self) -> None:
        """What came last stays, however long it is."""
        log = BoundedLog(3)
        log.write(b"before")
        log.write(b"\x1b[1mlonger\x1b[0m\n")
        self.assertEqual(log.read(), "longer\n")


class CommandTests(SynchronousTestCase):
    def command(self, *words: str, **options: Any) -> BotCommand:
        need("websockets")
        bot = BotCommand([*DIALLING, *words], **{"env": TOKEN, "ready": "^READY$", **options})
        self.addCleanup(bot.close)
        return bot

    def test_it_answers_and_is_started_again(self) -> None:
        """It is told where the sandbox is; what is said while it is away is not answered later."""
        bot = self.command()
        with bot.start(service()) as started:
            self.assertIs(started, bot)
            self.assertIn(bot, service().attached)
            self.assertIsNone(bot.ended())
            self.assertTrue(bot.log().endswith("READY\n"), bot.log())
            self.assertIn("runs already", str(self.assertRaises(SandboxError, bot.start, service())))
            sandbox = Sandbox(service())
            sandbox.alice.says("hello")
            sandbox.expect.reply("hello")
            with bot.stopped():
                self.assertEqual(bot.ended(), "was stopped")
                sandbox.alice.says("is anybody there?")
            sandbox.expect.silence(0.1)
            bot.restart(kill=True)
            sandbox.alice.says("and now?")
            sandbox.expect.reply("and now?")
            self.assertEqual(len(set(pids(bot.log()))), 3)
            self.assertEqual(len(pids(bot.log(bot.log_size()))), 0)
        self.assertNotIn(bot, service().attached)
        self.assertEqual([pid for pid in pids(bot.log()) if is_running(pid)], [])

    def test_children_end_too(self) -> None:
        """Its children are ended with it, also where they do not end when they are asked."""
        self.patch(bots, "GRACE", 0.1)
        with self.command("child", "stubborn").start(service()) as bot:
            started = pids(bot.log())
            self.assertEqual(len(started), 2)
            self.assertTrue(all(map(is_running, started)))
        wait_until("all have ended", lambda: not any(map(is_running, started)))

    def test_it_ends_before_it_is_connected(self) -> None:
        """That is said at once, with what it has written."""
        command = [sys.executable, "-c", "import sys; print('no settings'); sys.exit(3)"]
        error = self.assertRaises(SandboxError, BotCommand(command, within=20).start, service())
        self.assertIn("bot 'bot' ended with status 3 before it was connected", str(error))
        self.assertIn("The end of the log of the bot:\n  no settings\n", str(error))
        self.assertEqual(service().attached, [])

    def test_there_is_no_such_program(self) -> None:
        """That is said at once, with its name."""
        error = self.assertRaises(SandboxError, BotCommand(["/no/such/bot"]).start, service())
        self.assertIn("/no/such/bot cannot be started: ", str(error))

    def test_what_it_wrote_last(self) -> None:
        """The log of one that has ended is read to its end first."""
        bot = BotCommand([sys.executable])
        writer = threading.Timer(0.05, bot._output.write, [b"its last words\n"])
        bot._reader, bot._supervisor = writer, Mock(poll=lambda: 3)
        writer.start()
        self.assertEqual(bot.log(), "its last words\n")

    def test_there_is_no_such_folder(self) -> None:
        """That is said at once, and nothing is left to be waited for."""
        error = self.assertRaises(
            SandboxError, BotCommand([sys.executable], cwd="/no/such/folder").start, service()
        )
        self.assertIn("bot 'bot' has no folder /no/such/folder to run in", str(error))
        self.assertEqual(service().attached, [])

    def test_it_does_not_connect(self) -> None:
        """That is said when the time is over, with what lgtwist says about it."""
        error = self.assertRaises(
            SandboxError, self.command(env={"TOKEN": "wrong"}, within=1.0).start, service()
        )
        self.assertRegex(str(error), "bot 'bot' (has not connected within 1 s|ended with status 1)")
        self.assertIn("The end of the log of lgtwist:", str(error))
        self.assertIn("refused", str(error))

    def test_another_name(self) -> None:
        """A bot that is not in the configuration yet is added to it, with a token of its own."""
        with self.command(name="second").start(service()) as bot:
            assert bot.address is not None
            self.assertIn("second", service().bot_names)
            self.assertNotEqual(bot.address.access_token, service().access_token_of("bot"))
        service().remove_bot("second")

    def test_no_proxy_stands_between(self) -> None:
        """A proxy of the environment is not asked for 127.0.0.1."""
        self.patch(os, "environ", {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": "a.example"})
        os.environ["http_proxy"] = os.environ["HTTP_PROXY"]
        with self.command(within=20).start(service()):
            pass

    def test_events_are_posted_to_it(self) -> None:
        """A bot that is no WebSocket server counts as connected once it listens."""
        process = SandboxProcess(bots=())
        self.addCleanup(process.close)
        command = [sys.executable, "-c", POSTED, "{port}"]
        with BotCommand(command, url="http://127.0.0.1:{port}/", access_token="").start(process):
            sandbox = Sandbox(process)
            sandbox.alice.says("hello")
            sandbox.expect.reply("hello")

    def test_the_tests_are_killed(self) -> None:
        """The bot and its children end with the tests, however these end."""
        need("websockets")
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(Path(self.mktemp()).absolute()), *DIALLING],
            env={**inherited_environment(), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        ) as tests:
            assert tests.stdout is not None
            lines = [tests.stdout.readline().decode() for _ in range(2)]
            os.kill(tests.pid, signal.SIGKILL)
        started = pids("".join(lines))
        self.assertEqual(len(started), 2, lines)
        wait_until("all have ended", lambda: not any(map(is_running, started)))


class InProcessTests(SynchronousTestCase):
    def test_a_coroutine_that_dials(self) -> None:
        """It runs in a thread of its own, and is cancelled in the end."""
        need("websockets")
        from websockets.asyncio.client import connect

        seen: list[str] = []

        async def run(address: BotAddress) -> None:
            headers = {"Authorization": f"Bearer {address.access_token}"}
            seen.append(threading.current_thread().name)
            try:
                async with connect(address.ws_url, additional_headers=headers, proxy=None) as connection:
                    async for _event in connection:
                        pass
            finally:
                seen.append("the end")

        with InProcessBot(run).start(service()) as bot:
            self.assertIsNone(bot.ended())
        self.assertEqual(seen, ["bot 'bot'", "the end"])
        self.assertEqual(bot.ended(), "was stopped")

    def test_a_coroutine_that_fails(self) -> None:
        """What it raised is said at once."""

        async def run(_address: BotAddress) -> None:
            raise RuntimeError("no plugins")

        error = self.assertRaises(SandboxError, InProcessBot(run).start, service())
        self.assertIn("ended with RuntimeError('no plugins') before it was connected", str(error))
        self.assertIn('raise RuntimeError("no plugins")', str(error))

    def test_aiocqhttp_in_the_loop_of_the_test(self) -> None:
        """The token is that of the object; it may be run once more."""
        need("aiocqhttp")
        from aiocqhttp import CQHttp, Event

        from lgtwist.testing.asynchronous import AsyncSandbox

        bot = CQHttp(access_token="its-own")

        @bot.on_message
        async def answer(event: Event) -> dict[str, Any]:
            return {"reply": threading.current_thread().name}

        async def once() -> None:
            async with InProcessBot(bot).in_this_loop(process):
                sandbox = AsyncSandbox(process)
                await sandbox.alice.says("hello")
                await sandbox.alice.hears(threading.current_thread().name)

        process = SandboxProcess(bots=())
        self.addCleanup(process.close)
        for _ in range(2):
            asyncio.run(once())
        self.assertEqual(process.attached, [])

    def test_connections_that_its_end_cut(self) -> None:
        """Nobody reads of them in the log of the tests; other errors of callbacks are logged."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        with self.assertLogs("asyncio", "ERROR") as logged:
            for error in (asyncio.CancelledError(), ValueError("a mistake")):
                report_unless_cancelled(loop, {"message": "in a callback", "exception": error})
        self.assertEqual(len(logged.records), 1)
        self.assertIn("a mistake", logged.output[0])

    def run_nonebot(self, driver: str, *packages: str, token: str = "the-t0ken") -> None:
        need("nonebot2", "nonebot-adapter-onebot", *packages)
        ended = subprocess.run(
            [sys.executable, "-c", NONEBOT, driver, token],
            env={**inherited_environment(), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=120,
            cwd=self.make_folder(),
        )
        self.assertEqual(ended.returncode, 0, (ended.stdout + ended.stderr).decode("utf-8", "replace"))

    def make_folder(self) -> Path:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        return folder

    def test_nonebot2_that_is_dialled(self) -> None:
        """NoneBot2 with FastAPI, in a thread, started again, and in the loop of the test."""
        self.run_nonebot("~fastapi", "fastapi", "uvicorn")

    def test_nonebot2_that_dials(self) -> None:
        """NoneBot2 with a driver that only dials, and was prepared before the sandbox was there, or after."""
        self.run_nonebot("~websockets", "websockets")
        self.run_nonebot("~websockets", "websockets", token="of the environment")
