"""The stream of events of one implementation of Milky: what its two forms share."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred

from lgtwist.config.authorities import Authorities
from lgtwist.net.backoff import Backoff
from lgtwist.runtime.budget import Budget
from lgtwist.websocket.dial import DialState


@frozen(kw_only=True)
class StreamPlan:
    """What a stream is dialled with.

    :ivar name: whose it is, for log lines: ``account 10001``.
    :ivar url: of the implementation as it is configured, without a slash at its end; ``/event`` follows it.
    :ivar headers: of the request, beside those of its form; they may hold a token.
    :ivar trust_root: who may sign the implementation's certificate; None for the system's authorities.
    :ivar backoff: the gaps between attempts.
    """

    name: str
    url: str
    headers: dict[str, str] = field(factory=dict, repr=False)
    trust_root: Authorities | None = field(default=None, repr=False)
    backoff: Backoff

    @property
    def event_url(self) -> str:
        """The URL of the events, which begins with ``http://`` or ``https://``."""
        return f"{self.url}/event"


class StreamListener(Protocol):
    """Takes what comes on a stream. Called in the reactor thread; what it raises costs the connection only.

    :ivar budget: counts what is held because of the implementation.
    """

    budget: Budget

    def opened(self) -> None:
        """Begin: the stream is open, and events may come."""

    def frame(self, frame: bytes) -> None:
        """Take one event, as it came: whole, in UTF-8, perhaps no JSON.

        Several that come in one read of the transport are handed over while
        ``resources.scheduler.reading`` is true, so that they are dispatched together.
        """

    def closed(self, code: int | None, reason: str) -> None:
        """End: called once for each :meth:`opened`, before it is dialled again.

        :param code: the close code (RFC 6455, 7.4) that came; None if there was none.
        :param reason: in words, without a token.
        """

    def failed(self, reason: str) -> None:
        """Take note that an attempt became no stream; it is logged already, and tried again later."""


class EventStream(Protocol):
    """Keeps one stream of events open: it is dialled again, with growing gaps, until it is retired.

    The old connection is gone before the next is dialled.
    """

    @property
    def attempts(self) -> int:
        """How many times it was dialled since the start."""

    def start(self) -> None:
        """Dial now, and again whenever there is no connection."""

    def retire(self) -> None:
        """Dial no more; an open connection stays. Never raises."""

    def stop(self) -> Deferred[None]:
        """Dial no more, and drop the connection if there still is one.

        :returns: fires when its TCP connection is gone.
        """

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires with None when it has retired and its connection is closed."""

    def pause(self) -> None:
        """Hand over no more frames until :meth:`resume`; TCP holds the implementation back. Never raises.

        It may be called in :meth:`StreamListener.frame`: the next frame of the same read is kept then. It is
        called on an open stream only, and ends with it.
        """

    def resume(self) -> None:
        """Hand over frames again, first those that were received before. Never raises."""

    def close(self, code: int, reason: str) -> None:
        """Close the open connection; it is dialled again after the back-off. Never raises.

        :param code: a close code (RFC 6455, 7.4.1). After 1008 the gaps go on growing as if the attempt had
            failed, and ``reason`` is in :meth:`state`; it is not logged here.
        :param reason: for the implementation, and for :meth:`StreamListener.closed`.
        """

    def use_backoff(self, backoff: Backoff) -> None:
        """Take other gaps, from the next attempt on."""

    def state(self) -> DialState:
        """Return how dialling goes, as of now."""


class MakeStream(Protocol):
    """Makes a stream of one form, which is not dialled yet."""

    def __call__(self, plan: StreamPlan, listener: StreamListener, resources: Any, /) -> EventStream:
        """Return it.

        :param resources: the ``EdgeResources``; its limits are read at use, for they may be replaced.
        """
