"""Pings, pongs and silence."""

from __future__ import annotations

import struct

from attrs import evolve

from lgtwist.config.limits import Limits
from lgtwist.websocket.framing import server_frame
from lgtwist.websocket.phase import Phase
from tests.integration.rawclient import PING, PONG
from tests.pair import DiallingPair
from tests.websocket.contract import ConnectionTestCase


class LivenessTests(ConnectionTestCase):
    """A peer is dead after ping_timeout of silence, if it answered pings before; else it is not."""

    def setUp(self) -> None:
        self.pair = self.pair_of()
        self.peer = self.pair.connect().open()

    def test_pings_come_in_their_interval(self) -> None:
        """One ping each ping_interval."""
        self.pair.advance(46)
        self.assertEqual([o for o, _ in self.peer.frames()].count(PING), 3)

    def test_who_never_answered_pings_lives(self) -> None:
        """Silence alone is no death: there are implementations that never answer pings."""
        self.pair.advance(600)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_who_answered_and_falls_silent_dies(self) -> None:
        """A silent peer that answered pings before is dropped after ping_timeout, and no other."""
        other = self.pair.connect().open()
        self.pair.advance(16)
        self.peer.pong_all()
        for _ in range(59):
            self.pair.advance(1)
            other.pong_all()
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        for _ in range(3):
            self.pair.advance(1)
            other.pong_all()
        self.assertIs(self.peer.connection.phase, Phase.CLOSED)
        self.assertIs(other.connection.phase, Phase.OPEN)
        self.assertEqual(self.pair.factory.counters.dead_peers, 1)

    def test_any_byte_is_a_sign_of_life(self) -> None:
        """A peer in the middle of a large upload is alive, whatever it does with pings."""
        self.pair.factory.set_limits(evolve(self.pair.factory.limits, body_timeout=600.0))
        self.pair.advance(16)
        self.peer.pong_all()
        self.peer.bytes(bytes([0x81, self.pair.kind.mask_bit | 127]) + struct.pack("!Q", 1_000_000) + b"abcd")
        for _ in range(200):
            self.pair.advance(1)
            self.peer.bytes(b"x")
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_pongs_that_confirm_nothing(self) -> None:
        """Unsolicited and made-up pongs do not make a peer one that answers pings."""
        for payload in (b"", b"1", b"99", b"-1", b"x", b"\xff", b"9" * 100):
            self.peer.send(payload, PONG)
        self.pair.advance(200)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_time_in_which_we_do_not_read_does_not_count(self) -> None:
        """While we hold a peer back, its silence is ours."""
        self.pair.advance(16)
        self.peer.pong_all()
        self.peer.transport.reading = False
        for _ in range(60):
            self.pair.factory.respond(self.peer.connection, server_frame(b"x" * 100_000))
        self.assertTrue(self.peer.transport.paused)
        self.pair.advance(300)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        self.peer.transport.reading = True
        self.pair.advance(58)
        self.assertFalse(self.peer.transport.paused)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        self.pair.advance(4)
        self.assertIs(self.peer.connection.phase, Phase.CLOSED)

    def test_a_process_that_stood_still(self) -> None:
        """After the whole process stood still the first sweep kills nobody."""
        self.pair.advance(16)
        self.peer.pong_all()
        self.pair.clock.advance(3600)
        self.pair.factory.sweep()
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_how_often_it_is_looked(self) -> None:
        """Sweeps are a second apart, and closer where the limits are short."""
        self.assertEqual(Limits().sweep_interval, 1.0)
        self.assertLess(Limits(ping_interval=0.2, ping_timeout=0.5).sweep_interval, 0.03)

    def test_time_in_which_we_did_not_read(self) -> None:
        """A stall of ours is not the peer's silence, however short its heartbeats are."""
        pair = self.pair_of()
        peer = pair.connect().open()
        for _ in range(3):
            peer.send(b"{}")
            peer.connection.liveness.heartbeat(pair.clock.seconds(), 0.5)
            pair.advance(0.5)
        for _ in range(20):
            pair.clock.advance(2.2)  # we are busy; what the peer sent waits in the kernel
            pair.factory.sweep()
            peer.send(b"{}")
            pair.turn()
        self.assertIs(peer.connection.phase, Phase.OPEN)
        pair.advance(4)
        self.assertIs(peer.connection.phase, Phase.CLOSED)

    def beat(self, seconds: float, times: int, says: float, pongs: bool) -> None:
        """Send heartbeats of a peer's own, so many seconds apart, that say another interval."""
        for _ in range(times):
            self.peer.send(b"{}")
            self.peer.connection.liveness.heartbeat(self.pair.clock.seconds(), says)
            self.wait(seconds, pongs)

    def wait(self, seconds: float, pongs: bool) -> None:
        for _ in range(round(seconds * 5)):
            self.pair.advance(0.2)
            if pongs and self.peer.connection.phase is Phase.OPEN:
                self.peer.pong_all()

    def test_heartbeats_that_stop(self) -> None:
        """Three intervals without a message, and without an answer to a ping of ours, are the end."""
        self.beat(5, 4, says=5, pongs=False)
        self.assertNotIn(PING, [opcode for opcode, _ in self.peer.frames()][1:])
        self.wait(9, pongs=False)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        self.assertEqual([opcode for opcode, _ in self.peer.frames()], [PING])
        self.wait(3, pongs=False)
        self.assertIs(self.peer.connection.phase, Phase.CLOSED)

    def test_heartbeats_that_stop_while_pings_are_answered(self) -> None:
        """Who answers pings is never mute, whatever its heartbeats promised, and however often they stop."""
        for _ in range(2):
            self.beat(5, 4, says=5, pongs=True)
            self.wait(300, pongs=True)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_an_interval_in_seconds(self) -> None:
        """An interval of 3 that means seconds is 3 ms to us: the gaps that were measured count."""
        for apart in (3, 30, 0.6):
            self.peer = self.pair.connect().open()
            self.beat(apart, 6, says=0.003, pongs=False)
            self.assertIs(self.peer.connection.phase, Phase.OPEN)
            self.wait(2 * apart + 2, pongs=False)
            self.assertIs(self.peer.connection.phase, Phase.CLOSED)

    def test_an_interval_that_is_a_constant(self) -> None:
        """Nobody is mute before its real gaps are known, nor within three of the longest of them."""
        self.beat(0.5, 1, says=5, pongs=False)  # at once, and then by a timer that runs already
        self.beat(20, 5, says=5, pongs=False)
        self.wait(30, pongs=False)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        self.wait(20, pongs=False)
        self.assertIs(self.peer.connection.phase, Phase.CLOSED)

    def test_heartbeats_that_waited(self) -> None:
        """Heartbeats that arrive together are no measure."""
        self.beat(5, 3, says=0.005, pongs=False)
        for _ in range(20):
            self.beat(0, 1, says=0.005, pongs=False)
        self.wait(9, pongs=False)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)

    def test_one_heartbeat_promises_nothing(self) -> None:
        """Nor do heartbeats without an interval."""
        self.beat(60, 1, says=1, pongs=False)
        self.beat(60, 5, says=0, pongs=False)
        self.assertIs(self.peer.connection.phase, Phase.OPEN)


class DialledLivenessTests(LivenessTests):
    pair_of = DiallingPair
