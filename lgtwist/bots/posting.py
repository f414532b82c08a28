"""The posts of one account's events to one bot (OneBot 11, ``communication/http-post.md``).

:class:`Posting` posts in order, one at a time, and pauses after failures. Its queue has the events:
:class:`LiveQueue` those that are published, once each; :class:`JournalQueue` those of an at-least-once
delivery, each again until it is answered with 2xx.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lgtwist.bots.javascript_json import json_stringify
from lgtwist.delivery.batch import Position
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.interfaces import IEventSink
from lgtwist.delivery.redelivery import Redelivery
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.interfaces import EncodedEvents, IBotConnection
from lgtwist.hub.snapshots import PostFailure, PostingState
from lgtwist.net.backoff import Backoff
from lgtwist.net.http_client import Answer, BodyLost, is_unreachable, why_failed
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.logs import Logger, printable
from lgtwist.runtime.tasks import spawn

#: After this many failures in a row, they are logged, and live events are not posted during a pause.
_FAILURES_IN_A_ROW = 5
#: HTTP statuses that refuse the event itself; others mean that the bot cannot take any event now.
_REFUSAL_STATUSES = (400, 413, 414, 415, 422)
#: Seconds until a refused event is posted again.
_REFUSED_RETRY = 1.0


class FailedPost(NamedTuple):
    """How a post failed.

    :ivar why: in a few words.
    :ivar status: the HTTP status of the answer; 0 if there was none.
    :ivar unreachable: whether there was no connection to the bot, so that it has not got the body.
    """

    why: str
    status: int
    unreachable: bool


class Queue(Protocol):
    """The events of a :class:`Posting`.

    :ivar failure_effect: what happens to events while posts fail, for the log.
    """

    failure_effect: str

    @property
    def delivery(self) -> Delivery | None:
        """The delivery that gives the events; None if they are live."""

    def subscribe(self) -> None:
        """Subscribe to the account, by the bot's settings as they are now."""

    def start(self, posting: Posting) -> None:
        """Subscribe to events, and call ``posting.wake()`` whenever there are some."""

    def stop(self) -> None:
        """Unsubscribe, and drop the events that wait."""

    def add_heartbeat(self, body: bytes) -> None:
        """Add a heartbeat.

        :param body: the event, as one JSON object.
        """

    def next(self) -> bytes | None:
        """Remove and return the body to post next; None if there is none."""

    def succeeded(self, failures: int) -> bool:
        """Note that the last body was answered with 2xx.

        :param failures: how many posts in a row failed before.
        :returns: whether the success counts: not if it was a heartbeat between events, or sent again by the
            operator.
        """

    @property
    def was_sent_again(self) -> bool:
        """Whether the last body was an event that the operator had sent again."""

    def confirmed(self) -> None:
        """Confirm the event, after the quick operation in its answer was begun."""

    def failed(self, failures: int, failure: FailedPost) -> bool:
        """Note that the post of the last body failed.

        :param failures: how many posts in a row failed before.
        :returns: whether the failure counts: not if it was a heartbeat between events, or sent again by the
            operator.
        """

    def pause_seconds(self, failures: int, status: int, backoff: Backoff) -> float | None:
        """Return the seconds to pause after a failure; None to post the next body at once.

        :param failures: how many posts in a row have failed, this one among them.
        """

    def paused(self, status: int) -> None:
        """Note that a pause has begun.

        :param status: the HTTP status of the last answer; 0 if there was none.
        """

    def pause_ended(self) -> None:
        """Note that the pause has ended."""

    def recovery_note(self) -> str:
        """Return the end of the log line that says that posts succeed again."""


