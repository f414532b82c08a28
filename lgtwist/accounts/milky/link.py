"""The link to one implementation of Milky: actions by its HTTP API, events by its event stream.

The link is open while the event stream is. An event whose ``message_id`` is in a new block waits until the
block is stored, and those behind it with it, in order; an answer that has such an id waits too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from lgtwist.accounts.milky.api_client import LOGIN_INFO, ONEBOT_SERVER, ApiClient
from lgtwist.accounts.milky.back_fill import BackFill
from lgtwist.accounts.milky.event_stream import EventStream
from lgtwist.accounts.milky.sends import Sends
from lgtwist.config.limits import Limits
from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import EVENT_CHANNEL, UNTIL_ANSWERED, IAccountLink
from lgtwist.milky.actions import conversation_of, perform
from lgtwist.milky.blocks import BlockTable
from lgtwist.milky.errors import NOT_LOGGED_IN, CallFailed
from lgtwist.milky.events import BadFrame, EventTranslator, ForeignFrame
from lgtwist.milky.implementation import Implementation, read_implementation
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import MessageKey
from lgtwist.milky.recent import Recent
from lgtwist.onebot import responses
from lgtwist.onebot.errors import AccountFailed, CallTimeout, LinkBroken, NotConnected, OneBotError
from lgtwist.onebot.event import Event
from lgtwist.onebot.values import read_integer
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.logs import Logger, LogThrottle, LogThrottles, printable
from lgtwist.runtime.tasks import shielded, spawn
from lgtwist.runtime.turns import FlushScheduler

#: Events that may wait for a new block to be stored; then the stream is read no more.
MOST_WAITING_EVENTS = 10_000
#: Seconds between two polls of ``get_login_info``, where heartbeats are not rarer.
_LOGIN_INTERVAL = 15.0
#: The same while it is offline.
_LOGGED_OUT_INTERVAL = 5.0
#: Seconds between two back-fills because it logged in again: each begins anew.
_FILL_INTERVAL = 5.0
#: Seconds that the implementation has to answer one; some try for several seconds to ask the platform.
_POLL_TIMEOUT = 15.0
#: Seconds that it has to say what it is, before its name is left unknown.
_NAME_TIMEOUT = 5.0
#: Seconds that it has, once a message was sent, to tell what an answer can do without.
_LOOK_UP_TIMEOUT = 5.0
#: Different refusals that are logged per minute: the peer chooses their words.
_LOGGED_REASONS = 8
#: Bytes of parameters that are counted until the action is answered: they are translated, not passed on.
_COUNTED_CALL = 4_096
#: Why the stream of events is not read, as bits: the journal takes no more; too many events wait for a block;
#: so many frames were malformed in one turn of the reactor that others must have theirs.
_PAUSE_JOURNAL, _PAUSE_BLOCKS, _PAUSE_FLOOD = 1, 2, 4
_MALFORMED_IN_TURN = 500
#: Bytes of an action's only answer from which on it is dropped where the account holds too much.
_DROPPED_WHERE_CROWDED = 65_536
#: Entities and segments of an answer that are translated in one turn of the reactor: some milliseconds.
_TRANSLATED_AT_ONCE = 400
#: Events that waited for a block, and are published in one turn.
_PUBLISHED_AT_ONCE = 1_000
#: What begins the frames of OneBot's servers, and is in no event of Milky.
_ONEBOT_MEMBER = b'"post_type"'


class DurableIds(Protocol):
    """Message ids that stand for the same message after a restart: the ``BlockStore``.

    :ivar table: the blocks.
    """

    table: BlockTable

    def committed(self) -> Deferred[None] | None:
        """Return what fires, and never fails, when all ids given out are durable; None if they are."""


@define(eq=False)
class _Call:
    """A call under way.

    :ivar call_id: its correlation id.
    :ivar internal: whether lgtwist makes it itself.
    :ivar deadline: when it is given up, by the reactor's clock, in seconds.
    :ivar begun: whether something of it may have been written.
    :ivar written: whether its parameters wait no more.
    :ivar answered: whether its response was handed over, or is not wanted any more.
    :ivar is_broken: whether its connection broke.
    :ivar work: what carries it out; None before it was begun.
    :ivar answers_size: bytes of answers that are counted in the account's budget for it.
    """

    call_id: int
    internal: bool
    deadline: float
    begun: bool = False
    written: bool = False
    answered: bool = False
    is_broken: bool = False
    work: Deferred[None] | None = None
    answers_size: int = 0


@define(eq=False)
class _CallApi:
    """Sends Milky's calls for one call of a bot: a :class:`~lgtwist.milky.interfaces.MilkyApi`.

    The answers to all of them count against the account's budget until the bot's call has ended.

    :ivar most: bytes that all of them may take together.
    """

    client: ApiClient
    of: _Call
    budget: Budget
    most: int

    async def call(self, api: str, params: dict[str, Any], /) -> Any:
        """Send one call; see :class:`ApiClient`."""
        return await self.client.call(
            api, params, begun=self._begun, written=self._written, received=self._received
        )

    def _begun(self) -> None:
        self.of.begun = True

    def _written(self) -> None:
        self.of.written = True

    def _received(self, size: int) -> None:
        call = self.of
        is_large = call.answers_size or size > _DROPPED_WHERE_CROWDED
        if is_large and (
            self.budget.exceeded or (call.answers_size and call.answers_size + size > self.most)
        ):
            raise AccountFailed(
                "the implementation's answers are dropped: together they are too large for one action, "
                "or too much is held for this account (peer_memory)"
            )
        call.answers_size += size
        self.budget.charge(size)


async def _look_up(work: Coroutine[Any, Any, Any], deadline: float, clock: IReactorTime) -> Any:
    """Return what a coroutine returns, within half of the time that is left.

    :param deadline: when the call is given up for which it is.
    :raises CallTimeout: if it takes longer; it is cancelled.
    """
    seconds = min(_LOOK_UP_TIMEOUT, max(0.0, deadline - clock.seconds()) / 2)
    looking = Deferred.fromCoroutine(work)
    looking.addTimeout(seconds, clock)
    try:
        return await looking
    except TimeoutError:
        raise CallTimeout(f"no answer within {seconds:g} s") from None


@define(eq=False)
class _Rests:
    """Lets the reactor run while one action translates much.

    :ivar weight: entities and segments that were translated in this turn.
    """

    clock: IReactorTime
    weight: int = 0

    async def rest(self, weight: int) -> None:
        """Wait for the next turn where enough was translated in this one."""
        self.weight += weight
        if self.weight >= _TRANSLATED_AT_ONCE:
            self.weight = 0
            await deferLater(self.clock, 0, lambda: None)


class _NotingIds:
    """Message ids for one call; it is noted whether one was given out.

    :param wants_own: whether the account's own messages are events: then one that was sent counts as seen
        only when its event comes.
    :ivar used: whether.
    """

    __slots__ = ("_table", "_wants_own", "used")

    def __init__(self, table: BlockTable, wants_own: bool) -> None:
        self._table = table
        self._wants_own = wants_own
        self.used = False

    def id_of(self, key: MessageKey, /) -> int:
        """Return the number of a message."""
        self.used = True
        return self._table.id_of(key)

    def key_of(self, message_id: int, /) -> MessageKey | None:
        """Return the message that a number stands for."""
        return self._table.key_of(message_id)

    def id_of_sent(self, key: MessageKey, /) -> int:
        """Return the number of a message that the account just sent."""
        self.used = True
        return self._table.id_of(key) if self._wants_own else self._table.id_of_sent(key)

    def new_unsequenced(self, peer_id: int) -> MessageKey:
        """Return a key for a message whose sequence number is not known."""
        return self._table.new_unsequenced(peer_id)


@define(eq=False)
class _WaitingEvent:
    """An event that waits for a block, or behind one that does.

    :ivar event: None for a message that is dropped on purpose.
    :ivar needs: the number of the waiting event for whose blocks it waits: its own, or 0.
    """

    key: MessageKey | None
    event: Event | None
    needs: int


@implementer(IAccountLink)
class MilkyLink:
    """The link of one account, for as long as its edge lives: it is opened and closed with the stream.

    :param account: whose it is.
    :param description: how the account is reached, for the log.
    :param api: sends calls; its callbacks are ``unauthorised`` and ``login_seen``.
    :param ids: message ids.
    :param translator: makes the events.
    :param limits: returns the present limits.
    :param scheduler: of all connections.
    :ivar budget: the account's.
    :ivar stream: brings the events; to be set before it is started, as is ``back_fill``.
    :ivar back_fill: fetches what was missed.
    :ivar recent: what is remembered of messages.
    :ivar implementation: what the implementation says it is.
    """

    _log = Logger()

    stream: EventStream
    back_fill: BackFill

    def __init__(
        self,
        account: Account,
        description: str,
        api: ApiClient,
        ids: DurableIds,
        translator: EventTranslator,
        *,
        recent: Recent,
        limits: Callable[[], Limits],
        scheduler: FlushScheduler,
    ) -> None:
        self.budget = account.budget
        self.recent = recent
        self.implementation = Implementation()
        self._account = account
        self._description = description
        self._api = api
        self._ids = ids
        self._translator = translator
        self._limits = limits
        self._scheduler = scheduler
        self._sends = Sends()
        self._calls: dict[int, _Call] = {}
        self._is_open = self._is_verified = False
        self._has_own_events = False
        self._said_logged_out = False
        self._pauses = 0
        self._waiting: deque[_WaitingEvent] = deque()
        self._waited = 0  # events that ever waited
        self._stored = 0  # the greatest number of a waiting event whose blocks are stored
        self._publishing: IDelayedCall | None = None  # until those whose blocks are stored are published
        self._next_poll: IDelayedCall | None = None
        self._malformed_in_turn = 0
        self._malformed_turn: IDelayedCall | None = None  # until they are counted anew
        self._next_fill: IDelayedCall | None = None
        self._filled_at = -_FILL_INTERVAL  # when a login was last followed by a back-fill
        self._polling: Deferred[None] | None = None
        self._refusal_log = LogThrottles(account.clock, _LOGGED_REASONS)
        self._malformed_log = LogThrottle(account.clock)

    # -- the listener of the stream

    def opened(self) -> None:
        """Add the link to the account: the stream is open."""
        self._is_open = True
        self._has_own_events = self._is_verified = False
        self._pauses = 0
        self._api.forget_missing()
        self.implementation = Implementation()
        self.back_fill.stream_opened()
        self._account.links.opened(self, description=self._description)
        if self._is_open:
            self._schedule_poll()

    def frame(self, frame: bytes) -> None:
        """Publish an event; count and drop what is none, or another account's."""
        links = self._account.links
        if not links.is_current(self, EVENT_CHANNEL):
            return
        translator = self._translator
        try:
            event = translator.translate(frame)
        except ForeignFrame as foreign:
            links.foreign_event(self, foreign.self_id, trusted=self._has_own_events)
            return
        except BadFrame as error:
            self._drop_malformed(frame, str(error))
            return
        self._has_own_events = True
        key = translator.key
        if event is None:
            if key is not None and self._waiting:  # noted in order: what is before it is not delivered yet
                self._waiting.append(_WaitingEvent(key, None, 0))
                self._pause_if_crowded()
            elif key is not None:
                self._ids.table.mark_seen(key, self._account.wall_clock())
            return
        uncommitted = self._ids.committed()
        if uncommitted is None and not self._waiting:
            self._take(key, event)
        else:
            self._wait_for_block(key, event, uncommitted)

    def closed(self, code: int | None, reason: str) -> None:
        """Remove the link from the account: the stream is closed."""
        self._end(reason, code)

    def failed(self, reason: str) -> None:
        """Say at the account why it cannot be reached."""
        if not self._is_open:
            self._account.reason = f"cannot connect to {self._description}: {reason}"

    def _drop_malformed(self, frame: bytes, why: str) -> None:
        self._account.counters.malformed_frames += 1
        self._malformed_in_turn += 1
        if self._malformed_in_turn >= _MALFORMED_IN_TURN and not self._pauses & _PAUSE_FLOOD:
            self._pause(_PAUSE_FLOOD)
        if self._malformed_turn is None:
            self._malformed_turn = self._account.clock.callLater(0, self._malformed_turn_ended)
        if _ONEBOT_MEMBER in frame[:4096]:
            why = ONEBOT_SERVER
            if not self._is_verified:
                self._account.clock.callLater(0, self._refused, why, logged=True)
        if self._malformed_log.should_log():
            self._log.warn(
                "account {account}: a malformed frame was dropped: {why}",
                account=self._account.self_id,
                why=printable(why),
            )

    def _malformed_turn_ended(self) -> None:
        """Read on: others had their turn."""
        self._malformed_turn = None
        self._malformed_in_turn = 0
        self._resume(_PAUSE_FLOOD)

    # -- events

    def _take(self, key: MessageKey | None, event: Event) -> None:
        """Publish an event whose ids are durable, or let the back-fill publish it in its order."""
        fill = self.back_fill
        if not ((key is None or fill.is_active) and fill.live_event(key, event)):
            self.publish(key, event)

    def publish(self, key: MessageKey | None, event: Event) -> None:
        """Publish an event, and mark its message as delivered."""
        if key is not None:
            self._ids.table.mark_seen(key, self._account.wall_clock())
        self._account.links.event_received(event)

    def _wait_for_block(
        self, key: MessageKey | None, event: Event, uncommitted: Deferred[None] | None
    ) -> None:
        """Let an event wait behind those that wait, and for what stores the blocks of its ids, if any."""
        self._waited += 1
        needs = 0
        if uncommitted is not None:
            needs = self._waited
            if key is not None:
                self._begin_conversation(key)
            shielded(uncommitted).addCallback(self._committed, needs)
        self._waiting.append(_WaitingEvent(key, event, needs))
        self.budget.charge(len(event.raw))
        self._pause_if_crowded()

    def _begin_conversation(self, key: MessageKey) -> None:
        """Note, before the first message of a conversation is delivered, that those before it are not wanted.

        It is stored with the message's block: if the process is killed before the message is delivered, it
        is known from where on messages are to be fetched.
        """
        table = self._ids.table
        if key.seq > 0 and table.last_seen(key.conversation) is None:
            table.mark_seen(key._replace(seq=key.seq - 1), self._account.wall_clock())

    def _pause_if_crowded(self) -> None:
        """Read the stream no more, where too much waits."""
        if self._is_crowded and not self._pauses & _PAUSE_BLOCKS:
            self._pause(_PAUSE_BLOCKS)

    @property
    def _is_crowded(self) -> bool:
        return self.budget.exceeded or len(self._waiting) >= MOST_WAITING_EVENTS

    def _committed(self, _none: None, number: int) -> None:
        """Publish, at the end of the reactor's turn, the waiting events whose blocks are stored now."""
        self._stored = max(self._stored, number)
        if self._publishing is None:
            self._publishing = self._account.clock.callLater(0, self._publish_stored)

    def publish_all(self) -> None:
        """Publish what waits: nothing is stored any more."""
        self._stored = self._waited
        self._publish_stored(everything=True)

    def _publish_stored(self, everything: bool = False) -> None:
        """Publish, as one batch, the waiting events whose blocks are stored.

        :param everything: whether all are now, and not only as many as take some milliseconds.
        """
        publishing, self._publishing = self._publishing, None
        if publishing is not None and publishing.active():
            publishing.cancel()
        waiting, scheduler = self._waiting, self._scheduler
        outermost = scheduler.begin_read()
        left = _PUBLISHED_AT_ONCE
        try:
            while waiting and waiting[0].needs <= self._stored:
                left -= 1
                if left < 0 and not everything:
                    self._publishing = self._account.clock.callLater(0, self._publish_stored)
                    break
                self._end_waiting(waiting.popleft())
        finally:
            if outermost:
                scheduler.read_ended()
        if self._pauses & _PAUSE_BLOCKS and not (waiting and self._is_crowded):
            self._resume(_PAUSE_BLOCKS)

    def _end_waiting(self, one: _WaitingEvent) -> None:
        if one.event is None:
            if one.key is not None:
                self._ids.table.mark_seen(one.key, self._account.wall_clock())
            return
        self.budget.release(len(one.event.raw))
        try:
            self._take(one.key, one.event)
        except Exception:
            self._log.failure(
                "account {account}: an event could not be published", account=self._account.self_id
            )

    def _pause(self, why: int) -> None:
        self._pauses |= why
        self.stream.pause()

    def _resume(self, why: int) -> None:
        if self._pauses & why:
            self._pauses &= ~why
            if not self._pauses:
                self.stream.resume()

    # -- the end of the link

    def _end(self, reason: str, code: int | None = None) -> None:
        """Remove the link from the account: what was not sent of its calls is 1501, the others are 1502."""
        if not self._is_open:
            return
        self._is_open = False
        account = self._account
        self._stop_polling()
        why = printable(reason if code is None else f"{code} {reason}")
        unsent = NotConnected(f"account {account.self_id} is not connected: {why}; nothing was sent")
        for call in tuple(self._calls.values()):
            if not (call.begun or call.internal):
                self._answer(call, responses.from_error(unsent))
        account.links.closed(self, why, code=code, words=reason)
        self._cancel_calls()
        self.back_fill.stream_closed()

    def _cancel_calls(self) -> None:
        """Break off what is under way, the newest first: the end of a send begins the next."""
        for call in reversed(tuple(self._calls.values())):
            self.forget(call.call_id)

    def stop(self, reason: str) -> None:
        """End the link, and everything that is under way."""
        self._end(reason)
        self._cancel_calls()
        self._stop_polling()

    def retire(self) -> None:
        """Poll no more; the open stream and calls under way stay."""
        self._stop_polling()

    def unauthorised(self, reason: str) -> None:
        """Close the link when the reactor's turn is over: the implementation refuses our token."""
        self._account.clock.callLater(0, self._refused, reason)

    def _refused(self, reason: str, logged: bool = False) -> None:
        if not self._is_open:
            return
        was_up = self._account.is_up
        self._end(reason)
        if not (was_up or logged) and self._refusal_log.should_log(reason):
            self._log.warn(
                "account {account}: {url} opens its event stream, and refuses calls: {reason}; "
                "trying again and again",
                account=self._account.self_id,
                url=self._description,
                reason=reason,
            )
        self.stream.close(1008, reason)

    # -- whether the implementation is there, and logged in

    def login_seen(self, logged_in: bool) -> None:
        """Update the account: an answer says that the implementation is logged in, or that it is not.

        That a call succeeded says nothing after ``bot_offline``: some answer from their memory.
        """
        if not logged_in:
            self._account.links.status_received(False, asked=True)
            if not self._said_logged_out:
                self._said_logged_out = True
                if self._next_poll is not None:  # sooner
                    self._next_poll.cancel()
                    self._schedule_poll()
        elif self._said_logged_out:
            self._said_logged_out = False
            self._account.links.status_received(True, asked=True)
            if self._is_open and self._next_fill is None:  # it may have missed messages itself
                clock = self._account.clock
                wait = max(0.0, self._filled_at + _FILL_INTERVAL - clock.seconds())
                self._next_fill = clock.callLater(wait, self._fill_again)

    def _fill_again(self) -> None:
        """Fetch what was missed from the beginning."""
        self._next_fill = None
        self._filled_at = self._account.clock.seconds()
        self.back_fill.stream_closed()
        self.back_fill.stream_opened()
        if self._is_verified:
            self.back_fill.verified()

    def _schedule_poll(self) -> None:
        interval = _LOGGED_OUT_INTERVAL
        if self._account.online or not self._is_verified:
            interval = max(_LOGIN_INTERVAL, self._limits().heartbeat_interval)
        self._next_poll = self._account.clock.callLater(interval, self._poll)

    def _stop_polling(self) -> None:
        if self._next_fill is not None:
            self._next_fill.cancel()
            self._next_fill = None
        if self._next_poll is not None:
            self._next_poll.cancel()
            self._next_poll = None
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()

    def _poll(self) -> None:
        self._next_poll = None
        polling = self._polling = spawn("poll an account", self._poll_once())

        def polled(_none: None) -> None:
            if self._polling is polling:
                self._polling = None
                if self._is_open:
                    self._schedule_poll()

        polling.addCallback(polled)

    async def _poll_once(self) -> None:
        """Send ``get_login_info``: without an answer the link is closed.

        Before the link is verified, the hub sends it. While the account is offline, ask also what only the
        platform knows: some go on answering ``get_login_info`` then.
        """
        links = self._account.links
        if links.action_link is not self:
            return
        timeout = min(_POLL_TIMEOUT, max(1.0, self._limits().action_timeout))
        try:
            try:
                data = await self._api.call_now(LOGIN_INFO, {}, timeout)
            except LinkBroken:  # it may have closed a connection that was idle
                data = await self._api.call_now(LOGIN_INFO, {}, timeout)
        except (NotConnected, LinkBroken, CallTimeout) as error:
            self._polling = None
            reason = f"its API does not answer: {_without_outcome(error.sentence)}"
            self._end(reason)
            self.stream.close(1000, reason)
            return
        except OneBotError:
            return  # it answers
        uin = read_integer(data.get("uin")) if isinstance(data, dict) else None
        if uin and uin != self._account.self_id and links.action_link is self:
            links.refuse(self, uin)
        elif not self._account.online:
            try:
                await self._api.call_now("get_user_profile", {"user_id": self._account.self_id}, timeout)
            except OneBotError:
                return
            links.status_received(True, asked=True)

    async def _learn_implementation(self) -> None:
        """Ask what the implementation is; it stays unknown where it does not say."""
        try:
            data = await self._api.call_now("get_impl_info", {}, _NAME_TIMEOUT)
        except OneBotError:
            return
        self.implementation = read_implementation(data)

    # -- IAccountLink

    def send(self, call_id: int, action: str, params: bytes) -> object:
        """Carry out an action by calls of Milky, in the order of its conversation.

        :returns: a flow-control token, ``UNTIL_ANSWERED`` for large parameters; None if it ended already.
        """
        account = self._account
        deadline = account.clock.seconds() + self._limits().action_timeout
        call = _Call(call_id, not account.caller_of(call_id), deadline)
        try:
            if not self._is_open:
                raise NotConnected(f"account {account.self_id} is not connected; nothing was sent")
            conversation = conversation_of(action, params, self._ids.table)
            self._calls[call_id] = call
            work = self._sends.start(conversation, lambda: self._perform(call, action, params))
        except OneBotError as error:
            self._calls.pop(call_id, None)
            self._answer(call, responses.from_error(error))
            return None
        call.work = work
        work.addBoth(self._call_ended, call_id)
        if call_id not in self._calls:
            return None
        return UNTIL_ANSWERED if len(params) > _COUNTED_CALL else call_id

    def _call_ended(self, result: object, call_id: int) -> None:
        call = self._calls.pop(call_id)
        self.budget.release(call.answers_size)
        if isinstance(result, Failure) and not result.check(CancelledError):
            self._log.failure("account {account}: an action failed", result, account=self._account.self_id)

    async def _perform(self, call: _Call, action: str, params: bytes) -> None:
        """Carry out an action, and hand over its response."""
        if call.answered or not self._account.has_call(call.call_id):
            return  # it waited for too long
        try:
            ids = _NotingIds(self._ids.table, self._translator.wants_own)
            response = await self._response(call, action, params, ids)
            del params
            if ids.used and (uncommitted := self._ids.committed()) is not None:
                await shielded(uncommitted)
                self._publish_stored(everything=True)  # they were received before the answer
        except CancelledError:
            return
        self._answer(call, response)
        if action == LOGIN_INFO and not self._is_verified and self._account.links.action_link is self:
            self._is_verified = True
            self.back_fill.verified()
        if call.is_broken:  # other connections may have broken too, which is known when the turn is over
            with suppress(CancelledError):
                await deferLater(self._account.clock, 0, lambda: None)

    async def _response(self, call: _Call, action: str, params: bytes, ids: _NotingIds) -> bytes:
        try:
            context = self._context(call, ids)
            data = await perform(action, params, context)
            if context.implementation.name:
                self.implementation = context.implementation
            elif call.internal and action == LOGIN_INFO:
                await self._learn_implementation()  # before a bot's actions: some need to know
            return responses.ok(data)
        except CancelledError:
            raise
        except CallFailed as error:
            if call.internal and error.milky_retcode == NOT_LOGGED_IN:
                said = f": {error.sentence}" if error.sentence else ""
                sentence = f"the implementation is not logged in ({NOT_LOGGED_IN}{said})"
                return responses.failed(NOT_LOGGED_IN, sentence)
            return responses.from_error(error)
        except OneBotError as error:
            call.is_broken = isinstance(error, LinkBroken)
            return responses.from_error(error)
        except Exception:
            self._log.failure(
                "account {account}: {action} failed", account=self._account.self_id, action=action
            )
            return responses.from_error(AccountFailed(f"lgtwist failed to translate {action} to Milky"))

    def _context(self, call: _Call, ids: _NotingIds) -> ActionContext:
        account = self._account
        return ActionContext(
            self_id=account.self_id,
            api=_CallApi(self._api, call, self.budget, self._limits().max_message),
            ids=ids,
            recent=self.recent,
            implementation=self.implementation,
            is_online=lambda: account.online,
            now=account.wall_clock,
            rest=_Rests(account.clock).rest,
            look_up=lambda work: _look_up(work, call.deadline, account.clock),
        )

    def _answer(self, call: _Call, response: bytes) -> None:
        """Hand over the response to a call, if it is still wanted."""
        if not call.answered:
            call.answered = True
            self._account.receive(call.call_id, response)

    def has_sent(self, flow_token: int) -> bool:
        """Return whether the parameters of an action were written, or it has ended."""
        call = self._calls.get(flow_token)
        return call is None or call.written or call.answered

    def forget(self, call_id: int) -> None:
        """Break off what is under way for a call; the next send of its conversation begins."""
        call = self._calls.get(call_id)
        if call is not None:
            call.answered = True
            if call.work is not None:
                call.work.cancel()

    def pause_reading(self) -> None:
        """Take no more events; answers are taken."""
        self._pause(_PAUSE_JOURNAL)

    def resume_reading(self) -> None:
        """Take events again, first those that were received before."""
        self._resume(_PAUSE_JOURNAL)

    def close(self, code: int, reason: str) -> None:
        """Close the link; the stream is dialled again after the back-off."""
        if self._is_open:
            self._is_open = False
            self._stop_polling()
            self._cancel_calls()
            self.back_fill.stream_closed()
        self.stream.close(code, reason)


def _without_outcome(sentence: str) -> str:
    """Return a sentence without what it says of whether a call was carried out."""
    return sentence.partition("; ")[0]
