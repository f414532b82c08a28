"""Perform the actions that bots call on a sandbox account: now, later, in a thread, or as its faults say."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import UNTIL_ANSWERED
from lgtwist.onebot import responses
from lgtwist.onebot.errors import OneBotError
from lgtwist.onebot.event import encode_status
from lgtwist.onebot.message import MESSAGE_ACTIONS, Segment
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.tasks import spawn
from lgtwist.sandbox.action_log import ActionLog
from lgtwist.sandbox.actions import perform
from lgtwist.sandbox.actions.table import encode_large, find_action
from lgtwist.sandbox.bounds import LARGE_PARAMS
from lgtwist.sandbox.delays import Delays
from lgtwist.sandbox.faults import Applied, Faults
from lgtwist.sandbox.files import attachments
from lgtwist.sandbox.files.media import MediaStore, RunInThread
from lgtwist.sandbox.files.slots import CallerSlots
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.pausing import PausableWork
from lgtwist.sandbox.publisher import EventPublisher
from lgtwist.sandbox.stored_world import StoredWorld
from lgtwist.sandbox.waiters import Waiters

#: Seconds that an action with files may take, with the wait for a slot.
_ATTACHMENT_TIME_LIMIT = 60.0


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


class ActionPerformer:
    """Performs actions in the world, and hands their responses to the account.

    :param account: the hub's account.
    :param stored: the world.
    :param publisher: publishes the events that actions cause.
    :param media: stores the files that messages refer to.
    :param faults: those that are set.
    :param delays: what faults delay.
    :param slots: of the actions that take long.
    :param work: what waits while the journal takes no more events.
    :param run_in_thread: runs a blocking function.
    :param wall_clock: returns seconds since the epoch.
    :param is_running: returns whether the service runs.
    :ivar action_log: the actions that bots called since the start.
    """

    _log = Logger()

    def __init__(
        self,
        account: Account,
        stored: StoredWorld,
        publisher: EventPublisher,
        *,
        media: MediaStore,
        faults: Faults,
        delays: Delays,
        slots: CallerSlots,
        work: PausableWork,
        run_in_thread: RunInThread,
        wall_clock: Callable[[], float],
        is_running: Callable[[], bool],
    ) -> None:
        self._account = account
        self._stored = stored
        self._publisher = publisher
        self._media = media
        self._faults = faults
        self._delays = delays
        self._slots = slots
        self._work = work
        self._run_in_thread = run_in_thread
        self._wall_clock = wall_clock
        self._is_running = is_running
        self.action_log = ActionLog(publisher.event_log.last_seq)
        self._action_waiters = Waiters()
        self._running_actions: set[Deferred[None]] = set()
        self._without_slot: dict[int, Deferred[None]] = {}  # actions that wait for a slot, by correlation id
        self._waiting_actions: dict[int, Deferred[None]] = {}  # by correlation id

    def send(self, call_id: int, action: str, params: bytes) -> object:
        """Perform an action, or let it wait while events are paused.

        :returns: :data:`UNTIL_ANSWERED` for an action that ends later; else None.
        """
        if not self._work.is_paused:
            return self._perform(call_id, action, params)
        waiting = self._waiting_actions[call_id] = self._work.when_resumed()

        def resumed(_none: None) -> None:
            del self._waiting_actions[call_id]
            self._perform(call_id, action, params)

        waiting.addCallback(resumed).addErrback(self._log_unless_cancelled)
        return UNTIL_ANSWERED

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

    def cancel_running(self) -> None:
        """Cancel the actions that were begun: the service stops."""
        for running_action in tuple(self._running_actions):
            running_action.cancel()

    def when_action_logged(self) -> Deferred[None]:
        """Return a Deferred that fires at the next action, or when the service stops; may be cancelled."""
        return self._action_waiters.when_notified()

    def end_waits(self) -> None:
        """Call back all that wait for an action: the service stops."""
        self._action_waiters.notify()

    def _log_unless_cancelled(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("sandbox {account}: an action failed", failure, account=self._account.self_id)

    def _perform(self, call_id: int, action: str, params: bytes) -> object:
        """Perform an action: hand its response to the account, then publish the events that it caused.

        Actions that store or look up files, and those with large parameters or answers, end later; all
        others end before this returns.

        :returns: :data:`UNTIL_ANSWERED` for an action that ends later, or is answered later; else None.
        """
        called = CalledAction(self._account.caller_of(call_id), action, params, len(params))
        if self._faults.on_actions:
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
            if self._stored.world.has_large_messages and action in MESSAGE_ACTIONS:
                self._start(call_id, self._answer_large(call_id, called, read))
                return UNTIL_ANSWERED
            response = perform(self._stored.world, action, read, int(self._wall_clock()))
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
            if called.action == "get_status" and self._faults.offline is not None:
                return responses.ok(encode_status(False))
            return None
        called.applied = applied = self._faults.apply_to_action(called.action, called.bot)
        return None if applied is None or not applied.is_skipped else applied.response()

    async def _perform_large(self, call_id: int, called: CalledAction, raw: bytes) -> None:
        """Perform an action with large parameters, which are read in a thread."""
        action, unread = called.action, [raw]
        del raw  # not to be kept beside what was read

        async def steps() -> bytes:
            params, message = await self._run_in_thread(_read_large, action, unread.pop())
            await attachments.resolve_files(
                self._media, self._stored.world, action, params, message, self._pause
            )
            await self._run_in_thread(attachments.finish_large_message, params, message)
            await self._work.when_resumed()
            return perform(self._stored.world, action, params, int(self._wall_clock()))

        await self._perform_later(call_id, called, steps)

    async def _perform_with_files(
        self, call_id: int, called: CalledAction, params: Params, message: list[Segment]
    ) -> None:
        """Perform an action that stores or looks up files."""
        action = called.action

        async def steps() -> bytes:
            await attachments.resolve_files(
                self._media, self._stored.world, action, params, message, self._pause
            )
            await self._work.when_resumed()
            return perform(self._stored.world, action, params, int(self._wall_clock()))

        await self._perform_later(call_id, called, steps)

    async def _answer_large(self, call_id: int, called: CalledAction, params: Params) -> None:
        """Perform an action that returns messages, some of them large; encode its answer in a thread."""

        async def steps() -> bytes:
            await self._work.when_resumed()
            data = find_action(called.action)(self._stored.world, params, int(self._wall_clock()))
            response: bytes = await self._run_in_thread(encode_large, data)
            return response

        await self._perform_later(call_id, called, steps)

    def _pause(self) -> Deferred[None]:
        """Return a Deferred that fires in the next reactor turn."""
        turn: Deferred[None] = Deferred()
        self._account.clock.callLater(0, turn.callback, None)
        return turn

    async def _perform_later(
        self, call_id: int, called: CalledAction, steps: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> None:
        """Perform an action that takes long, a limited number of each caller's at a time.

        :param steps: performs it, and returns its response.
        """
        caller, has_slot = self._account.caller_of(call_id), False
        try:
            await self._slots.acquire(caller)
            has_slot = True
            self._without_slot.pop(call_id, None)
            try:
                response = await steps()
            finally:
                self._slots.release(caller)
        except OneBotError as error:
            response = responses.from_error(error)
        except CancelledError:
            if not self._is_running() or not (has_slot or call_id in self._without_slot):
                return
            response = responses.failed(100, "the files could not be stored in time")
        except Exception:
            response = self._internal_error(called.action)
        self._respond(call_id, response, called)

    def _internal_error(self, action: str) -> bytes:
        """Log the current exception and return a response with retcode 1500."""
        self._log.failure("sandbox {account}: {action} failed", account=self._account.self_id, action=action)
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
        self._publisher.log_and_save(self._stored.world.pop_changes())
        if applied is None:
            self._account.receive(call_id, response)
        else:
            self._respond_with_fault(call_id, response, applied)
        self._publisher.publish_and_save()
        if bot and self._action_waiters:
            self._action_waiters.notify()

    def _respond_with_fault(self, call_id: int, response: bytes, applied: Applied) -> None:
        """Hand over a response late, or reset the connection that asked in its place, as faults say."""

        def hand_over() -> None:
            if applied.breaks:
                assert applied.decisive is not None
                self._account.break_off(call_id, response, applied.decisive.part == "half")
            else:
                self._account.receive(call_id, response)

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
        limit = self._account.clock.callLater(_ATTACHMENT_TIME_LIMIT, running_action.cancel)

        def ended(_result: object) -> None:
            self._running_actions.discard(running_action)
            self._without_slot.pop(call_id, None)
            if limit.active():
                limit.cancel()

        running_action.addBoth(ended)


def _read_large(action: str, raw: bytes) -> tuple[Params, list[Segment]]:
    """Return the parameters of an action, and the message among them; called in a thread.

    :raises OneBotError: if they cannot be read.
    """
    params = Params(raw)
    return params, attachments.read_message_params(action, params)
