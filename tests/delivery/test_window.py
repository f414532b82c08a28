"""What is under way, and what a confirmation takes out."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.delivery.batch import Watermark
from lgtwist.delivery.window import Sent, Window


def window() -> Window:
    """Positions 1 and 2 in one, 4 alone, 5 to 7 in one: ten bytes each event."""
    made = Window(1000)
    for position, events in ((2, 2), (4, 1), (7, 3)):
        made.sent.append(Sent(Watermark(position, position, 0), events, 10 * events, 0.0, None))
        made.events += events
        made.size += 10 * events
    return made


class WindowTests(SynchronousTestCase):
    def test_confirm(self) -> None:
        """Everything up to a position is taken out, in events and in bytes."""
        sent = window()
        self.assertEqual(sent.confirm(4), Watermark(4, 4, 0))
        self.assertEqual(sent.events, 3)
        self.assertEqual(sent.size, 30)
        self.assertEqual(sent.confirm(100), Watermark(7, 7, 0))
        self.assertEqual(sent.events, 0)
        self.assertEqual(sent.size, 0)
        self.assertFalse(sent.sent)

    def test_nothing_new(self) -> None:
        """A position that confirms nothing, or part of what went together, changes nothing."""
        sent = window()
        for position in (0, 1):
            self.assertIsNone(sent.confirm(position))
        self.assertEqual(sent.events, 6)
        self.assertEqual(sent.confirm(3), Watermark(2, 2, 0))
        self.assertIsNone(sent.confirm(3))
        self.assertEqual(sent.events, 4)
        self.assertEqual(sent.size, 40)

    def test_clear(self) -> None:
        """Nothing is under way then."""
        sent = window()
        sent.clear()
        self.assertIsNone(sent.confirm(100))
        self.assertEqual(sent.events, 0)
        self.assertEqual(sent.size, 0)