class Posting:
    """Posts one account's events to one bot: in order, one at a time.

    :param post: posts a body; fires with the answer.
    :param backoff: gives the pauses after failures.
    :param queue: has the events.
    :param heartbeat_interval: seconds between heartbeats; 0 for none.
    :param shown_url: the URL without secrets, for the log.
    :ivar failures: number of posts in a row that failed.
    :ivar last_failure: the newest failure; None before the first.
    """

    _log = Logger()

    def __init__(
        self,
        bot: Bot,
        account: Account,
        post: Callable[[bytes], Deferred[Answer]],
        backoff: Backoff,
        queue: Queue,
        *,
        heartbeat_interval: float,
        shown_url: str,
    ) -> None:
        self.bot = bot
        self.account = account
        self.running = False
        self._clock: IReactorTime = account.clock
        self._post = post
        self._backoff = backoff
        self._queue = queue
        self._heartbeat_interval = heartbeat_interval
        self._shown_url = shown_url
        self._posting: Deferred[None] | None = None
        self._pause: IDelayedCall | None = None
        self._heartbeat: IDelayedCall | None = None
        self.failures = 0
        self.last_failure: PostFailure | None = None

    def state(self) -> PostingState:
        """Return how the posts go, as of now."""
        pause = self._pause
        return PostingState(
            target=self._shown_url,
            running=self.running,
            failures=self.failures,
            paused_for=None if pause is None else max(0.0, pause.getTime() - self._clock.seconds()),
            last_failure=self.last_failure,
        )

    @property
    def delivery(self) -> Delivery | None:
        """Where the events come from; None if they are live."""
        return self._queue.delivery

    def use_backoff(self, backoff: Backoff) -> None:
        """Replace the back-off, from the next failure on."""
        self._backoff = backoff

    def refresh(self, heartbeat_interval: float) -> None:
        """Use the bot's present settings, from the next event on.

        :param heartbeat_interval: seconds; 0 for none.
        """
        self._heartbeat_interval = heartbeat_interval
        if not self.running:
            return
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        self._schedule_heartbeat()
        self._queue.subscribe()

    @property
    def is_paused(self) -> bool:
        """Whether nothing is posted now, because posts have failed."""
        return self._pause is not None

    def start(self) -> None:
        """Post from now on. Call this when the account was up once."""
        self.running = True
        self._queue.start(self)
        self._schedule_heartbeat()

    def stop(self) -> None:
        """Post no more; harmless if it was not started."""
        if not self.running:
            return
        self.running = False
        for timer in (self._heartbeat, self._pause):
            if timer is not None:
                timer.cancel()
        self._heartbeat = self._pause = None
        if self._posting is not None:
            self._posting.cancel()
        self._queue.stop()

    def _schedule_heartbeat(self) -> None:
        if self._heartbeat_interval:
            self._heartbeat = self._clock.callLater(self._heartbeat_interval, self._send_heartbeat)

    def _send_heartbeat(self) -> None:
        self._schedule_heartbeat()
        self._queue.add_heartbeat(self.account.heartbeat())

    def wake(self) -> None:
        """Post what the queue has, unless a post is under way or there is a pause."""
        if self._posting is None and self._pause is None:
            self._posting = spawn(f"posts to {self.bot.name}", self._post_all())
            if self._posting.called:
                self._posting = None
            else:
                self._posting.addBoth(self._ended)

    def _ended(self, _result: object) -> None:
        self._posting = None

    async def _post_all(self) -> None:
        while self.running and self._pause is None:
            event = self._queue.next()
            if event is None:
                return
            answer = Answer(0, b"")
            why, unreachable = "", False
            try:
                answer = await self._post(event)
            except CancelledError:
                return
            except BodyLost as lost:  # a 2xx confirms, also without its body
                answer = Answer(lost.status, b"")
            except Exception as error:
                why, unreachable = why_failed(error), is_unreachable(error)
            if not self.running:  # cancelled: Twisted raises different errors then
                return
            if answer.status and not 200 <= answer.status < 300:
                why = f"HTTP {answer.status}"
            if why:
                self._failed(FailedPost(why, answer.status, unreachable))
            else:
                self._succeeded(event, answer)

    def _succeeded(self, event: bytes, answer: Answer) -> None:
        if not self._queue.succeeded(self.failures):
            if self._queue.was_sent_again:
                self._perform_quick_operation(event, answer)
            return
        if self.failures >= _FAILURES_IN_A_ROW:
            self._log.info(
                "{bot}: posts for account {account} are taken again{more}",
                bot=self.bot.name,
                account=self.account.self_id,
                more=self._queue.recovery_note(),
            )
        self.failures = 0
        self._backoff.reset()
        self._perform_quick_operation(event, answer)
        self._queue.confirmed()

    def _perform_quick_operation(self, event: bytes, answer: Answer) -> None:
        if answer.body[:1] in b"{ \t\r\n" and answer.body:
            self.bot.perform_quick_operation(self.account, event, answer.body)

    def _failed(self, failure: FailedPost) -> None:
        why, status = failure.why, failure.status
        self.bot.counters.posts_failed += 1
        self.last_failure = PostFailure(time=self.account.wall_clock(), reason=printable(why))
        if not self._queue.failed(self.failures, failure):
            return
        self.failures += 1
        if self.failures == _FAILURES_IN_A_ROW:
            self._log.warn(
                "{bot}: {failures} posts in a row for account {account} to {url} failed, "
                "the last with: {why}; {meanwhile}, and posting is tried again later",
                bot=self.bot.name,
                failures=self.failures,
                url=self._shown_url,
                account=self.account.self_id,
                why=printable(why),
                meanwhile=self._queue.failure_effect,
            )
        delay = self._queue.pause_seconds(self.failures, status, self._backoff)
        if delay is not None:
            self._pause = self._clock.callLater(delay, self._end_pause)
            self._queue.paused(status)

    def _end_pause(self) -> None:
        self._pause = None
        self._queue.pause_ended()


