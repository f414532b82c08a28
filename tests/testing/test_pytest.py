"""The pytest plugin: what tests of bots look like there, and what they say where they fail."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.processes import ROOT

CONFTEST = """
import pytest
from tests.testing.running import EchoBot

@pytest.fixture(scope="session", autouse=True)
def bot(sandbox_process, tmp_path_factory):
    bot = EchoBot(sandbox_process, tmp_path_factory.mktemp("bot"))
    yield bot
    bot.end()

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

GOOD = """
import asyncio, re
import pytest

def test_sync(sandbox, expect):
    said = sandbox.alice.says("/echo hello")
    assert expect.reply("hello", to=said).from_bot
    expect.silence(0.1)
    bob = sandbox.bob.in_group()
    bob.says("/echo hello all")
    bob.hears(re.compile("all$"))
    sandbox.carol.asks_to_be_friend()
    expect.action("set_friend_add_request", approve=True, succeeded=True)

def test_faults(sandbox, expect):
    with sandbox.faults.fail("set_group_*", 1200, message="no right") as fault:
        sandbox.bob.in_group().says("/ban")
        assert expect.action("set_group_ban", user_id=sandbox.bob).message == "no right"
        assert fault.applied == 1

@pytest.mark.asyncio
async def test_blocking_in_a_coroutine(sandbox, expect):
    bob = sandbox.bob
    await bob.says("/echo hello, Bob")
    assert (await bob.hears(matching="Bob$")).from_bot
    await expect.silence(0.1)

def test_fresh(sandbox):
    assert [one.user_id for one in sandbox.transcript()] == []
    assert sandbox.actions() == []

async def converse(sandbox):
    await sandbox.alice.says("/echo hello")
    assert (await sandbox.alice.hears()).text == "hello"
    alice, bob = sandbox.alice, sandbox.bob.in_group()
    heard = await asyncio.gather(
        alice.hears("1"), bob.hears("2"), bob.says("/echo 2"), alice.says("/echo 1")
    )
    assert [one.text for one in heard] == ["1", "2", "/echo 2", "/echo 1"]
    async with sandbox.faults.fail("send_msg", times=None) as fault:
        await bob.says("/echo 3")
        await sandbox.expect.action("send_msg", succeeded=False)
        assert await fault.applied() == 1
    eve = await sandbox.person("Eve")
    garden = await sandbox.group("Garden", [eve])
    await eve.in_group(garden).says("/echo 4")
    await sandbox.expect.reply("4", to=garden)
    await sandbox.expect.silence(0.1)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(eve.hears(within=600), 0.1)
    assert await sandbox.faults.drop_events()
    assert eve.name == "Eve" and len(await sandbox.transcript()) == 9

@pytest.mark.asyncio
async def test_asyncio(async_sandbox):
    await converse(async_sandbox)

@pytest.mark.anyio
async def test_anyio(async_sandbox):
    await converse(async_sandbox)

def test_asyncio_run(async_sandbox):
    asyncio.run(converse(async_sandbox))
"""

BAD = """
import pytest

def test_silent(sandbox, expect):
    sandbox.alice.in_group(sandbox.playground).says("nothing for you")
    expect.reply("a reply", within=1)

@pytest.mark.asyncio
async def test_silent_async(async_sandbox):
    await async_sandbox.alice.says("/echo hello")
    await async_sandbox.expect.action("send_msg")
    await async_sandbox.alice.hears("good day", within=0.1)

@pytest.fixture
def broken(sandbox):
    sandbox.alice.says("before the fixture failed")
    raise RuntimeError("no such feature")

def test_broken_fixture(broken):
    pass

def test_plain_assertion(sandbox):
    sandbox.alice.says("/echo hello")
    assert sandbox.alice.hears().text == "good day"

@pytest.mark.asyncio
async def test_refused(async_sandbox):
    chess = await async_sandbox.group("Chess", [async_sandbox.bob])
    await async_sandbox.carol.in_group(chess).says("let me play")

def test_the_bot_ends(sandbox, expect):
    sandbox.alice.says("/exit")
    expect.reply(within=600)
"""

NO_BOT = """
def test_nobody(sandbox, expect):
    sandbox.alice.says("hello")
    expect.reply()
"""


