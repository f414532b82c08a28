"""The test case for trial: it is one itself."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread

from lgtwist.testing.asynchronous import AsyncFaults, AsyncMember, AsyncPerson, AsyncSandbox
from lgtwist.testing.expectations import Expect, ExpectationFailed
from lgtwist.testing.faults import SandboxFaults
from lgtwist.testing.people import Sandbox, SandboxMember, SandboxPerson
from lgtwist.testing.trial import SandboxTestCase
from tests.processes import PATIENCE
from tests.testing.running import EchoBot


class TrialTests(SandboxTestCase):
    sandbox_within = PATIENCE
    bot: ClassVar[EchoBot | None] = None

    async def setUp(self) -> None:
        await super().setUp()
        bot = await deferToThread(EchoBot, self.process, self.process.folder)
        self.addCleanup(deferToThread, bot.end)
        await self.sandbox.wait_for_bot()

    async def test_a_conversation(self) -> None:
        """Everything is awaited, while the reactor goes on."""
        turns: list[int] = []
        reactor.callLater(0, turns.append, 1)  # type: ignore[attr-defined]
        alice, bob = self.alice, self.bob.in_group()
        await alice.says("/echo hello")
        self.assertEqual((await alice.hears("hello")).text, "hello")
        await bob.says("/ban")
        await self.expect.action("set_group_ban", user_id=bob, succeeded=True)
        async with self.sandbox.faults.fail("send_msg"):
            await self.carol.says("/echo x")
            await self.expect.action("send_msg", succeeded=False)
        await self.expect.silence(0.05)
        self.assertEqual(turns, [1])

    async def test_a_failure(self) -> None:
        """It has the conversation and the bot's log, and no frames of threads."""
        await self.alice.says("/echo hello")
        await self.expect.reply()
        with self.assertRaises(ExpectationFailed) as caught:
            await self.expect.reply("x", within=0)
        self.assertIn("bot to Alice (20001): hello", str(caught.exception))
        self.assertIn("got /echo hello", str(caught.exception))

    async def test_cancelled(self) -> None:
        """A wait that is cancelled ends in its thread, too."""
        waiting = Deferred.fromCoroutine(self.alice.hears(within=600))
        reactor.callLater(0.05, waiting.cancel)  # type: ignore[attr-defined]
        with self.assertRaises(CancelledError):
            await waiting
        pool: Any = reactor.getThreadPool()  # type: ignore[attr-defined]
        while pool.working:
            await deferToThread(lambda: None)

    async def test_the_same_names(self) -> None:
        """What can be done and expected in a blocking test can be in an asynchronous one."""
        pairs: list[tuple[type, type, set[str]]] = [
            (Sandbox, AsyncSandbox, {"group_of", "name_of", "file"}),
            (SandboxPerson, AsyncPerson, set()),
            (SandboxMember, AsyncMember, set()),
            (Expect, type(self.expect), {"hears"}),
            (SandboxFaults, AsyncFaults, set()),
        ]
        for blocking, asynchronous, inner in pairs:
            names = {name for name in dir(blocking) if not name.startswith("_")} - inner
            self.assertEqual(names - set(dir(asynchronous)), set(), blocking)
        for blocking, asynchronous in (
            (Sandbox.person, AsyncSandbox.person),
            (Sandbox.group, AsyncSandbox.group),
        ):
            self.assertEqual(
                list(inspect.signature(blocking).parameters), list(inspect.signature(asynchronous).parameters)
            )
