"""Stopping: every stage has its turn, whatever the one before did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lgtwist.app.configuration import Config, parse
from lgtwist.app.data_dir import DataDir
from lgtwist.app.service import LgtwistService
from lgtwist.app.stages import Stage, stop_stages
from lgtwist.journal.report import report


class StageTests(SynchronousTestCase):
    def test_one_after_the_other(self) -> None:
        """The next stage begins when the one before has stopped; one that fails costs the others nothing."""
        stopped: list[str] = []
        slow: Deferred[None] = Deferred()

        def fail() -> None:
            raise OSError

        stages = [
            Stage("a", lambda: stopped.append("a")),
            Stage("slow", lambda: slow),
            Stage("raises", fail),
            Stage("fails", lambda: defer.fail(OSError())),
            Stage("b", lambda: stopped.append("b")),
        ]
        done = Deferred.fromCoroutine(stop_stages(stages))
        self.assertEqual(stopped, ["a"])
        slow.callback(None)
        self.successResultOf(done)
        self.assertEqual(stopped, ["a", "b"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)


class ServiceStageTests(TestCase):
    """The service on the real reactor, with a journal, where each stage in turn raises."""

    TOML = """
        data_dir = "%s"
        [server]
        endpoints = ["tcp:0:interface=127.0.0.1"]
        [[bots]]
        name = "kept"
        delivery = "at-least-once"
        [limits]
        close_timeout = "200ms"
    """

    async def check(self, number: int) -> None:
        folder = Path(self.mktemp()).absolute()
        config = parse(self.TOML % folder)
        assert isinstance(config, Config), config
        service = LgtwistService(config, reactor)
        service.prepare()
        service.startService()
        opened: Deferred[None] = Deferred()
        assert service.journal is not None
        service.journal.when_open(lambda: opened.callback(None))
        await opened
        service.directory.accounts[10001].publish(b'{"post_type":"notice","n":1}')
        stages: list[Stage] = service._stages()
        name, stop = stages[number].name, stages[number].stop

        def raise_after() -> Any:
            return defer.maybeDeferred(stop).addCallback(lambda _none: 1 // 0)

        essential = name in ("the journal", "the data directory")
        stages[number] = Stage(name, raise_after if essential else lambda: 1 // 0)
        self.patch(service, "_stages", lambda: stages)
        await service.stopService()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1, name)
        if not essential:
            await defer.maybeDeferred(stop)  # what the stage did not do, so that nothing is left
        found = report(folder / "journal.sqlite")
        self.assertEqual([account.count for account in found.accounts], [1], f"not flushed: {name}")
        again = DataDir(str(folder))
        again.lock()  # raises where the lock is not free
        again.unlock()

    def test_each_stage(self) -> Deferred[None]:
        """The journal is flushed and the lock is free all the same."""

        async def all_stages() -> None:
            for number in range(len(LgtwistService(Config(), reactor)._stages())):
                await self.check(number)

        return Deferred.fromCoroutine(all_stages())
