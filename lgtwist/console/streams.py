"""The event streams of the pages (HTML Living Standard, 9.2: Server-Sent Events).

While there is no stream, there is no timer. What a stream carries is chosen by subscriptions; each writes for
itself, and only while the browser takes what is written.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.runtime.logs import Logger
from lgtwist.runtime.tasks import log_failures

#: Streams at once; the oldest makes room for another one.
MAX_STREAMS = 20
#: Subscriptions of one stream.
MAX_SUBSCRIPTIONS = 32
#: Seconds between two looks at what subscriptions have to write.
TICK = 0.25
#: Rows of live traffic, lines of the log, and ticks in a second.
ROWS_PER_SECOND = 100
LINES_PER_SECOND = 100
TICKS_PER_SECOND = round(1 / TICK)
#: Ticks without an event after which a comment is written, so that proxies keep the connection: 15 s.
_SILENT_TICKS = 60


class Topic(Protocol):
    """What one subscription of a stream carries."""

    def tick(self) -> None:
        """Write what there is; called every :data:`TICK` seconds while the browser takes what is written."""

    def close(self) -> None:
        """End the subscription. Called once."""


#: Makes the topic of a subscription; raises ``ApiProblem`` if it cannot.
MakeTopic = Callable[["Stream", dict[str, Any]], Topic]


@implementer(IPushProducer)
class Stream:
    """One stream to one browser.

    :param request: its answer is the stream.
    :param ended: called once, when it is over.
    :param session: what it is open by: the value of a cookie; None for a token.
    :ivar id: names it in requests about it.
    :ivar is_paused: whether the browser does not take what is written.
    :ivar is_open: whether anything can be written.
    :ivar silent_ticks: ticks since something was written.
    :ivar rows_left: rows of live traffic that may still be written in this second.
    :ivar lines_left: lines of the log that may still be written in this second.
    :ivar topics: what it carries, by the ids of the subscriptions.
    :ivar subscriptions: how that was asked for, by the same ids.
    """

    def __init__(self, request: Request, ended: Callable[[Stream], None], session: str | None = None) -> None:
        self.id = secrets.token_urlsafe(12)
        self.session = session
        self.is_paused = False
        self.is_open = True
        self.silent_ticks = 0
        self.rows_left = ROWS_PER_SECOND
        self.lines_left = LINES_PER_SECOND
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self._request = request
        self._ended = ended
        headers = request.responseHeaders
        headers.setRawHeaders("Content-Type", ["text/event-stream"])
        headers.setRawHeaders("X-Accel-Buffering", ["no"])  # nginx would keep what is written
        request.notifyFinish().addBoth(lambda _ended: self.stopProducing())
        request.registerProducer(self, True)

    def write(self, event: str, data: bytes) -> None:
        """Write one event.

        :param data: JSON.
        """
        if self.is_open:
            self.silent_ticks = 0
            self._request.write(b"event: %b\ndata: %b\n\n" % (event.encode(), data))

    def write_comment(self) -> None:
        """Write a comment, which the browser ignores, so that proxies keep the connection."""
        if self.is_open:
            self.silent_ticks = 0
            self._request.write(b": still here\n\n")

    def end(self, code: str | None = None) -> None:
        """End the stream.

        :param code: why, for the browser.
        """
        if not self.is_open:
            return
        if code is not None:
            self.write("bye", msgspec.json.encode({"code": code}))
        self._close()
        self._request.unregisterProducer()
        self._request.finish()

    def _close(self) -> None:
        self.is_open = False
        topics, self.topics = self.topics, {}
        for topic in topics.values():
            log_failures("ending a subscription", topic.close)()
        self._ended(self)

    def pauseProducing(self) -> None:
        """Write no more for now."""
        self.is_paused = True

    def resumeProducing(self) -> None:
        """Write on, with the next tick."""
        self.is_paused = False

    def stopProducing(self) -> None:
        """End: the browser is gone."""
        if self.is_open:
            self._close()


class Streams:
    """All open streams.

    :param clock: the reactor, or a clock in its place.
    :param make_topics: by the name of a topic, what makes it.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, make_topics: dict[str, MakeTopic]) -> None:
        self._clock = clock
        self._make_topics = make_topics
        self._streams: dict[str, Stream] = {}  # the oldest first
        self._timer: IDelayedCall | None = None
        self._ticks = 0

    def __len__(self) -> int:
        return len(self._streams)

    def open(
        self,
        request: Request,
        hello: dict[str, Any],
        subscriptions: Sequence[dict[str, Any]],
        session: str | None,
    ) -> Stream:
        """Answer a request with a stream.

        :param hello: the members of its first event, beside its id.
        :param subscriptions: see :meth:`subscribe`.
        :param session: the value of the cookie; None where a token was shown.
        """
        while len(self._streams) >= MAX_STREAMS:
            next(iter(self._streams.values())).end("too_many_streams")
        stream = Stream(request, self._stream_ended, session)
        self._streams[stream.id] = stream
        if self._timer is None:
            self._timer = self._clock.callLater(TICK, self._tick)
        stream.write("hello", msgspec.json.encode({"stream": stream.id, **hello}))
        try:
            self.subscribe(stream, subscriptions)
        except Exception:  # the answer has begun
            self._log.failure("a subscription of the console failed")
            stream.end("failed")
        return stream

    def find(self, name: str) -> Stream | None:
        """Return an open stream by its id; None if there is none."""
        return self._streams.get(name)

    def subscribe(self, stream: Stream, wanted: Sequence[dict[str, Any]]) -> None:
        """Replace the subscriptions of a stream; those that stay the same go on.

        :param wanted: each has ``id`` and ``topic``, and what the topic needs; they were checked.
        """
        by_id = {one["id"]: one for one in wanted}
        ended = []
        for name in tuple(stream.topics):
            if by_id.get(name) != stream.subscriptions[name]:
                ended.append(stream.topics.pop(name))
                del stream.subscriptions[name]
        try:
            for name, one in by_id.items():
                if stream.is_open and name not in stream.topics:
                    topic = self._make_topics[one["topic"]](stream, one)
                    if not stream.is_open:  # what it wrote at once has ended the stream
                        ended.append(topic)
                        break
                    stream.topics[name] = topic
                    stream.subscriptions[name] = one
        finally:
            # After the new ones have begun: with another filter, the rows of live traffic can still be had.
            for topic in ended:
                log_failures("ending a subscription", topic.close)()

    def end_all(self, code: str, session: str | None = None) -> None:
        """End all streams.

        :param code: why, for the browsers.
        :param session: only those that are open by this cookie; None for all.
        """
        for stream in tuple(self._streams.values()):
            if session is None or stream.session == session:
                stream.end(code)

    def _stream_ended(self, stream: Stream) -> None:
        self._streams.pop(stream.id, None)
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._clock.callLater(TICK, self._tick)
        self._ticks += 1
        for stream in tuple(self._streams.values()):
            if self._ticks % TICKS_PER_SECOND == 0:
                stream.rows_left = ROWS_PER_SECOND
                stream.lines_left = LINES_PER_SECOND
            if stream.is_paused:
                continue
            stream.silent_ticks += 1
            for topic in tuple(stream.topics.values()):
                try:
                    topic.tick()
                except Exception:
                    self._log.failure("a subscription of the console failed")
                    stream.end("failed")
                    break
            if stream.silent_ticks >= _SILENT_TICKS:
                stream.write_comment()
