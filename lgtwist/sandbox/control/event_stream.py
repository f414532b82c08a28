"""The transcript as Server-Sent Events (HTML Living Standard, 9.2): each message as it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.sandbox.control.transcript import transcript_entry

if TYPE_CHECKING:
    from lgtwist.sandbox.account import SandboxAccount

#: A comment goes out after so many seconds of silence, so that proxies keep the connection.
KEEP_ALIVE_SECONDS = 15.0


@implementer(IPushProducer)
class _StreamProducer:
    """Open while the client reads."""

    def __init__(self) -> None:
        self.stopped = False
        self.waiting_for_message: Deferred[None] | None = None
        self._paused = False
        self._resumed: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        self.stopped = True
        self.resumeProducing()
        if self.waiting_for_message is not None:
            self.waiting_for_message.cancel()

    async def wait_until_resumed(self) -> None:
        """Wait until the client reads on, or is gone."""
        while self._paused and not self.stopped:
            self._resumed = Deferred()
            await self._resumed


async def stream_transcript(sandbox: SandboxAccount, request: Request, after: int) -> None:
    """Send what was said after message ``after``, and then what is said, until the client goes.

    A client that reads slowly gets it later: nothing is written ahead of it.
    """
    producer = _StreamProducer()
    request.notifyFinish().addBoth(lambda _ended: producer.stopProducing())
    request.responseHeaders.setRawHeaders("Content-Type", ["text/event-stream"])
    request.responseHeaders.setRawHeaders("Cache-Control", ["no-store"])
    request.registerProducer(producer, True)
    try:
        request.write(b": the transcript\n\n")
        await _send_messages(sandbox, request, producer, after)
    except CancelledError:
        pass
    finally:
        if not producer.stopped:
            request.unregisterProducer()
            request.finish()


async def _send_messages(
    sandbox: SandboxAccount, request: Request, producer: _StreamProducer, after: int
) -> None:
    world = sandbox.world
    while not producer.stopped and sandbox.running:
        if sandbox.world is not world:  # another world was loaded: its numbers begin anew
            world, after = sandbox.world, 0
        for message in world.messages_after(after)[:100]:
            after = message.message_id
            data = msgspec.json.encode(transcript_entry(message, world))
            request.write(b"id: %d\ndata: %b\n\n" % (after, data))
            await producer.wait_until_resumed()
            if producer.stopped:
                return
        if world.last_message_id > after:
            continue
        producer.waiting_for_message = sandbox.when_message_added()
        producer.waiting_for_message.addTimeout(
            KEEP_ALIVE_SECONDS, sandbox.account.clock, lambda _result, _timeout: None
        )
        await producer.waiting_for_message
        producer.waiting_for_message = None
        if not producer.stopped and world.last_message_id <= after:
            request.write(b": still here\n\n")
