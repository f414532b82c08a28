"""The sandbox account as the hub sees it: a link that answers at once, from a world of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import IAccountLink
from lgtwist.sandbox.actions import perform
from lgtwist.sandbox.model import Message, Record
from lgtwist.sandbox.store import Store
from lgtwist.sandbox.world import World


@implementer(IAccountLink)
class SandboxAccount(Service):
    """A world, kept in a file, behind an account.

    :param account: the hub's.
    :param path: the world's file.
    :param wall_clock: seconds since the epoch.
    """

    _log = Logger()

    def __init__(self, account: Account, path: Path | str, wall_clock: Callable[[], float]) -> None:
        self.account = account
        self.world = World(account.self_id)
        self._path = path
        self._wall_clock = wall_clock
        self._store: Store | None = None
        self._unwritten: dict[tuple[str, str], Record | None] = {}
        self._commit: IDelayedCall | None = None
        self._failing = False
        self._listeners: list[Deferred[None]] = []

    def load(self) -> None:
        """Read the world. Before the start, for its file is closed again: SQLite does not survive a fork.

        :raises StoreError: if its file cannot be used.
        """
        store = Store(self._path)
        try:
            self.world.restore(store.records())
        finally:
            store.close()
        if not self.world.groups and len(self.world.people) == 1:
            self.world = World.first(self.account.self_id, self.now())

    def startService(self) -> None:
        """The account is up."""
        super().startService()
        self._store = Store(self._path)
        self.account.link_up(self)
        self.settle()

    def stopService(self) -> None:
        """The account is down; what is not written yet is written."""
        super().stopService()
        self.account.link_down(self, "lgtwist stops")
        self._wake()
        if self._commit is not None:
            self._commit.cancel()
        self._write()
        if self._store is not None:
            self._store.close()
            self._store = None

    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self._wall_clock())

    # -- the link

    def send(self, call_id: int, action: str, params: bytes) -> None:
        """Do an action. Its answer comes first, then the events that follow from it."""
        try:
            response = perform(self.world, action, params, self.now())
        except Exception:
            self._log.failure(
                "sandbox {account}: {action} failed", account=self.account.self_id, action=action
            )
            response = b'{"status":"failed","retcode":1500,"data":null,"message":"the sandbox failed"}'
        self.account.answered(call_id, response)
        self.settle()

    # -- for the control

    def settle(self) -> None:
        """Something was done to the world: tell the bots, remember to write, wake who listens."""
        for event in self.world.take_events():
            self.account.publish(msgspec.json.encode(event))
        changes = self.world.take_changes()
        if changes:
            self._unwritten |= changes
            if self._commit is None:
                self._commit = self.account.clock.callLater(0, self._write)
            if any(isinstance(record, Message) for record in changes.values()):
                self._wake()

    def inject(self, raw: bytes) -> None:
        """Publish any event as if it came from the account.

        :raises BadEvent: if it is none.
        """
        self.account.publish(raw)

    def next_message(self) -> Deferred[None]:
        """Fires when something was said; may be cancelled."""
        heard: Deferred[None] = Deferred(lambda d: self._listeners.remove(d))
        self._listeners.append(heard)
        return heard

    def _wake(self) -> None:
        self._listeners, listeners = [], self._listeners
        for heard in listeners:
            heard.callback(None)

    # -- the file

    def _write(self) -> None:
        self._commit = None
        if not self._unwritten or self._store is None:
            return
        try:
            self._store.write(self._unwritten)
        except sqlite3.Error as error:
            # The world goes on in memory; the next change tries to write this one too.
            if not self._failing:
                self._failing = True
                self._log.error("sandbox {path} cannot be written: {error}", path=self._path, error=error)
            return
        if self._failing:
            self._failing = False
            self._log.info("sandbox {path} is written again", path=self._path)
        self._unwritten = {}


def shown(message: Message, world: World) -> dict[str, Any]:
    """A message as the transcript shows it."""
    kind, chat_id = message.chat
    line: dict[str, Any] = {
        "message_id": message.message_id,
        "time": message.time,
        "message_type": kind,
        "user_id": message.user_id,
        "from_bot": message.user_id == world.self_id,
        "message": message.message,
        "raw_message": message.raw_message,
        "recalled": message.recalled,
    }
    line["group_id" if kind == "group" else "peer_id"] = chat_id
    return line