class _BodyQueue:
    """A queue of bodies with a limit of bytes; the oldest are dropped. One body alone may be larger.

    :param limit: returns the bytes that may wait.
    :param budget: the bot's; what waits is counted there, and the oldest are dropped where it is used up too.
    """

    def __init__(self, limit: Callable[[], int], budget: Budget) -> None:
        self._limit = limit
        self._budget = budget
        self._waiting: deque[bytes] = deque()
        self._size = 0

    def add(self, bodies: Iterable[bytes]) -> int:
        """Add bodies; return how many of the oldest were dropped."""
        for body in bodies:
            self._waiting.append(body)
            self._size += len(body)
            self._budget.charge(len(body))
        dropped, limit = 0, self._limit()
        while (self._size > limit or self._budget.exceeded) and len(self._waiting) > 1:
            self.pop()
            dropped += 1
        return dropped

    def pop(self) -> bytes | None:
        """Remove and return the oldest; None if there is none."""
        if not self._waiting:
            return None
        body = self._waiting.popleft()
        self._size -= len(body)
        self._budget.release(len(body))
        return body

    def clear(self) -> int:
        """Drop all; return how many."""
        dropped = len(self._waiting)
        self._waiting.clear()
        size, self._size = self._size, 0
        self._budget.release(size)
        return dropped


