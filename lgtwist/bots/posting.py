"""The posts of one account's events to one bot (OneBot 11, ``communication/http-post.md``).

:class:`Posting` posts in order, one at a time, and pauses after failures; where the events come from is its
queue's: :class:`LiveQueue` holds what happens, :class:`JournalQueue` gets each event again until it is taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from lgtwist.bots.javascript_json import compact
from lgtwist.delivery.batch import Position
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.interfaces import IEventSink
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.interfaces import EncodedEvents, IBotConnection
from lgtwist.net.backoff import Backoff
from lgtwist.net.http_client import Answer, BodyLost, why_failed
from lgtwist.runtime.logs import printable
from lgtwist.runtime.tasks import spawn

#: How many failures in a row are worth a log line; live events are not posted for a while then.
_PATIENCE = 5
#: Statuses with which a bot refuses an event, rather than having trouble of its own.
_REFUSALS = (400, 413, 414, 415, 422)
#: Seconds until a refused event is posted again.
_REFUSED_AGAIN = 1.0


class Queue(Protocol):
    """Where a :class:`Posting` gets its events from.

    :ivar while_failing: what becomes of the events meanwhile, for the log.
    """

    while_failing: str

    @property
    def delivery(self) -> Delivery | None:
        """The delivery that gives the events; None if they are live."""

    def subscribe(self) -> None:
        """Subscribe to the account, by the bot's settings as they are now."""

    def start(self, posting: Posting) -> None:
        """Get events from now on, and call ``posting.wake()`` when there are some."""

    def stop(self) -> None:
        """Get no more events, and drop what waits."""

    def add_heartbeat(self, body: bytes) -> None:
        """Put a heartbeat in."""

    def next(self) -> bytes | None:
        """Remove and return what is to be posted next; None if there is nothing."""

    def succeeded(self, failures: int) -> bool:
        """What :meth:`next` returned last was taken; return whether it was an event, not a heartbeat.

        :param failures: how many posts in a row failed before.
        """

    def carried_out(self) -> None:
        """What the answer to the event asked for was begun."""

    def failed(self, failures: int, status: int) -> bool:
        """What :meth:`next` returned last was not taken; return whether that counts as a failure.

        :param failures: how many posts in a row failed before.
        :param status: of the answer; 0 if there was none.
        """

    def pause_after(self, failures: int, status: int, backoff: Backoff) -> float | None:
        """Return the seconds to pause after so many failures in a row; None to go on at once."""

    def paused(self, status: int) -> None:
        """The pause has begun."""

    def start_again(self) -> None:
        """The pause is over."""

    def recovered(self) -> str:
        """Return what to add to the log line that says that posts are taken again."""


class Posting:
    """The posts of one account's events to one bot: in order, one at a time.

    :param post: posts a body.
    :param queue: where the events come from.
    :param heartbeat_interval: seconds between heartbeats; 0 for none.
    :param shown_url: where to, as people may see it.
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
        self._failures = 0

    @property
    def delivery(self) -> Delivery | None:
        """Where the events come from; None if they are live."""
        return self._queue.delivery

    def use_backoff(self, backoff: Backoff) -> None:
        """Take other gaps, from the next failure on."""
        self._backoff = backoff

    def refresh(self, heartbeat_interval: float) -> None:
        """Take the bot's settings as they are now, from the next event on.

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
        """Whether nothing is posted for a while, since posts failed."""
        return self._pause is not None

    def start(self) -> None:
        """Post from now on: the account was up once."""
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
        """Begin to post, if nothing is being posted: the queue has something."""
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
            why = ""
            try:
                answer = await self._post(event)
            except CancelledError:
                return
            except BodyLost as lost:  # any 2xx confirms, whatever became of what it wanted to say
                answer = Answer(lost.status, b"")
            except Exception as error:
                why = why_failed(error)
            if not self.running:  # Twisted has many names for what was cancelled
                return
            if answer.status and not 200 <= answer.status < 300:
                why = f"HTTP {answer.status}"
            if why:
                self._failed(why, answer.status)
            else:
                self._succeeded(event, answer)

    def _succeeded(self, event: bytes, answer: Answer) -> None:
        if not self._queue.succeeded(self._failures):
            return
        if self._failures >= _PATIENCE:
            self._log.info(
                "{bot}: posts for account {account} are taken again{more}",
                bot=self.bot.name,
                account=self.account.self_id,
                more=self._queue.recovered(),
            )
        self._failures = 0
        self._backoff.reset()
        if answer.body[:1] in b"{ \t\r\n" and answer.body:  # it may be a quick operation
            self.bot.perform_answer(self.account, event, answer.body)
        self._queue.carried_out()

    def _failed(self, why: str, status: int) -> None:
        self.bot.counters.posts_failed += 1
        if not self._queue.failed(self._failures, status):
            return
        self._failures += 1
        if self._failures == _PATIENCE:
            self._log.warn(
                "{bot}: {failures} posts in a row for account {account} to {url} failed, "
                "the last with: {why}; {meanwhile}, and it is tried now and then",
                bot=self.bot.name,
                failures=self._failures,
                url=self._shown_url,
                account=self.account.self_id,
                why=printable(why),
                meanwhile=self._queue.while_failing,
            )
        delay = self._queue.pause_after(self._failures, status, self._backoff)
        if delay is not None:
            self._pause = self._clock.callLater(delay, self._pause_ended)
            self._queue.paused(status)

    def _pause_ended(self) -> None:
        self._pause = None
        self._queue.start_again()


