"""HTTP POST: we post events to a bot, and do what its answers ask for.

OneBot 11, ``communication/http-post.md``.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.interfaces import IBotConnection
from lgtwist.onebot.auth import sign
from lgtwist.onebot.rawjson import UNREADABLE
from lgtwist.tasks import spawn
from lgtwist.webclient import Answer, BodyLost, WebClient, why_failed
from lgtwist.websocket.backoff import Backoff
from lgtwist.words import printable

#: So many failures in a row, and posting pauses.
_PATIENCE = 5

_SURROGATE = re.compile("[\ud800-\udfff]")


def _as_javascript_has_it(literal: str) -> int | msgspec.Raw:
    """A number that is not written as an integer (ECMA-262, Number::toString)."""
    number = float(literal)
    if number.is_integer() and abs(number) < 1e21:
        return int(number)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    if 0 < point <= 21:
        text = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        text = f"{text[0]}{fraction}e{point - 1:+d}"
    return msgspec.Raw(("-" * sign + text).encode())


_decode = msgspec.json.Decoder(float_hook=_as_javascript_has_it).decode


def compact(event: bytes) -> bytes:
    """An event as compact JSON with nothing escaped that need not be.

    Koishi checks the signature over its own ``JSON.stringify`` of what it has parsed, so the bytes that are
    signed must be those that JavaScript would write.
    """
    try:
        return msgspec.json.encode(_decode(event))
    except (*UNREADABLE, OverflowError):
        pass
    try:  # a lone surrogate, perhaps; JavaScript escapes it
        text = json.dumps(json.loads(event), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
    except UNREADABLE:
        return event


@implementer(IBotConnection)
class _Posting:
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
        self.deliver(self._account.heartbeat())

    def deliver(self, event: bytes) -> None:
        """One event."""
        if self._pause is not None:
            self._lose(1)
            return
        self._bot.counters.deliveries += 1
        self._queue.append(event)
        self._waiting += len(event)
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
        while self._queue and self._running and self._pause is None:
            event = self._queue.popleft()
            self._waiting -= len(event)
            try:
                answer = await self._post(event)
                why = "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"
            except CancelledError:
                return
            except BodyLost as lost:  # any 2xx confirms, whatever became of what it wanted to say
                answer = Answer(lost.status, b"")
                why = "" if 200 <= lost.status < 300 else f"HTTP {lost.status}"
            except Exception as error:
                why = why_failed(error)
            if not self._running:  # what was cancelled has many names
                return
            if why:
                self._failed(why)
            else:
                self._succeeded(event, answer)

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
        if answer.body[:1] in b"{ \t\r\n" and answer.body:
            self._bot.answer_event(self._account, event, answer.body)

    def _failed(self, why: str) -> None:
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


class HttpPostBot(Service):
    """A bot that takes events by HTTP POST.

    :param url: where to.
    :param secret: signs the posts; None for none.
    :param timeout: seconds that one post may take.
    :param max_answer: bytes that an answer may have.
    """

    def __init__(
        self,
        client: WebClient,
        bot: Bot,
        accounts: Iterable[Account],
        url: str,
        secret: str | None,
        timeout: float,
        max_answer: int,
        send_buffer: int,
        heartbeat_interval: float,
        make_backoff: Callable[[], Backoff],
    ) -> None:
        self.bot = bot
        self._client = client
        self._url = url
        self._secret = secret
        self._timeout = timeout
        self._max_answer = max_answer
        self._postings = {
            account: _Posting(
                bot,
                account,
                self._poster(account),
                make_backoff(),
                send_buffer,
                heartbeat_interval,
                url.partition("?")[0],
            )
            for account in accounts
        }

    def _poster(self, account: Account) -> Callable[[bytes], Deferred[Answer]]:
        headers = {
            "X-Self-ID": str(account.self_id),
            "Content-Type": "application/json",
            "User-Agent": "lgtwist",
        }

        def post(event: bytes) -> Deferred[Answer]:
            signed = headers
            if self._secret is not None:
                signed = {**headers, "X-Signature": sign(self._secret, event)}
            posting: Any = self._client.post(self._url, event, signed, self._max_answer, self._timeout)
            return Deferred.fromCoroutine(posting)

        return post

    def startService(self) -> None:
        """Post as soon as the accounts are up."""
        super().startService()
        for account, posting in self._postings.items():
            account.when_up(partial(self._start, posting))

    def _start(self, posting: _Posting) -> None:
        if self.running:
            posting.start()

    def hang_up(self) -> None:
        """Post no more."""
        self.running = 0
        for posting in self._postings.values():
            posting.stop()

    def stopService(self) -> Deferred[None]:
        """Post no more, and close the connections that are kept."""
        self.hang_up()
        return self._client.close()
