"""The sandbox account as the hub sees it: a link that answers from a world of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.config.section import Section
from lgtwist.config.values import host, text
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import IAccountLink, IControl
from lgtwist.onebot import action as responses
from lgtwist.onebot.dialect import Dialect
from lgtwist.onebot.errors import OneBotError
from lgtwist.onebot.message import Segment
from lgtwist.runtime.tasks import spawn
from lgtwist.sandbox.actions import perform
from lgtwist.sandbox.actions.table import known
from lgtwist.sandbox.control.control import Control
from lgtwist.sandbox.files import attachments as intake
from lgtwist.sandbox.files.fetching import Fetcher
from lgtwist.sandbox.files.media import Media
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.store import Store, StoreError
from lgtwist.sandbox.world.model import Record, WorldFile, key_of
from lgtwist.sandbox.world.world import World

#: So many actions may be taking in files at once; the next ones wait, others do not.
_INTAKES = 8
#: And for so long (seconds), the waiting included.
_INTAKE_TIME = 60.0


@frozen
class Settings:
    """What a sandbox account is configured with.

    :ivar world: the file of the world to begin from, where there is none yet; None for the built-in one.
    :ivar media_hosts: hosts that media may be fetched from, beside public addresses.
    """

    dialect: ClassVar[Dialect] = Dialect.AUTO
    world: str | None = None
    media_hosts: tuple[str, ...] = ()


def read(section: Section) -> Settings:
    """Read the keys of a sandbox account; mistakes are collected in the section."""
    return Settings(
        section.read("world", text) if section.has("world") else None,
        section.read_list("media_hosts", host, ()),
    )


def describe(settings: Settings, self_id: int, base: str) -> str:
    """Return how the implementation is reached, for people: there is none."""
    return ""


def key_needed_in_public(settings: Settings) -> str | None:
    """Return the key without which strangers could pose as the implementation: there is none."""
    return None


def make(account: Account, settings: Settings, resources: EdgeResources) -> SandboxAccount:
    """Make the edge of a sandbox account. Its world is read by :meth:`SandboxAccount.prepare`."""
    name = f"sandbox-{account.self_id}"
    limit = resources.limits.max_message
    fetcher = Fetcher(resources.reactor, settings.media_hosts, limit)
    media = Media(
        resources.data_dir / f"{name}-media",
        resources.data_dir,
        limit=limit,
        fetch=fetcher.fetch,
        base_url=lambda: f"{resources.http_url()}/sandbox/{account.self_id}",
        in_thread=deferToThread,
        private=resources.private_files,
    )
    return SandboxAccount(
        account,
        resources.data_dir / f"{name}.sqlite",
        media,
        resources.wall_clock,
        world_file=None if settings.world is None else Path(settings.world),
        before_writing=resources.scheduler.before_writing,
        fetcher=fetcher,
    )


@implementer(IAccountLink, IEdge, IControl)
class SandboxAccount(Service):
    """A world, kept in a file, behind an account.

    :param account: the hub's.
    :param path: the world's file.
    :param media: keeps what messages carry.
    :param wall_clock: seconds since the epoch.
    :param world_file: the world to begin from, where the store has none.
    :param before_writing: calls what it is given once, before anything is written to a peer.
    """

    _log = Logger()

    def __init__(
        self,
        account: Account,
        path: Path | str,
        media: Media,
        wall_clock: Callable[[], float],
        *,
        world_file: Path | None = None,
        before_writing: Callable[[Callable[[], None]], None] | None = None,
        fetcher: Fetcher | None = None,
    ) -> None:
        self.account = account
        self._fetcher = fetcher
        self.media = media
        self.world = World(account.self_id)
        self._control = Control(self)
        self._path = path
        self._wall_clock = wall_clock
        self._world_file = world_file
        self._before_writing = before_writing or (lambda then: account.clock.callLater(0, then) and None)
        self._store: Store | None = None
        self._unwritten: dict[tuple[str, str], Record | None] = {}
        self._will_write = False
        self._failing = False
        self._last_message_id = 0  # that listeners were told of
        self._listeners: list[Deferred[None]] = []
        self._intakes = DeferredSemaphore(_INTAKES)
        self._waiting: set[Deferred[None]] = set()

    # -- its life

    def prepare(self) -> None:
        """Read the world. Before the start, for its file is closed again: SQLite does not survive a fork.

        :raises CannotPrepare: if its file, or the file to begin from, cannot be used.
        """
        store = Store(self._path)
        try:
            self.world.restore(store.records())
        finally:
            store.close()
        if self.world.is_empty:
            self.world = self._first_world()

    def _first_world(self) -> World:
        if self._world_file is None:
            return World.first(self.account.self_id, self.now())
        try:
            return World.from_file(self.account.self_id, read_world(self._world_file.read_bytes()))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreError(f"world {self._world_file} cannot be used: {reason}") from None

    def startService(self) -> None:
        """The account is up."""
        super().startService()
        self._open()
        self.account.links.opened(self)
        self.settle()

    def stopService(self) -> None:
        """The account is down; what is not written yet is written."""
        self._write()  # once more, if the file could not be opened
        super().stopService()
        self.account.links.closed(self, "lgtwist stops")
        for waiting in tuple(self._waiting):
            waiting.cancel()
        self._wake()
        self._write()
        if self._store is not None:
            self._store.close()
            self._store = None

    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self._wall_clock())

    # -- the link

    def send(self, call_id: int, action: str, params: bytes) -> None:
        """Do an action. Its answer comes first, then the events that follow from it.

        Only what carries files waits; nothing else waits for it.
        """
        try:
            known(action)
            read = Params(params)
            message = intake.reads_message(action, read)
            if intake.waits(action, message):
                self._later(self._take_in(call_id, action, read, message))
                return
            response = perform(self.world, action, read, self.now())
        except OneBotError as error:
            response = responses.failure(error)
        except Exception:
            response = self._failed(action)
        self._answer(call_id, response)

    async def _take_in(self, call_id: int, action: str, params: Params, message: list[Segment]) -> None:
        try:
            await self._intakes.acquire()
            try:
                await intake.take_in(self.media, self.world, action, params, message)
            finally:
                self._intakes.release()
            response = perform(self.world, action, params, self.now())
        except OneBotError as error:
            response = responses.failure(error)
        except CancelledError:
            if not self.running:
                return
            response = responses.failed(100, "the files could not be taken in in time")
        except Exception:
            response = self._failed(action)
        self._answer(call_id, response)

    def has_sent(self, flow_token: object) -> bool:
        """Return whether what was sent has left our memory: a world has no wire that could be shut."""
        return True

    def forget(self, call_id: int) -> None:
        """Nobody waits for this answer any more; what takes in files ends by its own time limit."""

    def close(self, code: int, reason: str) -> None:
        """Nothing is to be closed."""

    def _failed(self, action: str) -> bytes:
        self._log.failure("sandbox {account}: {action} failed", account=self.account.self_id, action=action)
        return responses.failed(1500, "the sandbox failed; the log says why")

    def _answer(self, call_id: int, response: bytes) -> None:
        self._remember(self.world.take_changes())
        self.account.receive(call_id, response)
        self.settle()

    def _later(self, coroutine: Any) -> None:
        waiting = spawn("sandbox intake", coroutine)
        self._waiting.add(waiting)
        limit = self.account.clock.callLater(_INTAKE_TIME, waiting.cancel)

        def ended(_result: object) -> None:
            self._waiting.discard(waiting)
            if limit.active():
                limit.cancel()

        waiting.addBoth(ended)

    # -- for people

    def handle(self, request: Request, path: tuple[str, ...]) -> None:
        """Answer a request of the operator below ``/sandbox/{self_id}/``."""
        self._control.handle(request, path)

    def serve_file(self, request: Request, name: str) -> None:
        """Answer anybody's request for a stored file."""
        self._control.serve_file(request, name)

    def configure(self, settings: Settings) -> None:
        """Take other hosts that media may be fetched from. The world's file counts at its beginning only."""
        if self._fetcher is not None:
            self._fetcher.allow(settings.media_hosts)

    def retire(self) -> None:
        """Nothing is begun from our side."""

    def settle(self) -> None:
        """Something was done to the world: tell the bots, remember to write, wake who listens."""
        self._remember(self.world.take_changes())
        for event in self.world.take_events():
            self.account.publish(msgspec.json.encode(event))

    def _remember(self, changes: dict[tuple[str, str], Record | None]) -> None:
        if not changes:
            return
        self._unwritten |= changes
        if not self._will_write:
            self._will_write = True
            self._before_writing(self._write)
        if self.world.last_message_id != self._last_message_id:
            self._last_message_id = self.world.last_message_id
            self._wake()

    def inject(self, raw: bytes) -> None:
        """Publish any event as if it came from the account.

        :raises BadEvent: if it is none.
        """
        self.account.publish(raw)

    def replace_world(self, raw: bytes) -> None:
        """Begin from another world, in the place of this one.

        :raises ValueError: if it is none, with a sentence that says where.
        """
        world = World.from_file(self.account.self_id, read_world(raw))
        old = self.world
        for shelf in (old.people, old.groups, old.requests, old.messages, old.forwards, old.files):
            self._unwritten |= dict.fromkeys((key_of(record) for record in shelf.values()), None)
        self.world = world
        self.settle()

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

    def _open(self) -> None:
        """Open the file again. What was there a moment ago may not be now: a full disk is one reason."""
        try:
            self._store = Store(self._path)
        except StoreError as error:
            self._fails(error)

    def _fails(self, error: Exception) -> None:
        """The world goes on in memory; the next change tries to write this one too."""
        if not self._failing:
            self._failing = True
            self._log.error("sandbox {path} cannot be written: {error}", path=self._path, error=error)

    def _write(self) -> None:
        self._will_write = False
        if not self._unwritten:
            return
        if self._store is None and self.running:
            self._open()
        if self._store is None:
            return
        try:
            self._store.write(self._unwritten)
        except sqlite3.Error as error:
            self._fails(error)
            return
        if self._failing:
            self._failing = False
            self._log.info("sandbox {path} is written again", path=self._path)
        self._unwritten = {}


def read_world(raw: bytes) -> WorldFile:
    """A world's file.

    :raises ValueError: if it is none, with a sentence that says where.
    """
    try:
        return msgspec.json.decode(raw, type=WorldFile)
    except RecursionError:
        raise ValueError("nested too deeply") from None
