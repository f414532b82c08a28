"""The transcript and the event log as Server-Sent Events (HTML Living Standard, 9.2).

Each message, and each entry of the log, is one event whose ``id`` is its number.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.web.server import Request

from lgtwist.sandbox.control.log import entry_parts
from lgtwist.sandbox.control.producer import PART_BYTES, ResponseProducer, gather_parts
from lgtwist.sandbox.control.transcript import transcript_parts

if TYPE_CHECKING:
    from lgtwist.sandbox.account import SandboxAccount

#: Seconds without an event after which a comment is sent, so that proxies keep the connection.
KEEP_ALIVE_SECONDS = 15.0
#: Messages, and entries of the log, that are looked up at once.
_MESSAGES_AT_ONCE, _ENTRIES_AT_ONCE = 100, 16


async def stream_transcript(sandbox: SandboxAccount, request: Request, after: int) -> None:
    """Send the messages after message number ``after``, then each new one.

    It ends when the client disconnects or the sandbox stops. The next message is written only when the
    transport accepts more, so a slow client costs no memory.
    """

    async def send(producer: ResponseProducer) -> None:
        await producer.write(b": the transcript\n\n")
        await _send_messages(sandbox, producer, after)

    await _respond_with_stream(request, send)


async def stream_log(sandbox: SandboxAccount, request: Request, after: int | None) -> None:
    """Send the entries of the event log after sequence number ``after``, then each new one.

    An event of type ``missed`` comes before the entries where some are not there any more. Otherwise as
    :func:`stream_transcript`.

    :param after: None to begin with the next entry.
    """

    async def send(producer: ResponseProducer) -> None:
        start = sandbox.last_seq if after is None else after
        # A client that is disconnected before the first entry comes back with this number.
        await producer.write(b": the event log\n" + (b"id: %d\n\n" % start if after is None else b"\n"))
        await _send_entries(sandbox, producer, start)

    await _respond_with_stream(request, send)


async def _respond_with_stream(request: Request, send: Callable[[ResponseProducer], Awaitable[None]]) -> None:
    """Answer a request with a stream of events.

    :param send: writes it.
    """
    request.responseHeaders.setRawHeaders("Content-Type", ["text/event-stream"])
    request.responseHeaders.setRawHeaders("Cache-Control", ["no-store"])
    producer = ResponseProducer(request)
    try:
        await send(producer)
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
        for message in world.messages_after(after)[:_MESSAGES_AT_ONCE]:
            after = message.message_id
            await _send_event(producer, after, transcript_parts(message, world))
            if producer.stopped:
                return
        if world.last_message_id > after:
            continue
        await _wait(sandbox, producer, sandbox.when_message_added())
        if not producer.stopped and world.last_message_id <= after:
            await producer.write(b": still here\n\n")


async def _send_entries(sandbox: SandboxAccount, producer: ResponseProducer, after: int) -> None:
    """Write old and new entries of the log as they come, and comments while there are none."""
    log = sandbox.event_log
    while not producer.stopped and sandbox.running:
        if log.has_missed(after):
            after = log.dropped_seq
            await producer.write(b'event: missed\nid: %d\ndata: {"last":%d}\n\n' % (after, log.last_seq))
        for entry in log.entries_after(after, _ENTRIES_AT_ONCE):
            after = entry.seq
            await _send_event(producer, after, entry_parts(entry, sandbox.world))
            if producer.stopped:
                return
        if log.last_seq > after:
            continue
        await _wait(sandbox, producer, sandbox.when_logged())
        if not producer.stopped and log.last_seq <= after:
            await producer.write(b": still here\n\n")


async def _send_event(producer: ResponseProducer, number: int, parts: Iterator[bytes]) -> None:
    """Write one event.

    :param number: its ``id``.
    :param parts: its ``data``, without line breaks.
    """
    head, more = b"id: %d\ndata: " % number, True
    while more:
        data, more = gather_parts(parts, PART_BYTES)
        await producer.write(head + data + (b"" if more else b"\n\n"))
        if producer.stopped:
            return
        head = b""


async def _wait(sandbox: SandboxAccount, producer: ResponseProducer, waiting: Deferred[None]) -> None:
    """Wait for a Deferred, for :data:`KEEP_ALIVE_SECONDS` at most."""
    producer.waiting = waiting
    waiting.addTimeout(KEEP_ALIVE_SECONDS, sandbox.account.clock, lambda _result, _timeout: None)
    await waiting
    producer.waiting = None