@implementer(IBotConnection)
class LiveQueue:
    """The live events of an account; those that are published during a pause are dropped.

    As many wait as ``send_buffer`` of the bot's limits allows.
    """

    failure_effect = "its events are dropped"

    def __init__(self, bot: Bot, account: Account) -> None:
        self._bot = bot
        self._account = account
        self._bodies = _BodyQueue(lambda: bot.limits.send_buffer, bot.budget)
        self._posting: Posting | None = None
        self._dropped = 0  # since the last success

    def start(self, posting: Posting) -> None:
        """Subscribe to the account's events."""
        self._posting = posting
        self.subscribe()

    @property
    def delivery(self) -> Delivery | None:
        """None: the events are live."""
        return None

    def subscribe(self) -> None:
        """Subscribe to the account's events, by the bot's settings as they are now."""
        self._account.subscribe(self, self._bot.message_format, json_stringify, self._bot.passes)

    def stop(self) -> None:
        """Unsubscribe, and drop the events that wait, counted."""
        self._account.unsubscribe(self)
        self._count_dropped(self._bodies.clear())
        self._posting = None

    def deliver(self, events: EncodedEvents) -> None:
        """Queue events; drop them during a pause."""
        posting = self._posting
        if posting is None:
            return
        if posting.is_paused:
            self._count_dropped(len(events.each))
            return
        self._bot.counters.deliveries += len(events.each)
        crowded_out = self._bodies.add(events.each)
        self._count_dropped(crowded_out)
        self._bot.counters.read_too_slowly += crowded_out
        posting.wake()

    def not_judged(self, events: int) -> None:
        """Count events that the filter did not get to."""
        self._bot.note_not_judged(self._account.self_id, events)

    def _count_dropped(self, events: int) -> None:
        self._dropped += events
        self._bot.counters.dropped_events += events

    def add_heartbeat(self, body: bytes) -> None:
        """Queue a heartbeat, as any other event."""
        self.deliver(EncodedEvents([body]))

    def next(self) -> bytes | None:
        """Remove and return the oldest event."""
        return self._bodies.pop()

    def succeeded(self, failures: int) -> bool:
        """Return True: each success counts."""
        return True

    @property
    def was_sent_again(self) -> bool:
        """False: what is live is not sent again."""
        return False

    def recovery_note(self) -> str:
        """Return how many events were dropped while posts failed, for the log."""
        return f"; {self._dropped} events were dropped"

    def confirmed(self) -> None:
        """Set the number of dropped events back to 0."""
        self._dropped = 0

    def failed(self, failures: int, failure: FailedPost) -> bool:
        """Count the event as dropped; return True: each failure counts."""
        self._count_dropped(1)
        return True

    def pause_seconds(self, failures: int, status: int, backoff: Backoff) -> float | None:
        """Return the seconds to pause after several failures in a row; None before."""
        return None if failures < _FAILURES_IN_A_ROW else backoff.next_delay()

    def paused(self, status: int) -> None:
        """Drop the events that wait."""
        self._count_dropped(self._bodies.clear())

    def pause_ended(self) -> None:
        """Do nothing: the next event that is published is posted."""