class _Bodies:
    """Bodies that wait, bounded by their bytes; one alone may be larger.

    :param limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[bytes] = deque()
        self._size = 0

    def add(self, bodies: Iterable[bytes]) -> int:
        """Put bodies in; return how many older ones were dropped for them."""
        for body in bodies:
            self._waiting.append(body)
            self._size += len(body)
        dropped = 0
        while self._size > self._limit and len(self._waiting) > 1:
            self._size -= len(self._waiting.popleft())
            dropped += 1
        return dropped

    def pop(self) -> bytes | None:
        """Remove and return the oldest; None if there is none."""
        if not self._waiting:
            return None
        body = self._waiting.popleft()
        self._size -= len(body)
        return body

    def clear(self) -> int:
        """Drop all; return how many."""
        dropped = len(self._waiting)
        self._waiting.clear()
        self._size = 0
        return dropped


@implementer(IBotConnection)
class LiveQueue:
    """The events that happen while the bot takes posts.

    :param send_buffer: bytes that may wait.
    """

    while_failing = "its events are dropped"

    def __init__(self, bot: Bot, account: Account, send_buffer: int) -> None:
        self._bot = bot
        self._account = account
        self._bodies = _Bodies(send_buffer)
        self._posting: Posting | None = None
        self._lost = 0  # since posts failed

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
        self._account.subscribe(self, self._bot.message_format, compact, self._bot.passes)

    def stop(self) -> None:
        """Subscribe no more, and drop what waits."""
        self._account.unsubscribe(self)
        self._bodies.clear()
        self._posting = None

    def deliver(self, events: EncodedEvents) -> None:
        """Take events; while posts fail they are dropped."""
        posting = self._posting
        if posting is None:
            return
        if posting.is_paused:
            self._lose(len(events.each))
            return
        self._bot.counters.deliveries += len(events.each)
        self._lose(self._bodies.add(events.each))
        posting.wake()

    def _lose(self, events: int) -> None:
        self._lost += events
        self._bot.counters.dropped_events += events

    def add_heartbeat(self, body: bytes) -> None:
        """Put a heartbeat in, as an event among others."""
        self.deliver(EncodedEvents([body]))

    def next(self) -> bytes | None:
        """Remove and return the oldest event."""
        return self._bodies.pop()

    def succeeded(self, failures: int) -> bool:
        """Return that it counts."""
        return True

    def recovered(self) -> str:
        """Return how many events were dropped, for the log."""
        return f"; {self._lost} events were dropped"

    def carried_out(self) -> None:
        """Count anew what is dropped."""
        self._lost = 0

    def failed(self, failures: int, status: int) -> bool:
        """Count the event as dropped; return that it counts as a failure."""
        self._lose(1)
        return True

    def pause_after(self, failures: int, status: int, backoff: Backoff) -> float | None:
        """Return the seconds to pause: only after several failures in a row."""
        return None if failures < _PATIENCE else backoff.next_delay()

    def paused(self, status: int) -> None:
        """Drop what waits."""
        self._lose(self._bodies.clear())

    def start_again(self) -> None:
        """Wait for the next event."""


@implementer(IBotConnection, IEventSink)
class JournalQueue:
    """The events of a bot that asked for delivery at least once: each again until it is taken.

    Heartbeats go between the events when their time has come; they are not repeated.

    :param delivery: where the events come from.
    :param send_buffer: bytes of heartbeats that may wait.
    """

    while_failing = "its events wait in the journal"
    window = 1
    encode = staticmethod(compact)

    def __init__(self, bot: Bot, account: Account, delivery: Delivery, send_buffer: int) -> None:
        self._bot = bot
        self._account = account
        self.delivery = delivery
        self._heartbeats = _Bodies(send_buffer)
        self._posting: Posting | None = None
        self._event: tuple[bytes, Position] | None = None
        self._event_is_out = False

    def start(self, posting: Posting) -> None:
        """Take events from the journal, and other meta events from the account."""
        self._posting = posting
        self.subscribe()
        self.delivery.attach(self)

    def subscribe(self) -> None:
        """Subscribe to the account's meta events; all else comes from the journal."""
        self._account.subscribe_meta(self, self._bot.message_format, compact)

    def stop(self) -> None:
        """Take no more events."""
        self._posting = None
        self._account.unsubscribe(self)
        self._heartbeats.clear()
        self._event = None
        self.delivery.detach(self, None)

    # -- called by the delivery

    @property
    def ready(self) -> bool:
        """Whether it takes an event."""
        posting = self._posting
        return posting is not None and self._event is None and not posting.is_paused

    def take(self, frames: bytes, events: int, upto: Position) -> None:
        """Take one event."""
        self._event = (frames, upto)
        if self._posting is not None:
            self._posting.wake()

    def demote(self) -> None:
        """Nothing: there is one posting for each account."""

    promote = demote

    # -- called by the posting

    def deliver(self, events: EncodedEvents) -> None:
        """Take meta events; they are posted if the bot takes anything at all."""
        posting = self._posting
        if posting is not None and not posting.is_paused:
            self._bot.counters.deliveries += len(events.each)
            self._bot.counters.dropped_events += self._heartbeats.add(events.each)
            posting.wake()

    def add_heartbeat(self, body: bytes) -> None:
        """Put a heartbeat in, before the next event."""
        self.deliver(EncodedEvents([body]))

    def next(self) -> bytes | None:
        """Return a heartbeat that waits, else the event."""
        heartbeat = self._heartbeats.pop()
        self._event_is_out = heartbeat is None
        if heartbeat is not None or self._event is None:
            return heartbeat
        self._bot.counters.deliveries += 1
        return self._event[0]

    def succeeded(self, failures: int) -> bool:
        """Return whether it was the event; if posts failed before, what was committed before is late."""
        if not self._event_is_out or self._event is None:
            return False
        if failures:
            self.delivery.came_back(self)
        return True

    def recovered(self) -> str:
        """Nothing was dropped."""
        return ""

    def carried_out(self) -> None:
        """Confirm the event; the delivery gives the next one."""
        assert self._event is not None
        upto = self._event[1]
        self._event = None
        self.delivery.confirmed(self, upto)

    def failed(self, failures: int, status: int) -> bool:
        """Return whether it was the event, which comes again."""
        if self._event_is_out:
            self._event = None
        return self._event_is_out

    def pause_after(self, failures: int, status: int, backoff: Backoff) -> float | None:
        """Return the seconds to pause: after each failure; short ones while an event is refused."""
        quick = status in _REFUSALS and failures <= 2 * _PATIENCE
        return _REFUSED_AGAIN if quick else backoff.next_delay()

    def paused(self, status: int) -> None:
        """Tell the delivery that the event did not arrive, or was refused."""
        self.delivery.failed(self, f"HTTP {status}" if status in _REFUSALS else None)

    def start_again(self) -> None:
        """Ask the delivery for the event again."""
        self.delivery.pump()
