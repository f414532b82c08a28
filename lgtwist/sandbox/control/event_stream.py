"""The transcript as Server-Sent Events (HTML Living Standard, 9.2): one event for each message."""

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

#: Seconds without a message after which a comment is sent, so that proxies keep the connection.
KEEP_ALIVE_SECONDS = 15.0


@implementer(IPushProducer)
class _StreamProducer:
    """The push producer of one stream: it is paused while the client does not read.

    :ivar stopped: whether the client has disconnected.
    :ivar waiting_for_message: fires when there is a new message; cancelled when the client disconnects.
    """

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
        """Wait until the client reads again or has disconnected."""
        while self._paused and not self.stopped:
            self._resumed = Deferred()
            await self._resumed


async def stream_transcript(sandbox: SandboxAccount, request: Request, after: int) -> None:
    """Send the messages after message number ``after``, then each new one.

    It ends when the client disconnects or the sandbox stops. The next message is written only when the
    transport accepts more, so a slow client costs no memory.
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
    """Write old and new messages as they come, and comments while there are none."""
    world = sandbox.world
    while not producer.stopped and sandbox.running:
        if sandbox.world is not world:  # replaced by another world, with message numbers of its own
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
