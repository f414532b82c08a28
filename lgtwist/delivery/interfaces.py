"""What delivery at least once asks of a journal and of connections."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from lgtwist.delivery.batch import Batch, Mark, Page, Position


class IEventTaker(Interface):
    """One way in which events reach a bot that asked for certain delivery, while it is open.

    It tells its delivery when events are confirmed, when it can take more, and when it is over.
    """

    ready = Attribute("Whether it takes more at once; it pumps its delivery when that becomes true.")
    window = Attribute("How many events may be unconfirmed.")
    encode = Attribute("Makes of an event what it takes. The same function for all that want the same.")

    def take(frames: bytes, events: int, upto: Position) -> None:
        """Take some events, encoded and joined. Never raises, never blocks.

        :param upto: the position to be confirmed when the bot has them.
        """

    def become_live() -> None:
        """A newer connection of the bot takes over; this one gets what happens from now on."""

    def become_holder() -> None:
        """What must not be lost goes to this one again, for it is the newest that is left."""


class IJournal(Interface):
    """Where events wait until every bot that asked for certain delivery has them.

    Positions are opaque: they are ordered, and nobody outside calculates with them.
    """

    end: Position = Attribute("The position of the newest durable event.")
    trimmed_to: Position = Attribute("Nothing up to this position is left.")

    def append(account: int, payloads: list[bytes]) -> None:
        """Take in events. Never blocks, never raises; what cannot be kept is counted and named as lost.

        :param payloads: in the order in which they came, each one JSON object.
        """

    def observe(observer: Callable[[Batch], None]) -> None:
        """Call ``observer`` for all that is appended, in order, once it is durable."""

    def mark(bot: str, account: int) -> Mark:
        """How far a bot had come when the journal was opened."""

    def confirm(bot: str, account: int, mark: Mark) -> None:
        """A bot has come so far. It is written with others, within a second."""

    def refused(bot: str, batch: Batch, reason: str) -> None:
        """A bot will not have this one event: keep it in the list of such events."""

    def total(account: int) -> int:
        """How many events of an account were ever written."""

    def trimmed(account: int) -> int:
        """How many of these are gone."""

    def tail(account: int, after: Position) -> Batch | None:
        """The next events behind a position, from memory: an empty batch if there are none yet.

        :returns: None if memory does not reach back so far.
        """

    def read(account: int, after: Position) -> Deferred[Page]:
        """The next events behind a position, from the disk, as much as is read at once.

        It fails with JournalUnreadable.
        """
