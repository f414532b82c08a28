"""The sandbox account: the account link and the edge behind which a simulated platform runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from attrs import field, frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.text_files import without_mark
from lgtwist.config.values import InvalidValue, host, text, url
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import UNTIL_ANSWERED, IAccountLink, IControl, IKeepsFile, IWorldLog
from lgtwist.onebot import responses
from lgtwist.onebot.dialect import Dialect
from lgtwist.onebot.errors import OneBotError
from lgtwist.onebot.event import encode_status, read_event
from lgtwist.onebot.message import MESSAGE_ACTIONS, Segment
from lgtwist.onebot.rawjson import replace_surrogates
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.tasks import spawn
from lgtwist.sandbox.action_log import ActionLog
from lgtwist.sandbox.actions import perform
from lgtwist.sandbox.actions.table import encode_large, find_action
from lgtwist.sandbox.bounds import LARGE_PARAMS
from lgtwist.sandbox.control.control import Control
from lgtwist.sandbox.control.log import LogPortion, read_portion
from lgtwist.sandbox.delays import Delays
from lgtwist.sandbox.event_log import EventLog
from lgtwist.sandbox.faults import Applied, Fault, Faults
from lgtwist.sandbox.files import attachments
from lgtwist.sandbox.files.fetching import Fetcher
from lgtwist.sandbox.files.links import LinkCheck
from lgtwist.sandbox.files.media import MediaStore, RunInThread
from lgtwist.sandbox.files.slots import CallerSlots
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.pausing import PausableWork
from lgtwist.sandbox.store import StoreError, WorldStore
from lgtwist.sandbox.threads import call_in_thread
from lgtwist.sandbox.waiters import Waiters
from lgtwist.sandbox.world.model import Record, WorldFile, record_key
from lgtwist.sandbox.world.world import World
from lgtwist.sandbox.writer import WorldWriter

#: Seconds that a reactor turn waits at most for the thread that writes the world's file. Mostly that takes
#: less than one ms, and then what was answered is in the file.
_WRITE_PATIENCE = 0.02
#: Actions of one caller with files, or of more than a megabyte, that run at once; the next ones of that
#: caller wait for a slot. All other actions never wait.
SLOTS_PER_CALLER = 3
#: Seconds that an action with files may take, with the wait for a slot.
_ATTACHMENT_TIME_LIMIT = 60.0


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


class CalledAction(msgspec.Struct, eq=False, gc=False):
    """An action that is performed now.

    :ivar bot: the name of the bot that called it; empty for lgtwist itself.
    :ivar params: as they were sent; empty if they are large.
    :ivar size: of the parameters, in bytes.
    :ivar applied: the faults that apply to it; None for none.
    """

    bot: str
    action: str
    params: bytes
    size: int
    applied: Applied | None = None


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

    _log = Logger()

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
        self.world = World(account.self_id)
        self._control = Control(self)
        self._path = path
        self._wall_clock = wall_clock
        self._world_file = world_file
        self._before_writing = before_writing or (
            lambda function: account.clock.callLater(0, function) and None
        )
        self._make_writer = make_writer
        self._writer: WorldWriter | None = None
        self._stored: list[tuple[str, str]] = []  # the types and keys of the records in the file
        self._unsaved_changes: dict[tuple[str, str], Record | None] = {}
        self._write_scheduled = False
        self._notified_message_id = 0  # the last one that waiters were called back for
        self._message_waiters = Waiters()
        # It begins above the numbers of the last run, so that they go on rising after a restart.
        self.event_log = EventLog(int(wall_clock() * 1000))
        self._notified_seq = self.event_log.last_seq
        self._log_waiters = Waiters()
        self.action_log = ActionLog(self.event_log.last_seq)
        self._action_waiters = Waiters()
        self.faults = Faults()
        self._delays = Delays(account.clock)
        self.slots = CallerSlots(SLOTS_PER_CALLER)
        self.run_in_thread: RunInThread = run_in_thread
        self._running_actions: set[Deferred[None]] = set()
        self._without_slot: dict[int, Deferred[None]] = {}  # actions that wait for a slot, by correlation id
        self.work = PausableWork()
        self._waiting_actions: dict[int, Deferred[None]] = {}  # by correlation id

    # -- start and stop

    def prepare(self) -> None:
        """Read the world from its file, or make one.

        This is done before daemonising; the file is closed again, for SQLite does not survive a fork.

        :raises CannotPrepare: if the SQLite file or the world's JSON file cannot be used.
        """
        store = WorldStore(self._path)
        try:
            records = list(store.records())
        finally:
            store.close()
        self._stored = [record_key(record) for record in records]
        self.world.load_records(records)
        if self.world.is_empty:
            self.world = self._initial_world()

    def _initial_world(self) -> World:
        """Return the world of the configured JSON file, or the example world.

        :raises StoreError: if the JSON file cannot be used.
        """
        if self._world_file is None:
            return World.with_example_people(self.account.self_id, self.now())
        try:
            return self.read_world(self._world_file.read_bytes())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreError(f"world {self._world_file} cannot be used: {reason}") from None

    def startService(self) -> None:
        """Begin to write the file, and announce the account as up."""
        super().startService()
        self._writer, self._stored = self._make_writer(self._path, self._stored), []
        self._save(self.world.pop_changes())  # nothing happened: it is the world to begin with
        self.account.links.opened(self)
        self.publish_and_save()

    def stopService(self) -> Deferred[None]:
        """Announce the account as down, cancel running actions, save the world and close its file.

        :returns: fires when the file is closed, a few seconds later at most.
        """
        super().stopService()
        self.account.links.closed(self, "lgtwist stops")
        for running_action in tuple(self._running_actions):
            running_action.cancel()
        self._delays.drop(lambda _fault: True)
        self._message_waiters.notify()
        self._log_waiters.notify()
        self._action_waiters.notify()
        self._save_changes()
        writer, self._writer = self._writer, None
        return succeed(None) if writer is None else writer.close()

    # -- IKeepsFile

    def back_up(self, folder: Path) -> Deferred[None]:
        """Copy the world's file into a folder, with all that has happened."""
        writer = self._writer
        if writer is None:
            return fail(StoreError(f"sandbox {self.account.self_id} does not run"))
        self._save_changes()
        return writer.copy(folder / Path(self._path).name)

    def now(self) -> int:
        """Return whole seconds since the epoch."""
        return int(self._wall_clock())

    # -- IAccountLink

    def send(self, call_id: int, action: str, params: bytes) -> object:
        """Perform an action, or let it wait while events are paused.

        :returns: :data:`UNTIL_ANSWERED` for an action that ends later; else None.
        """
        if not self.work.is_paused:
            return self._perform(call_id, action, params)
        waiting = self._waiting_actions[call_id] = self.work.when_resumed()

        def resumed(_none: None) -> None:
            del self._waiting_actions[call_id]
            self._perform(call_id, action, params)

        waiting.addCallback(resumed).addErrback(self._log_unless_cancelled)
        return UNTIL_ANSWERED

    def _log_unless_cancelled(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("sandbox {account}: an action failed", failure, account=self.account.self_id)

    def _perform(self, call_id: int, action: str, params: bytes) -> object:
        """Perform an action: hand its response to the account, then publish the events that it caused.

        Actions that store or look up files, and those with large parameters or answers, end later; all
        others end before this returns.

        :returns: :data:`UNTIL_ANSWERED` for an action that ends later, or is answered later; else None.
        """
        called = CalledAction(self.account.caller_of(call_id), action, params, len(params))
        if self.faults.on_actions:
            skipped = self._apply_faults(called)
            if skipped is not None:
                self._respond(call_id, skipped, called)
                return UNTIL_ANSWERED if call_id in self._delays else None
        try:
            find_action(action)
            if len(params) >= LARGE_PARAMS:
                called.params = b""  # not to be kept beside what is read of them
                self._start(call_id, self._perform_large(call_id, called, params))
                return UNTIL_ANSWERED
            read = Params(params)
            message = attachments.read_message_params(action, read)
            if attachments.uses_files(action, message):
                self._start(call_id, self._perform_with_files(call_id, called, read, message))
                return UNTIL_ANSWERED
            if self.world.has_large_messages and action in MESSAGE_ACTIONS:
                self._start(call_id, self._answer_large(call_id, called, read))
                return UNTIL_ANSWERED
            response = perform(self.world, action, read, self.now())
        except OneBotError as error:
            response = responses.from_error(error)
        except Exception:
            response = self._internal_error(action)
        self._respond(call_id, response, called)
        return UNTIL_ANSWERED if called.applied is not None and call_id in self._delays else None

    def _apply_faults(self, called: CalledAction) -> bytes | None:
        """Find the faults that apply to an action, and note them in it.

        :returns: the response, if it is not carried out; else None.
        """
        if not called.bot:  # lgtwist's own
            if called.action == "get_status" and self.faults.offline is not None:
                return responses.ok(encode_status(False))
            return None
        called.applied = applied = self.faults.apply_to_action(called.action, called.bot)
        return None if applied is None or not applied.is_skipped else applied.response()

    async def _perform_large(self, call_id: int, called: CalledAction, raw: bytes) -> None:
        """Perform an action with large parameters, which are read in a thread."""
        action, unread = called.action, [raw]
        del raw  # not to be kept beside what was read

        async def steps() -> bytes:
            params, message = await self.run_in_thread(_read_large, action, unread.pop())
            await attachments.resolve_files(self.media, self.world, action, params, message, self.pause)
            await self.run_in_thread(attachments.finish_large_message, params, message)
            await self.work.when_resumed()
            return perform(self.world, action, params, self.now())

        await self._perform_later(call_id, called, steps)

    async def _perform_with_files(
        self, call_id: int, called: CalledAction, params: Params, message: list[Segment]
    ) -> None:
        """Perform an action that stores or looks up files."""
        action = called.action

        async def steps() -> bytes:
            await attachments.resolve_files(self.media, self.world, action, params, message, self.pause)
            await self.work.when_resumed()
            return perform(self.world, action, params, self.now())

        await self._perform_later(call_id, called, steps)

    async def _answer_large(self, call_id: int, called: CalledAction, params: Params) -> None:
        """Perform an action that returns messages, some of them large; encode its answer in a thread."""

        async def steps() -> bytes:
            await self.work.when_resumed()
            data = find_action(called.action)(self.world, params, self.now())
            response: bytes = await self.run_in_thread(encode_large, data)
            return response

        await self._perform_later(call_id, called, steps)

    def pause(self) -> Deferred[None]:
        """Return a Deferred that fires in the next reactor turn."""
        turn: Deferred[None] = Deferred()
        self.account.clock.callLater(0, turn.callback, None)
        return turn

    async def _perform_later(
        self, call_id: int, called: CalledAction, steps: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> None:
        """Perform an action that takes long, a limited number of each caller's at a time.

        :param steps: performs it, and returns its response.
        """
        caller, has_slot = self.account.caller_of(call_id), False
        try:
            await self.slots.acquire(caller)
            has_slot = True
            self._without_slot.pop(call_id, None)
            try:
                response = await steps()
            finally:
                self.slots.release(caller)
        except OneBotError as error:
            response = responses.from_error(error)
        except CancelledError:
            if not self.running or not (has_slot or call_id in self._without_slot):
                return
            response = responses.failed(100, "the files could not be stored in time")
        except Exception:
            response = self._internal_error(called.action)
        self._respond(call_id, response, called)

    def has_sent(self, flow_token: object) -> bool:
        """Return whether an action was begun: it waits only while events are paused."""
        return flow_token not in self._waiting_actions

    def forget(self, call_id: int) -> None:
        """Do not perform an action that waits; one that was begun ends by itself or by its time limit."""
        self._delays.forget(call_id)
        for waiting_actions in (self._waiting_actions, self._without_slot):
            waiting = waiting_actions.pop(call_id, None)
            if waiting is not None:
                waiting.cancel()

    def pause_reading(self) -> None:
        """Perform no more actions and control verbs, for they cause events; they wait."""
        self.work.pause()

    def resume_reading(self) -> None:
        """Perform what waits, in the order in which it came."""
        self.work.resume()

    def close(self, code: int, reason: str) -> None:
        """Do nothing: there is no connection."""

    def _internal_error(self, action: str) -> bytes:
        """Log the current exception and return a response with retcode 1500."""
        self._log.failure("sandbox {account}: {action} failed", account=self.account.self_id, action=action)
        return responses.failed(1500, "the sandbox failed; the log says why")

    def _respond(self, call_id: int, response: bytes, called: CalledAction) -> None:
        """Hand the response of an action to the account, and log the action if a bot called it."""
        applied, bot = called.applied, called.bot
        logged, fault_id = response, 0
        if applied is not None:
            fault_id = applied.fault_id
            if not applied.is_skipped:
                logged = response = applied.falsified(response)
            elif applied.breaks:
                logged = b""
        if bot:
            self.action_log.add(
                self._wall_clock(), bot, called.action, called.params, called.size, logged, fault_id
            )
        self._save_and_notify(self.world.pop_changes())
        if applied is None:
            self.account.receive(call_id, response)
        else:
            self._respond_with_fault(call_id, response, applied)
        self.publish_and_save()
        if bot and self._action_waiters:
            self._action_waiters.notify()

    def _respond_with_fault(self, call_id: int, response: bytes, applied: Applied) -> None:
        """Hand over a response late, or reset the connection that asked in its place, as faults say."""

        def hand_over() -> None:
            if applied.breaks:
                assert applied.decisive is not None
                self.account.break_off(call_id, response, applied.decisive.part == "half")
            else:
                self.account.receive(call_id, response)

        if applied.delay is None:
            hand_over()
        else:
            self._delays.add(call_id, applied.delay, len(response), hand_over)

    def _start(self, call_id: int, coroutine: Any) -> None:
        """Run a coroutine; cancel it after ``_ATTACHMENT_TIME_LIMIT`` seconds or when the service stops."""
        self._without_slot[call_id] = Deferred()  # until it has a slot, which it may have at once
        running_action = spawn("sandbox attachments", coroutine)
        if call_id in self._without_slot:
            self._without_slot[call_id] = running_action
        self._running_actions.add(running_action)
        limit = self.account.clock.callLater(_ATTACHMENT_TIME_LIMIT, running_action.cancel)

        def ended(_result: object) -> None:
            self._running_actions.discard(running_action)
            self._without_slot.pop(call_id, None)
            if limit.active():
                limit.cancel()

        running_action.addBoth(ended)

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
        self._save_and_notify(self.world.pop_changes())
        for event in self.world.pop_events():
            raw = msgspec.json.encode(event)
            if event["post_type"] == "notice":  # of messages and requests the log has the records
                self.event_log.add_event("notice", raw, "notice", event["time"])
            if self.faults.on_events:
                self._publish_with_fault(raw)
            else:
                self.account.publish(raw)
        self._notify_log_waiters()

    def _publish_with_fault(self, raw: bytes) -> None:
        """Publish an event of the world late, twice or not at all, as a fault says."""
        if self.faults.offline is not None:
            return
        fault = self.faults.apply_to_event()
        if fault is None or fault.kind == "duplicate_events":
            self.account.publish(raw)
        if fault is not None and fault.kind == "duplicate_events":
            self.account.publish(raw)
        elif fault is not None and fault.kind == "delay_events":
            self._delays.add(object(), fault, len(raw), lambda: self._publish_delayed(raw))

    def _publish_delayed(self, raw: bytes) -> None:
        if self.faults.offline is None:
            self.account.publish(raw)

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
        self._publish_presence("bot_offline", fault.reason)

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
                self._publish_presence("bot_online", "")
        self._delays.end(chosen)

    def _publish_presence(self, notice_type: str, message: str) -> None:
        """Publish the notice that the account was logged out, or in again, and log it.

        :param message: why; empty for no reason.
        """
        notice = {
            "time": self.now(),
            "self_id": self.account.self_id,
            "post_type": "notice",
            "notice_type": notice_type,
            "user_id": self.account.self_id,
            "tag": "",
            "message": message,
        }
        raw = msgspec.json.encode(notice)
        self.event_log.add_event("notice", raw, "notice", self.now())
        self.account.links.event_received(read_event(raw))
        self._notify_log_waiters()

    def when_action_logged(self) -> Deferred[None]:
        """Return a Deferred that fires at the next action, or when the service stops; may be cancelled."""
        return self._action_waiters.when_notified()

    def _save_and_notify(self, changes: dict[tuple[str, str], Record | None]) -> None:
        """Log changes, and schedule them to be saved; notify the waiters of a new message."""
        if not changes:
            return
        self.event_log.add_records(changes, self.now())
        self._save(changes)

    def _save(self, changes: dict[tuple[str, str], Record | None]) -> None:
        """Schedule changes to be saved, once per reactor turn; notify the waiters of a new message."""
        if not changes:
            return
        self._unsaved_changes |= changes
        if not self._write_scheduled:
            self._write_scheduled = True
            self._before_writing(self._save_changes)
        if self.world.last_message_id != self._notified_message_id:
            self._notified_message_id = self.world.last_message_id
            self._message_waiters.notify()

    def publish_raw_event(self, raw: bytes) -> None:
        """Publish one event as if the account had sent it.

        :param raw: one JSON object with a ``post_type``.
        :raises BadEvent: if it is not an event.
        """
        event = read_event(raw)
        self.event_log.add_event("event", event.raw, event.post_type, self.now())
        self.account.fan_out.publish(event)
        self._notify_log_waiters()

    def read_world(self, raw: bytes) -> World:
        """Return the world of a world's JSON file; it may be called in a thread.

        :raises ValueError: if it is not a world, with a sentence that says what is wrong and where.
        """
        return World.from_file(self.account.self_id, decode_world_file(raw))

    def replace_world(self, world: World) -> None:
        """Replace the world by another one, in memory and in the file, and end all faults."""
        self._delays.drop(lambda fault: fault.kind == "delay_events")
        self.clear_faults(self.faults.all(), lambda _fault: True)
        replaced = self.world
        for table in (
            replaced.people,
            replaced.groups,
            replaced.requests,
            replaced.messages,
            replaced.forwards,
            replaced.files,
        ):
            self._unsaved_changes |= dict.fromkeys((record_key(record) for record in table.values()), None)
        self.world = world
        self.event_log.add_world(self.now())
        self._save(world.pop_changes())
        self.publish_and_save()

    def when_message_added(self) -> Deferred[None]:
        """Return a Deferred that fires when a message is added, or the service stops; it may be cancelled."""
        return self._message_waiters.when_notified()

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
        return self._log_waiters.when_notified()

    def _notify_log_waiters(self) -> None:
        if self.event_log.last_seq != self._notified_seq:
            self._notified_seq = self.event_log.last_seq
            self._log_waiters.notify()

    # -- the file

    def _save_changes(self) -> None:
        """Let the unsaved changes be written to the file."""
        self._write_scheduled = False
        if self._unsaved_changes and self._writer is not None:
            changes, self._unsaved_changes = self._unsaved_changes, {}
            self._writer.write(changes)


def _read_large(action: str, raw: bytes) -> tuple[Params, list[Segment]]:
    """Return the parameters of an action, and the message among them; called in a thread.

    :raises OneBotError: if they cannot be read.
    """
    params = Params(raw)
    return params, attachments.read_message_params(action, params)


def decode_world_file(raw: bytes) -> WorldFile:
    """Decode a world's JSON file.

    :raises ValueError: if it is not a world, with a sentence that says what is wrong and where.
    """
    raw = without_mark(raw)
    try:
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(raw, type=WorldFile)
        # A lone surrogate, which a JavaScript program wrote, or a mistake that is told then.
        return msgspec.json.decode(replace_surrogates(raw), type=WorldFile)
    except RecursionError:
        raise ValueError("nested too deeply") from None
