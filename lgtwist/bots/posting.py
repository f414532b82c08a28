"""The posts of one account's events to one bot (OneBot 11, ``communication/http-post.md``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

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
from lgtwist.hub.interfaces import IBotConnection
from lgtwist.net.backoff import Backoff
from lgtwist.net.http_client import Answer, BodyLost, why_failed
from lgtwist.runtime.logs import printable
from lgtwist.runtime.tasks import spawn
from lgtwist.websocket.framing import Frames

#: So many failures in a row are worth a line; live events are not posted for a while then.
_PATIENCE = 5
#: Answers with which a bot refuses an event, rather than having trouble of its own.
_REFUSALS = (400, 413, 414, 415, 422)
#: Seconds until such an event is posted again.
_REFUSED_AGAIN = 1.0


@implementer(IBotConnection)
class Posting:
    """The posts of one account's events to one bot: in order, one at a time, bounded."""

    _log = Logger()

    def __init__(
        self,
        bot: Bot,
        account: Account,
        post: Callable[[bytes], Deferred[Answer]],
        backoff: Backoff,
        send_buffer: int,
        heartbeat_interval: float,
        shown_url: str,
    ) -> None:
        self._shown_url = shown_url
        self._bot = bot
        self._account = account
        self._clock: IReactorTime = account.clock
        self._post = post
        self._backoff = backoff
        self._send_buffer = send_buffer
        self._heartbeat_interval = heartbeat_interval
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._busy: Deferred[None] | None = None
        self._pause: IDelayedCall | None = None
        self._beat: IDelayedCall | None = None
        self._failures = 0
        self._lost = 0  # in this episode
        self._running = False

    def start(self) -> None:
        """The account was up once: post from now on."""
        self._running = True
        self._account.subscribe(self, self._bot.message_format, compact, self._bot.passes)
        self._schedule_beat()

    def stop(self) -> None:
        """Post no more."""
        self._running = False
        self._account.unsubscribe(self)
        self._queue.clear()
        for timer in (self._beat, self._pause):
            if timer is not None:
                timer.cancel()
        self._beat = self._pause = None
        if self._busy is not None:
            self._busy.cancel()

    def _schedule_beat(self) -> None:
        if self._heartbeat_interval:
            self._beat = self._clock.callLater(self._heartbeat_interval, self._send_beat)

    def _send_beat(self) -> None:
        self._schedule_beat()
        self.deliver(Frames([self._account.heartbeat()]))

    def deliver(self, frames: Frames) -> None:
        """Events."""
        if self._pause is not None:
            self._lose(len(frames.each))
            return
        self._bot.counters.deliveries += len(frames.each)
        self._queue += frames.each
        self._waiting += sum(map(len, frames.each))
        while self._waiting > self._send_buffer and len(self._queue) > 1:
            self._waiting -= len(self._queue.popleft())
            self._lose(1)
        if self._busy is None:
            self._next()

    def _lose(self, events: int) -> None:
        self._lost += events
        self._bot.counters.dropped_events += events

    def _next(self) -> None:
        self._busy = spawn(f"posts to {self._bot.name}", self._post_all())
        if self._busy.called:
            self._busy = None
        else:
            self._busy.addBoth(self._done)

    def _done(self, _result: object) -> None:
        self._busy = None

    async def _post_all(self) -> None:
        while self._running and self._pause is None:
            event = self._take_next()
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
            if not self._running:  # what was cancelled has many names
                return
            if answer.status and not 200 <= answer.status < 300:
                why = f"HTTP {answer.status}"
            if why:
                self._failed(why, answer.status)
            else:
                self._succeeded(event, answer)

    def _take_next(self) -> bytes | None:
        if not self._queue:
            return None
        event = self._queue.popleft()
        self._waiting -= len(event)
        return event

    def _succeeded(self, event: bytes, answer: Answer) -> None:
        if self._failures >= _PATIENCE:
            self._log.info(
                "{bot}: posts for account {account} are taken again; {lost} events were dropped",
                bot=self._bot.name,
                account=self._account.self_id,
                lost=self._lost,
            )
        self._failures = self._lost = 0
        self._backoff.reset()
        self._carry_out(event, answer)

    def _carry_out(self, event: bytes, answer: Answer) -> None:
        """The answer may be a quick operation."""
        if answer.body[:1] in b"{ \t\r\n" and answer.body:
            self._bot.answer_event(self._account, event, answer.body)

    def _failed(self, why: str, _status: int) -> None:
        self._failures += 1
        self._bot.counters.posts_failed += 1
        self._lose(1)
        if self._failures < _PATIENCE:
            return
        if self._failures == _PATIENCE:
            self._log.warn(
                "{bot}: {failures} posts in a row for account {account} to {url} failed, "
                "the last with: {why}; its events are dropped, and it is tried now and then",
                bot=self._bot.name,
                failures=self._failures,
                url=self._shown_url,
                account=self._account.self_id,
                why=printable(why),
            )
        self._lose(len(self._queue))
        self._queue.clear()
        self._waiting = 0
        self._pause = self._clock.callLater(self._backoff.next_delay(), self._try_again)

    def _try_again(self) -> None:
        self._pause = None


