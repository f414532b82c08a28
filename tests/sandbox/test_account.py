"""The file behind a sandbox account."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.hub.account import Account
from lgtwist.sandbox.account import SandboxAccount
from lgtwist.sandbox.files.media import MediaStore
from lgtwist.sandbox.store import WorldStore

ALICE = 20001


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def sandbox(self) -> SandboxAccount:
        """One that has read its world, as before the start."""
        account = Account(10001, self.clock, self.clock.seconds)
        made = SandboxAccount(account, self.path, cast(MediaStore, None), self.clock.seconds)
        made.prepare()
        return made

    def block(self) -> None:
        """The file cannot be opened any more."""
        self.path.unlink()
        self.path.mkdir()

    def say(self, sandbox: SandboxAccount, words: str) -> None:
        sandbox.world.send_as_person(ALICE, [{"type": "text", "data": {"text": words}}], sandbox.now())
        sandbox.publish_and_save()
        self.clock.advance(0)

    def kept(self) -> list[str]:
        """What was said, as the file has it."""
        store = WorldStore(self.path)
        self.addCleanup(store.close)
        return [record.raw_message for record in store.records() if hasattr(record, "raw_message")]

    def lines(self) -> list[str]:
        return [text for text in map(formatEvent, self.seen) if text.startswith("sandbox ")]

    def test_unusable_at_the_start(self) -> None:
        """The account is up all the same, one line says why, and all is written once it can be."""
        sandbox = self.sandbox()
        self.block()
        sandbox.startService()
        self.assertTrue(sandbox.account.is_up)
        self.say(sandbox, "one")
        self.assertEqual(len(self.lines()), 1)
        self.assertIn("cannot be written", self.lines()[0])
        self.path.rmdir()
        self.say(sandbox, "two")
        self.assertEqual(self.kept(), ["one", "two"])
        self.assertEqual(self.lines()[1:], [f"sandbox {self.path} is written again"])
        sandbox.stopService()

    def test_unusable_until_the_end(self) -> None:
        """What can be written only then is written then; what cannot even then ends nothing else."""
        for usable in (True, False):
            sandbox = self.sandbox()
            self.block()
            sandbox.startService()
            self.say(sandbox, "one")
            if usable:
                self.path.rmdir()
            sandbox.stopService()
            self.clock.advance(1)
            self.assertFalse(sandbox.account.is_up)
            if usable:
                self.assertEqual(self.kept(), ["one"])
