"""A test case for bots on trial: the sandbox's methods are awaited in ``async def`` tests."""

from __future__ import annotations

import atexit
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lgtwist.testing.asynchronous import AsyncExpect, AsyncPerson, AsyncSandbox
from lgtwist.testing.bots import BotUnderTest
from lgtwist.testing.people import DEFAULT_WITHIN, Sandbox
from lgtwist.testing.service import SandboxProcess

Result = TypeVar("Result")

_processes: dict[str, SandboxProcess] = {}


def _defer_to_thread(function: Callable[[], Result], /) -> Awaitable[Result]:
    return deferToThread(function)


class SandboxTestCase(TestCase):
    """A test case with a sandbox, whose world is fresh for each test.

    Classes with the same options and bots share one service and those bots, until the process ends. Tests
    are ``async def`` methods, or return ``Deferred.fromCoroutine(...)``.

    :cvar sandbox_options: what :class:`SandboxProcess` is made with.
    :cvar sandbox_bots: the bots under test, such as ``BotCommand([...])``, which are started once.
    :cvar sandbox_within: seconds that an expectation waits where it is given no time limit of its own.
    :ivar process: the service.
    :ivar sandbox: the sandbox.
    :ivar expect: its expectations.
    """

    sandbox_options: ClassVar[Mapping[str, Any]] = {}
    sandbox_bots: ClassVar[Sequence[BotUnderTest]] = ()
    sandbox_within: ClassVar[float] = DEFAULT_WITHIN

    async def setUp(self) -> None:  # type: ignore[override] # trial awaits it
        """Start the service if need be, and begin with a fresh world."""
        self.process = await deferToThread(self._started)
        sandbox = await deferToThread(Sandbox, self.process, within=self.sandbox_within)
        self.sandbox = AsyncSandbox(sandbox, run=_defer_to_thread)
        self.expect: AsyncExpect = self.sandbox.expect
        self.addCleanup(self._clean_up, sandbox)
        if self.process.attached:
            await self.sandbox.wait_for_bot()

    def _started(self) -> SandboxProcess:
        options = sorted(self.sandbox_options.items(), key=lambda item: item[0])
        key = repr((options, [id(bot) for bot in self.sandbox_bots]))
        process = _processes.get(key)
        if process is None:
            process = _processes[key] = SandboxProcess(**self.sandbox_options)
            atexit.register(process.close)
        process.start()
        for bot in self.sandbox_bots:
            if bot not in process.attached:
                bot.start(process)
                atexit.register(bot.close)
        return process

    async def _clean_up(self, sandbox: Sandbox) -> None:
        if self.process.alive:
            await self.sandbox.faults.clear()
        sandbox.client.close()

    @property
    def alice(self) -> AsyncPerson:
        """Alice (20001), a friend of the bot, and the owner of the Playground."""
        return self.sandbox.alice

    @property
    def bob(self) -> AsyncPerson:
        """Bob (20002), a friend of the bot, and a member of the Playground."""
        return self.sandbox.bob

    @property
    def carol(self) -> AsyncPerson:
        """Carol (20003), no friend of the bot, and a member of the Playground."""
        return self.sandbox.carol
