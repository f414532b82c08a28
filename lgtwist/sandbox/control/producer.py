"""Responses that are written part by part, as fast as the client reads."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.net.http_responses import respond_with_bytes

#: Bytes of a long body that are written at once, about.
PART_BYTES = 1 << 16
#: Bytes up to which a body is made and written as a whole.
_WHOLE_BYTES = 1 << 20


@implementer(IPushProducer)
class ResponseProducer:
    """The push producer of one response: it is paused while the client does not read.

    :ivar stopped: whether the client has disconnected.
    :ivar waiting: what the response waits for; cancelled when the client disconnects.
    """

    def __init__(self, request: Request) -> None:
        self.stopped = False
        self.waiting: Deferred[None] | None = None
        self._request = request
        self._paused = False
        self._resumed: Deferred[None] | None = None
        request.notifyFinish().addBoth(lambda _ended: self.stopProducing())
        request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """Write no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Write on."""
        self._paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """End: the client has disconnected."""
        self.stopped = True
        self.resumeProducing()
        if self.waiting is not None:
            self.waiting.cancel()

    async def write(self, data: bytes) -> None:
        """Write bytes, then wait until the client has read most of them, or has disconnected."""
        if not self.stopped:
            self._request.write(data)
        while self._paused and not self.stopped:
            self._resumed = Deferred()
            await self._resumed

    def finish(self) -> None:
        """End the response, unless the client has disconnected."""
        if not self.stopped:
            self._request.unregisterProducer()
            self._request.finish()


async def respond_with_parts(request: Request, parts: Iterator[bytes]) -> None:
    """Answer a request with status 200 and a JSON body; a large one is made while it is written.

    :param parts: of the body.
    """
    body, more = gather_parts(parts, _WHOLE_BYTES)
    if not more:
        respond_with_bytes(request, 200, "application/json", body + b"\n")
        return
    if getattr(request, "channel", None) is None:  # its client is gone
        return
    request.responseHeaders.setRawHeaders("X-Content-Type-Options", ["nosniff"])
    request.responseHeaders.setRawHeaders("Content-Type", ["application/json"])
    if request.method == b"HEAD":
        request.finish()
        return
    producer = ResponseProducer(request)
    try:
        while body and not producer.stopped:
            await producer.write(body)
            body, more = gather_parts(parts, PART_BYTES)
    except CancelledError:
        pass
    finally:
        producer.finish()


def gather_parts(parts: Iterator[bytes], size: int) -> tuple[bytes, bool]:
    """Return the next parts together, ``size`` bytes or more, and whether there may be others."""
    gathered: list[bytes] = []
    total = 0
    for part in parts:
        gathered.append(part)
        total += len(part)
        if total >= size:
            return b"".join(gathered), True
    return b"".join(gathered), False
