"""The outbox against a plain model: order, what is dropped, and what its numbers say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.websocket.outbox import Outbox
from tests.rounds import quick

LIMIT = 10

steps = st.lists(
    st.tuples(st.sampled_from(("response", "event", "event", "take", "drop", "clear")), st.integers(1, 14)),
    max_size=40,
)


class OutboxTests(SynchronousTestCase):
    @quick
    @given(steps)
    def test_as_a_model(self, happenings: list[tuple[str, int]]) -> None:
        """Frames come out in their order, whole; of events the oldest go when there are too many bytes."""
        outbox = Outbox(LIMIT)
        waiting: list[tuple[str, bytes]] = []
        for number, (what, size) in enumerate(happenings):
            frame = bytes([number]) * size
            if what == "response":
                outbox.put_response(frame)
                waiting.append((what, frame))
            elif what == "event":
                waiting.append((what, frame))
                self.assertEqual(outbox.put_event(frame), self.drop_oldest(waiting))
            elif what == "take":
                taken = b""
                while waiting and len(taken) < size:
                    taken += waiting.pop(0)[1]
                self.assertEqual(outbox.take(size), taken)
            elif what == "drop":
                outbox.drop_events()
                waiting = [one for one in waiting if one[0] == "response"]
            else:
                outbox.clear()
                waiting = []
            self.assertEqual(bool(outbox), bool(waiting))
            responses = sum(len(frame) for kind, frame in waiting if kind == "response")
            self.assertEqual(outbox.response_bytes, responses)
            events = [len(frame) for kind, frame in waiting if kind == "event"]
            self.assertEqual(outbox.event_bytes, sum(size for size in events if size <= LIMIT))

    def drop_oldest(self, waiting: list[tuple[str, bytes]]) -> int:
        """Drop events of the model until there are not too many; how many."""
        dropped = 0
        while True:
            events = [one for one in waiting if one[0] == "event"]
            giants = sum(len(frame) > LIMIT for _kind, frame in events)
            small = sum(len(frame) for _kind, frame in events if len(frame) <= LIMIT)
            if small <= LIMIT and giants <= 1:
                return dropped
            waiting.remove(events[0])
            dropped += 1

    def test_watermarks(self) -> None:
        """A watermark is reached when all responses before it are taken, or the outbox is cleared."""
        outbox = Outbox(LIMIT)
        self.assertTrue(outbox.has_taken(outbox.watermark()))
        outbox.put_response(b"12345")
        first = outbox.watermark()
        outbox.put_event(b"event")
        outbox.put_response(b"6789")
        second = outbox.watermark()
        self.assertFalse(outbox.has_taken(first))
        outbox.take(1)
        self.assertTrue(outbox.has_taken(first))
        self.assertFalse(outbox.has_taken(second))
        outbox.drop_events()
        self.assertFalse(outbox.has_taken(second))
        outbox.clear()
        self.assertTrue(outbox.has_taken(second))
