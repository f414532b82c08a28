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
from lgtwist.sandbox.stored_world import decode_world_file

ALICE = 20001


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def sandbox(self) -> SandboxAccount:
        """Return a sandbox that has read its world and is not started."""
        account = Account(10001, self.clock, self.clock.seconds)
        made = SandboxAccount(account, self.path, cast(MediaStore, None), self.clock.seconds)
        made.prepare()
        return made

    def block(self) -> None:
        """Replace the file by a folder, so that it cannot be opened."""
        self.path.unlink()
        self.path.mkdir()

    def say(self, sandbox: SandboxAccount, words: str) -> None:
        sandbox.world.send_as_person(ALICE, [{"type": "text", "data": {"text": words}}], sandbox.now())
        sandbox.publish_and_save()
        self.clock.advance(0)

    def saved_messages(self) -> list[str]:
        """Return the messages in the file."""
        store = WorldStore(self.path)
        self.addCleanup(store.close)
        return [record.raw_message for record in store.records() if hasattr(record, "raw_message")]

    def lines(self) -> list[str]:
        return [text for text in map(formatEvent, self.seen) if text.startswith("sandbox ")]

    def test_unusable_at_the_start(self) -> None:
        """The account is up, one line is logged, and all messages are written once the file can be opened."""
        sandbox = self.sandbox()
        self.block()
        sandbox.startService()
        self.assertTrue(sandbox.account.is_up)
        self.say(sandbox, "one")
        self.assertEqual(len(self.lines()), 1)
        self.assertIn("cannot be written", self.lines()[0])
        self.path.rmdir()
        self.say(sandbox, "two")
        self.assertEqual(self.saved_messages(), ["one", "two"])
        self.assertEqual(self.lines()[1:], [f"sandbox {self.path} is written again"])
        sandbox.stopService()

    def test_unusable_until_the_end(self) -> None:
        """A file that can be opened only at the stop is written then; if it cannot, the stop goes on."""
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
                self.assertEqual(self.saved_messages(), ["one"])


class WorldFileTests(SynchronousTestCase):
    def test_saved_by_windows(self) -> None:
        """A world's file is read with its byte order mark; one in UTF-16 is named."""
        plain = b'{"self_id":10001}'
        self.assertEqual(decode_world_file(b"\xef\xbb\xbf" + plain), decode_world_file(plain))
        person = b'{"self_id":10001,"people":[{"user_id":1,"nickname":"%b"}]}'
        half = decode_world_file(person % b"\\ud83d")
        self.assertEqual(half, decode_world_file(person % "\ufffd".encode()))
        error = self.assertRaises(ValueError, decode_world_file, plain.decode().encode("utf-16"))
        self.assertIn("UTF-16", str(error))
