"""The transcript as Server-Sent Events (HTML Living Standard, 9.2): each message as it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.sandbox.control.transcript import shown

if TYPE_CHECKING:
    from lgtwist.sandbox.account import SandboxAccount

#: A comment goes out after so many seconds of silence, so that proxies keep the connection.
KEEP_ALIVE = 15.0


@implementer(IPushProducer)
class _Tap:
    """Open while the client reads."""

    def __init__(self) -> None:
        self.gone = False
        self.hearing: Deferred[None] | None = None
        self._shut = False
        self._waiting: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        self._shut = True

    def resumeProducing(self) -> None:
        self._shut = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        self.gone = True
        self.resumeProducing()
        if self.hearing is not None:
            self.hearing.cancel()

    async def opened(self) -> None:
        """Wait until the client reads on, or is gone."""
        while self._shut and not self.gone:
            self._waiting = Deferred()
            await self._waiting


async def feed(sandbox: SandboxAccount, request: Request, after: int) -> None:
    """Send what was said after message ``after``, and then what is said, until the client goes.

    A client that reads slowly gets it later: nothing is written ahead of it.
    """
    tap = _Tap()
    request.notifyFinish().addBoth(lambda _ended: tap.stopProducing())
    request.responseHeaders.setRawHeaders("Content-Type", ["text/event-stream"])
    request.responseHeaders.setRawHeaders("Cache-Control", ["no-store"])
    request.registerProducer(tap, True)
    try:
        request.write(b": the transcript\n\n")
        await _send_all(sandbox, request, tap, after)
    except CancelledError:
        pass
    finally:
        if not tap.gone:
            request.unregisterProducer()
            request.finish()


async def _send_all(sandbox: SandboxAccount, request: Request, tap: _Tap, after: int) -> None:
    world = sandbox.world
    while not tap.gone and sandbox.running:
        if sandbox.world is not world:  # another world was loaded: its numbers begin anew
            world, after = sandbox.world, 0
        for message in world.transcript(after)[:100]:
            after = message.message_id
            line = msgspec.json.encode(shown(message, world))
            request.write(b"id: %d\ndata: %b\n\n" % (after, line))
            await tap.opened()
            if tap.gone:
                return
        if world.last_message_id > after:
            continue
        tap.hearing = sandbox.next_message()
        tap.hearing.addTimeout(KEEP_ALIVE, sandbox.account.clock, lambda _result, _timeout: None)
        await tap.hearing
        tap.hearing = None
        if not tap.gone and world.last_message_id <= after:
            request.write(b": still here\n\n")
