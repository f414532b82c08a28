"""Fetch what was sent while the stream of events was broken, and deliver it in order.

How :class:`lgtwist.accounts.milky.link.MilkyLink` uses it::

    back_fill = BackFill(context)            # once per account, so that it knows of former links
    back_fill.stream_opened()                # the stream of events is open: live events are looked at
    back_fill.verified()                     # it is logged in as this account: fetching begins
    if key is None or back_fill.is_active:
        if back_fill.live_event(key, event): # its block is committed; True: it is taken over
            continue
    ... publish it, and mark_seen ...
    back_fill.stream_closed()                # what is under way is broken off, and done at the next opening
    back_fill.stop()                         # for good

A conversation is *pending* from the opening of the stream until what was missed in it is delivered. What is
received in it live meanwhile waits behind that. A break of the stream leaves it pending: what waits then is
as if it had come during the break. What waits when the service stops is not marked as seen, so it is fetched
after the next start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from attrs import Factory, define, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from lgtwist.accounts.milky.history import Missed, read_missed
from lgtwist.accounts.milky.missed_requests import MissedRequests
from lgtwist.milky.errors import NOT_FOUND, NOT_LOGGED_IN, CallFailed
from lgtwist.milky.frames import BadFrame
from lgtwist.milky.implementation import Implementation
from lgtwist.milky.interfaces import MilkyApi
from lgtwist.milky.keys import FRIEND, GROUP, Conversation, MessageKey
from lgtwist.onebot.errors import CallTimeout, LinkBroken, NotConnected, OneBotError, UnknownAction
from lgtwist.onebot.event import Event, place_of
from lgtwist.onebot.values import read_integer
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.logs import Logger, printable
from lgtwist.runtime.tasks import shielded, spawn

#: Conversations that are filled at once, and that are filled without a message in them.
_READ_AT_ONCE, _MOST_FILLED = 4, 500
#: Seconds that reading one conversation's history may take.
_LONGEST_READ = 10.0
#: Seconds that a live event may wait, events of one conversation that may, and bytes of all.
_LONGEST_HOLD, _MOST_TAKEN_OVER, _MOST_BYTES = 30.0, 1_000, 8 << 20
#: Seconds until the implementation is asked again when it is not logged in, or is not reached; this many
#: times, with doubled gaps.
_ASK_AGAIN, _MOST_ASKED = 5.0, 6
#: Seconds between two looks whether the journal takes events again.
_JOURNAL_LOOK = 0.5


@frozen
class BackFillBounds:
    """``back_fill = {max_messages, max_age}``.

    :ivar max_messages: of one conversation; 0 turns it off.
    :ivar max_age: seconds; what is older goes to at-least-once bots only.
    """

    max_messages: int = 300
    max_age: float = 600.0


class SeenMessages(Protocol):
    """Which messages were delivered, durably: the ``BlockTable``."""

    def was_seen(self, key: MessageKey, /) -> bool:
        """Return whether a message was delivered, or dropped deliberately."""

    def mark_seen(self, key: MessageKey, now: float, /) -> None:
        """Note that a message was delivered, or dropped deliberately."""

    def last_seen(self, conversation: Conversation, /) -> int | None:
        """Return the greatest sequence number of a conversation that was; None if none was."""

    def active_conversations(self) -> list[Conversation]:
        """Return the conversations in which one was, the most recently active first."""


class MessageTranslator(Protocol):
    """Translates messages of a history: the ``EventTranslator``."""

    def translate(self, frame: bytes) -> Event | None:
        """Return the event in a frame of the event stream; None if there is none for bots."""

    def translate_message(self, message: dict[str, Any], *, time: int = 0) -> Event | None:
        """Return the event of a message; None if bots do not get it.

        :raises BadFrame: if it cannot be read.
        """

    def key_of_message(self, message: Any) -> MessageKey | None:
        """Return what names a message; None if it cannot be read."""


@frozen(kw_only=True)
class BackFillContext:
    """What one account's back-fill uses.

    :ivar self_id: the account's number.
    :ivar bounds: returns the bounds, which may be replaced.
    :ivar api: sends calls.
    :ivar implementation: returns what the implementation says it is.
    :ivar seen: which messages were delivered.
    :ivar translator: translates messages.
    :ivar committed: returns what fires, and never fails, when all message ids given out are durable; None if
        they are.
    :ivar publish: delivers a live event that was taken over, and marks it as seen.
    :ivar publish_late: delivers an event late: ``FanOut.publish_late``.
    :ivar clock: the reactor, or a clock in its place.
    :ivar wall_clock: returns seconds since the epoch.
    :ivar budget: counts what is held because of the implementation.
    :ivar is_paused: whether the journal takes no more events now.
    """

    self_id: int
    bounds: Callable[[], BackFillBounds]
    api: MilkyApi
    implementation: Callable[[], Implementation]
    seen: SeenMessages
    translator: MessageTranslator
    committed: Callable[[], Deferred[None] | None]
    publish: Callable[[MessageKey | None, Event], None]
    publish_late: Callable[..., None]
    clock: IReactorTime
    wall_clock: Callable[[], float]
    budget: Budget
    is_paused: Callable[[], bool] = lambda: False


@frozen
class _TakenOver:
    """A live event that waits behind what was missed.

    :ivar key: of a message; None for other events.
    """

    key: MessageKey | None
    event: Event


@define(eq=False)
class _Pending:
    """A conversation of which something may have been missed.

    :ivar floor: the sequence number behind which it may.
    :ivar waiting: live events, in the order in which they came.
    :ivar size: their bytes.
    :ivar work: the reading of its history, while it is under way.
    :ivar limit: ends the waiting.
    :ivar cut: why it is ended before all is read; empty if it is not.
    :ivar is_read: whether what was read is about to be delivered.
    """

    conversation: Conversation
    floor: int
    waiting: list[_TakenOver] = Factory(list)
    size: int = 0
    work: Deferred[None] | None = None
    limit: IDelayedCall | None = None
    cut: str = ""
    is_read: bool = False

    @property
    def newest_waiting(self) -> int | None:
        """The greatest sequence number of the messages that wait; None if none does."""
        return max((one.key.seq for one in self.waiting if one.key is not None), default=None)


@define
class _Round:
    """What was done since the stream was opened, for one line."""

    messages: int = 0
    conversations: int = 0
    incomplete: int = 0
    reason: str = ""

    def note_incomplete(self, reason: str) -> None:
        self.incomplete += 1
        self.reason = self.reason or reason


def in_order(
    fetched: list[tuple[int, Event]], waiting: list[_TakenOver]
) -> list[tuple[int, Event] | _TakenOver]:
    """Return the events of one conversation in order: by sequence number, others behind what they followed.

    :param fetched: messages that were missed, ascending.
    :param waiting: live events, in the order in which they came.
    """
    newest = 0
    live: list[tuple[int, int, _TakenOver]] = []
    for one in waiting:
        if one.key is not None:
            newest = max(newest, one.key.seq)
            live.append((one.key.seq, 0, one))
        else:
            live.append((newest, 1, one))
    live.sort(key=lambda each: each[:2])
    ordered: list[tuple[int, Event] | _TakenOver] = []
    rest = deque(fetched)
    for seq, _kind, one in live:
        while rest and rest[0][0] < seq:
            ordered.append(rest.popleft())
        ordered.append(one)
    return [*ordered, *rest]


class BackFill:
    """The back-fill of one account.

    :ivar is_active: whether messages must be shown to :meth:`live_event` before they are delivered.
    :ivar back_filled_events: events that were delivered late, since the start.
    """

    _log = Logger()

    def __init__(self, context: BackFillContext) -> None:
        self.is_active = False
        self.back_filled_events = 0
        self._context = context
        self._requests = MissedRequests(context.self_id, context.seen, context.wall_clock)
        self._is_open = self._is_stopped = False
        self._is_verified = False  # the implementation said that it is logged in as this account
        self._is_suspended = False  # it cannot be asked now
        self._opening = 0  # what was begun before this number changed is broken off
        self._begun: Deferred[None] | None = None  # the calls for requests
        self._retry: IDelayedCall | None = None
        self._asked = 0  # how often in a row it could not be asked
        self._pending: dict[Conversation, _Pending] = {}
        self._queue: dict[Conversation, None] = {}  # those that are not read yet
        self._reading = 0
        self._is_starting = False
        self._bytes = 0
        # Conversations that are filled only when a message comes in them, with the newest that was seen.
        self._others: dict[Conversation, int] = {}
        self._round: _Round | None = None

    # -- the life of the stream

    def stream_opened(self) -> None:
        """Take over live events where something was missed: the stream is open, also the first time of all.

        What was delivered before is what counts as the last.
        """
        if self._is_stopped or self._is_open:
            return
        if self._context.bounds().max_messages <= 0:
            self._abandon("")
            return
        self._is_open = True
        self._asked = 0
        self._round = _Round()
        seen = self._context.seen
        others, self._others = self._others, {}
        for conversation in seen.active_conversations():
            if conversation in self._pending:
                continue
            floor = others.get(conversation, seen.last_seen(conversation))
            if floor is None:
                continue
            if len(self._pending) < _MOST_FILLED:
                self._pending[conversation] = _Pending(conversation, floor)
            else:
                self._others[conversation] = floor
        waiting_first = sorted(self._pending.values(), key=lambda one: not one.waiting)
        self._queue = dict.fromkeys(one.conversation for one in waiting_first)
        for one in waiting_first:
            if one.waiting:
                self._set_limit(one)
        self._update()

    def verified(self) -> None:
        """Fetch what was missed: the implementation is logged in as this account.

        Call it once behind each :meth:`stream_opened`, or not at all; before it no call is sent, for the
        implementation may be another account's.
        """
        if self._is_open and not self._is_verified:
            self._is_verified = True
            self._begin()

    def stream_closed(self) -> None:
        """Break off: what was not fetched is fetched after the next opening; what waits goes on waiting."""
        if not self._is_open:
            return
        self._is_open = self._is_verified = self._is_suspended = False
        self._break_off()
        if self._round is not None:
            self._log_round()

    def stop(self) -> None:
        """Break off for good, and start nothing.

        Events that wait and are no messages are handed over: they cannot be fetched again.
        """
        self.stream_closed()
        self._is_stopped = True
        self._break_off()
        for one in tuple(self._pending.values()):
            self._remove(one)
            for event in one.waiting:
                if event.key is None:
                    self._publish(event)
        self._others.clear()
        self._update()

    def _break_off(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.cancel()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._opening += 1
        self._queue.clear()
        for one in self._pending.values():
            one.is_read = False
            self._stop_limit(one)
            work, one.work = one.work, None
            if work is not None:
                work.cancel()

    def _update(self) -> None:
        self.is_active = bool(self._pending or self._others)

    # -- beginning

    def _begin(self) -> None:
        """Read histories, and look for requests."""
        self._retry = None
        self._is_suspended = False
        self._read_more()
        self._end_round()
        begun = self._begun = spawn("back-fill", self._fetch_requests())

        def done(_none: None) -> None:
            if self._begun is begun:
                self._begun = None

        begun.addCallback(done)

    async def _fetch_requests(self) -> None:
        """Deliver the requests that nobody has seen."""
        context = self._context
        try:
            missed = await self._requests.read(context.api)
        except OneBotError:
            return
        for request in missed:
            try:
                event = context.translator.translate(request.frame)
            except BadFrame:
                continue
            if event is not None:
                self._publish_late(event, request.time)

    def _ask_again(self, error: OneBotError) -> None:
        """Read on later: the implementation is not logged in, or not reached."""
        if self._retry is not None or not self._is_open:
            return
        self._is_suspended = True
        self._asked += 1
        if self._asked > _MOST_ASKED:
            self._abandon(error.sentence)
            return
        delay = _ASK_AGAIN * 2 ** (self._asked - 1)
        self._retry = self._context.clock.callLater(delay, self._begin)

    def _abandon(self, reason: str) -> None:
        """Deliver what waits, and fetch nothing until the stream is opened again.

        :param reason: for the log; empty if that is as configured.
        """
        pending, self._pending = self._pending, {}
        for one in pending.values():
            if one.is_read:
                self._pending[one.conversation] = one
        self._queue.clear()
        self._others.clear()
        for one in pending.values():
            if one.is_read:  # it is delivered in a moment
                continue
            work, one.work = one.work, None
            if work is not None:
                work.cancel()
            self._deliver(one, [])
        self._update()
        if reason:
            self._round = None
            self._log.warn(
                "account {account}: what came while its event stream was broken cannot be fetched: {reason}",
                account=self._context.self_id,
                reason=printable(reason),
            )

    # -- live events

    def live_event(self, key: MessageKey | None, event: Event) -> bool:
        """Take over a live event if it must wait, or was delivered already; return whether it was taken over.

        Call it for each event that is no message, and for messages while :attr:`is_active` is true; the ids
        in it are durable.

        :param key: of a message; None for all other events.
        """
        if key is None:
            if event.post_type == "request":
                self._requests.note(event)
                return False
            pending = self._pending.get(_conversation_of(event)) if self._pending else None
        else:
            if self._context.seen.was_seen(key):
                return True
            pending = self._pending.get(key.conversation)
            if pending is None and self._others:
                pending = self._look_at_other(key)
        if pending is None:
            return False
        self._wait(pending, _TakenOver(key, event))
        return True

    def _look_at_other(self, key: MessageKey) -> _Pending | None:
        """Fill a conversation, in which a message came, if there is a gap before that."""
        conversation = key.conversation
        floor = self._others.pop(conversation, None)
        if floor is None or key.seq <= floor + 1:
            self._update()
            return None
        pending = self._pending[conversation] = _Pending(conversation, floor)
        if self._is_open:
            self._queue[conversation] = None
        return pending

    def _wait(self, pending: _Pending, one: _TakenOver) -> None:
        is_first = not pending.waiting
        size = len(one.event.raw)
        pending.waiting.append(one)
        pending.size += size
        self._bytes += size
        self._context.budget.charge(size)
        too_much = self._bytes > _MOST_BYTES or self._context.budget.exceeded
        if too_much or len(pending.waiting) > _MOST_TAKEN_OVER:
            self._cut(pending, "too much came meanwhile")
        elif is_first and self._is_open:
            self._set_limit(pending)
            if pending.conversation in self._queue:  # it is read next
                self._queue = {pending.conversation: None, **self._queue}
            self._read_more()

    def _set_limit(self, pending: _Pending) -> None:
        if pending.limit is None:
            pending.limit = self._context.clock.callLater(_LONGEST_HOLD, self._waited, pending)

    def _stop_limit(self, pending: _Pending) -> None:
        if pending.limit is not None and pending.limit.active():
            pending.limit.cancel()
        pending.limit = None

    def _waited(self, pending: _Pending) -> None:
        pending.limit = None
        self._cut(pending, f"it takes longer than {_LONGEST_HOLD:g} s")

    def _cut(self, pending: _Pending, reason: str) -> None:
        """Deliver what was read and what waits: no more is read."""
        if pending.is_read:
            return
        pending.cut = pending.cut or reason
        if pending.work is not None:
            pending.work.cancel()
        elif pending.conversation in self._pending:
            if self._round is not None:
                self._round.note_incomplete(reason)
            self._deliver(pending, [])
            self._end_round()

    # -- reading

    def _read_more(self) -> None:
        """Read the next conversations, as many as are read at once."""
        if self._is_starting:
            return  # the loop below goes on
        self._is_starting = True
        while self._queue and self._reading < _READ_AT_ONCE and self._may_read:
            conversation = next(iter(self._queue))
            del self._queue[conversation]
            pending = self._pending[conversation]
            self._reading += 1
            spawn("back-fill", self._fill(pending)).addCallback(self._read_one)
        self._is_starting = False

    @property
    def _may_read(self) -> bool:
        return self._is_open and self._is_verified and not self._is_suspended

    def _read_one(self, _none: None) -> None:
        self._reading -= 1
        self._read_more()
        self._end_round()

    async def _fill(self, pending: _Pending) -> None:
        """Read the history of one conversation, and deliver what was missed in it."""
        missed, opening = Missed(), self._opening
        try:
            await self._read(pending, missed)
        except (NotConnected, LinkBroken, CallTimeout) as error:
            self._put_back(pending, opening, error)
            return
        except UnknownAction as error:
            if self._is_current(pending, opening):
                self._abandon(error.sentence)
            return
        except OneBotError as error:
            if isinstance(error, CallFailed) and error.milky_retcode == NOT_LOGGED_IN:
                self._put_back(pending, opening, error)
                return
            if not (isinstance(error, CallFailed) and error.milky_retcode == NOT_FOUND):  # it has ended
                missed.why_not_all = error.sentence
        if not self._is_current(pending, opening):
            return
        self._asked = 0
        pending.is_read = True
        fetched: list[tuple[int, Event | None, int | None]] = []
        try:
            fetched = self._translate(pending, missed)
        except Exception:
            self._log.failure(
                "account {account}: what was missed could not be translated", account=self._context.self_id
            )
        await self._until_durable(opening)
        if self._is_current(pending, opening):
            if self._round is not None and missed.why_not_all:
                self._round.note_incomplete(missed.why_not_all)
            self._deliver(pending, fetched)

    def _is_current(self, pending: _Pending, opening: int) -> bool:
        """Whether a conversation is pending still, and the stream was not closed meanwhile."""
        return self._opening == opening and self._pending.get(pending.conversation) is pending

    async def _read(self, pending: _Pending, missed: Missed) -> None:
        context = self._context
        reading = Deferred.fromCoroutine(
            read_missed(
                context.api,
                pending.conversation,
                missed,
                floor=pending.floor,
                most=context.bounds().max_messages,
                key_of=context.translator.key_of_message,
                known=pending.newest_waiting,
                is_lagrange=context.implementation().is_lagrange,
            )
        )
        pending.work = reading
        timer = context.clock.callLater(_LONGEST_READ, self._cut, pending, f"it takes {_LONGEST_READ:g} s")
        try:
            await reading
        except CancelledError:
            missed.why_not_all = pending.cut
        finally:
            if pending.work is reading:
                pending.work = None
            if timer.active():
                timer.cancel()

    def _put_back(self, pending: _Pending, opening: int, error: OneBotError) -> None:
        """Read a conversation later: the implementation cannot be asked now."""
        if self._is_current(pending, opening):
            self._queue = {pending.conversation: None, **self._queue}
            self._ask_again(error)

    def _translate(self, pending: _Pending, missed: Missed) -> list[tuple[int, Event | None, int | None]]:
        """Return the events of what was missed, ascending, each with its time.

        :returns: with None in place of an event that bots do not get.
        """
        context = self._context
        waits = {one.key.seq for one in pending.waiting if one.key is not None}
        now = int(context.wall_clock())
        fetched: list[tuple[int, Event | None, int | None]] = []
        for seq in missed.newest(max(1, context.bounds().max_messages)):
            message = missed.messages[seq]
            if seq in waits or context.seen.was_seen(MessageKey(*pending.conversation, seq)):
                continue
            try:
                event = context.translator.translate_message(message, time=now)
            except BadFrame:
                continue
            fetched.append((seq, event, read_integer(message.get("time"))))
        return fetched

    async def _until_durable(self, opening: int) -> None:
        """Wait until the ids that were given out are durable, and the journal takes events."""
        context = self._context
        while True:
            uncommitted = context.committed()
            if uncommitted is not None:
                await shielded(uncommitted)
            elif context.is_paused() and self._opening == opening:
                await deferLater(context.clock, _JOURNAL_LOOK)
            else:
                return

    # -- delivering

    def _remove(self, pending: _Pending) -> None:
        self._stop_limit(pending)
        self._pending.pop(pending.conversation, None)
        self._queue.pop(pending.conversation, None)
        size, pending.size = pending.size, 0
        self._bytes -= size
        self._context.budget.release(size)
        self._update()

    def _deliver(self, pending: _Pending, fetched: list[tuple[int, Event | None, int | None]]) -> None:
        """Deliver what was missed in a conversation, and behind it what waits."""
        self._remove(pending)
        context, conversation = self._context, pending.conversation
        waits = {one.key.seq for one in pending.waiting if one.key is not None}
        times: dict[int, int | None] = {}
        events: list[tuple[int, Event]] = []
        for seq, event, time in fetched:
            key = MessageKey(*conversation, seq)
            if seq in waits or context.seen.was_seen(key):
                continue
            if event is None:
                context.seen.mark_seen(key, context.wall_clock())
            else:
                times[seq] = time
                events.append((seq, event))
        for one in in_order(events, pending.waiting):
            if isinstance(one, _TakenOver):
                self._publish(one)
            else:
                seq, event = one
                context.seen.mark_seen(MessageKey(*conversation, seq), context.wall_clock())
                self._publish_late(event, times[seq])
        if events and self._round is not None:
            self._round.conversations += 1
            self._round.messages += len(events)

    def _publish(self, one: _TakenOver) -> None:
        try:
            if one.key is None or not self._context.seen.was_seen(one.key):
                self._context.publish(one.key, one.event)
        except Exception:
            self._log.failure(
                "account {account}: an event that waited could not be published",
                account=self._context.self_id,
            )

    def _publish_late(self, event: Event, time: int | None) -> None:
        """Deliver an event late.

        :param time: when it happened, in seconds since the epoch; None if that is not known.
        """
        context = self._context
        age = 0.0 if time is None else context.wall_clock() - time
        self.back_filled_events += 1
        try:
            context.publish_late(event, live=age <= context.bounds().max_age)
        except Exception:
            self._log.failure(
                "account {account}: an event that was fetched could not be published", account=context.self_id
            )

    # -- the log

    def _end_round(self) -> None:
        """Say what was fetched, if nothing more is to be."""
        if self._round is not None and self._is_verified and not self._pending:
            self._log_round()

    def _log_round(self) -> None:
        done, self._round = self._round, None
        assert done is not None
        account = self._context.self_id
        if done.messages:
            self._log.info(
                "account {account}: {messages} messages in {conversations} conversations were fetched, "
                "which came while its event stream was broken",
                account=account,
                messages=done.messages,
                conversations=done.conversations,
            )
        if done.incomplete:
            self._log.warn(
                "account {account}: in {incomplete} conversations messages may be missing that came while "
                "its event stream was broken: {reason}",
                account=account,
                incomplete=done.incomplete,
                reason=printable(done.reason),
            )


def _conversation_of(event: Event) -> Conversation:
    """Return the conversation of an event that is no message."""
    place = place_of(event)
    if place.group_id:
        return Conversation(GROUP, place.group_id)
    return Conversation(FRIEND, place.user_id or 0)