class PytestTestCase(SynchronousTestCase):
    environment: ClassVar[dict[str, str]] = {}

    def setUp(self) -> None:
        for name in ("pytest", "pytest_asyncio"):
            if importlib.util.find_spec(name) is None:
                reason = f"{name} is not installed"
                if os.environ.get("LGTWIST_TEST_REQUIRE_ALL") == "1":
                    raise AssertionError(reason)
                raise SkipTest(reason)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")

    def pytest(self, *options: str, **files: str) -> tuple[int, str]:
        """Run pytest over some files, by their names without ``.py``; its exit status and output."""
        for name, source in files.items():
            (self.folder / f"{name}.py").write_text(source)
        # The entry point is that of an installation, which may be of another checkout, or not be made anew.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        plugins = ("lgtwist.testing.plugin", "anyio.pytest_plugin", "pytest_asyncio.plugin")
        named = [word for plugin in plugins for word in ("-p", plugin)]
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *named, *options],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return run.returncode, run.stdout + run.stderr


class RunTests(PytestTestCase):
    def test_good_and_bad(self) -> None:
        """What is as expected passes, sync and async; what is not fails with all that happened."""
        status, said = self.pytest(
            "-W",
            "error",
            "--lgtwist-within=30",
            "--lgtwist-log=lgtwist.log",
            conftest=CONFTEST,
            test_good=GOOD,
            test_zbad=BAD,
        )
        self.assertEqual(status, 1, said)
        self.assertIn("5 failed, 7 passed, 1 error", said)
        silent, silent_async, plain, refused, ended = (
            said.partition(f"_ {name} _")[2].partition("\n____")[0]
            for name in (
                "test_silent",
                "test_silent_async",
                "test_plain_assertion",
                "test_refused",
                "test_the_bot_ends",
            )
        )
        self.assertIn("expected a reply 'a reply' within 1 s", silent)
        self.assertIn("Alice (20001) in Playground (30001): nothing for you", silent)
        self.assertIn("What the bot called:\nE         (nothing)", silent)
        self.assertIn("log of bot 'bot' (running):\nE         got nothing for you", silent)
        self.assertIn("expected a message 'good day' for Alice within 0.1 s", silent_async)
        self.assertIn('send_msg(message_type="private", message="hello", user_id=20001) -> ok', silent_async)
        for text in (silent, silent_async, refused):  # the reader's own lines, and none of ours
            self.assertNotIn("lgtwist/testing", text)
            self.assertNotIn("concurrent/futures", text)
        self.assertIn("Alice (20001): before the fixture failed", said)
        self.assertIn("- lgtwist sandbox -", plain)
        self.assertIn("bot to Alice (20001): hello   <- as expected", plain)
        self.assertRegex(refused, r"SandboxRefused: 20003 is not in group \d+")
        self.assertIn("no bot is connected: bot 'bot' ended with status 1", ended)
        self.assertIn("I was told to", ended)
        self.assertIn("account 10001 is up", (self.folder / "lgtwist.log").read_text("utf-8"))

    def test_no_bot(self) -> None:
        """That no bot is there is said first."""
        options = '{"bots": [{"name": "mine", "access_token": "secret"}]}'
        conftest = (
            f"import pytest\n@pytest.fixture(scope='session')\ndef sandbox_options():\n    return {options}\n"
        )
        status, said = self.pytest("--lgtwist-within=0.1", conftest=conftest, test_it=NO_BOT)
        self.assertEqual(status, 1, said)
        self.assertIn("expected a reply within 0.1 s: no bot is connected: nothing has dialled ws://", said)
        self.assertIn("with the access token of 'mine', and the test has started no bot", said)


class ImportTests(PytestTestCase):
    def test_what_is_imported(self) -> None:
        """Whoever has lgtwist installed and uses pytest for something else pays for nothing."""
        check = (
            "import sys, pytest\nbefore = set(sys.modules)\nimport lgtwist.testing.plugin\n"
            "print(*sorted(set(sys.modules) - before))"
        )
        run = subprocess.run(
            [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(set(run.stdout.split()), {"lgtwist", "lgtwist.testing", "lgtwist.testing.plugin"})

    def test_nothing_of_twisted(self) -> None:
        """Whatever of it is used, in whichever test: the service has a process of its own."""
        check = (
            "import sys\nfrom lgtwist.testing import *\n"
            "print(*(name for name in sys.modules if name.partition('.')[0] in "
            "('twisted', 'zope', 'autobahn', 'msgspec', 're2', 'OpenSSL')))"
        )
        run = subprocess.run(
            [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(run.stdout.split(), [])

    def test_public_names(self) -> None:
        """Each can be had; another one is an AttributeError."""
        import lgtwist.testing

        self.assertEqual(dir(lgtwist.testing), sorted(lgtwist.testing.__all__))
        for name in lgtwist.testing.__all__:
            self.assertEqual(getattr(lgtwist.testing, name).__name__, name)
        self.assertRaises(AttributeError, getattr, lgtwist.testing, "nonsense")
