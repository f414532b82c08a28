"""The sandbox account: the account link and the edge behind which a simulated platform runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from attrs import field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import InvalidValue, host, text, url
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import IAccountLink, IControl, IKeepsFile, IWorldLog
from lgtwist.onebot.dialect import Dialect
from lgtwist.sandbox.control.control import Control
from lgtwist.sandbox.control.log import LogPortion, read_portion
from lgtwist.sandbox.delays import Delays
from lgtwist.sandbox.faults import Fault, Faults
from lgtwist.sandbox.files.fetching import Fetcher
from lgtwist.sandbox.files.links import LinkCheck
from lgtwist.sandbox.files.media import MediaStore, RunInThread
from lgtwist.sandbox.files.slots import CallerSlots
from lgtwist.sandbox.pausing import PausableWork
from lgtwist.sandbox.performer import ActionPerformer
from lgtwist.sandbox.publisher import EventPublisher
from lgtwist.sandbox.stored_world import StoredWorld
from lgtwist.sandbox.threads import call_in_thread
from lgtwist.sandbox.world.world import World
from lgtwist.sandbox.writer import WorldWriter

#: Seconds that a reactor turn waits at most for the thread that writes the world's file. Mostly that takes
#: less than one ms, and then what was answered is in the file.
_WRITE_PATIENCE = 0.02
#: Actions of one caller with files, or of more than a megabyte, that run at once; the next ones of that
#: caller wait for a slot. All other actions never wait.
SLOTS_PER_CALLER = 3


@frozen
class Settings:
    """The configuration of a sandbox account.

    :ivar world: the JSON file from which the world is made where ``data_dir`` has none yet; None for the
        example world.
    :ivar media_hosts: hosts that media may be fetched from, beside public addresses.
    :ivar media_dirs: folders whose files may be named, beside ``data_dir``; absolute.
    :ivar public_url: the base of links to files, without a slash at its end; None for the first endpoint.
    """

    dialect: ClassVar[Dialect] = Dialect.AUTO
    world: str | None = field(default=None, metadata=asks_for(Change.NOTHING))
    media_hosts: tuple[str, ...] = ()
    media_dirs: tuple[str, ...] = ()
    public_url: str | None = None


def read(section: Section) -> Settings:
    """Read the keys of a sandbox account; mistakes are collected in the section."""
    return Settings(
        section.read("world", text) if section.has("world") else None,
        section.read_list("media_hosts", host, ()),
        section.read_list("media_dirs", _folder, ()),
        section.read("public_url", _public_url) if section.has("public_url") else None,
    )


def _folder(value: Any) -> str:
    """Read the path of a folder; it is made absolute."""
    path = os.path.abspath(text(value))
    if path.strip("/") == "":
        raise InvalidValue("expected a folder, not the root of all files")
    return path


def _public_url(value: Any) -> str:
    """Read the base of links to files; it is returned without a slash at its end."""
    return url("http", "https", query=False)(value).rstrip("/")


def describe(settings: Settings, self_id: int, base: str) -> str:
    """Return how the implementation is reached, for the summary: empty, for there is none."""
    return ""


def key_needed_in_public(settings: Settings) -> str | None:
    """Return the key without which anybody could pose as the implementation: None, for there is none."""
    return None


def make(account: Account, settings: Settings, resources: EdgeResources) -> SandboxAccount:
    """Return the edge of a sandbox account. :meth:`SandboxAccount.prepare` reads its world."""
    name = f"sandbox-{account.self_id}"

    def limit() -> int:
        return resources.limits.max_message

    fetcher = Fetcher(resources.reactor, settings.media_hosts, limit, resources.is_own_port)
    media = MediaStore(
        resources.data_dir / f"{name}-media",
        resources.data_dir,
        limit=limit,
        fetch=fetcher.fetch,
        base_url=lambda: f"{resources.http_url()}/sandbox/{account.self_id}",
        run_in_thread=call_in_thread,
        private_files=resources.private_files,
        public_path=f"/sandbox/{account.self_id}",
    )
    sandbox = SandboxAccount(
        account,
        resources.data_dir / f"{name}.sqlite",
        media,
        resources.wall_clock,
        world_file=None if settings.world is None else Path(settings.world),
        before_writing=resources.scheduler.before_writing,
        fetcher=fetcher,
        make_writer=partial(
            WorldWriter,
            call_from_thread=lambda *call: resources.reactor.callFromThread(*call),
            patience=_WRITE_PATIENCE,
        ),
    )
    media.on_link = LinkCheck(account.self_id, lambda: resources.bot_addresses(account.self_id)).check
    sandbox.configure(settings)
    return sandbox


@implementer(IAccountLink, IEdge, IControl, IKeepsFile, IWorldLog)
class SandboxAccount(Service):
    """The implementation of an account, with a world of its own that is saved in a SQLite file.

    :param account: the hub's account.
    :param path: the world's SQLite file.
    :param media: stores the files that messages refer to.
    :param wall_clock: returns seconds since the epoch.
    :param world_file: a JSON file to make the world from where the store is empty; None for the example.
    :param before_writing: calls a function once, before the reactor turn's data is written to peers; by
        default the function is called in the next reactor turn.
    :param fetcher: what ``media`` fetches with, to be given new ``media_hosts``; None for none.
    :param run_in_thread: runs a blocking function.
    :param make_writer: makes what writes the file from its path and the records in it.
    :ivar event_log: what happened in the world since the start.
    :ivar action_log: the actions that bots called since the start.
    :ivar faults: those that are set.
    :ivar work: what waits while the journal takes no more events: control verbs, and actions of bots.
    """

    def __init__(
        self,
        account: Account,
        path: Path | str,
        media: MediaStore,
        wall_clock: Callable[[], float],
        *,
        world_file: Path | None = None,
        before_writing: Callable[[Callable[[], None]], None] | None = None,
        fetcher: Fetcher | None = None,
        make_writer: Callable[..., WorldWriter] = WorldWriter,
        run_in_thread: RunInThread = call_in_thread,
    ) -> None:
        self.account = account
        self._fetcher = fetcher
        self.media = media
        self._control = Control(self)
        self._wall_clock = wall_clock

        def in_next_turn(function: Callable[[], None]) -> None:
            account.clock.callLater(0, function)

        self._stored = StoredWorld(
            account.self_id,
            path,
            world_file=world_file,
            now=self.now,
            before_writing=before_writing or in_next_turn,
            make_writer=make_writer,
        )
        self.faults = Faults()
        self._delays = Delays(account.clock)
        self._publisher = EventPublisher(
            account,
            self._stored,
            faults=self.faults,
            delays=self._delays,
            now=self.now,
            # Above the numbers of the last run, so that they go on rising after a restart.
            first=int(wall_clock() * 1000),
        )
        self.event_log = self._publisher.event_log
        self.slots = CallerSlots(SLOTS_PER_CALLER)
        self.run_in_thread: RunInThread = run_in_thread
        self.work = PausableWork()
        self._performer = ActionPerformer(
            account,
            self._stored,
            self._publisher,
            media=media,
            faults=self.faults,
            delays=self._delays,
            slots=self.slots,
            work=self.work,
            run_in_thread=run_in_thread,
            wall_clock=wall_clock,
            is_running=lambda: bool(self.running),
        )
        self.action_log = self._performer.action_log

    @property
    def world(self) -> World:
        """The present world; call :meth:`publish_and_save` after each change of it."""
        return self._stored.world

    # -- start and stop

    def prepare(self) -> None:
        """Read the world from its file, or make one.

        This is done before daemonising; the file is closed again, for SQLite does not survive a fork.

        :raises CannotPrepare: if the SQLite file or the world's JSON file cannot be used.
        """
        self._stored.prepare()

    def startService(self) -> None:
        """Begin to write the file, and announce the account as up."""
        super().startService()
        self._stored.start()
        self.account.links.opened(self)
        self.publish_and_save()

    def stopService(self) -> Deferred[None]:
        """Announce the account as down, cancel running actions, save the world and close its file.

        :returns: fires when the file is closed, a few seconds later at most.
        """
        super().stopService()
        self.account.links.closed(self, "lgtwist stops")
        self._performer.cancel_running()
        self._delays.drop(lambda _fault: True)
        self._stored.end_waits()
        self._publisher.end_waits()
        self._performer.end_waits()
        return self._stored.close()

    # -- IKeepsFile

    def back_up(self, folder: Path) -> Deferred[None]:
        """Copy the world's file into a folder, with all that has happened."""
        return self._stored.back_up(folder)

    def now(self) -> int:
        """Return whole seconds since the epoch."""
        return int(self._wall_clock())

    # -- IAccountLink

    def send(self, call_id: int, action: str, params: bytes) -> object:
        """Perform an action, or let it wait while events are paused.

        :returns: :data:`UNTIL_ANSWERED` for an action that ends later; else None.
        """
        return self._performer.send(call_id, action, params)

    def has_sent(self, flow_token: object) -> bool:
        """Return whether an action was begun: it waits only while events are paused."""
        return self._performer.has_sent(flow_token)

    def forget(self, call_id: int) -> None:
        """Do not perform an action that waits; one that was begun ends by itself or by its time limit."""
        self._performer.forget(call_id)

    def pause_reading(self) -> None:
        """Perform no more actions and control verbs, for they cause events; they wait."""
        self.work.pause()

    def resume_reading(self) -> None:
        """Perform what waits, in the order in which it came."""
        self.work.resume()

    def close(self, code: int, reason: str) -> None:
        """Do nothing: there is no connection."""

    # -- IControl, and what the control calls

    def handle(self, request: Request, path: tuple[str, ...]) -> None:
        """Answer a request to the control, below ``/sandbox/{self_id}/``.

        :param path: the segments behind ``/sandbox/{self_id}/``.
        """
        self._control.handle(request, path)

    def serve_file(self, request: Request, name: str) -> None:
        """Answer a request for a stored file; whoever knows its unguessable name may have it."""
        self._control.serve_file(request, name)

    def configure(self, settings: Settings) -> None:
        """Apply new settings; a new ``world`` has no effect, since the world is there already."""
        self.media.media_dirs, self.media.public_url = settings.media_dirs, settings.public_url
        if self._fetcher is not None:
            self._fetcher.set_allowed_hosts(settings.media_hosts)

    def retire(self) -> None:
        """Do nothing: the sandbox starts nothing by itself."""

    def publish_and_save(self) -> None:
        """Publish the world's new events to the bots, log what happened, and schedule it to be saved.

        Call it after each change of :attr:`world`.
        """
        self._publisher.publish_and_save()

    # -- faults

    def add_fault(self, fault: Fault) -> None:
        """Set a fault; the account is offline or down at once if it says so.

        :raises BadRequest: if too many are set.
        """
        before = self.faults.offline
        self.faults.add(fault)
        if fault.kind != "offline":
            return
        was_down = before is not None and before.down
        if fault.down:
            if not was_down:
                self.account.links.closed(self, fault.reason)
            return
        if was_down:
            self.account.links.opened(self)
        self._publisher.publish_presence("bot_offline", fault.reason)

    def clear_faults(self, cleared: list[Fault], chosen: Callable[[Fault], bool]) -> None:
        """End faults; the account is online again if one of them made it offline.

        :param cleared: those that are set.
        :param chosen: tells whose delayed responses and events are handed over now.
        """
        before = self.faults.offline
        self.faults.remove(cleared)
        if before is not None and self.faults.offline is None:
            if before.down:
                self.account.links.opened(self)
            else:
                self._publisher.publish_presence("bot_online", "")
        self._delays.end(chosen)

    def when_action_logged(self) -> Deferred[None]:
        """Return a Deferred that fires at the next action, or when the service stops; may be cancelled."""
        return self._performer.when_action_logged()

    def publish_raw_event(self, raw: bytes) -> None:
        """Publish one event as if the account had sent it.

        :param raw: one JSON object with a ``post_type``.
        :raises BadEvent: if it is not an event.
        """
        self._publisher.publish_raw_event(raw)

    def read_world(self, raw: bytes) -> World:
        """Return the world of a world's JSON file; it may be called in a thread.

        :raises ValueError: if it is not a world, with a sentence that says what is wrong and where.
        """
        return self._stored.read_world(raw)

    def replace_world(self, world: World) -> None:
        """Replace the world by another one, in memory and in the file, and end all faults."""
        self._delays.drop(lambda fault: fault.kind == "delay_events")
        self.clear_faults(self.faults.all(), lambda _fault: True)
        self._publisher.replace_world(world)

    def when_message_added(self) -> Deferred[None]:
        """Return a Deferred that fires when a message is added, or the service stops; it may be cancelled."""
        return self._stored.when_message_added()

    # -- IWorldLog

    @property
    def last_seq(self) -> int:
        """The sequence number of the newest entry of the event log."""
        return self.event_log.last_seq

    def log_portion(self, after: int | None, most: int, longest: int) -> LogPortion:
        """Return the entries of the event log after ``after``; see :class:`IWorldLog`."""
        return read_portion(self.event_log, self.world, after, most, longest)

    def when_logged(self) -> Deferred[None]:
        """Return a Deferred that fires when something is logged, or the service stops; may be cancelled."""
        return self._publisher.when_logged()