@implementer(IBotConnection, IEventSink)
class JournalQueue:
    """The events of an at-least-once delivery: each is posted again until it is answered with 2xx.

    Heartbeats are posted between the events, and not again if that fails; as many wait as
    ``send_buffer`` of the bot's limits allows. So are events that the operator has sent again.

    :param delivery: gives the events, one at a time.
    """

    failure_effect = "its events wait in the journal"
    window = 1
    encode = staticmethod(json_stringify)

    def __init__(self, bot: Bot, account: Account, delivery: Delivery) -> None:
        self._bot = bot
        self._account = account
        self.delivery = delivery
        self._heartbeats = _BodyQueue(lambda: bot.limits.send_buffer, bot.budget)
        self._posting: Posting | None = None
        self._event: tuple[bytes, Position] | None = None
        self._event_posted = False
        self._again: deque[Redelivery] = deque()  # not posted yet
        self._again_posted: Redelivery | None = None  # what was posted last, if it was one of those

    def start(self, posting: Posting) -> None:
        """Attach to the delivery, and subscribe to the account's meta events."""
        self._posting = posting
        self.subscribe()
        self.delivery.attach(self)

    def subscribe(self) -> None:
        """Subscribe to the account's meta events; all else comes from the journal."""
        self._account.subscribe_meta(self, self._bot.message_format, json_stringify)

    def stop(self) -> None:
        """Detach from the delivery, unsubscribe, and drop what waits."""
        self._posting = None
        self._account.unsubscribe(self)
        self._heartbeats.clear()
        self._event = None
        for redelivery in (*self._again, *([self._again_posted] if self._again_posted else ())):
            redelivery.break_off("posting was ended", "")
        self._again.clear()
        self.delivery.detach(self, None)

    # -- called by the delivery

    @property
    def ready(self) -> bool:
        """Whether the delivery may give an event: none waits, and there is no pause."""
        posting = self._posting
        return posting is not None and self._event is None and not posting.is_paused

    def take(self, frames: bytes, events: int, upto: Position) -> None:
        """Queue one event.

        :param frames: the event, as one JSON object.
        :param upto: its position.
        """
        self._event = (frames, upto)
        if self._posting is not None:
            self._posting.wake()

    def demote(self) -> None:
        """Do nothing: this is the only sink of its delivery."""

    promote = demote

    def forget(self) -> None:
        """Drop the event if it is not posted yet; whatever the answer to one that is, it does not count."""
        if not self._event_posted:
            self._event = None

    def send_again(self, redelivery: Redelivery) -> None:
        """Post one event alone, behind the post that is under way."""
        self._again.append(redelivery)
        if self._posting is not None:
            self._posting.wake()

    # -- called by the posting

    def deliver(self, events: EncodedEvents) -> None:
        """Queue meta events; drop them during a pause."""
        posting = self._posting
        if posting is not None and not posting.is_paused:
            self._bot.counters.deliveries += len(events.each)
            self._bot.counters.dropped_events += self._heartbeats.add(events.each)
            posting.wake()

    def not_judged(self, events: int) -> None:
        """Do nothing: no filter judges meta events."""

    def add_heartbeat(self, body: bytes) -> None:
        """Queue a heartbeat, before the next event."""
        self.deliver(EncodedEvents([body]))

    def next(self) -> bytes | None:
        """Remove and return a heartbeat, or what is sent again; if neither waits, return the event."""
        heartbeat = self._heartbeats.pop()
        self._again_posted = None
        if heartbeat is None and self._again:
            again = self._next_again()
            if again is not None:
                self._event_posted = False
                return again
        self._event_posted = heartbeat is None
        if heartbeat is not None or self._event is None:
            return heartbeat
        self._bot.counters.deliveries += 1
        return self._event[0]

    def _next_again(self) -> bytes | None:
        while self._again:
            redelivery = self._again.popleft()
            if not redelivery.is_over:
                body = redelivery.frame
                self._again_posted = redelivery
                redelivery.note_sent()
                self._bot.counters.deliveries += 1
                return body
        return None

    @property
    def was_sent_again(self) -> bool:
        """Whether the last body was an event that the operator had sent again."""
        return self._again_posted is not None

    def succeeded(self, failures: int) -> bool:
        """Return whether it was the event; report to the delivery if posts failed before."""
        if not self._event_posted or self._event is None:
            if self._again_posted is not None:
                self._again_posted.end("confirmed")
            return False
        if failures:
            self.delivery.recovered_sink(self)
        return True

    def recovery_note(self) -> str:
        """Return an empty string: nothing was dropped."""
        return ""

    def confirmed(self) -> None:
        """Confirm the event to the delivery, which gives the next one."""
        assert self._event is not None
        upto = self._event[1]
        self._event = None
        self.delivery.confirmed(self, upto)

    def failed(self, failures: int, failure: FailedPost) -> bool:
        """Return whether it was the event; the delivery gives it again."""
        if self._again_posted is not None:
            if failure.status:
                self._again_posted.end("refused", failure.why)
            else:
                self._again_posted.end("not_connected" if failure.unreachable else "sent", failure.why)
        if self._event_posted:
            self._event = None
        return self._event_posted

    def pause_seconds(self, failures: int, status: int, backoff: Backoff) -> float | None:
        """Return the seconds to pause: a short time at first if the event is refused, else the back-off."""
        quick = status in _REFUSAL_STATUSES and failures <= 2 * _FAILURES_IN_A_ROW
        return _REFUSED_RETRY if quick else backoff.next_delay()

    def paused(self, status: int) -> None:
        """Report to the delivery that the event was refused, or was not delivered."""
        self.delivery.failed(self, f"HTTP {status}" if status in _REFUSAL_STATUSES else None)

    def pause_ended(self) -> None:
        """Post what is sent again, and ask the delivery for the event again."""
        if self._again and self._posting is not None:
            self._posting.wake()
        self.delivery.pump()