@implementer(IEventSink)
class CertainPosting(Posting):
    """The same where the bot asked for certain delivery: each event until it is taken, from the journal.

    Heartbeats go between the events, when their time has come; they are not repeated.

    :param delivery: where the events come from.
    """

    window = 1
    encode = staticmethod(compact)

    def __init__(self, delivery: Delivery, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._delivery = delivery
        self._event: tuple[bytes, Position] | None = None
        self._event_is_out = False

    def start(self) -> None:
        """The account was up once: post from now on."""
        self._running = True
        self._account.subscribe_meta(self, self._bot.message_format, compact)
        self._schedule_beat()
        self._delivery.attach(self)

    def stop(self) -> None:
        """Post no more."""
        if self._running:
            super().stop()
            self._event = None
            self._delivery.detach(self, None)

    @property
    def ready(self) -> bool:
        """Whether it takes an event."""
        return self._running and self._event is None and self._pause is None

    def take(self, frames: bytes, events: int, upto: Position) -> None:
        """One event."""
        self._event = (frames, upto)
        if self._busy is None:
            self._next()

    def demote(self) -> None:
        """There is no newer one."""

    promote = demote

    def deliver(self, frames: Frames) -> None:
        """A heartbeat: it is posted if the bot takes anything at all."""
        if self._pause is None:
            super().deliver(frames)

    def _take_next(self) -> bytes | None:
        heartbeat = super()._take_next()
        self._event_is_out = heartbeat is None
        if heartbeat is not None or self._event is None:
            return heartbeat
        self._bot.counters.deliveries += 1
        return self._event[0]

    def _succeeded(self, event: bytes, answer: Answer) -> None:
        if not self._event_is_out or self._event is None:
            return
        upto = self._event[1]
        self._event = None
        if self._failures >= _PATIENCE:
            self._log.info(
                "{bot}: posts for account {account} are taken again",
                bot=self._bot.name,
                account=self._account.self_id,
            )
        if self._failures:
            self._delivery.came_back(self)
        self._failures = 0
        self._backoff.reset()
        self._carry_out(event, answer)
        self._delivery.confirmed(self, upto)

    def _failed(self, why: str, status: int) -> None:
        self._bot.counters.posts_failed += 1
        if not self._event_is_out:
            return
        self._event = None
        self._failures += 1
        if self._failures == _PATIENCE:
            self._log.warn(
                "{bot}: {failures} posts in a row for account {account} to {url} failed, "
                "the last with: {why}; its events wait in the journal, and it is tried now and then",
                bot=self._bot.name,
                failures=self._failures,
                url=self._shown_url,
                account=self._account.self_id,
                why=printable(why),
            )
        refused = status in _REFUSALS
        quick = refused and self._failures <= 2 * _PATIENCE
        delay = _REFUSED_AGAIN if quick else self._backoff.next_delay()
        self._pause = self._clock.callLater(delay, self._try_again)
        self._delivery.failed(self, f"HTTP {status}" if refused else None)

    def _try_again(self) -> None:
        self._pause = None
        self._delivery.pump()
