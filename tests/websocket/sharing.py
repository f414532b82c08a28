"""Two factories that share a flush scheduler, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.websocket.client import ClientFactory
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.server import ServerFactory
from tests.pair import DiallingPair, Pair, Peer, RecordingHandler


class Bots(Pair):
    """Those who dialled us. The pair whose scheduler they share may be given."""

    shared_with: Pair | None = None

    def make_factory(self, limits: Limits) -> Any:
        if self.shared_with is None:
            return super().make_factory(limits)
        self.clock = self.shared_with.clock
        return ServerFactory(limits, self.clock, self.shared_with.factory.flush_scheduler)


class Accounts(DiallingPair):
    """Those whom we dialled, with a scheduler of their own."""

    def make_factory(self, limits: Limits) -> Any:
        return ClientFactory(limits, self.clock, "lgtwist/test")


class Doing(RecordingHandler):
    """Does something with each message.

    :ivar operation: what it does.
    """

    operation: Callable[[Connection, bytes], None]

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        super().received(connection, payload, binary)
        self.operation(connection, payload)


class SharedSchedulerTestCase(SynchronousTestCase):
    """Two factories, one scheduler: what an account sends is written to bots, and the other way round."""

    def setUp(self) -> None:
        self.accounts = Accounts()
        self.accounts.clock.advance(1000)

        class Sharing(Bots):
            shared_with = self.accounts

        self.bots = Sharing()
        self.scheduler: FlushScheduler = self.bots.factory.flush_scheduler
        self.assertIs(self.scheduler, self.accounts.factory.flush_scheduler)
        self.on_account, self.on_bot = Doing(), Doing()
        self.account = self.accounts.connect(self.on_account).open()
        self.bot = self.bots.connect(self.on_bot).open()
        self.writes: list[bytes] = []
        self.clock = self.accounts.clock
        self.clock.advance(1)

    def watch(self, peer: Peer) -> None:
        """Write down each write to a peer."""
        write = peer.transport.write

        def note(data: bytes) -> None:
            self.writes.append(data)
            write(data)

        self.patch(peer.transport, "write", note)

    def burst(self, pair: Pair, peer: Peer, *payloads: bytes) -> None:
        peer.bytes(b"".join(map(pair.frame, payloads)))

    def offer(self, _connection: Connection, payload: bytes) -> None:
        self.bots.factory.offer(self.bot.connection, server_frame(payload))
