"""Whether whole frames are parsed here or by Autobahn: nobody can tell."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.websocket.phase import Phase
from tests.integration.rawclient import CLOSE, PING, PONG, TEXT
from tests.pair import DiallingPair, Pair
from tests.websocket.frames import FIN, KEYS, frame, thorough
from tests.websocket.lives import (
    NO_TEXTS,
    Deliberate,
    Life,
    Step,
    breaches,
    streams,
)


class BothWaysTests(SynchronousTestCase):
    """A peer that masks, as all that dial us do."""

    pair_of: type[Pair] = Pair

    def lives(self, steps: list[Step], limit: int = 70_000, eager: bool = False) -> list[Life]:
        """The stream comes to two connections; of the second, all of it is Autobahn's."""
        both = []
        for whole in (True, False):
            life = Life(self.pair_of, whole, limit, eager)
            life.live(steps)
            failures = [failure.type for failure in self.flushLoggedErrors()]
            self.assertLessEqual(set(failures), {Deliberate, BrokenPipeError})
            self.assertEqual(life.pair.factory.counters.callback_failures, len(failures))
            both.append(life)
        return both

    def compare(self, steps: list[Step], limit: int = 70_000, eager: bool = False, about: str = "") -> Life:
        quickly, slowly = self.lives(steps, limit, eager)
        here, there = quickly.seen(), slowly.seen()
        for name in here:
            if here[name] != there[name]:
                self.fail(
                    f"{about}{name}, of whole frames, and of Autobahn's:\n{here[name]}\n{there[name]}"[:4000]
                )
        return quickly

    @thorough
    @given(st.data(), st.sampled_from((1000, 65_535, 65_536, 70_000)), st.booleans())
    def test_nobody_can_tell(self, data: st.DataObject, limit: int, eager: bool) -> None:
        """What is told, written and counted, and the state behind each piece: the same both ways."""
        self.compare(data.draw(streams(self.pair_of.kind.masks)), limit, eager)

    @thorough
    @given(st.lists(st.binary(max_size=30).map(Step)), st.booleans())
    def test_garbage(self, steps: list[Step], eager: bool) -> None:
        """Neither can it with bytes that are nothing."""
        for step in steps:
            step.then = "cut"
        self.compare(steps, 1000, eager)

    def text(self, payload: bytes) -> bytes:
        return frame(FIN | TEXT, payload, KEYS[2] if self.pair_of.kind.masks else None)

    def pings(self, *payloads: bytes) -> bytes:
        key = KEYS[2] if self.pair_of.kind.masks else None
        return b"".join(frame(FIN | PING, payload, key) for payload in payloads)

    def test_the_two_ways_are_two(self) -> None:
        """What is compared above: of whole frames the one way leaves Autobahn nothing, the other all."""
        for whole in (True, False):
            life = Life(self.pair_of, whole, 1000, False)
            left: list[bytes] = []
            read = life.connection.autobahn_read

            def note(data: bytes, left: list[bytes] = left, read: Any = read) -> None:
                left.append(data)
                read(data)

            self.patch(life.connection, "autobahn_read", note)
            key = KEYS[2] if self.pair_of.kind.masks else None
            data = self.text(b"1") + frame(FIN | PONG, b"1", key) + self.text(b"2" * 1000)
            half = self.text(b"half")
            life.live([
                Step(data, [], "cut"),
                Step(data + half[:3], [], "cut"),
                Step(half[3:], [], "cut"),
                Step(self.text(b"after"), [], "cut"),
            ])  # fmt: skip
            self.assertEqual(left, [] if whole else [data, data + half[:3], half[3:], self.text(b"after")])
            told = [call[1] for call in life.handler.named("received")]
            self.assertEqual(told, [b"1", b"2" * 1000, b"1", b"2" * 1000, b"half", b"after"])
            self.assertEqual(life.handler.named("ponged"), [("ponged", 1)])

    def test_a_flush_in_the_middle_of_a_message(self) -> None:
        """A handler that is held and let go again within one call: nothing is heard twice, or of nothing."""
        life = self.compare([Step(self.text(b"both") + self.text(b"next"), [], "turn")])
        self.assertEqual([call[1] for call in life.handler.named("received")], [b"both", b"next"])

    def test_ended_in_the_middle_of_a_burst(self) -> None:
        """A handler that closes, drops, or fails hears nothing of what came in the same piece."""
        for word in (b"close", b"abort", b"raise"):
            burst = b"".join(map(self.text, (b"answer 1", word, b"answer 2", b"\xff")))
            life = self.compare([Step(burst + self.pings(b"p"), [], "turn")])
            self.assertEqual([call[1] for call in life.handler.named("received")], [b"answer 1", word], word)
            written = [payload for _head, payload in life.seen()["written"][0]]
            self.assertEqual(b"answer 1" in written, word == b"close")

    def test_each_breach(self) -> None:
        """Each breach of the protocol, whole and cut within its head, is answered and told alike."""
        key = KEYS[2] if self.pair_of.kind.masks else None
        for name, breach in breaches(key).items():
            for cut in (0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 14, 15, 20):
                steps = [
                    Step(self.text(b"answer 1"), [], "cut" if cut % 2 else ""),
                    Step(breach, [cut], ""),
                    Step(self.text(b"answer 2") * 2, [], "turn"),
                ]
                self.compare(steps, about=f"{name}, cut at {cut}: ")

    def test_held_and_told_more(self) -> None:
        """What comes although we do not read, one message in a piece, waits as well."""
        words = [b"fill %d" % number for number in range(40)]
        steps = [Step(b"", [], "stall"), *(Step(self.text(word), [], "cut") for word in words)]
        for eager in (False, True):
            life = self.compare(steps, eager=eager)
            self.assertEqual([call[1] for call in life.handler.named("received")], words)

    def test_held_in_the_middle_of_a_burst(self) -> None:
        """Whoever does not take its answers is not heard further, and later is, in order."""
        words = [b"fill %d" % number for number in range(40)]
        steps = [Step(b"", [], "stall"), Step(b"".join(map(self.text, words)), [], "turn")]
        for eager in (False, True):
            both = self.lives(steps, eager=eager)
            for life in both:
                calls = [state["calls"] for state in life.states]
                self.assertTrue(
                    any(state["read paused"] for state in life.states[:2]), "reading was not paused"
                )
                self.assertLess(calls[1], 20)
                self.assertEqual([call[1] for call in life.handler.named("received")], words)
            self.assertEqual(both[0].seen(), both[1].seen())

    def test_pings_of_a_peer_that_does_not_read(self) -> None:
        """The newest is answered, later; those that came between whole frames are no others."""
        steps = [
            Step(self.text(b"congest") + self.pings(b"1", b"2") + self.text(b"answer"), [], "cut"),
            Step(self.pings(b"3") + self.text(b"event"), [], "writable"),
            Step(self.text(b"congest") + self.pings(b"4"), [], "turn"),
        ]
        life = self.compare(steps)
        pongs = [payload for head, payload in life.seen()["written"][0] if head[0] == FIN | PONG]
        self.assertEqual(pongs, [b"3", b"4"])

    def test_text_that_is_none(self) -> None:
        """Each breach of UTF-8 is one both ways, and nothing behind it is heard."""
        for odd in NO_TEXTS:
            for before in (b"", b"x" * 125, b"x" * 1000):
                life = self.compare([Step(self.text(b"ok") + self.text(before + odd) + self.text(b"no"))])
                self.assertEqual([call[1] for call in life.handler.named("received")], [b"ok"])
                self.assertEqual(life.seen()["written"][0][-1][1][:2], struct.pack("!H", 1007))

    def test_closed_in_the_middle_of_what_is_held(self) -> None:
        """A close of ours while we do not read: what was not read then is read for the peer's answer."""
        key = KEYS[2] if self.pair_of.kind.masks else None
        burst = b"".join(self.text(b"fill %d" % number) for number in range(40))
        answer = frame(FIN | CLOSE, struct.pack("!H", 1001), key)
        steps = [Step(b"", [], "stall"), Step(burst, [], "close"), Step(answer, [], "turn")]
        life = self.compare(steps)
        self.assertTrue(life.connection.wasClean)
        self.assertIs(life.connection.phase, Phase.CLOSED)

    def test_a_close_frame_among_what_is_held(self) -> None:
        """A close of ours while we do not read: the close frame that has come already is heard then."""
        key = KEYS[2] if self.pair_of.kind.masks else None
        burst = b"".join(self.text(b"fill %d" % number) for number in range(40))
        theirs = frame(FIN | CLOSE, struct.pack("!H", 1000), key)
        life = self.compare([Step(b"", [], "stall"), Step(burst + theirs, [], "close")])
        self.assertTrue(life.connection.wasClean)

    def test_talking(self) -> None:
        """Any part of a message behind its head is talking; pongs and pings are not."""
        key = KEYS[2] if self.pair_of.kind.masks else None
        whole, long = self.text(b"x" * 300), self.text(b"x" * 20_000)
        parts = (whole, self.text(b""), whole[:9], long[:9], long[:-1], frame(TEXT, b"x", key))
        silent = (frame(FIN | PONG, b"1", key), frame(FIN | PONG, b"x" * 9, key), self.pings(b"1"), whole[:1])
        for quickly in (True, False):
            for data in (*parts, *silent):
                life = Life(self.pair_of, quickly, 70_000, False)
                life.connection.message_seen = False
                life.peer.bytes(data)
                self.assertIs(life.connection.message_seen, data in parts, data[:20])

    def test_many_empty_messages(self) -> None:
        """One read full of the smallest frames that there are."""
        empty = self.text(b"")
        life = self.compare([Step(empty * (65_536 // len(empty)), [], "turn")])
        self.assertEqual(len(life.handler.named("received")), 65_536 // len(empty))

    def test_the_largest_message(self) -> None:
        """One byte more than the limit is too much, both ways."""
        limit = Limits().max_message // 64
        for size in (limit, limit + 1):
            life = self.compare([Step(self.text(b"x" * size), [], "turn")], limit)
            self.assertEqual(len(life.handler.named("received")), limit + 1 - size)


class DialledBothWaysTests(BothWaysTests):
    """A peer that does not mask, as all whom we dial."""

    pair_of = DiallingPair
