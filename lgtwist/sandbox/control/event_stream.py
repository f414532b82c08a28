"""The transcript as Server-Sent Events (HTML Living Standard, 9.2): one event for each message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.web.server import Request

from lgtwist.sandbox.control.producer import ResponseProducer
from lgtwist.sandbox.control.transcript import transcript_parts

if TYPE_CHECKING:
    from lgtwist.sandbox.account import SandboxAccount

#: Seconds without a message after which a comment is sent, so that proxies keep the connection.
KEEP_ALIVE_SECONDS = 15.0


async def stream_transcript(sandbox: SandboxAccount, request: Request, after: int) -> None:
    """Send the messages after message number ``after``, then each new one.

    It ends when the client disconnects or the sandbox stops. The next message is written only when the
    transport accepts more, so a slow client costs no memory.
    """
    request.responseHeaders.setRawHeaders("Content-Type", ["text/event-stream"])
    request.responseHeaders.setRawHeaders("Cache-Control", ["no-store"])
    producer = ResponseProducer(request)
    try:
        await producer.write(b": the transcript\n\n")
        await _send_messages(sandbox, producer, after)
    except CancelledError:
        pass
    finally:
        producer.finish()


async def _send_messages(sandbox: SandboxAccount, producer: ResponseProducer, after: int) -> None:
    """Write old and new messages as they come, and comments while there are none."""
    world = sandbox.world
    while not producer.stopped and sandbox.running:
        if sandbox.world is not world:  # replaced by another world, with message numbers of its own
            world, after = sandbox.world, 0
        for message in world.messages_after(after)[:100]:
            after = message.message_id
            await producer.write(b"id: %d\ndata: " % after)
            for part in transcript_parts(message, world):
                await producer.write(part)
            await producer.write(b"\n\n")
            if producer.stopped:
                return
        if world.last_message_id > after:
            continue
        producer.waiting = sandbox.when_message_added()
        producer.waiting.addTimeout(KEEP_ALIVE_SECONDS, sandbox.account.clock, lambda _result, _timeout: None)
        await producer.waiting
        producer.waiting = None
        if not producer.stopped and world.last_message_id <= after:
            await producer.write(b": still here\n\n")
