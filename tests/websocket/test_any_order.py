"""Whatever happens to a connection, in whatever order: it ends once and leaves nothing behind."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase
from tests.integration.rawclient import CLOSE, PING, PONG
from tests.pair import DiallingPair, Pair, Peer
from tests.rounds import quick
from tests.websocket.contract import ConnectionTestCase

#: What may happen to a connection, in any order.
HAPPENINGS = (
    "open", "send", "respond", "offer", "close", "abort", "fail", "peer_close", "peer_text", "peer_ping",
    "peer_pong", "peer_garbage", "lost", "pause", "writable", "wait", "turn", "sweep", "stop_reading",
)  # fmt: skip


class AnyOrderTests(ConnectionTestCase):
    """Whatever happens, in whatever order."""

    def happen(self, pair: Pair, peer: Peer, what: str) -> None:
        connection, factory = peer.connection, pair.factory
        if what == "open" and connection.phase is Phase.CONNECTING:
            peer.shake_hands()
        elif what == "send":
            self.successResultOf(factory.send(connection, b"sent"))
        elif what == "respond":
            factory.respond(connection, server_frame(b"response"))
        elif what == "offer":
            factory.offer(connection, server_frame(b"event" * 5000))
        elif what == "close":
            factory.close(connection, 1001, "why" * 100)
        elif what == "abort":
            factory.abort(connection, "because")
        elif what == "fail":
            factory.fail(connection, 1002, "broke")
        elif what.startswith("peer_"):
            if connection.phase is Phase.CONNECTING:
                return
            frames = {
                "peer_close": pair.frame(struct.pack("!H", 1000), CLOSE),
                "peer_text": pair.frame(b"{}"),
                "peer_ping": pair.frame(b"p", PING),
                "peer_pong": pair.frame(b"1", PONG),
                "peer_garbage": b"\xff\xff\xff\xff",
            }
            peer.bytes(frames[what])
        elif what == "lost":
            peer.lose()
        elif what == "pause":
            connection.pauseProducing()
        elif what == "writable":
            connection.resumeProducing()
        elif what == "wait":
            pair.clock.advance(1.0)
        elif what == "sweep":
            factory.sweep()
        elif what == "stop_reading":
            peer.transport.reading = False
        elif what == "turn":
            pair.turn()

    @quick
    @given(st.lists(st.sampled_from(HAPPENINGS), max_size=30))
    def test_any_order(self, happenings: list[str]) -> None:
        """Phases only go forward, CLOSED comes exactly once, nothing raises, nothing is left behind."""
        pair = self.pair_of(send_buffer=65_536)
        peer = pair.connect()
        phases = [peer.connection.phase]
        for what in happenings:
            self.happen(pair, peer, what)
            phases.append(peer.connection.phase)
        peer.lose()
        pair.turn()
        self.assertEqual(phases, sorted(phases))
        self.assertIs(peer.connection.phase, Phase.CLOSED)
        self.assertEqual(len(peer.handler.named("closed")), 1)
        self.assertLessEqual(len(peer.handler.named("opened")), 1)
        self.assertEqual(peer.handler.calls[-1][0], "closed")
        self.assertEqual(pair.factory.connections, set())
        self.assertFalse(peer.connection.outbox)
        self.assertEqual(pair.factory.counters.callback_failures, 0)
        pair.clock.advance(0)
        self.assertEqual(pair.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_every_callback_in_every_phase(self) -> None:
        """Each of Twisted's and Autobahn's callbacks, in each phase: none raises."""
        callbacks: dict[str, tuple[Any, ...]] = {
            "onMessageBegin": (False,),
            "onMessageFrameBegin": (3,),
            "onMessageFrameData": (b"abc",),
            "onMessageFrameEnd": (),
            "onMessageEnd": (),
            "onPing": (b"x",),
            "onPong": (b"x",),
            "onClose": (True, 1000, "x"),
            "pauseProducing": (),
            "resumeProducing": (),
            "stopProducing": (),
            "dataReceived": (b"",),
            "connectionLost": (Failure(ConnectionDone()),),
        }
        for name, arguments in callbacks.items():
            for phase in Phase:
                pair = self.pair_of()
                peer = pair.connect()
                if phase >= Phase.OPEN:
                    peer.open()
                if phase is Phase.CLOSING:
                    pair.factory.close(peer.connection, 1001, "")
                elif phase is Phase.CLOSED:
                    peer.lose()
                self.assertIs(peer.connection.phase, phase)
                getattr(peer.connection, name)(*arguments)
                self.assertGreaterEqual(peer.connection.phase, phase, name)
                self.assertEqual(pair.factory.counters.callback_failures, 0, (name, phase))


class DialledAnyOrderTests(AnyOrderTests):
    pair_of = DiallingPair
